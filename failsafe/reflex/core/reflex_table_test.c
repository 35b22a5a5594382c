/* The table: what is good is taken, and whatever is not, whole or in one field, is refused by name. */
#include "reflex_plan.h"
#include "table_verdict.h"

static void test_good(void)
{
  struct ipcnet_reflex_table_fault fault;
  rig_arm_table(&rig);
  rig.generation = 77;
  size_t length = 0;
  uint8_t *bytes = rig_table(&rig, &length);
  struct ipcnet_reflex_table table;
  fault.code = "";
  bool good = ipcnet_reflex_table_open(&table, bytes, length, &fault);
  if (!good) fprintf(stderr, "%s in section %u row %u\n", fault.code, fault.section, fault.row);
  CHECK(good);
  if (!good) return;
  CHECK_INT(table.generation, 77);
  CHECK(strcmp(ipcnet_reflex_table_text(&table, table.messages[ELBOW].name), "elbow") == 0);
  CHECK(strcmp(ipcnet_reflex_table_text(&table, 1u << 30), "") == 0);
  CHECK_INT(table.header->sections[IPCNET_REFLEX_TRIGGERS].count, ARM_TRIGGERS);
  free(bytes);
}


/* ---- Fields --------------------------------------------------------------------------------------------------------------------------------- */

/* Bit by bit, as the DBC counts: little-endian upwards from the lowest bit; big-endian downwards from the highest, and from bit 0 of a byte to bit 7 of the next. */
static uint64_t slow_get(struct ipcnet_reflex_field field, const uint8_t *payload)
{
  uint64_t raw = 0;
  uint32_t at = field.start_bit;
  for (uint32_t i = 0; i < field.bits; i++) {
    uint64_t bit = payload[at / 8] >> at % 8 & 1u;
    if (field.flags & 1) {
      raw = raw << 1 | bit;
      at = at % 8 == 0 ? at + 15 : at - 1;
    } else {
      raw |= bit << i;
      at++;
    }
  }
  return raw;
}

static void test_fields(void)
{
  uint32_t state = 7, tried = 0;
  for (uint32_t start = 0; start < 128; start++) {
    for (uint32_t bits = 1; bits <= 64; bits++) {
      for (uint8_t flags = 0; flags < 4; flags++) {
        struct ipcnet_reflex_field field = RIG_FIELD((uint16_t)start, (uint8_t)bits, flags);
        uint32_t first = flags & 1 ? start / 8 * 8 + 7 - start % 8 : start;
        if (first + bits > 128) continue;
        uint32_t last_byte = (first + bits - 1) / 8;
        uint8_t *payload = malloc(last_byte + 1); /* not one byte more */
        for (uint32_t i = 0; i <= last_byte; i++) payload[i] = (uint8_t)((state = state * 1103515245u + 12345u) >> 16);
        uint64_t raw = slow_get(field, payload), mask = bits == 64 ? UINT64_MAX : (1ull << bits) - 1;
        uint64_t wanted = (flags & 2) && raw >> (bits - 1) & 1 ? raw | ~mask : raw;
        CHECK((uint64_t)ipcnet_reflex_field_get(field, payload) == wanted);
        uint8_t before[16];
        memcpy(before, payload, last_byte + 1);
        uint64_t value = (uint64_t)state * 0x9E3779B97F4A7C15u;
        ipcnet_reflex_field_set(field, payload, value);
        CHECK(slow_get(field, payload) == (value & mask));
        ipcnet_reflex_field_set(field, payload, raw);
        CHECK(memcmp(before, payload, last_byte + 1) == 0); /* nothing else was touched */
        free(payload);
        tried++;
      }
    }
  }
  CHECK(tried > 20000);
  uint8_t nothing = 0x5A;
  ipcnet_reflex_field_set(RIG_FIELD(0, 0, 0), &nothing, 99);
  CHECK_INT(nothing, 0x5A);
  CHECK_INT(ipcnet_reflex_field_get(RIG_FIELD(0, 0, 0), &nothing), 0);
}

