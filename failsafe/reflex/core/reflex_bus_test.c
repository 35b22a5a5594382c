/* bus_health as part of the whole: what is fed, what is done for it, who may. */
#include "../../../drivers/can/core/check.h"
#include "core_rig.h"

static struct core_rig rig;

/* With the arm's table, and no role yet. */
static void begin(uint8_t instance)
{
  struct table_rig *table = malloc(sizeof *table);
  rig_arm_table(table);
  rig_begin(&rig, instance);
  rig_load(&rig, table);
  free(table);
}

static uint8_t phase(uint8_t bus)
{
  return rig.reflex->buses[bus].health.phase;
}

static void error_frame(uint8_t bus, uint32_t classes, uint8_t controller)
{
  struct ipcnet_can_frame frame = rig_frame(&rig, bus, classes, IPCNET_CAN_ERROR, 8);
  frame.data[1] = controller;
  rig_hear(&rig, &frame);
}

/* Motors without power: frames are taken, nothing comes back. */
static void test_dead_purge_probe_rearm(void)
{
  rig_armed_calm(&rig);
  uint32_t records = rig.record_count;
  rig.echoes[ARM_BUS] = false;
  rig.plant = false;
  for (unsigned ms = 0; ms < 60; ms++) {
    struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
    rig_give(&rig, &command);
    rig_run(&rig, 1000);
  }
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_PURGING);
  CHECK_INT(rig.page->bus_phases[ARM_BUS], IPCNET_BUS_PURGING);
  CHECK_INT(rig.bus_effects[ARM_BUS][IPCNET_EFFECT_PURGE], 1);
  const struct ipcnet_can_frame *report = rig_report_of(&rig, records, IPCNET_REPORT_BUS, 0);
  CHECK(report != NULL && report->bus == ARM_BUS && report->length_bytes == 16 && report->data[4] == IPCNET_BUS_PURGING);
  uint32_t from = rig.sent_count;
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  rig_give(&rig, &command);
  rig.flying_count[ARM_BUS] = 0;
  rig_link(&rig, ARM_BUS, IPCNET_LINK_PURGED, 0);
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_PROBING);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x7FF), 1);
  const struct ipcnet_can_frame *probe = rig_last_sent(&rig, ARM_BUS, 0x7FF);
  CHECK(probe->token == IPCNET_CAN_PROBE_TOKEN && probe->length_bytes == 0 && probe->flags == 0 && /* this bus commands classic frames alone */ probe->time_us == (double)(rig.now_us + 1000000));
  rig_run(&rig, 3000000); /* commands keep coming, power does not */
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x101) + rig_sent(&rig, from, ARM_BUS, 0x103) + rig_sent(&rig, from, ARM_BUS, 0x010), 0);
  rig.echoes[ARM_BUS] = true; /* and now it does */
  rig.plant = true;
  rig_run(&rig, 5000);
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_PROVEN);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x101) + rig_sent(&rig, from, ARM_BUS, 0x103), 0); /* nothing old */
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x010), 1); /* who commands is said again */
  rig_run(&rig, 100000);
  CHECK(rig_lacks(&rig, IPCNET_MISSING_BUS, ARM_BUS));
  rig_order(&rig, IPCNET_ORDER_RESET, 0, 0);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_REFUSED);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_REARM_BUS, ARM_BUS, 0), IPCNET_ANSWER_DONE);
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_UP);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_DONE);
  command = rig_make(&rig, SHOULDER);
  CHECK_INT(rig_refusal(&rig, &command), 0);
  rig_end(&rig);
}

static void test_a_pose_reaches_a_proven_bus(void)
{
  rig_ready(&rig);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_DOWN, 0);
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 0);
  uint32_t from = rig.sent_count;
  rig_run(&rig, 2000);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x103), 0);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_UP, 0);
  rig_run(&rig, 5000);
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_PROVEN);
  CHECK(rig_sent(&rig, from, ARM_BUS, 0x103) > 0); /* somebody acknowledges, and it is a pose */
  rig_end(&rig);
}

static void test_purge_answers(void)
{
  static const struct { uint32_t errno_, phase, reason; } CASES[] = {{1, IPCNET_BUS_UNPURGEABLE, IPCNET_REASON_PURGE_FORBIDDEN}, {13, IPCNET_BUS_UNPURGEABLE, IPCNET_REASON_PURGE_FORBIDDEN}, {95, IPCNET_BUS_UNPURGEABLE, IPCNET_REASON_PURGE_FAILED}};
  for (unsigned i = 0; i < 3; i++) {
    rig_ready(&rig);
    rig.echoes[ARM_BUS] = false;
    rig.plant = false;
    rig_run(&rig, 100000);
    CHECK_INT(phase(ARM_BUS), IPCNET_BUS_PURGING);
    rig_link(&rig, ARM_BUS, IPCNET_LINK_PURGE_FAILED, CASES[i].errno_);
    CHECK_INT(phase(ARM_BUS), CASES[i].phase);
    CHECK_INT(rig.reflex->buses[ARM_BUS].health.reason, CASES[i].reason);
    rig_end(&rig);
  }
}

