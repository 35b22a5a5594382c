/* The joint on a board with a CAN controller. JOINT_NUMBER is given by the build. */
#include "../common/board.h"
#include "../common/board_can.h"
#include "joint.h"

enum { WATCHDOG_MS = 400, CLAIM_ID = 0x10, BITRATE_BPS = 500000 };

static void reset(void *context) {
  (void)context;
  board_restart();
}

int main(void) {
  static struct joint joint;
  static struct ipcnet_can can;
  board_start();
  board_watchdog_start(WATCHDOG_MS);
  /* Without its controller it is nobody: the watchdog lets it try again. */
  if (!board_can_start(&can, BITRATE_BPS)) for (;;) {}
  joint_start(&joint, JOINT_NUMBER, CLAIM_ID, &can, reset, board_now_us());
  for (;;) {
    board_watchdog_feed();
    joint_turn(&joint, board_now_us());
    board_sleep();
  }
}
