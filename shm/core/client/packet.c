#include "packet.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ipcnet_e2e.h"

#define HEADER_BYTES 20u
#define PROTOCOL 0x49500000u
#define VERSION 1u

static uint32_t data_id(enum ipcnet_packet_role sender, enum ipcnet_packet_kind kind) {
  return PROTOCOL | (kind == IPCNET_PACKET_HANDSHAKE ? 0 : VERSION) << 8 | (sender == IPCNET_PACKET_GATEWAY ? 8u : 0u) | (uint32_t)kind;
}

static ipcnet_e2e_config p07(uint32_t id) {
  return (ipcnet_e2e_config){.data_id = id, .max_length_bytes = IPCNET_PACKET_BYTES_MAX};
}

void ipcnet_channel_init(struct ipcnet_channel *self, enum ipcnet_packet_role role) {
  memset(self, 0, sizeof *self);
  self->role = role;
}

void ipcnet_channel_free(struct ipcnet_channel *self) {
  free(self->fragments);
  ipcnet_channel_init(self, self->role);
}

void ipcnet_channel_seal(struct ipcnet_channel *self, enum ipcnet_packet_kind kind, int more, uint8_t *packet, size_t length) {
  ipcnet_e2e_config config = p07(data_id(self->role, kind));
  if (kind != IPCNET_PACKET_DATA) {
    memset(packet + HEADER_BYTES, 0, IPCNET_PACKET_CONTROL_AT - HEADER_BYTES);
    packet[HEADER_BYTES] = more ? 1 : 0;
  }
  /* Cannot fail: the length is within the profile and any counter is one of it. */
  (void)ipcnet_e2e_p07_protect(&config, packet, length, self->sent);
  self->sent += 1;
}

static enum ipcnet_packet_verdict join(struct ipcnet_channel *self, enum ipcnet_packet_kind kind, const uint8_t *packet, size_t length, const uint8_t **body, size_t *body_bytes) {
  const uint8_t *flags = packet + HEADER_BYTES;
  enum ipcnet_packet_verdict whole = kind == IPCNET_PACKET_CONTROL ? IPCNET_PACKET_IS_CONTROL : IPCNET_PACKET_IS_HANDSHAKE;
  size_t part_bytes = length - IPCNET_PACKET_CONTROL_AT;
  if (flags[0] > 1 || flags[1] != 0 || flags[2] != 0 || flags[3] != 0) return IPCNET_PACKET_BAD_FRAGMENT;
  if (flags[0] == 0 && self->fragment_bytes == 0) {
    *body = packet + IPCNET_PACKET_CONTROL_AT;
    *body_bytes = part_bytes;
    return whole;
  }
  /* An empty fragment would never reach the limit; a handshake fits one packet. */
  if (kind == IPCNET_PACKET_HANDSHAKE || part_bytes == 0 || part_bytes > IPCNET_PACKET_TO_CLIENT_BYTES_MAX - self->fragment_bytes) return IPCNET_PACKET_BAD_FRAGMENT;
  if (part_bytes > self->fragment_capacity - self->fragment_bytes) {
    size_t capacity = self->fragment_capacity < 131072 ? 262144 : self->fragment_capacity * 2;
    uint8_t *grown = realloc(self->fragments, capacity);
    if (grown == NULL) return IPCNET_PACKET_NO_MEMORY;
    self->fragments = grown;
    self->fragment_capacity = capacity;
  }
  memcpy(self->fragments + self->fragment_bytes, packet + IPCNET_PACKET_CONTROL_AT, part_bytes);
  self->fragment_bytes += part_bytes;
  if (flags[0] == 1) return IPCNET_PACKET_IS_FRAGMENT;
  *body = self->fragments;
  *body_bytes = self->fragment_bytes;
  self->fragment_bytes = 0;
  return whole;
}

enum ipcnet_packet_verdict ipcnet_channel_receive(struct ipcnet_channel *self, const uint8_t *packet, size_t length, const uint8_t **body, size_t *body_bytes) {
  if (length < IPCNET_PACKET_CONTROL_AT) return IPCNET_PACKET_BAD_HEADER;
  uint32_t claimed = (uint32_t)packet[16] << 24 | (uint32_t)packet[17] << 16 | (uint32_t)packet[18] << 8 | packet[19], counter = 0;
  enum ipcnet_packet_role sender = self->role == IPCNET_PACKET_CLIENT ? IPCNET_PACKET_GATEWAY : IPCNET_PACKET_CLIENT;
  enum ipcnet_packet_kind kind = claimed == data_id(sender, IPCNET_PACKET_DATA) ? IPCNET_PACKET_DATA : claimed == data_id(sender, IPCNET_PACKET_CONTROL) ? IPCNET_PACKET_CONTROL : IPCNET_PACKET_HANDSHAKE;
  ipcnet_e2e_config config = p07(data_id(sender, kind));
  if (ipcnet_e2e_p07_inspect(&config, packet, length, &counter) != IPCNET_E2E_INSPECTED_OK || counter != self->received) return IPCNET_PACKET_BAD_HEADER;
  self->received += 1;
  return kind == IPCNET_PACKET_DATA ? IPCNET_PACKET_IS_DATA : join(self, kind, packet, length, body, body_bytes);
}

