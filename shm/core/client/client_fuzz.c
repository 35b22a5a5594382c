/*
 * Hostile bytes for everything that the C client parses: CBOR and JSON, packets, batches, and whole conversations with a gateway that says anything, with any descriptors.
 *   client_fuzz [SEED [ITERATIONS]]
 * Under the sanitizers nothing may be read or written that is not ours; besides, no descriptor may be left over and nothing may go on without end.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cbor.h"
#include "lane.h"
#include "packet.h"
#include "seqpacket.h"

#define CHECK(condition) do { if (!(condition)) { fprintf(stderr, "%s:%d: %s (seed %llu)\n", __FILE__, __LINE__, #condition, (unsigned long long)first_seed); exit(1); } } while (0)

static uint64_t first_seed, state;

static uint64_t draw(void) {
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state * 2685821657736338717u;
}

static uint32_t below(uint32_t bound) {
  return (uint32_t)((draw() >> 32) * bound >> 32);
}

static int one_in(uint32_t n) {
  return below(n) == 0;
}

/* How often a gateway says what no gateway may say, of so many times: wild ones are found out at once, tame ones reach further. */
static uint32_t wildness;

static int wildly(uint32_t factor) {
  return wildness > 0 && one_in(wildness * factor);
}

/* ---- values ------------------------------------------------------------------------------------------------------------------------- */

static size_t random_bytes(uint8_t *bytes, size_t max) {
  size_t length = below((uint32_t)max + 1);
  for (size_t i = 0; i < length; i++) bytes[i] = (uint8_t)draw();
  return length;
}

/* A value that is CBOR, nested now and then. Bounded by `budget`. */
static void random_value(struct ipcnet_cbor_writer *writer, uint32_t depth) {
  uint8_t bytes[40];
  switch (below(depth == 0 ? 7 : 10)) {
    case 0: ipcnet_cbor_unsigned(writer, one_in(2) ? below(8) : draw()); return;
    case 1: ipcnet_cbor_integer(writer, (int64_t)draw()); return;
    case 2: ipcnet_cbor_text(writer, one_in(2) ? "talk/hello" : "gr\xc3\xbc\xc3\x9f \"\\\n\xf0\x9f\xa4\x96"); return;
    case 3: ipcnet_cbor_bytes(writer, bytes, random_bytes(bytes, sizeof bytes)); return;
    case 4: ipcnet_cbor_boolean(writer, one_in(2)); return;
    case 5: ipcnet_cbor_null(writer); return;
    case 6: {
      double value;
      uint64_t bits = draw();
      memcpy(&value, &bits, sizeof value);
      ipcnet_cbor_number(writer, one_in(2) ? value : (double)below(1000) / 8);
      return;
    }
    case 7:
    case 8: {
      uint32_t count = below(5);
      ipcnet_cbor_array(writer, count);
      while (count-- > 0) random_value(writer, depth - 1);
      return;
    }
    default: {
      uint32_t count = below(5);
      char key[16];
      ipcnet_cbor_map(writer, count);
      while (count-- > 0) {
        snprintf(key, sizeof key, "k%u", count);
        ipcnet_cbor_text(writer, key);
        random_value(writer, depth - 1);
      }
      return;
    }
  }
}

static void visit(struct ipcnet_cbor value, int depth) {
  struct ipcnet_cbor key, item;
  size_t position = 0, length;
  uint64_t count = 0, whole;
  int64_t integer;
  double real;
  int yes;
  char text[64];
  const uint8_t *bytes;
  (void)ipcnet_cbor_to_integer(value, &integer);
  (void)ipcnet_cbor_to_unsigned(value, &whole);
  (void)ipcnet_cbor_to_double(value, &real);
  (void)ipcnet_cbor_to_boolean(value, &yes);
  (void)ipcnet_cbor_to_text(value, text, sizeof text);
  (void)ipcnet_cbor_to_bytes(value, text, sizeof text);
  if (ipcnet_cbor_view(value, &bytes, &length)) CHECK(bytes + length == value.bytes + value.length);
  CHECK(ipcnet_cbor_type(value) != IPCNET_CBOR_NONE);
  while (ipcnet_cbor_next(value, &position, &key, &item)) {
    count += 1;
    CHECK(item.length > 0 && item.bytes >= value.bytes && item.bytes + item.length <= value.bytes + value.length);
    if (depth < 40 && count < 50) visit(item, depth + 1);
  }
  CHECK(count == ipcnet_cbor_count(value));
}

