#include "ipcnet_circuits.h"

/* docs/specs/circuits.md */
#define CIRCUITS_VERSION 1u
#define CONTROL 0u
#define LIVENESS 1u
#define CREDIT 2u
/* The other side's discovery; conversations of the one that begins (the gateway) have even ids. */
#define DISCOVERY 4u
#define DISCOVERY_PROTOCOL 1u
#define FIRST_CIRCUIT 16u
#define FRAME_UNITS 16u
#define GRANTS_PER_FRAME 32u
#define TEXT_BYTES_MAX 48u
#define NAME_BYTES_MAX 32u
/* Of a data frame: id and head. One more counts descriptors, if there are any: a message is cut alike by all, with and without. */
#define HEAD_BYTES 2u
#define HEAD_BYTES_MAX 3u
#define BREACHES_MAX 64u
#define ABORT_TIMEOUT_US 10000000u
/* Longer deadlines are the gateway's to keep: a counter of microseconds does not reach so far. */
#define DEADLINE_MS_MAX 2000000u
#define SILENCE_MS 15000u

enum { HELLO = 1, GOODBYE, PING, PONG, GRANT, BEGIN = 8, DATA, ACCEPT, END, ABORT };
enum { KIND = 0x0F, GENERATION = 0x10, MORE = 0x20, LAST = 0x40, DESCRIPTORS = 0x80 };

/* The line: "On a serial line" of the same page. */
#define LINE_VERSION 1u
#define JOIN_BYTES 11u
#define ANSWER 1u
#define ACK_DELAY_US 5000u
#define ACK_FRAMES 4u
#define REPEATS_MAX 12u
enum { JOIN, LINE_DATA, ACK, GO_BACK };

static uint16_t read16(const uint8_t *bytes) {
  return (uint16_t)(bytes[0] | bytes[1] << 8);
}

static uint32_t read32(const uint8_t *bytes) {
  return (uint32_t)read16(bytes) | (uint32_t)read16(bytes + 2) << 16;
}

static void write32(uint8_t *bytes, uint32_t value) {
  for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)(value >> (8 * i));
}

static bool reached(uint32_t at, uint32_t now_us) {
  return now_us - at < 0x80000000u;
}

static size_t length_of(const char *text, size_t max) {
  size_t length = 0;
  while (length <= max && text[length] != '\0') length++;
  return length;
}

/* --------------------------------------------------------------------------------------------------------------------------------- What bytes say */

struct reader {
  const uint8_t *at, *end;
  bool bad;
};

static uint8_t next_byte(struct reader *self) {
  if (self->at == self->end) {
    self->bad = true;
    return 0;
  }
  return *self->at++;
}

/* LEB128 in its shortest form, at most 32 bits. */
static uint32_t next_varint(struct reader *self) {
  uint32_t value = 0;
  for (unsigned shift = 0; shift < 35; shift += 7) {
    const uint8_t byte = next_byte(self);
    if (shift == 28 && byte > 0x0F) break;
    value |= (uint32_t)(byte & 0x7F) << shift;
    if (byte < 0x80) {
      if (byte == 0 && shift > 0) self->bad = true;
      return value;
    }
  }
  self->bad = true;
  return 0;
}

static const uint8_t *next_text(struct reader *self, size_t bytes_max, size_t *length_bytes) {
  *length_bytes = next_byte(self);
  const uint8_t *text = self->at;
  if (self->bad || *length_bytes > bytes_max || *length_bytes > (size_t)(self->end - self->at)) {
    self->bad = true;
    *length_bytes = 0;
  }
  self->at += *length_bytes;
  return text;
}

static bool is_done(const struct reader *self) {
  return !self->bad && self->at == self->end;
}

static uint8_t *put_varint(uint8_t *at, uint32_t value) {
  for (; value >= 0x80; value >>= 7) *at++ = (uint8_t)(value | 0x80);
  *at++ = (uint8_t)value;
  return at;
}

/* ---------------------------------------------------------------------------------------------------------------------------------- Conversations */

static uint32_t id_of(size_t index) {
  return index == 0 ? DISCOVERY : FIRST_CIRCUIT + 2 * (uint32_t)(index - 1);
}

/* NULL: not one that the peer may begin. */
static struct ipcnet_circuit *circuit_of(const struct ipcnet_circuits *self, uint32_t id) {
  if (id == DISCOVERY) return self->options->circuits;
  if (id < FIRST_CIRCUIT || id % 2 != 0 || id >= FIRST_CIRCUIT + self->circuits_agreed) return NULL;
  return &self->options->circuits[1 + (id - FIRST_CIRCUIT) / 2];
}

