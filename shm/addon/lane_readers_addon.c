/* Lanes from the reader's side, the memory shared with JavaScript, and what the gateway asks about descriptors that it passes on. */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "heap.h"
#include "lane_reader.h"
#include "lanes_glue.h"

/* How often an empty lane is looked at again before anything else: a fraction of a microsecond. A writer that is a little slower than its reader would otherwise wake it for each message. */
#define LOOKS 4
/* Looks between two glances at the clock while spinning. */
#define LOOKS_PER_CLOCK 8
/* Short sleeps in a row until spinning is tried, at first and at most: a spin in vain for 64 sleeps costs a few per cent of what these cost. */
#define SHORT_SLEEPS_FIRST 4u
#define SHORT_SLEEPS_LAST 64u
/* A sleep is short if it took less than so many times the longest spin: two wake-ups of the other side and ours are in it, which spinning would have saved. */
#define SHORT_SLEEP_SPINS 2u
/* After so many successes they are looked at: on average they must have come within two thirds of the longest spin. (While the other side still sleeps, half is usual; once it spins too, a thirtieth.) */
#define SUCCESSES 16u

/*
 * Spinning before sleep, for programs that answer each other at once: then both wake-ups are saved, which is most of a round trip. It is tried while sleeps are short, for at most `spin_ns`, goes on for as long as
 * messages come faster than that, and each failure makes the next try rarer: where the writer cannot run beside us (one processor, or a busy one), or sends at a pace of its own, it would only burn time.
 */
struct spin {
  uint32_t spin_ns; /* 0: never */
  uint32_t needed;  /* short sleeps until the next try */
  uint32_t short_sleeps;
  uint32_t successes;
  uint64_t waited_ns; /* in these */
  int on;
  uint64_t slept_at_ns;
};

struct reader {
  struct ipcnet_lane_reader *lane;
  struct lent lease;
  struct spin spin;
  int asleep;
};

static void spin_woken(struct spin *self) {
  if (self->spin_ns == 0) return;
  if (ipcnet_lane_clock_ns(CLOCK_MONOTONIC) - self->slept_at_ns >= (uint64_t)self->spin_ns * SHORT_SLEEP_SPINS) self->short_sleeps = 0;
  else if (++self->short_sleeps >= self->needed) self->on = 1;
}

static void spin_ended(struct spin *self, int found, uint64_t waited_ns) {
  self->waited_ns += waited_ns;
  if (found && ++self->successes < SUCCESSES) return;
  const int worth = found && 3 * self->waited_ns < 2 * (uint64_t)SUCCESSES * self->spin_ns;
  self->successes = self->short_sleeps = 0;
  self->waited_ns = 0;
  self->on = worth;
  if (worth) self->needed = SHORT_SLEEPS_FIRST;
  else if (self->needed < SHORT_SLEEPS_LAST) self->needed *= 2;
}

static struct reader *reader_of(napi_env env, struct state *self, napi_value value) {
  uint32_t id;
  return u32(env, value, &id) ? table_get(&self->lane_readers, id) : NULL;
}

/* ---- memory of a lane in the hands of JavaScript ------------------------------------------------------------------------------------------ */

static void nothing_to_free(napi_env env, void *data, void *hint) {
  (void)env;
  (void)data;
  (void)hint;
}

int lend(napi_env env, struct lent *lent, void *data, size_t bytes, napi_value *array_buffer) {
  const napi_status status = napi_create_external_arraybuffer(env, data, bytes, nothing_to_free, NULL, array_buffer);
  if (status != napi_ok) return status == napi_no_external_buffers_allowed ? -ENOTSUP : -ENOMEM;
  return napi_create_reference(env, *array_buffer, 1, &lent->array_buffer) == napi_ok ? 0 : -ENOMEM;
}

int take_back(napi_env env, struct lent *lent) {
  napi_value array_buffer;
  bool detached = true;
  if (lent->array_buffer == NULL) return 1;
  if (napi_get_reference_value(env, lent->array_buffer, &array_buffer) == napi_ok && array_buffer != NULL && napi_is_detached_arraybuffer(env, array_buffer, &detached) == napi_ok && !detached) {
    detached = napi_detach_arraybuffer(env, array_buffer) != napi_ok;
  }
  napi_delete_reference(env, lent->array_buffer);
  lent->array_buffer = NULL;
  return !detached;
}

