/* JSON text to CBOR and back, and numbers as ECMAScript writes them. No recursion: a small stack of open containers. */
#include "cbor.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- numbers ------------------------------------------------------------------------------------------------------------------------ */

/* What the locale writes between a number's whole and its fraction (up to 4 bytes). */
static size_t decimal_point(char point[8]) {
  char sample[16];
  int length = snprintf(sample, sizeof sample, "%.1f", 0.5);
  size_t bytes = length > 2 && length < 10 ? (size_t)length - 2 : 1;
  memcpy(point, sample + 1, bytes);
  return bytes;
}

double ipcnet_number_value(const char *text, size_t length) {
  char copy[512], point[8];
  size_t point_bytes = decimal_point(point), at = 0;
  /* More digits than that change nothing that a double can hold, but for exponents: such numbers are cut. */
  for (size_t i = 0; i < length && at < sizeof copy - 8; i++) {
    if (text[i] != '.') copy[at++] = text[i];
    else {
      memcpy(copy + at, point, point_bytes);
      at += point_bytes;
    }
  }
  copy[at] = '\0';
  return strtod(copy, NULL);
}

/* Whether digit * 10^… with the last digit moved by `step` is `value`; then that is what stands in `text`. */
static int neighbour(double value, char *text, size_t capacity, int precision, int step) {
  char moved[40], whole[24];
  const char *exponent = strchr(text, 'e');
  long long digits = 0;
  if (exponent == NULL) return 0;
  for (const char *c = text; c < exponent; c++)
    if (*c >= '0' && *c <= '9') digits = digits * 10 + (*c - '0');
  snprintf(moved, sizeof moved, "%s%llde%d", text[0] == '-' ? "-" : "", digits + step, atoi(exponent + 1) - precision);
  if (strtod(moved, NULL) != value) return 0;
  int length = snprintf(whole, sizeof whole, "%lld", digits + step);
  /* More digits than before: a carry. */
  int power = atoi(exponent + 1) + length - precision - 1;
  snprintf(text, capacity, "%s%se%d", text[0] == '-' ? "-" : "", whole, power);
  return 1;
}

/* The fewest digits that read back as `value`, in "%e" form (or without a point): of up to 15 any double keeps them, but those near zero; beyond, the one that printf
 * rounds to need not be the one that reads back. */
static void shortest(double value, char *text, size_t capacity) {
  for (int precision = fabs(value) < 2.3e-308 ? 0 : 14; precision <= 16; precision++) {
    snprintf(text, capacity, "%.*e", precision, value);
    if (strtod(text, NULL) == value || (precision > 0 && (neighbour(value, text, capacity, precision, 1) || neighbour(value, text, capacity, precision, -1)))) return;
  }
}

size_t ipcnet_number_text(double value, char text[IPCNET_NUMBER_TEXT_BYTES]) {
  if (!isfinite(value)) {
    memcpy(text, "null", 5);
    return 4;
  }
  if (value == 0) {
    memcpy(text, "0", 2);
    return 1;
  }
  char scientific[48], digits[24];
  size_t count = 0, at = 0;
  shortest(value, scientific, sizeof scientific);
  const char *exponent_at = strchr(scientific, 'e');
  for (const char *c = scientific; c < exponent_at; c++)
    if (*c >= '0' && *c <= '9') digits[count++] = *c;
  while (count > 1 && digits[count - 1] == '0') count -= 1;
  int exponent = atoi(exponent_at + 1) + 1; /* 0.digits * 10^exponent */
  if (value < 0) text[at++] = '-';
  if (exponent > 0 && exponent <= 21) {
    for (int i = 0; i < exponent || (size_t)i < count; i++) {
      if (i == exponent) text[at++] = '.';
      text[at++] = (size_t)i < count ? digits[i] : '0';
    }
  } else if (exponent > -6 && exponent <= 0) {
    text[at++] = '0';
    text[at++] = '.';
    for (int i = exponent; i < 0; i++) text[at++] = '0';
    for (size_t i = 0; i < count; i++) text[at++] = digits[i];
  } else {
    text[at++] = digits[0];
    if (count > 1) text[at++] = '.';
    for (size_t i = 1; i < count; i++) text[at++] = digits[i];
    at += (size_t)snprintf(text + at, IPCNET_NUMBER_TEXT_BYTES - at, "e%+d", exponent - 1);
  }
  text[at] = '\0';
  return at;
}

