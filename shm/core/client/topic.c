/* Topics as they were described, and the fields of their records. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client.h"
#include "sha256.h"

#define RECORD_BYTES_MAX 65536u
#define FIELDS_MAX 4096u
#define DESCRIPTION_BYTES_MAX 262144u
/* A gateway that announces without end must not take our memory without end. */
#define TOPICS_MAX 65536u

static const char *const encoding_names[] = {"", "record", "cbor", "json", "bytes", "canframe", "tensor", "video", "audio", "points", "file", "haptic"};
static const struct {
  const char *name;
  uint8_t bytes;
} field_types[] = {{"", 0}, {"f64", 8}, {"f32", 4}, {"i8", 1}, {"u8", 1}, {"i16", 2}, {"u16", 2}, {"i32", 4}, {"u32", 4}, {"i64", 8}, {"u64", 8}};
#define FIELD_TYPES (sizeof field_types / sizeof field_types[0])

/* ---- descriptions ------------------------------------------------------------------------------------------------------------------- */

static int parse_hash(const char *text, size_t length, uint64_t *hash) {
  if (length != 16) return -1;
  *hash = 0;
  for (size_t i = 0; i < length; i++) {
    char c = text[i];
    if (!((c >= '0' && c <= '9') || (c >= 'a' && c <= 'f'))) return -1;
    *hash = *hash << 4 | (uint64_t)(c <= '9' ? c - '0' : c - 'a' + 10);
  }
  return 0;
}

static int parse_field(struct ipcnet_client *client, struct ipcnet_cbor description, uint32_t record_bytes, struct ipcnet_field *field) {
  size_t name_bytes, type_bytes, unit_bytes;
  const char *name = get_text(description, "name", &name_bytes), *type = get_text(description, "type", &type_bytes), *unit = get_text(description, "unit", &unit_bytes);
  uint64_t offset;
  memset(field, 0, sizeof *field);
  for (size_t i = 1; i < FIELD_TYPES; i++)
    if (strlen(field_types[i].name) == type_bytes && memcmp(field_types[i].name, type, type_bytes) == 0) field->type = (uint8_t)i;
  field->size_bytes = field_types[field->type].bytes;
  if (field->type == 0 || field->size_bytes > record_bytes || !ipcnet_cbor_get_unsigned(description, "offsetBytes", record_bytes - field->size_bytes, &offset)) return -1;
  struct text *kept_name = client_text(client, name, name_bytes), *kept_unit = client_text(client, unit, unit_bytes);
  if (kept_name == NULL || kept_unit == NULL) return -1;
  field->name = kept_name->bytes;
  field->unit = kept_unit->bytes;
  field->offset_bytes = (uint32_t)offset;
  field->minimum = field->maximum = NAN;
  ipcnet_cbor_get_double(description, "minimum", &field->minimum);
  ipcnet_cbor_get_double(description, "maximum", &field->maximum);
  return 0;
}

/* A layout that does not hold together is none: the topic can still be read as bytes. */
static void parse_layout(struct ipcnet_client *client, struct ipcnet_topic *topic, struct ipcnet_cbor layout) {
  struct ipcnet_cbor list, item;
  uint64_t size, presence = 0;
  if (!ipcnet_cbor_get_unsigned(layout, "sizeBytes", RECORD_BYTES_MAX, &size) || size % 8 != 0 || !ipcnet_cbor_get(layout, "fields", &list) || ipcnet_cbor_type(list) != IPCNET_CBOR_ARRAY) return;
  uint64_t count = ipcnet_cbor_count(list);
  if (ipcnet_cbor_get(layout, "presenceBytes", &item) && !ipcnet_cbor_get_unsigned(layout, "presenceBytes", size, &presence)) return;
  if (count > FIELDS_MAX || (presence > 0 && presence * 8 < count)) return;
  struct ipcnet_field *fields = calloc(count == 0 ? 1 : (size_t)count, sizeof *fields);
  size_t position = 0;
  uint32_t at = 0;
  if (fields == NULL) return;
  while (ipcnet_cbor_next(list, &position, NULL, &item)) {
    if (parse_field(client, item, (uint32_t)size, &fields[at]) < 0) {
      free(fields);
      return;
    }
    fields[at].presence_bit = presence > 0 ? (int32_t)at : -1;
    at += 1;
  }
  topic->record_bytes = (uint32_t)size;
  topic->field_count = (uint32_t)count;
  topic->fields = fields;
}

