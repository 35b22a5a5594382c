/*
 * journal_writer FOLDER: keeps a record in FOLDER/journal as the reflex keeps its journal (slots.c), as often as the disk allows, until the power goes.
 * First it says what it finds: "found N", "empty", or "BROKEN …" and exit code 1. Then "kept N" after each write that came back.
 */
#include <stdio.h>
#include <string.h>

#include "slots.h"

/* Several sectors and a page of the file system, so that a write can be torn. The stride is the reflex's. */
enum { FILL_BYTES = 6144, STRIDE = 8192 };

struct record {
  uint32_t crc32c, zero;
  uint64_t number;
  uint8_t fill[FILL_BYTES];
};

static bool is_newer(const void *a, const void *b) { return ((const struct record *)a)->number > ((const struct record *)b)->number; }

static uint8_t fill_of(uint64_t number, size_t at) { return (uint8_t)(number * 31 + at * 7 + (at >> 8)); }

static bool is_whole(const struct record *record) {
  for (size_t at = 0; at < FILL_BYTES; at++)
    if (record->fill[at] != fill_of(record->number, at)) return false;
  return true;
}

int main(int argc, char **argv) {
  static struct record record;
  struct ipcnet_slots slots;
  char path[256];
  if (argc != 2 || snprintf(path, sizeof path, "%s/journal", argv[1]) >= (int)sizeof path) return 2;
  setvbuf(stdout, NULL, _IOLBF, 0);
  int result = ipcnet_slots_open(&slots, path, sizeof record, STRIDE);
  if (result < 0) {
    printf("BROKEN %s: %s\n", path, strerror(-result));
    return 1;
  }
  ipcnet_sync_folder(argv[1]);
  unsigned found = ipcnet_slots_read(&slots, &record, is_newer);
  if (!(found & IPCNET_SLOTS_VALID)) {
    if (found & IPCNET_SLOTS_CORRUPT) {
      printf("BROKEN: no whole record\n");
      return 1;
    }
    record.number = 0;
    printf("empty\n");
  } else if (!is_whole(&record)) {
    printf("BROKEN: record %llu has the right CRC and the wrong bytes\n", (unsigned long long)record.number);
    return 1;
  } else {
    printf("found %llu%s\n", (unsigned long long)record.number, found & IPCNET_SLOTS_CORRUPT ? " beside a torn one" : "");
  }
  for (;;) {
    record.number++;
    for (size_t at = 0; at < FILL_BYTES; at++) record.fill[at] = fill_of(record.number, at);
    result = ipcnet_slots_write(&slots, &record);
    if (result < 0) {
      printf("BROKEN write: %s\n", strerror(-result));
      return 1;
    }
    printf("kept %llu\n", (unsigned long long)record.number);
  }
}
