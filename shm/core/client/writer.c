/* Topics that this program writes by lanes of its own: advertising, readers that come and go, new lanes on demand, and the same lanes again after a reconnection. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "client.h"

/* As in all languages: docs/specs/lanes.md. */
#define QUEUE_DEFAULT 256u
#define PAYLOAD_BYTES_DEFAULT 65536u
/* Payloads of the largest size that a lane keeps, unless its program says how many and how large. */
#define LARGE_PAYLOADS 4u
/* Room for a lineage of four inputs beside the payload. */
#define LINEAGE_BYTES 96u
#define INLINE_BYTES_MAX 4032u
/* What small messages of a lane with large ones get in their slot. */
#define INLINE_BYTES_OF_LARGE 192u

/* A reader of the lane: the gateway's number for it, the lane's, and the bell to tell whether its process lives. */
struct audience {
  uint32_t number; /* 0: of a connection that has ended */
  int reader;
  int bell;
};

struct ipcnet_writer {
  struct source source; /* of space */
  struct list link;
  struct list ready;
  struct grave grave;
  struct pending pending;
  struct ipcnet_client *client;
  struct ipcnet_advertise_options options; /* callbacks and numbers; its pointers to texts are not used */
  char *name;
  char *encoding;
  uint8_t *layout, *json_schema; /* CBOR */
  size_t layout_bytes, json_schema_bytes;
  struct ipcnet_lane_options lane_options;
  struct ipcnet_lane_writer *lane;
  struct ipcnet_topic *topic;
  struct audience *audience;
  uint32_t readers;
  uint32_t advert;
  uint32_t topic_id;
  int asked, status, ended, renewing;
  int space_fd;
  int refused; /* a message was, and nothing has been read since */
  int space, readers_changed, lost; /* to be told */
  int loaned, rekey_due;
  char lost_text[256];
};

static void make_ready(struct ipcnet_writer *self) {
  if (!list_has(&self->ready)) list_append(&self->client->ready_writers, &self->ready);
  client_signal(self->client);
}

static void readers_have_changed(struct ipcnet_writer *self) {
  if (self->options.on_readers == NULL) return;
  self->readers_changed = 1;
  make_ready(self);
}

/* ---- the lane ----------------------------------------------------------------------------------------------------------------------- */

static void lane_drop(struct ipcnet_writer *self) {
  if (self->lane == NULL) return;
  client_unwatch(self->client, self->space_fd);
  self->space_fd = -1;
  ipcnet_lane_writer_destroy(self->lane);
  self->lane = NULL;
  self->readers = 0;
  self->loaned = 0;
}

static int lane_make(struct ipcnet_writer *self, uint64_t first_sequence, struct ipcnet_lane_writer **lane) {
  struct ipcnet_lane_options options = self->lane_options;
  options.first_sequence = first_sequence;
  int error = ipcnet_lane_writer_create(lane, &options);
  if (error == 0) return 0;
  if (error == -ENOTSUP) return client_fail(self->client, IPCNET_NOT_IMPLEMENTED, "this kernel cannot seal memory against writing (Linux 5.1 can)");
  return client_fail(self->client, error == -EINVAL ? IPCNET_BAD_REQUEST : IPCNET_INSUFFICIENT_STORAGE, "%s: no lane: %s", self->name, strerror(-error));
}

static void lane_use(struct ipcnet_writer *self, struct ipcnet_lane_writer *lane) {
  lane_drop(self);
  self->lane = lane;
  if (self->options.policy != IPCNET_LOSSLESS) return;
  self->space_fd = ipcnet_lane_writer_space_fd(lane);
  if (self->space_fd >= 0 && client_watch(self->client, self->space_fd, &self->source, EPOLLIN) < 0) self->space_fd = -1;
}

static uint64_t power_of_two(uint64_t least) {
  uint64_t power = IPCNET_LANE_SLOTS_MIN;
  while (power < least) power *= 2;
  return power;
}

