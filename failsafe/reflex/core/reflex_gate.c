#include <string.h>

#include "reflex_internal.h"

/* ---- Finding rows by identifier --------------------------------------------------------------------------------------------------------- */

static uint32_t hash_of(uint8_t bus, uint32_t can_id, bool extended) {
  uint32_t hash = (can_id ^ (uint32_t)bus << 29 ^ (extended ? 0x9E37u : 0u)) * 2654435761u;
  return hash >> 16 & (INDEX_SLOTS - 1u);
}

struct id { uint8_t bus; uint32_t can_id; bool extended; };

static struct id id_of(const struct ipcnet_reflex_table *table, bool watches, uint32_t row) {
  if (watches) return (struct id){table->watches[row].bus, table->watches[row].can_id, table->watches[row].can_flags & IPCNET_CAN_EXTENDED};
  return (struct id){table->messages[row].bus, table->messages[row].can_id, table->messages[row].can_flags & IPCNET_CAN_EXTENDED};
}

void ipcnet_reflex_index_build(struct ipcnet_reflex_index *index, const struct ipcnet_reflex_table *table, bool watches) {
  memset(index, 0xFF, sizeof *index);
  uint32_t rows = table->header->sections[watches ? IPCNET_REFLEX_WATCHES : IPCNET_REFLEX_MESSAGES].count;
  for (uint32_t row = 0; row < rows; row++) {
    struct id id = id_of(table, watches, row);
    uint32_t slot = hash_of(id.bus, id.can_id, id.extended);
    while (index->slots[slot] != IPCNET_REFLEX_NONE) slot = (slot + 1u) & (INDEX_SLOTS - 1u);
    index->slots[slot] = (uint16_t)row;
  }
}

uint16_t ipcnet_reflex_index_find(const struct ipcnet_reflex_index *index, const struct ipcnet_reflex_table *table, bool watches, uint8_t bus, uint32_t can_id, bool extended) {
  for (uint32_t slot = hash_of(bus, can_id, extended); index->slots[slot] != IPCNET_REFLEX_NONE; slot = (slot + 1u) & (INDEX_SLOTS - 1u)) {
    struct id id = id_of(table, watches, index->slots[slot]);
    if (id.bus == bus && id.can_id == can_id && id.extended == extended) return index->slots[slot];
  }
  return IPCNET_REFLEX_NONE;
}

/* ---- Loading ---------------------------------------------------------------------------------------------------------------------------- */

/* Counters go on where a message had one in the table before: its receivers know nothing of tables. */
void ipcnet_reflex_gate_load(struct ipcnet_reflex *self, const struct ipcnet_reflex_table *before, const struct ipcnet_reflex_index *index_before) {
  struct { uint32_t e2e_counter, sent; } kept[IPCNET_REFLEX_MESSAGES_MAX] = {{0, 0}};
  for (uint32_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_MESSAGES) && before != NULL; row++) {
    struct id id = id_of(&self->table, false, row);
    uint16_t was = ipcnet_reflex_index_find(index_before, before, false, id.bus, id.can_id, id.extended);
    if (was == IPCNET_REFLEX_NONE || before->messages[was].e2e.profile != self->table.messages[row].e2e.profile) continue;
    kept[row].e2e_counter = self->messages[was].e2e_counter;
    kept[row].sent = self->messages[was].sent;
  }
  memset(self->messages, 0, sizeof self->messages);
  memset(self->page->messages, 0, sizeof self->page->messages);
  for (uint32_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_MESSAGES); row++) {
    self->messages[row].e2e_counter = self->page->messages[row].e2e_counter = kept[row].e2e_counter;
    self->messages[row].sent = self->page->messages[row].sent = kept[row].sent;
  }
}

/* ---- Telling ---------------------------------------------------------------------------------------------------------------------------- */

static void refuse(struct ipcnet_reflex *self, enum ipcnet_reflex_refusal why, uint32_t token, uint16_t row) {
  uint8_t data[4] = {(uint8_t)why, 0, (uint8_t)row, (uint8_t)(row >> 8)};
  self->counters.refused[why]++;
  ipcnet_reflex_report(self, IPCNET_REPORT_REFUSED, 0, token, data, sizeof data);
}

