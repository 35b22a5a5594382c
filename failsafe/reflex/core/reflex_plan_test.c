/* The rules of a plan, one test each; reflex_plan_cut_test.c runs many random ones and kills the runner everywhere. */
#include "plan_checks.h"

static void a_step_is_reached_when_measured_for_its_hold_time(void)
{
  plan_of_test(1000 * MS);
  struct ipcnet_reflex_step *park = rig_step(&rig, 500 * MS);
  uint16_t send = rig_add_send(&rig, park);
  rig_condition(&rig, park, 50 * MS, after(send, 120 * MS));
  CHECK_INT(run_all(), IPCNET_VERDICT_POSED);
  CHECK_INT(took_us(), 170 * MS);
  CHECK_INT(state(park), IPCNET_STEP_REACHED);
  CHECK_INT(rig.runner.run.steps[0].took_us, 170 * MS);
  CHECK_INT(rig.delivered[send], 1);
  CHECK_INT(rig.delivered[0], 0); /* the last rung */
}

static void frames_go_out_again_while_the_step_waits(void)
{
  plan_of_test(1000 * MS);
  struct ipcnet_reflex_step *park = rig_step(&rig, 500 * MS);
  uint16_t send = rig_add_send(&rig, park);
  park->resend_us = 20 * MS;
  rig_condition(&rig, park, 0, (struct rig_cause){ .send = send, .delay_us = 5 * MS, .lost_frames = 3 });
  CHECK_INT(run_all(), IPCNET_VERDICT_POSED);
  CHECK_INT(took_us(), 65 * MS);
  CHECK_INT(rig.delivered[send], 4);
}

static void a_step_without_conditions_is_only_sent(void)
{
  plan_of_test(1000 * MS);
  struct ipcnet_reflex_step *brake = rig_step(&rig, 500 * MS);
  rig_add_send(&rig, brake);
  CHECK_INT(run_all(), IPCNET_VERDICT_CUT);
  CHECK_INT(state(brake), IPCNET_STEP_SENT_ONLY);
  CHECK_INT(took_us(), 0);
}

static void a_step_waits_for_all_it_needs(void)
{
  plan_of_test(1000 * MS);
  struct ipcnet_reflex_step *left = rig_step(&rig, 500 * MS);
  rig_condition(&rig, left, 0, (struct rig_cause){ .send = NONE, .delay_us = 10 * MS });
  struct ipcnet_reflex_step *right = rig_step(&rig, 500 * MS);
  rig_condition(&rig, right, 0, (struct rig_cause){ .send = NONE, .delay_us = 30 * MS });
  struct ipcnet_reflex_step *brake = rig_step(&rig, 500 * MS);
  uint16_t send = rig_add_send(&rig, brake);
  rig_condition(&rig, brake, 0, after(send, 7 * MS));
  rig_need(&rig, brake, left);
  rig_need(&rig, brake, right);
  CHECK_INT(run_all(), IPCNET_VERDICT_POSED);
  CHECK_INT(took_us(), 37 * MS);
}

static void a_step_that_is_not_reached_does_not_hold_up_the_next(void)
{
  plan_of_test(1000 * MS);
  struct ipcnet_reflex_step *park = rig_step(&rig, 200 * MS);
  rig_condition(&rig, park, 0, never);
  struct ipcnet_reflex_step *brake = rig_step(&rig, 100 * MS);
  rig_need(&rig, brake, park);
  rig_condition(&rig, brake, 0, at_once);
  CHECK_INT(run_all(), IPCNET_VERDICT_CUT);
  CHECK_INT(took_us(), 200 * MS);
  CHECK_INT(state(park), IPCNET_STEP_TIMED_OUT);
  CHECK_INT(state(brake), IPCNET_STEP_REACHED);
  park->on_timeout = IPCNET_REFLEX_FAIL;
  CHECK_INT(run_all(), IPCNET_VERDICT_FAILED);
  CHECK_INT(state(brake), IPCNET_STEP_REACHED);
}

