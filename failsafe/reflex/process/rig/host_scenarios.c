/*
 * host_scenarios: what must hold of two hosts on one bus, one scenario at a time: `reflex_hosts PROGRAM SCENARIO`. Each host is two real processes in a process group of their own (hosts.h);
 * on the bus stand joints that are their witnesses. Nothing here asserts how long something takes; the times of most tables are long, so that a busy machine looks like no dead host.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hosts.h"
#include "need.h"

#define OBSERVED 400 /* turns of 2 ms: so long nothing may happen that must not */
#define TOGETHER 16  /* rounds */

static struct rig_hosts world; /* the only one: a scenario is a process */
static int16_t target = 5;

static void give_up(void) {
  rig_hosts_tell(&world);
  rig_hosts_close(&world);
  exit(1);
}

/* Turns until it is true. */
#define WAIT_FOR(condition)                                                                          \
  do {                                                                                               \
    for (uint64_t until_us = rig_now_us() + RIG_PATIENCE_US; !(condition); turn()) NEED(rig_now_us() < until_us); \
  } while (0)

/* ---- Steps ---------------------------------------------------------------------------------------------------------------------------------- */

static void nothing_old_was_accepted(void) {
  for (uint32_t joint = 0; joint < world.bus.joint_count; joint++) {
    struct rig_seen seen = rig_bus_seen_of(&world.bus, joint);
    NEED(seen.stale_accepted == 0 && !seen.two_owners);
  }
}

static void turn(void) {
  rig_hosts_turn(&world, target);
  usleep(2000);
}

static void start(int of) {
  NEED(rig_hosts_start(&world, of));
  NEED(rig_hosts_attach(&world, of));
}

/* A stopped or dead host is not asked. */
static int owner_of(int of, struct ipcnet_reflex_status *to) {
  int owner = rig_hosts_owner(&world, of, to);
  NEED(owner != RIG_HOSTS_WRONG);
  return owner;
}

static bool owns(int of) {
  struct ipcnet_reflex_status status;
  return owner_of(of, &status) >= 0;
}

/* This host (-1: any) owns the bus and is armed, and the joint accepts its commands. Acknowledged and armed where it is not: what `ordered` counts. Returns its epoch. */
static uint16_t wait_for_owner_of(int wanted, uint32_t joint, int *ordered) {
  uint64_t accepted = 0;
  uint16_t epoch = 0;
  for (uint64_t until_us = rig_now_us() + RIG_PATIENCE_US;; turn()) {
    struct ipcnet_reflex_status status;
    NEED(rig_now_us() < until_us);
    int of = wanted >= 0 ? wanted : owns(0) ? 0 : 1, instance = owner_of(of, &status);
    if (instance < 0) continue;
    if (status.arming != IPCNET_ARMED) {
      if (status.arming == IPCNET_POSED || status.arming == IPCNET_FAULT) (void)rig_hosts_order(&world, of, instance, IPCNET_ORDER_RESET);
      if (status.arming == IPCNET_DISARMED && rig_hosts_order(&world, of, instance, IPCNET_ORDER_ARM) == IPCNET_ANSWER_DONE) *ordered += 1;
      continue;
    }
    struct rig_seen seen = rig_bus_seen_of(&world.bus, joint);
    uint8_t owner = (uint8_t)(2 * of + instance);
    if (seen.owner != owner || seen.epoch != status.epoch) continue;
    if (epoch == seen.epoch && seen.accepted_of[owner] > accepted) break;
    epoch = seen.epoch;
    accepted = seen.accepted_of[owner];
  }
  nothing_old_was_accepted();
  return epoch;
}

static uint16_t wait_for_owner(int of, int *ordered) {
  return wait_for_owner_of(of, 0, ordered);
}

