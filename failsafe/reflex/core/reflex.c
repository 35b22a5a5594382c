#include <string.h>

#include "reflex_internal.h"

#define SYSTEM_EFFECTS (IPCNET_TWIN_DO_KILL | IPCNET_TWIN_DO_STORE_EPOCH | IPCNET_TWIN_DO_RELEASE | IPCNET_TWIN_DO_TRY_LOCK | IPCNET_TWIN_DO_PUBLISH)

/* ---- Small things ----------------------------------------------------------------------------------------------------------------------- */

size_t ipcnet_reflex_size(void) {
  return sizeof(struct ipcnet_reflex);
}

void ipcnet_reflex_pass_time(struct ipcnet_reflex *self, uint64_t now_us) {
  if (now_us > self->now_us) self->now_us = now_us;
}

uint8_t ipcnet_reflex_owner_number(const struct ipcnet_reflex *self, uint8_t bus) {
  return (uint8_t)(self->table.buses[bus].host * 2u + (self->options.instance & 1u));
}

uint32_t ipcnet_reflex_next_token(struct ipcnet_reflex *self, uint32_t row) {
  /* The serial stays below what would make a probe's token of it, and above 0, which means none. */
  self->next_serial = self->next_serial % 0x3FFFFEu + 1u;
  return self->next_serial << TOKEN_ROW_BITS | row;
}

void ipcnet_reflex_report(struct ipcnet_reflex *self, enum ipcnet_reflex_report kind, uint16_t bus, uint32_t token, const void *data, uint8_t length_bytes) {
  struct ipcnet_can_frame record = {.time_us = (double)self->now_us, .can_id = (uint32_t)kind, .flags = IPCNET_REFLEX_REPORT, .length_bytes = length_bytes, .bus = bus, .token = token};
  memcpy(record.data, data, length_bytes);
  self->os.record(self->os.context, &record);
}

/* ---- What a plan asks for ---------------------------------------------------------------------------------------------------------------- */

static bool plan_sends(void *context, uint16_t send_row) {
  struct ipcnet_reflex *self = context;
  return ipcnet_reflex_gate_pose(self, &self->table.sends[send_row]);
}

static bool plan_holds(void *context, uint16_t condition, uint64_t now_us) {
  return ipcnet_reflex_watch_holds(context, condition, now_us);
}

static uint64_t plan_holds_at_us(void *context, uint16_t condition, uint64_t now_us) {
  return ipcnet_reflex_watch_holds_at_us(context, condition, now_us);
}

static void plan_calls(void *context, uint64_t run_id, uint16_t step, uint16_t call) {
  uint8_t data[12] = {0};
  memcpy(data, &run_id, sizeof run_id);
  memcpy(data + 8, &step, sizeof step);
  memcpy(data + 10, &call, sizeof call);
  ipcnet_reflex_report(context, IPCNET_REPORT_CALL, 0, step, data, sizeof data);
}

/* Each step whose state is another than in the image before. */
static void report_steps(struct ipcnet_reflex *self, const struct ipcnet_reflex_run *run, const struct ipcnet_reflex_run *before) {
  const struct ipcnet_reflex_plan *plan = &self->table.plans[run->plan];
  for (uint32_t place = 0; place < plan->steps_count; place++) {
    if (before->run_id == run->run_id && before->steps[place].state == run->steps[place].state) continue;
    uint32_t took_us = run->steps[place].took_us;
    uint8_t data[8] = {run->steps[place].state, run->steps[place].tries, 0, 0, (uint8_t)took_us, (uint8_t)(took_us >> 8), (uint8_t)(took_us >> 16), (uint8_t)(took_us >> 24)};
    ipcnet_reflex_report(self, IPCNET_REPORT_STEP, 0, plan->steps_first + place, data, sizeof data);
  }
}

