/*
 * bus: an emulated bus on a thread of its own: every frame is acknowledged and passed on at once. On it stands a joint, or two, that follow docs/specs/claim.md by
 * drivers/nodekit and note when they followed a new owner and when they accepted that owner's first command. The wire can break: then each half hears itself alone.
 */
#ifndef IPCNET_RIG_BUS_H
#define IPCNET_RIG_BUS_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "../../../../drivers/can/core/ipcnet_can.h"
#include "../../../../drivers/nodekit/ipcnet_node.h"

#define RIG_CLIENTS_MAX 8
#define RIG_JOINTS_MAX 2u
#define RIG_CLAIM_ID 0x010u
/* Of the first joint; the second one's are one more. */
#define RIG_COMMAND_ID 0x101u
#define RIG_COMMAND_DATA_ID 0x1234u
#define RIG_BRAKE_ID 0x103u
#define RIG_STATE_ID 0x181u
#define RIG_STATE_DATA_ID 0x4321u
#define RIG_STATE_PERIOD_US 5000u

/* What a joint has seen; copied out under the lock. `brakes` and `frames` are the whole bus's, told with the first joint. */
struct rig_seen {
  uint16_t epoch;             /* followed */
  uint8_t owner;
  uint64_t followed_us;       /* when it began to follow this epoch */
  uint64_t accepted_us;       /* its first accepted command since; 0 none yet */
  uint64_t followed, accepted, refused, stale_accepted; /* ever. stale_accepted: of another epoch or owner than it follows; must stay 0 */
  uint64_t accepted_of[4];    /* by the owner that the command names */
  uint64_t last_accepted_us, brakes, frames;
  uint64_t last_gap_us;       /* the longest between two accepted commands since `followed` changed */
  int16_t target, reported;   /* as commanded; as the node's last frame says */
  uint64_t reported_us;       /* time stamp of that frame */
  bool two_owners;            /* commands of two epochs were accepted in turn */
};

/* Who else stands on the bus: `heard` is called with every frame of a reflex, `period` with each frame of the joint (also while it is mute), both on the bus's thread under its lock. They may inject. */
struct rig_bus_guest {
  void (*heard)(void *context, const struct ipcnet_can_frame *frame, uint64_t now_us);
  void (*period)(void *context);
  void *context;
};

struct rig_client { int fd; pid_t group; bool welcomed, waits; size_t filled; uint8_t buffer[96 * 64]; char name[32]; };

struct rig_joint {
  struct ipcnet_node node;
  struct ipcnet_node_command command;
  struct rig_seen seen;
  uint16_t newest_epoch, accepted_epoch;
  uint32_t state_counter;
  uint64_t state_due_us;
  uint8_t reported_owner;
};

struct rig_bus {
  char path[100];
  int listener, stop_fd;
  pthread_t thread;
  struct rig_client clients[RIG_CLIENTS_MAX];
  pthread_mutex_t lock;
  pthread_cond_t changed;     /* after every frame that a joint has judged */
  struct rig_joint joints[RIG_JOINTS_MAX];
  uint32_t joint_count;
  struct ipcnet_node_options options;
  _Atomic uint64_t turns;
  _Atomic uint64_t far;       /* the wire is broken: who is on the far side, joints by their bits << 32 | a process group; 0 whole */
  _Atomic bool mute;          /* the joints say nothing */
  _Atomic bool busy;          /* whoever claims waits, at most HOLD_US, until somebody of another group claims as well: then arbitration decides who is first */
  uint64_t held_until_us;     /* somebody waits so long */
  _Atomic uint32_t waiting;   /* frames in the controller, as whoever comes is told */
  _Atomic bool unacknowledged;/* nobody acknowledges: frames stay in flight */
  struct rig_bus_guest guest;
};

/* Listens at `path`. `priority`: SCHED_FIFO, 0 none. `guest`: who else is on the bus; NULL nobody. */
bool rig_bus_start(struct rig_bus *self, const char *path, int priority, const struct rig_bus_guest *guest);
void rig_bus_stop(struct rig_bus *self);
struct rig_seen rig_bus_seen(struct rig_bus *self);
struct rig_seen rig_bus_seen_of(struct rig_bus *self, uint32_t joint);
/* Two of them, from now on. Before anybody is on the bus. */
void rig_bus_second_joint(struct rig_bus *self);
/*
 * The wire breaks: beyond it are the processes of this group and the joints whose bits are set; whoever is alone on its side, but for processes of its own group, is acknowledged by nobody.
 * So a group without joints is cut off. 0, 0: whole again.
 */
void rig_bus_break(struct rig_bus *self, pid_t group, uint32_t joints);
/* From now on the node says after so long without its owner that it does not hear it. Before anybody is on the bus. */
void rig_bus_says_quiet_after(struct rig_bus *self, uint32_t quiet_us);
/* Waits for the node to judge something; false: `until_us` has passed. */
bool rig_bus_wait(struct rig_bus *self, uint64_t until_us);
/* A frame from the node, or from an intruder. Returns its time stamp, taken just before it is sent. */
uint64_t rig_bus_inject(struct rig_bus *self, uint32_t id, const uint8_t *data, uint8_t length);
/* All that was sent to the bus before is judged. */
void rig_bus_drain(struct rig_bus *self);
uint64_t rig_now_us(void);

#endif
