/* plan_random: random plans and plants for plan_rig.h, from a seed. */
#ifndef IPCNET_PLAN_RANDOM_H
#define IPCNET_PLAN_RANDOM_H

#include "plan_rig.h"

/* xorshift64*; the seed is never 0. */
/* `sound`: the plan of a robot that is well: every step comes to be measured if nobody dies for long. */
struct chance { uint64_t state; bool sound; };
static inline struct chance chance_of(uint64_t seed) { return (struct chance){ .state = seed * 0x9E3779B97F4A7C15u + 0x1234567u }; }
static inline uint32_t chance_below(struct chance *self, uint32_t below)
{
  self->state ^= self->state >> 12;
  self->state ^= self->state << 25;
  self->state ^= self->state >> 27;
  return (uint32_t)((self->state * 0x2545F4914F6CDD1Du) >> 33) % below;
}
static inline bool chance_percent(struct chance *self, uint32_t percent) { return chance_below(self, 100) < percent; }

static inline struct rig_cause random_cause(struct chance *chance, const struct ipcnet_reflex_step *step, uint32_t deadline_us)
{
  struct rig_cause cause = { .send = NONE, .delay_us = chance_below(chance, deadline_us + deadline_us / 8) };
  if (step->sends_count > 0 && chance_percent(chance, 75)) cause.send = (uint16_t)(step->sends_first + chance_below(chance, step->sends_count));
  if (chance->sound) {
    cause.delay_us = chance_below(chance, deadline_us / 4);
    return cause;
  }
  if (chance_percent(chance, 4)) cause.never = 1;
  if (chance_percent(chance, 15)) cause.lost_frames = (uint8_t)(1 + chance_below(chance, 3));
  if (chance_percent(chance, 8)) cause.lasts_us = 1000 + chance_below(chance, 150000);
  return cause;
}

static inline void random_step(struct rig *rig, struct chance *chance, struct ipcnet_reflex_step *step, bool fallback)
{
  uint32_t sends = chance_below(chance, 3), conditions = chance->sound || chance_percent(chance, 90) ? 1 + chance_below(chance, 2) : 0;
  for (uint32_t i = 0; i < sends && rig->send_count < RIG_SENDS - 8; i++) {
    uint16_t row = rig_add_send(rig, step);
    if (!chance->sound && chance_percent(chance, 6)) rig->refuse_until_us[row] = chance_percent(chance, 20) ? NEVER : 1000000u + chance_below(chance, 500000);
  }
  for (uint32_t i = 0; i < conditions; i++) rig_condition(rig, step, chance_percent(chance, 50) ? chance_below(chance, chance->sound ? step->deadline_us / 4 : 60000) : 0, random_cause(chance, step, step->deadline_us));
  if (!fallback && chance_percent(chance, 15)) step->call = 1;
  step->tries = (uint8_t)(chance_percent(chance, 30) ? 2 + chance_below(chance, 2) : 1);
  if (step->tries > 1) step->backoff_us = chance_below(chance, 40000);
  if (chance_percent(chance, 50)) step->resend_us = 5000 + chance_below(chance, 30000);
  step->on_timeout = (uint8_t)(chance_percent(chance, 85) ? 0 : chance_percent(chance, 70) ? 1 : 2);
  if (fallback) step->flags = 2;
  else if (chance_percent(chance, 40)) step->flags = 1;
}

/* One plan of up to `most` steps and their fallbacks, one trigger of row 0 and priority 100; a second one of another plan and priority 200. */
static inline void random_rig(struct rig *rig, uint64_t seed, uint32_t most)
{
  struct chance chance = chance_of(seed);
  chance.sound = chance_percent(&chance, 40);
  rig_init(rig);
  struct ipcnet_reflex_plan *plan = rig_plan(rig, 1);
  rig_last(rig);
  if (chance_percent(&chance, 50)) rig_last(rig);
  struct ipcnet_reflex_step *mains[RIG_STEPS];
  uint32_t count = 1 + chance_below(&chance, most);
  for (uint32_t i = 0; i < count && rig->step_count < RIG_STEPS - 5; i++) {
    struct ipcnet_reflex_step *step = rig_step(rig, 1000 + chance_below(&chance, 200000));
    mains[i] = step;
    uint32_t needs = i > 0 ? chance_below(&chance, i < 3 ? i + 1 : 3) : 0;
    for (uint32_t j = 0; j < needs; j++) rig_need(rig, step, mains[chance_below(&chance, i)]);
    random_step(rig, &chance, step, false);
    while (chance_percent(&chance, 30) && rig->step_count < RIG_STEPS - 4) {
      struct ipcnet_reflex_step *fallback = rig_step(rig, 500 + chance_below(&chance, step->deadline_us));
      step->fallback = rig_row(rig, fallback);
      random_step(rig, &chance, fallback, true);
      step = fallback;
    }
  }
  rig->brain = chance_percent(&chance, 70);
  rig->answers_no = chance_percent(&chance, 10);
  rig->answer_us = chance_below(&chance, 100000);
  if (chance.sound) {
    rig->brain = true;
    rig->answers_no = false;
    rig->answer_us = 100;
  }
  rig_trigger(rig, 0, 100);
  struct ipcnet_reflex_plan *off = rig_plan(rig, 50000);
  rig_last(rig);
  rig_condition(rig, rig_step(rig, 40000), 0, (struct rig_cause){ .send = NONE, .delay_us = 10 });
  rig_trigger(rig, 1, 200);
  off->worst_us = 40000;
  rig_close(rig);
  uint64_t worst_us = ipcnet_reflex_plan_worst_us(&rig->table, 0);
  plan->worst_us = (uint32_t)worst_us;
  /* Mostly a budget that suffices, as a checked plan has; sometimes one that cuts. */
  plan->budget_us = chance.sound || chance_percent(&chance, 85) ? plan->worst_us + chance_below(&chance, 100000) : 1 + chance_below(&chance, plan->worst_us);
}

#endif
