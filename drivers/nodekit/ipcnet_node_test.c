/* The node kit: vectors from a file (or standard input: "-"), and a model check of every short history of owners. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipcnet_node.h"
#include "sim/hex.h"

static struct ipcnet_node_options options;
static struct ipcnet_node_command commands[2];
static struct ipcnet_node node;

static void switch_on(uint32_t claim_timeout_us, uint32_t dead_man_us, uint32_t claim_quiet_us) {
  options = (struct ipcnet_node_options){ .claim_timeout_us = claim_timeout_us, .dead_man_us = dead_man_us, .claim_quiet_us = claim_quiet_us };
  commands[0] = (struct ipcnet_node_command){ .inspect = ipcnet_e2e_p05_inspect, .e2e = { .data_id = 0x1234, .min_length_bytes = 8, .max_length_bytes = 8 },
                                              .counter_max = IPCNET_E2E_P05_COUNTER_MAX, .motion = true, .epoch = { 28, 4 }, .owner = { 60, 2 } };
  commands[1] = (struct ipcnet_node_command){ .inspect = ipcnet_e2e_p05_inspect, .e2e = { .data_id = 0x1235, .min_length_bytes = 8, .max_length_bytes = 8 },
                                              .counter_max = IPCNET_E2E_P05_COUNTER_MAX };
  ipcnet_node_init(&node, &options, commands, 2);
}

static int fail(const char *what, const char *line) {
  fprintf(stderr, "%s: %s\n", what, line);
  return EXIT_FAILURE;
}

/* ---- Vectors ------------------------------------------------------------------------------------------------------------------------- */

static int check_state(const char *line, int outputs, int epoch, int owner) {
  return node.outputs == outputs && node.epoch == epoch && ipcnet_node_reported_owner(&node) == owner ? 0 : fail("another state", line);
}

static int row(const char *line) {
  unsigned long at, timeout, dead_man, quiet;
  int which, expected, outputs, epoch, owner;
  char hex[64];
  uint8_t frame[32];
  if (sscanf(line, "node %lu %lu %lu", &timeout, &dead_man, &quiet) == 3) {
    switch_on((uint32_t)timeout, (uint32_t)dead_man, (uint32_t)quiet);
    return 0;
  }
  if (sscanf(line, "poll %lu %d %d %d", &at, &outputs, &epoch, &owner) == 4) {
    ipcnet_node_poll(&node, (uint32_t)at);
    return check_state(line, outputs, epoch, owner);
  }
  if (sscanf(line, "hear %lu %d %63s %d %d %d %d", &at, &which, hex, &expected, &outputs, &epoch, &owner) == 7) {
    const size_t length = bytes_of(hex, frame, sizeof frame);
    if ((int)ipcnet_node_hear(&node, (uint8_t)which, frame, length, (uint32_t)at) != expected) return fail("heard otherwise", line);
    return check_state(line, outputs, epoch, owner);
  }
  if (sscanf(line, "judge %lu %d %63s %d %d %d %d", &at, &which, hex, &expected, &outputs, &epoch, &owner) == 7) {
    const size_t length = bytes_of(hex, frame, sizeof frame);
    if ((int)ipcnet_node_judge(&node, (uint8_t)which, frame, length, (uint32_t)at) != expected) return fail("judged otherwise", line);
    return check_state(line, outputs, epoch, owner);
  }
  return fail("no such row", line);
}

static int vectors(const char *path) {
  FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
  char line[512];
  int rows = 0;
  if (file == NULL) return fail("cannot be read", path);
  while (fgets(line, sizeof line, file) != NULL) {
    if (line[0] == '#' || line[0] == '\n') continue;
    if (row(line) != 0) return EXIT_FAILURE;
    rows++;
  }
  if (file != stdin) fclose(file);
  printf("%d rows passed\n", rows);
  return EXIT_SUCCESS;
}

/* ---- Every history ------------------------------------------------------------------------------------------------------------------- */

/*
 * Two owners with two epochs each, their claims, beats, releases and commands, and time that passes: every sequence of SYMBOLS^DEPTH. Counters rise, so that what a frame
 * means depends on its owner and epoch alone. Against a model in plain words: the newest epoch heard, who said so first, and what is true since.
 */
enum { OWNERS = 2, EPOCHS = 2, SENDERS = OWNERS * EPOCHS, CLAIM = 0, BEAT, RELEASE, COMMAND, CONFIGURE, ACTS, WAIT = SENDERS * ACTS, SYMBOLS = WAIT + 2, DEPTH = 4 };

