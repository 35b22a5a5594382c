#include "table.h"

#include <stdlib.h>

void list_init(struct list *self) {
  self->next = self->prev = self;
}

int list_is_empty(const struct list *self) {
  return self->next == self;
}

int list_has(const struct list *item) {
  return item->next != item;
}

void list_append(struct list *self, struct list *item) {
  list_remove(item);
  item->prev = self->prev;
  item->next = self;
  self->prev->next = item;
  self->prev = item;
}

void list_remove(struct list *item) {
  item->prev->next = item->next;
  item->next->prev = item->prev;
  list_init(item);
}

struct list *list_shift(struct list *self) {
  struct list *first = self->next;
  if (first == self) return NULL;
  list_remove(first);
  return first;
}

/* Numbers are given out one after the other: the multiplication spreads them. */
static uint32_t place(const struct table *self, uint32_t key) {
  return (key * 2654435769u) & (self->capacity - 1);
}

static struct table_slot *find(const struct table *self, uint32_t key) {
  uint32_t at = place(self, key);
  while (self->slots[at].value != NULL && self->slots[at].key != key) at = (at + 1) & (self->capacity - 1);
  return &self->slots[at];
}

void *table_get(const struct table *self, uint32_t key) {
  return self->count == 0 ? NULL : find(self, key)->value;
}

int table_set(struct table *self, uint32_t key, void *value) {
  /* At most three quarters full. */
  if (4 * (uint64_t)(self->count + 1) > 3 * (uint64_t)self->capacity) {
    struct table grown = {NULL, self->capacity == 0 ? 16 : self->capacity * 2, self->count};
    grown.slots = grown.capacity == 0 ? NULL : calloc(grown.capacity, sizeof *grown.slots);
    if (grown.slots == NULL) return -1;
    for (uint32_t i = 0; i < self->capacity; i++)
      if (self->slots[i].value != NULL) *find(&grown, self->slots[i].key) = self->slots[i];
    free(self->slots);
    *self = grown;
  }
  struct table_slot *slot = find(self, key);
  if (slot->value == NULL) self->count += 1;
  *slot = (struct table_slot){key, value};
  return 0;
}

void *table_remove(struct table *self, uint32_t key) {
  if (self->count == 0) return NULL;
  struct table_slot *slot = find(self, key);
  void *value = slot->value;
  if (value == NULL) return NULL;
  slot->value = NULL;
  self->count -= 1;
  /* Those behind it may now stand too far from their place. */
  uint32_t mask = self->capacity - 1;
  for (uint32_t at = ((uint32_t)(slot - self->slots) + 1) & mask; self->slots[at].value != NULL; at = (at + 1) & mask) {
    struct table_slot moved = self->slots[at];
    self->slots[at].value = NULL;
    *find(self, moved.key) = moved;
  }
  return value;
}

void table_free(struct table *self) {
  free(self->slots);
  *self = (struct table){NULL, 0, 0};
}
