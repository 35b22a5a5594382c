/*
 * Circuits of the serial kit: the life of a line and of its conversations frame by frame, what must be refused, every flipped bit, and random frames and losses against what must hold whatever comes.
 *   ipcnet_circuits_test [SEED]
 *   ipcnet_circuits_test -          frames of circuits from standard input, one a row in hexadecimal; what the device makes of each, one row of answers: for the comparison with shm/circuits
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipcnet_circuits.h"

#define CHECK(holds) do { if (!(holds)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #holds); exit(EXIT_FAILURE); } } while (0)

enum {
  DATA_ID = 0x48414E44, GATEWAY_SESSION = 0x0A0B0C0D, LINE_SESSION = 0x01020304, FRAME_BYTES = 72, BODY_BYTES = IPCNET_CIRCUITS_LINE_BYTES + FRAME_BYTES, WIRE_BYTES = IPCNET_SERIAL_WIRE_BYTES(BODY_BYTES),
  CIRCUITS = 3, SLOTS = 4, MESSAGE_BYTES_MAX = 200, WINDOW_UNITS = 600, REPEAT_US = 200000, SILENCE_US = 500000, MOTION = 2
};

/* ---- What the device serves ------------------------------------------------------------------------------------------------------------------ */

static uint8_t kept[CIRCUITS + 1][MESSAGE_BYTES_MAX];
static struct ipcnet_circuit memory[IPCNET_CIRCUITS(CIRCUITS)];
/* Conversations of which the service has heard and not been told the end. */
static bool live[CIRCUITS + 1];
static unsigned over, last_status;

/* Gives back what it was sent. word[0]: how much there is; word[1]: how much of it has been said. */
static uint16_t hear_echo(void *context, struct ipcnet_circuit *call, const uint8_t *body, size_t body_bytes, bool more) {
  (void)context;
  (void)more;
  CHECK(live[call - memory] || call->word[0] == 0);
  live[call - memory] = true;
  CHECK(call->word[0] + body_bytes <= MESSAGE_BYTES_MAX);
  memcpy(kept[call - memory] + call->word[0], body, body_bytes);
  call->word[0] += (uint32_t)body_bytes;
  return 0;
}

static enum ipcnet_circuit_said tell_echo(void *context, struct ipcnet_circuit *call, uint8_t *out, size_t *out_bytes) {
  const size_t left = call->word[0] - call->word[1], bytes = left < *out_bytes ? left : *out_bytes;
  (void)context;
  CHECK(*out_bytes >= 56);
  memcpy(out, kept[call - memory] + call->word[1], bytes);
  call->word[1] += (uint32_t)bytes;
  *out_bytes = bytes;
  return bytes < left ? IPCNET_CIRCUIT_PART : IPCNET_CIRCUIT_LAST;
}

static void echo_is_over(void *context, struct ipcnet_circuit *call, uint16_t status) {
  (void)context;
  live[call - memory] = false;
  over++;
  last_status = status;
}

/* Counts, as long as somebody takes it. word[0]: how far. */
static uint16_t hear_count(void *context, struct ipcnet_circuit *call, const uint8_t *body, size_t body_bytes, bool more) {
  (void)context;
  (void)call;
  (void)more;
  return body_bytes == 1 && body[0] == 0xEE ? 1234 : 0;
}

static enum ipcnet_circuit_said tell_count(void *context, struct ipcnet_circuit *call, uint8_t *out, size_t *out_bytes) {
  (void)context;
  out[0] = (uint8_t)call->word[0]++;
  *out_bytes = 40;
  for (int i = 1; i < 40; i++) out[i] = 0;
  return call->word[0] < 200 ? IPCNET_CIRCUIT_MESSAGE : IPCNET_CIRCUIT_LAST;
}

static enum ipcnet_circuit_said tell_too_much(void *context, struct ipcnet_circuit *call, uint8_t *out, size_t *out_bytes) {
  (void)context;
  (void)call;
  memset(out, 1, *out_bytes);
  return IPCNET_CIRCUIT_PART;
}

static const struct ipcnet_circuit_service services[] = {
  { .name = "echo", .hear = hear_echo, .tell = tell_echo, .over = echo_is_over }, { .name = "count", .hear = hear_count, .tell = tell_count }, { .name = "too much", .tell = tell_too_much }, { .name = "silent" },
};

static uint8_t receive_memory[IPCNET_SERIAL_RECEIVE_BYTES(BODY_BYTES)], send_memory[2 * WIRE_BYTES], slots[SLOTS][IPCNET_CIRCUITS_SLOT_BYTES(FRAME_BYTES)];
static const struct ipcnet_serial_receive receive[] = { { .id = MOTION, .body_bytes = 1, .motion = true } };
static const struct ipcnet_serial_options link_options = {
  .data_id = DATA_ID, .name = "hand", .silence_us = SILENCE_US, .dead_man_us = 200000, .receive = receive, .receive_count = 1, .circuits = true,
  .receive_memory = receive_memory, .receive_memory_bytes = sizeof receive_memory, .send_memory = send_memory, .send_memory_bytes = sizeof send_memory,
};
static struct ipcnet_serial device;
static struct ipcnet_circuits circuits;
static const struct ipcnet_circuits_options options = {
  .link = &device, .name = "hand", .services = services, .service_count = 4, .circuits = memory, .circuit_count = CIRCUITS, .slots = slots[0], .slot_count = SLOTS,
  .frame_bytes = FRAME_BYTES, .message_bytes_max = MESSAGE_BYTES_MAX, .window_units = WINDOW_UNITS, .repeat_us = REPEAT_US,
};
/* For the comparison: so much that credit decides nothing. */
static const struct ipcnet_circuits_options generous = {
  .link = &device, .name = "hand", .services = services, .service_count = 1, .circuits = memory, .circuit_count = CIRCUITS, .slots = slots[0], .slot_count = SLOTS,
  .frame_bytes = FRAME_BYTES, .message_bytes_max = MESSAGE_BYTES_MAX, .window_units = 0x7FFF, .repeat_us = REPEAT_US,
};

