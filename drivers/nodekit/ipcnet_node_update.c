#include "ipcnet_node.h"
#include "ipcnet_node_bytes.h"
#include "ipcnet_node_images.h"

/* CiA 302-3's places for programs, and two of the manufacturer's. */
enum { PROGRAM_DATA = 0x1F50, PROGRAM_CONTROL = 0x1F51, REPORT = 0x2F00, PROBATION = 0x2F01 };
enum { CONTROL_START = 1 };

/* The device is known: parts are polled before it answers anything for the first time. Nothing moves, and nothing can begin to: commands are refused in this state, whatever comes. */
static bool at_rest(const struct ipcnet_node_update *self) {
  return self->device->state == IPCNET_NODE_PRE_OPERATIONAL && self->device->node.outputs == IPCNET_NODE_SAFE;
}

static bool moves(const struct ipcnet_node_update *self) {
  return self->device->node.outputs == IPCNET_NODE_FOLLOW;
}

static void restart_soon(struct ipcnet_node_update *self) {
  ipcnet_node_device_reset_soon(self->device);
}

/* The small ones come in one piece. */
static uint32_t order(struct ipcnet_node_update *self, uint16_t index, enum ipcnet_node_write phase, const uint8_t *bytes, uint32_t length) {
  if (phase == IPCNET_NODE_WRITE_BEGIN) {
    if (self->doing == RECEIVING) self->doing = IDLE; /* that transfer is over */
    self->order = 0;
  } else if (phase == IPCNET_NODE_WRITE_DATA) {
    if (length != (index == PROGRAM_CONTROL ? 1u : 4u)) return IPCNET_NODE_SDO_LENGTH;
    self->order = length == 1 ? bytes[0] : ipcnet_node_get32(bytes);
  } else if (phase == IPCNET_NODE_WRITE_END) {
    if (index == PROBATION) return probation(self, self->order);
    return self->order == CONTROL_START ? start_staged(self) : IPCNET_NODE_SDO_VALUE;
  }
  return 0;
}

static bool ours(uint16_t index) {
  return (index & ~1u) == PROGRAM_DATA || (index & ~1u) == REPORT; /* each pair lies together */
}

static uint32_t write_object(void *context, uint16_t index, uint8_t subindex, enum ipcnet_node_write phase, const uint8_t *bytes, uint32_t length) {
  struct ipcnet_node_update *self = context;
  if (!ours(index)) return IPCNET_NODE_SDO_NO_OBJECT;
  if (subindex > 1) return IPCNET_NODE_SDO_NO_SUBINDEX;
  if (subindex == 0 || index == REPORT) return IPCNET_NODE_SDO_READ_ONLY;
  return index == PROGRAM_DATA ? receive(self, phase, bytes, length) : order(self, index, phase, bytes, length);
}

static uint32_t read_object(void *context, uint16_t index, uint8_t subindex, const uint8_t **bytes, uint32_t *length) {
  static const uint8_t one = 1;
  struct ipcnet_node_update *self = context;
  if (!ours(index)) return IPCNET_NODE_SDO_NO_OBJECT;
  if (subindex > 1) return IPCNET_NODE_SDO_NO_SUBINDEX;
  if (subindex == 1 && index != REPORT) return IPCNET_NODE_SDO_WRITE_ONLY;
  *bytes = &one; /* sub-index 0: how many there are */
  *length = 1;
  if (subindex == 0) return 0;
  *bytes = self->report;
  *length = write_report(self);
  return 0;
}

/* ---- For the firmware ------------------------------------------------------------------------------------------------------------------ */

bool ipcnet_node_update_on_probation(const struct ipcnet_node_update *self) {
  return on_probation(self);
}

bool ipcnet_node_update_confirm(struct ipcnet_node_update *self) {
  return decide(self, IPCNET_NODE_CONFIRMED);
}

bool ipcnet_node_update_revert(struct ipcnet_node_update *self) {
  return decide(self, IPCNET_NODE_REVERTED);
}

/* ---- Time ------------------------------------------------------------------------------------------------------------------------------ */

static bool hear(struct ipcnet_node_part *part, struct ipcnet_node_device *device, uint32_t id, const uint8_t *data, size_t length_bytes, uint32_t now_us) {
  (void)part; (void)device; (void)id; (void)data; (void)length_bytes; (void)now_us;
  return false;
}

static void poll(struct ipcnet_node_part *part, struct ipcnet_node_device *device, uint32_t now_us) {
  struct ipcnet_node_update *self = (struct ipcnet_node_update *)part;
  self->device = device;
  if (is_over(self, now_us) && device->node.outputs != IPCNET_NODE_FOLLOW) ipcnet_node_device_reset_soon(device);
}

void ipcnet_node_update_init(struct ipcnet_node_update *self, const struct ipcnet_node_flash *flash, uint8_t running_slot, uint8_t tries, uint32_t probation_us, uint32_t now_us) {
  open_update(self, flash, running_slot, tries, probation_us, now_us);
  self->part.hear = hear;
  self->part.poll = poll;
  self->objects = (struct ipcnet_node_objects){ .context = self, .read = read_object, .write = write_object };
}
