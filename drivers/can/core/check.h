/* Assertions of the C tests: print place and expression, count, go on. */
#ifndef IPCNET_CHECK_H
#define IPCNET_CHECK_H

#include <stdio.h>
#include <stdlib.h>

static int checks_done, checks_failed;

#define CHECK(condition)                                                                        \
    do {                                                                                        \
        checks_done++;                                                                          \
        if (!(condition)) {                                                                     \
            checks_failed++;                                                                    \
            fprintf(stderr, "%s:%d: %s: not true: %s\n", __FILE__, __LINE__, __func__, #condition); \
        }                                                                                       \
    } while (0)

#define CHECK_INT(actual, expected)                                                                                              \
    do {                                                                                                                         \
        long long actual_ = (long long)(actual), expected_ = (long long)(expected);                                              \
        checks_done++;                                                                                                           \
        if (actual_ != expected_) {                                                                                              \
            checks_failed++;                                                                                                     \
            fprintf(stderr, "%s:%d: %s: %s is %lld, expected %lld\n", __FILE__, __LINE__, __func__, #actual, actual_, expected_); \
        }                                                                                                                        \
    } while (0)

static int checks_report(const char *name)
{
    printf("%s: %d checks, %d failed\n", name, checks_done, checks_failed);
    return checks_failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

#endif
