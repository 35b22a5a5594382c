/*
 * purge_client: the kernel's CAN for a process without CAP_NET_ADMIN: as os_linux, but what takes the capability is asked of ipcnet-purge. A process that has the capability does it itself and asks nobody.
 *
 * `may_purge` is true only while connected to a helper of root's or of our own user that has said within the last second and a half that it would purge this interface: it is asked again and again, so that one that
 * hangs is found, a second and a half later at most, before it is needed. `purge` and `restart` wait for their answer, and for a helper that has died and is started again, until IPCNET_PURGE_PATIENCE_NS after they were called; then the helper counts as unable.
 * That a purge was done the helper cannot merely say: the kernel must have told meanwhile that the interface went down.
 *
 * Threads: `interface_index` and `may_purge` may be called by the owner; all else belongs to the reader (ipcnet_can.h), but for `cancel`, which anybody may call, once and for all: whoever waits for an answer stops waiting.
 */
#ifndef IPCNET_PURGE_CLIENT_H
#define IPCNET_PURGE_CLIENT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "os_linux.h"
#include "purge_protocol.h"

/* Less than the second after which bus_health takes it for unanswered, and after which it asks again; a USB adapter takes 0.3 s to go down and up, and another bus may be purged before this one. */
#define IPCNET_PURGE_PATIENCE_NS 800000000
#define IPCNET_PURGE_ASK_NS 500000000   /* between two questions whether it may */
#define IPCNET_PURGE_SEEK_NS 100000000  /* between two attempts to connect */

struct ipcnet_purge_client {
  struct ipcnet_can_linux kernel;
  struct ipcnet_can_os kernel_os;
  char path[108];
  int poll, timer, cancelled; /* epoll over the kernel's notifications, the timer and the connection; an eventfd */
  int (*watch)(void);
  bool (*saw_it_down)(int watch, int index); /* as in os_linux.h; a test has no interface that it could take down */

  _Atomic int index;          /* of our interface; 0 not known yet */
  _Atomic int64_t able_until_ns;

  /* The reader's. */
  int fd;                     /* -1: not connected */
  uint32_t number, asked;     /* the last one given; of the MAY that is not answered, 0 none */
  int asked_index;
  int64_t asked_ns;
  unsigned refusals;          /* helpers and answers that broke their promise */
};

/* `path`: of the socket of ipcnet-purge; it is copied. 0, or a negative errno: then there is nothing to close. */
int ipcnet_purge_client_init(struct ipcnet_purge_client *self, const char *path);
void ipcnet_purge_client_cancel(struct ipcnet_purge_client *self);
void ipcnet_purge_client_close(struct ipcnet_purge_client *self);
struct ipcnet_can_os ipcnet_purge_client_os(struct ipcnet_purge_client *self);

#endif
