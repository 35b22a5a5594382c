/*
 * reflex_internal: what the files of the core share. Nobody else includes it.
 *
 *   reflex.c          entry points, roles, the turn of the loop
 *   reflex_gate.c     commands: the refusals, the slots, rate and load, the moment of sending
 *   reflex_watch.c    received frames: measured values, conditions, nodes, strangers who use our identifiers
 *   reflex_arming.c   arming, triggers, orders, what is missing
 *   reflex_claim.c    CLAIM frames of ours and of others
 *   reflex_time.c     the time, told to nodes
 *   reflex_bus.c      bus_health of each bus and what it wants
 *   reflex_image.c    images, our page, what is taken over from another's
 *   reflex_protect.c  E2E rows;  reflex_field.c  values in frames;  reflex_table.c  the table
 */
#ifndef IPCNET_REFLEX_INTERNAL_H
#define IPCNET_REFLEX_INTERNAL_H

#include "reflex.h"
#include "reflex_protect.h"

/* ---- Limits ------------------------------------------------------------------------------------------------------------------------------ */

#define FOREIGN_MASTER_US 1000000u     /* a stranger who used our identifiers keeps us from arming for so long */
#define SPLIT_PROBE_PERIOD_US 1000000u /* claim.md */
#define CLAIM_CONFIRM_US 5000u         /* claim.md: nodes report within 5 ms; longer where their witness is slower (self_fence_us) */
#define CLAIM_SLOT_US 2000u            /* × rank */
#define BEATS_MISSED 3u
#define OUTVOTED_REST_US 1000000u      /* heard of only through the nodes: they forget their owner after claimTimeoutMs, 500 by default */
#define BUDGET_BURST_US 20000u         /* how much of the allowed load may go out at once after a pause */
#define BUDGET_BITS_MIN 800u           /* one longest frame, or a slow bus could never send it */
#define LATE_TURN_US 100000u           /* a loop that did not turn for so long is not healthy */

#define INDEX_SLOTS 2048u /* power of two, ≥ twice the rows of a section */
_Static_assert(INDEX_SLOTS >= 2 * IPCNET_REFLEX_MESSAGES_MAX && INDEX_SLOTS >= 2 * IPCNET_REFLEX_WATCHES_MAX, "half empty");

/* ---- Tokens: the core's own; a brain's token comes back with the record ------------------------------------------------------------------- */

#define TOKEN_ROW_BITS 10u
#define TOKEN_CLAIM 1023u /* instead of a row */
#define TOKEN_TIME 1022u
_Static_assert(IPCNET_REFLEX_MESSAGES_MAX < TOKEN_TIME, "rows fit");

/* ---- State ------------------------------------------------------------------------------------------------------------------------------- */

struct message_state {
  /* The newest command, waiting to be sent. */
  bool waiting;
  uint32_t token, brain_epoch;
  uint64_t deadline_us, sequence;
  uint8_t data[64];
  /* The frame on its way. */
  bool in_flight;
  uint32_t in_flight_token, in_flight_brain_token;
  uint64_t in_flight_key, in_flight_since_us;
  uint8_t in_flight_data[64];
  /* Frames whose echo never came: a link that is opened anew may still carry them, and then they look like another's. A command, and the pose's that overtook it. */
  struct { bool there; uint8_t data[64]; } lost[2];
  uint64_t next_allowed_us;
  uint64_t set_point_us; /* until when the value last sent by command holds; 0: none since arming */
  uint64_t others_us;    /* the owner on another host last sent one */
  uint32_t e2e_counter, sent;
};

struct watch_state {
  uint64_t seen_us;
  bool seen;
  uint16_t first_condition, first_node;
  uint8_t data[64];
  ipcnet_e2e_receiver receiver;
};

struct condition_state {
  uint64_t since_us; /* within its limits, without a gap */
  bool within;
  uint16_t next; /* of the same watch */
};

enum { NODE_UNKNOWN, NODE_ALIVE, NODE_LOST };