static void fuzz_values(void) {
  uint8_t bytes[400];
  size_t length;
  struct ipcnet_cbor value, again;
  struct ipcnet_cbor_writer writer;
  if (one_in(3)) length = random_bytes(bytes, 60);
  else {
    ipcnet_cbor_begin(&writer, bytes, sizeof bytes);
    random_value(&writer, 4);
    length = writer.length;
    for (uint32_t i = one_in(3) ? 0 : below(4); i > 0 && length > 0; i--) bytes[below((uint32_t)length)] = (uint8_t)(one_in(2) ? draw() : 0x7f + below(129));
    if (one_in(8) && length > 0) length = below((uint32_t)length);
  }
  /* In memory of exactly this size, so that the sanitizer sees each byte too many. */
  uint8_t *exact = malloc(length + 1);
  CHECK(exact != NULL);
  memcpy(exact, bytes, length);
  uint8_t *tight = realloc(exact, length == 0 ? 1 : length);
  if (ipcnet_cbor_open(tight, length, &value) == 0) {
    visit(value, 0);
    char *json = ipcnet_cbor_to_json(value), *canonical = ipcnet_cbor_to_canonical_json(value);
    CHECK(json != NULL && canonical != NULL);
    /* What was written as JSON reads back, and is then the same text. */
    ipcnet_cbor_begin(&writer, NULL, 0);
    if (ipcnet_cbor_from_json(&writer, json, strlen(json)) == 0 && ipcnet_cbor_finish(&writer) > 0) {
      CHECK(ipcnet_cbor_open(writer.bytes, writer.length, &again) == 0);
      char *second = ipcnet_cbor_to_json(again);
      CHECK(second != NULL && strcmp(json, second) == 0);
      ipcnet_free(second);
    } else CHECK(0);
    ipcnet_cbor_end(&writer);
    for (uint32_t i = below(3) + 1; i > 0 && json[0] != '\0'; i--) json[below((uint32_t)strlen(json))] = "{}[]\",:\\u0e-+.1tfn\x80"[below(19)];
    ipcnet_cbor_begin(&writer, bytes, sizeof bytes);
    if (ipcnet_cbor_from_json(&writer, json, strlen(json)) == 0 && ipcnet_cbor_finish(&writer) > 0) CHECK(ipcnet_cbor_open(writer.bytes, writer.length, &again) == 0);
    ipcnet_free(json);
    ipcnet_free(canonical);
  }
  free(tight);
}

/* ---- packets ------------------------------------------------------------------------------------------------------------------------ */

static size_t random_batch(uint8_t *packet) {
  size_t end = IPCNET_PACKET_SAMPLES_AT;
  uint8_t payload[64];
  uint32_t count = below(6);
  for (uint32_t i = 0; i < count; i++) {
    struct ipcnet_packet_sample sample = {.topic_id = below(5), .tag = below(5), .lost_before = one_in(4) ? (uint32_t)draw() : 0, .origin_id = below(9), .sequence = one_in(4) ? 9e15 : below(1000), .time_us = below(1u << 30), .quality = (uint8_t)below(3), .flags = (uint8_t)draw(), .payload = payload};
    sample.payload_bytes = (uint32_t)random_bytes(payload, sizeof payload);
    end = ipcnet_packet_append(packet, end, &sample);
  }
  ipcnet_packet_finish_batch(packet, count, below(1u << 30));
  for (uint32_t i = wildly(1) ? below(4) : 0; i > 0; i--) packet[20 + below((uint32_t)end - 20)] = (uint8_t)draw();
  return wildly(2) ? 20 + below((uint32_t)end - 20) : end;
}

