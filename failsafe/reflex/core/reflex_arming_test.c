/* Arming from evidence, triggers of all kinds, their order, latching and reset, set-points that outlive their time, the brain's silence, runs and their ends. */
#include "../../../drivers/can/core/check.h"
#include "core_rig.h"

static struct core_rig rig;
static struct table_rig table;

static uint8_t arming(void)
{
  return rig_state(&rig).arming;
}

static bool may_arm(void)
{
  bool armed = rig_order(&rig, IPCNET_ORDER_ARM, 0, 0) == IPCNET_ANSWER_DONE;
  CHECK_INT(armed, arming() == IPCNET_ARMED);
  return armed;
}

static void command(uint16_t message)
{
  struct ipcnet_reflex_command made = rig_make(&rig, message);
  rig_give(&rig, &made);
}

/* Runs until nothing runs any more. */
static void to_the_end(void)
{
  for (unsigned i = 0; i < 1000 && arming() == IPCNET_SAFE_POSE; i++) rig_run(&rig, 1000);
}

/* ---- What is missing ------------------------------------------------------------------------------------------------------------------------- */

static void test_missing_at_first(void)
{
  rig_begin(&rig, 0);
  CHECK(rig_lacks(&rig, IPCNET_MISSING_TABLE, 0) && rig_lacks(&rig, IPCNET_MISSING_OWNERSHIP, 0));
  CHECK(!may_arm());
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(rig_state(&rig).role, IPCNET_TWIN_OWNER); /* by the lock alone: it knows no bus yet */
  CHECK(!rig_lacks(&rig, IPCNET_MISSING_OWNERSHIP, 0));
  rig_arm_table(&table);
  CHECK(rig_load(&rig, &table));
  CHECK(!rig_lacks(&rig, IPCNET_MISSING_TABLE, 0));
  for (uint16_t bus = 0; bus < 2; bus++) CHECK(rig_lacks(&rig, IPCNET_MISSING_BUS, bus));
  CHECK(!rig_lacks(&rig, IPCNET_MISSING_BUS, EAR_BUS)); /* nothing is sent there */
  CHECK(rig_lacks(&rig, IPCNET_MISSING_NODE, SHOULDER_NODE) && rig_lacks(&rig, IPCNET_MISSING_NODE, ELBOW_NODE) && !rig_lacks(&rig, IPCNET_MISSING_NODE, BUTTON_NODE));
  CHECK(rig_lacks(&rig, IPCNET_MISSING_BRAIN, 0));
  CHECK(!may_arm());
  struct ipcnet_reflex_state_record state = rig_state(&rig);
  CHECK_INT(state.missing_count, ipcnet_reflex_missing(rig.reflex, rig.now_us, NULL, 0));
  rig_links_up(&rig);
  rig_run(&rig, 150000);
  CHECK_INT(rig_state(&rig).missing_count, 0);
  CHECK(may_arm());
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_DONE); /* twice is no harm */
  rig_end(&rig);
}

static void test_missing_bus_and_purge(void)
{
  for (uint8_t bus = 0; bus < 2; bus++) {
    rig_ready(&rig);
    rig_link(&rig, bus, IPCNET_LINK_DOWN, 0);
    CHECK(rig_lacks(&rig, IPCNET_MISSING_BUS, bus) && !rig_lacks(&rig, IPCNET_MISSING_BUS, (uint16_t)(1 - bus)));
    CHECK(!may_arm());
    rig_end(&rig);
    rig_ready(&rig);
    rig.may_purge[bus] = false;
    CHECK(rig_lacks(&rig, IPCNET_MISSING_PURGE, bus) && !rig_lacks(&rig, IPCNET_MISSING_PURGE, (uint16_t)(1 - bus)));
    CHECK(!may_arm());
    rig_end(&rig);
  }
  rig_ready(&rig);
  rig_link(&rig, EAR_BUS, IPCNET_LINK_DOWN, 0);
  CHECK(may_arm());
  rig_end(&rig);
}

/* A turn at realtime priority asks the system for nothing of its own accord: what is missing is looked at when somebody asks, or something changes. */
static void test_turns_do_not_look_at_what_is_missing(void)
{
  rig_ready(&rig);
  uint32_t before = rig.purge_asked;
  rig_run(&rig, 50000);
  CHECK(ipcnet_reflex_role(rig.reflex) == IPCNET_TWIN_OWNER);
  CHECK_INT(rig.purge_asked, before);
  CHECK_INT(rig_state(&rig).role, IPCNET_TWIN_OWNER);
  CHECK(rig.purge_asked > before);
  rig_end(&rig);
}

static void test_missing_nodes(void)
{
  rig_ready(&rig);
  rig.elbow_stopped = true;
  rig_run(&rig, 20000);
  CHECK(rig_lacks(&rig, IPCNET_MISSING_NODE, ELBOW_NODE) && !rig_lacks(&rig, IPCNET_MISSING_NODE, SHOULDER_NODE));
  CHECK(!may_arm());
  rig.elbow_stopped = false;
  rig_run(&rig, 20000);
  CHECK(!rig_lacks(&rig, IPCNET_MISSING_NODE, ELBOW_NODE));
  rig.follows = false;
  rig.node_epoch--;
  rig_run(&rig, 20000);
  CHECK(rig_lacks(&rig, IPCNET_MISSING_NODE_EPOCH, SHOULDER_NODE));
  CHECK(!may_arm());
  rig.node_epoch++;
  rig.node_owner = 1;
  rig_run(&rig, 20000);
  CHECK(rig_lacks(&rig, IPCNET_MISSING_NODE_EPOCH, SHOULDER_NODE));
  rig.node_owner = 0;
  rig_run(&rig, 20000);
  CHECK(!rig_lacks(&rig, IPCNET_MISSING_NODE_EPOCH, SHOULDER_NODE));
  rig.plant = false;
  rig_run(&rig, 90000);
  CHECK(!rig_lacks(&rig, IPCNET_MISSING_NODE, SHOULDER_NODE));
  rig_run(&rig, 20000);
  CHECK(rig_lacks(&rig, IPCNET_MISSING_NODE, SHOULDER_NODE) && rig_lacks(&rig, IPCNET_MISSING_NODE, ELBOW_NODE));
  CHECK(!may_arm());
  rig_end(&rig);
}

