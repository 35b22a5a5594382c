#include "seqpacket.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#ifndef SO_PEERGROUPS
#define SO_PEERGROUPS 59
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif

#define LOCK_TRIES 50
#define LOCK_PAUSE_NS 10000000L

/* ---- names ------------------------------------------------------------------------------------------------------------------------ */

static int fill_address(struct sockaddr_un *address, const char *path) {
  size_t length = strlen(path);
  if (length == 0) return -EINVAL;
  if (length >= sizeof address->sun_path) return -ENAMETOOLONG;
  memset(address, 0, sizeof *address);
  address->sun_family = AF_UNIX;
  memcpy(address->sun_path, path, length);
  return 0;
}

static int open_socket(void) {
  int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  return fd < 0 ? -errno : fd;
}

int ipcnet_seqpacket_connect(const char *path) {
  struct sockaddr_un address;
  int status = fill_address(&address, path);
  if (status < 0) return status;
  int fd = open_socket();
  if (fd < 0) return fd;
  if (connect(fd, (const struct sockaddr *)&address, sizeof address) == 0) return fd;
  status = -errno;
  close(fd);
  return status;
}

/* ---- listening without ever removing a live socket ---------------------------------------------------------------------------------- */

/* Waits at most LOCK_TRIES pauses: the holder does a handful of system calls, so whoever holds it longer is stopped or hostile. */
static int take_lock(const char *path) {
  char name[IPCNET_SEQPACKET_PATH_MAX + 6];
  int written = snprintf(name, sizeof name, "%s.lock", path);
  if (written < 0 || (size_t)written >= sizeof name) return -ENAMETOOLONG;
  int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
  if (fd < 0) return -errno;
  for (int i = 0; i < LOCK_TRIES; i++) {
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) return fd;
    if (errno != EWOULDBLOCK && errno != EINTR) break;
    const struct timespec pause = { 0, LOCK_PAUSE_NS };
    nanosleep(&pause, NULL);
  }
  int status = -errno;
  close(fd);
  return status;
}

/* 0: the path is free, or holds a socket that nobody listens on. */
static int check_replaceable(const char *path) {
  struct stat found;
  if (lstat(path, &found) != 0) return errno == ENOENT ? 0 : -errno;
  if (!S_ISSOCK(found.st_mode)) return -ENOTSOCK;
  int fd = ipcnet_seqpacket_connect(path);
  if (fd >= 0) {
    close(fd);
    return -EADDRINUSE;
  }
  /* Anything but a refusal (a full backlog, another socket type, a missing permission) may be somebody alive. */
  return fd == -ECONNREFUSED ? 0 : -EADDRINUSE;
}

static int make_ready(int fd, const char *temporary, mode_t mode, gid_t group, int backlog, struct ipcnet_seqpacket_bound *bound) {
  struct stat made;
  if (lstat(temporary, &made) != 0) return -errno;
  /* Not for the group that it has: a service's filter of system calls may refuse chown as such. */
  if (group != (gid_t)-1 && made.st_gid != group && lchown(temporary, (uid_t)-1, group) != 0) return -errno;
  /* After chown, which would clear bits; before listen, so that nobody connects under bind's default mode. */
  if (chmod(temporary, mode) != 0) return -errno;
  if (lstat(temporary, &made) != 0) return -errno;
  if (listen(fd, backlog) != 0) return -errno;
  bound->device = made.st_dev;
  bound->inode = made.st_ino;
  return 0;
}

static int bind_and_rename(const char *path, mode_t mode, gid_t group, int backlog, struct ipcnet_seqpacket_bound *bound) {
  char temporary[IPCNET_SEQPACKET_PATH_MAX + 9];
  struct sockaddr_un address;
  /* Only the holder of the lock comes here, so one temporary name is enough, and one left by a crash is ours to remove. */
  int written = snprintf(temporary, sizeof temporary, "%s.new", path);
  if (written < 0 || (size_t)written >= sizeof temporary) return -ENAMETOOLONG;
  int status = fill_address(&address, temporary);
  if (status < 0) return status;
  if (unlink(temporary) != 0 && errno != ENOENT) return -errno;
  int fd = open_socket();
  if (fd < 0) return fd;
  if (bind(fd, (const struct sockaddr *)&address, sizeof address) != 0) {
    status = -errno;
    close(fd);
    return status;
  }
  status = make_ready(fd, temporary, mode, group, backlog, bound);
  if (status == 0 && rename(temporary, path) != 0) status = -errno;
  if (status == 0) return fd;
  unlink(temporary);
  close(fd);
  return status;
}

