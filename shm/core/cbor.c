#include "cbor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* A writer's faults, the worst first: none is ever taken back. */
enum { FAULT_NONE = 0, FAULT_VALUE = 1, FAULT_FULL = 2, FAULT_MEMORY = 3 };

#define GROW_MAX_DEFAULT 262144u
#define INDEFINITE UINT64_MAX

/* ---- writing ------------------------------------------------------------------------------------------------------------------------ */

void ipcnet_cbor_begin(struct ipcnet_cbor_writer *writer, void *buffer, size_t capacity) {
  memset(writer, 0, sizeof *writer);
  writer->bytes = buffer;
  writer->grows = buffer == NULL;
  writer->capacity = buffer == NULL ? 0 : capacity;
  writer->length_max = buffer != NULL ? capacity : capacity != 0 ? capacity : GROW_MAX_DEFAULT;
}

void ipcnet_cbor_end(struct ipcnet_cbor_writer *writer) {
  if (writer->grows) free(writer->bytes);
  memset(writer, 0, sizeof *writer);
}

static void fail(struct ipcnet_cbor_writer *writer, uint32_t fault) {
  if (writer->fault < fault) writer->fault = fault;
}

/* Room for `more` bytes behind what is written, or NULL and a fault. */
static uint8_t *room(struct ipcnet_cbor_writer *writer, size_t more) {
  if (writer->fault != FAULT_NONE) return NULL;
  if (more > writer->length_max - writer->length) {
    fail(writer, FAULT_FULL);
    return NULL;
  }
  if (more > writer->capacity - writer->length) {
    size_t wanted = writer->capacity < 256 ? 256 : writer->capacity * 2;
    if (wanted < writer->length + more) wanted = writer->length + more;
    if (wanted > writer->length_max) wanted = writer->length_max;
    uint8_t *grown = realloc(writer->bytes, wanted);
    if (grown == NULL) {
      fail(writer, FAULT_MEMORY);
      return NULL;
    }
    writer->bytes = grown;
    writer->capacity = wanted;
  }
  return writer->bytes + writer->length;
}

static void byte(struct ipcnet_cbor_writer *writer, uint8_t value) {
  uint8_t *at = room(writer, 1);
  if (at == NULL) return;
  *at = value;
  writer->length += 1;
}

static void head(struct ipcnet_cbor_writer *writer, uint8_t major, uint64_t argument) {
  unsigned size = argument < 24 ? 0 : argument <= 0xff ? 1 : argument <= 0xffff ? 2 : argument <= 0xffffffffu ? 4 : 8;
  uint8_t *at = room(writer, 1 + size);
  if (at == NULL) return;
  uint8_t info = size == 0 ? (uint8_t)argument : size == 1 ? 24 : size == 2 ? 25 : size == 4 ? 26 : 27;
  at[0] = (uint8_t)(major << 5 | info);
  for (unsigned i = 0; i < size; i++) at[1 + i] = (uint8_t)(argument >> (8 * (size - 1 - i)));
  writer->length += 1 + size;
}

void ipcnet_cbor_raw(struct ipcnet_cbor_writer *writer, const void *cbor, size_t length) {
  uint8_t *at = room(writer, length);
  if (at == NULL || length == 0) return;
  memcpy(at, cbor, length);
  writer->length += length;
}

void ipcnet_cbor_array(struct ipcnet_cbor_writer *writer, uint64_t count) {
  head(writer, 4, count);
}

void ipcnet_cbor_map(struct ipcnet_cbor_writer *writer, uint64_t count) {
  head(writer, 5, count);
}

void ipcnet_cbor_text_of(struct ipcnet_cbor_writer *writer, const char *text, size_t length) {
  if (!ipcnet_is_utf8((const uint8_t *)text, length)) fail(writer, FAULT_VALUE);
  head(writer, 3, length);
  ipcnet_cbor_raw(writer, text, length);
}

void ipcnet_cbor_text(struct ipcnet_cbor_writer *writer, const char *text) {
  ipcnet_cbor_text_of(writer, text, strlen(text));
}

void ipcnet_cbor_bytes(struct ipcnet_cbor_writer *writer, const void *bytes, size_t length) {
  head(writer, 2, length);
  ipcnet_cbor_raw(writer, bytes, length);
}

