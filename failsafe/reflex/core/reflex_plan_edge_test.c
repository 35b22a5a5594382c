/* The rules of a plan at their edges: between other plans, at the same instant, late, taken over half-way, with a bus that does not take frames, and with images that nobody wrote honestly. */
#include "plan_checks.h"

#define FALLBACK 2u
#define MANDATORY 1u

/* ---- Parts of plans ------------------------------------------------------------------------------------------------------------------------------- */

/* A step with one frame. */
static struct ipcnet_reflex_step *frame_step(uint32_t deadline_us, uint16_t *send)
{
  struct ipcnet_reflex_step *step = rig_step(&rig, deadline_us);
  *send = rig_add_send(&rig, step);
  return step;
}

static struct ipcnet_reflex_step *measured_step(uint32_t deadline_us, struct rig_cause cause)
{
  struct ipcnet_reflex_step *step = rig_step(&rig, deadline_us);
  rig_condition(&rig, step, 0, cause);
  return step;
}

/* A fallback that its frame brings to its end in 2 ms. */
static struct ipcnet_reflex_step *holding_step(uint16_t *send)
{
  struct ipcnet_reflex_step *step = frame_step(10 * MS, send);
  rig_condition(&rig, step, 0, after(*send, 2 * MS));
  step->flags = FALLBACK;
  return step;
}

static struct rig_cause for_a_while(uint32_t from_us, uint32_t lasts_us) { return (struct rig_cause){ .send = NONE, .delay_us = from_us, .lasts_us = lasts_us }; }

static enum ipcnet_reflex_verdict poll_at(uint64_t after_us)
{
  rig.now_us = BEGIN_US + after_us;
  return ipcnet_reflex_plan_poll(&rig.runner, rig.now_us);
}

static unsigned calls(void)
{
  unsigned sum = 0;
  for (unsigned i = 0; i < RIG_STEPS; i++) sum += rig.calls[i];
  return sum;
}

/* ---- Frames and calls ------------------------------------------------------------------------------------------------------------------------------- */

/* Without resend_us a try sends once, however often it is polled; a step without a call asks nobody; and where nothing changes nothing is journalled. */
static void test_sent_once(void)
{
  plan_among_others(1000 * MS);
  uint16_t send;
  struct ipcnet_reflex_step *park = frame_step(100 * MS, &send);
  rig_condition(&rig, park, 0, never);
  begin_run();
  poll_at(0);
  unsigned journalled = rig.journalled;
  for (unsigned at = 0; at < 100; at++) CHECK_INT(poll_at(at * MS), IPCNET_VERDICT_NONE);
  CHECK_INT(rig.journalled, journalled);
  CHECK_INT(rig.asked[send], 1);
  CHECK_INT(calls(), 0);
  CHECK_INT(run_on(), IPCNET_VERDICT_CUT);
  CHECK_INT(took_us(), 100 * MS);
}

/* A frame that the bus did not take is tried again every millisecond, not whenever something is measured; but when frames go out again, they do so at once. */
static void test_retries_and_resends(void)
{
  plan_among_others(1000 * MS);
  uint16_t send;
  struct ipcnet_reflex_step *park = frame_step(4 * MS, &send);
  rig_condition(&rig, park, 0, never);
  park->resend_us = 2500;
  park->tries = 2;
  rig.refuse_until_us[send] = NEVER;
  begin_run();
  static const struct { uint32_t at_us; unsigned asked; } COURSE[] = {
    { 0, 1 }, { 100, 1 }, { 999, 1 }, { 1000, 2 }, { 1500, 2 }, { 2000, 3 }, { 2500, 4 }, { 3000, 4 }, { 3500, 5 }, { 3999, 5 },
    { 4000, 6 }, { 4500, 6 }, { 5000, 7 }, /* the second try: at once, and not when the first one would have tried again */
  };
  for (unsigned i = 0; i < sizeof COURSE / sizeof COURSE[0]; i++) {
    CHECK_INT(poll_at(COURSE[i].at_us), IPCNET_VERDICT_NONE);
    CHECK_INT(rig.asked[send], COURSE[i].asked);
  }
}

/* What was refused is open, in whatever row it stands: the step is not met by its condition alone. */
static void test_refused_frames_keep_a_step_open(void)
{
  plan_among_others(1000 * MS);
  uint16_t sends[9];
  struct ipcnet_reflex_step *steps[9];
  for (unsigned i = 0; i < 9; i++) {
    steps[i] = frame_step(100 * MS, &sends[i]);
    rig_condition(&rig, steps[i], 0, at_once);
    rig.refuse_until_us[sends[i]] = BEGIN_US + 10 * MS;
  }
  begin_run();
  run_until(9 * MS);
  for (unsigned i = 0; i < 9; i++) CHECK_INT(state(steps[i]), IPCNET_STEP_RUNNING);
  CHECK_INT(run_on(), IPCNET_VERDICT_POSED);
  CHECK_INT(took_us(), 10 * MS);
}

/* A call that was answered is not made again when the frames are sent again. */
static void test_an_answered_call_is_not_repeated(void)
{
  plan_among_others(1000 * MS);
  uint16_t send;
  struct ipcnet_reflex_step *ask = frame_step(100 * MS, &send);
  rig_condition(&rig, ask, 0, never);
  ask->call = 3;
  ask->resend_us = 20 * MS;
  CHECK_INT(run_all(), IPCNET_VERDICT_CUT);
  CHECK_INT(rig.delivered[send], 5);
  CHECK_INT(rig.calls[rig_row(&rig, ask)], 1);
}

