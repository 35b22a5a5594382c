/* brain: the least of one: connects to both reflexes, gives each the table and the same command lane, beats, orders, sends set-points. One thread. */
#ifndef IPCNET_RIG_BRAIN_H
#define IPCNET_RIG_BRAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "../../../../shm/core/lane.h"
#include "../packet.h"

struct rig_link { int fd, reader, frames; uint32_t sent, received; };
struct rig_brain {
  char run[100];
  uint32_t epoch;
  uint64_t sequence, beat_due_us;
  uint64_t table_hash;
  int table_fd;
  uint32_t table_bytes;
  bool silent; /* its commands ring nobody */
  struct ipcnet_lane_writer *lane;
  struct rig_link links[2];
};

bool rig_brain_open(struct rig_brain *self, const char *run, const uint8_t *table, size_t table_bytes);
void rig_brain_close(struct rig_brain *self);
/* Connects, greets, gives table and lane. False: not there (yet), or refused. */
bool rig_brain_attach(struct rig_brain *self, int instance);
void rig_brain_detach(struct rig_brain *self, int instance);
/* Sends a packet and waits for the answer with its number. False: gone, or none within a generous time. `body` has room for 1000 bytes. */
bool rig_brain_ask(struct rig_brain *self, int instance, uint16_t kind, const void *body, size_t body_bytes, int fd, struct ipcnet_packet *answer, uint8_t *answer_body, size_t *answer_bytes);
bool rig_brain_status(struct rig_brain *self, int instance, struct ipcnet_reflex_status *to);
/* enum ipcnet_reflex_answer, 3 a fault, -1 gone. */
int rig_brain_order(struct rig_brain *self, int instance, uint8_t order, uint32_t a, uint32_t b);
int rig_brain_switch(struct rig_brain *self, int instance);
/* To the other host. */
int rig_brain_switch_host(struct rig_brain *self, int instance);
/* Beats to both when it is due. */
void rig_brain_beat(struct rig_brain *self);
/* One set-point for a message of the table; returns its deadline. */
uint64_t rig_brain_command(struct rig_brain *self, uint16_t message, int16_t target);
/* Beats, and sends one set-point for the first message; returns its deadline. */
uint64_t rig_brain_turn(struct rig_brain *self, int16_t target);

#endif
