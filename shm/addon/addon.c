/*
 * Node-API glue of shm/core: no rule of the protocol lives here. One state per environment (main thread or worker), so that workers share nothing.
 *
 * JavaScript holds sockets by number: slot | generation << 16, so that a number kept too long meets -EBADF and never somebody else's socket. Functions
 * return a count or a new number (>= 0) or a negative errno; wrong argument types are exceptions, because they are mistakes of the caller.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <node_api.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipcnet_e2e.h"
#include "poller.h"
#include "seqpacket.h"

#define SLOTS_MAX 65535u
#define READY_PER_CALL 64u

struct slot {
  int fd; /* -1: free */
  uint16_t generation;
  uint32_t next_free;
  /* For listeners: the path to remove; else NULL. */
  char *path;
  struct ipcnet_seqpacket_bound bound;
};

struct state {
  struct ipcnet_poller *poller;
  napi_threadsafe_function notify;
  struct slot *slots;
  uint32_t slot_count;
  uint32_t slot_capacity;
  uint32_t first_free;
  uint32_t open_count;
  /* The process may end although sockets are open: set by unref. */
  int unreferenced;
  /* Where reports go: Uint32Array of READY_PER_CALL pairs (id, events), kept alive by the reference. */
  napi_ref ready_array;
  /* One bit per descriptor that JavaScript holds by its plain number (class Descriptor), so that none outlives the environment and no other can be closed by mistake. */
  uint64_t *held;
  uint32_t held_words;
  int closed;
};

#define NO_SLOT UINT32_MAX

/* ---- arguments and results --------------------------------------------------------------------------------------------------------- */

static napi_value number(napi_env env, int64_t value) {
  napi_value result = NULL;
  napi_create_int64(env, value, &result);
  return result;
}

static napi_value wrong(napi_env env, const char *text) {
  napi_throw_type_error(env, "ERR_INVALID_ARG", text);
  return NULL;
}

static struct state *state_of(napi_env env) {
  void *state = NULL;
  napi_get_instance_data(env, &state);
  return state;
}

static int arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values) {
  size_t given = count;
  return napi_get_cb_info(env, info, &given, values, NULL, NULL) == napi_ok && given >= count;
}

static int u32(napi_env env, napi_value value, uint32_t *result) {
  return napi_get_value_uint32(env, value, result) == napi_ok;
}

static int bytes_of(napi_env env, napi_value value, uint8_t **data, size_t *length) {
  napi_typedarray_type type;
  void *start = NULL;
  if (napi_get_typedarray_info(env, value, &type, length, &start, NULL, NULL) != napi_ok || type != napi_uint8_array) return 0;
  *data = start;
  return 1;
}

static int words_of(napi_env env, napi_value value, uint32_t **data, size_t *length) {
  napi_typedarray_type type;
  void *start = NULL;
  if (napi_get_typedarray_info(env, value, &type, length, &start, NULL, NULL) != napi_ok || type != napi_uint32_array) return 0;
  *data = start;
  return 1;
}

/* ---- descriptors by their plain number --------------------------------------------------------------------------------------------- */

static int is_held(const struct state *self, uint32_t fd) {
  return fd / 64 < self->held_words && (self->held[fd / 64] >> (fd % 64) & 1) != 0;
}

/* Takes over `fd`: on failure it is closed. */
static int hold(struct state *self, int fd) {
  uint32_t word = (uint32_t)fd / 64;
  if (word >= self->held_words) {
    uint32_t words = word + 16;
    uint64_t *held = realloc(self->held, words * sizeof *held);
    if (held == NULL) {
      close(fd);
      return -ENOMEM;
    }
    memset(held + self->held_words, 0, (words - self->held_words) * sizeof *held);
    self->held = held;
    self->held_words = words;
  }
  self->held[word] |= (uint64_t)1 << ((uint32_t)fd % 64);
  return fd;
}

/* The descriptor is somebody else's from now on. */
static void let_go(struct state *self, uint32_t fd) {
  self->held[fd / 64] &= ~((uint64_t)1 << (fd % 64));
}

static void close_held(struct state *self) {
  for (uint32_t fd = 0; fd < self->held_words * 64; fd++) {
    if (is_held(self, fd)) close((int)fd);
  }
  free(self->held);
  self->held = NULL;
  self->held_words = 0;
}

/* ---- slots ------------------------------------------------------------------------------------------------------------------------- */

