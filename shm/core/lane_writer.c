/* The writer's memory and its messages. What it does about its readers is in lane_audience.c. */
#include "lane_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

/* How old the difference between wall clock and monotonic clock may be: one clock read less per message, and a step of the wall clock shows after a millisecond. */
#define WALL_OFFSET_AGE_NS 1000000u
#define FLAGS_KNOWN 7u

/* -------------------------------------------------------- create, destroy -- */

static int options_to_fixed(const struct ipcnet_lane_options *options, struct ipcnet_lane_fixed *fixed) {
  static const uint8_t none[IPCNET_LANE_ID_BYTES];
  const uint32_t slots = options->slot_count;
  if (slots < IPCNET_LANE_SLOTS_MIN || slots > IPCNET_LANE_SLOTS_MAX || (slots & (slots - 1)) != 0) return -EINVAL;
  if (options->inline_bytes > IPCNET_LANE_INLINE_MAX || options->inline_bytes % 128 != 64) return -EINVAL;
  if (options->large_bytes > IPCNET_LANE_BYTES_MAX || options->large_bytes % 4096 != 0) return -EINVAL;
  if (options->policy > IPCNET_LANE_LOSSLESS || options->first_sequence > IPCNET_LANE_SEQUENCE_MAX) return -EINVAL;
  *fixed = (struct ipcnet_lane_fixed){
    .schema_hash = options->schema_hash,
    .first_sequence = options->first_sequence ? options->first_sequence : 1,
    .file_bytes = ipcnet_lane_file_bytes(slots, options->inline_bytes, options->large_bytes),
    .large_bytes = options->large_bytes,
    .slot_count = slots,
    .inline_bytes = options->inline_bytes,
    .policy = options->policy,
  };
  if (fixed->file_bytes > IPCNET_LANE_BYTES_MAX) return -EINVAL;
  memcpy(fixed->magic, IPCNET_LANE_MAGIC, sizeof fixed->magic);
  memcpy(fixed->lane_id, options->lane_id, IPCNET_LANE_ID_BYTES);
  if (memcmp(fixed->lane_id, none, IPCNET_LANE_ID_BYTES) == 0 && getrandom(fixed->lane_id, IPCNET_LANE_ID_BYTES, 0) != IPCNET_LANE_ID_BYTES) return -EIO;
  fixed->header_crc = ipcnet_lane_fixed_crc(fixed);
  return 0;
}

int ipcnet_lane_writer_create(struct ipcnet_lane_writer **out, const struct ipcnet_lane_options *options) {
  struct ipcnet_lane_fixed fixed;
  int result = options_to_fixed(options, &fixed);
  if (result != 0) return result;
  struct ipcnet_lane_writer *self = calloc(1, sizeof *self);
  if (self == NULL) return -ENOMEM;
  self->fixed = fixed;
  if (fixed.policy == IPCNET_LANE_LOSSLESS && (self->extents = calloc(fixed.slot_count, sizeof *self->extents)) == NULL) {
    free(self);
    return -ENOMEM;
  }
  void *base = MAP_FAILED;
  result = ipcnet_lane_memory_make("ipcnet-lane", fixed.file_bytes, &base);
  if (result >= 0) {
    struct ipcnet_lane_memory *memory = base;
    memcpy(&memory->fixed, &fixed, sizeof fixed);
    atomic_init(&memory->head, fixed.first_sequence - 1);
    result = ipcnet_lane_memory_seal(result);
    if (result < 0) munmap(base, fixed.file_bytes);
  }
  if (result < 0) {
    free(self->extents);
    free(self);
    return result;
  }
  self->fd = result;
  self->parts = ipcnet_lane_parts_of(base, &fixed);
  self->owner = getpid();
  self->id_crc = ipcnet_lane_crc(0, fixed.lane_id, IPCNET_LANE_ID_BYTES);
  self->next = fixed.first_sequence;
  ipcnet_lane_clock_init(&self->clock);
  ipcnet_lane_audience_init(self);
  *out = self;
  return 0;
}

