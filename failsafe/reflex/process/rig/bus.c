#include "bus.h"

#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

struct record { uint8_t kind, arg; uint16_t reserved; uint32_t value; struct ipcnet_can_frame frame; };
#define RIG_TURN_US 1000u /* of the joints, where they say that they do not hear their owner */
#define HOLD_US 100000u

enum { HELLO = 1, WELCOME, FRAME, ECHO };

uint64_t rig_now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* ---- The wire --------------------------------------------------------------------------------------------------------------------------------- */

static void give(struct rig_client *to, const struct record *record) {
  if (to->fd >= 0 && to->welcomed) (void)!send(to->fd, record, sizeof *record, MSG_NOSIGNAL | MSG_DONTWAIT); /* a client that does not read loses frames, as on a bus */
}

static bool is_far(struct rig_bus *self, const struct rig_client *client) {
  pid_t group = (pid_t)(uint32_t)atomic_load(&self->far);
  return client != NULL && group != 0 && client->group == group;
}

static bool joint_is_far(struct rig_bus *self, uint32_t joint) {
  return atomic_load(&self->far) >> (32u + joint) & 1u;
}

/* A receiver on the same piece of wire, and not in the same box. */
static bool is_acknowledged(struct rig_bus *self, const struct rig_client *from) {
  if (atomic_load(&self->unacknowledged)) return false;
  if (atomic_load(&self->far) == 0) return true;
  for (uint32_t joint = 0; joint < self->joint_count; joint++) {
    if (joint_is_far(self, joint) == is_far(self, from)) return true;
  }
  for (int i = 0; i < RIG_CLIENTS_MAX; i++) {
    const struct rig_client *other = &self->clients[i];
    if (other->fd >= 0 && other->group != from->group && is_far(self, other) == is_far(self, from)) return true;
  }
  return false;
}

static void give_others(struct rig_bus *self, const struct rig_client *from, bool far, const struct ipcnet_can_frame *frame) {
  struct record record = {.kind = FRAME, .frame = *frame};
  for (int i = 0; i < RIG_CLIENTS_MAX; i++) {
    if (&self->clients[i] != from && is_far(self, &self->clients[i]) == far) give(&self->clients[i], &record);
  }
}

static uint64_t inject(struct rig_bus *self, bool far, uint32_t id, const uint8_t *data, uint8_t length) {
  uint64_t now_us = rig_now_us();
  struct ipcnet_can_frame frame = {.time_us = (double)now_us, .can_id = id, .length_bytes = length};
  memcpy(frame.data, data, length);
  give_others(self, NULL, far, &frame);
  return now_us;
}

uint64_t rig_bus_inject(struct rig_bus *self, uint32_t id, const uint8_t *data, uint8_t length) {
  return inject(self, false, id, data, length);
}

void rig_bus_break(struct rig_bus *self, pid_t group, uint32_t joints) {
  atomic_store(&self->far, (uint64_t)joints << 32 | (uint32_t)group);
}

/* ---- The joints ------------------------------------------------------------------------------------------------------------------------------- */

static void report(struct rig_bus *self, uint32_t number, uint64_t now_us) {
  struct rig_joint *joint = &self->joints[number];
  const ipcnet_e2e_config e2e = {.data_id = RIG_STATE_DATA_ID + number, .max_length_bytes = 8};
  uint8_t data[8] = {0};
  uint16_t target = (uint16_t)joint->seen.target;
  joint->state_due_us = now_us + RIG_STATE_PERIOD_US;
  if (number == 0 && self->guest.period != NULL) self->guest.period(self->guest.context);
  if (atomic_load(&self->mute)) return;
  joint->seen.reported = joint->seen.target;
  data[3] = (uint8_t)joint->node.epoch;
  data[4] = (uint8_t)(joint->node.epoch >> 8);
  data[5] = joint->reported_owner = ipcnet_node_reported_owner(&joint->node);
  data[6] = (uint8_t)target;
  data[7] = (uint8_t)(target >> 8);
  ipcnet_e2e_p05_protect(&e2e, data, sizeof data, joint->state_counter++ & 0xFFu);
  joint->seen.reported_us = inject(self, joint_is_far(self, number), RIG_STATE_ID + number, data, sizeof data);
}

