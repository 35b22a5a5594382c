/*
 * The MCP2515's driver against a model of the chip: its registers, instructions, buffers, priorities, abort and modes as the data sheet DS20001801 has them. Not modelled: bit timing on the wire,
 * filters (the driver uses none), sleep, the interrupt pin.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipcnet_mcp2515.h"

#define CHECK(holds) do { if (!(holds)) { fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #holds); exit(EXIT_FAILURE); } } while (0)

/* ---- The chip ------------------------------------------------------------------------------------------------------------------------------- */

enum { CANSTAT = 0x0E, CANCTRL = 0x0F, TEC = 0x1C, CNF1 = 0x2A, CANINTF = 0x2C, EFLG = 0x2D, TXREQ = 0x08 };
static struct {
  uint8_t registers[128];
  bool unplugged;       /* MISO floats high */
  int deaf_polls;       /* so many reads of CANSTAT until a mode is entered */
  uint8_t wanted_mode;
  bool fill_on_next_transaction; /* a frame comes while the driver looks away */
  struct ipcnet_can_frame waiting;
} chip;

static void enter(uint8_t mode) {
  chip.registers[CANSTAT] = (uint8_t)((chip.registers[CANSTAT] & 0x1F) | mode);
}

static void chip_reset(void) {
  memset(chip.registers, 0, sizeof chip.registers);
  chip.registers[CANCTRL] = 0x87;
  chip.wanted_mode = 0x80;
  enter(0x80);
}

static void put_id(uint8_t *at, const struct ipcnet_can_frame *frame) {
  if ((frame->id & IPCNET_CAN_EXTENDED) != 0) {
    const uint32_t standard = frame->id >> 18 & 0x7FF;
    at[0] = (uint8_t)(standard >> 3);
    at[1] = (uint8_t)((standard & 7) << 5 | 0x08 | (frame->id >> 16 & 3));
    at[2] = (uint8_t)(frame->id >> 8);
    at[3] = (uint8_t)frame->id;
  } else {
    at[0] = (uint8_t)(frame->id >> 3);
    at[1] = (uint8_t)((frame->id & 7) << 5);
    at[2] = at[3] = 0;
  }
}

/* A frame from the bus; false: overrun. */
static bool arrives(const struct ipcnet_can_frame *frame, bool remote) {
  uint8_t *r = chip.registers;
  if ((r[CANSTAT] & 0xE0) != 0 && (r[CANSTAT] & 0xE0) != 0x60) return false;
  CHECK((r[0x60] & 0x60) == 0x60 && (r[0x70] & 0x60) == 0x60);
  int buffer = 0;
  if ((r[CANINTF] & 1) != 0) {
    CHECK((r[0x60] & 0x04) != 0);
    if ((r[CANINTF] & 2) != 0) {
      r[EFLG] |= 0x80;
      return false;
    }
    buffer = 1;
  }
  uint8_t *at = &r[0x61 + 0x10 * buffer];
  put_id(at, frame);
  at[4] = frame->length;
  if (remote) {
    if ((frame->id & IPCNET_CAN_EXTENDED) != 0) at[4] |= 0x40;
    else at[1] |= 0x10;
  }
  memcpy(at + 5, frame->data, 8);
  r[CANINTF] |= (uint8_t)(1 << buffer);
  return true;
}

/* The bus lets the chip send one frame: that of the highest priority, of equals that in the highest buffer. False: nothing waits. */
static bool leaves(struct ipcnet_can_frame *frame) {
  uint8_t *r = chip.registers;
  int best = -1;
  if ((r[CANSTAT] & 0xE0) != 0) return false;
  for (int buffer = 0; buffer < 3; buffer++) {
    const uint8_t control = r[0x30 + 0x10 * buffer];
    if ((control & TXREQ) != 0 && (best < 0 || (control & 3) >= (r[0x30 + 0x10 * best] & 3))) best = buffer;
  }
  if (best < 0) return false;
  const uint8_t *at = &r[0x31 + 0x10 * best];
  const uint32_t standard = (uint32_t)at[0] << 3 | at[1] >> 5;
  frame->id = (at[1] & 0x08) != 0 ? IPCNET_CAN_EXTENDED | standard << 18 | (uint32_t)(at[1] & 3) << 16 | (uint32_t)at[2] << 8 | at[3] : standard;
  frame->length = at[4] & 0x0F;
  memcpy(frame->data, at + 5, 8);
  r[0x30 + 0x10 * best] &= (uint8_t)~TXREQ;
  r[CANINTF] |= (uint8_t)(4 << best);
  return true;
}

