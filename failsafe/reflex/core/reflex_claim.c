#include <string.h>

#include "reflex_internal.h"

/* docs/specs/claim.md has the frame and the rules. */

#define CLAIM_BYTES 8u
#define CLAIM_VERSION 1u
#define ARMED_FLAG 1u
#define WITNESS_BITS_MIN 8u /* of fewer bits "newer" means too little to give up the bus for it */
#define AGAIN_US 100u

static const ipcnet_e2e_config CLAIM_E2E = {.data_id = 0xC1A1};

static bool claims_on(const struct ipcnet_reflex *self, uint32_t number) {
  return self->table.buses[number].claim_id != IPCNET_REFLEX_NO_CLAIM_ID;
}

static bool shared_on(const struct ipcnet_reflex *self, uint32_t number) {
  return self->table.buses[number].self_fence_us != 0;
}

bool ipcnet_reflex_shared(const struct ipcnet_reflex *self) {
  for (uint32_t number = 0; number < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); number++) {
    if (shared_on(self, number)) return true;
  }
  return false;
}

/* ---- Ours ------------------------------------------------------------------------------------------------------------------------------- */

static uint8_t claim_flags(const struct ipcnet_reflex *self, uint32_t number) {
  return self->table.buses[number].flags & IPCNET_REFLEX_BUS_CLAIM_EXTENDED ? IPCNET_CAN_EXTENDED : 0;
}

static bool send_claim(struct ipcnet_reflex *self, uint32_t number, enum ipcnet_claim_kind kind, uint8_t last_byte) {
  struct bus_state *bus = &self->buses[number];
  uint8_t owner = ipcnet_reflex_owner_number(self, (uint8_t)number);
  struct ipcnet_can_frame frame = {.time_us = (double)(self->now_us + self->table.header->beat_period_us),
                                   .can_id = self->table.buses[number].claim_id | owner,
                                   .flags = claim_flags(self, number),
                                   .length_bytes = CLAIM_BYTES,
                                   .bus = (uint16_t)number,
                                   .token = ipcnet_reflex_next_token(self, TOKEN_CLAIM)};
  frame.data[3] = (uint8_t)(CLAIM_VERSION << 4 | (uint32_t)kind);
  frame.data[4] = (uint8_t)self->epoch;
  frame.data[5] = (uint8_t)(self->epoch >> 8);
  frame.data[6] = owner;
  frame.data[7] = last_byte;
  bus->claim_counter++;
  ipcnet_e2e_p05_protect(&CLAIM_E2E, frame.data, CLAIM_BYTES, bus->claim_counter);
  if (ipcnet_reflex_bus_send(self, number, &frame) != IPCNET_CAN_QUEUED) return false;
  self->counters.claims_sent++;
  bus->claim_in_flight = bus->confirms;
  bus->claim_in_flight_us = self->now_us;
  return true;
}

static uint8_t armed_flag(const struct ipcnet_reflex *self) {
  return self->arming == IPCNET_ARMED ? ARMED_FLAG : 0;
}

/* The first frame on a bus, after which commands may follow. */
static void claim(struct ipcnet_reflex *self, uint32_t number) {
  struct bus_state *bus = &self->buses[number];
  if (bus->claimed || !claims_on(self, number) || !ipcnet_reflex_bus_reachable(self, number)) return;
  if (!send_claim(self, number, IPCNET_CLAIM, armed_flag(self))) return;
  bus->claimed = true;
  bus->claimed_us = self->now_us;
  bus->beat_due_us = self->now_us + self->table.header->beat_period_us;
  bus->probe_due_us = self->now_us + SPLIT_PROBE_PERIOD_US;
}

static void beat(struct ipcnet_reflex *self, uint32_t number) {
  struct bus_state *bus = &self->buses[number];
  if (!bus->claimed || self->now_us < bus->beat_due_us || !ipcnet_reflex_bus_reachable(self, number)) return;
  /* From the schedule while it is kept: lateness of the loop must not stretch the period. */
  uint64_t period_us = self->table.header->beat_period_us;
  bus->beat_due_us = bus->beat_due_us + period_us > self->now_us + period_us / 2 ? bus->beat_due_us + period_us : self->now_us + period_us / 2;
  if (bus->claim_in_flight && self->now_us - bus->claim_in_flight_us < 2 * ipcnet_bus_health_echo_patience_us(&bus->health)) return; /* one of them in the queue is enough */
  bool probe = shared_on(self, number) && self->now_us >= bus->probe_due_us;
  if (probe) bus->probe_due_us = self->now_us + SPLIT_PROBE_PERIOD_US;
  send_claim(self, number, probe ? IPCNET_SPLIT_PROBE : IPCNET_BEAT, armed_flag(self));
}

