/*
 * What a board gives its firmware. Everything that differs between boards is behind these functions; gripper/ and joint/ run on any that has what they need.
 * Called from the main loop alone.
 */
#ifndef IPCNET_EXAMPLE_BOARD_H
#define IPCNET_EXAMPLE_BOARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Clocks, pins, the time; the motor has no power afterwards. */
void board_start(void);

/* Microseconds since the start; wraps. */
uint32_t board_now_us(void);

/* Something that differs at each start, as far as the board can; never 0. */
uint32_t board_entropy(void);

enum board_cause { BOARD_POWER_ON, BOARD_WATCHDOG, BOARD_REQUESTED, BOARD_FAULT, BOARD_RESET_PIN };
/* Why the firmware runs from its beginning. */
enum board_cause board_cause(void);

/* Restarts the chip, as BOARD_REQUESTED. Does not return. */
void board_restart(void);

/*
 * The chip restarts by itself when nobody feeds for so long. Where its watchdog warns first, the motor is switched off then; elsewhere the reset does it, which lets go of the pins: the bridge's enable needs
 * a resistor that pulls it to off.
 */
void board_watchdog_start(uint32_t timeout_ms);
void board_watchdog_feed(void);

/* The serial line, of boards that have one (firmware that needs it does not link on others): one byte each, false when none has come, or there is no room. */
bool board_uart_get(uint8_t *byte);
bool board_uart_put(uint8_t byte);

/* Nothing to do until an interrupt comes; the tick of 1 ms at the latest. */
void board_sleep(void);

#endif
