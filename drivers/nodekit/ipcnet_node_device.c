#include "ipcnet_node.h"
#include "ipcnet_node_bytes.h"

enum { ID_NMT = 0x000, ID_EMCY = 0x080, ID_HEARTBEAT = 0x700 };
enum { NMT_START = 1, NMT_STOP = 2, NMT_PRE_OPERATIONAL = 128, NMT_RESET_NODE = 129, NMT_RESET_COMMUNICATION = 130 };

/* ---- Safe pose ------------------------------------------------------------------------------------------------------------------------- */

/* After everything that may have changed outputs: an entry into safety is told once. */
static void settle(struct ipcnet_node_device *self, enum ipcnet_node_cause cause) {
  const bool safe = self->node.outputs == IPCNET_NODE_SAFE;
  const bool entered = safe && !self->posed;
  self->posed = safe; /* before the hook, which may call us */
  if (entered) self->port->enter_safe_pose(self->port->context, cause);
}

static void stop(struct ipcnet_node_device *self, enum ipcnet_node_cause cause) {
  ipcnet_node_make_safe(&self->node);
  settle(self, cause);
}

void ipcnet_node_device_stop(struct ipcnet_node_device *self) {
  stop(self, IPCNET_NODE_APPLICATION);
}

/* ---- Sending --------------------------------------------------------------------------------------------------------------------------- */

static bool send(struct ipcnet_node_device *self, uint32_t id, const uint8_t *data, uint8_t length) {
  return !self->bus_off && self->port->send(self->port->context, id, data, length);
}

bool ipcnet_node_device_send(struct ipcnet_node_device *self, uint32_t id, const uint8_t *data, uint8_t length) {
  return self->state == IPCNET_NODE_OPERATIONAL && self->resetting == 0 && send(self, id, data, length);
}

bool ipcnet_node_device_answer(struct ipcnet_node_device *self, uint32_t id, const uint8_t *data, uint8_t length) {
  return (self->state == IPCNET_NODE_OPERATIONAL || self->state == IPCNET_NODE_PRE_OPERATIONAL) && send(self, id, data, length);
}

/* ---- EMCY ------------------------------------------------------------------------------------------------------------------------------ */

static void emcy_queue(struct ipcnet_node_device *self, uint16_t code, const uint8_t *info) {
  if (self->emcy_waiting == IPCNET_NODE_EMCY_QUEUE) {
    /* The oldest: the newest says what the register is now. */
    memmove(self->emcy_queue[0], self->emcy_queue[1], sizeof self->emcy_queue - 8);
    self->emcy_waiting--;
    self->emcy_dropped++;
  }
  uint8_t *message = self->emcy_queue[self->emcy_waiting++];
  message[0] = (uint8_t)code;
  message[1] = (uint8_t)(code >> 8);
  message[2] = self->error_register;
  for (uint8_t i = 0; i < 5; i++) message[3 + i] = info != NULL ? info[i] : 0;
}

static void sum_register(struct ipcnet_node_device *self) {
  uint8_t bits = 0;
  for (uint8_t i = 0; i < IPCNET_NODE_EMCY_ACTIVE_MAX; i++) if (self->errors[i].code != 0) bits |= (uint8_t)(self->errors[i].bits | IPCNET_NODE_ERROR_GENERIC);
  self->error_register = bits;
}

/* The place of a code; of 0: a free one. IPCNET_NODE_EMCY_ACTIVE_MAX: none. */
static uint8_t place_of(const struct ipcnet_node_device *self, uint16_t code) {
  uint8_t i = 0;
  while (i < IPCNET_NODE_EMCY_ACTIVE_MAX && self->errors[i].code != code) i++;
  return i;
}

bool ipcnet_node_emcy_raise(struct ipcnet_node_device *self, uint16_t code, uint8_t register_bits, const uint8_t *info) {
  if (code == 0 || place_of(self, code) < IPCNET_NODE_EMCY_ACTIVE_MAX) return false;
  const uint8_t place = place_of(self, 0);
  if (place == IPCNET_NODE_EMCY_ACTIVE_MAX) {
    self->emcy_dropped++;
    return false;
  }
  self->errors[place].code = code;
  self->errors[place].bits = register_bits;
  sum_register(self);
  emcy_queue(self, code, info);
  return true;
}

bool ipcnet_node_emcy_clear(struct ipcnet_node_device *self, uint16_t code) {
  const uint8_t place = place_of(self, code);
  if (code == 0 || place == IPCNET_NODE_EMCY_ACTIVE_MAX) return false;
  const uint8_t info[5] = { (uint8_t)code, (uint8_t)(code >> 8), 0, 0, 0 };
  self->errors[place].code = 0;
  sum_register(self);
  emcy_queue(self, 0, info);
  return true;
}

static void communication_error(struct ipcnet_node_device *self, uint16_t code) {
  (void)ipcnet_node_emcy_raise(self, code, IPCNET_NODE_ERROR_COMMUNICATION, NULL);
}

