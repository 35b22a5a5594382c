#include "packet.h"

#include <string.h>

#include "ipcnet_e2e.h"

_Static_assert(sizeof(struct ipcnet_packet_hello) == 36, "docs/specs/reflex.md says so");

#define ORDER_BYTES 20u

static const ipcnet_e2e_config E2E = {.data_id = IPCNET_PACKET_DATA_ID, .min_length_bytes = IPCNET_PACKET_HEAD_BYTES, .max_length_bytes = IPCNET_PACKET_BYTES_MAX};

/* Body at least and at most, descriptors. Kinds that only the reflex sends are here too: its twin and our tests read them. */
static const struct { uint16_t body_min, body_max; uint8_t descriptors; } KINDS[IPCNET_PACKET_KINDS] = {
  [IPCNET_PACKET_HELLO] = {36, 36, 0},
  [IPCNET_PACKET_TABLE] = {4, 4, 1},
  [IPCNET_PACKET_COMMAND_LANE] = {0, 0, 1},
  [IPCNET_PACKET_READER] = {0, 0, 2},
  [IPCNET_PACKET_FRAME_LANE] = {0, 0, 1},
  [IPCNET_PACKET_FRAME_READER] = {0, 0, 2},
  [IPCNET_PACKET_ORDER] = {ORDER_BYTES, ORDER_BYTES + IPCNET_PACKET_WHY_MAX, 0},
  [IPCNET_PACKET_ANSWER] = {4, IPCNET_PACKET_BYTES_MAX - IPCNET_PACKET_HEAD_BYTES, 0},
  [IPCNET_PACKET_STATUS_ASKED] = {0, 0, 0},
  [IPCNET_PACKET_STATUS] = {sizeof(struct ipcnet_reflex_status), sizeof(struct ipcnet_reflex_status), 0},
  [IPCNET_PACKET_SWITCH] = {0, 1, 0},
  [IPCNET_PACKET_DRILL] = {1, 8, 0},
  [IPCNET_PACKET_TWIN_PAGE] = {0, 0, 1},
  [IPCNET_PACKET_LOOK] = {0, 0, 0},
  [IPCNET_PACKET_POWER_LINE] = {sizeof(struct ipcnet_powerfail_want), sizeof(struct ipcnet_powerfail_want), 1},
};

/* What somebody gives as a reason ends up in a log: printable ASCII only. */
static void read_why(char *to, const uint8_t *from, size_t length) {
  size_t kept = 0;
  while (kept < length && from[kept] != 0) {
    to[kept] = from[kept] >= 0x20 && from[kept] < 0x7F ? (char)from[kept] : '?';
    kept += 1;
  }
  to[kept] = '\0';
}

enum ipcnet_packet_verdict ipcnet_packet_decode(const uint8_t *bytes, size_t length, uint32_t descriptors, struct ipcnet_packet *to) {
  struct ipcnet_packet packet = {0};
  if (length < IPCNET_PACKET_HEAD_BYTES || length > IPCNET_PACKET_BYTES_MAX) return IPCNET_PACKET_BAD_LENGTH;
  if (ipcnet_e2e_p07_inspect(&E2E, bytes, length, &packet.counter) != IPCNET_E2E_INSPECTED_OK) return IPCNET_PACKET_BAD_CHECK;
  memcpy(&packet.kind, bytes + 20, 2);
  memcpy(&packet.request, bytes + 22, 2);
  if (packet.kind == 0 || packet.kind >= IPCNET_PACKET_KINDS) return IPCNET_PACKET_UNKNOWN_KIND;
  const uint8_t *body = bytes + IPCNET_PACKET_HEAD_BYTES;
  size_t body_bytes = length - IPCNET_PACKET_HEAD_BYTES;
  if (body_bytes < KINDS[packet.kind].body_min || body_bytes > KINDS[packet.kind].body_max) return IPCNET_PACKET_BAD_LENGTH;
  if (descriptors != KINDS[packet.kind].descriptors) return IPCNET_PACKET_BAD_DESCRIPTORS;
  switch (packet.kind) {
  case IPCNET_PACKET_HELLO: memcpy(&packet.hello, body, sizeof packet.hello); break;
  case IPCNET_PACKET_TABLE: memcpy(&packet.table.length, body, 4); break;
  case IPCNET_PACKET_POWER_LINE:
    memcpy(&packet.power_line, body, sizeof packet.power_line);
    packet.power_line.chip[sizeof packet.power_line.chip - 1] = packet.power_line.name[sizeof packet.power_line.name - 1] = '\0';
    break;
  case IPCNET_PACKET_DRILL: packet.drill.what = body[0]; break;
  case IPCNET_PACKET_SWITCH: packet.switched.to_host = body_bytes == 1 && body[0] == 1; break;
  case IPCNET_PACKET_ORDER:
    packet.order.order = body[0];
    memcpy(&packet.order.a, body + 4, 4);
    memcpy(&packet.order.b, body + 8, 4);
    memcpy(&packet.order.c, body + 12, 8);
    read_why(packet.order.why, body + ORDER_BYTES, body_bytes - ORDER_BYTES);
    break;
  default: break;
  }
  *to = packet;
  return IPCNET_PACKET_OK;
}

size_t ipcnet_packet_encode(uint8_t *to, uint16_t kind, uint16_t request, uint32_t counter, const void *body, size_t body_bytes) {
  size_t length = IPCNET_PACKET_HEAD_BYTES + body_bytes;
  if (length > IPCNET_PACKET_BYTES_MAX) return 0;
  memset(to, 0, IPCNET_PACKET_HEAD_BYTES);
  memcpy(to + 20, &kind, 2);
  memcpy(to + 22, &request, 2);
  if (body_bytes > 0) memcpy(to + IPCNET_PACKET_HEAD_BYTES, body, body_bytes);
  return ipcnet_e2e_p07_protect(&E2E, to, length, counter) == IPCNET_E2E_INSPECTED_OK ? length : 0;
}

size_t ipcnet_packet_encode_hello(uint8_t *to, uint16_t request, uint32_t counter, const struct ipcnet_packet_hello *hello) {
  return ipcnet_packet_encode(to, IPCNET_PACKET_HELLO, request, counter, hello, sizeof *hello);
}