static bool is_conversation(uint32_t id) {
  return id == DISCOVERY || id == DISCOVERY + 1 || (id >= FIRST_CIRCUIT && id < 16384);
}

static void leave_service(struct ipcnet_circuit *call, uint16_t status) {
  const struct ipcnet_circuit_service *service = call->service;
  call->service = NULL;
  if (service != NULL && service->over != NULL) service->over(service->context, call, status);
}

static void rest(struct ipcnet_circuit *call) {
  const uint8_t generation = call->generation;
  leave_service(call, IPCNET_STATUS_GONE);
  *call = (struct ipcnet_circuit){ .generation = generation };
}

/* Our final frame has been handed to the line. */
static void left(struct ipcnet_circuit *call) {
  call->final_sent = true;
  if (call->state == IPCNET_CIRCUIT_DRAINING) rest(call);
}

/* The peer's final frame has come. */
static void peer_is_done(struct ipcnet_circuit *call) {
  call->state = IPCNET_CIRCUIT_DRAINING;
  if (call->final_sent) rest(call);
}

static bool peer_has_ended(const struct ipcnet_circuit *call) {
  return call->state == IPCNET_CIRCUIT_SEND_ONLY || call->state == IPCNET_CIRCUIT_DRAINING;
}

static bool peer_may_send(const struct ipcnet_circuit *call) {
  return call->state == IPCNET_CIRCUIT_OPEN || call->state == IPCNET_CIRCUIT_RECEIVE_ONLY;
}

/* Both directions end now; the table of shm/circuits calls it abortAndWait and abortAndLeave. */
static void cut(struct ipcnet_circuit *call, uint16_t status) {
  if (call->state == IPCNET_CIRCUIT_IDLE || call->state == IPCNET_CIRCUIT_ABORTING) return;
  call->state = peer_has_ended(call) ? IPCNET_CIRCUIT_DRAINING : IPCNET_CIRCUIT_ABORTING;
  call->ends_by = ABORT;
  call->status = status;
  call->half_heard = call->has_deadline = false;
  call->owed = 0;
  leave_service(call, status);
}

static void breach(struct ipcnet_circuits *self, struct ipcnet_circuit *call, uint16_t status) {
  self->counters.breaches++;
  self->breaches++;
  if (call != NULL) cut(call, status);
}

static void end_with(struct ipcnet_circuit *call, uint16_t status) {
  call->state = call->state == IPCNET_CIRCUIT_OPEN ? IPCNET_CIRCUIT_RECEIVE_ONLY : IPCNET_CIRCUIT_DRAINING;
  call->ends_by = END;
  call->status = status;
  leave_service(call, status);
}

/* What is served: told on request, one name in a message. */
static const struct ipcnet_circuit_service discovery = { .name = "" };

static enum ipcnet_circuit_said tell_served(const struct ipcnet_circuits_options *options, struct ipcnet_circuit *call, uint8_t *out, size_t *out_bytes) {
  const char *name = options->services[call->word[0]].name;
  *out_bytes = length_of(name, IPCNET_CIRCUITS_SERVICE_NAME_BYTES_MAX);
  for (size_t i = 0; i < *out_bytes; i++) out[i] = (uint8_t)name[i];
  return ++call->word[0] < options->service_count ? IPCNET_CIRCUIT_MESSAGE : IPCNET_CIRCUIT_LAST;
}

static const struct ipcnet_circuit_service *service_of(const struct ipcnet_circuits *self, const uint8_t *name, size_t name_bytes) {
  for (size_t i = 0; i < self->options->service_count; i++) {
    const char *own = self->options->services[i].name;
    size_t at = 0;
    while (at < name_bytes && own[at] != '\0' && (uint8_t)own[at] == name[at]) at++;
    if (at == name_bytes && own[at] == '\0') return &self->options->services[i];
  }
  return NULL;
}

/* The body of a begin or data frame, within its credit. */
static void store(struct ipcnet_circuit *call, const uint8_t *body, size_t body_bytes, bool more) {
  const uint16_t units = (uint16_t)(body_bytes + FRAME_UNITS);
  call->granted = (uint16_t)(call->granted - units);
  call->owed = (uint16_t)(call->owed + units);
  call->message_bytes = more ? (uint16_t)(call->message_bytes + body_bytes) : 0;
  call->half_heard = more;
  if (call->service == NULL) return;
  const uint16_t status = call->service->hear == NULL ? 0 : call->service->hear(call->service->context, call, body, body_bytes, more);
  if (status != 0) end_with(call, status);
}

