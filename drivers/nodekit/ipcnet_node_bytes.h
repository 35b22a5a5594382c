/* For the kit's own sources: the four functions that every freestanding compiler asks of its surroundings anyway (some come without string.h), and little-endian words. */
#ifndef IPCNET_NODE_BYTES_H
#define IPCNET_NODE_BYTES_H

#include <stddef.h>
#include <stdint.h>

void *memcpy(void *to, const void *from, size_t length);
void *memmove(void *to, const void *from, size_t length);
void *memset(void *to, int value, size_t length);
int memcmp(const void *a, const void *b, size_t length);

uint32_t ipcnet_node_get32(const uint8_t *from);
void ipcnet_node_put32(uint8_t *to, uint32_t value);

#endif