/* Slots and rings for `queue` messages of `payload_bytes`. */
static int lane_plan(struct ipcnet_writer *self, uint64_t payload_bytes) {
  struct ipcnet_lane_options *lane = &self->lane_options;
  uint64_t slots = power_of_two(self->options.queue == 0 ? QUEUE_DEFAULT : self->options.queue), small = payload_bytes + LINEAGE_BYTES;
  if (slots > IPCNET_LANE_SLOTS_MAX || payload_bytes > IPCNET_LANE_BYTES_MAX / 2) return client_fail(self->client, IPCNET_PAYLOAD_TOO_LARGE, "%s: a lane of %llu messages of %llu bytes is too large", self->name, (unsigned long long)slots, (unsigned long long)payload_bytes);
  lane->slot_count = (uint32_t)slots;
  lane->policy = (uint8_t)(self->options.policy == IPCNET_LATEST ? IPCNET_LANE_LATEST : self->options.policy == IPCNET_LOSSLESS ? IPCNET_LANE_LOSSLESS : IPCNET_LANE_QUEUE);
  if (small <= INLINE_BYTES_MAX) {
    lane->inline_bytes = (uint32_t)((small + 64 + 127) / 128 * 128 - 64);
    return 0;
  }
  lane->inline_bytes = INLINE_BYTES_OF_LARGE;
  /* One message may take half; positions are multiples of 64. */
  uint64_t count = self->options.queue != 0 && self->options.payload_bytes_max != 0 ? slots : LARGE_PAYLOADS;
  uint64_t each = (small + 63) & ~(uint64_t)63, wanted = each * count, most = IPCNET_LANE_BYTES_MAX / 2;
  lane->large_bytes = ((wanted > most && 2 * each <= most ? most : wanted) + 4095) & ~(uint64_t)4095;
  return 0;
}

/* ---- readers ------------------------------------------------------------------------------------------------------------------------ */

static void remove_at(struct ipcnet_writer *self, uint32_t index) {
  (void)ipcnet_lane_writer_remove_reader(self->lane, self->audience[index].reader);
  self->audience[index] = self->audience[--self->readers];
}

/* Those of earlier connections are ours to look after: their processes may have come back by a new one, or be gone. */
static void sweep(struct ipcnet_writer *self) {
  for (uint32_t i = self->readers; i > 0; i--) {
    struct pollfd bell = {.fd = self->audience[i - 1].bell, .events = POLLIN};
    if (self->audience[i - 1].number == 0 && poll(&bell, 1, 0) > 0 && (bell.revents & (POLLHUP | POLLERR)) != 0) remove_at(self, i - 1);
  }
}

int writer_reader(struct ipcnet_client *client, struct ipcnet_cbor message, int *fds, uint32_t fd_count) {
  uint32_t advert, number, policy;
  double deadline_ms = 0;
  if (fd_count != 2 || !get_number(message, "advert", &advert) || !get_number(message, "reader", &number) || number == 0 || !policy_of(message, "policy", &policy)
      || !ipcnet_cbor_get_double(message, "deadlineMs", &deadline_ms) || !(deadline_ms >= 0 && deadline_ms <= 1e9)) return -1;
  struct ipcnet_writer *self = table_get(&client->writers_by_advert, advert);
  if (self == NULL || self->lane == NULL) return 0;
  sweep(self);
  if (self->readers == IPCNET_LANE_READERS_MAX) return 0;
  int bell = fds[1];
  int reader = ipcnet_lane_writer_add_reader(self->lane, fds[0], bell, (enum ipcnet_lane_policy)policy, (uint64_t)(deadline_ms * 1e6));
  fds[0] = fds[1] = -1;
  /* The page of the lane that was just replaced, or a page that is none: its reader gets nothing, and only it. */
  if (reader < 0) return 0;
  self->audience[self->readers++] = (struct audience){number, reader, bell};
  readers_have_changed(self);
  return 0;
}

int writer_unreader(struct ipcnet_client *client, struct ipcnet_cbor message) {
  uint32_t advert, number;
  if (!get_number(message, "advert", &advert) || !get_number(message, "reader", &number)) return -1;
  struct ipcnet_writer *self = table_get(&client->writers_by_advert, advert);
  for (uint32_t i = 0; self != NULL && number != 0 && i < self->readers; i++) {
    if (self->audience[i].number != number) continue;
    remove_at(self, i);
    readers_have_changed(self);
    break;
  }
  return 0;
}

/* ---- losing the topic, and new lanes ------------------------------------------------------------------------------------------------ */

static void lose(struct ipcnet_writer *self, int status, const char *text, size_t length) {
  if (self->lost != 0) return;
  self->lost = status;
  snprintf(self->lost_text, sizeof self->lost_text, "%.*s", (int)(length > 200 ? 200 : length), text);
  if (self->advert != 0) table_remove(&self->client->writers_by_advert, self->advert);
  self->advert = 0;
  lane_drop(self);
  make_ready(self);
}

