/*
 * failover_bench: how long the bus is without an owner. Two real processes, a real node's rules (drivers/nodekit) on an emulated bus served here, a producer of set-points at 1 kHz, and on
 * request burners that keep every processor and the memory busy. The owner is killed, or stopped, again and again; measured is from just before the signal until
 * the node has read the successor's CLAIM, and until it has accepted its first command.
 *
 *   failover_bench --program PATH [--kills N] [--stops N] [--switches N] [--quiet-s N] [--burners N] [--seed N] [-- extra arguments of the program]
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../rig/brain.h"
#include "../rig/bus.h"
#include "../rig/processes.h"
#include "../rig/table.h"
#include "measure.h"

#define WAIT_US 10000000u

struct bench {
  const char *program;
  const char *const *extra;
  struct rig_place place;
  struct rig_bus bus;
  struct rig_brain brain;
  pthread_mutex_t lock; /* of the brain */
  pthread_t producer;
  volatile bool done;
  pid_t processes[2];
  struct measure_load load;
  uint32_t random;
  uint64_t expected_owners, lost, late_turns, turns;
};

/* ---- Producer ------------------------------------------------------------------------------------------------------------------------------------ */

static void *produce(void *argument) {
  struct bench *self = argument;
  for (int16_t target = 0; !self->done; target = (int16_t)((target + 1) % 900)) {
    pthread_mutex_lock(&self->lock);
    rig_brain_turn(&self->brain, target);
    pthread_mutex_unlock(&self->lock);
    usleep(1000);
  }
  return NULL;
}

/* ---- Steps --------------------------------------------------------------------------------------------------------------------------------------- */

static void fail(const char *what) {
  fprintf(stderr, "failover_bench: %s\n", what);
  exit(1);
}

static void attach(struct bench *self, int instance) {
  uint64_t until_us = rig_now_us() + WAIT_US;
  bool there = false;
  while (!there && rig_now_us() < until_us) {
    pthread_mutex_lock(&self->lock);
    there = rig_brain_attach(&self->brain, instance);
    pthread_mutex_unlock(&self->lock);
    if (!there) usleep(2000);
  }
  if (!there) fail("a reflex does not answer");
}

static struct ipcnet_reflex_status status_of(struct bench *self, int instance) {
  struct ipcnet_reflex_status status = {0};
  pthread_mutex_lock(&self->lock);
  bool good = rig_brain_status(&self->brain, instance, &status);
  pthread_mutex_unlock(&self->lock);
  if (!good) fail("no status");
  return status;
}

/* One owner whose commands are accepted, one standby that sees it and has the next epoch on disk. */
static int settle(struct bench *self) {
  for (uint64_t until_us = rig_now_us() + WAIT_US; rig_now_us() < until_us; usleep(2000)) {
    struct ipcnet_reflex_status status[2] = {status_of(self, 0), status_of(self, 1)};
    int owner = status[0].role == IPCNET_TWIN_OWNER ? 0 : 1;
    const struct ipcnet_reflex_status *of = &status[owner], *other = &status[1 - owner];
    bool ready = of->role == IPCNET_TWIN_OWNER && other->role == IPCNET_TWIN_STANDBY && other->twin_pid == of->pid && of->twin_pid == other->pid && (other->features & IPCNET_REFLEX_EPOCH_RESERVED);
    if (!ready) continue;
    if (of->arming == IPCNET_DISARMED) {
      pthread_mutex_lock(&self->lock);
      (void)rig_brain_order(&self->brain, owner, IPCNET_ORDER_ARM, 0, 0);
      pthread_mutex_unlock(&self->lock);
      continue;
    }
    struct rig_seen seen = rig_bus_seen(&self->bus);
    if (of->arming == IPCNET_ARMED && seen.epoch == of->epoch && seen.accepted_us != 0 && rig_now_us() - seen.last_accepted_us < 20000) return owner;
  }
  for (int i = 0; i < 2; i++) {
    struct ipcnet_reflex_status status = status_of(self, i);
    struct rig_seen seen = rig_bus_seen(&self->bus);
    fprintf(stderr, "%c: role %u, arming %u, epoch %u, missing %u, malfunction %u, trigger %u latched %u, bus phase %u, features %u, twin %u of %u; the node follows %u, last command %llu us ago\n", 'a' + i, status.role, status.arming,
      status.epoch, status.missing_count, status.malfunction, status.trigger, status.trigger_latched, status.bus_phases[0], status.features, status.twin_pid, status.pid, seen.epoch, (unsigned long long)(rig_now_us() - seen.last_accepted_us));
    struct ipcnet_packet answer;
    uint8_t order[20] = {IPCNET_ORDER_ARM}, body[1024] = {0};
    size_t length = 0;
    if (rig_brain_ask(&self->brain, i, IPCNET_PACKET_ORDER, order, sizeof order, -1, &answer, body, &length)) for (size_t at = 4; at + 4 <= length; at += 4) fprintf(stderr, "   missing %u of %u\n", body[at] | body[at + 1] << 8, body[at + 2] | body[at + 3] << 8);
    for (int why = 1; why < 16; why++) if (status.refused[why] > 0) fprintf(stderr, "   refused %d: %llu\n", why, (unsigned long long)status.refused[why]);
  }
  fail("no owner and standby within ten seconds");
  return 0;
}

