/*
 * Lanes against a plain list: random operations of a writer and several readers (of all policies, slow and quick, joining and leaving; lanes that end and are made anew), and after each
 * what the list says must be what the lane does, message by message and count by count. One process, no time: what it does follows from the seed.
 *   lane_model_test [FIRST_SEED [SEEDS [OPERATIONS]]]
 */
#include "lane_layout.h"
#include "lane_test.h"

#include <poll.h>

#define READERS 5
#define MESSAGES 4096
#define NEVER (3600ull * 1000000000u)

struct message {
  uint64_t position; /* in the large ring, or INLINE */
  size_t bytes;
  uint8_t lineage_count;
  uint8_t kind;
};

struct listener {
  struct ipcnet_lane_reader *reader; /* NULL: not here */
  int number;
  enum ipcnet_lane_policy policy;
  int waited_for; /* lossless, not demoted */
  int demoted;
  int patient; /* its deadline never comes; else it comes at once */
  uint64_t next, told, lost, samples;
  uint64_t leased;
  int asleep, rung;
};

struct world {
  uint64_t random;
  struct ipcnet_lane_options options;
  struct ipcnet_lane_writer *writer;
  struct message list[MESSAGES]; /* message first + i at i */
  uint64_t first, newest, reserved, marked;
  struct listener listeners[READERS];
  uint64_t rings;
  int loaned;
  struct message loan;
  uint8_t *loan_payload;
  size_t loan_bytes;
};

static uint8_t scratch[1 << 17];
static struct ipcnet_lane_sample drained[64];

static struct message *at(struct world *world, uint64_t sequence) { return &world->list[sequence - world->first]; }
static uint64_t below(struct world *world, uint64_t limit) { return test_below(&world->random, limit); }

static int readable(struct world *world, uint64_t sequence) {
  if (sequence < world->first || sequence > world->newest || world->newest - sequence >= world->options.slot_count) return 0;
  if (world->marked == sequence + world->options.slot_count) return 0;
  const uint64_t position = at(world, sequence)->position;
  return position == IPCNET_LANE_POSITION_INLINE || position + world->options.large_bytes >= world->reserved;
}

static uint64_t place(const struct world *world, size_t bytes) {
  uint64_t position = (world->reserved + 63) / 64 * 64;
  const uint64_t ring = world->options.large_bytes;
  if (position % ring + bytes > ring) position = (position / ring + 1) * ring;
  return position;
}

static uint64_t cursor(const struct listener *listener) { return (listener->leased ? listener->leased : listener->next) - 1; }

/* Whether a lossless reader still needs what a message at `reserved` would overwrite; the impatient ones lose their right by being asked. */
static int held(struct world *world, int large, uint64_t reserved) {
  const uint64_t next = world->newest + 1;
  int held = 0;
  for (int i = 0; i < READERS; i++) {
    struct listener *listener = &world->listeners[i];
    if (listener->reader == NULL || !listener->waited_for) continue;
    int behind = next > world->options.slot_count && cursor(listener) < next - world->options.slot_count;
    for (uint64_t n = cursor(listener) + 1; large && n < next && !behind; n++) {
      if (n < world->first) continue;
      const uint64_t position = at(world, n)->position;
      behind = position != IPCNET_LANE_POSITION_INLINE && position + world->options.large_bytes < reserved;
    }
    if (!behind) continue;
    if (listener->patient) held = 1;
    else {
      listener->waited_for = 0;
      listener->demoted = 1;
    }
  }
  return held;
}

/* What claim() should say, and what it changes if it says 0. */
static int model_claim(struct world *world, size_t bytes, uint8_t lineage_count, struct message *message) {
  const size_t total = bytes + lineage_count * sizeof(struct ipcnet_lane_lineage);
  const int large = total > world->options.inline_bytes;
  if (large && total > world->options.large_bytes / 2) return -EMSGSIZE;
  *message = (struct message){ .position = large ? place(world, total) : IPCNET_LANE_POSITION_INLINE, .bytes = bytes, .lineage_count = lineage_count, .kind = (uint8_t)below(world, 256) };
  const uint64_t reserved = large ? message->position + total : world->reserved;
  if (held(world, large, reserved)) return -EAGAIN;
  world->reserved = reserved;
  return 0;
}

