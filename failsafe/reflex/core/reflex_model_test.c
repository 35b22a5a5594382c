/*
 * Random streams of commands, echoes, losses, orders and time against a plain model of the rules: what is sent, when, and what is refused for what reason must be the same.
 *   reflex_model [SEED [STREAMS]]
 */
#include "../../../drivers/can/core/check.h"
#include "core_rig.h"

static struct core_rig rig;
static struct table_rig table;
static uint64_t state;

static uint32_t below(uint32_t bound)
{
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return (uint32_t)((state * 2685821657736338717u >> 32) * bound >> 32);
}

/* ---- The model: one slot for each of the four messages that commands may send ------------------------------------------------------------------ */

struct slot {
  bool waiting, flying;
  uint64_t deadline_us, next_us;
  uint32_t token, flying_token;
  uint8_t value;
  uint32_t counter;
};

static struct model {
  bool armed;
  struct slot slots[5];
  uint32_t brain_epoch;
  uint64_t sequence;
  bool has_sequence; /* of the first command any number will do, 0 too */
} model;

#define EXPECTED_MAX 64u
static struct { bool sent; uint16_t message; uint32_t token; uint8_t value, why; } expected[EXPECTED_MAX];
static uint32_t expected_count;

static void expect_sent(uint16_t message, uint32_t token, uint8_t value)
{
  expected[expected_count].sent = true;
  expected[expected_count].message = message;
  expected[expected_count].token = token;
  expected[expected_count++].value = value;
}

static void expect_refused(uint32_t token, uint8_t why)
{
  expected[expected_count].sent = false;
  expected[expected_count].token = token;
  expected[expected_count++].why = why;
}

static uint64_t interval_of(uint16_t message)
{
  return message == GRIPPER ? 0 : 5000;
}

static void model_flush(uint16_t message)
{
  struct slot *slot = &model.slots[message];
  if (!slot->waiting) return;
  if (rig.now_us >= slot->deadline_us) {
    slot->waiting = false;
    expect_refused(slot->token, IPCNET_REFUSED_EXPIRED);
    return;
  }
  if (slot->flying || rig.now_us < slot->next_us) return;
  slot->waiting = false;
  slot->flying = true;
  slot->flying_token = slot->token;
  slot->counter++;
  uint64_t scheduled = slot->next_us + interval_of(message), soonest = rig.now_us + interval_of(message) / 2;
  slot->next_us = scheduled > soonest ? scheduled : soonest;
  expect_sent(message, slot->token, slot->value);
}

static void model_all(void)
{
  static const uint16_t ROWS[] = {SHOULDER, ELBOW, GRIPPER, LAMP};
  for (unsigned i = 0; i < 4; i++) model_flush(ROWS[i]);
}

static uint8_t value_of(uint16_t message, const uint8_t *data)
{
  return message == SHOULDER ? data[4] : message == ELBOW ? data[5] : message == GRIPPER ? data[2] : data[15];
}

static uint8_t model_judges(const struct ipcnet_reflex_command *command, bool range)
{
  if (!model.armed) return IPCNET_REFUSED_NOT_ARMED;
  if (command->message > LAMP || command->message == BRAKE) return IPCNET_REFUSED_UNKNOWN;
  if (memcmp(&command->table_hash, ((const struct ipcnet_reflex_table_header *)(const void *)rig.table_bytes)->hash, 8) != 0) return IPCNET_REFUSED_TABLE;
  if (command->length_bytes != table.messages[command->message].length_bytes) return IPCNET_REFUSED_LENGTH;
  if (range) return IPCNET_REFUSED_RANGE;
  if (command->deadline_us <= rig.now_us) return IPCNET_REFUSED_EXPIRED;
  if (command->brain_epoch < model.brain_epoch) return IPCNET_REFUSED_OLD_BRAIN;
  if (model.has_sequence && command->brain_epoch == model.brain_epoch && command->sequence <= model.sequence) return IPCNET_REFUSED_REPEATED;
  return 0;
}

static void model_command(const struct ipcnet_reflex_command *command, bool range)
{
  uint8_t why = model_judges(command, range);
  if (why != 0) {
    expect_refused(command->token, why);
    return;
  }
  struct slot *slot = &model.slots[command->message];
  if (slot->waiting) expect_refused(slot->token, IPCNET_REFUSED_SUPERSEDED);
  slot->waiting = true;
  slot->token = command->token;
  slot->value = value_of(command->message, command->data);
  slot->deadline_us = command->deadline_us < rig.now_us + 50000 ? command->deadline_us : rig.now_us + 50000;
  model.brain_epoch = command->brain_epoch;
  model.sequence = command->sequence;
  model.has_sequence = true;
  model_flush(command->message);
  model_all();
}

static void model_disarm(void)
{
  model.armed = false;
  for (uint16_t message = 0; message < 5; message++) {
    if (model.slots[message].waiting) expect_refused(model.slots[message].token, IPCNET_REFUSED_DROPPED);
    model.slots[message].waiting = false;
  }
}

/* ---- Comparing -------------------------------------------------------------------------------------------------------------------------------- */

