#include "reflex_twin.h"

/* ---- The table -------------------------------------------------------------------------------------------------------------------------- */

#define KILL IPCNET_TWIN_DO_KILL
#define STORE IPCNET_TWIN_DO_STORE_EPOCH
#define CLAIM IPCNET_TWIN_DO_SEND_CLAIM
#define TAKE IPCNET_TWIN_DO_TAKE_OVER
#define LOCK IPCNET_TWIN_DO_TRY_LOCK
#define TELL IPCNET_TWIN_DO_PUBLISH
/* Every way out of a role that holds the lock: silent first, and only then is it given back. */
#define LET_GO (IPCNET_TWIN_DO_SILENCE | IPCNET_TWIN_DO_RELEASE | IPCNET_TWIN_DO_PUBLISH)
/* The lock came to a role that had not asked, or no longer wants it. */
#define GIVE_BACK IPCNET_TWIN_DO_RELEASE

#define TO(role, effects) { IPCNET_TWIN_##role, effects }

/* No default: an event that is added without a thought about every role leaves a cell of zeros, and the test counts the cells. */
static const struct ipcnet_twin_step TABLE[IPCNET_TWIN_ROLES][IPCNET_TWIN_EVENTS] = {
  [IPCNET_TWIN_STARTING] = {
    [IPCNET_TWIN_LOCK_GRANTED] = TO(CLAIMING, STORE | TELL),
    [IPCNET_TWIN_LOCK_HELD] = TO(STANDBY, TELL),
    [IPCNET_TWIN_OWNER_SUSPECT] = TO(STARTING, 0),
    [IPCNET_TWIN_OWNER_DEAD] = TO(STARTING, 0),
    [IPCNET_TWIN_FENCE_EXPIRED] = TO(STARTING, 0),
    [IPCNET_TWIN_EPOCH_STORED] = TO(STARTING, 0),
    [IPCNET_TWIN_CLAIM_SENT] = TO(STARTING, 0),
    [IPCNET_TWIN_CLAIM_CONFIRMED] = TO(STARTING, 0),
    [IPCNET_TWIN_CLAIM_EXPIRED] = TO(STARTING, 0),
    [IPCNET_TWIN_HIGHER_EPOCH] = TO(STARTING, 0), /* known when it claims */
    [IPCNET_TWIN_SELF_FENCED] = TO(STARTING, 0),
    [IPCNET_TWIN_OTHER_HOST_SILENT] = TO(STARTING, 0),
    [IPCNET_TWIN_YIELD_ASKED] = TO(STARTING, 0),
    [IPCNET_TWIN_YIELDED_TO_US] = TO(STARTING, 0),
    [IPCNET_TWIN_YIELD_DONE] = TO(STARTING, 0),
    [IPCNET_TWIN_YIELD_EXPIRED] = TO(STARTING, 0),
    [IPCNET_TWIN_STOP_ASKED] = TO(STOPPED, TELL),
    [IPCNET_TWIN_STORE_FAILED] = TO(STOPPED, TELL),
  },
  [IPCNET_TWIN_STANDBY] = {
    [IPCNET_TWIN_LOCK_GRANTED] = TO(CLAIMING, STORE | TELL),
    [IPCNET_TWIN_LOCK_HELD] = TO(STANDBY, 0),
    [IPCNET_TWIN_OWNER_SUSPECT] = TO(FENCING, KILL | TELL),
    [IPCNET_TWIN_OWNER_DEAD] = TO(FENCING, LOCK | TELL), /* nobody left to kill */
    [IPCNET_TWIN_FENCE_EXPIRED] = TO(STANDBY, 0),
    [IPCNET_TWIN_EPOCH_STORED] = TO(STANDBY, 0),
    [IPCNET_TWIN_CLAIM_SENT] = TO(STANDBY, 0),
    [IPCNET_TWIN_CLAIM_CONFIRMED] = TO(STANDBY, 0),
    [IPCNET_TWIN_CLAIM_EXPIRED] = TO(STANDBY, 0),
    [IPCNET_TWIN_HIGHER_EPOCH] = TO(STANDBY, 0),
    [IPCNET_TWIN_SELF_FENCED] = TO(STANDBY, 0),
    [IPCNET_TWIN_OTHER_HOST_SILENT] = TO(STANDBY, 0),
    [IPCNET_TWIN_YIELD_ASKED] = TO(STANDBY, 0), /* not ours to give */
    [IPCNET_TWIN_YIELDED_TO_US] = TO(STANDBY, LOCK),
    [IPCNET_TWIN_YIELD_DONE] = TO(STANDBY, 0),
    [IPCNET_TWIN_YIELD_EXPIRED] = TO(STANDBY, 0),
    [IPCNET_TWIN_STOP_ASKED] = TO(STOPPED, TELL),
    [IPCNET_TWIN_STORE_FAILED] = TO(STOPPED, TELL),
  },
  [IPCNET_TWIN_FENCING] = {
    [IPCNET_TWIN_LOCK_GRANTED] = TO(CLAIMING, STORE | TELL),
    [IPCNET_TWIN_LOCK_HELD] = TO(STANDBY, TELL), /* one that was started anew was quicker */
    [IPCNET_TWIN_OWNER_SUSPECT] = TO(FENCING, 0),
    [IPCNET_TWIN_OWNER_DEAD] = TO(FENCING, LOCK),
    [IPCNET_TWIN_FENCE_EXPIRED] = TO(FENCING, KILL | TELL),
    [IPCNET_TWIN_EPOCH_STORED] = TO(FENCING, 0),
    [IPCNET_TWIN_CLAIM_SENT] = TO(FENCING, 0),
    [IPCNET_TWIN_CLAIM_CONFIRMED] = TO(FENCING, 0),
    [IPCNET_TWIN_CLAIM_EXPIRED] = TO(FENCING, 0),
    [IPCNET_TWIN_HIGHER_EPOCH] = TO(FENCING, 0),
    [IPCNET_TWIN_SELF_FENCED] = TO(FENCING, 0),
    [IPCNET_TWIN_OTHER_HOST_SILENT] = TO(FENCING, 0),
    [IPCNET_TWIN_YIELD_ASKED] = TO(FENCING, 0),
    [IPCNET_TWIN_YIELDED_TO_US] = TO(FENCING, 0), /* it was killed after it said so: its death comes */
    [IPCNET_TWIN_YIELD_DONE] = TO(FENCING, 0),
    [IPCNET_TWIN_YIELD_EXPIRED] = TO(FENCING, 0),
    [IPCNET_TWIN_STOP_ASKED] = TO(STOPPED, TELL),
    [IPCNET_TWIN_STORE_FAILED] = TO(STOPPED, TELL),
  },
  [IPCNET_TWIN_CLAIMING] = {
    [IPCNET_TWIN_LOCK_GRANTED] = TO(CLAIMING, 0),
    [IPCNET_TWIN_LOCK_HELD] = TO(OUTVOTED, LET_GO), /* cannot be; but then it is not ours */
    [IPCNET_TWIN_OWNER_SUSPECT] = TO(CLAIMING, 0),
    [IPCNET_TWIN_OWNER_DEAD] = TO(CLAIMING, 0),
    [IPCNET_TWIN_FENCE_EXPIRED] = TO(CLAIMING, 0),
    [IPCNET_TWIN_EPOCH_STORED] = TO(CLAIMING, CLAIM),
    [IPCNET_TWIN_CLAIM_SENT] = TO(OWNER, TAKE | TELL),
    [IPCNET_TWIN_CLAIM_CONFIRMED] = TO(OWNER, TAKE | TELL),
    [IPCNET_TWIN_CLAIM_EXPIRED] = TO(OUTVOTED, LET_GO),
    [IPCNET_TWIN_HIGHER_EPOCH] = TO(OUTVOTED, LET_GO),
    [IPCNET_TWIN_SELF_FENCED] = TO(OUTVOTED, LET_GO),
    [IPCNET_TWIN_OTHER_HOST_SILENT] = TO(CLAIMING, 0),
    [IPCNET_TWIN_YIELD_ASKED] = TO(CLAIMING, 0), /* asked again once it owns */
    [IPCNET_TWIN_YIELDED_TO_US] = TO(CLAIMING, 0),
    [IPCNET_TWIN_YIELD_DONE] = TO(CLAIMING, 0),
    [IPCNET_TWIN_YIELD_EXPIRED] = TO(CLAIMING, 0),
    [IPCNET_TWIN_STOP_ASKED] = TO(STOPPED, LET_GO),
    [IPCNET_TWIN_STORE_FAILED] = TO(STOPPED, LET_GO),
  },
  [IPCNET_TWIN_OWNER] = {
    [IPCNET_TWIN_LOCK_GRANTED] = TO(OWNER, 0),
    [IPCNET_TWIN_LOCK_HELD] = TO(OUTVOTED, LET_GO), /* cannot be; but then it is not ours */
    [IPCNET_TWIN_OWNER_SUSPECT] = TO(OWNER, 0),
    [IPCNET_TWIN_OWNER_DEAD] = TO(OWNER, 0),
    [IPCNET_TWIN_FENCE_EXPIRED] = TO(OWNER, 0),
    [IPCNET_TWIN_EPOCH_STORED] = TO(OWNER, 0),
    [IPCNET_TWIN_CLAIM_SENT] = TO(OWNER, 0),
    [IPCNET_TWIN_CLAIM_CONFIRMED] = TO(OWNER, 0),
    [IPCNET_TWIN_CLAIM_EXPIRED] = TO(OWNER, 0),
    [IPCNET_TWIN_HIGHER_EPOCH] = TO(OUTVOTED, LET_GO),
    [IPCNET_TWIN_SELF_FENCED] = TO(OUTVOTED, LET_GO),
    [IPCNET_TWIN_OTHER_HOST_SILENT] = TO(OWNER, 0),
    [IPCNET_TWIN_YIELD_ASKED] = TO(YIELDING, LET_GO),
    [IPCNET_TWIN_YIELDED_TO_US] = TO(OWNER, 0),
    [IPCNET_TWIN_YIELD_DONE] = TO(OWNER, 0),
    [IPCNET_TWIN_YIELD_EXPIRED] = TO(OWNER, 0),
    [IPCNET_TWIN_STOP_ASKED] = TO(STOPPED, LET_GO),
    [IPCNET_TWIN_STORE_FAILED] = TO(OWNER, 0), /* its own epoch is kept; the next one is asked for when it is needed */
  },
  [IPCNET_TWIN_YIELDING] = {
    [IPCNET_TWIN_LOCK_GRANTED] = TO(CLAIMING, STORE | TELL),
    [IPCNET_TWIN_LOCK_HELD] = TO(STANDBY, TELL), /* the other has it; its beat is judged from now on */
    [IPCNET_TWIN_OWNER_SUSPECT] = TO(FENCING, KILL | TELL),
    [IPCNET_TWIN_OWNER_DEAD] = TO(YIELDING, LOCK),
    [IPCNET_TWIN_FENCE_EXPIRED] = TO(YIELDING, 0),
    [IPCNET_TWIN_EPOCH_STORED] = TO(YIELDING, 0),
    [IPCNET_TWIN_CLAIM_SENT] = TO(YIELDING, 0),
    [IPCNET_TWIN_CLAIM_CONFIRMED] = TO(YIELDING, 0),
    [IPCNET_TWIN_CLAIM_EXPIRED] = TO(YIELDING, 0),
    [IPCNET_TWIN_HIGHER_EPOCH] = TO(YIELDING, 0), /* its successor's, most likely */
    [IPCNET_TWIN_SELF_FENCED] = TO(YIELDING, 0),
    [IPCNET_TWIN_OTHER_HOST_SILENT] = TO(YIELDING, 0),
    [IPCNET_TWIN_YIELD_ASKED] = TO(YIELDING, 0),
    [IPCNET_TWIN_YIELDED_TO_US] = TO(YIELDING, 0),
    [IPCNET_TWIN_YIELD_DONE] = TO(STANDBY, TELL),
    [IPCNET_TWIN_YIELD_EXPIRED] = TO(YIELDING, LOCK),
    [IPCNET_TWIN_STOP_ASKED] = TO(STOPPED, TELL),
    [IPCNET_TWIN_STORE_FAILED] = TO(STOPPED, TELL),
  },
  [IPCNET_TWIN_OUTVOTED] = {
    [IPCNET_TWIN_LOCK_GRANTED] = TO(CLAIMING, STORE | TELL),
    [IPCNET_TWIN_LOCK_HELD] = TO(STANDBY, TELL),
    [IPCNET_TWIN_OWNER_SUSPECT] = TO(OUTVOTED, 0),
    [IPCNET_TWIN_OWNER_DEAD] = TO(OUTVOTED, 0),
    [IPCNET_TWIN_FENCE_EXPIRED] = TO(OUTVOTED, 0),
    [IPCNET_TWIN_EPOCH_STORED] = TO(OUTVOTED, 0),
    [IPCNET_TWIN_CLAIM_SENT] = TO(OUTVOTED, 0),
    [IPCNET_TWIN_CLAIM_CONFIRMED] = TO(OUTVOTED, 0), /* too late */
    [IPCNET_TWIN_CLAIM_EXPIRED] = TO(OUTVOTED, 0),
    [IPCNET_TWIN_HIGHER_EPOCH] = TO(OUTVOTED, 0),
    [IPCNET_TWIN_SELF_FENCED] = TO(OUTVOTED, 0),
    [IPCNET_TWIN_OTHER_HOST_SILENT] = TO(OUTVOTED, LOCK),
    [IPCNET_TWIN_YIELD_ASKED] = TO(OUTVOTED, 0),
    [IPCNET_TWIN_YIELDED_TO_US] = TO(OUTVOTED, 0),
    [IPCNET_TWIN_YIELD_DONE] = TO(OUTVOTED, 0),
    [IPCNET_TWIN_YIELD_EXPIRED] = TO(OUTVOTED, 0),
    [IPCNET_TWIN_STOP_ASKED] = TO(STOPPED, TELL),
    [IPCNET_TWIN_STORE_FAILED] = TO(STOPPED, TELL),
  },
  [IPCNET_TWIN_STOPPED] = { /* for good: only a new process begins again */
    [IPCNET_TWIN_LOCK_GRANTED] = TO(STOPPED, GIVE_BACK),
    [IPCNET_TWIN_LOCK_HELD] = TO(STOPPED, 0),
    [IPCNET_TWIN_OWNER_SUSPECT] = TO(STOPPED, 0),
    [IPCNET_TWIN_OWNER_DEAD] = TO(STOPPED, 0),
    [IPCNET_TWIN_FENCE_EXPIRED] = TO(STOPPED, 0),
    [IPCNET_TWIN_EPOCH_STORED] = TO(STOPPED, 0),
    [IPCNET_TWIN_CLAIM_SENT] = TO(STOPPED, 0),
    [IPCNET_TWIN_CLAIM_CONFIRMED] = TO(STOPPED, 0),
    [IPCNET_TWIN_CLAIM_EXPIRED] = TO(STOPPED, 0),
    [IPCNET_TWIN_HIGHER_EPOCH] = TO(STOPPED, 0),
    [IPCNET_TWIN_SELF_FENCED] = TO(STOPPED, 0),
    [IPCNET_TWIN_OTHER_HOST_SILENT] = TO(STOPPED, 0),
    [IPCNET_TWIN_YIELD_ASKED] = TO(STOPPED, 0),
    [IPCNET_TWIN_YIELDED_TO_US] = TO(STOPPED, 0),
    [IPCNET_TWIN_YIELD_DONE] = TO(STOPPED, 0),
    [IPCNET_TWIN_YIELD_EXPIRED] = TO(STOPPED, 0),
    [IPCNET_TWIN_STOP_ASKED] = TO(STOPPED, 0),
    [IPCNET_TWIN_STORE_FAILED] = TO(STOPPED, 0),
  },
};

