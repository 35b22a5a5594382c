/* A reader against the writer and its other readers, with what a reader owns: its page and its end of the bell. */
#include "scene.h"
#include "lane_layout.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

/* Longer than one publish, shorter than anybody's patience. */
#define DEADLINE_NS 50000000u
#define DURING 3000

struct hostile {
  struct ipcnet_lane_page *page;
  int page_fd;
  int bell[2];
};

/* A page that its owner can write at will, and a bell. */
static struct hostile make(struct attacker *self) {
  struct hostile own;
  void *base;
  const int fd = ipcnet_lane_memory_make("ipcnet-reader", IPCNET_LANE_PAGE_BYTES, &base);
  if (fd < 0 || ipcnet_lane_bell(own.bell) != 0) outcome(DENIED, "the attacker has no memory");
  own.page = base;
  memcpy(own.page->magic, IPCNET_LANE_PAGE_MAGIC, sizeof own.page->magic);
  memcpy(own.page->lane_id, self->lane_id, sizeof own.page->lane_id);
  own.page_fd = ipcnet_lane_memory_seal(fd);
  if (own.page_fd < 0) outcome(DENIED, "the attacker cannot seal");
  return own;
}

static struct hostile join(struct attacker *self, enum ipcnet_lane_policy policy) {
  struct hostile own = make(self);
  const int number = attacker_join(self, own.page_fd, own.bell[1], policy, DEADLINE_NS);
  if (number < 0) outcome(DENIED, "%s", errno_name(-number));
  close(own.bell[1]); /* the writer has its own */
  return own;
}

/* Lets the writer publish while `step` is done again and again. */
static _Noreturn void while_publishing(struct attacker *self, uint32_t messages, void (*step)(struct hostile *own, uint64_t round), struct hostile *own) {
  uint64_t round = 0;
  attacker_ask_for(self, messages);
  while (!attacker_is_done(self, 0)) {
    for (int i = 0; i < 64; i++) step(own, round++);
    if (round > 1u << 30) outcome(DONE, "the writer stands still");
  }
  outcome(HARMLESS, "the writer goes on");
}

static void idle(struct hostile *own, uint64_t round) { (void)own, (void)round, (void)usleep(50); }
static void sleep_again(struct hostile *own, uint64_t round) { atomic_store_explicit(&own->page->sleep, 2 * round + 1, memory_order_relaxed); }
static void sleep_and_hear(struct hostile *own, uint64_t round) {
  uint8_t last;
  int gone = 0;
  sleep_again(own, round);
  (void)ipcnet_lane_bell_take(own->bell[0], &last, &gone);
}
static void noise(struct hostile *own, uint64_t round) {
  uint64_t state = round * 0x9E3779B97F4A7C15u;
  atomic_store_explicit(&own->page->sleep, state ^ (state >> 29), memory_order_relaxed);
  atomic_store_explicit(&own->page->cursor, state * 31, memory_order_relaxed);
}
static void cursor_back_and_forth(struct hostile *own, uint64_t round) { atomic_store_explicit(&own->page->cursor, round % 2 ? 100 : 200, memory_order_relaxed); }
static void ring_back(struct hostile *own, uint64_t round) { (void)round, (void)ipcnet_lane_bell_ring(own->bell[0], 0); }
static void blocking_again(struct hostile *own, uint64_t round) {
  int off = 0;
  (void)ioctl(own->bell[0], FIONBIO, &off);
  (void)fcntl(own->bell[0], F_SETFL, 0);
  sleep_again(own, round);
}

