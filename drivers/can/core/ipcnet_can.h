/*
 * ipcnet_can: one CAN bus through one socket. Frames in and out, echoes as proof of transmission, deadlines, typed trouble, counters.
 *
 * What it promises
 *   - Nothing blocks, except ipcnet_can_purge and ipcnet_can_restart (see can_os.h).
 *   - A frame whose deadline has passed is never handed to the kernel; a frame that was refused is dropped, never kept.
 *   - At most `tx_queue_frames` frames of ours wait between here and the wire, however long the kernel's own queue is.
 *   - An own frame that the bus has taken comes back with IPCNET_CAN_ECHO and the token it was sent with.
 *   - Each received record says how many frames were lost just before it.
 *
 * Threads. Two roles, each played by one thread at a time, or both by the same: the *reader* calls receive, link_event, purge and restart; the *owner*
 * calls everything else. open, close and the functions of the reader never overlap. Counters may be read from anywhere.
 *
 * Memory: `struct ipcnet_can`, given by the caller, about 40 KiB; no allocation, no globals. `os` and its context must outlive it.
 */
#ifndef IPCNET_CAN_H
#define IPCNET_CAN_H

#include <linux/can.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include "can_os.h"

/* ---- Frames ------------------------------------------------------------------------------------------------------------------------- */

/* The record that drivers hand around; the same layout is in drivers/can/frame.ts. */
struct ipcnet_can_frame {
    double time_us; /* received: CLOCK_MONOTONIC time of reception; to send: deadline. µs */
    uint32_t can_id;
    uint8_t flags;
    uint8_t length_bytes; /* 0…64 */
    uint16_t bus;
    uint32_t token;
    uint32_t lost_before; /* frames lost just before this one */
    uint8_t data[64];     /* zero beyond length_bytes */
};
_Static_assert(sizeof(struct ipcnet_can_frame) == 88, "frame.ts says 88");
_Static_assert(offsetof(struct ipcnet_can_frame, can_id) == 8 && offsetof(struct ipcnet_can_frame, flags) == 12 && offsetof(struct ipcnet_can_frame, bus) == 14 &&
                   offsetof(struct ipcnet_can_frame, token) == 16 && offsetof(struct ipcnet_can_frame, lost_before) == 20 && offsetof(struct ipcnet_can_frame, data) == 24,
               "frame.ts says where");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "records are little-endian");

#define IPCNET_CAN_EXTENDED 0x01u
#define IPCNET_CAN_FD 0x02u
#define IPCNET_CAN_BRS 0x04u
#define IPCNET_CAN_ESI 0x08u
#define IPCNET_CAN_REMOTE 0x10u
#define IPCNET_CAN_ERROR 0x20u
#define IPCNET_CAN_ECHO 0x40u

/* The token of probes; never given to another frame. */
#define IPCNET_CAN_PROBE_TOKEN 0xFFFFFFFFu

/* ---- Opening ------------------------------------------------------------------------------------------------------------------------ */

enum ipcnet_can_status {
    IPCNET_CAN_OK,
    IPCNET_CAN_NO_KERNEL_SUPPORT, /* the kernel has no CAN */
    IPCNET_CAN_NO_INTERFACE,
    IPCNET_CAN_NOT_A_CAN_INTERFACE,
    IPCNET_CAN_NO_FD_SUPPORT,
    IPCNET_CAN_NOT_PERMITTED,
    IPCNET_CAN_SYSTEM, /* anything else: see ipcnet_can_error */
};

/* What the kernel granted. All are wanted, those marked * are asked for but not insisted on. */
#define IPCNET_CAN_FEATURE_ERROR_FRAMES 0x01u  /* * */
#define IPCNET_CAN_FEATURE_ECHO 0x02u          /* * without it a dead bus is seen by error states alone */
#define IPCNET_CAN_FEATURE_FD 0x04u            /* insisted on when config.fd */
#define IPCNET_CAN_FEATURE_TIME_STAMPS 0x08u   /* * else: time of reading */
#define IPCNET_CAN_FEATURE_DROP_COUNTER 0x10u  /* * */
#define IPCNET_CAN_FEATURE_BUFFER_FORCED 0x20u /* * the receive buffer is as large as wished (CAP_NET_ADMIN) */