static void topic_free(struct ipcnet_topic *topic) {
  list_remove(&topic->link);
  free(topic->description);
  free(topic->fields);
  free(topic);
}

void topics_free(struct ipcnet_client *client) {
  while (!list_is_empty(&client->topics)) topic_free(LIST_OWNER(client->topics.next, struct ipcnet_topic, link));
}

static struct ipcnet_topic *new_topic(struct ipcnet_client *client, struct text *name, struct text *encoding, uint64_t hash, struct ipcnet_cbor description) {
  struct ipcnet_topic *topic = calloc(1, sizeof *topic);
  struct ipcnet_cbor layout;
  if (topic == NULL) return NULL;
  list_init(&topic->link);
  topic->description = malloc(description.length);
  if (topic->description == NULL) {
    free(topic);
    return NULL;
  }
  memcpy(topic->description, description.bytes, description.length);
  topic->description_bytes = description.length;
  topic->name = name;
  topic->encoding_name = encoding->bytes;
  for (int i = 1; i <= IPCNET_ENCODING_HAPTIC; i++)
    if (strcmp(encoding->bytes, encoding_names[i]) == 0) topic->encoding = i;
  topic->schema_hash = hash;
  topic->index = client->topic_count++;
  if (ipcnet_cbor_get(description, "layout", &layout)) parse_layout(client, topic, layout);
  list_append(&client->topics, &topic->link);
  return topic;
}

int topic_learn(struct ipcnet_client *client, struct ipcnet_cbor description, struct ipcnet_topic **result) {
  size_t name_bytes, encoding_bytes, hash_bytes;
  const char *name = get_text(description, "name", &name_bytes), *encoding = get_text(description, "encoding", &encoding_bytes), *hash_text = get_text(description, "schemaHash", &hash_bytes);
  uint32_t id;
  uint64_t hash, quality = 0;
  if (name_bytes == 0 || name_bytes > 1024 || encoding_bytes == 0 || encoding_bytes > 64 || description.length > DESCRIPTION_BYTES_MAX || parse_hash(hash_text, hash_bytes, &hash) < 0 || !get_number(description, "id", &id)) return -1;
  struct text *kept_name = client_text(client, name, name_bytes), *kept_encoding = client_text(client, encoding, encoding_bytes);
  if (kept_name == NULL || kept_encoding == NULL) return -1;
  struct ipcnet_topic *topic = kept_name->topic;
  /* Messages and programs may hold the old one: it stays, and what is different becomes another. */
  if (topic == NULL || topic->schema_hash != hash || topic->encoding_name != kept_encoding->bytes) {
    if (client->topic_count >= TOPICS_MAX) return -1;
    topic = new_topic(client, kept_name, kept_encoding, hash, description);
    if (topic == NULL) return -1;
    kept_name->topic = topic;
  }
  struct ipcnet_cbor writable;
  topic->id = id;
  topic->writable = 0;
  if (ipcnet_cbor_get(description, "writable", &writable)) ipcnet_cbor_to_boolean(writable, &topic->writable);
  ipcnet_cbor_get_double(description, "rateHz", &topic->rate_hz);
  ipcnet_cbor_get_unsigned(description, "quality", IPCNET_BAD, &quality);
  topic->quality = (int)quality;
  if (table_set(&client->topics_by_id, id, topic) < 0) return -1;
  if (result != NULL) *result = topic;
  return 0;
}

struct ipcnet_topic *topic_known(struct ipcnet_client *client, const char *name) {
  struct text *text = client_text(client, name, strlen(name));
  struct ipcnet_topic *topic = text == NULL ? NULL : text->topic;
  /* Known to this connection? */
  return topic != NULL && table_get(&client->topics_by_id, topic->id) == topic ? topic : NULL;
}

