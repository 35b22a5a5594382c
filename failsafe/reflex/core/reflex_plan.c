#include "reflex_plan.h"

#include <string.h>

/* ---- Small helpers -------------------------------------------------------------------------------------------------------------------------- */

typedef struct ipcnet_reflex_plan_runner runner;

static uint64_t least(uint64_t a, uint64_t b) { return a < b ? a : b; }
static uint64_t most(uint64_t a, uint64_t b) { return a > b ? a : b; }

static uint32_t plan_count(const struct ipcnet_reflex_table *table) { return table->header->sections[IPCNET_REFLEX_PLANS].count; }
static uint32_t trigger_count(const struct ipcnet_reflex_table *table) { return table->header->sections[IPCNET_REFLEX_TRIGGERS].count; }

/* The plan that runs; an empty one for a run that has none (nothing was begun; a table without plans). */
static const struct ipcnet_reflex_plan *plan_of(const runner *self)
{
  static const struct ipcnet_reflex_plan EMPTY;
  return self->run.plan < plan_count(self->table) ? &self->table->plans[self->run.plan] : &EMPTY;
}

static unsigned step_count(const runner *self) { return plan_of(self)->steps_count; }
static uint16_t row_of(const runner *self, unsigned place) { return (uint16_t)(plan_of(self)->steps_first + place); }
static const struct ipcnet_reflex_step *step_at(const runner *self, unsigned place) { return &self->table->steps[row_of(self, place)]; }

/* The place in the plan of a step's row: not below step_count if it is not of this plan (a row before its first one wraps round). */
static unsigned place_of(const runner *self, uint16_t row) { return (unsigned)row - plan_of(self)->steps_first; }

static bool mandatory(const struct ipcnet_reflex_step *step) { return (step->flags & 1u) != 0; }
static bool only_fallback(const struct ipcnet_reflex_step *step) { return (step->flags & 2u) != 0; }
static bool measures(const struct ipcnet_reflex_step *step) { return step->conditions_count > 0 || step->call != IPCNET_REFLEX_NONE; }

/* How long a step has been in its state. Time does not go back: nothing began after `now_us`. */
static uint64_t spent_us(const runner *self, unsigned place, uint64_t now_us) { return now_us - self->run.steps[place].since_us; }

/* The state counts for the time that all tries took. */
static void count_time(runner *self, unsigned place, uint64_t now_us)
{
  self->run.steps[place].took_us = (uint32_t)least(self->run.steps[place].took_us + spent_us(self, place, now_us), UINT32_MAX);
}

static void keep(runner *self) { self->os->journal(self->os->context, &self->run); }

/* ---- Frames ------------------------------------------------------------------------------------------------------------------------------------ */

static void open_sends(runner *self, uint16_t first, uint16_t count)
{
  for (unsigned row = first; row < (unsigned)first + count; row++) self->open_sends[row / 8] |= (uint8_t)(1u << (row % 8));
}
static bool sends_open(const runner *self, uint16_t first, uint16_t count)
{
  for (unsigned row = first; row < (unsigned)first + count; row++) if (self->open_sends[row / 8] & (1u << (row % 8))) return true;
  return false;
}

/* Hands over what is open. True: the bus took all. */
static bool hand_over(runner *self, uint16_t first, uint16_t count)
{
  bool all = true;
  for (unsigned row = first; row < (unsigned)first + count; row++) {
    uint8_t bit = (uint8_t)(1u << (row % 8));
    if (!(self->open_sends[row / 8] & bit)) continue;
    if (self->os->send(self->os->context, (uint16_t)row)) self->open_sends[row / 8] &= (uint8_t)~bit;
    else all = false;
  }
  return all;
}

