/*
 * Random plans on random plants, and the runner dies: at every point of contact with the outside (before and after each send, each call, each condition that was told to hold, each journal entry), then again
 * at points of the successor's life, and once more at points of the third one's. What must hold is checked at each end:
 *   it ends; within the bound that reflex_plan.h promises; no mandatory step is left out; the verdict is never better than what was measured.
 * Then images that were tampered with: whatever they say, nothing is read or written out of bounds (the sanitizers), and the run ends.
 *   reflex_plan_cut_test [FIRST_SEED [PLANS]]
 */
#include <stdio.h>

#include "../../../drivers/can/core/check.h"
#include "plan_random.h"

#define BEGIN_US 1000000u
#define DEATHS 3u

static struct rig rig;
static uint64_t seed_now;
static unsigned long runs, ends[4], resumptions;

struct course {
  uint64_t outages_us;   /* sum of outage and what a resumption may add */
  uint64_t reborn_us;
  unsigned deaths;
};

static void explain(const char *what, const unsigned *dies_at, unsigned deaths)
{
  fprintf(stderr, "plan %llu, deaths at %u %u %u: %s\n", (unsigned long long)seed_now, deaths > 0 ? dies_at[0] : 0, deaths > 1 ? dies_at[1] : 0, deaths > 2 ? dies_at[2] : 0, what);
  checks_failed++;
}

/* Everything that must hold at an end. */
static void judge_end(enum ipcnet_reflex_verdict verdict, const struct course *course, const unsigned *dies_at)
{
  const struct ipcnet_reflex_plan *plan = &rig.plans[0];
  const struct ipcnet_reflex_run *run = &rig.runner.run;
  checks_done++;
  uint64_t by_steps_us = (uint64_t)BEGIN_US + plan->worst_us + course->outages_us, by_budget_us = (uint64_t)BEGIN_US + plan->budget_us;
  if (by_budget_us < course->reborn_us) by_budget_us = course->reborn_us;
  uint64_t bound_us = (by_steps_us < by_budget_us ? by_steps_us : by_budget_us) + (run->last_sent ? IPCNET_REFLEX_PLAN_LAST_US : 0);
  if (rig.now_us > bound_us) {
    fprintf(stderr, "ended %llu µs after its bound; ", (unsigned long long)(rig.now_us - bound_us));
    explain("too late", dies_at, course->deaths);
  }
  if (verdict != rig.journal.verdict) explain("the journal has another verdict", dies_at, course->deaths);
  if (rig.unjournalled > 0) explain("something was done that the journal does not know", dies_at, course->deaths);
  bool all_reached = true;
  for (unsigned i = 0; i < plan->steps_count; i++) {
    const struct ipcnet_reflex_step *step = &rig.steps[i];
    uint8_t state = run->steps[i].state;
    if (state <= IPCNET_STEP_BACKOFF) explain("a step did not end", dies_at, course->deaths);
    if (state != IPCNET_STEP_REACHED && state != IPCNET_STEP_SKIPPED) all_reached = false;
    if (state == IPCNET_STEP_REACHED)
      for (unsigned c = 0; c < step->conditions_count; c++)
        if (!rig.held[step->conditions_first + c] && verdict != IPCNET_VERDICT_FAILED) explain("reached, and not measured since the last takeover", dies_at, course->deaths);
    if (!(step->flags & 1u)) continue;
    for (unsigned s = 0; s < step->sends_count; s++) if (rig.asked[step->sends_first + s] == 0) explain("a mandatory frame was never sent", dies_at, course->deaths);
  }
  if (verdict == IPCNET_VERDICT_POSED && (!all_reached || run->last_sent)) explain("posed, but not all was reached", dies_at, course->deaths);
  if (run->last_sent) {
    for (unsigned s = 0; s < plan->last_count; s++) if (rig.asked[plan->last_first + s] == 0) explain("the last rung was not sent", dies_at, course->deaths);
    if (verdict != IPCNET_VERDICT_FAILED) explain("a last rung that is no failure", dies_at, course->deaths);
  }
}