static void test_bus_off(void)
{
  rig_armed(&rig);
  error_frame(ARM_BUS, IPCNET_CAN_ERR_BUSOFF, 0);
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_OFF_PURGING);
  CHECK_INT(rig_state(&rig).arming, IPCNET_SAFE_POSE);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_PURGED, 0);
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_OFF_WAITING);
  rig_run(&rig, 101000);
  CHECK_INT(rig.bus_effects[ARM_BUS][IPCNET_EFFECT_RESTART_BUS], 1);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_RESTART_FAILED, 5);
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_OFF_WAITING);
  rig_run(&rig, 201000);
  CHECK_INT(rig.bus_effects[ARM_BUS][IPCNET_EFFECT_RESTART_BUS], 2);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_BUS_STATE, 0);
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_PROBING);
  rig_end(&rig);
}

static void test_error_states(void)
{
  rig_ready(&rig);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_BUS_STATE, 2);
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_DEGRADED);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_BUS_STATE, 0);
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_UP);
  error_frame(ARM_BUS, IPCNET_CAN_ERR_CRTL, 0x08);
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_DEGRADED);
  CHECK_INT(phase(AUX_BUS), IPCNET_BUS_UP);
  rig_end(&rig);
}

static void test_link_up_tells(void)
{
  begin(0);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_UP, 3); /* frames of somebody before us wait there */
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_PURGING);
  struct ipcnet_can_link link = {.up = true, .bitrate_bps = 125000, .bus_state_known = true, .bus_state = 1};
  struct ipcnet_can_link_event up = {.kind = IPCNET_LINK_UP};
  ipcnet_reflex_link(rig.reflex, AUX_BUS, &up, &link, rig.now_us);
  CHECK_INT(phase(AUX_BUS), IPCNET_BUS_DEGRADED);
  CHECK_INT(rig.reflex->buses[AUX_BUS].health.options.frame_time_us, ipcnet_can_frame_time_us(125000, 0, true));
  const struct ipcnet_can_frame *report = rig_report_of(&rig, 0, IPCNET_REPORT_LINK, 0);
  CHECK(report != NULL && report->bus == AUX_BUS && report->length_bytes == 12 && report->data[0] == IPCNET_LINK_UP);
  rig_end(&rig);
}

/* A node that cannot read FD frames acknowledges classic ones all the same, so a classic probe would prove nothing about commands in FD frames. */
static void test_a_probe_is_of_the_kind_that_is_commanded(void)
{
  begin(0);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  rig_link(&rig, AUX_BUS, IPCNET_LINK_UP, 1);
  CHECK_INT(phase(AUX_BUS), IPCNET_BUS_PURGING);
  rig_link(&rig, AUX_BUS, IPCNET_LINK_PURGED, 0);
  CHECK_INT(phase(AUX_BUS), IPCNET_BUS_PROBING);
  const struct ipcnet_can_frame *probe = rig_last_sent(&rig, AUX_BUS, 0x7FF);
  CHECK(probe != NULL && probe->token == IPCNET_CAN_PROBE_TOKEN && probe->flags == (IPCNET_CAN_FD | IPCNET_CAN_BRS) && probe->length_bytes == 0);
  rig_end(&rig);
}

/* A standby hears all that and does nothing; but it remembers. */
static void test_a_standby_only_remembers(void)
{
  begin(1);
  rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
  rig_links_up(&rig);
  error_frame(ARM_BUS, IPCNET_CAN_ERR_BUSOFF, 0);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_BUS_STATE, 3);
  rig_run(&rig, 100000);
  CHECK_INT(rig.bus_effects[ARM_BUS][IPCNET_EFFECT_PURGE] + rig.bus_effects[ARM_BUS][IPCNET_EFFECT_RESTART_BUS], 0);
  CHECK_INT(rig.sent_count, 0);
  rig_link(&rig, AUX_BUS, IPCNET_LINK_GONE, 0);
  CHECK_INT(rig.bus_effects[AUX_BUS][IPCNET_EFFECT_REOPEN], 1);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_OFF_PURGING);
  CHECK_INT(phase(AUX_BUS), IPCNET_BUS_DOWN);
  rig_end(&rig);
}

