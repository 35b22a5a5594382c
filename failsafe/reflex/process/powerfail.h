/*
 * powerfail: the GPIO line that says that power fails, through the character device of the kernel (version 2 of its interface, Linux 5.10). The table names the line; the core is told what it says
 * (struct ipcnet_reflex_options, power_line) and does the rest.
 *
 * A line can be requested once. Whoever of the twins is first has it, and gives the other a duplicate: then it stays requested, and what happens on it is kept, whoever of the two dies. Only
 * the owner of the bus reads; who becomes owner asks for the level first, so that a power that failed while nobody owned counts.
 *
 * Nothing here waits. A line that cannot be requested is tried again; why it could not be is `error`.
 */
#ifndef IPCNET_REFLEX_POWERFAIL_H
#define IPCNET_REFLEX_POWERFAIL_H

#include <stdbool.h>
#include <stdint.h>

#include "gpio.h"
#include "reflex_table.h"

/* What is wanted of which line; also the body of POWER_LINE on the control socket, 112 bytes. */
struct ipcnet_powerfail_want {
  char chip[IPCNET_REFLEX_CHIP_BYTES]; /* empty: no line */
  char name[IPCNET_REFLEX_LINE_BYTES]; /* empty: by number */
  uint32_t line, debounce_us;
  uint8_t active_low, reserved[7];
};
_Static_assert(sizeof(struct ipcnet_powerfail_want) == 112, "docs/specs/reflex.md says 112");

struct ipcnet_powerfail {
  const struct ipcnet_gpio *gpio;
  struct ipcnet_powerfail_want want;
  int fd;            /* of the request; -1: not watched */
  int error;         /* errno of the last attempt; 0: none yet, or it is watched */
  bool gone;         /* the chip was taken away: `fd` says nothing any more, and is closed by the next tick */
  bool follows;      /* we own the bus: what the line says counts */
  bool active;       /* as far as it was read */
  bool pulsed;       /* it was active since the core looked last */
  uint64_t retry_us;
  uint32_t sequence; /* of the last event; 0: none yet */
  uint64_t events, lost_events; /* lost: the kernel's queue was full; the newest are kept */
};

void ipcnet_powerfail_init(struct ipcnet_powerfail *self, const struct ipcnet_gpio *gpio);
/* What a table asks for; nothing without a pin. */
void ipcnet_powerfail_of(struct ipcnet_powerfail_want *to, const struct ipcnet_reflex_table *table);
/* Another line than before is another request: the one before is let go, its descriptor closed. */
void ipcnet_powerfail_use(struct ipcnet_powerfail *self, const struct ipcnet_powerfail_want *want);
/* Requests the line if it has none and it is time. True: `fd` is new. */
bool ipcnet_powerfail_tick(struct ipcnet_powerfail *self, uint64_t now_us);
/* The next tick tries at once. */
void ipcnet_powerfail_hurry(struct ipcnet_powerfail *self);
/* The twin has it. Takes `fd` if it is the line that is wanted and none is there yet; false: it stays the caller's. */
bool ipcnet_powerfail_take(struct ipcnet_powerfail *self, const struct ipcnet_powerfail_want *want, int fd);
/* We own the bus, or do not any more. Who begins to counts what the line says now, and a pulse of the last second that nobody has read. */
void ipcnet_powerfail_follow(struct ipcnet_powerfail *self, bool follows, uint64_t now_us);
/* `fd` is readable. Afterwards it may be gone. */
void ipcnet_powerfail_read(struct ipcnet_powerfail *self);
/* For the core: 1, 0 or a negative errno. Who does not follow says 0 while it could. */
int ipcnet_powerfail_says(const struct ipcnet_powerfail *self);
/* The core has looked: a pulse is not told twice. */
void ipcnet_powerfail_looked(struct ipcnet_powerfail *self);
/* What somebody can do about `error`; for a log. */
const char *ipcnet_powerfail_remedy(int error);

#endif