void ipcnet_lane_writer_destroy(struct ipcnet_lane_writer *self) {
  if (self == NULL) return;
  if (self->owner == getpid()) {
    /* SYNC: pairs with the acquire load in the reader's `ended`: who sees `closed` sees the last head. */
    atomic_store_explicit(&self->parts.memory->closed, 1, memory_order_release);
    ipcnet_lane_writer_ring(self);
    munmap(self->parts.memory, self->fixed.file_bytes);
  }
  ipcnet_lane_audience_destroy(self);
  close(self->fd);
  free(self->extents);
  free(self);
}

int ipcnet_lane_writer_fd(const struct ipcnet_lane_writer *self) { return self->fd; }

void ipcnet_lane_writer_id(const struct ipcnet_lane_writer *self, uint8_t lane_id[IPCNET_LANE_ID_BYTES]) {
  memcpy(lane_id, self->fixed.lane_id, IPCNET_LANE_ID_BYTES);
}

uint64_t ipcnet_lane_writer_next_sequence(const struct ipcnet_lane_writer *self) { return self->next; }

size_t ipcnet_lane_writer_payload_bytes_max(const struct ipcnet_lane_writer *self) {
  const uint64_t large = self->fixed.large_bytes / 2;
  return large > self->fixed.inline_bytes ? large : self->fixed.inline_bytes;
}

void ipcnet_lane_writer_stats(const struct ipcnet_lane_writer *self, struct ipcnet_lane_writer_stats *stats) { *stats = self->stats; }

/* --------------------------------------------------- ways to copy a payload -- */

/* Below this a reader is likely to find it in the cache in time, and the clock would cost something. */
#define WAYS_BYTES_MIN 131072u
/* So often the way that seems slower is tried again: it may not be any more. Twice in a row, because what went past the caches is not in them for the first. */
#define WAYS_PERIOD 64u

/* The better of two: what was interrupted does not count. */
static uint64_t way_time(const uint64_t last[2]) { return last[0] < last[1] ? last[0] : last[1]; }

enum ipcnet_lane_way ipcnet_lane_way_next(struct ipcnet_lane_ways *self) {
  const uint64_t through = way_time(self->last[IPCNET_LANE_THROUGH]), past = way_time(self->last[IPCNET_LANE_PAST]);
  /* The reader pays up to half of what the writer saves, because it then reads from memory. */
  const enum ipcnet_lane_way better = 2 * through > 3 * past ? IPCNET_LANE_PAST : IPCNET_LANE_THROUGH;
  return self->copies++ % WAYS_PERIOD < 2 ? (enum ipcnet_lane_way)!better : better;
}

void ipcnet_lane_way_took(struct ipcnet_lane_ways *self, enum ipcnet_lane_way way, uint64_t time_ns, size_t bytes) {
  self->last[way][1] = self->last[way][0];
  self->last[way][0] = time_ns * 1048576u / bytes + 1;
}

static uint32_t copy_large(struct ipcnet_lane_writer *self, uint32_t crc, void *to, const void *from, size_t bytes) {
  if (bytes < WAYS_BYTES_MIN || !ipcnet_lane_copies_past()) return ipcnet_lane_copy_in_crc(crc, to, from, bytes);
  const enum ipcnet_lane_way way = ipcnet_lane_way_next(&self->ways);
  const uint64_t began_ns = ipcnet_lane_clock_ns(CLOCK_MONOTONIC);
  crc = (way == IPCNET_LANE_PAST ? ipcnet_lane_copy_in_past_crc : ipcnet_lane_copy_in_crc)(crc, to, from, bytes);
  ipcnet_lane_way_took(&self->ways, way, ipcnet_lane_clock_ns(CLOCK_MONOTONIC) - began_ns, bytes);
  return crc;
}

/* ------------------------------------------------------- claim and commit -- */