/* A process that slept is asked to arm before its turn has noticed how old everything is. */
static void test_evidence_is_looked_at_when_it_counts(void)
{
  rig_ready(&rig);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_DONE);
  rig_order(&rig, IPCNET_ORDER_DISARM, 0, 0);
  uint64_t heard_us = rig.reflex->watches[rig.reflex->table.nodes[0].watch].seen_us, timeout_us = rig.reflex->table.nodes[0].timeout_us;
  ipcnet_reflex_order(rig.reflex, IPCNET_ORDER_BRAIN_BEAT, rig.brain_epoch, 0, 0, heard_us + timeout_us);
  CHECK_INT(ipcnet_reflex_order(rig.reflex, IPCNET_ORDER_ARM, 0, 0, 0, heard_us + timeout_us), IPCNET_ANSWER_DONE);
  ipcnet_reflex_order(rig.reflex, IPCNET_ORDER_DISARM, 0, 0, 0, heard_us + timeout_us);
  CHECK_INT(ipcnet_reflex_order(rig.reflex, IPCNET_ORDER_ARM, 0, 0, 0, heard_us + timeout_us + 1), IPCNET_ANSWER_REFUSED);
  rig.now_us = heard_us + timeout_us + 1;
  CHECK(rig_lacks(&rig, IPCNET_MISSING_NODE, 0));
  rig_end(&rig);
}

static void test_missing_brain(void)
{
  rig_ready(&rig);
  rig_order(&rig, IPCNET_ORDER_BRAIN_BEAT, 7, 0);
  rig.brain = false;
  rig_run(&rig, 299000);
  CHECK(!rig_lacks(&rig, IPCNET_MISSING_BRAIN, 0));
  rig_run(&rig, 1000);
  CHECK(rig_lacks(&rig, IPCNET_MISSING_BRAIN, 0));
  CHECK(!may_arm());
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_BRAIN_BEAT, 6, 0), IPCNET_ANSWER_REFUSED); /* of an older brain */
  CHECK(rig_lacks(&rig, IPCNET_MISSING_BRAIN, 0));
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_BRAIN_BEAT, 8, 0), IPCNET_ANSWER_DONE);
  CHECK(!rig_lacks(&rig, IPCNET_MISSING_BRAIN, 0));
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_BRAIN_GONE, 7, 0), IPCNET_ANSWER_REFUSED); /* its successor is there */
  CHECK(!rig_lacks(&rig, IPCNET_MISSING_BRAIN, 0));
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_BRAIN_GONE, 8, 0), IPCNET_ANSWER_DONE);
  CHECK(rig_lacks(&rig, IPCNET_MISSING_BRAIN, 0));
  rig_end(&rig);
  rig_arm_table(&table);
  table.header.brain_timeout_us = 0;
  rig_ready_with(&rig, &table, 0);
  rig.brain = false;
  rig_run(&rig, 1000000);
  CHECK(may_arm());
  rig_run(&rig, 10000000);
  CHECK_INT(arming(), IPCNET_ARMED);
  rig_end(&rig);
}

static void test_missing_steady_condition(void)
{
  rig_ready(&rig);
  rig.strain = 110; /* a trigger that means something only while armed */
  rig_run(&rig, 30000);
  CHECK_INT(arming(), IPCNET_DISARMED);
  CHECK(rig_lacks(&rig, IPCNET_MISSING_STEADY_CONDITION, STRAINED_TRIGGER));
  CHECK(!may_arm());
  rig.strain = 0;
  rig_run(&rig, 30000);
  CHECK(may_arm());
  rig_end(&rig);
}

static void test_report_of_the_state(void)
{
  rig_ready(&rig);
  uint32_t from = rig.record_count;
  rig_order(&rig, IPCNET_ORDER_ARM, 0, 0);
  const struct ipcnet_can_frame *report = rig_report_of(&rig, from, IPCNET_REPORT_STATE, 0);
  CHECK(report != NULL && report->length_bytes == 24 && report->data[0] == IPCNET_ARMED && report->data[1] == IPCNET_TWIN_OWNER);
  struct ipcnet_reflex_state_record state = rig_state(&rig);
  CHECK_INT(state.since_us, rig.now_us);
  CHECK_INT(state.generation, 1);
  CHECK_INT(state.epoch, 1);
  CHECK_INT(state.plan, IPCNET_REFLEX_NONE);
  CHECK_INT(state.trigger, IPCNET_REFLEX_NONE);
  rig_end(&rig);
}

/* ---- Triggers -------------------------------------------------------------------------------------------------------------------------------- */

static void test_pose_from_start_to_end(void)
{
  rig_armed(&rig);
  command(SHOULDER);
  uint32_t from = rig.sent_count, records = rig.record_count;
  rig.velocity = 100;
  rig_report(&rig);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1), IPCNET_ANSWER_DONE);
  CHECK_INT(arming(), IPCNET_SAFE_POSE);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x101), 1); /* at once, although a command of its kind is on its way and its rate is not due */
  CHECK(rig_last_sent(&rig, ARM_BUS, 0x101)->time_us == (double)(rig.now_us + 50000));
  CHECK(!rig.journal_saw_send || rig.journalled > 0);
  CHECK_INT(rig.journal.arming, IPCNET_SAFE_POSE);
  CHECK_INT(rig.journal.run.plan, PARK_PLAN);
  struct ipcnet_reflex_command late = rig_make(&rig, SHOULDER);
  CHECK_INT(rig_refusal(&rig, &late), IPCNET_REFUSED_NOT_ARMED);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_REFUSED);
  CHECK(rig_lacks(&rig, IPCNET_MISSING_PLAN_RUNS, PARK_PLAN));
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_DISARM, 0, 0), IPCNET_ANSWER_REFUSED);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_RESET, 0, 0), IPCNET_ANSWER_REFUSED);
  CHECK_INT(arming(), IPCNET_SAFE_POSE);
  rig_run(&rig, 50000);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x101), 1 + 5); /* again every 10 ms */
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x103), 0);
  rig.velocity = 3;
  rig_run(&rig, 20000);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x103), 0); /* still, but not for 20 ms */
  rig_run(&rig, 20000);
  CHECK(rig_sent(&rig, from, ARM_BUS, 0x103) > 0);
  to_the_end();
  CHECK_INT(arming(), IPCNET_POSED);
  const struct ipcnet_can_frame *verdict = rig_report_of(&rig, records, IPCNET_REPORT_VERDICT, 0);
  CHECK(verdict != NULL && verdict->data[8] == IPCNET_VERDICT_POSED && verdict->data[4] == 1 && verdict->data[0] == 1 && verdict->length_bytes == 9);
  const struct ipcnet_can_frame *step = rig_report_of(&rig, records, IPCNET_REPORT_STEP, 1);
  CHECK(step != NULL && step->data[0] == IPCNET_STEP_REACHED);
  uint32_t at_end = rig.sent_count;
  rig_run(&rig, 100000);
  CHECK_INT(rig_sent(&rig, at_end, ARM_BUS, 0x101) + rig_sent(&rig, at_end, ARM_BUS, 0x103), 0);
  CHECK(!may_arm());
  CHECK(rig_lacks(&rig, IPCNET_MISSING_RESET, IPCNET_REFLEX_NONE));
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_RESET, 0, 0), IPCNET_ANSWER_DONE);
  CHECK_INT(arming(), IPCNET_DISARMED); /* permits, arms nothing */
  CHECK(may_arm());
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->plans_run, 1);
  rig_end(&rig);
}

