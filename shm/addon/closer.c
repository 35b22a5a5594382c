#include "closer.h"

#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define STACK_BYTES (256u << 10)

struct ipcnet_closer {
  pthread_mutex_t lock;
  /* Under the lock. A stack: the order of closing is nobody's business. */
  int *fds;
  size_t count, capacity;
  unsigned threads;
  int destroyed;
};

/* Asks only what no file system answers. */
static int cannot_wait(int fd) {
  int domain;
  socklen_t length = sizeof domain;
  if (fcntl(fd, F_GET_SEALS) >= 0 || fcntl(fd, F_GETPIPE_SZ) >= 0) return 1;
  return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &domain, &length) == 0 && domain == AF_UNIX;
}

static void free_closer(struct ipcnet_closer *self) {
  pthread_mutex_destroy(&self->lock);
  free(self->fds);
  free(self);
}

static void *run(void *context) {
  struct ipcnet_closer *self = context;
  pthread_mutex_lock(&self->lock);
  while (self->count > 0) {
    const int fd = self->fds[--self->count];
    pthread_mutex_unlock(&self->lock);
    close(fd);
    pthread_mutex_lock(&self->lock);
  }
  self->threads -= 1;
  const int last = self->destroyed && self->threads == 0;
  pthread_mutex_unlock(&self->lock);
  if (last) free_closer(self);
  return NULL;
}

struct ipcnet_closer *ipcnet_closer_create(void) {
  struct ipcnet_closer *self = calloc(1, sizeof *self);
  if (self != NULL) pthread_mutex_init(&self->lock, NULL);
  return self;
}

void ipcnet_closer_destroy(struct ipcnet_closer *self) {
  if (self == NULL) return;
  pthread_mutex_lock(&self->lock);
  self->destroyed = 1;
  /* Where there are threads, they close the rest, and the last one frees. */
  const int alone = self->threads == 0;
  pthread_mutex_unlock(&self->lock);
  if (alone) free_closer(self);
}

/* Under the lock. */
static int push(struct ipcnet_closer *self, int fd) {
  if (self->count == self->capacity) {
    const size_t capacity = self->capacity == 0 ? 16 : self->capacity * 2;
    int *fds = realloc(self->fds, capacity * sizeof *fds);
    if (fds == NULL) return 0;
    self->fds = fds;
    self->capacity = capacity;
  }
  self->fds[self->count++] = fd;
  return 1;
}

static int start_thread(struct ipcnet_closer *self) {
  pthread_t thread;
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return 0;
  pthread_attr_setstacksize(&attributes, STACK_BYTES);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  const int started = pthread_create(&thread, &attributes, run, self) == 0;
  pthread_attr_destroy(&attributes);
  return started;
}

void ipcnet_closer_close(struct ipcnet_closer *self, int fd) {
  if (self == NULL || cannot_wait(fd)) {
    close(fd);
    return;
  }
  pthread_mutex_lock(&self->lock);
  int taken = push(self, fd);
  if (taken && self->threads < IPCNET_CLOSER_THREADS) {
    if (start_thread(self)) self->threads += 1;
    else if (self->threads == 0) {
      self->count -= 1;
      taken = 0;
    }
  }
  pthread_mutex_unlock(&self->lock);
  if (!taken) close(fd);
}
