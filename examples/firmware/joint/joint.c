#include "joint.h"

#include "joint_data_ids.h"

enum { STATE = 1, COMMAND = 2, STATUS = 3, WITNESS = 4 };
enum {
  STATE_US = 10000, STATUS_US = 100000, WITNESS_US = 10000, HEARTBEAT_US = 100000, CLAIM_TIMEOUT_US = 500000, DEAD_MAN_US = 200000, EMCY_INHIBIT_US = 10000,
  /* After bus-off: long enough to be seen, and for what caused it to end. */
  BUS_OFF_US = 1000000,
  /* A turn that comes so late: what has waited meanwhile is of unknown age. For so long afterwards whatever comes may have waited, in the controller or before it. */
  LATE_US = 100000, DEAF_US = 200000
};
/* Who it is: CiA 402, servo drive. A real one has a vendor number of its own and its chip's unique id. */
enum { DEVICE_TYPE = 0x00020192, VENDOR = 0x1234, PRODUCT = 0x4A01, REVISION = 0x00010000 };
static const char *const names[] = { "base", "shoulder", "elbow", "forearm", "wrist", "gripper" };
/* What examples/arm/arm.dbc allows. */
enum { TARGET_MAX = 30000, VELOCITY_LIMIT_MAX = 3000 };
enum { ACCELERATION_MRAD_S_PER_MS = 8, PARK_VELOCITY_MRAD_S = 1500 };

static uint16_t id_of(const struct joint *self, uint8_t message) {
  return (uint16_t)(self->number << 5 | message);
}

static void put16(uint8_t *to, int32_t value) {
  to[0] = (uint8_t)value;
  to[1] = (uint8_t)(value >> 8);
}

static int32_t within(int32_t value, int32_t limit) {
  return value > limit ? limit : value < -limit ? -limit : value;
}

static bool send_frame(void *context, uint32_t id, const uint8_t *data, uint8_t length) {
  const struct joint *self = context;
  return self->can->send(self->can->context, id, data, length);
}

static void enter_safe_pose(void *context, enum ipcnet_node_cause cause) {
  struct joint *self = context;
  self->mode = JOINT_HOLD;
  if (cause == IPCNET_NODE_DEAD_MAN || cause == IPCNET_NODE_OWNER_SILENT) self->fault = JOINT_COMMAND_LOST;
}

/* ---- Objects ------------------------------------------------------------------------------------------------------------------------------- */

static uint32_t read_object(void *context, uint16_t index, uint8_t subindex, const uint8_t **bytes, uint32_t *length) {
  struct joint *self = context;
  const struct ipcnet_node *node = &self->device.node;
  uint32_t value;
  if (index != JOINT_COUNTS) return IPCNET_NODE_SDO_NO_OBJECT;
  switch (subindex) {
    case JOINT_COUNT_ACCEPTED: value = node->accepted_commands; break;
    case JOINT_COUNT_REFUSED: value = node->refused_commands; break;
    case JOINT_COUNT_DEAD_MAN_STOPS: value = node->dead_man_stops; break;
    case JOINT_COUNT_STALE_CLAIMS: value = node->stale_claims; break;
    case JOINT_COUNT_SENSELESS: value = self->senseless; break;
    case JOINT_COUNT_LATE: value = self->late; break;
    default: return IPCNET_NODE_SDO_NO_SUBINDEX;
  }
  for (int i = 0; i < 4; i++) self->count[i] = (uint8_t)(value >> 8 * i);
  *bytes = self->count;
  *length = 4;
  return 0;
}

#ifdef JOINT_FAULTS
static uint32_t write_object(void *context, uint16_t index, uint8_t subindex, enum ipcnet_node_write phase, const uint8_t *bytes, uint32_t length) {
  struct joint *self = context;
  (void)bytes;
  (void)length;
  if (index != JOINT_FAULT_OBJECT) return IPCNET_NODE_SDO_NO_OBJECT;
  if (subindex != 0) return IPCNET_NODE_SDO_NO_SUBINDEX;
  if (phase == IPCNET_NODE_WRITE_END) self->hangs = true;
  return 0;
}
#endif

