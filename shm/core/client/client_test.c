/* The client against a small gateway in a thread: topics and services between two clients of one process, descriptors, new lanes, lost gateways. */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "check_test.h"
#include "fake_gateway.h"
#include "ipcnet.h"

/* Generous: a loaded machine, and sanitizers. */
#define PATIENCE_MS 20000

static char path[64];

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int open_files(void) {
  int count = 0;
  for (int fd = 0; fd < 1024; fd++) count += fcntl(fd, F_GETFD) >= 0;
  return count;
}

static struct ipcnet_client *connected(uint32_t flags) {
  struct ipcnet_client *client;
  struct ipcnet_connect_options options = {.socket_path = path, .name = "test", .flags = flags, .timeout_ms = PATIENCE_MS, .retry_min_ms = 1, .retry_max_ms = 20};
  int status = ipcnet_connect(&client, &options);
  if (status < 0) fprintf(stderr, "%s\n", ipcnet_last_error_text(client));
  CHECK(status == 0);
  ipcnet_set_timeout(client, PATIENCE_MS);
  return client;
}

/* Polls both until `done` is true. */
#define UNTIL(done, a, b) do { for (int64_t end_ = now_ms() + PATIENCE_MS; !(done);) { CHECK(now_ms() < end_); poll_both(a, b); } } while (0)
static void poll_both(struct ipcnet_client *a, struct ipcnet_client *b) {
  struct pollfd fds[2] = {{.fd = a == NULL ? -1 : ipcnet_fd(a), .events = POLLIN}, {.fd = b == NULL ? -1 : ipcnet_fd(b), .events = POLLIN}};
  CHECK(poll(fds, 2, 100) >= 0);
  if (a != NULL) (void)ipcnet_poll(a, 0);
  if (b != NULL) (void)ipcnet_poll(b, 0);
}

/* ---- topics ------------------------------------------------------------------------------------------------------------------------- */

struct seen {
  uint64_t count, lost, bytes, lineage;
  uint64_t last_sequence;
  char last[64];
  char origin[32];
  uint8_t flags;
};

static void see(void *context, const struct ipcnet_message *message) {
  struct seen *seen = context;
  seen->count += 1;
  seen->lost += message->lost_before;
  seen->bytes += message->payload_bytes;
  seen->lineage += message->lineage_count == 0 ? 0 : message->lineage[0].sequence;
  seen->last_sequence = message->sequence;
  seen->flags = message->flags;
  CHECK((uintptr_t)message->payload % 8 == 0);
  snprintf(seen->last, sizeof seen->last, "%.*s", (int)(message->payload_bytes < 60 ? message->payload_bytes : 60), (const char *)message->payload);
  snprintf(seen->origin, sizeof seen->origin, "%s", message->origin);
}

static void through_the_gateway(void) {
  struct ipcnet_client *writer = connected(0), *reader = connected(0);
  struct seen seen = {.count = 0};
  struct ipcnet_subscribe_options options = {.context = &seen, .on_message = see};
  struct ipcnet_subscription *subscription, *pulled;
  CHECK(ipcnet_subscribe(reader, "gw/#", &options, &subscription) == 1);
  CHECK(ipcnet_subscribe(reader, "gw/echo", NULL, &pulled) == 1);
  CHECK(ipcnet_publish(writer, "gw/echo", "hello", 5, NULL) == 0);
  UNTIL(seen.count == 1, reader, NULL);
  CHECK(strcmp(seen.last, "hello") == 0 && strcmp(seen.origin, "test/1/a/b") == 0);
  struct ipcnet_publish_options more = {.flags = IPCNET_MORE}, acknowledged = {.flags = IPCNET_ACKNOWLEDGE, .id = "42"};
  for (int i = 0; i < 1200; i++) CHECK(ipcnet_publish(writer, "gw/echo", "0123456789", 10, &more) == 0);
  CHECK(ipcnet_flush(writer) == 0);
  CHECK(ipcnet_publish(writer, "gw/echo", "last", 4, &acknowledged) == 0);
  CHECK(ipcnet_publish(writer, "no/such", "last", 4, &acknowledged) == -IPCNET_NOT_FOUND);
  CHECK(ipcnet_publish(writer, "no/such", "last", 4, NULL) == -IPCNET_NOT_FOUND);
  CHECK(ipcnet_publish(writer, "gw/echo", path, 70000, NULL) == -IPCNET_PAYLOAD_TOO_LARGE);
  UNTIL(seen.count == 1202, reader, NULL);
  CHECK(seen.lost == 0 && strcmp(seen.last, "last") == 0);
  /* The other one has kept them all. */
  struct ipcnet_message messages[64];
  uint64_t buffer[128];
  uint64_t drained = 0;
  CHECK(ipcnet_subscription_drain(pulled, messages, 1, buffer, 3, 0) == -IPCNET_PAYLOAD_TOO_LARGE && messages[0].payload_bytes == 5);
  for (int count; (count = ipcnet_subscription_drain(pulled, messages, 64, buffer, sizeof buffer, 0)) > 0; drained += (uint64_t)count)
    for (int i = 0; i < count; i++) CHECK(messages[i].sequence == seen.last_sequence - 1201 + drained + (uint64_t)i && messages[i].lost_before == 0);
  CHECK(drained == 1202);
  CHECK(ipcnet_publish(writer, "gw/echo", "leased", 6, NULL) == 0);
  struct ipcnet_message leased;
  for (int64_t end = now_ms() + PATIENCE_MS; ipcnet_subscription_lease(pulled, &leased) == 0;) CHECK(now_ms() < end);
  CHECK(leased.payload_bytes == 6 && memcmp(leased.payload, "leased", 6) == 0 && ipcnet_subscription_release(pulled) == 0);
  ipcnet_unsubscribe(subscription);
  ipcnet_close(writer);
  ipcnet_close(reader);
}

