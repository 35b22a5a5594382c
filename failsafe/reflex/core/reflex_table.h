/*
 * reflex_table: everything the bus process may do, compiled into one block of bytes by whoever can read configurations (failsafe/reflex/table).
 *
 * The reflex has no parser. It gets this table, checks all of it once (ipcnet_reflex_table_open), and from then on only looks things up: which frames may
 * be sent, within which limits, how they are protected; which frames are measured; which nodes must be alive; and the plans of the safe pose.
 *
 * Bytes. Little-endian; protected as a whole by AUTOSAR E2E profile 7 (20 bytes at offset 0, Data ID IPCNET_REFLEX_TABLE_DATA_ID, counter = generation). Then
 * the header, then rows in sections, each a plain array at a multiple of 8. Rows refer to each other by number; texts and payloads lie in the last section
 * (`bytes`), texts end with a zero byte. Every number is checked when the table is opened, so that nothing needs to be checked when it is used.
 * The same layout is in failsafe/reflex/table/layout.ts; docs/specs/reflex.md has it in words.
 *
 * Physical values do not occur: limits are raw values as they stand in the frame (sign-extended integers), because whoever compiled the table knew the scaling. IEEE
 * numbers are mapped to integers of the same order: the bits without the sign, negative if the sign is set (so −0 is 0, and a NaN lies beyond both infinities).
 */
#ifndef IPCNET_REFLEX_TABLE_H
#define IPCNET_REFLEX_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define IPCNET_REFLEX_TABLE_DATA_ID 0x49524654u /* "IRFT" */
#define IPCNET_REFLEX_TABLE_MAGIC 0x54524349u   /* "ICRT" */
#define IPCNET_REFLEX_TABLE_MAJOR 1u
#define IPCNET_REFLEX_TABLE_MINOR 0u
#define IPCNET_REFLEX_TABLE_BYTES_MAX (1u << 20)

/* Rows at most, by section. The reflex keeps state for each in memory of a fixed size. */
#define IPCNET_REFLEX_BUSES_MAX 8u
#define IPCNET_REFLEX_MESSAGES_MAX 512u
#define IPCNET_REFLEX_CHECKS_MAX 4096u
#define IPCNET_REFLEX_WATCHES_MAX 1024u
#define IPCNET_REFLEX_NODES_MAX 128u
#define IPCNET_REFLEX_CONDITIONS_MAX 1024u
#define IPCNET_REFLEX_SENDS_MAX 1024u
#define IPCNET_REFLEX_STEPS_MAX 256u
#define IPCNET_REFLEX_NEEDS_MAX 1024u
#define IPCNET_REFLEX_PLANS_MAX 8u
#define IPCNET_REFLEX_TRIGGERS_MAX 256u
#define IPCNET_REFLEX_NONE 0xFFFFu /* no row */

enum ipcnet_reflex_section {
  IPCNET_REFLEX_BUSES,
  IPCNET_REFLEX_MESSAGES,
  IPCNET_REFLEX_CHECKS,
  IPCNET_REFLEX_WATCHES,
  IPCNET_REFLEX_NODES,
  IPCNET_REFLEX_CONDITIONS,
  IPCNET_REFLEX_SENDS,
  IPCNET_REFLEX_STEPS,
  IPCNET_REFLEX_NEEDS, /* uint16_t: numbers of steps */
  IPCNET_REFLEX_PLANS,
  IPCNET_REFLEX_TRIGGERS,
  IPCNET_REFLEX_BYTES,
  IPCNET_REFLEX_SECTIONS
};

struct ipcnet_reflex_table_header {
  uint8_t e2e[20];          /* P07: CRC-64, length, counter, Data ID */
  uint32_t magic;
  uint16_t major, minor;    /* another major: refused; a higher minor: refused, a lower one: its missing fields are zero */
  uint32_t reserved;
  uint8_t hash[32];         /* SHA-256 of everything after it: two tables with the same hash are the same table */
  uint32_t brain_timeout_us; /* armed and nothing heard from a brain for so long: trigger BRAIN_LOST; 0 never */
  uint32_t beat_period_us;  /* how often the owner says so on buses with a claim id; 1 000 … 1 000 000 */
  uint32_t twin_deadline_us; /* standing still of the twin; 2 000 … 1 000 000, default 10 000 */
  uint32_t flags;           /* enum ipcnet_reflex_table_flags */
  struct { uint32_t offset, count; } sections[IPCNET_REFLEX_SECTIONS]; /* bytes, rows */
};

