/*
 * table_rig: tables for tests. Rows are put into plain arrays, texts and payloads are collected, and out comes what the table compiler would write. `rig_arm_table` is one that
 * has a bit of everything.
 */
#ifndef IPCNET_TABLE_RIG_H
#define IPCNET_TABLE_RIG_H

#include <stdlib.h>
#include <string.h>

#include "../../../drivers/can/core/ipcnet_can.h"
#include "../../../schemas/e2e/c/ipcnet_e2e.h"
#include "../../../shm/core/sha256.h"
#include "reflex_table.h"

#define RIG_ROWS 512u
#define RIG_BYTES 131072u
#define RIG_TABLE_BYTES (1u << 20)

struct table_rig {
  struct ipcnet_reflex_table_header header;
  struct ipcnet_reflex_bus buses[IPCNET_REFLEX_BUSES_MAX + 1];
  struct ipcnet_reflex_message messages[RIG_ROWS + 1];
  struct ipcnet_reflex_check checks[RIG_ROWS];
  struct ipcnet_reflex_watch watches[RIG_ROWS];
  struct ipcnet_reflex_node nodes[IPCNET_REFLEX_NODES_MAX + 1];
  struct ipcnet_reflex_condition conditions[RIG_ROWS];
  struct ipcnet_reflex_send sends[RIG_ROWS];
  struct ipcnet_reflex_step steps[IPCNET_REFLEX_STEPS_MAX + 1];
  uint16_t needs[RIG_ROWS];
  struct ipcnet_reflex_plan plans[IPCNET_REFLEX_PLANS_MAX + 1];
  struct ipcnet_reflex_trigger triggers[IPCNET_REFLEX_TRIGGERS_MAX + 1];
  uint8_t bytes[RIG_BYTES];
  uint32_t counts[IPCNET_REFLEX_SECTIONS];
  uint32_t generation;
};


static inline uint32_t rig_row_bytes(uint32_t section)
{
  static const uint32_t BYTES[IPCNET_REFLEX_SECTIONS] = {
    sizeof(struct ipcnet_reflex_bus), sizeof(struct ipcnet_reflex_message), sizeof(struct ipcnet_reflex_check), sizeof(struct ipcnet_reflex_watch), sizeof(struct ipcnet_reflex_node),
    sizeof(struct ipcnet_reflex_condition), sizeof(struct ipcnet_reflex_send), sizeof(struct ipcnet_reflex_step), sizeof(uint16_t), sizeof(struct ipcnet_reflex_plan),
    sizeof(struct ipcnet_reflex_trigger), 1};
  return BYTES[section];
}

static inline uint32_t rig_text(struct table_rig *rig, const char *text)
{
  uint32_t at = rig->counts[IPCNET_REFLEX_BYTES];
  memcpy(rig->bytes + at, text, strlen(text) + 1);
  rig->counts[IPCNET_REFLEX_BYTES] += (uint32_t)strlen(text) + 1;
  return at;
}

static inline uint32_t rig_payload(struct table_rig *rig, const uint8_t *payload, uint32_t length)
{
  uint32_t at = rig->counts[IPCNET_REFLEX_BYTES];
  memcpy(rig->bytes + at, payload, length);
  rig->counts[IPCNET_REFLEX_BYTES] += length;
  return at;
}

/* Writes hash, length, counter and CRC over what is there. */
static inline void rig_seal(uint8_t *table, size_t length, uint32_t generation)
{
  struct ipcnet_reflex_table_header *header = (struct ipcnet_reflex_table_header *)(void *)table;
  ipcnet_sha256(table + IPCNET_REFLEX_HASHED_FROM, length - IPCNET_REFLEX_HASHED_FROM, header->hash);
  const ipcnet_e2e_config config = {.data_id = IPCNET_REFLEX_TABLE_DATA_ID};
  ipcnet_e2e_p07_protect(&config, table, length, generation);
}

