/*
 * lane_layout: the bytes of a lane and of a reader's page (docs/specs/lanes.md), and how they are touched. For the lane_*.c files and their tests only.
 *
 * Every word that two processes share is atomic. The payload is not: it is copied while it may change, and the copy is believed only when the words around it say that
 * it did not (a seqlock). docs/specs/lanes.md, "Orderings", has the argument for each SYNC below.
 */
#ifndef IPCNET_LANE_LAYOUT_H
#define IPCNET_LANE_LAYOUT_H

#include "ipcnet_crc_fast.h"
#include "lane.h"

#include <stdatomic.h>
#include <string.h>
#include <time.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "lanes are little-endian"
#endif

#if defined(__SANITIZE_THREAD__)
#define IPCNET_LANE_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define IPCNET_LANE_TSAN 1
#endif
#endif

#define IPCNET_LANE_MAGIC "IPCLANE1"
#define IPCNET_LANE_PAGE_MAGIC "IPCREAD1"
#define IPCNET_LANE_HEADER_BYTES 4096u
#define IPCNET_LANE_INLINE_MAX 4032u
#define IPCNET_LANE_LARGE_ALIGN 64u
#define IPCNET_LANE_POSITION_INLINE UINT64_MAX
/* Beyond any count that ever happens (10^9 messages a second for 146 years), and twice it still fits 64 bits. */
#define IPCNET_LANE_SEQUENCE_MAX (1ull << 62)

/* What never changes: copied once by whoever opens the lane, then only the copy is used. */
struct ipcnet_lane_fixed {
  uint8_t magic[8];
  uint32_t header_crc; /* of the bytes from lane_id to the end of this struct */
  uint32_t zero;
  uint8_t lane_id[IPCNET_LANE_ID_BYTES];
  uint64_t schema_hash;
  uint64_t first_sequence;
  uint64_t file_bytes;
  uint64_t large_bytes;
  uint32_t slot_count;
  uint32_t inline_bytes;
  uint32_t policy;
  uint8_t zeros[52];
};

/* Each word that the writer changes has two cache lines of its own: processors fetch lines in pairs. */
struct ipcnet_lane_memory {
  struct ipcnet_lane_fixed fixed;
  uint8_t pad0[128];
  _Atomic uint64_t head;
  uint8_t pad1[120];
  _Atomic uint64_t large_reserved;
  uint8_t pad2[120];
  _Atomic uint32_t closed;
  uint8_t pad3[124];
  _Atomic uint64_t space_wanted;
  uint8_t pad4[376];
  _Atomic uint8_t demoted[IPCNET_LANE_READERS_MAX];
};

/* A slot's first 64 bytes as they lie in memory. Only this file and the tests look at them so: see ipcnet_lane_header_pack. */
struct ipcnet_lane_slot_header {
  uint64_t state;
  uint64_t position;
  uint64_t time_ns;
  int64_t wall_time_ns;
  uint64_t schema_hash;
  uint32_t payload_bytes;
  uint32_t payload_crc;
  uint32_t origin;
  uint16_t flags;
  uint8_t lineage_count;
  uint8_t kind;
  uint32_t ttl_ms;
  uint32_t header_crc;
};

struct ipcnet_lane_slot {
  _Atomic uint64_t words[8]; /* words[0] is the state: 2n - 1 message n is being written, 2n it is complete */
};

struct ipcnet_lane_page {
  uint8_t magic[8];
  uint8_t lane_id[IPCNET_LANE_ID_BYTES];
  uint8_t pad0[104];
  _Atomic uint64_t sleep;
  uint8_t pad1[120];
  _Atomic uint64_t cursor;
};