static void model_commit(struct world *world, const struct message *message) {
  world->newest++;
  world->marked = 0;
  *at(world, world->newest) = *message;
  for (int i = 0; i < READERS; i++) {
    struct listener *listener = &world->listeners[i];
    if (listener->reader != NULL && listener->asleep && !listener->rung) listener->rung = 1, world->rings++;
  }
}

static size_t some_bytes(struct world *world) {
  const size_t max = ipcnet_lane_writer_payload_bytes_max(world->writer);
  switch (below(world, 8)) {
    case 0: return below(world, max + 40);
    case 1: return below(world, max / 2 + 1);
    case 2: return 0;
    default: return below(world, world->options.inline_bytes + 1);
  }
}

static void lineage_of(uint64_t sequence, struct ipcnet_lane_lineage *lineage, uint8_t count) {
  for (uint8_t i = 0; i < count; i++) lineage[i] = (struct ipcnet_lane_lineage){ sequence, i, sequence * 3 + i };
}

static struct ipcnet_lane_meta meta_of(uint64_t sequence, const struct message *message) {
  return (struct ipcnet_lane_meta){ .time_ns = sequence * 10, .wall_time_ns = -(int64_t)sequence, .origin = (uint32_t)sequence, .ttl_ms = 7, .flags = sequence & 4, .lineage_count = message->lineage_count, .kind = message->kind };
}

static void publish(struct world *world) {
  struct message message;
  struct ipcnet_lane_lineage lineage[IPCNET_LANE_LINEAGE_MAX];
  if (world->newest + 1 - world->first > MESSAGES - 8) return;
  const size_t bytes = some_bytes(world);
  const uint8_t lineage_count = below(world, 4) == 0 ? (uint8_t)below(world, IPCNET_LANE_LINEAGE_MAX + 1) : 0;
  const uint64_t sequence = world->newest + 1;
  const int expected = world->loaned ? -EBUSY : model_claim(world, bytes, lineage_count, &message);
  if (expected != 0) message = (struct message){ .lineage_count = lineage_count };
  const struct ipcnet_lane_meta meta = meta_of(sequence, &message);
  CHECK(ipcnet_lane_writer_next_sequence(world->writer) == sequence);
  lineage_of(sequence, lineage, lineage_count);
  test_fill(scratch, bytes, sequence);
  CHECK(ipcnet_lane_writer_publish(world->writer, &meta, lineage, scratch, bytes, 0) == expected);
  if (expected == 0) model_commit(world, &message);
}

static void loan(struct world *world) {
  struct ipcnet_lane_lineage lineage[IPCNET_LANE_LINEAGE_MAX];
  const uint64_t sequence = world->newest + 1;
  if (world->newest + 1 - world->first > MESSAGES - 8) return;
  if (!world->loaned) {
    const size_t bytes = some_bytes(world);
    void *payload = NULL;
    const uint8_t lineage_count = (uint8_t)below(world, 3);
    const int expected = model_claim(world, bytes, lineage_count, &world->loan);
    CHECK(ipcnet_lane_writer_loan(world->writer, bytes, lineage_count, &payload) == expected);
    if (expected != 0) return;
    world->loaned = 1;
    world->loan_payload = payload;
    world->loan_bytes = bytes;
    if (world->loan.position == IPCNET_LANE_POSITION_INLINE) world->marked = sequence;
    test_fill(world->loan_payload, bytes, sequence); /* at once: whoever still reads what stood there must notice */
  } else if (below(world, 3) == 0) {
    ipcnet_lane_writer_give_up(world->writer);
    world->loaned = 0;
  } else {
    CHECK(ipcnet_lane_writer_commit(world->writer, NULL, NULL, world->loan_bytes + 1, 0) == -EINVAL);
    world->loan.bytes = below(world, world->loan_bytes + 1);
    const struct ipcnet_lane_meta meta = meta_of(sequence, &world->loan);
    lineage_of(sequence, lineage, world->loan.lineage_count);
    CHECK(ipcnet_lane_writer_commit(world->writer, &meta, lineage, world->loan.bytes, 0) == 0);
    world->loaned = 0;
    model_commit(world, &world->loan);
  }
}