static void write_register(uint8_t address, uint8_t value) {
  const bool configuration = (chip.registers[CANSTAT] & 0xE0) == 0x80;
  CHECK(address < 128);
  if (address >= 0x28 && address <= 0x2A && !configuration) return;
  if (address == CANSTAT) return;
  chip.registers[address] = value;
  if (address == CANCTRL) {
    chip.wanted_mode = value & 0xE0;
    if ((value & 0x10) != 0) for (int buffer = 0; buffer < 3; buffer++) chip.registers[0x30 + 0x10 * buffer] &= (uint8_t)~TXREQ;
    if (chip.deaf_polls == 0) enter(chip.wanted_mode);
  }
}

static uint8_t read_register(uint8_t address) {
  CHECK(address < 128);
  if (address == CANSTAT && chip.deaf_polls > 0 && --chip.deaf_polls == 0) enter(chip.wanted_mode);
  return chip.registers[address];
}

static void transfer(void *context, const uint8_t *out, uint8_t *in, size_t length) {
  (void)context;
  memset(in, 0xFF, length);
  if (chip.unplugged) return;
  const uint8_t instruction = out[0];
  uint8_t *r = chip.registers;
  if (instruction == 0xC0) {
    CHECK(length == 1);
    chip_reset();
  } else if (instruction == 0x03) {
    for (size_t i = 2; i < length; i++) in[i] = read_register((uint8_t)(out[1] + i - 2));
  } else if (instruction == 0x02) {
    for (size_t i = 2; i < length; i++) write_register((uint8_t)(out[1] + i - 2), out[i]);
  } else if (instruction == 0x05) {
    CHECK(length == 4);
    write_register(out[1], (uint8_t)((r[out[1]] & ~out[2]) | (out[3] & out[2])));
  } else if (instruction == 0xA0) {
    for (size_t i = 1; i < length; i++) {
      in[i] = (uint8_t)((r[CANINTF] & 3) | (r[0x30] & TXREQ) >> 1 | (r[CANINTF] & 4) << 1 | (r[0x40] & TXREQ) << 1 | (r[CANINTF] & 8) << 2 | (r[0x50] & TXREQ) << 3 | (r[CANINTF] & 16) << 3);
    }
  } else if ((instruction & 0xF9) == 0x90) {
    const int buffer = (instruction & 4) != 0;
    CHECK((instruction & 2) == 0);
    for (size_t i = 1; i < length; i++) in[i] = r[0x61 + 0x10 * buffer + (int)i - 1];
    /* Still full while it is read. */
    if (chip.fill_on_next_transaction) {
      chip.fill_on_next_transaction = false;
      CHECK(arrives(&chip.waiting, false));
    }
    r[CANINTF] &= (uint8_t)~(1 << buffer);
  } else if ((instruction & 0xF8) == 0x40) {
    const int buffer = (instruction & 7) >> 1;
    CHECK((instruction & 1) == 0 && buffer < 3 && (r[0x30 + 0x10 * buffer] & TXREQ) == 0);
    for (size_t i = 1; i < length; i++) r[0x31 + 0x10 * buffer + (int)i - 1] = out[i];
  } else if ((instruction & 0xF8) == 0x80) {
    for (int buffer = 0; buffer < 3; buffer++) if ((instruction >> buffer & 1) != 0) r[0x30 + 0x10 * buffer] |= TXREQ;
  } else {
    fprintf(stderr, "no such instruction: %02x\n", instruction);
    exit(EXIT_FAILURE);
  }
}

