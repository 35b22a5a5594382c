/* Registers of a chip by their addresses, and a block of them as the drivers of drivers/nodekit/can want it: its address is the context. */
#ifndef IPCNET_EXAMPLE_REGISTERS_H
#define IPCNET_EXAMPLE_REGISTERS_H

#include <stdint.h>

#define REGISTER(address) (*(volatile uint32_t *)(uintptr_t)(address))

static inline uint32_t registers_read(void *base, uint32_t offset_bytes) {
  return REGISTER((uintptr_t)base + offset_bytes);
}

static inline void registers_write(void *base, uint32_t offset_bytes, uint32_t value) {
  REGISTER((uintptr_t)base + offset_bytes) = value;
}

#define REGISTERS_AT(address) { .context = (void *)(uintptr_t)(address), .read = registers_read, .write = registers_write }

#endif
