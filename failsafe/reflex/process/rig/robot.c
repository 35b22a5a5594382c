#include "robot.h"

#include <stdio.h>
#include <string.h>

#include "../../core/table_rig.h"

/* What succeeds may take as long as a loaded machine needs; what never succeeds is given up soon. */
#define PATIENT_US 20000000u
#define SHORT_US 25000u
#define BUDGET_US 100000000u
#define AGE_US 2000000u

#define MANDATORY IPCNET_REFLEX_STEP_MANDATORY

const struct robot_step ROBOT_STEPS[ROBOT_ROWS] = {
  [ROBOT_STILL] = {"still", ROBOT_HOLD, 1, 1, 1, 0, MANDATORY, {-1, -1}, -1, 4000, PATIENT_US, IPCNET_STEP_REACHED, -1},
  [ROBOT_HOLD_ON] = {"hold", ROBOT_HOLD, 1, 2, 1, 0, MANDATORY, {ROBOT_STILL, -1}, -1, 0, PATIENT_US, IPCNET_STEP_REACHED, ROBOT_STILL},
  [ROBOT_STOP] = {"stop", ROBOT_PARK, 2, 1, 1, 0, MANDATORY, {-1, -1}, -1, 4000, PATIENT_US, IPCNET_STEP_REACHED, -1},
  [ROBOT_FOLD] = {"fold", ROBOT_PARK, 1, 0, 2, 0, MANDATORY, {ROBOT_STOP, -1}, ROBOT_FOLD_SLOWLY, 0, SHORT_US, IPCNET_STEP_FELL_BACK, ROBOT_STOP},
  [ROBOT_FOLD_SLOWLY] = {"fold slowly", ROBOT_PARK, 1, 2, 1, 0, MANDATORY | IPCNET_REFLEX_STEP_FALLBACK, {-1, -1}, -1, 0, PATIENT_US, IPCNET_STEP_REACHED, ROBOT_FOLD},
  [ROBOT_LAMP] = {"lamp", ROBOT_PARK, 1, 0, 1, 0, MANDATORY, {-1, -1}, -1, 0, PATIENT_US, IPCNET_STEP_SENT_ONLY, -1},
  [ROBOT_BRAKE] = {"brake", ROBOT_PARK, 1, 1, 1, IPCNET_REFLEX_FAIL, MANDATORY, {ROBOT_FOLD, ROBOT_LAMP}, -1, 4000, PATIENT_US, IPCNET_STEP_REACHED, ROBOT_FOLD_SLOWLY},
  [ROBOT_CUT] = {"cut", ROBOT_OFF, 1, 0, 1, IPCNET_REFLEX_LAST, MANDATORY, {-1, -1}, -1, 0, SHORT_US, IPCNET_STEP_TIMED_OUT, -1},
  [ROBOT_LOCK] = {"lock", ROBOT_OFF, 1, 0, 1, 0, MANDATORY, {ROBOT_CUT, -1}, -1, 0, SHORT_US, IPCNET_STEP_HURRIED, ROBOT_CUT},
};

const struct robot_expected ROBOT_EXPECTED[ROBOT_PLANS] = {
  [ROBOT_HOLD] = {2, IPCNET_VERDICT_POSED, false}, [ROBOT_PARK] = {1, IPCNET_VERDICT_CUT, false}, [ROBOT_OFF] = {0, IPCNET_VERDICT_FAILED, true}};

/* ---- The table -------------------------------------------------------------------------------------------------------------------------------- */

enum { JOINT, FIRST_POSE };
enum { ON_HOLD, ON_PARK, ON_OFF, ON_STOP, ON_BUTTON, ON_LOST, ON_EXPIRED, ON_TAKEOVER };

static bool measured(const struct robot_step *step) {
  return step->end != IPCNET_STEP_SENT_ONLY;
}

static void pose_message(struct table_rig *rig, uint32_t can_id) {
  struct ipcnet_reflex_message *message = rig_message(rig, "pose", 0, can_id, 2);
  message->flags = IPCNET_REFLEX_POSE_ONLY;
  message->interval_us_min = 0;
}

