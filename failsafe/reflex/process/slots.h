/*
 * slots: one record kept on disk in two places, written in turn, so that whoever loses power while writing loses the newest alone. A record is a CRC-32C (u32) over all that follows it;
 * slots lie SLOT_STRIDE bytes apart, so that no sector holds two.
 */
#ifndef IPCNET_REFLEX_SLOTS_H
#define IPCNET_REFLEX_SLOTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ipcnet_slots {
  int fd;
  size_t record_bytes, stride;
  unsigned next; /* the slot that is written next */
};

enum ipcnet_slots_found {
  IPCNET_SLOTS_VALID = 1,   /* at least one record is whole */
  IPCNET_SLOTS_CORRUPT = 2, /* bytes that are neither zero nor a whole record */
};

/* Opens, or makes at its full size, so that a full disk is noticed now. 0, or a negative errno. */
int ipcnet_slots_open(struct ipcnet_slots *self, const char *path, size_t record_bytes, size_t stride);
/* Reads both: a set of enum ipcnet_slots_found. `newer` says of two whole records whether the first is newer; the newest is left in `to`, and the other slot is written next. */
unsigned ipcnet_slots_read(struct ipcnet_slots *self, void *to, bool (*newer)(const void *a, const void *b));
/* The same for a file of somebody else, which is neither made nor kept open. */
unsigned ipcnet_slots_peek(const char *path, void *to, size_t record_bytes, size_t stride, bool (*newer)(const void *a, const void *b));
/* Sets the record's CRC, writes it, waits until it is on the disk. 0, or a negative errno: then what was there before still counts. */
int ipcnet_slots_write(struct ipcnet_slots *self, void *record);

/* fsync of a folder: a name is on the disk only then. */
int ipcnet_sync_folder(const char *path);

#endif