static void test_numbers(void)
{
  static const float RISING[] = {-3.4e38f, -2.0f, -1.0f, -1e-40f, 0.0f, 1e-45f, 1.0f, 1.5f, 3e38f};
  int64_t before = INT64_MIN;
  for (unsigned i = 0; i < 9; i++) {
    uint8_t payload[4];
    memcpy(payload, &RISING[i], 4);
    int64_t raw = ipcnet_reflex_field_get(RIG_FIELD(0, 32, 4), payload);
    CHECK(raw > before);
    before = raw;
    double wide = (double)RISING[i];
    uint8_t eight[8];
    memcpy(eight, &wide, 8);
    int64_t raw64 = ipcnet_reflex_field_get(RIG_FIELD(0, 64, 4), eight);
    CHECK((raw64 > 0) == (raw > 0) && (raw64 < 0) == (raw < 0));
  }
  uint8_t minus_zero[8] = {0, 0, 0, 0, 0, 0, 0, 0x80};
  CHECK_INT(ipcnet_reflex_field_get(RIG_FIELD(0, 64, 4), minus_zero), 0);
  uint8_t infinity[4] = {0, 0, 0x80, 0x7F}, nan[4] = {0, 0, 0xC0, 0x7F}, minus_nan[4] = {0, 0, 0xC0, 0xFF};
  int64_t most = ipcnet_reflex_field_get(RIG_FIELD(0, 32, 4), infinity);
  CHECK(ipcnet_reflex_field_get(RIG_FIELD(0, 32, 4), nan) > most && ipcnet_reflex_field_get(RIG_FIELD(0, 32, 4), minus_nan) < -most);
  uint8_t big[8] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};
  CHECK(ipcnet_reflex_field_within(RIG_FIELD(0, 64, 0), big, 5, -1));  /* as unsigned: 5 … 2^64 − 1 */
  CHECK(!ipcnet_reflex_field_within(RIG_FIELD(0, 64, 0), big, 5, -2));
  CHECK(!ipcnet_reflex_field_within(RIG_FIELD(0, 64, 2), big, 5, 6));
  CHECK(ipcnet_reflex_field_within(RIG_FIELD(0, 64, 2), big, -1, 6));
}

/* ---- Every rule ----------------------------------------------------------------------------------------------------------------------------- */

static void resize(uint32_t section, uint32_t count)
{
  rig.counts[section] = count;
}

