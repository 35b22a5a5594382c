/* notify: tells the service manager (sd_notify's datagrams; nothing without NOTIFY_SOCKET). Never waits. */
#ifndef IPCNET_REFLEX_NOTIFY_H
#define IPCNET_REFLEX_NOTIFY_H

#include <stdint.h>
#include <sys/socket.h>
#include <sys/un.h>

struct ipcnet_notify {
  int fd; /* -1: nobody to tell */
  struct sockaddr_un address;
  socklen_t address_bytes;
  uint64_t watchdog_us; /* between two signs of life, a third of what is asked; 0 none are asked for */
  uint64_t next_us, next_working_us;
};

void ipcnet_notify_open(struct ipcnet_notify *self);
/* "READY=1", "STOPPING=1", "STATUS=…". */
void ipcnet_notify_say(struct ipcnet_notify *self, const char *text);
/* With every turn while stopping takes its time: EXTEND_TIMEOUT_USEC when it is due. */
void ipcnet_notify_working(struct ipcnet_notify *self, uint64_t now_us);
/* With every turn of the loop: WATCHDOG=1 when it is due. */
void ipcnet_notify_alive(struct ipcnet_notify *self, uint64_t now_us);

#endif
