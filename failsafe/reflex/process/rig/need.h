/* need: what a scenario demands. Whoever includes this defines `static void give_up(void)`, which tells what is known, cleans up and ends the program. */
#ifndef IPCNET_RIG_NEED_H
#define IPCNET_RIG_NEED_H

#include <stdio.h>

#define NEED(condition)                                                                              \
  do {                                                                                               \
    if (!(condition)) {                                                                              \
      fprintf(stderr, "%s:%d: %s: not true: %s\n", __FILE__, __LINE__, __func__, #condition);        \
      give_up();                                                                                     \
    }                                                                                                \
  } while (0)

#endif
