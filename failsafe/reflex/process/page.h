/*
 * page: what a twin shows the other (struct ipcnet_reflex_page), in a memfd that it alone can write: mapped, then sealed against every further writable mapping, and handed out read-only.
 * Its robust word is told to the kernel, which marks it and wakes its waiters when this thread dies, before any memory is torn down.
 */
#ifndef IPCNET_REFLEX_PAGE_H
#define IPCNET_REFLEX_PAGE_H

#include <linux/futex.h>

#include "reflex.h"

struct ipcnet_page {
  struct ipcnet_reflex_page *page;
  int fd; /* read-only, to be handed out */
  /* The kernel reads these when the thread ends: they must lie still until then. */
  struct robust_list_head robust_head;
  struct robust_list robust_entry;
};

/* 0, or a negative errno. The page has its boot id, pid, start time and magic; the rest is zero. */
int ipcnet_page_create(struct ipcnet_page *self);
/* Has the kernel mark our word when the calling thread dies. 0, or a negative errno: then only the pidfd tells. */
int ipcnet_page_mark_death(struct ipcnet_page *self);

/* Maps somebody else's page, checked for its seals, size and version; NULL: it is none. */
const struct ipcnet_reflex_page *ipcnet_page_map(int fd);
void ipcnet_page_unmap(const struct ipcnet_reflex_page *page);

/* When process `pid` started, in ticks since boot; 0 unknown. */
uint64_t ipcnet_process_start(int pid);
/* This boot's id; zero where there is none. */
void ipcnet_boot_id(uint8_t to[16]);

#endif
