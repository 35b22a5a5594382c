/* The rules of lanes, one by one, writer and reader in one process. */
#include "lane_layout.h"
#include "lane_test.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>

static int open_descriptors(void) {
  int count = 0;
  DIR *directory = opendir("/proc/self/fd");
  CHECK(directory != NULL);
  while (readdir(directory) != NULL) count++;
  closedir(directory);
  return count;
}

static const struct ipcnet_lane_options small = { .slot_count = 8, .inline_bytes = 64, .large_bytes = 8192, .policy = IPCNET_LANE_LOSSLESS, .schema_hash = 77 };

static struct ipcnet_lane_writer *make(const struct ipcnet_lane_options *options) {
  struct ipcnet_lane_writer *writer = NULL;
  CHECK(ipcnet_lane_writer_create(&writer, options) == 0);
  return writer;
}

static int publish(struct ipcnet_lane_writer *writer, size_t bytes) {
  uint8_t payload[5000];
  test_fill(payload, bytes, ipcnet_lane_writer_next_sequence(writer));
  return ipcnet_lane_writer_publish(writer, NULL, NULL, payload, bytes, 0);
}

static enum ipcnet_lane_verdict take(struct ipcnet_lane_reader *reader, uint64_t sequence, uint64_t lost, size_t bytes) {
  static uint8_t buffer[8192];
  static struct ipcnet_lane_sample sample;
  const enum ipcnet_lane_verdict verdict = ipcnet_lane_reader_read(reader, &sample, buffer, sizeof buffer);
  if (verdict != IPCNET_LANE_SAMPLE) return verdict;
  CHECK(sample.sequence == sequence && sample.lost_before == lost && sample.payload_bytes == bytes);
  CHECK(test_filled(buffer, bytes, sequence));
  return verdict;
}

static void a_message_arrives_as_it_was_sent(void) {
  struct ipcnet_lane_writer *writer = make(&small);
  struct ipcnet_lane_reader *reader;
  CHECK(test_join(writer, &reader, IPCNET_LANE_QUEUE, IPCNET_LANE_FROM_NEXT, 0, 0) == 0);
  static uint8_t buffer[8192];
  struct ipcnet_lane_sample sample;
  CHECK(ipcnet_lane_reader_read(reader, &sample, buffer, sizeof buffer) == IPCNET_LANE_NOTHING);
  const struct ipcnet_lane_meta meta = { .time_ns = 5, .wall_time_ns = -6, .origin = 7, .ttl_ms = 8, .flags = 5, .lineage_count = 2, .kind = 9 };
  const struct ipcnet_lane_lineage lineage[2] = { { 1, 2, 3 }, { 4, 5, 6 } };
  CHECK(ipcnet_lane_writer_publish(writer, &meta, lineage, "abc", 3, 0) == 0);
  CHECK(ipcnet_lane_reader_read(reader, &sample, buffer, sizeof buffer) == IPCNET_LANE_SAMPLE);
  CHECK(sample.sequence == 1 && sample.lost_before == 0 && sample.payload_bytes == 3 && memcmp(buffer, "abc", 3) == 0);
  CHECK(sample.meta.time_ns == 5 && sample.meta.wall_time_ns == -6 && sample.meta.origin == 7 && sample.meta.ttl_ms == 8 && sample.meta.flags == 5);
  CHECK(sample.meta.lineage_count == 2 && sample.meta.kind == 9 && sample.meta.schema_hash == 77 && memcmp(sample.lineage, lineage, sizeof lineage) == 0);
  CHECK(ipcnet_lane_reader_read(reader, &sample, buffer, sizeof buffer) == IPCNET_LANE_NOTHING);
  for (size_t bytes = 0; bytes <= 4096; bytes = bytes < 130 ? bytes + 1 : bytes * 2) {
    CHECK(publish(writer, bytes) == 0);
    CHECK(take(reader, ipcnet_lane_writer_next_sequence(writer) - 1, 0, bytes) == IPCNET_LANE_SAMPLE);
  }
  CHECK(publish(writer, 4097) == -EMSGSIZE);
  ipcnet_lane_reader_close(reader);
  ipcnet_lane_writer_destroy(writer);
}