static void test_pose_that_fails(void)
{
  rig_armed(&rig);
  rig.velocity = 100;
  rig_report(&rig);
  uint32_t records = rig.record_count;
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_STOP, 0);
  CHECK_INT(arming(), IPCNET_SAFE_POSE);
  rig_run(&rig, 99000);
  CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x103), 0);
  rig_run(&rig, 5000); /* the first step was given up after 100 ms, the brake is put on all the same */
  CHECK(rig_sent(&rig, 0, ARM_BUS, 0x103) > 0);
  to_the_end();
  CHECK_INT(arming(), IPCNET_FAULT);
  CHECK_INT(rig_report_of(&rig, records, IPCNET_REPORT_VERDICT, 0)->data[8], IPCNET_VERDICT_CUT);
  CHECK(!may_arm());
  CHECK(rig_lacks(&rig, IPCNET_MISSING_RESET, IPCNET_REFLEX_NONE));
  CHECK(ipcnet_reflex_healthy(rig.reflex, rig.now_us));
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_RESET, 0, 0), IPCNET_ANSWER_DONE);
  CHECK_INT(arming(), IPCNET_DISARMED);
  rig_end(&rig);
}

static void test_orders_to_trigger(void)
{
  rig_ready(&rig); /* not armed: what is not only for armed times works */
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 2), IPCNET_ANSWER_UNKNOWN); /* no such category here */
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_SHUTDOWN, 0), IPCNET_ANSWER_UNKNOWN);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_TRIGGER_KINDS, 0), IPCNET_ANSWER_UNKNOWN);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_TRIGGER, 0x10000, 0), IPCNET_ANSWER_UNKNOWN);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 0x10001), IPCNET_ANSWER_UNKNOWN);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_EXPIRED, SHOULDER), IPCNET_ANSWER_REFUSED); /* only while armed */
  CHECK_INT(arming(), IPCNET_DISARMED);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_STOP, 77), IPCNET_ANSWER_DONE);
  CHECK_INT(arming(), IPCNET_SAFE_POSE);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_STOP, 0), IPCNET_ANSWER_DONE); /* on its way */
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->plans_run, 1);
  CHECK_INT(rig_order(&rig, IPCNET_ORDERS, 0, 0), IPCNET_ANSWER_UNKNOWN);
  rig_end(&rig);
}

static void test_higher_preempts_lower_never_cancels(void)
{
  rig_armed(&rig);
  rig.velocity = 100;
  rig_report(&rig);
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1);
  CHECK_INT(rig_state(&rig).plan, PARK_PLAN);
  uint64_t run_id = rig.journal.run.run_id;
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_STOP, 0); /* lower, same plan */
  CHECK_INT(rig_state(&rig).trigger, REQUEST_1_TRIGGER);
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 0); /* higher, another plan */
  CHECK_INT(rig_state(&rig).plan, OFF_PLAN);
  CHECK_INT(rig_state(&rig).trigger, REQUEST_0_TRIGGER);
  CHECK(rig.journal.run.run_id != run_id);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->plans_run, 2);
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1);
  CHECK_INT(rig_state(&rig).plan, OFF_PLAN);
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_COMPROMISE, 0); /* higher, same plan: goes on */
  CHECK_INT(rig_state(&rig).trigger, COMPROMISE_TRIGGER);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->plans_run, 2);
  to_the_end();
  CHECK_INT(arming(), IPCNET_POSED);
  /* From POSED again. */
  rig.brake = 0;
  rig_report(&rig);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 0), IPCNET_ANSWER_DONE);
  CHECK_INT(arming(), IPCNET_SAFE_POSE);
  rig_end(&rig);
}

static void test_condition_latches(void)
{
  rig_armed(&rig);
  rig.pressed = true;
  rig_report(&rig);
  CHECK_INT(arming(), IPCNET_SAFE_POSE); /* with the frame, not with the next tick */
  CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x103), 1);
  CHECK_INT(rig_state(&rig).plan, OFF_PLAN);
  CHECK_INT(rig_state(&rig).trigger_latched, 1);
  to_the_end();
  CHECK_INT(arming(), IPCNET_POSED);
  rig_run(&rig, 200000);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->plans_run, 1); /* it fired when it began to hold, and not again */
  CHECK(rig_lacks(&rig, IPCNET_MISSING_RESET, PRESSED_TRIGGER));
  CHECK(rig_lacks(&rig, IPCNET_MISSING_STEADY_CONDITION, PRESSED_TRIGGER));
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_RESET, 0, 0), IPCNET_ANSWER_REFUSED); /* still pressed */
  CHECK_INT(arming(), IPCNET_POSED);
  rig.pressed = false;
  rig_run(&rig, 20000);
  CHECK(!may_arm());
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_RESET, 0, 0), IPCNET_ANSWER_DONE);
  CHECK_INT(rig_state(&rig).trigger_latched, 0);
  CHECK_INT(rig.journal.trigger_latched, 0);
  CHECK(may_arm());
  rig.pressed = true; /* and again */
  rig_run(&rig, 15000);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->plans_run, 2);
  rig_end(&rig);
}