/* The table in bytes, at a multiple of 8, to be freed. */
static inline uint8_t *rig_table(struct table_rig *rig, size_t *length)
{
  const void *rows[IPCNET_REFLEX_SECTIONS] = {rig->buses, rig->messages, rig->checks, rig->watches, rig->nodes, rig->conditions, rig->sends, rig->steps, rig->needs, rig->plans, rig->triggers, rig->bytes};
  rig->header.magic = IPCNET_REFLEX_TABLE_MAGIC;
  rig->header.major = IPCNET_REFLEX_TABLE_MAJOR;
  rig->header.minor = IPCNET_REFLEX_TABLE_MINOR;
  uint32_t at = sizeof rig->header;
  for (uint32_t section = 0; section < IPCNET_REFLEX_SECTIONS; section++) {
    at = (at + 7u) & ~7u;
    rig->header.sections[section].offset = at;
    rig->header.sections[section].count = rig->counts[section];
    at += rig->counts[section] * rig_row_bytes(section);
  }
  *length = at;
  uint8_t *table = aligned_alloc(64, (at + 63u) & ~(size_t)63u);
  memset(table, 0, at);
  memcpy(table, &rig->header, sizeof rig->header);
  for (uint32_t section = 0; section < IPCNET_REFLEX_SECTIONS; section++)
    memcpy(table + rig->header.sections[section].offset, rows[section], (size_t)rig->counts[section] * rig_row_bytes(section));
  rig_seal(table, at, rig->generation);
  return table;
}

/* ---- Rows ------------------------------------------------------------------------------------------------------------------------------------ */

#define RIG_ADD(rig, section, array) (&(rig)->array[(rig)->counts[section]++])
#define RIG_FIELD(start, width, how) ((struct ipcnet_reflex_field){.start_bit = (start), .bits = (width), .flags = (how)})

static inline struct ipcnet_reflex_bus *rig_bus(struct table_rig *rig, const char *name, uint32_t claim_id)
{
  struct ipcnet_reflex_bus *bus = RIG_ADD(rig, IPCNET_REFLEX_BUSES, buses);
  *bus = (struct ipcnet_reflex_bus){.name = rig_text(rig, name), .interface = rig_text(rig, "can0"), .bitrate_bps = 500000, .dead_after_us = 20000, .claim_id = claim_id, .tx_queue_frames = 16};
  return bus;
}

static inline struct ipcnet_reflex_message *rig_message(struct table_rig *rig, const char *name, uint8_t bus, uint32_t can_id, uint8_t length)
{
  struct ipcnet_reflex_message *message = RIG_ADD(rig, IPCNET_REFLEX_MESSAGES, messages);
  *message = (struct ipcnet_reflex_message){.name = rig_text(rig, name), .can_id = can_id, .length_bytes = length, .bus = bus, .ttl_us_max = 50000, .interval_us_min = 5000, .bits = 135,
                                            .checks_first = (uint16_t)rig->counts[IPCNET_REFLEX_CHECKS], .expired_trigger = IPCNET_REFLEX_NONE};
  return message;
}

/* A check of the message added last. */
static inline struct ipcnet_reflex_check *rig_check(struct table_rig *rig, struct ipcnet_reflex_field field, int64_t raw_min, int64_t raw_max)
{
  struct ipcnet_reflex_check *check = RIG_ADD(rig, IPCNET_REFLEX_CHECKS, checks);
  *check = (struct ipcnet_reflex_check){.field = field, .raw_min = raw_min, .raw_max = raw_max};
  rig->messages[rig->counts[IPCNET_REFLEX_MESSAGES] - 1].checks_count++;
  return check;
}

static inline struct ipcnet_reflex_watch *rig_watch(struct table_rig *rig, const char *name, uint8_t bus, uint32_t can_id, uint8_t length)
{
  struct ipcnet_reflex_watch *watch = RIG_ADD(rig, IPCNET_REFLEX_WATCHES, watches);
  *watch = (struct ipcnet_reflex_watch){.name = rig_text(rig, name), .can_id = can_id, .length_bytes = length, .bus = bus};
  return watch;
}

static inline struct ipcnet_reflex_node *rig_node(struct table_rig *rig, const char *name, uint16_t watch, uint8_t flags)
{
  struct ipcnet_reflex_node *node = RIG_ADD(rig, IPCNET_REFLEX_NODES, nodes);
  *node = (struct ipcnet_reflex_node){.name = rig_text(rig, name), .timeout_us = 100000, .watch = watch, .lost_trigger = IPCNET_REFLEX_NONE, .flags = flags, .bus = rig->watches[watch].bus};
  return node;
}

