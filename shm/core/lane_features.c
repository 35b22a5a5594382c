/* What the kernel can do, found by trying: version numbers say little about patched kernels. */
#include "lane_layout.h"
#include "memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SO_PASSPIDFD
#define SO_PASSPIDFD 76
#endif
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif
#ifndef SO_PASSRIGHTS
#define SO_PASSRIGHTS 83
#endif

static unsigned sealing(void) {
  unsigned found = 0;
  int fd = memfd_create("ipcnet-probe", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
  if (fd >= 0) found |= IPCNET_LANE_HAS_NOEXEC_SEAL;
  else fd = memfd_create("ipcnet-probe", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) return 0;
  if (fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0) found |= IPCNET_LANE_HAS_SEAL_FUTURE_WRITE;
  close(fd);
  return found;
}

static unsigned sockets(void) {
  unsigned found = 0;
  int fds[2], value = 0;
  socklen_t length = sizeof value;
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds) != 0) return 0;
  if (getsockopt(fds[0], SOL_SOCKET, SO_PEERPIDFD, &value, &length) == 0) {
    found |= IPCNET_LANE_HAS_PEERPIDFD;
    close(value);
  }
  length = sizeof value;
  if (getsockopt(fds[0], SOL_SOCKET, SO_PASSPIDFD, &value, &length) == 0) found |= IPCNET_LANE_HAS_PASSPIDFD;
  length = sizeof value;
  if (getsockopt(fds[0], SOL_SOCKET, SO_PASSRIGHTS, &value, &length) == 0) found |= IPCNET_LANE_HAS_PASSRIGHTS;
  close(fds[0]);
  close(fds[1]);
  return found;
}

unsigned ipcnet_lane_features(void) {
  unsigned found = sealing() | sockets();
  const long pidfd = syscall(SYS_pidfd_open, getpid(), 0);
  if (pidfd >= 0) {
    found |= IPCNET_LANE_HAS_PIDFD_OPEN;
    close((int)pidfd);
  }
  return found;
}
