#include "ipcnet_e2e.h"

#include "ipcnet_crc.h"

#ifdef IPCNET_E2E_FAST_CRC
#include "ipcnet_crc_fast.h"
#define CRC64 ipcnet_crc64_xz_fast
#else
#define CRC64 ipcnet_crc64_xz
#endif

/* ------------------------------------------------------------------ helpers */

/* Whether the frame's length is allowed and holds everything up to `needed_bytes`. */
static int length_fits(const ipcnet_e2e_config *config, size_t length_bytes, uint64_t needed_bytes, uint32_t profile_max_bytes) {
  const uint32_t max_bytes = config->max_length_bytes != 0 && config->max_length_bytes < profile_max_bytes ? config->max_length_bytes : profile_max_bytes;
  return length_bytes >= needed_bytes && length_bytes >= config->min_length_bytes && length_bytes <= max_bytes;
}

#if defined(IPCNET_E2E_P04) || defined(IPCNET_E2E_P06)
static uint32_t read16(const uint8_t *bytes) {
  return (uint32_t)bytes[0] << 8 | bytes[1];
}
#endif

#if defined(IPCNET_E2E_P04) || defined(IPCNET_E2E_P06)
static void write16(uint8_t *bytes, uint32_t value) {
  bytes[0] = (uint8_t)(value >> 8);
  bytes[1] = (uint8_t)value;
}
#endif

