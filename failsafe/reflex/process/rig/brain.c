#include "brain.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <stdio.h>
#include <unistd.h>

#include "../../../../shm/core/sealed_file.h"
#include "../../../../shm/core/seqpacket.h"
#include "bus.h"

#define ANSWER_US 20000000u
#define BEAT_US 20000u
#define COMMAND_TTL_US 50000u

bool rig_brain_open(struct rig_brain *self, const char *run, const uint8_t *table, size_t table_bytes) {
  const struct ipcnet_lane_options options = {.slot_count = 256, .inline_bytes = 192, .policy = IPCNET_LANE_QUEUE};
  memset(self, 0, sizeof *self);
  snprintf(self->run, sizeof self->run, "%s", run);
  self->epoch = 1;
  self->links[0] = self->links[1] = (struct rig_link){.fd = -1, .reader = -1, .frames = -1};
  memcpy(&self->table_hash, ((const struct ipcnet_reflex_table_header *)(const void *)table)->hash, 8);
  self->table_fd = ipcnet_sealed_file_make("table", table, table_bytes);
  self->table_bytes = (uint32_t)table_bytes;
  return self->table_fd >= 0 && ipcnet_lane_writer_create(&self->lane, &options) == 0;
}

void rig_brain_detach(struct rig_brain *self, int instance) {
  struct rig_link *link = &self->links[instance];
  if (link->reader >= 0) ipcnet_lane_writer_remove_reader(self->lane, link->reader);
  if (link->fd >= 0) close(link->fd);
  if (link->frames >= 0) close(link->frames);
  *link = (struct rig_link){.fd = -1, .reader = -1, .frames = -1};
}

void rig_brain_close(struct rig_brain *self) {
  rig_brain_detach(self, 0);
  rig_brain_detach(self, 1);
  close(self->table_fd);
  ipcnet_lane_writer_destroy(self->lane);
}

static bool send_packet(struct rig_link *link, uint16_t kind, uint16_t request, const void *body, size_t body_bytes, int fd) {
  uint8_t bytes[IPCNET_PACKET_BYTES_MAX];
  struct ipcnet_seqpacket_fds fds = {.count = fd >= 0, .fds = {fd}};
  struct ipcnet_seqpacket_packet packet = {.bytes = bytes, .length = ipcnet_packet_encode(bytes, kind, request, link->sent, body, body_bytes)};
  if (link->fd < 0) return false;
  int result = ipcnet_seqpacket_send_fds(link->fd, &packet, &fds, 1);
  /* Ten packets fit a socket; a reflex that begins may leave beats unread for a while. */
  for (uint64_t until_us = rig_now_us() + ANSWER_US; result == -EAGAIN && request != 0 && rig_now_us() < until_us; usleep(200)) result = ipcnet_seqpacket_send_fds(link->fd, &packet, &fds, 1);
  link->sent += result == 1;
  return result == 1;
}

/* The next packet with this number of request; others are read and forgotten. */
static bool receive(struct rig_link *link, uint16_t request, struct ipcnet_packet *answer, uint8_t *body, size_t *body_bytes, struct ipcnet_seqpacket_fds *kept) {
  uint8_t bytes[IPCNET_PACKET_BYTES_MAX];
  uint64_t until_us = rig_now_us() + ANSWER_US;
  while (rig_now_us() < until_us) {
    uint32_t length = 0;
    struct ipcnet_seqpacket_fds fds = {0};
    enum ipcnet_seqpacket_state state;
    int count = ipcnet_seqpacket_receive_fds(link->fd, bytes, sizeof bytes, 1, &length, &fds, &state);
    if (count < 0 || (count == 0 && state == IPCNET_SEQPACKET_END)) return false;
    if (count == 0) {
      struct pollfd wanted = {.fd = link->fd, .events = POLLIN};
      poll(&wanted, 1, 100);
      continue;
    }
    bool good = ipcnet_packet_decode(bytes, length, fds.count, answer) == IPCNET_PACKET_OK && answer->counter == link->received++;
    bool ours = good && answer->request == request;
    if (ours && kept != NULL) *kept = fds;
    else if (good && answer->kind == IPCNET_PACKET_FRAME_LANE && link->frames < 0) link->frames = fds.fds[0]; /* as a brain that reads it would have it */
    else for (uint32_t i = 0; i < fds.count; i++) close(fds.fds[i]);
    if (!good) return false;
    if (!ours) continue;
    if (body_bytes != NULL) *body_bytes = length - IPCNET_PACKET_HEAD_BYTES;
    if (body != NULL) memcpy(body, bytes + IPCNET_PACKET_HEAD_BYTES, length - IPCNET_PACKET_HEAD_BYTES);
    return true;
  }
  return false;
}

bool rig_brain_ask(struct rig_brain *self, int instance, uint16_t kind, const void *body, size_t body_bytes, int fd, struct ipcnet_packet *answer, uint8_t *answer_body, size_t *answer_bytes) {
  struct rig_link *link = &self->links[instance];
  uint16_t request = (uint16_t)(link->sent + 1);
  return send_packet(link, kind, request, body, body_bytes, fd) && receive(link, request, answer, answer_body, answer_bytes, NULL);
}

