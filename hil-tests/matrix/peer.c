/* The matrix in C: `peer_c write SOCKET CASES NAME READERS`, `peer_c read SOCKET CASES NAME WRITER` `peer_c plain SOCKET CASES NAME -` or `peer_c guest SOCKET CASES NAME -`. README.md says what each does; JSON lines on stdout. */
#include "ipcnet_media.h"
#include "peer.h"
#include "sealed_file.h"

#include <inttypes.h>
#include <sys/mman.h>

enum { TOPICS_MAX = 32, FIELDS_MAX = 32, INPUTS_MAX = 8, STREAMS_MAX = 64, CALLERS_MAX = 64, NAME_BYTES = 128 };

static struct ipcnet_client *client;
static struct ipcnet_cbor cases;

static int check(int status, const char *what) {
  if (status < 0) peer_fail(what, ipcnet_last_error_text(client));
  return status;
}

static const char *name_of(char *buffer, const char *owner, const char *what) {
  snprintf(buffer, NAME_BYTES, "matrix/%s/%s", owner, what);
  return buffer;
}

/* ------------------------------------------------------------ advertising -- */

static uint32_t fields_of(struct ipcnet_cbor topic, struct ipcnet_field_definition *fields, char (*texts)[2][32]) {
  static const char *const types[] = { "", "f64", "f32", "i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64" };
  struct ipcnet_cbor field;
  size_t position = 0;
  uint32_t count = 0;
  while (count < FIELDS_MAX && ipcnet_cbor_next(peer_get(topic, "fields"), &position, NULL, &field)) {
    char type[8];
    memset(&fields[count], 0, sizeof fields[count]);
    fields[count].name = peer_text(field, "name", texts[count][0], sizeof texts[count][0]);
    fields[count].unit = peer_text(field, "unit", texts[count][1], sizeof texts[count][1]);
    ipcnet_cbor_get_double(field, "minimum", &fields[count].minimum);
    ipcnet_cbor_get_double(field, "maximum", &fields[count].maximum);
    peer_text(field, "type", type, sizeof type);
    for (uint8_t i = IPCNET_FIELD_F64; i <= IPCNET_FIELD_U64; i++) {
      if (strcmp(types[i], type) == 0) fields[count].type = i;
    }
    count++;
  }
  return count;
}

/* The client's result. */
static int advertise(const char *name, struct ipcnet_cbor topic, struct ipcnet_writer **writer) {
  char encoding[16], policy[16], texts[FIELDS_MAX][2][32];
  struct ipcnet_field_definition fields[FIELDS_MAX];
  struct ipcnet_advertise_options options = { 0 };
  char *schema = peer_has(topic, "jsonSchema") ? ipcnet_cbor_to_json(peer_get(topic, "jsonSchema")) : NULL;
  options.encoding = peer_text(topic, "encoding", encoding, sizeof encoding);
  options.fields = fields;
  options.field_count = fields_of(topic, fields, texts);
  options.json_schema = schema;
  options.payload_bytes_max = (uint64_t)peer_integer(topic, "payloadBytesMax", 0);
  options.queue = (uint32_t)peer_integer(topic, "queue", 0);
  options.policy = strcmp(peer_text(topic, "policy", policy, sizeof policy), "lossless") == 0 ? IPCNET_LOSSLESS : IPCNET_QUEUE;
  options.deadline_ms = options.policy == IPCNET_LOSSLESS ? 20000 : 0;
  const int status = ipcnet_advertise(client, name, &options, writer);
  ipcnet_free(schema);
  return status;
}

/* -------------------------------------------------------------- publishing -- */

struct inputs {
  uint32_t count;
  struct {
    struct ipcnet_lineage lineage;
    uint8_t cbor[64];
    size_t length;
  } all[INPUTS_MAX];
};

static void take_input(void *context, const struct ipcnet_message *message) {
  struct inputs *inputs = context;
  if (inputs->count == INPUTS_MAX || message->payload_bytes > sizeof inputs->all[0].cbor) peer_fail("matrix/input", "too many or too large");
  ipcnet_lineage_of(message, &inputs->all[inputs->count].lineage);
  memcpy(inputs->all[inputs->count].cbor, message->payload, message->payload_bytes);
  inputs->all[inputs->count++].length = message->payload_bytes;
}

static void publish(struct ipcnet_writer *writer, const void *payload, size_t length, const struct ipcnet_meta *meta) {
  int status;
  while ((status = ipcnet_writer_publish(writer, payload, length, meta)) == -IPCNET_TOO_MANY_REQUESTS) ipcnet_writer_wait(writer, 1000);
  check(status, "publish");
}

static void publish_record(struct ipcnet_writer *writer, struct ipcnet_cbor value, const struct ipcnet_meta *meta) {
  uint64_t record[64] = { 0 };
  const struct ipcnet_topic *topic = ipcnet_writer_topic(writer);
  const uint32_t bytes = ipcnet_record_bytes(topic);
  for (uint32_t i = 0; i < ipcnet_field_count(topic); i++) {
    struct ipcnet_field field;
    int64_t integer;
    double number;
    ipcnet_field_at(topic, i, &field);
    if (field.type > IPCNET_FIELD_F32 && ipcnet_cbor_get_integer(value, field.name, &integer)) check(ipcnet_field_set_integer(&field, record, bytes, integer), field.name);
    else if (ipcnet_cbor_get_double(value, field.name, &number)) check(ipcnet_field_set_double(&field, record, bytes, number), field.name);
  }
  publish(writer, record, bytes, meta);
}

