/*
 * The CAN controller of Xilinx Zynq and ZynqMP. Freestanding C99, no allocation; its registers are reached by two functions. Source: Zynq UltraScale+ TRM (UG1085) and register reference (UG1087).
 * On QEMU's model of it (xlnx-zcu102) it starts, and its frames are right; receiving there, and a chip, were not tried.
 */
#ifndef IPCNET_XCAN_H
#define IPCNET_XCAN_H

#include "ipcnet_can.h"

#ifdef __cplusplus
extern "C" {
#endif

struct ipcnet_xcan_options {
  struct ipcnet_registers registers; /* offset 0: SRR */
  uint32_t clock_hz;                 /* CAN_REF_CLK */
  uint32_t bitrate_bps;
  /* QEMU's model (seen in 7.2) differs from the manual twice: an identifier stands in its register as Linux has it instead of in bits 31…21, and of a word of data the first byte stands lowest instead of highest.
   * Only for that. */
  bool as_emulated;
};

struct ipcnet_xcan {
  struct ipcnet_registers registers;
  bool bus_off, as_emulated;
  uint32_t overflows, remote_frames, bus_offs; /* only rise */
};

/* False: no such bit rate, or the controller does not enter its modes. */
bool ipcnet_xcan_start(struct ipcnet_xcan *self, const struct ipcnet_xcan_options *options);

/* `self` must outlive it. */
struct ipcnet_can ipcnet_xcan_can(struct ipcnet_xcan *self);

#ifdef __cplusplus
}
#endif

#endif
