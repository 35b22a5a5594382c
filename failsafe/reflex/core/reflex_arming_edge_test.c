/* Arming at its edges: what is due when, who may ask for what, and that nothing is due for those who do not own the bus. */
#include <errno.h>

#include "../../../drivers/can/core/check.h"
#include "../../../schemas/crc/c/ipcnet_crc_fast.h"
#include "core_rig.h"

static struct core_rig rig;
static struct table_rig table;

static void armed_with(uint32_t brain_timeout_us)
{
  rig_arm_table(&table);
  table.header.brain_timeout_us = brain_timeout_us;
  rig_ready_with(&rig, &table, 0);
  rig.plant = false;
  rig_order(&rig, IPCNET_ORDER_BRAIN_BEAT, rig.brain_epoch, 0);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_DONE);
}

static uint64_t next_us(void)
{
  return ipcnet_reflex_arming_next_us(rig.reflex);
}

/* ---- What is due ------------------------------------------------------------------------------------------------------------------------------------ */

/* A brain is given up when it was silent for its time; one that is not waited for, never. */
static void test_the_brains_time(void)
{
  armed_with(300000);
  rig_order(&rig, IPCNET_ORDER_BRAIN_BEAT, rig.brain_epoch, 0);
  CHECK_INT(next_us(), rig.now_us + 300000);
  rig_order(&rig, IPCNET_ORDER_DISARM, 0, 0);
  CHECK(next_us() == UINT64_MAX); /* disarmed it is not missed */
  rig_end(&rig);
  armed_with(0);
  CHECK(next_us() == UINT64_MAX);
  rig_run(&rig, 1000);
  CHECK_INT(rig_state(&rig).arming, IPCNET_ARMED);
  rig_end(&rig);
}

/* The set-point that ends first, in whatever order they stand; sooner than the brain, or later. */
static void test_the_set_point_that_ends_first(void)
{
  for (unsigned first = 0; first < 2; first++) {
    rig_arm_table(&table);
    table.messages[ELBOW].expired_trigger = EXPIRED_TRIGGER;
    rig_ready_with(&rig, &table, 0);
    rig.plant = false;
    rig_order(&rig, IPCNET_ORDER_ARM, 0, 0);
    rig_order(&rig, IPCNET_ORDER_BRAIN_BEAT, rig.brain_epoch, 0);
    struct ipcnet_reflex_command shoulder = rig_make(&rig, SHOULDER), elbow = rig_make(&rig, ELBOW);
    shoulder.deadline_us = rig.now_us + (first == 0 ? 10000 : 30000);
    elbow.deadline_us = rig.now_us + (first == 0 ? 30000 : 10000);
    CHECK_INT(rig_refusal(&rig, &shoulder), 0);
    CHECK_INT(rig_refusal(&rig, &elbow), 0);
    CHECK_INT(next_us(), rig.now_us + 10000);
    rig_end(&rig);
  }
  armed_with(10000); /* the brain's time ends before */
  rig_order(&rig, IPCNET_ORDER_BRAIN_BEAT, rig.brain_epoch, 0);
  struct ipcnet_reflex_command shoulder = rig_make(&rig, SHOULDER);
  CHECK_INT(rig_refusal(&rig, &shoulder), 0);
  CHECK_INT(next_us(), rig.now_us + 10000);
  rig_end(&rig);
}

/* A condition is due when its hold time ends; once it has fired it is due no more. */
static void test_a_conditions_time(void)
{
  armed_with(0);
  rig_order(&rig, IPCNET_ORDER_DISARM, 0, 0);
  struct ipcnet_can_frame strained = rig_frame(&rig, AUX_BUS, 0x283, 0, 2);
  strained.data[1] = 110;
  rig_hear(&rig, &strained);
  CHECK_INT(next_us(), rig.now_us + 10000);
  rig.now_us += 10000;
  ipcnet_reflex_tick(rig.reflex, rig.now_us);
  CHECK(next_us() == UINT64_MAX);
  rig_end(&rig);

  rig_begin(&rig, 1); /* a standby waits for no condition */
  rig_arm_table(&table);
  rig_load(&rig, &table);
  rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
  strained.time_us = (double)rig.now_us;
  rig_hear(&rig, &strained);
  CHECK(next_us() == UINT64_MAX);
  rig_end(&rig);

  rig_begin(&rig, 0); /* nor does an owner without a table wait for anything */
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(rig_state(&rig).role, IPCNET_TWIN_OWNER);
  CHECK(next_us() == UINT64_MAX);
  rig_end(&rig);
}

