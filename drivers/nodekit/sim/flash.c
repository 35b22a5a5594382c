#include "flash.h"

#include <string.h>

static unsigned chance(struct sim_flash *self) {
  self->seed = self->seed * 1664525u + 1013904223u;
  return self->seed >> 8;
}

static bool step(struct sim_flash *self) {
  self->spent++;
  if (self->budget < 0) return true;
  return self->budget-- > 0;
}

static void power_cut(struct sim_flash *self) {
  self->cut = true;
  longjmp(self->power, 1);
}

static bool read_flash(void *context, uint32_t at, uint8_t *bytes, uint32_t length) {
  struct sim_flash *self = context;
  if (at > SIM_FLASH_BYTES || length > SIM_FLASH_BYTES - at) {
    self->violations++;
    return false;
  }
  memcpy(bytes, self->bytes + at, length);
  return true;
}

static bool write_flash(void *context, uint32_t at, const uint8_t *bytes, uint32_t length) {
  struct sim_flash *self = context;
  if (self->fails) return false;
  if (at > SIM_FLASH_BYTES || length > SIM_FLASH_BYTES - at || at % self->flash.unit_bytes != 0 || length % self->flash.unit_bytes != 0) {
    self->violations++;
    return false;
  }
  for (uint32_t i = 0; i < length; i++) if (self->bytes[at + i] != 0xFF) self->violations++;
  for (uint32_t i = 0; i < length; i++) {
    if (!step(self)) {
      /* Some of the byte's bits were programmed; and of its unit's other bytes, which are programmed at once. */
      for (uint32_t j = i - i % self->flash.unit_bytes; j < i - i % self->flash.unit_bytes + self->flash.unit_bytes; j++) if (j >= i) self->bytes[at + j] &= (uint8_t)(bytes[j] | chance(self));
      power_cut(self);
    }
    self->bytes[at + i] &= bytes[i];
  }
  return true;
}

static bool erase_flash(void *context, uint32_t at) {
  struct sim_flash *self = context;
  const uint32_t page = self->flash.page_bytes;
  if (self->fails) return false;
  if (at > SIM_FLASH_BYTES - page || at % page != 0) {
    self->violations++;
    return false;
  }
  for (int i = 0; i < SIM_ERASE_COST; i++) {
    if (step(self)) continue;
    /* Half-way: some bytes are as they were, some erased, some anything. */
    for (uint32_t j = 0; j < page; j++) {
      const unsigned what = chance(self) % 3;
      if (what != 0) self->bytes[at + j] = what == 1 ? 0xFF : (uint8_t)chance(self);
    }
    power_cut(self);
  }
  memset(self->bytes + at, 0xFF, page);
  return true;
}

/* In place of SHA-256 and a signature: the hash's bytes are the body's sum. */
static uint8_t sum_of(const uint8_t *bytes, uint32_t length) {
  uint8_t sum = 0x5A;
  for (uint32_t i = 0; i < length; i++) sum = (uint8_t)(sum * 31u + bytes[i]);
  return sum;
}

static bool trusted(void *context, const uint8_t *header, uint32_t image_at, uint32_t image_bytes) {
  const struct sim_flash *self = context;
  const uint8_t sum = sum_of(self->bytes + image_at, image_bytes);
  for (int i = 0; i < 32; i++) if (header[28 + i] != (uint8_t)(sum + i)) return false;
  return true;
}

void sim_flash_init(struct sim_flash *self, uint32_t page_bytes, uint32_t unit_bytes, uint32_t slot_bytes) {
  memset(self, 0, sizeof *self);
  memset(self->bytes, 0xFF, sizeof self->bytes);
  self->budget = -1;
  self->seed = 20261123;
  self->flash = (struct ipcnet_node_flash){
    .context = self, .read = read_flash, .write = write_flash, .erase = erase_flash, .trusted = trusted, .page_bytes = page_bytes, .unit_bytes = unit_bytes, .slot_bytes = slot_bytes,
    .slot_at = { 2 * page_bytes, 2 * page_bytes + slot_bytes }, .journal_at = { 0, page_bytes }, .vendor = 0x1234, .product = 0x5678,
  };
}

static void put32(uint8_t *to, uint32_t value) {
  for (int i = 0; i < 4; i++) to[i] = (uint8_t)(value >> (8 * i));
}

uint32_t sim_image(const struct sim_flash *self, uint8_t *bytes, uint32_t version, uint32_t security_counter, uint32_t body_bytes) {
  uint8_t *body = bytes + IPCNET_NODE_IMAGE_HEADER;
  memset(bytes, 0xFF, IPCNET_NODE_IMAGE_HEADER);
  for (uint32_t i = 0; i < body_bytes; i++) body[i] = (uint8_t)(i * 7u + version * 13u + (i >> 8));
  const uint8_t sum = sum_of(body, body_bytes);
  memcpy(bytes, "IPN1", 4);
  put32(bytes + 4, self->flash.vendor);
  put32(bytes + 8, self->flash.product);
  put32(bytes + 12, version);
  put32(bytes + 16, security_counter);
  put32(bytes + 20, body_bytes);
  put32(bytes + 24, ipcnet_node_crc32(0, body, body_bytes));
  for (int i = 0; i < 32; i++) bytes[28 + i] = (uint8_t)(sum + i);
  put32(bytes + 60, ipcnet_node_crc32(0, bytes, 60));
  return IPCNET_NODE_IMAGE_HEADER + body_bytes;
}

void sim_flash_program(struct sim_flash *self, uint8_t slot, const uint8_t *bytes, uint32_t length) {
  memcpy(self->bytes + self->flash.slot_at[slot], bytes, length);
}
