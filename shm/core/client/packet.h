/*
 * packet: one client's end of the client socket above the packets (docs/specs/client-socket.md): numbers and seals what goes out, checks what comes in, joins control
 * messages, checks batches of samples. Bytes in, values out; allocates only for control messages that come in fragments (at most 4 MiB).
 */
#ifndef IPCNET_PACKET_H
#define IPCNET_PACKET_H

#include <stddef.h>
#include <stdint.h>

#define IPCNET_PACKET_BYTES_MAX 65536u
#define IPCNET_PACKET_CONTROL_AT 24u
#define IPCNET_PACKET_FRAGMENT_BYTES_MAX (IPCNET_PACKET_BYTES_MAX - IPCNET_PACKET_CONTROL_AT)
#define IPCNET_PACKET_SAMPLES_AT 32u
#define IPCNET_PACKET_SAMPLE_HEAD_BYTES 40u
#define IPCNET_PACKET_PAYLOAD_BYTES_MAX (IPCNET_PACKET_BYTES_MAX - IPCNET_PACKET_SAMPLES_AT - IPCNET_PACKET_SAMPLE_HEAD_BYTES)
#define IPCNET_PACKET_TO_GATEWAY_BYTES_MAX 262144u
#define IPCNET_PACKET_TO_CLIENT_BYTES_MAX 4194304u

enum ipcnet_packet_kind { IPCNET_PACKET_HANDSHAKE = 1, IPCNET_PACKET_CONTROL = 2, IPCNET_PACKET_DATA = 3 };
enum ipcnet_packet_role { IPCNET_PACKET_CLIENT = 0, IPCNET_PACKET_GATEWAY = 1 };

struct ipcnet_channel {
  enum ipcnet_packet_role role;
  uint32_t sent;
  uint32_t received;
  uint8_t *fragments;
  size_t fragment_bytes;
  size_t fragment_capacity;
};

void ipcnet_channel_init(struct ipcnet_channel *self, enum ipcnet_packet_role role);
void ipcnet_channel_free(struct ipcnet_channel *self);

/* Writes the header of a packet whose body is in place and counts it as sent: the caller must then send or queue it. `more`: a fragment that others follow. */
void ipcnet_channel_seal(struct ipcnet_channel *self, enum ipcnet_packet_kind kind, int more, uint8_t *packet, size_t length);

enum ipcnet_packet_verdict {
  IPCNET_PACKET_IS_DATA,
  IPCNET_PACKET_IS_CONTROL,   /* the message is *body, valid until the next call */
  IPCNET_PACKET_IS_HANDSHAKE, /* likewise */
  IPCNET_PACKET_IS_FRAGMENT,  /* kept */
  IPCNET_PACKET_BAD_HEADER,   /* length, CRC, Data ID or counter: the end of the connection */
  IPCNET_PACKET_BAD_FRAGMENT, /* flags, or a message that is too long: the end as well */
  IPCNET_PACKET_NO_MEMORY,
};
enum ipcnet_packet_verdict ipcnet_channel_receive(struct ipcnet_channel *self, const uint8_t *packet, size_t length, const uint8_t **body, size_t *body_bytes);

/* A sample of a batch that has been checked. */
struct ipcnet_packet_sample {
  uint32_t topic_id;
  uint32_t tag; /* subscription; toward the gateway: time to live, ms */
  uint32_t lost_before;
  uint32_t origin_id;
  double sequence;
  double time_us;
  uint8_t quality;
  uint8_t flags; /* 1 last value, 2 conflated; toward the gateway: 4 CBOR */
  const uint8_t *payload;
  uint32_t payload_bytes;
};

/* Checks a whole data packet whose header is right: the number of samples, or -1. *wall_offset_us: wall time minus monotonic time. */
int ipcnet_packet_check_batch(const uint8_t *packet, size_t length, double *wall_offset_us);
/* The sample at offset `at` (first: IPCNET_PACKET_SAMPLES_AT) of a checked packet; returns the offset of the next one. */
size_t ipcnet_packet_sample_at(const uint8_t *packet, size_t at, struct ipcnet_packet_sample *sample);

/* Appends a sample at offset `at` of a packet buffer of IPCNET_PACKET_BYTES_MAX bytes: the offset behind it, or 0 when it does not fit. */
size_t ipcnet_packet_append(uint8_t *packet, size_t at, const struct ipcnet_packet_sample *sample);
/* Writes the head of a batch of `count` samples. */
void ipcnet_packet_finish_batch(uint8_t *packet, uint32_t count, double wall_offset_us);

#endif
