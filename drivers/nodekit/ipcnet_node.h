/*
 * ipcnet_node: what a node (a motor controller, a gripper) does so that only one commander can move it, and none that is old, confused or dead.
 * The rules are those of docs/specs/claim.md. Freestanding C99: needs stdint.h, stddef.h, stdbool.h and ipcnet_e2e; allocates nothing, reads no clock.
 *
 * A firmware does this:
 *
 *   static struct ipcnet_node_command commands[] = {
 *     { .inspect = ipcnet_e2e_p05_inspect, .e2e = { .data_id = 0x1234 }, .counter_max = IPCNET_E2E_P05_COUNTER_MAX,
 *       .motion = true, .epoch = { 24, 8 }, .owner = { 62, 2 } },
 *   };
 *   static const struct ipcnet_node_options options = { .claim_timeout_us = 500000, .dead_man_us = 200000 };
 *   ipcnet_node_init(&node, &options, commands, 1);
 *   for (;;) {
 *     if (frame.id is claim id | 0…3)   ipcnet_node_hear(&node, frame.id & 3, frame.data, frame.length, now_us);
 *     if (frame.id is the command's)    if (ipcnet_node_judge(&node, 0, frame.data, frame.length, now_us) == IPCNET_NODE_ACCEPTED) set_target(…);
 *     ipcnet_node_poll(&node, now_us);  // at least once a millisecond
 *     switch (node.outputs) { case IPCNET_NODE_SAFE: brake(); … case IPCNET_NODE_HOLD: hold(); … case IPCNET_NODE_FOLLOW: control(); }
 *     report node.epoch and ipcnet_node_reported_owner(&node) in a frame of its own: at once when they change, and every 10 ms
 *   }
 *
 * Invariants
 *   - Until the next power-up `epoch` only moves forward (RFC 1982), and `owner` never changes without it.
 *   - Only an accepted motion command feeds the dead-man and leaves SAFE.
 *   - A refused frame changes nothing but what the E2E receiver notes of an own owner's frame outside its window.
 *
 * Times are 32 bits of a microsecond counter that may wrap; poll more often than every 35 minutes. One thread (or interrupt level) per node.
 */
#ifndef IPCNET_NODE_H
#define IPCNET_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipcnet_e2e.h"

#ifdef __cplusplus
extern "C" {
#endif

#define IPCNET_NODE_CLAIM_BYTES 8u
#define IPCNET_NODE_CLAIM_DATA_ID 0xC1A1u
#define IPCNET_NODE_CLAIM_VERSION 1u
#define IPCNET_NODE_OWNERS 4u
#define IPCNET_NODE_NOBODY 7u

enum ipcnet_node_heard {
  IPCNET_NODE_FOLLOWED,     /* a newer epoch: this owner is followed from now on */
  IPCNET_NODE_KEPT,         /* of the owner that is followed (or was, and is again) */
  IPCNET_NODE_RELEASED,     /* the owner stops in order: outputs are safe, nobody is followed */
  IPCNET_NODE_STALE,        /* an older epoch, or the same of another owner: refused */
  IPCNET_NODE_NOT_HEARD     /* no claims on this bus; length, CRC, version, kind or repeated counter; epoch 0; or an owner that is not the identifier's */
};

enum ipcnet_node_verdict {
  IPCNET_NODE_ACCEPTED,
  IPCNET_NODE_NOT_FOLLOWING, /* nobody has claimed, or the owner is silent */
  IPCNET_NODE_OTHER_EPOCH,
  IPCNET_NODE_OTHER_OWNER,
  IPCNET_NODE_BAD_FRAME,     /* length, CRC or Data ID; or no such command */
  IPCNET_NODE_OLD_COUNTER    /* repeated, or outside the window */
};

enum ipcnet_node_outputs {
  IPCNET_NODE_SAFE,   /* whatever that is for this machine: brake, torque off, hold */
  IPCNET_NODE_HOLD,   /* a new owner was followed and has not commanded yet: stay where you are; the dead-man still runs */
  IPCNET_NODE_FOLLOW  /* as last commanded */
};

/* Where the owner's number stands in a frame, little-endian: bit 0 of byte 0 is 0. `bits` 0: the frame has none. At most 16 bits. */
struct ipcnet_node_field {
  uint8_t start_bit, bits;
};

/* One command the node obeys. The first part is the firmware's, the rest the kit's. */
struct ipcnet_node_command {
  ipcnet_e2e_verdict (*inspect)(const ipcnet_e2e_config *config, const uint8_t *frame, size_t length_bytes, uint32_t *counter);
  ipcnet_e2e_config e2e;
  uint32_t counter_max;       /* IPCNET_E2E_Pxx_COUNTER_MAX of that profile */
  uint8_t max_delta;          /* of counters; 0: 3 */
  bool motion;                /* feeds the dead-man, makes outputs follow. False: configuration and the like. */
  struct ipcnet_node_field epoch, owner;

  ipcnet_e2e_receiver receiver;
};

struct ipcnet_node_options {
  uint32_t claim_timeout_us;  /* the owner unheard for so long: nobody's. 0: a bus without claims, every valid command counts */
  uint32_t dead_man_us;       /* no accepted motion command for so long: outputs safe */
  uint32_t claim_quiet_us;    /* the owner unheard for so long: reported as nobody, and still obeyed. Longer than a beat; 0: as claim_timeout_us */
};

struct ipcnet_node {
  const struct ipcnet_node_options *options;
  struct ipcnet_node_command *commands;
  uint8_t command_count;
  uint8_t owner;              /* of `epoch` */
  uint8_t claim_counter;      /* of the last frame heard of this owner in this epoch */
  bool following;             /* the owner was heard lately */
  bool quiet;                 /* but not for claim_quiet_us */
  uint16_t epoch;             /* newest heard since power-up; 0: none */
  uint8_t outputs;            /* enum ipcnet_node_outputs */
  bool fed;                   /* a dead-man runs */
  uint32_t heard_us;          /* of the owner */
  uint32_t fed_us;
  uint32_t stale_claims, refused_commands, accepted_commands, dead_man_stops; /* only rise, and wrap */
};

/* At power-up. Options and commands must outlive the node. Outputs are safe. */
void ipcnet_node_init(struct ipcnet_node *self, const struct ipcnet_node_options *options, struct ipcnet_node_command *commands, uint8_t command_count);

/* A frame with the identifier claim id | `id_owner` (0…3). */
enum ipcnet_node_heard ipcnet_node_hear(struct ipcnet_node *self, uint8_t id_owner, const uint8_t *frame, size_t length_bytes, uint32_t now_us);

/* A frame of command number `command`. Use its content only if ACCEPTED. */
enum ipcnet_node_verdict ipcnet_node_judge(struct ipcnet_node *self, uint8_t command, const uint8_t *frame, size_t length_bytes, uint32_t now_us);

/* Time passed: owner and dead-man are judged. The two calls above do it as well, first. */
void ipcnet_node_poll(struct ipcnet_node *self, uint32_t now_us);

/* For the node's report: the owner that is followed and was heard within claim_quiet_us, or IPCNET_NODE_NOBODY. */
uint8_t ipcnet_node_reported_owner(const struct ipcnet_node *self);

/* RFC 1982, 16 bits: whether `a` is newer than `b`. Exactly half way round is not. */
bool ipcnet_node_newer(uint16_t a, uint16_t b);

#ifdef __cplusplus
}
#endif

#endif
