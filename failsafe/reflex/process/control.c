#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "process.h"

#define HELLO_US 1000000u
#define PACKETS_PER_TURN 16u
#define BATCH 4u
#define BACKLOG 16
#define SWITCH_HOST_US 500000u /* how long the other host may take to claim */

/* ---- Sending ----------------------------------------------------------------------------------------------------------------------------------- */

static void drop(struct ipcnet_process *self, struct ipcnet_connection *of) {
  if (of->fd < 0) return;
  ipcnet_process_unwatch(self, of->fd);
  if (of->commands >= 0) {
    ipcnet_process_unwatch(self, ipcnet_lanes_bell_fd(&self->lanes, of->commands));
    ipcnet_lanes_close_commands(&self->lanes, of->commands);
  }
  if (of->frame_reader >= 0) ipcnet_lane_writer_remove_reader(self->lanes.frames, of->frame_reader);
  close(of->fd);
  bool was_beating = of->beats;
  uint32_t brain_epoch = of->brain_epoch;
  *of = (struct ipcnet_connection){.fd = -1, .commands = -1, .frame_reader = -1};
  self->control.closed_connections += 1;
  if (self->control.switcher == of - self->control.connections) self->control.switcher = -1;
  if (!was_beating) return;
  /* Gone only if no other connection speaks for the same or a newer brain. */
  for (unsigned i = 0; i < IPCNET_CONNECTIONS_MAX; i++) {
    const struct ipcnet_connection *other = &self->control.connections[i];
    if (other->fd >= 0 && other->beats && other->brain_epoch >= brain_epoch) return;
  }
  (void)ipcnet_reflex_order(self->core, IPCNET_ORDER_BRAIN_GONE, brain_epoch, 0, 0, self->now_us);
}

/* A peer that leaves so much unread that this does not fit is cut off. */
static void send_packet(struct ipcnet_process *self, struct ipcnet_connection *to, uint16_t kind, uint16_t request, const void *body, size_t body_bytes, const struct ipcnet_seqpacket_fds *fds) {
  uint8_t bytes[IPCNET_PACKET_BYTES_MAX];
  if (to->fd < 0) return;
  struct ipcnet_seqpacket_packet packet = {.bytes = bytes, .length = ipcnet_packet_encode(bytes, kind, request, to->sent, body, body_bytes)};
  int result = packet.length == 0 ? -EMSGSIZE : fds != NULL ? ipcnet_seqpacket_send_fds(to->fd, &packet, fds, 1) : ipcnet_seqpacket_send(to->fd, &packet, 1);
  if (result == 1) to->sent += 1;
  else drop(self, to);
}

static void send_fault(struct ipcnet_process *self, struct ipcnet_connection *to, uint16_t request, const char *why) {
  struct { uint8_t answer, zero; uint16_t count; char why[120]; } body = {.answer = IPCNET_ANSWER_FAULT};
  body.count = (uint16_t)snprintf(body.why, sizeof body.why, "%s", why);
  if (request != 0) send_packet(self, to, IPCNET_PACKET_ANSWER, request, &body, 4u + strlen(body.why), NULL);
}

static void send_answer(struct ipcnet_process *self, struct ipcnet_connection *to, uint16_t request, enum ipcnet_reflex_answer answer) {
  struct { uint8_t answer, zero; uint16_t count; struct ipcnet_reflex_lack lacks[IPCNET_PACKET_LACKS_MAX]; } body = {.answer = (uint8_t)answer};
  size_t shown = 0;
  if (request == 0) return;
  if (answer == IPCNET_ANSWER_REFUSED) {
    size_t count = ipcnet_reflex_missing(self->core, self->now_us, body.lacks, IPCNET_PACKET_LACKS_MAX);
    body.count = (uint16_t)count;
    shown = count < IPCNET_PACKET_LACKS_MAX ? count : IPCNET_PACKET_LACKS_MAX;
  }
  send_packet(self, to, IPCNET_PACKET_ANSWER, request, &body, 4u + shown * sizeof body.lacks[0], NULL);
}