static void hear(struct rig_bus *self, uint32_t number, const struct ipcnet_can_frame *frame, uint64_t now_us) {
  struct rig_joint *joint = &self->joints[number];
  if (ipcnet_node_hear(&joint->node, (uint8_t)(frame->can_id & 3u), frame->data, frame->length_bytes, (uint32_t)now_us) != IPCNET_NODE_FOLLOWED) return;
  joint->seen.followed += 1;
  joint->seen.followed_us = now_us;
  joint->seen.accepted_us = 0;
  joint->seen.last_gap_us = 0;
  joint->seen.epoch = joint->newest_epoch = joint->node.epoch;
  joint->seen.owner = joint->node.owner;
  report(self, number, now_us);
}

static void judge(struct rig_joint *self, const struct ipcnet_can_frame *frame, uint64_t now_us) {
  if (ipcnet_node_judge(&self->node, 0, frame->data, frame->length_bytes, (uint32_t)now_us) != IPCNET_NODE_ACCEPTED) {
    self->seen.refused += 1;
    return;
  }
  uint16_t epoch = frame->data[3];
  if (epoch != (self->newest_epoch & 0xFFu) || (frame->data[4] & 3u) != self->seen.owner) self->seen.stale_accepted += 1;
  if (self->seen.accepted_us != 0 && epoch != self->accepted_epoch) self->seen.two_owners = true;
  if (self->seen.accepted_us == 0) self->seen.accepted_us = now_us;
  else if (now_us - self->seen.last_accepted_us > self->seen.last_gap_us) self->seen.last_gap_us = now_us - self->seen.last_accepted_us;
  self->accepted_epoch = epoch;
  self->seen.last_accepted_us = now_us;
  self->seen.accepted += 1;
  self->seen.accepted_of[frame->data[4] & 3u] += 1;
  self->seen.target = (int16_t)(uint16_t)(frame->data[5] | frame->data[6] << 8);
}

/* ---- Clients ---------------------------------------------------------------------------------------------------------------------------------- */

static void take(struct rig_bus *self, struct rig_client *of, const struct record *record, uint64_t now_us) {
  if (record->kind == HELLO) {
    const struct record welcome = {.kind = WELCOME, .arg = 1, .value = 64, .frame.token = atomic_load(&self->waiting)};
    size_t bus_name = strnlen((const char *)record->frame.data, 31);
    snprintf(of->name, sizeof of->name, "%.31s", (const char *)record->frame.data + bus_name + 1);
    of->welcomed = true;
    give(of, &welcome);
    return;
  }
  if (record->kind != FRAME || !of->welcomed) return;
  if (!is_acknowledged(self, of)) return; /* for ever on its way */
  struct record echo = *record;
  echo.kind = ECHO;
  echo.frame.time_us = (double)now_us;
  give(of, &echo);
  give_others(self, of, is_far(self, of), &echo.frame);
  pthread_mutex_lock(&self->lock);
  self->joints[0].seen.frames += 1;
  for (uint32_t joint = 0; joint < self->joint_count; joint++) {
    if (joint_is_far(self, joint) != is_far(self, of)) continue;
    if ((record->frame.can_id & ~3u) == RIG_CLAIM_ID) hear(self, joint, &record->frame, now_us);
    if (record->frame.can_id == RIG_COMMAND_ID + joint) judge(&self->joints[joint], &record->frame, now_us);
  }
  if (record->frame.can_id == RIG_BRAKE_ID) self->joints[0].seen.brakes += 1;
  if (self->guest.heard != NULL) self->guest.heard(self->guest.context, &record->frame, now_us);
  pthread_cond_broadcast(&self->changed);
  pthread_mutex_unlock(&self->lock);
}

static bool is_first_claim(const struct record *record) {
  return record->kind == FRAME && (record->frame.can_id & ~3u) == RIG_CLAIM_ID && (record->frame.data[3] & 15u) == 0;
}