static void tries_and_back_off(void)
{
  plan_of_test(1000 * MS);
  struct ipcnet_reflex_step *park = rig_step(&rig, 100 * MS);
  park->tries = 3;
  park->backoff_us = 30 * MS;
  uint16_t send = rig_add_send(&rig, park);
  rig_condition(&rig, park, 0, (struct rig_cause){ .send = send, .delay_us = 10 * MS, .lost_frames = 2 });
  CHECK_INT(run_all(), IPCNET_VERDICT_POSED);
  CHECK_INT(took_us(), 270 * MS); /* 100 + 30 + 100 + 30 + 10 */
  CHECK_INT(rig.runner.run.steps[0].took_us, 270 * MS);
  CHECK_INT(rig.runner.run.steps[0].tries, 3);
  CHECK_INT(rig.delivered[send], 3);
  rig.causes[0].lost_frames = 3;
  CHECK_INT(run_all(), IPCNET_VERDICT_CUT);
  CHECK_INT(took_us(), 360 * MS);
  CHECK(ipcnet_reflex_plan_worst_us(&rig.table, 0) == 360 * MS);
}

static void fallbacks_run_one_after_the_other(void)
{
  plan_of_test(1000 * MS);
  struct ipcnet_reflex_step *park = rig_step(&rig, 100 * MS);
  rig_condition(&rig, park, 0, never);
  struct ipcnet_reflex_step *slow = rig_step(&rig, 50 * MS);
  slow->flags = 2;
  rig_condition(&rig, slow, 0, never);
  struct ipcnet_reflex_step *hold = rig_step(&rig, 20 * MS);
  hold->flags = 2;
  uint16_t send = rig_add_send(&rig, hold);
  rig_condition(&rig, hold, 0, after(send, 5 * MS));
  park->fallback = rig_row(&rig, slow);
  slow->fallback = rig_row(&rig, hold);
  struct ipcnet_reflex_step *brake = rig_step(&rig, 10 * MS);
  rig_need(&rig, brake, park);
  rig_condition(&rig, brake, 0, at_once);
  CHECK_INT(run_all(), IPCNET_VERDICT_CUT); /* what was planned was not measured */
  CHECK_INT(took_us(), 155 * MS);
  CHECK_INT(state(park), IPCNET_STEP_FELL_BACK);
  CHECK_INT(state(slow), IPCNET_STEP_FELL_BACK);
  CHECK_INT(state(hold), IPCNET_STEP_REACHED);
  CHECK(ipcnet_reflex_plan_worst_us(&rig.table, 0) == 180 * MS);
  rig.causes[0] = at_once;
  CHECK_INT(run_all(), IPCNET_VERDICT_POSED);
  CHECK_INT(state(slow), IPCNET_STEP_SKIPPED);
  CHECK_INT(state(hold), IPCNET_STEP_SKIPPED);
  CHECK_INT(rig.asked[send], 0);
}

static void the_order_of_rows_means_nothing(void)
{
  plan_of_test(1000 * MS);
  struct ipcnet_reflex_step *brake = rig_step(&rig, 10 * MS);
  rig_condition(&rig, brake, 0, at_once);
  struct ipcnet_reflex_step *hold = rig_step(&rig, 20 * MS);
  hold->flags = 2;
  rig_add_send(&rig, hold);
  struct ipcnet_reflex_step *slow = rig_step(&rig, 50 * MS);
  slow->flags = 2;
  slow->fallback = rig_row(&rig, hold);
  rig_condition(&rig, slow, 0, never);
  struct ipcnet_reflex_step *park = rig_step(&rig, 100 * MS);
  park->fallback = rig_row(&rig, slow);
  rig_condition(&rig, park, 0, at_once);
  brake->needs_first = 0;
  rig_need(&rig, brake, park);
  CHECK_INT(run_all(), IPCNET_VERDICT_POSED);
  CHECK_INT(took_us(), 0);
  CHECK_INT(state(slow), IPCNET_STEP_SKIPPED);
  CHECK_INT(state(hold), IPCNET_STEP_SKIPPED);
  rig.causes[2].never = 1;
  CHECK_INT(run_all(), IPCNET_VERDICT_CUT);
  CHECK_INT(took_us(), 150 * MS);
}

