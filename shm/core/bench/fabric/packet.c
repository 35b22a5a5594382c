/* Unix sockets of type SEQPACKET, blocking: what one writes without any library. What does not fit into a packet goes in several; the kernel keeps their order. */
#include "peer.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>

/* Larger ones need many neighbouring pages in the kernel. */
#define PACKET_BYTES 65536u
#define BUFFER_BYTES (4 << 20)

struct packet {
  size_t payload_bytes;
  uint32_t leaves;
  uint32_t next; /* whose turn it is to be asked first */
  int hub_ends[FABRIC_LEAVES_MAX], leaf_ends[FABRIC_LEAVES_MAX];
  const int *ends;
  uint32_t count;
};

static void enlarge(int socket) {
  const int bytes = BUFFER_BYTES;
  if (setsockopt(socket, SOL_SOCKET, SO_SNDBUFFORCE, &bytes, sizeof bytes) != 0) (void)setsockopt(socket, SOL_SOCKET, SO_SNDBUF, &bytes, sizeof bytes);
}

static void *prepare(const struct fabric_plan *plan) {
  struct packet *self = calloc(1, sizeof *self);
  BENCH_CHECK(self != NULL);
  *self = (struct packet){ .payload_bytes = plan->payload_bytes, .leaves = plan->leaves };
  for (uint32_t i = 0; i < plan->leaves; i++) {
    int pair[2];
    BENCH_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
    enlarge(self->hub_ends[i] = pair[0]);
    enlarge(self->leaf_ends[i] = pair[1]);
  }
  return self;
}

static void hub(void *argument) {
  struct packet *self = argument;
  self->ends = self->hub_ends;
  self->count = self->leaves;
}

static void leaf(void *argument, uint32_t index) {
  struct packet *self = argument;
  self->ends = &self->leaf_ends[index];
  self->count = 1;
}

static void send_it(void *argument, const void *bytes, size_t length_bytes) {
  struct packet *self = argument;
  for (uint32_t i = 0; i < self->count; i++) {
    for (size_t at = 0, part; at < length_bytes; at += part) {
      part = length_bytes - at < PACKET_BYTES ? length_bytes - at : PACKET_BYTES;
      BENCH_CHECK(send(self->ends[i], (const uint8_t *)bytes + at, part, MSG_NOSIGNAL) == (ssize_t)part);
    }
  }
}

/* Which end has something. */
static int ready_end(struct packet *self) {
  if (self->count == 1) return self->ends[0];
  struct pollfd polled[FABRIC_LEAVES_MAX];
  for (uint32_t i = 0; i < self->count; i++) polled[i] = (struct pollfd){ .fd = self->ends[i], .events = POLLIN };
  BENCH_CHECK(poll(polled, self->count, -1) > 0);
  while (!(polled[self->next % self->count].revents & POLLIN)) self->next++;
  return self->ends[self->next++ % self->count];
}

static size_t receive(void *argument, void *buffer) {
  struct packet *self = argument;
  const int end = ready_end(self);
  size_t at = 0;
  for (;;) {
    const ssize_t got = recv(end, (uint8_t *)buffer + at, self->payload_bytes - at, 0);
    BENCH_CHECK(got > 0);
    at += (size_t)got;
    if ((size_t)got < PACKET_BYTES || at == self->payload_bytes) return at;
  }
}

const struct fabric_peer fabric_packet = { .name = "Unix SEQPACKET", .prepare = prepare, .hub = hub, .leaf = leaf, .send = send_it, .receive = receive };