/* ---- JSON to CBOR ------------------------------------------------------------------------------------------------------------------- */

struct parser {
  const char *at;
  const char *end;
  struct ipcnet_cbor_writer *writer;
};

static void skip_blanks(struct parser *self) {
  while (self->at < self->end && (*self->at == ' ' || *self->at == '\t' || *self->at == '\n' || *self->at == '\r')) self->at += 1;
}

static int take(struct parser *self, const char *word) {
  size_t length = strlen(word);
  if ((size_t)(self->end - self->at) < length || memcmp(self->at, word, length) != 0) return 0;
  self->at += length;
  return 1;
}

static int hex4(struct parser *self, uint32_t *code) {
  if (self->end - self->at < 4) return 0;
  *code = 0;
  for (int i = 0; i < 4; i++) {
    char c = *self->at++;
    uint32_t digit = c >= '0' && c <= '9' ? (uint32_t)(c - '0') : c >= 'a' && c <= 'f' ? (uint32_t)(c - 'a') + 10 : c >= 'A' && c <= 'F' ? (uint32_t)(c - 'A') + 10 : 16;
    if (digit == 16) return 0;
    *code = *code << 4 | digit;
  }
  return 1;
}

static size_t utf8(uint32_t code, char out[4]) {
  if (code < 0x80) {
    out[0] = (char)code;
    return 1;
  }
  size_t more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
  out[0] = (char)((more == 1 ? 0xc0 : more == 2 ? 0xe0 : 0xf0) | code >> (6 * more));
  for (size_t i = 1; i <= more; i++) out[i] = (char)(0x80 | (code >> (6 * (more - i)) & 0x3f));
  return more + 1;
}

/* A string, from behind its first quote. */
static int parse_string(struct parser *self) {
  size_t source = (size_t)(self->end - self->at);
  const char *quote = memchr(self->at, '"', source), *slash = quote == NULL ? NULL : memchr(self->at, '\\', (size_t)(quote - self->at));
  if (quote == NULL) return 0;
  for (const char *c = self->at; c < quote; c++)
    if ((unsigned char)*c < 0x20) return 0;
  if (slash == NULL) {
    ipcnet_cbor_text_of(self->writer, self->at, (size_t)(quote - self->at));
    self->at = quote + 1;
    return 1;
  }
  /* Unescaped text is never longer than its source. */
  char *text = malloc(source);
  size_t length = 0;
  int good = 0;
  while (text != NULL && self->at < self->end) {
    char c = *self->at++;
    if (c == '"') {
      good = 1;
      break;
    }
    if ((unsigned char)c < 0x20) break;
    if (c != '\\') {
      text[length++] = c;
      continue;
    }
    if (self->at >= self->end) break;
    c = *self->at++;
    const char *from = "\"\\/bfnrt", *found = c == '\0' ? NULL : strchr(from, c);
    if (found != NULL) {
      text[length++] = "\"\\/\b\f\n\r\t"[found - from];
      continue;
    }
    uint32_t code, low;
    if (c != 'u' || !hex4(self, &code)) break;
    if (code >= 0xd800 && code < 0xdc00) {
      if (!take(self, "\\u") || !hex4(self, &low) || low < 0xdc00 || low > 0xdfff) break;
      code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code < 0xe000) break;
    length += utf8(code, text + length);
  }
  if (good) ipcnet_cbor_text_of(self->writer, text, length);
  free(text);
  return good;
}

static size_t digits(const char *at, const char *end) {
  size_t count = 0;
  while (at + count < end && at[count] >= '0' && at[count] <= '9') count += 1;
  return count;
}

