/* Subscriptions: messages that the gateway sends (kept in blocks, as they came) and lanes that are read in place; both handed out by callback, drain or lease. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "client.h"

/* Messages of one subscription before the others get their turn. */
#define TURN_MESSAGES 256
/* Lane samples of one drain: 32 of ≈ 450 bytes on the stack. */
#define LANE_BATCH 32
#define LINEAGE_BYTES_MAX (IPCNET_LANE_LINEAGE_MAX * sizeof(struct ipcnet_lineage))
#define QUEUE_DEFAULT 256
#define QUEUE_MAX 65536
/* A lane whose writer rings us no more (lane.h) is looked at so often. */
#define SILENT_LOOK_NS 10000000

_Static_assert(sizeof(struct ipcnet_lineage) == sizeof(struct ipcnet_lane_lineage), "the same three numbers");

/* A message of the gateway that waits. */
struct entry {
  struct block *block;
  struct ipcnet_topic *topic;
  uint32_t at;
};

/* What a subscription remembers of a topic. */
struct per_topic {
  uint64_t lost;        /* dropped here, still to be told */
  double last_sequence; /* with IPCNET_RECONNECT */
  int resumed;          /* its next message comes over a new connection to the same gateway process */
};

struct lane {
  struct source source;
  struct grave grave;
  struct list link;   /* in subscription->lanes */
  struct list active; /* in subscription->active while there may be something to read */
  struct ipcnet_subscription *subscription;
  struct lane *predecessor; /* read that to its end first */
  struct ipcnet_topic *topic;
  struct text *origin;
  struct ipcnet_lane_reader *reader;
  uint8_t id[IPCNET_LANE_ID_BYTES];
  uint32_t number; /* 0: of a connection that has ended */
  uint32_t origin_id;
  uint8_t start;
  int ending; /* nothing new comes: close it when all has been read */
  int silent;
  uint64_t next; /* sequence; 0 = none read yet */
  uint64_t corrupt;
};

/* How far a lane had been read when it was left, should the gateway hand it out again: its writer was away for a while. */
struct left_lane {
  uint8_t id[IPCNET_LANE_ID_BYTES];
  const struct text *topic, *origin;
  uint64_t next;
};
#define LEFT_LANES_MAX 32

struct ipcnet_subscription {
  struct list link;
  struct list ready;
  struct grave grave;
  struct pending pending;
  struct ipcnet_client *client;
  char *pattern;
  struct ipcnet_subscribe_options options;
  uint32_t id;
  int asked; /* `pending` is on its way */
  int status;
  int ended;
  int renewing;
  uint64_t initial_lanes;
  struct entry *entries; /* a ring */
  uint32_t first, count, capacity;
  struct per_topic *per_topic;
  uint32_t per_topic_count;
  struct list lanes, active;
  struct left_lane left[LEFT_LANES_MAX]; /* a ring: the oldest are forgotten */
  uint32_t left_count;
  int told; /* on_ready was called and not all has been drained */
  struct lane *leased_lane;
  struct block *leased_block;
  struct ipcnet_lineage leased_lineage[IPCNET_LANE_LINEAGE_MAX];
  struct ipcnet_subscription_stats stats;
};

static const struct ipcnet_lineage no_lineage;

/* ---- what waits --------------------------------------------------------------------------------------------------------------------- */

static void block_release(struct ipcnet_client *client, struct block *block) {
  if (--block->users > 0) return;
  client->kept_bytes -= block->length;
  list_remove(&block->link);
  free(block);
}

static struct per_topic *per_topic(struct ipcnet_subscription *self, const struct ipcnet_topic *topic) {
  if (topic->index >= self->per_topic_count) {
    uint32_t count = (topic->index | 15) + 1;
    struct per_topic *grown = realloc(self->per_topic, count * sizeof *grown);
    if (grown == NULL) return NULL;
    memset(grown + self->per_topic_count, 0, (count - self->per_topic_count) * sizeof *grown);
    self->per_topic = grown;
    self->per_topic_count = count;
  }
  return &self->per_topic[topic->index];
}

static struct entry *entry_at(struct ipcnet_subscription *self, uint32_t index) {
  return &self->entries[(self->first + index) & (self->capacity - 1)];
}

static int entry_push(struct ipcnet_subscription *self, struct entry entry) {
  if (self->count == self->capacity) {
    uint32_t capacity = self->capacity == 0 ? 64 : self->capacity * 2;
    struct entry *grown = capacity == 0 ? NULL : malloc(capacity * sizeof *grown);
    if (grown == NULL) return -1;
    for (uint32_t i = 0; i < self->count; i++) grown[i] = *entry_at(self, i);
    free(self->entries);
    self->entries = grown;
    self->capacity = capacity;
    self->first = 0;
  }
  *entry_at(self, self->count++) = entry;
  return 0;
}

/* The oldest waiting message; the block stays in use until it is released. */
static struct entry entry_shift(struct ipcnet_subscription *self) {
  struct entry entry = *entry_at(self, 0);
  self->first = (self->first + 1) & (self->capacity - 1);
  self->count -= 1;
  return entry;
}

static void entry_drop(struct ipcnet_subscription *self) {
  struct entry entry = entry_shift(self);
  struct ipcnet_packet_sample sample;
  ipcnet_packet_sample_at(entry.block->bytes, entry.at, &sample);
  struct per_topic *topic = per_topic(self, entry.topic);
  if (topic != NULL) topic->lost += 1 + (uint64_t)sample.lost_before;
  self->stats.lost += 1 + (uint64_t)sample.lost_before;
  block_release(self->client, entry.block);
}

/* Makes room by dropping the oldest block, whoever it belongs to: blocks are in the order in which they came, and so are each subscription's messages. */
static void drop_oldest(struct ipcnet_client *client) {
  struct block *oldest = LIST_OWNER(client->blocks.next, struct block, link);
  for (struct list *at = client->subscriptions.next; at != &client->subscriptions; at = at->next) {
    struct ipcnet_subscription *self = LIST_OWNER(at, struct ipcnet_subscription, link);
    while (self->count > 0 && entry_at(self, 0)->block == oldest) {
      int last = oldest->users == 1;
      entry_drop(self);
      if (last) return;
    }
  }
}

