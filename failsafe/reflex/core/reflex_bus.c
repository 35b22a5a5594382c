#include <string.h>

#include "reflex_internal.h"

/*
 * bus_health belongs to the owner. Whoever does not own the bus sends nothing, so it gets no echoes and can judge nothing; and what the machine wants done (purge, restart) would interrupt the
 * owner. So others only remember how the link is, and the machine starts afresh when the bus becomes ours: trusted if our predecessor trusted it, else it has to be proven.
 *
 * But whoever is outvoted has no owner on its host that it could interrupt, and a controller that has given up the bus hears nobody: neither the owner elsewhere nor its silence. So an outvoted
 * instance empties and restarts it, at the machine's own pace and within its budget. It asks with no probe; what it hears then is what it waits for. And whoever is outvoted with something on its way asks
 * for that to be emptied until it is: whoever does that may be away, and a cut cable may be whole again at any time.
 */

/* Back-off after bus-off, as drivers/can has it. */
#define RESTART_MIN_US 100000u
#define RESTART_MAX_US 5000000u
#define RESTART_BUDGET 8u
#define PROBE_INTERVAL_US 1000000u
#define PURGE_AGAIN_US 1000000u /* as bus_health waits for an answer */
#define PROBE_LIFE_US 1000000u
#define MICRO 1000000u

/* ---- Loading and owning ----------------------------------------------------------------------------------------------------------------- */

static struct ipcnet_bus_health_options health_options(const struct ipcnet_reflex_bus *row, const struct bus_state *bus) {
  uint32_t bitrate_bps = bus->link.bitrate_bps != 0 ? bus->link.bitrate_bps : row->bitrate_bps;
  uint32_t data_bitrate_bps = bus->link.data_bitrate_bps != 0 ? bus->link.data_bitrate_bps : row->data_bitrate_bps;
  return (struct ipcnet_bus_health_options){
    .frame_time_us = ipcnet_can_frame_time_us(bitrate_bps, data_bitrate_bps, row->flags & IPCNET_REFLEX_BUS_FD),
    .tx_queue_frames = row->tx_queue_frames,
    .dead_after_us = row->dead_after_us,
    .probe_interval_us = PROBE_INTERVAL_US,
    .restart_min_us = RESTART_MIN_US,
    .restart_max_us = RESTART_MAX_US,
    .restart_budget = RESTART_BUDGET,
    .confirms = bus->confirms,
    .listen_only = row->flags & IPCNET_REFLEX_BUS_LISTEN_ONLY,
  };
}

static void start_health(struct ipcnet_reflex *self, uint32_t number) {
  struct bus_state *bus = &self->buses[number];
  struct ipcnet_bus_health_options options = health_options(&self->table.buses[number], bus);
  ipcnet_bus_health_init(&bus->health, &options, self->now_us);
}

void ipcnet_reflex_bus_load(struct ipcnet_reflex *self) {
  memset(self->buses, 0, sizeof self->buses);
  for (uint32_t number = 0; number < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); number++) {
    struct bus_state *bus = &self->buses[number];
    bus->first_in_line = IPCNET_REFLEX_NONE;
    bus->claimed_us = self->now_us;
    bus->sends = self->table.buses[number].claim_id != IPCNET_REFLEX_NO_CLAIM_ID;
    bus->owned = ipcnet_twin_may_send(self->role);
    bus->budget_us = self->now_us;
    start_health(self, number);
  }
  for (uint32_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_MESSAGES); row++) {
    struct bus_state *bus = &self->buses[self->table.messages[row].bus];
    bus->sends = true;
    bus->probe_flags |= self->table.messages[row].can_flags & (IPCNET_CAN_FD | IPCNET_CAN_BRS);
  }
}

