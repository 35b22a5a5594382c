/*
 * poller: one thread that waits on many sockets for one JavaScript thread.
 *
 * Each watch is one-shot: after it has reported, a socket is silent until it is armed again. So a JavaScript thread that is stopped or busy leads to
 * data waiting in the kernel (and to back-pressure on the peers), never to growth here: what waits for JavaScript is bounded by the ring.
 *
 * Threads: `create`, `watch`, `arm`, `take`, `destroy` belong to the owner; `wake` is called on the poller's thread.
 */
#ifndef IPCNET_POLLER_H
#define IPCNET_POLLER_H

#include <stdint.h>

#define IPCNET_POLLER_READ 1u
#define IPCNET_POLLER_WRITE 2u
/* The peer has hung up or the socket has failed; comes with whatever was armed. */
#define IPCNET_POLLER_HANGUP 4u

struct ipcnet_poller;

struct ipcnet_ready {
  /* The caller's own number of the socket. */
  uint32_t id;
  uint32_t events;
};

/* `wake(context)` says that `take` has something; it is not repeated until `take` has returned 0. NULL and errno when there are no resources. */
struct ipcnet_poller *ipcnet_poller_create(void (*wake)(void *context), void *context);

/* Ends the thread and frees everything; `wake` is not called after it has returned. Close the sockets yourself. */
void ipcnet_poller_destroy(struct ipcnet_poller *poller);

/* Adds a socket, not armed. 0 or a negative errno. Closing the descriptor ends the watch. */
int ipcnet_poller_watch(struct ipcnet_poller *poller, int fd, uint32_t id);

/* Ends a watch; the descriptor stays open. */
void ipcnet_poller_unwatch(struct ipcnet_poller *poller, int fd);

/* Asks for one report of any of `events`. A socket that is ready already reports at once. */
int ipcnet_poller_arm(struct ipcnet_poller *poller, int fd, uint32_t id, uint32_t events);

/* Takes up to `capacity` reports. 0 = none left: `wake` will be called for the next. May contain ids that were closed meanwhile. */
uint32_t ipcnet_poller_take(struct ipcnet_poller *poller, struct ipcnet_ready *ready, uint32_t capacity);

#endif