static void make_ready(struct ipcnet_subscription *self) {
  if (self->options.on_message == NULL && (self->options.on_ready == NULL || self->told)) return;
  if (!list_has(&self->ready)) list_append(&self->client->ready_subscriptions, &self->ready);
  client_signal(self->client);
}

static void activate(struct lane *lane) {
  if (lane->predecessor != NULL) return;
  if (!list_has(&lane->active)) list_append(&lane->subscription->active, &lane->active);
  make_ready(lane->subscription);
}

/* What was lost between two connections, or -1: this message was delivered over the last one. */
static int64_t lost_across(struct ipcnet_subscription *self, struct per_topic *topic, double sequence, uint32_t lost_before) {
  double last = topic->last_sequence;
  int resumed = topic->resumed;
  topic->last_sequence = sequence;
  topic->resumed = 0;
  if (!resumed) return lost_before;
  if (sequence <= last) {
    topic->last_sequence = last;
    topic->resumed = 1;
    return -1;
  }
  /* A lower rate that was asked for is no loss. */
  return self->options.rate_hz_max > 0 ? (int64_t)lost_before : (int64_t)(sequence - last) - 1;
}

void subscription_samples(struct ipcnet_client *client, const uint8_t *packet, size_t length, uint32_t count, double wall_offset_us) {
  struct ipcnet_packet_sample sample;
  struct block *block = NULL;
  size_t at = IPCNET_PACKET_SAMPLES_AT;
  for (uint32_t i = 0; i < count; i++) {
    size_t here = at;
    at = ipcnet_packet_sample_at(packet, at, &sample);
    struct ipcnet_subscription *self = table_get(&client->subscriptions_by_id, sample.tag);
    struct ipcnet_topic *topic = table_get(&client->topics_by_id, sample.topic_id);
    /* Of a subscription that was ended a moment ago. */
    if (self == NULL || topic == NULL) continue;
    if (block == NULL) {
      while (client->kept_bytes + length > KEPT_BYTES_MAX && !list_is_empty(&client->blocks)) {
        size_t before = client->kept_bytes;
        drop_oldest(client);
        if (client->kept_bytes == before) break; /* a lease holds it */
      }
      /* One copy for all messages of the packet: the receive buffer is used again. */
      block = malloc(sizeof *block + length);
      if (block == NULL) {
        self->stats.lost += 1;
        continue;
      }
      block->users = 1;
      block->length = length;
      block->wall_offset_us = wall_offset_us;
      memcpy(block->bytes, packet, length);
      list_init(&block->link);
      list_append(&client->blocks, &block->link);
      client->kept_bytes += length;
    }
    struct per_topic *known = per_topic(self, topic);
    if (known == NULL || entry_push(self, (struct entry){block, topic, (uint32_t)here}) < 0) {
      self->stats.lost += 1;
      continue;
    }
    block->users += 1;
    if ((client->flags & IPCNET_RECONNECT) != 0) {
      int64_t lost = lost_across(self, known, sample.sequence, sample.lost_before);
      if (lost < 0) {
        self->count -= 1;
        block->users -= 1;
        continue;
      }
      /* The rest is told with the head's own count. */
      known->lost += (uint64_t)lost - (lost >= sample.lost_before ? sample.lost_before : (uint64_t)lost);
    }
    make_ready(self);
  }
  if (block != NULL) block_release(client, block);
}

void subscription_gap(struct ipcnet_client *client, uint32_t subscription, struct ipcnet_topic *topic, uint64_t lost) {
  static const char words[] = ": messages were lost";
  char text[320];
  struct ipcnet_subscription *self = table_get(&client->subscriptions_by_id, subscription);
  if (self == NULL || topic == NULL) return;
  self->stats.lost += lost;
  size_t length = topic->name->length < sizeof text - sizeof words ? topic->name->length : sizeof text - sizeof words;
  memcpy(text, topic->name->bytes, length);
  memcpy(text + length, words, sizeof words);
  client_event(client, EVENT_NOTICE, IPCNET_PARTIAL_CONTENT, lost, 0, text, length + sizeof words - 1);
}

/* ---- messages ----------------------------------------------------------------------------------------------------------------------- */

static void message_of_entry(struct ipcnet_subscription *self, const struct entry *entry, struct ipcnet_message *message) {
  struct ipcnet_client *client = self->client;
  struct ipcnet_packet_sample sample;
  ipcnet_packet_sample_at(entry->block->bytes, entry->at, &sample);
  const struct text *origin = table_get(&client->origins, sample.origin_id);
  struct per_topic *topic = per_topic(self, entry->topic);
  memset(message, 0, sizeof *message);
  message->topic = entry->topic;
  message->payload = sample.payload;
  message->payload_bytes = sample.payload_bytes;
  message->lineage = &no_lineage;
  message->origin = origin == NULL ? "" : origin->bytes;
  message->origin_id = sample.origin_id;
  message->sequence = (uint64_t)sample.sequence;
  message->lost_before = sample.lost_before;
  if (topic != NULL) {
    message->lost_before += topic->lost;
    topic->lost = 0;
  }
  message->time_ns = (uint64_t)(sample.time_us * 1000);
  message->wall_time_ns = (int64_t)(sample.time_us + entry->block->wall_offset_us + 0.5) * 1000;
  message->schema_hash = entry->topic->schema_hash;
  message->quality = sample.quality;
  message->flags = sample.flags & (IPCNET_MESSAGE_LAST_VALUE | IPCNET_MESSAGE_CONFLATED);
  self->stats.messages += 1;
  self->stats.lost += sample.lost_before;
}