_Static_assert(sizeof(struct ipcnet_lane_fixed) == 128, "");
_Static_assert(offsetof(struct ipcnet_lane_fixed, lane_id) == 16, "");
_Static_assert(offsetof(struct ipcnet_lane_fixed, schema_hash) == 32, "");
_Static_assert(offsetof(struct ipcnet_lane_fixed, slot_count) == 64, "");
_Static_assert(offsetof(struct ipcnet_lane_fixed, zeros) == 76, "");
_Static_assert(offsetof(struct ipcnet_lane_memory, head) == 256, "");
_Static_assert(offsetof(struct ipcnet_lane_memory, large_reserved) == 384, "");
_Static_assert(offsetof(struct ipcnet_lane_memory, closed) == 512, "");
_Static_assert(offsetof(struct ipcnet_lane_memory, space_wanted) == 640, "");
_Static_assert(offsetof(struct ipcnet_lane_memory, demoted) == 1024, "");
_Static_assert(sizeof(struct ipcnet_lane_memory) <= IPCNET_LANE_HEADER_BYTES, "");
_Static_assert(sizeof(struct ipcnet_lane_slot_header) == IPCNET_LANE_SLOT_HEADER_BYTES, "");
_Static_assert(offsetof(struct ipcnet_lane_slot_header, payload_bytes) == 40, "");
_Static_assert(offsetof(struct ipcnet_lane_slot_header, flags) == 52, "");
_Static_assert(offsetof(struct ipcnet_lane_slot_header, header_crc) == 60, "");
_Static_assert(sizeof(struct ipcnet_lane_slot) == IPCNET_LANE_SLOT_HEADER_BYTES, "");
_Static_assert(offsetof(struct ipcnet_lane_page, sleep) == 128, "");
_Static_assert(offsetof(struct ipcnet_lane_page, cursor) == 256, "");
_Static_assert(sizeof(struct ipcnet_lane_lineage) == 24, "");
_Static_assert(ATOMIC_LLONG_LOCK_FREE == 2 && ATOMIC_INT_LOCK_FREE == 2 && ATOMIC_CHAR_LOCK_FREE == 2, "atomics between processes have to be lock-free");

/* Where the parts of a lane are, from checked geometry; private to whoever mapped it. */
struct ipcnet_lane_parts {
  struct ipcnet_lane_memory *memory;
  uint8_t *slots;
  uint8_t *large;
  uint64_t slot_mask;
  uint32_t slot_bytes; /* header and inline bytes: a multiple of 128 */
};

static inline struct ipcnet_lane_parts ipcnet_lane_parts_of(void *base, const struct ipcnet_lane_fixed *fixed) {
  const uint32_t slot_bytes = IPCNET_LANE_SLOT_HEADER_BYTES + fixed->inline_bytes;
  const uint64_t slots_end = IPCNET_LANE_HEADER_BYTES + (uint64_t)fixed->slot_count * slot_bytes;
  return (struct ipcnet_lane_parts){
    .memory = base,
    .slots = (uint8_t *)base + IPCNET_LANE_HEADER_BYTES,
    .large = (uint8_t *)base + ((slots_end + 4095) & ~4095ull),
    .slot_mask = fixed->slot_count - 1u,
    .slot_bytes = slot_bytes,
  };
}

static inline uint64_t ipcnet_lane_file_bytes(uint32_t slot_count, uint32_t inline_bytes, uint64_t large_bytes) {
  const uint64_t slots_end = IPCNET_LANE_HEADER_BYTES + (uint64_t)slot_count * (IPCNET_LANE_SLOT_HEADER_BYTES + inline_bytes);
  return ((slots_end + 4095) & ~4095ull) + large_bytes;
}

static inline struct ipcnet_lane_slot *ipcnet_lane_slot_of(const struct ipcnet_lane_parts *parts, uint64_t sequence) {
  return (struct ipcnet_lane_slot *)(void *)(parts->slots + ((sequence - 1) & parts->slot_mask) * parts->slot_bytes);
}

/* --------------------------------------------------------------- orderings -- */

/* The thread sanitizer does not know fences: there a locked instruction on the own stack takes their place (a full barrier on x86-64, where we run it). */
#ifdef IPCNET_LANE_TSAN
static inline void ipcnet_lane_fence(memory_order order) {
  _Atomic int own;
  (void)order;
  atomic_init(&own, 0);
  atomic_fetch_add_explicit(&own, 1, memory_order_seq_cst);
}
#else
#define ipcnet_lane_fence(order) atomic_thread_fence(order)
#endif

