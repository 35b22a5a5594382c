/*
 * scenarios: what must hold of two real processes, one at a time: `reflex_scenarios PROGRAM SCENARIO`. The program is the one with failpoints. Nothing here asserts how long something
 * takes; the bench does. The twins' deadline is a second, so that a busy machine looks like no hang.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/gpio.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "../../../../shm/core/seqpacket.h"
#include "brain.h"
#include "bus.h"
#include "need.h"
#include "processes.h"
#include "table.h"

#define PATIENCE_US 60000000u
#define DEADLINE_US 1000000u

struct world {
  const char *program;
  struct rig_folders folders;
  uint8_t *table;
  size_t table_bytes;
  struct rig_bus bus;
  struct rig_brain brain;
  pid_t processes[2];
  const char *extra[8];
};

static struct world world; /* the only one: a scenario is a process */

static void give_up(void) {
  for (int i = 0; i < 2; i++) {
    struct ipcnet_reflex_status status;
    rig_tell_log(world.folders.run, i);
    if (world.brain.links[i].fd >= 0 && rig_brain_status(&world.brain, i, &status))
      fprintf(stderr, "%c: role %u, arming %u, epoch %u, missing %u, malfunction %u, phase %u, twin %u\n", 'a' + i, status.role, status.arming, status.epoch, status.missing_count, status.malfunction, status.bus_phases[0], status.twin_pid);
    rig_kill(world.processes[i]);
  }
  rig_remove(world.folders.root);
  exit(1);
}

/* ---- Steps ---------------------------------------------------------------------------------------------------------------------------------- */

static void start(int instance, const char *failpoint) {
  world.processes[instance] = rig_start(world.program, instance, world.folders.run, world.folders.state, failpoint, world.extra);
  NEED(world.processes[instance] != 0);
}

static void attach(int instance) {
  for (uint64_t until_us = rig_now_us() + PATIENCE_US; !rig_brain_attach(&world.brain, instance); usleep(5000)) NEED(rig_now_us() < until_us);
}

static struct ipcnet_reflex_status status_of(int instance) {
  struct ipcnet_reflex_status status = {0};
  NEED(rig_brain_status(&world.brain, instance, &status));
  return status;
}

static void turn(int16_t target) {
  rig_brain_turn(&world.brain, target);
  usleep(2000);
}

static void wait_for_role(int instance, uint8_t role) {
  for (uint64_t until_us = rig_now_us() + PATIENCE_US; status_of(instance).role != role; turn(1)) NEED(rig_now_us() < until_us);
}

static void wait_for_twin(int instance) {
  for (uint64_t until_us = rig_now_us() + PATIENCE_US;; turn(1)) {
    struct ipcnet_reflex_status status = status_of(instance);
    if (status.twin_pid == (uint32_t)world.processes[1 - instance] && (status.features & IPCNET_REFLEX_EPOCH_RESERVED)) return;
    NEED(rig_now_us() < until_us);
  }
}

static void arm(int instance) {
  for (uint64_t until_us = rig_now_us() + PATIENCE_US; rig_brain_order(&world.brain, instance, IPCNET_ORDER_ARM, 0, 0) != IPCNET_ANSWER_DONE; turn(1)) NEED(rig_now_us() < until_us);
}

/* The node accepts commands of an epoch newer than `epoch`. Returns what it has seen. */
static struct rig_seen wait_for_commands(uint16_t epoch, int16_t target) {
  uint64_t accepted = rig_bus_seen(&world.bus).accepted;
  for (uint64_t until_us = rig_now_us() + PATIENCE_US;; turn(target)) {
    struct rig_seen seen = rig_bus_seen(&world.bus);
    if (seen.accepted > accepted && seen.accepted_us != 0 && seen.epoch > epoch) return seen;
    NEED(rig_now_us() < until_us);
  }
}

static void reap(int instance) {
  rig_brain_detach(&world.brain, instance);
  rig_kill(world.processes[instance]);
  world.processes[instance] = 0;
}

static void restart(int instance, const char *failpoint) {
  reap(instance);
  start(instance, failpoint);
  attach(instance);
}

/* a owns and is armed, b stands by; commands pass. */
static uint16_t both_up(const char *failpoint_of_a, const char *failpoint_of_b) {
  start(0, failpoint_of_a);
  attach(0);
  wait_for_role(0, IPCNET_TWIN_OWNER);
  start(1, failpoint_of_b);
  attach(1);
  wait_for_role(1, IPCNET_TWIN_STANDBY);
  wait_for_twin(0);
  wait_for_twin(1);
  arm(0);
  return wait_for_commands(0, 5).epoch;
}

