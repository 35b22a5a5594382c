/* The fast CRC-32C against the plain one: every length up to beyond both sizes of three streams, every alignment, chained at every cut. */
#include "ipcnet_crc.h"
#include "ipcnet_crc_fast.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void check(int good, const char *what, size_t at, size_t length) {
  if (good) return;
  fprintf(stderr, "ipcnet_crc_fast_test: %s, offset %zu, length %zu\n", what, at, length);
  exit(1);
}

int main(void) {
  enum { ROOM = 3 * 12288 + 4096 };
  uint8_t *bytes = malloc(ROOM), *copied = malloc(ROOM);
  uint32_t state = 1;
  check(bytes != NULL && copied != NULL, "memory", 0, ROOM);
  for (size_t i = 0; i < ROOM; i++) {
    state = state * 1664525u + 1013904223u;
    bytes[i] = (uint8_t)(state >> 24);
  }
  printf("CRC-32C by the processor: %s\n", ipcnet_crc32_iscsi_by_processor() ? "yes" : "no");
  check(ipcnet_crc32_iscsi_fast(0, (const uint8_t *)"123456789", 9) == 0xE3069283u, "check value", 0, 9);
  for (size_t length = 0; length < 4000; length++) {
    const size_t at = length % 13;
    const uint32_t plain = ipcnet_crc32_iscsi(0, bytes + at, length);
    check(ipcnet_crc32_iscsi_fast(0, bytes + at, length) == plain, "processor", at, length);
    check(ipcnet_crc32_iscsi_sliced(0, bytes + at, length) == plain, "sliced", at, length);
    memset(copied, 0xA5, length + 16);
    check(ipcnet_crc32_iscsi_copy(0, copied + 3, bytes + at, length) == plain && memcmp(copied + 3, bytes + at, length) == 0, "copy", at, length);
    check(copied[2] == 0xA5 && copied[3 + length] == 0xA5, "copy beyond its end", at, length);
  }
  const size_t lengths[] = {12287, 12288, 12289, 13056, 15360, 24576, 36863, 36864, 40000};
  for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
    for (size_t at = 0; at < 8; at++) {
      check(ipcnet_crc32_iscsi_fast(0, bytes + at, lengths[i]) == ipcnet_crc32_iscsi(0, bytes + at, lengths[i]), "long", at, lengths[i]);
      check(ipcnet_crc32_iscsi_copy(7, copied, bytes + at, lengths[i]) == ipcnet_crc32_iscsi(7, bytes + at, lengths[i]) && memcmp(copied, bytes + at, lengths[i]) == 0, "long copy", at, lengths[i]);
    }
  }
  const uint32_t whole = ipcnet_crc32_iscsi(0, bytes, 16384);
  for (size_t cut = 0; cut <= 16384; cut += 97) {
    check(ipcnet_crc32_iscsi_fast(ipcnet_crc32_iscsi_fast(0, bytes, cut), bytes + cut, 16384 - cut) == whole, "chained", cut, 16384);
  }
  for (size_t bit = 0; bit < 8u * 3000; bit += 11) { /* and a flipped bit shows, in whichever stream it is */
    bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    check(ipcnet_crc32_iscsi_fast(0, bytes, 16384) != whole, "bit flip", bit / 8, 16384);
    bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
  }
  free(bytes);
  free(copied);
  return 0;
}