static void a_step_may_ask_for_the_last_rung(void)
{
  plan_of_test(1000 * MS);
  struct ipcnet_reflex_step *park = rig_step(&rig, 100 * MS);
  park->on_timeout = IPCNET_REFLEX_LAST;
  rig_condition(&rig, park, 0, never);
  struct ipcnet_reflex_step *brake = rig_step(&rig, 10 * MS);
  brake->flags = 1;
  uint16_t braking = rig_add_send(&rig, brake);
  rig_need(&rig, brake, park);
  struct ipcnet_reflex_step *lamp = rig_step(&rig, 10 * MS);
  uint16_t lighting = rig_add_send(&rig, lamp);
  rig_need(&rig, lamp, park);
  CHECK_INT(run_all(), IPCNET_VERDICT_FAILED);
  CHECK_INT(took_us(), 100 * MS);
  CHECK_INT(rig.delivered[braking], 1); /* mandatory */
  CHECK_INT(rig.delivered[lighting], 0);
  CHECK_INT(rig.delivered[0], 1);
  CHECK_INT(state(park), IPCNET_STEP_TIMED_OUT);
  CHECK_INT(state(brake), IPCNET_STEP_HURRIED);
  CHECK_INT(rig.runner.run.last_sent, IPCNET_LAST_SENT);
}

static void the_budget_is_stretched_by_nothing(void)
{
  plan_of_test(150 * MS);
  struct ipcnet_reflex_step *park = rig_step(&rig, 100 * MS);
  park->flags = 1;
  uint16_t parking = rig_add_send(&rig, park);
  rig_condition(&rig, park, 0, never);
  park->tries = 5;
  struct ipcnet_reflex_step *brake = rig_step(&rig, 10 * MS);
  brake->flags = 1;
  uint16_t braking = rig_add_send(&rig, brake);
  rig_need(&rig, brake, park);
  CHECK_INT(run_all(), IPCNET_VERDICT_FAILED);
  CHECK_INT(took_us(), 150 * MS);
  CHECK_INT(rig.delivered[parking], 2); /* two tries, not again at the end */
  CHECK_INT(rig.delivered[braking], 1);
  CHECK_INT(rig.delivered[0], 1);
}

static void a_bus_that_takes_nothing_is_asked_again(void)
{
  plan_of_test(1000 * MS);
  struct ipcnet_reflex_step *brake = rig_step(&rig, 100 * MS);
  uint16_t send = rig_add_send(&rig, brake), other = rig_add_send(&rig, brake);
  rig_close(&rig);
  rig.refuse_until_us[send] = BEGIN_US + 3500;
  CHECK_INT(run_all(), IPCNET_VERDICT_CUT);
  CHECK_INT(took_us(), 4 * MS);
  CHECK_INT(rig.asked[send], 5);
  CHECK_INT(rig.asked[other], 1); /* was taken */
  rig.refuse_until_us[send] = NEVER;
  CHECK_INT(run_all(), IPCNET_VERDICT_CUT);
  CHECK_INT(state(brake), IPCNET_STEP_TIMED_OUT);
  CHECK_INT(took_us(), 100 * MS);
}

static void the_last_rung_is_pressed_on_a_bus_that_does_not_take_it(void)
{
  plan_of_test(10 * MS);
  struct ipcnet_reflex_step *park = rig_step(&rig, 100 * MS);
  rig_condition(&rig, park, 0, never);
  rig.refuse_until_us[0] = BEGIN_US + 10 * MS + 2500;
  CHECK_INT(run_all(), IPCNET_VERDICT_FAILED);
  CHECK_INT(took_us(), 13 * MS);
  CHECK_INT(rig.delivered[0], 1);
  rig.refuse_until_us[0] = NEVER;
  CHECK_INT(run_all(), IPCNET_VERDICT_FAILED);
  CHECK_INT(took_us(), 10 * MS + IPCNET_REFLEX_PLAN_LAST_US);
}

