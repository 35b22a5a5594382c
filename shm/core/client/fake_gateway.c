#include "fake_gateway.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cbor.h"
#include "lane.h"
#include "packet.h"
#include "seqpacket.h"

#define CLIENTS 8
#define THINGS 32
#define ORIGIN 7
#define ORIGIN_OF_THIEF 8

struct peer {
  int fd;
  struct ipcnet_channel channel;
};

/* One entry of each table is free while `owner` is NULL. */
struct advert { struct peer *owner; uint32_t number, topic_id, origin; int lane; char topic[64], encoding[16], hash[17], policy[16]; uint8_t layout[1024]; size_t layout_bytes; };
struct subscription { struct peer *owner; uint32_t number; char pattern[64]; int lanes; };
struct view { struct peer *owner; struct advert *advert; uint32_t number, subscription, reader; int bell; };
struct offer { struct peer *owner; uint32_t number; char service[64]; };
struct call { struct peer *owner, *provider; uint32_t number, seq; int stream; };

struct fake_gateway {
  pthread_t thread;
  int listener, stop[2];
  struct ipcnet_seqpacket_bound bound;
  char path[128];
  struct peer peers[CLIENTS];
  struct advert adverts[THINGS];
  struct subscription subscriptions[THINGS];
  struct view views[THINGS];
  struct offer offers[THINGS];
  struct call calls[THINGS];
  uint32_t next;
  uint32_t ready; /* how often somebody said that it is prepared */
  double sequence;
  struct ipcnet_lane_writer *thief; /* has the id of somebody else's lane */
  struct advert stolen;
  uint32_t stolen_messages;
  struct ipcnet_cbor_writer out;
  uint32_t entries;
};

/* ---- sending ------------------------------------------------------------------------------------------------------------------------ */

static void begin(struct fake_gateway *self, const char *op) {
  self->out.length = 0;
  self->entries = 1;
  ipcnet_cbor_map(&self->out, 0);
  ipcnet_cbor_put_text(&self->out, "op", op);
}

static void text(struct fake_gateway *self, const char *key, const char *value) {
  self->entries++;
  ipcnet_cbor_put_text(&self->out, key, value);
}

static void number(struct fake_gateway *self, const char *key, uint64_t value) {
  self->entries++;
  ipcnet_cbor_put_unsigned(&self->out, key, value);
}

static void raw(struct fake_gateway *self, const char *key, const void *bytes, size_t length) {
  self->entries++;
  ipcnet_cbor_put_raw(&self->out, key, bytes, length);
}

/* Tests do not fill sockets: what does not fit is waited for. */
static void send_packet(struct peer *peer, const uint8_t *bytes, size_t length, const int *fds, uint32_t fd_count) {
  struct ipcnet_seqpacket_packet packet = {bytes, length};
  struct ipcnet_seqpacket_fds attached = {.count = fd_count};
  for (uint32_t i = 0; i < fd_count; i++) attached.fds[i] = fds[i];
  while (ipcnet_seqpacket_send_fds(peer->fd, &packet, &attached, 1) == -EAGAIN) {
    struct pollfd one = {.fd = peer->fd, .events = POLLOUT};
    if (poll(&one, 1, 10000) <= 0) return;
  }
}

static void post(struct fake_gateway *self, struct peer *peer, const int *fds, uint32_t fd_count) {
  uint8_t packet[IPCNET_PACKET_BYTES_MAX];
  if (peer == NULL) return;
  if (fd_count > 0) number(self, "fds", fd_count);
  self->out.bytes[0] = (uint8_t)(0xa0 | self->entries);
  int is_handshake = ipcnet_cbor_is_text((struct ipcnet_cbor){self->out.bytes + 4, 8}, "welcome");
  for (size_t at = 0; at < self->out.length;) {
    size_t part = self->out.length - at < IPCNET_PACKET_FRAGMENT_BYTES_MAX ? self->out.length - at : IPCNET_PACKET_FRAGMENT_BYTES_MAX;
    int last = at + part == self->out.length;
    memcpy(packet + IPCNET_PACKET_CONTROL_AT, self->out.bytes + at, part);
    ipcnet_channel_seal(&peer->channel, is_handshake ? IPCNET_PACKET_HANDSHAKE : IPCNET_PACKET_CONTROL, !last, packet, IPCNET_PACKET_CONTROL_AT + part);
    send_packet(peer, packet, IPCNET_PACKET_CONTROL_AT + part, fds, last ? fd_count : 0);
    at += part;
  }
}

