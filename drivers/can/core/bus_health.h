/*
 * bus_health: whether a CAN bus may be trusted with commands.
 *
 * The idea. A bus whose motors lost power looks healthy from the sending side: frames are taken into the queue, nobody acknowledges them,
 * and they all leave when the power returns. So trust comes from one thing alone: our own frames come back as *echoes* of what was really
 * transmitted. Where echoes stay away the machine refuses commands, has the queue emptied, asks the bus with a harmless probe frame, and
 * accepts commands again only after the probe was echoed *and* somebody re-armed on purpose.
 *
 * It is pure: no clock, no memory, no input or output. The caller feeds events with the time of their happening and performs the effects.
 * Effects belong to *entering* a phase, so that no path into a phase can forget one; the table in bus_health.c holds the transitions alone.
 *
 * One thread steps one machine. All times are CLOCK_MONOTONIC microseconds. Any sequence of events is allowed; those without meaning in a
 * phase change nothing.
 *
 * Whoever ticks must first read everything that has already arrived: an echo that waits unread in a socket is not a missing echo.
 */
#ifndef IPCNET_BUS_HEALTH_H
#define IPCNET_BUS_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where the machine is. UP, DEGRADED and SUSPECT accept commands; all others refuse them. */
enum ipcnet_bus_phase {
    IPCNET_BUS_DOWN,           /* no link (yet): waits for one */
    IPCNET_BUS_UP,             /* works */
    IPCNET_BUS_DEGRADED,       /* works; the controller is error-warning or error-passive */
    IPCNET_BUS_SUSPECT,        /* the queue is full and no echo came lately: one T to prove itself */
    IPCNET_BUS_PURGING,        /* dead: the queue is being emptied */
    IPCNET_BUS_PROBING,        /* dead: asks with a probe whether anybody acknowledges */
    IPCNET_BUS_PROVEN,         /* the probe was echoed; waits for an explicit re-arm, and keeps the proof fresh */
    IPCNET_BUS_UNPURGEABLE,    /* dead, and the queue cannot be emptied (no right, or the adapter refuses): stays refusing */
    IPCNET_BUS_OFF_PURGING,    /* bus-off: the queue is being emptied */
    IPCNET_BUS_OFF_WAITING,    /* bus-off: back-off before the next restart */
    IPCNET_BUS_OFF_RESTARTING, /* bus-off: restart asked for */
    IPCNET_BUS_OFF_GIVEN_UP,   /* bus-off: the restart budget is spent; a re-arm grants a new one */
    IPCNET_BUS_PHASES
};

/* What the outside is told: the driver states of drivers/driver.ts. */
enum ipcnet_bus_state { IPCNET_STATE_STARTING, IPCNET_STATE_UP, IPCNET_STATE_DEGRADED, IPCNET_STATE_DEAD, IPCNET_STATE_BUS_OFF, IPCNET_STATE_DOWN };

enum ipcnet_bus_reason {
    IPCNET_REASON_NONE,
    IPCNET_REASON_STARTING,
    IPCNET_REASON_LINK_DOWN,
    IPCNET_REASON_ERROR_WARNING,
    IPCNET_REASON_ERROR_PASSIVE,
    IPCNET_REASON_NO_BUFFER,        /* suspect: queue full, no recent echo */
    IPCNET_REASON_NO_ECHO,          /* dead: nothing we sent was confirmed for T, and nobody else was heard */
    IPCNET_REASON_STARVED,          /* dead: nothing we sent was confirmed for T although others were heard */
    IPCNET_REASON_NO_ACKNOWLEDGE,   /* dead: error-passive and acknowledge errors */
    IPCNET_REASON_STALE_QUEUE,      /* the interface held frames of somebody before us when it was opened */
    IPCNET_REASON_PROBING,
    IPCNET_REASON_AWAITING_REARM,
    IPCNET_REASON_PURGE_FORBIDDEN,
    IPCNET_REASON_PURGE_FAILED,
    IPCNET_REASON_BUS_OFF,
    IPCNET_REASON_RESTARTING,
    IPCNET_REASON_RESTART_BUDGET_SPENT,
    IPCNET_REASONS
};