/* Ends a reader. With `keep_mapped` the addresses of its leases stay valid, but show zeros: the lane's memory itself is let go. */
static void end_reader(struct reader *reader, int keep_mapped) {
  struct ipcnet_lane_reader *lane = reader->lane;
  if (keep_mapped && lane->private_base != NULL) {
    void *at = (void *)(uintptr_t)lane->private_base;
    if (mmap(at, lane->fixed.file_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == at) lane->private_base = NULL;
  }
  ipcnet_lane_reader_close(lane);
  free(reader);
}

void close_lane_readers(struct state *self) {
  struct reader *reader;
  while ((reader = table_remove_any(&self->lane_readers)) != NULL) end_reader(reader, reader->lease.array_buffer != NULL);
  table_free(&self->lane_readers);
}

void close_lanes(struct state *self) {
  close_lane_writers(self);
  close_lane_readers(self);
  free(self->lanes);
  self->lanes = NULL;
}

/* laneMemory(staging: Uint8Array, records: Uint8Array, lineage: BigUint64Array): once, before anything else of lanes. */
static napi_value lane_memory(napi_env env, napi_callback_info info) {
  napi_value values[3];
  uint8_t *staging, *records;
  uint64_t *lineage;
  size_t staging_bytes, record_bytes, lineage_words;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 3, values) || !bytes_of(env, values[0], &staging, &staging_bytes) || staging_bytes < STAGING_BYTES || !bytes_of(env, values[1], &records, &record_bytes) ||
      record_bytes < BATCH_MESSAGES_MAX * sizeof(struct batch_record) || !longs_of(env, values[2], &lineage, &lineage_words) || lineage_words < 3 * BATCH_LINEAGE_MAX || self->lanes != NULL) return wrong(env, "laneMemory(staging, records, lineage)");
  struct lanes_memory *memory = calloc(1, sizeof *memory);
  if (memory == NULL) return wrong(env, "out of memory");
  for (int i = 0; i < 3; i++) napi_create_reference(env, values[i], 1, &memory->kept[i]);
  memory->staging = staging;
  memory->records = (struct batch_record *)(void *)records;
  memory->lineage = (struct ipcnet_lane_lineage *)(void *)lineage;
  self->lanes = memory;
  return NULL;
}

/* laneBuffer(buffer: Uint8Array): where payloads are copied to from now on. */
static napi_value lane_buffer(napi_env env, napi_callback_info info) {
  napi_value values[1];
  uint8_t *buffer;
  size_t bytes;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  /* payload_at has 32 bits. */
  if (!arguments(env, info, 1, values) || !bytes_of(env, values[0], &buffer, &bytes) || bytes > UINT32_MAX || self->lanes == NULL) return wrong(env, "laneBuffer(Uint8Array)");
  /* One for a single large message: more of them will come. */
  if (bytes > STANDING_BUFFER_BYTES && !self->lanes->keeps_freed) {
    self->lanes->keeps_freed = 1;
    heap_keep_freed();
  }
  if (self->lanes->kept_buffer != NULL) napi_delete_reference(env, self->lanes->kept_buffer);
  napi_create_reference(env, values[0], 1, &self->lanes->kept_buffer);
  self->lanes->buffer = buffer;
  self->lanes->buffer_bytes = bytes;
  return NULL;
}

/* ---- opening -------------------------------------------------------------------------------------------------------------------------------- */

/* How many processors this thread may use. */
static int processors(void) {
  cpu_set_t set;
  return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 1;
}