static void reply(struct fake_gateway *self, struct peer *peer, uint64_t seq, uint64_t status) {
  begin(self, "reply");
  number(self, "seq", seq);
  number(self, "status", status);
  if (status >= 200) text(self, "text", "the fake gateway says no");
  post(self, peer, NULL, 0);
}

static void reply_number(struct fake_gateway *self, struct peer *peer, uint64_t seq, const char *key, uint64_t value, const char *key2, uint64_t value2) {
  begin(self, "reply");
  number(self, "seq", seq);
  number(self, "status", 100);
  self->entries++;
  ipcnet_cbor_text(&self->out, "body");
  ipcnet_cbor_map(&self->out, key2 == NULL ? 1 : 2);
  ipcnet_cbor_put_unsigned(&self->out, key, value);
  if (key2 != NULL) ipcnet_cbor_put_unsigned(&self->out, key2, value2);
  post(self, peer, NULL, 0);
}

/* ---- topics ------------------------------------------------------------------------------------------------------------------------- */

static int matches(const char *pattern, const char *topic) {
  size_t length = strlen(pattern);
  return strcmp(pattern, topic) == 0 || (length > 0 && pattern[length - 1] == '#' && strncmp(pattern, topic, length - 1) == 0);
}

static void copy_text(struct ipcnet_cbor map, const char *key, char *buffer, size_t capacity) {
  struct ipcnet_cbor value;
  buffer[0] = '\0';
  if (ipcnet_cbor_get(map, key, &value)) (void)ipcnet_cbor_to_text(value, buffer, capacity);
}

static void describe(struct fake_gateway *self, uint32_t id, const char *name, const char *encoding, const char *hash, const struct advert *advert) {
  int layout = advert != NULL && advert->layout_bytes > 0;
  ipcnet_cbor_map(&self->out, layout ? 8 : 7);
  ipcnet_cbor_put_unsigned(&self->out, "id", id);
  ipcnet_cbor_put_text(&self->out, "name", name);
  ipcnet_cbor_put_text(&self->out, "encoding", encoding);
  ipcnet_cbor_put_text(&self->out, "schemaHash", hash);
  ipcnet_cbor_put_boolean(&self->out, "writable", 1);
  ipcnet_cbor_put_unsigned(&self->out, "rateHz", 2);
  ipcnet_cbor_put_unsigned(&self->out, "quality", 0);
  if (layout) ipcnet_cbor_put_raw(&self->out, "layout", advert->layout, advert->layout_bytes);
}

/* Topic 1, "gw/echo", is the gateway's: what is published there goes to all its subscribers. */
static void announce(struct fake_gateway *self, struct peer *peer, const struct advert *advert) {
  begin(self, "announce");
  self->entries++;
  ipcnet_cbor_text(&self->out, "topics");
  ipcnet_cbor_array(&self->out, 1);
  if (advert == NULL) describe(self, 1, "gw/echo", "bytes", "0000000000000000", NULL);
  else describe(self, advert->topic_id, advert->topic, advert->encoding, advert->hash, advert);
  post(self, peer, NULL, 0);
  begin(self, "origins");
  self->entries++;
  ipcnet_cbor_text(&self->out, "origins");
  ipcnet_cbor_array(&self->out, 2);
  ipcnet_cbor_map(&self->out, 2);
  ipcnet_cbor_put_unsigned(&self->out, "id", ORIGIN);
  ipcnet_cbor_put_text(&self->out, "name", "test/1/a/b");
  ipcnet_cbor_map(&self->out, 2);
  ipcnet_cbor_put_unsigned(&self->out, "id", ORIGIN_OF_THIEF);
  ipcnet_cbor_put_text(&self->out, "name", "test/1/c/b");
  post(self, peer, NULL, 0);
}

static void show(struct fake_gateway *self, struct subscription *subscription, struct advert *advert, uint32_t replaces) {
  int bell[2];
  struct view *view = self->views;
  while (view < self->views + THINGS && view->owner != NULL) view++;
  if (view == self->views + THINGS || !subscription->lanes || !matches(subscription->pattern, advert->topic) || ipcnet_lane_bell(bell) < 0) return;
  *view = (struct view){subscription->owner, advert, ++self->next, subscription->number, 0, bell[1]};
  announce(self, subscription->owner, advert);
  begin(self, "lane");
  number(self, "subscription", subscription->number);
  number(self, "topicId", advert->topic_id);
  number(self, "lane", view->number);
  number(self, "origin", advert->origin);
  text(self, "policy", advert->policy);
  text(self, "schemaHash", advert->hash);
  if (replaces != 0) number(self, "replaces", replaces);
  post(self, subscription->owner, (int[]){advert->lane, bell[0]}, 2);
  close(bell[0]);
}

