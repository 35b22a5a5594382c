/*
 * A lane's readers as its writer sees them: rung when they sleep, waited for if they are lossless and it is not too long, believed in nothing else.
 */
#include "lane_writer.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/timerfd.h>
#include <unistd.h>

/*
 * What ringing may cost on average. Waking a thread costs the waker 1 us on its own processor and 7 us on another one of a virtual machine; a slow board three times that.
 * A reader can make it dearer: each thread that polls the bell and each epoll that holds it is an entry of a queue that the ring walks, and ten thousand of them are
 * milliseconds. 100 us at 1 kHz is a tenth of the writer's time: more than that and the reader is not rung any more.
 * The mean goes a sixteenth of the way to each new ring, which counts at most as 400 us: a single bad one (an interrupt storm, a stolen processor) adds 25 us, and it takes
 * five in a row to raise a mean of 5 us above 100 (5 + 395 x (1 - (15/16)^n) > 100 for n = 5). It is raised twice, first for time passed, then for time used: so a hostile
 * reader costs the writer ten dear rings, once.
 */
#define RING_COST_MAX_NS 100000u
#define RING_COST_COUNTED_MAX_NS 400000u
/* A reader that rings back without having read on: so often per wait, then only the deadline wakes the writer. */
#define FALSE_RINGS_MAX 8

uint32_t ipcnet_lane_ring_cost(uint32_t mean_ns, uint64_t cost_ns) {
  const int64_t counted = cost_ns < RING_COST_COUNTED_MAX_NS ? (int64_t)cost_ns : (int64_t)RING_COST_COUNTED_MAX_NS;
  return (uint32_t)((int64_t)mean_ns + (counted - (int64_t)mean_ns) / 16);
}

int ipcnet_lane_ring_too_dear(uint32_t mean_ns) { return mean_ns > RING_COST_MAX_NS; }

void ipcnet_lane_audience_init(struct ipcnet_lane_writer *self) {
  atomic_init(&self->awake, 0);
  for (int i = 0; i < IPCNET_LANE_READERS_MAX; i++) self->watch[i].sleep = &self->awake;
  self->space_epoll = self->space_timer = -1;
  self->all_read_to = UINT64_MAX;
}

void ipcnet_lane_audience_destroy(struct ipcnet_lane_writer *self) {
  for (uint32_t i = 0; i < self->watched; i++) {
    if (self->members[i].page == NULL) continue;
    munmap((void *)(uintptr_t)self->members[i].page, IPCNET_LANE_PAGE_BYTES);
    close(self->members[i].bell);
  }
  if (self->space_epoll >= 0) close(self->space_epoll);
  if (self->space_timer >= 0) close(self->space_timer);
}

/* ------------------------------------------------------------- who is here -- */

static void set_demoted(struct ipcnet_lane_writer *self, uint32_t reader, uint8_t bit) {
  self->members[reader].demoted |= bit;
  atomic_store_explicit(&self->parts.memory->demoted[reader], self->members[reader].demoted, memory_order_relaxed);
  self->stats.demoted++;
}

static void unwatch_bell(struct ipcnet_lane_writer *self, struct ipcnet_lane_audience_member *member) {
  if (member->armed) (void)epoll_ctl(self->space_epoll, EPOLL_CTL_DEL, member->bell, NULL);
  member->armed = 0;
}

static void stop_waiting_for(struct ipcnet_lane_writer *self, struct ipcnet_lane_audience_member *member) {
  unwatch_bell(self, member);
  if (member->lossless) self->lossless_count--;
  member->lossless = 0;
  member->waiting_since = 0;
}

static void refresh_all_read_to(struct ipcnet_lane_writer *self) {
  uint64_t least = UINT64_MAX;
  for (uint32_t i = 0; i < self->watched; i++) {
    if (self->members[i].lossless && self->members[i].read_to < least) least = self->members[i].read_to;
  }
  self->all_read_to = least;
}