/* ---- The driver ------------------------------------------------------------------------------------------------------------------------------ */

static struct ipcnet_mcp2515 driver;
static struct ipcnet_can can;
static const struct ipcnet_mcp2515_options options = { .spi = { .transfer = transfer }, .crystal_hz = 16000000, .bitrate_bps = 500000 };

static void start(void) {
  memset(&chip, 0, sizeof chip);
  chip_reset();
  CHECK(ipcnet_mcp2515_start(&driver, &options));
  can = ipcnet_mcp2515_can(&driver);
  CHECK(can.health(can.context) == IPCNET_CAN_ACTIVE);
}

static struct ipcnet_can_frame numbered(uint32_t number) {
  struct ipcnet_can_frame frame = { .id = number % 3 == 0 ? IPCNET_CAN_EXTENDED | (number * 0x10203u & 0x1FFFFFFFu) : number & 0x7FF, .length = (uint8_t)(number % 9) };
  for (uint8_t i = 0; i < frame.length; i++) frame.data[i] = (uint8_t)(number + i);
  return frame;
}

static bool same(const struct ipcnet_can_frame *a, const struct ipcnet_can_frame *b) {
  return a->id == b->id && a->length == b->length && memcmp(a->data, b->data, b->length) == 0;
}

static void bit_rates(void) {
  static const uint32_t crystals[] = { 8000000, 16000000, 20000000 }, rates[] = { 125000, 250000, 500000, 1000000 };
  uint8_t timing[3];
  for (int c = 0; c < 3; c++) {
    for (int b = 0; b < 4; b++) {
      const bool possible = ipcnet_mcp2515_timing(crystals[c], rates[b], timing);
      CHECK(possible == !(crystals[c] == 8000000 && rates[b] == 1000000));
      if (!possible) continue;
      const uint32_t propagation = (timing[1] & 7u) + 1, phase1 = (timing[1] >> 3 & 7u) + 1, phase2 = (timing[0] & 7u) + 1, quanta = 1 + propagation + phase1 + phase2;
      CHECK(crystals[c] / (2 * ((timing[2] & 0x3Fu) + 1) * quanta) == rates[b] && crystals[c] % (2 * ((timing[2] & 0x3Fu) + 1) * quanta) == 0);
      /* What the data sheet demands of the segments. */
      CHECK(propagation + phase1 >= phase2 && phase2 >= 2 && phase2 > 1u + (timing[2] >> 6) && (timing[1] & 0x80) != 0);
      const uint32_t sample_percent = 100 * (quanta - phase2) / quanta;
      CHECK(sample_percent >= 75 && sample_percent <= 85);
    }
  }
  CHECK(!ipcnet_mcp2515_timing(16000000, 0, timing) && !ipcnet_mcp2515_timing(16000000, 333333, timing) && !ipcnet_mcp2515_timing(0, 500000, timing));
}

static void nobody_there(void) {
  memset(&chip, 0, sizeof chip);
  chip.unplugged = true;
  CHECK(!ipcnet_mcp2515_start(&driver, &options));
  memset(&chip, 0, sizeof chip);
  chip_reset();
  chip.deaf_polls = 5;
  CHECK(ipcnet_mcp2515_start(&driver, &options));
  chip.deaf_polls = 1 << 20;
  can = ipcnet_mcp2515_can(&driver);
  can.restart(can.context);
  CHECK(can.health(can.context) == IPCNET_CAN_BUS_OFF);
}

