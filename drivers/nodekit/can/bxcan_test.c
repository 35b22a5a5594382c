/* bxCAN's driver against a model of the registers that it uses, as RM0008 has them: modes, three mailboxes, abort, a FIFO of three, error states. Not modelled: bit timing on the wire, other filters, interrupts. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipcnet_bxcan.h"

#define CHECK(holds) do { if (!(holds)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #holds); exit(EXIT_FAILURE); } } while (0)

enum { MAILBOXES = 3, DEPTH = 3 };
static struct {
  uint32_t mcr, btr, esr, fmr, fa1r, words[256];
  bool clocked, overrun;
  uint32_t mailbox[MAILBOXES][4], order[MAILBOXES], requests;
  uint32_t fifo[DEPTH][4];
  int filled, sent_out_of_order;
} chip;

static bool initialising(void) { return chip.clocked && (chip.mcr & 1) != 0; }
static bool takes_part(void) { return chip.clocked && (chip.mcr & 3) == 0 && (chip.esr & 4) == 0 && (chip.fa1r & 1) != 0 && (chip.fmr & 1) == 0; }

static uint32_t read_register(void *context, uint32_t offset) {
  (void)context;
  switch (offset) {
    case 0x000: return chip.mcr;
    case 0x004: return (initialising() ? 1u : 0u) | ((chip.mcr & 2) != 0 ? 2u : 0u);
    case 0x008: {
      uint32_t tsr = 0;
      for (int i = 0; i < MAILBOXES; i++) if ((chip.mailbox[i][0] & 1) == 0) tsr |= 1u << (26 + i);
      return tsr;
    }
    case 0x00C: return (uint32_t)chip.filled | (chip.filled == DEPTH ? 8u : 0u) | (chip.overrun ? 16u : 0u);
    case 0x018: return chip.esr;
    case 0x01C: return chip.btr;
    case 0x200: return chip.fmr;
    case 0x1B0: case 0x1B4: case 0x1B8: case 0x1BC: CHECK(chip.filled > 0); return chip.fifo[0][(offset - 0x1B0) / 4];
    default: CHECK(offset < 0x400); return chip.words[offset / 4];
  }
}

static void write_register(void *context, uint32_t offset, uint32_t value) {
  (void)context;
  if (offset >= 0x180 && offset < 0x1B0) {
    const uint32_t i = (offset - 0x180) / 0x10, word = (offset & 0xF) / 4;
    CHECK((chip.mailbox[i][0] & 1) == 0);
    chip.mailbox[i][word] = value;
    if (word == 0 && (value & 1) != 0) chip.order[i] = ++chip.requests;
    return;
  }
  switch (offset) {
    case 0x000:
      if (initialising() && (value & 1) == 0 && (chip.esr & 4) != 0) chip.esr |= 0x100; /* recovery begins: the test ends it */
      chip.mcr = value;
      break;
    case 0x008: for (int i = 0; i < MAILBOXES; i++) if ((value >> (7 + 8 * i) & 1) != 0) chip.mailbox[i][0] &= ~1u; break;
    case 0x00C:
      if ((value & 16) != 0) chip.overrun = false;
      if ((value & 32) != 0 && chip.filled > 0) memmove(chip.fifo[0], chip.fifo[1], sizeof chip.fifo[0] * (size_t)--chip.filled);
      break;
    case 0x01C: CHECK(initialising()); chip.btr = value; break;
    case 0x200: chip.fmr = value; break;
    case 0x21C: CHECK((chip.fmr & 1) != 0); chip.fa1r = value; break;
    default: CHECK(offset < 0x400); chip.words[offset / 4] = value;
  }
}

static bool leaves(struct ipcnet_can_frame *frame) {
  int best = -1;
  if (!takes_part()) return false;
  CHECK((chip.mcr & 4) != 0); /* else the lowest identifier would go first */
  for (int i = 0; i < MAILBOXES; i++) if ((chip.mailbox[i][0] & 1) != 0 && (best < 0 || chip.order[i] < chip.order[best])) best = i;
  if (best < 0) return false;
  const uint32_t *m = chip.mailbox[best];
  frame->id = (m[0] & 4) != 0 ? IPCNET_CAN_EXTENDED | m[0] >> 3 : m[0] >> 21;
  frame->length = (uint8_t)(m[1] & 15);
  for (int i = 0; i < 8; i++) frame->data[i] = (uint8_t)(m[2 + i / 4] >> (8 * (i % 4)));
  chip.mailbox[best][0] &= ~1u;
  return true;
}

static bool arrives(const struct ipcnet_can_frame *frame, bool remote) {
  if (!takes_part()) return false;
  if (chip.filled == DEPTH) {
    CHECK((chip.mcr & 8) != 0); /* keeps the oldest */
    chip.overrun = true;
    return false;
  }
  uint32_t *at = chip.fifo[chip.filled++];
  at[0] = ((frame->id & IPCNET_CAN_EXTENDED) != 0 ? (frame->id & 0x1FFFFFFF) << 3 | 4u : frame->id << 21) | (remote ? 2u : 0u);
  at[1] = frame->length;
  at[2] = at[3] = 0;
  for (int i = 0; i < 8; i++) at[2 + i / 4] |= (uint32_t)frame->data[i] << (8 * (i % 4));
  return true;
}

