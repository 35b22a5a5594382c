/* Each test is a sentence; the first that fails ends the program with its line. */
#include "seqpacket.h"
#include "check_test.h"
#include "open_descriptors_test.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64];

static const char *in_folder(const char *name) {
  static char path[4][160];
  static int next;
  char *slot = path[next++ & 3];
  snprintf(slot, sizeof path[0], "%s/%s", folder, name);
  return slot;
}

static int send_one(int fd, const void *bytes, size_t length) {
  const struct ipcnet_seqpacket_packet packet = { bytes, length };
  return ipcnet_seqpacket_send(fd, &packet, 1);
}

static void a_client_connects_and_both_know_each_other(void) {
  struct ipcnet_seqpacket_bound bound;
  const char *path = in_folder("a.sock");
  int before = open_descriptors();
  CHECK(ipcnet_seqpacket_connect(path) == -ENOENT);
  int listener = ipcnet_seqpacket_listen(path, 0660, (gid_t)-1, 8, &bound);
  CHECK(listener >= 0);
  struct stat made;
  CHECK(stat(path, &made) == 0 && (made.st_mode & 07777) == 0660);
  CHECK(access(in_folder("a.sock.new"), F_OK) != 0);
  CHECK(ipcnet_seqpacket_accept(listener) == -EAGAIN);
  int client = ipcnet_seqpacket_connect(path);
  int server = ipcnet_seqpacket_accept(listener);
  CHECK(client >= 0 && server >= 0);
  CHECK((fcntl(client, F_GETFD) & FD_CLOEXEC) && (fcntl(server, F_GETFD) & FD_CLOEXEC) && (fcntl(listener, F_GETFD) & FD_CLOEXEC));
  CHECK((fcntl(client, F_GETFL) & O_NONBLOCK) && (fcntl(server, F_GETFL) & O_NONBLOCK));
  struct ipcnet_seqpacket_peer peer;
  CHECK(ipcnet_seqpacket_peer_of(server, 1, &peer) == 0);
  CHECK(peer.pid == getpid() && peer.uid == getuid() && peer.gid == getgid());
  CHECK(peer.pidfd >= 0 && peer.start_ticks > 0 && ipcnet_seqpacket_is_alive(peer.pidfd) == 1);
  close(peer.pidfd);
  CHECK(ipcnet_seqpacket_is_alive(9999) == -EBADF);
  CHECK(ipcnet_seqpacket_peer_of(client, 0, &peer) == 0 && peer.pid == getpid() && peer.pidfd == -1);
  close(client);
  close(server);
  close(listener);
  CHECK(ipcnet_seqpacket_unlink(path, &bound) == 0);
  CHECK(access(path, F_OK) != 0);
  CHECK(open_descriptors() == before);
}

/* A child that connects, and waits until `gate` closes. */
static pid_t start_client(const char *path, const int gate[2]) {
  pid_t child = fork();
  if (child != 0) return child;
  char byte;
  close(gate[1]);
  int fd = ipcnet_seqpacket_connect(path);
  _exit(fd >= 0 && read(gate[0], &byte, 1) == 0 ? 0 : 2);
}

static void a_pidfd_tells_when_the_peer_dies(void) {
  const char *path = in_folder("p.sock");
  const enum ipcnet_seqpacket_pidfd ways[2] = { IPCNET_SEQPACKET_PIDFD_WANTED, IPCNET_SEQPACKET_PIDFD_BY_NUMBER };
  struct ipcnet_seqpacket_bound bound;
  int before = open_descriptors();
  int listener = ipcnet_seqpacket_listen(path, 0600, (gid_t)-1, 4, &bound);
  CHECK(listener >= 0);
  for (int i = 0; i < 2; i++) {
    int gate[2], status, server;
    CHECK(pipe(gate) == 0);
    pid_t child = start_client(path, gate);
    do {
      server = ipcnet_seqpacket_accept(listener);
    } while (server == -EAGAIN);
    struct ipcnet_seqpacket_peer peer, other;
    CHECK(ipcnet_seqpacket_peer_of(server, ways[i], &peer) == 0 && ipcnet_seqpacket_peer_of(server, ways[1 - i], &other) == 0);
    CHECK(peer.pid == child && peer.pidfd >= 0 && peer.start_ticks == other.start_ticks && peer.start_ticks > 0);
    CHECK((fcntl(peer.pidfd, F_GETFD) & FD_CLOEXEC) && ipcnet_seqpacket_is_alive(peer.pidfd) == 1);
    close(gate[1]);
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
    CHECK(ipcnet_seqpacket_is_alive(peer.pidfd) == 0);
    close(peer.pidfd);
    close(other.pidfd);
    /* Whoever comes too late gets no handle, and no other process's. */
    CHECK(ipcnet_seqpacket_peer_of(server, ways[i], &peer) == 0 && peer.pid == child && peer.pidfd == -1 && peer.start_ticks == 0);
    close(gate[0]);
    close(server);
  }
  close(listener);
  CHECK(ipcnet_seqpacket_unlink(path, &bound) == 0 && open_descriptors() == before);
}

