#include "handover.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "memfd.h"

#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

#define MARK 0x31564f48u /* "HOV1" */
#define NO_SLOT UINT32_MAX
#define SEALS (F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_FUTURE_WRITE)

/* A batch on its way into a socket. */
struct flight {
  /* NO_SLOT: none. */
  _Atomic uint32_t slot;
  uint32_t base;
  uint32_t count;
  uint32_t zero;
  struct mmsghdr headers[IPCNET_SEQPACKET_BATCH_MAX];
};

struct ipcnet_handover_page {
  uint32_t mark;
  uint32_t slots;
  /* Where in the page the word is that dies with its maker; 0: nowhere. */
  _Atomic uint32_t life_at;
  uint32_t zero[13];
  uint32_t words[IPCNET_HANDOVER_WORDS];
  struct flight flight;
  _Atomic uint32_t sent[IPCNET_HANDOVER_SLOTS];
  /* Held by the maker and never given back. */
  pthread_mutex_t life;
};
_Static_assert(offsetof(struct ipcnet_handover_page, words) == IPCNET_HANDOVER_WORDS_AT, "where the words are is known in TypeScript");
_Static_assert(sizeof(struct ipcnet_handover_page) <= IPCNET_HANDOVER_BYTES, "the page is too small");

/* ---- memory --------------------------------------------------------------------------------------------------------------------------- */

/* A read-only file description of the same memory, sealed against everybody but the mapping that is there. */
static int seal(int fd) {
  char path[32];
  snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
  int sealed = open(path, O_RDONLY | O_CLOEXEC);
  if (sealed < 0) return -errno;
  if (fcntl(fd, F_ADD_SEALS, SEALS) == 0) return sealed;
  int error = errno == EINVAL ? ENOTSUP : errno;
  close(sealed);
  return -error;
}