static void test_condition_while_disarmed(void)
{
  rig_ready(&rig);
  rig.pressed = true; /* not only for armed times: puts the brake on even now */
  rig_report(&rig);
  CHECK_INT(arming(), IPCNET_SAFE_POSE);
  rig_end(&rig);
  rig_ready(&rig);
  rig.strain = 110;
  rig_run(&rig, 15000);
  CHECK_INT(arming(), IPCNET_DISARMED);
  rig_end(&rig);
}

static void test_condition_while_armed_with_hold_time(void)
{
  rig_armed(&rig);
  rig.strain = 110;
  rig_report(&rig);
  rig.plant = false;
  uint64_t since = rig.now_us;
  CHECK(ipcnet_reflex_next_deadline_us(rig.reflex) <= since + 10000);
  rig_run(&rig, 9000);
  CHECK_INT(arming(), IPCNET_ARMED);
  rig_run(&rig, 1000); /* without a new frame: it has held for 10 ms */
  CHECK_INT(arming(), IPCNET_SAFE_POSE);
  CHECK_INT(rig_state(&rig).trigger, STRAINED_TRIGGER);
  rig_end(&rig);
}

static void test_lower_latch_does_not_hide_the_higher(void)
{
  rig_armed(&rig);
  rig.velocity = 100;
  rig_report(&rig);
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_NODE_LOST, SHOULDER_NODE);
  CHECK_INT(rig_state(&rig).trigger_latched, 1);
  CHECK_INT(rig.journal.latched_trigger, NODE_TRIGGER);
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_COMPROMISE, 0);
  CHECK_INT(rig.journal.latched_trigger, COMPROMISE_TRIGGER);
  to_the_end();
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_NODE_LOST, SHOULDER_NODE); /* only while armed: not even latched */
  CHECK_INT(rig.journal.latched_trigger, COMPROMISE_TRIGGER);
  CHECK_INT(arming(), IPCNET_POSED);
  rig_end(&rig);
}

static void test_node_lost(void)
{
  rig_armed(&rig);
  uint32_t from = rig.record_count;
  rig.plant = false;
  rig_run(&rig, 90000);
  CHECK_INT(arming(), IPCNET_ARMED);
  rig_run(&rig, 12000);
  CHECK_INT(arming(), IPCNET_SAFE_POSE);
  CHECK_INT(rig_state(&rig).trigger, NODE_TRIGGER);
  const struct ipcnet_can_frame *report = rig_report_of(&rig, from, IPCNET_REPORT_NODE, SHOULDER_NODE);
  CHECK(report != NULL && report->data[0] == 2);
  rig_end(&rig);

  rig_armed(&rig); /* required, but no trigger of its own: disarmed at least */
  rig.elbow_stopped = true;
  rig_run(&rig, 12000);
  CHECK_INT(arming(), IPCNET_DISARMED);
  rig_end(&rig);

  rig_arm_table(&table); /* not required and without a trigger: nothing */
  table.nodes[ELBOW_NODE].flags &= (uint8_t)~IPCNET_REFLEX_NODE_REQUIRED;
  rig_ready_with(&rig, &table, 0);
  CHECK(may_arm());
  rig.elbow_stopped = true;
  rig_run(&rig, 12000);
  CHECK_INT(arming(), IPCNET_ARMED);
  rig_end(&rig);
}

static void test_bus_dead(void)
{
  rig_armed(&rig);
  rig.echoes[ARM_BUS] = false;
  rig.plant = false;
  uint32_t from = rig.sent_count;
  command(SHOULDER);
  rig_run(&rig, 40000);
  CHECK_INT(arming(), IPCNET_SAFE_POSE);
  CHECK_INT(rig_state(&rig).trigger, BUS_TRIGGER);
  CHECK(rig.bus_effects[ARM_BUS][IPCNET_EFFECT_PURGE] > 0);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x103), 0); /* nobody hears: nothing is queued for later */
  to_the_end();
  CHECK_INT(arming(), IPCNET_FAULT);
  rig_end(&rig);

  rig_armed(&rig); /* no trigger for that bus: disarmed */
  rig_link(&rig, AUX_BUS, IPCNET_LINK_DOWN, 0);
  CHECK_INT(arming(), IPCNET_DISARMED);
  rig_end(&rig);

  rig_armed(&rig); /* nothing is sent there */
  rig_link(&rig, EAR_BUS, IPCNET_LINK_DOWN, 0);
  CHECK_INT(arming(), IPCNET_ARMED);
  rig_end(&rig);
}

static void test_brain_lost(void)
{
  rig_armed(&rig);
  rig_order(&rig, IPCNET_ORDER_BRAIN_BEAT, 7, 0);
  rig.brain = false;
  rig_order(&rig, IPCNET_ORDER_BRAIN_GONE, 7, 0);
  rig_run(&rig, 1000);
  CHECK_INT(arming(), IPCNET_ARMED); /* another one may come */
  rig_run(&rig, 298000);
  CHECK_INT(arming(), IPCNET_ARMED);
  CHECK(ipcnet_reflex_next_deadline_us(rig.reflex) <= rig.now_us + 1000);
  rig_run(&rig, 1000);
  CHECK_INT(arming(), IPCNET_SAFE_POSE);
  CHECK_INT(rig_state(&rig).trigger, BRAIN_TRIGGER);
  rig_end(&rig);

  rig_arm_table(&table);
  table.triggers[BRAIN_TRIGGER].kind = IPCNET_REFLEX_ON_SHUTDOWN;
  rig_ready_with(&rig, &table, 0);
  CHECK(may_arm());
  rig.brain = false;
  rig_run(&rig, 301000);
  CHECK_INT(arming(), IPCNET_DISARMED);
  rig_end(&rig);
}

/* ---- Set-points -------------------------------------------------------------------------------------------------------------------------------- */

static void test_set_point_expires(void)
{
  rig_armed(&rig);
  rig_run(&rig, 200000);
  CHECK_INT(arming(), IPCNET_ARMED); /* never sent: nothing to expire */
  command(SHOULDER);
  uint64_t until = rig.now_us + 40000;
  CHECK_INT(rig.page->messages[SHOULDER].deadline_us, until);
  CHECK(ipcnet_reflex_next_deadline_us(rig.reflex) <= until);
  rig_run(&rig, 39000);
  CHECK_INT(arming(), IPCNET_ARMED);
  rig_run(&rig, 1000);
  CHECK_INT(arming(), IPCNET_SAFE_POSE);
  CHECK_INT(rig_state(&rig).trigger, EXPIRED_TRIGGER);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->set_points_expired, 1);
  CHECK_INT(rig.page->messages[SHOULDER].deadline_us, 0);
  rig_end(&rig);
}

