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
 *
 * How a step goes
 *   It begins when all that it needs has ended. Each try sends its frames (again every resend_us; a frame the bus did not take, every IPCNET_REFLEX_PLAN_RETRY_US), asks
 *   the brain if it has a call, and is met when every frame was taken once, every condition holds and the call was answered. A try that is not met by its deadline, or whose call
 *   the brain refused, is followed by the next one after backoff_us. After the last try its fallback runs in its place (a fallback has no needs of its own); without one, on_timeout decides. A step has
 *   ended when it was reached, sent, given up, or its fallback has ended; then what needs it begins, whatever the outcome was. A fallback of several steps runs once, for the first of them that is given
 *   up, and is skipped when all of them have ended without it.
 *
 * The end
 *   All ended: "posed" if every step was reached (fallbacks that were not needed aside), else "cut"; "failed" if a step said so. Budget used up, or on_timeout LAST: mandatory steps that
 *   did not come to send yet are sent, then the last rung, for IPCNET_REFLEX_PLAN_LAST_US at most if the bus does not take it; "failed".
 *
 * Going on with another's run
 *   The budget and the deadlines run on, since the robot did. A running try is given at least IPCNET_REFLEX_PLAN_RESUME_US (or its whole deadline if that is shorter), because it is sent anew. A step that was
 *   reached and whose conditions do not hold now runs again if nothing that needs it has begun; else it must be measured again within IPCNET_REFLEX_PLAN_RESUME_US, or it no longer
 *   counts as reached (it is not sent again: what came after it, a brake, may stand against it). So a run ends within
 *       min(worst_us + resumptions × (outage + RESUME_US), budget_us or the end of the outage) + LAST_US.
 */
#ifndef IPCNET_REFLEX_PLAN_H
#define IPCNET_REFLEX_PLAN_H

#include "reflex_table.h"

#define IPCNET_REFLEX_PLAN_RETRY_US 1000u    /* a frame the bus did not take: about four frame times at 500 kbit/s */
#define IPCNET_REFLEX_PLAN_RESUME_US 100000u /* ten cycles of 10 ms: enough to hear a node and hold 50 ms */
#define IPCNET_REFLEX_PLAN_LAST_US 100000u   /* a full queue of 32 frames at 125 kbit/s needs 35 ms */

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

enum ipcnet_reflex_last { IPCNET_LAST_NOT_NEEDED, IPCNET_LAST_BEGUN, IPCNET_LAST_SENT };

/* What the brain said to a step's call, in this try. */
enum ipcnet_reflex_call_state { IPCNET_CALL_OPEN, IPCNET_CALL_DONE, IPCNET_CALL_REFUSED };