static void frozen_lossless(struct attacker *self) { struct hostile own = join(self, IPCNET_LANE_LOSSLESS); while_publishing(self, DURING, idle, &own); }
static void cursor_beyond(struct attacker *self) {
  struct hostile own = make(self);
  atomic_store(&own.page->cursor, UINT64_MAX / 2);
  if (attacker_join(self, own.page_fd, own.bell[1], IPCNET_LANE_LOSSLESS, DEADLINE_NS) < 0) outcome(DENIED, "refused");
  while_publishing(self, DURING, idle, &own);
}
static void cursor_back(struct attacker *self) { struct hostile own = join(self, IPCNET_LANE_LOSSLESS); while_publishing(self, DURING, cursor_back_and_forth, &own); }
static void page_of_noise(struct attacker *self) { struct hostile own = join(self, IPCNET_LANE_LOSSLESS); while_publishing(self, DURING, noise, &own); }
static void never_drained(struct attacker *self) { struct hostile own = join(self, IPCNET_LANE_QUEUE); while_publishing(self, DURING, sleep_again, &own); }
static void flapping(struct attacker *self) { struct hostile own = join(self, IPCNET_LANE_QUEUE); while_publishing(self, DURING, sleep_and_hear, &own); }
static void bell_made_blocking(struct attacker *self) { struct hostile own = join(self, IPCNET_LANE_QUEUE); while_publishing(self, DURING, blocking_again, &own); }
static void bell_closed(struct attacker *self) {
  struct hostile own = join(self, IPCNET_LANE_LOSSLESS);
  close(own.bell[0]);
  while_publishing(self, DURING, sleep_again, &own);
}
static void bell_shut_down(struct attacker *self) {
  struct hostile own = join(self, IPCNET_LANE_LOSSLESS);
  (void)shutdown(own.bell[0], SHUT_RDWR);
  while_publishing(self, DURING, sleep_again, &own);
}
static void false_rings(struct attacker *self) { struct hostile own = join(self, IPCNET_LANE_LOSSLESS); while_publishing(self, DURING, ring_back, &own); }

/* The writer's end is not the attacker's in life; with an end of one's own making it can be: fill it, make it wait, end it. */
static void both_ends_kept(struct attacker *self) {
  struct hostile own = make(self);
  uint8_t byte = 1;
  if (attacker_join(self, own.page_fd, own.bell[1], IPCNET_LANE_QUEUE, DEADLINE_NS) < 0) outcome(DENIED, "refused");
  (void)fcntl(own.bell[1], F_SETFL, 0);
  while (send(own.bell[1], &byte, 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1);
  while_publishing(self, DURING, sleep_again, &own);
}

/* Each epoll that holds the bell is an entry of the list that a ring walks. */
static void wait_queue(struct attacker *self) {
  struct hostile own = join(self, IPCNET_LANE_QUEUE);
  struct rlimit files;
  int epolls = 0;
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
  }
  for (; epolls < 4000; epolls++) {
    struct epoll_event event = { .events = EPOLLIN | EPOLLET };
    const int epoll = epoll_create1(EPOLL_CLOEXEC);
    if (epoll < 0 || epoll_ctl(epoll, EPOLL_CTL_ADD, own.bell[0], &event) != 0) break;
  }
  while_publishing(self, DURING, sleep_and_hear, &own);
}

/* Leaves without a word, in the midst of it. */
static void dies(struct attacker *self) {
  (void)join(self, IPCNET_LANE_LOSSLESS);
  attacker_ask_for(self, DURING);
  _exit(0);
}

/* What is no page, or no bell: refused. */
static void refused(struct attacker *self, int page, int bell) {
  const int number = attacker_join(self, page, bell, IPCNET_LANE_QUEUE, DEADLINE_NS);
  if (number >= 0) outcome(DONE, "taken as reader %d", number);
  outcome(DENIED, "%s", errno_name(-number));
}

static int own_memory(const char *name, off_t bytes, const char *text) {
  const int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0 || ftruncate(fd, bytes) != 0 || pwrite(fd, text, strlen(text), 0) < 0) outcome(DENIED, "the attacker has no memory");
  return fd;
}