static void hear_payload(struct ipcnet_circuits *self, struct ipcnet_circuit *call, const struct reader *body, uint8_t head, uint8_t descriptors) {
  const size_t body_bytes = (size_t)(body->end - body->at);
  if (!peer_may_send(call) && call->state != IPCNET_CIRCUIT_ABORTING) {
    breach(self, call, IPCNET_STATUS_BAD_REQUEST);
    return;
  }
  if (call->state != IPCNET_CIRCUIT_ABORTING) {
    if (descriptors != 0) breach(self, call, IPCNET_STATUS_BAD_REQUEST);
    else if (body_bytes + FRAME_UNITS > call->granted) breach(self, call, IPCNET_STATUS_TOO_MANY_REQUESTS);
    else if (body_bytes + call->message_bytes > self->options->message_bytes_max) breach(self, call, IPCNET_STATUS_PAYLOAD_TOO_LARGE);
    else {
      /* Before the service hears it: it may ask whether this is all. */
      if ((head & LAST) != 0) call->state = call->state == IPCNET_CIRCUIT_OPEN ? IPCNET_CIRCUIT_SEND_ONLY : IPCNET_CIRCUIT_DRAINING;
      store(call, body->at, body_bytes, (head & MORE) != 0);
    }
  }
  if ((head & LAST) == 0) return;
  if (call->state == IPCNET_CIRCUIT_ABORTING || (call->state == IPCNET_CIRCUIT_DRAINING && call->final_sent)) peer_is_done(call);
}

static void hear_begin(struct ipcnet_circuits *self, uint32_t id, struct ipcnet_circuit *call, struct reader *fields, uint8_t head, uint8_t descriptors, uint32_t now_us) {
  size_t name_bytes = 0;
  const uint8_t *name = NULL;
  const uint32_t number = next_varint(fields);
  if (number == 0) name = next_text(fields, IPCNET_CIRCUITS_SERVICE_NAME_BYTES_MAX, &name_bytes);
  const uint32_t deadline_ms = next_varint(fields) / 4;
  if (fields->bad || (number == 0 && name_bytes == 0)) {
    breach(self, circuit_of(self, id), IPCNET_STATUS_BAD_REQUEST);
    return;
  }
  const uint8_t generation = (head & GENERATION) != 0;
  if (call == NULL || call->state != IPCNET_CIRCUIT_IDLE || generation == call->generation) {
    breach(self, call, IPCNET_STATUS_BAD_REQUEST);
    return;
  }
  *call = (struct ipcnet_circuit){ .state = IPCNET_CIRCUIT_OPEN, .generation = generation, .credit = self->peer_window_units, .granted = self->options->window_units };
  call->has_deadline = deadline_ms > 0 && deadline_ms <= DEADLINE_MS_MAX;
  call->deadline_us = now_us + deadline_ms * 1000u;
  self->counters.begun++;
  call->service = number == 0 ? service_of(self, name, name_bytes) : number == DISCOVERY_PROTOCOL && self->options->service_count > 0 ? &discovery : NULL;
  const bool is_served = call->service != NULL;
  hear_payload(self, call, fields, head, descriptors);
  if (!is_served && (call->state == IPCNET_CIRCUIT_OPEN || call->state == IPCNET_CIRCUIT_SEND_ONLY)) end_with(call, number == DISCOVERY_PROTOCOL ? IPCNET_STATUS_OK : IPCNET_STATUS_NOT_FOUND);
}

