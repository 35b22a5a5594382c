/* One test per row of "what the gateway must do" (docs/specs/can-core.md), then walks over every phase and event. */
#include "bus_health.h"

#include <string.h>

#include "check.h"

#define MS 1000ull
#define SECOND 1000000ull

struct bench {
    struct ipcnet_bus_health health;
    uint64_t now_us;
    struct ipcnet_bus_effect effects[IPCNET_BUS_EFFECTS_MAX];
    size_t count;
};

static struct ipcnet_bus_health_options plain_options(void)
{
    /* 500 kbit/s: 320 µs a frame, queue of 16: 3 × 320 × 16 = 15.4 ms, so T is the 20 ms floor. */
    return (struct ipcnet_bus_health_options){ .frame_time_us = 320, .tx_queue_frames = 16, .dead_after_us = 20000, .probe_interval_us = 1000000,
        .restart_min_us = 100000, .restart_max_us = 5000000, .restart_budget = 10, .confirms = true, .listen_only = false };
}

static size_t feed2(struct bench *bench, enum ipcnet_bus_event_kind kind, uint32_t a, uint32_t b)
{
    struct ipcnet_bus_event event = { .kind = (uint32_t)kind, .a = a, .b = b };
    bench->count = ipcnet_bus_health_step(&bench->health, &event, bench->now_us, bench->effects);
    return bench->count;
}
static size_t feed(struct bench *bench, enum ipcnet_bus_event_kind kind, uint32_t a) { return feed2(bench, kind, a, 0); }

/* Ticks at each deadline on the way, as the driver's timer does; the effects of the last tick that had any remain. */
static void pass(struct bench *bench, uint64_t us)
{
    uint64_t end = bench->now_us + us;
    bench->count = 0;
    for (int guard = 0; guard < 100000; guard++) {
        uint64_t deadline = ipcnet_bus_health_next_deadline_us(&bench->health);
        if (deadline > end) break;
        if (deadline > bench->now_us) bench->now_us = deadline;
        struct bench before = *bench;
        if (feed(bench, IPCNET_EVENT_TICK, 0) == 0) {
            memcpy(bench->effects, before.effects, sizeof before.effects);
            bench->count = before.count;
        }
    }
    bench->now_us = end;
}

static const struct ipcnet_bus_effect *found(const struct bench *bench, enum ipcnet_bus_effect_kind kind)
{
    for (size_t i = 0; i < bench->count; i++) if (bench->effects[i].kind == (uint32_t)kind) return &bench->effects[i];
    return NULL;
}

static struct bench started(struct ipcnet_bus_health_options options)
{
    struct bench bench = { .now_us = 5 * SECOND };
    ipcnet_bus_health_init(&bench.health, &options, bench.now_us);
    feed(&bench, IPCNET_EVENT_LINK_UP, 0);
    return bench;
}
static struct bench up(void) { return started(plain_options()); }

static struct bench dead(void)
{
    struct bench bench = up();
    feed(&bench, IPCNET_EVENT_TX_QUEUED, 1);
    pass(&bench, 20 * MS);
    return bench;
}

static struct bench off(void)
{
    struct bench bench = up();
    feed(&bench, IPCNET_EVENT_ERROR_FRAME, IPCNET_CAN_ERR_BUSOFF);
    return bench;
}

/* ---- Rows --------------------------------------------------------------------------------------------------------------------------- */

static void starts_and_accepts(void)
{
    struct bench bench = { .now_us = 1 };
    struct ipcnet_bus_health_options options = plain_options();
    ipcnet_bus_health_init(&bench.health, &options, 1);
    CHECK_INT(ipcnet_bus_health_state(&bench.health), IPCNET_STATE_STARTING);
    CHECK(!ipcnet_bus_health_accepts(&bench.health));
    CHECK(ipcnet_bus_health_next_deadline_us(&bench.health) == UINT64_MAX);
    feed(&bench, IPCNET_EVENT_LINK_UP, 0);
    CHECK_INT(bench.count, 2);
    CHECK_INT(bench.effects[0].kind, IPCNET_EFFECT_STATE_CHANGED);
    CHECK_INT(bench.effects[0].a, IPCNET_STATE_UP);
    CHECK_INT(bench.effects[1].kind, IPCNET_EFFECT_ACCEPT_COMMANDS);
    CHECK(ipcnet_bus_health_accepts(&bench.health));
}

