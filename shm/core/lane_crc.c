#include "ipcnet_crc_fast.h"
#include "lane_layout.h"

#ifdef IPCNET_LANE_TSAN
uint32_t ipcnet_lane_copy_in_crc(uint32_t previous, void *to_lane, const void *from, size_t bytes) {
  ipcnet_lane_copy_in(to_lane, from, bytes);
  return ipcnet_crc32_iscsi_fast(previous, from, bytes);
}

uint32_t ipcnet_lane_copy_out_crc(uint32_t previous, void *to, const void *from_lane, size_t bytes) {
  ipcnet_lane_copy_out(to, from_lane, bytes);
  return ipcnet_crc32_iscsi_fast(previous, to, bytes);
}
#else
uint32_t ipcnet_lane_copy_in_crc(uint32_t previous, void *to_lane, const void *from, size_t bytes) {
  return ipcnet_crc32_iscsi_copy(previous, to_lane, from, bytes);
}

uint32_t ipcnet_lane_copy_out_crc(uint32_t previous, void *to, const void *from_lane, size_t bytes) {
  return ipcnet_crc32_iscsi_copy(previous, to, from_lane, bytes);
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

uint32_t ipcnet_lane_header_crc(uint32_t id_crc, const uint64_t words[8]) {
  return ipcnet_crc32_iscsi_fast(id_crc, (const uint8_t *)words, offsetof(struct ipcnet_lane_slot_header, header_crc));
}

uint32_t ipcnet_lane_fixed_crc(const struct ipcnet_lane_fixed *fixed) {
  return ipcnet_crc32_iscsi_fast(0, fixed->lane_id, sizeof *fixed - offsetof(struct ipcnet_lane_fixed, lane_id));
}
