/*
 * pair_rig: what the tests of taking over share: `a` owns and is armed, `b` stands by and sees a's page, and either an image is changed before b takes over or b begins from what was on the disk.
 */
#ifndef IPCNET_PAIR_RIG_H
#define IPCNET_PAIR_RIG_H

#include "../../../schemas/crc/c/ipcnet_crc_fast.h"
#include "core_rig.h"

static struct core_rig a, b;
static struct table_rig table;

static inline uint8_t arming(const struct core_rig *rig)
{
  return rig_state(rig).arming;
}

/* A twin that stands by and hears the same bus. */
static inline void stand_by(struct core_rig *rig, struct table_rig *with)
{
  rig_begin(rig, 1);
  rig_load(rig, with);
  rig_links_up(rig);
  rig_event(rig, IPCNET_TWIN_LOCK_HELD);
  rig_run(rig, 20000);
}

static inline void pair_with(struct table_rig *with)
{
  rig_ready_with(&a, with, 0);
  rig_order(&a, IPCNET_ORDER_ARM, 0, 0);
  stand_by(&b, with);
  b.now_us = a.now_us;
  b.node_epoch = a.node_epoch;
  b.node_owner = a.node_owner;
  rig_report(&b);
  b.other = a.page;
}

static inline void pair(void)
{
  rig_arm_table(&table);
  pair_with(&table);
}

/* a is dead, b has the proof and the lock. */
static inline void take_over(void)
{
  rig_event(&b, IPCNET_TWIN_OWNER_SUSPECT);
  rig_event(&b, IPCNET_TWIN_OWNER_DEAD);
}

static inline void end_pair(void)
{
  rig_end(&a);
  rig_end(&b);
}

/* As its writer would have written it. */
static inline void reseal(struct ipcnet_reflex_image *image)
{
  image->crc32c = 0;
  image->crc32c = ipcnet_crc32_iscsi_fast(0, (const uint8_t *)image + 4, sizeof *image - 4);
}

static inline void begin_from_disk(const struct ipcnet_reflex_image *image)
{
  rig_begin(&b, 0);
  ipcnet_reflex_restore(b.reflex, image, b.now_us);
  rig_arm_table(&table);
  rig_load(&b, &table);
  rig_links_up(&b);
  rig_run(&b, 20000);
  rig_event(&b, IPCNET_TWIN_LOCK_GRANTED);
}

#endif
