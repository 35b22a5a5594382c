/*
 * A joint of the demonstration arm (examples/arm/arm.dbc) on CAN, without its board: frames and times in, frames and a motor's velocity out. Runs on microcontrollers (main.c) and, for its test, on the host.
 * Heartbeat, NMT, EMCY, claims, epochs, E2E, the dead-man and who-am-I are the node kit's (drivers/nodekit/ipcnet_node.h).
 */
#ifndef IPCNET_EXAMPLE_JOINT_H
#define IPCNET_EXAMPLE_JOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "ipcnet_can.h"
#include "ipcnet_node.h"

enum joint_mode { JOINT_OFF, JOINT_HOLD, JOINT_MOVE, JOINT_PARK, JOINT_FAULT };
enum joint_fault { JOINT_NO_FAULT, JOINT_COMMAND_LOST };

/* An object of the joint's own, read-only: what it has counted since power-up, in 32 bits each, by subindex. */
enum { JOINT_COUNTS = 0x2100 };
enum joint_count { JOINT_COUNT_ACCEPTED = 1, JOINT_COUNT_REFUSED, JOINT_COUNT_DEAD_MAN_STOPS, JOINT_COUNT_STALE_CLAIMS, JOINT_COUNT_SENSELESS, JOINT_COUNT_LATE };
/* With JOINT_FAULTS alone, for tests: any byte written there makes the firmware hang. */
enum { JOINT_FAULT_OBJECT = 0x2101 };

struct joint {
  struct ipcnet_node_device device;
  struct ipcnet_node_command command;
  struct ipcnet_node_device_options options;
  struct ipcnet_node_port port;
  struct ipcnet_node_identity identity;
  struct ipcnet_node_sdo sdo;
  struct ipcnet_node_objects objects;
  const struct ipcnet_can *can;
  uint8_t number, mode, fault;
  int32_t target_urad, position_urad;
  int32_t velocity_limit_mrad_s, velocity_mrad_s;
  uint32_t turn_us, state_us, status_us, witness_us, bus_off_us, deaf_us;
  uint16_t said_epoch;
  uint8_t said_owner;
  bool bus_off, deaf, hangs;
  uint8_t state_counter, status_counter, witness_counter;
  uint32_t senseless; /* commands whose values cannot be meant */
  uint32_t late;      /* frames that may have waited while the program stood still: not heard */
  uint8_t count[4];   /* the one that was read last */
};

/* `number`: 1 … 6, as in examples/arm. `can` and `self` stay where they are. `reset`: restarts the chip. */
void joint_start(struct joint *self, uint8_t number, uint16_t claim_id, const struct ipcnet_can *can, void (*reset)(void *context), uint32_t now_us);
/* At least once a millisecond: takes what has come, sends what is due, sets `velocity_mrad_s` and, since this joint has no encoder, its position. */
void joint_turn(struct joint *self, uint32_t now_us);

#endif
