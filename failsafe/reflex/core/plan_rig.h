/*
 * plan_rig: what the tests of reflex_plan run plans on. A table made of plain arrays, a plant whose measured conditions follow the frames that reach it, a brain that answers calls
 * or does not, time that jumps from event to event, and a death: at the n-th point of contact with the outside the runner is gone, and what is left is the journal.
 */
#ifndef IPCNET_PLAN_RIG_H
#define IPCNET_PLAN_RIG_H

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "reflex_plan.h"

#define RIG_STEPS 32u
#define RIG_SENDS 64u
#define RIG_CONDITIONS 64u
#define RIG_NEEDS 128u
#define NONE IPCNET_REFLEX_NONE
#define NEVER UINT64_MAX

/* How a condition comes to be true. */
struct rig_cause {
  uint16_t send;       /* after this row was delivered; NONE: by itself */
  uint32_t delay_us;   /* from the delivery (or from the start) until the value is within its limits */
  uint32_t lasts_us;   /* then it leaves them again; 0 never */
  uint8_t lost_frames; /* so many deliveries have no effect */
  uint8_t never;
};

struct rig {
  struct ipcnet_reflex_table_header header;
  struct ipcnet_reflex_table table;
  struct ipcnet_reflex_step steps[RIG_STEPS];
  struct ipcnet_reflex_send sends[RIG_SENDS];
  struct ipcnet_reflex_condition conditions[RIG_CONDITIONS];
  uint16_t needs[RIG_NEEDS];
  struct ipcnet_reflex_plan plans[4];
  struct ipcnet_reflex_trigger triggers[8];
  unsigned step_count, send_count, condition_count, need_count, plan_count, trigger_count;

  /* The plant and the brain. */
  struct rig_cause causes[RIG_CONDITIONS];
  uint64_t on_us[RIG_CONDITIONS], off_us[RIG_CONDITIONS];
  bool held[RIG_CONDITIONS];       /* was told to hold, since the last resumption */
  unsigned delivered[RIG_SENDS], asked[RIG_SENDS];
  uint64_t refuse_until_us[RIG_SENDS];
  bool brain;
  uint32_t answer_us;              /* how long a call takes */
  bool answers_no;
  uint64_t answer_at_us[RIG_STEPS];
  unsigned calls[RIG_STEPS];

  /* The course of it. */
  uint64_t now_us;
  struct ipcnet_reflex_plan_runner runner;
  struct ipcnet_reflex_run journal;
  unsigned journalled;
  unsigned unjournalled;           /* frames and ends that the journal did not know of */
  bool ended;
  unsigned points, dies_at;        /* 0: lives */
  jmp_buf death;
  void (*log)(struct rig *self, const char *what, unsigned row);
  struct ipcnet_reflex_plan_os os;
};

static inline void rig_point(struct rig *self)
{
  if (++self->points == self->dies_at) longjmp(self->death, 1);
}

/* Whoever goes on with the journal must know what this runner knows. */
static inline void rig_compare(struct rig *self)
{
  if (memcmp(&self->journal, &self->runner.run, sizeof self->journal) != 0) self->unjournalled++;
}

static inline bool rig_send(void *context, uint16_t row)
{
  struct rig *self = context;
  rig_compare(self);
  rig_point(self); /* before send */
  self->asked[row]++;
  if (self->log) self->log(self, "send", row);
  if (self->now_us < self->refuse_until_us[row]) return false;
  self->delivered[row]++;
  for (unsigned i = 0; i < self->condition_count; i++) {
    struct rig_cause *cause = &self->causes[i];
    if (cause->never || cause->send != row || self->delivered[row] <= cause->lost_frames || self->on_us[i] != NEVER) continue;
    self->on_us[i] = self->now_us + cause->delay_us;
    self->off_us[i] = cause->lasts_us > 0 ? self->on_us[i] + cause->lasts_us : NEVER;
  }
  rig_point(self); /* after send */
  return true;
}