static void sample_is(struct world *world, const struct ipcnet_lane_sample *sample, const uint8_t *payload, uint64_t sequence, uint64_t lost) {
  const struct message *message = at(world, sequence);
  struct ipcnet_lane_lineage lineage[IPCNET_LANE_LINEAGE_MAX];
  CHECK(sample->sequence == sequence && sample->lost_before == lost && sample->payload_bytes == message->bytes);
  CHECK(sample->meta.time_ns == sequence * 10 && sample->meta.wall_time_ns == -(int64_t)sequence && sample->meta.origin == (uint32_t)sequence && sample->meta.kind == message->kind);
  CHECK(sample->meta.ttl_ms == 7 && sample->meta.flags == (sequence & 4) && sample->meta.schema_hash == 5 && sample->meta.lineage_count == message->lineage_count);
  lineage_of(sequence, lineage, message->lineage_count);
  CHECK(memcmp(lineage, sample->lineage, message->lineage_count * sizeof *lineage) == 0);
  CHECK(test_filled(payload, message->bytes, sequence));
}

/* Moves the model to the message that a read should find: its sequence, or 0. */
static uint64_t model_next(struct world *world, struct listener *listener) {
  const uint64_t slots = world->options.slot_count;
  uint64_t target = world->newest - world->first + 1 > slots ? world->newest - slots + 1 : world->first;
  if (listener->policy == IPCNET_LANE_LATEST) target = world->newest;
  if (listener->next > world->newest) return 0;
  if (target < listener->next) target = listener->next;
  while (target <= world->newest && !readable(world, target)) target++;
  listener->lost += target - listener->next;
  listener->next = target;
  return target <= world->newest ? target : 0;
}

static void model_read(struct listener *listener, uint64_t sequence) {
  listener->told = sequence;
  listener->next = sequence + 1;
  listener->samples++;
}

static void read_one(struct world *world, struct listener *listener) {
  struct ipcnet_lane_sample sample;
  const uint64_t told = listener->told, sequence = model_next(world, listener);
  if (sequence != 0 && at(world, sequence)->bytes > 0 && below(world, 8) == 0) {
    CHECK(ipcnet_lane_reader_read(listener->reader, &sample, scratch, at(world, sequence)->bytes - 1) == IPCNET_LANE_TOO_SMALL);
    CHECK(sample.payload_bytes == at(world, sequence)->bytes);
  }
  CHECK(ipcnet_lane_reader_read(listener->reader, &sample, scratch, sizeof scratch) == (sequence ? IPCNET_LANE_SAMPLE : IPCNET_LANE_NOTHING));
  if (sequence == 0) return;
  sample_is(world, &sample, scratch, sequence, sequence - told - 1);
  model_read(listener, sequence);
}

static void drain(struct world *world, struct listener *listener) {
  enum ipcnet_lane_verdict verdict;
  const uint32_t max = 1 + (uint32_t)below(world, 64);
  size_t capacity = below(world, 3) == 0 ? sizeof scratch : below(world, 600), used = 0;
  const uint32_t count = ipcnet_lane_reader_drain(listener->reader, drained, max, scratch, capacity, &verdict);
  for (uint32_t i = 0; i < count; i++) {
    const uint64_t told = listener->told, sequence = model_next(world, listener);
    CHECK(sequence != 0 && drained[i].payload_at == used);
    sample_is(world, &drained[i], scratch + used, sequence, sequence - told - 1);
    used += (at(world, sequence)->bytes + 7) / 8 * 8;
    if (used > capacity) used = capacity;
    model_read(listener, sequence);
  }
  if (count == max) {
    CHECK(verdict == IPCNET_LANE_SAMPLE);
    return;
  }
  const uint64_t sequence = model_next(world, listener);
  if (sequence == 0) CHECK(verdict == IPCNET_LANE_NOTHING);
  else CHECK(at(world, sequence)->bytes > capacity - used && verdict == (count > 0 ? IPCNET_LANE_SAMPLE : IPCNET_LANE_TOO_SMALL));
  if (verdict == IPCNET_LANE_TOO_SMALL) CHECK(drained[0].payload_bytes == at(world, sequence)->bytes);
}

