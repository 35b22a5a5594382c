/*
 * Real processes, killed at random instants: a gateway (this one) that only passes descriptors on, a writer, readers. Whoever dies, the others go on; a dead writer's lane can be
 * read to its end; readers then know that it is gone; the gateway is left with the descriptors it began with.
 *   lane_process_test [SEED [ROUNDS]]
 */
#include "fd_pass_test.h"
#include "lane_layout.h"
#include "lane_test.h"
#include "open_descriptors_test.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

#define READERS 4
#define DEADLINE_NS 3000000u

struct progress {
  _Atomic uint64_t published;
  _Atomic uint64_t samples[READERS];
  _Atomic uint64_t accounted[READERS]; /* at its end: samples and lost ones */
};
static struct progress *progress;

static void pause_ns(uint64_t ns) {
  const struct timespec time = { .tv_nsec = (long)ns };
  (void)nanosleep(&time, NULL);
}

/* -------------------------------------------------------------------- writer -- */

static void take_on_readers(struct ipcnet_lane_writer *writer, int control) {
  struct pollfd there = { .fd = control, .events = POLLIN };
  while (poll(&there, 1, 0) == 1) {
    const int page = test_receive_fd(control), bell = test_receive_fd(control);
    if (page < 0) _exit(0); /* the gateway has gone */
    const int number = ipcnet_lane_writer_add_reader(writer, page, bell, ipcnet_lane_writer_next_sequence(writer) % 2 ? IPCNET_LANE_LOSSLESS : IPCNET_LANE_QUEUE, DEADLINE_NS);
    CHECK(number >= 0);
  }
}

static void be_writer(int control, uint64_t seed) {
  uint8_t payload[4096];
  const struct ipcnet_lane_options options = { .slot_count = 64, .inline_bytes = 64, .large_bytes = 65536, .policy = IPCNET_LANE_LOSSLESS };
  struct ipcnet_lane_writer *writer = NULL;
  CHECK(ipcnet_lane_writer_create(&writer, &options) == 0);
  CHECK(test_send_fd(control, ipcnet_lane_writer_fd(writer)) == 0);
  for (;;) {
    take_on_readers(writer, control);
    for (int i = 0; i < 32; i++) {
      const uint64_t sequence = ipcnet_lane_writer_next_sequence(writer);
      const size_t bytes = test_below(&seed, 4) ? test_below(&seed, 65) : test_below(&seed, sizeof payload);
      test_fill(payload, bytes, sequence);
      int result;
      while ((result = ipcnet_lane_writer_publish(writer, NULL, NULL, payload, bytes, 0)) == -EAGAIN) {
        struct pollfd space = { .fd = ipcnet_lane_writer_space_fd(writer), .events = POLLIN };
        CHECK(poll(&space, 1, 60000) == 1);
        ipcnet_lane_writer_space_taken(writer);
      }
      CHECK(result == 0);
      atomic_store(&progress->published, sequence);
    }
    pause_ns(20000);
  }
}

/* -------------------------------------------------------------------- reader -- */

static void be_reader(int which, int lane_fd, int bell, int socket) {
  static uint8_t buffer[4096];
  const struct ipcnet_lane_reader_options options = { .policy = which % 2 ? IPCNET_LANE_LOSSLESS : IPCNET_LANE_QUEUE, .start = IPCNET_LANE_FROM_SEQUENCE, .sequence = 1 };
  struct ipcnet_lane_reader *reader = NULL;
  struct ipcnet_lane_sample sample;
  uint64_t last = 0;
  CHECK(ipcnet_lane_reader_open(&reader, lane_fd, bell, &options) == 0);
  CHECK(test_send_fd(socket, ipcnet_lane_reader_page_fd(reader)) == 0);
  for (;;) {
    const enum ipcnet_lane_verdict verdict = ipcnet_lane_reader_read(reader, &sample, buffer, sizeof buffer);
    if (verdict == IPCNET_LANE_NOTHING) {
      CHECK(ipcnet_lane_reader_wait(reader, -1, 0) == 1);
      continue;
    }
    if (verdict != IPCNET_LANE_SAMPLE) {
      struct ipcnet_lane_reader_stats stats;
      ipcnet_lane_reader_stats(reader, &stats);
      CHECK(verdict == IPCNET_LANE_GONE && stats.corrupt == 0);
      atomic_store(&progress->accounted[which], stats.samples + stats.lost);
      _exit(0);
    }
    CHECK(sample.sequence - last == sample.lost_before + 1 && test_filled(buffer, sample.payload_bytes, sample.sequence));
    last = sample.sequence;
    atomic_store(&progress->samples[which], last);
  }
}

/* ------------------------------------------------------------------- gateway -- */

static pid_t fork_child(void) {
  const pid_t parent = getpid(), pid = fork();
  CHECK(pid >= 0);
  if (pid == 0 && (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || getppid() != parent)) _exit(1);
  return pid;
}

