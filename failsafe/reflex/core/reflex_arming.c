#include <errno.h>

#include "reflex_internal.h"

/* ---- The table -------------------------------------------------------------------------------------------------------------------------- */

/* As failsafe/arming/machine.ts: only ARMED lets commands pass; it is entered by an order alone, with nothing missing; the pose pre-empts everything; after it a reset leads to DISARMED. */
enum arming_event { GRANTED, DISARM, POSE, POSE_REACHED, POSE_FAILED, RESET, ARMING_EVENTS };

static enum ipcnet_reflex_arming next_arming(uint8_t state, enum arming_event event) {
  static const uint8_t TABLE[IPCNET_FAULT + 1][ARMING_EVENTS] = {
    [IPCNET_DISARMED] = {IPCNET_ARMED, IPCNET_DISARMED, IPCNET_SAFE_POSE, IPCNET_DISARMED, IPCNET_DISARMED, IPCNET_DISARMED},
    [IPCNET_ARMED] = {IPCNET_ARMED, IPCNET_DISARMED, IPCNET_SAFE_POSE, IPCNET_ARMED, IPCNET_ARMED, IPCNET_ARMED},
    [IPCNET_SAFE_POSE] = {IPCNET_SAFE_POSE, IPCNET_SAFE_POSE, IPCNET_SAFE_POSE, IPCNET_POSED, IPCNET_FAULT, IPCNET_SAFE_POSE},
    [IPCNET_POSED] = {IPCNET_POSED, IPCNET_POSED, IPCNET_SAFE_POSE, IPCNET_POSED, IPCNET_POSED, IPCNET_DISARMED},
    [IPCNET_FAULT] = {IPCNET_FAULT, IPCNET_FAULT, IPCNET_SAFE_POSE, IPCNET_FAULT, IPCNET_FAULT, IPCNET_DISARMED},
  };
  return (enum ipcnet_reflex_arming)TABLE[state][event];
}

void ipcnet_reflex_tell_state(struct ipcnet_reflex *self) {
  struct ipcnet_reflex_state_record state;
  ipcnet_reflex_state(self, &state);
  ipcnet_reflex_report(self, IPCNET_REPORT_STATE, 0, 0, &state, sizeof state);
}

void ipcnet_reflex_set_arming(struct ipcnet_reflex *self, enum ipcnet_reflex_arming to) {
  if (self->arming == to) return;
  /* Nothing that waited crosses from one to the other, and no set-point of before counts after. */
  ipcnet_reflex_gate_drop(self, IPCNET_REFLEX_BUSES_MAX, true);
  self->arming = (uint8_t)to;
  self->arming_since_us = self->now_us;
  ipcnet_reflex_keep(self);
  ipcnet_reflex_tell_state(self);
}

static void step(struct ipcnet_reflex *self, enum arming_event event) {
  ipcnet_reflex_set_arming(self, next_arming(self->arming, event));
}

/* ---- Triggers --------------------------------------------------------------------------------------------------------------------------- */

static bool concerns(const struct ipcnet_reflex_trigger *trigger, uint16_t subject) {
  switch (trigger->kind) {
    case IPCNET_REFLEX_ON_REQUEST:
    case IPCNET_REFLEX_ON_CONDITION:
    case IPCNET_REFLEX_ON_NODE_LOST:
    case IPCNET_REFLEX_ON_EXPIRED:
    case IPCNET_REFLEX_ON_BUS_DEAD: return trigger->subject == subject || trigger->subject == IPCNET_REFLEX_NONE;
    default: return true;
  }
}

/* The highest that concerns it. */
uint16_t ipcnet_reflex_find_trigger(const struct ipcnet_reflex *self, enum ipcnet_reflex_trigger_kind kind, uint16_t subject) {
  uint16_t found = IPCNET_REFLEX_NONE;
  for (uint16_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_TRIGGERS); row++) {
    const struct ipcnet_reflex_trigger *trigger = &self->table.triggers[row];
    if (trigger->kind != kind || !concerns(trigger, subject)) continue;
    if (found == IPCNET_REFLEX_NONE || trigger->priority > self->table.triggers[found].priority) found = row;
  }
  return found;
}

