#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "failpoint.h"
#include "fence.h"
#include "process.h"

#define FENCE_US 20000u      /* from SIGKILL to the proof of death, before it is killed again */
#define YIELD_US 50000u      /* how long the other may take to take the bus that is handed to it */
#define LOCK_RETRY_US 5000u  /* a standby whose twin owns nothing asks so often */
#define STORE_US 10000000u   /* a disk that does not answer for so long is none: the lock goes to whoever has a better one */
#define RESERVE_AHEAD 4u     /* epochs; each costs one write to the disk */
#define STANDSTILL_US 1000000u /* processors that stand still for so long are as good as lost: then it is not waited for them */

/* ---- What the core is told ------------------------------------------------------------------------------------------------------------------- */

static const struct ipcnet_reflex_page *others_page(const struct ipcnet_process *self) {
  return self->borrowed->magic != 0 ? self->borrowed : self->link.page;
}

static void tell(struct ipcnet_process *self, enum ipcnet_twin_event event) {
  ipcnet_reflex_twin_event(self->core, event, others_page(self), self->now_us);
}

static enum ipcnet_twin_role others_role(const struct ipcnet_process *self) {
  return self->link.alive ? (enum ipcnet_twin_role)self->link.page->role : IPCNET_TWIN_STOPPED;
}

/* ---- The lock -------------------------------------------------------------------------------------------------------------------------------- */

/*
 * Somebody may have owned the bus whom we never met: it began and died between two looks, or while we stood still. The lock says which epoch its last holder has used; after a start of the
 * machine, the other's file which it may have used. That is not asked when the owner that died before our eyes is followed: no disk is waited for.
 */
static void ask_who_was_before(struct ipcnet_process *self) {
  const struct ipcnet_reflex_page *page = self->link.page;
  bool met = self->link.alive || ipcnet_process_role(self) == IPCNET_TWIN_FENCING;
  uint16_t seen = page != NULL ? (uint16_t)page->epoch : 0, kept = met ? 0 : ipcnet_store_others_epoch(&self->store), noted = ipcnet_fence_noted_epoch(self->lock);
  self->borrowed->magic = 0;
  bool stranger = ipcnet_epoch_newer(noted, seen) && ipcnet_epoch_newer(noted, (uint16_t)self->page.page->epoch);
  if (!stranger && (!ipcnet_epoch_newer(kept, seen) || !ipcnet_epoch_newer(kept, self->stored_epoch))) return;
  if (page != NULL) *self->borrowed = *page;
  else memset(self->borrowed, 0, sizeof *self->borrowed);
  self->borrowed->magic = IPCNET_REFLEX_PAGE_MAGIC;
  self->borrowed->major = 1;
  memcpy(self->borrowed->boot_id, self->page.page->boot_id, sizeof self->borrowed->boot_id);
  self->borrowed->epoch = ipcnet_epoch_newer(kept, noted) ? kept : noted;
  if (!stranger) return;
  /* Another one has owned since: what this page says was not left to us. */
  self->borrowed->role = IPCNET_TWIN_STARTING;
  self->borrowed->goodbye = IPCNET_GOODBYE_NONE;
}

/* True: it was granted. */
static bool try_lock(struct ipcnet_process *self, bool tell_if_held) {
  if (ipcnet_fence_try(self->lock)) {
    (void)IPCNET_FAILPOINT("afterLock");
    ask_who_was_before(self);
    self->page.page->goodbye = IPCNET_GOODBYE_NONE;
    tell(self, IPCNET_TWIN_LOCK_GRANTED);
    return true;
  }
  if (tell_if_held) tell(self, IPCNET_TWIN_LOCK_HELD);
  return false;
}

void ipcnet_twins_begin(struct ipcnet_process *self) {
  self->began = true;
  if (self->store_usable) (void)try_lock(self, true);
  else tell(self, IPCNET_TWIN_STORE_FAILED);
}

/* ---- What the core wants ---------------------------------------------------------------------------------------------------------------------- */