static void an_overrun_reader_is_told_exactly_what_it_lost(void) {
  struct ipcnet_lane_writer *writer = make(&small);
  struct ipcnet_lane_reader *queue, *latest;
  test_join(writer, &queue, IPCNET_LANE_QUEUE, IPCNET_LANE_FROM_NEXT, 0, 0);
  test_join(writer, &latest, IPCNET_LANE_LATEST, IPCNET_LANE_FROM_NEXT, 0, 0);
  for (int i = 0; i < 20; i++) CHECK(publish(writer, 10) == 0);
  for (uint64_t n = 13; n <= 20; n++) CHECK(take(queue, n, n == 13 ? 12 : 0, 10) == IPCNET_LANE_SAMPLE);
  CHECK(take(queue, 0, 0, 0) == IPCNET_LANE_NOTHING);
  CHECK(take(latest, 20, 19, 10) == IPCNET_LANE_SAMPLE);
  CHECK(take(latest, 0, 0, 0) == IPCNET_LANE_NOTHING);
  struct ipcnet_lane_reader_stats stats;
  ipcnet_lane_reader_stats(queue, &stats);
  CHECK(stats.samples == 8 && stats.lost == 12 && stats.torn == 0 && stats.corrupt == 0);
  ipcnet_lane_reader_close(queue);
  ipcnet_lane_reader_close(latest);
  ipcnet_lane_writer_destroy(writer);
}

static void a_sleeping_reader_is_rung_once_and_a_busy_one_never(void) {
  struct ipcnet_lane_writer *writer = make(&small);
  struct ipcnet_lane_reader *reader;
  test_join(writer, &reader, IPCNET_LANE_QUEUE, IPCNET_LANE_FROM_NEXT, 0, 0);
  struct ipcnet_lane_writer_stats stats;
  ipcnet_lane_reader_awake(reader); /* the ring of add_reader */
  for (int i = 0; i < 5; i++) CHECK(publish(writer, 1) == 0);
  ipcnet_lane_writer_stats(writer, &stats);
  CHECK(stats.rings == 0 && stats.published == 5);
  CHECK(ipcnet_lane_reader_arm(reader) == 0);
  for (uint64_t n = 1; n <= 5; n++) CHECK(take(reader, n, 0, 1) == IPCNET_LANE_SAMPLE);
  CHECK(ipcnet_lane_reader_arm(reader) == 1);
  struct pollfd bell = { .fd = ipcnet_lane_reader_bell_fd(reader), .events = POLLIN };
  CHECK(poll(&bell, 1, 0) == 0);
  for (int i = 0; i < 5; i++) CHECK(publish(writer, 1) == 0);
  ipcnet_lane_writer_stats(writer, &stats);
  CHECK(stats.rings == 1 && stats.rings_unheard == 0);
  CHECK(poll(&bell, 1, 1000) == 1);
  ipcnet_lane_reader_awake(reader);
  CHECK(poll(&bell, 1, 0) == 0);
  CHECK(ipcnet_lane_reader_wait(reader, 0, 0) == 1);
  for (uint64_t n = 6; n <= 10; n++) CHECK(take(reader, n, 0, 1) == IPCNET_LANE_SAMPLE);
  CHECK(ipcnet_lane_reader_wait(reader, 1000000, 1000) == 0);
  ipcnet_lane_writer_destroy(writer);
  CHECK(ipcnet_lane_reader_wait(reader, -1, 0) == 1);
  CHECK(take(reader, 0, 0, 0) == IPCNET_LANE_CLOSED);
  ipcnet_lane_reader_close(reader);
}

static void a_lossless_reader_holds_the_writer_until_its_deadline(void) {
  struct ipcnet_lane_writer *writer = make(&small);
  struct ipcnet_lane_reader *reader;
  test_join(writer, &reader, IPCNET_LANE_LOSSLESS, IPCNET_LANE_FROM_NEXT, 0, 3600ull * 1000000000u);
  struct pollfd space = { .fd = ipcnet_lane_writer_space_fd(writer), .events = POLLIN };
  CHECK(space.fd >= 0);
  for (int i = 0; i < 8; i++) CHECK(publish(writer, 1) == 0);
  CHECK(publish(writer, 1) == -EAGAIN && publish(writer, 1) == -EAGAIN);
  CHECK(poll(&space, 1, 0) == 0);
  for (uint64_t n = 1; n <= 3; n++) CHECK(take(reader, n, 0, 1) == IPCNET_LANE_SAMPLE);
  CHECK(poll(&space, 1, 1000) == 1);
  ipcnet_lane_writer_space_taken(writer);
  CHECK(poll(&space, 1, 0) == 0);
  for (int i = 0; i < 3; i++) CHECK(publish(writer, 1) == 0);
  CHECK(publish(writer, 1) == -EAGAIN);
  ipcnet_lane_reader_close(reader);
  CHECK(poll(&space, 1, 1000) == 1); /* gone */
  ipcnet_lane_writer_space_taken(writer);
  CHECK(publish(writer, 1) == 0);

  test_join(writer, &reader, IPCNET_LANE_LOSSLESS, IPCNET_LANE_FROM_NEXT, 0, 20000000);
  for (int i = 0; i < 8; i++) CHECK(publish(writer, 1) == 0);
  CHECK(publish(writer, 1) == -EAGAIN);
  CHECK(poll(&space, 1, 10000) == 1); /* the deadline */
  ipcnet_lane_writer_space_taken(writer);
  CHECK(publish(writer, 1) == 0);
  struct ipcnet_lane_writer_stats stats;
  ipcnet_lane_writer_stats(writer, &stats);
  CHECK(stats.demoted == 1 && stats.refused_full == 4);
  CHECK(take(reader, 14, 1, 1) == IPCNET_LANE_SAMPLE);
  ipcnet_lane_reader_awake(reader);
  struct ipcnet_lane_reader_stats told;
  ipcnet_lane_reader_stats(reader, &told);
  CHECK(told.demoted == IPCNET_LANE_DEMOTED_QUEUE && told.lost == 1);
  ipcnet_lane_reader_close(reader);
  ipcnet_lane_writer_destroy(writer);
}