/* Whoever it is, of those that live: one owner, and commands pass. */
static struct rig_seen somebody_owns(uint16_t epoch) {
  for (uint64_t until_us = rig_now_us() + PATIENCE_US;; turn(7)) {
    int owners = 0;
    bool armed = false; /* what the node has seen may be of an owner before */
    for (int i = 0; i < 2; i++) {
      if (world.brain.links[i].fd < 0) continue;
      struct ipcnet_reflex_status status = status_of(i);
      if (status.role != IPCNET_TWIN_OWNER) continue;
      owners += 1;
      armed = status.arming == IPCNET_ARMED;
      /* On a loaded machine our own commands come too late and the plan for that runs: acknowledged, and on. */
      if (status.arming == IPCNET_POSED || status.arming == IPCNET_FAULT) (void)rig_brain_order(&world.brain, i, IPCNET_ORDER_RESET, 0, 0);
      if (status.arming == IPCNET_DISARMED) (void)rig_brain_order(&world.brain, i, IPCNET_ORDER_ARM, 0, 0);
    }
    NEED(owners < 2);
    struct rig_seen seen = rig_bus_seen(&world.bus);
    if (owners == 1 && armed && seen.epoch > epoch && seen.accepted_us != 0) break;
    NEED(rig_now_us() < until_us);
  }
  struct rig_seen seen = wait_for_commands(epoch, 9);
  NEED(seen.stale_accepted == 0 && !seen.two_owners);
  return seen;
}

/* ---- Scenarios -------------------------------------------------------------------------------------------------------------------------------- */

static void cold_start_in_any_order(void) {
  for (int first = 0; first < 2; first++) {
    start(first, NULL);
    attach(first);
    wait_for_role(first, IPCNET_TWIN_OWNER);
    start(1 - first, NULL);
    attach(1 - first);
    wait_for_role(1 - first, IPCNET_TWIN_STANDBY);
    reap(0);
    reap(1);
  }
  start(0, NULL); /* and at the same instant */
  start(1, NULL);
  attach(0);
  attach(1);
  (void)somebody_owns(0);
}

static void without_a_brain_the_stored_table_is_enough(void) {
  uint16_t epoch = both_up(NULL, NULL);
  reap(0);
  reap(1);
  rig_brain_close(&world.brain);
  start(0, NULL);
  start(1, NULL);
  for (uint64_t until_us = rig_now_us() + PATIENCE_US; rig_bus_seen(&world.bus).epoch <= epoch; usleep(5000)) NEED(rig_now_us() < until_us);
  NEED(rig_brain_open(&world.brain, world.folders.run, world.table, world.table_bytes));
  attach(0);
  attach(1);
  (void)somebody_owns(epoch);
}

static void killed_owner_is_followed_by_its_twin(void) {
  uint16_t epoch = both_up(NULL, NULL);
  for (int round = 0; round < 6; round++) {
    int owner = round % 2;
    uint64_t followed = rig_bus_seen(&world.bus).followed;
    kill(world.processes[owner], SIGKILL);
    epoch = wait_for_commands(epoch, (int16_t)(10 + round)).epoch;
    struct rig_seen seen = rig_bus_seen(&world.bus);
    NEED(seen.followed == followed + 1 && seen.stale_accepted == 0 && !seen.two_owners && seen.owner == 1 - owner);
    NEED(status_of(1 - owner).takeovers >= 1);
    restart(owner, NULL);
    wait_for_role(owner, IPCNET_TWIN_STANDBY);
    wait_for_twin(0);
    wait_for_twin(1);
  }
}

/* Who rings where that has cost it too much rings no more (lane.h). */
static void commands_pass_without_a_bell(void) {
  uint16_t epoch = both_up(NULL, NULL);
  world.brain.silent = true;
  for (int16_t target = 11; target < 14; target++) (void)wait_for_commands((uint16_t)(epoch - 1), target);
  kill(world.processes[0], SIGKILL);
  (void)wait_for_commands(epoch, 14);
  NEED(rig_bus_seen(&world.bus).stale_accepted == 0);
}

static void stopped_owner_is_fenced_and_never_comes_back(void) {
  uint16_t epoch = both_up(NULL, NULL);
  kill(world.processes[0], SIGSTOP);
  epoch = wait_for_commands(epoch, 20).epoch;
  kill(world.processes[0], SIGCONT);
  NEED(rig_wait_end(world.processes[0]) == 128 + SIGKILL);
  world.processes[0] = 0;
  for (int i = 0; i < 50; i++) turn(21);
  struct rig_seen seen = rig_bus_seen(&world.bus);
  NEED(seen.epoch == epoch && seen.stale_accepted == 0 && !seen.two_owners);
}

