#include "lane_clock.h"

#include "lane_layout.h"

#include <fcntl.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define ANCHOR_NS 1000000u
/* Two counts may be 5,000 apart: 2 us in 10 ms, which is 0.2 us within the life of an anchor. */
#define RATE_NS_MIN 10000000u
/* Shifted by 32 bits it still fits. */
#define RATE_NS_MAX 2000000000u
/* Two counts that are further apart had an interruption between them: asking takes a few hundred. */
#define APART_TICKS_MAX 5000u

void ipcnet_lane_clock_anchor(struct ipcnet_lane_clock *self, uint64_t ticks_before, uint64_t now_ns, uint64_t ticks_after) {
  const uint64_t ticks = ticks_before + (ticks_after - ticks_before) / 2, old = self->rate;
  self->span_ticks = 0;
  if (ticks_after - ticks_before > APART_TICKS_MAX) return;
  const uint64_t elapsed_ns = now_ns - self->base_ns, elapsed_ticks = ticks - self->base_ticks;
  const int new_base = self->base_ns == 0 || elapsed_ns > RATE_NS_MAX;
  if (!new_base && elapsed_ns >= RATE_NS_MIN && elapsed_ticks > 0) {
    self->rate = (elapsed_ns << 32) / elapsed_ticks;
    /* Clocks are slewed by less than a thousandth: this is another counter than before. */
    if (old != 0 && (self->rate > old + old / 1024 || self->rate < old - old / 1024)) self->rate = self->base_ns = 0;
  }
  if (new_base || self->base_ns == 0) {
    self->base_ticks = ticks;
    self->base_ns = now_ns;
  }
  if (self->rate == 0 || self->rate >> 40 != 0) return; /* below 4 MHz it counts too coarsely, and the product above would not fit */
  self->anchor_ticks = ticks;
  self->anchor_ns = now_ns;
  self->span_ticks = ((uint64_t)ANCHOR_NS << 32) / self->rate;
}

#if defined(__x86_64__)
/* Invariant: the same rate in every state of the processor. That it is the same on all of them is for the kernel to find out, which then keeps time by it. */
static int counts_well(void) {
  unsigned a = 0, b = 0, c = 0, d = 0;
  char source[4] = { 0 };
  if (!__get_cpuid(0x80000007u, &a, &b, &c, &d) || (d & 1u << 8) == 0) return 0;
  const int file = open("/sys/devices/system/clocksource/clocksource0/current_clocksource", O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  const ssize_t bytes = read(file, source, sizeof source);
  close(file);
  return bytes == 4 && memcmp(source, "tsc\n", 4) == 0;
}
#else
static int counts_well(void) { return 0; } /* arm64: the kernel's page reads its counter as quickly as we could */
#endif

void ipcnet_lane_clock_init(struct ipcnet_lane_clock *self) { *self = (struct ipcnet_lane_clock){ .counts = counts_well() }; }

uint64_t ipcnet_lane_clock_asked(struct ipcnet_lane_clock *self) {
  if (!self->counts) return ipcnet_lane_clock_ns(CLOCK_MONOTONIC);
  const uint64_t before = ipcnet_lane_clock_count(), now_ns = ipcnet_lane_clock_ns(CLOCK_MONOTONIC);
  ipcnet_lane_clock_anchor(self, before, now_ns, ipcnet_lane_clock_count());
  return now_ns;
}
