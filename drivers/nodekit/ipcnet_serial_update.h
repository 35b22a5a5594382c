/*
 * ipcnet_serial_update: new firmware over a serial line, as a service of ipcnet_circuits (docs/specs/node-update.md, "Over a serial line"). The images, the journal and the boot loader are those of ipcnet_node.h, parts 5 and 6.
 *
 *   static struct ipcnet_serial_update update;
 *   static const struct ipcnet_circuit_service services[] = { …, IPCNET_SERIAL_UPDATE_SERVICE(&update) };
 *   ipcnet_serial_update_init(&update, &options, running_slot, now_us);
 *   …
 *     ipcnet_serial_update_poll(&update, now_us);                   // behind ipcnet_circuits_poll
 *     if (update.restarts) board_restart();                         // outputs are safe, the answer has had its time to leave
 *
 * Circuits' message_bytes_max is at least IPCNET_SERIAL_UPDATE_MESSAGE_BYTES, window_units that and 16 for each of its frames.
 *
 * Invariants
 *   - An image is taken, and what stands in the flash is told, only while the outputs are safe, and motion messages are refused from its beginning until it is given up or whole (ipcnet_serial's `resting`).
 *   - The order to start it is taken only while the outputs are safe; from then on they stay so.
 *   - A transfer that is silent for 2 s is given up. What stands in the flash is not lost: the next one may go on behind it.
 *
 * One thread with the link. Writing takes as long as the flash does: up to a page's erasure in one call.
 */
#ifndef IPCNET_SERIAL_UPDATE_H
#define IPCNET_SERIAL_UPDATE_H

#include "ipcnet_circuits.h"
#include "ipcnet_node.h"

#ifdef __cplusplus
extern "C" {
#endif

#define IPCNET_SERIAL_UPDATE_PIECE_BYTES 192u
#define IPCNET_SERIAL_UPDATE_MESSAGE_BYTES (5u + IPCNET_SERIAL_UPDATE_PIECE_BYTES)
#define IPCNET_SERIAL_UPDATE_SILENCE_US 2000000u
/* From an order to restart to the restart: time for its answer to leave, once more if it was lost. */
#define IPCNET_SERIAL_UPDATE_RESTART_US 300000u

/* Constant; must outlive the update. */
struct ipcnet_serial_update_options {
  struct ipcnet_serial *link;
  const struct ipcnet_node_flash *flash;
  uint32_t probation_us; /* as ipcnet_node_update_init */
  uint8_t tries;
};

struct ipcnet_serial_update {
  struct ipcnet_node_update update; /* first. Its `part`, `objects` and `device` are not used */
  const struct ipcnet_serial_update_options *options;
  const struct ipcnet_circuit *talk; /* one at a time */
  uint8_t answer[68];
  uint8_t answer_bytes;
  bool restart_due, restarts;
  uint32_t heard_us, restart_us, now_us;
};

void ipcnet_serial_update_init(struct ipcnet_serial_update *self, const struct ipcnet_serial_update_options *options, uint8_t running_slot, uint32_t now_us);
void ipcnet_serial_update_poll(struct ipcnet_serial_update *self, uint32_t now_us);
bool ipcnet_serial_update_on_probation(const struct ipcnet_serial_update *self);
/* The running image stays. False: it was not on probation, or the flash failed (try again). */
bool ipcnet_serial_update_confirm(struct ipcnet_serial_update *self);

/* For the table of services. */
uint16_t ipcnet_serial_update_hear(void *context, struct ipcnet_circuit *call, const uint8_t *body, size_t body_bytes, bool more);
enum ipcnet_circuit_said ipcnet_serial_update_tell(void *context, struct ipcnet_circuit *call, uint8_t *out, size_t *out_bytes);
void ipcnet_serial_update_over(void *context, struct ipcnet_circuit *call, uint16_t status);
#define IPCNET_SERIAL_UPDATE_SERVICE(self) \
  { .name = "update", .context = (self), .hear = ipcnet_serial_update_hear, .tell = ipcnet_serial_update_tell, .over = ipcnet_serial_update_over }

#ifdef __cplusplus
}
#endif

#endif