/* laneOpen(lane fd, bell fd + 1 or 0, policy, start, words: BigUint64Array(3): sequence, schema hash, longest spin in ns) → number; the bell is the reader's from now on */
static napi_value lane_open(napi_env env, napi_callback_info info) {
  napi_value values[5];
  uint32_t fd, bell, policy, from;
  uint64_t *words;
  size_t length;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 5, values) || !u32(env, values[0], &fd) || !u32(env, values[1], &bell) || !u32(env, values[2], &policy) || !u32(env, values[3], &from) || policy > UINT8_MAX || from > UINT8_MAX ||
      !longs_of(env, values[4], &words, &length) || length < 3 || words[2] > UINT32_MAX || self->lanes == NULL) return wrong(env, "laneOpen(fd, bell, policy, start, BigUint64Array of 3)");
  int bell_fd = bell == 0 ? -1 : take_held(self, bell - 1);
  if (bell != 0 && bell_fd < 0) return number(env, -EBADF);
  int lane_fd = held_fd(self, fd);
  struct reader *reader = lane_fd < 0 ? NULL : calloc(1, sizeof *reader);
  if (reader == NULL) {
    if (bell_fd >= 0) close(bell_fd);
    return number(env, lane_fd < 0 ? lane_fd : -ENOMEM);
  }
  const struct ipcnet_lane_reader_options options = { .policy = (uint8_t)policy, .start = (uint8_t)from, .sequence = words[0], .schema_hash = words[1] };
  reader->spin = (struct spin){ .spin_ns = processors() > 1 ? (uint32_t)words[2] : 0, .needed = SHORT_SLEEPS_FIRST };
  int64_t status = ipcnet_lane_reader_open(&reader->lane, lane_fd, bell_fd, &options);
  if (status == 0) {
    status = table_add(&self->lane_readers, reader);
    if (status >= 0) return number(env, status);
    ipcnet_lane_reader_close(reader->lane);
  }
  free(reader);
  return number(env, status);
}

/* laneReaderInfo(id, words: BigUint64Array(7)) → the reader's page, held by JavaScript; words = lane id (2), schema hash, largest payload, slots, inline bytes, large bytes */
static napi_value lane_reader_info(napi_env env, napi_callback_info info) {
  napi_value values[2];
  uint64_t *words;
  size_t length;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 2, values) || !longs_of(env, values[1], &words, &length) || length < 7) return wrong(env, "laneReaderInfo(id, BigUint64Array of 7)");
  struct reader *reader = reader_of(env, self, values[0]);
  if (reader == NULL) return number(env, -EBADF);
  ipcnet_lane_reader_id(reader->lane, (uint8_t *)words);
  words[2] = ipcnet_lane_reader_schema_hash(reader->lane);
  words[3] = ipcnet_lane_reader_payload_bytes_max(reader->lane);
  words[4] = reader->lane->fixed.slot_count;
  words[5] = reader->lane->fixed.inline_bytes;
  words[6] = reader->lane->fixed.large_bytes;
  int fd = fcntl(ipcnet_lane_reader_page_fd(reader->lane), F_DUPFD_CLOEXEC, 3);
  return number(env, fd < 0 ? -errno : hold(self, fd));
}

/* laneBellWatch(id) → the number of a socket to be armed: readable when the reader has been rung */
static napi_value lane_bell_watch(napi_env env, napi_callback_info info) {
  napi_value values[1];
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values)) return wrong(env, "laneBellWatch(id)");
  struct reader *reader = reader_of(env, self, values[0]);
  int fd = reader == NULL ? -EBADF : ipcnet_lane_reader_bell_fd(reader->lane);
  return number(env, fd < 0 ? -EBADF : add_borrowed_slot(env, self, fd));
}

/* ---- reading ---------------------------------------------------------------------------------------------------------------------------------- */

static void put_record(struct lanes_memory *memory, uint32_t index, const struct ipcnet_lane_sample *sample, size_t payload_at, uint32_t *lineage_used) {
  memory->records[index] = (struct batch_record){
    .sequence = sample->sequence, .lost_before = sample->lost_before, .time_ns = sample->meta.time_ns, .wall_time_ns = sample->meta.wall_time_ns, .schema_hash = sample->meta.schema_hash,
    .origin = sample->meta.origin, .ttl_ms = sample->meta.ttl_ms, .payload_at = (uint32_t)payload_at, .payload_bytes = (uint32_t)sample->payload_bytes,
    .flags = sample->meta.flags, .lineage_count = sample->meta.lineage_count, .kind = sample->meta.kind, .lineage_at = *lineage_used,
  };
  for (uint32_t i = 0; i < sample->meta.lineage_count; i++) memory->lineage[(*lineage_used)++] = sample->lineage[i];
}

