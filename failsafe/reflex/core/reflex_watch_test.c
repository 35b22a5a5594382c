/* Measured values and nodes: what counts as seen, how long a value holds, when a node is lost, what is told of it. */
#include <math.h>

#include "../../../drivers/can/core/check.h"
#include "core_rig.h"

static struct core_rig rig;
static struct table_rig table;

static bool holds(uint16_t condition)
{
  return ipcnet_reflex_watch_holds(rig.reflex, condition, rig.now_us);
}

static uint64_t rejected(void)
{
  return ipcnet_reflex_counters(rig.reflex)->rejected_frames;
}

static void quiet(void)
{
  rig_ready(&rig);
  rig.plant = rig.brain = false;
}

static void brake_state(uint8_t brake, int8_t strain)
{
  struct ipcnet_can_frame frame = rig_frame(&rig, AUX_BUS, 0x283, 0, 2);
  frame.data[0] = brake;
  frame.data[1] = (uint8_t)strain;
  rig_hear(&rig, &frame);
}

static void after(uint64_t us)
{
  rig.now_us += us;
  ipcnet_reflex_tick(rig.reflex, rig.now_us);
}

static void test_age(void)
{
  quiet();
  brake_state(1, 0);
  CHECK(holds(BRAKE_ON));
  after(50000);
  CHECK(holds(BRAKE_ON));
  after(1);
  CHECK(!holds(BRAKE_ON));
  CHECK_INT(ipcnet_reflex_watch_holds_at_us(rig.reflex, BRAKE_ON, rig.now_us) == UINT64_MAX, 1);
  brake_state(0, 0);
  CHECK(!holds(BRAKE_ON));
  rig_end(&rig);
}

static void test_never_seen(void)
{
  rig_begin(&rig, 0);
  rig_arm_table(&table);
  rig_load(&rig, &table);
  CHECK(!holds(BRAKE_ON) && !holds(SHOULDER_STILL));
  rig_end(&rig);
}

static void test_hold_time(void)
{
  quiet();
  after(100000);
  brake_state(0, 110); /* strained: 10 ms, age 50 ms */
  CHECK(!holds(ARM_STRAINED));
  CHECK_INT(ipcnet_reflex_watch_holds_at_us(rig.reflex, ARM_STRAINED, rig.now_us), rig.now_us + 10000);
  after(9999);
  CHECK(!holds(ARM_STRAINED));
  after(1);
  CHECK(holds(ARM_STRAINED));
  brake_state(0, 99); /* left its limits once */
  CHECK(!holds(ARM_STRAINED));
  brake_state(0, 127);
  after(9999);
  CHECK(!holds(ARM_STRAINED));
  brake_state(0, 100);
  after(1);
  CHECK(holds(ARM_STRAINED));
  after(50000); /* nobody knows what happened meanwhile */
  brake_state(0, 100);
  CHECK(!holds(ARM_STRAINED));
  after(10000);
  CHECK(holds(ARM_STRAINED));
  after(40000); /* exactly its age: unbroken */
  brake_state(0, 100);
  CHECK(holds(ARM_STRAINED));
  rig_end(&rig);
}

static void test_hold_time_longer_than_age(void)
{
  rig_arm_table(&table);
  table.conditions[ARM_STRAINED].hold_us = 60000;
  rig_ready_with(&rig, &table, 0);
  rig.plant = rig.brain = false;
  after(100000);
  brake_state(0, 110);
  CHECK(ipcnet_reflex_watch_holds_at_us(rig.reflex, ARM_STRAINED, rig.now_us) == UINT64_MAX); /* too old by then: needs another frame */
  after(40000);
  brake_state(0, 110);
  CHECK_INT(ipcnet_reflex_watch_holds_at_us(rig.reflex, ARM_STRAINED, rig.now_us), rig.now_us + 20000);
  rig_end(&rig);
}

static void test_limits(void)
{
  quiet();
  static const struct { int16_t velocity; bool within; } CASES[] = {{-5, true}, {-6, false}, {5, true}, {6, false}, {0, true}, {-32768, false}, {32767, false}};
  for (unsigned i = 0; i < 7; i++) {
    rig.velocity = CASES[i].velocity;
    rig.now_us += 1000;
    rig_report(&rig);
    CHECK_INT(rig.reflex->conditions[SHOULDER_STILL].within, CASES[i].within);
  }
  rig_end(&rig);
}