int writer_unadvert(struct ipcnet_client *client, struct ipcnet_cbor message) {
  uint32_t advert;
  uint64_t status;
  size_t length;
  const char *text = get_text(message, "text", &length);
  if (!get_number(message, "advert", &advert) || !ipcnet_cbor_get_unsigned(message, "status", INT32_MAX, &status) || status < 200) return -1;
  struct ipcnet_writer *self = table_get(&client->writers_by_advert, advert);
  if (self != NULL) lose(self, (int)status, text, length);
  return 0;
}

struct relaning {
  struct pending pending;
  uint32_t advert;
};

static void relaned(struct ipcnet_client *client, struct pending *pending, struct answer *answer) {
  struct relaning *relaning = (struct relaning *)(void *)pending;
  struct ipcnet_writer *self = table_get(&client->writers_by_advert, relaning->advert);
  free(relaning);
  if (self != NULL && answer->status >= 200 && client->state == CLIENT_OPEN) lose(self, answer->status, answer->text, answer->text_length);
}

static void rekey(struct ipcnet_writer *self) {
  struct ipcnet_client *client = self->client;
  struct relaning *relaning = calloc(1, sizeof *relaning);
  struct ipcnet_lane_writer *lane = NULL;
  self->rekey_due = 0;
  int status = relaning == NULL ? client_no_memory(client) : lane_make(self, ipcnet_lane_writer_next_sequence(self->lane), &lane);
  if (status == 0) {
    int fd = ipcnet_lane_writer_fd(lane);
    relaning->advert = self->advert;
    message_begin(client, "relane");
    put_unsigned(client, "advert", self->advert);
    status = message_call(client, &relaning->pending, relaned, now_ns() + client->call_timeout_ns, &fd, 1);
  }
  if (status < 0) {
    free(relaning);
    if (lane != NULL) ipcnet_lane_writer_destroy(lane);
    if (client->state == CLIENT_OPEN) lose(self, -status, client->error_text, strlen(client->error_text));
    return;
  }
  /* Readers read the old one to its end and then the new one; the gateway brings them. */
  lane_use(self, lane);
  readers_have_changed(self);
}

int writer_rekey(struct ipcnet_client *client, struct ipcnet_cbor message) {
  uint32_t advert;
  if (!get_number(message, "advert", &advert)) return -1;
  struct ipcnet_writer *self = table_get(&client->writers_by_advert, advert);
  if (self == NULL || self->lane == NULL) return 0;
  if (self->loaned) self->rekey_due = 1;
  else rekey(self);
  return 0;
}

/* ---- advertising -------------------------------------------------------------------------------------------------------------------- */

static void writer_bury(struct grave *grave) {
  struct ipcnet_writer *self = LIST_OWNER(grave, struct ipcnet_writer, grave);
  free(self->name);
  free(self->encoding);
  free(self->layout);
  free(self->json_schema);
  free(self->audience);
  free(self);
}

static void writer_end(struct ipcnet_writer *self) {
  if (self->ended) return;
  self->ended = 1;
  if (self->advert != 0) table_remove(&self->client->writers_by_advert, self->advert);
  lane_drop(self);
  list_remove(&self->link);
  list_remove(&self->ready);
  if (!self->asked) client_bury(self->client, &self->grave, writer_bury);
}

/* The topic as this program knows it: it needs no announcement of its own topic. */
static int learn_own(struct ipcnet_writer *self) {
  struct ipcnet_cbor_writer writer;
  struct ipcnet_cbor description;
  char hash[17];
  snprintf(hash, sizeof hash, "%016llx", (unsigned long long)self->lane_options.schema_hash);
  ipcnet_cbor_begin(&writer, NULL, 0);
  ipcnet_cbor_map(&writer, 7 + (self->layout != NULL ? 1u : 0u) + (self->json_schema != NULL ? 1u : 0u));
  ipcnet_cbor_put_unsigned(&writer, "id", self->topic_id);
  ipcnet_cbor_put_text(&writer, "name", self->name);
  ipcnet_cbor_put_text(&writer, "encoding", self->encoding);
  ipcnet_cbor_put_text(&writer, "schemaHash", hash);
  ipcnet_cbor_put_boolean(&writer, "writable", 1);
  ipcnet_cbor_put_unsigned(&writer, "rateHz", 0);
  ipcnet_cbor_put_unsigned(&writer, "quality", 0);
  if (self->layout != NULL) ipcnet_cbor_put_raw(&writer, "layout", self->layout, self->layout_bytes);
  if (self->json_schema != NULL) ipcnet_cbor_put_raw(&writer, "jsonSchema", self->json_schema, self->json_schema_bytes);
  int length = ipcnet_cbor_finish(&writer);
  int status = length > 0 && ipcnet_cbor_open(writer.bytes, (size_t)length, &description) == 0 ? topic_learn(self->client, description, &self->topic) : -1;
  ipcnet_cbor_end(&writer);
  return status;
}