/* Sends what is due of a running step. */
static void send_step(runner *self, unsigned place, uint64_t now_us)
{
  const struct ipcnet_reflex_step *step = step_at(self, place);
  /* The first time however late it is. */
  if (!self->steps[place].begun || (now_us >= self->steps[place].next_send_us && spent_us(self, place, now_us) < step->deadline_us)) {
    open_sends(self, step->sends_first, step->sends_count);
    self->steps[place].begun = true;
    self->steps[place].next_send_us = step->resend_us != 0 ? now_us + step->resend_us : UINT64_MAX;
    self->steps[place].retry_us = now_us;
    if (step->call != IPCNET_REFLEX_NONE && self->run.steps[place].call_done == IPCNET_CALL_OPEN)
      self->os->call(self->os->context, self->run.run_id, row_of(self, place), step->call);
  }
  if (now_us < self->steps[place].retry_us) return;
  if (hand_over(self, step->sends_first, step->sends_count)) self->steps[place].taken = true;
  else self->steps[place].retry_us = now_us + IPCNET_REFLEX_PLAN_RETRY_US;
}

/* ---- What follows from what ---------------------------------------------------------------------------------------------------------------------- */

static void enter(runner *self, unsigned place, enum ipcnet_reflex_step_state state, uint64_t now_us)
{
  self->run.steps[place].state = (uint8_t)state;
  self->run.steps[place].since_us = now_us;
}

static void begin_try(runner *self, unsigned place, uint64_t now_us)
{
  enter(self, place, IPCNET_STEP_RUNNING, now_us);
  self->run.steps[place].tries++; /* there is always one left: it was asked */
  self->run.steps[place].call_done = IPCNET_CALL_OPEN;
  self->steps[place].begun = false;
}

/* The step that runs or ran in the place of this one: itself if it did not fall back. Fallbacks form no circle (the table was checked). */
static unsigned stand_in(const runner *self, unsigned place)
{
  while (self->run.steps[place].state == IPCNET_STEP_FELL_BACK) place = place_of(self, step_at(self, place)->fallback);
  return place;
}

static bool has_ended(const runner *self, unsigned place) { return self->run.steps[stand_in(self, place)].state > IPCNET_STEP_BACKOFF; }

static bool needs_ended(const runner *self, unsigned place)
{
  const struct ipcnet_reflex_step *step = step_at(self, place);
  for (unsigned i = 0; i < step->needs_count; i++) if (!has_ended(self, place_of(self, self->table->needs[step->needs_first + i]))) return false;
  return true;
}

static bool conditions_hold(const runner *self, unsigned place, uint64_t now_us)
{
  const struct ipcnet_reflex_step *step = step_at(self, place);
  for (unsigned i = 0; i < step->conditions_count; i++) if (!self->os->holds(self->os->context, (uint16_t)(step->conditions_first + i), now_us)) return false;
  return true;
}

/* A fallback may serve several steps: it begins for the first of them that is given up, and is skipped when all of them have ended without it. True: it changed. */
static bool begin_fallback(runner *self, unsigned place, uint64_t now_us)
{
  bool wanted = false;
  for (unsigned owner = 0; owner < step_count(self); owner++) {
    if (step_at(self, owner)->fallback != row_of(self, place)) continue;
    uint8_t state = self->run.steps[owner].state;
    if (state == IPCNET_STEP_FELL_BACK) {
      begin_try(self, place, now_us);
      return true;
    }
    if (state <= IPCNET_STEP_BACKOFF) wanted = true;
  }
  if (!wanted) enter(self, place, IPCNET_STEP_SKIPPED, now_us);
  return !wanted;
}

/* Steps that may begin now, fallbacks that were asked for or are no longer wanted, tries whose back-off is over. True: something changed. */
static bool begin_steps(runner *self, uint64_t now_us)
{
  bool changed = false;
  for (unsigned place = 0; place < step_count(self); place++) {
    const struct ipcnet_reflex_step *step = step_at(self, place);
    uint8_t state = self->run.steps[place].state;
    if (state == IPCNET_STEP_BACKOFF && spent_us(self, place, now_us) >= step->backoff_us) {
      count_time(self, place, now_us);
      begin_try(self, place, now_us);
      changed = true;
    }
    if (state != IPCNET_STEP_WAITING) continue;
    if (only_fallback(step)) {
      if (begin_fallback(self, place, now_us)) changed = true;
    } else if (needs_ended(self, place)) {
      begin_try(self, place, now_us);
      changed = true;
    }
  }
  return changed;
}