/* A failpoint has stopped it. */
static void wait_until_it_stands(int instance) {
  for (uint64_t until_us = rig_now_us() + PATIENCE_US;; usleep(5000)) {
    char path[64], text[256] = "";
    snprintf(path, sizeof path, "/proc/%d/stat", world.processes[instance]);
    FILE *file = fopen(path, "r");
    if (file != NULL) { NEED(fgets(text, sizeof text, file) != NULL); fclose(file); }
    if (strstr(text, ") T ") != NULL) return;
    NEED(rig_now_us() < until_us);
  }
}

static void twin_dies_at_each_step_of_its_takeover(void) {
  static const char *const PLACES[] = {"afterKill:kill", "afterDeath:kill", "afterLock:kill", "afterEpoch:kill", "beforeSend:kill", "afterLock:stop"};
  uint16_t epoch = 0;
  for (size_t place = 0; place < sizeof PLACES / sizeof PLACES[0]; place++) {
    uint16_t before = epoch;
    epoch = both_up(NULL, PLACES[place]);
    NEED(epoch > before);
    bool stops = strstr(PLACES[place], "stop") != NULL;
    kill(world.processes[0], place == 0 ? SIGSTOP : SIGKILL); /* only who is hung is killed by its twin */
    if (!stops) NEED(rig_wait_end(world.processes[1]) == 128 + SIGKILL);
    else wait_until_it_stands(1); /* holding the lock */
    if (!stops) { rig_brain_detach(&world.brain, 1); world.processes[1] = 0; }
    restart(0, NULL);
    if (stops) { /* found by its socket, seen to stand still, killed */
      rig_brain_detach(&world.brain, 1);
      wait_for_role(0, IPCNET_TWIN_OWNER);
      NEED(rig_wait_end(world.processes[1]) == 128 + SIGKILL);
      world.processes[1] = 0;
    }
    epoch = somebody_owns(epoch).epoch;
    reap(0);
  }
}

/* b has the proof that a is dead and stands still before it takes the lock; a begins anew, owns, and dies too. What b goes on with is not what a left first, and the epoch is a third one. */
static void who_owned_while_the_heir_stood_still_is_not_repeated(void) {
  uint16_t first = both_up(NULL, "afterDeath:stop");
  kill(world.processes[0], SIGKILL);
  wait_until_it_stands(1);
  restart(0, NULL);
  wait_for_role(0, IPCNET_TWIN_OWNER);
  uint16_t second = status_of(0).epoch;
  NEED(second > first);
  reap(0);
  kill(world.processes[1], SIGCONT);
  wait_for_role(1, IPCNET_TWIN_OWNER);
  struct ipcnet_reflex_status status = status_of(1);
  NEED(status.epoch > second && status.arming != IPCNET_ARMED);
  arm(1);
  struct rig_seen seen = wait_for_commands(second, 30);
  NEED(seen.owner == 1 && seen.stale_accepted == 0 && !seen.two_owners);
}

static void hand_over_and_death_in_the_middle_of_it(void) {
  uint16_t epoch = both_up(NULL, NULL);
  NEED(rig_brain_switch(&world.brain, 1) == (int)IPCNET_ANSWER_FAULT); /* not the owner */
  /* The owner's frames wait in the controller that both have when the standby comes: long gone when it owns the bus. */
  atomic_store(&world.bus.waiting, 3);
  restart(1, NULL);
  wait_for_role(1, IPCNET_TWIN_STANDBY);
  wait_for_twin(0);
  wait_for_twin(1);
  atomic_store(&world.bus.waiting, 0);
  for (int round = 0; round < 4; round++) {
    NEED(rig_brain_switch(&world.brain, round % 2) == IPCNET_ANSWER_DONE);
    epoch = wait_for_commands(epoch, 30).epoch;
    NEED(status_of(round % 2).role == IPCNET_TWIN_STANDBY && status_of(1 - round % 2).role == IPCNET_TWIN_OWNER && status_of(1 - round % 2).arming == IPCNET_ARMED);
    wait_for_twin(0);
    wait_for_twin(1);
  }
  reap(0);
  reap(1);
  static const struct { const char *a, *b; } DEATHS[] = {{"beforeRelease:kill", NULL}, {"afterRelease:kill", NULL}, {NULL, "afterLock:kill"}, {NULL, "afterEpoch:kill"}, {NULL, "beforeSend:kill"}};
  for (size_t i = 0; i < sizeof DEATHS / sizeof DEATHS[0]; i++) {
    epoch = both_up(DEATHS[i].a, DEATHS[i].b);
    (void)rig_brain_switch(&world.brain, 0); /* the answer dies with who gives it */
    int dead = DEATHS[i].a != NULL ? 0 : 1;
    NEED(rig_wait_end(world.processes[dead]) == 128 + SIGKILL);
    world.processes[dead] = 0;
    rig_brain_detach(&world.brain, dead);
    if (world.brain.links[1 - dead].fd >= 0) rig_brain_detach(&world.brain, 1 - dead);
    attach(1 - dead);
    epoch = somebody_owns(epoch).epoch;
    reap(0);
    reap(1);
  }
}

