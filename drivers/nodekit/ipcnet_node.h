/*
 * ipcnet_node: the microcontroller's side of IPCNet on CAN. Freestanding C99: needs stdint.h, stddef.h, stdbool.h, ipcnet_e2e, and memcpy, memmove, memset, memcmp; allocates nothing, reads no clock.
 * Six parts, each a section below and a source of its own; what is not wanted is not compiled:
 *
 *   1. rules    ipcnet_node.c         whom the node obeys, and when its outputs are safe. Needs nothing else, and serves serial and MQTT nodes as well
 *   2. device   ipcnet_node_device.c  a node on a bus: heartbeat, NMT, EMCY as CANopen has them; the safe-pose hook; takes frames and hands them on
 *   3. objects  ipcnet_node_sdo.c     who am I: an SDO server
 *   4. time     ipcnet_node_time.c    the gateway's clock on the node
 *   5. flash    ipcnet_node_boot.c    for a boot loader: which of two images runs, and when the old one returns
 *   6. update   ipcnet_node_update.c  a new image over SDO into the slot that does not run; ipcnet_node_images.h belongs to it. Needs 3 and 5
 *
 * ipcnet_node_bytes.c belongs to 3, 4 and 5.
 *
 * ---- 1. Rules: what a node (a motor controller, a gripper) does so that only one commander can move it, and none that is old, confused or dead: docs/specs/claim.md.
 *
 * A firmware that has part 2 as well reads on there. One without it does this:
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

/* Where the owner's number stands in a frame, little-endian: bit 0 of byte 0 is 0, the last of a CAN FD frame 511. `bits` 0: the frame has none. At most 16 bits. */
struct ipcnet_node_field {
  uint16_t start_bit;
  uint8_t bits;
};