/* Who is not asked, not yet or no longer, changes nothing by answering; and the first answer stands. */
static void test_answers_nobody_waits_for(void)
{
  plan_among_others(1000 * MS);
  struct ipcnet_reflex_step *ask = measured_step(20 * MS, at_once), *plain = measured_step(100 * MS, never), *last = measured_step(100 * MS, never);
  ask->call = 3;
  ask->tries = 2;
  ask->backoff_us = 10 * MS;
  last->call = 4;
  rig_need(&rig, last, plain);
  rig.brain = false;
  rig_close(&rig);
  rig_power_up(&rig, BEGIN_US);
  ipcnet_reflex_plan_call_done(&rig.runner, 0, rig_row(&rig, ask), true, rig.now_us); /* nothing was ever begun */
  CHECK_INT(rig.journalled, 0);
  begin_run();
  ipcnet_reflex_plan_poll(&rig.runner, rig.now_us);
  unsigned journalled = rig.journalled;
#define IGNORED(step, ok) do { ipcnet_reflex_plan_call_done(&rig.runner, 42, step, ok, rig.now_us); CHECK_INT(rig.journalled, journalled); CHECK(ipcnet_reflex_plan_next_deadline_us(&rig.runner) > rig.now_us); } while (0)
  IGNORED(rig_row(&rig, plain), true);                      /* calls nobody */
  IGNORED(rig_row(&rig, last), true);                       /* has not begun */
  IGNORED((uint16_t)(rig_row(&rig, last) + 1), true);       /* of the next plan */
  IGNORED((uint16_t)(rig_row(&rig, ask) - 1), true);        /* of the one before */
  IGNORED(NONE, true);
  run_until(25 * MS);
  CHECK_INT(state(ask), IPCNET_STEP_BACKOFF);
  journalled = rig.journalled;
  IGNORED(rig_row(&rig, ask), true); /* too late for one try, too early for the other */
  run_until(31 * MS);
  ipcnet_reflex_plan_call_done(&rig.runner, 42, rig_row(&rig, ask), false, rig.now_us);
  journalled = rig.journalled;
  ipcnet_reflex_plan_call_done(&rig.runner, 42, rig_row(&rig, ask), true, rig.now_us); /* it has said no */
  CHECK_INT(rig.journalled, journalled);
  run_until(32 * MS);
  CHECK_INT(state(ask), IPCNET_STEP_TIMED_OUT);
  journalled = rig.journalled;
  IGNORED(rig_row(&rig, ask), true);
  /* Who has lost the bus (reflex.c) writes nothing into a journal that is another's. */
  run_until(110 * MS);
  CHECK_INT(state(last), IPCNET_STEP_RUNNING);
  rig.runner.running = false;
  journalled = rig.journalled;
  IGNORED(rig_row(&rig, last), true);
#undef IGNORED
}

/* ---- What follows from what --------------------------------------------------------------------------------------------------------------------------- */

/* What needs a step waits for its back-off, its next try, and for the fallback that runs in its place. */
static void test_what_needs_a_step_waits_for_its_fallback(void)
{
  plan_among_others(1000 * MS);
  struct ipcnet_reflex_step *park = measured_step(10 * MS, never);
  park->tries = 2;
  park->backoff_us = 30 * MS;
  uint16_t holding, braking;
  struct ipcnet_reflex_step *hold = frame_step(50 * MS, &holding);
  rig_condition(&rig, hold, 0, after(holding, 20 * MS));
  hold->flags = FALLBACK;
  park->fallback = rig_row(&rig, hold);
  struct ipcnet_reflex_step *brake = frame_step(50 * MS, &braking);
  rig_need(&rig, brake, park);
  rig_condition(&rig, brake, 0, at_once);
  begin_run();
  run_until(39 * MS);
  CHECK_INT(state(park), IPCNET_STEP_BACKOFF);
  CHECK_INT(state(hold), IPCNET_STEP_WAITING);
  CHECK_INT(state(brake), IPCNET_STEP_WAITING);
  run_until(69 * MS);
  CHECK_INT(state(park), IPCNET_STEP_FELL_BACK);
  CHECK_INT(state(hold), IPCNET_STEP_RUNNING);
  CHECK_INT(state(brake), IPCNET_STEP_WAITING);
  CHECK_INT(rig.delivered[braking], 0);
  CHECK_INT(run_on(), IPCNET_VERDICT_CUT);
  CHECK_INT(took_us(), 70 * MS);
  CHECK_INT(rig.runner.run.steps[place(park)].took_us, 50 * MS);
  CHECK_INT(rig.runner.run.steps[place(hold)].took_us, 20 * MS);
  CHECK_INT(rig.runner.run.steps[place(brake)].took_us, 0);
}

/* A fallback of two steps runs if either is given up, whoever of them ends first, and once. */
static void test_a_fallback_of_two_steps(void)
{
  static const struct { uint32_t left_us, right_us, runs_at_us; } CASES[] = { /* when they are reached, 0 never; their deadlines are 20 and 50 ms */
    { 5 * MS, 5 * MS, 0 }, { 5 * MS, 0, 50 * MS }, { 0, 30 * MS, 20 * MS }, { 0, 0, 20 * MS },
  };
  for (unsigned i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    for (unsigned order = 0; order < 2; order++) {
      plan_among_others(1000 * MS);
      struct ipcnet_reflex_step *hold = NULL;
      uint16_t send = 0;
      if (order == 1) hold = holding_step(&send);
      struct ipcnet_reflex_step *left = measured_step(20 * MS, CASES[i].left_us ? for_a_while(CASES[i].left_us, 0) : never);
      struct ipcnet_reflex_step *right = measured_step(50 * MS, CASES[i].right_us ? for_a_while(CASES[i].right_us, 0) : never);
      if (order == 0) hold = holding_step(&send);
      left->fallback = right->fallback = rig_row(&rig, hold);
      begin_run();
      if (CASES[i].runs_at_us == 0) {
        CHECK_INT(run_on(), IPCNET_VERDICT_POSED);
        CHECK_INT(state(hold), IPCNET_STEP_SKIPPED);
        CHECK_INT(rig.asked[send], 0);
        CHECK_INT(took_us(), 5 * MS);
        continue;
      }
      run_until(CASES[i].runs_at_us - 1);
      CHECK_INT(state(hold), IPCNET_STEP_WAITING);
      CHECK_INT(rig.delivered[send], 0);
      run_until(CASES[i].runs_at_us);
      CHECK_INT(rig.delivered[send], 1);
      CHECK_INT(run_on(), IPCNET_VERDICT_CUT);
      CHECK_INT(state(hold), IPCNET_STEP_REACHED);
      CHECK_INT(rig.delivered[send], 1);
    }
  }
}

