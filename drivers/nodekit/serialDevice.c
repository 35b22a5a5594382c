/*
 * The serial kit as a device on this machine, for tests: a process on a pseudo-terminal that it opens itself (its name is the first line on standard output), or on its standard input and output.
 *
 *   serial_device pty|stdio DATA_ID SEED SILENCE_MS DEAD_MAN_MS
 *
 * It answers message 1 (motion, 4 bytes) by message 11 with the same body; message 2 (any configuration, 8 bytes) by 12; message 3 (nothing) by a report, message 13: u32 little-endian
 * session, accepted, early, repeated + wrong_sequence, crc_mismatch, silences, peer_restarts, dead_man_stops, lost, outputs. It sends message 10 every 20 ms: u32 number, u8 outputs.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "ipcnet_serial.h"

enum { MOTION = 1, CONFIGURE = 2, ASK = 3, TELEMETRY = 10, ANSWER = 10, REPORT = 13, REPORT_WORDS = 10, TELEMETRY_US = 20000, BODY_BYTES_MAX = 8 };

static uint32_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint32_t)((uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u);
}

static int open_pty(void) {
  struct termios raw;
  const int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (master < 0 || grantpt(master) != 0 || unlockpt(master) != 0) return -1;
  /* Held open by us too, and raw from the start: what comes before the other end has set its own mode is not echoed. */
  const int slave = open(ptsname(master), O_RDWR | O_NOCTTY | O_CLOEXEC);
  if (slave < 0 || tcgetattr(slave, &raw) != 0) return -1;
  cfmakeraw(&raw);
  if (tcsetattr(slave, TCSANOW, &raw) != 0) return -1;
  printf("%s\n", ptsname(master));
  fflush(stdout);
  return master;
}

static void put32(uint8_t *bytes, uint32_t value) {
  for (int i = 0; i < 4; i++) bytes[i] = (uint8_t)(value >> (8 * i));
}

static void report(struct ipcnet_serial *link, uint32_t now) {
  const struct ipcnet_serial_counters *counters = &link->counters;
  const uint32_t words[REPORT_WORDS] = { link->session, counters->accepted, counters->early, counters->repeated + counters->wrong_sequence, counters->crc_mismatch,
                                         counters->silences, counters->peer_restarts, counters->dead_man_stops, counters->lost, link->outputs };
  uint8_t body[4 * REPORT_WORDS];
  for (int i = 0; i < REPORT_WORDS; i++) put32(body + 4 * i, words[i]);
  (void)ipcnet_serial_send(link, REPORT, body, sizeof body, now);
}

static void answer(struct ipcnet_serial *link, const struct ipcnet_serial_message *message, uint32_t now) {
  if (message->id == ASK) report(link, now);
  else (void)ipcnet_serial_send(link, (uint16_t)(message->id + ANSWER), message->body, message->body_bytes, now);
}

int main(int argc, char **argv) {
  static uint8_t receive_memory[IPCNET_SERIAL_RECEIVE_BYTES(BODY_BYTES_MAX)], send_memory[8 * IPCNET_SERIAL_WIRE_BYTES(4 * REPORT_WORDS)];
  static const struct ipcnet_serial_receive receive[] = { { .id = MOTION, .body_bytes = 4, .motion = true }, { .id = CONFIGURE, .body_bytes = BODY_BYTES_MAX }, { .id = ASK, .body_bytes = 0 } };
  struct ipcnet_serial_options options = {
    .name = "C device", .receive = receive, .receive_count = 3,
    .receive_memory = receive_memory, .receive_memory_bytes = sizeof receive_memory, .send_memory = send_memory, .send_memory_bytes = sizeof send_memory,
  };
  static struct ipcnet_serial link;
  uint32_t next_us = now_us(), number = 0;
  if (argc != 6) return EXIT_FAILURE;
  options.data_id = (uint32_t)strtoul(argv[2], NULL, 10);
  options.silence_us = (uint32_t)strtoul(argv[4], NULL, 10) * 1000u;
  options.dead_man_us = (uint32_t)strtoul(argv[5], NULL, 10) * 1000u;
  const int in = strcmp(argv[1], "pty") == 0 ? open_pty() : STDIN_FILENO;
  const int out = in == STDIN_FILENO ? STDOUT_FILENO : in;
  if (in < 0 || fcntl(out, F_SETFL, fcntl(out, F_GETFL) | O_NONBLOCK) != 0 || !ipcnet_serial_init(&link, &options, (uint32_t)strtoul(argv[3], NULL, 10), now_us())) return EXIT_FAILURE;
  for (;;) {
    uint8_t bytes[256];
    struct pollfd ready = { .fd = in, .events = POLLIN };
    if (poll(&ready, 1, 1) < 0 && errno != EINTR) return EXIT_FAILURE;
    if (ready.revents & POLLIN) {
      const ssize_t length = read(in, bytes, sizeof bytes);
      if (length == 0 && in == STDIN_FILENO) return EXIT_SUCCESS;
      for (ssize_t i = 0; i < length; i++) {
        const struct ipcnet_serial_message *message = ipcnet_serial_push(&link, bytes[i], now_us());
        if (message != NULL) answer(&link, message, now_us());
      }
    } else if ((ready.revents & POLLHUP) != 0 && in == STDIN_FILENO) {
      return EXIT_SUCCESS;
    }
    const uint32_t now = now_us();
    ipcnet_serial_poll(&link, now);
    if (now - next_us < 0x80000000u) {
      uint8_t body[5];
      put32(body, number++);
      body[4] = link.outputs;
      (void)ipcnet_serial_send(&link, TELEMETRY, body, sizeof body, now);
      next_us = now + TELEMETRY_US;
    }
    /* As a UART does: what it cannot take stays. */
    const size_t length = ipcnet_serial_take(&link, bytes, sizeof bytes);
    for (size_t written = 0; written < length;) {
      const ssize_t result = write(out, bytes + written, length - written);
      if (result >= 0) written += (size_t)result;
      else if (errno == EAGAIN) {
        struct pollfd writable = { .fd = out, .events = POLLOUT };
        (void)poll(&writable, 1, 10);
      } else return EXIT_FAILURE;
    }
  }
}