int ipcnet_seqpacket_listen(const char *path, mode_t mode, gid_t group, int backlog, struct ipcnet_seqpacket_bound *bound) {
  size_t length = strlen(path);
  if (length == 0) return -EINVAL;
  if (length > IPCNET_SEQPACKET_PATH_MAX) return -ENAMETOOLONG;
  int lock = take_lock(path);
  if (lock < 0) return lock;
  int status = check_replaceable(path);
  if (status == 0) status = bind_and_rename(path, mode, group, backlog, bound);
  close(lock);
  return status;
}

int ipcnet_seqpacket_unlink(const char *path, const struct ipcnet_seqpacket_bound *bound) {
  struct stat found;
  int lock = take_lock(path);
  if (lock < 0) return lock;
  int status = -ESTALE;
  if (lstat(path, &found) == 0 && found.st_dev == bound->device && found.st_ino == bound->inode) status = unlink(path) == 0 ? 0 : -errno;
  close(lock);
  return status;
}

/* ---- connections ------------------------------------------------------------------------------------------------------------------- */

int ipcnet_seqpacket_accept(int listener) {
  int fd;
  do {
    fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
  } while (fd < 0 && errno == EINTR);
  return fd < 0 ? -errno : fd;
}

int ipcnet_seqpacket_pair(int fds[2]) {
  return socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) == 0 ? 0 : -errno;
}

/* ---- who the peer is ----------------------------------------------------------------------------------------------------------------- */

int ipcnet_seqpacket_is_alive(int pidfd) {
  struct pollfd item = { .fd = pidfd, .events = POLLIN };
  int ready;
  do {
    ready = poll(&item, 1, 0);
  } while (ready < 0 && errno == EINTR);
  if (ready < 0) return -errno;
  return (item.revents & POLLNVAL) != 0 ? -EBADF : ready == 0;
}

