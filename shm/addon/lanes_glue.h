/* What the two glue files of lanes share: memory between JavaScript and C that is looked up once and not with every call. shm/lanes/native.ts has the same numbers. */
#ifndef IPCNET_SHM_LANES_GLUE_H
#define IPCNET_SHM_LANES_GLUE_H

#include "glue.h"
#include "lane.h"

/* Staging: what JavaScript has ready to be published. Meta (64 bytes), lineage, payloads, and the lengths of the payloads where there are many. */
#define STAGING_LINEAGE_AT 64
#define STAGING_PAYLOAD_AT 512
#define STAGING_PAYLOAD_BYTES 65536
#define STAGING_LENGTHS_AT (STAGING_PAYLOAD_AT + STAGING_PAYLOAD_BYTES)
#define STAGING_MANY_MAX 512
#define STAGING_BYTES (STAGING_LENGTHS_AT + 4 * STAGING_MANY_MAX)

/* The buffer that is used again for each drain; a larger one is for one message alone. */
#define STANDING_BUFFER_BYTES 262144

/* What was read: one record of 64 bytes a message. */
#define BATCH_MESSAGES_MAX 1024
struct batch_record {
  uint64_t sequence;
  uint64_t lost_before;
  uint64_t time_ns;
  int64_t wall_time_ns;
  uint64_t schema_hash;
  uint32_t origin;
  uint32_t ttl_ms;
  uint32_t payload_at;
  uint32_t payload_bytes;
  uint16_t flags;
  uint8_t lineage_count;
  uint8_t kind;
  uint32_t lineage_at; /* which entry of the batch's lineage is its first */
};
_Static_assert(sizeof(struct batch_record) == 64, "the record is part of an interface");

/* Samples that C takes at once; their lineage always fits behind what is there while fewer than the rest are used. */
#define CHUNK_MESSAGES 32
#define BATCH_LINEAGE_MAX (CHUNK_MESSAGES * IPCNET_LANE_LINEAGE_MAX * 4)

/* Borrowed from typed arrays that are kept alive by references and never leave shm/lanes. */
struct lanes_memory {
  uint8_t *staging;
  struct batch_record *records;
  struct ipcnet_lane_lineage *lineage;
  uint8_t *buffer;
  size_t buffer_bytes;
  napi_ref kept[3];
  napi_ref kept_buffer;
  int keeps_freed; /* heap_keep_freed has been called */
  struct ipcnet_lane_sample samples[CHUNK_MESSAGES];
};

/* A view over a lane's memory that JavaScript holds for a while: the payload of a lease or a loan. */
struct lent {
  napi_ref array_buffer; /* NULL: none */
};

/* Makes an ArrayBuffer over `data`; 0, -ENOTSUP where the runtime refuses such buffers, -ENOMEM. */
int lend(napi_env env, struct lent *lent, void *data, size_t bytes, napi_value *array_buffer);
/* Takes it away from JavaScript: its views are empty from then on. 0 when somebody has transferred it elsewhere before: then its memory must stay mapped for ever. */
int take_back(napi_env env, struct lent *lent);

void close_lane_writers(struct state *self);
void close_lane_readers(struct state *self);

#endif