void ipcnet_reflex_bus_own(struct ipcnet_reflex *self, uint32_t number, bool trusted) {
  struct bus_state *bus = &self->buses[number];
  if (bus->owned) return;
  start_health(self, number);
  bus->mending = bus->purge_owed = false; /* from here on the machine judges what does not leave */
  bus->owned = true;
  bus->health.was_up = !trusted; /* a link that comes back must be proven, a first one need not */
  if (!bus->link_up) return;
  /*
   * What waited when we opened it, long ago perhaps, was our predecessor's: its epoch is old by now. Without one it is a stranger's, or of a life before. But where the predecessor no longer trusted the
   * bus its frames may still wait, and nodes that were switched off have forgotten all epochs: emptied first.
   */
  bool stale = !trusted || (self->heir_of == IPCNET_HEIR_OF_NOBODY && bus->stale_frames > 0);
  ipcnet_reflex_bus_step(self, number, IPCNET_EVENT_LINK_UP, stale);
  if (bus->link.bus_state_known) ipcnet_reflex_bus_step(self, number, IPCNET_EVENT_BUS_STATE, bus->link.bus_state);
}

static void ask_for_what_is_owed(struct ipcnet_reflex *self, uint32_t number) {
  self->buses[number].purge_again_us = self->now_us + PURGE_AGAIN_US;
  self->os.bus_effect(self->os.context, (uint8_t)number, IPCNET_EFFECT_PURGE);
}

/* Asked for, and not answered with success: by then bus_health would ask again, but who gives the bus away steps it no more. */
static bool awaits_a_purge(const struct bus_state *bus) {
  return bus->health.phase == IPCNET_BUS_PURGING || bus->health.phase == IPCNET_BUS_OFF_PURGING || bus->health.phase == IPCNET_BUS_UNPURGEABLE;
}

void ipcnet_reflex_bus_park(struct ipcnet_reflex *self, uint32_t number, bool purge) {
  struct bus_state *bus = &self->buses[number];
  if (purge && bus->owned) {
    bool waits = bus->health.unconfirmed_frames > 0 && ipcnet_bus_health_accepts(&bus->health);
    bus->purge_owed = waits || awaits_a_purge(bus);
    bus->purge_again_us = self->now_us + PURGE_AGAIN_US;
    if (waits) ask_for_what_is_owed(self, number);
  }
  bus->owned = bus->mending = false;
  bus->claimed = false;
  bus->claim_in_flight = false;
  ipcnet_reflex_gate_settle(self, number, 0);
}

/* ---- Stepping --------------------------------------------------------------------------------------------------------------------------- */

static bool mends(const struct ipcnet_reflex *self, uint32_t number) {
  return self->buses[number].mending && self->role == IPCNET_TWIN_OUTVOTED;
}

static void send_probe(struct ipcnet_reflex *self, uint32_t number) {
  uint32_t id = ipcnet_reflex_probe_id(&self->table.buses[number]);
  struct ipcnet_can_frame frame = {
    .time_us = (double)(self->now_us + PROBE_LIFE_US), .can_id = id, .flags = (uint8_t)(self->buses[number].probe_flags | (id > CAN_SFF_MASK ? IPCNET_CAN_EXTENDED : 0)), .bus = (uint16_t)number, .token = IPCNET_CAN_PROBE_TOKEN};
  if (self->os.send(self->os.context, (uint8_t)number, &frame) != IPCNET_CAN_QUEUED) ipcnet_reflex_bus_note(self, number, IPCNET_EVENT_PROBE_FAILED);
}

static void perform(struct ipcnet_reflex *self, uint32_t number, const struct ipcnet_bus_effect *effect) {
  switch (effect->kind) { /* others are nobody's business here */
    case IPCNET_EFFECT_REFUSE_COMMANDS:
      self->buses[number].claimed = false; /* whoever listens again later is told anew */
      ipcnet_reflex_gate_drop(self, number, false);
      ipcnet_reflex_fire(self, IPCNET_REFLEX_ON_BUS_DEAD, (uint16_t)number, self->buses[number].sends);
      break;
    case IPCNET_EFFECT_STATE_CHANGED: {
      uint32_t data[4] = {effect->a, effect->b, effect->c, effect->d};
      self->page->bus_phases[number] = (uint8_t)effect->b;
      ipcnet_reflex_report(self, IPCNET_REPORT_BUS, (uint16_t)number, 0, data, sizeof data);
      break;
    }
    case IPCNET_EFFECT_PROBE:
      if (self->buses[number].owned) send_probe(self, number);
      break;
    case IPCNET_EFFECT_PURGE:
    case IPCNET_EFFECT_RESTART_BUS:
    case IPCNET_EFFECT_REOPEN: self->os.bus_effect(self->os.context, (uint8_t)number, (enum ipcnet_bus_effect_kind)effect->kind);
  }
}