static void test_stale_frames_are_remembered(void)
{
  begin(1);
  rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_UP, 2);
  rig_link(&rig, AUX_BUS, IPCNET_LINK_UP, 0);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_PURGING);
  CHECK_INT(phase(AUX_BUS), IPCNET_BUS_UP);
  rig_end(&rig);
}

static void test_reopen(void)
{
  rig_ready(&rig);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_DOWN, 0);
  CHECK_INT(rig.bus_effects[ARM_BUS][IPCNET_EFFECT_REOPEN], 1);
  rig_link(&rig, 3, IPCNET_LINK_DOWN, 0); /* no such bus */
  rig_link(&rig, ARM_BUS, IPCNET_LINK_SYNCED, 0); /* says nothing */
  CHECK_INT(rig.bus_effects[ARM_BUS][IPCNET_EFFECT_REOPEN], 1);
  rig_end(&rig);
}

static void test_a_probe_that_is_not_taken(void)
{
  rig_ready(&rig);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_DOWN, 0);
  rig.verdict[ARM_BUS] = IPCNET_CAN_QUEUE_FULL;
  rig_link(&rig, ARM_BUS, IPCNET_LINK_UP, 0);
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_PROBING);
  uint32_t from = rig.sent_count;
  rig.verdict[ARM_BUS] = IPCNET_CAN_QUEUED;
  rig_run(&rig, 1001000); /* tried again a second later */
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x7FF), 1);
  rig_end(&rig);
}

static void test_full_queue(void)
{
  rig_ready(&rig);
  rig.verdict[ARM_BUS] = IPCNET_CAN_QUEUE_FULL;
  rig_run(&rig, 30000);
  CHECK(rig.reflex->buses[ARM_BUS].health.counters.no_buffer_frames > 0);
  rig_end(&rig);
}

/* ---- Outvoted ----------------------------------------------------------------------------------------------------------------------------- */

/* Another host owns the bus; then our controller gives it up. */
static void outvoted_and_off(void)
{
  struct table_rig *table = malloc(sizeof *table);
  rig_arm_table(table);
  table->buses[ARM_BUS].self_fence_us = 30000;
  rig_ready_with(&rig, table, 0);
  free(table);
  struct ipcnet_can_frame claim = rig_claim_of(&rig, IPCNET_CLAIM, (uint16_t)(rig_state(&rig).epoch + 1), 2, 0);
  rig_hear(&rig, &claim);
  CHECK_INT(rig_state(&rig).role, IPCNET_TWIN_OUTVOTED);
  memset(rig.bus_effects, 0, sizeof rig.bus_effects);
  rig.answers_twin = rig.plant = false;
  rig_link(&rig, ARM_BUS, IPCNET_LINK_BUS_STATE, 3);
}

/*
 * Who is outvoted with something on its way may be cut off: what the controller has in hand would come out, however old, when the cable is whole again. Only where something is on its way, where the
 * bus was trusted so far (else it has been asked for), and not when the twin is handed a bus that works.
 */
static void test_outvoted_empties_what_is_on_its_way(void)
{
  static const struct {
    enum ipcnet_twin_event event;
    unsigned without_echo_ms, purges_before, purges;
  } CASES[] = {
    {IPCNET_TWIN_SELF_FENCED, 0, 0, 0}, {IPCNET_TWIN_SELF_FENCED, 2, 0, 1}, {IPCNET_TWIN_HIGHER_EPOCH, 2, 0, 1}, {IPCNET_TWIN_SELF_FENCED, 60, 1, 1}, {IPCNET_TWIN_YIELD_ASKED, 2, 0, 0}};
  for (unsigned i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    rig_armed_calm(&rig);
    rig.echoes[ARM_BUS] = CASES[i].without_echo_ms == 0;
    for (unsigned ms = 0; ms < CASES[i].without_echo_ms; ms++) {
      struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
      rig_give(&rig, &command);
      rig_run(&rig, 1000);
    }
    CHECK_INT(rig.bus_effects[ARM_BUS][IPCNET_EFFECT_PURGE], CASES[i].purges_before);
    rig.answers_twin = false;
    rig_event(&rig, CASES[i].event);
    CHECK_INT(rig_state(&rig).role, CASES[i].event == IPCNET_TWIN_YIELD_ASKED ? IPCNET_TWIN_YIELDING : IPCNET_TWIN_OUTVOTED);
    CHECK_INT(rig.bus_effects[ARM_BUS][IPCNET_EFFECT_PURGE], CASES[i].purges);
    CHECK_INT(rig.bus_effects[AUX_BUS][IPCNET_EFFECT_PURGE], 0);
    /* Outvoted again while its epoch is being stored, it has sent nothing that could wait. */
    rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
    rig_event(&rig, IPCNET_TWIN_HIGHER_EPOCH);
    CHECK_INT(rig.bus_effects[ARM_BUS][IPCNET_EFFECT_PURGE], CASES[i].purges);
    rig_end(&rig);
  }
}