/* Fills the batch. Returns how many messages, and in `verdict` why no more. */
static uint32_t fill(struct lanes_memory *memory, struct ipcnet_lane_reader *lane, uint32_t messages_max, enum ipcnet_lane_verdict *verdict) {
  uint32_t count = 0, lineage_used = 0;
  size_t at = 0;
  *verdict = IPCNET_LANE_SAMPLE;
  while (count < messages_max && *verdict == IPCNET_LANE_SAMPLE && lineage_used + CHUNK_MESSAGES * IPCNET_LANE_LINEAGE_MAX <= BATCH_LINEAGE_MAX) {
    const uint32_t wanted = messages_max - count < CHUNK_MESSAGES ? messages_max - count : CHUNK_MESSAGES;
    const uint32_t got = ipcnet_lane_reader_drain(lane, memory->samples, wanted, memory->buffer + at, memory->buffer_bytes - at, verdict);
    for (uint32_t i = 0; i < got; i++) put_record(memory, count + i, &memory->samples[i], at + memory->samples[i].payload_at, &lineage_used);
    if (got == 0) break;
    count += got;
    at += (memory->samples[got - 1].payload_at + memory->samples[got - 1].payload_bytes + 7) & ~(size_t)7;
    /* Less than wanted with more to come: the buffer is full. */
    if (at >= memory->buffer_bytes || got < wanted) break;
  }
  return count;
}

/* What JavaScript is told when there is no message: 0 nothing (and asleep, if it was to sleep), or -1000 - verdict. With TOO_SMALL the size that is needed stands in records[0].payload_bytes. */
static int64_t told(struct lanes_memory *memory, enum ipcnet_lane_verdict verdict) {
  if (verdict == IPCNET_LANE_TOO_SMALL) memory->records[0].payload_bytes = (uint32_t)memory->samples[0].payload_bytes;
  return verdict == IPCNET_LANE_NOTHING || verdict == IPCNET_LANE_SAMPLE ? 0 : -1000 - (int64_t)verdict;
}

/* Looks again and again until `until_ns` (0: only a few times). Returns how many messages, as `fill`. */
static uint32_t look(struct lanes_memory *memory, struct reader *reader, uint32_t messages_max, uint64_t until_ns, enum ipcnet_lane_verdict *verdict) {
  for (uint32_t looks = 1;; looks++) {
    const uint32_t count = fill(memory, reader->lane, messages_max, verdict);
    if (count > 0 || *verdict != IPCNET_LANE_NOTHING) return count;
    if (until_ns == 0 ? looks >= LOOKS : looks % LOOKS_PER_CLOCK == 0 && ipcnet_lane_clock_ns(CLOCK_MONOTONIC) >= until_ns) return 0;
    ipcnet_lane_relax();
  }
}

enum { DRAIN_ONLY = 0, DRAIN_OR_SLEEP = 1, DRAIN_SPIN_OR_SLEEP = 2 };

/*
 * laneDrain(id, messagesMax, mode) → how many messages stand in the batch. With none left: by mode 0 0; by mode 1 0 and the reader sleeps, its bell will be rung, or -EAGAIN when it is worth
 * to let the loop turn once and to come back with mode 2, which spins a little first.
 */
static napi_value lane_drain(napi_env env, napi_callback_info info) {
  napi_value values[3];
  uint32_t messages_max, mode;
  enum ipcnet_lane_verdict verdict;
  struct state *self = state_of(env);
  if (!arguments(env, info, 3, values) || !u32(env, values[1], &messages_max) || !u32(env, values[2], &mode) || messages_max == 0 || messages_max > BATCH_MESSAGES_MAX || self->lanes == NULL) return wrong(env, "laneDrain(id, messages 1…1024, mode)");
  struct reader *reader = reader_of(env, self, values[0]);
  if (reader == NULL) return number(env, -EBADF);
  struct spin *spin = &reader->spin;
  if (reader->asleep) {
    spin_woken(spin);
    ipcnet_lane_reader_awake(reader->lane);
    reader->asleep = 0;
  }
  const int spinning = mode == DRAIN_SPIN_OR_SLEEP && spin->on;
  const uint64_t begin_ns = spinning ? ipcnet_lane_clock_ns(CLOCK_MONOTONIC) : 0;
  const uint32_t count = look(self->lanes, reader, messages_max, spinning ? begin_ns + spin->spin_ns : 0, &verdict);
  if (spinning) spin_ended(spin, count > 0, ipcnet_lane_clock_ns(CLOCK_MONOTONIC) - begin_ns);
  if (count > 0) return number(env, count);
  if (verdict != IPCNET_LANE_NOTHING || mode == DRAIN_ONLY) return number(env, told(self->lanes, verdict));
  /* Something may have come just now; a slot that cannot be read looks like that too. Either way the loop comes back. */
  if ((spin->on && mode == DRAIN_OR_SLEEP) || !ipcnet_lane_reader_arm(reader->lane)) return number(env, -EAGAIN);
  reader->asleep = 1;
  if (spin->spin_ns != 0) spin->slept_at_ns = ipcnet_lane_clock_ns(CLOCK_MONOTONIC);
  return number(env, 0);
}