/* A fallback that no step names keeps nobody waiting. */
static void test_a_fallback_of_nobody(void)
{
  plan_among_others(1000 * MS);
  uint16_t send;
  struct ipcnet_reflex_step *stray = frame_step(10 * MS, &send), *park = measured_step(50 * MS, at_once);
  stray->flags = FALLBACK;
  CHECK_INT(run_all(), IPCNET_VERDICT_POSED);
  CHECK_INT(state(stray), IPCNET_STEP_SKIPPED);
  CHECK_INT(state(park), IPCNET_STEP_REACHED);
  CHECK_INT(took_us(), 0);
}

/* What happens at one instant does not depend on the order of rows: what is measured as a neighbour asks for the last rung was measured. */
static void test_at_the_same_instant(void)
{
  for (unsigned order = 0; order < 2; order++) {
    plan_among_others(1000 * MS);
    struct ipcnet_reflex_step *lift = order == 0 ? measured_step(200 * MS, for_a_while(100 * MS, 0)) : NULL;
    struct ipcnet_reflex_step *park = measured_step(100 * MS, never);
    park->on_timeout = IPCNET_REFLEX_LAST;
    if (order == 1) lift = measured_step(200 * MS, for_a_while(100 * MS, 0));
    CHECK_INT(run_all(), IPCNET_VERDICT_FAILED);
    CHECK_INT(took_us(), 100 * MS);
    CHECK_INT(state(park), IPCNET_STEP_TIMED_OUT);
    CHECK_INT(state(lift), IPCNET_STEP_REACHED);
  }
}

/* ---- The last rung ---------------------------------------------------------------------------------------------------------------------------------------- */

/* What is told of each step when the last rung was needed: what had ended stays as it ended. */
static void test_states_after_the_last_rung(void)
{
  plan_among_others(100 * MS);
  struct ipcnet_reflex_step *reached = measured_step(50 * MS, for_a_while(10 * MS, 0)), *running = measured_step(500 * MS, never), *between = measured_step(20 * MS, never);
  between->tries = 2;
  between->backoff_us = 500 * MS;
  struct ipcnet_reflex_step *waiting = measured_step(50 * MS, at_once), *spare = measured_step(50 * MS, at_once);
  rig_need(&rig, waiting, running);
  spare->flags = FALLBACK;
  running->fallback = rig_row(&rig, spare);
  CHECK_INT(run_all(), IPCNET_VERDICT_FAILED);
  CHECK_INT(took_us(), 100 * MS);
  const struct { const struct ipcnet_reflex_step *step; int state; uint32_t took_us; uint64_t since_us; } CASES[] = {
    { reached, IPCNET_STEP_REACHED, 10 * MS, 10 * MS }, { running, IPCNET_STEP_TIMED_OUT, 100 * MS, 100 * MS }, { between, IPCNET_STEP_TIMED_OUT, 100 * MS, 100 * MS },
    { waiting, IPCNET_STEP_HURRIED, 0, 100 * MS }, { spare, IPCNET_STEP_SKIPPED, 0, 100 * MS },
  };
  for (unsigned i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    CHECK_INT(state(CASES[i].step), CASES[i].state);
    CHECK_INT(rig.runner.run.steps[place(CASES[i].step)].took_us, CASES[i].took_us);
    CHECK_INT(rig.runner.run.steps[place(CASES[i].step)].since_us, BEGIN_US + CASES[i].since_us);
  }
}

/* What goes out with the last rung: mandatory frames that nobody is known to have sent, and no others. */
static void test_what_is_sent_with_the_last_rung(void)
{
  plan_among_others(100 * MS);
  struct { struct ipcnet_reflex_step *step; uint16_t send; } refused, between, spare, optional[8], waiting;
  refused.step = frame_step(500 * MS, &refused.send); /* not mandatory: what the bus did not take of it is given up */
  rig.refuse_until_us[refused.send] = BEGIN_US + 100 * MS;
  between.step = frame_step(20 * MS, &between.send);
  between.step->flags = MANDATORY;
  between.step->tries = 2;
  between.step->backoff_us = 500 * MS;
  rig.refuse_until_us[between.send] = BEGIN_US + 50 * MS;
  spare.step = frame_step(20 * MS, &spare.send);
  spare.step->flags = MANDATORY | FALLBACK;
  refused.step->fallback = rig_row(&rig, spare.step);
  for (unsigned i = 0; i < 8; i++) {
    optional[i].step = frame_step(20 * MS, &optional[i].send);
    rig_need(&rig, optional[i].step, refused.step);
  }
  waiting.step = frame_step(20 * MS, &waiting.send);
  waiting.step->flags = MANDATORY;
  rig_need(&rig, waiting.step, refused.step);
  begin_run();
  run_until(99 * MS);
  CHECK_INT(rig.delivered[between.send], 0);
  CHECK_INT(run_on(), IPCNET_VERDICT_FAILED);
  CHECK_INT(rig.delivered[last_rung()], 1);
  CHECK_INT(rig.delivered[between.send], 1);
  CHECK_INT(rig.delivered[waiting.send], 1);
  CHECK_INT(rig.delivered[refused.send], 0);
  CHECK_INT(rig.asked[spare.send], 0);
  for (unsigned i = 0; i < 8; i++) CHECK_INT(rig.asked[optional[i].send], 0);
}

/* A bus that takes the last rung but not yet a mandatory frame is asked on for that, once a millisecond, and not for the rung again. */
static void test_the_last_rung_waits_for_mandatory_frames(void)
{
  plan_among_others(10 * MS);
  struct ipcnet_reflex_step *park = measured_step(100 * MS, never);
  uint16_t send;
  struct ipcnet_reflex_step *brake = frame_step(50 * MS, &send);
  brake->flags = MANDATORY;
  rig_need(&rig, brake, park);
  rig.refuse_until_us[send] = BEGIN_US + 12 * MS;
  begin_run();
  run_until(10 * MS);
  CHECK_INT(rig.delivered[last_rung()], 1);
  CHECK_INT(rig.asked[send], 1);
  CHECK_INT(poll_at(10 * MS + 500), IPCNET_VERDICT_NONE);
  CHECK_INT(poll_at(10 * MS + 999), IPCNET_VERDICT_NONE);
  CHECK_INT(rig.asked[send], 1);
  CHECK_INT(run_on(), IPCNET_VERDICT_FAILED);
  CHECK_INT(took_us(), 12 * MS);
  CHECK_INT(rig.asked[send], 3);
  CHECK_INT(rig.asked[last_rung()], 1);
}