/* ---- Orders ------------------------------------------------------------------------------------------------------------------------------------------ */

/* A subject is a row or a category; what is none of them never means "any". */
static void test_subjects_of_triggers(void)
{
  static const uint32_t NONE_OF_THEM[] = {IPCNET_REFLEX_NONE, 0x10000, UINT32_MAX};
  for (unsigned i = 0; i < 3; i++) {
    rig_armed_calm(&rig);
    CHECK_INT(rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_STOP, NONE_OF_THEM[i]), IPCNET_ANSWER_UNKNOWN);
    CHECK_INT(rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_EXPIRED, NONE_OF_THEM[i]), IPCNET_ANSWER_UNKNOWN);
    CHECK_INT(rig_state(&rig).arming, IPCNET_ARMED);
    rig_end(&rig);
  }
}

/* Who gave the bus away re-arms none, though it was healthy then. */
static void test_only_an_owner_rearms_a_bus(void)
{
  rig_ready(&rig);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_REARM_BUS, ARM_BUS, 0), IPCNET_ANSWER_DONE);
  rig.answers_twin = false;
  rig_event(&rig, IPCNET_TWIN_YIELD_ASKED);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_REARM_BUS, ARM_BUS, 0), IPCNET_ANSWER_REFUSED);
  rig_end(&rig);
}

/* ---- What is missing -------------------------------------------------------------------------------------------------------------------------------- */

/* A power-fail line that cannot be watched is missing once for each trigger that names one, whether the outside has no lines at all or not this one; without such a trigger nobody asks. */
static void test_a_line_is_missing_where_it_is_named(void)
{
  for (unsigned named = 0; named < 2; named++) {
    for (unsigned none_at_all = 0; none_at_all < 2; none_at_all++) {
      rig_arm_table(&table);
      struct ipcnet_reflex_trigger *trigger = rig_trigger(&table, "power", IPCNET_REFLEX_ON_POWER_FAIL, IPCNET_REFLEX_NONE, OFF_PLAN, 200, named ? IPCNET_REFLEX_TRIGGER_PIN : 0);
      trigger->chip = named ? rig_text(&table, "/dev/gpiochip0") : trigger->chip;
      trigger->line = named ? 17 : trigger->line;
      rig_begin(&rig, 0);
      rig.power_line = -ENOENT;
      if (none_at_all) rig.reflex->options.power_line = NULL;
      rig_load(&rig, &table);
      rig_links_up(&rig);
      rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
      rig_run(&rig, 150000);
      CHECK_INT(ipcnet_reflex_missing(rig.reflex, rig.now_us, NULL, 0), named);
      CHECK_INT(rig_lacks(&rig, IPCNET_MISSING_POWER_LINE, none_at_all ? ENODEV : ENOENT), named);
      rig_end(&rig);
    }
  }
}

/* Latched before it died, and no pose begun: who finds that on the disk must be reset before it may be armed, and the reset is remembered. */
static void test_a_latch_without_a_pose(void)
{
  rig_ready(&rig);
  struct ipcnet_reflex_image image = rig.journal;
  rig_end(&rig);
  CHECK_INT(image.arming, IPCNET_DISARMED);
  image.trigger_latched = 1;
  image.crc32c = 0;
  image.crc32c = ipcnet_crc32_iscsi_fast(0, (const uint8_t *)&image + 4, sizeof image - 4);
  rig_begin(&rig, 0);
  ipcnet_reflex_restore(rig.reflex, &image, rig.now_us);
  rig_arm_table(&table);
  rig_load(&rig, &table);
  rig_links_up(&rig);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  rig_run(&rig, 150000);
  CHECK_INT(rig_state(&rig).arming, IPCNET_DISARMED);
  CHECK(rig_lacks(&rig, IPCNET_MISSING_RESET, IPCNET_REFLEX_NONE));
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_REFUSED);
  CHECK_INT(rig.journal.trigger_latched, 1);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_RESET, 0, 0), IPCNET_ANSWER_DONE);
  CHECK_INT(rig.journal.trigger_latched, 0);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_DONE);
  rig_end(&rig);
}

int main(void)
{
  test_the_brains_time();
  test_the_set_point_that_ends_first();
  test_a_conditions_time();
  test_subjects_of_triggers();
  test_only_an_owner_rearms_a_bus();
  test_a_line_is_missing_where_it_is_named();
  test_a_latch_without_a_pose();
  return checks_report("reflex_arming_edge");
}