static void poll_emcy(struct ipcnet_node_device *self, uint32_t now_us) {
  if (self->emcy_waiting == 0 || (self->emcy_sent && now_us - self->emcy_us < self->options->emcy_inhibit_us)) return;
  if (!ipcnet_node_device_answer(self, ID_EMCY + self->options->number, self->emcy_queue[0], 8)) return;
  self->emcy_sent = true;
  self->emcy_us = now_us;
  self->emcy_waiting--;
  memmove(self->emcy_queue[0], self->emcy_queue[1], sizeof self->emcy_queue - 8);
}

/* ---- NMT and heartbeat ----------------------------------------------------------------------------------------------------------------- */

static void set_state(struct ipcnet_node_device *self, enum ipcnet_node_nmt state, uint32_t now_us) {
  if (state != IPCNET_NODE_OPERATIONAL) stop(self, IPCNET_NODE_NMT);
  if (self->state == state) return;
  self->state = (uint8_t)state;
  self->beat_due = self->options->heartbeat_us != 0;
  self->beat_us = now_us;
}

/* The communication part as after power-up. The rules keep what they have heard: an old owner's commands are as old as before. */
static void restart_communication(struct ipcnet_node_device *self) {
  self->state = IPCNET_NODE_INITIALISING;
  self->beat_due = self->emcy_sent = self->gateway_known = self->gateway_lost = false;
  self->emcy_waiting = 0;
  self->error_register = 0;
  memset(self->errors, 0, sizeof self->errors);
}

void ipcnet_node_device_reset_soon(struct ipcnet_node_device *self) {
  if (self->resetting == 0) self->resetting = 1;
  stop(self, IPCNET_NODE_NMT);
}

static void hear_nmt(struct ipcnet_node_device *self, const uint8_t *data, size_t length_bytes, uint32_t now_us) {
  if (length_bytes < 2 || (data[1] != 0 && data[1] != self->options->number) || self->state == IPCNET_NODE_INITIALISING) return;
  switch (data[0]) {
    case NMT_START: set_state(self, IPCNET_NODE_OPERATIONAL, now_us); break;
    case NMT_STOP: set_state(self, IPCNET_NODE_STOPPED, now_us); break;
    case NMT_PRE_OPERATIONAL: set_state(self, IPCNET_NODE_PRE_OPERATIONAL, now_us); break;
    case NMT_RESET_NODE: ipcnet_node_device_reset_soon(self); break;
    case NMT_RESET_COMMUNICATION:
      stop(self, IPCNET_NODE_NMT);
      restart_communication(self);
      break;
    default: break;
  }
}

static void poll_heartbeat(struct ipcnet_node_device *self, uint32_t now_us) {
  const uint32_t period_us = self->options->heartbeat_us;
  const uint8_t state = self->state;
  if (state == IPCNET_NODE_INITIALISING) {
    /* The boot-up message is the first word of a life, and says 0. */
    if (!send(self, ID_HEARTBEAT + self->options->number, &state, 1)) return;
    set_state(self, self->options->wait_for_start ? IPCNET_NODE_PRE_OPERATIONAL : IPCNET_NODE_OPERATIONAL, now_us);
    return;
  }
  if (period_us != 0 && now_us - self->beat_us >= period_us) {
    self->beat_due = true;
    self->beat_us += period_us;
    if (now_us - self->beat_us >= period_us) self->beat_us = now_us; /* we were away: beats that were missed are not made up for */
  }
  if (self->beat_due && send(self, ID_HEARTBEAT + self->options->number, &state, 1)) self->beat_due = false;
}

static void hear_heartbeat(struct ipcnet_node_device *self, uint8_t number, uint32_t now_us) {
  if (number == self->options->number) {
    self->same_number_heard++;
    communication_error(self, IPCNET_NODE_EMCY_SAME_NUMBER);
  } else if (number == self->options->gateway_number) {
    self->gateway_known = true;
    self->gateway_us = now_us;
    if (self->gateway_lost) (void)ipcnet_node_emcy_clear(self, IPCNET_NODE_EMCY_HEARTBEAT);
    self->gateway_lost = false;
  }
}

/* ---- Time and frames ------------------------------------------------------------------------------------------------------------------- */

static void pass_time(struct ipcnet_node_device *self, uint32_t now_us) {
  const uint32_t stops = self->node.dead_man_stops;
  ipcnet_node_poll(&self->node, now_us);
  if (stops != self->node.dead_man_stops) {
    communication_error(self, IPCNET_NODE_EMCY_COMMAND_TIMEOUT);
    settle(self, IPCNET_NODE_DEAD_MAN);
  }
  settle(self, IPCNET_NODE_OWNER_SILENT);
  if (self->gateway_known && !self->gateway_lost && now_us - self->gateway_us >= self->options->gateway_timeout_us) {
    self->gateway_lost = true;
    communication_error(self, IPCNET_NODE_EMCY_HEARTBEAT);
    stop(self, IPCNET_NODE_GATEWAY_SILENT);
  }
}