static inline void ipcnet_lane_relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("isb" ::: "memory"); /* `yield` does nothing on most cores */
#endif
}

/* Asks for a cache line that will be written soon, so that it comes while other work is done. Only a hint. */
static inline void ipcnet_lane_want(const void *at) {
#if defined(__x86_64__)
  __asm__ volatile("prefetchw %0" : : "m"(*(const char *)at)); /* before it was an instruction of all processors it did nothing */
#else
  __builtin_prefetch(at, 1);
#endif
}

/*
 * Copies between the lane and private memory while the other side may be writing or reading. memcpy is what it comes to; for the thread sanitizer they are relaxed
 * atomic words, which is what the language asks for. The side in the lane begins at a multiple of 8.
 */
#ifdef IPCNET_LANE_TSAN
static inline void ipcnet_lane_copy_out(void *to, const void *from_lane, size_t bytes) {
  size_t at = 0;
  for (; at + 8 <= bytes; at += 8) {
    const uint64_t word = __atomic_load_n((const uint64_t *)(const void *)((const uint8_t *)from_lane + at), __ATOMIC_RELAXED);
    memcpy((uint8_t *)to + at, &word, 8);
  }
  for (; at < bytes; at++) ((uint8_t *)to)[at] = __atomic_load_n((const uint8_t *)from_lane + at, __ATOMIC_RELAXED);
}
static inline void ipcnet_lane_copy_in(void *to_lane, const void *from, size_t bytes) {
  size_t at = 0;
  for (; at + 8 <= bytes; at += 8) {
    uint64_t word;
    memcpy(&word, (const uint8_t *)from + at, 8);
    __atomic_store_n((uint64_t *)(void *)((uint8_t *)to_lane + at), word, __ATOMIC_RELAXED);
  }
  for (; at < bytes; at++) __atomic_store_n((uint8_t *)to_lane + at, ((const uint8_t *)from)[at], __ATOMIC_RELAXED);
}
#else
static inline void ipcnet_lane_copy_out(void *to, const void *from_lane, size_t bytes) {
  memcpy(to, from_lane, bytes);
}
static inline void ipcnet_lane_copy_in(void *to_lane, const void *from, size_t bytes) {
  memcpy(to_lane, from, bytes);
}
#endif

/*
 * The header as eight words in registers. Put together and taken apart by shifting: a word that was stored in two halves and is loaded as one (or the other way round,
 * wider) costs the processor some ten nanoseconds each, more than both CRCs. words[0] is the sequence here, as the CRC has it.
 */
static inline void ipcnet_lane_header_pack(uint64_t words[8], uint64_t sequence, const struct ipcnet_lane_slot_header *header) {
  words[0] = sequence;
  words[1] = header->position;
  words[2] = header->time_ns;
  words[3] = (uint64_t)header->wall_time_ns;
  words[4] = header->schema_hash;
  words[5] = header->payload_bytes | (uint64_t)header->payload_crc << 32;
  words[6] = header->origin | (uint64_t)header->flags << 32 | (uint64_t)header->lineage_count << 48 | (uint64_t)header->kind << 56;
  words[7] = header->ttl_ms | (uint64_t)header->header_crc << 32;
}

/* One fetch of each word: nothing that is checked can be read a second time. */
static inline void ipcnet_lane_header_out(uint64_t words[8], uint64_t sequence, const struct ipcnet_lane_slot *slot) {
  words[0] = sequence;
  for (int i = 1; i < 8; i++) words[i] = atomic_load_explicit(&slot->words[i], memory_order_relaxed);
}

static inline void ipcnet_lane_header_in(struct ipcnet_lane_slot *slot, const uint64_t words[8]) {
  for (int i = 1; i < 8; i++) atomic_store_explicit(&slot->words[i], words[i], memory_order_relaxed);
}

