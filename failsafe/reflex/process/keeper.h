/*
 * keeper: a process that shares our memory and does nothing.
 *
 * Why: the kernel says that a process is dead (pidfd, lock) only after it has torn down its memory, and that is most of the time for which a bus has no owner: some hundred microseconds
 * for four megabytes. Memory that somebody else uses as well is not torn down. So a keeper, forked with CLONE_VM and nothing else in common (no descriptor, no lock, no bus:
 * it cannot send, and it never runs), outlives us by an instant: the kernel kills it when we are dead, and the memory goes with it, while our twin has the bus already.
 */
#ifndef IPCNET_REFLEX_KEEPER_H
#define IPCNET_REFLEX_KEEPER_H

struct ipcnet_keeper { int pid; /* 0: none */ };

/* From the main thread, before anything is open that must not be held by another. 0, or a negative errno: then death takes its time. */
int ipcnet_keeper_start(struct ipcnet_keeper *self);
void ipcnet_keeper_stop(struct ipcnet_keeper *self);

#endif
