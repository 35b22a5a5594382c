/*
 * trigger_node: the emulated bus and the node of bench/failover/trigger.ts, in a process whose realtime priority does not depend on Node: it says a CANopen heartbeat and 1,000 frames a
 * second for the gateway to work on, and writes the CLOCK_MONOTONIC time (µs) of each pose frame it reads to standard output. Ends when standard input does.
 *
 *   trigger_node SOCKET
 */
#include <signal.h>
#include <stdio.h>
#include <unistd.h>

#include "../rig/bus.h"

#define POSE_ID 0x110u
#define HEARTBEAT_ID 0x701u
#define LOAD_ID 0x182u
#define LOAD_FRAMES 5 /* each 5 ms */

static struct rig_bus bus;

static void heard(void *context, const struct ipcnet_can_frame *frame, uint64_t now_us) {
  (void)context;
  if (frame->can_id == POSE_ID) dprintf(STDOUT_FILENO, "%llu\n", (unsigned long long)now_us);
}

static void period(void *context) {
  static const uint8_t operational[1] = {5};
  (void)context;
  rig_bus_inject(&bus, HEARTBEAT_ID, operational, sizeof operational);
  for (uint8_t i = 0; i < LOAD_FRAMES; i++) {
    const uint8_t value[8] = {i};
    rig_bus_inject(&bus, LOAD_ID, value, sizeof value);
  }
}

int main(int argc, char **argv) {
  const struct rig_bus_guest guest = {.heard = heard, .period = period};
  char byte;
  signal(SIGPIPE, SIG_IGN);
  if (argc != 2 || !rig_bus_start(&bus, argv[1], 60, &guest)) return 2;
  dprintf(STDOUT_FILENO, "ready\n");
  while (read(STDIN_FILENO, &byte, 1) > 0) { }
  rig_bus_stop(&bus);
  return 0;
}