static void drop_view(struct fake_gateway *self, struct view *view, uint32_t status) {
  begin(self, "unlane");
  number(self, "lane", view->number);
  number(self, "status", status);
  text(self, "text", "gone");
  post(self, view->owner, NULL, 0);
  if (view->bell >= 0) close(view->bell);
  view->owner = NULL;
}

static void forget_view(struct fake_gateway *self, struct view *view) {
  if (view->reader != 0 && view->advert->owner != NULL) {
    begin(self, "unreader");
    number(self, "advert", view->advert->number);
    number(self, "reader", view->reader);
    post(self, view->advert->owner, NULL, 0);
  }
  if (view->bell >= 0) close(view->bell);
  view->owner = NULL;
}

static void withdraw(struct fake_gateway *self, struct advert *advert) {
  for (struct view *view = self->views; view < self->views + THINGS; view++)
    if (view->owner != NULL && view->advert == advert) drop_view(self, view, 103);
  close(advert->lane);
  advert->owner = NULL;
}

static void on_advertise(struct fake_gateway *self, struct peer *peer, struct ipcnet_cbor in, uint64_t seq, int *fds) {
  struct advert *advert = self->adverts;
  struct ipcnet_lane_description lane;
  struct ipcnet_cbor layout;
  while (advert < self->adverts + THINGS && advert->owner != NULL) advert++;
  if (advert == self->adverts + THINGS || fds[0] < 0 || ipcnet_lane_describe(fds[0], &lane) != 0) {
    reply(self, peer, seq, 200);
    return;
  }
  memset(advert, 0, sizeof *advert);
  copy_text(in, "topic", advert->topic, sizeof advert->topic);
  copy_text(in, "encoding", advert->encoding, sizeof advert->encoding);
  copy_text(in, "schemaHash", advert->hash, sizeof advert->hash);
  copy_text(in, "policy", advert->policy, sizeof advert->policy);
  if (ipcnet_cbor_get(in, "layout", &layout) && layout.length <= sizeof advert->layout) {
    memcpy(advert->layout, layout.bytes, layout.length);
    advert->layout_bytes = layout.length;
  }
  if (strncmp(advert->topic, "cmd/", 4) == 0) {
    reply(self, peer, seq, 202);
    return;
  }
  advert->owner = peer;
  advert->number = ++self->next;
  advert->topic_id = 100 + advert->number;
  advert->origin = ORIGIN;
  advert->lane = fds[0];
  fds[0] = -1;
  reply_number(self, peer, seq, "advert", advert->number, "topicId", advert->topic_id);
  for (struct subscription *s = self->subscriptions; s < self->subscriptions + THINGS; s++)
    if (s->owner != NULL) show(self, s, advert, 0);
}

static void on_relane(struct fake_gateway *self, struct peer *peer, struct ipcnet_cbor in, uint64_t seq, int *fds) {
  uint64_t wanted = 0;
  (void)ipcnet_cbor_get_unsigned(in, "advert", UINT32_MAX, &wanted);
  for (struct advert *advert = self->adverts; advert < self->adverts + THINGS; advert++) {
    if (advert->owner != peer || advert->number != wanted) continue;
    close(advert->lane);
    advert->lane = fds[0];
    fds[0] = -1;
    reply(self, peer, seq, 100);
    struct view old[THINGS];
    memcpy(old, self->views, sizeof old);
    for (int i = 0; i < THINGS; i++) {
      if (old[i].owner == NULL || old[i].advert != advert) continue;
      for (struct subscription *s = self->subscriptions; s < self->subscriptions + THINGS; s++)
        if (s->owner == old[i].owner && s->number == old[i].subscription) show(self, s, advert, old[i].number);
      drop_view(self, &self->views[i], 103);
    }
    return;
  }
  reply(self, peer, seq, 203);
}

