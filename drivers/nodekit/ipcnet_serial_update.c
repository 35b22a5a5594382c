#include "ipcnet_serial_update.h"
#include "ipcnet_node_images.h"

enum { REPORT, HELD, BEGIN, DATA, FINISH, START, CONFIRM_IT, REVERT_IT, ORDERS };
enum { CHUNK_BYTES = 64, ANSWERED = 0x100 };
/* The longest each may be; all but data have this length exactly. */
static const uint8_t order_bytes[ORDERS] = { 1, 5, 13, IPCNET_SERIAL_UPDATE_MESSAGE_BYTES, 1, 1, 1, 1 };

static const struct ipcnet_serial_update *whole_of(const struct ipcnet_node_update *update) {
  return (const struct ipcnet_serial_update *)(const void *)update;
}

/* ---- What may move --------------------------------------------------------------------------------------------------------------------- */

static bool at_rest(const struct ipcnet_node_update *update) {
  return whole_of(update)->options->link->outputs == IPCNET_SERIAL_SAFE && !whole_of(update)->restart_due;
}

static bool moves(const struct ipcnet_node_update *update) {
  return whole_of(update)->options->link->outputs == IPCNET_SERIAL_FOLLOW;
}

static void restart_soon(struct ipcnet_node_update *update) {
  struct ipcnet_serial_update *self = (struct ipcnet_serial_update *)(void *)update;
  if (self->restart_due) return;
  self->restart_due = true;
  self->restart_us = self->now_us;
}

/* While an image comes nothing begins to move, and nothing does before the restart. */
static void rest_if_needed(struct ipcnet_serial_update *self) {
  ipcnet_serial_rest(self->options->link, self->update.doing == RECEIVING || self->restart_due);
}

/* ---- What is there already ------------------------------------------------------------------------------------------------------------- */

static bool held(const struct ipcnet_node_update *self, uint32_t bytes, uint32_t *crc) {
  const struct ipcnet_node_flash *flash = self->flash;
  uint8_t chunk[CHUNK_BYTES];
  *crc = 0;
  if (bytes > flash->slot_bytes) return false;
  for (uint32_t done = 0; done < bytes;) {
    const uint32_t length = bytes - done < CHUNK_BYTES ? bytes - done : CHUNK_BYTES;
    if (!flash->read(flash->context, other_slot_at(self) + done, chunk, length)) return false;
    *crc = ipcnet_node_crc32(*crc, chunk, length);
    done += length;
  }
  return true;
}

static uint32_t resume(struct ipcnet_node_update *self, uint32_t announced_bytes, uint32_t held_bytes, uint32_t held_crc) {
  const uint32_t code = begin(self, announced_bytes);
  uint32_t crc;
  if (code != 0 || held_bytes == 0) return code;
  if (held_bytes < IPCNET_NODE_IMAGE_HEADER || (held_bytes & (self->flash->page_bytes - 1)) != 0 || !held(self, held_bytes, &crc) || crc != held_crc) return refuse(self, IPCNET_NODE_WRONG_CRC);
  /* The header judges once more: the journal may have another floor by now, and the slot may have been one to fall back to. */
  if (!self->flash->read(self->flash->context, other_slot_at(self), self->buffer, IPCNET_NODE_IMAGE_HEADER)) return refuse(self, IPCNET_NODE_FLASH_FAILED);
  self->fill = IPCNET_NODE_IMAGE_HEADER;
  const enum ipcnet_node_refusal refusal = open_slot(self);
  if (refusal != IPCNET_NODE_FINE) return refuse(self, refusal);
  if (held_bytes > IPCNET_NODE_IMAGE_HEADER + self->incoming.length) return refuse(self, IPCNET_NODE_TOO_LONG);
  self->fill = 0;
  self->written = held_bytes;
  return 0;
}

/* ---- The service ----------------------------------------------------------------------------------------------------------------------- */

static uint16_t status_of(uint32_t code) {
  if (code == 0) return 0;
  return code == IPCNET_NODE_SDO_STATE ? IPCNET_STATUS_PRECONDITION_FAILED : code == IPCNET_NODE_SDO_STORE ? IPCNET_STATUS_INTERNAL_ERROR : IPCNET_STATUS_UNPROCESSABLE;
}

/* A part of a piece; the first one says where it belongs. What was taken stays taken, whatever becomes of the rest: whoever sends asks where it stands. */
static uint32_t hear_data(struct ipcnet_serial_update *self, bool is_first, const uint8_t *body, size_t body_bytes, bool more) {
  struct ipcnet_node_update *update = &self->update;
  if (is_first && ipcnet_node_get32(body + 1) != update->written + update->fill) return IPCNET_NODE_SDO_STATE;
  const uint8_t *bytes = is_first ? body + 5 : body;
  uint32_t left = (uint32_t)(body_bytes - (size_t)(bytes - body));
  while (left > 0) {
    const uint32_t length = left < CHUNK_BYTES ? left : CHUNK_BYTES;
    const uint32_t code = receive(update, IPCNET_NODE_WRITE_DATA, bytes, length);
    if (code != 0) return code;
    bytes += length;
    left -= length;
  }
  return more ? 0 : receive(update, IPCNET_NODE_WRITE_PAUSE, NULL, 0);
}

