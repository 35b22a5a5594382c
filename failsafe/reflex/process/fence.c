#include "fence.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

/* An open-file-description lock: it belongs to what `open` made, which nobody else has, and goes when the last thread that could use it has gone. */
static bool set(int fd, short type) {
  struct flock lock = {.l_type = type, .l_whence = SEEK_SET};
  return fcntl(fd, F_OFD_SETLK, &lock) == 0;
}

int ipcnet_fence_open(const char *path) {
  int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
  return fd < 0 ? -errno : fd;
}

bool ipcnet_fence_try(int fd) {
  return set(fd, F_WRLCK);
}

void ipcnet_fence_release(int fd) {
  set(fd, F_UNLCK);
}

void ipcnet_fence_kill(int pidfd) {
  if (pidfd >= 0) syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

bool ipcnet_fence_is_dead(int pidfd) {
  struct pollfd wanted = {.fd = pidfd, .events = POLLIN};
  return pidfd >= 0 && poll(&wanted, 1, 0) == 1 && (wanted.revents & POLLIN) != 0;
}
