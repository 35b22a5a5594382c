/*
 * rtnetlink: the few messages about CAN interfaces, as bytes. Builds requests, reads answers; opens and sends nothing.
 *
 * Requests are written into the caller's buffer (RTNETLINK_REQUEST_MAX is enough for each) and their length is returned. Answers are whatever
 * the kernel sent: lengths are checked before anything is read.
 */
#ifndef IPCNET_RTNETLINK_H
#define IPCNET_RTNETLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "can_os.h"

#define RTNETLINK_REQUEST_MAX 128

size_t rtnetlink_get_link(void *buffer, uint32_t sequence, int index);
size_t rtnetlink_set_up(void *buffer, uint32_t sequence, int index, bool up);
/* Restart after bus-off: what `ip link set can0 type can restart` sends. */
size_t rtnetlink_restart_can(void *buffer, uint32_t sequence, int index);
size_t rtnetlink_get_qdisc(void *buffer, uint32_t sequence, int index);

enum rtnetlink_answer { RTNETLINK_NOTHING, RTNETLINK_LINK, RTNETLINK_LINK_GONE, RTNETLINK_QDISC, RTNETLINK_ERROR, RTNETLINK_DONE };

struct rtnetlink_message {
    enum rtnetlink_answer kind;
    uint32_t sequence;
    int error;                    /* ERROR: 0 is an acknowledgement, else a negative errno */
    struct ipcnet_can_link link;  /* LINK, LINK_GONE (index alone) */
    int qdisc_index;              /* QDISC */
    bool qdisc_is_root;
    uint32_t qdisc_frames;        /* frames waiting */
};

/* Reads the message at the front of `bytes`; returns its length, 0 when there is no whole one. Kinds unknown here are NOTHING. */
size_t rtnetlink_read(const void *bytes, size_t length, struct rtnetlink_message *message);

#endif