/* The try is over and was not met. True: straight to the last rung. */
static bool try_over(runner *self, unsigned place, uint64_t now_us)
{
  const struct ipcnet_reflex_step *step = step_at(self, place);
  count_time(self, place, now_us);
  if (self->run.steps[place].tries < step->tries) {
    enter(self, place, IPCNET_STEP_BACKOFF, now_us);
    return false;
  }
  if (step->fallback != IPCNET_REFLEX_NONE) {
    enter(self, place, IPCNET_STEP_FELL_BACK, now_us);
    return false;
  }
  enter(self, place, IPCNET_STEP_TIMED_OUT, now_us);
  if (step->on_timeout != IPCNET_REFLEX_CONTINUE) self->run.unsafe_end = 1;
  return step->on_timeout == IPCNET_REFLEX_LAST;
}

/* Judges a running step. True: it changed; `*last` is set if it wants the last rung. */
static bool judge(runner *self, unsigned place, uint64_t now_us, bool *last)
{
  const struct ipcnet_reflex_step *step = step_at(self, place);
  uint8_t call = self->run.steps[place].call_done;
  bool answered = step->call == IPCNET_REFLEX_NONE || call == IPCNET_CALL_DONE;
  if (!sends_open(self, step->sends_first, step->sends_count) && answered && conditions_hold(self, place, now_us)) {
    count_time(self, place, now_us);
    enter(self, place, measures(step) ? IPCNET_STEP_REACHED : IPCNET_STEP_SENT_ONLY, now_us);
    return true;
  }
  if (call != IPCNET_CALL_REFUSED && spent_us(self, place, now_us) < step->deadline_us) return false;
  if (try_over(self, place, now_us)) *last = true;
  return true;
}

/* ---- The end --------------------------------------------------------------------------------------------------------------------------------------- */

static enum ipcnet_reflex_verdict end_run(runner *self, enum ipcnet_reflex_verdict verdict)
{
  self->run.verdict = (uint8_t)verdict;
  self->running = false;
  keep(self);
  return verdict;
}

/* A mandatory step of which it is not known that its frames have gone out. */
static bool owes_frames(const runner *self, unsigned place)
{
  const struct ipcnet_reflex_step *step = step_at(self, place);
  uint8_t state = self->run.steps[place].state;
  if (!mandatory(step) || self->steps[place].taken) return false;
  return state == IPCNET_STEP_RUNNING || state == IPCNET_STEP_BACKOFF || (state == IPCNET_STEP_WAITING && !only_fallback(step));
}

/* The states stay as they are until all is sent: whoever takes over in between sends it all again. */
static void begin_last(runner *self, uint64_t now_us)
{
  memset(self->open_sends, 0, sizeof self->open_sends);
  for (unsigned place = 0; place < step_count(self); place++)
    if (owes_frames(self, place)) open_sends(self, step_at(self, place)->sends_first, step_at(self, place)->sends_count);
  open_sends(self, plan_of(self)->last_first, plan_of(self)->last_count);
  self->run.last_sent = IPCNET_LAST_BEGUN;
  self->last_since_us = now_us;
  keep(self);
}

/* How a step ends that did not come to begin. */
static enum ipcnet_reflex_step_state without_it(const runner *self, unsigned place) { return only_fallback(step_at(self, place)) ? IPCNET_STEP_SKIPPED : IPCNET_STEP_HURRIED; }

