/* fence: the two kernel facts that decide who owns the bus: the lock, which dies with its holder, and the pidfd, by which a process is killed and known to be dead. */
#ifndef IPCNET_REFLEX_FENCE_H
#define IPCNET_REFLEX_FENCE_H

#include <stdbool.h>

/* Opens the lock file, made if need be. A descriptor, or a negative errno. */
int ipcnet_fence_open(const char *path);
/* True: the lock is ours (also if it was). Never waits. */
bool ipcnet_fence_try(int fd);
void ipcnet_fence_release(int fd);

/* SIGKILL, never SIGTERM: that would be followed by SIGCONT, which wakes a stopped owner. */
void ipcnet_fence_kill(int pidfd);
bool ipcnet_fence_is_dead(int pidfd);

#endif
