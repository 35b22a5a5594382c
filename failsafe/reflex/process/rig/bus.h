/*
 * bus: an emulated bus on a thread of its own: every frame is acknowledged and passed on at once. On it stands one node, a joint, that follows docs/specs/claim.md by
 * drivers/nodekit and notes when it followed a new owner and when it accepted that owner's first command.
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
#define RIG_CLAIM_ID 0x010u
#define RIG_COMMAND_ID 0x101u
#define RIG_COMMAND_DATA_ID 0x1234u
#define RIG_BRAKE_ID 0x103u
#define RIG_STATE_ID 0x181u
#define RIG_STATE_DATA_ID 0x4321u
#define RIG_STATE_PERIOD_US 5000u

/* What the node has seen; copied out under the lock. */
struct rig_seen {
  uint16_t epoch;             /* followed */
  uint8_t owner;
  uint64_t followed_us;       /* when it began to follow this epoch */
  uint64_t accepted_us;       /* its first accepted command since; 0 none yet */
  uint64_t followed, accepted, refused, stale_accepted; /* ever. stale_accepted: of another than the newest epoch; must stay 0 */
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

struct rig_client { int fd; pid_t pid; bool welcomed; size_t filled; uint8_t buffer[96 * 64]; char name[32]; };

struct rig_bus {
  char path[100];
  int listener, stop_fd;
  pthread_t thread;
  struct rig_client clients[RIG_CLIENTS_MAX];
  pthread_mutex_t lock;
  pthread_cond_t changed;     /* after every frame that the node has judged */
  struct rig_seen seen;
  uint16_t newest_epoch, accepted_epoch;
  struct ipcnet_node node;
  struct ipcnet_node_command command;
  struct ipcnet_node_options options;
  uint32_t state_counter;
  uint64_t state_due_us;
  _Atomic uint64_t turns;
  uint8_t reported_owner;
  _Atomic pid_t cut_pids[2];  /* the cables of these processes are cut: nobody hears them, acknowledges them or is heard by them; 0 none */
  _Atomic bool mute;          /* the node says nothing */
  _Atomic uint32_t waiting;   /* frames in the controller, as whoever comes is told */
  _Atomic bool unacknowledged;/* nobody acknowledges: frames stay in flight */
  struct rig_bus_guest guest;
};

/* Listens at `path`. `priority`: SCHED_FIFO, 0 none. `guest`: who else is on the bus; NULL nobody. */
bool rig_bus_start(struct rig_bus *self, const char *path, int priority, const struct rig_bus_guest *guest);
void rig_bus_stop(struct rig_bus *self);
struct rig_seen rig_bus_seen(struct rig_bus *self);
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