void ipcnet_reflex_claim_farewell(struct ipcnet_reflex *self, enum ipcnet_claim_kind kind) {
  for (uint32_t number = 0; number < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); number++) {
    if (!self->buses[number].claimed || !ipcnet_reflex_bus_reachable(self, number)) continue;
    uint8_t successor = (uint8_t)(ipcnet_reflex_owner_number(self, (uint8_t)number) ^ 1u);
    send_claim(self, number, kind, kind == IPCNET_HANDOVER ? successor : armed_flag(self));
  }
}

/* ---- Becoming owner --------------------------------------------------------------------------------------------------------------------- */

static uint64_t quiet_needed_us(const struct ipcnet_reflex *self, uint32_t number) {
  return (uint64_t)BEATS_MISSED * self->table.header->beat_period_us + (uint64_t)CLAIM_SLOT_US * self->table.buses[number].host;
}

static bool from_other_host(const struct ipcnet_reflex *self, uint32_t number, uint32_t owner) {
  return owner >> 1 != self->table.buses[number].host;
}

/* When the other host's owner was last heard on any bus; 0: never, or it said goodbye. */
static uint64_t other_host_heard_us(const struct ipcnet_reflex *self) {
  uint64_t latest = 0;
  for (uint32_t number = 0; number < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); number++) {
    for (uint32_t owner = 0; owner < 4; owner++) {
      bool counts = self->buses[number].others[owner].heard && from_other_host(self, number, owner);
      if (counts && self->buses[number].others[owner].heard_us > latest) latest = self->buses[number].others[owner].heard_us;
    }
  }
  return latest;
}

static uint64_t longest_quiet_us(const struct ipcnet_reflex *self) {
  uint64_t longest_us = 0;
  for (uint32_t number = 0; number < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); number++) {
    if (shared_on(self, number) && quiet_needed_us(self, number) > longest_us) longest_us = quiet_needed_us(self, number);
  }
  return longest_us;
}

/* Since `since_us`, or since we hear nodes again: three beats of an owner who is there would have been heard. */
static uint64_t listened_enough_us(const struct ipcnet_reflex *self, uint64_t since_us) {
  return (self->deaf_us > since_us ? self->deaf_us : since_us) + longest_quiet_us(self);
}

/* Nodes were heard, but none lately: our cable is cut. Who never heard one is not cut off by that: it asks by its claim. */
static bool cut_off(const struct ipcnet_reflex *self) {
  bool heard = false;
  for (uint16_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_NODES); row++) {
    const struct watch_state *watch = &self->watches[self->table.nodes[row].watch];
    uint32_t bus = self->table.nodes[row].bus;
    if (self->table.watches[self->table.nodes[row].watch].epoch.bits == 0 || !shared_on(self, bus) || !watch->seen) continue;
    if (self->now_us <= watch->seen_us + self->table.buses[bus].self_fence_us) return false;
    heard = true;
  }
  return heard;
}

/*
 * A predecessor on this host owned the bus until now: then nobody else has to be asked. Not if we are cut off, nor if somebody was newer than it: then its lease was over before we came, whatever its page says
 * (it may have stood still), and who works is left alone.
 */
static bool inherits(const struct ipcnet_reflex *self) {
  if (self->heir_of != IPCNET_HEIR_OF_TWIN) return false;
  return !cut_off(self) && !ipcnet_epoch_newer(self->heard_epoch, (uint16_t)self->other->epoch);
}

void ipcnet_reflex_claim_begin(struct ipcnet_reflex *self) {
  self->claim_wanted = true;
  self->claim_since_us = self->now_us;
  /* To the silence of the other host is not listened twice. */
  bool listened = self->silence_us != 0 && self->now_us - self->silence_us <= self->table.header->beat_period_us;
  self->claim_inherited = inherits(self);
  self->claim_listening = ipcnet_reflex_shared(self) && !self->claim_inherited && !listened;
  self->silence_us = 0;
  for (uint32_t number = 0; number < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); number++) ipcnet_reflex_bus_own(self, number, ipcnet_reflex_was_trusted(self, number));
}