static void step(struct ipcnet_reflex *self, uint32_t number, const struct ipcnet_bus_event *event) {
  struct bus_state *bus = &self->buses[number];
  if (!bus->owned && !mends(self, number)) return;
  struct ipcnet_bus_effect effects[IPCNET_BUS_EFFECTS_MAX];
  size_t count = ipcnet_bus_health_step(&bus->health, event, self->now_us, effects);
  for (size_t i = 0; i < count; i++) perform(self, number, &effects[i]);
}

void ipcnet_reflex_bus_note(struct ipcnet_reflex *self, uint32_t number, enum ipcnet_bus_event_kind kind) {
  step(self, number, &(struct ipcnet_bus_event){.kind = (uint32_t)kind});
}

void ipcnet_reflex_bus_step(struct ipcnet_reflex *self, uint32_t number, enum ipcnet_bus_event_kind kind, uint32_t a) {
  step(self, number, &(struct ipcnet_bus_event){.kind = (uint32_t)kind, .a = a});
}

void ipcnet_reflex_bus_error(struct ipcnet_reflex *self, uint32_t number, const struct ipcnet_can_frame *frame) {
  step(self, number, &(struct ipcnet_bus_event){.kind = IPCNET_EVENT_ERROR_FRAME, .a = frame->can_id, .b = frame->data[1]});
}

/* ---- Sending ---------------------------------------------------------------------------------------------------------------------------- */

bool ipcnet_reflex_bus_reachable(const struct ipcnet_reflex *self, uint32_t number) {
  const struct bus_state *bus = &self->buses[number];
  return bus->owned && bus->link_up && !(self->table.buses[number].flags & IPCNET_REFLEX_BUS_LISTEN_ONLY) &&
         (ipcnet_bus_health_accepts(&bus->health) || bus->health.phase == IPCNET_BUS_PROVEN);
}

bool ipcnet_reflex_bus_open(const struct ipcnet_reflex *self, uint32_t number) {
  const struct bus_state *bus = &self->buses[number];
  return ipcnet_reflex_bus_reachable(self, number) && ipcnet_bus_health_accepts(&bus->health) &&
         (bus->claimed || self->table.buses[number].claim_id == IPCNET_REFLEX_NO_CLAIM_ID);
}

enum ipcnet_can_verdict ipcnet_reflex_bus_send(struct ipcnet_reflex *self, uint32_t number, const struct ipcnet_can_frame *frame) {
  enum ipcnet_can_verdict verdict = self->os.send(self->os.context, (uint8_t)number, frame);
  if (verdict == IPCNET_CAN_QUEUED) {
    self->counters.sent_frames++;
    ipcnet_reflex_bus_step(self, number, IPCNET_EVENT_TX_QUEUED, 1);
  } else if (verdict == IPCNET_CAN_QUEUE_FULL) {
    ipcnet_reflex_bus_note(self, number, IPCNET_EVENT_TX_NO_BUFFER);
  }
  return verdict;
}

/* ---- The allowed load: a token bucket in millionths of bits ------------------------------------------------------------------------------- */

/* Millionths of a bit per microsecond; 0: no limit. */
static uint64_t budget_rate(const struct ipcnet_reflex *self, uint32_t number) {
  const struct ipcnet_reflex_bus *row = &self->table.buses[number];
  uint64_t bitrate_bps = row->bitrate_bps != 0 ? row->bitrate_bps : self->buses[number].link.bitrate_bps;
  return bitrate_bps * row->load_permille_max / 1000u;
}