enum ipcnet_reflex_table_flags {
  IPCNET_REFLEX_RESUME_ARMED = 1, /* a successor goes on armed; without it a takeover runs the plan of trigger TAKEOVER or disarms */
  IPCNET_REFLEX_DRILLS = 2,       /* `ipcnet kill --test` is allowed */
};

/* What the hash is of begins here. */
#define IPCNET_REFLEX_HASHED_FROM offsetof(struct ipcnet_reflex_table_header, brain_timeout_us)

struct ipcnet_reflex_bus { /* 64 bytes */
  uint32_t name, interface; /* texts; of the emulated bus the interface is the server's socket */
  uint32_t bitrate_bps, data_bitrate_bps; /* 0 unknown */
  uint32_t dead_after_us;
  uint32_t claim_id;        /* CAN id of our CLAIM and BEAT frames, | owner; 0xFFFFFFFF none */
  uint16_t load_permille_max; /* of commands; 0 unlimited */
  uint16_t tx_queue_frames;
  uint8_t driver;           /* 0 socketcan, 1 emulated */
  uint8_t flags;            /* enum ipcnet_reflex_bus_flags */
  uint8_t host;             /* 0 or 1: of two hosts on one bus, who we are; the lower claims first */
  uint8_t reserved8;
  uint32_t self_fence_us;   /* another host is on this bus: silent after so long without a node that follows us; 1 000 … 1 000 000. 0: we are the only host */
  uint32_t probe_id;        /* an identifier that nobody uses, for probes (above 0x7FF: extended); 0: 0x7FF */
  uint32_t time_id;         /* of the frames that tell nodes the time (docs/specs/node-time.md; above 0x7FF: extended); without a period 0 */
  uint32_t time_period_us;  /* 10 000 … 1 000 000; 0: none are sent */
  uint8_t reserved[16];
};

enum ipcnet_reflex_bus_flags { IPCNET_REFLEX_BUS_FD = 1, IPCNET_REFLEX_BUS_LISTEN_ONLY = 2, IPCNET_REFLEX_BUS_CLAIM_EXTENDED = 4 };
#define IPCNET_REFLEX_NO_CLAIM_ID 0xFFFFFFFFu
/* Identifiers the reflex sends by itself: claim_id | owner (so claim_id is a multiple of 4), the probe's, and the time's. No message and no watch may have them. */

/* How a frame is protected; profiles as numbered in schemas/e2e/c: 0 none, 1 P01, 2 P02, 4 P04, 5 P05, 6 P06, 7 P07, 8 P08, 11 P11, 22 P22. */
struct ipcnet_reflex_e2e { /* 24 bytes */
  uint32_t data_id;
  uint32_t data_id_list;    /* where 16 bytes lie (P02, P22) */
  uint16_t offset_bytes, min_length_bytes, max_length_bytes;
  uint16_t crc_offset_bits, counter_offset_bits, data_id_nibble_offset_bits;
  uint8_t profile, data_id_mode, max_delta, resync_frames;
};

/* Where a value stands in a frame. Little-endian: `start_bit` is its lowest bit, bit 0 of byte 0 is 0. Big-endian: `start_bit` is its highest bit in the DBC's count. */
struct ipcnet_reflex_field { /* 4 bytes */
  uint16_t start_bit;
  uint8_t bits;  /* 1…64; 0: no such field */
  uint8_t flags; /* 1 big-endian, 2 signed, 4 IEEE number (32 or 64 bits) */
};