static void publish_value(struct ipcnet_writer *writer, struct ipcnet_cbor value, const struct ipcnet_meta *meta) {
  switch (ipcnet_topic_encoding(ipcnet_writer_topic(writer))) {
    case IPCNET_ENCODING_RECORD:
      publish_record(writer, value, meta);
      break;
    case IPCNET_ENCODING_CBOR:
      publish(writer, value.bytes, value.length, meta);
      break;
    default: {
      char *json = ipcnet_cbor_to_json(value);
      check(ipcnet_writer_publish_json(writer, json, meta), "publish_json");
      ipcnet_free(json);
    }
  }
}

/* Header and data are made in the lane itself. */
static void publish_tensor(struct ipcnet_writer *writer, struct ipcnet_cbor one) {
  struct ipcnet_media_tensor tensor = { 0 };
  void *room;
  const struct ipcnet_cbor type = peer_get(one, "type"), shape = peer_get(one, "shape"), strides = peer_get(one, "strides");
  tensor.code = (uint8_t)peer_at(type, 0);
  tensor.bits = (uint8_t)peer_at(type, 1);
  tensor.lanes = (uint16_t)peer_at(type, 2);
  tensor.dimensions = (uint32_t)ipcnet_cbor_count(shape);
  for (uint32_t i = 0; i < tensor.dimensions; i++) {
    tensor.shape[i] = (uint64_t)peer_at(shape, i);
    tensor.strides[i] = (uint64_t)peer_at(strides, i);
  }
  tensor.data_bytes = (uint64_t)peer_integer(one, "dataBytes", 0);
  check(ipcnet_writer_loan(writer, IPCNET_MEDIA_TENSOR_BYTES + tensor.data_bytes, 0, &room), "loan");
  if (ipcnet_media_tensor_encode(&tensor, room) != 0) peer_fail("tensor", "is refused");
  peer_pattern((uint32_t)peer_integer(one, "seed", 0), (uint8_t *)room + IPCNET_MEDIA_TENSOR_BYTES, tensor.data_bytes);
  check(ipcnet_writer_commit(writer, IPCNET_MEDIA_TENSOR_BYTES + tensor.data_bytes, NULL), "commit");
}

static void publish_frame(struct ipcnet_writer *writer, struct ipcnet_cbor one) {
  struct ipcnet_media_video video = { 0 };
  struct ipcnet_cbor plane;
  size_t position = 0;
  char fourcc[5];
  void *room;
  memcpy(video.fourcc, peer_text(one, "fourcc", fourcc, sizeof fourcc), 4);
  video.key_frame = 1;
  video.width = (uint32_t)peer_integer(one, "width", 0);
  video.height = (uint32_t)peer_integer(one, "height", 0);
  video.pts_ns = peer_integer(one, "ptsNs", 0);
  while (ipcnet_cbor_next(peer_get(one, "planes"), &position, NULL, &plane)) {
    struct ipcnet_media_plane *out = &video.planes[video.plane_count++];
    out->offset_bytes = (uint32_t)peer_at(plane, 0);
    out->stride_bytes = (uint32_t)peer_at(plane, 1);
    out->row_bytes = (uint32_t)peer_at(plane, 2);
    out->rows = (uint32_t)peer_at(plane, 3);
  }
  video.data_bytes = (uint64_t)peer_integer(one, "dataBytes", 0);
  check(ipcnet_writer_loan(writer, IPCNET_MEDIA_VIDEO_BYTES + video.data_bytes, 0, &room), "loan");
  if (ipcnet_media_video_encode(&video, room) != 0) peer_fail("frame", "is refused");
  peer_pattern((uint32_t)peer_integer(one, "seed", 0), (uint8_t *)room + IPCNET_MEDIA_VIDEO_BYTES, video.data_bytes);
  check(ipcnet_writer_commit(writer, IPCNET_MEDIA_VIDEO_BYTES + video.data_bytes, NULL), "commit");
}

static void publish_inputs(struct ipcnet_writer *writer, const struct inputs *inputs) {
  for (uint32_t i = 0; i < inputs->count; i++) {
    uint8_t bytes[128];
    struct ipcnet_cbor_writer cbor;
    struct ipcnet_meta meta = { 0 };
    ipcnet_cbor_begin(&cbor, bytes, sizeof bytes);
    ipcnet_cbor_map(&cbor, 1);
    ipcnet_cbor_text(&cbor, "from");
    ipcnet_cbor_raw(&cbor, inputs->all[i].cbor, inputs->all[i].length);
    meta.lineage = &inputs->all[i].lineage;
    meta.lineage_count = 1;
    publish(writer, bytes, (size_t)check(ipcnet_cbor_finish(&cbor), "cbor"), &meta);
  }
}

static void publish_patterns(struct ipcnet_writer *writer, struct ipcnet_cbor topic) {
  struct ipcnet_cbor one;
  size_t position = 0;
  while (ipcnet_cbor_next(peer_get(topic, "patterns"), &position, NULL, &one)) {
    const size_t length = (size_t)peer_integer(one, "length", 0);
    uint8_t *bytes = malloc(length + 1);
    if (bytes == NULL) peer_fail("pattern", "no memory");
    peer_pattern((uint32_t)peer_integer(one, "seed", 0), bytes, length);
    publish(writer, bytes, length, NULL);
    free(bytes);
  }
  const struct ipcnet_cbor burst = peer_get(topic, "burst");
  const int64_t count = peer_integer(burst, "count", 0), length = peer_integer(burst, "length", 0);
  for (int64_t seed = 1; seed <= count; seed++) {
    uint8_t bytes[4096];
    peer_pattern((uint32_t)seed, bytes, (size_t)length);
    publish(writer, bytes, (size_t)length, NULL);
  }
}

