#include "purge_client.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include "seqpacket.h"

#define ABLE_NS (3 * (int64_t)IPCNET_PURGE_ASK_NS)
#define PAUSE_NS 10000000 /* before the next attempt while somebody waits */

/* ---- The connection ----------------------------------------------------------------------------------------------------------------------- */

static int64_t now_ns(const struct ipcnet_purge_client *self) { return self->kernel_os.monotonic_ns(self->kernel_os.context); }

static bool may_itself(const struct ipcnet_purge_client *self) { return self->kernel_os.may_purge(self->kernel_os.context); }

static void disconnect(struct ipcnet_purge_client *self) {
  atomic_store(&self->able_until_ns, 0);
  if (self->fd >= 0) close(self->fd); /* leaves the epoll by that */
  self->fd = -1;
  self->asked = 0;
}

static void broke_its_promise(struct ipcnet_purge_client *self) {
  self->refusals++;
  disconnect(self);
}

/* Whoever can put a socket there is our own user or root; another one is not believed. */
static bool is_trusted(int fd) {
  struct ipcnet_seqpacket_peer peer;
  return ipcnet_seqpacket_peer_of(fd, IPCNET_SEQPACKET_PIDFD_NONE, &peer) == 0 && (peer.uid == 0 || peer.uid == geteuid());
}

static bool connected(struct ipcnet_purge_client *self) {
  if (self->fd >= 0) return true;
  int fd = ipcnet_seqpacket_connect(self->path);
  if (fd < 0) return false;
  self->fd = fd;
  struct epoll_event event = {.events = EPOLLIN};
  if (is_trusted(fd) && epoll_ctl(self->poll, EPOLL_CTL_ADD, fd, &event) == 0) return true;
  broke_its_promise(self);
  return false;
}

static bool say(struct ipcnet_purge_client *self, enum ipcnet_purge_kind kind, int index) {
  if (++self->number == 0) self->number = 1;
  struct ipcnet_purge_packet packet = {.magic = IPCNET_PURGE_MAGIC, .kind = (uint16_t)kind, .number = self->number, .value = index};
  struct ipcnet_seqpacket_packet one = {.bytes = (const uint8_t *)&packet, .length = sizeof packet};
  if (ipcnet_seqpacket_send(self->fd, &one, 1) == 1) return true;
  disconnect(self);
  return false;
}

static void ask_whether(struct ipcnet_purge_client *self, int index) {
  if (!say(self, IPCNET_PURGE_MAY, index)) return;
  self->asked = self->number;
  self->asked_index = index;
  self->asked_ns = now_ns(self);
}

/* An answer to whether it may. */
static void heed(struct ipcnet_purge_client *self, int32_t value) {
  self->asked = 0;
  bool able = value == 0 && self->asked_index == atomic_load(&self->index);
  atomic_store(&self->able_until_ns, able ? self->asked_ns + ABLE_NS : 0);
}

enum heard { HEARD_NOTHING, HEARD_ANSWER, HEARD_END };

/* The next answer to something else than whether it may: `number`'s. Anything but that is no answer of ours. */
static enum heard hear(struct ipcnet_purge_client *self, uint32_t number, int32_t *value) {
  struct ipcnet_purge_packet packet;
  enum ipcnet_seqpacket_state state;
  uint32_t length;
  while (self->fd >= 0) {
    int got = ipcnet_seqpacket_receive(self->fd, (uint8_t *)&packet, sizeof packet, 1, &length, &state);
    if (got == 0 && (state == IPCNET_SEQPACKET_MORE || state == IPCNET_SEQPACKET_DRAINED)) return HEARD_NOTHING;
    if (got <= 0) {
      if (got == 0 && state != IPCNET_SEQPACKET_END) broke_its_promise(self);
      else disconnect(self);
      return HEARD_END;
    }
    bool valid = length == sizeof packet && packet.magic == IPCNET_PURGE_MAGIC && packet.kind == IPCNET_PURGE_ANSWER && packet.zero == 0 && packet.value <= 0 && packet.value >= -4095;
    if (valid && self->asked != 0 && packet.number == self->asked) {
      heed(self, packet.value);
    } else if (valid && number != 0 && packet.number == number) {
      *value = packet.value;
      return HEARD_ANSWER;
    } else {
      broke_its_promise(self);
      return HEARD_END;
    }
  }
  return HEARD_END;
}

/* ---- Whether it may, again and again -------------------------------------------------------------------------------------------------------- */

static void set_timer(struct ipcnet_purge_client *self, int64_t ns) {
  struct itimerspec when = {.it_value = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000}};
  timerfd_settime(self->timer, 0, &when, NULL);
}

