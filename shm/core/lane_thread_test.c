/*
 * A writer and readers of each policy as threads over the very same mappings, so that the thread sanitizer sees both sides of each access; and without it, the protocol
 * at full speed: every message is whole, in order, counted; the lossless reader loses nothing.
 *   lane_thread_test [MESSAGES]
 */
#include "lane_reader.h"
#include "lane_test.h"
#include "lane_writer.h"

#include <pthread.h>
#include <poll.h>
#include <sys/mman.h>

struct party {
  struct ipcnet_lane_reader *reader;
  enum ipcnet_lane_policy policy;
  int leases;
  uint64_t samples, lost, last, overwritten;
};

static void check_sample(struct party *party, const struct ipcnet_lane_sample *sample, const uint8_t *payload) {
  CHECK(sample->sequence > party->last && sample->lost_before == sample->sequence - party->last - 1);
  CHECK(test_filled(payload, sample->payload_bytes, sample->sequence));
  CHECK(sample->meta.lineage_count == sample->sequence % 3 && sample->meta.kind == (uint8_t)sample->sequence);
  for (uint8_t i = 0; i < sample->meta.lineage_count; i++) CHECK(sample->lineage[i].sequence == sample->sequence && sample->lineage[i].topic == i);
  party->last = sample->sequence;
  party->samples++;
  party->lost += sample->lost_before;
}

static void *read_all(void *argument) {
  struct party *party = argument;
  struct ipcnet_lane_sample sample;
  uint8_t buffer[4096];
  for (;;) {
    const void *payload = buffer;
    const enum ipcnet_lane_verdict verdict = party->leases ? ipcnet_lane_reader_lease(party->reader, &sample, &payload) : ipcnet_lane_reader_read(party->reader, &sample, buffer, sizeof buffer);
    if (verdict == IPCNET_LANE_SAMPLE) {
      if (party->leases) {
        ipcnet_lane_copy_out(buffer, payload, sample.payload_bytes);
        if (ipcnet_lane_reader_release(party->reader) != 0) {
          party->overwritten++;
          party->last = sample.sequence;
          continue;
        }
      }
      check_sample(party, &sample, buffer);
    } else if (verdict == IPCNET_LANE_NOTHING) {
      CHECK(ipcnet_lane_reader_wait(party->reader, -1, (party->samples & 1) * 1000) == 1);
    } else {
      CHECK(verdict == IPCNET_LANE_CLOSED || verdict == IPCNET_LANE_GONE);
      return NULL;
    }
  }
}

/* Gives the reader the writer's mapping and the writer the reader's. */
static void join(struct ipcnet_lane_writer *writer, struct party *party) {
  int bell[2];
  const struct ipcnet_lane_reader_options options = { .policy = (uint8_t)party->policy };
  CHECK(ipcnet_lane_bell(bell) == 0);
  CHECK(ipcnet_lane_reader_over(&party->reader, writer->parts.memory, writer->fixed.file_bytes, writer->fd, bell[0], &options) == 0);
  const int number = ipcnet_lane_writer_add_reader(writer, dup(ipcnet_lane_reader_page_fd(party->reader)), bell[1], party->policy, 3600ull * 1000000000u);
  CHECK(number >= 0);
  munmap((void *)(uintptr_t)writer->members[number].page, IPCNET_LANE_PAGE_BYTES);
  writer->members[number].page = party->reader->page;
  writer->watch[number].sleep = &party->reader->page->sleep;
}

static void publish_all(struct ipcnet_lane_writer *writer, uint64_t messages) {
  uint8_t payload[4096];
  struct ipcnet_lane_lineage lineage[2];
  uint64_t random = 1;
  struct pollfd space = { .fd = ipcnet_lane_writer_space_fd(writer), .events = POLLIN };
  for (uint64_t n = 1; n <= messages; n++) {
    const size_t bytes = n % 7 == 0 ? test_below(&random, 2048) : test_below(&random, 64 - 2 * sizeof *lineage);
    const struct ipcnet_lane_meta meta = { .lineage_count = (uint8_t)(n % 3), .kind = (uint8_t)n };
    test_fill(payload, bytes, n);
    for (uint8_t i = 0; i < 2; i++) lineage[i] = (struct ipcnet_lane_lineage){ 1, i, n };
    int result;
    while ((result = ipcnet_lane_writer_publish(writer, &meta, lineage, payload, bytes, n % 5 == 0 ? IPCNET_LANE_NO_RING : 0)) == -EAGAIN) {
      (void)ipcnet_lane_writer_ring(writer);
      CHECK(poll(&space, 1, 60000) == 1);
      ipcnet_lane_writer_space_taken(writer);
    }
    CHECK(result == 0);
  }
}

int main(int count, char **arguments) {
  const uint64_t messages = count > 1 ? strtoull(arguments[1], NULL, 10) : 20000;
  for (int lossless = 0; lossless < 2; lossless++) {
    const struct ipcnet_lane_options options = { .slot_count = 16, .inline_bytes = 64, .large_bytes = 16384, .policy = IPCNET_LANE_LOSSLESS };
    struct ipcnet_lane_writer *writer = NULL;
    struct party parties[4] = { { .policy = IPCNET_LANE_LATEST }, { .policy = IPCNET_LANE_QUEUE }, { .policy = IPCNET_LANE_QUEUE, .leases = 1 }, { .policy = lossless ? IPCNET_LANE_LOSSLESS : IPCNET_LANE_QUEUE } };
    pthread_t threads[4];
    CHECK(ipcnet_lane_writer_create(&writer, &options) == 0);
    for (int i = 0; i < 4; i++) {
      /* A lease reads from a private mapping, which the sanitizer cannot connect: here it reads from the shared one. */
      join(writer, &parties[i]);
      parties[i].reader->private_base = parties[i].leases ? (const uint8_t *)writer->parts.memory : NULL;
    }
    for (int i = 0; i < 4; i++) CHECK(pthread_create(&threads[i], NULL, read_all, &parties[i]) == 0);
    publish_all(writer, messages);
    /* Closed but not yet unmapped: the readers use this mapping. */
    atomic_store_explicit(&writer->parts.memory->closed, 1, memory_order_release);
    (void)ipcnet_lane_writer_ring(writer);
    for (int i = 0; i < 4; i++) CHECK(pthread_join(threads[i], NULL) == 0);
    for (int i = 0; i < 4; i++) {
      struct ipcnet_lane_reader_stats stats;
      ipcnet_lane_reader_stats(parties[i].reader, &stats);
      CHECK(parties[i].samples > 0 && stats.corrupt == 0);
      CHECK(stats.samples == parties[i].samples + parties[i].overwritten && stats.samples + stats.lost == messages);
      if (i == 3 && lossless) CHECK(stats.samples == messages && stats.demoted == 0);
      parties[i].reader->private_base = NULL;
    }
    for (int i = 0; i < 4; i++) writer->members[i].page = NULL; /* they are the readers' */
    for (int i = 0; i < 4; i++) {
      close(writer->members[i].bell);
      ipcnet_lane_reader_close(parties[i].reader);
    }
    writer->watched = 0;
    ipcnet_lane_writer_destroy(writer);
  }
  return 0;
}