static void publish_all(struct ipcnet_cbor topic, struct ipcnet_writer *writer, struct inputs *inputs) {
  const struct ipcnet_cbor options = peer_get(topic, "options");
  struct ipcnet_meta meta = { 0 };
  struct ipcnet_cbor one;
  size_t position = 0;
  if (options.length > 0) {
    meta.ttl_ms = (uint32_t)peer_integer(options, "ttlMs", 0);
    meta.quality = IPCNET_STALE;
    meta.flags = IPCNET_MESSAGE_KEY_FRAME;
  }
  while (ipcnet_cbor_next(peer_get(topic, "values"), &position, NULL, &one)) publish_value(writer, one, &meta);
  for (position = 0; ipcnet_cbor_next(peer_get(topic, "tensors"), &position, NULL, &one);) publish_tensor(writer, one);
  for (position = 0; ipcnet_cbor_next(peer_get(topic, "frames"), &position, NULL, &one);) publish_frame(writer, one);
  publish_patterns(writer, topic);
  if (peer_has(topic, "inputs")) {
    while (inputs->count < (uint32_t)peer_integer(topic, "inputs", 0)) check(ipcnet_poll(client, 100), "poll");
    publish_inputs(writer, inputs);
  }
}

/* ---------------------------------------------------------------- services -- */

struct stream {
  struct ipcnet_call *call;
  int64_t next, end; /* end 0: without end */
};

struct services {
  struct stream streams[STREAMS_MAX];
  struct {
    int32_t pid;
    int64_t count;
  } cancelled[CALLERS_MAX];
};

static int64_t *cancelled_of(struct services *services, int32_t pid) {
  for (int i = 0; i < CALLERS_MAX; i++) {
    if (services->cancelled[i].pid != 0 && services->cancelled[i].pid != pid) continue;
    services->cancelled[i].pid = pid;
    return &services->cancelled[i].count;
  }
  peer_fail("cancelled", "too many callers");
  return NULL;
}

static void on_echo(void *context, struct ipcnet_call *call) {
  struct ipcnet_call_info info;
  (void)context;
  ipcnet_call_info(call, &info);
  ipcnet_call_answer(call, IPCNET_OK, NULL, info.body, info.body_bytes, NULL, 0);
}

static void on_refuse(void *context, struct ipcnet_call *call) {
  char text[128];
  (void)context;
  const struct ipcnet_cbor refusal = peer_get(cases, "refusal");
  ipcnet_call_answer(call, (int)peer_integer(refusal, "status", 0), peer_text(refusal, "text", text, sizeof text), NULL, 0, NULL, 0);
}

/* Items as far as there is credit; the end after the last. */
static void go_on(struct stream *stream) {
  for (;;) {
    uint8_t bytes[64];
    struct ipcnet_cbor_writer cbor;
    if (stream->end > 0 && stream->next == stream->end) {
      ipcnet_call_answer(stream->call, IPCNET_OK, NULL, NULL, 0, NULL, 0);
      stream->call = NULL;
      return;
    }
    ipcnet_cbor_begin(&cbor, bytes, sizeof bytes);
    if (stream->end > 0) {
      ipcnet_cbor_map(&cbor, 2);
      ipcnet_cbor_text(&cbor, "i");
      ipcnet_cbor_integer(&cbor, stream->next);
      ipcnet_cbor_text(&cbor, "square");
      ipcnet_cbor_integer(&cbor, stream->next * stream->next);
    } else {
      ipcnet_cbor_integer(&cbor, stream->next);
    }
    if (ipcnet_call_item(stream->call, bytes, (size_t)check(ipcnet_cbor_finish(&cbor), "cbor"), NULL, 0) < 0) return;
    stream->next++;
  }
}

/* A sealed file with a pattern, to be closed. */
static int sealed_pattern(struct ipcnet_cbor one) {
  const size_t length = (size_t)peer_integer(one, "length", 0);
  uint8_t *bytes = malloc(length + 1);
  if (bytes == NULL) peer_fail("pattern", "no memory");
  peer_pattern((uint32_t)peer_integer(one, "seed", 0), bytes, length);
  const int sealed = ipcnet_sealed_file_make(NULL, bytes, length);
  free(bytes);
  return sealed;
}

static void on_handed(void *context, struct ipcnet_call *call) {
  struct ipcnet_cbor one;
  size_t position = 0;
  (void)context;
  for (uint8_t i = 0; ipcnet_cbor_next(peer_get(cases, "handed"), &position, NULL, &one); i++) {
    const int sealed = sealed_pattern(one);
    check(ipcnet_call_item(call, &i, 1, &sealed, 1), "handed");
    close(sealed);
  }
  ipcnet_call_answer(call, IPCNET_OK, NULL, NULL, 0, NULL, 0);
}

/* The context is the group's name in JSON. */
static void on_which(void *context, struct ipcnet_call *call) { ipcnet_call_answer_json(call, context); }

static struct stream *stream_of(struct services *services, const struct ipcnet_call *call) {
  for (int i = 0; i < STREAMS_MAX; i++) {
    if (services->streams[i].call == call) return &services->streams[i];
  }
  peer_fail("stream", call == NULL ? "too many" : "unknown");
  return NULL;
}