/* Only the main thread stands still, time and again: what the bus's thread has read meanwhile counts when an order is judged. */
static void an_order_after_a_standstill_is_judged_by_what_has_arrived(void) {
  start(0, "turn:fail:200");
  attach(0);
  wait_for_role(0, IPCNET_TWIN_OWNER);
  for (uint64_t until_us = rig_now_us() + PATIENCE_US; status_of(0).late_turns < 3; turn(1)) NEED(rig_now_us() < until_us);
  arm(0);
}

static void both_killed_and_started_again(void) {
  uint16_t epoch = both_up(NULL, NULL);
  for (int round = 0; round < 3; round++) {
    kill(world.processes[0], SIGKILL);
    kill(world.processes[1], SIGKILL);
    reap(0);
    reap(1);
    uint16_t before = epoch;
    epoch = both_up(NULL, NULL);
    NEED(epoch > before);
  }
}

static void who_cannot_keep_an_epoch_never_owns(void) {
  char path[160];
  if (access("/dev/full", W_OK) == 0) {
    snprintf(path, sizeof path, "%s/a", world.folders.state);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s/a/epoch", world.folders.state);
    NEED(symlink("/dev/full", path) == 0);
    start(0, NULL);
    attach(0);
    wait_for_role(0, IPCNET_TWIN_STOPPED);
    NEED(status_of(0).malfunction == IPCNET_MALFUNCTION_STORE && !status_of(0).healthy);
    reap(0);
    unlink(path);
  }
  start(0, "writeSlot:fail"); /* full only later */
  attach(0);
  wait_for_role(0, IPCNET_TWIN_STOPPED);
  NEED(rig_bus_seen(&world.bus).frames == 0);
  start(1, NULL);
  attach(1);
  wait_for_role(1, IPCNET_TWIN_OWNER);
  (void)somebody_owns(0);
  NEED(status_of(0).role == IPCNET_TWIN_STOPPED);
}

static void overwrite(const char *name, long at, size_t bytes) {
  char path[160];
  uint8_t junk[64];
  memset(junk, 0xA5, sizeof junk);
  snprintf(path, sizeof path, "%s/%s", world.folders.state, name);
  int fd = open(path, O_WRONLY);
  NEED(fd >= 0 && pwrite(fd, junk, bytes, at) == (ssize_t)bytes);
  close(fd);
}

/* The process reserves epochs ahead: it owns with what the other record says, and mends this one when the disk has time. Killed before that, it would have none left. */
static void wait_for_mended(const char *name, long at, size_t bytes) {
  char path[160];
  uint8_t junk[64], found[64];
  memset(junk, 0xA5, sizeof junk);
  snprintf(path, sizeof path, "%s/%s", world.folders.state, name);
  for (uint64_t until_us = rig_now_us() + PATIENCE_US;; turn(1)) {
    int fd = open(path, O_RDONLY);
    NEED(fd >= 0 && pread(fd, found, bytes, at) == (ssize_t)bytes);
    close(fd);
    if (memcmp(found, junk, bytes) != 0) return;
    NEED(rig_now_us() < until_us);
  }
}

static void a_torn_record_costs_the_newest_and_a_corrupt_file_all(void) {
  start(0, NULL);
  attach(0);
  uint16_t epoch = somebody_owns(0).epoch;
  for (int slot = 0; slot < 2; slot++) {
    reap(0);
    overwrite("a/epoch", slot * 4096 + 5, 4); /* torn: the other one, or the newer one, is left */
    start(0, NULL);
    attach(0);
    epoch = somebody_owns(0).epoch;
    wait_for_mended("a/epoch", slot * 4096 + 5, 4);
  }
  NEED(epoch >= 1);
  reap(0);
  overwrite("a/epoch", 0, 16);
  overwrite("a/epoch", 4096, 16);
  overwrite("a/journal", 0, 64);
  overwrite("a/journal", 8192, 64);
  uint64_t frames = rig_bus_seen(&world.bus).frames;
  start(0, NULL);
  attach(0);
  wait_for_role(0, IPCNET_TWIN_STOPPED);
  NEED(rig_bus_seen(&world.bus).frames == frames);
}