/* Reads `name` of a process's folder in /proc as text. */
static int read_text(int folder, const char *name, char *text, size_t size) {
  int fd = openat(folder, name, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t length = read(fd, text, size - 1);
  close(fd);
  if (length <= 0) return 0;
  text[length] = 0;
  return 1;
}

/* Field 22 of /proc/PID/stat, or 0. The name in field 2 may hold anything, so one looks behind its last bracket. */
static uint64_t start_ticks_of(int folder) {
  char text[1024];
  if (!read_text(folder, "stat", text, sizeof text)) return 0;
  const char *at = strrchr(text, ')');
  for (int field = 2; at != NULL && field < 22; field++) {
    at = strchr(at, ' ');
    if (at != NULL) at++;
  }
  return at == NULL ? 0 : strtoull(at, NULL, 10);
}

/* Whether the effective user of the process is `uid`. The owner of the folder would not do: for a process that may not be dumped it is root. */
static int has_user(int folder, uid_t uid) {
  char text[2048];
  if (!read_text(folder, "status", text, sizeof text)) return 0;
  /* The name is escaped, so a line's beginning is one. */
  const char *line = strstr(text, "\nUid:\t");
  const char *effective = line == NULL ? NULL : strchr(line + 6, '\t');
  return effective != NULL && strtoul(effective + 1, NULL, 10) == uid;
}

static uint64_t ticks_since_boot(void) {
  struct timespec now = { 0, 0 };
  if (clock_gettime(CLOCK_BOOTTIME, &now) != 0) return 0;
  uint64_t per_second = (uint64_t)sysconf(_SC_CLK_TCK);
  return (uint64_t)now.tv_sec * per_second + (uint64_t)now.tv_nsec * per_second / 1000000000u;
}

/* Whether the other end is still open. */
static int is_connected(int fd) {
  struct pollfd item = { .fd = fd, .events = POLLRDHUP };
  int ready;
  do {
    ready = poll(&item, 1, 0);
  } while (ready < 0 && errno == EINTR);
  return ready >= 0 && (item.revents & (POLLHUP | POLLRDHUP | POLLERR | POLLNVAL)) == 0;
}

/* Fills pidfd and start_ticks, or leaves them -1 and 0. */
static void open_pidfd(int fd, enum ipcnet_seqpacket_pidfd how, struct ipcnet_seqpacket_peer *peer) {
  uint64_t connected_ticks = ticks_since_boot();
  int pidfd = -1, by_number = 1;
  socklen_t length = sizeof pidfd;
  if (how == IPCNET_SEQPACKET_PIDFD_WANTED) {
    by_number = getsockopt(fd, SOL_SOCKET, SO_PEERPIDFD, &pidfd, &length) != 0 && errno == ENOPROTOOPT;
  }
  if (by_number) pidfd = (int)syscall(SYS_pidfd_open, peer->pid, 0);
  if (pidfd < 0) return;
  char name[32];
  snprintf(name, sizeof name, "/proc/%d", (int)peer->pid);
  int folder = open(name, O_PATH | O_DIRECTORY | O_CLOEXEC);
  uint64_t start_ticks = folder < 0 ? 0 : start_ticks_of(folder);
  int fitting;
  if (start_ticks != 0) fitting = !by_number || (start_ticks <= connected_ticks && has_user(folder, peer->uid));
  /* /proc does not show it (hidepid= and a user namespace of its own, or undumpable). Only of our own user, whom we could kill in any case: the process that opened its end was alive
     after we got the pidfd if that end is still open, so the number was not another's yet. */
  else fitting = peer->uid == geteuid() && (!by_number || is_connected(fd));
  if (folder >= 0) close(folder);
  /* Alive now: so its number was its own while /proc was read. */
  if (!fitting || ipcnet_seqpacket_is_alive(pidfd) != 1) {
    close(pidfd);
    return;
  }
  peer->pidfd = pidfd;
  peer->start_ticks = start_ticks;
}

int ipcnet_seqpacket_peer_of(int fd, enum ipcnet_seqpacket_pidfd pidfd, struct ipcnet_seqpacket_peer *peer) {
  struct ucred credentials;
  socklen_t length = sizeof credentials;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return -errno;
  peer->pid = credentials.pid;
  peer->uid = credentials.uid;
  peer->gid = credentials.gid;
  peer->pidfd = -1;
  peer->start_ticks = 0;
  peer->group_count = 0;
  length = sizeof peer->groups;
  /* ERANGE: more groups than we look at. None is the safe reading: groups only ever add permissions. */
  if (getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, peer->groups, &length) == 0) peer->group_count = (uint32_t)(length / sizeof peer->groups[0]);
  if (pidfd != IPCNET_SEQPACKET_PIDFD_NONE) open_pidfd(fd, pidfd, peer);
  return 0;
}

int ipcnet_seqpacket_set_send_buffer(int fd, int bytes) {
  int given = 0;
  socklen_t length = sizeof given;
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) != 0) return -errno;
  if (getsockopt(fd, SOL_SOCKET, SO_SNDBUF, &given, &length) != 0) return -errno;
  return given;
}

/* ---- packets ------------------------------------------------------------------------------------------------------------------------ */

/* Room for the control data of one packet: exactly IPCNET_SEQPACKET_FDS_MAX descriptors. The kernel installs no more than fit, and says MSG_CTRUNC when there were more. */
union control {
  struct cmsghdr header;
  unsigned char space[CMSG_SPACE(IPCNET_SEQPACKET_FDS_MAX * sizeof(int))];
};
_Static_assert(CMSG_SPACE(IPCNET_SEQPACKET_FDS_MAX * sizeof(int)) == CMSG_LEN(IPCNET_SEQPACKET_FDS_MAX * sizeof(int)), "padding would let one more descriptor in");

/* What the kernel has installed for a packet. */
static void read_fds(struct msghdr *message, struct ipcnet_seqpacket_fds *fds) {
  fds->count = 0;
  for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header != NULL; header = CMSG_NXTHDR(message, header)) {
    if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
    size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    if (count > IPCNET_SEQPACKET_FDS_MAX - fds->count) count = IPCNET_SEQPACKET_FDS_MAX - fds->count;
    memcpy(fds->fds + fds->count, CMSG_DATA(header), count * sizeof(int));
    fds->count += (uint32_t)count;
  }
}

static void close_fds(struct ipcnet_seqpacket_fds *fds) {
  while (fds->count > 0) close(fds->fds[--fds->count]);
}

