/*
 * lane: one writer, many readers, in memory that only the writer can write.
 *
 * A lane is a memfd, sealed with F_SEAL_FUTURE_WRITE | SHRINK | GROW | SEAL after its owner has mapped it: the owner keeps the one writable mapping there will
 * ever be, everybody else maps it read-only, and the kernel enforces that. It holds a ring of slots (64-byte header and a small payload each) and a ring of bytes
 * for large payloads. A reader owns one page of its own (a memfd sealed the same way): where it has read to and whether it sleeps. A bell, one end of a
 * socket pair each, wakes a reader that sleeps. docs/specs/lanes.md has the bytes.
 *
 * Trust: nobody trusts anybody. A reader takes geometry once, when it opens the lane, and checks it against the size of the file; every slot is copied, then checked
 * (sequence, header CRC, bounds, payload CRC), then used. A writer reads two words of a reader's page and believes neither: the worst a reader can do is not be
 * woken, or be demoted. Nothing here waits for another process, but for ipcnet_lane_reader_wait, which is asked to.
 *
 * A forked child has none of a writer's memory and no reader's page: it may destroy or close what it inherited (which changes nothing for others), and nothing else.
 *
 * Threads: a writer and a reader each belong to one thread at a time. Results: 0 or a count, or a negative errno value.
 */
#ifndef IPCNET_LANE_H
#define IPCNET_LANE_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define IPCNET_LANE_ID_BYTES 16
#define IPCNET_LANE_SLOT_HEADER_BYTES 64
#define IPCNET_LANE_SLOTS_MIN 2
#define IPCNET_LANE_SLOTS_MAX 65536
/* Readers of one lane: a publish looks at one word of each. */
#define IPCNET_LANE_READERS_MAX 256
#define IPCNET_LANE_LINEAGE_MAX 15
/* Largest lane: 1 GiB. A 4K video frame in float takes 100 MB. */
#define IPCNET_LANE_BYTES_MAX (1ull << 30)
#define IPCNET_LANE_PAGE_BYTES 4096

/* What the kernel can do, found by trying. Without SEAL_FUTURE_WRITE there are no lanes (-ENOTSUP); without the others there are other ways. */
enum ipcnet_lane_feature {
  IPCNET_LANE_HAS_SEAL_FUTURE_WRITE = 1, /* 5.1: readers cannot write */
  IPCNET_LANE_HAS_NOEXEC_SEAL = 2,       /* 6.3: nor execute */
  IPCNET_LANE_HAS_PIDFD_OPEN = 4,        /* 5.3 */
  IPCNET_LANE_HAS_PEERPIDFD = 8,         /* 6.5: a socket names the process at its other end, not a number that may be used again */
  IPCNET_LANE_HAS_PASSPIDFD = 16,        /* 6.5: so does a message */
  IPCNET_LANE_HAS_PASSRIGHTS = 32,       /* 6.16: a socket can refuse descriptors */
};
/* Bits of enum ipcnet_lane_feature. A dozen system calls: ask once. */
unsigned ipcnet_lane_features(void);

/* What a reader does when it cannot have all. Given by the topic; a reader may ask for less (latest of a queue), never for more. */
enum ipcnet_lane_policy {
  IPCNET_LANE_LATEST = 0,   /* jumps to the newest message */
  IPCNET_LANE_QUEUE = 1,    /* all that is still in the ring, in order; overrun readers are told exactly how many they lost */
  IPCNET_LANE_LOSSLESS = 2, /* the writer does not overwrite what the reader has not read, until the reader's deadline; then the reader is demoted to QUEUE */
};

/* Where a message came from and from what it was made: origin, topic and sequence of an input. Ids are hashes (docs/specs/lanes.md). */
struct ipcnet_lane_lineage {
  uint64_t origin;
  uint64_t topic;
  uint64_t sequence;
};

/* What travels with a payload. */
struct ipcnet_lane_meta {
  uint64_t time_ns;      /* CLOCK_MONOTONIC, within 1 us; writing: 0 = now */
  int64_t wall_time_ns;  /* CLOCK_REALTIME; writing: 0 = now */
  uint64_t schema_hash;  /* writing: 0 = the lane's */
  uint32_t origin;       /* 0 = the lane's owner; else a number that the gateway announced */
  uint32_t ttl_ms;       /* 0 = none */
  uint16_t flags;        /* bits 0-1 quality (0 good, 1 stale, 2 bad); bit 2 key frame; others 0 */
  uint8_t lineage_count; /* <= IPCNET_LANE_LINEAGE_MAX */
  uint8_t kind;          /* the application's, 0 by default */
};

/* ---------------------------------------------------------------- writer -- */

