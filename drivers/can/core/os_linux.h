/* The kernel: AF_CAN sockets and rtnetlink. `struct ipcnet_can_linux` is the context; it holds two netlink sockets until closed. */
#ifndef IPCNET_OS_LINUX_H
#define IPCNET_OS_LINUX_H

#include "can_os.h"

struct ipcnet_can_linux {
    int notifications; /* subscribed to link changes; read by the core's reader alone */
    uint32_t sequence;
};

/* Opens the notification socket. 0, or a negative errno: then interfaces that come and go are noticed by their sockets' errors alone. */
int ipcnet_can_linux_init(struct ipcnet_can_linux *self);
void ipcnet_can_linux_close(struct ipcnet_can_linux *self);
struct ipcnet_can_os ipcnet_can_linux_os(struct ipcnet_can_linux *self);

/*
 * Whether an interface went down, as the kernel tells it, whoever says that he took it down. `watch`: a descriptor to close, or a negative errno. `saw_it_down`: since then; reads all that waits,
 * never waits itself, and what was lost was not seen.
 */
int ipcnet_can_linux_watch(void);
bool ipcnet_can_linux_saw_it_down(int watch, int index);

#endif