static inline uint64_t ipcnet_lane_clock_ns(clockid_t clock) {
  struct timespec now;
  clock_gettime(clock, &now);
  return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* -------------------------------------------------------------- lane_crc.c -- */

/* Copies between private and lane memory, in one pass with the CRC-32C of what was copied, chained to `previous`. */
#ifdef IPCNET_LANE_TSAN
static inline uint32_t ipcnet_lane_copy_in_crc(uint32_t previous, void *to_lane, const void *from, size_t bytes) {
  ipcnet_lane_copy_in(to_lane, from, bytes);
  return ipcnet_crc32_iscsi_fast(previous, from, bytes);
}
static inline uint32_t ipcnet_lane_copy_out_crc(uint32_t previous, void *to, const void *from_lane, size_t bytes) {
  ipcnet_lane_copy_out(to, from_lane, bytes);
  return ipcnet_crc32_iscsi_fast(previous, to, bytes);
}
#else
static inline uint32_t ipcnet_lane_copy_in_crc(uint32_t previous, void *to_lane, const void *from, size_t bytes) {
  return ipcnet_crc32_iscsi_copy(previous, to_lane, from, bytes);
}
static inline uint32_t ipcnet_lane_copy_out_crc(uint32_t previous, void *to, const void *from_lane, size_t bytes) {
  return ipcnet_crc32_iscsi_copy(previous, to, from_lane, bytes);
}
#endif
/* The same past the writer's caches, for large payloads; where the processor has no such stores (copies_past says 0) as copy_in_crc. */
uint32_t ipcnet_lane_copy_in_past_crc(uint32_t previous, void *to_lane, const void *from, size_t bytes);
int ipcnet_lane_copies_past(void);
/* Of memory in the lane, in place. */
uint32_t ipcnet_lane_crc(uint32_t previous, const void *in_lane, size_t bytes);
/* Of a slot's header without its last field; `id_crc` is ipcnet_lane_crc of the lane's id, the same for each message. */
static inline uint32_t ipcnet_lane_header_crc(uint32_t id_crc, const uint64_t words[8]) {
  return ipcnet_crc32_iscsi_fast(id_crc, (const uint8_t *)words, offsetof(struct ipcnet_lane_slot_header, header_crc));
}
uint32_t ipcnet_lane_fixed_crc(const struct ipcnet_lane_fixed *fixed);

/* ----------------------------------------------------------- lane_memory.c -- */

/* A memfd of `bytes`, populated and mapped shared; `*base` is the only writable mapping there will be. Returns its still unsealed descriptor or a negative errno. */
int ipcnet_lane_memory_make(const char *name, uint64_t bytes, void **base);
/* Opens it anew read-only, takes all rights to write away, seals it and closes `fd` (also on failure). Returns the read-only descriptor or a negative errno. */
int ipcnet_lane_memory_seal(int fd);
/* 0 if `fd` is sealed memory of ours whose every page is there, and its size; else -EPROTO. */
int ipcnet_lane_memory_check(int fd, uint64_t *bytes);
/* Copies and checks the fixed header of a lane of `bytes` bytes that is mapped at `base`. 0 or -EPROTO. */
int ipcnet_lane_fixed_take(const void *base, uint64_t bytes, struct ipcnet_lane_fixed *fixed);
/* Maps a reader's page read-only and checks whose it is. 0 or a negative errno. */
int ipcnet_lane_page_map(int fd, const uint8_t lane_id[IPCNET_LANE_ID_BYTES], const struct ipcnet_lane_page **page);

/* ------------------------------------------------------------- lane_bell.c -- */

/* One end of a bell, as the writer or reader holds it. Never waits, never raises a signal. */
enum ipcnet_lane_ring { IPCNET_LANE_RUNG, IPCNET_LANE_RUNG_ALREADY, IPCNET_LANE_RING_GONE };
enum ipcnet_lane_ring ipcnet_lane_bell_ring(int bell, uint8_t byte);
/* Takes one ring, if there is one. Returns how many, `last` its byte; `*gone` becomes 1 when the other end is closed. */
int ipcnet_lane_bell_take(int bell, uint8_t *last, int *gone);
/* 0 if `fd` is a connected AF_UNIX SEQPACKET socket, else -EPROTO. */
int ipcnet_lane_bell_check(int fd);

#endif