static enum ipcnet_reflex_verdict go_on_with_last(runner *self, uint64_t now_us)
{
  if (now_us < self->last_retry_us) return IPCNET_VERDICT_NONE;
  bool all = true;
  for (unsigned place = 0; place < step_count(self); place++)
    if (!hand_over(self, step_at(self, place)->sends_first, step_at(self, place)->sends_count)) all = false;
  if (!hand_over(self, plan_of(self)->last_first, plan_of(self)->last_count)) all = false;
  if (!all && now_us - self->last_since_us < IPCNET_REFLEX_PLAN_LAST_US) {
    self->last_retry_us = least(now_us + IPCNET_REFLEX_PLAN_RETRY_US, self->last_since_us + IPCNET_REFLEX_PLAN_LAST_US);
    return IPCNET_VERDICT_NONE;
  }
  for (unsigned place = 0; place < step_count(self); place++) {
    uint8_t state = self->run.steps[place].state;
    if (state > IPCNET_STEP_BACKOFF) continue;
    if (state == IPCNET_STEP_WAITING) {
      enter(self, place, without_it(self, place), now_us);
      continue;
    }
    count_time(self, place, now_us);
    enter(self, place, IPCNET_STEP_TIMED_OUT, now_us);
  }
  self->run.last_sent = IPCNET_LAST_SENT;
  return end_run(self, IPCNET_VERDICT_FAILED);
}

/* Steps that were reached before this runner took over: measured again? True: one is still open and has time left. */
static bool recheck(runner *self, uint64_t now_us)
{
  bool open = false;
  for (unsigned place = 0; place < step_count(self); place++) {
    if (!self->steps[place].recheck) continue;
    if (conditions_hold(self, place, now_us)) self->steps[place].recheck = false;
    else if (now_us - self->resumed_us < IPCNET_REFLEX_PLAN_RESUME_US) open = true;
    else {
      self->steps[place].recheck = false;
      self->run.steps[place].state = IPCNET_STEP_TIMED_OUT; /* since_us and took_us stay: that is when it was reached */
      keep(self);
    }
  }
  return open;
}

static bool all_ended(const runner *self)
{
  for (unsigned place = 0; place < step_count(self); place++) if (self->run.steps[place].state <= IPCNET_STEP_BACKOFF) return false;
  return true;
}

static enum ipcnet_reflex_verdict measured_verdict(const runner *self)
{
  if (self->run.unsafe_end) return IPCNET_VERDICT_FAILED;
  for (unsigned place = 0; place < step_count(self); place++) {
    uint8_t state = self->run.steps[place].state;
    if (state != IPCNET_STEP_REACHED && state != IPCNET_STEP_SKIPPED) return IPCNET_VERDICT_CUT;
  }
  return IPCNET_VERDICT_POSED;
}

/* ---- The manual's functions --------------------------------------------------------------------------------------------------------------------------- */

void ipcnet_reflex_plan_init(runner *self, const struct ipcnet_reflex_table *table, const struct ipcnet_reflex_plan_os *os)
{
  memset(self, 0, sizeof *self);
  self->table = table;
  self->os = os;
  self->run.plan = IPCNET_REFLEX_NONE;
  self->run.trigger = IPCNET_REFLEX_NONE;
}

/* Forgets all but table and outside. */
static void begin_run(runner *self, uint16_t trigger, uint16_t plan, uint64_t run_id, uint64_t now_us)
{
  ipcnet_reflex_plan_init(self, self->table, self->os);
  memcpy(self->run.table_hash, self->table->header->hash, sizeof self->run.table_hash);
  self->run.run_id = run_id;
  self->run.started_us = now_us;
  self->run.trigger = trigger;
  self->run.plan = plan;
  self->running = true;
  self->due = true;
}

bool ipcnet_reflex_plan_start(runner *self, uint16_t trigger, uint64_t run_id, uint64_t now_us)
{
  if (trigger >= trigger_count(self->table)) return false;
  const struct ipcnet_reflex_trigger *wanted = &self->table->triggers[trigger];
  /* (A run without a trigger is one of a table without triggers.) */
  if (self->running && wanted->priority <= self->table->triggers[self->run.trigger].priority) return false;
  if (self->running && self->run.plan == wanted->plan) self->run.trigger = trigger;
  else begin_run(self, trigger, wanted->plan, run_id, now_us);
  keep(self);
  return true;
}