/* ---- asking the gateway ------------------------------------------------------------------------------------------------------------- */

int ipcnet_topics(struct ipcnet_client *client, const char *pattern, const struct ipcnet_topic ***result) {
  struct ipcnet_reply reply;
  struct ipcnet_cbor list, description;
  size_t position = 0;
  uint64_t count = 0;
  *result = NULL;
  message_begin(client, "topics");
  put_text(client, "pattern", pattern == NULL ? "#" : pattern);
  int status = message_ask(client, NULL, 0, &reply);
  if (status < 0) {
    ipcnet_reply_free(&reply);
    return status;
  }
  if (ipcnet_cbor_open(reply.body, reply.body_bytes, &list) < 0 || ipcnet_cbor_type(list) != IPCNET_CBOR_ARRAY) {
    ipcnet_reply_free(&reply);
    return client_fail(client, IPCNET_BAD_GATEWAY, "the gateway's list of topics is malformed");
  }
  const struct ipcnet_topic **topics = calloc((size_t)ipcnet_cbor_count(list) + 1, sizeof *topics);
  status = topics == NULL ? client_no_memory(client) : 0;
  while (status == 0 && ipcnet_cbor_next(list, &position, NULL, &description)) {
    struct ipcnet_topic *topic = NULL;
    if (topic_learn(client, description, &topic) < 0) status = client_fail(client, IPCNET_BAD_GATEWAY, "the gateway's list of topics is malformed");
    else topics[count++] = topic;
  }
  ipcnet_reply_free(&reply);
  if (status < 0) {
    free(topics);
    return status;
  }
  *result = topics;
  return (int)count;
}

const struct ipcnet_topic *ipcnet_topic_find(struct ipcnet_client *client, const char *name) {
  const struct ipcnet_topic **topics, *found = topic_known(client, name);
  if (found != NULL) return found;
  if (ipcnet_topics(client, name, &topics) < 0) return NULL;
  free(topics);
  found = topic_known(client, name);
  if (found == NULL) (void)client_fail(client, IPCNET_NOT_FOUND, "there is no topic %s, or this program may neither read nor write it", name);
  return found;
}

const char *ipcnet_topic_name(const struct ipcnet_topic *topic) {
  return topic->name->bytes;
}

int ipcnet_topic_encoding(const struct ipcnet_topic *topic) {
  return topic->encoding;
}

const char *ipcnet_topic_encoding_name(const struct ipcnet_topic *topic) {
  return topic->encoding_name;
}

uint64_t ipcnet_topic_schema_hash(const struct ipcnet_topic *topic) {
  return topic->schema_hash;
}

int ipcnet_topic_writable(const struct ipcnet_topic *topic) {
  return topic->writable;
}

double ipcnet_topic_rate_hz(const struct ipcnet_topic *topic) {
  return topic->rate_hz;
}

int ipcnet_topic_quality(const struct ipcnet_topic *topic) {
  return topic->quality;
}

const uint8_t *ipcnet_topic_description(const struct ipcnet_topic *topic, size_t *length) {
  *length = topic->description_bytes;
  return topic->description;
}

/* ---- fields ------------------------------------------------------------------------------------------------------------------------- */

uint32_t ipcnet_record_bytes(const struct ipcnet_topic *topic) {
  return topic->record_bytes;
}

uint32_t ipcnet_field_count(const struct ipcnet_topic *topic) {
  return topic->field_count;
}

int ipcnet_field_at(const struct ipcnet_topic *topic, uint32_t index, struct ipcnet_field *field) {
  if (index >= topic->field_count) return -IPCNET_NOT_FOUND;
  *field = topic->fields[index];
  return 0;
}

int ipcnet_field_find(const struct ipcnet_topic *topic, const char *name, struct ipcnet_field *field) {
  for (uint32_t i = 0; i < topic->field_count; i++)
    if (strcmp(topic->fields[i].name, name) == 0) return ipcnet_field_at(topic, i, field);
  return -IPCNET_NOT_FOUND;
}

