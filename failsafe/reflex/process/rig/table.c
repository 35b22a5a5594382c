#include "table.h"

#include "../../core/table_rig.h"
#include "bus.h"

enum { JOINT, JOINT_BRAKE, SECOND }; /* rows of messages */
_Static_assert(SECOND == RIG_SECOND_COMMAND, "as table.h says");
enum { STOP_ROW, REQUEST_ROW, BRAIN_ROW, BUS_ROW };

static void command(struct table_rig *rig, const char *name, uint32_t joint) {
  struct ipcnet_reflex_message *message = rig_message(rig, name, 0, RIG_COMMAND_ID + joint, 8);
  message->e2e = (struct ipcnet_reflex_e2e){.data_id = RIG_COMMAND_DATA_ID + joint, .max_length_bytes = 8, .profile = 5};
  message->epoch = RIG_FIELD(24, 8, 0);
  message->owner = RIG_FIELD(32, 2, 0);
  message->interval_us_min = 0;
  message->ttl_us_max = 100000;
  rig_check(rig, RIG_FIELD(40, 16, 2), -1000, 1000);
}

static void report(struct table_rig *rig, const char *name, const char *node_name, uint32_t joint, uint8_t flags) {
  struct ipcnet_reflex_watch *watch = rig_watch(rig, name, 0, RIG_STATE_ID + joint, 8);
  watch->e2e = (struct ipcnet_reflex_e2e){.data_id = RIG_STATE_DATA_ID + joint, .max_length_bytes = 8, .profile = 5};
  watch->epoch = RIG_FIELD(24, 16, 0);
  watch->owner = RIG_FIELD(40, 3, 0);
  rig_node(rig, node_name, (uint16_t)joint, flags)->timeout_us = 1000000;
}

static void rows(struct table_rig *rig, const struct rig_shared *shared) {
  static const uint8_t RIG_BRAKE_PAYLOAD[2] = {1, 0};
  uint8_t node_flags = shared->joints == RIG_ONE_GROUP ? 0 : IPCNET_REFLEX_NODE_REQUIRED;
  command(rig, "joint", 0);
  struct ipcnet_reflex_message *message = rig_message(rig, "brake", 0, RIG_BRAKE_ID, 2);
  message->flags = IPCNET_REFLEX_POSE_ONLY;
  if (shared->joints != RIG_ONE_JOINT) command(rig, "second", 1);
  report(rig, "joint_State", "joint", 0, node_flags);
  rig_condition(rig, "still", 0, RIG_FIELD(48, 16, 2), 0, 0);
  struct ipcnet_reflex_step *step = rig_step(rig, "brake");
  step->conditions_count = 1; /* the joint stands, as it reports */
  step->deadline_us = 30000000; /* longer than any test waits */
  step->sends_count = 1;
  rig_send_of(rig, JOINT_BRAKE, RIG_BRAKE_PAYLOAD);
  struct ipcnet_reflex_plan *plan = RIG_ADD(rig, IPCNET_REFLEX_PLANS, plans);
  *plan = (struct ipcnet_reflex_plan){.name = rig_text(rig, "brake"), .steps_count = 1, .budget_us = 60000000, .worst_us = 40000000, .last_first = (uint16_t)rig->counts[IPCNET_REFLEX_SENDS], .last_count = 1, .category = 1};
  rig_send_of(rig, JOINT_BRAKE, RIG_BRAKE_PAYLOAD);
  if (shared->joints != RIG_ONE_JOINT) report(rig, "second_State", "second", 1, node_flags);
  rig_trigger(rig, "stop", IPCNET_REFLEX_ON_STOP, IPCNET_REFLEX_NONE, 0, 10, 0);
  rig_trigger(rig, "request", IPCNET_REFLEX_ON_REQUEST, 1, 0, 20, 0);
  rig_trigger(rig, "brain lost", IPCNET_REFLEX_ON_BRAIN_LOST, IPCNET_REFLEX_NONE, 0, 45, IPCNET_REFLEX_TRIGGER_WHILE_ARMED);
  rig_trigger(rig, "bus dead", IPCNET_REFLEX_ON_BUS_DEAD, 0, 0, 70, IPCNET_REFLEX_TRIGGER_WHILE_ARMED);
}

static uint8_t *table_of(const char *socket_path, uint32_t generation, uint32_t twin_deadline_us, const struct rig_shared *shared, const char *chip, size_t *length) {
  struct table_rig *rig = calloc(1, sizeof *rig);
  rig->generation = generation;
  rig->header.brain_timeout_us = 2000000;
  rig->header.beat_period_us = shared->beat_period_us;
  rig->header.twin_deadline_us = twin_deadline_us;
  rig->header.flags = IPCNET_REFLEX_RESUME_ARMED | IPCNET_REFLEX_DRILLS;
  struct ipcnet_reflex_bus *bus = rig_bus(rig, "arm", RIG_CLAIM_ID);
  bus->interface = rig_text(rig, socket_path);
  bus->driver = 1;
  bus->bitrate_bps = 1000000;
  bus->tx_queue_frames = 32;
  bus->dead_after_us = 5000000; /* a machine that is busy for a while is no dead bus */
  bus->host = shared->host;
  bus->self_fence_us = shared->self_fence_us;
  rows(rig, shared);
  rig->nodes[0].group = shared->self_fence_us != 0;
  if (shared->joints != RIG_ONE_JOINT) rig->nodes[1].group = shared->joints == RIG_TWO_GROUPS ? 2 : 1;
  if (shared->joints == RIG_TWO_GROUPS) {
    rig->nodes[0].lost_trigger = rig->nodes[1].lost_trigger = (uint16_t)rig->counts[IPCNET_REFLEX_TRIGGERS];
    rig_trigger(rig, "joint lost", IPCNET_REFLEX_ON_NODE_LOST, IPCNET_REFLEX_NONE, 0, 60, IPCNET_REFLEX_TRIGGER_WHILE_ARMED);
  }
  if (chip != NULL) rig_trigger(rig, "power", IPCNET_REFLEX_ON_POWER_FAIL, IPCNET_REFLEX_NONE, 0, 200, IPCNET_REFLEX_TRIGGER_LATCHED | IPCNET_REFLEX_TRIGGER_PIN)->chip = rig_text(rig, chip);
  uint8_t *table = rig_table(rig, length);
  free(rig);
  return table;
}

uint8_t *rig_joint_table(const char *socket_path, uint32_t generation, uint32_t twin_deadline_us, size_t *length) {
  return table_of(socket_path, generation, twin_deadline_us, &(struct rig_shared){.beat_period_us = 20000}, NULL, length);
}

uint8_t *rig_shared_table(const char *socket_path, uint32_t generation, const struct rig_shared *shared, size_t *length) {
  return table_of(socket_path, generation, shared->twin_deadline_us, shared, NULL, length);
}

uint8_t *rig_joint_table_with_line(const char *socket_path, uint32_t generation, uint32_t twin_deadline_us, const char *chip, size_t *length) {
  return table_of(socket_path, generation, twin_deadline_us, &(struct rig_shared){.beat_period_us = 20000}, chip, length);
}
