/* The poller's thread against an emulated bus's socket: nothing lost, nothing reordered, losses counted, requests answered. Run under the thread sanitizer too. */
#include "bus_poller.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "check.h"
#include "emulator_socket.h"

struct record {
    uint8_t kind, arg;
    uint16_t reserved;
    uint32_t value;
    struct ipcnet_can_frame frame;
};

#define RING 256u
static struct ipcnet_emulator emulator;
static struct ipcnet_can_os os;
static struct ipcnet_can can;
static struct ipcnet_bus_poller poller;
static struct ipcnet_can_frame ring[RING], out[RING];
static int listener = -1, peer = -1, woken_fd;
static char path[64];

static void wake(void *context)
{
    const uint64_t one = 1;
    (void)context;
    (void)!write(woken_fd, &one, sizeof one);
}

/* Sleeps until the thread has something, as an event loop does. False after five seconds of nothing. */
static bool wait_for_wake(void)
{
    struct pollfd wanted = { .fd = woken_fd, .events = POLLIN };
    uint64_t count;
    if (poll(&wanted, 1, 5000) <= 0) return false;
    (void)!read(woken_fd, &count, sizeof count);
    ipcnet_bus_poller_woken(&poller);
    return true;
}

static void say(uint8_t kind, uint8_t arg, uint32_t value, uint32_t id)
{
    struct record record = { .kind = kind, .arg = arg, .value = value, .frame = { .can_id = id, .length_bytes = 4 } };
    memcpy(record.frame.data, &id, sizeof id);
    CHECK_INT(write(peer, &record, sizeof record), sizeof record);
}

static bool await_event(uint32_t kind, struct ipcnet_can_link_event *event)
{
    for (int tries = 0; tries < 1000; tries++) {
        while (ipcnet_bus_poller_next_event(&poller, event)) {
            (void)ipcnet_can_note_event(&can, event);
            if (event->kind == kind) return true;
        }
        if (!wait_for_wake()) return false;
    }
    return false;
}

static void started(void)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    struct ipcnet_can_link_event event;
    struct record hello;
    struct ipcnet_can_config config = { .tx_queue_frames = 64 };
    snprintf(path, sizeof path, "/tmp/ipcnet-poller-test-%d.sock", (int)getpid());
    snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
    snprintf(config.interface, sizeof config.interface, "%s", path);
    unlink(path);
    listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CHECK_INT(bind(listener, (const struct sockaddr *)&address, sizeof address), 0);
    CHECK_INT(listen(listener, 4), 0);
    ipcnet_emulator_init(&emulator, "arm", "test", false);
    os = ipcnet_emulator_os(&emulator);
    ipcnet_can_init(&can, &config, &os);
    CHECK_INT(ipcnet_bus_poller_init(&poller, &can, ring, RING, wake, NULL), 0);
    CHECK_INT(ipcnet_can_open(&can), IPCNET_CAN_OK);
    peer = accept(listener, NULL, NULL);
    CHECK_INT(read(peer, &hello, sizeof hello), sizeof hello);
    CHECK_INT(ipcnet_bus_poller_start(&poller), 0);
    CHECK_INT(ipcnet_bus_poller_start(&poller), 0);
    say(2, 0, 64, 500000);
    CHECK(await_event(IPCNET_LINK_UP, &event));
}

static void ended(void)
{
    ipcnet_bus_poller_destroy(&poller);
    ipcnet_bus_poller_destroy(&poller);
    ipcnet_can_close(&can);
    close(peer);
    close(listener);
    unlink(path);
}

static void a_flood_arrives_whole_and_in_order(void)
{
    started();
    uint32_t sent = 0, expected = 0;
    while (expected < 20000) {
        for (int i = 0; i < 200 && sent < 20000; i++) say(3, 0, 0, sent++); /* fewer than the ring holds, taken before the next run */
        while (expected < sent) {
            size_t got = ipcnet_bus_poller_drain(&poller, out, RING);
            for (size_t i = 0; i < got; i++, expected++) {
                uint32_t value;
                memcpy(&value, out[i].data, sizeof value);
                CHECK_INT(value, expected);
                CHECK_INT(out[i].lost_before, 0);
            }
            if (got == 0 && !wait_for_wake()) break;
        }
    }
    CHECK_INT(expected, 20000);
    CHECK(atomic_load(&poller.wake_ups) <= 20002); /* never more than one a frame, and the link's */
    ended();
}