enum ipcnet_bus_event_kind {
    IPCNET_EVENT_TX_QUEUED,      /* a: frames handed to the link's queue (probes are not counted) */
    IPCNET_EVENT_TX_ECHO,        /* a: frames confirmed as transmitted (probes are not counted) */
    IPCNET_EVENT_TX_DROPPED,     /* a: queued frames the link removed unsent */
    IPCNET_EVENT_TX_NO_BUFFER,   /* a frame was refused because the queue is full; it is dropped */
    IPCNET_EVENT_RX_FRAME,       /* a frame of somebody else was received */
    IPCNET_EVENT_ERROR_FRAME,    /* a: CAN_ERR_* classes; b: data[1], the controller's problem (linux/can/error.h) */
    IPCNET_EVENT_BUS_STATE,      /* a: 0 error-active, 1 warning, 2 passive, 3 bus-off */
    IPCNET_EVENT_LINK_DOWN,      /* interface down or gone, socket closed */
    IPCNET_EVENT_LINK_UP,        /* a: frames found waiting in the link's queue that we did not put there */
    IPCNET_EVENT_PURGED,         /* the queue was emptied */
    IPCNET_EVENT_PURGE_FAILED,   /* a: 1 not permitted, 0 another reason */
    IPCNET_EVENT_RESTART_FAILED, /* the restart after bus-off was refused */
    IPCNET_EVENT_PROBE_ECHO,     /* the probe was confirmed as transmitted */
    IPCNET_EVENT_PROBE_FAILED,   /* the probe could not be queued */
    IPCNET_EVENT_REARM,          /* somebody with the right to do so allows commands again */
    IPCNET_EVENT_OVERFLOW,       /* a: received frames that were lost (socket or ring overflow, POLLERR): echoes may be among them */
    IPCNET_EVENT_TICK,           /* time passed */
    IPCNET_EVENTS
};

struct ipcnet_bus_event {
    uint32_t kind;
    uint32_t a;
    uint32_t b;
};

enum ipcnet_bus_effect_kind {
    IPCNET_EFFECT_REFUSE_COMMANDS, /* from now on nothing but probes may be queued */
    IPCNET_EFFECT_ACCEPT_COMMANDS,
    IPCNET_EFFECT_STATE_CHANGED,   /* a: state, b: phase, c: reason, d: reason why commands were refused in the first place */
    IPCNET_EFFECT_PURGE,           /* empty every queue to the wire; answer PURGED or PURGE_FAILED */
    IPCNET_EFFECT_PROBE,           /* queue one frame with an unused id; answer PROBE_ECHO or PROBE_FAILED */
    IPCNET_EFFECT_RESTART_BUS,     /* restart the controller; answer BUS_STATE or RESTART_FAILED */
    IPCNET_EFFECT_REOPEN,          /* close, wait for the link by name, open again; answer LINK_UP */
    IPCNET_EFFECT_EMERGENCY,       /* a: CiA 301 emergency code; b: count behind it */
    IPCNET_EFFECT_REPORT_DROPS,    /* a: frames dropped for want of buffer since the last report; at most one in 5 s */
    IPCNET_EFFECTS
};

struct ipcnet_bus_effect {
    uint32_t kind;
    uint32_t a, b, c, d;
};

/* The most effects one step can give: a combined error frame passes through three transitions of four effects each. */
#define IPCNET_BUS_EFFECTS_MAX 16

/* Emergency codes, CiA 301. */
#define IPCNET_EMCY_OVERRUN 0x8110u
#define IPCNET_EMCY_ERROR_PASSIVE 0x8120u
#define IPCNET_EMCY_RECOVERED_FROM_BUS_OFF 0x8140u

/* Error classes and controller bits, as in linux/can/error.h. */
#define IPCNET_CAN_ERR_CRTL 0x004u
#define IPCNET_CAN_ERR_ACK 0x020u
#define IPCNET_CAN_ERR_BUSOFF 0x040u
#define IPCNET_CAN_ERR_RESTARTED 0x100u
#define IPCNET_CAN_CRTL_OVERFLOW 0x03u /* rx 0x01, tx 0x02 */
#define IPCNET_CAN_CRTL_WARNING 0x0Cu  /* rx 0x04, tx 0x08 */
#define IPCNET_CAN_CRTL_PASSIVE 0x30u  /* rx 0x10, tx 0x20 */
#define IPCNET_CAN_CRTL_ACTIVE 0x40u

struct ipcnet_bus_health_options {
    uint32_t frame_time_us;   /* the longest frame on this bus, worst-case bit stuffing; 0 where the bit rate is unknown */
    uint32_t tx_queue_frames; /* how many frames may wait in front of the wire, ≥ 1 */
    uint32_t dead_after_us;   /* raised to 20 ms: below that a busy bus or a late scheduler looks dead */
    uint32_t probe_interval_us;
    uint32_t restart_min_us, restart_max_us; /* back-off between restarts after bus-off, doubling */
    uint32_t restart_budget;  /* restarts in a row; refilled by 60 s without bus-off, or by a re-arm */
    bool confirms;            /* the link gives echoes; without them a frame of somebody else is the best proof to be had */
    bool listen_only;         /* nothing is ever sent: no probe, no purge, no re-arm */
};

