#include "ipcnet_can.h"

#include <errno.h>
#include <linux/can/error.h>
#include <linux/can/raw.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- Limits ------------------------------------------------------------------------------------------------------------------------- */

#define OVERTAKEN_MAX 64u        /* controllers send from up to 64 mailboxes in order of importance; an echo overtaken by more is lost */
#define STAMP_AGE_MAX_US 10e6    /* a time stamp older than this, or from the future, came from a jumping wall clock */
#define ERRORS_IN_A_ROW_MAX 16u  /* then the socket is taken for broken */
#define RECEIVE_BUFFER_MAX_BYTES (64u << 20)
#define BUS_STATE_PASSIVE 2
#define BUS_STATE_OFF 3

/* ---- Small things ------------------------------------------------------------------------------------------------------------------- */

static void count(_Atomic uint64_t *counter, uint64_t by)
{
    atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

uint64_t ipcnet_can_key(uint32_t id_with_flags, uint8_t length_bytes, const uint8_t *data)
{
    /* FNV-1a, 64 bit: a false match needs two different frames of ours in flight whose hashes agree, and costs no more than a swapped token. */
    uint64_t key = 0xcbf29ce484222325u;
    for (int i = 0; i < 4; i++) key = (key ^ ((id_with_flags >> (8 * i)) & 0xffu)) * 0x100000001b3u;
    key = (key ^ length_bytes) * 0x100000001b3u;
    uint8_t bytes = (id_with_flags & CAN_RTR_FLAG) ? 0 : length_bytes;
    for (int i = 0; i < bytes; i++) key = (key ^ data[i]) * 0x100000001b3u;
    return key != 0 ? key : 1;
}

static bool fd_length(uint8_t length_bytes)
{
    return length_bytes <= 8 || length_bytes == 12 || length_bytes == 16 || length_bytes == 20 || length_bytes == 24 || length_bytes == 32 || length_bytes == 48 || length_bytes == 64;
}

void ipcnet_can_init(struct ipcnet_can *self, const struct ipcnet_can_config *config, const struct ipcnet_can_os *os)
{
    memset(self, 0, sizeof *self);
    self->config = *config;
    self->config.interface[sizeof self->config.interface - 1] = '\0';
    if (self->config.tx_queue_frames < 1) self->config.tx_queue_frames = 1;
    if (self->config.tx_queue_frames > IPCNET_CAN_TX_QUEUE_MAX) self->config.tx_queue_frames = IPCNET_CAN_TX_QUEUE_MAX;
    if (self->config.receive_buffer_bytes > RECEIVE_BUFFER_MAX_BYTES) self->config.receive_buffer_bytes = RECEIVE_BUFFER_MAX_BYTES;
    self->os = os;
    self->fd = -1;
}

bool ipcnet_can_is_open(const struct ipcnet_can *self) { return self->fd >= 0; }
int ipcnet_can_error(const struct ipcnet_can *self) { return self->error; }
int ipcnet_can_socket_fd(const struct ipcnet_can *self) { return self->fd; }
int ipcnet_can_link_fd(const struct ipcnet_can *self) { return self->os->link_fd(self->os->context); }
uint32_t ipcnet_can_in_flight_frames(const struct ipcnet_can *self) { return self->in_flight_count; }
bool ipcnet_can_may_purge(const struct ipcnet_can *self) { return self->os->may_purge(self->os->context); }

const struct ipcnet_can_link *ipcnet_can_last_link(const struct ipcnet_can *self) { return &self->link; }

bool ipcnet_can_same_rate(uint32_t runs_bps, uint32_t wanted_bps)
{
    uint64_t away = runs_bps > wanted_bps ? runs_bps - wanted_bps : wanted_bps - runs_bps;
    return runs_bps == 0 || wanted_bps == 0 || away * 100 <= wanted_bps;
}

/* ---- Opening ------------------------------------------------------------------------------------------------------------------------ */

static bool option(struct ipcnet_can *self, int level, int name, const void *value, socklen_t length, uint32_t feature)
{
    int result = self->os->setsockopt(self->os->context, self->fd, level, name, value, length);
    if (result >= 0) self->features |= feature;
    return result >= 0;
}

static void want_receive_buffer(struct ipcnet_can *self)
{
    int bytes = (int)self->config.receive_buffer_bytes;
    /* FORCE passes net.core.rmem_max, which holds some 280 frames by default; it needs CAP_NET_ADMIN. */
    if (bytes > 0 && !option(self, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof bytes, IPCNET_CAN_FEATURE_BUFFER_FORCED))
        (void)option(self, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes, 0);
    int granted = 0;
    socklen_t length = sizeof granted;
    if (self->os->getsockopt(self->os->context, self->fd, SOL_SOCKET, SO_RCVBUF, &granted, &length) >= 0 && granted > 0) self->receive_buffer_bytes = (uint32_t)granted;
}

static enum ipcnet_can_status status_of(int error)
{
    switch (error) {
    case EAFNOSUPPORT: case EPROTONOSUPPORT: case EPROTOTYPE: case ESOCKTNOSUPPORT: return IPCNET_CAN_NO_KERNEL_SUPPORT;
    case ENODEV: case ENXIO: case ENOENT: case ECONNREFUSED: return IPCNET_CAN_NO_INTERFACE;
    case EPERM: case EACCES: return IPCNET_CAN_NOT_PERMITTED;
    default: return IPCNET_CAN_SYSTEM;
    }
}

static enum ipcnet_can_status refuse(struct ipcnet_can *self, int error, enum ipcnet_can_status status)
{
    self->error = error;
    ipcnet_can_close(self);
    return status;
}

enum ipcnet_can_status ipcnet_can_open(struct ipcnet_can *self)
{
    const struct ipcnet_can_os *os = self->os;
    ipcnet_can_close(self);
    self->error = 0;

    /* The kernel first: "no such interface" would mislead on a machine that cannot have one. */
    int fd = os->socket(os->context);
    if (fd < 0) return refuse(self, -fd, status_of(-fd));
    self->fd = fd;
    int index = os->interface_index(os->context, self->config.interface);
    if (index < 0) return refuse(self, -index, status_of(-index));
    self->index = index;

    const int one = 1;
    can_err_mask_t all_errors = CAN_ERR_MASK;
    (void)option(self, SOL_CAN_RAW, CAN_RAW_ERR_FILTER, &all_errors, sizeof all_errors, IPCNET_CAN_FEATURE_ERROR_FRAMES);
    (void)option(self, SOL_CAN_RAW, CAN_RAW_RECV_OWN_MSGS, &one, sizeof one, IPCNET_CAN_FEATURE_ECHO);
    (void)option(self, SOL_SOCKET, SO_RXQ_OVFL, &one, sizeof one, IPCNET_CAN_FEATURE_DROP_COUNTER);
    (void)option(self, SOL_SOCKET, SO_TIMESTAMPNS, &one, sizeof one, IPCNET_CAN_FEATURE_TIME_STAMPS);
    if (self->config.fd && (!option(self, SOL_CAN_RAW, CAN_RAW_FD_FRAMES, &one, sizeof one, IPCNET_CAN_FEATURE_FD) || os->carries_fd(os->context, self->config.interface) == 0))
        return refuse(self, EOPNOTSUPP, IPCNET_CAN_NO_FD_SUPPORT);
    want_receive_buffer(self);

    int bound = os->bind(os->context, fd, index);
    if (bound == -ENODEV) return refuse(self, ENODEV, IPCNET_CAN_NOT_A_CAN_INTERFACE); /* it has an index, but not for CAN */
    if (bound < 0) return refuse(self, -bound, status_of(-bound));
    self->link_check = true;
    self->drop_counter = 0;
    return IPCNET_CAN_OK;
}

static void forget_in_flight(struct ipcnet_can *self)
{
    self->in_flight_head = self->in_flight_tail = self->in_flight_count = 0;
}

void ipcnet_can_close(struct ipcnet_can *self)
{
    if (self->fd >= 0) self->os->close(self->os->context, self->fd);
    self->fd = -1;
    self->features = 0;
    self->link_check = false;
    self->link_told = 0;
    self->overflow_seen = self->errors_in_a_row = 0;
    forget_in_flight(self);
}

const char *ipcnet_can_status_code(enum ipcnet_can_status status)
{
    switch (status) {
    case IPCNET_CAN_OK: return "ok";
    case IPCNET_CAN_NO_KERNEL_SUPPORT: return "noKernelSupport";
    case IPCNET_CAN_NO_INTERFACE: return "noInterface";
    case IPCNET_CAN_NOT_A_CAN_INTERFACE: return "notCan";
    case IPCNET_CAN_NO_FD_SUPPORT: return "noFdSupport";
    case IPCNET_CAN_NOT_PERMITTED: return "notPermitted";
    case IPCNET_CAN_SYSTEM: return "systemError";
    }
    return "systemError";
}

void ipcnet_can_explain(const struct ipcnet_can *self, enum ipcnet_can_status status, char *to, size_t size)
{
    const char *name = self->config.interface;
    char list[256] = "";
    struct ipcnet_can_link link;
    memset(&link, 0, sizeof link);
    switch (status) {
    case IPCNET_CAN_OK: snprintf(to, size, "%s is open\n", name); return;
    case IPCNET_CAN_NO_KERNEL_SUPPORT:
        snprintf(to, size, "this kernel has no CAN sockets (%s)\nsudo modprobe can_raw   # where that fails, the kernel was built without CAN: use driver slcan, socketcand or emulator", strerror(self->error));
        return;
    case IPCNET_CAN_NO_INTERFACE:
        if (self->os->interface_list(self->os->context, list, sizeof list) <= 0) snprintf(list, sizeof list, "none");
        snprintf(to, size, "%s is not there (%s); CAN interfaces here: %s\nip -details link show type can   # then correct the name, plug the adapter in, or set optional: true", name, strerror(self->error), list);
        return;
    case IPCNET_CAN_NOT_A_CAN_INTERFACE:
        if (self->os->interface_list(self->os->context, list, sizeof list) <= 0) snprintf(list, sizeof list, "none");
        snprintf(to, size, "%s is not a CAN interface; CAN interfaces here: %s\nip -details link show type can", name, list);
        return;
    case IPCNET_CAN_NO_FD_SUPPORT:
        if (self->os->link_query(self->os->context, self->index, &link) == 0 && !link.controller) {
            snprintf(to, size, "%s carries no CAN FD frames\nsudo ip link set %s down && sudo ip link set %s mtu 72 up", name, name, name);
            return;
        }
        if (link.controller && !link.fd_capable) {
            snprintf(to, size, "%s carries no CAN FD frames: its controller is a classic one\nset fd: false for this bus in the configuration if its nodes are classic too; else an interface with CAN FD (MCP2518FD)", name);
            return;
        }
        /* Both bit rates: the kernel refuses FD mode with one of them. */
        snprintf(to, size, "%s carries no CAN FD frames\nsudo ip link set %s down && sudo ip link set %s up type can bitrate %u dbitrate 2000000 fd on", name, name, name,
                 link.bitrate_bps > 0 ? link.bitrate_bps : 500000u);
        return;
    case IPCNET_CAN_NOT_PERMITTED:
        snprintf(to, size, "no permission to open %s (%s)\nrun as a user that may, or allow AF_CAN in the service's RestrictAddressFamilies", name, strerror(self->error));
        return;
    case IPCNET_CAN_SYSTEM: snprintf(to, size, "%s cannot be opened: %s\nipcnet doctor", name, strerror(self->error)); return;
    }
}

/* ---- Reading ------------------------------------------------------------------------------------------------------------------------ */

static void arm_messages(struct ipcnet_can *self, size_t wanted)
{
    for (size_t i = 0; i < wanted; i++) {
        self->vectors[i] = (struct iovec){ .iov_base = &self->payloads[i], .iov_len = sizeof self->payloads[i] };
        self->messages[i] = (struct mmsghdr){ .msg_hdr = { .msg_iov = &self->vectors[i], .msg_iovlen = 1, .msg_control = self->controls[i], .msg_controllen = sizeof self->controls[i] } };
    }
}

/* The kernel stamps with the wall clock. Its distance to the monotonic one is taken anew for each batch; a wall clock that jumped in between shows as a stamp that cannot be true. */
static double monotonic_us(const struct timespec *stamp, int64_t offset_ns, double now_us)
{
    double us = (double)((int64_t)stamp->tv_sec * 1000000000 + stamp->tv_nsec - offset_ns) / 1e3;
    return us <= now_us && us > now_us - STAMP_AGE_MAX_US ? us : now_us;
}

static void read_controls(struct ipcnet_can *self, struct msghdr *header, int64_t offset_ns, double now_us, double *time_us)
{
    for (struct cmsghdr *control = CMSG_FIRSTHDR(header); control != NULL; control = CMSG_NXTHDR(header, control)) {
        if (control->cmsg_level != SOL_SOCKET) continue;
        if (control->cmsg_type == SO_RXQ_OVFL && control->cmsg_len >= CMSG_LEN(sizeof(uint32_t))) {
            uint32_t dropped;
            memcpy(&dropped, CMSG_DATA(control), sizeof dropped);
            uint32_t more = dropped - self->drop_counter; /* wraps as the kernel's does */
            self->drop_counter = dropped;
            self->lost_before += more;
            count(&self->counters.lost_frames, more);
        } else if (control->cmsg_type == SCM_TIMESTAMPNS && control->cmsg_len >= CMSG_LEN(sizeof(struct timespec))) {
            struct timespec stamp;
            memcpy(&stamp, CMSG_DATA(control), sizeof stamp);
            *time_us = monotonic_us(&stamp, offset_ns, now_us);
        }
    }
}

static bool translate(struct ipcnet_can *self, const struct canfd_frame *raw, unsigned length, int message_flags, double time_us, struct ipcnet_can_frame *frame)
{
    bool fd = length == CANFD_MTU;
    if ((!fd && length != CAN_MTU) || raw->len > (fd ? 64 : 8)) return false;
    bool error = (raw->can_id & CAN_ERR_FLAG) != 0;
    bool remote = !error && !fd && (raw->can_id & CAN_RTR_FLAG) != 0;
    memset(frame, 0, sizeof *frame);
    frame->time_us = time_us;
    frame->length_bytes = raw->len;
    frame->bus = self->config.bus;
    if (error) {
        frame->can_id = raw->can_id & CAN_ERR_MASK;
        frame->flags = IPCNET_CAN_ERROR;
    } else {
        bool extended = (raw->can_id & CAN_EFF_FLAG) != 0;
        frame->can_id = raw->can_id & (extended ? CAN_EFF_MASK : CAN_SFF_MASK);
        frame->flags = (uint8_t)((extended ? IPCNET_CAN_EXTENDED : 0) | (remote ? IPCNET_CAN_REMOTE : 0) | (fd ? IPCNET_CAN_FD : 0) |
                                 (fd && (raw->flags & CANFD_BRS) ? IPCNET_CAN_BRS : 0) | (fd && (raw->flags & CANFD_ESI) ? IPCNET_CAN_ESI : 0) |
                                 ((message_flags & MSG_CONFIRM) ? IPCNET_CAN_ECHO : 0));
    }
    if (!remote) memcpy(frame->data, raw->data, raw->len);
    frame->lost_before = self->lost_before;
    self->lost_before = 0;
    count(error ? &self->counters.error_frames : (frame->flags & IPCNET_CAN_ECHO) ? &self->counters.echoed_frames : &self->counters.received_frames, 1);
    return true;
}

/* What recv's errors mean: nothing (false: stop reading for now), or try once more (true). None of them is the end of the bus. */
static bool note_receive_error(struct ipcnet_can *self, int error)
{
    switch (error) {
    case EAGAIN:
        self->errors_in_a_row = 0;
        return false;
    case EINTR: return true;
    case ENETDOWN: case ENODEV: case ENXIO: case ENOTCONN: case ECONNRESET: case EPIPE:
        self->link_check = true; /* the kernel says so once; the link itself is asked what is true */
        break;
    default: /* ENOBUFS and its like: the socket lost something; reading has cleared the error */
        count(&self->counters.receive_errors, 1);
        self->overflow_seen += 1;
        self->lost_before += 1;
        break;
    }
    if (++self->errors_in_a_row < ERRORS_IN_A_ROW_MAX) return true;
    self->link_check = true;
    return false;
}

size_t ipcnet_can_receive(struct ipcnet_can *self, struct ipcnet_can_frame *frames, size_t max)
{
    if (self->fd < 0 || max == 0) return 0;
    const struct ipcnet_can_os *os = self->os;
    size_t wanted = max < IPCNET_CAN_BATCH ? max : IPCNET_CAN_BATCH, kept = 0;
    int got;
    do {
        arm_messages(self, wanted);
        got = os->recvmmsg(os->context, self->fd, self->messages, (unsigned)wanted);
    } while (got < 0 && note_receive_error(self, -got));
    if (got <= 0) return 0;
    self->errors_in_a_row = 0;

    int64_t now_ns = os->monotonic_ns(os->context);
    int64_t offset_ns = os->stamp_offset_ns(os->context);
    double now_us = (double)now_ns / 1e3;
    for (int i = 0; i < got; i++) {
        double time_us = now_us;
        read_controls(self, &self->messages[i].msg_hdr, offset_ns, now_us, &time_us);
        if (translate(self, &self->payloads[i], self->messages[i].msg_len, self->messages[i].msg_hdr.msg_flags, time_us, &frames[kept])) kept++;
        else count(&self->counters.malformed_frames, 1);
    }
    return kept;
}

/* ---- The link ----------------------------------------------------------------------------------------------------------------------- */

/* Frames of somebody before us. The kernel's queue can be counted, a controller's mailbox cannot: but a controller that repeats a frame nobody acknowledges is
 * error-passive within milliseconds. */
static uint32_t stale_frames(const struct ipcnet_can *self, const struct ipcnet_can_link *link)
{
    int backlog = self->os->tx_backlog(self->os->context, self->index);
    if (backlog > 0) return (uint32_t)backlog;
    return link->bus_state_known && link->bus_state == BUS_STATE_PASSIVE ? 1 : 0;
}

static bool look_at_link(struct ipcnet_can *self, struct ipcnet_can_link_event *event)
{
    const struct ipcnet_can_os *os = self->os;
    struct ipcnet_can_link link;
    memset(&link, 0, sizeof link);
    self->link_check = false;
    /* A glance first: most hints concern other interfaces, and the full question may wait for whoever is changing them. */
    int result = os->link_glance(os->context, self->config.interface, self->index, &link);
    if (result == -EAGAIN && self->errors_in_a_row < ERRORS_IN_A_ROW_MAX) return false; /* not known yet: it will be told */
    bool gone = result < 0 || self->errors_in_a_row >= ERRORS_IN_A_ROW_MAX;
    uint32_t now = gone ? IPCNET_LINK_GONE : link.up ? IPCNET_LINK_UP : IPCNET_LINK_DOWN;
    if (now == self->link_told) return false;
    self->link_told = now;
    if (now == IPCNET_LINK_UP) (void)os->link_query(os->context, self->index, &link);
    self->link = link;
    *event = (struct ipcnet_can_link_event){ .kind = now, .a = now == IPCNET_LINK_UP ? stale_frames(self, &link) : 0 };
    return true;
}

bool ipcnet_can_link_event(struct ipcnet_can *self, struct ipcnet_can_link_event *event)
{
    const struct ipcnet_can_os *os = self->os;
    if (self->overflow_seen > 0) {
        *event = (struct ipcnet_can_link_event){ .kind = IPCNET_LINK_OVERFLOW, .a = self->overflow_seen };
        self->overflow_seen = 0;
        return true;
    }
    while (os->link_event(os->context, event) > 0) {
        if (event->kind == IPCNET_LINK_CHANGED && self->fd >= 0) {
            self->link_check = true; /* a hint only: several may wait, and what they told may be over */
            continue;
        }
        if (event->kind == IPCNET_LINK_UP || event->kind == IPCNET_LINK_DOWN || event->kind == IPCNET_LINK_GONE) {
            self->link_told = event->kind;
            (void)os->link_query(os->context, self->index, &self->link);
        }
        return true;
    }
    return self->link_check && self->fd >= 0 && look_at_link(self, event);
}

/* An interface that is down holds no queue, and who took it down did not mean us to put it up again. */
static bool known_to_be_down(const struct ipcnet_can *self)
{
    struct ipcnet_can_link link;
    memset(&link, 0, sizeof link);
    return self->os->link_query(self->os->context, self->index, &link) == 0 && !link.up;
}

bool ipcnet_can_purge(struct ipcnet_can *self, struct ipcnet_can_link_event *event)
{
    int result = self->fd < 0 || known_to_be_down(self) ? -ENETDOWN : self->os->purge(self->os->context, self->index);
    if (result == -EINPROGRESS) return false;
    *event = (struct ipcnet_can_link_event){ .kind = result < 0 ? IPCNET_LINK_PURGE_FAILED : IPCNET_LINK_PURGED, .a = result < 0 ? (uint32_t)-result : 0 };
    self->link_check = self->fd >= 0; /* the link went down and up by our own hand: only what is true now counts */
    return true;
}

bool ipcnet_can_restart(struct ipcnet_can *self, struct ipcnet_can_link_event *event)
{
    int result = self->fd < 0 ? -ENETDOWN : self->os->restart(self->os->context, self->index);
    if (result == 0) return false;
    struct ipcnet_can_link link;
    memset(&link, 0, sizeof link);
    /* Refused because it is not bus-off: the purge has restarted it already. The kernel says EBUSY then, but EINVAL whenever restart-ms is set, and EOPNOTSUPP
     * where the driver knows no restart (slcan): so the controller itself is asked. */
    bool told = self->os->link_query(self->os->context, self->index, &link) == 0;
    bool is_off = link.bus_state_known ? link.bus_state == BUS_STATE_OFF : result != -EOPNOTSUPP;
    if (told && (result == -EBUSY || !is_off)) {
        *event = (struct ipcnet_can_link_event){ .kind = IPCNET_LINK_BUS_STATE, .a = link.bus_state, .b = ((uint32_t)link.tec << 16) | link.rec };
        return true;
    }
    *event = (struct ipcnet_can_link_event){ .kind = IPCNET_LINK_RESTART_FAILED, .a = (uint32_t)-result };
    return true;
}

/* ---- Sending ------------------------------------------------------------------------------------------------------------------------ */

static struct ipcnet_can_in_flight *entry_at(struct ipcnet_can *self, uint32_t position)
{
    return &self->in_flight[position % (IPCNET_CAN_TX_QUEUE_MAX * 2u)];
}

static void leave_flight(struct ipcnet_can *self, struct ipcnet_can_in_flight *entry)
{
    if (!entry->doubtful) self->in_flight_count -= 1;
    entry->key = 0;
}

static void trim_flight(struct ipcnet_can *self)
{
    while (self->in_flight_tail != self->in_flight_head && entry_at(self, self->in_flight_tail)->key == 0) self->in_flight_tail += 1;
}

static void enter_flight(struct ipcnet_can *self, uint64_t key, uint32_t token)
{
    if (self->in_flight_head - self->in_flight_tail >= IPCNET_CAN_TX_QUEUE_MAX * 2u) { /* only doubtful ones can fill it so far */
        struct ipcnet_can_in_flight *oldest = entry_at(self, self->in_flight_tail);
        count(&self->counters.missed_echoes, 1);
        leave_flight(self, oldest);
        trim_flight(self);
    }
    *entry_at(self, self->in_flight_head) = (struct ipcnet_can_in_flight){ .key = key, .token = token };
    self->in_flight_head += 1;
    self->in_flight_count += 1;
}

static bool match_flight(struct ipcnet_can *self, uint64_t key, uint32_t *token)
{
    uint32_t position = self->in_flight_tail;
    while (position != self->in_flight_head && entry_at(self, position)->key != key) position += 1;
    if (position == self->in_flight_head) return false;
    *token = entry_at(self, position)->token;
    leave_flight(self, entry_at(self, position));
    for (uint32_t passed = self->in_flight_tail; passed != position; passed++) {
        struct ipcnet_can_in_flight *entry = entry_at(self, passed);
        if (entry->key == 0 || ++entry->overtaken <= OVERTAKEN_MAX) continue;
        count(&self->counters.missed_echoes, 1);
        leave_flight(self, entry);
    }
    trim_flight(self);
    return true;
}

static void doubt_flight(struct ipcnet_can *self)
{
    for (uint32_t position = self->in_flight_tail; position != self->in_flight_head; position++) {
        struct ipcnet_can_in_flight *entry = entry_at(self, position);
        if (entry->key == 0 || entry->doubtful) continue;
        entry->doubtful = true;
        self->in_flight_count -= 1;
    }
}

static enum ipcnet_can_verdict judge(const struct ipcnet_can *self, const struct ipcnet_can_frame *frame)
{
    bool fd = (frame->flags & IPCNET_CAN_FD) != 0;
    if (self->fd < 0) return IPCNET_CAN_NOT_OPEN;
    if (self->config.listen_only) return IPCNET_CAN_LISTEN_ONLY;
    if ((frame->flags & (IPCNET_CAN_ERROR | IPCNET_CAN_ECHO)) || (fd && !(self->features & IPCNET_CAN_FEATURE_FD)) || (fd && (frame->flags & IPCNET_CAN_REMOTE))) return IPCNET_CAN_UNSUPPORTED;
    if (frame->can_id > ((frame->flags & IPCNET_CAN_EXTENDED) ? CAN_EFF_MASK : CAN_SFF_MASK)) return IPCNET_CAN_UNSUPPORTED;
    if (fd ? !fd_length(frame->length_bytes) : frame->length_bytes > 8) return IPCNET_CAN_BAD_LENGTH;
    /* !(a > b) and not a <= b: a deadline that is no number has passed. */
    if (!(frame->time_us > (double)self->os->monotonic_ns(self->os->context) / 1e3)) return IPCNET_CAN_EXPIRED;
    if (self->in_flight_count >= self->config.tx_queue_frames) return IPCNET_CAN_QUEUE_FULL;
    return IPCNET_CAN_QUEUED;
}

static enum ipcnet_can_verdict verdict_of(int error)
{
    switch (error) {
    case ENOBUFS: case EAGAIN: return IPCNET_CAN_QUEUE_FULL;
    case ENETDOWN: case ENODEV: case ENXIO: case ENOTCONN: case ECONNRESET: case EPIPE: return IPCNET_CAN_LINK_DOWN;
    default: return IPCNET_CAN_UNSUPPORTED;
    }
}

static void count_verdict(struct ipcnet_can *self, enum ipcnet_can_verdict verdict)
{
    switch (verdict) {
    case IPCNET_CAN_QUEUED: count(&self->counters.sent_frames, 1); break;
    case IPCNET_CAN_EXPIRED: count(&self->counters.expired_frames, 1); break;
    case IPCNET_CAN_QUEUE_FULL: count(&self->counters.full_frames, 1); break;
    case IPCNET_CAN_NOT_OPEN: case IPCNET_CAN_LINK_DOWN: count(&self->counters.link_down_frames, 1); break;
    case IPCNET_CAN_BAD_LENGTH: case IPCNET_CAN_LISTEN_ONLY: case IPCNET_CAN_UNSUPPORTED: count(&self->counters.refused_frames, 1); break;
    }
}

enum ipcnet_can_verdict ipcnet_can_send(struct ipcnet_can *self, const struct ipcnet_can_frame *frame)
{
    enum ipcnet_can_verdict verdict = judge(self, frame);
    if (verdict == IPCNET_CAN_QUEUED) {
        bool fd = (frame->flags & IPCNET_CAN_FD) != 0;
        struct canfd_frame raw;
        memset(&raw, 0, sizeof raw);
        raw.can_id = frame->can_id | ((frame->flags & IPCNET_CAN_EXTENDED) ? CAN_EFF_FLAG : 0) | ((frame->flags & IPCNET_CAN_REMOTE) ? CAN_RTR_FLAG : 0);
        raw.len = frame->length_bytes;
        if (fd && (frame->flags & IPCNET_CAN_BRS)) raw.flags = CANFD_BRS;
        if (!(frame->flags & IPCNET_CAN_REMOTE)) memcpy(raw.data, frame->data, frame->length_bytes);
        struct iovec vector = { .iov_base = &raw, .iov_len = fd ? CANFD_MTU : CAN_MTU };
        struct msghdr message = { .msg_iov = &vector, .msg_iovlen = 1 };
        int result = self->os->sendmsg(self->os->context, self->fd, &message);
        if (result < 0) verdict = verdict_of(-result);
        else if (self->features & IPCNET_CAN_FEATURE_ECHO) enter_flight(self, ipcnet_can_key(raw.can_id, raw.len, raw.data), frame->token);
    }
    count_verdict(self, verdict);
    return verdict;
}

void ipcnet_can_confirm(struct ipcnet_can *self, struct ipcnet_can_frame *frames, size_t count_of_frames, struct ipcnet_can_summary *summary)
{
    for (size_t i = 0; i < count_of_frames; i++) {
        struct ipcnet_can_frame *frame = &frames[i];
        if (frame->lost_before > 0) {
            summary->lost += frame->lost_before;
            doubt_flight(self);
        }
        if (frame->flags & IPCNET_CAN_ERROR) {
            summary->errors += 1;
        } else if (frame->flags & IPCNET_CAN_ECHO) {
            uint32_t id = frame->can_id | ((frame->flags & IPCNET_CAN_EXTENDED) ? CAN_EFF_FLAG : 0) | ((frame->flags & IPCNET_CAN_REMOTE) ? CAN_RTR_FLAG : 0);
            if (!match_flight(self, ipcnet_can_key(id, frame->length_bytes, frame->data), &frame->token)) count(&self->counters.unmatched_echoes, 1);
            if (frame->token == IPCNET_CAN_PROBE_TOKEN) {
                summary->probe_echoes += 1;
                summary->last_probe_echo_us = frame->time_us;
            } else {
                summary->echoes += 1;
                summary->last_echo_us = frame->time_us;
            }
        } else {
            summary->received += 1;
            summary->last_received_us = frame->time_us;
        }
    }
}

uint32_t ipcnet_can_note_event(struct ipcnet_can *self, const struct ipcnet_can_link_event *event)
{
    uint32_t before = self->in_flight_count;
    switch (event->kind) {
    case IPCNET_LINK_PURGED: case IPCNET_LINK_DOWN: case IPCNET_LINK_GONE: forget_in_flight(self); break;
    case IPCNET_LINK_OVERFLOW: doubt_flight(self); return 0;
    case IPCNET_LINK_DROPPED:
        for (uint32_t position = self->in_flight_tail; position != self->in_flight_head; position++) {
            if (entry_at(self, position)->key != event->key) continue;
            leave_flight(self, entry_at(self, position));
            break;
        }
        trim_flight(self);
        break;
    default: break;
    }
    return before - self->in_flight_count;
}
