/* The packets of the control socket: what is written is read, every flipped bit is refused, and nothing that anybody can send is read past its end. `reflex_packet SECONDS` goes on with random bytes. */
#include "packet.h"

#include <string.h>
#include <time.h>

#include "../../../drivers/can/core/check.h"
#include "../../../schemas/e2e/c/ipcnet_e2e.h"

static uint32_t random_state = 12345;
static uint32_t next_random(void) {
  random_state ^= random_state << 13;
  random_state ^= random_state >> 17;
  random_state ^= random_state << 5;
  return random_state;
}

static size_t order(uint8_t *to, const char *why) {
  uint8_t body[20 + IPCNET_PACKET_WHY_MAX] = {IPCNET_ORDER_TRIGGER, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
  memcpy(body + 20, why, strlen(why));
  return ipcnet_packet_encode(to, IPCNET_PACKET_ORDER, 77, 3, body, 20 + strlen(why));
}

static void what_is_written_is_read(void) {
  uint8_t bytes[IPCNET_PACKET_BYTES_MAX];
  struct ipcnet_packet packet;
  struct ipcnet_packet_hello hello = {.major = 1, .minor = 0, .who = IPCNET_WHO_OPERATOR, .instance = 1, .brain_epoch = 9, .boot_id = {1, 2, 3}, .table_hash = {4, 5}};
  size_t length = ipcnet_packet_encode_hello(bytes, 5, 0, &hello);
  CHECK_INT(length, 60);
  CHECK_INT(ipcnet_packet_decode(bytes, length, 0, &packet), IPCNET_PACKET_OK);
  CHECK(packet.kind == IPCNET_PACKET_HELLO && packet.request == 5 && packet.counter == 0 && memcmp(&packet.hello, &hello, sizeof hello) == 0);
  length = order(bytes, "stand \x01 still");
  CHECK_INT(ipcnet_packet_decode(bytes, length, 0, &packet), IPCNET_PACKET_OK);
  CHECK(packet.order.order == IPCNET_ORDER_TRIGGER && packet.order.a == 0x04030201 && packet.order.b == 0x08070605 && packet.order.c == 0x100F0E0D0C0B0A09u);
  CHECK(strcmp(packet.order.why, "stand ? still") == 0); /* nothing that a terminal would obey */
  CHECK_INT(packet.counter, 3);
}

static void every_flipped_bit_is_refused(void) {
  uint8_t bytes[IPCNET_PACKET_BYTES_MAX];
  struct ipcnet_packet packet = {.kind = 999};
  size_t length = order(bytes, "why");
  for (size_t bit = 0; bit < length * 8; bit++) {
    bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
    CHECK(ipcnet_packet_decode(bytes, length, 0, &packet) != IPCNET_PACKET_OK && packet.kind == 999);
    bytes[bit / 8] ^= (uint8_t)(1u << bit % 8);
  }
}

static void lengths_kinds_and_descriptors_must_fit(void) {
  uint8_t bytes[IPCNET_PACKET_BYTES_MAX + 8], body[1000] = {0};
  struct ipcnet_packet packet;
  for (unsigned kind = 0; kind < 300; kind++) {
    for (size_t length = 0; length <= 1000; length += length < 64 ? 1 : 13) {
      size_t total = ipcnet_packet_encode(bytes, (uint16_t)kind, 0, 0, body, length);
      CHECK_INT(total, length + 24);
      for (uint32_t descriptors = 0; descriptors < 4; descriptors++) {
        enum ipcnet_packet_verdict verdict = ipcnet_packet_decode(bytes, total, descriptors, &packet);
        if (kind == 0 || kind >= IPCNET_PACKET_KINDS) CHECK_INT(verdict, IPCNET_PACKET_UNKNOWN_KIND);
        if (verdict == IPCNET_PACKET_OK) CHECK(descriptors <= 2 && packet.kind == kind);
      }
      CHECK(ipcnet_packet_decode(bytes, total - 1, 0, &packet) != IPCNET_PACKET_OK);
    }
  }
  CHECK_INT(ipcnet_packet_encode(bytes, IPCNET_PACKET_ANSWER, 0, 0, body, 1001), 0);
  CHECK_INT(ipcnet_packet_decode(bytes, 0, 0, &packet), IPCNET_PACKET_BAD_LENGTH);
  CHECK_INT(ipcnet_packet_decode(bytes, 23, 0, &packet), IPCNET_PACKET_BAD_LENGTH);
}

/* Memory is given exactly as long as the packet, so that the sanitizers see every step too far. Half of them carry a right check, to get behind it. */
static void whatever_comes(unsigned seconds) {
  const ipcnet_e2e_config config = {.data_id = IPCNET_PACKET_DATA_ID};
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  for (time_t until = now.tv_sec + (time_t)seconds; now.tv_sec <= until; clock_gettime(CLOCK_MONOTONIC, &now)) {
    for (unsigned turn = 0; turn < 20000; turn++) {
      size_t length = next_random() % (next_random() % 8 == 0 ? 1100 : 200);
      uint8_t *bytes = malloc(length + 1);
      struct ipcnet_packet packet;
      for (size_t i = 0; i < length; i++) bytes[i] = (uint8_t)next_random();
      if (length > 22 && next_random() % 2) bytes[20] = (uint8_t)(next_random() % 16), bytes[21] = 0;
      if (next_random() % 2) (void)ipcnet_e2e_p07_protect(&config, bytes, length, next_random());
      uint8_t *exact = malloc(length > 0 ? length : 1);
      memcpy(exact, bytes, length);
      if (ipcnet_packet_decode(exact, length, next_random() % 5, &packet) == IPCNET_PACKET_OK && packet.kind == IPCNET_PACKET_ORDER) CHECK(strlen(packet.order.why) <= IPCNET_PACKET_WHY_MAX);
      free(exact);
      free(bytes);
    }
    if (seconds == 0) return;
  }
}

int main(int argc, char **argv) {
  what_is_written_is_read();
  every_flipped_bit_is_refused();
  lengths_kinds_and_descriptors_must_fit();
  whatever_comes(argc > 1 ? (unsigned)atoi(argv[1]) : 0);
  return checks_report("reflex_packet");
}
