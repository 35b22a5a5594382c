#include "sealed_file.h"
#include "check_test.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static void round_trip(void) {
  const char text[] = "what is sealed stays";
  int fd = ipcnet_sealed_file_make("note", text, sizeof text);
  CHECK(fd >= 0);
  CHECK(ipcnet_sealed_file_check(fd) == sizeof text);
  CHECK((fcntl(fd, F_GETFD) & FD_CLOEXEC) != 0);
  CHECK((fcntl(fd, F_GETFL) & O_ACCMODE) == O_RDONLY);
  const void *bytes;
  size_t length;
  CHECK(ipcnet_sealed_file_map(fd, &bytes, &length) == 0 && length == sizeof text && memcmp(bytes, text, length) == 0);
  char part[8];
  CHECK(ipcnet_sealed_file_read(fd, 5, part, sizeof part) == sizeof part && memcmp(part, text + 5, sizeof part) == 0);
  CHECK(ipcnet_sealed_file_read(fd, sizeof text - 2, part, sizeof part) == 2);
  CHECK(ipcnet_sealed_file_read(fd, sizeof text, part, sizeof part) == 0);
  CHECK(ipcnet_sealed_file_read(fd, UINT64_MAX, part, sizeof part) == 0);
  close(fd);
  CHECK(memcmp(bytes, text, length) == 0);
  CHECK(munmap((void *)(uintptr_t)bytes, length) == 0);
}

/* Each way to change it, also through a writable reopening. */
static void nothing_changes_it(void) {
  char path[32];
  int fd = ipcnet_sealed_file_make(NULL, "abc", 3);
  CHECK(fd >= 0);
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  CHECK(fchmod(fd, 0600) == 0);
  int writable = open(path, O_RDWR | O_CLOEXEC);
  if (writable < 0) writable = dup(fd);
  CHECK(pwrite(writable, "x", 1, 0) < 0);
  CHECK(ftruncate(writable, 1) < 0);
  CHECK(ftruncate(writable, 100) < 0);
  CHECK(fallocate(writable, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 3) < 0);
  CHECK(mmap(NULL, 3, PROT_READ | PROT_WRITE, MAP_SHARED, writable, 0) == MAP_FAILED);
  void *mapped = mmap(NULL, 3, PROT_READ, MAP_SHARED, fd, 0);
  CHECK(mapped != MAP_FAILED && mprotect(mapped, 3, PROT_READ | PROT_WRITE) < 0);
  munmap(mapped, 3);
  close(writable);
  CHECK(ipcnet_sealed_file_check(fd) == 3);
  close(fd);
}

static void what_is_not_sealed_is_refused(void) {
  const int all = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE;
  const int bits[] = { F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_GROW, F_SEAL_WRITE };
  for (int i = 0; i < 4; i++) {
    int fd = memfd_create("half", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    CHECK(fd >= 0 && ftruncate(fd, 3) == 0 && fcntl(fd, F_ADD_SEALS, all & ~bits[i]) == 0);
    const void *bytes;
    size_t length;
    CHECK(ipcnet_sealed_file_check(fd) == -EPERM);
    CHECK(ipcnet_sealed_file_map(fd, &bytes, &length) == -EPERM && bytes == NULL);
    close(fd);
  }
  int pipes[2];
  CHECK(pipe(pipes) == 0);
  CHECK(ipcnet_sealed_file_check(pipes[0]) == -EPERM);
  int ordinary = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  CHECK(ipcnet_sealed_file_check(ordinary) == -EPERM);
  CHECK(ipcnet_sealed_file_check(-1) == -EBADF);
  close(ordinary);
  close(pipes[0]);
  close(pipes[1]);
}

static void sizes(void) {
  int fd = ipcnet_sealed_file_make("a name that is far too long for the table of mappings and is cut there, without a fault", NULL, 0);
  const void *bytes = "";
  size_t length = 1;
  CHECK(fd >= 0 && ipcnet_sealed_file_check(fd) == 0 && ipcnet_sealed_file_map(fd, &bytes, &length) == 0 && bytes == NULL && length == 0);
  close(fd);
  if (sizeof(size_t) > 4) CHECK(ipcnet_sealed_file_make(NULL, NULL, (size_t)(IPCNET_SEALED_FILE_BYTES_MAX + 1)) == -EFBIG);
  /* Sparse, so that nothing is written: one byte more than is accepted. */
  int large = memfd_create("large", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  CHECK(large >= 0 && ftruncate(large, (off_t)(IPCNET_SEALED_FILE_BYTES_MAX + 1)) == 0);
  CHECK(fcntl(large, F_ADD_SEALS, F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE) == 0 && ipcnet_sealed_file_check(large) == -EFBIG);
  close(large);
}

static void a_limit_on_files_is_an_error_and_no_signal(void) {
  struct rlimit usual, tight = {.rlim_cur = 2};
  CHECK(getrlimit(RLIMIT_FSIZE, &usual) == 0);
  tight.rlim_max = usual.rlim_max;
  CHECK(setrlimit(RLIMIT_FSIZE, &tight) == 0);
  const int large = ipcnet_sealed_file_make(NULL, "abc", 3), small = ipcnet_sealed_file_make(NULL, "ab", 2);
  CHECK(setrlimit(RLIMIT_FSIZE, &usual) == 0);
  CHECK(large == -EFBIG && ipcnet_sealed_file_check(small) == 2);
  close(small);
}

int main(void) {
  round_trip();
  nothing_changes_it();
  what_is_not_sealed_is_refused();
  sizes();
  a_limit_on_files_is_an_error_and_no_signal();
  puts("sealed_file: passed");
  return 0;
}
