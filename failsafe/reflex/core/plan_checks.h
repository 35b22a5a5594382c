/* plan_checks: what the tests of single rules share: a rig with one plan, alone or between others, run from power-up to its end, or cut and gone on with. */
#ifndef IPCNET_PLAN_CHECKS_H
#define IPCNET_PLAN_CHECKS_H

#include "../../../drivers/can/core/check.h"
#include "plan_rig.h"

#define MS 1000u
#define BEGIN_US 7000000u

static struct rig rig;
static uint16_t tested_trigger;

/* One plan, one trigger; steps are added by the test. All rows count from 0. */
static inline struct ipcnet_reflex_plan *plan_of_test(uint32_t budget_us)
{
  rig_init(&rig);
  struct ipcnet_reflex_plan *plan = rig_plan(&rig, budget_us);
  rig_last(&rig);
  tested_trigger = rig_trigger(&rig, 0, 100);
  return plan;
}

/* A plan that nobody asks for. */
static inline void another_plan(unsigned sends_each)
{
  struct ipcnet_reflex_plan *plan = rig_plan(&rig, 1000 * MS);
  rig_last(&rig);
  struct ipcnet_reflex_step *before = NULL;
  for (unsigned i = 0; i < 3; i++) {
    struct ipcnet_reflex_step *step = rig_step(&rig, 7 * MS);
    step->flags = 1;
    for (unsigned send = 0; send < sends_each; send++) rig_add_send(&rig, step);
    rig_condition(&rig, step, 0, (struct rig_cause){ .send = NONE, .never = 1 });
    if (before) rig_need(&rig, step, before);
    before = step;
  }
  rig_trigger(&rig, (unsigned)(plan - rig.plans), (uint8_t)(10 + rig.trigger_count));
}

/* The same between two others, so that no row is its place: its last rung begins at row 22, its steps' sends at row 23 or later. */
static inline struct ipcnet_reflex_plan *plan_among_others(uint32_t budget_us)
{
  rig_init(&rig);
  another_plan(7);
  struct ipcnet_reflex_plan *plan = rig_plan(&rig, budget_us);
  rig_last(&rig);
  tested_trigger = rig_trigger(&rig, 1, 100);
  return plan;
}

static inline uint16_t plan_tested(void) { return rig.triggers[tested_trigger].plan; }
static inline uint16_t last_rung(void) { return rig.plans[plan_tested()].last_first; }
static inline unsigned place(const struct ipcnet_reflex_step *step) { return (unsigned)(rig_row(&rig, step) - rig.plans[plan_tested()].steps_first); }
static inline int state(const struct ipcnet_reflex_step *step) { return rig.runner.run.steps[place(step)].state; }
static inline uint64_t took_us(void) { return rig.now_us - BEGIN_US; }
static inline struct rig_cause after(uint16_t send, uint32_t delay_us) { return (struct rig_cause){ .send = send, .delay_us = delay_us }; }
static const struct rig_cause at_once = { .send = NONE };
static const struct rig_cause never = { .send = NONE, .never = 1 };

/* From power-up on; the plan after it is added when all of its own rows are there. */
static inline void begin_run(void)
{
  if (plan_tested() == 1 && rig.plan_count == 2) another_plan(1);
  rig_close(&rig);
  rig_power_up(&rig, BEGIN_US);
  CHECK(ipcnet_reflex_plan_start(&rig.runner, tested_trigger, 42, rig.now_us));
  CHECK(ipcnet_reflex_plan_next_deadline_us(&rig.runner) == 0);
}

/* To the end, which is told once and which the journal knows. */
static inline enum ipcnet_reflex_verdict run_on(void)
{
  bool stuck;
  enum ipcnet_reflex_verdict verdict = rig_run(&rig, NEVER - 1, &stuck);
  CHECK(!stuck);
  CHECK_INT(rig.journal.verdict, verdict);
  CHECK_INT(rig.unjournalled, 0);
  CHECK(ipcnet_reflex_run_valid(&rig.journal, &rig.table));
  CHECK_INT(ipcnet_reflex_plan_poll(&rig.runner, rig.now_us), IPCNET_VERDICT_NONE);
  CHECK(ipcnet_reflex_plan_next_deadline_us(&rig.runner) == NEVER);
  return verdict;
}

static inline enum ipcnet_reflex_verdict run_all(void)
{
  begin_run();
  return run_on();
}

/* Until so long after the beginning; it has not ended by then. */
static inline void run_until(uint64_t after_us)
{
  bool stuck;
  CHECK_INT(rig_run(&rig, BEGIN_US + after_us, &stuck), IPCNET_VERDICT_NONE);
  CHECK(!stuck);
}

static inline struct ipcnet_reflex_run cut_at(uint64_t after_us)
{
  begin_run();
  run_until(after_us);
  return rig.journal;
}

/* The other is born `outage_us` later. */
static inline void take_over(struct ipcnet_reflex_run run, uint64_t outage_us)
{
  rig.now_us += outage_us;
  ipcnet_reflex_plan_init(&rig.runner, &rig.table, &rig.os);
  CHECK(ipcnet_reflex_plan_resume(&rig.runner, &run, rig.now_us));
  CHECK(ipcnet_reflex_plan_next_deadline_us(&rig.runner) == 0);
}

static inline enum ipcnet_reflex_verdict go_on(struct ipcnet_reflex_run run, uint64_t outage_us)
{
  take_over(run, outage_us);
  return run_on();
}

#endif
