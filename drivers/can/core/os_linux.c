#include "os_linux.h"

#include <dirent.h>
#include <errno.h>
#include <linux/capability.h>
#include <linux/can.h>
#include <linux/can/raw.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "rtnetlink.h"

/* ---- Clocks and sockets ------------------------------------------------------------------------------------------------------------- */

static int64_t clock_ns(clockid_t clock)
{
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}
static int64_t os_monotonic_ns(void *context) { (void)context; return clock_ns(CLOCK_MONOTONIC); }
static int64_t os_stamp_offset_ns(void *context) { (void)context; return clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_MONOTONIC); }

static int result_of(long result) { return result < 0 ? -errno : (int)result; }

static int os_interface_index(void *context, const char *interface)
{
    (void)context;
    if (strlen(interface) >= IF_NAMESIZE) return -ENODEV;
    unsigned index = if_nametoindex(interface);
    return index > 0 ? (int)index : -ENODEV;
}

static bool is_can_interface(const char *name)
{
    char path[300];
    int type = 0;
    if (snprintf(path, sizeof path, "/sys/class/net/%s/type", name) >= (int)sizeof path) return false;
    FILE *file = fopen(path, "re");
    if (file == NULL) return false;
    bool can = fscanf(file, "%d", &type) == 1 && type == ARPHRD_CAN;
    fclose(file);
    return can;
}

static int os_interface_list(void *context, char *to, size_t size)
{
    (void)context;
    size_t length = 0;
    DIR *folder = opendir("/sys/class/net");
    if (folder == NULL) return -errno;
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder)) {
        if (entry->d_name[0] == '.' || !is_can_interface(entry->d_name)) continue;
        int added = snprintf(to + length, size - length, "%s%s", length > 0 ? ", " : "", entry->d_name);
        if (added < 0 || (size_t)added >= size - length) break;
        length += (size_t)added;
    }
    closedir(folder);
    return (int)length;
}

/* What ioctl tells it tells without the rtnl lock, for which netlink waits while anybody changes any interface: a Wi-Fi adapter loading its firmware holds it for a second. */
static int interface_ioctl(const char *interface, unsigned long what, struct ifreq *request)
{
    memset(request, 0, sizeof *request);
    snprintf(request->ifr_name, sizeof request->ifr_name, "%s", interface);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0) return -errno;
    int result = ioctl(fd, what, request) < 0 ? -errno : 0;
    close(fd);
    return result;
}

static int os_carries_fd(void *context, const char *interface)
{
    struct ifreq request;
    (void)context;
    int result = interface_ioctl(interface, SIOCGIFMTU, &request);
    return result < 0 ? result : request.ifr_mtu >= (int)CANFD_MTU;
}

static int os_link_glance(void *context, const char *interface, int index, struct ipcnet_can_link *link)
{
    struct ifreq request;
    if (os_interface_index(context, interface) != index) return -ENODEV;
    int result = interface_ioctl(interface, SIOCGIFFLAGS, &request);
    if (result < 0) return result;
    link->index = index;
    link->up = (request.ifr_flags & IFF_UP) != 0;
    link->running = (request.ifr_flags & IFF_RUNNING) != 0;
    return 0;
}

static int os_socket(void *context)
{
    (void)context;
    return result_of(socket(AF_CAN, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, CAN_RAW));
}

static int os_bind(void *context, int fd, int index)
{
    (void)context;
    struct sockaddr_can address = { .can_family = AF_CAN, .can_ifindex = index };
    return result_of(bind(fd, (const struct sockaddr *)&address, sizeof address));
}

static int os_setsockopt(void *context, int fd, int level, int name, const void *value, socklen_t length)
{
    (void)context;
    return result_of(setsockopt(fd, level, name, value, length));
}
static int os_getsockopt(void *context, int fd, int level, int name, void *value, socklen_t *length)
{
    (void)context;
    return result_of(getsockopt(fd, level, name, value, length));
}
static int os_recvmmsg(void *context, int fd, struct mmsghdr *messages, unsigned count)
{
    (void)context;
    return result_of(recvmmsg(fd, messages, count, MSG_DONTWAIT, NULL));
}
static int os_sendmsg(void *context, int fd, const struct msghdr *message)
{
    (void)context;
    return result_of(sendmsg(fd, message, MSG_DONTWAIT | MSG_NOSIGNAL));
}
static void os_close(void *context, int fd)
{
    (void)context;
    close(fd);
}

/* ---- Netlink ------------------------------------------------------------------------------------------------------------------------ */

