/* lane_attacker --packets SOCKET: packets that no library of ours would send: more descriptors than may be, odd ones, the socket itself, and nothing at all. */
#include "scene.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* The kernel's own limit for one packet. */
#define FDS_MAX 253

static int connected(const char *path) {
  struct sockaddr_un address = { .sun_family = AF_UNIX };
  const int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof address) != 0) {
    fprintf(stderr, "cannot connect to %s: %s\n", path, strerror(errno));
    exit(2);
  }
  return fd;
}

static int send_with(int fd, const void *bytes, size_t length, const int *fds, size_t count) {
  static union { struct cmsghdr head; char bytes[CMSG_SPACE(FDS_MAX * sizeof(int))]; } control;
  struct iovec part = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = length };
  struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
  if (count > 0) {
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE(count * sizeof(int));
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(count * sizeof(int));
    memcpy(CMSG_DATA(&control.head), fds, count * sizeof(int));
  }
  return (int)sendmsg(fd, &message, MSG_NOSIGNAL);
}

static void tell(const char *name, const char *verdict, const char *text) {
  printf("{\"attack\":\"%s\",\"verdict\":\"%s\",\"text\":\"%s\",\"tookMs\":0}\n", name, verdict, text);
}

/* Reads until the gateway closes: whatever it says first. */
static void cut_off(const char *name, int fd) {
  uint8_t bytes[4096];
  for (int packets = 0; packets < 100; packets++) {
    const ssize_t count = hear(fd, bytes, sizeof bytes, NULL, NULL, 30000);
    if (count < 0) return tell(name, "DONE", "was not cut off");
    if (count == 0) break;
  }
  close(fd);
  tell(name, "denied", "cut off");
}

void run_packet_attacks(const char *path) {
  static const uint8_t nothing[64];
  int fds[FDS_MAX];
  char name[80];
  for (int i = 0; i < FDS_MAX; i++) fds[i] = i % 5 == 0 ? open("/dev/zero", O_RDWR) : i % 5 == 1 ? memfd_create("x", 0) : i % 5 == 2 ? eventfd(0, 0) : i % 5 == 3 ? epoll_create1(0) : open("/", O_RDONLY);
  static const size_t counts[] = { 1, 4, 5, 64, FDS_MAX };
  for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
    const int fd = connected(path);
    snprintf(name, sizeof name, "%zu descriptors with a packet", counts[i]);
    if (send_with(fd, nothing, sizeof nothing, fds, counts[i]) < 0) tell(name, "denied", errno_name(errno));
    else cut_off(name, fd);
  }
  for (int round = 0; round < 40; round++) {
    const int fd = connected(path);
    for (int i = 0; i < 4; i++) (void)send_with(fd, nothing, sizeof nothing, fds, FDS_MAX);
    close(fd);
  }
  tell("40,000 descriptors, and gone before they are read", "harmless", "closed by the gateway");
  int fd = connected(path);
  (void)send_with(fd, nothing, sizeof nothing, &fd, 1);
  cut_off("the connection through itself", fd);
  fd = connected(path);
  (void)send_with(fd, nothing, 0, NULL, 0);
  cut_off("an empty packet", fd);
  fd = connected(path);
  (void)send_with(fd, nothing, 0, fds, 4);
  cut_off("an empty packet with descriptors", fd);
}