bool ipcnet_control_give_power_line(struct ipcnet_process *self) {
  const struct ipcnet_seqpacket_fds fds = {.count = 1, .fds = {self->power.fd}};
  bool given = false;
  for (unsigned i = 0; i < IPCNET_CONNECTIONS_MAX; i++) {
    struct ipcnet_connection *to = &self->control.connections[i];
    if (to->fd < 0 || !to->greeted || to->who != IPCNET_WHO_TWIN) continue;
    send_packet(self, to, IPCNET_PACKET_POWER_LINE, 0, &self->power.want, sizeof self->power.want, &fds);
    given = given || to->fd >= 0;
  }
  return given;
}

void ipcnet_control_look(struct ipcnet_process *self) {
  for (unsigned i = 0; i < IPCNET_CONNECTIONS_MAX; i++) {
    struct ipcnet_connection *to = &self->control.connections[i];
    if (to->fd >= 0 && to->greeted && to->who == IPCNET_WHO_TWIN) send_packet(self, to, IPCNET_PACKET_LOOK, 0, NULL, 0, NULL);
  }
}

/* ---- What is asked ------------------------------------------------------------------------------------------------------------------------------ */

/* False: the peer broke the protocol. */
static bool greet(struct ipcnet_process *self, struct ipcnet_connection *of, const struct ipcnet_packet *packet) {
  struct ipcnet_packet_hello hello;
  if (of->greeted || packet->hello.major != IPCNET_PACKET_MAJOR || packet->hello.who >= IPCNET_WHOS) return false;
  if (packet->hello.who == IPCNET_WHO_TWIN && packet->hello.instance == self->options.instance) return false;
  of->greeted = true;
  of->who = packet->hello.who;
  of->brain_epoch = packet->hello.brain_epoch;
  ipcnet_twins_hello(self, &hello);
  send_packet(self, of, IPCNET_PACKET_HELLO, packet->request, &hello, sizeof hello, NULL);
  struct ipcnet_seqpacket_fds fds = {.count = 1};
  if (of->who == IPCNET_WHO_TWIN) {
    fds.fds[0] = self->page.fd;
    send_packet(self, of, IPCNET_PACKET_TWIN_PAGE, 0, NULL, 0, &fds);
  }
  if (of->who == IPCNET_WHO_BRAIN) {
    fds.fds[0] = ipcnet_lane_writer_fd(self->lanes.frames);
    send_packet(self, of, IPCNET_PACKET_FRAME_LANE, 0, NULL, 0, &fds);
  }
  return true;
}

static void take_table(struct ipcnet_process *self, struct ipcnet_connection *of, const struct ipcnet_packet *packet, int fd) {
  char why[96];
  if (ipcnet_tables_take(self, fd, packet->table.length, why, sizeof why)) {
    send_answer(self, of, packet->request, IPCNET_ANSWER_DONE);
    return;
  }
  ipcnet_log_write(&self->log, "a table is refused: %s", why);
  send_fault(self, of, packet->request, why);
}

static void take_command_lane(struct ipcnet_process *self, struct ipcnet_connection *of, const struct ipcnet_packet *packet, int fd) {
  int bell = -1, place = of->commands >= 0 ? -EEXIST : ipcnet_lanes_open_commands(&self->lanes, fd, &bell);
  if (place < 0) {
    send_fault(self, of, packet->request, place == -EEXIST ? "lane: has one already" : place == -ENOSPC ? "lane: too many" : "lane: is none");
    return;
  }
  struct ipcnet_seqpacket_fds fds = {.count = 2, .fds = {ipcnet_lanes_page_fd(&self->lanes, place), bell}};
  of->commands = place;
  ipcnet_process_watch(self, ipcnet_lanes_bell_fd(&self->lanes, place), IPCNET_SOURCE_COMMANDS, (uint32_t)(of - self->control.connections));
  send_packet(self, of, IPCNET_PACKET_READER, packet->request, NULL, 0, &fds);
  close(bell);
  if (of->fd >= 0) ipcnet_control_commands(self, (uint32_t)(of - self->control.connections));
}

