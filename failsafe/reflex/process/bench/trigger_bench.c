/*
 * trigger_bench: from what triggers a safe pose to its first frame at the node. Two real processes, an emulated bus served here with a node that notes when it read each frame, a producer of set-points
 * at 1 kHz, on request burners. Each trigger again and again; between two of them the pose is ended, reset and armed in the product's own ways.
 *
 *   stop       a frame of the emergency stop: from its sending
 *   expired    a set-point that nothing newer follows: from its deadline
 *   lost       a node that says nothing more: from the deadline of its last word
 *   request    a brain's order over the control socket: from its sending
 *
 *   trigger_bench --program PATH [--runs N] [--kinds stop,expired,lost,request] [--burners N] [--seed N] [--json] [-- extra arguments of the program]
 * Ends with 1 when a pose did not come.
 */
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "../rig/brain.h"
#include "../rig/bus.h"
#include "../rig/processes.h"
#include "../rig/robot.h"
#include "measure.h"

#define WAIT_US 20000000u
#define NODE_TIMEOUT_US 30000u
#define KINDS 4

enum kind { STOP_FRAME, EXPIRED, LOST, REQUEST };
static const char *const NAMES[KINDS] = {"stop", "expired", "lost", "request"};

static struct {
  const char *program;
  const char *const *extra;
  struct rig_place place;
  struct rig_bus bus;
  struct robot robot;
  struct rig_brain brain;
  pthread_mutex_t lock; /* of the brain and of `deadline_us` */
  pthread_t producer;
  volatile bool done;
  bool producing;
  uint64_t deadline_us; /* of the set-point that was sent last */
  pid_t processes[2];
  struct measure_load load;
  uint32_t random;
  unsigned long other; /* poses of another trigger than the one that was meant */
} self;

static void fail(const char *what) {
  fprintf(stderr, "trigger_bench: %s\n", what);
  for (int i = 0; i < 2; i++) {
    struct ipcnet_reflex_status status;
    if (self.brain.links[i].fd >= 0 && rig_brain_status(&self.brain, i, &status))
      fprintf(stderr, "%c: role %u, arming %u, epoch %u, missing %u, malfunction %u, trigger %u, bus phase %u\n", 'a' + i, status.role, status.arming, status.epoch, status.missing_count, status.malfunction, status.trigger,
        status.bus_phases[0]);
  }
  exit(1);
}

static void *produce(void *argument) {
  (void)argument;
  for (int16_t target = 0; !self.done; target = (int16_t)((target + 1) % 900)) {
    pthread_mutex_lock(&self.lock);
    if (self.producing) self.deadline_us = rig_brain_turn(&self.brain, target);
    else rig_brain_beat(&self.brain);
    pthread_mutex_unlock(&self.lock);
    usleep(1000);
  }
  return NULL;
}

/* ---- Steps ------------------------------------------------------------------------------------------------------------------------------------ */

static struct ipcnet_reflex_status status_of(int instance) {
  struct ipcnet_reflex_status status = {0};
  pthread_mutex_lock(&self.lock);
  bool good = rig_brain_status(&self.brain, instance, &status);
  pthread_mutex_unlock(&self.lock);
  if (!good) fail("no status");
  return status;
}

static int order(int instance, uint8_t what, uint32_t a, uint32_t b) {
  pthread_mutex_lock(&self.lock);
  int answer = rig_brain_order(&self.brain, instance, what, a, b);
  pthread_mutex_unlock(&self.lock);
  return answer;
}

static void start(int instance) {
  self.processes[instance] = rig_start(self.program, instance, self.place.run, self.place.state, NULL, self.extra);
  bool there = false;
  for (uint64_t until_us = rig_now_us() + WAIT_US; !there && rig_now_us() < until_us; usleep(2000)) {
    pthread_mutex_lock(&self.lock);
    there = rig_brain_attach(&self.brain, instance);
    pthread_mutex_unlock(&self.lock);
  }
  if (!there) fail("a reflex does not answer");
}