/* ---- The gateway's side, as far as the tests need it ----------------------------------------------------------------------------------------- */

static uint32_t now, gateway_counter, line_session;
static uint8_t our_sequence, our_expected;
static uint16_t tag;
static bool flip_bit;
static size_t flipped_bit;
/* What the device has said since it was last asked: frames of circuits, joins, others of the line. */
static uint8_t said[64][FRAME_BYTES];
static size_t said_bytes[64];
static unsigned said_frames, joins, acks, go_backs, messages;
static uint8_t join_body[11];
static bool acknowledge = true, lose;

static uint32_t word(const uint8_t *at) {
  return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void put_word(uint8_t *at, uint32_t value) {
  for (int i = 0; i < 4; i++) at[i] = (uint8_t)(value >> (8 * i));
}

static void send_message(uint16_t id, const uint8_t *body, size_t body_bytes) {
  uint8_t wire[IPCNET_SERIAL_WIRE_BYTES(IPCNET_SERIAL_BODY_BYTES_MAX)];
  const size_t wire_bytes = ipcnet_serial_encode(DATA_ID, gateway_counter++, id, body, body_bytes, wire, sizeof wire);
  CHECK(wire_bytes > 0);
  if (flip_bit) wire[1 + flipped_bit / 8 % (wire_bytes - 2)] ^= (uint8_t)(1u << flipped_bit % 8);
  for (size_t i = 0; i < wire_bytes; i++) {
    const struct ipcnet_serial_message *message = ipcnet_serial_push(&device, wire[i], now);
    if (message != NULL && message->id == IPCNET_SERIAL_CIRCUITS_ID) ipcnet_circuits_hear(&circuits, message, now);
  }
}

static void line_says(uint8_t type, const uint8_t *rest, size_t rest_bytes) {
  uint8_t body[IPCNET_SERIAL_BODY_BYTES_MAX] = { type, (uint8_t)tag, (uint8_t)(tag >> 8), our_expected };
  if (rest_bytes > 0) memcpy(body + 4, rest, rest_bytes);
  send_message(IPCNET_SERIAL_CIRCUITS_ID, body, 4 + rest_bytes);
}

/* A frame of a circuit, in its turn. */
static void say(const uint8_t *frame, size_t frame_bytes) {
  uint8_t rest[1 + IPCNET_SERIAL_BODY_BYTES_MAX];
  rest[0] = our_sequence++;
  memcpy(rest + 1, frame, frame_bytes);
  line_says(1, rest, 1 + frame_bytes);
}
#define SAY(...) do { const uint8_t frame_[] = { __VA_ARGS__ }; say(frame_, sizeof frame_); } while (0)

static void hear_body(const uint8_t *body, size_t body_bytes) {
  if (body[0] == 0) {
    CHECK(body_bytes == 11);
    joins++;
    memcpy(join_body, body, 11);
    return;
  }
  CHECK((uint16_t)(body[1] | body[2] << 8) == tag);
  if (body[0] == 2) acks++;
  else if (body[0] == 3) go_backs++;
  else {
    CHECK(body[0] == 1 && body_bytes >= 5);
    if (body[4] != our_expected) return;
    our_expected++;
    CHECK(said_frames < 64);
    said_bytes[said_frames] = body_bytes - 5;
    memcpy(said[said_frames++], body + 5, body_bytes - 5);
    if (acknowledge) line_says(2, NULL, 0);
  }
}

/* What the device has put on the wire until now. */
static unsigned take_wire(void) {
  static uint8_t frame[600];
  struct ipcnet_cobs_decoder decoder;
  unsigned frames = 0;
  uint8_t byte;
  ipcnet_cobs_init(&decoder, frame, sizeof frame);
  while (ipcnet_serial_take(&device, &byte, 1) == 1) {
    uint32_t counter;
    const ipcnet_e2e_config e2e = { .data_id = IPCNET_SERIAL_DEVICE_DATA_ID(DATA_ID) };
    const enum ipcnet_cobs_result result = ipcnet_cobs_push(&decoder, byte);
    if (result == IPCNET_COBS_MORE) continue;
    CHECK(result == IPCNET_COBS_FRAME && ipcnet_e2e_p08_inspect(&e2e, frame, decoder.length_bytes, &counter) == IPCNET_E2E_INSPECTED_OK);
    frames++;
    const uint16_t id = (uint16_t)(frame[16] | frame[17] << 8);
    if (id != IPCNET_SERIAL_CIRCUITS_ID) messages++;
    else if (!lose) hear_body(frame + 18, decoder.length_bytes - 18u);
  }
  return frames;
}

/* Lets it say all that it has to say now. */
static void listen(void) {
  said_frames = joins = acks = go_backs = messages = 0;
  for (;;) {
    ipcnet_circuits_poll(&circuits, now);
    if (take_wire() == 0) return;
  }
}

static void gateway_hello(uint32_t session, uint32_t heard) {
  uint8_t body[17] = { 1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 4, 't', 'e', 's', 't' };
  put_word(body + 4, session);
  put_word(body + 8, heard);
  send_message(IPCNET_SERIAL_HELLO_ID, body, sizeof body);
}

static void join(uint32_t session, uint32_t heard, uint8_t flags) {
  uint8_t body[11] = { 0, 1, flags };
  put_word(body + 3, session);
  put_word(body + 7, heard);
  send_message(IPCNET_SERIAL_CIRCUITS_ID, body, sizeof body);
}

/* A line of its own number each time, joined by both; our hello has not been said. */
static void joined(void) {
  line_session++;
  join(line_session, 0, 1);
  listen();
  CHECK(joins >= 1 && word(join_body + 7) == line_session);
  const uint32_t both = line_session ^ word(join_body + 3);
  tag = (uint16_t)(both ^ both >> 16);
  our_sequence = our_expected = 0;
  join(line_session, word(join_body + 3), 0);
  CHECK(circuits.up);
}

static const uint8_t our_hello[] = { 0, 1, 1, 0, 0, 0x80, 0x04, 8, 0x80, 0x08, 0x80, 0x04, 0x98, 0x75, 1, 'g' }; /* frames 512, 8 circuits, window 1024, messages 512, silence 15,000 */

static void link_up(void) {
  CHECK(ipcnet_serial_init(&device, &link_options, 9, now));
  gateway_counter = 0;
  gateway_hello(GATEWAY_SESSION, device.session);
  CHECK(device.up);
}

static void all_up(const struct ipcnet_circuits_options *with) {
  acknowledge = true;
  lose = flip_bit = false;
  line_session = LINE_SESSION;
  over = last_status = 0;
  memset(live, 0, sizeof live);
  link_up();
  CHECK(ipcnet_circuits_init(&circuits, with));
  joined();
  say(our_hello, sizeof our_hello);
  listen();
  CHECK(circuits.greeted && said_frames == 1 && said[0][0] == 0 && said[0][1] == 1);
}

static bool said_is(unsigned index, const uint8_t *frame, size_t frame_bytes) {
  return index < said_frames && said_bytes[index] == frame_bytes && memcmp(said[index], frame, frame_bytes) == 0;
}
#define SAID(index, ...) do { const uint8_t frame_[] = { __VA_ARGS__ }; CHECK(said_is(index, frame_, sizeof frame_)); } while (0)

/* `10 48 00 04 "echo" 01 aa`: begin on circuit 16, all there is to say. */
#define ECHO(circuit, head) (circuit), (head), 0, 4, 'e', 'c', 'h', 'o', 1

/* ---- Tests ----------------------------------------------------------------------------------------------------------------------------------- */

static void a_request_is_answered_and_the_circuit_is_free_again(void) {
  all_up(&options);
  /* frames 72, 6 circuits, window 600, messages 200, silence 15,000, "hand" */
  SAID(0, 0, 1, 1, 1, 0, 72, 6, 0xD8, 0x04, 0xC8, 0x01, 0x98, 0x75, 4, 'h', 'a', 'n', 'd');
  for (uint8_t i = 0; i < 5; i++) {
    const uint8_t generation = (uint8_t)(i % 2 << 4);
    SAY(ECHO(16, (uint8_t)(0x48 | generation)), 0xAA, 0x00, i);
    listen();
    CHECK(said_frames == 1);
    SAID(0, 16, (uint8_t)(0x49 | generation), 0xAA, 0x00, i);
    CHECK(memory[1].state == IPCNET_CIRCUIT_IDLE && over == i + 1u && last_status == 100);
  }
  CHECK(circuits.counters.begun == 5 && circuits.counters.breaches == 0);
  SAY(1, 3, 0xE5, 0x07);
  listen();
  SAID(0, 1, 4, 0xE5, 0x07);
}

static void a_message_in_parts_there_and_back(void) {
  uint8_t first[72] = { ECHO(16, 0x28) }, second[72] = { 16, 0x29 }, third[40] = { 16, 0x49 };
  all_up(&options);
  for (unsigned i = 9; i < 72; i++) first[i] = (uint8_t)i;
  for (unsigned i = 2; i < 72; i++) second[i] = (uint8_t)(100 + i);
  for (unsigned i = 2; i < 40; i++) third[i] = (uint8_t)(200 + i);
  say(first, sizeof first);
  say(second, sizeof second);
  listen();
  SAID(0, 2, 5, 32, 0xA5, 0x01); /* 63 + 16 and 70 + 16 units anew: more than a quarter of the window */
  CHECK(said_frames == 1);
  say(third, sizeof third);
  listen();
  CHECK(said_frames == 3 && said_bytes[0] == 71 && said_bytes[1] == 71 && said_bytes[2] == 2 + 171 - 138);
  uint8_t all[300];
  size_t length = 0;
  for (unsigned i = 0; i < 3; i++) {
    CHECK(said[i][0] == 16 && said[i][1] == (i < 2 ? 0x29 : 0x49));
    memcpy(all + length, said[i] + 2, said_bytes[i] - 2);
    length += said_bytes[i] - 2;
  }
  CHECK(length == 63 + 70 + 38 && memcmp(all, first + 9, 63) == 0 && memcmp(all + 63, second + 2, 70) == 0 && memcmp(all + 133, third + 2, 38) == 0);
  CHECK(over == 1 && memory[1].state == IPCNET_CIRCUIT_IDLE);
  /* All at once: nothing is granted to whoever has said all. */
  first[1] = second[1] = 0x39;
  third[1] = 0x59;
  first[1] = 0x38;
  say(first, sizeof first);
  say(second, sizeof second);
  say(third, sizeof third);
  listen();
  CHECK(said_frames == 3 && said[0][0] == 16);
}

static void it_says_what_it_serves(void) {
  all_up(&options);
  SAY(4, 0x48, 1, 1);
  listen();
  CHECK(said_frames == 4);
  SAID(0, 4, 0x09, 'e', 'c', 'h', 'o');
  SAID(3, 4, 0x49, 's', 'i', 'l', 'e', 'n', 't');
  SAY(16, 0x48, 0, 3, 'n', 'o', 't', 1, 7);
  listen();
  CHECK(said_frames == 1);
  SAID(0, 16, 0x0B, 0xCB, 0x01, 0);
  SAY(16, 0x58, 0, 4, 'e', 'c', 'h', 0, 1, 7);
  listen();
  SAID(0, 16, 0x1B, 0xCB, 0x01, 0);
  SAY(16, 0x48, 0, 5, 'e', 'c', 'h', 'o', 0, 1, 7);
  listen();
  SAID(0, 16, 0x0B, 0xCB, 0x01, 0);
  SAY(16, 0x58, 0, 3, 'e', 'c', 'h', 1, 7);
  listen();
  SAID(0, 16, 0x1B, 0xCB, 0x01, 0);
  SAY(16, 0x48, 0, 3, 'n', 'o', 't', 1, 7);
  listen();
  SAY(16, 0x58, 0, 5, 'c', 'o', 'u', 'n', 't', 1, 0xEE);
  listen();
  SAID(0, 16, 0x1B, 0xD2, 0x09, 0); /* 1234 */
  CHECK(circuits.counters.breaches == 0);
}

/* It sends what it has credit for and no more, in whole messages of 40 + 16 units; and goes on with what it is granted. */
static void a_stream_waits_for_credit(void) {
  all_up(&options);
  SAY(16, 0x48, 0, 5, 'c', 'o', 'u', 'n', 't', 1);
  unsigned frames = 0;
  for (listen(); said_frames > 0; listen()) frames += said_frames;
  /* 1024 units: it asks for room for a whole frame before each (85 units). */
  CHECK(frames == 17 && memory[1].credit == 1024 - 17 * 56);
  SAY(2, 5, 32, 56);
  listen();
  CHECK(said_frames == 1);
  /* More than was ever sent: a breach of this circuit. */
  SAY(2, 5, 32, 0xFF, 0x07);
  listen();
  SAID(0, 16, 0x0C, 0xD2, 0x01, 0);
  CHECK(circuits.counters.breaches == 1 && memory[1].state == IPCNET_CIRCUIT_IDLE && circuits.up);
}

static void two_streams_share_and_a_request_gets_through(void) {
  all_up(&options);
  SAY(16, 0x48, 0, 5, 'c', 'o', 'u', 'n', 't', 1);
  SAY(18, 0x48, 0, 5, 'c', 'o', 'u', 'n', 't', 1);
  SAY(ECHO(20, 0x48), 0xAA);
  listen();
  unsigned from[3] = { 0 };
  for (unsigned i = 0; i < 6; i++) from[(said[i][0] - 16) / 2]++;
  CHECK(from[0] >= 2 && from[1] >= 2 && from[2] == 1);
}

static void what_is_too_much_is_refused(void) {
  uint8_t part[66] = { 16, 0x29 };
  /* More than the longest message. */
  all_up(&options);
  SAY(ECHO(16, 0x28), 1);
  for (int i = 0; i < 4; i++) say(part, sizeof part);
  listen();
  SAID(0, 16, 0x0C, 0xD0, 0x01, 0);
  CHECK(circuits.counters.breaches == 1 && over == 1 && last_status == 208 && memory[1].state == IPCNET_CIRCUIT_ABORTING);
  SAY(16, 0x0C, 0xD0, 0x01, 0);
  CHECK(memory[1].state == IPCNET_CIRCUIT_IDLE);
  /* More than its credit, in small messages nobody answers: "silent" hears nothing, but what it does not hear is granted anew. */
  all_up(&options);
  SAY(16, 0x08, 0, 6, 's', 'i', 'l', 'e', 'n', 't', 1, 1);
  unsigned granted = 0;
  for (int i = 0; i < 100; i++) {
    SAY(16, 0x09, 1, 2, 3);
    listen();
    for (unsigned each = 0; each < said_frames; each++) if (said[each][0] == 2) granted++;
  }
  CHECK(circuits.counters.breaches == 0 && granted >= 8);
  /* Without waiting for that: the window, then no more. */
  all_up(&options);
  SAY(16, 0x08, 0, 6, 's', 'i', 'l', 'e', 'n', 't', 1, 1);
  for (int i = 0; i < 37 && circuits.counters.breaches == 0; i++) SAY(16, 0x09);
  CHECK(circuits.counters.breaches == 1);
  listen();
  SAID(0, 16, 0x0C, 0xD2, 0x01, 0);
}

static void what_a_service_says_too_much_ends_it(void) {
  all_up(&options);
  SAY(16, 0x48, 0, 8, 't', 'o', 'o', ' ', 'm', 'u', 'c', 'h', 1);
  listen();
  CHECK(said[said_frames - 1][1] == 0x0C && said[said_frames - 1][2] == 0xAC && said[said_frames - 1][3] == 0x02 && memory[1].state == IPCNET_CIRCUIT_IDLE);
  CHECK(said_frames == 512 / 69 + 1u);
}

/* Each is one breach of the rules; those that name a conversation end it, others only count. */
static void rules_of_circuits(void) {
  static const struct { uint8_t bytes[16]; uint8_t length; bool ends; } rows[] = {
    { { 16, 0x19, 1 }, 3, true },                                          /* of another generation */
    { { ECHO(16, 0x48), 1 }, 10, true },                                   /* begun twice */
    { { 16, 0x0A }, 2, true },                                             /* accept is the acceptor's */
    { { 16, 0x69, 1 }, 3, true },                                          /* more and last */
    { { 16, 0x89, 0 }, 3, true }, { { 16, 0x89, 1 }, 3, true }, { { 16, 0x89 }, 2, true }, /* descriptors: none, one, not said */
    { { 16, 0x0B, 100 }, 3, true }, { { 16, 0x0B, 0xE4, 0, 0 }, 5, true }, /* an end without text; not the shortest form */
    { { 16, 0x0B, 100, 2, 'x' }, 5, true }, { { 16, 0x4B, 100, 0 }, 4, true }, { { 16, 0x0D }, 2, true }, { { 16, 0x00 }, 2, true },
    { { 16, 0x08, 0, 0, 1 }, 5, true }, { { 16, 0x08, 0, 41, 'a' }, 5, true },
    { { 17, 0x48, 7, 1 }, 4, false }, { { 22, 0x48, 7, 1 }, 4, false }, { { 5, 0x48, 7, 1 }, 4, false }, { { 18, 0x58, 7, 1 }, 4, false }, /* ours, too high, our discovery, not this generation */
    { { 18, 0x09 }, 2, false }, { { 18, 0x0B, 100, 0 }, 4, false }, { { 18, 0x0A }, 2, false }, { { 0x90, 0x01, 0x09 }, 3, false }, /* not begun */
  };
  for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    all_up(&options);
    SAY(ECHO(16, 0x28), 1);
    say(rows[i].bytes, rows[i].length);
    CHECK(circuits.up && circuits.counters.breaches == 1);
    CHECK((memory[1].state == IPCNET_CIRCUIT_ABORTING) == rows[i].ends && over == rows[i].ends);
    listen();
    CHECK(said_frames == rows[i].ends);
  }
  /* As many as the smaller of both hellos has: two, of which one is the gateway's. */
  all_up(&options);
  joined();
  SAY(0, 1, 1, 0, 0, 72, 2, 72, 72, 1, 0);
  SAY(ECHO(18, 0x48), 1);
  CHECK(circuits.counters.breaches == 1 && circuits.counters.begun == 0);
  SAY(ECHO(16, 0x48), 1);
  CHECK(circuits.counters.breaches == 1 && circuits.counters.begun == 1);
  /* What crosses the end is none. */
  all_up(&options);
  SAY(16, 0x0C, 100, 0);
  SAY(2, 5, 32, 10);
  CHECK(circuits.counters.breaches == 0 && circuits.counters.late == 2);
  /* 64 are borne. */
  for (int i = 0; i < 64; i++) SAY(16, 0x09);
  CHECK(circuits.up && circuits.counters.lines_ended == 0);
  SAY(16, 0x09);
  CHECK(!circuits.up && circuits.counters.lines_ended == 1);
}

