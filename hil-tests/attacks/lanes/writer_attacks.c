/*
 * Writers against their readers: what is no lane is refused, and a lane whose owner writes anything anywhere at any time costs its reader neither its life, nor time
 * without end, nor an impossible message. A writer may say what it likes; so a message counts as impossible when it is a mixture of two, or not in its turn.
 */
#include "scene.h"
#include "lane_layout.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define SLOTS 16u
#define INLINE_BYTES 192u
#define LARGE_BYTES 16384u
#define SEAL_FUTURE_WRITE 0x10
#define ALL_SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | SEAL_FUTURE_WRITE)
/* How long the reader reads under attack: some thousand rounds. */
#define ATTACK_NS 25000000u

/* ------------------------------------------------------------------- report -- */

struct seen { uint64_t samples, lost, corrupt, mixed, out_of_turn, turns; uint32_t end; };

static void tell(const char *name, const char *verdict, const char *text, uint64_t messages, const char *harm) {
  printf("{\"attack\":\"%s\",\"relation\":\"its writer\",\"verdict\":\"%s\",\"text\":\"%s\",\"defended\":true,\"messages\":%llu,\"harm\":\"%s\"}\n", name, verdict, text, (unsigned long long)messages, harm);
  fflush(stdout);
}

/* ------------------------------------------------------------- lanes that lie -- */

struct own_lane {
  struct ipcnet_lane_writer *writer;
  struct ipcnet_lane_memory *memory;
  struct ipcnet_lane_parts parts;
  struct ipcnet_lane_fixed fixed;
  uint32_t id_crc;
};

static void make_own(struct own_lane *self) {
  const struct ipcnet_lane_options options = { .slot_count = SLOTS, .inline_bytes = INLINE_BYTES, .large_bytes = LARGE_BYTES, .policy = IPCNET_LANE_LOSSLESS, .schema_hash = 77 };
  if (ipcnet_lane_writer_create(&self->writer, &options) != 0) abort();
  self->memory = (struct ipcnet_lane_memory *)(uintptr_t)mapping_of("ipcnet-lane");
  self->fixed = self->memory->fixed;
  self->parts = ipcnet_lane_parts_of(self->memory, &self->fixed);
  self->id_crc = ipcnet_lane_crc(0, self->fixed.lane_id, sizeof self->fixed.lane_id);
}

/* A message as only its writer can forge it: with checksums that fit whatever it claims. */
static void forge(struct own_lane *self, uint64_t sequence, struct ipcnet_lane_slot_header header, const uint8_t *payload, uint32_t payload_bytes) {
  struct ipcnet_lane_slot *slot = ipcnet_lane_slot_of(&self->parts, sequence);
  uint64_t words[8];
  atomic_store(&slot->words[0], 2 * sequence - 1);
  memcpy((uint8_t *)slot + IPCNET_LANE_SLOT_HEADER_BYTES, payload, payload_bytes);
  header.payload_crc = ipcnet_lane_crc(0, payload, payload_bytes);
  ipcnet_lane_header_pack(words, sequence, &header);
  header.header_crc = ipcnet_lane_header_crc(self->id_crc, words);
  ipcnet_lane_header_pack(words, sequence, &header);
  ipcnet_lane_header_in(slot, words);
  atomic_store(&slot->words[0], 2 * sequence);
  atomic_store(&self->memory->head, sequence);
}

static const struct ipcnet_lane_slot_header honest = { .position = IPCNET_LANE_POSITION_INLINE, .time_ns = 1, .schema_hash = 77, .payload_bytes = 24 };

static void forge_plain(struct own_lane *self, uint64_t sequence, struct ipcnet_lane_slot_header header) {
  uint8_t payload[24];
  memset(payload, (int)(sequence & 0xFF), sizeof payload);
  forge(self, sequence, header, payload, sizeof payload);
}

typedef void lie(struct own_lane *self, uint64_t round);

