#include "ipcnet_serial.h"

/* docs/specs/serial-link.md */
#define LINK_VERSION 1u
#define HELLO_BYTES_MIN 13u
#define HELLO_INTERVAL_US 200000u
#define HELLO_INTERVAL_UP_US_MAX 1000000u
/* Between an answer to a hello and what was sent before it: two ends that do not hear each other must not fill the line. */
#define HELLO_GAP_US 10000u
/* A jump of the counter that is still "some frames were lost". A step back never is: whoever starts anew says so by its session. */
#define MAX_DELTA_COUNTER 10000u
enum { GATEWAY = 0, DEVICE = 1 };

static uint16_t read16(const uint8_t *bytes) {
  return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static uint32_t read32(const uint8_t *bytes) {
  return (uint32_t)read16(bytes) | (uint32_t)read16(bytes + 2) << 16;
}

static void write32(uint8_t *bytes, uint32_t value) {
  for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)(value >> (8 * i));
}

/* Whether `at` is not in the future; the counter may have wrapped between. */
static bool reached(uint32_t at, uint32_t now_us) {
  return now_us - at < 0x80000000u;
}

/* ------------------------------------------------------------------------------------------------------------------------------------------ COBS */

size_t ipcnet_cobs_encode(const uint8_t *payload, size_t length_bytes, uint8_t *out) {
  size_t code_at = 0, write = 1;
  for (size_t read = 0; read < length_bytes; read++) {
    const uint8_t byte = payload[read];
    if (byte != 0) out[write++] = byte;
    /* A full block (0xFF) stands for 254 bytes with no zero behind them; it opens a further block only if bytes follow. */
    if (byte == 0 || (write - code_at == 0xFF && read + 1 < length_bytes)) {
      out[code_at] = (uint8_t)(write - code_at);
      code_at = write++;
    }
  }
  out[code_at] = (uint8_t)(write - code_at);
  return write;
}

static void begin_frame(struct ipcnet_cobs_decoder *self) {
  self->length_bytes = 0;
  self->block_left = 0;
  self->zero_behind_block = false;
  self->skipping = false;
  self->begun = false;
  self->ended = false;
}

void ipcnet_cobs_init(struct ipcnet_cobs_decoder *self, uint8_t *memory, uint16_t capacity_bytes) {
  self->frame = memory;
  self->capacity_bytes = capacity_bytes;
  begin_frame(self);
}

static void keep(struct ipcnet_cobs_decoder *self, uint8_t byte) {
  if (self->length_bytes >= self->capacity_bytes) self->skipping = true;
  else self->frame[self->length_bytes++] = byte;
}

enum ipcnet_cobs_result ipcnet_cobs_push(struct ipcnet_cobs_decoder *self, uint8_t byte) {
  if (self->ended) begin_frame(self);
  if (byte == 0) {
    if (!self->begun) return IPCNET_COBS_MORE;
    self->ended = true;
    return self->skipping ? IPCNET_COBS_TOO_LONG : self->block_left > 0 ? IPCNET_COBS_TRUNCATED : IPCNET_COBS_FRAME;
  }
  self->begun = true;
  if (self->skipping) return IPCNET_COBS_MORE;
  if (self->block_left > 0) {
    self->block_left--;
    keep(self, byte);
    return IPCNET_COBS_MORE;
  }
  if (self->zero_behind_block) keep(self, 0);
  self->block_left = (uint8_t)(byte - 1u);
  self->zero_behind_block = byte != 0xFF;
  return IPCNET_COBS_MORE;
}

/* ------------------------------------------------------------------------------------------------------------------------------------- One frame */

size_t ipcnet_serial_encode(uint32_t data_id, uint32_t counter, uint16_t id, const uint8_t *body, size_t body_bytes, uint8_t *wire, size_t wire_bytes) {
  const ipcnet_e2e_config e2e = { .data_id = data_id };
  const size_t frame_bytes = IPCNET_SERIAL_HEADER_BYTES + body_bytes;
  if (body_bytes > IPCNET_SERIAL_BODY_BYTES_MAX || wire_bytes < IPCNET_SERIAL_WIRE_BYTES(body_bytes)) return 0;
  /* As far behind as the encoder may need, so that it can be encoded where it lies. */
  uint8_t *frame = wire + 1 + frame_bytes / 254 + 1;
  frame[16] = (uint8_t)id;
  frame[17] = (uint8_t)(id >> 8);
  for (size_t i = 0; i < body_bytes; i++) frame[IPCNET_SERIAL_HEADER_BYTES + i] = body[i];
  (void)ipcnet_e2e_p08_protect(&e2e, frame, frame_bytes, counter);
  wire[0] = 0;
  const size_t end = 1 + ipcnet_cobs_encode(frame, frame_bytes, wire + 1);
  wire[end] = 0;
  return end + 1;
}