static void an_unfinished_pose_is_finished_before_anybody_asks(void) {
  (void)both_up(NULL, NULL);
  (void)wait_for_commands(0, 500); /* the joint moves, so that the pose takes its time */
  for (uint64_t until_us = rig_now_us() + PATIENCE_US; rig_bus_seen(&world.bus).reported != 500; turn(500)) NEED(rig_now_us() < until_us);
  uint64_t heard = status_of(0).received_frames;
  for (uint64_t until_us = rig_now_us() + PATIENCE_US; status_of(0).received_frames < heard + 2; turn(500)) NEED(rig_now_us() < until_us);
  NEED(rig_brain_order(&world.brain, 0, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1) == IPCNET_ANSWER_DONE);
  for (uint64_t until_us = rig_now_us() + PATIENCE_US; rig_bus_seen(&world.bus).brakes == 0 || status_of(0).journal_writes == 0; usleep(1000)) NEED(rig_now_us() < until_us);
  NEED(status_of(0).arming == IPCNET_SAFE_POSE);
  reap(0); /* its twin goes on with it … */
  for (uint64_t until_us = rig_now_us() + PATIENCE_US; status_of(1).plans_resumed == 0; usleep(1000)) NEED(rig_now_us() < until_us);
  NEED(status_of(1).arming != IPCNET_ARMED);
  reap(1);
  rig_brain_close(&world.brain);
  uint64_t brakes = rig_bus_seen(&world.bus).brakes;
  start(0, NULL); /* … and when both are dead, whoever starts */
  for (uint64_t until_us = rig_now_us() + PATIENCE_US; rig_bus_seen(&world.bus).brakes == brakes; usleep(5000)) NEED(rig_now_us() < until_us);
  NEED(rig_brain_open(&world.brain, world.folders.run, world.table, world.table_bytes));
}

static int raw_connection(void) {
  char path[120];
  snprintf(path, sizeof path, "%s/reflex-a.sock", world.folders.run);
  return ipcnet_seqpacket_connect(path);
}

/* Ends in time, whatever was sent before. */
static void wait_for_end(int fd) {
  uint8_t bytes[2048];
  for (uint64_t until_us = rig_now_us() + PATIENCE_US;; usleep(1000)) {
    ssize_t got = recv(fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got == 0 || (got < 0 && errno != EAGAIN)) break;
    NEED(rig_now_us() < until_us);
  }
  close(fd);
}

static void hostile_packets_cost_their_sender_alone(void) {
  uint16_t epoch = both_up(NULL, NULL);
  uint8_t bytes[IPCNET_PACKET_BYTES_MAX], body[1024];
  uint32_t random = 99;
  for (int round = 0; round < 60; round++) {
    int fd = raw_connection();
    if (fd < 0) { usleep(2000); continue; } /* the backlog is full: turned away as it should be */
    size_t length = 1 + (random = random * 1103515245u + 12345u) % 900;
    for (size_t i = 0; i < length; i++) bytes[i] = (uint8_t)((random = random * 1103515245u + 12345u) >> 16);
    struct ipcnet_packet_hello hello = {.major = 1, .who = (uint8_t)(round % 5)};
    struct ipcnet_seqpacket_packet packet = {.bytes = bytes, .length = length};
    if (round % 3 != 0) {
      packet.length = ipcnet_packet_encode_hello(bytes, 1, 0, &hello);
      (void)ipcnet_seqpacket_send(fd, &packet, 1);
      /* Greeted, and then: a counter that does not rise, a kind that is not theirs, descriptors too many, a table that is none. */
      struct ipcnet_seqpacket_fds fds = {.count = round % 4 == 0 ? 3u : 1u, .fds = {fd, fd, fd}};
      uint16_t kind = (uint16_t)(round % IPCNET_PACKET_KINDS == IPCNET_PACKET_SWITCH ? 99 : round % IPCNET_PACKET_KINDS); /* an operator may ask for a hand-over */
      packet.length = ipcnet_packet_encode(bytes, kind, 2, round % 7 == 0 ? 5 : 1, body, kind == IPCNET_PACKET_TABLE ? 4 : 0);
      (void)ipcnet_seqpacket_send_fds(fd, &packet, round % 2 ? &fds : NULL, 1);
      packet.length = 3;
    }
    (void)ipcnet_seqpacket_send(fd, &packet, 1);
    if (round % 2) close(fd);
    else wait_for_end(fd);
    turn(40);
  }
  /* Many at once, and they say nothing. */
  int fds[40];
  for (int i = 0; i < 40; i++) fds[i] = raw_connection();
  for (int i = 0; i < 100; i++) turn(41);
  for (int i = 0; i < 40; i++) if (fds[i] >= 0) wait_for_end(fds[i]);
  (void)wait_for_commands(0, 42);
  struct ipcnet_reflex_status status = status_of(0);
  NEED(status.role == IPCNET_TWIN_OWNER && status.epoch == epoch && status.arming == IPCNET_ARMED && status.refused_packets > 10 && status.closed_connections > 40);
}