struct readers_seen {
  uint32_t readers;
  int lost;
  int space;
};

static void see_readers(void *context, struct ipcnet_writer *writer, uint32_t readers) {
  (void)writer;
  ((struct readers_seen *)context)->readers = readers;
}

static void see_lost(void *context, struct ipcnet_writer *writer, int status, const char *text) {
  (void)writer;
  CHECK(strcmp(text, "taken away") == 0);
  ((struct readers_seen *)context)->lost = status;
}

static void see_space(void *context, struct ipcnet_writer *writer) {
  (void)writer;
  ((struct readers_seen *)context)->space += 1;
}

static void by_lanes(void) {
  struct ipcnet_client *writer_client = connected(0), *reader_client = connected(0);
  struct readers_seen readers = {.readers = 0};
  struct seen seen = {.count = 0};
  static const struct ipcnet_field_definition fields[] = {{.name = "flag", .type = IPCNET_FIELD_U8}, {.name = "angle", .unit = "rad", .minimum = -3.5, .maximum = 3.5, .type = IPCNET_FIELD_F64}, {.name = "count", .type = IPCNET_FIELD_I32}};
  struct ipcnet_advertise_options advertise = {.fields = fields, .field_count = 3, .policy = IPCNET_QUEUE, .queue = 64, .context = &readers, .on_readers = see_readers, .on_lost = see_lost};
  struct ipcnet_subscribe_options subscribe = {.context = &seen, .on_message = see, .policy = IPCNET_QUEUE};
  struct ipcnet_writer *writer, *refused;
  struct ipcnet_subscription *subscription;
  CHECK(ipcnet_advertise(writer_client, "cmd/no", NULL, &refused) == -IPCNET_FORBIDDEN && refused == NULL);
  /* Without options: docs/specs/lanes.md. */
  struct ipcnet_writer *plain;
  CHECK(ipcnet_advertise(writer_client, "plain/x", NULL, &plain) == 0 && strcmp(ipcnet_topic_encoding_name(ipcnet_writer_topic(plain)), "cbor") == 0 && ipcnet_writer_payload_bytes_max(plain) >= 65536);
  for (int i = 0; i < 300; i++) CHECK(ipcnet_writer_publish(plain, "\x00", 1, NULL) == 0);
  ipcnet_writer_close(plain);
  CHECK(ipcnet_subscribe(reader_client, "arm/#", &subscribe, &subscription) == 1);
  CHECK(ipcnet_advertise(writer_client, "arm/joint", &advertise, &writer) == 0);
  UNTIL(readers.readers == 1, writer_client, reader_client);
  /* Fields by name, written and read. */
  const struct ipcnet_topic *topic = ipcnet_writer_topic(writer);
  struct ipcnet_field angle, count;
  uint8_t record[16] = {0};
  double value;
  CHECK(ipcnet_record_bytes(topic) == 16 && ipcnet_field_count(topic) == 3);
  CHECK(ipcnet_field_find(topic, "angle", &angle) == 0 && angle.offset_bytes == 0 && ipcnet_field_find(topic, "count", &count) == 0 && count.offset_bytes == 8 && ipcnet_field_find(topic, "no", &angle) == -IPCNET_NOT_FOUND);
  CHECK(ipcnet_field_find(topic, "angle", &angle) == 0 && strcmp(angle.unit, "rad") == 0);
  CHECK(ipcnet_field_set_double(&angle, record, sizeof record, 4) == -IPCNET_UNPROCESSABLE_CONTENT && ipcnet_field_set_double(&angle, record, sizeof record, 1.25) == 0);
  CHECK(ipcnet_field_set_integer(&count, record, sizeof record, -7) == 0 && ipcnet_field_double(&count, record, sizeof record, &value) == 1 && value == -7);
  CHECK(ipcnet_field_double(&angle, record, 7, &value) == 0);
  struct ipcnet_lineage inputs[2] = {{1, 2, 30}, {1, 2, 4}};
  struct ipcnet_meta meta = {.lineage = inputs, .lineage_count = 2, .flags = IPCNET_MESSAGE_KEY_FRAME, .ttl_ms = 5};
  for (int i = 0; i < 40; i++) CHECK(ipcnet_writer_publish(writer, record, sizeof record, &meta) == 0);
  UNTIL(seen.count == 40, writer_client, reader_client);
  CHECK(seen.lost == 0 && seen.bytes == 40 * 16 && seen.last_sequence == 40 && seen.lineage == 40 * 30 && seen.flags == IPCNET_MESSAGE_KEY_FRAME && strcmp(seen.origin, "test/1/a/b") == 0);
  CHECK(ipcnet_writer_publish(writer, path, 5000, NULL) == -IPCNET_PAYLOAD_TOO_LARGE);
  /* More than the ring remembers: the reader is told exactly. */
  for (int i = 0; i < 1000; i++) CHECK(ipcnet_writer_publish(writer, record, sizeof record, NULL) == 0);
  UNTIL(seen.count + seen.lost == 1040, writer_client, reader_client);
  /* A loan. */
  void *loan;
  CHECK(ipcnet_writer_loan(writer, 16, 0, &loan) == 0);
  memcpy(loan, "loaned in place!", 16);
  CHECK(ipcnet_writer_commit(writer, 16, NULL) == 0);
  UNTIL(strcmp(seen.last, "loaned in place!") == 0, writer_client, reader_client);
  /* A new lane continues the count. */
  uint64_t total = seen.count + seen.lost;
  CHECK(ipcnet_request_json(reader_client, "gateway/do", "\"rekey\"", 0, NULL) == 100);
  UNTIL(readers.readers == 0, writer_client, NULL);
  for (int i = 0; i < 10; i++) CHECK(ipcnet_writer_publish(writer, record, sizeof record, NULL) == 0);
  UNTIL(seen.count + seen.lost == total + 10, writer_client, reader_client);
  CHECK(seen.last_sequence == total + 10);
  UNTIL(readers.readers == 1, writer_client, reader_client);
  struct ipcnet_subscription_stats stats;
  ipcnet_subscription_stats(subscription, &stats);
  CHECK(stats.messages == seen.count && stats.lost == seen.lost && stats.lanes == 1 && stats.corrupt == 0 && stats.broken == 0);
  /* Taken away. */
  CHECK(ipcnet_request_json(reader_client, "gateway/do", "\"unadvert\"", 0, NULL) == 100);
  UNTIL(readers.lost == IPCNET_FORBIDDEN, writer_client, reader_client);
  CHECK(ipcnet_writer_publish(writer, record, sizeof record, NULL) == -IPCNET_FORBIDDEN);
  ipcnet_writer_close(writer);
  ipcnet_close(writer_client);
  ipcnet_close(reader_client);
}

