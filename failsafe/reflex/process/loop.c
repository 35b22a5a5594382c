#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "failpoint.h"
#include "fence.h"
#include "keeper.h"
#include "process.h"

#define EVENTS 32
#define END_WATCHDOG_US 1000000u
#define AGAIN_US 100u
#define FAILPOINT_STALL_US 1200000u /* longer than the node of the test's rig is waited for */

/* ---- What is waited for ------------------------------------------------------------------------------------------------------------------------- */

int ipcnet_process_watch(struct ipcnet_process *self, int fd, enum ipcnet_source source, uint32_t number) {
  struct epoll_event event = {.events = EPOLLIN, .data.u64 = (uint64_t)source << 32 | number};
  return epoll_ctl(self->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -errno;
}

void ipcnet_process_unwatch(struct ipcnet_process *self, int fd) {
  if (fd >= 0) epoll_ctl(self->epoll, EPOLL_CTL_DEL, fd, NULL);
}

enum ipcnet_twin_role ipcnet_process_role(const struct ipcnet_process *self) {
  return ipcnet_reflex_role(self->core);
}

/* ---- For the core -------------------------------------------------------------------------------------------------------------------------------- */

static enum ipcnet_can_verdict os_send(void *context, uint8_t bus, const struct ipcnet_can_frame *frame) {
  struct ipcnet_process *self = context;
  (void)IPCNET_FAILPOINT("beforeSend");
  (void)IPCNET_FAILPOINT_OF("beforeSend", frame->can_id);
  enum ipcnet_can_verdict verdict = ipcnet_buses_send(&self->buses, bus, frame);
  if (verdict == IPCNET_CAN_QUEUED) (void)IPCNET_FAILPOINT_OF("afterSend", frame->can_id);
  return verdict;
}

static void os_bus_effect(void *context, uint8_t bus, enum ipcnet_bus_effect_kind kind) {
  struct ipcnet_process *self = context;
  ipcnet_buses_effect(&self->buses, bus, kind);
}

static void os_record(void *context, const struct ipcnet_can_frame *record) {
  struct ipcnet_process *self = context;
#ifdef IPCNET_FAILPOINTS
  if (record->flags == IPCNET_REFLEX_REPORT && record->can_id == IPCNET_REPORT_STEP) (void)IPCNET_FAILPOINT_OF("beforeJournal", record->token * 10u + record->data[0]);
  if (record->flags == IPCNET_REFLEX_REPORT && record->can_id == IPCNET_REPORT_VERDICT) (void)IPCNET_FAILPOINT("beforeVerdict");
#endif
  ipcnet_lanes_record(&self->lanes, record, self->now_us);
}

#ifdef IPCNET_FAILPOINTS
static void die_in_plan(const struct ipcnet_process *self, const struct ipcnet_reflex_image *image) {
  const struct ipcnet_reflex_table *table = ipcnet_reflex_loaded_table(self->core);
  if (table == NULL || image->run.plan >= table->header->sections[IPCNET_REFLEX_PLANS].count) return;
  const struct ipcnet_reflex_plan *plan = &table->plans[image->run.plan];
  if (image->run.verdict != IPCNET_VERDICT_NONE) {
    if (image->arming == IPCNET_SAFE_POSE) (void)IPCNET_FAILPOINT("beforeDiskVerdict"); /* else: a run of long ago */
    return;
  }
  if (image->run.last_sent == IPCNET_LAST_BEGUN) (void)IPCNET_FAILPOINT("beforeDiskLast");
  for (unsigned place = 0; place < plan->steps_count; place++) (void)IPCNET_FAILPOINT_OF("beforeDisk", (plan->steps_first + place) * 10u + image->run.steps[place].state);
}
#endif

static void os_journal(void *context, const struct ipcnet_reflex_image *image) {
  struct ipcnet_process *self = context;
#ifdef IPCNET_FAILPOINTS
  die_in_plan(self, image);
#endif
  if (self->store_usable) ipcnet_power_keep_image(self, image);
}

static void os_twin(void *context, uint32_t effects, uint16_t epoch) {
  ipcnet_twins_effects(context, effects, epoch);
}

static int os_power_line(void *context) {
  const struct ipcnet_process *self = context;
  return ipcnet_powerfail_says(&self->power);
}

static bool os_may_purge(void *context, uint8_t bus) {
  const struct ipcnet_process *self = context;
  return ipcnet_buses_may_purge(&self->buses, bus);
}

/* ---- What is said of it ------------------------------------------------------------------------------------------------------------------------------ */

static uint32_t features(const struct ipcnet_process *self) {
  uint16_t known[4] = {self->stored_epoch, self->link.page != NULL ? (uint16_t)self->link.page->epoch : 0, (uint16_t)self->page.page->epoch, ipcnet_reflex_heard_epoch(self->core)};
  uint16_t next = ipcnet_epoch_next(known, 4);
  bool detects = self->link.alive && self->link.page->robust_word != 0 && !atomic_load(&self->detector.refused);
  return (self->realtime.scheduled ? IPCNET_REFLEX_REALTIME : 0u) | (self->realtime.locked ? IPCNET_REFLEX_LOCKED : 0u) | (detects ? IPCNET_REFLEX_DETECTOR : 0u) |
         (atomic_load(&self->watchdog.open) ? IPCNET_REFLEX_WATCHDOG : 0u) | (self->twin_stands ? IPCNET_REFLEX_TWIN_STANDS : 0u) |
         (self->store_usable && ipcnet_store_has(&self->store, ipcnet_epoch_next(&next, 1)) ? IPCNET_REFLEX_EPOCH_RESERVED : 0u) | (self->power.fd >= 0 ? IPCNET_REFLEX_POWER_LINE : 0u) |
         (self->table_damaged ? IPCNET_REFLEX_TABLE_DAMAGED : 0u);
}

void ipcnet_process_status(struct ipcnet_process *self, struct ipcnet_reflex_status *to) {
  struct ipcnet_reflex_state_record state;
  const struct ipcnet_reflex_table *table = ipcnet_reflex_loaded_table(self->core);
  const struct ipcnet_reflex_counters *counters = ipcnet_reflex_counters(self->core);
  const struct ipcnet_reflex_page *other = self->link.alive ? self->link.page : NULL;
  ipcnet_reflex_state(self->core, &state);
  *to = (struct ipcnet_reflex_status){
    .major = IPCNET_PACKET_MAJOR, .minor = IPCNET_PACKET_MINOR, .instance = self->options.instance, .role = state.role, .arming = state.arming, .malfunction = state.malfunction,
    .epoch = state.epoch, .trigger = state.trigger, .plan = state.plan, .trigger_latched = state.trigger_latched, .healthy = ipcnet_reflex_healthy(self->core, self->now_us),
    .generation = state.generation, .features = features(self), .now_us = self->now_us, .since_us = state.since_us, .started_us = self->started_us, .pid = (uint32_t)getpid(),
    .missing_count = (uint8_t)(state.missing_count < 255 ? state.missing_count : 255), .buses = (uint8_t)self->buses.count, .stored_epoch = (uint16_t)atomic_load(&self->store.reserved_epoch),
    .turns = self->turns, .late_turns = self->late_turns, .turn_us_max = self->turn_us_max, .store_failures = atomic_load(&self->store.failures),
    .journal_writes = atomic_load(&self->store.journal_writes), .refused_packets = self->control.refused_packets, .closed_connections = self->control.closed_connections,
    .commands_read = self->lanes.commands_read, .commands_lost = self->lanes.commands_lost, .records_written = self->lanes.records_written, .watchdog_feeds = atomic_load(&self->watchdog.feeds),
    .sent_frames = counters->sent_frames, .echoed_frames = counters->echoed_frames, .received_frames = counters->received_frames, .rejected_frames = counters->rejected_frames,
    .foreign_frames = counters->foreign_frames, .reports_lost = counters->reports_lost, .set_points_expired = counters->set_points_expired, .plans_run = counters->plans_run,
    .plans_resumed = counters->plans_resumed, .takeovers = counters->takeovers, .claims_sent = counters->claims_sent, .higher_epochs_heard = counters->higher_epochs_heard,
    .stale_claims_heard = counters->stale_claims_heard, .brain_epoch = ipcnet_reflex_brain_epoch(self->core)};
  memcpy(to->refused, counters->refused, sizeof counters->refused);
  memcpy(to->bus_phases, self->page.page->bus_phases, sizeof to->bus_phases);
  if (table != NULL) memcpy(to->table_hash, table->header->hash, sizeof to->table_hash);
  if (other != NULL) {
    to->twin_pid = other->pid;
    to->twin_role = (uint8_t)other->role;
    to->twin_epoch = (uint16_t)other->epoch;
    to->twin_seen_us = self->watch.changed_us;
  }
  for (unsigned i = 0; i < IPCNET_CONNECTIONS_MAX; i++) to->brains = (uint8_t)(to->brains + (self->control.connections[i].fd >= 0 && self->control.connections[i].greeted && self->control.connections[i].who == IPCNET_WHO_BRAIN));
  (void)ipcnet_reflex_missing(self->core, self->now_us, to->missing, sizeof to->missing / sizeof to->missing[0]);
}

/* ---- Stopping ---------------------------------------------------------------------------------------------------------------------------------------- */

static void begin_stop(struct ipcnet_process *self) {
  if (self->stopping) return;
  self->stopping = true;
  ipcnet_notify_say(&self->notify, "STOPPING=1");
  if (ipcnet_process_role(self) != IPCNET_TWIN_OWNER) return;
  enum ipcnet_reflex_answer answer = ipcnet_reflex_order(self->core, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_STOP, 0, 0, self->now_us);
  if (answer != IPCNET_ANSWER_DONE) (void)ipcnet_reflex_order(self->core, IPCNET_ORDER_DISARM, 0, 0, 0, self->now_us);
  ipcnet_log_write(&self->log, answer == IPCNET_ANSWER_DONE ? "stops: the safe pose first" : "stops: no plan for it, disarmed");
}

/* A plan always ends: its budget sees to it. */
static void go_on_stopping(struct ipcnet_process *self) {
  struct ipcnet_reflex_state_record state;
  ipcnet_reflex_state(self->core, &state);
  if (state.role == IPCNET_TWIN_OWNER && state.arming == IPCNET_SAFE_POSE) {
    ipcnet_notify_working(&self->notify, self->now_us);
    return;
  }
  /* It is at rest, and nothing of it asks for a person: whoever starts next is disarmed, as after any other day. Who is killed instead leaves the pose as it stands. */
  if (state.role == IPCNET_TWIN_OWNER && state.arming == IPCNET_POSED && !state.trigger_latched) (void)ipcnet_reflex_order(self->core, IPCNET_ORDER_RESET, 0, 0, 0, self->now_us);
  if (state.role != IPCNET_TWIN_STOPPED) ipcnet_reflex_twin_event(self->core, IPCNET_TWIN_STOP_ASKED, NULL, self->now_us);
  self->finished = true;
}

/* ---- Turning ------------------------------------------------------------------------------------------------------------------------------------------ */

static void happened(struct ipcnet_process *self, uint64_t data) {
  uint32_t number = (uint32_t)data;
  struct signalfd_siginfo info;
  switch ((enum ipcnet_source)(data >> 32)) {
  case IPCNET_SOURCE_TIMER: case IPCNET_SOURCE_BUSES: case IPCNET_SOURCE_POWER: break; /* every turn does what they ask for */
  case IPCNET_SOURCE_SIGNALS:
    if (read(self->signals, &info, sizeof info) == (ssize_t)sizeof info) begin_stop(self);
    break;
  case IPCNET_SOURCE_TWIN_DEAD: ipcnet_twins_dead(self); break;
  case IPCNET_SOURCE_TWIN_SUSPECT: ipcnet_twins_suspect(self); break;
  case IPCNET_SOURCE_TWIN_SOCKET: ipcnet_twins_read(self); break;
  case IPCNET_SOURCE_STORE: ipcnet_twins_stored(self); break;
  case IPCNET_SOURCE_WRITER: ipcnet_twins_writer_died(self); break;
  case IPCNET_SOURCE_LISTENER: ipcnet_control_accept(self); break;
  case IPCNET_SOURCE_CONNECTION: ipcnet_control_read(self, number); break;
  case IPCNET_SOURCE_COMMANDS: ipcnet_control_commands(self, number); break;
  }
}

static bool is_about_the_twin(uint64_t data) {
  enum ipcnet_source source = (enum ipcnet_source)(data >> 32);
  return source == IPCNET_SOURCE_TWIN_DEAD || source == IPCNET_SOURCE_TWIN_SUSPECT;
}

static void set_timer(struct ipcnet_process *self, uint64_t due_us) {
  struct itimerspec when = {.it_value = {.tv_sec = (time_t)(due_us / 1000000u), .tv_nsec = (long)(due_us % 1000000u) * 1000 + 1}};
  timerfd_settime(self->timer, TFD_TIMER_ABSTIME, &when, NULL); /* setting it also takes back that it was due */
}

/* Whether it comes late. */
static bool count_turn(struct ipcnet_process *self, uint64_t before_us) {
  uint64_t gap_us = self->now_us - before_us;
  bool late = gap_us > self->watch.deadline_us / 2;
  self->turns += 1;
  if (late) self->late_turns += 1;
  if (gap_us > self->turn_us_max) self->turn_us_max = gap_us;
  return late;
}

static void feed_watchdog(struct ipcnet_process *self) {
  bool owner = ipcnet_process_role(self) == IPCNET_TWIN_OWNER;
  ipcnet_watchdog_say(&self->watchdog, owner ? IPCNET_WATCHDOG_FEED : IPCNET_WATCHDOG_LEAVE, ipcnet_reflex_healthy(self->core, self->now_us), self->now_us);
}

static void turn(struct ipcnet_process *self) {
  struct epoll_event events[EVENTS];
  uint64_t before_us = self->now_us;
  if (IPCNET_FAILPOINT("turn")) usleep(FAILPOINT_STALL_US);
  int count = epoll_wait(self->epoll, events, EVENTS, self->more ? 0 : -1);
  self->more = false;
  self->now_us = ipcnet_now_us();
  bool late = count_turn(self, before_us);
  /* Who stood still himself reads what has arrived meanwhile before he judges anything by it, or nodes that were heard would count as lost. */
  if (late) ipcnet_buses_pump(&self->buses, self->core, self->now_us);
  /* Else the twin's death first: everything else can wait the microseconds. */
  for (int i = 0; i < count; i++) {
    if (is_about_the_twin(events[i].data.u64)) happened(self, events[i].data.u64);
  }
  /* What has arrived is read before orders are judged by it, and before the core judges what has not. */
  if (!late) ipcnet_buses_pump(&self->buses, self->core, self->now_us);
  for (int i = 0; i < count; i++) {
    if (!is_about_the_twin(events[i].data.u64)) happened(self, events[i].data.u64);
  }
  ipcnet_buses_tick(&self->buses, self->now_us);
  ipcnet_twins_tick(self);
  ipcnet_power_tick(self);
  ipcnet_control_tick(self);
  if (self->stopping) go_on_stopping(self);
  ipcnet_reflex_tick(self->core, self->now_us);
  ipcnet_powerfail_looked(&self->power);
  /* At the end it is ended, not left: closed before that it would bite a robot that stands as it should. */
  if (!self->finished) feed_watchdog(self);
  ipcnet_notify_alive(&self->notify, self->now_us);
  bool lines_wait = atomic_load_explicit(&self->log.head, memory_order_relaxed) != atomic_load_explicit(&self->log.tail, memory_order_relaxed);
  if (lines_wait && !ipcnet_power_fails(self)) ipcnet_store_wake(&self->store); /* they may end up on a disk */

  uint64_t due_us = ipcnet_lanes_flush(&self->lanes, self->now_us), next_us = ipcnet_reflex_next_deadline_us(self->core);
  if (next_us < due_us) due_us = next_us;
  if (ipcnet_twins_next_us(self) < due_us) due_us = ipcnet_twins_next_us(self);
  if (self->now_us + IPCNET_BEAT_US < due_us) due_us = self->now_us + IPCNET_BEAT_US;
  /* What is overdue after a turn could not be done in it. At real-time priority a loop that asks again at once starves those whose answer it waits for. */
  if (due_us <= self->now_us) due_us = self->now_us + AGAIN_US;
  set_timer(self, due_us);
}

/* ---- From beginning to end ------------------------------------------------------------------------------------------------------------------------------ */

static int begin(struct ipcnet_process *self) {
  char others[108];
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, NULL);
  self->epoll = epoll_create1(EPOLL_CLOEXEC);
  self->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  self->signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  if (self->epoll < 0 || self->timer < 0 || self->signals < 0) return -errno;
  int result = ipcnet_process_watch(self, self->timer, IPCNET_SOURCE_TIMER, 0);
  if (result == 0) result = ipcnet_process_watch(self, self->signals, IPCNET_SOURCE_SIGNALS, 0);
  if (result == 0) result = ipcnet_buses_init(&self->buses, self->options.instance, self->options.run, self->options.purge, &self->log);
  if (result == 0) result = ipcnet_process_watch(self, self->buses.wake_fd, IPCNET_SOURCE_BUSES, 0);
  if (result == 0) result = ipcnet_lanes_init(&self->lanes);
  if (result == 0) result = ipcnet_detector_start(&self->detector);
  if (result == 0) result = ipcnet_patrol_start(&self->patrol);
  if (result == 0) result = ipcnet_process_watch(self, self->detector.died_fd, IPCNET_SOURCE_TWIN_SUSPECT, 0);
  if (result == 0) result = ipcnet_process_watch(self, self->store.news_fd, IPCNET_SOURCE_STORE, 0);
  if (result == 0 && self->store.writer_pidfd >= 0) result = ipcnet_process_watch(self, self->store.writer_pidfd, IPCNET_SOURCE_WRITER, 0);
  if (result == 0) result = ipcnet_watchdog_start(&self->watchdog, self->options.watchdog);
  if (result < 0) return result;
  snprintf(others, sizeof others, "%s/reflex-%c.sock", self->options.run, self->options.instance == 0 ? 'b' : 'a');
  ipcnet_twin_link_init(&self->link, others, self->options.instance, &self->detector);
  snprintf(others, sizeof others, "%s/reflex.lock", self->options.run);
  self->lock = ipcnet_fence_open(others);
  return self->lock < 0 ? self->lock : 0;
}

