#include "ipcnet_node.h"
#include "ipcnet_node_bytes.h"

enum { RECORD_BYTES = 16, CHUNK_BYTES = 64 };
/* The header of an image: docs/specs/node-update.md. */
enum { MAGIC_AT = 0, VENDOR_AT = 4, PRODUCT_AT = 8, VERSION_AT = 12, COUNTER_AT = 16, LENGTH_AT = 20, CRC_AT = 24, HASH_AT = 28, HEADER_CRC_AT = 60 };
#define MAGIC 0x314E5049u /* "IPN1" */

/* Four bits at a time: a sixteenth of the usual table, and 64 KiB still take some 20 ms at 48 MHz. */
uint32_t ipcnet_node_crc32(uint32_t previous, const uint8_t *bytes, size_t length_bytes) {
  static const uint32_t table[16] = { 0x00000000u, 0x1DB71064u, 0x3B6E20C8u, 0x26D930ACu, 0x76DC4190u, 0x6B6B51F4u, 0x4DB26158u, 0x5005713Cu,
                                      0xEDB88320u, 0xF00F9344u, 0xD6D6A3E8u, 0xCB61B38Cu, 0x9B64C2B0u, 0x86D3D2D4u, 0xA00AE278u, 0xBDBDF21Cu };
  uint32_t crc = ~previous;
  for (size_t i = 0; i < length_bytes; i++) {
    crc ^= bytes[i];
    crc = crc >> 4 ^ table[crc & 15u];
    crc = crc >> 4 ^ table[crc & 15u];
  }
  return ~crc;
}

/* ---- Journal ---------------------------------------------------------------------------------------------------------------------------
 *
 * Two pages of records, each the whole state with a CRC. The newest whole one counts. Records are only appended, each in bytes that are erased and were never written since; when a page is full the other one is erased and the next record
 * is its first, so that the newest record is never on the page that is erased. A record that was cut in the middle has a wrong CRC; it uses up its place. So the state is the one before or the one after, at whatever byte power was cut.
 */

struct place {
  uint8_t page;
  uint32_t next; /* first place of that page behind all that was ever written */
};

static uint32_t stride_of(const struct ipcnet_node_flash *flash) {
  return flash->unit_bytes > RECORD_BYTES ? flash->unit_bytes : RECORD_BYTES;
}

static bool blank(const uint8_t *bytes, uint32_t length) {
  for (uint32_t i = 0; i < length; i++) if (bytes[i] != 0xFFu) return false;
  return true;
}

static bool decode(const uint8_t *bytes, struct ipcnet_node_record *record) {
  if (ipcnet_node_get32(bytes + 12) != ipcnet_node_crc32(0, bytes, 12)) return false;
  record->sequence = ipcnet_node_get32(bytes);
  record->confirmed = bytes[4];
  record->trial = bytes[5];
  record->tries = bytes[6];
  record->good = bytes[7] & 15u;
  record->outcome = bytes[7] >> 4;
  record->floor = ipcnet_node_get32(bytes + 8);
  /* Nobody writes others; a slot is an index. */
  return (record->confirmed < 2 || record->confirmed == IPCNET_NODE_NO_SLOT) && (record->trial < 2 || record->trial == IPCNET_NODE_NO_SLOT);
}

static bool scan(const struct ipcnet_node_flash *flash, struct ipcnet_node_record *newest, struct place *place) {
  const uint32_t stride = stride_of(flash);
  bool found = false;
  for (uint8_t page = 0; page < 2; page++) {
    uint32_t next = 0;
    bool newest_here = false;
    for (uint32_t at = 0; at + stride <= flash->page_bytes; at += stride) {
      uint8_t bytes[IPCNET_NODE_FLASH_UNIT_MAX];
      struct ipcnet_node_record record;
      const bool readable = flash->read(flash->context, flash->journal_at[page] + at, bytes, stride);
      if (readable && blank(bytes, stride)) continue;
      next = at + stride;
      if (!readable || !decode(bytes, &record) || (found && (int32_t)(record.sequence - newest->sequence) <= 0)) continue;
      found = newest_here = true;
      *newest = record;
    }
    if (newest_here) *place = (struct place){ page, next };
  }
  return found;
}

bool ipcnet_node_journal_read(const struct ipcnet_node_flash *flash, struct ipcnet_node_record *record) {
  struct place place;
  *record = (struct ipcnet_node_record){ .confirmed = IPCNET_NODE_NO_SLOT, .trial = IPCNET_NODE_NO_SLOT };
  return scan(flash, record, &place);
}

static bool write_at(const struct ipcnet_node_flash *flash, uint32_t at, const uint8_t *bytes, uint32_t length) {
  uint8_t back[IPCNET_NODE_FLASH_UNIT_MAX];
  return flash->write(flash->context, at, bytes, length) && flash->read(flash->context, at, back, length) && memcmp(back, bytes, length) == 0;
}