static struct ipcnet_bxcan driver;
static struct ipcnet_can can;
static const struct ipcnet_bxcan_options options = { .registers = { .read = read_register, .write = write_register }, .clock_hz = 36000000, .bitrate_bps = 500000 };

static void start(void) {
  memset(&chip, 0, sizeof chip);
  chip.clocked = true;
  chip.mcr = 2;
  CHECK(ipcnet_bxcan_start(&driver, &options));
  can = ipcnet_bxcan_can(&driver);
  CHECK(takes_part() && can.health(can.context) == IPCNET_CAN_ACTIVE);
}

static struct ipcnet_can_frame numbered(uint32_t number) {
  struct ipcnet_can_frame frame = { .id = number % 3 == 0 ? IPCNET_CAN_EXTENDED | (number * 0x10203u & 0x1FFFFFFFu) : (2000 - number) & 0x7FF, .length = (uint8_t)(number % 9) };
  for (uint8_t i = 0; i < frame.length; i++) frame.data[i] = (uint8_t)(number + i);
  return frame;
}

static bool same(const struct ipcnet_can_frame *a, const struct ipcnet_can_frame *b) {
  return a->id == b->id && a->length == b->length && memcmp(a->data, b->data, b->length) == 0;
}

static void bit_rates(void) {
  static const uint32_t clocks[] = { 36000000, 42000000, 48000000, 30000000, 8000000 }, rates[] = { 125000, 250000, 500000, 1000000 };
  uint32_t btr = 0;
  for (int c = 0; c < 5; c++) {
    for (int b = 0; b < 4; b++) {
      CHECK(ipcnet_bxcan_timing(clocks[c], rates[b], &btr));
      const uint32_t before = (btr >> 16 & 15) + 1, behind = (btr >> 20 & 7) + 1, quanta = 1 + before + behind, divider = (btr & 1023) + 1;
      CHECK((uint64_t)rates[b] * quanta * divider == clocks[c]);
      CHECK(100 * (quanta - behind) / quanta >= 75 && 100 * (quanta - behind) / quanta <= 88 && (btr & 0xC0000000u) == 0);
    }
  }
  CHECK(!ipcnet_bxcan_timing(36000000, 0, &btr) && !ipcnet_bxcan_timing(36000000, 999999, &btr));
}

static void in_order(uint32_t seed) {
  uint32_t random = seed, sent = 0, left = 0, arrived = 0, received = 0;
  start();
  for (int step = 0; step < 20000; step++) {
    random ^= random << 13;
    random ^= random >> 17;
    random ^= random << 5;
    struct ipcnet_can_frame frame;
    struct ipcnet_can_frame expected;
    switch (random % 4) {
      case 0:
        frame = numbered(sent);
        if (can.send(can.context, frame.id, frame.data, frame.length)) sent++;
        else CHECK(sent - left == MAILBOXES);
        break;
      case 1:
        expected = numbered(left);
        if (leaves(&frame)) { CHECK(same(&frame, &expected)); left++; }
        else CHECK(left == sent);
        break;
      case 2:
        frame = numbered(arrived);
        if (chip.filled < DEPTH) { CHECK(arrives(&frame, false)); arrived++; }
        break;
      default:
        expected = numbered(received);
        if (can.receive(can.context, &frame)) { CHECK(same(&frame, &expected)); received++; }
        else CHECK(received == arrived);
    }
  }
  CHECK(left > 1000 && received > 1000 && driver.overflows == 0);
}

static void the_rest(void) {
  struct ipcnet_can_frame frame = numbered(7), got;
  memset(&chip, 0, sizeof chip);
  CHECK(!ipcnet_bxcan_start(&driver, &options)); /* no clock */
  start();
  CHECK(!can.send(can.context, 1, frame.data, 9));
  CHECK(arrives(&frame, true) && !can.receive(can.context, &got) && driver.remote_frames == 1);
  for (int i = 0; i < DEPTH; i++) CHECK(arrives(&frame, false));
  CHECK(!arrives(&frame, false) && can.receive(can.context, &got) && driver.overflows == 1);
  while (can.receive(can.context, &got)) {}
  chip.esr = 1;
  CHECK(can.health(can.context) == IPCNET_CAN_WARNING);
  chip.esr = 3;
  CHECK(can.health(can.context) == IPCNET_CAN_PASSIVE);
  for (int i = 0; i < MAILBOXES; i++) CHECK(can.send(can.context, frame.id, frame.data, frame.length));
  chip.esr = 7;
  CHECK(can.health(can.context) == IPCNET_CAN_BUS_OFF && !can.send(can.context, 1, frame.data, 1) && driver.bus_offs == 1);
  can.restart(can.context);
  CHECK(can.health(can.context) == IPCNET_CAN_BUS_OFF && (chip.esr & 0x100) != 0);
  chip.esr = 0; /* 128 times 11 recessive bits */
  CHECK(can.health(can.context) == IPCNET_CAN_ACTIVE && !leaves(&got)); /* nothing from before */
  CHECK(can.send(can.context, frame.id, frame.data, frame.length) && leaves(&got) && same(&got, &frame));
}

int main(void) {
  bit_rates();
  for (uint32_t seed = 1; seed <= 20; seed++) in_order(seed * 7919);
  the_rest();
  puts("bxCAN: as its model demands");
  return EXIT_SUCCESS;
}
