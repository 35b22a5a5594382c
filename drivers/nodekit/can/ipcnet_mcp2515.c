#include "ipcnet_mcp2515.h"

enum {
  RESET = 0xC0, READ = 0x03, WRITE = 0x02, MODIFY = 0x05, READ_STATUS = 0xA0,
  READ_RECEIVED = 0x90,      /* | 4 × buffer: from its identifier on; clears its flag at the end */
  LOAD = 0x40,               /* | 2 × buffer: from its identifier on */
  REQUEST_TO_SEND = 0x80     /* | 1 << buffer */
};
enum { CANSTAT = 0x0E, CANCTRL = 0x0F, CNF3 = 0x28, CANINTE = 0x2B, EFLG = 0x2D, TXB0CTRL = 0x30, RXB0CTRL = 0x60, RXB1CTRL = 0x70 };
enum { MODE = 0xE0, NORMAL = 0x00, LISTEN_ONLY = 0x60, CONFIGURATION = 0x80, ABORT_ALL = 0x10 };
enum { OVERFLOWS = 0xC0, IS_BUS_OFF = 0x20, IS_PASSIVE = 0x18, IS_WARNING = 0x07 };
enum { ANY_FRAME = 0x60, ROLL_OVER = 0x04 };
enum { EXTENDED_ID = 0x08, REMOTE_STANDARD = 0x10, REMOTE_EXTENDED = 0x40 };
/* The chip needs 128 clocks of its crystal after a reset: a few transactions. */
enum { TRIES = 1000 };

/* ------------------------------------------------------------------------------------------------------------------------------------------- SPI */

static uint8_t read_register(const struct ipcnet_mcp2515 *self, uint8_t address) {
  const uint8_t out[3] = { READ, address, 0 };
  uint8_t in[3];
  self->spi.transfer(self->spi.context, out, in, sizeof out);
  return in[2];
}

static void write_register(const struct ipcnet_mcp2515 *self, uint8_t address, uint8_t value) {
  const uint8_t out[3] = { WRITE, address, value };
  uint8_t in[3];
  self->spi.transfer(self->spi.context, out, in, sizeof out);
}

static void modify_register(const struct ipcnet_mcp2515 *self, uint8_t address, uint8_t mask, uint8_t value) {
  const uint8_t out[4] = { MODIFY, address, mask, value };
  uint8_t in[4];
  self->spi.transfer(self->spi.context, out, in, sizeof out);
}

static uint8_t read_status(const struct ipcnet_mcp2515 *self) {
  const uint8_t out[2] = { READ_STATUS, 0 };
  uint8_t in[2];
  self->spi.transfer(self->spi.context, out, in, sizeof out);
  return in[1];
}

static bool enter_mode(const struct ipcnet_mcp2515 *self, uint8_t mode) {
  modify_register(self, CANCTRL, MODE, mode);
  for (int i = 0; i < TRIES; i++) if ((read_register(self, CANSTAT) & MODE) == mode) return true;
  return false;
}

/* ----------------------------------------------------------------------------------------------------------------------------------------- Start */

bool ipcnet_mcp2515_timing(uint32_t crystal_hz, uint32_t bitrate_bps, uint8_t timing[3]) {
  if (bitrate_bps == 0 || bitrate_bps > 1000000u || crystal_hz > 40000000u) return false;
  /* A bit of so many quanta: 1 to synchronise, then propagation and phase 1, then phase 2 behind the sample point. The more, the finer. */
  for (uint32_t quanta = 20; quanta >= 8; quanta--) {
    const uint32_t divisor = 2u * bitrate_bps * quanta;
    if (crystal_hz % divisor != 0 || crystal_hz / divisor > 64u || crystal_hz / divisor == 0) continue;
    const uint32_t phase2 = quanta / 5u < 2u ? 2u : quanta / 5u;
    const uint32_t before = quanta - 1u - phase2;
    const uint32_t phase1 = before / 2u, propagation = before - phase1;
    timing[0] = (uint8_t)(phase2 - 1u);
    timing[1] = (uint8_t)(0x80u | (phase1 - 1u) << 3 | (propagation - 1u)); /* phase 2 as in CNF3; one sample */
    timing[2] = (uint8_t)(crystal_hz / divisor - 1u);                       /* synchronisation jump: 1 quantum */
    return true;
  }
  return false;
}

bool ipcnet_mcp2515_start(struct ipcnet_mcp2515 *self, const struct ipcnet_mcp2515_options *options) {
  const uint8_t reset[1] = { RESET };
  uint8_t in[1];
  *self = (struct ipcnet_mcp2515){ .spi = options->spi, .next_buffer = 2 };
  if (!ipcnet_mcp2515_timing(options->crystal_hz, options->bitrate_bps, self->timing)) return false;
  self->spi.transfer(self->spi.context, reset, in, sizeof reset);
  if (!enter_mode(self, CONFIGURATION)) return false;
  for (uint8_t i = 0; i < 3; i++) write_register(self, (uint8_t)(CNF3 + i), self->timing[i]);
  for (uint8_t i = 0; i < 3; i++) if (read_register(self, (uint8_t)(CNF3 + i)) != self->timing[i]) return false;
  write_register(self, CANINTE, 0);
  write_register(self, RXB0CTRL, ANY_FRAME | ROLL_OVER);
  write_register(self, RXB1CTRL, ANY_FRAME);
  /* Buffer 2 before 1 before 0. */
  for (uint8_t buffer = 0; buffer < 3; buffer++) write_register(self, (uint8_t)(TXB0CTRL + 0x10 * buffer), (uint8_t)(buffer + 1));
  return enter_mode(self, NORMAL);
}

