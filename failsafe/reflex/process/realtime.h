/*
 * realtime: what the host grants of it. Asked for once, before any thread is started; whatever is refused is said loudly and done without: a process that is late
 * now and then is better than none, and the nodes' dead-man does not depend on it.
 */
#ifndef IPCNET_REFLEX_REALTIME_H
#define IPCNET_REFLEX_REALTIME_H

#include <stdbool.h>
#include <stdint.h>

#define IPCNET_REALTIME_PRIORITY 50
#define IPCNET_REALTIME_LOW 1

struct ipcnet_realtime {
  bool scheduled, locked;
  int schedule_error, lock_error; /* errno of what was refused */
};

/* `cpu` -1: any. Threads started later inherit the priority. */
void ipcnet_realtime_begin(struct ipcnet_realtime *self, int cpu);
/* For a thread that may wait for disks: below all others of ours, but still before ordinary processes. A process is dead only when its last thread has run to its end: one
 * that had to wait for a processor would keep the bus without an owner for milliseconds. */
void ipcnet_realtime_lower(void);

uint64_t ipcnet_now_us(void);

#endif
