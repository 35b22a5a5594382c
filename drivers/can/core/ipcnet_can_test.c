/* The CAN core against a scripted operating system: each errno, each kind of frame, without a kernel that has CAN. */
#include "ipcnet_can.h"

#include <errno.h>
#include <linux/can/error.h>
#include <linux/can/raw.h>
#include <string.h>
#include <time.h>

#include "check.h"

/* ---- The fake ----------------------------------------------------------------------------------------------------------------------- */

struct incoming {
    int error; /* instead of a frame */
    struct canfd_frame frame;
    unsigned length;
    int flags;
    bool stamped, counted;
    int64_t stamp_ns;
    uint32_t dropped;
};

struct fake {
    int64_t monotonic_ns, realtime_ns;
    int socket_error, index_error, bind_error, fd_frames_error, own_messages_error, force_error, query_error, send_error, purge_error, restart_error;
    int receive_buffer;
    struct ipcnet_can_link link;
    int backlog;
    bool may_purge;
    struct incoming incoming[128];
    size_t incoming_count, incoming_at;
    struct canfd_frame sent[64];
    size_t sent_sizes[64], sent_count;
    struct ipcnet_can_link_event events[8];
    size_t events_count, events_at;
    int closed, purges, queries;
};

static int64_t f_monotonic(void *c) { return ((struct fake *)c)->monotonic_ns; }
static int64_t f_offset(void *c) { return ((struct fake *)c)->realtime_ns - ((struct fake *)c)->monotonic_ns; }
static int f_index(void *c, const char *name) { (void)name; struct fake *f = c; return f->index_error ? -f->index_error : 3; }
static int f_list(void *c, char *to, size_t size) { (void)c; return snprintf(to, size, "can1, vcan0"); }
static int f_carries_fd(void *c, const char *name) { (void)name; return ((struct fake *)c)->link.fd; }
static int f_socket(void *c) { struct fake *f = c; return f->socket_error ? -f->socket_error : 7; }
static int f_bind(void *c, int fd, int index) { (void)fd; (void)index; return -((struct fake *)c)->bind_error; }
static int f_setsockopt(void *c, int fd, int level, int name, const void *value, socklen_t length)
{
    struct fake *f = c;
    (void)fd;
    if (level == SOL_CAN_RAW && name == CAN_RAW_FD_FRAMES) return -f->fd_frames_error;
    if (level == SOL_CAN_RAW && name == CAN_RAW_RECV_OWN_MSGS) return -f->own_messages_error;
    if (level == SOL_SOCKET && name == SO_RCVBUFFORCE && f->force_error) return -f->force_error;
    if (level == SOL_SOCKET && (name == SO_RCVBUF || name == SO_RCVBUFFORCE) && length == sizeof(int)) memcpy(&f->receive_buffer, value, sizeof(int));
    return 0;
}
static int f_getsockopt(void *c, int fd, int level, int name, void *value, socklen_t *length)
{
    (void)fd; (void)level; (void)name; (void)length;
    memcpy(value, &((struct fake *)c)->receive_buffer, sizeof(int));
    return 0;
}

static void put_control(struct msghdr *header, size_t *used, int type, const void *value, size_t length)
{
    struct cmsghdr *control = (struct cmsghdr *)((char *)header->msg_control + *used);
    *control = (struct cmsghdr){ .cmsg_level = SOL_SOCKET, .cmsg_type = type, .cmsg_len = CMSG_LEN(length) };
    memcpy(CMSG_DATA(control), value, length);
    *used += CMSG_SPACE(length);
}