static void latch(struct ipcnet_reflex *self, uint16_t row) {
  const struct ipcnet_reflex_trigger *trigger = &self->table.triggers[row];
  if (!(trigger->flags & IPCNET_REFLEX_TRIGGER_LATCHED)) return;
  bool higher = self->latched_trigger == IPCNET_REFLEX_NONE || trigger->priority > self->table.triggers[self->latched_trigger].priority;
  if (!higher) return;
  self->trigger_latched = true;
  self->latched_trigger = row;
  ipcnet_reflex_keep(self);
  ipcnet_reflex_tell_state(self);
}

/* Until it is reset, a latched trigger has the say: a lower one runs its plan once more, and never a gentler one (who was switched off does not drive to its parking place). */
static uint16_t highest_of(const struct ipcnet_reflex *self, uint16_t row) {
  bool higher = self->latched_trigger != IPCNET_REFLEX_NONE && self->table.triggers[self->latched_trigger].priority > self->table.triggers[row].priority;
  return higher ? self->latched_trigger : row;
}

void ipcnet_reflex_fire_row(struct ipcnet_reflex *self, uint16_t row, bool was_armed) {
  const struct ipcnet_reflex_trigger *trigger = &self->table.triggers[row];
  if (!ipcnet_twin_may_send(self->role)) return;
  if ((trigger->flags & IPCNET_REFLEX_TRIGGER_WHILE_ARMED) && !was_armed) return;
  latch(self, row);
  /* A lower one never cancels, and one with the plan that runs already lets it go on: then the pose is on its way. */
  uint64_t run_id = (uint64_t)self->epoch << 32 | (self->run_count + 1u);
  ipcnet_reflex_plan_start(&self->plan, highest_of(self, row), run_id, self->now_us);
  if (self->plan.run.run_id == run_id) {
    self->run_count++;
    self->counters.plans_run++;
  }
  step(self, POSE);
}

void ipcnet_reflex_fire(struct ipcnet_reflex *self, enum ipcnet_reflex_trigger_kind kind, uint16_t subject, bool or_disarm) {
  uint16_t row = ipcnet_reflex_find_trigger(self, kind, subject);
  if (row != IPCNET_REFLEX_NONE) ipcnet_reflex_fire_row(self, row, self->arming == IPCNET_ARMED);
  if (or_disarm) step(self, DISARM); /* there is no plan for it, or one for other times */
}

void ipcnet_reflex_malfunctions(struct ipcnet_reflex *self, enum ipcnet_reflex_malfunction why) {
  if (self->malfunction != IPCNET_MALFUNCTION_NONE) return;
  self->malfunction = (uint8_t)why;
  ipcnet_reflex_keep(self);
  ipcnet_reflex_tell_state(self);
  /* To the pose first, while somebody may still hear us; then silent for good. */
  ipcnet_reflex_fire(self, IPCNET_REFLEX_ON_COMPROMISE, 0, true);
  if (self->arming == IPCNET_SAFE_POSE) self->stop_after_run = true;
  else ipcnet_reflex_raise(self, IPCNET_TWIN_STOP_ASKED);
}

/* ---- What is missing -------------------------------------------------------------------------------------------------------------------- */

struct list { struct ipcnet_reflex_lack *to; size_t max, count; };

static void add(struct list *list, enum ipcnet_reflex_missing reason, uint32_t subject) {
  if (list->count < list->max) list->to[list->count] = (struct ipcnet_reflex_lack){.reason = (uint16_t)reason, .subject = (uint16_t)subject};
  list->count++;
}

static bool brain_is_there(const struct ipcnet_reflex *self) {
  uint32_t timeout_us = self->table.header->brain_timeout_us;
  return timeout_us == 0 || (self->brain_there && self->now_us - self->brain_heard_us < timeout_us);
}

bool ipcnet_reflex_may_go_on(const struct ipcnet_reflex *self) {
  return (self->table.header->flags & IPCNET_REFLEX_RESUME_ARMED) && brain_is_there(self) && !self->trigger_latched && self->malfunction == IPCNET_MALFUNCTION_NONE;
}

static void missing_of_buses(const struct ipcnet_reflex *self, struct list *list) {
  for (uint32_t bus = 0; bus < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); bus++) {
    if (!self->buses[bus].sends) continue;
    if (!ipcnet_reflex_bus_open(self, bus)) add(list, IPCNET_MISSING_BUS, bus);
    if (!self->options.may_purge(self->os.context, (uint8_t)bus)) add(list, IPCNET_MISSING_PURGE, bus);
    if (self->now_us < self->buses[bus].foreign_until_us) add(list, IPCNET_MISSING_FOREIGN_MASTER, bus);
  }
}