static void message_of_sample(struct lane *lane, const struct ipcnet_lane_sample *sample, const void *payload, const struct ipcnet_lineage *lineage, struct ipcnet_message *message) {
  struct ipcnet_subscription *self = lane->subscription;
  const struct text *origin = sample->meta.origin == 0 ? lane->origin : table_get(&self->client->origins, sample->meta.origin);
  memset(message, 0, sizeof *message);
  message->topic = lane->topic;
  message->payload = payload;
  message->payload_bytes = sample->payload_bytes;
  message->lineage = lineage;
  message->lineage_count = sample->meta.lineage_count;
  message->origin = origin == NULL ? "" : origin->bytes;
  message->origin_id = sample->meta.origin == 0 ? lane->origin_id : sample->meta.origin;
  message->sequence = sample->sequence;
  message->lost_before = sample->lost_before;
  message->time_ns = sample->meta.time_ns;
  message->wall_time_ns = sample->meta.wall_time_ns;
  message->schema_hash = sample->meta.schema_hash;
  message->ttl_ms = sample->meta.ttl_ms;
  message->quality = sample->meta.flags & 3;
  message->flags = (sample->meta.flags & 4) != 0 ? IPCNET_MESSAGE_KEY_FRAME : 0;
  message->kind = sample->meta.kind;
  lane->next = sample->sequence + 1;
  self->stats.messages += 1;
  self->stats.lost += sample->lost_before;
}

/* ---- lanes -------------------------------------------------------------------------------------------------------------------------- */

static void lane_bury(struct grave *grave) {
  free(LIST_OWNER(grave, struct lane, grave));
}

static void lane_close(struct lane *lane) {
  struct ipcnet_subscription *self = lane->subscription;
  struct ipcnet_client *client = self->client;
  struct ipcnet_lane_reader_stats stats;
  ipcnet_lane_reader_stats(lane->reader, &stats);
  self->stats.corrupt += stats.corrupt;
  if (lane->next != 0) {
    struct left_lane *left = &self->left[self->left_count++ % LEFT_LANES_MAX];
    *left = (struct left_lane){.topic = lane->topic->name, .origin = lane->origin, .next = lane->next};
    memcpy(left->id, lane->id, sizeof left->id);
  }
  if (self->leased_lane == lane) self->leased_lane = NULL;
  client_unwatch(client, ipcnet_lane_reader_bell_fd(lane->reader));
  ipcnet_lane_reader_close(lane->reader);
  lane->reader = NULL;
  if (lane->number != 0) table_remove(&client->lanes_by_number, lane->number);
  list_remove(&lane->link);
  list_remove(&lane->active);
  client->open_lanes -= 1;
  self->stats.lanes -= 1;
  /* Who waited for its end may begin. */
  for (struct list *at = self->lanes.next; at != &self->lanes; at = at->next) {
    struct lane *other = LIST_OWNER(at, struct lane, link);
    if (other->predecessor != lane) continue;
    other->predecessor = NULL;
    activate(other);
  }
  client_bury(client, &lane->grave, lane_bury);
}

static void say_detach(struct ipcnet_client *client, uint32_t number) {
  if (number == 0 || client->state != CLIENT_OPEN) return;
  message_begin(client, "detach");
  put_seq(client);
  put_unsigned(client, "lane", number);
  (void)message_send(client, NULL, 0);
}

static void lane_is_broken(struct lane *lane) {
  struct ipcnet_subscription *self = lane->subscription;
  static const char words[] = "a lane's writer breaks its rules: it is not read any more";
  self->stats.broken += 1;
  client_event(self->client, EVENT_NOTICE, IPCNET_INTEGRITY_FAILURE, 1, 0, words, sizeof words - 1);
  say_detach(self->client, lane->number);
  lane_close(lane);
}

/* After reading has stopped with `verdict`. 1: there may be more; 0: not for now (the lane is armed) or never (it is closed). */
static int lane_settle(struct lane *lane, enum ipcnet_lane_verdict verdict) {
  struct ipcnet_client *client = lane->subscription->client;
  struct ipcnet_lane_reader_stats stats;
  switch (verdict) {
    case IPCNET_LANE_SAMPLE:
    case IPCNET_LANE_TOO_SMALL: return 1;
    case IPCNET_LANE_CLOSED:
    case IPCNET_LANE_GONE: lane_close(lane); return 0;
    case IPCNET_LANE_BROKEN: lane_is_broken(lane); return 0;
    default: break;
  }
  if (lane->ending) {
    lane_close(lane);
    return 0;
  }
  if (!ipcnet_lane_reader_arm(lane->reader)) return 1;
  list_remove(&lane->active);
  ipcnet_lane_reader_stats(lane->reader, &stats);
  lane->silent = ipcnet_lane_reader_bell_fd(lane->reader) < 0 || (stats.demoted & IPCNET_LANE_DEMOTED_SILENT) != 0;
  if (lane->silent) client_arm(client, now_ns() + SILENT_LOOK_NS);
  return 0;
}

void subscription_bell(struct ipcnet_client *client, struct source *source) {
  (void)client;
  struct lane *lane = (struct lane *)(void *)source;
  ipcnet_lane_reader_awake(lane->reader);
  activate(lane);
}

void subscriptions_look(struct ipcnet_client *client) {
  if (client->open_lanes == 0) return;
  for (struct list *at = client->subscriptions.next; at != &client->subscriptions; at = at->next) {
    struct ipcnet_subscription *self = LIST_OWNER(at, struct ipcnet_subscription, link);
    for (struct list *l = self->lanes.next; l != &self->lanes; l = l->next) {
      struct lane *lane = LIST_OWNER(l, struct lane, link);
      if (!lane->silent || list_has(&lane->active)) continue;
      lane->silent = 0;
      ipcnet_lane_reader_awake(lane->reader);
      activate(lane);
    }
  }
}

struct attaching {
  struct pending pending;
  uint32_t number;
};

static void attached(struct ipcnet_client *client, struct pending *pending, struct answer *answer) {
  struct attaching *attaching = (struct attaching *)(void *)pending;
  struct lane *lane = answer->status < 200 ? NULL : table_get(&client->lanes_by_number, attaching->number);
  free(attaching);
  if (lane == NULL || client->state != CLIENT_OPEN) return;
  /* Its writer has gone meanwhile (203): what it left can still be read. Anything else is said. */
  lane->ending = 1;
  if (answer->status != IPCNET_NOT_FOUND) client_event(client, EVENT_NOTICE, answer->status, 1, 0, answer->text, answer->text_length);
  activate(lane);
}