static void full_queue_with_echoes_drops_that_frame_only(void)
{
    struct bench bench = up();
    unsigned reports = 0;
    for (int i = 0; i < 1000; i++) { /* 10 s of a queue that is always full and always moving */
        feed(&bench, IPCNET_EVENT_TX_QUEUED, 1);
        bench.now_us += 5 * MS;
        feed(&bench, IPCNET_EVENT_TX_ECHO, 1);
        bench.now_us += 5 * MS;
        feed(&bench, IPCNET_EVENT_TX_NO_BUFFER, 0);
        CHECK(ipcnet_bus_health_accepts(&bench.health));
        if (found(&bench, IPCNET_EFFECT_REPORT_DROPS)) reports++;
        CHECK(!found(&bench, IPCNET_EFFECT_STATE_CHANGED));
        feed(&bench, IPCNET_EVENT_TICK, 0);
    }
    CHECK_INT(bench.health.phase, IPCNET_BUS_UP);
    CHECK_INT(bench.health.counters.no_buffer_frames, 1000);
    CHECK_INT(reports, 2); /* one a 5 s */
}

static void full_queue_in_a_burst_is_not_suspicious(void)
{
    struct bench bench = up();
    feed(&bench, IPCNET_EVENT_TX_QUEUED, 11);
    bench.now_us += 1 * MS;
    feed(&bench, IPCNET_EVENT_TX_NO_BUFFER, 0);
    CHECK_INT(bench.health.phase, IPCNET_BUS_UP);
}

static void full_queue_without_echoes_is_suspect_then_dead(void)
{
    struct bench bench = up(); /* the queue is full of somebody else's frames: we have none in it */
    feed(&bench, IPCNET_EVENT_TX_NO_BUFFER, 0);
    CHECK_INT(bench.health.phase, IPCNET_BUS_SUSPECT);
    CHECK_INT(found(&bench, IPCNET_EFFECT_STATE_CHANGED)->a, IPCNET_STATE_DEGRADED);
    CHECK_INT(found(&bench, IPCNET_EFFECT_STATE_CHANGED)->c, IPCNET_REASON_NO_BUFFER);
    struct bench saved = bench;
    pass(&bench, 20 * MS);
    CHECK_INT(bench.health.phase, IPCNET_BUS_PURGING);
    bench = saved;
    feed(&bench, IPCNET_EVENT_TX_ECHO, 1);
    CHECK_INT(bench.health.phase, IPCNET_BUS_UP);
    CHECK(!found(&bench, IPCNET_EFFECT_ACCEPT_COMMANDS)); /* it never stopped accepting */
}

static void missing_echo_is_a_dead_bus(void)
{
    struct bench bench = up();
    feed(&bench, IPCNET_EVENT_TX_QUEUED, 3);
    bench.now_us += 19999;
    feed(&bench, IPCNET_EVENT_TICK, 0);
    CHECK_INT(bench.health.phase, IPCNET_BUS_UP);
    bench.now_us += 1;
    feed(&bench, IPCNET_EVENT_TICK, 0);
    CHECK_INT(bench.health.phase, IPCNET_BUS_PURGING);
    CHECK_INT(bench.effects[0].kind, IPCNET_EFFECT_REFUSE_COMMANDS); /* first of all */
    CHECK_INT(found(&bench, IPCNET_EFFECT_STATE_CHANGED)->a, IPCNET_STATE_DEAD);
    CHECK_INT(found(&bench, IPCNET_EFFECT_STATE_CHANGED)->c, IPCNET_REASON_NO_ECHO);
    CHECK(found(&bench, IPCNET_EFFECT_PURGE));
    CHECK(!ipcnet_bus_health_accepts(&bench.health));
}

static void each_echo_gives_the_next_frame_its_own_time(void)
{
    struct bench bench = up();
    feed(&bench, IPCNET_EVENT_TX_QUEUED, 16);
    for (int i = 0; i < 15; i++) { /* a loaded bus: 15 ms for each, 225 ms in all, still alive */
        pass(&bench, 15 * MS);
        feed(&bench, IPCNET_EVENT_TX_ECHO, 1);
    }
    CHECK_INT(bench.health.phase, IPCNET_BUS_UP);
    CHECK_INT(bench.health.unconfirmed_frames, 1);
    pass(&bench, 20 * MS);
    CHECK_INT(bench.health.phase, IPCNET_BUS_PURGING);
}

static void slow_bus_gets_more_patience(void)
{
    struct ipcnet_bus_health_options options = plain_options();
    options.frame_time_us = ipcnet_can_frame_time_us(20000, 0, false); /* 8 ms a frame */
    struct bench bench = started(options);
    CHECK_INT(ipcnet_bus_health_echo_patience_us(&bench.health), 3 * 8000 * 16);
    options.dead_after_us = 1;
    options.frame_time_us = 1;
    bench = started(options);
    CHECK_INT(ipcnet_bus_health_echo_patience_us(&bench.health), 20000);
}

static void starved_bus_says_so(void)
{
    struct bench bench = up();
    feed(&bench, IPCNET_EVENT_TX_QUEUED, 1);
    bench.now_us += 15 * MS;
    feed(&bench, IPCNET_EVENT_RX_FRAME, 0);
    pass(&bench, 5 * MS);
    CHECK_INT(found(&bench, IPCNET_EFFECT_STATE_CHANGED)->c, IPCNET_REASON_STARVED);
}