static void missing_of_nodes(const struct ipcnet_reflex *self, struct list *list) {
  for (uint16_t node = 0; node < ipcnet_reflex_rows(self, IPCNET_REFLEX_NODES); node++) {
    if (!(self->table.nodes[node].flags & IPCNET_REFLEX_NODE_REQUIRED)) continue;
    if (!ipcnet_reflex_watch_alive(self, node)) add(list, IPCNET_MISSING_NODE, node);
    else if (!ipcnet_reflex_watch_follows(self, node)) add(list, IPCNET_MISSING_NODE_EPOCH, node);
  }
}

static int power_line(const struct ipcnet_reflex *self) {
  return self->options.power_line == NULL ? -ENODEV : self->options.power_line(self->os.context);
}

/* Conditions that would fire at once. */
static bool steady(const struct ipcnet_reflex *self, uint16_t row) {
  const struct ipcnet_reflex_trigger *trigger = &self->table.triggers[row];
  if (trigger->flags & IPCNET_REFLEX_TRIGGER_PIN) return power_line(self) > 0;
  return trigger->kind == IPCNET_REFLEX_ON_CONDITION && ipcnet_reflex_watch_holds(self, trigger->subject, self->now_us);
}

/* Armed, the line was watched: whoever took it away may have taken the power too. */
static bool pin_is_lost(const struct ipcnet_reflex *self, uint16_t row) {
  return (self->table.triggers[row].flags & IPCNET_REFLEX_TRIGGER_PIN) && self->arming == IPCNET_ARMED && power_line(self) < 0;
}

size_t ipcnet_reflex_missing(struct ipcnet_reflex *self, uint64_t now_us, struct ipcnet_reflex_lack *to, size_t max) {
  ipcnet_reflex_pass_time(self, now_us);
  struct list list = {.to = to, .max = max};
  if (!self->has_table) add(&list, IPCNET_MISSING_TABLE, 0);
  if (!ipcnet_twin_may_send(self->role)) add(&list, IPCNET_MISSING_OWNERSHIP, 0);
  missing_of_buses(self, &list);
  missing_of_nodes(self, &list);
  if (self->has_table && !brain_is_there(self)) add(&list, IPCNET_MISSING_BRAIN, 0);
  if (self->trigger_latched || self->arming == IPCNET_POSED || self->arming == IPCNET_FAULT) add(&list, IPCNET_MISSING_RESET, self->latched_trigger);
  if (self->arming == IPCNET_SAFE_POSE || self->adopt_wanted) add(&list, IPCNET_MISSING_PLAN_RUNS, self->plan.run.plan);
  if (self->malfunction != IPCNET_MALFUNCTION_NONE) add(&list, IPCNET_MISSING_MALFUNCTION, self->malfunction);
  for (uint16_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_TRIGGERS); row++) {
    if (steady(self, row)) add(&list, IPCNET_MISSING_STEADY_CONDITION, row);
    if ((self->table.triggers[row].flags & IPCNET_REFLEX_TRIGGER_PIN) && power_line(self) < 0) add(&list, IPCNET_MISSING_POWER_LINE, (uint32_t)-power_line(self));
  }
  return list.count;
}

/* ---- Orders ----------------------------------------------------------------------------------------------------------------------------- */

static bool arm(struct ipcnet_reflex *self) {
  if (self->arming == IPCNET_ARMED) return true;
  if (ipcnet_reflex_missing(self, self->now_us, NULL, 0) != 0) return false;
  self->brain_excused_us = 0; /* whoever arms us has noticed us */
  step(self, GRANTED);
  return true;
}

static bool disarm(struct ipcnet_reflex *self) {
  step(self, DISARM);
  return self->arming == IPCNET_DISARMED;
}

/* Permits arming again; arms nothing. */
static bool reset(struct ipcnet_reflex *self) {
  if (!ipcnet_twin_may_send(self->role) || self->arming == IPCNET_SAFE_POSE || self->arming == IPCNET_ARMED) return false;
  for (uint16_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_TRIGGERS); row++) {
    if (steady(self, row)) return false;
  }
  self->trigger_latched = false;
  self->latched_trigger = IPCNET_REFLEX_NONE;
  ipcnet_reflex_keep(self);
  step(self, RESET);
  return true;
}

