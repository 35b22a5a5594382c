/*
 * ipcnet_circuits: what a device serves to local programs over its serial link, beside the messages: requests, replies, streams, each in a conversation of its own (docs/specs/circuits.md, "On a
 * microcontroller"). Freestanding C99 above ipcnet_serial; allocates nothing, reads no clock.
 *
 * The smallest part of the protocol that is still the protocol: a device is asked and answers, it asks nobody; it takes no descriptors; it knows services by name; what it hears and says goes through its
 * services part by part, so that no message needs memory of its own. Everything that the other side may do wrong is refused as in shm/circuits.
 *
 * A firmware does this:
 *
 *   static uint16_t hear(void *context, struct ipcnet_circuit *call, const uint8_t *body, size_t body_bytes, bool more) {
 *     if (more || call->word[1]++ > 0 || body_bytes != 1 || body[0] >= PARAMETERS) return IPCNET_STATUS_BAD_REQUEST;
 *     call->word[0] = body[0];
 *     return 0;
 *   }
 *   static enum ipcnet_circuit_said tell(void *context, struct ipcnet_circuit *call, uint8_t *out, size_t *out_bytes) {
 *     *out_bytes = write_parameter(call->word[0], out);                              // at most *out_bytes, which are 56 or more
 *     return IPCNET_CIRCUIT_LAST;
 *   }
 *   static const struct ipcnet_circuit_service services[] = { { .name = "parameter", .hear = hear, .tell = tell } };
 *   static struct ipcnet_circuit circuits_memory[IPCNET_CIRCUITS(2)];
 *   static uint8_t slots[4][IPCNET_CIRCUITS_SLOT_BYTES(72)];
 *   static const struct ipcnet_circuits_options options = { .link = &link, .name = "hand", .services = services, .service_count = 1, .circuits = circuits_memory, .circuit_count = 2,
 *     .slots = slots[0], .slot_count = 4, .frame_bytes = 72, .message_bytes_max = 64, .window_units = 256, .repeat_us = 200000 };
 *   ipcnet_circuits_init(&circuits, &options);
 *   …
 *     const struct ipcnet_serial_message *message = ipcnet_serial_push(&link, byte, now_us);
 *     if (message != NULL && message->id == IPCNET_SERIAL_CIRCUITS_ID) ipcnet_circuits_hear(&circuits, message, now_us);
 *   …
 *     ipcnet_circuits_poll(&circuits, now_us);                                        // behind ipcnet_serial_poll, and behind the messages that are due
 *
 * The link's options say `.circuits = true`, and its memory has room for bodies of IPCNET_CIRCUITS_LINE_BYTES + frame_bytes in both directions. A message of the device waits for at most one frame of
 * circuits, and one of the gateway too: frames of 72 bytes are 9 ms at 115,200 baud.
 *
 * Invariants
 *   - Circuits move nothing: they feed no dead-man, and have nothing to do with `outputs`.
 *   - Conversations end with the link's session, whatever ends that, and with the line (below): `over` is told, once for each that a service had heard of.
 *   - Nothing that comes makes more of it: at most one frame answers a frame, but for what services say.
 *   - A peer that breaks a circuit's rules loses that conversation; one that breaks the line's, or 64 circuits' rules, loses all of them, and may begin anew.
 *
 * One thread (or interrupt level) with the link. Services are called from `hear` and `poll` alone and must not call these.
 */
#ifndef IPCNET_CIRCUITS_H
#define IPCNET_CIRCUITS_H

#include "ipcnet_serial.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Type, tag, expected, sequence: in front of a circuit's frame. */
#define IPCNET_CIRCUITS_LINE_BYTES 5u
/* Every hello must fit; and a line's frame is a message of the link. */
#define IPCNET_CIRCUITS_FRAME_BYTES_MIN 72u
#define IPCNET_CIRCUITS_FRAME_BYTES_MAX (IPCNET_SERIAL_BODY_BYTES_MAX - IPCNET_CIRCUITS_LINE_BYTES)
/* Memory for one frame that waits to be acknowledged, with its length. */
#define IPCNET_CIRCUITS_SLOT_BYTES(frame_bytes) (2u + IPCNET_CIRCUITS_LINE_BYTES + (frame_bytes))
#define IPCNET_CIRCUITS_SLOTS_MAX 8u
/* Ids are one byte. */
#define IPCNET_CIRCUITS_COUNT_MAX 56u
/* Structs for so many conversations at a time, and the one that tells what is served. */
#define IPCNET_CIRCUITS(count) ((count) + 1u)
#define IPCNET_CIRCUITS_SERVICE_NAME_BYTES_MAX 40u

/* What a conversation may end with; from 1000 on the application's own (docs/specs/client-socket.md has all). */
enum {
  IPCNET_STATUS_OK = 100, IPCNET_STATUS_BAD_REQUEST = 200, IPCNET_STATUS_NOT_FOUND = 203, IPCNET_STATUS_REQUEST_TIMEOUT = 204, IPCNET_STATUS_PRECONDITION_FAILED = 207,
  IPCNET_STATUS_PAYLOAD_TOO_LARGE = 208, IPCNET_STATUS_UNPROCESSABLE = 209, IPCNET_STATUS_TOO_MANY_REQUESTS = 210, IPCNET_STATUS_GONE = 211, IPCNET_STATUS_INTERNAL_ERROR = 300,
  IPCNET_STATUS_BAD_GATEWAY = 302, IPCNET_STATUS_UNAVAILABLE = 303
};

