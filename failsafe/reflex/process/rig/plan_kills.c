/*
 * plan_kills: whoever runs a plan of the safe pose kills itself, at every place of every plan: before and after each frame, when the acknowledgement was read, before the image is written and
 * before the disk has it. The twin goes on. Then the twin dies as well, at the same place or at any other, and a reflex that is started finishes what the disk says. What must hold each time:
 *   every mandatory step's frames were on the bus, none before what it needs had ended; only the frames of this plan, as the table has them; the right verdict, the steps' right ends; the same
 *   run, wherever it was known to anybody; nothing is armed and no command passes before it has ended.
 *
 *   plan_kills PROGRAM one            each place once                                 (a minute)
 *   plan_kills PROGRAM twice          each place, and the twin at the same one        (a minute or two)
 *   plan_kills PROGRAM pairs [SHARE]  every pair of places, or one pair in SHARE      (an hour, or its share)
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../slots.h"
#include "brain.h"
#include "processes.h"
#include "robot.h"

#define PATIENCE_US 60000000u
#define POINTS_MAX 256
#define JOURNAL_STRIDE 8192u /* docs/specs/reflex.md */

struct point {
  enum robot_plan plan;
  bool lost;    /* who dies there has told nobody of the run */
  bool unkept;  /* … or not the disk */
  char name[40];
};

static struct {
  const char *program;
  struct rig_folders folders;
  uint8_t *table;
  size_t table_bytes;
  struct rig_bus bus;
  struct robot robot;
  struct rig_brain brain;
  pid_t processes[2];
  struct point points[POINTS_MAX];
  int point_count;
  char course[160]; /* what is being tried, for the message */
  unsigned long kills, restarts, asked_again, fresh_runs;
} world; /* the only one */

/* ---- Failing ---------------------------------------------------------------------------------------------------------------------------------- */

static void give_up(void) {
  for (int i = 0; i < 2; i++) {
    struct ipcnet_reflex_status status;
    char path[140], text[6000];
    if (world.brain.links[i].fd >= 0 && rig_brain_status(&world.brain, i, &status))
      fprintf(stderr, "%c: role %u, arming %u, epoch %u, missing %u, malfunction %u, plan %u, resumed %llu\n", 'a' + i, status.role, status.arming, status.epoch, status.missing_count, status.malfunction, status.plan,
        (unsigned long long)status.plans_resumed);
    rig_kill(world.processes[i]);
    snprintf(path, sizeof path, "%s/reflex-%c.log", world.folders.run, 'a' + i);
    FILE *file = fopen(path, "r");
    if (file == NULL) continue;
    fseek(file, 0, SEEK_END);
    long bytes = ftell(file);
    fseek(file, bytes > 1500 ? bytes - 1500 : 0, SEEK_SET);
    text[fread(text, 1, sizeof text - 1, file)] = '\0';
    fprintf(stderr, "--- %c\n%s\n", 'a' + i, text);
    fclose(file);
  }
  rig_remove(world.folders.root);
  exit(1);
}

static void fail(const char *what, int line) {
  fprintf(stderr, "plan_kills.c:%d: %s: %s\n", line, world.course, what);
  struct robot_frame frames[ROBOT_RECORD_MAX];
  uint32_t count = robot_record(&world.robot, frames);
  for (uint32_t at = 0; at < count && at < 60; at++) fprintf(stderr, "  %llu µs 0x%x\n", (unsigned long long)(frames[at].time_us - frames[0].time_us), frames[at].can_id);
  give_up();
}
#define NEED(condition) do { if (!(condition)) fail("not true: " #condition, __LINE__); } while (0)

/* ---- Steps ------------------------------------------------------------------------------------------------------------------------------------ */

static void start(int instance, const char *failpoint) {
  static const char *const extra[] = {"--no-realtime", NULL};
  NEED(world.processes[instance] == 0);
  world.processes[instance] = rig_start(world.program, instance, world.folders.run, world.folders.state, failpoint, extra);
  NEED(world.processes[instance] != 0);
}

