/* The least that two processors need: the bytes and a flag there, the bytes and a flag back, copied in and copied out, nothing checked. */
#include "peer.h"

#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>

struct way {
  _Alignas(128) _Atomic uint64_t turn;
  uint8_t bytes[];
};

struct bare {
  size_t payload_bytes;
  struct way *out, *in;
  uint64_t sent, received;
};

static struct way *make_way(size_t payload_bytes) {
  void *memory = mmap(NULL, sizeof(struct way) + payload_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  BENCH_CHECK(memory != MAP_FAILED);
  return memory;
}

static void *prepare(const struct fabric_plan *plan) {
  struct bare *self = calloc(1, sizeof *self);
  BENCH_CHECK(self != NULL);
  *self = (struct bare){ .payload_bytes = plan->payload_bytes, .out = make_way(plan->payload_bytes), .in = make_way(plan->payload_bytes) };
  return self;
}

static void hub(void *self) { (void)self; }

static void leaf(void *argument, uint32_t index) {
  struct bare *self = argument;
  struct way *out = self->out;
  (void)index;
  self->out = self->in;
  self->in = out;
}

static void send_it(void *argument, const void *bytes, size_t length_bytes) {
  struct bare *self = argument;
  memcpy(self->out->bytes, bytes, length_bytes);
  atomic_store_explicit(&self->out->turn, ++self->sent, memory_order_release);
}

static size_t receive(void *argument, void *buffer) {
  struct bare *self = argument;
  self->received++;
  while (atomic_load_explicit(&self->in->turn, memory_order_acquire) != self->received) bench_relax();
  memcpy(buffer, self->in->bytes, self->payload_bytes);
  return self->payload_bytes;
}

const struct fabric_peer fabric_bare = { .name = "bare", .spins = 1, .no_flow = 1, .prepare = prepare, .hub = hub, .leaf = leaf, .send = send_it, .receive = receive };
