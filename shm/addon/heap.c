#include "heap.h"

#include <stdlib.h>
#include <string.h>

#if defined(__GLIBC__)
#include <malloc.h>

/* The largest that glibc would come to by itself, which it does step by step as large pieces are freed. */
#define NOT_MAPPED_BYTES (32 << 20)
/* V8 collects when 32 MiB of such messages have come (twice its young generation): so much is free at once, and so much again is in use. */
#define KEPT_BYTES (64 << 20)

static int user_has_chosen(void) {
  const char *tunables = getenv("GLIBC_TUNABLES");
  return getenv("MALLOC_TRIM_THRESHOLD_") != NULL || getenv("MALLOC_MMAP_THRESHOLD_") != NULL || getenv("MALLOC_MMAP_MAX_") != NULL || (tunables != NULL && strstr(tunables, "glibc.malloc.") != NULL);
}

void heap_keep_freed(void) {
  if (user_has_chosen()) return;
  /* Both: setting one of them ends the growth of the other, and mapped pieces know nothing of trimming. */
  if (mallopt(M_MMAP_THRESHOLD, NOT_MAPPED_BYTES) == 1) (void)mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
}
#else
void heap_keep_freed(void) {}
#endif
