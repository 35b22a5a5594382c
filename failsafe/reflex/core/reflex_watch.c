#include <string.h>

#include "reflex_internal.h"

#define CANOPEN_OPERATIONAL 5u

/* ---- Loading ---------------------------------------------------------------------------------------------------------------------------- */

void ipcnet_reflex_watch_load(struct ipcnet_reflex *self) {
  memset(self->watches, 0, sizeof self->watches);
  memset(self->conditions, 0, sizeof self->conditions);
  memset(self->nodes, 0, sizeof self->nodes);
  for (uint32_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_WATCHES); row++) {
    const struct ipcnet_reflex_e2e *e2e = &self->table.watches[row].e2e;
    self->watches[row].first_condition = self->watches[row].first_node = IPCNET_REFLEX_NONE;
    ipcnet_e2e_receiver_init(&self->watches[row].receiver, ipcnet_reflex_e2e_counter_max(e2e), e2e->max_delta, e2e->resync_frames);
  }
  for (uint32_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_CONDITIONS); row++) {
    struct watch_state *watch = &self->watches[self->table.conditions[row].watch];
    self->conditions[row].next = watch->first_condition;
    watch->first_condition = (uint16_t)row;
  }
  for (uint32_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_NODES); row++) {
    struct watch_state *watch = &self->watches[self->table.nodes[row].watch];
    self->nodes[row].next = watch->first_node;
    watch->first_node = (uint16_t)row;
  }
}

/* ---- Conditions ------------------------------------------------------------------------------------------------------------------------- */

static void measure(struct ipcnet_reflex *self, uint16_t row, uint64_t seen_us, uint64_t seen_before_us) {
  const struct ipcnet_reflex_condition *rules = &self->table.conditions[row];
  struct condition_state *condition = &self->conditions[row];
  bool within = ipcnet_reflex_field_within(rules->field, self->watches[rules->watch].data, rules->raw_min, rules->raw_max);
  /* What happened in a gap longer than a value's age nobody knows: the hold time begins anew. */
  bool unbroken = condition->within && seen_us - seen_before_us <= rules->age_us_max;
  if (!unbroken) condition->since_us = seen_us;
  condition->within = within;
}

bool ipcnet_reflex_watch_holds(const struct ipcnet_reflex *self, uint16_t row, uint64_t now_us) {
  return ipcnet_reflex_watch_holds_at_us(self, row, now_us) <= now_us;
}

uint64_t ipcnet_reflex_watch_holds_at_us(const struct ipcnet_reflex *self, uint16_t row, uint64_t now_us) {
  const struct ipcnet_reflex_condition *rules = &self->table.conditions[row];
  const struct condition_state *condition = &self->conditions[row];
  const struct watch_state *watch = &self->watches[rules->watch];
  if (!condition->within) return UINT64_MAX; /* left its limits, or was never seen */
  uint64_t from = condition->since_us + rules->hold_us, until = watch->seen_us + rules->age_us_max;
  if (from < now_us) from = now_us;
  return from <= until ? from : UINT64_MAX;
}

/* ---- Nodes ------------------------------------------------------------------------------------------------------------------------------ */

static void tell(struct ipcnet_reflex *self, uint16_t row) {
  const struct node_state *node = &self->nodes[row];
  uint8_t data[5] = {node->life, node->canopen_state, (uint8_t)node->epoch, (uint8_t)(node->epoch >> 8), node->owner};
  ipcnet_reflex_report(self, IPCNET_REPORT_NODE, self->table.nodes[row].bus, row, data, sizeof data);
}

static void lose(struct ipcnet_reflex *self, uint16_t row) {
  const struct ipcnet_reflex_node *rules = &self->table.nodes[row];
  self->nodes[row].life = NODE_LOST;
  tell(self, row);
  bool was_armed = self->arming == IPCNET_ARMED;
  if (rules->lost_trigger != IPCNET_REFLEX_NONE) ipcnet_reflex_fire_row(self, rules->lost_trigger, was_armed);
  else if (was_armed && (rules->flags & IPCNET_REFLEX_NODE_REQUIRED)) ipcnet_reflex_set_arming(self, IPCNET_DISARMED);
}