static uint64_t confirmation_ends_us(const struct ipcnet_reflex *self) {
  uint64_t patience_us = CLAIM_CONFIRM_US;
  for (uint32_t number = 0; number < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); number++) {
    if (self->table.buses[number].self_fence_us > patience_us) patience_us = self->table.buses[number].self_fence_us;
  }
  return self->claim_since_us + patience_us;
}

/* NOBODY: on a shared bus no node has reported our epoch. SOME: not of every group. ENOUGH: one of each group. ALL: all that are heard. */
enum confirmation { NOBODY, SOME, ENOUGH, ALL };

static enum confirmation confirmation(const struct ipcnet_reflex *self) {
  bool there[UINT8_MAX + 1] = {false}, asked[UINT8_MAX + 1] = {false}, all = true;
  for (uint32_t number = 0; number < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); number++) {
    const struct bus_state *bus = &self->buses[number];
    if (shared_on(self, number) && (!bus->claimed || bus->witness_us < bus->claimed_us)) return NOBODY;
  }
  for (uint16_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_NODES); row++) {
    const struct ipcnet_reflex_node *node = &self->table.nodes[row];
    if (self->table.watches[node->watch].epoch.bits == 0 || !shared_on(self, node->bus)) continue;
    bool reported = ipcnet_reflex_watch_follows(self, row) && self->nodes[row].witness_us >= self->buses[node->bus].claimed_us;
    asked[node->group] = true;
    if (reported) there[node->group] = true;
    else if (self->nodes[row].life == NODE_ALIVE) all = false;
  }
  for (uint32_t group = 1; group <= UINT8_MAX; group++) {
    if (asked[group] && !there[group]) return SOME;
  }
  return all ? ALL : ENOUGH;
}

/* All at once, as soon as all have reported; at the end of their time one of each group is enough, and some are to be brought to rest. */
static void await_confirmation(struct ipcnet_reflex *self) {
  enum confirmation how = confirmation(self);
  /* Cut off, what was inherited ends no later than the lease of whoever had it, before another host claims. */
  bool cut = self->claim_inherited && self->deaf_us == self->now_us;
  bool expired = ipcnet_reflex_in_tick(self) && (cut || self->now_us >= confirmation_ends_us(self));
  if (how != ALL && !expired) {
    /* A node that missed the claim follows a beat as well. */
    for (uint32_t number = 0; number < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); number++) beat(self, number);
    return;
  }
  self->claim_partial = how == SOME;
  ipcnet_reflex_raise(self, how == NOBODY ? IPCNET_TWIN_CLAIM_EXPIRED : IPCNET_TWIN_CLAIM_CONFIRMED);
}

/* Gives up where it is cut off: then the silence is the cable's, and the twin on this host may have another one. */
static bool listened(struct ipcnet_reflex *self) {
  if (!ipcnet_reflex_in_tick(self)) return false;
  bool deaf = self->deaf_us == self->now_us;
  if (deaf && self->now_us >= self->claim_since_us + longest_quiet_us(self)) ipcnet_reflex_raise(self, IPCNET_TWIN_CLAIM_EXPIRED);
  return self->now_us >= listened_enough_us(self, self->claim_since_us); /* not while deaf */
}

static void claiming_turn(struct ipcnet_reflex *self) {
  if (self->epoch != self->proposed_epoch) return; /* not stored yet */
  if (self->claim_wanted) {
    if (self->claim_listening && !listened(self)) return;
    bool all = true;
    for (uint32_t number = 0; number < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); number++) {
      claim(self, number);
      if (claims_on(self, number) && ipcnet_reflex_bus_reachable(self, number) && !self->buses[number].claimed) all = false;
    }
    if (!all) return;
    self->claim_listening = false;
    self->claim_wanted = false;
    self->claim_since_us = self->now_us;
    if (!ipcnet_reflex_shared(self)) ipcnet_reflex_raise(self, IPCNET_TWIN_CLAIM_SENT);
  } else {
    await_confirmation(self);
  }
}

/* ---- Owner of a bus that another host is on ---------------------------------------------------------------------------------------------- */

/* Until when we may go on without another sign that we are heard and followed. */
static uint64_t lease_ends_us(const struct ipcnet_reflex *self, uint32_t number) {
  const struct bus_state *bus = &self->buses[number];
  uint64_t witnessed_us = bus->witness_us > bus->claimed_us ? bus->witness_us : bus->claimed_us;
  if (bus->claim_in_flight && bus->claim_in_flight_us < witnessed_us) witnessed_us = bus->claim_in_flight_us;
  return witnessed_us + self->table.buses[number].self_fence_us;
}