static uint32_t obey(struct ipcnet_serial_update *self, const uint8_t *body) {
  struct ipcnet_node_update *update = &self->update;
  uint32_t crc = 0;
  switch (body[0]) {
    case HELD:
      /* Reading so much holds up the processor, as an erasure does. */
      if (!at_rest(update)) return IPCNET_NODE_SDO_STATE;
      if (!held(update, ipcnet_node_get32(body + 1), &crc)) return IPCNET_NODE_SDO_VALUE;
      ipcnet_node_put32(self->answer, crc);
      return 0;
    case BEGIN: return resume(update, ipcnet_node_get32(body + 9), ipcnet_node_get32(body + 1), ipcnet_node_get32(body + 5));
    case FINISH: return receive(update, IPCNET_NODE_WRITE_END, NULL, 0);
    case START: return start_staged(update);
    case CONFIRM_IT: return probation(update, CONFIRM);
    default: return probation(update, REVERT);
  }
}

static void write_answer(struct ipcnet_serial_update *self, uint8_t order) {
  const struct ipcnet_node_flash *flash = self->options->flash;
  const uint32_t at = self->update.doing == RECEIVING ? self->update.written + self->update.fill : 0;
  self->answer_bytes = 4;
  if (order != REPORT) {
    if (order != HELD) ipcnet_node_put32(self->answer, at);
    return;
  }
  const uint32_t words[] = { flash->vendor, flash->product, flash->slot_bytes, flash->page_bytes, at };
  for (uint32_t i = 0; i < 5; i++) ipcnet_node_put32(self->answer + 4 * i, words[i]);
  (void)write_report(&self->update);
  memcpy(self->answer + 20, self->update.report, sizeof self->update.report);
  self->answer_bytes = sizeof self->answer;
}

/* The answer's memory is its until it is over. word[0]: 1 + the order, 0 before its first part; word[1]: bytes of it that have come, of the answer that were told. */
uint16_t ipcnet_serial_update_hear(void *context, struct ipcnet_circuit *call, const uint8_t *body, size_t body_bytes, bool more) {
  struct ipcnet_serial_update *self = context;
  const bool is_first = call->word[0] == 0;
  if (is_first && self->talk != NULL) return IPCNET_STATUS_TOO_MANY_REQUESTS;
  if ((call->word[0] & ANSWERED) != 0) return IPCNET_STATUS_BAD_REQUEST;
  if (is_first && (body_bytes == 0 || body[0] >= ORDERS || (body[0] == DATA && body_bytes < 5))) return IPCNET_STATUS_BAD_REQUEST;
  if (is_first) call->word[0] = 1u + body[0];
  const uint8_t order = (uint8_t)(call->word[0] - 1u);
  self->talk = call;
  call->word[1] += (uint32_t)body_bytes;
  self->heard_us = self->now_us;
  uint16_t status = call->word[1] > order_bytes[order] || (order != DATA && (more || call->word[1] != order_bytes[order])) ? IPCNET_STATUS_BAD_REQUEST : 0;
  if (status == 0 && order != REPORT) status = status_of(order == DATA ? hear_data(self, is_first, body, body_bytes, more) : obey(self, body));
  if (status == 0 && !more) {
    write_answer(self, order);
    call->word[0] |= ANSWERED;
    call->word[1] = 0;
  }
  rest_if_needed(self);
  return status;
}

enum ipcnet_circuit_said ipcnet_serial_update_tell(void *context, struct ipcnet_circuit *call, uint8_t *out, size_t *out_bytes) {
  struct ipcnet_serial_update *self = context;
  const uint32_t left = self->answer_bytes - call->word[1];
  if (*out_bytes > left) *out_bytes = left;
  memcpy(out, self->answer + call->word[1], *out_bytes);
  call->word[1] += (uint32_t)*out_bytes;
  return call->word[1] < self->answer_bytes ? IPCNET_CIRCUIT_PART : IPCNET_CIRCUIT_LAST;
}

void ipcnet_serial_update_over(void *context, struct ipcnet_circuit *call, uint16_t status) {
  struct ipcnet_serial_update *self = context;
  (void)status;
  if (self->talk == call) self->talk = NULL;
}

/* ---- Time ------------------------------------------------------------------------------------------------------------------------------ */

bool ipcnet_serial_update_on_probation(const struct ipcnet_serial_update *self) {
  return on_probation(&self->update);
}

bool ipcnet_serial_update_confirm(struct ipcnet_serial_update *self) {
  return decide(&self->update, IPCNET_NODE_CONFIRMED);
}

void ipcnet_serial_update_init(struct ipcnet_serial_update *self, const struct ipcnet_serial_update_options *options, uint8_t running_slot, uint32_t now_us) {
  memset(self, 0, sizeof *self);
  self->options = options;
  self->now_us = now_us;
  open_update(&self->update, options->flash, running_slot, options->tries, options->probation_us, now_us);
}

void ipcnet_serial_update_poll(struct ipcnet_serial_update *self, uint32_t now_us) {
  self->now_us = now_us;
  if (self->update.doing == RECEIVING && now_us - self->heard_us >= IPCNET_SERIAL_UPDATE_SILENCE_US) self->update.doing = IDLE;
  if (is_over(&self->update, now_us) && !moves(&self->update)) restart_soon(&self->update);
  if (self->restart_due && now_us - self->restart_us >= IPCNET_SERIAL_UPDATE_RESTART_US) self->restarts = true;
  rest_if_needed(self);
}
