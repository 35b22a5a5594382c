/* A reader against the sealed memory that it was given: every way to write it, to cut it, or to hold up those who use it. */
#include "scene.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/futex.h>
#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

static const uint8_t poison[64] = "these bytes are not the writer's";

static void *map_to_read(struct attacker *self) {
  void *base = mmap(NULL, self->lane_bytes, PROT_READ, MAP_SHARED, self->lane_fd, 0);
  if (base == MAP_FAILED) outcome(DENIED, "not even to read: %s", errno_name(errno));
  return base;
}

/* The memory, opened anew for reading and writing. */
static int reopened(struct attacker *self) {
  char path[40];
  snprintf(path, sizeof path, "/proc/self/fd/%d", self->lane_fd);
  const int fd = open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) outcome(DENIED, "%s", errno_name(errno));
  return fd;
}

static void write_and_see(void *base) {
  if (base == MAP_FAILED) outcome(DENIED, "%s", errno_name(errno));
  memcpy((uint8_t *)base + 4096 + 8, poison, sizeof poison);
  outcome(DONE, "written");
}

static void map_shared(struct attacker *self) { write_and_see(mmap(NULL, self->lane_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, self->lane_fd, 0)); }
static void protect(struct attacker *self) { outcome_of(mprotect(map_to_read(self), self->lane_bytes, PROT_READ | PROT_WRITE), DONE, "writable"); }
static void store(struct attacker *self) { write_and_see(map_to_read(self)); }
static void write_at(struct attacker *self) { outcome_of(pwrite(self->lane_fd, poison, sizeof poison, 4096), DONE, "written"); }
static void cut(struct attacker *self) { outcome_of(ftruncate(self->lane_fd, 0), DONE, "cut"); }
static void lengthen(struct attacker *self) { outcome_of(ftruncate(self->lane_fd, (off_t)(2 * self->lane_bytes)), DONE, "longer"); }
static void punch(struct attacker *self) { outcome_of(fallocate(self->lane_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 8192), DONE, "punched"); }
static void zero(struct attacker *self) { outcome_of(fallocate(self->lane_fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE, 0, 8192), DONE, "zeroed"); }
static void take_pages(struct attacker *self) { outcome_of(madvise(map_to_read(self), self->lane_bytes, MADV_REMOVE), DONE, "removed"); }
static void add_seal(struct attacker *self) { outcome_of(fcntl(self->lane_fd, F_ADD_SEALS, F_SEAL_WRITE), DONE, "sealed against its writer"); }
static void splice_into(struct attacker *self) {
  int ends[2];
  if (pipe(ends) != 0 || write(ends[1], poison, sizeof poison) < 0) outcome(DENIED, "no pipe");
  loff_t at = 4096;
  outcome_of(splice(ends[0], NULL, self->lane_fd, &at, sizeof poison, 0), DONE, "written");
}

/* A private mapping may be written, and is the attacker's own from then on. */
static void map_private(struct attacker *self) {
  uint8_t *base = mmap(NULL, self->lane_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, self->lane_fd, 0);
  if (base == MAP_FAILED) outcome(DENIED, "%s", errno_name(errno));
  memset(base, 0xEE, self->lane_bytes);
  const uint8_t *shared = map_to_read(self);
  outcome(memcmp(shared, "IPCLANE1", 8) == 0 ? HARMLESS : DONE, "its own copy");
}

static void reopen_and_map(struct attacker *self) { write_and_see(mmap(NULL, self->lane_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, reopened(self), 0)); }
static void reopen_and_write(struct attacker *self) { outcome_of(pwrite(reopened(self), poison, sizeof poison, 4096), DONE, "written"); }
static void reopen_and_punch(struct attacker *self) { outcome_of(fallocate(reopened(self), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 8192), DONE, "punched"); }
static void reopen_and_cut(struct attacker *self) { outcome_of(ftruncate(reopened(self), 0), DONE, "cut"); }
static void reopen_and_seal(struct attacker *self) { outcome_of(fcntl(reopened(self), F_ADD_SEALS, F_SEAL_WRITE), DONE, "sealed against its writer"); }
static void reopen_and_truncate(struct attacker *self) {
  char path[40];
  snprintf(path, sizeof path, "/proc/self/fd/%d", self->lane_fd);
  outcome_of(open(path, O_RDWR | O_TRUNC | O_CLOEXEC), DONE, "cut");
}

/* The kernel's own way around page protection: it must not reach through a mapping that can never be written. */
static void own_memory_file(struct attacker *self) {
  uint8_t *base = map_to_read(self);
  const int memory = open("/proc/self/mem", O_RDWR | O_CLOEXEC);
  if (memory < 0) outcome(DENIED, "%s", errno_name(errno));
  outcome_of(pwrite(memory, poison, sizeof poison, (off_t)(uintptr_t)(base + 4096 + 8)), memcmp(base + 4096 + 8, poison, 8) == 0 ? DONE : HARMLESS, "written");
}
static void own_memory_call(struct attacker *self) {
  struct iovec from = { .iov_base = (void *)(uintptr_t)poison, .iov_len = sizeof poison };
  struct iovec to = { .iov_base = (uint8_t *)map_to_read(self) + 4096 + 8, .iov_len = sizeof poison };
  outcome_of(process_vm_writev(getpid(), &from, 1, &to, 1, 0), DONE, "written");
}

/* Device memory made of shared memory: old kernels forgot one of the seals here. */
static void as_device_memory(struct attacker *self) {
  const struct { uint32_t memfd, flags; uint64_t offset, size; } create = { .memfd = (uint32_t)self->lane_fd, .size = 4096 };
  const int device = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
  if (device < 0) outcome(DENIED, "no device: %s", errno_name(errno));
  const long buffer = syscall(SYS_ioctl, device, 0x40187542, &create);
  if (buffer < 0) outcome(DENIED, "%s", errno_name(errno));
  write_and_see(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, (int)buffer, 0));
}