static void lie_length(struct own_lane *self, uint64_t round) {
  static const uint32_t lengths[] = { UINT32_MAX, 1u << 31, LARGE_BYTES, LARGE_BYTES / 2 + 1, INLINE_BYTES + 1, 1u << 20, 0, 25 };
  struct ipcnet_lane_slot_header header = honest;
  header.payload_bytes = lengths[round % 8];
  forge_plain(self, round + 1, header);
}
static void lie_position(struct own_lane *self, uint64_t round) {
  static const uint64_t positions[] = { 0, 1, 63, 64, LARGE_BYTES, LARGE_BYTES - 64, UINT64_MAX - 64, UINT64_MAX / 2, 1ull << 40 };
  struct ipcnet_lane_slot_header header = honest;
  header.position = positions[round % 9];
  header.payload_bytes = round % 2 ? 8000 : 300;
  if (round % 3 == 0) atomic_store(&self->memory->large_reserved, header.position + 8192);
  forge_plain(self, round + 1, header);
}
static void lie_lineage(struct own_lane *self, uint64_t round) {
  struct ipcnet_lane_slot_header header = honest;
  header.lineage_count = (uint8_t)round;
  forge_plain(self, round + 1, header);
}
static void lie_schema(struct own_lane *self, uint64_t round) {
  struct ipcnet_lane_slot_header header = honest;
  header.schema_hash = round;
  forge_plain(self, round + 1, header);
}
static void lie_flags(struct own_lane *self, uint64_t round) {
  struct ipcnet_lane_slot_header header = honest;
  header.flags = (uint16_t)(round * 257);
  forge_plain(self, round + 1, header);
}
static void head_back(struct own_lane *self, uint64_t round) {
  forge_plain(self, round + 1, honest);
  if (round > 40) atomic_store(&self->memory->head, round % 7);
}
static void head_beyond(struct own_lane *self, uint64_t round) {
  static const uint64_t heads[] = { UINT64_MAX, UINT64_MAX / 2, 1ull << 62, (1ull << 62) + 1, 1ull << 40, 0 };
  forge_plain(self, round + 1, honest);
  if (round > 20) atomic_store(&self->memory->head, heads[round % 6]);
}
static void head_without_messages(struct own_lane *self, uint64_t round) { atomic_store(&self->memory->head, round * 3 + 1); }
static void states(struct own_lane *self, uint64_t round) {
  forge_plain(self, round + 1, honest);
  for (uint64_t i = 1; i <= SLOTS; i++) atomic_store(&ipcnet_lane_slot_of(&self->parts, i)->words[0], round * 0x9E3779B97F4A7C15u);
}
static void never_complete(struct own_lane *self, uint64_t round) {
  forge_plain(self, round + 1, honest);
  atomic_store(&ipcnet_lane_slot_of(&self->parts, round + 1)->words[0], 2 * round + 1);
}
static void closed_and_open(struct own_lane *self, uint64_t round) {
  forge_plain(self, round + 1, honest);
  atomic_store(&self->memory->closed, round % 3 ? 0 : (uint32_t)round);
}
static void demoted_and_space(struct own_lane *self, uint64_t round) {
  forge_plain(self, round + 1, honest);
  for (int i = 0; i < IPCNET_LANE_READERS_MAX; i++) atomic_store(&self->memory->demoted[i], (uint8_t)round);
  atomic_store(&self->memory->space_wanted, round % 2 ? UINT64_MAX : round);
}
static void new_geometry(struct own_lane *self, uint64_t round) {
  forge_plain(self, round + 1, honest);
  self->memory->fixed.slot_count = (uint32_t)round * 77;
  self->memory->fixed.inline_bytes = 1u << (round % 31);
  self->memory->fixed.large_bytes = round << 33;
  self->memory->fixed.header_crc = ipcnet_lane_fixed_crc(&self->memory->fixed);
}
/* Two whole messages, one over the other while the reader may be copying, without a word about it in the state. */
static void changed_while_read(struct own_lane *self, uint64_t round) {
  uint8_t payload[INLINE_BYTES];
  struct ipcnet_lane_slot_header header = honest;
  header.payload_bytes = sizeof payload;
  const uint64_t sequence = round / 256 + 1;
  memset(payload, (int)(sequence & 0xFF), sizeof payload);
  if (round % 256 == 0) forge(self, sequence, header, payload, sizeof payload);
  else memset((uint8_t *)ipcnet_lane_slot_of(&self->parts, sequence) + IPCNET_LANE_SLOT_HEADER_BYTES, (int)((sequence + round % 2) & 0xFF), sizeof payload);
}
static void noise_everywhere(struct own_lane *self, uint64_t round) {
  static uint64_t state = 7;
  uint64_t *words = (uint64_t *)(void *)self->memory;
  for (int i = 0; i < 512; i++) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    words[(state >> 33) % (self->fixed.file_bytes / 8)] = state ^ (state >> 20);
  }
  if (round % 4 == 0) forge_plain(self, round + 1, honest);
}