int ipcnet_handover_make(struct ipcnet_handover_page **page) {
  int fd = ipcnet_memfd_make("ipcnet-handover", IPCNET_HANDOVER_BYTES);
  if (fd < 0) return fd;
  struct ipcnet_handover_page *made = MAP_FAILED;
  int sealed = -ENOMEM;
  /* Populated: the kernel must never wait for a page when it writes a mark. */
  if (ftruncate(fd, IPCNET_HANDOVER_BYTES) == 0) made = mmap(NULL, IPCNET_HANDOVER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (made != MAP_FAILED) {
    made->mark = MARK;
    made->slots = IPCNET_HANDOVER_SLOTS;
    atomic_store(&made->flight.slot, NO_SLOT);
    sealed = madvise(made, IPCNET_HANDOVER_BYTES, MADV_DONTFORK) == 0 ? seal(fd) : -errno;
    if (sealed < 0) munmap(made, IPCNET_HANDOVER_BYTES);
  }
  close(fd);
  if (sealed >= 0) *page = made;
  return sealed;
}

int ipcnet_handover_open(int fd, const struct ipcnet_handover_page **page) {
  struct stat found;
  if (fstat(fd, &found) != 0) return -errno;
  int seals = fcntl(fd, F_GET_SEALS);
  if (found.st_size != IPCNET_HANDOVER_BYTES || seals < 0 || (seals & SEALS) != SEALS) return -EINVAL;
  const struct ipcnet_handover_page *mapped = mmap(NULL, IPCNET_HANDOVER_BYTES, PROT_READ, MAP_SHARED | MAP_POPULATE, fd, 0);
  if (mapped == MAP_FAILED) return -errno;
  if (mapped->mark == MARK && mapped->slots == IPCNET_HANDOVER_SLOTS) {
    *page = mapped;
    return 0;
  }
  ipcnet_handover_unmap(mapped);
  return -EINVAL;
}

void ipcnet_handover_unmap(const struct ipcnet_handover_page *page) {
  /* munmap changes nothing behind the pointer; its interface lacks the const. */
  void *start;
  memcpy(&start, &page, sizeof start);
  munmap(start, IPCNET_HANDOVER_BYTES);
}

uint32_t *ipcnet_handover_words(struct ipcnet_handover_page *page) {
  return page->words;
}

const uint32_t *ipcnet_handover_words_of(const struct ipcnet_handover_page *page) {
  return page->words;
}

/* ---- life ------------------------------------------------------------------------------------------------------------------------------ */

int ipcnet_handover_mark_life(struct ipcnet_handover_page *page) {
  pthread_mutexattr_t robust;
  int error = pthread_mutexattr_init(&robust);
  if (error != 0) return -error;
  error = pthread_mutexattr_setrobust(&robust, PTHREAD_MUTEX_ROBUST);
  if (error == 0) error = pthread_mutexattr_setpshared(&robust, PTHREAD_PROCESS_SHARED);
  if (error == 0) error = pthread_mutex_init(&page->life, &robust);
  pthread_mutexattr_destroy(&robust);
  if (error == 0) error = pthread_mutex_lock(&page->life);
  if (error != 0) return -error;
  /* Which of its words the kernel looks at is the C library's secret; it is the first that holds our number. */
  const uint32_t self = (uint32_t)syscall(SYS_gettid);
  uint32_t *words = (uint32_t *)(void *)&page->life;
  for (size_t i = 0; i < sizeof page->life / sizeof *words; i++) {
    if (words[i] != self) continue;
    /* The kernel wakes only if somebody is said to wait, and who waits cannot write here. */
    __atomic_fetch_or(&words[i], FUTEX_WAITERS, __ATOMIC_RELEASE);
    atomic_store_explicit(&page->life_at, (uint32_t)(offsetof(struct ipcnet_handover_page, life) + i * sizeof *words), memory_order_release);
    return 0;
  }
  return -ENOTSUP;
}

const uint32_t *ipcnet_handover_life_of(const struct ipcnet_handover_page *page) {
  /* The page is somebody else's: the number is checked before it is used. */
  uint32_t at = atomic_load_explicit(&page->life_at, memory_order_acquire);
  if (at == 0 || at % sizeof(uint32_t) != 0 || at > IPCNET_HANDOVER_BYTES - sizeof(uint32_t)) return NULL;
  return (const uint32_t *)(const void *)((const char *)page + at);
}

/* ---- marks ---------------------------------------------------------------------------------------------------------------------------- */

void ipcnet_handover_begin(struct ipcnet_handover_page *page, uint32_t slot, uint32_t count) {
  if (slot < IPCNET_HANDOVER_SLOTS) atomic_store_explicit(&page->sent[slot], count, memory_order_release);
}

int ipcnet_handover_send(struct ipcnet_handover_page *page, uint32_t slot, int fd, const struct ipcnet_seqpacket_packet *packets, const struct ipcnet_seqpacket_fds *fds, uint32_t count) {
  struct flight *flight = &page->flight;
  if (slot >= IPCNET_HANDOVER_SLOTS) return -EINVAL;
  if (count > IPCNET_SEQPACKET_BATCH_MAX) count = IPCNET_SEQPACKET_BATCH_MAX;
  for (uint32_t i = 0; i < count; i++) flight->headers[i].msg_len = 0;
  flight->base = atomic_load_explicit(&page->sent[slot], memory_order_relaxed);
  flight->count = count;
  /* SYNC: pairs with ipcnet_handover_sent: whoever sees the slot sees headers without marks, and the base. */
  atomic_store_explicit(&flight->slot, slot, memory_order_release);
  int sent = ipcnet_seqpacket_send_marked(fd, packets, fds, count, flight->headers);
  if (sent > 0) atomic_store_explicit(&page->sent[slot], flight->base + (uint32_t)sent, memory_order_release);
  atomic_store_explicit(&flight->slot, NO_SLOT, memory_order_release);
  return sent;
}

uint32_t ipcnet_handover_sent(const struct ipcnet_handover_page *page, uint32_t slot) {
  if (slot >= IPCNET_HANDOVER_SLOTS) return 0;
  const struct flight *flight = &page->flight;
  if (atomic_load_explicit(&flight->slot, memory_order_acquire) != slot) return atomic_load_explicit(&page->sent[slot], memory_order_acquire);
  uint32_t taken = 0;
  /* The page is somebody else's: the number is checked before it is used. */
  while (taken < flight->count && taken < IPCNET_SEQPACKET_BATCH_MAX && flight->headers[taken].msg_len != 0) taken++;
  return flight->base + taken;
}
