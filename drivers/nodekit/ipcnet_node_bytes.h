/* For the kit's own sources: the four functions that every freestanding compiler asks of its surroundings anyway (some come without string.h), and little-endian words. */
#ifndef IPCNET_NODE_BYTES_H
#define IPCNET_NODE_BYTES_H

#include <stddef.h>
#include <stdint.h>

void *memcpy(void *to, const void *from, size_t length);
void *memmove(void *to, const void *from, size_t length);
void *memset(void *to, int value, size_t length);
int memcmp(const void *a, const void *b, size_t length);

static inline uint32_t ipcnet_node_get32(const uint8_t *from) {
  return from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

static inline void ipcnet_node_put32(uint8_t *to, uint32_t value) {
  to[0] = (uint8_t)value;
  to[1] = (uint8_t)(value >> 8);
  to[2] = (uint8_t)(value >> 16);
  to[3] = (uint8_t)(value >> 24);
}

#endif