/* Why a packet must not be delivered; MORE when it may. `fds` is NULL where descriptors are not wanted: then the kernel has closed them, which it reports as cut control data. */
static enum ipcnet_seqpacket_state judge(const struct mmsghdr *header, const struct ipcnet_seqpacket_fds *fds) {
  if (header->msg_len == 0) return IPCNET_SEQPACKET_END;
  if ((header->msg_hdr.msg_flags & MSG_TRUNC) != 0) return IPCNET_SEQPACKET_TRUNCATED;
  if (fds == NULL || (header->msg_hdr.msg_flags & MSG_CTRUNC) == 0) return IPCNET_SEQPACKET_MORE;
  return fds->count == IPCNET_SEQPACKET_FDS_MAX ? IPCNET_SEQPACKET_TOO_MANY_FDS : IPCNET_SEQPACKET_FDS_LOST;
}

static int receive_flags(int fd, uint8_t *buffer, size_t stride, uint32_t capacity, uint32_t *lengths, struct ipcnet_seqpacket_fds *fds, enum ipcnet_seqpacket_state *state, int flags) {
  struct mmsghdr headers[IPCNET_SEQPACKET_BATCH_MAX];
  struct iovec parts[IPCNET_SEQPACKET_BATCH_MAX];
  union control controls[IPCNET_SEQPACKET_BATCH_MAX];
  if (capacity > IPCNET_SEQPACKET_BATCH_MAX) capacity = IPCNET_SEQPACKET_BATCH_MAX;
  memset(headers, 0, capacity * sizeof headers[0]);
  for (uint32_t i = 0; i < capacity; i++) {
    parts[i].iov_base = buffer + (size_t)i * stride;
    parts[i].iov_len = stride;
    headers[i].msg_hdr.msg_iov = &parts[i];
    headers[i].msg_hdr.msg_iovlen = 1;
    if (fds != NULL) {
      fds[i].count = 0;
      headers[i].msg_hdr.msg_control = &controls[i];
      headers[i].msg_hdr.msg_controllen = sizeof controls[i];
    }
  }
  int received, resets = 0;
  do {
    received = recvmmsg(fd, headers, capacity, MSG_DONTWAIT | MSG_CMSG_CLOEXEC | flags, NULL);
    /* A peer that closes before it has read everything resets us; the kernel says so once, ahead of what the peer had sent. */
  } while (received < 0 && (errno == EINTR || (errno == ECONNRESET && resets++ == 0)));
  if (received < 0) {
    if (errno != EAGAIN && errno != EWOULDBLOCK) return -errno;
    *state = IPCNET_SEQPACKET_DRAINED;
    return 0;
  }
  *state = (uint32_t)received < capacity ? IPCNET_SEQPACKET_DRAINED : IPCNET_SEQPACKET_MORE;
  int delivered = -1;
  for (int i = 0; i < received; i++) {
    if (fds != NULL) read_fds(&headers[i].msg_hdr, &fds[i]);
    enum ipcnet_seqpacket_state verdict = delivered >= 0 ? IPCNET_SEQPACKET_MORE : judge(&headers[i], fds == NULL ? NULL : &fds[i]);
    if (verdict != IPCNET_SEQPACKET_MORE) {
      *state = verdict;
      delivered = i;
    }
    lengths[i] = headers[i].msg_len;
  }
  return delivered >= 0 ? delivered : received;
}

int ipcnet_seqpacket_receive_all(int fd, uint8_t *buffer, size_t stride, uint32_t capacity, uint32_t *lengths, struct ipcnet_seqpacket_fds *fds, enum ipcnet_seqpacket_state *state) {
  return receive_flags(fd, buffer, stride, capacity, lengths, fds, state, 0);
}

int ipcnet_seqpacket_peek_all(int fd, uint8_t *buffer, size_t stride, uint32_t capacity, uint32_t *lengths, struct ipcnet_seqpacket_fds *fds, enum ipcnet_seqpacket_state *state) {
  return receive_flags(fd, buffer, stride, capacity, lengths, fds, state, MSG_PEEK);
}

int ipcnet_seqpacket_peek_from_start(int fd) {
  const int start = 0;
  return setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, &start, sizeof start) == 0 ? 0 : -errno;
}

