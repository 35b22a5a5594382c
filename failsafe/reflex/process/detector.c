#include "detector.h"

#include <errno.h>
#include <linux/futex.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "thread.h"

#define STACK_BYTES (32u * 1024u)
#define LOOK_AGAIN_NS 20000000 /* how long another word may have to wait */

static int wait_on(const uint32_t *word, uint32_t value, int operation) {
  struct timespec timeout = {.tv_nsec = LOOK_AGAIN_NS};
  return syscall(SYS_futex, word, operation, value, &timeout, NULL, 0) == 0 ? 0 : -errno;
}

/* Until the word says that its owner died, or another is to be watched. */
static void watch(struct ipcnet_detector *self, const uint32_t *word, uint32_t news) {
  const uint64_t one = 1;
  while (atomic_load(&self->news) == news) {
    uint32_t value = __atomic_load_n(word, __ATOMIC_ACQUIRE);
    if (value & FUTEX_OWNER_DIED) {
      (void)!write(self->died_fd, &one, sizeof one);
      return;
    }
    if (value == 0) return; /* it has no list, or says good-bye */
    int result = wait_on(word, value, FUTEX_WAIT);
    if (result == -EFAULT || result == -ENOSYS || result == -EINVAL) {
      atomic_store(&self->refused, true);
      return;
    }
  }
}

static void *run(void *argument) {
  struct ipcnet_detector *self = argument;
  for (;;) {
    uint32_t news = atomic_load(&self->news);
    const uint32_t *word = atomic_load(&self->word);
    atomic_store(&self->used, word);
    /* Looked at again after `used` says so: whoever unmaps changes `word` first. */
    if (word != NULL && atomic_load(&self->word) == word) watch(self, word, news);
    atomic_store(&self->used, NULL);
    while (atomic_load(&self->news) == news) syscall(SYS_futex, &self->news, FUTEX_WAIT_PRIVATE, news, NULL, NULL, 0);
  }
  return NULL;
}

int ipcnet_detector_start(struct ipcnet_detector *self) {
  memset(self, 0, sizeof *self);
  self->died_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  if (self->died_fd < 0) return -errno;
  return ipcnet_thread_start(run, self, STACK_BYTES);
}

void ipcnet_detector_watch(struct ipcnet_detector *self, const uint32_t *word) {
  atomic_store(&self->word, word);
  atomic_fetch_add(&self->news, 1);
  syscall(SYS_futex, &self->news, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

bool ipcnet_detector_has_left(struct ipcnet_detector *self, const uint32_t *word) {
  return atomic_load(&self->word) != word && atomic_load(&self->used) != word;
}
