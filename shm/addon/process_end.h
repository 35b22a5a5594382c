/*
 * process_end: whether a process that has been killed will ever do anything again, by the kernel's word.
 *
 * A pidfd says it last: when the process's memory has been torn down and its files are closed. That takes milliseconds, and as long as somebody else likes who holds a lock of a file that
 * both have mapped (each library): seconds where that one is of low priority and waits for a processor. But a thread that is marked PF_EXITING (field 9 of /proc/PID/task/TID/stat,
 * proc(5)) is in do_exit of the kernel and never leaves it: it has left its last system call, and executes none of its instructions any more. So has the whole process when all of its threads
 * are marked. What it still holds then are descriptors, locks and memory, and it gives them back.
 */
#ifndef IPCNET_PROCESS_END_H
#define IPCNET_PROCESS_END_H

#include <sys/types.h>

/*
 * 1: no thread of process `pid` will ever run again outside the kernel's own code for dying. 0: not known yet. A negative errno: it cannot be seen (it is gone, or hidden).
 * To be asked only after SIGKILL was sent to the process, from when on it has no new threads, and while its number cannot be another's.
 */
int ipcnet_process_is_over(pid_t pid);

/* Whether this kernel's marks mean what we take them for, as far as that shows on a process that lives: this one. */
int ipcnet_process_marks_known(void);

#endif