static int owner(void) {
  for (uint64_t until_us = rig_now_us() + WAIT_US; rig_now_us() < until_us; usleep(2000)) {
    struct ipcnet_reflex_status status[2] = {status_of(0), status_of(1)};
    if (status[0].role == IPCNET_TWIN_OWNER && status[1].role == IPCNET_TWIN_STANDBY) return 0;
    if (status[1].role == IPCNET_TWIN_OWNER && status[0].role == IPCNET_TWIN_STANDBY) return 1;
  }
  fail("no owner");
  return 0;
}

static void produce_now(bool yes) {
  pthread_mutex_lock(&self.lock);
  self.producing = yes;
  pthread_mutex_unlock(&self.lock);
}

/* Whatever it was: acknowledged, armed again, commands pass. */
static void settle(int at) {
  uint64_t unused_us;
  atomic_store(&self.bus.mute, false);
  robot_press(&self.robot, false, &unused_us);
  produce_now(true);
  for (uint64_t until_us = rig_now_us() + WAIT_US; rig_now_us() < until_us; usleep(500)) {
    struct ipcnet_reflex_status status = status_of(at);
    if (status.role != IPCNET_TWIN_OWNER) fail("the owner changed by itself");
    if (status.arming == IPCNET_POSED || status.arming == IPCNET_FAULT) (void)order(at, IPCNET_ORDER_RESET, 0, 0);
    else if (status.arming == IPCNET_DISARMED) (void)order(at, IPCNET_ORDER_ARM, 0, 0);
    else if (status.arming == IPCNET_ARMED) {
      uint64_t accepted = rig_bus_seen(&self.bus).accepted;
      for (; rig_bus_seen(&self.bus).accepted <= accepted + 3 && rig_now_us() < until_us; usleep(200)) { }
      rig_bus_drain(&self.bus); /* the pose before has sent its last */
      robot_forget(&self.robot);
      return;
    }
  }
  fail("not armed again");
}

/* Pulls the trigger; returns the instant that counts. */
static uint64_t pull(enum kind kind, int at) {
  uint64_t time_us = 0;
  switch (kind) {
  case STOP_FRAME: robot_press(&self.robot, true, &time_us); return time_us;
  case EXPIRED:
    pthread_mutex_lock(&self.lock);
    self.producing = false;
    time_us = self.deadline_us;
    pthread_mutex_unlock(&self.lock);
    return time_us;
  case LOST:
    atomic_store(&self.bus.mute, true);
    rig_bus_drain(&self.bus); /* a frame that was begun is out */
    return rig_bus_seen(&self.bus).reported_us + NODE_TIMEOUT_US;
  case REQUEST: break;
  }
  pthread_mutex_lock(&self.lock);
  time_us = rig_now_us();
  int answer = rig_brain_order(&self.brain, at, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 2);
  pthread_mutex_unlock(&self.lock);
  if (answer != IPCNET_ANSWER_DONE) fail("the request was refused");
  return time_us;
}

static void one(enum kind kind, int at, struct measure_series *series) {
  static const uint16_t TRIGGERS[KINDS] = {4, 6, 5, 0}; /* rows of robot.c */
  settle(at);
  usleep(measure_random(&self.random) % 5000); /* nothing of ours is in step with it */
  uint64_t begin_us = pull(kind, at), first_us = 0;
  for (uint64_t until_us = rig_now_us() + WAIT_US; (first_us = robot_first_us(&self.robot)) == 0; rig_bus_wait(&self.bus, rig_now_us() + 1000)) if (rig_now_us() > until_us) fail("no pose came");
  struct ipcnet_reflex_status status = status_of(at);
  if (status.trigger != TRIGGERS[kind]) self.other += 1; /* on a loaded machine our own commands came too late */
  else measure_add(series, first_us > begin_us ? first_us - begin_us : 0);
}

/* ---- From beginning to end -------------------------------------------------------------------------------------------------------------------- */

