#include "packet_header.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHECK(condition)                                            \
  do {                                                              \
    if (!(condition)) {                                             \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); \
      exit(1);                                                      \
    }                                                               \
  } while (0)

static uint64_t bitwise(const uint8_t *bytes, size_t length) {
  uint64_t crc = ~(uint64_t)0;
  for (size_t i = 0; i < length; i++) {
    crc ^= bytes[i];
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) ? 0xC96C5795D7870F42u : 0u);
  }
  return ~crc;
}

static void the_crc_is_the_catalogues(void) {
  CHECK(ipcnet_crc64_xz((const uint8_t *)"123456789", 9) == 0x995DC9BBDF1939FAu);
  CHECK(ipcnet_crc64_xz((const uint8_t *)"", 0) == 0);
  uint8_t bytes[300];
  for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(i * 37 + 11);
  for (size_t at = 0; at < 9; at++) {
    for (size_t length = 0; length < sizeof bytes - at; length += 7) CHECK(ipcnet_crc64_xz(bytes + at, length) == bitwise(bytes + at, length));
  }
}

/* The examples of AUTOSAR's E2E specification for profile 7: Data ID 0x0a0b0c0d, four data bytes of 0, counters 0 and 1. */
static void the_header_is_that_of_profile_7(void) {
  static const uint8_t first[20] = { 0x1f, 0xb2, 0xe7, 0x37, 0xfc, 0xed, 0xbc, 0xd9, 0, 0, 0, 24, 0, 0, 0, 0, 0x0a, 0x0b, 0x0c, 0x0d };
  static const uint8_t second[20] = { 0x7b, 0xde, 0x72, 0x68, 0xb8, 0xe9, 0xbc, 0x27, 0, 0, 0, 24, 0, 0, 0, 1, 0x0a, 0x0b, 0x0c, 0x0d };
  uint8_t packet[24] = { 0 };
  ipcnet_packet_seal(packet, sizeof packet, 0x0a0b0c0d, 0);
  CHECK(memcmp(packet, first, sizeof first) == 0);
  ipcnet_packet_seal(packet, sizeof packet, 0x0a0b0c0d, 1);
  CHECK(memcmp(packet, second, sizeof second) == 0);
}

static void what_was_sealed_opens_and_nothing_else_does(void) {
  uint8_t packet[61];
  for (size_t i = 0; i < sizeof packet; i++) packet[i] = (uint8_t)i;
  ipcnet_packet_seal(packet, sizeof packet, 7, 0xffffffff);
  CHECK(ipcnet_packet_open(packet, sizeof packet, 7, 0xffffffff) == IPCNET_PACKET_OK);
  CHECK(ipcnet_packet_open(packet, sizeof packet, 8, 0xffffffff) == IPCNET_PACKET_DATA_ID);
  CHECK(ipcnet_packet_open(packet, sizeof packet, 7, 0) == IPCNET_PACKET_COUNTER);
  CHECK(ipcnet_packet_open(packet, sizeof packet - 1, 7, 0xffffffff) == IPCNET_PACKET_LENGTH);
  CHECK(ipcnet_packet_open(packet, 19, 7, 0xffffffff) == IPCNET_PACKET_TOO_SHORT);
  for (size_t bit = 0; bit < sizeof packet * 8; bit++) {
    packet[bit / 8] ^= (uint8_t)(1u << (bit % 8));
    enum ipcnet_packet_status status = ipcnet_packet_open(packet, sizeof packet, 7, 0xffffffff);
    CHECK(status == IPCNET_PACKET_CRC || status == IPCNET_PACKET_LENGTH);
    packet[bit / 8] ^= (uint8_t)(1u << (bit % 8));
  }
}

int main(void) {
  the_crc_is_the_catalogues();
  the_header_is_that_of_profile_7();
  what_was_sealed_opens_and_nothing_else_does();
  return 0;
}