/* A mount namespace in which /proc shows nobody, as a unit with ProtectProc=invisible shows no process of another user namespace. 0: this system forbids it. */
static int hide_processes(void) {
  uid_t user = geteuid();
  if (unshare(CLONE_NEWNS) != 0) {
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) return 0;
    char map[64];
    int length = snprintf(map, sizeof map, "%u %u 1", (unsigned)user, (unsigned)user), fd = open("/proc/self/uid_map", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, map, (size_t)length) != length) return 0;
    close(fd);
  }
  return mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 && mount("none", "/proc", "tmpfs", 0, NULL) == 0;
}

static void a_peer_that_proc_does_not_show_is_known_by_its_connection(void) {
  const char *path = in_folder("h.sock");
  const enum ipcnet_seqpacket_pidfd ways[2] = { IPCNET_SEQPACKET_PIDFD_WANTED, IPCNET_SEQPACKET_PIDFD_BY_NUMBER };
  struct ipcnet_seqpacket_bound bound;
  int gate[2], status, server, listener = ipcnet_seqpacket_listen(path, 0600, (gid_t)-1, 4, &bound);
  CHECK(listener >= 0 && pipe(gate) == 0);
  pid_t client = start_client(path, gate);
  do {
    server = ipcnet_seqpacket_accept(listener);
  } while (server == -EAGAIN);
  pid_t blind = fork();
  if (blind == 0) {
    struct ipcnet_seqpacket_peer peer;
    close(gate[1]);
    if (!hide_processes()) _exit(77);
    for (int i = 0; i < 2; i++) {
      CHECK(ipcnet_seqpacket_peer_of(server, ways[i], &peer) == 0 && peer.pid == client && peer.start_ticks == 0);
      CHECK(peer.pidfd >= 0 && ipcnet_seqpacket_is_alive(peer.pidfd) == 1);
      close(peer.pidfd);
    }
    /* The end is closed: the number may be anybody's by now. */
    int pair[2];
    CHECK(ipcnet_seqpacket_pair(pair) == 0 && close(pair[1]) == 0);
    CHECK(ipcnet_seqpacket_peer_of(pair[0], IPCNET_SEQPACKET_PIDFD_BY_NUMBER, &peer) == 0 && peer.pid != 0 && peer.pidfd == -1);
    _exit(0);
  }
  CHECK(waitpid(blind, &status, 0) == blind && WIFEXITED(status));
  if (WEXITSTATUS(status) == 77) printf("  a_peer_that_proc_does_not_show: skipped, this system lets nobody mount\n");
  else CHECK(WEXITSTATUS(status) == 0);
  close(gate[1]);
  CHECK(waitpid(client, &status, 0) == client);
  close(gate[0]);
  close(server);
  close(listener);
  CHECK(ipcnet_seqpacket_unlink(path, &bound) == 0);
}

static void groups_of_another_user_are_seen(void) {
  if (getuid() != 0) return; /* changing the user needs root */
  struct ipcnet_seqpacket_bound bound;
  const char *path = in_folder("g.sock");
  CHECK(chmod(folder, 0755) == 0);
  int listener = ipcnet_seqpacket_listen(path, 0666, 4242, 8, &bound);
  CHECK(listener >= 0);
  struct stat made;
  CHECK(stat(path, &made) == 0 && made.st_gid == 4242);
  pid_t child = fork();
  if (child == 0) {
    const gid_t groups[2] = { 1001, 1002 };
    if (setgroups(2, groups) != 0 || setgid(4243) != 0 || setuid(4244) != 0) _exit(2);
    int fd = ipcnet_seqpacket_connect(path);
    char byte;
    /* Blocks until the parent closes: the identity must outlive nothing, but the parent should look while we live. */
    if (fd < 0 || fcntl(fd, F_SETFL, 0) != 0) _exit(3);
    _exit(read(fd, &byte, 1) == 0 ? 0 : 4);
  }
  int server;
  do {
    server = ipcnet_seqpacket_accept(listener);
  } while (server == -EAGAIN);
  struct ipcnet_seqpacket_peer peer;
  CHECK(server >= 0 && ipcnet_seqpacket_peer_of(server, 0, &peer) == 0);
  CHECK(peer.pid == child && peer.uid == 4244 && peer.gid == 4243);
  CHECK(peer.group_count == 2 && peer.groups[0] == 1001 && peer.groups[1] == 1002);
  close(server);
  int status;
  CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
  close(listener);
  CHECK(ipcnet_seqpacket_unlink(path, &bound) == 0);
}

