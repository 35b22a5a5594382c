#include "slots.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "failpoint.h"
#include "ipcnet_crc_fast.h"

#define RECORD_BYTES_MAX 8192u

static uint32_t crc_of(const void *record, size_t bytes) {
  return ipcnet_crc32_iscsi_fast(0, (const uint8_t *)record + 4, bytes - 4);
}

static bool is_whole(const void *record, size_t bytes) {
  uint32_t crc;
  memcpy(&crc, record, 4);
  return crc == crc_of(record, bytes);
}

static bool is_zero(const uint8_t *bytes, size_t count) {
  for (size_t i = 0; i < count; i++) {
    if (bytes[i] != 0) return false;
  }
  return true;
}

int ipcnet_slots_open(struct ipcnet_slots *self, const char *path, size_t record_bytes, size_t stride) {
  static const uint8_t zeros[512];
  struct stat status;
  *self = (struct ipcnet_slots){.fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600), .record_bytes = record_bytes, .stride = stride};
  if (self->fd < 0) return -errno;
  if (fstat(self->fd, &status) != 0) return -errno;
  if (status.st_size >= (off_t)(2 * stride)) return 0;
  /* Written, not merely made longer: a hole would find the disk full at the first takeover. */
  for (off_t at = status.st_size; at < (off_t)(2 * stride);) {
    size_t left = (size_t)((off_t)(2 * stride) - at);
    ssize_t done = pwrite(self->fd, zeros, left < sizeof zeros ? left : sizeof zeros, at);
    if (done <= 0) return done < 0 ? -errno : -ENOSPC;
    at += done;
  }
  return fdatasync(self->fd) == 0 ? 0 : -errno;
}

static unsigned read_both(int fd, size_t record_bytes, size_t stride, void *to, unsigned *newest, bool (*newer)(const void *, const void *)) {
  uint8_t record[RECORD_BYTES_MAX];
  unsigned found = 0;
  for (unsigned slot = 0; slot < 2; slot++) {
    ssize_t got = pread(fd, record, record_bytes, (off_t)(slot * stride));
    if (got <= 0) continue;
    if ((size_t)got == record_bytes && is_zero(record, record_bytes)) continue;
    if ((size_t)got != record_bytes || !is_whole(record, record_bytes)) {
      found |= IPCNET_SLOTS_CORRUPT;
      continue;
    }
    if ((found & IPCNET_SLOTS_VALID) && !newer(record, to)) continue;
    memcpy(to, record, record_bytes);
    *newest = slot;
    found |= IPCNET_SLOTS_VALID;
  }
  return found;
}

unsigned ipcnet_slots_read(struct ipcnet_slots *self, void *to, bool (*newer)(const void *, const void *)) {
  unsigned newest = 1;
  unsigned found = read_both(self->fd, self->record_bytes, self->stride, to, &newest, newer);
  self->next = 1 - newest;
  return found;
}

unsigned ipcnet_slots_peek(const char *path, void *to, size_t record_bytes, size_t stride, bool (*newer)(const void *, const void *)) {
  unsigned newest = 0;
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  unsigned found = read_both(fd, record_bytes, stride, to, &newest, newer);
  close(fd);
  return found;
}

int ipcnet_slots_write(struct ipcnet_slots *self, void *record) {
  uint32_t crc = crc_of(record, self->record_bytes);
  memcpy(record, &crc, 4);
  if (self->fd < 0) return -EBADF;
  if (IPCNET_FAILPOINT("writeSlot")) return -ENOSPC;
  ssize_t done = pwrite(self->fd, record, self->record_bytes, (off_t)(self->next * self->stride));
  if (done != (ssize_t)self->record_bytes) return done < 0 ? -errno : -ENOSPC;
  if (fdatasync(self->fd) != 0) return -errno; /* what the disk holds now is unknown: the same slot is written again */
  self->next = 1 - self->next;
  return 0;
}

int ipcnet_sync_folder(const char *path) {
  int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) return -errno;
  int result = fsync(fd) == 0 ? 0 : -errno;
  close(fd);
  return result;
}