static int is_there(const struct ipcnet_field *field, const uint8_t *record, size_t record_bytes) {
  if (field->size_bytes > record_bytes || field->offset_bytes > record_bytes - field->size_bytes) return 0;
  if (field->presence_bit < 0) return 1;
  size_t byte = (size_t)field->presence_bit / 8;
  return byte < record_bytes && (record[byte] >> (field->presence_bit % 8) & 1) != 0;
}

static uint64_t raw_bits(const struct ipcnet_field *field, const uint8_t *record) {
  uint64_t bits = 0;
  for (unsigned i = 0; i < field->size_bytes; i++) bits |= (uint64_t)record[field->offset_bytes + i] << (8 * i);
  return bits;
}

static int is_float(const struct ipcnet_field *field) {
  return field->type == IPCNET_FIELD_F64 || field->type == IPCNET_FIELD_F32;
}

static int is_signed(const struct ipcnet_field *field) {
  return field->type == IPCNET_FIELD_I8 || field->type == IPCNET_FIELD_I16 || field->type == IPCNET_FIELD_I32 || field->type == IPCNET_FIELD_I64;
}

int ipcnet_field_integer(const struct ipcnet_field *field, const void *record, size_t record_bytes, int64_t *value) {
  if (is_float(field)) return -IPCNET_UNPROCESSABLE_CONTENT;
  if (!is_there(field, record, record_bytes)) return 0;
  unsigned unused = 64 - 8u * field->size_bytes;
  uint64_t bits = raw_bits(field, record) << unused;
  /* An arithmetic shift back keeps the sign. */
  *value = is_signed(field) ? (int64_t)bits >> unused : (int64_t)(bits >> unused);
  return 1;
}

int ipcnet_field_double(const struct ipcnet_field *field, const void *record, size_t record_bytes, double *value) {
  int64_t integer;
  if (!is_there(field, record, record_bytes)) return 0;
  uint64_t bits = raw_bits(field, record);
  if (field->type == IPCNET_FIELD_F64) memcpy(value, &bits, sizeof *value);
  else if (field->type == IPCNET_FIELD_F32) {
    uint32_t half = (uint32_t)bits;
    float real;
    memcpy(&real, &half, sizeof real);
    *value = (double)real;
  } else if (field->type == IPCNET_FIELD_U64) *value = (double)bits;
  else {
    (void)ipcnet_field_integer(field, record, record_bytes, &integer);
    *value = (double)integer;
  }
  return 1;
}

static int store(const struct ipcnet_field *field, uint8_t *record, size_t record_bytes, uint64_t bits) {
  if (field->size_bytes > record_bytes || field->offset_bytes > record_bytes - field->size_bytes || (field->presence_bit >= 0 && (size_t)field->presence_bit / 8 >= record_bytes)) return -IPCNET_UNPROCESSABLE_CONTENT;
  for (unsigned i = 0; i < field->size_bytes; i++) record[field->offset_bytes + i] = (uint8_t)(bits >> (8 * i));
  if (field->presence_bit >= 0) record[field->presence_bit / 8] |= (uint8_t)(1 << (field->presence_bit % 8));
  return 0;
}

int ipcnet_field_set_integer(const struct ipcnet_field *field, void *record, size_t record_bytes, int64_t value) {
  if (is_float(field)) return ipcnet_field_set_double(field, record, record_bytes, (double)value);
  unsigned bits = 8u * field->size_bytes;
  int fits = is_signed(field) ? bits == 64 || (value >= -((int64_t)1 << (bits - 1)) && value < (int64_t)1 << (bits - 1)) : value >= 0 && (bits == 64 || (uint64_t)value >> bits == 0);
  if (!fits || (double)value < field->minimum || (double)value > field->maximum) return -IPCNET_UNPROCESSABLE_CONTENT;
  return store(field, record, record_bytes, (uint64_t)value);
}

