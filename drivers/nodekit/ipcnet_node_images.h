/*
 * What an update is, whatever it comes over: the other slot, the journal's decisions, probation. Included by ipcnet_node_update.c (CAN) and ipcnet_serial_update.c (a serial line), each of which is compiled with it as a whole: as a source of
 * its own it would cost 320 bytes on a Cortex-M0+, more than there are left of the CAN part's 8 KiB. Whoever includes it gives it three functions.
 */
#ifndef IPCNET_NODE_IMAGES_H
#define IPCNET_NODE_IMAGES_H

#include "ipcnet_node.h"
#include "ipcnet_node_bytes.h"

/* Nothing moves, and nothing can begin to. */
static bool at_rest(const struct ipcnet_node_update *self);
static bool moves(const struct ipcnet_node_update *self);
/* When the answer has left. */
static void restart_soon(struct ipcnet_node_update *self);

enum { IDLE, RECEIVING, STAGED };
#define CONFIRM 0x464E4F43u /* "CONF" */
#define REVERT 0x54564552u  /* "REVT" */

static uint32_t refuse(struct ipcnet_node_update *self, enum ipcnet_node_refusal why) {
  self->refused = (uint8_t)why;
  self->doing = IDLE;
  if (why == IPCNET_NODE_WRONG_STATE || why == IPCNET_NODE_TRIAL_PENDING) return IPCNET_NODE_SDO_STATE;
  return why == IPCNET_NODE_FLASH_FAILED ? IPCNET_NODE_SDO_STORE : IPCNET_NODE_SDO_VALUE;
}

static uint32_t other_slot_at(const struct ipcnet_node_update *self) {
  return self->flash->slot_at[self->slot ^ 1u];
}

/* ---- Journal --------------------------------------------------------------------------------------------------------------------------- */

static bool keep(struct ipcnet_node_update *self, struct ipcnet_node_record next) {
  if (!ipcnet_node_journal_write(self->flash, &next)) return false;
  self->record = next;
  return true;
}

/* Before the other slot is touched: it is no longer what one could fall back to, and the running one is what one falls back to. */
static bool give_up_other_slot(struct ipcnet_node_update *self) {
  struct ipcnet_node_record next = self->record;
  next.confirmed = self->slot;
  next.good = (uint8_t)(1u << self->slot);
  return (next.confirmed == self->record.confirmed && next.good == self->record.good) || keep(self, next); /* a journal lasts longer if it is not written for nothing */
}

static bool on_probation(const struct ipcnet_node_update *self) {
  return self->record.trial == self->slot;
}

/* The end of a probation. */
static bool decide(struct ipcnet_node_update *self, enum ipcnet_node_outcome outcome) {
  struct ipcnet_node_record next = self->record;
  if (!on_probation(self)) return false;
  next.trial = IPCNET_NODE_NO_SLOT;
  next.tries = 0;
  next.outcome = (uint8_t)outcome;
  if (outcome == IPCNET_NODE_CONFIRMED) {
    next.confirmed = self->slot;
    next.good |= (uint8_t)(1u << self->slot); /* the one before stays what one falls back to, unless it is below the floor now */
    if (self->running.security_counter > next.floor) next.floor = self->running.security_counter;
  }
  return keep(self, next);
}

/* ---- Receiving ------------------------------------------------------------------------------------------------------------------------- */

static uint32_t begin(struct ipcnet_node_update *self, uint32_t announced_bytes) {
  if (!at_rest(self)) return refuse(self, IPCNET_NODE_WRONG_STATE);
  if (self->record.trial != IPCNET_NODE_NO_SLOT) return refuse(self, IPCNET_NODE_TRIAL_PENDING);
  if (announced_bytes > self->flash->slot_bytes) return refuse(self, IPCNET_NODE_TOO_LONG);
  self->doing = RECEIVING;
  self->refused = IPCNET_NODE_FINE;
  self->fill = self->written = 0;
  return 0;
}

/* The header decides before anything is erased. */
static enum ipcnet_node_refusal open_slot(struct ipcnet_node_update *self) {
  if (self->fill < IPCNET_NODE_IMAGE_HEADER) return IPCNET_NODE_TOO_SHORT;
  const enum ipcnet_node_refusal refusal = ipcnet_node_header_check(self->flash, self->buffer, &self->incoming);
  if (refusal != IPCNET_NODE_FINE) return refusal;
  if (self->incoming.security_counter < self->record.floor) return IPCNET_NODE_TOO_OLD;
  return give_up_other_slot(self) ? IPCNET_NODE_FINE : IPCNET_NODE_FLASH_FAILED;
}

/* Writes `bytes` of the buffer, a multiple of the unit; a page is erased when its first byte is due. */
static bool write_out(struct ipcnet_node_update *self, uint32_t bytes) {
  const struct ipcnet_node_flash *flash = self->flash;
  for (uint32_t done = 0; done < bytes;) {
    const uint32_t at = other_slot_at(self) + self->written, in_page = self->written & (flash->page_bytes - 1);
    const uint32_t length = bytes - done < flash->page_bytes - in_page ? bytes - done : flash->page_bytes - in_page;
    if (in_page == 0 && !flash->erase(flash->context, at)) return false;
    if (!flash->write(flash->context, at, self->buffer + done, length)) return false;
    self->written += length;
    done += length;
  }
  self->fill -= bytes;
  memmove(self->buffer, self->buffer + bytes, self->fill);
  return true;
}

