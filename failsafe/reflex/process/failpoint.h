/*
 * failpoint: places where a test can have this process die, stop, or wait for a disk that is full. Only in test builds (-DIPCNET_FAILPOINTS); elsewhere nothing is left of them.
 * IPCNET_FAILPOINT="beforeClaim:kill" or "storeEpoch:fail:3" (the third time): what the environment says when the process starts.
 */
#ifndef IPCNET_REFLEX_FAILPOINT_H
#define IPCNET_REFLEX_FAILPOINT_H

#include <stdbool.h>

#ifdef IPCNET_FAILPOINTS
#include <signal.h>
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
#define IPCNET_FAILPOINT(name) ({ static unsigned times_; ipcnet_failpoint(name, &times_); })
#else
#define IPCNET_FAILPOINT(name) false
#endif

#endif