static inline bool rig_holds(void *context, uint16_t row, uint64_t now_us)
{
  struct rig *self = context;
  if (self->on_us[row] == NEVER || now_us < self->on_us[row] + self->conditions[row].hold_us || now_us >= self->off_us[row]) return false;
  self->held[row] = true;
  rig_point(self); /* after ack */
  return true;
}

static inline uint64_t rig_holds_at(void *context, uint16_t row, uint64_t now_us)
{
  struct rig *self = context;
  (void)now_us;
  return self->on_us[row] == NEVER || self->on_us[row] > self->now_us ? NEVER : self->on_us[row] + self->conditions[row].hold_us;
}

static inline void rig_call(void *context, uint64_t run_id, uint16_t step, uint16_t call)
{
  struct rig *self = context;
  (void)run_id;
  (void)call;
  rig_point(self);
  self->calls[step]++;
  if (self->log) self->log(self, "call", step);
  if (self->brain && self->answer_at_us[step] == NEVER) self->answer_at_us[step] = self->now_us + self->answer_us;
  rig_point(self);
}

static inline void rig_journal(void *context, const struct ipcnet_reflex_run *run)
{
  struct rig *self = context;
  rig_point(self); /* before journal */
  self->journal = *run;
  self->journalled++;
  rig_point(self); /* after journal */
}

static inline void rig_init(struct rig *self)
{
  memset(self, 0, sizeof *self);
  self->table = (struct ipcnet_reflex_table){ .header = &self->header, .steps = self->steps, .sends = self->sends, .conditions = self->conditions,
    .needs = self->needs, .plans = self->plans, .triggers = self->triggers };
  self->os = (struct ipcnet_reflex_plan_os){ .context = self, .send = rig_send, .holds = rig_holds, .holds_at_us = rig_holds_at, .call = rig_call, .journal = rig_journal };
  memset(self->header.hash, 0x5A, sizeof self->header.hash);
  self->brain = true;
  self->answer_us = 5000;
}

/* ---- Building ---------------------------------------------------------------------------------------------------------------------------------- */

/* The plan that the following rows belong to. */
static inline struct ipcnet_reflex_plan *rig_plan(struct rig *self, uint32_t budget_us)
{
  struct ipcnet_reflex_plan *plan = &self->plans[self->plan_count++];
  *plan = (struct ipcnet_reflex_plan){ .steps_first = (uint16_t)self->step_count, .budget_us = budget_us, .last_first = (uint16_t)self->send_count };
  return plan;
}
static inline uint16_t rig_last(struct rig *self)
{
  self->plans[self->plan_count - 1].last_count++;
  return (uint16_t)self->send_count++;
}
static inline uint16_t rig_trigger(struct rig *self, unsigned plan, uint8_t priority)
{
  self->triggers[self->trigger_count] = (struct ipcnet_reflex_trigger){ .plan = (uint16_t)plan, .priority = priority, .subject = NONE };
  return (uint16_t)self->trigger_count++;
}
static inline struct ipcnet_reflex_step *rig_step(struct rig *self, uint32_t deadline_us)
{
  struct ipcnet_reflex_step *step = &self->steps[self->step_count++];
  *step = (struct ipcnet_reflex_step){ .needs_first = (uint16_t)self->need_count, .sends_first = (uint16_t)self->send_count, .conditions_first = (uint16_t)self->condition_count,
    .deadline_us = deadline_us, .fallback = NONE, .call = NONE, .tries = 1 };
  self->plans[self->plan_count - 1].steps_count++;
  return step;
}
static inline uint16_t rig_row(const struct rig *self, const struct ipcnet_reflex_step *step) { return (uint16_t)(step - self->steps); }
static inline void rig_need(struct rig *self, struct ipcnet_reflex_step *step, const struct ipcnet_reflex_step *needed)
{
  self->needs[self->need_count++] = rig_row(self, needed);
  step->needs_count++;
}
static inline uint16_t rig_add_send(struct rig *self, struct ipcnet_reflex_step *step)
{
  step->sends_count++;
  return (uint16_t)self->send_count++;
}
static inline uint16_t rig_condition(struct rig *self, struct ipcnet_reflex_step *step, uint32_t hold_us, struct rig_cause cause)
{
  uint16_t row = (uint16_t)self->condition_count++;
  self->conditions[row].hold_us = hold_us;
  self->causes[row] = cause;
  step->conditions_count++;
  return row;
}
/* To be called when all rows are there. */
static inline void rig_close(struct rig *self)
{
  const unsigned counts[IPCNET_REFLEX_SECTIONS] = { [IPCNET_REFLEX_CONDITIONS] = self->condition_count, [IPCNET_REFLEX_SENDS] = self->send_count, [IPCNET_REFLEX_STEPS] = self->step_count,
    [IPCNET_REFLEX_NEEDS] = self->need_count, [IPCNET_REFLEX_PLANS] = self->plan_count, [IPCNET_REFLEX_TRIGGERS] = self->trigger_count };
  for (unsigned i = 0; i < IPCNET_REFLEX_SECTIONS; i++) self->header.sections[i].count = counts[i];
}

