/* fence: the two kernel facts that decide who owns the bus: the lock, which dies with its holder, and the pidfd, by which a process is killed and known to be dead. */
#ifndef IPCNET_REFLEX_FENCE_H
#define IPCNET_REFLEX_FENCE_H

#include <stdbool.h>
#include <stdint.h>

/* Opens the lock file, made if need be. A descriptor, or a negative errno. */
int ipcnet_fence_open(const char *path);
/* True: the lock is ours (also if it was). Never waits. */
bool ipcnet_fence_try(int fd);
void ipcnet_fence_release(int fd);
/*
 * The lock's holder notes in the file the epoch that it is about to use; the next holder reads it, whoever the one before was: also one that began and died while the next one stood still.
 * The run folder is in memory: no disk is waited for. False: it could not be noted. 0: none was.
 */
bool ipcnet_fence_note_epoch(int fd, uint16_t epoch);
uint16_t ipcnet_fence_noted_epoch(int fd);

/* SIGKILL, never SIGTERM: that would be followed by SIGCONT, which wakes a stopped owner. */
void ipcnet_fence_kill(int pidfd);
bool ipcnet_fence_is_dead(int pidfd);

#endif