/* All have two bytes: what, and 1. An absolute value: heard twice it is the same. */
static void pose_send(struct table_rig *rig, uint32_t can_id) {
  const uint8_t payload[2] = {(uint8_t)can_id, 1};
  for (uint16_t row = FIRST_POSE; row < rig->counts[IPCNET_REFLEX_MESSAGES]; row++) {
    if (rig->messages[row].can_id == can_id) rig_send_of(rig, row, payload);
  }
}

static void messages(struct table_rig *rig, const struct robot_options *options) {
  struct ipcnet_reflex_message *message = rig_message(rig, "joint", 0, RIG_COMMAND_ID, 8);
  message->e2e = (struct ipcnet_reflex_e2e){.data_id = RIG_COMMAND_DATA_ID, .max_length_bytes = 8, .profile = 5};
  message->epoch = RIG_FIELD(24, 8, 0);
  message->owner = RIG_FIELD(32, 2, 0);
  message->interval_us_min = 0;
  message->ttl_us_max = 100000;
  if (options->expires) message->expired_trigger = ON_EXPIRED;
  rig_check(rig, RIG_FIELD(40, 16, 2), -1000, 1000);
  for (uint32_t row = 0; row < ROBOT_ROWS; row++) {
    pose_message(rig, ROBOT_POSE_ID + row);
    if (ROBOT_STEPS[row].frames > 1) pose_message(rig, ROBOT_SECOND_ID + row);
  }
  for (uint32_t plan = 0; plan < ROBOT_PLANS; plan++) pose_message(rig, ROBOT_LAST_ID + plan);
}

static void watches(struct table_rig *rig, const struct robot_options *options) {
  struct ipcnet_reflex_watch *watch = rig_watch(rig, "joint_State", 0, RIG_STATE_ID, 8);
  watch->e2e = (struct ipcnet_reflex_e2e){.data_id = RIG_STATE_DATA_ID, .max_length_bytes = 8, .profile = 5};
  watch->epoch = RIG_FIELD(24, 16, 0);
  watch->owner = RIG_FIELD(40, 3, 0);
  struct ipcnet_reflex_node *node = rig_node(rig, "joint", 0, IPCNET_REFLEX_NODE_REQUIRED);
  node->timeout_us = options->node_timeout_us;
  node->lost_trigger = ON_LOST;
  rig_watch(rig, "button", 0, ROBOT_BUTTON_ID, 1);
  rig_condition(rig, "pressed", 1, RIG_FIELD(0, 1, 0), 1, 1)->age_us_max = AGE_US;
  for (uint32_t row = 0; row < ROBOT_ROWS; row++) {
    rig_watch(rig, ROBOT_STEPS[row].name, 0, ROBOT_ACK_ID + row, 1);
    struct ipcnet_reflex_condition *condition = rig_condition(rig, ROBOT_STEPS[row].name, (uint16_t)(2 + row), RIG_FIELD(0, 1, 0), 1, 1);
    condition->hold_us = ROBOT_STEPS[row].hold_us;
    condition->age_us_max = AGE_US;
  }
}

static void steps(struct table_rig *rig) {
  for (uint16_t row = 0; row < ROBOT_ROWS; row++) {
    const struct robot_step *rules = &ROBOT_STEPS[row];
    struct ipcnet_reflex_step *step = rig_step(rig, rules->name);
    for (int i = 0; i < 2 && rules->needs[i] >= 0; i++) {
      rig->needs[rig->counts[IPCNET_REFLEX_NEEDS]++] = (uint16_t)rules->needs[i];
      step->needs_count++;
    }
    step->conditions_first = (uint16_t)(1 + row);
    step->conditions_count = measured(rules);
    step->deadline_us = rules->deadline_us;
    step->resend_us = 10000;
    step->backoff_us = 5000;
    step->fallback = rules->fallback < 0 ? IPCNET_REFLEX_NONE : (uint16_t)rules->fallback;
    step->tries = rules->tries;
    step->on_timeout = rules->on_timeout;
    step->flags = rules->flags;
    step->sends_count = rules->frames;
    pose_send(rig, ROBOT_POSE_ID + row);
    if (rules->frames > 1) pose_send(rig, ROBOT_SECOND_ID + row);
  }
}

