/* How a reader sleeps so that no message is missed, and how it is woken. */
#include "lane_reader.h"

#include <errno.h>
#include <poll.h>

/* Without a bell: how long a message may wait. */
#define POLL_STEP_NS 1000000

static int something(struct ipcnet_lane_reader *self) {
  if (self->broken || self->gone || ipcnet_lane_reader_look(self)) return 1;
  return self->next <= self->head || atomic_load_explicit(&self->parts.memory->closed, memory_order_relaxed) != 0;
}

int ipcnet_lane_reader_arm(struct ipcnet_lane_reader *self) {
  if ((self->sleep & 1) == 0) atomic_store_explicit(&self->page->sleep, ++self->sleep, memory_order_relaxed);
  /* SYNC: pairs with the seq_cst fence in the writer's ring. Either it sees that we sleep, or we see the head that it stored before. */
  ipcnet_lane_fence(memory_order_seq_cst);
  if (!something(self)) {
    self->stats.sleeps++;
    return 1;
  }
  atomic_store_explicit(&self->page->sleep, ++self->sleep, memory_order_relaxed);
  return 0;
}

void ipcnet_lane_reader_awake(struct ipcnet_lane_reader *self) {
  if ((self->sleep & 1) != 0) atomic_store_explicit(&self->page->sleep, ++self->sleep, memory_order_relaxed);
  if (self->bell < 0) return;
  int gone = 0;
  if (ipcnet_lane_bell_take(self->bell, &self->number, &gone) > 0) self->number_known = 1;
  if (gone) self->gone = 1;
}

static int spin(struct ipcnet_lane_reader *self, uint64_t spin_ns) {
  const uint64_t until = ipcnet_lane_clock_ns(CLOCK_MONOTONIC) + spin_ns;
  do {
    for (int i = 0; i < 32; i++) {
      if (ipcnet_lane_reader_there(self)) return 1;
      ipcnet_lane_relax();
    }
    if (something(self)) return 1;
  } while (ipcnet_lane_clock_ns(CLOCK_MONOTONIC) < until);
  return 0;
}

int ipcnet_lane_reader_wait(struct ipcnet_lane_reader *self, int64_t timeout_ns, uint64_t spin_ns) {
  if (something(self)) return 1;
  const uint64_t begin = ipcnet_lane_clock_ns(CLOCK_MONOTONIC);
  if (timeout_ns >= 0 && spin_ns > (uint64_t)timeout_ns) spin_ns = (uint64_t)timeout_ns;
  if (spin_ns > 0 && spin(self, spin_ns)) return 1;
  for (;;) {
    if (!ipcnet_lane_reader_arm(self)) return 1;
    int64_t left = INT64_MAX;
    if (timeout_ns >= 0) {
      const uint64_t passed = ipcnet_lane_clock_ns(CLOCK_MONOTONIC) - begin;
      left = passed >= (uint64_t)timeout_ns ? 0 : timeout_ns - (int64_t)passed;
    }
    const int64_t step = self->bell < 0 && left > POLL_STEP_NS ? POLL_STEP_NS : left;
    const struct timespec time = { .tv_sec = (time_t)(step / 1000000000), .tv_nsec = (long)(step % 1000000000) };
    struct pollfd bell = { .fd = self->bell, .events = POLLIN };
    const int woken = ppoll(&bell, 1, step == INT64_MAX ? NULL : &time, NULL);
    const int error = errno;
    ipcnet_lane_reader_awake(self);
    if (something(self)) return 1;
    if (woken < 0) return -error;
    if (left == 0) return 0;
  }
}
