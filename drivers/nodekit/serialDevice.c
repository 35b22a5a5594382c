/*
 * The serial kit as a device on this machine, for tests: a process on a pseudo-terminal that it opens itself (its name is the first line on standard output), or on its standard input and output.
 *
 *   serial_device pty|stdio DATA_ID SEED SILENCE_MS DEAD_MAN_MS [FLASH [CUT]]
 *   serial_device make FLASH IMAGE
 *
 * FLASH: a file that is its flash memory (sim/flash.h), with two images; then it serves `update` as well (ipcnet_serial_update.h), and restarts by beginning anew. Killed, it leaves what was written. CUT: so many steps of the flash later its power
 * is cut (exit code 9). `make` makes such a file, with the image in slot 0. Firmware of version 66.x.y is broken: it does nothing but restart.
 *
 * It answers message 1 (motion, 4 bytes) by message 11 with the same body; message 2 (any configuration, 8 bytes) by 12; message 3 (nothing) by a report, message 13: u32 little-endian
 * session, accepted, early, repeated + wrong_sequence, crc_mismatch, silences, peer_restarts, dead_man_stops, lost, outputs. It sends message 10 every 20 ms: u32 number, u8 outputs.
 *
 * Over circuits it serves
 *   parameter   u8 number: its value, u32 (0 at first); u8 number, u32: sets it and answers it. There are 8; 203 for others.
 *   log         nothing: 4,000 bytes in one message, each of which tells where it is
 *   count       u32: so many messages, u32 each, from 0 on
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "ipcnet_serial_update.h"
#include "../../shm/core/sha256.h"
#include "sim/flash.h"

enum { PARAMETERS = 8, LOG_BYTES = 4000, CIRCUIT_FRAME_BYTES = 72, CIRCUITS = 3, SLOTS = 4, MESSAGE_BYTES_MAX = 64, WINDOW_UNITS = 256, REPEAT_US = 200000 };
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

static uint32_t get32(const uint8_t *bytes) {
  return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

/* word[0]: which. */
static uint16_t hear_parameter(void *context, struct ipcnet_circuit *call, const uint8_t *body, size_t body_bytes, bool more) {
  uint32_t *values = context;
  if (more || (body_bytes != 1 && body_bytes != 5)) return IPCNET_STATUS_BAD_REQUEST;
  if (body[0] >= PARAMETERS) return IPCNET_STATUS_NOT_FOUND;
  call->word[0] = body[0];
  if (body_bytes == 5) values[body[0]] = get32(body + 1);
  return 0;
}

static enum ipcnet_circuit_said tell_parameter(void *context, struct ipcnet_circuit *call, uint8_t *out, size_t *out_bytes) {
  const uint32_t *values = context;
  put32(out, values[call->word[0]]);
  *out_bytes = 4;
  return IPCNET_CIRCUIT_LAST;
}

/* word[0]: how much of it has been told. */
static enum ipcnet_circuit_said tell_log(void *context, struct ipcnet_circuit *call, uint8_t *out, size_t *out_bytes) {
  (void)context;
  if (*out_bytes > LOG_BYTES - call->word[0]) *out_bytes = LOG_BYTES - call->word[0];
  for (size_t i = 0; i < *out_bytes; i++, call->word[0]++) out[i] = (uint8_t)(call->word[0] * 7 + (call->word[0] >> 8));
  return call->word[0] < LOG_BYTES ? IPCNET_CIRCUIT_PART : IPCNET_CIRCUIT_LAST;
}

/* word[0]: the next one, word[1]: how many. */
static uint16_t hear_count(void *context, struct ipcnet_circuit *call, const uint8_t *body, size_t body_bytes, bool more) {
  (void)context;
  if (more || body_bytes != 4 || get32(body) == 0) return IPCNET_STATUS_BAD_REQUEST;
  call->word[1] = get32(body);
  return 0;
}

