/*
 * The first instructions on a Cortex-M: the vector table, variables to where they belong, then main. Written for ARMv6-M (Cortex-M0+) and later; needs no library.
 *
 * A fault restarts the chip: what has lost its way must not go on to drive a motor. Why it restarted is kept in memory that a restart does not clear (common/restart.h).
 */
#include "cortexm.h"
#include "restart.h"
#include "systick.h"

extern uint32_t link_stack_top[], link_data_start[], link_data_end[], link_data_load[], link_bss_start[], link_bss_end[];

int main(void);
void reset_handler(void);

void reset_handler(void) {
  const uint32_t *from = link_data_load;
  for (uint32_t *to = link_data_start; to < link_data_end; to++, from++) *to = *from;
  for (uint32_t *to = link_bss_start; to < link_bss_end; to++) *to = 0;
  restart_begin();
  (void)main();
  restart_now(RESTART_FAULT);
}

static void fault_handler(void) {
  board_last_breath();
  restart_now(RESTART_FAULT);
}

/* Boards wire their watchdog's warning to it: the main loop hangs. The restart follows by itself; nobody feeds it any more. */
static void nmi_handler(void) {
  board_last_breath();
  restart_note(RESTART_WATCHDOG);
  for (;;) {}
}

__attribute__((weak)) void board_interrupt(uint32_t number) {
  (void)number;
}

static void interrupt_handler(void) {
  uint32_t exception;
  __asm volatile("mrs %0, ipsr" : "=r"(exception));
  board_interrupt((exception & 0x3Fu) - 16u);
}

#define I interrupt_handler
__attribute__((section(".vectors"), used)) static void (*const vectors[16 + 32])(void) = {
  (void (*)(void))link_stack_top, reset_handler, nmi_handler, fault_handler, fault_handler, fault_handler, fault_handler, 0, 0, 0, 0, fault_handler, fault_handler, 0, fault_handler, systick_tick,
  I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I, I,
};
