/* Offering services: calls that come, their credit and their cancelling, and what is answered. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client.h"

struct ipcnet_call {
  struct list link;
  struct list ready;
  struct ipcnet_client *client;
  struct ipcnet_offer *offer; /* NULL: closed meanwhile */
  void *context;
  uint32_t number; /* 0: of a connection that has ended */
  uint8_t *body;
  size_t body_bytes;
  char *component;
  int64_t deadline_ns;
  uint32_t uid;
  int32_t pid;
  uint64_t credit;
  int is_stream;
  int fds[IPCNET_FDS_MAX];
  uint32_t fd_count;
  int shown;           /* on_call was called */
  int cancelled;       /* status, or 0 */
  int cancel_told;
  uint32_t new_credit; /* to be told */
  char *cancel_text;
  char service[];
};

struct ipcnet_offer {
  struct list link;
  struct grave grave;
  struct pending pending;
  struct ipcnet_client *client;
  struct ipcnet_offer_options options; /* its texts are not used */
  char *service;
  uint8_t *message; /* group, description, allow, deny … as CBOR entries, for the next connection */
  size_t message_bytes;
  uint32_t message_entries;
  uint32_t id;
  int asked, status, ended, renewing;
};

/* ---- calls -------------------------------------------------------------------------------------------------------------------------- */

static void call_free(struct ipcnet_call *self) {
  if (self->number != 0) table_remove(&self->client->calls_by_id, self->number);
  list_remove(&self->link);
  list_remove(&self->ready);
  for (uint32_t i = 0; i < self->fd_count; i++)
    if (self->fds[i] >= 0) close(self->fds[i]);
  free(self->body);
  free(self->component);
  free(self->cancel_text);
  free(self);
}

static void make_ready(struct ipcnet_call *self) {
  if (!list_has(&self->ready)) list_append(&self->client->ready_calls, &self->ready);
  client_signal(self->client);
}

static int send_result(struct ipcnet_call *self, int status, const char *text, const void *body, size_t body_bytes, int more, const int *fds, uint32_t fd_count) {
  struct ipcnet_client *client = self->client;
  struct ipcnet_cbor value;
  if (self->number == 0) return client_fail(client, IPCNET_SERVICE_UNAVAILABLE, "the connection over which %s was called has ended", self->service);
  if (body != NULL && ipcnet_cbor_open(body, body_bytes, &value) < 0) return client_fail(client, IPCNET_UNPROCESSABLE_CONTENT, "%s: the body is not one CBOR value", self->service);
  message_begin(client, "result");
  put_unsigned(client, "call", self->number);
  put_unsigned(client, "status", (uint64_t)status);
  if (text != NULL && text[0] != '\0') put_text(client, "text", text);
  if (body != NULL) put_raw(client, "body", body, body_bytes);
  if (more) put_boolean(client, "more", 1);
  return message_send(client, fds, fd_count);
}

int offer_call(struct ipcnet_client *client, struct ipcnet_cbor message, int *fds, uint32_t fd_count) {
  uint32_t number, offer_id, uid;
  uint64_t credit = 0;
  int64_t pid;
  double timeout_ms;
  size_t service_bytes, component_bytes;
  struct ipcnet_cbor caller, body;
  const char *service = get_text(message, "service", &service_bytes);
  if (!get_number(message, "call", &number) || number == 0 || !get_number(message, "offer", &offer_id) || !ipcnet_cbor_get_double(message, "timeoutMs", &timeout_ms) || !(timeout_ms >= 0 && timeout_ms <= 1e9)
      || !ipcnet_cbor_get(message, "caller", &caller) || !get_number(caller, "uid", &uid) || !ipcnet_cbor_get_integer(caller, "pid", &pid) || pid < 0 || pid > INT32_MAX || service_bytes > 1024
      || table_get(&client->calls_by_id, number) != NULL) return -1;
  const char *component = get_text(caller, "component", &component_bytes);
  struct ipcnet_call *self = calloc(1, sizeof *self + service_bytes + 1);
  if (self == NULL) return -1;
  list_init(&self->link);
  list_init(&self->ready);
  self->client = client;
  memcpy(self->service, service, service_bytes);
  self->uid = uid;
  self->pid = (int32_t)pid;
  self->component = strndup(component, component_bytes);
  self->deadline_ns = now_ns() + (int64_t)(timeout_ms * 1e6);
  self->is_stream = ipcnet_cbor_get_unsigned(message, "stream", UINT32_MAX, &credit);
  self->credit = credit;
  if (ipcnet_cbor_get(message, "body", &body)) {
    self->body = malloc(body.length);
    self->body_bytes = body.length;
    if (self->body != NULL) memcpy(self->body, body.bytes, body.length);
  }
  for (uint32_t i = 0; i < fd_count; i++) {
    self->fds[i] = fds[i];
    fds[i] = -1;
  }
  self->fd_count = fd_count;
  if (self->component == NULL || (self->body == NULL && self->body_bytes > 0) || table_set(&client->calls_by_id, number, self) < 0) {
    call_free(self);
    return -1;
  }
  self->number = number;
  list_append(&client->calls, &self->link);
  self->offer = table_get(&client->offers_by_id, offer_id);
  if (self->offer == NULL) {
    /* The offer was ended while the call was on its way. */
    (void)ipcnet_call_answer(self, IPCNET_SERVICE_UNAVAILABLE, "the service is not offered any more", NULL, 0, NULL, 0);
    return 0;
  }
  make_ready(self);
  return 0;
}

