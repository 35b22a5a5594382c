/* Care of nodes: messages that pass while the robot is disarmed and in no other state, that no plan sends, and whose like from others is nobody's fault. */
#include "../../../drivers/can/core/check.h"
#include "core_rig.h"
#include "table_verdict.h"

static struct core_rig core;
static struct table_rig table;

enum { SDO = LAMP + 1, NMT };

/* The arm, an SDO channel to node 5 that may only read, and NMT: start and pre-operational of node 5 alone. */
static void service_table(struct table_rig *to)
{
  rig_arm_table(to);
  struct ipcnet_reflex_message *message = rig_message(to, "sdo 5", ARM_BUS, 0x605, 8);
  message->flags = IPCNET_REFLEX_SERVICE;
  message->interval_us_min = 0;
  rig_check(to, RIG_FIELD(0, 8, 0), 0x40, 0x40);
  message = rig_message(to, "nmt", ARM_BUS, 0x000, 2);
  message->flags = IPCNET_REFLEX_SERVICE;
  rig_check(to, RIG_FIELD(1, 6, 0), 0, 0);
  rig_check(to, RIG_FIELD(8, 8, 0), 5, 5);
}

static struct ipcnet_reflex_command ask(uint16_t message)
{
  struct ipcnet_reflex_command command = rig_make(&core, message);
  if (message == SDO) command.data[0] = 0x40;
  if (message == NMT) command.length_bytes = 2, command.data[0] = 1, command.data[1] = 5;
  return command;
}

static void begin(void)
{
  service_table(&table);
  table.messages[SHOULDER].expired_trigger = IPCNET_REFLEX_NONE;
  rig_ready_with(&core, &table, 0);
}

static void test_only_while_disarmed(void)
{
  begin();
  struct ipcnet_reflex_command command = ask(SDO);
  CHECK_INT(rig_refusal(&core, &command), 0);
  const struct ipcnet_can_frame *sent = rig_last_sent(&core, ARM_BUS, 0x605);
  CHECK(sent != NULL && memcmp(sent->data, command.data, 8) == 0 && sent->length_bytes == 8 && sent->flags == 0); /* as it was given: nothing is filled in */
  CHECK_INT(core.reflex->page->messages[SDO].deadline_us, 0); /* no set-point that could be over */
  command = rig_make(&core, SHOULDER); /* and what moves does not pass */
  CHECK_INT(rig_refusal(&core, &command), IPCNET_REFUSED_NOT_ARMED);
  rig_order(&core, IPCNET_ORDER_ARM, 0, 0);
  CHECK_INT(rig_state(&core).arming, IPCNET_ARMED);
  uint32_t from = core.sent_count;
  for (uint16_t row = SDO; row <= NMT; row++) {
    command = ask(row);
    CHECK_INT(rig_refusal(&core, &command), IPCNET_REFUSED_NOT_DISARMED);
  }
  CHECK_INT(ipcnet_reflex_counters(core.reflex)->refused[IPCNET_REFUSED_NOT_DISARMED], 2);
  rig_order(&core, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1);
  CHECK_INT(rig_state(&core).arming, IPCNET_SAFE_POSE);
  command = ask(SDO);
  CHECK_INT(rig_refusal(&core, &command), IPCNET_REFUSED_NOT_DISARMED);
  rig_run(&core, 300000);
  CHECK_INT(rig_state(&core).arming, IPCNET_POSED);
  command = ask(SDO);
  CHECK_INT(rig_refusal(&core, &command), IPCNET_REFUSED_NOT_DISARMED);
  CHECK_INT(rig_sent(&core, from, ARM_BUS, 0x605) + rig_sent(&core, from, ARM_BUS, 0x000), 0);
  rig_order(&core, IPCNET_ORDER_RESET, 0, 0);
  command = ask(NMT);
  CHECK_INT(rig_refusal(&core, &command), 0);
  CHECK_INT(rig_sent(&core, from, ARM_BUS, 0x000), 1);
  rig_end(&core);
}

/* What waits, for the frame before it or for the rate, does not wait past arming; and what was sent is no set-point that could expire. */
static void test_nothing_crosses_into_armed(void)
{
  begin();
  core.echoes[ARM_BUS] = false;
  struct ipcnet_reflex_command first = ask(SDO), second = ask(SDO);
  CHECK_INT(rig_refusal(&core, &first), 0);
  uint32_t from = core.sent_count, records = core.record_count;
  CHECK_INT(rig_refusal(&core, &second), 0); /* waits for the echo of the first */
  CHECK_INT(rig_sent(&core, from, ARM_BUS, 0x605), 0);
  rig_order(&core, IPCNET_ORDER_ARM, 0, 0);
  CHECK_INT(rig_state(&core).arming, IPCNET_ARMED);
  const struct ipcnet_can_frame *report = rig_report_of(&core, records, IPCNET_REPORT_REFUSED, second.token);
  CHECK(report != NULL && report->data[0] == IPCNET_REFUSED_DROPPED);
  core.echoes[ARM_BUS] = true;
  rig_run(&core, 100000);
  CHECK_INT(rig_sent(&core, from, ARM_BUS, 0x605), 0);
  CHECK_INT(rig_state(&core).arming, IPCNET_ARMED);
  CHECK_INT(core.page->messages[SDO].deadline_us, 0);
  rig_end(&core);
}