void joint_start(struct joint *self, uint8_t number, uint16_t claim_id, const struct ipcnet_can *can, void (*reset)(void *context), uint32_t now_us) {
  *self = (struct joint){
    .can = can, .number = number, .mode = JOINT_HOLD, .said_owner = IPCNET_NODE_NOBODY, .turn_us = now_us, .state_us = now_us, .status_us = now_us, .witness_us = now_us,
    .options = { .number = number, .claim_id = claim_id, .heartbeat_us = HEARTBEAT_US, .emcy_inhibit_us = EMCY_INHIBIT_US, .rules = { .claim_timeout_us = CLAIM_TIMEOUT_US, .dead_man_us = DEAD_MAN_US } },
    .command = {
      .inspect = ipcnet_e2e_p05_inspect, .e2e = { .data_id = joint_data_ids[number - 1].command, .min_length_bytes = 8, .max_length_bytes = 8 }, .counter_max = IPCNET_E2E_P05_COUNTER_MAX,
      .motion = true, .epoch = { 24, 8 }, .owner = { 62, 2 },
    },
  };
  self->command.id = id_of(self, COMMAND);
  self->port = (struct ipcnet_node_port){ .context = self, .send = send_frame, .enter_safe_pose = enter_safe_pose, .reset = reset };
  self->identity = (struct ipcnet_node_identity){ .device_type = DEVICE_TYPE, .vendor = VENDOR, .product = PRODUCT, .revision = REVISION, .serial = number, .name = names[number - 1], .software = "1.0.0" };
  self->objects = (struct ipcnet_node_objects){ .context = self, .read = read_object };
#ifdef JOINT_FAULTS
  self->objects.write = write_object;
#endif
  ipcnet_node_device_init(&self->device, &self->options, &self->port, &self->command, 1, now_us);
  ipcnet_node_sdo_init(&self->sdo, &self->identity, &self->objects);
  ipcnet_node_device_add(&self->device, &self->sdo.part);
}

/* ---- Receiving ----------------------------------------------------------------------------------------------------------------------------- */

/* Only what makes sense may count as a command at all. */
static bool makes_sense(const struct ipcnet_can_frame *frame) {
  const int16_t target = (int16_t)(uint16_t)(frame->data[4] | frame->data[5] << 8);
  const uint16_t velocity_limit = (uint16_t)(frame->data[6] | (frame->data[7] & 0x0F) << 8);
  return frame->length == 8 && target >= -TARGET_MAX && target <= TARGET_MAX && velocity_limit <= VELOCITY_LIMIT_MAX;
}

static void obey(struct joint *self, const struct ipcnet_can_frame *frame) {
  self->mode = frame->data[7] >> 4 & 3u;
  self->fault = JOINT_NO_FAULT;
  if (self->mode == JOINT_MOVE) {
    self->target_urad = (int16_t)(uint16_t)(frame->data[4] | frame->data[5] << 8) * 100;
    self->velocity_limit_mrad_s = frame->data[6] | (frame->data[7] & 0x0F) << 8;
  } else if (self->mode == JOINT_PARK) {
    self->target_urad = 0;
    self->velocity_limit_mrad_s = PARK_VELOCITY_MRAD_S;
  }
}

/* NMT: stop, and pre-operational (CiA 301). What can only make it stand still is obeyed however old it is. */
static bool only_stops(const struct ipcnet_can_frame *frame) {
  return frame->id == 0 && frame->length == 2 && (frame->data[0] == 2 || frame->data[0] == 128);
}

static void hear(struct joint *self, uint32_t now_us) {
  struct ipcnet_can_frame frame;
  /* Nobody says when a frame came. After a standstill the kit would take those of before it for fresh, and their claims for an owner that is there. */
  if (now_us - self->turn_us > LATE_US) {
    self->deaf = true;
    self->deaf_us = now_us;
  } else if (self->deaf && now_us - self->deaf_us >= DEAF_US) {
    self->deaf = false;
  }
  while (self->can->receive(self->can->context, &frame)) {
    if (self->deaf && !only_stops(&frame)) {
      self->late++;
      continue;
    }
    if (frame.id == self->command.id && !makes_sense(&frame)) {
      self->senseless++;
      continue;
    }
    if (ipcnet_node_device_hear(&self->device, frame.id, frame.data, frame.length, now_us) >= 0) obey(self, &frame);
  }
}