void ipcnet_cbor_unsigned(struct ipcnet_cbor_writer *writer, uint64_t value) {
  head(writer, 0, value);
}

void ipcnet_cbor_integer(struct ipcnet_cbor_writer *writer, int64_t value) {
  if (value >= 0) head(writer, 0, (uint64_t)value);
  else head(writer, 1, (uint64_t)(-1 - value));
}

void ipcnet_cbor_number(struct ipcnet_cbor_writer *writer, double value) {
  if (value >= -9007199254740991.0 && value <= 9007199254740991.0 && value == trunc(value) && !(value == 0 && signbit(value))) {
    ipcnet_cbor_integer(writer, (int64_t)value);
    return;
  }
  uint8_t *at = room(writer, 9);
  if (at == NULL) return;
  uint64_t bits;
  memcpy(&bits, &value, sizeof bits);
  at[0] = 0xfb;
  for (unsigned i = 0; i < 8; i++) at[1 + i] = (uint8_t)(bits >> (56 - 8 * i));
  writer->length += 9;
}

void ipcnet_cbor_boolean(struct ipcnet_cbor_writer *writer, int value) {
  byte(writer, value ? 0xf5 : 0xf4);
}

void ipcnet_cbor_null(struct ipcnet_cbor_writer *writer) {
  byte(writer, 0xf6);
}

int ipcnet_cbor_finish(struct ipcnet_cbor_writer *writer) {
  if (writer->fault == FAULT_MEMORY) return -IPCNET_INSUFFICIENT_STORAGE;
  if (writer->fault == FAULT_FULL || writer->length > INT32_MAX) return -IPCNET_PAYLOAD_TOO_LARGE;
  if (writer->fault == FAULT_VALUE || writer->length == 0 || ipcnet_cbor_measure(writer->bytes, writer->length) != writer->length) return -IPCNET_UNPROCESSABLE_CONTENT;
  return (int)writer->length;
}

void ipcnet_cbor_put_text(struct ipcnet_cbor_writer *writer, const char *key, const char *text) {
  ipcnet_cbor_text(writer, key);
  ipcnet_cbor_text(writer, text);
}

void ipcnet_cbor_put_unsigned(struct ipcnet_cbor_writer *writer, const char *key, uint64_t value) {
  ipcnet_cbor_text(writer, key);
  head(writer, 0, value);
}

void ipcnet_cbor_put_number(struct ipcnet_cbor_writer *writer, const char *key, double value) {
  ipcnet_cbor_text(writer, key);
  ipcnet_cbor_number(writer, value);
}

void ipcnet_cbor_put_boolean(struct ipcnet_cbor_writer *writer, const char *key, int value) {
  ipcnet_cbor_text(writer, key);
  ipcnet_cbor_boolean(writer, value);
}

void ipcnet_cbor_put_raw(struct ipcnet_cbor_writer *writer, const char *key, const void *cbor, size_t length) {
  ipcnet_cbor_text(writer, key);
  ipcnet_cbor_raw(writer, cbor, length);
}

/* ---- checking ----------------------------------------------------------------------------------------------------------------------- */

int ipcnet_is_utf8(const uint8_t *bytes, size_t length) {
  for (size_t i = 0; i < length;) {
    uint8_t lead = bytes[i++];
    if (lead < 0x80) continue;
    unsigned more = lead >= 0xc2 && lead <= 0xdf ? 1 : lead >= 0xe0 && lead <= 0xef ? 2 : lead >= 0xf0 && lead <= 0xf4 ? 3 : 0;
    if (more == 0 || more > length - i) return 0;
    /* Overlong forms, surrogates and what lies beyond U+10FFFF show in the second byte. */
    uint8_t low = lead == 0xe0 ? 0xa0 : lead == 0xf0 ? 0x90 : 0x80, high = lead == 0xed ? 0x9f : lead == 0xf4 ? 0x8f : 0xbf;
    if (bytes[i] < low || bytes[i] > high) return 0;
    for (unsigned k = 1; k < more; k++)
      if ((bytes[i + k] & 0xc0) != 0x80) return 0;
    i += more;
  }
  return 1;
}

struct item {
  uint8_t major;
  uint8_t info;
  uint64_t argument; /* INDEFINITE with info 31 */
};

