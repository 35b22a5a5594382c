#include "gripper.h"

/* The shortest frames that circuits allow: a command waits for one of them at most, 9 ms. A request fits into one, and so does its answer. */
enum { CIRCUIT_FRAME_BYTES = 72, CIRCUITS = 2, SLOTS = 4, REQUEST_BYTES_MAX = 16, WINDOW_UNITS = 128, REPEAT_US = 200000 };

static uint8_t receive_memory[IPCNET_SERIAL_RECEIVE_BYTES(IPCNET_CIRCUITS_LINE_BYTES + CIRCUIT_FRAME_BYTES)];
static uint8_t send_memory[IPCNET_SERIAL_WIRE_BYTES(IPCNET_CIRCUITS_LINE_BYTES + CIRCUIT_FRAME_BYTES) + IPCNET_SERIAL_WIRE_BYTES(IPCNET_SERIAL_HELLO_BODY_BYTES_MAX)];
static const struct ipcnet_serial_receive receive[] = {
  { .id = GRIPPER_MOVE, .body_bytes = GRIPPER_MOVE_BYTES, .motion = true },
#ifdef GRIPPER_FAULTS
  { .id = GRIPPER_FAULT, .body_bytes = 1 },
#endif
};
static const struct ipcnet_serial_options options = {
  .data_id = GRIPPER_DATA_ID, .name = "gripper", .silence_us = GRIPPER_SILENCE_US, .dead_man_us = GRIPPER_DEAD_MAN_US, .circuits = true, .receive = receive, .receive_count = sizeof receive / sizeof receive[0],
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

/* ---- What is set ----------------------------------------------------------------------------------------------------------------------- */

static const struct { uint16_t minimum, maximum, at_first; } ranges[GRIPPER_PARAMETERS] = {
  [GRIPPER_FORCE_LIMIT] = { 500, 40000, 10000 }, [GRIPPER_VELOCITY_LIMIT] = { 10, GRIPPER_VELOCITY_MAX, GRIPPER_VELOCITY_MAX },
};

static void keep(struct gripper *self, uint32_t which, uint16_t value) {
  self->kept->parameter[which] = value | (uint32_t)(uint16_t)~value << 16;
}

static bool is_whole(const struct gripper *self, uint32_t which) {
  const uint32_t kept = self->kept->parameter[which], value = kept & 0xFFFFu;
  return (kept >> 16 ^ value) == 0xFFFFu && value >= ranges[which].minimum && value <= ranges[which].maximum;
}

/* Looked at before each use, so that a damaged one needs no case of its own at the start. */
static uint16_t parameter(struct gripper *self, uint32_t which) {
  if (!is_whole(self, which)) {
    self->lost_parameters++;
    keep(self, which, ranges[which].minimum);
  }
  return (uint16_t)self->kept->parameter[which];
}

/* ---- What it serves -------------------------------------------------------------------------------------------------------------------- */

/* word[0]: which one. Set as a whole and at once: whoever is cut off before the answer finds the one before or the new one. */
static uint16_t hear_parameter(void *context, struct ipcnet_circuit *call, const uint8_t *body, size_t body_bytes, bool more) {
  struct gripper *self = *(struct gripper *const *)context;
  if (more || call->word[1]++ > 0 || (body_bytes != 1 && body_bytes != 3)) return IPCNET_STATUS_BAD_REQUEST;
  if (body[0] >= GRIPPER_PARAMETERS) return IPCNET_STATUS_NOT_FOUND;
  call->word[0] = body[0];
  if (body_bytes == 1) return 0;
  const uint16_t value = (uint16_t)read16(body + 1);
  if (value < ranges[body[0]].minimum || value > ranges[body[0]].maximum) return IPCNET_STATUS_UNPROCESSABLE;
  if (value > parameter(self, body[0]) && self->link.outputs != IPCNET_SERIAL_SAFE) return IPCNET_STATUS_PRECONDITION_FAILED;
  keep(self, body[0], value);
  return 0;
}

static enum ipcnet_circuit_said tell_parameter(void *context, struct ipcnet_circuit *call, uint8_t *out, size_t *out_bytes) {
  write_bytes(out, parameter(*(struct gripper *const *)context, call->word[0]), 2);
  write_bytes(out + 2, ranges[call->word[0]].minimum, 2);
  write_bytes(out + 4, ranges[call->word[0]].maximum, 2);
  *out_bytes = 6;
  return IPCNET_CIRCUIT_LAST;
}

static uint16_t hear_nothing(void *context, struct ipcnet_circuit *call, const uint8_t *body, size_t body_bytes, bool more) {
  (void)context;
  (void)body;
  return more || call->word[1]++ > 0 || body_bytes != 0 ? IPCNET_STATUS_BAD_REQUEST : 0;
}

static enum ipcnet_circuit_said tell_identity(void *context, struct ipcnet_circuit *call, uint8_t *out, size_t *out_bytes) {
  (void)call;
  write_bytes(out, GRIPPER_VENDOR, 4);
  write_bytes(out + 4, GRIPPER_PRODUCT, 4);
  write_bytes(out + 8, GRIPPER_VERSION, 4);
  out[12] = (*(struct gripper *const *)context)->started_by;
  *out_bytes = 13;
  return IPCNET_CIRCUIT_LAST;
}

static enum ipcnet_circuit_said tell_counters(void *context, struct ipcnet_circuit *call, uint8_t *out, size_t *out_bytes) {
  const struct gripper *self = *(struct gripper *const *)context;
  const struct ipcnet_serial_counters *link = &self->link.counters;
  const uint32_t counters[] = {
    (self->turn_us - self->started_us) / 1000u, link->accepted, self->refused, self->poses, link->crc_mismatch, link->repeated + link->wrong_sequence, link->silences, link->peer_restarts, link->dead_man_stops,
    self->circuits.counters.begun, self->circuits.counters.refused, self->lost_parameters,
  };
  _Static_assert(sizeof counters <= 56, "what there is room for in any case");
  (void)call;
  for (size_t i = 0; i < sizeof counters / sizeof counters[0]; i++) write_bytes(out + 4 * i, counters[i], 4);
  *out_bytes = sizeof counters;
  return IPCNET_CIRCUIT_LAST;
}

/* The one gripper. Services are constants, who it is turns out at its start. */
static struct gripper *the_gripper;
static const struct ipcnet_circuit_service services[] = {
  { .name = "parameter", .context = &the_gripper, .hear = hear_parameter, .tell = tell_parameter },
  { .name = "identity", .context = &the_gripper, .hear = hear_nothing, .tell = tell_identity },
  { .name = "counters", .context = &the_gripper, .hear = hear_nothing, .tell = tell_counters },
};

static bool serve(struct gripper *self) {
  static struct ipcnet_circuit calls[IPCNET_CIRCUITS(CIRCUITS)];
  static uint8_t slots[SLOTS][IPCNET_CIRCUITS_SLOT_BYTES(CIRCUIT_FRAME_BYTES)];
  static struct ipcnet_circuits_options circuits_options;
  the_gripper = self;
  circuits_options = (struct ipcnet_circuits_options){
    .link = &self->link, .name = "gripper", .services = services, .service_count = sizeof services / sizeof services[0], .circuits = calls, .circuit_count = CIRCUITS, .slots = slots[0], .slot_count = SLOTS,
    .frame_bytes = CIRCUIT_FRAME_BYTES, .message_bytes_max = REQUEST_BYTES_MAX, .window_units = WINDOW_UNITS, .repeat_us = REPEAT_US,
  };
  return ipcnet_circuits_init(&self->circuits, &circuits_options);
}

/* ---- Its life -------------------------------------------------------------------------------------------------------------------------- */

bool gripper_start(struct gripper *self, struct gripper_kept *kept, uint32_t seed, uint8_t started_by, uint32_t now_us) {
  *self = (struct gripper){ .kept = kept, .started_by = started_by, .mode = GRIPPER_HOLD, .was_safe = true, .poses = 1, .turn_us = now_us, .state_us = now_us, .started_us = now_us };
  for (uint32_t i = 0; i < GRIPPER_PARAMETERS; i++) if (started_by == 0) keep(self, i, ranges[i].at_first);
  return ipcnet_serial_init(&self->link, &options, seed, now_us) && serve(self);
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
  if (message->id == IPCNET_SERIAL_CIRCUITS_ID) ipcnet_circuits_hear(&self->circuits, message, now_us);
#ifdef GRIPPER_FAULTS
  if (message->id == GRIPPER_FAULT) self->wish = message->body[0];
#endif
}

static void control(struct gripper *self, uint32_t passed_us) {
  const bool safe = self->link.outputs == IPCNET_SERIAL_SAFE;
  if (safe && !self->was_safe) self->poses++;
  self->was_safe = safe;
  if (safe) self->mode = GRIPPER_HOLD;
  self->force_limit = safe ? 0 : parameter(self, GRIPPER_FORCE_LIMIT);
  const uint16_t velocity_limit = parameter(self, GRIPPER_VELOCITY_LIMIT);
  if (self->mode == GRIPPER_HOLD) {
    self->velocity = 0;
    return;
  }
  /* Towards the target, slower over the last fifth of a second. */
  const int32_t error_millionths = (int32_t)self->target * 1000 - self->position_millionths;
  self->velocity = within(error_millionths / 200, self->velocity_limit < velocity_limit ? self->velocity_limit : velocity_limit);
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
  ipcnet_circuits_poll(&self->circuits, now_us);
}

bool gripper_next(struct gripper *self, uint8_t *byte) {
  return ipcnet_serial_take(&self->link, byte, 1) == 1;
}
