/* table: what a table compiler would write for one arm with one joint on one emulated bus: a set-point, a brake that only the pose may put on, the joint's state, a plan for every trigger that matters here. */
#ifndef IPCNET_RIG_TABLE_H
#define IPCNET_RIG_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct rig_shared { uint8_t host; uint32_t beat_period_us, self_fence_us; };

/* The bytes, to be freed. `socket_path`: of the bus. */
uint8_t *rig_joint_table(const char *socket_path, uint32_t generation, uint32_t twin_deadline_us, size_t *length);
/* The same, and a line of `chip` says that power fails. */
uint8_t *rig_joint_table_with_line(const char *socket_path, uint32_t generation, uint32_t twin_deadline_us, const char *chip, size_t *length);
/* The same for one of two hosts on that bus; the joint is a group of actuators. */
uint8_t *rig_shared_table(const char *socket_path, uint32_t generation, const struct rig_shared *shared, size_t *length);

#endif
