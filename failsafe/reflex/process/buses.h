/*
 * buses: the CAN buses of the table: sockets, a poller thread each (it reads, and does what may take milliseconds: purge, restart), and what goes between them and the core.
 *
 * Memory is taken when a table is loaded, not after. The core's thread is the owner of every bus (ipcnet_can.h).
 */
#ifndef IPCNET_REFLEX_BUSES_H
#define IPCNET_REFLEX_BUSES_H

#include "bus_poller.h"
#include "purge_client.h"
#include "emulator_socket.h"
#include "log.h"
#include "reflex.h"

#define IPCNET_BUSES_RING_FRAMES 1024u /* 1 Mbit/s has at most 21,000 frames a second: 48 ms */

struct ipcnet_bus {
  union { struct ipcnet_purge_client kernel; struct ipcnet_emulator emulator; } driver;
  bool emulated;
  struct ipcnet_can_os os;
  struct ipcnet_can can;
  struct ipcnet_bus_poller poller;
  enum { IPCNET_BUS_CLOSED, IPCNET_BUS_OPEN, IPCNET_BUS_CLOSING } phase;
  uint64_t retry_us; /* CLOSED: when it is opened again */
  enum ipcnet_can_status told; /* why it could not be opened, as it was logged last */
  uint32_t bitrate_bps, data_bitrate_bps; /* as the table has them; 0: any */
  bool rate_told; /* that it runs otherwise, as it was logged */
  struct ipcnet_can_frame ring[IPCNET_BUSES_RING_FRAMES];
};

struct ipcnet_buses {
  struct ipcnet_bus *buses; /* `count` of them */
  uint32_t count;
  int wake_fd;              /* eventfd: frames or events wait */
  uint8_t instance;
  const char *purge;        /* socket of ipcnet-purge */
  uint32_t controller;      /* of the emulated buses: the same for both twins, another for another host */
  struct ipcnet_log *log;
};

/* `run`: the folder that both twins run in; `purge`: the socket of who purges for them; it stays the caller's. */
int ipcnet_buses_init(struct ipcnet_buses *self, uint8_t instance, const char *run, const char *purge, struct ipcnet_log *log);
/* Closes those of the old table (waits for their pollers) and opens those of this one. 0, or a negative errno: then there are none. What cannot be opened now is tried again. */
int ipcnet_buses_use(struct ipcnet_buses *self, const struct ipcnet_reflex_table *table, uint64_t now_us);
/* Closes all. */
void ipcnet_buses_close(struct ipcnet_buses *self);
/* Everything that came in since the last call goes to the core, in order. To be called when wake_fd is readable. */
void ipcnet_buses_pump(struct ipcnet_buses *self, struct ipcnet_reflex *core, uint64_t now_us);
/* Once in a while: what was lost is opened again. */
void ipcnet_buses_tick(struct ipcnet_buses *self, uint64_t now_us);

/* For struct ipcnet_reflex_os. */
enum ipcnet_can_verdict ipcnet_buses_send(struct ipcnet_buses *self, uint8_t bus, const struct ipcnet_can_frame *frame);
void ipcnet_buses_effect(struct ipcnet_buses *self, uint8_t bus, enum ipcnet_bus_effect_kind kind);
bool ipcnet_buses_may_purge(const struct ipcnet_buses *self, uint8_t bus);

#endif