/* The reader under attack: all the ways of reading, in turn. Ends when told, or when the lane is broken for good. */
static _Noreturn void play_victim(int stage, int lane_fd, int bell) {
  static uint8_t buffer[LARGE_BYTES];
  struct ipcnet_lane_reader *reader;
  struct ipcnet_lane_sample samples[32];
  struct seen seen = { 0 };
  uint64_t last = 0;
  const struct ipcnet_lane_reader_options options = { .policy = IPCNET_LANE_QUEUE, .start = IPCNET_LANE_FROM_OLDEST };
  become(READER_USER);
  if (ipcnet_lane_reader_open(&reader, lane_fd, bell, &options) != 0) _exit(3);
  say(stage, "o", 1, NULL, 0);
  for (uint64_t turn = 0; ; turn++) {
    enum ipcnet_lane_verdict verdict = IPCNET_LANE_NOTHING;
    uint32_t count = 0;
    const void *lease = buffer;
    if (turn % 3 == 0) {
      verdict = ipcnet_lane_reader_read(reader, samples, buffer, sizeof buffer);
      count = verdict == IPCNET_LANE_SAMPLE;
    } else if (turn % 3 == 1) {
      count = ipcnet_lane_reader_drain(reader, samples, 32, buffer, sizeof buffer, &verdict);
    } else {
      verdict = ipcnet_lane_reader_lease(reader, samples, &lease);
      /* A lease is memory of the writer's: only that it can be read, all of it. */
      uint8_t sum = 0;
      if (verdict == IPCNET_LANE_SAMPLE) {
        for (size_t i = 0; i < samples[0].payload_bytes; i++) sum = (uint8_t)(sum + ((const volatile uint8_t *)lease)[i]);
        (void)sum;
        (void)ipcnet_lane_reader_release(reader);
        if (samples[0].sequence <= last) seen.out_of_turn++;
        last = samples[0].sequence;
        seen.samples++;
      }
    }
    for (uint32_t i = 0; i < count; i++) {
      const uint8_t *payload = buffer + samples[i].payload_at;
      if (samples[i].sequence <= last) seen.out_of_turn++;
      last = samples[i].sequence;
      seen.samples++;
      for (size_t at = 1; at < samples[i].payload_bytes; at++) if (payload[at] != payload[0]) { seen.mixed++; break; }
    }
    if (turn % 16 == 0) {
      struct ipcnet_lane_sample past[4];
      static uint8_t past_bytes[LARGE_BYTES];
      (void)ipcnet_lane_reader_history(reader, 4, past, past_bytes, sizeof past_bytes);
      (void)ipcnet_lane_reader_arm(reader);
      ipcnet_lane_reader_awake(reader);
    }
    seen.turns = turn;
    seen.end = verdict;
    char word;
    if (verdict == IPCNET_LANE_BROKEN || (turn % 8 == 0 && hear(stage, &word, 1, NULL, NULL, 0) >= 0)) break;
  }
  struct ipcnet_lane_reader_stats stats;
  ipcnet_lane_reader_stats(reader, &stats);
  seen.lost = stats.lost;
  seen.corrupt = stats.corrupt;
  ipcnet_lane_reader_close(reader);
  say(stage, &seen, sizeof seen, NULL, 0);
  _exit(0);
}

