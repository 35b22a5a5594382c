/* Calling services, and what else is asked of the gateway: find, announce, grant, leaving. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"

#define TIMEOUT_MS_MAX 600000u
/* Items of a stream under way; the gateway ends the connection of whoever gives more. */
#define CREDIT_MAX 4096u

struct item {
  struct list link;
  struct ipcnet_reply reply;
};

struct request {
  struct list link;
  struct list ready;
  struct pending pending;
  struct ipcnet_client *client;
  ipcnet_on_reply on_reply;
  ipcnet_on_item on_item;
  void *context;
  uint32_t number;
  uint64_t credit;
  int64_t timeout_ns;
  struct list items;
  struct ipcnet_reply reply;
  int status;
  int finished;
};

static void request_free(struct request *self) {
  struct list *link;
  table_remove(&self->client->requests_by_seq, self->number);
  list_remove(&self->link);
  list_remove(&self->ready);
  while ((link = list_shift(&self->items)) != NULL) {
    struct item *item = LIST_OWNER(link, struct item, link);
    ipcnet_reply_free(&item->reply);
    free(item);
  }
  ipcnet_reply_free(&self->reply);
  free(self);
}

static void make_ready(struct request *self) {
  if (self->on_reply == NULL) return;
  if (!list_has(&self->ready)) list_append(&self->client->ready_requests, &self->ready);
  client_signal(self->client);
}

static void request_done(struct ipcnet_client *client, struct pending *pending, struct answer *answer) {
  struct request *self = LIST_OWNER(pending, struct request, pending);
  (void)client;
  self->finished = 1;
  self->status = reply_take(&self->reply, answer) < 0 ? -IPCNET_INSUFFICIENT_STORAGE : answer->status >= 200 && answer->status < 1000 ? -answer->status : answer->status;
  make_ready(self);
}

int request_item(struct ipcnet_client *client, struct ipcnet_cbor message, int *fds, uint32_t fd_count) {
  uint32_t seq;
  struct answer answer = {.status = IPCNET_OK, .text = "", .fds = fds, .fd_count = fd_count};
  if (!get_number(message, "seq", &seq)) return -1;
  struct request *self = table_get(&client->requests_by_seq, seq);
  /* Cancelled or timed out a moment ago. */
  if (self == NULL || self->finished) return 0;
  if (self->credit == 0) return -1;
  self->credit -= 1;
  struct item *item = calloc(1, sizeof *item);
  ipcnet_cbor_get(message, "body", &answer.body);
  if (item == NULL || reply_take(&item->reply, &answer) < 0) {
    free(item);
    return -1;
  }
  list_init(&item->link);
  list_append(&self->items, &item->link);
  /* In a stream the time begins anew with each item. */
  self->pending.deadline_ns = now_ns() + self->timeout_ns + GRACE_NS;
  make_ready(self);
  return 0;
}

int ipcnet_request_start(struct ipcnet_client *client, const char *service, const void *body, size_t body_bytes, const struct ipcnet_request_options *wanted, ipcnet_on_reply on_reply, ipcnet_on_item on_item, void *context) {
  static const struct ipcnet_request_options none;
  const struct ipcnet_request_options *options = wanted == NULL ? &none : wanted;
  struct ipcnet_cbor value;
  uint32_t timeout_ms = options->timeout_ms != 0 ? options->timeout_ms : (uint32_t)(client->call_timeout_ns / 1000000);
  if (timeout_ms > TIMEOUT_MS_MAX || options->credit > CREDIT_MAX) return client_fail(client, IPCNET_BAD_REQUEST, "%s: timeout_ms or credit is out of range", service);
  if (body != NULL && ipcnet_cbor_open(body, body_bytes, &value) < 0) return client_fail(client, IPCNET_UNPROCESSABLE_CONTENT, "%s: the body is not one CBOR value", service);
  struct request *self = calloc(1, sizeof *self);
  if (self == NULL) return client_no_memory(client);
  self->client = client;
  self->on_reply = on_reply;
  self->on_item = on_item;
  self->context = context;
  self->credit = options->credit;
  self->timeout_ns = (int64_t)timeout_ms * 1000000;
  list_init(&self->link);
  list_init(&self->ready);
  list_init(&self->items);
  message_begin(client, "request");
  put_text(client, "service", service);
  if (options->group != NULL) put_text(client, "group", options->group);
  if (body != NULL) put_raw(client, "body", body, body_bytes);
  put_unsigned(client, "timeoutMs", timeout_ms);
  if (options->credit > 0) put_unsigned(client, "stream", options->credit);
  if ((options->flags & IPCNET_NOT_IDEMPOTENT) != 0) put_boolean(client, "idempotent", 0);
  int status = message_call(client, &self->pending, request_done, now_ns() + self->timeout_ns + GRACE_NS, options->fds, options->fd_count);
  if (status < 0) {
    free(self);
    return status;
  }
  self->number = self->pending.seq;
  list_append(&client->requests, &self->link);
  if (table_set(&client->requests_by_seq, self->number, self) < 0) {
    /* It can be neither found nor told: as if it had not been sent. */
    pending_forget(client, &self->pending);
    request_free(self);
    return client_no_memory(client);
  }
  return (int)self->number;
}

