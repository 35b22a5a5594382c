/* Publishing through the gateway: one message with its verdict, or many in a packet. */
#include <stdlib.h>
#include <string.h>

#include "client.h"

#define TTL_MS_MAX 60000u

int ipcnet_flush(struct ipcnet_client *client) {
  if (client->batch_count == 0) return 0;
  ipcnet_packet_finish_batch(client->batch, client->batch_count, 0);
  client->batch_count = 0;
  return link_send_data(client, client->batch, client->batch_end);
}

static int publish_acknowledged(struct ipcnet_client *client, const char *topic, const void *payload, size_t payload_bytes, const struct ipcnet_publish_options *options) {
  /* In order with what went before. */
  int status = ipcnet_flush(client);
  if (status < 0) return status;
  message_begin(client, "publish");
  put_text(client, "topic", topic);
  put_text(client, "encoding", (options->flags & IPCNET_CBOR) != 0 ? "cbor" : "native");
  if ((options->flags & IPCNET_CBOR) != 0) put_raw(client, "value", payload, payload_bytes);
  else put_bytes(client, "value", payload, payload_bytes);
  if (options->ttl_ms > 0) put_unsigned(client, "ttlMs", options->ttl_ms);
  put_number(client, "sentUs", (double)now_ns() / 1000);
  if (options->id != NULL) put_text(client, "id", options->id);
  status = message_ask(client, NULL, 0, NULL);
  return status < 0 ? status : 0;
}

int ipcnet_publish(struct ipcnet_client *client, const char *topic, const void *payload, size_t payload_bytes, const struct ipcnet_publish_options *wanted) {
  static const struct ipcnet_publish_options none;
  const struct ipcnet_publish_options *options = wanted == NULL ? &none : wanted;
  struct ipcnet_cbor value;
  if (payload_bytes > IPCNET_PACKET_PAYLOAD_BYTES_MAX) return client_fail(client, IPCNET_PAYLOAD_TOO_LARGE, "%s: %zu bytes are more than the %u a message can have", topic, payload_bytes, IPCNET_PACKET_PAYLOAD_BYTES_MAX);
  if (options->ttl_ms > TTL_MS_MAX) return client_fail(client, IPCNET_BAD_REQUEST, "%s: a time to live of %u ms is more than %u", topic, options->ttl_ms, TTL_MS_MAX);
  if ((options->flags & IPCNET_CBOR) != 0 && ipcnet_cbor_open(payload, payload_bytes, &value) < 0) return client_fail(client, IPCNET_UNPROCESSABLE_CONTENT, "%s: the payload is not one CBOR value", topic);
  if ((options->flags & IPCNET_ACKNOWLEDGE) != 0) return publish_acknowledged(client, topic, payload, payload_bytes, options);
  const struct ipcnet_topic *known = ipcnet_topic_find(client, topic);
  if (known == NULL) return client->state == CLIENT_OPEN ? -IPCNET_NOT_FOUND : -IPCNET_SERVICE_UNAVAILABLE;
  struct ipcnet_packet_sample sample = {.topic_id = known->id, .tag = options->ttl_ms, .time_us = (double)now_ns() / 1000, .flags = (options->flags & IPCNET_CBOR) != 0 ? 4 : 0, .payload = payload, .payload_bytes = (uint32_t)payload_bytes};
  size_t end = client->batch_count == 0 ? 0 : ipcnet_packet_append(client->batch, client->batch_end, &sample);
  if (end == 0) {
    int status = ipcnet_flush(client);
    if (status < 0) return status;
    end = ipcnet_packet_append(client->batch, IPCNET_PACKET_SAMPLES_AT, &sample);
  }
  client->batch_end = end;
  client->batch_count += 1;
  return (options->flags & IPCNET_MORE) != 0 ? 0 : ipcnet_flush(client);
}

int ipcnet_publish_json(struct ipcnet_client *client, const char *topic, const char *json, const struct ipcnet_publish_options *wanted) {
  struct ipcnet_publish_options options = {.flags = 0};
  struct ipcnet_cbor_writer writer;
  if (wanted != NULL) options = *wanted;
  options.flags |= IPCNET_CBOR;
  ipcnet_cbor_begin(&writer, NULL, 0);
  int status = ipcnet_cbor_from_json(&writer, json, strlen(json)), length = ipcnet_cbor_finish(&writer);
  if (status < 0 || length < 0) status = client_fail(client, IPCNET_UNPROCESSABLE_CONTENT, "%s: the value is not JSON", topic);
  else status = ipcnet_publish(client, topic, writer.bytes, (size_t)length, &options);
  ipcnet_cbor_end(&writer);
  return status;
}
