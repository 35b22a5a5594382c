/*
 * bxCAN, the controller in STM32F0, F1, F2, F3, F4 and L4. Freestanding C99, no allocation; its registers are reached by two functions. Source: reference manual RM0008, chapter 24.
 * Clock, pins and the peripheral's enable bit are the board's.
 *
 *   if (!ipcnet_bxcan_start(&controller, &(struct ipcnet_bxcan_options){ .registers = { .read = read, .write = write }, .clock_hz = 36000000, .bitrate_bps = 500000 })) nobody_there();
 *
 * What it takes care of: order (TXFP: mailboxes leave in the order of their requests), bus-off (ABOM stays off; what waits is aborted, and the controller stays out until `restart`), one receive FIFO of three
 * frames that keeps the oldest (RFLM) and counts what it lost. Tested against a model of the registers; it was not tried on a chip.
 */
#ifndef IPCNET_BXCAN_H
#define IPCNET_BXCAN_H

#include "ipcnet_can.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ipcnet_bxcan_options {
  struct ipcnet_registers registers; /* offset 0: CAN_MCR */
  uint32_t clock_hz;                 /* of the bus the peripheral hangs on (APB1) */
  uint32_t bitrate_bps;
};

struct ipcnet_bxcan {
  struct ipcnet_registers registers;
  bool bus_off, restarting;
  uint32_t overflows, remote_frames, bus_offs; /* only rise */
};

/* CAN_BTR for a bit rate, sample point 75 … 88 %; false: this clock cannot do it. */
bool ipcnet_bxcan_timing(uint32_t clock_hz, uint32_t bitrate_bps, uint32_t *btr);

/* False: no such bit rate, or the controller does not enter its modes (no clock; or for normal mode, a receive pin that never becomes recessive). */
bool ipcnet_bxcan_start(struct ipcnet_bxcan *self, const struct ipcnet_bxcan_options *options);

/* `self` must outlive it. */
struct ipcnet_can ipcnet_bxcan_can(struct ipcnet_bxcan *self);

#ifdef __cplusplus
}
#endif

#endif
