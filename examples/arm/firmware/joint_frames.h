/*
 * The frames of one joint: in and out, nothing else. Opens nothing, waits for nothing; one thread.
 * Made for the joint with the number 1 (shoulder); for another one generate with its number.
 */
#ifndef JOINT_FRAMES_H
#define JOINT_FRAMES_H

#include "shoulder.h"

typedef struct {
  ipcnet_e2e_receiver command_receiver;
  shoulder_sender state_sender;
  shoulder_shoulder_command command; /* the newest that was accepted */
  uint32_t commands_accepted;        /* only rises */
  uint32_t commands_refused;         /* only rises: wrong CRC, stale counter, out of range */
} joint_frames;

void joint_frames_init(joint_frames *self);

/* A frame from the bus. SHOULDER_OK: self->command is new, and the dead-man may be fed; anything else: it is the old one, and the dead-man is not fed. */
shoulder_status joint_frames_receive(joint_frames *self, uint32_t can_id, int extended, const uint8_t *frame, size_t length_bytes);

/* What the joint measured, radians and radians per second, as a frame of SHOULDER_SHOULDER_STATE_FRAME_BYTES. Not SHOULDER_OK: nothing was written, and nothing may be sent. */
shoulder_status joint_frames_state(joint_frames *self, float position_rad, float velocity_rad_s, uint8_t mode, uint8_t *frame, size_t capacity_bytes);

#endif
