#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "process.h"
#include "sealed_file.h"
#include "table_store.h"

/* Takes over `bytes` (mapped) on success. */
static bool use(struct ipcnet_process *self, void *bytes, size_t length, char *why, size_t why_bytes) {
  struct ipcnet_reflex_table_fault fault = {.code = "?"};
  if (!ipcnet_reflex_load_table(self->core, bytes, length, self->now_us, &fault)) {
    snprintf(why, why_bytes, "%s, section %u, row %u", fault.code, fault.section, fault.row);
    return false;
  }
  const struct ipcnet_reflex_table *table = ipcnet_reflex_loaded_table(self->core);
  int result = ipcnet_buses_use(&self->buses, table, self->now_us);
  if (result < 0) ipcnet_log_write(&self->log, "no memory or threads for the table's buses: %s", strerror(-result));
  if (self->table != NULL) munmap(self->table, self->table_bytes);
  self->table = bytes;
  self->table_bytes = length;
  ipcnet_twin_watch_init(&self->watch, table->header->twin_deadline_us, self->now_us);
  ipcnet_power_use(self);
  ipcnet_log_write(&self->log, "table %u: %u buses, %u messages", table->generation, table->header->sections[IPCNET_REFLEX_BUSES].count, table->header->sections[IPCNET_REFLEX_MESSAGES].count);
  return true;
}

void ipcnet_tables_begin(struct ipcnet_process *self) {
  char why[96];
  void *bytes = NULL;
  long length = ipcnet_table_store_read(self->store.folder, &bytes);
  if (length == 0) return;
  if (length < 0) {
    ipcnet_log_write(&self->log, "the stored table cannot be read: %s", strerror((int)-length));
  } else if (!use(self, bytes, (size_t)length, why, sizeof why)) {
    ipcnet_log_write(&self->log, "the stored table is refused: %s", why);
    /* It is named by its hash and was checked before it was stored: whatever its fault is, somebody or something has changed it. */
    self->table_damaged = strncmp(why, "crc,", 4) == 0 || strncmp(why, "hash,", 5) == 0 || strncmp(why, "magic,", 6) == 0 || strncmp(why, "length,", 7) == 0;
    munmap(bytes, (size_t)length);
  }
}

static bool is_loaded(const struct ipcnet_process *self, const uint8_t *bytes, size_t length) {
  return self->table != NULL && length == self->table_bytes && memcmp(bytes, self->table, length) == 0;
}

bool ipcnet_tables_take(struct ipcnet_process *self, int fd, uint32_t length, char *why, size_t why_bytes) {
  const void *mapped = NULL;
  size_t mapped_bytes = 0;
  snprintf(why, why_bytes, "busy");
  if (ipcnet_store_table_busy(&self->store)) return false; /* the one before is still being written */
  snprintf(why, why_bytes, "descriptor");
  int64_t size = ipcnet_sealed_file_check(fd);
  if (size <= 0 || size > (int64_t)IPCNET_REFLEX_TABLE_BYTES_MAX || size != length) return false;
  if (ipcnet_sealed_file_map(fd, &mapped, &mapped_bytes) < 0) return false;
  void *bytes = (void *)(uintptr_t)mapped;
  if (is_loaded(self, bytes, mapped_bytes)) {
    munmap(bytes, mapped_bytes);
    return true;
  }
  if (!use(self, bytes, mapped_bytes, why, why_bytes)) {
    munmap(bytes, mapped_bytes);
    return false;
  }
  ipcnet_store_keep_table(&self->store, bytes, mapped_bytes);
  return true;
}
