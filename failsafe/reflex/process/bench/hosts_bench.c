/*
 * hosts_bench: two hosts on one bus. Each is two real processes in a group of their own (rig/hosts.h), with a brain's stand-in that commands at 1 kHz; on the emulated bus stands a joint with the rules of
 * drivers/nodekit. The host that owns the bus is killed with everything on it, stopped and continued, cut off and joined again, or asked to hand over; measured is from just before that until
 * the joint has read the other host's CLAIM, and until it has accepted its first command. Who was stopped or cut off must have given up by itself; who comes back must not take what works.
 *
 *   hosts_bench --program PATH [--kills N] [--stops N] [--cuts N] [--switches N] [--beat-us N] [--fence-us N] [--quiet-us N] [--twin-us N] [--burners N] [--seed N] [-- extra arguments of the program]
 */
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../rig/hosts.h"
#include "../rig/processes.h"
#include "measure.h"

enum blow { KILL, STOP, CUT, SWITCH, BLOWS };

struct bench {
  struct rig_hosts rig;
  pthread_t producer;
  volatile bool done;
  struct measure_load load;
  uint32_t random;
  uint64_t blows, took_back, armed_again, not_armed, died;
};

static void fail(struct bench *self, const char *what) {
  fprintf(stderr, "hosts_bench: %s\n", what);
  if (self->rig.root[0] != '\0') rig_hosts_tell(&self->rig);
  exit(1);
}

static void *produce(void *argument) {
  struct bench *self = argument;
  for (int16_t target = 0; !self->done; target = (int16_t)((target + 1) % 900)) {
    rig_hosts_turn(&self->rig, target);
    usleep(1000);
  }
  return NULL;
}

/* ---- Steps -------------------------------------------------------------------------------------------------------------------------------------- */

static void start(struct bench *self, int of, int instance) {
  if (!rig_hosts_start_one(&self->rig, of, instance)) fail(self, "the program cannot be started");
  if (!rig_hosts_attach_one(&self->rig, of, instance)) fail(self, "a reflex does not answer");
}

static bool arm(struct bench *self, int of, int instance, uint8_t arming) {
  if (arming == IPCNET_ARMED) return true;
  if (arming != IPCNET_DISARMED) (void)rig_hosts_order(&self->rig, of, instance, IPCNET_ORDER_RESET);
  else if (rig_hosts_order(&self->rig, of, instance, IPCNET_ORDER_ARM) == IPCNET_ANSWER_DONE) self->armed_again += 1;
  return false;
}

/* Both have given up the bus or never had it, and know the next epoch that they would claim with. */
static bool stands_by(struct bench *self, int of) {
  for (int instance = 0; instance < 2; instance++) {
    struct ipcnet_reflex_status status;
    if (!rig_hosts_status(&self->rig, of, instance, &status)) fail(self, "no status");
    if (status.role != IPCNET_TWIN_OUTVOTED || !(status.features & IPCNET_REFLEX_EPOCH_RESERVED)) return false;
  }
  return true;
}

/* One host owns and is armed, and its commands are accepted; its twin and the other host stand by. Returns which. */
static int settle(struct bench *self, int *instance) {
  for (uint64_t until_us = rig_now_us() + RIG_PATIENCE_US; rig_now_us() < until_us; usleep(2000)) {
    struct ipcnet_reflex_status status, twin;
    int of = 0, owner = -1;
    for (int each = 0; each < 2 && owner < 0; each++) {
      of = each;
      owner = rig_hosts_owner(&self->rig, of, &status);
      if (owner == RIG_HOSTS_WRONG) fail(self, "two own the bus, or one has stopped");
    }
    if (owner < 0 || !arm(self, of, owner, status.arming) || !stands_by(self, 1 - of)) continue;
    if (!rig_hosts_status(&self->rig, of, 1 - owner, &twin) || twin.role != IPCNET_TWIN_STANDBY) continue;
    struct rig_seen seen = rig_bus_seen(&self->rig.bus);
    *instance = owner;
    if (seen.epoch == status.epoch && seen.accepted_us != 0 && rig_now_us() - seen.last_accepted_us < 20000) return of;
  }
  fail(self, "no owner and no host that stands by");
  return 0;
}