static int send_attach(struct ipcnet_client *client, struct lane *lane) {
  struct attaching *attaching = calloc(1, sizeof *attaching);
  int page = ipcnet_lane_reader_page_fd(lane->reader);
  if (attaching == NULL) return -1;
  attaching->number = lane->number;
  message_begin(client, "attach");
  put_unsigned(client, "lane", lane->number);
  if (message_call(client, &attaching->pending, attached, now_ns() + client->call_timeout_ns, &page, 1) == 0) return 0;
  free(attaching);
  return -1;
}

/* Instance and boot of an origin, "component/version/instance/boot": what a program is called may change with the policy. */
static const char *process_of(const struct text *origin) {
  if (origin == NULL) return "";
  const char *at = origin->bytes + origin->length;
  for (int slashes = 0; at > origin->bytes; at--) {
    if (at[-1] == '/' && ++slashes == 2) break;
  }
  return at;
}

/* The lane of this subscription that is the same memory, from an earlier connection. The id alone proves nothing: every reader of a lane knows it and can put it on a lane of its own. Topic and process are the gateway's word. */
static struct lane *same_lane(struct ipcnet_subscription *self, const uint8_t *id, const struct ipcnet_topic *topic, const struct text *origin) {
  for (struct list *at = self->lanes.next; at != &self->lanes; at = at->next) {
    struct lane *lane = LIST_OWNER(at, struct lane, link);
    if (memcmp(lane->id, id, sizeof lane->id) == 0 && strcmp(lane->topic->name->bytes, topic->name->bytes) == 0 && strcmp(process_of(lane->origin), process_of(origin)) == 0) return lane;
  }
  return NULL;
}

/* The same for one that was left. */
static const struct left_lane *left_lane(const struct ipcnet_subscription *self, const uint8_t *id, const struct ipcnet_topic *topic, const struct text *origin) {
  for (uint32_t back = 1; back <= self->left_count && back <= LEFT_LANES_MAX; back++) {
    const struct left_lane *left = &self->left[(self->left_count - back) % LEFT_LANES_MAX];
    if (memcmp(left->id, id, sizeof left->id) == 0 && strcmp(left->topic->bytes, topic->name->bytes) == 0 && strcmp(process_of(left->origin), process_of(origin)) == 0) return left;
  }
  return NULL;
}

int subscription_lane(struct ipcnet_client *client, struct ipcnet_cbor message, int *fds, uint32_t fd_count) {
  uint32_t subscription, topic_id, number, origin_id, policy, replaces = 0;
  size_t hash_length;
  if (fd_count != 2 || !get_number(message, "subscription", &subscription) || !get_number(message, "topicId", &topic_id) || !get_number(message, "lane", &number) || number == 0
      || !get_number(message, "origin", &origin_id) || !policy_of(message, "policy", &policy) || table_get(&client->lanes_by_number, number) != NULL) return -1;
  (void)get_number(message, "replaces", &replaces);
  (void)get_text(message, "schemaHash", &hash_length);
  struct ipcnet_topic *topic = table_get(&client->topics_by_id, topic_id);
  struct ipcnet_subscription *self = table_get(&client->subscriptions_by_id, subscription);
  if (topic == NULL) return -1;
  /* Ended a moment ago; the gateway knows by now. */
  if (self == NULL) return 0;
  struct ipcnet_lane_description description;
  struct ipcnet_lane_reader_options options = {.policy = (uint8_t)policy, .schema_hash = topic->schema_hash, .start = IPCNET_LANE_FROM_OLDEST};
  struct lane *lane = calloc(1, sizeof *lane), *before = replaces == 0 ? NULL : table_get(&client->lanes_by_number, replaces);
  int status = lane == NULL ? -1 : ipcnet_lane_describe(fds[0], &description);
  if (status == 0) {
    const struct left_lane *left = left_lane(self, description.lane_id, topic, table_get(&client->origins, origin_id));
    struct lane *known = same_lane(self, description.lane_id, topic, table_get(&client->origins, origin_id));
    options.start = self->initial_lanes == 0 ? IPCNET_LANE_FROM_OLDEST : (self->options.flags & IPCNET_LAST_VALUE) != 0 ? IPCNET_LANE_FROM_LAST : IPCNET_LANE_FROM_NEXT;
    if (self->initial_lanes > 0) self->initial_lanes -= 1;
    if (replaces != 0) {
      options.start = IPCNET_LANE_FROM_SEQUENCE;
      options.sequence = description.first_sequence;
      if (before != NULL && before->subscription == self) lane->predecessor = before;
    } else if (known != NULL) {
      /* Found again after a reconnection: goes on where the old mapping stopped. */
      options.start = known->next == 0 ? known->start : IPCNET_LANE_FROM_SEQUENCE;
      options.sequence = known->next;
      lane->next = known->next;
      lane_close(known);
    } else if (left != NULL) {
      options.start = IPCNET_LANE_FROM_SEQUENCE;
      options.sequence = left->next;
      lane->next = left->next;
    }
    status = ipcnet_lane_reader_open(&lane->reader, fds[0], fds[1], &options);
    fds[1] = -1;
  }
  if (status != 0) {
    static const char words[] = "a lane could not be opened: it is not one, or there is no memory for it";
    free(lane);
    self->stats.broken += 1;
    client_event(client, EVENT_NOTICE, IPCNET_INTEGRITY_FAILURE, 1, 0, words, sizeof words - 1);
    say_detach(client, number);
    return 0;
  }
  lane->source.kind = SOURCE_LANE;
  list_init(&lane->link);
  list_init(&lane->active);
  lane->subscription = self;
  lane->topic = topic;
  lane->origin = table_get(&client->origins, origin_id);
  lane->origin_id = origin_id;
  lane->start = options.start == IPCNET_LANE_FROM_SEQUENCE ? IPCNET_LANE_FROM_OLDEST : options.start;
  memcpy(lane->id, description.lane_id, sizeof lane->id);
  lane->number = number;
  list_append(&self->lanes, &lane->link);
  client->open_lanes += 1;
  self->stats.lanes += 1;
  if (table_set(&client->lanes_by_number, number, lane) < 0 || client_watch(client, ipcnet_lane_reader_bell_fd(lane->reader), &lane->source, EPOLLIN) < 0 || send_attach(client, lane) < 0) {
    lane_close(lane);
    return 0;
  }
  activate(lane);
  return 0;
}