static void run_lie(const char *name, lie *step, int steps) {
  struct own_lane own;
  struct seen seen = { 0 };
  int ends[2], bell[2], status;
  char word, text[160], harm[160] = "";
  uint64_t round = 0;
  make_own(&own);
  if (ipcnet_lane_bell(bell) != 0 || socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) abort();
  fflush(stdout);
  const pid_t victim = fork();
  if (victim == 0) {
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(ends[0]);
    close(bell[1]);
    play_victim(ends[1], ipcnet_lane_writer_fd(own.writer), bell[0]);
  }
  close(ends[1]);
  close(bell[0]);
  if (hear(ends[0], &word, 1, NULL, NULL, 60000) != 1) snprintf(harm, sizeof harm, "the reader did not begin");
  for (const uint64_t end_ns = ipcnet_lane_clock_ns(CLOCK_MONOTONIC) + ATTACK_NS; !harm[0] && ipcnet_lane_clock_ns(CLOCK_MONOTONIC) < end_ns;) {
    for (int i = 0; i < steps; i++) step(&own, round++);
    sched_yield(); /* both want the processor */
  }
  say(ends[0], "x", 1, NULL, 0);
  if (!harm[0] && hear(ends[0], &seen, sizeof seen, NULL, NULL, 60000) != (ssize_t)sizeof seen) {
    snprintf(harm, sizeof harm, "the reader is gone or stuck");
    (void)kill(victim, SIGKILL);
  }
  if (waitpid(victim, &status, 0) == victim && !(WIFEXITED(status) && WEXITSTATUS(status) == 0)) {
    if (WIFSIGNALED(status)) snprintf(harm, sizeof harm, "the reader ended with signal %d", WTERMSIG(status));
    else snprintf(harm, sizeof harm, "the reader ended with exit code %d", WEXITSTATUS(status));
  }
  if (seen.mixed || seen.out_of_turn) snprintf(harm, sizeof harm, "%llu mixed, %llu out of turn", (unsigned long long)seen.mixed, (unsigned long long)seen.out_of_turn);
  snprintf(text, sizeof text, "%llu read, %llu refused, %s", (unsigned long long)seen.samples, (unsigned long long)seen.corrupt, seen.end == IPCNET_LANE_BROKEN ? "given up as broken" : "still reading");
  tell(name, "harmless", text, round, harm);
  close(ends[0]);
  close(bell[1]);
  ipcnet_lane_writer_destroy(own.writer);
}

/* -------------------------------------------------------- what is no lane -- */

static int fixed_memory(const struct ipcnet_lane_fixed *fixed, off_t bytes, int seals, int with_pages) {
  const int fd = memfd_create("lane", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0 || ftruncate(fd, bytes) != 0 || (with_pages && fallocate(fd, 0, 0, bytes) != 0)) abort();
  if (bytes >= (off_t)sizeof *fixed && pwrite(fd, fixed, sizeof *fixed, 0) < 0) abort();
  if (seals && fcntl(fd, F_ADD_SEALS, seals) != 0) abort();
  return fd;
}

static int geometry(uint32_t slots, uint32_t inline_bytes, uint64_t large, uint64_t claimed_bytes, off_t bytes) {
  struct ipcnet_lane_fixed fixed = { .lane_id = { 1 }, .first_sequence = 1, .file_bytes = claimed_bytes, .large_bytes = large, .slot_count = slots, .inline_bytes = inline_bytes };
  memcpy(fixed.magic, IPCNET_LANE_MAGIC, sizeof fixed.magic);
  fixed.header_crc = ipcnet_lane_fixed_crc(&fixed);
  return fixed_memory(&fixed, bytes, ALL_SEALS, 1);
}

#define GOOD_BYTES ipcnet_lane_file_bytes(SLOTS, 64, 0)

static struct ipcnet_lane_fixed good_header(void) {
  struct ipcnet_lane_fixed fixed = { .lane_id = { 1 }, .first_sequence = 1, .file_bytes = GOOD_BYTES, .slot_count = SLOTS, .inline_bytes = 64 };
  memcpy(fixed.magic, IPCNET_LANE_MAGIC, sizeof fixed.magic);
  fixed.header_crc = ipcnet_lane_fixed_crc(&fixed);
  return fixed;
}