/* All whole records; on a busy bus up to a claim. */
static void pass_on(struct rig_bus *self, struct rig_client *of, uint64_t now_us) {
  size_t at = 0;
  for (; of->filled - at >= sizeof(struct record) && !of->waits; at += sizeof(struct record)) {
    struct record record;
    memcpy(&record, of->buffer + at, sizeof record);
    of->waits = is_first_claim(&record) && atomic_load(&self->busy);
    if (of->waits) break;
    take(self, of, &record, now_us);
  }
  memmove(of->buffer, of->buffer + at, of->filled - at);
  of->filled -= at;
  if (of->waits && self->held_until_us == 0) self->held_until_us = now_us + HOLD_US;
}

/* Two groups claim, or nobody else comes: the lower identifier goes first. */
static void arbitrate(struct rig_bus *self, uint64_t now_us) {
  struct rig_client *waiting[RIG_CLIENTS_MAX];
  unsigned count = 0;
  bool contested = false;
  if (self->held_until_us == 0) return;
  for (int i = 0; i < RIG_CLIENTS_MAX; i++) {
    struct rig_client *client = &self->clients[i];
    if (client->fd < 0 || !client->waits) continue;
    if (count > 0 && client->group != waiting[0]->group) contested = true;
    waiting[count++] = client;
  }
  if (count > 0 && !contested && now_us < self->held_until_us) return;
  atomic_store(&self->busy, false);
  self->held_until_us = 0;
  for (uint32_t owner = 0; owner < 4; owner++) {
    for (unsigned i = 0; i < count; i++) {
      struct record record;
      memcpy(&record, waiting[i]->buffer, sizeof record);
      if (!waiting[i]->waits || (record.frame.can_id & 3u) != owner) continue;
      waiting[i]->waits = false;
      pass_on(self, waiting[i], now_us);
    }
  }
}

static void read_client(struct rig_bus *self, struct rig_client *of) {
  ssize_t got = recv(of->fd, of->buffer + of->filled, sizeof of->buffer - of->filled, MSG_DONTWAIT);
  uint64_t now_us = rig_now_us();
  if (got <= 0) {
    close(of->fd);
    *of = (struct rig_client){.fd = -1};
    return;
  }
  of->filled += (size_t)got;
  pass_on(self, of, now_us);
}

static void accept_one(struct rig_bus *self) {
  int fd = accept(self->listener, NULL, NULL);
  for (int i = 0; i < RIG_CLIENTS_MAX && fd >= 0; i++) {
    if (self->clients[i].fd >= 0) continue;
    struct ucred peer = {0};
    socklen_t length = sizeof peer;
    (void)getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length);
    self->clients[i] = (struct rig_client){.fd = fd, .group = getpgid(peer.pid)};
    return;
  }
  if (fd >= 0) close(fd);
}

static void *run(void *argument) {
  struct rig_bus *self = argument;
  for (;;) {
    struct pollfd wanted[2 + RIG_CLIENTS_MAX] = {{.fd = self->stop_fd, .events = POLLIN}, {.fd = self->listener, .events = POLLIN}};
    for (int i = 0; i < RIG_CLIENTS_MAX; i++) wanted[2 + i] = (struct pollfd){.fd = self->clients[i].waits ? -1 : self->clients[i].fd, .events = POLLIN};
    uint64_t now_us = rig_now_us();
    uint64_t turn_us = self->options.claim_quiet_us != 0 ? now_us + RIG_TURN_US : UINT64_MAX;
    for (uint32_t joint = 0; joint < self->joint_count; joint++) {
      if (self->joints[joint].state_due_us < turn_us) turn_us = self->joints[joint].state_due_us;
    }
    struct timespec timeout = {.tv_nsec = now_us < turn_us ? (long)(turn_us - now_us) * 1000 : 0};
    ppoll(wanted, 2 + RIG_CLIENTS_MAX, &timeout, NULL);
    if (wanted[0].revents != 0) return NULL;
    if (wanted[1].revents != 0) accept_one(self);
    for (int i = 0; i < RIG_CLIENTS_MAX; i++) {
      if (wanted[2 + i].revents != 0 && self->clients[i].fd == wanted[2 + i].fd) read_client(self, &self->clients[i]);
    }
    atomic_fetch_add(&self->turns, 1);
    now_us = rig_now_us();
    arbitrate(self, now_us);
    pthread_mutex_lock(&self->lock);
    for (uint32_t number = 0; number < self->joint_count; number++) {
      struct rig_joint *joint = &self->joints[number];
      ipcnet_node_poll(&joint->node, (uint32_t)now_us);
      if (now_us >= joint->state_due_us || joint->reported_owner != ipcnet_node_reported_owner(&joint->node)) report(self, number, now_us);
    }
    pthread_mutex_unlock(&self->lock);
  }
}

