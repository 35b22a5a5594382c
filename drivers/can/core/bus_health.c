#include "bus_health.h"

#include <string.h>

/* ---- Limits ------------------------------------------------------------------------------------------------------------------------- */

#define DEAD_AFTER_MIN_US 20000u       /* a Node process is scheduled late by milliseconds; 20 ms is 87 full frames at 500 kbit/s */
#define QUEUE_MAX_FRAMES 4096u
#define ANSWER_PATIENCE_US 1000000u    /* for a purge or a restart that was asked for: link down/up takes up to 0.3 s on USB adapters */
#define PURGE_TRIES 3u
#define FORBIDDEN_RETRY_US 5000000u    /* a right may be granted */
#define FAILED_RETRY_US 1000000u       /* an adapter may come to its senses, whoever purges for us may be back; what waits in the controller must not wait for that */
#define PROBE_INTERVALS_UNANSWERED 10u /* then the adapter is taken to have lost the probe: purge and ask again */
#define BUDGET_REFILL_US 60000000u
#define REPORT_INTERVAL_US 5000000u
#define ACK_ERRORS_OF_A_DEAD_BUS 3u    /* one may be a node that just restarted; a dead bus gives one per retry, some 100 µs apart */

/* ---- The table ---------------------------------------------------------------------------------------------------------------------- */

/* Stored plus one, so that a hole (zero) would read as IPCNET_CELL_MISSING. ROW has one parameter per signal: the compiler refuses a row with too few cells. */
#define STAY ((uint8_t)(IPCNET_CELL_STAY + 1u))
#define AGAIN ((uint8_t)(IPCNET_CELL_AGAIN + 1u))
#define RESUME ((uint8_t)(IPCNET_CELL_RESUME + 1u))
#define TO(phase) (IPCNET_BUS_##phase + 1)
#define ROW(echo, full_alive, full_silent, warned, calmed, unacked, bus_off, restarted, link_down, link_up, link_back, link_stale, purged, forbidden, \
            purge_failed, restart_failed, answered, rearm, overdue, timer, spent)                                                                \
    { echo, full_alive, full_silent, warned, calmed, unacked, bus_off, restarted, link_down, link_up, link_back, link_stale, purged, forbidden,   \
      purge_failed, restart_failed, answered, rearm, overdue, timer, spent }

