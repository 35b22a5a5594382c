/* What the tests of lanes share. Each test is a sentence; the first check that fails ends the program with its line and the seed. */
#ifndef IPCNET_LANE_TEST_H
#define IPCNET_LANE_TEST_H

#include "lane.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t test_seed;

#define CHECK(condition)                                                                                                                        \
  do {                                                                                                                                          \
    if (!(condition)) {                                                                                                                         \
      fprintf(stderr, "%s:%d: %s (errno %d, seed %llu)\n", __FILE__, __LINE__, #condition, errno, (unsigned long long)test_seed);               \
      _exit(1);                                                                                                                                 \
    }                                                                                                                                           \
  } while (0)

/* splitmix64: the same numbers from the same seed, everywhere. */
static inline uint64_t test_random(uint64_t *state) {
  uint64_t x = (*state += 0x9E3779B97F4A7C15u);
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

static inline uint64_t test_below(uint64_t *state, uint64_t limit) { return test_random(state) % limit; }

/* Bytes that tell which message they belong to and where in it they stand. */
static inline void test_fill(uint8_t *bytes, size_t length, uint64_t sequence) {
  for (size_t i = 0; i < length; i++) bytes[i] = (uint8_t)((sequence * 131 + i * 7 + (i >> 8)) & 0xFF);
}

static inline int test_filled(const uint8_t *bytes, size_t length, uint64_t sequence) {
  for (size_t i = 0; i < length; i++) {
    if (bytes[i] != (uint8_t)((sequence * 131 + i * 7 + (i >> 8)) & 0xFF)) return 0;
  }
  return 1;
}

/* Writer, reader and bell in one process. Returns the reader's number. */
static inline int test_join(struct ipcnet_lane_writer *writer, struct ipcnet_lane_reader **reader, enum ipcnet_lane_policy policy, enum ipcnet_lane_start start, uint64_t sequence, uint64_t deadline_ns) {
  int bell[2];
  CHECK(ipcnet_lane_bell(bell) == 0);
  const struct ipcnet_lane_reader_options options = { .policy = (uint8_t)policy, .start = (uint8_t)start, .sequence = sequence };
  CHECK(ipcnet_lane_reader_open(reader, ipcnet_lane_writer_fd(writer), bell[0], &options) == 0);
  const int number = ipcnet_lane_writer_add_reader(writer, dup(ipcnet_lane_reader_page_fd(*reader)), bell[1], policy, deadline_ns);
  CHECK(number >= 0);
  return number;
}

#endif