static enum ipcnet_circuit_said tell_count(void *context, struct ipcnet_circuit *call, uint8_t *out, size_t *out_bytes) {
  (void)context;
  put32(out, call->word[0]++);
  *out_bytes = 4;
  return call->word[0] < call->word[1] ? IPCNET_CIRCUIT_MESSAGE : IPCNET_CIRCUIT_LAST;
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

/* ---- Firmware -------------------------------------------------------------------------------------------------------------------------- */

enum { PAGE_BYTES = 1024, UNIT_BYTES = 8, SLOT_BYTES = 28 * 1024, TRIES = 3, PROBATION_US = 60000000, BROKEN = 66, EXIT_POWER = 9, EXIT_NO_IMAGE = 3, UPDATE_MESSAGE_BYTES = 256, UPDATE_WINDOW_UNITS = 512 };

static bool is_trusted(void *context, const uint8_t *header, uint32_t image_at, uint32_t image_bytes) {
  const struct sim_flash *flash = context;
  uint8_t hash[32];
  ipcnet_sha256(flash->bytes + image_at, image_bytes, hash);
  return memcmp(hash, header + 28, sizeof hash) == 0;
}

/* What was written to it by those who were this device before. */
static struct sim_flash *flash_in(const char *path) {
  static struct sim_flash fresh;
  const int file = open(path, O_RDWR | O_CLOEXEC);
  struct sim_flash *flash = file < 0 ? MAP_FAILED : mmap(NULL, sizeof *flash, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (flash == MAP_FAILED) return NULL;
  sim_flash_init(&fresh, PAGE_BYTES, UNIT_BYTES, SLOT_BYTES);
  flash->flash = fresh.flash;
  flash->flash.context = flash;
  flash->flash.trusted = is_trusted;
  flash->budget = -1;
  flash->worn_at = 0;
  flash->fails = flash->cut = false;
  return flash;
}

static int make_flash(const char *path, const char *image) {
  static struct sim_flash fresh;
  static uint8_t bytes[SLOT_BYTES];
  FILE *const from = fopen(image, "rb"), *const to = fopen(path, "wb");
  if (from == NULL || to == NULL) return EXIT_FAILURE;
  sim_flash_init(&fresh, PAGE_BYTES, UNIT_BYTES, SLOT_BYTES);
  sim_flash_program(&fresh, 0, bytes, (uint32_t)fread(bytes, 1, sizeof bytes, from));
  const bool written = fwrite(&fresh, sizeof fresh, 1, to) == 1;
  return fclose(to) == 0 && fclose(from) == 0 && written ? EXIT_SUCCESS : EXIT_FAILURE;
}

/* With another seed: a device that has started anew is told by it. */
static void restart(char **argv) {
  char seed[16];
  snprintf(seed, sizeof seed, "%lu", (strtoul(argv[3], NULL, 10) + 1000003ul) & 0xFFFFFFFFul);
  argv[3] = seed;
  argv[7] = NULL;
  execv("/proc/self/exe", argv);
  _exit(EXIT_FAILURE);
}

int main(int argc, char **argv) {
  static uint8_t receive_memory[IPCNET_SERIAL_RECEIVE_BYTES(IPCNET_CIRCUITS_LINE_BYTES + CIRCUIT_FRAME_BYTES)], send_memory[8 * IPCNET_SERIAL_WIRE_BYTES(4 * REPORT_WORDS)];
  static const struct ipcnet_serial_receive receive[] = { { .id = MOTION, .body_bytes = 4, .motion = true }, { .id = CONFIGURE, .body_bytes = BODY_BYTES_MAX }, { .id = ASK, .body_bytes = 0 } };
  struct ipcnet_serial_options options = {
    .name = "C device", .receive = receive, .receive_count = 3, .circuits = true,
    .receive_memory = receive_memory, .receive_memory_bytes = sizeof receive_memory, .send_memory = send_memory, .send_memory_bytes = sizeof send_memory,
  };
  static struct ipcnet_serial link;
  static uint32_t parameters[PARAMETERS];
  static struct ipcnet_serial_update update;
  static const struct ipcnet_circuit_service services[] = {
    { .name = "parameter", .context = parameters, .hear = hear_parameter, .tell = tell_parameter }, { .name = "log", .tell = tell_log }, { .name = "count", .hear = hear_count, .tell = tell_count },
    IPCNET_SERIAL_UPDATE_SERVICE(&update),
  };
  static struct ipcnet_circuit calls[IPCNET_CIRCUITS(CIRCUITS)];
  static uint8_t slots[SLOTS][IPCNET_CIRCUITS_SLOT_BYTES(CIRCUIT_FRAME_BYTES)];
  static struct ipcnet_circuits_options circuits_options = {
    .link = &link, .name = "C device", .services = services, .service_count = 3, .circuits = calls, .circuit_count = CIRCUITS, .slots = slots[0], .slot_count = SLOTS,
    .frame_bytes = CIRCUIT_FRAME_BYTES, .message_bytes_max = MESSAGE_BYTES_MAX, .window_units = WINDOW_UNITS, .repeat_us = REPEAT_US,
  };
  static struct ipcnet_circuits circuits;
  uint32_t next_us = now_us(), number = 0;
  if (argc == 4 && strcmp(argv[1], "make") == 0) return make_flash(argv[2], argv[3]);
  if (argc < 6 || argc > 8) return EXIT_FAILURE;
  struct sim_flash *const flash = argc > 6 ? flash_in(argv[6]) : NULL;
  struct ipcnet_serial_update_options update_options = { .link = &link, .flash = flash != NULL ? &flash->flash : NULL, .probation_us = PROBATION_US, .tries = TRIES };
  uint8_t slot = 0;
  if (argc > 6 && flash == NULL) return EXIT_FAILURE;
  if (flash != NULL) {
    if (setjmp(flash->power) != 0) _exit(EXIT_POWER);
    if (argc > 7) flash->budget = strtol(argv[7], NULL, 10);
    if (!ipcnet_node_boot(&flash->flash, &slot)) return EXIT_NO_IMAGE;
    ipcnet_serial_update_init(&update, &update_options, slot, now_us());
    if (update.update.running.version >> 24 == BROKEN) restart(argv);
    circuits_options.service_count++;
    circuits_options.message_bytes_max = UPDATE_MESSAGE_BYTES;
    circuits_options.window_units = UPDATE_WINDOW_UNITS;
  }
  options.data_id = (uint32_t)strtoul(argv[2], NULL, 10);
  options.silence_us = (uint32_t)strtoul(argv[4], NULL, 10) * 1000u;
  options.dead_man_us = (uint32_t)strtoul(argv[5], NULL, 10) * 1000u;
  const int in = strcmp(argv[1], "pty") == 0 ? open_pty() : STDIN_FILENO;
  const int out = in == STDIN_FILENO ? STDOUT_FILENO : in;
  if (in < 0 || fcntl(out, F_SETFL, fcntl(out, F_GETFL) | O_NONBLOCK) != 0 || !ipcnet_serial_init(&link, &options, (uint32_t)strtoul(argv[3], NULL, 10), now_us())) return EXIT_FAILURE;
  if (!ipcnet_circuits_init(&circuits, &circuits_options)) return EXIT_FAILURE;
  for (;;) {
    uint8_t bytes[256];
    struct pollfd ready = { .fd = in, .events = POLLIN };
    if (poll(&ready, 1, 1) < 0 && errno != EINTR) return EXIT_FAILURE;
    if (ready.revents & POLLIN) {
      const ssize_t length = read(in, bytes, sizeof bytes);
      if (length == 0 && in == STDIN_FILENO) return EXIT_SUCCESS;
      for (ssize_t i = 0; i < length; i++) {
        const struct ipcnet_serial_message *message = ipcnet_serial_push(&link, bytes[i], now_us());
        if (message == NULL) continue;
        if (message->id == IPCNET_SERIAL_CIRCUITS_ID) ipcnet_circuits_hear(&circuits, message, now_us());
        else answer(&link, message, now_us());
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
    ipcnet_circuits_poll(&circuits, now_us());
    if (flash != NULL) {
      ipcnet_serial_update_poll(&update, now_us());
      if (update.restarts) restart(argv);
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
