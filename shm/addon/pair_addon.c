/* What two instances need to stand in for each other: packets that are peeked, then consumed; marked sends (shm/core/handover.h); descriptors out of sockets; locks, pidfds, sd_notify. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include "glue.h"
#include "handover.h"
#include "life_watch.h"
#include "memfd.h"

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

static napi_value words_buffer(napi_env env, const uint32_t *words) {
  napi_value buffer;
  void *memory;
  /* The page lives as long as the process; its interface lacks the const. */
  memcpy(&memory, &words, sizeof memory);
  if (napi_create_external_arraybuffer(env, memory, IPCNET_HANDOVER_WORDS * sizeof *words, NULL, NULL, &buffer) != napi_ok) return number(env, -ENOMEM);
  return buffer;
}

/* The descriptor that `value` names, if JavaScript holds it; else -EBADF. */
static int held_by(napi_env env, const struct state *self, napi_value value) {
  uint32_t fd;
  return u32(env, value, &fd) ? held_fd(self, fd) : -EBADF;
}

/* ---- the page -------------------------------------------------------------------------------------------------------------------------- */

/* handoverMake() → fd of this environment's own page, sealed; made once */
static napi_value handover_make(napi_env env, napi_callback_info info) {
  (void)info;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (self->own_page != NULL) return number(env, -EBUSY);
  int fd = ipcnet_handover_make(&self->own_page);
  /* Without it a death is noticed later, and that is all. */
  if (fd >= 0) (void)ipcnet_handover_mark_life(self->own_page);
  return number(env, fd < 0 ? fd : hold(self, fd));
}

/* handoverWords() → ArrayBuffer: the words of the own page, to write */
static napi_value handover_words(napi_env env, napi_callback_info info) {
  (void)info;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  return self->own_page == NULL ? number(env, -ENOENT) : words_buffer(env, ipcnet_handover_words(self->own_page));
}

/* handoverOpen(fd) → ArrayBuffer: the words of the twin's page, to read and never to write; replaces the page of an earlier twin, whose words must not be used any more */
static napi_value handover_open(napi_env env, napi_callback_info info) {
  napi_value values[1];
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values)) return wrong(env, "handoverOpen(fd)");
  int fd = held_by(env, self, values[0]);
  const struct ipcnet_handover_page *page;
  int status = fd < 0 ? fd : ipcnet_handover_open(fd, &page);
  if (status < 0) return number(env, status);
  /* The earlier one stays mapped: JavaScript may still hold its words. 16 KiB a twin. */
  self->twin_page = page;
  return words_buffer(env, ipcnet_handover_words_of(page));
}

/* handoverBegin(slot, count): the connection in this slot has been given so many packets */
static napi_value handover_begin(napi_env env, napi_callback_info info) {
  napi_value values[2];
  uint32_t slot, count;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 2, values) || !u32(env, values[0], &slot) || !u32(env, values[1], &count) || self->own_page == NULL) return wrong(env, "handoverBegin(slot, count)");
  ipcnet_handover_begin(self->own_page, slot, count);
  return number(env, 0);
}

/* handoverSent(slot) → packets, by the twin's page */
static napi_value handover_sent(napi_env env, napi_callback_info info) {
  napi_value values[1];
  uint32_t slot;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values) || !u32(env, values[0], &slot)) return wrong(env, "handoverSent(slot)");
  return number(env, self->twin_page == NULL ? -ENOENT : (int64_t)ipcnet_handover_sent(self->twin_page, slot));
}

/* The page of this process's main environment, for the handler alone: a signal comes without a context. */
static struct ipcnet_handover_page *volatile crash_page;
static volatile uint32_t crash_word, crash_value;
static struct sigaction crash_before[NSIG];

