/*
 * closer: closes descriptors that came from others without waiting for them.
 *
 * close() asks the file system to flush, and may wait for it as long as it likes: a file of a user's own file system (FUSE) that does not answer, a TCP socket that lingers. Whoever
 * sends such a descriptor must not stop the JavaScript thread. What cannot wait (sealable memory, pipes, Unix sockets) is closed at once, everything else by threads that end when
 * there is nothing left. With IPCNET_CLOSER_THREADS stuck, descriptors wait in line: they stay open, and count against this process's limit, until one of the closes returns.
 * More threads would only move that point: whoever can make eight closes hang can make eighty. It takes a file system of one's own (docs/attacks.md).
 *
 * Threads: all functions belong to the owner.
 */
#ifndef IPCNET_CLOSER_H
#define IPCNET_CLOSER_H

/* Each stands for one close that hangs; a thread costs 256 KiB of address space. */
#define IPCNET_CLOSER_THREADS 8

struct ipcnet_closer;

/* NULL: no memory. */
struct ipcnet_closer *ipcnet_closer_create(void);

/* What still has to be closed will be; nothing is waited for. NULL is allowed. */
void ipcnet_closer_destroy(struct ipcnet_closer *self);

/* Closes `fd`, which is the closer's from now on. Without memory or a thread for it, it is closed here after all. */
void ipcnet_closer_close(struct ipcnet_closer *self, int fd);

#endif
