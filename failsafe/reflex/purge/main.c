/*
 * ipcnet-purge: takes CAN interfaces down and up for the bus processes, so that they need no capability. It has CAP_NET_ADMIN and does nothing else with it: purge_server.h says what is refused.
 *
 * One thread, one question after the other: the kernel would not do two at once either (rtnl lock). Nothing is kept: killed at any moment and started again it is as before.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pwd.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "notify.h"
#include "os_linux.h"
#include "seqpacket.h"
#include "purge_server.h"

#define CONNECTIONS_MAX 64u /* of twins with 8 buses each, and three times as many that are not closed yet */
#define LISTENER 1u         /* places in what is polled; connections follow */
#define FIRST 2u
#define HANDED_OVER_FD 3    /* SD_LISTEN_FDS_START */

static const char USAGE[] =
  "ipcnet-purge [--socket PATH] --peer USER [INTERFACE…]\n"
  "\n"
  "Takes these CAN interfaces down and up when a bus process of USER (a name or a number) asks for it, and refuses all others. docs/specs/reflex.md.\n"
  "  --socket PATH  where it listens; without it, the socket that the service manager hands over\n";

struct purge {
  struct ipcnet_purge_server server;
  struct ipcnet_notify notify;
  uid_t peer;
  struct pollfd wanted[FIRST + CONNECTIONS_MAX]; /* -1: a free place */
};

static uint64_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u;
}

/* ---- Connections --------------------------------------------------------------------------------------------------------------------------- */

static bool is_welcome(const struct purge *self, int fd) {
  struct ipcnet_seqpacket_peer peer;
  return ipcnet_seqpacket_peer_of(fd, IPCNET_SEQPACKET_PIDFD_NONE, &peer) == 0 && peer.uid == self->peer;
}

static void accept_one(struct purge *self) {
  int fd = ipcnet_seqpacket_accept(self->wanted[LISTENER].fd);
  if (fd < 0) return;
  for (unsigned i = FIRST; i < FIRST + CONNECTIONS_MAX && is_welcome(self, fd); i++) {
    if (self->wanted[i].fd >= 0) continue;
    self->wanted[i].fd = fd;
    return;
  }
  close(fd);
}

/* One question, so that everybody has his turn. */
static bool serve(struct purge *self, int fd) {
  uint8_t bytes[sizeof(struct ipcnet_purge_packet)];
  struct ipcnet_purge_packet answer;
  enum ipcnet_seqpacket_state state;
  uint32_t length;
  int got = ipcnet_seqpacket_receive(fd, bytes, sizeof bytes, 1, &length, &state);
  if (got == 0 && (state == IPCNET_SEQPACKET_MORE || state == IPCNET_SEQPACKET_DRAINED)) return true;
  if (got != 1 || !ipcnet_purge_server_take(&self->server, bytes, length, &answer)) return false;
  struct ipcnet_seqpacket_packet one = {.bytes = (const uint8_t *)&answer, .length = sizeof answer};
  return ipcnet_seqpacket_send(fd, &one, 1) == 1; /* who leaves his answers unread is cut off */
}

static void turn(struct purge *self) {
  int patience_ms = self->notify.watchdog_us == 0 ? -1 : (int)(self->notify.watchdog_us / 1000u) + 1;
  if (poll(self->wanted, FIRST + CONNECTIONS_MAX, patience_ms) > 0) {
    for (unsigned i = FIRST; i < FIRST + CONNECTIONS_MAX; i++) {
      if (self->wanted[i].fd < 0 || self->wanted[i].revents == 0) continue;
      /* Who has gone away waits for nothing any more: what he asked before is not done, however long it has lain here. */
      if ((self->wanted[i].revents & (POLLHUP | POLLERR)) == 0 && serve(self, self->wanted[i].fd)) continue;
      close(self->wanted[i].fd);
      self->wanted[i].fd = -1;
    }
    if (self->wanted[LISTENER].revents != 0) accept_one(self);
  }
  ipcnet_notify_alive(&self->notify, now_us());
}