struct model { uint16_t epoch; uint8_t owner; bool following, moving, hold; uint32_t heard, fed; };

static void claim_bytes(uint8_t frame[8], int kind, uint16_t epoch, uint8_t owner, uint32_t counter) {
  const ipcnet_e2e_config e2e = { .data_id = IPCNET_NODE_CLAIM_DATA_ID };
  memset(frame, 0, 8);
  frame[3] = (uint8_t)(0x10 | kind);
  frame[4] = (uint8_t)epoch;
  frame[5] = (uint8_t)(epoch >> 8);
  frame[6] = owner;
  (void)ipcnet_e2e_p05_protect(&e2e, frame, 8, counter & 0xFFu);
}

static void command_bytes(uint8_t frame[8], int command, uint16_t epoch, uint8_t owner, uint32_t counter) {
  memset(frame, 0, 8);
  frame[3] = (uint8_t)(epoch << 4);
  frame[7] = (uint8_t)(owner << 4);
  (void)ipcnet_e2e_p05_protect(&commands[command].e2e, frame, 8, counter & 0xFFu);
}

static int model_step(struct model *self, int symbol, uint32_t now, uint32_t counter, uint32_t quiet_us) {
  uint8_t frame[8];
  if (self->moving && now - self->fed >= 200) self->moving = false;
  if (self->following && now - self->heard >= 500) self->following = self->moving = false;
  if (symbol >= WAIT) {
    ipcnet_node_poll(&node, now);
  } else {
    const uint8_t owner = (uint8_t)(symbol / ACTS % OWNERS);
    const uint16_t epoch = (uint16_t)(0xFFFF + symbol / ACTS / OWNERS * 2); /* 0xFFFF, then 1: over the wrap */
    const int act = symbol % ACTS;
    const bool own = self->epoch == epoch && self->owner == owner;
    if (act == COMMAND || act == CONFIGURE) {
      command_bytes(frame, act == CONFIGURE, epoch, owner, counter);
      const bool accepted = ipcnet_node_judge(&node, act == CONFIGURE, frame, 8, now) == IPCNET_NODE_ACCEPTED;
      if (accepted != (self->following && (act == CONFIGURE || own))) return fail("model: accepted", accepted ? "wrongly" : "not");
      if (accepted) self->heard = now;
      if (accepted && act == COMMAND) { self->moving = true; self->hold = false; self->fed = now; }
    } else {
      claim_bytes(frame, act == CLAIM ? 0 : act == BEAT ? 1 : 4, epoch, owner, counter);
      (void)ipcnet_node_hear(&node, owner, frame, 8, now);
      if (own && act == RELEASE) self->following = self->moving = false;
      else if (own) { self->following = true; self->heard = now; }
      else if (act != RELEASE && (self->epoch == 0 || (self->epoch == 0xFFFF && epoch == 1))) {
        *self = (struct model){ .epoch = epoch, .owner = owner, .following = true, .moving = self->moving, .hold = true, .heard = now, .fed = self->fed };
      }
    }
  }
  const int outputs = !self->moving ? IPCNET_NODE_SAFE : self->hold ? IPCNET_NODE_HOLD : IPCNET_NODE_FOLLOW;
  if (node.outputs != outputs) return fail("model", "other outputs");
  /* Quiet changes what it says, and nothing else: the rest of the model knows nothing of it. */
  const bool vouches = self->following && (quiet_us == 0 || now - self->heard < quiet_us);
  if (node.epoch != self->epoch || ipcnet_node_reported_owner(&node) != (vouches ? self->owner : IPCNET_NODE_NOBODY)) return fail("model", "another owner");
  return 0;
}

static int every_history(uint32_t quiet_us) {
  long histories = 1, checked = 0;
  for (int i = 0; i < DEPTH; i++) histories *= SYMBOLS;
  for (long history = 0; history < histories; history++) {
    struct model model = { 0 };
    uint32_t now = UINT32_MAX - 300; /* the clock wraps */
    long rest = history;
    switch_on(500, 200, quiet_us);
    for (int i = 0; i < DEPTH; i++, rest /= SYMBOLS) {
      const int symbol = (int)(rest % SYMBOLS);
      now += symbol == WAIT ? 250 : symbol == WAIT + 1 ? 600 : 10;
      if (model_step(&model, symbol, now, (uint32_t)i, quiet_us) != 0) {
        fprintf(stderr, "history %ld, step %d, symbol %d\n", history, i, symbol);
        return EXIT_FAILURE;
      }
      checked++;
    }
  }
  printf("%ld histories, %ld steps\n", histories, checked);
  return EXIT_SUCCESS;
}

