/*
 * client: what the files of the C client share. Two stages, never mixed:
 *   1. taking in (link.c, and on_* functions of the other files): packets become state: queued messages, finished calls, new readers. No callback runs, nothing waits.
 *      Every call that waits for an answer does this meanwhile.
 *   2. handing out (client.c: ipcnet_poll): what is ready goes to the program's callbacks, which may call anything but poll and close.
 * What a callback may free is only taken out of its lists and goes to the graveyard, which poll empties when no callback is on the stack.
 */
#ifndef IPCNET_CLIENT_H
#define IPCNET_CLIENT_H

#include <stdatomic.h>
#include <stdint.h>

#include "cbor.h"
#include "ipcnet.h"
#include "lane.h"
#include "packet.h"
#include "seqpacket.h"
#include "table.h"

#define NEVER INT64_MAX
/* Messages of the gateway that wait to be handed out, of all subscriptions: then the oldest go. As much as the gateway keeps for all programs of a user. */
#define KEPT_BYTES_MAX (16u << 20)
/* What waits to be sent: control messages (sixteen of the largest), and publishes (which are refused beyond, so that they do not grow old here). */
#define OUT_CONTROL_BYTES_MAX (4u << 20)
#define OUT_DATA_BYTES_MAX (1u << 20)
/* Names and origins: 65,536 of 255 bytes. */
#define TEXT_BYTES_MAX (16u << 20)
/* The gateway judges a request's deadline; this much later we stop waiting for its word. */
#define GRACE_NS 250000000
#define EVENTS_MAX 256

enum source_kind { SOURCE_SOCKET, SOURCE_EVENT, SOURCE_TIMER, SOURCE_LANE, SOURCE_SPACE };
/* What epoll tells: the first member of what owns the descriptor. */
struct source {
  enum source_kind kind;
};

/* A text that is kept for ever, once; and the topic of this name, if there is one. */
struct text {
  struct text *next;
  struct ipcnet_topic *topic;
  size_t length;
  char bytes[];
};

struct ipcnet_topic {
  struct list link;
  struct text *name;
  uint32_t index; /* counts the topics of the client */
  uint32_t id;    /* of this connection */
  int encoding;
  const char *encoding_name;
  uint64_t schema_hash;
  int writable;
  int quality;
  double rate_hz;
  uint8_t *description;
  size_t description_bytes;
  uint32_t record_bytes;
  uint32_t field_count;
  struct ipcnet_field *fields;
};

/* The answer to a call: borrowed by whoever is told. Descriptors that are kept are set to -1. */
struct answer {
  int status;
  const char *text;
  size_t text_length;
  struct ipcnet_cbor body;
  int *fds;
  uint32_t fd_count;
};

struct pending;
typedef void (*pending_done)(struct ipcnet_client *client, struct pending *pending, struct answer *answer);
/* A call that waits for its answer. `done` is called exactly once, in the first stage. */
struct pending {
  struct list link;
  uint32_t seq;
  int64_t deadline_ns;
  pending_done done;
};

enum client_state { CLIENT_ENDED, CLIENT_SHAKING, CLIENT_OPEN, CLIENT_AWAY };
enum event_kind { EVENT_NOTICE, EVENT_END, EVENT_RETURN, EVENT_LEAVING };

/* A packet that the socket did not take yet. */
struct out_packet {
  struct list link;
  size_t length;
  struct ipcnet_seqpacket_fds fds;
  uint8_t bytes[];
};

/* A data packet whose samples wait. */
struct block {
  struct list link;
  uint32_t users;
  size_t length;
  double wall_offset_us;
  _Alignas(8) uint8_t bytes[];
};

struct ipcnet_client {
  /* edge */
  enum client_state state;
  struct source socket_source, event_source, timer_source;
  int fd;
  int epoll;
  int event;
  int timer;
  uint32_t flags;
  int may_wait_to_send;
  char *socket_path;
  char *name;
  int64_t connect_timeout_ns, retry_min_ns, retry_max_ns, retry_ns;
  int64_t call_timeout_ns;
  int64_t timer_ns; /* what the timer is set to */
  int64_t next_ns;  /* state SHAKING: deadline; AWAY: the next attempt */
  uint64_t random;
  atomic_int woken;
  int signalled; /* the event descriptor was made readable, because something waits to be handed out */
  int handing_out;
  uint32_t handed_out;

  /* packets */
  struct ipcnet_channel channel;
  uint8_t *received;
  struct list out;
  size_t out_bytes;
  int writable_wanted;
  struct ipcnet_cbor_writer message;
  uint32_t message_entries;
  uint8_t *batch;
  size_t batch_end;
  uint32_t batch_count;