static void begin_core(struct ipcnet_process *self) {
  const struct ipcnet_reflex_os os = {.context = self, .send = os_send, .bus_effect = os_bus_effect, .record = os_record, .journal = os_journal, .twin = os_twin};
  struct ipcnet_reflex_options options = {.instance = self->options.instance, .alone = self->options.alone, .stored_epoch = self->stored_epoch, .may_purge = os_may_purge, .power_line = os_power_line};
  struct ipcnet_reflex_image image;
  memcpy(options.boot_id, self->page.page->boot_id, sizeof options.boot_id);
  ipcnet_twin_watch_init(&self->watch, 10000, self->now_us);
  ipcnet_reflex_init(self->core, &options, &os, self->page.page, self->now_us);
  ipcnet_tables_begin(self);
  if (ipcnet_store_read_journal(&self->store, &image)) ipcnet_reflex_restore(self->core, &image, self->now_us);
}

static void end(struct ipcnet_process *self) {
  struct ipcnet_reflex_state_record state;
  ipcnet_reflex_state(self->core, &state);
  ipcnet_lanes_flush(&self->lanes, self->now_us + IPCNET_LANES_PACE_US);
  ipcnet_fence_release(self->lock);
  if (self->image_waits) ipcnet_store_keep_image(&self->store, &self->unwritten); /* stopped in order: the pose is over, and the power still holds */
  /* Only who leaves the robot at rest ends the watchdog. */
  if (self->watchdog.path != NULL && atomic_load(&self->watchdog.open) && (state.arming == IPCNET_POSED || state.arming == IPCNET_DISARMED)) {
    ipcnet_watchdog_say(&self->watchdog, IPCNET_WATCHDOG_END, true, self->now_us);
    for (uint64_t until_us = self->now_us + END_WATCHDOG_US; !atomic_load(&self->watchdog.ended) && ipcnet_now_us() < until_us;) usleep(1000);
  }
  ipcnet_control_close(self);
  ipcnet_buses_close(&self->buses);
  ipcnet_lanes_destroy(&self->lanes);
  __atomic_store_n(&self->page.page->robust_word, 0, __ATOMIC_RELEASE);
  ipcnet_log_write(&self->log, "stopped");
  ipcnet_store_stop(&self->store);
  ipcnet_keeper_stop(&self->keeper);
}