static void calls_need_a_brain_and_their_step_does_not_need_the_call(void)
{
  plan_of_test(1000 * MS);
  struct ipcnet_reflex_step *ask = rig_step(&rig, 100 * MS);
  ask->call = 3;
  ask->resend_us = 20 * MS;
  CHECK_INT(run_all(), IPCNET_VERDICT_POSED);
  CHECK_INT(took_us(), 5 * MS);
  rig.brain = false;
  CHECK_INT(run_all(), IPCNET_VERDICT_CUT);
  CHECK_INT(took_us(), 100 * MS);
  CHECK_INT(rig.calls[0], 5); /* whoever becomes the brain is told */
  rig.brain = true;
  rig.answers_no = true;
  ask->tries = 2;
  ask->backoff_us = 10 * MS;
  CHECK_INT(run_all(), IPCNET_VERDICT_CUT);
  CHECK_INT(took_us(), 20 * MS); /* 5 + 10 + 5: a refusal is not waited out */
}

static void answers_to_another_run_are_not_heard(void)
{
  plan_of_test(1000 * MS);
  struct ipcnet_reflex_step *ask = rig_step(&rig, 100 * MS);
  ask->call = 3;
  struct ipcnet_reflex_step *plain = rig_step(&rig, 100 * MS);
  rig_condition(&rig, plain, 0, never);
  rig_close(&rig);
  rig.brain = false;
  rig_power_up(&rig, BEGIN_US);
  CHECK(ipcnet_reflex_plan_start(&rig.runner, 0, 42, rig.now_us));
  ipcnet_reflex_plan_call_done(&rig.runner, 42, 0, true, rig.now_us); /* has not begun */
  ipcnet_reflex_plan_poll(&rig.runner, rig.now_us);
  ipcnet_reflex_plan_call_done(&rig.runner, 41, 0, true, rig.now_us);
  ipcnet_reflex_plan_call_done(&rig.runner, 42, 1, true, rig.now_us);
  ipcnet_reflex_plan_call_done(&rig.runner, 42, 2, true, rig.now_us);
  ipcnet_reflex_plan_call_done(&rig.runner, 42, NONE, true, rig.now_us);
  ipcnet_reflex_plan_poll(&rig.runner, rig.now_us);
  CHECK_INT(state(ask), IPCNET_STEP_RUNNING);
  CHECK_INT(state(plain), IPCNET_STEP_RUNNING);
  ipcnet_reflex_plan_call_done(&rig.runner, 42, 0, true, rig.now_us);
  CHECK(ipcnet_reflex_plan_next_deadline_us(&rig.runner) == 0);
  ipcnet_reflex_plan_poll(&rig.runner, rig.now_us);
  CHECK_INT(state(ask), IPCNET_STEP_REACHED);
}

static void a_higher_trigger_pre_empts_and_a_lower_one_does_nothing(void)
{
  plan_of_test(1000 * MS);
  struct ipcnet_reflex_step *park = rig_step(&rig, 100 * MS);
  rig_condition(&rig, park, 0, never);
  rig_plan(&rig, 500 * MS);
  rig_last(&rig);
  struct ipcnet_reflex_step *off = rig_step(&rig, 100 * MS);
  rig_condition(&rig, off, 0, at_once);
  uint16_t lower = rig_trigger(&rig, 1, 99), higher = rig_trigger(&rig, 1, 101), same_plan = rig_trigger(&rig, 0, 102);
  rig_close(&rig);
  rig_power_up(&rig, BEGIN_US);
  bool stuck;
  CHECK(!ipcnet_reflex_plan_start(&rig.runner, 77, 1, rig.now_us));
  CHECK(ipcnet_reflex_plan_start(&rig.runner, 0, 1, rig.now_us));
  rig_run(&rig, BEGIN_US + 50 * MS, &stuck);
  CHECK(!ipcnet_reflex_plan_start(&rig.runner, lower, 2, rig.now_us));
  CHECK(!ipcnet_reflex_plan_start(&rig.runner, 0, 2, rig.now_us));
  CHECK_INT(rig.runner.run.run_id, 1);
  CHECK(ipcnet_reflex_plan_start(&rig.runner, same_plan, 3, rig.now_us)); /* goes on, under another name */
  CHECK_INT(rig.runner.run.run_id, 1);
  CHECK_INT(rig.runner.run.started_us, BEGIN_US);
  CHECK_INT(rig.journal.trigger, same_plan);
  CHECK(!ipcnet_reflex_plan_start(&rig.runner, higher, 4, rig.now_us)); /* no longer higher */

  rig_power_up(&rig, BEGIN_US);
  CHECK(ipcnet_reflex_plan_start(&rig.runner, 0, 1, rig.now_us));
  rig_run(&rig, BEGIN_US + 50 * MS, &stuck);
  CHECK(ipcnet_reflex_plan_start(&rig.runner, higher, 5, rig.now_us));
  CHECK_INT(rig.journal.plan, 1);
  CHECK_INT(rig_run(&rig, NEVER - 1, &stuck), IPCNET_VERDICT_POSED);
  CHECK_INT(rig.runner.run.run_id, 5);
  CHECK(ipcnet_reflex_plan_start(&rig.runner, 0, 6, rig.now_us)); /* nothing runs: any trigger may */
}

