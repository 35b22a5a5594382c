/*
 * What is said between a bus process and ipcnet-purge: packets of 16 bytes over a SEQPACKET connection on one machine, no descriptors. Who connects asks, each question with a number of its own that rises by one;
 * each is answered once, in order. Anything else ends the connection.
 */
#ifndef IPCNET_PURGE_PROTOCOL_H
#define IPCNET_PURGE_PROTOCOL_H

#include <stdint.h>

#define IPCNET_PURGE_MAGIC 0x31525550u /* "PUR1" */

enum ipcnet_purge_kind {
  IPCNET_PURGE_MAY = 1,     /* would a PURGE of this interface be done? */
  IPCNET_PURGE_PURGE = 2,   /* down and up: empties every queue to the wire */
  IPCNET_PURGE_RESTART = 3, /* the controller, after bus-off */
  IPCNET_PURGE_ANSWER = 4,
};

struct ipcnet_purge_packet {
  uint32_t magic;
  uint16_t kind;
  uint16_t zero;
  uint32_t number;
  int32_t value; /* asked: the interface's index; answered: 0, or a negative errno */
};
_Static_assert(sizeof(struct ipcnet_purge_packet) == 16, "no padding");

#endif
