/* The emulated bus's client: the core on one side, a server written by hand on the other, in one thread. */
#include "emulator_socket.h"

#include <errno.h>
#include <linux/can/error.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"

struct record {
    uint8_t kind, arg;
    uint16_t reserved;
    uint32_t value;
    struct ipcnet_can_frame frame;
};

static char path[64];
static int listener, peer;
static struct ipcnet_emulator emulator;
static struct ipcnet_can_os os;
static struct ipcnet_can can;
static struct ipcnet_can_frame frames[128];

static void say(uint8_t kind, uint8_t arg, uint32_t value, const struct ipcnet_can_frame *frame)
{
    struct record record = { .kind = kind, .arg = arg, .value = value };
    if (frame != NULL) record.frame = *frame;
    CHECK_INT(write(peer, &record, sizeof record), sizeof record);
}

static struct record hear(void)
{
    struct record record = { 0 };
    CHECK_INT(recv(peer, &record, sizeof record, MSG_DONTWAIT), sizeof record);
    return record;
}

static bool next_event(struct ipcnet_can_link_event *event)
{
    return ipcnet_can_link_event(&can, event);
}

static size_t receive(void)
{
    size_t count = 0, got;
    struct ipcnet_can_summary summary = { 0 };
    while ((got = ipcnet_can_receive(&can, frames + count, 128 - count)) > 0) count += got;
    ipcnet_can_confirm(&can, frames, count, &summary);
    return count;
}

static enum ipcnet_can_verdict send_frame(uint32_t id, uint8_t flags, uint8_t length, uint32_t token)
{
    struct ipcnet_can_frame frame = { .time_us = 1e18, .can_id = id, .flags = flags, .length_bytes = length, .token = token, .data = { 1, 2, 3 } };
    return ipcnet_can_send(&can, &frame);
}

/* As far as HELLO. */
static void greeted(bool fd, uint32_t controller)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct ipcnet_can_link_event event;
    snprintf(path, sizeof path, "/tmp/ipcnet-emulator-test-%d.sock", (int)getpid());
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    unlink(path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_INT(bind(listener, (const struct sockaddr *)&address, sizeof address), 0);
    CHECK_INT(listen(listener, 4), 0);
    ipcnet_emulator_init(&emulator, "arm", "gateway", false);
    emulator.controller = controller;
    os = ipcnet_emulator_os(&emulator);
    struct ipcnet_can_config config = { .fd = fd, .tx_queue_frames = 100 };
    snprintf(config.interface, sizeof config.interface, "%s", path);
    ipcnet_can_init(&can, &config, &os);
    CHECK_INT(ipcnet_can_open(&can), IPCNET_CAN_OK);
    peer = accept(listener, NULL, NULL);
    CHECK(peer >= 0);
    struct record hello = hear();
    CHECK_INT(hello.kind, 1);
    CHECK_INT(hello.arg, 4 | (fd ? 1 : 0));
    CHECK_INT(hello.value, 1);
    CHECK_INT(hello.frame.token, controller);
    CHECK(memcmp(hello.frame.data, "arm\0gateway\0", 12) == 0);
    CHECK_INT(receive(), 0);
    CHECK(!next_event(&event)); /* not welcomed yet: neither up nor down */
    CHECK_INT(send_frame(1, 0, 1, 1), IPCNET_CAN_LINK_DOWN);
}

static void connected(bool fd, uint32_t queue)
{
    struct ipcnet_can_link_event event;
    greeted(fd, 0);
    say(2, fd ? 1 : 0, queue, &(struct ipcnet_can_frame){ .can_id = 500000 });
    CHECK_INT(receive(), 0);
    CHECK(next_event(&event));
    CHECK_INT(event.kind, IPCNET_LINK_UP);
    CHECK_INT(event.a, 0);
    CHECK(!next_event(&event));
}

static void disconnected(void)
{
    ipcnet_can_close(&can);
    close(peer);
    close(listener);
    unlink(path);
}

static void the_link_is_known_after_the_welcome(void)
{
    connected(true, 7);
    const struct ipcnet_can_link *link = ipcnet_can_last_link(&can);
    CHECK(link->up && link->is_can && link->fd);
    CHECK_INT(link->bitrate_bps, 500000);
    CHECK_INT(link->tx_queue_frames, 7);
    CHECK(ipcnet_can_may_purge(&can));
    disconnected();
}