static int sealed_as(int seals, int with_pages) {
  const struct ipcnet_lane_fixed fixed = good_header();
  return fixed_memory(&fixed, (off_t)GOOD_BYTES, seals, with_pages);
}
static int in_a_file(void) {
  const struct ipcnet_lane_fixed fixed = good_header();
  const int fd = open("/tmp", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
  if (fd < 0) return open("/dev/zero", O_RDWR | O_CLOEXEC);
  if (ftruncate(fd, (off_t)GOOD_BYTES) != 0 || pwrite(fd, &fixed, sizeof fixed, 0) < 0) abort();
  return fd;
}
static int in_huge_pages(void) {
  const int fd = memfd_create("lane", MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_HUGETLB);
  if (fd < 0) return -1;
  if (ftruncate(fd, 2 << 20) == 0) (void)fcntl(fd, F_ADD_SEALS, ALL_SEALS);
  return fd;
}
static int one_end(int type) {
  int ends[2];
  return socketpair(AF_UNIX, type | SOCK_CLOEXEC, 0, ends) == 0 ? ends[0] : -1;
}
static int a_pipe(void) {
  int ends[2];
  return pipe(ends) == 0 ? ends[0] : -1;
}
static int a_bad_crc(void) {
  struct ipcnet_lane_fixed fixed = good_header();
  fixed.policy = 1;
  return fixed_memory(&fixed, (off_t)GOOD_BYTES, ALL_SEALS, 1);
}

static void offer(const char *name, int fd) {
  struct ipcnet_lane_description description;
  struct ipcnet_lane_reader *reader = NULL;
  int status = 0, bell[2];
  fflush(stdout);
  if (fd < 0) return tell(name, "denied", "this kernel has no such thing", 0, "");
  /* In a process of its own: a SIGBUS there is to be seen. */
  const pid_t victim = fork();
  if (victim == 0) {
    const struct ipcnet_lane_reader_options options = { .policy = IPCNET_LANE_QUEUE, .start = IPCNET_LANE_FROM_OLDEST };
    if (ipcnet_lane_describe(fd, &description) != -EPROTO) _exit(3);
    if (ipcnet_lane_bell(bell) != 0 || ipcnet_lane_reader_open(&reader, fd, bell[0], &options) != -EPROTO) _exit(4);
    if (ipcnet_lane_check_page(fd, (const uint8_t[IPCNET_LANE_ID_BYTES]){ 1 }) != -EPROTO) _exit(5);
    _exit(0);
  }
  if (waitpid(victim, &status, 0) != victim) abort();
  if (WIFSIGNALED(status)) tell(name, "denied", "", 0, strsignal(WTERMSIG(status)));
  else if (WEXITSTATUS(status) == 0) tell(name, "denied", "EPROTO", 0, "");
  else tell(name, "DONE", WEXITSTATUS(status) == 3 ? "taken for a lane" : WEXITSTATUS(status) == 4 ? "opened" : "taken for a page", 0, "");
  close(fd);
}

/* What is left to the writer once its lane is sealed: not even it can take the memory away from under its readers. */
static void withdraw(const char *name, int (*attempt)(struct own_lane *own)) {
  struct own_lane own;
  make_own(&own);
  errno = 0;
  if (attempt(&own) < 0) tell(name, "denied", errno_name(errno), 0, "");
  else tell(name, "DONE", "its readers would get SIGBUS, or be written to", 0, "");
  ipcnet_lane_writer_destroy(own.writer);
}
static int reopened_own(struct own_lane *own) {
  char path[40];
  snprintf(path, sizeof path, "/proc/self/fd/%d", ipcnet_lane_writer_fd(own->writer));
  return open(path, O_RDWR | O_CLOEXEC);
}
static int remove_pages(struct own_lane *own) { return madvise(own->memory, own->fixed.file_bytes, MADV_REMOVE); }
static int cut_own(struct own_lane *own) { return ftruncate(reopened_own(own), 4096); }
static int punch_own(struct own_lane *own) { return fallocate(reopened_own(own), 3, 0, 4096); }
static int map_again(struct own_lane *own) { return mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, reopened_own(own), 0) == MAP_FAILED ? -1 : 0; }