static void hear_node(struct ipcnet_reflex *self, uint16_t row) {
  const struct ipcnet_reflex_node *rules = &self->table.nodes[row];
  const struct ipcnet_reflex_watch *watch = &self->table.watches[rules->watch];
  const uint8_t *data = self->watches[rules->watch].data;
  struct node_state *node = &self->nodes[row], before = *node;
  if (rules->flags & IPCNET_REFLEX_NODE_CANOPEN) node->canopen_state = data[0] & 0x7Fu;
  if (watch->epoch.bits != 0) {
    node->epoch = (uint16_t)ipcnet_reflex_field_get(watch->epoch, data);
    node->owner = (uint8_t)ipcnet_reflex_field_get(watch->owner, data);
    ipcnet_reflex_claim_witness(self, row);
  }
  if ((rules->flags & IPCNET_REFLEX_NODE_OPERATIONAL) && node->canopen_state != CANOPEN_OPERATIONAL) {
    if (before.life == NODE_ALIVE) lose(self, row);
    else if (before.canopen_state != node->canopen_state) tell(self, row);
    return;
  }
  node->life = NODE_ALIVE;
  if (before.life != NODE_ALIVE || before.canopen_state != node->canopen_state || before.epoch != node->epoch || before.owner != node->owner) tell(self, row);
}

bool ipcnet_reflex_watch_follows(const struct ipcnet_reflex *self, uint16_t row) {
  const struct ipcnet_reflex_watch *watch = &self->table.watches[self->table.nodes[row].watch];
  /* Who reports neither has no bits to differ in. */
  uint32_t epoch_mask = (1u << watch->epoch.bits) - 1u, owner_mask = (1u << watch->owner.bits) - 1u;
  return self->nodes[row].epoch == (self->epoch & epoch_mask) && self->nodes[row].owner == (ipcnet_reflex_owner_number(self, watch->bus) & owner_mask);
}

static bool overdue(const struct ipcnet_reflex *self, uint16_t row) {
  const struct ipcnet_reflex_node *rules = &self->table.nodes[row];
  return self->now_us - self->watches[rules->watch].seen_us > rules->timeout_us;
}

bool ipcnet_reflex_watch_alive(const struct ipcnet_reflex *self, uint16_t row) {
  return self->nodes[row].life == NODE_ALIVE && self->watches[self->table.nodes[row].watch].seen && !overdue(self, row);
}

void ipcnet_reflex_watch_adopt(struct ipcnet_reflex *self) {
  for (uint16_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_NODES); row++) {
    struct watch_state *watch = &self->watches[self->table.nodes[row].watch];
    if (self->nodes[row].life == NODE_UNKNOWN && !watch->seen) {
      /* We have not listened for long: the owner heard it, and it has its own timeout to be heard by us. */
      self->nodes[row].life = NODE_ALIVE;
      watch->seen_us = self->now_us;
    } else if (!ipcnet_reflex_watch_alive(self, row)) {
      lose(self, row); /* it went while we only listened: nobody else would say so */
    }
  }
}

void ipcnet_reflex_watch_turn(struct ipcnet_reflex *self) {
  for (uint16_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_NODES); row++) {
    if (self->nodes[row].life == NODE_ALIVE && overdue(self, row)) lose(self, row);
  }
}

uint64_t ipcnet_reflex_watch_next_us(const struct ipcnet_reflex *self) {
  uint64_t next = UINT64_MAX;
  for (uint16_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_NODES); row++) {
    const struct ipcnet_reflex_node *rules = &self->table.nodes[row];
    uint64_t due = self->watches[rules->watch].seen_us + rules->timeout_us + 1;
    if (self->nodes[row].life == NODE_ALIVE && due < next) next = due;
  }
  return next;
}

/* ---- Frames with identifiers that are ours ------------------------------------------------------------------------------------------------ */