/* One host owns and the other one does not, and every joint follows the one that does. Returns which. */
static int wait_for_one(void) {
  for (uint64_t until_us = rig_now_us() + RIG_PATIENCE_US;; turn()) {
    NEED(rig_now_us() < until_us);
    struct ipcnet_reflex_status status;
    int of = owns(0) ? 0 : 1, instance = owner_of(of, &status);
    bool all = instance >= 0 && !owns(1 - of);
    for (uint32_t joint = 0; joint < world.bus.joint_count && all; joint++) {
      struct rig_seen seen = rig_bus_seen_of(&world.bus, joint);
      all = seen.epoch == status.epoch && seen.owner == 2 * of + instance;
    }
    if (all) return of;
  }
}

/* A host owns and is armed; the other one has listened and leaves it alone. Returns which. */
static int both_up(uint16_t *epoch) {
  int ordered = 0;
  for (int i = 0; i < 2; i++) NEED(rig_hosts_start(&world, i));
  for (int i = 0; i < 2; i++) NEED(rig_hosts_attach(&world, i));
  int of = wait_for_one();
  *epoch = wait_for_owner(of, &ordered);
  NEED((*epoch & 1u) == (unsigned)of); /* each host has its own epochs: also at the first start, without a table */
  return of;
}

static uint64_t accepted_by(uint32_t joint, int of) {
  struct rig_seen seen = rig_bus_seen_of(&world.bus, joint);
  return seen.accepted_of[2 * of] + seen.accepted_of[2 * of + 1];
}

static uint64_t accepted_of(int of) {
  return accepted_by(0, of);
}

/* So long that it would show: `of` goes on with the same epoch, of the other host nothing is accepted and it owns nothing. */
static void undisturbed(int of, uint16_t epoch, uint64_t accepted_of_the_other) {
  struct ipcnet_reflex_status status;
  for (int i = 0; i < OBSERVED; i++) turn();
  uint64_t accepted = accepted_of(of);
  WAIT_FOR(accepted_of(of) != accepted);
  NEED(accepted_of(1 - of) == accepted_of_the_other);
  NEED(rig_bus_seen(&world.bus).epoch == epoch);
  NEED(owner_of(of, &status) >= 0 && status.epoch == epoch);
  NEED(!owns(1 - of));
  nothing_old_was_accepted();
}

/* The other host has heard so many frames more: whatever it would do, it can do now. */
static void wait_until_heard(int of) {
  for (int instance = 0; instance < 2; instance++) {
    struct ipcnet_reflex_status status;
    if (world.hosts[of].processes[instance] == 0) continue;
    NEED(rig_hosts_status(&world, of, instance, &status));
    uint64_t wanted = status.received_frames + 500;
    WAIT_FOR(rig_hosts_status(&world, of, instance, &status) && status.received_frames >= wanted);
  }
}

/* ---- Scenarios: one host falls silent --------------------------------------------------------------------------------------------------------- */

static void a_killed_host_is_followed_by_the_other(void) {
  uint16_t epoch;
  int of = both_up(&epoch), inherited = 0;
  for (int round = 0; round < 3; round++) {
    NEED(rig_hosts_signal(&world, of, SIGKILL));
    rig_hosts_end(&world, of);
    int ordered = 0;
    rig_bus_drain(&world.bus);
    uint64_t accepted = accepted_of(of);
    uint16_t next = wait_for_owner(1 - of, &ordered);
    NEED((uint16_t)(next - epoch) < 0x8000u && next != epoch);
    epoch = next;
    inherited += ordered == 0;
    start(of);
    wait_until_heard(of);
    undisturbed(1 - of, epoch, accepted);
    of = 1 - of;
  }
  NEED(inherited > 0); /* armed as the one before was: a machine that stands still may cost that once */
}

static void a_stopped_host_is_harmless_when_it_goes_on(void) {
  uint16_t epoch;
  int of = both_up(&epoch);
  for (int round = 0; round < 2; round++) {
    int ordered = 0;
    NEED(rig_hosts_signal(&world, of, SIGSTOP));
    rig_bus_drain(&world.bus);
    uint64_t accepted = accepted_of(of);
    epoch = wait_for_owner(1 - of, &ordered);
    NEED(accepted_of(of) == accepted);
    NEED(rig_hosts_signal(&world, of, SIGCONT));
    for (int i = 0; i < OBSERVED; i++) turn();
    /* One of the two may have killed the other, which stood still. */
    rig_hosts_end(&world, of);
    NEED(accepted_of(of) == accepted);
    start(of);
    wait_until_heard(of);
    undisturbed(1 - of, epoch, accepted);
    of = 1 - of;
  }
}

