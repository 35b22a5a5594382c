/*
 * What lanes cost, everything on: CRC, clocks, copy out. One JSON line a figure.
 *   lane_bench [ROUNDS [spin|publish|stopped|wake]]
 * spin: ping-pong of spinning sides on two processors, one way = half a round trip, beside the bare exchange of cache lines in the same rounds.
 * publish: what a call costs the writer while 0, 1, 4, 16 readers are busy. stopped: the same with one reader stopped (SIGSTOP). wake: ping-pong of sleeping sides.
 */
#include "../fd_pass_test.h"
#include "../lane.h"
#include "bench.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define SAMPLES_MAX 400000u
#define SPINNING 10000000000u

static uint64_t *samples;
static size_t sample_count;

/* ----------------------------------------------------------- bare exchange -- */

/* The least that two processors need: a flag and the bytes there, the same back, all written and read. With 8 B it is one cache line each way, with 64 B two. */
struct bare {
  _Alignas(128) _Atomic uint64_t there;
  uint64_t there_bytes[8];
  _Alignas(128) _Atomic uint64_t back;
  uint64_t back_bytes[8];
  _Alignas(128) size_t words;
  uint32_t turns;
};

static void *bare_answer(void *argument) {
  struct bare *bare = argument;
  uint64_t local[8] = { 0 };
  bench_pin(1);
  for (uint64_t turn = 1; turn <= bare->turns; turn++) {
    while (atomic_load_explicit(&bare->there, memory_order_acquire) != turn) bench_relax();
    memcpy(local, bare->there_bytes, bare->words * 8);
    memcpy(bare->back_bytes, local, bare->words * 8);
    atomic_store_explicit(&bare->back, turn, memory_order_release);
  }
  return NULL;
}

static void bare_rounds(size_t words, uint32_t turns) {
  static struct bare bare;
  pthread_t other;
  uint64_t local[8] = { 0 };
  memset(&bare, 0, sizeof bare);
  bare.words = words;
  bare.turns = turns;
  BENCH_CHECK(pthread_create(&other, NULL, bare_answer, &bare) == 0);
  for (uint64_t turn = 1; turn <= turns; turn++) {
    const uint64_t begin = bench_now();
    local[0] = turn;
    memcpy(bare.there_bytes, local, words * 8);
    atomic_store_explicit(&bare.there, turn, memory_order_release);
    while (atomic_load_explicit(&bare.back, memory_order_acquire) != turn) bench_relax();
    memcpy(local, bare.back_bytes, words * 8);
    if (turn > turns / 10 && sample_count < SAMPLES_MAX) samples[sample_count++] = bench_now() - begin;
  }
  BENCH_CHECK(pthread_join(other, NULL) == 0);
}

/* ---------------------------------------------------------------- ping-pong -- */

struct side {
  struct ipcnet_lane_writer *writer;
  struct ipcnet_lane_reader *reader;
  size_t bytes;
  uint64_t spin_ns;
  uint32_t turns;
  uint8_t *buffer;
};

static struct ipcnet_lane_writer *writer_of(size_t bytes, uint32_t slots, uint8_t policy) {
  struct ipcnet_lane_options options = { .slot_count = slots, .inline_bytes = 64, .policy = policy, .schema_hash = 1 };
  if (bytes > 64) options.large_bytes = bytes * 4 < 65536 ? 65536 : (bytes * 4 + 4095) & ~4095ull;
  struct ipcnet_lane_writer *writer = NULL;
  BENCH_CHECK(ipcnet_lane_writer_create(&writer, &options) == 0);
  return writer;
}

static struct ipcnet_lane_reader *reader_of(struct ipcnet_lane_writer *writer, enum ipcnet_lane_policy policy) {
  const struct ipcnet_lane_reader_options options = { .policy = (uint8_t)policy, .start = IPCNET_LANE_FROM_NEXT };
  struct ipcnet_lane_reader *reader = NULL;
  int bell[2];
  BENCH_CHECK(ipcnet_lane_bell(bell) == 0);
  BENCH_CHECK(ipcnet_lane_reader_open(&reader, ipcnet_lane_writer_fd(writer), bell[0], &options) == 0);
  BENCH_CHECK(ipcnet_lane_writer_add_reader(writer, dup(ipcnet_lane_reader_page_fd(reader)), bell[1], policy, 1000000000u) >= 0);
  ipcnet_lane_reader_awake(reader);
  return reader;
}