static int parse_number(struct parser *self) {
  const char *start = self->at, *at = start;
  int whole = 1;
  if (at < self->end && *at == '-') at += 1;
  size_t count = digits(at, self->end);
  if (count == 0 || (count > 1 && *at == '0')) return 0;
  at += count;
  if (at < self->end && *at == '.') {
    size_t fraction = digits(at + 1, self->end);
    if (fraction == 0) return 0;
    at += 1 + fraction;
    whole = 0;
  }
  if (at < self->end && (*at == 'e' || *at == 'E')) {
    at += 1;
    if (at < self->end && (*at == '+' || *at == '-')) at += 1;
    size_t exponent = digits(at, self->end);
    if (exponent == 0) return 0;
    at += exponent;
    whole = 0;
  }
  self->at = at;
  uint64_t magnitude = 0;
  for (const char *c = at - count; whole && c < at; c++) {
    uint64_t digit = (uint64_t)(*c - '0');
    whole = magnitude <= (UINT64_MAX - digit) / 10;
    magnitude = magnitude * 10 + digit;
  }
  /* Integers as far as 64 bits go; "-0" is a float. */
  if (whole && *start != '-') {
    ipcnet_cbor_unsigned(self->writer, magnitude);
    return 1;
  }
  if (whole && magnitude > 0 && magnitude <= (uint64_t)1 << 63) {
    ipcnet_cbor_integer(self->writer, (int64_t)(~magnitude + 1));
    return 1;
  }
  ipcnet_cbor_number(self->writer, ipcnet_number_value(start, (size_t)(at - start)));
  return 1;
}

/* Puts the head of a container of `count` items at `start`, where one byte was left for it. */
static void close_container(struct ipcnet_cbor_writer *writer, size_t start, int is_map, uint64_t count) {
  uint8_t bytes[9];
  struct ipcnet_cbor_writer small;
  ipcnet_cbor_begin(&small, bytes, sizeof bytes);
  if (is_map) ipcnet_cbor_map(&small, count);
  else ipcnet_cbor_array(&small, count);
  size_t content = writer->length - start - 1;
  uint8_t blank[8] = {0};
  ipcnet_cbor_raw(writer, blank, small.length - 1);
  if (writer->fault != 0) return;
  if (small.length > 1) memmove(writer->bytes + start + small.length, writer->bytes + start + 1, content);
  memcpy(writer->bytes + start, bytes, small.length);
}

int ipcnet_cbor_from_json(struct ipcnet_cbor_writer *writer, const char *json, size_t length) {
  struct {
    size_t start;
    uint64_t count;
    int is_map;
  } open[IPCNET_CBOR_DEPTH_MAX + 1];
  struct parser parser = {json, json + length, writer}, *self = &parser;
  unsigned depth = 0;
  const int bad = -IPCNET_UNPROCESSABLE_CONTENT;
  for (;;) {
    skip_blanks(self);
    int closing = depth > 0 && open[depth - 1].count == 0 && self->at < self->end && *self->at == (open[depth - 1].is_map ? '}' : ']');
    if (!closing) {
      if (depth > 0 && open[depth - 1].is_map) {
        if (!take(self, "\"") || !parse_string(self)) return bad;
        skip_blanks(self);
        if (!take(self, ":")) return bad;
        skip_blanks(self);
      }
      if (depth > 0) open[depth - 1].count += 1;
      if (self->at >= self->end) return bad;
      if (*self->at == '{' || *self->at == '[') {
        if (depth > IPCNET_CBOR_DEPTH_MAX) return bad;
        open[depth].is_map = *self->at++ == '{';
        open[depth].start = writer->length;
        open[depth++].count = 0;
        ipcnet_cbor_null(writer);
        continue;
      }
      if (take(self, "\"")) {
        if (!parse_string(self)) return bad;
      } else if (take(self, "true")) ipcnet_cbor_boolean(writer, 1);
      else if (take(self, "false")) ipcnet_cbor_boolean(writer, 0);
      else if (take(self, "null")) ipcnet_cbor_null(writer);
      else if (!parse_number(self)) return bad;
    }
    /* Behind a value: a comma, or ends of containers. */
    for (;;) {
      if (depth == 0) {
        skip_blanks(self);
        return self->at == self->end ? 0 : bad;
      }
      skip_blanks(self);
      if (take(self, open[depth - 1].is_map ? "}" : "]")) {
        depth -= 1;
        close_container(writer, open[depth].start, open[depth].is_map, open[depth].count);
        continue;
      }
      if (!take(self, ",")) return bad;
      break;
    }
    skip_blanks(self);
    /* Nothing may close behind a comma. */
    if (self->at < self->end && (*self->at == '}' || *self->at == ']')) return bad;
  }
}