/* It is on the disk; the claim follows. */
static void stored(struct ipcnet_process *self, uint16_t epoch) {
  (void)IPCNET_FAILPOINT("afterEpoch");
  if (ipcnet_process_role(self) == IPCNET_TWIN_CLAIMING && !ipcnet_fence_note_epoch(self->lock, epoch)) ipcnet_log_write(&self->log, "epoch %u could not be noted in the lock's file: %s", epoch, strerror(errno));
  tell(self, IPCNET_TWIN_EPOCH_STORED);
}

static void store_epoch(struct ipcnet_process *self, uint16_t epoch) {
  if (!self->store_usable) {
    tell(self, IPCNET_TWIN_STORE_FAILED);
    return;
  }
  if (ipcnet_store_has(&self->store, epoch)) {
    self->awaited_epoch = 0;
    stored(self, epoch);
    return;
  }
  self->awaited_epoch = epoch;
  self->store_deadline_us = self->now_us + STORE_US;
  ipcnet_store_reserve(&self->store, epoch);
}

void ipcnet_twins_stored(struct ipcnet_process *self) {
  uint64_t count;
  (void)!read(self->store.news_fd, &count, sizeof count);
  if (self->awaited_epoch == 0) return;
  bool kept = ipcnet_store_has(&self->store, self->awaited_epoch);
  if (!kept && !ipcnet_store_failed(&self->store, self->awaited_epoch)) return;
  uint16_t epoch = self->awaited_epoch;
  self->awaited_epoch = 0;
  if (kept) stored(self, epoch);
  else tell(self, IPCNET_TWIN_STORE_FAILED);
}

void ipcnet_twins_writer_died(struct ipcnet_process *self) {
  ipcnet_process_unwatch(self, self->store.writer_pidfd);
  self->store_usable = false;
  if (self->awaited_epoch != 0) tell(self, IPCNET_TWIN_STORE_FAILED);
  self->awaited_epoch = 0;
}

void ipcnet_twins_effects(struct ipcnet_process *self, uint32_t effects, uint16_t epoch) {
  if (effects & IPCNET_TWIN_DO_KILL) {
    ipcnet_fence_kill(self->link.pidfd);
    self->fence_deadline_us = self->now_us + FENCE_US;
    (void)IPCNET_FAILPOINT("afterKill");
  }
  if (effects & IPCNET_TWIN_DO_RELEASE) {
    (void)IPCNET_FAILPOINT("beforeRelease");
    self->page.page->goodbye = self->yielding ? IPCNET_GOODBYE_HANDS_OVER : self->stopping ? IPCNET_GOODBYE_STOPPED : IPCNET_GOODBYE_NONE;
    ipcnet_fence_release(self->lock);
    self->lock_retry_us = self->now_us + LOCK_RETRY_US; /* the other first */
    ipcnet_control_look(self);
    (void)IPCNET_FAILPOINT("afterRelease");
  }
  if (effects & IPCNET_TWIN_DO_STORE_EPOCH) store_epoch(self, epoch);
  if (effects & IPCNET_TWIN_DO_TRY_LOCK) (void)try_lock(self, true);
}

/* ---- What was seen ----------------------------------------------------------------------------------------------------------------------------- */

void ipcnet_twins_hello(const struct ipcnet_process *self, struct ipcnet_packet_hello *to) {
  const struct ipcnet_reflex_table *table = ipcnet_reflex_loaded_table(self->core);
  *to = (struct ipcnet_packet_hello){.major = IPCNET_PACKET_MAJOR, .minor = IPCNET_PACKET_MINOR, .who = IPCNET_WHO_TWIN, .instance = self->options.instance};
  memcpy(to->boot_id, self->page.page->boot_id, sizeof to->boot_id);
  if (table != NULL) memcpy(to->table_hash, table->header->hash, sizeof to->table_hash);
}

void ipcnet_twins_read(struct ipcnet_process *self) {
  enum ipcnet_twin_news news = ipcnet_twin_link_read(&self->link); /* a closed socket leaves epoll by itself */
  if (self->link.given_fd >= 0) ipcnet_power_given(self);
  if (news != IPCNET_TWIN_NEWS_FOUND) return; /* LOOK: the turn looks anyway */
  ipcnet_process_watch(self, self->link.pidfd, IPCNET_SOURCE_TWIN_DEAD, 0);
  ipcnet_twin_watch_init(&self->watch, self->watch.deadline_us, self->now_us);
  self->twin_stands = false;
  ipcnet_log_write(&self->log, "the twin is process %u", self->link.page->pid);
}

