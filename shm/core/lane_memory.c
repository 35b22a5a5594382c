/* Sealed memory: making it, and checking that what came from elsewhere is such. */
#include "lane_layout.h"
#include "memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#ifndef TMPFS_MAGIC
#define TMPFS_MAGIC 0x01021994
#endif

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE)

int ipcnet_lane_memory_make(const char *name, uint64_t bytes, void **base) {
  const int fd = ipcnet_memfd_make(name, bytes);
  if (fd < 0) return fd;
  /* fallocate says when there is not enough memory; MAP_POPULATE alone would leave holes, and readers refuse memory with holes. */
  int error = ftruncate(fd, (off_t)bytes) != 0 ? errno : 0;
  if (error == 0 && fallocate(fd, 0, 0, (off_t)bytes) != 0) error = errno == ENOSPC ? ENOMEM : errno;
  if (error == 0) {
    *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
    if (*base == MAP_FAILED) error = errno;
  }
  if (error == 0) {
    /* A forked child would be a second writer. */
    if (madvise(*base, bytes, MADV_DONTFORK) == 0) return fd;
    error = errno;
    munmap(*base, bytes);
  }
  close(fd);
  return -error;
}

int ipcnet_lane_memory_seal(int fd) {
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  /* Opened before the mode forbids it to everybody but root: a read-only file description of its own, which no flag of ours or theirs makes writable. */
  int sealed = open(path, O_RDONLY | O_CLOEXEC);
  if (sealed < 0) sealed = -errno;
  if (sealed >= 0 && fchmod(fd, 0400) != 0) {
    const int error = errno;
    close(sealed);
    sealed = -error;
  }
  if (sealed >= 0 && fcntl(fd, F_ADD_SEALS, SEALS) != 0) {
    const int error = errno == EINVAL ? ENOTSUP : errno; /* EINVAL: a kernel that does not know FUTURE_WRITE */
    close(sealed);
    sealed = -error;
  }
  close(fd);
  return sealed;
}

int ipcnet_lane_memory_check(int fd, uint64_t *bytes) {
  struct stat file;
  struct statfs system;
  const int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & SEALS) != SEALS) return -EPROTO;
  /* Huge pages can fail to come at the first touch (SIGBUS), and holes are filled at the expense of whoever looks first. */
  if (fstatfs(fd, &system) != 0 || system.f_type != TMPFS_MAGIC) return -EPROTO;
  if (fstat(fd, &file) != 0 || !S_ISREG(file.st_mode) || file.st_size < IPCNET_LANE_PAGE_BYTES) return -EPROTO;
  if ((uint64_t)file.st_size > IPCNET_LANE_BYTES_MAX || (uint64_t)file.st_blocks * 512 < (uint64_t)file.st_size) return -EPROTO;
  *bytes = (uint64_t)file.st_size;
  return 0;
}

int ipcnet_lane_fixed_take(const void *base, uint64_t bytes, struct ipcnet_lane_fixed *fixed) {
  static const uint8_t zeros[sizeof fixed->zeros];
  ipcnet_lane_copy_out(fixed, base, sizeof *fixed);
  atomic_signal_fence(memory_order_seq_cst); /* from here on only the copy */
  if (memcmp(fixed->magic, IPCNET_LANE_MAGIC, sizeof fixed->magic) != 0 || fixed->zero != 0 || memcmp(fixed->zeros, zeros, sizeof zeros) != 0) return -EPROTO;
  if (fixed->header_crc != ipcnet_lane_fixed_crc(fixed)) return -EPROTO;
  const uint32_t slots = fixed->slot_count, inline_bytes = fixed->inline_bytes;
  if (slots < IPCNET_LANE_SLOTS_MIN || slots > IPCNET_LANE_SLOTS_MAX || (slots & (slots - 1)) != 0) return -EPROTO;
  if (inline_bytes > IPCNET_LANE_INLINE_MAX || inline_bytes % 128 != 64) return -EPROTO;
  if (fixed->large_bytes > IPCNET_LANE_BYTES_MAX || fixed->large_bytes % 4096 != 0) return -EPROTO;
  if (fixed->file_bytes != bytes || ipcnet_lane_file_bytes(slots, inline_bytes, fixed->large_bytes) != bytes) return -EPROTO;
  if (fixed->first_sequence < 1 || fixed->first_sequence > IPCNET_LANE_SEQUENCE_MAX || fixed->policy > IPCNET_LANE_LOSSLESS) return -EPROTO;
  return 0;
}

int ipcnet_lane_page_map(int fd, const uint8_t lane_id[IPCNET_LANE_ID_BYTES], const struct ipcnet_lane_page **page) {
  uint64_t bytes;
  if (ipcnet_lane_memory_check(fd, &bytes) != 0 || bytes != IPCNET_LANE_PAGE_BYTES) return -EPROTO;
  struct ipcnet_lane_page *mapped = mmap(NULL, IPCNET_LANE_PAGE_BYTES, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (mapped == MAP_FAILED) return -errno;
  if (memcmp(mapped->magic, IPCNET_LANE_PAGE_MAGIC, sizeof mapped->magic) != 0 || memcmp(mapped->lane_id, lane_id, IPCNET_LANE_ID_BYTES) != 0) {
    munmap(mapped, IPCNET_LANE_PAGE_BYTES);
    return -EPROTO;
  }
  *page = mapped;
  return 0;
}

int ipcnet_lane_describe(int fd, struct ipcnet_lane_description *description) {
  uint64_t bytes;
  struct ipcnet_lane_fixed fixed;
  if (ipcnet_lane_memory_check(fd, &bytes) != 0) return -EPROTO;
  void *base = mmap(NULL, IPCNET_LANE_HEADER_BYTES, PROT_READ, MAP_SHARED, fd, 0);
  if (base == MAP_FAILED) return -errno;
  const int bad = ipcnet_lane_fixed_take(base, bytes, &fixed);
  munmap(base, IPCNET_LANE_HEADER_BYTES);
  if (bad) return bad;
  *description = (struct ipcnet_lane_description){
    .schema_hash = fixed.schema_hash,
    .file_bytes = fixed.file_bytes,
    .first_sequence = fixed.first_sequence,
    .slot_count = fixed.slot_count,
    .inline_bytes = fixed.inline_bytes,
    .large_bytes = fixed.large_bytes,
    .policy = (uint8_t)fixed.policy,
  };
  memcpy(description->lane_id, fixed.lane_id, IPCNET_LANE_ID_BYTES);
  return 0;
}

int ipcnet_lane_check_page(int fd, const uint8_t lane_id[IPCNET_LANE_ID_BYTES]) {
  const struct ipcnet_lane_page *page;
  const int bad = ipcnet_lane_page_map(fd, lane_id, &page);
  if (!bad) munmap((void *)(uintptr_t)page, IPCNET_LANE_PAGE_BYTES);
  return bad;
}
