/* The gripper on a board. */
#include "../common/board.h"
#include "gripper.h"

enum { WATCHDOG_MS = 400 };

int main(void) {
  static struct gripper gripper;
  static struct gripper_kept kept __attribute__((section(".noinit")));
  uint8_t byte = 0, next = 0;
  bool waits = false;
  board_start();
  board_watchdog_start(WATCHDOG_MS);
  /* The gateway speaks first, and when it does is no clock of ours: that makes the number of our session another one at each start, also on a chip without a source of chance. */
  while (!board_uart_get(&byte)) {
    board_watchdog_feed();
    board_sleep();
  }
  (void)gripper_start(&gripper, &kept, board_entropy(), (uint8_t)board_cause(), board_now_us());
  gripper_byte(&gripper, byte, board_now_us());
  for (;;) {
    board_watchdog_feed();
    while (board_uart_get(&byte)) gripper_byte(&gripper, byte, board_now_us());
    gripper_turn(&gripper, board_now_us());
    while (waits || gripper_next(&gripper, &next)) {
      waits = !board_uart_put(next);
      if (waits) break;
    }
    if (gripper.wish == GRIPPER_WISH_HANG) for (;;) {}
    if (gripper.wish == GRIPPER_WISH_RESTART) board_restart();
    if (!waits) board_sleep();
  }
}
