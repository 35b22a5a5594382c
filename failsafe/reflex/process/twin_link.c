#include "twin_link.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "fence.h"
#include "page.h"
#include "seqpacket.h"

#define RETRY_US 10000u
#define ANSWER_US 1000000u /* how long it may take to say who it is */

void ipcnet_twin_link_init(struct ipcnet_twin_link *self, const char *path, uint8_t instance, struct ipcnet_detector *detector) {
  memset(self, 0, sizeof *self);
  snprintf(self->path, sizeof self->path, "%s", path);
  self->instance = instance;
  self->detector = detector;
  self->socket = self->pidfd = self->given_fd = -1;
}

static void hang_up(struct ipcnet_twin_link *self) {
  if (self->socket >= 0) close(self->socket);
  self->socket = -1;
}

static void unmap_old(struct ipcnet_twin_link *self) {
  if (self->old == NULL || !ipcnet_detector_has_left(self->detector, &self->old->robust_word)) return;
  ipcnet_page_unmap(self->old);
  self->old = NULL;
}

bool ipcnet_twin_link_tick(struct ipcnet_twin_link *self, const struct ipcnet_packet_hello *hello, uint64_t now_us) {
  uint8_t bytes[IPCNET_PACKET_BYTES_MAX];
  unmap_old(self);
  self->is_silent = self->socket >= 0 && !self->alive && ipcnet_twin_watch_look(&self->silence, self->received, now_us);
  if (self->socket >= 0 || now_us < self->retry_us) return false;
  self->retry_us = now_us + RETRY_US;
  int fd = ipcnet_seqpacket_connect(self->path);
  if (fd < 0) return false;
  self->socket = fd;
  self->sent = self->received = 0;
  self->is_silent = false;
  ipcnet_twin_watch_init(&self->silence, ANSWER_US, now_us);
  struct ipcnet_seqpacket_packet packet = {.bytes = bytes, .length = ipcnet_packet_encode_hello(bytes, 0, self->sent++, hello)};
  if (ipcnet_seqpacket_send(fd, &packet, 1) == 1) return true;
  hang_up(self);
  return false;
}

bool ipcnet_twin_link_is_silent(const struct ipcnet_twin_link *self) {
  return self->is_silent;
}

void ipcnet_twin_link_kill_silent(struct ipcnet_twin_link *self) {
  struct ipcnet_seqpacket_peer peer;
  if (self->socket < 0) return;
  if (ipcnet_seqpacket_peer_of(self->socket, IPCNET_SEQPACKET_PIDFD_WANTED, &peer) == 0 && peer.pidfd >= 0) {
    if (peer.uid == geteuid() && peer.pid != getpid()) ipcnet_fence_kill(peer.pidfd);
    close(peer.pidfd);
  }
  hang_up(self);
}

/* The page is believed only with the process behind it: same user, same number, same start (0: /proc hides it from us, as in a unit with a user namespace of its own). */
static bool adopt(struct ipcnet_twin_link *self, int page_fd) {
  struct ipcnet_seqpacket_peer peer;
  if (self->alive || self->old != NULL) return false;
  if (ipcnet_seqpacket_peer_of(self->socket, IPCNET_SEQPACKET_PIDFD_WANTED, &peer) < 0) return false;
  const struct ipcnet_reflex_page *page = ipcnet_page_map(page_fd);
  if (page == NULL || peer.pidfd < 0 || peer.uid != geteuid() || page->pid != (uint32_t)peer.pid || (peer.start_ticks != 0 && page->pid_start != peer.start_ticks)) {
    ipcnet_page_unmap(page);
    if (peer.pidfd >= 0) close(peer.pidfd);
    return false;
  }
  self->old = self->page;
  self->page = page;
  self->pidfd = peer.pidfd;
  self->alive = true;
  ipcnet_detector_watch(self->detector, &page->robust_word);
  unmap_old(self);
  return true;
}

static enum ipcnet_twin_news take(struct ipcnet_twin_link *self, const uint8_t *bytes, size_t length, struct ipcnet_seqpacket_fds *fds, bool *bad) {
  struct ipcnet_packet packet;
  *bad = true;
  if (ipcnet_packet_decode(bytes, length, fds->count, &packet) != IPCNET_PACKET_OK || packet.counter != self->received++) return IPCNET_TWIN_NEWS_NONE;
  switch (packet.kind) {
  case IPCNET_PACKET_HELLO:
    *bad = packet.hello.major != IPCNET_PACKET_MAJOR || packet.hello.instance == self->instance;
    return IPCNET_TWIN_NEWS_NONE;
  case IPCNET_PACKET_TWIN_PAGE:
    if (self->alive) {
      *bad = false; /* the same process, connected anew */
      return IPCNET_TWIN_NEWS_NONE;
    }
    *bad = !adopt(self, fds->fds[0]);
    return *bad ? IPCNET_TWIN_NEWS_NONE : IPCNET_TWIN_NEWS_FOUND;
  case IPCNET_PACKET_LOOK: *bad = false; return IPCNET_TWIN_NEWS_LOOK;
  case IPCNET_PACKET_POWER_LINE:
    /* Only from a process that is known. */
    *bad = !self->alive;
    if (*bad || self->given_fd >= 0) return IPCNET_TWIN_NEWS_NONE;
    self->given = packet.power_line;
    self->given_fd = fds->fds[0];
    fds->fds[0] = -1;
    return IPCNET_TWIN_NEWS_NONE;
  default: return IPCNET_TWIN_NEWS_NONE;
  }
}

enum ipcnet_twin_news ipcnet_twin_link_read(struct ipcnet_twin_link *self) {
  uint8_t buffer[4 * IPCNET_PACKET_BYTES_MAX];
  uint32_t lengths[4];
  struct ipcnet_seqpacket_fds fds[4];
  enum ipcnet_seqpacket_state state;
  enum ipcnet_twin_news news = IPCNET_TWIN_NEWS_NONE;
  bool bad = false;
  if (self->socket < 0) return news;
  int count = ipcnet_seqpacket_receive_fds(self->socket, buffer, IPCNET_PACKET_BYTES_MAX, 4, lengths, fds, &state);
  for (int i = 0; i < count; i++) {
    if (!bad) {
      enum ipcnet_twin_news now = take(self, buffer + (size_t)i * IPCNET_PACKET_BYTES_MAX, lengths[i], &fds[i], &bad);
      if (now > news && news != IPCNET_TWIN_NEWS_FOUND) news = now;
    }
    for (uint32_t fd = 0; fd < fds[i].count; fd++) {
      if (fds[i].fds[fd] >= 0) close(fds[i].fds[fd]);
    }
  }
  if (bad || count < 0 || (state != IPCNET_SEQPACKET_MORE && state != IPCNET_SEQPACKET_DRAINED)) hang_up(self);
  return news;
}

void ipcnet_twin_link_died(struct ipcnet_twin_link *self) {
  ipcnet_detector_watch(self->detector, NULL);
  hang_up(self);
  if (self->pidfd >= 0) close(self->pidfd);
  self->pidfd = -1;
  self->alive = false;
  self->retry_us = 0;
}