/* Where `bytes` would go in the ring of large payloads: whole, never around its end. */
static uint64_t large_position(const struct ipcnet_lane_writer *self, size_t bytes) {
  const uint64_t ring = self->fixed.large_bytes;
  uint64_t position = (self->large_reserved + IPCNET_LANE_LARGE_ALIGN - 1) & ~(uint64_t)(IPCNET_LANE_LARGE_ALIGN - 1);
  const uint64_t offset = position % ring;
  if (offset + bytes > ring) position += ring - offset;
  return position;
}

/* The cursor that lossless readers must have reached before message `next` may be written with the large ring reserved up to `reserved`. */
static uint64_t cursor_needed(const struct ipcnet_lane_writer *self, uint64_t reserved) {
  const uint64_t slots = self->fixed.slot_count, first = self->fixed.first_sequence;
  const uint64_t by_slot = self->next > slots ? self->next - slots : 0;
  if (reserved <= self->fixed.large_bytes) return by_slot;
  /* Floors rise with the sequence: the last message in the ring whose floor would be overwritten, by halving. */
  const uint64_t lost_below = reserved - self->fixed.large_bytes;
  uint64_t low = by_slot + 1 > first ? by_slot + 1 : first, high = self->next;
  while (low < high) {
    const uint64_t middle = low + (high - low) / 2;
    if (self->extents[(middle - 1) & self->parts.slot_mask].floor < lost_below) low = middle + 1;
    else high = middle;
  }
  const uint64_t by_large = low > first ? self->extents[(low - 2) & self->parts.slot_mask].last_large : 0;
  return by_large > by_slot ? by_large : by_slot;
}

/* Makes room for the next message. After this, readers of a large payload that stood there know that it is gone. */
static int claim(struct ipcnet_lane_writer *self, size_t payload_bytes, uint8_t lineage_count) {
  if (self->loaned) return -EBUSY;
  if (lineage_count > IPCNET_LANE_LINEAGE_MAX) return -EINVAL;
  if (payload_bytes > IPCNET_LANE_BYTES_MAX) return -EMSGSIZE;
  const size_t bytes = payload_bytes + lineage_count * sizeof(struct ipcnet_lane_lineage);
  const int large = bytes > self->fixed.inline_bytes;
  if (large && bytes > self->fixed.large_bytes / 2) return -EMSGSIZE;
  const uint64_t position = large ? large_position(self, bytes) : IPCNET_LANE_POSITION_INLINE;
  const uint64_t reserved = large ? position + bytes : self->large_reserved;
  if (self->lossless_count > 0 || self->waiting) {
    const uint64_t needed = large ? cursor_needed(self, reserved) : self->next > self->fixed.slot_count ? self->next - self->fixed.slot_count : 0;
    if (needed > self->all_read_to || self->waiting) {
      const int full = ipcnet_lane_audience_room(self, needed);
      if (full) return full;
    }
  }
  self->claim = (uint8_t *)ipcnet_lane_slot_of(&self->parts, self->next) + IPCNET_LANE_SLOT_HEADER_BYTES;
  /* Not the slot's first line: a reader that spins on it would only take it back. */
  ipcnet_lane_want(self->claim);
  ipcnet_lane_want(&self->parts.memory->head);
  if (large) {
    self->claim = self->parts.large + position % self->fixed.large_bytes;
    self->large_reserved = reserved;
    atomic_store_explicit(&self->parts.memory->large_reserved, reserved, memory_order_relaxed);
    /* SYNC: pairs with the acquire fence after the reader's copy. Whoever copied a byte that is written below finds the new reservation. */
    ipcnet_lane_fence(memory_order_release);
  }
  self->claim_position = position;
  self->claim_bytes = payload_bytes;
  self->claim_lineage = lineage_count;
  return 0;
}