static void test_newer_set_points_carry_on(void)
{
  rig_armed(&rig);
  for (unsigned i = 0; i < 20; i++) {
    command(SHOULDER);
    rig_run(&rig, 30000);
  }
  CHECK_INT(arming(), IPCNET_ARMED);
  rig_end(&rig);
}

static void test_a_waiting_command_came_in_time(void)
{
  rig_armed(&rig);
  command(SHOULDER);
  rig.echoes[ARM_BUS] = false;
  rig_run(&rig, 38000);
  rig_end(&rig);
  rig_arm_table(&table);
  table.messages[SHOULDER].interval_us_min = 100000; /* the second has to wait for its rate */
  table.messages[SHOULDER].ttl_us_max = 200000;
  rig_ready_with(&rig, &table, 0);
  CHECK(may_arm());
  command(SHOULDER);
  rig_run(&rig, 1000);
  struct ipcnet_reflex_command second = rig_make(&rig, SHOULDER);
  second.deadline_us = rig.now_us + 80000;
  rig_give(&rig, &second);
  rig_run(&rig, 48000);
  CHECK_INT(arming(), IPCNET_ARMED);
  CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x101), 1);
  rig_run(&rig, 20000);
  CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x101), 2);
  CHECK_INT(arming(), IPCNET_ARMED);
  rig_run(&rig, 20000);
  CHECK_INT(arming(), IPCNET_SAFE_POSE);
  rig_end(&rig);
}

static void test_set_points_only_while_armed(void)
{
  rig_armed(&rig);
  command(SHOULDER);
  rig_order(&rig, IPCNET_ORDER_DISARM, 0, 0);
  rig_run(&rig, 100000);
  CHECK_INT(arming(), IPCNET_DISARMED);
  CHECK(may_arm()); /* of before: no longer counts */
  rig_run(&rig, 100000);
  CHECK_INT(arming(), IPCNET_ARMED);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->set_points_expired, 0);
  command(GRIPPER); /* has no trigger */
  rig_run(&rig, 100000);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->set_points_expired, 0);
  CHECK_INT(arming(), IPCNET_ARMED);
  rig_end(&rig);
}

static void test_pose_frames_are_no_set_points(void)
{
  rig_armed(&rig);
  command(SHOULDER);
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1);
  CHECK_INT(rig.page->messages[SHOULDER].deadline_us, 0);
  to_the_end();
  rig_run(&rig, 100000);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->set_points_expired, 0);
  rig_end(&rig);
}

/* ---- Calls, malfunction, health ------------------------------------------------------------------------------------------------------------------ */

static void test_calls(void)
{
  rig_arm_table(&table);
  table.steps[0].call = 3;
  table.steps[0].conditions_count = 0;
  rig_ready_with(&rig, &table, 0);
  uint32_t from = rig.record_count;
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1);
  const struct ipcnet_can_frame *call = rig_report_of(&rig, from, IPCNET_REPORT_CALL, 0);
  CHECK(call != NULL && call->length_bytes == 12 && call->data[0] == 1 && call->data[4] == 1 && call->data[8] == 0 && call->data[10] == 3);
  uint64_t run_id = rig.journal.run.run_id;
  CHECK_INT(ipcnet_reflex_order(rig.reflex, IPCNET_ORDER_CALL_DONE, 3, 1, run_id, rig.now_us), IPCNET_ANSWER_UNKNOWN);
  CHECK_INT(ipcnet_reflex_order(rig.reflex, IPCNET_ORDER_CALL_DONE, 0, 1, run_id + 1, rig.now_us), IPCNET_ANSWER_DONE);
  CHECK_INT(rig.journal.run.steps[0].state, IPCNET_STEP_RUNNING);
  CHECK_INT(ipcnet_reflex_order(rig.reflex, IPCNET_ORDER_CALL_DONE, 0, 1, run_id, rig.now_us), IPCNET_ANSWER_DONE);
  CHECK_INT(rig.journal.run.steps[0].state, IPCNET_STEP_REACHED);
  to_the_end();
  CHECK_INT(arming(), IPCNET_POSED);
  CHECK_INT(ipcnet_reflex_order(rig.reflex, IPCNET_ORDER_CALL_DONE, 0, 1, run_id, rig.now_us), IPCNET_ANSWER_REFUSED);
  rig_end(&rig);
}

static struct ipcnet_can_frame foreign(uint16_t epoch, uint8_t owner, uint8_t counter)
{
  struct ipcnet_can_frame frame = rig_frame(&rig, ARM_BUS, 0x101, 0, 8);
  frame.data[3] = (uint8_t)((epoch & 15u) | (uint32_t)owner << 4);
  const ipcnet_e2e_config p05 = {.data_id = 0x1234, .max_length_bytes = 8};
  ipcnet_e2e_p05_protect(&p05, frame.data, 8, counter);
  return frame;
}

static void test_foreign_command_with_our_epoch(void)
{
  rig_armed(&rig);
  struct ipcnet_can_frame frame = foreign(rig_state(&rig).epoch, 0, 9);
  rig_hear(&rig, &frame);
  CHECK_INT(rig_state(&rig).malfunction, IPCNET_MALFUNCTION_FOREIGN_COMMAND);
  CHECK_INT(rig.journal.malfunction, IPCNET_MALFUNCTION_FOREIGN_COMMAND);
  CHECK_INT(arming(), IPCNET_SAFE_POSE); /* trigger COMPROMISE, then silent for good */
  CHECK_INT(rig_state(&rig).trigger, COMPROMISE_TRIGGER);
  CHECK_INT(rig_state(&rig).role, IPCNET_TWIN_OWNER);
  CHECK(!ipcnet_reflex_healthy(rig.reflex, rig.now_us));
  CHECK(rig_lacks(&rig, IPCNET_MISSING_MALFUNCTION, IPCNET_MALFUNCTION_FOREIGN_COMMAND));
  to_the_end();
  rig_run(&rig, 2000);
  CHECK_INT(rig_state(&rig).role, IPCNET_TWIN_STOPPED);
  uint32_t from = rig.sent_count;
  rig_run(&rig, 200000);
  CHECK_INT(rig.sent_count, from);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->foreign_frames, 1);
  rig_end(&rig);

  rig_arm_table(&table);
  table.triggers[COMPROMISE_TRIGGER].kind = IPCNET_REFLEX_ON_SHUTDOWN;
  rig_ready_with(&rig, &table, 0);
  CHECK(may_arm());
  frame = foreign(rig_state(&rig).epoch, 2, 9);
  rig_hear(&rig, &frame);
  CHECK_INT(rig_state(&rig).role, IPCNET_TWIN_STOPPED); /* at once */
  CHECK_INT(arming(), IPCNET_DISARMED);
  rig_end(&rig);
}

