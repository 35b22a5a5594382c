/* Instead of drivers/can/core/check.h: the first check that fails ends the process. */
#define IPCNET_CHECK_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int checks_done, checks_failed;

#define CHECK(condition)      \
  do {                        \
    checks_done++;            \
    if (!(condition)) _exit(1); \
  } while (0)

#define CHECK_INT(actual, expected) CHECK((long long)(actual) == (long long)(expected))

static int checks_report(const char *name)
{
  (void)name;
  return checks_failed;
}