static void a_live_socket_is_never_replaced_and_a_dead_one_is(void) {
  struct ipcnet_seqpacket_bound first, second;
  const char *path = in_folder("b.sock");
  int listener = ipcnet_seqpacket_listen(path, 0600, (gid_t)-1, 1, &first);
  CHECK(listener >= 0);
  CHECK(ipcnet_seqpacket_listen(path, 0600, (gid_t)-1, 1, &second) == -EADDRINUSE);
  int fill[8];
  int filled = 0;
  while (filled < 8 && (fill[filled] = ipcnet_seqpacket_connect(path)) >= 0) filled++;
  CHECK(filled < 8 && fill[filled] == -EAGAIN);
  CHECK(ipcnet_seqpacket_listen(path, 0600, (gid_t)-1, 1, &second) == -EADDRINUSE); /* also with a full backlog */
  while (filled > 0) close(fill[--filled]);
  close(listener); /* as a killed process leaves it */
  CHECK(access(path, F_OK) == 0);
  int successor = ipcnet_seqpacket_listen(path, 0600, (gid_t)-1, 4, &second);
  CHECK(successor >= 0);
  CHECK(ipcnet_seqpacket_unlink(path, &first) == -ESTALE); /* the old one does not remove its successor */
  int client = ipcnet_seqpacket_connect(path);
  CHECK(client >= 0);
  close(client);
  close(successor);
  CHECK(ipcnet_seqpacket_unlink(path, &second) == 0);
}

