/*
 * A joint of the demonstration arm (examples/arm/arm.dbc) on CAN, without its board: frames and times in, frames and a motor's velocity out. Runs on microcontrollers (main.c) and, for its test, on the host.
 * Heartbeat, NMT, EMCY, claims, epochs, E2E and the dead-man are the node kit's (drivers/nodekit/ipcnet_node.h).
 */
#ifndef IPCNET_EXAMPLE_JOINT_H
#define IPCNET_EXAMPLE_JOINT_H

#include <stdbool.h>
#include <stdint.h>

#include "ipcnet_can.h"
#include "ipcnet_node.h"

enum joint_mode { JOINT_OFF, JOINT_HOLD, JOINT_MOVE, JOINT_PARK, JOINT_FAULT };
enum joint_fault { JOINT_NO_FAULT, JOINT_COMMAND_LOST };

struct joint {
  struct ipcnet_node_device device;
  struct ipcnet_node_command command;
  struct ipcnet_node_device_options options;
  struct ipcnet_node_port port;
  const struct ipcnet_can *can;
  uint8_t number, mode, fault;
  int32_t target_urad, position_urad;
  int32_t velocity_limit_mrad_s, velocity_mrad_s;
  uint32_t turn_us, state_us, status_us, witness_us, bus_off_us;
  uint16_t said_epoch;
  uint8_t said_owner;
  bool bus_off;
  uint8_t state_counter, status_counter, witness_counter;
  uint32_t senseless; /* commands whose values cannot be meant */
};

/* `number`: 1 … 6, as in examples/arm. `can` and `self` stay where they are. `reset`: restarts the chip. */
void joint_start(struct joint *self, uint8_t number, uint16_t claim_id, const struct ipcnet_can *can, void (*reset)(void *context), uint32_t now_us);
/* At least once a millisecond: takes what has come, sends what is due, sets `velocity_mrad_s` and, since this joint has no encoder, its position. */
void joint_turn(struct joint *self, uint32_t now_us);

#endif