/* ---- samples ------------------------------------------------------------------------------------------------------------------------ */

static uint32_t read32(const uint8_t *at) {
  return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static double read_double(const uint8_t *at) {
  uint64_t bits = read32(at) | (uint64_t)read32(at + 4) << 32;
  double value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

static void write32(uint8_t *at, uint32_t value) {
  for (unsigned i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (8 * i));
}

static void write_double(uint8_t *at, double value) {
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  write32(at, (uint32_t)bits);
  write32(at + 4, (uint32_t)(bits >> 32));
}

/* Times and sequences become unsigned 64-bit numbers: what does not fit is refused. */
static int is_count(double value, double max) {
  return isfinite(value) && value >= 0 && value <= max;
}

int ipcnet_packet_check_batch(const uint8_t *packet, size_t length, double *wall_offset_us) {
  if (length < IPCNET_PACKET_SAMPLES_AT || packet[HEADER_BYTES + 2] != 0 || packet[HEADER_BYTES + 3] != 0) return -1;
  int count = packet[HEADER_BYTES] | packet[HEADER_BYTES + 1] << 8;
  size_t at = IPCNET_PACKET_SAMPLES_AT;
  for (int i = 0; i < count; i++) {
    if (length - at < IPCNET_PACKET_SAMPLE_HEAD_BYTES) return -1;
    const uint8_t *head = packet + at;
    size_t payload_bytes = read32(head + 4), left = length - at - IPCNET_PACKET_SAMPLE_HEAD_BYTES;
    if (payload_bytes > left) return -1;
    size_t padded = (payload_bytes + 7) & ~(size_t)7;
    if (padded > left || head[36] > 2 || head[38] != 0 || head[39] != 0) return -1;
    /* 2^53 messages; 285 years in microseconds. */
    if (!is_count(read_double(head + 8), 9007199254740992.0) || !is_count(read_double(head + 16), 9007199254740992.0)) return -1;
    at += IPCNET_PACKET_SAMPLE_HEAD_BYTES + padded;
  }
  double offset = read_double(packet + HEADER_BYTES + 4);
  if (at != length || !(fabs(offset) <= 9007199254740992.0)) return -1;
  *wall_offset_us = offset;
  return count;
}

size_t ipcnet_packet_sample_at(const uint8_t *packet, size_t at, struct ipcnet_packet_sample *sample) {
  const uint8_t *head = packet + at;
  sample->topic_id = read32(head);
  sample->payload_bytes = read32(head + 4);
  sample->sequence = read_double(head + 8);
  sample->time_us = read_double(head + 16);
  sample->tag = read32(head + 24);
  sample->lost_before = read32(head + 28);
  sample->origin_id = read32(head + 32);
  sample->quality = head[36];
  sample->flags = head[37];
  sample->payload = head + IPCNET_PACKET_SAMPLE_HEAD_BYTES;
  return at + IPCNET_PACKET_SAMPLE_HEAD_BYTES + ((sample->payload_bytes + 7u) & ~(size_t)7);
}

size_t ipcnet_packet_append(uint8_t *packet, size_t at, const struct ipcnet_packet_sample *sample) {
  size_t padded = ((size_t)sample->payload_bytes + 7) & ~(size_t)7;
  if (IPCNET_PACKET_BYTES_MAX - at < IPCNET_PACKET_SAMPLE_HEAD_BYTES || padded > IPCNET_PACKET_BYTES_MAX - at - IPCNET_PACKET_SAMPLE_HEAD_BYTES) return 0;
  uint8_t *head = packet + at;
  write32(head, sample->topic_id);
  write32(head + 4, sample->payload_bytes);
  write_double(head + 8, sample->sequence);
  write_double(head + 16, sample->time_us);
  write32(head + 24, sample->tag);
  write32(head + 28, sample->lost_before);
  write32(head + 32, sample->origin_id);
  head[36] = sample->quality;
  head[37] = sample->flags;
  head[38] = head[39] = 0;
  uint8_t *payload = head + IPCNET_PACKET_SAMPLE_HEAD_BYTES;
  if (sample->payload_bytes > 0) memcpy(payload, sample->payload, sample->payload_bytes);
  memset(payload + sample->payload_bytes, 0, padded - sample->payload_bytes);
  return at + IPCNET_PACKET_SAMPLE_HEAD_BYTES + padded;
}

void ipcnet_packet_finish_batch(uint8_t *packet, uint32_t count, double wall_offset_us) {
  write32(packet + HEADER_BYTES, count);
  write_double(packet + HEADER_BYTES + 4, wall_offset_us);
}