/* The first command of the other host: not of the twin, which may be quicker where a host was only slow. A machine that stood still may have cost it the going on: then it is armed by hand, and `*goes_on` is false. */
static struct rig_seen wait_for_successor(struct bench *self, int of, bool *goes_on) {
  uint64_t start_us = rig_now_us();
  for (uint64_t until_us = start_us + RIG_PATIENCE_US; rig_now_us() < until_us; rig_bus_wait(&self->rig.bus, rig_now_us() + 100000)) {
    struct rig_seen seen = rig_bus_seen(&self->rig.bus);
    struct ipcnet_reflex_status status;
    if (seen.owner >> 1 != of && seen.accepted_us != 0) return seen;
    if (rig_now_us() < start_us + 1000000) continue;
    *goes_on = false;
    int owner = rig_hosts_owner(&self->rig, 1 - of, &status);
    if (owner >= 0) (void)arm(self, 1 - of, owner, status.arming);
  }
  fail(self, "nobody took over");
  return (struct rig_seen){0};
}

/* Nobody has told it to. Who was stopped may have been killed by its twin: then it is there again afterwards. */
static void wait_silent(struct bench *self, int of) {
  for (int instance = 0; instance < 2; instance++) {
    if (waitpid(self->rig.hosts[of].processes[instance], NULL, WNOHANG) <= 0) continue;
    self->rig.hosts[of].processes[instance] = 0;
    rig_hosts_end_one(&self->rig, of, instance);
    self->died += 1;
    start(self, of, instance);
  }
  for (uint64_t until_us = rig_now_us() + RIG_PATIENCE_US; rig_now_us() < until_us; usleep(1000)) {
    struct ipcnet_reflex_status status;
    if (rig_hosts_owner(&self->rig, of, &status) == -1) return;
  }
  fail(self, "who was outvoted does not give up");
}

static void one(struct bench *self, enum blow blow, struct measure_series *claim, struct measure_series *command) {
  int instance = 0, of = settle(self, &instance);
  usleep(measure_random(&self->random) % 20000); /* nothing of ours is in step with it */
  uint64_t start_us = rig_now_us();
  if (blow == SWITCH && rig_hosts_switch(&self->rig, of, instance) != IPCNET_ANSWER_DONE) fail(self, "the hand-over to the other host was refused");
  if (blow == CUT) rig_hosts_cut(&self->rig, of);
  if (blow == KILL || blow == STOP) (void)rig_hosts_signal(&self->rig, of, blow == KILL ? SIGKILL : SIGSTOP);
  bool goes_on = true;
  struct rig_seen seen = wait_for_successor(self, of, &goes_on);
  if (goes_on) {
    measure_add(claim, seen.followed_us > start_us ? seen.followed_us - start_us : 0);
    measure_add(command, seen.accepted_us > start_us ? seen.accepted_us - start_us : 0);
  } else {
    self->not_armed += 1;
  }
  self->blows += 1;

  if (blow == STOP) (void)rig_hosts_signal(&self->rig, of, SIGCONT);
  if (blow == STOP || blow == CUT) wait_silent(self, of);
  if (blow == CUT) rig_hosts_cut(&self->rig, -1);
  if (blow == KILL) {
    rig_hosts_end(&self->rig, of);
    for (int each = 0; each < 2; each++) start(self, of, each);
  }
  if (settle(self, &instance) == of) self->took_back += 1;
}

/* ---- All of it ------------------------------------------------------------------------------------------------------------------------------------ */

