/* lane_reader: the reader's private state, shared by lane_reader.c (messages), lane_open.c (mapping) and lane_sleep.c (waiting). */
#ifndef IPCNET_LANE_READER_H
#define IPCNET_LANE_READER_H

#include "lane_layout.h"

#include <sys/types.h>

struct ipcnet_lane_reader {
  struct ipcnet_lane_fixed fixed; /* geometry as it was checked when the lane was opened; the lane's own header is not looked at again */
  struct ipcnet_lane_parts parts;
  uint32_t id_crc;
  uint8_t policy;
  uint8_t broken;
  uint8_t gone;         /* the writer's end of the bell is closed */
  uint8_t number_known; /* `number` has come with a ring */
  uint8_t number;       /* the reader's number with its writer */
  uint64_t next;        /* the message that is wanted next */
  uint64_t told;        /* the last one that was delivered, or counted as lost: what lost_before counts from */
  uint64_t head;        /* the newest one seen; it may only rise */
  uint64_t space_rung;  /* what was wanted when the writer was rung back last */

  struct ipcnet_lane_page *page; /* our own */
  uint64_t sleep;                /* what stands in it */
  int page_fd;
  int bell;

  /* A lease. */
  int lane_fd;                     /* our own copy, for the private mapping; closed when that is made */
  const uint8_t *private_base;     /* the whole lane, private; NULL until the first lease */
  uint64_t leased;                 /* its sequence; 0 = none */
  uint64_t leased_position;        /* its large position, or IPCNET_LANE_POSITION_INLINE */

  int over; /* lane and page are somebody else's mappings (tests only) */
  pid_t owner;
  struct ipcnet_lane_reader_stats stats;
};

/* The lane at `base`, already mapped by the caller, for tests in which a thread sanitizer has to see that both sides touch the same memory. */
int ipcnet_lane_reader_over(struct ipcnet_lane_reader **self, void *base, uint64_t bytes, int lane_fd, int bell_fd, const struct ipcnet_lane_reader_options *options);
/* Looks at head: 0, or 1 when the writer broke the rules for good. */
static inline int ipcnet_lane_reader_look(struct ipcnet_lane_reader *self) {
  /* SYNC: pairs with the writer's release store of head. */
  const uint64_t head = atomic_load_explicit(&self->parts.memory->head, memory_order_acquire);
  if (head < self->head || head > IPCNET_LANE_SEQUENCE_MAX) self->broken = 1;
  else self->head = head;
  return self->broken;
}
/* Whether message `next` is complete, by its slot, which tells one cache line earlier than head: for a reader that spins that is a third of the way. Head may lag behind. */
static inline int ipcnet_lane_reader_there(const struct ipcnet_lane_reader *self) {
  const struct ipcnet_lane_slot *slot = ipcnet_lane_slot_of(&self->parts, self->next);
  if (atomic_load_explicit(&slot->words[0], memory_order_relaxed) != 2 * self->next) return 0;
  __builtin_prefetch(slot + 1); /* the payload comes while the header is looked at */
  return 1;
}
/* Why there is nothing more: IPCNET_LANE_NOTHING, CLOSED or GONE. Only to be asked when all up to head is read. */
enum ipcnet_lane_verdict ipcnet_lane_reader_ended(struct ipcnet_lane_reader *self);

#endif