static struct slot *slot_of(struct state *self, uint32_t id) {
  uint32_t index = id & 0xffff;
  if (index >= self->slot_count) return NULL;
  struct slot *slot = &self->slots[index];
  return slot->fd >= 0 && slot->generation == id >> 16 ? slot : NULL;
}

static int grow(struct state *self) {
  uint32_t capacity = self->slot_capacity ? self->slot_capacity * 2 : 16;
  if (capacity > SLOTS_MAX) capacity = SLOTS_MAX;
  if (capacity == self->slot_capacity) return -EMFILE;
  struct slot *slots = realloc(self->slots, capacity * sizeof *slots);
  if (slots == NULL) return -ENOMEM;
  self->slots = slots;
  self->slot_capacity = capacity;
  return 0;
}

/* Takes over `fd`: on failure it is closed. */
static int64_t add_slot(napi_env env, struct state *self, int fd) {
  uint32_t index = self->first_free;
  if (index == NO_SLOT) {
    int status = self->slot_count < self->slot_capacity ? 0 : grow(self);
    if (status < 0) {
      close(fd);
      return status;
    }
    index = self->slot_count++;
    self->slots[index] = (struct slot){ .fd = -1, .generation = 0, .next_free = NO_SLOT };
  } else {
    self->first_free = self->slots[index].next_free;
  }
  struct slot *slot = &self->slots[index];
  uint32_t id = index | (uint32_t)slot->generation << 16;
  int status = ipcnet_poller_watch(self->poller, fd, id);
  if (status < 0) {
    close(fd);
    slot->next_free = self->first_free;
    self->first_free = index;
    return status;
  }
  slot->fd = fd;
  if (self->open_count++ == 0 && !self->unreferenced) napi_ref_threadsafe_function(env, self->notify);
  return id;
}

/* Closes the descriptor and removes a listener's file; the slot still is to be put on the free list. */
static void close_slot(struct slot *slot) {
  close(slot->fd);
  slot->fd = -1;
  slot->generation++;
  if (slot->path != NULL) {
    /* Another file at the path is somebody else's: leaving it is right. */
    (void)ipcnet_seqpacket_unlink(slot->path, &slot->bound);
    free(slot->path);
    slot->path = NULL;
  }
}

static void release_slot(napi_env env, struct state *self, uint32_t index) {
  struct slot *slot = &self->slots[index];
  close_slot(slot);
  slot->next_free = self->first_free;
  self->first_free = index;
  if (--self->open_count == 0 && !self->unreferenced) napi_unref_threadsafe_function(env, self->notify);
}

/* ---- readiness ---------------------------------------------------------------------------------------------------------------------- */

static void on_wake(void *context) {
  struct state *self = context;
  napi_call_threadsafe_function(self->notify, NULL, napi_tsfn_nonblocking);
}

/* On the JavaScript thread: hands over up to READY_PER_CALL reports. JavaScript arms again in the loop's next phase, so a socket is served once per turn. */
static void on_ready(napi_env env, napi_value callback, void *context, void *data) {
  struct state *self = context;
  struct ipcnet_ready ready[READY_PER_CALL];
  (void)data;
  if (env == NULL || self->closed) return;
  uint32_t count = ipcnet_poller_take(self->poller, ready, READY_PER_CALL);
  if (count == 0) return;
  uint32_t *words;
  size_t length;
  napi_value array, receiver, argument;
  if (napi_get_reference_value(env, self->ready_array, &array) != napi_ok || !words_of(env, array, &words, &length) || length < 2 * READY_PER_CALL) return;
  memcpy(words, ready, count * sizeof ready[0]);
  /* Ask for the next call first: an exception from JavaScript must not end the reports. */
  napi_call_threadsafe_function(self->notify, NULL, napi_tsfn_nonblocking);
  if (napi_get_undefined(env, &receiver) != napi_ok || napi_create_uint32(env, count, &argument) != napi_ok) return;
  napi_call_function(env, receiver, callback, 1, &argument, NULL);
}

/* Before the environment goes: no thread and no descriptor may outlive it. */
static void on_cleanup(void *context) {
  struct state *self = context;
  self->closed = 1;
  if (self->poller != NULL) ipcnet_poller_destroy(self->poller);
  self->poller = NULL;
  for (uint32_t i = 0; i < self->slot_count; i++) {
    if (self->slots[i].fd >= 0) close_slot(&self->slots[i]);
  }
  close_held(self);
}

