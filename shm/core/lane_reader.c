/*
 * Reading messages from memory that somebody else may change at any time. Geometry is known from the opening; each word of a slot is fetched once; each length
 * and position is bounded before it is used; the copy is made, then the words around it are looked at again, then the CRC is taken of the copy.
 */
#include "lane_reader.h"

#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

/* What one call may spend on slots that turn out to be unusable before it returns to its caller, whatever the writer does: a look is 1, a copy in vain 32. */
#define EFFORT_MAX 256
#define EFFORT_OF_COPY 32

enum look {
  LOOK_WHOLE,
  LOOK_MISSING, /* the slot holds another message, or is being written */
  LOOK_TORN,    /* it was overwritten while we looked */
  LOOK_CORRUPT,
  LOOK_TOO_SMALL,
};

/* ------------------------------------------------------------- one message -- */

/* A slot's header as it was fetched, and what it says, bounded. */
struct view {
  uint64_t words[8];
  uint64_t position;
  const uint8_t *bytes; /* lineage, then payload */
  size_t lineage_bytes;
  uint32_t payload_bytes;
};

/* Whether all that a header says lies within the lane; and where. */
static int bounded(const struct ipcnet_lane_reader *self, const struct ipcnet_lane_slot *slot, struct view *view) {
  const uint8_t lineage_count = (uint8_t)(view->words[6] >> 48);
  if (lineage_count > IPCNET_LANE_LINEAGE_MAX) return 0;
  view->position = view->words[1];
  view->payload_bytes = (uint32_t)view->words[5];
  view->lineage_bytes = lineage_count * sizeof(struct ipcnet_lane_lineage);
  const uint64_t bytes = view->payload_bytes + (uint64_t)view->lineage_bytes;
  if (view->position == IPCNET_LANE_POSITION_INLINE) {
    view->bytes = (const uint8_t *)slot + IPCNET_LANE_SLOT_HEADER_BYTES;
    return bytes <= self->fixed.inline_bytes;
  }
  if (self->fixed.large_bytes == 0 || bytes > self->fixed.large_bytes / 2 || view->position % IPCNET_LANE_LARGE_ALIGN != 0) return 0;
  const uint64_t offset = view->position % self->fixed.large_bytes;
  view->bytes = self->parts.large + offset;
  return offset + bytes <= self->fixed.large_bytes;
}

/* Whether what stands at `position` of the large ring has not been given away. */
static int still_large(const struct ipcnet_lane_reader *self, uint64_t position) {
  if (position == IPCNET_LANE_POSITION_INLINE) return 1;
  const uint64_t reserved = atomic_load_explicit(&self->parts.memory->large_reserved, memory_order_relaxed);
  return position < reserved && reserved - position <= self->fixed.large_bytes;
}

/* Fetches the header of message `sequence`, once. WHOLE, MISSING, or CORRUPT (which may turn out to be TORN: ask still_whole). */
static enum look find(const struct ipcnet_lane_reader *self, uint64_t sequence, struct view *view) {
  const struct ipcnet_lane_slot *slot = ipcnet_lane_slot_of(&self->parts, sequence);
  /* SYNC: pairs with the writer's release store of the state: all of message n is visible with 2n. */
  if (atomic_load_explicit(&slot->words[0], memory_order_acquire) != 2 * sequence) return LOOK_MISSING;
  ipcnet_lane_header_out(view->words, sequence, slot);
  if (!bounded(self, slot, view)) return LOOK_CORRUPT;
  return still_large(self, view->position) ? LOOK_WHOLE : LOOK_MISSING; /* no copy in vain */
}

/* After the bytes were copied: whether the writer had not begun to overwrite them. */
static int still_whole(const struct ipcnet_lane_reader *self, uint64_t sequence, uint64_t position) {
  /* SYNC: pairs with the writer's release fence after it marked the slot and reserved. A byte of a later message in our copy means that its mark is seen here. */
  ipcnet_lane_fence(memory_order_acquire);
  return still_large(self, position) && atomic_load_explicit(&ipcnet_lane_slot_of(&self->parts, sequence)->words[0], memory_order_relaxed) == 2 * sequence;
}

/* The verdict over what was found and copied, `crc` being that of the copy. */
static enum look judge(const struct ipcnet_lane_reader *self, uint64_t sequence, const struct view *view, enum look look, uint32_t crc) {
  if (!still_whole(self, sequence, look == LOOK_WHOLE ? view->position : IPCNET_LANE_POSITION_INLINE)) return LOOK_TORN;
  if (look == LOOK_CORRUPT || view->words[7] >> 32 != ipcnet_lane_header_crc(self->id_crc, view->words)) return LOOK_CORRUPT;
  if (self->fixed.schema_hash != 0 && view->words[4] != self->fixed.schema_hash) return LOOK_CORRUPT;
  return look == LOOK_WHOLE && crc != view->words[5] >> 32 ? LOOK_CORRUPT : look;
}

