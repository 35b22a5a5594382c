/* The connection: packets out and in, numbered calls and their answers, the handshake, the end, and the next connection. */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#include "client.h"

#define PROTOCOL_VERSION 1
/* Packets of one read: 4 of 64 KiB are a quarter of a MiB of buffer. */
#define RECEIVE_PACKETS 4
/* Reads before the rest of the program gets its turn. */
#define READS_MAX 16
/* How often a full backlog is tried again. */
#define BACKLOG_RETRY_NS 20000000

/* ---- messages out ------------------------------------------------------------------------------------------------------------------- */

void message_begin(struct ipcnet_client *client, const char *op) {
  struct ipcnet_cbor_writer *writer = &client->message;
  writer->length = 0;
  writer->fault = 0;
  client->message_entries = 0;
  /* The head of a map, whose count is known at the end; never more than 23 entries. */
  ipcnet_cbor_map(writer, 0);
  put_text(client, "op", op);
}

void put_text(struct ipcnet_client *client, const char *key, const char *text) {
  client->message_entries += 1;
  ipcnet_cbor_put_text(&client->message, key, text);
}

void put_unsigned(struct ipcnet_client *client, const char *key, uint64_t value) {
  client->message_entries += 1;
  ipcnet_cbor_put_unsigned(&client->message, key, value);
}

void put_number(struct ipcnet_client *client, const char *key, double value) {
  client->message_entries += 1;
  ipcnet_cbor_put_number(&client->message, key, value);
}

void put_boolean(struct ipcnet_client *client, const char *key, int value) {
  client->message_entries += 1;
  ipcnet_cbor_put_boolean(&client->message, key, value);
}

void put_raw(struct ipcnet_client *client, const char *key, const void *cbor, size_t length) {
  client->message_entries += 1;
  ipcnet_cbor_put_raw(&client->message, key, cbor, length);
}

void put_bytes(struct ipcnet_client *client, const char *key, const void *bytes, size_t length) {
  client->message_entries += 1;
  ipcnet_cbor_text(&client->message, key);
  ipcnet_cbor_bytes(&client->message, bytes, length);
}

static void watch_writable(struct ipcnet_client *client, int wanted) {
  if (client->writable_wanted == wanted || client->fd < 0) return;
  struct epoll_event event = {.events = EPOLLIN | (wanted ? (uint32_t)EPOLLOUT : 0), .data.ptr = &client->socket_source};
  if (epoll_ctl(client->epoll, EPOLL_CTL_MOD, client->fd, &event) == 0) client->writable_wanted = wanted;
}

static void drop_out(struct ipcnet_client *client, struct out_packet *packet) {
  client->out_bytes -= packet->length;
  for (uint32_t i = 0; i < packet->fds.count; i++) close(packet->fds.fds[i]);
  list_remove(&packet->link);
  free(packet);
}

void link_flush(struct ipcnet_client *client) {
  while (client->fd >= 0 && !list_is_empty(&client->out)) {
    struct out_packet *packet = LIST_OWNER(client->out.next, struct out_packet, link);
    struct ipcnet_seqpacket_packet one = {packet->bytes, packet->length};
    int sent = ipcnet_seqpacket_send_fds(client->fd, &one, &packet->fds, 1);
    if (sent == 1) drop_out(client, packet);
    else if (sent == -EAGAIN || sent == -ETOOMANYREFS) break;
    /* What the gateway said last is still to be read: reading will see the end. */
    else if (sent == -EPIPE || sent == -ECONNRESET) while (!list_is_empty(&client->out)) drop_out(client, LIST_OWNER(client->out.next, struct out_packet, link));
    else link_end(client, IPCNET_SERVICE_UNAVAILABLE, "cannot send to the gateway: %s", strerror(-sent));
  }
  watch_writable(client, !list_is_empty(&client->out));
}