/* Lives until the end or until the point of death; true: the end came. */
static bool live(unsigned dies_at, bool resumes, enum ipcnet_reflex_verdict *verdict, bool *stuck)
{
  rig.points = 0;
  rig.dies_at = dies_at;
  *stuck = false;
  if (setjmp(rig.death) != 0) return false;
  if (!resumes) ipcnet_reflex_plan_start(&rig.runner, 0, 7, rig.now_us);
  else {
    struct ipcnet_reflex_run image = rig.journal;
    if (!ipcnet_reflex_plan_resume(&rig.runner, &image, rig.now_us)) explain("its own journal makes no sense to it", &dies_at, 1);
  }
  *verdict = rig_run(&rig, NEVER - 1, stuck);
  return true;
}

/* One course of life with up to DEATHS deaths; returns how many points of contact the last life had, 0 if it was cut before its `dies_at`. */
static unsigned course_of_life(const unsigned *dies_at, unsigned deaths, struct chance *chance)
{
  struct course course = { .reborn_us = BEGIN_US };
  enum ipcnet_reflex_verdict verdict = IPCNET_VERDICT_NONE;
  bool stuck = false, resumes = false;
  rig_power_up(&rig, BEGIN_US);
  runs++;
  for (unsigned life = 0;; life++) {
    if (live(life < deaths ? dies_at[life] : 0, resumes, &verdict, &stuck)) break;
    course.deaths++;
    if (rig.journalled == 0) return 0; /* died before anybody knew of the run: there is none */
    uint64_t outage_us = chance_percent(chance, 80) ? chance_below(chance, 12000) : chance_below(chance, 600000);
    /* What the plant and the brain do meanwhile; a brain's answer to the dead one is lost. */
    rig.now_us += outage_us;
    for (unsigned i = 0; i < RIG_STEPS; i++) rig.answer_at_us[i] = NEVER;
    memset(rig.held, 0, sizeof rig.held);
    memset(&rig.runner, 0xEE, sizeof rig.runner);
    ipcnet_reflex_plan_init(&rig.runner, &rig.table, &rig.os);
    course.outages_us += outage_us + IPCNET_REFLEX_PLAN_RESUME_US;
    course.reborn_us = rig.now_us;
    resumes = true;
    resumptions++;
  }
  unsigned points = rig.points;
  if (stuck || (verdict == IPCNET_VERDICT_NONE && rig.journal.verdict == IPCNET_VERDICT_NONE)) {
    explain("it does not end", dies_at, course.deaths);
    return points;
  }
  if (verdict == IPCNET_VERDICT_NONE) verdict = (enum ipcnet_reflex_verdict)rig.journal.verdict; /* died after the journal had the end */
  else judge_end(verdict, &course, dies_at);
  ends[verdict]++;
  return points;
}

static void every_cut(uint64_t seed)
{
  struct chance chance = chance_of(seed ^ 0xC07u);
  seed_now = seed;
  random_rig(&rig, seed, 7);
  unsigned dies_at[DEATHS] = { 0 };
  unsigned whole = course_of_life(dies_at, 0, &chance);
  for (dies_at[0] = 1; dies_at[0] <= whole && checks_failed < 10; dies_at[0]++) {
    unsigned second = course_of_life(dies_at, 1, &chance);
    /* All points of the successor for small ones, some for long lives. */
    for (dies_at[1] = 1; dies_at[1] <= second; dies_at[1] += 1 + second / 12) {
      unsigned third = course_of_life(dies_at, 2, &chance);
      if (third == 0) continue;
      dies_at[2] = 1 + chance_below(&chance, third);
      course_of_life(dies_at, 3, &chance);
    }
  }
}

