#include "ipcnet_xcan.h"

enum { SRR = 0x00, MSR = 0x04, BRPR = 0x08, BTR = 0x0C, SR = 0x18, ISR = 0x1C, IER = 0x20, ICR = 0x24, TXFIFO = 0x30, RXFIFO = 0x50, AFR = 0x60 };
enum { SRR_RESET = 1, SRR_ENABLE = 2 };
enum { SR_CONFIGURATION = 1 << 0, SR_NORMAL = 1 << 3, SR_WARNING = 1 << 6, SR_ERROR_SHIFT = 7, SR_PASSIVE = 3, SR_TX_FULL = 1 << 10 };
enum { ISR_RECEIVED = 1 << 4, ISR_OVERFLOW = 1 << 6, ISR_NOT_EMPTY = 1 << 7, ISR_BUS_OFF = 1 << 9 };
enum { TRIES = 100000 };

static uint32_t get(const struct ipcnet_xcan *self, uint32_t offset) {
  return self->registers.read(self->registers.context, offset);
}

static void set(const struct ipcnet_xcan *self, uint32_t offset, uint32_t value) {
  self->registers.write(self->registers.context, offset, value);
}

static bool becomes(const struct ipcnet_xcan *self, uint32_t mask) {
  for (int i = 0; i < TRIES; i++) if ((get(self, SR) & mask) != 0) return true;
  return false;
}

bool ipcnet_xcan_start(struct ipcnet_xcan *self, const struct ipcnet_xcan_options *options) {
  *self = (struct ipcnet_xcan){ .registers = options->registers, .as_emulated = options->as_emulated };
  for (uint32_t quanta = 20; quanta >= 8; quanta--) {
    const uint32_t divisor = options->bitrate_bps * quanta;
    if (divisor == 0 || options->clock_hz % divisor != 0 || options->clock_hz / divisor > 256u || options->clock_hz / divisor == 0) continue;
    const uint32_t behind = quanta / 5u < 2u ? 2u : quanta / 5u, before = quanta - 1u - behind;
    set(self, SRR, SRR_RESET);
    set(self, SRR, 0);
    if (!becomes(self, SR_CONFIGURATION)) return false;
    set(self, MSR, 0);
    set(self, BRPR, options->clock_hz / divisor - 1u);
    set(self, BTR, (behind - 1u) << 4 | (before - 1u));
    set(self, AFR, 0); /* no filter: everything */
    set(self, IER, 0);
    set(self, ICR, 0xFFFFFFFFu);
    set(self, SRR, SRR_ENABLE);
    return becomes(self, SR_NORMAL);
  }
  return false;
}

/* Of byte 0…3 in a word of data: the first stands highest, in the emulator's model lowest. */
static uint8_t shift_of(const struct ipcnet_xcan *self, uint8_t byte) {
  return (uint8_t)(8 * (self->as_emulated ? byte : 3 - byte));
}

static bool send(void *context, uint32_t id, const uint8_t *data, uint8_t length) {
  const struct ipcnet_xcan *self = context;
  uint32_t words[2] = { 0 };
  if (self->bus_off || length > 8 || (get(self, SR) & SR_TX_FULL) != 0) return false;
  for (uint8_t i = 0; i < length; i++) words[i / 4] |= (uint32_t)data[i] << shift_of(self, i % 4);
  const uint32_t extended = id & 0x1FFFFFFFu;
  set(self, TXFIFO, self->as_emulated ? id : (id & IPCNET_CAN_EXTENDED) != 0 ? (extended >> 18) << 21 | 3u << 19 | (extended & 0x3FFFFu) << 1 : (id & 0x7FFu) << 21);
  set(self, TXFIFO + 4, (uint32_t)length << 28);
  /* The frame is the controller's with the last word. */
  set(self, TXFIFO + 8, words[0]);
  set(self, TXFIFO + 12, words[1]);
  return true;
}

/* A standard remote frame has SRTR without IDE; an extended one ERTR. */
static bool is_remote(uint32_t identifier) {
  const bool extended = (identifier >> 19 & 1u) != 0;
  return extended ? (identifier & 1u) != 0 : (identifier >> 20 & 1u) != 0;
}

static bool receive(void *context, struct ipcnet_can_frame *frame) {
  struct ipcnet_xcan *self = context;
  for (;;) {
    const uint32_t events = get(self, ISR);
    if ((events & ISR_OVERFLOW) != 0) {
      self->overflows++;
      set(self, ICR, ISR_OVERFLOW);
    }
    if ((events & ISR_NOT_EMPTY) == 0) return false;
    const uint32_t identifier = get(self, RXFIFO), length = get(self, RXFIFO + 4) >> 28;
    const uint32_t words[2] = { get(self, RXFIFO + 8), get(self, RXFIFO + 12) };
    set(self, ICR, ISR_NOT_EMPTY | ISR_RECEIVED);
    if (self->as_emulated) {
      frame->id = identifier;
    } else {
      if (is_remote(identifier)) {
        self->remote_frames++;
        continue;
      }
      const bool extended = (identifier >> 19 & 1u) != 0;
      frame->id = extended ? IPCNET_CAN_EXTENDED | (identifier >> 21) << 18 | (identifier >> 1 & 0x3FFFFu) : identifier >> 21;
    }
    frame->length = (uint8_t)(length > 8 ? 8 : length);
    for (uint8_t i = 0; i < 8; i++) frame->data[i] = (uint8_t)(i < frame->length ? words[i / 4] >> shift_of(self, i % 4) : 0u);
    return true;
  }
}

static void purge(void *context) {
  const struct ipcnet_xcan *self = context;
  /* There is no other way to empty its FIFO than to leave the bus for a moment. */
  set(self, SRR, 0);
  if (becomes(self, SR_CONFIGURATION)) set(self, SRR, SRR_ENABLE);
}

static enum ipcnet_can_health health(void *context) {
  struct ipcnet_xcan *self = context;
  if (self->bus_off) return IPCNET_CAN_BUS_OFF;
  if ((get(self, ISR) & ISR_BUS_OFF) != 0) {
    self->bus_off = true;
    self->bus_offs++;
    set(self, SRR, 0); /* out of the bus, its FIFO emptied */
    return IPCNET_CAN_BUS_OFF;
  }
  const uint32_t state = get(self, SR);
  return (state >> SR_ERROR_SHIFT & 3u) == SR_PASSIVE ? IPCNET_CAN_PASSIVE : (state & SR_WARNING) != 0 ? IPCNET_CAN_WARNING : IPCNET_CAN_ACTIVE;
}

static void restart(void *context) {
  struct ipcnet_xcan *self = context;
  set(self, SRR, 0);
  set(self, ICR, ISR_BUS_OFF);
  set(self, SRR, SRR_ENABLE);
  self->bus_off = false;
}

struct ipcnet_can ipcnet_xcan_can(struct ipcnet_xcan *self) {
  return (struct ipcnet_can){ .context = self, .send = send, .receive = receive, .health = health, .purge = purge, .restart = restart };
}