static void tell_json(struct measure_series *all) {
  printf("{\"kinds\":[");
  for (int kind = 0; kind < KINDS; kind++) {
    struct measure_series *of = &all[kind];
    measure_sort(of);
    printf("%s{\"kind\":\"%s\",\"runs\":%u,\"us\":{\"p50\":%u,\"p90\":%u,\"p99\":%u,\"p999\":%u,\"max\":%u}}", kind > 0 ? "," : "", NAMES[kind], of->count, measure_at(of, 500), measure_at(of, 900), measure_at(of, 990),
      measure_at(of, 999), measure_at(of, 1000));
  }
  printf("],\"otherTrigger\":%lu}\n", self.other);
}

int main(int argc, char **argv) {
  const char *kinds = "stop,expired,lost,request";
  unsigned long runs = 1000, burners = 0, seed = 1;
  bool json = false;
  const struct measure_option known[] = {{"--program", .text = &self.program}, {"--kinds", .text = &kinds}, {"--runs", .number = &runs}, {"--burners", .number = &burners}, {"--seed", .number = &seed}, {"--json", .flag = &json}};
  if (!measure_arguments(argc, argv, known, sizeof known / sizeof known[0], &self.extra)) fail("not understood: an argument");
  if (self.program == NULL) fail("--program is needed");
  signal(SIGPIPE, SIG_IGN);
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  self.random = (uint32_t)seed * 2654435761u | 1u;
  if (!rig_place_make(&self.place, "trigger")) fail("no temporary folder");
  const struct robot_options options = {.socket = self.place.socket, .twin_deadline_us = 100000, .node_timeout_us = NODE_TIMEOUT_US, .dead_after_us = 1000000, .brain_timeout_us = 2000000, .expires = true};
  size_t length = 0;
  uint8_t *table = robot_table(&options, &length);
  struct rig_bus_guest guest = robot_guest(&self.robot, &self.bus);
  pthread_mutex_init(&self.lock, NULL);
  if (!rig_bus_start(&self.bus, self.place.socket, 60, &guest) || !rig_brain_open(&self.brain, self.place.run, table, length)) fail("no bus or no brain");
  measure_load_start(&self.load, (int)burners);
  start(0);
  start(1);
  pthread_create(&self.producer, NULL, produce, NULL);
  struct sched_param parameters = {.sched_priority = 20};
  bool realtime = pthread_setschedparam(self.producer, SCHED_FIFO, &parameters) == 0;
  /* We are the brain that asks, too: what is measured is the reflex, not when somebody gets a processor. */
  (void)pthread_setschedparam(pthread_self(), SCHED_FIFO, &parameters);
  int at = owner();
  struct ipcnet_reflex_status status = status_of(at);
  if (!json)
    printf("reflex: realtime %s, memory locked %s; burners %d; producer 1 kHz%s; seed %lu\n", status.features & IPCNET_REFLEX_REALTIME ? "yes" : "no", status.features & IPCNET_REFLEX_LOCKED ? "yes" : "no", self.load.count,
      realtime ? "" : " (not realtime)", seed);
  struct measure_series all[KINDS] = {measure_series("frame of the emergency stop → first frame of the pose"), measure_series("set-point's deadline → first frame"), measure_series("node's deadline → first frame"),
    measure_series("brain's request → first frame")};
  for (int kind = 0; kind < KINDS; kind++) {
    if (strstr(kinds, NAMES[kind]) == NULL) continue;
    for (unsigned long tries = 0; all[kind].count < runs && tries < 2 * runs; tries++) one((enum kind)kind, at, &all[kind]);
  }
  struct ipcnet_reflex_status after = status_of(at);
  if (json) tell_json(all);
  else {
    for (int kind = 0; kind < KINDS; kind++) measure_tell(&all[kind]);
    printf("\nposes of another trigger than the one meant: %lu; loop late %llu of %llu turns, longest %llu µs\n", self.other, (unsigned long long)after.late_turns, (unsigned long long)after.turns,
      (unsigned long long)after.turn_us_max);
  }
  self.done = true;
  pthread_join(self.producer, NULL);
  rig_kill(self.processes[0]);
  rig_kill(self.processes[1]);
  measure_load_stop(&self.load);
  rig_brain_close(&self.brain);
  rig_bus_stop(&self.bus);
  free(table);
  rig_remove(self.place.root);
  return 0;
}