void ipcnet_twins_dead(struct ipcnet_process *self) {
  if (!self->link.alive) return;
  uint32_t pid = self->link.page->pid;
  ipcnet_process_unwatch(self, self->link.pidfd);
  ipcnet_twin_link_died(&self->link);
  ipcnet_power_hurry(self);
  self->twin_stands = false;
  (void)IPCNET_FAILPOINT("afterDeath");
  tell(self, IPCNET_TWIN_OWNER_DEAD);
  ipcnet_log_write(&self->log, "the twin, process %u, has died", pid);
}

void ipcnet_twins_suspect(struct ipcnet_process *self) {
  uint64_t count;
  (void)!read(self->detector.died_fd, &count, sizeof count);
  if (self->link.alive) tell(self, IPCNET_TWIN_OWNER_SUSPECT);
}

/* Whether the other holds, or may hold, what we would wait for. */
static bool other_is_in_the_way(const struct ipcnet_process *self) {
  switch (others_role(self)) {
  case IPCNET_TWIN_STANDBY: case IPCNET_TWIN_OUTVOTED: case IPCNET_TWIN_STOPPED: return false;
  default: return true;
  }
}

/*
 * Whether it is the other's own fault that it stands still: all processors were seen running since, and for a beat after that it could have gone on. The patrol sets out before the
 * deadline, so that it costs no time where they all run.
 */
static bool stands_by_itself(struct ipcnet_process *self) {
  const struct ipcnet_twin_watch *watch = &self->watch;
  uint64_t still_us = self->now_us - watch->changed_us;
  if (still_us < watch->deadline_us - watch->deadline_us / 4) return false;
  if (self->patrol_for_us != watch->changed_us) {
    self->patrol_for_us = watch->changed_us;
    ipcnet_patrol_ask(&self->patrol);
  }
  if (!self->twin_stands) return false;
  if (still_us >= watch->deadline_us + STANDSTILL_US) return true;
  uint64_t returned_us = ipcnet_patrol_returned_us(&self->patrol);
  return returned_us != 0 && self->now_us >= returned_us + IPCNET_BEAT_US;
}

static void look_at_the_other(struct ipcnet_process *self, enum ipcnet_twin_role role) {
  if (!self->link.alive) return;
  uint64_t beat = __atomic_load_n(&self->link.page->beat, __ATOMIC_ACQUIRE);
  self->twin_stands = ipcnet_twin_watch_look(&self->watch, beat, self->now_us);
  bool judged = role == IPCNET_TWIN_STANDBY || role == IPCNET_TWIN_YIELDING;
  if (judged && other_is_in_the_way(self) && stands_by_itself(self)) {
    ipcnet_log_write(&self->log, "the twin, process %u, stands still: it will be killed", self->link.page->pid);
    tell(self, IPCNET_TWIN_OWNER_SUSPECT);
  }
  if (role == IPCNET_TWIN_STANDBY && self->link.page->goodbye != IPCNET_GOODBYE_NONE) tell(self, IPCNET_TWIN_YIELDED_TO_US);
  if (role == IPCNET_TWIN_OUTVOTED && others_role(self) == IPCNET_TWIN_OWNER) tell(self, IPCNET_TWIN_LOCK_HELD);
  if (role == IPCNET_TWIN_YIELDING && ipcnet_twin_holds_lock(others_role(self))) tell(self, IPCNET_TWIN_YIELD_DONE);
}

