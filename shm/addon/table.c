#include "table.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>

#define ENTRIES_MAX 65535u

int64_t table_add(struct table *self, void *object) {
  uint32_t index;
  if (self->free_plus_one != 0) {
    index = self->free_plus_one - 1;
    const uint16_t next = self->entries[index].next_free;
    self->free_plus_one = next == UINT16_MAX ? 0 : next + 1u;
  } else {
    if (self->count == self->capacity) {
      if (self->capacity == ENTRIES_MAX) return -EMFILE;
      uint32_t capacity = self->capacity == 0 ? 16 : self->capacity * 2;
      if (capacity > ENTRIES_MAX) capacity = ENTRIES_MAX;
      struct table_entry *entries = realloc(self->entries, capacity * sizeof *entries);
      if (entries == NULL) return -ENOMEM;
      self->entries = entries;
      self->capacity = capacity;
    }
    index = self->count++;
    self->entries[index].generation = 0;
  }
  self->entries[index].object = object;
  return index | (int64_t)self->entries[index].generation << 16;
}

void *table_get(const struct table *self, uint32_t id) {
  const uint32_t index = id & 0xffff;
  return index < self->count && self->entries[index].generation == id >> 16 ? self->entries[index].object : NULL;
}

void *table_remove(struct table *self, uint32_t id) {
  void *object = table_get(self, id);
  if (object == NULL) return NULL;
  struct table_entry *entry = &self->entries[id & 0xffff];
  entry->object = NULL;
  entry->generation++;
  entry->next_free = self->free_plus_one == 0 ? UINT16_MAX : (uint16_t)(self->free_plus_one - 1);
  self->free_plus_one = (id & 0xffff) + 1;
  return object;
}

void *table_remove_any(struct table *self) {
  for (uint32_t i = 0; i < self->count; i++) {
    if (self->entries[i].object != NULL) return table_remove(self, i | (uint32_t)self->entries[i].generation << 16);
  }
  return NULL;
}

void table_free(struct table *self) {
  free(self->entries);
  *self = (struct table){ .entries = NULL };
}