/* Async-signal-safe: one store, then whoever handled the signal before (the default ends the process when the instruction is tried again, or abort() raises once more). */
static void on_crash(int signal) {
  struct ipcnet_handover_page *page = crash_page;
  if (page != NULL) __atomic_store_n(ipcnet_handover_words(page) + crash_word, crash_value, __ATOMIC_RELEASE);
  sigaction(signal, &crash_before[signal], NULL);
}

/* handoverMarkCrash(word, value) → 0: a fatal signal of this process's own making writes `value` to `word` of its page before it kills */
static napi_value handover_mark_crash(napi_env env, napi_callback_info info) {
  static const int signals[] = { SIGSEGV, SIGBUS, SIGILL, SIGFPE, SIGABRT, SIGTRAP };
  napi_value values[2];
  uint32_t word, value;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 2, values) || !u32(env, values[0], &word) || !u32(env, values[1], &value) || word >= IPCNET_HANDOVER_WORDS || self->own_page == NULL) return wrong(env, "handoverMarkCrash(word, value)");
  if (crash_page != NULL) return number(env, -EBUSY);
  crash_word = word;
  crash_value = value;
  crash_page = self->own_page;
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_crash;
  action.sa_flags = SA_ONSTACK;
  for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
    if (sigaction(signals[i], &action, &crash_before[signals[i]]) != 0) return number(env, -errno);
  }
  return number(env, 0);
}

/* ---- the twin's life ------------------------------------------------------------------------------------------------------------------- */

/*
 * lifeWatch(pid, pidfd, Uint32Array of 3) → 0. Watches the twin of `handoverOpen`; replaces an earlier watch. Into the array: a descriptor that becomes readable when it begins to die,
 * one that does when it is proven that it will do nothing any more, and 1 if priorities may be raised here, else 0.
 */
static napi_value life_watch(napi_env env, napi_callback_info info) {
  napi_value values[3];
  uint32_t pid, *words;
  size_t count;
  int permitted = -EPERM;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 3, values) || !u32(env, values[0], &pid) || !words_of(env, values[2], &words, &count) || count < 3) return wrong(env, "lifeWatch(pid, pidfd, Uint32Array)");
  int pidfd = held_by(env, self, values[1]);
  if (pidfd < 0 || self->twin_page == NULL) return number(env, pidfd < 0 ? pidfd : -ENOENT);
  ipcnet_life_watch_stop(self->life_watch);
  self->life_watch = NULL;
  struct ipcnet_life life = { ipcnet_handover_life_of(self->twin_page), (pid_t)pid, pidfd, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) };
  if (life.dying_fd >= 0 && life.over_fd >= 0) self->life_watch = ipcnet_life_watch_start(&life, &permitted);
  if (self->life_watch == NULL) {
    int status = -errno;
    if (life.dying_fd >= 0) close(life.dying_fd);
    if (life.over_fd >= 0) close(life.over_fd);
    return number(env, status);
  }
  words[0] = (uint32_t)hold(self, life.dying_fd);
  words[1] = (uint32_t)hold(self, life.over_fd);
  words[2] = permitted == 0 ? 1 : 0;
  return number(env, 0);
}

/* lifeKill() → 0: SIGKILL to the process that is watched, and both run before all others for a moment; -ESRCH: it is gone already */
static napi_value life_kill(napi_env env, napi_callback_info info) {
  (void)info;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  return number(env, self->life_watch == NULL ? -ENOENT : ipcnet_life_watch_kill(self->life_watch));
}

/* lifeEnd(): gives back what was raised; nothing is watched any more */
static napi_value life_end(napi_env env, napi_callback_info info) {
  (void)info;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  ipcnet_life_watch_stop(self->life_watch);
  self->life_watch = NULL;
  return number(env, 0);
}

/* ---- sockets --------------------------------------------------------------------------------------------------------------------------- */