static void hear_on_conversation(struct ipcnet_circuits *self, uint32_t id, struct reader *fields, uint8_t head, uint32_t now_us) {
  struct ipcnet_circuit *call = circuit_of(self, id);
  const unsigned kind = head & KIND;
  uint32_t status = 0;
  if (kind == BEGIN || kind == DATA) {
    const uint8_t descriptors = (head & DESCRIPTORS) != 0 ? next_byte(fields) : 0;
    const bool is_odd = ((head & MORE) != 0 && ((head & LAST) != 0 || descriptors > 0)) || descriptors > 4 || ((head & DESCRIPTORS) != 0 && descriptors == 0);
    if (fields->bad || is_odd) {
      breach(self, call, IPCNET_STATUS_BAD_REQUEST);
      return;
    }
    if (kind == BEGIN) {
      hear_begin(self, id, call, fields, head, descriptors, now_us);
      return;
    }
    if (call != NULL && call->state != IPCNET_CIRCUIT_IDLE && call->generation == ((head & GENERATION) != 0)) hear_payload(self, call, fields, head, descriptors);
    else breach(self, call, IPCNET_STATUS_BAD_REQUEST);
    return;
  }
  if (kind == END || kind == ABORT) {
    size_t text_bytes;
    status = next_varint(fields);
    (void)next_text(fields, TEXT_BYTES_MAX, &text_bytes);
  }
  if ((head & (MORE | LAST | DESCRIPTORS)) != 0 || !is_done(fields) || (kind != ACCEPT && kind != END && kind != ABORT)) {
    breach(self, call, IPCNET_STATUS_BAD_REQUEST);
    return;
  }
  if (call == NULL || call->state == IPCNET_CIRCUIT_IDLE || call->generation != ((head & GENERATION) != 0)) {
    /* An abort may cross the end of what it wanted to end. */
    if (kind == ABORT) self->counters.late++;
    else breach(self, call, IPCNET_STATUS_BAD_REQUEST);
    return;
  }
  if (kind == ABORT) {
    if (call->state != IPCNET_CIRCUIT_ABORTING) {
      leave_service(call, (uint16_t)(status > 0xFFFF ? IPCNET_STATUS_GONE : status));
      call->ends_by = ABORT;
      call->status = (uint16_t)(status > 0xFFFF ? IPCNET_STATUS_GONE : status);
      call->has_deadline = false;
    }
    peer_is_done(call);
  } else if (call->state == IPCNET_CIRCUIT_ABORTING) {
    if (kind == END) peer_is_done(call);
  } else if (kind == ACCEPT || !peer_may_send(call)) {
    breach(self, call, IPCNET_STATUS_BAD_REQUEST);
  } else {
    /* In the middle of a message. */
    if (call->half_heard) breach(self, call, IPCNET_STATUS_BAD_REQUEST);
    if (call->state == IPCNET_CIRCUIT_OPEN) {
      call->state = IPCNET_CIRCUIT_SEND_ONLY;
      call->owed = 0;
    } else peer_is_done(call);
  }
}

/* Units for circuits: judged as a whole before any of it counts. False: malformed. */
static bool hear_grants(struct ipcnet_circuits *self, struct reader fields, bool apply) {
  unsigned count = 0;
  while (!fields.bad && fields.at != fields.end) {
    const uint32_t tagged = next_varint(&fields), units = next_varint(&fields), id = tagged / 2;
    if (fields.bad || units == 0 || !is_conversation(id) || count++ == GRANTS_PER_FRAME) return false;
    if (!apply) continue;
    struct ipcnet_circuit *call = circuit_of(self, id);
    if (call == NULL || call->state == IPCNET_CIRCUIT_IDLE || call->generation != (tagged & 1)) self->counters.late++;
    else if (units > self->peer_window_units - call->credit) breach(self, call, IPCNET_STATUS_TOO_MANY_REQUESTS);
    else call->credit += units;
  }
  return count > 0;
}

/* False: the line cannot go on. */
static bool hear_hello(struct ipcnet_circuits *self, struct reader *fields) {
  size_t name_bytes;
  const uint8_t version = next_byte(fields), role = next_byte(fields), flags = next_byte(fields);
  const uint32_t frame_bytes = next_varint(fields), circuits = next_varint(fields);
  self->peer_window_units = next_varint(fields);
  self->peer_message_bytes_max = next_varint(fields);
  const uint32_t silence_ms = next_varint(fields);
  (void)next_text(fields, NAME_BYTES_MAX, &name_bytes);
  if (self->greeted || !is_done(fields) || version != CIRCUITS_VERSION || role != 0 || flags > 1 || frame_bytes < IPCNET_CIRCUITS_FRAME_BYTES_MIN || circuits == 0 ||
      self->peer_window_units < IPCNET_CIRCUITS_FRAME_BYTES_MIN || silence_ms == 0) return false;
  const uint32_t ours = 2u * self->options->circuit_count;
  self->greeted = true;
  self->circuits_agreed = (uint16_t)(circuits < ours ? circuits : ours);
  self->frame_bytes = (uint16_t)(frame_bytes < self->options->frame_bytes ? frame_bytes : self->options->frame_bytes);
  return true;
}

static void begin_line(struct ipcnet_circuits *self, bool tell);

/* One frame of circuits, once and in order. False: the line cannot go on. */
static bool hear_frame(struct ipcnet_circuits *self, const uint8_t *frame, size_t length_bytes, uint32_t now_us) {
  struct reader fields = { .at = frame, .end = frame + length_bytes };
  const uint32_t id = next_varint(&fields);
  const uint8_t head = next_byte(&fields);
  if (fields.bad) return false;
  if (id == CONTROL && head == HELLO) return hear_hello(self, &fields);
  if (id == CONTROL && head == GOODBYE) {
    begin_line(self, true);
    return true;
  }
  if (!self->greeted) return false;
  if (is_conversation(id)) {
    hear_on_conversation(self, id, &fields, head, now_us);
    return self->breaches <= BREACHES_MAX;
  }
  if (id == CREDIT && head == GRANT) return hear_grants(self, fields, false) && hear_grants(self, fields, true) && self->breaches <= BREACHES_MAX;
  if (id != LIVENESS || (head != PING && head != PONG)) return false;
  const uint32_t token = next_varint(&fields);
  if (!is_done(&fields)) return false;
  if (head == PING) {
    self->pong = token;
    self->pong_due = true;
  }
  return true;
}