static int f_recvmmsg(void *c, int fd, struct mmsghdr *messages, unsigned count)
{
    struct fake *f = c;
    unsigned got = 0;
    (void)fd;
    for (; got < count && f->incoming_at < f->incoming_count; got++) {
        const struct incoming *in = &f->incoming[f->incoming_at];
        if (in->error) {
            if (got > 0) break;
            f->incoming_at++;
            return -in->error;
        }
        f->incoming_at++;
        memcpy(messages[got].msg_hdr.msg_iov[0].iov_base, &in->frame, in->length < sizeof in->frame ? in->length : sizeof in->frame);
        messages[got].msg_len = in->length;
        messages[got].msg_hdr.msg_flags = in->flags;
        size_t used = 0;
        struct timespec stamp = { .tv_sec = in->stamp_ns / 1000000000, .tv_nsec = in->stamp_ns % 1000000000 };
        if (in->counted) put_control(&messages[got].msg_hdr, &used, SO_RXQ_OVFL, &in->dropped, sizeof in->dropped);
        if (in->stamped) put_control(&messages[got].msg_hdr, &used, SCM_TIMESTAMPNS, &stamp, sizeof stamp);
        messages[got].msg_hdr.msg_controllen = used;
    }
    return got > 0 ? (int)got : -EAGAIN;
}
static int f_sendmsg(void *c, int fd, const struct msghdr *message)
{
    struct fake *f = c;
    (void)fd;
    if (f->send_error) return -f->send_error;
    memset(&f->sent[f->sent_count % 64], 0, sizeof f->sent[0]);
    memcpy(&f->sent[f->sent_count % 64], message->msg_iov[0].iov_base, message->msg_iov[0].iov_len);
    f->sent_sizes[f->sent_count % 64] = message->msg_iov[0].iov_len;
    f->sent_count++;
    return (int)message->msg_iov[0].iov_len;
}
static void f_close(void *c, int fd) { (void)fd; ((struct fake *)c)->closed++; }
static int f_link_fd(void *c) { (void)c; return -1; }
static int f_link_event(void *c, struct ipcnet_can_link_event *event)
{
    struct fake *f = c;
    if (f->events_at >= f->events_count) return 0;
    *event = f->events[f->events_at++];
    return 1;
}
static int f_query(void *c, int index, struct ipcnet_can_link *link)
{
    struct fake *f = c;
    (void)index;
    f->queries++;
    if (f->query_error) return -f->query_error;
    *link = f->link;
    return 0;
}
static int f_glance(void *c, const char *name, int index, struct ipcnet_can_link *link)
{
    struct fake *f = c;
    (void)name;
    (void)index;
    if (f->query_error) return -f->query_error;
    link->up = f->link.up;
    return 0;
}
static int f_purge(void *c, int index) { (void)index; ((struct fake *)c)->purges++; return -((struct fake *)c)->purge_error; }
static int f_restart(void *c, int index) { (void)index; return -((struct fake *)c)->restart_error; }
static bool f_may_purge(void *c) { return ((struct fake *)c)->may_purge; }
static int f_backlog(void *c, int index) { (void)index; return ((struct fake *)c)->backlog; }

struct bench {
    struct fake fake;
    struct ipcnet_can_os os;
    struct ipcnet_can can;
    struct ipcnet_can_frame frames[256];
    struct ipcnet_can_summary summary;
};

/* One bench at a time, static: it is large, and the core keeps pointers into it. */
static struct bench bench;

static void prepare(bool fd, bool listen_only)
{
    memset(&bench, 0, sizeof bench);
    bench.fake.monotonic_ns = 1000 * 1000000000ll;
    bench.fake.realtime_ns = 1700000000ll * 1000000000ll;
    bench.fake.link = (struct ipcnet_can_link){ .index = 3, .is_can = true, .up = true, .running = true, .fd = true, .tx_queue_frames = 10, .bitrate_bps = 500000 };
    bench.os = (struct ipcnet_can_os){ .context = &bench.fake, .monotonic_ns = f_monotonic, .stamp_offset_ns = f_offset, .interface_index = f_index, .interface_list = f_list, .carries_fd = f_carries_fd,
        .socket = f_socket, .bind = f_bind, .setsockopt = f_setsockopt, .getsockopt = f_getsockopt, .recvmmsg = f_recvmmsg, .sendmsg = f_sendmsg, .close = f_close,
        .link_fd = f_link_fd, .link_event = f_link_event, .link_glance = f_glance, .link_query = f_query, .purge = f_purge, .restart = f_restart, .may_purge = f_may_purge, .tx_backlog = f_backlog };
    struct ipcnet_can_config config = { .interface = "can0", .fd = fd, .listen_only = listen_only, .bus = 5, .tx_queue_frames = 4, .receive_buffer_bytes = 1 << 20 };
    ipcnet_can_init(&bench.can, &config, &bench.os);
}

static bool next_event(struct ipcnet_can_link_event *event) { return ipcnet_can_link_event(&bench.can, event); }

static void opened(bool fd)
{
    struct ipcnet_can_link_event event;
    prepare(fd, false);
    CHECK_INT(ipcnet_can_open(&bench.can), IPCNET_CAN_OK);
    CHECK(next_event(&event));
    CHECK_INT(event.kind, IPCNET_LINK_UP);
    CHECK(!next_event(&event));
}

static struct incoming *add_incoming(canid_t id, uint8_t length, const char *data)
{
    struct incoming *in = &bench.fake.incoming[bench.fake.incoming_count++];
    *in = (struct incoming){ .length = length > 8 ? CANFD_MTU : CAN_MTU, .frame = { .can_id = id, .len = length } };
    memcpy(in->frame.data, data, strlen(data));
    return in;
}
static void add_error(int error) { bench.fake.incoming[bench.fake.incoming_count++] = (struct incoming){ .error = error }; }

static size_t receive(void)
{
    size_t count = 0, got;
    while ((got = ipcnet_can_receive(&bench.can, bench.frames + count, 256 - count)) > 0) count += got;
    memset(&bench.summary, 0, sizeof bench.summary);
    ipcnet_can_confirm(&bench.can, bench.frames, count, &bench.summary);
    return count;
}

static struct ipcnet_can_frame frame(uint32_t id, uint8_t flags, uint8_t length, const char *data, uint32_t token)
{
    struct ipcnet_can_frame made = { .time_us = (double)bench.fake.monotonic_ns / 1e3 + 1000, .can_id = id, .flags = flags, .length_bytes = length, .token = token };
    memcpy(made.data, data, strlen(data));
    return made;
}
static enum ipcnet_can_verdict send_frame(uint32_t id, uint8_t flags, uint8_t length, const char *data, uint32_t token)
{
    struct ipcnet_can_frame made = frame(id, flags, length, data, token);
    return ipcnet_can_send(&bench.can, &made);
}