void run_writer_attacks(const char *only) {
  /* Messages that are to be read go slowly, races fast. */
  static const struct { const char *name; lie *step; int steps; } lies[] = {
    { "lying lengths", lie_length, 8 }, { "positions outside", lie_position, 8 }, { "lying lineage", lie_lineage, 8 }, { "another schema", lie_schema, 8 }, { "unknown flags", lie_flags, 8 },
    { "a head that goes back", head_back, 8 }, { "a head beyond everything", head_beyond, 8 }, { "a head without messages", head_without_messages, 8 }, { "impossible states", states, 2000 },
    { "messages never completed", never_complete, 8 }, { "closed and open again", closed_and_open, 8 }, { "lies about demotion and space", demoted_and_space, 2000 }, { "another geometry after opening", new_geometry, 8 },
    { "bytes changed while they are read", changed_while_read, 512 }, { "noise everywhere", noise_everywhere, 2000 },
  };
  static const struct { const char *name; int (*attempt)(struct own_lane *own); } withdrawals[] = {
    { "the writer removes its pages", remove_pages }, { "the writer truncates its lane", cut_own }, { "the writer punches a hole", punch_own }, { "a second writable mapping", map_again },
  };
  for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) if (!only || strstr(lies[i].name, only)) run_lie(lies[i].name, lies[i].step, lies[i].steps);
  for (size_t i = 0; i < sizeof withdrawals / sizeof *withdrawals; i++) if (!only || strstr(withdrawals[i].name, only)) withdraw(withdrawals[i].name, withdrawals[i].attempt);
  if (only && *only && !strstr("no lane", only)) return;
  offer("no lane: not sealed", sealed_as(0, 1));
  offer("no lane: may shrink", sealed_as(ALL_SEALS & ~F_SEAL_SHRINK, 1));
  offer("no lane: may grow", sealed_as(ALL_SEALS & ~F_SEAL_GROW, 1));
  offer("no lane: may be written", sealed_as(ALL_SEALS & ~SEAL_FUTURE_WRITE, 1));
  offer("no lane: may be sealed on", sealed_as(ALL_SEALS & ~F_SEAL_SEAL, 1));
  offer("no lane: holes", sealed_as(ALL_SEALS, 0));
  offer("no lane: empty", fixed_memory(NULL, 0, ALL_SEALS, 0));
  offer("no lane: shorter than a header", geometry(SLOTS, 64, 0, 4095, 4095));
  offer("no lane: header only", geometry(SLOTS, 64, 0, GOOD_BYTES, 4096));
  offer("no lane: one page short", geometry(SLOTS, 64, 8192, ipcnet_lane_file_bytes(SLOTS, 64, 8192), (off_t)ipcnet_lane_file_bytes(SLOTS, 64, 4096)));
  offer("no lane: claims its size wrongly", geometry(SLOTS, 64, 0, GOOD_BYTES + 4096, (off_t)GOOD_BYTES));
  offer("no lane: slots that are no power of two", geometry(15, 64, 0, ipcnet_lane_file_bytes(15, 64, 0), (off_t)ipcnet_lane_file_bytes(15, 64, 0)));
  offer("no lane: no slots", geometry(0, 64, 0, 4096, 4096));
  offer("no lane: slots that overflow", geometry(1u << 31, 64, 0, GOOD_BYTES, (off_t)GOOD_BYTES));
  offer("no lane: inline bytes that overflow", geometry(SLOTS, 0xFFFFFFC0u, 0, GOOD_BYTES, (off_t)GOOD_BYTES));
  offer("no lane: large bytes that overflow", geometry(SLOTS, 64, 0xFFFFFFFFFFFFF000u, GOOD_BYTES, (off_t)GOOD_BYTES));
  offer("no lane: checksum", a_bad_crc());
  offer("no lane: a file", in_a_file());
  offer("no lane: huge pages", in_huge_pages());
  offer("no lane: a stream socket", one_end(SOCK_STREAM));
  offer("no lane: a bell", one_end(SOCK_SEQPACKET));
  offer("no lane: a pipe", a_pipe());
  offer("no lane: an eventfd", eventfd(0, EFD_CLOEXEC));
  offer("no lane: an epoll", epoll_create1(EPOLL_CLOEXEC));
  offer("no lane: a pidfd", (int)syscall(434, getpid(), 0));
  offer("no lane: a folder", open("/", O_RDONLY | O_CLOEXEC));
  offer("no lane: a path only", open("/", O_PATH | O_CLOEXEC));
  offer("no lane: /dev/zero", open("/dev/zero", O_RDWR | O_CLOEXEC));
  offer("no lane: a terminal", open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC));
  offer("no lane: /proc/self/mem", open("/proc/self/mem", O_RDONLY | O_CLOEXEC));
}