static void advertised(struct ipcnet_client *client, struct pending *pending, struct answer *answer) {
  struct ipcnet_writer *self = LIST_OWNER(pending, struct ipcnet_writer, pending);
  int renewing = self->renewing;
  self->asked = 0;
  self->renewing = 0;
  self->status = answer->status;
  if (answer->status < 200) {
    /* At once: readers may stand behind the answer in the same read. */
    if (!get_number(answer->body, "advert", &self->advert) || !get_number(answer->body, "topicId", &self->topic_id) || self->advert == 0 || learn_own(self) < 0 || table_set(&client->writers_by_advert, self->advert, self) < 0) {
      self->status = IPCNET_BAD_GATEWAY;
      self->advert = 0;
    }
  } else if (!renewing) client_fail(client, answer->status, "%.*s", (int)(answer->text_length > 400 ? 400 : answer->text_length), answer->text);
  else if (client->state == CLIENT_OPEN && !self->ended) lose(self, answer->status, answer->text, answer->text_length);
  if (self->ended) {
    self->ended = 0;
    ipcnet_writer_close(self);
  }
  if (renewing) link_renewed(client);
}

static int say_advertise(struct ipcnet_writer *self) {
  struct ipcnet_client *client = self->client;
  char hash[17];
  int fd = ipcnet_lane_writer_fd(self->lane);
  snprintf(hash, sizeof hash, "%016llx", (unsigned long long)self->lane_options.schema_hash);
  message_begin(client, "advertise");
  put_text(client, "topic", self->name);
  put_text(client, "encoding", self->encoding);
  put_text(client, "schemaHash", hash);
  put_text(client, "policy", policy_name(self->lane_options.policy));
  if (self->layout != NULL) put_raw(client, "layout", self->layout, self->layout_bytes);
  if (self->json_schema != NULL) put_raw(client, "jsonSchema", self->json_schema, self->json_schema_bytes);
  if (self->options.deadline_ms > 0) put_unsigned(client, "deadlineMs", self->options.deadline_ms);
  self->asked = 1;
  int status = message_call(client, &self->pending, advertised, now_ns() + client->call_timeout_ns, &fd, 1);
  if (status < 0) self->asked = 0;
  return status;
}

/* Moves what a writer grew on the heap into *bytes. */
static int keep(struct ipcnet_cbor_writer *writer, uint8_t **bytes, size_t *length) {
  int written = ipcnet_cbor_finish(writer);
  if (written < 0) {
    ipcnet_cbor_end(writer);
    return -1;
  }
  *bytes = writer->bytes;
  *length = (size_t)written;
  return 0;
}

static int plan(struct ipcnet_writer *self, const struct ipcnet_advertise_options *options) {
  struct ipcnet_client *client = self->client;
  struct ipcnet_cbor_writer writer;
  uint64_t payload_bytes = PAYLOAD_BYTES_DEFAULT;
  uint32_t record_bytes = 0;
  int status = 0;
  if (options->field_count > 0) {
    ipcnet_cbor_begin(&writer, NULL, 0);
    status = topic_define(options->record_name != NULL ? options->record_name : self->name, options->fields, options->field_count, &writer, &self->lane_options.schema_hash, &record_bytes);
    if (status < 0) ipcnet_cbor_end(&writer);
    if (status < 0 || keep(&writer, &self->layout, &self->layout_bytes) < 0) return client_fail(client, IPCNET_UNPROCESSABLE_CONTENT, "%s: the fields make no record", self->name);
    payload_bytes = record_bytes;
  }
  if (options->json_schema != NULL) {
    ipcnet_cbor_begin(&writer, NULL, 0);
    status = ipcnet_cbor_from_json(&writer, options->json_schema, strlen(options->json_schema));
    if (status < 0) ipcnet_cbor_end(&writer);
    if (status < 0 || keep(&writer, &self->json_schema, &self->json_schema_bytes) < 0) return client_fail(client, IPCNET_UNPROCESSABLE_CONTENT, "%s: the JSON schema is not JSON", self->name);
  }
  if (options->schema_hash != 0) self->lane_options.schema_hash = options->schema_hash;
  else if (options->field_count == 0 && topic_schema_hash(self->encoding, (struct ipcnet_cbor){self->json_schema, self->json_schema_bytes}, &self->lane_options.schema_hash) < 0) return client_no_memory(client);
  return lane_plan(self, options->payload_bytes_max != 0 ? options->payload_bytes_max : payload_bytes);
}