static void page_unsealed(struct attacker *self) {
  struct hostile own = make(self);
  const int fd = own_memory("page", 4096, IPCNET_LANE_PAGE_MAGIC);
  (void)!pwrite(fd, self->lane_id, sizeof self->lane_id, 8);
  refused(self, fd, own.bell[1]);
}
static void page_cut(struct attacker *self) {
  struct hostile own = make(self);
  const int fd = own_memory("page", 4096, IPCNET_LANE_PAGE_MAGIC);
  (void)!pwrite(fd, self->lane_id, sizeof self->lane_id, 8);
  (void)fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_GROW | 0x10);
  refused(self, fd, own.bell[1]);
}
static void page_small(struct attacker *self) {
  struct hostile own = make(self);
  const int fd = own_memory("page", 64, IPCNET_LANE_PAGE_MAGIC);
  (void)fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | 0x10);
  refused(self, fd, own.bell[1]);
}
static void page_of_holes(struct attacker *self) {
  struct hostile own = make(self);
  const int fd = memfd_create("page", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0 || ftruncate(fd, 4096) != 0) outcome(DENIED, "the attacker has no memory");
  (void)fcntl(fd, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | 0x10);
  refused(self, fd, own.bell[1]);
}
static void page_of_another_lane(struct attacker *self) {
  struct hostile own = make(self);
  own.page->lane_id[0] ^= 1;
  refused(self, own.page_fd, own.bell[1]);
}
static void page_is_the_lane(struct attacker *self) { refused(self, self->lane_fd, make(self).bell[1]); }
static void page_is_a_socket(struct attacker *self) { struct hostile own = make(self); refused(self, own.bell[0], own.bell[1]); }
static void page_is_a_device(struct attacker *self) { refused(self, open("/dev/zero", O_RDWR | O_CLOEXEC), make(self).bell[1]); }
static void page_is_a_folder(struct attacker *self) { refused(self, open("/", O_RDONLY | O_CLOEXEC), make(self).bell[1]); }
static void bell_is_a_pipe(struct attacker *self) {
  int ends[2];
  if (pipe(ends) != 0) outcome(DENIED, "no pipe");
  refused(self, make(self).page_fd, ends[1]);
}
static void bell_is_memory(struct attacker *self) { struct hostile own = make(self); refused(self, own.page_fd, own.page_fd); }
static void bell_is_an_epoll(struct attacker *self) { refused(self, make(self).page_fd, epoll_create1(EPOLL_CLOEXEC)); }
static void bell_is_a_datagram(struct attacker *self) {
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_DGRAM, 0, ends) != 0) outcome(DENIED, "no socket");
  refused(self, make(self).page_fd, ends[1]);
}
static void bell_not_connected(struct attacker *self) { refused(self, make(self).page_fd, socket(AF_UNIX, SOCK_SEQPACKET, 0)); }

const struct attack reader_attacks[] = {
  { "a lossless reader that never reads", frozen_lossless, THE_KERNEL, 1 },
  { "a cursor beyond what was published", cursor_beyond, THE_KERNEL, 1 },
  { "a cursor that goes back", cursor_back, THE_KERNEL, 1 },
  { "a page of noise", page_of_noise, THE_KERNEL, -1 },
  { "a bell that is never emptied", never_drained, THE_KERNEL, -1 },
  { "falling asleep again and again", flapping, THE_KERNEL, -1 },
  { "a bell made blocking", bell_made_blocking, THE_KERNEL, -1 },
  { "a bell that is closed", bell_closed, THE_KERNEL, -1 },
  { "a bell that is shut down", bell_shut_down, THE_KERNEL, -1 },
  { "rings back without reading", false_rings, THE_KERNEL, 1 },
  { "the writer's end filled and made blocking", both_ends_kept, THE_KERNEL, -1 },
  { "thousands of epolls on the bell", wait_queue, THE_KERNEL, -1 },
  { "dies in the midst of it", dies, THE_KERNEL, -1 },
  { "a page that is not sealed", page_unsealed, THE_KERNEL, 0 },
  { "a page that can shrink", page_cut, THE_KERNEL, 0 },
  { "a page that is too small", page_small, THE_KERNEL, 0 },
  { "a page with a hole", page_of_holes, THE_KERNEL, 0 },
  { "a page of another lane", page_of_another_lane, THE_KERNEL, 0 },
  { "the lane as a page", page_is_the_lane, THE_KERNEL, 0 },
  { "a socket as a page", page_is_a_socket, THE_KERNEL, 0 },
  { "a device as a page", page_is_a_device, THE_KERNEL, 0 },
  { "a folder as a page", page_is_a_folder, THE_KERNEL, 0 },
  { "a pipe as a bell", bell_is_a_pipe, THE_KERNEL, 0 },
  { "memory as a bell", bell_is_memory, THE_KERNEL, 0 },
  { "an epoll as a bell", bell_is_an_epoll, THE_KERNEL, 0 },
  { "a datagram socket as a bell", bell_is_a_datagram, THE_KERNEL, 0 },
  { "a bell that is not connected", bell_not_connected, THE_KERNEL, 0 },
};
const size_t reader_attack_count = sizeof reader_attacks / sizeof *reader_attacks;