/* Sends or queues a sealed packet; it is in the gateway's count from here on, so that it must not get lost. */
static int send_packet(struct ipcnet_client *client, const uint8_t *bytes, size_t length, const int *fds, uint32_t fd_count) {
  struct ipcnet_seqpacket_fds attached = {.count = fd_count};
  for (uint32_t i = 0; i < fd_count; i++) attached.fds[i] = fds[i];
  int sent = -EAGAIN;
  if (list_is_empty(&client->out)) {
    struct ipcnet_seqpacket_packet one = {bytes, length};
    sent = ipcnet_seqpacket_send_fds(client->fd, &one, &attached, 1);
  }
  if (sent == 1 || sent == -EPIPE || sent == -ECONNRESET) return 0;
  if (sent != -EAGAIN && sent != -ETOOMANYREFS) {
    link_end(client, IPCNET_SERVICE_UNAVAILABLE, "cannot send to the gateway: %s", strerror(-sent));
    return -IPCNET_SERVICE_UNAVAILABLE;
  }
  struct out_packet *packet = malloc(sizeof *packet + length);
  uint32_t copied = 0;
  while (packet != NULL && copied < fd_count && (attached.fds[copied] = fcntl(fds[copied], F_DUPFD_CLOEXEC, 3)) >= 0) copied += 1;
  if (packet == NULL || copied < fd_count) {
    for (uint32_t i = 0; i < copied; i++) close(attached.fds[i]);
    free(packet);
    link_end(client, IPCNET_INSUFFICIENT_STORAGE, "no memory or descriptors for what is to be sent");
    return -IPCNET_INSUFFICIENT_STORAGE;
  }
  packet->length = length;
  packet->fds = attached;
  memcpy(packet->bytes, bytes, length);
  list_init(&packet->link);
  list_append(&client->out, &packet->link);
  client->out_bytes += length;
  watch_writable(client, 1);
  return 0;
}

static int no_link(struct ipcnet_client *client) {
  if (client->state == CLIENT_AWAY || client->state == CLIENT_SHAKING) return client_fail(client, IPCNET_SERVICE_UNAVAILABLE, "the gateway is away; a new connection is being sought");
  return client_fail(client, IPCNET_SERVICE_UNAVAILABLE, "%s", client->end_text);
}

static int send_message(struct ipcnet_client *client, enum ipcnet_packet_kind kind, const int *fds, uint32_t fd_count) {
  struct ipcnet_cbor_writer *message = &client->message;
  if (fd_count > IPCNET_FDS_MAX) return client_fail(client, IPCNET_BAD_REQUEST, "at most %d descriptors go with a message", IPCNET_FDS_MAX);
  for (uint32_t i = 0; i < fd_count; i++)
    if (fcntl(fds[i], F_GETFD) < 0) return client_fail(client, IPCNET_BAD_REQUEST, "%d is not an open descriptor", fds[i]);
  if (message->fault == 0 && message->length > 0) message->bytes[0] = (uint8_t)(0xa0 | client->message_entries);
  int length = ipcnet_cbor_finish(message);
  if (length == -IPCNET_PAYLOAD_TOO_LARGE) return client_fail(client, IPCNET_PAYLOAD_TOO_LARGE, "the message is larger than %u bytes", IPCNET_PACKET_TO_GATEWAY_BYTES_MAX);
  if (length < 0) return client_fail(client, -length, "%s", length == -IPCNET_INSUFFICIENT_STORAGE ? "out of memory" : "the message has a text that is not UTF-8, or a body that is nested too deep");
  if (client->fd < 0) return no_link(client);
  if (client->out_bytes + (size_t)length > OUT_CONTROL_BYTES_MAX) return client_fail(client, IPCNET_TOO_MANY_REQUESTS, "the gateway does not read as fast as this program writes");
  uint8_t packet[IPCNET_PACKET_BYTES_MAX];
  for (size_t at = 0; at < (size_t)length;) {
    size_t part = (size_t)length - at < IPCNET_PACKET_FRAGMENT_BYTES_MAX ? (size_t)length - at : IPCNET_PACKET_FRAGMENT_BYTES_MAX;
    int last = at + part == (size_t)length;
    memcpy(packet + IPCNET_PACKET_CONTROL_AT, message->bytes + at, part);
    ipcnet_channel_seal(&client->channel, kind, !last, packet, IPCNET_PACKET_CONTROL_AT + part);
    int status = send_packet(client, packet, IPCNET_PACKET_CONTROL_AT + part, fds, last ? fd_count : 0);
    if (status < 0) return client_fail(client, -status, "%s", client->end_text);
    at += part;
  }
  return 0;
}

int message_send(struct ipcnet_client *client, const int *fds, uint32_t fd_count) {
  if (client->state != CLIENT_OPEN) return no_link(client);
  if (fd_count > 0) put_unsigned(client, "fds", fd_count);
  return send_message(client, IPCNET_PACKET_CONTROL, fds, fd_count);
}

