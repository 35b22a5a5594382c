/*
 * reflex: the whole of the bus process but for the system calls. Commands, received frames, ticks and orders go in; frames to send, records for the brain and
 * the journal come out through `struct ipcnet_reflex_os`. It reads no clock, opens nothing, waits for nothing, allocates nothing: the process (../process) and the
 * simulator (../../simulator) run the very same code.
 *
 * A frame is sent only if all of this holds, in this order (each refusal has its own counter and is reported with the command's token):
 *   we own the bus (reflex_twin) · armed · the bus is proven alive (bus_health) · the message is in the table and not for the pose alone · the table the command
 *   was made for is the one we have · length and every check of the message hold · its deadline has not passed, cut to the message's ttl · it is the newest of its kind
 *   · one frame of its kind in flight at a time · rate · load budget of the bus. Epoch, owner, E2E counter and CRC are filled in at the moment of sending.
 * Nothing is ever sent twice, and nothing that waited across a loss of ownership, a purge, a disarming or a takeover is sent at all.
 *
 * One thread. All times CLOCK_MONOTONIC µs.
 */
#ifndef IPCNET_REFLEX_H
#define IPCNET_REFLEX_H

#include "../../../drivers/can/core/bus_health.h"
#include "../../../drivers/can/core/ipcnet_can.h"
#include "reflex_plan.h"
#include "reflex_table.h"
#include "reflex_twin.h"

/* ---- What a brain sends ----------------------------------------------------------------------------------------------------------------- */

/* A command, as it stands in the command lane. The payload is not protected yet. 112 bytes. */
struct ipcnet_reflex_command {
  uint64_t deadline_us;
  uint64_t sequence;      /* of its brain; only rises: what is not newer than the last of the same brain's epoch is refused ("repeated") */
  uint32_t brain_epoch;   /* of the pair of brains: an older one is refused */
  uint32_t token;         /* comes back with the echo or the refusal */
  uint64_t table_hash;    /* first 8 bytes of the table's hash: another is refused */
  uint16_t message;       /* row */
  uint8_t length_bytes;
  uint8_t reserved[5];
  uint8_t data[64];
  uint64_t reserved64;
};
_Static_assert(sizeof(struct ipcnet_reflex_command) == 112, "client/records.ts says 112");

/* ---- What the reflex tells --------------------------------------------------------------------------------------------------------------- */

/* In the frame lane, batches of up to IPCNET_REFLEX_BATCH records of 88 bytes: struct ipcnet_can_frame as from a driver (received, echoes with token, error
 * frames), or, with flags IPCNET_REFLEX_REPORT, a report: can_id = enum ipcnet_reflex_report, token = the command's token or a number, data = what the report says. */
#define IPCNET_REFLEX_REPORT 0x80u
#define IPCNET_REFLEX_BATCH 45u /* 45 × 88 = 3,960 bytes: fits a slot of 4,032 */

enum ipcnet_reflex_report {
  IPCNET_REPORT_REFUSED,      /* data[0] enum ipcnet_reflex_refusal, data[2..3] message row */
  IPCNET_REPORT_SETTLED,      /* it left the queue without echo: data[0] 0 dropped, 1 purged */
  IPCNET_REPORT_STATE,        /* data: struct ipcnet_reflex_state_record */
  IPCNET_REPORT_BUS,          /* bus = which; data: state, phase, reason, cause (enum of bus_health), 4 bytes each */
  IPCNET_REPORT_LINK,         /* a link event: data: kind, a, b */
  IPCNET_REPORT_NODE,         /* token = node row; data[0] 0 unknown 1 alive 2 lost; data[1] CANopen state; data[2..3] epoch it reports, data[4] owner */
  IPCNET_REPORT_STEP,         /* token = step row; data[0] enum ipcnet_reflex_step_state; data[4..7] took_us */
  IPCNET_REPORT_VERDICT,      /* data: run id (8), verdict (1) */
  IPCNET_REPORT_CALL,         /* data: run id (8), step (2), call (2) */
  IPCNET_REPORT_ROLE,         /* data[0] enum ipcnet_twin_role, data[2..3] epoch */
};