static void a_sleeping_owner_is_told_what_it_missed(void)
{
    struct ipcnet_can_link_event event;
    started();
    for (uint32_t i = 0; i < 1000; i++) say(3, 0, 0, i);
    ipcnet_bus_poller_request(&poller, IPCNET_REQUEST_SYNC, 7);
    CHECK(await_event(IPCNET_LINK_SYNCED, &event));
    CHECK_INT(event.a, 7);
    CHECK_INT(ipcnet_bus_poller_drain(&poller, out, RING), RING); /* the barrier: all that had arrived was read */
    CHECK_INT(out[0].lost_before, 0);
    CHECK_INT(atomic_load(&poller.ring_lost_frames), 1000 - RING);
    say(3, 0, 0, 1000);
    size_t got;
    while ((got = ipcnet_bus_poller_drain(&poller, out, RING)) == 0) CHECK(wait_for_wake());
    CHECK_INT(out[0].lost_before, 1000 - RING);
    ended();
}

static void requests_are_served_by_the_thread(void)
{
    struct ipcnet_can_link_event event;
    struct record record;
    started();
    ipcnet_bus_poller_request(&poller, IPCNET_REQUEST_PURGE, 0);
    CHECK(await_event(IPCNET_LINK_PURGED, &event));
    CHECK_INT(read(peer, &record, sizeof record), sizeof record);
    CHECK_INT(record.kind, 7);
    ipcnet_bus_poller_request(&poller, IPCNET_REQUEST_RESTART, 0);
    CHECK(await_event(IPCNET_LINK_BUS_STATE, &event));
    close(peer);
    CHECK(await_event(IPCNET_LINK_GONE, &event));
    uint64_t wake_ups = atomic_load(&poller.wake_ups);
    ipcnet_bus_poller_request(&poller, IPCNET_REQUEST_SYNC, 1);
    CHECK(await_event(IPCNET_LINK_SYNCED, &event));
    CHECK(atomic_load(&poller.wake_ups) <= wake_ups + 2); /* it does not spin on the closed socket */
    peer = dup(listener);
    ended();
}

static bool barrier_is_posted(void)
{
    pthread_mutex_lock(&poller.events_lock);
    bool posted = poller.events_head != poller.events_tail && poller.events[(poller.events_head - 1) % IPCNET_BUS_EVENTS].kind == IPCNET_LINK_SYNCED;
    pthread_mutex_unlock(&poller.events_lock);
    return posted;
}

static void very_many_drops_are_an_overflow(void)
{
    struct ipcnet_can_link_event event;
    unsigned drops = 0;
    started();
    for (uint32_t i = 0; i < 600; i++) say(5, 1, 0, i);
    ipcnet_bus_poller_request(&poller, IPCNET_REQUEST_SYNC, 9);
    while (!barrier_is_posted() && wait_for_wake()) { } /* nothing is taken meanwhile */
    CHECK(ipcnet_bus_poller_next_event(&poller, &event));
    CHECK_INT(event.kind, IPCNET_LINK_OVERFLOW); /* "do not trust your count of frames in flight" */
    while (ipcnet_bus_poller_next_event(&poller, &event) && event.kind == IPCNET_LINK_DROPPED) drops++;
    CHECK_INT(drops, IPCNET_BUS_EVENTS - 64);
    CHECK_INT(event.kind, IPCNET_LINK_SYNCED);
    ended();
}

static void it_can_be_started_and_stopped_at_any_moment(void)
{
    started();
    for (int i = 0; i < 200; i++) {
        ipcnet_bus_poller_stop(&poller);
        ipcnet_bus_poller_stop(&poller);
        CHECK_INT(ipcnet_bus_poller_start(&poller), 0);
        if (i % 3 == 0) say(3, 0, 0, 1);
    }
    ended();
    CHECK_INT(ipcnet_bus_poller_init(&poller, &can, ring, 100, wake, NULL), -EINVAL);
}

int main(void)
{
    woken_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    a_flood_arrives_whole_and_in_order();
    a_sleeping_owner_is_told_what_it_missed();
    requests_are_served_by_the_thread();
    very_many_drops_are_an_overflow();
    it_can_be_started_and_stopped_at_any_moment();
    return checks_report("bus_poller");
}