#if defined(IPCNET_E2E_P04) || defined(IPCNET_E2E_P07) || defined(IPCNET_E2E_P08)
static uint32_t read32(const uint8_t *bytes) {
  return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static void write32(uint8_t *bytes, uint32_t value) {
  bytes[0] = (uint8_t)(value >> 24);
  bytes[1] = (uint8_t)(value >> 16);
  bytes[2] = (uint8_t)(value >> 8);
  bytes[3] = (uint8_t)value;
}
#endif

#if defined(IPCNET_E2E_P01) || defined(IPCNET_E2E_P02)
static uint32_t read_nibble(const uint8_t *frame, uint32_t offset_bits) {
  return (uint32_t)frame[offset_bits >> 3] >> (offset_bits & 4u) & 0xFu;
}

static void write_nibble(uint8_t *frame, uint32_t offset_bits, uint32_t value) {
  uint8_t *byte = &frame[offset_bits >> 3];
  const uint32_t shift = offset_bits & 4u;
  *byte = (uint8_t)((*byte & ~(0xFu << shift)) | value << shift);
}
#endif

/* ------------------------------------------------------------------ P01, P11 */

#ifdef IPCNET_E2E_P01
static int p01_fits(const ipcnet_e2e_config *config, size_t length_bytes) {
  uint32_t end_bits = config->crc_offset_bits + 8u;
  if (config->counter_offset_bits + 4u > end_bits) end_bits = config->counter_offset_bits + 4u;
  if (config->data_id_mode == IPCNET_E2E_NIBBLE && config->data_id_nibble_offset_bits + 4u > end_bits) end_bits = config->data_id_nibble_offset_bits + 4u;
  return length_fits(config, length_bytes, (end_bits + 7u) / 8u, 30);
}

static uint8_t p01_crc(const ipcnet_e2e_config *config, const uint8_t *frame, size_t length_bytes) {
  const uint32_t crc_at = config->crc_offset_bits >> 3;
  const uint8_t low = (uint8_t)config->data_id;
  const uint8_t high = (uint8_t)(config->data_id >> 8);
  uint8_t id[2] = {low, high};
  size_t id_bytes = 2;
  switch (config->data_id_mode) {
    case IPCNET_E2E_BOTH: break;
    case IPCNET_E2E_ALT: id[0] = (read_nibble(frame, config->counter_offset_bits) & 1u) != 0 ? high : low; id_bytes = 1; break;
    case IPCNET_E2E_LOW: id_bytes = 1; break;
    case IPCNET_E2E_NIBBLE: id[1] = 0; break;
  }
  uint8_t crc = ipcnet_crc8_sae_j1850_zero(0, id, id_bytes);
  crc = ipcnet_crc8_sae_j1850_zero(crc, frame, crc_at);
  return ipcnet_crc8_sae_j1850_zero(crc, frame + crc_at + 1, length_bytes - crc_at - 1);
}

ipcnet_e2e_verdict ipcnet_e2e_p01_protect(const ipcnet_e2e_config *config, uint8_t *frame, size_t length_bytes, uint32_t counter) {
  if (!p01_fits(config, length_bytes)) return IPCNET_E2E_BAD_LENGTH;
  if (counter > IPCNET_E2E_P01_COUNTER_MAX) return IPCNET_E2E_BAD_COUNTER;
  write_nibble(frame, config->counter_offset_bits, counter);
  if (config->data_id_mode == IPCNET_E2E_NIBBLE) write_nibble(frame, config->data_id_nibble_offset_bits, config->data_id >> 8 & 0xFu);
  frame[config->crc_offset_bits >> 3] = p01_crc(config, frame, length_bytes);
  return IPCNET_E2E_INSPECTED_OK;
}

ipcnet_e2e_verdict ipcnet_e2e_p01_inspect(const ipcnet_e2e_config *config, const uint8_t *frame, size_t length_bytes, uint32_t *counter) {
  if (!p01_fits(config, length_bytes)) return IPCNET_E2E_BAD_LENGTH;
  if (frame[config->crc_offset_bits >> 3] != p01_crc(config, frame, length_bytes)) return IPCNET_E2E_CRC_MISMATCH;
  if (config->data_id_mode == IPCNET_E2E_NIBBLE && read_nibble(frame, config->data_id_nibble_offset_bits) != (config->data_id >> 8 & 0xFu)) {
    return IPCNET_E2E_WRONG_DATA_ID;
  }
  *counter = read_nibble(frame, config->counter_offset_bits);
  return IPCNET_E2E_INSPECTED_OK;
}
#endif

/* ------------------------------------------------------------------ P02, P22 */

#ifdef IPCNET_E2E_P02
static uint8_t p02_crc(const ipcnet_e2e_config *config, const uint8_t *frame, size_t length_bytes) {
  const uint32_t offset = config->offset_bytes;
  uint8_t crc = ipcnet_crc8_autosar(0, frame, offset);
  crc = ipcnet_crc8_autosar(crc, frame + offset + 1, length_bytes - offset - 1);
  return ipcnet_crc8_autosar(crc, &config->data_id_list[read_nibble(frame, offset * 8 + 8)], 1);
}

ipcnet_e2e_verdict ipcnet_e2e_p02_protect(const ipcnet_e2e_config *config, uint8_t *frame, size_t length_bytes, uint32_t counter) {
  if (!length_fits(config, length_bytes, (uint64_t)config->offset_bytes + 2, 256)) return IPCNET_E2E_BAD_LENGTH;
  if (counter > IPCNET_E2E_P02_COUNTER_MAX) return IPCNET_E2E_BAD_COUNTER;
  write_nibble(frame, config->offset_bytes * 8 + 8, counter);
  frame[config->offset_bytes] = p02_crc(config, frame, length_bytes);
  return IPCNET_E2E_INSPECTED_OK;
}

ipcnet_e2e_verdict ipcnet_e2e_p02_inspect(const ipcnet_e2e_config *config, const uint8_t *frame, size_t length_bytes, uint32_t *counter) {
  if (!length_fits(config, length_bytes, (uint64_t)config->offset_bytes + 2, 256)) return IPCNET_E2E_BAD_LENGTH;
  if (frame[config->offset_bytes] != p02_crc(config, frame, length_bytes)) return IPCNET_E2E_CRC_MISMATCH;
  *counter = read_nibble(frame, config->offset_bytes * 8 + 8);
  return IPCNET_E2E_INSPECTED_OK;
}
#endif

/* ------------------------------------------------------------------ P05, P06 */

#if defined(IPCNET_E2E_P05) || defined(IPCNET_E2E_P06)
/* Over the frame without its CRC, then two bytes of Data ID in the profile's order. */
static uint16_t crc16_of(const ipcnet_e2e_config *config, const uint8_t *frame, size_t length_bytes, uint8_t id_first, uint8_t id_second) {
  const uint32_t offset = config->offset_bytes;
  const uint8_t id[2] = {id_first, id_second};
  uint16_t crc = ipcnet_crc16_ibm_3740(IPCNET_CRC16_IBM_3740_START, frame, offset);
  crc = ipcnet_crc16_ibm_3740(crc, frame + offset + 2, length_bytes - offset - 2);
  return ipcnet_crc16_ibm_3740(crc, id, 2);
}
#endif

#ifdef IPCNET_E2E_P05
static uint16_t p05_crc(const ipcnet_e2e_config *config, const uint8_t *frame, size_t length_bytes) {
  return crc16_of(config, frame, length_bytes, (uint8_t)config->data_id, (uint8_t)(config->data_id >> 8));
}

ipcnet_e2e_verdict ipcnet_e2e_p05_protect(const ipcnet_e2e_config *config, uint8_t *frame, size_t length_bytes, uint32_t counter) {
  if (!length_fits(config, length_bytes, (uint64_t)config->offset_bytes + 3, 4096)) return IPCNET_E2E_BAD_LENGTH;
  if (counter > IPCNET_E2E_P05_COUNTER_MAX) return IPCNET_E2E_BAD_COUNTER;
  uint8_t *header = frame + config->offset_bytes;
  header[2] = (uint8_t)counter;
  const uint16_t crc = p05_crc(config, frame, length_bytes);
  header[0] = (uint8_t)crc; /* low byte first, alone among the profiles */
  header[1] = (uint8_t)(crc >> 8);
  return IPCNET_E2E_INSPECTED_OK;
}

ipcnet_e2e_verdict ipcnet_e2e_p05_inspect(const ipcnet_e2e_config *config, const uint8_t *frame, size_t length_bytes, uint32_t *counter) {
  if (!length_fits(config, length_bytes, (uint64_t)config->offset_bytes + 3, 4096)) return IPCNET_E2E_BAD_LENGTH;
  const uint8_t *header = frame + config->offset_bytes;
  if (((uint32_t)header[1] << 8 | header[0]) != p05_crc(config, frame, length_bytes)) return IPCNET_E2E_CRC_MISMATCH;
  *counter = header[2];
  return IPCNET_E2E_INSPECTED_OK;
}
#endif

#ifdef IPCNET_E2E_P06
static uint16_t p06_crc(const ipcnet_e2e_config *config, const uint8_t *frame, size_t length_bytes) {
  return crc16_of(config, frame, length_bytes, (uint8_t)(config->data_id >> 8), (uint8_t)config->data_id);
}

ipcnet_e2e_verdict ipcnet_e2e_p06_protect(const ipcnet_e2e_config *config, uint8_t *frame, size_t length_bytes, uint32_t counter) {
  if (!length_fits(config, length_bytes, (uint64_t)config->offset_bytes + 5, 4096)) return IPCNET_E2E_BAD_LENGTH;
  if (counter > IPCNET_E2E_P06_COUNTER_MAX) return IPCNET_E2E_BAD_COUNTER;
  uint8_t *header = frame + config->offset_bytes;
  write16(header + 2, (uint32_t)length_bytes);
  header[4] = (uint8_t)counter;
  write16(header, p06_crc(config, frame, length_bytes));
  return IPCNET_E2E_INSPECTED_OK;
}

ipcnet_e2e_verdict ipcnet_e2e_p06_inspect(const ipcnet_e2e_config *config, const uint8_t *frame, size_t length_bytes, uint32_t *counter) {
  if (!length_fits(config, length_bytes, (uint64_t)config->offset_bytes + 5, 4096)) return IPCNET_E2E_BAD_LENGTH;
  const uint8_t *header = frame + config->offset_bytes;
  if (read16(header) != p06_crc(config, frame, length_bytes)) return IPCNET_E2E_CRC_MISMATCH;
  if (read16(header + 2) != length_bytes) return IPCNET_E2E_BAD_LENGTH;
  *counter = header[4];
  return IPCNET_E2E_INSPECTED_OK;
}
#endif

/* ------------------------------------------------------------- P04, P07, P08 */

#if defined(IPCNET_E2E_P04) || defined(IPCNET_E2E_P08)
/* Over the frame without the four bytes at `crc_at`. */
static uint32_t crc32_of(const uint8_t *frame, size_t length_bytes, size_t crc_at) {
  return ipcnet_crc32_autosar(ipcnet_crc32_autosar(0, frame, crc_at), frame + crc_at + 4, length_bytes - crc_at - 4);
}
#endif

#ifdef IPCNET_E2E_P04
ipcnet_e2e_verdict ipcnet_e2e_p04_protect(const ipcnet_e2e_config *config, uint8_t *frame, size_t length_bytes, uint32_t counter) {
  if (!length_fits(config, length_bytes, (uint64_t)config->offset_bytes + 12, 4096)) return IPCNET_E2E_BAD_LENGTH;
  if (counter > IPCNET_E2E_P04_COUNTER_MAX) return IPCNET_E2E_BAD_COUNTER;
  uint8_t *header = frame + config->offset_bytes;
  write16(header, (uint32_t)length_bytes);
  write16(header + 2, counter);
  write32(header + 4, config->data_id);
  write32(header + 8, crc32_of(frame, length_bytes, config->offset_bytes + (size_t)8));
  return IPCNET_E2E_INSPECTED_OK;
}

ipcnet_e2e_verdict ipcnet_e2e_p04_inspect(const ipcnet_e2e_config *config, const uint8_t *frame, size_t length_bytes, uint32_t *counter) {
  if (!length_fits(config, length_bytes, (uint64_t)config->offset_bytes + 12, 4096)) return IPCNET_E2E_BAD_LENGTH;
  const uint8_t *header = frame + config->offset_bytes;
  if (read32(header + 8) != crc32_of(frame, length_bytes, config->offset_bytes + (size_t)8)) return IPCNET_E2E_CRC_MISMATCH;
  if (read16(header) != length_bytes) return IPCNET_E2E_BAD_LENGTH;
  if (read32(header + 4) != config->data_id) return IPCNET_E2E_WRONG_DATA_ID;
  *counter = read16(header + 2);
  return IPCNET_E2E_INSPECTED_OK;
}
#endif

#if defined(IPCNET_E2E_P07) || defined(IPCNET_E2E_P08)
/* After the CRC both have length, counter and Data ID. */
static void write_fields(uint8_t *fields, const ipcnet_e2e_config *config, size_t length_bytes, uint32_t counter) {
  write32(fields, (uint32_t)length_bytes);
  write32(fields + 4, counter);
  write32(fields + 8, config->data_id);
}

static ipcnet_e2e_verdict read_fields(const uint8_t *fields, const ipcnet_e2e_config *config, size_t length_bytes, uint32_t *counter) {
  if (read32(fields) != length_bytes) return IPCNET_E2E_BAD_LENGTH;
  if (read32(fields + 8) != config->data_id) return IPCNET_E2E_WRONG_DATA_ID;
  *counter = read32(fields + 4);
  return IPCNET_E2E_INSPECTED_OK;
}
#endif

#ifdef IPCNET_E2E_P07
#define P07_MAX_BYTES (4u * 1024u * 1024u)

static uint64_t p07_crc(const ipcnet_e2e_config *config, const uint8_t *frame, size_t length_bytes) {
  const size_t crc_at = config->offset_bytes;
  return CRC64(CRC64(0, frame, crc_at), frame + crc_at + 8, length_bytes - crc_at - 8);
}

ipcnet_e2e_verdict ipcnet_e2e_p07_protect(const ipcnet_e2e_config *config, uint8_t *frame, size_t length_bytes, uint32_t counter) {
  if (!length_fits(config, length_bytes, (uint64_t)config->offset_bytes + 20, P07_MAX_BYTES)) return IPCNET_E2E_BAD_LENGTH;
  uint8_t *header = frame + config->offset_bytes;
  write_fields(header + 8, config, length_bytes, counter);
  const uint64_t crc = p07_crc(config, frame, length_bytes);
  write32(header, (uint32_t)(crc >> 32));
  write32(header + 4, (uint32_t)crc);
  return IPCNET_E2E_INSPECTED_OK;
}

ipcnet_e2e_verdict ipcnet_e2e_p07_inspect(const ipcnet_e2e_config *config, const uint8_t *frame, size_t length_bytes, uint32_t *counter) {
  if (!length_fits(config, length_bytes, (uint64_t)config->offset_bytes + 20, P07_MAX_BYTES)) return IPCNET_E2E_BAD_LENGTH;
  const uint8_t *header = frame + config->offset_bytes;
  const uint64_t received = (uint64_t)read32(header) << 32 | read32(header + 4);
  if (received != p07_crc(config, frame, length_bytes)) return IPCNET_E2E_CRC_MISMATCH;
  return read_fields(header + 8, config, length_bytes, counter);
}
#endif

#ifdef IPCNET_E2E_P08
ipcnet_e2e_verdict ipcnet_e2e_p08_protect(const ipcnet_e2e_config *config, uint8_t *frame, size_t length_bytes, uint32_t counter) {
  if (!length_fits(config, length_bytes, (uint64_t)config->offset_bytes + 16, 0xFFFFFFFFu)) return IPCNET_E2E_BAD_LENGTH;
  uint8_t *header = frame + config->offset_bytes;
  write_fields(header + 4, config, length_bytes, counter);
  write32(header, crc32_of(frame, length_bytes, config->offset_bytes));
  return IPCNET_E2E_INSPECTED_OK;
}

ipcnet_e2e_verdict ipcnet_e2e_p08_inspect(const ipcnet_e2e_config *config, const uint8_t *frame, size_t length_bytes, uint32_t *counter) {
  if (!length_fits(config, length_bytes, (uint64_t)config->offset_bytes + 16, 0xFFFFFFFFu)) return IPCNET_E2E_BAD_LENGTH;
  const uint8_t *header = frame + config->offset_bytes;
  if (read32(header) != crc32_of(frame, length_bytes, config->offset_bytes)) return IPCNET_E2E_CRC_MISMATCH;
  return read_fields(header + 4, config, length_bytes, counter);
}
#endif

/* -------------------------------------------------------------- the sequence */

void ipcnet_e2e_receiver_init(ipcnet_e2e_receiver *self, uint32_t counter_max, uint32_t max_delta, uint8_t resync_frames) {
  const uint32_t widest = counter_max > 2 ? counter_max - 1 : 1;
  self->counter_max = counter_max;
  self->max_delta = max_delta != 0 ? max_delta : widest < 3 ? widest : 3;
  self->resync_frames = resync_frames != 0 ? resync_frames : 3;
  self->reference = 0;
  self->candidate = 0;
  self->lost = 0;
  self->resyncs = 0;
  self->run = 0;
  self->started = 0;
}

static ipcnet_e2e_result accept(ipcnet_e2e_receiver *self, uint32_t counter, ipcnet_e2e_result result) {
  self->reference = counter;
  self->started = 1;
  self->run = 0;
  return result;
}

static ipcnet_e2e_result outside(ipcnet_e2e_receiver *self, uint32_t counter) {
  const int next = self->run > 0 && counter == ipcnet_e2e_counter_after(self->candidate, self->counter_max);
  self->run = (uint8_t)(next ? self->run + 1 : 1);
  self->candidate = counter;
  if (self->run < self->resync_frames) return IPCNET_E2E_WRONG_SEQUENCE;
  self->resyncs++;
  return accept(self, counter, IPCNET_E2E_OK);
}

ipcnet_e2e_result ipcnet_e2e_judge(ipcnet_e2e_receiver *self, ipcnet_e2e_verdict verdict, uint32_t counter) {
  self->lost = 0;
  if (verdict == IPCNET_E2E_BAD_LENGTH) return IPCNET_E2E_RESULT_BAD_LENGTH;
  if (verdict != IPCNET_E2E_INSPECTED_OK) return IPCNET_E2E_RESULT_CRC_MISMATCH;
  if (self->counter_max == 0) return IPCNET_E2E_OK;
  if (counter > self->counter_max) { /* 15 in P01 and P11 */
    self->run = 0;
    return IPCNET_E2E_WRONG_SEQUENCE;
  }
  if (!self->started) return accept(self, counter, IPCNET_E2E_OK);
  const uint32_t delta = counter >= self->reference ? counter - self->reference : counter + (self->counter_max - self->reference) + 1;
  if (delta == 0) {
    self->run = 0;
    return IPCNET_E2E_REPEATED;
  }
  if (delta > self->max_delta) return outside(self, counter);
  self->lost = delta - 1;
  return accept(self, counter, delta == 1 ? IPCNET_E2E_OK : IPCNET_E2E_OK_SOME_LOST);
}

/* --------------------------------------------------------------- the channel */

enum { NOT_AVAILABLE = 0xFF };

/* What one step amounts to, with the limits of the current state. */
typedef enum { ENOUGH, NOT_ENOUGH, TOO_MANY_ERRORS, EVENTS } event;

/* The same table as in stateMachine.ts, without start and stop. */
static const uint8_t transitions[5][EVENTS] = {
  [IPCNET_E2E_DEINIT] = {IPCNET_E2E_DEINIT, IPCNET_E2E_DEINIT, IPCNET_E2E_DEINIT},
  [IPCNET_E2E_NODATA] = {IPCNET_E2E_INIT, IPCNET_E2E_NODATA, IPCNET_E2E_INVALID},
  [IPCNET_E2E_INIT] = {IPCNET_E2E_VALID, IPCNET_E2E_INIT, IPCNET_E2E_INVALID},
  [IPCNET_E2E_VALID] = {IPCNET_E2E_VALID, IPCNET_E2E_INVALID, IPCNET_E2E_INVALID},
  [IPCNET_E2E_INVALID] = {IPCNET_E2E_VALID, IPCNET_E2E_INVALID, IPCNET_E2E_INVALID},
};

static void clear(ipcnet_e2e_channel *self) {
  for (size_t i = 0; i < IPCNET_E2E_WINDOW_MAX; i++) self->window[i] = NOT_AVAILABLE;
  self->next = 0;
}

static const ipcnet_e2e_limits *limits_of(const ipcnet_e2e_channel *self) {
  switch (self->state) {
    case IPCNET_E2E_VALID: return &self->config->valid;
    case IPCNET_E2E_INVALID: return &self->config->invalid;
    case IPCNET_E2E_INIT:
    case IPCNET_E2E_NODATA:
    case IPCNET_E2E_DEINIT: break;
  }
  return &self->config->init;
}

static event judge_window(const ipcnet_e2e_channel *self, ipcnet_e2e_result newest) {
  const ipcnet_e2e_limits *limits = limits_of(self);
  unsigned good = 0;
  unsigned errors = 0;
  unsigned index = self->next;
  for (unsigned i = 0; i < limits->window_size; i++) {
    index = index == 0 ? self->config->valid.window_size - 1u : index - 1u;
    const uint8_t result = self->window[index];
    if (result <= IPCNET_E2E_OK_SOME_LOST) good++;
    else if (result == IPCNET_E2E_RESULT_CRC_MISMATCH || result == IPCNET_E2E_RESULT_BAD_LENGTH) errors++;
  }
  if (self->state == IPCNET_E2E_NODATA) {
    /* Anything received whole, even out of sequence, shows that somebody is there. */
    if (newest <= IPCNET_E2E_WRONG_SEQUENCE) return ENOUGH;
    return errors > limits->max_error ? TOO_MANY_ERRORS : NOT_ENOUGH;
  }
  if (errors > limits->max_error) return TOO_MANY_ERRORS;
  return good >= limits->min_ok ? ENOUGH : NOT_ENOUGH;
}

static void forget_older_than(ipcnet_e2e_channel *self, unsigned size) {
  const unsigned length = self->config->valid.window_size;
  unsigned index = self->next;
  for (unsigned i = size; i < length; i++) {
    self->window[index] = NOT_AVAILABLE;
    index = index + 1 == length ? 0 : index + 1;
  }
}

int ipcnet_e2e_channel_start(ipcnet_e2e_channel *self, const ipcnet_e2e_channel_config *config) {
  const unsigned largest = config->valid.window_size;
  self->config = config;
  clear(self);
  self->state = IPCNET_E2E_DEINIT;
  if (largest == 0 || largest > IPCNET_E2E_WINDOW_MAX) return -1;
  if (config->init.window_size == 0 || config->init.window_size > largest) return -1;
  if (config->invalid.window_size == 0 || config->invalid.window_size > largest) return -1;
  self->state = IPCNET_E2E_NODATA;
  return 0;
}

void ipcnet_e2e_channel_stop(ipcnet_e2e_channel *self) {
  clear(self);
  self->state = IPCNET_E2E_DEINIT;
}

ipcnet_e2e_state ipcnet_e2e_channel_step(ipcnet_e2e_channel *self, ipcnet_e2e_result result) {
  if (self->state == IPCNET_E2E_DEINIT) return IPCNET_E2E_DEINIT;
  self->window[self->next] = (uint8_t)result;
  self->next = (uint8_t)(self->next + 1u == self->config->valid.window_size ? 0u : self->next + 1u);
  const ipcnet_e2e_state to = (ipcnet_e2e_state)transitions[self->state][judge_window(self, result)];
  if (to == self->state) return to;
  if (to == IPCNET_E2E_INVALID && self->config->clear_to_invalid) clear(self);
  else forget_older_than(self, limits_of(self)->window_size);
  self->state = to;
  return to;
}
