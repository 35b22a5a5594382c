/* Written by dataIds.ts from examples/arm/arm.dbc; do not edit. The Data IDs of profile 5, by the joint's number - 1. */
#ifndef IPCNET_EXAMPLE_JOINT_DATA_IDS_H
#define IPCNET_EXAMPLE_JOINT_DATA_IDS_H

#include <stdint.h>

static const struct { uint16_t state, command, status, witness; } joint_data_ids[6] = {
  { .state = 0xf051, .command = 0x8875, .status = 0x49b7, .witness = 0x783a }, /* base */
  { .state = 0x7ad0, .command = 0x6151, .status = 0x424f, .witness = 0xbbc1 }, /* shoulder */
  { .state = 0xad99, .command = 0x0a05, .status = 0xc190, .witness = 0x909d }, /* elbow */
  { .state = 0xe31e, .command = 0x9152, .status = 0x4316, .witness = 0x0d41 }, /* forearm */
  { .state = 0x0692, .command = 0x05ca, .status = 0x156e, .witness = 0x1fe2 }, /* wrist */
  { .state = 0x024e, .command = 0xb901, .status = 0x2f96, .witness = 0x4514 }, /* gripper */
};

#endif