/* Who owned the buses until just now: nobody on this host; the twin, which died or hands over; ourselves, who found nobody to take them. */
enum { IPCNET_HEIR_OF_NOBODY, IPCNET_HEIR_OF_TWIN, IPCNET_HEIR_OF_ITSELF };

struct node_state {
  uint8_t life, canopen_state, owner;
  uint16_t epoch; /* as far as its field has bits */
  uint16_t next;  /* of the same watch */
  uint64_t witness_us; /* it last reported our epoch */
};

struct bus_state {
  struct ipcnet_bus_health health;
  struct ipcnet_can_link link;
  bool owned;      /* health is stepped; else only the link is remembered */
  bool mending;    /* not owned, and health is stepped all the same: outvoted, and the controller had given up the bus */
  bool link_up, confirms, sends /* has messages or a claim id */;
  uint8_t probe_flags; /* IPCNET_CAN_FD, _BRS where its commands are such frames: who cannot read those acknowledges classic ones all the same, and would prove nothing */
  bool purge_owed; /* outvoted with something on its way that has not been emptied yet */
  uint64_t purge_again_us;
  uint32_t stale_frames;
  uint64_t budget_microbits, budget_us;
  uint16_t first_in_line; /* a message that waits for load */
  /* Our claims. */
  bool claimed, claim_in_flight;
  uint8_t claim_counter;
  uint64_t claimed_us, claim_in_flight_us, beat_due_us, probe_due_us;
  uint64_t witness_us; /* a node last reported our epoch */
  /* Others' claims, by owner. */
  struct { bool heard, armed; uint8_t counter; uint16_t epoch; uint64_t heard_us; } others[4];
  uint64_t foreign_until_us; /* a stranger used our identifiers lately */
  /* The time we tell. `time_token`: of the SYNC whose echo is awaited; 0 none. */
  uint8_t time_counter;
  uint32_t time_token, time_high;
  uint64_t time_due_us, time_sent_us;
};

struct ipcnet_reflex_index { uint16_t slots[INDEX_SLOTS]; };

struct ipcnet_reflex {
  struct ipcnet_reflex_options options;
  struct ipcnet_reflex_os os;
  struct ipcnet_reflex_page *page;
  struct ipcnet_reflex_plan_os plan_os;
  struct ipcnet_reflex_plan_runner plan;
  struct ipcnet_reflex_counters counters;
  struct ipcnet_reflex_table table;
  bool has_table;
  uint64_t now_us, turned_us;

  /* Roles. */
  enum ipcnet_twin_role role;
  uint16_t epoch, proposed_epoch, stored_epoch, heard_epoch;
  const struct ipcnet_reflex_page *other;
  uint8_t events[IPCNET_TWIN_EVENTS]; /* each waits once at most */
  uint32_t events_first, events_count;
  bool stepping;
  bool claim_listening, claim_wanted; /* CLAIMING: two hosts first listen; the claims are not all out yet */
  bool claim_partial;     /* not every group confirmed it */
  bool claim_inherited;   /* of two hosts: a predecessor on this one owned until now */
  uint64_t deaf_us;       /* two hosts: when we were last cut off, no node having been heard for as long as the lease */
  uint64_t claim_since_us, outvoted_us, silence_us /* when the other host was found silent, or handed over to us */;
  uint8_t heir_of;        /* see look_back */
  uint8_t left_phases[IPCNET_REFLEX_BUSES_MAX];
  bool adopt_wanted;      /* owner, but what the one before left was not looked at yet: no table */


  /* Arming. */
  uint8_t arming, malfunction;
  bool trigger_latched, stop_after_run;
  uint16_t latched_trigger;
  uint64_t arming_since_us;
  uint32_t run_count;
  bool condition_fired[IPCNET_REFLEX_TRIGGERS_MAX];

  /* Brains. */
  uint32_t brain_epoch;
  uint64_t brain_sequence, brain_heard_us;
  uint64_t brain_excused_us; /* armed by taking over: the brain may not have noticed yet. A reason not to give it up, none to arm */
  bool brain_there, brain_sequence_known;