static void a_successor_sends_running_steps_anew_and_goes_on(void)
{
  plan_of_test(1000 * MS);
  struct ipcnet_reflex_step *park = rig_step(&rig, 300 * MS);
  uint16_t send = rig_add_send(&rig, park);
  rig_condition(&rig, park, 0, after(send, 80 * MS));
  struct ipcnet_reflex_step *brake = rig_step(&rig, 100 * MS);
  uint16_t braking = rig_add_send(&rig, brake);
  rig_need(&rig, brake, park);
  rig_condition(&rig, brake, 0, after(braking, 10 * MS));
  struct ipcnet_reflex_run run = cut_at(50 * MS);
  CHECK_INT(go_on(run, 5 * MS), IPCNET_VERDICT_POSED);
  CHECK_INT(rig.delivered[send], 2);
  CHECK_INT(rig.runner.run.resumed, 1);
  CHECK_INT(took_us(), 90 * MS); /* the deadline ran on, and so did the arm */
  /* Dead beyond the step's deadline: the new try gets its time. */
  rig.causes[0].lost_frames = 1;
  run = cut_at(50 * MS);
  CHECK_INT(go_on(run, 400 * MS), IPCNET_VERDICT_POSED);
  CHECK_INT(took_us(), (50 + 400 + 80 + 10) * MS);
  /* Dead beyond the budget: the last rung. */
  run = cut_at(50 * MS);
  CHECK_INT(go_on(run, 2000 * MS), IPCNET_VERDICT_FAILED);
  CHECK_INT(took_us(), 2050 * MS);
  CHECK_INT(rig.delivered[0], 1);
}

static void what_was_reached_is_looked_at_again(void)
{
  plan_of_test(2000 * MS);
  struct ipcnet_reflex_step *park = rig_step(&rig, 300 * MS);
  uint16_t send = rig_add_send(&rig, park);
  rig_condition(&rig, park, 0, (struct rig_cause){ .send = send, .delay_us = 10 * MS, .lasts_us = 60 * MS });
  struct ipcnet_reflex_step *brake = rig_step(&rig, 300 * MS);
  rig_need(&rig, brake, park);
  rig_condition(&rig, brake, 0, (struct rig_cause){ .send = NONE, .delay_us = 250 * MS });
  CHECK_INT(run_all(), IPCNET_VERDICT_POSED);
  /* The brake has begun: parking is not sent again, but it no longer counts. */
  CHECK_INT(go_on(cut_at(100 * MS), 5 * MS), IPCNET_VERDICT_CUT);
  CHECK_INT(rig.delivered[send], 1);
  CHECK_INT(state(park), IPCNET_STEP_TIMED_OUT);
  CHECK_INT(took_us(), 250 * MS);
  /* Measured again in time: it counts. */
  CHECK_INT(go_on(cut_at(20 * MS), 5 * MS), IPCNET_VERDICT_POSED);
  /* Nothing came after it: it is sent again. */
  plan_of_test(2000 * MS);
  park = rig_step(&rig, 300 * MS);
  send = rig_add_send(&rig, park);
  rig_condition(&rig, park, 0, (struct rig_cause){ .send = send, .delay_us = 10 * MS, .lasts_us = 60 * MS });
  struct ipcnet_reflex_step *beside = rig_step(&rig, 300 * MS);
  rig_condition(&rig, beside, 0, (struct rig_cause){ .send = NONE, .delay_us = 250 * MS });
  CHECK_INT(go_on(cut_at(100 * MS), 5 * MS), IPCNET_VERDICT_CUT);
  CHECK_INT(rig.delivered[send], 2);
}