int ipcnet_field_set_double(const struct ipcnet_field *field, void *record, size_t record_bytes, double value) {
  uint64_t bits = 0;
  if (isnan(value) || value < field->minimum || value > field->maximum) return -IPCNET_UNPROCESSABLE_CONTENT;
  if (field->type == IPCNET_FIELD_F64) memcpy(&bits, &value, sizeof value);
  else if (field->type == IPCNET_FIELD_F32) {
    float real = (float)value;
    uint32_t half;
    if (isinf(real) && !isinf(value)) return -IPCNET_UNPROCESSABLE_CONTENT;
    memcpy(&half, &real, sizeof half);
    bits = half;
  } else if (field->type == IPCNET_FIELD_U64) {
    if (!(value >= 0 && value < 18446744073709551616.0) || value != trunc(value)) return -IPCNET_UNPROCESSABLE_CONTENT;
    bits = (uint64_t)value;
  } else {
    if (!(value >= -9223372036854775808.0 && value < 9223372036854775808.0) || value != trunc(value)) return -IPCNET_UNPROCESSABLE_CONTENT;
    return ipcnet_field_set_integer(field, record, record_bytes, (int64_t)value);
  }
  return store(field, record, record_bytes, bits);
}

/* ---- values as JSON ----------------------------------------------------------------------------------------------------------------- */

static char *record_json(const struct ipcnet_topic *topic, const void *record, size_t record_bytes) {
  struct ipcnet_cbor_writer writer;
  uint64_t count = 0;
  int64_t integer;
  double real;
  for (uint32_t i = 0; i < topic->field_count; i++) count += (uint64_t)is_there(&topic->fields[i], record, record_bytes);
  ipcnet_cbor_begin(&writer, NULL, 4u << 20);
  ipcnet_cbor_map(&writer, count);
  for (uint32_t i = 0; i < topic->field_count; i++) {
    const struct ipcnet_field *field = &topic->fields[i];
    if (!is_there(field, record, record_bytes)) continue;
    ipcnet_cbor_text(&writer, field->name);
    if (field->type == IPCNET_FIELD_U64) ipcnet_cbor_unsigned(&writer, raw_bits(field, record));
    else if (ipcnet_field_integer(field, record, record_bytes, &integer) == 1) ipcnet_cbor_integer(&writer, integer);
    else if (ipcnet_field_double(field, record, record_bytes, &real) == 1) ipcnet_cbor_number(&writer, real);
  }
  char *json = writer.fault != 0 ? NULL : ipcnet_cbor_to_json((struct ipcnet_cbor){writer.bytes, writer.length});
  ipcnet_cbor_end(&writer);
  return json;
}

char *ipcnet_message_json(const struct ipcnet_message *message) {
  struct ipcnet_cbor_writer writer;
  struct ipcnet_cbor value;
  char *json;
  switch (message->topic->encoding) {
    case IPCNET_ENCODING_RECORD: return message->topic->fields == NULL ? NULL : record_json(message->topic, message->payload, message->payload_bytes);
    case IPCNET_ENCODING_CBOR: return ipcnet_cbor_open(message->payload, message->payload_bytes, &value) < 0 ? NULL : ipcnet_cbor_to_json(value);
    case IPCNET_ENCODING_JSON:
      json = message->payload_bytes == SIZE_MAX ? NULL : malloc(message->payload_bytes + 1);
      if (json == NULL) return NULL;
      if (message->payload_bytes > 0) memcpy(json, message->payload, message->payload_bytes);
      json[message->payload_bytes] = '\0';
      return json;
    default:
      ipcnet_cbor_begin(&writer, NULL, SIZE_MAX / 2);
      ipcnet_cbor_bytes(&writer, message->payload, message->payload_bytes);
      json = writer.fault != 0 ? NULL : ipcnet_cbor_to_json((struct ipcnet_cbor){writer.bytes, writer.length});
      ipcnet_cbor_end(&writer);
      return json;
  }
}

