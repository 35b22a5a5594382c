/* A node on a bus: heartbeat, NMT, EMCY, SDO and the safe-pose hook, with frames written out; every frame identifier in every state; random frames. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipcnet_crc.h"
#include "ipcnet_node.h"
#include "sim/flash.h"

#define CHECK(condition) do { if (!(condition)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition); exit(EXIT_FAILURE); } } while (0)

enum { NUMBER = 5, GATEWAY = 100, COMMAND_ID = 0x205, CONFIGURE_ID = 0x305, TIME_ID = 0x14, SENT_MAX = 64 };

static struct ipcnet_node_command commands[2];
static struct ipcnet_node_device_options options;
static struct ipcnet_node_device device;
static struct ipcnet_node_sdo sdo;
static struct ipcnet_node_time node_time;
static struct ipcnet_node_update update;
static struct sim_flash sim;

/* ---- The outside ------------------------------------------------------------------------------------------------------------------------- */

static struct { uint32_t id; uint8_t data[8], length; } sent[SENT_MAX];
static int sent_count, poses, resets;
static enum ipcnet_node_cause cause;
static bool full;

static bool send(void *context, uint32_t id, const uint8_t *data, uint8_t length) {
  (void)context;
  CHECK(length <= 8);
  if (full) return false;
  if (sent_count == SENT_MAX) sent_count = 0;
  sent[sent_count].id = id;
  sent[sent_count].length = length;
  memcpy(sent[sent_count++].data, data, length);
  return true;
}

static void pose(void *context, enum ipcnet_node_cause why) {
  (void)context;
  CHECK(device.node.outputs == IPCNET_NODE_SAFE);
  poses++;
  cause = why;
}

static void reset(void *context) {
  (void)context;
  resets++;
}

static const struct ipcnet_node_port port = { .send = send, .enter_safe_pose = pose, .reset = reset };
static const struct ipcnet_node_identity identity = { .device_type = 0x00020192, .vendor = 0x1234, .product = 0x5678, .revision = 0x00010002, .serial = 0xCAFE, .name = "elbow joint", .software = "1.2.3" };

/* ---- Helpers ------------------------------------------------------------------------------------------------------------------------------ */

static uint32_t now;
static uint32_t claim_counter, command_counters[2];

static void switch_on(uint32_t claim_timeout_us) {
  const struct ipcnet_node_device_options fresh = {
    .number = NUMBER, .claim_id = 0x10, .heartbeat_us = 100000, .emcy_inhibit_us = 10000, .gateway_number = GATEWAY, .gateway_timeout_us = 300000,
    .rules = { .claim_timeout_us = claim_timeout_us, .dead_man_us = 200000 },
  };
  options = fresh;
  memset(commands, 0, sizeof commands);
  commands[0] = (struct ipcnet_node_command){ .inspect = ipcnet_e2e_p05_inspect, .e2e = { .data_id = 0x1234, .min_length_bytes = 8, .max_length_bytes = 8 },
                                              .counter_max = IPCNET_E2E_P05_COUNTER_MAX, .motion = true, .epoch = { 24, 8 }, .id = COMMAND_ID };
  commands[1] = (struct ipcnet_node_command){ .inspect = ipcnet_e2e_p05_inspect, .e2e = { .data_id = 0x1235, .min_length_bytes = 8, .max_length_bytes = 8 },
                                              .counter_max = IPCNET_E2E_P05_COUNTER_MAX, .id = CONFIGURE_ID };
  now = UINT32_MAX - 150000; /* the clock wraps in most of what follows */
  sent_count = poses = resets = 0;
  claim_counter = command_counters[0] = command_counters[1] = 0;
  full = false;
  ipcnet_node_device_init(&device, &options, &port, commands, 2, now);
  CHECK(poses == 1 && cause == IPCNET_NODE_POWER_UP);
  ipcnet_node_sdo_init(&sdo, &identity, NULL);
  ipcnet_node_device_add(&device, &sdo.part);
}

static int hear(uint32_t id, const char *bytes, size_t length) {
  uint8_t copy[64];
  memcpy(copy, bytes, length);
  return ipcnet_node_device_hear(&device, id, copy, length, now);
}