static int take_next(struct request *self, struct ipcnet_reply *reply, int *status) {
  struct list *link = list_shift(&self->items);
  if (link != NULL) {
    struct item *item = LIST_OWNER(link, struct item, link);
    *reply = item->reply;
    *status = IPCNET_OK;
    free(item);
    return 1;
  }
  if (!self->finished) return -1;
  *reply = self->reply;
  *status = self->status;
  memset(&self->reply, 0, sizeof self->reply);
  request_free(self);
  return 0;
}

int ipcnet_request_next(struct ipcnet_client *client, uint32_t request, struct ipcnet_reply *reply, int *status, int timeout_ms) {
  int64_t deadline = timeout_ms < 0 ? NEVER : now_ns() + (int64_t)timeout_ms * 1000000;
  memset(reply, 0, sizeof *reply);
  *status = 0;
  for (int looked = 0;; looked = 1) {
    struct request *self = table_get(&client->requests_by_seq, request);
    if (self == NULL || self->on_reply != NULL) return client_fail(client, IPCNET_NOT_FOUND, "there is no request %u to be asked for", request);
    int taken = take_next(self, reply, status);
    if (taken >= 0) {
      if (*status < 0) client_fail(client, -*status, "%s", reply->text == NULL ? "out of memory" : reply->text);
      return taken;
    }
    if (looked && deadline != NEVER && now_ns() >= deadline) return client_fail(client, IPCNET_REQUEST_TIMEOUT, "nothing came of request %u within %d ms", request, timeout_ms);
    int64_t until = self->pending.deadline_ns < deadline ? self->pending.deadline_ns : deadline;
    /* With a timeout of 0: what has come already. */
    if (timeout_ms == 0) link_take_in(client);
    else link_wait(client, until);
  }
}

int ipcnet_request(struct ipcnet_client *client, const char *service, const void *body, size_t body_bytes, const struct ipcnet_request_options *wanted, struct ipcnet_reply *reply) {
  struct ipcnet_request_options options = {.fds = NULL};
  struct ipcnet_reply answer;
  int status = 0;
  if (reply != NULL) memset(reply, 0, sizeof *reply);
  if (wanted != NULL) options = *wanted;
  options.credit = 0;
  int number = ipcnet_request_start(client, service, body, body_bytes, &options, NULL, NULL, NULL);
  if (number < 0) return number;
  int taken = ipcnet_request_next(client, (uint32_t)number, &answer, &status, -1);
  if (taken < 0) return taken;
  if (reply != NULL) *reply = answer;
  else ipcnet_reply_free(&answer);
  return status;
}

/* JSON text of a body, "null" without one. */
static char *body_json(const uint8_t *body, size_t length) {
  struct ipcnet_cbor value;
  if (body == NULL || ipcnet_cbor_open(body, length, &value) < 0) return strdup("null");
  return ipcnet_cbor_to_json(value);
}