/* descriptorOf(id) → fd: a copy of a socket's descriptor, to hand on */
static napi_value descriptor_of(napi_env env, napi_callback_info info) {
  napi_value values[1];
  uint32_t id;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values) || !u32(env, values[0], &id)) return wrong(env, "descriptorOf(id)");
  struct slot *slot = slot_of(self, id);
  if (slot == NULL) return number(env, -EBADF);
  int copy = fcntl(slot->fd, F_DUPFD_CLOEXEC, 3);
  return number(env, copy < 0 ? -errno : hold(self, copy));
}

/* listenerOf(fd, path) → id: a listening socket that was handed over, taken over whatever comes; its file goes with it when it is closed */
static napi_value listener_of(napi_env env, napi_callback_info info) {
  napi_value values[2];
  uint32_t fd;
  char path[IPCNET_SEQPACKET_PATH_MAX + 2];
  struct stat found;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 2, values) || !u32(env, values[0], &fd)) return wrong(env, "listenerOf(fd, path)");
  int taken = take_held(self, fd);
  if (taken < 0) return number(env, taken);
  int status = path_of(env, values[1], path, sizeof path);
  char *kept = status < 0 ? NULL : strdup(path);
  int64_t id = kept == NULL ? (status < 0 ? status : -ENOMEM) : add_slot(env, self, taken);
  if (id < 0) {
    if (kept == NULL) close(taken);
    free(kept);
    return number(env, id);
  }
  /* A path that is another's by now is left alone when this one is closed. */
  if (lstat(path, &found) != 0) memset(&found, 0, sizeof found);
  struct slot *slot = slot_of(self, (uint32_t)id);
  slot->path = kept;
  slot->bound = (struct ipcnet_seqpacket_bound){ found.st_dev, found.st_ino };
  return number(env, id);
}

/* keepPath(id): when this listener is closed its file stays, because somebody else listens there on a copy */
static napi_value keep_path(napi_env env, napi_callback_info info) {
  napi_value values[1];
  uint32_t id;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values) || !u32(env, values[0], &id)) return wrong(env, "keepPath(id)");
  struct slot *slot = slot_of(self, id);
  if (slot == NULL) return number(env, -EBADF);
  free(slot->path);
  slot->path = NULL;
  return number(env, 0);
}

/* peekFromStart(id) → 0 */
static napi_value peek_from_start(napi_env env, napi_callback_info info) {
  napi_value values[1];
  uint32_t id;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values) || !u32(env, values[0], &id)) return wrong(env, "peekFromStart(id)");
  struct slot *slot = slot_of(self, id);
  return number(env, slot == NULL ? -EBADF : ipcnet_seqpacket_peek_from_start(slot->fd));
}

/* consume(id, count) → how many */
static napi_value consume(napi_env env, napi_callback_info info) {
  napi_value values[2];
  uint32_t id, count;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 2, values) || !u32(env, values[0], &id) || !u32(env, values[1], &count)) return wrong(env, "consume(id, count)");
  struct slot *slot = slot_of(self, id);
  return number(env, slot == NULL ? -EBADF : ipcnet_seqpacket_consume(slot->fd, count));
}

/* shutDown(id) → 0: the peer sees the end although others hold copies */
static napi_value shut_down(napi_env env, napi_callback_info info) {
  napi_value values[1];
  uint32_t id;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values) || !u32(env, values[0], &id)) return wrong(env, "shutDown(id)");
  struct slot *slot = slot_of(self, id);
  if (slot == NULL) return number(env, -EBADF);
  return number(env, shutdown(slot->fd, SHUT_RDWR) == 0 ? 0 : -errno);
}

/* ---- locks, processes, memory ---------------------------------------------------------------------------------------------------------- */

/* lockFile(path) → fd that holds the lock for as long as it is open, -EWOULDBLOCK: somebody else has it */
static napi_value lock_file(napi_env env, napi_callback_info info) {
  napi_value values[1];
  char path[IPCNET_SEQPACKET_PATH_MAX + 2];
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values)) return wrong(env, "lockFile(path)");
  int status = path_of(env, values[0], path, sizeof path);
  if (status < 0) return number(env, status);
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return number(env, -errno);
  if (flock(fd, LOCK_EX | LOCK_NB) == 0) return number(env, hold(self, fd));
  status = -errno;
  close(fd);
  return number(env, status);
}