static void poll(uint32_t later_us) {
  ipcnet_node_device_poll(&device, now += later_us);
}

static void pass(uint32_t us) {
  for (; us > 1000; us -= 1000) poll(1000);
  poll(us);
}

static void claim(uint8_t kind) {
  const ipcnet_e2e_config e2e = { .data_id = IPCNET_NODE_CLAIM_DATA_ID };
  uint8_t frame[8] = { 0, 0, 0, (uint8_t)(0x10 | kind), 7, 0, 2, 0 };
  (void)ipcnet_e2e_p05_protect(&e2e, frame, 8, claim_counter++ & 0xFFu);
  CHECK(ipcnet_node_device_hear(&device, 0x12, frame, 8, now) == IPCNET_NODE_TAKEN);
}

static int command(int which) {
  uint8_t frame[8] = { 0, 0, 0, 7 };
  (void)ipcnet_e2e_p05_protect(&commands[which].e2e, frame, 8, command_counters[which] & 0xFFu);
  const int heard = ipcnet_node_device_hear(&device, commands[which].id, frame, 8, now);
  if (heard >= 0) command_counters[which]++;
  return heard;
}

static void expect_sent(int index, uint32_t id, const char *bytes, uint8_t length) {
  CHECK(index < sent_count && sent[index].id == id && sent[index].length == length && memcmp(sent[index].data, bytes, length) == 0);
}

static void expect_last_emcy(const char *bytes) {
  int index = sent_count - 1;
  while (index > 0 && sent[index].id != 0x85) index--;
  expect_sent(index, 0x85, bytes, 8);
}

static void move(void) {
  claim(1);
  CHECK(command(0) == 0 && device.node.outputs == IPCNET_NODE_FOLLOW);
}

/* ---- NMT and heartbeat ------------------------------------------------------------------------------------------------------------------- */

static void boot_and_beat(void) {
  switch_on(500000);
  full = true;
  poll(0);
  CHECK(sent_count == 0 && device.state == IPCNET_NODE_INITIALISING && command(0) == IPCNET_NODE_REFUSED);
  full = false;
  poll(0);
  expect_sent(0, 0x705, "\x00", 1);
  poll(0);
  expect_sent(1, 0x705, "\x05", 1);
  for (int i = 0; i < 10; i++) poll(100000);
  CHECK(sent_count == 12); /* one beat each 100 ms, over the wrap of the clock */
  poll(99999);
  CHECK(sent_count == 12);
  poll(1);
  CHECK(sent_count == 13);
  poll(1000000); /* away for a second: one beat, not ten */
  poll(1000);
  CHECK(sent_count == 14);
  full = true;
  poll(100000);
  full = false;
  poll(1);
  CHECK(sent_count == 15); /* no room, then room */
  options.wait_for_start = true;
  ipcnet_node_device_init(&device, &options, &port, commands, 2, now);
  poll(0);
  CHECK(device.state == IPCNET_NODE_PRE_OPERATIONAL);
}