static void test_checks_hold(void)
{
  begin();
  struct ipcnet_reflex_command command = ask(SDO);
  command.data[0] = 0x23; /* a write */
  CHECK_INT(rig_refusal(&core, &command), IPCNET_REFUSED_RANGE);
  command = ask(NMT);
  command.data[0] = 2; /* stop */
  CHECK_INT(rig_refusal(&core, &command), IPCNET_REFUSED_RANGE);
  command = ask(NMT);
  command.data[1] = 0; /* all nodes */
  CHECK_INT(rig_refusal(&core, &command), IPCNET_REFUSED_RANGE);
  command = ask(NMT);
  command.data[0] = 128;
  CHECK_INT(rig_refusal(&core, &command), 0);
  rig_end(&core);
}

static void test_bus_and_owner(void)
{
  begin();
  rig_link(&core, ARM_BUS, IPCNET_LINK_DOWN, 0);
  struct ipcnet_reflex_command command = ask(SDO);
  CHECK_INT(rig_refusal(&core, &command), IPCNET_REFUSED_BUS);
  rig_end(&core);
  begin();
  core.reflex->malfunction = IPCNET_MALFUNCTION_SELF_TEST;
  command = ask(SDO);
  CHECK_INT(rig_refusal(&core, &command), IPCNET_REFUSED_NOT_DISARMED);
  rig_end(&core);
}

/* A service tool on the bus is no second master, nor is another host that cares for a node. */
static void test_frames_of_others(void)
{
  begin();
  struct ipcnet_can_frame frame = rig_frame(&core, ARM_BUS, 0x605, 0, 8);
  frame.data[0] = 0x40;
  uint64_t foreign = ipcnet_reflex_counters(core.reflex)->foreign_frames;
  rig_hear(&core, &frame);
  frame = rig_frame(&core, ARM_BUS, 0x000, 0, 2);
  rig_hear(&core, &frame);
  CHECK_INT(ipcnet_reflex_counters(core.reflex)->foreign_frames, foreign);
  CHECK(!rig_lacks(&core, IPCNET_MISSING_FOREIGN_MASTER, ARM_BUS));
  CHECK_INT(rig_order(&core, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_DONE);
  rig_end(&core);
}

/* Nothing that a node would obey as a command, and nothing of a plan, can be a row of this kind. */
static void test_table(void)
{
  static const struct ipcnet_reflex_e2e P05 = {.data_id = 1, .max_length_bytes = 8, .profile = 5};
  TAKEN(service_table(&rig));
  REFUSED(service_table(&rig); rig.messages[SDO].flags |= IPCNET_REFLEX_POSE_ONLY, "flags", IPCNET_REFLEX_MESSAGES, SDO);
  REFUSED(service_table(&rig); rig.messages[SDO].e2e = P05, "flags", IPCNET_REFLEX_MESSAGES, SDO);
  REFUSED(service_table(&rig); rig.messages[SDO].epoch = RIG_FIELD(24, 4, 0), "flags", IPCNET_REFLEX_MESSAGES, SDO);
  REFUSED(service_table(&rig); rig.messages[SDO].owner = RIG_FIELD(24, 2, 0), "flags", IPCNET_REFLEX_MESSAGES, SDO);
  REFUSED(service_table(&rig); rig.messages[SDO].expired_trigger = EXPIRED_TRIGGER, "flags", IPCNET_REFLEX_MESSAGES, SDO);
  REFUSED(service_table(&rig); rig.messages[SDO].flags = 4, "flags", IPCNET_REFLEX_MESSAGES, SDO);
  REFUSED(rig.messages[SHOULDER].flags = IPCNET_REFLEX_SERVICE, "flags", IPCNET_REFLEX_MESSAGES, SHOULDER);
  REFUSED(rig.messages[BRAKE].flags = IPCNET_REFLEX_SERVICE, "flags", IPCNET_REFLEX_SENDS, 1);
}

int main(void)
{
  test_only_while_disarmed();
  test_nothing_crosses_into_armed();
  test_checks_hold();
  test_bus_and_owner();
  test_frames_of_others();
  test_table();
  return checks_report("reflex_service");
}
