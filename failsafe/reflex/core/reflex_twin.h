/*
 * reflex_twin: which of the twins owns the bus. Pure: a total table of roles and events; the process (failsafe/reflex/process) and the simulator tell it what happened and do what it says.
 *
 * Rules
 *   - The lock decides: only who holds it sends, and the kernel gives it back when a process has died to its last thread. So LOCK_GRANTED is a proof, whatever else was thought;
 *     everything else here is about getting it soon.
 *   - Fence, then take: a standby asks for the lock only when the other's death is proven (its pidfd), when it has handed over, or when it does not claim to own anything.
 *     Killed and not dead (a driver that never returns): it waits and kills again; the nodes' dead-man acts.
 *   - Timers never decide that the other is dead, only that it must be killed.
 *   - Whoever was late himself accuses nobody: if the gap between two of our own looks exceeds half the deadline, the deadline begins anew.
 *   - An epoch is used once: it is stored before the first frame that carries it. Who cannot store it gives the lock back and stops for good.
 *   - The first frame of an owner is a CLAIM. An owner that hears a higher epoch, or that hears no node carrying its own (two hosts), stops at once and gives the lock back.
 *   - Roles that hold the lock: CLAIMING, OWNER. All others give it back on entering, after they have fallen silent.
 */
#ifndef IPCNET_REFLEX_TWIN_H
#define IPCNET_REFLEX_TWIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum ipcnet_twin_role {
  IPCNET_TWIN_STARTING,  /* no lock asked for yet, store not read */
  IPCNET_TWIN_STANDBY,   /* the other owns the bus (it holds the lock, or says so) */
  IPCNET_TWIN_FENCING,   /* the other must be dead: killed, waiting for the proof, then for the lock */
  IPCNET_TWIN_CLAIMING,  /* sole heir on this host; the epoch is being stored, then CLAIM goes out; two hosts: waits for its slot and the nodes' confirmation */
  IPCNET_TWIN_OWNER,
  IPCNET_TWIN_YIELDING,  /* planned hand-over: silent, waits until the other says it has taken over */
  IPCNET_TWIN_OUTVOTED,  /* another host's epoch is higher, or no node follows us: silent, without the lock; claims again only when the other owner is gone and nothing moves, or by order */
  IPCNET_TWIN_STOPPED,
  IPCNET_TWIN_ROLES
};

enum ipcnet_twin_event {
  IPCNET_TWIN_LOCK_GRANTED,   /* the lock file is ours: nobody else on this host owns the bus. In a role that did not want it: it is given back. */
  IPCNET_TWIN_LOCK_HELD,      /* somebody else has it, or (told to an outvoted one) says it owns the bus */
  IPCNET_TWIN_OWNER_SUSPECT,  /* its robust word says it died, or its beat stands still for the deadline */
  IPCNET_TWIN_OWNER_DEAD,     /* pidfd: proven */
  IPCNET_TWIN_FENCE_EXPIRED,  /* killed, and no proof within the fence time (uninterruptible sleep) */
  IPCNET_TWIN_EPOCH_STORED,
  IPCNET_TWIN_CLAIM_SENT,     /* one host: on every bus with a claim id its frame was handed over. With two hosts it is not told: the nodes decide. */
  IPCNET_TWIN_CLAIM_CONFIRMED,/* two hosts: nodes report our epoch */
  IPCNET_TWIN_CLAIM_EXPIRED,  /* nobody confirmed */
  IPCNET_TWIN_HIGHER_EPOCH,   /* heard from another host, or from a node */
  IPCNET_TWIN_SELF_FENCED,    /* owner of two hosts: no echo and no node with our epoch for T_self */
  IPCNET_TWIN_OTHER_HOST_SILENT, /* the other host's owner was not heard for its time, and the nodes no longer report it */
  IPCNET_TWIN_YIELD_ASKED,    /* an operator, or an update, wants the other to take over; only with a healthy standby */
  IPCNET_TWIN_YIELDED_TO_US,  /* the owner has stopped sending and released the lock to us */
  IPCNET_TWIN_YIELD_DONE,     /* the other owns it now */
  IPCNET_TWIN_YIELD_EXPIRED,  /* the other did not take it in time: ours again, with a new epoch */
  IPCNET_TWIN_STOP_ASKED,     /* after the safe pose; or a latched malfunction */
  IPCNET_TWIN_STORE_FAILED,   /* the epoch cannot be kept: a malfunction, never owner again */
  IPCNET_TWIN_EVENTS
};

/* What to do on entering a role or on an event: a set. */
enum ipcnet_twin_effect {
  IPCNET_TWIN_DO_KILL = 1,          /* SIGKILL through the pidfd, and begin the fence time anew */
  IPCNET_TWIN_DO_STORE_EPOCH = 2,   /* max(stored, heard, the other's) + 1; answer EPOCH_STORED */
  IPCNET_TWIN_DO_SEND_CLAIM = 4,    /* answer CLAIM_SENT */
  IPCNET_TWIN_DO_TAKE_OVER = 8,     /* counters, set-points' deadlines, arming and the run from the other's page; then commands are accepted */
  IPCNET_TWIN_DO_SILENCE = 16,      /* from now on nothing is sent; waiting frames are dropped */
  IPCNET_TWIN_DO_RELEASE = 32,      /* the lock goes to the other, with a goodbye in our page */
  IPCNET_TWIN_DO_TRY_LOCK = 64,     /* answer LOCK_GRANTED or LOCK_HELD */
  IPCNET_TWIN_DO_PUBLISH = 128,     /* the role in our page, an event for people */
};

struct ipcnet_twin_step { enum ipcnet_twin_role role; uint32_t effects; };
/* Total: every role × event has a cell; those without meaning stay and do nothing. Effects are performed from the lowest bit to the highest, SILENCE before all others. */
struct ipcnet_twin_step ipcnet_twin_next(enum ipcnet_twin_role role, enum ipcnet_twin_event event);
/* Commands and plans. A role that is claiming sends its CLAIM and nothing else. */
bool ipcnet_twin_may_send(enum ipcnet_twin_role role);
/* Whether the lock stays with us in this role. */
bool ipcnet_twin_holds_lock(enum ipcnet_twin_role role);
const char *ipcnet_twin_role_name(enum ipcnet_twin_role role);
const char *ipcnet_twin_event_name(enum ipcnet_twin_event event);

/* ---- Judging the other's beat ---------------------------------------------------------------------------------------------------------- */

struct ipcnet_twin_watch {
  uint64_t deadline_us;
  uint64_t beat, changed_us; /* the other's counter and when we saw it change */
  uint64_t looked_us;
  uint64_t late;             /* how often we were late ourselves; only rises */
};
void ipcnet_twin_watch_init(struct ipcnet_twin_watch *self, uint64_t deadline_us, uint64_t now_us);
/* Once a millisecond. True: the other stands still. */
bool ipcnet_twin_watch_look(struct ipcnet_twin_watch *self, uint64_t beat, uint64_t now_us);

/* ---- Epochs ---------------------------------------------------------------------------------------------------------------------------- */

/* 16 bits on the wire, serial arithmetic (RFC 1982): true if `a` is newer than `b`. */
bool ipcnet_epoch_newer(uint16_t a, uint16_t b);
/* The epoch to use next: newer than all of these (0 = unknown, and whatever is not 0 is newer); never 0. */
uint16_t ipcnet_epoch_next(const uint16_t *known, size_t count);

#endif