static void lease(struct world *world, struct listener *listener) {
  if (listener->leased == 0) {
    struct ipcnet_lane_sample sample;
    const void *payload = NULL;
    const uint64_t told = listener->told, sequence = model_next(world, listener);
    CHECK(ipcnet_lane_reader_release(listener->reader) == -EINVAL);
    CHECK(ipcnet_lane_reader_lease(listener->reader, &sample, &payload) == (sequence ? IPCNET_LANE_SAMPLE : IPCNET_LANE_NOTHING));
    if (sequence == 0) return;
    sample_is(world, &sample, payload, sequence, sequence - told - 1);
    model_read(listener, sequence);
    listener->leased = sequence;
  } else {
    const int whole = readable(world, listener->leased);
    CHECK(ipcnet_lane_reader_release(listener->reader) == (whole ? 0 : -ESTALE));
    listener->leased = 0;
  }
}

static void history(struct world *world, struct listener *listener) {
  const uint32_t wanted = (uint32_t)below(world, 12);
  const uint32_t count = ipcnet_lane_reader_history(listener->reader, wanted, drained, scratch, sizeof scratch);
  uint32_t found = 0;
  uint64_t previous = 0;
  for (uint64_t n = world->newest + 1 - world->first > wanted ? world->newest + 1 - wanted : world->first; n <= world->newest; n++) {
    if (!readable(world, n)) continue;
    CHECK(found < count);
    sample_is(world, &drained[found], scratch + drained[found].payload_at, n, previous ? n - previous - 1 : 0);
    previous = n;
    found++;
  }
  CHECK(found == count);
}

static void sleep_or_wake(struct world *world, struct listener *listener) {
  (void)world;
  struct pollfd bell = { .fd = ipcnet_lane_reader_bell_fd(listener->reader), .events = POLLIN };
  if (!listener->asleep) {
    const int empty = listener->next > world->newest;
    CHECK(ipcnet_lane_reader_arm(listener->reader) == empty);
    if (empty) listener->asleep = 1, listener->rung = 0;
    return;
  }
  if (listener->rung) CHECK(poll(&bell, 1, 0) == 1);
  ipcnet_lane_reader_awake(listener->reader);
  CHECK(poll(&bell, 1, 0) == 0);
  listener->asleep = listener->rung = 0;
}

static void join(struct world *world, struct listener *listener) {
  const uint64_t slots = world->options.slot_count, oldest = world->newest - world->first + 1 > slots ? world->newest - slots + 1 : world->first;
  *listener = (struct listener){ .policy = (enum ipcnet_lane_policy)below(world, world->options.policy + 1u), .patient = below(world, 2) == 0, .next = listener->next };
  const enum ipcnet_lane_start start = (enum ipcnet_lane_start)below(world, 4);
  uint64_t wanted = below(world, 2) == 0 && listener->next != 0 ? listener->next : 1 + below(world, world->newest + 4); /* go on where one left, perhaps on the lane before */
  switch (start) {
    case IPCNET_LANE_FROM_NEXT: listener->next = world->newest + 1; break;
    case IPCNET_LANE_FROM_LAST: listener->next = world->newest >= world->first ? world->newest : world->newest + 1; break;
    case IPCNET_LANE_FROM_OLDEST: listener->next = oldest; break;
    default: listener->next = wanted < oldest ? oldest : wanted > world->newest + 1 ? world->newest + 1 : wanted;
  }
  listener->told = listener->next - 1;
  if (start == IPCNET_LANE_FROM_SEQUENCE && wanted < listener->next) listener->told = wanted - 1, listener->lost = listener->next - wanted;
  listener->waited_for = listener->policy == IPCNET_LANE_LOSSLESS;
  listener->number = test_join(world->writer, &listener->reader, listener->policy, start, wanted, listener->patient ? NEVER : 0);
  ipcnet_lane_reader_awake(listener->reader);
}

