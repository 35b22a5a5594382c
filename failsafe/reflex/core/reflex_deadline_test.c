/*
 * next_deadline is honest: of two that see the same world, one turned every 100 µs and one only when it asked for it, both do the same at the same time. And it asks for nothing in vain.
 */
#include "../../../drivers/can/core/check.h"
#include "core_rig.h"

static struct core_rig often, seldom;
static struct table_rig table;
static uint32_t asked_turns, steps;

static void both(void (*what)(struct core_rig *rig))
{
  what(&often);
  what(&seldom);
}

static void world(struct core_rig *rig)
{
  rig_echo(rig);
  if (!rig->plant || rig->now_us < rig->report_due_us) return;
  rig->report_due_us = rig->now_us + 10000;
  rig_report(rig);
}

static void run_both(uint64_t for_us)
{
  for (uint64_t done = 0; done < for_us; done += 100) {
    often.now_us += 100;
    seldom.now_us += 100;
    steps++;
    world(&often);
    world(&seldom);
    ipcnet_reflex_tick(often.reflex, often.now_us);
    if (seldom.now_us < ipcnet_reflex_next_deadline_us(seldom.reflex)) continue;
    ipcnet_reflex_tick(seldom.reflex, seldom.now_us);
    asked_turns++;
  }
}

static void same(const char *what)
{
  bool alike = often.sent_count == seldom.sent_count && often.record_count == seldom.record_count && often.journalled == seldom.journalled && often.twin_effects == seldom.twin_effects;
  for (uint32_t i = 0; i < often.sent_count && alike; i++) alike = often.sent[i % RIG_LOG].at_us == seldom.sent[i % RIG_LOG].at_us && memcmp(&often.sent[i % RIG_LOG].frame, &seldom.sent[i % RIG_LOG].frame, sizeof often.sent[0].frame) == 0;
  for (uint32_t i = 0; i < often.record_count && i < RIG_LOG && alike; i++) alike = often.records[i].time_us == seldom.records[i].time_us && often.records[i].can_id == seldom.records[i].can_id;
  if (!alike) fprintf(stderr, "%s: %u and %u frames, %u and %u records\n", what, often.sent_count, seldom.sent_count, often.record_count, seldom.record_count);
  CHECK(alike);
  CHECK(asked_turns * 4 < steps); /* far fewer turns */
  asked_turns = steps = 0;
  rig_end(&often);
  rig_end(&seldom);
}

static void ready(struct core_rig *rig)
{
  rig_ready_with(rig, &table, 0);
  rig_run(rig, 3000); /* so that nothing that is due falls together with a beat */
  rig->brain = false;
  rig_order(rig, IPCNET_ORDER_BRAIN_BEAT, 7, 0);
  rig_order(rig, IPCNET_ORDER_ARM, 0, 0);
}

static void command_shoulder(struct core_rig *rig)
{
  for (unsigned i = 0; i < 2; i++) {
    struct ipcnet_reflex_command command = rig_make(rig, SHOULDER);
    command.deadline_us = rig->now_us + 20000 + i * 5000;
    rig_give(rig, &command);
  }
}

static void command_expiring(struct core_rig *rig)
{
  struct ipcnet_reflex_command command = rig_make(rig, ELBOW);
  rig_give(rig, &command);
  rig_echo(rig);
  command = rig_make(rig, ELBOW);
  command.deadline_us = rig->now_us + 1300;
  rig_give(rig, &command);
}

static void deaf(struct core_rig *rig) { rig->plant = false; }
static void dumb(struct core_rig *rig) { rig->echoes[ARM_BUS] = false; }
static void strained(struct core_rig *rig) { rig->strain = 110; rig_report(rig); rig->plant = false; }
static void still_moving(struct core_rig *rig) { rig->velocity = 100; rig_report(rig); }
static void park(struct core_rig *rig) { rig_order(rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1); }
static void bus_off(struct core_rig *rig) { rig_link(rig, ARM_BUS, IPCNET_LINK_BUS_STATE, 3); rig_link(rig, ARM_BUS, IPCNET_LINK_PURGED, 0); }
static void load(struct core_rig *rig)
{
  for (unsigned i = 0; i < 9; i++) {
    struct ipcnet_reflex_command command = rig_make(rig, GRIPPER);
    rig_give(rig, &command);
    rig_echo(rig);
  }
  struct ipcnet_reflex_command command = rig_make(rig, LAMP);
  rig_give(rig, &command);
  command = rig_make(rig, GRIPPER);
  rig_give(rig, &command);
}

static void lost_echo(struct core_rig *rig)
{
  struct ipcnet_reflex_command command = rig_make(rig, ELBOW);
  rig_give(rig, &command);
  rig->flying_count[ARM_BUS]--;
}

static void begin_shared(struct core_rig *rig)
{
  rig_begin(rig, 0);
  rig_load(rig, &table);
  rig_links_up(rig);
  rig_run(rig, 5000);
  rig_event(rig, IPCNET_TWIN_LOCK_GRANTED);
}

static void outvote(struct core_rig *rig)
{
  rig->answers_twin = false;
  struct ipcnet_can_frame frame = rig_claim_of(rig, IPCNET_BEAT, 40, 2, 1);
  rig_hear(rig, &frame);
}

static void forget(struct core_rig *rig)
{
  rig->node_owner = 7;
  rig->follows = false;
}

int main(void)
{
  rig_arm_table(&table);
  both(ready);
  run_both(280000);
  same("beats");
  both(ready);
  both(command_shoulder);
  run_both(60000);
  same("commands that wait, and a set-point that ends");
  both(ready);
  both(command_expiring);
  run_both(20000);
  same("a command that expires while it waits");
  both(ready);
  both(lost_echo);
  run_both(150000);
  same("an echo that is lost");
  both(ready);
  run_both(310000);
  same("a brain that falls silent");
  both(ready);
  both(strained);
  run_both(30000);
  same("a condition with a hold time");
  both(ready);
  both(deaf);
  run_both(150000);
  same("nodes that fall silent");
  both(ready);
  both(still_moving);
  both(park);
  run_both(300000);
  same("a plan with its deadlines");
  both(ready);
  both(dumb);
  both(deaf);
  run_both(1500000);
  same("a bus that dies");
  both(ready);
  both(bus_off);
  run_both(1500000);
  same("a bus that goes off");
  table.buses[AUX_BUS].load_permille_max = 100;
  both(ready);
  both(load);
  run_both(30000);
  same("load");
  table.header.brain_timeout_us = 0;
  table.buses[ARM_BUS].self_fence_us = 30000;
  both(begin_shared);
  run_both(200000);
  both(deaf);
  run_both(100000);
  same("two hosts: listening, owning, fencing oneself");
  both(begin_shared);
  run_both(100000);
  both(forget);
  both(outvote);
  run_both(1500000);
  same("two hosts: outvoted");
  both(begin_shared);
  both(deaf);
  run_both(200000);
  same("two hosts: nobody confirms");
  return checks_report("reflex_deadline");
}
