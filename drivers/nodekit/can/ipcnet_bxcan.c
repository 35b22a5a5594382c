#include "ipcnet_bxcan.h"

enum { MCR = 0x000, MSR = 0x004, TSR = 0x008, RF0R = 0x00C, IER = 0x014, ESR = 0x018, BTR = 0x01C };
enum { MAILBOX = 0x180, MAILBOX_BYTES = 0x10, FIFO = 0x1B0, IDENTIFIER = 0x0, LENGTH = 0x4, LOW = 0x8, HIGH = 0xC };
enum { FMR = 0x200, FM1R = 0x204, FS1R = 0x20C, FFA1R = 0x214, FA1R = 0x21C, FILTER0 = 0x240 };
enum { MCR_INITIALISE = 1 << 0, MCR_SLEEP = 1 << 1, MCR_IN_ORDER = 1 << 2, MCR_KEEP_OLDEST = 1 << 3 };
enum { MSR_INITIALISING = 1 << 0, MSR_SLEEPING = 1 << 1 };
enum { TSR_EMPTY_SHIFT = 26 };
#define TSR_ABORT_ALL (1u << 7 | 1u << 15 | 1u << 23)
#define TSR_ALL_EMPTY (7u << 26)
enum { RF_PENDING = 3, RF_OVERRUN = 1 << 4, RF_RELEASE = 1 << 5 };
enum { ESR_WARNING = 1, ESR_PASSIVE = 2, ESR_BUS_OFF = 4 };
enum { ID_REQUEST = 1, ID_REMOTE = 2, ID_EXTENDED = 4 };
/* Leaving initialisation takes 11 recessive bits: 88 µs at 125 kbit/s. */
enum { TRIES = 100000 };

static uint32_t get(const struct ipcnet_bxcan *self, uint32_t offset) {
  return self->registers.read(self->registers.context, offset);
}

static void set(const struct ipcnet_bxcan *self, uint32_t offset, uint32_t value) {
  self->registers.write(self->registers.context, offset, value);
}

static bool becomes(const struct ipcnet_bxcan *self, uint32_t offset, uint32_t mask, uint32_t wanted) {
  for (int i = 0; i < TRIES; i++) if ((get(self, offset) & mask) == wanted) return true;
  return false;
}

bool ipcnet_bxcan_timing(uint32_t clock_hz, uint32_t bitrate_bps, uint32_t *btr) {
  if (bitrate_bps == 0 || bitrate_bps > 1000000u) return false;
  /* 1 quantum to synchronise, up to 16 before the sample point, up to 8 behind. */
  for (uint32_t quanta = 20; quanta >= 8; quanta--) {
    const uint32_t divisor = bitrate_bps * quanta;
    if (clock_hz % divisor != 0 || clock_hz / divisor == 0 || clock_hz / divisor > 1024u) continue;
    const uint32_t behind = quanta / 6u < 2u ? 2u : quanta / 6u;
    const uint32_t before = quanta - 1u - behind;
    if (before > 16u) continue;
    *btr = (behind - 1u) << 20 | (before - 1u) << 16 | (clock_hz / divisor - 1u);
    return true;
  }
  return false;
}

bool ipcnet_bxcan_start(struct ipcnet_bxcan *self, const struct ipcnet_bxcan_options *options) {
  uint32_t btr = 0;
  *self = (struct ipcnet_bxcan){ .registers = options->registers };
  if (!ipcnet_bxcan_timing(options->clock_hz, options->bitrate_bps, &btr)) return false;
  set(self, MCR, MCR_INITIALISE | MCR_IN_ORDER | MCR_KEEP_OLDEST);
  if (!becomes(self, MSR, MSR_INITIALISING | MSR_SLEEPING, MSR_INITIALISING)) return false;
  set(self, IER, 0);
  set(self, BTR, btr);
  /* One filter of 32 bits whose mask is 0: everything comes into FIFO 0. */
  set(self, FMR, get(self, FMR) | 1u);
  set(self, FA1R, 0);
  set(self, FM1R, 0);
  set(self, FS1R, 1);
  set(self, FFA1R, 0);
  set(self, FILTER0, 0);
  set(self, FILTER0 + 4, 0);
  set(self, FA1R, 1);
  set(self, FMR, get(self, FMR) & ~1u);
  set(self, MCR, MCR_IN_ORDER | MCR_KEEP_OLDEST);
  return becomes(self, MSR, MSR_INITIALISING | MSR_SLEEPING, 0);
}

