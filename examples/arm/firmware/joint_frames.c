#include "joint_frames.h"

void joint_frames_init(joint_frames *self) {
  shoulder_shoulder_command_receiver_init(&self->command_receiver);
  self->state_sender.counter = SHOULDER_SHOULDER_STATE_FIRST_COUNTER;
  shoulder_shoulder_command_init(&self->command); /* mode 0 is Off: nothing moves before the first command */
  self->commands_accepted = 0u;
  self->commands_refused = 0u;
}

shoulder_status joint_frames_receive(joint_frames *self, uint32_t can_id, int extended, const uint8_t *frame, size_t length_bytes) {
  shoulder_status status;
  if (shoulder_find(can_id, extended) != SHOULDER_MESSAGE_SHOULDER_COMMAND) {
    return SHOULDER_NOT_ACCEPTED; /* not for us: not counted as a fault */
  }
  status = shoulder_shoulder_command_unpack(&self->command_receiver, &self->command, frame, length_bytes);
  if (status == SHOULDER_OK) {
    self->commands_accepted += 1u;
  } else {
    self->commands_refused += 1u;
  }
  return status;
}

shoulder_status joint_frames_state(joint_frames *self, float position_rad, float velocity_rad_s, uint8_t mode, uint8_t *frame, size_t capacity_bytes) {
  shoulder_shoulder_state state;
  shoulder_shoulder_state_init(&state);
  state.position = position_rad;
  state.velocity = velocity_rad_s;
  state.mode = mode;
  /* Measured values are clamped on purpose: a joint that overshoots its range must still report. NaN is not, and is refused below. */
  shoulder_shoulder_state_clamp(&state);
  return shoulder_shoulder_state_pack(&self->state_sender, &state, frame, capacity_bytes);
}