static void told_to_stop_it_poses_first_and_ends_the_watchdog(void) {
  char device[128], text[64] = "";
  snprintf(device, sizeof device, "%s/watchdog", world.folders.root);
  close(open(device, O_WRONLY | O_CREAT, 0600));
  world.extra[1] = "--watchdog";
  world.extra[2] = device;
  char notify[108];
  snprintf(notify, sizeof notify, "%s/notify", world.folders.root);
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  snprintf(address.sun_path, sizeof address.sun_path, "%s", notify);
  int listener = socket(AF_UNIX, SOCK_DGRAM, 0);
  NEED(bind(listener, (const struct sockaddr *)&address, sizeof address) == 0);
  setenv("NOTIFY_SOCKET", notify, 1);
  setenv("WATCHDOG_USEC", "300000", 1);
  start(0, NULL);
  attach(0);
  NEED(recv(listener, text, sizeof text - 1, 0) > 0 && strcmp(text, "READY=1") == 0);
  (void)somebody_owns(0);
  for (uint64_t until_us = rig_now_us() + PATIENCE_US; status_of(0).watchdog_feeds < 2; turn(1)) NEED(rig_now_us() < until_us);
  memset(text, 0, sizeof text);
  NEED(recv(listener, text, sizeof text - 1, 0) > 0 && strcmp(text, "WATCHDOG=1") == 0);
  for (uint64_t until_us = rig_now_us() + PATIENCE_US; rig_bus_seen(&world.bus).target != 0; turn(0)) NEED(rig_now_us() < until_us); /* it stands: the pose is reached */
  NEED(rig_bus_seen(&world.bus).brakes == 0);
  kill(world.processes[0], SIGTERM);
  NEED(rig_wait_end(world.processes[0]) == 0);
  world.processes[0] = 0;
  NEED(rig_bus_seen(&world.bus).brakes > 0);
  char fed[256];
  int fd = open(device, O_RDONLY);
  ssize_t length = read(fd, fed, sizeof fed);
  close(fd);
  NEED(length >= 3 && fed[length - 1] == 'V' && memchr(fed, 'V', (size_t)length - 1) == NULL);
  /* Killed, it ends nothing: the device goes on counting. */
  rig_brain_detach(&world.brain, 0);
  NEED(truncate(device, 0) == 0);
  start(0, NULL);
  attach(0);
  for (uint64_t until_us = rig_now_us() + PATIENCE_US; status_of(0).watchdog_feeds < 2; turn(1)) NEED(rig_now_us() < until_us);
  reap(0);
  fd = open(device, O_RDONLY);
  length = read(fd, fed, sizeof fed);
  close(fd);
  NEED(length >= 1 && memchr(fed, 'V', (size_t)length) == NULL);
  close(listener);
}

/* ---- The power-fail line: a FIFO plays the chip (gpio.h) --------------------------------------------------------------------------------------- */

static int chip = -1;

static void power(bool fails) {
  struct gpio_v2_line_event event = {.timestamp_ns = rig_now_us() * 1000u, .id = fails ? GPIO_V2_LINE_EVENT_RISING_EDGE : GPIO_V2_LINE_EVENT_FALLING_EDGE};
  char path[112];
  snprintf(path, sizeof path, "%s/chip.level", world.folders.root);
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  NEED(fd >= 0 && write(fd, fails ? "1" : "0", 1) == 1);
  close(fd);
  NEED(write(chip, &event, sizeof event) == (ssize_t)sizeof event);
}

static void wait_for_feature(int instance, uint32_t feature) {
  for (uint64_t until_us = rig_now_us() + PATIENCE_US; !(status_of(instance).features & feature); turn(0)) NEED(rig_now_us() < until_us);
}