static void what_is_not_a_socket_is_left_alone(void) {
  struct ipcnet_seqpacket_bound bound;
  const char *file = in_folder("file");
  int fd = open(file, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  CHECK(fd >= 0);
  close(fd);
  CHECK(ipcnet_seqpacket_listen(file, 0600, (gid_t)-1, 1, &bound) == -ENOTSOCK);
  CHECK(access(file, F_OK) == 0);
  const char *link = in_folder("link");
  CHECK(symlink(file, link) == 0);
  CHECK(ipcnet_seqpacket_listen(link, 0600, (gid_t)-1, 1, &bound) == -ENOTSOCK);
  char path[200];
  memset(path, 'x', sizeof path);
  memcpy(path, folder, strlen(folder));
  path[strlen(folder)] = '/';
  path[IPCNET_SEQPACKET_PATH_MAX + 1] = 0;
  CHECK(ipcnet_seqpacket_listen(path, 0600, (gid_t)-1, 1, &bound) == -ENAMETOOLONG);
  path[IPCNET_SEQPACKET_PATH_MAX] = 0;
  fd = ipcnet_seqpacket_listen(path, 0600, (gid_t)-1, 1, &bound);
  CHECK(fd >= 0);
  close(fd);
  CHECK(ipcnet_seqpacket_unlink(path, &bound) == 0);
}

static void of_many_starters_exactly_one_listens(void) {
  const char *path = in_folder("race.sock");
  int gate[2], hold[2];
  CHECK(pipe(gate) == 0 && pipe(hold) == 0);
  enum { STARTERS = 6 };
  pid_t children[STARTERS];
  for (int i = 0; i < STARTERS; i++) {
    children[i] = fork();
    if (children[i] == 0) {
      struct ipcnet_seqpacket_bound bound;
      char byte;
      close(gate[1]);
      close(hold[1]);
      if (read(gate[0], &byte, 1) != 0) _exit(9); /* all start when the parent closes the gate */
      int fd = ipcnet_seqpacket_listen(path, 0600, (gid_t)-1, 16, &bound);
      if (fd == -EADDRINUSE) _exit(1);
      if (fd < 0) _exit(8);
      if (read(hold[0], &byte, 1) != 0) _exit(9); /* the winner keeps listening until all others have answered */
      _exit(0);
    }
  }
  close(gate[0]);
  close(gate[1]);
  close(hold[0]);
  int refused = 0;
  for (; refused < STARTERS - 1; refused++) {
    int status;
    CHECK(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 1);
  }
  int client = ipcnet_seqpacket_connect(path);
  CHECK(client >= 0);
  close(client);
  close(hold[1]);
  int status;
  CHECK(wait(&status) > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void packets_keep_their_bounds_and_order(void) {
  int fds[2];
  CHECK(ipcnet_seqpacket_pair(fds) == 0);
  static uint8_t buffer[16 * 256];
  uint32_t lengths[16];
  enum ipcnet_seqpacket_state state;
  CHECK(ipcnet_seqpacket_receive(fds[1], buffer, 256, 16, lengths, &state) == 0 && state == IPCNET_SEQPACKET_DRAINED);
  const struct ipcnet_seqpacket_packet packets[3] = { { (const uint8_t *)"a", 1 }, { (const uint8_t *)"bcd", 3 }, { (const uint8_t *)"ef", 2 } };
  CHECK(ipcnet_seqpacket_send(fds[0], packets, 3) == 3);
  CHECK(ipcnet_seqpacket_receive(fds[1], buffer, 256, 2, lengths, &state) == 2 && state == IPCNET_SEQPACKET_MORE);
  CHECK(lengths[0] == 1 && buffer[0] == 'a' && lengths[1] == 3 && memcmp(buffer + 256, "bcd", 3) == 0);
  CHECK(ipcnet_seqpacket_receive(fds[1], buffer, 256, 16, lengths, &state) == 1 && state == IPCNET_SEQPACKET_DRAINED && lengths[0] == 2);
  close(fds[0]);
  CHECK(ipcnet_seqpacket_receive(fds[1], buffer, 256, 16, lengths, &state) == 0 && state == IPCNET_SEQPACKET_END);
  CHECK(send_one(fds[1], "x", 1) == -EPIPE);
  close(fds[1]);
}

static void what_a_dead_peer_sent_is_still_read(void) {
  int fds[2];
  CHECK(ipcnet_seqpacket_pair(fds) == 0);
  CHECK(send_one(fds[1], "unread", 6) == 1); /* so the kernel resets the connection */
  CHECK(send_one(fds[0], "last", 4) == 1);
  close(fds[0]);
  uint8_t buffer[16];
  uint32_t length;
  enum ipcnet_seqpacket_state state;
  CHECK(ipcnet_seqpacket_receive(fds[1], buffer, 16, 1, &length, &state) == 1 && length == 4 && memcmp(buffer, "last", 4) == 0);
  CHECK(ipcnet_seqpacket_receive(fds[1], buffer, 16, 1, &length, &state) == 0 && state == IPCNET_SEQPACKET_END);
  close(fds[1]);
}

static void a_full_peer_means_try_again_and_nothing_is_lost(void) {
  int fds[2];
  CHECK(ipcnet_seqpacket_pair(fds) == 0);
  CHECK(ipcnet_seqpacket_set_send_buffer(fds[0], 1 << 20) > 0);
  static uint8_t packet[65536];
  uint32_t sent = 0;
  int status;
  for (;;) {
    memcpy(packet, &sent, sizeof sent);
    status = send_one(fds[0], packet, sizeof packet);
    if (status != 1) break;
    sent++;
  }
  CHECK(status == -EAGAIN && sent >= 3);
  static uint8_t buffer[65536];
  uint32_t length, received = 0;
  enum ipcnet_seqpacket_state state = IPCNET_SEQPACKET_MORE;
  while (ipcnet_seqpacket_receive(fds[1], buffer, sizeof buffer, 1, &length, &state) == 1) {
    uint32_t number;
    memcpy(&number, buffer, sizeof number);
    CHECK(number == received && length == sizeof packet);
    received++;
  }
  CHECK(received == sent && state == IPCNET_SEQPACKET_DRAINED);
  CHECK(send_one(fds[0], packet, sizeof packet) == 1);
  close(fds[0]);
  close(fds[1]);
}

static void a_packet_larger_than_agreed_is_a_protocol_error(void) {
  int fds[2];
  CHECK(ipcnet_seqpacket_pair(fds) == 0);
  uint8_t big[65], buffer[4 * 64];
  uint32_t lengths[4];
  enum ipcnet_seqpacket_state state;
  memset(big, 1, sizeof big);
  CHECK(send_one(fds[0], big, 64) == 1 && send_one(fds[0], big, 65) == 1 && send_one(fds[0], big, 3) == 1);
  CHECK(ipcnet_seqpacket_receive(fds[1], buffer, 64, 4, lengths, &state) == 1 && lengths[0] == 64 && state == IPCNET_SEQPACKET_TRUNCATED);
  close(fds[0]);
  close(fds[1]);
}

/* By the receive that has no place for them. */
static void descriptors_sent_by_a_peer_are_not_installed(void) {
  int fds[2];
  CHECK(ipcnet_seqpacket_pair(fds) == 0);
  int before = open_descriptors();
  union { struct cmsghdr header; char space[CMSG_SPACE(sizeof(int))]; } control;
  memset(&control, 0, sizeof control);
  control.header.cmsg_level = SOL_SOCKET;
  control.header.cmsg_type = SCM_RIGHTS;
  control.header.cmsg_len = CMSG_LEN(sizeof(int));
  const int stdin_fd = 0;
  memcpy(CMSG_DATA(&control.header), &stdin_fd, sizeof stdin_fd);
  char byte = 'x';
  struct iovec part = { &byte, 1 };
  const struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
  CHECK(sendmsg(fds[0], &message, 0) == 1);
  uint8_t buffer[16];
  uint32_t length;
  enum ipcnet_seqpacket_state state;
  CHECK(ipcnet_seqpacket_receive(fds[1], buffer, 16, 1, &length, &state) == 1 && buffer[0] == 'x');
  CHECK(open_descriptors() == before);
  close(fds[0]);
  close(fds[1]);
}

static int is_same_file(int a, int b) {
  struct stat one, other;
  CHECK(fstat(a, &one) == 0 && fstat(b, &other) == 0);
  return one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

/* A packet with as many descriptors as the kernel takes, whatever our own interface says. */
static void send_flood(int socket, int fd, int count, size_t bytes) {
  union { struct cmsghdr header; char space[CMSG_SPACE(253 * sizeof(int))]; } control;
  char payload[64] = "flood";
  memset(&control, 0, sizeof control);
  control.header.cmsg_level = SOL_SOCKET;
  control.header.cmsg_type = SCM_RIGHTS;
  control.header.cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
  for (int i = 0; i < count; i++) memcpy(CMSG_DATA(&control.header) + (size_t)i * sizeof(int), &fd, sizeof fd);
  struct iovec part = { payload, bytes };
  const struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = CMSG_SPACE((size_t)count * sizeof(int)) };
  CHECK(sendmsg(socket, &message, 0) == (ssize_t)bytes);
}

static void descriptors_arrive_with_their_packet(void) {
  int fds[2], before = open_descriptors();
  CHECK(ipcnet_seqpacket_pair(fds) == 0);
  int null = open("/dev/null", O_RDWR | O_CLOEXEC), zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
  CHECK(null >= 0 && zero >= 0);
  const struct ipcnet_seqpacket_packet packets[3] = { { (const uint8_t *)"a", 1 }, { (const uint8_t *)"b", 1 }, { (const uint8_t *)"c", 1 } };
  const struct ipcnet_seqpacket_fds attached[3] = { { 2, { null, zero } }, { 0, { 0 } }, { 4, { zero, null, null, null } } };
  CHECK(ipcnet_seqpacket_send_fds(fds[0], packets, attached, 3) == 3);
  uint8_t buffer[4 * 16];
  uint32_t lengths[4];
  struct ipcnet_seqpacket_fds received[4];
  enum ipcnet_seqpacket_state state;
  CHECK(ipcnet_seqpacket_receive_fds(fds[1], buffer, 16, 4, lengths, received, &state) == 3 && state == IPCNET_SEQPACKET_DRAINED);
  CHECK(received[0].count == 2 && received[1].count == 0 && received[2].count == 4);
  CHECK(is_same_file(received[0].fds[0], null) && is_same_file(received[0].fds[1], zero) && is_same_file(received[2].fds[0], zero) && is_same_file(received[2].fds[3], null));
  for (int i = 0; i < 3; i++) {
    for (uint32_t j = 0; j < received[i].count; j++) {
      CHECK(fcntl(received[i].fds[j], F_GETFD) & FD_CLOEXEC);
      close(received[i].fds[j]);
    }
  }
  const struct ipcnet_seqpacket_fds five = { 5, { null, null, null, null } }, none = { 1, { 9999 } };
  CHECK(ipcnet_seqpacket_send_fds(fds[0], packets, &five, 1) == -EINVAL && ipcnet_seqpacket_send_fds(fds[0], packets, &none, 1) == -EBADF);
  close(null);
  close(zero);
  close(fds[0]);
  close(fds[1]);
  CHECK(open_descriptors() == before);
}

static void a_flood_of_descriptors_is_a_violation_and_leaves_none(void) {
  int fds[2];
  CHECK(ipcnet_seqpacket_pair(fds) == 0);
  int before = open_descriptors();
  send_flood(fds[0], 0, 1, 5);
  send_flood(fds[0], 0, 253, 5);
  send_flood(fds[0], 0, 4, 5);
  uint8_t buffer[4 * 16];
  uint32_t lengths[4];
  struct ipcnet_seqpacket_fds received[4];
  enum ipcnet_seqpacket_state state;
  CHECK(ipcnet_seqpacket_receive_fds(fds[1], buffer, 16, 4, lengths, received, &state) == 1 && state == IPCNET_SEQPACKET_TOO_MANY_FDS);
  CHECK(received[0].count == 1 && open_descriptors() == before + 1);
  close(received[0].fds[0]);
  send_flood(fds[0], 0, 5, 5);
  CHECK(ipcnet_seqpacket_receive_fds(fds[1], buffer, 16, 1, lengths, received, &state) == 0 && state == IPCNET_SEQPACKET_TOO_MANY_FDS && open_descriptors() == before);
  send_flood(fds[0], 0, 3, 17); /* longer than a place in the buffer */
  CHECK(ipcnet_seqpacket_receive_fds(fds[1], buffer, 16, 4, lengths, received, &state) == 0 && state == IPCNET_SEQPACKET_TRUNCATED && open_descriptors() == before);
  send_flood(fds[0], 0, 200, 5); /* and unread ones go with the socket */
  close(fds[0]);
  close(fds[1]);
  CHECK(open_descriptors() == before - 2);
}

static void without_room_for_descriptors_the_packet_is_lost_and_said_to_be(void) {
  int fds[2];
  CHECK(ipcnet_seqpacket_pair(fds) == 0);
  send_flood(fds[0], 0, 3, 5);
  struct rlimit usual, tight;
  CHECK(getrlimit(RLIMIT_NOFILE, &usual) == 0);
  tight = usual;
  int first = dup(0);
  CHECK(first >= 0);
  close(first);
  tight.rlim_cur = (rlim_t)first + 1; /* one more may be opened, three are to come */
  CHECK(setrlimit(RLIMIT_NOFILE, &tight) == 0);
  uint8_t buffer[16];
  uint32_t length;
  struct ipcnet_seqpacket_fds received;
  enum ipcnet_seqpacket_state state;
  CHECK(ipcnet_seqpacket_receive_fds(fds[1], buffer, 16, 1, &length, &received, &state) == 0 && state == IPCNET_SEQPACKET_FDS_LOST && received.count == 0);
  CHECK(fcntl(first, F_GETFD) == -1);
  CHECK(setrlimit(RLIMIT_NOFILE, &usual) == 0);
  close(fds[0]);
  close(fds[1]);
}

int main(void) {
  strcpy(folder, "/tmp/ipcnet-seqpacket-XXXXXX");
  CHECK(mkdtemp(folder) != NULL);
  signal(SIGPIPE, SIG_DFL); /* a send that raised it would end the test */
  a_client_connects_and_both_know_each_other();
  a_pidfd_tells_when_the_peer_dies();
  a_peer_that_proc_does_not_show_is_known_by_its_connection();
  groups_of_another_user_are_seen();
  a_live_socket_is_never_replaced_and_a_dead_one_is();
  what_is_not_a_socket_is_left_alone();
  of_many_starters_exactly_one_listens();
  packets_keep_their_bounds_and_order();
  what_a_dead_peer_sent_is_still_read();
  a_full_peer_means_try_again_and_nothing_is_lost();
  a_packet_larger_than_agreed_is_a_protocol_error();
  descriptors_sent_by_a_peer_are_not_installed();
  descriptors_arrive_with_their_packet();
  a_flood_of_descriptors_is_a_violation_and_leaves_none();
  without_room_for_descriptors_the_packet_is_lost_and_said_to_be();
  char command[128];
  snprintf(command, sizeof command, "rm -rf '%s'", folder);
  CHECK(system(command) == 0);
  return 0;
}