/* --------------------------------------------------------------------------------------------------------------------------------- What we say */

static uint8_t *put_hello(const struct ipcnet_circuits *self, uint8_t *at) {
  const struct ipcnet_circuits_options *options = self->options;
  const size_t name_bytes = length_of(options->name, NAME_BYTES_MAX);
  const uint8_t fixed[5] = { CONTROL, HELLO, CIRCUITS_VERSION, 1, 0 };
  for (size_t i = 0; i < sizeof fixed; i++) *at++ = fixed[i];
  at = put_varint(at, options->frame_bytes);
  at = put_varint(at, 2u * options->circuit_count);
  at = put_varint(at, options->window_units);
  at = put_varint(at, options->message_bytes_max);
  at = put_varint(at, SILENCE_MS);
  *at++ = (uint8_t)name_bytes;
  for (size_t i = 0; i < name_bytes; i++) *at++ = (uint8_t)options->name[i];
  return at;
}

/* What was heard may be said anew: when it is worth a frame, or the peer may have too little for its next one. */
static bool grants(const struct ipcnet_circuits *self, const struct ipcnet_circuit *call) {
  return call->owed > 0 && peer_may_send(call) && (call->owed >= self->options->window_units / 4u || call->granted < self->frame_bytes + FRAME_UNITS);
}

static uint8_t *put_grants(const struct ipcnet_circuits *self, uint8_t *at) {
  /* Id 2, units 3 at most. */
  unsigned room = (self->frame_bytes - HEAD_BYTES) / 5u;
  uint8_t *const begin = at;
  if (room > GRANTS_PER_FRAME) room = GRANTS_PER_FRAME;
  *at++ = CREDIT;
  *at++ = GRANT;
  for (size_t i = 0; i <= self->options->circuit_count && room > 0; i++) {
    struct ipcnet_circuit *call = &self->options->circuits[i];
    if (!grants(self, call)) continue;
    at = put_varint(at, id_of(i) * 2u + call->generation);
    at = put_varint(at, call->owed);
    call->granted = (uint16_t)(call->granted + call->owed);
    call->owed = 0;
    room--;
  }
  return at == begin + 2 ? begin : at;
}

/* Its end or abort. */
static uint8_t *put_end(struct ipcnet_circuit *call, size_t index, uint8_t *at, uint32_t now_us) {
  *at++ = (uint8_t)id_of(index);
  *at++ = (uint8_t)(call->ends_by | (call->generation ? GENERATION : 0));
  at = put_varint(at, call->status);
  *at++ = 0;
  if (call->ends_by == ABORT) {
    call->abort_sent = true;
    call->abort_us = now_us;
  }
  call->ends_by = 0;
  left(call);
  return at;
}

/* A frame of this conversation; `at`, if it has nothing to say. */
static uint8_t *put_conversation(const struct ipcnet_circuits *self, size_t index, uint8_t *at, uint32_t now_us) {
  struct ipcnet_circuit *call = &self->options->circuits[index];
  size_t room = self->frame_bytes - HEAD_BYTES_MAX;
  if (call->ends_by != 0) return put_end(call, index, at, now_us);
  if (call->service == NULL || (call->service->tell == NULL && call->service != &discovery) || call->half_heard || (call->state != IPCNET_CIRCUIT_OPEN && call->state != IPCNET_CIRCUIT_SEND_ONLY)) return at;
  if (room > self->peer_window_units - FRAME_UNITS) room = self->peer_window_units - FRAME_UNITS;
  if (call->credit < room + FRAME_UNITS) return at;
  size_t bytes = room;
  const enum ipcnet_circuit_said said = call->service == &discovery ? tell_served(self->options, call, at + HEAD_BYTES, &bytes) : call->service->tell(call->service->context, call, at + HEAD_BYTES, &bytes);
  if (said == IPCNET_CIRCUIT_WAIT) return at;
  if (bytes > room || bytes + call->said_bytes > self->peer_message_bytes_max || bytes + call->said_bytes > 0xFFFF) {
    cut(call, IPCNET_STATUS_INTERNAL_ERROR);
    return put_end(call, index, at, now_us);
  }
  call->credit -= (uint32_t)bytes + FRAME_UNITS;
  call->said_bytes = said == IPCNET_CIRCUIT_PART ? (uint16_t)(call->said_bytes + bytes) : 0;
  at[0] = (uint8_t)id_of(index);
  at[1] = (uint8_t)(DATA | (call->generation ? GENERATION : 0) | (said == IPCNET_CIRCUIT_PART ? MORE : said == IPCNET_CIRCUIT_LAST ? LAST : 0));
  if (said == IPCNET_CIRCUIT_LAST) {
    leave_service(call, IPCNET_STATUS_OK);
    call->state = call->state == IPCNET_CIRCUIT_OPEN ? IPCNET_CIRCUIT_RECEIVE_ONLY : IPCNET_CIRCUIT_DRAINING;
    left(call);
  }
  return at + HEAD_BYTES + bytes;
}