static void settled(struct ipcnet_reflex *self, uint32_t row, uint8_t how) {
  struct message_state *message = &self->messages[row];
  message->in_flight = false;
  if (how == 0) {
    message->lost[1] = message->lost[0];
    message->lost[0].there = true;
    memcpy(message->lost[0].data, message->in_flight_data, sizeof message->lost[0].data);
  }
  uint8_t data[4] = {how, 0, (uint8_t)row, (uint8_t)(row >> 8)};
  if (message->in_flight_brain_token != 0) ipcnet_reflex_report(self, IPCNET_REPORT_SETTLED, self->table.messages[row].bus, message->in_flight_brain_token, data, sizeof data);
}

/* This command needs no successor: it was sent, or refused for good. Before whatever follows from it. */
static void done_with(struct ipcnet_reflex *self, uint32_t row, uint32_t brain_epoch, uint64_t sequence) {
  struct ipcnet_reflex_page_message *shown = &self->page->messages[row];
  if (brain_epoch < shown->brain_epoch || (brain_epoch == shown->brain_epoch && sequence < shown->sequence)) return;
  shown->brain_epoch = brain_epoch;
  shown->sequence = sequence;
  atomic_thread_fence(memory_order_release); // SYNC: pairs with the successor's reading after our death
}

/* What waits is given up. */
static void give_up(struct ipcnet_reflex *self, uint32_t row, enum ipcnet_reflex_refusal why) {
  struct message_state *message = &self->messages[row];
  if (!message->waiting) return;
  message->waiting = false;
  /* A shadow belongs to the owner, who answers for it. */
  if (!ipcnet_twin_may_send(self->role)) return;
  done_with(self, row, message->brain_epoch, message->sequence);
  refuse(self, why, message->token, (uint16_t)row);
}

/* ---- The moment of sending -------------------------------------------------------------------------------------------------------------- */

/* Builds the frame: epoch, owner, counter, CRC. False: it cannot be protected (a checked table has no such message). */
static bool build(struct ipcnet_reflex *self, uint32_t row, const uint8_t *payload, uint64_t deadline_us, uint32_t counter, struct ipcnet_can_frame *frame) {
  const struct ipcnet_reflex_message *message = &self->table.messages[row];
  *frame = (struct ipcnet_can_frame){.time_us = (double)deadline_us,
                                     .can_id = message->can_id,
                                     .flags = message->can_flags,
                                     .length_bytes = message->length_bytes,
                                     .bus = message->bus,
                                     .token = ipcnet_reflex_next_token(self, row)};
  memcpy(frame->data, payload, message->length_bytes);
  ipcnet_reflex_field_set(message->epoch, frame->data, self->epoch);
  ipcnet_reflex_field_set(message->owner, frame->data, ipcnet_reflex_owner_number(self, message->bus));
  return ipcnet_reflex_e2e_protect(&message->e2e, self->table.bytes, frame->data, message->length_bytes, counter);
}

static uint64_t key_of(const struct ipcnet_can_frame *frame) {
  return ipcnet_can_key(frame->can_id | (frame->flags & IPCNET_CAN_EXTENDED ? CAN_EFF_FLAG : 0), frame->length_bytes, frame->data);
}

/* Protects, writes what a successor must know into the page, hands over. `set_point_us`: until when the value holds; 0 for a pose and for the care of nodes, which are no set-points. */
static enum ipcnet_can_verdict transmit(struct ipcnet_reflex *self, uint32_t row, const uint8_t *payload, uint64_t deadline_us, uint64_t set_point_us, uint32_t brain_token) {
  struct message_state *message = &self->messages[row];
  struct ipcnet_reflex_page_message *shown = &self->page->messages[row];
  uint8_t bus = self->table.messages[row].bus;
  uint32_t counter_max = ipcnet_reflex_e2e_counter_max(&self->table.messages[row].e2e);
  /* Before the first frame it stands at 0: P02 and P22 begin with 1; for the others any beginning is as good. */
  uint32_t counter = ipcnet_e2e_counter_after(message->e2e_counter, counter_max);
  struct ipcnet_can_frame frame;
  if (!build(self, row, payload, deadline_us, counter, &frame)) return IPCNET_CAN_BAD_LENGTH;
  struct ipcnet_reflex_page_message before = *shown;
  shown->e2e_counter = counter;
  shown->sent = message->sent + 1 == 0 ? 1 : message->sent + 1;
  shown->deadline_us = set_point_us;
  atomic_thread_fence(memory_order_release); // SYNC: pairs with the successor's reading after our death
  enum ipcnet_can_verdict verdict = ipcnet_reflex_bus_send(self, bus, &frame);
  if (verdict != IPCNET_CAN_QUEUED) {
    shown->e2e_counter = before.e2e_counter;
    shown->sent = before.sent;
    shown->deadline_us = before.deadline_us;
    return verdict;
  }
  message->e2e_counter = counter;
  message->sent = shown->sent;
  message->set_point_us = set_point_us;
  if (message->in_flight) settled(self, row, 0); /* a pose overtakes a command of its kind: its echo, if it comes, is nobody's */
  message->in_flight = self->buses[bus].confirms;
  message->in_flight_token = frame.token;
  message->in_flight_brain_token = brain_token;
  message->in_flight_key = key_of(&frame);
  message->in_flight_since_us = self->now_us;
  memcpy(message->in_flight_data, frame.data, sizeof message->in_flight_data);
  return verdict;
}

