/* measure: what the benches of this folder share: their arguments, processes that keep every processor and the memory busy, and series of times with their quantiles and histogram. */
#ifndef IPCNET_BENCH_MEASURE_H
#define IPCNET_BENCH_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MEASURE_SAMPLES_MAX 100000u
#define MEASURE_BURNERS_MAX 16

struct measure_load { pid_t burners[MEASURE_BURNERS_MAX]; int count; };
struct measure_series { const char *name; uint32_t count; uint32_t *us; };

void measure_load_start(struct measure_load *self, int count);
void measure_load_stop(struct measure_load *self);

/* Numbers that look like chance; `state` is not 0. */
uint32_t measure_random(uint32_t *state);
/* "--name N" (or a text, or nothing where it is a flag) for each of these; anything else is false. Ends at "--", after which `extra` are the program's. */
struct measure_option { const char *name; unsigned long *number; const char **text; bool *flag; };
bool measure_arguments(int argc, char **argv, const struct measure_option *options, size_t count, const char *const **extra);

struct measure_series measure_series(const char *name);
void measure_add(struct measure_series *self, uint64_t us);
/* After `measure_sort`: of all but so many in a thousand. */
uint32_t measure_at(const struct measure_series *self, unsigned permille);
void measure_sort(struct measure_series *self);
/* Quantiles and a histogram, for people. Sorts. */
void measure_tell(struct measure_series *self);

#endif