/* The next frame; its length, 0: there is none. Control first, then each conversation in its turn. */
static size_t next_frame(struct ipcnet_circuits *self, uint8_t *frame, uint32_t now_us) {
  if (self->hello_due) {
    self->hello_due = false;
    return (size_t)(put_hello(self, frame) - frame);
  }
  if (!self->greeted) return 0;
  if (self->pong_due) {
    self->pong_due = false;
    frame[0] = LIVENESS;
    frame[1] = PONG;
    return (size_t)(put_varint(frame + 2, self->pong) - frame);
  }
  const size_t granted = (size_t)(put_grants(self, frame) - frame);
  if (granted > 0) return granted;
  for (size_t i = 0; i <= self->options->circuit_count; i++) {
    const size_t index = self->turn;
    self->turn = (uint8_t)(index == self->options->circuit_count ? 0 : index + 1);
    const size_t length = (size_t)(put_conversation(self, index, frame, now_us) - frame);
    if (length > 0) return length;
  }
  return 0;
}

/* ------------------------------------------------------------------------------------------------------------------------------------- The line */

/* Of the frame that is so many behind the oldest. */
static unsigned slot_index(const struct ipcnet_circuits *self, unsigned behind) {
  const unsigned at = self->first + behind;
  return at < self->options->slot_count ? at : at - self->options->slot_count;
}

static uint8_t *slot(const struct ipcnet_circuits *self, unsigned behind) {
  return self->options->slots + slot_index(self, behind) * IPCNET_CIRCUITS_SLOT_BYTES((size_t)self->options->frame_bytes);
}

/* A line with a number that this one did not have: whatever belongs to the one before names that. */
static void begin_line(struct ipcnet_circuits *self, bool tell) {
  const struct ipcnet_circuits_options *options = self->options;
  for (size_t i = 0; i <= options->circuit_count; i++) {
    leave_service(&options->circuits[i], IPCNET_STATUS_BAD_GATEWAY);
    options->circuits[i] = (struct ipcnet_circuit){ .generation = 1 };
  }
  const struct ipcnet_circuits before = *self;
  *self = (struct ipcnet_circuits){ .options = options, .counters = before.counters, .link_session = options->link->session, .join_due = tell };
  self->counters.lines++;
  /* An odd multiple: as many different ones as there are numbers. */
  self->session = before.link_session == self->link_session && before.session != 0 ? before.session : self->link_session;
  do self->session += 0x9E3779B9u;
  while (self->session == 0 || self->session == before.session);
}

static void end_line(struct ipcnet_circuits *self) {
  self->counters.lines_ended++;
  begin_line(self, true);
}

/* Whether the link is up, in the session in which this line began; a new line, if it is another. (For another gateway the link begins a session, too.) */
static bool link_is_there(struct ipcnet_circuits *self) {
  const struct ipcnet_serial *link = self->options->link;
  if (link->session != self->link_session) begin_line(self, false);
  return link->up;
}

static void hear_join(struct ipcnet_circuits *self, const uint8_t *body, size_t body_bytes) {
  const uint32_t session = body_bytes == JOIN_BYTES ? read32(body + 3) : 0;
  if (session == 0 || body[1] != LINE_VERSION) {
    self->counters.refused++;
    return;
  }
  /* The peer began anew. */
  if (self->up && session != self->peer_session) begin_line(self, true);
  if (session != self->peer_session || (body[2] & ANSWER) != 0) self->join_due = true;
  self->peer_session = session;
  if (self->up || read32(body + 7) != self->session) return;
  const uint32_t both = self->session ^ session;
  self->tag = (uint16_t)(both ^ both >> 16);
  self->up = self->hello_due = true;
}

