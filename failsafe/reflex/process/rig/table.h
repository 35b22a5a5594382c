/* table: what a table compiler would write for one arm with one joint on one emulated bus: a set-point, a brake that only the pose may put on, the joint's state, a plan for every trigger that matters here. */
#ifndef IPCNET_RIG_TABLE_H
#define IPCNET_RIG_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct rig_shared {
  uint8_t host;
  uint32_t beat_period_us, self_fence_us, twin_deadline_us;
  /* How the joints are confirmed. ONE_GROUP: two joints, any of them is enough, and none is required to be armed. TWO_GROUPS: both are, and both are required. */
  enum { RIG_ONE_JOINT, RIG_ONE_GROUP, RIG_TWO_GROUPS } joints;
};
#define RIG_SECOND_COMMAND 2 /* row of the second joint's set-point; the first one's is 0 */

/* The bytes, to be freed. `socket_path`: of the bus. */
uint8_t *rig_joint_table(const char *socket_path, uint32_t generation, uint32_t twin_deadline_us, size_t *length);
/* The same, and a line of `chip` says that power fails. */
uint8_t *rig_joint_table_with_line(const char *socket_path, uint32_t generation, uint32_t twin_deadline_us, const char *chip, size_t *length);
/* The same for one of two hosts on that bus; the joints are groups of actuators. */
uint8_t *rig_shared_table(const char *socket_path, uint32_t generation, const struct rig_shared *shared, size_t *length);

#endif