static void begin_stream(struct services *services, struct ipcnet_call *call, int64_t end) {
  struct stream *stream = stream_of(services, NULL);
  *stream = (struct stream){ call, 0, end };
  go_on(stream);
}

static void on_count(void *context, struct ipcnet_call *call) { begin_stream(context, call, peer_integer(peer_get(cases, "stream"), "count", 0)); }
static void on_endless(void *context, struct ipcnet_call *call) { begin_stream(context, call, 0); }
static void on_credit(void *context, struct ipcnet_call *call, uint32_t items) {
  (void)items;
  go_on(stream_of(context, call));
}

static void on_cancel(void *context, struct ipcnet_call *call, int status, const char *text) {
  struct services *services = context;
  struct ipcnet_call_info info;
  (void)status;
  ipcnet_call_info(call, &info);
  ++*cancelled_of(services, info.pid);
  for (int i = 0; i < STREAMS_MAX; i++) {
    if (services->streams[i].call == call) services->streams[i].call = NULL;
  }
  ipcnet_call_answer(call, IPCNET_REQUEST_TIMEOUT, text, NULL, 0, NULL, 0);
}

/* Answered by on_cancel alone. */
static void on_never(void *context, struct ipcnet_call *call) {
  (void)context;
  (void)call;
}

static void on_cancelled(void *context, struct ipcnet_call *call) {
  struct ipcnet_call_info info;
  char json[32];
  ipcnet_call_info(call, &info);
  snprintf(json, sizeof json, "%" PRId64, *cancelled_of(context, info.pid));
  ipcnet_call_answer_json(call, json);
}

/* A file's header as a byte string of CBOR. */
static size_t file_body(const char *name, const char *type, const void *content, size_t length, uint8_t *body, size_t capacity) {
  struct ipcnet_media_file file = { 0 };
  uint8_t header[IPCNET_MEDIA_FILE_BYTES];
  struct ipcnet_cbor_writer cbor;
  snprintf(file.name, sizeof file.name, "%s", name);
  snprintf(file.type, sizeof file.type, "%s", type);
  file.size_bytes = length;
  file.in_descriptor = 1;
  ipcnet_sha256(content, length, file.sha256);
  if (ipcnet_media_file_encode(&file, header) != 0) peer_fail(name, "is no file's name");
  ipcnet_cbor_begin(&cbor, body, capacity);
  ipcnet_cbor_bytes(&cbor, header, sizeof header);
  return (size_t)check(ipcnet_cbor_finish(&cbor), "cbor");
}

/* Checks header, seals, size and hash: 0 and the mapped content, to be unmapped. */
static int open_file(const uint8_t *body, size_t body_bytes, int fd, struct ipcnet_media_file *file, const void **content, size_t *length) {
  struct ipcnet_cbor value;
  const uint8_t *header;
  size_t header_bytes;
  uint8_t digest[32];
  if (ipcnet_cbor_open(body, body_bytes, &value) < 0 || !ipcnet_cbor_view(value, &header, &header_bytes)) return -1;
  if (ipcnet_media_file_decode(header, header_bytes, file) != 0 || !file->in_descriptor || ipcnet_sealed_file_map(fd, content, length) < 0) return -1;
  ipcnet_sha256(*content, *length, digest);
  return *length == file->size_bytes && memcmp(digest, file->sha256, sizeof digest) == 0 ? 0 : -1;
}

static void on_file(void *context, struct ipcnet_call *call) {
  struct ipcnet_call_info info;
  struct ipcnet_media_file file;
  const void *content;
  size_t length;
  uint8_t body[IPCNET_MEDIA_FILE_BYTES + 16];
  char name[300];
  (void)context;
  ipcnet_call_info(call, &info);
  if (info.fd_count != 1 || open_file(info.body, info.body_bytes, info.fds[0], &file, &content, &length) < 0) {
    ipcnet_call_answer(call, IPCNET_INTEGRITY_FAILURE, "this is not the file that its header names", NULL, 0, NULL, 0);
    return;
  }
  uint8_t *turned = malloc(length);
  if (turned == NULL) peer_fail("file", "no memory");
  for (size_t i = 0; i < length; i++) turned[i] = ((const uint8_t *)content)[i] ^ 0xff;
  munmap((void *)(uintptr_t)content, length);
  const int sealed = ipcnet_sealed_file_make(NULL, turned, length);
  snprintf(name, sizeof name, "turned %s", file.name);
  ipcnet_call_answer(call, IPCNET_OK, NULL, body, file_body(name, file.type, turned, length, body, sizeof body), &sealed, 1);
  close(sealed);
  free(turned);
}

static void offer(const char *owner, const char *service, void (*on_call)(void *, struct ipcnet_call *), struct services *services) {
  char name[NAME_BYTES];
  struct ipcnet_offer *offer;
  const struct ipcnet_offer_options options = { .context = services, .on_call = on_call, .on_cancel = on_cancel, .on_credit = on_credit, .capacity = 8 };
  check(ipcnet_offer(client, name_of(name, owner, service), &options, &offer), service);
}