struct ipcnet_lane_options {
  uint8_t lane_id[IPCNET_LANE_ID_BYTES]; /* all zero: random */
  uint64_t schema_hash;
  uint64_t first_sequence; /* of the first message; >= 1; 0 = 1. A lane that replaces another continues its count. */
  uint32_t slot_count;     /* power of two; how many messages the ring remembers */
  uint32_t inline_bytes;   /* lineage and payload up to this stand in the slot; 64 more is a multiple of 128: 64, 192, 320 … 4032 */
  uint64_t large_bytes;    /* bytes for larger payloads, a multiple of 4096; 0 = none. A payload may take at most half of it. */
  uint8_t policy;          /* enum ipcnet_lane_policy: the most that readers may ask for */
};

struct ipcnet_lane_writer;

/* Makes, populates and seals the memory (about 0.6 ms per MiB: not for a control loop) and opens the read-only descriptor. -EINVAL options, -ENOMEM, -EMFILE, -EFBIG RLIMIT_FSIZE,
 * -ENOTSUP when the kernel cannot seal (before 5.1): there is no unsafe fallback. */
int ipcnet_lane_writer_create(struct ipcnet_lane_writer **self, const struct ipcnet_lane_options *options);
/* Marks the lane closed, rings everybody, unmaps, closes. Readers keep what they have mapped and may read it to its end. */
void ipcnet_lane_writer_destroy(struct ipcnet_lane_writer *self);

/* The descriptor to hand out: opened O_RDONLY, a file description of its own. Owned by the writer: dup or send it, do not close it. */
int ipcnet_lane_writer_fd(const struct ipcnet_lane_writer *self);
void ipcnet_lane_writer_id(const struct ipcnet_lane_writer *self, uint8_t lane_id[IPCNET_LANE_ID_BYTES]);
/* Sequence of the next message. */
uint64_t ipcnet_lane_writer_next_sequence(const struct ipcnet_lane_writer *self);
/* Largest payload, bytes. */
size_t ipcnet_lane_writer_payload_bytes_max(const struct ipcnet_lane_writer *self);

enum ipcnet_lane_publish_flags {
  IPCNET_LANE_NO_RING = 1, /* ring later, with ipcnet_lane_writer_ring: once per batch */
};

/*
 * Publishes a copy of `payload`. Makes no system call while readers are busy. 0; -EMSGSIZE too large; -EAGAIN a lossless reader has not read what would be
 * overwritten (try again when ipcnet_lane_writer_space_fd says so, or after its deadline has demoted it); -EINVAL meta out of range;
 * -EBUSY a loan is out. The clocks are read (20 to 50 ns) only if meta leaves a time 0.
 */
int ipcnet_lane_writer_publish(struct ipcnet_lane_writer *self, const struct ipcnet_lane_meta *meta, const struct ipcnet_lane_lineage *lineage, const void *payload, size_t payload_bytes, unsigned flags);

/* Zero-copy: room for a payload of up to `payload_bytes` in the lane itself, to be filled in place and then committed (with its final length) or given up. One at
 * a time (-EBUSY); else as publish. The memory is visible to readers from the start, but no message names it before the commit.
 * commit: -EINVAL without a loan, with another lineage_count or more bytes than were loaned; the loan stays out then. */
int ipcnet_lane_writer_loan(struct ipcnet_lane_writer *self, size_t payload_bytes, uint8_t lineage_count, void **payload);
int ipcnet_lane_writer_commit(struct ipcnet_lane_writer *self, const struct ipcnet_lane_meta *meta, const struct ipcnet_lane_lineage *lineage, size_t payload_bytes, unsigned flags);
void ipcnet_lane_writer_give_up(struct ipcnet_lane_writer *self);

/* Rings every reader that sleeps and has not been rung since it fell asleep. Returns how many. */
int ipcnet_lane_writer_ring(struct ipcnet_lane_writer *self);

/*
 * Takes on a reader: its page (checked: sealed, 4096 bytes, this lane's) and the writer's end of its bell (checked: an AF_UNIX SEQPACKET socket). Both descriptors are
 * the writer's from then on, also on failure. Rings it once, so that it looks again. `policy` is what the gateway granted; `deadline_ns` is how long
 * a lossless reader may keep the writer from overwriting, each time. Returns the reader's number (>= 0, the lowest that is free), -EPROTO a page or bell that is not one, -ENOSPC too many, -EINVAL more
 * than the lane's policy.
 */
int ipcnet_lane_writer_add_reader(struct ipcnet_lane_writer *self, int page_fd, int bell_fd, enum ipcnet_lane_policy policy, uint64_t deadline_ns);
int ipcnet_lane_writer_remove_reader(struct ipcnet_lane_writer *self, int reader);