/* --------------------------------------------------------------------------------------------------------------------------------------- Sending */

static bool append(struct ipcnet_serial *self, uint16_t id, const uint8_t *body, size_t body_bytes, uint32_t now_us) {
  const struct ipcnet_serial_options *options = self->options;
  if (self->send_at > 0) {
    for (uint16_t i = self->send_at; i < self->send_length; i++) options->send_memory[i - self->send_at] = options->send_memory[i];
    self->send_length = (uint16_t)(self->send_length - self->send_at);
    self->send_at = 0;
  }
  const size_t wire_bytes = ipcnet_serial_encode(IPCNET_SERIAL_DEVICE_DATA_ID(options->data_id), self->send_counter, id, body, body_bytes,
                                                 options->send_memory + self->send_length, (size_t)options->send_memory_bytes - self->send_length);
  if (wire_bytes == 0) return false;
  self->send_length = (uint16_t)(self->send_length + wire_bytes);
  self->send_counter++;
  self->sent_us = now_us;
  /* A sign of life three times per silence timeout: two may be lost. A hello that is owed stays due, however much else is sent. */
  if (!self->owed) {
    const uint32_t third_us = options->silence_us / 3u;
    self->hello_us = now_us + (!self->up ? HELLO_INTERVAL_US : third_us < HELLO_INTERVAL_UP_US_MAX ? third_us : HELLO_INTERVAL_UP_US_MAX);
  }
  return true;
}

static size_t name_bytes(const char *name) {
  size_t length = 0;
  while (length <= IPCNET_SERIAL_NAME_BYTES_MAX && name[length] != '\0') length++;
  return length;
}

static bool send_hello(struct ipcnet_serial *self, uint32_t now_us) {
  uint8_t body[IPCNET_SERIAL_HELLO_BODY_BYTES_MAX];
  const struct ipcnet_serial_options *options = self->options;
  const size_t room = options->receive_memory_bytes - IPCNET_SERIAL_HEADER_BYTES;
  const uint16_t takes = (uint16_t)(room < IPCNET_SERIAL_BODY_BYTES_MAX ? room : IPCNET_SERIAL_BODY_BYTES_MAX);
  const size_t length = name_bytes(options->name);
  body[0] = LINK_VERSION;
  body[1] = DEVICE;
  body[2] = (uint8_t)takes;
  body[3] = (uint8_t)(takes >> 8);
  write32(body + 4, self->session);
  write32(body + 8, self->peer_session);
  body[12] = (uint8_t)length;
  for (size_t i = 0; i < length; i++) body[HELLO_BYTES_MIN + i] = (uint8_t)options->name[i];
  const bool owed = self->owed;
  self->owed = false;
  if (!append(self, IPCNET_SERIAL_HELLO_ID, body, HELLO_BYTES_MIN + length, now_us)) {
    self->owed = owed;
    return false;
  }
  self->told_session = self->peer_session;
  return true;
}

enum ipcnet_serial_verdict ipcnet_serial_send(struct ipcnet_serial *self, uint16_t id, const uint8_t *body, size_t body_bytes, uint32_t now_us) {
  ipcnet_serial_poll(self, now_us);
  if (self->options == NULL || !self->up) return IPCNET_SERIAL_IS_DOWN;
  if (id == IPCNET_SERIAL_HELLO_ID || body_bytes > self->peer_body_bytes_max || body_bytes > IPCNET_SERIAL_BODY_BYTES_MAX) return IPCNET_SERIAL_REFUSED;
  if (IPCNET_SERIAL_WIRE_BYTES(body_bytes) > self->options->send_memory_bytes) return IPCNET_SERIAL_REFUSED;
  /* The gateway takes nothing from us before it knows that we know it. */
  if (self->told_session != self->peer_session && !send_hello(self, now_us)) return IPCNET_SERIAL_BUSY;
  return append(self, id, body, body_bytes, now_us) ? IPCNET_SERIAL_TAKEN : IPCNET_SERIAL_BUSY;
}

