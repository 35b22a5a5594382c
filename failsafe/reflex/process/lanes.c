#include "lanes.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define INLINE_BYTES 4032u
#define COMMAND_BYTES sizeof(struct ipcnet_reflex_command)

int ipcnet_lanes_init(struct ipcnet_lanes *self) {
  const struct ipcnet_lane_options options = {.slot_count = IPCNET_LANES_SLOTS, .inline_bytes = INLINE_BYTES, .policy = IPCNET_LANE_QUEUE};
  memset(self, 0, sizeof *self);
  return ipcnet_lane_writer_create(&self->frames, &options);
}

void ipcnet_lanes_destroy(struct ipcnet_lanes *self) {
  ipcnet_lane_writer_destroy(self->frames);
  self->frames = NULL;
}

/* ---- Frames --------------------------------------------------------------------------------------------------------------------------------- */

static void publish(struct ipcnet_lanes *self, uint64_t now_us, unsigned flags) {
  struct ipcnet_lane_meta meta = {.time_ns = now_us * 1000u};
  if (self->record_count == 0) return;
  if (ipcnet_lane_writer_publish(self->frames, &meta, NULL, self->records, self->record_count * sizeof self->records[0], flags) == 0) self->records_written += self->record_count;
  self->record_count = 0;
  self->published_us = now_us;
}

void ipcnet_lanes_record(struct ipcnet_lanes *self, const struct ipcnet_can_frame *record, uint64_t now_us) {
  self->records[self->record_count++] = *record;
  if (self->record_count == IPCNET_REFLEX_BATCH) publish(self, now_us, IPCNET_LANE_NO_RING);
}

uint64_t ipcnet_lanes_flush(struct ipcnet_lanes *self, uint64_t now_us) {
  if (self->record_count > 0 && now_us < self->published_us + IPCNET_LANES_PACE_US) {
    ipcnet_lane_writer_ring(self->frames);
    return self->published_us + IPCNET_LANES_PACE_US;
  }
  publish(self, now_us, IPCNET_LANE_NO_RING);
  ipcnet_lane_writer_ring(self->frames);
  return UINT64_MAX;
}

/* ---- Commands -------------------------------------------------------------------------------------------------------------------------------- */

int ipcnet_lanes_open_commands(struct ipcnet_lanes *self, int lane_fd, int *bell_for_writer) {
  const struct ipcnet_lane_reader_options options = {.policy = IPCNET_LANE_QUEUE, .start = IPCNET_LANE_FROM_NEXT};
  int bell[2], place = 0;
  while (place < (int)IPCNET_LANES_COMMAND_LANES_MAX && self->commands[place] != NULL) place += 1;
  if (place == (int)IPCNET_LANES_COMMAND_LANES_MAX) return -ENOSPC;
  int result = ipcnet_lane_bell(bell);
  if (result < 0) return result;
  result = ipcnet_lane_reader_open(&self->commands[place], lane_fd, bell[0], &options);
  if (result < 0) {
    self->commands[place] = NULL;
    close(bell[1]);
    return result;
  }
  if (ipcnet_lane_reader_payload_bytes_max(self->commands[place]) > INLINE_BYTES) {
    ipcnet_lanes_close_commands(self, place); /* nobody needs so large a command */
    close(bell[1]);
    return -EMSGSIZE;
  }
  *bell_for_writer = bell[1];
  return place;
}

int ipcnet_lanes_page_fd(const struct ipcnet_lanes *self, int place) {
  return ipcnet_lane_reader_page_fd(self->commands[place]);
}

int ipcnet_lanes_bell_fd(const struct ipcnet_lanes *self, int place) {
  return ipcnet_lane_reader_bell_fd(self->commands[place]);
}

void ipcnet_lanes_close_commands(struct ipcnet_lanes *self, int place) {
  ipcnet_lane_reader_close(self->commands[place]);
  self->commands[place] = NULL;
}

/* One message may hold several commands. Anything else than whole ones goes to the core as it is, to be refused and counted there. */
static void take(struct ipcnet_lanes *self, const uint8_t *bytes, size_t length, struct ipcnet_reflex *core, uint64_t now_us) {
  size_t step = length > COMMAND_BYTES && length % COMMAND_BYTES == 0 ? COMMAND_BYTES : length;
  for (size_t at = 0; at < length || at == 0; at += step) {
    ipcnet_reflex_command(core, bytes + at, step, now_us);
    self->commands_read += 1;
    if (step == 0) return;
  }
}

bool ipcnet_lanes_have_commands(struct ipcnet_lanes *self, int place) { return ipcnet_lane_reader_arm(self->commands[place]) == 0; }

enum ipcnet_lanes_state ipcnet_lanes_read(struct ipcnet_lanes *self, int place, struct ipcnet_reflex *core, uint64_t now_us) {
  _Alignas(8) uint8_t buffer[INLINE_BYTES];
  struct ipcnet_lane_sample sample;
  struct ipcnet_lane_reader *reader = self->commands[place];
  ipcnet_lane_reader_awake(reader);
  for (unsigned turn = 0; turn < IPCNET_LANES_COMMANDS_PER_TURN; turn++) {
    switch (ipcnet_lane_reader_read(reader, &sample, buffer, sizeof buffer)) {
    case IPCNET_LANE_SAMPLE:
      self->commands_lost += sample.lost_before;
      take(self, buffer, sample.payload_bytes, core, now_us);
      continue;
    case IPCNET_LANE_NOTHING:
      if (ipcnet_lane_reader_arm(reader) == 1) return IPCNET_LANES_SLEEPS;
      continue;
    default: return IPCNET_LANES_ENDED;
    }
  }
  return IPCNET_LANES_MORE;
}