/* ---- Arguments ------------------------------------------------------------------------------------------------------------------------------- */

static bool user(const char *text, uid_t *to) {
  char *end = NULL;
  errno = 0;
  unsigned long number = strtoul(text, &end, 10);
  if (text[0] >= '0' && text[0] <= '9') {
    *to = (uid_t)number;
    return errno == 0 && *end == '\0' && number < 0xFFFFFFFFu;
  }
  const struct passwd *known = getpwnam(text);
  if (known != NULL) *to = known->pw_uid;
  return known != NULL;
}

/* One socket that is ours by the service manager's word; a negative errno: none. */
static int handed_over(void) {
  const char *pid = getenv("LISTEN_PID"), *count = getenv("LISTEN_FDS");
  if (pid == NULL || count == NULL || atol(pid) != (long)getpid() || strcmp(count, "1") != 0) return -ENOTCONN;
  if (fcntl(HANDED_OVER_FD, F_SETFD, FD_CLOEXEC) != 0 || fcntl(HANDED_OVER_FD, F_SETFL, O_NONBLOCK) != 0) return -errno;
  return HANDED_OVER_FD;
}

/* NULL: understood. No interface is fine: all is refused then. */
static const char *arguments(struct purge *self, int argc, char **argv, const char **path) {
  bool has_peer = false;
  for (int at = 1; at < argc; at++) {
    if (strcmp(argv[at], "--socket") == 0 && at + 1 < argc) *path = argv[++at];
    else if (strcmp(argv[at], "--peer") == 0 && at + 1 < argc && !has_peer) {
      if (!user(argv[++at], &self->peer)) return "there is no such user";
      has_peer = true;
    } else if (argv[at][0] == '-' || !ipcnet_purge_server_allow(&self->server, argv[at])) return "not understood";
  }
  return has_peer ? NULL : "a user is needed";
}

int main(int argc, char **argv) {
  static struct purge self;
  struct ipcnet_can_linux kernel = {.notifications = -1}; /* it changes interfaces and hears of no change */
  const struct ipcnet_can_os os = ipcnet_can_linux_os(&kernel);
  struct ipcnet_seqpacket_bound bound;
  const char *path = NULL;
  ipcnet_purge_server_init(&self.server, &os);
  const char *wrong = arguments(&self, argc, argv, &path);
  int given = handed_over();
  if (wrong != NULL) {
    fprintf(stderr, "ipcnet-purge: %s\n%s", wrong, USAGE);
    if (given < 0) return 2;
    /* To end would have the service manager start it again at once, for everybody who waits at its socket: it stays, and serves nobody. */
    self.peer = (uid_t)-1;
    self.server.count = 0;
    path = NULL;
  }

  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, NULL); /* what is begun is ended: an interface must not stay down */
  int signals = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
  int listener = path != NULL ? ipcnet_seqpacket_listen(path, 0600, (gid_t)-1, 16, &bound) : given;
  if (signals < 0 || listener < 0) {
    fprintf(stderr, "ipcnet-purge: cannot listen: %s\n", strerror(listener < 0 ? -listener : errno));
    return 1;
  }
  for (unsigned i = 0; i < FIRST + CONNECTIONS_MAX; i++) self.wanted[i] = (struct pollfd){.fd = -1, .events = POLLIN};
  self.wanted[0].fd = signals;
  self.wanted[LISTENER].fd = listener;
  if (!os.may_purge(os.context)) fprintf(stderr, "ipcnet-purge: no CAP_NET_ADMIN: everything will be refused\n");
  ipcnet_notify_open(&self.notify);
  ipcnet_notify_say(&self.notify, "READY=1");
  while (self.wanted[0].revents == 0) turn(&self);
  ipcnet_notify_say(&self.notify, "STOPPING=1");
  if (path != NULL) (void)ipcnet_seqpacket_unlink(path, &bound);
  return 0;
}