int topic_record_from(const struct ipcnet_topic *topic, struct ipcnet_cbor value, void *record) {
  struct ipcnet_cbor key, item;
  size_t position = 0;
  memset(record, 0, topic->record_bytes);
  if (ipcnet_cbor_type(value) != IPCNET_CBOR_MAP) return -IPCNET_UNPROCESSABLE_CONTENT;
  while (ipcnet_cbor_next(value, &position, &key, &item)) {
    const struct ipcnet_field *field = NULL;
    int64_t integer;
    uint64_t whole;
    double real;
    for (uint32_t i = 0; i < topic->field_count && field == NULL; i++)
      if (ipcnet_cbor_is_text(key, topic->fields[i].name)) field = &topic->fields[i];
    int status = field == NULL ? -IPCNET_UNPROCESSABLE_CONTENT
      : field->type == IPCNET_FIELD_U64 && ipcnet_cbor_to_unsigned(item, &whole) ? (real = (double)whole, real < field->minimum || real > field->maximum) ? -IPCNET_UNPROCESSABLE_CONTENT : store(field, record, topic->record_bytes, whole)
      : !is_float(field) && ipcnet_cbor_to_integer(item, &integer) ? ipcnet_field_set_integer(field, record, topic->record_bytes, integer)
      : ipcnet_cbor_to_double(item, &real) ? ipcnet_field_set_double(field, record, topic->record_bytes, real) : -IPCNET_UNPROCESSABLE_CONTENT;
    if (status < 0) return status;
  }
  return 0;
}

/* ---- records that this program defines (docs/specs/records.md) ---------------------------------------------------------------------- */

/* Text that grows; `failed` sticks. */
struct buffer {
  char *bytes;
  size_t length, capacity;
  int failed;
};

static void add(struct buffer *self, const char *text, size_t length) {
  if (length > self->capacity - self->length) {
    size_t capacity = (self->capacity + length) * 2;
    char *grown = self->failed ? NULL : realloc(self->bytes, capacity);
    if (grown == NULL) {
      self->failed = 1;
      return;
    }
    self->bytes = grown;
    self->capacity = capacity;
  }
  memcpy(self->bytes + self->length, text, length);
  self->length += length;
}

static void add_text(struct buffer *self, const char *text) {
  add(self, text, strlen(text));
}

/* As ECMAScript's JSON.stringify quotes: by way of CBOR. */
static void add_quoted(struct buffer *self, const char *text) {
  struct ipcnet_cbor_writer writer;
  ipcnet_cbor_begin(&writer, NULL, 0);
  ipcnet_cbor_text(&writer, text);
  struct ipcnet_cbor value = {writer.bytes, writer.length};
  char *json = writer.fault != 0 ? NULL : ipcnet_cbor_to_json(value);
  if (json == NULL) self->failed = 1;
  else add_text(self, json);
  free(json);
  ipcnet_cbor_end(&writer);
}

static void add_number(struct buffer *self, double value) {
  char text[IPCNET_NUMBER_TEXT_BYTES];
  add(self, text, ipcnet_number_text(value, text));
}

static int limited(const struct ipcnet_field_definition *field) {
  return field->minimum != 0 || field->maximum != 0;
}