/* ---- Opening ------------------------------------------------------------------------------------------------------------------------ */

static void each_errno_of_opening_has_its_status(void)
{
    static const struct { int socket, index, bind; enum ipcnet_can_status expected; const char *says; } rows[] = {
        { EAFNOSUPPORT, 0, 0, IPCNET_CAN_NO_KERNEL_SUPPORT, "modprobe can_raw" },
        { EPROTONOSUPPORT, 0, 0, IPCNET_CAN_NO_KERNEL_SUPPORT, "modprobe can_raw" },
        { EPERM, 0, 0, IPCNET_CAN_NOT_PERMITTED, "RestrictAddressFamilies" },
        { EMFILE, 0, 0, IPCNET_CAN_SYSTEM, "Too many open files" },
        { 0, ENODEV, 0, IPCNET_CAN_NO_INTERFACE, "can1, vcan0" },
        { EAFNOSUPPORT, ENODEV, 0, IPCNET_CAN_NO_KERNEL_SUPPORT, "modprobe" }, /* the kernel first: its lack explains the other */
        { 0, ENODEV, ENODEV, IPCNET_CAN_NO_INTERFACE, "can0 is not there" },
        { 0, 0, ENODEV, IPCNET_CAN_NOT_A_CAN_INTERFACE, "can0 is not a CAN interface" },
        { 0, 0, ENETDOWN, IPCNET_CAN_SYSTEM, "Network is down" },
        { 0, 0, ECONNREFUSED, IPCNET_CAN_NO_INTERFACE, "Connection refused" },
        { 0, 0, EACCES, IPCNET_CAN_NOT_PERMITTED, "can0" },
        { 0, 0, EINVAL, IPCNET_CAN_SYSTEM, "Invalid argument" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[512];
        prepare(false, false);
        bench.fake.socket_error = rows[i].socket;
        bench.fake.index_error = rows[i].index;
        bench.fake.bind_error = rows[i].bind;
        enum ipcnet_can_status status = ipcnet_can_open(&bench.can);
        CHECK_INT(status, rows[i].expected);
        CHECK(!ipcnet_can_is_open(&bench.can));
        CHECK_INT(bench.fake.closed, rows[i].socket ? 0 : 1); /* nothing stays open */
        ipcnet_can_explain(&bench.can, status, text, sizeof text);
        CHECK(strstr(text, rows[i].says) != NULL);
        CHECK(strchr(text, '\n') != NULL);
        CHECK(strlen(ipcnet_can_status_code(status)) > 2);
    }
}

static void fd_is_insisted_on_the_rest_is_not(void)
{
    prepare(true, false);
    bench.fake.fd_frames_error = ENOPROTOOPT;
    CHECK_INT(ipcnet_can_open(&bench.can), IPCNET_CAN_NO_FD_SUPPORT);
    prepare(true, false);
    bench.fake.link.fd = false;
    CHECK_INT(ipcnet_can_open(&bench.can), IPCNET_CAN_NO_FD_SUPPORT);
    char says[512];
    ipcnet_can_explain(&bench.can, IPCNET_CAN_NO_FD_SUPPORT, says, sizeof says);
    CHECK(strstr(says, "can0 mtu 72 up") != NULL); /* a virtual interface has no bit rates */
    bench.fake.link.controller = true;
    ipcnet_can_explain(&bench.can, IPCNET_CAN_NO_FD_SUPPORT, says, sizeof says);
    CHECK(strstr(says, "a classic one\nset fd: false") != NULL);
    bench.fake.link.fd_capable = true;
    ipcnet_can_explain(&bench.can, IPCNET_CAN_NO_FD_SUPPORT, says, sizeof says);
    CHECK(strstr(says, "type can bitrate 500000 dbitrate 2000000 fd on") != NULL);
    prepare(false, false);
    bench.fake.own_messages_error = ENOPROTOOPT;
    bench.fake.force_error = EPERM;
    CHECK_INT(ipcnet_can_open(&bench.can), IPCNET_CAN_OK);
    CHECK(!(bench.can.features & IPCNET_CAN_FEATURE_ECHO));
    CHECK(!(bench.can.features & IPCNET_CAN_FEATURE_BUFFER_FORCED));
    CHECK(bench.can.features & IPCNET_CAN_FEATURE_ERROR_FRAMES);
    CHECK_INT(bench.can.receive_buffer_bytes, 1 << 20); /* SO_RCVBUF was tried next */
}

/* ---- Reading ------------------------------------------------------------------------------------------------------------------------ */

static void every_kind_of_frame_is_translated(void)
{
    opened(true);
    add_incoming(0x123, 2, "ab");
    add_incoming(0x12345678 | CAN_EFF_FLAG, 8, "abcdefgh");
    add_incoming(0x7FF | CAN_RTR_FLAG, 4, "");
    add_incoming(0x10, 12, "0123456789ab")->frame.flags = CANFD_BRS | CANFD_ESI;
    add_incoming(0x20 | CAN_EFF_FLAG, 3, "xyz")->length = CANFD_MTU; /* a short FD frame */
    add_incoming(CAN_ERR_FLAG | CAN_ERR_CRTL | CAN_ERR_ACK, 8, "\x01\x20");
    add_incoming(0x1, 8, "")->length = 20;   /* of no known size */
    add_incoming(0x1, 9, "")->length = CAN_MTU; /* nine bytes in a classic frame */
    CHECK_INT(receive(), 6);
    const struct ipcnet_can_frame *f = bench.frames;
    CHECK_INT(f[0].can_id, 0x123); CHECK_INT(f[0].flags, 0); CHECK_INT(f[0].length_bytes, 2); CHECK_INT(f[0].bus, 5);
    CHECK(memcmp(f[0].data, "ab\0\0", 4) == 0);
    CHECK_INT(f[1].can_id, 0x12345678); CHECK_INT(f[1].flags, IPCNET_CAN_EXTENDED);
    CHECK_INT(f[2].flags, IPCNET_CAN_REMOTE); CHECK_INT(f[2].length_bytes, 4);
    CHECK_INT(f[3].flags, IPCNET_CAN_FD | IPCNET_CAN_BRS | IPCNET_CAN_ESI); CHECK_INT(f[3].length_bytes, 12);
    CHECK_INT(f[4].flags, IPCNET_CAN_EXTENDED | IPCNET_CAN_FD); CHECK_INT(f[4].length_bytes, 3);
    CHECK_INT(f[5].flags, IPCNET_CAN_ERROR); CHECK_INT(f[5].can_id, CAN_ERR_CRTL | CAN_ERR_ACK); CHECK_INT(f[5].data[1], 0x20);
    CHECK_INT(bench.can.counters.malformed_frames, 2);
    CHECK_INT(bench.can.counters.received_frames, 5);
    CHECK_INT(bench.can.counters.error_frames, 1);
    CHECK_INT(bench.summary.received, 5);
    CHECK_INT(bench.summary.errors, 1);
}

static void time_stamps_become_monotonic(void)
{
    opened(false);
    int64_t wall = bench.fake.realtime_ns;
    struct incoming *in = add_incoming(1, 0, "");
    in->stamped = true; in->stamp_ns = wall - 2500000; /* 2.5 ms ago */
    in = add_incoming(2, 0, "");
    in->stamped = true; in->stamp_ns = wall + 5000000000; /* from the future: the wall clock was set back in between */
    in = add_incoming(3, 0, "");
    in->stamped = true; in->stamp_ns = wall - 3600ll * 1000000000; /* an hour old: it was set forward */
    add_incoming(4, 0, "");
    CHECK_INT(receive(), 4);
    CHECK_INT(bench.frames[0].time_us, 1000000000.0 - 2500);
    CHECK_INT(bench.frames[1].time_us, 1000000000.0);
    CHECK_INT(bench.frames[2].time_us, 1000000000.0);
    CHECK_INT(bench.frames[3].time_us, 1000000000.0);
}

static void lost_frames_are_told_with_the_next_one(void)
{
    opened(false);
    struct incoming *in = add_incoming(1, 0, "");
    in->counted = true; in->dropped = 0xFFFFFFFEu;
    bench.can.drop_counter = 0xFFFFFFFEu; /* as after four milliards */
    add_incoming(2, 0, "");
    in = add_incoming(3, 0, "");
    in->counted = true; in->dropped = 5; /* wrapped: seven more */
    in = add_incoming(4, 0, "");
    in->counted = true; in->dropped = 5;
    CHECK_INT(receive(), 4);
    CHECK_INT(bench.frames[1].lost_before, 0);
    CHECK_INT(bench.frames[2].lost_before, 7);
    CHECK_INT(bench.frames[3].lost_before, 0);
    CHECK_INT(bench.can.counters.lost_frames, 7);
    CHECK_INT(bench.summary.lost, 7);
}

static void receive_overflow_is_not_fatal(void)
{
    struct ipcnet_can_link_event event;
    opened(false);
    add_error(ENOBUFS);
    add_error(EINTR);
    add_incoming(1, 0, "");
    CHECK_INT(receive(), 1);
    CHECK_INT(bench.frames[0].lost_before, 1);
    CHECK(next_event(&event));
    CHECK_INT(event.kind, IPCNET_LINK_OVERFLOW);
    CHECK_INT(event.a, 1);
    CHECK(!next_event(&event));
    CHECK_INT(bench.can.counters.receive_errors, 1);
    CHECK(ipcnet_can_is_open(&bench.can));
}

static void a_socket_that_only_errs_is_broken(void)
{
    struct ipcnet_can_link_event event;
    opened(false);
    for (int i = 0; i < 40; i++) add_error(EIO);
    CHECK_INT(ipcnet_can_receive(&bench.can, bench.frames, 64), 0); /* ends: no spinning */
    CHECK(next_event(&event));
    CHECK_INT(event.kind, IPCNET_LINK_OVERFLOW);
    CHECK(next_event(&event));
    CHECK_INT(event.kind, IPCNET_LINK_GONE);
}

/* ---- Sending ------------------------------------------------------------------------------------------------------------------------ */

static void frames_leave_as_the_kernel_wants_them(void)
{
    opened(true);
    CHECK_INT(send_frame(0x123, 0, 2, "ab", 1), IPCNET_CAN_QUEUED);
    CHECK_INT(send_frame(0x1ABCDEF0, IPCNET_CAN_EXTENDED, 8, "abcdefgh", 2), IPCNET_CAN_QUEUED);
    CHECK_INT(send_frame(0x7, IPCNET_CAN_FD | IPCNET_CAN_BRS, 12, "0123456789ab", 3), IPCNET_CAN_QUEUED);
    CHECK_INT(send_frame(0x8, IPCNET_CAN_REMOTE, 3, "", 4), IPCNET_CAN_QUEUED);
    const struct canfd_frame *sent = bench.fake.sent;
    CHECK_INT(sent[0].can_id, 0x123); CHECK_INT(sent[0].len, 2); CHECK_INT(bench.fake.sent_sizes[0], CAN_MTU);
    CHECK_INT(sent[1].can_id, 0x1ABCDEF0u | CAN_EFF_FLAG);
    CHECK_INT(sent[2].flags, CANFD_BRS); CHECK_INT(bench.fake.sent_sizes[2], CANFD_MTU); CHECK(memcmp(sent[2].data, "0123456789ab", 12) == 0);
    CHECK_INT(sent[3].can_id, 0x8 | CAN_RTR_FLAG); CHECK_INT(sent[3].len, 3);
}

static void what_may_not_leave_never_reaches_the_kernel(void)
{
    opened(false);
    CHECK_INT(send_frame(1, 0, 9, "", 0), IPCNET_CAN_BAD_LENGTH);
    CHECK_INT(send_frame(0x800, 0, 1, "", 0), IPCNET_CAN_UNSUPPORTED);
    CHECK_INT(send_frame(0x20000000, IPCNET_CAN_EXTENDED, 1, "", 0), IPCNET_CAN_UNSUPPORTED);
    CHECK_INT(send_frame(1, IPCNET_CAN_FD, 12, "", 0), IPCNET_CAN_UNSUPPORTED); /* opened without FD */
    CHECK_INT(send_frame(1, IPCNET_CAN_ERROR, 8, "", 0), IPCNET_CAN_UNSUPPORTED);
    CHECK_INT(send_frame(1, IPCNET_CAN_ECHO, 8, "", 0), IPCNET_CAN_UNSUPPORTED);
    CHECK_INT(bench.can.counters.refused_frames, 6);
    double nan = 0;
    memset(&nan, 0xFF, sizeof nan);
    const double expired[] = { 0, -1, 999999999.0, 1000000000.0, nan };
    for (size_t i = 0; i < sizeof expired / sizeof expired[0]; i++) {
        struct ipcnet_can_frame made = frame(1, 0, 1, "x", 1);
        made.time_us = expired[i];
        CHECK_INT(ipcnet_can_send(&bench.can, &made), IPCNET_CAN_EXPIRED);
    }
    CHECK_INT(bench.can.counters.expired_frames, 5);
    CHECK_INT(bench.fake.sent_count, 0);
    ipcnet_can_close(&bench.can);
    CHECK_INT(send_frame(1, 0, 1, "x", 1), IPCNET_CAN_NOT_OPEN);
    prepare(true, true);
    CHECK_INT(ipcnet_can_open(&bench.can), IPCNET_CAN_OK);
    CHECK_INT(send_frame(1, 0, 1, "x", 1), IPCNET_CAN_LISTEN_ONLY);
    CHECK_INT(bench.fake.sent_count, 0);
    opened(true);
    for (int length = 9; length <= 70; length++) {
        struct ipcnet_can_frame made = frame(1, IPCNET_CAN_FD, (uint8_t)length, "x", 1);
        bool legal = length == 12 || length == 16 || length == 20 || length == 24 || length == 32 || length == 48 || length == 64;
        bench.can.in_flight_count = 0;
        CHECK_INT(ipcnet_can_send(&bench.can, &made), legal ? IPCNET_CAN_QUEUED : IPCNET_CAN_BAD_LENGTH);
    }
}

static void each_errno_of_sending_has_its_verdict(void)
{
    static const struct { int error; enum ipcnet_can_verdict expected; } rows[] = {
        { ENOBUFS, IPCNET_CAN_QUEUE_FULL }, { EAGAIN, IPCNET_CAN_QUEUE_FULL }, { ENETDOWN, IPCNET_CAN_LINK_DOWN }, { ENODEV, IPCNET_CAN_LINK_DOWN },
        { ENXIO, IPCNET_CAN_LINK_DOWN }, { EPIPE, IPCNET_CAN_LINK_DOWN }, { EINVAL, IPCNET_CAN_UNSUPPORTED }, { EMSGSIZE, IPCNET_CAN_UNSUPPORTED },
    };
    opened(false);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        bench.fake.send_error = rows[i].error;
        CHECK_INT(send_frame(1, 0, 1, "x", 1), rows[i].expected);
        CHECK_INT(ipcnet_can_in_flight_frames(&bench.can), 0); /* dropped, not kept */
    }
    CHECK_INT(bench.can.counters.full_frames, 2);
    CHECK_INT(bench.can.counters.link_down_frames, 4);
    CHECK_INT(bench.can.counters.refused_frames, 2);
}