static const uint8_t table[IPCNET_BUS_PHASES][IPCNET_SIGNALS] = {
    [IPCNET_BUS_DOWN] = ROW(STAY, STAY, STAY, STAY, STAY, STAY, STAY, STAY, STAY, RESUME, TO(PROBING), TO(PURGING), STAY, STAY,
                            STAY, STAY, STAY, STAY, STAY, STAY, STAY),
    [IPCNET_BUS_UP] = ROW(STAY, STAY, TO(SUSPECT), TO(DEGRADED), STAY, TO(PURGING), TO(OFF_PURGING), STAY, TO(DOWN), STAY, STAY, STAY, STAY, STAY,
                          STAY, STAY, STAY, STAY, TO(PURGING), STAY, STAY),
    [IPCNET_BUS_DEGRADED] = ROW(STAY, STAY, TO(SUSPECT), AGAIN, TO(UP), TO(PURGING), TO(OFF_PURGING), STAY, TO(DOWN), STAY, STAY, STAY, STAY, STAY,
                                STAY, STAY, STAY, STAY, TO(PURGING), STAY, STAY),
    [IPCNET_BUS_SUSPECT] = ROW(RESUME, STAY, STAY, STAY, STAY, TO(PURGING), TO(OFF_PURGING), STAY, TO(DOWN), STAY, STAY, STAY, RESUME, STAY,
                               STAY, STAY, STAY, STAY, TO(PURGING), TO(PURGING), TO(PURGING)),
    [IPCNET_BUS_PURGING] = ROW(STAY, STAY, STAY, STAY, STAY, STAY, TO(OFF_PURGING), STAY, TO(DOWN), STAY, STAY, STAY, TO(PROBING), TO(UNPURGEABLE),
                               TO(UNPURGEABLE), STAY, STAY, STAY, STAY, AGAIN, TO(UNPURGEABLE)),
    [IPCNET_BUS_PROBING] = ROW(STAY, STAY, STAY, STAY, STAY, STAY, TO(OFF_PURGING), STAY, TO(DOWN), STAY, STAY, STAY, STAY, STAY,
                               STAY, STAY, TO(PROVEN), STAY, STAY, AGAIN, TO(PURGING)),
    [IPCNET_BUS_PROVEN] = ROW(STAY, STAY, STAY, STAY, STAY, STAY, TO(OFF_PURGING), STAY, TO(DOWN), STAY, STAY, STAY, STAY, STAY,
                              STAY, STAY, STAY, RESUME, STAY, AGAIN, TO(PROBING)),
    [IPCNET_BUS_UNPURGEABLE] = ROW(STAY, STAY, STAY, STAY, STAY, STAY, TO(OFF_PURGING), STAY, TO(DOWN), STAY, STAY, STAY, TO(PROBING), STAY,
                                   STAY, STAY, STAY, STAY, STAY, AGAIN, AGAIN),
    [IPCNET_BUS_OFF_PURGING] = ROW(STAY, STAY, STAY, STAY, STAY, STAY, STAY, STAY, TO(DOWN), STAY, STAY, STAY, TO(OFF_WAITING), TO(UNPURGEABLE),
                                   TO(UNPURGEABLE), STAY, STAY, STAY, STAY, AGAIN, TO(UNPURGEABLE)),
    /* The controller may already be alive here (link down/up restarts most drivers' controllers): the back-off is kept all the same, nothing is sent meanwhile. */
    [IPCNET_BUS_OFF_WAITING] = ROW(STAY, STAY, STAY, STAY, STAY, STAY, STAY, STAY, TO(DOWN), STAY, STAY, STAY, STAY, STAY,
                                   STAY, STAY, STAY, STAY, STAY, TO(OFF_RESTARTING), TO(OFF_GIVEN_UP)),
    [IPCNET_BUS_OFF_RESTARTING] = ROW(STAY, STAY, STAY, TO(PROBING), TO(PROBING), STAY, TO(OFF_PURGING), TO(PROBING), TO(DOWN), STAY, STAY, STAY, STAY, STAY,
                                      STAY, TO(OFF_WAITING), STAY, STAY, STAY, TO(OFF_WAITING), TO(OFF_WAITING)),
    [IPCNET_BUS_OFF_GIVEN_UP] = ROW(STAY, STAY, STAY, TO(PROBING), TO(PROBING), STAY, STAY, TO(PROBING), TO(DOWN), STAY, STAY, STAY, STAY, STAY,
                                    STAY, STAY, STAY, TO(OFF_PURGING), STAY, STAY, STAY),
};

static const enum ipcnet_bus_state outward[IPCNET_BUS_PHASES] = {
    [IPCNET_BUS_DOWN] = IPCNET_STATE_DOWN,           [IPCNET_BUS_UP] = IPCNET_STATE_UP,
    [IPCNET_BUS_DEGRADED] = IPCNET_STATE_DEGRADED,   [IPCNET_BUS_SUSPECT] = IPCNET_STATE_DEGRADED,
    [IPCNET_BUS_PURGING] = IPCNET_STATE_DEAD,        [IPCNET_BUS_PROBING] = IPCNET_STATE_DEAD,
    [IPCNET_BUS_PROVEN] = IPCNET_STATE_DEAD,         [IPCNET_BUS_UNPURGEABLE] = IPCNET_STATE_DEAD,
    [IPCNET_BUS_OFF_PURGING] = IPCNET_STATE_BUS_OFF, [IPCNET_BUS_OFF_WAITING] = IPCNET_STATE_BUS_OFF,
    [IPCNET_BUS_OFF_RESTARTING] = IPCNET_STATE_BUS_OFF, [IPCNET_BUS_OFF_GIVEN_UP] = IPCNET_STATE_BUS_OFF,
};