static void nmt(void) {
  switch_on(500000);
  poll(0);
  const struct { char command, state; } rows[] = { { 2, IPCNET_NODE_STOPPED }, { (char)128, IPCNET_NODE_PRE_OPERATIONAL }, { 1, IPCNET_NODE_OPERATIONAL }, { (char)128, IPCNET_NODE_PRE_OPERATIONAL }, { 2, IPCNET_NODE_STOPPED }, { 1, IPCNET_NODE_OPERATIONAL } };
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    const char all[2] = { rows[i].command, 0 }, own[2] = { rows[i].command, NUMBER }, other[2] = { rows[i].command, NUMBER + 1 };
    const uint8_t before = device.state;
    CHECK(hear(0, other, 2) == IPCNET_NODE_TAKEN && device.state == before);
    CHECK(hear(0, own, 1) == IPCNET_NODE_TAKEN && device.state == before);
    CHECK(hear(0, i % 2 == 0 ? all : own, 2) == IPCNET_NODE_TAKEN && device.state == (uint8_t)rows[i].state);
    sent_count = 0;
    poll(1);
    CHECK(sent_count == 1 && sent[0].data[0] == (uint8_t)rows[i].state); /* told at once */
    /* Process data and commands while operational alone; claims are heard in every state. */
    const bool operational = device.state == IPCNET_NODE_OPERATIONAL;
    const uint32_t refused = device.node.refused_commands;
    claim(1);
    CHECK(device.node.epoch == 7 && device.node.following);
    CHECK(ipcnet_node_device_send(&device, 0x185, (const uint8_t *)"\1", 1) == operational);
    CHECK((command(0) == 0) == operational && (command(1) == 1) == operational);
    CHECK(device.node.refused_commands == refused + (operational ? 0 : 2));
  }
  /* Each way out of operational is one entry into the safe pose. */
  const char ways[] = { 2, (char)128, (char)129, (char)130 };
  for (size_t i = 0; i < sizeof ways; i++) {
    switch_on(500000);
    poll(0);
    move();
    const char to_all[2] = { ways[i], 0 };
    (void)hear(0, to_all, 2);
    CHECK(poses == 2 && cause == IPCNET_NODE_NMT && device.node.outputs == IPCNET_NODE_SAFE);
    (void)hear(0, to_all, 2);
    pass(300000);
    CHECK(poses == 2 && (resets > 0) == (ways[i] == (char)129));
    if (ways[i] == (char)129) CHECK(command(0) == IPCNET_NODE_TAKEN && !ipcnet_node_device_send(&device, 0x185, (const uint8_t *)"\1", 1));
  }
  /* Reset communication: a boot-up message again, and no epoch is forgotten. */
  CHECK(device.node.epoch == 7 && device.state == IPCNET_NODE_OPERATIONAL && sent[1].data[0] == 0 && sent[2].data[0] == 5);
}

/* ---- Safe pose --------------------------------------------------------------------------------------------------------------------------- */

static void poses_once(void) {
  switch_on(500000);
  poll(0);
  pass(1000000);
  CHECK(poses == 1); /* safe all along */
  move();
  sent_count = 0;
  pass(199000);
  CHECK(poses == 1);
  claim(1); /* feeds no dead-man */
  pass(1000);
  CHECK(poses == 2 && cause == IPCNET_NODE_DEAD_MAN && device.node.outputs == IPCNET_NODE_SAFE);
  pass(20000);
  CHECK(device.error_register == (IPCNET_NODE_ERROR_GENERIC | IPCNET_NODE_ERROR_COMMUNICATION));
  expect_last_emcy("\x50\x82\x11\0\0\0\0\0");
  move();
  pass(20000);
  expect_last_emcy("\0\0\0\x50\x82\0\0\0");
  claim(4);
  CHECK(poses == 3 && cause == IPCNET_NODE_OWNER_RELEASED);
  CHECK(command(0) == IPCNET_NODE_REFUSED);

  /* The dead-man ran out just before the next command came: still an entry. */
  switch_on(500000);
  poll(0);
  move();
  now += 250000;
  CHECK(command(0) == 0 && poses == 2 && cause == IPCNET_NODE_DEAD_MAN && device.node.outputs == IPCNET_NODE_FOLLOW);

  switch_on(150000); /* shorter than the dead-man */
  poll(0);
  move();
  pass(150000);
  CHECK(poses == 2 && cause == IPCNET_NODE_OWNER_SILENT);

  switch_on(500000);
  poll(0);
  move();
  ipcnet_node_device_bus_off(&device, now);
  CHECK(poses == 2 && cause == IPCNET_NODE_BUS_OFF && command(0) == IPCNET_NODE_REFUSED);
  sent_count = 0;
  pass(300000);
  CHECK(sent_count == 0 && poses == 2);
  ipcnet_node_device_bus_on(&device);
  ipcnet_node_device_bus_on(&device);
  pass(30000);
  CHECK(sent_count == 3); /* a beat, the event, its end */
  expect_sent(1, 0x85, "\x40\x81\x11\0\0\0\0\0", 8);
  expect_sent(2, 0x85, "\0\0\0\x40\x81\0\0\0", 8);
  move();
  ipcnet_node_device_stop(&device);
  CHECK(poses == 3 && cause == IPCNET_NODE_APPLICATION);

  /* The gateway's heartbeat, watched from its first. */
  switch_on(500000);
  poll(0);
  CHECK(hear(0x700 + GATEWAY, "\5", 1) == IPCNET_NODE_TAKEN);
  for (int i = 0; i < 3; i++) { pass(99000); move(); }
  pass(3000);
  CHECK(poses == 2 && cause == IPCNET_NODE_GATEWAY_SILENT && command(0) == IPCNET_NODE_REFUSED);
  CHECK(hear(0x700 + GATEWAY, "\5", 1) == IPCNET_NODE_TAKEN && command(0) == 0);
  pass(30000);
  expect_last_emcy("\0\0\0\x30\x81\0\0\0");
  CHECK(hear(0x705, "\5", 1) == IPCNET_NODE_TAKEN && device.same_number_heard == 1);
  pass(30000);
  expect_last_emcy("\x50\x81\x11\0\0\0\0\0");
}