bool ipcnet_reflex_lease_over(const struct ipcnet_reflex *self) {
  for (uint32_t number = 0; self->role == IPCNET_TWIN_OWNER && number < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); number++) {
    if (shared_on(self, number) && self->now_us >= lease_ends_us(self, number)) return true;
  }
  return false;
}

static void owner_turn(struct ipcnet_reflex *self) {
  if (ipcnet_reflex_lease_over(self)) {
    /* We may have stood still: whether anybody follows us is judged when what has arrived meanwhile is read, and nothing is said before. */
    if (ipcnet_reflex_in_tick(self)) ipcnet_reflex_raise(self, IPCNET_TWIN_SELF_FENCED);
    return;
  }
  for (uint32_t number = 0; number < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); number++) {
    claim(self, number);
    beat(self, number);
  }
}

/* ---- Outvoted --------------------------------------------------------------------------------------------------------------------------- */

/* Whether a node that is heard still follows the owner of `epoch`; and whether any is heard at all. */
static void ask_nodes(const struct ipcnet_reflex *self, uint16_t epoch, bool *follows, bool *any) {
  for (uint16_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_NODES); row++) {
    const struct ipcnet_reflex_field field = self->table.watches[self->table.nodes[row].watch].epoch;
    if (field.bits == 0 || self->nodes[row].life != NODE_ALIVE) continue;
    *any = true;
    uint16_t mask = (uint16_t)((1u << field.bits) - 1u);
    bool nobodys = self->nodes[row].epoch == 0 || self->nodes[row].owner > 3; /* claim.md: it says 7 when its owner fell silent */
    if (!nobodys && self->nodes[row].epoch == (epoch & mask)) *follows = true;
  }
}

static uint64_t silence_due_us(const struct ipcnet_reflex *self) {
  uint64_t rest_ends = self->outvoted_us + OUTVOTED_REST_US, heard_us = other_host_heard_us(self);
  uint64_t due = self->deaf_us + longest_quiet_us(self);
  if (heard_us == 0) return rest_ends > due ? rest_ends : due;
  for (uint32_t number = 0; number < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); number++) {
    uint64_t end = heard_us + quiet_needed_us(self, number);
    if (end > due) due = end;
  }
  bool follows = false, any = false;
  ask_nodes(self, self->heard_epoch, &follows, &any);
  /* The nodes still hear the one that we no longer hear; but not for ever: they forget, or they only remember. */
  if (follows && heard_us + OUTVOTED_REST_US > due) due = heard_us + OUTVOTED_REST_US;
  return due;
}

static void try_again(struct ipcnet_reflex *self) {
  self->outvoted_us = self->silence_us = self->now_us; /* asked again after a rest */
  for (uint32_t number = 0; number < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); number++) {
    for (uint32_t owner = 0; owner < 4; owner++) self->buses[number].others[owner].heard = false;
  }
  ipcnet_reflex_raise(self, IPCNET_TWIN_OTHER_HOST_SILENT);
}

static void outvoted_turn(struct ipcnet_reflex *self) {
  bool follows = false, any = false;
  if (!ipcnet_reflex_in_tick(self)) return;
  ask_nodes(self, self->heard_epoch, &follows, &any);
  if (ipcnet_reflex_shared(self) && !any) return; /* cut off ourselves */
  if (self->now_us < silence_due_us(self)) return;
  try_again(self);
}

/* ---- Turns ------------------------------------------------------------------------------------------------------------------------------ */

void ipcnet_reflex_claim_turn(struct ipcnet_reflex *self) {
  if (!self->has_table) {
    /* Nothing can be claimed without knowing buses, and nothing sent: owner by the lock alone. */
    if (self->claim_wanted) ipcnet_reflex_raise(self, IPCNET_TWIN_CLAIM_SENT); /* which means something to who is claiming, and to nobody else */
    return;
  }
  if (ipcnet_reflex_in_tick(self) && cut_off(self)) self->deaf_us = self->now_us;
  if (self->role == IPCNET_TWIN_CLAIMING) claiming_turn(self);
  else if (self->role == IPCNET_TWIN_OWNER) owner_turn(self);
  else if (self->role == IPCNET_TWIN_OUTVOTED) outvoted_turn(self);
}