static inline struct ipcnet_reflex_condition *rig_condition(struct table_rig *rig, const char *label, uint16_t watch, struct ipcnet_reflex_field field, int64_t raw_min, int64_t raw_max)
{
  struct ipcnet_reflex_condition *condition = RIG_ADD(rig, IPCNET_REFLEX_CONDITIONS, conditions);
  *condition = (struct ipcnet_reflex_condition){.label = rig_text(rig, label), .watch = watch, .field = field, .age_us_max = 50000, .raw_min = raw_min, .raw_max = raw_max};
  return condition;
}

static inline void rig_send_of(struct table_rig *rig, uint16_t message, const uint8_t *payload)
{
  struct ipcnet_reflex_send *send = RIG_ADD(rig, IPCNET_REFLEX_SENDS, sends);
  *send = (struct ipcnet_reflex_send){.message = message, .length_bytes = rig->messages[message].length_bytes, .payload = rig_payload(rig, payload, rig->messages[message].length_bytes)};
}

static inline struct ipcnet_reflex_step *rig_step(struct table_rig *rig, const char *name)
{
  struct ipcnet_reflex_step *step = RIG_ADD(rig, IPCNET_REFLEX_STEPS, steps);
  *step = (struct ipcnet_reflex_step){.name = rig_text(rig, name), .needs_first = (uint16_t)rig->counts[IPCNET_REFLEX_NEEDS], .sends_first = (uint16_t)rig->counts[IPCNET_REFLEX_SENDS],
                                      .deadline_us = 100000, .resend_us = 10000, .fallback = IPCNET_REFLEX_NONE, .call = IPCNET_REFLEX_NONE, .tries = 1, .flags = IPCNET_REFLEX_STEP_MANDATORY};
  return step;
}

static inline struct ipcnet_reflex_trigger *rig_trigger(struct table_rig *rig, const char *name, uint8_t kind, uint16_t subject, uint16_t plan, uint8_t priority, uint8_t flags)
{
  struct ipcnet_reflex_trigger *trigger = RIG_ADD(rig, IPCNET_REFLEX_TRIGGERS, triggers);
  *trigger = (struct ipcnet_reflex_trigger){.name = rig_text(rig, name), .plan = plan, .subject = subject, .kind = kind, .priority = priority, .flags = flags};
  return trigger;
}

/* ---- An arm ---------------------------------------------------------------------------------------------------------------------------------- */

enum { ARM_BUS, AUX_BUS, EAR_BUS };
enum { SHOULDER, ELBOW, BRAKE, GRIPPER, LAMP };
enum { SHOULDER_STATE, ELBOW_BEAT, STOP_BUTTON, BRAKE_STATE };
enum { SHOULDER_NODE, ELBOW_NODE, BUTTON_NODE };
enum { SHOULDER_STILL, BRAKE_ON, STOP_PRESSED, ARM_STRAINED };
enum { PARK_PLAN, OFF_PLAN };
enum {
  REQUEST_1_TRIGGER, REQUEST_0_TRIGGER, STOP_TRIGGER, PRESSED_TRIGGER, STRAINED_TRIGGER, NODE_TRIGGER, EXPIRED_TRIGGER, BUS_TRIGGER, BRAIN_TRIGGER, TAKEOVER_TRIGGER, COMPROMISE_TRIGGER, ARM_TRIGGERS
};

/* Bits of the frames of shoulder and elbow: P05 at 0…23, epoch 24…27, owner 28…29, target at 32…47. */
#define ARM_TARGET RIG_FIELD(32, 16, 2)
#define ARM_EPOCH_BITS 4

