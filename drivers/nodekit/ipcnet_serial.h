/*
 * ipcnet_serial: the device's end of a serial link to the gateway (docs/specs/serial-link.md) for microcontrollers: a UART, USB-CDC, RS-485.
 * Freestanding C99: needs stdint.h, stddef.h, stdbool.h and ipcnet_e2e with profile 8; allocates nothing, reads no clock, knows no port. Bytes go in, bytes come out.
 *
 * A firmware does this:
 *
 *   static uint8_t receive_memory[IPCNET_SERIAL_RECEIVE_BYTES(8)], send_memory[2 * IPCNET_SERIAL_WIRE_BYTES(64)];
 *   static const struct ipcnet_serial_receive receive[] = { { .id = 2, .body_bytes = 8, .motion = true } };
 *   static const struct ipcnet_serial_options options = { .data_id = 0x48414E44, .name = "hand", .silence_us = 500000, .dead_man_us = 200000, .receive = receive, .receive_count = 1,
 *     .receive_memory = receive_memory, .receive_memory_bytes = sizeof receive_memory, .send_memory = send_memory, .send_memory_bytes = sizeof send_memory };
 *   ipcnet_serial_init(&link, &options, different_at_each_start(), now_us);
 *   for (;;) {
 *     while (uart_has_byte()) {
 *       const struct ipcnet_serial_message *message = ipcnet_serial_push(&link, uart_byte(), now_us);
 *       if (message != NULL && message->id == 2) set_target(message->body);
 *     }
 *     ipcnet_serial_poll(&link, now_us);                                            // at least once a millisecond
 *     if (every 20 ms) (void)ipcnet_serial_send(&link, 1, state, sizeof state, now_us); // refused while it is down or the line is behind: the next one is newer
 *     while (uart_takes_byte() && ipcnet_serial_take(&link, &byte, 1) == 1) uart_put(byte);
 *     if (link.outputs == IPCNET_SERIAL_FOLLOW) control(); else brake();
 *   }
 *
 * Invariants
 *   - A message is handed out only while the link is up, whole, for the first time, in order, of a listed id and length.
 *   - The link is up only while the gateway says that it has heard our session, and the session is a new one after each silence and for each gateway that starts anew. So what is obeyed was sent by
 *     somebody who has heard us since then: nothing that lay in a buffer on the way meanwhile (an operating system's, an adapter's, our own while we hung) can name it.
 *   - Only an accepted motion message feeds the dead-man and leaves SAFE. Losing the link makes SAFE at once.
 *   - A refused frame changes nothing but its counter.
 *
 * What it cannot see: a message that was held up on the way for less than `silence_us`. Choose `silence_us` no longer than the oldest command you would still obey.
 *
 * Times are 32 bits of a microsecond counter that may wrap; poll more often than every 35 minutes. One thread (or interrupt level) per link.
 */
#ifndef IPCNET_SERIAL_H
#define IPCNET_SERIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "ipcnet_e2e.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---------------------------------------------------------------------------------------------------------------------------------------- Sizes */

/* E2E profile 8 and the message's number. */
#define IPCNET_SERIAL_HEADER_BYTES 18u
#define IPCNET_SERIAL_BODY_BYTES_MAX 512u
#define IPCNET_SERIAL_NAME_BYTES_MAX 32u
#define IPCNET_SERIAL_HELLO_BODY_BYTES_MAX (13u + IPCNET_SERIAL_NAME_BYTES_MAX)
#define IPCNET_SERIAL_HELLO_ID 0xFFFFu
/* What ipcnet_circuits carries. */
#define IPCNET_SERIAL_CIRCUITS_ID 0xFFFEu

/* Memory to receive bodies of up to `body_bytes`; a hello must fit too. */
#define IPCNET_SERIAL_RECEIVE_BYTES(body_bytes) \
  (IPCNET_SERIAL_HEADER_BYTES + ((body_bytes) > IPCNET_SERIAL_HELLO_BODY_BYTES_MAX ? (body_bytes) : IPCNET_SERIAL_HELLO_BODY_BYTES_MAX))