static void test_what_is_not_seen(void)
{
  quiet();
  uint64_t seen_us = rig.reflex->watches[SHOULDER_STATE].seen_us, before = rejected();
  rig.now_us += 1000;
  struct ipcnet_can_frame good = rig_shoulder_state(&rig), frame = good;
  frame.data[7] ^= 1;
  rig_hear(&rig, &frame); /* CRC */
  frame = good;
  frame.length_bytes = 7;
  rig_hear(&rig, &frame);
  CHECK_INT(rejected(), before + 2);
  frame = good;
  frame.flags = IPCNET_CAN_REMOTE;
  rig_hear(&rig, &frame);
  frame = good;
  frame.flags = IPCNET_CAN_EXTENDED;
  rig_hear(&rig, &frame);
  frame = good;
  frame.bus = AUX_BUS;
  rig_hear(&rig, &frame);
  frame = good;
  frame.length_bytes = 65;
  rig_hear(&rig, &frame);
  frame = good;
  frame.flags = IPCNET_CAN_ERROR;
  rig_hear(&rig, &frame);
  CHECK_INT(rig.reflex->watches[SHOULDER_STATE].seen_us, seen_us);
  rig_hear(&rig, &good);
  CHECK_INT(rig.reflex->watches[SHOULDER_STATE].seen_us, rig.now_us);
  rig.now_us += 1000;
  rig_hear(&rig, &good); /* repeated */
  CHECK_INT(rig.reflex->watches[SHOULDER_STATE].seen_us, rig.now_us - 1000);
  CHECK_INT(rejected(), before + 3);
  rig_end(&rig);
}

static void test_longer_frames_are_seen(void)
{
  quiet();
  struct ipcnet_can_frame frame = rig_frame(&rig, AUX_BUS, 0x283, 0, 8);
  frame.data[0] = 1;
  rig_hear(&rig, &frame);
  CHECK(holds(BRAKE_ON));
  rig_end(&rig);
}

static void test_times_that_cannot_be(void)
{
  static const double TIMES[] = {-1.0, 1e300, -1e300, (double)NAN, (double)INFINITY, 1e18};
  quiet();
  for (unsigned i = 0; i < 6; i++) {
    after(1000);
    struct ipcnet_can_frame frame = rig_frame(&rig, AUX_BUS, 0x283, 0, 2);
    frame.time_us = TIMES[i];
    rig_hear(&rig, &frame);
    CHECK_INT(rig.reflex->watches[BRAKE_STATE].seen_us, rig.now_us);
  }
  struct ipcnet_can_frame frame = rig_frame(&rig, AUX_BUS, 0x283, 0, 2);
  after(1000);
  frame.time_us = (double)(rig.now_us - 400);
  rig_hear(&rig, &frame);
  CHECK_INT(rig.reflex->watches[BRAKE_STATE].seen_us, rig.now_us - 400);
  frame.time_us = 5; /* before the one before */
  rig_hear(&rig, &frame);
  CHECK_INT(rig.reflex->watches[BRAKE_STATE].seen_us, rig.now_us - 400);
  rig_end(&rig);
}

static void test_reports_of_nodes(void)
{
  rig_ready(&rig);
  const struct ipcnet_can_frame *report = rig_report_of(&rig, 0, IPCNET_REPORT_NODE, SHOULDER_NODE);
  CHECK(report != NULL && report->bus == ARM_BUS && report->length_bytes == 5 && report->data[0] == 1 && report->data[2] == 1 && report->data[3] == 0 && report->data[4] == 0);
  uint32_t from = rig.record_count;
  rig_run(&rig, 100000);
  CHECK(rig_report_of(&rig, from, IPCNET_REPORT_NODE, SHOULDER_NODE) == NULL); /* nothing new */
  rig.elbow_stopped = true;
  rig_run(&rig, 20000);
  report = rig_report_of(&rig, from, IPCNET_REPORT_NODE, ELBOW_NODE);
  CHECK(report != NULL && report->data[0] == 2 && report->data[1] == 4);
  from = rig.record_count;
  rig_run(&rig, 100000);
  CHECK(rig_report_of(&rig, from, IPCNET_REPORT_NODE, ELBOW_NODE) == NULL);
  rig.elbow_stopped = false;
  rig_run(&rig, 20000);
  CHECK_INT(rig_report_of(&rig, from, IPCNET_REPORT_NODE, ELBOW_NODE)->data[0], 1);
  rig.follows = false;
  rig.node_owner = 3;
  rig_run(&rig, 20000);
  CHECK_INT(rig_report_of(&rig, from, IPCNET_REPORT_NODE, SHOULDER_NODE)->data[4], 3);
  rig.node_epoch = 0;
  rig_run(&rig, 20000);
  CHECK_INT(rig_report_of(&rig, from, IPCNET_REPORT_NODE, SHOULDER_NODE)->data[2], 0);
  rig_end(&rig);
}