/* The lane owns both descriptors from here on; so the caller must not close them. */
static void take_frame_reader(struct ipcnet_process *self, struct ipcnet_connection *of, const struct ipcnet_packet *packet, struct ipcnet_seqpacket_fds *fds) {
  if (of->frame_reader >= 0) {
    send_fault(self, of, packet->request, "lane: has a reader already");
    return;
  }
  int number = ipcnet_lane_writer_add_reader(self->lanes.frames, fds->fds[0], fds->fds[1], IPCNET_LANE_QUEUE, 0);
  fds->count = 0;
  if (number < 0) {
    send_fault(self, of, packet->request, "lane: no reader's page or bell");
    return;
  }
  of->frame_reader = number;
  send_answer(self, of, packet->request, IPCNET_ANSWER_DONE);
}

static bool may_order(const struct ipcnet_connection *of, uint8_t order) {
  if (order >= IPCNET_ORDERS || of->who == IPCNET_WHO_TWIN) return false;
  return of->who == IPCNET_WHO_BRAIN || order == IPCNET_ORDER_ARM || order == IPCNET_ORDER_DISARM || order == IPCNET_ORDER_RESET || order == IPCNET_ORDER_TRIGGER;
}

static void take_order(struct ipcnet_process *self, struct ipcnet_connection *of, const struct ipcnet_packet *packet) {
  const struct ipcnet_packet_order *order = &packet->order;
  if (!may_order(of, order->order)) {
    send_fault(self, of, packet->request, "order: not for this peer");
    return;
  }
  if (order->order == IPCNET_ORDER_BRAIN_BEAT) {
    of->beats = true;
    of->brain_epoch = order->a;
  } else if (order->why[0] != '\0') {
    ipcnet_log_write(&self->log, "order %u (%u, %u): %s", order->order, order->a, order->b, order->why);
  }
  send_answer(self, of, packet->request, ipcnet_reflex_order(self->core, (enum ipcnet_reflex_order)order->order, order->a, order->b, order->c, self->now_us));
}

/* To the other host: we own until its claim is heard, and if none comes nothing has changed. */
static void take_switch_to_host(struct ipcnet_process *self, struct ipcnet_connection *of, const struct ipcnet_packet *packet) {
  struct ipcnet_reflex_state_record state;
  ipcnet_reflex_state(self->core, &state);
  /* Our claims say whether we are armed, and no more: a plan that runs would be left alone, and a latched trigger forgotten. */
  bool may_be_followed = (state.arming == IPCNET_ARMED || state.arming == IPCNET_DISARMED) && !state.trigger_latched && state.malfunction == IPCNET_MALFUNCTION_NONE;
  if (state.role == IPCNET_TWIN_OWNER && !may_be_followed) {
    send_fault(self, of, packet->request, state.arming == IPCNET_SAFE_POSE ? "switch: not while a plan runs" : "switch: not before a reset");
    return;
  }
  if (self->control.switcher >= 0 || !ipcnet_reflex_hand_over(self->core, self->now_us)) {
    send_fault(self, of, packet->request, ipcnet_process_role(self) == IPCNET_TWIN_OWNER ? "switch: no other host is on a bus" : "switch: not the owner");
    return;
  }
  self->control.switcher = (int)(of - self->control.connections);
  self->control.switch_request = packet->request;
  self->control.switch_to_host = true;
  self->control.switch_deadline_us = self->now_us + SWITCH_HOST_US;
}

static void take_switch(struct ipcnet_process *self, struct ipcnet_connection *of, const struct ipcnet_packet *packet) {
  if (self->control.switcher >= 0 || !ipcnet_twins_may_yield(self)) {
    send_fault(self, of, packet->request, ipcnet_process_role(self) == IPCNET_TWIN_OWNER ? "switch: no healthy twin with the same table" : "switch: not the owner");
    return;
  }
  self->control.switcher = (int)(of - self->control.connections);
  self->control.switch_request = packet->request;
  self->control.switch_to_host = false;
  ipcnet_twins_yield(self);
}

static void drill(struct ipcnet_process *self, struct ipcnet_connection *of, const struct ipcnet_packet *packet) {
  const struct ipcnet_reflex_table *table = ipcnet_reflex_loaded_table(self->core);
  if (table == NULL || !(table->header->flags & IPCNET_REFLEX_DRILLS) || packet->drill.what > 1) send_fault(self, of, packet->request, "drill: the table does not allow it");
  else kill(getpid(), packet->drill.what == 0 ? SIGKILL : SIGSTOP);
}