static void tell(struct ipcnet_lane_sample *sample, uint64_t sequence, const struct view *view) {
  const uint64_t *words = view->words;
  sample->sequence = sequence;
  sample->lost_before = 0;
  sample->meta = (struct ipcnet_lane_meta){
    .time_ns = words[2],
    .wall_time_ns = (int64_t)words[3],
    .schema_hash = words[4],
    .origin = (uint32_t)words[6],
    .ttl_ms = (uint32_t)words[7],
    .flags = (uint16_t)(words[6] >> 32),
    .lineage_count = (uint8_t)(words[6] >> 48),
    .kind = (uint8_t)(words[6] >> 56),
  };
  sample->payload_bytes = view->payload_bytes;
  sample->payload_at = 0;
}

/* Copies message `sequence` out. Unless WHOLE (or TOO_SMALL: all but the bytes), what it wrote to `sample` and `buffer` is void. */
static enum look copy(const struct ipcnet_lane_reader *self, uint64_t sequence, struct ipcnet_lane_sample *sample, void *buffer, size_t capacity_bytes) {
  struct view view;
  uint32_t crc = 0;
  enum look look = find(self, sequence, &view);
  if (look == LOOK_MISSING) return look;
  if (look == LOOK_WHOLE && view.payload_bytes > capacity_bytes) look = LOOK_TOO_SMALL;
  if (look == LOOK_WHOLE) {
    if (view.lineage_bytes > 0) crc = ipcnet_lane_copy_out_crc(0, sample->lineage, view.bytes, view.lineage_bytes);
    crc = ipcnet_lane_copy_out_crc(crc, buffer, view.bytes + view.lineage_bytes, view.payload_bytes);
  }
  look = judge(self, sequence, &view, look, crc);
  if (look == LOOK_WHOLE || look == LOOK_TOO_SMALL) tell(sample, sequence, &view);
  return look;
}

/* -------------------------------------------------------------- which message -- */

enum ipcnet_lane_verdict ipcnet_lane_reader_ended(struct ipcnet_lane_reader *self) {
  /* SYNC: pairs with the writer's release store of closed: head is final. */
  const int closed = atomic_load_explicit(&self->parts.memory->closed, memory_order_acquire) != 0;
  if (!closed && !self->gone) return IPCNET_LANE_NOTHING;
  if (ipcnet_lane_reader_look(self)) return IPCNET_LANE_BROKEN;
  if (self->next <= self->head) return IPCNET_LANE_NOTHING; /* the last ones came in between: read on */
  return closed ? IPCNET_LANE_CLOSED : IPCNET_LANE_GONE;
}

static void skip_to(struct ipcnet_lane_reader *self, uint64_t sequence) {
  if (sequence <= self->next) return;
  self->stats.lost += sequence - self->next;
  self->next = sequence;
}

/* The oldest message that may still be in the ring, `eighths` of the ring further on. */
static uint64_t oldest(const struct ipcnet_lane_reader *self, uint32_t eighths) {
  const uint64_t slots = self->fixed.slot_count, first = self->fixed.first_sequence;
  const uint64_t begin = self->head - first + 1 > slots ? self->head - slots + 1 : first;
  return begin + slots * eighths / 8;
}

/* Brings `next` to a message that should be there: SAMPLE, or why there is none. */
static enum ipcnet_lane_verdict choose(struct ipcnet_lane_reader *self) {
  if (self->broken) return IPCNET_LANE_BROKEN;
  if (self->next > self->head || self->policy == IPCNET_LANE_LATEST) {
    const int there = ipcnet_lane_reader_there(self);
    if (there && self->policy != IPCNET_LANE_LATEST) return IPCNET_LANE_SAMPLE;
    if (ipcnet_lane_reader_look(self)) return IPCNET_LANE_BROKEN;
    if (self->next > self->head) return there ? IPCNET_LANE_SAMPLE : ipcnet_lane_reader_ended(self);
  }
  skip_to(self, self->policy == IPCNET_LANE_LATEST ? self->head : oldest(self, 0));
  return IPCNET_LANE_SAMPLE;
}

/* What a call has spent in vain, and how often the writer moved meanwhile. */
struct effort {
  uint32_t spent;
  uint32_t overtaken;
};

