/* SEQPACKET sockets: each function one step of shm/core/seqpacket.h. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "glue.h"
#include "handover.h"

/* listen(path, mode, group or 0xffffffff, backlog) → id */
static napi_value listen_at(napi_env env, napi_callback_info info) {
  napi_value values[4];
  char path[IPCNET_SEQPACKET_PATH_MAX + 2];
  uint32_t mode, group, backlog;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 4, values) || !u32(env, values[1], &mode) || !u32(env, values[2], &group) || !u32(env, values[3], &backlog)) return wrong(env, "listen(path, mode, group, backlog)");
  int status = path_of(env, values[0], path, sizeof path);
  if (status < 0) return number(env, status);
  struct ipcnet_seqpacket_bound bound;
  char *kept = strdup(path);
  if (kept == NULL) return number(env, -ENOMEM);
  int fd = ipcnet_seqpacket_listen(path, (mode_t)mode, (gid_t)group, (int)backlog, &bound);
  int64_t id = fd < 0 ? fd : add_slot(env, self, fd);
  if (id < 0) {
    if (fd >= 0) (void)ipcnet_seqpacket_unlink(path, &bound);
    free(kept);
    return number(env, id);
  }
  struct slot *slot = slot_of(self, (uint32_t)id);
  slot->path = kept;
  slot->bound = bound;
  return number(env, id);
}

/* connect(path) → id */
static napi_value connect_to(napi_env env, napi_callback_info info) {
  napi_value values[1];
  char path[108];
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values)) return wrong(env, "connect(path)");
  int status = path_of(env, values[0], path, sizeof path);
  int fd = status < 0 ? status : ipcnet_seqpacket_connect(path);
  return number(env, fd < 0 ? fd : add_slot(env, self, fd));
}

/* pair(ids: Uint32Array(2)) → 0 */
static napi_value make_pair(napi_env env, napi_callback_info info) {
  napi_value values[1];
  uint32_t *ids;
  size_t length;
  int fds[2];
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values) || !words_of(env, values[0], &ids, &length) || length < 2) return wrong(env, "pair(Uint32Array of 2)");
  int status = ipcnet_seqpacket_pair(fds);
  if (status < 0) return number(env, status);
  int64_t first = add_slot(env, self, fds[0]);
  int64_t second = add_slot(env, self, fds[1]);
  if (first < 0 || second < 0) {
    if (first >= 0) release_slot(env, self, (uint32_t)first);
    if (second >= 0) release_slot(env, self, (uint32_t)second);
    return number(env, first < 0 ? first : second);
  }
  ids[0] = (uint32_t)first;
  ids[1] = (uint32_t)second;
  return number(env, 0);
}

/* socketOf(fd) → id: a connection from a descriptor that JavaScript holds; taken over, whatever comes */
static napi_value socket_of(napi_env env, napi_callback_info info) {
  napi_value values[1];
  uint32_t fd;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values) || !u32(env, values[0], &fd)) return wrong(env, "socketOf(fd)");
  int taken = take_held(self, fd);
  return number(env, taken < 0 ? taken : add_slot(env, self, taken));
}

/* accept(listener) → id */
static napi_value accept_one(napi_env env, napi_callback_info info) {
  napi_value values[1];
  uint32_t id;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values) || !u32(env, values[0], &id)) return wrong(env, "accept(id)");
  struct slot *slot = slot_of(self, id);
  if (slot == NULL) return number(env, -EBADF);
  int fd = ipcnet_seqpacket_accept(slot->fd);
  return number(env, fd < 0 ? fd : add_slot(env, self, fd));
}

#define PEER_WORDS (6 + IPCNET_SEQPACKET_GROUPS_MAX)

