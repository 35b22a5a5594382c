#include "lane_layout.h"

#if defined(__x86_64__)
#include <emmintrin.h>
#endif

#if defined(__x86_64__) && !defined(IPCNET_LANE_TSAN)
/* Three parts of the CRC's longer stride: stays in the first cache, and on the stack. */
#define BLOCK_BYTES 12288u

int ipcnet_lane_copies_past(void) { return 1; }

uint32_t ipcnet_lane_copy_in_past_crc(uint32_t previous, void *to_lane, const void *from, size_t bytes) {
  _Alignas(64) uint8_t block[BLOCK_BYTES];
  uint8_t *to = to_lane;
  const uint8_t *at = from;
  /* SYNC: these stores obey no order but that of this instruction. This one keeps the reservation before them (rule 3), the one at the end the state after them (rule 1). */
  _mm_sfence();
  for (size_t part; bytes > 0; bytes -= part, at += part, to += part) {
    /* By way of the block: what was copied counts, should the source change. Beginning and end that fill no line go the usual way. */
    const size_t before = (64 - ((uintptr_t)to & 63)) & 63;
    part = before > 0 ? before : bytes < BLOCK_BYTES ? bytes & ~(size_t)63 : BLOCK_BYTES;
    if (part == 0 || part > bytes) part = bytes;
    previous = ipcnet_crc32_iscsi_copy(previous, block, at, part);
    if (part % 64 != 0) memcpy(to, block, part);
    else for (size_t i = 0; i < part; i += 16) _mm_stream_si128((__m128i *)(void *)(to + i), _mm_load_si128((const __m128i *)(const void *)(block + i)));
  }
  _mm_sfence();
  return previous;
}
#else
int ipcnet_lane_copies_past(void) { return 0; }

uint32_t ipcnet_lane_copy_in_past_crc(uint32_t previous, void *to_lane, const void *from, size_t bytes) {
  return ipcnet_lane_copy_in_crc(previous, to_lane, from, bytes);
}
#endif

uint32_t ipcnet_lane_crc(uint32_t previous, const void *in_lane, size_t bytes) {
#ifdef IPCNET_LANE_TSAN
  uint8_t block[512];
  for (size_t at = 0, part; at < bytes; at += part) {
    part = bytes - at < sizeof block ? bytes - at : sizeof block;
    previous = ipcnet_lane_copy_out_crc(previous, block, (const uint8_t *)in_lane + at, part);
  }
  return previous;
#else
  return ipcnet_crc32_iscsi_fast(previous, in_lane, bytes);
#endif
}

uint32_t ipcnet_lane_fixed_crc(const struct ipcnet_lane_fixed *fixed) {
  return ipcnet_crc32_iscsi_fast(0, fixed->lane_id, sizeof *fixed - offsetof(struct ipcnet_lane_fixed, lane_id));
}