static void passive_with_acknowledge_errors_is_dead_at_once(void)
{
    struct bench bench = up();
    feed(&bench, IPCNET_EVENT_TX_QUEUED, 1);
    feed2(&bench, IPCNET_EVENT_ERROR_FRAME, IPCNET_CAN_ERR_CRTL, 0x20);
    CHECK_INT(bench.health.phase, IPCNET_BUS_DEGRADED);
    CHECK_INT(found(&bench, IPCNET_EFFECT_EMERGENCY)->a, IPCNET_EMCY_ERROR_PASSIVE);
    feed(&bench, IPCNET_EVENT_ERROR_FRAME, IPCNET_CAN_ERR_ACK);
    feed(&bench, IPCNET_EVENT_ERROR_FRAME, IPCNET_CAN_ERR_ACK);
    CHECK_INT(bench.health.phase, IPCNET_BUS_DEGRADED);
    struct bench saved = bench;
    feed(&bench, IPCNET_EVENT_ERROR_FRAME, IPCNET_CAN_ERR_ACK);
    CHECK_INT(bench.health.phase, IPCNET_BUS_PURGING);
    CHECK_INT(found(&bench, IPCNET_EFFECT_STATE_CHANGED)->c, IPCNET_REASON_NO_ACKNOWLEDGE);
    bench = saved; /* an echo in between: somebody is there */
    feed(&bench, IPCNET_EVENT_TX_ECHO, 1);
    feed(&bench, IPCNET_EVENT_TX_QUEUED, 1);
    feed(&bench, IPCNET_EVENT_ERROR_FRAME, IPCNET_CAN_ERR_ACK);
    CHECK_INT(bench.health.phase, IPCNET_BUS_DEGRADED);
}

static void dead_purge_probe_rearm(void)
{
    struct bench bench = dead();
    CHECK_INT(bench.health.phase, IPCNET_BUS_PURGING);
    feed(&bench, IPCNET_EVENT_REARM, 0);
    CHECK_INT(bench.health.phase, IPCNET_BUS_PURGING);
    feed(&bench, IPCNET_EVENT_PURGED, 0);
    CHECK_INT(bench.health.phase, IPCNET_BUS_PROBING);
    CHECK(found(&bench, IPCNET_EFFECT_PROBE));
    feed(&bench, IPCNET_EVENT_REARM, 0);
    CHECK(!ipcnet_bus_health_accepts(&bench.health)); /* not proven */
    feed(&bench, IPCNET_EVENT_TX_ECHO, 1);            /* a late echo of a frame from before the purge proves nothing */
    CHECK_INT(bench.health.phase, IPCNET_BUS_PROBING);
    feed(&bench, IPCNET_EVENT_PROBE_ECHO, 0);
    CHECK_INT(bench.health.phase, IPCNET_BUS_PROVEN);
    CHECK_INT(ipcnet_bus_health_state(&bench.health), IPCNET_STATE_DEAD);
    CHECK(!ipcnet_bus_health_accepts(&bench.health)); /* not re-armed */
    feed(&bench, IPCNET_EVENT_REARM, 0);
    CHECK_INT(bench.health.phase, IPCNET_BUS_UP);
    CHECK(found(&bench, IPCNET_EFFECT_ACCEPT_COMMANDS));
    CHECK_INT(bench.health.unconfirmed_frames, 0);
}

static void probes_once_a_second_one_at_a_time(void)
{
    struct bench bench = dead();
    feed(&bench, IPCNET_EVENT_PURGED, 0);
    CHECK_INT(bench.health.counters.probes, 1);
    pass(&bench, 3 * SECOND); /* the controller repeats the waiting probe by itself: no second one joins it */
    CHECK_INT(bench.health.counters.probes, 1);
    feed(&bench, IPCNET_EVENT_PROBE_FAILED, 0);
    pass(&bench, 3 * SECOND);
    CHECK_INT(bench.health.counters.probes, 2);
    uint64_t purges = bench.health.counters.purges;
    pass(&bench, 4 * SECOND); /* ten intervals in all: the adapter must have lost it */
    CHECK_INT(bench.health.phase, IPCNET_BUS_PURGING);
    CHECK_INT(bench.health.counters.purges, purges + 1);
    CHECK_INT(bench.health.reason, IPCNET_REASON_NO_ECHO);
}

static void proof_is_kept_fresh(void)
{
    struct bench bench = dead();
    feed(&bench, IPCNET_EVENT_PURGED, 0);
    feed(&bench, IPCNET_EVENT_PROBE_ECHO, 0);
    pass(&bench, 1 * SECOND);
    CHECK(found(&bench, IPCNET_EFFECT_PROBE));
    feed(&bench, IPCNET_EVENT_PROBE_ECHO, 0);
    pass(&bench, 2 * SECOND); /* the next one stays unanswered: the motors lost power again */
    CHECK_INT(bench.health.phase, IPCNET_BUS_PROBING);
    feed(&bench, IPCNET_EVENT_REARM, 0);
    CHECK(!ipcnet_bus_health_accepts(&bench.health));
}