static enum ipcnet_reflex_refusal refusal_for(enum ipcnet_can_verdict verdict) {
  switch (verdict) {
    case IPCNET_CAN_QUEUE_FULL: return IPCNET_REFUSED_QUEUE_FULL;
    case IPCNET_CAN_EXPIRED: return IPCNET_REFUSED_EXPIRED;
    case IPCNET_CAN_NOT_OPEN:
    case IPCNET_CAN_LINK_DOWN: return IPCNET_REFUSED_BUS;
    default: return IPCNET_REFUSED_DROPPED;
  }
}

static bool is_service(const struct ipcnet_reflex_message *rules) {
  return rules->flags & IPCNET_REFLEX_SERVICE;
}

/* The one state in which this kind of command may pass: what moves while armed, care of nodes while disarmed. The two never share the bus. */
static bool state_allows(const struct ipcnet_reflex *self, bool service) {
  return self->arming == (service ? IPCNET_DISARMED : IPCNET_ARMED) && self->malfunction == IPCNET_MALFUNCTION_NONE;
}

/* Whether a command may go out now. Looked at when it comes and again when it leaves: what happened in between has dropped it, but this is the lock that counts. */
static bool may_leave(const struct ipcnet_reflex *self, const struct ipcnet_reflex_message *rules) {
  return ipcnet_twin_may_send(self->role) && state_allows(self, is_service(rules)) && ipcnet_reflex_bus_open(self, rules->bus);
}

/* Whose turn it is where the load is used up: who found too little is served before others, or many small frames would starve a large one. NONE: nobody waits for it. */
static uint16_t first_in_line(const struct ipcnet_reflex *self, uint32_t bus) {
  uint16_t row = self->buses[bus].first_in_line;
  return row != IPCNET_REFLEX_NONE && self->messages[row].waiting ? row : IPCNET_REFLEX_NONE;
}

static bool takes_load(struct ipcnet_reflex *self, uint32_t row) {
  const struct ipcnet_reflex_message *rules = &self->table.messages[row];
  uint16_t first = first_in_line(self, rules->bus);
  if (first != IPCNET_REFLEX_NONE && first != row) return false;
  bool taken = ipcnet_reflex_bus_take(self, rules->bus, rules->bits);
  self->buses[rules->bus].first_in_line = taken ? IPCNET_REFLEX_NONE : (uint16_t)row;
  return taken;
}

/* Sends what waits in the slot, if everything allows it now. */
static void flush(struct ipcnet_reflex *self, uint32_t row) {
  struct message_state *message = &self->messages[row];
  const struct ipcnet_reflex_message *rules = &self->table.messages[row];
  if (!message->waiting) return;
  if (self->now_us >= message->deadline_us) {
    give_up(self, row, IPCNET_REFUSED_EXPIRED);
    return;
  }
  if (!may_leave(self, rules)) return; /* a shadow */
  if (message->in_flight || self->now_us < message->next_allowed_us || !takes_load(self, row)) return;
  message->waiting = false;
  done_with(self, row, message->brain_epoch, message->sequence);
  enum ipcnet_can_verdict verdict = transmit(self, row, message->data, message->deadline_us, is_service(rules) ? 0 : message->deadline_us, message->token);
  if (verdict != IPCNET_CAN_QUEUED) {
    refuse(self, refusal_for(verdict), message->token, (uint16_t)row);
    return;
  }
  /* From the schedule, not from now, while it is kept: jitter must not lower the rate. */
  uint64_t scheduled_us = message->next_allowed_us + rules->interval_us_min, soonest_us = self->now_us + rules->interval_us_min / 2;
  message->next_allowed_us = scheduled_us > soonest_us ? scheduled_us : soonest_us;
}

