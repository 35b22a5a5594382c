#include "priority.h"

#include <dirent.h>
#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SCHED_RESET_ON_FORK
#define SCHED_RESET_ON_FORK 0x40000000
#endif
#define NICE_MIN (-20)

/* 1: realtime, 0: nice; or a negative errno. */
static int raise_one(pid_t thread) {
  const struct sched_param lowest = { .sched_priority = 1 };
  if (sched_setscheduler(thread, SCHED_RR | SCHED_RESET_ON_FORK, &lowest) == 0) return 1;
  if (errno == ESRCH) return -ESRCH;
  return setpriority(PRIO_PROCESS, (id_t)thread, NICE_MIN) == 0 ? 0 : errno == ESRCH ? -ESRCH : -EPERM;
}

int ipcnet_priority_raise_thread(void) {
  int status = raise_one((pid_t)syscall(SYS_gettid));
  return status < 0 ? status : 0;
}

int ipcnet_priority_raise(struct ipcnet_priority *self, pid_t pid) {
  char path[48];
  self->count = 0;
  snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
  DIR *folder = opendir(path);
  if (folder == NULL) return -errno;
  int refused = 0;
  for (struct dirent *entry = readdir(folder); entry != NULL && self->count < IPCNET_PRIORITY_THREADS; entry = readdir(folder)) {
    pid_t thread = (pid_t)strtol(entry->d_name, NULL, 10);
    if (thread <= 0 || sched_getscheduler(thread) != SCHED_OTHER) continue;
    errno = 0;
    int nice = getpriority(PRIO_PROCESS, (id_t)thread);
    int status = errno != 0 ? -errno : raise_one(thread);
    if (status == -EPERM) refused = 1;
    if (status < 0) continue;
    self->threads[self->count].thread = thread;
    self->threads[self->count].nice = nice;
    self->threads[self->count].realtime = status;
    self->count++;
  }
  closedir(folder);
  return self->count == 0 && refused ? -EPERM : (int)self->count;
}

void ipcnet_priority_lower(struct ipcnet_priority *self) {
  const struct sched_param none = { .sched_priority = 0 };
  for (uint32_t i = 0; i < self->count; i++) {
    pid_t thread = self->threads[i].thread;
    if (!self->threads[i].realtime) setpriority(PRIO_PROCESS, (id_t)thread, self->threads[i].nice);
    /* Whoever may raise by a limit alone may not take the mark for children off again: it does no harm. */
    else if (sched_setscheduler(thread, SCHED_OTHER, &none) != 0 && errno == EPERM) sched_setscheduler(thread, SCHED_OTHER | SCHED_RESET_ON_FORK, &none);
  }
  self->count = 0;
}