/* The bus takes nothing: 100 ms after it began the end is the end, wherever between two tries that falls. */
static void test_the_last_rung_has_its_own_end(void)
{
  plan_among_others(10 * MS);
  measured_step(100 * MS, never);
  rig.refuse_until_us[last_rung()] = NEVER;
  begin_run();
  run_until(10 * MS);
  CHECK_INT(poll_at(109 * MS + 500), IPCNET_VERDICT_NONE);
  CHECK(ipcnet_reflex_plan_next_deadline_us(&rig.runner) == BEGIN_US + 110 * MS);
  CHECK_INT(poll_at(110 * MS - 1), IPCNET_VERDICT_NONE);
  CHECK_INT(poll_at(110 * MS), IPCNET_VERDICT_FAILED);
}

/* What a predecessor had reached is not sent again at the end: a brake may have closed since. */
static void test_the_last_rung_does_not_repeat_what_was_reached(void)
{
  plan_among_others(100 * MS);
  uint16_t send;
  struct ipcnet_reflex_step *park = frame_step(50 * MS, &send);
  park->flags = MANDATORY;
  rig_condition(&rig, park, 0, after(send, 10 * MS));
  struct ipcnet_reflex_step *brake = measured_step(500 * MS, never);
  rig_need(&rig, brake, park);
  CHECK_INT(go_on(cut_at(50 * MS), 5 * MS), IPCNET_VERDICT_FAILED);
  CHECK_INT(took_us(), 100 * MS);
  CHECK_INT(state(park), IPCNET_STEP_REACHED);
  CHECK_INT(rig.delivered[send], 1);
}

/* ---- Going on with another's run: times -------------------------------------------------------------------------------------------------------------------- */

/* The clock of a running try runs on, but 100 ms are left to it; what has ended or waits for its next try keeps its time. */
static void test_times_run_on(void)
{
  static const struct { uint32_t cut_us, ends_us; } CASES[] = { { 50 * MS, 300 * MS }, { 195 * MS, 300 * MS }, { 196 * MS, 301 * MS }, { 295 * MS, 400 * MS } };
  for (unsigned i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    plan_among_others(1000 * MS);
    struct ipcnet_reflex_step *park = measured_step(300 * MS, never), *lamp = measured_step(50 * MS, for_a_while(10 * MS, 0));
    CHECK_INT(go_on(cut_at(CASES[i].cut_us), 5 * MS), IPCNET_VERDICT_CUT);
    CHECK_INT(took_us(), CASES[i].ends_us);
    CHECK_INT(state(park), IPCNET_STEP_TIMED_OUT);
    CHECK_INT(rig.runner.run.steps[place(lamp)].since_us, BEGIN_US + 10 * MS);
  }
  plan_among_others(1000 * MS);
  uint16_t send;
  struct ipcnet_reflex_step *park = frame_step(50 * MS, &send); /* shorter than what a running one is given */
  rig_condition(&rig, park, 0, never);
  park->tries = 2;
  park->backoff_us = 40 * MS;
  CHECK_INT(go_on(cut_at(60 * MS), 5 * MS), IPCNET_VERDICT_CUT);
  CHECK_INT(rig.delivered[send], 2);
  CHECK_INT(took_us(), 140 * MS);
}

/* Sums and counts of long lives stay at their greatest. */
static void test_counts_that_are_full(void)
{
  plan_among_others(1000 * MS);
  struct ipcnet_reflex_step *park = measured_step(300 * MS, for_a_while(100 * MS, 0)), *lamp = measured_step(300 * MS, for_a_while(100 * MS, 0));
  struct ipcnet_reflex_run run = cut_at(50 * MS);
  run.resumed = UINT8_MAX - 1;
  run.steps[place(park)].took_us = UINT32_MAX - 5;
  run.steps[place(lamp)].took_us = UINT32_MAX - 100 * MS;
  struct ipcnet_reflex_run again = run;
  CHECK_INT(go_on(run, 5 * MS), IPCNET_VERDICT_POSED);
  CHECK_INT(rig.runner.run.resumed, UINT8_MAX);
  CHECK_INT(rig.runner.run.steps[place(park)].took_us, UINT32_MAX);
  CHECK_INT(rig.runner.run.steps[place(lamp)].took_us, UINT32_MAX);
  cut_at(50 * MS);
  again.resumed = UINT8_MAX;
  CHECK_INT(go_on(again, 5 * MS), IPCNET_VERDICT_POSED);
  CHECK_INT(rig.runner.run.resumed, UINT8_MAX);
}

/* An instant in the future is none of this boot's: counted from now on. */
static void test_times_in_the_future(void)
{
  plan_among_others(600 * MS);
  struct ipcnet_reflex_step *park = measured_step(300 * MS, never);
  struct ipcnet_reflex_run run = cut_at(50 * MS);
  run.steps[place(park)].since_us = UINT64_MAX;
  CHECK_INT(go_on(run, 5 * MS), IPCNET_VERDICT_CUT);
  CHECK_INT(took_us(), 355 * MS);
  park->tries = 200;
  run = cut_at(50 * MS);
  run.started_us = UINT64_MAX;
  CHECK_INT(go_on(run, 5 * MS), IPCNET_VERDICT_FAILED);
  CHECK_INT(took_us(), 655 * MS);
}

/* However late a successor comes to its first turn: each try sends its frames, whether its time is over or not. */
static void test_a_late_first_turn(void)
{
  plan_among_others(1000 * MS);
  uint16_t send;
  struct ipcnet_reflex_step *park = frame_step(50 * MS, &send);
  rig_condition(&rig, park, 0, never);
  take_over(cut_at(20 * MS), 5 * MS);
  rig.now_us += 200 * MS;
  CHECK_INT(run_on(), IPCNET_VERDICT_CUT);
  CHECK_INT(rig.delivered[send], 2);
  CHECK_INT(took_us(), 225 * MS);
}