/* The most bytes that COBS makes of so many, delimiters not counted; and a message of so many bytes on the wire. */
#define IPCNET_COBS_BYTES(bytes) ((bytes) + (bytes) / 254u + 1u)
#define IPCNET_SERIAL_WIRE_BYTES(body_bytes) (IPCNET_COBS_BYTES(IPCNET_SERIAL_HEADER_BYTES + (body_bytes)) + 2u)

/* ----------------------------------------------------------------------------------------------------------------------------------------- COBS */

/*
 * Writes `payload` without zeros to `out`, which has IPCNET_COBS_BYTES(length_bytes); returns the bytes written, delimiters not counted. `payload` may lie in the same memory, at
 * `out + length_bytes / 254 + 1` or behind.
 */
size_t ipcnet_cobs_encode(const uint8_t *payload, size_t length_bytes, uint8_t *out);

enum ipcnet_cobs_result {
  IPCNET_COBS_MORE,      /* nothing yet, or nothing between two delimiters */
  IPCNET_COBS_FRAME,     /* frame[0, length_bytes) */
  IPCNET_COBS_TRUNCATED, /* the delimiter came inside a block */
  IPCNET_COBS_TOO_LONG   /* more than capacity_bytes: dropped up to this delimiter */
};

struct ipcnet_cobs_decoder {
  uint8_t *frame;          /* given at init; valid after FRAME until the next byte */
  uint16_t capacity_bytes;
  uint16_t length_bytes;
  uint8_t block_left;      /* bytes of the current block still to come */
  bool zero_behind_block;
  bool skipping;
  bool begun, ended;
};

void ipcnet_cobs_init(struct ipcnet_cobs_decoder *self, uint8_t *memory, uint16_t capacity_bytes);
enum ipcnet_cobs_result ipcnet_cobs_push(struct ipcnet_cobs_decoder *self, uint8_t byte);

/* ------------------------------------------------------------------------------------------------------------------------------------ One frame */

/*
 * One frame as it goes on the wire: 0x00, COBS, 0x00. `data_id` is that of the direction. Returns its bytes, or 0 when `wire_bytes` is less than IPCNET_SERIAL_WIRE_BYTES(body_bytes) or the
 * body too long. `body` may be NULL when it is empty, and must not lie in `wire`.
 */
size_t ipcnet_serial_encode(uint32_t data_id, uint32_t counter, uint16_t id, const uint8_t *body, size_t body_bytes, uint8_t *wire, size_t wire_bytes);

/* The Data ID of what a device sends, from the link's. */
#define IPCNET_SERIAL_DEVICE_DATA_ID(data_id) ((data_id) ^ 0x80000000u)

/* ------------------------------------------------------------------------------------------------------------------------------------- The link */

/* A message from the gateway that the device takes. */
struct ipcnet_serial_receive {
  uint16_t id;         /* 0 … 0xFFFD */
  uint16_t body_bytes; /* exactly */
  bool motion;         /* feeds the dead-man, makes outputs follow */
};

/* Constant; must outlive the link. */
struct ipcnet_serial_options {
  uint32_t data_id;      /* of the link: the same as in the gateway's configuration */
  uint32_t silence_us;   /* nothing valid for so long: down, safe, and a new session. The gateway sends something at least every third of *its* silence timeout (and every second). */
  uint32_t dead_man_us;  /* no accepted motion message for so long: outputs safe */
  const char *name;      /* for the gateway's logs; at most 32 bytes of UTF-8 */
  const struct ipcnet_serial_receive *receive; /* NULL: every id and length, none of them motion */
  uint8_t receive_count;
  uint8_t *receive_memory; /* IPCNET_SERIAL_RECEIVE_BYTES(longest body) */
  uint8_t *send_memory;    /* at least IPCNET_SERIAL_WIRE_BYTES(longest body) and of a hello; twice that, and a message need not wait for the one before it */
  uint16_t receive_memory_bytes, send_memory_bytes;
  bool circuits;         /* Messages of IPCNET_SERIAL_CIRCUITS_ID are handed out too, of any length: for ipcnet_circuits_hear */
};