static void plan_keeps(void *context, const struct ipcnet_reflex_run *run) {
  struct ipcnet_reflex *self = context;
  if (run->plan < ipcnet_reflex_rows(self, IPCNET_REFLEX_PLANS)) report_steps(self, run, &self->image.run);
  ipcnet_reflex_keep(self);
}

/* ---- Beginning -------------------------------------------------------------------------------------------------------------------------- */

void ipcnet_reflex_init(struct ipcnet_reflex *self, const struct ipcnet_reflex_options *options, const struct ipcnet_reflex_os *os, struct ipcnet_reflex_page *page, uint64_t now_us) {
  memset(self, 0, sizeof *self);
  self->options = *options;
  self->os = *os;
  self->page = page;
  self->now_us = self->turned_us = now_us;
  self->stored_epoch = options->stored_epoch;
  self->latched_trigger = IPCNET_REFLEX_NONE;
  self->plan_os = (struct ipcnet_reflex_plan_os){
    .context = self, .send = plan_sends, .holds = plan_holds, .holds_at_us = plan_holds_at_us, .call = plan_calls, .journal = plan_keeps};
  self->plan.run.plan = IPCNET_REFLEX_NONE;
  page->magic = IPCNET_REFLEX_PAGE_MAGIC;
  page->major = IPCNET_REFLEX_TABLE_MAJOR;
  page->minor = IPCNET_REFLEX_TABLE_MINOR;
  memcpy(page->boot_id, options->boot_id, sizeof page->boot_id);
  page->role = IPCNET_TWIN_STARTING; /* and so is ours: 0 */
}

bool ipcnet_reflex_load_table(struct ipcnet_reflex *self, const void *bytes, size_t length, uint64_t now_us, struct ipcnet_reflex_table_fault *fault) {
  ipcnet_reflex_pass_time(self, now_us);
  if (self->arming == IPCNET_ARMED || self->arming == IPCNET_SAFE_POSE) {
    *fault = (struct ipcnet_reflex_table_fault){.code = "busy"};
    return false;
  }
  struct ipcnet_reflex_table table, before = self->table;
  struct ipcnet_reflex_index index_before = self->message_index;
  bool had_table = self->has_table, was_shared = ipcnet_reflex_shared(self);
  if (!ipcnet_reflex_table_open(&table, bytes, length, fault)) return false;
  self->table = table;
  self->has_table = true;
  ipcnet_reflex_index_build(&self->message_index, &self->table, false);
  ipcnet_reflex_index_build(&self->watch_index, &self->table, true);
  ipcnet_reflex_gate_load(self, had_table ? &before : NULL, &index_before);
  ipcnet_reflex_watch_load(self);
  ipcnet_reflex_bus_load(self);
  memset(self->condition_fired, 0, sizeof self->condition_fired);
  self->latched_trigger = IPCNET_REFLEX_NONE; /* rows mean something else now; the latch stays */
  ipcnet_reflex_plan_init(&self->plan, &self->table, &self->plan_os);
  memcpy(self->page->table_hash, table.header->hash, sizeof self->page->table_hash);
  self->page->table_generation = table.generation;
  ipcnet_reflex_keep(self);
  ipcnet_reflex_tell_state(self);
  /* A claim that is under way begins anew: what it had begun to own was of the table before. */
  if (self->role == IPCNET_TWIN_CLAIMING && self->epoch == self->proposed_epoch) ipcnet_reflex_claim_begin(self);
  /* Owner by the lock alone, and now it learns of another host, which may own the bus: nobody was listened to, and the epoch may be the other's. It begins anew. (Who does not hold the lock is not concerned.) */
  if (ipcnet_reflex_shared(self) && !was_shared) ipcnet_reflex_raise(self, IPCNET_TWIN_SELF_FENCED);
  ipcnet_reflex_settle(self);
  return true;
}

const struct ipcnet_reflex_table *ipcnet_reflex_loaded_table(const struct ipcnet_reflex *self) {
  return self->has_table ? &self->table : NULL;
}