/* Reads one head at *at; 0 when it is truncated or reserved. */
static int read_head(const uint8_t **at, const uint8_t *end, struct item *item) {
  if (*at >= end) return 0;
  uint8_t initial = *(*at)++;
  item->major = initial >> 5;
  item->info = initial & 31;
  item->argument = item->info;
  if (item->info < 24) return item->major != 7 || item->info >= 20;
  if (item->info == 31) {
    item->argument = INDEFINITE;
    return item->major >= 2 && item->major != 6;
  }
  unsigned size = item->info == 24 ? 1 : item->info == 25 ? 2 : item->info == 26 ? 4 : item->info == 27 ? 8 : 0;
  if (size == 0 || (item->major == 7 && size == 1) || size > (size_t)(end - *at)) return 0;
  item->argument = 0;
  for (unsigned i = 0; i < size; i++) item->argument = item->argument << 8 | *(*at)++;
  /* A count of 2^64 - 1 cannot be meant, and would look like "indefinite". */
  return item->argument != INDEFINITE || item->major < 2 || item->major > 5;
}

struct span {
  const uint8_t *at;
  size_t length;
};

static int compare_spans(const void *a, const void *b) {
  const struct span *left = a, *right = b;
  if (left->length != right->length) return left->length < right->length ? -1 : 1;
  return memcmp(left->at, right->at, left->length);
}

static const uint8_t *walk(const uint8_t *at, const uint8_t *end, int strict);

/* Whether no key of the checked map at `at` comes twice. */
static int keys_differ(const uint8_t *at, const uint8_t *end, uint64_t count) {
  struct span few[16], *keys = count <= 16 ? few : calloc((size_t)count, sizeof *keys);
  struct item item;
  if (keys == NULL || !read_head(&at, end, &item)) return 0;
  for (uint64_t i = 0; i < count; i++) {
    if (!read_head(&at, end, &item)) break;
    keys[i] = (struct span){at, (size_t)item.argument};
    at = walk(at + item.argument, end, 0);
  }
  qsort(keys, (size_t)count, sizeof *keys, compare_spans);
  int differ = 1;
  for (uint64_t i = 1; i < count; i++) differ &= compare_spans(&keys[i - 1], &keys[i]) != 0;
  if (keys != few) free(keys);
  return differ;
}

enum level_kind { IN_ARRAY, IN_MAP, IN_TEXT, IN_BYTES, IN_TAG, IN_BIGNUM };
struct level {
  enum level_kind kind;
  uint64_t left; /* items still to come; INDEFINITE */
  uint64_t seen;
  const uint8_t *start;
};

/* The end of the value at `at`, or NULL when it is malformed. Not strict: of a value that was checked before. Bounded by the number of bytes. */
static const uint8_t *walk(const uint8_t *at, const uint8_t *end, int strict) {
  struct level levels[IPCNET_CBOR_DEPTH_MAX + 2];
  unsigned depth = 0;
  for (;;) {
    struct level *top = depth == 0 ? NULL : &levels[depth - 1];
    const uint8_t *start = at;
    struct item item;
    int push = 0;
    if (!read_head(&at, end, &item)) return NULL;
    if (item.major == 7 && item.info == 31) {
      /* The "break" that ends an item of indefinite length. */
      if (top == NULL || top->left != INDEFINITE || (top->kind == IN_MAP && (top->seen & 1) != 0)) return NULL;
      if (strict && top->kind == IN_MAP && top->seen > 2 && !keys_differ(top->start, at, top->seen / 2)) return NULL;
      depth -= 1;
    } else {
      if (depth > IPCNET_CBOR_DEPTH_MAX && top->kind != IN_TEXT && top->kind != IN_BYTES) return NULL;
      uint64_t remaining = (uint64_t)(end - at);
      if (top != NULL) {
        int is_key = top->kind == IN_MAP && (top->seen & 1) == 0;
        if ((is_key || top->kind == IN_TEXT) && (item.major != 3 || item.argument == INDEFINITE)) return NULL;
        if (top->kind == IN_BYTES && (item.major != 2 || item.argument == INDEFINITE)) return NULL;
        if (top->kind == IN_BIGNUM && (item.major != 2 || item.argument > 64)) return NULL;
        if (is_key && strict && item.argument == 9 && remaining >= 9 && memcmp(at, "__proto__", 9) == 0) return NULL;
      }
      switch (item.major) {
        case 2:
        case 3:
          if (item.argument == INDEFINITE) {
            levels[depth++] = (struct level){item.major == 2 ? IN_BYTES : IN_TEXT, INDEFINITE, 0, start};
            push = 1;
            break;
          }
          if (item.argument > remaining) return NULL;
          if (strict && item.major == 3 && !ipcnet_is_utf8(at, (size_t)item.argument)) return NULL;
          at += item.argument;
          break;
        case 4:
        case 5:
          /* An item takes at least a byte: a count beyond that is a lie. */
          if (item.argument != INDEFINITE && item.argument > remaining / (item.major == 5 ? 2 : 1)) return NULL;
          if (item.argument == 0) break;
          levels[depth++] = (struct level){item.major == 4 ? IN_ARRAY : IN_MAP, item.argument == INDEFINITE ? INDEFINITE : item.argument * (item.major == 5 ? 2 : 1), 0, start};
          push = 1;
          break;
        case 6:
          levels[depth++] = (struct level){item.argument == 2 || item.argument == 3 ? IN_BIGNUM : IN_TAG, 1, 0, start};
          push = 1;
          break;
        default:
          break;
      }
    }
    if (push) continue;
    for (;;) {
      if (depth == 0) return at;
      top = &levels[depth - 1];
      top->seen += 1;
      if (top->left == INDEFINITE || top->seen < top->left) break;
      if (strict && top->kind == IN_MAP && top->seen > 2 && !keys_differ(top->start, at, top->seen / 2)) return NULL;
      depth -= 1;
    }
  }
}

