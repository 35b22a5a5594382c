/*
 * packet: one packet of the control socket, bytes in and values out (docs/specs/reflex.md). A packet is 24 bytes of head (AUTOSAR E2E profile 7, kind, number of the request) and a
 * body of fixed layout. The decoder checks everything that can be checked without knowing who sent it; what it lets through has a known kind, a body of a length that kind may have,
 * and as many descriptors as that kind has.
 */
#ifndef IPCNET_REFLEX_PACKET_H
#define IPCNET_REFLEX_PACKET_H

#include <stddef.h>
#include <stdint.h>

#include "powerfail.h"
#include "status.h"

#define IPCNET_PACKET_DATA_ID 0x49524358u /* "IRCX" */
#define IPCNET_PACKET_HEAD_BYTES 24u
#define IPCNET_PACKET_BYTES_MAX 1024u
#define IPCNET_PACKET_MAJOR 1u
#define IPCNET_PACKET_MINOR 0u
#define IPCNET_PACKET_WHY_MAX 120u
/* Pairs of an answer: reasons not to arm. More are counted and left out. */
#define IPCNET_PACKET_LACKS_MAX 32u

enum ipcnet_packet_kind {
  IPCNET_PACKET_HELLO = 1, IPCNET_PACKET_TABLE, IPCNET_PACKET_COMMAND_LANE, IPCNET_PACKET_READER, IPCNET_PACKET_FRAME_LANE, IPCNET_PACKET_FRAME_READER, IPCNET_PACKET_ORDER, IPCNET_PACKET_ANSWER,
  IPCNET_PACKET_STATUS_ASKED, IPCNET_PACKET_STATUS, IPCNET_PACKET_SWITCH, IPCNET_PACKET_DRILL, IPCNET_PACKET_TWIN_PAGE, IPCNET_PACKET_LOOK,
  IPCNET_PACKET_POWER_LINE,
  IPCNET_PACKET_KINDS
};

enum ipcnet_packet_who { IPCNET_WHO_BRAIN, IPCNET_WHO_OPERATOR, IPCNET_WHO_TWIN, IPCNET_WHOS };
/* ANSWER beyond enum ipcnet_reflex_answer: a text follows. */
#define IPCNET_ANSWER_FAULT 3u

struct ipcnet_packet_hello { /* 36 bytes */
  uint16_t major, minor;
  uint8_t who, instance;
  uint16_t reserved;
  uint32_t brain_epoch;
  uint8_t boot_id[16];
  uint8_t table_hash[8]; /* 0: none */
};
struct ipcnet_packet_order { /* 20 bytes on the wire, then `why` */
  uint8_t order;
  uint32_t a, b;
  uint64_t c;
  char why[IPCNET_PACKET_WHY_MAX + 1]; /* printable, ends with a zero byte */
};

struct ipcnet_packet {
  uint16_t kind, request;
  uint32_t counter;
  union {
    struct ipcnet_packet_hello hello;
    struct { uint32_t length; } table;
    struct ipcnet_packet_order order;
    struct { uint8_t what; } drill;
    struct { bool to_host; } switched;
    struct ipcnet_powerfail_want power_line; /* its texts end with a zero byte */
  };
};

enum ipcnet_packet_verdict { IPCNET_PACKET_OK, IPCNET_PACKET_BAD_CHECK, IPCNET_PACKET_UNKNOWN_KIND, IPCNET_PACKET_BAD_LENGTH, IPCNET_PACKET_BAD_DESCRIPTORS };

/* Reads a packet of any length from anybody. `descriptors` came with it. Nothing but OK fills `to`. */
enum ipcnet_packet_verdict ipcnet_packet_decode(const uint8_t *bytes, size_t length, uint32_t descriptors, struct ipcnet_packet *to);

/* Writes one: its length. `to` has IPCNET_PACKET_BYTES_MAX bytes; a body that does not fit is a broken promise (0). */
size_t ipcnet_packet_encode(uint8_t *to, uint16_t kind, uint16_t request, uint32_t counter, const void *body, size_t body_bytes);
size_t ipcnet_packet_encode_hello(uint8_t *to, uint16_t request, uint32_t counter, const struct ipcnet_packet_hello *hello);

#endif