/* What was due and could not be done is tried again, but never at once: whoever turns only for us must not spin. */
static uint64_t not_before(const struct ipcnet_reflex *self, uint64_t due_us) {
  return due_us > self->now_us ? due_us : self->now_us + AGAIN_US;
}

static uint64_t claiming_due_us(const struct ipcnet_reflex *self) {
  if (self->epoch != self->proposed_epoch) return UINT64_MAX; /* the store's answer is an event */
  if (self->claim_wanted) return not_before(self, self->claim_listening ? listened_enough_us(self, self->claim_since_us) : self->now_us);
  uint64_t due_us = confirmation_ends_us(self);
  for (uint32_t number = 0; number < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); number++) {
    if (self->buses[number].claimed && self->buses[number].beat_due_us < due_us) due_us = self->buses[number].beat_due_us;
  }
  return not_before(self, due_us);
}

uint64_t ipcnet_reflex_claim_next_us(const struct ipcnet_reflex *self) {
  uint64_t next = UINT64_MAX;
  if (!self->has_table) return next;
  if (self->role == IPCNET_TWIN_CLAIMING) return claiming_due_us(self);
  if (self->role == IPCNET_TWIN_OUTVOTED) return not_before(self, silence_due_us(self));
  if (self->role != IPCNET_TWIN_OWNER) return next;
  for (uint32_t number = 0; number < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); number++) {
    if (self->buses[number].claimed && self->buses[number].beat_due_us < next) next = self->buses[number].beat_due_us;
    if (shared_on(self, number) && lease_ends_us(self, number) < next) next = lease_ends_us(self, number);
  }
  return next;
}

/* ---- Others ----------------------------------------------------------------------------------------------------------------------------- */

static void hear_epoch(struct ipcnet_reflex *self, uint16_t epoch) {
  if (ipcnet_epoch_newer(epoch, self->heard_epoch)) self->heard_epoch = epoch;
}

static void outvoted_by(struct ipcnet_reflex *self) {
  self->counters.higher_epochs_heard++;
  ipcnet_reflex_raise(self, IPCNET_TWIN_HIGHER_EPOCH);
}

/* Somebody else says that he owns a bus of which we say the same. */
static void contest(struct ipcnet_reflex *self, uint32_t number, enum ipcnet_claim_kind kind, uint16_t epoch, uint8_t owner) {
  bool claiming = self->role == IPCNET_TWIN_CLAIMING;
  if (!claiming && self->role != IPCNET_TWIN_OWNER) return;
  uint16_t ours = self->proposed_epoch; /* an owner's own */
  if (ipcnet_epoch_newer(epoch, ours)) {
    outvoted_by(self);
  } else if (epoch == ours) {
    /* Arbitration let the lower one through first; but who already beats was there before a claim. */
    bool was_there = claiming && kind != IPCNET_CLAIM;
    if (owner < ipcnet_reflex_owner_number(self, (uint8_t)number) || was_there) outvoted_by(self);
    else self->counters.stale_claims_heard++;
  } else if (self->claim_listening && from_other_host(self, number, owner)) {
    outvoted_by(self); /* the other host's owner works: no automatic return */
  } else {
    self->counters.stale_claims_heard++;
  }
}

bool ipcnet_reflex_other_host_armed(const struct ipcnet_reflex *self, uint16_t epoch) {
  bool armed = false;
  for (uint32_t number = 0; number < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); number++) {
    uint64_t lately_us = quiet_needed_us(self, number) + self->table.buses[number].self_fence_us + OUTVOTED_REST_US;
    for (uint32_t owner = 0; owner < 4 && shared_on(self, number); owner++) {
      bool lately = self->now_us - self->buses[number].others[owner].heard_us <= lately_us;
      if (!lately || !from_other_host(self, number, owner) || !ipcnet_epoch_newer(self->buses[number].others[owner].epoch, epoch)) continue;
      epoch = self->buses[number].others[owner].epoch; /* the newest of them counts */
      armed = self->buses[number].others[owner].armed;
    }
  }
  return armed;
}

/* The owner on the other host wants us to take over. It goes on until it hears our claim: who is not ready is not missed. */
static void handed_over(struct ipcnet_reflex *self, uint32_t number, uint16_t epoch, uint8_t owner, uint8_t successor) {
  bool ours = self->role == IPCNET_TWIN_OUTVOTED && from_other_host(self, number, owner) && !from_other_host(self, number, successor) && epoch == self->heard_epoch;
  bool follows = false, any = false;
  ask_nodes(self, epoch, &follows, &any);
  if (ours && follows && (!self->buses[number].others[owner].armed || ipcnet_reflex_may_go_on(self))) try_again(self);
}