size_t ipcnet_serial_take(struct ipcnet_serial *self, uint8_t *out, size_t max_bytes) {
  size_t moved = 0;
  while (moved < max_bytes && self->send_at < self->send_length) out[moved++] = self->options->send_memory[self->send_at++];
  if (self->send_at == self->send_length) self->send_at = self->send_length = 0;
  return moved;
}

/* -------------------------------------------------------------------------------------------------------------------------------------- Sessions */

static void make_safe(struct ipcnet_serial *self) {
  self->outputs = IPCNET_SERIAL_SAFE;
  self->fed = false;
}

/* Nobody has heard of us by this name, so nobody can have sent us anything yet. What waits to be sent is old. */
static void begin_session(struct ipcnet_serial *self, uint32_t now_us) {
  uint32_t next = self->session; /* xorshift32: never 0, and none comes twice in 2^32 - 1 */
  next ^= next << 13;
  next ^= next >> 17;
  next ^= next << 5;
  self->session = next;
  self->up = false;
  make_safe(self);
  self->send_at = self->send_length = 0;
  self->owed = true;
  self->hello_us = now_us;
}

void ipcnet_serial_rest(struct ipcnet_serial *self, bool rests) {
  self->resting = rests;
  if (rests) make_safe(self);
}

static void follow_counter_anew(struct ipcnet_serial *self) {
  ipcnet_e2e_receiver_init(&self->receiver, IPCNET_E2E_P08_COUNTER_MAX, MAX_DELTA_COUNTER, 0);
}

bool ipcnet_serial_init(struct ipcnet_serial *self, const struct ipcnet_serial_options *options, uint32_t seed, uint32_t now_us) {
  *self = (struct ipcnet_serial){ .options = NULL, .session = seed };
  const size_t name_length = name_bytes(options->name);
  if (seed == 0 || options->silence_us == 0 || name_length > IPCNET_SERIAL_NAME_BYTES_MAX) return false;
  if (options->receive_memory_bytes < IPCNET_SERIAL_RECEIVE_BYTES(0u) || options->send_memory_bytes < IPCNET_SERIAL_WIRE_BYTES(HELLO_BYTES_MIN + name_length)) return false;
  self->options = options;
  ipcnet_cobs_init(&self->decoder, options->receive_memory, options->receive_memory_bytes);
  follow_counter_anew(self);
  self->hello_us = now_us;
  self->sent_us = now_us - HELLO_GAP_US;
  return true;
}

void ipcnet_serial_poll(struct ipcnet_serial *self, uint32_t now_us) {
  if (self->options == NULL) return;
  if (self->up && now_us - self->heard_us >= self->options->silence_us) {
    self->counters.silences++;
    begin_session(self, now_us);
  }
  if (self->fed && now_us - self->fed_us >= self->options->dead_man_us) {
    self->counters.dead_man_stops++;
    make_safe(self);
  }
  /* Not yet, because nobody takes our bytes: tried again, and the time kept near, so that it cannot wrap meanwhile. */
  if (reached(self->hello_us, now_us) && !send_hello(self, now_us)) self->hello_us = now_us;
}

/* ------------------------------------------------------------------------------------------------------------------------------------- Receiving */

static bool is_hello(const uint8_t *body, size_t body_bytes) {
  return body_bytes >= HELLO_BYTES_MIN && body[0] == LINK_VERSION && body[1] == GATEWAY && read32(body + 4) != 0 && body[12] <= IPCNET_SERIAL_NAME_BYTES_MAX && body_bytes == HELLO_BYTES_MIN + body[12];
}

/* In order, or the first of a gateway that starts anew. */
static bool in_sequence(struct ipcnet_serial *self, uint32_t counter) {
  const ipcnet_e2e_result result = ipcnet_e2e_judge(&self->receiver, IPCNET_E2E_INSPECTED_OK, counter);
  if (ipcnet_e2e_accepted(result)) return true;
  /* However many of them come in a row: old ones do not become new. */
  self->receiver.run = 0;
  if (result == IPCNET_E2E_REPEATED) self->counters.repeated++;
  else self->counters.wrong_sequence++;
  return false;
}

static void hear_hello(struct ipcnet_serial *self, const uint8_t *body, uint32_t now_us) {
  self->counters.hellos++;
  self->peer_body_bytes_max = read16(body + 2);
  const bool knows_us = read32(body + 8) == self->session;
  if (!knows_us && self->up) make_safe(self);
  self->up = knows_us;
  if ((!knows_us || self->told_session != self->peer_session) && !self->owed) {
    self->owed = true;
    self->hello_us = now_us - self->sent_us >= HELLO_GAP_US ? now_us : self->sent_us + HELLO_GAP_US;
  }
}

