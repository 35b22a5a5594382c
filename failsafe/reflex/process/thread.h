/* thread: starts a detached thread with a small stack (all of it is locked in memory) that no signal reaches; it inherits the scheduler. 0, or a negative errno. */
#ifndef IPCNET_REFLEX_THREAD_H
#define IPCNET_REFLEX_THREAD_H

#include <stddef.h>

int ipcnet_thread_start(void *(*run)(void *), void *argument, size_t stack_bytes);

#endif
