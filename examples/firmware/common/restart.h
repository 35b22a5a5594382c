/* Why the chip restarted, in memory that a restart leaves alone and a power cycle does not; and a number of starts that differs at each. */
#ifndef IPCNET_EXAMPLE_RESTART_H
#define IPCNET_EXAMPLE_RESTART_H

#include <stdbool.h>
#include <stdint.h>

#include "board.h"

enum { RESTART_NONE, RESTART_WATCHDOG, RESTART_REQUESTED, RESTART_FAULT };

void restart_begin(void);          /* once, at the start */
void restart_note(uint32_t why);   /* for the next start */
/* What the chip says of this one, where it knows: a watchdog that gave no warning left no note. */
void restart_reasons(bool watchdog, bool power_on);
void restart_now(uint32_t why);    /* does not return */
enum board_cause restart_cause(void);
uint32_t restart_count(void);      /* since the power came */

#endif