#define IPCNET_CAN_TX_QUEUE_MAX 1024u

struct ipcnet_can_config {
    char interface[108]; /* name, or the path of the emulator's socket */
    bool fd;
    bool listen_only;
    uint16_t bus;        /* copied into every record */
    uint32_t tx_queue_frames;      /* 1…IPCNET_CAN_TX_QUEUE_MAX */
    uint32_t receive_buffer_bytes; /* wish for SO_RCVBUF */
};

/* ---- Counters ----------------------------------------------------------------------------------------------------------------------- */

struct ipcnet_can_counters {
    _Atomic uint64_t received_frames;  /* of others */
    _Atomic uint64_t echoed_frames;
    _Atomic uint64_t error_frames;
    _Atomic uint64_t lost_frames;      /* said by the kernel's drop counter */
    _Atomic uint64_t receive_errors;   /* recv said ENOBUFS or the like: cleared, not fatal */
    _Atomic uint64_t malformed_frames; /* of a size that no CAN frame has */
    _Atomic uint64_t sent_frames;
    _Atomic uint64_t unmatched_echoes; /* echo without a frame in flight: its token is 0 */
    _Atomic uint64_t missed_echoes;    /* frame in flight whose echo was overtaken by many: given up */
    _Atomic uint64_t expired_frames;
    _Atomic uint64_t full_frames;      /* refused: the queue is full */
    _Atomic uint64_t link_down_frames; /* refused: no link */
    _Atomic uint64_t refused_frames;   /* refused: length, id, kind, listen-only, or an errno without a name here */
};

/* ---- The bus ------------------------------------------------------------------------------------------------------------------------ */

enum ipcnet_can_verdict {
    IPCNET_CAN_QUEUED,
    IPCNET_CAN_NOT_OPEN,
    IPCNET_CAN_EXPIRED,
    IPCNET_CAN_QUEUE_FULL,
    IPCNET_CAN_LINK_DOWN,
    IPCNET_CAN_BAD_LENGTH,
    IPCNET_CAN_LISTEN_ONLY,
    IPCNET_CAN_UNSUPPORTED,
};

/* What a drained run of records contained, so that nobody has to look at each. */
struct ipcnet_can_summary {
    uint32_t received, echoes, probe_echoes, errors, lost;
    double last_received_us, last_echo_us, last_probe_echo_us;
};

#define IPCNET_CAN_BATCH 64

struct ipcnet_can_in_flight {
    uint64_t key; /* 0: no longer in flight */
    uint32_t token;
    uint16_t overtaken;
    bool doubtful; /* its echo may have been among lost frames: not counted against the queue's length */
};

struct ipcnet_can {
    struct ipcnet_can_config config;
    const struct ipcnet_can_os *os;
    struct ipcnet_can_counters counters;
    int fd, index, error;
    uint32_t features;
    uint32_t receive_buffer_bytes;

    /* Owner's. */
    struct ipcnet_can_in_flight in_flight[IPCNET_CAN_TX_QUEUE_MAX * 2];
    uint32_t in_flight_head, in_flight_tail; /* positions that only rise */
    uint32_t in_flight_count;                /* live and not doubtful */

    /* Reader's. */
    uint32_t link_told;       /* the last of IPCNET_LINK_UP, _DOWN, _GONE that was told; 0 none yet */
    bool link_check;
    struct ipcnet_can_link link; /* as it was then */
    uint32_t overflow_seen;   /* lost frames to be told as a link event */
    uint32_t errors_in_a_row;
    uint32_t drop_counter, lost_before;
    struct mmsghdr messages[IPCNET_CAN_BATCH];
    struct canfd_frame payloads[IPCNET_CAN_BATCH];
    struct iovec vectors[IPCNET_CAN_BATCH];
    _Alignas(16) char controls[IPCNET_CAN_BATCH][128];
};

