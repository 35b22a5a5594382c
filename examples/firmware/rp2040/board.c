/*
 * RP2040 (Raspberry Pi Pico) with an MCP2515 and its 16 MHz crystal on SPI0: GP16 MISO, GP17 chip select, GP18 clock, GP19 MOSI. Registers: RP2040 data sheet. Compiled and linked; its CAN driver is tested
 * against a model of the MCP2515; never run on a chip.
 *
 * Clock: the 12 MHz crystal, without PLL: a joint needs no more. The watchdog's time stands still while a debugger halts the chip.
 */
#include "../common/board.h"
#include "../common/board_can.h"
#include "../common/cortexm.h"
#include "../common/registers.h"
#include "../common/restart.h"
#include "../common/systick.h"
#include "ipcnet_mcp2515.h"

#define CLEAR(address) REGISTER((address) + 0x3000u) /* the atomic alias that clears bits */
#define SET(address) REGISTER((address) + 0x2000u)
#define RESETS 0x4000C000u
#define RESETS_DONE REGISTER(0x4000C008u)
#define CLOCKS_REF_CTRL REGISTER(0x40008030u)
#define CLOCKS_REF_SELECTED REGISTER(0x40008038u)
#define CLOCKS_SYS_CTRL REGISTER(0x4000803Cu)
#define CLOCKS_PERI_CTRL REGISTER(0x40008048u)
#define XOSC_CTRL REGISTER(0x40024000u)
#define XOSC_STATUS REGISTER(0x40024004u)
#define XOSC_STARTUP REGISTER(0x4002400Cu)
#define ROSC_RANDOM REGISTER(0x4006001Cu)
#define WATCHDOG_CTRL 0x40058000u
#define WATCHDOG_LOAD REGISTER(0x40058004u)
#define WATCHDOG_REASON REGISTER(0x40058008u)
#define WATCHDOG_SCRATCH(number) REGISTER(WATCHDOG_CTRL + 0x0Cu + 4u * (number))
#define POWER_WATCHDOG_SELECT REGISTER(0x40010008u)
#define WATCHDOG_TICK REGISTER(0x4005802Cu)
#define GPIO_FUNCTION(pin) REGISTER(0x40014004u + 8u * (pin))
#define SIO_OUT_SET REGISTER(0xD0000014u)
#define SIO_OUT_CLEAR REGISTER(0xD0000018u)
#define SIO_ENABLE_SET REGISTER(0xD0000024u)
#define SPI0 0x4003C000u
#define SPI_CR0 REGISTER(SPI0 + 0x00u)
#define SPI_CR1 REGISTER(SPI0 + 0x04u)
#define SPI_DATA REGISTER(SPI0 + 0x08u)
#define SPI_STATUS REGISTER(SPI0 + 0x0Cu) /* 2: takes a byte, 4: has one */
#define SPI_PRESCALER REGISTER(SPI0 + 0x10u)

enum { CLOCK_MHZ = 12, CHIP_SELECT = 17, FUNCTION_SPI = 1, FUNCTION_SIO = 5, MCP2515_CRYSTAL_HZ = 16000000 };
enum { RESET_IO = 1 << 5, RESET_PADS = 1 << 8, RESET_SPI0 = 1 << 16 };

static uint32_t watchdog_counts;
extern uint32_t link_vectors[];

/* The boot ROM jumps to the first instruction of a RAM image; the vectors lie behind it. */
__attribute__((naked, used, section(".boot"))) static void entry(void) {
  __asm volatile("ldr r0, =link_vectors\n ldr r1, =0xE000ED08\n str r0, [r1]\n ldmia r0!, {r1, r2}\n msr msp, r1\n bx r2\n .ltorg");
}

/* Where the bridge of the motor is switched off by its enable pin. */
void board_last_breath(void) {}