static uint32_t flush(struct ipcnet_node_update *self, bool all) {
  enum ipcnet_node_refusal refusal = self->written == 0 ? open_slot(self) : IPCNET_NODE_FINE;
  if (refusal != IPCNET_NODE_FINE) return refuse(self, refusal);
  if (self->written + self->fill > IPCNET_NODE_IMAGE_HEADER + self->incoming.length) return refuse(self, IPCNET_NODE_TOO_LONG);
  const uint32_t rest = self->fill & (self->flash->unit_bytes - 1);
  if (all && rest != 0) {
    memset(self->buffer + self->fill, 0xFF, self->flash->unit_bytes - rest); /* the buffer's size is a multiple of every unit */
    self->fill += self->flash->unit_bytes - rest;
  }
  return write_out(self, all ? self->fill : self->fill - rest) ? 0 : refuse(self, IPCNET_NODE_FLASH_FAILED);
}

static uint32_t take(struct ipcnet_node_update *self, const uint8_t *bytes, uint32_t length) {
  if (self->fill + length > sizeof self->buffer) {
    const uint32_t code = flush(self, false);
    if (code != 0) return code;
  }
  memcpy(self->buffer + self->fill, bytes, length);
  self->fill += length;
  return 0;
}

static uint32_t finish(struct ipcnet_node_update *self) {
  const uint32_t total = self->written + self->fill;
  if (total < IPCNET_NODE_IMAGE_HEADER) return refuse(self, IPCNET_NODE_TOO_SHORT);
  const uint32_t code = flush(self, true);
  if (code != 0) return code;
  if (total < IPCNET_NODE_IMAGE_HEADER + self->incoming.length) return refuse(self, IPCNET_NODE_TOO_SHORT);
  /* From the flash, not from memory: what stands there is what will run. */
  const enum ipcnet_node_refusal refusal = ipcnet_node_image_check(self->flash, self->slot ^ 1u, &self->incoming);
  if (refusal != IPCNET_NODE_FINE) return refuse(self, refusal);
  self->doing = STAGED;
  return 0;
}

static uint32_t receive(struct ipcnet_node_update *self, enum ipcnet_node_write phase, const uint8_t *bytes, uint32_t length) {
  if (phase == IPCNET_NODE_WRITE_BEGIN) return begin(self, length);
  if (self->doing != RECEIVING || !at_rest(self)) return refuse(self, IPCNET_NODE_WRONG_STATE);
  if (phase == IPCNET_NODE_WRITE_DATA) return take(self, bytes, length);
  if (phase == IPCNET_NODE_WRITE_END) return finish(self);
  return self->fill < IPCNET_NODE_IMAGE_HEADER ? 0 : flush(self, false);
}

/* ---- Control --------------------------------------------------------------------------------------------------------------------------- */

static uint32_t start_staged(struct ipcnet_node_update *self) {
  struct ipcnet_node_record next = self->record;
  if (self->doing != STAGED || !at_rest(self)) return refuse(self, IPCNET_NODE_WRONG_STATE);
  next.trial = self->slot ^ 1u;
  next.tries = self->tries;
  next.outcome = IPCNET_NODE_TRYING;
  if (!keep(self, next)) return refuse(self, IPCNET_NODE_FLASH_FAILED);
  self->doing = IDLE;
  restart_soon(self);
  return 0;
}

static uint32_t probation(struct ipcnet_node_update *self, uint32_t word) {
  if (word != CONFIRM && word != REVERT) return IPCNET_NODE_SDO_VALUE;
  if (!on_probation(self)) return IPCNET_NODE_SDO_STATE;
  if (word == CONFIRM) return decide(self, IPCNET_NODE_CONFIRMED) ? 0 : IPCNET_NODE_SDO_STORE;
  /* A reset is a stop: whoever wants that while it moves stops it first. */
  if (moves(self)) return IPCNET_NODE_SDO_STATE;
  if (!decide(self, IPCNET_NODE_REVERTED)) return IPCNET_NODE_SDO_STORE;
  restart_soon(self);
  return 0;
}

/* ---- Report ---------------------------------------------------------------------------------------------------------------------------- */

static uint32_t write_report(struct ipcnet_node_update *self) {
  uint8_t *report = self->report;
  report[0] = 1; /* of this layout */
  report[1] = self->slot;
  report[2] = (uint8_t)((on_probation(self) ? 1u : 0u) | (self->doing == STAGED ? 2u : 0u) | ((self->record.good >> (self->slot ^ 1u) & 1u) != 0 ? 4u : 0u));
  report[3] = self->record.tries;
  report[4] = self->record.outcome;
  report[5] = self->refused;
  ipcnet_node_put32(report + 8, self->running.version);
  ipcnet_node_put32(report + 12, self->running.security_counter);
  memcpy(report + 16, self->running.hash, sizeof self->running.hash);
  return sizeof self->report;
}

/* ---- Time ------------------------------------------------------------------------------------------------------------------------------ */

static bool is_over(const struct ipcnet_node_update *self, uint32_t now_us) {
  return on_probation(self) && self->probation_us != 0 && now_us - self->started_us >= self->probation_us;
}

static void open_update(struct ipcnet_node_update *self, const struct ipcnet_node_flash *flash, uint8_t running_slot, uint8_t tries, uint32_t probation_us, uint32_t now_us) {
  uint8_t header[IPCNET_NODE_IMAGE_HEADER];
  memset(self, 0, sizeof *self);
  self->flash = flash;
  self->slot = running_slot;
  self->tries = tries;
  self->probation_us = probation_us;
  self->started_us = now_us;
  (void)ipcnet_node_journal_read(flash, &self->record);
  if (flash->read(flash->context, flash->slot_at[running_slot], header, sizeof header)) (void)ipcnet_node_header_check(flash, header, &self->running);
}

#endif