enum ipcnet_reflex_refusal {
  IPCNET_REFUSED_NOT_OWNER = 1, IPCNET_REFUSED_NOT_ARMED, IPCNET_REFUSED_BUS, IPCNET_REFUSED_UNKNOWN, IPCNET_REFUSED_TABLE, IPCNET_REFUSED_LENGTH,
  IPCNET_REFUSED_RANGE, IPCNET_REFUSED_EXPIRED, IPCNET_REFUSED_SUPERSEDED, IPCNET_REFUSED_REPEATED, IPCNET_REFUSED_OLD_BRAIN, IPCNET_REFUSED_DROPPED,
  IPCNET_REFUSED_QUEUE_FULL, IPCNET_REFUSED_NOT_DISARMED /* care of nodes, in any other state */, IPCNET_REFUSALS
};

enum ipcnet_reflex_arming { IPCNET_DISARMED, IPCNET_ARMED, IPCNET_SAFE_POSE, IPCNET_POSED, IPCNET_FAULT };

struct ipcnet_reflex_state_record { /* 24 bytes */
  uint8_t arming;    /* enum ipcnet_reflex_arming */
  uint8_t role;      /* enum ipcnet_twin_role */
  uint8_t trigger_latched; /* 1: arming needs a reset */
  uint8_t malfunction;     /* enum ipcnet_reflex_malfunction; 0 none. Latched until restart. */
  uint16_t epoch, trigger, plan;
  uint16_t missing_count;  /* of reasons not to arm */
  uint32_t generation;     /* of the table */
  uint64_t since_us;
};

/* Why nothing can be armed; asked for with ORDER_MISSING. `subject`: node, bus or trigger. */
enum ipcnet_reflex_missing {
  IPCNET_MISSING_TABLE = 1, IPCNET_MISSING_OWNERSHIP, IPCNET_MISSING_BUS, IPCNET_MISSING_PURGE, IPCNET_MISSING_NODE, IPCNET_MISSING_NODE_EPOCH, IPCNET_MISSING_BRAIN,
  IPCNET_MISSING_RESET, IPCNET_MISSING_PLAN_RUNS, IPCNET_MISSING_MALFUNCTION, IPCNET_MISSING_FOREIGN_MASTER, IPCNET_MISSING_STEADY_CONDITION, /* the trigger's condition still holds */
  IPCNET_MISSING_POWER_LINE /* the power-fail line is not watched; subject: errno */
};
struct ipcnet_reflex_lack { uint16_t reason, subject; };
enum ipcnet_reflex_malfunction {
  IPCNET_MALFUNCTION_NONE, IPCNET_MALFUNCTION_FOREIGN_COMMAND, /* somebody else sends our ids with our epoch */
  IPCNET_MALFUNCTION_STORE,                                    /* the epoch cannot be kept */
  IPCNET_MALFUNCTION_SELF_TEST
};

/* ---- Orders, by the control socket ------------------------------------------------------------------------------------------------------- */

enum ipcnet_reflex_order {
  IPCNET_ORDER_ARM, IPCNET_ORDER_DISARM, IPCNET_ORDER_RESET, /* permits, never causes motion */
  IPCNET_ORDER_TRIGGER,   /* a = kind, b = subject (the category for ON_REQUEST) */
  IPCNET_ORDER_REARM_BUS, /* a = bus; answered by bus_health */
  IPCNET_ORDER_PURGE_BUS,
  IPCNET_ORDER_CALL_DONE, /* a = step, b = ok, c = run id */
  IPCNET_ORDER_BRAIN_BEAT,/* a = brain epoch */
  IPCNET_ORDER_BRAIN_GONE,
  IPCNET_ORDERS
};
enum ipcnet_reflex_answer { IPCNET_ANSWER_DONE, IPCNET_ANSWER_REFUSED /* see missing */, IPCNET_ANSWER_UNKNOWN };

/* ---- What the twins show each other ------------------------------------------------------------------------------------------------------- */

/*
 * Each twin's own page: a sealed memfd that it alone can write and the other maps read-only. The other believes none of it blindly: rows and enums are checked, images
 * carry a CRC, and what is nonsense counts as absent.
 */
#define IPCNET_REFLEX_PAGE_MAGIC 0x50524349u
#define IPCNET_REFLEX_PAGE_BYTES 32768u

/* Kept in two slots, written alternately, so that whoever dies while writing leaves the one before whole. On disk in the same form. */
struct ipcnet_reflex_image {
  uint32_t crc32c;       /* of all that follows */
  uint16_t arming, epoch;
  uint64_t sequence;     /* the higher of two valid ones counts */
  uint8_t boot_id[16];   /* times in `run` mean something only in the same boot */
  uint8_t trigger_latched, malfunction;
  uint16_t latched_trigger;
  uint32_t brain_epoch;
  struct ipcnet_reflex_run run; /* verdict NONE and plan ≠ NONE: unfinished */
};

