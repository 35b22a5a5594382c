#include "ipcnet_node.h"
#include "ipcnet_node_bytes.h"

enum { VERSION = 1, SYNC = 0, FOLLOW_UP = 1, FRAME_BYTES = 8, PAIRS_SETTLED = 8 };
/* A pair's delay between SYNC and FOLLOW_UP, and the shortest interval between two SYNCs that says anything of the rate. */
enum { FOLLOW_UP_MAX_US = 1000000, INTERVAL_MIN_US = 5000 };
/* Once settled a single pair moves the clock by no more than a quarter of this: a SYNC that was repeated on the wire, an interrupt that was held up. */
enum { TRUSTED_US = 64 };
#define RATE_BITS 26
#define RATE_ONE (1l << RATE_BITS)
#define RATE_MAX 67108    /* 1000 ppm: no oscillator that works is further off */

static const ipcnet_e2e_config time_e2e = { .data_id = IPCNET_NODE_TIME_DATA_ID, .min_length_bytes = FRAME_BYTES, .max_length_bytes = FRAME_BYTES };

static void set_anew(struct ipcnet_node_time *self, uint64_t gateway_us) {
  self->base_us = gateway_us;
  self->local_us = self->sync_us;
  self->rate = 0;
  self->pairs = 1;
  self->outliers = 0;
  self->locked = false;
}

static uint64_t at(const struct ipcnet_node_time *self, uint32_t local_us) {
  const int64_t passed = (int32_t)(local_us - self->local_us);
  /* >> of a negative number keeps its sign with every compiler that is in use. */
  return self->base_us + (uint64_t)(passed + (passed * self->rate >> RATE_BITS));
}

/* error / interval in 2^-26, bit by bit: the error is the smaller one, and a division in software costs more than this loop. */
static int32_t rate_of(int32_t error_us, uint32_t interval_us) {
  uint32_t rest = (uint32_t)(error_us < 0 ? -error_us : error_us), quotient = 0;
  for (uint32_t one = RATE_ONE; one > 1; one >>= 1) {
    rest <<= 1;
    quotient <<= 1;
    if (rest >= interval_us) {
      rest -= interval_us;
      quotient++;
    }
  }
  return error_us < 0 ? -(int32_t)quotient : (int32_t)quotient;
}

/* A quarter of the error goes into the clock, a thirty-second into its rate; the second pair of all gives the rate outright. */
static void pair(struct ipcnet_node_time *self, uint64_t gateway_us) {
  const uint32_t interval_us = self->sync_us - self->local_us;
  if (self->pairs == 0) {
    set_anew(self, gateway_us);
    return;
  }
  if (interval_us < INTERVAL_MIN_US) return;
  const uint64_t expected_us = at(self, self->sync_us);
  /* Shifted so that what is near is small: one comparison of 64 bits. */
  const uint64_t shifted = gateway_us - expected_us + IPCNET_NODE_TIME_STEP_US;
  if (shifted > 2 * IPCNET_NODE_TIME_STEP_US) {
    if (self->pairs > 1 && ++self->outliers < 2) return;
    self->steps++;
    set_anew(self, gateway_us);
    return;
  }
  int32_t error_us = (int32_t)(uint32_t)shifted - IPCNET_NODE_TIME_STEP_US;
  self->last_error_us = error_us;
  self->outliers = 0;
  if (self->pairs >= PAIRS_SETTLED) error_us = error_us > TRUSTED_US ? TRUSTED_US : error_us < -TRUSTED_US ? -TRUSTED_US : error_us;
  const bool first = self->pairs == 1;
  const int32_t rate_error = rate_of(error_us, interval_us);
  const int32_t rate = self->rate + (first ? rate_error : rate_error / 32);
  self->rate = rate > RATE_MAX ? RATE_MAX : rate < -RATE_MAX ? -RATE_MAX : rate;
  self->base_us = first ? gateway_us : expected_us + (uint64_t)(int64_t)(error_us / 4);
  self->local_us = self->sync_us;
  if (self->pairs < PAIRS_SETTLED) self->pairs++;
  self->locked = self->pairs > 2;
}

static bool hear(struct ipcnet_node_part *part, struct ipcnet_node_device *device, uint32_t id, const uint8_t *data, size_t length_bytes, uint32_t now_us) {
  struct ipcnet_node_time *self = (struct ipcnet_node_time *)part;
  uint32_t counter = 0;
  if (id != self->id) return false;
  if (ipcnet_e2e_p05_inspect(&time_e2e, data, length_bytes, &counter) != IPCNET_E2E_INSPECTED_OK || data[3] >> 4 != VERSION) {
    self->bad_frames++;
    return true;
  }
  const uint8_t owner = data[3] >> 1 & 7u;
  if (device->options->rules.claim_timeout_us != 0 && (!device->node.following || owner != device->node.owner)) return true;
  if (owner != self->owner) {
    /* Another host has another clock. */
    self->owner = owner;
    self->pairs = 0;
    self->locked = self->sync_heard = false;
  }
  const uint32_t word = ipcnet_node_get32(data + 4);
  if ((data[3] & 1u) == SYNC) {
    if (self->sync_heard && counter == self->sync_counter) return true; /* repeated on the wire: the first one counts */
    self->sync_heard = true;
    self->sync_counter = (uint8_t)counter;
    self->sync_us = now_us;
    self->sync_high = word;
  } else if (self->sync_heard && counter == self->sync_counter) {
    self->sync_heard = false;
    if (now_us - self->sync_us < FOLLOW_UP_MAX_US) pair(self, (uint64_t)self->sync_high << 32 | word);
  }
  return true;
}

static void poll(struct ipcnet_node_part *part, struct ipcnet_node_device *device, uint32_t now_us) {
  struct ipcnet_node_time *self = (struct ipcnet_node_time *)part;
  (void)device;
  if (self->pairs != 0 && now_us - self->local_us >= IPCNET_NODE_TIME_HOLD_US) {
    self->pairs = 0;
    self->locked = self->sync_heard = false;
  }
}

void ipcnet_node_time_init(struct ipcnet_node_time *self, uint32_t id) {
  memset(self, 0, sizeof *self);
  self->part.hear = hear;
  self->part.poll = poll;
  self->id = id;
}

bool ipcnet_node_time_at(const struct ipcnet_node_time *self, uint32_t local_us, uint64_t *gateway_us) {
  *gateway_us = at(self, local_us);
  return self->locked;
}