int link_send_data(struct ipcnet_client *client, uint8_t *packet, size_t length) {
  if (client->state != CLIENT_OPEN) return no_link(client);
  if (client->out_bytes + length > OUT_DATA_BYTES_MAX) return client_fail(client, IPCNET_TOO_MANY_REQUESTS, "the gateway does not read as fast as this program writes");
  ipcnet_channel_seal(&client->channel, IPCNET_PACKET_DATA, 0, packet, length);
  int status = send_packet(client, packet, length, NULL, 0);
  return status < 0 ? client_fail(client, -status, "%s", client->end_text) : 0;
}

/* ---- calls -------------------------------------------------------------------------------------------------------------------------- */

void pending_forget(struct ipcnet_client *client, struct pending *pending) {
  table_remove(&client->pendings, pending->seq);
  list_remove(&pending->link);
}

static void finish(struct ipcnet_client *client, struct pending *pending, struct answer *answer) {
  pending_forget(client, pending);
  pending->done(client, pending, answer);
}

static void finish_with(struct ipcnet_client *client, struct pending *pending, int status, const char *text) {
  struct answer answer = {.status = status, .text = text, .text_length = strlen(text)};
  finish(client, pending, &answer);
}

uint32_t put_seq(struct ipcnet_client *client) {
  /* Numbers below 2^31, so that they fit a positive int; one that is still in use is passed over. */
  do client->last_seq = client->last_seq >= INT32_MAX ? 1 : client->last_seq + 1;
  while (table_get(&client->pendings, client->last_seq) != NULL);
  put_unsigned(client, "seq", client->last_seq);
  return client->last_seq;
}

int message_call(struct ipcnet_client *client, struct pending *pending, pending_done done, int64_t deadline_ns, const int *fds, uint32_t fd_count) {
  pending->seq = put_seq(client);
  pending->deadline_ns = deadline_ns;
  pending->done = done;
  list_init(&pending->link);
  if (client->state != CLIENT_OPEN) return no_link(client);
  /* Before sending: a failure of sending ends the link, which answers all calls. */
  if (table_set(&client->pendings, pending->seq, pending) < 0) return client_no_memory(client);
  int status = message_send(client, fds, fd_count);
  if (status < 0) {
    table_remove(&client->pendings, pending->seq);
    return status;
  }
  list_append(&client->pending_list, &pending->link);
  client_arm(client, deadline_ns);
  return 0;
}

struct asked {
  struct pending pending;
  int finished;
  int memory;
  struct ipcnet_reply reply;
};

static void asked_done(struct ipcnet_client *client, struct pending *pending, struct answer *answer) {
  (void)client;
  struct asked *asked = (struct asked *)(void *)pending;
  asked->finished = 1;
  asked->memory = reply_take(&asked->reply, answer);
}

int reply_take(struct ipcnet_reply *reply, struct answer *answer) {
  memset(reply, 0, sizeof *reply);
  for (int i = 0; i < IPCNET_FDS_MAX; i++) reply->fds[i] = -1;
  /* One block: the body, then the text. */
  uint8_t *block = malloc(answer->body.length + answer->text_length + 1);
  reply->status = answer->status;
  if (block == NULL) return -IPCNET_INSUFFICIENT_STORAGE;
  if (answer->body.length > 0) memcpy(block, answer->body.bytes, answer->body.length);
  if (answer->text_length > 0) memcpy(block + answer->body.length, answer->text, answer->text_length);
  block[answer->body.length + answer->text_length] = '\0';
  reply->text = (const char *)(block + answer->body.length);
  reply->body = answer->body.length > 0 ? block : NULL;
  reply->body_bytes = answer->body.length;
  reply->owner = (uint64_t)(uintptr_t)block;
  reply->fd_count = answer->fd_count;
  for (uint32_t i = 0; i < answer->fd_count; i++) {
    reply->fds[i] = answer->fds[i];
    answer->fds[i] = -1;
  }
  return 0;
}

void ipcnet_reply_free(struct ipcnet_reply *reply) {
  if (reply == NULL) return;
  for (uint32_t i = 0; i < reply->fd_count && i < IPCNET_FDS_MAX; i++)
    if (reply->fds[i] >= 0) close(reply->fds[i]);
  free((void *)(uintptr_t)reply->owner);
  memset(reply, 0, sizeof *reply);
}

int message_ask(struct ipcnet_client *client, const int *fds, uint32_t fd_count, struct ipcnet_reply *reply) {
  struct asked asked = {.finished = 0};
  int status = message_call(client, &asked.pending, asked_done, now_ns() + client->call_timeout_ns, fds, fd_count);
  if (reply != NULL) memset(reply, 0, sizeof *reply);
  if (status < 0) return status;
  while (!asked.finished) link_wait(client, asked.pending.deadline_ns);
  status = asked.reply.status;
  if (asked.memory < 0) status = client_no_memory(client);
  else if (status >= 200 && status < 1000) status = client_fail(client, status, "%s", asked.reply.text);
  if (reply != NULL) *reply = asked.reply;
  else ipcnet_reply_free(&asked.reply);
  return status;
}