static void no_more_than_the_configured_queue_waits(void)
{
    opened(false); /* tx_queue_frames 4, while the kernel would take them all */
    for (uint32_t i = 0; i < 4; i++) CHECK_INT(send_frame(i, 0, 0, "", i + 1), IPCNET_CAN_QUEUED);
    CHECK_INT(send_frame(9, 0, 0, "", 9), IPCNET_CAN_QUEUE_FULL);
    CHECK_INT(bench.fake.sent_count, 4);
    add_incoming(0, 0, "")->flags = MSG_CONFIRM;
    CHECK_INT(receive(), 1);
    CHECK_INT(bench.frames[0].flags, IPCNET_CAN_ECHO);
    CHECK_INT(bench.frames[0].token, 1);
    CHECK_INT(send_frame(9, 0, 0, "", 9), IPCNET_CAN_QUEUED);
}

static void echoes_find_their_tokens(void)
{
    opened(false);
    CHECK_INT(send_frame(1, 0, 1, "a", 11), IPCNET_CAN_QUEUED);
    CHECK_INT(send_frame(2, 0, 1, "b", 12), IPCNET_CAN_QUEUED);
    CHECK_INT(send_frame(1, 0, 1, "a", 13), IPCNET_CAN_QUEUED); /* the same frame again */
    CHECK_INT(send_frame(0x7FF, 0, 0, "", IPCNET_CAN_PROBE_TOKEN), IPCNET_CAN_QUEUED);
    add_incoming(2, 1, "b")->flags = MSG_CONFIRM; /* mailboxes may overtake */
    add_incoming(1, 1, "a")->flags = MSG_CONFIRM;
    add_incoming(1, 1, "a");                      /* somebody else's */
    add_incoming(1, 1, "a")->flags = MSG_CONFIRM;
    add_incoming(0x7FF, 0, "")->flags = MSG_CONFIRM;
    add_incoming(0x55, 0, "")->flags = MSG_CONFIRM; /* never sent by us */
    CHECK_INT(receive(), 6);
    CHECK_INT(bench.frames[0].token, 12);
    CHECK_INT(bench.frames[1].token, 11);
    CHECK_INT(bench.frames[2].token, 0);
    CHECK_INT(bench.frames[3].token, 13);
    CHECK_INT(bench.frames[4].token, IPCNET_CAN_PROBE_TOKEN);
    CHECK_INT(bench.frames[5].token, 0);
    CHECK_INT(bench.summary.echoes, 4);
    CHECK_INT(bench.summary.probe_echoes, 1);
    CHECK_INT(bench.summary.received, 1);
    CHECK_INT(bench.can.counters.unmatched_echoes, 1);
    CHECK_INT(ipcnet_can_in_flight_frames(&bench.can), 0);
}

