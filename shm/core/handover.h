/*
 * What a successor reads when its predecessor has died: a page of memory that the predecessor alone can write, and packets whose way into a socket is marked in it.
 *
 * The marks answer one question: how many packets has this connection been given? A process that counts by itself can die between the system call and the count. So the headers of
 * sendmmsg stand in the page: it is the kernel that writes there, before the call returns, that a packet was taken (msg_len), and a process dies between system calls, never within
 * that step. Whoever reads the page once the writer is dead (pidfd) knows the exact number.
 *
 * The page is sealed (F_SEAL_FUTURE_WRITE): mapped writable once, by its maker; all others map it read-only. Beginning with IPCNET_HANDOVER_WORDS_AT it has 32-bit words for the owner's
 * own use (failsafe/failover/page.ts): progress, what is being handled.
 */
#ifndef IPCNET_HANDOVER_H
#define IPCNET_HANDOVER_H

#include <stdint.h>

#include "seqpacket.h"

/* Connections at a time: the gateway's own bound (gateway/broker/limits.ts) doubled, so that numbers of closed ones rest a while. */
#define IPCNET_HANDOVER_SLOTS 2048u
#define IPCNET_HANDOVER_WORDS 256u
#define IPCNET_HANDOVER_WORDS_AT 64u
#define IPCNET_HANDOVER_BYTES 16384u

struct ipcnet_handover_page;

/* A new page, zero but for its mark; `*page` is the one writable mapping of it. Returns a sealed, read-only descriptor to hand over, or a negative errno. */
int ipcnet_handover_make(struct ipcnet_handover_page **page);

/* Maps somebody else's page read-only. -EINVAL: it is none (size, seals, mark). */
int ipcnet_handover_open(int fd, const struct ipcnet_handover_page **page);

/* Ends a mapping of either kind. */
void ipcnet_handover_unmap(const struct ipcnet_handover_page *page);

/* IPCNET_HANDOVER_WORDS words for the owner's use. */
uint32_t *ipcnet_handover_words(struct ipcnet_handover_page *page);
const uint32_t *ipcnet_handover_words_of(const struct ipcnet_handover_page *page);

/*
 * The thread that made the page lives: from now on the kernel writes FUTEX_OWNER_DIED (linux/futex.h) to the word of `ipcnet_handover_life_of`, and wakes who waits for it, as soon as this
 * thread begins to die: before the memory of its process is torn down, and after its last instruction. To be called once, by that thread; the page must stay mapped from then on.
 * 0 or a negative errno.
 */
int ipcnet_handover_mark_life(struct ipcnet_handover_page *page);

/* NULL: the maker of the page has not marked its life. */
const uint32_t *ipcnet_handover_life_of(const struct ipcnet_handover_page *page);

/* The connection in `slot` has been given `count` packets before. */
void ipcnet_handover_begin(struct ipcnet_handover_page *page, uint32_t slot, uint32_t count);

/* ipcnet_seqpacket_send_fds with marks. -EINVAL: no such slot. */
int ipcnet_handover_send(struct ipcnet_handover_page *page, uint32_t slot, int fd, const struct ipcnet_seqpacket_packet *packets, const struct ipcnet_seqpacket_fds *fds, uint32_t count);

/* How many packets the connection in `slot` has been given (modulo 2^32). Exact once the writer is dead; before, it may be behind. */
uint32_t ipcnet_handover_sent(const struct ipcnet_handover_page *page, uint32_t slot);

#endif