static const char *const phase_names[IPCNET_BUS_PHASES] = {
    "down", "up", "degraded", "suspect", "purging", "probing", "proven", "unpurgeable", "offPurging", "offWaiting", "offRestarting", "offGivenUp",
};

static const char *const signal_names[IPCNET_SIGNALS] = {
    "echo", "fullButAlive", "fullAndSilent", "warned", "calmed", "unacknowledged", "busOff", "restarted", "linkDown", "linkUp", "linkBack", "linkStale",
    "purged", "purgeForbidden", "purgeFailed", "restartFailed", "answered", "rearm", "overdue", "timer", "patienceSpent",
};

/* ---- Small questions ---------------------------------------------------------------------------------------------------------------- */

static bool accepting(uint8_t phase)
{
    return phase == IPCNET_BUS_UP || phase == IPCNET_BUS_DEGRADED || phase == IPCNET_BUS_SUSPECT;
}

bool ipcnet_bus_health_accepts(const struct ipcnet_bus_health *self)
{
    return accepting(self->phase) && !self->options.listen_only;
}

enum ipcnet_bus_state ipcnet_bus_health_state(const struct ipcnet_bus_health *self)
{
    return self->phase == IPCNET_BUS_DOWN && !self->was_up ? IPCNET_STATE_STARTING : outward[self->phase];
}

uint64_t ipcnet_bus_health_echo_patience_us(const struct ipcnet_bus_health *self)
{
    uint64_t drain_us = 3u * (uint64_t)self->options.frame_time_us * self->options.tx_queue_frames;
    return drain_us > self->options.dead_after_us ? drain_us : self->options.dead_after_us;
}

static bool awaits_echo(const struct ipcnet_bus_health *self)
{
    return accepting(self->phase) && self->options.confirms && self->unconfirmed_frames > 0;
}

uint64_t ipcnet_bus_health_next_deadline_us(const struct ipcnet_bus_health *self)
{
    uint64_t deadline = self->timer_us != 0 ? self->timer_us : UINT64_MAX;
    if (awaits_echo(self)) {
        uint64_t overdue = self->head_since_us + ipcnet_bus_health_echo_patience_us(self);
        if (overdue < deadline) deadline = overdue;
    }
    return deadline;
}

/* Echoes came, or frames began to wait, less than T ago: a full queue is then the sender's haste, not the bus's death. */
static bool echoes_arrive(const struct ipcnet_bus_health *self)
{
    uint64_t patience = ipcnet_bus_health_echo_patience_us(self);
    if (self->unconfirmed_frames > 0) return self->now_us - self->head_since_us < patience;
    return self->ever_echoed && self->now_us - self->last_echo_us < patience;
}

static bool patience_spent(const struct ipcnet_bus_health *self)
{
    switch (self->phase) {
    case IPCNET_BUS_PURGING:
    case IPCNET_BUS_OFF_PURGING: return self->tries + 1u >= PURGE_TRIES;
    case IPCNET_BUS_PROBING: return self->tries + 1u >= PROBE_INTERVALS_UNANSWERED;
    case IPCNET_BUS_PROVEN: return self->probe_outstanding; /* unanswered for a whole interval: the proof is stale */
    case IPCNET_BUS_OFF_WAITING: return self->restarts_used >= self->options.restart_budget;
    default: return false;
    }
}

/* ---- Entering a phase --------------------------------------------------------------------------------------------------------------- */

struct effects {
    struct ipcnet_bus_effect *list;
    size_t count;
};

static void emit(struct effects *effects, enum ipcnet_bus_effect_kind kind, uint32_t a, uint32_t b)
{
    if (effects->count >= IPCNET_BUS_EFFECTS_MAX) return; /* cannot happen: see IPCNET_BUS_EFFECTS_MAX; a walk test counts */
    effects->list[effects->count++] = (struct ipcnet_bus_effect){ .kind = (uint32_t)kind, .a = a, .b = b, .c = 0, .d = 0 };
}