static void fuzz_packets(void) {
  static uint8_t packet[IPCNET_PACKET_BYTES_MAX];
  struct ipcnet_packet_sample sample;
  double offset;
  size_t length = random_batch(packet), at = IPCNET_PACKET_SAMPLES_AT;
  uint8_t *exact = malloc(length);
  CHECK(exact != NULL);
  memcpy(exact, packet, length);
  int count = ipcnet_packet_check_batch(exact, length, &offset);
  for (int i = 0; i < count; i++) {
    at = ipcnet_packet_sample_at(exact, at, &sample);
    for (uint32_t k = 0; k < sample.payload_bytes; k++) CHECK(sample.payload[k] == exact[(size_t)(sample.payload - exact) + k]);
  }
  CHECK(count < 0 || at == length);
  struct ipcnet_channel channel;
  const uint8_t *body;
  size_t body_bytes;
  ipcnet_channel_init(&channel, IPCNET_PACKET_CLIENT);
  for (size_t i = 0; i < length && i < 20; i++) exact[i] = (uint8_t)draw();
  if (length >= 20 && one_in(2)) memcpy(exact + 16, "\x49\x50\x01\x0b", 4);
  CHECK(ipcnet_channel_receive(&channel, exact, length, &body, &body_bytes) == IPCNET_PACKET_BAD_HEADER);
  ipcnet_channel_free(&channel);
  free(exact);
}

/* ---- conversations ------------------------------------------------------------------------------------------------------------------ */

struct gateway {
  int fd;
  struct ipcnet_channel channel;
  struct ipcnet_lane_writer *lane;
  struct ipcnet_cbor_writer out;
  uint32_t entries;
};

static void begin(struct gateway *self, const char *op) {
  self->out.length = 0;
  self->out.fault = 0;
  self->entries = 1;
  ipcnet_cbor_map(&self->out, 0);
  ipcnet_cbor_put_text(&self->out, "op", op);
}

static void field(struct gateway *self, const char *key) {
  self->entries += 1;
  ipcnet_cbor_text(&self->out, key);
}

static void number(struct gateway *self, const char *key, uint64_t value) {
  if (wildly(4)) return;
  field(self, key);
  if (wildly(4)) random_value(&self->out, 2);
  else ipcnet_cbor_unsigned(&self->out, wildly(8) ? draw() : value);
}

static void text(struct gateway *self, const char *key, const char *value) {
  if (wildly(4)) return;
  field(self, key);
  if (wildly(4)) random_value(&self->out, 2);
  else ipcnet_cbor_text(&self->out, value);
}

static void post(struct gateway *self, enum ipcnet_packet_kind kind, const int *fds, uint32_t fd_count) {
  static uint8_t packet[IPCNET_PACKET_BYTES_MAX];
  struct ipcnet_seqpacket_fds attached = {.count = fd_count};
  for (uint32_t i = 0; i < fd_count; i++) attached.fds[i] = fds[i];
  if (fd_count > 0 && !wildly(4)) number(self, "fds", fd_count);
  self->out.bytes[0] = (uint8_t)(0xa0 | self->entries);
  if (wildly(4)) self->out.bytes[below((uint32_t)self->out.length)] = (uint8_t)draw();
  size_t at = 0;
  while (at < self->out.length) {
    size_t part = one_in(10) ? 1 + below((uint32_t)(self->out.length - at)) : self->out.length - at;
    int last = at + part == self->out.length;
    memcpy(packet + IPCNET_PACKET_CONTROL_AT, self->out.bytes + at, part);
    ipcnet_channel_seal(&self->channel, kind, !last, packet, IPCNET_PACKET_CONTROL_AT + part);
    struct ipcnet_seqpacket_packet one = {packet, IPCNET_PACKET_CONTROL_AT + part};
    struct ipcnet_seqpacket_fds none = {.count = 0};
    if (ipcnet_seqpacket_send_fds(self->fd, &one, last ? &attached : &none, 1) != 1) return;
    at += part;
  }
}

static int some_descriptor(struct gateway *self, int bell) {
  switch (below(8)) {
    case 0: return open("/dev/null", O_RDONLY | O_CLOEXEC);
    case 1: return memfd_create("x", MFD_CLOEXEC);
    case 2: return fcntl(bell, F_DUPFD_CLOEXEC, 3);
    default: return fcntl(ipcnet_lane_writer_fd(self->lane), F_DUPFD_CLOEXEC, 3);
  }
}