/* False: the peer broke the protocol. */
static bool take(struct ipcnet_process *self, struct ipcnet_connection *of, const struct ipcnet_packet *packet, struct ipcnet_seqpacket_fds *fds) {
  struct ipcnet_reflex_status status;
  if (packet->kind == IPCNET_PACKET_HELLO) return greet(self, of, packet);
  if (!of->greeted) return false;
  bool brain = of->who == IPCNET_WHO_BRAIN, twin = of->who == IPCNET_WHO_TWIN;
  switch (packet->kind) {
  case IPCNET_PACKET_STATUS_ASKED:
    ipcnet_process_status(self, &status);
    send_packet(self, of, IPCNET_PACKET_STATUS, packet->request, &status, sizeof status, NULL);
    return true;
  case IPCNET_PACKET_TABLE:
    if (brain) take_table(self, of, packet, fds->fds[0]);
    return brain;
  case IPCNET_PACKET_COMMAND_LANE:
    if (brain) take_command_lane(self, of, packet, fds->fds[0]);
    return brain;
  case IPCNET_PACKET_FRAME_READER:
    if (brain) take_frame_reader(self, of, packet, fds);
    return brain;
  case IPCNET_PACKET_ORDER: take_order(self, of, packet); return !twin;
  case IPCNET_PACKET_SWITCH:
    if (!twin && packet->switched.to_host) take_switch_to_host(self, of, packet);
    else if (!twin) take_switch(self, of, packet);
    return !twin;
  case IPCNET_PACKET_DRILL:
    if (!twin) drill(self, of, packet);
    return !twin;
  default: return false; /* ours to send, not theirs */
  }
}

/* ---- Connections -------------------------------------------------------------------------------------------------------------------------------- */

int ipcnet_control_open(struct ipcnet_process *self) {
  struct ipcnet_control *control = &self->control;
  memset(control, 0, sizeof *control);
  control->switcher = -1;
  for (unsigned i = 0; i < IPCNET_CONNECTIONS_MAX; i++) control->connections[i] = (struct ipcnet_connection){.fd = -1, .commands = -1, .frame_reader = -1};
  snprintf(control->path, sizeof control->path, "%s/reflex-%c.sock", self->options.run, self->options.instance == 0 ? 'a' : 'b');
  control->listener = ipcnet_seqpacket_listen(control->path, 0660, (gid_t)-1, BACKLOG, &control->bound);
  return control->listener < 0 ? control->listener : ipcnet_process_watch(self, control->listener, IPCNET_SOURCE_LISTENER, 0);
}

void ipcnet_control_close(struct ipcnet_process *self) {
  for (unsigned i = 0; i < IPCNET_CONNECTIONS_MAX; i++) drop(self, &self->control.connections[i]);
  if (self->control.listener < 0) return;
  close(self->control.listener);
  ipcnet_seqpacket_unlink(self->control.path, &self->control.bound);
}

static bool is_welcome(const struct ipcnet_process *self, int fd) {
  struct ipcnet_seqpacket_peer peer;
  if (ipcnet_seqpacket_peer_of(fd, IPCNET_SEQPACKET_PIDFD_NONE, &peer) < 0) return false;
  if (peer.uid == 0 || peer.uid == geteuid()) return true;
  for (unsigned i = 0; i < self->options.peer_uid_count; i++) {
    if (peer.uid == self->options.peer_uids[i]) return true;
  }
  return false;
}

void ipcnet_control_accept(struct ipcnet_process *self) {
  for (unsigned turn = 0; turn < IPCNET_CONNECTIONS_MAX; turn++) {
    int fd = ipcnet_seqpacket_accept(self->control.listener);
    if (fd == -ECONNABORTED) continue;
    if (fd < 0) return;
    struct ipcnet_connection *place = NULL;
    for (unsigned i = 0; i < IPCNET_CONNECTIONS_MAX && place == NULL; i++) {
      if (self->control.connections[i].fd < 0) place = &self->control.connections[i];
    }
    if (place == NULL || !is_welcome(self, fd) || ipcnet_process_watch(self, fd, IPCNET_SOURCE_CONNECTION, (uint32_t)(place - self->control.connections)) < 0) {
      close(fd);
      self->control.closed_connections += 1;
      continue;
    }
    *place = (struct ipcnet_connection){.fd = fd, .since_us = self->now_us, .commands = -1, .frame_reader = -1};
  }
}

