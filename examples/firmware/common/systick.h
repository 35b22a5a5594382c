/* Time from the processor's own timer: a tick of 1 ms, and the microseconds within it. The clock is a whole number of MHz. */
#ifndef IPCNET_EXAMPLE_SYSTICK_H
#define IPCNET_EXAMPLE_SYSTICK_H

#include <stdint.h>

void systick_start(uint32_t clock_mhz);
void systick_tick(void);         /* from its interrupt */
uint32_t systick_now_us(void);   /* from the main loop, with interrupts on */
uint32_t systick_cycles(void);   /* within the millisecond: noise, for what has no better */

#endif