/* Two sequences at random speeds: what is sent leaves in order, what arrives comes in order, nothing twice, nothing lost but what is told. */
static void in_order(uint32_t seed) {
  uint32_t random = seed | 1, sent = 0, left = 0, arrived = 0, received = 0;
  start();
  for (int step = 0; step < 20000; step++) {
    random ^= random << 13;
    random ^= random >> 17;
    random ^= random << 5;
    struct ipcnet_can_frame frame;
    switch (random % 4) {
      case 0: {
        const struct ipcnet_can_frame next = numbered(sent);
        if (can.send(can.context, next.id, next.data, next.length)) sent++;
        else CHECK(sent - left >= 1 && sent - left <= 3);
        break;
      }
      case 1:
        if (leaves(&frame)) {
          const struct ipcnet_can_frame expected = numbered(left++);
          CHECK(same(&frame, &expected));
        } else CHECK(left == sent);
        break;
      case 2:
        frame = numbered(arrived);
        if ((random >> 8) % 3 == 0 && arrived == received + 1 && !chip.fill_on_next_transaction) {
          chip.waiting = frame;
          chip.fill_on_next_transaction = true;
          arrived++;
        } else if (!chip.fill_on_next_transaction && arrived - received < 2) {
          CHECK(arrives(&frame, false));
          arrived++;
        }
        break;
      default:
        if (can.receive(can.context, &frame)) {
          const struct ipcnet_can_frame expected = numbered(received++);
          CHECK(same(&frame, &expected));
        } else CHECK(received == arrived);
    }
  }
  CHECK(left > 1000 && received > 1000 && driver.overflows == 0);
}

static void what_is_not_taken(void) {
  struct ipcnet_can_frame frame = numbered(7), other = numbered(8), got;
  start();
  CHECK(!can.send(can.context, 1, frame.data, 9));
  CHECK(arrives(&frame, true) && arrives(&other, false));
  CHECK(can.receive(can.context, &got) && same(&got, &other) && driver.remote_frames == 1);
  frame = numbered(9);
  CHECK(arrives(&frame, true) && !can.receive(can.context, &got) && driver.remote_frames == 2);
  frame.length = 15;
  CHECK(arrives(&frame, false) && can.receive(can.context, &got) && got.length == 8);
  for (uint32_t i = 1; i < 3; i++) {
    frame = numbered(i);
    CHECK(arrives(&frame, false));
  }
  CHECK(!arrives(&frame, false));
  CHECK(can.health(can.context) == IPCNET_CAN_ACTIVE && driver.overflows == 1 && (chip.registers[EFLG] & 0xC0) == 0);
  CHECK(can.health(can.context) == IPCNET_CAN_ACTIVE && driver.overflows == 1);
}

static void bus_off_sends_nothing_old(void) {
  struct ipcnet_can_frame frame = numbered(1), got;
  start();
  chip.registers[EFLG] = 0x05;
  CHECK(can.health(can.context) == IPCNET_CAN_WARNING);
  chip.registers[EFLG] = 0x15;
  CHECK(can.health(can.context) == IPCNET_CAN_PASSIVE);
  for (int i = 0; i < 3; i++) CHECK(can.send(can.context, frame.id, frame.data, frame.length));
  CHECK(!can.send(can.context, frame.id, frame.data, frame.length));
  chip.registers[EFLG] = 0x35;
  CHECK(can.health(can.context) == IPCNET_CAN_BUS_OFF && driver.bus_offs == 1);
  /* The chip has recovered by itself; without the driver it would send three frames now. */
  chip.registers[EFLG] = 0;
  CHECK(!leaves(&got) && can.health(can.context) == IPCNET_CAN_BUS_OFF && !can.send(can.context, 1, frame.data, 1));
  CHECK((chip.registers[CANSTAT] & 0xE0) == 0x60);
  can.restart(can.context);
  CHECK(can.health(can.context) == IPCNET_CAN_ACTIVE && !leaves(&got));
  CHECK(can.send(can.context, frame.id, frame.data, frame.length) && leaves(&got) && same(&got, &frame) && !leaves(&got));
  for (int i = 0; i < 3; i++) CHECK(can.send(can.context, frame.id, frame.data, frame.length));
  can.purge(can.context);
  CHECK(!leaves(&got) && can.send(can.context, frame.id, frame.data, frame.length) && leaves(&got));
}

int main(void) {
  bit_rates();
  nobody_there();
  for (uint32_t seed = 1; seed <= 20; seed++) in_order(seed * 7919);
  what_is_not_taken();
  bus_off_sends_nothing_old();
  puts("MCP2515: as its model demands");
  return EXIT_SUCCESS;
}