/* ---- messages in -------------------------------------------------------------------------------------------------------------------- */

int get_number(struct ipcnet_cbor map, const char *key, uint32_t *out) {
  uint64_t number;
  if (!ipcnet_cbor_get_unsigned(map, key, UINT32_MAX, &number)) return 0;
  *out = (uint32_t)number;
  return 1;
}

const char *get_text(struct ipcnet_cbor map, const char *key, size_t *length) {
  struct ipcnet_cbor value;
  const uint8_t *bytes;
  if (ipcnet_cbor_get(map, key, &value) && ipcnet_cbor_type(value) == IPCNET_CBOR_TEXT && ipcnet_cbor_view(value, &bytes, length)) return (const char *)bytes;
  *length = 0;
  return "";
}

static int get_status(struct ipcnet_cbor map, int *status) {
  uint64_t number;
  if (!ipcnet_cbor_get_unsigned(map, "status", INT32_MAX, &number) || number < 100) return 0;
  *status = (int)number;
  return 1;
}

/* What a message comes with. A handler returns 0, or -1 when the message is malformed, and sets those descriptors to -1 that it keeps. */
struct incoming {
  struct ipcnet_cbor map;
  int *fds;
  uint32_t fd_count;
};

static int on_reply(struct ipcnet_client *client, struct incoming *in) {
  struct answer answer = {.fds = in->fds, .fd_count = in->fd_count};
  uint32_t seq;
  if (!get_number(in->map, "seq", &seq) || !get_status(in->map, &answer.status)) return -1;
  answer.text = get_text(in->map, "text", &answer.text_length);
  ipcnet_cbor_get(in->map, "body", &answer.body);
  struct pending *pending = table_get(&client->pendings, seq);
  if (pending != NULL) finish(client, pending, &answer);
  else if (seq == 0 && answer.status >= 200) client_event(client, EVENT_NOTICE, answer.status, 1, 0, answer.text, answer.text_length);
  return 0;
}

static int on_announce(struct ipcnet_client *client, struct incoming *in) {
  struct ipcnet_cbor topics, description;
  size_t position = 0;
  if (!ipcnet_cbor_get(in->map, "topics", &topics) || ipcnet_cbor_type(topics) != IPCNET_CBOR_ARRAY) return -1;
  while (ipcnet_cbor_next(topics, &position, NULL, &description))
    if (topic_learn(client, description, NULL) < 0) return -1;
  return 0;
}

static int on_origins(struct ipcnet_client *client, struct incoming *in) {
  struct ipcnet_cbor origins, origin;
  size_t position = 0, length;
  uint32_t id;
  if (!ipcnet_cbor_get(in->map, "origins", &origins) || ipcnet_cbor_type(origins) != IPCNET_CBOR_ARRAY) return -1;
  while (ipcnet_cbor_next(origins, &position, NULL, &origin)) {
    const char *name = get_text(origin, "name", &length);
    if (!get_number(origin, "id", &id)) return -1;
    struct text *text = client_text(client, name, length);
    if (text == NULL || table_set(&client->origins, id, text) < 0) return -1;
  }
  return 0;
}

static int on_gap(struct ipcnet_client *client, struct incoming *in) {
  struct ipcnet_cbor gaps, gap;
  size_t position = 0;
  uint32_t subscription, topic_id;
  uint64_t lost;
  if (!ipcnet_cbor_get(in->map, "gaps", &gaps) || ipcnet_cbor_type(gaps) != IPCNET_CBOR_ARRAY) return -1;
  while (ipcnet_cbor_next(gaps, &position, NULL, &gap)) {
    if (!get_number(gap, "subscription", &subscription) || !get_number(gap, "topicId", &topic_id) || !ipcnet_cbor_get_unsigned(gap, "lost", UINT64_MAX, &lost)) return -1;
    subscription_gap(client, subscription, table_get(&client->topics_by_id, topic_id), lost);
  }
  return 0;
}

static int on_notice(struct ipcnet_client *client, struct incoming *in) {
  int status;
  size_t length;
  uint64_t count = 1;
  const char *text = get_text(in->map, "text", &length);
  if (!get_status(in->map, &status)) return -1;
  ipcnet_cbor_get_unsigned(in->map, "count", UINT64_MAX, &count);
  client_event(client, EVENT_NOTICE, status, count, 0, text, length);
  return 0;
}