static void purge_without_the_right_stays_refusing(void)
{
    struct bench bench = dead();
    feed(&bench, IPCNET_EVENT_PURGE_FAILED, 1);
    CHECK_INT(bench.health.phase, IPCNET_BUS_UNPURGEABLE);
    CHECK_INT(found(&bench, IPCNET_EFFECT_STATE_CHANGED)->c, IPCNET_REASON_PURGE_FORBIDDEN);
    CHECK_INT(found(&bench, IPCNET_EFFECT_STATE_CHANGED)->d, IPCNET_REASON_NO_ECHO);
    unsigned purges = 0, told = 0;
    for (int i = 0; i < 60; i++) {
        pass(&bench, 1 * SECOND);
        if (found(&bench, IPCNET_EFFECT_PURGE)) purges++;
        if (found(&bench, IPCNET_EFFECT_STATE_CHANGED)) told++;
        feed(&bench, IPCNET_EVENT_PURGE_FAILED, 1);
        feed(&bench, IPCNET_EVENT_TX_ECHO, 1);
        feed(&bench, IPCNET_EVENT_PROBE_ECHO, 0);
        feed(&bench, IPCNET_EVENT_REARM, 0);
        CHECK(!ipcnet_bus_health_accepts(&bench.health));
    }
    CHECK_INT(purges, 12); /* asked again each 5 s, quietly */
    CHECK_INT(told, 0);
    feed(&bench, IPCNET_EVENT_PURGED, 0); /* the right was granted */
    CHECK_INT(bench.health.phase, IPCNET_BUS_PROBING);
}

static void purge_without_an_answer_is_asked_again_then_given_up(void)
{
    struct bench bench = dead();
    pass(&bench, 1 * SECOND);
    CHECK_INT(bench.health.counters.purges, 2);
    pass(&bench, 2 * SECOND);
    CHECK_INT(bench.health.counters.purges, 3);
    CHECK_INT(bench.health.phase, IPCNET_BUS_UNPURGEABLE);
    CHECK_INT(bench.health.reason, IPCNET_REASON_PURGE_FAILED);
}

/* Whoever would have done it may be back at any moment: what waits in the controller is as old as that. */
static void purge_that_failed_is_asked_for_again_each_second(void)
{
    struct bench bench = dead();
    feed(&bench, IPCNET_EVENT_PURGE_FAILED, 0);
    CHECK_INT(bench.health.phase, IPCNET_BUS_UNPURGEABLE);
    for (int i = 0; i < 5; i++) {
        pass(&bench, 1 * SECOND - 1);
        CHECK(!found(&bench, IPCNET_EFFECT_PURGE));
        pass(&bench, 1);
        CHECK(found(&bench, IPCNET_EFFECT_PURGE) != NULL);
        feed(&bench, IPCNET_EVENT_PURGE_FAILED, 0);
    }
    feed(&bench, IPCNET_EVENT_PURGED, 0);
    CHECK_INT(bench.health.phase, IPCNET_BUS_PROBING);
}

static void warning_and_passive_with_echoes_degrade(void)
{
    struct bench bench = up();
    feed2(&bench, IPCNET_EVENT_ERROR_FRAME, IPCNET_CAN_ERR_CRTL, 0x08);
    CHECK_INT(found(&bench, IPCNET_EFFECT_STATE_CHANGED)->a, IPCNET_STATE_DEGRADED);
    CHECK_INT(found(&bench, IPCNET_EFFECT_STATE_CHANGED)->c, IPCNET_REASON_ERROR_WARNING);
    feed2(&bench, IPCNET_EVENT_ERROR_FRAME, IPCNET_CAN_ERR_CRTL, 0x08);
    CHECK_INT(bench.count, 0); /* told once */
    feed(&bench, IPCNET_EVENT_BUS_STATE, 2);
    CHECK_INT(found(&bench, IPCNET_EFFECT_STATE_CHANGED)->c, IPCNET_REASON_ERROR_PASSIVE);
    CHECK(ipcnet_bus_health_accepts(&bench.health));
    feed2(&bench, IPCNET_EVENT_ERROR_FRAME, IPCNET_CAN_ERR_CRTL, 0x40);
    CHECK_INT(bench.health.phase, IPCNET_BUS_UP);
}