/* These end the line: what names no conversation, or makes no sense. It says so by a join of another number, and takes a new one. */
static void rules_of_the_line(void) {
  static const struct { uint8_t bytes[20]; uint8_t length; } rows[] = {
    { { 0 }, 0 }, { { 0 }, 1 }, { { 0, 2 }, 2 }, { { 3, 3, 1 }, 3 }, { { 15, 8 }, 2 }, { { 1, 3 }, 2 }, { { 1, 3, 1, 1 }, 4 }, { { 1, 3, 0xFF, 0xFF, 0xFF, 0xFF, 0x1F }, 7 }, { { 1, 3, 0xFF, 0xFF, 0xFF, 0xFF, 0x8F, 0 }, 8 }, { { 1, 0x13, 1 }, 3 }, { { 2, 5 }, 2 }, { { 2, 5, 32, 0 }, 4 }, { { 2, 5, 32 }, 3 },
    { { 2, 5, 0, 1 }, 4 }, { { 0x80, 0x80, 0x01, 9 }, 4 }, { { 0x90, 0x00, 9 }, 3 }, { { 0xFF, 0xFF, 0xFF, 0xFF, 0x1F, 9 }, 6 }, { { 0, 1, 1, 0, 0, 72, 8, 72, 72, 1, 0 }, 11 },
  };
  for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    all_up(&options);
    SAY(ECHO(16, 0x28), 1);
    const uint32_t session = circuits.session;
    say(rows[i].bytes, rows[i].length);
    CHECK(!circuits.up && circuits.session != session && circuits.counters.lines_ended == (rows[i].length == 2 && rows[i].bytes[1] == 2 ? 0 : 1) && over == 1 && last_status == 302);
    listen();
    CHECK(joins == 1 && word(join_body + 3) == circuits.session && said_frames == 0);
    joined();
    say(our_hello, sizeof our_hello);
    SAY(ECHO(16, 0x48), 5);
    listen();
    CHECK(said_frames == 2);
    SAID(1, 16, 0x49, 5);
  }
  /* Hellos that cannot be. */
  static const uint8_t hellos[][14] = { { 0, 1, 2, 0, 0, 72, 8, 72, 72, 1, 0 }, { 0, 1, 1, 1, 0, 72, 8, 72, 72, 1, 0 }, { 0, 1, 1, 0, 2, 72, 8, 72, 72, 1, 0 }, { 0, 1, 1, 0, 0, 71, 8, 72, 72, 1, 0 }, { 0, 1, 1, 0, 0, 72, 0, 72, 72, 1, 0 },
                                        { 0, 1, 1, 0, 0, 72, 8, 71, 72, 1, 0 }, { 0, 1, 1, 0, 0, 72, 8, 72, 72, 0, 0 }, { 0, 1, 1, 0, 0, 72, 8, 72, 72, 1, 1 }, { 16, 0x48, 7, 1, 1, 1, 1, 1, 1, 1, 1 } };
  for (unsigned i = 0; i < sizeof hellos / sizeof hellos[0]; i++) {
    all_up(&options);
    joined();
    say(hellos[i], 11);
    CHECK(!circuits.up && circuits.counters.lines_ended == 1);
  }
}

