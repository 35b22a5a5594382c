#include "bus_poller.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define STACK_BYTES (256u * 1024u)
#define ROUNDS_MAX 1024u              /* of up to 64 frames before requests are looked at again */
#define DROPPED_EVENTS_MAX (IPCNET_BUS_EVENTS - 64u)

/* ---- Events ------------------------------------------------------------------------------------------------------------------------- */

static void post(struct ipcnet_bus_poller *self, const struct ipcnet_can_link_event *event)
{
    pthread_mutex_lock(&self->events_lock);
    uint32_t waiting = self->events_head - self->events_tail;
    if (event->kind == IPCNET_LINK_UP || event->kind == IPCNET_LINK_DOWN || event->kind == IPCNET_LINK_GONE) self->link = *ipcnet_can_last_link(self->can);
    if (event->kind == IPCNET_LINK_DROPPED && waiting >= DROPPED_EVENTS_MAX) {
        self->drops_uncounted = true;
    } else {
        if (waiting >= IPCNET_BUS_EVENTS) self->events_head -= 1; /* the owner sleeps through it all: the latest is truer than the one before */
        self->events[self->events_head++ % IPCNET_BUS_EVENTS] = *event;
    }
    pthread_mutex_unlock(&self->events_lock);
}

struct ipcnet_can_link ipcnet_bus_poller_link(struct ipcnet_bus_poller *self)
{
    pthread_mutex_lock(&self->events_lock);
    struct ipcnet_can_link link = self->link;
    pthread_mutex_unlock(&self->events_lock);
    return link;
}

uint32_t ipcnet_bus_poller_events_waiting(struct ipcnet_bus_poller *self)
{
    pthread_mutex_lock(&self->events_lock);
    uint32_t waiting = self->events_head - self->events_tail + (self->drops_uncounted ? 1u : 0u);
    pthread_mutex_unlock(&self->events_lock);
    return waiting;
}

bool ipcnet_bus_poller_next_event(struct ipcnet_bus_poller *self, struct ipcnet_can_link_event *event)
{
    bool some = true;
    pthread_mutex_lock(&self->events_lock);
    if (self->drops_uncounted) {
        *event = (struct ipcnet_can_link_event){ .kind = IPCNET_LINK_OVERFLOW };
        self->drops_uncounted = false;
    } else if (self->events_tail != self->events_head) {
        *event = self->events[self->events_tail++ % IPCNET_BUS_EVENTS];
    } else {
        some = false;
    }
    pthread_mutex_unlock(&self->events_lock);
    return some;
}

static void wake_owner(struct ipcnet_bus_poller *self)
{
    /* SYNC: after the frames and events were published; pairs with the exchange in woken. */
    if (atomic_exchange(&self->wake_pending, true)) return;
    atomic_fetch_add_explicit(&self->wake_ups, 1, memory_order_relaxed);
    self->wake(self->wake_context);
}

void ipcnet_bus_poller_woken(struct ipcnet_bus_poller *self)
{
    atomic_exchange(&self->wake_pending, false);
}

/* ---- The ring ----------------------------------------------------------------------------------------------------------------------- */

/* Reads once into the ring's free run, or past it. Returns how many frames were read. */
static size_t read_once(struct ipcnet_bus_poller *self)
{
    uint32_t head = atomic_load_explicit(&self->head, memory_order_relaxed);
    uint32_t tail = atomic_load_explicit(&self->tail, memory_order_acquire); /* SYNC: pairs with drain's release: those slots are free */
    uint32_t free_slots = self->capacity - (head - tail), to_end = self->capacity - (head & (self->capacity - 1));
    size_t span = free_slots < to_end ? free_slots : to_end;
    if (span == 0) {
        size_t lost = ipcnet_can_receive(self->can, self->scratch, IPCNET_CAN_BATCH);
        for (size_t i = 0; i < lost; i++) self->lost_before += 1u + self->scratch[i].lost_before;
        atomic_fetch_add_explicit(&self->ring_lost_frames, lost, memory_order_relaxed);
        return lost;
    }
    struct ipcnet_can_frame *slots = &self->ring[head & (self->capacity - 1)];
    size_t got = ipcnet_can_receive(self->can, slots, span);
    if (got > 0) {
        slots[0].lost_before += self->lost_before;
        self->lost_before = 0;
        atomic_store_explicit(&self->head, head + (uint32_t)got, memory_order_release); /* SYNC: pairs with drain's acquire */
    }
    return got;
}

size_t ipcnet_bus_poller_drain(struct ipcnet_bus_poller *self, struct ipcnet_can_frame *to, size_t max)
{
    uint32_t tail = atomic_load_explicit(&self->tail, memory_order_relaxed);
    uint32_t head = atomic_load_explicit(&self->head, memory_order_acquire);
    size_t count = head - tail < max ? head - tail : max, first = self->capacity - (tail & (self->capacity - 1));
    if (first > count) first = count;
    memcpy(to, &self->ring[tail & (self->capacity - 1)], first * sizeof *to);
    memcpy(to + first, self->ring, (count - first) * sizeof *to);
    atomic_store_explicit(&self->tail, tail + (uint32_t)count, memory_order_release);
    return count;
}