/* Message `next` could not be had: goes on to one that perhaps can. NOTHING, or BROKEN. */
static enum ipcnet_lane_verdict go_on(struct ipcnet_lane_reader *self, enum look look, struct effort *effort) {
  if (look == LOOK_CORRUPT) self->stats.corrupt++;
  if (look == LOOK_TORN) self->stats.torn++;
  const int first = effort->spent == 0; /* the head that we knew may have been an old one */
  effort->spent += look == LOOK_MISSING ? 1 : EFFORT_OF_COPY;
  skip_to(self, self->next + 1);
  const uint64_t before = self->head;
  if (ipcnet_lane_reader_look(self)) return IPCNET_LANE_BROKEN;
  /* A writer that overtakes us now will do so again at the oldest message: each time it does, we begin an eighth of the ring further on. */
  if (!first && self->head != before && effort->overtaken < 7) effort->overtaken++;
  const uint64_t target = oldest(self, effort->overtaken);
  skip_to(self, target <= self->head ? target : self->head);
  return IPCNET_LANE_NOTHING;
}

static void delivered(struct ipcnet_lane_reader *self, struct ipcnet_lane_sample *sample) {
  sample->lost_before = self->next - self->told - 1;
  self->told = self->next++;
  self->stats.samples++;
}

/* The next message, without telling the writer how far we are. */
static enum ipcnet_lane_verdict step(struct ipcnet_lane_reader *self, struct ipcnet_lane_sample *sample, void *buffer, size_t capacity_bytes) {
  struct effort effort = { 0, 0 };
  while (effort.spent < EFFORT_MAX) {
    enum ipcnet_lane_verdict verdict = choose(self);
    if (verdict != IPCNET_LANE_SAMPLE) return verdict;
    const enum look look = copy(self, self->next, sample, buffer, capacity_bytes);
    if (look == LOOK_TOO_SMALL) return IPCNET_LANE_TOO_SMALL;
    if (look == LOOK_WHOLE) {
      delivered(self, sample);
      return IPCNET_LANE_SAMPLE;
    }
    verdict = go_on(self, look, &effort);
    if (verdict != IPCNET_LANE_NOTHING) return verdict;
  }
  return IPCNET_LANE_NOTHING;
}

/* Tells the writer how far we are; rings it if it waits for that. */
static void show_cursor(struct ipcnet_lane_reader *self) {
  const uint64_t cursor = (self->leased != 0 && self->leased < self->next ? self->leased : self->next) - 1;
  /* SYNC: pairs with the writer's acquire load: it overwrites only what we have copied. */
  atomic_store_explicit(&self->page->cursor, cursor, memory_order_release);
  if (self->policy != IPCNET_LANE_LOSSLESS || self->bell < 0) return;
  /* SYNC: pairs with the seq_cst fence after the writer's store of space_wanted. Either we see that, or it sees our cursor. */
  ipcnet_lane_fence(memory_order_seq_cst);
  const uint64_t wanted = atomic_load_explicit(&self->parts.memory->space_wanted, memory_order_relaxed);
  if (wanted == 0 || wanted == self->space_rung || cursor < wanted) return;
  self->space_rung = wanted;
  if (ipcnet_lane_bell_ring(self->bell, 0) == IPCNET_LANE_RING_GONE) self->gone = 1;
}

/* ---------------------------------------------------------------------- reading -- */

enum ipcnet_lane_verdict ipcnet_lane_reader_read(struct ipcnet_lane_reader *self, struct ipcnet_lane_sample *sample, void *buffer, size_t capacity_bytes) {
  const uint64_t before = self->next;
  const enum ipcnet_lane_verdict verdict = step(self, sample, buffer, capacity_bytes);
  if (self->next != before) show_cursor(self);
  return verdict;
}

uint32_t ipcnet_lane_reader_drain(struct ipcnet_lane_reader *self, struct ipcnet_lane_sample *samples, uint32_t samples_max, void *buffer, size_t capacity_bytes, enum ipcnet_lane_verdict *verdict) {
  const uint64_t before = self->next;
  uint32_t count = 0;
  size_t at = 0;
  *verdict = IPCNET_LANE_SAMPLE;
  while (count < samples_max) {
    *verdict = step(self, &samples[count], (uint8_t *)buffer + at, capacity_bytes - at);
    if (*verdict != IPCNET_LANE_SAMPLE) break;
    samples[count].payload_at = at;
    at += (samples[count].payload_bytes + 7) & ~(size_t)7;
    if (at > capacity_bytes) at = capacity_bytes; /* the last one may end unaligned */
    count++;
  }
  if (*verdict == IPCNET_LANE_TOO_SMALL && count > 0) *verdict = IPCNET_LANE_SAMPLE;
  if (self->next != before) show_cursor(self);
  return count;
}