/* ---- CBOR to JSON ------------------------------------------------------------------------------------------------------------------- */

struct text {
  char *bytes;
  size_t length, capacity;
  int failed;
};

static void put(struct text *self, const char *bytes, size_t length) {
  if (self->failed) return;
  if (length >= self->capacity - self->length) {
    size_t capacity = self->capacity * 2 > self->length + length + 1 ? self->capacity * 2 : self->length + length + 64;
    char *grown = realloc(self->bytes, capacity);
    if (grown == NULL) {
      self->failed = 1;
      return;
    }
    self->bytes = grown;
    self->capacity = capacity;
  }
  if (length > 0) memcpy(self->bytes + self->length, bytes, length);
  self->length += length;
  self->bytes[self->length] = '\0';
}

static void put_quoted(struct text *self, const uint8_t *bytes, size_t length) {
  put(self, "\"", 1);
  size_t from = 0;
  for (size_t i = 0; i < length; i++) {
    if (bytes[i] >= 0x20 && bytes[i] != '"' && bytes[i] != '\\') continue;
    char escape[8];
    const char *names = "\b\f\n\r\t\"\\", *found = bytes[i] == 0 ? NULL : strchr(names, bytes[i]);
    int written = found != NULL ? snprintf(escape, sizeof escape, "\\%c", "bfnrt\"\\"[found - names]) : snprintf(escape, sizeof escape, "\\u%04x", bytes[i]);
    put(self, (const char *)bytes + from, i - from);
    put(self, escape, (size_t)written);
    from = i + 1;
  }
  put(self, (const char *)bytes + from, length - from);
  put(self, "\"", 1);
}

/* RFC 8949 §6.1: byte strings as base64url without padding. */
static void put_base64(struct text *self, const uint8_t *bytes, size_t length) {
  static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
  put(self, "\"", 1);
  for (size_t i = 0; i < length; i += 3) {
    size_t have = length - i < 3 ? length - i : 3;
    uint32_t group = (uint32_t)bytes[i] << 16 | (have > 1 ? (uint32_t)bytes[i + 1] << 8 : 0) | (have > 2 ? bytes[i + 2] : 0u);
    char four[4];
    for (unsigned k = 0; k < 4; k++) four[k] = alphabet[group >> (18 - 6 * k) & 63];
    put(self, four, have + 1);
  }
  put(self, "\"", 1);
}

static void put_string(struct text *self, struct ipcnet_cbor value, int is_text) {
  const uint8_t *bytes;
  size_t length;
  uint8_t *copy = NULL;
  if (!ipcnet_cbor_view(value, &bytes, &length)) {
    /* In pieces. */
    copy = malloc(value.length + 1);
    if (copy == NULL) {
      self->failed = 1;
      return;
    }
    int64_t copied = is_text ? ipcnet_cbor_to_text(value, (char *)copy, value.length + 1) : ipcnet_cbor_to_bytes(value, copy, value.length + 1);
    bytes = copy;
    length = copied < 0 ? 0 : (size_t)copied;
  }
  if (is_text) put_quoted(self, bytes, length);
  else put_base64(self, bytes, length);
  free(copy);
}

static void put_scalar(struct text *self, struct ipcnet_cbor value, int canonical) {
  char number[IPCNET_NUMBER_TEXT_BYTES];
  int64_t integer;
  uint64_t large;
  double real = NAN;
  int yes = 0;
  switch (ipcnet_cbor_type(value)) {
    case IPCNET_CBOR_TEXT: put_string(self, value, 1); return;
    case IPCNET_CBOR_BYTES: put_string(self, value, 0); return;
    case IPCNET_CBOR_BOOLEAN:
      ipcnet_cbor_to_boolean(value, &yes);
      put(self, yes ? "true" : "false", yes ? 4 : 5);
      return;
    case IPCNET_CBOR_INTEGER:
      /* ECMAScript has only doubles. */
      if (canonical && ipcnet_cbor_to_double(value, &real)) put(self, number, ipcnet_number_text(real, number));
      else if (ipcnet_cbor_to_integer(value, &integer)) put(self, number, (size_t)snprintf(number, sizeof number, "%lld", (long long)integer));
      else if (ipcnet_cbor_to_unsigned(value, &large)) put(self, number, (size_t)snprintf(number, sizeof number, "%llu", (unsigned long long)large));
      else if (ipcnet_cbor_to_double(value, &real)) put(self, number, ipcnet_number_text(real, number));
      return;
    case IPCNET_CBOR_FLOAT:
      ipcnet_cbor_to_double(value, &real);
      put(self, number, ipcnet_number_text(real, number));
      return;
    default: put(self, "null", 4); return;
  }
}