static void look_at_the_clock(struct ipcnet_process *self, enum ipcnet_twin_role role) {
  if (role == IPCNET_TWIN_FENCING && self->now_us >= self->fence_deadline_us && self->link.alive) tell(self, IPCNET_TWIN_FENCE_EXPIRED);
  if (role == IPCNET_TWIN_YIELDING && self->now_us >= self->yield_deadline_us) {
    self->yield_deadline_us = self->now_us + YIELD_US;
    tell(self, IPCNET_TWIN_YIELD_EXPIRED);
  }
  if (self->awaited_epoch != 0 && self->now_us >= self->store_deadline_us) {
    self->awaited_epoch = 0;
    tell(self, IPCNET_TWIN_STORE_FAILED);
  }
  /* Kernel facts alone: whoever owned has let go, however it did that. */
  bool unowned = role == IPCNET_TWIN_STANDBY && !other_is_in_the_way(self);
  bool left_alone = role == IPCNET_TWIN_FENCING && !self->link.alive;
  if ((unowned || left_alone) && self->store_usable && self->now_us >= self->lock_retry_us) {
    self->lock_retry_us = self->now_us + LOCK_RETRY_US;
    if (try_lock(self, false) || !ipcnet_twin_link_is_silent(&self->link)) return;
    /* Somebody has the lock whom we never met, and who sits at our twin's socket and does not speak: it was stopped before we came. */
    ipcnet_log_write(&self->log, "the process at %s holds the lock and does not answer: it is killed", self->link.path);
    ipcnet_twin_link_kill_silent(&self->link);
  }
}

/* The next epochs on the disk before they are needed. */
static void reserve_ahead(struct ipcnet_process *self) {
  uint16_t known[4] = {self->stored_epoch, self->link.page != NULL ? (uint16_t)self->link.page->epoch : 0, (uint16_t)self->page.page->epoch, ipcnet_reflex_heard_epoch(self->core)};
  uint16_t next = ipcnet_epoch_next(known, 4);
  next = ipcnet_epoch_next(&next, 1); /* two hosts: only every second one is ours */
  if (!self->store_usable || self->awaited_epoch != 0 || ipcnet_store_has(&self->store, next) || ipcnet_power_fails(self)) return;
  if (atomic_load(&self->store.wanted_epoch) != 0 || self->now_us < self->reserve_us) return;
  self->reserve_us = self->now_us + 100000; /* a disk that is full is not asked a thousand times a second */
  for (unsigned i = 1; i < RESERVE_AHEAD; i++) next = ipcnet_epoch_next(&next, 1);
  ipcnet_store_reserve(&self->store, next);
}

void ipcnet_twins_tick(struct ipcnet_process *self) {
  struct ipcnet_packet_hello hello;
  ipcnet_twins_hello(self, &hello);
  if (!self->options.alone && ipcnet_twin_link_tick(&self->link, &hello, self->now_us)) ipcnet_process_watch(self, self->link.socket, IPCNET_SOURCE_TWIN_SOCKET, 0);
  look_at_the_other(self, ipcnet_process_role(self));
  look_at_the_clock(self, ipcnet_process_role(self));
  reserve_ahead(self);

  enum ipcnet_twin_role role = ipcnet_process_role(self);
  if (role != IPCNET_TWIN_YIELDING) self->yielding = false;
  if (role != IPCNET_TWIN_FENCING && role != IPCNET_TWIN_CLAIMING) self->borrowed->magic = 0;
  if (role == self->told_role) return;
  self->told_role = (uint8_t)role;
  ipcnet_control_look(self);
  ipcnet_log_write(&self->log, "%s, epoch %u", ipcnet_twin_role_name(role), self->page.page->epoch);
}

/* Between two beats of ours: a twin that stands still is noticed at its deadline, not at the next look. */
uint64_t ipcnet_twins_next_us(const struct ipcnet_process *self) {
  uint64_t due_us = self->watch.changed_us + self->watch.deadline_us;
  return self->link.alive && due_us > self->now_us ? due_us : UINT64_MAX;
}

/* ---- Hand-over -------------------------------------------------------------------------------------------------------------------------------- */

bool ipcnet_twins_may_yield(const struct ipcnet_process *self) {
  const struct ipcnet_reflex_table *table = ipcnet_reflex_loaded_table(self->core);
  return ipcnet_process_role(self) == IPCNET_TWIN_OWNER && self->link.alive && !self->twin_stands && others_role(self) == IPCNET_TWIN_STANDBY && table != NULL &&
         memcmp(table->header->hash, self->link.page->table_hash, sizeof table->header->hash) == 0;
}

void ipcnet_twins_yield(struct ipcnet_process *self) {
  self->yielding = true;
  self->yield_deadline_us = self->now_us + YIELD_US;
  tell(self, IPCNET_TWIN_YIELD_ASKED);
}