struct by_origin {
  uint64_t own, stolen, lost;
};

static void see_origin(void *context, const struct ipcnet_message *message) {
  struct by_origin *seen = context;
  if (strcmp(message->origin, "test/1/a/b") == 0) seen->own += 1;
  else seen->stolen += 1;
  seen->lost += message->lost_before;
}

/* What is kept of a lane belongs to its topic and process: who puts the same id on a lane of its own neither continues it nor keeps it from being continued. */
static void left_lanes(void) {
  struct ipcnet_client *writer_client = connected(0), *reader_client = connected(0);
  struct readers_seen readers = {.readers = 0};
  struct by_origin seen = {.own = 0};
  struct ipcnet_advertise_options advertise = {.encoding = "bytes", .queue = 64, .payload_bytes_max = 64, .context = &readers, .on_readers = see_readers};
  struct ipcnet_subscribe_options subscribe = {.context = &seen, .on_message = see_origin, .policy = IPCNET_QUEUE};
  struct ipcnet_writer *writer;
  struct ipcnet_subscription *subscription;
  struct ipcnet_subscription_stats stats;
  CHECK(ipcnet_subscribe(reader_client, "arm/#", &subscribe, &subscription) == 1);
  CHECK(ipcnet_advertise(writer_client, "arm/left", &advertise, &writer) == 0);
  UNTIL(readers.readers == 1, writer_client, reader_client);
  for (int i = 0; i < 10; i++) CHECK(ipcnet_writer_publish(writer, "x", 1, NULL) == 0);
  UNTIL(seen.own == 10, writer_client, reader_client);
  /* While it is read: another lane with its id is another lane. */
  CHECK(ipcnet_request_json(reader_client, "gateway/do", "\"steal\"", 0, NULL) == 100);
  UNTIL(seen.stolen == 5, writer_client, reader_client);
  for (int i = 0; i < 3; i++) CHECK(ipcnet_writer_publish(writer, "x", 1, NULL) == 0);
  UNTIL(seen.own == 13, writer_client, reader_client);
  /* Left, and handed out again: first the stranger's, then its own. It goes on where it was left, nothing twice and nothing lost. */
  CHECK(ipcnet_request_json(reader_client, "gateway/do", "\"retire\"", 0, NULL) == 100);
  UNTIL((ipcnet_subscription_stats(subscription, &stats), stats.lanes == 0), writer_client, reader_client);
  for (int i = 0; i < 4; i++) CHECK(ipcnet_writer_publish(writer, "x", 1, NULL) == 0);
  CHECK(ipcnet_request_json(reader_client, "gateway/do", "\"steal\"", 0, NULL) == 100);
  CHECK(ipcnet_request_json(reader_client, "gateway/do", "\"show\"", 0, NULL) == 100);
  /* Its five more go on where its own five ended. */
  UNTIL(seen.own == 17 && seen.stolen == 10, writer_client, reader_client);
  for (int i = 0; i < 2; i++) CHECK(ipcnet_writer_publish(writer, "x", 1, NULL) == 0);
  UNTIL(seen.own == 19, writer_client, reader_client);
  CHECK(seen.lost == 0);
  /* What overran it meanwhile is told exactly. */
  CHECK(ipcnet_request_json(reader_client, "gateway/do", "\"retire\"", 0, NULL) == 100);
  UNTIL((ipcnet_subscription_stats(subscription, &stats), stats.lanes == 0), writer_client, reader_client);
  for (int i = 0; i < 100; i++) CHECK(ipcnet_writer_publish(writer, "x", 1, NULL) == 0);
  CHECK(ipcnet_request_json(reader_client, "gateway/do", "\"show\"", 0, NULL) == 100);
  UNTIL(seen.own + seen.lost == 119, writer_client, reader_client);
  CHECK(seen.lost == 100 - 64 && seen.own == 83);
  ipcnet_close(writer_client);
  ipcnet_close(reader_client);
}