/* A frame that may be sent. */
struct ipcnet_reflex_message { /* 96 bytes */
  uint32_t name;
  uint32_t can_id;
  uint8_t can_flags; /* IPCNET_CAN_EXTENDED, _FD, _BRS */
  uint8_t length_bytes;
  uint8_t bus;
  uint8_t flags;     /* enum ipcnet_reflex_message_flags */
  uint32_t ttl_us_max;
  uint32_t interval_us_min;  /* between two frames: 1 / rate */
  uint32_t bits;             /* what it costs on the bus at most */
  uint16_t checks_first, checks_count;
  struct ipcnet_reflex_field epoch, owner; /* filled in when it is sent; bits 0: the frame has none */
  uint16_t expired_trigger;  /* when its set-point outlives its time while armed and no newer one came: row of triggers, or NONE */
  uint16_t reserved16;
  uint32_t reserved32;
  struct ipcnet_reflex_e2e e2e;
  uint8_t reserved[28];
};
enum ipcnet_reflex_message_flags {
  IPCNET_REFLEX_POSE_ONLY = 1, /* no command may send it */
  /* For the care of nodes (who they are, new firmware): a command may send it while the robot is DISARMED and in no other state; no plan sends it. It moves nothing, so it has neither epoch nor owner, no
     protection of ours and no set-point; and others on the bus, a service tool for one, may send its like. */
  IPCNET_REFLEX_SERVICE = 2,
};

/* Something that must hold for a frame's payload before it is sent (E2E, epoch and owner fields excepted: they are filled in). */
struct ipcnet_reflex_check { /* 32 bytes */
  struct ipcnet_reflex_field field;
  struct ipcnet_reflex_field selector; /* bits 0: always; else only if the selector has `selected` */
  uint64_t selected;
  int64_t raw_min, raw_max;  /* unsigned 64-bit fields: compared as unsigned */
};

/* A frame that is received and means something here. */
struct ipcnet_reflex_watch { /* 64 bytes */
  uint32_t name;
  uint32_t can_id;
  uint8_t can_flags;
  uint8_t length_bytes; /* shorter ones are refused */
  uint8_t bus;
  uint8_t flags;
  struct ipcnet_reflex_e2e e2e; /* a frame that fails is not seen */
  struct ipcnet_reflex_field epoch, owner; /* what its node says about who commands it: the witness */
  uint8_t reserved[20];
};

struct ipcnet_reflex_node { /* 24 bytes */
  uint32_t name;
  uint32_t timeout_us;
  uint16_t watch;        /* whose arrival is the heartbeat */
  uint16_t lost_trigger; /* row of triggers, or NONE */
  uint8_t flags;         /* enum ipcnet_reflex_node_flags */
  uint8_t bus;
  uint8_t group;         /* actuators that are of use together only: a claim is confirmed when a node of each group reports it (of nodes that say whom they follow); 0 none */
  uint8_t reserved[9];
};
enum ipcnet_reflex_node_flags {
  IPCNET_REFLEX_NODE_REQUIRED = 1,    /* no arming without it */
  IPCNET_REFLEX_NODE_CANOPEN = 2,     /* a CANopen heartbeat: the first byte is its state */
  IPCNET_REFLEX_NODE_OPERATIONAL = 4, /* alive only while that state is operational (5) */
};

/* Something measured. Holds while the watch's newest frame is no older than `age_us_max` and the value was within the limits for `hold_us`. */
struct ipcnet_reflex_condition { /* 48 bytes */
  uint32_t label;        /* text, for the verdict */
  uint16_t watch;
  uint16_t reserved16;
  struct ipcnet_reflex_field field;
  uint32_t hold_us, age_us_max;
  uint32_t reserved32;
  int64_t raw_min, raw_max;
  uint64_t reserved64;
};

struct ipcnet_reflex_send { /* 8 bytes */
  uint16_t message;
  uint16_t length_bytes;
  uint32_t payload;      /* where it lies in `bytes` */
};