/* Marks the slot of the next message as being written. After this, readers of what stood there know that it is gone. */
static void mark(struct ipcnet_lane_writer *self, struct ipcnet_lane_slot *slot) {
  atomic_store_explicit(&slot->words[0], 2 * self->next - 1, memory_order_relaxed);
  /* SYNC: pairs with the acquire fence after the reader's copy. Whoever copied a byte that is written below finds the odd state. */
  ipcnet_lane_fence(memory_order_release);
}

static int meta_check(const struct ipcnet_lane_writer *self, const struct ipcnet_lane_meta *meta) {
  if ((meta->flags & ~FLAGS_KNOWN) != 0 || (meta->flags & 3) == 3 || meta->lineage_count > IPCNET_LANE_LINEAGE_MAX) return -EINVAL;
  if (meta->schema_hash != 0 && self->fixed.schema_hash != 0 && meta->schema_hash != self->fixed.schema_hash) return -EINVAL;
  return 0;
}

static void now(struct ipcnet_lane_writer *self, uint64_t *time_ns, int64_t *wall_time_ns) {
  const uint64_t read_ns = ipcnet_lane_clock_now(&self->clock);
  if (*time_ns == 0) *time_ns = read_ns;
  if (*wall_time_ns != 0) return;
  if (read_ns - self->wall_read_ns >= WALL_OFFSET_AGE_NS) {
    self->wall_offset_ns = ipcnet_lane_clock_ns(CLOCK_REALTIME) - ipcnet_lane_clock_ns(CLOCK_MONOTONIC);
    self->wall_read_ns = read_ns;
  }
  *wall_time_ns = (int64_t)(read_ns + self->wall_offset_ns);
}

/* What is to be copied into the slot when all else is ready; nothing for what stands in the lane already. */
struct late {
  const struct ipcnet_lane_lineage *lineage;
  const void *payload;
};

/*
 * Writes the header (and a small payload), shows the message, and wakes who sleeps. All that takes time is done before the first store: a reader that spins on the
 * state takes the cache line back with each look, and the fewer there are between the first store and the last the better.
 */
static void complete(struct ipcnet_lane_writer *self, const struct ipcnet_lane_meta *meta, struct late late, size_t payload_bytes, uint32_t payload_crc, unsigned flags) {
  const uint64_t sequence = self->next;
  struct ipcnet_lane_slot *slot = ipcnet_lane_slot_of(&self->parts, sequence);
  uint64_t time_ns = meta->time_ns, words[8];
  int64_t wall_time_ns = meta->wall_time_ns;
  if (time_ns == 0 || wall_time_ns == 0) now(self, &time_ns, &wall_time_ns);
  const struct ipcnet_lane_slot_header header = {
    .position = self->claim_position,
    .time_ns = time_ns,
    .wall_time_ns = wall_time_ns,
    .schema_hash = meta->schema_hash ? meta->schema_hash : self->fixed.schema_hash,
    .payload_bytes = (uint32_t)payload_bytes,
    .payload_crc = payload_crc,
    .origin = meta->origin,
    .flags = meta->flags,
    .lineage_count = meta->lineage_count,
    .kind = meta->kind,
    .ttl_ms = meta->ttl_ms,
  };
  ipcnet_lane_header_pack(words, sequence, &header);
  words[7] |= (uint64_t)ipcnet_lane_header_crc(self->id_crc, words) << 32;
  mark(self, slot);
  const size_t lineage_bytes = meta->lineage_count * sizeof *late.lineage;
  if (late.lineage != NULL) ipcnet_lane_copy_in(self->claim, late.lineage, lineage_bytes);
  if (late.payload != NULL) ipcnet_lane_copy_in(self->claim + lineage_bytes, late.payload, payload_bytes);
  ipcnet_lane_header_in(slot, words);
  /* SYNC: pairs with the reader's acquire load of the state: who sees 2n sees all of message n. */
  atomic_store_explicit(&slot->words[0], 2 * sequence, memory_order_release);
  /* SYNC: pairs with the reader's acquire load of head. */
  atomic_store_explicit(&self->parts.memory->head, sequence, memory_order_release);
  if (self->extents != NULL) {
    const int large = self->claim_position != IPCNET_LANE_POSITION_INLINE;
    if (large) self->last_large = sequence;
    self->extents[(sequence - 1) & self->parts.slot_mask] = (struct ipcnet_lane_extent){ large ? self->claim_position : self->large_reserved, self->last_large };
  }
  self->next = sequence + 1;
  self->stats.published++;
  self->stats.payload_bytes += payload_bytes;
  if (!(flags & IPCNET_LANE_NO_RING) && self->watched > 0) ipcnet_lane_writer_ring(self);
}