int offer_credit(struct ipcnet_client *client, struct ipcnet_cbor message) {
  uint32_t number, items;
  if (!get_number(message, "call", &number) || !get_number(message, "items", &items)) return -1;
  struct ipcnet_call *self = table_get(&client->calls_by_id, number);
  if (self == NULL) return 0;
  self->credit += items;
  self->new_credit += items;
  make_ready(self);
  return 0;
}

static void cancel(struct ipcnet_call *self, int status, const char *text, size_t length) {
  if (self->cancelled != 0) return;
  self->cancelled = status;
  self->cancel_text = strndup(text, length);
  make_ready(self);
}

int offer_cancelled(struct ipcnet_client *client, struct ipcnet_cbor message) {
  uint32_t number;
  uint64_t status;
  size_t length;
  const char *text = get_text(message, "text", &length);
  if (!get_number(message, "call", &number) || !ipcnet_cbor_get_unsigned(message, "status", INT32_MAX, &status) || status == 0) return -1;
  struct ipcnet_call *self = table_get(&client->calls_by_id, number);
  if (self != NULL) cancel(self, (int)status, text, length);
  return 0;
}

void calls_hand_out(struct ipcnet_client *client) {
  struct list now, *link;
  list_init(&now);
  while ((link = list_shift(&client->ready_calls)) != NULL) list_append(&now, link);
  while ((link = list_shift(&now)) != NULL) {
    struct ipcnet_call *self = LIST_OWNER(link, struct ipcnet_call, ready);
    const struct ipcnet_offer_options *options = self->offer == NULL ? NULL : &self->offer->options;
    if (!self->shown) {
      /* Nobody has begun with it: if nobody waits for it any more, or nobody is there to do it, it is over. */
      if (self->cancelled != 0 || options == NULL || options->on_call == NULL) {
        (void)ipcnet_call_answer(self, self->cancelled != 0 ? IPCNET_REQUEST_TIMEOUT : IPCNET_SERVICE_UNAVAILABLE, NULL, NULL, 0, NULL, 0);
        continue;
      }
      self->shown = 1;
      self->new_credit = 0;
      client->handed_out += 1;
      options->on_call(options->context, self);
      continue; /* it may be answered and gone */
    }
    uint32_t items = self->new_credit;
    self->new_credit = 0;
    if (self->cancelled != 0) {
      if (self->cancel_told || options == NULL || options->on_cancel == NULL) continue;
      self->cancel_told = 1;
      client->handed_out += 1;
      options->on_cancel(options->context, self, self->cancelled, self->cancel_text == NULL ? "" : self->cancel_text);
    } else if (items > 0 && options != NULL && options->on_credit != NULL) {
      client->handed_out += 1;
      options->on_credit(options->context, self, items);
    }
  }
}

void ipcnet_call_info(const struct ipcnet_call *self, struct ipcnet_call_info *info) {
  memset(info, 0, sizeof *info);
  info->service = self->service;
  info->body = self->body;
  info->body_bytes = self->body_bytes;
  info->component = self->component;
  info->deadline_ns = self->deadline_ns;
  info->uid = self->uid;
  info->pid = self->pid;
  info->credit = self->credit > UINT32_MAX ? UINT32_MAX : (uint32_t)self->credit;
  info->stream = (uint32_t)self->is_stream;
  info->cancelled = self->cancelled != 0;
  info->fd_count = self->fd_count;
  for (uint32_t i = 0; i < IPCNET_FDS_MAX; i++) info->fds[i] = i < self->fd_count ? self->fds[i] : -1;
}

int ipcnet_call_take_fd(struct ipcnet_call *self, uint32_t index) {
  if (index >= self->fd_count || self->fds[index] < 0) return client_fail(self->client, IPCNET_NOT_FOUND, "%s: the call has no descriptor %u", self->service, index);
  int fd = self->fds[index];
  self->fds[index] = -1;
  return fd;
}