int subscription_unlane(struct ipcnet_client *client, struct ipcnet_cbor message) {
  uint32_t number;
  uint64_t status;
  if (!get_number(message, "lane", &number) || !ipcnet_cbor_get_unsigned(message, "status", INT32_MAX, &status)) return -1;
  struct lane *lane = table_get(&client->lanes_by_number, number);
  if (lane == NULL) return 0;
  if (status >= 200) lane_close(lane);
  else {
    lane->ending = 1;
    activate(lane);
  }
  return 0;
}

/* ---- subscribing -------------------------------------------------------------------------------------------------------------------- */

static void subscription_bury(struct grave *grave) {
  struct ipcnet_subscription *self = LIST_OWNER(grave, struct ipcnet_subscription, grave);
  free(self->pattern);
  free(self->entries);
  free(self->per_topic);
  free(self);
}

/* Takes it out of everything; `pending` may still be on its way, then its answer frees the rest. */
static void subscription_end(struct ipcnet_subscription *self) {
  struct ipcnet_client *client = self->client;
  if (self->ended) return;
  self->ended = 1;
  (void)ipcnet_subscription_release(self);
  while (self->count > 0) block_release(client, entry_shift(self).block);
  while (!list_is_empty(&self->lanes)) lane_close(LIST_OWNER(self->lanes.next, struct lane, link));
  list_remove(&self->link);
  list_remove(&self->ready);
  if (self->id != 0) table_remove(&client->subscriptions_by_id, self->id);
  if (!self->asked) client_bury(client, &self->grave, subscription_bury);
}

static void subscribed(struct ipcnet_client *client, struct pending *pending, struct answer *answer) {
  struct ipcnet_subscription *self = LIST_OWNER(pending, struct ipcnet_subscription, pending);
  int renewing = self->renewing;
  uint32_t id = 0;
  self->asked = 0;
  self->renewing = 0;
  self->status = answer->status;
  /* At once, because the first messages may stand behind the answer in the same read. */
  if (answer->status < 200) {
    self->initial_lanes = 0;
    (void)ipcnet_cbor_get_unsigned(answer->body, "lanes", UINT32_MAX, &self->initial_lanes);
    if (!get_number(answer->body, "subscription", &id) || id == 0 || table_get(&client->subscriptions_by_id, id) != NULL || table_set(&client->subscriptions_by_id, id, self) < 0) self->status = IPCNET_BAD_GATEWAY;
    else self->id = id;
  } else if (!renewing) client_fail(client, answer->status, "%.*s", (int)(answer->text_length > 400 ? 400 : answer->text_length), answer->text);
  else if (client->state == CLIENT_OPEN) client_event(client, EVENT_NOTICE, answer->status, 1, 0, answer->text, answer->text_length);
  if (self->ended) {
    self->ended = 0;
    ipcnet_unsubscribe(self);
  }
  if (renewing) link_renewed(client);
}

static int say_subscribe(struct ipcnet_subscription *self) {
  struct ipcnet_client *client = self->client;
  const struct ipcnet_subscribe_options *options = &self->options;
  message_begin(client, "subscribe");
  put_text(client, "pattern", self->pattern);
  client->message_entries += 1;
  ipcnet_cbor_text(&client->message, "policy");
  ipcnet_cbor_map(&client->message, 1);
  if (options->policy == IPCNET_QUEUE) ipcnet_cbor_put_unsigned(&client->message, "queueSamples", options->queue == 0 ? QUEUE_DEFAULT : options->queue);
  else ipcnet_cbor_put_boolean(&client->message, options->policy == IPCNET_LOSSLESS ? "lossless" : "latest", 1);
  if (options->rate_hz_max > 0) put_number(client, "rateHzMax", options->rate_hz_max);
  if ((options->flags & IPCNET_LAST_VALUE) != 0) put_boolean(client, "lastValue", 1);
  if ((options->flags & IPCNET_NO_LANES) == 0) put_boolean(client, "lanes", 1);
  self->asked = 1;
  int status = message_call(client, &self->pending, subscribed, now_ns() + client->call_timeout_ns, NULL, 0);
  if (status < 0) self->asked = 0;
  return status;
}

int ipcnet_subscribe(struct ipcnet_client *client, const char *pattern, const struct ipcnet_subscribe_options *options, struct ipcnet_subscription **result) {
  static const struct ipcnet_subscribe_options none;
  struct ipcnet_subscription *self = calloc(1, sizeof *self);
  if (result != NULL) *result = NULL;
  if (self == NULL) return client_no_memory(client);
  self->options = options == NULL ? none : *options;
  if (self->options.policy > IPCNET_LOSSLESS || self->options.queue > QUEUE_MAX || !(self->options.rate_hz_max >= 0)) {
    free(self);
    return client_fail(client, IPCNET_BAD_REQUEST, "subscribe: policy, queue or rate_hz_max is out of range");
  }
  self->client = client;
  self->pattern = strdup(pattern);
  list_init(&self->link);
  list_init(&self->ready);
  list_init(&self->lanes);
  list_init(&self->active);
  list_append(&client->subscriptions, &self->link);
  int status = self->pattern == NULL ? client_no_memory(client) : say_subscribe(self);
  while (status == 0 && self->asked) link_wait(client, self->pending.deadline_ns);
  if (status == 0 && self->status >= 200) status = self->status == IPCNET_BAD_GATEWAY ? client_fail(client, IPCNET_BAD_GATEWAY, "the gateway's answer is malformed") : -self->status;
  if (status < 0) {
    subscription_end(self);
    return status;
  }
  if (result != NULL) *result = self;
  return self->status == IPCNET_ACCEPTED ? 0 : 1;
}

void ipcnet_unsubscribe(struct ipcnet_subscription *self) {
  if (self == NULL) return;
  struct ipcnet_client *client = self->client;
  if (self->id != 0 && client->state == CLIENT_OPEN) {
    message_begin(client, "unsubscribe");
    put_seq(client);
    put_unsigned(client, "subscription", self->id);
    (void)message_send(client, NULL, 0);
  }
  subscription_end(self);
}

