#include "table_store.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "failpoint.h"
#include "reflex_table.h"
#include "slots.h"

#define PATH_MAX_HERE 320
#define LINK_NAME "table"

static int write_whole(const char *path, const uint8_t *bytes, size_t length) {
  int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
  if (fd < 0) return -errno;
  int result = 0;
  for (size_t at = 0; at < length && result == 0;) {
    ssize_t done = write(fd, bytes + at, length - at);
    if (done <= 0) result = done < 0 ? -errno : -ENOSPC;
    else at += (size_t)done;
  }
  if (result == 0 && fsync(fd) != 0) result = -errno;
  close(fd);
  return result;
}

/* All tables but the linked one. What cannot be removed stays and is tried again next time. */
static void remove_others(const char *folder, const char *kept) {
  char path[PATH_MAX_HERE];
  DIR *listing = opendir(folder);
  if (listing == NULL) return;
  for (struct dirent *entry = readdir(listing); entry != NULL; entry = readdir(listing)) {
    if (strncmp(entry->d_name, "table-", 6) != 0 || strcmp(entry->d_name, kept) == 0) continue;
    if (snprintf(path, sizeof path, "%s/%s", folder, entry->d_name) < (int)sizeof path) unlink(path);
  }
  closedir(listing);
}

int ipcnet_table_store_write(const char *folder, const void *bytes, size_t length) {
  char name[32], path[PATH_MAX_HERE], fresh[PATH_MAX_HERE], linked[PATH_MAX_HERE];
  const struct ipcnet_reflex_table_header *header = bytes;
  size_t at = (size_t)snprintf(name, sizeof name, "table-");
  for (unsigned i = 0; i < 8; i++) at += (size_t)snprintf(name + at, sizeof name - at, "%02x", header->hash[i]);
  snprintf(name + at, sizeof name - at, ".bin");
  snprintf(path, sizeof path, "%s/%s", folder, name);
  snprintf(fresh, sizeof fresh, "%s/table-fresh", folder);
  snprintf(linked, sizeof linked, "%s/" LINK_NAME, folder);
  int result = write_whole(fresh, bytes, length);
  if (IPCNET_FAILPOINT("writeTable")) result = -ENOSPC;
  if (result == 0 && rename(fresh, path) != 0) result = -errno;
  if (result == 0) result = ipcnet_sync_folder(folder);
  if (result != 0) {
    unlink(fresh);
    return result;
  }
  (void)IPCNET_FAILPOINT("beforeTableLink");
  unlink(fresh);
  if (symlink(name, fresh) != 0 || rename(fresh, linked) != 0) return -errno;
  result = ipcnet_sync_folder(folder);
  if (result == 0) remove_others(folder, name);
  return result;
}

long ipcnet_table_store_read(const char *folder, void **bytes) {
  char path[PATH_MAX_HERE];
  struct stat status;
  snprintf(path, sizeof path, "%s/" LINK_NAME, folder);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT ? 0 : -errno;
  long result = -EINVAL;
  if (fstat(fd, &status) == 0 && status.st_size > 0 && status.st_size <= (off_t)IPCNET_REFLEX_TABLE_BYTES_MAX) {
    size_t length = (size_t)status.st_size;
    void *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) result = -errno;
    else if (read(fd, memory, length) != (ssize_t)length) munmap(memory, length), result = -EIO; /* copied: a file may shrink under a mapping */
    else *bytes = memory, result = (long)length;
  }
  close(fd);
  return result;
}
