/*
 * robot: a robot with three plans of the safe pose, one for each stop category, and the plant that they work on. Each step has frames of its own; the plant records them all, in order, and
 * acknowledges those steps that can be reached. What a table compiler would write for it is `robot_table`; what must have happened at the end of a plan is in `ROBOT_STEPS` and `ROBOT_PLANS_EXPECTED`.
 *
 *   hold (2)  still, then hold: all of it is measured                                                                          posed
 *   park (1)  stop; fold, which never succeeds and falls back to fold slowly; lamp, of which nothing is measured; brake        cut
 *   off (0)   cut, which is never acknowledged and demands the last rung; lock is due when the last rung comes                 failed
 */
#ifndef IPCNET_RIG_ROBOT_H
#define IPCNET_RIG_ROBOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "../../core/reflex_plan.h"
#include "bus.h"

enum robot_plan { ROBOT_HOLD, ROBOT_PARK, ROBOT_OFF, ROBOT_PLANS };
enum robot_row { ROBOT_STILL, ROBOT_HOLD_ON, ROBOT_STOP, ROBOT_FOLD, ROBOT_FOLD_SLOWLY, ROBOT_LAMP, ROBOT_BRAKE, ROBOT_CUT, ROBOT_LOCK, ROBOT_ROWS };

#define ROBOT_POSE_ID 0x110u  /* + row: a step's first frame */
#define ROBOT_SECOND_ID 0x130u/* + row: its second, if it has one */
#define ROBOT_LAST_ID 0x150u  /* + plan: the last rung */
#define ROBOT_ACK_ID 0x210u   /* + row: one byte, 1 when the plant has done what the step asks for */
#define ROBOT_BUTTON_ID 0x080u/* one byte, 1 pressed */
#define ROBOT_RECORD_MAX 4096u

struct robot_step {
  const char *name;
  uint8_t plan, frames;
  uint8_t acknowledged;        /* after so many of its first frames; 0 never */
  uint8_t tries, on_timeout, flags;
  int8_t needs[2], fallback;   /* rows; −1 none */
  uint32_t hold_us, deadline_us;
  uint8_t end;                 /* enum ipcnet_reflex_step_state at the plan's end */
  int8_t after;                /* whose frames must all have come before: the row it needs, or whose fallback it is; −1 none (with needs[1]: that one too) */
};
extern const struct robot_step ROBOT_STEPS[ROBOT_ROWS];

struct robot_expected { uint8_t category, verdict; bool last_rung; };
extern const struct robot_expected ROBOT_EXPECTED[ROBOT_PLANS];

struct robot_frame { uint64_t time_us; uint32_t can_id; uint8_t data[2], length_bytes; };

struct robot {
  struct rig_bus *bus;
  /* Under the bus's lock. */
  struct robot_frame frames[ROBOT_RECORD_MAX];
  uint32_t count, lost;
  uint64_t first_us;           /* of the first pose frame since `robot_forget`; 0 none */
  uint8_t heard[ROBOT_ROWS];   /* first frames, saturates */
  bool done[ROBOT_ROWS];
};

struct robot_options {
  const char *socket;
  uint32_t twin_deadline_us, node_timeout_us, dead_after_us, brain_timeout_us;
  bool expires;                /* a set-point that outlives its time runs the plan hold */
};

/* The bytes of the table, to be freed. */
uint8_t *robot_table(const struct robot_options *options, size_t *length);
/* For rig_bus_start. */
struct rig_bus_guest robot_guest(struct robot *self, struct rig_bus *bus);
/* The plant is as before any pose, and says so; nothing is recorded yet. */
void robot_forget(struct robot *self);
/* Its record. `to` has room for ROBOT_RECORD_MAX. Returns how many there are. */
uint32_t robot_record(struct robot *self, struct robot_frame *to);
/* When the first pose frame came; 0 none yet. */
uint64_t robot_first_us(struct robot *self);
void robot_press(struct robot *self, bool pressed, uint64_t *time_us);
/* Looks for what is not as it must be at the end of `plan`; NULL: nothing, else a sentence in `text`. */
const char *robot_fault(const struct robot_frame *frames, uint32_t count, enum robot_plan plan, char *text, size_t text_bytes);

#endif
