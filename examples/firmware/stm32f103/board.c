/*
 * STM32F103C8 ("Blue Pill") with a CAN transceiver on PB8 (receive) and PB9 (transmit). Registers: RM0008. Compiled and linked, its CAN driver tested against a model; never run on a chip.
 *
 * Clock: crystal of 8 MHz, PLL to 72 MHz, APB1 (CAN) at 36 MHz. Watchdog: IWDG, from the chip's own 40 kHz, so that it bites when the crystal stops too.
 */
#include "../common/board.h"
#include "../common/board_can.h"
#include "../common/cortexm.h"
#include "../common/registers.h"
#include "../common/restart.h"
#include "../common/systick.h"
#include "ipcnet_bxcan.h"

#define RCC_CR REGISTER(0x40021000u)
#define RCC_CFGR REGISTER(0x40021004u)
#define RCC_APB2ENR REGISTER(0x40021018u)
#define RCC_APB1ENR REGISTER(0x4002101Cu)
#define RCC_CSR REGISTER(0x40021024u)
#define FLASH_ACR REGISTER(0x40022000u)
#define AFIO_MAPR REGISTER(0x40010004u)
#define GPIOB_CRH REGISTER(0x40010C04u)
#define IWDG_KR REGISTER(0x40003000u)
#define IWDG_PR REGISTER(0x40003004u)
#define IWDG_RLR REGISTER(0x40003008u)
#define IWDG_SR REGISTER(0x4000300Cu)
#define UNIQUE_ID ((const volatile uint32_t *)0x1FFFF7E8u)
#define CAN1 0x40006400u

enum { CLOCK_MHZ = 72, APB1_HZ = 36000000 };

/* Where the bridge of the motor is switched off by its enable pin. */
void board_last_breath(void) {}

void board_start(void) {
  const uint32_t reasons = RCC_CSR;
  RCC_CSR = reasons | 1u << 24;                       /* RMVF: the next start sees its own */
  restart_reasons((reasons & 1u << 29) != 0, (reasons & 1u << 27) != 0);
  RCC_CR |= 1u << 16;                                 /* crystal */
  while ((RCC_CR & 1u << 17) == 0) {}
  FLASH_ACR = 0x12;                                   /* two wait states, prefetch */
  RCC_CFGR = 7u << 18 | 1u << 16 | 4u << 8;           /* PLL: crystal × 9; APB1: half */
  RCC_CR |= 1u << 24;
  while ((RCC_CR & 1u << 25) == 0) {}
  RCC_CFGR |= 2u;
  while ((RCC_CFGR >> 2 & 3u) != 2u) {}
  RCC_APB2ENR |= 1u << 0 | 1u << 3;                   /* AFIO, port B */
  RCC_APB1ENR |= 1u << 25;                            /* CAN */
  AFIO_MAPR = (AFIO_MAPR & ~(3u << 13)) | 2u << 13;   /* CAN on PB8 and PB9 */
  GPIOB_CRH = (GPIOB_CRH & ~0xFFu) | 0xB4u;           /* PB9 alternate output 50 MHz, PB8 input */
  systick_start(CLOCK_MHZ);
}

uint32_t board_entropy(void) {
  uint32_t mixed = UNIQUE_ID[0] ^ UNIQUE_ID[1] ^ UNIQUE_ID[2] ^ restart_count() * 0x9E3779B1u;
  for (int i = 0; i < 64; i++) mixed = (mixed ^ systick_cycles()) * 0x85EBCA6Bu ^ mixed >> 15;
  return mixed != 0 ? mixed : 1u;
}

void board_watchdog_start(uint32_t timeout_ms) {
  IWDG_KR = 0xCCCC;
  IWDG_KR = 0x5555;
  IWDG_PR = 2;                                        /* 40 kHz / 16: 2.5 counts a millisecond */
  const uint32_t counts = timeout_ms * 5u / 2u;
  IWDG_RLR = counts < 0xFFFu ? counts : 0xFFFu;
  while (IWDG_SR != 0) {}
  board_watchdog_feed();
}

void board_watchdog_feed(void) {
  IWDG_KR = 0xAAAA;
}

bool board_can_start(struct ipcnet_can *can, uint32_t bitrate_bps) {
  static struct ipcnet_bxcan controller;
  const struct ipcnet_bxcan_options options = { .registers = REGISTERS_AT(CAN1), .clock_hz = APB1_HZ, .bitrate_bps = bitrate_bps };
  *can = ipcnet_bxcan_can(&controller);
  return ipcnet_bxcan_start(&controller, &options);
}