/* All there is to know about a run: what the journal holds, in shared memory and on disk. Fixed size, no pointers. Times are CLOCK_MONOTONIC (BOOTTIME where it may be suspended) µs of this boot. */
struct ipcnet_reflex_run {
  uint8_t table_hash[32];
  uint64_t run_id;        /* never used twice: epoch << 32 | count */
  uint64_t started_us;
  uint16_t trigger, plan; /* rows */
  uint8_t verdict;        /* enum ipcnet_reflex_verdict */
  uint8_t last_sent;      /* enum ipcnet_reflex_last */
  uint8_t resumed;        /* how often by a successor; saturates */
  uint8_t unsafe_end;     /* a step said FAIL or LAST */
  struct {
    uint64_t since_us;    /* of the state */
    uint32_t took_us;     /* of all tries that are over; saturates */
    uint8_t state;        /* enum ipcnet_reflex_step_state */
    uint8_t tries;        /* begun */
    uint8_t call_done;    /* enum ipcnet_reflex_call_state */
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
  /* Asks a brain for `call`; its answer comes by ipcnet_reflex_plan_call_done (not from within). `step` is a row. Asked again with each resend: idempotent by run id and step. */
  void (*call)(void *context, uint64_t run_id, uint16_t step, uint16_t call);
  /* The image has changed: keep it before anything else is done. */
  void (*journal)(void *context, const struct ipcnet_reflex_run *run);
};

/* About 11 KiB. Only `run` is worth keeping; the rest can be made anew from it. */
struct ipcnet_reflex_plan_runner {
  const struct ipcnet_reflex_table *table;
  const struct ipcnet_reflex_plan_os *os;
  struct ipcnet_reflex_run run;
  bool running;
  bool due;                 /* something is to be done at once */
  uint64_t polled_us;
  uint64_t resumed_us;
  uint64_t last_since_us;   /* when this runner began with the last rung */
  uint64_t last_retry_us;
  struct {
    uint64_t next_send_us;
    uint64_t retry_us;      /* of frames that the bus did not take */
    bool begun;             /* this try has sent */
    bool taken;             /* the bus took all frames at least once, from this runner */
    bool recheck;           /* reached before it was taken over, not measured since */
  } steps[IPCNET_REFLEX_STEPS_MAX];
  uint8_t open_sends[IPCNET_REFLEX_SENDS_MAX / 8]; /* bit per row: to be handed over and not taken yet */
};

/* The table must have been checked (reflex_table.h). From here on time does not go back: no `now_us` is before an earlier one. */
void ipcnet_reflex_plan_init(struct ipcnet_reflex_plan_runner *self, const struct ipcnet_reflex_table *table, const struct ipcnet_reflex_plan_os *os);

/*
 * Begins the plan of `trigger` (a row); poll at once. If a run is on its way: a trigger that is not of higher priority changes nothing (false). A higher one with the same plan takes the run over as it
 * stands, with its id: an arm that is half braked does not begin anew. A higher one with another plan pre-empts: the old run ends without a verdict. True: the trigger is now the run's.
 */
bool ipcnet_reflex_plan_start(struct ipcnet_reflex_plan_runner *self, uint16_t trigger, uint64_t run_id, uint64_t now_us);

/*
 * Goes on with somebody else's run; poll at once. Another table, or an image that makes no sense: false, and the last rung of the highest trigger's plan is sent (nothing else of that plan), verdict "failed".
 * A run that had ended stays as it is: true, and nothing runs.
 */
bool ipcnet_reflex_plan_resume(struct ipcnet_reflex_plan_runner *self, const struct ipcnet_reflex_run *run, uint64_t now_us);

/* To be called when something was measured, and at the next deadline. Returns the verdict; not NONE exactly once, when the run ends. */
enum ipcnet_reflex_verdict ipcnet_reflex_plan_poll(struct ipcnet_reflex_plan_runner *self, uint64_t now_us);

/* The brain's answer to `call`: `step` is the row that `call` was told. Answers to another run or to a step that does not run are ignored. */
void ipcnet_reflex_plan_call_done(struct ipcnet_reflex_plan_runner *self, uint64_t run_id, uint16_t step, bool ok, uint64_t now_us);

/* UINT64_MAX: nothing runs. 0: at once. */
uint64_t ipcnet_reflex_plan_next_deadline_us(const struct ipcnet_reflex_plan_runner *self);

/* Whether an image could be one of this table: hash, rows, states, verdict, numbers of tries, answers. For whoever reads it from memory or disk of another. */
bool ipcnet_reflex_run_valid(const struct ipcnet_reflex_run *run, const struct ipcnet_reflex_table *table);

/*
 * The longest that the steps of a plan can take, µs: the longest way through the graph, where a step costs tries × deadline + (tries − 1) × back-off + what its fallback costs.
 * UINT64_MAX if needs or fallbacks form a circle. Needs a table whose rows were checked: each by itself, and that needs and fallbacks stay within the plan.
 */
uint64_t ipcnet_reflex_plan_worst_us(const struct ipcnet_reflex_table *table, uint16_t plan);

#endif
