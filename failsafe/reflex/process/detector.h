/*
 * detector: a thread that sleeps on the other twin's robust word. The kernel marks the word and wakes us as the very first thing when its thread dies: a tenth of a millisecond, whatever
 * its memory. It is a suspicion, not a proof: the proof is the lock or the pidfd.
 *
 * The word lies in the other's page, which we can only read; waiting needs no more. A kernel that refuses leaves the pidfd as the only signal (`refused`).
 */
#ifndef IPCNET_REFLEX_DETECTOR_H
#define IPCNET_REFLEX_DETECTOR_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct ipcnet_detector {
  _Atomic(const uint32_t *) word; /* what to watch; NULL nothing */
  _Atomic(const uint32_t *) used; /* what the thread looks at right now */
  _Atomic uint32_t news;          /* futex: rises with every change of `word` */
  _Atomic bool refused;
  int died_fd;                    /* eventfd: readable when the word said so */
};

/* 0, or a negative errno. The thread lives as long as the process. */
int ipcnet_detector_start(struct ipcnet_detector *self);
void ipcnet_detector_watch(struct ipcnet_detector *self, const uint32_t *word);
/* Whether `word` may be unmapped: the thread looks elsewhere by now. */
bool ipcnet_detector_has_left(struct ipcnet_detector *self, const uint32_t *word);

#endif