int ipcnet_process_run(struct ipcnet_process *self) {
  self->now_us = self->started_us = ipcnet_now_us();
  self->told_role = IPCNET_TWIN_ROLES;
  self->power_watched = self->power_told = -1;
  ipcnet_powerfail_init(&self->power, &ipcnet_gpio_linux);
  ipcnet_log_init(&self->log, self->options.instance == 0 ? "ipcnet-reflex@a" : "ipcnet-reflex@b");
  ipcnet_notify_open(&self->notify);
  if (self->options.realtime) (void)ipcnet_keeper_start(&self->keeper); /* without it a takeover takes some hundred microseconds more */
  int result = ipcnet_page_create(&self->page);
  if (result == 0) {
    self->store_usable = ipcnet_store_open(&self->store, self->options.state, self->options.instance, &self->log, &self->stored_epoch) == IPCNET_STORE_OPEN;
    ipcnet_patrol_init(&self->patrol);
    if (self->options.realtime) ipcnet_realtime_begin(&self->realtime, self->options.cpu);
    result = ipcnet_store_start(&self->store);
    if (result == 0) result = begin(self);
  }
  if (result == 0) {
    if (self->options.realtime && !self->realtime.scheduled) ipcnet_log_write(&self->log, "no realtime priority (%s): takeovers may be late by tens of milliseconds", strerror(self->realtime.schedule_error));
    if (self->options.realtime && !self->realtime.locked) ipcnet_log_write(&self->log, "memory is not locked (%s)", strerror(self->realtime.lock_error));
    result = ipcnet_page_mark_death(&self->page);
    if (result < 0) ipcnet_log_write(&self->log, "no robust list (%s): the twin sees our death by its pidfd alone", strerror(-result));
    self->now_us = ipcnet_now_us();
    begin_core(self);
    result = ipcnet_control_open(self);
  }
  if (result < 0) {
    ipcnet_log_write(&self->log, "cannot start: %s", strerror(-result));
    ipcnet_store_stop(&self->store);
    ipcnet_keeper_stop(&self->keeper);
    ipcnet_log_flush(&self->log);
    return EXIT_FAILURE;
  }
  ipcnet_twins_begin(self);
  ipcnet_notify_say(&self->notify, "READY=1");
  self->more = true;
  self->now_us = ipcnet_now_us();
  while (!self->finished) turn(self);
  end(self);
  return EXIT_SUCCESS;
}
