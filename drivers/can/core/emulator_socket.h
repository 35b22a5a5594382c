/*
 * The emulated CAN bus behind the same struct of functions as the kernel. It speaks the protocol of docs/specs/bus-emulator.md (96-byte records over a
 * Unix stream socket) and answers as AF_CAN would: echoes are frames with MSG_CONFIRM, a full queue is ENOBUFS, a peer that went away is ENODEV.
 *
 * The interface's name is the path of the server's socket. Time stamps are CLOCK_MONOTONIC already.
 * Threads as in ipcnet_can.h; the two roles share atomics only.
 */
#ifndef IPCNET_EMULATOR_SOCKET_H
#define IPCNET_EMULATOR_SOCKET_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "can_os.h"
#include "ipcnet_can.h"

#define IPCNET_EMULATOR_RECORD_BYTES 96
#define IPCNET_EMULATOR_BUFFER_RECORDS 64
#define IPCNET_EMULATOR_EVENTS 64

struct ipcnet_emulator {
    char path[108];
    char bus_name[32];  /* by which the server knows the bus */
    char node_name[32]; /* for whoever looks at the bus */
    uint32_t controller; /* who names the same number shares one controller, as sockets share an interface; 0: one of its own. Set before it is opened */
    bool listen_only;

    /* Owner's until bound. */
    bool wants_fd;
    int bound_fd;

    /* Shared: sent minus echoed minus dropped, and what WELCOME, LINK and STATE said. */
    _Atomic uint32_t in_flight, queue_frames, bitrate_bps;
    _Atomic bool welcomed, link_up, fd;
    _Atomic uint32_t bus_state, counters; /* TEC << 16 | REC */
    _Atomic bool purging;
    _Atomic uint32_t waiting; /* frames of whoever was there before, as WELCOME said; until the link goes down */

    /* Reader's. */
    unsigned char buffer[IPCNET_EMULATOR_RECORD_BYTES * IPCNET_EMULATOR_BUFFER_RECORDS];
    size_t start, filled;
    bool gone;
    char refusal[64];
    struct ipcnet_can_link_event events[IPCNET_EMULATOR_EVENTS];
    uint32_t events_head, events_tail;
};

/* Names longer than their fields are cut. */
void ipcnet_emulator_init(struct ipcnet_emulator *self, const char *bus_name, const char *node_name, bool listen_only);
struct ipcnet_can_os ipcnet_emulator_os(struct ipcnet_emulator *self);

#endif
