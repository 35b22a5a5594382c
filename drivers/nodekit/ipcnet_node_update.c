#include "ipcnet_node.h"
#include "ipcnet_node_bytes.h"

enum { IDLE, RECEIVING, STAGED };
/* CiA 302-3's places for programs, and two of the manufacturer's. */
enum { PROGRAM_DATA = 0x1F50, PROGRAM_CONTROL = 0x1F51, REPORT = 0x2F00, PROBATION = 0x2F01 };
enum { CONTROL_START = 1 };
#define CONFIRM 0x464E4F43u /* "CONF" */
#define REVERT 0x54564552u  /* "REVT" */

static uint32_t refuse(struct ipcnet_node_update *self, enum ipcnet_node_refusal why) {
  self->refused = (uint8_t)why;
  self->doing = IDLE;
  if (why == IPCNET_NODE_WRONG_STATE || why == IPCNET_NODE_TRIAL_PENDING) return IPCNET_NODE_SDO_STATE;
  return why == IPCNET_NODE_FLASH_FAILED ? IPCNET_NODE_SDO_STORE : IPCNET_NODE_SDO_VALUE;
}

/* The device is known: parts are polled before it answers anything for the first time. Nothing moves, and nothing can begin to: commands are refused in this state, whatever comes. */
static bool at_rest(const struct ipcnet_node_update *self) {
  return self->device->state == IPCNET_NODE_PRE_OPERATIONAL && self->device->node.outputs == IPCNET_NODE_SAFE;
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

bool ipcnet_node_update_on_probation(const struct ipcnet_node_update *self) {
  return self->record.trial == self->slot;
}

/* The end of a probation. */
static bool decide(struct ipcnet_node_update *self, enum ipcnet_node_outcome outcome) {
  struct ipcnet_node_record next = self->record;
  if (!ipcnet_node_update_on_probation(self)) return false;
  next.trial = IPCNET_NODE_NO_SLOT;
  next.tries = 0;
  next.outcome = (uint8_t)outcome;
  if (outcome == IPCNET_NODE_CONFIRMED) {
    next.confirmed = self->slot;
    next.good = 3; /* the one before has not been touched */
    if (self->running.security_counter > next.floor) {
      next.floor = self->running.security_counter;
      next.good = (uint8_t)(1u << self->slot); /* but it may be too old now to be fallen back to */
    }
  }
  return keep(self, next);
}

bool ipcnet_node_update_confirm(struct ipcnet_node_update *self) {
  return decide(self, IPCNET_NODE_CONFIRMED);
}

bool ipcnet_node_update_revert(struct ipcnet_node_update *self) {
  return decide(self, IPCNET_NODE_REVERTED);
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

static uint32_t program_data(struct ipcnet_node_update *self, enum ipcnet_node_write phase, const uint8_t *bytes, uint32_t length) {
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
  ipcnet_node_device_reset_soon(self->device);
  return 0;
}

static uint32_t probation(struct ipcnet_node_update *self, uint32_t word) {
  if (word != CONFIRM && word != REVERT) return IPCNET_NODE_SDO_VALUE;
  if (!ipcnet_node_update_on_probation(self)) return IPCNET_NODE_SDO_STATE;
  if (word == CONFIRM) return ipcnet_node_update_confirm(self) ? 0 : IPCNET_NODE_SDO_STORE;
  /* A reset is a stop: whoever wants that while it moves stops it first. */
  if (self->device->node.outputs == IPCNET_NODE_FOLLOW) return IPCNET_NODE_SDO_STATE;
  if (!ipcnet_node_update_revert(self)) return IPCNET_NODE_SDO_STORE;
  ipcnet_node_device_reset_soon(self->device);
  return 0;
}

/* The small ones come in one piece. */
static uint32_t order(struct ipcnet_node_update *self, uint16_t index, enum ipcnet_node_write phase, const uint8_t *bytes, uint32_t length) {
  if (phase == IPCNET_NODE_WRITE_BEGIN) {
    if (self->doing == RECEIVING) self->doing = IDLE; /* that transfer is over */
    self->order = 0;
  } else if (phase == IPCNET_NODE_WRITE_DATA) {
    if (length != (index == PROGRAM_CONTROL ? 1u : 4u)) return IPCNET_NODE_SDO_LENGTH;
    self->order = length == 1 ? bytes[0] : ipcnet_node_get32(bytes);
  } else if (phase == IPCNET_NODE_WRITE_END) {
    if (index == PROBATION) return probation(self, self->order);
    return self->order == CONTROL_START ? start_staged(self) : IPCNET_NODE_SDO_VALUE;
  }
  return 0;
}

static bool ours(uint16_t index) {
  return (index & ~1u) == PROGRAM_DATA || (index & ~1u) == REPORT; /* each pair lies together */
}

static uint32_t write_object(void *context, uint16_t index, uint8_t subindex, enum ipcnet_node_write phase, const uint8_t *bytes, uint32_t length) {
  struct ipcnet_node_update *self = context;
  if (!ours(index)) return IPCNET_NODE_SDO_NO_OBJECT;
  if (subindex > 1) return IPCNET_NODE_SDO_NO_SUBINDEX;
  if (subindex == 0 || index == REPORT) return IPCNET_NODE_SDO_READ_ONLY;
  return index == PROGRAM_DATA ? program_data(self, phase, bytes, length) : order(self, index, phase, bytes, length);
}

/* ---- Report ---------------------------------------------------------------------------------------------------------------------------- */

static uint32_t write_report(struct ipcnet_node_update *self) {
  uint8_t *report = self->report;
  report[0] = 1; /* of this layout */
  report[1] = self->slot;
  report[2] = (uint8_t)((ipcnet_node_update_on_probation(self) ? 1u : 0u) | (self->doing == STAGED ? 2u : 0u) | ((self->record.good >> (self->slot ^ 1u) & 1u) != 0 ? 4u : 0u));
  report[3] = self->record.tries;
  report[4] = self->record.outcome;
  report[5] = self->refused;
  ipcnet_node_put32(report + 8, self->running.version);
  ipcnet_node_put32(report + 12, self->running.security_counter);
  memcpy(report + 16, self->running.hash, sizeof self->running.hash);
  return sizeof self->report;
}

static uint32_t read_object(void *context, uint16_t index, uint8_t subindex, const uint8_t **bytes, uint32_t *length) {
  static const uint8_t one = 1;
  struct ipcnet_node_update *self = context;
  if (!ours(index)) return IPCNET_NODE_SDO_NO_OBJECT;
  if (subindex > 1) return IPCNET_NODE_SDO_NO_SUBINDEX;
  if (subindex == 1 && index != REPORT) return IPCNET_NODE_SDO_WRITE_ONLY;
  *bytes = &one; /* sub-index 0: how many there are */
  *length = 1;
  if (subindex == 0) return 0;
  *bytes = self->report;
  *length = write_report(self);
  return 0;
}

/* ---- Time ------------------------------------------------------------------------------------------------------------------------------ */

static bool hear(struct ipcnet_node_part *part, struct ipcnet_node_device *device, uint32_t id, const uint8_t *data, size_t length_bytes, uint32_t now_us) {
  (void)part; (void)device; (void)id; (void)data; (void)length_bytes; (void)now_us;
  return false;
}

static void poll(struct ipcnet_node_part *part, struct ipcnet_node_device *device, uint32_t now_us) {
  struct ipcnet_node_update *self = (struct ipcnet_node_update *)part;
  self->device = device;
  if (!ipcnet_node_update_on_probation(self) || self->probation_us == 0 || now_us - self->started_us < self->probation_us) return;
  if (device->node.outputs != IPCNET_NODE_FOLLOW) ipcnet_node_device_reset_soon(device);
}

void ipcnet_node_update_init(struct ipcnet_node_update *self, const struct ipcnet_node_flash *flash, uint8_t running_slot, uint8_t tries, uint32_t probation_us, uint32_t now_us) {
  uint8_t header[IPCNET_NODE_IMAGE_HEADER];
  memset(self, 0, sizeof *self);
  self->part.hear = hear;
  self->part.poll = poll;
  self->objects = (struct ipcnet_node_objects){ .context = self, .read = read_object, .write = write_object };
  self->flash = flash;
  self->slot = running_slot;
  self->tries = tries;
  self->probation_us = probation_us;
  self->started_us = now_us;
  (void)ipcnet_node_journal_read(flash, &self->record);
  if (flash->read(flash->context, flash->slot_at[running_slot], header, sizeof header)) (void)ipcnet_node_header_check(flash, header, &self->running);
}