static void on_subscribe(struct fake_gateway *self, struct peer *peer, struct ipcnet_cbor in, uint64_t seq) {
  struct subscription *s = self->subscriptions;
  struct ipcnet_cbor lanes;
  uint64_t count = 0;
  while (s < self->subscriptions + THINGS && s->owner != NULL) s++;
  if (s == self->subscriptions + THINGS) {
    reply(self, peer, seq, 210);
    return;
  }
  memset(s, 0, sizeof *s);
  s->owner = peer;
  s->number = ++self->next;
  copy_text(in, "pattern", s->pattern, sizeof s->pattern);
  if (ipcnet_cbor_get(in, "lanes", &lanes)) (void)ipcnet_cbor_to_boolean(lanes, &s->lanes);
  for (struct advert *advert = self->adverts; advert < self->adverts + THINGS; advert++) count += advert->owner != NULL && s->lanes && matches(s->pattern, advert->topic);
  announce(self, peer, NULL);
  reply_number(self, peer, seq, "subscription", s->number, "lanes", count);
  for (struct advert *advert = self->adverts; advert < self->adverts + THINGS; advert++)
    if (advert->owner != NULL) show(self, s, advert, 0);
}

static void on_attach(struct fake_gateway *self, struct peer *peer, struct ipcnet_cbor in, uint64_t seq, int *fds) {
  uint64_t wanted = 0;
  (void)ipcnet_cbor_get_unsigned(in, "lane", UINT32_MAX, &wanted);
  for (struct view *view = self->views; view < self->views + THINGS; view++) {
    if (view->owner != peer || view->number != wanted) continue;
    reply(self, peer, seq, 100);
    view->reader = ++self->next;
    begin(self, "reader");
    number(self, "advert", view->advert->number);
    number(self, "reader", view->reader);
    text(self, "policy", view->advert->policy);
    number(self, "deadlineMs", 200);
    post(self, view->advert->owner, (int[]){fds[0], view->bell}, 2);
    close(view->bell);
    view->bell = -1;
    return;
  }
  reply(self, peer, seq, 203);
}

/* ---- services ----------------------------------------------------------------------------------------------------------------------- */

static void show_to_all(struct fake_gateway *self, struct advert *advert) {
  for (struct subscription *s = self->subscriptions; s < self->subscriptions + THINGS; s++)
    if (s->owner != NULL) show(self, s, advert, 0);
}

/* Another process writes the same topic by a lane with the same id: five messages, and each time five more. */
static void steal(struct fake_gateway *self, const struct advert *advert) {
  struct ipcnet_lane_description lane;
  if (self->thief != NULL) ipcnet_lane_writer_destroy(self->thief);
  self->thief = NULL;
  if (ipcnet_lane_describe(advert->lane, &lane) != 0) return;
  struct ipcnet_lane_options options = {.schema_hash = lane.schema_hash, .slot_count = lane.slot_count, .inline_bytes = lane.inline_bytes, .large_bytes = lane.large_bytes, .policy = lane.policy};
  memcpy(options.lane_id, lane.lane_id, sizeof options.lane_id);
  const struct ipcnet_lane_meta meta = {.ttl_ms = 0};
  if (ipcnet_lane_writer_create(&self->thief, &options) != 0) return;
  self->stolen_messages += 5;
  for (uint32_t i = 0; i < self->stolen_messages; i++) (void)ipcnet_lane_writer_publish(self->thief, &meta, NULL, "stolen", 6, 0);
  self->stolen = *advert;
  self->stolen.owner = NULL;
  self->stolen.origin = ORIGIN_OF_THIEF;
  self->stolen.lane = ipcnet_lane_writer_fd(self->thief);
  show_to_all(self, &self->stolen);
}

