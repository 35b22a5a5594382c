/*
 * Hostile bytes for everything the reflex reads: tables (a good one with a few numbers changed, sealed anew), commands, another's page, images from a disk, received frames, links, orders,
 * events of the twin in any order, clocks that jump. Under the sanitizers nothing may be touched that is not ours; and whatever comes, what is sent stays within the table:
 * identifiers of the table or ours, by an owner alone, within the message's limits.
 *   reflex_fuzz [SEED [LIVES]]
 */
#include <stdio.h>
#include <stdlib.h>

#include "../../../schemas/crc/c/ipcnet_crc_fast.h"
#include "core_rig.h"

#define CHECK(condition)                                                                                                                        \
  do {                                                                                                                                          \
    if (!(condition)) {                                                                                                                         \
      fprintf(stderr, "%s:%d: %s (seed %llu)\n", __FILE__, __LINE__, #condition, (unsigned long long)life_seed);                                \
      abort();                                                                                                                                  \
    }                                                                                                                                           \
  } while (0)

static uint64_t life_seed, state;
static struct core_rig rig;
static struct table_rig table;
static struct ipcnet_reflex_page *other;
static uint32_t looked;
static unsigned long tables_taken, frames_sent, steps_done;

static uint64_t draw(void)
{
  state ^= state << 13;
  state ^= state >> 7;
  state ^= state << 17;
  return state * 2685821657736338717u;
}

static uint32_t below(uint32_t bound)
{
  return (uint32_t)((draw() >> 32) * bound >> 32);
}

static bool one_in(uint32_t n)
{
  return below(n) == 0;
}

/* Numbers that break things: edges, neighbours of what was there, anything. */
static uint64_t odd_number(uint64_t was)
{
  static const uint64_t EDGES[] = {0, 1, 2, 3, 7, 8, 63, 64, 65, 127, 128, 255, 256, 511, 512, 513, 1023, 1024, 4096, 0x7FF, 0x800, 0xFFFE, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 1000, 60000000, 0x7FFFFFFFFFFFFFFF, 0x8000000000000000, UINT64_MAX};
  switch (below(4)) {
    case 0: return EDGES[below(sizeof EDGES / sizeof EDGES[0])];
    case 1: return was + 1 - below(3);
    case 2: return was ^ 1ull << below(64);
    default: return draw();
  }
}

static void disturb(uint8_t *bytes, size_t length)
{
  static const uint32_t SIZES[] = {1, 2, 4, 8};
  uint32_t size = SIZES[below(4)];
  if (length < size) return;
  size_t at = (draw() % (length - size + 1)) / size * size;
  uint64_t value = 0;
  memcpy(&value, bytes + at, size);
  value = odd_number(value);
  memcpy(bytes + at, &value, size);
}

/* ---- Tables ------------------------------------------------------------------------------------------------------------------------------------ */

static bool load_disturbed(uint32_t disturbances)
{
  rig_arm_table(&table);
  if (one_in(3)) table.buses[ARM_BUS].self_fence_us = 30000;
  if (one_in(3)) table.header.flags = 0;
  size_t length = 0;
  uint8_t *bytes = rig_table(&table, &length);
  const struct ipcnet_reflex_table_header *header = (const struct ipcnet_reflex_table_header *)(const void *)bytes;
  for (uint32_t i = 0; i < disturbances; i++) {
    uint32_t section = below(IPCNET_REFLEX_SECTIONS + 1);
    if (section == IPCNET_REFLEX_SECTIONS) disturb(bytes + 20, sizeof *header - 20);
    else disturb(bytes + header->sections[section].offset % length, header->sections[section].count * rig_row_bytes(section) % (length - header->sections[section].offset % length + 1));
  }
  if (!one_in(50)) rig_seal(bytes, length, (uint32_t)draw());
  struct ipcnet_reflex_table_fault fault = {.code = NULL};
  if (!ipcnet_reflex_load_table(rig.reflex, bytes, length, rig.now_us, &fault)) {
    CHECK(fault.code != NULL);
    free(bytes);
    return false;
  }
  free(rig.table_bytes);
  rig.table_bytes = bytes;
  rig.table_length = length;
  tables_taken++;
  return true;
}

/* ---- What is sent -------------------------------------------------------------------------------------------------------------------------------- */

static void look_at(const struct sent_frame *sent)
{
  const struct ipcnet_reflex_table *now = ipcnet_reflex_loaded_table(rig.reflex);
  CHECK(now != NULL && sent->bus < now->header->sections[IPCNET_REFLEX_BUSES].count);
  const struct ipcnet_reflex_bus *bus = &now->buses[sent->bus];
  CHECK(!(bus->flags & IPCNET_REFLEX_BUS_LISTEN_ONLY));
  CHECK(sent->role == IPCNET_TWIN_OWNER || sent->role == IPCNET_TWIN_CLAIMING);
  frames_sent++;
  if (sent->frame.token == IPCNET_CAN_PROBE_TOKEN) return;
  CHECK(sent->role == IPCNET_TWIN_OWNER || (sent->frame.can_id & ~3u) == bus->claim_id);
  if (bus->claim_id != IPCNET_REFLEX_NO_CLAIM_ID && (sent->frame.can_id & ~3u) == bus->claim_id) return;
  bool listed = false;
  for (uint32_t row = 0; row < now->header->sections[IPCNET_REFLEX_MESSAGES].count && !listed; row++) {
    const struct ipcnet_reflex_message *message = &now->messages[row];
    listed = message->bus == sent->bus && message->can_id == sent->frame.can_id && message->can_flags == sent->frame.flags && message->length_bytes == sent->frame.length_bytes;
  }
  CHECK(listed);
}

static void look(void)
{
  for (; looked < rig.sent_count; looked++) {
    if (rig.sent_count - looked <= RIG_LOG) look_at(&rig.sent[looked % RIG_LOG]);
  }
}

/* ---- Steps ---------------------------------------------------------------------------------------------------------------------------------------- */

static void hostile_page(void)
{
  if (one_in(2)) memcpy(other, rig.page, sizeof *other); /* like one of ours */
  for (uint32_t i = below(6); i > 0; i--) disturb((uint8_t *)other, sizeof *other);
  if (one_in(2)) {
    struct ipcnet_reflex_image *image = &other->images[below(2)];
    disturb((uint8_t *)image, sizeof *image);
    disturb((uint8_t *)&image->run, 64);
    image->crc32c = ipcnet_crc32_iscsi_fast(0, (const uint8_t *)image + 4, sizeof *image - 4);
  }
  rig.other = one_in(5) ? NULL : other;
}

static void hostile_frame(void)
{
  struct ipcnet_can_frame frame;
  uint8_t *bytes = (uint8_t *)&frame;
  switch (below(5)) {
    case 0:
      for (size_t i = 0; i < sizeof frame; i++) bytes[i] = (uint8_t)draw();
      break;
    case 1: frame = rig_claim_of(&rig, (enum ipcnet_claim_kind)below(6), (uint16_t)odd_number(rig_state(&rig).epoch), (uint8_t)below(5), (uint8_t)draw()); break;
    case 2:
      frame = rig_shoulder_state(&rig);
      if (one_in(2)) disturb(bytes, sizeof frame);
      break;
    case 3: frame = rig.sent_count > 0 ? rig.sent[(rig.sent_count - 1 - below(rig.sent_count < 50 ? rig.sent_count : 50)) % RIG_LOG].frame : rig_frame(&rig, 0, 0x101, 0, 8); frame.flags |= one_in(2) ? IPCNET_CAN_ECHO : 0; break;
    default: {
      static const uint32_t IDS[] = {0x101, 0x102, 0x103, 0x12345678, 0x200, 0x181, 0x705, 0x80, 0x283, 0x10, 0x7FF};
      frame = rig_frame(&rig, (uint8_t)below(3), IDS[below(11)], one_in(4) ? IPCNET_CAN_EXTENDED : 0, (uint8_t)below(9));
      for (unsigned i = 0; i < 8; i++) frame.data[i] = (uint8_t)draw();
    }
  }
  struct ipcnet_can_frame *exact = malloc(sizeof frame);
  *exact = frame;
  ipcnet_reflex_frames(rig.reflex, (uint8_t)(one_in(10) ? draw() : frame.bus), exact, 1, rig.now_us);
  free(exact);
}

static void hostile_command(void)
{
  struct ipcnet_reflex_command command = rig_make(&rig, (uint16_t)(one_in(4) ? odd_number(0) : below(5)));
  if (one_in(2)) disturb((uint8_t *)&command, sizeof command);
  size_t length = one_in(20) ? below(200) : sizeof command;
  uint8_t *exact = malloc(length + 1);
  memset(exact, 0x55, length);
  memcpy(exact, &command, length < sizeof command ? length : sizeof command);
  ipcnet_reflex_command(rig.reflex, exact, length, rig.now_us);
  free(exact);
}

static void hostile_link(void)
{
  struct ipcnet_can_link_event event = {.kind = one_in(10) ? (uint32_t)draw() : below(12), .a = (uint32_t)odd_number(0), .b = below(3), .key = draw()};
  struct ipcnet_can_link link = {.up = true, .bitrate_bps = (uint32_t)odd_number(500000), .data_bitrate_bps = (uint32_t)odd_number(0), .bus_state = (uint8_t)below(6), .bus_state_known = one_in(2)};
  ipcnet_reflex_link(rig.reflex, (uint8_t)(one_in(10) ? draw() : below(3)), &event, one_in(2) ? &link : NULL, rig.now_us);
}

static void one_step(void)
{
  if (one_in(200)) rig.now_us = one_in(2) ? rig.now_us + draw() % 100000000 : rig.now_us; /* the process stood still */
  switch (below(16)) {
    case 0: case 1: rig_run(&rig, 1000 * below(20)); break;
    case 2: case 3: case 4: hostile_frame(); break;
    case 5: case 6: case 7: hostile_command(); break;
    case 8: hostile_link(); break;
    case 9: case 10: ipcnet_reflex_order(rig.reflex, (enum ipcnet_reflex_order)(one_in(20) ? (uint32_t)draw() : below(IPCNET_ORDERS + 1)), (uint32_t)(one_in(3) ? odd_number(0) : below(12)), below(4), one_in(2) ? rig.journal.run.run_id : draw(), rig.now_us); break;
    case 11:
      if (one_in(4)) rig_event(&rig, (enum ipcnet_twin_event)below(IPCNET_TWIN_EVENTS));
      break;
    case 12:
      if (one_in(8)) hostile_page();
      rig_event(&rig, one_in(2) ? IPCNET_TWIN_OTHER_HOST_SILENT : one_in(2) ? IPCNET_TWIN_OWNER_DEAD : IPCNET_TWIN_LOCK_GRANTED);
      break;
    case 13: rig.verdict[below(3)] = one_in(2) ? IPCNET_CAN_QUEUED : (enum ipcnet_can_verdict)below(8); break;
    case 14:
      rig.echoes[below(3)] = !one_in(4);
      rig.plant = !one_in(5);
      rig.pressed = one_in(10);
      rig.velocity = (int16_t)(one_in(3) ? 100 : 0);
      rig.strain = (int8_t)draw();
      break;
    default:
      if (one_in(40) && load_disturbed(below(3))) rig_links_up(&rig);
      looked = rig.sent_count; /* (what was sent before belongs to the table before) */
  }
  ipcnet_reflex_healthy(rig.reflex, rig.now_us);
  CHECK(ipcnet_reflex_next_deadline_us(rig.reflex) > 0 || rig.now_us > 0);
  look();
  steps_done++;
}

static void one_life(uint64_t seed)
{
  life_seed = seed;
  state = seed * 0x9E3779B97F4A7C15u + 1;
  rig_begin(&rig, (uint8_t)below(2));
  looked = 0;
  memset(other, 0, IPCNET_REFLEX_PAGE_BYTES);
  hostile_page();
  if (one_in(2)) {
    struct ipcnet_reflex_image image;
    memset(&image, 0, sizeof image);
    image.sequence = 1 + below(5);
    image.epoch = (uint16_t)odd_number(3);
    image.arming = (uint16_t)below(6);
    image.run.plan = (uint16_t)below(4);
    image.run.run_id = below(3);
    for (uint32_t i = below(10); i > 0; i--) disturb((uint8_t *)&image, 200);
    image.crc32c = ipcnet_crc32_iscsi_fast(0, (const uint8_t *)&image + 4, sizeof image - 4);
    ipcnet_reflex_restore(rig.reflex, &image, rig.now_us);
  }
  if (!load_disturbed(below(4))) load_disturbed(0);
  rig_links_up(&rig);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  rig_run(&rig, 150000);
  rig_order(&rig, IPCNET_ORDER_ARM, 0, 0);
  for (uint32_t steps = 150 + below(150); steps > 0; steps--) one_step();
  rig_end(&rig);
}

/* Tables alone: many more of them. */
static void many_tables(uint32_t count)
{
  rig_begin(&rig, 0);
  for (uint32_t i = 0; i < count; i++) load_disturbed(1 + below(3));
  rig_end(&rig);
}

int main(int argc, char **argv)
{
  uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
  uint32_t lives = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 0) : 200;
  other = aligned_alloc(64, IPCNET_REFLEX_PAGE_BYTES);
  for (uint32_t life = 0; life < lives; life++) one_life(seed + life);
  state = seed * 77 + 1;
  many_tables(lives * 50);
  free(other);
  printf("reflex_fuzz: %u lives, %lu steps, %lu tables taken, %lu frames sent\n", lives, steps_done, tables_taken, frames_sent);
  return 0;
}