void subscriptions_link_ended(struct ipcnet_client *client) {
  table_free(&client->subscriptions_by_id);
  table_free(&client->lanes_by_number);
  for (struct list *at = client->subscriptions.next; at != &client->subscriptions; at = at->next) {
    struct ipcnet_subscription *self = LIST_OWNER(at, struct ipcnet_subscription, link);
    self->id = 0;
    for (struct list *l = self->lanes.next; l != &self->lanes; l = l->next) LIST_OWNER(l, struct lane, link)->number = 0;
  }
}

void subscriptions_renew(struct ipcnet_client *client, int same_boot) {
  for (struct list *at = client->subscriptions.next, *next; at != &client->subscriptions; at = next) {
    next = at->next;
    struct ipcnet_subscription *self = LIST_OWNER(at, struct ipcnet_subscription, link);
    for (uint32_t i = 0; i < self->per_topic_count; i++) {
      self->per_topic[i].resumed = same_boot && self->per_topic[i].last_sequence > 0;
      if (!same_boot) self->per_topic[i].last_sequence = 0;
    }
    if (self->asked || say_subscribe(self) < 0) continue;
    self->renewing = 1;
    client->renewals += 1;
  }
}

void subscriptions_free(struct ipcnet_client *client) {
  while (!list_is_empty(&client->subscriptions)) subscription_end(LIST_OWNER(client->subscriptions.next, struct ipcnet_subscription, link));
}

void ipcnet_subscription_stats(const struct ipcnet_subscription *self, struct ipcnet_subscription_stats *stats) {
  *stats = self->stats;
  stats->kept_bytes = 0;
  for (uint32_t i = 0; i < self->count; i++) {
    struct ipcnet_packet_sample sample;
    const struct entry *entry = &self->entries[(self->first + i) & (self->capacity - 1)];
    ipcnet_packet_sample_at(entry->block->bytes, entry->at, &sample);
    stats->kept_bytes += sample.payload_bytes;
  }
  for (struct list *at = self->lanes.next; at != &self->lanes; at = at->next) {
    struct ipcnet_lane_reader_stats lane;
    ipcnet_lane_reader_stats(LIST_OWNER(at, struct lane, link)->reader, &lane);
    stats->corrupt += lane.corrupt;
  }
}

/* ---- handing out by callback -------------------------------------------------------------------------------------------------------- */

static uint32_t call_for_entries(struct ipcnet_subscription *self, uint32_t budget) {
  struct ipcnet_client *client = self->client;
  uint32_t count = 0;
  while (count < budget && !self->ended && self->count > 0) {
    struct entry entry = entry_shift(self);
    struct ipcnet_message message;
    message_of_entry(self, &entry, &message);
    self->options.on_message(self->options.context, &message);
    block_release(client, entry.block);
    count += 1;
  }
  return count;
}

static int grow_drain_buffer(struct ipcnet_client *client, size_t bytes) {
  if (bytes <= client->drain_bytes) return 0;
  uint8_t *grown = realloc(client->drain_buffer, bytes);
  if (grown == NULL) return -1;
  client->drain_buffer = grown;
  client->drain_bytes = bytes;
  return 0;
}

static uint32_t call_for_lane(struct lane *lane, uint32_t budget) {
  struct ipcnet_subscription *self = lane->subscription;
  struct ipcnet_client *client = self->client;
  struct ipcnet_lane_sample samples[LANE_BATCH];
  enum ipcnet_lane_verdict verdict = IPCNET_LANE_SAMPLE;
  uint32_t handed = 0;
  if (grow_drain_buffer(client, 65536) < 0) return 0;
  while (handed < budget && verdict == IPCNET_LANE_SAMPLE) {
    uint32_t count = ipcnet_lane_reader_drain(lane->reader, samples, LANE_BATCH, client->drain_buffer, client->drain_bytes, &verdict);
    for (uint32_t i = 0; i < count; i++) {
      struct ipcnet_message message;
      message_of_sample(lane, &samples[i], client->drain_buffer + samples[i].payload_at, (const struct ipcnet_lineage *)(const void *)samples[i].lineage, &message);
      self->options.on_message(self->options.context, &message);
      handed += 1;
      if (self->ended || lane->reader == NULL) return handed;
    }
    if (count == 0 && verdict == IPCNET_LANE_TOO_SMALL) {
      if (samples[0].payload_bytes > ipcnet_lane_reader_payload_bytes_max(lane->reader) || grow_drain_buffer(client, samples[0].payload_bytes) < 0) break;
      verdict = IPCNET_LANE_SAMPLE;
    }
  }
  if (lane_settle(lane, verdict) && !self->ended) {
    /* To the end, so that the others have their turn. */
    list_append(&self->active, &lane->active);
  }
  return handed;
}

static void call_for(struct ipcnet_subscription *self) {
  struct ipcnet_client *client = self->client;
  if (self->options.on_message == NULL) {
    self->told = 1;
    client->handed_out += 1;
    self->options.on_ready(self->options.context, self);
    return;
  }
  (void)ipcnet_subscription_release(self);
  uint32_t count = call_for_entries(self, TURN_MESSAGES);
  while (!self->ended && count < TURN_MESSAGES && !list_is_empty(&self->active)) {
    struct lane *lane = LIST_OWNER(self->active.next, struct lane, active);
    uint32_t handed = call_for_lane(lane, TURN_MESSAGES - count);
    count += handed;
    if (handed == 0 && !self->ended && list_has(&lane->active)) break;
  }
  client->handed_out += count;
  if (!self->ended && (self->count > 0 || !list_is_empty(&self->active))) make_ready(self);
}

void subscriptions_hand_out(struct ipcnet_client *client) {
  /* Each that is ready now, once. */
  struct list now;
  list_init(&now);
  struct list *item;
  while ((item = list_shift(&client->ready_subscriptions)) != NULL) list_append(&now, item);
  while ((item = list_shift(&now)) != NULL) call_for(LIST_OWNER(item, struct ipcnet_subscription, ready));
}

/* ---- draining ----------------------------------------------------------------------------------------------------------------------- */

/* Room in the caller's buffer: payloads grow from its begin, lineages from its end. */
struct room {
  uint8_t *buffer;
  size_t begin, end;
  struct ipcnet_message *messages;
  uint32_t count, max;
  size_t needed; /* the first message does not fit: so much would do */
};

