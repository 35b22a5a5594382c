/*
 * The serial kit: vectors from a file (or standard input: "-"), the life of a link byte by byte, every flipped bit, and random bytes and events against what must hold whatever comes.
 *   ipcnet_serial_test FILE [SEED]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipcnet_serial.h"
#include "sim/hex.h"

#define CHECK(holds) do { if (!(holds)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #holds); exit(EXIT_FAILURE); } } while (0)

enum { DATA_ID = 0x48414E44, BODY_BYTES_MAX = 300, WIRE_BYTES_MAX = IPCNET_SERIAL_WIRE_BYTES(BODY_BYTES_MAX), COMMAND = 2, CONFIGURE = 3, SILENCE_US = 500000, DEAD_MAN_US = 200000, GATEWAY_SESSION = 0x0A0B0C0D };

static uint8_t receive_memory[IPCNET_SERIAL_RECEIVE_BYTES(BODY_BYTES_MAX)];
static uint8_t send_memory[2 * WIRE_BYTES_MAX];
static const struct ipcnet_serial_receive receive[] = { { .id = COMMAND, .body_bytes = 3, .motion = true }, { .id = CONFIGURE, .body_bytes = BODY_BYTES_MAX } };
static const struct ipcnet_serial_options options = {
  .data_id = DATA_ID, .name = "hand", .silence_us = SILENCE_US, .dead_man_us = DEAD_MAN_US, .receive = receive, .receive_count = 2,
  .receive_memory = receive_memory, .receive_memory_bytes = sizeof receive_memory, .send_memory = send_memory, .send_memory_bytes = sizeof send_memory,
};
static struct ipcnet_serial device;

/* ---- The gateway's side, as far as the tests need it ----------------------------------------------------------------------------------------- */

static uint8_t wire[WIRE_BYTES_MAX];
static size_t wire_bytes;
static uint32_t gateway_counter;

static void frame(uint32_t counter, uint16_t id, const void *body, size_t body_bytes) {
  wire_bytes = ipcnet_serial_encode(DATA_ID, counter, id, body, body_bytes, wire, sizeof wire);
  CHECK(wire_bytes > 0);
}

static void hello_body(uint8_t body[17], uint32_t session, uint32_t heard) {
  const uint8_t fixed[17] = { 1, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 4, 't', 'e', 's', 't' };
  memcpy(body, fixed, sizeof fixed);
  for (int i = 0; i < 4; i++) {
    body[4 + i] = (uint8_t)(session >> (8 * i));
    body[8 + i] = (uint8_t)(heard >> (8 * i));
  }
}

static void hello(uint32_t counter, uint32_t session, uint32_t heard) {
  uint8_t body[17];
  hello_body(body, session, heard);
  frame(counter, IPCNET_SERIAL_HELLO_ID, body, sizeof body);
}

static int push(uint32_t now_us) {
  int messages = 0;
  for (size_t i = 0; i < wire_bytes; i++) messages += ipcnet_serial_push(&device, wire[i], now_us) != NULL;
  return messages;
}

/* What the device has put on the wire, decoded. Returns how many frames; the last one stays in `heard`. */
static struct { uint16_t id; size_t body_bytes; uint8_t body[IPCNET_SERIAL_BODY_BYTES_MAX]; uint32_t counter; } heard;

static int listen(void) {
  static uint8_t memory[600];
  struct ipcnet_cobs_decoder decoder;
  uint8_t byte;
  int frames = 0;
  ipcnet_cobs_init(&decoder, memory, sizeof memory);
  while (ipcnet_serial_take(&device, &byte, 1) == 1) {
    const enum ipcnet_cobs_result result = ipcnet_cobs_push(&decoder, byte);
    if (result == IPCNET_COBS_MORE) continue;
    const ipcnet_e2e_config e2e = { .data_id = IPCNET_SERIAL_DEVICE_DATA_ID(DATA_ID) };
    CHECK(result == IPCNET_COBS_FRAME);
    CHECK(ipcnet_e2e_p08_inspect(&e2e, memory, decoder.length_bytes, &heard.counter) == IPCNET_E2E_INSPECTED_OK);
    heard.id = (uint16_t)(memory[16] | memory[17] << 8);
    heard.body_bytes = decoder.length_bytes - IPCNET_SERIAL_HEADER_BYTES;
    memcpy(heard.body, memory + IPCNET_SERIAL_HEADER_BYTES, heard.body_bytes);
    frames++;
  }
  return frames;
}