/* Nothing more is on its way to the disk. */
static uint64_t writes_at_rest(int instance) {
  uint64_t last = status_of(instance).journal_writes;
  for (unsigned same = 0; same < 50; turn(0)) {
    uint64_t now = status_of(instance).journal_writes;
    same = now == last ? same + 1 : 0;
    last = now;
  }
  return last;
}

/* Armed, and still. A loaded machine may have posed it meanwhile, or found its bus dead: acknowledged, and on. */
static void armed_and_still(int instance) {
  for (uint64_t until_us = rig_now_us() + PATIENCE_US;; turn(0)) {
    struct ipcnet_reflex_status status = status_of(instance);
    if (status.arming == IPCNET_ARMED && rig_bus_seen(&world.bus).target == 0) return;
    if (status.arming == IPCNET_POSED || status.arming == IPCNET_FAULT) (void)rig_brain_order(&world.brain, instance, IPCNET_ORDER_RESET, 0, 0);
    if (status.arming == IPCNET_DISARMED && rig_brain_order(&world.brain, instance, IPCNET_ORDER_ARM, 0, 0) != IPCNET_ANSWER_DONE) (void)rig_brain_order(&world.brain, instance, IPCNET_ORDER_REARM_BUS, 0, 0);
    NEED(rig_now_us() < until_us);
  }
}

/* Of this table's triggers only the line's is latched. */
static void posed_by_the_line(int instance) {
  for (uint64_t until_us = rig_now_us() + PATIENCE_US;; turn(0)) {
    struct ipcnet_reflex_status status = status_of(instance);
    if (status.role == IPCNET_TWIN_OWNER && status.trigger_latched && (status.arming == IPCNET_POSED || status.arming == IPCNET_FAULT)) return;
    NEED(rig_now_us() < until_us);
  }
}

static void power_fails_at(int instance) {
  armed_and_still(instance);
  power(true);
  posed_by_the_line(instance);
  NEED(rig_brain_order(&world.brain, instance, IPCNET_ORDER_RESET, 0, 0) == IPCNET_ANSWER_REFUSED);
  /* What the disk does not know of the pose it is told when the power is back: had it been told before, nothing would follow. */
  uint64_t writes = writes_at_rest(instance);
  power(false);
  for (uint64_t until_us = rig_now_us() + PATIENCE_US; status_of(instance).journal_writes == writes; turn(0)) NEED(rig_now_us() < until_us);
  NEED(rig_brain_order(&world.brain, instance, IPCNET_ORDER_ARM, 0, 0) == IPCNET_ANSWER_REFUSED);
  NEED(rig_brain_order(&world.brain, instance, IPCNET_ORDER_RESET, 0, 0) == IPCNET_ANSWER_DONE);
}

static void power_fails_whoever_of_the_two_lives(void) {
  start(0, NULL);
  attach(0);
  wait_for_role(0, IPCNET_TWIN_OWNER);
  start(1, NULL);
  attach(1);
  wait_for_twin(0);
  wait_for_twin(1);
  /* One request, held by both. */
  wait_for_feature(0, IPCNET_REFLEX_POWER_LINE);
  wait_for_feature(1, IPCNET_REFLEX_POWER_LINE);
  reap(0);
  wait_for_role(1, IPCNET_TWIN_OWNER);
  NEED(status_of(1).features & IPCNET_REFLEX_POWER_LINE);
  power_fails_at(1);
  /* Who comes back is given it by who has it now. */
  start(0, NULL);
  attach(0);
  wait_for_feature(0, IPCNET_REFLEX_POWER_LINE);
  wait_for_twin(1);
  /* It fails while nobody lives who would read it in time: whoever takes over looks. */
  armed_and_still(1);
  kill(world.processes[1], SIGSTOP);
  power(true);
  reap(1);
  posed_by_the_line(0);
}