static void before_the_line_is_joined_nothing_counts(void) {
  now = 0;
  link_up();
  CHECK(ipcnet_circuits_init(&circuits, &options));
  listen();
  CHECK(joins == 0 && said_frames == 0); /* the gateway begins */
  tag = 0;
  SAY(ECHO(16, 0x48), 1);
  CHECK(circuits.counters.refused == 1 && circuits.counters.begun == 0);
  listen();
  CHECK(joins == 1 && (join_body[2] & 1) == 1);
  join(5, circuits.session + 1, 1);
  CHECK(!circuits.up);
  join(0, circuits.session, 1);
  CHECK(!circuits.up && circuits.counters.refused == 2);
  listen();
  joined();
  SAY(ECHO(16, 0x48), 1);
  CHECK(circuits.counters.lines_ended == 1 && circuits.counters.begun == 0);
}

static void lost_frames_come_again(void) {
  all_up(&options);
  /* The second is lost, the third asks for it once. */
  our_sequence++;
  SAY(1, 3, 2);
  SAY(1, 3, 3);
  listen();
  CHECK(go_backs == 1 && said_frames == 0 && circuits.counters.gaps == 2);
  SAY(1, 3, 3);
  listen();
  CHECK(go_backs == 0);
  our_sequence = (uint8_t)(our_sequence - 4);
  SAY(1, 3, 1);
  SAY(1, 3, 2);
  our_sequence--;
  SAY(1, 3, 2);
  listen();
  CHECK(circuits.counters.duplicates == 1 && said_frames == 1 && go_backs == 0 && circuits.counters.gaps == 3);
  /* What is said twice says that the peer went back; the next gap is another, and asked for. */
  our_sequence++;
  SAY(1, 3, 2);
  listen();
  CHECK(go_backs == 1);
  our_sequence = (uint8_t)(our_sequence - 3);
  SAY(1, 3, 2);
  our_sequence++;
  SAY(1, 3, 2);
  listen();
  CHECK(go_backs == 1 && circuits.counters.duplicates == 2);
  our_sequence = (uint8_t)(our_sequence - 2);
  SAY(1, 3, 2);
  /* Another line's. */
  const uint32_t refused = circuits.counters.refused, taken = circuits.counters.frames;
  tag ^= 1;
  SAY(ECHO(16, 0x48), 1);
  line_says(3, NULL, 0);
  tag ^= 1;
  our_sequence--;
  CHECK(circuits.counters.refused == refused + 2 && circuits.counters.frames == taken && circuits.up);
  listen();
  CHECK(joins == 0);
  SAID(0, 1, 4, 2);
  /* Ours are lost: again after a while, all that are on their way, and no more than its slots. */
  acknowledge = false;
  lose = true;
  SAY(16, 0x48, 0, 5, 'c', 'o', 'u', 'n', 't', 1);
  listen();
  const uint32_t sent = circuits.counters.sent;
  CHECK(circuits.count == SLOTS && circuits.counters.repeated == 0);
  now += REPEAT_US - 1;
  listen();
  CHECK(circuits.counters.sent == sent);
  now += 1;
  lose = false;
  listen();
  CHECK(circuits.counters.repeated == SLOTS && said_frames == SLOTS);
  for (unsigned i = 0; i < SLOTS; i++) CHECK(said[i][0] == 16 && said[i][2] == i);
  /* The acknowledgement of what was never sent changes nothing. */
  our_expected = (uint8_t)(our_expected + 100);
  line_says(2, NULL, 0);
  CHECK(circuits.count == SLOTS);
  our_expected = (uint8_t)(our_expected - 100);
  /* Asked to go back by two. */
  our_expected = (uint8_t)(our_expected - 2);
  line_says(3, NULL, 0);
  CHECK(circuits.count == 2);
  acknowledge = true;
  listen();
  CHECK(said_frames >= 4 && said[0][2] == SLOTS - 2);
  /* What is acknowledged in part is not said again. */
  const uint32_t repeats = circuits.counters.repeated;
  SAY(ECHO(18, 0x48), 1);
  SAY(ECHO(20, 0x48), 1);
  acknowledge = false;
  listen();
  our_expected = (uint8_t)(our_expected - 1);
  line_says(2, NULL, 0);
  our_expected++;
  listen();
  CHECK(circuits.counters.repeated == repeats);
  acknowledge = true;
  line_says(2, NULL, 0);
  listen();
  /* Nobody answers: the line ends, and says so. */
  acknowledge = false;
  lose = true;
  SAY(1, 3, 9);
  for (int i = 0; i <= 12; i++) {
    listen();
    CHECK(circuits.up);
    now += REPEAT_US;
    gateway_hello(GATEWAY_SESSION, device.session); /* the link goes on */
  }
  listen();
  CHECK(!circuits.up && circuits.counters.lines_ended == 1);
}