static uint8_t reason_for(const struct ipcnet_bus_health *self, uint8_t phase, enum ipcnet_bus_signal signal)
{
    bool heard = self->ever_heard && self->now_us - self->last_heard_us < ipcnet_bus_health_echo_patience_us(self);
    switch (phase) {
    case IPCNET_BUS_DOWN: return IPCNET_REASON_LINK_DOWN;
    case IPCNET_BUS_DEGRADED: return self->bus_state >= 2 ? IPCNET_REASON_ERROR_PASSIVE : IPCNET_REASON_ERROR_WARNING;
    case IPCNET_BUS_SUSPECT: return IPCNET_REASON_NO_BUFFER;
    case IPCNET_BUS_PURGING:
        if (signal == IPCNET_SIGNAL_LINK_STALE) return IPCNET_REASON_STALE_QUEUE;
        if (signal == IPCNET_SIGNAL_UNACKNOWLEDGED) return IPCNET_REASON_NO_ACKNOWLEDGE;
        if (!accepting(self->phase)) return self->cause; /* asked once more: the cause is the old one */
        return heard ? IPCNET_REASON_STARVED : IPCNET_REASON_NO_ECHO;
    case IPCNET_BUS_PROBING: return IPCNET_REASON_PROBING;
    case IPCNET_BUS_PROVEN: return IPCNET_REASON_AWAITING_REARM;
    case IPCNET_BUS_UNPURGEABLE:
        if (self->phase == IPCNET_BUS_UNPURGEABLE) return self->reason;
        return signal == IPCNET_SIGNAL_PURGE_FORBIDDEN ? IPCNET_REASON_PURGE_FORBIDDEN : IPCNET_REASON_PURGE_FAILED;
    case IPCNET_BUS_OFF_PURGING:
    case IPCNET_BUS_OFF_WAITING: return IPCNET_REASON_BUS_OFF;
    case IPCNET_BUS_OFF_RESTARTING: return IPCNET_REASON_RESTARTING;
    case IPCNET_BUS_OFF_GIVEN_UP: return IPCNET_REASON_RESTART_BUDGET_SPENT;
    default: return IPCNET_REASON_NONE;
    }
}

static void note_cause(struct ipcnet_bus_health *self)
{
    switch (self->reason) {
    case IPCNET_REASON_LINK_DOWN: case IPCNET_REASON_NO_ECHO: case IPCNET_REASON_STARVED: case IPCNET_REASON_NO_ACKNOWLEDGE:
    case IPCNET_REASON_STALE_QUEUE: case IPCNET_REASON_BUS_OFF: self->cause = self->reason; break;
    default: if (accepting(self->phase)) self->cause = IPCNET_REASON_NONE;
    }
}

static uint64_t back_off_us(const struct ipcnet_bus_health *self)
{
    uint64_t wait = self->options.restart_min_us;
    for (uint32_t used = self->restarts_used; used > 0 && wait < self->options.restart_max_us; used--) wait *= 2;
    return wait < self->options.restart_max_us ? wait : self->options.restart_max_us;
}

static void forget_queue(struct ipcnet_bus_health *self)
{
    self->unconfirmed_frames = 0;
    self->ack_errors = 0;
    self->probe_outstanding = false;
}