/* ---- Sending ------------------------------------------------------------------------------------------------------------------------------- */

static void say(struct joint *self, uint8_t message, uint16_t data_id, uint8_t *counter, uint8_t *data, uint8_t length) {
  const ipcnet_e2e_config e2e = { .data_id = data_id };
  (void)ipcnet_e2e_p05_protect(&e2e, data, length, *counter);
  /* Only what leaves is counted: a frame for which there was no room is not a frame that was lost. */
  if (ipcnet_node_device_send(&self->device, id_of(self, message), data, length)) (*counter)++;
}

static void say_state(struct joint *self) {
  uint8_t data[8] = { 0 };
  put16(data + 3, self->position_urad / 100);
  put16(data + 5, self->velocity_mrad_s);
  data[7] = (uint8_t)(self->mode | self->fault << 4);
  say(self, STATE, joint_data_ids[self->number - 1].state, &self->state_counter, data, 8);
}

static void say_status(struct joint *self) {
  uint8_t data[8] = { 0 };
  data[3] = 40 + 31;          /* °C + 40: a model's */
  put16(data + 4, 200);       /* mA */
  put16(data + 6, 24000);     /* mV */
  say(self, STATUS, joint_data_ids[self->number - 1].status, &self->status_counter, data, 8);
}

static void say_witness(struct joint *self) {
  uint8_t data[6] = { 0 };
  self->said_epoch = self->device.node.epoch;
  self->said_owner = ipcnet_node_reported_owner(&self->device.node);
  put16(data + 3, self->said_epoch);
  data[5] = self->said_owner;
  say(self, WITNESS, joint_data_ids[self->number - 1].witness, &self->witness_counter, data, 6);
}

/* Whether its time has come; the next one is a period after the last. */
static bool due(uint32_t *at_us, uint32_t period_us, uint32_t now_us) {
  if (now_us - *at_us < period_us) return false;
  *at_us = now_us - *at_us < 2 * period_us ? *at_us + period_us : now_us;
  return true;
}

/* ---- Turning ------------------------------------------------------------------------------------------------------------------------------- */

static void control(struct joint *self, uint32_t passed_us) {
  const bool follows = self->device.node.outputs == IPCNET_NODE_FOLLOW && (self->mode == JOINT_MOVE || self->mode == JOINT_PARK);
  const int32_t wish = follows ? within((self->target_urad - self->position_urad) / 125, self->velocity_limit_mrad_s) : 0;
  const int32_t step = ACCELERATION_MRAD_S_PER_MS * (int32_t)passed_us / 1000;
  self->velocity_mrad_s += within(wish - self->velocity_mrad_s, step > 0 ? step : 1);
  self->position_urad += self->velocity_mrad_s * (int32_t)passed_us / 1000;
}

static void watch_bus(struct joint *self, uint32_t now_us) {
  const bool is_off = self->can->health(self->can->context) == IPCNET_CAN_BUS_OFF;
  if (is_off && !self->bus_off) {
    self->bus_off_us = now_us;
    ipcnet_node_device_bus_off(&self->device, now_us);
  }
  if (!is_off && self->bus_off) ipcnet_node_device_bus_on(&self->device);
  self->bus_off = is_off;
  if (is_off && now_us - self->bus_off_us >= BUS_OFF_US) {
    self->bus_off_us = now_us;
    self->can->restart(self->can->context);
  }
}

void joint_turn(struct joint *self, uint32_t now_us) {
  if (self->hangs) for (;;) {}
  hear(self, now_us);
  ipcnet_node_device_poll(&self->device, now_us);
  watch_bus(self, now_us);
  const uint32_t passed_us = now_us - self->turn_us;
  if (passed_us >= 1000u) {
    self->turn_us = now_us;
    control(self, passed_us < 20000u ? passed_us : 20000u);
  }
  if (self->said_epoch != self->device.node.epoch || self->said_owner != ipcnet_node_reported_owner(&self->device.node) || due(&self->witness_us, WITNESS_US, now_us)) say_witness(self);
  if (due(&self->state_us, STATE_US, now_us)) say_state(self);
  if (due(&self->status_us, STATUS_US, now_us)) say_status(self);
}
