#include "ipcnet_node.h"
#include "ipcnet_node_bytes.h"
#include "ipcnet_crc.h"

/* An SDO server as CiA 301 has it. `doing` is the transfer that is under way. */
enum { IDLE, UPLOAD, DOWNLOAD, BLOCK, BLOCK_END };
#define UNKNOWN_LENGTH 0xFFFFFFFFu /* nobody sends half of that */
enum { ID_REQUEST = 0x600, ID_ANSWER = 0x580 };

/* Command specifiers: bits 7…5 of the first byte. */
enum { CCS_DOWNLOAD_SEGMENT = 0, CCS_DOWNLOAD = 1, CCS_UPLOAD = 2, CCS_UPLOAD_SEGMENT = 3, CCS_ABORT = 4, CCS_BLOCK_DOWNLOAD = 6 };

/* ---- Answers --------------------------------------------------------------------------------------------------------------------------- */

static void try_answer(struct ipcnet_node_sdo *self, struct ipcnet_node_device *device) {
  self->answer_waits = !ipcnet_node_device_answer(device, ID_ANSWER + (uint32_t)device->options->number, self->answer, 8);
}

/* The first byte, and zeros behind it. */
static uint8_t *begin_answer(struct ipcnet_node_sdo *self, uint32_t first) {
  memset(self->answer, 0, sizeof self->answer);
  self->answer[0] = (uint8_t)first;
  return self->answer;
}

static uint8_t *begin_answer_to(struct ipcnet_node_sdo *self, uint32_t first) {
  uint8_t *answer = begin_answer(self, first);
  answer[1] = (uint8_t)self->index;
  answer[2] = (uint8_t)(self->index >> 8);
  answer[3] = self->subindex;
  return answer;
}

static void give_up(struct ipcnet_node_sdo *self, uint32_t code) {
  self->doing = IDLE;
  ipcnet_node_put32(begin_answer_to(self, CCS_ABORT << 5) + 4, code);
}

/* ---- Objects --------------------------------------------------------------------------------------------------------------------------- */

/* Numbers, in the order of `values` below; then the two texts. */
static const struct { uint16_t index; uint8_t subindex, length; } numbers[] = { { 0x1000, 0, 4 }, { 0x1001, 0, 1 }, { 0x1017, 0, 2 }, { 0x1018, 0, 1 }, { 0x1018, 1, 4 }, { 0x1018, 2, 4 }, { 0x1018, 3, 4 }, { 0x1018, 4, 4 } };
enum { NUMBERS = sizeof numbers / sizeof *numbers };

static uint32_t read_own(struct ipcnet_node_sdo *self, const struct ipcnet_node_device *device, const uint8_t **bytes, uint32_t *length) {
  const struct ipcnet_node_identity *identity = self->identity;
  const uint32_t heartbeat_ms = (uint32_t)((uint64_t)device->options->heartbeat_us * 4294968u >> 32); /* / 1000, without a division */
  const uint32_t values[NUMBERS] = { identity->device_type, device->error_register, heartbeat_ms, 4, identity->vendor, identity->product, identity->revision, identity->serial };
  uint32_t code = IPCNET_NODE_SDO_NO_OBJECT;
  for (uint32_t i = 0; i < NUMBERS; i++) {
    if (numbers[i].index != self->index) continue;
    code = IPCNET_NODE_SDO_NO_SUBINDEX;
    if (numbers[i].subindex != self->subindex) continue;
    ipcnet_node_put32(self->scratch, values[i]);
    *bytes = self->scratch;
    *length = numbers[i].length;
    return 0;
  }
  const char *text = self->index == 0x1008 ? identity->name : self->index == 0x100A ? identity->software : NULL;
  if (text == NULL) return code;
  if (self->subindex != 0) return IPCNET_NODE_SDO_NO_SUBINDEX;
  *bytes = (const uint8_t *)text;
  for (*length = 0; text[*length] != 0;) (*length)++;
  return 0;
}

static uint32_t read_object(struct ipcnet_node_sdo *self, const struct ipcnet_node_device *device, const uint8_t **bytes, uint32_t *length) {
  uint32_t code = read_own(self, device, bytes, length);
  for (const struct ipcnet_node_objects *one = self->objects; one != NULL && code == IPCNET_NODE_SDO_NO_OBJECT; one = one->next) {
    if (one->read != NULL) code = one->read(one->context, self->index, self->subindex, bytes, length);
  }
  return code;
}

static uint32_t write_more(struct ipcnet_node_sdo *self, enum ipcnet_node_write phase, const uint8_t *bytes, uint32_t length) {
  if (phase == IPCNET_NODE_WRITE_DATA) {
    if (length == 0) return 0;
    if (length > self->left) return IPCNET_NODE_SDO_LENGTH;
    self->left -= length;
  }
  if (phase == IPCNET_NODE_WRITE_END && self->left != 0 && self->left < UNKNOWN_LENGTH / 2) return IPCNET_NODE_SDO_LENGTH;
  return self->writing->write(self->writing->context, self->index, self->subindex, phase, bytes, length);
}

