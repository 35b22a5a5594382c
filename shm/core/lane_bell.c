/* A bell: one byte through a socket pair. docs/decisions/0017-wake-ups.md says why a socket pair. */
#include "lane_layout.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

/* The kernel raises it to its least, 4608 bytes: a handful of rings. More need not wait unheard. */
#define SEND_BUFFER_BYTES 1
/* One ring per sleep, so one byte is all there is; more of them (and the end) show at the next look. Each further recv would cost every wake-up as much as the ring itself. */
#define TAKE_MAX 1

int ipcnet_lane_bell(int fds[2]) {
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fds) != 0) return -errno;
  const int bytes = SEND_BUFFER_BYTES;
  for (int end = 0; end < 2; end++) {
    if (setsockopt(fds[end], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) != 0) {
      const int error = errno;
      close(fds[0]);
      close(fds[1]);
      return -error;
    }
  }
  return 0;
}

int ipcnet_lane_bell_check(int fd) {
  int domain = 0, type = 0;
  socklen_t length = sizeof domain;
  struct sockaddr_storage peer;
  socklen_t peer_length = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) != 0 || domain != AF_UNIX) return -EPROTO;
  length = sizeof type;
  if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &length) != 0 || type != SOCK_SEQPACKET) return -EPROTO;
  if (getpeername(fd, (struct sockaddr *)&peer, &peer_length) != 0) return -EPROTO;
  /* Made by somebody else perhaps: how much may lie unheard is ours to say. */
  const int bytes = SEND_BUFFER_BYTES;
  return setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes) == 0 ? 0 : -EPROTO;
}

enum ipcnet_lane_ring ipcnet_lane_bell_ring(int bell, uint8_t byte) {
  /* MSG_DONTWAIT says it for this call, whatever somebody did to the flags of the file. */
  while (send(bell, &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL) != 1) {
    if (errno == EINTR) continue;
    return errno == EAGAIN || errno == ENOBUFS || errno == ENOMEM ? IPCNET_LANE_RUNG_ALREADY : IPCNET_LANE_RING_GONE;
  }
  return IPCNET_LANE_RUNG;
}

int ipcnet_lane_bell_take(int bell, uint8_t *last, int *gone) {
  int taken = 0;
  while (taken < TAKE_MAX) {
    uint8_t byte;
    const ssize_t count = recv(bell, &byte, 1, MSG_DONTWAIT);
    if (count == 1) {
      *last = byte;
      taken++;
    } else if (count < 0 && errno == EINTR) {
      continue;
    } else {
      if (count == 0 || errno != EAGAIN) *gone = 1;
      break;
    }
  }
  return taken;
}