  /* calls */
  uint32_t last_seq;
  struct table pendings;
  struct list pending_list;

  /* what the gateway told */
  const char *gateway[4];
  struct text **texts;
  uint32_t text_count, text_capacity;
  size_t text_bytes;
  struct list topics;
  uint32_t topic_count;
  struct table topics_by_id;
  struct table origins;

  /* handles */
  struct list subscriptions, writers, offers, calls, requests;
  struct table subscriptions_by_id, writers_by_advert, offers_by_id, calls_by_id, lanes_by_number, requests_by_seq;
  struct list ready_subscriptions, ready_writers, ready_calls, ready_requests;
  uint32_t open_lanes;
  struct list blocks;
  size_t kept_bytes;
  struct list graveyard;
  uint32_t renewals;
  uint8_t *component; /* what ipcnet_announce said, for the next connection */
  size_t component_bytes;

  struct ipcnet_handlers handlers;
  struct list events;
  uint32_t event_count;
  uint8_t *drain_buffer;
  size_t drain_bytes;
  char error_text[512];
  char end_text[512];
  int end_status;
};

struct event {
  struct list link;
  enum event_kind kind;
  int status;
  uint64_t count;
  uint32_t deadline_ms;
  char text[];
};

/* Something that a callback may have freed under our feet. */
struct grave {
  struct list link;
  void (*bury)(struct grave *self);
};