static uint16_t highest_trigger(const struct ipcnet_reflex_table *table)
{
  uint16_t highest = IPCNET_REFLEX_NONE;
  for (uint32_t row = 0; row < trigger_count(table); row++)
    if (highest == IPCNET_REFLEX_NONE || table->triggers[row].priority > table->triggers[highest].priority) highest = (uint16_t)row;
  return highest;
}

/* Nobody knows how far it went: nothing of the plan but its last rung. */
static void last_rung_alone(runner *self, uint64_t run_id, uint64_t now_us)
{
  uint16_t trigger = highest_trigger(self->table);
  begin_run(self, trigger, trigger == IPCNET_REFLEX_NONE ? 0 : self->table->triggers[trigger].plan, run_id, now_us);
  for (unsigned place = 0; place < step_count(self); place++) enter(self, place, without_it(self, place), now_us);
  self->run.resumed = 1;
  begin_last(self, now_us);
}

/* Whether anything has begun that needs this step, or one in whose place it ran. */
static bool successors_began(const runner *self, unsigned place)
{
  for (unsigned other = 0; other < step_count(self); other++) {
    if (self->run.steps[other].state == IPCNET_STEP_WAITING) continue;
    const struct ipcnet_reflex_step *step = step_at(self, other);
    for (unsigned i = 0; i < step->needs_count; i++) if (stand_in(self, place_of(self, self->table->needs[step->needs_first + i])) == place) return true;
  }
  return false;
}

/* A try that goes on under another hand: the clock runs on, but what is sent anew gets time to show. */
static void grant_time(runner *self, unsigned place, uint64_t now_us)
{
  uint32_t deadline_us = step_at(self, place)->deadline_us;
  uint64_t grace_us = least(deadline_us, IPCNET_REFLEX_PLAN_RESUME_US), used_us = deadline_us - grace_us;
  uint64_t *since_us = &self->run.steps[place].since_us;
  if (spent_us(self, place, now_us) > used_us) *since_us = now_us - used_us;
}

bool ipcnet_reflex_plan_resume(runner *self, const struct ipcnet_reflex_run *run, uint64_t now_us)
{
  if (!ipcnet_reflex_run_valid(run, self->table)) {
    last_rung_alone(self, run->run_id, now_us);
    return false;
  }
  ipcnet_reflex_plan_init(self, self->table, self->os);
  self->run = *run;
  if (run->verdict != IPCNET_VERDICT_NONE) return true;
  self->running = true;
  self->due = true;
  self->resumed_us = now_us;
  if (self->run.resumed < UINT8_MAX) self->run.resumed++;
  /* A time in the future is none of this boot's: it would stretch the budget. */
  self->run.started_us = least(self->run.started_us, now_us);
  for (unsigned place = 0; place < step_count(self); place++) self->run.steps[place].since_us = least(self->run.steps[place].since_us, now_us);
  if (self->run.last_sent != IPCNET_LAST_NOT_NEEDED) {
    begin_last(self, now_us);
    return true;
  }
  for (unsigned place = 0; place < step_count(self); place++) {
    uint8_t state = self->run.steps[place].state;
    if (state == IPCNET_STEP_RUNNING) grant_time(self, place, now_us);
    if (state != IPCNET_STEP_REACHED || conditions_hold(self, place, now_us)) continue;
    if (successors_began(self, place)) {
      self->steps[place].recheck = true;
      continue;
    }
    self->run.steps[place].state = IPCNET_STEP_RUNNING;
    grant_time(self, place, now_us);
  }
  keep(self);
  return true;
}