static inline void rig_arm_messages(struct table_rig *rig)
{
  static const struct ipcnet_reflex_e2e P05 = {.data_id = 0x1234, .max_length_bytes = 8, .profile = 5};
  struct ipcnet_reflex_message *message = rig_message(rig, "shoulder", ARM_BUS, 0x101, 8);
  message->e2e = P05;
  message->epoch = RIG_FIELD(24, ARM_EPOCH_BITS, 0);
  message->owner = RIG_FIELD(28, 2, 0);
  message->expired_trigger = EXPIRED_TRIGGER;
  rig_check(rig, ARM_TARGET, -1000, 1000);
  message = rig_message(rig, "elbow", ARM_BUS, 0x102, 8);
  message->e2e = (struct ipcnet_reflex_e2e){.data_id = 0x77, .counter_offset_bits = 8, .data_id_nibble_offset_bits = 12, .profile = 11, .data_id_mode = 3};
  message->epoch = RIG_FIELD(23, 8, 1);
  rig_check(rig, RIG_FIELD(39, 16, 3), -500, 500);
  message = rig_message(rig, "brake", ARM_BUS, 0x103, 2);
  message->flags = IPCNET_REFLEX_POSE_ONLY;
  rig_check(rig, RIG_FIELD(0, 1, 0), 1, 1); /* it can only be put on */
  message = rig_message(rig, "gripper", AUX_BUS, 0x12345678, 3);
  message->can_flags = IPCNET_CAN_EXTENDED;
  message->interval_us_min = 0;
  struct ipcnet_reflex_check *check = rig_check(rig, RIG_FIELD(8, 8, 0), 0, 99);
  check->selector = RIG_FIELD(0, 8, 0);
  check->selected = 1;
  message = rig_message(rig, "lamp", AUX_BUS, 0x200, 16);
  message->can_flags = IPCNET_CAN_FD | IPCNET_CAN_BRS;
  message->bits = 300;
  rig_check(rig, RIG_FIELD(7, 32, 1 | 4), -(int64_t)0x40000000, 0x40000000); /* ±2.0 as a big-endian float */
  rig_check(rig, RIG_FIELD(64, 64, 0), 5, -1);                              /* unsigned: 5 … 2^64 − 1 */
}

static inline void rig_arm_measured(struct table_rig *rig)
{
  struct ipcnet_reflex_watch *watch = rig_watch(rig, "shoulder_State", ARM_BUS, 0x181, 8);
  watch->e2e = (struct ipcnet_reflex_e2e){.data_id = 0x4321, .max_length_bytes = 8, .profile = 5};
  watch->epoch = RIG_FIELD(24, 16, 0);
  watch->owner = RIG_FIELD(40, 3, 0);
  rig_watch(rig, "elbow_Beat", ARM_BUS, 0x705, 1);
  rig_watch(rig, "button", ARM_BUS, 0x80, 1);
  rig_watch(rig, "brake_State", AUX_BUS, 0x283, 2);
  struct ipcnet_reflex_node *node = rig_node(rig, "shoulder", SHOULDER_STATE, IPCNET_REFLEX_NODE_REQUIRED);
  node->lost_trigger = NODE_TRIGGER;
  node = rig_node(rig, "elbow", ELBOW_BEAT, IPCNET_REFLEX_NODE_REQUIRED | IPCNET_REFLEX_NODE_CANOPEN | IPCNET_REFLEX_NODE_OPERATIONAL);
  rig_node(rig, "button", STOP_BUTTON, 0);
  struct ipcnet_reflex_condition *condition = rig_condition(rig, "shoulder still", SHOULDER_STATE, RIG_FIELD(48, 16, 2), -5, 5);
  condition->hold_us = 20000;
  rig_condition(rig, "brake on", BRAKE_STATE, RIG_FIELD(0, 1, 0), 1, 1);
  rig_condition(rig, "stop pressed", STOP_BUTTON, RIG_FIELD(0, 1, 0), 1, 1);
  condition = rig_condition(rig, "strained", BRAKE_STATE, RIG_FIELD(8, 8, 2), 100, 127);
  condition->hold_us = 10000;
}