static void side_make(struct side *side, size_t bytes, uint64_t spin_ns, uint32_t turns) {
  *side = (struct side){ .writer = writer_of(bytes, 64, IPCNET_LANE_QUEUE), .bytes = bytes, .spin_ns = spin_ns, .turns = turns, .buffer = malloc(bytes) };
  BENCH_CHECK(side->buffer != NULL);
  memset(side->buffer, 7, bytes);
}

static void side_free(struct side *side) {
  ipcnet_lane_reader_close(side->reader);
  ipcnet_lane_writer_destroy(side->writer);
  free(side->buffer);
}

static void get(struct side *side) {
  struct ipcnet_lane_sample sample;
  for (;;) {
    const enum ipcnet_lane_verdict verdict = ipcnet_lane_reader_read(side->reader, &sample, side->buffer, side->bytes);
    if (verdict == IPCNET_LANE_SAMPLE) break;
    BENCH_CHECK(verdict == IPCNET_LANE_NOTHING);
    BENCH_CHECK(ipcnet_lane_reader_wait(side->reader, -1, side->spin_ns) == 1);
  }
  BENCH_CHECK(sample.payload_bytes == side->bytes && sample.lost_before == 0);
}

static void put(struct side *side) {
  BENCH_CHECK(ipcnet_lane_writer_publish(side->writer, NULL, NULL, side->buffer, side->bytes, 0) == 0);
}

static void *answer(void *argument) {
  struct side *side = argument;
  bench_pin(1);
  for (uint32_t turn = 0; turn < side->turns; turn++) {
    get(side);
    put(side);
  }
  return NULL;
}

static void ping_pong(size_t bytes, uint64_t spin_ns, uint32_t turns) {
  struct side near, far;
  pthread_t other;
  side_make(&near, bytes, spin_ns, turns);
  side_make(&far, bytes, spin_ns, turns);
  near.reader = reader_of(far.writer, IPCNET_LANE_QUEUE);
  far.reader = reader_of(near.writer, IPCNET_LANE_QUEUE);
  BENCH_CHECK(pthread_create(&other, NULL, answer, &far) == 0);
  for (uint32_t turn = 0; turn < turns; turn++) {
    const uint64_t begin = bench_now();
    put(&near);
    get(&near);
    if (turn > turns / 10 && sample_count < SAMPLES_MAX) samples[sample_count++] = bench_now() - begin;
  }
  BENCH_CHECK(pthread_join(other, NULL) == 0);
  side_free(&near);
  side_free(&far);
}

struct figure {
  const char *name;
  size_t bare_words; /* 0: a lane */
  size_t bytes;
  uint64_t spin_ns;
  uint32_t turns;
};

/* The cases in turn, round by round, so that a change of the machine's mood meets all of them. */
static void in_rounds(const char *bench, const struct figure *figures, size_t figure_count, uint32_t rounds, double *p50) {
  uint64_t *kept[8];
  size_t counts[8] = { 0 };
  uint64_t *const all = samples;
  for (size_t i = 0; i < figure_count; i++) BENCH_CHECK((kept[i] = malloc(SAMPLES_MAX * sizeof **kept)) != NULL);
  for (uint32_t round = 0; round < rounds; round++) {
    for (size_t i = 0; i < figure_count; i++) {
      samples = kept[i];
      sample_count = counts[i];
      if (figures[i].bare_words > 0) bare_rounds(figures[i].bare_words, figures[i].turns);
      else ping_pong(figures[i].bytes, figures[i].spin_ns, figures[i].turns);
      counts[i] = sample_count;
    }
  }
  samples = all;
  for (size_t i = 0; i < figure_count; i++) {
    p50[i] = bench_report(bench, figures[i].name, kept[i], counts[i], 2); /* half a round trip */
    free(kept[i]);
  }
}