static void a_lost_echo_does_not_block_the_queue(void)
{
    opened(false);
    CHECK_INT(send_frame(0x100, 0, 1, "L", 1), IPCNET_CAN_QUEUED); /* whose echo never comes */
    for (uint32_t i = 0; i < 70; i++) {
        CHECK_INT(send_frame(i, 0, 0, "", i + 10), IPCNET_CAN_QUEUED);
        bench.fake.incoming_count = bench.fake.incoming_at = 0;
        add_incoming(i, 0, "")->flags = MSG_CONFIRM;
        CHECK_INT(receive(), 1);
        CHECK_INT(bench.frames[0].token, i + 10);
    }
    CHECK_INT(bench.can.counters.missed_echoes, 1);
    CHECK_INT(ipcnet_can_in_flight_frames(&bench.can), 0);

    /* Lost frames may have been echoes: those in flight no longer fill the queue, but still get their tokens. */
    for (uint32_t i = 0; i < 4; i++) CHECK_INT(send_frame(i, 0, 0, "", i + 1), IPCNET_CAN_QUEUED);
    struct ipcnet_can_link_event overflow = { .kind = IPCNET_LINK_OVERFLOW, .a = 3 };
    CHECK_INT(ipcnet_can_note_event(&bench.can, &overflow), 0);
    CHECK_INT(ipcnet_can_in_flight_frames(&bench.can), 0);
    CHECK_INT(send_frame(9, 0, 0, "", 9), IPCNET_CAN_QUEUED);
    bench.fake.incoming_count = bench.fake.incoming_at = 0;
    add_incoming(3, 0, "")->flags = MSG_CONFIRM;
    CHECK_INT(receive(), 1);
    CHECK_INT(bench.frames[0].token, 4);
    CHECK_INT(ipcnet_can_in_flight_frames(&bench.can), 1);

    /* A thousand doubtful ones: the oldest are given up, nothing grows. */
    for (uint32_t i = 0; i < 5000; i++) {
        CHECK_INT(send_frame(i & 0x7FF, 0, 0, "", i), IPCNET_CAN_QUEUED);
        ipcnet_can_note_event(&bench.can, &overflow);
    }
    CHECK(bench.can.counters.missed_echoes > 2000);
}

