/*
 * Lanes, everything on: sealed memory, CRC of header and payload, schema hash, clocks, lossless by the readers' cursors. Asleep, spinning, and in place: written into a loan, read in a lease (what it is copied to elsewhere stays as it was).
 */
#include "peer.h"

#include "../../fd_pass_test.h"
#include "../../lane.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#define DEADLINE_NS 60000000000u

struct lane {
  struct fabric_plan plan;
  int spinning;
  int in_place;
  int sockets[FABRIC_LEAVES_MAX][2];
  struct ipcnet_lane_writer *writer;
  struct ipcnet_lane_reader *readers[FABRIC_LEAVES_MAX];
  uint32_t reader_count;
  uint32_t next; /* whose turn it is to be asked first */
};

static struct ipcnet_lane_writer *make_writer(const struct fabric_plan *plan) {
  struct ipcnet_lane_options options = { .slot_count = plan->depth, .inline_bytes = 64, .policy = IPCNET_LANE_LOSSLESS, .schema_hash = 1 };
  struct ipcnet_lane_writer *writer = NULL;
  if (plan->payload_bytes > 64) options.large_bytes = (uint64_t)plan->depth * plan->payload_bytes;
  BENCH_CHECK(ipcnet_lane_writer_create(&writer, &options) == 0);
  return writer;
}

static void *prepare_any(const struct fabric_plan *plan, int spinning, int in_place) {
  struct lane *self = calloc(1, sizeof *self);
  BENCH_CHECK(self != NULL);
  self->plan = *plan;
  self->spinning = spinning;
  self->in_place = in_place;
  for (uint32_t i = 0; i < plan->leaves; i++) BENCH_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, self->sockets[i]) == 0);
  return self;
}

static void *prepare(const struct fabric_plan *plan) { return prepare_any(plan, 0, 0); }
static void *prepare_spinning(const struct fabric_plan *plan) { return prepare_any(plan, 1, 0); }
static void *prepare_in_place(const struct fabric_plan *plan) { return prepare_any(plan, 0, 1); }

/* The other side's lane and bell come, our page goes. */
static void read_from(struct lane *self, int socket) {
  const struct ipcnet_lane_reader_options options = { .policy = IPCNET_LANE_LOSSLESS, .start = IPCNET_LANE_FROM_NEXT, .schema_hash = 1 };
  const int lane = test_receive_fd(socket), bell = test_receive_fd(socket);
  struct ipcnet_lane_reader *reader = NULL;
  BENCH_CHECK(lane >= 0 && ipcnet_lane_reader_open(&reader, lane, bell, &options) == 0);
  close(lane);
  BENCH_CHECK(test_send_fd(socket, ipcnet_lane_reader_page_fd(reader)) == 0);
  self->readers[self->reader_count++] = reader;
}

static void written_for(struct lane *self, int socket) {
  int bell[2];
  BENCH_CHECK(ipcnet_lane_bell(bell) == 0 && test_send_fd(socket, ipcnet_lane_writer_fd(self->writer)) == 0 && test_send_fd(socket, bell[0]) == 0);
  close(bell[0]);
  BENCH_CHECK(ipcnet_lane_writer_add_reader(self->writer, test_receive_fd(socket), bell[1], IPCNET_LANE_LOSSLESS, DEADLINE_NS) >= 0);
}

static void hub(void *argument) {
  struct lane *self = argument;
  self->writer = make_writer(&self->plan);
  for (uint32_t i = 0; i < self->plan.leaves; i++) {
    written_for(self, self->sockets[i][0]);
    read_from(self, self->sockets[i][0]);
  }
}

static void leaf(void *argument, uint32_t index) {
  struct lane *self = argument;
  self->writer = make_writer(&self->plan);
  read_from(self, self->sockets[index][1]);
  written_for(self, self->sockets[index][1]);
}

static int publish(struct lane *self, const void *bytes, size_t length_bytes) {
  if (!self->in_place) return ipcnet_lane_writer_publish(self->writer, NULL, NULL, bytes, length_bytes, 0);
  void *payload = NULL;
  const int result = ipcnet_lane_writer_loan(self->writer, length_bytes, 0, &payload);
  if (result != 0) return result;
  memcpy(payload, bytes, length_bytes); /* stands for what makes the payload */
  return ipcnet_lane_writer_commit(self->writer, NULL, NULL, length_bytes, 0);
}

static void send_it(void *argument, const void *bytes, size_t length_bytes) {
  struct lane *self = argument;
  for (;;) {
    const int result = publish(self, bytes, length_bytes);
    if (result == 0) return;
    BENCH_CHECK(result == -EAGAIN);
    struct pollfd space = { .fd = ipcnet_lane_writer_space_fd(self->writer), .events = POLLIN };
    BENCH_CHECK(space.fd >= 0);
    if (!self->spinning) (void)poll(&space, 1, -1);
    ipcnet_lane_writer_space_taken(self->writer);
  }
}

static size_t take(struct lane *self, struct ipcnet_lane_reader *reader, void *buffer) {
  struct ipcnet_lane_sample sample;
  const void *payload = NULL;
  const enum ipcnet_lane_verdict verdict = self->in_place ? ipcnet_lane_reader_lease(reader, &sample, &payload) : ipcnet_lane_reader_read(reader, &sample, buffer, self->plan.payload_bytes);
  if (payload != NULL) BENCH_CHECK(ipcnet_lane_reader_release(reader) == 0);
  if (verdict == IPCNET_LANE_NOTHING) return 0;
  BENCH_CHECK(verdict == IPCNET_LANE_SAMPLE && sample.lost_before == 0);
  return sample.payload_bytes;
}

/* All that there are sleep, until one of them is rung. */
static void sleep_till_rung(struct lane *self) {
  struct pollfd polled[FABRIC_LEAVES_MAX];
  int asleep = 1;
  for (uint32_t i = 0; i < self->reader_count; i++) {
    asleep &= ipcnet_lane_reader_arm(self->readers[i]);
    polled[i] = (struct pollfd){ .fd = ipcnet_lane_reader_bell_fd(self->readers[i]), .events = POLLIN };
  }
  if (asleep) (void)poll(polled, self->reader_count, -1);
  for (uint32_t i = 0; i < self->reader_count; i++) {
    if (!asleep || polled[i].revents != 0) ipcnet_lane_reader_awake(self->readers[i]);
  }
}

static size_t receive(void *argument, void *buffer) {
  struct lane *self = argument;
  for (;;) {
    for (uint32_t asked = 0; asked < self->reader_count; asked++) {
      const size_t length_bytes = take(self, self->readers[self->next], buffer);
      if (++self->next == self->reader_count) self->next = 0;
      if (length_bytes > 0) return length_bytes;
    }
    if (self->reader_count > 1) sleep_till_rung(self);
    else BENCH_CHECK(ipcnet_lane_reader_wait(self->readers[0], -1, self->spinning ? DEADLINE_NS : 0) == 1);
  }
}

const struct fabric_peer fabric_lane = { .name = "ipcnet", .prepare = prepare, .hub = hub, .leaf = leaf, .send = send_it, .receive = receive };
const struct fabric_peer fabric_lane_spinning = { .name = "ipcnet, spinning", .spins = 1, .prepare = prepare_spinning, .hub = hub, .leaf = leaf, .send = send_it, .receive = receive };
const struct fabric_peer fabric_lane_in_place = { .name = "ipcnet, in place", .prepare = prepare_in_place, .hub = hub, .leaf = leaf, .send = send_it, .receive = receive };
