/* For parts that include <string.h> where no C library is installed; memory.c has the functions. */
#ifndef IPCNET_EXAMPLE_STRING_H
#define IPCNET_EXAMPLE_STRING_H

#include <stddef.h>

void *memcpy(void *to, const void *from, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);

#endif
