/* table: two small containers of the client: a doubly linked list, and a map from 32-bit numbers to pointers. */
#ifndef IPCNET_TABLE_H
#define IPCNET_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct list {
  struct list *next, *prev;
};
#define LIST_OWNER(link, type, member) ((type *)(void *)((char *)(link) - offsetof(type, member)))

void list_init(struct list *self);
int list_is_empty(const struct list *self);
void list_append(struct list *self, struct list *item);
/* Removes an item from whatever list it is in; an item that is in none (list_init) stays so. */
void list_remove(struct list *item);
/* Whether an item is in a list. */
int list_has(const struct list *item);
/* Takes the first item out, or NULL. */
struct list *list_shift(struct list *self);

struct table {
  struct table_slot { uint32_t key; void *value; } *slots; /* value NULL: free */
  uint32_t capacity; /* a power of two, or 0 */
  uint32_t count;
};

void *table_get(const struct table *self, uint32_t key);
/* Replaces what is there. 0, or -1 when there is no memory. */
int table_set(struct table *self, uint32_t key, void *value);
void *table_remove(struct table *self, uint32_t key);
void table_free(struct table *self);

#endif