struct ipcnet_bus_counters {
    uint64_t no_buffer_frames, lost_frames, dead_times, bus_off_times, purges, probes, restarts, link_lost_times;
};

/* Lay it anywhere; init before use; read it freely, write it never. */
struct ipcnet_bus_health {
    struct ipcnet_bus_health_options options;
    struct ipcnet_bus_counters counters;
    uint64_t now_us;          /* of the last step: time never runs backwards inside */
    uint64_t since_us;        /* of the phase */
    uint64_t timer_us;        /* of the phase; 0 none */
    uint64_t head_since_us;   /* since when the oldest unconfirmed frame has been next to leave */
    uint64_t last_echo_us, last_heard_us, last_recovery_us, last_report_us;
    uint32_t unconfirmed_frames;
    uint32_t ack_errors;      /* since the last echo */
    uint32_t unreported_drops;
    uint32_t tries;           /* of the phase: purges asked, probe intervals unanswered */
    uint32_t restarts_used;
    uint8_t phase, reason, cause;
    uint8_t bus_state;        /* 0 active … 3 off, as last heard */
    bool probe_outstanding, was_up, ever_heard, ever_echoed, ever_reported;
};

/* Options out of range are brought into it. Starts in DOWN; the first LINK_UP accepts commands, later ones must be proven. */
void ipcnet_bus_health_init(struct ipcnet_bus_health *self, const struct ipcnet_bus_health_options *options, uint64_t now_us);

/* What became known about the link after it was opened. */
void ipcnet_bus_health_set_link(struct ipcnet_bus_health *self, uint32_t frame_time_us, uint32_t tx_queue_frames);

/* One event in, effects out (in the order in which they must be performed). Returns how many; an unknown event kind gives 0. */
size_t ipcnet_bus_health_step(struct ipcnet_bus_health *self, const struct ipcnet_bus_event *event, uint64_t now_us,
                              struct ipcnet_bus_effect effects[IPCNET_BUS_EFFECTS_MAX]);

/* When TICK is due; UINT64_MAX never. */
uint64_t ipcnet_bus_health_next_deadline_us(const struct ipcnet_bus_health *self);

bool ipcnet_bus_health_accepts(const struct ipcnet_bus_health *self);
enum ipcnet_bus_state ipcnet_bus_health_state(const struct ipcnet_bus_health *self);

/* T: how long the next frame to leave may go without an echo: max(3 × frame time × queue, dead_after, 20 ms). */
uint64_t ipcnet_bus_health_echo_patience_us(const struct ipcnet_bus_health *self);

/* The longest frame at these rates, µs, worst-case stuffing, inter-frame space included. data_bitrate_bps 0: no faster data phase. 0 when bitrate_bps is 0. */
uint32_t ipcnet_can_frame_time_us(uint32_t bitrate_bps, uint32_t data_bitrate_bps, bool fd);

/* The transition table, for tests and for printing the diagram. Cells: a phase, or one of the four below. */
enum ipcnet_bus_signal {
    IPCNET_SIGNAL_ECHO, IPCNET_SIGNAL_FULL_BUT_ALIVE, IPCNET_SIGNAL_FULL_AND_SILENT, IPCNET_SIGNAL_WARNED, IPCNET_SIGNAL_CALMED,
    IPCNET_SIGNAL_UNACKNOWLEDGED, IPCNET_SIGNAL_BUS_OFF, IPCNET_SIGNAL_RESTARTED, IPCNET_SIGNAL_LINK_DOWN, IPCNET_SIGNAL_LINK_UP,
    IPCNET_SIGNAL_LINK_BACK, IPCNET_SIGNAL_LINK_STALE, IPCNET_SIGNAL_PURGED, IPCNET_SIGNAL_PURGE_FORBIDDEN, IPCNET_SIGNAL_PURGE_FAILED,
    IPCNET_SIGNAL_RESTART_FAILED, IPCNET_SIGNAL_ANSWERED, IPCNET_SIGNAL_REARM, IPCNET_SIGNAL_OVERDUE, IPCNET_SIGNAL_TIMER,
    IPCNET_SIGNAL_PATIENCE_SPENT, IPCNET_SIGNALS
};
#define IPCNET_CELL_MISSING 0xFFu /* never in the table: a test looks for it */
#define IPCNET_CELL_STAY 0xFEu
#define IPCNET_CELL_AGAIN 0xFDu  /* enters the same phase once more */
#define IPCNET_CELL_RESUME 0xFCu /* UP or DEGRADED, by the controller's state */
uint8_t ipcnet_bus_health_cell(enum ipcnet_bus_phase phase, enum ipcnet_bus_signal signal);
const char *ipcnet_bus_phase_name(enum ipcnet_bus_phase phase);
const char *ipcnet_bus_signal_name(enum ipcnet_bus_signal signal);

#endif