static int hear_command(struct ipcnet_node_device *self, uint8_t command, const uint8_t *data, size_t length_bytes, uint32_t now_us) {
  if (self->state != IPCNET_NODE_OPERATIONAL || self->gateway_lost || self->bus_off) {
    self->node.refused_commands++;
    return IPCNET_NODE_REFUSED;
  }
  const enum ipcnet_node_verdict verdict = ipcnet_node_judge(&self->node, command, data, length_bytes, now_us);
  settle(self, IPCNET_NODE_OWNER_SILENT); /* judge never makes safe after pass_time; this takes back `posed` */
  if (verdict != IPCNET_NODE_ACCEPTED) return IPCNET_NODE_REFUSED;
  if (self->node.commands[command].motion) (void)ipcnet_node_emcy_clear(self, IPCNET_NODE_EMCY_COMMAND_TIMEOUT);
  return command;
}

static bool is_claim(const struct ipcnet_node_device *self, uint32_t id) {
  return self->options->rules.claim_timeout_us != 0 && (id & ~(uint32_t)(IPCNET_NODE_OWNERS - 1)) == self->options->claim_id;
}

int ipcnet_node_device_hear(struct ipcnet_node_device *self, uint32_t id, const uint8_t *data, size_t length_bytes, uint32_t received_us) {
  pass_time(self, received_us);
  if (self->resetting != 0) return IPCNET_NODE_TAKEN;
  if (id == ID_NMT) {
    hear_nmt(self, data, length_bytes, received_us);
    return IPCNET_NODE_TAKEN;
  }
  if (is_claim(self, id)) {
    (void)ipcnet_node_hear(&self->node, (uint8_t)(id & (IPCNET_NODE_OWNERS - 1)), data, length_bytes, received_us);
    settle(self, IPCNET_NODE_OWNER_RELEASED);
    return IPCNET_NODE_TAKEN;
  }
  for (uint8_t i = 0; i < self->node.command_count; i++) if (self->node.commands[i].id == id) return hear_command(self, i, data, length_bytes, received_us);
  if (id > ID_HEARTBEAT && id <= ID_HEARTBEAT + 127u && length_bytes == 1) {
    hear_heartbeat(self, (uint8_t)(id - ID_HEARTBEAT), received_us);
    return IPCNET_NODE_TAKEN;
  }
  for (struct ipcnet_node_part *part = self->parts; part != NULL; part = part->next) if (part->hear(part, self, id, data, length_bytes, received_us)) return IPCNET_NODE_TAKEN;
  return IPCNET_NODE_NOT_OURS;
}

/* What was under way is finished or given up by then; a real reset does not return. */
static void poll_reset(struct ipcnet_node_device *self, uint32_t now_us) {
  if (self->resetting == 1) {
    self->resetting = 2;
    self->reset_us = now_us;
  }
  if (now_us - self->reset_us >= IPCNET_NODE_RESET_DELAY_US) self->port->reset(self->port->context);
}

void ipcnet_node_device_poll(struct ipcnet_node_device *self, uint32_t now_us) {
  pass_time(self, now_us);
  for (struct ipcnet_node_part *part = self->parts; part != NULL; part = part->next) part->poll(part, self, now_us);
  if (self->resetting != 0) {
    poll_reset(self, now_us);
    return;
  }
  poll_heartbeat(self, now_us);
  poll_emcy(self, now_us);
}

void ipcnet_node_device_bus_off(struct ipcnet_node_device *self, uint32_t now_us) {
  pass_time(self, now_us);
  self->bus_off = true;
  stop(self, IPCNET_NODE_BUS_OFF);
}

void ipcnet_node_device_bus_on(struct ipcnet_node_device *self) {
  if (!self->bus_off) return;
  self->bus_off = false;
  /* An event, not a state: it is over as it is told. */
  communication_error(self, IPCNET_NODE_EMCY_BUS_OFF_OVER);
  (void)ipcnet_node_emcy_clear(self, IPCNET_NODE_EMCY_BUS_OFF_OVER);
}

void ipcnet_node_device_init(struct ipcnet_node_device *self, const struct ipcnet_node_device_options *options, const struct ipcnet_node_port *port,
                             struct ipcnet_node_command *commands, uint8_t command_count, uint32_t now_us) {
  memset(self, 0, sizeof *self);
  self->options = options;
  self->port = port;
  self->beat_us = now_us;
  ipcnet_node_init(&self->node, &options->rules, commands, command_count);
  restart_communication(self);
  settle(self, IPCNET_NODE_POWER_UP);
}

void ipcnet_node_device_add(struct ipcnet_node_device *self, struct ipcnet_node_part *part) {
  part->next = self->parts;
  self->parts = part;
}