static size_t round_up(size_t bytes) {
  return (bytes + 7) & ~(size_t)7;
}

static void drain_entries(struct ipcnet_subscription *self, struct room *room) {
  while (room->count < room->max && self->count > 0) {
    struct ipcnet_packet_sample sample;
    const struct entry *next = entry_at(self, 0);
    ipcnet_packet_sample_at(next->block->bytes, next->at, &sample);
    if (sample.payload_bytes > room->end - room->begin) {
      room->needed = sample.payload_bytes;
      return;
    }
    struct entry entry = entry_shift(self);
    struct ipcnet_message *message = &room->messages[room->count++];
    message_of_entry(self, &entry, message);
    if (sample.payload_bytes > 0) memcpy(room->buffer + room->begin, sample.payload, sample.payload_bytes);
    message->payload = room->buffer + room->begin;
    room->begin += round_up(sample.payload_bytes);
    if (room->begin > room->end) room->begin = room->end;
    block_release(self->client, entry.block);
  }
}

static void drain_lane(struct lane *lane, struct room *room) {
  struct ipcnet_lane_sample samples[LANE_BATCH];
  enum ipcnet_lane_verdict verdict = IPCNET_LANE_SAMPLE;
  while (room->count < room->max && verdict == IPCNET_LANE_SAMPLE) {
    size_t left = room->end - room->begin;
    /* Lineages are known only afterwards: room for the longest is kept, but never more than half. */
    uint32_t batch = room->max - room->count < LANE_BATCH ? room->max - room->count : LANE_BATCH;
    while (batch > 1 && batch * LINEAGE_BYTES_MAX > left / 2) batch /= 2;
    size_t kept = batch * LINEAGE_BYTES_MAX;
    uint32_t count = left < kept ? 0 : ipcnet_lane_reader_drain(lane->reader, samples, batch, room->buffer + room->begin, left - kept, &verdict);
    if (left < kept) {
      verdict = IPCNET_LANE_TOO_SMALL;
      samples[0].payload_bytes = 64;
    }
    size_t used = 0;
    for (uint32_t i = 0; i < count; i++) {
      uint8_t *payload = room->buffer + room->begin + samples[i].payload_at;
      size_t lineage_bytes = samples[i].meta.lineage_count * sizeof(struct ipcnet_lineage);
      room->end -= lineage_bytes;
      if (lineage_bytes > 0) memcpy(room->buffer + room->end, samples[i].lineage, lineage_bytes);
      message_of_sample(lane, &samples[i], payload, lineage_bytes == 0 ? &no_lineage : (const struct ipcnet_lineage *)(const void *)(room->buffer + room->end), &room->messages[room->count++]);
      used = round_up(samples[i].payload_at + samples[i].payload_bytes);
    }
    room->begin = room->begin + used > room->end ? room->end : room->begin + used;
    if (count == 0 && verdict == IPCNET_LANE_TOO_SMALL) room->needed = round_up(samples[0].payload_bytes) + LINEAGE_BYTES_MAX + 8;
  }
  if (lane_settle(lane, verdict)) list_append(&lane->subscription->active, &lane->active);
}

static void drain_once(struct ipcnet_subscription *self, struct room *room) {
  drain_entries(self, room);
  struct list now, *item;
  list_init(&now);
  while ((item = list_shift(&self->active)) != NULL) list_append(&now, item);
  while (room->needed == 0 && room->count < room->max && (item = list_shift(&now)) != NULL) {
    struct lane *lane = LIST_OWNER(item, struct lane, active);
    /* Back among the active ones first: settling takes it out. */
    list_append(&self->active, &lane->active);
    drain_lane(lane, room);
  }
  while ((item = list_shift(&now)) != NULL) list_append(&self->active, item);
}

int ipcnet_subscription_drain(struct ipcnet_subscription *self, struct ipcnet_message *messages, uint32_t messages_max, void *buffer, size_t buffer_bytes, int timeout_ms) {
  struct ipcnet_client *client = self->client;
  int64_t deadline = timeout_ms < 0 ? NEVER : timeout_ms == 0 ? 0 : now_ns() + (int64_t)timeout_ms * 1000000;
  struct room room = {.buffer = buffer, .end = buffer_bytes & ~(size_t)7, .messages = messages, .max = messages_max > INT32_MAX ? INT32_MAX : messages_max};
  int status = 0, looked = 0;
  if (messages_max == 0) return client_fail(client, IPCNET_BAD_REQUEST, "drain: no room for messages");
  (void)ipcnet_subscription_release(self);
  for (;;) {
    drain_once(self, &room);
    if (room.count > 0) break;
    if (room.needed > 0) {
      memset(&messages[0], 0, sizeof messages[0]);
      messages[0].payload_bytes = room.needed;
      status = client_fail(client, IPCNET_PAYLOAD_TOO_LARGE, "drain: the next message needs a buffer of %zu bytes", room.needed);
      break;
    }
    self->told = 0;
    if (looked && (deadline == 0 || (deadline != NEVER && now_ns() >= deadline))) break;
    if (client->state == CLIENT_ENDED && client->open_lanes == 0) {
      status = client_fail(client, IPCNET_SERVICE_UNAVAILABLE, "%s", client->end_text);
      break;
    }
    looked = 1;
    if (client_wait(client, deadline)) {
      drain_once(self, &room);
      break;
    }
  }
  client_owe(client);
  return room.count > 0 ? (int)room.count : status;
}

/* ---- in place ----------------------------------------------------------------------------------------------------------------------- */