static uint32_t begin_write(struct ipcnet_node_sdo *self, const struct ipcnet_node_device *device, bool sized, uint32_t length_bytes) {
  const uint8_t *bytes;
  uint32_t length, code = read_own(self, device, &bytes, &length);
  if (code != IPCNET_NODE_SDO_NO_OBJECT) return code == 0 ? IPCNET_NODE_SDO_READ_ONLY : code;
  self->left = sized ? length_bytes : UNKNOWN_LENGTH;
  for (const struct ipcnet_node_objects *one = self->objects; one != NULL && code == IPCNET_NODE_SDO_NO_OBJECT; one = one->next) {
    if (one->write == NULL) continue;
    self->writing = one;
    code = one->write(one->context, self->index, self->subindex, IPCNET_NODE_WRITE_BEGIN, NULL, sized ? length_bytes : 0);
  }
  return code;
}

/* ---- Upload: the client reads ---------------------------------------------------------------------------------------------------------- */

static void begin_upload(struct ipcnet_node_sdo *self, const struct ipcnet_node_device *device) {
  const uint8_t *bytes = NULL;
  uint32_t length = 0;
  const uint32_t code = read_object(self, device, &bytes, &length);
  if (code != 0) {
    give_up(self, code);
  } else if (length >= 1 && length <= 4) {
    memcpy(begin_answer_to(self, 0x43u | (4u - length) << 2) + 4, bytes, length);
  } else {
    self->doing = UPLOAD;
    self->upload = bytes;
    self->left = length;
    self->toggle = false;
    ipcnet_node_put32(begin_answer_to(self, 0x41) + 4, length);
  }
}

static uint32_t upload_segment(struct ipcnet_node_sdo *self, uint8_t first) {
  if (self->doing != UPLOAD) return IPCNET_NODE_SDO_UNKNOWN;
  if ((first >> 4 & 1u) != (uint32_t)self->toggle) return IPCNET_NODE_SDO_TOGGLE;
  const uint32_t length = self->left < 7 ? self->left : 7;
  self->left -= length;
  memcpy(begin_answer(self, (uint32_t)self->toggle << 4 | (7u - length) << 1 | (self->left == 0 ? 1u : 0u)) + 1, self->upload, length);
  self->upload += length;
  self->toggle = !self->toggle;
  if (self->left == 0) self->doing = IDLE;
  return 0;
}

/* ---- Download: the client writes ------------------------------------------------------------------------------------------------------- */

static uint32_t begin_download(struct ipcnet_node_sdo *self, const struct ipcnet_node_device *device, const uint8_t *request) {
  const bool expedited = (request[0] & 2u) != 0, sized = (request[0] & 1u) != 0;
  const uint32_t length = !expedited ? ipcnet_node_get32(request + 4) : sized ? 4u - (request[0] >> 2 & 3u) : 4u;
  uint32_t code = begin_write(self, device, sized, length);
  if (code != 0) return code;
  if (expedited) {
    code = write_more(self, IPCNET_NODE_WRITE_DATA, request + 4, length);
    if (code == 0) code = write_more(self, IPCNET_NODE_WRITE_END, NULL, 0);
    if (code != 0) return code;
  } else {
    self->doing = DOWNLOAD;
    self->toggle = false;
  }
  (void)begin_answer_to(self, 0x60);
  return 0;
}

static uint32_t download_segment(struct ipcnet_node_sdo *self, const uint8_t *request) {
  const bool last = (request[0] & 1u) != 0;
  if (self->doing != DOWNLOAD) return IPCNET_NODE_SDO_UNKNOWN;
  if ((request[0] >> 4 & 1u) != (uint32_t)self->toggle) return IPCNET_NODE_SDO_TOGGLE;
  uint32_t code = write_more(self, IPCNET_NODE_WRITE_DATA, request + 1, 7u - (request[0] >> 1 & 7u));
  if (code == 0) code = write_more(self, last ? IPCNET_NODE_WRITE_END : IPCNET_NODE_WRITE_PAUSE, NULL, 0);
  if (code != 0) return code;
  (void)begin_answer(self, 0x20u | (uint32_t)self->toggle << 4);
  self->toggle = !self->toggle;
  if (last) self->doing = IDLE;
  return 0;
}

/* ---- Block download -------------------------------------------------------------------------------------------------------------------- */

static uint32_t begin_block(struct ipcnet_node_sdo *self, const struct ipcnet_node_device *device, const uint8_t *request) {
  const uint32_t code = begin_write(self, device, (request[0] & 2u) != 0, ipcnet_node_get32(request + 4));
  if (code != 0) return code;
  self->doing = BLOCK;
  self->sequence = 0;
  self->crc = 0;
  self->crc_used = (request[0] & 4u) != 0;
  begin_answer_to(self, 0xA4)[4] = IPCNET_NODE_BLOCK_SEGMENTS;
  return 0;
}

static uint32_t block_bytes(struct ipcnet_node_sdo *self, const uint8_t *bytes, uint32_t length) {
  self->crc = ipcnet_crc16_ibm_3740(self->crc, bytes, length); /* begun with 0: CRC-16/XMODEM */
  return write_more(self, IPCNET_NODE_WRITE_DATA, bytes, length);
}

