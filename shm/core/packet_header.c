#include "packet_header.h"

#include <pthread.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "the sliced CRC reads eight bytes as a little-endian word");

/* table[k][b]: the CRC register after byte b and k zero bytes. */
static uint64_t table[8][256];
static pthread_once_t table_once = PTHREAD_ONCE_INIT;

static void make_table(void) {
  for (unsigned byte = 0; byte < 256; byte++) {
    uint64_t crc = byte;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) ? 0xC96C5795D7870F42u : 0u); /* 0x42F0E1EBA9EA3693 reflected */
    table[0][byte] = crc;
  }
  for (unsigned k = 1; k < 8; k++) {
    for (unsigned byte = 0; byte < 256; byte++) table[k][byte] = (table[k - 1][byte] >> 8) ^ table[0][table[k - 1][byte] & 0xff];
  }
}

uint64_t ipcnet_crc64_xz(const uint8_t *bytes, size_t length) {
  uint64_t crc = ~(uint64_t)0;
  pthread_once(&table_once, make_table);
  while (length >= 8) {
    uint64_t word;
    memcpy(&word, bytes, 8);
    crc ^= word;
    crc = table[7][crc & 0xff] ^ table[6][(crc >> 8) & 0xff] ^ table[5][(crc >> 16) & 0xff] ^ table[4][(crc >> 24) & 0xff] ^
          table[3][(crc >> 32) & 0xff] ^ table[2][(crc >> 40) & 0xff] ^ table[1][(crc >> 48) & 0xff] ^ table[0][crc >> 56];
    bytes += 8;
    length -= 8;
  }
  while (length-- > 0) crc = (crc >> 8) ^ table[0][(crc ^ *bytes++) & 0xff];
  return ~crc;
}

static void put_u32(uint8_t *at, uint32_t value) {
  value = __builtin_bswap32(value);
  memcpy(at, &value, 4);
}

static uint32_t get_u32(const uint8_t *at) {
  uint32_t value;
  memcpy(&value, at, 4);
  return __builtin_bswap32(value);
}

void ipcnet_packet_seal(uint8_t *bytes, size_t length, uint32_t data_id, uint32_t counter) {
  put_u32(bytes + 8, (uint32_t)length);
  put_u32(bytes + 12, counter);
  put_u32(bytes + 16, data_id);
  uint64_t crc = __builtin_bswap64(ipcnet_crc64_xz(bytes + 8, length - 8));
  memcpy(bytes, &crc, 8);
}

enum ipcnet_packet_status ipcnet_packet_open(const uint8_t *bytes, size_t length, uint32_t data_id, uint32_t counter) {
  uint64_t crc;
  if (length < IPCNET_PACKET_HEADER_BYTES) return IPCNET_PACKET_TOO_SHORT;
  if (get_u32(bytes + 8) != length) return IPCNET_PACKET_LENGTH;
  memcpy(&crc, bytes, 8);
  if (__builtin_bswap64(crc) != ipcnet_crc64_xz(bytes + 8, length - 8)) return IPCNET_PACKET_CRC;
  if (get_u32(bytes + 16) != data_id) return IPCNET_PACKET_DATA_ID;
  if (get_u32(bytes + 12) != counter) return IPCNET_PACKET_COUNTER;
  return IPCNET_PACKET_OK;
}