enum ipcnet_goodbye { IPCNET_GOODBYE_NONE, IPCNET_GOODBYE_STOPPED /* in order */, IPCNET_GOODBYE_HANDS_OVER };

struct ipcnet_reflex_page {
  uint32_t magic;
  uint16_t major, minor;
  uint8_t boot_id[16];
  uint64_t pid_start;         /* start time of the process, from /proc: with the pid it is unique */
  uint32_t pid;
  uint32_t robust_word;       /* futex: our tid while we live; the kernel sets FUTEX_OWNER_DIED (process only) */
  uint64_t beat;              /* rises with every turn of the loop, at least once a millisecond */
  uint64_t beat_us;
  uint32_t role;
  uint32_t epoch;
  uint32_t goodbye;           /* enum ipcnet_goodbye: why it gave the lock back last; 0 while it has it */
  uint32_t table_generation;
  uint8_t table_hash[32];
  struct ipcnet_reflex_image images[2];
  uint8_t bus_phases[IPCNET_REFLEX_BUSES_MAX]; /* enum ipcnet_bus_phase: a successor trusts no bus that its predecessor did not */
  /* By message row; written before the frame is handed to the bus. */
  struct ipcnet_reflex_page_message {
    uint64_t deadline_us;  /* of the set-point in force; 0: none was sent since arming */
    uint64_t sequence;     /* of the newest command that was sent or refused for good: a successor sends none that is not newer */
    uint32_t brain_epoch;  /* of that command */
    uint32_t e2e_counter;  /* used last */
    uint32_t sent;         /* frames; 0: e2e_counter means nothing */
    uint32_t reserved;
  } messages[IPCNET_REFLEX_MESSAGES_MAX];
};
_Static_assert(sizeof(struct ipcnet_reflex_page) <= IPCNET_REFLEX_PAGE_BYTES, "fits");

/* ---- The outside -------------------------------------------------------------------------------------------------------------------------- */

struct ipcnet_reflex_os {
  void *context;
  /* Hands a frame to a bus, never waits. `time_us` is its deadline. Tokens are the core's own; probes carry IPCNET_CAN_PROBE_TOKEN. */
  enum ipcnet_can_verdict (*send)(void *context, uint8_t bus, const struct ipcnet_can_frame *frame);
  /* What bus_health wants: PURGE, RESTART_BUS (of the owner alone: they interrupt the bus for its twin too), REOPEN. Probes are sent by the core itself. */
  void (*bus_effect)(void *context, uint8_t bus, enum ipcnet_bus_effect_kind kind);
  /* A record for the brains' frame lane; kept until flush. */
  void (*record)(void *context, const struct ipcnet_can_frame *record);
  /* Keep the image: in the page at once (by the core, see `page`), on disk soon (another thread). */
  void (*journal)(void *context, const struct ipcnet_reflex_image *image);
  /* Effects of reflex_twin that need the system: KILL, STORE_EPOCH, RELEASE, TRY_LOCK, PUBLISH (a set of enum ipcnet_twin_effect). `epoch`: the one to store. Answers come as events. */
  void (*twin)(void *context, uint32_t effects, uint16_t epoch);
};

struct ipcnet_reflex_options {
  uint8_t instance;              /* 0 a, 1 b */
  bool alone;                    /* no twin is expected: the lock is enough */
  uint16_t stored_epoch;         /* highest that was ever kept here; 0 none */
  uint8_t boot_id[16];
  bool (*may_purge)(void *context, uint8_t bus); /* context of os */
  /* Of a table with a power-fail pin: 1 power fails, or failed since the last turn; 0 it does not; negative errno: the line is not watched. NULL: there is none that could be. Context of os. */
  int (*power_line)(void *context);
};

struct ipcnet_reflex; /* about 240 KiB, given by the caller: ipcnet_reflex_size() bytes, aligned to 64 */
size_t ipcnet_reflex_size(void);

/* `page` is our own, writable (a plain struct in the simulator). */
void ipcnet_reflex_init(struct ipcnet_reflex *self, const struct ipcnet_reflex_options *options, const struct ipcnet_reflex_os *os, struct ipcnet_reflex_page *page, uint64_t now_us);

/* A new table: only while nothing is armed and no plan runs (false, code "busy"), checked completely. The bytes stay the caller's and must outlive it. */
bool ipcnet_reflex_load_table(struct ipcnet_reflex *self, const void *bytes, size_t length, uint64_t now_us, struct ipcnet_reflex_table_fault *fault);
const struct ipcnet_reflex_table *ipcnet_reflex_loaded_table(const struct ipcnet_reflex *self);

