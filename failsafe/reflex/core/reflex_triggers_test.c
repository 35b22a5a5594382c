/*
 * The order of all triggers: random tables of triggers (kinds, priorities, latches, plans), random courses of all sources, held against the sentences of docs/specs/plan.md. A higher one takes
 * over, a lower one never cancels, a latch needs a reset, and a reset sends nothing. Then the power-fail line.
 */
#include <errno.h>

#include "../../../drivers/can/core/check.h"
#include "core_rig.h"

static struct core_rig rig;
static struct table_rig table;

static uint32_t seed;

static uint32_t draw(uint32_t below)
{
  seed = seed * 1664525u + 1013904223u;
  return (seed >> 8) % below;
}

/* ---- The order ------------------------------------------------------------------------------------------------------------------------------------ */

static const uint8_t KINDS[] = {
  IPCNET_REFLEX_ON_REQUEST, IPCNET_REFLEX_ON_REQUEST, IPCNET_REFLEX_ON_REQUEST, IPCNET_REFLEX_ON_STOP, IPCNET_REFLEX_ON_SHUTDOWN, IPCNET_REFLEX_ON_CONDITION, IPCNET_REFLEX_ON_NODE_LOST, IPCNET_REFLEX_ON_BUS_DEAD,
  IPCNET_REFLEX_ON_BRAIN_LOST, IPCNET_REFLEX_ON_TAKEOVER, IPCNET_REFLEX_ON_COMPROMISE, IPCNET_REFLEX_ON_POWER_FAIL};
#define COUNT (sizeof KINDS / sizeof KINDS[0])

static uint16_t subject_of(uint32_t row)
{
  switch (KINDS[row]) {
  case IPCNET_REFLEX_ON_REQUEST: return (uint16_t)row; /* categories 0, 1, 2 stand first */
  case IPCNET_REFLEX_ON_CONDITION: return STOP_PRESSED;
  case IPCNET_REFLEX_ON_NODE_LOST: return BUTTON_NODE;
  case IPCNET_REFLEX_ON_BUS_DEAD: return AUX_BUS;
  default: return IPCNET_REFLEX_NONE;
  }
}

static void random_triggers(void)
{
  uint8_t priorities[COUNT];
  rig_arm_table(&table);
  table.counts[IPCNET_REFLEX_TRIGGERS] = 0;
  table.messages[SHOULDER].expired_trigger = IPCNET_REFLEX_NONE;
  table.nodes[SHOULDER_NODE].lost_trigger = IPCNET_REFLEX_NONE;
  for (uint32_t row = 0; row < COUNT; row++) priorities[row] = (uint8_t)(10u * row + draw(9));
  for (uint32_t row = COUNT - 1; row > 0; row--) {
    uint32_t other = draw(row + 1);
    uint8_t kept = priorities[row];
    priorities[row] = priorities[other];
    priorities[other] = kept;
  }
  for (uint32_t row = 0; row < COUNT; row++) {
    uint8_t flags = (uint8_t)((draw(2) ? IPCNET_REFLEX_TRIGGER_LATCHED : 0) | (draw(4) == 0 ? IPCNET_REFLEX_TRIGGER_WHILE_ARMED : 0));
    struct ipcnet_reflex_trigger *trigger = rig_trigger(&table, "one", KINDS[row], subject_of(row), draw(2) ? PARK_PLAN : OFF_PLAN, priorities[row], flags);
    if (KINDS[row] != IPCNET_REFLEX_ON_POWER_FAIL) continue;
    trigger->flags |= IPCNET_REFLEX_TRIGGER_PIN;
    trigger->chip = rig_text(&table, "/dev/gpiochip0");
  }
}

/* What docs/specs/plan.md says, as plainly as it can be said. */
struct expected { bool runs, latched; uint16_t trigger, plan, latch; };

static uint8_t priority(uint16_t row)
{
  return table.triggers[row].priority;
}

static void fires(struct expected *is, uint16_t row, bool armed)
{
  if ((table.triggers[row].flags & IPCNET_REFLEX_TRIGGER_WHILE_ARMED) && !armed) return;
  if ((table.triggers[row].flags & IPCNET_REFLEX_TRIGGER_LATCHED) && (!is->latched || priority(row) > priority(is->latch))) {
    is->latched = true;
    is->latch = row;
  }
  if (is->latched && priority(is->latch) > priority(row)) row = is->latch;
  if (is->runs && priority(row) <= priority(is->trigger)) return;
  is->runs = true;
  is->trigger = row;
  is->plan = table.triggers[row].plan;
}

