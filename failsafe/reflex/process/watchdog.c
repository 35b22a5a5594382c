#include "watchdog.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "realtime.h"
#include "thread.h"

#define STACK_BYTES (64u * 1024u)

static void feed(struct ipcnet_watchdog *self, int fd) {
  /* SYNC: the loop's word is read after the wish: a wish to feed with an old word feeds nothing. */
  uint64_t now_us = ipcnet_now_us(), healthy_us = atomic_load(&self->healthy_us);
  if (now_us > healthy_us + IPCNET_WATCHDOG_FRESH_US) return;
  if (write(fd, "\0", 1) == 1) atomic_fetch_add(&self->feeds, 1); /* any letter but V feeds */
}

static void *run(void *argument) {
  struct ipcnet_watchdog *self = argument;
  int fd = -1;
  for (;;) {
    uint32_t wish = atomic_load(&self->wish);
    if (wish == IPCNET_WATCHDOG_FEED && fd < 0) fd = open(self->path, O_WRONLY | O_CLOEXEC); /* EBUSY: the twin has it still; tried again */
    if (wish == IPCNET_WATCHDOG_FEED && fd >= 0) feed(self, fd);
    if (wish == IPCNET_WATCHDOG_END && fd >= 0) (void)!write(fd, "V", 1);
    if (wish != IPCNET_WATCHDOG_FEED && fd >= 0) {
      close(fd);
      fd = -1;
    }
    atomic_store(&self->open, fd >= 0);
    if (wish == IPCNET_WATCHDOG_END) atomic_store(&self->ended, true);
    struct pollfd wanted = {.fd = self->wake_fd, .events = POLLIN};
    if (poll(&wanted, 1, IPCNET_WATCHDOG_PERIOD_US / 1000) > 0) {
      uint64_t count;
      (void)!read(self->wake_fd, &count, sizeof count);
    }
  }
  return NULL;
}

int ipcnet_watchdog_start(struct ipcnet_watchdog *self, const char *path) {
  memset(self, 0, sizeof *self);
  self->path = path;
  self->wake_fd = -1;
  if (path == NULL) return 0;
  self->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (self->wake_fd < 0) return -errno;
  return ipcnet_thread_start(run, self, STACK_BYTES); /* realtime, as the loop: late feeding resets the host */
}

void ipcnet_watchdog_say(struct ipcnet_watchdog *self, enum ipcnet_watchdog_wish wish, bool healthy, uint64_t now_us) {
  const uint64_t one = 1;
  if (self->path == NULL) return;
  if (healthy) atomic_store(&self->healthy_us, now_us);
  if (atomic_exchange(&self->wish, wish) != (uint32_t)wish) (void)!write(self->wake_fd, &one, sizeof one);
}
