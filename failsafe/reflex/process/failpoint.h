/*
 * failpoint: places where a test can have this process die, stop, or wait for a disk that is full. Only in test builds (-DIPCNET_FAILPOINTS); elsewhere nothing is left of them.
 * IPCNET_FAILPOINT="beforeClaim:kill" or "storeEpoch:fail:3" (the third time): what the environment says when the process starts. Besides the steps of a takeover there are, those of the plan with a number:
 *   turn                           (fail) the loop stands still for more than a second before each turn; the buses' pollers go on
 *   beforeSend#ID, afterSend#ID    a frame with this identifier (decimal) goes to the bus, has gone to it
 *   heard#ID                       such a frame was read off the bus, and nobody has looked at it yet
 *   beforeJournal#STEP             ten times the step's row and its state (enum ipcnet_reflex_step_state): the core knows of it, no image does
 *   beforeDisk#STEP                the same, and the page has it, the disk has not been asked yet; beforeDiskLast, beforeDiskVerdict: the last rung begins, the run has ended
 *   beforeVerdict                  the run has ended, the image says so, and nobody was told
 */
#ifndef IPCNET_REFLEX_FAILPOINT_H
#define IPCNET_REFLEX_FAILPOINT_H

#include <stdbool.h>

#ifdef IPCNET_FAILPOINTS
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* True: the place shall behave as if it had failed. Kills or stops the process if so asked. */
static inline bool ipcnet_failpoint(const char *name, unsigned *times) {
  const char *asked = getenv("IPCNET_FAILPOINT");
  size_t length = strlen(name);
  if (asked == NULL || strncmp(asked, name, length) != 0 || asked[length] != ':') return false;
  const char *what = asked + length + 1, *nth = strchr(what, ':');
  *times += 1;
  if (nth != NULL && *times < (unsigned)atoi(nth + 1)) return false;
  if (strncmp(what, "kill", 4) == 0) kill(getpid(), SIGKILL);
  if (strncmp(what, "stop", 4) == 0) kill(getpid(), SIGSTOP);
  return strncmp(what, "fail", 4) == 0;
}
static inline bool ipcnet_failpoint_of(const char *place, unsigned long number, unsigned *times) {
  char name[48];
  snprintf(name, sizeof name, "%s#%lu", place, number);
  return ipcnet_failpoint(name, times);
}
#define IPCNET_FAILPOINT(name) ({ static unsigned times_; ipcnet_failpoint(name, &times_); })
#define IPCNET_FAILPOINT_OF(place, number) ({ static unsigned times_; ipcnet_failpoint_of(place, number, &times_); })
#else
#define IPCNET_FAILPOINT(name) false
#define IPCNET_FAILPOINT_OF(place, number) false
#endif

#endif