uint32_t ipcnet_lane_reader_history(struct ipcnet_lane_reader *self, uint32_t count, struct ipcnet_lane_sample *samples, void *buffer, size_t capacity_bytes) {
  if (self->broken || ipcnet_lane_reader_look(self)) return 0;
  uint32_t taken = 0;
  size_t at = 0;
  uint64_t sequence = oldest(self, 0), previous = 0;
  if (self->head + 1 - sequence > count) sequence = self->head + 1 - count;
  for (; sequence <= self->head; sequence++) {
    struct ipcnet_lane_sample *sample = &samples[taken];
    const enum look look = copy(self, sequence, sample, (uint8_t *)buffer + at, capacity_bytes - at);
    if (look == LOOK_TOO_SMALL) break;
    if (look != LOOK_WHOLE) continue;
    sample->lost_before = previous == 0 ? 0 : sequence - previous - 1;
    sample->payload_at = at;
    previous = sequence;
    at += (sample->payload_bytes + 7) & ~(size_t)7;
    if (at > capacity_bytes) at = capacity_bytes;
    taken++;
  }
  return taken;
}

void ipcnet_lane_reader_stats(const struct ipcnet_lane_reader *self, struct ipcnet_lane_reader_stats *stats) {
  *stats = self->stats;
  if (self->number_known) stats->demoted = atomic_load_explicit(&self->parts.memory->demoted[self->number], memory_order_relaxed);
}

/* ----------------------------------------------------------------------- leases -- */

/*
 * A mapping of its own, private and writable: a stray write goes to a page of this process, and neither harms the others nor ends us by a signal. (From then on this
 * process sees its own page there, and messages in it no longer check: it has hurt itself alone.)
 */
static const uint8_t *private_mapping(struct ipcnet_lane_reader *self) {
  if (self->private_base == NULL) {
    void *base = mmap(NULL, self->fixed.file_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_NORESERVE, self->lane_fd, 0);
    if (base != MAP_FAILED) self->private_base = base;
  }
  return self->private_base;
}

static enum look lease(struct ipcnet_lane_reader *self, const uint8_t *base, uint64_t sequence, struct ipcnet_lane_sample *sample, const void **payload) {
  struct view view;
  uint32_t crc = 0;
  const uint8_t *bytes = NULL;
  enum look look = find(self, sequence, &view);
  if (look == LOOK_MISSING) return look;
  if (look == LOOK_WHOLE) {
    bytes = base + (view.bytes - (const uint8_t *)self->parts.memory);
    if (view.lineage_bytes > 0) crc = ipcnet_lane_copy_out_crc(0, sample->lineage, bytes, view.lineage_bytes);
    crc = ipcnet_lane_crc(crc, bytes + view.lineage_bytes, view.payload_bytes);
  }
  look = judge(self, sequence, &view, look, crc);
  if (look != LOOK_WHOLE) return look;
  tell(sample, sequence, &view);
  *payload = bytes + view.lineage_bytes;
  self->leased = sequence;
  self->leased_position = view.position;
  return look;
}

enum ipcnet_lane_verdict ipcnet_lane_reader_lease(struct ipcnet_lane_reader *self, struct ipcnet_lane_sample *sample, const void **payload) {
  const uint64_t before = self->next;
  const uint8_t *base = private_mapping(self);
  enum ipcnet_lane_verdict verdict = IPCNET_LANE_NOTHING;
  if (base == NULL || self->leased != 0) return verdict;
  struct effort effort = { 0, 0 };
  while (effort.spent < EFFORT_MAX) {
    verdict = choose(self);
    if (verdict != IPCNET_LANE_SAMPLE) break;
    const enum look look = lease(self, base, self->next, sample, payload);
    if (look == LOOK_WHOLE) {
      delivered(self, sample);
      break;
    }
    verdict = go_on(self, look, &effort);
    if (verdict != IPCNET_LANE_NOTHING) break;
  }
  if (self->next != before) show_cursor(self);
  return verdict;
}

int ipcnet_lane_reader_release(struct ipcnet_lane_reader *self) {
  if (self->leased == 0) return -EINVAL;
  const int whole = still_whole(self, self->leased, self->leased_position);
  self->leased = 0;
  show_cursor(self);
  return whole ? 0 : -ESTALE;
}
