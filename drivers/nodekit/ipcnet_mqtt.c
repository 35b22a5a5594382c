#include "ipcnet_mqtt.h"

#include "ipcnet_crc.h"

/* RFC 8949: the upper three bits of an item's first byte. */
enum { UNSIGNED = 0 << 5, NEGATIVE = 1 << 5, TEXT = 3 << 5, ARRAY = 4 << 5, MAP = 5 << 5, SIMPLE = 7 << 5 };
enum { IS_FALSE = 20, IS_TRUE = 21, FLOAT32 = 26 };

static void put(struct ipcnet_mqtt_payload *self, uint8_t byte) {
  if (self->length_bytes >= self->capacity_bytes) self->failed = true;
  else self->bytes[self->length_bytes++] = byte;
}

static void put_bytes(struct ipcnet_mqtt_payload *self, uint32_t value, int bytes) {
  while (bytes-- > 0) put(self, (uint8_t)(value >> (8 * bytes)));
}

/* In its shortest form. */
static void item(struct ipcnet_mqtt_payload *self, uint8_t kind, uint32_t argument) {
  if (argument < 24u) {
    put(self, (uint8_t)(kind | argument));
    return;
  }
  const int bytes = argument <= 0xFFu ? 1 : argument <= 0xFFFFu ? 2 : 4;
  put(self, (uint8_t)(kind | (bytes == 1 ? 24 : bytes == 2 ? 25 : 26)));
  put_bytes(self, argument, bytes);
}

static size_t length_of(const char *text) {
  size_t length = 0;
  while (text[length] != '\0') length++;
  return length;
}

void ipcnet_mqtt_begin(struct ipcnet_mqtt_payload *self, uint8_t *memory, size_t memory_bytes) {
  self->bytes = memory;
  self->capacity_bytes = memory_bytes;
  self->length_bytes = IPCNET_MQTT_HEADER_BYTES;
  self->failed = memory_bytes < IPCNET_MQTT_HEADER_BYTES;
}

void ipcnet_mqtt_map(struct ipcnet_mqtt_payload *self, uint32_t pairs) {
  item(self, MAP, pairs);
}

void ipcnet_mqtt_array(struct ipcnet_mqtt_payload *self, uint32_t items) {
  item(self, ARRAY, items);
}

void ipcnet_mqtt_text(struct ipcnet_mqtt_payload *self, const char *text) {
  const size_t length = length_of(text);
  item(self, TEXT, (uint32_t)length);
  for (size_t i = 0; i < length; i++) put(self, (uint8_t)text[i]);
}

void ipcnet_mqtt_unsigned(struct ipcnet_mqtt_payload *self, uint32_t value) {
  item(self, UNSIGNED, value);
}

void ipcnet_mqtt_signed(struct ipcnet_mqtt_payload *self, int32_t value) {
  /* -1 - n, without overflow. */
  if (value < 0) item(self, NEGATIVE, ~(uint32_t)value);
  else item(self, UNSIGNED, (uint32_t)value);
}

void ipcnet_mqtt_float(struct ipcnet_mqtt_payload *self, float value) {
  union { float number; uint32_t bits; } as;
  as.number = value;
  if ((as.bits & 0x7F800000u) == 0x7F800000u) self->failed = true;
  put(self, SIMPLE | FLOAT32);
  put_bytes(self, as.bits, 4);
}

void ipcnet_mqtt_bool(struct ipcnet_mqtt_payload *self, bool value) {
  put(self, (uint8_t)(SIMPLE | (value ? IS_TRUE : IS_FALSE)));
}

size_t ipcnet_mqtt_end(struct ipcnet_mqtt_payload *self, uint32_t data_id, uint32_t counter) {
  const ipcnet_e2e_config e2e = { .data_id = data_id };
  if (self->failed || ipcnet_e2e_p08_protect(&e2e, self->bytes, self->length_bytes, counter) != IPCNET_E2E_INSPECTED_OK) return 0;
  return self->length_bytes;
}

void ipcnet_mqtt_begin_command(struct ipcnet_mqtt_payload *self, uint8_t *memory, size_t memory_bytes, const char *id, uint32_t ttl_ms, uint32_t seq) {
  ipcnet_mqtt_begin(self, memory, memory_bytes);
  ipcnet_mqtt_map(self, 4);
  ipcnet_mqtt_text(self, "id");
  ipcnet_mqtt_text(self, id);
  ipcnet_mqtt_text(self, "ttlMs");
  ipcnet_mqtt_unsigned(self, ttl_ms);
  ipcnet_mqtt_text(self, "seq");
  ipcnet_mqtt_unsigned(self, seq);
  ipcnet_mqtt_text(self, "values");
}

size_t ipcnet_mqtt_end_command(struct ipcnet_mqtt_payload *self, const char *name, uint32_t seq) {
  return ipcnet_mqtt_end(self, ipcnet_crc32_autosar(0, (const uint8_t *)name, length_of(name)), seq);
}
