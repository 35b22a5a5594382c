/* The service `update` of a serial device: rows that the gateway's end writes and reads too (serialUpdateVectors.txt), every other length of a request, and power cut at every step of an update that then goes on where the flash stands. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipcnet_serial_update.h"
#include "sim/flash.h"
#include "sim/hex.h"

#define CHECK(condition) do { if (!(condition)) { fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, what); exit(EXIT_FAILURE); } } while (0)

enum { OLD = 0x01000000, NEW = 0x02000000, BODY_BYTES = 900, PAGE = 256, TRIES = 3 };

static char what[160];
static struct sim_flash sim;
static struct ipcnet_serial link;
static struct ipcnet_serial_update update;
static struct ipcnet_serial_update_options options;
static uint8_t answer[128];
static uint32_t answer_bytes, now_us;

static uint32_t get32(const uint8_t *bytes) {
  return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 | (uint32_t)bytes[3] << 24;
}

static void put32(uint8_t *to, uint32_t value) {
  for (int i = 0; i < 4; i++) to[i] = (uint8_t)(value >> (8 * i));
}

static bool power_up(void) {
  uint8_t slot = 7;
  if (!ipcnet_node_boot(&sim.flash, &slot)) return false;
  memset(&link, 0, sizeof link);
  options = (struct ipcnet_serial_update_options){ .link = &link, .flash = &sim.flash, .probation_us = 60000000u, .tries = TRIES };
  ipcnet_serial_update_init(&update, &options, slot, now_us);
  return true;
}

/* One conversation, its request in parts of `part` bytes; its status, 0: `answer` has come. */
static uint16_t ask(const uint8_t *request, uint32_t length, uint32_t part) {
  struct ipcnet_circuit call = { .generation = 0 };
  uint16_t status = 0;
  ipcnet_serial_update_poll(&update, now_us += 1000);
  for (uint32_t at = 0; status == 0 && (at < length || length == 0); at += part) {
    status = ipcnet_serial_update_hear(&update, &call, request + at, length - at < part ? length - at : part, length - at > part);
    if (length == 0) break;
  }
  answer_bytes = 0;
  while (status == 0) {
    size_t bytes = 56;
    const enum ipcnet_circuit_said said = ipcnet_serial_update_tell(&update, &call, answer + answer_bytes, &bytes);
    answer_bytes += (uint32_t)bytes;
    if (said == IPCNET_CIRCUIT_LAST) break;
  }
  ipcnet_serial_update_over(&update, &call, status == 0 ? 100 : status);
  return status;
}

/* name|request|status|answer; the first row is slot 0. */
static void rows(const char *path) {
  static char line[2048];
  uint8_t request[512], expected[512];
  int count = 0;
  FILE *file = fopen(path, "r");
  CHECK(file != NULL);
  sim_flash_init(&sim, PAGE, 8, 1024);
  sim.flash.trusted = NULL;
  while (fgets(line, sizeof line, file) != NULL) {
    if (line[0] == '#') continue;
    line[strcspn(line, "\n")] = 0;
    char *fields[4] = { line, NULL, NULL, NULL };
    for (int i = 1; i < 4; i++) {
      fields[i] = strchr(fields[i - 1], '|');
      CHECK(fields[i] != NULL);
      *fields[i]++ = 0;
    }
    snprintf(what, sizeof what, "%.150s", fields[0]);
    const uint32_t length = (uint32_t)bytes_of(fields[1], request, sizeof request);
    if (strcmp(what, "slot 0") == 0) {
      sim_flash_program(&sim, 0, request, length);
      CHECK(power_up());
      continue;
    }
    /* Whatever is shorter or longer changes nothing. */
    static uint8_t before[sizeof sim.bytes];
    memcpy(before, sim.bytes, sizeof before);
    if (request[0] != 3) {
      CHECK(ask(request, length + 1, 600) == IPCNET_STATUS_BAD_REQUEST);
      for (uint32_t shorter = 0; shorter < length; shorter++) CHECK(ask(request, shorter, 600) == IPCNET_STATUS_BAD_REQUEST);
    } else for (uint32_t shorter = 0; shorter < 5; shorter++) CHECK(ask(request, shorter, 600) == IPCNET_STATUS_BAD_REQUEST);
    CHECK(memcmp(before, sim.bytes, sizeof before) == 0);
    const uint16_t status = ask(request, length, 61);
    if (status != atoi(fields[2])) fprintf(stderr, "status %u\n", status);
    CHECK(status == atoi(fields[2]));
    const uint32_t wanted = (uint32_t)bytes_of(fields[3], expected, sizeof expected);
    if (status == 0 && (wanted != answer_bytes || memcmp(answer, expected, wanted) != 0)) {
      for (uint32_t i = 0; i < answer_bytes; i++) fprintf(stderr, "%02x", answer[i]);
      fprintf(stderr, "\n");
    }
    CHECK(status != 0 || (wanted == answer_bytes && memcmp(answer, expected, wanted) == 0));
    count++;
  }
  fclose(file);
  CHECK(count > 0);
  printf("%d rows passed\n", count);
}

static uint8_t old_image[2048], new_image[2048];
static uint32_t old_bytes, new_bytes, passed_over;

static uint16_t begin_new(void) {
  uint8_t request[13] = { 2 };
  put32(request + 9, new_bytes);
  return ask(request, sizeof request, 72);
}

