/* Lanes from the writer's side. Small payloads are put into the staging memory by JavaScript, so that a publish is one call with three numbers. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lane_writer.h"
#include "lanes_glue.h"

struct writer {
  struct ipcnet_lane_writer *lane;
  struct lent loan;
};

enum { FLAG_NO_RING = 1, FLAG_META = 2 };

static struct writer *writer_of(napi_env env, struct state *self, napi_value value) {
  uint32_t id;
  return u32(env, value, &id) ? table_get(&self->lane_writers, id) : NULL;
}

/*
 * Ends a writer. With `keep_mapped` the addresses of its loan stay valid, but lead nowhere: the lane's memory itself is let go. (The lane knows no such case, so this does what destroy does up
 * to the unmapping, and destroy believes then that it runs in a forked child, which has none of the memory.)
 */
static void end_writer(struct writer *writer, int keep_mapped) {
  if (keep_mapped) {
    atomic_store_explicit(&writer->lane->parts.memory->closed, 1, memory_order_release);
    ipcnet_lane_writer_ring(writer->lane);
    (void)mmap(writer->lane->parts.memory, writer->lane->fixed.file_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0);
    writer->lane->owner = 0;
  }
  ipcnet_lane_writer_destroy(writer->lane);
  free(writer);
}

void close_lane_writers(struct state *self) {
  struct writer *writer;
  while ((writer = table_remove_any(&self->lane_writers)) != NULL) end_writer(writer, writer->loan.array_buffer != NULL);
  table_free(&self->lane_writers);
}

/* ---- creating: populating memory takes 0.6 ms per MiB, so it is done by a worker thread ---------------------------------------------- */

struct creation {
  struct state *state;
  struct ipcnet_lane_options options;
  struct ipcnet_lane_writer *lane;
  int status;
  napi_async_work work;
  napi_deferred deferred;
};

static void create_execute(napi_env env, void *data) {
  struct creation *creation = data;
  (void)env;
  creation->status = ipcnet_lane_writer_create(&creation->lane, &creation->options);
}

static int64_t adopt(struct state *self, struct ipcnet_lane_writer *lane) {
  struct writer *writer = calloc(1, sizeof *writer);
  int64_t id = writer == NULL ? -ENOMEM : table_add(&self->lane_writers, writer);
  if (id < 0) {
    free(writer);
    ipcnet_lane_writer_destroy(lane);
    return id;
  }
  writer->lane = lane;
  return id;
}

static void create_complete(napi_env env, napi_status status, void *data) {
  struct creation *creation = data;
  struct state *self = creation->state;
  if (status != napi_ok) creation->status = -ECANCELED;
  if (self->closed) {
    if (creation->status == 0) ipcnet_lane_writer_destroy(creation->lane);
  } else {
    napi_resolve_deferred(env, creation->deferred, number(env, creation->status < 0 ? creation->status : adopt(self, creation->lane)));
    napi_delete_async_work(env, creation->work);
  }
  free(creation);
  let_state_go(self);
}

/* laneCreate(words: BigUint64Array(7): id (2), schema hash, first sequence, slots, inline bytes, large bytes; policy) → Promise of a number */
static napi_value lane_create(napi_env env, napi_callback_info info) {
  napi_value values[2], promise, name;
  uint64_t *words;
  size_t length;
  uint32_t policy;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 2, values) || !longs_of(env, values[0], &words, &length) || length < 7 || !u32(env, values[1], &policy) || policy > UINT8_MAX || words[4] > UINT32_MAX || words[5] > UINT32_MAX) return wrong(env, "laneCreate(BigUint64Array of 7, policy)");
  struct creation *creation = calloc(1, sizeof *creation);
  if (creation == NULL || napi_create_promise(env, &creation->deferred, &promise) != napi_ok) {
    free(creation);
    return wrong(env, "out of memory");
  }
  creation->state = self;
  memcpy(creation->options.lane_id, words, IPCNET_LANE_ID_BYTES);
  creation->options.schema_hash = words[2];
  creation->options.first_sequence = words[3];
  creation->options.slot_count = (uint32_t)words[4];
  creation->options.inline_bytes = (uint32_t)words[5];
  creation->options.large_bytes = words[6];
  creation->options.policy = (uint8_t)policy;
  self->owners++;
  napi_create_string_utf8(env, "ipcnet_lane", NAPI_AUTO_LENGTH, &name);
  if (napi_create_async_work(env, NULL, name, create_execute, create_complete, creation, &creation->work) != napi_ok || napi_queue_async_work(env, creation->work) != napi_ok) {
    napi_resolve_deferred(env, creation->deferred, number(env, -ENOMEM));
    self->owners--;
    free(creation);
  }
  return promise;
}