/* Several acknowledgements in one; the last after a delay, or with what is said. */
static void acknowledgements(void) {
  all_up(&options);
  now += 10000;
  listen();
  SAY(1, 4, 1);
  listen();
  CHECK(acks == 0);
  now += 4999;
  listen();
  CHECK(acks == 0);
  now += 1;
  listen();
  CHECK(acks == 1);
  for (int i = 0; i < 4; i++) SAY(1, 4, 1);
  listen();
  CHECK(acks == 1);
  SAY(1, 3, 1);
  listen();
  CHECK(acks == 0 && said_frames == 1);
}

static void messages_go_first(void) {
  all_up(&options);
  const uint8_t state[1] = { 1 };
  CHECK(ipcnet_serial_send(&device, 7, state, 1, now) == IPCNET_SERIAL_TAKEN);
  SAY(1, 3, 1);
  ipcnet_circuits_poll(&circuits, now);
  messages = said_frames = 0;
  CHECK(take_wire() == 1 && messages == 1);
  ipcnet_circuits_poll(&circuits, now);
  /* One of ours is in the memory, and there is room for a message behind it. */
  CHECK(ipcnet_serial_send(&device, 7, state, 1, now) == IPCNET_SERIAL_TAKEN);
  ipcnet_circuits_poll(&circuits, now);
  CHECK(take_wire() == 2 && said_frames == 1);
  /* Nothing of this moves anything. */
  CHECK(device.outputs == IPCNET_SERIAL_SAFE);
  SAY(ECHO(16, 0x48), 1);
  CHECK(device.outputs == IPCNET_SERIAL_SAFE && device.counters.dead_man_stops == 0);
}