static void bus_off_purges_waits_restarts_recovers(void)
{
    struct bench bench = off();
    CHECK_INT(bench.effects[0].kind, IPCNET_EFFECT_REFUSE_COMMANDS);
    CHECK_INT(found(&bench, IPCNET_EFFECT_STATE_CHANGED)->a, IPCNET_STATE_BUS_OFF);
    CHECK(found(&bench, IPCNET_EFFECT_PURGE) && !found(&bench, IPCNET_EFFECT_RESTART_BUS)); /* purge first */
    feed(&bench, IPCNET_EVENT_PURGED, 0);
    CHECK_INT(bench.health.phase, IPCNET_BUS_OFF_WAITING);
    pass(&bench, 99 * MS);
    CHECK_INT(bench.health.phase, IPCNET_BUS_OFF_WAITING);
    pass(&bench, 1 * MS);
    CHECK(found(&bench, IPCNET_EFFECT_RESTART_BUS));
    feed(&bench, IPCNET_EVENT_ERROR_FRAME, IPCNET_CAN_ERR_RESTARTED);
    CHECK_INT(bench.health.phase, IPCNET_BUS_PROBING);
    CHECK_INT(found(&bench, IPCNET_EFFECT_EMERGENCY)->a, 0x8140);
    CHECK(found(&bench, IPCNET_EFFECT_PROBE));
    feed(&bench, IPCNET_EVENT_PROBE_ECHO, 0);
    feed(&bench, IPCNET_EVENT_REARM, 0);
    CHECK(ipcnet_bus_health_accepts(&bench.health));
}

static void bus_off_back_off_doubles_up_to_the_budget(void)
{
    static const uint64_t expected_ms[] = { 100, 200, 400, 800, 1600, 3200, 5000, 5000, 5000, 5000 };
    struct bench bench = off();
    for (size_t i = 0; i < 10; i++) {
        feed(&bench, IPCNET_EVENT_PURGED, 0);
        CHECK_INT(ipcnet_bus_health_next_deadline_us(&bench.health) - bench.now_us, expected_ms[i] * MS);
        pass(&bench, expected_ms[i] * MS);
        CHECK_INT(bench.health.phase, IPCNET_BUS_OFF_RESTARTING);
        feed(&bench, IPCNET_EVENT_BUS_STATE, 3); /* off again at once */
        CHECK_INT(bench.health.phase, IPCNET_BUS_OFF_PURGING);
    }
    feed(&bench, IPCNET_EVENT_PURGED, 0);
    pass(&bench, 5 * SECOND);
    CHECK_INT(bench.health.phase, IPCNET_BUS_OFF_GIVEN_UP);
    CHECK_INT(bench.health.reason, IPCNET_REASON_RESTART_BUDGET_SPENT);
    pass(&bench, 3600 * SECOND);
    CHECK_INT(bench.health.counters.restarts, 10);
    feed(&bench, IPCNET_EVENT_REARM, 0); /* somebody looked at it: a new budget, and from the beginning */
    CHECK_INT(bench.health.phase, IPCNET_BUS_OFF_PURGING);
    CHECK_INT(bench.health.restarts_used, 0);
    CHECK(!ipcnet_bus_health_accepts(&bench.health));
}

static void bus_off_budget_is_refilled_by_a_quiet_minute(void)
{
    struct bench bench = off();
    for (int i = 0; i < 3; i++) {
        feed(&bench, IPCNET_EVENT_PURGED, 0);
        pass(&bench, ipcnet_bus_health_next_deadline_us(&bench.health) - bench.now_us);
        feed(&bench, IPCNET_EVENT_BUS_STATE, 0);
        feed(&bench, IPCNET_EVENT_PROBE_ECHO, 0);
        if (i == 2) break;
        feed(&bench, IPCNET_EVENT_BUS_STATE, 3);
    }
    CHECK_INT(bench.health.restarts_used, 3);
    feed(&bench, IPCNET_EVENT_REARM, 0);
    CHECK(ipcnet_bus_health_accepts(&bench.health));
    pass(&bench, 60 * SECOND);
    feed(&bench, IPCNET_EVENT_BUS_STATE, 3);
    CHECK_INT(bench.health.restarts_used, 0);
}

static void refused_or_unanswered_restart_counts_against_the_budget(void)
{
    struct bench bench = off();
    feed(&bench, IPCNET_EVENT_PURGED, 0);
    pass(&bench, 100 * MS);
    feed(&bench, IPCNET_EVENT_RESTART_FAILED, 0);
    CHECK_INT(bench.health.phase, IPCNET_BUS_OFF_WAITING);
    pass(&bench, 200 * MS);
    CHECK_INT(bench.health.phase, IPCNET_BUS_OFF_RESTARTING);
    pass(&bench, 1 * SECOND);
    CHECK_INT(bench.health.phase, IPCNET_BUS_OFF_WAITING);
    CHECK_INT(bench.health.restarts_used, 2);
}