bool rig_brain_attach(struct rig_brain *self, int instance) {
  char path[120];
  uint8_t body[1024] = {0};
  struct ipcnet_packet answer;
  struct rig_link *link = &self->links[instance];
  rig_brain_detach(self, instance);
  snprintf(path, sizeof path, "%s/reflex-%c.sock", self->run, 'a' + instance);
  link->fd = ipcnet_seqpacket_connect(path);
  if (link->fd < 0) return false;
  struct ipcnet_packet_hello hello = {.major = 1, .who = IPCNET_WHO_BRAIN, .brain_epoch = self->epoch};
  struct ipcnet_seqpacket_fds fds = {0};
  uint16_t request = 1000;
  bool good = rig_brain_ask(self, instance, IPCNET_PACKET_HELLO, &hello, sizeof hello, -1, &answer, NULL, NULL) &&
              rig_brain_ask(self, instance, IPCNET_PACKET_TABLE, &self->table_bytes, 4, self->table_fd, &answer, body, NULL) &&
              (body[0] == IPCNET_ANSWER_DONE || body[0] == IPCNET_ANSWER_FAULT) /* busy: it has one already */ &&
              send_packet(link, IPCNET_PACKET_COMMAND_LANE, request, NULL, 0, ipcnet_lane_writer_fd(self->lane)) && receive(link, request, &answer, NULL, NULL, &fds) && fds.count == 2;
  if (good) link->reader = ipcnet_lane_writer_add_reader(self->lane, fds.fds[0], fds.fds[1], IPCNET_LANE_QUEUE, 0);
  if (link->reader < 0) rig_brain_detach(self, instance);
  return link->reader >= 0;
}

bool rig_brain_status(struct rig_brain *self, int instance, struct ipcnet_reflex_status *to) {
  uint8_t body[1024];
  size_t length = 0;
  struct ipcnet_packet answer;
  if (!rig_brain_ask(self, instance, IPCNET_PACKET_STATUS_ASKED, NULL, 0, -1, &answer, body, &length) || length != sizeof *to) return false;
  memcpy(to, body, sizeof *to);
  return true;
}

int rig_brain_order(struct rig_brain *self, int instance, uint8_t order, uint32_t a, uint32_t b) {
  uint8_t body[20] = {order}, answer_body[1024];
  struct ipcnet_packet answer;
  memcpy(body + 4, &a, 4);
  memcpy(body + 8, &b, 4);
  return rig_brain_ask(self, instance, IPCNET_PACKET_ORDER, body, sizeof body, -1, &answer, answer_body, NULL) ? answer_body[0] : -1;
}

static int switch_to(struct rig_brain *self, int instance, const uint8_t *which, size_t bytes) {
  uint8_t answer_body[1024];
  struct ipcnet_packet answer;
  return rig_brain_ask(self, instance, IPCNET_PACKET_SWITCH, which, bytes, -1, &answer, answer_body, NULL) ? answer_body[0] : -1;
}

int rig_brain_switch(struct rig_brain *self, int instance) {
  return switch_to(self, instance, NULL, 0);
}

int rig_brain_switch_host(struct rig_brain *self, int instance) {
  const uint8_t host = 1;
  return switch_to(self, instance, &host, 1);
}

void rig_brain_beat(struct rig_brain *self) {
  uint64_t now_us = rig_now_us();
  if (now_us >= self->beat_due_us) {
    uint8_t beat[20] = {IPCNET_ORDER_BRAIN_BEAT};
    memcpy(beat + 4, &self->epoch, 4);
    self->beat_due_us = now_us + BEAT_US;
    for (int i = 0; i < 2; i++) {
      if (self->links[i].fd >= 0) send_packet(&self->links[i], IPCNET_PACKET_ORDER, 0, beat, sizeof beat, -1);
    }
  }
}

uint64_t rig_brain_turn(struct rig_brain *self, int16_t target) {
  rig_brain_beat(self);
  return rig_brain_command(self, 0, target);
}

uint64_t rig_brain_command(struct rig_brain *self, uint16_t message, int16_t target) {
  uint64_t now_us = rig_now_us();
  struct ipcnet_lane_meta meta = {.time_ns = now_us * 1000u};
  struct ipcnet_reflex_command command = {.deadline_us = now_us + COMMAND_TTL_US, .sequence = ++self->sequence, .brain_epoch = self->epoch, .token = (uint32_t)self->sequence, .table_hash = self->table_hash,
    .message = message, .length_bytes = 8};
  command.data[5] = (uint8_t)target;
  command.data[6] = (uint8_t)((uint16_t)target >> 8);
  ipcnet_lane_writer_publish(self->lane, &meta, NULL, &command, sizeof command, self->silent ? IPCNET_LANE_NO_RING : 0);
  return command.deadline_us;
}