static uint32_t word(const uint8_t *at) {
  return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static void switch_on(uint32_t seed, uint32_t now_us) {
  CHECK(ipcnet_serial_init(&device, &options, seed, now_us));
  gateway_counter = 0;
}

/* A link that is up at `now_us`, nothing waiting in either direction. */
static void link_up(uint32_t seed, uint32_t now_us) {
  switch_on(seed, now_us - 20000);
  hello(gateway_counter++, GATEWAY_SESSION, device.session);
  CHECK(push(now_us - 20000) == 0 && device.up);
  CHECK(listen() == 1);
  ipcnet_serial_poll(&device, now_us - 10000);
  CHECK(listen() == 1 && heard.id == IPCNET_SERIAL_HELLO_ID && word(heard.body + 8) == GATEWAY_SESSION);
}

static const uint8_t command[3] = { 0xAA, 0x00, 0xBB };

/* ---- Vectors --------------------------------------------------------------------------------------------------------------------------------- */

static enum ipcnet_cobs_result decode(struct ipcnet_cobs_decoder *decoder, const uint8_t *bytes, size_t length) {
  for (size_t i = 0; i < length; i++) CHECK(ipcnet_cobs_push(decoder, bytes[i]) == IPCNET_COBS_MORE);
  return ipcnet_cobs_push(decoder, 0);
}

/*
 * encode PAYLOAD ENCODED · decode ENCODED PAYLOAD · truncated ENCODED · tooLong CAPACITY ENCODED · frame DATA_ID COUNTER ID BODY WIRE; all numbers decimal, "-" for no bytes
 */
static void row(const char *line) {
  static char first[8192], second[8192];
  static uint8_t a[4096], b[4096], memory[4096];
  unsigned long data_id, counter, id, capacity;
  struct ipcnet_cobs_decoder decoder;
  if (sscanf(line, "encode %8191s %8191s", first, second) == 2) {
    const size_t payload_bytes = bytes_of(first, a, sizeof a), expected_bytes = bytes_of(second, b, sizeof b);
    CHECK(ipcnet_cobs_encode(a, payload_bytes, memory) == expected_bytes && memcmp(memory, b, expected_bytes) == 0);
    /* The same where it lies, as far in front as the header promises. */
    memmove(memory + payload_bytes / 254 + 1, a, payload_bytes);
    CHECK(ipcnet_cobs_encode(memory + payload_bytes / 254 + 1, payload_bytes, memory) == expected_bytes && memcmp(memory, b, expected_bytes) == 0);
  } else if (sscanf(line, "decode %8191s %8191s", first, second) == 2) {
    const size_t encoded_bytes = bytes_of(first, a, sizeof a), payload_bytes = bytes_of(second, b, sizeof b);
    ipcnet_cobs_init(&decoder, memory, sizeof memory);
    for (int twice = 0; twice < 2; twice++) CHECK(decode(&decoder, a, encoded_bytes) == IPCNET_COBS_FRAME && decoder.length_bytes == payload_bytes && memcmp(memory, b, payload_bytes) == 0);
  } else if (sscanf(line, "truncated %8191s", first) == 1) {
    ipcnet_cobs_init(&decoder, memory, sizeof memory);
    CHECK(decode(&decoder, a, bytes_of(first, a, sizeof a)) == IPCNET_COBS_TRUNCATED);
  } else if (sscanf(line, "tooLong %lu %8191s", &capacity, first) == 2) {
    ipcnet_cobs_init(&decoder, memory, (uint16_t)capacity);
    CHECK(decode(&decoder, a, bytes_of(first, a, sizeof a)) == IPCNET_COBS_TOO_LONG);
  } else if (sscanf(line, "frame %lu %lu %lu %8191s %8191s", &data_id, &counter, &id, first, second) == 5) {
    const size_t body_bytes = bytes_of(first, a, sizeof a), expected_bytes = bytes_of(second, b, sizeof b);
    CHECK(ipcnet_serial_encode((uint32_t)data_id, (uint32_t)counter, (uint16_t)id, a, body_bytes, memory, IPCNET_SERIAL_WIRE_BYTES(body_bytes)) == expected_bytes);
    CHECK(memcmp(memory, b, expected_bytes) == 0);
    CHECK(ipcnet_serial_encode((uint32_t)data_id, (uint32_t)counter, (uint16_t)id, a, body_bytes, memory, IPCNET_SERIAL_WIRE_BYTES(body_bytes) - 1) == 0);
  } else {
    fprintf(stderr, "no such row: %s\n", line);
    exit(EXIT_FAILURE);
  }
}

static void vectors(const char *path) {
  static char line[20000];
  FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
  int rows = 0;
  CHECK(file != NULL);
  while (fgets(line, sizeof line, file) != NULL) {
    if (line[0] == '#' || line[0] == '\n') continue;
    row(line);
    rows++;
  }
  if (file != stdin) fclose(file);
  printf("%d rows passed\n", rows);
}

/* ---- A link's life ---------------------------------------------------------------------------------------------------------------------------- */

static void the_hello_of_the_specification(void) {
  static const char expected[] = "0005125d7f0a010102230101010ac8414e44ffff0101400544332211010101060468616e6400";
  static uint8_t small[IPCNET_SERIAL_RECEIVE_BYTES(64)];
  struct ipcnet_serial_options own = options;
  uint8_t bytes[64], out[64];
  own.receive_memory = small;
  own.receive_memory_bytes = sizeof small;
  CHECK(ipcnet_serial_init(&device, &own, 0x11223344, 7));
  CHECK(ipcnet_serial_take(&device, out, sizeof out) == 0);
  ipcnet_serial_poll(&device, 7);
  const size_t length = bytes_of(expected, bytes, sizeof bytes);
  CHECK(ipcnet_serial_take(&device, out, sizeof out) == length && memcmp(out, bytes, length) == 0);
}

static void comes_up_although_hellos_are_lost(void) {
  switch_on(5, 0);
  /* Ours: every 200 ms until it is answered. */
  for (uint32_t at = 0; at <= 1000000; at += 1000) {
    ipcnet_serial_poll(&device, at);
    CHECK(listen() == (at % 200000 == 0));
  }
  CHECK(ipcnet_serial_send(&device, 1, command, 3, 1000001) == IPCNET_SERIAL_IS_DOWN);
  /* Theirs, of a gateway that has not heard us: answered, no sooner than 10 ms after what was sent before. */
  hello(0, GATEWAY_SESSION, 0);
  CHECK(push(1001000) == 0 && !device.up && device.counters.hellos == 1);
  ipcnet_serial_poll(&device, 1009999);
  CHECK(listen() == 0);
  ipcnet_serial_poll(&device, 1010000);
  CHECK(listen() == 1 && word(heard.body + 4) == device.session && word(heard.body + 8) == GATEWAY_SESSION);
  frame(1, COMMAND, command, 3);
  CHECK(push(1010001) == 0 && device.counters.early == 1);
  hello(2, GATEWAY_SESSION, device.session);
  CHECK(push(1010002) == 0 && device.up && device.outputs == IPCNET_SERIAL_SAFE);
  frame(3, COMMAND, command, 3);
  CHECK(push(1010003) == 1 && device.outputs == IPCNET_SERIAL_FOLLOW);
  CHECK(device.message.id == COMMAND && device.message.body_bytes == 3 && device.message.lost_before == 0 && memcmp(device.message.body, command, 3) == 0);
  frame(7, COMMAND, command, 3);
  CHECK(push(1010004) == 1 && device.message.lost_before == 3 && device.counters.lost == 3);
}

/* A stream of its own messages must not keep a hello that the gateway waits for from being sent. */
static void a_busy_device_answers_all_the_same(void) {
  static uint8_t out[WIRE_BYTES_MAX];
  link_up(5, 0);
  const uint32_t hellos_before = heard.counter;
  CHECK(ipcnet_serial_send(&device, 1, command, 3, 1000) == IPCNET_SERIAL_TAKEN);
  CHECK(listen() == 1 && heard.counter == hellos_before + 1);
  /* The gateway says again that it has not heard us; what brought it the last hello was lost. It keeps its session, so that ours was told already. */
  hello(gateway_counter++, GATEWAY_SESSION, device.session);
  CHECK(push(1100) == 0 && device.up && !device.owed);
  hello(gateway_counter++, GATEWAY_SESSION, 0);
  CHECK(push(1200) == 0 && !device.up && device.owed);
  hello(gateway_counter++, GATEWAY_SESSION, device.session);
  CHECK(push(1300) == 0 && device.up && device.owed);
  uint32_t at = 2000;
  for (; device.owed && at < 60000; at += 1000) {
    CHECK(ipcnet_serial_send(&device, 1, command, 3, at) == IPCNET_SERIAL_TAKEN);
    (void)ipcnet_serial_take(&device, out, sizeof out);
  }
  CHECK(!device.owed && at <= 12000);
}

static void refused_and_counted(void) {
  static uint8_t large[BODY_BYTES_MAX];
  link_up(9, 0);
  frame(5, COMMAND, command, 3);
  CHECK(push(1) == 1);
  CHECK(push(2) == 0 && device.counters.repeated == 1);
  frame(4, COMMAND, command, 3);
  CHECK(push(3) == 0 && device.counters.wrong_sequence == 1);
  /* However many old ones come in a row. */
  for (uint32_t i = 0; i < 2000; i++) {
    frame(0xFFFF0000u + i, COMMAND, command, 3);
    CHECK(push(4) == 0);
  }
  CHECK(device.counters.wrong_sequence == 2001);
  frame(6, COMMAND, command, 2);
  CHECK(push(5) == 0 && device.counters.bad_length == 1);
  frame(7, 99, command, 3);
  CHECK(push(6) == 0 && device.counters.unknown_id == 1);
  wire_bytes = ipcnet_serial_encode(DATA_ID + 1, 8, COMMAND, command, 3, wire, sizeof wire);
  CHECK(push(7) == 0 && device.counters.wrong_data_id == 1);
  /* Its own echo. */
  wire_bytes = ipcnet_serial_encode(IPCNET_SERIAL_DEVICE_DATA_ID(DATA_ID), 8, COMMAND, command, 3, wire, sizeof wire);
  CHECK(push(8) == 0 && device.counters.wrong_data_id == 2);
  frame(8, CONFIGURE, large, sizeof large);
  CHECK(push(9) == 1 && device.outputs == IPCNET_SERIAL_FOLLOW && device.message.body_bytes == BODY_BYTES_MAX);
  uint8_t body[17];
  hello_body(body, 0, 0);
  frame(9, IPCNET_SERIAL_HELLO_ID, body, sizeof body);
  CHECK(push(10) == 0 && device.counters.bad_hello == 1 && device.up);
  hello_body(body, 77, 0);
  body[0] = 2;
  frame(9, IPCNET_SERIAL_HELLO_ID, body, sizeof body);
  CHECK(push(11) == 0 && device.counters.bad_hello == 2 && device.up);
  frame(9, IPCNET_SERIAL_HELLO_ID, body, 16);
  CHECK(push(12) == 0 && device.counters.bad_hello == 3 && device.up);
}

static void what_may_be_sent(void) {
  static const uint8_t large[IPCNET_SERIAL_BODY_BYTES_MAX + 1] = { 0 };
  link_up(9, 0);
  CHECK(ipcnet_serial_send(&device, IPCNET_SERIAL_HELLO_ID, command, 3, 1) == IPCNET_SERIAL_REFUSED);
  CHECK(ipcnet_serial_send(&device, 1, large, sizeof large, 1) == IPCNET_SERIAL_REFUSED);
  int taken = 0;
  while (ipcnet_serial_send(&device, 1, large, BODY_BYTES_MAX, 1) == IPCNET_SERIAL_TAKEN) taken++;
  CHECK(taken == 2 && ipcnet_serial_send(&device, 1, large, BODY_BYTES_MAX, 1) == IPCNET_SERIAL_BUSY);
  uint8_t byte;
  for (int i = 0; i < WIRE_BYTES_MAX; i++) (void)ipcnet_serial_take(&device, &byte, 1);
  CHECK(ipcnet_serial_send(&device, 1, large, BODY_BYTES_MAX - 20, 2) == IPCNET_SERIAL_TAKEN);
  const uint32_t before = heard.counter;
  CHECK(listen() == 2 && heard.counter == before + 3 && heard.body_bytes == BODY_BYTES_MAX - 20);
}

static void safe_without_motion_or_link(void) {
  link_up(3, 0);
  frame(gateway_counter++, COMMAND, command, 3);
  CHECK(push(1000) == 1);
  ipcnet_serial_poll(&device, 1000 + DEAD_MAN_US - 1);
  CHECK(device.outputs == IPCNET_SERIAL_FOLLOW);
  ipcnet_serial_poll(&device, 1000 + DEAD_MAN_US);
  CHECK(device.outputs == IPCNET_SERIAL_SAFE && device.counters.dead_man_stops == 1 && device.up);
  hello(gateway_counter++, GATEWAY_SESSION, device.session);
  CHECK(push(300000) == 0 && device.outputs == IPCNET_SERIAL_SAFE);
  frame(gateway_counter++, COMMAND, command, 3);
  CHECK(push(310000) == 1 && device.outputs == IPCNET_SERIAL_FOLLOW);
  hello(gateway_counter++, GATEWAY_SESSION + 1, 0);
  CHECK(push(310001) == 0 && device.outputs == IPCNET_SERIAL_SAFE && !device.up && device.counters.peer_restarts == 1);
}

static void nothing_old_after_a_silence_or_a_new_gateway(void) {
  static uint8_t old[64][WIRE_BYTES_MAX];
  static size_t old_bytes[64];
  for (int how = 0; how < 3; how++) {
    link_up(3, 0);
    const uint32_t session = device.session;
    /* Sixty commands that got stuck on the way, and a hello in front that names the session they were meant for. */
    for (int i = 0; i < 64; i++) {
      if (i == 0) hello(gateway_counter++, GATEWAY_SESSION, session);
      else frame(gateway_counter++, COMMAND, command, 3);
      memcpy(old[i], wire, wire_bytes);
      old_bytes[i] = wire_bytes;
    }
    uint32_t now = 1000;
    if (how == 0) now += SILENCE_US;
    else if (how == 1) {
      hello(0, GATEWAY_SESSION + 1, session);
      CHECK(push(now) == 0);
    } else CHECK(ipcnet_serial_init(&device, &options, 4, now)); /* the device itself started anew */
    for (int i = 0; i < 64; i++) {
      memcpy(wire, old[i], old_bytes[i]);
      wire_bytes = old_bytes[i];
      CHECK(push(now) == 0);
    }
    CHECK(!device.up && device.outputs == IPCNET_SERIAL_SAFE && device.session != session);
    ipcnet_serial_poll(&device, now + 10000);
    CHECK(listen() >= 1 && word(heard.body + 4) == device.session);
    hello(gateway_counter++, GATEWAY_SESSION, device.session);
    CHECK(push(now + 20000) == 0);
    CHECK(device.up);
    frame(gateway_counter++, COMMAND, command, 3);
    CHECK(push(now + 20001) == 1 && device.outputs == IPCNET_SERIAL_FOLLOW);
  }
}

static void the_clock_wraps(void) {
  const uint32_t start = UINT32_MAX - 250000;
  link_up(3, start);
  for (uint32_t passed = 0; passed < 2000000; passed += 10000) {
    frame(gateway_counter++, COMMAND, command, 3);
    CHECK(push(start + passed) == 1);
    ipcnet_serial_poll(&device, start + passed + 9000);
    CHECK(device.up && device.outputs == IPCNET_SERIAL_FOLLOW);
    (void)listen();
  }
  /* Nobody takes our bytes for an hour: hellos go out as soon as somebody does. */
  switch_on(3, 0);
  uint32_t at = 0;
  for (int i = 0; i < 3600; i++) ipcnet_serial_poll(&device, at += 1000000);
  CHECK(listen() >= 1);
  ipcnet_serial_poll(&device, at + 200000);
  CHECK(listen() == 1);
}

static void bad_options(void) {
  struct ipcnet_serial_options bad = options;
  CHECK(!ipcnet_serial_init(&device, &bad, 0, 0));
  CHECK(ipcnet_serial_push(&device, 0, 1) == NULL);
  ipcnet_serial_poll(&device, 1);
  CHECK(ipcnet_serial_send(&device, 1, command, 3, 1) == IPCNET_SERIAL_IS_DOWN);
  bad.silence_us = 0;
  CHECK(!ipcnet_serial_init(&device, &bad, 1, 0));
  bad = options;
  bad.receive_memory_bytes = 62;
  CHECK(!ipcnet_serial_init(&device, &bad, 1, 0));
  bad = options;
  bad.send_memory_bytes = IPCNET_SERIAL_WIRE_BYTES(13 + 4) - 1;
  CHECK(!ipcnet_serial_init(&device, &bad, 1, 0));
  bad = options;
  bad.name = "a name of more than thirty-two bytes";
  CHECK(!ipcnet_serial_init(&device, &bad, 1, 0));
}

/* ---- Every bit, every garbage ------------------------------------------------------------------------------------------------------------------ */

static void no_flipped_bit_is_accepted_and_the_next_frame_is(void) {
  static uint8_t good[WIRE_BYTES_MAX];
  frame(1, COMMAND, command, 3);
  const size_t good_bytes = wire_bytes;
  memcpy(good, wire, good_bytes);
  for (size_t bit = 0; bit < good_bytes * 8; bit++) {
    link_up(3, 0);
    memcpy(wire, good, good_bytes);
    wire_bytes = good_bytes;
    wire[bit >> 3] ^= (uint8_t)(1u << (bit & 7));
    CHECK(push(1) == 0);
    frame(2, COMMAND, command, 3);
    CHECK(push(2) == 1);
  }
}

static uint32_t random_state;

static uint32_t below(uint32_t limit) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 17;
  random_state ^= random_state << 5;
  return random_state % limit;
}

