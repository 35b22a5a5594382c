/*
 * reflex_plan: runs one plan of the safe pose. Pure: it is told the time, what was measured and what a brain has done, and says through `struct ipcnet_reflex_plan_os` what to send.
 *
 * Promises
 *   - Every path ends: each step has a deadline and a number of tries, fallbacks form no circle, the whole has a budget; when it is used up the last rung is sent.
 *   - A mandatory step's frames are sent at least once, whatever happens, unless a trigger of higher order took over.
 *   - Only what was measured, fresh, and held for its hold time counts as reached; a frame sent is nothing.
 *   - The image (struct ipcnet_reflex_run) says all there is: whoever has it can go on where another process died, at any instruction. It is offered to `journal`
 *     before the first frame of a step is sent and after each change. A successor looks again at the conditions of every step that was reached and sends running steps anew.
 *   - Sends are absolute values, so that sending twice changes nothing.
 */
#ifndef IPCNET_REFLEX_PLAN_H
#define IPCNET_REFLEX_PLAN_H

#include "reflex_table.h"

enum ipcnet_reflex_step_state {
  IPCNET_STEP_WAITING,   /* for what it needs; also: a fallback that nobody asked for */
  IPCNET_STEP_RUNNING,
  IPCNET_STEP_BACKOFF,   /* between two tries */
  IPCNET_STEP_REACHED,   /* its conditions were measured, its call answered */
  IPCNET_STEP_SENT_ONLY, /* it has no conditions and no call: the frames went out, nothing was measured */
  IPCNET_STEP_TIMED_OUT, /* went on all the same */
  IPCNET_STEP_FELL_BACK, /* its fallback runs or ran in its place */
  IPCNET_STEP_SKIPPED,   /* a fallback that was not needed */
  IPCNET_STEP_HURRIED,   /* the plan ended before: mandatory frames were sent once, nothing was waited for */
  IPCNET_STEP_STATES
};

enum ipcnet_reflex_verdict {
  IPCNET_VERDICT_NONE,   /* still running */
  IPCNET_VERDICT_POSED,  /* every step was measured as reached */
  IPCNET_VERDICT_CUT,    /* the end was reached, not all of it was measured */
  IPCNET_VERDICT_FAILED, /* a step that must not fail did, or the last rung was needed */
};

/* All there is to know about a run: what the journal holds, in shared memory and on disk. Fixed size, no pointers. Times are CLOCK_MONOTONIC (BOOTTIME where it may be suspended) µs of this boot. */
struct ipcnet_reflex_run {
  uint8_t table_hash[32];
  uint64_t run_id;        /* never used twice: epoch << 32 | count */
  uint64_t started_us;
  uint16_t trigger, plan; /* rows */
  uint8_t verdict;        /* enum ipcnet_reflex_verdict */
  uint8_t last_sent;      /* the last rung was sent */
  uint8_t resumed;        /* how often by a successor; saturates */
  uint8_t unsafe_end;     /* a step said FAIL or LAST */
  struct {
    uint64_t since_us;    /* of the state */
    uint32_t took_us;     /* once ended */
    uint8_t state, tries;
    uint8_t call_done;
    uint8_t reserved;
  } steps[IPCNET_REFLEX_STEPS_MAX]; /* by their place in the plan */
};

struct ipcnet_reflex_plan_os {
  void *context;
  /* Encodes, protects and hands over one send of the table; false: the bus did not take it (tried again at resend). */
  bool (*send)(void *context, uint16_t send_row);
  /* Whether a condition holds at `now_us` (with its age and hold time), as measured. */
  bool (*holds)(void *context, uint16_t condition_row, uint64_t now_us);
  /* When it may begin to hold without a new frame (its hold time ends): µs, UINT64_MAX never. */
  uint64_t (*holds_at_us)(void *context, uint16_t condition_row, uint64_t now_us);
  /* Asks a brain for `call`; its answer comes by ipcnet_reflex_plan_call_done. Idempotent by run id and step. */
  void (*call)(void *context, uint64_t run_id, uint16_t step, uint16_t call);
  /* The image has changed: keep it before anything else is done. */
  void (*journal)(void *context, const struct ipcnet_reflex_run *run);
};

struct ipcnet_reflex_plan_runner {
  const struct ipcnet_reflex_table *table;
  const struct ipcnet_reflex_plan_os *os;
  struct ipcnet_reflex_run run;
  uint64_t next_send_us[IPCNET_REFLEX_STEPS_MAX];
  bool running;
};

void ipcnet_reflex_plan_init(struct ipcnet_reflex_plan_runner *self, const struct ipcnet_reflex_table *table, const struct ipcnet_reflex_plan_os *os);
/* Begins the plan of `trigger`. A run that is on its way is pre-empted if the trigger's priority is higher (its own run ends, uncompleted), else nothing changes. True: begun. */
bool ipcnet_reflex_plan_start(struct ipcnet_reflex_plan_runner *self, uint16_t trigger, uint64_t run_id, uint64_t now_us);
/* Goes on with somebody else's run. Another table, or an image that makes no sense: the plan of the highest-priority trigger's last rung is sent and the verdict is "failed"; false then. */
bool ipcnet_reflex_plan_resume(struct ipcnet_reflex_plan_runner *self, const struct ipcnet_reflex_run *run, uint64_t now_us);
/* To be called when something was measured, and at the next deadline. Returns the verdict; not NONE exactly once, when the run ends. */
enum ipcnet_reflex_verdict ipcnet_reflex_plan_poll(struct ipcnet_reflex_plan_runner *self, uint64_t now_us);
void ipcnet_reflex_plan_call_done(struct ipcnet_reflex_plan_runner *self, uint64_t run_id, uint16_t step, bool ok, uint64_t now_us);
uint64_t ipcnet_reflex_plan_next_deadline_us(const struct ipcnet_reflex_plan_runner *self);

/* Whether an image could be one of this table: states, rows, verdict in range. For whoever reads it from memory or disk of another. */
bool ipcnet_reflex_run_valid(const struct ipcnet_reflex_run *run, const struct ipcnet_reflex_table *table);

#endif