int main(int argc, char **argv) {
  static struct bench self;
  struct rig_hosts_options of = {.bus_priority = 60};
  unsigned long counts[BLOWS] = {100, 10, 10, 10}, beat = 5000, fence = 12000, quiet = 10000, twin = 10000, burners = 0, seed = 1;
  const struct measure_option options[] = {{"--program", .text = &of.program}, {"--kills", .number = &counts[KILL]}, {"--stops", .number = &counts[STOP]}, {"--cuts", .number = &counts[CUT]},
    {"--switches", .number = &counts[SWITCH]}, {"--beat-us", .number = &beat}, {"--fence-us", .number = &fence}, {"--quiet-us", .number = &quiet}, {"--twin-us", .number = &twin}, {"--burners", .number = &burners},
    {"--seed", .number = &seed}};
  if (!measure_arguments(argc, argv, options, sizeof options / sizeof options[0], &of.extra)) fail(&self, "not understood: an argument");
  if (of.program == NULL) fail(&self, "--program is needed");
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  self.random = (uint32_t)seed * 2654435761u | 1u;
  of.table = (struct rig_shared){.beat_period_us = (uint32_t)beat, .self_fence_us = (uint32_t)fence, .twin_deadline_us = (uint32_t)twin};
  of.quiet_us = (uint32_t)quiet;
  if (!rig_hosts_open(&self.rig, &of)) fail(&self, "no bus or no brain");
  measure_load_start(&self.load, (int)burners);
  for (int each = 0; each < 4; each++) start(&self, each / 2, each % 2);
  pthread_create(&self.producer, NULL, produce, &self);
  struct sched_param parameters = {.sched_priority = 20}; /* a brain's stand-in: it needs its millisecond, not more */
  bool realtime = pthread_setschedparam(self.producer, SCHED_FIFO, &parameters) == 0;
  struct ipcnet_reflex_status status = {0};
  int instance = 0, owner = settle(&self, &instance);
  if (!rig_hosts_status(&self.rig, owner, instance, &status)) fail(&self, "no status");
  printf("reflex: realtime %s; beat %lu µs, self-fence %lu µs, quiet %lu µs, twin %lu µs; burners %d; producers 1 kHz%s; networks of their own %s; seed %lu\n", status.features & IPCNET_REFLEX_REALTIME ? "yes" : "no", beat, fence,
    quiet, twin, self.load.count, realtime ? "" : " (not realtime)", self.rig.hosts[0].network >= 0 ? "yes" : "no", seed);

  struct measure_series all[] = {measure_series("host killed → CLAIM of the other followed"), measure_series("host killed → its first command accepted"), measure_series("host stopped → CLAIM followed"),
    measure_series("host stopped → first command accepted"), measure_series("cable cut → CLAIM followed"), measure_series("cable cut → first command accepted"), measure_series("hand-over asked → CLAIM followed"),
    measure_series("hand-over asked → first command accepted")};
  uint64_t before = rig_bus_seen(&self.rig.bus).followed;
  self.armed_again = 0;
  for (int blow = 0; blow < BLOWS; blow++) {
    for (unsigned long i = 0; i < counts[blow]; i++) one(&self, (enum blow)blow, &all[2 * blow], &all[2 * blow + 1]);
  }
  struct rig_seen seen = rig_bus_seen(&self.rig.bus);
  for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) measure_tell(&all[i]);
  printf("\nstale commands accepted: %llu; two owners accepted: %s; owners that nobody asked for: %lld; taken back by who was replaced: %llu; did not go on armed within a second: %llu; armed by hand: %llu; stopped twins killed by theirs: %llu; commands accepted %llu, "
         "refused %llu\n",
    (unsigned long long)seen.stale_accepted, seen.two_owners ? "YES" : "no", (long long)(seen.followed - before - self.blows), (unsigned long long)self.took_back, (unsigned long long)self.not_armed, (unsigned long long)self.armed_again,
    (unsigned long long)self.died, (unsigned long long)seen.accepted, (unsigned long long)seen.refused);
  self.done = true;
  pthread_join(self.producer, NULL);
  measure_load_stop(&self.load);
  rig_hosts_close(&self.rig);
  return seen.stale_accepted == 0 && !seen.two_owners ? 0 : 1;
}