static void leave(struct world *world, struct listener *listener) {
  struct ipcnet_lane_reader_stats stats;
  ipcnet_lane_reader_stats(listener->reader, &stats);
  CHECK(stats.samples == listener->samples && stats.lost == listener->lost && stats.corrupt == 0);
  CHECK((stats.demoted & IPCNET_LANE_DEMOTED_QUEUE) == (listener->demoted ? IPCNET_LANE_DEMOTED_QUEUE : 0));
  CHECK(ipcnet_lane_writer_remove_reader(world->writer, listener->number) == 0);
  ipcnet_lane_reader_close(listener->reader);
  listener->reader = NULL;
}

static void create(struct world *world) {
  static const uint32_t slots[] = { 2, 4, 8, 16, 64 };
  static const uint64_t large[] = { 0, 4096, 8192, 65536 };
  world->options = (struct ipcnet_lane_options){ .slot_count = slots[below(world, 5)], .inline_bytes = below(world, 2) ? 64 : 192, .large_bytes = large[below(world, 4)],
    .policy = (uint8_t)(below(world, 4) ? IPCNET_LANE_LOSSLESS : below(world, 3)), .schema_hash = 5, .first_sequence = world->newest + 1 };
  world->first = world->newest + 1;
  world->reserved = world->marked = world->rings = 0;
  world->loaned = 0;
  CHECK(ipcnet_lane_writer_create(&world->writer, &world->options) == 0);
}

/* The lane ends; who is here reads it to its end; the next one goes on counting. */
static void anew(struct world *world) {
  struct ipcnet_lane_writer_stats stats;
  ipcnet_lane_writer_stats(world->writer, &stats);
  CHECK(stats.published == world->newest - world->first + 1 && stats.rings == world->rings && stats.rings_unheard == 0 && stats.pages_mistrusted == 0);
  ipcnet_lane_writer_destroy(world->writer);
  for (int i = 0; i < READERS; i++) {
    struct listener *listener = &world->listeners[i];
    if (listener->reader == NULL) continue;
    struct ipcnet_lane_sample sample;
    const void *payload;
    CHECK(ipcnet_lane_reader_arm(listener->reader) == 0);
    if (listener->leased) lease(world, listener);
    while (model_next(world, listener) != 0) read_one(world, listener);
    CHECK(ipcnet_lane_reader_read(listener->reader, &sample, scratch, sizeof scratch) == IPCNET_LANE_CLOSED);
    CHECK(ipcnet_lane_reader_lease(listener->reader, &sample, &payload) == IPCNET_LANE_CLOSED);
    ipcnet_lane_reader_close(listener->reader);
    listener->reader = NULL;
  }
  create(world);
}

static void one_world(uint64_t seed, uint32_t operations) {
  static struct world world;
  memset(&world, 0, sizeof world);
  test_seed = world.random = seed;
  world.newest = below(&world, 2) ? 0 : below(&world, 1ull << 40);
  create(&world);
  for (uint32_t i = 0; i < operations; i++) {
    struct listener *listener = &world.listeners[below(&world, READERS)];
    const uint64_t what = below(&world, 1000);
    if (what < 400) publish(&world);
    else if (what < 440) loan(&world);
    else if (what < 443 || world.newest + 1 - world.first > MESSAGES - 16) anew(&world);
    else if (listener->reader == NULL) join(&world, listener);
    else if (what < 600) read_one(&world, listener);
    else if (what < 700) drain(&world, listener);
    else if (what < 780) lease(&world, listener);
    else if (what < 820) history(&world, listener);
    else if (what < 985) sleep_or_wake(&world, listener);
    else leave(&world, listener);
  }
  anew(&world);
  ipcnet_lane_writer_destroy(world.writer);
}

int main(int count, char **arguments) {
  const uint64_t first = count > 1 ? strtoull(arguments[1], NULL, 10) : 1;
  const uint64_t seeds = count > 2 ? strtoull(arguments[2], NULL, 10) : 40;
  const uint32_t operations = count > 3 ? (uint32_t)strtoul(arguments[3], NULL, 10) : 3000;
  for (uint64_t seed = first; seed < first + seeds; seed++) one_world(seed, operations);
  printf("lane model: %llu seeds from %llu, %u operations each\n", (unsigned long long)seeds, (unsigned long long)first, operations);
  return 0;
}