int topic_define(const char *name, const struct ipcnet_field_definition *fields, uint32_t count, struct ipcnet_cbor_writer *layout, uint64_t *hash, uint32_t *record_bytes) {
  struct buffer text = {NULL, 0, 0, 0};
  uint32_t *offsets = calloc(count == 0 ? 1 : count, sizeof *offsets), end = 0;
  if (offsets == NULL) return -IPCNET_INSUFFICIENT_STORAGE;
  int bad = count == 0 || count > FIELDS_MAX;
  for (uint32_t i = 0; !bad && i < count; i++) bad = fields[i].type == 0 || fields[i].type >= FIELD_TYPES || fields[i].name == NULL;
  /* Widest first, so that all are aligned without gaps. */
  for (uint32_t bytes = 8; !bad && bytes > 0; bytes /= 2) {
    for (uint32_t i = 0; i < count; i++) {
      if (field_types[fields[i].type].bytes != bytes) continue;
      offsets[i] = end;
      end += bytes;
    }
  }
  if (bad || end > RECORD_BYTES_MAX) {
    free(offsets);
    return -IPCNET_UNPROCESSABLE_CONTENT;
  }
  *record_bytes = (end + 7) & ~7u;
  add_text(&text, "[\"ipcnet record 1\",");
  add_quoted(&text, name);
  add_text(&text, ",[\"fields\"],[");
  for (uint32_t i = 0; i < count; i++) {
    const struct ipcnet_field_definition *field = &fields[i];
    char number[16];
    add_text(&text, i == 0 ? "[" : ",[");
    add_quoted(&text, field->name);
    add_text(&text, ",\"");
    add_text(&text, field_types[field->type].name);
    add(&text, number, (size_t)snprintf(number, sizeof number, "\",%u,", offsets[i]));
    add_quoted(&text, field->unit == NULL ? "" : field->unit);
    add_text(&text, ",");
    /* NaN is written as null, as a limit that is not declared. */
    add_number(&text, limited(field) ? field->minimum : NAN);
    add_text(&text, ",");
    add_number(&text, limited(field) ? field->maximum : NAN);
    add_text(&text, ",null,[\"");
    add_text(&text, field_types[field->type].name);
    add_text(&text, "\",1,0]]");
  }
  add_text(&text, "]]");
  int status = text.failed ? -IPCNET_UNPROCESSABLE_CONTENT : 0;
  if (status == 0) *hash = ipcnet_sha256_id(text.bytes, text.length);
  free(text.bytes);
  char hash_text[17];
  snprintf(hash_text, sizeof hash_text, "%016llx", (unsigned long long)(status == 0 ? *hash : 0));
  ipcnet_cbor_map(layout, 4);
  ipcnet_cbor_put_text(layout, "name", name);
  ipcnet_cbor_put_text(layout, "hash", hash_text);
  ipcnet_cbor_put_unsigned(layout, "sizeBytes", *record_bytes);
  ipcnet_cbor_text(layout, "fields");
  ipcnet_cbor_array(layout, count);
  for (uint32_t i = 0; i < count; i++) {
    const struct ipcnet_field_definition *field = &fields[i];
    int unit = field->unit != NULL && field->unit[0] != '\0', low = limited(field) && !isnan(field->minimum), high = limited(field) && !isnan(field->maximum);
    ipcnet_cbor_map(layout, 3 + (uint64_t)(unit + low + high));
    ipcnet_cbor_put_text(layout, "name", field->name);
    ipcnet_cbor_put_text(layout, "type", field_types[field->type].name);
    ipcnet_cbor_put_unsigned(layout, "offsetBytes", offsets[i]);
    if (unit) ipcnet_cbor_put_text(layout, "unit", field->unit);
    if (low) ipcnet_cbor_put_number(layout, "minimum", field->minimum);
    if (high) ipcnet_cbor_put_number(layout, "maximum", field->maximum);
  }
  free(offsets);
  return status;
}

int topic_schema_hash(const char *encoding, struct ipcnet_cbor json_schema, uint64_t *hash) {
  struct buffer text = {NULL, 0, 0, 0};
  char *schema = json_schema.length == 0 ? NULL : ipcnet_cbor_to_canonical_json(json_schema);
  if (json_schema.length > 0 && schema == NULL) return -IPCNET_INSUFFICIENT_STORAGE;
  add_text(&text, "[\"ipcnet schema 1\",");
  add_quoted(&text, encoding);
  add_text(&text, ",");
  add_text(&text, schema == NULL ? "null" : schema);
  add_text(&text, "]");
  free(schema);
  if (!text.failed) *hash = ipcnet_sha256_id(text.bytes, text.length);
  free(text.bytes);
  return text.failed ? -IPCNET_UNPROCESSABLE_CONTENT : 0;
}

/* ---- lineage ------------------------------------------------------------------------------------------------------------------------ */

uint64_t ipcnet_text_id(const char *text) {
  return ipcnet_sha256_id(text, strlen(text));
}

void ipcnet_lineage_of(const struct ipcnet_message *message, struct ipcnet_lineage *lineage) {
  *lineage = (struct ipcnet_lineage){ipcnet_text_id(message->origin), ipcnet_text_id(message->topic->name->bytes), message->sequence};
}