bool ipcnet_node_journal_write(const struct ipcnet_node_flash *flash, struct ipcnet_node_record *record) {
  const uint32_t stride = stride_of(flash);
  struct ipcnet_node_record newest;
  struct place place = { 1, flash->page_bytes }; /* nothing there yet: as if page 1 were full */
  record->sequence = scan(flash, &newest, &place) ? newest.sequence + 1 : 1;
  uint8_t bytes[IPCNET_NODE_FLASH_UNIT_MAX];
  memset(bytes, 0xFF, sizeof bytes);
  ipcnet_node_put32(bytes, record->sequence);
  bytes[4] = record->confirmed;
  bytes[5] = record->trial;
  bytes[6] = record->tries;
  bytes[7] = (uint8_t)(record->good | record->outcome << 4);
  ipcnet_node_put32(bytes + 8, record->floor);
  ipcnet_node_put32(bytes + 12, ipcnet_node_crc32(0, bytes, 12));
  for (uint32_t at = place.next; at + stride <= flash->page_bytes; at += stride) if (write_at(flash, flash->journal_at[place.page] + at, bytes, stride)) return true;
  const uint32_t other = flash->journal_at[place.page ^ 1u];
  return flash->erase(flash->context, other) && write_at(flash, other, bytes, stride);
}

/* ---- Images ---------------------------------------------------------------------------------------------------------------------------- */

enum ipcnet_node_refusal ipcnet_node_header_check(const struct ipcnet_node_flash *flash, const uint8_t *header, struct ipcnet_node_image *image) {
  if (ipcnet_node_get32(header + MAGIC_AT) != MAGIC || ipcnet_node_get32(header + HEADER_CRC_AT) != ipcnet_node_crc32(0, header, HEADER_CRC_AT)) return IPCNET_NODE_NO_HEADER;
  if (ipcnet_node_get32(header + VENDOR_AT) != flash->vendor || ipcnet_node_get32(header + PRODUCT_AT) != flash->product) return IPCNET_NODE_OTHER_PRODUCT;
  const uint32_t length = ipcnet_node_get32(header + LENGTH_AT);
  if (length > flash->slot_bytes - IPCNET_NODE_IMAGE_HEADER) return IPCNET_NODE_TOO_LONG;
  if (length == 0) return IPCNET_NODE_TOO_SHORT;
  image->version = ipcnet_node_get32(header + VERSION_AT);
  image->security_counter = ipcnet_node_get32(header + COUNTER_AT);
  image->length = length;
  image->crc = ipcnet_node_get32(header + CRC_AT);
  memcpy(image->hash, header + HASH_AT, sizeof image->hash);
  return IPCNET_NODE_FINE;
}

enum ipcnet_node_refusal ipcnet_node_image_check(const struct ipcnet_node_flash *flash, uint8_t slot, struct ipcnet_node_image *image) {
  uint8_t header[IPCNET_NODE_IMAGE_HEADER], chunk[CHUNK_BYTES];
  const uint32_t begin = flash->slot_at[slot];
  if (!flash->read(flash->context, begin, header, sizeof header)) return IPCNET_NODE_FLASH_FAILED;
  const enum ipcnet_node_refusal refusal = ipcnet_node_header_check(flash, header, image);
  if (refusal != IPCNET_NODE_FINE) return refusal;
  uint32_t crc = 0;
  for (uint32_t done = 0; done < image->length;) {
    const uint32_t length = image->length - done < CHUNK_BYTES ? image->length - done : CHUNK_BYTES;
    if (!flash->read(flash->context, begin + IPCNET_NODE_IMAGE_HEADER + done, chunk, length)) return IPCNET_NODE_FLASH_FAILED;
    crc = ipcnet_node_crc32(crc, chunk, length);
    done += length;
  }
  if (crc != image->crc) return IPCNET_NODE_WRONG_CRC;
  if (flash->trusted != NULL && !flash->trusted(flash->context, header, begin + IPCNET_NODE_IMAGE_HEADER, image->length)) return IPCNET_NODE_NOT_TRUSTED;
  return IPCNET_NODE_FINE;
}

/* ---- Start ----------------------------------------------------------------------------------------------------------------------------- */

static bool whole(const struct ipcnet_node_flash *flash, uint8_t slot, uint32_t floor) {
  struct ipcnet_node_image image;
  return slot < 2 && ipcnet_node_image_check(flash, slot, &image) == IPCNET_NODE_FINE && image.security_counter >= floor;
}

/* The start is counted before it is made: what cannot be counted is not started, so that no image on probation runs more often than it may. */
static bool trial_starts(const struct ipcnet_node_flash *flash, struct ipcnet_node_record *record) {
  if (record->tries == 0 || !whole(flash, record->trial, record->floor)) return false;
  record->tries--;
  return ipcnet_node_journal_write(flash, record);
}

bool ipcnet_node_boot(const struct ipcnet_node_flash *flash, uint8_t *slot) {
  struct ipcnet_node_record record;
  if (!ipcnet_node_journal_read(flash, &record)) {
    /* As it left the factory. */
    for (*slot = 0; *slot < 2; (*slot)++) if (whole(flash, *slot, 0)) return true;
    return false;
  }
  if (record.trial != IPCNET_NODE_NO_SLOT) {
    *slot = record.trial;
    if (trial_starts(flash, &record)) return true;
    record.trial = IPCNET_NODE_NO_SLOT;
    record.outcome = IPCNET_NODE_REVERTED;
    (void)ipcnet_node_journal_write(flash, &record); /* if it fails the next start comes to the same end */
  }
  *slot = record.confirmed;
  if (whole(flash, *slot, 0)) return true;
  /* The confirmed one is broken: the one before, if nobody has touched it. */
  *slot = record.confirmed ^ 1u;
  return *slot < 2 && (record.good >> *slot & 1u) != 0 && whole(flash, *slot, record.floor);
}