enum ipcnet_reflex_verdict ipcnet_reflex_plan_poll(runner *self, uint64_t now_us)
{
  if (!self->running) return IPCNET_VERDICT_NONE;
  self->polled_us = now_us;
  self->due = false;
  /* Each turn but the last one moves a step forward, and a step can move only so often without time passing. */
  while (self->run.last_sent == IPCNET_LAST_NOT_NEEDED) {
    if (now_us - self->run.started_us >= plan_of(self)->budget_us) {
      begin_last(self, now_us);
      break;
    }
    bool begun = false, changed = false, last = false;
    while (begin_steps(self, now_us)) begun = true; /* a fallback may stand before its step */
    if (begun) keep(self);
    for (unsigned place = 0; place < step_count(self); place++) if (self->run.steps[place].state == IPCNET_STEP_RUNNING) send_step(self, place, now_us);
    for (unsigned place = 0; place < step_count(self); place++) if (self->run.steps[place].state == IPCNET_STEP_RUNNING && judge(self, place, now_us, &last)) changed = true;
    if (last) begin_last(self, now_us);
    else if (changed) keep(self);
    else if (recheck(self, now_us) || !all_ended(self)) return IPCNET_VERDICT_NONE;
    else return end_run(self, measured_verdict(self));
  }
  return go_on_with_last(self, now_us);
}

void ipcnet_reflex_plan_call_done(runner *self, uint64_t run_id, uint16_t step, bool ok, uint64_t now_us)
{
  (void)now_us;
  unsigned place = place_of(self, step);
  if (!self->running || run_id != self->run.run_id || place >= step_count(self) || self->run.steps[place].state != IPCNET_STEP_RUNNING) return;
  if (step_at(self, place)->call == IPCNET_REFLEX_NONE || self->run.steps[place].call_done != IPCNET_CALL_OPEN) return;
  self->run.steps[place].call_done = ok ? IPCNET_CALL_DONE : IPCNET_CALL_REFUSED;
  self->due = true;
  keep(self);
}

/* When conditions of a step may begin to hold by themselves. */
static uint64_t conditions_at_us(const runner *self, unsigned place)
{
  const struct ipcnet_reflex_step *step = step_at(self, place);
  uint64_t at_us = UINT64_MAX;
  for (unsigned i = 0; i < step->conditions_count; i++) {
    uint64_t holds_us = self->os->holds_at_us(self->os->context, (uint16_t)(step->conditions_first + i), self->polled_us);
    if (holds_us > self->polled_us) at_us = least(at_us, holds_us);
  }
  return at_us;
}

uint64_t ipcnet_reflex_plan_next_deadline_us(const runner *self)
{
  if (!self->running) return UINT64_MAX;
  if (self->due) return 0;
  if (self->run.last_sent != IPCNET_LAST_NOT_NEEDED) return self->last_retry_us;
  uint64_t at_us = self->run.started_us + plan_of(self)->budget_us;
  for (unsigned place = 0; place < step_count(self); place++) {
    const struct ipcnet_reflex_step *step = step_at(self, place);
    uint64_t since_us = self->run.steps[place].since_us;
    if (self->run.steps[place].state == IPCNET_STEP_BACKOFF) at_us = least(at_us, since_us + step->backoff_us);
    if (self->steps[place].recheck) at_us = least(at_us, least(self->resumed_us + IPCNET_REFLEX_PLAN_RESUME_US, conditions_at_us(self, place)));
    if (self->run.steps[place].state != IPCNET_STEP_RUNNING) continue;
    at_us = least(at_us, least(since_us + step->deadline_us, self->steps[place].next_send_us));
    if (sends_open(self, step->sends_first, step->sends_count)) at_us = least(at_us, self->steps[place].retry_us);
    at_us = least(at_us, conditions_at_us(self, place));
  }
  return at_us;
}

/* ---- Images and tables of others ------------------------------------------------------------------------------------------------------------------------ */

