/*
 * claim_rig: what the tests of claims share: one reflex, one table, claims of others, and the arm's bus with another host on it.
 */
#ifndef IPCNET_CLAIM_RIG_H
#define IPCNET_CLAIM_RIG_H

#include "core_rig.h"

static struct core_rig rig;
static struct table_rig table;

static inline uint8_t role(void)
{
  return rig_state(&rig).role;
}

static inline void hear(enum ipcnet_claim_kind kind, uint16_t epoch, uint8_t owner, uint8_t counter)
{
  struct ipcnet_can_frame frame = rig_claim_of(&rig, kind, epoch, owner, counter);
  rig_hear(&rig, &frame);
}

static inline uint64_t next_us(void)
{
  return ipcnet_reflex_claim_next_us(rig.reflex);
}

static inline void tick_at(uint64_t at_us)
{
  rig.now_us = at_us;
  ipcnet_reflex_tick(rig.reflex, at_us);
}

/* Two hosts on the arm's bus; we are `host`. */
static inline void shared_table(uint8_t host)
{
  rig_arm_table(&table);
  table.buses[ARM_BUS].host = host;
  table.buses[ARM_BUS].self_fence_us = 30000;
}

/* With the table, links up, and nothing owned yet. */
static inline void begin(uint8_t instance)
{
  rig_begin(&rig, instance);
  rig_load(&rig, &table);
  rig_links_up(&rig);
}

static inline void begin_shared(uint8_t host, uint8_t instance)
{
  shared_table(host);
  begin(instance);
}

#endif
