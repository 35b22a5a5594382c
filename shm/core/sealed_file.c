#include "sealed_file.h"

#include "memfd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#ifndef F_LINUX_SPECIFIC_BASE
#define F_LINUX_SPECIFIC_BASE 1024
#endif
#ifndef F_ADD_SEALS
#define F_ADD_SEALS (F_LINUX_SPECIFIC_BASE + 9)
#define F_GET_SEALS (F_LINUX_SPECIFIC_BASE + 10)
#define F_SEAL_SEAL 0x0001
#define F_SEAL_SHRINK 0x0002
#define F_SEAL_GROW 0x0004
#define F_SEAL_WRITE 0x0008
#endif

#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE)

static int write_all(int fd, const uint8_t *bytes, size_t length) {
  while (length > 0) {
    ssize_t written = write(fd, bytes, length);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return written < 0 ? -errno : -EIO;
    bytes += written;
    length -= (size_t)written;
  }
  return 0;
}

int ipcnet_sealed_file_make(const char *name, const void *bytes, size_t length) {
  char kept[64], path[32];
  if ((uint64_t)length > IPCNET_SEALED_FILE_BYTES_MAX) return -EFBIG;
  (void)snprintf(kept, sizeof kept, "%s", name != NULL ? name : "ipcnet-file");
  int fd = ipcnet_memfd_make(kept, length);
  if (fd < 0) return fd;
  int status = write_all(fd, bytes, length);
  if (status == 0 && fcntl(fd, F_ADD_SEALS, SEALS) != 0) status = -errno;
  if (status == 0 && fchmod(fd, 0400) != 0) status = -errno;
  if (status < 0) {
    close(fd);
    return status;
  }
  /* A description of its own, opened for reading: its offset is nobody else's. Without /proc the sealed one does as well, the seals protect it. */
  (void)snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int reading = open(path, O_RDONLY | O_CLOEXEC);
  if (reading < 0) return lseek(fd, 0, SEEK_SET) == 0 ? fd : -EIO;
  close(fd);
  return reading;
}

int64_t ipcnet_sealed_file_check(int fd) {
  struct stat status;
  int seals = fcntl(fd, F_GET_SEALS);
  /* EINVAL: not a file that can be sealed at all. */
  if (seals < 0) return errno == EINVAL ? -EPERM : -errno;
  if ((seals & SEALS) != SEALS) return -EPERM;
  if (fstat(fd, &status) != 0) return -errno;
  if (!S_ISREG(status.st_mode)) return -EPERM;
  return status.st_size < 0 || (uint64_t)status.st_size > IPCNET_SEALED_FILE_BYTES_MAX ? -EFBIG : status.st_size;
}

int ipcnet_sealed_file_map(int fd, const void **bytes, size_t *length) {
  *bytes = NULL;
  *length = 0;
  int64_t size = ipcnet_sealed_file_check(fd);
  if (size <= 0) return (int)size;
  if ((uint64_t)size > SIZE_MAX) return -EFBIG;
  /* Private: before Linux 6.7 a shared mapping of a sealed file that was opened for writing is refused, even a read-only one. */
  void *mapped = mmap(NULL, (size_t)size, PROT_READ, MAP_PRIVATE, fd, 0);
  if (mapped == MAP_FAILED) return -errno;
  *bytes = mapped;
  *length = (size_t)size;
  return 0;
}

int64_t ipcnet_sealed_file_read(int fd, uint64_t offset, void *buffer, size_t capacity) {
  int64_t size = ipcnet_sealed_file_check(fd);
  if (size < 0) return size;
  if (offset >= (uint64_t)size) return 0;
  size_t done = 0;
  while (done < capacity) {
    ssize_t got = pread(fd, (uint8_t *)buffer + done, capacity - done, (off_t)(offset + done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return -errno;
    if (got == 0) break;
    done += (size_t)got;
  }
  return (int64_t)done;
}