int ipcnet_seqpacket_consume(int fd, uint32_t count) {
  struct mmsghdr headers[IPCNET_SEQPACKET_BATCH_MAX];
  struct iovec part;
  uint8_t first;
  uint32_t taken = 0;
  /* One byte of each, all into the same place, and no room for descriptors: the kernel drops the rest. */
  part.iov_base = &first;
  part.iov_len = 1;
  while (taken < count) {
    uint32_t batch = count - taken < IPCNET_SEQPACKET_BATCH_MAX ? count - taken : IPCNET_SEQPACKET_BATCH_MAX;
    memset(headers, 0, batch * sizeof headers[0]);
    for (uint32_t i = 0; i < batch; i++) {
      headers[i].msg_hdr.msg_iov = &part;
      headers[i].msg_hdr.msg_iovlen = 1;
    }
    int received = recvmmsg(fd, headers, batch, MSG_DONTWAIT, NULL);
    if (received < 0 && errno == EINTR) continue;
    if (received <= 0) break;
    taken += (uint32_t)received;
  }
  return (int)taken;
}

int ipcnet_seqpacket_receive_fds(int fd, uint8_t *buffer, size_t stride, uint32_t capacity, uint32_t *lengths, struct ipcnet_seqpacket_fds *fds, enum ipcnet_seqpacket_state *state) {
  if (capacity > IPCNET_SEQPACKET_BATCH_MAX) capacity = IPCNET_SEQPACKET_BATCH_MAX;
  int count = ipcnet_seqpacket_receive_all(fd, buffer, stride, capacity, lengths, fds, state);
  for (uint32_t i = count < 0 ? capacity : (uint32_t)count; fds != NULL && i < capacity; i++) close_fds(&fds[i]);
  return count;
}

int ipcnet_seqpacket_receive(int fd, uint8_t *buffer, size_t stride, uint32_t capacity, uint32_t *lengths, enum ipcnet_seqpacket_state *state) {
  return ipcnet_seqpacket_receive_fds(fd, buffer, stride, capacity, lengths, NULL, state);
}

static void attach(struct msghdr *message, union control *control, const struct ipcnet_seqpacket_fds *fds) {
  memset(control, 0, sizeof *control);
  control->header.cmsg_level = SOL_SOCKET;
  control->header.cmsg_type = SCM_RIGHTS;
  control->header.cmsg_len = CMSG_LEN(fds->count * sizeof(int));
  memcpy(CMSG_DATA(&control->header), fds->fds, fds->count * sizeof(int));
  message->msg_control = control;
  message->msg_controllen = CMSG_SPACE(fds->count * sizeof(int));
}

int ipcnet_seqpacket_send_fds(int fd, const struct ipcnet_seqpacket_packet *packets, const struct ipcnet_seqpacket_fds *fds, uint32_t count) {
  struct mmsghdr headers[IPCNET_SEQPACKET_BATCH_MAX];
  return ipcnet_seqpacket_send_marked(fd, packets, fds, count, headers);
}

int ipcnet_seqpacket_send_marked(int fd, const struct ipcnet_seqpacket_packet *packets, const struct ipcnet_seqpacket_fds *fds, uint32_t count, struct mmsghdr *headers) {
  struct iovec parts[IPCNET_SEQPACKET_BATCH_MAX];
  union control controls[IPCNET_SEQPACKET_BATCH_MAX];
  if (count > IPCNET_SEQPACKET_BATCH_MAX) count = IPCNET_SEQPACKET_BATCH_MAX;
  memset(headers, 0, count * sizeof headers[0]);
  for (uint32_t i = 0; i < count; i++) {
    /* sendmmsg only reads; its interface lacks the const. */
    memcpy(&parts[i].iov_base, &packets[i].bytes, sizeof parts[i].iov_base);
    parts[i].iov_len = packets[i].length;
    headers[i].msg_hdr.msg_iov = &parts[i];
    headers[i].msg_hdr.msg_iovlen = 1;
    if (fds == NULL || fds[i].count == 0) continue;
    if (fds[i].count > IPCNET_SEQPACKET_FDS_MAX) return -EINVAL;
    attach(&headers[i].msg_hdr, &controls[i], &fds[i]);
  }
  int sent;
  do {
    sent = sendmmsg(fd, headers, count, MSG_DONTWAIT | MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent < 0 ? -errno : sent;
}

int ipcnet_seqpacket_send(int fd, const struct ipcnet_seqpacket_packet *packets, uint32_t count) {
  return ipcnet_seqpacket_send_fds(fd, packets, NULL, count);
}