static void add_joint(struct rig_bus *self) {
  uint32_t number = self->joint_count;
  struct rig_joint *joint = &self->joints[number];
  joint->command = (struct ipcnet_node_command){.inspect = ipcnet_e2e_p05_inspect, .e2e = {.data_id = RIG_COMMAND_DATA_ID + number, .max_length_bytes = 8}, .counter_max = IPCNET_E2E_P05_COUNTER_MAX,
    .motion = true, .epoch = {24, 8}, .owner = {32, 2}};
  ipcnet_node_init(&joint->node, &self->options, &joint->command, 1);
  self->joint_count = number + 1;
}

bool rig_bus_start(struct rig_bus *self, const char *path, int priority, const struct rig_bus_guest *guest) {
  struct sockaddr_un address = {.sun_family = AF_UNIX};
  memset(self, 0, sizeof *self);
  if (guest != NULL) self->guest = *guest;
  for (int i = 0; i < RIG_CLIENTS_MAX; i++) self->clients[i].fd = -1;
  snprintf(self->path, sizeof self->path, "%s", path);
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  self->options = (struct ipcnet_node_options){.claim_timeout_us = 2000000, .dead_man_us = 2000000};
  add_joint(self);
  pthread_condattr_t monotonic;
  pthread_condattr_init(&monotonic);
  pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
  pthread_cond_init(&self->changed, &monotonic);
  pthread_mutex_init(&self->lock, NULL);
  self->stop_fd = eventfd(0, EFD_CLOEXEC);
  self->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(self->listener, (const struct sockaddr *)&address, sizeof address) != 0 || listen(self->listener, 8) != 0) return false;
  if (pthread_create(&self->thread, NULL, run, self) != 0) return false;
  struct sched_param parameters = {.sched_priority = priority};
  if (priority > 0) pthread_setschedparam(self->thread, SCHED_FIFO, &parameters);
  return true;
}

void rig_bus_stop(struct rig_bus *self) {
  const uint64_t one = 1;
  (void)!write(self->stop_fd, &one, sizeof one);
  pthread_join(self->thread, NULL);
  for (int i = 0; i < RIG_CLIENTS_MAX; i++) {
    if (self->clients[i].fd >= 0) close(self->clients[i].fd);
  }
  close(self->listener);
  close(self->stop_fd);
  unlink(self->path);
}

void rig_bus_says_quiet_after(struct rig_bus *self, uint32_t quiet_us) {
  pthread_mutex_lock(&self->lock);
  self->options.claim_quiet_us = quiet_us;
  pthread_mutex_unlock(&self->lock);
}

void rig_bus_second_joint(struct rig_bus *self) {
  pthread_mutex_lock(&self->lock);
  if (self->joint_count < RIG_JOINTS_MAX) add_joint(self);
  pthread_mutex_unlock(&self->lock);
}

struct rig_seen rig_bus_seen_of(struct rig_bus *self, uint32_t joint) {
  pthread_mutex_lock(&self->lock);
  struct rig_seen seen = self->joints[joint].seen;
  pthread_mutex_unlock(&self->lock);
  return seen;
}

struct rig_seen rig_bus_seen(struct rig_bus *self) {
  return rig_bus_seen_of(self, 0);
}

void rig_bus_drain(struct rig_bus *self) {
  /* It may be in the middle of a turn that has passed a client already. */
  for (uint64_t until = atomic_load(&self->turns) + 2; atomic_load(&self->turns) < until;) usleep(500);
}

bool rig_bus_wait(struct rig_bus *self, uint64_t until_us) {
  struct timespec until = {.tv_sec = (time_t)(until_us / 1000000u), .tv_nsec = (long)(until_us % 1000000u) * 1000};
  pthread_mutex_lock(&self->lock);
  int result = pthread_cond_timedwait(&self->changed, &self->lock, &until);
  pthread_mutex_unlock(&self->lock);
  return result == 0;
}
