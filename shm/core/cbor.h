/*
 * cbor: what the library itself needs of CBOR beyond the public functions in ipcnet.h. No state, no recursion; allocates only in a writer that grows and for
 * maps of more than 16 keys while they are checked.
 */
#ifndef IPCNET_CBOR_INTERNAL_H
#define IPCNET_CBOR_INTERNAL_H

#include "ipcnet.h"

#define IPCNET_CBOR_DEPTH_MAX 32

/* For the library's own maps: a key and its value. */
void ipcnet_cbor_put_text(struct ipcnet_cbor_writer *writer, const char *key, const char *text);
void ipcnet_cbor_put_unsigned(struct ipcnet_cbor_writer *writer, const char *key, uint64_t value);
void ipcnet_cbor_put_number(struct ipcnet_cbor_writer *writer, const char *key, double value);
void ipcnet_cbor_put_boolean(struct ipcnet_cbor_writer *writer, const char *key, int value);
void ipcnet_cbor_put_raw(struct ipcnet_cbor_writer *writer, const char *key, const void *cbor, size_t length);

/* The unsigned integer at `key`, at most `max`: 1, or 0. */
int ipcnet_cbor_get_unsigned(struct ipcnet_cbor map, const char *key, uint64_t max, uint64_t *out);
/* Whether a text value is `text`. */
int ipcnet_cbor_is_text(struct ipcnet_cbor value, const char *text);
/* Number of bytes of the first value in `bytes`, checked as ipcnet_cbor_open does; 0 when it is malformed. */
size_t ipcnet_cbor_measure(const uint8_t *bytes, size_t length);
/* 1 if `bytes` are UTF-8 (RFC 3629). */
int ipcnet_is_utf8(const uint8_t *bytes, size_t length);

/* As ipcnet_cbor_to_json, but with the keys of every map in the order of their UTF-16 units and numbers as ECMAScript has them: equal values give equal texts. */
char *ipcnet_cbor_to_canonical_json(struct ipcnet_cbor value);

/* ECMAScript's text of a number, such as "0.1", "1e+21", "-0" as "0"; NaN and infinities as "null". Independent of the locale. */
#define IPCNET_NUMBER_TEXT_BYTES 32
size_t ipcnet_number_text(double value, char text[IPCNET_NUMBER_TEXT_BYTES]);
/* The number that `text[0 … length)` (digits, '.', exponent) means. Independent of the locale. */
double ipcnet_number_value(const char *text, size_t length);

#endif