/* Books of the phase, its timer, and the effect that belongs to entering it. */
static void perform_entry(struct ipcnet_bus_health *self, uint8_t from, struct effects *effects)
{
    bool again = from == self->phase;
    uint64_t wait_us = 0;
    switch (self->phase) {
    case IPCNET_BUS_DOWN:
        forget_queue(self); /* an interface that went down dropped its queue */
        self->counters.link_lost_times += 1;
        emit(effects, IPCNET_EFFECT_REOPEN, 0, 0);
        break;
    case IPCNET_BUS_UP:
    case IPCNET_BUS_DEGRADED:
        self->was_up = true;
        break;
    case IPCNET_BUS_SUSPECT:
        wait_us = ipcnet_bus_health_echo_patience_us(self);
        break;
    case IPCNET_BUS_PURGING:
        if (accepting(from)) self->counters.dead_times += 1;
        self->was_up = true; /* a stale queue at the first opening: from here on only a proven bus accepts commands */
        wait_us = ANSWER_PATIENCE_US;
        break;
    case IPCNET_BUS_OFF_PURGING:
        if (!again) {
            self->counters.bus_off_times += 1;
            if (from == IPCNET_BUS_OFF_GIVEN_UP) self->restarts_used = 0;
            else if (self->last_recovery_us != 0 && self->now_us - self->last_recovery_us >= BUDGET_REFILL_US) self->restarts_used = 0;
        }
        wait_us = ANSWER_PATIENCE_US;
        break;
    case IPCNET_BUS_UNPURGEABLE:
        wait_us = self->reason == IPCNET_REASON_PURGE_FORBIDDEN ? FORBIDDEN_RETRY_US : FAILED_RETRY_US;
        break;
    case IPCNET_BUS_PROBING:
        if (outward[from] == IPCNET_STATE_BUS_OFF) {
            self->last_recovery_us = self->now_us;
            emit(effects, IPCNET_EFFECT_EMERGENCY, IPCNET_EMCY_RECOVERED_FROM_BUS_OFF, self->restarts_used);
        }
        /* fall through */
    case IPCNET_BUS_PROVEN:
        /* One probe is enough: a controller repeats an unacknowledged frame by itself until somebody is there to take it. */
        if (!self->probe_outstanding && (self->phase == IPCNET_BUS_PROBING || again)) {
            self->probe_outstanding = true;
            self->counters.probes += 1;
            emit(effects, IPCNET_EFFECT_PROBE, 0, 0);
        }
        wait_us = self->options.probe_interval_us;
        break;
    case IPCNET_BUS_OFF_WAITING:
        wait_us = back_off_us(self);
        break;
    case IPCNET_BUS_OFF_RESTARTING:
        self->restarts_used += 1;
        self->counters.restarts += 1;
        emit(effects, IPCNET_EFFECT_RESTART_BUS, 0, 0);
        wait_us = ANSWER_PATIENCE_US;
        break;
    default: break;
    }
    if (self->phase == IPCNET_BUS_PURGING || self->phase == IPCNET_BUS_OFF_PURGING || (self->phase == IPCNET_BUS_UNPURGEABLE && again)) {
        self->counters.purges += 1;
        emit(effects, IPCNET_EFFECT_PURGE, 0, 0);
    }
    self->timer_us = wait_us != 0 ? self->now_us + wait_us : 0;
}

static void enter(struct ipcnet_bus_health *self, uint8_t to, enum ipcnet_bus_signal signal, struct effects *effects)
{
    uint8_t from = self->phase;
    uint8_t reason = reason_for(self, to, signal);
    bool told = from == to && reason == self->reason;
    if (from == to) {
        self->tries += 1;
    } else {
        self->tries = 0;
        self->since_us = self->now_us;
    }
    self->phase = to;
    self->reason = reason;
    note_cause(self);
    if (accepting(from) && !accepting(to)) emit(effects, IPCNET_EFFECT_REFUSE_COMMANDS, 0, 0);
    if (accepting(to) && !accepting(from)) {
        forget_queue(self);
        self->was_up = true; /* before the state is told: it is "up" from here on */
    }
    size_t told_at = effects->count;
    if (!told) emit(effects, IPCNET_EFFECT_STATE_CHANGED, 0, to);
    perform_entry(self, from, effects);
    if (!told && told_at < effects->count) {
        effects->list[told_at].a = (uint32_t)ipcnet_bus_health_state(self);
        effects->list[told_at].c = reason;
        effects->list[told_at].d = self->cause;
    }
    if (accepting(to) && !accepting(from)) emit(effects, IPCNET_EFFECT_ACCEPT_COMMANDS, 0, 0);
}