/* Who goes on with a run needs to be told to poll at once, whatever is on its way; and what it did itself before is forgotten. */
static void test_a_runner_that_ran_before(void)
{
  plan_among_others(1000 * MS);
  uint16_t send;
  struct ipcnet_reflex_step *park = frame_step(50 * MS, &send);
  rig_condition(&rig, park, 0, never);
  park->tries = 2;
  park->backoff_us = 40 * MS;
  struct ipcnet_reflex_run run = cut_at(20 * MS);
  CHECK(ipcnet_reflex_plan_resume(&rig.runner, &run, rig.now_us)); /* the same one, that has sent in this try */
  ipcnet_reflex_plan_poll(&rig.runner, rig.now_us);
  CHECK_INT(rig.delivered[send], 2);
  take_over(cut_at(60 * MS), 5 * MS);
  CHECK_INT(state(park), IPCNET_STEP_BACKOFF);
}

/* ---- Going on with another's run: what was reached ------------------------------------------------------------------------------------------------------------- */

/* What was reached and holds is left alone; what no longer holds is done again while nothing has begun that needs it, however long ago it was reached. */
static void test_what_was_reached_before(void)
{
  static const struct { uint32_t lasts_us; bool needed, blocked, beside; unsigned delivered; } CASES[] = {
    { 0, false, false, false, 1 },        /* holds */
    { 60 * MS, false, false, false, 2 },  /* nobody needs it */
    { 60 * MS, true, true, false, 2 },    /* who needs it still waits for another */
    { 60 * MS, true, false, false, 1 },   /* who needs it has begun */
    { 60 * MS, false, false, true, 2 },   /* who has begun needs something else */
  };
  for (unsigned i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    plan_among_others(2000 * MS);
    uint16_t send;
    struct ipcnet_reflex_step *park = frame_step(300 * MS, &send);
    rig_condition(&rig, park, 0, (struct rig_cause){ .send = send, .delay_us = 10 * MS, .lasts_us = CASES[i].lasts_us });
    struct ipcnet_reflex_step *slow = measured_step(900 * MS, never), *quick = measured_step(900 * MS, at_once), *next = measured_step(900 * MS, never);
    if (CASES[i].beside) rig_need(&rig, next, quick);
    if (CASES[i].needed) rig_need(&rig, next, park);
    if (CASES[i].blocked || !next->needs_count) rig_need(&rig, next, slow);
    take_over(cut_at(500 * MS), 5 * MS);
    run_until(510 * MS);
    CHECK_INT(rig.delivered[send], CASES[i].delivered);
    CHECK_INT(state(park), CASES[i].delivered == 2 ? IPCNET_STEP_RUNNING : IPCNET_STEP_REACHED);
    run_until(604 * MS);
    CHECK_INT(state(park), CASES[i].delivered == 2 ? IPCNET_STEP_RUNNING : IPCNET_STEP_REACHED);
    run_until(605 * MS); /* 100 ms after the takeover */
    CHECK_INT(state(park), CASES[i].lasts_us == 0 ? IPCNET_STEP_REACHED : IPCNET_STEP_TIMED_OUT);
  }
}

/* A fallback of two that ran for the second one is not sent again under that one's closed brake, though nothing has begun after the first one. */
static void test_a_fallback_of_two_under_a_closed_brake(void)
{
  plan_among_others(2000 * MS);
  struct ipcnet_reflex_step *left = measured_step(20 * MS, at_once), *right = measured_step(50 * MS, never);
  uint16_t send;
  struct ipcnet_reflex_step *hold = frame_step(50 * MS, &send);
  hold->flags = FALLBACK;
  rig_condition(&rig, hold, 0, (struct rig_cause){ .send = send, .delay_us = 10 * MS, .lasts_us = 20 * MS });
  left->fallback = right->fallback = rig_row(&rig, hold);
  struct ipcnet_reflex_step *brake = measured_step(300 * MS, for_a_while(250 * MS, 0));
  rig_need(&rig, brake, right);
  CHECK_INT(go_on(cut_at(100 * MS), 5 * MS), IPCNET_VERDICT_CUT);
  CHECK_INT(rig.delivered[send], 1);
  CHECK_INT(state(hold), IPCNET_STEP_TIMED_OUT);
}

/* Doubted after a takeover: one measurement within 100 ms is enough, and is not asked for again. Else the run waits for so long, and no longer. */
static void test_what_must_be_measured_again(void)
{
  for (unsigned comes_back = 0; comes_back < 2; comes_back++) {
    plan_among_others(2000 * MS);
    struct ipcnet_reflex_step *park = measured_step(300 * MS, for_a_while(10 * MS, 60 * MS));
    struct ipcnet_reflex_step *brake = measured_step(300 * MS, for_a_while(20 * MS, 0));
    rig_need(&rig, brake, park);
    struct ipcnet_reflex_step *slow = measured_step(300 * MS, for_a_while(110 * MS, 0));
    struct ipcnet_reflex_run run = cut_at(100 * MS);
    if (comes_back) { /* from 150 to 170 ms, after it has held for 30 ms */
      rig.conditions[park->conditions_first].hold_us = 30 * MS;
      rig.on_us[park->conditions_first] = BEGIN_US + 120 * MS;
      rig.off_us[park->conditions_first] = BEGIN_US + 170 * MS;
    }
    take_over(run, 5 * MS);
    run_until(115 * MS);
    CHECK_INT(state(slow), IPCNET_STEP_REACHED);
    CHECK(ipcnet_reflex_plan_next_deadline_us(&rig.runner) == BEGIN_US + 205 * MS);
    run_until(149 * MS);
    CHECK(ipcnet_reflex_plan_next_deadline_us(&rig.runner) == BEGIN_US + (comes_back ? 150 : 205) * MS);
    CHECK_INT(run_on(), comes_back ? IPCNET_VERDICT_POSED : IPCNET_VERDICT_CUT);
    CHECK_INT(state(park), comes_back ? IPCNET_STEP_REACHED : IPCNET_STEP_TIMED_OUT);
    CHECK_INT(took_us(), (comes_back ? 150 : 205) * MS);
  }
  /* Measured once, then gone again while others still run; and given up while others still run, which the journal knows at once. */
  for (unsigned comes_back = 0; comes_back < 2; comes_back++) {
    plan_among_others(2000 * MS);
    struct ipcnet_reflex_step *park = measured_step(300 * MS, for_a_while(10 * MS, 60 * MS));
    struct ipcnet_reflex_step *brake = measured_step(900 * MS, for_a_while(400 * MS, 0));
    rig_need(&rig, brake, park);
    struct ipcnet_reflex_run run = cut_at(100 * MS);
    if (comes_back) {
      rig.on_us[park->conditions_first] = BEGIN_US + 120 * MS;
      rig.off_us[park->conditions_first] = BEGIN_US + 140 * MS;
    }
    take_over(run, 5 * MS);
    run_until(300 * MS);
    CHECK_INT(rig.journal.steps[place(park)].state, comes_back ? IPCNET_STEP_REACHED : IPCNET_STEP_TIMED_OUT);
    CHECK_INT(run_on(), comes_back ? IPCNET_VERDICT_POSED : IPCNET_VERDICT_CUT);
    CHECK_INT(took_us(), 400 * MS);
  }
}