/* In this step: the same frames and the same refusals, in whatever order they belong to different messages. */
static void compare(uint32_t sent_from, uint32_t records_from)
{
  uint32_t found = 0;
  for (uint32_t i = sent_from; i < rig.sent_count; i++) {
    const struct sent_frame *sent = &rig.sent[i % RIG_LOG];
    if (sent->bus == ARM_BUS && sent->frame.can_id == 0x010) continue;
    bool known = false;
    for (uint32_t e = 0; e < expected_count && !known; e++) {
      if (!expected[e].sent || table.messages[expected[e].message].can_id != sent->frame.can_id || expected[e].value != value_of(expected[e].message, sent->frame.data)) continue;
      if (expected[e].message == SHOULDER) CHECK_INT(sent->frame.data[2], model.slots[SHOULDER].counter & 0xFF);
      expected[e] = expected[--expected_count];
      known = true;
    }
    CHECK(known);
    found++;
  }
  for (uint32_t i = records_from; i < rig.record_count; i++) {
    const struct ipcnet_can_frame *record = &rig.records[i % RIG_LOG];
    if (!(record->flags & IPCNET_REFLEX_REPORT) || record->can_id != IPCNET_REPORT_REFUSED) continue;
    bool known = false;
    for (uint32_t e = 0; e < expected_count && !known; e++) {
      if (expected[e].sent || expected[e].token != record->token || expected[e].why != record->data[0]) continue;
      expected[e] = expected[--expected_count];
      known = true;
    }
    if (!known) fprintf(stderr, "token %u refused for %u\n", record->token, record->data[0]);
    CHECK(known);
  }
  CHECK_INT(expected_count, 0);
  (void)found;
  expected_count = 0;
}

static struct ipcnet_reflex_command random_command(bool *range)
{
  struct ipcnet_reflex_command command = rig_make(&rig, below(20) == 0 ? (uint16_t)below(8) : (uint16_t[]){SHOULDER, ELBOW, GRIPPER, LAMP}[below(4)]);
  *range = below(12) == 0 && command.message <= LAMP && command.message != BRAKE;
  uint8_t value = (uint8_t)below(90);
  if (command.message == SHOULDER) command.data[4] = value;
  if (command.message == ELBOW) command.data[5] = value;
  if (command.message == GRIPPER) command.data[2] = value;
  if (command.message == LAMP) command.data[15] = value;
  if (*range && command.message == SHOULDER) command.data[5] = 0x70;
  if (*range && command.message == ELBOW) command.data[4] = 0x70;
  if (*range && command.message == GRIPPER) command.data[0] = 1, command.data[1] = 200;
  if (*range && command.message == LAMP) memset(command.data + 8, 0, 8);
  command.deadline_us = rig.now_us + below(60000);
  if (below(20) == 0) command.sequence -= below(4);
  if (below(30) == 0) command.brain_epoch -= 1;
  if (below(60) == 0) command.table_hash ^= 1u << below(32);
  if (below(40) == 0) command.length_bytes = (uint8_t)below(20);
  return command;
}

/* All that flies on a bus has landed. */
static void model_echo(uint8_t bus)
{
  for (uint16_t message = 0; message < 5; message++)
    if (table.messages[message].bus == bus) model.slots[message].flying = false;
}

static void one_step(void)
{
  uint32_t sent_from = rig.sent_count, records_from = rig.record_count;
  switch (below(10)) {
    case 0: case 1: case 2: case 3: {
      bool range = false;
      struct ipcnet_reflex_command command = random_command(&range);
      model_command(&command, range);
      rig_give(&rig, &command);
      break;
    }
    case 4: case 5: case 6: { /* time, and what landed */
      rig.now_us += below(4000);
      for (uint8_t bus = 0; bus < 2; bus++) {
        rig.echoes[bus] = true;
        rig.echoes[1 - bus] = false;
        bool flies = rig.flying_count[bus] > 0;
        model_echo(bus);
        if (flies) model_all();
        rig_echo(&rig);
        rig.echoes[1 - bus] = true;
      }
      if (rig.now_us >= rig.report_due_us) {
        rig.report_due_us = rig.now_us + 10000;
        model_all();
        rig_report(&rig);
      }
      model_all();
      ipcnet_reflex_tick(rig.reflex, rig.now_us);
      break;
    }
    case 7: {
      rig.now_us += below(3000); /* time, and nothing lands */
      model_all();
      ipcnet_reflex_tick(rig.reflex, rig.now_us);
      break;
    }
    case 8:
      if (below(4) != 0) break;
      if (model.armed) {
        model_disarm();
        rig_order(&rig, IPCNET_ORDER_DISARM, 0, 0);
      } else {
        model.armed = rig_order(&rig, IPCNET_ORDER_ARM, 0, 0) == IPCNET_ANSWER_DONE;
      }
      break;
    default:
      rig_order(&rig, IPCNET_ORDER_BRAIN_BEAT, rig.brain_epoch, 0);
  }
  compare(sent_from, records_from);
  CHECK_INT(rig_state(&rig).arming, model.armed ? IPCNET_ARMED : IPCNET_DISARMED);
}

int main(int argc, char **argv)
{
  uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
  uint32_t streams = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 0) : 20;
  for (uint32_t stream = 0; stream < streams && checks_failed == 0; stream++) {
    state = (seed + stream) * 0x9E3779B97F4A7C15u + 1;
    rig_arm_table(&table);
    table.messages[SHOULDER].expired_trigger = IPCNET_REFLEX_NONE;
    table.buses[ARM_BUS].load_permille_max = 0;
    table.buses[ARM_BUS].dead_after_us = table.buses[AUX_BUS].dead_after_us = 1000000; /* buses do not die here */
    table.header.brain_timeout_us = 0;
    for (unsigned node = 0; node < 3; node++) table.nodes[node].timeout_us = 10000000;
    rig_ready_with(&rig, &table, 0);
    rig.brain = false;
    memset(&model, 0, sizeof model);
    model.brain_epoch = rig.brain_epoch;
    model.armed = rig_order(&rig, IPCNET_ORDER_ARM, 0, 0) == IPCNET_ANSWER_DONE;
    for (unsigned step = 0; step < 2000 && checks_failed == 0; step++) one_step();
    if (checks_failed > 0) fprintf(stderr, "seed %llu\n", (unsigned long long)(seed + stream));
    rig_end(&rig);
  }
  return checks_report("reflex_model");
}