/* What a test asks for by the body of a request to "gateway/do". */
static void on_do(struct fake_gateway *self, struct peer *peer, struct ipcnet_cbor body, uint64_t seq) {
  char what[32] = "";
  (void)ipcnet_cbor_to_text(body, what, sizeof what);
  if (strcmp(what, "rekey") == 0) {
    for (struct advert *advert = self->adverts; advert < self->adverts + THINGS; advert++) {
      if (advert->owner == NULL) continue;
      begin(self, "rekey");
      number(self, "advert", advert->number);
      post(self, advert->owner, NULL, 0);
    }
  } else if (strcmp(what, "unadvert") == 0) {
    for (struct advert *advert = self->adverts; advert < self->adverts + THINGS; advert++) {
      if (advert->owner == NULL) continue;
      begin(self, "unadvert");
      number(self, "advert", advert->number);
      number(self, "status", 202);
      text(self, "text", "taken away");
      post(self, advert->owner, NULL, 0);
      withdraw(self, advert);
    }
  } else if (strcmp(what, "retire") == 0) {
    /* Their writers are away for a while, as far as the readers know. */
    for (struct view *view = self->views; view < self->views + THINGS; view++)
      if (view->owner != NULL) drop_view(self, view, 103);
  } else if (strcmp(what, "show") == 0) {
    for (struct advert *advert = self->adverts; advert < self->adverts + THINGS; advert++)
      if (advert->owner != NULL) show_to_all(self, advert);
  } else if (strcmp(what, "steal") == 0) {
    for (struct advert *advert = self->adverts; advert < self->adverts + THINGS; advert++)
      if (advert->owner != NULL) steal(self, advert);
  } else if (strcmp(what, "leaving") == 0) {
    begin(self, "leaving");
    number(self, "deadlineMs", 5000);
    text(self, "text", "the robot goes down");
    post(self, peer, NULL, 0);
  } else if (strcmp(what, "readyCount") == 0) {
    begin(self, "reply");
    number(self, "seq", seq);
    number(self, "status", 100);
    number(self, "body", self->ready);
    post(self, peer, NULL, 0);
    return;
  } else if (strcmp(what, "silence") == 0) {
    return;
  } else if (strcmp(what, "large") == 0) {
    static uint8_t bytes[300000];
    begin(self, "reply");
    number(self, "seq", seq);
    number(self, "status", 100);
    self->entries++;
    ipcnet_cbor_text(&self->out, "body");
    ipcnet_cbor_bytes(&self->out, bytes, sizeof bytes);
    post(self, peer, NULL, 0);
    return;
  } else if (strcmp(what, "goodbye") == 0) {
    begin(self, "goodbye");
    number(self, "status", 303);
    text(self, "text", "going");
    post(self, peer, NULL, 0);
    return;
  }
  reply(self, peer, seq, 100);
}

static void on_request(struct fake_gateway *self, struct peer *peer, struct ipcnet_cbor in, uint64_t seq, int *fds, uint32_t fd_count) {
  char service[64];
  struct ipcnet_cbor body = {NULL, 0};
  uint64_t credit;
  copy_text(in, "service", service, sizeof service);
  (void)ipcnet_cbor_get(in, "body", &body);
  if (strcmp(service, "gateway/do") == 0) {
    on_do(self, peer, body, seq);
    return;
  }
  struct call *call = self->calls;
  while (call < self->calls + THINGS && call->owner != NULL) call++;
  for (struct offer *offer = self->offers; call < self->calls + THINGS && offer < self->offers + THINGS; offer++) {
    if (offer->owner == NULL || strcmp(offer->service, service) != 0) continue;
    int stream = ipcnet_cbor_get_unsigned(in, "stream", UINT32_MAX, &credit);
    *call = (struct call){peer, offer->owner, ++self->next, (uint32_t)seq, stream};
    begin(self, "call");
    number(self, "call", call->number);
    number(self, "offer", offer->number);
    text(self, "service", service);
    number(self, "timeoutMs", 5000);
    if (body.length > 0) raw(self, "body", body.bytes, body.length);
    if (stream) number(self, "stream", credit);
    self->entries++;
    ipcnet_cbor_text(&self->out, "caller");
    ipcnet_cbor_map(&self->out, 3);
    ipcnet_cbor_put_text(&self->out, "component", "tester");
    ipcnet_cbor_put_unsigned(&self->out, "uid", getuid());
    ipcnet_cbor_put_unsigned(&self->out, "pid", (uint64_t)getpid());
    post(self, offer->owner, fds, fd_count);
    return;
  }
  reply(self, peer, seq, 203);
}

static void on_result(struct fake_gateway *self, struct peer *peer, struct ipcnet_cbor in, int *fds, uint32_t fd_count) {
  uint64_t wanted = 0, status = 100;
  struct ipcnet_cbor body, more;
  int is_item = 0;
  (void)ipcnet_cbor_get_unsigned(in, "call", UINT32_MAX, &wanted);
  (void)ipcnet_cbor_get_unsigned(in, "status", UINT32_MAX, &status);
  if (ipcnet_cbor_get(in, "more", &more)) (void)ipcnet_cbor_to_boolean(more, &is_item);
  for (struct call *call = self->calls; call < self->calls + THINGS; call++) {
    if (call->owner == NULL || call->provider != peer || call->number != wanted) continue;
    begin(self, is_item ? "item" : "reply");
    number(self, "seq", call->seq);
    if (!is_item) number(self, "status", status);
    if (ipcnet_cbor_get(in, "body", &body)) raw(self, "body", body.bytes, body.length);
    if (!is_item && ipcnet_cbor_get(in, "text", &body)) raw(self, "text", body.bytes, body.length);
    post(self, call->owner, fds, fd_count);
    if (!is_item) call->owner = NULL;
  }
}

