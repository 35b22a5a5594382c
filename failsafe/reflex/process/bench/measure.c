#include "measure.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>

/* ---- Load -------------------------------------------------------------------------------------------------------------------------------------- */

/* One half computes, the other half walks through memory and gives it back. */
static void burn(int number) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  volatile uint64_t value = 1;
  size_t bytes = 64u << 20;
  for (;;) {
    if (number % 2 == 0) {
      for (unsigned i = 0; i < 1000000; i++) value = value * 6364136223846793005u + 1;
      continue;
    }
    uint8_t *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED) continue;
    for (size_t at = 0; at < bytes; at += 64) memory[at] = (uint8_t)at;
    munmap(memory, bytes);
  }
}

void measure_load_start(struct measure_load *self, int count) {
  for (self->count = 0; self->count < count && self->count < MEASURE_BURNERS_MAX; self->count++) {
    pid_t pid = fork();
    if (pid == 0) burn(self->count);
    self->burners[self->count] = pid;
  }
}

void measure_load_stop(struct measure_load *self) {
  for (; self->count > 0; self->count--) {
    kill(self->burners[self->count - 1], SIGKILL);
    waitpid(self->burners[self->count - 1], NULL, 0);
  }
}

/* ---- Arguments ---------------------------------------------------------------------------------------------------------------------------------- */

uint32_t measure_random(uint32_t *state) {
  *state ^= *state << 13;
  *state ^= *state >> 17;
  *state ^= *state << 5;
  return *state;
}

bool measure_arguments(int argc, char **argv, const struct measure_option *options, size_t count, const char *const **extra) {
  static const char *const NONE[] = {NULL};
  *extra = NONE;
  for (int at = 1; at < argc; at++) {
    if (strcmp(argv[at], "--") == 0) {
      *extra = (const char *const *)&argv[at + 1];
      return true;
    }
    const struct measure_option *option = NULL;
    for (size_t i = 0; i < count && option == NULL; i++) option = strcmp(argv[at], options[i].name) == 0 ? &options[i] : NULL;
    if (option != NULL && option->flag != NULL) {
      *option->flag = true;
      continue;
    }
    if (option == NULL || ++at >= argc) return false;
    if (option->text != NULL) {
      *option->text = argv[at];
      continue;
    }
    unsigned long value = strtoul(argv[at], NULL, 10);
    *option->number = value < MEASURE_SAMPLES_MAX ? value : MEASURE_SAMPLES_MAX - 1;
  }
  return true;
}

/* ---- Telling --------------------------------------------------------------------------------------------------------------------------------------- */

static int by_size(const void *a, const void *b) {
  uint32_t one = *(const uint32_t *)a, other = *(const uint32_t *)b;
  return one < other ? -1 : one > other;
}

void measure_sort(struct measure_series *self) {
  qsort(self->us, self->count, sizeof *self->us, by_size);
}

uint32_t measure_at(const struct measure_series *self, unsigned permille) {
  return self->count == 0 ? 0 : self->us[(uint64_t)(self->count - 1) * permille / 1000];
}

void measure_add(struct measure_series *self, uint64_t us) {
  if (self->count < MEASURE_SAMPLES_MAX) self->us[self->count++] = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
}

void measure_tell(struct measure_series *of) {
  static const uint32_t EDGES[] = {100, 150, 200, 300, 400, 500, 750, 1000, 1500, 2000, 5000, 8000, 10000, 10500, 11000, 12000, 13000, 14000, 15000, 16000, 17000, 18000, 20000, 25000, 50000, 100000, UINT32_MAX};
  if (of->count == 0) return;
  measure_sort(of);
  printf("\n%s: %u, µs: p50 %u, p90 %u, p99 %u, p99.9 %u, max %u\n", of->name, of->count, measure_at(of, 500), measure_at(of, 900), measure_at(of, 990), measure_at(of, 999), of->us[of->count - 1]);
  uint32_t at = 0, low = 0;
  for (size_t edge = 0; edge < sizeof EDGES / sizeof EDGES[0]; edge++) {
    uint32_t count = 0;
    while (at < of->count && of->us[at] < EDGES[edge]) at++, count++;
    if (count > 0) {
      char to[16] = "…";
      if (EDGES[edge] != UINT32_MAX) snprintf(to, sizeof to, "%u", EDGES[edge]);
      printf("  %6u – %-6s %6u  ", low, to, count);
      for (uint32_t bar = 0; bar < (count * 60 + of->count - 1) / of->count; bar++) fputs("█", stdout);
      putchar('\n');
    }
    low = EDGES[edge];
  }
}

struct measure_series measure_series(const char *name) {
  return (struct measure_series){.name = name, .us = calloc(MEASURE_SAMPLES_MAX, sizeof(uint32_t))};
}