static void plans(struct table_rig *rig) {
  static const char *const NAMES[ROBOT_PLANS] = {"hold", "park", "off"};
  for (uint16_t plan = 0, row = 0; plan < ROBOT_PLANS; plan++) {
    struct ipcnet_reflex_plan *to = RIG_ADD(rig, IPCNET_REFLEX_PLANS, plans);
    *to = (struct ipcnet_reflex_plan){.name = rig_text(rig, NAMES[plan]), .steps_first = row, .budget_us = BUDGET_US, .worst_us = BUDGET_US, .last_first = (uint16_t)rig->counts[IPCNET_REFLEX_SENDS], .last_count = 1,
      .category = ROBOT_EXPECTED[plan].category};
    for (; row < ROBOT_ROWS && ROBOT_STEPS[row].plan == plan; row++) to->steps_count++;
    pose_send(rig, ROBOT_LAST_ID + plan);
  }
}

static void triggers(struct table_rig *rig) {
  const uint8_t armed = IPCNET_REFLEX_TRIGGER_WHILE_ARMED;
  rig_trigger(rig, "hold", IPCNET_REFLEX_ON_REQUEST, 2, ROBOT_HOLD, 20, 0);
  rig_trigger(rig, "park", IPCNET_REFLEX_ON_REQUEST, 1, ROBOT_PARK, 30, 0);
  rig_trigger(rig, "off", IPCNET_REFLEX_ON_REQUEST, 0, ROBOT_OFF, 40, 0);
  rig_trigger(rig, "stop", IPCNET_REFLEX_ON_STOP, IPCNET_REFLEX_NONE, ROBOT_PARK, 10, 0);
  rig_trigger(rig, "button", IPCNET_REFLEX_ON_CONDITION, 0, ROBOT_HOLD, 100, IPCNET_REFLEX_TRIGGER_LATCHED);
  rig_trigger(rig, "joint lost", IPCNET_REFLEX_ON_NODE_LOST, 0, ROBOT_HOLD, 60, armed);
  rig_trigger(rig, "expired", IPCNET_REFLEX_ON_EXPIRED, 0, ROBOT_HOLD, 50, armed);
  rig_trigger(rig, "takeover", IPCNET_REFLEX_ON_TAKEOVER, 0, ROBOT_PARK, 80, armed);
}

uint8_t *robot_table(const struct robot_options *options, size_t *length) {
  struct table_rig *rig = calloc(1, sizeof *rig);
  rig->generation = 1;
  rig->header.brain_timeout_us = options->brain_timeout_us;
  rig->header.beat_period_us = 20000;
  rig->header.twin_deadline_us = options->twin_deadline_us;
  rig->header.flags = IPCNET_REFLEX_RESUME_ARMED;
  struct ipcnet_reflex_bus *bus = rig_bus(rig, "arm", RIG_CLAIM_ID);
  bus->interface = rig_text(rig, options->socket);
  bus->driver = 1;
  bus->bitrate_bps = 1000000;
  bus->tx_queue_frames = 32;
  bus->dead_after_us = options->dead_after_us;
  messages(rig, options);
  watches(rig, options);
  steps(rig);
  plans(rig);
  triggers(rig);
  uint8_t *table = rig_table(rig, length);
  free(rig);
  return table;
}

/* ---- The plant -------------------------------------------------------------------------------------------------------------------------------- */

static bool is_pose(uint32_t can_id) {
  return can_id >= ROBOT_POSE_ID && can_id < ROBOT_LAST_ID + ROBOT_PLANS;
}

static void say(struct robot *self, uint32_t row) {
  const uint8_t value = self->done[row];
  rig_bus_inject(self->bus, ROBOT_ACK_ID + row, &value, 1);
}

static void heard(void *context, const struct ipcnet_can_frame *frame, uint64_t now_us) {
  struct robot *self = context;
  if (!is_pose(frame->can_id)) return;
  if (self->first_us == 0) self->first_us = now_us;
  if (self->count == ROBOT_RECORD_MAX) self->lost++;
  else self->frames[self->count++] = (struct robot_frame){.time_us = now_us, .can_id = frame->can_id, .data = {frame->data[0], frame->data[1]}, .length_bytes = frame->length_bytes};
  uint32_t row = frame->can_id - ROBOT_POSE_ID;
  if (row >= ROBOT_ROWS) return;
  if (self->heard[row] < UINT8_MAX) self->heard[row]++;
  uint8_t needed = ROBOT_STEPS[row].acknowledged;
  if (needed == 0 || self->heard[row] < needed || self->done[row]) return;
  self->done[row] = true;
  say(self, row);
}