static void events_empty_the_flight(void)
{
    opened(false);
    for (uint32_t i = 0; i < 3; i++) CHECK_INT(send_frame(i, 0, 0, "", i + 1), IPCNET_CAN_QUEUED);
    struct ipcnet_can_link_event dropped = { .kind = IPCNET_LINK_DROPPED, .key = ipcnet_can_key(1, 0, (const uint8_t *)"") };
    CHECK_INT(ipcnet_can_note_event(&bench.can, &dropped), 1);
    CHECK_INT(ipcnet_can_note_event(&bench.can, &dropped), 0);
    CHECK_INT(ipcnet_can_in_flight_frames(&bench.can), 2);
    struct ipcnet_can_link_event purged = { .kind = IPCNET_LINK_PURGED };
    CHECK_INT(ipcnet_can_note_event(&bench.can, &purged), 2);
    CHECK_INT(ipcnet_can_in_flight_frames(&bench.can), 0);
}

/* ---- The link ----------------------------------------------------------------------------------------------------------------------- */

static void the_link_is_told_once_and_truly(void)
{
    struct ipcnet_can_link_event event;
    opened(false);
    bench.fake.events[bench.fake.events_count++] = (struct ipcnet_can_link_event){ .kind = IPCNET_LINK_CHANGED };
    int queries = bench.fake.queries;
    CHECK(!next_event(&event)); /* something else changed */
    CHECK_INT(bench.fake.queries, queries); /* and nobody was waited for to find that out */
    bench.fake.link.up = false;
    add_error(ENETDOWN);
    CHECK_INT(receive(), 0);
    CHECK(next_event(&event));
    CHECK_INT(event.kind, IPCNET_LINK_DOWN);
    bench.fake.events[bench.fake.events_count++] = (struct ipcnet_can_link_event){ .kind = IPCNET_LINK_CHANGED };
    CHECK(!next_event(&event)); /* still down: nothing new */
    bench.fake.link.up = true;
    bench.fake.backlog = 6;
    bench.fake.events[bench.fake.events_count++] = (struct ipcnet_can_link_event){ .kind = IPCNET_LINK_CHANGED };
    CHECK(next_event(&event));
    CHECK_INT(event.kind, IPCNET_LINK_UP);
    CHECK_INT(event.a, 6); /* frames of somebody else wait in it */
    bench.fake.link.up = false; /* an adapter that is unplugged goes down first */
    add_error(ENETDOWN);
    CHECK_INT(receive(), 0);
    CHECK(next_event(&event));
    CHECK_INT(event.kind, IPCNET_LINK_DOWN);
    add_error(ENODEV);
    bench.fake.query_error = ENODEV;
    CHECK_INT(receive(), 0);
    CHECK(next_event(&event));
    CHECK_INT(event.kind, IPCNET_LINK_GONE);
    CHECK(!next_event(&event));
    ipcnet_can_close(&bench.can);
    bench.fake.events[bench.fake.events_count++] = (struct ipcnet_can_link_event){ .kind = IPCNET_LINK_CHANGED };
    CHECK(next_event(&event)); /* closed: the hint itself is of interest, to try again */
    CHECK_INT(event.kind, IPCNET_LINK_CHANGED);
}