void board_start(void) {
  REGISTER(0xE000ED08u) = (uint32_t)(uintptr_t)link_vectors; /* also when the boot ROM has come here past `entry` */
  restart_reasons((WATCHDOG_REASON & 1u) != 0, restart_cause() == BOARD_POWER_ON);
  XOSC_STARTUP = 47;                                   /* × 256 cycles: 1 ms */
  XOSC_CTRL = 0xFABu << 12 | 0xAA0u;
  while ((XOSC_STATUS & 1u << 31) == 0) {}
  CLOCKS_REF_CTRL = 2;                                 /* the crystal */
  while ((CLOCKS_REF_SELECTED & 1u << 2) == 0) {}
  CLOCKS_SYS_CTRL = 0;                                 /* as the reference */
  CLOCKS_PERI_CTRL = 1u << 11;
  WATCHDOG_TICK = 1u << 9 | CLOCK_MHZ;                 /* 1 µs */
  CLEAR(RESETS) = RESET_IO | RESET_PADS | RESET_SPI0;
  while ((RESETS_DONE & (RESET_IO | RESET_PADS | RESET_SPI0)) != (RESET_IO | RESET_PADS | RESET_SPI0)) {}
  for (uint32_t pin = 16; pin < 20; pin++) GPIO_FUNCTION(pin) = pin == CHIP_SELECT ? FUNCTION_SIO : FUNCTION_SPI;
  SIO_OUT_SET = 1u << CHIP_SELECT;
  SIO_ENABLE_SET = 1u << CHIP_SELECT;
  SPI_PRESCALER = 2;                                   /* 6 MHz */
  SPI_CR0 = 7;                                         /* 8 bits, mode 0 */
  SPI_CR1 = 2;
  systick_start(CLOCK_MHZ);
}

/* The ring oscillator runs beside the crystal; its phase is noise. */
uint32_t board_entropy(void) {
  uint32_t mixed = 0;
  for (int i = 0; i < 256; i++) mixed = (mixed << 1 | mixed >> 31) ^ (ROSC_RANDOM & 1u) ^ systick_cycles();
  return mixed != 0 ? mixed : 1u;
}

void board_watchdog_start(uint32_t timeout_ms) {
  CLEAR(WATCHDOG_CTRL) = 1u << 30;
  watchdog_counts = timeout_ms * 2000u;                /* it counts two a microsecond (erratum E1); 24 bits, 8.3 s */
  /* The whole chip but its oscillators; and the boot ROM comes back to this image, which is in RAM alone (data sheet, "watchdog boot"). */
  POWER_WATCHDOG_SELECT = 0x0001FFFCu;
  WATCHDOG_SCRATCH(4) = 0xB007C0D3u;
  WATCHDOG_SCRATCH(5) = link_vectors[1] ^ (0u - 0xB007C0D3u);
  WATCHDOG_SCRATCH(6) = link_vectors[0];
  WATCHDOG_SCRATCH(7) = link_vectors[1];
  board_watchdog_feed();
  SET(WATCHDOG_CTRL) = 1u << 30;
}

void board_watchdog_feed(void) {
  WATCHDOG_LOAD = watchdog_counts;
}

static void transfer(void *context, const uint8_t *out, uint8_t *in, size_t length) {
  (void)context;
  SIO_OUT_CLEAR = 1u << CHIP_SELECT;
  for (size_t i = 0; i < length; i++) {
    while ((SPI_STATUS & 2u) == 0) {}
    SPI_DATA = out[i];
    while ((SPI_STATUS & 4u) == 0) {}
    in[i] = (uint8_t)SPI_DATA;
  }
  SIO_OUT_SET = 1u << CHIP_SELECT;
}

bool board_can_start(struct ipcnet_can *can, uint32_t bitrate_bps) {
  static struct ipcnet_mcp2515 controller;
  const struct ipcnet_mcp2515_options options = { .spi = { .transfer = transfer }, .crystal_hz = MCP2515_CRYSTAL_HZ, .bitrate_bps = bitrate_bps };
  *can = ipcnet_mcp2515_can(&controller);
  return ipcnet_mcp2515_start(&controller, &options);
}
