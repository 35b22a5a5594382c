/* sha256: SHA-256 (FIPS 180-4) of bytes in memory: for ids and schema hashes, where speed does not matter. No state, any thread. */
#ifndef IPCNET_SHA256_H
#define IPCNET_SHA256_H

#include <stddef.h>
#include <stdint.h>

void ipcnet_sha256(const void *bytes, size_t length, uint8_t digest[32]);
/* The first 8 bytes of it as a big-endian number: what names schemas, topics and origins. */
uint64_t ipcnet_sha256_id(const void *bytes, size_t length);

#endif