/* Sends one request and feeds each answer to `each` until it says that it has what it wants. rtnetlink answers before sendto returns, so nothing is waited for. */
static int converse(const void *request, size_t length, uint32_t sequence, bool (*each)(const struct rtnetlink_message *, void *), void *to)
{
    struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
    unsigned char answer[16384];
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0) return -errno;
    int result = sendto(fd, request, length, 0, (const struct sockaddr *)&kernel, sizeof kernel) < 0 ? -errno : -EIO;
    while (result == -EIO) {
        ssize_t got = recv(fd, answer, sizeof answer, 0);
        if (got <= 0) break;
        size_t at = 0, step;
        struct rtnetlink_message message;
        while (result == -EIO && (step = rtnetlink_read(answer + at, (size_t)got - at, &message)) > 0) {
            at += step;
            if (message.sequence != sequence) continue;
            if (message.kind == RTNETLINK_ERROR) result = message.error;
            else if (message.kind == RTNETLINK_DONE || each(&message, to)) result = 0;
        }
    }
    close(fd);
    return result;
}

static uint32_t next_sequence(struct ipcnet_can_linux *self)
{
    return __atomic_add_fetch(&self->sequence, 1, __ATOMIC_RELAXED); /* reader and owner may both ask */
}

static bool take_nothing(const struct rtnetlink_message *message, void *to) { (void)message; (void)to; return false; }

static bool take_link(const struct rtnetlink_message *message, void *to)
{
    if (message->kind != RTNETLINK_LINK) return false;
    *(struct ipcnet_can_link *)to = message->link;
    return true;
}

struct backlog {
    int index;
    uint32_t frames;
};
static bool take_backlog(const struct rtnetlink_message *message, void *to)
{
    struct backlog *backlog = to;
    if (message->kind == RTNETLINK_QDISC && message->qdisc_index == backlog->index && message->qdisc_is_root) backlog->frames += message->qdisc_frames;
    return false; /* a dump: ends with DONE */
}

static int os_link_query(void *context, int index, struct ipcnet_can_link *link)
{
    unsigned char request[RTNETLINK_REQUEST_MAX];
    uint32_t sequence = next_sequence(context);
    return converse(request, rtnetlink_get_link(request, sequence, index), sequence, take_link, link);
}

static int set_up(struct ipcnet_can_linux *self, int index, bool up)
{
    unsigned char request[RTNETLINK_REQUEST_MAX];
    uint32_t sequence = next_sequence(self);
    return converse(request, rtnetlink_set_up(request, sequence, index, up), sequence, take_nothing, NULL);
}

/* What the kernel says to two requests in one datagram: it does one after the other before sendto returns. */
static void converse_twice(const void *request, size_t length, const uint32_t sequences[2], int results[2])
{
    struct sockaddr_nl kernel = { .nl_family = AF_NETLINK };
    unsigned char answer[4096];
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    results[0] = results[1] = fd < 0 ? -errno : -EIO;
    if (fd < 0) return;
    if (sendto(fd, request, length, 0, (const struct sockaddr *)&kernel, sizeof kernel) < 0) results[0] = results[1] = -errno;
    for (ssize_t got; (got = recv(fd, answer, sizeof answer, 0)) > 0;) {
        struct rtnetlink_message message;
        for (size_t at = 0, step; (step = rtnetlink_read(answer + at, (size_t)got - at, &message)) > 0; at += step) {
            for (int i = 0; i < 2; i++)
                if (message.kind == RTNETLINK_ERROR && message.sequence == sequences[i]) results[i] = message.error;
        }
    }
    close(fd);
}

/*
 * Closing the interface drops its queue and the controller's mailboxes; nothing less reaches the latter. Down and up go in one datagram: whoever is killed in the middle of it is killed
 * when the kernel has done both, and leaves no interface down.
 */
static int os_purge(void *context, int index)
{
    unsigned char request[2 * RTNETLINK_REQUEST_MAX];
    const uint32_t sequences[2] = { next_sequence(context), next_sequence(context) };
    int results[2];
    size_t length = rtnetlink_set_up(request, sequences[0], index, false);
    length += rtnetlink_set_up(request + length, sequences[1], index, true); /* 32 bytes: nothing to align */
    converse_twice(request, length, sequences, results);
    if (results[0] < 0) return results[0];
    for (int tries = 1; results[1] < 0 && tries < 3; tries++) results[1] = set_up(context, index, true); /* some USB adapters refuse the first time ("Protocol error") */
    return results[1];
}