/* Owner: somebody else commands. Not owner: the owner does, and we learn where its counters are. */
static void command_of_another(struct ipcnet_reflex *self, uint16_t row, const struct ipcnet_can_frame *frame) {
  const struct ipcnet_reflex_message *rules = &self->table.messages[row];
  if (rules->flags & IPCNET_REFLEX_SERVICE) return; /* a service tool's, or another host's: it moves nothing */
  uint32_t counter = 0;
  bool intact = frame->length_bytes == rules->length_bytes &&
                ipcnet_reflex_e2e_inspect(&rules->e2e, self->table.bytes, frame->data, frame->length_bytes, &counter) == IPCNET_E2E_INSPECTED_OK;
  if (!ipcnet_twin_may_send(self->role)) {
    if (!intact) return;
    self->messages[row].e2e_counter = counter;
    self->messages[row].others_us = self->now_us;
    if (self->messages[row].sent == 0) self->messages[row].sent = 1;
    return;
  }
  self->counters.foreign_frames++;
  bool dated = intact && rules->epoch.bits != 0;
  uint16_t mask = (uint16_t)((1u << rules->epoch.bits) - 1u);
  uint16_t ahead = (uint16_t)(((uint64_t)ipcnet_reflex_field_get(rules->epoch, frame->data) - self->epoch) & mask);
  if (dated && ahead > mask >> 1) return; /* an owner of before, whom the nodes no longer obey */
  if (intact && ipcnet_reflex_gate_lost(self, row, frame->data)) return; /* our own, from the queue of the link before; said again it is another's */
  self->buses[rules->bus].foreign_until_us = self->now_us + FOREIGN_MASTER_US;
  if (dated && ahead == 0) ipcnet_reflex_malfunctions(self, IPCNET_MALFUNCTION_FOREIGN_COMMAND);
}

/* ---- Received frames -------------------------------------------------------------------------------------------------------------------- */

static uint64_t time_of(const struct ipcnet_reflex *self, const struct ipcnet_can_frame *frame) {
  /* A time that no clock of ours can have said is replaced by now. Written so that a NaN is one. */
  if (!(frame->time_us >= 0 && frame->time_us <= (double)self->now_us)) return self->now_us;
  return (uint64_t)frame->time_us;
}

static void see(struct ipcnet_reflex *self, uint16_t row, const struct ipcnet_can_frame *frame) {
  const struct ipcnet_reflex_watch *rules = &self->table.watches[row];
  struct watch_state *watch = &self->watches[row];
  uint32_t counter = 0;
  ipcnet_e2e_verdict verdict = IPCNET_E2E_BAD_LENGTH;
  if (frame->length_bytes >= rules->length_bytes) verdict = ipcnet_reflex_e2e_inspect(&rules->e2e, self->table.bytes, frame->data, frame->length_bytes, &counter);
  if (!ipcnet_e2e_accepted(ipcnet_e2e_judge(&watch->receiver, verdict, counter))) {
    self->counters.rejected_frames++;
    return;
  }
  uint64_t seen_before_us = watch->seen_us, seen_us = time_of(self, frame);
  if (watch->seen && seen_us < seen_before_us) seen_us = seen_before_us;
  watch->seen = true;
  watch->seen_us = seen_us;
  memcpy(watch->data, frame->data, sizeof watch->data);
  for (uint16_t condition = watch->first_condition; condition != IPCNET_REFLEX_NONE; condition = self->conditions[condition].next) measure(self, condition, seen_us, seen_before_us);
  for (uint16_t node = watch->first_node; node != IPCNET_REFLEX_NONE; node = self->nodes[node].next) hear_node(self, node);
}

void ipcnet_reflex_watch_frame(struct ipcnet_reflex *self, uint8_t bus, const struct ipcnet_can_frame *frame) {
  if (frame->flags & IPCNET_CAN_REMOTE) return;
  if (ipcnet_reflex_claim_frame(self, bus, frame)) return;
  bool extended = frame->flags & IPCNET_CAN_EXTENDED;
  uint16_t watch = ipcnet_reflex_index_find(&self->watch_index, &self->table, true, bus, frame->can_id, extended);
  if (watch != IPCNET_REFLEX_NONE) see(self, watch, frame);
  uint16_t message = ipcnet_reflex_index_find(&self->message_index, &self->table, false, bus, frame->can_id, extended);
  if (message != IPCNET_REFLEX_NONE) command_of_another(self, message, frame);
}
