#include "realtime.h"

#include <errno.h>
#include <malloc.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <time.h>

#define STACK_BYTES (48u * 1024u) /* what the loop may use at its deepest, several times over */

static void touch_stack(void) {
  volatile char stack[STACK_BYTES];
  for (unsigned at = 0; at < STACK_BYTES; at += 4096) stack[at] = 0;
  (void)stack[0];
}

/* A takeover runs code that never ran before: it must not be read from a disk then. */
static void touch_program(void) {
  extern const char __executable_start[], etext[];
  for (const volatile char *at = __executable_start; at < (const volatile char *)etext; at += 4096) (void)*at;
}

void ipcnet_realtime_begin(struct ipcnet_realtime *self, int cpu) {
  memset(self, 0, sizeof *self);
  /* Only what is used is locked: half of the C library never is, and each page of it would be torn down while the twin waits for our death. Memory that was given back would have
   * to be faulted in again. */
  mallopt(M_TRIM_THRESHOLD, -1);
  mallopt(M_MMAP_MAX, 0);
  if (mlockall(MCL_CURRENT | MCL_FUTURE | MCL_ONFAULT) == 0 || mlockall(MCL_CURRENT | MCL_FUTURE) == 0) self->locked = true;
  else self->lock_error = errno;
  touch_stack();
  touch_program();
  if (cpu >= 0 && cpu < CPU_SETSIZE) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((unsigned)cpu, &set);
    if (sched_setaffinity(0, sizeof set, &set) != 0) self->schedule_error = errno;
  }
  /* Refused without the right to it, or by kernels that group realtime tasks: tried, not asked about. */
  struct sched_param parameters = {.sched_priority = IPCNET_REALTIME_PRIORITY};
  if (sched_setscheduler(0, SCHED_FIFO, &parameters) == 0) self->scheduled = true;
  else self->schedule_error = errno;
  prctl(PR_SET_TIMERSLACK, 1ul, 0ul, 0ul, 0ul); /* else a timer may come 50 µs late to be company for others */
}

void ipcnet_realtime_lower(void) {
  struct sched_param parameters = {.sched_priority = IPCNET_REALTIME_LOW};
  if (sched_getscheduler(0) == SCHED_FIFO) sched_setscheduler(0, SCHED_FIFO, &parameters);
}

uint64_t ipcnet_now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}