  /* The image that was kept last. */
  struct ipcnet_reflex_image image;
  uint64_t image_sequence;
  struct ipcnet_reflex_image restored;
  bool has_restored;

  uint32_t next_serial;
  struct bus_state buses[IPCNET_REFLEX_BUSES_MAX];
  struct message_state messages[IPCNET_REFLEX_MESSAGES_MAX];
  struct watch_state watches[IPCNET_REFLEX_WATCHES_MAX];
  struct condition_state conditions[IPCNET_REFLEX_CONDITIONS_MAX];
  struct node_state nodes[IPCNET_REFLEX_NODES_MAX];
  struct ipcnet_reflex_index message_index, watch_index;
};

static inline uint32_t ipcnet_reflex_rows(const struct ipcnet_reflex *self, enum ipcnet_reflex_section section) {
  return self->has_table ? self->table.header->sections[section].count : 0;
}

/* ---- reflex.c ---------------------------------------------------------------------------------------------------------------------------- */

/* Time never goes back. */
void ipcnet_reflex_pass_time(struct ipcnet_reflex *self, uint64_t now_us);
uint8_t ipcnet_reflex_owner_number(const struct ipcnet_reflex *self, uint8_t bus);
/* Queues an event of the twin's machine; it is taken up before the entry point returns. */
void ipcnet_reflex_raise(struct ipcnet_reflex *self, enum ipcnet_twin_event event);
void ipcnet_reflex_report(struct ipcnet_reflex *self, enum ipcnet_reflex_report kind, uint16_t bus, uint32_t token, const void *data, uint8_t length_bytes);
uint32_t ipcnet_reflex_next_token(struct ipcnet_reflex *self, uint32_t row);
/* Within a tick all that had arrived has been read: only there is judged what did not arrive. */
static inline bool ipcnet_reflex_in_tick(const struct ipcnet_reflex *self) {
  return self->now_us == self->turned_us;
}
/* What every entry point ends with: roles, then what waits. */
void ipcnet_reflex_settle(struct ipcnet_reflex *self);

/* ---- reflex_gate.c ----------------------------------------------------------------------------------------------------------------------- */

void ipcnet_reflex_gate_load(struct ipcnet_reflex *self, const struct ipcnet_reflex_table *before, const struct ipcnet_reflex_index *index_before);
/* Sends what waits and may be sent. */
void ipcnet_reflex_gate_turn(struct ipcnet_reflex *self);
uint64_t ipcnet_reflex_gate_next_us(const struct ipcnet_reflex *self);
/* Forgets what waits: of one bus, or of all (IPCNET_REFLEX_BUSES_MAX). Set-points are forgotten with `set_points`. */
void ipcnet_reflex_gate_drop(struct ipcnet_reflex *self, uint32_t bus, bool set_points);
/* A frame of this kind that is byte for byte one of ours whose echo never came; each is known once. */
bool ipcnet_reflex_gate_lost(struct ipcnet_reflex *self, uint16_t row, const uint8_t *data);
/* Of a bus: its frames in flight have left the queue; `how` as in IPCNET_REPORT_SETTLED. */
void ipcnet_reflex_gate_settle(struct ipcnet_reflex *self, uint32_t bus, uint8_t how);
/* One frame left the queue unsent. False: none of ours. */
bool ipcnet_reflex_gate_dropped(struct ipcnet_reflex *self, uint32_t bus, uint64_t key);
/* One of our frames came back; its token becomes the brain's. */
void ipcnet_reflex_gate_echo(struct ipcnet_reflex *self, struct ipcnet_can_frame *frame);
/* A frame of the plan; false: not taken. */
bool ipcnet_reflex_gate_pose(struct ipcnet_reflex *self, const struct ipcnet_reflex_send *send);
/* The row of a message (or a watch) by what stands in its frames; or NONE. */
void ipcnet_reflex_index_build(struct ipcnet_reflex_index *index, const struct ipcnet_reflex_table *table, bool watches);
uint16_t ipcnet_reflex_index_find(const struct ipcnet_reflex_index *index, const struct ipcnet_reflex_table *table, bool watches, uint8_t bus, uint32_t can_id, bool extended);