enum ipcnet_serial_outputs {
  IPCNET_SERIAL_SAFE,  /* whatever that is for this machine: brake, torque off, hold */
  IPCNET_SERIAL_FOLLOW /* as last commanded */
};

enum ipcnet_serial_verdict {
  IPCNET_SERIAL_TAKEN,   /* its bytes are in the send memory */
  IPCNET_SERIAL_IS_DOWN, /* nobody has said that they hear us */
  IPCNET_SERIAL_BUSY,    /* the line has not taken what was sent before */
  IPCNET_SERIAL_REFUSED  /* longer than the gateway or the memory takes, or the id of a hello */
};

struct ipcnet_serial_message {
  uint16_t id, body_bytes;
  const uint8_t *body;     /* valid until the next push */
  uint32_t lost_before;    /* frames missed just before, as far as the counter tells; hellos count too */
};

/* Each only rises, and wraps. */
struct ipcnet_serial_counters {
  uint32_t accepted, lost, early, hellos;
  uint32_t crc_mismatch, bad_length, wrong_data_id, repeated, wrong_sequence, unknown_id, bad_hello, truncated, too_long;
  uint32_t silences, peer_restarts, dead_man_stops;
};

/* Read it, change nothing. */
struct ipcnet_serial {
  const struct ipcnet_serial_options *options;
  bool up;
  uint8_t outputs;           /* enum ipcnet_serial_outputs */
  bool fed;                  /* a dead-man runs */
  bool owed;                 /* the gateway waits for a hello */
  bool resting;              /* ipcnet_serial_rest */
  uint16_t peer_body_bytes_max;
  uint32_t session, peer_session, told_session; /* ours; the gateway's, 0: none heard yet; the gateway's that our last hello named */
  uint32_t send_counter;
  uint32_t heard_us, fed_us, hello_us, sent_us; /* hello_us: when the next is due */
  uint16_t send_at, send_length;                /* what of the send memory still has to leave: [send_at, send_length) */
  struct ipcnet_cobs_decoder decoder;
  ipcnet_e2e_receiver receiver;
  struct ipcnet_serial_message message;
  struct ipcnet_serial_counters counters;
};

/*
 * At power-up; outputs are safe. `seed`, not 0, must differ from that of the last starts: a boot counter in flash or a backup register, a random number generator, a noisy converter, together with
 * the chip's own number. With the same one again the gateway takes the device for the one from before, and refuses its frames as repeated.
 * False, and nothing will ever be sent or accepted: options that cannot be (memory too small, no seed, no silence_us, a name too long).
 */
bool ipcnet_serial_init(struct ipcnet_serial *self, const struct ipcnet_serial_options *options, uint32_t seed, uint32_t now_us);

/* One byte has come. A message, or NULL. Time is judged first, as by poll. */
const struct ipcnet_serial_message *ipcnet_serial_push(struct ipcnet_serial *self, uint8_t byte, uint32_t now_us);

/* Time passed: silence and dead-man are judged, a hello is written when one is due. */
void ipcnet_serial_poll(struct ipcnet_serial *self, uint32_t now_us);

/* While `rests`, motion messages are refused (counted as early) and outputs are safe: new firmware is written. One caller: with ipcnet_serial_update it is that, at each poll. */
void ipcnet_serial_rest(struct ipcnet_serial *self, bool rests);

/* Copies the body. What the gateway must know first (that we have heard it) goes in front by itself. */
enum ipcnet_serial_verdict ipcnet_serial_send(struct ipcnet_serial *self, uint16_t id, const uint8_t *body, size_t body_bytes, uint32_t now_us);

/* Moves up to `max_bytes` of what has to go on the wire to `out`; returns how many. */
size_t ipcnet_serial_take(struct ipcnet_serial *self, uint8_t *out, size_t max_bytes);

#ifdef __cplusplus
}
#endif

#endif