static int os_restart(void *context, int index)
{
    unsigned char request[RTNETLINK_REQUEST_MAX];
    uint32_t sequence = next_sequence(context);
    return converse(request, rtnetlink_restart_can(request, sequence, index), sequence, take_nothing, NULL);
}

static int os_tx_backlog(void *context, int index)
{
    unsigned char request[RTNETLINK_REQUEST_MAX];
    struct backlog backlog = { .index = index };
    uint32_t sequence = next_sequence(context);
    int result = converse(request, rtnetlink_get_qdisc(request, sequence, index), sequence, take_backlog, &backlog);
    return result < 0 ? result : (int)(backlog.frames & 0x7fffffff);
}

/*
 * The effective capability itself, not the user id: a service has the one without the other. One system call: the reflex asks at realtime priority, and the text in /proc that says the same costs a
 * small processor a quarter of a millisecond each time.
 */
static bool os_may_purge(void *context)
{
    (void)context;
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 }; /* pid 0: this thread */
    struct __user_cap_data_struct sets[_LINUX_CAPABILITY_U32S_3] = { { 0 } };
    if (syscall(SYS_capget, &head, sets) != 0) return false;
    return (sets[CAP_TO_INDEX(CAP_NET_ADMIN)].effective & CAP_TO_MASK(CAP_NET_ADMIN)) != 0;
}

static int os_link_fd(void *context) { return ((struct ipcnet_can_linux *)context)->notifications; }

/* All that waits is one hint: what is true is asked for afterwards. A lost notification (ENOBUFS) is a hint as well. */
static int os_link_event(void *context, struct ipcnet_can_link_event *event)
{
    struct ipcnet_can_linux *self = context;
    unsigned char notification[8192];
    bool changed = false;
    while (self->notifications >= 0) {
        ssize_t got = recv(self->notifications, notification, sizeof notification, MSG_DONTWAIT);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && errno != ENOBUFS) break;
        changed = true;
    }
    if (changed) *event = (struct ipcnet_can_link_event){ .kind = IPCNET_LINK_CHANGED };
    return changed;
}

/* ---- A witness ------------------------------------------------------------------------------------------------------------------------ */

static int open_notifications(void)
{
    struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = RTMGRP_LINK };
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE);
    if (fd < 0) return -errno;
    if (bind(fd, (const struct sockaddr *)&address, sizeof address) == 0) return fd;
    int error = errno;
    close(fd);
    return -error;
}

int ipcnet_can_linux_watch(void) { return open_notifications(); }

bool ipcnet_can_linux_saw_it_down(int watch, int index)
{
    struct sockaddr_nl from;
    unsigned char notification[8192];
    bool seen = false;
    for (;;) {
        socklen_t length = sizeof from;
        ssize_t got = recvfrom(watch, notification, sizeof notification, MSG_DONTWAIT, (struct sockaddr *)&from, &length);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return seen; /* (Some were lost: then it was not seen.) */
        struct rtnetlink_message message;
        for (size_t at = 0, step; from.nl_pid == 0 && (step = rtnetlink_read(notification + at, (size_t)got - at, &message)) > 0; at += step)
            seen = seen || (message.kind == RTNETLINK_LINK && message.link.index == index && !message.link.up);
    }
}

/* ---- Construction ------------------------------------------------------------------------------------------------------------------- */

int ipcnet_can_linux_init(struct ipcnet_can_linux *self)
{
    int fd = open_notifications();
    *self = (struct ipcnet_can_linux){ .notifications = fd < 0 ? -1 : fd };
    return fd < 0 ? fd : 0;
}

void ipcnet_can_linux_close(struct ipcnet_can_linux *self)
{
    if (self->notifications >= 0) close(self->notifications);
    self->notifications = -1;
}

struct ipcnet_can_os ipcnet_can_linux_os(struct ipcnet_can_linux *self)
{
    return (struct ipcnet_can_os){
        .context = self, .monotonic_ns = os_monotonic_ns, .stamp_offset_ns = os_stamp_offset_ns, .interface_index = os_interface_index, .interface_list = os_interface_list, .carries_fd = os_carries_fd,
        .socket = os_socket, .bind = os_bind, .setsockopt = os_setsockopt, .getsockopt = os_getsockopt, .recvmmsg = os_recvmmsg, .sendmsg = os_sendmsg, .close = os_close,
        .link_fd = os_link_fd, .link_event = os_link_event, .link_glance = os_link_glance, .link_query = os_link_query, .purge = os_purge, .restart = os_restart, .may_purge = os_may_purge,
        .tx_backlog = os_tx_backlog,
    };
}