static void describe(struct gateway *self, uint32_t id, const char *encoding) {
  char name[24], hash[17] = "00000000000000aa";
  snprintf(name, sizeof name, "topic/%u", id);
  if (wildly(1)) hash[below(16)] = 'x';
  ipcnet_cbor_map(&self->out, 7);
  ipcnet_cbor_put_unsigned(&self->out, "id", id);
  ipcnet_cbor_put_text(&self->out, "name", name);
  ipcnet_cbor_put_text(&self->out, "encoding", encoding);
  ipcnet_cbor_put_text(&self->out, "schemaHash", hash);
  ipcnet_cbor_put_number(&self->out, "rateHz", below(100));
  ipcnet_cbor_put_unsigned(&self->out, "quality", below(4));
  ipcnet_cbor_text(&self->out, "layout");
  if (one_in(3)) {
    random_value(&self->out, 3);
    return;
  }
  uint32_t fields = below(4);
  ipcnet_cbor_map(&self->out, 3);
  ipcnet_cbor_put_unsigned(&self->out, "sizeBytes", one_in(5) ? below(70000) : 32);
  ipcnet_cbor_put_unsigned(&self->out, "presenceBytes", one_in(2) ? 0 : one_in(5) ? below(70000) : 8);
  ipcnet_cbor_text(&self->out, "fields");
  ipcnet_cbor_array(&self->out, fields);
  while (fields-- > 0) {
    ipcnet_cbor_map(&self->out, 3);
    ipcnet_cbor_put_text(&self->out, "name", "field");
    ipcnet_cbor_put_text(&self->out, "type", one_in(6) ? "f128" : one_in(2) ? "f64" : "i16");
    ipcnet_cbor_put_unsigned(&self->out, "offsetBytes", one_in(4) ? below(100) : 8 * below(4));
  }
}