static void signal_machine(struct ipcnet_bus_health *self, enum ipcnet_bus_signal signal, struct effects *effects)
{
    uint8_t to = ipcnet_bus_health_cell((enum ipcnet_bus_phase)self->phase, signal);
    if (to == IPCNET_CELL_STAY) return;
    if (to == IPCNET_CELL_AGAIN) to = self->phase;
    if (to == IPCNET_CELL_RESUME) to = self->bus_state == 0 ? IPCNET_BUS_UP : IPCNET_BUS_DEGRADED;
    enter(self, to, signal, effects);
}

/* ---- Events become signals ---------------------------------------------------------------------------------------------------------- */

static void controller_state(struct ipcnet_bus_health *self, uint8_t state, struct effects *effects)
{
    uint8_t before = self->bus_state;
    self->bus_state = state;
    if (state == 2 && before < 2) emit(effects, IPCNET_EFFECT_EMERGENCY, IPCNET_EMCY_ERROR_PASSIVE, 0);
    signal_machine(self, state == 0 ? IPCNET_SIGNAL_CALMED : state == 3 ? IPCNET_SIGNAL_BUS_OFF : IPCNET_SIGNAL_WARNED, effects);
}

static void error_frame(struct ipcnet_bus_health *self, uint32_t classes, uint32_t controller, struct effects *effects)
{
    if (classes & IPCNET_CAN_ERR_RESTARTED) {
        self->bus_state = 0;
        signal_machine(self, IPCNET_SIGNAL_RESTARTED, effects);
    }
    if (classes & IPCNET_CAN_ERR_CRTL) {
        if (controller & IPCNET_CAN_CRTL_OVERFLOW) emit(effects, IPCNET_EFFECT_EMERGENCY, IPCNET_EMCY_OVERRUN, controller);
        if (controller & IPCNET_CAN_CRTL_PASSIVE) controller_state(self, 2, effects);
        else if (controller & IPCNET_CAN_CRTL_WARNING) controller_state(self, 1, effects);
        else if (controller & IPCNET_CAN_CRTL_ACTIVE) controller_state(self, 0, effects);
    }
    if (classes & IPCNET_CAN_ERR_ACK) {
        if (self->ack_errors < UINT32_MAX) self->ack_errors += 1;
    }
    if ((classes & (IPCNET_CAN_ERR_ACK | IPCNET_CAN_ERR_CRTL)) && self->bus_state >= 2 && self->ack_errors >= ACK_ERRORS_OF_A_DEAD_BUS && self->unconfirmed_frames > 0)
        signal_machine(self, IPCNET_SIGNAL_UNACKNOWLEDGED, effects);
    if (classes & IPCNET_CAN_ERR_BUSOFF) controller_state(self, 3, effects);
}

static void link_up(struct ipcnet_bus_health *self, uint32_t stale_frames, struct effects *effects)
{
    if (self->phase != IPCNET_BUS_DOWN) return;
    self->bus_state = 0;
    enum ipcnet_bus_signal signal = self->was_up ? IPCNET_SIGNAL_LINK_BACK : IPCNET_SIGNAL_LINK_UP;
    if (self->options.listen_only) signal = IPCNET_SIGNAL_LINK_UP;
    else if (stale_frames > 0) signal = IPCNET_SIGNAL_LINK_STALE;
    signal_machine(self, signal, effects);
}

static void tick(struct ipcnet_bus_health *self, struct effects *effects)
{
    if (awaits_echo(self) && self->now_us - self->head_since_us >= ipcnet_bus_health_echo_patience_us(self))
        signal_machine(self, IPCNET_SIGNAL_OVERDUE, effects);
    if (self->timer_us != 0 && self->now_us >= self->timer_us)
        signal_machine(self, patience_spent(self) ? IPCNET_SIGNAL_PATIENCE_SPENT : IPCNET_SIGNAL_TIMER, effects);
}