struct ipcnet_twin_step ipcnet_twin_next(enum ipcnet_twin_role role, enum ipcnet_twin_event event) {
  if ((unsigned)role >= IPCNET_TWIN_ROLES || (unsigned)event >= IPCNET_TWIN_EVENTS) return (struct ipcnet_twin_step){IPCNET_TWIN_STOPPED, LET_GO};
  return TABLE[role][event];
}

bool ipcnet_twin_may_send(enum ipcnet_twin_role role) {
  return role == IPCNET_TWIN_OWNER;
}

bool ipcnet_twin_holds_lock(enum ipcnet_twin_role role) {
  return role == IPCNET_TWIN_CLAIMING || role == IPCNET_TWIN_OWNER;
}

/* ---- Names ------------------------------------------------------------------------------------------------------------------------------ */

const char *ipcnet_twin_role_name(enum ipcnet_twin_role role) {
  static const char *const NAMES[IPCNET_TWIN_ROLES] = {"starting", "standby", "fencing", "claiming", "owner", "yielding", "outvoted", "stopped"};
  return (unsigned)role < IPCNET_TWIN_ROLES ? NAMES[role] : "?";
}

const char *ipcnet_twin_event_name(enum ipcnet_twin_event event) {
  static const char *const NAMES[IPCNET_TWIN_EVENTS] = {
    "lockGranted", "lockHeld", "ownerSuspect", "ownerDead", "fenceExpired", "epochStored", "claimSent", "claimConfirmed", "claimExpired", "higherEpoch",
    "selfFenced", "otherHostSilent", "yieldAsked", "yieldedToUs", "yieldDone", "yieldExpired", "stopAsked", "storeFailed"};
  return (unsigned)event < IPCNET_TWIN_EVENTS ? NAMES[event] : "?";
}