/* One command the node obeys. The first part is the firmware's, the rest the kit's. */
struct ipcnet_node_command {
  ipcnet_e2e_verdict (*inspect)(const ipcnet_e2e_config *config, const uint8_t *frame, size_t length_bytes, uint32_t *counter);
  ipcnet_e2e_config e2e;
  uint32_t counter_max;       /* IPCNET_E2E_Pxx_COUNTER_MAX of that profile */
  uint8_t max_delta;          /* of counters; 0: 3 */
  bool motion;                /* feeds the dead-man, makes outputs follow. False: configuration and the like. */
  struct ipcnet_node_field epoch, owner;
  uint32_t id;                /* part 2 alone: the frame's identifier; | IPCNET_NODE_EXTENDED for 29 bits */

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

/* The firmware's own reason to be safe (a fault, a switch). The next accepted motion command moves it again: a fault that lasts must refuse commands itself. */
void ipcnet_node_make_safe(struct ipcnet_node *self);

/* For the node's report: the owner that is followed and was heard within claim_quiet_us, or IPCNET_NODE_NOBODY. */
uint8_t ipcnet_node_reported_owner(const struct ipcnet_node *self);

/* RFC 1982, 16 bits: whether `a` is newer than `b`. Exactly half way round is not. */
bool ipcnet_node_newer(uint16_t a, uint16_t b);

/* ---- 2. Device: a node on a CAN bus ---------------------------------------------------------------------------------------------------------------
 *
 *   static const struct ipcnet_node_port port = { .send = can_send, .enter_safe_pose = brake, .reset = nvic_reset };
 *   static const struct ipcnet_node_device_options options = { .number = 5, .claim_id = 0x10, .heartbeat_us = 100000, .emcy_inhibit_us = 10000,
 *                                                              .rules = { .claim_timeout_us = 500000, .dead_man_us = 200000 } };
 *   ipcnet_node_device_init(&device, &options, &port, commands, 1, now_us);
 *   for (;;) {
 *     while (a frame came) {
 *       const int command = ipcnet_node_device_hear(&device, id, data, length, received_us);
 *       if (command >= 0) set_target(command, data);
 *     }
 *     ipcnet_node_device_poll(&device, now_us);                        // at least once a millisecond
 *     if (bus-off began) ipcnet_node_device_bus_off(&device, now_us);  // and …_bus_on when it is over
 *     control(device.node.outputs);
 *     ipcnet_node_device_send(&device, report_id, …);                  // measured values and the witness: sent while operational, refused otherwise
 *   }
 *
 * CANopen (CiA 301): NMT 0x000, EMCY 0x080 + number, SDO 0x600 / 0x580 + number, heartbeat 0x700 + number. Commands are process data: obeyed while operational alone. Claims are heard in every
 * state, so that a node that was stopped meanwhile still knows the newest owner. "Reset communication" forgets no epoch; "reset node" calls `reset`, which is a power-up.
 *
 * The hook is called exactly once each time that outputs become safe, for whatever reason, and once at init; never twice without a motion command between. It returns soon, and may call this section's functions.
 * Frames go out in the order boot-up, answers, heartbeat, EMCY, at most one each a poll; what finds no room waits for the next poll. Frames that the controller hears of itself must not be passed in.
 */
#define IPCNET_NODE_EXTENDED 0x80000000u
#define IPCNET_NODE_EMCY_ACTIVE_MAX 8u  /* errors that stand at the same time */
#define IPCNET_NODE_EMCY_QUEUE 4u       /* messages that wait for the inhibit time; a fifth drops the oldest */

enum ipcnet_node_cause {
  IPCNET_NODE_POWER_UP, IPCNET_NODE_DEAD_MAN, IPCNET_NODE_OWNER_SILENT, IPCNET_NODE_OWNER_RELEASED, IPCNET_NODE_NMT, IPCNET_NODE_BUS_OFF, IPCNET_NODE_GATEWAY_SILENT,
  IPCNET_NODE_APPLICATION
};

/* NMT states as they stand in a heartbeat. */
enum ipcnet_node_nmt { IPCNET_NODE_INITIALISING = 0, IPCNET_NODE_STOPPED = 4, IPCNET_NODE_OPERATIONAL = 5, IPCNET_NODE_PRE_OPERATIONAL = 127 };

/* EMCY codes that the kit sends of itself (CiA 301). 0x1000…0xFFFF are the firmware's to choose from that table. */
enum {
  IPCNET_NODE_EMCY_HEARTBEAT = 0x8130,       /* the gateway's heartbeat is missing */
  IPCNET_NODE_EMCY_BUS_OFF_OVER = 0x8140,
  IPCNET_NODE_EMCY_SAME_NUMBER = 0x8150,     /* another node has this number */
  IPCNET_NODE_EMCY_COMMAND_TIMEOUT = 0x8250  /* the dead-man ran out */
};
/* Bits of the error register, object 0x1001. Bit 0 stands while any error does. */
enum { IPCNET_NODE_ERROR_GENERIC = 1, IPCNET_NODE_ERROR_CURRENT = 2, IPCNET_NODE_ERROR_VOLTAGE = 4, IPCNET_NODE_ERROR_TEMPERATURE = 8, IPCNET_NODE_ERROR_COMMUNICATION = 16, IPCNET_NODE_ERROR_PROFILE = 32, IPCNET_NODE_ERROR_MANUFACTURER = 128 };

/* What ipcnet_node_device_hear returns for everything but an accepted command. */
enum { IPCNET_NODE_TAKEN = -1, IPCNET_NODE_REFUSED = -2, IPCNET_NODE_NOT_OURS = -3 };

/* The outside. All are called from the kit's own calls, on their thread. */
struct ipcnet_node_port {
  void *context;
  bool (*send)(void *context, uint32_t id, const uint8_t *data, uint8_t length);  /* false: no room now. `data` is copied. Never waits */
  void (*enter_safe_pose)(void *context, enum ipcnet_node_cause cause);
  void (*reset)(void *context);                                                   /* outputs are safe already. Does not return on real hardware */
};

struct ipcnet_node_device_options {
  uint8_t number;               /* 1…127 */
  bool wait_for_start;          /* stays pre-operational until an NMT start. False: becomes operational by itself after its boot-up message */
  uint8_t gateway_number;       /* whose heartbeat is watched from its first one on; 0: nobody's. The claims' beat serves better where there are claims */
  uint16_t claim_id;            /* first of four standard identifiers, a multiple of 4. Read only if rules.claim_timeout_us is not 0 */
  uint32_t heartbeat_us;        /* period; 0: none */
  uint32_t emcy_inhibit_us;     /* least time between two EMCY messages */
  uint32_t gateway_timeout_us;
  struct ipcnet_node_options rules;
};

struct ipcnet_node_device;

/* How a further part sees frames that are nobody else's, and time. The device calls; parts 3, 4 and 6 are made of it, a firmware's own may be. */
struct ipcnet_node_part {
  struct ipcnet_node_part *next;
  bool (*hear)(struct ipcnet_node_part *self, struct ipcnet_node_device *device, uint32_t id, const uint8_t *data, size_t length_bytes, uint32_t now_us); /* true: it was its own */
  void (*poll)(struct ipcnet_node_part *self, struct ipcnet_node_device *device, uint32_t now_us);
};

struct ipcnet_node_device {
  struct ipcnet_node node;
  const struct ipcnet_node_device_options *options;
  const struct ipcnet_node_port *port;
  struct ipcnet_node_part *parts;
  uint8_t state;                /* enum ipcnet_node_nmt */
  bool posed;                   /* the hook was called for the present safety */
  bool beat_due, bus_off, gateway_known, gateway_lost, emcy_sent;
  uint8_t resetting;            /* 0: no. 1: asked. 2: since reset_us */
  uint8_t error_register;
  uint8_t emcy_waiting;         /* of emcy_queue */
  uint32_t beat_us, emcy_us, gateway_us, reset_us;
  uint8_t emcy_queue[IPCNET_NODE_EMCY_QUEUE][8];
  struct { uint16_t code; uint8_t bits; } errors[IPCNET_NODE_EMCY_ACTIVE_MAX]; /* code 0: free */
  uint32_t emcy_dropped, same_number_heard;                                    /* only rise */
};

/* At power-up. All pointers must outlive the device. Calls the hook (POWER_UP). */
void ipcnet_node_device_init(struct ipcnet_node_device *self, const struct ipcnet_node_device_options *options, const struct ipcnet_node_port *port,
                             struct ipcnet_node_command *commands, uint8_t command_count, uint32_t now_us);
/* Once each, after init. */
void ipcnet_node_device_add(struct ipcnet_node_device *self, struct ipcnet_node_part *part);

/* A data frame. `received_us`: when it came; never later than the next poll's time. A firmware that takes it when it reads the frame, and has stood still, must throw away what waited meanwhile: commands and
 * claims in a controller's memory look fresh. But not NMT's stop and pre-operational, which can only make it stand still (examples/firmware/joint). The number of the accepted command, whose content may be used; or IPCNET_NODE_TAKEN, …_REFUSED, …_NOT_OURS. */
int ipcnet_node_device_hear(struct ipcnet_node_device *self, uint32_t id, const uint8_t *data, size_t length_bytes, uint32_t received_us);
void ipcnet_node_device_poll(struct ipcnet_node_device *self, uint32_t now_us);

/* Process data: false while not operational, bus-off, or without room. */
bool ipcnet_node_device_send(struct ipcnet_node_device *self, uint32_t id, const uint8_t *data, uint8_t length);

void ipcnet_node_device_bus_off(struct ipcnet_node_device *self, uint32_t now_us);
void ipcnet_node_device_bus_on(struct ipcnet_node_device *self);

/* The firmware's own reason to be safe, with the hook. */
void ipcnet_node_device_stop(struct ipcnet_node_device *self);

/* An error begins: one message. `info`: five bytes of the firmware's, or NULL. False: it stands already, code 0, or too many stand. */
bool ipcnet_node_emcy_raise(struct ipcnet_node_device *self, uint16_t code, uint8_t register_bits, const uint8_t *info);
/* It is over: one message of code 0 with what remains in the register and the code that is over in bytes 3 and 4. False: it did not stand. */
bool ipcnet_node_emcy_clear(struct ipcnet_node_device *self, uint16_t code);

/* For parts: sends in any state but initialising and stopped. False: not now. */
bool ipcnet_node_device_answer(struct ipcnet_node_device *self, uint32_t id, const uint8_t *data, uint8_t length);
#define IPCNET_NODE_RESET_DELAY_US 20000u
/* For parts: outputs safe and nothing obeyed from now on; port->reset when there was time for the last answer to leave. NMT's reset goes the same way. */
void ipcnet_node_device_reset_soon(struct ipcnet_node_device *self);

/* ---- 3. Objects: an SDO server --------------------------------------------------------------------------------------------------------------------
 *
 *   static const struct ipcnet_node_identity identity = { .vendor = …, .product = …, .revision = …, .serial = unique_id(), .name = "elbow" };
 *   ipcnet_node_sdo_init(&sdo, &identity, NULL);
 *   ipcnet_node_device_add(&device, &sdo.part);
 *
 * Expedited and segmented upload and download, block download (CiA 301). Objects of its own, read-only: 0x1000 device type, 0x1001 error register, 0x1008 name, 0x100A software version, 0x1017 heartbeat time,
 * 0x1018 identity. Others come from a chain of `struct ipcnet_node_objects`: the update's, the firmware's. One transfer at a time; a new request ends the one before.
 * Nothing here is protected by a counter or an epoch, so nothing here may move anything.
 */
#define IPCNET_NODE_BLOCK_SEGMENTS 32u      /* of a block download: 224 bytes between two acknowledgements */
#define IPCNET_NODE_SDO_TIMEOUT_US 2000000u /* without a request in a transfer: it is over */
#define IPCNET_NODE_BLOCK_GAP_US 200000u    /* within a block: acknowledge what has come, so that a lost last segment is repeated */

/* Abort codes (CiA 301); 0: none. */
enum {
  IPCNET_NODE_SDO_TOGGLE = 0x05030000, IPCNET_NODE_SDO_TIMED_OUT = 0x05040000, IPCNET_NODE_SDO_UNKNOWN = 0x05040001, IPCNET_NODE_SDO_SEQUENCE = 0x05040003, IPCNET_NODE_SDO_CRC = 0x05040004,
  IPCNET_NODE_SDO_WRITE_ONLY = 0x06010001, IPCNET_NODE_SDO_READ_ONLY = 0x06010002, IPCNET_NODE_SDO_NO_OBJECT = 0x06020000, IPCNET_NODE_SDO_LENGTH = 0x06070010, IPCNET_NODE_SDO_NO_SUBINDEX = 0x06090011,
  IPCNET_NODE_SDO_VALUE = 0x06090030, IPCNET_NODE_SDO_STORE = 0x08000020, IPCNET_NODE_SDO_STATE = 0x08000022
};

enum ipcnet_node_write {
  IPCNET_NODE_WRITE_BEGIN,  /* `length` is what was announced; 0: nothing was */
  IPCNET_NODE_WRITE_DATA,   /* `length` bytes more, 1…7 */
  IPCNET_NODE_WRITE_PAUSE,  /* the client waits for our answer: time for what takes long */
  IPCNET_NODE_WRITE_END     /* all there, and its length and CRC are right */
};

/* Whoever has objects. Functions return 0, NO_OBJECT (the next in the chain is asked) or another abort code. Either may be NULL. */
struct ipcnet_node_objects {
  const struct ipcnet_node_objects *next;
  void *context;
  uint32_t (*read)(void *context, uint16_t index, uint8_t subindex, const uint8_t **bytes, uint32_t *length); /* the bytes must stay as they are until the next read */
  uint32_t (*write)(void *context, uint16_t index, uint8_t subindex, enum ipcnet_node_write phase, const uint8_t *bytes, uint32_t length);
};

struct ipcnet_node_identity {
  uint32_t device_type, vendor, product, revision, serial;
  const char *name, *software; /* or NULL */
};

struct ipcnet_node_sdo {
  struct ipcnet_node_part part;
  const struct ipcnet_node_identity *identity;
  const struct ipcnet_node_objects *objects;
  const struct ipcnet_node_objects *writing; /* who takes the download */
  const uint8_t *upload;
  uint32_t left;                /* of an upload or an announced download */
  uint32_t active_us;
  uint16_t index, crc;
  uint8_t subindex;
  uint8_t doing;
  uint8_t sequence;             /* of a block */
  bool toggle, crc_used, answer_waits;
  uint8_t answer[8], held[7];   /* held: a block's last segment, until its length is known */
  uint8_t scratch[4];
};

void ipcnet_node_sdo_init(struct ipcnet_node_sdo *self, const struct ipcnet_node_identity *identity, const struct ipcnet_node_objects *objects);

/* ---- 4. Time: docs/specs/node-time.md --------------------------------------------------------------------------------------------------------------
 *
 *   ipcnet_node_time_init(&clock, 0x14);
 *   ipcnet_node_device_add(&device, &clock.part);
 *   uint64_t gateway_us;
 *   if (ipcnet_node_time_at(&clock, sampled_us, &gateway_us)) …   // when a measurement was taken, by the gateway's clock
 *
 * Hears the owner that the node follows (anybody where there are no claims). `received_us` of ipcnet_node_device_hear should be taken in the receive interrupt: its jitter is the clock's.
 */
#define IPCNET_NODE_TIME_DATA_ID 0xC1A7u
#define IPCNET_NODE_TIME_STEP_US 1000         /* further off: not corrected but set anew, at the second time in a row */
#define IPCNET_NODE_TIME_HOLD_US 10000000u    /* without a pair for so long: no longer in step */

struct ipcnet_node_time {
  struct ipcnet_node_part part;
  uint32_t id;
  uint32_t sync_us;             /* when the last SYNC came, by our clock */
  uint32_t sync_high;           /* the upper half of the time in it */
  uint64_t base_us;             /* the gateway's clock … */
  uint32_t local_us;            /* … at this time of ours */
  int32_t rate;                 /* how much faster the gateway's clock is, in 2^-26 */
  uint8_t sync_counter, owner, pairs, outliers;
  bool sync_heard, locked;
  int32_t last_error_us;        /* by how much the newest pair differed from what was expected */
  uint32_t steps, bad_frames;   /* only rise */
};

void ipcnet_node_time_init(struct ipcnet_node_time *self, uint32_t id);
/* The gateway's monotonic clock at `local_us`, at most 30 minutes from the last pair. False: not in step. May step back by as much as it is corrected (see last_error_us). */
bool ipcnet_node_time_at(const struct ipcnet_node_time *self, uint32_t local_us, uint64_t *gateway_us);

/* ---- 5. Flash: two images, and a journal that no power cut breaks: docs/specs/node-update.md ------------------------------------------------------
 *
 * The boot loader: uint8_t slot; if (ipcnet_node_boot(&flash, &slot)) jump(flash.slot_at[slot] + IPCNET_NODE_IMAGE_HEADER); else wait for help.
 * A watchdog that the boot loader starts is what ends a new image that hangs.
 */
#define IPCNET_NODE_IMAGE_HEADER 128u
#define IPCNET_NODE_NO_SLOT 0xFFu
#define IPCNET_NODE_FLASH_UNIT_MAX 32u

struct ipcnet_node_flash {
  void *context;
  bool (*read)(void *context, uint32_t at, uint8_t *bytes, uint32_t length);
  bool (*write)(void *context, uint32_t at, const uint8_t *bytes, uint32_t length); /* into erased bytes; multiples of unit_bytes, each written once */
  bool (*erase)(void *context, uint32_t at);                                        /* one page */
  bool (*trusted)(void *context, const uint8_t *header, uint32_t image_at, uint32_t image_bytes); /* hash and signature are right. NULL: the CRC alone decides, and anybody on the bus can replace the firmware */
  uint32_t page_bytes;      /* a power of two, not smaller than unit_bytes */
  uint32_t unit_bytes;      /* what is written at once: 1…32, a power of two */
  uint32_t slot_at[2];      /* begin of a page */
  uint32_t slot_bytes;      /* whole pages */
  uint32_t journal_at[2];   /* one page each */
  uint32_t vendor, product; /* images for others are refused */
};

enum ipcnet_node_outcome { IPCNET_NODE_NEVER, IPCNET_NODE_CONFIRMED, IPCNET_NODE_REVERTED, IPCNET_NODE_TRYING };

/* The journal's newest record. */
struct ipcnet_node_record {
  uint32_t sequence;
  uint8_t confirmed;        /* 0, 1 or NO_SLOT */
  uint8_t trial;            /* on probation, or NO_SLOT */
  uint8_t tries;            /* starts left to it */
  uint8_t good;             /* bit n: slot n was confirmed once and not touched since */
  uint8_t outcome;          /* of the last update */
  uint32_t floor;           /* least security counter of a new image */
};

struct ipcnet_node_image { uint32_t version, security_counter, length, crc; uint8_t hash[32]; };

enum ipcnet_node_refusal {
  IPCNET_NODE_FINE, IPCNET_NODE_WRONG_STATE, IPCNET_NODE_NO_HEADER, IPCNET_NODE_OTHER_PRODUCT, IPCNET_NODE_TOO_LONG, IPCNET_NODE_TOO_OLD, IPCNET_NODE_WRONG_CRC, IPCNET_NODE_NOT_TRUSTED, IPCNET_NODE_FLASH_FAILED,
  IPCNET_NODE_TRIAL_PENDING, IPCNET_NODE_TOO_SHORT
};

/* Which slot shall run; counts the start of one on probation, first. False: none is whole. */
bool ipcnet_node_boot(const struct ipcnet_node_flash *flash, uint8_t *slot);

/* A header alone; `image` is filled in if it is FINE. */
enum ipcnet_node_refusal ipcnet_node_header_check(const struct ipcnet_node_flash *flash, const uint8_t *header, struct ipcnet_node_image *image);
/* Header, CRC over the whole image, `trusted`. Reads all of it. */
enum ipcnet_node_refusal ipcnet_node_image_check(const struct ipcnet_node_flash *flash, uint8_t slot, struct ipcnet_node_image *image);
/* False: there is none; the record is then of a node as it leaves the factory: nothing confirmed, nothing on trial. */
bool ipcnet_node_journal_read(const struct ipcnet_node_flash *flash, struct ipcnet_node_record *record);
/* Sets its sequence. False: it could not be written, and the one before still counts. */
bool ipcnet_node_journal_write(const struct ipcnet_node_flash *flash, struct ipcnet_node_record *record);
/* CRC-32/ISO-HDLC with a table of 64 bytes. */
uint32_t ipcnet_node_crc32(uint32_t previous, const uint8_t *bytes, size_t length_bytes);

/* ---- 6. Update: docs/specs/node-update.md ----------------------------------------------------------------------------------------------------------
 *
 *   ipcnet_node_update_init(&update, &flash, running_slot, 3, 60000000, now_us);
 *   ipcnet_node_sdo_init(&sdo, &identity, &update.objects);
 *   ipcnet_node_device_add(&device, &update.part);            // and &sdo.part
 *   if (self_test_passed) ipcnet_node_update_confirm(&update);  // or the gateway does, by object 0x2F01
 *
 * Takes an image only while the device is pre-operational and its outputs are safe, and none while one is on probation. Writing takes as long as the flash does: up to a page's erasure in one call.
 */
struct ipcnet_node_update {
  struct ipcnet_node_part part;
  struct ipcnet_node_objects objects;
  const struct ipcnet_node_flash *flash;
  struct ipcnet_node_device *device; /* set by its first poll, before which no object is asked for */
  struct ipcnet_node_record record;
  struct ipcnet_node_image running, incoming;
  uint8_t slot;                 /* that runs */
  uint8_t tries;                /* of the next trial */
  uint8_t doing;
  uint8_t refused;              /* enum ipcnet_node_refusal: why the last attempt failed */
  uint32_t probation_us, started_us;
  uint32_t fill, written;
  uint32_t order;               /* what was written to a small object */
  uint8_t buffer[256];
  uint8_t report[48];
};

/* `probation_us`: an image that is not confirmed within it after a start is restarted as soon as it does not move anything; after `tries` starts (1 or more) the one before returns. 0: no such limit. */
void ipcnet_node_update_init(struct ipcnet_node_update *self, const struct ipcnet_node_flash *flash, uint8_t running_slot, uint8_t tries, uint32_t probation_us, uint32_t now_us);
bool ipcnet_node_update_on_probation(const struct ipcnet_node_update *self);
/* The running image stays. False: it was not on probation, or the flash failed (try again). */
bool ipcnet_node_update_confirm(struct ipcnet_node_update *self);
/* Back to the one before at the next reset, which is the caller's. */
bool ipcnet_node_update_revert(struct ipcnet_node_update *self);

#ifdef __cplusplus
}
#endif

#endif