/* The link is opened anew, and what waited in its queue comes after all: as another's frame, since who sent it is gone. */
static void test_our_own_command_from_the_link_before(void)
{
  rig_armed(&rig);
  rig.echoes[ARM_BUS] = false;
  uint32_t at = rig.sent_count;
  struct ipcnet_reflex_command command = rig_make(&rig, 0);
  rig_give(&rig, &command);
  while (at < rig.sent_count && rig.sent[at % RIG_LOG].frame.can_id != 0x101) at++;
  CHECK(at < rig.sent_count);
  struct ipcnet_can_frame ours = rig.sent[at % RIG_LOG].frame;
  ours.token = 0;
  rig_link(&rig, ARM_BUS, IPCNET_LINK_DOWN, 0);
  rig.flying_count[ARM_BUS] = 0;
  rig.echoes[ARM_BUS] = true;
  rig_link(&rig, ARM_BUS, IPCNET_LINK_UP, 1);
  rig_hear(&rig, &ours);
  CHECK_INT(rig_state(&rig).malfunction, 0);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->foreign_frames, 1);
  CHECK(!rig_lacks(&rig, IPCNET_MISSING_FOREIGN_MASTER, ARM_BUS));
  rig_hear(&rig, &ours); /* a queue says it once */
  CHECK_INT(rig_state(&rig).malfunction, IPCNET_MALFUNCTION_FOREIGN_COMMAND);
  rig_end(&rig);
}

/* The newest frame of the shoulder's command that was handed over. */
static struct ipcnet_can_frame newest_command(void)
{
  struct ipcnet_can_frame frame = *rig_last_sent(&rig, ARM_BUS, 0x101);
  frame.token = 0;
  return frame;
}

/* Of two that were given up in a row either may come after all, once; one that was echoed, or thrown away with the queue, may not. */
static void test_which_of_our_commands_may_come_back(void)
{
  enum { GIVEN_UP, GIVEN_UP_AND_ANOTHER_COMES, PURGED };
  for (int how = GIVEN_UP; how <= PURGED; how++) {
    rig_armed(&rig);
    struct ipcnet_reflex_command command = rig_make(&rig, 0);
    rig_give(&rig, &command);
    rig_run(&rig, 20000);
    struct ipcnet_can_frame echoed = newest_command();
    rig.echoes[ARM_BUS] = false;
    command = rig_make(&rig, 0);
    rig_give(&rig, &command);
    struct ipcnet_can_frame overtaken = newest_command();
    CHECK(memcmp(echoed.data, overtaken.data, 8) != 0);
    if (how == PURGED) {
      rig.flying_count[ARM_BUS] = 0;
      rig_link(&rig, ARM_BUS, IPCNET_LINK_PURGED, 0);
      rig_hear(&rig, &overtaken);
      CHECK_INT(rig_state(&rig).malfunction, IPCNET_MALFUNCTION_FOREIGN_COMMAND);
      rig_end(&rig);
      continue;
    }
    rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1); /* the pose overtakes it */
    struct ipcnet_can_frame of_the_pose = newest_command();
    CHECK(memcmp(of_the_pose.data, overtaken.data, 8) != 0);
    rig_link(&rig, ARM_BUS, IPCNET_LINK_DOWN, 0);
    rig.flying_count[ARM_BUS] = 0;
    rig_link(&rig, ARM_BUS, IPCNET_LINK_UP, 2);
    if (how == GIVEN_UP) {
      rig_hear(&rig, &overtaken);
      rig_hear(&rig, &of_the_pose);
    }
    CHECK_INT(rig_state(&rig).malfunction, IPCNET_MALFUNCTION_NONE);
    rig_hear(&rig, &echoed);
    CHECK_INT(rig_state(&rig).malfunction, IPCNET_MALFUNCTION_FOREIGN_COMMAND);
    rig_end(&rig);
  }
}

static void test_foreign_commands_of_others(void)
{
  rig_ready(&rig);
  struct ipcnet_can_frame frame = foreign((uint16_t)(rig_state(&rig).epoch - 1), 1, 9);
  rig_hear(&rig, &frame); /* an owner of before: the nodes refuse it */
  CHECK_INT(rig_state(&rig).malfunction, 0);
  CHECK(!rig_lacks(&rig, IPCNET_MISSING_FOREIGN_MASTER, ARM_BUS));
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->foreign_frames, 1);
  frame = foreign((uint16_t)(rig_state(&rig).epoch + 1), 1, 9);
  rig_hear(&rig, &frame);
  CHECK_INT(rig_state(&rig).malfunction, 0);
  CHECK(rig_lacks(&rig, IPCNET_MISSING_FOREIGN_MASTER, ARM_BUS));
  CHECK(!may_arm());
  rig_run(&rig, 999000);
  CHECK(rig_lacks(&rig, IPCNET_MISSING_FOREIGN_MASTER, ARM_BUS));
  rig_run(&rig, 1000);
  CHECK(!rig_lacks(&rig, IPCNET_MISSING_FOREIGN_MASTER, ARM_BUS));
  frame = foreign(rig_state(&rig).epoch, 1, 9);
  frame.data[0] ^= 1; /* broken: proves nothing about epochs */
  rig_hear(&rig, &frame);
  CHECK_INT(rig_state(&rig).malfunction, 0);
  CHECK(rig_lacks(&rig, IPCNET_MISSING_FOREIGN_MASTER, ARM_BUS));
  rig_run(&rig, 1000000);
  frame = rig_frame(&rig, AUX_BUS, 0x12345678, IPCNET_CAN_EXTENDED, 3); /* has no epoch */
  rig_hear(&rig, &frame);
  CHECK(rig_lacks(&rig, IPCNET_MISSING_FOREIGN_MASTER, AUX_BUS));
  CHECK_INT(rig_state(&rig).malfunction, 0);
  rig_run(&rig, 1000000);
  frame = rig_frame(&rig, AUX_BUS, 0x101, 0, 8); /* on another bus it is not ours; nor with 29 bits */
  rig_hear(&rig, &frame);
  frame = rig_frame(&rig, ARM_BUS, 0x101, IPCNET_CAN_EXTENDED, 8);
  rig_hear(&rig, &frame);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->foreign_frames, 4);
  CHECK(may_arm());
  rig_end(&rig);
}