static void holds(const struct expected *is)
{
  struct ipcnet_reflex_state_record state = rig_state(&rig);
  CHECK_INT(state.arming == IPCNET_SAFE_POSE, is->runs);
  CHECK_INT(state.trigger_latched, is->latched);
  if (!is->runs) return;
  CHECK_INT(state.trigger, is->trigger);
  CHECK_INT(state.plan, is->plan);
}

static bool is_armed(void)
{
  return rig_state(&rig).arming == IPCNET_ARMED;
}

/* Any source, by its own way. */
static void a_source_fires(struct expected *is)
{
  uint16_t row = (uint16_t)draw(COUNT);
  bool armed = is_armed();
  if (KINDS[row] == IPCNET_REFLEX_ON_POWER_FAIL) {
    rig.power_line = 1; /* a pulse */
    ipcnet_reflex_tick(rig.reflex, rig.now_us);
    rig.power_line = 0;
    ipcnet_reflex_tick(rig.reflex, rig.now_us);
  } else if (KINDS[row] == IPCNET_REFLEX_ON_CONDITION) {
    rig.pressed = true;
    rig_report(&rig);
    ipcnet_reflex_tick(rig.reflex, rig.now_us);
    rig.pressed = false;
    rig_report(&rig);
    ipcnet_reflex_tick(rig.reflex, rig.now_us);
  } else {
    uint16_t subject = subject_of(row);
    rig_order(&rig, IPCNET_ORDER_TRIGGER, KINDS[row], subject == IPCNET_REFLEX_NONE ? 0 : subject);
  }
  fires(is, row, armed);
}

static void it_ends(struct expected *is)
{
  rig.velocity = 0;
  rig.brake = 1;
  rig_run(&rig, 500000);
  is->runs = false;
}

/* A reset is refused while a pose runs; it leads to disarmed, and not one command is sent because of it. */
static void somebody_resets(struct expected *is)
{
  bool runs = is->runs, armed = is_armed();
  uint32_t from = rig.sent_count;
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_RESET, 0, 0), runs || armed ? IPCNET_ANSWER_REFUSED : IPCNET_ANSWER_DONE);
  for (uint32_t message = SHOULDER; message <= BRAKE; message++) CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x101 + message), 0);
  if (runs || armed) return;
  is->latched = false;
  CHECK_INT(rig_state(&rig).arming, IPCNET_DISARMED);
}

static void somebody_arms(const struct expected *is)
{
  bool rests = rig_state(&rig).arming == IPCNET_POSED || rig_state(&rig).arming == IPCNET_FAULT;
  bool done = rig_order(&rig, IPCNET_ORDER_ARM, 0, 0) == IPCNET_ANSWER_DONE;
  if (is->runs || is->latched || rests) CHECK(!done);
  else CHECK(done);
}

static void test_the_order_of_all(uint32_t of)
{
  struct expected is = {0};
  seed = of;
  random_triggers();
  rig_ready_with(&rig, &table, 0);
  for (unsigned turn = 0; turn < 60 && checks_failed == 0; turn++) {
    switch (draw(8)) {
    case 0: it_ends(&is); break;
    case 1: somebody_resets(&is); break;
    case 2: somebody_arms(&is); break;
    case 3:
      rig.velocity = 500; /* it takes its time */
      rig.brake = 0;
      break;
    default: a_source_fires(&is); break;
    }
    /* A run may have ended by itself: nothing else ends one. */
    if (is.runs && rig_state(&rig).arming != IPCNET_SAFE_POSE) {
      CHECK(rig_state(&rig).arming == IPCNET_POSED || rig_state(&rig).arming == IPCNET_FAULT);
      is.runs = false;
    }
    holds(&is);
  }
  if (checks_failed != 0) fprintf(stderr, "seed %u\n", of);
  rig_end(&rig);
}

