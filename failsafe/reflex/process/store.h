/*
 * store: what must outlive this process: the epoch, the journal of the safe pose, the last good table. Written by a process of its own, because disks wait: a thread that waits for
 * a disk cannot be killed, and as long as it lives our twin does not get the bus. The two share this struct (it lies in memory mapped MAP_SHARED) and two eventfds, nothing else.
 *
 * The epoch is kept ahead: what lies on the disk is a reservation, up to which epochs may be used without asking again. So a standby can take over without waiting for a disk.
 * Each twin writes its own folder and reads both.
 *
 * All functions are the main thread's. `news_fd` becomes readable when something was kept or could not be. When we die, whatever of, the writer
 * keeps what it was given before, then ends: until then nobody else writes to these files.
 */
#ifndef IPCNET_REFLEX_STORE_H
#define IPCNET_REFLEX_STORE_H

#include <stdatomic.h>
#include <sys/types.h>

#include "log.h"
#include "reflex.h"
#include "slots.h"

#define IPCNET_STORE_PATH_MAX 256

struct ipcnet_store {
  char folder[IPCNET_STORE_PATH_MAX], others_folder[IPCNET_STORE_PATH_MAX];
  struct ipcnet_slots epoch, journal;
  uint64_t epoch_sequence;
  struct ipcnet_log *log;

  int news_fd, work_fd; /* eventfds */
  pid_t writer;         /* 0: none */
  int writer_pidfd;     /* readable when it has died; -1: the kernel has none */
  /* From the main thread to the writer: the newest of each counts. */
  _Atomic uint32_t wanted_epoch;   /* 0: none */
  void *table;                     /* a copy of what is to be kept; IPCNET_REFLEX_TABLE_BYTES_MAX, shared */
  _Atomic uint32_t table_bytes;    /* 0: nothing to do */
  struct ipcnet_reflex_image images[3]; /* one is filled, one is written, one on its way */
  _Atomic uint32_t image_on_its_way;    /* its number; bit 2: new */
  unsigned image_filled, image_written;
  /* And back. */
  _Atomic uint32_t reserved_epoch; /* on disk */
  _Atomic uint32_t failed_epoch;   /* the newest that could not be kept; 0 none */
  _Atomic uint64_t failures, journal_writes;
};

enum ipcnet_store_opened { IPCNET_STORE_OPEN, IPCNET_STORE_UNUSABLE /* never own: an epoch could be used twice */ };

/* `state` is DIR(state); the twins' folders are made in it. Reads both epochs: `newest` is the newest that either kept. */
enum ipcnet_store_opened ipcnet_store_open(struct ipcnet_store *self, const char *state, uint8_t instance, struct ipcnet_log *log, uint16_t *newest);
/* The newest image of the safe pose that either twin kept. */
bool ipcnet_store_read_journal(struct ipcnet_store *self, struct ipcnet_reflex_image *to);
/* What the other has reserved by now; 0 unknown. Reads its file. */
uint16_t ipcnet_store_others_epoch(const struct ipcnet_store *self);

/* Starts the writer; before the lock or a bus is open, and before there are threads. 0, or a negative errno. */
int ipcnet_store_start(struct ipcnet_store *self);
/* Ends it when it has written what waits, or soon. */
void ipcnet_store_stop(struct ipcnet_store *self);
/* Asks to reserve all epochs up to this one. */
void ipcnet_store_reserve(struct ipcnet_store *self, uint16_t epoch);
/* Whether this epoch may be used: it is on the disk. */
bool ipcnet_store_has(const struct ipcnet_store *self, uint16_t epoch);
bool ipcnet_store_failed(const struct ipcnet_store *self, uint16_t epoch);
void ipcnet_store_keep_image(struct ipcnet_store *self, const struct ipcnet_reflex_image *image);
/* False: one is still being written. */
bool ipcnet_store_keep_table(struct ipcnet_store *self, const void *bytes, size_t length);
bool ipcnet_store_table_busy(const struct ipcnet_store *self);
/* Wakes the writer: it also writes the log's lines. */
void ipcnet_store_wake(struct ipcnet_store *self);

#endif