static void on_finalize(napi_env env, void *data, void *hint) {
  struct state *self = data;
  (void)env;
  (void)hint;
  free(self->slots);
  free(self);
}

/* start(callback: (count) => void, ready: Uint32Array): to be called once, before any other function. */
static napi_value start(napi_env env, napi_callback_info info) {
  napi_value values[2], name;
  uint32_t *words;
  size_t length;
  struct state *self = state_of(env);
  if (!arguments(env, info, 2, values) || !words_of(env, values[1], &words, &length) || length < 2 * READY_PER_CALL) return wrong(env, "start(callback, Uint32Array of 128)");
  if (self->poller != NULL) return wrong(env, "start was called before");
  napi_create_string_utf8(env, "ipcnet_shm", NAPI_AUTO_LENGTH, &name);
  if (napi_create_threadsafe_function(env, values[0], NULL, name, 0, 1, NULL, NULL, self, on_ready, &self->notify) != napi_ok) return wrong(env, "callback must be a function");
  napi_unref_threadsafe_function(env, self->notify);
  napi_create_reference(env, values[1], 1, &self->ready_array);
  self->poller = ipcnet_poller_create(on_wake, self);
  if (self->poller == NULL) {
    int error = errno;
    napi_release_threadsafe_function(self->notify, napi_tsfn_abort);
    return number(env, -error);
  }
  /* Added after the threadsafe function, so it runs before that one's own clean-up: the poller's thread is gone when its target goes. */
  napi_add_env_cleanup_hook(env, on_cleanup, self);
  return number(env, 0);
}

/* ---- sockets ------------------------------------------------------------------------------------------------------------------------ */

static int path_of(napi_env env, napi_value value, char *path, size_t size) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) return -EINVAL;
  if (length >= size) return -ENAMETOOLONG;
  napi_get_value_string_utf8(env, value, path, size, &length);
  return strlen(path) == length ? 0 : -EINVAL;
}

static struct state *started(napi_env env) {
  struct state *self = state_of(env);
  if (self->poller != NULL) return self;
  wrong(env, "call start first");
  return NULL;
}

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
    if (first >= 0) release_slot(env, self, (uint32_t)first & 0xffff);
    if (second >= 0) release_slot(env, self, (uint32_t)second & 0xffff);
    return number(env, first < 0 ? first : second);
  }
  ids[0] = (uint32_t)first;
  ids[1] = (uint32_t)second;
  return number(env, 0);
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

/* arm(id, events) → 0 */
static napi_value arm(napi_env env, napi_callback_info info) {
  napi_value values[2];
  uint32_t id, events;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 2, values) || !u32(env, values[0], &id) || !u32(env, values[1], &events)) return wrong(env, "arm(id, events)");
  struct slot *slot = slot_of(self, id);
  return number(env, slot == NULL ? -EBADF : ipcnet_poller_arm(self->poller, slot->fd, id, events));
}

/* Words of `info` in receive: state, 16 lengths, 16 counts of descriptors, 16 × 4 descriptors. */
#define INFO_FD_COUNTS (1 + IPCNET_SEQPACKET_BATCH_MAX)
#define INFO_FDS (INFO_FD_COUNTS + IPCNET_SEQPACKET_BATCH_MAX)
#define INFO_WORDS (INFO_FDS + IPCNET_SEQPACKET_BATCH_MAX * IPCNET_SEQPACKET_FDS_MAX)

