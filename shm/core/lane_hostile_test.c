/*
 * Readers over a lane whose memory a hostile writer changes at random, and a writer whose readers' pages do. Whatever stands there: no access out of bounds (the address
 * sanitizer and guard pages watch), no call that does not return, no payload that is not what some honest publish wrote with a CRC that fits.
 *   lane_hostile_test [SEED [ROUNDS]]
 */
#include "lane_layout.h"
#include "lane_test.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | 0x0010)

/* Memory that looks as it should but is still ours to write: what a hostile process hands out. */
static int hostile_memory(const void *content, size_t content_bytes, size_t bytes, int seals, uint8_t **base) {
  const int fd = memfd_create("hostile", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  CHECK(fd >= 0 && ftruncate(fd, (off_t)bytes) == 0 && fallocate(fd, 0, 0, (off_t)bytes) == 0);
  *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  CHECK(*base != MAP_FAILED);
  memcpy(*base, content, content_bytes);
  CHECK(fcntl(fd, F_ADD_SEALS, seals) == 0);
  return fd;
}

static uint64_t interesting(uint64_t *random, uint64_t near) {
  switch (test_below(random, 10)) {
    case 0: return 0;
    case 1: return UINT64_MAX;
    case 2: return UINT64_MAX - test_below(random, 300);
    case 3: return 1ull << test_below(random, 64);
    case 4: return (1ull << 62) + test_below(random, 3) - 1;
    case 5: return test_random(random);
    case 6: return near + test_below(random, 40);
    case 7: return near - test_below(random, 40);
    default: return near * 2 + test_below(random, 8) - 4;
  }
}

struct target {
  uint8_t *base;
  size_t bytes;
  uint32_t slots, slot_bytes;
  uint64_t sequence;
};

/* One change: a word that means something, or any. With `mend`, the CRC of the slot's header is made right again, so that what it says gets further. */
static void mutate(const struct target *target, uint64_t *random) {
  const uint64_t value = interesting(random, target->sequence);
  const uint64_t n = target->sequence + test_below(random, 6) - 4;
  uint8_t *slot = target->base + 4096 + ((n - 1) & (target->slots - 1)) * target->slot_bytes;
  uint8_t *word = slot;
  switch (test_below(random, 8)) {
    case 0: word = target->base + 256; break;
    case 1: word = target->base + 384; break;
    case 2: word = target->base + 640; break;
    case 3: word = target->base + 8 * test_below(random, target->bytes / 8); break;
    default: word = slot + 8 * test_below(random, 16);
  }
  __atomic_store_n((uint64_t *)(void *)word, value, __ATOMIC_RELAXED);
  if (test_below(random, 16) == 0) __atomic_store_n((uint32_t *)(void *)(target->base + 512), 1, __ATOMIC_RELAXED);
  if (test_below(random, 2) == 0) {
    struct ipcnet_lane_slot_header header;
    uint64_t words[8];
    memcpy(&header, slot, sizeof header);
    ipcnet_lane_header_pack(words, n, &header);
    const uint32_t crc = ipcnet_lane_header_crc(ipcnet_lane_crc(0, target->base + 16, 16), words);
    memcpy(slot + 60, &crc, 4);
    if (test_below(random, 2) == 0) __atomic_store_n((uint64_t *)(void *)slot, 2 * n, __ATOMIC_RELAXED);
  }
}

/* A buffer that ends where reading or writing on would be a fault. */
static uint8_t *guarded(size_t bytes) {
  const size_t whole = (bytes + 4095) & ~(size_t)4095;
  uint8_t *base = mmap(NULL, whole + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  CHECK(base != MAP_FAILED && mprotect(base + whole, 4096, PROT_NONE) == 0);
  return base + whole - bytes;
}

struct attack {
  struct target target;
  uint64_t random;
  _Atomic int stop;
};

static void *attack_on(void *argument) {
  struct attack *attack = argument;
  while (!atomic_load_explicit(&attack->stop, memory_order_relaxed)) {
    for (int i = 0; i < 16; i++) mutate(&attack->target, &attack->random);
    (void)sched_yield();
  }
  return NULL;
}

static uint64_t samples_taken;
static volatile uint8_t last_byte; /* read so that it is touched */

static void use(struct ipcnet_lane_reader *reader, uint64_t *random, uint8_t *buffer, size_t capacity) {
  static struct ipcnet_lane_sample samples[8];
  enum ipcnet_lane_verdict verdict;
  const void *payload;
  struct ipcnet_lane_reader_stats stats;
  switch (test_below(random, 7)) {
    case 0: samples_taken += ipcnet_lane_reader_drain(reader, samples, 8, buffer, capacity, &verdict); break;
    case 1: samples_taken += ipcnet_lane_reader_history(reader, 8, samples, buffer, capacity); break;
    case 2:
      if (ipcnet_lane_reader_lease(reader, samples, &payload) == IPCNET_LANE_SAMPLE) {
        if (samples[0].payload_bytes > 0) last_byte = ((const uint8_t *)payload)[samples[0].payload_bytes - 1];
        (void)ipcnet_lane_reader_release(reader);
        samples_taken++;
      }
      break;
    case 3:
      if (ipcnet_lane_reader_arm(reader)) ipcnet_lane_reader_awake(reader);
      break;
    case 4: (void)ipcnet_lane_reader_wait(reader, 1000, 100); break;
    case 5: ipcnet_lane_reader_stats(reader, &stats); break;
    default:
      if (ipcnet_lane_reader_read(reader, samples, buffer, capacity) == IPCNET_LANE_SAMPLE) {
        CHECK(samples[0].payload_bytes <= capacity && samples[0].meta.lineage_count <= IPCNET_LANE_LINEAGE_MAX);
        samples_taken++;
      }
  }
}

/* An image of an honest lane, then changed at random before, between and (by a thread) during the calls of a reader. */
static void a_hostile_writer_harms_no_reader(uint64_t seed) {
  uint64_t random = test_seed = seed;
  static const uint64_t large[] = { 0, 4096, 12288 };
  const struct ipcnet_lane_options options = { .slot_count = 1u << (1 + test_below(&random, 4)), .inline_bytes = test_below(&random, 2) ? 64 : 192, .large_bytes = large[test_below(&random, 3)],
    .policy = IPCNET_LANE_LOSSLESS, .first_sequence = test_below(&random, 4) ? 0 : (1ull << 62) - test_below(&random, 3) };
  struct ipcnet_lane_writer *writer = NULL;
  CHECK(ipcnet_lane_writer_create(&writer, &options) == 0);
  uint8_t payload[8192];
  const size_t max = ipcnet_lane_writer_payload_bytes_max(writer);
  for (uint64_t i = test_below(&random, 40); i > 0; i--) {
    const size_t bytes = test_below(&random, 2) ? test_below(&random, max + 1) : test_below(&random, 65);
    test_fill(payload, bytes, i);
    CHECK(ipcnet_lane_writer_publish(writer, NULL, NULL, payload, bytes, 0) == 0);
  }
  struct ipcnet_lane_description description;
  CHECK(ipcnet_lane_describe(ipcnet_lane_writer_fd(writer), &description) == 0);
  void *honest = mmap(NULL, description.file_bytes, PROT_READ, MAP_SHARED, ipcnet_lane_writer_fd(writer), 0);
  CHECK(honest != MAP_FAILED);
  struct attack attack = { .target = { .bytes = description.file_bytes, .slots = options.slot_count, .slot_bytes = 64 + options.inline_bytes, .sequence = ipcnet_lane_writer_next_sequence(writer) - 1 }, .random = seed ^ 0x5555 };
  const int fd = hostile_memory(honest, description.file_bytes, description.file_bytes, SEALS, &attack.target.base);
  munmap(honest, description.file_bytes);
  ipcnet_lane_writer_destroy(writer);
  int bell[2];
  CHECK(ipcnet_lane_bell(bell) == 0);
  const struct ipcnet_lane_reader_options how = { .policy = (uint8_t)test_below(&random, 3), .start = (uint8_t)test_below(&random, 4), .sequence = 1 + test_below(&random, 50) };
  struct ipcnet_lane_reader *reader = NULL;
  for (uint64_t i = test_below(&random, 3); i > 0; i--) mutate(&attack.target, &random);
  const int opened = ipcnet_lane_reader_open(&reader, fd, bell[0], &how);
  CHECK(opened == 0 || opened == -EPROTO || opened == -EINVAL);
  if (opened == 0) {
    const size_t capacity = test_below(&random, 2) ? max : test_below(&random, max + 1);
    uint8_t *buffer = guarded(capacity);
    pthread_t thread;
    const int threaded = test_below(&random, 4) == 0;
    if (threaded) CHECK(pthread_create(&thread, NULL, attack_on, &attack) == 0);
    for (int i = 0; i < 100; i++) {
      if (!threaded) for (uint64_t k = test_below(&random, 4); k > 0; k--) mutate(&attack.target, &random);
      use(reader, &random, buffer, capacity);
    }
    attack.stop = 1;
    if (threaded) CHECK(pthread_join(thread, NULL) == 0);
    ipcnet_lane_reader_close(reader);
    munmap(buffer + capacity - ((capacity + 4095) & ~(size_t)4095), ((capacity + 4095) & ~(size_t)4095) + 4096);
  }
  munmap(attack.target.base, attack.target.bytes);
  close(fd);
  close(bell[1]);
}

/* Reader's pages whose words are anything at any time: the writer goes on, waits for nobody longer than agreed. */
static void hostile_pages_harm_no_writer(uint64_t seed) {
  uint64_t random = test_seed = seed;
  const struct ipcnet_lane_options options = { .slot_count = 4, .inline_bytes = 64, .large_bytes = 4096, .policy = IPCNET_LANE_LOSSLESS };
  struct ipcnet_lane_writer *writer = NULL;
  CHECK(ipcnet_lane_writer_create(&writer, &options) == 0);
  uint8_t *pages[4];
  int bells[4];
  for (int i = 0; i < 4; i++) {
    uint8_t page[64] = "IPCREAD1";
    int bell[2];
    ipcnet_lane_writer_id(writer, page + 8);
    const int fd = hostile_memory(page, sizeof page, 4096, SEALS, &pages[i]);
    CHECK(ipcnet_lane_bell(bell) == 0);
    bells[i] = bell[0];
    CHECK(ipcnet_lane_writer_add_reader(writer, fd, bell[1], (enum ipcnet_lane_policy)test_below(&random, 3), test_below(&random, 2) * 1000000) == i);
  }
  (void)ipcnet_lane_writer_space_fd(writer);
  uint8_t payload[2048] = { 0 };
  uint64_t published = 0;
  for (int i = 0; i < 400; i++) {
    const int who = (int)test_below(&random, 4);
    __atomic_store_n((uint64_t *)(void *)(pages[who] + (test_below(&random, 2) ? 128 : 256)), interesting(&random, ipcnet_lane_writer_next_sequence(writer)), __ATOMIC_RELAXED);
    if (test_below(&random, 8) == 0) (void)ipcnet_lane_bell_ring(bells[who], (uint8_t)i);
    if (test_below(&random, 16) == 0) {
      uint8_t last;
      int gone = 0;
      (void)ipcnet_lane_bell_take(bells[who], &last, &gone);
    }
    const int result = ipcnet_lane_writer_publish(writer, NULL, NULL, payload, test_below(&random, 4) ? 10 : test_below(&random, sizeof payload + 1), 0);
    CHECK(result == 0 || result == -EAGAIN);
    published += result == 0;
    if (test_below(&random, 4) == 0) ipcnet_lane_writer_space_taken(writer);
  }
  CHECK(ipcnet_lane_writer_next_sequence(writer) == published + 1);
  /* Whoever holds it up does so for a millisecond at most. */
  const uint64_t begin = ipcnet_lane_clock_ns(CLOCK_MONOTONIC);
  while (ipcnet_lane_writer_publish(writer, NULL, NULL, payload, 1, 0) == -EAGAIN) CHECK(ipcnet_lane_clock_ns(CLOCK_MONOTONIC) - begin < 60000000000u);
  for (int i = 0; i < 4; i++) {
    CHECK(ipcnet_lane_writer_remove_reader(writer, i) == 0);
    munmap(pages[i], 4096);
    close(bells[i]);
  }
  ipcnet_lane_writer_destroy(writer);
}

/* Anything at all as a lane or a page: refused, or truly described. */
static void random_files_are_refused(uint64_t seed) {
  uint64_t random = test_seed = seed;
  const struct ipcnet_lane_options options = { .slot_count = 2, .inline_bytes = 64 };
  struct ipcnet_lane_writer *writer = NULL;
  CHECK(ipcnet_lane_writer_create(&writer, &options) == 0);
  uint8_t image[8192], id[16];
  CHECK(pread(ipcnet_lane_writer_fd(writer), image, sizeof image, 0) == sizeof image);
  ipcnet_lane_writer_id(writer, id);
  ipcnet_lane_writer_destroy(writer);
  const uint64_t kind = test_below(&random, 4);
  int changed = 0;
  if (kind == 0) for (size_t i = 0; i < sizeof image; i++) image[i] = (uint8_t)test_random(&random);
  if (kind >= 1) {
    for (uint64_t i = test_below(&random, 3); i > 0; i--) {
      const uint32_t value = (uint32_t)interesting(&random, 64);
      uint8_t *word = image + 8 + 4 * test_below(&random, 30);
      changed |= memcmp(word, &value, 4) != 0;
      memcpy(word, &value, 4);
    }
    if (kind == 2) { /* with a CRC that fits: the geometry itself is judged */
      struct ipcnet_lane_fixed fixed;
      memcpy(&fixed, image, sizeof fixed);
      fixed.header_crc = ipcnet_lane_fixed_crc(&fixed);
      memcpy(image, &fixed, sizeof fixed);
    }
  }
  const int seals = test_below(&random, 3) ? SEALS : (int)(test_random(&random) & SEALS);
  size_t bytes = test_below(&random, 4) ? 8192 : 4096 * (1 + test_below(&random, 4));
  uint8_t *base;
  const int fd = hostile_memory(image, bytes < sizeof image ? bytes : sizeof image, bytes, seals, &base);
  struct ipcnet_lane_description description;
  const int described = ipcnet_lane_describe(fd, &description);
  CHECK(described == 0 || described == -EPROTO);
  if (seals != SEALS || bytes != 8192 || kind == 0 || ((kind == 1 || kind == 3) && changed)) CHECK(described == -EPROTO);
  if (described == 0) {
    CHECK(description.slot_count == 2 && description.inline_bytes == 64 && description.large_bytes == 0 && description.file_bytes == 8192);
    struct ipcnet_lane_reader *reader;
    const struct ipcnet_lane_reader_options how = { .start = IPCNET_LANE_FROM_OLDEST };
    if (ipcnet_lane_reader_open(&reader, fd, -1, &how) == 0) {
      struct ipcnet_lane_sample sample;
      (void)ipcnet_lane_reader_read(reader, &sample, image, sizeof image);
      ipcnet_lane_reader_close(reader);
    }
  }
  CHECK(ipcnet_lane_check_page(fd, id) == -EPROTO);
  munmap(base, bytes);
  close(fd);
}

int main(int count, char **arguments) {
  const uint64_t first = count > 1 ? strtoull(arguments[1], NULL, 10) : 1;
  const uint64_t rounds = count > 2 ? strtoull(arguments[2], NULL, 10) : 300;
  for (uint64_t seed = first; seed < first + rounds; seed++) {
    a_hostile_writer_harms_no_reader(seed);
    hostile_pages_harm_no_writer(seed);
    random_files_are_refused(seed);
  }
  printf("lane hostile: %llu seeds from %llu, %llu messages survived the checks\n", (unsigned long long)rounds, (unsigned long long)first, (unsigned long long)samples_taken);
  return 0;
}