/* ---- Roles ------------------------------------------------------------------------------------------------------------------------------ */

void ipcnet_reflex_raise(struct ipcnet_reflex *self, enum ipcnet_twin_event event) {
  for (uint32_t i = 0; i < self->events_count; i++) {
    if (self->events[(self->events_first + i) % IPCNET_TWIN_EVENTS] == (uint8_t)event) return; /* once is enough */
  }
  self->events[(self->events_first + self->events_count) % IPCNET_TWIN_EVENTS] = (uint8_t)event;
  self->events_count++;
}

static uint16_t epoch_to_use(const struct ipcnet_reflex *self) {
  uint16_t known[6] = {self->stored_epoch, self->epoch, self->proposed_epoch, self->heard_epoch};
  if (self->has_restored) known[4] = self->restored.epoch;
  if (ipcnet_reflex_page_valid(self, self->other)) known[5] = (uint16_t)self->other->epoch;
  uint16_t next = ipcnet_epoch_next(known, 6);
  /* Two hosts cannot agree on a number while the wire between them is broken: each has its own, so that no two owners ever use the same. */
  for (uint32_t bus = 0; bus < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); bus++) {
    if (self->table.buses[bus].self_fence_us == 0) continue;
    while ((next & 1u) != self->table.buses[bus].host) next = ipcnet_epoch_next(&next, 1); /* 0xFFFF is followed by 1: both are odd */
  }
  return next;
}

/* Before the role is left: what its going leaves behind. */
static void leave(struct ipcnet_reflex *self, enum ipcnet_twin_role to) {
  bool owned = ipcnet_twin_may_send(self->role);
  if (to != IPCNET_TWIN_YIELDING) {
    /* Whoever comes to own again, much later perhaps, is not armed by that. A run is left as it stands: it will be finished. */
    if (self->arming == IPCNET_ARMED) ipcnet_reflex_set_arming(self, IPCNET_DISARMED);
    ipcnet_reflex_gate_drop(self, IPCNET_REFLEX_BUSES_MAX, false); /* shadows */
  }
  if (to == IPCNET_TWIN_YIELDING) ipcnet_reflex_claim_farewell(self, IPCNET_HANDOVER);
  if (owned && to == IPCNET_TWIN_STOPPED) ipcnet_reflex_claim_farewell(self, IPCNET_RELEASE);
  /* Outvoted it may be cut off: what waits in the controller would come out when the cable is whole again, however old. The lock is still ours: nobody on this host is interrupted. */
  for (uint32_t bus = 0; bus < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); bus++) ipcnet_reflex_bus_park(self, bus, to == IPCNET_TWIN_OUTVOTED);
  self->arming = IPCNET_DISARMED; /* the image keeps what was */
  self->plan.running = false;
  self->adopt_wanted = false;
}

static void take_step(struct ipcnet_reflex *self, enum ipcnet_twin_event event) {
  struct ipcnet_twin_step next = ipcnet_twin_next(self->role, event);
  bool changed = next.role != self->role;
  if (next.effects & IPCNET_TWIN_DO_STORE_EPOCH) ipcnet_reflex_look_back(self);
  if (next.effects & IPCNET_TWIN_DO_SILENCE) leave(self, next.role);
  self->role = next.role;
  self->page->role = (uint32_t)next.role;
  if (changed && next.role == IPCNET_TWIN_OUTVOTED) self->outvoted_us = self->now_us;
  if (event == IPCNET_TWIN_STORE_FAILED && self->malfunction == IPCNET_MALFUNCTION_NONE) self->malfunction = IPCNET_MALFUNCTION_STORE;
  if (next.effects & IPCNET_TWIN_DO_STORE_EPOCH) {
    self->claim_wanted = false;
    self->proposed_epoch = epoch_to_use(self);
  }
  if (next.effects & IPCNET_TWIN_DO_SEND_CLAIM) {
    self->epoch = self->stored_epoch = self->proposed_epoch;
    self->page->epoch = self->epoch;
    ipcnet_reflex_claim_begin(self);
  }
  if (next.effects & IPCNET_TWIN_DO_TAKE_OVER) self->adopt_wanted = true;
  if (next.effects & IPCNET_TWIN_DO_PUBLISH) {
    uint8_t data[4] = {(uint8_t)self->role, 0, (uint8_t)self->epoch, (uint8_t)(self->epoch >> 8)};
    ipcnet_reflex_report(self, IPCNET_REPORT_ROLE, 0, 0, data, sizeof data);
  }
  if (next.effects & SYSTEM_EFFECTS) self->os.twin(self->os.context, next.effects & SYSTEM_EFFECTS, self->proposed_epoch);
}