static void hear_acknowledged(struct ipcnet_circuits *self, uint8_t expected, uint32_t now_us) {
  const uint8_t count = (uint8_t)(expected - self->base);
  if (count == 0 || count > self->sent_most) return;
  self->base = expected;
  self->first = (uint8_t)slot_index(self, count);
  self->count = (uint8_t)(self->count - count);
  self->cursor = (uint8_t)(self->cursor > count ? self->cursor - count : 0);
  self->sent_most = (uint8_t)(self->sent_most - count);
  self->repeats = 0;
  self->repeat_armed = self->cursor > 0;
  self->repeat_at_us = now_us + self->options->repeat_us;
}

/* Whether this is the frame that comes next. */
static bool is_next(struct ipcnet_circuits *self, uint8_t sequence, uint32_t now_us) {
  const uint8_t ahead = (uint8_t)(sequence - self->expected);
  if (ahead == 0) {
    self->expected++;
    self->unacknowledged++;
    self->go_back_sent = false;
    self->counters.frames++;
  } else if (ahead < 128) {
    self->counters.gaps++;
    /* Once for each gap: what is on its way behind it does not ask again. */
    if (!self->go_back_sent) self->go_back_due = self->go_back_sent = true;
  } else {
    self->counters.duplicates++;
    self->go_back_sent = false; /* the peer went back: the next gap is another */
  }
  const uint32_t at_us = now_us + (self->unacknowledged >= ACK_FRAMES ? 0 : ACK_DELAY_US);
  if (!self->ack_armed || reached(at_us, self->ack_at_us)) self->ack_at_us = at_us;
  self->ack_armed = true;
  return ahead == 0;
}

void ipcnet_circuits_hear(struct ipcnet_circuits *self, const struct ipcnet_serial_message *message, uint32_t now_us) {
  const uint8_t *body = message->body;
  const size_t body_bytes = message->body_bytes;
  if (self->options == NULL || !link_is_there(self)) return;
  const uint8_t type = body_bytes == 0 ? 0xFF : body[0];
  if (type == JOIN) {
    hear_join(self, body, body_bytes);
    return;
  }
  const bool fits = type == LINE_DATA ? body_bytes >= IPCNET_CIRCUITS_LINE_BYTES && body_bytes <= (size_t)IPCNET_CIRCUITS_LINE_BYTES + self->options->frame_bytes
                                      : (type == ACK || type == GO_BACK) && body_bytes == IPCNET_CIRCUITS_LINE_BYTES - 1;
  if (!fits || !self->up || read16(body + 1) != self->tag) {
    self->counters.refused++;
    /* It has not heard that this is another line. */
    if (fits && !self->up) self->join_due = true;
    return;
  }
  hear_acknowledged(self, body[3], now_us);
  if (type == GO_BACK) self->cursor = 0;
  if (type == LINE_DATA && is_next(self, body[4], now_us) && !hear_frame(self, body + IPCNET_CIRCUITS_LINE_BYTES, body_bytes - IPCNET_CIRCUITS_LINE_BYTES, now_us)) end_line(self);
}

/* Deadlines, repetition, and a peer that does not answer. */
static void pass_time(struct ipcnet_circuits *self, uint32_t now_us) {
  if (!self->up) return;
  for (size_t i = 0; i <= self->options->circuit_count; i++) {
    struct ipcnet_circuit *call = &self->options->circuits[i];
    if (call->has_deadline && reached(call->deadline_us, now_us)) cut(call, IPCNET_STATUS_REQUEST_TIMEOUT);
    if (call->state == IPCNET_CIRCUIT_ABORTING && call->abort_sent && now_us - call->abort_us >= ABORT_TIMEOUT_US) {
      end_line(self);
      return;
    }
  }
  if (!self->repeat_armed || !reached(self->repeat_at_us, now_us)) return;
  if (++self->repeats > REPEATS_MAX) {
    end_line(self);
    return;
  }
  self->cursor = 0;
  self->repeat_at_us = now_us + self->options->repeat_us;
}

static bool send_join(struct ipcnet_circuits *self, uint32_t now_us) {
  uint8_t body[JOIN_BYTES] = { JOIN, LINE_VERSION, self->up ? 0 : ANSWER };
  write32(body + 3, self->session);
  write32(body + 7, self->peer_session);
  return ipcnet_serial_send(self->options->link, IPCNET_SERIAL_CIRCUITS_ID, body, sizeof body, now_us) == IPCNET_SERIAL_TAKEN;
}

