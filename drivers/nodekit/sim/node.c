/*
 * A node with all parts, for tests in TypeScript: lines in, lines out. Times are decimal microseconds of the node's clock, identifiers and bytes hexadecimal.
 *   image SLOT HEX     as at the factory                 power T            boot loader, then the application: "slot N" or "slot none"
 *   frame T ID HEX     a frame is heard: "heard N"       poll T
 *   command ID DATA_ID one more motion command (profile 5, 8 bytes), from the next power on
 *   claims TIMEOUT_US  the bus has claims at 0x010       cut STEPS          power goes after so many steps of the flash: "cut"; then only "power" works
 *   time T             "time GATEWAY_US" or "time none"  start yes|no       whether it waits for an NMT start
 * Meanwhile: "send ID HEX", "pose CAUSE", "reset". Each line of input is answered by a last line ".".
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../shm/core/sha256.h"
#include "flash.h"
#include "hex.h"

enum { NUMBER = 5, TIME_ID = 0x14, COMMANDS_MAX = 4, LINE_BYTES = 70000 };

static struct sim_flash sim;
static struct ipcnet_node_command commands[COMMANDS_MAX];
static uint8_t command_count;
static struct ipcnet_node_device device;
static struct ipcnet_node_sdo sdo;
static struct ipcnet_node_time node_time;
static struct ipcnet_node_update update;
static bool powered, was_reset;
static struct ipcnet_node_device_options options = { .number = NUMBER, .claim_id = 0x10, .heartbeat_us = 100000, .emcy_inhibit_us = 10000, .rules = { .dead_man_us = 200000 } };
static const struct ipcnet_node_identity identity = { .device_type = 0x00020192, .vendor = 0x1234, .product = 0x5678, .revision = 0x00010002, .serial = 0xCAFE, .name = "elbow joint", .software = "1.2.3" };

static void print_bytes(const uint8_t *bytes, size_t length) {
  for (size_t i = 0; i < length; i++) printf("%02x", bytes[i]);
}

static bool send(void *context, uint32_t id, const uint8_t *data, uint8_t length) {
  (void)context;
  printf("send %" PRIx32 " ", id);
  print_bytes(data, length);
  printf("\n");
  return true;
}

static void pose(void *context, enum ipcnet_node_cause cause) {
  (void)context;
  printf("pose %d\n", cause);
}

static void reset(void *context) {
  (void)context;
  if (!was_reset) printf("reset\n");
  was_reset = true;
}

static const struct ipcnet_node_port port = { .send = send, .enter_safe_pose = pose, .reset = reset };

/* The hash; a product looks at the signature behind the header as well. */
static bool trusted(void *context, const uint8_t *header, uint32_t image_at, uint32_t image_bytes) {
  const struct sim_flash *flash = context;
  uint8_t hash[32];
  ipcnet_sha256(flash->bytes + image_at, image_bytes, hash);
  return memcmp(hash, header + 28, sizeof hash) == 0;
}

static void power(uint32_t now_us) {
  uint8_t slot;
  powered = ipcnet_node_boot(&sim.flash, &slot);
  was_reset = false;
  if (!powered) {
    printf("slot none\n");
    return;
  }
  printf("slot %d\n", slot);
  ipcnet_node_device_init(&device, &options, &port, commands, command_count, now_us);
  ipcnet_node_update_init(&update, &sim.flash, slot, 3, 60000000u, now_us);
  ipcnet_node_sdo_init(&sdo, &identity, &update.objects);
  ipcnet_node_time_init(&node_time, TIME_ID);
  ipcnet_node_device_add(&device, &update.part);
  ipcnet_node_device_add(&device, &sdo.part);
  ipcnet_node_device_add(&device, &node_time.part);
}

static int perform(char *line) {
  static uint8_t bytes[SIM_FLASH_BYTES];
  unsigned long at;
  unsigned id, other;
  int offset = 0;
  uint64_t gateway_us;
  if (sscanf(line, "image %u %n", &id, &offset) == 1 && offset > 0) {
    sim_flash_program(&sim, (uint8_t)(id & 1u), bytes, (uint32_t)bytes_of(line + offset, bytes, sim.flash.slot_bytes));
  } else if (sscanf(line, "command %x %x", &id, &other) == 2 && command_count < COMMANDS_MAX) {
    commands[command_count++] = (struct ipcnet_node_command){ .inspect = ipcnet_e2e_p05_inspect, .e2e = { .data_id = other, .min_length_bytes = 8, .max_length_bytes = 8 },
                                                              .counter_max = IPCNET_E2E_P05_COUNTER_MAX, .motion = true, .id = id };
  } else if (sscanf(line, "claims %lu", &at) == 1) options.rules.claim_timeout_us = (uint32_t)at;
  else if (strcmp(line, "start yes") == 0) options.wait_for_start = true;
  else if (strcmp(line, "start no") == 0) options.wait_for_start = false;
  else if (sscanf(line, "cut %lu", &at) == 1) sim.budget = (long)at;
  else if (sscanf(line, "power %lu", &at) == 1) {
    sim.budget = sim.cut ? -1 : sim.budget;
    sim.cut = false;
    power((uint32_t)at);
  } else if (sscanf(line, "frame %lu %x %n", &at, &id, &offset) == 2 && offset > 0) {
    if (powered) printf("heard %d\n", ipcnet_node_device_hear(&device, id, bytes, bytes_of(line + offset, bytes, 64), (uint32_t)at));
  } else if (sscanf(line, "poll %lu", &at) == 1) {
    if (powered) ipcnet_node_device_poll(&device, (uint32_t)at);
  } else if (sscanf(line, "time %lu", &at) == 1) {
    if (ipcnet_node_time_at(&node_time, (uint32_t)at, &gateway_us)) printf("time %" PRIu64 "\n", gateway_us);
    else printf("time none\n");
  } else {
    fprintf(stderr, "no such line: %s\n", line);
    return EXIT_FAILURE;
  }
  return EXIT_SUCCESS;
}

int main(void) {
  static char line[LINE_BYTES];
  sim_flash_init(&sim, 1024, 8, 16 * 1024);
  sim.flash.trusted = trusted;
  while (fgets(line, sizeof line, stdin) != NULL) {
    line[strcspn(line, "\n")] = 0;
    if (setjmp(sim.power) == 0) {
      if (perform(line) != EXIT_SUCCESS) return EXIT_FAILURE;
    } else {
      powered = false;
      printf("cut\n");
    }
    printf(".\n");
    fflush(stdout);
  }
  return sim.violations == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