bool ipcnet_reflex_hand_over(struct ipcnet_reflex *self, uint64_t now_us) {
  bool sent = false, ours = self->role == IPCNET_TWIN_OWNER;
  ipcnet_reflex_pass_time(self, now_us);
  for (uint32_t number = 0; number < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); number++) {
    if (!ours || !shared_on(self, number) || !self->buses[number].claimed || !ipcnet_reflex_bus_reachable(self, number)) continue;
    if (send_claim(self, number, IPCNET_HANDOVER, (uint8_t)((self->table.buses[number].host ^ 1u) * 2u))) sent = true;
  }
  ipcnet_reflex_settle(self);
  return sent;
}

bool ipcnet_reflex_claim_frame(struct ipcnet_reflex *self, uint8_t number, const struct ipcnet_can_frame *frame) {
  if ((frame->can_id & ~3u) != self->table.buses[number].claim_id || ((frame->flags ^ claim_flags(self, number)) & IPCNET_CAN_EXTENDED) != 0) return false;
  uint32_t counter = 0;
  if (frame->length_bytes != CLAIM_BYTES || ipcnet_e2e_p05_inspect(&CLAIM_E2E, frame->data, CLAIM_BYTES, &counter) != IPCNET_E2E_INSPECTED_OK) {
    self->counters.rejected_frames++;
    return true;
  }
  uint32_t version = frame->data[3] >> 4u, kind = frame->data[3] & 15u;
  uint16_t epoch = (uint16_t)(frame->data[4] | frame->data[5] << 8);
  uint8_t owner = frame->data[6];
  bool makes_sense = version == CLAIM_VERSION && kind <= IPCNET_RELEASE && epoch != 0 && owner == (frame->can_id & 3u);
  bool repeated = makes_sense && self->buses[number].others[owner].epoch == epoch && self->buses[number].others[owner].counter == counter;
  if (!makes_sense || repeated) {
    self->counters.rejected_frames++;
    return true;
  }
  self->buses[number].others[owner].heard = kind != IPCNET_RELEASE;
  if (kind != IPCNET_HANDOVER) self->buses[number].others[owner].armed = kind != IPCNET_RELEASE && (frame->data[7] & ARMED_FLAG);
  self->buses[number].others[owner].heard_us = self->now_us;
  self->buses[number].others[owner].epoch = epoch;
  self->buses[number].others[owner].counter = (uint8_t)counter;
  hear_epoch(self, epoch);
  if (kind != IPCNET_RELEASE) contest(self, number, (enum ipcnet_claim_kind)kind, epoch, owner);
  if (kind == IPCNET_HANDOVER) handed_over(self, number, epoch, owner, frame->data[7]);
  return true;
}

void ipcnet_reflex_claim_echo(struct ipcnet_reflex *self, uint8_t number) {
  self->buses[number].claim_in_flight = false;
}

void ipcnet_reflex_claim_witness(struct ipcnet_reflex *self, uint16_t row) {
  const struct ipcnet_reflex_watch *watch = &self->table.watches[self->table.nodes[row].watch];
  uint16_t epoch = self->nodes[row].epoch, mask = (uint16_t)((1u << watch->epoch.bits) - 1u);
  bool contested = self->role == IPCNET_TWIN_CLAIMING || self->role == IPCNET_TWIN_OWNER;
  uint16_t known = self->role == IPCNET_TWIN_CLAIMING ? self->proposed_epoch : contested ? self->epoch : self->heard_epoch;
  if (contested && ipcnet_reflex_watch_follows(self, row)) {
    /* From when it is, not from when it was read: what was said while we stood still is old. */
    uint64_t seen_us = self->watches[self->table.nodes[row].watch].seen_us;
    self->nodes[row].witness_us = seen_us;
    if (seen_us > self->buses[watch->bus].witness_us) self->buses[watch->bus].witness_us = seen_us;
  }
  uint16_t ahead = (uint16_t)((epoch - known) & mask);
  /* 0: it has heard nobody since it was powered. Beyond the half: an older owner's. */
  if (epoch == 0 || ahead == 0 || ahead > mask >> 1 || watch->epoch.bits < WITNESS_BITS_MIN) return;
  hear_epoch(self, (uint16_t)(known + ahead));
  if (contested) outvoted_by(self);
}
