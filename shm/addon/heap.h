/* heap: what the C library does with large pieces of memory that are freed. */
#ifndef IPCNET_SHM_HEAP_H
#define IPCNET_SHM_HEAP_H

/*
 * From now on up to 64 MiB of freed memory stay with the process, also in pieces of up to 32 MiB, instead of going back to the kernel at once. For a program that gets large messages, each in memory of its
 * own: taking that from the kernel anew costs more than everything else of a message together (a page fault for each 4 KiB). For the whole process; changes nothing where the user has set malloc's thresholds
 * in the environment, or where the C library is another one. Any thread, any number of times.
 */
void heap_keep_freed(void);

#endif
