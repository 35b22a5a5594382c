#include "systick.h"

#define SYST_CSR (*(volatile uint32_t *)0xE000E010u)
#define SYST_RVR (*(volatile uint32_t *)0xE000E014u)
#define SYST_CVR (*(volatile uint32_t *)0xE000E018u)

static volatile uint32_t ticks_ms;
static uint32_t mhz;

void systick_start(uint32_t clock_mhz) {
  mhz = clock_mhz;
  SYST_RVR = clock_mhz * 1000u - 1u;
  SYST_CVR = 0;
  SYST_CSR = 7u; /* processor clock, interrupt, on */
}

void systick_tick(void) {
  ticks_ms++;
}

uint32_t systick_now_us(void) {
  uint32_t ms, left;
  do {
    ms = ticks_ms;
    left = SYST_CVR;
  } while (ms != ticks_ms);
  return ms * 1000u + (mhz * 1000u - 1u - left) / mhz;
}

uint32_t systick_cycles(void) {
  return SYST_CVR;
}