/* One step of a plan. A plan is a graph without circles: a step begins when all it needs have ended. */
struct ipcnet_reflex_step { /* 64 bytes */
  uint32_t name;
  uint16_t needs_first, needs_count;
  uint16_t sends_first, sends_count;
  uint16_t conditions_first, conditions_count;
  uint32_t deadline_us;  /* of one try */
  uint32_t resend_us;    /* frames go out again so often while the step waits */
  uint32_t backoff_us;   /* between tries */
  uint16_t fallback;     /* the step that runs instead when all tries are used up; NONE. Strictly less demanding: no step is its own fallback's fallback. */
  uint16_t call;         /* asks a brain (number of a call); NONE. Met when the brain says done. */
  uint8_t tries;         /* 1… */
  uint8_t on_timeout;    /* enum ipcnet_reflex_on_timeout */
  uint8_t flags;         /* enum ipcnet_reflex_step_flags */
  uint8_t reserved[29];
};
enum ipcnet_reflex_step_flags {
  IPCNET_REFLEX_STEP_MANDATORY = 1, /* begins always, whatever else */
  IPCNET_REFLEX_STEP_FALLBACK = 2,  /* runs only as a fallback */
};
enum ipcnet_reflex_on_timeout {
  IPCNET_REFLEX_CONTINUE = 0, /* goes on; the verdict is at best "cut" */
  IPCNET_REFLEX_FAIL = 1,     /* goes on; the verdict is "failed" */
  IPCNET_REFLEX_LAST = 2,     /* straight to the last rung; "failed" */
};

struct ipcnet_reflex_plan { /* 64 bytes */
  uint32_t name;
  uint16_t steps_first, steps_count; /* a contiguous run; a step belongs to one plan */
  uint32_t budget_us;    /* of the whole plan: then the last rung */
  uint32_t worst_us;     /* computed by whoever compiled it; ≤ budget_us */
  uint16_t last_first, last_count; /* sends of the last rung: need no acknowledgement and no brain. Sent when the budget is used up or a step says so. */
  uint8_t category;      /* IEC 60204-1: 0 off now, 1 parked, then off, 2 hold */
  uint8_t reserved[43];
};

/* Why a plan runs. The order of `kind` means nothing; `priority` is the total order: no two rows have the same. */
struct ipcnet_reflex_trigger { /* 32 bytes */
  uint32_t name;
  uint16_t plan;
  uint16_t subject;      /* node, message, bus or condition: by kind; NONE: any of them (not of conditions) */
  uint8_t kind;          /* enum ipcnet_reflex_trigger_kind */
  uint8_t priority;      /* a higher one pre-empts a running lower one; a lower one never cancels */
  uint8_t flags;         /* enum ipcnet_reflex_trigger_flags */
  uint8_t reserved8;
  uint32_t chip;         /* with PIN: text, the device of the GPIO chip, at most 63 characters */
  uint32_t line;         /* with PIN: the line's number on the chip, or a text, its name, at most 31 characters */
  uint32_t debounce_us;  /* with PIN: shorter pulses are none; at most a second */
  uint8_t reserved[8];
};
enum ipcnet_reflex_trigger_flags {
  IPCNET_REFLEX_TRIGGER_LATCHED = 1,     /* arming needs a reset */
  IPCNET_REFLEX_TRIGGER_WHILE_ARMED = 2, /* means nothing while not armed */
  IPCNET_REFLEX_TRIGGER_PIN = 4,         /* of ON_POWER_FAIL: a GPIO line says it, and without that line nothing is armed */
  IPCNET_REFLEX_TRIGGER_ACTIVE_LOW = 8,  /* the line is low when power fails */
  IPCNET_REFLEX_TRIGGER_NAMED = 16,      /* `line` is a text */
};
#define IPCNET_REFLEX_CHIP_BYTES 64u /* with the zero byte */
#define IPCNET_REFLEX_LINE_BYTES 32u
enum ipcnet_reflex_trigger_kind {
  IPCNET_REFLEX_ON_REQUEST,     /* ipcnet safe-pose; subject: category 0, 1, 2, one row each */
  IPCNET_REFLEX_ON_STOP,        /* service stop, Ctrl-C */
  IPCNET_REFLEX_ON_SHUTDOWN,    /* of the operating system */
  IPCNET_REFLEX_ON_CONDITION,   /* an emergency-stop frame and the like; subject: condition */
  IPCNET_REFLEX_ON_NODE_LOST,   /* subject: node */
  IPCNET_REFLEX_ON_EXPIRED,     /* subject: message */
  IPCNET_REFLEX_ON_BUS_DEAD,    /* subject: bus */
  IPCNET_REFLEX_ON_BRAIN_LOST,
  IPCNET_REFLEX_ON_TAKEOVER,    /* a successor that does not go on armed */
  IPCNET_REFLEX_ON_COMPROMISE,
  IPCNET_REFLEX_ON_POWER_FAIL,
  IPCNET_REFLEX_TRIGGER_KINDS
};

