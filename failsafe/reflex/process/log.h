/*
 * log: lines for people, from a thread that must never wait for a terminal or a journal that does not read. Lines go into a ring; another thread writes them to
 * standard error. When the ring is full the newest line is dropped and counted.
 */
#ifndef IPCNET_REFLEX_LOG_H
#define IPCNET_REFLEX_LOG_H

#include <stdatomic.h>
#include <stdint.h>

#define IPCNET_LOG_LINES 64u
#define IPCNET_LOG_LINE_BYTES 200u

struct ipcnet_log {
  _Atomic uint32_t head, tail; /* one writer, one reader */
  _Atomic uint32_t dropped;
  char lines[IPCNET_LOG_LINES][IPCNET_LOG_LINE_BYTES];
  char name[16];
};

void ipcnet_log_init(struct ipcnet_log *self, const char *name);
/* Main thread. A line without its end. */
void ipcnet_log_write(struct ipcnet_log *self, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Another thread: writes out what waits. */
void ipcnet_log_flush(struct ipcnet_log *self);

#endif