static void run_writer(const char *owner, uint32_t readers) {
  struct services services = { 0 };
  struct inputs inputs = { 0 };
  struct ipcnet_writer *writers[TOPICS_MAX];
  struct ipcnet_cbor topic;
  size_t position;
  uint32_t count = 0;
  char name[NAME_BYTES], last[64];
  offer(owner, "echo", on_echo, &services);
  offer(owner, "refuse", on_refuse, &services);
  offer(owner, "count", on_count, &services);
  offer(owner, "endless", on_endless, &services);
  offer(owner, "handed", on_handed, &services);
  for (position = 0; ipcnet_cbor_next(peer_get(cases, "groups"), &position, NULL, &topic);) {
    char group[32];
    const struct ipcnet_offer_options which = { .context = ipcnet_cbor_to_json(topic), .on_call = on_which, .group = group, .capacity = 8 };
    if (ipcnet_cbor_to_text(topic, group, sizeof group) < 0) peer_fail("groups", "too long");
    check(ipcnet_offer(client, name_of(name, owner, "which"), &which, NULL), "which");
  }
  offer(owner, "never", on_never, &services);
  offer(owner, "cancelled", on_cancelled, &services);
  offer(owner, "file", on_file, &services);
  const struct ipcnet_subscribe_options options = { .context = &inputs, .on_message = take_input, .policy = IPCNET_QUEUE };
  check(ipcnet_subscribe(client, "matrix/input", &options, NULL), "matrix/input");
  for (position = 0; ipcnet_cbor_next(peer_get(cases, "topics"), &position, NULL, &topic); count++) {
    check(advertise(name_of(name, owner, peer_text(topic, "name", last, sizeof last)), topic, &writers[count]), last);
  }
  printf("{\"advertised\":%u}\n", count);
  for (uint32_t i = 0; i < count; i++) {
    while (ipcnet_writer_readers(writers[i]) < readers) check(ipcnet_poll(client, 100), "poll");
  }
  count = 0;
  for (position = 0; ipcnet_cbor_next(peer_get(cases, "topics"), &position, NULL, &topic); count++) publish_all(topic, writers[count], &inputs);
  printf("{\"published\":true}\n");
  for (;;) {
    check(ipcnet_poll(client, 0), "poll");
    peer_wait(client, -1);
  }
}

/* ----------------------------------------------------------------- reading -- */

struct receiver {
  struct ipcnet_cbor topic;
  char name[64];
  int64_t total;
  uint64_t lost;
  uint64_t *sequences; /* of a burst, with its payloads */
  uint64_t count;
  uint8_t *payloads;
  size_t payload_bytes;
  int done;
};

static void print_media(const struct ipcnet_message *message) {
  const int encoding = ipcnet_topic_encoding(message->topic);
  if (encoding == IPCNET_ENCODING_TENSOR) {
    struct ipcnet_media_tensor tensor;
    if (ipcnet_media_tensor_decode(message->payload, message->payload_bytes, &tensor) != 0) peer_fail("tensor", "is none");
    printf("{\"type\":[%u,%u,%u],\"shape\":[", tensor.code, tensor.bits, tensor.lanes);
    for (uint32_t i = 0; i < tensor.dimensions; i++) printf("%s%" PRIu64, i > 0 ? "," : "", tensor.shape[i]);
    printf("],\"strides\":[");
    for (uint32_t i = 0; i < tensor.dimensions; i++) printf("%s%" PRIu64, i > 0 ? "," : "", tensor.strides[i]);
    printf("],\"sha\":\"%s\"}", peer_sha(tensor.data, tensor.data_bytes).text);
  } else if (encoding == IPCNET_ENCODING_VIDEO) {
    struct ipcnet_media_video video;
    if (ipcnet_media_video_decode(message->payload, message->payload_bytes, &video) != 0) peer_fail("frame", "is none");
    printf("{\"fourcc\":\"%.4s\",\"width\":%u,\"height\":%u,\"ptsNs\":%" PRId64 ",\"planes\":[", video.fourcc, video.width, video.height, video.pts_ns);
    for (uint32_t i = 0; i < video.plane_count; i++) printf("%s[%u,%u,%u,%u]", i > 0 ? "," : "", video.planes[i].offset_bytes, video.planes[i].stride_bytes, video.planes[i].row_bytes, video.planes[i].rows);
    printf("],\"sha\":\"%s\"}", peer_sha(video.data, video.data_bytes).text);
  } else if (encoding == IPCNET_ENCODING_BYTES) {
    printf("null");
  } else {
    char *json = ipcnet_message_json(message);
    if (json == NULL) peer_fail(ipcnet_topic_name(message->topic), "is not what its topic says");
    printf("%s", json);
    ipcnet_free(json);
  }
}

static void print_message(const char *name, const struct ipcnet_message *message) {
  static const char *const qualities[] = { "good", "stale", "bad" };
  printf("{\"case\":\"%s\",\"sequence\":%" PRIu64 ",\"lost\":%" PRIu64 ",\"origin\":\"%s\",\"quality\":\"%s\",\"ttlMs\":%u,\"keyFrame\":%s,\"bytes\":%zu,\"sha\":\"%s\"", name, message->sequence, message->lost_before,
    message->origin, qualities[message->quality], message->ttl_ms, (message->flags & IPCNET_MESSAGE_KEY_FRAME) != 0 ? "true" : "false", message->payload_bytes, peer_sha(message->payload, message->payload_bytes).text);
  printf(",\"ageMs\":%.6f,\"wallAgeMs\":%.6f,\"lineage\":[", (double)(peer_clock_ns(CLOCK_MONOTONIC) - (int64_t)message->time_ns) / 1e6, (double)(peer_clock_ns(CLOCK_REALTIME) - message->wall_time_ns) / 1e6);
  for (uint32_t i = 0; i < message->lineage_count; i++) {
    const struct ipcnet_lineage *entry = &message->lineage[i];
    printf("%s[\"%016" PRIx64 "\",\"%016" PRIx64 "\",%" PRIu64 "]", i > 0 ? "," : "", entry->origin, entry->topic, entry->sequence);
  }
  printf("],\"value\":");
  print_media(message);
  printf("}\n");
}