/* laneWriterInfo(id, words: BigUint64Array(4)) → a descriptor to hand out, held by JavaScript; words = lane id (2), next sequence, largest payload */
static napi_value lane_writer_info(napi_env env, napi_callback_info info) {
  napi_value values[2];
  uint64_t *words;
  size_t length;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 2, values) || !longs_of(env, values[1], &words, &length) || length < 4) return wrong(env, "laneWriterInfo(id, BigUint64Array of 4)");
  struct writer *writer = writer_of(env, self, values[0]);
  if (writer == NULL) return number(env, -EBADF);
  ipcnet_lane_writer_id(writer->lane, (uint8_t *)words);
  words[2] = ipcnet_lane_writer_next_sequence(writer->lane);
  words[3] = ipcnet_lane_writer_payload_bytes_max(writer->lane);
  int fd = fcntl(ipcnet_lane_writer_fd(writer->lane), F_DUPFD_CLOEXEC, 3);
  return number(env, fd < 0 ? -errno : hold(self, fd));
}

/* ---- publishing ------------------------------------------------------------------------------------------------------------------------- */

/* The meta that JavaScript has staged: u64 time, i64 wall time, u32 origin, u32 ttl, u32 flags | kind << 16 | lineage count << 24 */
static const struct ipcnet_lane_meta *staged_meta(const struct lanes_memory *memory, struct ipcnet_lane_meta *meta) {
  uint32_t words[3];
  memset(meta, 0, sizeof *meta);
  memcpy(&meta->time_ns, memory->staging, 8);
  memcpy(&meta->wall_time_ns, memory->staging + 8, 8);
  memcpy(words, memory->staging + 16, sizeof words);
  meta->origin = words[0];
  meta->ttl_ms = words[1];
  meta->flags = (uint16_t)words[2];
  meta->kind = (uint8_t)(words[2] >> 16);
  meta->lineage_count = (uint8_t)(words[2] >> 24);
  return meta;
}

static int publish(const struct lanes_memory *memory, struct writer *writer, const void *payload, size_t bytes, uint32_t flags) {
  struct ipcnet_lane_meta meta;
  const struct ipcnet_lane_lineage *lineage = (const void *)(memory->staging + STAGING_LINEAGE_AT);
  return ipcnet_lane_writer_publish(writer->lane, flags & FLAG_META ? staged_meta(memory, &meta) : NULL, lineage, payload, bytes, flags & FLAG_NO_RING ? IPCNET_LANE_NO_RING : 0);
}

/* lanePublish(id, bytes, flags) → 0: what is staged */
static napi_value lane_publish(napi_env env, napi_callback_info info) {
  napi_value values[3];
  uint32_t bytes, flags;
  struct state *self = state_of(env);
  if (!arguments(env, info, 3, values) || !u32(env, values[1], &bytes) || !u32(env, values[2], &flags) || bytes > STAGING_PAYLOAD_BYTES || self->lanes == NULL) return wrong(env, "lanePublish(id, bytes <= 65536, flags)");
  struct writer *writer = writer_of(env, self, values[0]);
  return number(env, writer == NULL ? -EBADF : publish(self->lanes, writer, self->lanes->staging + STAGING_PAYLOAD_AT, bytes, flags));
}

/* lanePublishFrom(id, payload: Uint8Array, flags) → 0: a payload where it is */
static napi_value lane_publish_from(napi_env env, napi_callback_info info) {
  napi_value values[3];
  uint8_t *payload;
  size_t bytes;
  uint32_t flags;
  struct state *self = state_of(env);
  if (!arguments(env, info, 3, values) || !bytes_of(env, values[1], &payload, &bytes) || !u32(env, values[2], &flags) || self->lanes == NULL) return wrong(env, "lanePublishFrom(id, Uint8Array, flags)");
  struct writer *writer = writer_of(env, self, values[0]);
  return number(env, writer == NULL ? -EBADF : publish(self->lanes, writer, payload, bytes, flags));
}