/* receive(id, buffer: Uint8Array, stride, info: Uint32Array(97)) → count. The descriptors are JavaScript's. */
static napi_value receive(napi_env env, napi_callback_info info) {
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
  int count = ipcnet_seqpacket_receive_fds(slot->fd, buffer, stride, capacity, result + 1, fds, &state);
  result[0] = (uint32_t)state;
  for (int i = 0; i < count; i++) {
    result[INFO_FD_COUNTS + i] = fds[i].count;
    for (uint32_t j = 0; j < fds[i].count; j++) {
      /* Out of memory: the number stands for nothing, and whoever uses it learns EBADF. */
      int held = hold(self, fds[i].fds[j]);
      result[INFO_FDS + IPCNET_SEQPACKET_FDS_MAX * i + j] = (uint32_t)(held < 0 ? INT32_MAX : held);
    }
  }
  return number(env, count);
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

/* send(id, buffer: Uint8Array, spans: Uint32Array of (at, length) pairs, count, descriptors?: Uint32Array of 5 words a packet) → packets taken */
static napi_value send_packets(napi_env env, napi_callback_info info) {
  napi_value values[5];
  uint32_t id, count, *spans;
  uint8_t *buffer;
  size_t size, length, given = 5;
  struct ipcnet_seqpacket_packet packets[IPCNET_SEQPACKET_BATCH_MAX];
  struct ipcnet_seqpacket_fds fds[IPCNET_SEQPACKET_BATCH_MAX];
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (napi_get_cb_info(env, info, &given, values, NULL, NULL) != napi_ok || given < 4 || !u32(env, values[0], &id) || !bytes_of(env, values[1], &buffer, &size) || !words_of(env, values[2], &spans, &length) ||
      !u32(env, values[3], &count) || count == 0 || count > IPCNET_SEQPACKET_BATCH_MAX || length / 2 < count) return wrong(env, "send(id, Uint8Array, Uint32Array of pairs, count 1…16, descriptors?)");
  if (given > 4 && !fds_of(env, values[4], count, fds)) return wrong(env, "send: descriptors must be a Uint32Array of 5 words a packet");
  struct slot *slot = slot_of(self, id);
  if (slot == NULL) return number(env, -EBADF);
  for (uint32_t i = 0; i < count; i++) {
    if (spans[2 * i] > size || spans[2 * i + 1] > size - spans[2 * i] || spans[2 * i + 1] == 0) return wrong(env, "a packet is empty or outside of the buffer");
    packets[i].bytes = buffer + spans[2 * i];
    packets[i].length = spans[2 * i + 1];
  }
  return number(env, ipcnet_seqpacket_send_fds(slot->fd, packets, given > 4 ? fds : NULL, count));
}

/* ---- descriptors ------------------------------------------------------------------------------------------------------------------------ */

/* descriptorOpen(path, flags) → fd, close-on-exec; with O_CREAT mode 0600 */
static napi_value descriptor_open(napi_env env, napi_callback_info info) {
  napi_value values[2];
  char path[PATH_MAX];
  uint32_t flags;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 2, values) || !u32(env, values[1], &flags)) return wrong(env, "descriptorOpen(path, flags)");
  int status = path_of(env, values[0], path, sizeof path);
  if (status < 0) return number(env, status);
  int fd = open(path, (int)flags | O_CLOEXEC, 0600);
  return number(env, fd < 0 ? -errno : hold(self, fd));
}

/* The descriptor that values[0] names, if JavaScript holds it; else -EBADF. */
static int held_fd(napi_env env, struct state *self, napi_value value) {
  uint32_t fd;
  return u32(env, value, &fd) && is_held(self, fd) ? (int)fd : -EBADF;
}

/* descriptorDup(fd) → fd */
static napi_value descriptor_dup(napi_env env, napi_callback_info info) {
  napi_value values[1];
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values)) return wrong(env, "descriptorDup(fd)");
  int fd = held_fd(env, self, values[0]);
  if (fd < 0) return number(env, fd);
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  return number(env, copy < 0 ? -errno : hold(self, copy));
}

/* descriptorAdopt(fd) → fd: from now on it is held, close-on-exec. -EBADF it is not open, -EBUSY it is held already */
static napi_value descriptor_adopt(napi_env env, napi_callback_info info) {
  napi_value values[1];
  uint32_t fd;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values) || !u32(env, values[0], &fd)) return wrong(env, "descriptorAdopt(fd)");
  if (fd > INT32_MAX || fcntl((int)fd, F_SETFD, FD_CLOEXEC) != 0) return number(env, -EBADF);
  return number(env, is_held(self, fd) ? -EBUSY : hold(self, (int)fd));
}

/* isAlive(pidfd) → 1 or 0 */
static napi_value is_alive(napi_env env, napi_callback_info info) {
  napi_value values[1];
  uint32_t fd;
  if (!arguments(env, info, 1, values) || !u32(env, values[0], &fd)) return wrong(env, "isAlive(pidfd)");
  return number(env, ipcnet_seqpacket_is_alive((int)fd));
}

/* descriptorClose(fd) → 0 */
static napi_value descriptor_close(napi_env env, napi_callback_info info) {
  napi_value values[1];
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values)) return wrong(env, "descriptorClose(fd)");
  int fd = held_fd(env, self, values[0]);
  if (fd < 0) return number(env, fd);
  let_go(self, (uint32_t)fd);
  close(fd);
  return number(env, 0);
}

