/*
 * life_watch: a thread that learns of the death of another process's main thread at once, and sees to it that the processor is there for what follows.
 *
 * A process is dead for the kernel (pidfd) when its memory has been torn down: milliseconds for a Node process, and many more when it has to wait for a processor or a lock for that. The
 * robust futex in its page (shm/core/handover.h) wakes us before. Then it is killed (if only its main thread were gone), the threads of both processes are raised (priority.h): of the dying
 * one, so that it is over soon, and of ours, which waits for that and then takes over. The priority is given back on request, and in any case IPCNET_LIFE_RAISED_MS later.
 *
 * What wakes us is a sign. The proof that it will do nothing any more is the kernel's: ipcnet_process_is_over, or the pidfd.
 *
 * Threads: all functions belong to the owner.
 */
#ifndef IPCNET_LIFE_WATCH_H
#define IPCNET_LIFE_WATCH_H

#include <stdint.h>
#include <sys/types.h>

/* Ten takeovers; nobody may stand before all others for longer, whatever goes wrong. */
#define IPCNET_LIFE_RAISED_MS 500

struct ipcnet_life_watch;

struct ipcnet_life {
  /* Of the process's handover page, in memory that stays mapped for ever; NULL: there is none, and nothing but the priorities is done here. */
  const uint32_t *word;
  pid_t pid;
  /* The process itself; duplicated, like the next two. */
  int pidfd;
  /* eventfd: readable when its main thread has begun to die. */
  int dying_fd;
  /* eventfd: readable when it is proven that none of its threads will do anything any more. Never readable where the kernel does not show that: then there is the pidfd alone. */
  int over_fd;
};

/* NULL and errno when there are no resources. `*permitted`: 0, or -EPERM when no priority may be raised here. */
struct ipcnet_life_watch *ipcnet_life_watch_start(const struct ipcnet_life *life, int *permitted);

/* Raises both processes and kills the other one: SIGKILL through the pidfd. 0, or a negative errno of that (-ESRCH: it is gone already). */
int ipcnet_life_watch_kill(struct ipcnet_life_watch *self);

/* Gives back what was raised; the watch is gone for the owner. NULL is allowed. */
void ipcnet_life_watch_stop(struct ipcnet_life_watch *self);

#endif
