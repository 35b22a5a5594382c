/* For tests: the first thing that is not true ends the program with its line. */
#ifndef IPCNET_CHECK_TEST_H
#define IPCNET_CHECK_TEST_H

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                \
  do {                                                                                  \
    if (!(condition)) {                                                                 \
      fprintf(stderr, "%s:%d: %s (errno %d)\n", __FILE__, __LINE__, #condition, errno); \
      exit(1);                                                                          \
    }                                                                                   \
  } while (0)

#endif