static void drained_lossless(void) {
  struct ipcnet_client *writer_client = connected(0), *reader_client = connected(0);
  struct readers_seen readers = {.readers = 0};
  struct ipcnet_advertise_options advertise = {.encoding = "bytes", .policy = IPCNET_LOSSLESS, .queue = 16, .payload_bytes_max = 100000, .context = &readers, .on_readers = see_readers, .on_space = see_space};
  struct ipcnet_subscribe_options subscribe = {.policy = IPCNET_LOSSLESS};
  struct ipcnet_writer *writer;
  struct ipcnet_subscription *subscription;
  CHECK(ipcnet_advertise(writer_client, "big/data", &advertise, &writer) == 0);
  CHECK(ipcnet_subscribe(reader_client, "big/data", &subscribe, &subscription) == 1);
  UNTIL(readers.readers == 1, writer_client, reader_client);
  static uint8_t payload[100000];
  struct ipcnet_message messages[8];
  uint8_t *buffer = malloc(250000);
  uint64_t sent = 0, got = 0;
  CHECK(buffer != NULL);
  while (got < 500) {
    while (sent < 500) {
      payload[0] = (uint8_t)sent;
      size_t bytes = sent % 3 == 0 ? sizeof payload : 40;
      int status = ipcnet_writer_publish(writer, payload, bytes, NULL);
      if (status == -IPCNET_TOO_MANY_REQUESTS) break;
      CHECK(status == 0);
      sent += 1;
    }
    int count = ipcnet_subscription_drain(subscription, messages, 8, buffer, 10, 0);
    CHECK(count == -IPCNET_PAYLOAD_TOO_LARGE || count == 0);
    if (count < 0) CHECK(messages[0].payload_bytes <= 250000);
    count = ipcnet_subscription_drain(subscription, messages, 8, buffer, 250000, PATIENCE_MS);
    CHECK(count > 0);
    for (int i = 0; i < count; i++, got++) {
      CHECK(((const uint8_t *)messages[i].payload)[0] == (uint8_t)got && messages[i].sequence == got + 1 && messages[i].lost_before == 0);
      CHECK(messages[i].payload_bytes == (got % 3 == 0 ? sizeof payload : 40));
    }
    (void)ipcnet_poll(writer_client, 0);
  }
  CHECK(readers.space > 0);
  /* In place. */
  CHECK(ipcnet_writer_publish(writer, "in place", 8, NULL) == 0);
  struct ipcnet_message message;
  for (int64_t end = now_ms() + PATIENCE_MS; ipcnet_subscription_lease(subscription, &message) == 0;) CHECK(now_ms() < end);
  CHECK(memcmp(message.payload, "in place", 8) == 0 && ipcnet_subscription_release(subscription) == 0);
  /* A reader that stops is waited for no longer than its deadline. */
  int status = 0;
  for (int i = 0; i < 20 && status == 0; i++) status = ipcnet_writer_publish(writer, "x", 1, NULL);
  CHECK(status == -IPCNET_TOO_MANY_REQUESTS && ipcnet_writer_wait(writer, PATIENCE_MS) == 1 && ipcnet_writer_publish(writer, "x", 1, NULL) == 0);
  struct ipcnet_writer_stats stats;
  ipcnet_writer_stats(writer, &stats);
  CHECK(stats.demoted == 1 && stats.readers == 1);
  /* The writer goes: what it left is read, then nothing more comes. */
  ipcnet_close(writer_client);
  uint64_t rest = 0;
  for (;;) {
    int count = ipcnet_subscription_drain(subscription, messages, 8, buffer, 250000, 0);
    CHECK(count >= 0);
    struct ipcnet_subscription_stats s;
    ipcnet_subscription_stats(subscription, &s);
    rest += (uint64_t)count;
    if (count == 0 && s.lanes == 0) break;
  }
  CHECK(rest > 0);
  free(buffer);
  ipcnet_close(reader_client);
}

/* ---- services ----------------------------------------------------------------------------------------------------------------------- */

struct provider {
  struct ipcnet_call *call;
  int calls, cancels;
  uint32_t credit;
};