static void pair(int sockets[2]) { CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) == 0); }

static pid_t start_reader(int which, int lane_fd, int control) {
  int bell[2], sockets[2];
  CHECK(ipcnet_lane_bell(bell) == 0);
  pair(sockets);
  atomic_store(&progress->samples[which], 0);
  const pid_t pid = fork_child();
  if (pid == 0) {
    close(bell[1]); /* or it would keep the writer's end open itself */
    close(control);
    close(sockets[0]);
    be_reader(which, lane_fd, bell[0], sockets[1]);
  }
  close(bell[0]);
  close(sockets[1]);
  const int page = test_receive_fd(sockets[0]);
  CHECK(page >= 0 && test_send_fd(control, page) == 0 && test_send_fd(control, bell[1]) == 0);
  close(page);
  close(bell[1]);
  close(sockets[0]);
  return pid;
}

/* Waits until somebody has got on; a generous deadline, because the machine may be busy. */
static void until_more_than(_Atomic uint64_t *counter, uint64_t value) {
  for (int i = 0; i < 600000; i++) {
    if (atomic_load(counter) > value) return;
    pause_ns(100000);
  }
  CHECK(atomic_load(counter) > value);
}

static void killed(pid_t pid) {
  int status;
  CHECK(kill(pid, SIGKILL) == 0 && waitpid(pid, &status, 0) == pid);
  CHECK(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL); /* and not already ended by a failed check */
}

static void one_round(uint64_t seed) {
  uint64_t random = test_seed = seed;
  int control[2];
  pid_t readers[READERS];
  memset(progress, 0, sizeof *progress);
  pair(control);
  const pid_t writer = fork_child();
  if (writer == 0) {
    close(control[0]);
    be_writer(control[1], seed);
  }
  close(control[1]);
  const int lane_fd = test_receive_fd(control[0]);
  CHECK(lane_fd >= 0);
  for (int i = 0; i < READERS; i++) readers[i] = start_reader(i, lane_fd, control[0]);
  for (int i = 0; i < READERS; i++) until_more_than(&progress->samples[i], 0);

  for (int deaths = 0; deaths < 3; deaths++) { /* a reader dies, or is stopped for good; writer and the others go on; another comes */
    const int which = (int)test_below(&random, READERS), stopped = test_below(&random, 3) == 0;
    pause_ns(test_below(&random, 3000000));
    if (stopped) CHECK(kill(readers[which], SIGSTOP) == 0);
    else killed(readers[which]);
    until_more_than(&progress->published, atomic_load(&progress->published) + 500);
    for (int i = 0; i < READERS; i++) if (i != which) until_more_than(&progress->samples[i], atomic_load(&progress->samples[i]));
    if (stopped) killed(readers[which]);
    readers[which] = start_reader(which, lane_fd, control[0]);
    until_more_than(&progress->samples[which], 0);
  }

  pause_ns(test_below(&random, 3000000));
  killed(writer);
  close(control[0]);
  const uint64_t published = atomic_load(&progress->published);
  for (int i = 0; i < READERS; i++) {
    int status;
    CHECK(waitpid(readers[i], &status, 0) == readers[i]);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    const uint64_t accounted = atomic_load(&progress->accounted[i]);
    CHECK(accounted == published || accounted == published + 1); /* killed between the publish and our note of it */
  }
  /* What the dead writer left can still be read. */
  static struct ipcnet_lane_sample samples[64];
  static uint8_t buffer[64 * 4096];
  const struct ipcnet_lane_reader_options options = { .policy = IPCNET_LANE_QUEUE };
  struct ipcnet_lane_reader *late = NULL;
  CHECK(ipcnet_lane_reader_open(&late, lane_fd, -1, &options) == 0);
  const uint32_t count = ipcnet_lane_reader_history(late, 64, samples, buffer, sizeof buffer);
  CHECK(count >= 8);
  for (uint32_t i = 0; i < count; i++) CHECK(test_filled(buffer + samples[i].payload_at, samples[i].payload_bytes, samples[i].sequence));
  CHECK(samples[count - 1].sequence >= published);
  ipcnet_lane_reader_close(late);
  close(lane_fd);
}

int main(int count, char **arguments) {
  const uint64_t first = count > 1 ? strtoull(arguments[1], NULL, 10) : 1;
  const uint64_t rounds = count > 2 ? strtoull(arguments[2], NULL, 10) : 8;
  alarm(280); /* readers that are never told would hang */
  progress = mmap(NULL, sizeof *progress, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  CHECK(progress != MAP_FAILED);
  const int before = open_descriptors();
  for (uint64_t seed = first; seed < first + rounds; seed++) one_round(seed);
  CHECK(open_descriptors() == before);
  CHECK(waitpid(-1, NULL, WNOHANG) == -1 && errno == ECHILD);
  return 0;
}
