/*
 * lane_clock: CLOCK_MONOTONIC by the processor's time stamp counter, for those who need it millions of times a second. Asking the kernel's page takes 25 ns (50 beside a busy neighbour), because it waits until all earlier
 * instructions are done; that is a quarter of a publish.
 *
 * The kernel's clock is still read, once a millisecond: what the counter says is only ever added to such an anchor for a millisecond, so no error can grow beyond that, whatever happens to the counter (sleep,
 * migration of a virtual machine). The rate is measured over up to two seconds. The result never goes back; it differs from the kernel's by some ten nanoseconds, and by less than a microsecond.
 *
 * Used where the processor's counter is invariant and the kernel itself keeps time by it; elsewhere the kernel is asked each time. A clock belongs to one thread at a time.
 */
#ifndef IPCNET_LANE_CLOCK_H
#define IPCNET_LANE_CLOCK_H

#include <stdint.h>

struct ipcnet_lane_clock {
  uint64_t anchor_ticks, anchor_ns;
  uint64_t span_ticks; /* how long the anchor holds; 0 = there is none */
  uint64_t rate;       /* ns per tick times 2^32; 0 = not measured yet */
  uint64_t base_ticks, base_ns; /* where measuring the rate began; base_ns 0 = it has not */
  uint64_t last_ns;
  int counts;
};

/* Looks at processor and kernel: some ten microseconds. */
void ipcnet_lane_clock_init(struct ipcnet_lane_clock *self);

/* The machine behind it. A new anchor: the kernel said `now_ns` between the two counts. */
void ipcnet_lane_clock_anchor(struct ipcnet_lane_clock *self, uint64_t ticks_before, uint64_t now_ns, uint64_t ticks_after);
/* The time at a count, or 0 when a new anchor is needed. */
static inline uint64_t ipcnet_lane_clock_at(const struct ipcnet_lane_clock *self, uint64_t ticks) {
  const uint64_t passed = ticks - self->anchor_ticks; /* a counter that went back is far ahead */
  return passed < self->span_ticks ? self->anchor_ns + (passed * self->rate >> 32) : 0;
}
/* Asks the kernel, and makes that an anchor where the counter is of use. */
uint64_t ipcnet_lane_clock_asked(struct ipcnet_lane_clock *self);

static inline uint64_t ipcnet_lane_clock_count(void) {
#if defined(__x86_64__)
  return __builtin_ia32_rdtsc();
#else
  return 0;
#endif
}

/* CLOCK_MONOTONIC, ns. */
static inline uint64_t ipcnet_lane_clock_now(struct ipcnet_lane_clock *self) {
  uint64_t now_ns = self->span_ticks == 0 ? 0 : ipcnet_lane_clock_at(self, ipcnet_lane_clock_count());
  if (now_ns == 0) now_ns = ipcnet_lane_clock_asked(self);
  if (now_ns > self->last_ns) self->last_ns = now_ns;
  return self->last_ns;
}

#endif