static void test_healthy(void)
{
  rig_armed(&rig);
  CHECK(ipcnet_reflex_healthy(rig.reflex, rig.now_us));
  CHECK(ipcnet_reflex_healthy(rig.reflex, rig.now_us + 100000));
  CHECK(!ipcnet_reflex_healthy(rig.reflex, rig.now_us + 100001));
  CHECK(ipcnet_reflex_healthy(rig.reflex, rig.now_us - 1000));
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1);
  CHECK(ipcnet_reflex_healthy(rig.reflex, rig.now_us));
  rig.reflex->turned_us = rig.now_us + 600000;
  CHECK(ipcnet_reflex_healthy(rig.reflex, rig.now_us + 600000)); /* 400 ms of budget, 100 of the last rung, 100 of lateness */
  rig.reflex->turned_us = rig.now_us + 600001;
  CHECK(!ipcnet_reflex_healthy(rig.reflex, rig.now_us + 600001));
  rig_end(&rig);
}

static void test_orders_need_ownership(void)
{
  rig_begin(&rig, 0);
  rig_arm_table(&table);
  rig_load(&rig, &table);
  rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
  rig_links_up(&rig);
  rig_run(&rig, 50000);
  CHECK_INT(rig_state(&rig).role, IPCNET_TWIN_STANDBY);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_REFUSED);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_DISARM, 0, 0), IPCNET_ANSWER_REFUSED);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_RESET, 0, 0), IPCNET_ANSWER_REFUSED);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_STOP, 0), IPCNET_ANSWER_REFUSED);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_REARM_BUS, 0, 0), IPCNET_ANSWER_REFUSED);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_REARM_BUS, 3, 0), IPCNET_ANSWER_UNKNOWN);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_PURGE_BUS, 0, 0), IPCNET_ANSWER_REFUSED);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_BRAIN_BEAT, 9, 0), IPCNET_ANSWER_DONE); /* so that it knows brains when it takes over */
  rig.pressed = true;
  rig.plant = false;
  rig_report(&rig);
  rig_run(&rig, 500000);
  CHECK_INT(arming(), IPCNET_DISARMED);
  CHECK_INT(rig.sent_count, 0);
  CHECK_INT(rig.journalled, 0);
  rig_end(&rig);
}

/* ---- What must not happen twice, or to somebody else --------------------------------------------------------------------------------------------------- */

static void test_nothing_is_told_twice(void)
{
  rig_ready(&rig);
  uint32_t records = rig.record_count, journalled = rig.journalled;
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_DISARM, 0, 0), IPCNET_ANSWER_DONE); /* it is */
  CHECK_INT(rig.record_count, records);
  CHECK_INT(rig.journalled, journalled);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_DONE);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_RESET, 0, 0), IPCNET_ANSWER_REFUSED); /* there is nothing to reset, and it is armed */
  rig_order(&rig, IPCNET_ORDER_BRAIN_GONE, 7, 0);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_DONE); /* it is */
  rig_end(&rig);
}

static void test_the_highest_that_concerns_it(void)
{
  for (unsigned specific_higher = 0; specific_higher < 2; specific_higher++) {
    rig_arm_table(&table);
    table.triggers[STOP_TRIGGER].kind = IPCNET_REFLEX_ON_REQUEST; /* any category */
    table.triggers[STOP_TRIGGER].priority = specific_higher ? 10 : 25;
    rig_ready_with(&rig, &table, 0);
    rig.velocity = 100;
    rig_report(&rig);
    rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1);
    CHECK_INT(rig_state(&rig).trigger, specific_higher ? REQUEST_1_TRIGGER : STOP_TRIGGER);
    rig_end(&rig);
  }
}

static void test_a_lower_trigger_latches_while_a_higher_runs(void)
{
  rig_arm_table(&table);
  table.triggers[STOP_TRIGGER].priority = 110;
  rig_ready_with(&rig, &table, 0);
  rig.velocity = 100;
  rig_report(&rig);
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_STOP, 0);
  uint32_t records = rig.record_count;
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_COMPROMISE, 0);
  CHECK_INT(rig_state(&rig).trigger, STOP_TRIGGER);
  CHECK_INT(rig.journal.trigger_latched, 1);
  CHECK_INT(rig.journal.latched_trigger, COMPROMISE_TRIGGER);
  CHECK(rig_report_of(&rig, records, IPCNET_REPORT_STATE, 0) != NULL);
  uint32_t journalled = rig.journalled;
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_COMPROMISE, 0); /* once is enough */
  CHECK_INT(rig.journalled, journalled);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->plans_run, 1);
  to_the_end();
  rig_order(&rig, IPCNET_ORDER_RESET, 0, 0);
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_STOP, 0);
  to_the_end();
  CHECK(rig_lacks(&rig, IPCNET_MISSING_RESET, IPCNET_REFLEX_NONE)); /* the latch of before is forgotten */
  rig_end(&rig);
}

static void test_a_latch_survives_a_new_table(void)
{
  rig_ready(&rig);
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_COMPROMISE, 0);
  to_the_end();
  rig_arm_table(&table);
  table.generation = 2;
  CHECK(rig_load(&rig, &table));
  CHECK_INT(rig_state(&rig).trigger_latched, 1);
  CHECK(rig_lacks(&rig, IPCNET_MISSING_RESET, IPCNET_REFLEX_NONE)); /* its row means something else now */
  rig_links_up(&rig);
  rig_run(&rig, 50000);
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_COMPROMISE, 0);
  CHECK_INT(rig.journal.latched_trigger, COMPROMISE_TRIGGER);
  rig_end(&rig);
}

