#include "reflex_table.h"

#define BIG_ENDIAN_FIELD 1u
#define SIGNED_FIELD 2u
#define IEEE_FIELD 4u

/* The place of the highest bit of a big-endian field, counted from the first bit on the wire: DBC counts bits within a byte from the lowest. */
static uint32_t from_the_left(uint32_t start_bit) {
  return (start_bit & ~7u) + (7u - (start_bit & 7u));
}

static uint64_t mask_of(uint32_t bits) {
  return bits >= 64 ? UINT64_MAX : ((uint64_t)1 << bits) - 1;
}

/* Bits of the byte at `byte` that belong to the field: how far they are shifted in the byte (`low`), and how many. */
struct piece { uint32_t byte, low, bits; };

/* The next piece, from the field's lowest bit upwards, after `done` bits. */
static struct piece piece_after(struct ipcnet_reflex_field field, uint32_t done) {
  uint32_t left = (uint32_t)field.bits - done;
  struct piece piece;
  if (field.flags & BIG_ENDIAN_FIELD) {
    uint32_t last = from_the_left(field.start_bit) + left - 1; /* where the lowest bit that is left stands */
    piece.byte = last >> 3;
    piece.low = 7u - (last & 7u);
  } else {
    piece.byte = (field.start_bit + done) >> 3;
    piece.low = (field.start_bit + done) & 7u;
  }
  piece.bits = 8u - piece.low < left ? 8u - piece.low : left;
  return piece;
}

int64_t ipcnet_reflex_field_get(struct ipcnet_reflex_field field, const uint8_t *payload) {
  uint64_t raw = 0;
  for (uint32_t done = 0; done < field.bits;) {
    struct piece piece = piece_after(field, done);
    raw |= ((uint64_t)(payload[piece.byte] >> piece.low) & mask_of(piece.bits)) << done;
    done += piece.bits;
  }
  uint64_t sign = field.bits == 0 ? 0 : raw >> (field.bits - 1) & 1u;
  if (field.flags & IEEE_FIELD) {
    uint64_t magnitude = raw & (mask_of(field.bits) >> 1);
    return sign ? -(int64_t)magnitude : (int64_t)magnitude;
  }
  if ((field.flags & SIGNED_FIELD) && sign) raw |= ~mask_of(field.bits);
  return (int64_t)raw;
}

void ipcnet_reflex_field_set(struct ipcnet_reflex_field field, uint8_t *payload, uint64_t value) {
  for (uint32_t done = 0; done < field.bits;) {
    struct piece piece = piece_after(field, done);
    uint32_t mask = (uint32_t)mask_of(piece.bits) << piece.low;
    payload[piece.byte] = (uint8_t)((payload[piece.byte] & ~mask) | ((uint32_t)(value >> done) << piece.low & mask));
    done += piece.bits;
  }
}