/* ---- EMCY -------------------------------------------------------------------------------------------------------------------------------- */

static void emcy(void) {
  switch_on(500000);
  poll(0);
  poll(0);
  sent_count = 0;
  CHECK(!ipcnet_node_emcy_raise(&device, 0, 0, NULL) && !ipcnet_node_emcy_clear(&device, 0) && !ipcnet_node_emcy_clear(&device, 0x4310));
  CHECK(ipcnet_node_emcy_raise(&device, 0x4310, IPCNET_NODE_ERROR_TEMPERATURE, (const uint8_t *)"\1\2\3\4\5"));
  CHECK(!ipcnet_node_emcy_raise(&device, 0x4310, IPCNET_NODE_ERROR_TEMPERATURE, NULL)); /* it stands already */
  CHECK(ipcnet_node_emcy_raise(&device, 0x2310, IPCNET_NODE_ERROR_CURRENT, NULL));
  CHECK(ipcnet_node_emcy_clear(&device, 0x4310));
  poll(1);
  poll(9999);
  CHECK(sent_count == 1);
  expect_sent(0, 0x85, "\x10\x43\x09\1\2\3\4\5", 8);
  poll(1);
  CHECK(sent_count == 2); /* the inhibit time to the microsecond */
  expect_sent(1, 0x85, "\x10\x23\x0B\0\0\0\0\0", 8);
  poll(10000);
  expect_sent(2, 0x85, "\0\0\x03\x10\x43\0\0\0", 8);
  /* Not while stopped; the newest four are told afterwards. */
  (void)hear(0, "\2\5", 2);
  for (uint16_t code = 0x5001; code <= 0x5007; code++) CHECK(ipcnet_node_emcy_raise(&device, code, 0, NULL));
  CHECK(!ipcnet_node_emcy_raise(&device, 0x5008, 0, NULL) && device.emcy_dropped == 4);
  sent_count = 0;
  pass(50000);
  CHECK(sent_count == 1 && sent[0].id == 0x705);
  (void)hear(0, "\1\5", 2);
  pass(50000);
  CHECK(sent_count == 6 && sent[2].data[0] == 4 && sent[5].data[0] == 7);
}

/* ---- SDO ----------------------------------------------------------------------------------------------------------------------------------- */

static void ask(const char *request, const char *answer) {
  sent_count = 0;
  CHECK(hear(0x605, request, 8) == IPCNET_NODE_TAKEN);
  expect_sent(0, 0x585, answer, 8);
}

