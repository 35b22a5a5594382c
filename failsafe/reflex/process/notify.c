#include "notify.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void ipcnet_notify_open(struct ipcnet_notify *self) {
  memset(self, 0, sizeof *self);
  self->fd = -1;
  const char *path = getenv("NOTIFY_SOCKET"), *watchdog = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
  size_t length = path == NULL ? 0 : strlen(path);
  if (length < 2 || length >= sizeof self->address.sun_path || (path[0] != '/' && path[0] != '@')) return;
  self->address.sun_family = AF_UNIX;
  memcpy(self->address.sun_path, path, length);
  if (path[0] == '@') self->address.sun_path[0] = '\0';
  self->address_bytes = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
  self->fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (watchdog != NULL && (pid == NULL || atol(pid) == (long)getpid())) self->watchdog_us = strtoull(watchdog, NULL, 10) / 3;
}

void ipcnet_notify_say(struct ipcnet_notify *self, const char *text) {
  if (self->fd < 0) return;
  (void)!sendto(self->fd, text, strlen(text), MSG_DONTWAIT | MSG_NOSIGNAL, (const struct sockaddr *)&self->address, self->address_bytes);
}

void ipcnet_notify_working(struct ipcnet_notify *self, uint64_t now_us) {
  if (now_us < self->next_working_us) return;
  self->next_working_us = now_us + 2000000u; /* half of what is asked for */
  ipcnet_notify_say(self, "EXTEND_TIMEOUT_USEC=4000000");
}

void ipcnet_notify_alive(struct ipcnet_notify *self, uint64_t now_us) {
  if (self->watchdog_us == 0 || now_us < self->next_us) return;
  self->next_us = now_us + self->watchdog_us;
  ipcnet_notify_say(self, "WATCHDOG=1");
}
