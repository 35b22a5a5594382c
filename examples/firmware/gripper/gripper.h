/*
 * A gripper on a serial line, without its board: bytes and times in, bytes and a motor's velocity out. Runs on a microcontroller (main.c) and, for its tests, on the host.
 *
 *   State (1, every 20 ms, device → gateway, 20 bytes): position i16 · velocity i16 · outputs u8 · startedBy u8 · obeyed u32 · refused u32 · poses u16 · uptimeMs u32
 *   Move  (2, gateway → device, motion, 5 bytes):       mode u8 · target i16 · velocityLimit u16
 *   Fault (3, gateway → device, 1 byte; for tests alone, with GRIPPER_FAULTS): what u8, 1: hang, 2: restart
 *
 * Positions are thousandths (0 open, 1000 closed), velocities thousandths a second. Its safe pose is to stand still where it is: a gripper that opens drops what it holds.
 *
 * Local programs ask it for (services over circuits, docs/specs/circuits.md; little-endian):
 *   parameter  which u8: the answer is value u16 · minimum u16 · maximum u16. which u8 · value u16: sets it first
 *              0: grip force at most, millinewtons; 1: velocity at most, thousandths a second, whatever Move says
 *              203 there is no such parameter · 209 out of its range, nothing was set · 207 more than it is now, while the outputs follow: what moves gets no stronger and no faster by a parameter
 *   identity   nothing: vendor u32 · product u32 · version u32 (major << 24 | minor << 16 | patch) · startedBy u8
 *   counters   nothing: u32 each: uptimeMs, obeyed, refused, poses, CRC errors, repeated or out of sequence, silences, gateways that started anew, stops by the dead-man, requests, frames of circuits refused, parameters lost
 *
 * Parameters outlast a restart, not a loss of power. Each lies beside its complement: one that was changed by anything but its service is the smallest one of its range from the next turn on, until somebody sets it (after a loss of power what the firmware begins with).
 */
#ifndef IPCNET_EXAMPLE_GRIPPER_H
#define IPCNET_EXAMPLE_GRIPPER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipcnet_circuits.h"

enum gripper_message { GRIPPER_STATE = 1, GRIPPER_MOVE = 2, GRIPPER_FAULT = 3 };
enum gripper_mode { GRIPPER_HOLD, GRIPPER_GO, GRIPPER_OPEN };
enum gripper_wish { GRIPPER_NO_WISH, GRIPPER_WISH_HANG, GRIPPER_WISH_RESTART };

#define GRIPPER_DATA_ID 0x47524950u
#define GRIPPER_STATE_BYTES 20u
#define GRIPPER_MOVE_BYTES 5u
/* Longer than the gateway's own pauses: a third of its silenceTimeoutMs. */
#ifndef GRIPPER_SILENCE_US
#define GRIPPER_SILENCE_US 500000u
#endif
#define GRIPPER_DEAD_MAN_US 250000u
#define GRIPPER_STATE_US 20000u
#define GRIPPER_VELOCITY_MAX 2000 /* thousandths a second */
#define GRIPPER_TARGET_MAX 1000
#define GRIPPER_VENDOR 0x49504300u
#define GRIPPER_PRODUCT 2u
#define GRIPPER_VERSION 0x01000000u

enum gripper_parameter { GRIPPER_FORCE_LIMIT, GRIPPER_VELOCITY_LIMIT, GRIPPER_PARAMETERS };

/* In memory that a restart leaves alone; what it holds after power-up is chance. Value, and its complement in the upper half: one store, so that no reset comes in between. */
struct gripper_kept {
  uint32_t parameter[GRIPPER_PARAMETERS];
};

struct gripper {
  struct ipcnet_serial link;
  struct ipcnet_circuits circuits;
  struct gripper_kept *kept;
  uint8_t started_by;
  uint8_t mode;            /* enum gripper_mode */
  bool was_safe;
  uint8_t wish;            /* enum gripper_wish, of a test */
  int16_t target;
  uint16_t velocity_limit;
  int32_t position_millionths;
  int32_t velocity;        /* what the motor is told, thousandths a second */
  uint16_t force_limit;    /* and what its current is limited to, as a force in millinewtons; 0 while the outputs are safe */
  uint32_t turn_us, state_us, started_us;
  uint16_t poses;          /* how often it has become safe */
  uint32_t refused;        /* commands that were whole and fresh, but out of range */
  uint32_t lost_parameters;
};

/* `seed`: as ipcnet_serial_init wants it; `started_by` 0: the power came. There is one gripper: its link's memory is this module's. False: nothing is heard or said, its sizes do not fit together. */
bool gripper_start(struct gripper *self, struct gripper_kept *kept, uint32_t seed, uint8_t started_by, uint32_t now_us);
void gripper_byte(struct gripper *self, uint8_t byte, uint32_t now_us);
/* At least once a millisecond. Sets `velocity` and, since this gripper has no encoder, its position. */
void gripper_turn(struct gripper *self, uint32_t now_us);
/* The next byte for the line; false: none. */
bool gripper_next(struct gripper *self, uint8_t *byte);

#endif