/* Lets the space descriptor become readable at a time of CLOCK_MONOTONIC; 0 = not any more. */
static void wake_at(struct ipcnet_lane_writer *self, uint64_t time_ns) {
  const struct itimerspec at = { .it_value = { .tv_sec = (time_t)(time_ns / 1000000000u), .tv_nsec = (long)(time_ns % 1000000000u) } };
  if (self->space_timer >= 0) (void)timerfd_settime(self->space_timer, TFD_TIMER_ABSTIME, &at, NULL);
}

/* Its process is gone: nothing to ring, nothing to wait for. The number stays taken until remove_reader. */
static void is_gone(struct ipcnet_lane_writer *self, uint32_t reader) {
  self->watch[reader].sleep = &self->awake;
  stop_waiting_for(self, &self->members[reader]);
}

int ipcnet_lane_writer_add_reader(struct ipcnet_lane_writer *self, int page_fd, int bell_fd, enum ipcnet_lane_policy policy, uint64_t deadline_ns) {
  const struct ipcnet_lane_page *page = NULL;
  uint32_t reader = 0;
  int result = (unsigned)policy > self->fixed.policy ? -EINVAL : ipcnet_lane_bell_check(bell_fd);
  if (result == 0) result = ipcnet_lane_page_map(page_fd, self->fixed.lane_id, &page);
  while (result == 0 && reader < IPCNET_LANE_READERS_MAX && self->members[reader].page != NULL) reader++;
  if (result == 0 && reader == IPCNET_LANE_READERS_MAX) {
    munmap((void *)(uintptr_t)page, IPCNET_LANE_PAGE_BYTES);
    result = -ENOSPC;
  }
  if (page_fd >= 0) close(page_fd);
  if (result != 0) {
    if (bell_fd >= 0) close(bell_fd);
    return result;
  }
  struct ipcnet_lane_audience_member *member = &self->members[reader];
  *member = (struct ipcnet_lane_audience_member){ .page = page, .bell = bell_fd, .deadline_ns = deadline_ns };
  self->watch[reader] = (struct ipcnet_lane_watch){ .sleep = &page->sleep };
  atomic_store_explicit(&self->parts.memory->demoted[reader], 0, memory_order_relaxed);
  if (reader >= self->watched) self->watched = reader + 1;
  self->stats.readers++;
  if (policy == IPCNET_LANE_LOSSLESS) {
    member->lossless = 1;
    self->lossless_count++;
    self->all_read_to = 0; /* look at its cursor before the next message */
  }
  /* The byte tells the reader its number. */
  (void)ipcnet_lane_bell_ring(bell_fd, (uint8_t)reader);
  return (int)reader;
}

int ipcnet_lane_writer_remove_reader(struct ipcnet_lane_writer *self, int reader) {
  if (reader < 0 || reader >= IPCNET_LANE_READERS_MAX || self->members[reader].page == NULL) return -EINVAL;
  struct ipcnet_lane_audience_member *member = &self->members[reader];
  is_gone(self, (uint32_t)reader);
  munmap((void *)(uintptr_t)member->page, IPCNET_LANE_PAGE_BYTES);
  close(member->bell);
  member->page = NULL;
  self->stats.readers--;
  while (self->watched > 0 && self->members[self->watched - 1].page == NULL) self->watched--;
  refresh_all_read_to(self);
  if (self->waiting) wake_at(self, 1); /* perhaps it was the one that was waited for */
  return 0;
}

/* ------------------------------------------------------------------ waking -- */

/*
 * The time that passes is cheap to ask for, but counts what is not the ring's fault: the reader that was woken may well run before the ring returns. So that only
 * raises suspicion; while it does, the time that this thread has used (half a microsecond to ask) is what is judged.
 */