static void take_steps(struct ipcnet_reflex *self) {
  self->stepping = true;
  while (self->events_count > 0) {
    enum ipcnet_twin_event event = (enum ipcnet_twin_event)self->events[self->events_first];
    self->events_first = (self->events_first + 1) % IPCNET_TWIN_EVENTS;
    self->events_count--;
    take_step(self, event);
    if (self->adopt_wanted && self->has_table) ipcnet_reflex_adopt(self);
  }
  self->stepping = false;
}

void ipcnet_reflex_twin_event(struct ipcnet_reflex *self, enum ipcnet_twin_event event, const struct ipcnet_reflex_page *other, uint64_t now_us) {
  ipcnet_reflex_pass_time(self, now_us);
  self->other = other;
  ipcnet_reflex_raise(self, event);
  ipcnet_reflex_settle(self);
}

/* ---- Turns ------------------------------------------------------------------------------------------------------------------------------ */

void ipcnet_reflex_settle(struct ipcnet_reflex *self) {
  if (self->stepping) return; /* called from within os->twin: the outer call goes on with it */
  take_steps(self);
  if (self->adopt_wanted && self->has_table) ipcnet_reflex_adopt(self);
  ipcnet_reflex_claim_turn(self);
  take_steps(self); /* what was claimed just now may be used just now */
  if (ipcnet_reflex_lease_over(self)) return;
  ipcnet_reflex_arming_turn(self);
  ipcnet_reflex_gate_turn(self);
  ipcnet_reflex_time_turn(self); /* last: whatever else is due goes first */
  take_steps(self);
}

/* Echoes are told between the error frames that surround them: an acknowledge error before an echo is over. */
void ipcnet_reflex_frames(struct ipcnet_reflex *self, uint8_t bus, const struct ipcnet_can_frame *frames, size_t count, uint64_t now_us) {
  ipcnet_reflex_pass_time(self, now_us);
  if (bus >= ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES)) return;
  bool received = false;
  for (size_t i = 0; i < count; i++) {
    struct ipcnet_can_frame frame = frames[i];
    frame.flags &= (uint8_t)~IPCNET_REFLEX_REPORT; /* what stands on a bus never looks like a report of ours */
    if (frame.length_bytes > sizeof frame.data) continue;
    if (frame.flags & IPCNET_CAN_ERROR) {
      ipcnet_reflex_bus_error(self, bus, &frame);
    } else if (frame.flags & IPCNET_CAN_ECHO) {
      self->counters.echoed_frames++;
      ipcnet_reflex_bus_step(self, bus, frame.token == IPCNET_CAN_PROBE_TOKEN ? IPCNET_EVENT_PROBE_ECHO : IPCNET_EVENT_TX_ECHO, 1);
      if (frame.token == IPCNET_CAN_PROBE_TOKEN) continue; /* nobody else's business */
      if ((frame.token & ((1u << TOKEN_ROW_BITS) - 1u)) == TOKEN_CLAIM) ipcnet_reflex_claim_echo(self, bus);
      ipcnet_reflex_time_echo(self, bus, &frame);
      ipcnet_reflex_gate_echo(self, &frame);
    } else {
      received = true;
      self->counters.received_frames++;
      ipcnet_reflex_watch_frame(self, bus, &frame);
    }
    self->os.record(self->os.context, &frame);
  }
  if (received) ipcnet_reflex_bus_note(self, bus, IPCNET_EVENT_RX_FRAME);
  ipcnet_reflex_settle(self);
}