int ipcnet_advertise(struct ipcnet_client *client, const char *topic, const struct ipcnet_advertise_options *wanted, struct ipcnet_writer **result) {
  static const struct ipcnet_advertise_options none;
  const struct ipcnet_advertise_options *options = wanted == NULL ? &none : wanted;
  *result = NULL;
  if (options->policy > IPCNET_LOSSLESS) return client_fail(client, IPCNET_BAD_REQUEST, "%s: there is no policy %u", topic, options->policy);
  struct ipcnet_writer *self = calloc(1, sizeof *self);
  struct ipcnet_lane_writer *lane = NULL;
  if (self == NULL) return client_no_memory(client);
  self->source.kind = SOURCE_SPACE;
  self->client = client;
  self->options = *options;
  self->space_fd = -1;
  list_init(&self->link);
  list_init(&self->ready);
  list_append(&client->writers, &self->link);
  self->name = strdup(topic);
  self->encoding = strdup(options->encoding != NULL ? options->encoding : options->field_count > 0 ? "record" : "cbor");
  self->audience = calloc(IPCNET_LANE_READERS_MAX, sizeof *self->audience);
  int status = self->name == NULL || self->encoding == NULL || self->audience == NULL ? client_no_memory(client) : plan(self, options);
  if (status == 0) status = lane_make(self, 1, &lane);
  if (status == 0) {
    lane_use(self, lane);
    status = say_advertise(self);
  }
  while (status == 0 && self->asked) link_wait(client, self->pending.deadline_ns);
  if (status == 0 && self->status >= 200) status = self->status == IPCNET_BAD_GATEWAY ? client_fail(client, IPCNET_BAD_GATEWAY, "the gateway's answer is malformed") : -self->status;
  if (status < 0) {
    writer_end(self);
    return status;
  }
  *result = self;
  return 0;
}

void ipcnet_writer_close(struct ipcnet_writer *self) {
  if (self == NULL) return;
  struct ipcnet_client *client = self->client;
  if (self->advert != 0 && client->state == CLIENT_OPEN) {
    message_begin(client, "unadvertise");
    put_seq(client);
    put_unsigned(client, "advert", self->advert);
    (void)message_send(client, NULL, 0);
  }
  writer_end(self);
}

void writers_link_ended(struct ipcnet_client *client) {
  table_free(&client->writers_by_advert);
  for (struct list *at = client->writers.next; at != &client->writers; at = at->next) {
    struct ipcnet_writer *self = LIST_OWNER(at, struct ipcnet_writer, link);
    self->advert = 0;
    self->rekey_due = 0;
    for (uint32_t i = 0; i < self->readers; i++) self->audience[i].number = 0;
  }
}

void writers_renew(struct ipcnet_client *client) {
  for (struct list *at = client->writers.next, *next; at != &client->writers; at = next) {
    next = at->next;
    struct ipcnet_writer *self = LIST_OWNER(at, struct ipcnet_writer, link);
    if (self->lane == NULL || self->asked || say_advertise(self) < 0) continue;
    self->renewing = 1;
    client->renewals += 1;
  }
}

void writers_free(struct ipcnet_client *client) {
  while (!list_is_empty(&client->writers)) writer_end(LIST_OWNER(client->writers.next, struct ipcnet_writer, link));
}

/* ---- publishing --------------------------------------------------------------------------------------------------------------------- */