static void the_link_ends_and_with_it_the_line(void) {
  for (int how = 0; how < 3; how++) {
    now = 1000;
    all_up(&options);
    SAY(ECHO(16, 0x28), 1);
    const uint32_t session = circuits.session;
    if (how == 0) now += SILENCE_US;
    else if (how == 1) gateway_hello(GATEWAY_SESSION + 1, device.session);
    else joined(); /* the gateway's circuits begin anew, the link stays */
    ipcnet_serial_poll(&device, now);
    ipcnet_circuits_poll(&circuits, now);
    CHECK(over == 1 && last_status == 302 && circuits.session != session && memory[1].state == IPCNET_CIRCUIT_IDLE);
    if (how == 2) continue;
    /* What was on its way names a line that is over, on a link whose session is. */
    SAY(ECHO(16, 0x48), 1);
    CHECK(circuits.counters.begun == 1 && !device.up);
    (void)take_wire();
    gateway_hello(how == 0 ? GATEWAY_SESSION : GATEWAY_SESSION + 1, device.session);
    CHECK(device.up && !circuits.up);
    joined();
    say(our_hello, sizeof our_hello);
    SAY(ECHO(16, 0x48), 9);
    listen();
    SAID(1, 16, 0x49, 9);
  }
}

static void deadlines(void) {
  all_up(&options);
  const uint32_t begin = now;
  SAY(16, 0x28, 0, 4, 'e', 'c', 'h', 'o', 0x91, 0x03, 1); /* 100 ms */
  SAY(18, 0x28, 0, 4, 'e', 'c', 'h', 'o', 0xFD, 0xFF, 0xFF, 0xFF, 0x0F, 1); /* 12 days: more than the counter of microseconds */
  now = begin + 99999;
  listen();
  CHECK(said_frames == 0 && acks == 1);
  now = begin + 100000;
  listen();
  CHECK(over == 1 && last_status == 204);
  SAID(0, 16, 0x0C, 0xCC, 0x01, 0);
  /* The peer does not see it for 10 s: it is broken. */
  for (; now - begin < 10100000; now += 100000) {
    CHECK(circuits.up);
    gateway_hello(GATEWAY_SESSION, device.session);
    listen();
  }
  listen();
  CHECK(!circuits.up && over == 2 && circuits.counters.lines_ended == 1);
}