enum ipcnet_circuit_state {
  IPCNET_CIRCUIT_IDLE,
  IPCNET_CIRCUIT_OPEN,         /* both may send */
  IPCNET_CIRCUIT_SEND_ONLY,    /* the peer has said all */
  IPCNET_CIRCUIT_RECEIVE_ONLY, /* we have */
  IPCNET_CIRCUIT_DRAINING,     /* both have, and our end waits to leave */
  IPCNET_CIRCUIT_ABORTING      /* we have cut it short and wait for the peer to see it */
};

struct ipcnet_circuit_service;

/* One conversation. A service may use `word` (0 at its begin) and read `state`; the rest is not its. */
struct ipcnet_circuit {
  const struct ipcnet_circuit_service *service; /* NULL: nobody listens (any more) */
  uint32_t word[2];
  uint32_t deadline_us, abort_us;
  uint32_t credit;            /* what we may send */
  uint16_t granted, owed;     /* what the peer may send; what it has not been granted anew */
  uint16_t message_bytes;     /* of the message that is half received */
  uint16_t said_bytes;        /* of the message that is half sent */
  uint16_t status;            /* of the end that waits to leave */
  uint8_t state;              /* enum ipcnet_circuit_state */
  uint8_t ends_by;            /* the kind of frame that waits to leave, 0: none */
  uint8_t generation;
  bool has_deadline, half_heard, half_said, final_sent, abort_sent;
};

enum ipcnet_circuit_said {
  IPCNET_CIRCUIT_WAIT,    /* nothing yet: asked again at the next poll */
  IPCNET_CIRCUIT_PART,    /* a part of a message, which goes on */
  IPCNET_CIRCUIT_MESSAGE, /* a message, or its end; others follow */
  IPCNET_CIRCUIT_LAST     /* the last message, or its end: the conversation ends well */
};

/* Constant; must outlive the circuits. */
struct ipcnet_circuit_service {
  const char *name; /* at most 40 bytes */
  void *context;
  /*
   * A message, or with `more` a part of it, has come; `body` is valid until it returns. 0: go on. Anything else is the status that the conversation ends with, and nothing more is heard of it.
   */
  uint16_t (*hear)(void *context, struct ipcnet_circuit *call, const uint8_t *body, size_t body_bytes, bool more);
  /*
   * There is room for *out_bytes, which are 56 or more. Asked from the first message on, but not in the middle of one. A message must not be longer than what the peer takes
   * (the gateway 32 KiB; else it ends with 300). NULL: the service ends by what `hear` returns, IPCNET_STATUS_OK for a good end.
   */
  enum ipcnet_circuit_said (*tell)(void *context, struct ipcnet_circuit *call, uint8_t *out, size_t *out_bytes);
  /* Its conversation is over: 100, or what it was cut short by. May be NULL. */
  void (*over)(void *context, struct ipcnet_circuit *call, uint16_t status);
};

/* Constant; must outlive the circuits. */
struct ipcnet_circuits_options {
  struct ipcnet_serial *link;
  const char *name;                /* for people at the other end; at most 32 bytes */
  const struct ipcnet_circuit_service *services;
  struct ipcnet_circuit *circuits; /* IPCNET_CIRCUITS(circuit_count) of them */
  uint8_t *slots;                  /* slot_count × IPCNET_CIRCUITS_SLOT_BYTES(frame_bytes) */
  uint32_t repeat_us;              /* unacknowledged for so long: sent again. More than what eight frames take both ways; 200 ms will do at 115,200 baud */
  uint16_t frame_bytes;            /* longest frame of a circuit that it takes and sends */
  uint16_t message_bytes_max;      /* longest message that it takes */
  uint16_t window_units;           /* what may come on one circuit before it has been heard: bytes, and 16 for each frame. At least 72 and message_bytes_max + 16 for each of its frames */
  uint8_t service_count, circuit_count, slot_count;
};

/* Each only rises, and wraps. */
struct ipcnet_circuits_counters {
  uint32_t frames, sent, repeated, duplicates, gaps, refused; /* the line's */
  uint32_t begun, late, breaches;                             /* conversations' */
  uint32_t lines, lines_ended;                                /* began; ended for something that was wrong */
};

/* Read it, change nothing. */
struct ipcnet_circuits {
  const struct ipcnet_circuits_options *options;
  bool up;                     /* the line has been joined */
  bool greeted;                /* the peer has said what it takes */
  bool join_due, go_back_due, go_back_sent, ack_armed, repeat_armed, hello_due, pong_due;
  uint8_t base, count, first, cursor, sent_most, repeats; /* sending: `count` frames from slot `first` on, of which the oldest has sequence `base`; `cursor` are on their way */
  uint8_t expected, unacknowledged;
  uint8_t turn;
  uint16_t tag;
  uint16_t frame_bytes;        /* of what we send */
  uint16_t circuits_agreed;
  uint32_t link_session;       /* of the link when this line began */
  uint32_t session, peer_session;           /* the line's own */
  uint32_t repeat_at_us, ack_at_us, pong;
  uint32_t peer_window_units, peer_message_bytes_max;
  uint32_t breaches;           /* in this line */
  struct ipcnet_circuits_counters counters;
};

/* False, and nothing is ever heard or said: options that cannot be. The link is initialised before. */
bool ipcnet_circuits_init(struct ipcnet_circuits *self, const struct ipcnet_circuits_options *options);

/* A message of the link with IPCNET_SERIAL_CIRCUITS_ID. */
void ipcnet_circuits_hear(struct ipcnet_circuits *self, const struct ipcnet_serial_message *message, uint32_t now_us);

/* Time passed, and the link may have taken what waited: sends what is due, one frame at a time. At least once a millisecond. */
void ipcnet_circuits_poll(struct ipcnet_circuits *self, uint32_t now_us);

#ifdef __cplusplus
}
#endif

#endif
