#include "life_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "priority.h"
#include "process_end.h"

#ifndef SYS_pidfd_send_signal
#define SYS_pidfd_send_signal 424
#endif

#define STACK_BYTES (64u * 1024u)
/* Between two looks whether it is still wanted, or has to give back. */
#define LOOK_NS 50000000
/* Between two looks whether what was killed is over: its threads need some tens of microseconds each. */
#define OVER_NS 100000

struct ipcnet_life_watch {
  struct ipcnet_life life;
  int marks_known;
  _Atomic int permitted;
  _Atomic int ready;
  pthread_mutex_t lock; /* of what follows */
  int stopped, spent, raised, told, killed, over;
  int64_t until_ms;
  struct ipcnet_priority own, twin;
  _Atomic int owners;
};

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void close_all(const struct ipcnet_life *life) {
  if (life->pidfd >= 0) close(life->pidfd);
  if (life->dying_fd >= 0) close(life->dying_fd);
  if (life->over_fd >= 0) close(life->over_fd);
}

static void let_go(struct ipcnet_life_watch *self) {
  if (atomic_fetch_sub(&self->owners, 1) > 1) return;
  close_all(&self->life);
  pthread_mutex_destroy(&self->lock);
  free(self);
}

static void tell(int fd) {
  const uint64_t one = 1;
  (void)!write(fd, &one, sizeof one);
}

static int main_thread_died(const struct ipcnet_life *life) {
  return life->word != NULL && (__atomic_load_n(life->word, __ATOMIC_ACQUIRE) & FUTEX_OWNER_DIED) != 0;
}

/* ---- under the lock ------------------------------------------------------------------------------------------------------------------------ */

static void raise_both(struct ipcnet_life_watch *self) {
  if (self->raised || self->spent || self->permitted < 0) return;
  self->raised = 1;
  self->until_ms = now_ms() + IPCNET_LIFE_RAISED_MS;
  /* The dying one first: it is what everything waits for. */
  ipcnet_priority_raise(&self->twin, self->life.pid);
  ipcnet_priority_raise(&self->own, getpid());
}

static void lower_both(struct ipcnet_life_watch *self) {
  if (!self->raised) return;
  self->raised = 0;
  self->spent = 1;
  ipcnet_priority_lower(&self->own);
  ipcnet_priority_lower(&self->twin);
}

static int kill_it(struct ipcnet_life_watch *self) {
  int status = syscall(SYS_pidfd_send_signal, self->life.pidfd, SIGKILL, NULL, 0) == 0 ? 0 : -errno;
  /* Raised behind it: a process that was stopped does not run before it dies. */
  raise_both(self);
  if (status == 0) self->killed = 1;
  return status;
}

static void look(struct ipcnet_life_watch *self) {
  if (self->stopped) return;
  const int died = main_thread_died(&self->life);
  if (died && !self->told) {
    self->told = 1;
    kill_it(self);
    tell(self->life.dying_fd);
  }
  if (died && self->killed && !self->over && self->marks_known) {
    int over = ipcnet_process_is_over(self->life.pid);
    if (over > 0) tell(self->life.over_fd);
    self->over = over != 0;
  }
  if (self->raised && now_ms() >= self->until_ms) lower_both(self);
}

/* ---- the thread ---------------------------------------------------------------------------------------------------------------------------- */

static void sleep_for(long ns) {
  const struct timespec pause = { 0, ns };
  nanosleep(&pause, NULL);
}

/* Until the word changes; not long, in any case. */
static void sleep_on(const uint32_t *word) {
  const struct timespec pause = { 0, LOOK_NS };
  const uint32_t value = __atomic_load_n(word, __ATOMIC_ACQUIRE);
  if (value & FUTEX_OWNER_DIED) return;
  if (syscall(SYS_futex, word, FUTEX_WAIT, value, &pause, NULL, 0) != 0 && errno != ETIMEDOUT && errno != EAGAIN && errno != EINTR) sleep_for(LOOK_NS);
}

static void *run(void *argument) {
  struct ipcnet_life_watch *self = argument;
  /* It sleeps, but when it has to wake it must not wait; and what is allowed to it is allowed to all. */
  atomic_store(&self->permitted, ipcnet_priority_raise_thread());
  self->marks_known = ipcnet_process_marks_known();
  atomic_store(&self->ready, 1);
  syscall(SYS_futex, &self->ready, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
  for (;;) {
    pthread_mutex_lock(&self->lock);
    look(self);
    const int finished = self->stopped || (self->spent && self->over);
    const int is_near = self->killed && !self->over && self->marks_known && self->life.word != NULL;
    const int has_died = self->told;
    pthread_mutex_unlock(&self->lock);
    if (finished) break;
    if (is_near) sleep_for(OVER_NS);
    else if (has_died || self->life.word == NULL) sleep_for(LOOK_NS);
    else sleep_on(self->life.word);
  }
  let_go(self);
  return NULL;
}

static int start_thread(struct ipcnet_life_watch *self) {
  pthread_t thread;
  pthread_attr_t attributes;
  sigset_t all, before;
  sigfillset(&all);
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, STACK_BYTES > (size_t)PTHREAD_STACK_MIN ? STACK_BYTES : (size_t)PTHREAD_STACK_MIN);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&thread, &attributes, run, self);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return error;
}

/* ---- the owner ----------------------------------------------------------------------------------------------------------------------------- */

struct ipcnet_life_watch *ipcnet_life_watch_start(const struct ipcnet_life *life, int *permitted) {
  struct ipcnet_life_watch *self = calloc(1, sizeof *self);
  if (self == NULL) return NULL;
  self->life = *life;
  self->life.pidfd = fcntl(life->pidfd, F_DUPFD_CLOEXEC, 3);
  self->life.dying_fd = fcntl(life->dying_fd, F_DUPFD_CLOEXEC, 3);
  self->life.over_fd = fcntl(life->over_fd, F_DUPFD_CLOEXEC, 3);
  atomic_store(&self->owners, 2);
  pthread_mutex_init(&self->lock, NULL);
  int error = self->life.pidfd < 0 || self->life.dying_fd < 0 || self->life.over_fd < 0 ? errno : start_thread(self);
  if (error != 0) {
    close_all(&self->life);
    pthread_mutex_destroy(&self->lock);
    free(self);
    errno = error;
    return NULL;
  }
  while (!atomic_load(&self->ready)) syscall(SYS_futex, &self->ready, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
  *permitted = atomic_load(&self->permitted);
  return self;
}

int ipcnet_life_watch_kill(struct ipcnet_life_watch *self) {
  pthread_mutex_lock(&self->lock);
  int status = kill_it(self);
  pthread_mutex_unlock(&self->lock);
  return status;
}

void ipcnet_life_watch_stop(struct ipcnet_life_watch *self) {
  if (self == NULL) return;
  pthread_mutex_lock(&self->lock);
  lower_both(self);
  self->stopped = 1;
  pthread_mutex_unlock(&self->lock);
  let_go(self);
}