static void ends_and_aborts(void) {
  all_up(&options);
  /* The peer gives up while the answer waits for the slots: no answer, but an end of ours. */
  acknowledge = false;
  SAY(16, 0x48, 0, 5, 'c', 'o', 'u', 'n', 't', 1);
  listen();
  SAY(16, 0x0C, 0xCC, 0x01, 0);
  CHECK(memory[1].state == IPCNET_CIRCUIT_DRAINING);
  acknowledge = true;
  line_says(2, NULL, 0);
  listen();
  CHECK(said_frames == 1);
  SAID(0, 16, 0x0C, 0xCC, 0x01, 0);
  CHECK(memory[1].state == IPCNET_CIRCUIT_IDLE);
  /* It ends in the middle of a message. */
  SAY(ECHO(16, 0x38), 1);
  SAY(16, 0x1B, 100, 0);
  CHECK(circuits.counters.breaches == 1 && memory[1].state == IPCNET_CIRCUIT_DRAINING);
  listen();
  SAID(0, 16, 0x1C, 0xC8, 0x01, 0);
  /* It says more, and then that this is all. */
  SAY(ECHO(16, 0x08), 1);
  listen();
  CHECK(said_frames == 1 && memory[1].state == IPCNET_CIRCUIT_RECEIVE_ONLY);
  SAY(16, 0x09, 1, 2, 3);
  SAY(16, 0x0B, 100, 0);
  CHECK(memory[1].state == IPCNET_CIRCUIT_IDLE && circuits.counters.breaches == 1);
  listen();
  CHECK(said_frames == 0);
}

static void no_flipped_bit_begins_anything(void) {
  size_t bits = 8;
  for (size_t bit = 0; bit < bits; bit++) {
    all_up(&options);
    flip_bit = true;
    flipped_bit = bit;
    bits = 8 * (18 + 5 + 10 + 1); /* the frame with COBS's byte */
    SAY(ECHO(16, 0x48), 0xAA);
    flip_bit = false;
    CHECK(circuits.counters.begun == 0 && circuits.counters.breaches == 0 && circuits.up);
    our_sequence--;
    send_message(IPCNET_SERIAL_CIRCUITS_ID, NULL, 0); /* ends what a flipped delimiter may have left open */
    SAY(ECHO(16, 0x48), 0xAA);
    listen();
    CHECK(circuits.counters.begun == 1 && said_frames == 1);
  }
}

static void bad_options(void) {
  struct ipcnet_circuits_options bad;
  now = 0;
  link_up();
#define BAD(field, value) do { bad = options; bad.field = (value); CHECK(!ipcnet_circuits_init(&circuits, &bad)); ipcnet_circuits_poll(&circuits, 1); CHECK(take_wire() == 0 || messages > 0); } while (0)
  BAD(frame_bytes, 71);
  BAD(frame_bytes, 508);
  BAD(frame_bytes, 73);
  BAD(circuit_count, 0);
  BAD(circuit_count, 57);
  BAD(slot_count, 0);
  BAD(slot_count, 9);
  BAD(window_units, 215);
  BAD(window_units, 0x8000);
  BAD(repeat_us, 0);
  BAD(name, "a name that has more than thirty-two bytes");
#undef BAD
  CHECK(ipcnet_circuits_init(&circuits, &options));
}

/* ---- Whatever comes -------------------------------------------------------------------------------------------------------------------------- */

static uint32_t state;

static uint32_t below(uint32_t limit) {
  state ^= state << 13;
  state ^= state >> 17;
  state ^= state << 5;
  return state % limit;
}