/* peer(id, result: Uint32Array(262), pidfd: 0 none, 1 wanted, 2 by number) → number of groups; result = pid, uid, gid, pidfd + 1, start ticks (low, high), groups… */
static napi_value peer_of(napi_env env, napi_callback_info info) {
  napi_value values[3];
  uint32_t id, how, *result;
  size_t length;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 3, values) || !u32(env, values[0], &id) || !words_of(env, values[1], &result, &length) || length < PEER_WORDS || !u32(env, values[2], &how) ||
      how > IPCNET_SEQPACKET_PIDFD_BY_NUMBER) return wrong(env, "peer(id, Uint32Array of 262, 0…2)");
  struct slot *slot = slot_of(self, id);
  if (slot == NULL) return number(env, -EBADF);
  struct ipcnet_seqpacket_peer peer;
  int status = ipcnet_seqpacket_peer_of(slot->fd, (enum ipcnet_seqpacket_pidfd)how, &peer);
  if (status < 0) return number(env, status);
  result[0] = (uint32_t)peer.pid;
  result[1] = peer.uid;
  result[2] = peer.gid;
  if (peer.pidfd >= 0) peer.pidfd = hold(self, peer.pidfd);
  result[3] = peer.pidfd < 0 ? 0 : (uint32_t)peer.pidfd + 1;
  result[4] = (uint32_t)peer.start_ticks;
  result[5] = (uint32_t)(peer.start_ticks >> 32);
  memcpy(result + 6, peer.groups, peer.group_count * sizeof peer.groups[0]);
  return number(env, peer.group_count);
}

/* setSendBuffer(id, bytes) → bytes given */
static napi_value set_send_buffer(napi_env env, napi_callback_info info) {
  napi_value values[2];
  uint32_t id, bytes;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 2, values) || !u32(env, values[0], &id) || !u32(env, values[1], &bytes) || bytes > INT32_MAX) return wrong(env, "setSendBuffer(id, bytes)");
  struct slot *slot = slot_of(self, id);
  return number(env, slot == NULL ? -EBADF : ipcnet_seqpacket_set_send_buffer(slot->fd, (int)bytes));
}

/* Words of `info` in receive: state, 16 lengths, 16 counts of descriptors, 16 × 4 descriptors. */
#define INFO_FD_COUNTS (1 + IPCNET_SEQPACKET_BATCH_MAX)
#define INFO_FDS (INFO_FD_COUNTS + IPCNET_SEQPACKET_BATCH_MAX)
#define INFO_WORDS (INFO_FDS + IPCNET_SEQPACKET_BATCH_MAX * IPCNET_SEQPACKET_FDS_MAX)

typedef int receiver(int fd, uint8_t *buffer, size_t stride, uint32_t capacity, uint32_t *lengths, struct ipcnet_seqpacket_fds *fds, enum ipcnet_seqpacket_state *state);

static napi_value receive_by(napi_env env, napi_callback_info info, receiver *take) {
  napi_value values[4];
  uint32_t id, stride, *result;
  uint8_t *buffer;
  size_t size, length;
  struct ipcnet_seqpacket_fds fds[IPCNET_SEQPACKET_BATCH_MAX];
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 4, values) || !u32(env, values[0], &id) || !bytes_of(env, values[1], &buffer, &size) || !u32(env, values[2], &stride) || !words_of(env, values[3], &result, &length) ||
      stride == 0 || size < stride || length < INFO_WORDS) return wrong(env, "receive(id, Uint8Array, stride, Uint32Array of 97)");
  struct slot *slot = slot_of(self, id);
  if (slot == NULL) return number(env, -EBADF);
  enum ipcnet_seqpacket_state state = IPCNET_SEQPACKET_MORE;
  uint32_t capacity = size / stride > IPCNET_SEQPACKET_BATCH_MAX ? IPCNET_SEQPACKET_BATCH_MAX : (uint32_t)(size / stride);
  int count = take(slot->fd, buffer, stride, capacity, result + 1, fds, &state);
  result[0] = (uint32_t)state;
  for (uint32_t i = count < 0 ? capacity : (uint32_t)count; i < capacity; i++) {
    for (uint32_t j = 0; j < fds[i].count; j++) close_foreign(self, fds[i].fds[j]);
  }
  for (int i = 0; i < count; i++) {
    result[INFO_FD_COUNTS + i] = fds[i].count;
    for (uint32_t j = 0; j < fds[i].count; j++) {
      /* Out of memory: the number stands for nothing, and whoever uses it learns EBADF. */
      int held = hold_foreign(self, fds[i].fds[j]);
      result[INFO_FDS + IPCNET_SEQPACKET_FDS_MAX * i + j] = (uint32_t)(held < 0 ? INT32_MAX : held);
    }
  }
  return number(env, count);
}

