#include "emulator_socket.h"

#include <errno.h>
#include <linux/can/raw.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define RECORD IPCNET_EMULATOR_RECORD_BYTES
#define HEAD 8u
#define VERSION 1u

enum kind { HELLO = 1, WELCOME, FRAME, ECHO, DROPPED, LINK, CONTROL, STATE, REFUSED };
enum { HELLO_FD = 1, HELLO_LISTEN_ONLY = 2, HELLO_ECHOES = 4 };
enum { WELCOME_FD = 1, WELCOME_LINK_DOWN = 2 };
enum { CONTROL_PURGE = 1, CONTROL_RESTART = 2 };
#define EVENTS_SOFT_LIMIT (IPCNET_EMULATOR_EVENTS - 4u) /* one record gives at most two events */

/* ---- Records ------------------------------------------------------------------------------------------------------------------------ */

struct record {
    uint8_t kind, arg;
    uint16_t reserved;
    uint32_t value;
    struct ipcnet_can_frame frame;
};
_Static_assert(sizeof(struct record) == RECORD, "docs/specs/bus-emulator.md says 96");

static int write_record(int fd, const struct record *record)
{
    ssize_t written = send(fd, record, sizeof *record, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (written == (ssize_t)sizeof *record) return 0;
    if (written < 0) return -errno;
    return -EPIPE; /* a torn record: the kernel does not tear what fits one socket buffer, but then the stream would be lost */
}

/* Never full: no record is taken when fewer than four places are left. */
static void tell(struct ipcnet_emulator *self, uint32_t kind, uint32_t a, uint32_t b, uint64_t key)
{
    self->events[self->events_head++ % IPCNET_EMULATOR_EVENTS] = (struct ipcnet_can_link_event){ .kind = kind, .a = a, .b = b, .key = key };
}

static uint32_t id_with_flags(const struct ipcnet_can_frame *frame)
{
    return frame->can_id | ((frame->flags & IPCNET_CAN_EXTENDED) ? CAN_EFF_FLAG : 0) | ((frame->flags & IPCNET_CAN_REMOTE) ? CAN_RTR_FLAG : 0) |
           ((frame->flags & IPCNET_CAN_ERROR) ? CAN_ERR_FLAG : 0);
}

static void one_less_in_flight(struct ipcnet_emulator *self)
{
    uint32_t before = atomic_load(&self->in_flight);
    while (before > 0 && !atomic_compare_exchange_weak(&self->in_flight, &before, before - 1)) { }
    if (before <= 1 && atomic_exchange(&self->purging, false)) tell(self, IPCNET_LINK_PURGED, 0, 0, 0);
}

/* ---- Opening ------------------------------------------------------------------------------------------------------------------------ */

static int64_t os_clock_ns(void *context)
{
    struct timespec now;
    (void)context;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static int64_t os_stamp_offset_ns(void *context)
{
    (void)context;
    return 0;
}

static int os_interface_index(void *context, const char *interface)
{
    struct ipcnet_emulator *self = context;
    struct stat status;
    if (stat(interface, &status) != 0 || !S_ISSOCK(status.st_mode)) return -ENODEV;
    snprintf(self->path, sizeof self->path, "%s", interface);
    return 1;
}

static int os_interface_list(void *context, char *to, size_t size)
{
    (void)context;
    return snprintf(to, size, "an emulated bus is named by its server's socket");
}

static int os_carries_fd(void *context, const char *interface)
{
    (void)context;
    (void)interface;
    return 1; /* the WELCOME will say */
}

static int os_socket(void *context)
{
    (void)context;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    return fd < 0 ? -errno : fd;
}

static int os_setsockopt(void *context, int fd, int level, int name, const void *value, socklen_t length)
{
    struct ipcnet_emulator *self = context;
    (void)value;
    (void)length;
    (void)fd;
    if (level == SOL_CAN_RAW && name == CAN_RAW_FD_FRAMES) self->wants_fd = true;
    return 0;
}

static int os_getsockopt(void *context, int fd, int level, int name, void *value, socklen_t *length)
{
    (void)context;
    return getsockopt(fd, level, name, value, length) < 0 ? -errno : 0;
}

static int os_bind(void *context, int fd, int index)
{
    struct ipcnet_emulator *self = context;
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct record hello = { .kind = HELLO, .value = VERSION, .frame = { .token = self->controller } };
    (void)index;
    snprintf(address.sun_path, sizeof address.sun_path, "%s", self->path);
    if (connect(fd, (const struct sockaddr *)&address, sizeof address) < 0) return errno == EAGAIN ? -ECONNREFUSED : -errno; /* EAGAIN: too many wait to be accepted */
    atomic_store(&self->in_flight, 0);
    atomic_store(&self->welcomed, false);
    atomic_store(&self->link_up, false);
    atomic_store(&self->purging, false);
    atomic_store(&self->bus_state, 0);
    atomic_store(&self->counters, 0);
    atomic_store(&self->waiting, 0);
    self->start = self->filled = 0;
    self->events_head = self->events_tail = 0;
    self->gone = false;
    self->refusal[0] = '\0';
    self->bound_fd = fd;
    hello.arg = (uint8_t)((self->wants_fd ? HELLO_FD : 0) | (self->listen_only ? HELLO_LISTEN_ONLY : 0) | HELLO_ECHOES);
    size_t length = strlen(self->bus_name);
    memcpy(hello.frame.data, self->bus_name, length);
    memcpy(hello.frame.data + length + 1, self->node_name, strlen(self->node_name)); /* 31 + 1 + 31 ≤ 64 */
    return write_record(fd, &hello);
}

static void os_close(void *context, int fd)
{
    struct ipcnet_emulator *self = context;
    if (self->bound_fd == fd) self->bound_fd = -1;
    self->wants_fd = false;
    atomic_store(&self->welcomed, false);
    atomic_store(&self->link_up, false);
    close(fd);
}

/* ---- Reading ------------------------------------------------------------------------------------------------------------------------ */

static void fill_message(struct mmsghdr *message, const struct ipcnet_can_frame *frame, bool echo)
{
    bool fd = (frame->flags & IPCNET_CAN_FD) != 0;
    uint8_t length = frame->length_bytes <= 64 ? frame->length_bytes : 64;
    struct canfd_frame raw = { .can_id = id_with_flags(frame), .len = length };
    if (fd) raw.flags = (uint8_t)(((frame->flags & IPCNET_CAN_BRS) ? CANFD_BRS : 0) | ((frame->flags & IPCNET_CAN_ESI) ? CANFD_ESI : 0));
    memcpy(raw.data, frame->data, length);
    size_t size = fd ? CANFD_MTU : CAN_MTU;
    memcpy(message->msg_hdr.msg_iov[0].iov_base, &raw, size);
    message->msg_len = (unsigned)size;
    message->msg_hdr.msg_flags = echo ? MSG_CONFIRM : 0;

    struct timespec stamp = { .tv_sec = (time_t)(frame->time_us / 1e6) };
    stamp.tv_nsec = (long)((frame->time_us - (double)stamp.tv_sec * 1e6) * 1e3);
    if (message->msg_hdr.msg_control == NULL || message->msg_hdr.msg_controllen < CMSG_SPACE(sizeof stamp)) {
        message->msg_hdr.msg_controllen = 0;
        return;
    }
    struct cmsghdr *control = CMSG_FIRSTHDR(&message->msg_hdr);
    *control = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_TIMESTAMPNS, .cmsg_len = CMSG_LEN(sizeof stamp) };
    memcpy(CMSG_DATA(control), &stamp, sizeof stamp);
    message->msg_hdr.msg_controllen = CMSG_SPACE(sizeof stamp);
}

static void take_welcome(struct ipcnet_emulator *self, const struct record *record)
{
    bool up = (record->arg & WELCOME_LINK_DOWN) == 0;
    uint8_t state = record->frame.data[0] <= 3 ? record->frame.data[0] : 0;
    atomic_store(&self->queue_frames, record->value);
    atomic_store(&self->bitrate_bps, record->frame.can_id);
    atomic_store(&self->fd, (record->arg & WELCOME_FD) != 0);
    atomic_store(&self->bus_state, state);
    atomic_store(&self->counters, record->frame.lost_before);
    atomic_store(&self->waiting, record->frame.token);
    atomic_store(&self->link_up, up);
    atomic_store(&self->welcomed, true);
    tell(self, up ? IPCNET_LINK_UP : IPCNET_LINK_DOWN, up ? record->frame.token : 0, 0, 0);
    if (state != 0) tell(self, IPCNET_LINK_BUS_STATE, state, record->frame.lost_before, 0);
}

/* Takes one record; true when it became a message. */
static bool take_record(struct ipcnet_emulator *self, const struct record *record, struct mmsghdr *message)
{
    switch (record->kind) {
    case FRAME:
        fill_message(message, &record->frame, false);
        return true;
    case ECHO:
        one_less_in_flight(self);
        fill_message(message, &record->frame, true);
        return true;
    case DROPPED:
        tell(self, IPCNET_LINK_DROPPED, record->arg, 0, ipcnet_can_key(id_with_flags(&record->frame), record->frame.length_bytes <= 64 ? record->frame.length_bytes : 64, record->frame.data));
        one_less_in_flight(self);
        return false;
    case WELCOME: take_welcome(self, record); return false;
    case LINK:
        atomic_store(&self->waiting, 0);
        if (atomic_exchange(&self->link_up, record->arg == 1) != (record->arg == 1)) tell(self, record->arg == 1 ? IPCNET_LINK_UP : IPCNET_LINK_DOWN, 0, 0, 0);
        return false;
    case STATE:
        atomic_store(&self->bus_state, record->arg <= 3 ? record->arg : 0u);
        atomic_store(&self->counters, record->value);
        tell(self, IPCNET_LINK_BUS_STATE, record->arg <= 3 ? record->arg : 0u, record->value, 0);
        return false;
    case REFUSED:
        memcpy(self->refusal, record->frame.data, sizeof self->refusal - 1);
        return false;
    default: return false; /* a newer server's: skipped, as its length is known */
    }
}

static int lose_peer(struct ipcnet_emulator *self)
{
    self->gone = true;
    atomic_store(&self->link_up, false);
    return -ENODEV;
}

/* Reads more bytes behind those that are there: their number, 0 when none wait, or a negative errno. */
static int refill(struct ipcnet_emulator *self, int fd)
{
    if (self->start > 0) {
        memmove(self->buffer, self->buffer + self->start, self->filled - self->start);
        self->filled -= self->start;
        self->start = 0;
    }
    ssize_t got = recv(fd, self->buffer + self->filled, sizeof self->buffer - self->filled, MSG_DONTWAIT);
    if (got > 0) {
        self->filled += (size_t)got;
        return (int)got;
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) return 0;
    return lose_peer(self);
}

static int os_recvmmsg(void *context, int fd, struct mmsghdr *messages, unsigned count)
{
    struct ipcnet_emulator *self = context;
    unsigned taken = 0;
    if (self->gone) return -EAGAIN; /* told once, as the kernel does */
    for (;;) {
        while (taken < count && self->filled - self->start >= RECORD && self->events_head - self->events_tail < EVENTS_SOFT_LIMIT) {
            struct record record;
            memcpy(&record, self->buffer + self->start, RECORD);
            self->start += RECORD;
            if (take_record(self, &record, &messages[taken])) taken += 1;
        }
        if (taken > 0) return (int)taken;
        if (self->events_head - self->events_tail >= EVENTS_SOFT_LIMIT) return -EAGAIN; /* a purge drops many at once: the events first */
        int result = refill(self, fd);
        if (result < 0) return result;
        if (result == 0) return -EAGAIN;
    }
}

static int os_link_event(void *context, struct ipcnet_can_link_event *event)
{
    struct ipcnet_emulator *self = context;
    if (self->events_tail == self->events_head) return 0;
    *event = self->events[self->events_tail++ % IPCNET_EMULATOR_EVENTS];
    return 1;
}

static int os_link_query(void *context, int index, struct ipcnet_can_link *link)
{
    struct ipcnet_emulator *self = context;
    if (self->gone && self->bound_fd >= 0) {
        memcpy(link->refusal, self->refusal, sizeof link->refusal);
        return -ENODEV;
    }
    if (!atomic_load(&self->welcomed)) return -EAGAIN;
    uint32_t counters = atomic_load(&self->counters);
    *link = (struct ipcnet_can_link){ .index = index, .is_can = true, .controller = true, .up = atomic_load(&self->link_up), .running = atomic_load(&self->link_up), .fd = atomic_load(&self->fd),
        .listen_only = self->listen_only, .tx_queue_frames = atomic_load(&self->queue_frames), .bitrate_bps = atomic_load(&self->bitrate_bps),
        .bus_state = (uint8_t)atomic_load(&self->bus_state), .bus_state_known = true, .tec = (uint16_t)(counters >> 16), .rec = (uint16_t)(counters & 0xffff) };
    return 0;
}

static int os_link_glance(void *context, const char *interface, int index, struct ipcnet_can_link *link)
{
    (void)interface;
    return os_link_query(context, index, link);
}

static int os_link_fd(void *context)
{
    (void)context;
    return -1;
}

/* ---- Sending ------------------------------------------------------------------------------------------------------------------------ */

static int os_sendmsg(void *context, int fd, const struct msghdr *message)
{
    struct ipcnet_emulator *self = context;
    struct canfd_frame raw = { 0 };
    size_t size = message->msg_iov[0].iov_len;
    if (size != CAN_MTU && size != CANFD_MTU) return -EINVAL;
    memcpy(&raw, message->msg_iov[0].iov_base, size);
    if (!atomic_load(&self->link_up)) return -ENETDOWN;
    if (size == CANFD_MTU && !atomic_load(&self->fd)) return -EINVAL;
    if (atomic_load(&self->in_flight) >= atomic_load(&self->queue_frames)) return -ENOBUFS;
    bool extended = (raw.can_id & CAN_EFF_FLAG) != 0, remote = (raw.can_id & CAN_RTR_FLAG) != 0, fd_frame = size == CANFD_MTU;
    struct record record = { .kind = FRAME, .frame = { .can_id = raw.can_id & (extended ? CAN_EFF_MASK : CAN_SFF_MASK), .length_bytes = raw.len,
        .flags = (uint8_t)((extended ? IPCNET_CAN_EXTENDED : 0) | (remote ? IPCNET_CAN_REMOTE : 0) | (fd_frame ? IPCNET_CAN_FD : 0) | (fd_frame && (raw.flags & CANFD_BRS) ? IPCNET_CAN_BRS : 0)) } };
    memcpy(record.frame.data, raw.data, sizeof record.frame.data);
    /* Counted first: the echo may come before send returns. */
    atomic_fetch_add(&self->in_flight, 1);
    int result = write_record(fd, &record);
    if (result < 0) atomic_fetch_sub(&self->in_flight, 1);
    if (result == -EAGAIN) return -ENOBUFS;
    return result == -EPIPE || result == -ECONNRESET ? -ENETDOWN : result;
}

static int control(struct ipcnet_emulator *self, uint8_t what)
{
    struct record record = { .kind = CONTROL, .arg = what };
    if (self->bound_fd < 0 || self->gone) return -ENETDOWN;
    return write_record(self->bound_fd, &record);
}

/* Done when every frame that was in flight has been answered as echoed or dropped. */
static int os_purge(void *context, int index)
{
    struct ipcnet_emulator *self = context;
    (void)index;
    int result = control(self, CONTROL_PURGE);
    bool waits = result == 0 && atomic_load(&self->in_flight) > 0;
    atomic_store(&self->purging, waits);
    return waits ? -EINPROGRESS : result;
}

static int os_restart(void *context, int index)
{
    struct ipcnet_emulator *self = context;
    (void)index;
    return atomic_load(&self->bus_state) != 3 ? -EBUSY : control(self, CONTROL_RESTART);
}

static bool os_may_purge(void *context)
{
    (void)context;
    return true;
}

static int os_tx_backlog(void *context, int index)
{
    struct ipcnet_emulator *self = context;
    (void)index;
    return (int)atomic_load(&self->waiting);
}

/* ---- Construction ------------------------------------------------------------------------------------------------------------------- */

void ipcnet_emulator_init(struct ipcnet_emulator *self, const char *bus_name, const char *node_name, bool listen_only)
{
    memset(self, 0, sizeof *self);
    snprintf(self->bus_name, sizeof self->bus_name, "%s", bus_name);
    snprintf(self->node_name, sizeof self->node_name, "%s", node_name);
    self->listen_only = listen_only;
    self->bound_fd = -1;
}

struct ipcnet_can_os ipcnet_emulator_os(struct ipcnet_emulator *self)
{
    return (struct ipcnet_can_os){
        .context = self, .monotonic_ns = os_clock_ns, .stamp_offset_ns = os_stamp_offset_ns, .interface_index = os_interface_index, .interface_list = os_interface_list, .carries_fd = os_carries_fd,
        .socket = os_socket, .bind = os_bind, .setsockopt = os_setsockopt, .getsockopt = os_getsockopt, .recvmmsg = os_recvmmsg, .sendmsg = os_sendmsg, .close = os_close,
        .link_fd = os_link_fd, .link_event = os_link_event, .link_glance = os_link_glance, .link_query = os_link_query, .purge = os_purge, .restart = os_restart, .may_purge = os_may_purge,
        .tx_backlog = os_tx_backlog,
    };
}