/* ---- Frames of CAN FD ------------------------------------------------------------------------------------------------------------------ */

static void put(uint8_t *frame, struct ipcnet_node_field field, uint32_t value) {
  for (uint32_t bit = 0; bit < field.bits; bit++) frame[(field.start_bit + bit) / 8] |= (uint8_t)((value >> bit & 1u) << (field.start_bit + bit) % 8);
}

/* Profile 6 in frames of 12 and of 64 bytes; epoch and owner stand where a classic frame has ended, and in the last one of 64 bytes beyond bit 255. */
static int long_frames(void) {
  static const struct { uint8_t length_bytes; struct ipcnet_node_field epoch, owner; } FRAMES[] = {{12, {40, 8}, {78, 2}}, {64, {40, 16}, {509, 3}}, {64, {300, 12}, {296, 2}}};
  for (size_t i = 0; i < sizeof FRAMES / sizeof *FRAMES; i++) {
    const uint8_t length = FRAMES[i].length_bytes;
    uint8_t claim[8];
    switch_on(500, 200, 0);
    commands[0] = (struct ipcnet_node_command){ .inspect = ipcnet_e2e_p06_inspect, .e2e = { .data_id = 0x4321, .min_length_bytes = length, .max_length_bytes = length },
                                                .counter_max = IPCNET_E2E_P06_COUNTER_MAX, .motion = true, .epoch = FRAMES[i].epoch, .owner = FRAMES[i].owner };
    claim_bytes(claim, 0, 0x0A5B, 1, 0);
    if (ipcnet_node_hear(&node, 1, claim, 8, 1000) != IPCNET_NODE_FOLLOWED) return fail("long frames", "not followed");
    /* Each of its bits alone makes it another's; then the right one, then that one shortened and altered. */
    uint32_t counter = 0;
    for (int bit = -1; bit < FRAMES[i].epoch.bits + FRAMES[i].owner.bits; bit++) {
      uint8_t frame[64] = {0};
      const bool of_epoch = bit < FRAMES[i].epoch.bits;
      const uint32_t epoch = 0x0A5Bu ^ (bit >= 0 && of_epoch ? 1u << bit : 0);
      const uint32_t owner = 1u ^ (bit >= 0 && !of_epoch ? 1u << (bit - FRAMES[i].epoch.bits) : 0);
      put(frame, FRAMES[i].epoch, epoch);
      put(frame, FRAMES[i].owner, owner);
      if (ipcnet_e2e_p06_protect(&commands[0].e2e, frame, length, counter++) != IPCNET_E2E_INSPECTED_OK) return fail("long frames", "not protected");
      const enum ipcnet_node_verdict verdict = ipcnet_node_judge(&node, 0, frame, length, 1010);
      if (verdict != (bit < 0 ? IPCNET_NODE_ACCEPTED : of_epoch ? IPCNET_NODE_OTHER_EPOCH : IPCNET_NODE_OTHER_OWNER)) return fail("long frames", "judged otherwise");
      if (ipcnet_node_judge(&node, 0, frame, length - 1u, 1010) != IPCNET_NODE_BAD_FRAME) return fail("long frames", "a short one");
      frame[length - 1] ^= 0x80;
      if (ipcnet_node_judge(&node, 0, frame, length, 1010) != IPCNET_NODE_BAD_FRAME) return fail("long frames", "an altered one");
    }
    if (node.outputs != IPCNET_NODE_FOLLOW) return fail("long frames", "it does not move");
  }
  return EXIT_SUCCESS;
}

int main(int count, char **arguments) {
  const int result = count > 1 ? vectors(arguments[1]) : EXIT_SUCCESS;
  if (result != EXIT_SUCCESS || (count > 1 && strcmp(arguments[1], "-") == 0)) return result;
  printf("node %zu bytes, command %zu bytes\n", sizeof(struct ipcnet_node), sizeof(struct ipcnet_node_command));
  if (long_frames() != EXIT_SUCCESS) return EXIT_FAILURE;
  return every_history(0) == EXIT_SUCCESS ? every_history(100) : EXIT_FAILURE;
}