/* lanePublishMany(id, count) → how many of the payloads that are staged one behind the other were taken; rings once. Negative: the first was not taken. */
static napi_value lane_publish_many(napi_env env, napi_callback_info info) {
  napi_value values[2];
  uint32_t count, taken = 0;
  struct state *self = state_of(env);
  if (!arguments(env, info, 2, values) || !u32(env, values[1], &count) || count > STAGING_MANY_MAX || self->lanes == NULL) return wrong(env, "lanePublishMany(id, count <= 512)");
  struct writer *writer = writer_of(env, self, values[0]);
  if (writer == NULL) return number(env, -EBADF);
  const uint32_t *lengths = (const void *)(self->lanes->staging + STAGING_LENGTHS_AT);
  const uint8_t *payload = self->lanes->staging + STAGING_PAYLOAD_AT, *end = self->lanes->staging + STAGING_LENGTHS_AT;
  int status = 0;
  while (taken < count && lengths[taken] <= (size_t)(end - payload)) {
    status = publish(self->lanes, writer, payload, lengths[taken], FLAG_NO_RING);
    if (status != 0) break;
    payload += lengths[taken++];
  }
  ipcnet_lane_writer_ring(writer->lane);
  return number(env, taken > 0 ? (int64_t)taken : status);
}

/* laneRing(id) → how many were rung */
static napi_value lane_ring(napi_env env, napi_callback_info info) {
  napi_value values[1];
  struct state *self = state_of(env);
  if (!arguments(env, info, 1, values)) return wrong(env, "laneRing(id)");
  struct writer *writer = writer_of(env, self, values[0]);
  return number(env, writer == NULL ? -EBADF : ipcnet_lane_writer_ring(writer->lane));
}

/* ---- loans -------------------------------------------------------------------------------------------------------------------------------- */

/* laneLoan(id, bytes, lineageCount) → an ArrayBuffer in the lane itself, or a negative errno */
static napi_value lane_loan(napi_env env, napi_callback_info info) {
  napi_value values[3], result;
  uint32_t bytes, lineage_count;
  void *payload;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 3, values) || !u32(env, values[1], &bytes) || !u32(env, values[2], &lineage_count) || lineage_count > UINT8_MAX) return wrong(env, "laneLoan(id, bytes, lineageCount)");
  struct writer *writer = writer_of(env, self, values[0]);
  int status = writer == NULL ? -EBADF : ipcnet_lane_writer_loan(writer->lane, bytes, (uint8_t)lineage_count, &payload);
  if (status != 0) return number(env, status);
  status = lend(env, &writer->loan, payload, bytes, &result);
  if (status == 0) return result;
  ipcnet_lane_writer_give_up(writer->lane);
  return number(env, status);
}

/* laneLoanEnd(id, bytes, flags): takes the memory back and publishes its first bytes, or (bytes = 0xffffffff) gives it up → 0; -ESTALE the buffer had been transferred elsewhere */
static napi_value lane_loan_end(napi_env env, napi_callback_info info) {
  napi_value values[3];
  uint32_t bytes, flags;
  struct ipcnet_lane_meta meta;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 3, values) || !u32(env, values[1], &bytes) || !u32(env, values[2], &flags)) return wrong(env, "laneLoanEnd(id, bytes, flags)");
  struct writer *writer = writer_of(env, self, values[0]);
  if (writer == NULL) return number(env, -EBADF);
  if (!take_back(env, &writer->loan)) {
    /* Whoever has it may go on writing: nothing of this may be published, and the memory stays. */
    ipcnet_lane_writer_give_up(writer->lane);
    return number(env, -ESTALE);
  }
  int status = 0;
  if (bytes != UINT32_MAX) status = ipcnet_lane_writer_commit(writer->lane, flags & FLAG_META ? staged_meta(self->lanes, &meta) : NULL, (const void *)(self->lanes->staging + STAGING_LINEAGE_AT), bytes, 0);
  if (bytes == UINT32_MAX || status != 0) ipcnet_lane_writer_give_up(writer->lane);
  return number(env, status);
}

/* ---- readers of the lane --------------------------------------------------------------------------------------------------------------------- */