static void to_provider(struct fake_gateway *self, struct peer *peer, struct ipcnet_cbor in, int cancel) {
  uint64_t request = 0, items = 0;
  (void)ipcnet_cbor_get_unsigned(in, "request", UINT32_MAX, &request);
  (void)ipcnet_cbor_get_unsigned(in, "items", UINT32_MAX, &items);
  for (struct call *call = self->calls; call < self->calls + THINGS; call++) {
    if (call->owner != peer || call->seq != request) continue;
    begin(self, cancel ? "callCancelled" : "callCredit");
    number(self, "call", call->number);
    if (!cancel) number(self, "items", items);
    else {
      number(self, "status", 204);
      text(self, "text", "cancelled");
    }
    post(self, call->provider, NULL, 0);
    if (!cancel) return;
    call->owner = NULL;
    reply(self, peer, request, 204);
  }
}

/* ---- what comes --------------------------------------------------------------------------------------------------------------------- */

/* Batches stay batches, as a gateway's would. */
static void forward(struct fake_gateway *self, const struct ipcnet_packet_sample *samples, uint32_t count) {
  uint8_t packet[IPCNET_PACKET_BYTES_MAX];
  for (struct subscription *s = self->subscriptions; s < self->subscriptions + THINGS; s++) {
    if (s->owner == NULL || !matches(s->pattern, "gw/echo")) continue;
    size_t end = IPCNET_PACKET_SAMPLES_AT;
    for (uint32_t i = 0; i < count; i++) {
      struct ipcnet_packet_sample sample = {.topic_id = 1, .tag = s->number, .origin_id = 7, .sequence = self->sequence + i + 1, .time_us = 1000, .payload = samples[i].payload, .payload_bytes = samples[i].payload_bytes};
      end = ipcnet_packet_append(packet, end, &sample);
    }
    ipcnet_packet_finish_batch(packet, count, 5e6);
    ipcnet_channel_seal(&s->owner->channel, IPCNET_PACKET_DATA, 0, packet, end);
    send_packet(s->owner, packet, end, NULL, 0);
  }
  self->sequence += count;
}

static void on_publish(struct fake_gateway *self, struct peer *peer, struct ipcnet_cbor in, uint64_t seq) {
  struct ipcnet_cbor value;
  const uint8_t *bytes = NULL;
  size_t length = 0;
  char topic[64];
  copy_text(in, "topic", topic, sizeof topic);
  int good = strcmp(topic, "gw/echo") == 0 && ipcnet_cbor_get(in, "value", &value) && ipcnet_cbor_view(value, &bytes, &length);
  struct ipcnet_packet_sample sample = {.payload = bytes, .payload_bytes = (uint32_t)length};
  if (good) forward(self, &sample, 1);
  reply(self, peer, seq, good ? 100 : 203);
}

