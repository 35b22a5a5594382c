/*
 * A classic CAN controller, as the examples' firmware sees it: five functions, so that a node runs over any. `send` is of the shape that ipcnet_node's port wants.
 * None of them waits for the bus. One thread (or interrupt level) per controller.
 */
#ifndef IPCNET_CAN_H
#define IPCNET_CAN_H

#include <stdbool.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* In an identifier: it is one of 29 bits. */
#define IPCNET_CAN_EXTENDED 0x80000000u

struct ipcnet_can_frame {
  uint32_t id;       /* with IPCNET_CAN_EXTENDED */
  uint8_t length;    /* 0 … 8 */
  uint8_t data[8];   /* 0 behind `length` */
};

enum ipcnet_can_health { IPCNET_CAN_ACTIVE, IPCNET_CAN_WARNING, IPCNET_CAN_PASSIVE, IPCNET_CAN_BUS_OFF };

struct ipcnet_can {
  void *context;
  /* Takes a copy; false: no room now, or bus-off. Frames leave in the order in which they were given. */
  bool (*send)(void *context, uint32_t id, const uint8_t *data, uint8_t length);
  /* The next data frame, in the order of arrival; remote frames are passed over. False: none. */
  bool (*receive)(void *context, struct ipcnet_can_frame *frame);
  /*
   * Ask at least once a millisecond. Bus-off stays until `restart`: what waited is dropped at once and nothing is sent, although some controllers would go on by themselves, and send what was
   * meant for another time.
   */
  enum ipcnet_can_health (*health)(void *context);
  /* Drops what waits to be sent. */
  void (*purge)(void *context);
  /* Takes part in the bus again after bus-off. */
  void (*restart)(void *context);
};

/* Registers of a controller on the chip: by offset, so that a model can stand in for them. */
struct ipcnet_registers {
  void *context;
  uint32_t (*read)(void *context, uint32_t offset_bytes);
  void (*write)(void *context, uint32_t offset_bytes, uint32_t value);
};

#ifdef __cplusplus
}
#endif

#endif