static void say_something(struct gateway *self, uint32_t *next_lane) {
  int bell[2], fds[4] = {-1, -1, -1, -1};
  uint32_t fd_count = 0;
  CHECK(ipcnet_lane_bell(bell) == 0);
  switch (below(18)) {
    case 0:
      begin(self, "announce");
      field(self, "topics");
      ipcnet_cbor_array(&self->out, 2);
      describe(self, below(4), one_in(2) ? "record" : "cbor");
      describe(self, below(4), "bytes");
      break;
    case 1:
      begin(self, "origins");
      field(self, "origins");
      ipcnet_cbor_array(&self->out, 1);
      ipcnet_cbor_map(&self->out, 2);
      ipcnet_cbor_put_unsigned(&self->out, "id", below(9));
      ipcnet_cbor_put_text(&self->out, "name", "somebody");
      break;
    case 2:
      begin(self, "gap");
      field(self, "gaps");
      ipcnet_cbor_array(&self->out, 1);
      ipcnet_cbor_map(&self->out, 3);
      ipcnet_cbor_put_unsigned(&self->out, "subscription", below(4));
      ipcnet_cbor_put_unsigned(&self->out, "topicId", below(4));
      ipcnet_cbor_put_unsigned(&self->out, "lost", draw());
      break;
    case 3:
      begin(self, one_in(2) ? "notice" : "leaving");
      number(self, "status", 200 + below(10));
      text(self, "text", "something");
      number(self, "count", below(5));
      number(self, "deadlineMs", below(1000));
      break;
    case 4:
    case 5:
    case 6:
      begin(self, "lane");
      number(self, "subscription", 1 + below(2));
      number(self, "topicId", below(4));
      number(self, "lane", wildly(1) ? 1 + below(3) : ++*next_lane);
      number(self, "origin", below(9));
      text(self, "policy", one_in(2) ? "queue" : one_in(2) ? "latest" : "lossless");
      text(self, "schemaHash", "00000000000000aa");
      if (one_in(3)) number(self, "replaces", 1 + below(*next_lane + 1));
      fds[fd_count++] = some_descriptor(self, bell[1]);
      fds[fd_count++] = one_in(6) ? some_descriptor(self, bell[1]) : fcntl(bell[0], F_DUPFD_CLOEXEC, 3);
      if (wildly(1)) fd_count -= 1, close(fds[fd_count]);
      break;
    case 7:
      begin(self, "unlane");
      number(self, "lane", 1 + below(*next_lane + 1));
      number(self, "status", one_in(2) ? 103 : 202);
      text(self, "text", "gone");
      break;
    case 8:
      begin(self, "reader");
      number(self, "advert", 1 + below(2));
      number(self, "reader", 1 + below(9));
      text(self, "policy", one_in(2) ? "queue" : "lossless");
      number(self, "deadlineMs", below(100));
      fds[fd_count++] = some_descriptor(self, bell[1]);
      fds[fd_count++] = one_in(6) ? some_descriptor(self, bell[1]) : fcntl(bell[0], F_DUPFD_CLOEXEC, 3);
      break;
    case 9:
      begin(self, one_in(4) ? "rekey" : one_in(10) ? "unadvert" : "unreader");
      number(self, "advert", 1 + below(2));
      number(self, "reader", 1 + below(9));
      number(self, "status", 202);
      break;
    case 10:
    case 11:
      begin(self, one_in(4) ? "reply" : "item");
      number(self, "seq", 1 + below(12));
      number(self, "status", one_in(2) ? 100 : 200 + below(12));
      text(self, "text", "an answer");
      field(self, "body");
      random_value(&self->out, 3);
      for (uint32_t i = one_in(3) ? below(5) : 0; i > 0; i--) fds[fd_count++] = some_descriptor(self, bell[1]);
      break;
    case 12:
    case 13:
      begin(self, "call");
      number(self, "call", wildly(1) ? 1 + below(20) : ++*next_lane);
      number(self, "offer", 1 + below(2));
      text(self, "service", "talk/add");
      number(self, "timeoutMs", below(1000));
      if (one_in(2)) number(self, "stream", below(5));
      field(self, "body");
      random_value(&self->out, 3);
      field(self, "caller");
      ipcnet_cbor_map(&self->out, 3);
      ipcnet_cbor_put_text(&self->out, "component", "c");
      ipcnet_cbor_put_unsigned(&self->out, "uid", below(1000));
      ipcnet_cbor_put_unsigned(&self->out, "pid", below(1000));
      for (uint32_t i = one_in(3) ? below(5) : 0; i > 0; i--) fds[fd_count++] = some_descriptor(self, bell[1]);
      break;
    case 14:
      begin(self, one_in(2) ? "callCredit" : "callCancelled");
      number(self, "call", 1 + below(*next_lane + 1));
      number(self, "items", below(9));
      number(self, "status", 204);
      text(self, "text", "cancelled");
      break;
    case 15: {
      static uint8_t packet[IPCNET_PACKET_BYTES_MAX];
      size_t length = random_batch(packet);
      ipcnet_channel_seal(&self->channel, IPCNET_PACKET_DATA, 0, packet, length);
      struct ipcnet_seqpacket_packet one = {packet, length};
      (void)ipcnet_seqpacket_send(self->fd, &one, 1);
      break;
    }
    case 16:
      begin(self, wildly(1) ? "goodbye" : "tomorrow");
      number(self, "status", 303);
      text(self, "text", "bye");
      break;
    default: {
      struct ipcnet_lane_meta meta = {.ttl_ms = 1};
      uint8_t payload[64];
      (void)ipcnet_lane_writer_publish(self->lane, &meta, NULL, payload, random_bytes(payload, sizeof payload), 0);
      break;
    }
  }
  if (self->entries > 0) post(self, wildly(8) ? IPCNET_PACKET_HANDSHAKE : IPCNET_PACKET_CONTROL, fds, fd_count);
  self->entries = 0;
  for (uint32_t i = 0; i < fd_count; i++) close(fds[i]);
  close(bell[0]);
  close(bell[1]);
}

static void on_message(void *context, const struct ipcnet_message *message) {
  (void)context;
  uint8_t sum = 0;
  for (size_t i = 0; i < message->payload_bytes; i++) sum = (uint8_t)(sum + ((const uint8_t *)message->payload)[i]);
  CHECK(message->origin != NULL && message->lineage != NULL && sum == sum);
  ipcnet_free(ipcnet_message_json(message));
}