int ipcnet_call_item(struct ipcnet_call *self, const void *body, size_t body_bytes, const int *fds, uint32_t fd_count) {
  if (self->credit == 0) return client_fail(self->client, IPCNET_TOO_MANY_REQUESTS, "%s: the caller takes no more items now", self->service);
  int status = send_result(self, IPCNET_OK, NULL, body, body_bytes, 1, fds, fd_count);
  if (status == 0) self->credit -= 1;
  return status;
}

int ipcnet_call_answer(struct ipcnet_call *self, int status, const char *text, const void *body, size_t body_bytes, const int *fds, uint32_t fd_count) {
  struct ipcnet_client *client = self->client;
  int sent = status < IPCNET_OK ? client_fail(client, IPCNET_BAD_REQUEST, "%s: %d is no status", self->service, status) : send_result(self, status, text, body, body_bytes, 0, fds, fd_count);
  /* The caller must not wait for an answer that cannot be sent. */
  if (sent < 0 && self->number != 0) {
    char why[sizeof client->error_text];
    memcpy(why, client->error_text, sizeof why);
    (void)send_result(self, -sent, why, NULL, 0, 0, NULL, 0);
    memcpy(client->error_text, why, sizeof why);
  }
  call_free(self);
  return sent;
}

int ipcnet_call_answer_json(struct ipcnet_call *self, const char *json) {
  struct ipcnet_client *client = self->client;
  struct ipcnet_cbor_writer writer;
  if (json == NULL) return ipcnet_call_answer(self, IPCNET_OK, NULL, NULL, 0, NULL, 0);
  ipcnet_cbor_begin(&writer, NULL, 0);
  int status = ipcnet_cbor_from_json(&writer, json, strlen(json)), length = status < 0 ? status : ipcnet_cbor_finish(&writer);
  if (length < 0) status = client_fail(client, -length, "%s: the answer is not JSON, or too large", self->service);
  else status = ipcnet_call_answer(self, IPCNET_OK, NULL, writer.bytes, (size_t)length, NULL, 0);
  ipcnet_cbor_end(&writer);
  return status;
}

char *ipcnet_call_json(const struct ipcnet_call *self) {
  struct ipcnet_cbor value;
  if (self->body == NULL || ipcnet_cbor_open(self->body, self->body_bytes, &value) < 0) return strdup("null");
  return ipcnet_cbor_to_json(value);
}

/* ---- offers ------------------------------------------------------------------------------------------------------------------------- */

static void offer_bury(struct grave *grave) {
  struct ipcnet_offer *self = LIST_OWNER(grave, struct ipcnet_offer, grave);
  free(self->service);
  free(self->message);
  free(self);
}

static void offer_end(struct ipcnet_offer *self) {
  struct ipcnet_client *client = self->client;
  if (self->ended) return;
  self->ended = 1;
  for (struct list *at = client->calls.next; at != &client->calls; at = at->next) {
    struct ipcnet_call *call = LIST_OWNER(at, struct ipcnet_call, link);
    if (call->offer != self) continue;
    call->offer = NULL;
    if (!call->shown) make_ready(call);
  }
  if (self->id != 0) table_remove(&client->offers_by_id, self->id);
  list_remove(&self->link);
  if (!self->asked) client_bury(client, &self->grave, offer_bury);
}

static void offered(struct ipcnet_client *client, struct pending *pending, struct answer *answer) {
  struct ipcnet_offer *self = LIST_OWNER(pending, struct ipcnet_offer, pending);
  int renewing = self->renewing;
  self->asked = 0;
  self->renewing = 0;
  self->status = answer->status;
  if (answer->status < 200) {
    if (!get_number(answer->body, "offer", &self->id) || self->id == 0 || table_set(&client->offers_by_id, self->id, self) < 0) {
      self->status = IPCNET_BAD_GATEWAY;
      self->id = 0;
    }
  } else if (!renewing) client_fail(client, answer->status, "%.*s", (int)(answer->text_length > 400 ? 400 : answer->text_length), answer->text);
  else if (client->state == CLIENT_OPEN) client_event(client, EVENT_NOTICE, answer->status, 1, 0, answer->text, answer->text_length);
  if (self->ended) {
    self->ended = 0;
    ipcnet_offer_close(self);
  }
  if (renewing) link_renewed(client);
}

static int say_offer(struct ipcnet_offer *self) {
  struct ipcnet_client *client = self->client;
  message_begin(client, "offer");
  put_text(client, "service", self->service);
  ipcnet_cbor_raw(&client->message, self->message, self->message_bytes);
  client->message_entries += self->message_entries;
  self->asked = 1;
  int status = message_call(client, &self->pending, offered, now_ns() + client->call_timeout_ns, NULL, 0);
  if (status < 0) self->asked = 0;
  return status;
}