/* An orderly stop ends no pose that somebody has to look at: whoever starts next, from what the disk says, is not armed before it is reset. */
static void told_to_stop_it_keeps_what_is_latched(void) {
  start(0, NULL);
  attach(0);
  wait_for_role(0, IPCNET_TWIN_OWNER);
  wait_for_feature(0, IPCNET_REFLEX_POWER_LINE);
  armed_and_still(0);
  power(true);
  posed_by_the_line(0);
  uint64_t writes = writes_at_rest(0);
  power(false);
  for (uint64_t until_us = rig_now_us() + PATIENCE_US; status_of(0).journal_writes == writes; turn(0)) NEED(rig_now_us() < until_us);
  kill(world.processes[0], SIGTERM);
  NEED(rig_wait_end(world.processes[0]) == 0);
  world.processes[0] = 0;
  restart(0, NULL);
  wait_for_role(0, IPCNET_TWIN_OWNER);
  struct ipcnet_reflex_status status = status_of(0);
  NEED(status.trigger_latched && (status.arming == IPCNET_POSED || status.arming == IPCNET_FAULT));
  NEED(rig_brain_order(&world.brain, 0, IPCNET_ORDER_ARM, 0, 0) == IPCNET_ANSWER_REFUSED);
  wait_for_feature(0, IPCNET_REFLEX_POWER_LINE);
  for (uint64_t until_us = rig_now_us() + PATIENCE_US; rig_brain_order(&world.brain, 0, IPCNET_ORDER_RESET, 0, 0) != IPCNET_ANSWER_DONE; turn(0)) NEED(rig_now_us() < until_us);
  arm(0);
}

static void it_stays_small(void) {
  uint16_t epoch = both_up(NULL, NULL);
  for (int i = 0; i < 200; i++) turn(3);
  NEED(rig_bus_seen(&world.bus).epoch == epoch);
  char path[64], line[160];
  long kib = -1;
  snprintf(path, sizeof path, "/proc/%d/status", world.processes[0]);
  FILE *file = fopen(path, "r");
  NEED(file != NULL);
  while (fgets(line, sizeof line, file) != NULL) if (strncmp(line, "VmRSS:", 6) == 0) kib = atol(line + 6);
  fclose(file);
  printf("resident: %ld KiB\n", kib);
  NEED(kib > 0 && kib < 5120);
}

static const struct { const char *name; void (*run)(void); } SCENARIOS[] = {
  {"coldStart", cold_start_in_any_order},
  {"storedTable", without_a_brain_the_stored_table_is_enough},
  {"killedOwner", killed_owner_is_followed_by_its_twin},
  {"silentBell", commands_pass_without_a_bell},
  {"stoppedOwner", stopped_owner_is_fenced_and_never_comes_back},
  {"deathInTakeover", twin_dies_at_each_step_of_its_takeover},
  {"lateHeir", who_owned_while_the_heir_stood_still_is_not_repeated},
  {"handOver", hand_over_and_death_in_the_middle_of_it},
  {"standstill", an_order_after_a_standstill_is_judged_by_what_has_arrived},
  {"bothKilled", both_killed_and_started_again},
  {"fullDisk", who_cannot_keep_an_epoch_never_owns},
  {"tornRecords", a_torn_record_costs_the_newest_and_a_corrupt_file_all},
  {"unfinishedPose", an_unfinished_pose_is_finished_before_anybody_asks},
  {"hostilePackets", hostile_packets_cost_their_sender_alone},
  {"orderlyStop", told_to_stop_it_poses_first_and_ends_the_watchdog},
  {"powerLine", power_fails_whoever_of_the_two_lives},
  {"latchedStop", told_to_stop_it_keeps_what_is_latched},
  {"small", it_stays_small},
};

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  world.program = argv[1];
  world.extra[0] = strcmp(argv[2], "small") == 0 ? "--cpu" : "--no-realtime";
  world.extra[1] = strcmp(argv[2], "small") == 0 ? "0" : NULL;
  signal(SIGPIPE, SIG_IGN);
  if (!rig_folders_make(&world.folders, "reflex")) return 2;
  if (strcmp(argv[2], "powerLine") == 0 || strcmp(argv[2], "latchedStop") == 0) {
    char path[112];
    snprintf(path, sizeof path, "%s/chip", world.folders.root);
    if (mkfifo(path, 0600) != 0) return 2;
    chip = open(path, O_RDWR | O_CLOEXEC);
    world.table = rig_joint_table_with_line(world.folders.socket, 1, DEADLINE_US, path, &world.table_bytes);
  } else {
    world.table = rig_joint_table(world.folders.socket, 1, DEADLINE_US, &world.table_bytes);
  }
  NEED(rig_bus_start(&world.bus, world.folders.socket, 0, NULL) && rig_brain_open(&world.brain, world.folders.run, world.table, world.table_bytes));
  for (size_t i = 0; i < sizeof SCENARIOS / sizeof SCENARIOS[0]; i++) {
    if (strcmp(SCENARIOS[i].name, argv[2]) != 0) continue;
    SCENARIOS[i].run();
    reap(0);
    reap(1);
    rig_brain_close(&world.brain);
    rig_bus_stop(&world.bus);
    free(world.table);
    rig_remove(world.folders.root);
    return 0;
  }
  return 2;
}