static void test_one_malfunction(void)
{
  rig_arm_table(&table);
  table.triggers[COMPROMISE_TRIGGER].kind = IPCNET_REFLEX_ON_SHUTDOWN;
  rig_ready_with(&rig, &table, 0);
  uint32_t records = rig.record_count;
  struct ipcnet_can_frame frame = foreign(rig_state(&rig).epoch, 0, 9);
  rig_hear(&rig, &frame); /* not even armed */
  CHECK_INT(rig.journal.malfunction, IPCNET_MALFUNCTION_FOREIGN_COMMAND);
  const struct ipcnet_can_frame *report = rig_report_of(&rig, records, IPCNET_REPORT_STATE, 0);
  CHECK(report != NULL && report->data[3] == IPCNET_MALFUNCTION_FOREIGN_COMMAND);
  rig_end(&rig);
  rig_armed(&rig);
  frame = foreign(rig_state(&rig).epoch, 0, 9);
  rig_hear(&rig, &frame);
  uint32_t journalled = rig.journalled;
  frame = foreign(rig_state(&rig).epoch, 0, 10);
  rig_hear(&rig, &frame);
  CHECK_INT(rig.journalled, journalled);
  rig_end(&rig);
}

static void test_times_of_questions_and_orders(void)
{
  rig_ready(&rig);
  rig_order(&rig, IPCNET_ORDER_BRAIN_BEAT, 7, 0);
  CHECK(ipcnet_reflex_missing(rig.reflex, rig.now_us - 1, NULL, 0) == 0);
  CHECK(ipcnet_reflex_missing(rig.reflex, rig.now_us + 300000, NULL, 0) > 0);
  CHECK(ipcnet_reflex_missing(rig.reflex, 1, NULL, 0) > 0); /* time does not go back */
  rig_end(&rig);
  rig_ready(&rig);
  CHECK_INT(ipcnet_reflex_order(rig.reflex, IPCNET_ORDER_ARM, 0, 0, 0, rig.now_us + 400000), IPCNET_ANSWER_REFUSED);
  CHECK_INT(ipcnet_reflex_order(rig.reflex, IPCNET_ORDER_ARM, 0, 0, 0, rig.now_us), IPCNET_ANSWER_REFUSED);
  rig_end(&rig);
}

static void test_rearming_a_bus_that_is_not_proven(void)
{
  rig_ready(&rig);
  rig.echoes[ARM_BUS] = false;
  rig_link(&rig, ARM_BUS, IPCNET_LINK_DOWN, 0);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_UP, 0);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_REARM_BUS, ARM_BUS, 0), IPCNET_ANSWER_REFUSED);
  rig_end(&rig);
}

static void test_a_beat_is_no_new_brain(void)
{
  rig_armed_calm(&rig);
  struct ipcnet_reflex_command made = rig_make(&rig, SHOULDER);
  rig_give(&rig, &made);
  rig_order(&rig, IPCNET_ORDER_BRAIN_BEAT, 7, 0);
  made.token++;
  CHECK_INT(rig_refusal(&rig, &made), IPCNET_REFUSED_REPEATED);
  rig_order(&rig, IPCNET_ORDER_BRAIN_BEAT, 9, 0);
  CHECK_INT(rig.journal.brain_epoch, 9);
  rig_end(&rig);
}

static void test_what_waits_and_what_holds(void)
{
  rig_arm_table(&table);
  table.messages[SHOULDER].interval_us_min = 100000;
  rig_ready_with(&rig, &table, 0);
  CHECK(may_arm());
  command(SHOULDER);
  uint64_t until = rig.now_us + 40000;
  struct ipcnet_reflex_command second = rig_make(&rig, SHOULDER);
  second.deadline_us = rig.now_us + 10000; /* waits for its rate, and is worth less than what holds */
  rig_give(&rig, &second);
  rig_run(&rig, 20000);
  CHECK_INT(arming(), IPCNET_ARMED);
  second = rig_make(&rig, SHOULDER);
  second.deadline_us = until + 9000; /* would hold for longer, but is dropped */
  rig_give(&rig, &second);
  rig_order(&rig, IPCNET_ORDER_PURGE_BUS, ARM_BUS, 0);
  rig_run(&rig, until - rig.now_us);
  CHECK_INT(rig_state(&rig).trigger, EXPIRED_TRIGGER);
  rig_end(&rig);
}

static void test_a_brain_is_missed_only_while_armed(void)
{
  rig_arm_table(&table);
  table.triggers[BRAIN_TRIGGER].flags = 0;
  rig_ready_with(&rig, &table, 0);
  rig.brain = false;
  rig_run(&rig, 1000000);
  CHECK_INT(arming(), IPCNET_DISARMED);
  rig_end(&rig);
}

int main(void)
{
  test_nothing_is_told_twice();
  test_the_highest_that_concerns_it();
  test_a_lower_trigger_latches_while_a_higher_runs();
  test_a_latch_survives_a_new_table();
  test_one_malfunction();
  test_times_of_questions_and_orders();
  test_rearming_a_bus_that_is_not_proven();
  test_a_beat_is_no_new_brain();
  test_what_waits_and_what_holds();
  test_a_brain_is_missed_only_while_armed();
  test_missing_at_first();
  test_missing_bus_and_purge();
  test_turns_do_not_look_at_what_is_missing();
  test_missing_nodes();
  test_evidence_is_looked_at_when_it_counts();
  test_missing_brain();
  test_missing_steady_condition();
  test_report_of_the_state();
  test_pose_from_start_to_end();
  test_pose_that_fails();
  test_orders_to_trigger();
  test_higher_preempts_lower_never_cancels();
  test_condition_latches();
  test_condition_while_disarmed();
  test_condition_while_armed_with_hold_time();
  test_lower_latch_does_not_hide_the_higher();
  test_node_lost();
  test_bus_dead();
  test_brain_lost();
  test_set_point_expires();
  test_newer_set_points_carry_on();
  test_a_waiting_command_came_in_time();
  test_set_points_only_while_armed();
  test_pose_frames_are_no_set_points();
  test_calls();
  test_foreign_command_with_our_epoch();
  test_our_own_command_from_the_link_before();
  test_which_of_our_commands_may_come_back();
  test_foreign_commands_of_others();
  test_healthy();
  test_orders_need_ownership();
  return checks_report("reflex_arming");
}