/* Locks and modes of the file: allowed, and nobody looks at them. */
static void lock_file(struct attacker *self) {
  const int locked = flock(self->lane_fd, LOCK_EX | LOCK_NB);
  outcome_of(locked, HARMLESS, "locked, and nobody waits for it");
}
static void lock_range(struct attacker *self) {
  struct flock range = { .l_type = F_RDLCK, .l_whence = SEEK_SET };
  outcome_of(fcntl(self->lane_fd, F_SETLK, &range), HARMLESS, "locked, and nobody waits for it");
}
static void change_mode(struct attacker *self) {
  if (fchmod(self->lane_fd, 0666) != 0) outcome(DENIED, "%s", errno_name(errno));
  const int fd = reopened(self);
  if (pwrite(fd, poison, sizeof poison, 4096) > 0) outcome(DONE, "written");
  outcome_of(mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED ? 0 : -1, HARMLESS, "mode changed; still not writable");
}
static void change_owner(struct attacker *self) { outcome_of(fchown(self->lane_fd, getuid(), getgid()), HARMLESS, "still not writable"); }
static void change_flags(struct attacker *self) { outcome_of(fcntl(self->lane_fd, F_SETFL, O_APPEND | O_NONBLOCK), HARMLESS, "flags of a description that nobody reads through"); }
static void move_offset(struct attacker *self) { outcome_of(lseek(self->lane_fd, 1 << 20, SEEK_SET), HARMLESS, "an offset that nobody uses"); }

/* A reader may call futex on what it may read. Nobody sleeps there: 0 woken, 0 moved, and sleepers on their bells wake as always. */
static void futex_words(struct attacker *self) {
  static uint32_t own;
  uint8_t *base = map_to_read(self);
  long woken = 0;
  for (int round = 0; round < 50; round++) {
    for (uint64_t at = 0; at < self->lane_bytes; at += round == 0 ? 4 : 256) {
      woken += syscall(SYS_futex, base + at, FUTEX_REQUEUE, 0, (void *)INTPTR_MAX, &own, 0) > 0;
      woken += syscall(SYS_futex, base + at, FUTEX_WAKE, INT32_MAX, NULL, NULL, 0) > 0;
    }
  }
  outcome(woken > 0 ? DONE : HARMLESS, "nobody slept there");
}

/* Pinned, locked and read ahead: the memory stays the writer's to write. */
static void hold_pages(struct attacker *self) {
  void *base = map_to_read(self);
  (void)mlock(base, self->lane_bytes);
  (void)madvise(base, self->lane_bytes, MADV_DONTNEED);
  (void)madvise(base, self->lane_bytes, 21 /* MADV_PAGEOUT */);
  (void)madvise(base, self->lane_bytes, MADV_HUGEPAGE);
  outcome(HARMLESS, "still the writer's to write");
}

const struct attack memory_attacks[] = {
  { "map it shared and writable", map_shared, THE_KERNEL, 0 },
  { "mprotect the mapping writable", protect, THE_KERNEL, 0 },
  { "store through the read-only mapping", store, THE_KERNEL, 0 },
  { "pwrite", write_at, THE_KERNEL, 0 },
  { "splice into it", splice_into, THE_KERNEL, 0 },
  { "ftruncate to nothing", cut, THE_KERNEL, 0 },
  { "ftruncate to twice its size", lengthen, THE_KERNEL, 0 },
  { "punch a hole", punch, THE_KERNEL, 0 },
  { "zero a range", zero, THE_KERNEL, 0 },
  { "madvise MADV_REMOVE", take_pages, THE_KERNEL, 0 },
  { "add a seal against the writer", add_seal, THE_KERNEL, 0 },
  { "map it private and writable", map_private, THE_KERNEL, 0 },
  { "reopen through /proc/self/fd, map", reopen_and_map, THE_KERNEL, 0 },
  { "reopen through /proc/self/fd, pwrite", reopen_and_write, THE_KERNEL, 0 },
  { "reopen through /proc/self/fd, punch a hole", reopen_and_punch, THE_KERNEL, 0 },
  { "reopen through /proc/self/fd, ftruncate", reopen_and_cut, THE_KERNEL, 0 },
  { "reopen through /proc/self/fd, O_TRUNC", reopen_and_truncate, THE_KERNEL, 0 },
  { "reopen through /proc/self/fd, add a seal", reopen_and_seal, THE_KERNEL, 0 },
  { "write through /proc/self/mem", own_memory_file, THE_KERNEL, 0 },
  { "process_vm_writev on itself", own_memory_call, THE_KERNEL, 0 },
  { "make a dma-buf of it", as_device_memory, THE_KERNEL, 0 },
  { "flock the shared description", lock_file, THE_KERNEL, 0 },
  { "lock a range", lock_range, THE_KERNEL, 0 },
  { "fchmod, then reopen", change_mode, THE_KERNEL, 0 },
  { "fchown", change_owner, THE_KERNEL, 0 },
  { "fcntl F_SETFL", change_flags, THE_KERNEL, 0 },
  { "move the file offset", move_offset, THE_KERNEL, 0 },
  { "futex requeue and wake on every word", futex_words, THE_KERNEL, 0 },
  { "mlock, MADV_PAGEOUT and the like", hold_pages, THE_KERNEL, 0 },
};
const size_t memory_attack_count = sizeof memory_attacks / sizeof *memory_attacks;