static uint64_t budget_now(const struct ipcnet_reflex *self, uint32_t number, uint64_t rate) {
  const struct bus_state *bus = &self->buses[number];
  uint64_t capacity = rate * BUDGET_BURST_US > (uint64_t)BUDGET_BITS_MIN * MICRO ? rate * BUDGET_BURST_US : (uint64_t)BUDGET_BITS_MIN * MICRO;
  uint64_t elapsed_us = self->now_us - bus->budget_us;
  uint64_t left = bus->budget_microbits < capacity ? bus->budget_microbits : capacity;
  /* (A pause of days, multiplied, would overflow.) */
  return elapsed_us <= (capacity - left) / rate ? left + elapsed_us * rate : capacity;
}

bool ipcnet_reflex_bus_take(struct ipcnet_reflex *self, uint32_t number, uint32_t bits) {
  uint64_t rate = budget_rate(self, number);
  if (rate == 0) return true;
  uint64_t there = budget_now(self, number, rate), wanted = (uint64_t)bits * MICRO;
  if (there < wanted) return false;
  self->buses[number].budget_microbits = there - wanted;
  self->buses[number].budget_us = self->now_us;
  return true;
}

uint64_t ipcnet_reflex_bus_take_at_us(const struct ipcnet_reflex *self, uint32_t number, uint32_t bits) {
  uint64_t rate = budget_rate(self, number);
  if (rate == 0) return self->now_us;
  uint64_t there = budget_now(self, number, rate), wanted = (uint64_t)bits * MICRO;
  return there >= wanted ? self->now_us : self->now_us + (wanted - there + rate - 1) / rate;
}

/* ---- Turns ------------------------------------------------------------------------------------------------------------------------------ */

static bool needs_mending(const struct ipcnet_reflex *self, uint32_t number) {
  const struct bus_state *bus = &self->buses[number];
  bool gave_up = bus->link_up && bus->link.bus_state_known && bus->link.bus_state == 3;
  return self->role == IPCNET_TWIN_OUTVOTED && !bus->mending && gave_up && !(self->table.buses[number].flags & IPCNET_REFLEX_BUS_LISTEN_ONLY);
}

static void begin_mending(struct ipcnet_reflex *self, uint32_t number) {
  start_health(self, number);
  self->buses[number].purge_owed = false; /* mending begins with that */
  self->buses[number].mending = true;
  self->buses[number].health.was_up = true;
  ipcnet_reflex_bus_note(self, number, IPCNET_EVENT_LINK_UP);
  ipcnet_reflex_bus_step(self, number, IPCNET_EVENT_BUS_STATE, self->buses[number].link.bus_state);
}

/* Who mends waits for nothing but the purge and the restart. */
static uint64_t health_due_us(const struct ipcnet_reflex *self, uint32_t number) {
  const struct bus_state *bus = &self->buses[number];
  bool waits = ipcnet_bus_health_state(&bus->health) == IPCNET_STATE_BUS_OFF || bus->health.phase == IPCNET_BUS_UNPURGEABLE;
  return bus->owned || (waits && mends(self, number)) ? ipcnet_bus_health_next_deadline_us(&bus->health) : UINT64_MAX;
}

static uint64_t purge_due_us(const struct ipcnet_reflex *self, uint32_t number) {
  return self->buses[number].purge_owed && self->role == IPCNET_TWIN_OUTVOTED ? self->buses[number].purge_again_us : UINT64_MAX;
}

void ipcnet_reflex_bus_turn(struct ipcnet_reflex *self) {
  for (uint32_t number = 0; number < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); number++) {
    if (needs_mending(self, number)) begin_mending(self, number);
    if (self->now_us >= health_due_us(self, number)) ipcnet_reflex_bus_note(self, number, IPCNET_EVENT_TICK);
    if (self->now_us >= purge_due_us(self, number)) ask_for_what_is_owed(self, number);
  }
}

uint64_t ipcnet_reflex_bus_next_us(const struct ipcnet_reflex *self) {
  uint64_t next = UINT64_MAX;
  for (uint32_t number = 0; number < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); number++) {
    uint64_t due = needs_mending(self, number) ? self->now_us : health_due_us(self, number), owed = purge_due_us(self, number);
    if (due < next) next = due;
    if (owed < next) next = owed;
  }
  return next;
}