static int on_leaving(struct ipcnet_client *client, struct incoming *in) {
  double deadline_ms;
  size_t length;
  const char *text = get_text(in->map, "text", &length);
  if (!ipcnet_cbor_get_double(in->map, "deadlineMs", &deadline_ms) || !(deadline_ms >= 0 && deadline_ms <= 1e9)) return -1;
  if (client->handlers.on_leaving != NULL) {
    client_event(client, EVENT_LEAVING, IPCNET_OK, 1, (uint32_t)deadline_ms, text, length);
    return 0;
  }
  /* This program has nothing to prepare: nobody needs to wait for it. */
  message_begin(client, "ready");
  put_seq(client);
  (void)message_send(client, NULL, 0);
  return 0;
}

static int on_goodbye(struct ipcnet_client *client, struct incoming *in) {
  int status = IPCNET_SERVICE_UNAVAILABLE;
  size_t length;
  const char *text = get_text(in->map, "text", &length);
  get_status(in->map, &status);
  link_end(client, status, "the gateway says goodbye: %.*s", (int)(length > 400 ? 400 : length), text);
  return 0;
}

static void renew(struct ipcnet_client *client, int same_boot) {
  /* Held until all renewals have been sent, so that none can be the last before the others exist. */
  client->renewals = 1;
  component_renew(client);
  writers_renew(client);
  offers_renew(client);
  subscriptions_renew(client, same_boot);
  link_renewed(client);
}

void link_renewed(struct ipcnet_client *client) {
  if (client->renewals > 0 && --client->renewals == 0 && client->state == CLIENT_OPEN) client_event(client, EVENT_RETURN, IPCNET_OK, 1, 0, "", 0);
}

static int on_welcome(struct ipcnet_client *client, struct incoming *in) {
  static const char *const names[4] = {"robot", "version", "instance", "boot"};
  struct ipcnet_cbor gateway;
  const char *boot_before = client->gateway[3];
  if (!ipcnet_cbor_get(in->map, "gateway", &gateway) || ipcnet_cbor_type(gateway) != IPCNET_CBOR_MAP || client->state != CLIENT_SHAKING) return -1;
  for (int i = 0; i < 4; i++) {
    size_t length;
    const char *value = get_text(gateway, names[i], &length);
    struct text *text = client_text(client, value, length);
    client->gateway[i] = text == NULL ? "" : text->bytes;
  }
  client->state = CLIENT_OPEN;
  client->next_ns = NEVER;
  client->retry_ns = client->retry_min_ns;
  if (boot_before != NULL) renew(client, boot_before == client->gateway[3]);
  return 0;
}

static int on_refused(struct ipcnet_client *client, struct incoming *in) {
  int status = IPCNET_SERVICE_UNAVAILABLE;
  size_t length;
  const char *text = get_text(in->map, "text", &length);
  get_status(in->map, &status);
  link_end(client, status, "the gateway refuses: %.*s", (int)(length > 400 ? 400 : length), text);
  return 0;
}

static int on_lane(struct ipcnet_client *client, struct incoming *in) {
  return subscription_lane(client, in->map, in->fds, in->fd_count);
}

static int on_unlane(struct ipcnet_client *client, struct incoming *in) {
  return subscription_unlane(client, in->map);
}

static int on_reader(struct ipcnet_client *client, struct incoming *in) {
  return writer_reader(client, in->map, in->fds, in->fd_count);
}

static int on_unreader(struct ipcnet_client *client, struct incoming *in) {
  return writer_unreader(client, in->map);
}

static int on_rekey(struct ipcnet_client *client, struct incoming *in) {
  return writer_rekey(client, in->map);
}

static int on_unadvert(struct ipcnet_client *client, struct incoming *in) {
  return writer_unadvert(client, in->map);
}

static int on_item(struct ipcnet_client *client, struct incoming *in) {
  return request_item(client, in->map, in->fds, in->fd_count);
}

static int on_call(struct ipcnet_client *client, struct incoming *in) {
  return offer_call(client, in->map, in->fds, in->fd_count);
}

static int on_call_credit(struct ipcnet_client *client, struct incoming *in) {
  return offer_credit(client, in->map);
}

static int on_call_cancelled(struct ipcnet_client *client, struct incoming *in) {
  return offer_cancelled(client, in->map);
}