static void a_fallback_that_was_reached_is_not_sent_again_under_a_closed_brake(void)
{
  plan_of_test(2000 * MS);
  struct ipcnet_reflex_step *park = rig_step(&rig, 50 * MS);
  rig_condition(&rig, park, 0, never);
  struct ipcnet_reflex_step *hold = rig_step(&rig, 50 * MS);
  hold->flags = 2;
  park->fallback = rig_row(&rig, hold);
  uint16_t send = rig_add_send(&rig, hold);
  rig_condition(&rig, hold, 0, (struct rig_cause){ .send = send, .delay_us = 10 * MS, .lasts_us = 20 * MS });
  struct ipcnet_reflex_step *brake = rig_step(&rig, 300 * MS);
  rig_need(&rig, brake, park);
  rig_condition(&rig, brake, 0, (struct rig_cause){ .send = NONE, .delay_us = 250 * MS });
  CHECK_INT(go_on(cut_at(100 * MS), 5 * MS), IPCNET_VERDICT_CUT);
  CHECK_INT(rig.delivered[send], 1);
  CHECK_INT(state(hold), IPCNET_STEP_TIMED_OUT);
}

static void an_ended_run_stays_ended(void)
{
  plan_of_test(1000 * MS);
  struct ipcnet_reflex_step *park = rig_step(&rig, 300 * MS);
  rig_condition(&rig, park, 0, at_once);
  CHECK_INT(run_all(), IPCNET_VERDICT_POSED);
  struct ipcnet_reflex_run run = rig.journal;
  ipcnet_reflex_plan_init(&rig.runner, &rig.table, &rig.os);
  CHECK(ipcnet_reflex_plan_resume(&rig.runner, &run, rig.now_us));
  CHECK(!rig.runner.running);
  CHECK_INT(ipcnet_reflex_plan_poll(&rig.runner, rig.now_us), IPCNET_VERDICT_NONE);
  CHECK_INT(rig.runner.run.verdict, IPCNET_VERDICT_POSED);
}

static void a_senseless_image_ends_in_the_highest_triggers_last_rung(void)
{
  plan_of_test(1000 * MS);
  struct ipcnet_reflex_step *park = rig_step(&rig, 300 * MS);
  park->flags = 1;
  uint16_t send = rig_add_send(&rig, park);
  rig_condition(&rig, park, 0, never);
  rig_plan(&rig, 500 * MS);
  uint16_t off = rig_last(&rig);
  struct ipcnet_reflex_step *other = rig_step(&rig, 100 * MS);
  rig_condition(&rig, other, 0, never);
  rig_trigger(&rig, 1, 200);
  struct ipcnet_reflex_run run = cut_at(50 * MS);
  CHECK(ipcnet_reflex_run_valid(&run, &rig.table));
  unsigned sent = rig.delivered[send];
  run.table_hash[31] ^= 1;
  ipcnet_reflex_plan_init(&rig.runner, &rig.table, &rig.os);
  CHECK(!ipcnet_reflex_plan_resume(&rig.runner, &run, rig.now_us));
  CHECK(!ipcnet_reflex_plan_start(&rig.runner, 0, 43, rig.now_us));
  CHECK_INT(ipcnet_reflex_plan_poll(&rig.runner, rig.now_us), IPCNET_VERDICT_FAILED);
  CHECK_INT(rig.delivered[off], 1);
  CHECK_INT(rig.delivered[0], 0);
  CHECK_INT(rig.delivered[send], sent); /* nobody knows where the arm is: no step is begun */
  /* A table with nothing in it: an end all the same. */
  rig.header.sections[IPCNET_REFLEX_TRIGGERS].count = rig.header.sections[IPCNET_REFLEX_PLANS].count = 0;
  CHECK(!ipcnet_reflex_plan_resume(&rig.runner, &run, rig.now_us));
  CHECK_INT(ipcnet_reflex_plan_poll(&rig.runner, rig.now_us), IPCNET_VERDICT_FAILED);
}