/* Prepares; opens nothing. Values out of range are brought into it. */
void ipcnet_can_init(struct ipcnet_can *self, const struct ipcnet_can_config *config, const struct ipcnet_can_os *os);

/* Opens and binds the socket. After IPCNET_CAN_OK the first ipcnet_can_link_event tells whether the link is up. */
enum ipcnet_can_status ipcnet_can_open(struct ipcnet_can *self);
void ipcnet_can_close(struct ipcnet_can *self);
bool ipcnet_can_is_open(const struct ipcnet_can *self);
/* The errno behind the last status that was not OK. */
int ipcnet_can_error(const struct ipcnet_can *self);
/* One sentence about `status` and, after a newline, the command that mends it. */
void ipcnet_can_explain(const struct ipcnet_can *self, enum ipcnet_can_status status, char *to, size_t size);
/* A stable word for it: "noKernelSupport", … */
const char *ipcnet_can_status_code(enum ipcnet_can_status status);

/* What to poll for reading: the socket (-1 when closed) and the link (-1 when there is nothing to poll). */
int ipcnet_can_socket_fd(const struct ipcnet_can *self);
int ipcnet_can_link_fd(const struct ipcnet_can *self);

/* Reader. Reads up to `max` records without waiting; returns how many. 0: nothing there, or a link event comes first.
 * So: receive, then link_event until false, and again, until both had nothing. */
size_t ipcnet_can_receive(struct ipcnet_can *self, struct ipcnet_can_frame *frames, size_t max);
/* Reader. What happened to the link since the last call: true and an event, or false. */
bool ipcnet_can_link_event(struct ipcnet_can *self, struct ipcnet_can_link_event *event);
/* Reader. Empties every queue to the wire and restarts nothing. True: `event` holds the answer; false: it comes as a link event. */
bool ipcnet_can_purge(struct ipcnet_can *self, struct ipcnet_can_link_event *event);
/* Reader. Restarts the controller. True: `event` holds the answer; false: success shows as an error frame or a link event. */
bool ipcnet_can_restart(struct ipcnet_can *self, struct ipcnet_can_link_event *event);

/* Owner. `time_us` is the deadline; 0 has expired. Never waits. */
enum ipcnet_can_verdict ipcnet_can_send(struct ipcnet_can *self, const struct ipcnet_can_frame *frame);
/* Owner. Gives echoes their tokens, frees their places in the queue, and counts what is there. To be called on all records, in order. */
void ipcnet_can_confirm(struct ipcnet_can *self, struct ipcnet_can_frame *frames, size_t count, struct ipcnet_can_summary *summary);
/* Owner. A link event that concerns frames in flight (PURGED, DROPPED, OVERFLOW, DOWN, GONE): returns how many left the queue by it. */
uint32_t ipcnet_can_note_event(struct ipcnet_can *self, const struct ipcnet_can_link_event *event);
/* Owner. Frames handed to the kernel and neither echoed nor given up. */
uint32_t ipcnet_can_in_flight_frames(const struct ipcnet_can *self);
/* Owner. */
bool ipcnet_can_may_purge(const struct ipcnet_can *self);
/* Reader. The link as it was when its last UP, DOWN or GONE was told. */
const struct ipcnet_can_link *ipcnet_can_last_link(const struct ipcnet_can *self);

/* Whether a controller runs as wanted: within 1 %, because one whose clock the rate does not divide tells what it really runs at, and the next rate in use is 4 % away. Unknown (0) is as wanted. */
bool ipcnet_can_same_rate(uint32_t runs_bps, uint32_t wanted_bps);

/* By which a frame is recognised when it comes back. Never 0. */
uint64_t ipcnet_can_key(uint32_t id_with_flags, uint8_t length_bytes, const uint8_t *data);

#endif
