/*
 * What a bell could be: the cost of a ring that nobody hears, of a ring that is waited for, and of one that an ill-disposed reader has made dear. One JSON line a figure.
 *   bell_bench [RINGS]
 * docs/decisions/0017-wake-ups.md has the figures and what follows from them.
 */
#include "bench.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>

enum kind { EVENTFD, PIPE, SOCKETPAIR };
static const char *const names[] = { "eventfd", "pipe", "socket pair" };

struct bell {
  enum kind kind;
  int near, far; /* rung at near, heard at far */
};

static struct bell bell_of(enum kind kind) {
  int fds[2] = { -1, -1 };
  if (kind == EVENTFD) fds[0] = fds[1] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
  else if (kind == PIPE) BENCH_CHECK(pipe2(fds, O_NONBLOCK | O_CLOEXEC) == 0);
  else BENCH_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds) == 0);
  BENCH_CHECK(fds[0] >= 0);
  return kind == PIPE ? (struct bell){ kind, fds[1], fds[0] } : (struct bell){ kind, fds[0], fds[1] };
}

static void bell_free(struct bell *bell) {
  close(bell->near);
  if (bell->far != bell->near) close(bell->far);
}

static int ring(const struct bell *bell) {
  const uint64_t one = 1;
  if (bell->kind == EVENTFD) return write(bell->near, &one, 8) == 8;
  if (bell->kind == PIPE) return write(bell->near, &one, 1) == 1;
  return send(bell->near, &one, 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1;
}

static void hear(const struct bell *bell) {
  uint64_t bytes;
  BENCH_CHECK(read(bell->far, &bytes, bell->kind == EVENTFD ? 8 : 1) > 0);
}

static void nobody_waits(enum kind kind, uint32_t rings, uint64_t *samples) {
  struct bell bell = bell_of(kind);
  char name[80];
  for (uint32_t i = 0; i < rings; i++) {
    const uint64_t begin = bench_now();
    BENCH_CHECK(ring(&bell));
    samples[i] = bench_now() - begin;
    hear(&bell);
  }
  snprintf(name, sizeof name, "%s, nobody waits", names[kind]);
  (void)bench_report("ring", name, samples, rings, 1);
  uint32_t full = 0;
  while (full < 100000 && ring(&bell)) full++;
  if (kind != EVENTFD) {
    for (uint32_t i = 0; i < rings; i++) {
      const uint64_t begin = bench_now();
      BENCH_CHECK(!ring(&bell) && errno == EAGAIN);
      samples[i] = bench_now() - begin;
    }
    snprintf(name, sizeof name, "%s, full", names[kind]);
    (void)bench_report("ring", name, samples, rings, 1);
  }
  bell_free(&bell);
}

struct pong {
  struct bell here, back;
  uint32_t turns;
  int cpu;
};

static void await(const struct bell *bell) {
  struct pollfd there = { .fd = bell->far, .events = POLLIN };
  BENCH_CHECK(poll(&there, 1, -1) == 1);
  hear(bell);
}

static void *answer(void *argument) {
  struct pong *pong = argument;
  bench_pin(pong->cpu);
  for (uint32_t turn = 0; turn < pong->turns; turn++) {
    await(&pong->here);
    BENCH_CHECK(ring(&pong->back));
  }
  return NULL;
}

static void ping_pong(enum kind kind, uint32_t turns, uint64_t *samples, int cpu) {
  struct pong pong = { bell_of(kind), bell_of(kind), turns, cpu };
  pthread_t thread;
  char name[80];
  BENCH_CHECK(pthread_create(&thread, NULL, answer, &pong) == 0);
  for (uint32_t turn = 0; turn < turns; turn++) {
    const uint64_t begin = bench_now();
    BENCH_CHECK(ring(&pong.here));
    await(&pong.back);
    samples[turn] = bench_now() - begin;
  }
  BENCH_CHECK(pthread_join(thread, NULL) == 0);
  snprintf(name, sizeof name, "%s, %s", names[kind], cpu == 0 ? "one processor" : "two processors");
  (void)bench_report("round trip", name, samples, turns, 1);
  bell_free(&pong.here);
  bell_free(&pong.back);
}

/* The reader's end in many epolls: each is an entry of the queue that a ring walks. */
static void made_dear(enum kind kind, uint32_t epolls, uint64_t *samples) {
  struct bell bell = bell_of(kind);
  struct epoll_event event = { .events = EPOLLIN | EPOLLET };
  int held[2000];
  uint32_t made = 0;
  char name[80];
  for (; made < epolls; made++) {
    if ((held[made] = epoll_create1(EPOLL_CLOEXEC)) < 0) break;
    if (epoll_ctl(held[made], EPOLL_CTL_ADD, bell.far, &event) != 0) {
      close(held[made]);
      break;
    }
  }
  for (uint32_t i = 0; i < 500; i++) {
    const uint64_t begin = bench_now();
    BENCH_CHECK(ring(&bell));
    samples[i] = bench_now() - begin;
    hear(&bell);
  }
  snprintf(name, sizeof name, "%s, held by %u epolls", names[kind], made);
  (void)bench_report("ring", name, samples, 500, 1);
  while (made > 0) close(held[--made]);
  bell_free(&bell);
}

struct sleeper {
  int fd;
  _Atomic uint32_t *ready;
  _Atomic int *stop;
};

static void *sleep_on(void *argument) {
  struct sleeper *sleeper = argument;
  struct pollfd there = { .fd = sleeper->fd, .events = POLLIN };
  bench_pin(1);
  while (!*sleeper->stop) {
    ++*sleeper->ready;
    (void)poll(&there, 1, 20);
    struct timespec moment = { .tv_nsec = 2000000 };
    (void)nanosleep(&moment, NULL);
  }
  return NULL;
}

/* Threads that poll it: each is woken. */
static void made_dear_by_threads(enum kind kind, uint32_t threads, uint64_t *samples) {
  struct bell bell = bell_of(kind);
  _Atomic uint32_t ready = 0;
  _Atomic int stop = 0;
  struct sleeper sleeper = { bell.far, &ready, &stop };
  pthread_t held[512];
  char name[80];
  for (uint32_t i = 0; i < threads; i++) BENCH_CHECK(pthread_create(&held[i], NULL, sleep_on, &sleeper) == 0);
  for (uint32_t i = 0; i < 50; i++) {
    const struct timespec moment = { .tv_nsec = 10000000 };
    (void)nanosleep(&moment, NULL);
    const uint64_t begin = bench_now();
    BENCH_CHECK(ring(&bell));
    samples[i] = bench_now() - begin;
    hear(&bell);
  }
  stop = 1;
  for (uint32_t i = 0; i < threads; i++) BENCH_CHECK(pthread_join(held[i], NULL) == 0);
  snprintf(name, sizeof name, "%s, polled by %u threads", names[kind], threads);
  (void)bench_report("ring", name, samples, 50, 1);
  bell_free(&bell);
}

static void futex_with_nobody(uint32_t rings, uint64_t *samples) {
  uint32_t word = 0;
  for (uint32_t i = 0; i < rings; i++) {
    const uint64_t begin = bench_now();
    BENCH_CHECK(syscall(SYS_futex, &word, FUTEX_WAKE, 1, NULL, NULL, 0) == 0);
    samples[i] = bench_now() - begin;
  }
  (void)bench_report("ring", "futex (shared), nobody waits", samples, rings, 1);
}

int main(int count, char **arguments) {
  const uint32_t rings = count > 1 ? (uint32_t)strtoul(arguments[1], NULL, 10) : 20000;
  uint64_t *samples = malloc((rings + 1000) * sizeof *samples);
  struct rlimit files;
  BENCH_CHECK(samples != NULL && rings >= 100);
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &files);
  }
  bench_pin(0);
  for (int kind = EVENTFD; kind <= SOCKETPAIR; kind++) nobody_waits((enum kind)kind, rings, samples);
  futex_with_nobody(rings, samples);
  for (int cpu = 0; cpu < 2; cpu++)
    for (int kind = EVENTFD; kind <= SOCKETPAIR; kind++) ping_pong((enum kind)kind, rings / 4, samples, cpu);
  for (int kind = EVENTFD; kind <= SOCKETPAIR; kind++) made_dear((enum kind)kind, 1000, samples);
  for (int kind = EVENTFD; kind <= SOCKETPAIR; kind++) made_dear_by_threads((enum kind)kind, 300, samples);
  free(samples);
  return 0;
}
