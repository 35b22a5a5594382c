/* table_store: the last good table on disk, so that the reflex can begin before anybody is there to send it one. A file named by its hash, and a link to it that is changed by rename. */
#ifndef IPCNET_REFLEX_TABLE_STORE_H
#define IPCNET_REFLEX_TABLE_STORE_H

#include <stddef.h>

/* Writes, waits for the disk, links, removes those that came before. 0, or a negative errno: then the old one still stands. */
int ipcnet_table_store_write(const char *folder, const void *bytes, size_t length);
/* Reads the linked one into memory of its own (mmap, to be given back with munmap): its length, 0 none, or a negative errno. */
long ipcnet_table_store_read(const char *folder, void **bytes);

#endif
