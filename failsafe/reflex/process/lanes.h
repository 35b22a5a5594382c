/*
 * lanes: the frame lane that the reflex writes for all brains, and the command lanes that it reads.
 *
 * Records are gathered and published together: at once when nothing was published lately, else when a slot is full or IPCNET_LANES_PACE_US have passed, so that
 * a busy bus does not use up the ring's slots with one frame each.
 */
#ifndef IPCNET_REFLEX_LANES_H
#define IPCNET_REFLEX_LANES_H

#include "lane.h"
#include "reflex.h"

#define IPCNET_LANES_COMMAND_LANES_MAX 8u
#define IPCNET_LANES_SLOTS 256u   /* at one every half millisecond: 128 ms that a brain may sleep through; 1 MiB */
#define IPCNET_LANES_PACE_US 500u
#define IPCNET_LANES_COMMANDS_PER_TURN 256u

struct ipcnet_lanes {
  struct ipcnet_lane_writer *frames;
  struct ipcnet_can_frame records[IPCNET_REFLEX_BATCH];
  uint32_t record_count;
  uint64_t published_us;
  struct ipcnet_lane_reader *commands[IPCNET_LANES_COMMAND_LANES_MAX];
  uint64_t commands_read, commands_lost, records_written;
};

/* 0, or a negative errno. */
int ipcnet_lanes_init(struct ipcnet_lanes *self);
/* Brains see the frame lane closed. Command lanes must be closed before. */
void ipcnet_lanes_destroy(struct ipcnet_lanes *self);

/* For struct ipcnet_reflex_os. */
void ipcnet_lanes_record(struct ipcnet_lanes *self, const struct ipcnet_can_frame *record, uint64_t now_us);
/* At the end of a turn: publishes and rings what is due. Returns when the rest is due; UINT64_MAX nothing waits. */
uint64_t ipcnet_lanes_flush(struct ipcnet_lanes *self, uint64_t now_us);

/* Opens a command lane: its place (≥ 0), or a negative errno. The lane's descriptor stays the caller's. `bell_for_writer` is the caller's to send and close. */
int ipcnet_lanes_open_commands(struct ipcnet_lanes *self, int lane_fd, int *bell_for_writer);
/* What is sent to the writer; the lane's own. */
int ipcnet_lanes_page_fd(const struct ipcnet_lanes *self, int place);
int ipcnet_lanes_bell_fd(const struct ipcnet_lanes *self, int place);
void ipcnet_lanes_close_commands(struct ipcnet_lanes *self, int place);

enum ipcnet_lanes_state { IPCNET_LANES_SLEEPS /* wait for its bell */, IPCNET_LANES_MORE /* call again */, IPCNET_LANES_ENDED /* closed, gone or broken */ };
/* Whether some wait, at the cost of a fence: asked in every turn. A writer whom ringing has cost too much, as on a machine that is kept from its processor, rings no more (IPCNET_LANE_DEMOTED_SILENT). */
bool ipcnet_lanes_have_commands(struct ipcnet_lanes *self, int place);
/* Gives what waits to the core, at most so many commands as one turn may have, and says what to do next. */
enum ipcnet_lanes_state ipcnet_lanes_read(struct ipcnet_lanes *self, int place, struct ipcnet_reflex *core, uint64_t now_us);

#endif