static bool send(void *context, uint32_t id, const uint8_t *data, uint8_t length) {
  const struct ipcnet_bxcan *self = context;
  const uint32_t empty = get(self, TSR) >> TSR_EMPTY_SHIFT & 7u;
  uint8_t bytes[8] = { 0 };
  if (self->bus_off || length > 8 || empty == 0) return false;
  const uint32_t mailbox = MAILBOX + MAILBOX_BYTES * ((empty & 1u) != 0 ? 0u : (empty & 2u) != 0 ? 1u : 2u);
  const uint32_t identifier = (id & IPCNET_CAN_EXTENDED) != 0 ? (id & 0x1FFFFFFFu) << 3 | ID_EXTENDED : (id & 0x7FFu) << 21;
  for (uint8_t i = 0; i < length; i++) bytes[i] = data[i];
  set(self, mailbox + IDENTIFIER, identifier);
  set(self, mailbox + LENGTH, length);
  set(self, mailbox + LOW, (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24);
  set(self, mailbox + HIGH, (uint32_t)bytes[4] | (uint32_t)bytes[5] << 8 | (uint32_t)bytes[6] << 16 | (uint32_t)bytes[7] << 24);
  set(self, mailbox + IDENTIFIER, identifier | ID_REQUEST);
  return true;
}

static void purge(void *context) {
  const struct ipcnet_bxcan *self = context;
  set(self, TSR, TSR_ABORT_ALL);
  /* A frame that is on the wire may finish. */
  (void)becomes(self, TSR, TSR_ALL_EMPTY, TSR_ALL_EMPTY);
}

static bool receive(void *context, struct ipcnet_can_frame *frame) {
  struct ipcnet_bxcan *self = context;
  for (;;) {
    const uint32_t state = get(self, RF0R);
    if ((state & RF_OVERRUN) != 0) {
      self->overflows++;
      set(self, RF0R, RF_OVERRUN);
    }
    if ((state & RF_PENDING) == 0) return false;
    const uint32_t identifier = get(self, FIFO + IDENTIFIER), length = get(self, FIFO + LENGTH) & 0xFu;
    const uint32_t words[2] = { get(self, FIFO + LOW), get(self, FIFO + HIGH) };
    set(self, RF0R, RF_RELEASE);
    /* The next is there only when the controller has let go of this one. */
    (void)becomes(self, RF0R, RF_RELEASE, 0);
    if ((identifier & ID_REMOTE) != 0) {
      self->remote_frames++;
      continue;
    }
    frame->id = (identifier & ID_EXTENDED) != 0 ? IPCNET_CAN_EXTENDED | identifier >> 3 : identifier >> 21;
    frame->length = (uint8_t)(length > 8 ? 8 : length);
    for (uint8_t i = 0; i < 8; i++) frame->data[i] = (uint8_t)(i < frame->length ? words[i / 4] >> (8 * (i % 4)) : 0u);
    return true;
  }
}

static enum ipcnet_can_health health(void *context) {
  struct ipcnet_bxcan *self = context;
  const uint32_t state = get(self, ESR);
  if (self->bus_off) {
    if (!self->restarting || (state & ESR_BUS_OFF) != 0) return IPCNET_CAN_BUS_OFF;
    self->bus_off = self->restarting = false;
  }
  if ((state & ESR_BUS_OFF) == 0) return (state & ESR_PASSIVE) != 0 ? IPCNET_CAN_PASSIVE : (state & ESR_WARNING) != 0 ? IPCNET_CAN_WARNING : IPCNET_CAN_ACTIVE;
  self->bus_off = true;
  self->bus_offs++;
  purge(self);
  return IPCNET_CAN_BUS_OFF;
}

static void restart(void *context) {
  struct ipcnet_bxcan *self = context;
  purge(self);
  /* Into initialisation and out of it begins the recovery: 128 times 11 recessive bits. `health` sees its end. */
  set(self, MCR, MCR_INITIALISE | MCR_IN_ORDER | MCR_KEEP_OLDEST);
  if (!becomes(self, MSR, MSR_INITIALISING, MSR_INITIALISING)) return;
  set(self, MCR, MCR_IN_ORDER | MCR_KEEP_OLDEST);
  self->restarting = self->bus_off;
}

struct ipcnet_can ipcnet_bxcan_can(struct ipcnet_bxcan *self) {
  return (struct ipcnet_can){ .context = self, .send = send, .receive = receive, .health = health, .purge = purge, .restart = restart };
}