/* As drivers/nodekit/serialUpdate.ts does it, from wherever the flash stands. */
static uint16_t bring(void) {
  uint8_t request[256];
  uint32_t good = 0;
  for (uint32_t pages = 1; pages * PAGE <= new_bytes; pages++) {
    request[0] = 1;
    put32(request + 1, pages * PAGE);
    CHECK(ask(request, 5, 72) == 0 && answer_bytes == 4);
    if (get32(answer) != ipcnet_node_crc32(0, new_image, pages * PAGE)) break;
    good = pages;
  }
  const uint32_t from = good > 1 ? (good - 1) * PAGE : 0;
  passed_over += from;
  request[0] = 2;
  put32(request + 1, from);
  put32(request + 5, ipcnet_node_crc32(0, new_image, from));
  put32(request + 9, new_bytes);
  uint16_t status = ask(request, 13, 72);
  for (uint32_t at = from; status == 0 && at < new_bytes; at += IPCNET_SERIAL_UPDATE_PIECE_BYTES) {
    const uint32_t length = new_bytes - at < IPCNET_SERIAL_UPDATE_PIECE_BYTES ? new_bytes - at : IPCNET_SERIAL_UPDATE_PIECE_BYTES;
    request[0] = 3;
    put32(request + 1, at);
    memcpy(request + 5, new_image + at, length);
    CHECK(link.resting);
    status = ask(request, 5 + length, 72);
  }
  request[0] = 4;
  if (status == 0) status = ask(request, 1, 72);
  request[0] = 5;
  return status != 0 ? status : ask(request, 1, 72);
}

static void factory(void) {
  sim_flash_init(&sim, PAGE, 8, 1536);
  old_bytes = sim_image(&sim, old_image, OLD, 1, BODY_BYTES);
  new_bytes = sim_image(&sim, new_image, NEW, 2, BODY_BYTES + 333);
  sim_flash_program(&sim, 0, old_image, old_bytes);
}

static void cuts(void) {
  static long steps = -1, cut; /* static: a cut comes back by longjmp */
  for (cut = 0; steps < 0; cut++) {
    snprintf(what, sizeof what, "cut at step %ld", cut);
    factory();
    sim.seed = (unsigned)cut;
    CHECK(power_up() && update.update.running.version == OLD);
    sim.budget = cut;
    if (setjmp(sim.power) == 0) {
      CHECK(bring() == 0);
      steps = cut;
    }
    sim.budget = -1;
    sim.cut = false;
    CHECK(power_up());
    if (update.update.running.version == OLD) CHECK(bring() == 0 && power_up());
    CHECK(update.update.running.version == NEW && ipcnet_serial_update_on_probation(&update));
    CHECK(memcmp(sim.bytes + sim.flash.slot_at[1], new_image, new_bytes) == 0);
    static const uint8_t confirm = 6;
    CHECK(ask(&confirm, 1, 72) == 0 && power_up() && update.update.running.version == NEW && !ipcnet_serial_update_on_probation(&update));
    CHECK(sim.violations == 0);
  }
  CHECK(passed_over > 0);
  printf("%ld power cuts; on average the next transfer went on behind %ld of %u bytes\n", cut, (long)passed_over / cut, new_bytes);
}

static void states(void) {
  snprintf(what, sizeof what, "states");
  factory();
  CHECK(power_up());
  link.outputs = IPCNET_SERIAL_FOLLOW;
  /* Not even reading the flash, which takes its time. */
  static const uint8_t held[5] = { 1, 0, 1 };
  CHECK(ask(held, sizeof held, 72) == IPCNET_STATUS_PRECONDITION_FAILED);
  link.outputs = IPCNET_SERIAL_SAFE;
  CHECK(ask(held, sizeof held, 72) == 0);
  link.outputs = IPCNET_SERIAL_FOLLOW;
  CHECK(begin_new() == IPCNET_STATUS_PRECONDITION_FAILED && update.update.refused == IPCNET_NODE_WRONG_STATE && !link.resting && link.outputs == IPCNET_SERIAL_FOLLOW);
  link.outputs = IPCNET_SERIAL_SAFE;
  /* Two at a time: the second is told so, and the first goes on. */
  struct ipcnet_circuit first = { .generation = 0 };
  const uint8_t report = 0;
  CHECK(ipcnet_serial_update_hear(&update, &first, &report, 1, false) == 0 && ask(&report, 1, 72) == IPCNET_STATUS_TOO_MANY_REQUESTS);
  CHECK(ipcnet_serial_update_hear(&update, &first, &report, 1, false) == IPCNET_STATUS_BAD_REQUEST);
  ipcnet_serial_update_over(&update, &first, 200);
  /* A transfer that is silent is given up, and what moves may move again. */
  const uint8_t begin[13] = { 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4 };
  CHECK(ask(begin, 13, 72) == 0 && link.resting);
  ipcnet_serial_update_poll(&update, now_us += IPCNET_SERIAL_UPDATE_SILENCE_US - 1001u);
  CHECK(link.resting);
  ipcnet_serial_update_poll(&update, now_us += 2000u);
  CHECK(!link.resting);
  /* Started: at rest until it restarts, which gives the answer its time. */
  CHECK(bring() == 0 && link.resting && !update.restarts);
  ipcnet_serial_update_poll(&update, now_us += IPCNET_SERIAL_UPDATE_RESTART_US - 1000u);
  CHECK(!update.restarts);
  ipcnet_serial_update_poll(&update, now_us += 1000u);
  CHECK(update.restarts && link.resting);
}

int main(int argc, char **argv) {
  CHECK(argc == 2);
  rows(argv[1]);
  states();
  cuts();
  return EXIT_SUCCESS;
}