static inline void rig_arm_plans(struct table_rig *rig)
{
  static const uint8_t STILL[8] = {0}, ON[2] = {1, 0};
  struct ipcnet_reflex_step *step = rig_step(rig, "stand still");
  step->sends_count = 1;
  rig_send_of(rig, SHOULDER, STILL);
  step->conditions_first = SHOULDER_STILL;
  step->conditions_count = 1;
  step = rig_step(rig, "brake");
  step->needs_count = 1;
  rig->needs[rig->counts[IPCNET_REFLEX_NEEDS]++] = 0;
  step->sends_count = 1;
  rig_send_of(rig, BRAKE, ON);
  step->conditions_first = BRAKE_ON;
  step->conditions_count = 1;
  step->on_timeout = IPCNET_REFLEX_FAIL;
  struct ipcnet_reflex_plan *plan = RIG_ADD(rig, IPCNET_REFLEX_PLANS, plans);
  *plan = (struct ipcnet_reflex_plan){.name = rig_text(rig, "park"), .steps_first = 0, .steps_count = 2, .budget_us = 400000, .worst_us = 200000,
                                      .last_first = (uint16_t)rig->counts[IPCNET_REFLEX_SENDS], .last_count = 1, .category = 1};
  rig_send_of(rig, BRAKE, ON);
  step = rig_step(rig, "off");
  step->sends_count = 1;
  rig_send_of(rig, BRAKE, ON);
  step->conditions_first = BRAKE_ON;
  step->conditions_count = 1;
  step->deadline_us = 50000;
  plan = RIG_ADD(rig, IPCNET_REFLEX_PLANS, plans);
  *plan = (struct ipcnet_reflex_plan){.name = rig_text(rig, "off"), .steps_first = 2, .steps_count = 1, .budget_us = 60000, .worst_us = 50000,
                                      .last_first = (uint16_t)rig->counts[IPCNET_REFLEX_SENDS], .last_count = 1};
  rig_send_of(rig, BRAKE, ON);
}

static inline void rig_arm_triggers(struct table_rig *rig)
{
  const uint8_t LATCHED = IPCNET_REFLEX_TRIGGER_LATCHED, ARMED = IPCNET_REFLEX_TRIGGER_WHILE_ARMED;
  rig_trigger(rig, "request", IPCNET_REFLEX_ON_REQUEST, 1, PARK_PLAN, 20, 0);
  rig_trigger(rig, "request off", IPCNET_REFLEX_ON_REQUEST, 0, OFF_PLAN, 30, 0);
  rig_trigger(rig, "stop", IPCNET_REFLEX_ON_STOP, IPCNET_REFLEX_NONE, PARK_PLAN, 10, 0);
  rig_trigger(rig, "button", IPCNET_REFLEX_ON_CONDITION, STOP_PRESSED, OFF_PLAN, 100, LATCHED);
  rig_trigger(rig, "strained", IPCNET_REFLEX_ON_CONDITION, ARM_STRAINED, PARK_PLAN, 40, ARMED);
  rig_trigger(rig, "shoulder lost", IPCNET_REFLEX_ON_NODE_LOST, SHOULDER_NODE, PARK_PLAN, 60, ARMED | LATCHED);
  rig_trigger(rig, "expired", IPCNET_REFLEX_ON_EXPIRED, IPCNET_REFLEX_NONE, PARK_PLAN, 50, ARMED);
  rig_trigger(rig, "bus dead", IPCNET_REFLEX_ON_BUS_DEAD, ARM_BUS, OFF_PLAN, 70, ARMED);
  rig_trigger(rig, "brain lost", IPCNET_REFLEX_ON_BRAIN_LOST, IPCNET_REFLEX_NONE, PARK_PLAN, 45, ARMED);
  rig_trigger(rig, "takeover", IPCNET_REFLEX_ON_TAKEOVER, 0, PARK_PLAN, 80, ARMED);
  rig_trigger(rig, "compromise", IPCNET_REFLEX_ON_COMPROMISE, 0, OFF_PLAN, 90, LATCHED);
}

static inline void rig_arm_table(struct table_rig *rig)
{
  memset(rig, 0, sizeof *rig);
  rig->generation = 1;
  rig->header.brain_timeout_us = 300000;
  rig->header.beat_period_us = 20000;
  rig->header.twin_deadline_us = 10000;
  rig->header.flags = IPCNET_REFLEX_RESUME_ARMED;
  rig_bus(rig, "arm", 0x010)->load_permille_max = 500;
  rig_bus(rig, "aux", IPCNET_REFLEX_NO_CLAIM_ID)->flags = IPCNET_REFLEX_BUS_FD;
  rig_bus(rig, "ear", IPCNET_REFLEX_NO_CLAIM_ID)->flags = IPCNET_REFLEX_BUS_LISTEN_ONLY;
  rig_arm_messages(rig);
  rig_arm_measured(rig);
  rig_arm_plans(rig);
  rig_arm_triggers(rig);
}

#endif