static void bench_spin(uint32_t rounds) {
  static const struct figure figures[] = {
    { "bare 8 B", 1, 8, 0, 2000 },
    { "bare 64 B", 8, 64, 0, 2000 },
    { "lane 8 B", 0, 8, SPINNING, 2000 },
    { "lane 64 B", 0, 64, SPINNING, 2000 },
    { "lane 4 KiB", 0, 4096, SPINNING, 1000 },
    { "lane 1 MiB", 0, 1 << 20, SPINNING, 40 },
  };
  double p50[6];
  in_rounds("spin one way", figures, 6, rounds * 10, p50);
  bench_ratio("spin one way", "lane 64 B : bare 64 B", p50[3] / p50[1]);
  printf("{\"bench\":\"spin one way\",\"case\":\"lane 1 MiB\",\"bytesPerS\":%.3g}\n", 1e9 * (1 << 20) / p50[5]);
}

static void bench_wake(uint32_t rounds) {
  static const struct figure figures[] = {
    { "lane 64 B, asleep", 0, 64, 0, 3000 },
    { "lane 64 B, 20 us of spinning first", 0, 64, 20000, 3000 },
  };
  double p50[2];
  in_rounds("wake one way", figures, 2, rounds, p50);
}

/* ------------------------------------------------------------------ publish -- */

struct busy {
  struct ipcnet_lane_reader *reader;
  _Atomic int *stop;
  uint64_t got;
  uint64_t lost;
};

static void *read_on(void *argument) {
  struct busy *busy = argument;
  struct ipcnet_lane_sample sample;
  uint8_t buffer[64];
  bench_pin(1);
  for (uint32_t idle = 0; !atomic_load_explicit(busy->stop, memory_order_relaxed);) {
    if (ipcnet_lane_reader_read(busy->reader, &sample, buffer, sizeof buffer) == IPCNET_LANE_SAMPLE) {
      busy->got++;
      busy->lost += sample.lost_before;
      idle = 0;
    } else if (++idle > 200) {
      idle = 0;
      sched_yield(); /* sixteen of them share a processor */
    } else {
      bench_relax();
    }
  }
  return NULL;
}

/* A batch of publishes, the mean of it a sample: a clock call around each would cost as much as half of it. */
static void publish_batches(struct ipcnet_lane_writer *writer, uint32_t batches, uint64_t pause_ns) {
  uint8_t payload[64] = { 1 };
  for (uint32_t batch = 0; batch < batches; batch++) {
    const uint64_t begin = bench_now();
    for (int i = 0; i < 100; i++) BENCH_CHECK(ipcnet_lane_writer_publish(writer, NULL, NULL, payload, sizeof payload, 0) == 0);
    const uint64_t end = bench_now();
    if (batch > batches / 10 && sample_count < SAMPLES_MAX) samples[sample_count++] = end - begin;
    while (bench_now() - end < pause_ns) bench_relax();
  }
}

static double publish_case(const char *bench, const char *name, uint32_t readers, uint32_t batches) {
  struct ipcnet_lane_writer *writer = writer_of(64, 4096, IPCNET_LANE_QUEUE);
  struct busy busy[16] = { 0 };
  pthread_t threads[16];
  _Atomic int stop = 0;
  for (uint32_t i = 0; i < readers; i++) {
    busy[i] = (struct busy){ .reader = reader_of(writer, IPCNET_LANE_QUEUE), .stop = &stop };
    BENCH_CHECK(pthread_create(&threads[i], NULL, read_on, &busy[i]) == 0);
  }
  sample_count = 0;
  publish_batches(writer, batches, 20000);
  const double p50 = bench_report(bench, name, samples, sample_count, 100);
  stop = 1;
  for (uint32_t i = 0; i < readers; i++) {
    BENCH_CHECK(pthread_join(threads[i], NULL) == 0);
    ipcnet_lane_reader_close(busy[i].reader);
  }
  struct ipcnet_lane_writer_stats stats;
  ipcnet_lane_writer_stats(writer, &stats);
  BENCH_CHECK(stats.rings == 0);
  ipcnet_lane_writer_destroy(writer);
  return p50;
}

static void bench_publish(uint32_t rounds) {
  (void)publish_case("publish 64 B", "no reader", 0, 2000 * rounds);
  (void)publish_case("publish 64 B", "1 busy reader", 1, 2000 * rounds);
  (void)publish_case("publish 64 B", "4 busy readers", 4, 1000 * rounds);
  (void)publish_case("publish 64 B", "16 busy readers", 16, 500 * rounds);
}