/* ---- client.c */
int64_t now_ns(void);
/* Remembers a sentence and returns -status. */
int client_fail(struct ipcnet_client *client, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
int client_no_memory(struct ipcnet_client *client);
/* The text, kept for the life of the client; NULL without memory or beyond TEXT_BYTES_MAX. */
struct text *client_text(struct ipcnet_client *client, const void *bytes, size_t length);
void client_event(struct ipcnet_client *client, enum event_kind kind, int status, uint64_t count, uint32_t deadline_ms, const char *text, size_t length);
int client_watch(struct ipcnet_client *client, int fd, struct source *source, uint32_t events);
void client_unwatch(struct ipcnet_client *client, int fd);
/* Something waits to be handed out: makes ipcnet_fd readable unless poll is at it. */
void client_signal(struct ipcnet_client *client);
void client_bury(struct ipcnet_client *client, struct grave *grave, void (*bury)(struct grave *self));
/* The timer must fire at `deadline_ns` at the latest; that it fires early does no harm. */
void client_arm(struct ipcnet_client *client, int64_t deadline_ns);
/* First stage only: waits for anything until `deadline_ns` and takes it in. 1 woken by ipcnet_wakeup, else 0. */
int client_wait(struct ipcnet_client *client, int64_t deadline_ns);
/* After client_wait: what it took from the event descriptor is still owed to poll. */
void client_owe(struct ipcnet_client *client);

/* ---- link.c */
int link_open(struct ipcnet_client *client);
void link_end(struct ipcnet_client *client, int status, const char *format, ...) __attribute__((format(printf, 3, 4)));
void link_take_in(struct ipcnet_client *client);
void link_flush(struct ipcnet_client *client);
/* Deadlines that have passed: calls, the handshake, the next attempt to connect. */
void link_due(struct ipcnet_client *client);
int64_t link_next_deadline(const struct ipcnet_client *client);
/* Waits (POLLIN, POLLOUT of the socket alone) and takes in. */
void link_wait(struct ipcnet_client *client, int64_t deadline_ns);

/* A message: begin, put …, then send or call. */
void message_begin(struct ipcnet_client *client, const char *op);
void put_text(struct ipcnet_client *client, const char *key, const char *text);
void put_unsigned(struct ipcnet_client *client, const char *key, uint64_t value);
void put_number(struct ipcnet_client *client, const char *key, double value);
void put_boolean(struct ipcnet_client *client, const char *key, int value);
void put_raw(struct ipcnet_client *client, const char *key, const void *cbor, size_t length);
void put_bytes(struct ipcnet_client *client, const char *key, const void *bytes, size_t length);
/* A fresh number, for a message whose answer is nobody's business. */
uint32_t put_seq(struct ipcnet_client *client);
/* Sends it, with copies of the descriptors. 0; -208, -209, -210, -303, -305. */
int message_send(struct ipcnet_client *client, const int *fds, uint32_t fd_count);
/* Gives it a number and sends it; `pending->done` will be called, unless this fails. */
int message_call(struct ipcnet_client *client, struct pending *pending, pending_done done, int64_t deadline_ns, const int *fds, uint32_t fd_count);
/* Whatever is answered to it is passed over. */
void pending_forget(struct ipcnet_client *client, struct pending *pending);
/* Likewise, and waits: the status (>= 100), or negative. `reply` may be NULL. */
int message_ask(struct ipcnet_client *client, const int *fds, uint32_t fd_count, struct ipcnet_reply *reply);
/* Sends the data packet of `length` bytes in `packet`. */
int link_send_data(struct ipcnet_client *client, uint8_t *packet, size_t length);
/* A renewal that was sent is answered. */
void link_renewed(struct ipcnet_client *client);
/* Copies an answer; takes its descriptors. 0 or -305. */
int reply_take(struct ipcnet_reply *reply, struct answer *answer);

/* ---- topic.c */
int topic_learn(struct ipcnet_client *client, struct ipcnet_cbor description, struct ipcnet_topic **topic);
void topics_free(struct ipcnet_client *client);
struct ipcnet_topic *topic_known(struct ipcnet_client *client, const char *name);
/* A map of fields as a record of topic->record_bytes. 0 or -209. */
int topic_record_from(const struct ipcnet_topic *topic, struct ipcnet_cbor value, void *record);
/* The hash of a schema without a layout: of the encoding's name and the JSON Schema (empty: none). docs/specs/client-socket.md. */
int topic_schema_hash(const char *encoding, struct ipcnet_cbor json_schema, uint64_t *hash);
/* The layout of a list of fields as CBOR and its hash. 0, -209, -305. */
int topic_define(const char *name, const struct ipcnet_field_definition *fields, uint32_t count, struct ipcnet_cbor_writer *layout, uint64_t *hash, uint32_t *record_bytes);

/* ---- subscribe.c */
void subscription_samples(struct ipcnet_client *client, const uint8_t *packet, size_t length, uint32_t count, double wall_offset_us);
void subscription_gap(struct ipcnet_client *client, uint32_t subscription, struct ipcnet_topic *topic, uint64_t lost);
/* Both take the descriptors they keep (set to -1). 0, or -1: malformed. */
int subscription_lane(struct ipcnet_client *client, struct ipcnet_cbor message, int *fds, uint32_t fd_count);
int subscription_unlane(struct ipcnet_client *client, struct ipcnet_cbor message);
void subscription_bell(struct ipcnet_client *client, struct source *source);
/* Looks at lanes whose writer does not ring. */
void subscriptions_look(struct ipcnet_client *client);
void subscriptions_hand_out(struct ipcnet_client *client);
void subscriptions_link_ended(struct ipcnet_client *client);
void subscriptions_renew(struct ipcnet_client *client, int same_boot);
void subscriptions_free(struct ipcnet_client *client);

/* ---- writer.c */
int writer_reader(struct ipcnet_client *client, struct ipcnet_cbor message, int *fds, uint32_t fd_count);
int writer_unreader(struct ipcnet_client *client, struct ipcnet_cbor message);
int writer_rekey(struct ipcnet_client *client, struct ipcnet_cbor message);
int writer_unadvert(struct ipcnet_client *client, struct ipcnet_cbor message);
void writer_space(struct ipcnet_client *client, struct source *source);
void writers_hand_out(struct ipcnet_client *client);
void writers_link_ended(struct ipcnet_client *client);
void writers_renew(struct ipcnet_client *client);
void writers_free(struct ipcnet_client *client);

/* ---- request.c */
int request_item(struct ipcnet_client *client, struct ipcnet_cbor message, int *fds, uint32_t fd_count);
void requests_hand_out(struct ipcnet_client *client);
void requests_free(struct ipcnet_client *client);
void component_renew(struct ipcnet_client *client);

/* ---- offer.c */
int offer_call(struct ipcnet_client *client, struct ipcnet_cbor message, int *fds, uint32_t fd_count);
int offer_credit(struct ipcnet_client *client, struct ipcnet_cbor message);
int offer_cancelled(struct ipcnet_client *client, struct ipcnet_cbor message);
void calls_hand_out(struct ipcnet_client *client);
void offers_link_ended(struct ipcnet_client *client);
void offers_renew(struct ipcnet_client *client);
void offers_free(struct ipcnet_client *client);

/* ---- shared by several */
/* A number of the gateway's at `key` that fits a table: 1, or 0. */
int get_number(struct ipcnet_cbor map, const char *key, uint32_t *out);
/* A text at `key`, or "" and 0. */
const char *get_text(struct ipcnet_cbor map, const char *key, size_t *length);
const char *policy_name(uint32_t policy);
int policy_of(struct ipcnet_cbor map, const char *key, uint32_t *policy);

#endif