/* laneAddReader(id, page, bell, policy, deadlineMs) → its number; both descriptors are the lane's from now on */
static napi_value lane_add_reader(napi_env env, napi_callback_info info) {
  napi_value values[5];
  uint32_t page, bell, policy, deadline_ms;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 5, values) || !u32(env, values[1], &page) || !u32(env, values[2], &bell) || !u32(env, values[3], &policy) || !u32(env, values[4], &deadline_ms)) return wrong(env, "laneAddReader(id, page, bell, policy, deadlineMs)");
  struct writer *writer = writer_of(env, self, values[0]);
  int page_fd = take_held(self, page), bell_fd = take_held(self, bell);
  if (writer == NULL || page_fd < 0 || bell_fd < 0) {
    if (page_fd >= 0) close(page_fd);
    if (bell_fd >= 0) close(bell_fd);
    return number(env, -EBADF);
  }
  return number(env, ipcnet_lane_writer_add_reader(writer->lane, page_fd, bell_fd, (enum ipcnet_lane_policy)policy, (uint64_t)deadline_ms * 1000000u));
}

/* laneRemoveReader(id, reader) → 0 */
static napi_value lane_remove_reader(napi_env env, napi_callback_info info) {
  napi_value values[2];
  uint32_t reader;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 2, values) || !u32(env, values[1], &reader)) return wrong(env, "laneRemoveReader(id, reader)");
  struct writer *writer = writer_of(env, self, values[0]);
  return number(env, writer == NULL ? -EBADF : ipcnet_lane_writer_remove_reader(writer->lane, reader > INT32_MAX ? -1 : (int)reader));
}

/* laneSpaceWatch(id) → the number of a socket to be armed: readable when a publish that was refused may be tried again */
static napi_value lane_space_watch(napi_env env, napi_callback_info info) {
  napi_value values[1];
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values)) return wrong(env, "laneSpaceWatch(id)");
  struct writer *writer = writer_of(env, self, values[0]);
  int fd = writer == NULL ? -EBADF : ipcnet_lane_writer_space_fd(writer->lane);
  return number(env, fd < 0 ? fd : add_borrowed_slot(env, self, fd));
}

/* laneSpaceTaken(id) → 0 */
static napi_value lane_space_taken(napi_env env, napi_callback_info info) {
  napi_value values[1];
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values)) return wrong(env, "laneSpaceTaken(id)");
  struct writer *writer = writer_of(env, self, values[0]);
  if (writer != NULL) ipcnet_lane_writer_space_taken(writer->lane);
  return number(env, writer == NULL ? -EBADF : 0);
}

/* laneWriterStats(id, words: BigUint64Array(9)) → 0: next sequence, published, bytes, rings, unheard, refused, demoted, mistrusted, readers */
static napi_value lane_writer_stats(napi_env env, napi_callback_info info) {
  napi_value values[2];
  uint64_t *words;
  size_t length;
  struct ipcnet_lane_writer_stats stats;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 2, values) || !longs_of(env, values[1], &words, &length) || length < 9) return wrong(env, "laneWriterStats(id, BigUint64Array of 9)");
  struct writer *writer = writer_of(env, self, values[0]);
  if (writer == NULL) return number(env, -EBADF);
  ipcnet_lane_writer_stats(writer->lane, &stats);
  const uint64_t all[9] = { ipcnet_lane_writer_next_sequence(writer->lane), stats.published, stats.payload_bytes, stats.rings, stats.rings_unheard, stats.refused_full, stats.demoted, stats.pages_mistrusted, stats.readers };
  memcpy(words, all, sizeof all);
  return number(env, 0);
}

/* laneWriterClose(id) → 0 */
static napi_value lane_writer_close(napi_env env, napi_callback_info info) {
  napi_value values[1];
  uint32_t id;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values) || !u32(env, values[0], &id)) return wrong(env, "laneWriterClose(id)");
  struct writer *writer = table_remove(&self->lane_writers, id);
  if (writer == NULL) return number(env, -EBADF);
  end_writer(writer, !take_back(env, &writer->loan));
  return number(env, 0);
}

int define_lane_writers(napi_env env, napi_value exports) {
  static const struct export list[] = {
    { "laneCreate", lane_create }, { "laneWriterInfo", lane_writer_info }, { "lanePublish", lane_publish }, { "lanePublishFrom", lane_publish_from }, { "lanePublishMany", lane_publish_many },
    { "laneRing", lane_ring }, { "laneLoan", lane_loan }, { "laneLoanEnd", lane_loan_end }, { "laneAddReader", lane_add_reader }, { "laneRemoveReader", lane_remove_reader },
    { "laneSpaceWatch", lane_space_watch }, { "laneSpaceTaken", lane_space_taken }, { "laneWriterStats", lane_writer_stats }, { "laneWriterClose", lane_writer_close },
  };
  return define(env, exports, list, sizeof list / sizeof list[0]);
}
