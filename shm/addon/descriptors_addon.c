/* Descriptors that JavaScript holds by their plain number (class Descriptor of shm/sockets). */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "glue.h"

static uint64_t bit_of(uint32_t fd) {
  return (uint64_t)1 << (fd % 64);
}

static int is_held(const struct state *self, uint32_t fd) {
  return fd / 64 < self->held_words && (self->held[fd / 64].held & bit_of(fd)) != 0;
}

static int is_foreign(const struct state *self, uint32_t fd) {
  return is_held(self, fd) && (self->held[fd / 64].foreign & bit_of(fd)) != 0;
}

int hold(struct state *self, int fd) {
  uint32_t word = (uint32_t)fd / 64;
  if (word >= self->held_words) {
    uint32_t words = word + 16;
    struct held *held = realloc(self->held, words * sizeof *held);
    if (held == NULL) {
      close(fd);
      return -ENOMEM;
    }
    memset(held + self->held_words, 0, (words - self->held_words) * sizeof *held);
    self->held = held;
    self->held_words = words;
  }
  self->held[word].held |= bit_of((uint32_t)fd);
  return fd;
}

int hold_foreign(struct state *self, int fd) {
  if (hold(self, fd) < 0) return -ENOMEM;
  self->held[(uint32_t)fd / 64].foreign |= bit_of((uint32_t)fd);
  return fd;
}

int held_fd(const struct state *self, uint32_t fd) {
  return is_held(self, fd) ? (int)fd : -EBADF;
}

int take_held(struct state *self, uint32_t fd) {
  if (!is_held(self, fd)) return -EBADF;
  self->held[fd / 64].held &= ~bit_of(fd);
  self->held[fd / 64].foreign &= ~bit_of(fd);
  return (int)fd;
}

void close_foreign(struct state *self, int fd) {
  if (self->closer == NULL) self->closer = ipcnet_closer_create();
  ipcnet_closer_close(self->closer, fd);
}

static void close_number(struct state *self, uint32_t fd) {
  const int foreign = is_foreign(self, fd), taken = take_held(self, fd);
  if (foreign) close_foreign(self, taken);
  else close(taken);
}

void close_held(struct state *self) {
  for (uint32_t fd = 0; fd < self->held_words * 64; fd++) {
    if (is_held(self, fd)) close_number(self, fd);
  }
  ipcnet_closer_destroy(self->closer);
  self->closer = NULL;
  free(self->held);
  self->held = NULL;
  self->held_words = 0;
}

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
static int named_fd(napi_env env, const struct state *self, napi_value value) {
  uint32_t fd;
  return u32(env, value, &fd) ? held_fd(self, fd) : -EBADF;
}

/* descriptorDup(fd) → fd */
static napi_value descriptor_dup(napi_env env, napi_callback_info info) {
  napi_value values[1];
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values)) return wrong(env, "descriptorDup(fd)");
  int fd = named_fd(env, self, values[0]);
  if (fd < 0) return number(env, fd);
  int copy = fcntl(fd, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return number(env, -errno);
  return number(env, is_foreign(self, (uint32_t)fd) ? hold_foreign(self, copy) : hold(self, copy));
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

/* descriptorCopy(fd) → fd: of one that somebody else in this process holds and keeps, such as Node */
static napi_value descriptor_copy(napi_env env, napi_callback_info info) {
  napi_value values[1];
  uint32_t fd;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values) || !u32(env, values[0], &fd)) return wrong(env, "descriptorCopy(fd)");
  int copy = fd > INT32_MAX ? -1 : fcntl((int)fd, F_DUPFD_CLOEXEC, 3);
  return number(env, fd > INT32_MAX ? -EBADF : copy < 0 ? -errno : hold(self, copy));
}

/* descriptorPair(fds: Uint32Array(2)) → 0: both ends of a SEQPACKET connection */
static napi_value descriptor_pair(napi_env env, napi_callback_info info) {
  napi_value values[1];
  uint32_t *result;
  size_t length;
  int fds[2];
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values) || !words_of(env, values[0], &result, &length) || length < 2) return wrong(env, "descriptorPair(Uint32Array of 2)");
  int status = ipcnet_seqpacket_pair(fds);
  if (status < 0) return number(env, status);
  int first = hold(self, fds[0]);
  int second = hold(self, fds[1]);
  if (first < 0 || second < 0) {
    if (first >= 0) close(take_held(self, (uint32_t)first));
    if (second >= 0) close(take_held(self, (uint32_t)second));
    return number(env, -ENOMEM);
  }
  result[0] = (uint32_t)first;
  result[1] = (uint32_t)second;
  return number(env, 0);
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
  int fd = named_fd(env, self, values[0]);
  if (fd < 0) return number(env, fd);
  close_number(self, (uint32_t)fd);
  return number(env, 0);
}

int define_descriptors(napi_env env, napi_value exports) {
  static const struct export list[] = {
    { "isAlive", is_alive }, { "descriptorOpen", descriptor_open }, { "descriptorDup", descriptor_dup }, { "descriptorAdopt", descriptor_adopt }, { "descriptorCopy", descriptor_copy }, { "descriptorPair", descriptor_pair }, { "descriptorClose", descriptor_close },
  };
  return define(env, exports, list, sizeof list / sizeof list[0]);
}