static void test_canopen_states(void)
{
  quiet();
  static const struct { uint8_t byte, life; } CASES[] = {{5, NODE_ALIVE}, {127, NODE_LOST}, {0x85, NODE_ALIVE}, {0, NODE_LOST}, {4, NODE_LOST}, {5, NODE_ALIVE}};
  for (unsigned i = 0; i < 6; i++) {
    struct ipcnet_can_frame frame = rig_frame(&rig, ARM_BUS, 0x705, 0, 1);
    frame.data[0] = CASES[i].byte; /* the toggle bit of node guarding is not part of it */
    rig_hear(&rig, &frame);
    CHECK_INT(rig.reflex->nodes[ELBOW_NODE].life, CASES[i].life);
    CHECK_INT(rig.reflex->nodes[ELBOW_NODE].canopen_state, CASES[i].byte & 0x7F);
  }
  rig_end(&rig);
  rig_begin(&rig, 0);
  rig_arm_table(&table);
  rig_load(&rig, &table);
  struct ipcnet_can_frame frame = rig_frame(&rig, ARM_BUS, 0x705, 0, 1);
  frame.data[0] = 127;
  rig_hear(&rig, &frame);
  CHECK_INT(rig.reflex->nodes[ELBOW_NODE].life, NODE_UNKNOWN); /* never was alive: cannot be lost */
  const struct ipcnet_can_frame *report = rig_report_of(&rig, 0, IPCNET_REPORT_NODE, ELBOW_NODE);
  CHECK(report != NULL && report->data[0] == 0 && report->data[1] == 127);
  uint32_t from = rig.record_count;
  rig_hear(&rig, &frame);
  CHECK(rig_report_of(&rig, from, IPCNET_REPORT_NODE, ELBOW_NODE) == NULL);
  rig_end(&rig);
}

static void test_node_timeout(void)
{
  quiet();
  rig_report(&rig);
  uint64_t heard_us = rig.now_us;
  CHECK(ipcnet_reflex_next_deadline_us(rig.reflex) <= heard_us + 100001);
  rig.reflex->buses[ARM_BUS].claimed = false; /* no beats, so that the node's time is what comes next */
  rig.verdict[ARM_BUS] = IPCNET_CAN_EXPIRED;
  after(100000);
  CHECK_INT(rig.reflex->nodes[SHOULDER_NODE].life, NODE_ALIVE);
  CHECK_INT(ipcnet_reflex_watch_next_us(rig.reflex), heard_us + 100001);
  after(1);
  CHECK_INT(rig.reflex->nodes[SHOULDER_NODE].life, NODE_LOST);
  CHECK(ipcnet_reflex_watch_next_us(rig.reflex) == UINT64_MAX);
  rig_end(&rig);
}

static void test_raw_frames_are_recorded(void)
{
  quiet();
  uint32_t from = rig.record_count;
  struct ipcnet_can_frame frame = rig_frame(&rig, AUX_BUS, 0x3F3, 0, 4);
  frame.flags = IPCNET_REFLEX_REPORT; /* cannot be: but if, it must not look like a report of ours */
  frame.data[3] = 77;
  rig_hear(&rig, &frame);
  CHECK_INT(rig.record_count, from + 1);
  CHECK(rig.records[from % RIG_LOG].data[3] == 77 && rig.records[from % RIG_LOG].flags == 0);
  frame.bus = 3;
  rig_hear(&rig, &frame); /* no such bus */
  CHECK_INT(rig.record_count, from + 1);
  frame.bus = AUX_BUS;
  frame.flags = IPCNET_CAN_ECHO;
  frame.token = IPCNET_CAN_PROBE_TOKEN;
  rig_hear(&rig, &frame); /* probes are nobody's business */
  CHECK_INT(rig.record_count, from + 1);
  rig_end(&rig);
}

int main(void)
{
  test_age();
  test_never_seen();
  test_hold_time();
  test_hold_time_longer_than_age();
  test_limits();
  test_what_is_not_seen();
  test_longer_frames_are_seen();
  test_times_that_cannot_be();
  test_reports_of_nodes();
  test_canopen_states();
  test_node_timeout();
  test_raw_frames_are_recorded();
  return checks_report("reflex_watch");
}