static void overflow_is_counted_and_not_fatal(void)
{
    struct bench bench = up();
    feed(&bench, IPCNET_EVENT_TX_QUEUED, 5);
    feed(&bench, IPCNET_EVENT_OVERFLOW, 17);
    CHECK_INT(bench.count, 0);
    CHECK_INT(bench.health.counters.lost_frames, 17);
    pass(&bench, 1 * SECOND); /* the echoes may be among the lost: no accusation */
    CHECK_INT(bench.health.phase, IPCNET_BUS_UP);
    feed(&bench, IPCNET_EVENT_TX_QUEUED, 1);
    pass(&bench, 20 * MS);
    CHECK_INT(bench.health.phase, IPCNET_BUS_PURGING);
    feed2(&bench, IPCNET_EVENT_ERROR_FRAME, IPCNET_CAN_ERR_CRTL, 0x01);
    CHECK_INT(found(&bench, IPCNET_EFFECT_EMERGENCY)->a, IPCNET_EMCY_OVERRUN);
}

static void lost_link_is_waited_for_and_proven(void)
{
    struct bench bench = up();
    feed(&bench, IPCNET_EVENT_TX_QUEUED, 5);
    feed(&bench, IPCNET_EVENT_LINK_DOWN, 0);
    CHECK_INT(found(&bench, IPCNET_EFFECT_STATE_CHANGED)->a, IPCNET_STATE_DOWN);
    CHECK(found(&bench, IPCNET_EFFECT_REOPEN));
    CHECK(!ipcnet_bus_health_accepts(&bench.health));
    CHECK(ipcnet_bus_health_next_deadline_us(&bench.health) == UINT64_MAX);
    feed(&bench, IPCNET_EVENT_LINK_UP, 0);
    CHECK_INT(bench.health.phase, IPCNET_BUS_PROBING); /* whoever is there now must acknowledge first */
    CHECK_INT(found(&bench, IPCNET_EFFECT_STATE_CHANGED)->d, IPCNET_REASON_LINK_DOWN);
    feed(&bench, IPCNET_EVENT_PROBE_ECHO, 0);
    feed(&bench, IPCNET_EVENT_REARM, 0);
    CHECK(ipcnet_bus_health_accepts(&bench.health));
}

static void frames_of_a_predecessor_are_purged_before_anything_is_accepted(void)
{
    struct bench bench = { .now_us = 1 };
    struct ipcnet_bus_health_options options = plain_options();
    ipcnet_bus_health_init(&bench.health, &options, 1);
    feed(&bench, IPCNET_EVENT_LINK_UP, 9);
    CHECK_INT(bench.health.phase, IPCNET_BUS_PURGING);
    CHECK_INT(bench.health.reason, IPCNET_REASON_STALE_QUEUE);
    CHECK(found(&bench, IPCNET_EFFECT_PURGE));
    CHECK(!found(&bench, IPCNET_EFFECT_ACCEPT_COMMANDS));
}

static void without_echoes_only_a_foreign_frame_proves_life(void)
{
    struct ipcnet_bus_health_options options = plain_options();
    options.confirms = false;
    struct bench bench = started(options);
    feed(&bench, IPCNET_EVENT_TX_QUEUED, 5);
    pass(&bench, 10 * SECOND);
    feed(&bench, IPCNET_EVENT_TX_NO_BUFFER, 0);
    CHECK_INT(bench.health.phase, IPCNET_BUS_UP); /* nothing can be concluded */
    feed(&bench, IPCNET_EVENT_LINK_DOWN, 0);
    feed(&bench, IPCNET_EVENT_LINK_UP, 0);
    CHECK_INT(bench.health.phase, IPCNET_BUS_PROBING);
    feed(&bench, IPCNET_EVENT_RX_FRAME, 0);
    CHECK_INT(bench.health.phase, IPCNET_BUS_PROVEN);
}

static void a_listener_never_sends_anything(void)
{
    struct ipcnet_bus_health_options options = plain_options();
    options.listen_only = true;
    struct bench bench = started(options);
    CHECK_INT(ipcnet_bus_health_state(&bench.health), IPCNET_STATE_UP);
    CHECK(!ipcnet_bus_health_accepts(&bench.health));
    feed(&bench, IPCNET_EVENT_LINK_DOWN, 0);
    feed(&bench, IPCNET_EVENT_LINK_UP, 3);
    CHECK_INT(ipcnet_bus_health_state(&bench.health), IPCNET_STATE_UP);
    CHECK_INT(bench.health.counters.probes, 0);
    CHECK_INT(bench.health.counters.purges, 0);
}

static void frame_times(void)
{
    CHECK_INT(ipcnet_can_frame_time_us(1000000, 0, false), 160);
    CHECK_INT(ipcnet_can_frame_time_us(500000, 0, false), 320);
    CHECK_INT(ipcnet_can_frame_time_us(500000, 2000000, true), 160 + 340);
    CHECK_INT(ipcnet_can_frame_time_us(0, 0, false), 0);
}

/* ---- Walks -------------------------------------------------------------------------------------------------------------------------- */

static bool accepting_phase(uint8_t phase) { return phase == IPCNET_BUS_UP || phase == IPCNET_BUS_DEGRADED || phase == IPCNET_BUS_SUSPECT; }