/* laneHistory(id, count, buffer: Uint8Array) → how many of the last messages stand in the batch, their payloads in `buffer` */
static napi_value lane_history(napi_env env, napi_callback_info info) {
  napi_value values[3];
  uint32_t count, lineage_used = 0;
  uint8_t *buffer;
  size_t bytes;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 3, values) || !u32(env, values[1], &count) || count > BATCH_MESSAGES_MAX || !bytes_of(env, values[2], &buffer, &bytes) || bytes > UINT32_MAX || self->lanes == NULL) return wrong(env, "laneHistory(id, count <= 1024, Uint8Array)");
  struct reader *reader = reader_of(env, self, values[0]);
  if (reader == NULL) return number(env, -EBADF);
  struct ipcnet_lane_sample *samples = calloc(count + 1u, sizeof *samples);
  if (samples == NULL) return number(env, -ENOMEM);
  uint32_t found = ipcnet_lane_reader_history(reader->lane, count, samples, buffer, bytes);
  /* The newest whose lineage has room. */
  uint32_t first = found;
  for (uint32_t used = 0; first > 0 && used + samples[first - 1].meta.lineage_count <= BATCH_LINEAGE_MAX; first--) used += samples[first - 1].meta.lineage_count;
  for (uint32_t i = first; i < found; i++) put_record(self->lanes, i - first, &samples[i], samples[i].payload_at, &lineage_used);
  free(samples);
  return number(env, found - first);
}

/* laneLease(id) → an ArrayBuffer over the next message, described in records[0]; or a number as of laneDrain */
static napi_value lane_lease(napi_env env, napi_callback_info info) {
  napi_value values[1], result;
  const void *payload = NULL;
  uint32_t lineage_used = 0;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values) || self->lanes == NULL) return wrong(env, "laneLease(id)");
  struct reader *reader = reader_of(env, self, values[0]);
  if (reader == NULL) return number(env, -EBADF);
  if (reader->lease.array_buffer != NULL) return number(env, -EBUSY);
  struct ipcnet_lane_sample *sample = &self->lanes->samples[0];
  const enum ipcnet_lane_verdict verdict = ipcnet_lane_reader_lease(reader->lane, sample, &payload);
  if (verdict != IPCNET_LANE_SAMPLE) return number(env, told(self->lanes, verdict));
  put_record(self->lanes, 0, sample, 0, &lineage_used);
  union { const void *in; void *out; } address = { payload }; /* the mapping is private and writable: a stray write harms this process alone */
  const int status = lend(env, &reader->lease, address.out, sample->payload_bytes, &result);
  if (status == 0) return result;
  (void)ipcnet_lane_reader_release(reader->lane);
  return number(env, status);
}

/* laneRelease(id) → 0 it was whole to the end, -ESTALE it was overwritten meanwhile, -EPERM its buffer was transferred elsewhere */
static napi_value lane_release(napi_env env, napi_callback_info info) {
  napi_value values[1];
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values)) return wrong(env, "laneRelease(id)");
  struct reader *reader = reader_of(env, self, values[0]);
  if (reader == NULL) return number(env, -EBADF);
  const int back = take_back(env, &reader->lease);
  const int whole = ipcnet_lane_reader_release(reader->lane);
  if (back) return number(env, whole);
  /* The mapping that has leaked out is left to whoever has it; the next lease makes a new one. */
  reader->lane->private_base = NULL;
  return number(env, -EPERM);
}

/* laneReaderStats(id, words: BigUint64Array(6)) → 0: samples, lost, torn, corrupt, sleeps, demoted */
static napi_value lane_reader_stats(napi_env env, napi_callback_info info) {
  napi_value values[2];
  uint64_t *words;
  size_t length;
  struct ipcnet_lane_reader_stats stats;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 2, values) || !longs_of(env, values[1], &words, &length) || length < 6) return wrong(env, "laneReaderStats(id, BigUint64Array of 6)");
  struct reader *reader = reader_of(env, self, values[0]);
  if (reader == NULL) return number(env, -EBADF);
  /* Its number, by which the lane says whether it was demoted, has come with a ring that a reader which only polls has not heard. */
  if (!reader->asleep) ipcnet_lane_reader_awake(reader->lane);
  ipcnet_lane_reader_stats(reader->lane, &stats);
  const uint64_t all[6] = { stats.samples, stats.lost, stats.torn, stats.corrupt, stats.sleeps, stats.demoted };
  memcpy(words, all, sizeof all);
  return number(env, 0);
}