/* One batch. False: nothing more for now, or the connection is gone. */
static bool read_batch(struct ipcnet_process *self, struct ipcnet_connection *of) {
  uint8_t buffer[BATCH * IPCNET_PACKET_BYTES_MAX];
  uint32_t lengths[BATCH];
  struct ipcnet_seqpacket_fds fds[BATCH];
  enum ipcnet_seqpacket_state state;
  int fd = of->fd, count = ipcnet_seqpacket_receive_fds(fd, buffer, IPCNET_PACKET_BYTES_MAX, BATCH, lengths, fds, &state);
  bool good = count >= 0;
  for (int i = 0; i < count; i++) {
    struct ipcnet_packet packet;
    if (good) {
      good = ipcnet_packet_decode(buffer + (size_t)i * IPCNET_PACKET_BYTES_MAX, lengths[i], fds[i].count, &packet) == IPCNET_PACKET_OK && packet.counter == of->received++ &&
             take(self, of, &packet, &fds[i]);
      if (!good) self->control.refused_packets += 1;
      good = good && of->fd == fd; /* it was cut off while it was answered */
    }
    for (uint32_t at = 0; at < fds[i].count; at++) close(fds[i].fds[at]);
  }
  if (of->fd != fd) return false;
  if (good && state == IPCNET_SEQPACKET_MORE) return true;
  if (!good || state != IPCNET_SEQPACKET_DRAINED) drop(self, of);
  return false;
}

void ipcnet_control_read(struct ipcnet_process *self, uint32_t connection) {
  if (connection >= IPCNET_CONNECTIONS_MAX || self->control.connections[connection].fd < 0) return;
  for (unsigned turn = 0; turn < PACKETS_PER_TURN / BATCH && read_batch(self, &self->control.connections[connection]); turn++) { }
}

void ipcnet_control_commands(struct ipcnet_process *self, uint32_t connection) {
  if (connection >= IPCNET_CONNECTIONS_MAX || self->control.connections[connection].commands < 0) return;
  struct ipcnet_connection *of = &self->control.connections[connection];
  enum ipcnet_lanes_state state = ipcnet_lanes_read(&self->lanes, of->commands, self->core, self->now_us);
  if (state == IPCNET_LANES_MORE) self->more = true;
  if (state != IPCNET_LANES_ENDED) return;
  ipcnet_process_unwatch(self, ipcnet_lanes_bell_fd(&self->lanes, of->commands));
  ipcnet_lanes_close_commands(&self->lanes, of->commands);
  of->commands = -1; /* the connection stays: a brain may bring a new lane */
}

void ipcnet_control_tick(struct ipcnet_process *self) {
  for (unsigned i = 0; i < IPCNET_CONNECTIONS_MAX; i++) {
    struct ipcnet_connection *of = &self->control.connections[i];
    if (of->fd >= 0 && !of->greeted && self->now_us > of->since_us + HELLO_US) drop(self, of);
    if (of->commands >= 0 && (self->more || ipcnet_lanes_have_commands(&self->lanes, of->commands))) ipcnet_control_commands(self, i);
  }
  enum ipcnet_twin_role role = ipcnet_process_role(self);
  if (self->control.switcher < 0 || role == IPCNET_TWIN_YIELDING) return;
  if (self->control.switch_to_host && role == IPCNET_TWIN_OWNER && self->now_us < self->control.switch_deadline_us) return;
  struct ipcnet_connection *to = &self->control.connections[self->control.switcher];
  self->control.switcher = -1;
  bool done = role == (self->control.switch_to_host ? IPCNET_TWIN_OUTVOTED : IPCNET_TWIN_STANDBY);
  if (done) send_answer(self, to, self->control.switch_request, IPCNET_ANSWER_DONE);
  else send_fault(self, to, self->control.switch_request, self->control.switch_to_host ? "switch: the other host did not take it, nothing has changed" : "switch: the twin did not take it");
}
