/* What is the same on every board with a Cortex-M: time and sleep by its own timer, and the reset of restart.c. */
#include "board.h"
#include "restart.h"
#include "systick.h"

uint32_t board_now_us(void) {
  return systick_now_us();
}

enum board_cause board_cause(void) {
  return restart_cause();
}

void board_restart(void) {
  restart_now(RESTART_REQUESTED);
}

void board_sleep(void) {
  __asm volatile("wfi" ::: "memory");
}