static void a_host_whose_cable_is_cut_is_silent_by_itself(void) {
  uint16_t epoch;
  int of = both_up(&epoch);
  for (int round = 0; round < 2; round++) {
    int ordered = 0;
    rig_hosts_cut(&world, of);
    rig_bus_drain(&world.bus);
    uint64_t accepted = accepted_of(of);
    WAIT_FOR(!owns(of)); /* nobody told it */
    epoch = wait_for_owner(1 - of, &ordered);
    NEED(!owns(of));
    rig_hosts_cut(&world, -1);
    wait_until_heard(of);
    undisturbed(1 - of, epoch, accepted);
    of = 1 - of;
  }
}

/* ---- Scenarios: the wire breaks between them -------------------------------------------------------------------------------------------------- */

/* `of` with the first joint on this side, the other host with the second one beyond. */
static void break_the_wire(int of) {
  rig_bus_break(&world.bus, world.hosts[1 - of].group, 2);
  rig_bus_drain(&world.bus);
}

/* One host moves both joints, with one epoch. Returns which: a machine that stands still for longer than a lease may have given the bus to the other one meanwhile. */
static int both_joints_move(uint16_t *epoch) {
  int ordered = 0;
  for (uint64_t until_us = rig_now_us() + RIG_PATIENCE_US;;) {
    int of = wait_for_one();
    *epoch = wait_for_owner_of(-1, 0, &ordered);
    bool same = wait_for_owner_of(-1, 1, &ordered) == *epoch;
    if (same && (*epoch & 1u) == (unsigned)of && owns(of) && !owns(1 - of)) return of;
    NEED(rig_now_us() < until_us);
  }
}

/* Nobody is asked and nobody helps: one of them is left, and the other one is silent. */
static void whole_again(void) {
  uint16_t epoch;
  rig_bus_break(&world.bus, 0, 0);
  int of = both_joints_move(&epoch);
  uint64_t accepted[2] = {accepted_by(0, 1 - of), accepted_by(1, 1 - of)};
  wait_until_heard(1 - of);
  undisturbed(of, epoch, accepted[0]);
  NEED(accepted_by(1, 1 - of) == accepted[1]);
}

/* Any joint is enough to move: each half is commanded by the host that reaches it, and no joint ever by both. */
static void each_half_of_a_broken_bus_has_one_owner(void) {
  uint16_t epoch;
  int of = both_up(&epoch);
  for (int round = 0; round < 3; round++) {
    int ordered = 0;
    (void)wait_for_owner_of(of, 1, &ordered);
    break_the_wire(of);
    uint16_t beyond = wait_for_owner_of(1 - of, 1, &ordered), here = wait_for_owner_of(of, 0, &ordered);
    NEED((here & 1u) == (unsigned)of && (beyond & 1u) == (unsigned)(1 - of));
    uint64_t accepted[2] = {accepted_by(0, 1 - of), accepted_by(1, of)};
    for (int i = 0; i < OBSERVED; i++) turn();
    NEED(accepted_by(0, 1 - of) == accepted[0] && accepted_by(1, of) == accepted[1]);
    whole_again();
    of = wait_for_one();
  }
}

/* Each joint is a group of its own and required: whoever was armed poses, and neither half can be armed until the bus is whole. */
static void nothing_moves_where_a_group_is_missing(void) {
  struct ipcnet_reflex_status status;
  uint16_t epoch;
  target = 0; /* what the plan waits for */
  int instance;
  (void)both_up(&epoch);
  int of = both_joints_move(&epoch);
  uint64_t brakes = rig_bus_seen(&world.bus).brakes, accepted = accepted_by(1, 1 - of);
  break_the_wire(of);
  WAIT_FOR(owns(1 - of) && rig_bus_seen_of(&world.bus, 1).owner >> 1 == 1 - of);
  WAIT_FOR(owner_of(of, &status) >= 0 && status.arming == IPCNET_POSED);
  NEED(rig_bus_seen(&world.bus).brakes > brakes);
  WAIT_FOR((instance = owner_of(1 - of, &status)) >= 0);
  NEED(status.arming == IPCNET_DISARMED);
  NEED(rig_hosts_order(&world, 1 - of, instance, IPCNET_ORDER_ARM) != IPCNET_ANSWER_DONE);
  NEED(accepted_by(1, 1 - of) == accepted);
  whole_again();
}

