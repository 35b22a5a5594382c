#include "poller.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define RING 256u
#define BATCH 64

struct ipcnet_poller {
  void (*wake)(void *context);
  void *context;
  int epoll;
  int stop_event;
  pthread_t thread;
  pthread_mutex_t lock;
  /* Signalled when `take` made room, and by destroy. */
  pthread_cond_t room;
  /* Guarded by lock. */
  struct ipcnet_ready ring[RING];
  uint32_t head;
  uint32_t count;
  int woken;
  int stopping;
};

static const uint64_t stop_mark = UINT64_MAX;

static uint32_t to_ready(uint32_t epoll_events) {
  uint32_t events = 0;
  if (epoll_events & EPOLLIN) events |= IPCNET_POLLER_READ;
  if (epoll_events & EPOLLOUT) events |= IPCNET_POLLER_WRITE;
  if (epoll_events & (EPOLLHUP | EPOLLERR)) events |= IPCNET_POLLER_HANGUP;
  return events;
}

/* Puts the reports into the ring, waiting for room; returns 0 when the poller is to stop. */
static int deliver(struct ipcnet_poller *self, const struct epoll_event *events, int count) {
  int wake = 0, stopping;
  pthread_mutex_lock(&self->lock);
  for (int i = 0; i < count; i++) {
    if (events[i].data.u64 == stop_mark) continue;
    while (self->count == RING && !self->stopping) pthread_cond_wait(&self->room, &self->lock);
    if (self->stopping) break;
    struct ipcnet_ready *slot = &self->ring[(self->head + self->count++) % RING];
    slot->id = (uint32_t)events[i].data.u64;
    slot->events = to_ready(events[i].events);
    if (!self->woken) self->woken = wake = 1;
  }
  stopping = self->stopping;
  pthread_mutex_unlock(&self->lock);
  if (wake && !stopping) self->wake(self->context);
  return !stopping;
}

static void *run(void *argument) {
  struct ipcnet_poller *self = argument;
  struct epoll_event events[BATCH];
  for (;;) {
    int count = epoll_wait(self->epoll, events, BATCH, -1);
    if (count < 0 && errno != EINTR) return NULL;
    if (count > 0 && !deliver(self, events, count)) return NULL;
  }
}

struct ipcnet_poller *ipcnet_poller_create(void (*wake)(void *context), void *context) {
  struct ipcnet_poller *self = calloc(1, sizeof *self);
  if (self == NULL) return NULL;
  self->wake = wake;
  self->context = context;
  self->epoll = epoll_create1(EPOLL_CLOEXEC);
  self->stop_event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  pthread_mutex_init(&self->lock, NULL);
  pthread_cond_init(&self->room, NULL);
  struct epoll_event stop = { .events = EPOLLIN, .data.u64 = stop_mark };
  int error = self->epoll < 0 || self->stop_event < 0 || epoll_ctl(self->epoll, EPOLL_CTL_ADD, self->stop_event, &stop) != 0 ? errno : 0;
  if (error == 0) error = pthread_create(&self->thread, NULL, run, self);
  if (error == 0) return self;
  if (self->epoll >= 0) close(self->epoll);
  if (self->stop_event >= 0) close(self->stop_event);
  pthread_cond_destroy(&self->room);
  pthread_mutex_destroy(&self->lock);
  free(self);
  errno = error;
  return NULL;
}

void ipcnet_poller_destroy(struct ipcnet_poller *self) {
  const uint64_t one = 1;
  pthread_mutex_lock(&self->lock);
  self->stopping = 1;
  pthread_cond_signal(&self->room);
  pthread_mutex_unlock(&self->lock);
  /* Cannot fail: the counter is 0 and this is its only writer. */
  while (write(self->stop_event, &one, sizeof one) < 0 && errno == EINTR) continue;
  pthread_join(self->thread, NULL);
  close(self->epoll);
  close(self->stop_event);
  pthread_cond_destroy(&self->room);
  pthread_mutex_destroy(&self->lock);
  free(self);
}

int ipcnet_poller_watch(struct ipcnet_poller *self, int fd, uint32_t id) {
  struct epoll_event event = { .events = EPOLLONESHOT, .data.u64 = id };
  return epoll_ctl(self->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

void ipcnet_poller_unwatch(struct ipcnet_poller *self, int fd) {
  /* Fails only for a descriptor that was never watched. */
  (void)epoll_ctl(self->epoll, EPOLL_CTL_DEL, fd, NULL);
}

int ipcnet_poller_arm(struct ipcnet_poller *self, int fd, uint32_t id, uint32_t events) {
  struct epoll_event event = { .events = EPOLLONESHOT, .data.u64 = id };
  if (events & IPCNET_POLLER_READ) event.events |= EPOLLIN;
  if (events & IPCNET_POLLER_WRITE) event.events |= EPOLLOUT;
  return epoll_ctl(self->epoll, EPOLL_CTL_MOD, fd, &event) == 0 ? 0 : -errno;
}

uint32_t ipcnet_poller_take(struct ipcnet_poller *self, struct ipcnet_ready *ready, uint32_t capacity) {
  pthread_mutex_lock(&self->lock);
  uint32_t taken = 0;
  while (taken < capacity && self->count > 0) {
    ready[taken++] = self->ring[self->head];
    self->head = (self->head + 1) % RING;
    self->count--;
  }
  if (taken > 0) pthread_cond_signal(&self->room);
  else self->woken = 0;
  pthread_mutex_unlock(&self->lock);
  return taken;
}