static void what_always_holds(void) {
  for (unsigned i = 0; i <= CIRCUITS; i++) {
    const struct ipcnet_circuit *call = &memory[i];
    CHECK(!live[i] || call->service == &services[0]);
    CHECK(call->state <= IPCNET_CIRCUIT_ABORTING && call->granted + call->owed <= WINDOW_UNITS && call->message_bytes <= MESSAGE_BYTES_MAX);
    CHECK(call->state != IPCNET_CIRCUIT_IDLE || (call->service == NULL && call->ends_by == 0 && !call->has_deadline));
    CHECK(call->credit <= circuits.peer_window_units || call->state == IPCNET_CIRCUIT_IDLE);
    CHECK(call->service == NULL || call->state == IPCNET_CIRCUIT_OPEN || call->state == IPCNET_CIRCUIT_SEND_ONLY);
  }
  CHECK(circuits.cursor <= circuits.count && circuits.count <= SLOTS && circuits.sent_most <= circuits.count && circuits.first < SLOTS && circuits.cursor <= circuits.sent_most);
  CHECK(device.outputs == IPCNET_SERIAL_SAFE);
}

static void whatever_comes(uint32_t seed, unsigned rounds) {
  uint8_t frame[FRAME_BYTES];
  state = seed;
  all_up(&options);
  for (unsigned i = 0; i < rounds; i++) {
    const unsigned choice = below(20);
    size_t length = 2 + below(FRAME_BYTES - 1);
    for (size_t at = 0; at < length; at++) frame[at] = (uint8_t)below(below(3) == 0 ? 256 : 24);
    if (choice < 8) frame[0] = (uint8_t)(16 + below(6));
    if (choice < 5) frame[1] = (uint8_t)((below(16) << 4) | (8 + below(5)));
    if (choice < 3) { const uint8_t begin[] = { ECHO(frame[0], (uint8_t)((frame[1] & 0x70) | 8)) }; memcpy(frame, begin, sizeof begin); if (length < sizeof begin) length = sizeof begin; }
    if (choice == 8) { frame[0] = 2; frame[1] = 5; length = 4; }
    if (choice == 9) our_sequence = (uint8_t)(our_sequence + below(3) - 1);
    if (choice == 10) { our_expected = (uint8_t)(our_expected + below(3) - 1); line_says((uint8_t)(2 + below(2)), NULL, 0); }
    if (choice == 11) now += below(300000);
    else if (choice == 12) { lose = below(2) == 0; acknowledge = below(3) != 0; }
    else if (choice == 13 && below(4) == 0) gateway_hello(GATEWAY_SESSION + below(2), device.session);
    else say(frame, length);
    what_always_holds();
    if (below(3) > 0) {
      /* Whoever is asked nothing for says nothing: no stream of frames from one. */
      said_frames = joins = acks = go_backs = messages = 0;
      lose = true;
      for (unsigned turn = 0; turn < 20; turn++) {
        ipcnet_serial_poll(&device, now);
        ipcnet_circuits_poll(&circuits, now);
        (void)take_wire();
      }
      lose = false;
      what_always_holds();
    }
    if (!device.up || !circuits.up) {
      lose = false;
      acknowledge = true;
      (void)take_wire();
      if (!device.up) gateway_hello(device.peer_session == 0 ? GATEWAY_SESSION : device.peer_session, device.session);
      CHECK(device.up);
      lose = true;
      (void)take_wire();
      lose = false;
      joined();
      if (below(8) > 0) say(our_hello, sizeof our_hello);
    }
  }
}

/* ---- Rows ------------------------------------------------------------------------------------------------------------------------------------ */

/* For each frame what the device says, credit left out; then breaches and late ones so far, and whether it ended the line. Each line begins with a hello said and heard. */
static void rows(FILE *file) {
  static char text[4096];
  unsigned count = 0;
  all_up(&generous);
  while (fgets(text, sizeof text, file) != NULL) {
    uint8_t frame[FRAME_BYTES];
    size_t length = 0;
    unsigned value;
    while (length < sizeof frame && sscanf(text + 2 * length, "%2x", &value) == 1) frame[length++] = (uint8_t)value;
    const uint32_t lines = circuits.counters.lines;
    const uint32_t breaches = circuits.breaches, late = circuits.counters.late;
    say(frame, length);
    const bool ended = circuits.counters.lines != lines;
    if (!ended) listen();
    for (unsigned i = 0; !ended && i < said_frames; i++) {
      if (said[i][0] == 2) continue;
      for (size_t at = 0; at < said_bytes[i]; at++) printf("%02x", said[i][at]);
      printf(" ");
    }
    if (ended) printf("ended\n");
    else printf("%lu %lu\n", (unsigned long)(circuits.breaches - breaches), (unsigned long)(circuits.counters.late - late));
    if (ended) {
      joined();
      say(our_hello, sizeof our_hello);
      listen();
    }
    count++;
  }
  fprintf(stderr, "%u rows\n", count);
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "-") == 0) {
    rows(stdin);
    return EXIT_SUCCESS;
  }
  a_request_is_answered_and_the_circuit_is_free_again();
  a_message_in_parts_there_and_back();
  it_says_what_it_serves();
  a_stream_waits_for_credit();
  two_streams_share_and_a_request_gets_through();
  what_is_too_much_is_refused();
  what_a_service_says_too_much_ends_it();
  rules_of_circuits();
  rules_of_the_line();
  before_the_line_is_joined_nothing_counts();
  lost_frames_come_again();
  acknowledgements();
  messages_go_first();
  the_link_ends_and_with_it_the_line();
  deadlines();
  ends_and_aborts();
  no_flipped_bit_begins_anything();
  bad_options();
  const uint32_t seed = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 20261123;
  for (uint32_t i = 0; i < 200; i++) whatever_comes(seed + i, 500);
  printf("seed %lu: whatever came, nothing wrong was taken\n", (unsigned long)seed);
  return EXIT_SUCCESS;
}