/* ---- Scenarios: both claim -------------------------------------------------------------------------------------------------------------------- */

static bool all_outvoted_for(uint64_t rest_us, uint64_t *since_us) {
  bool all = true;
  for (int at = 0; at < 4; at++) {
    struct ipcnet_reflex_status status;
    all = all && rig_hosts_status(&world, at / 2, at % 2, &status) && status.role == IPCNET_TWIN_OUTVOTED;
  }
  if (!all || *since_us == 0) *since_us = all ? rig_now_us() : 0;
  return all && rig_now_us() - *since_us > rest_us;
}

/*
 * In each other round they have only been started together; in the others, four processes have claimed in vain, as no joint said anything, and wait for the first that speaks: then both
 * hosts claim in the same millisecond.
 */
static void of_two_that_claim_at_once_one_owns(void) {
  unsigned contests = 0, of_host[2] = {0};
  for (int round = 0; round < TOGETHER; round++) {
    int ordered = 0;
    uint64_t claims[2] = {0}, since_us = 0;
    bool mute = round % 2 == 0;
    atomic_store(&world.bus.mute, mute);
    for (int i = 0; i < 2; i++) NEED(rig_hosts_start(&world, i));
    for (int i = 0; i < 2; i++) NEED(rig_hosts_attach(&world, i));
    if (mute) WAIT_FOR(all_outvoted_for(1200000, &since_us)); /* longer than who was outvoted rests */
    for (int at = 0; at < 4; at++) {
      struct ipcnet_reflex_status status;
      if (rig_hosts_status(&world, at / 2, at % 2, &status)) claims[at / 2] -= status.claims_sent;
    }
    atomic_store(&world.bus.busy, mute);
    atomic_store(&world.bus.mute, false);
    int of = wait_for_one();
    for (int at = 0; at < 4; at++) {
      struct ipcnet_reflex_status status;
      if (rig_hosts_status(&world, at / 2, at % 2, &status)) claims[at / 2] += status.claims_sent;
    }
    contests += claims[0] > 0 && claims[1] > 0;
    of_host[of] += 1;
    (void)wait_for_owner_of(-1, 0, &ordered); /* with times as short as these a busy machine may change its mind */
    for (int i = 0; i < 2; i++) rig_hosts_end(&world, i);
    nothing_old_was_accepted();
  }
  NEED(contests > 0); /* else nothing was shown */
  printf("both claimed in %u of %d rounds; host 0 was left in %u, host 1 in %u\n", contests, TOGETHER, of_host[0], of_host[1]);
}

/* ---- Scenarios: a twin inherits what is no longer its host's ------------------------------------------------------------------------------------ */

/* The cable is cut, and in the time that the lease still has the owner dies: its twin, who has heard nothing of the cut, follows it at once. */
static void a_twin_that_inherits_a_cut_cable_is_silent_by_itself(void) {
  uint16_t epoch;
  int of = both_up(&epoch);
  for (int round = 0; round < 3; round++) {
    struct ipcnet_reflex_status status;
    int ordered = 0, instance = owner_of(of, &status);
    NEED(instance >= 0);
    rig_hosts_cut(&world, of);
    rig_hosts_end_one(&world, of, instance);
    rig_bus_drain(&world.bus);
    uint64_t accepted = accepted_of(of);
    epoch = wait_for_owner(1 - of, &ordered);
    WAIT_FOR(!owns(of));
    rig_hosts_cut(&world, -1);
    wait_until_heard(of);
    undisturbed(1 - of, epoch, accepted);
    NEED(rig_hosts_start_one(&world, of, instance) && rig_hosts_attach_one(&world, of, instance));
    of = 1 - of;
  }
}