static void sdo_server(void) {
  switch_on(500000);
  CHECK(hear(0x605, "\x40\x18\x10\1\0\0\0\0", 8) == IPCNET_NODE_TAKEN && sent_count == 0); /* not before the boot-up message */
  poll(0);
  poll(0);
  ask("\x40\x00\x10\0\0\0\0\0", "\x43\x00\x10\0\x92\x01\x02\0");
  ask("\x40\x18\x10\0\0\0\0\0", "\x4F\x18\x10\0\x04\0\0\0");
  ask("\x40\x18\x10\4\0\0\0\0", "\x43\x18\x10\4\xFE\xCA\0\0");
  ask("\x40\x18\x10\5\0\0\0\0", "\x80\x18\x10\5\x11\0\x09\x06");
  ask("\x40\x17\x10\0\0\0\0\0", "\x4B\x17\x10\0\x64\0\0\0");
  ask("\x40\x17\x10\1\0\0\0\0", "\x80\x17\x10\1\x11\0\x09\x06");
  ask("\x40\x34\x12\0\0\0\0\0", "\x80\x34\x12\0\0\0\x02\x06");
  ask("\x2B\x17\x10\0\1\0\0\0", "\x80\x17\x10\0\x02\0\x01\x06"); /* the period is not to be written */
  ask("\x40\x08\x10\0\0\0\0\0", "\x41\x08\x10\0\x0B\0\0\0");
  ask("\x60\0\0\0\0\0\0\0", "\x00" "elbow j");
  ask("\x70\0\0\0\0\0\0\0", "\x17" "oint\0\0\0");
  ask("\x60\0\0\0\0\0\0\0", "\x80\x08\x10\0\x01\0\x04\x05"); /* it is over */
  ask("\x40\x08\x10\0\0\0\0\0", "\x41\x08\x10\0\x0B\0\0\0");
  ask("\x70\0\0\0\0\0\0\0", "\x80\x08\x10\0\0\0\x03\x05");     /* toggle */
  ask("\xA4\x08\x10\0\x20\0\0\0", "\x80\x08\x10\0\x01\0\x04\x05"); /* block upload: none */
  /* Time-out, abort, no room, other numbers, short frames. */
  ask("\x40\x08\x10\0\0\0\0\0", "\x41\x08\x10\0\x0B\0\0\0");
  sent_count = 0;
  pass(1999000);
  int beats = sent_count;
  poll(1000);
  CHECK(sent_count >= beats + 1 && memcmp(sent[beats].data, "\x80\x08\x10\0\0\0\x04\x05", 8) == 0);
  ask("\x40\x08\x10\0\0\0\0\0", "\x41\x08\x10\0\x0B\0\0\0");
  sent_count = 0;
  (void)hear(0x605, "\x80\x08\x10\0\0\0\0\0", 8);
  CHECK(sent_count == 0 && sdo.doing == 0);
  full = true;
  (void)hear(0x605, "\x40\x18\x10\1\0\0\0\0", 8);
  full = false;
  poll(0);
  expect_sent(0, 0x585, "\x43\x18\x10\1\x34\x12\0\0", 8);
  CHECK(hear(0x606, "\x40\x18\x10\1\0\0\0\0", 8) == IPCNET_NODE_NOT_OURS && hear(0x605, "\x40\x18\x10\1\0\0\0", 7) == IPCNET_NODE_TAKEN && sent_count == 1);
  (void)hear(0, "\2\5", 2);
  sent_count = 0;
  CHECK(hear(0x605, "\x40\x18\x10\1\0\0\0\0", 8) == IPCNET_NODE_TAKEN && sent_count == 0); /* stopped: NMT and heartbeat alone */
}

/* ---- What may move it ---------------------------------------------------------------------------------------------------------------------- */

/* Every standard identifier, with the bytes of a command that would be accepted, in every state: only its own identifier, operational, moves it. */
static void sweep(void) {
  const char states[] = { 1, 2, (char)128 };
  for (size_t state = 0; state < sizeof states; state++) {
    for (uint32_t id = 0; id < 0x800 + 0x800; id++) {
      const uint32_t full_id = id < 0x800 ? id : (id - 0x800) | IPCNET_NODE_EXTENDED;
      switch_on(500000);
      poll(0);
      claim(1);
      const char to_all[2] = { states[state], 0 };
      (void)hear(0, to_all, 2);
      uint8_t frame[8] = { 0, 0, 0, 7 };
      (void)ipcnet_e2e_p05_protect(&commands[0].e2e, frame, 8, 9);
      const int heard = ipcnet_node_device_hear(&device, full_id, frame, 8, now);
      CHECK((heard >= 0) == (full_id == COMMAND_ID && states[state] == 1));
      CHECK((device.node.outputs == IPCNET_NODE_SAFE) == (heard < 0) && (poses == 1));
    }
  }
}

static uint32_t seed = 20261123;
static uint32_t chance(uint32_t below) {
  seed ^= seed << 13;
  seed ^= seed >> 17;
  seed ^= seed << 5;
  return seed % below;
}

