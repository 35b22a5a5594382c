/*
 * Microchip MCP2515 (and 25625): a CAN controller on SPI. Freestanding C99, no allocation; the SPI is a function. Source: data sheet DS20001801.
 *
 *   static struct ipcnet_mcp2515 controller;
 *   if (!ipcnet_mcp2515_start(&controller, &(struct ipcnet_mcp2515_options){ .spi = { .transfer = spi1 }, .crystal_hz = 16000000, .bitrate_bps = 500000 })) nobody_there();
 *   const struct ipcnet_can can = ipcnet_mcp2515_can(&controller);
 *
 * What it takes care of:
 *   - order: of several buffers that wait the chip sends the one with the highest priority, whatever came first;
 *   - bus-off: the chip recovers by itself and then sends what has waited; here everything is aborted and the chip only listens until `restart`;
 *   - two receive buffers, of which the first may be filled anew before the second is read;
 *   - wrong wiring: what was written is read back at the start.
 * A frame costs 17 bytes on SPI to send and 15 to receive; at 10 MHz that is 14 µs, a full bus of 500 kbit/s has a frame each 220 µs, in either buffer.
 */
#ifndef IPCNET_MCP2515_H
#define IPCNET_MCP2515_H

#include <stddef.h>

#include "ipcnet_can.h"

#ifdef __cplusplus
extern "C" {
#endif

/* One transaction: chip select low, `length` bytes out of `out` and into `in` at the same time, chip select high. At most 10 MHz, mode 0. */
struct ipcnet_spi {
  void *context;
  void (*transfer)(void *context, const uint8_t *out, uint8_t *in, size_t length);
};

struct ipcnet_mcp2515_options {
  struct ipcnet_spi spi;
  uint32_t crystal_hz;    /* of the chip's own: 8, 16 or 20 MHz on most boards */
  uint32_t bitrate_bps;
};

struct ipcnet_mcp2515 {
  struct ipcnet_spi spi;
  uint8_t timing[3];      /* CNF3, CNF2, CNF1 */
  int8_t next_buffer;     /* 2, 1, 0: in falling priority; −1: all taken */
  bool second_first;      /* the second receive buffer holds the older frame */
  bool bus_off;
  uint32_t overflows, remote_frames, bus_offs; /* only rise */
};

/* CNF3, CNF2, CNF1 for a bit rate, sample point 75 … 80 %; false: this crystal cannot do it. */
bool ipcnet_mcp2515_timing(uint32_t crystal_hz, uint32_t bitrate_bps, uint8_t timing[3]);

/* Resets the chip and takes part in the bus. False: no such bit rate, or nobody answers on SPI as an MCP2515 does. */
bool ipcnet_mcp2515_start(struct ipcnet_mcp2515 *self, const struct ipcnet_mcp2515_options *options);

/* `self` must outlive it. */
struct ipcnet_can ipcnet_mcp2515_can(struct ipcnet_mcp2515 *self);

#ifdef __cplusplus
}
#endif

#endif