/* Who hears nobody because the controller is off would otherwise wait for ever. */
static void test_outvoted_mends_a_bus_that_is_off(void)
{
  outvoted_and_off();
  uint32_t from = rig.sent_count;
  rig_run(&rig, 2000);
  CHECK_INT(rig.bus_effects[ARM_BUS][IPCNET_EFFECT_PURGE], 1);
  CHECK_INT(rig.bus_effects[ARM_BUS][IPCNET_EFFECT_RESTART_BUS], 0);
  CHECK_INT(rig.bus_effects[AUX_BUS][IPCNET_EFFECT_PURGE], 0);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_PURGED, 0);
  rig_run(&rig, 101000);
  CHECK_INT(rig.bus_effects[ARM_BUS][IPCNET_EFFECT_RESTART_BUS], 1);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_RESTART_FAILED, 5);
  rig_run(&rig, 201000);
  CHECK_INT(rig.bus_effects[ARM_BUS][IPCNET_EFFECT_RESTART_BUS], 2);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_BUS_STATE, 0);
  rig_run(&rig, 3000000);
  CHECK_INT(rig.bus_effects[ARM_BUS][IPCNET_EFFECT_RESTART_BUS], 2);
  CHECK_INT(rig.bus_effects[ARM_BUS][IPCNET_EFFECT_PURGE], 1);
  CHECK_INT(rig.sent_count, from); /* not so much as a probe */
  CHECK_INT(rig_state(&rig).role, IPCNET_TWIN_OUTVOTED);
  /* Now it hears that the nodes follow nobody any more, and asks for the lock. */
  rig.plant = true;
  rig.follows = false;
  rig.node_owner = 7;
  rig.twin_effects = 0;
  rig_run(&rig, 1500000);
  CHECK(rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK);
  rig_end(&rig);
}

/* The budget of restarts is one for the whole time. */
static void test_mending_has_an_end(void)
{
  outvoted_and_off();
  for (unsigned i = 0; i < 60; i++) {
    rig_link(&rig, ARM_BUS, IPCNET_LINK_PURGED, 0);
    rig_run(&rig, 1000000);
    rig_link(&rig, ARM_BUS, IPCNET_LINK_BUS_STATE, 0);
    rig_link(&rig, ARM_BUS, IPCNET_LINK_BUS_STATE, 3);
  }
  rig_run(&rig, 6000000);
  CHECK_INT(rig.bus_effects[ARM_BUS][IPCNET_EFFECT_RESTART_BUS], 8);
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_OFF_GIVEN_UP);
  rig_order(&rig, IPCNET_ORDER_REARM_BUS, ARM_BUS, 0);
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_OFF_PURGING);
  rig_end(&rig);
}

/* Standby again: the twin owns the bus, and is not to be interrupted. */
static void test_a_standby_goes_on_with_nothing(void)
{
  outvoted_and_off();
  rig_run(&rig, 2000);
  rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_PURGED, 0);
  rig_run(&rig, 1000000);
  CHECK_INT(rig.bus_effects[ARM_BUS][IPCNET_EFFECT_RESTART_BUS], 0);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_BUS_STATE, 0);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_BUS_STATE, 3);
  rig_run(&rig, 1000000);
  CHECK_INT(rig.bus_effects[ARM_BUS][IPCNET_EFFECT_PURGE], 1);
  /* And when it owns the bus itself, it begins anew and asks with a probe. */
  rig.answers_twin = rig.plant = true;
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  rig_run(&rig, 70000);
  CHECK(rig.bus_effects[ARM_BUS][IPCNET_EFFECT_PURGE] >= 2);
  rig_end(&rig);
}

int main(void)
{
  test_outvoted_empties_what_is_on_its_way();
  test_outvoted_mends_a_bus_that_is_off();
  test_mending_has_an_end();
  test_a_standby_goes_on_with_nothing();
  test_dead_purge_probe_rearm();
  test_a_probe_is_of_the_kind_that_is_commanded();
  test_a_pose_reaches_a_proven_bus();
  test_purge_answers();
  test_bus_off();
  test_error_states();
  test_link_up_tells();
  test_a_standby_only_remembers();
  test_stale_frames_are_remembered();
  test_reopen();
  test_a_probe_that_is_not_taken();
  test_full_queue();
  return checks_report("reflex_bus");
}