static const struct ipcnet_serial_message *hear_message(struct ipcnet_serial *self, uint16_t id, const uint8_t *body, uint16_t body_bytes, uint32_t now_us) {
  const struct ipcnet_serial_options *options = self->options;
  const struct ipcnet_serial_receive *expected = NULL;
  if (!self->up) {
    self->counters.early++;
    return NULL;
  }
  for (uint8_t i = 0; options->receive != NULL && i < options->receive_count; i++) {
    if (options->receive[i].id == id) expected = &options->receive[i];
  }
  if (options->receive != NULL && expected == NULL && !(options->circuits && id == IPCNET_SERIAL_CIRCUITS_ID)) {
    self->counters.unknown_id++;
    return NULL;
  }
  if (expected != NULL && expected->body_bytes != body_bytes) {
    self->counters.bad_length++;
    return NULL;
  }
  if (expected != NULL && expected->motion && self->resting) {
    self->counters.early++;
    return NULL;
  }
  if (expected != NULL && expected->motion) {
    self->outputs = IPCNET_SERIAL_FOLLOW;
    self->fed = true;
    self->fed_us = now_us;
  }
  self->counters.accepted++;
  self->message = (struct ipcnet_serial_message){ .id = id, .body_bytes = body_bytes, .body = body, .lost_before = self->receiver.lost };
  return &self->message;
}

static const struct ipcnet_serial_message *hear_frame(struct ipcnet_serial *self, const uint8_t *frame, uint16_t length_bytes, uint32_t now_us) {
  const ipcnet_e2e_config e2e = { .data_id = self->options->data_id, .min_length_bytes = IPCNET_SERIAL_HEADER_BYTES, .max_length_bytes = IPCNET_SERIAL_HEADER_BYTES + IPCNET_SERIAL_BODY_BYTES_MAX };
  uint32_t counter = 0;
  switch (ipcnet_e2e_p08_inspect(&e2e, frame, length_bytes, &counter)) {
    case IPCNET_E2E_INSPECTED_OK: break;
    case IPCNET_E2E_WRONG_DATA_ID: self->counters.wrong_data_id++; return NULL;
    case IPCNET_E2E_BAD_LENGTH: self->counters.bad_length++; return NULL;
    case IPCNET_E2E_CRC_MISMATCH:
    case IPCNET_E2E_BAD_COUNTER: self->counters.crc_mismatch++; return NULL;
  }
  const uint16_t id = read16(frame + 16);
  const uint8_t *body = frame + IPCNET_SERIAL_HEADER_BYTES;
  const uint16_t body_bytes = (uint16_t)(length_bytes - IPCNET_SERIAL_HEADER_BYTES);
  if (id == IPCNET_SERIAL_HELLO_ID) {
    if (!is_hello(body, body_bytes)) {
      self->counters.bad_hello++;
      return NULL;
    }
    if (read32(body + 4) != self->peer_session) {
      /* Another gateway, or ours started anew: what was meant for the one before must not pass for its word. */
      if (self->peer_session != 0) {
        self->counters.peer_restarts++;
        begin_session(self, now_us);
      }
      self->peer_session = read32(body + 4);
      follow_counter_anew(self);
    }
  }
  if (!in_sequence(self, counter)) return NULL;
  self->counters.lost += self->receiver.lost;
  self->heard_us = now_us;
  if (id != IPCNET_SERIAL_HELLO_ID) return hear_message(self, id, body, body_bytes, now_us);
  hear_hello(self, body, now_us);
  return NULL;
}

const struct ipcnet_serial_message *ipcnet_serial_push(struct ipcnet_serial *self, uint8_t byte, uint32_t now_us) {
  if (self->options == NULL) return NULL;
  ipcnet_serial_poll(self, now_us);
  switch (ipcnet_cobs_push(&self->decoder, byte)) {
    case IPCNET_COBS_MORE: return NULL;
    case IPCNET_COBS_TRUNCATED: self->counters.truncated++; return NULL;
    case IPCNET_COBS_TOO_LONG: self->counters.too_long++; return NULL;
    case IPCNET_COBS_FRAME: break;
  }
  return hear_frame(self, self->decoder.frame, self->decoder.length_bytes, now_us);
}