/* Type, tag and what is expected next, which acknowledges all before it; then for data its sequence and the frame, which are there already. */
static bool send_body(struct ipcnet_circuits *self, uint8_t type, uint8_t *body, size_t body_bytes, uint32_t now_us) {
  body[0] = type;
  body[1] = (uint8_t)self->tag;
  body[2] = (uint8_t)(self->tag >> 8);
  body[3] = self->expected;
  if (ipcnet_serial_send(self->options->link, IPCNET_SERIAL_CIRCUITS_ID, body, body_bytes, now_us) != IPCNET_SERIAL_TAKEN) return false;
  self->unacknowledged = 0;
  self->ack_armed = false;
  return true;
}

/* One frame at most: messages go between. */
static void send_next(struct ipcnet_circuits *self, uint32_t now_us) {
  if (self->join_due) {
    self->join_due = !send_join(self, now_us);
    return;
  }
  if (!self->up) return;
  uint8_t ack[IPCNET_CIRCUITS_LINE_BYTES - 1];
  if (self->go_back_due) {
    self->go_back_due = !send_body(self, GO_BACK, ack, sizeof ack, now_us);
    return;
  }
  if (self->cursor == self->count && self->count < self->options->slot_count) {
    uint8_t *bytes = slot(self, self->count);
    const size_t length = next_frame(self, bytes + 2 + IPCNET_CIRCUITS_LINE_BYTES, now_us);
    if (length > 0) {
      bytes[0] = (uint8_t)length;
      bytes[1] = (uint8_t)(length >> 8);
      self->count++;
    }
  }
  if (self->cursor < self->count) {
    uint8_t *bytes = slot(self, self->cursor);
    bytes[2 + 4] = (uint8_t)(self->base + self->cursor);
    if (!send_body(self, LINE_DATA, bytes + 2, (size_t)IPCNET_CIRCUITS_LINE_BYTES + read16(bytes), now_us)) return;
    if (self->cursor < self->sent_most) self->counters.repeated++;
    self->counters.sent++;
    self->cursor++;
    if (self->sent_most < self->cursor) self->sent_most = self->cursor;
    if (!self->repeat_armed || self->cursor == 1) self->repeat_at_us = now_us + self->options->repeat_us;
    self->repeat_armed = true;
  } else if (self->ack_armed && reached(self->ack_at_us, now_us)) (void)send_body(self, ACK, ack, sizeof ack, now_us);
}

void ipcnet_circuits_poll(struct ipcnet_circuits *self, uint32_t now_us) {
  if (self->options == NULL || !link_is_there(self)) return;
  pass_time(self, now_us);
  /* What waits in the link goes first, so that a message waits for one frame of ours at most. */
  if (self->options->link->send_length == 0) send_next(self, now_us);
}

bool ipcnet_circuits_init(struct ipcnet_circuits *self, const struct ipcnet_circuits_options *options) {
  *self = (struct ipcnet_circuits){ .options = NULL };
  const struct ipcnet_serial_options *link = options->link->options;
  const size_t body_bytes = (size_t)IPCNET_CIRCUITS_LINE_BYTES + options->frame_bytes;
  if (link == NULL || !link->circuits || options->repeat_us == 0) return false;
  if (options->frame_bytes < IPCNET_CIRCUITS_FRAME_BYTES_MIN || options->frame_bytes > IPCNET_CIRCUITS_FRAME_BYTES_MAX) return false;
  if (link->receive_memory_bytes < IPCNET_SERIAL_RECEIVE_BYTES(body_bytes) || link->send_memory_bytes < IPCNET_SERIAL_WIRE_BYTES(body_bytes)) return false;
  if (options->circuit_count == 0 || options->circuit_count > IPCNET_CIRCUITS_COUNT_MAX || options->slot_count == 0 || options->slot_count > IPCNET_CIRCUITS_SLOTS_MAX) return false;
  if (options->window_units < IPCNET_CIRCUITS_FRAME_BYTES_MIN || options->window_units < (uint32_t)options->message_bytes_max + FRAME_UNITS) return false;
  if (options->window_units > 0x7FFF || length_of(options->name, NAME_BYTES_MAX) > NAME_BYTES_MAX) return false;
  for (size_t i = 0; i < options->service_count; i++) {
    const size_t length = length_of(options->services[i].name, IPCNET_CIRCUITS_SERVICE_NAME_BYTES_MAX);
    if (length == 0 || length > IPCNET_CIRCUITS_SERVICE_NAME_BYTES_MAX) return false;
  }
  self->options = options;
  /* Nobody has heard of them. */
  for (size_t i = 0; i <= options->circuit_count; i++) options->circuits[i] = (struct ipcnet_circuit){ .generation = 1 };
  begin_line(self, false);
  return true;
}
