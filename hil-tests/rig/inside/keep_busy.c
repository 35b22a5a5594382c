/*
 * keep_busy: does nothing, all the time, and only when nobody else wants the processor.
 *
 * In a machine whose clock counts instructions (rig/machine.ts) time in which everybody waits is the host's time, and a busy host lets timers come late. While this runs nobody ever
 * waits: the machine's clock is its instructions alone, and whatever is measured by it is the same on a busy host and on a quiet one. Instructions that do nothing are translated into
 * nothing, so the time passes some times faster than the host's: sleeping in the machine is cheap.
 */
#include <sched.h>

int main(void) {
  const struct sched_param none = {0};
  if (sched_setscheduler(0, SCHED_IDLE, &none) != 0) return 1;
  for (;;) {
#if defined(__x86_64__) || defined(__aarch64__)
    __asm__ volatile(".rept 500\n nop\n .endr");
#endif
  }
}
