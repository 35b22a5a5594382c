/*
 * ipcnet_mqtt: payloads for an MQTT broker as docs/specs/mqtt.md wants them, for microcontrollers (ESP32, Arduino): values as CBOR in an envelope of E2E profile 8, and commands. Freestanding C99, no allocation;
 * the MQTT client is the firmware's.
 *
 *   uint8_t payload[128];
 *   struct ipcnet_mqtt_payload out;
 *   ipcnet_mqtt_begin(&out, payload, sizeof payload);
 *   ipcnet_mqtt_map(&out, 2);
 *   ipcnet_mqtt_text(&out, "roll");  ipcnet_mqtt_float(&out, roll);
 *   ipcnet_mqtt_text(&out, "armed"); ipcnet_mqtt_bool(&out, false);
 *   const size_t length = ipcnet_mqtt_end(&out, DATA_ID, counter++);        // 0: it did not fit, or a value was no number
 *   if (length > 0) client.publish("imu/torso/state", payload, length, false);
 *
 * The counter rises by one with each payload of one topic, from 0 or from anywhere; the gateway follows a sender that started anew after three payloads. Never publish with "retain".
 * One thread per payload.
 */
#ifndef IPCNET_MQTT_H
#define IPCNET_MQTT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipcnet_e2e.h"

#ifdef __cplusplus
extern "C" {
#endif

#define IPCNET_MQTT_HEADER_BYTES 16u

struct ipcnet_mqtt_payload {
  uint8_t *bytes;
  size_t capacity_bytes, length_bytes;
  bool failed;
};

void ipcnet_mqtt_begin(struct ipcnet_mqtt_payload *self, uint8_t *memory, size_t memory_bytes);

/* CBOR items, in order. A map of `pairs` is followed by so many keys (text), each with its value; an array by so many values. */
void ipcnet_mqtt_map(struct ipcnet_mqtt_payload *self, uint32_t pairs);
void ipcnet_mqtt_array(struct ipcnet_mqtt_payload *self, uint32_t items);
void ipcnet_mqtt_text(struct ipcnet_mqtt_payload *self, const char *text); /* UTF-8 */
void ipcnet_mqtt_unsigned(struct ipcnet_mqtt_payload *self, uint32_t value);
void ipcnet_mqtt_signed(struct ipcnet_mqtt_payload *self, int32_t value);
void ipcnet_mqtt_float(struct ipcnet_mqtt_payload *self, float value); /* one that is not finite fails the payload: the gateway would refuse it */
void ipcnet_mqtt_bool(struct ipcnet_mqtt_payload *self, bool value);

/* The payload's length, or 0. `data_id`: of the topic, as `ipcnet config show` or the input's configuration has it. */
size_t ipcnet_mqtt_end(struct ipcnet_mqtt_payload *self, uint32_t data_id, uint32_t counter);

/*
 * A command (docs/specs/mqtt.md, "Commands", binary): `name` is "<robot>/cmd/<link>/<message>", the topic "ipcnet/<name>/set". Write the map of its values next, then end.
 * `id`, at most 64 characters, differs for each command; `seq` rises; `ttl_ms`, 1 … 60000, is how long it may be carried out from its arrival on.
 */
void ipcnet_mqtt_begin_command(struct ipcnet_mqtt_payload *self, uint8_t *memory, size_t memory_bytes, const char *id, uint32_t ttl_ms, uint32_t seq);
size_t ipcnet_mqtt_end_command(struct ipcnet_mqtt_payload *self, const char *name, uint32_t seq);

#ifdef __cplusplus
}
#endif

#endif