static void an_error_of_our_own_purge_is_not_a_lost_link(void)
{
    struct ipcnet_can_link_event event;
    opened(false);
    CHECK(ipcnet_can_purge(&bench.can, &event));
    CHECK_INT(event.kind, IPCNET_LINK_PURGED);
    add_error(ENETDOWN); /* what the socket says about the moment it was down */
    bench.fake.events[bench.fake.events_count++] = (struct ipcnet_can_link_event){ .kind = IPCNET_LINK_CHANGED };
    CHECK_INT(receive(), 0);
    CHECK(!next_event(&event));
}

static void an_error_passive_controller_at_opening_may_hold_a_frame(void)
{
    struct ipcnet_can_link_event event;
    for (uint8_t state = 0; state <= 3; state++) {
        prepare(false, false);
        bench.fake.link.bus_state_known = true;
        bench.fake.link.bus_state = state;
        CHECK_INT(ipcnet_can_open(&bench.can), IPCNET_CAN_OK);
        CHECK(next_event(&event));
        CHECK_INT(event.kind, IPCNET_LINK_UP);
        CHECK_INT(event.a, state == 2 ? 1 : 0); /* bus-off is told as such and purged for its own sake */
    }
}

/* Taking it down and up would put up what an administrator took down. */
static void an_interface_that_is_down_is_not_purged(void)
{
    struct ipcnet_can_link_event event;
    opened(false);
    bench.fake.link.up = false;
    CHECK(ipcnet_can_purge(&bench.can, &event));
    CHECK_INT(event.kind, IPCNET_LINK_PURGE_FAILED);
    CHECK_INT(event.a, ENETDOWN);
    CHECK_INT(bench.fake.purges, 0);
    CHECK(next_event(&event)); /* and it is found out that it is down */
    CHECK_INT(event.kind, IPCNET_LINK_DOWN);
}