static enum ipcnet_reflex_answer trigger(struct ipcnet_reflex *self, uint32_t kind, uint32_t subject) {
  uint16_t row = subject < IPCNET_REFLEX_NONE ? ipcnet_reflex_find_trigger(self, (enum ipcnet_reflex_trigger_kind)kind, (uint16_t)subject) : IPCNET_REFLEX_NONE;
  if (row == IPCNET_REFLEX_NONE) return IPCNET_ANSWER_UNKNOWN;
  ipcnet_reflex_fire_row(self, row, self->arming == IPCNET_ARMED);
  return self->arming == IPCNET_SAFE_POSE ? IPCNET_ANSWER_DONE : IPCNET_ANSWER_REFUSED;
}

static bool rearm_bus(struct ipcnet_reflex *self, uint32_t bus) {
  ipcnet_reflex_bus_note(self, bus, IPCNET_EVENT_REARM);
  return self->buses[bus].owned && ipcnet_bus_health_accepts(&self->buses[bus].health);
}

static bool purge_bus(struct ipcnet_reflex *self, uint32_t bus) {
  if (!self->buses[bus].owned) return false;
  ipcnet_reflex_gate_drop(self, bus, false);
  self->os.bus_effect(self->os.context, (uint8_t)bus, IPCNET_EFFECT_PURGE);
  return true;
}

static bool brain_beat(struct ipcnet_reflex *self, uint32_t brain_epoch) {
  if (brain_epoch < self->brain_epoch) return false;
  if (brain_epoch > self->brain_epoch) {
    self->brain_epoch = brain_epoch;
    self->brain_sequence_known = false; /* it counts anew */
    ipcnet_reflex_keep(self);
  }
  self->brain_there = true;
  self->brain_heard_us = self->now_us;
  return true;
}

static bool brain_gone(struct ipcnet_reflex *self, uint32_t brain_epoch) {
  if (brain_epoch != self->brain_epoch) return false; /* another one is there already */
  self->brain_there = false; /* what runs goes on until its deadlines; another brain may come */
  return true;
}

static enum ipcnet_reflex_answer done(bool yes) {
  return yes ? IPCNET_ANSWER_DONE : IPCNET_ANSWER_REFUSED;
}

static enum ipcnet_reflex_answer order_now(struct ipcnet_reflex *self, enum ipcnet_reflex_order order, uint32_t a, uint32_t b, uint64_t c) {
  switch (order) {
    case IPCNET_ORDER_ARM: return done(arm(self));
    case IPCNET_ORDER_DISARM: return done(ipcnet_twin_may_send(self->role) && disarm(self));
    case IPCNET_ORDER_RESET: return done(reset(self));
    case IPCNET_ORDER_TRIGGER: return trigger(self, a, b);
    case IPCNET_ORDER_REARM_BUS: return a < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES) ? done(rearm_bus(self, a)) : IPCNET_ANSWER_UNKNOWN;
    case IPCNET_ORDER_PURGE_BUS: return a < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES) ? done(purge_bus(self, a)) : IPCNET_ANSWER_UNKNOWN;
    case IPCNET_ORDER_CALL_DONE:
      if (a >= ipcnet_reflex_rows(self, IPCNET_REFLEX_STEPS)) return IPCNET_ANSWER_UNKNOWN;
      if (self->arming != IPCNET_SAFE_POSE) return IPCNET_ANSWER_REFUSED;
      ipcnet_reflex_plan_call_done(&self->plan, c, (uint16_t)a, b != 0, self->now_us);
      return IPCNET_ANSWER_DONE;
    case IPCNET_ORDER_BRAIN_BEAT: return done(brain_beat(self, a));
    case IPCNET_ORDER_BRAIN_GONE: return done(brain_gone(self, a));
    default: return IPCNET_ANSWER_UNKNOWN;
  }
}

enum ipcnet_reflex_answer ipcnet_reflex_order(struct ipcnet_reflex *self, enum ipcnet_reflex_order order, uint32_t a, uint32_t b, uint64_t c, uint64_t now_us) {
  ipcnet_reflex_pass_time(self, now_us);
  enum ipcnet_reflex_answer answer = order_now(self, order, a, b, c);
  ipcnet_reflex_settle(self);
  return answer;
}