static void on_call(void *context, struct ipcnet_call *call) {
  struct ipcnet_call **kept = context;
  ipcnet_free(ipcnet_call_json(call));
  if (*kept == NULL && one_in(3)) *kept = call;
  else if (one_in(2)) (void)ipcnet_call_answer_json(call, "{\"sum\":1}");
  else (void)ipcnet_call_answer(call, 200, "no", NULL, 0, NULL, 0);
}

static void on_reply(void *context, uint32_t request, int status, struct ipcnet_reply *reply) {
  (void)context, (void)request, (void)status;
  CHECK(reply->text != NULL || status < 0);
}

static void on_item(void *context, uint32_t request, struct ipcnet_reply *item) {
  (void)context, (void)request;
  CHECK(item->fd_count <= IPCNET_FDS_MAX);
}

/* A reply that is there before it is asked for: numbers are given out from 1. */
static void answer(struct gateway *self, uint32_t seq, const char *key, uint64_t value, const char *key2, uint64_t value2) {
  begin(self, "reply");
  self->entries += 3;
  ipcnet_cbor_put_unsigned(&self->out, "seq", seq);
  ipcnet_cbor_put_unsigned(&self->out, "status", 100);
  ipcnet_cbor_text(&self->out, "body");
  ipcnet_cbor_map(&self->out, 2);
  ipcnet_cbor_put_unsigned(&self->out, key, value);
  ipcnet_cbor_put_unsigned(&self->out, key2, value2);
  uint8_t packet[512];
  self->out.bytes[0] = (uint8_t)(0xa0 | self->entries);
  memcpy(packet + IPCNET_PACKET_CONTROL_AT, self->out.bytes, self->out.length);
  ipcnet_channel_seal(&self->channel, IPCNET_PACKET_CONTROL, 0, packet, IPCNET_PACKET_CONTROL_AT + self->out.length);
  struct ipcnet_seqpacket_packet one = {packet, IPCNET_PACKET_CONTROL_AT + self->out.length};
  CHECK(ipcnet_seqpacket_send(self->fd, &one, 1) == 1);
  self->entries = 0;
}

static void drain_gateway(struct gateway *self) {
  static uint8_t packets[16 * (size_t)IPCNET_PACKET_BYTES_MAX];
  uint32_t lengths[16];
  struct ipcnet_seqpacket_fds fds[16];
  enum ipcnet_seqpacket_state ended;
  int count;
  while ((count = ipcnet_seqpacket_receive_fds(self->fd, packets, IPCNET_PACKET_BYTES_MAX, 16, lengths, fds, &ended)) > 0)
    for (int i = 0; i < count; i++)
      for (uint32_t k = 0; k < fds[i].count; k++) close(fds[i].fds[k]);
}

