/*
 * host_scenarios: what must hold of two hosts on one bus, one scenario at a time: `reflex_hosts PROGRAM SCENARIO`. Each host is two real processes with a run and a state folder, a table and a brain of its own;
 * on the bus stands a joint that is their witness. Nothing here asserts how long something takes; the times of the table are long, so that a busy machine looks like no dead host.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "brain.h"
#include "bus.h"
#include "processes.h"
#include "table.h"

#define PATIENCE_US 60000000u
#define BEAT_US 330000u
#define SELF_FENCE_US 950000u
#define QUIET_US 800000u
#define OBSERVED 400 /* turns of 2 ms: so long nothing may happen that must not */

struct host { char run[96], state[96]; struct rig_brain brain; pid_t processes[2]; };

struct world {
  const char *program;
  char root[64], socket[96];
  struct rig_bus bus;
  struct host hosts[2];
  const char *extra[4];
};

static struct world world; /* the only one: a scenario is a process */

#define NEED(condition)                                                                              \
  do {                                                                                               \
    if (!(condition)) {                                                                              \
      fprintf(stderr, "%s:%d: %s: not true: %s\n", __FILE__, __LINE__, __func__, #condition);        \
      give_up();                                                                                     \
    }                                                                                                \
  } while (0)

static void tell_log(const struct host *host, int instance) {
  char path[140], text[4096];
  snprintf(path, sizeof path, "%s/reflex-%c.log", host->run, 'a' + instance);
  FILE *file = fopen(path, "r");
  if (file == NULL) return;
  text[fread(text, 1, sizeof text - 1, file)] = '\0';
  fputs(text, stderr);
  fclose(file);
}

static void give_up(void) {
  struct rig_seen seen = rig_bus_seen(&world.bus);
  fprintf(stderr, "the joint follows %u of %u; commands accepted of each owner: %llu %llu %llu %llu\n", seen.epoch, seen.owner, (unsigned long long)seen.accepted_of[0], (unsigned long long)seen.accepted_of[1],
    (unsigned long long)seen.accepted_of[2], (unsigned long long)seen.accepted_of[3]);
  for (int at = 0; at < 4; at++) {
    struct host *host = &world.hosts[at / 2];
    struct ipcnet_reflex_status status;
    fprintf(stderr, "host %d, %c:\n", at / 2, 'a' + at % 2);
    tell_log(host, at % 2);
    kill(host->processes[at % 2], SIGCONT);
    if (host->brain.links[at % 2].fd >= 0 && rig_brain_status(&host->brain, at % 2, &status))
      fprintf(stderr, "role %u, arming %u, epoch %u, missing %u, malfunction %u, phase %u\n", status.role, status.arming, status.epoch, status.missing_count, status.malfunction, status.bus_phases[0]);
  }
  for (int at = 0; at < 4; at++) rig_kill(world.hosts[at / 2].processes[at % 2]);
  rig_remove(world.root);
  exit(1);
}

/* ---- Steps ---------------------------------------------------------------------------------------------------------------------------------- */

static void turn(void) {
  for (int i = 0; i < 2; i++) rig_brain_turn(&world.hosts[i].brain, 5);
  usleep(2000);
}

static void attach(int of) {
  struct host *host = &world.hosts[of];
  for (int instance = 0; instance < 2; instance++) {
    for (uint64_t until_us = rig_now_us() + PATIENCE_US; !rig_brain_attach(&host->brain, instance); usleep(5000)) NEED(rig_now_us() < until_us);
  }
}

static void start(int of) {
  struct host *host = &world.hosts[of];
  for (int instance = 0; instance < 2; instance++) {
    host->processes[instance] = rig_start(world.program, instance, host->run, host->state, NULL, world.extra);
    NEED(host->processes[instance] != 0);
  }
}

static void end(int of) {
  struct host *host = &world.hosts[of];
  for (int instance = 0; instance < 2; instance++) {
    rig_brain_detach(&host->brain, instance);
    rig_kill(host->processes[instance]);
    host->processes[instance] = 0;
  }
}

static void blow(int of, int signal_number) {
  for (int instance = 0; instance < 2; instance++) NEED(kill(world.hosts[of].processes[instance], signal_number) == 0);
}

static void cut(int of) {
  for (int instance = 0; instance < 2; instance++) atomic_store(&world.bus.cut_pids[instance], of >= 0 ? world.hosts[of].processes[instance] : 0);
}

/* Which of its processes owns the bus; -1 none. `to`: its status. A stopped or dead host is not asked. */
static int owner_of(int of, struct ipcnet_reflex_status *to) {
  struct host *host = &world.hosts[of];
  int owner = -1;
  for (int instance = 0; instance < 2; instance++) {
    struct ipcnet_reflex_status status;
    if (host->brain.links[instance].fd < 0 || !rig_brain_status(&host->brain, instance, &status)) continue;
    NEED(status.malfunction == IPCNET_MALFUNCTION_NONE);
    if (status.role != IPCNET_TWIN_OWNER) continue;
    NEED(owner < 0);
    owner = instance;
    *to = status;
  }
  return owner;
}

static void nothing_old_was_accepted(void) {
  struct rig_seen seen = rig_bus_seen(&world.bus);
  NEED(seen.stale_accepted == 0 && !seen.two_owners);
}

/* This host owns the bus and is armed, and the joint accepts its commands. Acknowledged and armed where it is not: what `ordered` counts. Returns its epoch. */
static uint16_t wait_for_owner(int of, int *ordered) {
  uint64_t accepted = 0;
  uint16_t epoch = 0;
  for (uint64_t until_us = rig_now_us() + PATIENCE_US;; turn()) {
    struct ipcnet_reflex_status status;
    NEED(rig_now_us() < until_us);
    int instance = owner_of(of, &status);
    if (instance < 0) continue;
    if (status.arming != IPCNET_ARMED) {
      if (status.arming == IPCNET_POSED || status.arming == IPCNET_FAULT) (void)rig_brain_order(&world.hosts[of].brain, instance, IPCNET_ORDER_RESET, 0, 0);
      if (status.arming == IPCNET_DISARMED && rig_brain_order(&world.hosts[of].brain, instance, IPCNET_ORDER_ARM, 0, 0) == IPCNET_ANSWER_DONE) *ordered += 1;
      continue;
    }
    struct rig_seen seen = rig_bus_seen(&world.bus);
    uint8_t owner = (uint8_t)(2 * of + instance);
    if (seen.owner != owner || seen.epoch != status.epoch) continue;
    if (epoch == seen.epoch && seen.accepted_of[owner] > accepted) break;
    epoch = seen.epoch;
    accepted = seen.accepted_of[owner];
  }
  nothing_old_was_accepted();
  return epoch;
}

/* A host owns and is armed; the other one has listened and leaves it alone. Returns which. */
static int both_up(uint16_t *epoch) {
  struct ipcnet_reflex_status status;
  int ordered = 0, of;
  for (int i = 0; i < 2; i++) start(i);
  for (int i = 0; i < 2; i++) attach(i);
  for (uint64_t until_us = rig_now_us() + PATIENCE_US;; turn()) {
    NEED(rig_now_us() < until_us);
    of = owner_of(0, &status) >= 0 ? 0 : 1;
    if (owner_of(of, &status) >= 0 && owner_of(1 - of, &status) < 0) break;
  }
  *epoch = wait_for_owner(of, &ordered);
  NEED((*epoch & 1u) == (unsigned)of); /* each host has its own epochs: also at the first start, without a table */
  return of;
}

static uint64_t accepted_of(int of) {
  struct rig_seen seen = rig_bus_seen(&world.bus);
  return seen.accepted_of[2 * of] + seen.accepted_of[2 * of + 1];
}

/* So long that it would show: `of` goes on with the same epoch, of the other host nothing is accepted and it owns nothing. */
static void undisturbed(int of, uint16_t epoch, uint64_t accepted_of_the_other) {
  struct ipcnet_reflex_status status;
  for (int i = 0; i < OBSERVED; i++) turn();
  uint64_t accepted = accepted_of(of);
  for (uint64_t until_us = rig_now_us() + PATIENCE_US; accepted_of(of) == accepted; turn()) NEED(rig_now_us() < until_us);
  NEED(accepted_of(1 - of) == accepted_of_the_other);
  NEED(rig_bus_seen(&world.bus).epoch == epoch);
  NEED(owner_of(of, &status) >= 0 && status.epoch == epoch);
  NEED(owner_of(1 - of, &status) < 0);
  nothing_old_was_accepted();
}

/* The other host has heard so many frames more: whatever it would do, it can do now. */
static void wait_until_heard(int of) {
  struct host *host = &world.hosts[of];
  for (int instance = 0; instance < 2; instance++) {
    struct ipcnet_reflex_status status;
    NEED(rig_brain_status(&host->brain, instance, &status));
    uint64_t wanted = status.received_frames + 500;
    for (uint64_t until_us = rig_now_us() + PATIENCE_US; status.received_frames < wanted; turn()) NEED(rig_now_us() < until_us && rig_brain_status(&host->brain, instance, &status));
  }
}

/* ---- Scenarios -------------------------------------------------------------------------------------------------------------------------------- */

static void a_killed_host_is_followed_by_the_other(void) {
  uint16_t epoch;
  int of = both_up(&epoch), inherited = 0;
  for (int round = 0; round < 3; round++) {
    blow(of, SIGKILL);
    end(of);
    int ordered = 0;
    rig_bus_drain(&world.bus);
    uint64_t accepted = accepted_of(of);
    uint16_t next = wait_for_owner(1 - of, &ordered);
    NEED((uint16_t)(next - epoch) < 0x8000u && next != epoch);
    epoch = next;
    inherited += ordered == 0;
    start(of);
    attach(of);
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
    blow(of, SIGSTOP);
    rig_bus_drain(&world.bus);
    uint64_t accepted = accepted_of(of);
    epoch = wait_for_owner(1 - of, &ordered);
    NEED(accepted_of(of) == accepted);
    blow(of, SIGCONT);
    for (int i = 0; i < OBSERVED; i++) turn();
    /* One of the two may have killed the other, which stood still. */
    end(of);
    NEED(accepted_of(of) == accepted);
    start(of);
    attach(of);
    wait_until_heard(of);
    undisturbed(1 - of, epoch, accepted);
    of = 1 - of;
  }
}

static void a_host_whose_cable_is_cut_is_silent_by_itself(void) {
  uint16_t epoch;
  int of = both_up(&epoch);
  for (int round = 0; round < 2; round++) {
    struct ipcnet_reflex_status status;
    int ordered = 0;
    cut(of);
    rig_bus_drain(&world.bus);
    uint64_t accepted = accepted_of(of);
    for (uint64_t until_us = rig_now_us() + PATIENCE_US; owner_of(of, &status) >= 0; turn()) NEED(rig_now_us() < until_us); /* nobody told it */
    epoch = wait_for_owner(1 - of, &ordered);
    NEED(owner_of(of, &status) < 0);
    cut(-1);
    wait_until_heard(of);
    undisturbed(1 - of, epoch, accepted);
    of = 1 - of;
  }
}

static const struct { const char *name; void (*run)(void); } SCENARIOS[] = {
  {"killedHost", a_killed_host_is_followed_by_the_other},
  {"stoppedHost", a_stopped_host_is_harmless_when_it_goes_on},
  {"cutHost", a_host_whose_cable_is_cut_is_silent_by_itself},
};

static void open_host(int of) {
  struct host *host = &world.hosts[of];
  size_t length = 0;
  uint8_t *table = rig_shared_table(world.socket, 1, &(struct rig_shared){.host = (uint8_t)of, .beat_period_us = BEAT_US, .self_fence_us = SELF_FENCE_US}, &length);
  snprintf(host->run, sizeof host->run, "%s/run%d", world.root, of);
  snprintf(host->state, sizeof host->state, "%s/state%d", world.root, of);
  mkdir(host->run, 0700);
  mkdir(host->state, 0700);
  NEED(rig_brain_open(&host->brain, host->run, table, length));
  free(table);
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  world.program = argv[1];
  world.extra[0] = "--no-realtime";
  signal(SIGPIPE, SIG_IGN);
  snprintf(world.root, sizeof world.root, "/tmp/ipcnet-hosts-XXXXXX");
  if (mkdtemp(world.root) == NULL) return 2;
  snprintf(world.socket, sizeof world.socket, "%s/bus", world.root);
  NEED(rig_bus_start(&world.bus, world.socket, 0, NULL));
  rig_bus_says_quiet_after(&world.bus, QUIET_US);
  for (int i = 0; i < 2; i++) open_host(i);
  for (size_t i = 0; i < sizeof SCENARIOS / sizeof SCENARIOS[0]; i++) {
    if (strcmp(SCENARIOS[i].name, argv[2]) != 0) continue;
    SCENARIOS[i].run();
    for (int of = 0; of < 2; of++) {
      end(of);
      rig_brain_close(&world.hosts[of].brain);
    }
    rig_bus_stop(&world.bus);
    rig_remove(world.root);
    return 0;
  }
  return 2;
}