int ipcnet_subscription_lease(struct ipcnet_subscription *self, struct ipcnet_message *message) {
  struct ipcnet_lane_sample sample;
  const void *payload = NULL;
  (void)ipcnet_subscription_release(self);
  if (self->count == 0 && list_is_empty(&self->active)) {
    /* Perhaps it has come and nobody has looked. */
    (void)client_wait(self->client, 0);
    client_owe(self->client);
  }
  if (self->count > 0) {
    struct entry entry = entry_shift(self);
    message_of_entry(self, &entry, message);
    self->leased_block = entry.block;
    return 1;
  }
  for (struct list *item = self->active.next, *next; item != &self->active; item = next) {
    next = item->next;
    struct lane *lane = LIST_OWNER(item, struct lane, active);
    enum ipcnet_lane_verdict verdict = ipcnet_lane_reader_lease(lane->reader, &sample, &payload);
    if (verdict == IPCNET_LANE_SAMPLE) {
      memcpy(self->leased_lineage, sample.lineage, sizeof self->leased_lineage);
      message_of_sample(lane, &sample, payload, self->leased_lineage, message);
      self->leased_lane = lane;
      return 1;
    }
    (void)lane_settle(lane, verdict);
  }
  if (list_is_empty(&self->active)) self->told = 0;
  return 0;
}

int ipcnet_subscription_release(struct ipcnet_subscription *self) {
  int whole = 0;
  if (self->leased_block != NULL) block_release(self->client, self->leased_block);
  if (self->leased_lane != NULL) whole = ipcnet_lane_reader_release(self->leased_lane->reader);
  self->leased_block = NULL;
  self->leased_lane = NULL;
  return whole == 0 ? 0 : client_fail(self->client, IPCNET_EXPIRED, "the message was overwritten while it was used");
}

/* ---- last values -------------------------------------------------------------------------------------------------------------------- */

static int parse_answer(struct ipcnet_client *client, struct ipcnet_cbor answer, struct ipcnet_message *message) {
  uint32_t topic_id;
  uint64_t sequence, quality = 0;
  double time_us = 0;
  int64_t wall_ns = 0;
  size_t origin_bytes;
  struct ipcnet_cbor bytes, lineage;
  const uint8_t *payload, *entries = NULL;
  size_t lineage_bytes = 0;
  memset(message, 0, sizeof *message);
  if (!get_number(answer, "topicId", &topic_id) || !ipcnet_cbor_get(answer, "bytes", &bytes) || ipcnet_cbor_type(bytes) != IPCNET_CBOR_BYTES || !ipcnet_cbor_view(bytes, &payload, &message->payload_bytes)
      || !ipcnet_cbor_get_unsigned(answer, "sequence", UINT64_MAX, &sequence) || !ipcnet_cbor_get_double(answer, "timeUs", &time_us) || !(time_us >= 0 && time_us <= 9007199254740992.0)) return -1;
  const char *origin = get_text(answer, "origin", &origin_bytes);
  const struct text *kept = client_text(client, origin, origin_bytes);
  (void)ipcnet_cbor_get_integer(answer, "wallTimeNs", &wall_ns);
  (void)ipcnet_cbor_get_unsigned(answer, "quality", IPCNET_BAD, &quality);
  if (ipcnet_cbor_get(answer, "lineage", &lineage) && (ipcnet_cbor_type(lineage) != IPCNET_CBOR_BYTES || !ipcnet_cbor_view(lineage, &entries, &lineage_bytes))) return -1;
  if (lineage_bytes % sizeof *message->lineage != 0 || lineage_bytes > UINT8_MAX * sizeof *message->lineage) return -1;
  message->topic = table_get(&client->topics_by_id, topic_id);
  if (message->topic == NULL || kept == NULL) return -1;
  message->payload = payload;
  /* Still in the body, at any address: the caller copies it. */
  message->lineage = lineage_bytes == 0 ? &no_lineage : (const struct ipcnet_lineage *)(const void *)entries;
  message->lineage_count = (uint8_t)(lineage_bytes / sizeof *message->lineage);
  message->origin = kept->bytes;
  message->sequence = sequence;
  message->time_ns = (uint64_t)(time_us * 1000);
  message->wall_time_ns = wall_ns;
  message->schema_hash = message->topic->schema_hash;
  message->quality = (uint8_t)quality;
  return 0;
}

int ipcnet_query(struct ipcnet_client *client, const char *topic, uint32_t last, struct ipcnet_message **result) {
  struct ipcnet_reply reply;
  struct ipcnet_cbor body, item;
  size_t position = 0, total = 0;
  uint32_t count = 0;
  *result = NULL;
  message_begin(client, "query");
  put_text(client, "topic", topic);
  if (last > 1) put_unsigned(client, "last", last);
  int status = message_ask(client, NULL, 0, &reply);
  if (status < 0 || status == IPCNET_NO_CONTENT || reply.body == NULL) {
    ipcnet_reply_free(&reply);
    return status < 0 ? status : 0;
  }
  int bad = ipcnet_cbor_open(reply.body, reply.body_bytes, &body) < 0;
  int many = ipcnet_cbor_type(body) == IPCNET_CBOR_ARRAY;
  uint64_t answers = many ? ipcnet_cbor_count(body) : 1;
  /* One block: the messages, then their payloads, which together are no longer than the body they came in, and up to 7 bytes each to align them. */
  struct ipcnet_message *messages = bad ? NULL : malloc((size_t)answers * (sizeof *messages + 8) + reply.body_bytes);
  uint8_t *payloads = messages == NULL ? NULL : (uint8_t *)(messages + answers);
  while (messages != NULL && !bad && count < answers) {
    if (!many) item = body;
    else if (!ipcnet_cbor_next(body, &position, NULL, &item)) break;
    bad = parse_answer(client, item, &messages[count]) < 0;
    if (bad) break;
    if (messages[count].payload_bytes > 0) memcpy(payloads + total, messages[count].payload, messages[count].payload_bytes);
    messages[count].payload = payloads + total;
    total += round_up(messages[count].payload_bytes);
    if (messages[count].lineage_count > 0) {
      const size_t lineage_bytes = messages[count].lineage_count * sizeof *messages[count].lineage;
      memcpy(payloads + total, (const void *)messages[count].lineage, lineage_bytes);
      messages[count].lineage = (const struct ipcnet_lineage *)(void *)(payloads + total);
      total += lineage_bytes;
    }
    count += 1;
  }
  ipcnet_reply_free(&reply);
  if (bad || messages == NULL || count == 0) {
    free(messages);
    return bad ? client_fail(client, IPCNET_BAD_GATEWAY, "the gateway's answer is malformed") : messages == NULL ? client_no_memory(client) : 0;
  }
  *result = messages;
  return (int)count;
}