static void add(void *context, struct ipcnet_call *call) {
  struct provider *provider = context;
  struct ipcnet_call_info info;
  struct ipcnet_cbor body;
  double a = 0, b = 0;
  provider->calls += 1;
  ipcnet_call_info(call, &info);
  CHECK(strcmp(info.component, "tester") == 0 && info.uid == getuid() && info.pid == getpid() && info.deadline_ns > 0);
  if (info.stream || info.fd_count > 0) {
    provider->call = call;
    return;
  }
  if (info.body == NULL || ipcnet_cbor_open(info.body, info.body_bytes, &body) < 0 || !ipcnet_cbor_get_double(body, "a", &a) || !ipcnet_cbor_get_double(body, "b", &b)) {
    CHECK(ipcnet_call_answer(call, IPCNET_UNPROCESSABLE_CONTENT, "a and b are numbers", NULL, 0, NULL, 0) == 0);
    return;
  }
  char json[64];
  snprintf(json, sizeof json, "{\"sum\":%g}", a + b);
  CHECK(ipcnet_call_answer_json(call, json) == 0);
}

static void give_up(void *context, struct ipcnet_call *call, int status, const char *text) {
  struct provider *provider = context;
  provider->cancels += 1;
  CHECK(status == IPCNET_REQUEST_TIMEOUT || status == IPCNET_SERVICE_UNAVAILABLE);
  CHECK(strlen(text) > 0 && call == provider->call);
}

static void take_credit(void *context, struct ipcnet_call *call, uint32_t items) {
  (void)call;
  ((struct provider *)context)->credit += items;
}

struct answered {
  int ends, items, status;
  char json[128];
};

static void on_end(void *context, uint32_t request, int status, struct ipcnet_reply *reply) {
  struct answered *answered = context;
  struct ipcnet_cbor body;
  (void)request;
  answered->ends += 1;
  answered->status = status;
  if (reply->body == NULL || ipcnet_cbor_open(reply->body, reply->body_bytes, &body) < 0) return;
  char *json = ipcnet_cbor_to_json(body);
  snprintf(answered->json, sizeof answered->json, "%s", json);
  ipcnet_free(json);
}

