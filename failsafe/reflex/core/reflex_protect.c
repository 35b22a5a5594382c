#include "reflex_protect.h"

#include <string.h>

#define FRAME_BYTES_MAX 64u

/* ---- What is known of each profile --------------------------------------------------------------------------------------------------- */

struct profile {
  uint32_t counter_max;
  ipcnet_e2e_verdict (*protect)(const ipcnet_e2e_config *config, uint8_t *frame, size_t length_bytes, uint32_t counter);
  ipcnet_e2e_verdict (*inspect)(const ipcnet_e2e_config *config, const uint8_t *frame, size_t length_bytes, uint32_t *counter);
  uint8_t header_bits; /* written from offset_bytes on; 0: by bit offsets */
  bool by_list;
};

static const struct profile *profile_of(uint8_t number) {
  static const struct profile P01 = {IPCNET_E2E_P01_COUNTER_MAX, ipcnet_e2e_p01_protect, ipcnet_e2e_p01_inspect, 0, false};
  static const struct profile P02 = {IPCNET_E2E_P02_COUNTER_MAX, ipcnet_e2e_p02_protect, ipcnet_e2e_p02_inspect, 12, true};
  static const struct profile P04 = {IPCNET_E2E_P04_COUNTER_MAX, ipcnet_e2e_p04_protect, ipcnet_e2e_p04_inspect, 96, false};
  static const struct profile P05 = {IPCNET_E2E_P05_COUNTER_MAX, ipcnet_e2e_p05_protect, ipcnet_e2e_p05_inspect, 24, false};
  static const struct profile P06 = {IPCNET_E2E_P06_COUNTER_MAX, ipcnet_e2e_p06_protect, ipcnet_e2e_p06_inspect, 40, false};
  static const struct profile P07 = {IPCNET_E2E_P07_COUNTER_MAX, ipcnet_e2e_p07_protect, ipcnet_e2e_p07_inspect, 160, false};
  static const struct profile P08 = {IPCNET_E2E_P08_COUNTER_MAX, ipcnet_e2e_p08_protect, ipcnet_e2e_p08_inspect, 128, false};
  switch (number) {
    case 1: case 11: return &P01;
    case 2: case 22: return &P02;
    case 4: return &P04;
    case 5: return &P05;
    case 6: return &P06;
    case 7: return &P07;
    case 8: return &P08;
    default: return NULL;
  }
}

static ipcnet_e2e_config config_of(const struct ipcnet_reflex_e2e *e2e, const uint8_t *bytes) {
  return (ipcnet_e2e_config){
    .data_id = e2e->data_id,
    .data_id_list = bytes + e2e->data_id_list,
    .offset_bytes = e2e->offset_bytes,
    .min_length_bytes = e2e->min_length_bytes,
    .max_length_bytes = e2e->max_length_bytes,
    .crc_offset_bits = e2e->crc_offset_bits,
    .counter_offset_bits = e2e->counter_offset_bits,
    .data_id_nibble_offset_bits = e2e->data_id_nibble_offset_bits,
    .data_id_mode = (ipcnet_e2e_data_id_mode)e2e->data_id_mode,
  };
}

uint32_t ipcnet_reflex_e2e_counter_max(const struct ipcnet_reflex_e2e *e2e) {
  const struct profile *profile = profile_of(e2e->profile);
  return profile == NULL ? 0 : profile->counter_max;
}

/* ---- Checking a row -------------------------------------------------------------------------------------------------------------------- */

static void mark(uint8_t mask[FRAME_BYTES_MAX], uint32_t first_bit, uint32_t bits) {
  for (uint32_t bit = first_bit; bit < first_bit + bits; bit++) mask[bit >> 3] = (uint8_t)(mask[bit >> 3] | 1u << (bit & 7u));
}

void ipcnet_reflex_e2e_occupies(const struct ipcnet_reflex_e2e *e2e, uint8_t mask[FRAME_BYTES_MAX]) {
  const struct profile *profile = profile_of(e2e->profile);
  if (profile == NULL) return;
  if (profile->header_bits != 0) {
    mark(mask, e2e->offset_bytes * 8u, profile->header_bits);
    return;
  }
  mark(mask, e2e->crc_offset_bits, 8);
  mark(mask, e2e->counter_offset_bits, 4);
  if (e2e->data_id_mode == IPCNET_E2E_NIBBLE) mark(mask, e2e->data_id_nibble_offset_bits, 4);
}

/* P01 and P11: three places by bits, which must not lie in each other. */
static bool places_valid(const struct ipcnet_reflex_e2e *e2e) {
  uint32_t crc_byte = e2e->crc_offset_bits >> 3;
  if (e2e->crc_offset_bits % 8 != 0 || e2e->counter_offset_bits % 4 != 0 || e2e->data_id_nibble_offset_bits % 4 != 0) return false;
  if (e2e->counter_offset_bits >> 3 == crc_byte) return false;
  if (e2e->data_id_mode != IPCNET_E2E_NIBBLE) return true;
  return e2e->data_id_nibble_offset_bits >> 3 != crc_byte && e2e->data_id_nibble_offset_bits != e2e->counter_offset_bits;
}

bool ipcnet_reflex_e2e_valid(const struct ipcnet_reflex_e2e *e2e, uint32_t length_bytes, const uint8_t *bytes, uint32_t bytes_length) {
  if (e2e->profile == IPCNET_REFLEX_E2E_NONE) return true;
  const struct profile *profile = profile_of(e2e->profile);
  if (profile == NULL || e2e->data_id_mode > IPCNET_E2E_NIBBLE || e2e->max_delta >= profile->counter_max || e2e->resync_frames == 1) return false;
  uint32_t list_bytes = profile->by_list ? 16 : 0; /* without a list nothing is read, but a pointer is made of its place */
  if (bytes_length < list_bytes || e2e->data_id_list > bytes_length - list_bytes) return false;
  if (profile->header_bits == 0 && !places_valid(e2e)) return false;
  uint8_t frame[FRAME_BYTES_MAX] = {0};
  return length_bytes <= FRAME_BYTES_MAX && ipcnet_reflex_e2e_protect(e2e, bytes, frame, length_bytes, 0);
}

/* ---- Applying it ----------------------------------------------------------------------------------------------------------------------- */

bool ipcnet_reflex_e2e_protect(const struct ipcnet_reflex_e2e *e2e, const uint8_t *bytes, uint8_t *frame, size_t length_bytes, uint32_t counter) {
  const struct profile *profile = profile_of(e2e->profile);
  if (profile == NULL) return true;
  ipcnet_e2e_config config = config_of(e2e, bytes);
  return profile->protect(&config, frame, length_bytes, counter) == IPCNET_E2E_INSPECTED_OK;
}

ipcnet_e2e_verdict ipcnet_reflex_e2e_inspect(const struct ipcnet_reflex_e2e *e2e, const uint8_t *bytes, const uint8_t *frame, size_t length_bytes, uint32_t *counter) {
  const struct profile *profile = profile_of(e2e->profile);
  if (profile == NULL) {
    *counter = 0;
    return IPCNET_E2E_INSPECTED_OK;
  }
  ipcnet_e2e_config config = config_of(e2e, bytes);
  return profile->inspect(&config, frame, length_bytes, counter);
}
