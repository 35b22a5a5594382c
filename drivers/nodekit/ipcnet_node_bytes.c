#include "ipcnet_node_bytes.h"

/* Not inline: several copies cost more than they save. */
uint32_t ipcnet_node_get32(const uint8_t *from) {
  return from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 | (uint32_t)from[3] << 24;
}

void ipcnet_node_put32(uint8_t *to, uint32_t value) {
  for (int i = 0; i < 4; i++) to[i] = (uint8_t)(value >> (8 * i));
}