/* ---- Commands --------------------------------------------------------------------------------------------------------------------------- */

/* Whether an answer is ours to give. A twin that is about to own the bus, or just gave it up, reads the same lane as the owner: it keeps shadows and is silent. */
static bool shadows(const struct ipcnet_reflex *self) {
  switch (self->role) {
    case IPCNET_TWIN_STANDBY:
    case IPCNET_TWIN_FENCING:
    case IPCNET_TWIN_CLAIMING:
    case IPCNET_TWIN_YIELDING: return true;
    default: return false;
  }
}

/* The refusals, in their order; 0: accepted. What concerns the owner's moment is skipped for shadows. */
static enum ipcnet_reflex_refusal judge(const struct ipcnet_reflex *self, const struct ipcnet_reflex_command *command, bool shadow) {
  bool known = command->message < ipcnet_reflex_rows(self, IPCNET_REFLEX_MESSAGES);
  const struct ipcnet_reflex_message *rules = known ? &self->table.messages[command->message] : NULL;
  if (!shadow) {
    if (!ipcnet_twin_may_send(self->role)) return IPCNET_REFUSED_NOT_OWNER;
    bool service = known && is_service(rules);
    if (!state_allows(self, service)) return service ? IPCNET_REFUSED_NOT_DISARMED : IPCNET_REFUSED_NOT_ARMED;
    if (known && !ipcnet_reflex_bus_open(self, rules->bus)) return IPCNET_REFUSED_BUS;
  }
  if (!known || (rules->flags & IPCNET_REFLEX_POSE_ONLY)) return IPCNET_REFUSED_UNKNOWN;
  if (memcmp(&command->table_hash, self->table.header->hash, sizeof command->table_hash) != 0) return IPCNET_REFUSED_TABLE;
  if (command->length_bytes != rules->length_bytes) return IPCNET_REFUSED_LENGTH;
  if (!ipcnet_reflex_checks_hold(&self->table, rules, command->data)) return IPCNET_REFUSED_RANGE;
  if (command->deadline_us <= self->now_us) return IPCNET_REFUSED_EXPIRED;
  if (command->brain_epoch < self->brain_epoch) return IPCNET_REFUSED_OLD_BRAIN;
  if (command->brain_epoch == self->brain_epoch && self->brain_sequence_known && command->sequence <= self->brain_sequence) return IPCNET_REFUSED_REPEATED;
  return 0;
}

void ipcnet_reflex_command(struct ipcnet_reflex *self, const void *bytes, size_t length, uint64_t now_us) {
  ipcnet_reflex_pass_time(self, now_us);
  struct ipcnet_reflex_command command;
  if (length != sizeof command) {
    self->counters.refused[IPCNET_REFUSED_LENGTH]++;
    return;
  }
  memcpy(&command, bytes, sizeof command); /* once: who wrote it may still write */
  bool shadow = shadows(self);
  enum ipcnet_reflex_refusal why = judge(self, &command, shadow);
  if (why != 0) {
    if (shadow) return;
    if (command.message < ipcnet_reflex_rows(self, IPCNET_REFLEX_MESSAGES)) done_with(self, command.message, command.brain_epoch, command.sequence);
    refuse(self, why, command.token, command.message);
    return;
  }
  struct message_state *message = &self->messages[command.message];
  give_up(self, command.message, IPCNET_REFUSED_SUPERSEDED);
  uint64_t ttl_us = self->table.messages[command.message].ttl_us_max;
  message->waiting = true;
  message->token = command.token;
  message->brain_epoch = self->brain_epoch = command.brain_epoch;
  message->sequence = self->brain_sequence = command.sequence;
  self->brain_sequence_known = true;
  message->deadline_us = command.deadline_us - self->now_us < ttl_us ? command.deadline_us : self->now_us + ttl_us;
  memcpy(message->data, command.data, sizeof message->data);
  ipcnet_reflex_settle(self);
}

/* ---- Turns ------------------------------------------------------------------------------------------------------------------------------ */