/* ---- Triggers and images ------------------------------------------------------------------------------------------------------------------------------------------ */

/* A runner that has begun nothing names no plan and no trigger; a row that is no trigger begins nothing. */
static void test_a_fresh_runner(void)
{
  plan_among_others(1000 * MS);
  rig_close(&rig);
  rig_power_up(&rig, BEGIN_US);
  CHECK_INT(rig.runner.run.plan, NONE);
  CHECK_INT(rig.runner.run.trigger, NONE);
  CHECK(ipcnet_reflex_plan_next_deadline_us(&rig.runner) == NEVER);
  CHECK(!ipcnet_reflex_plan_start(&rig.runner, (uint16_t)rig.trigger_count, 1, rig.now_us));
  CHECK(!ipcnet_reflex_plan_start(&rig.runner, NONE, 1, rig.now_us));
  CHECK(ipcnet_reflex_plan_start(&rig.runner, (uint16_t)(rig.trigger_count - 1), 1, rig.now_us));
}

/* A run leaves nothing behind: neither for the one that pre-empts it, nor for the same plan once more. */
static void test_one_run_after_the_other(void)
{
  plan_among_others(1000 * MS);
  uint16_t send;
  struct ipcnet_reflex_step *park = frame_step(50 * MS, &send);
  rig_condition(&rig, park, 0, never);
  park->tries = 2;
  struct ipcnet_reflex_step *brake = measured_step(50 * MS, at_once);
  rig_need(&rig, brake, park);
  begin_run();
  rig.triggers[0].priority = 150; /* the plan before: three steps, the second one needs the first, the third one the second */
  run_until(60 * MS);
  CHECK(ipcnet_reflex_plan_start(&rig.runner, 0, 43, rig.now_us));
  CHECK(ipcnet_reflex_plan_next_deadline_us(&rig.runner) == 0);
  run_until(60 * MS);
  static const uint8_t TRIES[] = { 1, 0, 0 }, STATES[] = { IPCNET_STEP_RUNNING, IPCNET_STEP_WAITING, IPCNET_STEP_WAITING };
  for (unsigned i = 0; i < 3; i++) {
    CHECK_INT(rig.journal.steps[i].tries, TRIES[i]);
    CHECK_INT(rig.journal.steps[i].state, STATES[i]);
    CHECK_INT(rig.journal.steps[i].took_us, 0);
    CHECK_INT(rig.delivered[rig.steps[i].sends_first], i == 0);
  }
  CHECK_INT(run_on(), IPCNET_VERDICT_CUT);
  CHECK_INT(took_us(), (60 + 3 * 7) * MS);
  CHECK(ipcnet_reflex_plan_start(&rig.runner, 0, 44, rig.now_us));
  CHECK_INT(run_on(), IPCNET_VERDICT_CUT);
  CHECK_INT(rig.runner.run.run_id, 44);
  CHECK_INT(took_us(), (60 + 6 * 7) * MS);
  for (unsigned i = 0; i < 3; i++) CHECK_INT(rig.delivered[rig.steps[i].sends_first], 2);
}

/* After a senseless image: the last rung of the highest trigger's plan, in whatever order triggers stand, and no step of it counts as begun. */
static void test_a_senseless_image(void)
{
  for (unsigned order = 0; order < 2; order++) {
    plan_among_others(1000 * MS);
    measured_step(300 * MS, never);
    struct ipcnet_reflex_run run = cut_at(50 * MS);
    run.table_hash[0] ^= 1;
    uint8_t highest = order == 0 ? 0 : 2;
    rig.triggers[highest].priority = 200;
    rig.plans[highest].steps_count = 3;
    rig.steps[rig.plans[highest].steps_first + 1].flags = FALLBACK;
    ipcnet_reflex_plan_init(&rig.runner, &rig.table, &rig.os);
    CHECK(!ipcnet_reflex_plan_resume(&rig.runner, &run, rig.now_us));
    CHECK_INT(rig.runner.run.trigger, highest);
    CHECK_INT(rig.runner.run.resumed, 1);
    CHECK_INT(run_on(), IPCNET_VERDICT_FAILED);
    const struct ipcnet_reflex_plan *plan = &rig.plans[highest];
    CHECK_INT(rig.delivered[plan->last_first], 1);
    for (unsigned i = 0; i < plan->steps_count; i++) CHECK_INT(rig.asked[rig.steps[plan->steps_first + i].sends_first], 0); /* mandatory, but nobody knows what it would do now */
    static const uint8_t STATES[] = { IPCNET_STEP_HURRIED, IPCNET_STEP_SKIPPED, IPCNET_STEP_HURRIED };
    for (unsigned i = 0; i < 3; i++) CHECK_INT(rig.runner.run.steps[i].state, STATES[i]);
  }
}

