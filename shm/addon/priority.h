/*
 * priority: has all threads of a process run before everybody else's for a moment, and gives back what they had.
 *
 * Main thread and helpers alike: one that waits for a helper waits for a processor too. SCHED_RR at its lowest priority, which ordinary threads never delay; where that is not allowed
 * nice -20; else nothing. Threads that are not scheduled ordinarily (somebody has set them up) are left alone. Children and threads that are made meanwhile are ordinary ones.
 */
#ifndef IPCNET_PRIORITY_H
#define IPCNET_PRIORITY_H

#include <stdint.h>
#include <sys/types.h>

/* A Node process has about a dozen; more stay as they are. */
#define IPCNET_PRIORITY_THREADS 64u

struct ipcnet_priority {
  uint32_t count;
  struct {
    pid_t thread;
    int nice;
    int realtime;
  } threads[IPCNET_PRIORITY_THREADS];
};

/* Raises the threads of process `pid`. Returns how many; -EPERM: none may be; another negative errno: the process is gone. Call `lower` before the next `raise`. */
int ipcnet_priority_raise(struct ipcnet_priority *self, pid_t pid);

/* Raises the calling thread alone, for good. 0, or -EPERM. */
int ipcnet_priority_raise_thread(void);

/* Gives back what the threads had that still live. Allowed to everybody. */
void ipcnet_priority_lower(struct ipcnet_priority *self);

#endif