static void put_list(struct ipcnet_cbor_writer *writer, const char *key, const char *const *texts, uint32_t count) {
  ipcnet_cbor_text(writer, key);
  ipcnet_cbor_array(writer, count);
  for (uint32_t i = 0; i < count; i++) ipcnet_cbor_text(writer, texts[i]);
}

static int keep_terms(struct ipcnet_offer *self, const struct ipcnet_offer_options *options) {
  struct ipcnet_cbor_writer writer;
  uint32_t entries = 0;
  ipcnet_cbor_begin(&writer, NULL, 0);
  if (options->group != NULL) ipcnet_cbor_put_text(&writer, "group", options->group), entries++;
  if (options->description != NULL) ipcnet_cbor_put_text(&writer, "description", options->description), entries++;
  if (options->allow != NULL) put_list(&writer, "allow", options->allow, options->allow_count), entries++;
  if (options->deny_count > 0) put_list(&writer, "deny", options->deny, options->deny_count), entries++;
  if (options->rate_hz_max > 0) ipcnet_cbor_put_number(&writer, "rateHzMax", options->rate_hz_max), entries++;
  if (options->calls_max > 0) ipcnet_cbor_put_unsigned(&writer, "callsMax", options->calls_max), entries++;
  if (options->capacity > 0) ipcnet_cbor_put_unsigned(&writer, "capacity", options->capacity), entries++;
  if (writer.fault != 0) {
    ipcnet_cbor_end(&writer);
    return client_fail(self->client, IPCNET_UNPROCESSABLE_CONTENT, "%s: the terms of the offer are too long, or not UTF-8", self->service);
  }
  self->message = writer.bytes;
  self->message_bytes = writer.length;
  self->message_entries = entries;
  return 0;
}

int ipcnet_offer(struct ipcnet_client *client, const char *service, const struct ipcnet_offer_options *options, struct ipcnet_offer **result) {
  struct ipcnet_offer *self = calloc(1, sizeof *self);
  if (result != NULL) *result = NULL;
  if (self == NULL) return client_no_memory(client);
  list_init(&self->link);
  self->client = client;
  self->options = *options;
  list_append(&client->offers, &self->link);
  self->service = strdup(service);
  int status = self->service == NULL ? client_no_memory(client) : keep_terms(self, options);
  if (status == 0) status = say_offer(self);
  while (status == 0 && self->asked) link_wait(client, self->pending.deadline_ns);
  if (status == 0 && self->status >= 200) status = self->status == IPCNET_BAD_GATEWAY ? client_fail(client, IPCNET_BAD_GATEWAY, "the gateway's answer is malformed") : -self->status;
  if (status < 0) {
    offer_end(self);
    return status;
  }
  if (result != NULL) *result = self;
  return 0;
}

void ipcnet_offer_close(struct ipcnet_offer *self) {
  if (self == NULL) return;
  struct ipcnet_client *client = self->client;
  if (self->id != 0 && client->state == CLIENT_OPEN) {
    message_begin(client, "unoffer");
    put_seq(client);
    put_unsigned(client, "offer", self->id);
    (void)message_send(client, NULL, 0);
  }
  offer_end(self);
}

void offers_link_ended(struct ipcnet_client *client) {
  table_free(&client->offers_by_id);
  table_free(&client->calls_by_id);
  for (struct list *at = client->offers.next; at != &client->offers; at = at->next) LIST_OWNER(at, struct ipcnet_offer, link)->id = 0;
  for (struct list *at = client->calls.next; at != &client->calls; at = at->next) {
    struct ipcnet_call *call = LIST_OWNER(at, struct ipcnet_call, link);
    static const char words[] = "the connection to the gateway has ended";
    call->number = 0;
    cancel(call, IPCNET_SERVICE_UNAVAILABLE, words, sizeof words - 1);
  }
}

void offers_renew(struct ipcnet_client *client) {
  for (struct list *at = client->offers.next, *next; at != &client->offers; at = next) {
    next = at->next;
    struct ipcnet_offer *self = LIST_OWNER(at, struct ipcnet_offer, link);
    if (self->asked || say_offer(self) < 0) continue;
    self->renewing = 1;
    client->renewals += 1;
  }
}

void offers_free(struct ipcnet_client *client) {
  while (!list_is_empty(&client->calls)) call_free(LIST_OWNER(client->calls.next, struct ipcnet_call, link));
  while (!list_is_empty(&client->offers)) offer_end(LIST_OWNER(client->offers.next, struct ipcnet_offer, link));
}
