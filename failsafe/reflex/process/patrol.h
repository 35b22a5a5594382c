/*
 * patrol: a thread that visits every processor of this machine when it is asked to, and says when it was everywhere.
 *
 * Why: a processor can stand still while the others run (a hypervisor that carries out a disk write, a driver that keeps interrupts off, firmware): 17 to 26 ms were measured in a virtual
 * machine that wrote 8 MiB at once. Who ran there is not hung; it goes on in the same microsecond as its processor. Killing it would gain nothing either: it is dead only
 * when its processor runs again. So nobody is accused before the patrol has come back: then all processors run, and whoever still stands still does so by itself.
 *
 * Its priority is above the loop's: a loop that never ends must not keep it out. It costs nothing until it is asked.
 */
#ifndef IPCNET_REFLEX_PATROL_H
#define IPCNET_REFLEX_PATROL_H

#include <sched.h>
#include <stdatomic.h>
#include <stdint.h>

struct ipcnet_patrol {
  _Atomic uint32_t asked;       /* futex: rises with each round that is wanted */
  _Atomic uint32_t returned;    /* the last round that was finished */
  _Atomic uint64_t returned_us;
  cpu_set_t processors;
};

/* Which processors there are for us; before the process binds itself to one of them. */
void ipcnet_patrol_init(struct ipcnet_patrol *self);
/* Starts the thread, which lives as long as the process: of the caller's scheduler, one above it where that is realtime. 0, or a negative errno. */
int ipcnet_patrol_start(struct ipcnet_patrol *self);
/* Begins a round; one that is under way is followed by another. */
void ipcnet_patrol_ask(struct ipcnet_patrol *self);
/* When the last round that was asked for was finished, µs of CLOCK_MONOTONIC; 0: not yet. */
uint64_t ipcnet_patrol_returned_us(struct ipcnet_patrol *self);

#endif