_Static_assert(sizeof(struct ipcnet_reflex_table_header) == 20 + 4 + 4 + 4 + 32 + 16 + 8 * IPCNET_REFLEX_SECTIONS, "layout.ts says so");
_Static_assert(sizeof(struct ipcnet_reflex_bus) == 64 && sizeof(struct ipcnet_reflex_e2e) == 24 && sizeof(struct ipcnet_reflex_message) == 96 &&
                   sizeof(struct ipcnet_reflex_check) == 32 && sizeof(struct ipcnet_reflex_watch) == 64 && sizeof(struct ipcnet_reflex_node) == 24 &&
                   sizeof(struct ipcnet_reflex_condition) == 48 && sizeof(struct ipcnet_reflex_send) == 8 && sizeof(struct ipcnet_reflex_step) == 64 &&
                   sizeof(struct ipcnet_reflex_plan) == 64 && sizeof(struct ipcnet_reflex_trigger) == 32,
               "layout.ts says so");

/* A table that was opened: pointers into the caller's bytes, which must stay as they are while it is used. */
struct ipcnet_reflex_table {
  const struct ipcnet_reflex_table_header *header;
  const struct ipcnet_reflex_bus *buses;
  const struct ipcnet_reflex_message *messages;
  const struct ipcnet_reflex_check *checks;
  const struct ipcnet_reflex_watch *watches;
  const struct ipcnet_reflex_node *nodes;
  const struct ipcnet_reflex_condition *conditions;
  const struct ipcnet_reflex_send *sends;
  const struct ipcnet_reflex_step *steps;
  const uint16_t *needs;
  const struct ipcnet_reflex_plan *plans;
  const struct ipcnet_reflex_trigger *triggers;
  const uint8_t *bytes;
  uint32_t bytes_length;
  uint32_t generation;
};

/* What is wrong with a table: which rule, in which section and row. */
struct ipcnet_reflex_table_fault {
  const char *code; /* stable, see below */
  uint32_t section, row;
};

/*
 * Checks everything: P07, versions, that sections lie within the bytes, aligned and without overlap, that every reference names a row, every field lies within
 * its frame, every time is in range, no two messages share bus and id, plans are graphs without circles whose fallbacks end, worst time is within budget (computed anew), priorities
 * are a total order. `bytes` at a multiple of 8. True: `self` may be used; false: `fault` says why, `self` is untouched.
 */
bool ipcnet_reflex_table_open(struct ipcnet_reflex_table *self, const void *bytes, size_t length, struct ipcnet_reflex_table_fault *fault);

/* Codes of faults: alignment, length, crc, magic, version, hash, flags, reserved, range, count, offset, overlap, text, reference, frame, field, e2e, duplicate, listenOnly, fallback, circle,
 * budget, order. */

/* A text of the table. */
const char *ipcnet_reflex_table_text(const struct ipcnet_reflex_table *self, uint32_t at);

/* The raw value of a field in a payload that is long enough for it: sign-extended if signed, IEEE numbers mapped to integers of the same order. */
int64_t ipcnet_reflex_field_get(struct ipcnet_reflex_field field, const uint8_t *payload);
/* Writes the lowest bits of `value`. */
void ipcnet_reflex_field_set(struct ipcnet_reflex_field field, uint8_t *payload, uint64_t value);
/* Unsigned with 64 bits: its raw values are compared as unsigned. */
bool ipcnet_reflex_field_is_u64(struct ipcnet_reflex_field field);
bool ipcnet_reflex_field_within(struct ipcnet_reflex_field field, const uint8_t *payload, int64_t raw_min, int64_t raw_max);

/* Whether all checks of `message` hold for a payload of its length. */
bool ipcnet_reflex_checks_hold(const struct ipcnet_reflex_table *self, const struct ipcnet_reflex_message *message, const uint8_t *payload);

uint32_t ipcnet_reflex_probe_id(const struct ipcnet_reflex_bus *bus);

#endif