/* Nobody can ask for a plan of a table without triggers: its first plan's last rung. A table without plans sends nothing and ends all the same. Where there are no rows nothing is read. */
static void test_a_senseless_image_and_an_empty_table(void)
{
  plan_among_others(1000 * MS);
  measured_step(300 * MS, never);
  struct ipcnet_reflex_run run = cut_at(50 * MS);
  rig.header.sections[IPCNET_REFLEX_TRIGGERS].count = 0;
  rig.table.triggers = NULL;
  ipcnet_reflex_plan_init(&rig.runner, &rig.table, &rig.os);
  CHECK(!ipcnet_reflex_plan_resume(&rig.runner, &run, rig.now_us));
  CHECK(!ipcnet_reflex_plan_start(&rig.runner, 0, 43, rig.now_us));
  CHECK_INT(ipcnet_reflex_plan_poll(&rig.runner, rig.now_us), IPCNET_VERDICT_FAILED);
  CHECK_INT(rig.delivered[rig.plans[0].last_first], 1);
  CHECK_INT(rig.delivered[rig.plans[1].last_first] + rig.delivered[rig.plans[2].last_first], 0);
  rig.header.sections[IPCNET_REFLEX_PLANS].count = 0;
  rig.table.plans = NULL;
  CHECK(!ipcnet_reflex_plan_resume(&rig.runner, &run, rig.now_us));
  CHECK(!ipcnet_reflex_plan_start(&rig.runner, 0, 43, rig.now_us));
  ipcnet_reflex_plan_call_done(&rig.runner, run.run_id, 0, true, rig.now_us);
  CHECK_INT(ipcnet_reflex_plan_poll(&rig.runner, rig.now_us), IPCNET_VERDICT_FAILED);
  CHECK_INT(rig.delivered[rig.plans[0].last_first], 1);
}

/* Which numbers of tries and which answers go with which state. */
static void test_images_of_steps(void)
{
  plan_among_others(1000 * MS);
  struct ipcnet_reflex_step *ask = measured_step(300 * MS, never), *spare = measured_step(300 * MS, never), *lamp = rig_step(&rig, 300 * MS), *plain = measured_step(300 * MS, never);
  ask->call = 1;
  ask->tries = 3;
  ask->fallback = rig_row(&rig, spare);
  spare->flags = FALLBACK;
  plain->tries = 2;
  (void)lamp;
  struct ipcnet_reflex_run good = cut_at(50 * MS);
  static const struct { unsigned place; uint8_t state, tries, call, taken; } CASES[] = {
    { 0, IPCNET_STEP_RUNNING, 1, IPCNET_CALL_OPEN, 1 }, { 0, IPCNET_STEP_RUNNING, 3, IPCNET_CALL_DONE, 1 }, { 0, IPCNET_STEP_RUNNING, 3, IPCNET_CALL_REFUSED, 1 },
    { 0, IPCNET_STEP_RUNNING, 3, IPCNET_CALL_REFUSED + 1, 0 }, { 0, IPCNET_STEP_RUNNING, 4, IPCNET_CALL_OPEN, 0 }, { 0, IPCNET_STEP_RUNNING, 0, IPCNET_CALL_OPEN, 0 },
    { 0, IPCNET_STEP_BACKOFF, 0, IPCNET_CALL_OPEN, 0 }, { 0, IPCNET_STEP_BACKOFF, 2, IPCNET_CALL_OPEN, 1 }, { 0, IPCNET_STEP_BACKOFF, 3, IPCNET_CALL_OPEN, 0 }, /* there is no fourth */
    { 0, IPCNET_STEP_REACHED, 0, IPCNET_CALL_DONE, 0 }, { 0, IPCNET_STEP_REACHED, 1, IPCNET_CALL_DONE, 1 }, { 0, IPCNET_STEP_FELL_BACK, 0, IPCNET_CALL_OPEN, 0 },
    { 0, IPCNET_STEP_FELL_BACK, 3, IPCNET_CALL_OPEN, 1 }, { 0, IPCNET_STEP_TIMED_OUT, 0, IPCNET_CALL_OPEN, 0 }, { 0, IPCNET_STEP_TIMED_OUT, 3, IPCNET_CALL_OPEN, 1 },
    { 0, IPCNET_STEP_HURRIED, 1, IPCNET_CALL_OPEN, 0 }, { 0, IPCNET_STEP_HURRIED, 0, IPCNET_CALL_OPEN, 1 }, { 0, IPCNET_STEP_WAITING, 0, IPCNET_CALL_OPEN, 1 }, { 0, IPCNET_STEP_WAITING, 1, IPCNET_CALL_OPEN, 0 },
    { 0, IPCNET_STEP_SKIPPED, 0, IPCNET_CALL_OPEN, 0 }, { 1, IPCNET_STEP_SKIPPED, 0, IPCNET_CALL_OPEN, 1 }, { 1, IPCNET_STEP_SKIPPED, 1, IPCNET_CALL_OPEN, 0 },
    { 2, IPCNET_STEP_SENT_ONLY, 0, IPCNET_CALL_OPEN, 0 }, { 2, IPCNET_STEP_SENT_ONLY, 1, IPCNET_CALL_OPEN, 1 }, { 2, IPCNET_STEP_REACHED, 1, IPCNET_CALL_OPEN, 0 },
    { 3, IPCNET_STEP_RUNNING, 2, IPCNET_CALL_OPEN, 1 }, { 3, IPCNET_STEP_RUNNING, 2, IPCNET_CALL_DONE, 0 }, { 3, IPCNET_STEP_RUNNING, 2, IPCNET_CALL_REFUSED, 0 }, /* it calls nobody */
    { 3, IPCNET_STEP_BACKOFF, 1, IPCNET_CALL_OPEN, 1 }, { 3, IPCNET_STEP_SENT_ONLY, 2, IPCNET_CALL_OPEN, 0 }, { 3, IPCNET_STEP_FELL_BACK, 2, IPCNET_CALL_OPEN, 0 },
  };
  for (unsigned i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    struct ipcnet_reflex_run run = good;
    run.steps[CASES[i].place].state = CASES[i].state;
    run.steps[CASES[i].place].tries = CASES[i].tries;
    run.steps[CASES[i].place].call_done = CASES[i].call;
    CHECK_INT(ipcnet_reflex_run_valid(&run, &rig.table), CASES[i].taken);
  }
  struct ipcnet_reflex_run run = good;
  run.unsafe_end = 1;
  CHECK(ipcnet_reflex_run_valid(&run, &rig.table));
  run.steps[4].state = 0xFF; /* beyond the plan: nobody's */
  CHECK(ipcnet_reflex_run_valid(&run, &rig.table));
  run.trigger = (uint16_t)rig.trigger_count;
  CHECK(!ipcnet_reflex_run_valid(&run, &rig.table));
  run.trigger = 0; /* of another plan */
  CHECK(!ipcnet_reflex_run_valid(&run, &rig.table));
}