/* Waits until the node follows somebody newer and has accepted a command of his. */
static bool wait_for_successor(struct bench *self, uint64_t followed_before, struct rig_seen *seen) {
  for (uint64_t until_us = rig_now_us() + WAIT_US; rig_now_us() < until_us;) {
    *seen = rig_bus_seen(&self->bus);
    if (seen->followed > followed_before && seen->accepted_us != 0) return true;
    rig_bus_wait(&self->bus, until_us);
  }
  return false;
}

static void restart(struct bench *self, int instance) {
  while (waitpid(-1, NULL, WNOHANG | __WALL) > 0) { } /* what the dead one had forked is ours now */
  self->processes[instance] = rig_start(self->program, instance, self->place.run, self->place.state, NULL, self->extra);
  if (self->processes[instance] == 0) fail("the program cannot be started");
  attach(self, instance);
}

enum blow { KILL, STOP, SWITCH };

static void one(struct bench *self, enum blow blow, struct measure_series *claim, struct measure_series *command) {
  int owner = settle(self);
  usleep(measure_random(&self->random) % 20000);
  struct ipcnet_reflex_status before = status_of(self, owner);
  struct rig_seen seen = rig_bus_seen(&self->bus);
  uint64_t followed = seen.followed;
  if (before.role != IPCNET_TWIN_OWNER) fail("the owner changed by itself");
  uint64_t start_us = rig_now_us();
  if (blow == SWITCH) {
    pthread_mutex_lock(&self->lock);
    start_us = rig_now_us();
    int answer = rig_brain_switch(&self->brain, owner);
    pthread_mutex_unlock(&self->lock);
    if (answer != IPCNET_ANSWER_DONE) fail("the hand-over was refused");
  } else {
    kill(self->processes[owner], blow == KILL ? SIGKILL : SIGSTOP);
  }
  if (!wait_for_successor(self, followed, &seen)) self->lost += 1;
  else {
    measure_add(claim, seen.followed_us - start_us);
    measure_add(command, seen.accepted_us - start_us);
  }
  self->expected_owners += 1;
  struct ipcnet_reflex_status after = status_of(self, 1 - owner);
  self->late_turns += after.late_turns;
  self->turns += after.turns;
  if (blow == SWITCH) return;
  kill(self->processes[owner], SIGCONT); /* a fenced one must not come back to life */
  pthread_mutex_lock(&self->lock);
  rig_brain_detach(&self->brain, owner);
  pthread_mutex_unlock(&self->lock);
  rig_kill(self->processes[owner]);
  restart(self, owner);
}