static int lane_meta(struct ipcnet_writer *self, const struct ipcnet_meta *meta, struct ipcnet_lane_meta *out) {
  if (self->lane == NULL) return client_fail(self->client, self->lost != 0 ? self->lost : IPCNET_NOT_FOUND, "%s", self->lost_text);
  memset(out, 0, sizeof *out);
  if (meta == NULL) return 0;
  if (meta->quality > IPCNET_BAD || (meta->flags & ~IPCNET_MESSAGE_KEY_FRAME) != 0 || meta->lineage_count > IPCNET_LANE_LINEAGE_MAX) return client_fail(self->client, IPCNET_BAD_REQUEST, "%s: quality, flags or lineage_count is out of range", self->name);
  out->time_ns = meta->time_ns;
  out->wall_time_ns = meta->wall_time_ns;
  out->ttl_ms = meta->ttl_ms;
  out->flags = (uint16_t)(meta->quality | (meta->flags & IPCNET_MESSAGE_KEY_FRAME));
  out->kind = meta->kind;
  out->lineage_count = meta->lineage_count;
  return 0;
}

static int told(struct ipcnet_writer *self, int error, size_t payload_bytes) {
  switch (error) {
    case 0: return 0;
    case -EAGAIN:
      self->refused = 1;
      return client_fail(self->client, IPCNET_TOO_MANY_REQUESTS, "%s: a lossless reader is behind", self->name);
    case -EMSGSIZE: return client_fail(self->client, IPCNET_PAYLOAD_TOO_LARGE, "%s: %zu bytes do not fit its lane", self->name, payload_bytes);
    default: return client_fail(self->client, IPCNET_BAD_REQUEST, "%s: %s", self->name, strerror(-error));
  }
}

int ipcnet_writer_publish(struct ipcnet_writer *self, const void *payload, size_t payload_bytes, const struct ipcnet_meta *meta) {
  struct ipcnet_lane_meta lane;
  int status = lane_meta(self, meta, &lane);
  if (status < 0) return status;
  const struct ipcnet_lane_lineage *lineage = meta == NULL ? NULL : (const struct ipcnet_lane_lineage *)(const void *)meta->lineage;
  return told(self, ipcnet_lane_writer_publish(self->lane, &lane, lineage, payload, payload_bytes, meta != NULL && meta->more != 0 ? IPCNET_LANE_NO_RING : 0), payload_bytes);
}

int ipcnet_writer_publish_json(struct ipcnet_writer *self, const char *json, const struct ipcnet_meta *meta) {
  struct ipcnet_cbor_writer writer;
  struct ipcnet_cbor value;
  int encoding = self->topic == NULL ? IPCNET_ENCODING_OTHER : self->topic->encoding;
  ipcnet_cbor_begin(&writer, NULL, SIZE_MAX / 2);
  int status = ipcnet_cbor_from_json(&writer, json, strlen(json)), length = status < 0 ? status : ipcnet_cbor_finish(&writer);
  if (length < 0 || ipcnet_cbor_open(writer.bytes, (size_t)length, &value) < 0) status = client_fail(self->client, IPCNET_UNPROCESSABLE_CONTENT, "%s: the value is not JSON", self->name);
  else if (encoding == IPCNET_ENCODING_CBOR) status = ipcnet_writer_publish(self, writer.bytes, (size_t)length, meta);
  else if (encoding == IPCNET_ENCODING_JSON) status = ipcnet_writer_publish(self, json, strlen(json), meta);
  else if (encoding == IPCNET_ENCODING_RECORD && self->topic->fields != NULL) {
    uint8_t *record = malloc(self->topic->record_bytes + 1u);
    if (record == NULL) status = client_no_memory(self->client);
    else if (topic_record_from(self->topic, value, record) < 0) status = client_fail(self->client, IPCNET_UNPROCESSABLE_CONTENT, "%s: the value does not fit the record", self->name);
    else status = ipcnet_writer_publish(self, record, self->topic->record_bytes, meta);
    free(record);
  } else status = client_fail(self->client, IPCNET_UNPROCESSABLE_CONTENT, "%s: values of its encoding cannot be given as JSON", self->name);
  ipcnet_cbor_end(&writer);
  return status;
}

int ipcnet_writer_loan(struct ipcnet_writer *self, size_t payload_bytes, uint32_t lineage_count, void **payload) {
  struct ipcnet_lane_meta lane;
  int status = lane_meta(self, NULL, &lane);
  *payload = NULL;
  if (status < 0) return status;
  if (lineage_count > IPCNET_LANE_LINEAGE_MAX) return client_fail(self->client, IPCNET_BAD_REQUEST, "%s: at most %d inputs in a lineage", self->name, IPCNET_LANE_LINEAGE_MAX);
  status = told(self, ipcnet_lane_writer_loan(self->lane, payload_bytes, (uint8_t)lineage_count, payload), payload_bytes);
  if (status == 0) self->loaned = 1;
  return status;
}