void ipcnet_reflex_tick(struct ipcnet_reflex *self, uint64_t now_us) {
  ipcnet_reflex_pass_time(self, now_us);
  self->turned_us = self->now_us;
  self->page->beat++;
  self->page->beat_us = self->now_us;
  ipcnet_reflex_bus_turn(self);
  ipcnet_reflex_watch_turn(self);
  ipcnet_reflex_settle(self);
}

uint64_t ipcnet_reflex_next_deadline_us(const struct ipcnet_reflex *self) {
  uint64_t due[6] = {ipcnet_reflex_bus_next_us(self), ipcnet_reflex_watch_next_us(self), ipcnet_reflex_claim_next_us(self), ipcnet_reflex_arming_next_us(self), ipcnet_reflex_gate_next_us(self), ipcnet_reflex_time_next_us(self)};
  uint64_t next = UINT64_MAX;
  for (uint32_t i = 0; i < 6; i++) {
    if (due[i] < next) next = due[i];
  }
  return next;
}

/* ---- Being asked ------------------------------------------------------------------------------------------------------------------------ */

void ipcnet_reflex_state(const struct ipcnet_reflex *self, struct ipcnet_reflex_state_record *to) {
  struct ipcnet_reflex *mutable_self = (struct ipcnet_reflex *)(uintptr_t)self; /* missing() only lets time pass, and none passes here */
  *to = (struct ipcnet_reflex_state_record){.arming = self->arming,
                                            .role = (uint8_t)self->role,
                                            .trigger_latched = self->trigger_latched,
                                            .malfunction = self->malfunction,
                                            .epoch = self->epoch,
                                            .trigger = self->plan.run.plan != IPCNET_REFLEX_NONE ? self->plan.run.trigger : IPCNET_REFLEX_NONE,
                                            .plan = self->plan.run.plan,
                                            .missing_count = (uint16_t)ipcnet_reflex_missing(mutable_self, self->now_us, NULL, 0),
                                            .generation = self->has_table ? self->table.generation : 0,
                                            .since_us = self->arming_since_us};
}

enum ipcnet_twin_role ipcnet_reflex_role(const struct ipcnet_reflex *self) {
  return self->role;
}

uint32_t ipcnet_reflex_brain_epoch(const struct ipcnet_reflex *self) {
  bool left = self->has_restored && self->restored.brain_epoch > self->brain_epoch;
  return left ? self->restored.brain_epoch : self->brain_epoch;
}

uint16_t ipcnet_reflex_heard_epoch(const struct ipcnet_reflex *self) {
  return self->heard_epoch;
}

bool ipcnet_reflex_healthy(const struct ipcnet_reflex *self, uint64_t now_us) {
  if (self->malfunction != IPCNET_MALFUNCTION_NONE) return false;
  if (now_us > self->turned_us + LATE_TURN_US) return false;
  if (self->arming != IPCNET_SAFE_POSE || self->plan.run.plan >= ipcnet_reflex_rows(self, IPCNET_REFLEX_PLANS)) return true;
  /* A run that outstays its budget is no longer a way to the pose. */
  uint64_t ends_us = self->plan.run.started_us + self->table.plans[self->plan.run.plan].budget_us + IPCNET_REFLEX_PLAN_LAST_US + LATE_TURN_US;
  return now_us <= ends_us;
}

const struct ipcnet_reflex_counters *ipcnet_reflex_counters(const struct ipcnet_reflex *self) {
  return &self->counters;
}