/* ---- reflex_watch.c ---------------------------------------------------------------------------------------------------------------------- */

void ipcnet_reflex_watch_load(struct ipcnet_reflex *self);
/* `frame` is no longer than a frame can be. */
void ipcnet_reflex_watch_frame(struct ipcnet_reflex *self, uint8_t bus, const struct ipcnet_can_frame *frame);
/* Heard, operational where it must be, and not longer ago than its timeout: as of now, whether or not a turn has noticed yet. */
bool ipcnet_reflex_watch_alive(const struct ipcnet_reflex *self, uint16_t node);
/* Armed on the word of the owner before us. */
void ipcnet_reflex_watch_adopt(struct ipcnet_reflex *self);
/* Nodes whose time has run out. */
void ipcnet_reflex_watch_turn(struct ipcnet_reflex *self);
uint64_t ipcnet_reflex_watch_next_us(const struct ipcnet_reflex *self);
bool ipcnet_reflex_watch_holds(const struct ipcnet_reflex *self, uint16_t condition, uint64_t now_us);
uint64_t ipcnet_reflex_watch_holds_at_us(const struct ipcnet_reflex *self, uint16_t condition, uint64_t now_us);
/* Whether a node that reports epochs reports ours. */
bool ipcnet_reflex_watch_follows(const struct ipcnet_reflex *self, uint16_t node);

/* ---- reflex_arming.c --------------------------------------------------------------------------------------------------------------------- */

/* Fires the trigger of that kind and subject. While armed and there is none: disarms, if `or_disarm`. */
void ipcnet_reflex_fire(struct ipcnet_reflex *self, enum ipcnet_reflex_trigger_kind kind, uint16_t subject, bool or_disarm);
void ipcnet_reflex_fire_row(struct ipcnet_reflex *self, uint16_t trigger, bool was_armed);
void ipcnet_reflex_set_arming(struct ipcnet_reflex *self, enum ipcnet_reflex_arming to);
void ipcnet_reflex_tell_state(struct ipcnet_reflex *self);
void ipcnet_reflex_tell_verdict(struct ipcnet_reflex *self);
void ipcnet_reflex_malfunctions(struct ipcnet_reflex *self, enum ipcnet_reflex_malfunction why);
/* Conditions, set-points, the brain's silence, the run. */
void ipcnet_reflex_arming_turn(struct ipcnet_reflex *self);
uint64_t ipcnet_reflex_arming_next_us(const struct ipcnet_reflex *self);
/* Whether somebody else's being armed could be gone on with here: the table allows it, a brain is there, nothing is latched. */
bool ipcnet_reflex_may_go_on(const struct ipcnet_reflex *self);
uint16_t ipcnet_reflex_find_trigger(const struct ipcnet_reflex *self, enum ipcnet_reflex_trigger_kind kind, uint16_t subject);

/* ---- reflex_claim.c ---------------------------------------------------------------------------------------------------------------------- */

/* DO_SEND_CLAIM. */
void ipcnet_reflex_claim_begin(struct ipcnet_reflex *self);
void ipcnet_reflex_claim_turn(struct ipcnet_reflex *self);
uint64_t ipcnet_reflex_claim_next_us(const struct ipcnet_reflex *self);
/* RELEASE or HANDOVER on every bus: the last frames before silence. */
void ipcnet_reflex_claim_farewell(struct ipcnet_reflex *self, enum ipcnet_claim_kind kind);
/* Whether the frame was somebody's claim. */
bool ipcnet_reflex_claim_frame(struct ipcnet_reflex *self, uint8_t bus, const struct ipcnet_can_frame *frame);
void ipcnet_reflex_claim_echo(struct ipcnet_reflex *self, uint8_t bus);
/* What a node has just reported about whom it follows. */
void ipcnet_reflex_claim_witness(struct ipcnet_reflex *self, uint16_t node);
bool ipcnet_reflex_shared(const struct ipcnet_reflex *self);
/* Owner, and a bus that another host is on has shown no sign for too long that nodes follow us: nothing may be sent. */
bool ipcnet_reflex_lease_over(const struct ipcnet_reflex *self);
/* Another host, whose epoch is newer than `epoch`, owned the bus until just now and was armed. */
bool ipcnet_reflex_other_host_armed(const struct ipcnet_reflex *self, uint16_t epoch);