/* ---- Running ------------------------------------------------------------------------------------------------------------------------------------ */

static inline void rig_power_up(struct rig *self, uint64_t now_us)
{
  self->now_us = now_us;
  self->points = self->dies_at = self->journalled = self->unjournalled = 0;
  self->ended = false;
  memset(&self->journal, 0, sizeof self->journal);
  memset(self->held, 0, sizeof self->held);
  memset(self->delivered, 0, sizeof self->delivered);
  memset(self->asked, 0, sizeof self->asked);
  memset(self->calls, 0, sizeof self->calls);
  for (unsigned i = 0; i < RIG_STEPS; i++) self->answer_at_us[i] = NEVER;
  for (unsigned i = 0; i < RIG_CONDITIONS; i++) {
    bool alone = self->causes[i].send == NONE && !self->causes[i].never;
    self->on_us[i] = alone ? now_us + self->causes[i].delay_us : NEVER;
    self->off_us[i] = alone && self->causes[i].lasts_us > 0 ? self->on_us[i] + self->causes[i].lasts_us : NEVER;
  }
  ipcnet_reflex_plan_init(&self->runner, &self->table, &self->os);
}

/* When the plant or the brain next does something by itself. */
static inline uint64_t rig_next_event_us(const struct rig *self)
{
  uint64_t at_us = NEVER;
  for (unsigned i = 0; i < self->condition_count; i++) {
    if (self->on_us[i] > self->now_us && self->on_us[i] < at_us) at_us = self->on_us[i];
    if (self->off_us[i] > self->now_us && self->off_us[i] < at_us) at_us = self->off_us[i];
  }
  for (unsigned i = 0; i < self->step_count; i++) if (self->answer_at_us[i] < at_us) at_us = self->answer_at_us[i];
  return at_us;
}

/* Polls and lets time pass until the run ends or `until_us`. The verdict; NONE if it has not ended by then, or if it stands still (`*stuck`). */
static inline enum ipcnet_reflex_verdict rig_run(struct rig *self, uint64_t until_us, bool *stuck)
{
  unsigned still = 0;
  *stuck = false;
  for (;;) {
    for (unsigned i = 0; i < self->step_count; i++) {
      if (self->answer_at_us[i] > self->now_us) continue;
      self->answer_at_us[i] = NEVER;
      ipcnet_reflex_plan_call_done(&self->runner, self->runner.run.run_id, (uint16_t)i, !self->answers_no, self->now_us);
    }
    enum ipcnet_reflex_verdict verdict = ipcnet_reflex_plan_poll(&self->runner, self->now_us);
    rig_compare(self);
    if (verdict != IPCNET_VERDICT_NONE) {
      self->ended = true;
      return verdict;
    }
    uint64_t at_us = ipcnet_reflex_plan_next_deadline_us(&self->runner), event_us = rig_next_event_us(self);
    if (event_us < at_us) at_us = event_us;
    if (at_us > until_us) {
      self->now_us = until_us;
      return IPCNET_VERDICT_NONE;
    }
    still = at_us > self->now_us ? 0 : still + 1;
    if (still > 10) {
      *stuck = true;
      return IPCNET_VERDICT_NONE;
    }
    if (at_us > self->now_us) self->now_us = at_us;
  }
}

#endif