static void on_message(struct fake_gateway *self, struct peer *peer, struct ipcnet_cbor in, int *fds, uint32_t fd_count) {
  char op[32];
  uint64_t seq = 0, id = 0;
  copy_text(in, "op", op, sizeof op);
  (void)ipcnet_cbor_get_unsigned(in, "seq", UINT32_MAX, &seq);
  if (strcmp(op, "hello") == 0) {
    begin(self, "welcome");
    number(self, "version", 1);
    self->entries++;
    ipcnet_cbor_text(&self->out, "gateway");
    ipcnet_cbor_map(&self->out, 4);
    ipcnet_cbor_put_text(&self->out, "robot", "fake");
    ipcnet_cbor_put_text(&self->out, "version", "0");
    ipcnet_cbor_put_text(&self->out, "instance", "a");
    char boot[32];
    snprintf(boot, sizeof boot, "%p", (void *)self);
    ipcnet_cbor_put_text(&self->out, "boot", boot);
    post(self, peer, NULL, 0);
  } else if (strcmp(op, "topics") == 0) {
    begin(self, "reply");
    number(self, "seq", seq);
    number(self, "status", 100);
    self->entries++;
    ipcnet_cbor_text(&self->out, "body");
    ipcnet_cbor_array(&self->out, 1);
    describe(self, 1, "gw/echo", "bytes", "0000000000000000", NULL);
    post(self, peer, NULL, 0);
  } else if (strcmp(op, "advertise") == 0) on_advertise(self, peer, in, seq, fds);
  else if (strcmp(op, "relane") == 0) on_relane(self, peer, in, seq, fds);
  else if (strcmp(op, "subscribe") == 0) on_subscribe(self, peer, in, seq);
  else if (strcmp(op, "attach") == 0) on_attach(self, peer, in, seq, fds);
  else if (strcmp(op, "publish") == 0) on_publish(self, peer, in, seq);
  else if (strcmp(op, "request") == 0) on_request(self, peer, in, seq, fds, fd_count);
  else if (strcmp(op, "result") == 0) on_result(self, peer, in, fds, fd_count);
  else if (strcmp(op, "credit") == 0 || strcmp(op, "cancel") == 0) to_provider(self, peer, in, op[1] == 'a');
  else if (strcmp(op, "offer") == 0) {
    struct offer *offer = self->offers;
    while (offer < self->offers + THINGS && offer->owner != NULL) offer++;
    if (offer == self->offers + THINGS) return;
    *offer = (struct offer){.owner = peer, .number = ++self->next};
    copy_text(in, "service", offer->service, sizeof offer->service);
    reply_number(self, peer, seq, "offer", offer->number, NULL, 0);
  } else if (strcmp(op, "unadvertise") == 0) {
    (void)ipcnet_cbor_get_unsigned(in, "advert", UINT32_MAX, &id);
    for (struct advert *advert = self->adverts; advert < self->adverts + THINGS; advert++)
      if (advert->owner == peer && advert->number == id) withdraw(self, advert);
    reply(self, peer, seq, 100);
  } else if (strcmp(op, "unsubscribe") == 0) {
    (void)ipcnet_cbor_get_unsigned(in, "subscription", UINT32_MAX, &id);
    for (struct view *view = self->views; view < self->views + THINGS; view++)
      if (view->owner == peer && view->subscription == id) forget_view(self, view);
    for (struct subscription *s = self->subscriptions; s < self->subscriptions + THINGS; s++)
      if (s->owner == peer && s->number == id) s->owner = NULL;
    reply(self, peer, seq, 100);
  } else if (strcmp(op, "grant") == 0) {
    int pipe_ends[2];
    if (pipe(pipe_ends) != 0) return;
    if (write(pipe_ends[1], "granted", 7) != 7) return;
    begin(self, "reply");
    number(self, "seq", seq);
    number(self, "status", 100);
    post(self, peer, pipe_ends, 1);
    close(pipe_ends[0]);
    close(pipe_ends[1]);
  } else if (strcmp(op, "ready") == 0) {
    self->ready++;
    reply(self, peer, seq, 100);
  } else if (seq != 0) reply(self, peer, seq, strcmp(op, "ping") == 0 || strcmp(op, "announce") == 0 || strcmp(op, "unoffer") == 0 ? 100 : 200);
}

static void hang_up(struct fake_gateway *self, struct peer *peer) {
  for (struct view *view = self->views; view < self->views + THINGS; view++)
    if (view->owner == peer) forget_view(self, view);
  for (struct subscription *s = self->subscriptions; s < self->subscriptions + THINGS; s++)
    if (s->owner == peer) s->owner = NULL;
  for (struct advert *advert = self->adverts; advert < self->adverts + THINGS; advert++)
    if (advert->owner == peer) withdraw(self, advert);
  for (struct offer *offer = self->offers; offer < self->offers + THINGS; offer++)
    if (offer->owner == peer) offer->owner = NULL;
  for (struct call *call = self->calls; call < self->calls + THINGS; call++) {
    if (call->owner != NULL && call->provider == peer) reply(self, call->owner, call->seq, 302);
    if (call->owner == peer || call->provider == peer) call->owner = NULL;
  }
  close(peer->fd);
  ipcnet_channel_free(&peer->channel);
  peer->fd = -1;
}