static void take_burst(struct receiver *self, const struct ipcnet_message *message) {
  self->sequences[self->count++] = message->sequence;
  memcpy(self->payloads + self->payload_bytes, message->payload, message->payload_bytes);
  self->payload_bytes += message->payload_bytes;
  if (!self->done) return;
  printf("{\"case\":\"%s\",\"sequences\":[", self->name);
  for (uint64_t i = 0; i < self->count; i++) printf("%s%" PRIu64, i > 0 ? "," : "", self->sequences[i]);
  printf("],\"lost\":%" PRIu64 ",\"sha\":\"%s\"}\n", self->lost, peer_sha(self->payloads, self->payload_bytes).text);
}

static void on_message(void *context, const struct ipcnet_message *message) {
  struct receiver *self = context;
  self->lost += message->lost_before;
  self->done = (int64_t)message->sequence >= self->total;
  if (self->sequences != NULL) take_burst(self, message);
  else print_message(self->name, message);
}

static void receive(struct receiver *self, const char *writer, struct ipcnet_cbor topic) {
  char name[NAME_BYTES], policy[16];
  struct ipcnet_subscribe_options options = { .context = self, .on_message = on_message, .policy = IPCNET_QUEUE, .queue = 4096 };
  self->topic = topic;
  self->total = peer_messages(topic);
  peer_text(topic, "name", self->name, sizeof self->name);
  if (peer_has(topic, "burst")) {
    self->sequences = calloc((size_t)self->total, sizeof *self->sequences);
    self->payloads = malloc((size_t)(self->total * peer_integer(peer_get(topic, "burst"), "length", 0)));
    if (self->sequences == NULL || self->payloads == NULL) peer_fail("burst", "no memory");
  }
  if (strcmp(peer_text(topic, "policy", policy, sizeof policy), "lossless") == 0) options.policy = IPCNET_LOSSLESS;
  check(ipcnet_subscribe(client, name_of(name, writer, self->name), &options, NULL), name);
}

static void try_to_advertise(const char *writer, struct ipcnet_cbor topic, const char *key, const char *name) {
  char whole[NAME_BYTES];
  struct ipcnet_writer *mine = NULL;
  const int status = advertise(name_of(whole, writer, name), topic, &mine);
  printf("{\"%s\":\"%s\",\"advertised\":%d}\n", key, name, status < 0 ? -status : IPCNET_OK);
  if (status >= 0) ipcnet_writer_close(mine);
}

/* The outcome of a call with a body in JSON, which it frees; a refusal has a text instead. */
static void answered(const char *call, int status, char *json, const char *text) {
  if (status < 0) printf("{\"call\":\"%s\",\"status\":%d,\"text\":\"%s\"}\n", call, -status, text == NULL ? "" : text);
  else printf("{\"call\":\"%s\",\"status\":100,\"body\":%s}\n", call, json == NULL ? "null" : json);
  ipcnet_free(json);
}

static char *json_of(const uint8_t *body, size_t length) {
  struct ipcnet_cbor value;
  return body != NULL && ipcnet_cbor_open(body, length, &value) == 0 ? ipcnet_cbor_to_json(value) : NULL;
}

static void ask(const char *call, const char *service, const void *body, size_t body_bytes, uint32_t timeout_ms) {
  const struct ipcnet_request_options options = { .timeout_ms = timeout_ms };
  struct ipcnet_reply reply;
  const int status = ipcnet_request(client, service, body, body_bytes, &options, &reply);
  answered(call, status, json_of(reply.body, reply.body_bytes), reply.text);
  ipcnet_reply_free(&reply);
}

static void ask_bytes(const char *service) {
  const struct ipcnet_cbor wanted = peer_get(cases, "bytes");
  const size_t length = (size_t)peer_integer(wanted, "length", 0);
  struct ipcnet_cbor_writer cbor;
  struct ipcnet_cbor value;
  struct ipcnet_reply reply;
  const uint8_t *back;
  size_t back_bytes;
  uint8_t *bytes = malloc(length);
  if (bytes == NULL) peer_fail("bytes", "no memory");
  peer_pattern((uint32_t)peer_integer(wanted, "seed", 0), bytes, length);
  ipcnet_cbor_begin(&cbor, NULL, 0);
  ipcnet_cbor_bytes(&cbor, bytes, length);
  check(ipcnet_cbor_finish(&cbor), "cbor");
  check(ipcnet_request(client, service, cbor.bytes, cbor.length, NULL, &reply), service);
  if (ipcnet_cbor_open(reply.body, reply.body_bytes, &value) < 0 || !ipcnet_cbor_view(value, &back, &back_bytes)) peer_fail(service, "gave no bytes");
  printf("{\"call\":\"bytes\",\"status\":100,\"body\":\"%s\"}\n", peer_sha(back, back_bytes).text);
  ipcnet_reply_free(&reply);
  ipcnet_cbor_end(&cbor);
  free(bytes);
}