static const struct {
  const char *op;
  int (*handle)(struct ipcnet_client *client, struct incoming *in);
  int handshake;
} handlers[] = {
  {"reply", on_reply, 0}, {"announce", on_announce, 0}, {"origins", on_origins, 0}, {"gap", on_gap, 0}, {"notice", on_notice, 0},
  {"lane", on_lane, 0}, {"unlane", on_unlane, 0}, {"reader", on_reader, 0}, {"unreader", on_unreader, 0}, {"rekey", on_rekey, 0}, {"unadvert", on_unadvert, 0},
  {"item", on_item, 0}, {"call", on_call, 0}, {"callCredit", on_call_credit, 0}, {"callCancelled", on_call_cancelled, 0},
  {"leaving", on_leaving, 0}, {"goodbye", on_goodbye, 0}, {"welcome", on_welcome, 1}, {"refused", on_refused, 1},
};

static void take_message(struct ipcnet_client *client, int handshake, const uint8_t *bytes, size_t length, struct ipcnet_seqpacket_fds *fds) {
  struct incoming in = {.fds = fds->fds, .fd_count = fds->count};
  struct ipcnet_cbor op;
  uint64_t claimed = 0;
  if (ipcnet_cbor_open(bytes, length, &in.map) < 0 || ipcnet_cbor_type(in.map) != IPCNET_CBOR_MAP || !ipcnet_cbor_get(in.map, "op", &op)) {
    link_end(client, IPCNET_BAD_GATEWAY, "the gateway sent a message that is not CBOR, or no map");
    return;
  }
  ipcnet_cbor_get_unsigned(in.map, "fds", UINT32_MAX, &claimed);
  if (claimed != fds->count) {
    link_end(client, IPCNET_BAD_GATEWAY, "the gateway sent %u descriptors and said %llu", fds->count, (unsigned long long)claimed);
    return;
  }
  for (size_t i = 0; i < sizeof handlers / sizeof handlers[0]; i++) {
    if (!ipcnet_cbor_is_text(op, handlers[i].op)) continue;
    /* Only the handshake is said before the welcome, and nothing of it after. */
    if (handlers[i].handshake != handshake || (!handshake && client->state != CLIENT_OPEN && handlers[i].handle != on_goodbye) || handlers[i].handle(client, &in) < 0)
      link_end(client, IPCNET_BAD_GATEWAY, "the gateway sent a malformed message: %s", handlers[i].op);
    return;
  }
  /* An op of a later revision is none of our business. */
}

static void take_packet(struct ipcnet_client *client, const uint8_t *packet, size_t length, struct ipcnet_seqpacket_fds *fds) {
  const uint8_t *body = NULL;
  size_t body_bytes = 0;
  double wall_offset_us;
  int count;
  enum ipcnet_packet_verdict verdict = ipcnet_channel_receive(&client->channel, packet, length, &body, &body_bytes);
  if (fds->count > 0 && verdict != IPCNET_PACKET_IS_CONTROL) {
    link_end(client, IPCNET_BAD_GATEWAY, "the gateway sent descriptors with a packet that may have none");
    return;
  }
  switch (verdict) {
    case IPCNET_PACKET_IS_CONTROL:
    case IPCNET_PACKET_IS_HANDSHAKE: take_message(client, verdict == IPCNET_PACKET_IS_HANDSHAKE, body, body_bytes, fds); return;
    case IPCNET_PACKET_IS_FRAGMENT: return;
    case IPCNET_PACKET_IS_DATA:
      count = ipcnet_packet_check_batch(packet, length, &wall_offset_us);
      if (count < 0 || client->state != CLIENT_OPEN) link_end(client, IPCNET_BAD_GATEWAY, "the gateway sent a malformed batch");
      else subscription_samples(client, packet, length, (uint32_t)count, wall_offset_us);
      return;
    case IPCNET_PACKET_NO_MEMORY: link_end(client, IPCNET_INSUFFICIENT_STORAGE, "out of memory"); return;
    default: link_end(client, IPCNET_INTEGRITY_FAILURE, "a packet from the gateway failed its integrity check"); return;
  }
}