/* An echo that stays away for so long is lost, or the bus would have been found dead. */
static uint64_t give_up_echo_us(const struct ipcnet_reflex *self, uint32_t row) {
  return self->messages[row].in_flight_since_us + 2 * ipcnet_bus_health_echo_patience_us(&self->buses[self->table.messages[row].bus].health);
}

void ipcnet_reflex_gate_turn(struct ipcnet_reflex *self) {
  for (uint32_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_MESSAGES); row++) {
    if (self->messages[row].in_flight && self->now_us >= give_up_echo_us(self, row)) settled(self, row, 0);
    flush(self, row);
  }
}

uint64_t ipcnet_reflex_gate_next_us(const struct ipcnet_reflex *self) {
  uint64_t next = UINT64_MAX;
  for (uint32_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_MESSAGES); row++) {
    const struct message_state *message = &self->messages[row];
    uint64_t due = UINT64_MAX;
    if (message->in_flight) {
      due = give_up_echo_us(self, row);
    } else if (message->waiting && ipcnet_twin_may_send(self->role)) {
      uint16_t first = first_in_line(self, self->table.messages[row].bus);
      due = ipcnet_reflex_bus_take_at_us(self, self->table.messages[row].bus, self->table.messages[first == IPCNET_REFLEX_NONE ? row : first].bits);
      if (message->next_allowed_us > due) due = message->next_allowed_us;
    }
    if (message->waiting && message->deadline_us < due) due = message->deadline_us;
    if (due < next) next = due;
  }
  return next;
}

void ipcnet_reflex_gate_drop(struct ipcnet_reflex *self, uint32_t bus, bool set_points) {
  for (uint32_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_MESSAGES); row++) {
    if (bus != IPCNET_REFLEX_BUSES_MAX && self->table.messages[row].bus != bus) continue;
    give_up(self, row, IPCNET_REFUSED_DROPPED);
    if (!set_points) continue;
    self->messages[row].set_point_us = 0;
    self->page->messages[row].deadline_us = 0;
  }
}

void ipcnet_reflex_gate_settle(struct ipcnet_reflex *self, uint32_t bus, uint8_t how) {
  for (uint32_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_MESSAGES); row++) {
    if (self->table.messages[row].bus == bus && self->messages[row].in_flight) settled(self, row, how);
  }
}

bool ipcnet_reflex_gate_lost(struct ipcnet_reflex *self, uint16_t row, const uint8_t *data) {
  struct message_state *message = &self->messages[row];
  for (uint32_t i = 0; i < 2; i++) {
    if (!message->lost[i].there || memcmp(message->lost[i].data, data, self->table.messages[row].length_bytes) != 0) continue;
    message->lost[i].there = false;
    return true;
  }
  return false;
}

bool ipcnet_reflex_gate_dropped(struct ipcnet_reflex *self, uint32_t bus, uint64_t key) {
  for (uint32_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_MESSAGES); row++) {
    if (self->table.messages[row].bus != bus || !self->messages[row].in_flight || self->messages[row].in_flight_key != key) continue;
    settled(self, row, 0);
    return true;
  }
  return false;
}

void ipcnet_reflex_gate_echo(struct ipcnet_reflex *self, struct ipcnet_can_frame *frame) {
  uint32_t row = frame->token & ((1u << TOKEN_ROW_BITS) - 1u), token = frame->token;
  frame->token = 0;
  if (row >= ipcnet_reflex_rows(self, IPCNET_REFLEX_MESSAGES)) return;
  struct message_state *message = &self->messages[row];
  if (!message->in_flight || message->in_flight_token != token) return;
  message->in_flight = false;
  frame->token = message->in_flight_brain_token;
}

bool ipcnet_reflex_gate_pose(struct ipcnet_reflex *self, const struct ipcnet_reflex_send *send) {
  const struct ipcnet_reflex_message *rules = &self->table.messages[send->message];
  bool claimed = self->table.buses[rules->bus].claim_id == IPCNET_REFLEX_NO_CLAIM_ID || self->buses[rules->bus].claimed;
  if (!ipcnet_twin_may_send(self->role) || !ipcnet_reflex_bus_reachable(self, rules->bus) || !claimed) return false;
  return transmit(self, send->message, self->table.bytes + send->payload, self->now_us + rules->ttl_us_max, 0, 0) == IPCNET_CAN_QUEUED;
}