/* One reader in a process of its own that will be stopped, another here that must lose nothing. */
static void stopped_child(int lane_fd, int bell, int socket) {
  const struct ipcnet_lane_reader_options options = { .policy = IPCNET_LANE_QUEUE };
  struct ipcnet_lane_reader *reader;
  struct ipcnet_lane_sample sample;
  uint8_t buffer[64];
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  bench_pin(1);
  BENCH_CHECK(ipcnet_lane_reader_open(&reader, lane_fd, bell, &options) == 0);
  BENCH_CHECK(test_send_fd(socket, ipcnet_lane_reader_page_fd(reader)) == 0);
  for (;;) { /* it does not sleep: what is compared is publishing, not waking */
    while (ipcnet_lane_reader_read(reader, &sample, buffer, sizeof buffer) == IPCNET_LANE_SAMPLE) continue;
    sched_yield();
  }
}

static void bench_stopped(uint32_t rounds) {
  struct ipcnet_lane_writer *writer = writer_of(64, 4096, IPCNET_LANE_QUEUE);
  int bell[2], sockets[2];
  BENCH_CHECK(ipcnet_lane_bell(bell) == 0 && socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets) == 0);
  const pid_t pid = fork();
  BENCH_CHECK(pid >= 0);
  if (pid == 0) stopped_child(ipcnet_lane_writer_fd(writer), bell[0], sockets[1]);
  close(bell[0]);
  BENCH_CHECK(ipcnet_lane_writer_add_reader(writer, test_receive_fd(sockets[0]), bell[1], IPCNET_LANE_QUEUE, 0) >= 0);
  struct busy busy = { .reader = reader_of(writer, IPCNET_LANE_QUEUE) };
  _Atomic int stop = 0;
  pthread_t thread;
  busy.stop = &stop;
  BENCH_CHECK(pthread_create(&thread, NULL, read_on, &busy) == 0);
  uint64_t *kept[2];
  size_t counts[2] = { 0 };
  uint64_t *const all = samples;
  for (int i = 0; i < 2; i++) BENCH_CHECK((kept[i] = malloc(SAMPLES_MAX * sizeof **kept)) != NULL);
  for (uint32_t round = 0; round < rounds * 4; round++) {
    const int stopped = round & 1;
    if (stopped) BENCH_CHECK(kill(pid, SIGSTOP) == 0 && waitpid(pid, NULL, WUNTRACED) == pid);
    samples = kept[stopped];
    sample_count = counts[stopped];
    publish_batches(writer, 500, 200000);
    counts[stopped] = sample_count;
    BENCH_CHECK(kill(pid, SIGCONT) == 0);
  }
  samples = all;
  stop = 1;
  BENCH_CHECK(pthread_join(thread, NULL) == 0);
  const double moving = bench_report("stopped reader", "none stopped", kept[0], counts[0], 100), still = bench_report("stopped reader", "one of two stopped", kept[1], counts[1], 100);
  bench_ratio("stopped reader", "one stopped : none stopped", still / moving);
  printf("{\"bench\":\"stopped reader\",\"case\":\"the other reader\",\"got\":%llu,\"lost\":%llu}\n", (unsigned long long)busy.got, (unsigned long long)busy.lost);
  BENCH_CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, NULL, 0) == pid);
  ipcnet_lane_reader_close(busy.reader);
  ipcnet_lane_writer_destroy(writer);
  close(sockets[0]);
  close(sockets[1]);
}

int main(int count, char **arguments) {
  const uint32_t rounds = count > 1 ? (uint32_t)strtoul(arguments[1], NULL, 10) : 3;
  const char *only = count > 2 ? arguments[2] : "";
  samples = malloc(SAMPLES_MAX * sizeof *samples);
  BENCH_CHECK(samples != NULL && rounds >= 1);
  bench_pin(0);
  if (strstr("spin", only) != NULL) bench_spin(rounds);
  if (strstr("publish", only) != NULL) bench_publish(rounds);
  if (strstr("stopped", only) != NULL) bench_stopped(rounds);
  if (strstr("wake", only) != NULL) bench_wake(rounds);
  return 0;
}