/* receive(id, buffer: Uint8Array, stride, info: Uint32Array(97)) → count. The descriptors are JavaScript's. */
static napi_value receive(napi_env env, napi_callback_info info) {
  return receive_by(env, info, ipcnet_seqpacket_receive_all);
}

/* peek: the same, and the packets stay until they are consumed */
static napi_value peek(napi_env env, napi_callback_info info) {
  return receive_by(env, info, ipcnet_seqpacket_peek_all);
}

/* Reads up to `count` groups of 5 words: how many descriptors, then these. */
static int fds_of(napi_env env, napi_value value, uint32_t count, struct ipcnet_seqpacket_fds *fds) {
  uint32_t *words;
  size_t length;
  const uint32_t stride = 1 + IPCNET_SEQPACKET_FDS_MAX;
  if (!words_of(env, value, &words, &length) || length / stride < count) return 0;
  for (uint32_t i = 0; i < count; i++) {
    if (words[stride * i] > IPCNET_SEQPACKET_FDS_MAX) return 0;
    fds[i].count = words[stride * i];
    for (uint32_t j = 0; j < fds[i].count; j++) fds[i].fds[j] = (int)words[stride * i + 1 + j];
  }
  return 1;
}

/* send(id, buffer: Uint8Array, spans: Uint32Array of (at, length) pairs, count, descriptors?: Uint32Array of 5 words a packet, mark?: slot of the handover page) → packets taken */
static napi_value send_packets(napi_env env, napi_callback_info info) {
  napi_value values[6];
  uint32_t id, count, mark = 0, *spans;
  uint8_t *buffer;
  size_t size, length, given = 6;
  napi_valuetype type;
  struct ipcnet_seqpacket_packet packets[IPCNET_SEQPACKET_BATCH_MAX];
  struct ipcnet_seqpacket_fds fds[IPCNET_SEQPACKET_BATCH_MAX];
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (napi_get_cb_info(env, info, &given, values, NULL, NULL) != napi_ok || given < 4 || !u32(env, values[0], &id) || !bytes_of(env, values[1], &buffer, &size) || !words_of(env, values[2], &spans, &length) ||
      !u32(env, values[3], &count) || count == 0 || count > IPCNET_SEQPACKET_BATCH_MAX || length / 2 < count) return wrong(env, "send(id, Uint8Array, Uint32Array of pairs, count 1…16, descriptors?)");
  int attached = given > 4 && napi_typeof(env, values[4], &type) == napi_ok && type != napi_undefined;
  if (attached && !fds_of(env, values[4], count, fds)) return wrong(env, "send: descriptors must be a Uint32Array of 5 words a packet");
  if (given > 5 && (!u32(env, values[5], &mark) || self->own_page == NULL)) return wrong(env, "send: the mark is a slot of the own page");
  struct slot *slot = slot_of(self, id);
  if (slot == NULL) return number(env, -EBADF);
  for (uint32_t i = 0; i < count; i++) {
    if (spans[2 * i] > size || spans[2 * i + 1] > size - spans[2 * i] || spans[2 * i + 1] == 0) return wrong(env, "a packet is empty or outside of the buffer");
    packets[i].bytes = buffer + spans[2 * i];
    packets[i].length = spans[2 * i + 1];
  }
  if (given > 5) return number(env, ipcnet_handover_send(self->own_page, mark, slot->fd, packets, attached ? fds : NULL, count));
  return number(env, ipcnet_seqpacket_send_fds(slot->fd, packets, attached ? fds : NULL, count));
}

int define_sockets(napi_env env, napi_value exports) {
  static const struct export list[] = {
    { "listen", listen_at }, { "connect", connect_to }, { "pair", make_pair }, { "socketOf", socket_of }, { "accept", accept_one }, { "peer", peer_of }, { "setSendBuffer", set_send_buffer },
    { "receive", receive }, { "peek", peek }, { "send", send_packets },
  };
  return define(env, exports, list, sizeof list / sizeof list[0]);
}