static void unconfirmed_less(struct ipcnet_bus_health *self, uint32_t frames)
{
    self->unconfirmed_frames -= frames < self->unconfirmed_frames ? frames : self->unconfirmed_frames;
    self->head_since_us = self->now_us;
}

static void no_buffer(struct ipcnet_bus_health *self, struct effects *effects)
{
    self->counters.no_buffer_frames += 1;
    self->unreported_drops += 1;
    if (!self->ever_reported || self->now_us - self->last_report_us >= REPORT_INTERVAL_US) {
        emit(effects, IPCNET_EFFECT_REPORT_DROPS, self->unreported_drops, 0);
        self->ever_reported = true;
        self->last_report_us = self->now_us;
        self->unreported_drops = 0;
    }
    /* Without echoes a full queue proves nothing either way: then only the frame is lost. */
    bool alive = !self->options.confirms || echoes_arrive(self);
    signal_machine(self, alive ? IPCNET_SIGNAL_FULL_BUT_ALIVE : IPCNET_SIGNAL_FULL_AND_SILENT, effects);
}

size_t ipcnet_bus_health_step(struct ipcnet_bus_health *self, const struct ipcnet_bus_event *event, uint64_t now_us,
                              struct ipcnet_bus_effect effects_out[IPCNET_BUS_EFFECTS_MAX])
{
    struct effects effects = { .list = effects_out, .count = 0 };
    if (now_us > self->now_us) self->now_us = now_us;
    switch (event->kind) {
    case IPCNET_EVENT_TX_QUEUED:
        if (!accepting(self->phase)) break;
        if (self->unconfirmed_frames == 0) self->head_since_us = self->now_us;
        self->unconfirmed_frames += event->a < QUEUE_MAX_FRAMES ? event->a : QUEUE_MAX_FRAMES;
        if (self->unconfirmed_frames > QUEUE_MAX_FRAMES) self->unconfirmed_frames = QUEUE_MAX_FRAMES;
        break;
    case IPCNET_EVENT_TX_ECHO:
        unconfirmed_less(self, event->a);
        self->ack_errors = 0;
        self->ever_echoed = true;
        self->last_echo_us = self->now_us;
        signal_machine(self, IPCNET_SIGNAL_ECHO, &effects);
        break;
    case IPCNET_EVENT_TX_DROPPED: unconfirmed_less(self, event->a); break;
    case IPCNET_EVENT_TX_NO_BUFFER: no_buffer(self, &effects); break;
    case IPCNET_EVENT_RX_FRAME:
        self->ever_heard = true;
        self->last_heard_us = self->now_us;
        if (self->options.confirms) break;
        self->probe_outstanding = false;
        signal_machine(self, IPCNET_SIGNAL_ANSWERED, &effects);
        break;
    case IPCNET_EVENT_ERROR_FRAME: error_frame(self, event->a, event->b, &effects); break;
    case IPCNET_EVENT_BUS_STATE:
        if (event->a <= 3) controller_state(self, (uint8_t)event->a, &effects);
        break;
    case IPCNET_EVENT_LINK_DOWN: signal_machine(self, IPCNET_SIGNAL_LINK_DOWN, &effects); break;
    case IPCNET_EVENT_LINK_UP: link_up(self, event->a, &effects); break;
    case IPCNET_EVENT_PURGED:
        forget_queue(self);
        signal_machine(self, IPCNET_SIGNAL_PURGED, &effects);
        break;
    case IPCNET_EVENT_PURGE_FAILED:
        signal_machine(self, event->a == 1 ? IPCNET_SIGNAL_PURGE_FORBIDDEN : IPCNET_SIGNAL_PURGE_FAILED, &effects);
        break;
    case IPCNET_EVENT_RESTART_FAILED: signal_machine(self, IPCNET_SIGNAL_RESTART_FAILED, &effects); break;
    case IPCNET_EVENT_PROBE_ECHO:
        if (!self->probe_outstanding) break; /* an echo from before the last purge proves nothing about now */
        self->probe_outstanding = false;
        self->ever_echoed = true;
        self->last_echo_us = self->now_us;
        signal_machine(self, IPCNET_SIGNAL_ANSWERED, &effects);
        break;
    case IPCNET_EVENT_PROBE_FAILED: self->probe_outstanding = false; break;
    case IPCNET_EVENT_REARM: signal_machine(self, IPCNET_SIGNAL_REARM, &effects); break;
    case IPCNET_EVENT_OVERFLOW:
        self->counters.lost_frames += event->a;
        self->unconfirmed_frames = 0; /* echoes may be among the lost: do not accuse; the next frame sent is watched again */
        break;
    case IPCNET_EVENT_TICK: tick(self, &effects); break;
    default: break;
    }
    return effects.count;
}