size_t ipcnet_cbor_measure(const uint8_t *bytes, size_t length) {
  const uint8_t *end = length == 0 ? NULL : walk(bytes, bytes + length, 1);
  return end == NULL ? 0 : (size_t)(end - bytes);
}

int ipcnet_cbor_open(const void *bytes, size_t length, struct ipcnet_cbor *value) {
  *value = (struct ipcnet_cbor){NULL, 0};
  if (length == 0 || ipcnet_cbor_measure(bytes, length) != length) return -IPCNET_BAD_REQUEST;
  *value = (struct ipcnet_cbor){bytes, length};
  return 0;
}

/* ---- reading checked values --------------------------------------------------------------------------------------------------------- */

/* The head of a value behind its tags; *tag is the innermost of 2 and 3, else 0. 0: no value. */
static int enter(struct ipcnet_cbor value, struct item *item, const uint8_t **at, uint64_t *tag) {
  *at = value.bytes;
  *tag = 0;
  if (value.length == 0) return 0;
  for (;;) {
    if (!read_head(at, value.bytes + value.length, item)) return 0;
    if (item->major != 6) return 1;
    *tag = item->argument == 2 || item->argument == 3 ? item->argument : 0;
  }
}

int ipcnet_cbor_type(struct ipcnet_cbor value) {
  struct item item;
  const uint8_t *at;
  uint64_t tag;
  if (!enter(value, &item, &at, &tag)) return IPCNET_CBOR_NONE;
  switch (item.major) {
    case 0:
    case 1: return IPCNET_CBOR_INTEGER;
    case 2: return tag != 0 ? IPCNET_CBOR_INTEGER : IPCNET_CBOR_BYTES;
    case 3: return IPCNET_CBOR_TEXT;
    case 4: return IPCNET_CBOR_ARRAY;
    case 5: return IPCNET_CBOR_MAP;
    default: break;
  }
  if (item.info == 20 || item.info == 21) return IPCNET_CBOR_BOOLEAN;
  return item.info == 22 ? IPCNET_CBOR_NULL : item.info == 23 ? IPCNET_CBOR_UNDEFINED : IPCNET_CBOR_FLOAT;
}