static void test_off_stays_off(void)
{
  rig_ready(&rig);
  rig_order(&rig, IPCNET_ORDER_ARM, 0, 0);
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_COMPROMISE, 0);
  rig_run(&rig, 200000);
  CHECK_INT(rig_state(&rig).arming, IPCNET_POSED);
  /* The service is stopped: its plan would stop and park, with power. */
  uint32_t from = rig.sent_count;
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_STOP, 0), IPCNET_ANSWER_DONE);
  rig_run(&rig, 200000);
  CHECK_INT(rig_state(&rig).arming, IPCNET_POSED);
  CHECK_INT(rig_state(&rig).plan, OFF_PLAN);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x101), 0);
  CHECK(rig_sent(&rig, from, ARM_BUS, 0x103) > 0);
  rig_end(&rig);
}

/* ---- The power-fail line -------------------------------------------------------------------------------------------------------------------------- */

#define POWER_TRIGGER ARM_TRIGGERS

static void ready_with_line(int says)
{
  rig_arm_table(&table);
  struct ipcnet_reflex_trigger *trigger = rig_trigger(&table, "power", IPCNET_REFLEX_ON_POWER_FAIL, IPCNET_REFLEX_NONE, OFF_PLAN, 200, IPCNET_REFLEX_TRIGGER_LATCHED | IPCNET_REFLEX_TRIGGER_PIN);
  trigger->chip = rig_text(&table, "/dev/gpiochip0");
  trigger->line = 17;
  rig_begin(&rig, 0);
  rig.power_line = says;
  rig_load(&rig, &table);
  rig_links_up(&rig);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  rig_run(&rig, 150000);
}

static void test_nothing_is_armed_without_the_line(void)
{
  ready_with_line(-ENOENT);
  CHECK(rig_lacks(&rig, IPCNET_MISSING_POWER_LINE, ENOENT));
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_REFUSED);
  CHECK_INT(rig_state(&rig).arming, IPCNET_DISARMED); /* not watched is no reason to pose while nothing moves */
  rig.power_line = 0;
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_DONE);
  rig_end(&rig);
}

static void test_power_fails(void)
{
  ready_with_line(0);
  rig_order(&rig, IPCNET_ORDER_ARM, 0, 0);
  uint32_t from = rig.sent_count;
  rig.power_line = 1;
  ipcnet_reflex_tick(rig.reflex, rig.now_us);
  CHECK_INT(rig_state(&rig).arming, IPCNET_SAFE_POSE);
  CHECK_INT(rig_state(&rig).trigger, POWER_TRIGGER);
  CHECK(rig_sent(&rig, from, ARM_BUS, 0x103) > 0); /* in the same turn */
  rig_run(&rig, 200000);
  CHECK_INT(rig_state(&rig).arming, IPCNET_POSED);
  /* While it fails nobody can reset, and it fires once. */
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_RESET, 0, 0), IPCNET_ANSWER_REFUSED);
  CHECK(rig_lacks(&rig, IPCNET_MISSING_STEADY_CONDITION, POWER_TRIGGER));
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->plans_run, 1);
  rig.power_line = 0;
  rig_run(&rig, 10000);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_REFUSED);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_RESET, 0, 0), IPCNET_ANSWER_DONE);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_DONE);
  rig_end(&rig);
}

static void test_power_that_has_failed_already_counts(void)
{
  ready_with_line(1);
  CHECK_INT(rig_state(&rig).trigger, POWER_TRIGGER);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->plans_run, 1);
  rig_end(&rig);
}

static void test_the_line_is_lost_while_armed(void)
{
  ready_with_line(0);
  rig_order(&rig, IPCNET_ORDER_ARM, 0, 0);
  rig.power_line = -ENODEV;
  rig_run(&rig, 2000);
  CHECK_INT(rig_state(&rig).arming, IPCNET_SAFE_POSE);
  CHECK_INT(rig_state(&rig).trigger, POWER_TRIGGER);
  rig_run(&rig, 200000);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->plans_run, 1);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_RESET, 0, 0), IPCNET_ANSWER_DONE); /* it permits to look after it */
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_REFUSED);
  CHECK(rig_lacks(&rig, IPCNET_MISSING_POWER_LINE, ENODEV));
  rig_end(&rig);
}

int main(int argc, char **argv)
{
  unsigned rounds = argc > 1 ? (unsigned)atoi(argv[1]) : 300;
  for (uint32_t round = 1; round <= rounds && checks_failed == 0; round++) test_the_order_of_all(round);
  test_off_stays_off();
  test_nothing_is_armed_without_the_line();
  test_power_fails();
  test_power_that_has_failed_already_counts();
  test_the_line_is_lost_while_armed();
  return checks_report("reflex_triggers");
}