void link_take_in(struct ipcnet_client *client) {
  uint32_t lengths[RECEIVE_PACKETS];
  struct ipcnet_seqpacket_fds fds[RECEIVE_PACKETS];
  enum ipcnet_seqpacket_state state = IPCNET_SEQPACKET_MORE;
  for (int reads = 0; reads < READS_MAX && client->fd >= 0 && state == IPCNET_SEQPACKET_MORE; reads++) {
    int count = ipcnet_seqpacket_receive_fds(client->fd, client->received, IPCNET_PACKET_BYTES_MAX, RECEIVE_PACKETS, lengths, fds, &state);
    if (count < 0) {
      link_end(client, IPCNET_SERVICE_UNAVAILABLE, "the connection to the gateway broke: %s", strerror(-count));
      return;
    }
    for (int i = 0; i < count; i++) {
      if (client->fd >= 0) take_packet(client, client->received + (size_t)i * IPCNET_PACKET_BYTES_MAX, lengths[i], &fds[i]);
      for (uint32_t k = 0; k < fds[i].count; k++)
        if (fds[i].fds[k] >= 0) close(fds[i].fds[k]);
    }
    if (client->fd < 0 || state == IPCNET_SEQPACKET_MORE || state == IPCNET_SEQPACKET_DRAINED) continue;
    if (state == IPCNET_SEQPACKET_END) link_end(client, IPCNET_SERVICE_UNAVAILABLE, "the gateway closed the connection");
    else if (state == IPCNET_SEQPACKET_FDS_LOST) link_end(client, IPCNET_INSUFFICIENT_STORAGE, "this program may not open more files (RLIMIT_NOFILE)");
    else link_end(client, IPCNET_INTEGRITY_FAILURE, "the gateway sent a packet that is too large, or too many descriptors");
  }
}

void link_wait(struct ipcnet_client *client, int64_t deadline_ns) {
  int64_t now = now_ns();
  if (client->fd >= 0 && now < deadline_ns) {
    int64_t left_ms = (deadline_ns - now + 999999) / 1000000;
    struct pollfd one = {.fd = client->fd, .events = (short)(POLLIN | (list_is_empty(&client->out) ? 0 : POLLOUT))};
    int ready = poll(&one, 1, left_ms > INT32_MAX ? INT32_MAX : (int)left_ms);
    if (ready > 0 && (one.revents & POLLOUT) != 0) link_flush(client);
    if (ready > 0 && (one.revents & ~POLLOUT) != 0) link_take_in(client);
  }
  link_due(client);
}

/* ---- the end, and the next connection ----------------------------------------------------------------------------------------------- */

static void drop_link(struct ipcnet_client *client) {
  if (client->fd >= 0) {
    client_unwatch(client, client->fd);
    close(client->fd);
  }
  client->fd = -1;
  client->writable_wanted = 0;
  client->batch_count = 0;
  while (!list_is_empty(&client->out)) drop_out(client, LIST_OWNER(client->out.next, struct out_packet, link));
}

static void schedule_retry(struct ipcnet_client *client) {
  client->state = CLIENT_AWAY;
  /* Shortened by up to half at random, so that a robot's programs do not all return in the same instant. */
  client->random = client->random * 6364136223846793005u + 1442695040888963407u;
  client->next_ns = now_ns() + client->retry_ns - (int64_t)((uint64_t)client->retry_ns / 2 * (client->random >> 48) / 65536);
  client->retry_ns = client->retry_ns * 2 < client->retry_max_ns ? client->retry_ns * 2 : client->retry_max_ns;
  client_arm(client, client->next_ns);
}

void link_end(struct ipcnet_client *client, int status, const char *format, ...) {
  va_list arguments;
  if (client->state != CLIENT_OPEN && client->state != CLIENT_SHAKING) return;
  va_start(arguments, format);
  vsnprintf(client->end_text, sizeof client->end_text, format, arguments);
  va_end(arguments);
  client->end_status = status;
  int had_been_welcome = client->gateway[3] != NULL;
  int was_open = client->state == CLIENT_OPEN;
  client->state = CLIENT_ENDED;
  drop_link(client);
  table_free(&client->topics_by_id);
  table_free(&client->origins);
  subscriptions_link_ended(client);
  writers_link_ended(client);
  offers_link_ended(client);
  client->renewals = 0;
  while (!list_is_empty(&client->pending_list)) finish_with(client, LIST_OWNER(client->pending_list.next, struct pending, link), IPCNET_SERVICE_UNAVAILABLE, client->end_text);
  client->renewals = 0;
  if (!had_been_welcome) return;
  if ((client->flags & IPCNET_RECONNECT) == 0 || client->socket_path == NULL) {
    client_event(client, EVENT_END, status, 1, 0, client->end_text, strlen(client->end_text));
    return;
  }
  client_event(client, was_open ? EVENT_END : EVENT_NOTICE, status, 1, 0, client->end_text, strlen(client->end_text));
  schedule_retry(client);
}