/* A descriptor (epoll) that becomes readable when a lossless reader that kept the writer waiting has read on or has used up its deadline, and not otherwise. */
int ipcnet_lane_writer_space_fd(struct ipcnet_lane_writer *self);
/* Empties it. */
void ipcnet_lane_writer_space_taken(struct ipcnet_lane_writer *self);

/* What the lane says of each reader, by its number. */
enum ipcnet_lane_demoted {
  IPCNET_LANE_DEMOTED_QUEUE = 1,  /* was lossless and missed its deadline, or its cursor lied: it may lose messages now */
  IPCNET_LANE_DEMOTED_SILENT = 2, /* ringing it cost too much: it is not rung any more and has to look by itself */
};

struct ipcnet_lane_writer_stats {
  uint64_t published;
  uint64_t payload_bytes;
  uint64_t rings;         /* system calls made to wake readers */
  uint64_t rings_unheard; /* the bell was full or its reader gone */
  uint64_t refused_full;
  uint64_t demoted;       /* lossless readers that missed their deadline, and readers whose bell costs too much */
  uint64_t pages_mistrusted; /* a cursor beyond what was published, or going back */
  uint32_t readers;
};
void ipcnet_lane_writer_stats(const struct ipcnet_lane_writer *self, struct ipcnet_lane_writer_stats *stats);

/* ---------------------------------------------------------------- reader -- */

enum ipcnet_lane_start {
  IPCNET_LANE_FROM_NEXT = 0,   /* what is published from now on */
  IPCNET_LANE_FROM_LAST = 1,   /* the last value, then what follows */
  IPCNET_LANE_FROM_OLDEST = 2, /* all that the ring still holds */
  IPCNET_LANE_FROM_SEQUENCE = 3,
};

struct ipcnet_lane_reader_options {
  uint8_t policy;       /* enum ipcnet_lane_policy, at most the lane's */
  uint8_t start;        /* enum ipcnet_lane_start */
  uint64_t sequence;    /* for FROM_SEQUENCE: the first that is wanted; what is gone before it counts as lost */
  uint64_t schema_hash; /* expected; 0 = the lane's, whatever it is. -EPROTONOSUPPORT (206) if the lane has another */
};

struct ipcnet_lane_reader;

/*
 * Maps a lane that came from elsewhere. `lane_fd` stays the caller's and may be closed afterwards; `bell_fd` becomes the reader's, also on failure (-1: no bell, the reader
 * polls). -EPROTO: not sealed as it must be, size or geometry wrong, header CRC wrong.
 */
int ipcnet_lane_reader_open(struct ipcnet_lane_reader **self, int lane_fd, int bell_fd, const struct ipcnet_lane_reader_options *options);
void ipcnet_lane_reader_close(struct ipcnet_lane_reader *self);

/* The reader's own page, to be sent to the writer (O_RDONLY, sealed). Owned by the reader. */
int ipcnet_lane_reader_page_fd(const struct ipcnet_lane_reader *self);
/* The reader's end of the bell, to be polled for readability after arm() said 1; -1 without one. */
int ipcnet_lane_reader_bell_fd(const struct ipcnet_lane_reader *self);
void ipcnet_lane_reader_id(const struct ipcnet_lane_reader *self, uint8_t lane_id[IPCNET_LANE_ID_BYTES]);
uint64_t ipcnet_lane_reader_schema_hash(const struct ipcnet_lane_reader *self);
size_t ipcnet_lane_reader_payload_bytes_max(const struct ipcnet_lane_reader *self);

/* A message as it was copied out. */
struct ipcnet_lane_sample {
  uint64_t sequence;
  uint64_t lost_before; /* messages lost since the one read before this */
  struct ipcnet_lane_meta meta;
  struct ipcnet_lane_lineage lineage[IPCNET_LANE_LINEAGE_MAX];
  size_t payload_bytes;
  size_t payload_at; /* where it stands in the buffer of drain(); 0 for read() */
};

enum ipcnet_lane_verdict {
  IPCNET_LANE_NOTHING = 0,   /* nothing new for now */
  IPCNET_LANE_SAMPLE = 1,
  IPCNET_LANE_TOO_SMALL = 2, /* `payload_bytes` tells how large the buffer has to be; nothing was consumed */
  IPCNET_LANE_CLOSED = 3,    /* the writer closed the lane and all of it has been read */
  IPCNET_LANE_GONE = 4,      /* the writer's process is gone (its end of the bell is closed) and all has been read */
  IPCNET_LANE_BROKEN = 5,    /* the writer breaks the rules for good (head going back, impossible indices): close the reader. Single bad slots are skipped, counted, and lost. */
};

