#include "ipcnet_node.h"

enum { KIND_CLAIM, KIND_BEAT, KIND_HANDOVER, KIND_SPLIT_PROBE, KIND_RELEASE, KINDS };

static const ipcnet_e2e_config claim_e2e = {
  .data_id = IPCNET_NODE_CLAIM_DATA_ID, .min_length_bytes = IPCNET_NODE_CLAIM_BYTES, .max_length_bytes = IPCNET_NODE_CLAIM_BYTES,
};

bool ipcnet_node_newer(uint16_t a, uint16_t b) {
  const uint16_t ahead = (uint16_t)(a - b);
  return ahead != 0 && ahead < 0x8000u;
}

static uint32_t field_of(struct ipcnet_node_field field, const uint8_t *frame) {
  uint32_t value = 0;
  for (uint32_t bit = 0; bit < field.bits; bit++) {
    const uint32_t at = field.start_bit + bit;
    value |= (uint32_t)(frame[at >> 3] >> (at & 7u) & 1u) << bit;
  }
  return value;
}

static bool field_differs(struct ipcnet_node_field field, const uint8_t *frame, size_t length_bytes, uint32_t expected) {
  if (field.bits == 0) return false;
  if ((size_t)field.start_bit + field.bits > length_bytes * 8u) return true;
  return field_of(field, frame) != (expected & ((1ul << field.bits) - 1u));
}

void ipcnet_node_make_safe(struct ipcnet_node *self) {
  self->outputs = IPCNET_NODE_SAFE;
  self->fed = false;
}

static void follow(struct ipcnet_node *self, uint16_t epoch, uint8_t owner) {
  self->epoch = epoch;
  self->owner = owner;
  if (self->outputs == IPCNET_NODE_FOLLOW) self->outputs = IPCNET_NODE_HOLD;
  for (uint8_t i = 0; i < self->command_count; i++) {
    struct ipcnet_node_command *command = &self->commands[i];
    ipcnet_e2e_receiver_init(&command->receiver, command->counter_max, command->max_delta, 0);
  }
}

static void heard_now(struct ipcnet_node *self, uint32_t now_us) {
  self->following = true;
  self->heard_us = now_us;
  self->quiet = false;
}

void ipcnet_node_init(struct ipcnet_node *self, const struct ipcnet_node_options *options, struct ipcnet_node_command *commands, uint8_t command_count) {
  *self = (struct ipcnet_node){ .options = options, .commands = commands, .command_count = command_count };
  follow(self, 0, 0);
}

enum ipcnet_node_heard ipcnet_node_hear(struct ipcnet_node *self, uint8_t id_owner, const uint8_t *frame, size_t length_bytes, uint32_t now_us) {
  uint32_t counter = 0;
  ipcnet_node_poll(self, now_us);
  if (self->options->claim_timeout_us == 0) return IPCNET_NODE_NOT_HEARD;
  if (ipcnet_e2e_p05_inspect(&claim_e2e, frame, length_bytes, &counter) != IPCNET_E2E_INSPECTED_OK) return IPCNET_NODE_NOT_HEARD;
  const uint8_t kind = frame[3] & 0x0Fu, owner = frame[6];
  const uint16_t epoch = (uint16_t)(frame[4] | frame[5] << 8);
  if (frame[3] >> 4 != IPCNET_NODE_CLAIM_VERSION || kind >= KINDS || epoch == 0 || owner != id_owner || owner >= IPCNET_NODE_OWNERS) return IPCNET_NODE_NOT_HEARD;

  if (self->epoch != 0 && epoch == self->epoch && owner == self->owner) {
    if (counter == self->claim_counter) return IPCNET_NODE_NOT_HEARD;
    self->claim_counter = (uint8_t)counter;
    if (kind == KIND_RELEASE) {
      self->following = false;
      ipcnet_node_make_safe(self);
      return IPCNET_NODE_RELEASED;
    }
    heard_now(self, now_us);
    return IPCNET_NODE_KEPT;
  }
  if (self->epoch != 0 && !ipcnet_node_newer(epoch, self->epoch)) {
    self->stale_claims++;
    return IPCNET_NODE_STALE;
  }
  /* Nobody is followed for going, or for passing on. */
  if (kind == KIND_RELEASE || kind == KIND_HANDOVER) return IPCNET_NODE_NOT_HEARD;
  follow(self, epoch, owner);
  self->claim_counter = (uint8_t)counter;
  heard_now(self, now_us);
  return IPCNET_NODE_FOLLOWED;
}

static enum ipcnet_node_verdict judge(struct ipcnet_node *self, uint8_t index, const uint8_t *frame, size_t length_bytes, uint32_t now_us) {
  uint32_t counter = 0;
  if (index >= self->command_count) return IPCNET_NODE_BAD_FRAME;
  struct ipcnet_node_command *command = &self->commands[index];
  const ipcnet_e2e_verdict verdict = command->inspect(&command->e2e, frame, length_bytes, &counter);
  if (verdict != IPCNET_E2E_INSPECTED_OK) return IPCNET_NODE_BAD_FRAME;
  if (self->options->claim_timeout_us != 0) {
    if (!self->following) return IPCNET_NODE_NOT_FOLLOWING;
    if (field_differs(command->epoch, frame, length_bytes, self->epoch)) return IPCNET_NODE_OTHER_EPOCH;
    if (field_differs(command->owner, frame, length_bytes, self->owner)) return IPCNET_NODE_OTHER_OWNER;
  }
  /* Only now: a stranger's frames never move the window of the owner's. */
  if (!ipcnet_e2e_accepted(ipcnet_e2e_judge(&command->receiver, verdict, counter))) return IPCNET_NODE_OLD_COUNTER;
  self->heard_us = now_us;
  self->quiet = false;
  if (command->motion) {
    self->outputs = IPCNET_NODE_FOLLOW;
    self->fed = true;
    self->fed_us = now_us;
  }
  return IPCNET_NODE_ACCEPTED;
}

enum ipcnet_node_verdict ipcnet_node_judge(struct ipcnet_node *self, uint8_t command, const uint8_t *frame, size_t length_bytes, uint32_t now_us) {
  ipcnet_node_poll(self, now_us);
  const enum ipcnet_node_verdict verdict = judge(self, command, frame, length_bytes, now_us);
  if (verdict == IPCNET_NODE_ACCEPTED) self->accepted_commands++;
  else self->refused_commands++;
  return verdict;
}

void ipcnet_node_poll(struct ipcnet_node *self, uint32_t now_us) {
  if (self->fed && now_us - self->fed_us >= self->options->dead_man_us) {
    self->dead_man_stops++;
    ipcnet_node_make_safe(self);
  }
  if (self->following && now_us - self->heard_us >= self->options->claim_timeout_us) {
    self->following = false;
    ipcnet_node_make_safe(self);
  }
  if (self->options->claim_quiet_us != 0 && now_us - self->heard_us >= self->options->claim_quiet_us) self->quiet = true;
}

uint8_t ipcnet_node_reported_owner(const struct ipcnet_node *self) {
  return self->following && !self->quiet ? self->owner : IPCNET_NODE_NOBODY;
}