bool ipcnet_reflex_run_valid(const struct ipcnet_reflex_run *run, const struct ipcnet_reflex_table *table)
{
  if (memcmp(run->table_hash, table->header->hash, sizeof run->table_hash) != 0) return false;
  if (run->trigger >= trigger_count(table) || table->triggers[run->trigger].plan != run->plan) return false;
  if (run->verdict > IPCNET_VERDICT_FAILED || run->last_sent > IPCNET_LAST_SENT || run->unsafe_end > 1) return false;
  /* The last rung is always a failure, and its end is the run's. */
  if (run->last_sent == IPCNET_LAST_SENT && run->verdict != IPCNET_VERDICT_FAILED) return false;
  const struct ipcnet_reflex_plan *plan = &table->plans[run->plan];
  for (unsigned place = 0; place < plan->steps_count; place++) {
    const struct ipcnet_reflex_step *step = &table->steps[plan->steps_first + place];
    uint8_t state = run->steps[place].state, tries = run->steps[place].tries;
    if (state >= IPCNET_STEP_STATES || tries > step->tries) return false;
    bool begun = state != IPCNET_STEP_WAITING && state != IPCNET_STEP_SKIPPED && state != IPCNET_STEP_HURRIED;
    if (begun != (tries != 0)) return false;
    if (state == IPCNET_STEP_BACKOFF && tries == step->tries) return false; /* what comes after it would be one too many */
    if (run->steps[place].call_done > (step->call == IPCNET_REFLEX_NONE ? IPCNET_CALL_OPEN : IPCNET_CALL_REFUSED)) return false;
    if (state == IPCNET_STEP_REACHED && !measures(step)) return false;
    if (state == IPCNET_STEP_SENT_ONLY && measures(step)) return false;
    if (state == IPCNET_STEP_FELL_BACK && step->fallback == IPCNET_REFLEX_NONE) return false;
    if (state == IPCNET_STEP_SKIPPED && !only_fallback(step)) return false;
  }
  return true;
}

/* Of all tries of a step and of the fallbacks after it; UINT64_MAX: they form a circle. */
static uint64_t chain_us(const struct ipcnet_reflex_table *table, const struct ipcnet_reflex_plan *plan, uint16_t row)
{
  uint64_t sum_us = 0;
  for (unsigned rungs = 0; row != IPCNET_REFLEX_NONE; rungs++) {
    if (rungs == plan->steps_count) return UINT64_MAX;
    const struct ipcnet_reflex_step *rung = &table->steps[row];
    sum_us += (uint64_t)rung->tries * rung->deadline_us + (uint64_t)(rung->tries - 1) * rung->backoff_us;
    row = rung->fallback;
  }
  return sum_us;
}

uint64_t ipcnet_reflex_plan_worst_us(const struct ipcnet_reflex_table *table, uint16_t plan_row)
{
  const struct ipcnet_reflex_plan *plan = &table->plans[plan_row];
  uint64_t ends_us[IPCNET_REFLEX_STEPS_MAX] = {0}, worst_us = 0;
  /* Each turn settles at least the steps whose needs are settled; a graph without circles is at rest after as many turns as it has steps. */
  bool moved = true;
  for (unsigned turn = 0; moved; turn++) {
    if (turn > plan->steps_count) return UINT64_MAX;
    moved = false;
    for (unsigned place = 0; place < plan->steps_count; place++) {
      const struct ipcnet_reflex_step *step = &table->steps[plan->steps_first + place];
      uint64_t begins_us = 0, own_us = chain_us(table, plan, (uint16_t)(plan->steps_first + place));
      if (own_us == UINT64_MAX) return UINT64_MAX;
      for (unsigned i = 0; i < step->needs_count; i++) begins_us = most(begins_us, ends_us[table->needs[step->needs_first + i] - plan->steps_first]);
      if (begins_us + own_us == ends_us[place]) continue;
      ends_us[place] = begins_us + own_us;
      worst_us = most(worst_us, ends_us[place]);
      moved = true;
    }
  }
  return worst_us;
}