/* ---- Construction and names --------------------------------------------------------------------------------------------------------- */

void ipcnet_bus_health_set_link(struct ipcnet_bus_health *self, uint32_t frame_time_us, uint32_t tx_queue_frames)
{
    self->options.frame_time_us = frame_time_us < 1000000u ? frame_time_us : 1000000u;
    self->options.tx_queue_frames = tx_queue_frames == 0 ? 1 : tx_queue_frames < QUEUE_MAX_FRAMES ? tx_queue_frames : QUEUE_MAX_FRAMES;
}

void ipcnet_bus_health_init(struct ipcnet_bus_health *self, const struct ipcnet_bus_health_options *options, uint64_t now_us)
{
    memset(self, 0, sizeof *self);
    self->options = *options;
    struct ipcnet_bus_health_options *mine = &self->options;
    ipcnet_bus_health_set_link(self, mine->frame_time_us, mine->tx_queue_frames);
    if (mine->dead_after_us < DEAD_AFTER_MIN_US) mine->dead_after_us = DEAD_AFTER_MIN_US;
    if (mine->probe_interval_us < 1000u) mine->probe_interval_us = 1000000u;
    if (mine->restart_min_us < 1000u) mine->restart_min_us = 1000u;
    if (mine->restart_max_us < mine->restart_min_us) mine->restart_max_us = mine->restart_min_us;
    self->now_us = now_us;
    self->since_us = now_us;
    self->phase = IPCNET_BUS_DOWN;
    self->reason = IPCNET_REASON_STARTING;
}

uint32_t ipcnet_can_frame_time_us(uint32_t bitrate_bps, uint32_t data_bitrate_bps, bool fd)
{
    if (bitrate_bps == 0) return 0;
    /* ISO 11898-1, 29-bit identifier, worst-case stuffing, 3 bits of inter-frame space. Classic: 67 + 64 + (54 + 64 - 1) / 4 = 160 bits.
     * FD: 80 bits at the nominal rate (arbitration with stuffing, ACK, EOF, space); 64 bytes, control bits, CRC-21 and stuffing: 680 at the data rate. */
    uint64_t nominal_bits = fd ? 80 : 160;
    uint64_t data_bits = fd ? 680 : 0;
    uint64_t data_rate = data_bitrate_bps != 0 ? data_bitrate_bps : bitrate_bps;
    return (uint32_t)((nominal_bits * 1000000u + bitrate_bps - 1) / bitrate_bps + (data_bits * 1000000u + data_rate - 1) / data_rate);
}

uint8_t ipcnet_bus_health_cell(enum ipcnet_bus_phase phase, enum ipcnet_bus_signal signal)
{
    return (uint8_t)(table[phase][signal] - 1);
}

const char *ipcnet_bus_phase_name(enum ipcnet_bus_phase phase)
{
    return (unsigned)phase < IPCNET_BUS_PHASES ? phase_names[phase] : "?";
}

const char *ipcnet_bus_signal_name(enum ipcnet_bus_signal signal)
{
    return (unsigned)signal < IPCNET_SIGNALS ? signal_names[signal] : "?";
}