static int explain(struct ipcnet_client *client, int error) {
  const char *path = client->socket_path;
  switch (error) {
    case ENOENT:
    case ENOTDIR: return client_fail(client, IPCNET_SERVICE_UNAVAILABLE, "no gateway listens at %s: start one with \"ipcnetd --config FILE\", or name its socket by IPCNET_SOCKET or the option socket_path", path);
    case ECONNREFUSED: return client_fail(client, IPCNET_SERVICE_UNAVAILABLE, "the gateway that listened at %s is gone: start it again with \"systemctl restart ipcnet\" or \"ipcnetd --config FILE\"", path);
    case EACCES:
    case EPERM: return client_fail(client, IPCNET_FORBIDDEN, "uid %u may not open %s: join the socket's group with \"sudo usermod -aG ipcnet $USER\" and log in again", (unsigned)geteuid(), path);
    case EAGAIN: return client_fail(client, IPCNET_REQUEST_TIMEOUT, "the gateway at %s does not accept connections: is it stopped or overloaded?", path);
    case ENAMETOOLONG: return client_fail(client, IPCNET_BAD_REQUEST, "%s is too long for a socket's path", path);
    default: return client_fail(client, IPCNET_SERVICE_UNAVAILABLE, "cannot connect to %s: %s", path, strerror(error));
  }
}

/* Opens the socket (or takes client->fd) and says hello; the welcome comes later. */
static int begin_link(struct ipcnet_client *client) {
  if (client->fd < 0) {
    int fd = ipcnet_seqpacket_connect(client->socket_path);
    if (fd < 0) return fd;
    client->fd = fd;
  }
  if (client_watch(client, client->fd, &client->socket_source, EPOLLIN) < 0) {
    close(client->fd);
    client->fd = -1;
    return -ENOMEM;
  }
  ipcnet_channel_free(&client->channel);
  client->state = CLIENT_SHAKING;
  client->next_ns = now_ns() + client->connect_timeout_ns;
  message_begin(client, "hello");
  ipcnet_cbor_text(&client->message, "versions");
  ipcnet_cbor_array(&client->message, 1);
  ipcnet_cbor_unsigned(&client->message, PROTOCOL_VERSION);
  client->message_entries += 1;
  put_text(client, "name", client->name);
  /* A gateway that refuses may have closed before our first word: its last ones are still to be read. */
  (void)send_message(client, IPCNET_PACKET_HANDSHAKE, NULL, 0);
  return 0;
}

int link_open(struct ipcnet_client *client) {
  int64_t deadline = now_ns() + client->connect_timeout_ns;
  int status;
  while ((status = begin_link(client)) == -EAGAIN && now_ns() < deadline) {
    struct timespec pause = {.tv_sec = 0, .tv_nsec = BACKLOG_RETRY_NS};
    nanosleep(&pause, NULL);
  }
  if (status < 0) return explain(client, -status);
  while (client->state == CLIENT_SHAKING) link_wait(client, deadline);
  return client->state == CLIENT_OPEN ? 0 : client_fail(client, client->end_status, "%s", client->end_text);
}

void link_due(struct ipcnet_client *client) {
  int64_t now = now_ns();
  for (struct list *at = client->pending_list.next, *next; at != &client->pending_list; at = next) {
    next = at->next;
    struct pending *pending = LIST_OWNER(at, struct pending, link);
    if (pending->deadline_ns <= now) {
      finish_with(client, pending, IPCNET_REQUEST_TIMEOUT, "the gateway did not answer in time");
      /* `done` may have ended others. */
      next = client->pending_list.next;
    }
  }
  if (client->next_ns > now) return;
  client->next_ns = NEVER;
  if (client->state == CLIENT_SHAKING) {
    link_end(client, IPCNET_REQUEST_TIMEOUT, "the gateway%s%s did not answer in time: is it stopped or overloaded?", client->socket_path == NULL ? "" : " at ", client->socket_path == NULL ? "" : client->socket_path);
  } else if (client->state == CLIENT_AWAY) {
    int status = begin_link(client);
    if (status < 0) {
      (void)explain(client, -status);
      schedule_retry(client);
    }
    client_arm(client, client->next_ns);
  }
}

int64_t link_next_deadline(const struct ipcnet_client *client) {
  int64_t next = client->next_ns;
  for (const struct list *at = client->pending_list.next; at != &client->pending_list; at = at->next) {
    const struct pending *pending = LIST_OWNER(at, struct pending, link);
    if (pending->deadline_ns < next) next = pending->deadline_ns;
  }
  return next;
}