static void the_table_is_whole(void)
{
    bool reachable[IPCNET_BUS_PHASES] = { [IPCNET_BUS_DOWN] = true };
    for (int round = 0; round < IPCNET_BUS_PHASES; round++)
        for (int phase = 0; phase < IPCNET_BUS_PHASES; phase++)
            for (int signal = 0; signal < IPCNET_SIGNALS; signal++) {
                uint8_t cell = ipcnet_bus_health_cell((enum ipcnet_bus_phase)phase, (enum ipcnet_bus_signal)signal);
                CHECK(cell != IPCNET_CELL_MISSING);
                CHECK(cell < IPCNET_BUS_PHASES || cell >= IPCNET_CELL_RESUME);
                if (!reachable[phase]) continue;
                if (cell < IPCNET_BUS_PHASES) reachable[cell] = true;
                if (cell == IPCNET_CELL_RESUME) reachable[IPCNET_BUS_UP] = reachable[IPCNET_BUS_DEGRADED] = true;
            }
    for (int phase = 0; phase < IPCNET_BUS_PHASES; phase++) {
        CHECK(reachable[phase]);
        /* From everywhere a refusing phase is one signal away, and a lost link is always noticed. */
        uint8_t lost = ipcnet_bus_health_cell((enum ipcnet_bus_phase)phase, IPCNET_SIGNAL_LINK_DOWN);
        CHECK(lost == IPCNET_BUS_DOWN || phase == IPCNET_BUS_DOWN);
        /* Back to accepting: only by the first link, or by a re-arm of a proven bus. */
        if (accepting_phase((uint8_t)phase)) continue;
        for (int signal = 0; signal < IPCNET_SIGNALS; signal++) {
            uint8_t cell = ipcnet_bus_health_cell((enum ipcnet_bus_phase)phase, (enum ipcnet_bus_signal)signal);
            bool opens = cell == IPCNET_CELL_RESUME || (cell < IPCNET_BUS_PHASES && accepting_phase(cell));
            bool may = (phase == IPCNET_BUS_DOWN && signal == IPCNET_SIGNAL_LINK_UP) || (phase == IPCNET_BUS_PROVEN && signal == IPCNET_SIGNAL_REARM);
            CHECK(opens == may);
        }
    }
    CHECK(ipcnet_bus_phase_name(IPCNET_BUS_OFF_GIVEN_UP) != NULL && ipcnet_bus_signal_name(IPCNET_SIGNAL_PATIENCE_SPENT) != NULL);
}

static uint32_t seed = 20260922u;
static uint32_t random_below(uint32_t limit)
{
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)seed * limit) >> 32);
}

static void check_promises(const struct bench *before, const struct bench *after, const struct ipcnet_bus_event *event)
{
    CHECK(after->count <= IPCNET_BUS_EFFECTS_MAX - 2);
    bool was = accepting_phase(before->health.phase), is = accepting_phase(after->health.phase);
    bool passed_through = after->count > 4; /* a combined error frame: judged by its end only */
    for (size_t i = 0; i < after->count; i++) {
        const struct ipcnet_bus_effect *effect = &after->effects[i];
        CHECK(effect->kind < IPCNET_EFFECTS);
        if (effect->kind == IPCNET_EFFECT_PROBE) CHECK(!is);
        if (effect->kind == IPCNET_EFFECT_RESTART_BUS) CHECK(after->health.phase == IPCNET_BUS_OFF_RESTARTING);
    }
    if (was && !is) CHECK(found(after, IPCNET_EFFECT_REFUSE_COMMANDS));
    if (!was && is && !passed_through) CHECK(found(after, IPCNET_EFFECT_ACCEPT_COMMANDS) && !found(after, IPCNET_EFFECT_REFUSE_COMMANDS));
    if (!was && is) CHECK(event->kind == IPCNET_EVENT_REARM || event->kind == IPCNET_EVENT_LINK_UP);
    if (was == is && !passed_through) CHECK(!found(after, IPCNET_EFFECT_ACCEPT_COMMANDS));
    if (before->health.phase != after->health.phase) CHECK(found(after, IPCNET_EFFECT_STATE_CHANGED));
}