int ipcnet_request_json(struct ipcnet_client *client, const char *service, const char *json, uint32_t timeout_ms, char **answer) {
  struct ipcnet_request_options options = {.timeout_ms = timeout_ms};
  struct ipcnet_cbor_writer writer;
  struct ipcnet_reply reply = {.body = NULL};
  int length = 0;
  if (answer != NULL) *answer = NULL;
  ipcnet_cbor_begin(&writer, NULL, 0);
  int status = json == NULL ? 0 : ipcnet_cbor_from_json(&writer, json, strlen(json));
  if (status == 0 && json != NULL) length = ipcnet_cbor_finish(&writer);
  if (status < 0 || length < 0) status = client_fail(client, length < 0 ? -length : -status, "%s: the body is not JSON, or too large", service);
  else status = ipcnet_request(client, service, json == NULL ? NULL : writer.bytes, (size_t)length, &options, &reply);
  ipcnet_cbor_end(&writer);
  if (answer != NULL && (status >= 0 || reply.body != NULL)) {
    *answer = body_json(reply.body, reply.body_bytes);
    if (*answer == NULL && status >= 0) status = client_no_memory(client);
  }
  ipcnet_reply_free(&reply);
  return status;
}

int ipcnet_request_credit(struct ipcnet_client *client, uint32_t request, uint32_t items) {
  struct request *self = table_get(&client->requests_by_seq, request);
  if (self == NULL || self->finished) return client_fail(client, IPCNET_NOT_FOUND, "there is no running request %u", request);
  if (items == 0 || items > CREDIT_MAX || self->credit + items > CREDIT_MAX) return client_fail(client, IPCNET_BAD_REQUEST, "a credit of %u items is out of range", items);
  message_begin(client, "credit");
  put_unsigned(client, "request", request);
  put_unsigned(client, "items", items);
  int status = message_send(client, NULL, 0);
  if (status < 0) return status;
  self->credit += items;
  self->pending.deadline_ns = now_ns() + self->timeout_ns + GRACE_NS;
  return 0;
}

int ipcnet_request_cancel(struct ipcnet_client *client, uint32_t request) {
  struct request *self = table_get(&client->requests_by_seq, request);
  if (self == NULL || self->finished) return client_fail(client, IPCNET_NOT_FOUND, "there is no running request %u", request);
  message_begin(client, "cancel");
  put_unsigned(client, "request", request);
  return message_send(client, NULL, 0);
}

int ipcnet_request_drop(struct ipcnet_client *client, uint32_t request) {
  struct request *self = table_get(&client->requests_by_seq, request);
  if (self == NULL || self->on_reply != NULL) return client_fail(client, IPCNET_NOT_FOUND, "there is no request %u to be dropped", request);
  if (!self->finished) {
    /* Without room for the word, its deadline ends the call. */
    (void)ipcnet_request_cancel(client, request);
    pending_forget(client, &self->pending);
  }
  request_free(self);
  return 0;
}

void requests_hand_out(struct ipcnet_client *client) {
  struct list now, *link;
  list_init(&now);
  while ((link = list_shift(&client->ready_requests)) != NULL) list_append(&now, link);
  while ((link = list_shift(&now)) != NULL) {
    struct request *self = LIST_OWNER(link, struct request, ready);
    struct ipcnet_reply reply;
    ipcnet_on_reply on_reply = self->on_reply;
    ipcnet_on_item on_item = self->on_item;
    void *context = self->context;
    uint32_t number = self->number;
    int status, more;
    /* A request is freed by its end alone: no callback can pull it away. */
    while ((more = take_next(self, &reply, &status)) >= 0) {
      client->handed_out += 1;
      if (more == 0) on_reply(context, number, status, &reply);
      else if (on_item != NULL) on_item(context, number, &reply);
      ipcnet_reply_free(&reply);
      if (more == 0) break;
    }
  }
}

void requests_free(struct ipcnet_client *client) {
  while (!list_is_empty(&client->requests)) request_free(LIST_OWNER(client->requests.next, struct request, link));
}