/* Takes items to the end, or cancels after `items_max`. */
static void ask_stream(const char *call, const char *service, uint32_t credit, int64_t items_max) {
  const struct ipcnet_request_options options = { .credit = credit };
  struct ipcnet_reply item;
  int status = 0, more;
  int64_t items = 0;
  const int number = check(ipcnet_request_start(client, service, NULL, 0, &options, NULL, NULL, NULL), service);
  printf("{\"call\":\"%s\",\"body\":[", call);
  while ((more = ipcnet_request_next(client, (uint32_t)number, &item, &status, 20000)) == 1) {
    if (items_max == 0 || items < items_max) {
      char *json = json_of(item.body, item.body_bytes);
      printf("%s%s", items > 0 ? "," : "", json);
      ipcnet_free(json);
      ipcnet_request_credit(client, (uint32_t)number, 1);
    }
    ipcnet_reply_free(&item);
    if (++items == items_max) ipcnet_request_cancel(client, (uint32_t)number);
  }
  check(more, service);
  ipcnet_reply_free(&item);
  /* A stream that was left ends with 204. */
  printf("],\"status\":%d}\n", items_max > 0 && status == -IPCNET_REQUEST_TIMEOUT ? IPCNET_OK : status < 0 ? -status : status);
}

static void ask_group(const char *service, const char *group) {
  const struct ipcnet_request_options options = { .group = group };
  struct ipcnet_reply reply;
  char call[64];
  const int status = ipcnet_request(client, service, NULL, 0, &options, &reply);
  snprintf(call, sizeof call, "which %s", group);
  answered(call, status, json_of(reply.body, reply.body_bytes), reply.text);
  ipcnet_reply_free(&reply);
}

static void ask_handed(const char *service) {
  const struct ipcnet_request_options options = { .credit = (uint32_t)ipcnet_cbor_count(peer_get(cases, "handed")) };
  struct ipcnet_reply item;
  int status = 0, more;
  const int number = check(ipcnet_request_start(client, service, NULL, 0, &options, NULL, NULL, NULL), service);
  printf("{\"call\":\"handed\",\"body\":[");
  for (int items = 0; (more = ipcnet_request_next(client, (uint32_t)number, &item, &status, 20000)) == 1; items++) {
    const void *content = NULL;
    size_t length = 0;
    char *json = json_of(item.body, item.body_bytes);
    if (item.fd_count != 1 || ipcnet_sealed_file_map(item.fds[0], &content, &length) < 0) peer_fail(service, "gave no file");
    printf("%s{\"i\":%s,\"sha\":\"%s\"}", items > 0 ? "," : "", json, peer_sha(content, length).text);
    if (length > 0) munmap((void *)(uintptr_t)content, length);
    ipcnet_free(json);
    ipcnet_reply_free(&item);
  }
  check(more, service);
  ipcnet_reply_free(&item);
  printf("],\"status\":%d}\n", status < 0 ? -status : status);
}

static void ask_file(const char *service) {
  const struct ipcnet_cbor wanted = peer_get(cases, "file");
  const size_t length = (size_t)peer_integer(wanted, "length", 0);
  char name[128], type[64];
  uint8_t body[IPCNET_MEDIA_FILE_BYTES + 16];
  struct ipcnet_media_file file;
  struct ipcnet_reply reply;
  const void *got;
  size_t got_bytes;
  uint8_t *content = malloc(length);
  if (content == NULL) peer_fail("file", "no memory");
  peer_pattern((uint32_t)peer_integer(wanted, "seed", 0), content, length);
  const size_t body_bytes = file_body(peer_text(wanted, "name", name, sizeof name), peer_text(wanted, "type", type, sizeof type), content, length, body, sizeof body);
  const int sealed = ipcnet_sealed_file_make(NULL, content, length);
  const struct ipcnet_request_options options = { .fds = &sealed, .fd_count = 1 };
  check(ipcnet_request(client, service, body, body_bytes, &options, &reply), service);
  if (reply.fd_count != 1 || open_file(reply.body, reply.body_bytes, reply.fds[0], &file, &got, &got_bytes) < 0) peer_fail(service, "gave no file");
  printf("{\"call\":\"file\",\"status\":100,\"body\":{\"name\":\"%s\",\"type\":\"%s\",\"size\":%zu,\"sha\":\"%s\"}}\n", file.name, file.type, got_bytes, peer_sha(got, got_bytes).text);
  munmap((void *)(uintptr_t)got, got_bytes);
  ipcnet_reply_free(&reply);
  close(sealed);
  free(content);
}

