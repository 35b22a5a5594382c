/*
 * Xilinx ZCU102, as far as QEMU emulates it (`qemu-system-aarch64 -M xlnx-zcu102`): a Cortex-A53 without operating system and the CAN controller that QEMU has a model of. It stands in for a microcontroller
 * with a CAN controller, which QEMU has none of; on the real board it was never tried, and its watchdog, which QEMU does not model, is not used.
 */
#include "../common/board.h"
#include "../common/board_can.h"
#include "../common/registers.h"
#include "ipcnet_xcan.h"

#define CAN0 0xFF060000u
#define GICD 0xF9010000u
#define GICC 0xF9020000u

enum { CAN_CLOCK_HZ = 100000000 };

extern uint8_t link_bss_start[], link_bss_end[];
int main(void);
void begin(void);
void start(void);

/* The other three processors sleep for good. */
__asm(".section .start,\"ax\"\n.global start\nstart:\n mrs x0, mpidr_el1\n and x0, x0, #0xff\n cbnz x0, 1f\n ldr x0, =link_stack_top\n mov sp, x0\n bl begin\n1: wfi\n b 1b\n.text\n");

static uint64_t frequency_hz;

static uint64_t count(void) {
  uint64_t value;
  __asm volatile("isb\n mrs %0, cntpct_el0" : "=r"(value));
  return value;
}

void begin(void) {
  for (uint8_t *at = link_bss_start; at < link_bss_end; at++) *at = 0;
  (void)main();
}

void board_start(void) {
  __asm volatile("mrs %0, cntfrq_el0" : "=r"(frequency_hz));
  if (frequency_hz == 0) frequency_hz = 62500000;
  /* The timer's interrupts (29, 30) wake the processor from its sleep; they are never taken, since it leaves them masked. */
  REGISTER(GICD + 0x080) = 0;
  REGISTER(GICD) = 1;
  REGISTER(GICD + 0x100) = 1u << 29 | 1u << 30;
  REGISTER(GICC + 4) = 0xFF;
  REGISTER(GICC) = 1;
}

uint32_t board_now_us(void) {
  const uint64_t counted = count();
  return (uint32_t)(counted / frequency_hz * 1000000u + counted % frequency_hz * 1000000u / frequency_hz);
}

uint32_t board_entropy(void) {
  const uint32_t mixed = (uint32_t)(count() * 0x9E3779B97F4A7C15u >> 32);
  return mixed != 0 ? mixed : 1u;
}

enum board_cause board_cause(void) {
  return BOARD_POWER_ON;
}

void board_restart(void) {
  start();
  for (;;) {}
}

void board_watchdog_start(uint32_t timeout_ms) {
  (void)timeout_ms;
}
void board_watchdog_feed(void) {}

/* For a millisecond. */
void board_sleep(void) {
  const uint64_t ticks = frequency_hz / 1000u;
  __asm volatile("msr cntp_tval_el0, %0\n mov x9, #1\n msr cntp_ctl_el0, x9\n isb\n wfi" ::"r"(ticks) : "x9", "memory");
}

bool board_can_start(struct ipcnet_can *can, uint32_t bitrate_bps) {
  static struct ipcnet_xcan controller;
  const struct ipcnet_xcan_options options = { .registers = REGISTERS_AT(CAN0), .clock_hz = CAN_CLOCK_HZ, .bitrate_bps = bitrate_bps, .as_emulated = true };
  *can = ipcnet_xcan_can(&controller);
  return ipcnet_xcan_start(&controller, &options);
}