int main(int argc, char **argv) {
  static struct bench self;
  unsigned long kills = 100, stops = 20, switches = 20, quiet_s = 0, burners = 0, seed = 1;
  const struct measure_option options[] = {{"--program", .text = &self.program}, {"--kills", .number = &kills}, {"--stops", .number = &stops}, {"--switches", .number = &switches}, {"--quiet-s", .number = &quiet_s}, {"--burners", .number = &burners}, {"--seed", .number = &seed}};
  if (!measure_arguments(argc, argv, options, sizeof options / sizeof options[0], &self.extra)) fail("not understood: an argument");
  if (self.program == NULL) fail("--program is needed");
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  self.random = (uint32_t)seed * 2654435761u | 1u;
  if (!rig_place_make(&self.place, "failover")) fail("no temporary folder");
  size_t length = 0;
  uint8_t *table = rig_joint_table(self.place.socket, 1, 10000, &length);
  pthread_mutex_init(&self.lock, NULL);
  if (!rig_bus_start(&self.bus, self.place.socket, 60, NULL) || !rig_brain_open(&self.brain, self.place.run, table, length)) fail("no bus or no brain");
  measure_load_start(&self.load, (int)burners);
  restart(&self, 0);
  restart(&self, 1);
  pthread_create(&self.producer, NULL, produce, &self);
  /* The producer is a brain's stand-in: it needs its millisecond, not more. */
  struct sched_param parameters = {.sched_priority = 20};
  bool realtime = pthread_setschedparam(self.producer, SCHED_FIFO, &parameters) == 0;
  int owner = settle(&self);
  struct ipcnet_reflex_status status = status_of(&self, owner);
  printf("reflex: realtime %s, memory locked %s, robust word %s; burners %d; producer 1 kHz%s; seed %lu\n", status.features & IPCNET_REFLEX_REALTIME ? "yes" : "no", status.features & IPCNET_REFLEX_LOCKED ? "yes" : "no",
    status.features & IPCNET_REFLEX_DETECTOR ? "yes" : "no", self.load.count, realtime ? "" : " (not realtime)", seed);

  uint64_t quiet_before = rig_bus_seen(&self.bus).followed;
  sleep((unsigned)quiet_s);
  uint64_t quiet_changes = rig_bus_seen(&self.bus).followed - quiet_before;
  uint64_t before = rig_bus_seen(&self.bus).followed;
  struct measure_series all[] = {measure_series("crash → CLAIM followed"), measure_series("crash → first command accepted"), measure_series("hang → CLAIM followed"), measure_series("hang → first command accepted"),
    measure_series("hand-over asked → CLAIM followed"), measure_series("hand-over asked → first command accepted")};
  for (unsigned long i = 0; i < kills; i++) one(&self, KILL, &all[0], &all[1]);
  for (unsigned long i = 0; i < stops; i++) one(&self, STOP, &all[2], &all[3]);
  for (unsigned long i = 0; i < switches; i++) one(&self, SWITCH, &all[4], &all[5]);
  settle(&self);
  struct rig_seen seen = rig_bus_seen(&self.bus);
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) measure_tell(&all[i]);
  printf("\nowners that nobody asked for: %llu (and %llu in %lu quiet seconds); takeovers that never came: %llu; stale frames accepted: %llu; commands accepted %llu, refused %llu; loop late %llu of %llu turns\n",
    (unsigned long long)(seen.followed - before - self.expected_owners), (unsigned long long)quiet_changes, quiet_s, (unsigned long long)self.lost, (unsigned long long)seen.stale_accepted,
    (unsigned long long)seen.accepted, (unsigned long long)seen.refused, (unsigned long long)self.late_turns, (unsigned long long)self.turns);
  self.done = true;
  pthread_join(self.producer, NULL);
  rig_kill(self.processes[0]);
  rig_kill(self.processes[1]);
  measure_load_stop(&self.load);
  rig_brain_close(&self.brain);
  rig_bus_stop(&self.bus);
  rig_remove(self.place.root);
  return seen.stale_accepted == 0 && self.lost == 0 && !seen.two_owners ? 0 : 1;
}
