/* A flash memory for tests: bits go from 1 to 0 only, pages are erased whole, power can be cut at every byte of every operation, in the middle of it. */
#ifndef IPCNET_NODE_SIM_FLASH_H
#define IPCNET_NODE_SIM_FLASH_H

#include <setjmp.h>

#include "ipcnet_node.h"

enum { SIM_FLASH_BYTES = 64 * 1024, SIM_ERASE_COST = 8 };

struct sim_flash {
  struct ipcnet_node_flash flash;
  uint8_t bytes[SIM_FLASH_BYTES];
  long budget;      /* steps until power is cut: a byte written, or an eighth of an erasure. Negative: it is not */
  long spent;       /* steps since it was set to 0 */
  long violations;  /* writes into bytes that were not erased or not aligned to the unit, and whatever lies outside */
  unsigned seed;    /* for what a cut operation leaves behind */
  bool fails;       /* writes and erasures report failure, and do nothing */
  bool cut;
  jmp_buf power;    /* where a cut leads */
};

/* Two slots, two journal pages; all erased. */
void sim_flash_init(struct sim_flash *self, uint32_t page_bytes, uint32_t unit_bytes, uint32_t slot_bytes);
/* A header for `body`, with an honest CRC and, in place of a hash, what sim_trusted wants. `bytes` has room for both. Returns the length. */
uint32_t sim_image(const struct sim_flash *self, uint8_t *bytes, uint32_t version, uint32_t security_counter, uint32_t body_bytes);
/* As at the factory. */
void sim_flash_program(struct sim_flash *self, uint8_t slot, const uint8_t *bytes, uint32_t length);

#endif
