/* Boards with a CAN controller: takes part in the bus at this bit rate. False: the controller does not answer. */
#ifndef IPCNET_EXAMPLE_BOARD_CAN_H
#define IPCNET_EXAMPLE_BOARD_CAN_H

#include <stdbool.h>
#include <stdint.h>

#include "ipcnet_can.h"

bool board_can_start(struct ipcnet_can *can, uint32_t bitrate_bps);

#endif