/* The kernel's answers to a restart that is not needed: EBUSY; EINVAL whenever restart-ms is set; EOPNOTSUPP of drivers without a restart. */
static void a_restart_that_is_not_needed_has_succeeded(void)
{
    static const int errors[] = { EBUSY, EINVAL, EOPNOTSUPP };
    struct ipcnet_can_link_event event;
    for (size_t i = 0; i < sizeof errors / sizeof errors[0]; i++) {
        opened(false);
        bench.fake.link.bus_state_known = true;
        bench.fake.link.bus_state = 1;
        bench.fake.restart_error = errors[i];
        CHECK(ipcnet_can_restart(&bench.can, &event));
        CHECK_INT(event.kind, IPCNET_LINK_BUS_STATE);
        CHECK_INT(event.a, 1);
    }
    bench.fake.link.bus_state = 3; /* needed, and refused: the kernel restarts it by itself later, or never */
    CHECK(ipcnet_can_restart(&bench.can, &event));
    CHECK_INT(event.kind, IPCNET_LINK_RESTART_FAILED);
    CHECK_INT(event.a, EOPNOTSUPP);
}

static void purge_and_restart_answer(void)
{
    struct ipcnet_can_link_event event;
    opened(false);
    bench.fake.purge_error = EINPROGRESS;
    CHECK(!ipcnet_can_purge(&bench.can, &event));
    bench.fake.purge_error = EPERM;
    CHECK(ipcnet_can_purge(&bench.can, &event));
    CHECK_INT(event.kind, IPCNET_LINK_PURGE_FAILED);
    CHECK_INT(event.a, EPERM);
    CHECK(!ipcnet_can_restart(&bench.can, &event));
    bench.fake.restart_error = EBUSY; /* the purge restarted it already */
    bench.fake.link.bus_state = 0;
    bench.fake.link.tec = 3;
    CHECK(ipcnet_can_restart(&bench.can, &event));
    CHECK_INT(event.kind, IPCNET_LINK_BUS_STATE);
    CHECK_INT(event.a, 0);
    CHECK_INT(event.b, 3 << 16);
    bench.fake.restart_error = EOPNOTSUPP; /* slcan, vcan */
    CHECK(ipcnet_can_restart(&bench.can, &event));
    CHECK_INT(event.kind, IPCNET_LINK_BUS_STATE);
    bench.fake.restart_error = EPERM;
    CHECK(ipcnet_can_restart(&bench.can, &event));
    CHECK_INT(event.kind, IPCNET_LINK_RESTART_FAILED);
    CHECK_INT(event.a, EPERM);
    ipcnet_can_close(&bench.can);
    CHECK(ipcnet_can_purge(&bench.can, &event));
    CHECK_INT(event.kind, IPCNET_LINK_PURGE_FAILED);
    CHECK_INT(ipcnet_can_last_link(&bench.can)->bitrate_bps, 500000);
    CHECK_INT(ipcnet_can_last_link(&bench.can)->tx_queue_frames, 10);
}

static void a_rate_is_as_wanted_within_one_percent(void)
{
    static const struct { uint32_t runs, wanted; bool same; } CASES[] = {
        {500000, 500000, true}, {505000, 500000, true}, {495000, 500000, true}, {505001, 500000, false}, {494999, 500000, false}, {250000, 500000, false}, {80000, 83333, false}, {83300, 83333, true},
        {0, 500000, true}, {500000, 0, true}, {20000000, 20000000, true}, {4294967295u, 1, false},
    };
    for (size_t i = 0; i < sizeof CASES / sizeof *CASES; i++) CHECK_INT(ipcnet_can_same_rate(CASES[i].runs, CASES[i].wanted), CASES[i].same);
}

int main(void)
{
    a_rate_is_as_wanted_within_one_percent();
    each_errno_of_opening_has_its_status();
    fd_is_insisted_on_the_rest_is_not();
    every_kind_of_frame_is_translated();
    time_stamps_become_monotonic();
    lost_frames_are_told_with_the_next_one();
    receive_overflow_is_not_fatal();
    a_socket_that_only_errs_is_broken();
    frames_leave_as_the_kernel_wants_them();
    what_may_not_leave_never_reaches_the_kernel();
    each_errno_of_sending_has_its_verdict();
    no_more_than_the_configured_queue_waits();
    echoes_find_their_tokens();
    a_lost_echo_does_not_block_the_queue();
    events_empty_the_flight();
    the_link_is_told_once_and_truly();
    an_error_of_our_own_purge_is_not_a_lost_link();
    an_error_passive_controller_at_opening_may_hold_a_frame();
    an_interface_that_is_down_is_not_purged();
    a_restart_that_is_not_needed_has_succeeded();
    purge_and_restart_answer();
    return checks_report("ipcnet_can");
}