static int ring_one(struct ipcnet_lane_writer *self, uint32_t reader) {
  struct ipcnet_lane_audience_member *member = &self->members[reader];
  const int suspect = ipcnet_lane_ring_too_dear(member->ring_passed_ns);
  const uint64_t used_ns = suspect ? ipcnet_lane_clock_ns(CLOCK_THREAD_CPUTIME_ID) : 0;
  const uint64_t began_ns = ipcnet_lane_clock_ns(CLOCK_MONOTONIC);
  const enum ipcnet_lane_ring rung = ipcnet_lane_bell_ring(member->bell, (uint8_t)reader);
  self->stats.rings++;
  if (rung != IPCNET_LANE_RUNG) self->stats.rings_unheard++;
  if (rung == IPCNET_LANE_RING_GONE) {
    is_gone(self, reader);
    return 0;
  }
  member->ring_passed_ns = ipcnet_lane_ring_cost(member->ring_passed_ns, ipcnet_lane_clock_ns(CLOCK_MONOTONIC) - began_ns);
  member->ring_used_ns = suspect ? ipcnet_lane_ring_cost(member->ring_used_ns, ipcnet_lane_clock_ns(CLOCK_THREAD_CPUTIME_ID) - used_ns) : 0;
  if (ipcnet_lane_ring_too_dear(member->ring_used_ns)) {
    self->watch[reader].sleep = &self->awake;
    set_demoted(self, reader, IPCNET_LANE_DEMOTED_SILENT);
  }
  return rung == IPCNET_LANE_RUNG;
}

int ipcnet_lane_writer_ring(struct ipcnet_lane_writer *self) {
  int rung = 0;
  if (self->watched == 0) return 0;
  /* SYNC: pairs with the seq_cst fence in the reader's arm. Either this sees its sleep, or it sees the head that was stored before this. */
  ipcnet_lane_fence(memory_order_seq_cst);
  for (uint32_t i = 0; i < self->watched; i++) {
    struct ipcnet_lane_watch *watch = &self->watch[i];
    const uint64_t sleep = atomic_load_explicit(watch->sleep, memory_order_relaxed);
    if ((sleep & 1) == 0 || sleep == watch->rung) continue;
    watch->rung = sleep; /* one ring per sleep, whether it is heard or not */
    rung += ring_one(self, i);
  }
  return rung;
}

/* ---------------------------------------------------------- lossless readers -- */

static void demote(struct ipcnet_lane_writer *self, uint32_t reader) {
  stop_waiting_for(self, &self->members[reader]);
  set_demoted(self, reader, IPCNET_LANE_DEMOTED_QUEUE);
}

/* Looks at the cursors. Returns whether somebody has not read up to `needed`; `*nearest_ns` is when the first of them will have been waited for too long. */
static int somebody_is_behind(struct ipcnet_lane_writer *self, uint64_t needed, uint64_t now_ns, uint64_t *nearest_ns) {
  int behind = 0;
  *nearest_ns = UINT64_MAX;
  for (uint32_t i = 0; i < self->watched; i++) {
    struct ipcnet_lane_audience_member *member = &self->members[i];
    if (!member->lossless) continue;
    /* SYNC: pairs with the reader's release store of its cursor: its copy was made before we overwrite. */
    const uint64_t cursor = atomic_load_explicit(&member->page->cursor, memory_order_acquire);
    if (cursor < member->read_to || cursor >= self->next) {
      self->stats.pages_mistrusted++;
      demote(self, i);
      continue;
    }
    member->read_to = cursor;
    if (cursor >= needed) {
      member->waiting_since = 0;
      unwatch_bell(self, member);
      continue;
    }
    if (member->waiting_since == 0 || cursor >= member->waiting_for) {
      member->waiting_since = now_ns;
      member->waiting_for = needed;
      member->false_rings = 0;
    }
    if (now_ns - member->waiting_since >= member->deadline_ns) {
      demote(self, i);
      continue;
    }
    const uint64_t until = member->waiting_since + member->deadline_ns;
    if (until < *nearest_ns) *nearest_ns = until;
    behind = 1;
  }
  refresh_all_read_to(self);
  return behind;
}