int ipcnet_cbor_next(struct ipcnet_cbor container, size_t *position, struct ipcnet_cbor *key, struct ipcnet_cbor *item) {
  struct item first;
  const uint8_t *at, *end = container.bytes + container.length;
  uint64_t tag;
  if (key != NULL) *key = (struct ipcnet_cbor){NULL, 0};
  *item = (struct ipcnet_cbor){NULL, 0};
  if (!enter(container, &first, &at, &tag) || (first.major != 4 && first.major != 5)) return 0;
  if (*position != 0) at = container.bytes + *position;
  /* A definite container ends with its bytes, for its value is exactly its bytes; an indefinite one with its break. */
  if (at >= end || first.argument == 0 || (first.argument == INDEFINITE && *at == 0xff)) return 0;
  if (first.major == 5) {
    const uint8_t *behind = walk(at, end, 0);
    if (behind == NULL) return 0;
    if (key != NULL) *key = (struct ipcnet_cbor){at, (size_t)(behind - at)};
    at = behind;
  }
  const uint8_t *behind = walk(at, end, 0);
  if (behind == NULL) return 0;
  *item = (struct ipcnet_cbor){at, (size_t)(behind - at)};
  *position = (size_t)(behind - container.bytes);
  return 1;
}

uint64_t ipcnet_cbor_count(struct ipcnet_cbor container) {
  struct item first;
  const uint8_t *at;
  uint64_t tag, count = 0;
  if (!enter(container, &first, &at, &tag) || (first.major != 4 && first.major != 5)) return 0;
  if (first.argument != INDEFINITE) return first.argument;
  size_t position = 0;
  struct ipcnet_cbor item;
  while (ipcnet_cbor_next(container, &position, NULL, &item)) count += 1;
  return count;
}

int ipcnet_cbor_get(struct ipcnet_cbor map, const char *key, struct ipcnet_cbor *found) {
  size_t position = 0;
  struct ipcnet_cbor name, item;
  if (ipcnet_cbor_type(map) == IPCNET_CBOR_MAP) {
    while (ipcnet_cbor_next(map, &position, &name, &item)) {
      if (!ipcnet_cbor_is_text(name, key)) continue;
      *found = item;
      return 1;
    }
  }
  *found = (struct ipcnet_cbor){NULL, 0};
  return 0;
}

int ipcnet_cbor_is_text(struct ipcnet_cbor value, const char *text) {
  const uint8_t *bytes;
  size_t length;
  return ipcnet_cbor_type(value) == IPCNET_CBOR_TEXT && ipcnet_cbor_view(value, &bytes, &length) && length == strlen(text) && memcmp(bytes, text, length) == 0;
}

static double half(uint64_t bits) {
  unsigned exponent = (unsigned)(bits >> 10) & 31, mantissa = (unsigned)bits & 1023;
  double magnitude = exponent == 31 ? (mantissa == 0 ? INFINITY : NAN) : exponent == 0 ? ldexp(mantissa, -24) : ldexp(1024 + mantissa, (int)exponent - 25);
  return (bits & 0x8000) != 0 ? -magnitude : magnitude;
}

static double float_of(const struct item *item) {
  if (item->info == 25) return half(item->argument);
  if (item->info == 26) {
    uint32_t bits = (uint32_t)item->argument;
    float value;
    memcpy(&value, &bits, sizeof value);
    return (double)value;
  }
  double value;
  memcpy(&value, &item->argument, sizeof value);
  return value;
}

int ipcnet_cbor_to_double(struct ipcnet_cbor value, double *out) {
  struct item item;
  const uint8_t *at;
  uint64_t tag;
  if (!enter(value, &item, &at, &tag)) return 0;
  if (item.major == 0) *out = (double)item.argument;
  else if (item.major == 1) *out = -1.0 - (double)item.argument;
  else if (item.major == 7 && item.info >= 25 && item.info <= 27) *out = float_of(&item);
  else if (item.major == 2 && tag != 0) {
    double magnitude = 0;
    for (uint64_t i = 0; i < item.argument; i++) magnitude = magnitude * 256 + at[i];
    *out = tag == 2 ? magnitude : -1 - magnitude;
  } else return 0;
  return 1;
}

int ipcnet_cbor_to_unsigned(struct ipcnet_cbor value, uint64_t *out) {
  struct item item;
  const uint8_t *at;
  uint64_t tag, number = 0;
  if (!enter(value, &item, &at, &tag)) return 0;
  if (item.major == 0) {
    *out = item.argument;
    return 1;
  }
  if (item.major == 2 && tag == 2) {
    for (uint64_t i = 0; i < item.argument; i++) {
      if (number >> 56 != 0) return 0;
      number = number << 8 | at[i];
    }
    *out = number;
    return 1;
  }
  double whole;
  if (item.major != 7 || !ipcnet_cbor_to_double(value, &whole) || !(whole >= 0 && whole < 18446744073709551616.0) || whole != trunc(whole)) return 0;
  *out = (uint64_t)whole;
  return 1;
}

