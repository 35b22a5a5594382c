/*
 * ipcnet: the C client of an IPCNet gateway. This header is the manual; docs/specs/client-socket.md and docs/specs/lanes.md have the bytes.
 *
 *   struct ipcnet_client *client;
 *   if (ipcnet_connect(&client, NULL) < 0) { fprintf(stderr, "%s\n", ipcnet_last_error_text(client)); ipcnet_close(client); return 1; }
 *   struct ipcnet_subscribe_options options = { .on_message = print };
 *   ipcnet_subscribe(client, "talk/#", &options, NULL);
 *   while (ipcnet_poll(client, -1) >= 0) {}
 *   ipcnet_close(client);
 *
 * Results. Every function that returns `int` and can fail returns a count, a number or 0 when it worked, and a negative IPCNet status when it did not
 * (-IPCNET_NOT_FOUND = -203); ipcnet_last_error_text then has a sentence. No function exits, aborts, prints, or raises a signal.
 *
 * Threads. A client and all that was made from it belong to one thread at a time; different clients are independent; there is no global state. Only
 * ipcnet_wakeup may be called from any thread (and from a signal handler). No thread is ever started.
 *
 * Waiting. Callbacks run in ipcnet_poll and nowhere else. The calls that wait for an answer (marked "waits", at most the client's timeout, 5 s) read what comes
 * meanwhile and keep it for the next poll; they may be made in a callback. ipcnet_poll and ipcnet_close may not.
 * To use an event loop of your own, wait until ipcnet_fd is readable and call ipcnet_poll(client, 0).
 *
 * Ownership. What a function hands out belongs to the client and lives until the handle it came from is closed, unless its comment says otherwise. What is
 * passed in is copied before the function returns. Descriptors that are passed in stay the caller's; descriptors that are handed out are the caller's to close
 * (close-on-exec).
 *
 * Handles (client, subscription, writer, offer, call) are closed once; ipcnet_close closes all that is left of its client, so that no handle may be used after it.
 *
 * Structs have the sizes given beside them where pointers take 8 bytes, no hidden padding, and never change within an ABI version. Set what is not used to zero.
 *
 * Texts are UTF-8 and end with a zero. Bodies of services are CBOR (RFC 8949): ipcnet_cbor_* below writes and reads it, ipcnet_*_json converts.
 */