static void test_header(void)
{
  REFUSED(rig.header.beat_period_us = 999, "range", 0, 0);
  TAKEN(rig.header.beat_period_us = 1000);
  TAKEN(rig.header.beat_period_us = 1000000);
  REFUSED(rig.header.beat_period_us = 1000001, "range", 0, 0);
  REFUSED(rig.header.twin_deadline_us = 1999, "range", 0, 0);
  TAKEN(rig.header.twin_deadline_us = 2000);
  REFUSED(rig.header.twin_deadline_us = 1000001, "range", 0, 0);
  TAKEN(rig.header.brain_timeout_us = 0);
  REFUSED(rig.header.brain_timeout_us = 1, "range", 0, 0);
  REFUSED(rig.header.brain_timeout_us = 1999, "range", 0, 0);
  TAKEN(rig.header.brain_timeout_us = 2000);
  TAKEN(rig.header.brain_timeout_us = 60000000);
  REFUSED(rig.header.brain_timeout_us = 60000001, "range", 0, 0);
  REFUSED(rig.header.flags = 4, "flags", 0, 0);
  TAKEN(rig.header.flags = IPCNET_REFLEX_DRILLS);
  REFUSED(rig.header.reserved = 1, "reserved", 0, 0);
  REFUSED(resize(IPCNET_REFLEX_BUSES, 0), "count", IPCNET_REFLEX_BUSES, 0);
  REFUSED(resize(IPCNET_REFLEX_BUSES, 9), "count", IPCNET_REFLEX_BUSES, 0);
  REFUSED(resize(IPCNET_REFLEX_PLANS, 9), "count", IPCNET_REFLEX_PLANS, 0);
  REFUSED(resize(IPCNET_REFLEX_NODES, 129), "count", IPCNET_REFLEX_NODES, 0);
  REFUSED(resize(IPCNET_REFLEX_TRIGGERS, 257), "count", IPCNET_REFLEX_TRIGGERS, 0);
  REFUSED(resize(IPCNET_REFLEX_STEPS, 257), "count", IPCNET_REFLEX_STEPS, 0);
  REFUSED(resize(IPCNET_REFLEX_MESSAGES, 513), "count", IPCNET_REFLEX_MESSAGES, 0);

  struct ipcnet_reflex_table_fault fault;
  rig_arm_table(&rig);
  size_t length = 0;
  uint8_t *bytes = rig_table(&rig, &length);
  struct ipcnet_reflex_table_header *header = (struct ipcnet_reflex_table_header *)(void *)bytes;
  struct ipcnet_reflex_table table;
  CHECK(!ipcnet_reflex_table_open(&table, bytes + 4, length - 8, &fault) && strcmp(fault.code, "alignment") == 0);
  CHECK(strcmp(open_bytes(bytes, sizeof *header - 1, &fault), "length") == 0);
  CHECK(strcmp(open_bytes(bytes, 0, &fault), "length") == 0);
  CHECK(strcmp(open_bytes(bytes, length - 1, &fault), "crc") == 0);
  CHECK(!ipcnet_reflex_table_open(&table, bytes, IPCNET_REFLEX_TABLE_BYTES_MAX + 1, &fault) && strcmp(fault.code, "length") == 0);
#define CHANGED(change, wanted)                                                \
  do {                                                                         \
    uint8_t *copy = malloc(length);                                            \
    memcpy(copy, bytes, length);                                               \
    change;                                                                    \
    rig_seal(bytes, length, 1);                                                \
    const char *code = open_bytes(bytes, length, &fault);                      \
    if (strcmp(code, wanted) != 0) fprintf(stderr, "%s: %s\n", #change, code); \
    CHECK(strcmp(code, wanted) == 0);                                          \
    memcpy(bytes, copy, length);                                               \
    free(copy);                                                                \
  } while (0)
  CHANGED((void)0, "");
  CHANGED(header->magic ^= 1, "magic");
  CHANGED(header->major++, "version");
  CHANGED(header->major--, "version");
  CHANGED(header->minor++, "version");
  for (uint32_t section = 0; section < IPCNET_REFLEX_SECTIONS; section++) {
    CHANGED(header->sections[section].offset += 4, "offset");
    CHANGED(header->sections[section].offset = ((uint32_t)length + 8u) & ~7u, "offset");
    CHANGED(header->sections[section].offset = UINT32_MAX & ~7u, "offset");
    CHANGED(header->sections[section].offset = 0, "offset");
    CHANGED(header->sections[section].count = UINT32_MAX, "count");
    if (section > 0) CHANGED(header->sections[section].offset = header->sections[section - 1].offset, "overlap");
  }
  CHANGED(header->sections[IPCNET_REFLEX_BYTES].count += 8, "offset"); /* the last one: it would end behind the end */
  const ipcnet_e2e_config other_id = {.data_id = IPCNET_REFLEX_TABLE_DATA_ID + 1};
  ipcnet_e2e_p07_protect(&other_id, bytes, length, 1);
  CHECK(strcmp(open_bytes(bytes, length, &fault), "crc") == 0);
  const ipcnet_e2e_config own_id = {.data_id = IPCNET_REFLEX_TABLE_DATA_ID};
  header->hash[31] ^= 1;
  ipcnet_e2e_p07_protect(&own_id, bytes, length, 1);
  CHECK(strcmp(open_bytes(bytes, length, &fault), "hash") == 0);
  free(bytes);
}

static void test_buses(void)
{
#define BUS(row) rig.buses[row]
  REFUSED(BUS(1).name = rig.counts[IPCNET_REFLEX_BYTES], "text", IPCNET_REFLEX_BUSES, 1);
  REFUSED(BUS(1).interface = UINT32_MAX, "text", IPCNET_REFLEX_BUSES, 1);
  REFUSED((BUS(1).name = rig.counts[IPCNET_REFLEX_BYTES], rig.bytes[rig.counts[IPCNET_REFLEX_BYTES]++] = 'x'), "text", IPCNET_REFLEX_BUSES, 1); /* does not end */
  REFUSED(BUS(1).driver = 2, "range", IPCNET_REFLEX_BUSES, 1);
  TAKEN(BUS(1).driver = 1);
  REFUSED(BUS(1).host = 2, "range", IPCNET_REFLEX_BUSES, 1);
  REFUSED(BUS(1).flags |= 8, "flags", IPCNET_REFLEX_BUSES, 1);
  REFUSED(BUS(1).reserved8 = 1, "reserved", IPCNET_REFLEX_BUSES, 1);
  REFUSED(BUS(1).reserved[15] = 1, "reserved", IPCNET_REFLEX_BUSES, 1);
  REFUSED(BUS(1).reserved[0] = 1, "reserved", IPCNET_REFLEX_BUSES, 1);
  REFUSED(BUS(1).bitrate_bps = 20000001, "range", IPCNET_REFLEX_BUSES, 1);
  REFUSED(BUS(1).data_bitrate_bps = 20000001, "range", IPCNET_REFLEX_BUSES, 1);
  REFUSED(BUS(1).load_permille_max = 1001, "range", IPCNET_REFLEX_BUSES, 1);
  TAKEN((BUS(1).load_permille_max = 1000, BUS(1).bitrate_bps = 20000000, BUS(1).data_bitrate_bps = 20000000, BUS(1).dead_after_us = 60000000, BUS(1).tx_queue_frames = 1024, BUS(1).host = 1));
  REFUSED(BUS(1).dead_after_us = 60000001, "range", IPCNET_REFLEX_BUSES, 1);
  REFUSED(BUS(1).tx_queue_frames = 0, "range", IPCNET_REFLEX_BUSES, 1);
  REFUSED(BUS(1).tx_queue_frames = 1025, "range", IPCNET_REFLEX_BUSES, 1);
  REFUSED(BUS(1).probe_id = 0x20000000, "range", IPCNET_REFLEX_BUSES, 1);
  TAKEN(BUS(1).probe_id = 0x1FFFFFFF);
  REFUSED(BUS(0).claim_id = 0x11, "range", IPCNET_REFLEX_BUSES, 0);
  REFUSED(BUS(0).claim_id = 0x800, "range", IPCNET_REFLEX_BUSES, 0);
  TAKEN((BUS(0).claim_id = 0x800, BUS(0).flags |= IPCNET_REFLEX_BUS_CLAIM_EXTENDED));
  REFUSED((BUS(0).claim_id = 0x20000000, BUS(0).flags |= IPCNET_REFLEX_BUS_CLAIM_EXTENDED), "range", IPCNET_REFLEX_BUSES, 0);
  REFUSED(BUS(0).probe_id = 0x13, "duplicate", IPCNET_REFLEX_BUSES, 0);
  REFUSED(BUS(0).claim_id = 0x7FC, "duplicate", IPCNET_REFLEX_BUSES, 0); /* 0x7FF is the probe's */
  TAKEN((BUS(0).claim_id = 0x7FC, BUS(0).flags |= IPCNET_REFLEX_BUS_CLAIM_EXTENDED));
  REFUSED(BUS(0).self_fence_us = 999, "range", IPCNET_REFLEX_BUSES, 0);
  REFUSED(BUS(0).self_fence_us = 1000001, "range", IPCNET_REFLEX_BUSES, 0);
  TAKEN(BUS(0).self_fence_us = 1000);
  REFUSED(BUS(1).self_fence_us = 1000, "range", IPCNET_REFLEX_BUSES, 1); /* claims nothing */
  REFUSED(BUS(2).claim_id = 0x30, "flags", IPCNET_REFLEX_BUSES, 2);      /* only listens */
  REFUSED(BUS(2).name = BUS(0).name, "duplicate", IPCNET_REFLEX_BUSES, 2);
}

static void test_messages(void)
{
#define MESSAGE(row) rig.messages[row]
  const uint32_t here = IPCNET_REFLEX_MESSAGES;
  REFUSED(MESSAGE(1).name = UINT32_MAX, "text", here, 1);
  REFUSED(MESSAGE(1).bus = 3, "reference", here, 1);
  REFUSED(MESSAGE(1).bus = EAR_BUS, "listenOnly", here, 1);
  REFUSED(MESSAGE(1).can_id = 0x800, "frame", here, 1);
  REFUSED(MESSAGE(3).can_id = 0x20000000, "frame", here, 3);
  REFUSED(MESSAGE(1).can_flags = IPCNET_CAN_REMOTE, "frame", here, 1);
  REFUSED(MESSAGE(1).can_flags = IPCNET_CAN_ECHO, "frame", here, 1);
  REFUSED(MESSAGE(1).can_flags = IPCNET_CAN_FD, "frame", here, 1); /* the bus is none */
  REFUSED(MESSAGE(3).can_flags |= IPCNET_CAN_BRS, "frame", here, 3);
  REFUSED(MESSAGE(3).length_bytes = 9, "frame", here, 3);
  REFUSED(MESSAGE(4).length_bytes = 17, "frame", here, 4);
  REFUSED(MESSAGE(4).length_bytes = 65, "frame", here, 4);
  static const uint8_t FD_LENGTHS[] = {20, 24, 32, 48, 64};
  for (unsigned i = 0; i < 5; i++) TAKEN(MESSAGE(4).length_bytes = FD_LENGTHS[i]);
  for (uint32_t owner = 0; owner < 4; owner++) REFUSED(MESSAGE(1).can_id = 0x10 + owner, "duplicate", here, 1);
  TAKEN(MESSAGE(1).can_id = 0x14);
  TAKEN(MESSAGE(1).can_id = 0x0F);
  REFUSED(MESSAGE(1).can_id = 0x7FF, "duplicate", here, 1);
  REFUSED(MESSAGE(1).can_id = 0x101, "duplicate", here, 1);
  TAKEN((MESSAGE(3).can_id = 0x101, MESSAGE(3).can_flags = 0)); /* on another bus */
  TAKEN((MESSAGE(3).can_id = 0x200, MESSAGE(3).can_flags = IPCNET_CAN_EXTENDED)); /* of another kind */
  REFUSED((MESSAGE(3).can_id = 0x200, MESSAGE(3).can_flags = 0), "duplicate", here, 4);
  REFUSED(MESSAGE(1).flags = 2, "flags", here, 1);
  REFUSED(MESSAGE(1).reserved16 = 1, "reserved", here, 1);
  REFUSED(MESSAGE(1).reserved32 = 1, "reserved", here, 1);
  REFUSED(MESSAGE(1).reserved[27] = 1, "reserved", here, 1);
  REFUSED(MESSAGE(1).ttl_us_max = 999, "range", here, 1);
  REFUSED(MESSAGE(1).ttl_us_max = 60000001, "range", here, 1);
  REFUSED(MESSAGE(1).interval_us_min = 60000001, "range", here, 1);
  REFUSED(MESSAGE(1).bits = 0, "range", here, 1);
  REFUSED(MESSAGE(1).bits = 2001, "range", here, 1);
  TAKEN((MESSAGE(1).ttl_us_max = 1000, MESSAGE(2).ttl_us_max = 60000000, MESSAGE(1).interval_us_min = 60000000, MESSAGE(1).bits = 1, MESSAGE(2).bits = 2000));
  REFUSED(MESSAGE(0).epoch.bits = 17, "field", here, 0);
  REFUSED(MESSAGE(0).epoch.start_bit = 61, "field", here, 0);
  REFUSED(MESSAGE(0).epoch.flags = 2, "field", here, 0);
  REFUSED(MESSAGE(0).epoch = RIG_FIELD(3, 0, 0), "field", here, 0);
  REFUSED(MESSAGE(0).epoch = RIG_FIELD(0, 0, 1), "field", here, 0);
  TAKEN(MESSAGE(0).epoch = RIG_FIELD(0, 0, 0));
  TAKEN(MESSAGE(0).epoch = RIG_FIELD(60, 4, 0));
  TAKEN(MESSAGE(0).epoch = RIG_FIELD(32, 16, 0));
  REFUSED(MESSAGE(0).owner = RIG_FIELD(28, 9, 0), "field", here, 0);
  TAKEN(MESSAGE(0).owner = RIG_FIELD(32, 8, 0));
  REFUSED(MESSAGE(0).owner = RIG_FIELD(27, 2, 0), "field", here, 0); /* in the epoch */
  REFUSED(MESSAGE(0).owner = RIG_FIELD(22, 2, 0), "field", here, 0); /* in the protection */
  REFUSED(MESSAGE(0).epoch = RIG_FIELD(23, 4, 0), "field", here, 0);
  REFUSED(MESSAGE(1).epoch = RIG_FIELD(8, 4, 0), "field", here, 1);  /* in the counter of P11 */
  REFUSED(MESSAGE(1).epoch = RIG_FIELD(12, 4, 0), "field", here, 1); /* in the nibble of its Data ID */
  REFUSED(MESSAGE(1).epoch = RIG_FIELD(0, 1, 0), "field", here, 1);
  REFUSED(MESSAGE(0).expired_trigger = ARM_TRIGGERS, "reference", here, 0);
  REFUSED(MESSAGE(0).expired_trigger = NODE_TRIGGER, "reference", here, 0);
  REFUSED(rig.triggers[EXPIRED_TRIGGER].subject = ELBOW, "reference", here, 0);
  TAKEN(rig.triggers[EXPIRED_TRIGGER].subject = SHOULDER);
  REFUSED(MESSAGE(1).checks_first = 6, "reference", here, 1);
  REFUSED(MESSAGE(1).checks_count = 6, "reference", here, 1);
  REFUSED(MESSAGE(1).checks_first = 0xFFFF, "reference", here, 1);
}

static void test_e2e_rows(void)
{
  const uint32_t here = IPCNET_REFLEX_MESSAGES;
#define E2E(row) rig.messages[row].e2e
  for (unsigned profile = 0; profile < 256; profile++) {
    bool known = profile == 1 || profile == 2 || profile == 5 || profile == 6 || profile == 8 || profile == 11 || profile == 22 || profile == 0 || profile == 4 || profile == 7;
    bool fits = profile == 0 || profile == 2 || profile == 5 || profile == 6 || profile == 22; /* into eight bytes, at 0, with no bit offsets */
    if (known && fits) TAKEN((E2E(0).profile = (uint8_t)profile, rig.messages[0].epoch = RIG_FIELD(48, 4, 0), rig.messages[0].owner = RIG_FIELD(60, 2, 0)));
    else REFUSED((E2E(0).profile = (uint8_t)profile, rig.messages[0].epoch = RIG_FIELD(48, 4, 0), rig.messages[0].owner = RIG_FIELD(60, 2, 0)), "e2e", here, 0);
  }
  REFUSED(E2E(1).data_id_mode = 4, "e2e", here, 1);
  REFUSED(E2E(1).crc_offset_bits = 4, "e2e", here, 1);
  REFUSED(E2E(1).counter_offset_bits = 9, "e2e", here, 1);
  REFUSED(E2E(1).counter_offset_bits = 4, "e2e", here, 1); /* in the CRC */
  REFUSED(E2E(1).data_id_nibble_offset_bits = 8, "e2e", here, 1);
  REFUSED(E2E(1).data_id_nibble_offset_bits = 4, "e2e", here, 1);
  REFUSED(E2E(1).data_id_nibble_offset_bits = 14, "e2e", here, 1);
  REFUSED(E2E(1).counter_offset_bits = 64, "e2e", here, 1); /* beyond the frame */
  REFUSED(E2E(1).crc_offset_bits = 0xFFF8, "e2e", here, 1);
  TAKEN((E2E(1).data_id_mode = 0, E2E(1).data_id_nibble_offset_bits = 0));
  REFUSED(E2E(1).max_delta = 14, "e2e", here, 1);
  TAKEN(E2E(1).max_delta = 13);
  REFUSED(E2E(1).resync_frames = 1, "e2e", here, 1);
  TAKEN(E2E(1).resync_frames = 255);
  REFUSED(E2E(0).offset_bytes = 6, "e2e", here, 0);
  REFUSED(E2E(0).min_length_bytes = 9, "e2e", here, 0);
  REFUSED(E2E(0).max_length_bytes = 7, "e2e", here, 0);
  REFUSED(E2E(0).data_id_list = UINT32_MAX, "e2e", here, 0); /* never read by P05, but a pointer is made of it */
  REFUSED((E2E(0).profile = 2, E2E(0).data_id_list = rig.counts[IPCNET_REFLEX_BYTES] - 15), "e2e", here, 0);
  TAKEN((E2E(0).profile = 2, E2E(0).data_id_list = rig.counts[IPCNET_REFLEX_BYTES] - 16));
  TAKEN((E2E(4).profile = 4, rig.messages[4].length_bytes = 16));
  TAKEN((E2E(4).profile = 8, E2E(4).offset_bytes = 0));
  REFUSED((E2E(4).profile = 8, E2E(4).offset_bytes = 1), "e2e", here, 4);
  TAKEN((E2E(4).profile = 7, rig.messages[4].length_bytes = 20));
  REFUSED(E2E(4).profile = 7, "e2e", here, 4);
  REFUSED(rig.watches[0].e2e.offset_bytes = 6, "e2e", IPCNET_REFLEX_WATCHES, 0);
}

static void test_checks_of_messages(void)
{
  const uint32_t here = IPCNET_REFLEX_CHECKS;
  REFUSED(rig.checks[1].field.bits = 0, "field", here, 1);
  REFUSED(rig.checks[1].field.bits = 65, "field", here, 1);
  REFUSED(rig.checks[1].field.flags = 8, "field", here, 1);
  REFUSED(rig.checks[1].field = RIG_FIELD(32, 16, 4), "field", here, 1); /* no such number */
  REFUSED(rig.checks[1].field = RIG_FIELD(32, 32, 2 | 4), "field", here, 1);
  TAKEN((rig.checks[1].field = RIG_FIELD(32, 32, 4), rig.checks[1].raw_min = INT64_MIN));
  REFUSED(rig.checks[1].field = RIG_FIELD(49, 16, 0), "field", here, 1);
  TAKEN(rig.checks[1].field = RIG_FIELD(48, 16, 0));
  REFUSED(rig.checks[1].field = RIG_FIELD(56, 16, 1), "field", here, 1); /* its highest bit is bit 0 of the last byte */
  TAKEN(rig.checks[1].field = RIG_FIELD(55, 16, 1));
  REFUSED(rig.checks[1].field.start_bit = 0xFFFF, "field", here, 1);
  REFUSED(rig.checks[1].selector = RIG_FIELD(60, 5, 0), "field", here, 1);
  REFUSED(rig.checks[1].selector = RIG_FIELD(1, 0, 0), "field", here, 1);
  REFUSED((rig.checks[1].raw_min = 5, rig.checks[1].raw_max = 4), "range", here, 1);
  TAKEN((rig.checks[1].raw_min = 4, rig.checks[1].raw_max = 4));
  REFUSED((rig.checks[5].raw_min = -1, rig.checks[5].raw_max = 5), "range", here, 5); /* unsigned with 64 bits */
}

static void test_measured(void)
{
  REFUSED(rig.watches[1].name = UINT32_MAX, "text", IPCNET_REFLEX_WATCHES, 1);
  REFUSED(rig.watches[1].bus = 3, "reference", IPCNET_REFLEX_WATCHES, 1);
  TAKEN((rig.watches[2].bus = EAR_BUS, rig.nodes[BUTTON_NODE].bus = EAR_BUS));
  REFUSED(rig.watches[1].can_id = 0x800, "frame", IPCNET_REFLEX_WATCHES, 1);
  REFUSED(rig.watches[1].can_id = 0x013, "duplicate", IPCNET_REFLEX_WATCHES, 1);
  REFUSED(rig.watches[1].can_id = 0x7FF, "duplicate", IPCNET_REFLEX_WATCHES, 1);
  REFUSED(rig.watches[1].can_id = 0x181, "duplicate", IPCNET_REFLEX_WATCHES, 1);
  TAKEN(rig.watches[3].can_id = 0x181);
  REFUSED(rig.watches[1].flags = 1, "flags", IPCNET_REFLEX_WATCHES, 1);
  REFUSED(rig.watches[1].reserved[19] = 1, "reserved", IPCNET_REFLEX_WATCHES, 1);
  REFUSED(rig.watches[0].epoch.bits = 17, "field", IPCNET_REFLEX_WATCHES, 0);
  REFUSED(rig.watches[0].owner.bits = 9, "field", IPCNET_REFLEX_WATCHES, 0);

  REFUSED(rig.nodes[1].name = UINT32_MAX, "text", IPCNET_REFLEX_NODES, 1);
  REFUSED(rig.nodes[1].watch = 4, "reference", IPCNET_REFLEX_NODES, 1);
  REFUSED(rig.nodes[1].bus = AUX_BUS, "reference", IPCNET_REFLEX_NODES, 1);
  REFUSED(rig.nodes[1].lost_trigger = NODE_TRIGGER, "reference", IPCNET_REFLEX_NODES, 1); /* another's */
  TAKEN((rig.nodes[1].lost_trigger = NODE_TRIGGER, rig.triggers[NODE_TRIGGER].subject = IPCNET_REFLEX_NONE));
  REFUSED(rig.nodes[0].lost_trigger = EXPIRED_TRIGGER, "reference", IPCNET_REFLEX_NODES, 0);
  REFUSED(rig.nodes[1].flags = 8, "flags", IPCNET_REFLEX_NODES, 1);
  REFUSED(rig.nodes[0].flags = IPCNET_REFLEX_NODE_OPERATIONAL, "flags", IPCNET_REFLEX_NODES, 0);
  REFUSED(rig.watches[1].length_bytes = 0, "field", IPCNET_REFLEX_NODES, 1);
  REFUSED(rig.nodes[1].reserved[8] = 1, "reserved", IPCNET_REFLEX_NODES, 1);
  TAKEN(rig.nodes[0].group = 255);
  REFUSED(rig.nodes[1].group = 1, "field", IPCNET_REFLEX_NODES, 1); /* it does not say whom it follows */
  REFUSED(rig.nodes[1].timeout_us = 999, "range", IPCNET_REFLEX_NODES, 1);
  REFUSED(rig.nodes[1].timeout_us = 60000001, "range", IPCNET_REFLEX_NODES, 1);

  REFUSED(rig.conditions[1].label = UINT32_MAX, "text", IPCNET_REFLEX_CONDITIONS, 1);
  REFUSED(rig.conditions[1].watch = 4, "reference", IPCNET_REFLEX_CONDITIONS, 1);
  REFUSED(rig.conditions[1].field = RIG_FIELD(15, 2, 0), "field", IPCNET_REFLEX_CONDITIONS, 1);
  REFUSED(rig.conditions[1].field.bits = 0, "field", IPCNET_REFLEX_CONDITIONS, 1);
  REFUSED(rig.conditions[1].reserved16 = 1, "reserved", IPCNET_REFLEX_CONDITIONS, 1);
  REFUSED(rig.conditions[1].reserved32 = 1, "reserved", IPCNET_REFLEX_CONDITIONS, 1);
  REFUSED(rig.conditions[1].reserved64 = 1, "reserved", IPCNET_REFLEX_CONDITIONS, 1);
  REFUSED(rig.conditions[1].raw_max = 0, "range", IPCNET_REFLEX_CONDITIONS, 1);
  REFUSED(rig.conditions[1].hold_us = 60000001, "range", IPCNET_REFLEX_CONDITIONS, 1);
  REFUSED(rig.conditions[1].age_us_max = 999, "range", IPCNET_REFLEX_CONDITIONS, 1);
  REFUSED(rig.conditions[1].age_us_max = 60000001, "range", IPCNET_REFLEX_CONDITIONS, 1);
  REFUSED((rig.conditions[0].field = RIG_FIELD(0, 64, 0), rig.conditions[0].raw_min = -1, rig.conditions[0].raw_max = 0), "range", IPCNET_REFLEX_CONDITIONS, 0);
  TAKEN((rig.conditions[0].field = RIG_FIELD(0, 64, 0), rig.conditions[0].raw_min = 0, rig.conditions[0].raw_max = -1));
}

static void test_plans(void)
{
  REFUSED(rig.sends[1].message = 5, "reference", IPCNET_REFLEX_SENDS, 1);
  REFUSED(rig.sends[1].length_bytes = 1, "length", IPCNET_REFLEX_SENDS, 1);
  REFUSED(rig.sends[1].payload = rig.counts[IPCNET_REFLEX_BYTES] - 1, "length", IPCNET_REFLEX_SENDS, 1);
  REFUSED(rig.sends[1].payload = UINT32_MAX, "length", IPCNET_REFLEX_SENDS, 1);
  REFUSED(rig.bytes[rig.sends[1].payload] = 0, "range", IPCNET_REFLEX_SENDS, 1); /* would release the brake */

#define STEP(row) rig.steps[row]
  const uint32_t steps = IPCNET_REFLEX_STEPS, plans = IPCNET_REFLEX_PLANS;
  REFUSED(STEP(1).name = UINT32_MAX, "text", steps, 1);
  REFUSED(STEP(1).needs_count = 2, "reference", steps, 1);
  REFUSED(STEP(1).sends_first = 5, "reference", steps, 1);
  REFUSED(STEP(1).sends_count = 5, "reference", steps, 1);
  REFUSED(STEP(1).conditions_count = 4, "reference", steps, 1);
  REFUSED(STEP(1).deadline_us = 999, "range", steps, 1);
  REFUSED(STEP(1).deadline_us = 3600000001u, "range", steps, 1);
  REFUSED(STEP(1).resend_us = 999, "range", steps, 1);
  TAKEN(STEP(1).resend_us = 0);
  REFUSED(STEP(1).resend_us = 60000001, "range", steps, 1);
  REFUSED(STEP(1).backoff_us = 60000001, "range", steps, 1);
  REFUSED(STEP(1).tries = 0, "range", steps, 1);
  REFUSED(STEP(1).on_timeout = 3, "range", steps, 1);
  REFUSED(STEP(1).flags = 4, "flags", steps, 1);
  REFUSED(STEP(1).reserved[28] = 1, "reserved", steps, 1);
  REFUSED(rig.needs[0] = 2, "reference", steps, 1);      /* of another plan */
  REFUSED(rig.needs[0] = 0xFFFF, "reference", steps, 1);
  REFUSED(rig.needs[0] = 1, "circle", plans, 0);         /* needs itself */
  REFUSED((STEP(0).needs_count = 1, rig.needs[0] = 1), "circle", plans, 0);
  REFUSED(STEP(0).fallback = 2, "reference", steps, 0);
  REFUSED(STEP(0).fallback = 0xFFFE, "reference", steps, 0);
  REFUSED(STEP(0).fallback = 1, "fallback", steps, 0);
  REFUSED((STEP(1).flags = IPCNET_REFLEX_STEP_FALLBACK, STEP(1).fallback = 1), "circle", plans, 0);

#define PLAN(row) rig.plans[row]
  REFUSED(PLAN(1).name = UINT32_MAX, "text", plans, 1);
  REFUSED(PLAN(1).steps_count = 0, "reference", plans, 1);
  REFUSED(PLAN(1).steps_count = 2, "reference", plans, 1);
  REFUSED(PLAN(1).steps_first = 3, "reference", plans, 1);
  REFUSED(PLAN(1).steps_first = 1, "overlap", plans, 1);
  REFUSED(PLAN(1).last_count = 0, "reference", plans, 1);
  REFUSED(PLAN(1).last_first = 5, "reference", plans, 1);
  REFUSED(PLAN(1).last_count = 6, "reference", plans, 1);
  REFUSED(PLAN(1).category = 3, "range", plans, 1);
  REFUSED(PLAN(1).budget_us = 999, "range", plans, 1);
  REFUSED(PLAN(1).budget_us = 3600000001u, "range", plans, 1);
  REFUSED(PLAN(1).reserved[42] = 1, "reserved", plans, 1);
  REFUSED(PLAN(1).worst_us = 60001, "budget", plans, 1);
  TAKEN(PLAN(1).worst_us = 60000);
  REFUSED((PLAN(0).budget_us = 199999, PLAN(0).worst_us = 0), "budget", plans, 0); /* computed anew */
  TAKEN((PLAN(0).budget_us = 200000, PLAN(0).worst_us = 0));
}

static void test_triggers(void)
{
  const uint32_t here = IPCNET_REFLEX_TRIGGERS;
#define TRIGGER(row) rig.triggers[row]
  REFUSED(TRIGGER(2).name = UINT32_MAX, "text", here, 2);
  REFUSED(TRIGGER(2).plan = 2, "reference", here, 2);
  REFUSED(TRIGGER(2).kind = IPCNET_REFLEX_TRIGGER_KINDS, "range", here, 2);
  REFUSED(TRIGGER(0).subject = 3, "reference", here, 0);
  TAKEN(TRIGGER(0).subject = 2);
  REFUSED(TRIGGER(2).subject = 1, "reference", here, 2);
  TAKEN(TRIGGER(2).subject = 0);
  REFUSED(TRIGGER(PRESSED_TRIGGER).subject = 4, "reference", here, PRESSED_TRIGGER);
  REFUSED(TRIGGER(PRESSED_TRIGGER).subject = IPCNET_REFLEX_NONE, "reference", here, PRESSED_TRIGGER);
  REFUSED((TRIGGER(NODE_TRIGGER).subject = 3, rig.nodes[0].lost_trigger = IPCNET_REFLEX_NONE), "reference", here, NODE_TRIGGER);
  REFUSED((TRIGGER(EXPIRED_TRIGGER).subject = 5, rig.messages[0].expired_trigger = IPCNET_REFLEX_NONE), "reference", here, EXPIRED_TRIGGER);
  REFUSED(TRIGGER(BUS_TRIGGER).subject = 3, "reference", here, BUS_TRIGGER);
  REFUSED(TRIGGER(2).flags = 4, "flags", here, 2);
  for (size_t i = 0; i < sizeof TRIGGER(2).reserved; i++) REFUSED(TRIGGER(2).reserved[i] = 1, "reserved", here, 2);
  REFUSED(TRIGGER(2).priority = TRIGGER(1).priority, "order", here, 2);
  REFUSED(TRIGGER(1).subject = 1, "duplicate", here, 1);
}

/* ---- Bytes ---------------------------------------------------------------------------------------------------------------------------------- */

static void test_every_byte_counts(void)
{
  rig_arm_table(&rig);
  size_t length = 0;
  uint8_t *bytes = rig_table(&rig, &length);
  struct ipcnet_reflex_table table;
  struct ipcnet_reflex_table_fault fault;
  for (size_t at = 0; at < length; at++) {
    for (unsigned bit = 0; bit < 8; bit++) {
      bytes[at] ^= (uint8_t)(1u << bit);
      CHECK(!ipcnet_reflex_table_open(&table, bytes, length, &fault) && strcmp(fault.code, "crc") == 0);
      bytes[at] ^= (uint8_t)(1u << bit);
    }
  }
  CHECK(ipcnet_reflex_table_open(&table, bytes, length, &fault));
  for (size_t shorter = 0; shorter < length; shorter += 7) CHECK(open_bytes(bytes, shorter, &fault)[0] != 0);
  free(bytes);
}

int main(void)
{
  test_good();
  TAKEN((void)0);
  test_fields();
  test_numbers();
  test_header();
  test_buses();
  test_messages();
  test_e2e_rows();
  test_checks_of_messages();
  test_measured();
  test_plans();
  test_triggers();
  test_every_byte_counts();
  return checks_report("reflex_table");
}
