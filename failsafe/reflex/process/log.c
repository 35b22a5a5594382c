#include "log.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void ipcnet_log_init(struct ipcnet_log *self, const char *name) {
  memset(self, 0, sizeof *self);
  snprintf(self->name, sizeof self->name, "%s", name);
}

void ipcnet_log_write(struct ipcnet_log *self, const char *format, ...) {
  uint32_t head = atomic_load_explicit(&self->head, memory_order_relaxed);
  if (head - atomic_load_explicit(&self->tail, memory_order_acquire) >= IPCNET_LOG_LINES) {
    atomic_fetch_add_explicit(&self->dropped, 1, memory_order_relaxed);
    return;
  }
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(self->lines[head % IPCNET_LOG_LINES], IPCNET_LOG_LINE_BYTES, format, arguments);
  va_end(arguments);
  atomic_store_explicit(&self->head, head + 1, memory_order_release); /* SYNC: pairs with flush's acquire */
}

void ipcnet_log_flush(struct ipcnet_log *self) {
  char line[IPCNET_LOG_LINE_BYTES + 64];
  for (;;) {
    uint32_t tail = atomic_load_explicit(&self->tail, memory_order_relaxed);
    if (tail == atomic_load_explicit(&self->head, memory_order_acquire)) break;
    int length = snprintf(line, sizeof line, "%s: %s\n", self->name, self->lines[tail % IPCNET_LOG_LINES]);
    (void)!write(STDERR_FILENO, line, (size_t)length); /* nobody reads: then nobody is told */
    atomic_store_explicit(&self->tail, tail + 1, memory_order_release);
  }
  uint32_t dropped = atomic_exchange(&self->dropped, 0);
  if (dropped > 0) {
    int length = snprintf(line, sizeof line, "%s: %u lines more were not kept\n", self->name, dropped);
    (void)!write(STDERR_FILENO, line, (size_t)length);
  }
}
