/* What a board with a Cortex-M gives startup.c besides board.h. */
#ifndef IPCNET_EXAMPLE_CORTEXM_H
#define IPCNET_EXAMPLE_CORTEXM_H

#include <stdint.h>

/* What must happen before a chip that hangs or has lost its way is restarted: the motor's power goes. From the handlers of faults and of the watchdog's warning (NMI). */
void board_last_breath(void);

/* An interrupt, by its number. A board that switches on none but the tick need not have it. */
void board_interrupt(uint32_t number);

#endif