/* A trigger's plan is what counts: an image that names another one of the table is nobody's; and steps that it has beyond its plan are asked nothing. */
static void test_images_beyond_their_plan(void)
{
  plan_among_others(1000 * MS);
  struct ipcnet_reflex_step *park = measured_step(300 * MS, never);
  struct ipcnet_reflex_run run = cut_at(50 * MS);
  struct ipcnet_reflex_step *foreign = park + 1;
  foreign->call = 1;
  run.steps[1].state = IPCNET_STEP_RUNNING;
  run.steps[1].tries = 1;
  take_over(run, 5 * MS);
  ipcnet_reflex_plan_poll(&rig.runner, rig.now_us);
  unsigned journalled = rig.journalled;
  ipcnet_reflex_plan_call_done(&rig.runner, 42, rig_row(&rig, foreign), true, rig.now_us);
  CHECK_INT(rig.journalled, journalled);
  CHECK_INT(calls(), 0);
  run.plan = 0;
  CHECK(!ipcnet_reflex_run_valid(&run, &rig.table));
}

/* A step that must not fail and did says so in every image that follows, also to a successor. */
static void test_a_failure_is_remembered(void)
{
  plan_among_others(1000 * MS);
  struct ipcnet_reflex_step *park = measured_step(20 * MS, never), *brake = measured_step(300 * MS, for_a_while(200 * MS, 0));
  park->on_timeout = IPCNET_REFLEX_FAIL;
  rig_need(&rig, brake, park);
  CHECK_INT(go_on(cut_at(100 * MS), 5 * MS), IPCNET_VERDICT_FAILED);
  CHECK_INT(took_us(), 200 * MS);
  CHECK_INT(rig.runner.run.last_sent, IPCNET_LAST_NOT_NEEDED);
}

/* ---- The longest way ------------------------------------------------------------------------------------------------------------------------------------------------- */

static uint64_t worst_us(void)
{
  rig_close(&rig);
  return ipcnet_reflex_plan_worst_us(&rig.table, plan_tested());
}

/* A chain of all steps is counted to its end, in whichever order they stand; of needs and of fallbacks. */
static void test_worst_case_of_chains(void)
{
  for (unsigned order = 0; order < 2; order++) {
    for (unsigned fallbacks = 0; fallbacks < 2; fallbacks++) {
      plan_among_others(1000 * MS);
      struct ipcnet_reflex_step *steps[6];
      for (unsigned i = 0; i < 6; i++) steps[order == 0 ? i : 5 - i] = rig_step(&rig, 10 * MS);
      for (unsigned i = 0; i < 6; i++) steps[i]->needs_first = (uint16_t)(rig.need_count + i);
      for (unsigned i = 1; i < 6; i++) {
        if (fallbacks) steps[i - 1]->fallback = rig_row(&rig, steps[i]);
        else rig.needs[steps[i]->needs_first] = rig_row(&rig, steps[i - 1]), steps[i]->needs_count = 1;
        if (fallbacks) steps[i]->flags = FALLBACK;
      }
      rig.need_count += 6;
      CHECK(worst_us() == 60 * MS);
      /* Closed to a circle; then to one that does not lead through its first step. */
      for (unsigned back = 0; back < 6; back += 3) {
        if (fallbacks) steps[5]->fallback = rig_row(&rig, steps[back]);
        else if (back == 0) rig.needs[steps[0]->needs_first] = rig_row(&rig, steps[5]), steps[0]->needs_count = 1;
        else steps[0]->needs_count = 0, rig.needs[steps[back]->needs_first] = rig_row(&rig, steps[5]);
        CHECK(worst_us() == UINT64_MAX);
      }
    }
  }
  plan_among_others(1000 * MS);
  struct ipcnet_reflex_step *park = rig_step(&rig, 10 * MS);
  CHECK(worst_us() == 10 * MS);
  park->fallback = rig_row(&rig, park);
  CHECK(worst_us() == UINT64_MAX);
  park->fallback = NONE;
  rig_need(&rig, park, park);
  CHECK(worst_us() == UINT64_MAX);
  struct ipcnet_reflex_step *brake = rig_step(&rig, 10 * MS);
  park->needs_count = 0;
  rig_need(&rig, brake, park);
  brake->fallback = rig_row(&rig, brake); /* not one of its members begins at once */
  CHECK(worst_us() == UINT64_MAX);
}

int main(void)
{
  test_sent_once();
  test_retries_and_resends();
  test_refused_frames_keep_a_step_open();
  test_an_answered_call_is_not_repeated();
  test_answers_nobody_waits_for();
  test_what_needs_a_step_waits_for_its_fallback();
  test_a_fallback_of_two_steps();
  test_a_fallback_of_nobody();
  test_at_the_same_instant();
  test_states_after_the_last_rung();
  test_what_is_sent_with_the_last_rung();
  test_the_last_rung_waits_for_mandatory_frames();
  test_the_last_rung_has_its_own_end();
  test_the_last_rung_does_not_repeat_what_was_reached();
  test_times_run_on();
  test_counts_that_are_full();
  test_times_in_the_future();
  test_a_late_first_turn();
  test_a_runner_that_ran_before();
  test_what_was_reached_before();
  test_a_fallback_of_two_under_a_closed_brake();
  test_what_must_be_measured_again();
  test_a_fresh_runner();
  test_one_run_after_the_other();
  test_a_senseless_image();
  test_a_senseless_image_and_an_empty_table();
  test_images_of_steps();
  test_images_beyond_their_plan();
  test_a_failure_is_remembered();
  test_worst_case_of_chains();
  return checks_report("reflex_plan_edge");
}