static void call_all(const char *writer) {
  char service[NAME_BYTES], call[16];
  struct ipcnet_cbor body;
  size_t position = 0;
  int64_t cancelled = 0;
  for (int i = 0; ipcnet_cbor_next(peer_get(cases, "echoes"), &position, NULL, &body); i++) {
    snprintf(call, sizeof call, "echo %d", i);
    ask(call, name_of(service, writer, "echo"), body.bytes, body.length, 0);
  }
  ask_bytes(service);
  ask("refuse", name_of(service, writer, "refuse"), NULL, 0, 0);
  ask_stream("count", name_of(service, writer, "count"), (uint32_t)peer_integer(peer_get(cases, "stream"), "credit", 1), 0);
  ask_group(name_of(service, writer, "which"), "nobody");
  for (position = 0; ipcnet_cbor_next(peer_get(cases, "groups"), &position, NULL, &body);) {
    char group[32];
    if (ipcnet_cbor_to_text(body, group, sizeof group) < 0) peer_fail("groups", "too long");
    ask_group(service, group);
  }
  ask_handed(name_of(service, writer, "handed"));
  ask_stream("endless", name_of(service, writer, "endless"), 4, peer_integer(cases, "cancelAfter", 0));
  ask("never", name_of(service, writer, "never"), NULL, 0, (uint32_t)peer_integer(cases, "deadlineMs", 0));
  while (cancelled != 2) {
    struct ipcnet_reply reply;
    struct ipcnet_cbor value;
    check(ipcnet_request(client, name_of(service, writer, "cancelled"), NULL, 0, NULL, &reply), service);
    if (ipcnet_cbor_open(reply.body, reply.body_bytes, &value) == 0) ipcnet_cbor_to_integer(value, &cancelled);
    ipcnet_reply_free(&reply);
    if (cancelled != 2) check(ipcnet_poll(client, 5), "poll");
  }
  printf("{\"call\":\"cancelled\",\"status\":100,\"body\":true}\n");
  ask_file(name_of(service, writer, "file"));
}

static void run_reader(const char *writer) {
  static struct receiver receivers[TOPICS_MAX];
  struct ipcnet_cbor one;
  size_t position;
  char name[64];
  uint32_t count = 0;
  for (position = 0; ipcnet_cbor_next(peer_get(cases, "topics"), &position, NULL, &one); count++) receive(&receivers[count], writer, one);
  printf("{\"subscribed\":true}\n");
  for (uint32_t i = 0; i < count; i++) {
    while (!receivers[i].done) {
      check(ipcnet_poll(client, 0), "poll");
      if (!receivers[i].done) peer_wait(client, -1);
    }
  }
  for (uint32_t i = 0; i < count; i++) try_to_advertise(writer, receivers[i].topic, "case", receivers[i].name);
  for (position = 0; ipcnet_cbor_next(peer_get(cases, "mismatches"), &position, NULL, &one);) try_to_advertise(writer, one, "mismatch", peer_text(one, "topic", name, sizeof name));
  call_all(writer);
  printf("{\"end\":true}\n");
}

static void run_plain(const char *owner) {
  char name[NAME_BYTES];
  struct ipcnet_writer *writer;
  check(ipcnet_advertise(client, name_of(name, "plain", owner), NULL, &writer), name);
  printf("{\"advertised\":1}\n");
  for (;;) {
    check(ipcnet_poll(client, 0), "poll");
    peer_wait(client, -1);
  }
}

static void on_leaving(void *context, uint32_t deadline_ms, const char *text) {
  (void)context;
  (void)text;
  printf("{\"told\":%u,\"given\":%d}\n", deadline_ms, check(ipcnet_more_time(client, deadline_ms + 2000), "more time"));
  check(ipcnet_ready(client), "ready");
  printf("{\"ready\":true}\n");
}

static void run_guest(const char *name) {
  const struct ipcnet_handlers handlers = { .on_leaving = on_leaving };
  struct ipcnet_cbor_writer cbor;
  struct ipcnet_reply reply;
  struct ipcnet_cbor list, entry;
  char notes[64], called[NAME_BYTES];
  size_t position = 0;
  ipcnet_set_handlers(client, &handlers);
  ipcnet_cbor_begin(&cbor, NULL, 0);
  check(ipcnet_cbor_from_json(&cbor, "{\"version\":\"1.2\"}", 17), "cbor");
  check(ipcnet_announce(client, cbor.bytes, (size_t)check(ipcnet_cbor_finish(&cbor), "cbor")), "announce");
  ipcnet_cbor_end(&cbor);
  const int fd = check(ipcnet_grant(client, "notes", "read"), "notes");
  const ssize_t length = read(fd, notes, sizeof notes - 1);
  close(fd);
  check(ipcnet_find(client, "components", NULL, &reply), "components");
  if (length < 0 || ipcnet_cbor_open(reply.body, reply.body_bytes, &list) < 0) peer_fail("notes or components", "cannot be read");
  while (ipcnet_cbor_next(list, &position, NULL, &entry)) {
    if (strcmp(peer_text(entry, "name", called, sizeof called), name) != 0) continue;
    char *json = ipcnet_cbor_to_json(peer_get(entry, "announced"));
    printf("{\"guest\":true,\"granted\":\"%.*s\",\"announced\":%s}\n", (int)length, notes, json);
    ipcnet_free(json);
  }
  ipcnet_reply_free(&reply);
  while (ipcnet_poll(client, 0) >= 0) peer_wait(client, -1);
}

int main(int count, char **words) {
  char name[NAME_BYTES];
  if (count != 6) peer_fail("usage", "peer_c write|read|plain|guest SOCKET CASES NAME READERS|WRITER|-");
  setvbuf(stdout, NULL, _IOLBF, 0);
  cases = peer_cases(words[3]);
  snprintf(name, sizeof name, "%s-%s", words[4], words[1]);
  const struct ipcnet_connect_options options = { .socket_path = words[2], .name = name, .timeout_ms = 20000 };
  check(ipcnet_connect(&client, &options), "connect");
  if (strcmp(words[1], "plain") == 0) run_plain(words[4]);
  else if (strcmp(words[1], "guest") == 0) run_guest(name);
  else if (strcmp(words[1], "write") == 0) run_writer(words[4], (uint32_t)atoi(words[5]));
  else run_reader(words[5]);
  ipcnet_close(client);
  return 0;
}