static void take(struct fake_gateway *self, struct peer *peer) {
  uint8_t packet[IPCNET_PACKET_BYTES_MAX];
  uint32_t length;
  struct ipcnet_seqpacket_fds fds;
  enum ipcnet_seqpacket_state state;
  const uint8_t *body;
  size_t body_bytes;
  struct ipcnet_cbor message;
  int count = ipcnet_seqpacket_receive_fds(peer->fd, packet, sizeof packet, 1, &length, &fds, &state);
  if (count <= 0) {
    if (count < 0 || state != IPCNET_SEQPACKET_DRAINED) hang_up(self, peer);
    return;
  }
  enum ipcnet_packet_verdict verdict = ipcnet_channel_receive(&peer->channel, packet, length, &body, &body_bytes);
  if ((verdict == IPCNET_PACKET_IS_CONTROL || verdict == IPCNET_PACKET_IS_HANDSHAKE) && ipcnet_cbor_open(body, body_bytes, &message) == 0) {
    for (uint32_t i = fds.count; i < IPCNET_SEQPACKET_FDS_MAX; i++) fds.fds[i] = -1;
    on_message(self, peer, message, fds.fds, fds.count);
    for (uint32_t i = 0; i < fds.count; i++)
      if (fds.fds[i] >= 0) close(fds.fds[i]);
  } else if (verdict == IPCNET_PACKET_IS_DATA) {
    double offset;
    int samples = ipcnet_packet_check_batch(packet, length, &offset);
    size_t at = IPCNET_PACKET_SAMPLES_AT;
    struct ipcnet_packet_sample all[2000];
    for (int i = 0; i < samples; i++) at = ipcnet_packet_sample_at(packet, at, &all[i]);
    if (samples > 0) forward(self, all, (uint32_t)samples);
  } else if (verdict != IPCNET_PACKET_IS_FRAGMENT) hang_up(self, peer);
}

static void *run(void *argument) {
  struct fake_gateway *self = argument;
  for (;;) {
    struct pollfd all[CLIENTS + 2] = {{.fd = self->stop[0], .events = POLLIN}, {.fd = self->listener, .events = POLLIN}};
    for (int i = 0; i < CLIENTS; i++) all[i + 2] = (struct pollfd){.fd = self->peers[i].fd, .events = POLLIN};
    if (poll(all, CLIENTS + 2, -1) < 0) continue;
    if (all[0].revents != 0) break;
    for (int i = 0; i < CLIENTS; i++)
      if (all[i + 2].revents != 0) take(self, &self->peers[i]);
    if (all[1].revents == 0) continue;
    int fd = ipcnet_seqpacket_accept(self->listener);
    for (int i = 0; fd >= 0 && i < CLIENTS; i++) {
      if (self->peers[i].fd >= 0) continue;
      self->peers[i].fd = fd;
      ipcnet_channel_init(&self->peers[i].channel, IPCNET_PACKET_GATEWAY);
      fd = -1;
    }
    if (fd >= 0) close(fd);
  }
  for (int i = 0; i < CLIENTS; i++)
    if (self->peers[i].fd >= 0) close(self->peers[i].fd), ipcnet_channel_free(&self->peers[i].channel);
  for (int i = 0; i < THINGS; i++) {
    if (self->adverts[i].owner != NULL) close(self->adverts[i].lane);
    if (self->views[i].owner != NULL && self->views[i].bell >= 0) close(self->views[i].bell);
  }
  return NULL;
}

struct fake_gateway *fake_gateway_start(const char *path) {
  struct fake_gateway *self = calloc(1, sizeof *self);
  if (self == NULL) return NULL;
  for (int i = 0; i < CLIENTS; i++) self->peers[i].fd = -1;
  ipcnet_cbor_begin(&self->out, NULL, IPCNET_PACKET_TO_CLIENT_BYTES_MAX);
  snprintf(self->path, sizeof self->path, "%s", path);
  self->listener = ipcnet_seqpacket_listen(path, 0600, (gid_t)-1, 8, &self->bound);
  if (self->listener < 0 || pipe(self->stop) != 0 || pthread_create(&self->thread, NULL, run, self) != 0) {
    free(self);
    return NULL;
  }
  return self;
}

void fake_gateway_stop(struct fake_gateway *self) {
  if (write(self->stop[1], "x", 1) == 1) pthread_join(self->thread, NULL);
  close(self->listener);
  (void)ipcnet_seqpacket_unlink(self->path, &self->bound);
  close(self->stop[0]);
  close(self->stop[1]);
  if (self->thief != NULL) ipcnet_lane_writer_destroy(self->thief);
  ipcnet_cbor_end(&self->out);
  free(self);
}
