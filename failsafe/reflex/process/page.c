#include "page.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "memfd.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif
#define SEALS (F_SEAL_FUTURE_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)
#define BYTES IPCNET_REFLEX_PAGE_BYTES

/* ---- Our own ---------------------------------------------------------------------------------------------------------------------------- */

int ipcnet_page_create(struct ipcnet_page *self) {
  char path[64];
  memset(self, 0, sizeof *self);
  self->fd = -1;
  int fd = ipcnet_memfd_make("ipcnet-reflex-page", BYTES);
  if (fd < 0) return fd;
  void *mapping = MAP_FAILED;
  if (ftruncate(fd, BYTES) == 0) mapping = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (mapping == MAP_FAILED || fcntl(fd, F_ADD_SEALS, SEALS) != 0) {
    int error = -errno;
    close(fd);
    return error;
  }
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  self->fd = open(path, O_RDONLY | O_CLOEXEC);
  int error = -errno;
  close(fd);
  if (self->fd < 0) return error;
  self->page = mapping;
  self->page->magic = IPCNET_REFLEX_PAGE_MAGIC;
  self->page->major = 1;
  self->page->pid = (uint32_t)getpid();
  self->page->pid_start = ipcnet_process_start(getpid());
  ipcnet_boot_id(self->page->boot_id);
  return 0;
}

int ipcnet_page_mark_death(struct ipcnet_page *self) {
  /* FUTEX_WAITERS is set for good: the kernel wakes only if it is, and the waiter cannot write here. */
  self->robust_entry.next = &self->robust_head.list;
  self->robust_head.list.next = &self->robust_entry;
  self->robust_head.futex_offset = (long)((intptr_t)&self->page->robust_word - (intptr_t)&self->robust_entry);
  self->robust_head.list_op_pending = NULL;
  __atomic_store_n(&self->page->robust_word, (uint32_t)syscall(SYS_gettid) | FUTEX_WAITERS, __ATOMIC_RELEASE);
  /* The C library's own list of this thread is given up: it has no robust mutexes. */
  if (syscall(SYS_set_robust_list, &self->robust_head, sizeof self->robust_head) == 0) return 0;
  __atomic_store_n(&self->page->robust_word, 0, __ATOMIC_RELEASE);
  return -errno;
}

/* ---- Another's -------------------------------------------------------------------------------------------------------------------------- */

const struct ipcnet_reflex_page *ipcnet_page_map(int fd) {
  struct stat status;
  int seals = fcntl(fd, F_GET_SEALS);
  if (seals < 0 || (seals & SEALS) != SEALS) return NULL; /* could shrink under us */
  if (fstat(fd, &status) != 0 || status.st_size != BYTES) return NULL;
  void *mapping = mmap(NULL, BYTES, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (mapping == MAP_FAILED) return NULL;
  const struct ipcnet_reflex_page *page = mapping;
  if (page->magic == IPCNET_REFLEX_PAGE_MAGIC && page->major == 1) return page;
  munmap(mapping, BYTES);
  return NULL;
}

void ipcnet_page_unmap(const struct ipcnet_reflex_page *page) {
  if (page != NULL) munmap((void *)(uintptr_t)page, BYTES);
}

/* ---- /proc ------------------------------------------------------------------------------------------------------------------------------ */

static size_t read_file(const char *path, char *to, size_t size) {
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  ssize_t got = read(fd, to, size - 1);
  close(fd);
  to[got > 0 ? got : 0] = '\0';
  return got > 0 ? (size_t)got : 0;
}

uint64_t ipcnet_process_start(int pid) {
  char path[64], text[1024];
  snprintf(path, sizeof path, "/proc/%d/stat", pid);
  if (read_file(path, text, sizeof text) == 0) return 0;
  char *at = strrchr(text, ')'); /* the name may hold anything, also brackets */
  for (int field = 2; at != NULL && field < 22; field++) at = strchr(at + 1, ' ');
  return at == NULL ? 0 : strtoull(at + 1, NULL, 10);
}

void ipcnet_boot_id(uint8_t to[16]) {
  char text[64];
  size_t digits = 0;
  memset(to, 0, 16);
  if (read_file("/proc/sys/kernel/random/boot_id", text, sizeof text) == 0) return;
  for (const char *at = text; *at != '\0' && digits < 32; at++) {
    unsigned value = *at >= '0' && *at <= '9' ? (unsigned)(*at - '0') : *at >= 'a' && *at <= 'f' ? (unsigned)(*at - 'a' + 10) : 16u;
    if (value > 15) continue;
    to[digits / 2] = (uint8_t)(to[digits / 2] << 4 | value);
    digits += 1;
  }
}
