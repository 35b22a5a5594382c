/*
 * bus_poller: the reader of one bus on a thread of its own.
 *
 * Why: a language runtime stops for its garbage collector longer than a socket buffer lasts. This thread does nothing but move records
 * from the socket into a ring in plain memory, and wakes the owner once per burst, however many frames came.
 *
 * Threads. The poller's thread is the core's *reader*; whoever calls these functions is its *owner*, one thread at a time. The ring has one writer and one reader;
 * `head` is published with release by the thread and read with acquire by the owner, `tail` the other way round.
 * `wake` is called on the poller's thread, at most once until the owner has called ipcnet_bus_poller_woken.
 *
 * When the ring is full the newest frames are read and thrown away, and the next one kept says how many (`lost_before`).
 */
#ifndef IPCNET_BUS_POLLER_H
#define IPCNET_BUS_POLLER_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipcnet_can.h"

#define IPCNET_BUS_EVENTS 256

enum { IPCNET_REQUEST_STOP = 1, IPCNET_REQUEST_PURGE = 2, IPCNET_REQUEST_RESTART = 4, IPCNET_REQUEST_SYNC = 8 };

struct ipcnet_bus_poller {
    struct ipcnet_can *can;
    struct ipcnet_can_frame *ring;
    uint32_t capacity; /* a power of two */
    void (*wake)(void *context);
    void *wake_context;

    _Alignas(64) _Atomic uint32_t head; /* written by the thread */
    _Alignas(64) _Atomic uint32_t tail; /* written by the owner */
    _Atomic bool wake_pending;
    _Atomic uint32_t requests, sync_number;
    _Atomic uint64_t ring_lost_frames, wake_ups;

    pthread_mutex_t events_lock;
    struct ipcnet_can_link_event events[IPCNET_BUS_EVENTS];
    uint32_t events_head, events_tail;
    struct ipcnet_can_link link;
    bool drops_uncounted; /* too many DROPPED at once: told as an OVERFLOW */

    int wake_fd;
    pthread_t thread;
    bool running;

    /* The thread's own. */
    bool socket_muted;    /* its end was told; polling it further would spin */
    uint32_t lost_before;
    struct ipcnet_can_frame scratch[IPCNET_CAN_BATCH];
};

/* `ring` has room for `capacity` records, a power of two ≥ 64. 0 or a negative errno. */
int ipcnet_bus_poller_init(struct ipcnet_bus_poller *self, struct ipcnet_can *can, struct ipcnet_can_frame *ring, uint32_t capacity, void (*wake)(void *), void *wake_context);
/* Stops the thread, frees the wake-up descriptor. */
void ipcnet_bus_poller_destroy(struct ipcnet_bus_poller *self);

/* Starts reading; a no-op when it runs. 0 or a negative errno. What is in the ring stays there. */
int ipcnet_bus_poller_start(struct ipcnet_bus_poller *self);
/* Returns when the thread has ended; the core may then be opened or closed. */
void ipcnet_bus_poller_stop(struct ipcnet_bus_poller *self);

/* Asks the thread for IPCNET_REQUEST_PURGE, _RESTART or _SYNC (a barrier: answered by IPCNET_LINK_SYNCED when all that had arrived is in the ring). */
void ipcnet_bus_poller_request(struct ipcnet_bus_poller *self, uint32_t requests, uint32_t sync_number);
/* To be called first when woken: what comes later wakes anew. */
void ipcnet_bus_poller_woken(struct ipcnet_bus_poller *self);
/* How many events wait. Frames that happened before them are in the ring already: count, drain the ring until it is empty, then take so many. */
uint32_t ipcnet_bus_poller_events_waiting(struct ipcnet_bus_poller *self);
/* Takes the next event. */
bool ipcnet_bus_poller_next_event(struct ipcnet_bus_poller *self, struct ipcnet_can_link_event *event);
/* The link as it was at the latest UP, DOWN or GONE that the thread has posted. */
struct ipcnet_can_link ipcnet_bus_poller_link(struct ipcnet_bus_poller *self);
/* Moves up to `max` records out of the ring. */
size_t ipcnet_bus_poller_drain(struct ipcnet_bus_poller *self, struct ipcnet_can_frame *to, size_t max);

#endif
