/* The vectors that TypeScript runs too: schemas/vectors/cbor.json and schema-hash.json, read with the reader under test. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define CHECK(condition, what) do { if (!(condition)) { fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, what); exit(1); } } while (0)

static char row_name[128];

static struct ipcnet_cbor load(struct ipcnet_cbor_writer *writer, const char *path) {
  static char text[1 << 20];
  struct ipcnet_cbor value;
  FILE *file = fopen(path, "rb");
  CHECK(file != NULL, path);
  size_t length = fread(text, 1, sizeof text, file);
  fclose(file);
  ipcnet_cbor_begin(writer, NULL, 4u << 20);
  CHECK(ipcnet_cbor_from_json(writer, text, length) == 0 && ipcnet_cbor_finish(writer) > 0, path);
  CHECK(ipcnet_cbor_open(writer->bytes, writer->length, &value) == 0, path);
  return value;
}

static char *text_at(struct ipcnet_cbor row, const char *key) {
  struct ipcnet_cbor value;
  if (!ipcnet_cbor_get(row, key, &value) || ipcnet_cbor_type(value) != IPCNET_CBOR_TEXT) return NULL;
  size_t capacity = (size_t)ipcnet_cbor_to_text(value, NULL, 0) + 1;
  char *text = malloc(capacity);
  CHECK(text != NULL, key);
  (void)ipcnet_cbor_to_text(value, text, capacity);
  return text;
}

static size_t from_hex(const char *hex, uint8_t *bytes) {
  size_t length = strlen(hex) / 2;
  for (size_t i = 0; i < length; i++) {
    char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
    bytes[i] = (uint8_t)strtoul(pair, NULL, 16);
  }
  return length;
}

static int run_cbor(const char *path) {
  struct ipcnet_cbor_writer writer, again;
  struct ipcnet_cbor rows = load(&writer, path), row, value, written;
  size_t position = 0;
  int count = 0;
  while (ipcnet_cbor_next(rows, &position, NULL, &row)) {
    char *name = text_at(row, "name"), *hex = text_at(row, "hex"), *json = text_at(row, "json");
    CHECK(name != NULL && hex != NULL, "a row");
    snprintf(row_name, sizeof row_name, "%s", name);
    uint8_t *bytes = malloc(strlen(hex) / 2 + 1);
    CHECK(bytes != NULL, row_name);
    size_t length = from_hex(hex, bytes);
    int status = ipcnet_cbor_open(bytes, length, &value);
    CHECK((status == 0) == (json != NULL), row_name);
    if (json != NULL) {
      char *text = ipcnet_cbor_to_json(value);
      CHECK(text != NULL && strcmp(text, json) == 0, row_name);
      ipcnet_free(text);
      if (ipcnet_cbor_get(row, "written", &written)) {
        ipcnet_cbor_begin(&again, NULL, 0);
        CHECK(ipcnet_cbor_from_json(&again, json, strlen(json)) == 0 && ipcnet_cbor_finish(&again) == (int)length && memcmp(again.bytes, bytes, length) == 0, row_name);
        ipcnet_cbor_end(&again);
      }
    }
    free(name);
    free(hex);
    free(json);
    free(bytes);
    count += 1;
  }
  ipcnet_cbor_end(&writer);
  return count;
}

static uint8_t type_of(const char *name) {
  static const char *const names[] = {"", "f64", "f32", "i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64"};
  for (uint8_t i = 1; i < 11; i++)
    if (strcmp(names[i], name) == 0) return i;
  return 0;
}

static void run_record(struct ipcnet_cbor row) {
  struct ipcnet_field_definition fields[16] = {{.name = NULL}};
  struct ipcnet_cbor list, field, layout;
  struct ipcnet_cbor_writer writer;
  char *name = text_at(row, "name"), *hash_text = text_at(row, "hash");
  uint64_t hash = 0, size = 0;
  uint32_t count = 0, record_bytes = 0;
  size_t position = 0;
  CHECK(name != NULL && hash_text != NULL && ipcnet_cbor_get(row, "fields", &list), "a record");
  snprintf(row_name, sizeof row_name, "%s", name);
  for (; ipcnet_cbor_next(list, &position, NULL, &field); count++) {
    char *type = text_at(field, "type");
    fields[count] = (struct ipcnet_field_definition){.name = text_at(field, "name"), .unit = text_at(field, "unit"), .type = type_of(type)};
    (void)ipcnet_cbor_get_double(field, "minimum", &fields[count].minimum);
    (void)ipcnet_cbor_get_double(field, "maximum", &fields[count].maximum);
    free(type);
  }
  ipcnet_cbor_begin(&writer, NULL, 0);
  CHECK(topic_define(name, fields, count, &writer, &hash, &record_bytes) == 0 && ipcnet_cbor_finish(&writer) > 0, row_name);
  CHECK(hash == strtoull(hash_text, NULL, 16) && ipcnet_cbor_get_unsigned(row, "sizeBytes", UINT32_MAX, &size) && record_bytes == size, row_name);
  /* What is sent says the same. */
  CHECK(ipcnet_cbor_open(writer.bytes, writer.length, &layout) == 0 && ipcnet_cbor_get(layout, "fields", &list) && ipcnet_cbor_get(row, "offsetsBytes", &row), row_name);
  struct ipcnet_cbor offset;
  size_t offsets = 0;
  for (position = 0; ipcnet_cbor_next(list, &position, NULL, &field);) {
    uint64_t is = 0, should = 0;
    CHECK(ipcnet_cbor_next(row, &offsets, NULL, &offset) && ipcnet_cbor_to_unsigned(offset, &should) && ipcnet_cbor_get_unsigned(field, "offsetBytes", UINT32_MAX, &is) && is == should, row_name);
  }
  ipcnet_cbor_end(&writer);
  for (uint32_t i = 0; i < count; i++) {
    free((void *)(uintptr_t)fields[i].name);
    free((void *)(uintptr_t)fields[i].unit);
  }
  free(name);
  free(hash_text);
}

static int run_hashes(const char *path) {
  struct ipcnet_cbor_writer writer;
  struct ipcnet_cbor file = load(&writer, path), list, row, schema;
  size_t position = 0;
  int count = 0;
  CHECK(ipcnet_cbor_get(file, "records", &list), path);
  for (; ipcnet_cbor_next(list, &position, NULL, &row); count++) run_record(row);
  CHECK(ipcnet_cbor_get(file, "schemas", &list), path);
  for (position = 0; ipcnet_cbor_next(list, &position, NULL, &row); count++) {
    char *encoding = text_at(row, "encoding"), *hash_text = text_at(row, "hash");
    uint64_t hash = 0;
    (void)ipcnet_cbor_get(row, "jsonSchema", &schema);
    CHECK(encoding != NULL && hash_text != NULL && topic_schema_hash(encoding, schema, &hash) == 0 && hash == strtoull(hash_text, NULL, 16), encoding);
    free(encoding);
    free(hash_text);
  }
  ipcnet_cbor_end(&writer);
  return count;
}

int main(int count, char **words) {
  CHECK(count == 3, "vectors_test schemas/vectors/cbor.json schemas/vectors/schema-hash.json");
  int rows = run_cbor(words[1]), hashes = run_hashes(words[2]);
  printf("vectors: %d values, %d hashes\n", rows, hashes);
  return rows > 30 && hashes >= 7 ? 0 : 1;
}
