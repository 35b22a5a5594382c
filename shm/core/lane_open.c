/* Opening and closing a lane that came from elsewhere. */
#include "lane_reader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

static int page_make(struct ipcnet_lane_reader *self) {
  void *base = NULL;
  const int fd = ipcnet_lane_memory_make("ipcnet-reader", IPCNET_LANE_PAGE_BYTES, &base);
  if (fd < 0) return fd;
  self->page = base;
  memcpy(self->page->magic, IPCNET_LANE_PAGE_MAGIC, sizeof self->page->magic);
  memcpy(self->page->lane_id, self->fixed.lane_id, IPCNET_LANE_ID_BYTES);
  atomic_init(&self->page->cursor, self->next - 1);
  self->page_fd = ipcnet_lane_memory_seal(fd);
  return self->page_fd < 0 ? self->page_fd : 0;
}

/* Where to begin, with head as it is now. */
static int start_at(struct ipcnet_lane_reader *self, const struct ipcnet_lane_reader_options *options) {
  const uint64_t first = self->fixed.first_sequence, slots = self->fixed.slot_count;
  self->head = first - 1;
  if (ipcnet_lane_reader_look(self)) return -EPROTO;
  const uint64_t head = self->head;
  const uint64_t oldest = head - first + 1 > slots ? head - slots + 1 : first;
  switch (options->start) {
    case IPCNET_LANE_FROM_NEXT: self->next = head + 1; break;
    case IPCNET_LANE_FROM_LAST: self->next = head >= first ? head : head + 1; break;
    case IPCNET_LANE_FROM_OLDEST: self->next = oldest; break;
    case IPCNET_LANE_FROM_SEQUENCE:
      if (options->sequence < 1 || options->sequence > IPCNET_LANE_SEQUENCE_MAX) return -EINVAL;
      self->next = options->sequence < oldest ? oldest : options->sequence > head + 1 ? head + 1 : options->sequence;
      break;
    default: return -EINVAL;
  }
  self->told = self->next - 1;
  if (options->start == IPCNET_LANE_FROM_SEQUENCE && options->sequence < self->next) {
    self->told = options->sequence - 1;
    self->stats.lost = self->next - options->sequence;
  }
  return 0;
}

static int open_over(struct ipcnet_lane_reader *self, void *base, uint64_t bytes, const struct ipcnet_lane_reader_options *options) {
  int result = ipcnet_lane_fixed_take(base, bytes, &self->fixed);
  if (result != 0) return result;
  if (options->policy > self->fixed.policy) return -EINVAL;
  if (options->schema_hash != 0 && options->schema_hash != self->fixed.schema_hash) return -EPROTONOSUPPORT;
  self->parts = ipcnet_lane_parts_of(base, &self->fixed);
  self->id_crc = ipcnet_lane_crc(0, self->fixed.lane_id, IPCNET_LANE_ID_BYTES);
  self->policy = options->policy;
  result = start_at(self, options);
  return result == 0 ? page_make(self) : result;
}

static int reader_new(struct ipcnet_lane_reader **out, int lane_fd, int bell_fd) {
  struct ipcnet_lane_reader *self = bell_fd >= 0 && ipcnet_lane_bell_check(bell_fd) != 0 ? NULL : calloc(1, sizeof *self);
  if (self == NULL) {
    if (bell_fd < 0) return -ENOMEM;
    const int result = ipcnet_lane_bell_check(bell_fd);
    close(bell_fd);
    return result != 0 ? result : -ENOMEM;
  }
  self->bell = bell_fd;
  self->page_fd = -1;
  self->owner = getpid();
  self->lane_fd = fcntl(lane_fd, F_DUPFD_CLOEXEC, 0);
  if (self->lane_fd < 0) {
    const int error = errno;
    ipcnet_lane_reader_close(self);
    return -error;
  }
  *out = self;
  return 0;
}

int ipcnet_lane_reader_over(struct ipcnet_lane_reader **out, void *base, uint64_t bytes, int lane_fd, int bell_fd, const struct ipcnet_lane_reader_options *options) {
  struct ipcnet_lane_reader *self;
  int result = reader_new(&self, lane_fd, bell_fd);
  if (result != 0) return result;
  self->over = 1;
  result = open_over(self, base, bytes, options);
  if (result != 0) ipcnet_lane_reader_close(self);
  else *out = self;
  return result;
}

int ipcnet_lane_reader_open(struct ipcnet_lane_reader **out, int lane_fd, int bell_fd, const struct ipcnet_lane_reader_options *options) {
  struct ipcnet_lane_reader *self;
  int result = reader_new(&self, lane_fd, bell_fd);
  if (result != 0) return result;
  uint64_t bytes = 0;
  void *base = MAP_FAILED;
  result = ipcnet_lane_memory_check(self->lane_fd, &bytes);
  if (result == 0 && (base = mmap(NULL, bytes, PROT_READ, MAP_SHARED | MAP_POPULATE, self->lane_fd, 0)) == MAP_FAILED) result = -errno;
  if (result == 0) {
    result = open_over(self, base, bytes, options);
    if (result != 0) munmap(base, bytes);
  }
  if (result == 0) {
    *out = self;
    return 0;
  }
  self->parts.memory = NULL;
  ipcnet_lane_reader_close(self);
  return result;
}

void ipcnet_lane_reader_close(struct ipcnet_lane_reader *self) {
  if (self == NULL) return;
  if (self->parts.memory != NULL && !self->over) munmap(self->parts.memory, self->fixed.file_bytes);
  if (self->private_base != NULL) munmap((void *)(uintptr_t)self->private_base, self->fixed.file_bytes);
  if (self->page != NULL && self->owner == getpid()) munmap(self->page, IPCNET_LANE_PAGE_BYTES); /* a forked child does not have it */
  if (self->page_fd >= 0) close(self->page_fd);
  if (self->lane_fd >= 0) close(self->lane_fd);
  if (self->bell >= 0) close(self->bell);
  free(self);
}

int ipcnet_lane_reader_page_fd(const struct ipcnet_lane_reader *self) { return self->page_fd; }
int ipcnet_lane_reader_bell_fd(const struct ipcnet_lane_reader *self) { return self->bell; }
uint64_t ipcnet_lane_reader_schema_hash(const struct ipcnet_lane_reader *self) { return self->fixed.schema_hash; }

void ipcnet_lane_reader_id(const struct ipcnet_lane_reader *self, uint8_t lane_id[IPCNET_LANE_ID_BYTES]) {
  memcpy(lane_id, self->fixed.lane_id, IPCNET_LANE_ID_BYTES);
}

size_t ipcnet_lane_reader_payload_bytes_max(const struct ipcnet_lane_reader *self) {
  const uint64_t large = self->fixed.large_bytes / 2;
  return large > self->fixed.inline_bytes ? large : self->fixed.inline_bytes;
}