/* Copies the next message, checks the copy, hands it out. Never blocks, never loops more than a bounded number of times whatever the writer does. */
enum ipcnet_lane_verdict ipcnet_lane_reader_read(struct ipcnet_lane_reader *self, struct ipcnet_lane_sample *sample, void *buffer, size_t capacity_bytes);

/* Up to `samples_max` messages into one buffer, each payload at a multiple of 8 (payload_at). Returns how many; `verdict` tells why it stopped (SAMPLE = there may be more).
 * With nothing taken and TOO_SMALL, samples[0].payload_bytes tells the size needed. */
uint32_t ipcnet_lane_reader_drain(struct ipcnet_lane_reader *self, struct ipcnet_lane_sample *samples, uint32_t samples_max, void *buffer, size_t capacity_bytes, enum ipcnet_lane_verdict *verdict);

/*
 * In place, for those who trust the writer or check as they go: the next message without copying it. The payload may be overwritten at any time; release() tells
 * whether it was (0 still whole, -ESTALE overwritten: what was computed from it is void; -EINVAL no lease). The CRC was checked at lease() over memory that may change after it. One at a time.
 * The mapping behind it is private: a stray write of this process harms nobody else. It is made at the first lease; NOTHING also when that fails, or a lease is out.
 * A lossless reader holds the writer at the leased message until its release.
 */
enum ipcnet_lane_verdict ipcnet_lane_reader_lease(struct ipcnet_lane_reader *self, struct ipcnet_lane_sample *sample, const void **payload);
int ipcnet_lane_reader_release(struct ipcnet_lane_reader *self);

/*
 * Before waiting on the bell. 1: the reader is now marked asleep, wait until the bell is readable. 0: something has come meanwhile, read on.
 * After waking: ipcnet_lane_reader_awake (empties the bell, marks it awake), then read until NOTHING.
 */
int ipcnet_lane_reader_arm(struct ipcnet_lane_reader *self);
void ipcnet_lane_reader_awake(struct ipcnet_lane_reader *self);

/* arm + poll + awake in one, spinning for `spin_ns` first (for cores that have nothing else to do). 1 something to read (or to learn: closed, gone), 0 timed out, -EINTR a signal came.
 * timeout_ns < 0: for ever. Without a bell it looks once a millisecond. */
int ipcnet_lane_reader_wait(struct ipcnet_lane_reader *self, int64_t timeout_ns, uint64_t spin_ns);

struct ipcnet_lane_reader_stats {
  uint64_t samples;
  uint64_t lost;        /* overwritten before they were read */
  uint64_t torn;        /* overwritten while being read; also counted as lost */
  uint64_t corrupt;     /* header or payload CRC wrong, bounds wrong, another schema; also counted as lost */
  uint64_t sleeps;
  uint8_t demoted;      /* bits of enum ipcnet_lane_demoted */
};
void ipcnet_lane_reader_stats(const struct ipcnet_lane_reader *self, struct ipcnet_lane_reader_stats *stats);

/* The last `count` messages before now, oldest first, each copied and checked: for whoever only looks (the gateway's query). Moves no cursor, counts nothing. Returns how many, laid
 * out as by drain; ends early when the buffer is full (count * the largest payload, rounded up to 8, is always enough). lost_before counts within what is returned. */
uint32_t ipcnet_lane_reader_history(struct ipcnet_lane_reader *self, uint32_t count, struct ipcnet_lane_sample *samples, void *buffer, size_t capacity_bytes);

/* ------------------------------------------------------------------ bell -- */

/* A bell: two connected AF_UNIX SEQPACKET ends, non-blocking, close-on-exec; fds[0] for the reader, fds[1] for the writer. Made by the gateway, handed to both, kept by nobody else. */
int ipcnet_lane_bell(int fds[2]);

/* ------------------------------------------------- checks for whoever passes them on -- */

/* For the gateway: whether `fd` is a lane (seals, size, geometry, header) and what it says of itself; nothing stays mapped. 0 or -EPROTO. */
struct ipcnet_lane_description {
  uint8_t lane_id[IPCNET_LANE_ID_BYTES];
  uint64_t schema_hash;
  uint64_t file_bytes;
  uint64_t first_sequence;
  uint32_t slot_count;
  uint32_t inline_bytes;
  uint64_t large_bytes;
  uint8_t policy;
};
int ipcnet_lane_describe(int fd, struct ipcnet_lane_description *description);
/* Whether `fd` is a reader's page for the lane `lane_id`. 0 or -EPROTO. */
int ipcnet_lane_check_page(int fd, const uint8_t lane_id[IPCNET_LANE_ID_BYTES]);

#ifdef __cplusplus
}
#endif

#endif
