/*
 * watchdog: the hardware watchdog (linux/watchdog.h), fed by a thread of its own, because a driver may take its time, but only on the word of the loop: each feeding needs a fresh
 * sign that the loop turned and found itself healthy or safely posed. No sign, no feeding, and the host is reset.
 *
 * Only one process can have the device open: the owner of the bus. Who loses the bus closes it without the magic letter, so that it goes on counting until the twin feeds it;
 * only an orderly stop in a safe pose ends it ("V").
 */
#ifndef IPCNET_REFLEX_WATCHDOG_H
#define IPCNET_REFLEX_WATCHDOG_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define IPCNET_WATCHDOG_PERIOD_US 500000u /* most devices have a timeout of seconds */
#define IPCNET_WATCHDOG_FRESH_US 200000u  /* how old the loop's word may be */

enum ipcnet_watchdog_wish { IPCNET_WATCHDOG_LEAVE /* closed, counting if it was open */, IPCNET_WATCHDOG_FEED, IPCNET_WATCHDOG_END /* posed: magic close */ };

struct ipcnet_watchdog {
  const char *path; /* NULL: none */
  _Atomic uint32_t wish;
  _Atomic uint64_t healthy_us; /* when the loop last said so */
  _Atomic uint64_t feeds;
  _Atomic bool open, ended;
  int wake_fd;
};

/* 0, or a negative errno. */
int ipcnet_watchdog_start(struct ipcnet_watchdog *self, const char *path);
/* From the loop, as often as it likes. */
void ipcnet_watchdog_say(struct ipcnet_watchdog *self, enum ipcnet_watchdog_wish wish, bool healthy, uint64_t now_us);

#endif
