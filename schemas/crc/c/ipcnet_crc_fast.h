/*
 * CRCs for hosts and larger buffers; results and arguments as in ipcnet_crc.h. C99 with the GNU attributes of gcc and clang, no allocation,
 * no state, any thread. Tables: 8 KiB and 16 KiB of constants.
 */
#ifndef IPCNET_CRC_FAST_H
#define IPCNET_CRC_FAST_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* CRC-32C by the processor's instruction where there is one (asked at run time on x86-64 and on arm64 with Linux; else when compiled for it), long buffers as three
 * streams side by side; else sliced. */
uint32_t ipcnet_crc32_iscsi_fast(uint32_t previous, const uint8_t *bytes, size_t length_bytes);

/* Copies to `to`, which must not overlap, and returns the CRC-32C of what was copied: one pass, as quick as the CRC alone. */
uint32_t ipcnet_crc32_iscsi_copy(uint32_t previous, uint8_t *to, const uint8_t *bytes, size_t length_bytes);

/* CRC-32C by tables, whatever the processor can. */
uint32_t ipcnet_crc32_iscsi_sliced(uint32_t previous, const uint8_t *bytes, size_t length_bytes);

/* Whether ipcnet_crc32_iscsi_fast uses the processor's instruction: 1 or 0. */
int ipcnet_crc32_iscsi_by_processor(void);

/* CRC-64/XZ by tables, eight bytes a step. */
uint64_t ipcnet_crc64_xz_fast(uint64_t previous, const uint8_t *bytes, size_t length_bytes);

#ifdef __cplusplus
}
#endif

#endif
