#include "thread.h"

#include <limits.h>
#include <pthread.h>
#include <signal.h>

int ipcnet_thread_start(void *(*run)(void *), void *argument, size_t stack_bytes) {
  pthread_t thread;
  pthread_attr_t attributes;
  sigset_t all, before;
  sigfillset(&all);
  pthread_attr_init(&attributes);
  pthread_attr_setstacksize(&attributes, stack_bytes > (size_t)PTHREAD_STACK_MIN ? stack_bytes : (size_t)PTHREAD_STACK_MIN);
  pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
  pthread_sigmask(SIG_SETMASK, &all, &before);
  int error = pthread_create(&thread, &attributes, run, argument);
  pthread_sigmask(SIG_SETMASK, &before, NULL);
  pthread_attr_destroy(&attributes);
  return -error;
}