static void services(void) {
  struct ipcnet_client *provider_client = connected(0), *caller = connected(0);
  struct provider provider = {.calls = 0};
  struct answered answered = {.ends = 0};
  struct ipcnet_offer_options options = {.context = &provider, .on_call = add, .on_cancel = give_up, .on_credit = take_credit, .capacity = 4, .description = "adds"};
  struct ipcnet_offer *offer;
  CHECK(ipcnet_offer(provider_client, "talk/add", &options, &offer) == 0);
  static const uint8_t body[] = {0xa2, 0x61, 'a', 0x02, 0x61, 'b', 0x03};
  int request = ipcnet_request_start(caller, "talk/add", body, sizeof body, NULL, on_end, NULL, &answered);
  CHECK(request > 0);
  UNTIL(answered.ends == 1, caller, provider_client);
  CHECK(answered.status == IPCNET_OK && strcmp(answered.json, "{\"sum\":5}") == 0);
  CHECK(ipcnet_request_start(caller, "talk/add", NULL, 0, NULL, on_end, NULL, &answered) > 0);
  UNTIL(answered.ends == 2, caller, provider_client);
  CHECK(answered.status == -IPCNET_UNPROCESSABLE_CONTENT);
  CHECK(ipcnet_request_start(caller, "talk/add", "\xff", 1, NULL, on_end, NULL, NULL) == -IPCNET_UNPROCESSABLE_CONTENT);
  CHECK(ipcnet_request(caller, "no/such", NULL, 0, NULL, NULL) == -IPCNET_NOT_FOUND);
  /* Descriptors both ways. */
  int ends[2];
  CHECK(pipe(ends) == 0 && write(ends[1], "through", 7) == 7);
  struct ipcnet_request_options with = {.fds = ends, .fd_count = 1};
  request = ipcnet_request_start(caller, "talk/add", NULL, 0, &with, NULL, NULL, NULL);
  CHECK(request > 0);
  UNTIL(provider.call != NULL, NULL, provider_client);
  char text[16] = "";
  int fd = ipcnet_call_take_fd(provider.call, 0);
  CHECK(fd >= 0 && read(fd, text, sizeof text) == 7 && memcmp(text, "through", 7) == 0 && ipcnet_call_take_fd(provider.call, 0) == -IPCNET_NOT_FOUND);
  CHECK(ipcnet_call_answer(provider.call, 1234, "my own status", NULL, 0, (int[]){fd, ends[1]}, 2) == 0);
  close(fd);
  provider.call = NULL;
  struct ipcnet_reply reply;
  int status;
  CHECK(ipcnet_request_next(caller, (uint32_t)request, &reply, &status, PATIENCE_MS) == 0 && status == 1234 && reply.fd_count == 2 && strcmp(reply.text, "my own status") == 0);
  CHECK(write(reply.fds[1], "back", 4) == 4 && read(ends[0], text, sizeof text) == 4);
  ipcnet_reply_free(&reply);
  CHECK(ipcnet_request_next(caller, (uint32_t)request, &reply, &status, 0) == -IPCNET_NOT_FOUND);
  close(ends[0]);
  close(ends[1]);
  /* A stream with credit. */
  struct ipcnet_request_options stream = {.credit = 2};
  request = ipcnet_request_start(caller, "talk/add", NULL, 0, &stream, NULL, NULL, NULL);
  UNTIL(provider.call != NULL, NULL, provider_client);
  for (uint8_t i = 0; i < 2; i++) CHECK(ipcnet_call_item(provider.call, &i, 1, NULL, 0) == 0);
  CHECK(ipcnet_call_item(provider.call, "\x02", 1, NULL, 0) == -IPCNET_TOO_MANY_REQUESTS);
  CHECK(ipcnet_request_credit(caller, (uint32_t)request, 5) == 0);
  UNTIL(provider.credit == 5, NULL, provider_client);
  for (uint8_t i = 2; i < 7; i++) CHECK(ipcnet_call_item(provider.call, &i, 1, NULL, 0) == 0);
  CHECK(ipcnet_call_answer(provider.call, IPCNET_OK, NULL, NULL, 0, NULL, 0) == 0);
  provider.call = NULL;
  for (uint8_t i = 0; i < 7; i++) {
    CHECK(ipcnet_request_next(caller, (uint32_t)request, &reply, &status, PATIENCE_MS) == 1 && reply.body_bytes == 1 && reply.body[0] == i);
    ipcnet_reply_free(&reply);
  }
  CHECK(ipcnet_request_next(caller, (uint32_t)request, &reply, &status, PATIENCE_MS) == 0 && status == IPCNET_OK);
  ipcnet_reply_free(&reply);
  /* Cancelled by the caller. */
  request = ipcnet_request_start(caller, "talk/add", NULL, 0, &stream, NULL, NULL, NULL);
  UNTIL(provider.call != NULL, NULL, provider_client);
  CHECK(ipcnet_request_next(caller, (uint32_t)request, &reply, &status, 1) == -IPCNET_REQUEST_TIMEOUT);
  CHECK(ipcnet_request_cancel(caller, (uint32_t)request) == 0);
  UNTIL(provider.cancels == 1, NULL, provider_client);
  CHECK(ipcnet_call_answer(provider.call, IPCNET_OK, NULL, NULL, 0, NULL, 0) == 0);
  provider.call = NULL;
  CHECK(ipcnet_request_next(caller, (uint32_t)request, &reply, &status, PATIENCE_MS) == 0 && status == -IPCNET_REQUEST_TIMEOUT);
  ipcnet_reply_free(&reply);
  /* Dropped: its provider is told, what it still sends is passed over, and nothing is kept. */
  request = ipcnet_request_start(caller, "talk/add", NULL, 0, &stream, NULL, NULL, NULL);
  UNTIL(provider.call != NULL, NULL, provider_client);
  CHECK(ipcnet_call_item(provider.call, "\x00", 1, NULL, 0) == 0 && ipcnet_ping(provider_client) == 0 && ipcnet_ping(caller) == 0);
  CHECK(ipcnet_request_drop(caller, (uint32_t)request) == 0 && ipcnet_request_drop(caller, (uint32_t)request) == -IPCNET_NOT_FOUND);
  CHECK(ipcnet_request_next(caller, (uint32_t)request, &reply, &status, 0) == -IPCNET_NOT_FOUND);
  UNTIL(provider.cancels == 2, NULL, provider_client);
  CHECK(ipcnet_call_answer(provider.call, IPCNET_OK, NULL, NULL, 0, NULL, 0) == 0 && ipcnet_ping(caller) == 0 && ipcnet_is_connected(caller));
  provider.call = NULL;
  /* No more credit than the gateway bears. */
  struct ipcnet_request_options rich = {.credit = 4097};
  CHECK(ipcnet_request_start(caller, "talk/add", NULL, 0, &rich, NULL, NULL, NULL) == -IPCNET_BAD_REQUEST);
  /* Nobody answers; a large answer in fragments; a resource. */
  struct ipcnet_request_options short_time = {.timeout_ms = 20};
  CHECK(ipcnet_request(caller, "gateway/do", "\x67silence", 8, &short_time, NULL) == -IPCNET_REQUEST_TIMEOUT);
  CHECK(ipcnet_request(caller, "gateway/do", "\x65large", 6, NULL, &reply) == IPCNET_OK && reply.body_bytes == 300005);
  ipcnet_reply_free(&reply);
  fd = ipcnet_grant(caller, "device", "read");
  CHECK(fd >= 0 && read(fd, text, sizeof text) == 7 && memcmp(text, "granted", 7) == 0 && (fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  close(fd);
  CHECK(ipcnet_announce(caller, "\xa0", 1) == 0 && ipcnet_announce(caller, "\x01", 1) == -IPCNET_UNPROCESSABLE_CONTENT && ipcnet_ready(caller) == 0 && ipcnet_ping(caller) == 0);
  /* A call that is open when its connection ends is still this program's. */
  CHECK(ipcnet_request_start(caller, "talk/add", NULL, 0, &stream, on_end, NULL, &answered) > 0);
  UNTIL(provider.call != NULL, NULL, provider_client);
  CHECK(ipcnet_request_json(provider_client, "gateway/do", "\"goodbye\"", 0, NULL) == -IPCNET_SERVICE_UNAVAILABLE);
  UNTIL(provider.cancels == 3, NULL, provider_client);
  CHECK(ipcnet_call_answer(provider.call, IPCNET_OK, NULL, NULL, 0, NULL, 0) == -IPCNET_SERVICE_UNAVAILABLE);
  CHECK(ipcnet_poll(provider_client, 0) == -IPCNET_SERVICE_UNAVAILABLE && !ipcnet_is_connected(provider_client));
  UNTIL(answered.ends == 3, caller, NULL);
  CHECK(answered.status == -IPCNET_BAD_GATEWAY);
  ipcnet_close(provider_client);
  ipcnet_close(caller);
}

/* ---- the gateway goes and comes ----------------------------------------------------------------------------------------------------- */

struct life {
  int ends, returns, leavings;
};

static void life_end(void *context, const char *why) {
  CHECK(strlen(why) > 0);
  ((struct life *)context)->ends += 1;
}

static void life_return(void *context) {
  ((struct life *)context)->returns += 1;
}

static void life_leaving(void *context, uint32_t deadline_ms, const char *text) {
  CHECK(deadline_ms == 5000 && strcmp(text, "the robot goes down") == 0);
  ((struct life *)context)->leavings += 1;
}

static long ready_count(struct ipcnet_client *client) {
  char *count = NULL;
  CHECK(ipcnet_request_json(client, "gateway/do", "\"readyCount\"", 0, &count) == 100);
  const long number = strtol(count, NULL, 10);
  ipcnet_free(count);
  return number;
}

static void leaving_is_answered(void) {
  struct ipcnet_client *client = connected(0);
  struct life life = {.ends = 0};
  struct ipcnet_handlers handlers = {.context = &life, .on_leaving = life_leaving};
  const long before = ready_count(client);
  /* Nobody listens: the client answers by itself, also one that is never polled. */
  CHECK(ipcnet_request_json(client, "gateway/do", "\"leaving\"", 0, NULL) == 100);
  CHECK(ready_count(client) == before + 1);
  /* A program that listens answers when it is prepared. */
  ipcnet_set_handlers(client, &handlers);
  CHECK(ipcnet_request_json(client, "gateway/do", "\"leaving\"", 0, NULL) == 100);
  UNTIL(life.leavings == 1, client, NULL);
  CHECK(ready_count(client) == before + 1);
  CHECK(ipcnet_ready(client) == 0);
  CHECK(ready_count(client) == before + 2);
  ipcnet_close(client);
}

static void the_gateway_dies_and_returns(struct fake_gateway **gateway) {
  struct ipcnet_client *writer_client = connected(IPCNET_RECONNECT), *reader_client = connected(IPCNET_RECONNECT);
  struct life life = {.ends = 0};
  struct ipcnet_handlers handlers = {.context = &life, .on_end = life_end, .on_return = life_return, .on_leaving = life_leaving};
  struct seen seen = {.count = 0};
  struct readers_seen readers = {.readers = 0};
  struct provider provider = {.calls = 0};
  struct ipcnet_advertise_options advertise = {.policy = IPCNET_QUEUE, .queue = 1024, .payload_bytes_max = 64, .context = &readers, .on_readers = see_readers};
  struct ipcnet_subscribe_options subscribe = {.context = &seen, .on_message = see, .policy = IPCNET_QUEUE};
  struct ipcnet_offer_options offer = {.context = &provider, .on_call = add};
  struct ipcnet_writer *writer;
  ipcnet_set_handlers(reader_client, &handlers);
  CHECK(ipcnet_offer(writer_client, "talk/add", &offer, NULL) == 0);
  CHECK(ipcnet_advertise(writer_client, "talk/hello", &advertise, &writer) == 0);
  CHECK(ipcnet_subscribe(reader_client, "talk/#", &subscribe, NULL) == 1);
  CHECK(ipcnet_announce(reader_client, "\xa0", 1) == 0);
  UNTIL(readers.readers == 1, writer_client, reader_client);
  CHECK(ipcnet_request_json(reader_client, "gateway/do", "\"leaving\"", 0, NULL) == 100);
  UNTIL(life.leavings == 1, reader_client, NULL);
  char text[32];
  uint64_t sent = 0;
  for (; sent < 10; sent++) CHECK(ipcnet_writer_publish(writer, text, (size_t)snprintf(text, sizeof text, "%llu", (unsigned long long)sent), NULL) == 0);
  UNTIL(seen.count == 10, writer_client, reader_client);
  fake_gateway_stop(*gateway);
  UNTIL(life.ends == 1, reader_client, writer_client);
  CHECK(ipcnet_ping(reader_client) == -IPCNET_SERVICE_UNAVAILABLE);
  /* Without a gateway the two go on talking. */
  for (; sent < 30; sent++) CHECK(ipcnet_writer_publish(writer, text, 8, NULL) == 0);
  UNTIL(seen.count == 30, writer_client, reader_client);
  *gateway = fake_gateway_start(path);
  CHECK(*gateway != NULL);
  for (int64_t end = now_ms() + PATIENCE_MS; life.returns == 0 || !ipcnet_is_connected(writer_client);) {
    CHECK(now_ms() < end && ipcnet_writer_publish(writer, text, 8, NULL) == 0);
    sent += 1;
    poll_both(writer_client, reader_client);
  }
  for (int i = 0; i < 20; i++, sent++) {
    CHECK(ipcnet_writer_publish(writer, text, 8, NULL) == 0);
    poll_both(writer_client, reader_client);
  }
  UNTIL(seen.count + seen.lost == sent, writer_client, reader_client);
  CHECK(seen.lost == 0);
  /* The offer is back too. */
  struct answered answered = {.ends = 0};
  static const uint8_t body[] = {0xa2, 0x61, 'a', 0x02, 0x61, 'b', 0x03};
  CHECK(ipcnet_request_start(reader_client, "talk/add", body, sizeof body, NULL, on_end, NULL, &answered) > 0);
  UNTIL(answered.ends == 1, reader_client, writer_client);
  CHECK(answered.status == IPCNET_OK);
  ipcnet_close(writer_client);
  ipcnet_close(reader_client);
}

static void *wake(void *argument) {
  ipcnet_wakeup(argument);
  return NULL;
}

static void unsubscribe_now(void *context, const struct ipcnet_message *message) {
  (void)message;
  ipcnet_unsubscribe(*(struct ipcnet_subscription **)context);
  *(struct ipcnet_subscription **)context = NULL;
}

static void small_things(void) {
  struct ipcnet_client *client = connected(0);
  struct ipcnet_client *nobody;
  struct ipcnet_connect_options nowhere = {.socket_path = "/nowhere/at/all"};
  CHECK(ipcnet_connect(&nobody, &nowhere) == -IPCNET_SERVICE_UNAVAILABLE && strstr(ipcnet_last_error_text(nobody), "/nowhere/at/all") != NULL && ipcnet_poll(nobody, -1) == -IPCNET_SERVICE_UNAVAILABLE);
  ipcnet_close(nobody);
  ipcnet_close(NULL);
  (void)wake(client);
  CHECK(ipcnet_poll(client, -1) == 0);
  struct ipcnet_subscription *subscription;
  struct ipcnet_message message;
  uint64_t buffer[8];
  CHECK(ipcnet_subscribe(client, "gw/echo", NULL, &subscription) == 1);
  (void)wake(client);
  CHECK(ipcnet_subscription_drain(subscription, &message, 1, buffer, sizeof buffer, -1) == 0);
  CHECK(ipcnet_subscription_drain(subscription, &message, 1, buffer, sizeof buffer, 1) == 0);
  ipcnet_unsubscribe(subscription);
  struct ipcnet_subscription *suicidal;
  struct ipcnet_subscribe_options options = {.context = &suicidal, .on_message = unsubscribe_now};
  CHECK(ipcnet_subscribe(client, "gw/echo", &options, &suicidal) == 1);
  for (int i = 0; i < 3; i++) CHECK(ipcnet_publish(client, "gw/echo", "x", 1, NULL) == 0);
  UNTIL(suicidal == NULL, client, NULL);
  const struct ipcnet_topic **topics;
  CHECK(ipcnet_topics(client, NULL, &topics) == 1 && strcmp(ipcnet_topic_name(topics[0]), "gw/echo") == 0 && ipcnet_topic_encoding(topics[0]) == IPCNET_ENCODING_BYTES && ipcnet_topic_writable(topics[0]));
  CHECK(ipcnet_topic_find(client, "gw/echo") == topics[0] && ipcnet_topic_find(client, "no/such") == NULL);
  ipcnet_free(topics);
  CHECK(strcmp(ipcnet_gateway(client, "robot"), "fake") == 0 && strcmp(ipcnet_gateway(client, "?"), "") == 0);
  CHECK(strcmp(ipcnet_status_text(-203), "not found") == 0 && strcmp(ipcnet_status_text(1000), "application status") == 0);
  /* "abc" of FIPS 180-4. */
  CHECK(ipcnet_text_id("abc") == 0xba7816bf8f01cfea);
  ipcnet_close(client);
}

int main(void) {
  char folder[] = "/tmp/ipcnet-client-XXXXXX";
  CHECK(mkdtemp(folder) != NULL);
  snprintf(path, sizeof path, "%s/s", folder);
  struct fake_gateway *gateway = fake_gateway_start(path);
  CHECK(gateway != NULL);
  int before = open_files();
  small_things();
  through_the_gateway();
  by_lanes();
  left_lanes();
  drained_lossless();
  services();
  leaving_is_answered();
  the_gateway_dies_and_returns(&gateway);
  fake_gateway_stop(gateway);
  /* The gateway's own five, and no more, are gone. */
  CHECK(open_files() == before - 3);
  char lock[80];
  snprintf(lock, sizeof lock, "%s.lock", path);
  unlink(lock);
  rmdir(folder);
  printf("client: ok\n");
  return 0;
}
