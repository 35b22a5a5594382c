#include "reflex_internal.h"

/*
 * docs/specs/node-time.md has the frames. The owner of the bus tells the time, whether or not anything is armed and whether or not a brain is there: a SYNC when it is due, and when its echo says when it was on
 * the bus, that instant as a FOLLOW_UP. What delays the SYNC in a queue or in arbitration is thereby measured. A link that gives no echoes can tell nobody the time.
 */

#define TIME_BYTES 8u
#define TIME_VERSION 1u
#define TIME_SYNC 0u
#define TIME_FOLLOW_UP 1u
/* A node takes a FOLLOW_UP that comes within a second of its SYNC; an echo that stays away for so long is lost. */
#define TIME_ECHO_MAX_US 500000u
#define OWNER_BITS 7u

static const ipcnet_e2e_config TIME_E2E = {.data_id = 0xC1A7};

static bool tells(const struct ipcnet_reflex *self, uint32_t number) {
  return self->table.buses[number].time_period_us != 0 && self->role == IPCNET_TWIN_OWNER && self->buses[number].confirms && ipcnet_reflex_bus_open(self, number);
}

static void say(struct ipcnet_reflex *self, uint32_t number, uint32_t kind, uint32_t word) {
  const struct ipcnet_reflex_bus *row = &self->table.buses[number];
  struct ipcnet_can_frame frame = {.time_us = (double)(self->now_us + TIME_ECHO_MAX_US),
                                   .can_id = row->time_id,
                                   .flags = row->time_id > CAN_SFF_MASK ? IPCNET_CAN_EXTENDED : 0,
                                   .length_bytes = TIME_BYTES,
                                   .bus = (uint16_t)number,
                                   .token = ipcnet_reflex_next_token(self, TOKEN_TIME)};
  frame.data[3] = (uint8_t)(TIME_VERSION << 4 | (ipcnet_reflex_owner_number(self, (uint8_t)number) & OWNER_BITS) << 1 | kind);
  for (uint32_t i = 0; i < 4; i++) frame.data[4 + i] = (uint8_t)(word >> 8 * i);
  ipcnet_e2e_p05_protect(&TIME_E2E, frame.data, TIME_BYTES, self->buses[number].time_counter);
  bool queued = ipcnet_reflex_bus_send(self, number, &frame) == IPCNET_CAN_QUEUED;
  self->buses[number].time_token = queued && kind == TIME_SYNC ? frame.token : 0;
}

static bool awaits_echo(const struct ipcnet_reflex *self, uint32_t number) {
  const struct bus_state *bus = &self->buses[number];
  return bus->time_token != 0 && self->now_us < bus->time_sent_us + TIME_ECHO_MAX_US;
}

void ipcnet_reflex_time_turn(struct ipcnet_reflex *self) {
  for (uint32_t number = 0; number < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); number++) {
    struct bus_state *bus = &self->buses[number];
    if (!tells(self, number)) {
      bus->time_token = 0; /* who owns the bus again later does not date a frame of before */
      continue;
    }
    if (self->now_us < bus->time_due_us) continue;
    bus->time_due_us = self->now_us + self->table.buses[number].time_period_us;
    if (awaits_echo(self, number)) continue; /* one of them in the queue is enough */
    bus->time_counter++;
    bus->time_high = (uint32_t)(self->now_us >> 32);
    bus->time_sent_us = self->now_us;
    say(self, number, TIME_SYNC, bus->time_high);
  }
}

uint64_t ipcnet_reflex_time_next_us(const struct ipcnet_reflex *self) {
  uint64_t next = UINT64_MAX;
  for (uint32_t number = 0; number < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); number++) {
    if (tells(self, number) && self->buses[number].time_due_us < next) next = self->buses[number].time_due_us;
  }
  return next;
}

void ipcnet_reflex_time_echo(struct ipcnet_reflex *self, uint8_t number, const struct ipcnet_can_frame *frame) {
  struct bus_state *bus = &self->buses[number];
  if (frame->token != bus->time_token || !awaits_echo(self, number) || !tells(self, number)) return;
  bus->time_token = 0;
  /* A stamp that no clock of ours can have said since the SYNC was handed over tells nobody the time. Written so that a NaN is one. */
  if (!(frame->time_us >= (double)bus->time_sent_us && frame->time_us <= (double)self->now_us)) return;
  uint64_t sent_us = (uint64_t)frame->time_us;
  if (sent_us >> 32 != bus->time_high) return; /* the upper half changed between the two: once in 71 minutes a pair is left out */
  say(self, number, TIME_FOLLOW_UP, (uint32_t)sent_us);
}