/* Bytes, events and times at random, right frames among them; what must hold is checked after each. */
static void whatever_comes(uint32_t seed, int rounds) {
  random_state = seed | 1u;
  uint32_t now = below(0xFFFFFFFFu), sent = 0, obeyed = 0;
  switch_on(below(0xFFFFFFFEu) + 1, now);
  uint32_t gateway_session = 1, newest = 0;
  for (int round = 0; round < rounds; round++) {
    const uint32_t choice = below(16);
    now += below(8) == 0 ? below(700000) : below(3000);
    const bool was_up = device.up;
    const uint32_t session = device.session, accepted = device.counters.accepted;
    int messages = 0;
    if (choice < 3) { /* garbage, that begins and ends anywhere */
      wire_bytes = below(sizeof wire);
      for (size_t i = 0; i < wire_bytes; i++) wire[i] = (uint8_t)(below(3) == 0 ? 0 : below(256));
      messages = push(now);
      CHECK(messages == 0);
    } else if (choice < 5) { /* rightly protected rubbish */
      uint8_t body[BODY_BYTES_MAX];
      const size_t body_bytes = below(sizeof body);
      for (size_t i = 0; i < body_bytes; i++) body[i] = (uint8_t)below(256);
      frame(newest += below(3), (uint16_t)(below(2) == 0 ? IPCNET_SERIAL_HELLO_ID : below(5)), body, body_bytes);
      if (body_bytes != 3 && body_bytes != BODY_BYTES_MAX) CHECK(push(now) == 0);
      else (void)push(now);
    } else if (choice < 9) { /* the gateway's hello: now and then a new one, or one that knows us not */
      if (below(6) == 0) { gateway_session++; newest = below(1000); }
      hello(++newest, gateway_session, below(4) == 0 ? 0 : device.session);
      CHECK(push(now) == 0);
    } else if (choice < 13) { /* a command, perhaps damaged */
      frame(++newest, COMMAND, command, 3);
      const bool damaged = below(4) == 0;
      if (damaged) wire[1 + below((uint32_t)wire_bytes - 2)] ^= (uint8_t)(1u << below(8));
      messages = push(now);
      sent++;
      obeyed += (uint32_t)messages;
      CHECK(messages == 0 || (!damaged && was_up && device.up && device.session == session && device.outputs == IPCNET_SERIAL_FOLLOW));
    } else if (choice < 14) {
      ipcnet_serial_poll(&device, now);
    } else {
      uint8_t body[BODY_BYTES_MAX] = { 0 };
      const enum ipcnet_serial_verdict verdict = ipcnet_serial_send(&device, (uint16_t)below(9), body, below(sizeof body), now);
      CHECK(device.up || verdict == IPCNET_SERIAL_IS_DOWN);
      if (below(2) == 0) (void)listen();
    }
    CHECK(device.up || device.outputs == IPCNET_SERIAL_SAFE);
    CHECK(device.session != 0 && device.send_at <= device.send_length && device.send_length <= sizeof send_memory);
    CHECK(device.counters.accepted - accepted <= 1);
  }
  (void)listen();
  CHECK(sent > 0 && (rounds < 1000 || obeyed > 0));
}

int main(int argc, char **argv) {
  vectors(argc > 1 ? argv[1] : "-");
  the_hello_of_the_specification();
  comes_up_although_hellos_are_lost();
  a_busy_device_answers_all_the_same();
  refused_and_counted();
  what_may_be_sent();
  safe_without_motion_or_link();
  nothing_old_after_a_silence_or_a_new_gateway();
  the_clock_wraps();
  bad_options();
  no_flipped_bit_is_accepted_and_the_next_frame_is();
  const uint32_t seed = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 20261123;
  for (uint32_t i = 0; i < 200; i++) whatever_comes(seed + i, 2000);
  printf("seed %lu: whatever came, nothing wrong was accepted\n", (unsigned long)seed);
  return EXIT_SUCCESS;
}
