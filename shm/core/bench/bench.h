/* What the C benches share: two threads or processes on two processors, medians and tails, one JSON line a figure. */
#ifndef IPCNET_BENCH_H
#define IPCNET_BENCH_H

#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

static inline uint64_t bench_now(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline void bench_relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb" ::: "memory");
#endif
}

/* Pins the calling thread to the nth processor that the program was started with (modulo their number); main comes first. */
static inline void bench_pin(int nth) {
  static cpu_set_t allowed;
  cpu_set_t one;
  if (CPU_COUNT(&allowed) == 0 && sched_getaffinity(0, sizeof allowed, &allowed) != 0) return;
  nth %= CPU_COUNT(&allowed);
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &allowed) || nth-- > 0) continue;
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    (void)sched_setaffinity(0, sizeof one, &one);
    return;
  }
}

/* For those that spin: on a machine that is shared, another program's time slice would be most of what is measured. Where it is not allowed things stay as they are. */
static inline void bench_real_time(void) {
  const struct sched_param lowest = { .sched_priority = 1 };
  (void)sched_setscheduler(0, SCHED_FIFO, &lowest);
}

static inline int bench_order(const void *a, const void *b) {
  const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
  return x < y ? -1 : x > y;
}

/* Prints {"bench": …, "case": …, "p50Ns": …, "p99Ns": …, "n": …}; each sample divided by `per`. Sorts them. */
static inline double bench_report(const char *bench, const char *name, uint64_t *samples, size_t count, double per) {
  qsort(samples, count, sizeof *samples, bench_order);
  const double p50 = (double)samples[count / 2] / per;
  printf("{\"bench\":\"%s\",\"case\":\"%s\",\"p50Ns\":%.1f,\"p99Ns\":%.1f,\"n\":%zu}\n", bench, name, p50, (double)samples[count * 99 / 100] / per, count);
  fflush(stdout);
  return p50;
}

static inline void bench_ratio(const char *bench, const char *name, double ratio) {
  printf("{\"bench\":\"%s\",\"case\":\"%s\",\"ratio\":%.3f}\n", bench, name, ratio);
  fflush(stdout);
}

#define BENCH_CHECK(condition)                                                     \
  do {                                                                             \
    if (!(condition)) {                                                            \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);              \
      exit(1);                                                                     \
    }                                                                              \
  } while (0)

#endif