/* ---- reflex_time.c ----------------------------------------------------------------------------------------------------------------------- */

/* Sends what is due, while owner. */
void ipcnet_reflex_time_turn(struct ipcnet_reflex *self);
uint64_t ipcnet_reflex_time_next_us(const struct ipcnet_reflex *self);
/* An echo: if it is that of the SYNC that is awaited, the FOLLOW_UP says when it was on the bus. */
void ipcnet_reflex_time_echo(struct ipcnet_reflex *self, uint8_t bus, const struct ipcnet_can_frame *frame);

/* ---- reflex_bus.c ------------------------------------------------------------------------------------------------------------------------ */

void ipcnet_reflex_bus_load(struct ipcnet_reflex *self);
void ipcnet_reflex_bus_own(struct ipcnet_reflex *self, uint32_t bus, bool trusted);
void ipcnet_reflex_bus_park(struct ipcnet_reflex *self, uint32_t bus, bool purge); /* purge: what of it is still on its way, if the bus is trusted */
/* What bus_health is told of a bus that is ours: an event that says all by itself, one with a number, an error frame. */
void ipcnet_reflex_bus_note(struct ipcnet_reflex *self, uint32_t bus, enum ipcnet_bus_event_kind kind);
void ipcnet_reflex_bus_step(struct ipcnet_reflex *self, uint32_t bus, enum ipcnet_bus_event_kind kind, uint32_t a);
void ipcnet_reflex_bus_error(struct ipcnet_reflex *self, uint32_t bus, const struct ipcnet_can_frame *frame);
/* The link may carry frames now: trusted, or asked and answered. */
bool ipcnet_reflex_bus_reachable(const struct ipcnet_reflex *self, uint32_t bus);
/* Trusted with commands, and ours. */
bool ipcnet_reflex_bus_open(const struct ipcnet_reflex *self, uint32_t bus);
/* Hands over and tells bus_health. */
enum ipcnet_can_verdict ipcnet_reflex_bus_send(struct ipcnet_reflex *self, uint32_t bus, const struct ipcnet_can_frame *frame);
/* Takes bits of the allowed load; false: not as many are there. */
bool ipcnet_reflex_bus_take(struct ipcnet_reflex *self, uint32_t bus, uint32_t bits);
uint64_t ipcnet_reflex_bus_take_at_us(const struct ipcnet_reflex *self, uint32_t bus, uint32_t bits);
void ipcnet_reflex_bus_turn(struct ipcnet_reflex *self);
uint64_t ipcnet_reflex_bus_next_us(const struct ipcnet_reflex *self);

/* ---- reflex_image.c ---------------------------------------------------------------------------------------------------------------------- */

/* Keeps what is true now, in the page and by os->journal. */
void ipcnet_reflex_keep(struct ipcnet_reflex *self);
bool ipcnet_reflex_image_valid(const struct ipcnet_reflex_image *image);
/* TAKE_OVER: from the better of the other's page and what we kept ourselves. */
void ipcnet_reflex_adopt(struct ipcnet_reflex *self);
bool ipcnet_reflex_page_valid(const struct ipcnet_reflex *self, const struct ipcnet_reflex_page *page);
/* Before we claim, and before our role says so: whose buses they were until just now, on this host, and which of them were trusted. */
void ipcnet_reflex_look_back(struct ipcnet_reflex *self);
/* Whether the owner before us trusted this bus; true where nobody says otherwise. */
bool ipcnet_reflex_was_trusted(const struct ipcnet_reflex *self, uint32_t bus);

#endif
