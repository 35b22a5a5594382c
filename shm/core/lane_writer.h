/*
 * lane_writer: the writer's private state, shared by lane_writer.c (memory and messages) and lane_audience.c (its readers). Nothing in it is ever read back
 * from shared memory.
 */
#ifndef IPCNET_LANE_WRITER_H
#define IPCNET_LANE_WRITER_H

#include "lane_clock.h"
#include "lane_layout.h"

#include <sys/types.h>

/* What a publish looks at, apart from all else so that sixteen readers are four cache lines. */
struct ipcnet_lane_watch {
  const _Atomic uint64_t *sleep; /* in the reader's page; or `awake` for one that is not to be rung */
  uint64_t rung;                 /* the sleep that was rung last */
};

struct ipcnet_lane_audience_member {
  const struct ipcnet_lane_page *page; /* NULL: this number is free */
  int bell;
  uint8_t lossless; /* still */
  uint8_t armed;    /* its bell is in the epoll set */
  uint8_t false_rings;
  uint8_t demoted; /* bits of enum ipcnet_lane_demoted, as told in the lane */
  uint64_t deadline_ns;
  uint64_t read_to;       /* its cursor, as last seen and believed */
  uint64_t waiting_since; /* keeps the writer waiting since then, 0 = does not */
  uint64_t waiting_for;   /* the cursor it was asked for then */
  uint32_t ring_passed_ns; /* mean time that passes while it is rung */
  uint32_t ring_used_ns;   /* the same of this thread's processor time, once the other is suspicious */
};

/* What a slot's message left behind in the ring of large payloads; only kept for lossless lanes. */
struct ipcnet_lane_extent {
  uint64_t floor;      /* position of its payload, or large_reserved before it if it has none there */
  uint64_t last_large; /* sequence of the last message up to this one that has a large payload, 0 = none */
};

/*
 * Two ways to copy a large payload into the lane: through the caches or past them. Where writer and reader share a cache the first is quicker for both; where they do not, each line must first be fetched from the
 * reader's cache, which takes up to six times as long, and the second way does not do that. Nobody tells where threads run, so both are timed.
 */
enum ipcnet_lane_way { IPCNET_LANE_THROUGH, IPCNET_LANE_PAST };
struct ipcnet_lane_ways {
  uint64_t last[2][2]; /* the last two times of each, ns per MiB; 0 = none yet */
  uint32_t copies;
};

struct ipcnet_lane_writer {
  struct ipcnet_lane_fixed fixed;
  struct ipcnet_lane_parts parts;
  int fd;
  pid_t owner; /* a forked child has none of the memory */
  uint32_t id_crc;

  uint64_t next;           /* sequence of the next message */
  uint64_t large_reserved; /* as in the lane, which is only written */

  /* The message that is being written. */
  uint8_t *claim;
  uint64_t claim_position;
  size_t claim_bytes;
  uint8_t claim_lineage;
  uint8_t loaned;
  struct ipcnet_lane_ways ways;

  struct ipcnet_lane_clock clock;
  uint64_t wall_offset_ns; /* CLOCK_REALTIME - CLOCK_MONOTONIC, modulo 2^64 */
  uint64_t wall_read_ns;   /* when it was read */

  /* Lossless readers. */
  struct ipcnet_lane_extent *extents; /* one per slot, or NULL */
  uint64_t last_large;
  uint64_t all_read_to; /* no lossless reader is behind this */
  uint32_t lossless_count;
  uint8_t waiting; /* space_wanted is not 0 */
  int space_epoll, space_timer;

  _Atomic uint64_t awake; /* 0 for ever: the sleep word of those who are not to be rung */
  uint32_t watched;       /* numbers below this may be in use */
  struct ipcnet_lane_watch watch[IPCNET_LANE_READERS_MAX];
  struct ipcnet_lane_audience_member members[IPCNET_LANE_READERS_MAX];
  struct ipcnet_lane_writer_stats stats;
};

/* Which way the next large payload goes; and what one took. */
enum ipcnet_lane_way ipcnet_lane_way_next(struct ipcnet_lane_ways *self);
void ipcnet_lane_way_took(struct ipcnet_lane_ways *self, enum ipcnet_lane_way way, uint64_t time_ns, size_t bytes);

void ipcnet_lane_audience_init(struct ipcnet_lane_writer *self);
void ipcnet_lane_audience_destroy(struct ipcnet_lane_writer *self);
/* Whether all lossless readers have read up to `needed`, or have lost the right to be waited for: 0 or -EAGAIN. */
int ipcnet_lane_audience_room(struct ipcnet_lane_writer *self, uint64_t needed);
/* What a ring that took `cost_ns` makes of the mean; and whether a reader with that mean is rung any more. */
uint32_t ipcnet_lane_ring_cost(uint32_t mean_ns, uint64_t cost_ns);
int ipcnet_lane_ring_too_dear(uint32_t mean_ns);

#endif