/* An image that somebody wrote over, at some instant of a run. */
static void tampered_image(uint64_t seed)
{
  struct chance chance = chance_of(seed ^ 0x7A3u);
  seed_now = seed;
  random_rig(&rig, seed, 7);
  rig_power_up(&rig, BEGIN_US);
  bool stuck;
  enum ipcnet_reflex_verdict verdict = IPCNET_VERDICT_NONE;
  if (live(1 + chance_below(&chance, 60), false, &verdict, &stuck)) return;
  struct ipcnet_reflex_run image = rig.journal;
  memcpy(image.table_hash, rig.header.hash, sizeof image.table_hash);
  uint8_t *bytes = (uint8_t *)&image;
  switch (chance_below(&chance, 4)) {
    case 0:
      for (size_t i = 0; i < sizeof image; i++) bytes[i] = (uint8_t)chance_below(&chance, 256);
      if (chance_percent(&chance, 70)) memcpy(image.table_hash, rig.header.hash, sizeof image.table_hash);
      break;
    case 1:
      for (uint32_t flips = 1 + chance_below(&chance, 8); flips > 0; flips--) bytes[chance_below(&chance, sizeof image)] ^= (uint8_t)(1u << chance_below(&chance, 8));
      break;
    case 2: /* states that could be, in an order that cannot */
      image.plan = 0;
      image.trigger = 0;
      image.verdict = 0;
      image.last_sent = 0;
      for (unsigned i = 0; i < RIG_STEPS; i++) {
        image.steps[i].state = (uint8_t)chance_below(&chance, IPCNET_STEP_STATES);
        image.steps[i].tries = (uint8_t)(image.steps[i].state != IPCNET_STEP_WAITING);
        image.steps[i].since_us = chance_percent(&chance, 50) ? BEGIN_US + chance_below(&chance, 400000) : UINT64_MAX - chance_below(&chance, 1000);
      }
      break;
    default:
      image.started_us = chance_percent(&chance, 50) ? UINT64_MAX : 0;
      image.steps[chance_below(&chance, 8)].since_us = UINT64_MAX;
      image.steps[chance_below(&chance, 8)].took_us = UINT32_MAX;
      break;
  }
  bool valid = ipcnet_reflex_run_valid(&image, &rig.table);
  ipcnet_reflex_plan_init(&rig.runner, &rig.table, &rig.os);
  rig.dies_at = 0;
  unsigned last_row = rig.plans[1].last_first, sent = rig.asked[last_row];
  for (unsigned i = 0; i < RIG_STEPS; i++) rig.answer_at_us[i] = NEVER;
  uint64_t begin_us = rig.now_us;
  bool known = ipcnet_reflex_plan_resume(&rig.runner, &image, rig.now_us);
  CHECK(known == valid);
  if (valid && image.verdict != IPCNET_VERDICT_NONE) return;
  verdict = rig_run(&rig, NEVER - 1, &stuck);
  checks_done++;
  if (stuck || verdict == IPCNET_VERDICT_NONE) explain("a tampered image does not end", NULL, 0);
  if (!valid && (verdict != IPCNET_VERDICT_FAILED || rig.asked[last_row] <= sent)) explain("a senseless image without the last rung", NULL, 0);
  if (rig.now_us - begin_us > (uint64_t)rig.plans[valid ? image.plan : 1].budget_us + IPCNET_REFLEX_PLAN_LAST_US) explain("a tampered image beyond the budget", NULL, 0);
}

int main(int count, char **arguments)
{
  uint64_t first = count > 1 ? strtoull(arguments[1], NULL, 10) : 1, plans = count > 2 ? strtoull(arguments[2], NULL, 10) : 12;
  for (uint64_t seed = first; seed < first + plans && checks_failed < 10; seed++) every_cut(seed);
  for (uint64_t seed = first; seed < first + plans * 500 && checks_failed < 10; seed++) tampered_image(seed);
  printf("%lu lives in %llu plans, %lu resumptions: %lu posed, %lu cut, %lu failed\n", runs, (unsigned long long)plans, resumptions, ends[1], ends[2], ends[3]);
  return checks_report("reflex_plan_cut");
}