static void any_sequence_keeps_the_promises(void)
{
    bool visited[IPCNET_BUS_PHASES][IPCNET_EVENTS] = { { false } };
    for (int run = 0; run < 400; run++) {
        struct ipcnet_bus_health_options options = plain_options();
        options.confirms = run % 5 != 0;
        options.restart_budget = random_below(4);
        struct bench bench = { .now_us = 1000 };
        ipcnet_bus_health_init(&bench.health, &options, bench.now_us);
        for (int i = 0; i < 2000; i++) {
            uint32_t kind = random_below(IPCNET_EVENTS);
            /* Some events are so final that the rest would hardly be seen: let them be rarer, and help it back on its feet. */
            if ((kind == IPCNET_EVENT_LINK_DOWN || kind == IPCNET_EVENT_PURGE_FAILED) && random_below(8) != 0) kind = IPCNET_EVENT_TICK;
            if (bench.health.phase == IPCNET_BUS_DOWN && random_below(4) == 0) kind = IPCNET_EVENT_LINK_UP;
            uint32_t a = kind == IPCNET_EVENT_BUS_STATE ? random_below(5) : kind == IPCNET_EVENT_ERROR_FRAME ? random_below(0x200) : random_below(3);
            if (kind == IPCNET_EVENT_ERROR_FRAME && random_below(2)) a &= ~IPCNET_CAN_ERR_BUSOFF;
            if (kind == IPCNET_EVENT_LINK_UP) a = random_below(6) == 0 ? 3 : 0;
            struct ipcnet_bus_event event = { .kind = kind, .a = a, .b = random_below(256) };
            if (random_below(3) == 0) bench.now_us += random_below(2) ? random_below(30000) : random_below(2000000);
            struct bench before = bench;
            visited[bench.health.phase][kind] = true;
            bench.count = ipcnet_bus_health_step(&bench.health, &event, bench.now_us, bench.effects);
            check_promises(&before, &bench, &event);
            if (kind == IPCNET_EVENT_TICK) CHECK(ipcnet_bus_health_next_deadline_us(&bench.health) > bench.now_us);
        }
    }
    for (int phase = 0; phase < IPCNET_BUS_PHASES; phase++)
        for (int kind = 0; kind < IPCNET_EVENTS; kind++) {
            if (!visited[phase][kind]) fprintf(stderr, "never walked: %s × event %d\n", ipcnet_bus_phase_name((enum ipcnet_bus_phase)phase), kind);
            CHECK(visited[phase][kind]);
        }
}

/* The table as the specification shows it. `bus_health_test --table` prints it; otherwise it is compared with what the page says. */
static size_t print_table(char *to, size_t size)
{
    size_t length = 0;
    for (int phase = 0; phase < IPCNET_BUS_PHASES; phase++) {
        length += (size_t)snprintf(to + length, size - length, "| %s |", ipcnet_bus_phase_name((enum ipcnet_bus_phase)phase));
        const char *between = " ";
        for (int signal = 0; signal < IPCNET_SIGNALS; signal++) {
            uint8_t cell = ipcnet_bus_health_cell((enum ipcnet_bus_phase)phase, (enum ipcnet_bus_signal)signal);
            if (cell == IPCNET_CELL_STAY) continue;
            const char *target = cell == IPCNET_CELL_AGAIN ? "again" : cell == IPCNET_CELL_RESUME ? "up/degraded" : ipcnet_bus_phase_name((enum ipcnet_bus_phase)cell);
            length += (size_t)snprintf(to + length, size - length, "%s%s → %s", between, ipcnet_bus_signal_name((enum ipcnet_bus_signal)signal), target);
            between = ", ";
        }
        length += (size_t)snprintf(to + length, size - length, " |\n");
    }
    return length;
}

static void the_specification_shows_this_table(void)
{
    static char table[8192], page[65536];
    print_table(table, sizeof table);
    FILE *file = fopen("docs/specs/can-core.md", "re");
    if (file == NULL) {
        printf("bus_health: not run from the project's root: the specification was not compared\n");
        return;
    }
    page[fread(page, 1, sizeof page - 1, file)] = '\0';
    fclose(file);
    CHECK(strstr(page, table) != NULL);
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--table") == 0) {
        static char table[8192];
        return fwrite(table, 1, print_table(table, sizeof table), stdout) > 0 ? 0 : 1;
    }
    the_specification_shows_this_table();
    starts_and_accepts();
    full_queue_with_echoes_drops_that_frame_only();
    full_queue_in_a_burst_is_not_suspicious();
    full_queue_without_echoes_is_suspect_then_dead();
    missing_echo_is_a_dead_bus();
    each_echo_gives_the_next_frame_its_own_time();
    slow_bus_gets_more_patience();
    starved_bus_says_so();
    passive_with_acknowledge_errors_is_dead_at_once();
    dead_purge_probe_rearm();
    probes_once_a_second_one_at_a_time();
    proof_is_kept_fresh();
    purge_without_the_right_stays_refusing();
    purge_without_an_answer_is_asked_again_then_given_up();
    purge_that_failed_is_asked_for_again_each_second();
    warning_and_passive_with_echoes_degrade();
    bus_off_purges_waits_restarts_recovers();
    bus_off_back_off_doubles_up_to_the_budget();
    bus_off_budget_is_refilled_by_a_quiet_minute();
    refused_or_unanswered_restart_counts_against_the_budget();
    overflow_is_counted_and_not_fatal();
    lost_link_is_waited_for_and_proven();
    frames_of_a_predecessor_are_purged_before_anything_is_accepted();
    without_echoes_only_a_foreign_frame_proves_life();
    a_listener_never_sends_anything();
    frame_times();
    the_table_is_whole();
    any_sequence_keeps_the_promises();
    return checks_report("bus_health");
}