/* ---- Judging the other's beat ----------------------------------------------------------------------------------------------------------- */

void ipcnet_twin_watch_init(struct ipcnet_twin_watch *self, uint64_t deadline_us, uint64_t now_us) {
  *self = (struct ipcnet_twin_watch){.deadline_us = deadline_us, .changed_us = now_us, .looked_us = now_us};
}

bool ipcnet_twin_watch_look(struct ipcnet_twin_watch *self, uint64_t beat, uint64_t now_us) {
  if (now_us < self->looked_us) now_us = self->looked_us; /* a clock that goes back stands still */
  bool was_late = now_us - self->looked_us > self->deadline_us / 2;
  self->looked_us = now_us;
  if (was_late) self->late += 1;
  if (was_late || beat != self->beat) {
    self->beat = beat;
    self->changed_us = self->looked_us;
    return false;
  }
  return self->looked_us - self->changed_us >= self->deadline_us;
}

/* ---- Epochs ----------------------------------------------------------------------------------------------------------------------------- */

bool ipcnet_epoch_newer(uint16_t a, uint16_t b) {
  if (a == 0 || b == 0) return a != 0;
  uint16_t ahead = (uint16_t)(a - b);
  return ahead != 0 && ahead < 0x8000u;
}

uint16_t ipcnet_epoch_next(const uint16_t *known, size_t count) {
  uint16_t newest = 0;
  for (size_t i = 0; i < count; i++) {
    if (ipcnet_epoch_newer(known[i], newest)) newest = known[i];
  }
  return newest == 0xFFFFu ? 1 : (uint16_t)(newest + 1);
}