static void only(int of, int instance, int signal_number) {
  NEED(kill(world.hosts[of].processes[instance], signal_number) == 0);
}

/* Both stand still until the other host works; then the twin goes on, and kills an owner who still stands. What that one leaves is not the twin's to inherit. */
static void a_twin_that_is_late_leaves_the_other_host_alone(void) {
  uint16_t epoch;
  int of = both_up(&epoch);
  for (int round = 0; round < 2; round++) {
    struct ipcnet_reflex_status status;
    int ordered = 0, instance = owner_of(of, &status), twin = 1 - instance;
    NEED(instance >= 0);
    for (int each = 0; each < 2; each++) only(of, each, SIGSTOP);
    rig_bus_drain(&world.bus);
    uint64_t accepted = accepted_of(of);
    epoch = wait_for_owner(1 - of, &ordered);
    pthread_mutex_lock(&world.lock);
    rig_brain_detach(&world.hosts[of].brain, instance); /* a stopped one is not asked */
    pthread_mutex_unlock(&world.lock);
    only(of, twin, SIGCONT);
    WAIT_FOR(rig_hosts_status(&world, of, twin, &status) && (status.role == IPCNET_TWIN_OUTVOTED || status.role == IPCNET_TWIN_OWNER));
    rig_hosts_end_one(&world, of, instance);
    wait_until_heard(of);
    undisturbed(1 - of, epoch, accepted);
    NEED(rig_hosts_start_one(&world, of, instance) && rig_hosts_attach_one(&world, of, instance));
    of = 1 - of;
  }
}

/* ---- Scenarios: asked to ------------------------------------------------------------------------------------------------------------------------- */

/* By an operator, to and fro; refused by whoever does not own, while its plan runs, before a reset, and when nobody is there to take it: then nothing has changed. */
static void a_host_hands_over_when_it_is_asked(void) {
  struct ipcnet_reflex_status status;
  uint16_t epoch;
  int of = both_up(&epoch), inherited = 0;
  for (int round = 0; round < 4; round++) {
    int ordered = 0, instance = owner_of(of, &status), answer = 0;
    NEED(rig_hosts_switch(&world, 1 - of, 0) == IPCNET_ANSWER_FAULT && rig_hosts_switch(&world, of, 1 - instance) == IPCNET_ANSWER_FAULT);
    /* The other one may need a moment until it could go on: it hears nodes that follow, and its brain. */
    WAIT_FOR((answer = rig_hosts_switch(&world, of, instance)) == IPCNET_ANSWER_DONE || !owns(of));
    uint64_t accepted = accepted_of(of);
    uint16_t next = wait_for_owner(1 - of, &ordered);
    NEED((uint16_t)(next - epoch) < 0x8000u && next != epoch);
    epoch = next;
    inherited += ordered == 0;
    wait_until_heard(of);
    undisturbed(1 - of, epoch, accepted);
    of = 1 - of;
  }
  NEED(inherited > 0);

  target = 0; /* what the plan waits for */
  WAIT_FOR(rig_bus_seen(&world.bus).reported == 0);
  int instance = owner_of(of, &status);
  pthread_mutex_lock(&world.lock);
  int answer = rig_brain_order(&world.hosts[of].brain, instance, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1);
  pthread_mutex_unlock(&world.lock);
  NEED(answer == IPCNET_ANSWER_DONE);
  for (status.arming = IPCNET_SAFE_POSE; status.arming != IPCNET_POSED; turn()) { /* the plan runs, then it has ended: neither is handed over before a reset */
    NEED(rig_hosts_switch(&world, of, instance) == IPCNET_ANSWER_FAULT);
    NEED(rig_hosts_status(&world, of, instance, &status) && (status.arming == IPCNET_SAFE_POSE || status.arming == IPCNET_POSED));
  }
  NEED(rig_hosts_switch(&world, of, instance) == IPCNET_ANSWER_FAULT);
}

