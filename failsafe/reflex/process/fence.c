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

bool ipcnet_fence_note_epoch(int fd, uint16_t epoch) {
  const uint8_t bytes[2] = {(uint8_t)epoch, (uint8_t)(epoch >> 8)};
  return pwrite(fd, bytes, sizeof bytes, 0) == (ssize_t)sizeof bytes;
}

uint16_t ipcnet_fence_noted_epoch(int fd) {
  uint8_t bytes[2];
  return pread(fd, bytes, sizeof bytes, 0) == (ssize_t)sizeof bytes ? (uint16_t)(bytes[0] | (unsigned)bytes[1] << 8) : 0;
}

void ipcnet_fence_kill(int pidfd) {
  if (pidfd >= 0) syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0);
}

bool ipcnet_fence_is_dead(int pidfd) {
  struct pollfd wanted = {.fd = pidfd, .events = POLLIN};
  return pidfd >= 0 && poll(&wanted, 1, 0) == 1 && (wanted.revents & POLLIN) != 0;
}
