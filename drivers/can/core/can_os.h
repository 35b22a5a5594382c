/*
 * can_os: everything the CAN core wants from outside, as a struct of functions.
 *
 * Three implementations: os_linux.c (AF_CAN and rtnetlink), emulator_socket.c (the emulated bus, which answers as a kernel would), and a scripted
 * fake in the tests, by which each errno is tried on machines whose kernel has no CAN.
 *
 * All functions return ≥ 0 or a negative errno, and none waits for the network. `purge` and `restart` may take the milliseconds (on USB adapters
 * some hundred) that the interface's driver takes, and `link_query` and `tx_backlog` wait while somebody else changes an interface (the kernel's rtnl lock):
 * the core calls these four on its reader's thread alone.
 */
#ifndef IPCNET_CAN_OS_H
#define IPCNET_CAN_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* What is known about an interface. Zero where the kernel does not tell. */
struct ipcnet_can_link {
    int index;
    bool is_can;
    bool controller;          /* has a bit rate and error states: not virtual */
    bool up;                  /* administratively: may be sent on */
    bool running;             /* has its carrier: false during bus-off */
    bool fd;                  /* carries FD frames (MTU 72) */
    bool fd_capable;          /* a controller that could: it says what its data phase may be */
    bool listen_only;         /* the controller itself never acknowledges */
    uint32_t tx_queue_frames; /* txqueuelen */
    uint32_t bitrate_bps, data_bitrate_bps;
    uint32_t restart_ms;      /* automatic restart after bus-off; should be 0: restarting is ours, after a purge */
    uint8_t bus_state;        /* 0 error-active, 1 warning, 2 passive, 3 bus-off */
    bool bus_state_known;
    uint16_t tec, rec;
    char refusal[64];         /* why a peer refused us, if it did */
};

enum ipcnet_can_link_event_kind {
    IPCNET_LINK_CHANGED,    /* something about interfaces changed: look again */
    IPCNET_LINK_UP,         /* a: frames found waiting in the queue that are not ours */
    IPCNET_LINK_DOWN,
    IPCNET_LINK_GONE,       /* the interface or the peer no longer exists */
    IPCNET_LINK_BUS_STATE,  /* a: 0…3; b: TEC << 16 | REC */
    IPCNET_LINK_PURGED,
    IPCNET_LINK_PURGE_FAILED, /* a: errno */
    IPCNET_LINK_RESTART_FAILED, /* a: errno */
    IPCNET_LINK_DROPPED,    /* a queued frame was removed unsent; key: which */
    IPCNET_LINK_OVERFLOW,   /* a: lost frames, at least */
    IPCNET_LINK_SYNCED,     /* a: number of the request; everything that had arrived was read */
};

struct ipcnet_can_link_event {
    uint32_t kind;
    uint32_t a, b;
    uint64_t key;
};

struct canfd_frame;
struct mmsghdr;

struct ipcnet_can_os {
    void *context;
    int64_t (*monotonic_ns)(void *context);
    int64_t (*stamp_offset_ns)(void *context); /* how far the clock of received time stamps is ahead of the monotonic one */

    int (*interface_index)(void *context, const char *interface);
    /* "can0, vcan1": for people. Returns the length. */
    int (*interface_list)(void *context, char *to, size_t size);
    /* 1: frames of 64 bytes fit (MTU 72), 0: they do not; unknown counts as fitting. */
    int (*carries_fd)(void *context, const char *interface);
    int (*socket)(void *context);
    int (*bind)(void *context, int fd, int index);
    int (*setsockopt)(void *context, int fd, int level, int name, const void *value, socklen_t length);
    int (*getsockopt)(void *context, int fd, int level, int name, void *value, socklen_t *length);
    int (*recvmmsg)(void *context, int fd, struct mmsghdr *messages, unsigned count);
    int (*sendmsg)(void *context, int fd, const struct msghdr *message);
    void (*close)(void *context, int fd);

    /* A descriptor that becomes readable when an interface changes; -1 where the socket itself tells. */
    int (*link_fd)(void *context);
    /* The next thing that happened to the link: 1 and an event, or 0. */
    int (*link_event)(void *context, struct ipcnet_can_link_event *event);
    /* What can be known without waiting: whether it is up, and why a peer refused us. -ENODEV: gone, or another interface by that name; -EAGAIN: not known yet. */
    int (*link_glance)(void *context, const char *interface, int index, struct ipcnet_can_link *link);
    /* All of it. */
    int (*link_query)(void *context, int index, struct ipcnet_can_link *link);
    /* Empties the queue to the wire. 0: done; -EINPROGRESS: IPCNET_LINK_PURGED follows. */
    int (*purge)(void *context, int index);
    /* Restarts the controller after bus-off. -EBUSY: it is not bus-off. */
    int (*restart)(void *context, int index);
    /* Whether this process has the right to purge, without doing it. */
    bool (*may_purge)(void *context);
    /* Frames waiting in the interface's queue, whoever put them there. */
    int (*tx_backlog)(void *context, int index);
};

#endif
