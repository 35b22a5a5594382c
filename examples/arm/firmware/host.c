/* Stands for the rest of the firmware: lines "ID HEX" are frames from the bus; each answer is a state frame, or why the command was refused. The joint is always where it was told to be. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "joint_frames.h"

int main(void) {
  joint_frames joint;
  char line[256];
  joint_frames_init(&joint);
  while (fgets(line, sizeof line, stdin) != NULL) {
    char *at = NULL;
    const uint32_t can_id = (uint32_t)strtoul(line, &at, 16);
    uint8_t frame[64];
    size_t length = 0;
    shoulder_status status;
    while (*at == ' ') at++;
    for (; length < sizeof frame && strspn(at, "0123456789abcdefABCDEF") >= 2; at += 2) {
      const char digits[3] = {at[0], at[1], '\0'};
      frame[length++] = (uint8_t)strtoul(digits, NULL, 16);
    }
    status = joint_frames_receive(&joint, can_id, 0, frame, length);
    if (status == SHOULDER_OK) {
      status = joint_frames_state(&joint, joint.command.target_position, joint.command.velocity_limit, joint.command.mode, frame, sizeof frame);
    }
    if (status == SHOULDER_OK) {
      printf("%03X ", SHOULDER_SHOULDER_STATE_ID);
      for (size_t byte = 0; byte < SHOULDER_SHOULDER_STATE_FRAME_BYTES; byte++) printf("%02X", frame[byte]);
      putchar('\n');
    } else {
      printf("refused %u, %" PRIu32 "\n", (unsigned)shoulder_reason_of(status), shoulder_signal_of(status));
    }
  }
  return 0;
}