static void attach(int instance) {
  for (uint64_t until_us = rig_now_us() + PATIENCE_US; !rig_brain_attach(&world.brain, instance); usleep(2000)) NEED(rig_now_us() < until_us);
}

static void reap(int instance) {
  rig_brain_detach(&world.brain, instance);
  rig_kill(world.processes[instance]);
  world.processes[instance] = 0;
}

/* True: it has died of its failpoint since we looked last. */
static bool has_died(int instance) {
  int status;
  if (world.processes[instance] == 0 || waitpid(world.processes[instance], &status, WNOHANG) != world.processes[instance]) return false;
  NEED(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
  rig_brain_detach(&world.brain, instance);
  world.processes[instance] = 0;
  world.kills++;
  return true;
}

static struct ipcnet_reflex_status status_of(int instance) {
  struct ipcnet_reflex_status status = {0};
  NEED(rig_brain_status(&world.brain, instance, &status));
  return status;
}

/* `owner` owns, the other stands by, sees it, and has an epoch ready. */
static void settle(int owner) {
  for (uint64_t until_us = rig_now_us() + PATIENCE_US;; usleep(1000)) {
    struct ipcnet_reflex_status of = status_of(owner), other = status_of(1 - owner);
    bool know = of.twin_pid == other.pid && other.twin_pid == of.pid && (other.features & IPCNET_REFLEX_EPOCH_RESERVED);
    if (of.role == IPCNET_TWIN_OWNER && other.role == IPCNET_TWIN_STANDBY && know) return;
    NEED(rig_now_us() < until_us);
  }
}

/* A hand-over is refused while the twin's beat stands, as it does now and then on a busy machine: asked until it is done. */
static void hand_over(int to) {
  for (uint64_t until_us = rig_now_us() + PATIENCE_US; status_of(to).role != IPCNET_TWIN_OWNER; usleep(1000)) {
    (void)rig_brain_switch(&world.brain, 1 - to);
    NEED(rig_now_us() < until_us);
  }
  settle(to);
}

static void arm(int instance) {
  for (uint64_t until_us = rig_now_us() + PATIENCE_US; rig_brain_order(&world.brain, instance, IPCNET_ORDER_ARM, 0, 0) != IPCNET_ANSWER_DONE; usleep(1000)) NEED(rig_now_us() < until_us);
}

static bool is_newer(const void *a, const void *b) {
  const struct ipcnet_reflex_image *one = a, *other = b;
  return one->epoch != other->epoch ? ipcnet_epoch_newer(one->epoch, other->epoch) : one->sequence > other->sequence;
}

/* The newest image on the disk, of either. */
static bool journal_on_disk(struct ipcnet_reflex_image *to) {
  bool any = false;
  for (int i = 0; i < 2; i++) {
    char path[140];
    struct ipcnet_reflex_image image;
    snprintf(path, sizeof path, "%s/%c/journal", world.folders.state, 'a' + i);
    if (!(ipcnet_slots_peek(path, &image, sizeof image, JOURNAL_STRIDE, is_newer) & IPCNET_SLOTS_VALID) || (any && !is_newer(&image, to))) continue;
    *to = image;
    any = true;
  }
  return any;
}

/* ---- One course of life ----------------------------------------------------------------------------------------------------------------------- */

struct course {
  enum robot_plan plan;
  uint64_t run_id;  /* that it must have; 0: any of epoch `epoch_min` or later */
  uint16_t epoch_min;
  bool may_be_lost; /* the request, with who had it */
};

static bool ended(const struct ipcnet_reflex_status *status) {
  return status->role == IPCNET_TWIN_OWNER && (status->arming == IPCNET_POSED || status->arming == IPCNET_FAULT);
}

static int ask(int instance, enum robot_plan plan) {
  return rig_brain_order(&world.brain, instance, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, ROBOT_EXPECTED[plan].category);
}

/* Until it has ended; the instance that says so, −1: nobody is left. */
static int wait_for_end(struct course *course) {
  for (uint64_t until_us = rig_now_us() + PATIENCE_US; rig_now_us() < until_us; usleep(500)) {
    for (int i = 0; i < 2; i++) (void)has_died(i);
    if (world.processes[0] == 0 && world.processes[1] == 0) return -1;
    for (int i = 0; i < 2; i++) {
      struct ipcnet_reflex_status status;
      if (world.processes[i] == 0 || world.brain.links[i].fd < 0 || !rig_brain_status(&world.brain, i, &status)) continue;
      if (ended(&status)) return i;
      bool alone = world.processes[1 - i] == 0;
      if (!alone || status.role != IPCNET_TWIN_OWNER || status.arming != IPCNET_ARMED) continue;
      /* Nobody but the dead one knew of it: whoever asked and got no answer asks again. */
      NEED(course->may_be_lost);
      world.asked_again++;
      course->run_id = 0;
      course->epoch_min = status.epoch;
      (void)ask(i, course->plan);
    }
  }
  fail("it does not end", __LINE__);
  return -1;
}

static void judge(const struct course *course, int at) {
  char text[160];
  static struct robot_frame frames[ROBOT_RECORD_MAX];
  struct ipcnet_reflex_status status = status_of(at);
  const struct robot_expected *expected = &ROBOT_EXPECTED[course->plan];
  NEED(status.arming == (expected->verdict == IPCNET_VERDICT_POSED ? IPCNET_POSED : IPCNET_FAULT));
  NEED(status.malfunction == 0);
  NEED(rig_brain_order(&world.brain, at, IPCNET_ORDER_ARM, 0, 0) != IPCNET_ANSWER_DONE); /* not without a reset */
  struct ipcnet_reflex_image image = {0};
  for (uint64_t until_us = rig_now_us() + PATIENCE_US; !journal_on_disk(&image) || image.epoch != status.epoch || image.arming != status.arming; usleep(500)) NEED(rig_now_us() < until_us);
  const struct ipcnet_reflex_run *run = &image.run;
  NEED(run->plan == course->plan);
  NEED(run->verdict == expected->verdict);
  NEED(course->run_id != 0 ? run->run_id == course->run_id : run->run_id >> 32 >= course->epoch_min);
  NEED((run->last_sent == IPCNET_LAST_SENT) == expected->last_rung);
  uint32_t place = 0;
  for (uint32_t row = 0; row < ROBOT_ROWS; row++) {
    if (ROBOT_STEPS[row].plan != course->plan) continue;
    if (run->steps[place++].state == ROBOT_STEPS[row].end) continue;
    snprintf(text, sizeof text, "step %s ended in state %u", ROBOT_STEPS[row].name, run->steps[place - 1].state);
    fail(text, __LINE__);
  }
  /* The last rung asks nobody: it may still wait behind frames that a starved bus has not acknowledged when its plan has ended. What was sent and must not be stays on the record. */
  for (uint64_t until_us = rig_now_us() + PATIENCE_US;; usleep(500)) {
    rig_bus_drain(&world.bus);
    if (robot_fault(frames, robot_record(&world.robot, frames), course->plan, text, sizeof text) == NULL) break;
    if (rig_now_us() >= until_us) fail(text, __LINE__);
  }
  NEED(world.robot.lost == 0);
}

/* Both are dead: what the disk says is finished by whoever starts, before anything else passes. */
static void finish_after_restart(void) {
  uint64_t accepted = rig_bus_seen(&world.bus).accepted;
  start(0, NULL);
  world.restarts++;
  attach(0);
  for (uint64_t until_us = rig_now_us() + PATIENCE_US;; usleep(500)) {
    rig_brain_turn(&world.brain, 7);
    NEED(rig_brain_order(&world.brain, 0, IPCNET_ORDER_ARM, 0, 0) != IPCNET_ANSWER_DONE);
    struct ipcnet_reflex_status status = status_of(0);
    if (ended(&status)) break;
    NEED(rig_now_us() < until_us);
  }
  NEED(rig_bus_seen(&world.bus).accepted == accepted);
}

/* The other instance dies at `first`, this owner at `second` (NULL: it lives). Leaves one owner without failpoints, disarmed; returns it. */
static int one_course(int owner, const struct point *first, const struct point *second) {
  int dies = 1 - owner;
  char failpoint[64];
  struct course course = {.plan = first->plan, .may_be_lost = first->lost};
  snprintf(world.course, sizeof world.course, "plan %d, dies at %s%s%s", (int)first->plan, first->name, second ? ", then at " : "", second ? second->name : "");
  robot_forget(&world.robot);
  if (second != NULL) { /* it starts anew, with its failpoint */
    reap(owner);
    snprintf(failpoint, sizeof failpoint, "%s", second->name);
    start(owner, failpoint);
    attach(owner);
  }
  snprintf(failpoint, sizeof failpoint, "%s", first->name);
  start(dies, failpoint);
  attach(dies);
  settle(owner);
  hand_over(dies);
  NEED(rig_brain_order(&world.brain, dies, IPCNET_ORDER_RESET, 0, 0) == IPCNET_ANSWER_DONE);
  arm(dies);
  course.run_id = (uint64_t)status_of(dies).epoch << 32 | 1u;
  unsigned long kills = world.kills;
  (void)ask(dies, first->plan); /* the answer may die with who gives it */
  int end = wait_for_end(&course);
  NEED(end != dies); /* else: this place does not exist */
  for (uint64_t until_us = rig_now_us() + PATIENCE_US; world.kills == kills; (void)has_died(dies)) NEED(rig_now_us() < until_us); /* its end may be told before the kernel tells of the death */
  if (end < 0) {
    finish_after_restart();
    end = 0;
    if (first->unkept && second->unkept) { /* the disk says armed, and for that there is a plan as well */
      world.fresh_runs++;
      course = (struct course){.plan = ROBOT_PARK, .epoch_min = 1};
    }
  }
  judge(&course, end);
  NEED(rig_brain_order(&world.brain, end, IPCNET_ORDER_RESET, 0, 0) == IPCNET_ANSWER_DONE);
  return end;
}

/* ---- Which places there are ------------------------------------------------------------------------------------------------------------------- */

static void place(enum robot_plan plan, const char *name, long number, int nth) {
  struct point *to = &world.points[world.point_count++];
  to->plan = plan;
  int length = snprintf(to->name, sizeof to->name, number < 0 ? "%s:kill" : "%s#%ld:kill", name, number);
  if (nth > 1) snprintf(to->name + length, sizeof to->name - (size_t)length, ":%d", nth);
}

static void places_of_frame(enum robot_plan plan, uint32_t can_id, int nth) {
  place(plan, "beforeSend", can_id, nth);
  place(plan, "afterSend", can_id, nth);
}

static void places_of_state(enum robot_plan plan, uint32_t row, uint32_t state) {
  place(plan, "beforeJournal", row * 10u + state, 1);
  place(plan, "beforeDisk", row * 10u + state, 1);
}

static void places_of_step(uint32_t row) {
  const struct robot_step *step = &ROBOT_STEPS[row];
  enum robot_plan plan = (enum robot_plan)step->plan;
  bool hurried = step->end == IPCNET_STEP_HURRIED;
  if (!hurried) places_of_state(plan, row, IPCNET_STEP_RUNNING);
  places_of_frame(plan, ROBOT_POSE_ID + row, 1);
  if (step->frames > 1) places_of_frame(plan, ROBOT_SECOND_ID + row, 1);
  if (step->acknowledged > 1 || step->tries > 1) places_of_frame(plan, ROBOT_POSE_ID + row, 2);
  if (step->acknowledged > 0) place(plan, "heard", ROBOT_ACK_ID + row, 1);
  if (step->tries > 1) places_of_state(plan, row, IPCNET_STEP_BACKOFF);
  if (step->tries > 1) place(plan, "beforeJournal", row * 10u + IPCNET_STEP_RUNNING, 2);
  if (hurried) place(plan, "beforeJournal", row * 10u + step->end, 1); /* with the verdict, in one image */
  else places_of_state(plan, row, step->end);
}

static void find_places(void) {
  for (uint32_t plan = 0, row = 0; plan < ROBOT_PLANS; plan++) {
    places_of_state((enum robot_plan)plan, row, IPCNET_STEP_WAITING);
    world.points[world.point_count - 2].lost = true;
    world.points[world.point_count - 2].unkept = world.points[world.point_count - 1].unkept = true;
    for (; row < ROBOT_ROWS && ROBOT_STEPS[row].plan == plan; row++) places_of_step(row);
    if (ROBOT_EXPECTED[plan].last_rung) {
      place((enum robot_plan)plan, "beforeDiskLast", -1, 1);
      places_of_frame((enum robot_plan)plan, ROBOT_LAST_ID + plan, 1);
    }
    place((enum robot_plan)plan, "beforeDiskVerdict", -1, 1);
    place((enum robot_plan)plan, "beforeVerdict", -1, 1);
  }
}

/* ---- Sweeps ----------------------------------------------------------------------------------------------------------------------------------- */

static unsigned long sweep(const char *how, unsigned long share) {
  unsigned long courses = 0, seen = 0;
  start(0, NULL);
  attach(0);
  int owner = 0;
  for (uint64_t until_us = rig_now_us() + PATIENCE_US; status_of(0).role != IPCNET_TWIN_OWNER; usleep(2000)) NEED(rig_now_us() < until_us);
  for (int first = 0; first < world.point_count; first++) {
    for (int second = 0; second < world.point_count; second++) {
      if (world.points[second].plan != world.points[first].plan) continue;
      bool wanted = strcmp(how, "pairs") == 0 ? seen++ % share == 0 : second == first;
      if (!wanted) continue;
      owner = one_course(owner, &world.points[first], strcmp(how, "one") == 0 ? NULL : &world.points[second]);
      courses++;
      if (courses % 100 == 0) fprintf(stderr, "%lu courses\n", courses);
    }
  }
  return courses;
}

int main(int argc, char **argv) {
  if (argc < 3) return 2;
  world.program = argv[1];
  signal(SIGPIPE, SIG_IGN);
  if (!rig_folders_make(&world.folders, "plan")) return 2;
  /* All deadlines but those of steps that never succeed are longer than a loaded machine needs. */
  const struct robot_options options = {.socket = world.folders.socket, .twin_deadline_us = 1000000, .node_timeout_us = 20000000, .dead_after_us = 10000000};
  world.table = robot_table(&options, &world.table_bytes);
  struct rig_bus_guest guest = robot_guest(&world.robot, &world.bus);
  NEED(rig_bus_start(&world.bus, world.folders.socket, 0, &guest) && rig_brain_open(&world.brain, world.folders.run, world.table, world.table_bytes));
  find_places();
  unsigned long share = argc > 3 ? strtoul(argv[3], NULL, 10) : 1;
  unsigned long courses = sweep(argv[2], share > 0 ? share : 1);
  printf("%d places in %d plans, %lu courses: %lu kills, %lu restarts of both, %lu requests made again, %lu runs that nobody knew of any more\n", world.point_count, ROBOT_PLANS, courses, world.kills, world.restarts,
    world.asked_again, world.fresh_runs);
  reap(0);
  reap(1);
  rig_brain_close(&world.brain);
  rig_bus_stop(&world.bus);
  free(world.table);
  rig_remove(world.folders.root);
  return 0;
}