/* ---- The thread --------------------------------------------------------------------------------------------------------------------- */

static bool read_all(struct ipcnet_bus_poller *self)
{
    bool something = false;
    for (unsigned round = 0; round < ROUNDS_MAX; round++) {
        struct ipcnet_can_link_event event;
        bool more = !self->socket_muted && read_once(self) > 0;
        while (ipcnet_can_link_event(self->can, &event)) {
            post(self, &event);
            if (event.kind == IPCNET_LINK_GONE) self->socket_muted = true;
            more = true;
        }
        if (!more) break;
        something = true;
    }
    return something;
}

static bool serve(struct ipcnet_bus_poller *self, uint32_t requests, uint32_t sync_number)
{
    struct ipcnet_can_link_event event;
    bool answered = false;
    if ((requests & IPCNET_REQUEST_PURGE) && ipcnet_can_purge(self->can, &event)) {
        (void)read_all(self); /* echoes from before come before the answer */
        post(self, &event);
        answered = true;
    }
    if ((requests & IPCNET_REQUEST_RESTART) && ipcnet_can_restart(self->can, &event)) {
        post(self, &event);
        answered = true;
    }
    if (requests & IPCNET_REQUEST_SYNC) {
        (void)read_all(self);
        event = (struct ipcnet_can_link_event){ .kind = IPCNET_LINK_SYNCED, .a = sync_number };
        post(self, &event);
        answered = true;
    }
    return answered;
}

static void *run(void *argument)
{
    struct ipcnet_bus_poller *self = argument;
    bool something = read_all(self); /* the link's first state */
    for (;;) {
        uint32_t sync_number = atomic_load(&self->sync_number);
        uint32_t requests = atomic_exchange(&self->requests, 0);
        if (requests & IPCNET_REQUEST_STOP) return NULL;
        something = serve(self, requests, sync_number) || something;
        if (something) wake_owner(self);

        struct pollfd wanted[3] = {
            { .fd = self->wake_fd, .events = POLLIN },
            { .fd = self->socket_muted ? -1 : ipcnet_can_socket_fd(self->can), .events = POLLIN },
            { .fd = ipcnet_can_link_fd(self->can), .events = POLLIN },
        };
        int ready = poll(wanted, 3, -1); /* EINTR, or ENOMEM: then everything is looked at without being asked */
        if (ready <= 0 || wanted[0].revents != 0) {
            uint64_t count;
            (void)!read(self->wake_fd, &count, sizeof count);
        }
        something = read_all(self);
    }
}

static void poke(struct ipcnet_bus_poller *self)
{
    const uint64_t one = 1;
    (void)!write(self->wake_fd, &one, sizeof one); /* can only fail when it is already readable */
}

void ipcnet_bus_poller_request(struct ipcnet_bus_poller *self, uint32_t requests, uint32_t sync_number)
{
    if (requests & IPCNET_REQUEST_SYNC) atomic_store(&self->sync_number, sync_number);
    atomic_fetch_or(&self->requests, requests);
    poke(self);
}

int ipcnet_bus_poller_start(struct ipcnet_bus_poller *self)
{
    if (self->running) return 0;
    self->socket_muted = false;
    atomic_store(&self->requests, 0);
    pthread_attr_t attributes;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* inherited: signals stay the host's business */
    int error = pthread_create(&self->thread, &attributes, run, self);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    self->running = error == 0;
    return -error;
}

void ipcnet_bus_poller_stop(struct ipcnet_bus_poller *self)
{
    if (!self->running) return;
    ipcnet_bus_poller_request(self, IPCNET_REQUEST_STOP, 0);
    pthread_join(self->thread, NULL);
    self->running = false;
}

int ipcnet_bus_poller_init(struct ipcnet_bus_poller *self, struct ipcnet_can *can, struct ipcnet_can_frame *ring, uint32_t capacity, void (*wake)(void *), void *wake_context)
{
    memset(self, 0, sizeof *self);
    self->wake_fd = -1;
    self->can = can;
    self->ring = ring;
    self->capacity = capacity;
    self->wake = wake;
    self->wake_context = wake_context;
    if (capacity < IPCNET_CAN_BATCH || (capacity & (capacity - 1)) != 0) return -EINVAL;
    self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (self->wake_fd < 0) return -errno;
    pthread_mutex_init(&self->events_lock, NULL);
    return 0;
}

void ipcnet_bus_poller_destroy(struct ipcnet_bus_poller *self)
{
    ipcnet_bus_poller_stop(self);
    if (self->wake_fd < 0) return;
    close(self->wake_fd);
    self->wake_fd = -1;
    pthread_mutex_destroy(&self->events_lock);
}