/* Nobody is there who could take it. */
static void nobody_takes_it_and_nothing_changes(void) {
  struct ipcnet_reflex_status status;
  uint16_t epoch;
  int of = both_up(&epoch), instance = owner_of(of, &status);
  rig_hosts_end(&world, 1 - of);
  uint64_t accepted = accepted_of(1 - of);
  NEED(rig_hosts_switch(&world, of, instance) == IPCNET_ANSWER_FAULT);
  undisturbed(of, epoch, accepted);
}

/* ---- Scenarios: what they have in common ---------------------------------------------------------------------------------------------------------- */

static void they_share_the_bus_alone(void) {
  uint16_t epoch;
  (void)both_up(&epoch);
  for (int at = 0; at < 4; at++) NEED(getpgid(world.hosts[at / 2].processes[at % 2]) == world.hosts[at / 2].group);
  NEED(world.hosts[0].group != world.hosts[1].group && world.hosts[0].group != getpgrp());
  NEED(rig_hosts_share(&world, true) > 0); /* twins do, so it would be seen */
  NEED(rig_hosts_share(&world, false) == 0);
  printf("two process groups without a piece of memory in common%s\n", world.hosts[0].network >= 0 && world.hosts[1].network >= 0 ? ", each with a network of its own" : "; networks of their own are not allowed here");
}

#define LONG_TIMES .beat_period_us = 330000, .self_fence_us = 950000
#define SHORT_TIMES .beat_period_us = 60000, .self_fence_us = 150000

static const struct { const char *name; void (*run)(void); uint32_t quiet_us; struct rig_shared table; } SCENARIOS[] = {
  {"killedHost", a_killed_host_is_followed_by_the_other, 800000, {LONG_TIMES, .twin_deadline_us = 1000000}},
  {"stoppedHost", a_stopped_host_is_harmless_when_it_goes_on, 800000, {LONG_TIMES, .twin_deadline_us = 1000000}},
  {"cutHost", a_host_whose_cable_is_cut_is_silent_by_itself, 800000, {LONG_TIMES, .twin_deadline_us = 1000000}},
  {"brokenBus", each_half_of_a_broken_bus_has_one_owner, 800000, {LONG_TIMES, .twin_deadline_us = 1000000, .joints = RIG_ONE_GROUP}},
  {"brokenGroups", nothing_moves_where_a_group_is_missing, 800000, {LONG_TIMES, .twin_deadline_us = 1000000, .joints = RIG_TWO_GROUPS}},
  {"bothAtOnce", of_two_that_claim_at_once_one_owns, 130000, {SHORT_TIMES, .twin_deadline_us = 1000000}},
  {"inheritedCut", a_twin_that_inherits_a_cut_cable_is_silent_by_itself, 800000, {LONG_TIMES, .twin_deadline_us = 1000000}},
  {"lateTwin", a_twin_that_is_late_leaves_the_other_host_alone, 800000, {LONG_TIMES, .twin_deadline_us = 1000000}},
  {"handOver", a_host_hands_over_when_it_is_asked, 800000, {LONG_TIMES, .twin_deadline_us = 1000000}},
  {"handOverToNobody", nobody_takes_it_and_nothing_changes, 800000, {LONG_TIMES, .twin_deadline_us = 1000000}},
  {"apart", they_share_the_bus_alone, 800000, {LONG_TIMES, .twin_deadline_us = 1000000}},
};

int main(int argc, char **argv) {
  static const char *const EXTRA[] = {"--no-realtime", NULL};
  if (argc < 3) return 2;
  signal(SIGPIPE, SIG_IGN);
  for (size_t i = 0; i < sizeof SCENARIOS / sizeof SCENARIOS[0]; i++) {
    if (strcmp(SCENARIOS[i].name, argv[2]) != 0) continue;
    const struct rig_hosts_options options = {.program = argv[1], .extra = EXTRA, .table = SCENARIOS[i].table, .quiet_us = SCENARIOS[i].quiet_us};
    NEED(rig_hosts_open(&world, &options));
    SCENARIOS[i].run();
    rig_hosts_close(&world);
    return 0;
  }
  return 2;
}
