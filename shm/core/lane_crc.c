#include "ipcnet_crc_fast.h"
#include "lane_layout.h"

/* Half of a small first-level cache: source and target of a block stay in it between the copy and the CRC. */
#define BLOCK_BYTES 12288u

uint32_t ipcnet_lane_copy_in_crc(uint32_t previous, void *to_lane, const void *from, size_t bytes) {
  uint8_t *to = to_lane;
  const uint8_t *source = from;
  for (size_t part; bytes > 0; bytes -= part, to += part, source += part) {
    part = bytes < BLOCK_BYTES ? bytes : BLOCK_BYTES;
    ipcnet_lane_copy_in(to, source, part);
    previous = ipcnet_crc32_iscsi_fast(previous, source, part);
  }
  return previous;
}

uint32_t ipcnet_lane_copy_out_crc(uint32_t previous, void *to, const void *from_lane, size_t bytes) {
  uint8_t *copy = to;
  const uint8_t *source = from_lane;
  for (size_t part; bytes > 0; bytes -= part, copy += part, source += part) {
    part = bytes < BLOCK_BYTES ? bytes : BLOCK_BYTES;
    ipcnet_lane_copy_out(copy, source, part);
    /* The CRC is of the copy, and the compiler must not think that it may as well read the lane again. */
    atomic_signal_fence(memory_order_seq_cst);
    previous = ipcnet_crc32_iscsi_fast(previous, copy, part);
  }
  return previous;
}

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

uint32_t ipcnet_lane_header_crc(uint32_t id_crc, const uint64_t words[8]) {
  return ipcnet_crc32_iscsi_fast(id_crc, (const uint8_t *)words, offsetof(struct ipcnet_lane_slot_header, header_crc));
}

uint32_t ipcnet_lane_fixed_crc(const struct ipcnet_lane_fixed *fixed) {
  return ipcnet_crc32_iscsi_fast(0, fixed->lane_id, sizeof *fixed - offsetof(struct ipcnet_lane_fixed, lane_id));
}
