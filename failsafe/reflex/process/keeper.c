#include "keeper.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define STACK_BYTES 4096u

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

/* It has our thread's local memory too (errno among it): system calls that cannot fail, and no others. */
static int keep(void *parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != (pid_t)(intptr_t)parent) _exit(0);
  prctl(PR_SET_NAME, "reflex-keeper");
  if (syscall(SYS_close_range, 0u, ~0u, 0u) != 0) _exit(0); /* before Linux 5.9: descriptors could not be closed for certain, so there is no keeper */
  for (;;) pause();
  return 0;
}

int ipcnet_keeper_start(struct ipcnet_keeper *self) {
  self->pid = 0;
  sigset_t all, before;
  char *stack = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) return -errno;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before);
  int pid = clone(keep, stack + STACK_BYTES, CLONE_VM, (void *)(intptr_t)getpid());
  int error = errno;
  sigprocmask(SIG_SETMASK, &before, NULL);
  if (pid < 0) return -error;
  self->pid = pid;
  return 0;
}

void ipcnet_keeper_stop(struct ipcnet_keeper *self) {
  if (self->pid == 0) return;
  kill(self->pid, SIGKILL);
  waitpid(self->pid, NULL, __WCLONE); /* it was made without a signal for its end */
  self->pid = 0;
}
