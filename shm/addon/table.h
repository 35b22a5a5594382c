/* Native objects that JavaScript names by number: index | generation << 16, so that a number kept too long finds nothing and never another object. */
#ifndef IPCNET_SHM_TABLE_H
#define IPCNET_SHM_TABLE_H

#include <stdint.h>

struct table_entry {
  void *object; /* NULL: free */
  uint16_t generation;
  uint16_t next_free; /* 0xffff: none */
};

/* All zero is an empty table. */
struct table {
  struct table_entry *entries;
  uint32_t count;
  uint32_t capacity;
  uint32_t free_plus_one;
};

/* The object's number, or -EMFILE, -ENOMEM. */
int64_t table_add(struct table *self, void *object);
/* The object, or NULL. */
void *table_get(const struct table *self, uint32_t id);
/* Takes the object out, or returns NULL. */
void *table_remove(struct table *self, uint32_t id);
/* Takes any object out; NULL when there is none left. */
void *table_remove_any(struct table *self);
void table_free(struct table *self);

#endif