/* Listens to those who are behind, and to the clock. */
static void listen_for_space(struct ipcnet_lane_writer *self, uint64_t nearest_ns) {
  if (self->space_epoll < 0) return;
  for (uint32_t i = 0; i < self->watched; i++) {
    struct ipcnet_lane_audience_member *member = &self->members[i];
    if (!member->lossless || member->waiting_since == 0 || member->false_rings >= FALSE_RINGS_MAX) continue;
    struct epoll_event event = { .events = EPOLLIN | EPOLLONESHOT, .data.u32 = i };
    if (epoll_ctl(self->space_epoll, member->armed ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, member->bell, &event) == 0) member->armed = 1;
  }
  wake_at(self, nearest_ns);
}

static void wait_no_more(struct ipcnet_lane_writer *self) {
  if (!self->waiting) return;
  self->waiting = 0;
  atomic_store_explicit(&self->parts.memory->space_wanted, 0, memory_order_relaxed);
  for (uint32_t i = 0; i < self->watched; i++) unwatch_bell(self, &self->members[i]);
  wake_at(self, 0);
}

int ipcnet_lane_audience_room(struct ipcnet_lane_writer *self, uint64_t needed) {
  uint64_t nearest_ns;
  const uint64_t now_ns = ipcnet_lane_clock_ns(CLOCK_MONOTONIC);
  if (!somebody_is_behind(self, needed, now_ns, &nearest_ns)) {
    wait_no_more(self);
    return 0;
  }
  /* A quarter of the ring at a time, so that writer and reader do not wake each other for each message. */
  uint64_t wanted = needed + self->fixed.slot_count / 4;
  if (wanted > self->next - 1) wanted = self->next - 1;
  self->waiting = 1;
  atomic_store_explicit(&self->parts.memory->space_wanted, wanted, memory_order_relaxed);
  /* SYNC: pairs with the seq_cst fence after the reader's store of its cursor. Either it sees that space is wanted, or this sees how far it has read. */
  ipcnet_lane_fence(memory_order_seq_cst);
  if (!somebody_is_behind(self, needed, now_ns, &nearest_ns)) {
    wait_no_more(self);
    return 0;
  }
  listen_for_space(self, nearest_ns);
  self->stats.refused_full++;
  return -EAGAIN;
}

int ipcnet_lane_writer_space_fd(struct ipcnet_lane_writer *self) {
  if (self->space_epoll >= 0) return self->space_epoll;
  const int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) return -errno;
  const int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  struct epoll_event event = { .events = EPOLLIN, .data.u32 = UINT32_MAX };
  if (timer < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event) != 0) {
    const int error = errno;
    if (timer >= 0) close(timer);
    close(epoll);
    return -error;
  }
  self->space_epoll = epoll;
  self->space_timer = timer;
  if (self->waiting) wake_at(self, 1); /* asked for only after a refusal: nobody has listened yet, so try again at once */
  return epoll;
}

void ipcnet_lane_writer_space_taken(struct ipcnet_lane_writer *self) {
  struct epoll_event events[16];
  if (self->space_epoll < 0) return;
  const int count = epoll_wait(self->space_epoll, events, 16, 0);
  for (int i = 0; i < count; i++) {
    const uint32_t reader = events[i].data.u32;
    if (reader == UINT32_MAX) {
      uint64_t expirations;
      (void)!read(self->space_timer, &expirations, sizeof expirations);
      continue;
    }
    struct ipcnet_lane_audience_member *member = &self->members[reader];
    uint8_t byte;
    int gone = 0;
    (void)ipcnet_lane_bell_take(member->bell, &byte, &gone);
    if (gone) is_gone(self, reader);
    else member->false_rings++; /* unless it has read on, which the next publish will see */
  }
}