/* ---- The link --------------------------------------------------------------------------------------------------------------------------- */

static void link_up(struct ipcnet_reflex *self, uint32_t number, const struct ipcnet_can_link_event *event, const struct ipcnet_can_link *link) {
  struct bus_state *bus = &self->buses[number];
  bus->link_up = true;
  bus->stale_frames = event->a;
  bus->confirms = event->b != 1;
  if (link != NULL) bus->link = *link;
  struct ipcnet_bus_health_options options = health_options(&self->table.buses[number], bus);
  bus->health.options.confirms = options.confirms;
  ipcnet_bus_health_set_link(&bus->health, options.frame_time_us, options.tx_queue_frames);
  ipcnet_reflex_bus_step(self, number, IPCNET_EVENT_LINK_UP, event->a);
  if (link != NULL && link->bus_state_known) ipcnet_reflex_bus_step(self, number, IPCNET_EVENT_BUS_STATE, link->bus_state);
}

static void link_down(struct ipcnet_reflex *self, uint32_t number) {
  struct bus_state *bus = &self->buses[number];
  bus->link_up = false;
  bus->claim_in_flight = bus->purge_owed = false;
  ipcnet_reflex_gate_settle(self, number, 0); /* an interface that goes down drops its queue */
  if (bus->owned || mends(self, number)) ipcnet_reflex_bus_note(self, number, IPCNET_EVENT_LINK_DOWN);
  else self->os.bus_effect(self->os.context, (uint8_t)number, IPCNET_EFFECT_REOPEN);
}

static void bus_state(struct ipcnet_reflex *self, uint32_t number, uint32_t state) {
  if (state > 3) return; /* no controller has it */
  self->buses[number].link.bus_state = (uint8_t)state;
  self->buses[number].link.bus_state_known = true;
  ipcnet_reflex_bus_step(self, number, IPCNET_EVENT_BUS_STATE, state);
}

void ipcnet_reflex_link(struct ipcnet_reflex *self, uint8_t number, const struct ipcnet_can_link_event *event, const struct ipcnet_can_link *link, uint64_t now_us) {
  ipcnet_reflex_pass_time(self, now_us);
  if (number >= ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES)) return;
  uint32_t data[3] = {event->kind, event->a, event->b};
  ipcnet_reflex_report(self, IPCNET_REPORT_LINK, number, 0, data, sizeof data);
  switch (event->kind) { /* others say nothing about the bus */
    case IPCNET_LINK_UP: link_up(self, number, event, link); break;
    case IPCNET_LINK_BUS_STATE: bus_state(self, number, event->a); break;
    case IPCNET_LINK_DROPPED:
      if (!ipcnet_reflex_gate_dropped(self, number, event->key)) self->buses[number].claim_in_flight = false;
      ipcnet_reflex_bus_step(self, number, IPCNET_EVENT_TX_DROPPED, 1);
      break;
    case IPCNET_LINK_OVERFLOW:
      /* Echoes may be among the lost: nobody waits for them any longer. */
      self->buses[number].claim_in_flight = false;
      ipcnet_reflex_gate_settle(self, number, 0);
      ipcnet_reflex_bus_step(self, number, IPCNET_EVENT_OVERFLOW, event->a);
      break;
    case IPCNET_LINK_PURGE_FAILED: ipcnet_reflex_bus_step(self, number, IPCNET_EVENT_PURGE_FAILED, event->a == 1 /* EPERM */ || event->a == 13 /* EACCES */); break;
    case IPCNET_LINK_RESTART_FAILED: ipcnet_reflex_bus_note(self, number, IPCNET_EVENT_RESTART_FAILED); break;
    case IPCNET_LINK_PURGED:
      self->buses[number].claim_in_flight = self->buses[number].purge_owed = false;
      ipcnet_reflex_gate_settle(self, number, 1);
      ipcnet_reflex_bus_note(self, number, IPCNET_EVENT_PURGED);
      break;
    case IPCNET_LINK_DOWN:
    case IPCNET_LINK_GONE: link_down(self, number);
  }
  ipcnet_reflex_settle(self);
}