/* close(id) → 0; a listener's socket file goes with it. */
static napi_value close_one(napi_env env, napi_callback_info info) {
  napi_value values[1];
  uint32_t id;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values) || !u32(env, values[0], &id)) return wrong(env, "close(id)");
  struct slot *slot = slot_of(self, id);
  if (slot == NULL) return number(env, -EBADF);
  release_slot(env, self, id & 0xffff);
  return number(env, 0);
}

/* reference(on): whether open sockets keep the process alive (they do at first). */
static napi_value reference(napi_env env, napi_callback_info info) {
  napi_value values[1];
  bool on;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values) || napi_get_value_bool(env, values[0], &on) != napi_ok) return wrong(env, "reference(boolean)");
  if (self->unreferenced == !on) return NULL;
  self->unreferenced = !on;
  if (self->open_count > 0) {
    if (on) napi_ref_threadsafe_function(env, self->notify);
    else napi_unref_threadsafe_function(env, self->notify);
  }
  return NULL;
}

/* ---- packet headers: E2E P07 at offset 0 ------------------------------------------------------------------------------------------------------------------ */

struct header_call {
  uint8_t *packet;
  uint32_t length, counter;
  ipcnet_e2e_config config;
};

static int header_arguments(napi_env env, napi_callback_info info, struct header_call *call) {
  napi_value values[5];
  uint32_t at;
  size_t size;
  uint8_t *bytes;
  if (!arguments(env, info, 5, values) || !bytes_of(env, values[0], &bytes, &size) || !u32(env, values[1], &at) || !u32(env, values[2], &call->length) || !u32(env, values[3], &call->config.data_id) ||
      !u32(env, values[4], &call->counter) || at > size || call->length > size - at) return 0;
  call->packet = bytes + at;
  return 1;
}

/* sealPacket(bytes, at, length, dataId, counter) */
static napi_value seal_packet(napi_env env, napi_callback_info info) {
  struct header_call call = { 0 };
  if (!header_arguments(env, info, &call) || ipcnet_e2e_p07_protect(&call.config, call.packet, call.length, call.counter) != IPCNET_E2E_INSPECTED_OK)
    return wrong(env, "sealPacket(Uint8Array, at, length >= 20, dataId, counter)");
  return NULL;
}

/* openPacket(bytes, at, length, dataId, counter) → ipcnet_e2e_verdict; IPCNET_E2E_BAD_COUNTER: not the counter expected */
static napi_value open_packet(napi_env env, napi_callback_info info) {
  struct header_call call = { 0 };
  uint32_t counter = 0;
  if (!header_arguments(env, info, &call)) return wrong(env, "openPacket(Uint8Array, at, length, dataId, counter)");
  ipcnet_e2e_verdict verdict = ipcnet_e2e_p07_inspect(&call.config, call.packet, call.length, &counter);
  return number(env, verdict == IPCNET_E2E_INSPECTED_OK && counter != call.counter ? IPCNET_E2E_BAD_COUNTER : verdict);
}

NAPI_MODULE_INIT() {
  static const struct { const char *name; napi_callback function; } functions[] = {
    { "start", start }, { "listen", listen_at }, { "connect", connect_to }, { "pair", make_pair }, { "accept", accept_one }, { "peer", peer_of },
    { "setSendBuffer", set_send_buffer }, { "arm", arm }, { "receive", receive }, { "send", send_packets }, { "close", close_one }, { "reference", reference },
    { "isAlive", is_alive }, { "descriptorOpen", descriptor_open }, { "descriptorDup", descriptor_dup }, { "descriptorAdopt", descriptor_adopt }, { "descriptorClose", descriptor_close },
    { "sealPacket", seal_packet }, { "openPacket", open_packet },
  };
  struct state *self = calloc(1, sizeof *self);
  if (self == NULL) return NULL;
  self->first_free = NO_SLOT;
  if (napi_set_instance_data(env, self, on_finalize, NULL) != napi_ok) {
    free(self);
    return NULL;
  }
  for (size_t i = 0; i < sizeof functions / sizeof functions[0]; i++) {
    napi_value function;
    if (napi_create_function(env, functions[i].name, NAPI_AUTO_LENGTH, functions[i].function, NULL, &function) != napi_ok) return NULL;
    if (napi_set_named_property(env, exports, functions[i].name, function) != napi_ok) return NULL;
  }
  return exports;
}
