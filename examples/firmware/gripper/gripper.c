#include "gripper.h"

static uint8_t receive_memory[IPCNET_SERIAL_RECEIVE_BYTES(GRIPPER_MOVE_BYTES)];
static uint8_t send_memory[2u * IPCNET_SERIAL_WIRE_BYTES(IPCNET_SERIAL_HELLO_BODY_BYTES_MAX)];
static const struct ipcnet_serial_receive receive[] = {
  { .id = GRIPPER_MOVE, .body_bytes = GRIPPER_MOVE_BYTES, .motion = true },
#ifdef GRIPPER_FAULTS
  { .id = GRIPPER_FAULT, .body_bytes = 1 },
#endif
};
static const struct ipcnet_serial_options options = {
  .data_id = GRIPPER_DATA_ID, .name = "gripper", .silence_us = GRIPPER_SILENCE_US, .dead_man_us = GRIPPER_DEAD_MAN_US, .receive = receive, .receive_count = sizeof receive / sizeof receive[0],
  .receive_memory = receive_memory, .receive_memory_bytes = sizeof receive_memory, .send_memory = send_memory, .send_memory_bytes = sizeof send_memory,
};

static int16_t read16(const uint8_t *bytes) {
  return (int16_t)(uint16_t)(bytes[0] | bytes[1] << 8);
}

static void write_bytes(uint8_t *to, uint32_t value, int bytes) {
  for (int i = 0; i < bytes; i++) to[i] = (uint8_t)(value >> (8 * i));
}

static int32_t within(int32_t value, int32_t limit) {
  return value > limit ? limit : value < -limit ? -limit : value;
}

void gripper_start(struct gripper *self, uint32_t seed, uint8_t started_by, uint32_t now_us) {
  *self = (struct gripper){ .started_by = started_by, .mode = GRIPPER_HOLD, .was_safe = true, .poses = 1, .turn_us = now_us, .state_us = now_us, .started_us = now_us };
  (void)ipcnet_serial_init(&self->link, &options, seed, now_us);
}

static void move(struct gripper *self, const uint8_t *body) {
  const uint8_t mode = body[0];
  const int16_t target = read16(body + 1);
  const uint16_t velocity_limit = (uint16_t)read16(body + 3);
  /* The gateway has checked the same limits: the gripper does not take its word for it. */
  if (mode > GRIPPER_OPEN || target < 0 || target > GRIPPER_TARGET_MAX || velocity_limit > GRIPPER_VELOCITY_MAX) {
    self->mode = GRIPPER_HOLD;
    self->refused++;
    return;
  }
  self->mode = mode;
  self->target = mode == GRIPPER_OPEN ? 0 : target;
  self->velocity_limit = velocity_limit;
}

void gripper_byte(struct gripper *self, uint8_t byte, uint32_t now_us) {
  const struct ipcnet_serial_message *message = ipcnet_serial_push(&self->link, byte, now_us);
  if (message == NULL) return;
  if (message->id == GRIPPER_MOVE) move(self, message->body);
#ifdef GRIPPER_FAULTS
  if (message->id == GRIPPER_FAULT) self->wish = message->body[0];
#endif
}

static void control(struct gripper *self, uint32_t passed_us) {
  const bool safe = self->link.outputs == IPCNET_SERIAL_SAFE;
  if (safe && !self->was_safe) self->poses++;
  self->was_safe = safe;
  if (safe) self->mode = GRIPPER_HOLD;
  if (self->mode == GRIPPER_HOLD) {
    self->velocity = 0;
    return;
  }
  /* Towards the target, slower over the last fifth of a second. */
  const int32_t error_millionths = (int32_t)self->target * 1000 - self->position_millionths;
  self->velocity = within(error_millionths / 200, self->velocity_limit);
  self->position_millionths += self->velocity * (int32_t)passed_us / 1000;
}

static void report(struct gripper *self, uint32_t now_us) {
  uint8_t body[GRIPPER_STATE_BYTES];
  const struct ipcnet_serial_counters *counters = &self->link.counters;
  write_bytes(body, (uint32_t)(self->position_millionths / 1000), 2);
  write_bytes(body + 2, (uint32_t)self->velocity, 2);
  body[4] = self->link.outputs;
  body[5] = self->started_by;
  write_bytes(body + 6, counters->accepted, 4);
  write_bytes(body + 10, self->refused + counters->early + counters->repeated + counters->wrong_sequence + counters->crc_mismatch + counters->bad_length, 4);
  write_bytes(body + 14, self->poses, 2);
  write_bytes(body + 16, (now_us - self->started_us) / 1000u, 4);
  (void)ipcnet_serial_send(&self->link, GRIPPER_STATE, body, sizeof body, now_us);
}

void gripper_turn(struct gripper *self, uint32_t now_us) {
  ipcnet_serial_poll(&self->link, now_us);
  const uint32_t passed_us = now_us - self->turn_us;
  if (passed_us >= 1000u) {
    self->turn_us = now_us;
    /* Longer than a turn may take: it did not control meanwhile, and does not catch up either. */
    control(self, passed_us < 20000u ? passed_us : 20000u);
  }
  if (now_us - self->state_us >= GRIPPER_STATE_US) {
    self->state_us = now_us;
    report(self, now_us);
  }
}

bool gripper_next(struct gripper *self, uint8_t *byte) {
  return ipcnet_serial_take(&self->link, byte, 1) == 1;
}
