/*
 * Runs plans that it is told on standard input and tells on standard output what was sent when, and how it ended: failsafe/shutdown/model.test.ts holds that against the model in TypeScript. Numbers, separated by
 * white space:
 *   plan BUDGET_US BRAIN ANSWER_US ANSWERS_NO LAST_COUNT STEPS DIES_US OUTAGE_US     (DIES_US 0: nobody dies)
 *   per step: DEADLINE_US TRIES BACKOFF_US RESEND_US ON_TIMEOUT FALLBACK FLAGS CALL NEEDS need… SENDS refuse_until_us… CONDITIONS {hold_us send delay_us lasts_us lost_frames never}…
 *             FALLBACK and send are places, -1 none; sends count within the plan, last rung first.
 * Answers per plan: lines "TIME send ROW", "TIME call STEP", then "end TIME VERDICT LAST_SENT STATE:TRIES:TOOK_US …".
 */
#include <inttypes.h>
#include <stdio.h>

#include "plan_rig.h"

#define BEGIN_US 1000000u

static struct rig rig;

static long long number(void)
{
  long long value;
  if (scanf("%lld", &value) != 1) exit(2);
  return value;
}

static void tell(struct rig *self, const char *what, unsigned row) { printf("%" PRIu64 " %s %u\n", self->now_us, what, row); }

static void read_step(void)
{
  struct ipcnet_reflex_step *step = rig_step(&rig, (uint32_t)number());
  step->tries = (uint8_t)number();
  step->backoff_us = (uint32_t)number();
  step->resend_us = (uint32_t)number();
  step->on_timeout = (uint8_t)number();
  long long fallback = number();
  step->fallback = fallback < 0 ? NONE : (uint16_t)fallback;
  step->flags = (uint8_t)number();
  step->call = number() != 0 ? 0 : NONE;
  for (long long left = number(); left > 0; left--) rig_need(&rig, step, &rig.steps[number()]);
  for (long long left = number(); left > 0; left--) rig.refuse_until_us[rig_add_send(&rig, step)] = (uint64_t)number();
  for (long long left = number(); left > 0; left--) {
    uint32_t hold_us = (uint32_t)number();
    long long send = number();
    struct rig_cause cause = { .send = send < 0 ? NONE : (uint16_t)send };
    cause.delay_us = (uint32_t)number();
    cause.lasts_us = (uint32_t)number();
    cause.lost_frames = (uint8_t)number();
    cause.never = (uint8_t)number();
    rig_condition(&rig, step, hold_us, cause);
  }
}

int main(void)
{
  char word[8];
  while (scanf("%7s", word) == 1 && strcmp(word, "plan") == 0) {
    rig_init(&rig);
    rig_plan(&rig, (uint32_t)number());
    rig.brain = number() != 0;
    rig.answer_us = (uint32_t)number();
    rig.answers_no = number() != 0;
    for (long long left = number(); left > 0; left--) rig_last(&rig);
    long long steps = number();
    uint64_t dies_us = (uint64_t)number(), outage_us = (uint64_t)number();
    for (; steps > 0; steps--) read_step();
    rig_trigger(&rig, 0, 100);
    rig_close(&rig);
    rig_power_up(&rig, BEGIN_US);
    rig.log = tell;
    bool stuck;
    ipcnet_reflex_plan_start(&rig.runner, 0, 7, rig.now_us);
    enum ipcnet_reflex_verdict verdict = rig_run(&rig, dies_us > 0 ? dies_us : NEVER - 1, &stuck);
    if (verdict == IPCNET_VERDICT_NONE && dies_us > 0) {
      rig.now_us += outage_us;
      for (unsigned i = 0; i < RIG_STEPS; i++) rig.answer_at_us[i] = NEVER;
      struct ipcnet_reflex_run image = rig.journal;
      ipcnet_reflex_plan_init(&rig.runner, &rig.table, &rig.os);
      ipcnet_reflex_plan_resume(&rig.runner, &image, rig.now_us);
      verdict = rig_run(&rig, NEVER - 1, &stuck);
    }
    printf("end %" PRIu64 " %d %d", rig.now_us, stuck ? -1 : (int)verdict, rig.runner.run.last_sent);
    for (unsigned i = 0; i < rig.step_count; i++) printf(" %u:%u:%u", rig.runner.run.steps[i].state, rig.runner.run.steps[i].tries, rig.runner.run.steps[i].took_us);
    printf("\n");
  }
  return 0;
}