/* ---- Turns ------------------------------------------------------------------------------------------------------------------------------ */

/* A condition, or the power-fail line, fires when it begins to hold, and when it holds as the bus becomes ours. */
static void judge_conditions(struct ipcnet_reflex *self) {
  for (uint16_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_TRIGGERS); row++) {
    bool holds = steady(self, row) || pin_is_lost(self, row), begins = holds && !self->condition_fired[row];
    self->condition_fired[row] = holds;
    if (begins) ipcnet_reflex_fire_row(self, row, self->arming == IPCNET_ARMED);
  }
}

/* Until when the newest value of a message holds; what waits to be sent counts, for it came in time. */
static uint64_t set_point_ends_us(const struct message_state *message) {
  return message->waiting && message->deadline_us > message->set_point_us ? message->deadline_us : message->set_point_us;
}

static bool expires(const struct ipcnet_reflex *self, uint32_t row) {
  return self->table.messages[row].expired_trigger != IPCNET_REFLEX_NONE && self->messages[row].set_point_us != 0;
}

static void judge_set_points(struct ipcnet_reflex *self) {
  for (uint32_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_MESSAGES); row++) {
    if (!expires(self, row) || self->now_us < set_point_ends_us(&self->messages[row])) continue;
    self->counters.set_points_expired++;
    ipcnet_reflex_fire_row(self, self->table.messages[row].expired_trigger, true);
  }
}

void ipcnet_reflex_tell_verdict(struct ipcnet_reflex *self) {
  uint8_t data[9];
  for (uint32_t byte = 0; byte < 8; byte++) data[byte] = (uint8_t)(self->plan.run.run_id >> 8 * byte);
  data[8] = self->plan.run.verdict;
  ipcnet_reflex_report(self, IPCNET_REPORT_VERDICT, 0, 0, data, sizeof data);
}

/* (While none runs there is no verdict.) */
static void run_plan(struct ipcnet_reflex *self) {
  enum ipcnet_reflex_verdict verdict = ipcnet_reflex_plan_poll(&self->plan, self->now_us);
  if (verdict == IPCNET_VERDICT_NONE) return;
  ipcnet_reflex_tell_verdict(self);
  step(self, verdict == IPCNET_VERDICT_POSED ? POSE_REACHED : POSE_FAILED);
  if (self->stop_after_run) ipcnet_reflex_raise(self, IPCNET_TWIN_STOP_ASKED);
}

/* UINT64_MAX: it is not waited for. */
static uint64_t brain_lost_at_us(const struct ipcnet_reflex *self) {
  uint64_t since_us = self->brain_heard_us > self->brain_excused_us ? self->brain_heard_us : self->brain_excused_us;
  return self->table.header->brain_timeout_us == 0 ? UINT64_MAX : since_us + self->table.header->brain_timeout_us;
}

void ipcnet_reflex_arming_turn(struct ipcnet_reflex *self) {
  if (!ipcnet_twin_may_send(self->role)) return;
  judge_conditions(self);
  judge_set_points(self);
  if (self->arming == IPCNET_ARMED && self->now_us >= brain_lost_at_us(self)) ipcnet_reflex_fire(self, IPCNET_REFLEX_ON_BRAIN_LOST, 0, true);
  run_plan(self);
}

uint64_t ipcnet_reflex_arming_next_us(const struct ipcnet_reflex *self) {
  if (!ipcnet_twin_may_send(self->role)) return UINT64_MAX;
  uint64_t next = ipcnet_reflex_plan_next_deadline_us(&self->plan);
  for (uint16_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_TRIGGERS); row++) {
    if (self->table.triggers[row].kind != IPCNET_REFLEX_ON_CONDITION) continue;
    uint64_t due = ipcnet_reflex_watch_holds_at_us(self, self->table.triggers[row].subject, self->now_us);
    if (due > self->now_us && due < next) next = due; /* what holds now has fired */
  }
  if (self->arming != IPCNET_ARMED) return next;
  for (uint32_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_MESSAGES); row++) {
    if (expires(self, row) && set_point_ends_us(&self->messages[row]) < next) next = set_point_ends_us(&self->messages[row]);
  }
  return brain_lost_at_us(self) < next ? brain_lost_at_us(self) : next;
}