static void period(void *context) {
  struct robot *self = context;
  for (uint32_t row = 0; row < ROBOT_ROWS; row++) if (self->done[row]) say(self, row);
}

struct rig_bus_guest robot_guest(struct robot *self, struct rig_bus *bus) {
  self->bus = bus;
  return (struct rig_bus_guest){.heard = heard, .period = period, .context = self};
}

void robot_forget(struct robot *self) {
  pthread_mutex_lock(&self->bus->lock);
  self->count = self->lost = 0;
  self->first_us = 0;
  memset(self->heard, 0, sizeof self->heard);
  for (uint32_t row = 0; row < ROBOT_ROWS; row++) {
    bool was = self->done[row];
    self->done[row] = false;
    if (was) say(self, row);
  }
  pthread_mutex_unlock(&self->bus->lock);
}

uint32_t robot_record(struct robot *self, struct robot_frame *to) {
  pthread_mutex_lock(&self->bus->lock);
  uint32_t count = self->count;
  memcpy(to, self->frames, count * sizeof *to);
  pthread_mutex_unlock(&self->bus->lock);
  return count;
}

uint64_t robot_first_us(struct robot *self) {
  pthread_mutex_lock(&self->bus->lock);
  uint64_t first_us = self->first_us;
  pthread_mutex_unlock(&self->bus->lock);
  return first_us;
}

void robot_press(struct robot *self, bool pressed, uint64_t *time_us) {
  const uint8_t value = pressed;
  *time_us = rig_bus_inject(self->bus, ROBOT_BUTTON_ID, &value, 1);
}

/* ---- The judge -------------------------------------------------------------------------------------------------------------------------------- */

struct places { uint32_t first, last, count; }; /* in the record */

static struct places places_of(const struct robot_frame *frames, uint32_t count, uint32_t can_id) {
  struct places places = {.first = UINT32_MAX};
  for (uint32_t at = 0; at < count; at++) {
    if (frames[at].can_id != can_id) continue;
    if (places.count++ == 0) places.first = at;
    places.last = at;
  }
  return places;
}

static const char *not_after(const struct robot_frame *frames, uint32_t count, uint32_t row, int before, char *text, size_t text_bytes) {
  if (before < 0 || places_of(frames, count, ROBOT_POSE_ID + row).first > places_of(frames, count, ROBOT_POSE_ID + (uint32_t)before).last) return NULL;
  snprintf(text, text_bytes, "%s was sent although %s had not ended", ROBOT_STEPS[row].name, ROBOT_STEPS[before].name);
  return text;
}

const char *robot_fault(const struct robot_frame *frames, uint32_t count, enum robot_plan plan, char *text, size_t text_bytes) {
  for (uint32_t at = 0; at < count; at++) {
    if (frames[at].length_bytes == 2 && frames[at].data[0] == (uint8_t)frames[at].can_id && frames[at].data[1] == 1) continue;
    snprintf(text, text_bytes, "frame 0x%x is not what the table says", frames[at].can_id);
    return text;
  }
  for (uint32_t row = 0; row < ROBOT_ROWS; row++) {
    const struct robot_step *step = &ROBOT_STEPS[row];
    bool first = places_of(frames, count, ROBOT_POSE_ID + row).count > 0, second = places_of(frames, count, ROBOT_SECOND_ID + row).count > 0, wanted = step->plan == plan;
    if (first != wanted || second != (wanted && step->frames > 1)) {
      snprintf(text, text_bytes, wanted ? "mandatory step %s was not sent" : "step %s of another plan was sent", step->name);
      return text;
    }
    if (!wanted) continue;
    if (not_after(frames, count, row, step->after, text, text_bytes) != NULL) return text;
    if (not_after(frames, count, row, step->needs[1], text, text_bytes) != NULL) return text;
  }
  for (uint32_t other = 0; other < ROBOT_PLANS; other++) {
    bool sent = places_of(frames, count, ROBOT_LAST_ID + other).count > 0;
    if (sent == (other == plan && ROBOT_EXPECTED[plan].last_rung)) continue;
    snprintf(text, text_bytes, sent ? "a last rung was sent that nobody needed" : "the last rung was not sent");
    return text;
  }
  return NULL;
}