static void loan_ended(struct ipcnet_writer *self) {
  self->loaned = 0;
  if (self->rekey_due) rekey(self);
}

int ipcnet_writer_commit(struct ipcnet_writer *self, size_t payload_bytes, const struct ipcnet_meta *meta) {
  struct ipcnet_lane_meta lane;
  int status = lane_meta(self, meta, &lane);
  if (status < 0) return status;
  const struct ipcnet_lane_lineage *lineage = meta == NULL ? NULL : (const struct ipcnet_lane_lineage *)(const void *)meta->lineage;
  status = told(self, ipcnet_lane_writer_commit(self->lane, &lane, lineage, payload_bytes, meta != NULL && meta->more != 0 ? IPCNET_LANE_NO_RING : 0), payload_bytes);
  if (status == 0) loan_ended(self);
  return status;
}

void ipcnet_writer_give_up(struct ipcnet_writer *self) {
  if (self->lane == NULL || !self->loaned) return;
  ipcnet_lane_writer_give_up(self->lane);
  loan_ended(self);
}

void ipcnet_writer_flush(struct ipcnet_writer *self) {
  if (self->lane != NULL) (void)ipcnet_lane_writer_ring(self->lane);
}

void writer_space(struct ipcnet_client *client, struct source *source) {
  (void)client;
  struct ipcnet_writer *self = (struct ipcnet_writer *)(void *)source;
  if (self->lane != NULL) ipcnet_lane_writer_space_taken(self->lane);
  if (!self->refused) return;
  self->refused = 0;
  if (self->options.on_space == NULL) return;
  self->space = 1;
  make_ready(self);
}

int ipcnet_writer_wait(struct ipcnet_writer *self, int timeout_ms) {
  int64_t deadline = timeout_ms < 0 ? NEVER : now_ns() + (int64_t)timeout_ms * 1000000;
  int woken = 0;
  while (self->lane != NULL && self->refused && !woken && (deadline == NEVER || now_ns() < deadline)) woken = client_wait(self->client, deadline);
  client_owe(self->client);
  return self->lane == NULL || !self->refused;
}

void writers_hand_out(struct ipcnet_client *client) {
  struct list now, *item;
  list_init(&now);
  while ((item = list_shift(&client->ready_writers)) != NULL) list_append(&now, item);
  while ((item = list_shift(&now)) != NULL) {
    struct ipcnet_writer *self = LIST_OWNER(item, struct ipcnet_writer, ready);
    int readers_changed = self->readers_changed, space = self->space;
    self->readers_changed = self->space = 0;
    if (self->lane == NULL && self->lost > 0 && self->options.on_lost != NULL) {
      client->handed_out += 1;
      self->options.on_lost(self->options.context, self, self->lost, self->lost_text);
    }
    if (readers_changed && !self->ended && self->options.on_readers != NULL) {
      client->handed_out += 1;
      self->options.on_readers(self->options.context, self, self->readers);
    }
    if (space && !self->ended && self->options.on_space != NULL) {
      client->handed_out += 1;
      self->options.on_space(self->options.context, self);
    }
  }
}

uint32_t ipcnet_writer_readers(const struct ipcnet_writer *self) {
  return self->readers;
}

size_t ipcnet_writer_payload_bytes_max(const struct ipcnet_writer *self) {
  return self->lane == NULL ? 0 : ipcnet_lane_writer_payload_bytes_max(self->lane);
}

const struct ipcnet_topic *ipcnet_writer_topic(const struct ipcnet_writer *self) {
  return self->topic;
}

void ipcnet_writer_stats(const struct ipcnet_writer *self, struct ipcnet_writer_stats *stats) {
  struct ipcnet_lane_writer_stats lane;
  memset(stats, 0, sizeof *stats);
  stats->readers = self->readers;
  if (self->lane == NULL) return;
  ipcnet_lane_writer_stats(self->lane, &lane);
  stats->published = lane.published;
  stats->payload_bytes = lane.payload_bytes;
  stats->rings = lane.rings;
  stats->refused_full = lane.refused_full;
  stats->demoted = lane.demoted;
  stats->next_sequence = ipcnet_lane_writer_next_sequence(self->lane);
}