static void frames_pass_both_ways_with_their_time(void)
{
    connected(true, 8);
    struct ipcnet_can_frame in = { .time_us = 0, .can_id = 0x1234, .flags = IPCNET_CAN_EXTENDED | IPCNET_CAN_FD | IPCNET_CAN_BRS, .length_bytes = 12, .data = { 9, 8, 7 } };
    in.time_us = (double)os.monotonic_ns(os.context) / 1e3 - 5.5;
    say(3, 0, 0, &in);
    say(3, 0, 0, &(struct ipcnet_can_frame){ .can_id = CAN_ERR_CRTL, .flags = IPCNET_CAN_ERROR, .length_bytes = 8, .data = { 0, 0x20 } });
    CHECK_INT(receive(), 2);
    CHECK_INT(frames[0].can_id, 0x1234);
    CHECK_INT(frames[0].flags, in.flags);
    CHECK_INT(frames[0].length_bytes, 12);
    CHECK(memcmp(frames[0].data, in.data, 64) == 0);
    CHECK(frames[0].time_us > in.time_us - 0.01 && frames[0].time_us < in.time_us + 0.01);
    CHECK_INT(frames[1].flags, IPCNET_CAN_ERROR);
    CHECK_INT(frames[1].data[1], 0x20);

    CHECK_INT(send_frame(0x55, IPCNET_CAN_EXTENDED, 3, 42), IPCNET_CAN_QUEUED);
    struct record out = hear();
    CHECK_INT(out.kind, 3);
    CHECK_INT(out.frame.can_id, 0x55);
    CHECK_INT(out.frame.flags, IPCNET_CAN_EXTENDED);
    CHECK_INT(out.frame.length_bytes, 3);
    out.frame.time_us = (double)os.monotonic_ns(os.context) / 1e3;
    out.frame.flags |= IPCNET_CAN_ECHO;
    say(4, 0, 0, &out.frame);
    CHECK_INT(receive(), 1);
    CHECK_INT(frames[0].flags, IPCNET_CAN_EXTENDED | IPCNET_CAN_ECHO);
    CHECK_INT(frames[0].token, 42);
    disconnected();
}

static void a_full_queue_is_enobufs(void)
{
    connected(false, 3);
    for (uint32_t i = 0; i < 3; i++) CHECK_INT(send_frame(i, 0, 1, i + 1), IPCNET_CAN_QUEUED);
    CHECK_INT(send_frame(9, 0, 1, 9), IPCNET_CAN_QUEUE_FULL);
    struct record first = hear();
    say(4, 0, 0, &first.frame);
    CHECK_INT(receive(), 1);
    CHECK_INT(send_frame(9, 0, 1, 9), IPCNET_CAN_QUEUED);
    struct record second = hear();
    struct ipcnet_can_link_event event;
    say(5, 4, 0, &second.frame);
    CHECK_INT(receive(), 0);
    CHECK(next_event(&event));
    CHECK_INT(event.kind, IPCNET_LINK_DROPPED);
    CHECK_INT(ipcnet_can_note_event(&can, &event), 1);
    CHECK_INT(send_frame(10, 0, 1, 9), IPCNET_CAN_QUEUED);
    disconnected();
}

static void a_purge_ends_with_the_last_frame_in_flight(void)
{
    struct ipcnet_can_link_event event;
    connected(false, 8);
    CHECK(ipcnet_can_purge(&can, &event)); /* nothing in flight: done */
    CHECK_INT(event.kind, IPCNET_LINK_PURGED);
    CHECK_INT(hear().kind, 7);
    for (uint32_t i = 0; i < 3; i++) CHECK_INT(send_frame(i, 0, 1, i + 1), IPCNET_CAN_QUEUED);
    CHECK(!ipcnet_can_purge(&can, &event));
    struct record sent[3] = { hear(), hear(), hear() };
    struct record control = hear();
    CHECK_INT(control.kind, 7);
    CHECK_INT(control.arg, 1);
    say(4, 0, 0, &sent[0].frame); /* on the wire already */
    say(5, 1, 0, &sent[1].frame);
    CHECK_INT(receive(), 1);
    CHECK(next_event(&event));
    CHECK_INT(event.kind, IPCNET_LINK_DROPPED);
    CHECK_INT(ipcnet_can_note_event(&can, &event), 1);
    CHECK(!next_event(&event));
    say(5, 1, 0, &sent[2].frame);
    CHECK_INT(receive(), 0);
    CHECK(next_event(&event));
    CHECK_INT(event.kind, IPCNET_LINK_DROPPED);
    CHECK_INT(ipcnet_can_note_event(&can, &event), 1);
    CHECK(next_event(&event));
    CHECK_INT(event.kind, IPCNET_LINK_PURGED);
    CHECK_INT(ipcnet_can_in_flight_frames(&can), 0);
    disconnected();
}