static uint32_t acknowledge(struct ipcnet_node_sdo *self) {
  const uint32_t code = write_more(self, IPCNET_NODE_WRITE_PAUSE, NULL, 0);
  if (code != 0) return code;
  uint8_t *answer = begin_answer(self, 0xA2);
  answer[1] = self->sequence;
  answer[2] = IPCNET_NODE_BLOCK_SEGMENTS;
  self->sequence = 0;
  return 0;
}

/* Only segments in sequence count; the client repeats the others after the acknowledgement. `answered`: whether there is one. */
static uint32_t block_segment(struct ipcnet_node_sdo *self, const uint8_t *request, bool *answered) {
  const uint8_t number = request[0] & 0x7Fu;
  const bool last = (request[0] & 0x80u) != 0;
  const bool next = number == self->sequence + 1u;
  *answered = last || number == IPCNET_NODE_BLOCK_SEGMENTS;
  if (next) {
    self->sequence = number;
    /* How much of the very last one counts is said only afterwards. */
    const uint32_t code = last ? 0 : block_bytes(self, request + 1, 7);
    if (code != 0) return code;
    if (last) {
      memcpy(self->held, request + 1, 7);
      self->doing = BLOCK_END;
    }
  }
  return *answered ? acknowledge(self) : 0;
}

static uint32_t end_block(struct ipcnet_node_sdo *self, const uint8_t *request) {
  if (self->doing != BLOCK_END || (request[0] & 3u) != 1u) return IPCNET_NODE_SDO_UNKNOWN;
  uint32_t code = block_bytes(self, self->held, 7u - (request[0] >> 2 & 7u));
  if (code == 0 && self->crc_used && self->crc != (uint16_t)(request[1] | request[2] << 8)) code = IPCNET_NODE_SDO_CRC;
  if (code == 0) code = write_more(self, IPCNET_NODE_WRITE_END, NULL, 0);
  if (code != 0) return code;
  self->doing = IDLE;
  (void)begin_answer(self, 0xA1);
  return 0;
}

/* ---- Frames and time ------------------------------------------------------------------------------------------------------------------- */

/* Requests that begin a transfer end the one before. */
static uint32_t request_of(struct ipcnet_node_sdo *self, const struct ipcnet_node_device *device, const uint8_t *request) {
  const uint8_t specifier = request[0] >> 5;
  if (specifier == CCS_DOWNLOAD_SEGMENT) return download_segment(self, request);
  if (specifier == CCS_UPLOAD_SEGMENT) return upload_segment(self, request[0]);
  if (specifier == CCS_BLOCK_DOWNLOAD && (request[0] & 1u) != 0) return end_block(self, request);
  self->doing = IDLE;
  self->index = (uint16_t)(request[1] | request[2] << 8);
  self->subindex = request[3];
  switch (specifier) {
    case CCS_DOWNLOAD: return begin_download(self, device, request);
    case CCS_BLOCK_DOWNLOAD: return begin_block(self, device, request);
    case CCS_UPLOAD: begin_upload(self, device); return 0;
    default: return IPCNET_NODE_SDO_UNKNOWN;
  }
}

static bool hear(struct ipcnet_node_part *part, struct ipcnet_node_device *device, uint32_t id, const uint8_t *data, size_t length_bytes, uint32_t now_us) {
  struct ipcnet_node_sdo *self = (struct ipcnet_node_sdo *)part;
  if (id != ID_REQUEST + (uint32_t)device->options->number) return false;
  if (length_bytes != 8 || (device->state != IPCNET_NODE_OPERATIONAL && device->state != IPCNET_NODE_PRE_OPERATIONAL)) return true;
  bool answered = true;
  self->active_us = now_us;
  if (data[0] == CCS_ABORT << 5) {
    self->doing = IDLE;
    return true;
  }
  const uint32_t code = self->doing == BLOCK ? block_segment(self, data, &answered) : request_of(self, device, data);
  if (code != 0) give_up(self, code);
  if (code != 0 || answered) try_answer(self, device);
  return true;
}

static void poll(struct ipcnet_node_part *part, struct ipcnet_node_device *device, uint32_t now_us) {
  struct ipcnet_node_sdo *self = (struct ipcnet_node_sdo *)part;
  if (self->answer_waits) try_answer(self, device);
  if (self->doing == IDLE) return;
  uint32_t code = 0;
  if (self->doing == BLOCK && self->sequence != 0 && now_us - self->active_us >= IPCNET_NODE_BLOCK_GAP_US) {
    self->active_us = now_us;
    code = acknowledge(self);
  } else if (now_us - self->active_us >= IPCNET_NODE_SDO_TIMEOUT_US) {
    code = IPCNET_NODE_SDO_TIMED_OUT;
  } else return;
  if (code != 0) give_up(self, code);
  try_answer(self, device);
}

void ipcnet_node_sdo_init(struct ipcnet_node_sdo *self, const struct ipcnet_node_identity *identity, const struct ipcnet_node_objects *objects) {
  memset(self, 0, sizeof *self);
  self->part.hear = hear;
  self->part.poll = poll;
  self->identity = identity;
  self->objects = objects;
}
