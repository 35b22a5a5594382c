/*
 * ARM MPS2 with the AN385 image: a Cortex-M3 at 25 MHz with CMSDK peripherals. It is the board that QEMU emulates (`qemu-system-arm -M mps2-an385`); on the real one this was never tried.
 * Registers: ARM DDI 0479 (CMSDK UART and watchdog).
 */
#include "../common/board.h"
#include "../common/cortexm.h"
#include "../common/registers.h"
#include "../common/restart.h"
#include "../common/systick.h"

#define UART_DATA REGISTER(0x40004000u)
#define UART_STATE REGISTER(0x40004004u)   /* 1: the transmitter is full, 2: a byte has come */
#define UART_CONTROL REGISTER(0x40004008u)
#define UART_INTERRUPT REGISTER(0x4000400Cu)
#define UART_DIVIDER REGISTER(0x40004010u)
#define WATCHDOG_LOAD REGISTER(0x40008000u)
#define WATCHDOG_CONTROL REGISTER(0x40008008u)
#define WATCHDOG_CLEAR REGISTER(0x4000800Cu)
#define WATCHDOG_LOCK REGISTER(0x40008C00u)
#define NVIC_ENABLE REGISTER(0xE000E100u)

enum { CLOCK_MHZ = 25, BAUD_BPS = 115200, UART_RECEIVED = 0, RING_BYTES = 512 };

/* From the interrupt to the main loop: 44 ms of the line. One side writes each index. */
static volatile uint8_t ring[RING_BYTES];
static volatile uint32_t ring_in, ring_out, ring_lost;

void board_interrupt(uint32_t number) {
  if (number != UART_RECEIVED) return;
  UART_INTERRUPT = 2;
  while ((UART_STATE & 2u) != 0) {
    const uint8_t byte = (uint8_t)UART_DATA;
    if (ring_in - ring_out < RING_BYTES) {
      ring[ring_in % RING_BYTES] = byte;
      ring_in++;
    } else ring_lost++;
  }
}

/* Where a real board takes the torque off its motor, in hardware. */
void board_last_breath(void) {}

void board_start(void) {
  UART_DIVIDER = CLOCK_MHZ * 1000000u / BAUD_BPS;
  UART_CONTROL = 1u | 2u | 8u; /* send, receive, interrupt when received */
  NVIC_ENABLE = 1u << UART_RECEIVED;
  systick_start(CLOCK_MHZ);
}

/*
 * The number of starts since the power came, and how long things took to come. Whoever asks after the first byte from outside has the sender's clock in it; a chip with a random number generator has better.
 */
uint32_t board_entropy(void) {
  uint32_t mixed = restart_count() * 0x9E3779B1u;
  for (int i = 0; i < 64; i++) {
    mixed = (mixed ^ systick_cycles() ^ board_now_us()) * 0x85EBCA6Bu;
    mixed ^= mixed >> 15;
  }
  return mixed != 0 ? mixed : 1u;
}

/* Half of the time until its first warning (NMI: common/startup.c), which nobody answers; the other half until it restarts the chip. */
void board_watchdog_start(uint32_t timeout_ms) {
  WATCHDOG_LOCK = 0x1ACCE551u;
  WATCHDOG_LOAD = CLOCK_MHZ * 1000u * (timeout_ms / 2u);
  WATCHDOG_CONTROL = 1u | 2u;
}

void board_watchdog_feed(void) {
  WATCHDOG_CLEAR = 1;
}

bool board_uart_get(uint8_t *byte) {
  if (ring_in == ring_out) return false;
  *byte = ring[ring_out % RING_BYTES];
  ring_out++;
  return true;
}

bool board_uart_put(uint8_t byte) {
  if ((UART_STATE & 1u) != 0) return false;
  UART_DATA = byte;
  return true;
}
