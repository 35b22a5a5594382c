/*
 * What a transport has to be able to do to be compared between C programs: one hub sends to its leaves, each leaf sends to the hub. All of them are processes, made by
 * fork(): `prepare` is called before, `hub` or `leaf` after it. What is sent is never lost: `send` waits while there is no room.
 */
#ifndef IPCNET_BENCH_FABRIC_PEER_H
#define IPCNET_BENCH_FABRIC_PEER_H

#include "../bench.h"

#include <stddef.h>
#include <stdint.h>

#define FABRIC_LEAVES_MAX 16

struct fabric_plan {
  size_t payload_bytes;
  uint32_t leaves;
  uint32_t depth; /* messages that may be under way to one leaf */
};

struct fabric_peer {
  const char *name;
  int spins;   /* both sides keep a processor each: one leaf, and pinned */
  int no_flow; /* one message at a time: round trips only */
  void *(*prepare)(const struct fabric_plan *plan);
  void (*hub)(void *self);
  void (*leaf)(void *self, uint32_t index);
  /* From the hub to all leaves, from a leaf to the hub. */
  void (*send)(void *self, const void *bytes, size_t length_bytes);
  /* Waits for a message; for the hub one of any leaf. Copied into `buffer`, which holds a payload of the plan. Returns its length. */
  size_t (*receive)(void *self, void *buffer);
};

extern const struct fabric_peer fabric_bare, fabric_lane, fabric_lane_spinning, fabric_lane_in_place, fabric_packet;

#endif