/* Random frames on interesting identifiers, with all parts: nothing breaks, no hook without an entry, no motion without an accepted command, no flash written beyond its slot. */
static void switch_on_all(void) {
  switch_on(500000);
  ipcnet_node_update_init(&update, &sim.flash, 0, 3, 1000000, now);
  ipcnet_node_sdo_init(&sdo, &identity, &update.objects);
  ipcnet_node_time_init(&node_time, TIME_ID);
  device.parts = NULL;
  ipcnet_node_device_add(&device, &sdo.part);
  ipcnet_node_device_add(&device, &update.part);
  ipcnet_node_device_add(&device, &node_time.part);
}

static void random_frames(long count) {
  static uint8_t image[2048];
  sim_flash_init(&sim, 256, 8, 1024);
  sim_flash_program(&sim, 0, image, sim_image(&sim, image, 1, 1, 500));
  switch_on_all();
  const uint32_t ids[] = { 0, 0x10, 0x12, TIME_ID, COMMAND_ID, CONFIGURE_ID, 0x605, 0x605, 0x605, 0x605, 0x705, 0x700 + GATEWAY };
  const uint8_t firsts[] = { 0x00, 0x10, 0x20, 0x21, 0x23, 0x2F, 0x40, 0x60, 0x70, 0x80, 0xC0, 0xC2, 0xC6, 0xC1, 0xC5, 1, 2, 3, 0x81, 0x82 };
  const uint16_t objects[] = { 0x1000, 0x1001, 0x1008, 0x100A, 0x1017, 0x1018, 0x1F50, 0x1F50, 0x1F50, 0x1F51, 0x1F56, 0x2F00, 0x2F01 };
  for (long i = 0; i < count; i++) {
    uint8_t *frame = malloc(8); /* of its own: an access behind it is seen */
    uint32_t length = chance(10) == 0 ? chance(9) : 8;
    CHECK(frame != NULL);
    for (int j = 0; j < 8; j++) frame[j] = (uint8_t)(chance(3) == 0 ? chance(256) : chance(4));
    const uint32_t id = chance(20) == 0 ? chance(0x800) : ids[chance(sizeof ids / sizeof *ids)];
    if (id == 0x605) {
      const uint16_t index = objects[chance(sizeof objects / sizeof *objects)];
      frame[0] = firsts[chance(sizeof firsts)];
      if (frame[0] >= 0x20 && frame[0] != 0xC1) { frame[1] = (uint8_t)index; frame[2] = (uint8_t)(index >> 8); frame[3] = (uint8_t)chance(3); }
    }
    if (id == 0) frame[0] = (uint8_t)(chance(4) == 0 ? 128 + chance(3) : chance(3)), frame[1] = (uint8_t)(chance(2) * NUMBER);
    if (length < 8) frame = realloc(frame, length == 0 ? 1 : length);
    const uint8_t before = device.node.outputs;
    const int poses_before = poses;
    const int heard = chance(6) == 0 ? (claim(1), command(0)) : ipcnet_node_device_hear(&device, id, frame, length, now);
    if (heard < 0 && before == IPCNET_NODE_SAFE) CHECK(device.node.outputs == IPCNET_NODE_SAFE);
    CHECK(poses - poses_before <= 2);
    if (chance(3) == 0) poll(chance(40) == 0 ? chance(3000000) : chance(3000));
    full = chance(30) == 0;
    free(frame);
    if (resets > 0) switch_on_all();
  }
  CHECK(sim.violations == 0);
}

int main(void) {
  /* Without its table, and begun with 0 as SDO blocks want it (CRC-16/XMODEM). */
  CHECK(ipcnet_crc16_ibm_3740(IPCNET_CRC16_IBM_3740_START, (const uint8_t *)"123456789", 9) == 0x29B1 && ipcnet_crc16_ibm_3740(0, (const uint8_t *)"123456789", 9) == 0x31C3);
  boot_and_beat();
  nmt();
  poses_once();
  emcy();
  sdo_server();
  sweep();
  for (int round = 0; round < 300; round++) random_frames(2000);
  printf("device %zu bytes, sdo %zu, time %zu, update %zu\n", sizeof device, sizeof sdo, sizeof node_time, sizeof update);
  return EXIT_SUCCESS;
}