/* At start, before any brain: an image from disk. An unfinished run is finished first, as soon as we own the bus. */
void ipcnet_reflex_restore(struct ipcnet_reflex *self, const struct ipcnet_reflex_image *image, uint64_t now_us);

/* Received frames, echoes (confirmed: tokens are in) and error frames of one bus, in order. */
void ipcnet_reflex_frames(struct ipcnet_reflex *self, uint8_t bus, const struct ipcnet_can_frame *frames, size_t count, uint64_t now_us);
/* What happened to a bus's link. Of IPCNET_LINK_UP `b` is set by the process: 1, the link gives no echoes. */
void ipcnet_reflex_link(struct ipcnet_reflex *self, uint8_t bus, const struct ipcnet_can_link_event *event, const struct ipcnet_can_link *link, uint64_t now_us);
/* A command out of the lane: `bytes` of any length, from a process that may lie. */
void ipcnet_reflex_command(struct ipcnet_reflex *self, const void *bytes, size_t length, uint64_t now_us);
enum ipcnet_reflex_answer ipcnet_reflex_order(struct ipcnet_reflex *self, enum ipcnet_reflex_order order, uint32_t a, uint32_t b, uint64_t c, uint64_t now_us);
/* What stands between now and armed: up to `max` pairs of reason and subject. Returns how many there are. */
size_t ipcnet_reflex_missing(struct ipcnet_reflex *self, uint64_t now_us, struct ipcnet_reflex_lack *to, size_t max);

/* Facts about the twin and answers to effects; may be called from within os->twin. For TAKE_OVER the other's page is read through `other` (NULL: none was ever seen), which
 * must stay readable until the role is neither FENCING nor CLAIMING. The core itself raises CLAIM_SENT, CLAIM_CONFIRMED, CLAIM_EXPIRED, HIGHER_EPOCH, SELF_FENCED, OTHER_HOST_SILENT, and
 * STOP_ASKED for a latched malfunction. */
void ipcnet_reflex_twin_event(struct ipcnet_reflex *self, enum ipcnet_twin_event event, const struct ipcnet_reflex_page *other, uint64_t now_us);

/* At least once a millisecond, and at the next deadline. Beats, sends what is due, judges nodes and set-points, turns plan and buses' health. */
void ipcnet_reflex_tick(struct ipcnet_reflex *self, uint64_t now_us);
uint64_t ipcnet_reflex_next_deadline_us(const struct ipcnet_reflex *self);

/* Two hosts: asks the other one to take over. We go on until we hear its claim (role OUTVOTED then); if none comes nothing has changed. False: not the owner, or no bus that another host is on. */
bool ipcnet_reflex_hand_over(struct ipcnet_reflex *self, uint64_t now_us);
/* The newest epoch heard of others: whoever keeps epochs ahead of their use must be beyond it. */
uint16_t ipcnet_reflex_heard_epoch(const struct ipcnet_reflex *self);
/* Of the brains that were obeyed here, or by whoever left what will be taken up: whoever commands needs one that is not older. */
uint32_t ipcnet_reflex_brain_epoch(const struct ipcnet_reflex *self);

/* Also looks at what is missing for arming, and asks the system for it: not for every turn. */
void ipcnet_reflex_state(const struct ipcnet_reflex *self, struct ipcnet_reflex_state_record *to);
enum ipcnet_twin_role ipcnet_reflex_role(const struct ipcnet_reflex *self);
/* Whether the hardware watchdog may be fed: healthy, or safely posed. */
bool ipcnet_reflex_healthy(const struct ipcnet_reflex *self, uint64_t now_us);

struct ipcnet_reflex_counters {
  uint64_t sent_frames, echoed_frames, refused[IPCNET_REFUSALS], received_frames, rejected_frames /* E2E, length */, foreign_frames, reports_lost,
      set_points_expired, plans_run, plans_resumed, takeovers, claims_sent, higher_epochs_heard, stale_claims_heard;
};
const struct ipcnet_reflex_counters *ipcnet_reflex_counters(const struct ipcnet_reflex *self);

/* ---- CLAIM frames (docs/specs/claim.md; the node's side: drivers/nodekit) -------------------------------------------------------------------- */

enum ipcnet_claim_kind { IPCNET_CLAIM = 0, IPCNET_BEAT = 1, IPCNET_HANDOVER = 2, IPCNET_SPLIT_PROBE = 3, IPCNET_RELEASE = 4 };

#endif