static void space_may_be_asked_for_after_the_refusal(void) {
  struct ipcnet_lane_writer *writer = make(&small);
  struct ipcnet_lane_reader *reader;
  test_join(writer, &reader, IPCNET_LANE_LOSSLESS, IPCNET_LANE_FROM_NEXT, 0, 3600ull * 1000000000u);
  for (int i = 0; i < 8; i++) CHECK(publish(writer, 1) == 0);
  CHECK(publish(writer, 1) == -EAGAIN);
  struct pollfd space = { .fd = ipcnet_lane_writer_space_fd(writer), .events = POLLIN };
  CHECK(poll(&space, 1, 10000) == 1);
  ipcnet_lane_writer_space_taken(writer);
  CHECK(publish(writer, 1) == -EAGAIN && poll(&space, 1, 0) == 0);
  CHECK(take(reader, 1, 0, 1) == IPCNET_LANE_SAMPLE && take(reader, 2, 0, 1) == IPCNET_LANE_SAMPLE && take(reader, 3, 0, 1) == IPCNET_LANE_SAMPLE);
  CHECK(poll(&space, 1, 10000) == 1);
  ipcnet_lane_reader_close(reader);
  ipcnet_lane_writer_destroy(writer);
}

static void lanes_and_pages_are_known_by_their_seals(void) {
  struct ipcnet_lane_writer *writer = make(&small);
  struct ipcnet_lane_reader *reader;
  test_join(writer, &reader, IPCNET_LANE_QUEUE, IPCNET_LANE_FROM_NEXT, 0, 0);
  struct ipcnet_lane_description description;
  uint8_t id[16], other[16] = { 0 };
  ipcnet_lane_writer_id(writer, id);
  CHECK(ipcnet_lane_describe(ipcnet_lane_writer_fd(writer), &description) == 0);
  CHECK(memcmp(description.lane_id, id, 16) == 0 && description.schema_hash == 77 && description.slot_count == 8 && description.inline_bytes == 64 && description.large_bytes == 8192);
  CHECK(ipcnet_lane_check_page(ipcnet_lane_reader_page_fd(reader), id) == 0);
  CHECK(ipcnet_lane_check_page(ipcnet_lane_reader_page_fd(reader), other) == -EPROTO);
  CHECK(ipcnet_lane_check_page(ipcnet_lane_writer_fd(writer), id) == -EPROTO);
  CHECK(ipcnet_lane_describe(ipcnet_lane_reader_page_fd(reader), &description) == -EPROTO);
  struct stat file;
  CHECK(fstat(ipcnet_lane_writer_fd(writer), &file) == 0 && (file.st_mode & 07777) == 0400);
  CHECK((fcntl(ipcnet_lane_writer_fd(writer), F_GETFL) & O_ACCMODE) == O_RDONLY);
  CHECK(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, ipcnet_lane_writer_fd(writer), 0) == MAP_FAILED);
  ipcnet_lane_reader_close(reader);
  ipcnet_lane_writer_destroy(writer);
}

int main(void) {
  const int before = open_descriptors();
  CHECK(ipcnet_lane_features() & IPCNET_LANE_HAS_SEAL_FUTURE_WRITE);
  a_message_arrives_as_it_was_sent();
  an_overrun_reader_is_told_exactly_what_it_lost();
  a_sleeping_reader_is_rung_once_and_a_busy_one_never();
  a_lossless_reader_holds_the_writer_until_its_deadline();
  space_may_be_asked_for_after_the_refusal();
  lanes_and_pages_are_known_by_their_seals();
  CHECK(open_descriptors() == before);
  return 0;
}