int ipcnet_cbor_to_integer(struct ipcnet_cbor value, int64_t *out) {
  struct item item;
  const uint8_t *at;
  uint64_t tag, number;
  if (!enter(value, &item, &at, &tag)) return 0;
  if (item.major == 1) {
    if (item.argument > INT64_MAX) return 0;
    *out = -1 - (int64_t)item.argument;
    return 1;
  }
  double whole;
  if (item.major == 7 && ipcnet_cbor_to_double(value, &whole) && whole < 0) {
    if (whole < -9223372036854775808.0 || whole != trunc(whole)) return 0;
    *out = (int64_t)whole;
    return 1;
  }
  if (!ipcnet_cbor_to_unsigned(value, &number) || number > INT64_MAX) return 0;
  *out = (int64_t)number;
  return 1;
}

int ipcnet_cbor_to_boolean(struct ipcnet_cbor value, int *out) {
  if (ipcnet_cbor_type(value) != IPCNET_CBOR_BOOLEAN) return 0;
  *out = value.bytes[value.length - 1] == 0xf5;
  return 1;
}

int ipcnet_cbor_view(struct ipcnet_cbor value, const uint8_t **bytes, size_t *length) {
  struct item item;
  const uint8_t *at;
  uint64_t tag;
  if (!enter(value, &item, &at, &tag) || (item.major != 2 && item.major != 3) || item.argument == INDEFINITE) return 0;
  *bytes = at;
  *length = (size_t)item.argument;
  return 1;
}

/* Copies a text or byte string, in one piece or several. Returns its length, -208 when it does not fit with `extra` more. */
static int64_t copy_string(struct ipcnet_cbor value, uint8_t *buffer, size_t capacity, size_t extra) {
  struct item item;
  const uint8_t *at, *end = value.bytes + value.length;
  uint64_t tag;
  size_t total = 0;
  if (!enter(value, &item, &at, &tag)) return 0;
  int pieces = item.argument == INDEFINITE;
  while (!pieces || (at < end && *at != 0xff)) {
    if (pieces && !read_head(&at, end, &item)) break;
    size_t length = (size_t)item.argument;
    if (buffer != NULL) {
      if (capacity < extra || length > capacity - extra - total) return -IPCNET_PAYLOAD_TOO_LARGE;
      if (length > 0) memcpy(buffer + total, at, length);
    }
    total += length;
    at += length;
    if (!pieces) break;
  }
  return (int64_t)total;
}

int64_t ipcnet_cbor_to_text(struct ipcnet_cbor value, char *buffer, size_t capacity) {
  if (ipcnet_cbor_type(value) != IPCNET_CBOR_TEXT) return -IPCNET_UNPROCESSABLE_CONTENT;
  if (buffer != NULL && capacity == 0) return -IPCNET_PAYLOAD_TOO_LARGE;
  int64_t length = copy_string(value, (uint8_t *)buffer, capacity, 1);
  if (buffer != NULL) buffer[length < 0 ? 0 : length] = '\0';
  return length;
}

int64_t ipcnet_cbor_to_bytes(struct ipcnet_cbor value, void *buffer, size_t capacity) {
  if (ipcnet_cbor_type(value) != IPCNET_CBOR_BYTES) return -IPCNET_UNPROCESSABLE_CONTENT;
  return copy_string(value, buffer, capacity, 0);
}

int ipcnet_cbor_get_integer(struct ipcnet_cbor map, const char *key, int64_t *out) {
  struct ipcnet_cbor value;
  return ipcnet_cbor_get(map, key, &value) && ipcnet_cbor_to_integer(value, out);
}

int ipcnet_cbor_get_double(struct ipcnet_cbor map, const char *key, double *out) {
  struct ipcnet_cbor value;
  return ipcnet_cbor_get(map, key, &value) && ipcnet_cbor_to_double(value, out);
}

int ipcnet_cbor_get_unsigned(struct ipcnet_cbor map, const char *key, uint64_t max, uint64_t *out) {
  struct ipcnet_cbor value;
  uint64_t number;
  if (!ipcnet_cbor_get(map, key, &value) || !ipcnet_cbor_to_unsigned(value, &number) || number > max) return 0;
  *out = number;
  return 1;
}