/* In the order of UTF-16 units: as that of bytes, but that characters beyond U+FFFF (four bytes) come before U+E000 … U+FFFF. */
static int compare_keys(struct ipcnet_cbor left, struct ipcnet_cbor right) {
  const uint8_t *a = NULL, *b = NULL;
  size_t a_bytes = 0, b_bytes = 0;
  (void)ipcnet_cbor_view(left, &a, &a_bytes);
  (void)ipcnet_cbor_view(right, &b, &b_bytes);
  for (size_t i = 0; i < a_bytes && i < b_bytes; i++) {
    if (a[i] == b[i]) continue;
    int a_high = a[i] >= 0xf0, b_high = b[i] >= 0xf0;
    if (a_high != b_high && (a_high ? b[i] : a[i]) >= 0xee) return a_high ? -1 : 1;
    return a[i] < b[i] ? -1 : 1;
  }
  return a_bytes == b_bytes ? 0 : a_bytes < b_bytes ? -1 : 1;
}

/* The entry with the smallest key above *key (an empty one: of all). Quadratic: for schemas. */
static int next_in_order(struct ipcnet_cbor map, struct ipcnet_cbor *key, struct ipcnet_cbor *item) {
  struct ipcnet_cbor last = *key, name, value;
  size_t position = 0;
  int found = 0;
  while (ipcnet_cbor_next(map, &position, &name, &value)) {
    if ((last.length > 0 && compare_keys(name, last) <= 0) || (found && compare_keys(name, *key) >= 0)) continue;
    *key = name;
    *item = value;
    found = 1;
  }
  return found;
}

static char *to_json(struct ipcnet_cbor value, int canonical) {
  struct {
    struct ipcnet_cbor container;
    size_t position;
    struct ipcnet_cbor key;
    int is_map;
  } open[IPCNET_CBOR_DEPTH_MAX + 2];
  struct text text = {NULL, 0, 0, 0};
  unsigned depth = 0;
  struct ipcnet_cbor key, item = value;
  for (;;) {
    int type = ipcnet_cbor_type(item);
    if ((type == IPCNET_CBOR_MAP || type == IPCNET_CBOR_ARRAY) && depth < IPCNET_CBOR_DEPTH_MAX + 2) {
      open[depth].container = item;
      open[depth].position = 0;
      open[depth].key = (struct ipcnet_cbor){NULL, 0};
      open[depth++].is_map = type == IPCNET_CBOR_MAP;
      put(&text, type == IPCNET_CBOR_MAP ? "{" : "[", 1);
    } else put_scalar(&text, item, canonical);
    for (;;) {
      if (depth == 0) {
        if (!text.failed) return text.bytes;
        free(text.bytes);
        return NULL;
      }
      int in_order = canonical && open[depth - 1].is_map;
      int first = in_order ? open[depth - 1].key.length == 0 : open[depth - 1].position == 0;
      if (in_order ? next_in_order(open[depth - 1].container, &open[depth - 1].key, &item) : ipcnet_cbor_next(open[depth - 1].container, &open[depth - 1].position, &key, &item)) {
        if (in_order) key = open[depth - 1].key;
        if (!first) put(&text, ",", 1);
        if (open[depth - 1].is_map) {
          put_string(&text, key, 1);
          put(&text, ":", 1);
        }
        break;
      }
      depth -= 1;
      put(&text, open[depth].is_map ? "}" : "]", 1);
    }
  }
}

char *ipcnet_cbor_to_json(struct ipcnet_cbor value) {
  return to_json(value, 0);
}

char *ipcnet_cbor_to_canonical_json(struct ipcnet_cbor value) {
  return to_json(value, 1);
}