/* laneReaderClose(id) → 0 */
static napi_value lane_reader_close(napi_env env, napi_callback_info info) {
  napi_value values[1];
  uint32_t id;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values) || !u32(env, values[0], &id)) return wrong(env, "laneReaderClose(id)");
  struct reader *reader = table_remove(&self->lane_readers, id);
  if (reader == NULL) return number(env, -EBADF);
  end_reader(reader, !take_back(env, &reader->lease));
  return number(env, 0);
}

/* ---- bells and checks --------------------------------------------------------------------------------------------------------------------------- */

/* laneBell(fds: Uint32Array(2)) → 0: the reader's end and the writer's, held by JavaScript */
static napi_value lane_bell(napi_env env, napi_callback_info info) {
  napi_value values[1];
  uint32_t *words;
  size_t length;
  int fds[2];
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values) || !words_of(env, values[0], &words, &length) || length < 2) return wrong(env, "laneBell(Uint32Array of 2)");
  int status = ipcnet_lane_bell(fds);
  if (status < 0) return number(env, status);
  int first = hold(self, fds[0]), second = hold(self, fds[1]);
  if (first < 0 || second < 0) {
    if (first >= 0) close(take_held(self, (uint32_t)first));
    if (second >= 0) close(take_held(self, (uint32_t)second));
    return number(env, -ENOMEM);
  }
  words[0] = (uint32_t)first;
  words[1] = (uint32_t)second;
  return number(env, 0);
}

/* laneDescribe(fd, words: BigUint64Array(9)) → 0: lane id (2), schema hash, file bytes, first sequence, slots, inline bytes, large bytes, policy; -EPROTO it is none */
static napi_value lane_describe(napi_env env, napi_callback_info info) {
  napi_value values[2];
  uint32_t fd;
  uint64_t *words;
  size_t length;
  struct ipcnet_lane_description found;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 2, values) || !u32(env, values[0], &fd) || !longs_of(env, values[1], &words, &length) || length < 9) return wrong(env, "laneDescribe(fd, BigUint64Array of 9)");
  int status = held_fd(self, fd) < 0 ? -EBADF : ipcnet_lane_describe((int)fd, &found);
  if (status < 0) return number(env, status);
  memcpy(words, found.lane_id, IPCNET_LANE_ID_BYTES);
  const uint64_t rest[7] = { found.schema_hash, found.file_bytes, found.first_sequence, found.slot_count, found.inline_bytes, found.large_bytes, found.policy };
  memcpy(words + 2, rest, sizeof rest);
  return number(env, 0);
}

/* laneCheckPage(fd, lane id: Uint8Array(16)) → 0, -EPROTO */
static napi_value lane_check_page(napi_env env, napi_callback_info info) {
  napi_value values[2];
  uint32_t fd;
  uint8_t *lane_id;
  size_t length;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 2, values) || !u32(env, values[0], &fd) || !bytes_of(env, values[1], &lane_id, &length) || length != IPCNET_LANE_ID_BYTES) return wrong(env, "laneCheckPage(fd, Uint8Array of 16)");
  return number(env, held_fd(self, fd) < 0 ? -EBADF : ipcnet_lane_check_page((int)fd, lane_id));
}

int define_lane_readers(napi_env env, napi_value exports) {
  static const struct export list[] = {
    { "laneMemory", lane_memory }, { "laneBuffer", lane_buffer }, { "laneOpen", lane_open }, { "laneReaderInfo", lane_reader_info }, { "laneBellWatch", lane_bell_watch },
    { "laneDrain", lane_drain }, { "laneHistory", lane_history }, { "laneLease", lane_lease }, { "laneRelease", lane_release }, { "laneReaderStats", lane_reader_stats },
    { "laneReaderClose", lane_reader_close }, { "laneBell", lane_bell }, { "laneDescribe", lane_describe }, { "laneCheckPage", lane_check_page },
  };
  return define(env, exports, list, sizeof list / sizeof list[0]);
}
