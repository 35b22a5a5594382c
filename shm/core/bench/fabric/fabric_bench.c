/*
 * One transport between C programs: a hub and its leaves, processes of their own. Prints one line of JSON; bench/fabric/native.ts lets all of them take turns.
 *   fabric_bench PEER PAYLOAD_BYTES LEAVES MILLISECONDS
 * Those that spin have real-time priority where they may: keep the time short.
 * One leaf sends each payload back; several acknowledge it, and the time runs until the last has. Then the hub sends as fast as it is let, and the clock stops when every leaf has everything.
 */
#include "peer.h"

#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define SAMPLES_MAX 2000000u
#define ACKNOWLEDGEMENT_BYTES 16u

enum { ECHO, ACKNOWLEDGE, COUNT };

/* Shared by hub and leaves, beside the transport. */
struct tally {
  _Alignas(128) _Atomic uint64_t messages;
};
struct stage {
  _Alignas(128) _Atomic int mode;
  struct tally leaves[FABRIC_LEAVES_MAX];
};

static const struct fabric_peer *const peers[] = { &fabric_bare, &fabric_lane_spinning, &fabric_lane, &fabric_lane_in_place, &fabric_packet };

static void take_processor(int nth) {
  bench_pin(nth);
  bench_real_time();
}

static void be_leaf(const struct fabric_peer *peer, void *self, const struct fabric_plan *plan, struct stage *stage, uint32_t index) {
  uint8_t *buffer = malloc(plan->payload_bytes);
  uint64_t messages = 0;
  BENCH_CHECK(buffer != NULL && prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
  if (peer->spins) take_processor(1);
  peer->leaf(self, index);
  for (;;) {
    const size_t length_bytes = peer->receive(self, buffer);
    BENCH_CHECK(length_bytes == plan->payload_bytes);
    const int mode = atomic_load_explicit(&stage->mode, memory_order_acquire);
    if (mode != COUNT) peer->send(self, buffer, mode == ECHO ? length_bytes : ACKNOWLEDGEMENT_BYTES);
    else atomic_store_explicit(&stage->leaves[index].messages, ++messages, memory_order_release);
  }
}

static size_t round_trips(const struct fabric_peer *peer, void *self, const struct fabric_plan *plan, uint64_t duration_ns, uint8_t *payload, uint64_t *samples) {
  uint8_t *answer = malloc(plan->payload_bytes);
  BENCH_CHECK(answer != NULL);
  size_t count = 0;
  const uint64_t until = bench_now() + duration_ns;
  for (uint64_t begin = bench_now(), end; begin < until && count < SAMPLES_MAX; begin = end) {
    peer->send(self, payload, plan->payload_bytes);
    for (uint32_t i = 0; i < plan->leaves; i++) BENCH_CHECK(peer->receive(self, answer) == (plan->leaves == 1 ? plan->payload_bytes : ACKNOWLEDGEMENT_BYTES));
    end = bench_now();
    samples[count++] = end - begin;
  }
  free(answer);
  return count;
}

static uint64_t fewest(const struct stage *stage, uint32_t leaves) {
  uint64_t least = UINT64_MAX;
  for (uint32_t i = 0; i < leaves; i++) {
    const uint64_t messages = atomic_load_explicit(&stage->leaves[i].messages, memory_order_acquire);
    if (messages < least) least = messages;
  }
  return least;
}

static uint64_t cpu_ns_of(pid_t pid) {
  clockid_t clock;
  struct timespec used;
  BENCH_CHECK(clock_getcpuclockid(pid, &clock) == 0 && clock_gettime(clock, &used) == 0);
  return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}

struct flow {
  uint64_t sent;
  double elapsed_s;
  double cpu_us;
};

static struct flow flow(const struct fabric_peer *peer, void *self, const struct fabric_plan *plan, struct stage *stage, const pid_t *pids, uint64_t duration_ns, const uint8_t *payload) {
  uint64_t used = cpu_ns_of(0), sent = 0;
  for (uint32_t i = 0; i < plan->leaves; i++) used += cpu_ns_of(pids[i]);
  atomic_store_explicit(&stage->mode, COUNT, memory_order_release);
  const uint64_t begin = bench_now();
  const uint32_t burst = plan->payload_bytes > 65536 ? 1 : 64;
  while (bench_now() - begin < duration_ns) {
    for (uint32_t i = 0; i < burst; i++) peer->send(self, payload, plan->payload_bytes);
    sent += burst;
  }
  while (fewest(stage, plan->leaves) < sent) usleep(50);
  const uint64_t end = bench_now();
  uint64_t used_after = cpu_ns_of(0);
  for (uint32_t i = 0; i < plan->leaves; i++) used_after += cpu_ns_of(pids[i]);
  return (struct flow){ .sent = sent, .elapsed_s = (double)(end - begin) / 1e9, .cpu_us = (double)(used_after - used) / 1e3 };
}

static void measure(const struct fabric_peer *peer, const struct fabric_plan *plan, uint64_t duration_ns) {
  struct stage *stage = mmap(NULL, sizeof *stage, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  pid_t pids[FABRIC_LEAVES_MAX];
  uint8_t *payload = malloc(plan->payload_bytes);
  uint64_t *samples = malloc(SAMPLES_MAX * sizeof *samples);
  BENCH_CHECK(stage != MAP_FAILED && payload != NULL && samples != NULL);
  memset(payload, 0x2a, plan->payload_bytes);
  atomic_init(&stage->mode, plan->leaves == 1 ? ECHO : ACKNOWLEDGE);
  void *self = peer->prepare(plan);
  for (uint32_t i = 0; i < plan->leaves; i++) {
    BENCH_CHECK((pids[i] = fork()) >= 0);
    if (pids[i] == 0) be_leaf(peer, self, plan, stage, i);
  }
  if (peer->spins) take_processor(0);
  peer->hub(self);
  (void)round_trips(peer, self, plan, duration_ns / 4, payload, samples); /* warm */
  const size_t count = round_trips(peer, self, plan, duration_ns, payload, samples);
  qsort(samples, count, sizeof *samples, bench_order);
  printf("{\"peer\":\"%s\",\"payloadBytes\":%zu,\"leaves\":%u,\"rounds\":%zu,\"p50Us\":%.4g,\"p99Us\":%.4g", peer->name, plan->payload_bytes, plan->leaves, count, (double)samples[count / 2] / 1e3, (double)samples[count * 99 / 100] / 1e3);
  if (!peer->no_flow) {
    const struct flow got = flow(peer, self, plan, stage, pids, duration_ns, payload);
    printf(",\"messagesPerSecond\":%.6g,\"cpuUsPerMessage\":%.4g", (double)got.sent / got.elapsed_s, got.cpu_us / ((double)got.sent * plan->leaves));
  }
  printf("}\n");
  for (uint32_t i = 0; i < plan->leaves; i++) BENCH_CHECK(kill(pids[i], SIGKILL) == 0 && waitpid(pids[i], NULL, 0) == pids[i]);
}

int main(int count, char **arguments) {
  const struct fabric_peer *peer = NULL;
  struct fabric_plan plan = { 0 };
  if (count == 5) {
    for (size_t i = 0; i < sizeof peers / sizeof *peers; i++) {
      if (strcmp(peers[i]->name, arguments[1]) == 0) peer = peers[i];
    }
    plan.payload_bytes = strtoul(arguments[2], NULL, 10);
    plan.leaves = (uint32_t)strtoul(arguments[3], NULL, 10);
  }
  if (peer == NULL || plan.payload_bytes < ACKNOWLEDGEMENT_BYTES || plan.payload_bytes > 1 << 24 || plan.leaves < 1 || plan.leaves > (peer->spins ? 1 : FABRIC_LEAVES_MAX)) {
    fprintf(stderr, "usage: fabric_bench PEER PAYLOAD_BYTES LEAVES MILLISECONDS; peers:");
    for (size_t i = 0; i < sizeof peers / sizeof *peers; i++) fprintf(stderr, " \"%s\"", peers[i]->name);
    fprintf(stderr, "\n");
    return 2;
  }
  plan.depth = plan.payload_bytes > 65536 ? 16 : 1024;
  measure(peer, &plan, strtoul(arguments[4], NULL, 10) * 1000000u);
  return 0;
}