/* killBehind(pidfd) → 0: SIGKILL, which ends stopped processes too and runs nothing of theirs; -ESRCH it is dead already */
static napi_value kill_behind(napi_env env, napi_callback_info info) {
  napi_value values[1];
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values)) return wrong(env, "killBehind(pidfd)");
  int fd = held_by(env, self, values[0]);
  if (fd < 0) return number(env, fd);
  return number(env, syscall(SYS_pidfd_send_signal, fd, SIGKILL, NULL, 0) == 0 ? 0 : -errno);
}

/* memoryFile(name) → fd: an empty file without a path */
static napi_value memory_file(napi_env env, napi_callback_info info) {
  napi_value values[1];
  char name[64];
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values)) return wrong(env, "memoryFile(name)");
  int status = path_of(env, values[0], name, sizeof name);
  int fd = status < 0 ? status : ipcnet_memfd_make(name, 0);
  return number(env, fd < 0 ? fd : hold(self, fd));
}

/* notify(path, text: Uint8Array, fdPlusOne) → 0: one datagram to systemd; a path that begins with @ is an abstract name */
static napi_value notify(napi_env env, napi_callback_info info) {
  napi_value values[3];
  char path[108];
  uint8_t *text;
  size_t length;
  uint32_t fd_plus_one;
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 3, values) || !bytes_of(env, values[1], &text, &length) || !u32(env, values[2], &fd_plus_one)) return wrong(env, "notify(path, Uint8Array, fd + 1)");
  int status = path_of(env, values[0], path, sizeof path);
  if (status < 0) return number(env, status);
  size_t name_length = strlen(path);
  memcpy(address.sun_path, path, name_length);
  if (path[0] == '@') address.sun_path[0] = 0;
  struct iovec part = { text, length };
  union {
    struct cmsghdr header;
    unsigned char space[CMSG_SPACE(sizeof(int))];
  } control;
  struct msghdr message = { .msg_name = &address, .msg_namelen = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + name_length), .msg_iov = &part, .msg_iovlen = 1 };
  if (fd_plus_one > 0) {
    int fd = held_fd(self, fd_plus_one - 1);
    if (fd < 0) return number(env, fd);
    memset(&control, 0, sizeof control);
    control.header.cmsg_level = SOL_SOCKET;
    control.header.cmsg_type = SCM_RIGHTS;
    control.header.cmsg_len = CMSG_LEN(sizeof fd);
    memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
    message.msg_control = &control;
    message.msg_controllen = sizeof control.space;
  }
  int socket_fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (socket_fd < 0) return number(env, -errno);
  ssize_t sent = sendmsg(socket_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
  status = sent < 0 ? -errno : 0;
  close(socket_fd);
  return number(env, status);
}

int define_pair(napi_env env, napi_value exports) {
  static const struct export list[] = {
    { "handoverMake", handover_make }, { "handoverWords", handover_words }, { "handoverOpen", handover_open }, { "handoverBegin", handover_begin }, { "handoverMarkCrash", handover_mark_crash }, { "handoverSent", handover_sent },
    { "lifeWatch", life_watch }, { "lifeKill", life_kill }, { "lifeEnd", life_end },
    { "descriptorOf", descriptor_of }, { "listenerOf", listener_of }, { "keepPath", keep_path }, { "peekFromStart", peek_from_start }, { "consume", consume }, { "shutDown", shut_down },
    { "lockFile", lock_file }, { "killBehind", kill_behind }, { "memoryFile", memory_file }, { "notify", notify },
  };
  return define(env, exports, list, sizeof list / sizeof list[0]);
}