/* Once in a while, and whenever something came. Never waits. */
static void attend(struct ipcnet_purge_client *self) {
  uint64_t rang;
  int32_t value;
  bool due = read(self->timer, &rang, sizeof rang) == (ssize_t)sizeof rang;
  (void)hear(self, 0, &value);
  if (!due || may_itself(self)) return; /* the capability is for life: nobody will be asked */
  int index = atomic_load(&self->index);
  if (index > 0) {
    if (self->fd >= 0 && self->asked != 0 && now_ns(self) - self->asked_ns >= IPCNET_PURGE_PATIENCE_NS) disconnect(self); /* it hangs */
    if (self->asked == 0 && connected(self)) ask_whether(self, index);
  }
  set_timer(self, self->fd >= 0 ? IPCNET_PURGE_ASK_NS : IPCNET_PURGE_SEEK_NS);
}

/* ---- Asking for what it does ----------------------------------------------------------------------------------------------------------------- */

/* Until something comes, `until_ns`, or nobody wants it any more (false). */
static bool wait_for(const struct ipcnet_purge_client *self, int fd, int64_t until_ns) {
  struct pollfd wanted[2] = {{.fd = self->cancelled, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
  int64_t left_ns = until_ns - now_ns(self);
  (void)poll(wanted, 2, left_ns <= 0 ? 0 : (int)((left_ns + 999999) / 1000000));
  return wanted[0].revents == 0;
}

/* One attempt. -EAGAIN: nobody is there, or whoever was has died, perhaps in the middle. */
static int ask_once(struct ipcnet_purge_client *self, enum ipcnet_purge_kind kind, int index, int64_t until_ns) {
  unsigned refusals = self->refusals;
  int32_t value = 0;
  if (!connected(self) || !say(self, kind, index)) return self->refusals != refusals ? -EPROTO : -EAGAIN;
  uint32_t number = self->number;
  for (;;) {
    enum heard heard = hear(self, number, &value);
    if (heard == HEARD_ANSWER) return value == -EAGAIN ? -EIO : value; /* an answer is one, whatever it says */
    if (heard == HEARD_END) return self->refusals != refusals ? -EPROTO : -EAGAIN;
    bool late = now_ns(self) >= until_ns;
    if (!late && wait_for(self, self->fd, until_ns)) continue;
    disconnect(self); /* what it answers later is for nobody */
    return late ? -ETIMEDOUT : -ECANCELED;
  }
}

/* Asked once more of the next helper, what was done already is done once more, which harms nothing. */
static int ask_for(struct ipcnet_purge_client *self, enum ipcnet_purge_kind kind, int index) {
  int64_t until_ns = now_ns(self) + IPCNET_PURGE_PATIENCE_NS;
  for (;;) {
    int result = ask_once(self, kind, index, until_ns);
    if (result != -EAGAIN) return result;
    int64_t again_ns = now_ns(self) + PAUSE_NS;
    if (again_ns >= until_ns) return -ETIMEDOUT;
    if (!wait_for(self, -1, again_ns)) return -ECANCELED;
  }
}

static int os_purge(void *context, int index) {
  struct ipcnet_purge_client *self = context;
  if (may_itself(self)) return self->kernel_os.purge(self->kernel_os.context, index);
  int watch = self->watch();
  if (watch < 0) return watch;
  int result = ask_for(self, IPCNET_PURGE_PURGE, index);
  if (result == 0 && !self->saw_it_down(watch, index)) {
    broke_its_promise(self);
    result = -EPROTO;
  }
  close(watch);
  if (result == 0) atomic_store(&self->able_until_ns, now_ns(self) + ABLE_NS); /* a deed says more than a word */
  return result;
}

static int os_restart(void *context, int index) {
  struct ipcnet_purge_client *self = context;
  return may_itself(self) ? self->kernel_os.restart(self->kernel_os.context, index) : ask_for(self, IPCNET_PURGE_RESTART, index);
}

static bool os_may_purge(void *context) {
  const struct ipcnet_purge_client *self = context;
  return may_itself(self) || now_ns(self) < atomic_load(&self->able_until_ns);
}

/* ---- The rest of the kernel ------------------------------------------------------------------------------------------------------------------- */

static int64_t os_monotonic_ns(void *context) { const struct ipcnet_purge_client *self = context; return now_ns(self); }
static int64_t os_stamp_offset_ns(void *context) { struct ipcnet_purge_client *self = context; return self->kernel_os.stamp_offset_ns(&self->kernel); }
static int os_interface_list(void *context, char *to, size_t size) { struct ipcnet_purge_client *self = context; return self->kernel_os.interface_list(&self->kernel, to, size); }
static int os_carries_fd(void *context, const char *interface) { struct ipcnet_purge_client *self = context; return self->kernel_os.carries_fd(&self->kernel, interface); }
static int os_socket(void *context) { struct ipcnet_purge_client *self = context; return self->kernel_os.socket(&self->kernel); }
static int os_bind(void *context, int fd, int index) { struct ipcnet_purge_client *self = context; return self->kernel_os.bind(&self->kernel, fd, index); }
static int os_setsockopt(void *context, int fd, int level, int name, const void *value, socklen_t length) { struct ipcnet_purge_client *self = context; return self->kernel_os.setsockopt(&self->kernel, fd, level, name, value, length); }
static int os_getsockopt(void *context, int fd, int level, int name, void *value, socklen_t *length) { struct ipcnet_purge_client *self = context; return self->kernel_os.getsockopt(&self->kernel, fd, level, name, value, length); }
static int os_recvmmsg(void *context, int fd, struct mmsghdr *messages, unsigned count) { struct ipcnet_purge_client *self = context; return self->kernel_os.recvmmsg(&self->kernel, fd, messages, count); }
static int os_sendmsg(void *context, int fd, const struct msghdr *message) { struct ipcnet_purge_client *self = context; return self->kernel_os.sendmsg(&self->kernel, fd, message); }
static void os_close(void *context, int fd) { struct ipcnet_purge_client *self = context; self->kernel_os.close(&self->kernel, fd); }
static int os_link_glance(void *context, const char *interface, int index, struct ipcnet_can_link *link) { struct ipcnet_purge_client *self = context; return self->kernel_os.link_glance(&self->kernel, interface, index, link); }
static int os_link_query(void *context, int index, struct ipcnet_can_link *link) { struct ipcnet_purge_client *self = context; return self->kernel_os.link_query(&self->kernel, index, link); }
static int os_tx_backlog(void *context, int index) { struct ipcnet_purge_client *self = context; return self->kernel_os.tx_backlog(&self->kernel, index); }

/* The one that is being opened is the one that will have to be purged. */
static int os_interface_index(void *context, const char *interface) {
  struct ipcnet_purge_client *self = context;
  int index = self->kernel_os.interface_index(&self->kernel, interface), before = atomic_exchange(&self->index, index > 0 ? index : 0);
  if (index != before) atomic_store(&self->able_until_ns, 0); /* said of another one */
  return index;
}

static int os_link_fd(void *context) { const struct ipcnet_purge_client *self = context; return self->poll; }

static int os_link_event(void *context, struct ipcnet_can_link_event *event) {
  struct ipcnet_purge_client *self = context;
  struct epoll_event ready[3];
  if (epoll_wait(self->poll, ready, 3, 0) == 0) return 0; /* asked for with every batch of frames: one system call, as in os_linux */
  attend(self);
  return self->kernel_os.link_event(&self->kernel, event);
}

/* ---- Construction ------------------------------------------------------------------------------------------------------------------------------ */

static bool follows(const struct ipcnet_purge_client *self, int fd) {
  struct epoll_event event = {.events = EPOLLIN};
  return fd >= 0 && epoll_ctl(self->poll, EPOLL_CTL_ADD, fd, &event) == 0;
}

int ipcnet_purge_client_init(struct ipcnet_purge_client *self, const char *path) {
  memset(self, 0, sizeof *self);
  (void)ipcnet_can_linux_init(&self->kernel); /* without it, changes are noticed by the socket alone */
  self->kernel_os = ipcnet_can_linux_os(&self->kernel);
  self->watch = ipcnet_can_linux_watch;
  self->saw_it_down = ipcnet_can_linux_saw_it_down;
  self->fd = -1;
  int length = snprintf(self->path, sizeof self->path, "%s", path);
  self->poll = epoll_create1(EPOLL_CLOEXEC);
  self->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  self->cancelled = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (length <= IPCNET_SEQPACKET_PATH_MAX && self->poll >= 0 && self->cancelled >= 0 && follows(self, self->timer) && (self->kernel.notifications < 0 || follows(self, self->kernel.notifications))) {
    set_timer(self, 1); /* as soon as somebody reads */
    return 0;
  }
  int error = length > IPCNET_SEQPACKET_PATH_MAX ? ENAMETOOLONG : errno;
  ipcnet_purge_client_close(self);
  return -error;
}

void ipcnet_purge_client_cancel(struct ipcnet_purge_client *self) {
  const uint64_t one = 1;
  (void)!write(self->cancelled, &one, sizeof one); /* can only fail when it is already readable */
}

void ipcnet_purge_client_close(struct ipcnet_purge_client *self) {
  disconnect(self);
  ipcnet_can_linux_close(&self->kernel);
  int *const fds[] = {&self->poll, &self->timer, &self->cancelled};
  for (unsigned i = 0; i < 3; i++) {
    if (*fds[i] >= 0) close(*fds[i]);
    *fds[i] = -1;
  }
}

struct ipcnet_can_os ipcnet_purge_client_os(struct ipcnet_purge_client *self) {
  return (struct ipcnet_can_os){
    .context = self, .monotonic_ns = os_monotonic_ns, .stamp_offset_ns = os_stamp_offset_ns, .interface_index = os_interface_index, .interface_list = os_interface_list, .carries_fd = os_carries_fd,
    .socket = os_socket, .bind = os_bind, .setsockopt = os_setsockopt, .getsockopt = os_getsockopt, .recvmmsg = os_recvmmsg, .sendmsg = os_sendmsg, .close = os_close,
    .link_fd = os_link_fd, .link_event = os_link_event, .link_glance = os_link_glance, .link_query = os_link_query, .purge = os_purge, .restart = os_restart, .may_purge = os_may_purge,
    .tx_backlog = os_tx_backlog,
  };
}