static void states_links_and_restarts(void)
{
    struct ipcnet_can_link_event event;
    struct ipcnet_can_link link;
    connected(false, 8);
    CHECK(ipcnet_can_restart(&can, &event)); /* not bus-off: says how it is */
    CHECK_INT(event.kind, IPCNET_LINK_BUS_STATE);
    CHECK_INT(event.a, 0);
    say(8, 3, 256u << 16 | 5, NULL);
    CHECK_INT(receive(), 0);
    CHECK(next_event(&event));
    CHECK_INT(event.kind, IPCNET_LINK_BUS_STATE);
    CHECK_INT(event.a, 3);
    CHECK_INT(os.link_query(os.context, 1, &link), 0);
    CHECK_INT(link.tec, 256);
    CHECK_INT(link.rec, 5);
    CHECK(!ipcnet_can_restart(&can, &event));
    struct record control = hear();
    CHECK_INT(control.kind, 7);
    CHECK_INT(control.arg, 2);
    say(6, 0, 0, NULL);
    CHECK_INT(receive(), 0);
    CHECK(next_event(&event));
    CHECK_INT(event.kind, IPCNET_LINK_DOWN);
    CHECK_INT(send_frame(1, 0, 1, 1), IPCNET_CAN_LINK_DOWN);
    say(6, 1, 0, NULL);
    CHECK_INT(receive(), 0);
    CHECK(next_event(&event));
    CHECK_INT(event.kind, IPCNET_LINK_UP);
    disconnected();
}

/* The controller is there already: others use it, or did. */
static void a_shared_controller_is_met_as_it_is(void)
{
    struct ipcnet_can_link_event event;
    struct ipcnet_can_link link;
    greeted(false, 7);
    say(2, 0, 8, &(struct ipcnet_can_frame){ .can_id = 500000, .token = 3, .lost_before = 128u << 16 | 2, .data = { 2 } });
    CHECK_INT(receive(), 0);
    CHECK(next_event(&event));
    CHECK_INT(event.kind, IPCNET_LINK_UP);
    CHECK_INT(event.a, 3); /* frames of somebody before us */
    CHECK(next_event(&event));
    CHECK_INT(event.kind, IPCNET_LINK_BUS_STATE);
    CHECK_INT(event.a, 2);
    CHECK_INT(os.link_query(os.context, 1, &link), 0);
    CHECK_INT(link.tec, 128);
    CHECK_INT(os.tx_backlog(os.context, 1), 3);
    say(6, 0, 0, NULL); /* another one purges */
    say(6, 1, 0, NULL);
    CHECK_INT(receive(), 0);
    CHECK(next_event(&event));
    CHECK_INT(event.kind, IPCNET_LINK_DOWN);
    CHECK(next_event(&event));
    CHECK_INT(event.kind, IPCNET_LINK_UP);
    CHECK_INT(event.a, 0);
    CHECK_INT(os.tx_backlog(os.context, 1), 0);
    disconnected();

    greeted(false, 7);
    say(2, 2, 8, &(struct ipcnet_can_frame){ .can_id = 500000 });
    CHECK_INT(receive(), 0);
    CHECK(next_event(&event));
    CHECK_INT(event.kind, IPCNET_LINK_DOWN);
    CHECK_INT(send_frame(1, 0, 1, 1), IPCNET_CAN_LINK_DOWN);
    disconnected();
}

static void a_torn_stream_gives_the_same_frames(void)
{
    connected(false, 8);
    struct record record = { .kind = 3, .frame = { .can_id = 0x77, .length_bytes = 2, .data = { 5, 6 } } };
    for (size_t cut = 1; cut < sizeof record; cut++) {
        CHECK_INT(write(peer, &record, cut), cut);
        CHECK_INT(receive(), 0);
        CHECK_INT(write(peer, (const char *)&record + cut, sizeof record - cut), sizeof record - cut);
        CHECK_INT(receive(), 1);
        CHECK_INT(frames[0].can_id, 0x77);
    }
    for (int i = 0; i < 100; i++) say(3, 0, 0, &record.frame); /* more than one buffer */
    CHECK_INT(receive(), 100);
    say(200, 0, 0, NULL); /* of a kind not known yet */
    say(3, 0, 0, &record.frame);
    CHECK_INT(receive(), 1);
    disconnected();
}

static void a_peer_that_goes_or_refuses_is_gone(void)
{
    struct ipcnet_can_link_event event;
    connected(false, 8);
    say(9, 0, 0, &(struct ipcnet_can_frame){ .data = "no bus of that name" });
    close(peer);
    CHECK_INT(receive(), 0);
    CHECK(next_event(&event));
    CHECK_INT(event.kind, IPCNET_LINK_GONE);
    CHECK(!next_event(&event));
    CHECK_INT(receive(), 0);
    CHECK(!next_event(&event)); /* told once */
    CHECK(strcmp(ipcnet_can_last_link(&can)->refusal, "no bus of that name") == 0);
    CHECK_INT(send_frame(1, 0, 1, 1), IPCNET_CAN_LINK_DOWN);
    peer = dup(listener);
    disconnected();
    CHECK_INT(ipcnet_can_open(&can), IPCNET_CAN_NO_INTERFACE); /* the socket file is gone */
}

int main(void)
{
    the_link_is_known_after_the_welcome();
    frames_pass_both_ways_with_their_time();
    a_full_queue_is_enobufs();
    a_purge_ends_with_the_last_frame_in_flight();
    states_links_and_restarts();
    a_shared_controller_is_met_as_it_is();
    a_torn_stream_gives_the_same_frames();
    a_peer_that_goes_or_refuses_is_gone();
    return checks_report("emulator_socket");
}