static void images_are_checked(void)
{
  plan_of_test(1000 * MS);
  struct ipcnet_reflex_step *park = rig_step(&rig, 300 * MS);
  rig_condition(&rig, park, 0, never);
  struct ipcnet_reflex_step *lamp = rig_step(&rig, 300 * MS);
  rig_add_send(&rig, lamp);
  struct ipcnet_reflex_run good = cut_at(50 * MS), bad;
  CHECK(ipcnet_reflex_run_valid(&good, &rig.table));
#define REFUSED(change) do { bad = good; change; CHECK(!ipcnet_reflex_run_valid(&bad, &rig.table)); } while (0)
  REFUSED(bad.plan = 1);
  REFUSED(bad.trigger = 1);
  REFUSED(bad.verdict = 4);
  REFUSED(bad.last_sent = 3);
  REFUSED(bad.last_sent = IPCNET_LAST_SENT);
  REFUSED(bad.unsafe_end = 2);
  REFUSED(bad.steps[0].state = IPCNET_STEP_STATES);
  REFUSED(bad.steps[0].state = IPCNET_STEP_WAITING);
  REFUSED(bad.steps[0].state = IPCNET_STEP_SENT_ONLY);
  REFUSED(bad.steps[0].state = IPCNET_STEP_FELL_BACK);
  REFUSED(bad.steps[0].state = IPCNET_STEP_SKIPPED);
  REFUSED(bad.steps[0].tries = 0);
  REFUSED(bad.steps[0].tries = 2);
  REFUSED(bad.steps[0].call_done = 3);
  REFUSED(bad.steps[1].state = IPCNET_STEP_REACHED);
}

static void worst_case(void)
{
  plan_of_test(1000 * MS);
  struct ipcnet_reflex_step *a = rig_step(&rig, 100 * MS), *b = rig_step(&rig, 30 * MS), *c = rig_step(&rig, 50 * MS), *d = rig_step(&rig, 1 * MS);
  rig_close(&rig);
  CHECK(ipcnet_reflex_plan_worst_us(&rig.table, 0) == 100 * MS);
  c->needs_first = 0;
  c->needs_count = 2;
  rig.needs[0] = 0;
  rig.needs[1] = 1;
  d->needs_first = 2;
  d->needs_count = 1;
  rig.needs[2] = 2;
  b->tries = 2;
  b->backoff_us = 60 * MS;
  CHECK(ipcnet_reflex_plan_worst_us(&rig.table, 0) == 171 * MS); /* b: 120, c: 50, d: 1 */
  a->needs_first = 3;
  a->needs_count = 1;
  rig.needs[3] = 3;
  CHECK(ipcnet_reflex_plan_worst_us(&rig.table, 0) == UINT64_MAX);
  a->needs_count = 0;
  a->fallback = 0;
  CHECK(ipcnet_reflex_plan_worst_us(&rig.table, 0) == UINT64_MAX);
}

int main(void)
{
  a_step_is_reached_when_measured_for_its_hold_time();
  frames_go_out_again_while_the_step_waits();
  a_step_without_conditions_is_only_sent();
  a_step_waits_for_all_it_needs();
  a_step_that_is_not_reached_does_not_hold_up_the_next();
  tries_and_back_off();
  fallbacks_run_one_after_the_other();
  the_order_of_rows_means_nothing();
  a_step_may_ask_for_the_last_rung();
  the_budget_is_stretched_by_nothing();
  a_bus_that_takes_nothing_is_asked_again();
  the_last_rung_is_pressed_on_a_bus_that_does_not_take_it();
  calls_need_a_brain_and_their_step_does_not_need_the_call();
  answers_to_another_run_are_not_heard();
  a_higher_trigger_pre_empts_and_a_lower_one_does_nothing();
  a_successor_sends_running_steps_anew_and_goes_on();
  what_was_reached_is_looked_at_again();
  a_fallback_that_was_reached_is_not_sent_again_under_a_closed_brake();
  an_ended_run_stays_ended();
  a_senseless_image_ends_in_the_highest_triggers_last_rung();
  images_are_checked();
  worst_case();
  return checks_report("reflex_plan");
}
