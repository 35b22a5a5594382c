/*
 * edge_rig: what tests of single rules share: one reflex, and the arm's table, which is changed before `begin`.
 */
#ifndef IPCNET_EDGE_RIG_H
#define IPCNET_EDGE_RIG_H

#include "core_rig.h"

static struct core_rig rig;
static struct table_rig table;

static inline uint8_t role(void)
{
  return rig_state(&rig).role;
}

static inline struct bus_state *bus(uint8_t number)
{
  return &rig.reflex->buses[number];
}

static inline uint8_t phase(uint8_t number)
{
  return bus(number)->health.phase;
}

static inline void begin(uint8_t instance)
{
  rig_begin(&rig, instance);
  rig_load(&rig, &table);
}

/* The arm with another host on its bus. */
static inline void shared_table(void)
{
  rig_arm_table(&table);
  table.buses[ARM_BUS].self_fence_us = 30000;
}

/* Owner of what `table` says, with nothing missing. */
static inline void ready(void)
{
  rig_ready_with(&rig, &table, 0);
}

static inline void tick_at(uint64_t at_us)
{
  rig.now_us = at_us;
  ipcnet_reflex_tick(rig.reflex, at_us);
}

static inline void link_with(uint8_t number, uint32_t no_echoes, struct ipcnet_can_link link)
{
  struct ipcnet_can_link_event up = {.kind = IPCNET_LINK_UP, .b = no_echoes};
  link.up = true;
  ipcnet_reflex_link(rig.reflex, number, &up, &link, rig.now_us);
}

/* The owner on the other host is heard, with a newer epoch. */
static inline void hear_newer_owner(void)
{
  struct ipcnet_can_frame claim = rig_claim_of(&rig, IPCNET_CLAIM, (uint16_t)(rig.reflex->proposed_epoch + 1), 2, 0);
  rig_hear(&rig, &claim);
}

#endif
