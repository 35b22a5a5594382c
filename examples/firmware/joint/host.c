/*
 * The joint's firmware as a process of this machine, for its test: joint_host NUMBER CLAIM_ID. Frames come on standard input and leave on standard output, one a line: identifier and data in hexadecimal
 * ("62 0a1b…"). "off" and "on" begin and end a bus-off. It ends with its standard input.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "joint.h"

enum { QUEUE = 64, LINE_BYTES = 64 };

static struct { struct ipcnet_can_frame frames[QUEUE]; unsigned in, out; bool bus_off; } bus;

static uint32_t now_us(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (uint32_t)((uint64_t)now.tv_sec * 1000000u + (uint64_t)now.tv_nsec / 1000u);
}

static bool send_frame(void *context, uint32_t id, const uint8_t *data, uint8_t length) {
  (void)context;
  if (bus.bus_off) return false;
  printf("%x ", (unsigned)id);
  for (uint8_t i = 0; i < length; i++) printf("%02x", data[i]);
  printf("\n");
  return true;
}

static bool receive_frame(void *context, struct ipcnet_can_frame *frame) {
  (void)context;
  if (bus.in == bus.out) return false;
  *frame = bus.frames[bus.out++ % QUEUE];
  return true;
}

static enum ipcnet_can_health health(void *context) {
  (void)context;
  return bus.bus_off ? IPCNET_CAN_BUS_OFF : IPCNET_CAN_ACTIVE;
}

static void purge(void *context) { (void)context; }
/* The test says when the bus is there again. */
static void restart(void *context) { (void)context; }

static void take_line(const char *line) {
  char hex[2 * 8 + 2] = "";
  unsigned id;
  if (strcmp(line, "off") == 0) bus.bus_off = true;
  else if (strcmp(line, "on") == 0) bus.bus_off = false;
  else if (sscanf(line, "%x %17s", &id, hex) >= 1 && bus.in - bus.out < QUEUE) {
    struct ipcnet_can_frame frame = { .id = id };
    unsigned byte;
    while (frame.length < 8 && sscanf(hex + 2 * frame.length, "%2x", &byte) == 1) frame.data[frame.length++] = (uint8_t)byte;
    bus.frames[bus.in++ % QUEUE] = frame;
  }
}

static void reset(void *context) {
  (void)context;
  exit(EXIT_SUCCESS);
}

int main(int argc, char **argv) {
  static struct joint joint;
  static const struct ipcnet_can can = { .send = send_frame, .receive = receive_frame, .health = health, .purge = purge, .restart = restart };
  char line[LINE_BYTES];
  size_t length = 0;
  if (argc != 3 || fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK) != 0) return EXIT_FAILURE;
  joint_start(&joint, (uint8_t)atoi(argv[1]), (uint16_t)strtoul(argv[2], NULL, 0), &can, reset, now_us());
  for (;;) {
    struct pollfd ready = { .fd = STDIN_FILENO, .events = POLLIN };
    char byte;
    (void)poll(&ready, 1, 1);
    for (;;) {
      const ssize_t got = read(STDIN_FILENO, &byte, 1);
      if (got == 0) return EXIT_SUCCESS;
      if (got < 0 && errno != EAGAIN && errno != EINTR) return EXIT_FAILURE;
      if (got < 0) break;
      if (byte != '\n') {
        if (length < LINE_BYTES - 1) line[length++] = byte;
        continue;
      }
      line[length] = '\0';
      length = 0;
      take_line(line);
      joint_turn(&joint, now_us());
    }
    joint_turn(&joint, now_us());
    fflush(stdout);
  }
}