static int open_files(void) {
  int count = 0;
  for (int fd = 0; fd < 512; fd++) count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

static void fuzz_conversation(void) {
  struct gateway gateway = {.fd = -1};
  struct ipcnet_client *client;
  int ends[2], before = open_files();
  uint32_t next_lane = 0;
  wildness = one_in(3) ? 0 : one_in(2) ? 10 : 100;
  CHECK(ipcnet_seqpacket_pair(ends) == 0);
  gateway.fd = ends[0];
  ipcnet_channel_init(&gateway.channel, IPCNET_PACKET_GATEWAY);
  ipcnet_cbor_begin(&gateway.out, NULL, 0);
  struct ipcnet_lane_options lane = {.schema_hash = 0xaa, .slot_count = 8, .inline_bytes = 64, .policy = IPCNET_LANE_LOSSLESS};
  CHECK(ipcnet_lane_writer_create(&gateway.lane, &lane) == 0);
  begin(&gateway, "welcome");
  field(&gateway, "version");
  ipcnet_cbor_unsigned(&gateway.out, 1);
  field(&gateway, "gateway");
  ipcnet_cbor_map(&gateway.out, 1);
  ipcnet_cbor_put_text(&gateway.out, "boot", "b");
  uint32_t saved = below(2);
  gateway.out.bytes[0] = (uint8_t)(0xa0 | gateway.entries);
  uint8_t packet[512];
  memcpy(packet + IPCNET_PACKET_CONTROL_AT, gateway.out.bytes, gateway.out.length);
  ipcnet_channel_seal(&gateway.channel, IPCNET_PACKET_HANDSHAKE, 0, packet, IPCNET_PACKET_CONTROL_AT + gateway.out.length);
  struct ipcnet_seqpacket_packet one = {packet, IPCNET_PACKET_CONTROL_AT + gateway.out.length};
  CHECK(ipcnet_seqpacket_send(gateway.fd, &one, 1) == 1);
  struct ipcnet_connect_options connect = {.flags = IPCNET_USE_FD, .fd = ends[1], .timeout_ms = 5000};
  CHECK(ipcnet_connect(&client, &connect) == 0);
  answer(&gateway, 1, "subscription", 1, "lanes", saved);
  struct ipcnet_subscribe_options subscribe = {.on_message = on_message, .policy = IPCNET_QUEUE};
  CHECK(ipcnet_subscribe(client, "#", &subscribe, NULL) == 1);
  struct ipcnet_subscription *pulled;
  answer(&gateway, 2, "subscription", 2, "lanes", 0);
  CHECK(ipcnet_subscribe(client, "#", NULL, &pulled) == 1);
  answer(&gateway, 3, "advert", 1, "topicId", 3);
  struct ipcnet_advertise_options advertise = {.policy = IPCNET_LOSSLESS, .queue = 4, .payload_bytes_max = 64};
  struct ipcnet_writer *writer;
  CHECK(ipcnet_advertise(client, "mine", &advertise, &writer) == 0);
  answer(&gateway, 4, "offer", 1, "x", 0);
  struct ipcnet_call *kept = NULL;
  struct ipcnet_offer_options offer = {.on_call = on_call, .context = &kept};
  CHECK(ipcnet_offer(client, "talk/add", &offer, NULL) == 0);
  /* From here on nobody answers as expected. */
  ipcnet_set_timeout(client, 50);
  struct ipcnet_request_options stream = {.credit = 3, .timeout_ms = 50};
  for (int i = 0; i < 3; i++) CHECK(ipcnet_request_start(client, "s", NULL, 0, &stream, on_reply, on_item, NULL) > 0);
  uint32_t pull = (uint32_t)ipcnet_request_start(client, "s", NULL, 0, &stream, NULL, NULL, NULL);
  for (uint32_t turns = 20 + below(40); turns > 0; turns--) {
    for (uint32_t i = below(6); i > 0; i--) say_something(&gateway, &next_lane);
    if (ipcnet_poll(client, 0) < 0) break;
    struct ipcnet_message messages[4];
    uint64_t buffer[100];
    struct ipcnet_reply reply;
    int status;
    switch (below(6)) {
      case 0: (void)ipcnet_subscription_drain(pulled, messages, 1 + below(4), buffer, below(800), 0); break;
      case 1: (void)ipcnet_subscription_lease(pulled, messages); break;
      case 2: (void)ipcnet_writer_publish(writer, buffer, 8 * below(8), NULL); break;
      case 3:
        (void)ipcnet_request_next(client, pull, &reply, &status, 0);
        ipcnet_reply_free(&reply);
        break;
      case 4:
        if (kept != NULL) (void)ipcnet_call_answer(kept, 100, NULL, NULL, 0, NULL, 0);
        kept = NULL;
        break;
      default: drain_gateway(&gateway); break;
    }
  }
  ipcnet_close(client);
  ipcnet_lane_writer_destroy(gateway.lane);
  drain_gateway(&gateway);
  close(gateway.fd);
  ipcnet_channel_free(&gateway.channel);
  ipcnet_cbor_end(&gateway.out);
  CHECK(open_files() == before);
}

int main(int count, char **words) {
  first_seed = count > 1 ? strtoull(words[1], NULL, 0) : 1;
  uint64_t iterations = count > 2 ? strtoull(words[2], NULL, 0) : 400;
  state = first_seed * 0x9e3779b97f4a7c15u + 1;
  for (uint64_t i = 0; i < iterations; i++) {
    wildness = 3;
    for (int k = 0; k < 100; k++) {
      fuzz_values();
      fuzz_packets();
    }
    fuzz_conversation();
  }
  printf("client_fuzz: seed %llu, %llu iterations\n", (unsigned long long)first_seed, (unsigned long long)iterations);
  return 0;
}