int ipcnet_lane_writer_publish(struct ipcnet_lane_writer *self, const struct ipcnet_lane_meta *meta, const struct ipcnet_lane_lineage *lineage, const void *payload, size_t payload_bytes, unsigned flags) {
  static const struct ipcnet_lane_meta plain;
  if (meta == NULL) meta = &plain;
  int result = meta_check(self, meta);
  if (result == 0) result = claim(self, payload_bytes, meta->lineage_count);
  if (result != 0) return result;
  const size_t lineage_bytes = meta->lineage_count * sizeof *lineage;
  struct late late = { NULL, NULL };
  uint32_t crc = 0;
  if (self->claim_position != IPCNET_LANE_POSITION_INLINE) {
    if (lineage_bytes > 0) crc = ipcnet_lane_copy_in_crc(0, self->claim, lineage, lineage_bytes);
    crc = copy_large(self, crc, self->claim + lineage_bytes, payload, payload_bytes);
  } else {
    if (lineage_bytes > 0) crc = ipcnet_crc32_iscsi_fast(0, (const uint8_t *)(late.lineage = lineage), lineage_bytes);
    if (payload_bytes > 0) crc = ipcnet_crc32_iscsi_fast(crc, late.payload = payload, payload_bytes);
  }
  complete(self, meta, late, payload_bytes, crc, flags);
  return 0;
}

/* ------------------------------------------------------------------- loan -- */

int ipcnet_lane_writer_loan(struct ipcnet_lane_writer *self, size_t payload_bytes, uint8_t lineage_count, void **payload) {
  const int result = claim(self, payload_bytes, lineage_count);
  if (result != 0) return result;
  self->loaned = 1;
  if (self->claim_position == IPCNET_LANE_POSITION_INLINE) mark(self, ipcnet_lane_slot_of(&self->parts, self->next));
  *payload = self->claim + lineage_count * sizeof(struct ipcnet_lane_lineage);
  return 0;
}

int ipcnet_lane_writer_commit(struct ipcnet_lane_writer *self, const struct ipcnet_lane_meta *meta, const struct ipcnet_lane_lineage *lineage, size_t payload_bytes, unsigned flags) {
  struct ipcnet_lane_meta filled = { .lineage_count = self->claim_lineage };
  if (!self->loaned) return -EINVAL;
  if (meta != NULL) filled = *meta;
  if (filled.lineage_count != self->claim_lineage || payload_bytes > self->claim_bytes) return -EINVAL;
  const int result = meta_check(self, &filled);
  if (result != 0) return result;
  const size_t lineage_bytes = filled.lineage_count * sizeof *lineage;
  uint32_t crc = 0;
  if (lineage_bytes > 0) crc = ipcnet_lane_copy_in_crc(0, self->claim, lineage, lineage_bytes);
  crc = ipcnet_lane_crc(crc, self->claim + lineage_bytes, payload_bytes);
  self->loaned = 0;
  complete(self, &filled, (struct late){ NULL, NULL }, payload_bytes, crc, flags);
  return 0;
}

void ipcnet_lane_writer_give_up(struct ipcnet_lane_writer *self) {
  /* A slot that is marked stays so: the next message will be written there. What was reserved of the large ring stays used, because it has been written to. */
  self->loaned = 0;
}