/* ---- components, resources, the end ------------------------------------------------------------------------------------------------- */

static void say_component(struct ipcnet_client *client) {
  message_begin(client, "announce");
  put_raw(client, "component", client->component, client->component_bytes);
}

int ipcnet_announce(struct ipcnet_client *client, const void *component, size_t component_bytes) {
  struct ipcnet_cbor value;
  if (ipcnet_cbor_open(component, component_bytes, &value) < 0 || ipcnet_cbor_type(value) != IPCNET_CBOR_MAP) return client_fail(client, IPCNET_UNPROCESSABLE_CONTENT, "announce: a component is a CBOR map");
  uint8_t *copy = malloc(component_bytes);
  if (copy == NULL) return client_no_memory(client);
  memcpy(copy, component, component_bytes);
  free(client->component);
  client->component = copy;
  client->component_bytes = component_bytes;
  say_component(client);
  int status = message_ask(client, NULL, 0, NULL);
  return status < 0 ? status : 0;
}

static void component_renewed(struct ipcnet_client *client, struct pending *pending, struct answer *answer) {
  if (answer->status >= 200 && client->state == CLIENT_OPEN) client_event(client, EVENT_NOTICE, answer->status, 1, 0, answer->text, answer->text_length);
  free(pending);
  link_renewed(client);
}

void component_renew(struct ipcnet_client *client) {
  struct pending *pending = client->component == NULL ? NULL : calloc(1, sizeof *pending);
  if (pending == NULL) return;
  say_component(client);
  if (message_call(client, pending, component_renewed, now_ns() + client->call_timeout_ns, NULL, 0) == 0) client->renewals += 1;
  else free(pending);
}

int ipcnet_find(struct ipcnet_client *client, const char *what, const char *pattern, struct ipcnet_reply *reply) {
  message_begin(client, "find");
  put_text(client, "what", what);
  if (pattern != NULL) put_text(client, "pattern", pattern);
  return message_ask(client, NULL, 0, reply);
}

int ipcnet_grant(struct ipcnet_client *client, const char *resource, const char *mode) {
  struct ipcnet_reply reply;
  message_begin(client, "grant");
  put_text(client, "resource", resource);
  if (mode != NULL) put_text(client, "mode", mode);
  int status = message_ask(client, NULL, 0, &reply);
  if (status >= 0 && reply.fd_count == 1) {
    status = reply.fds[0];
    reply.fds[0] = -1;
  } else if (status >= 0) status = client_fail(client, IPCNET_BAD_GATEWAY, "%s: the gateway sent %u descriptors", resource, reply.fd_count);
  ipcnet_reply_free(&reply);
  return status;
}

int ipcnet_leaving(struct ipcnet_client *client, uint32_t deadline_ms, const char *text) {
  message_begin(client, "leaving");
  put_unsigned(client, "deadlineMs", deadline_ms);
  if (text != NULL) put_text(client, "text", text);
  int status = message_ask(client, NULL, 0, NULL);
  return status < 0 ? status : 0;
}

int ipcnet_ready(struct ipcnet_client *client) {
  message_begin(client, "ready");
  int status = message_ask(client, NULL, 0, NULL);
  return status < 0 ? status : 0;
}

int ipcnet_more_time(struct ipcnet_client *client, uint32_t for_ms) {
  struct ipcnet_reply reply;
  struct ipcnet_cbor body;
  double deadline_ms = 0;
  message_begin(client, "moreTime");
  put_unsigned(client, "forMs", for_ms);
  int status = message_ask(client, NULL, 0, &reply);
  if (status >= 0) {
    if (reply.body == NULL || ipcnet_cbor_open(reply.body, reply.body_bytes, &body) < 0 || !ipcnet_cbor_get_double(body, "deadlineMs", &deadline_ms) || !(deadline_ms >= 0 && deadline_ms < 1e9)) status = client_fail(client, IPCNET_BAD_GATEWAY, "the gateway's answer is malformed");
    else status = (int)deadline_ms;
  }
  ipcnet_reply_free(&reply);
  return status;
}