#ifndef IPCNET_H
#define IPCNET_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
/* Some functions are called as the struct that they fill or make: in C++ write "struct ipcnet_offer". */
#if defined(__GNUC__)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wshadow"
#endif
extern "C" {
#endif

#ifndef IPCNET_API
#if defined(__GNUC__)
#define IPCNET_API __attribute__((visibility("default")))
#else
#define IPCNET_API
#endif
#endif

/* Rises when something that was there changes its meaning; the library's soname is libipcnet.so.<this>. */
#define IPCNET_ABI_VERSION 0
/* Version of the library that runs, such as "0.3.0", and its ABI version. */
IPCNET_API const char *ipcnet_version(void);
IPCNET_API int ipcnet_abi_version(void);

/* ---------------------------------------------------------------- status -- */

/* The hundreds say who has to act: 1xx nobody (it worked), 2xx the caller, 3xx the gateway or something behind it; from 1000 on they belong to applications. */
enum ipcnet_status {
  IPCNET_OK = 100,
  IPCNET_CREATED = 101,
  IPCNET_ACCEPTED = 102,
  IPCNET_NO_CONTENT = 103,
  IPCNET_PARTIAL_CONTENT = 104,
  IPCNET_NOT_MODIFIED = 105,
  IPCNET_BAD_REQUEST = 200,
  IPCNET_UNAUTHORIZED = 201,
  IPCNET_FORBIDDEN = 202,
  IPCNET_NOT_FOUND = 203,
  IPCNET_REQUEST_TIMEOUT = 204,
  IPCNET_CONFLICT = 205,
  IPCNET_UPGRADE_REQUIRED = 206,
  IPCNET_PRECONDITION_FAILED = 207,
  IPCNET_PAYLOAD_TOO_LARGE = 208,
  IPCNET_UNPROCESSABLE_CONTENT = 209,
  IPCNET_TOO_MANY_REQUESTS = 210,
  IPCNET_EXPIRED = 211,
  IPCNET_INTERNAL_ERROR = 300,
  IPCNET_NOT_IMPLEMENTED = 301,
  IPCNET_BAD_GATEWAY = 302,
  IPCNET_SERVICE_UNAVAILABLE = 303,
  IPCNET_GATEWAY_TIMEOUT = 304,
  IPCNET_INSUFFICIENT_STORAGE = 305,
  IPCNET_LOOP_DETECTED = 306,
  IPCNET_INTEGRITY_FAILURE = 307,
  IPCNET_VERSION_NOT_SUPPORTED = 308,
  IPCNET_NETWORK_AUTHENTICATION_REQUIRED = 309,
};

/* The code's name in words ("not found"); negative codes as their positive ones. Never NULL. */
IPCNET_API const char *ipcnet_status_text(int status);

/* Frees what a function says to be freed with it. NULL is allowed. */
IPCNET_API void ipcnet_free(void *memory);

/* ---------------------------------------------------------------- client -- */

struct ipcnet_client;

enum ipcnet_connect_flags {
  /* Come back when the gateway restarts: the same lanes are advertised again (their readers lose nothing), subscriptions and offers are renewed. Calls made
   * meanwhile fail with -303. */
  IPCNET_RECONNECT = 1,
  /* prctl(PR_SET_DUMPABLE, 0): other processes of the same user can then neither trace this process nor take its descriptors. For the whole process. */
  IPCNET_UNDUMPABLE = 2,
  /* `fd` is a connected SEQPACKET socket, such as one inherited from the gateway that started this program. The client takes it, also on failure. */
  IPCNET_USE_FD = 4,
};

struct ipcnet_connect_options { /* 48 bytes */
  const char *socket_path;     /* NULL: $IPCNET_SOCKET, else /run/ipcnet/ipcnet.sock, else $XDG_RUNTIME_DIR/ipcnet/ipcnet.sock (the first that exists; without that variable /tmp/ipcnet-UID/ipcnet.sock, in a folder of this user) */
  const char *name;            /* what the gateway's status calls this program, at most 64 characters; NULL: the program's file name. Grants nothing. */
  uint32_t flags;              /* enum ipcnet_connect_flags */
  int32_t fd;                  /* with IPCNET_USE_FD */
  uint32_t timeout_ms;         /* for all of connecting; 0 = 2000 */
  uint32_t retry_min_ms;       /* reconnecting: first pause, doubled each time, shortened by up to half at random; 0 = 50 */
  uint32_t retry_max_ms;       /* longest pause; 0 = 2000 */
  uint32_t reserved[3];
};

/*
 * Connects and shakes hands; waits. `options` may be NULL. -303 nobody listens there, -202 this user may not, -206 another protocol version, -210 too many connections of this
 * user, -204 no answer in time. Also on failure *client is a client that has ended: ask it for its error text, then close it. NULL only when there is no memory (-305).
 */
IPCNET_API int ipcnet_connect(struct ipcnet_client **client, const struct ipcnet_connect_options *options);

/* Says goodbye and frees the client with all its handles. NULL is allowed. Not from a callback. */
IPCNET_API void ipcnet_close(struct ipcnet_client *client);

/* Sentence for the last call of this client that failed; "" if none has. Valid until the next call. NULL is allowed (no memory for a client). */
IPCNET_API const char *ipcnet_last_error_text(const struct ipcnet_client *client);

/* 1 while there is a connection to a gateway, else 0. */
IPCNET_API int ipcnet_is_connected(const struct ipcnet_client *client);

/* Who answers: "robot", "version", "instance" or "boot" of the gateway; "" for anything else. `boot` changes with each start of the gateway. */
IPCNET_API const char *ipcnet_gateway(const struct ipcnet_client *client, const char *what);

/* For the calls that wait and have no timeout of their own; at first 5000. */
IPCNET_API void ipcnet_set_timeout(struct ipcnet_client *client, uint32_t timeout_ms);

/*
 * Reads what has come, calls callbacks, does what is due. When there is nothing to do waits for up to timeout_ms (-1: without end). Returns how many callbacks were called; 0 after
 * the timeout, a wakeup or a signal. -303 when the connection has ended (on_end has been called) and nothing can come any more; lanes outlive the gateway, and while this
 * program reads some poll serves them (and publishing by lanes works on in any case). -205 when called in a callback.
 */
IPCNET_API int ipcnet_poll(struct ipcnet_client *client, int timeout_ms);

/* A descriptor that is readable when ipcnet_poll has something to do: for poll, epoll, select, asyncio, GLib … Owned by the client, the same for its whole life. */
IPCNET_API int ipcnet_fd(const struct ipcnet_client *client);

/* Makes the current or the next ipcnet_poll or waiting ipcnet_subscription_drain return 0 early. Any thread, any signal handler, while the client is open. */
IPCNET_API void ipcnet_wakeup(struct ipcnet_client *client);

/* 0 when the gateway has answered; waits. */
IPCNET_API int ipcnet_ping(struct ipcnet_client *client);

/* What concerns the whole client. Any may be NULL. */
struct ipcnet_handlers { /* 64 bytes */
  void *context;
  /* Something that answers no call: refused unacknowledged publishes, losses that no message follows (104). `count`: how often since the last one of its kind. */
  void (*on_notice)(void *context, int status, const char *text, uint64_t count);
  /* The connection has ended; without IPCNET_RECONNECT for good. */
  void (*on_end)(void *context, const char *why);
  /* IPCNET_RECONNECT: there is a new connection and everything has been renewed. */
  void (*on_return)(void *context);
  /* The gateway or the robot goes down in deadline_ms: save what is to be saved, then ipcnet_ready; or ask for ipcnet_more_time. Without this handler the client says by itself that it is ready. */
  void (*on_leaving)(void *context, uint32_t deadline_ms, const char *text);
  void *reserved[3];
};
IPCNET_API void ipcnet_set_handlers(struct ipcnet_client *client, const struct ipcnet_handlers *handlers);

/* ---------------------------------------------------------------- topics -- */

/* A topic as the gateway described it. Lives as long as its client, also when the topic is gone or comes back with another schema (which makes another object). */
struct ipcnet_topic;

enum ipcnet_encoding {
  IPCNET_ENCODING_OTHER = 0,
  IPCNET_ENCODING_RECORD = 1,   /* fixed layout, little-endian: ipcnet_field_find says where each field stands */
  IPCNET_ENCODING_CBOR = 2,
  IPCNET_ENCODING_JSON = 3,
  IPCNET_ENCODING_BYTES = 4,
  IPCNET_ENCODING_CANFRAME = 5, /* 88 bytes */
  IPCNET_ENCODING_TENSOR = 6,
  IPCNET_ENCODING_VIDEO = 7,
  IPCNET_ENCODING_AUDIO = 8,
  IPCNET_ENCODING_POINTS = 9,
  IPCNET_ENCODING_FILE = 10,
  IPCNET_ENCODING_HAPTIC = 11,
};

IPCNET_API const char *ipcnet_topic_name(const struct ipcnet_topic *topic);
/* enum ipcnet_encoding, and the same as the gateway's word. */
IPCNET_API int ipcnet_topic_encoding(const struct ipcnet_topic *topic);
IPCNET_API const char *ipcnet_topic_encoding_name(const struct ipcnet_topic *topic);
IPCNET_API uint64_t ipcnet_topic_schema_hash(const struct ipcnet_topic *topic);
/* 1: this program may write it. */
IPCNET_API int ipcnet_topic_writable(const struct ipcnet_topic *topic);
/* Messages per second and quality (0 good, 1 stale, 2 bad) when it was described. */
IPCNET_API double ipcnet_topic_rate_hz(const struct ipcnet_topic *topic);
IPCNET_API int ipcnet_topic_quality(const struct ipcnet_topic *topic);
/* Its whole description as CBOR (layout, jsonSchema, …). */
IPCNET_API const uint8_t *ipcnet_topic_description(const struct ipcnet_topic *topic, size_t *length);

/*
 * The topics under `pattern` (`+` one level, `#` the rest; NULL: all) that this program may read or write; waits. Returns how many; *topics is an array of so many pointers, to be
 * freed with ipcnet_free (the topics stay the client's).
 */
IPCNET_API int ipcnet_topics(struct ipcnet_client *client, const char *pattern, const struct ipcnet_topic ***topics);
/* One topic; asks the gateway if it is not known yet; waits. NULL: there is none, or this program may neither read nor write it. */
IPCNET_API const struct ipcnet_topic *ipcnet_topic_find(struct ipcnet_client *client, const char *name);

enum ipcnet_field_type {
  IPCNET_FIELD_F64 = 1, IPCNET_FIELD_F32 = 2, IPCNET_FIELD_I8 = 3, IPCNET_FIELD_U8 = 4, IPCNET_FIELD_I16 = 5, IPCNET_FIELD_U16 = 6,
  IPCNET_FIELD_I32 = 7, IPCNET_FIELD_U32 = 8, IPCNET_FIELD_I64 = 9, IPCNET_FIELD_U64 = 10,
};

/* Where a field of a record stands. */
struct ipcnet_field { /* 48 bytes */
  const char *name;
  const char *unit;         /* "" = none */
  double minimum, maximum;  /* physical; NaN = none */
  uint32_t offset_bytes;    /* in the record; the field lies within the record's size */
  int32_t presence_bit;     /* bit i: byte i/8, weight 2^(i mod 8) of the record; -1 = always present */
  uint8_t type;             /* enum ipcnet_field_type */
  uint8_t size_bytes;       /* 1, 2, 4 or 8 */
  uint8_t reserved[6];
};

/* Size of a record of this topic, bytes; 0 when its encoding is not record. */
IPCNET_API uint32_t ipcnet_record_bytes(const struct ipcnet_topic *topic);
IPCNET_API uint32_t ipcnet_field_count(const struct ipcnet_topic *topic);
/* Field number `index`, or the one called `name`: 0 and *field, or -203. The texts are the topic's. */
IPCNET_API int ipcnet_field_at(const struct ipcnet_topic *topic, uint32_t index, struct ipcnet_field *field);
IPCNET_API int ipcnet_field_find(const struct ipcnet_topic *topic, const char *name, struct ipcnet_field *field);
/* A field's value: 1, or 0 when it is absent or the record is too short for it. Integers beyond 2^53 lose precision as a double. */
IPCNET_API int ipcnet_field_double(const struct ipcnet_field *field, const void *record, size_t record_bytes, double *value);
/* Integer fields (-209 for f32 and f64); u64 beyond 2^63 - 1 comes as its two's complement. */
IPCNET_API int ipcnet_field_integer(const struct ipcnet_field *field, const void *record, size_t record_bytes, int64_t *value);
/* Writes a value and marks the field present: 0, or -209 out of the type's range or the field's limits, not a number, or a record that is too short. */
IPCNET_API int ipcnet_field_set_double(const struct ipcnet_field *field, void *record, size_t record_bytes, double value);
IPCNET_API int ipcnet_field_set_integer(const struct ipcnet_field *field, void *record, size_t record_bytes, int64_t value);

/* -------------------------------------------------------------- messages -- */

enum ipcnet_quality { IPCNET_GOOD = 0, IPCNET_STALE = 1, IPCNET_BAD = 2 };

enum ipcnet_message_flags {
  IPCNET_MESSAGE_LAST_VALUE = 1, /* the value the topic already had when the subscription began */
  IPCNET_MESSAGE_CONFLATED = 2,  /* others before it were left out because the subscription asked for that; no loss */
  IPCNET_MESSAGE_KEY_FRAME = 4,
};

/* An input that a message was made from. Ids are hashes: ipcnet_lineage_of, ipcnet_text_id. */
struct ipcnet_lineage { /* 24 bytes */
  uint64_t origin;
  uint64_t topic;
  uint64_t sequence;
};

struct ipcnet_message { /* 96 bytes */
  const struct ipcnet_topic *topic;
  const void *payload;                  /* at a multiple of 8 */
  size_t payload_bytes;
  const struct ipcnet_lineage *lineage; /* lineage_count entries */
  const char *origin;                   /* who made it, such as "can/arm"; lives as long as the client */
  uint64_t sequence;                    /* counts the messages of this writer (lanes) or topic (gateway), from 1 */
  uint64_t lost_before;                 /* messages that this subscription lost between the one before and this one */
  uint64_t time_ns;                     /* CLOCK_MONOTONIC */
  int64_t wall_time_ns;                 /* CLOCK_REALTIME */
  uint64_t schema_hash;
  uint32_t ttl_ms;                      /* worthless after so long; 0 = unlimited */
  uint32_t origin_id;                   /* the connection's number for `origin` */
  uint8_t quality;                      /* enum ipcnet_quality */
  uint8_t flags;                        /* enum ipcnet_message_flags */
  uint8_t kind;                         /* the application's */
  uint8_t lineage_count;
  uint8_t reserved[4];
};

/* The message's value as JSON text, to be freed with ipcnet_free: of cbor and json topics their value, of records an object of the fields that are present, of all others their bytes
 * as base64url. NULL: no memory, or the payload is not what the topic says. */
IPCNET_API char *ipcnet_message_json(const struct ipcnet_message *message);

/* What to write into the lineage of a message that is made from `message`. */
IPCNET_API void ipcnet_lineage_of(const struct ipcnet_message *message, struct ipcnet_lineage *lineage);
/* The id of a topic's name or an origin's text in a lineage: the first 8 bytes of SHA-256. */
IPCNET_API uint64_t ipcnet_text_id(const char *text);

/* ----------------------------------------------------------- subscribing -- */

struct ipcnet_subscription;

enum ipcnet_policy {
  IPCNET_POLICY_DEFAULT = 0, /* of a subscription latest, of an advert queue */
  IPCNET_LATEST = 1,   /* while this program is behind, the newest message of each topic */
  IPCNET_QUEUE = 2,    /* the newest `queue` messages (topics by the gateway), or what the writer's ring remembers (lanes); losses are counted exactly */
  IPCNET_LOSSLESS = 3, /* lanes: the writer waits for this program, until its deadline */
};

enum ipcnet_subscribe_flags {
  IPCNET_LAST_VALUE = 1, /* begin with the value each topic has now */
  IPCNET_NO_LANES = 2,   /* everything through the gateway */
};

struct ipcnet_subscribe_options { /* 64 bytes */
  void *context;
  /* Each message, in ipcnet_poll. `message` and its payload are valid until it returns. */
  void (*on_message)(void *context, const struct ipcnet_message *message);
  /* Instead of it: there is something to drain. Called again only after a drain has found nothing more. Both may be NULL: then drain when you like. */
  void (*on_ready)(void *context, struct ipcnet_subscription *subscription);
  double rate_hz_max;  /* at most so many messages per second and topic, the newest (through the gateway, then); 0 = all */
  uint32_t flags;      /* enum ipcnet_subscribe_flags */
  uint32_t policy;     /* enum ipcnet_policy */
  uint32_t queue;      /* messages, for IPCNET_QUEUE; 0 = 256 */
  uint32_t reserved[5];
};

/*
 * Subscribes to the topics under `pattern`, also to those that appear later; waits until the gateway has accepted. `options` and `subscription` may be NULL. Returns 1, or 0 when no topic
 * matches yet. Messages of one writer come in order. At most 16 MiB of messages of the gateway wait in a client (those in lanes wait in the lanes); then the oldest are
 * dropped and counted as lost.
 */
IPCNET_API int ipcnet_subscribe(struct ipcnet_client *client, const char *pattern, const struct ipcnet_subscribe_options *options, struct ipcnet_subscription **subscription);

/* Ends it; no callback of it is called any more; waits for nothing. Allowed in its own callback. Open leases end with it. NULL is allowed. */
IPCNET_API void ipcnet_unsubscribe(struct ipcnet_subscription *self);

/*
 * Takes up to `messages_max` messages, with all that belongs to them in `buffer`, and returns how many; 0 when none came within timeout_ms (0: looks only, -1: waits without end).
 * One copy (from the lane or the packet), no callback. -208: the first message needs a larger buffer, messages[0].payload_bytes says how large; nothing is lost. -303: the
 * connection has ended and nothing can come any more.
 */
IPCNET_API int ipcnet_subscription_drain(struct ipcnet_subscription *self, struct ipcnet_message *messages, uint32_t messages_max, void *buffer, size_t buffer_bytes, int timeout_ms);

/*
 * Zero-copy: the next message where it lies, if it is there (1), else 0. The CRC was checked over memory that its writer may change afterwards: use the result only after
 * ipcnet_subscription_release said 0; -211 says that it was overwritten meanwhile and what was computed from it is void. One at a time; the next drain, lease or callback releases it.
 */
IPCNET_API int ipcnet_subscription_lease(struct ipcnet_subscription *self, struct ipcnet_message *message);
IPCNET_API int ipcnet_subscription_release(struct ipcnet_subscription *self);

struct ipcnet_subscription_stats { /* 64 bytes */
  uint64_t messages;
  uint64_t lost;       /* in all, as reported by lost_before and gaps */
  uint64_t corrupt;    /* lanes: CRC, bounds or schema wrong; also lost */
  uint32_t lanes;      /* open now */
  uint32_t broken;     /* lanes that broke their rules and were dropped */
  uint64_t kept_bytes; /* messages of the gateway that wait here */
  uint64_t reserved[3];
};
IPCNET_API void ipcnet_subscription_stats(const struct ipcnet_subscription *self, struct ipcnet_subscription_stats *stats);

/*
 * The last messages of a topic, as far as they are kept, oldest first; waits. `last` = 0 or 1: its value. Returns how many (0: none yet); *messages is one block, to be freed
 * with ipcnet_free, or NULL. -203 no such topic.
 */
IPCNET_API int ipcnet_query(struct ipcnet_client *client, const char *topic, uint32_t last, struct ipcnet_message **messages);

/* ------------------------------------------------------------ publishing -- */

enum ipcnet_publish_flags {
  IPCNET_ACKNOWLEDGE = 1, /* wait for the gateway's verdict; else refusals come to on_notice */
  IPCNET_CBOR = 2,        /* the payload is a CBOR value to be encoded as the topic wants it; else it is in the topic's own encoding */
  IPCNET_MORE = 4,        /* more follows at once: keep it until a publish without this flag, ipcnet_flush or ipcnet_poll */
};

struct ipcnet_publish_options { /* 32 bytes */
  const char *id;      /* with IPCNET_ACKNOWLEDGE: the caller's own name for this command, <= 64 characters; NULL = none */
  uint32_t flags;      /* enum ipcnet_publish_flags */
  uint32_t ttl_ms;     /* worthless after so long, at most 60,000: the gateway then refuses it (211); 0 = unlimited */
  uint64_t reserved[2];
};

/*
 * Publishes through the gateway, which checks everything: the way for commands (`cmd/…`) and for what is said seldom. At most 65,464 bytes. -202 not permitted, -203 no such topic, -207 not
 * armed, -209 out of range, -211 expired (these with IPCNET_ACKNOWLEDGE, waits), -208 too large, -210 the gateway does not keep up. `options` may be NULL.
 */
IPCNET_API int ipcnet_publish(struct ipcnet_client *client, const char *topic, const void *payload, size_t payload_bytes, const struct ipcnet_publish_options *options);
/* The same with a value as JSON. */
IPCNET_API int ipcnet_publish_json(struct ipcnet_client *client, const char *topic, const char *json, const struct ipcnet_publish_options *options);
/* Sends what IPCNET_MORE kept. */
IPCNET_API int ipcnet_flush(struct ipcnet_client *client);

/* A topic that this program writes through a lane of its own: memory speed, no system call per message while readers are busy. */
struct ipcnet_writer;

/* A field of a record that this program defines. */
struct ipcnet_field_definition { /* 40 bytes */
  const char *name;
  const char *unit;         /* NULL or "" = none */
  double minimum, maximum;  /* NaN = none; both 0 = none */
  uint8_t type;             /* enum ipcnet_field_type */
  uint8_t reserved[7];
};

struct ipcnet_advertise_options { /* 128 bytes */
  const char *encoding;        /* "bytes", "cbor", "json", "record", …; NULL: record with fields, else cbor */
  const char *record_name;     /* of a record; NULL: the topic's name */
  const struct ipcnet_field_definition *fields;
  const char *json_schema;     /* JSON text that describes the values; NULL = none */
  uint64_t schema_hash;        /* 0: computed from the fields or the JSON schema */
  uint64_t payload_bytes_max;  /* largest message with up to four inputs in its lineage; 0: the record's size, else 65,536 */
  void *context;
  /* A lossless reader that kept this program waiting has read on. */
  void (*on_space)(void *context, struct ipcnet_writer *writer);
  /* The number of readers has changed. */
  void (*on_readers)(void *context, struct ipcnet_writer *writer, uint32_t readers);
  /* The topic is lost: the gateway took it back, or did not accept it again after a reconnection. */
  void (*on_lost)(void *context, struct ipcnet_writer *writer, int status, const char *text);
  uint32_t field_count;
  uint32_t policy;             /* enum ipcnet_policy: the most that readers may ask for; 0 = queue */
  uint32_t queue;              /* messages that the lane remembers, rounded up to a power of two; 0 = 256. So many of the largest if both this and payload_bytes_max are given, else four of those */
  uint32_t deadline_ms;        /* how long a lossless reader may keep this program waiting; 0: the gateway's (1000) */
  uint32_t flags;              /* 0 */
  uint32_t reserved[7];
};

/*
 * Makes a lane and advertises it; waits. `options` may be NULL. -202 this program may not write the topic (commands never), -206 it exists with another schema, -205 somebody else owns it
 * alone, -210 too many lanes, -301 this kernel cannot seal memory. About 0.6 ms per MiB of the lane: not in a control loop.
 */
IPCNET_API int ipcnet_advertise(struct ipcnet_client *client, const char *topic, const struct ipcnet_advertise_options *options, struct ipcnet_writer **writer);

/* Readers keep what they have and may read it to its end. Waits for nothing. NULL is allowed. */
IPCNET_API void ipcnet_writer_close(struct ipcnet_writer *self);

/* What travels with a message; all zero is good. */
struct ipcnet_meta { /* 40 bytes */
  const struct ipcnet_lineage *lineage; /* lineage_count entries, at most 15 */
  uint64_t time_ns;                     /* CLOCK_MONOTONIC; 0 = now */
  int64_t wall_time_ns;                 /* CLOCK_REALTIME; 0 = now */
  uint32_t ttl_ms;
  uint8_t quality;                      /* enum ipcnet_quality */
  uint8_t flags;                        /* IPCNET_MESSAGE_KEY_FRAME or 0 */
  uint8_t kind;
  uint8_t lineage_count;
  uint32_t more;                        /* 1: more follows at once, wake readers with the last one or with ipcnet_writer_flush */
  uint32_t reserved;
};

/* 0; -208 too large; -210 a lossless reader has not read what would be overwritten (try again at on_space, after ipcnet_writer_wait, or after its deadline). `meta` may be NULL.
 * Works also while the gateway is away. */
IPCNET_API int ipcnet_writer_publish(struct ipcnet_writer *self, const void *payload, size_t payload_bytes, const struct ipcnet_meta *meta);

/* The same with a value as JSON, for topics of encoding cbor, json or record (an object of fields; those that are left out are 0, or absent). -209 it is not JSON or does not fit the record. */
IPCNET_API int ipcnet_writer_publish_json(struct ipcnet_writer *self, const char *json, const struct ipcnet_meta *meta);

/* Zero-copy: room for up to `payload_bytes` in the lane (at a multiple of 8), to be filled and then committed with its final length, or given up. One at a time; a lineage's length must be
 * known when the room is taken. Readers can see the memory from the start, but no message names it before the commit. */
IPCNET_API int ipcnet_writer_loan(struct ipcnet_writer *self, size_t payload_bytes, uint32_t lineage_count, void **payload);
IPCNET_API int ipcnet_writer_commit(struct ipcnet_writer *self, size_t payload_bytes, const struct ipcnet_meta *meta);
IPCNET_API void ipcnet_writer_give_up(struct ipcnet_writer *self);

/* Wakes readers after messages with `more`. */
IPCNET_API void ipcnet_writer_flush(struct ipcnet_writer *self);
/* Waits until a lossless reader has read on: 1, or 0 after timeout_ms (or a wakeup). Takes on readers that come meanwhile; calls no callback. */
IPCNET_API int ipcnet_writer_wait(struct ipcnet_writer *self, int timeout_ms);
IPCNET_API uint32_t ipcnet_writer_readers(const struct ipcnet_writer *self);
IPCNET_API size_t ipcnet_writer_payload_bytes_max(const struct ipcnet_writer *self);
/* The topic, for the layout of records. */
IPCNET_API const struct ipcnet_topic *ipcnet_writer_topic(const struct ipcnet_writer *self);

struct ipcnet_writer_stats { /* 64 bytes */
  uint64_t published;
  uint64_t payload_bytes;
  uint64_t rings;         /* system calls made to wake readers */
  uint64_t refused_full;
  uint64_t demoted;       /* lossless readers that missed their deadline */
  uint64_t next_sequence;
  uint32_t readers;
  uint32_t reserved[3];
};
IPCNET_API void ipcnet_writer_stats(const struct ipcnet_writer *self, struct ipcnet_writer_stats *stats);

/* ------------------------------------------------------ calling services -- */

#define IPCNET_FDS_MAX 4

struct ipcnet_request_options { /* 48 bytes */
  const int *fds;         /* go with the request; stay the caller's */
  uint32_t fd_count;      /* at most IPCNET_FDS_MAX */
  uint32_t timeout_ms;    /* at most 600,000; 0: the client's */
  uint32_t credit;        /* items of a stream that may come before more credit is given, at most 4096; 0: no stream */
  uint32_t flags;         /* enum ipcnet_request_flags */
  const char *group;      /* ask only providers of this group; NULL = of any */
  uint64_t reserved[2];
};
enum ipcnet_request_flags {
  IPCNET_NOT_IDEMPOTENT = 1, /* if the provider dies, do not ask another one */
};

/* An answer, or an item of a stream. */
struct ipcnet_reply { /* 56 bytes */
  const uint8_t *body;    /* CBOR; NULL = none */
  size_t body_bytes;
  const char *text;       /* a sentence, or "" */
  int32_t status;         /* 1xx, or >= 1000: the application's own */
  uint32_t fd_count;
  int32_t fds[IPCNET_FDS_MAX]; /* set to -1 what you keep: ipcnet_reply_free closes the rest */
  uint64_t owner;         /* the library's */
};
IPCNET_API void ipcnet_reply_free(struct ipcnet_reply *reply);

/*
 * Calls a service with a body of CBOR (NULL = none); waits for the answer. Returns its status as *reply has it (>= 100), or a negative one: the provider's or the gateway's refusal (the reply then has
 * its text and body), -203 nobody offers it, -204 no answer in time. `options` may be NULL; `reply` is to be freed in any case (it is zero if there is nothing in it); it may be NULL.
 */
IPCNET_API int ipcnet_request(struct ipcnet_client *client, const char *service, const void *body, size_t body_bytes, const struct ipcnet_request_options *options, struct ipcnet_reply *reply);

/* The same in JSON: `json` NULL = no body; *answer is JSON text, to be freed with ipcnet_free ("null" without a body; the refusal's body or NULL on failure). Byte strings come as base64url. */
IPCNET_API int ipcnet_request_json(struct ipcnet_client *client, const char *service, const char *json, uint32_t timeout_ms, char **answer);

/* The end of a request that was started: `status` negative when it failed. `reply` is freed after the callback: set an fd to -1 to keep it. */
typedef void (*ipcnet_on_reply)(void *context, uint32_t request, int status, struct ipcnet_reply *reply);
/* An item of a stream. */
typedef void (*ipcnet_on_item)(void *context, uint32_t request, struct ipcnet_reply *item);

/* Starts a call and returns its number (1 … 2^31 - 1). With on_reply NULL its items and its end are kept for ipcnet_request_next. */
IPCNET_API int ipcnet_request_start(struct ipcnet_client *client, const char *service, const void *body, size_t body_bytes, const struct ipcnet_request_options *options, ipcnet_on_reply on_reply, ipcnet_on_item on_item, void *context);
/* The next item (1) or the end (0, *status says how; the number is used up) of a request started without callbacks; -204 nothing within timeout_ms (-1: without end), -203 no such request. */
IPCNET_API int ipcnet_request_next(struct ipcnet_client *client, uint32_t request, struct ipcnet_reply *reply, int *status, int timeout_ms);
/* Lets so many more items come; never more than 4096 at once (-200). */
IPCNET_API int ipcnet_request_credit(struct ipcnet_client *client, uint32_t request, uint32_t items);
/* Its end comes as status -204. */
IPCNET_API int ipcnet_request_cancel(struct ipcnet_client *client, uint32_t request);
/* Cancels a request that was started without callbacks, and forgets it with all that is kept of it: its number is used up. Waits for nothing. -203 there is no such request. */
IPCNET_API int ipcnet_request_drop(struct ipcnet_client *client, uint32_t request);

/* ----------------------------------------------------- offering services -- */

struct ipcnet_offer;
/* A call that somebody made; to be answered exactly once, now or later. */
struct ipcnet_call;

struct ipcnet_offer_options { /* 112 bytes */
  void *context;
  /* Somebody calls. The call is this program's until it is answered (also when its caller has gone). */
  void (*on_call)(void *context, struct ipcnet_call *call);
  /* The caller is gone, has cancelled, or ran out of time. The call is still to be answered, though nobody listens. */
  void (*on_cancel)(void *context, struct ipcnet_call *call, int status, const char *text);
  /* The caller of a stream takes more items. */
  void (*on_credit)(void *context, struct ipcnet_call *call, uint32_t items);
  const char *group;         /* providers that share the work; NULL = one group */
  const char *description;   /* NULL = none */
  const char *const *allow;  /* principals that may call: narrows what the policy allows */
  const char *const *deny;
  uint32_t allow_count;
  uint32_t deny_count;
  double rate_hz_max;        /* per caller; 0 = any */
  uint32_t calls_max;        /* per caller, outstanding; 0 = any */
  uint32_t capacity;         /* calls at once; 0 = 1 */
  uint64_t reserved[3];
};

/* Offers a service; waits. -202 not permitted, -205 taken. */
IPCNET_API int ipcnet_offer(struct ipcnet_client *client, const char *service, const struct ipcnet_offer_options *options, struct ipcnet_offer **offer);
/* No new calls come; running ones may still be answered. Waits for nothing. NULL is allowed. */
IPCNET_API void ipcnet_offer_close(struct ipcnet_offer *self);

struct ipcnet_call_info { /* 88 bytes */
  const char *service;
  const uint8_t *body;       /* CBOR; NULL = none */
  size_t body_bytes;
  const char *component;     /* who calls, by the gateway's word (from the kernel) */
  int64_t deadline_ns;       /* CLOCK_MONOTONIC: nobody waits for the answer any longer */
  uint32_t uid;
  int32_t pid;
  uint32_t credit;           /* items that the caller takes now */
  uint32_t stream;           /* 1: it wants a stream */
  uint32_t cancelled;        /* 1: nobody waits any more */
  uint32_t fd_count;
  int32_t fds[IPCNET_FDS_MAX]; /* the call's: closed when it is answered, unless taken */
  uint64_t reserved;
};
/* What the call asks; valid until it is answered. */
IPCNET_API void ipcnet_call_info(const struct ipcnet_call *call, struct ipcnet_call_info *info);
/* Descriptor number `index` of the call: from now on the caller's of this function. -203 there is none (any more). */
IPCNET_API int ipcnet_call_take_fd(struct ipcnet_call *call, uint32_t index);
/* An item of a stream; -210 the caller has given no credit for it: wait for on_credit. `fds` stay the caller's of this function. */
IPCNET_API int ipcnet_call_item(struct ipcnet_call *call, const void *body, size_t body_bytes, const int *fds, uint32_t fd_count);
/* The answer, and the end of `call` whatever this returns. `status`: 100 … or >= 1000 when it worked, 2xx or 3xx when not; `text` may be NULL. -208 body too large (the caller is told 208),
 * -303 the connection it came over has ended. */
IPCNET_API int ipcnet_call_answer(struct ipcnet_call *call, int status, const char *text, const void *body, size_t body_bytes, const int *fds, uint32_t fd_count);
/* The same in JSON: status 100 and `json` (NULL = none) converted to CBOR. -209 it is not JSON; the call is then still open. */
IPCNET_API int ipcnet_call_answer_json(struct ipcnet_call *call, const char *json);
/* The call's body as JSON text, to be freed with ipcnet_free; "null" without one; NULL when there is no memory. */
IPCNET_API char *ipcnet_call_json(const struct ipcnet_call *call);

/* ------------------------------------------- components, resources, end -- */

/* Says about this program what it wants to say: a CBOR map such as {version, description}; waits. */
IPCNET_API int ipcnet_announce(struct ipcnet_client *client, const void *component, size_t component_bytes);
/* Lists "components", "topics", "services" or "resources" under `pattern` (NULL: all) as a CBOR array; waits. */
IPCNET_API int ipcnet_find(struct ipcnet_client *client, const char *what, const char *pattern, struct ipcnet_reply *reply);
/* Asks for a resource (a device, a directory, a connected socket); waits. Returns the descriptor, the caller's to close. `mode`: "read", "write", "readWrite"; NULL: the resource's own. */
IPCNET_API int ipcnet_grant(struct ipcnet_client *client, const char *resource, const char *mode);
/* This program goes in deadline_ms: no new calls come, running ones may finish; waits. */
IPCNET_API int ipcnet_leaving(struct ipcnet_client *client, uint32_t deadline_ms, const char *text);
/* Answers on_leaving: prepared; waits. */
IPCNET_API int ipcnet_ready(struct ipcnet_client *client);
/* Asks for more time; waits. Returns the deadline that holds now, ms from now. */
IPCNET_API int ipcnet_more_time(struct ipcnet_client *client, uint32_t for_ms);

/* ------------------------------------------------------------------ CBOR -- */

/* Writes CBOR into the caller's buffer, or, with a NULL buffer, into one that grows on the heap. Faults stick: check once, at the end. */
struct ipcnet_cbor_writer { /* 40 bytes; the fields are the library's */
  uint8_t *bytes;
  size_t length;
  size_t capacity;
  size_t length_max;
  uint32_t fault;
  uint32_t grows;
};

/* `buffer` of `capacity` bytes, or NULL and the most that it may grow to (0: 256 KiB, the largest control message). */
IPCNET_API void ipcnet_cbor_begin(struct ipcnet_cbor_writer *writer, void *buffer, size_t capacity);
/* To be followed by `count` items, or by `count` keys and values. */
IPCNET_API void ipcnet_cbor_array(struct ipcnet_cbor_writer *writer, uint64_t count);
IPCNET_API void ipcnet_cbor_map(struct ipcnet_cbor_writer *writer, uint64_t count);
IPCNET_API void ipcnet_cbor_text(struct ipcnet_cbor_writer *writer, const char *text);
IPCNET_API void ipcnet_cbor_text_of(struct ipcnet_cbor_writer *writer, const char *text, size_t length);
IPCNET_API void ipcnet_cbor_bytes(struct ipcnet_cbor_writer *writer, const void *bytes, size_t length);
IPCNET_API void ipcnet_cbor_integer(struct ipcnet_cbor_writer *writer, int64_t value);
IPCNET_API void ipcnet_cbor_unsigned(struct ipcnet_cbor_writer *writer, uint64_t value);
/* A whole number within +-2^53 as an integer, any other as binary64: as the TypeScript client does. */
IPCNET_API void ipcnet_cbor_number(struct ipcnet_cbor_writer *writer, double value);
IPCNET_API void ipcnet_cbor_boolean(struct ipcnet_cbor_writer *writer, int value);
IPCNET_API void ipcnet_cbor_null(struct ipcnet_cbor_writer *writer);
/* Bytes that are CBOR already. */
IPCNET_API void ipcnet_cbor_raw(struct ipcnet_cbor_writer *writer, const void *cbor, size_t length);
/* The length of what was written, bytes `writer->bytes`; -208 it did not fit, -305 no memory, -209 not exactly one value (counts that do not fit, a text that is not UTF-8). */
IPCNET_API int ipcnet_cbor_finish(struct ipcnet_cbor_writer *writer);
/* Frees a buffer that grew. */
IPCNET_API void ipcnet_cbor_end(struct ipcnet_cbor_writer *writer);

/* One value: exactly its bytes, checked once by ipcnet_cbor_open. */
struct ipcnet_cbor { /* 16 bytes */
  const uint8_t *bytes;
  size_t length;
};

enum ipcnet_cbor_type {
  IPCNET_CBOR_NONE = 0, /* no value (an empty struct ipcnet_cbor) */
  IPCNET_CBOR_INTEGER = 1, IPCNET_CBOR_FLOAT = 2, IPCNET_CBOR_TEXT = 3, IPCNET_CBOR_BYTES = 4, IPCNET_CBOR_ARRAY = 5, IPCNET_CBOR_MAP = 6,
  IPCNET_CBOR_BOOLEAN = 7, IPCNET_CBOR_NULL = 8, IPCNET_CBOR_UNDEFINED = 9,
};

/* Checks that `bytes` are exactly one value (nesting at most 32, valid UTF-8, text keys, none twice): 0 and *value, or -200. All functions below are given values that came from here. */
IPCNET_API int ipcnet_cbor_open(const void *bytes, size_t length, struct ipcnet_cbor *value);
/* Tags are skipped. */
IPCNET_API int ipcnet_cbor_type(struct ipcnet_cbor value);
/* The value at `key` of a map: 1, or 0 and an empty *found. */
IPCNET_API int ipcnet_cbor_get(struct ipcnet_cbor map, const char *key, struct ipcnet_cbor *found);
/* Steps through an array or a map: begin with *position 0; 1 and the item (of a map also its key), or 0 at the end or when it is neither. `key` may be NULL. */
IPCNET_API int ipcnet_cbor_next(struct ipcnet_cbor container, size_t *position, struct ipcnet_cbor *key, struct ipcnet_cbor *item);
/* Items of an array, entries of a map, else 0. */
IPCNET_API uint64_t ipcnet_cbor_count(struct ipcnet_cbor container);
/* 1 and the value, or 0 (and *out untouched) when it is of another type or does not fit. Numbers: an integer is also a double; a whole float is also an integer. */
IPCNET_API int ipcnet_cbor_to_integer(struct ipcnet_cbor value, int64_t *out);
IPCNET_API int ipcnet_cbor_to_unsigned(struct ipcnet_cbor value, uint64_t *out);
IPCNET_API int ipcnet_cbor_to_double(struct ipcnet_cbor value, double *out);
IPCNET_API int ipcnet_cbor_to_boolean(struct ipcnet_cbor value, int *out);
/* Copies a text with its final zero, or bytes: its length (more than strlen when the text has a zero inside), or -208 it does not fit, -209 of another type. `buffer` NULL: only the length. */
IPCNET_API int64_t ipcnet_cbor_to_text(struct ipcnet_cbor value, char *buffer, size_t capacity);
IPCNET_API int64_t ipcnet_cbor_to_bytes(struct ipcnet_cbor value, void *buffer, size_t capacity);
/* Where a text or byte string stands, without copying (no final zero): 1, or 0 when it is of another type or in pieces. */
IPCNET_API int ipcnet_cbor_view(struct ipcnet_cbor value, const uint8_t **bytes, size_t *length);
/* For maps: ipcnet_cbor_get and the conversion in one. */
IPCNET_API int ipcnet_cbor_get_integer(struct ipcnet_cbor map, const char *key, int64_t *out);
IPCNET_API int ipcnet_cbor_get_double(struct ipcnet_cbor map, const char *key, double *out);

/* Appends a JSON text as CBOR: 0, or -209 it is not JSON (or nested deeper than 32). */
IPCNET_API int ipcnet_cbor_from_json(struct ipcnet_cbor_writer *writer, const char *json, size_t length);
/* JSON text of a value, to be freed with ipcnet_free; byte strings as base64url, undefined and NaN as null. NULL: no memory. */
IPCNET_API char *ipcnet_cbor_to_json(struct ipcnet_cbor value);

#ifdef __cplusplus
}
#if defined(__GNUC__)
#pragma GCC diagnostic pop
#endif
#endif

#endif