/* --------------------------------------------------------------------------------------------------------------------------------------- Sending */

static bool send(void *context, uint32_t id, const uint8_t *data, uint8_t length) {
  struct ipcnet_mcp2515 *self = context;
  if (self->bus_off || length > 8) return false;
  const uint8_t status = read_status(self);
  const bool all_free = (status & 0x54u) == 0;
  /* A buffer of higher priority than one that waits would overtake it: three at a time, downwards. */
  if (all_free) self->next_buffer = 2;
  if (self->next_buffer < 0) return false;
  const uint8_t buffer = (uint8_t)self->next_buffer--;
  uint8_t out[14], in[14];
  out[0] = (uint8_t)(LOAD | 2 * buffer);
  if ((id & IPCNET_CAN_EXTENDED) != 0) {
    out[1] = (uint8_t)(id >> 21);
    out[2] = (uint8_t)((id >> 13 & 0xE0u) | EXTENDED_ID | (id >> 16 & 3u));
    out[3] = (uint8_t)(id >> 8);
    out[4] = (uint8_t)id;
  } else {
    out[1] = (uint8_t)(id >> 3);
    out[2] = (uint8_t)(id << 5);
    out[3] = out[4] = 0;
  }
  out[5] = length;
  for (uint8_t i = 0; i < length; i++) out[6 + i] = data[i];
  self->spi.transfer(self->spi.context, out, in, (size_t)6 + length);
  out[0] = (uint8_t)(REQUEST_TO_SEND | 1 << buffer);
  self->spi.transfer(self->spi.context, out, in, 1);
  return true;
}

static void purge(void *context) {
  struct ipcnet_mcp2515 *self = context;
  modify_register(self, CANCTRL, ABORT_ALL, ABORT_ALL);
  /* A frame that is on the wire may finish; the buffers are free then too. */
  for (int i = 0; i < TRIES && (read_status(self) & 0x54u) != 0; i++) {}
  modify_register(self, CANCTRL, ABORT_ALL, 0);
}

/* ------------------------------------------------------------------------------------------------------------------------------------- Receiving */

/* False: it was a remote frame. */
static bool take(struct ipcnet_mcp2515 *self, uint8_t buffer, struct ipcnet_can_frame *frame) {
  uint8_t out[14] = { 0 }, in[14];
  out[0] = (uint8_t)(READ_RECEIVED | 4 * buffer);
  self->spi.transfer(self->spi.context, out, in, sizeof out);
  const bool extended = (in[2] & EXTENDED_ID) != 0;
  if (extended ? (in[5] & REMOTE_EXTENDED) != 0 : (in[2] & REMOTE_STANDARD) != 0) {
    self->remote_frames++;
    return false;
  }
  const uint32_t standard = (uint32_t)in[1] << 3 | in[2] >> 5;
  frame->id = extended ? IPCNET_CAN_EXTENDED | standard << 18 | (uint32_t)(in[2] & 3u) << 16 | (uint32_t)in[3] << 8 | in[4] : standard;
  /* ISO 11898-1: lengths above 8 mean 8. */
  const uint8_t length = in[5] & 0x0Fu;
  frame->length = length > 8 ? 8 : length;
  for (uint8_t i = 0; i < 8; i++) frame->data[i] = i < frame->length ? in[6 + i] : 0;
  return true;
}

static bool receive(void *context, struct ipcnet_can_frame *frame) {
  struct ipcnet_mcp2515 *self = context;
  for (;;) {
    const uint8_t full = read_status(self) & 3u;
    if (full == 0) {
      self->second_first = false;
      return false;
    }
    const uint8_t buffer = full == 2u || (full == 3u && self->second_first) ? 1 : 0;
    const bool taken = take(self, buffer, frame);
    /*
     * The second is filled only while the first is full. If it is full as soon as the first has been read, it holds the older frame of both, whatever comes into the first later; asked at once, which is
     * sooner than another frame can arrive.
     */
    self->second_first = buffer == 0 && (read_status(self) & 2u) != 0;
    if (taken) return true;
  }
}

/* ---------------------------------------------------------------------------------------------------------------------------------------- Health */

static enum ipcnet_can_health health(void *context) {
  struct ipcnet_mcp2515 *self = context;
  if (self->bus_off) return IPCNET_CAN_BUS_OFF;
  const uint8_t flags = read_register(self, EFLG);
  if ((flags & OVERFLOWS) != 0) {
    self->overflows++;
    modify_register(self, EFLG, OVERFLOWS, 0);
  }
  if ((flags & IS_BUS_OFF) != 0) {
    self->bus_off = true;
    self->bus_offs++;
    purge(self);
    (void)enter_mode(self, LISTEN_ONLY);
    return IPCNET_CAN_BUS_OFF;
  }
  return (flags & IS_PASSIVE) != 0 ? IPCNET_CAN_PASSIVE : (flags & IS_WARNING) != 0 ? IPCNET_CAN_WARNING : IPCNET_CAN_ACTIVE;
}

static void restart(void *context) {
  struct ipcnet_mcp2515 *self = context;
  purge(self);
  self->next_buffer = 2;
  /* Through configuration: its error counters begin anew. */
  self->bus_off = !enter_mode(self, CONFIGURATION) || !enter_mode(self, NORMAL);
}

struct ipcnet_can ipcnet_mcp2515_can(struct ipcnet_mcp2515 *self) {
  return (struct ipcnet_can){ .context = self, .send = send, .receive = receive, .health = health, .purge = purge, .restart = restart };
}
