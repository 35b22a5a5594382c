/* The table at its edges: each rule broken where no other rule would say the same, and beside it the last value that is still good. */
#include "table_verdict.h"

/* Opens what `rig` makes, after `bytes` and its header were changed by hand and sealed anew. */
#define OPENED(change, fault)                                                                                   \
  do {                                                                                                          \
    size_t length_ = 0;                                                                                         \
    uint8_t *bytes_ = rig_table(&rig, &length_);                                                                \
    struct ipcnet_reflex_table_header *header = (struct ipcnet_reflex_table_header *)(void *)bytes_;             \
    change;                                                                                                     \
    rig_seal(bytes_, length_, 1);                                                                               \
    open_bytes(bytes_, length_, fault);                                                                         \
    free(bytes_);                                                                                               \
  } while (0)

static void is(const struct ipcnet_reflex_table_fault *fault, const char *code, uint32_t section, uint32_t row)
{
  if (strcmp(fault->code, code) != 0) fprintf(stderr, "\"%s\", not \"%s\"\n", fault->code, code);
  CHECK(strcmp(fault->code, code) == 0);
  if (code[0] == 0) return;
  CHECK_INT(fault->section, section);
  CHECK_INT(fault->row, row);
}

/* ---- The whole ----------------------------------------------------------------------------------------------------------------------------------- */

/* What is wrong with the whole is said of no row. */
static void test_faults_of_the_whole(void)
{
  static const char *const CODES[] = {"alignment", "length", "length", "crc", "magic", "version", "version", "hash"};
  for (unsigned i = 0; i < 8; i++) {
    rig_arm_table(&rig);
    size_t length = 0;
    uint8_t *bytes = rig_table(&rig, &length), *from = bytes;
    struct ipcnet_reflex_table_header *header = (struct ipcnet_reflex_table_header *)(void *)bytes;
    if (i == 4) header->magic ^= 1;
    if (i == 5) header->major++;
    if (i == 6) header->minor++;
    rig_seal(bytes, length, 1);
    if (i == 0) from = bytes + 4, length -= 8;
    if (i == 1) length = sizeof *header - 1;
    if (i == 2) length = IPCNET_REFLEX_TABLE_BYTES_MAX + 1u;
    if (i == 3) bytes[0] ^= 1;
    if (i == 7) {
      const ipcnet_e2e_config config = {.data_id = IPCNET_REFLEX_TABLE_DATA_ID};
      header->hash[0] ^= 1;
      ipcnet_e2e_p07_protect(&config, bytes, length, 1);
    }
    struct ipcnet_reflex_table table;
    struct ipcnet_reflex_table_fault fault = {.code = "", .section = 99, .row = 99};
    CHECK(!ipcnet_reflex_table_open(&table, from, length, &fault));
    is(&fault, CODES[i], 0, 0);
    free(bytes);
  }
}

/* A header is looked at even if nothing follows it, and a table may be a mebibyte long. */
static void test_shortest_and_longest(void)
{
  struct ipcnet_reflex_table_fault fault;
  rig_arm_table(&rig);
  memset(rig.counts, 0, sizeof rig.counts);
  size_t length = 0;
  uint8_t *bytes = rig_table(&rig, &length);
  CHECK_INT(length, sizeof rig.header);
  open_bytes(bytes, length, &fault);
  is(&fault, "count", IPCNET_REFLEX_BUSES, 0);
  free(bytes);

  rig_arm_table(&rig);
  uint8_t *small = rig_table(&rig, &length);
  bytes = aligned_alloc(64, IPCNET_REFLEX_TABLE_BYTES_MAX);
  memset(bytes, 0, IPCNET_REFLEX_TABLE_BYTES_MAX);
  memcpy(bytes, small, length);
  free(small);
  struct ipcnet_reflex_table_header *header = (struct ipcnet_reflex_table_header *)(void *)bytes;
  header->sections[IPCNET_REFLEX_BYTES].count = IPCNET_REFLEX_TABLE_BYTES_MAX - header->sections[IPCNET_REFLEX_BYTES].offset;
  rig_seal(bytes, IPCNET_REFLEX_TABLE_BYTES_MAX, 1);
  open_bytes(bytes, IPCNET_REFLEX_TABLE_BYTES_MAX, &fault);
  is(&fault, "", 0, 0);
  free(bytes);
}

/* As many rows as the reflex has room for. */
static void fill(void)
{
  char name[8];
  while (rig.counts[IPCNET_REFLEX_BUSES] < IPCNET_REFLEX_BUSES_MAX) {
    snprintf(name, sizeof name, "bus%u", rig.counts[IPCNET_REFLEX_BUSES]);
    rig_bus(&rig, name, IPCNET_REFLEX_NO_CLAIM_ID);
  }
  while (rig.counts[IPCNET_REFLEX_MESSAGES] < IPCNET_REFLEX_MESSAGES_MAX) rig_message(&rig, "more", IPCNET_REFLEX_BUSES_MAX - 1, rig.counts[IPCNET_REFLEX_MESSAGES], 8);
  while (rig.counts[IPCNET_REFLEX_NODES] < IPCNET_REFLEX_NODES_MAX) rig_node(&rig, "more", ELBOW_BEAT, 0);
  uint16_t first = (uint16_t)rig.counts[IPCNET_REFLEX_STEPS];
  while (rig.counts[IPCNET_REFLEX_STEPS] < IPCNET_REFLEX_STEPS_MAX) rig_step(&rig, "more");
  while (rig.counts[IPCNET_REFLEX_PLANS] < IPCNET_REFLEX_PLANS_MAX) {
    bool last = rig.counts[IPCNET_REFLEX_PLANS] == IPCNET_REFLEX_PLANS_MAX - 1;
    struct ipcnet_reflex_plan *plan = RIG_ADD(&rig, IPCNET_REFLEX_PLANS, plans);
    *plan = (struct ipcnet_reflex_plan){.name = rig_text(&rig, "more"), .steps_first = first, .steps_count = last ? (uint16_t)(IPCNET_REFLEX_STEPS_MAX - first) : 1, .budget_us = 200000, .last_count = 1};
    first++;
  }
  bool taken[IPCNET_REFLEX_TRIGGERS_MAX] = {false};
  for (uint32_t row = 0; row < ARM_TRIGGERS; row++) taken[rig.triggers[row].priority] = true;
  for (uint32_t priority = 0; priority < IPCNET_REFLEX_TRIGGERS_MAX; priority++) {
    if (!taken[priority]) rig_trigger(&rig, "more", IPCNET_REFLEX_ON_EXPIRED, (uint16_t)priority, PARK_PLAN, (uint8_t)priority, 0);
  }
}

static void test_as_many_as_there_may_be(void)
{
  TAKEN(fill());
}

/* ---- Sections ------------------------------------------------------------------------------------------------------------------------------------ */

/* In whatever order they lie, one begins where another ends. */
static void test_sections_in_any_order(void)
{
  struct ipcnet_reflex_table_fault fault;
  rig_arm_table(&rig);
  rig.counts[IPCNET_REFLEX_BYTES] = (rig.counts[IPCNET_REFLEX_BYTES] + 7u) & ~7u;
  size_t length = 0;
  uint8_t *bytes = rig_table(&rig, &length), *before = malloc(length);
  memcpy(before, bytes, length);
  struct ipcnet_reflex_table_header *header = (struct ipcnet_reflex_table_header *)(void *)bytes;
  uint32_t at = sizeof *header;
  for (uint32_t i = 0; i < IPCNET_REFLEX_SECTIONS; i++) {
    uint32_t section = IPCNET_REFLEX_SECTIONS - 1u - i, size = header->sections[section].count * rig_row_bytes(section);
    memcpy(bytes + at, before + header->sections[section].offset, size);
    header->sections[section].offset = at;
    at += (size + 7u) & ~7u;
  }
  CHECK_INT(at, length);
  rig_seal(bytes, length, 1);
  open_bytes(bytes, length, &fault);
  is(&fault, "", 0, 0);
  free(before);
  free(bytes);
}

/* A section that lies nowhere is named, and no row of it. */
static void test_sections_that_lie_nowhere(void)
{
  for (uint32_t section = 0; section < IPCNET_REFLEX_SECTIONS; section++) {
    struct ipcnet_reflex_table_fault fault;
    rig_arm_table(&rig);
    OPENED(header->sections[section].offset += 4, &fault);
    is(&fault, "offset", section, 0);
    OPENED(header->sections[section].offset = (uint32_t)sizeof *header - 8u, &fault);
    is(&fault, "offset", section, 0);
  }
}

/* A row that lies in the bytes, sound as any, but behind the end of its section is no row. */
static void test_rows_behind_the_end(void)
{
  static const struct { uint32_t section, of, row; } CASES[] = {
    {IPCNET_REFLEX_BUSES, IPCNET_REFLEX_WATCHES, STOP_BUTTON}, {IPCNET_REFLEX_WATCHES, IPCNET_REFLEX_NODES, BUTTON_NODE}, {IPCNET_REFLEX_WATCHES, IPCNET_REFLEX_CONDITIONS, BRAKE_ON},
    {IPCNET_REFLEX_TRIGGERS, IPCNET_REFLEX_MESSAGES, ELBOW}, {IPCNET_REFLEX_TRIGGERS, IPCNET_REFLEX_NODES, ELBOW_NODE}, {IPCNET_REFLEX_PLANS, IPCNET_REFLEX_TRIGGERS, REQUEST_0_TRIGGER}};
  for (unsigned i = 0; i < 6; i++) {
    struct ipcnet_reflex_table_fault fault;
    rig_arm_table(&rig);
    if (i == 0) rig.watches[STOP_BUTTON].bus = rig.nodes[BUTTON_NODE].bus = EAR_BUS;
    if (i == 1) rig_watch(&rig, "late", ARM_BUS, 0x190, 1), rig.nodes[BUTTON_NODE].watch = BRAKE_STATE + 1;
    if (i == 3) rig_trigger(&rig, "late", IPCNET_REFLEX_ON_EXPIRED, ELBOW, PARK_PLAN, 5, 0), rig.messages[ELBOW].expired_trigger = ARM_TRIGGERS;
    if (i == 4) rig_trigger(&rig, "late", IPCNET_REFLEX_ON_NODE_LOST, ELBOW_NODE, PARK_PLAN, 5, 0), rig.nodes[ELBOW_NODE].lost_trigger = ARM_TRIGGERS;
    OPENED((void)header, &fault);
    is(&fault, "", 0, 0);
    OPENED(header->sections[CASES[i].section].count--, &fault);
    is(&fault, "reference", CASES[i].of, CASES[i].row);
  }
}

/* A text begins before the end of the bytes, or it is empty. */
static void test_a_text_behind_the_end(void)
{
  rig_arm_table(&rig);
  size_t length = 0;
  uint8_t *bytes = rig_table(&rig, &length);
  struct ipcnet_reflex_table table;
  struct ipcnet_reflex_table_fault fault;
  CHECK(ipcnet_reflex_table_open(&table, bytes, length, &fault));
  table.bytes_length = table.messages[ELBOW].name;
  CHECK(table.bytes[table.bytes_length] != 0);
  CHECK(strcmp(ipcnet_reflex_table_text(&table, table.bytes_length), "") == 0);
  CHECK(strcmp(ipcnet_reflex_table_text(&table, table.messages[SHOULDER].name), "shoulder") == 0);
  free(bytes);
}

/* ---- Frames and identifiers ---------------------------------------------------------------------------------------------------------------------- */

/* ISO 11898-1: 0 … 8 bytes; with FD also 12, 16, 20, 24, 32, 48 and 64. */
static void test_lengths_of_frames(void)
{
  for (unsigned length = 0; length < 256; length++) {
    bool classic = length <= 8, fd = classic || length == 12 || length == 16 || length == 20 || length == 24 || length == 32 || length == 48 || length == 64;
    if (fd) TAKEN((rig.messages[LAMP].length_bytes = (uint8_t)length, rig.messages[LAMP].checks_count = 0));
    else REFUSED((rig.messages[LAMP].length_bytes = (uint8_t)length, rig.messages[LAMP].checks_count = 0), "frame", IPCNET_REFLEX_MESSAGES, LAMP);
    if (classic) TAKEN((rig.messages[GRIPPER].length_bytes = (uint8_t)length, rig.messages[GRIPPER].checks_count = 0));
    else REFUSED((rig.messages[GRIPPER].length_bytes = (uint8_t)length, rig.messages[GRIPPER].checks_count = 0), "frame", IPCNET_REFLEX_MESSAGES, GRIPPER);
  }
}

static void claims_with(uint32_t claim_id, uint8_t flags, uint32_t probe_id)
{
  rig.buses[ARM_BUS].claim_id = claim_id;
  rig.buses[ARM_BUS].flags |= flags;
  rig.buses[ARM_BUS].probe_id = probe_id;
}

static void elbow_has(uint32_t can_id, uint8_t can_flags)
{
  rig.messages[ELBOW].can_id = can_id;
  rig.messages[ELBOW].can_flags = can_flags;
}

/* What the bus process says by itself nobody else says: claims and probes, with 11 bits or with 29. */
static void test_identifiers_of_our_own(void)
{
  const uint8_t wide = IPCNET_REFLEX_BUS_CLAIM_EXTENDED;
  REFUSED((claims_with(0x1000, wide, 0), elbow_has(0x1003, IPCNET_CAN_EXTENDED)), "duplicate", IPCNET_REFLEX_MESSAGES, ELBOW);
  TAKEN((claims_with(0x1000, wide, 0), elbow_has(0x1004, IPCNET_CAN_EXTENDED)));
  TAKEN((claims_with(0x40, wide, 0), elbow_has(0x40, 0)));
  REFUSED((claims_with(0x40, wide, 0), elbow_has(0x40, IPCNET_CAN_EXTENDED)), "duplicate", IPCNET_REFLEX_MESSAGES, ELBOW);
  REFUSED((claims_with(0x40, 0, 0x800), elbow_has(0x800, IPCNET_CAN_EXTENDED)), "duplicate", IPCNET_REFLEX_MESSAGES, ELBOW);
  REFUSED((claims_with(0x40, 0, 0x7FE), elbow_has(0x7FE, 0)), "duplicate", IPCNET_REFLEX_MESSAGES, ELBOW);
  TAKEN((claims_with(0x40, 0, 0x7FE), elbow_has(0x7FE, IPCNET_CAN_EXTENDED)));
  /* Nor do claims and probes take each other for their own. */
  REFUSED(claims_with(0x800, wide, 0x803), "duplicate", IPCNET_REFLEX_BUSES, ARM_BUS);
  TAKEN(claims_with(0x800, wide, 0x804));
  TAKEN(claims_with(0x400, wide, 0x401));
  /* Where nothing is claimed no identifier is kept for it, the highest neither. */
  TAKEN((rig.messages[GRIPPER].can_id = 0x1FFFFFFF));
  TAKEN((rig.buses[AUX_BUS].probe_id = 0x1FFFFFFF));
}

/* ---- Fields -------------------------------------------------------------------------------------------------------------------------------------- */

static void test_fields_at_their_limits(void)
{
  const uint32_t checks = IPCNET_REFLEX_CHECKS, floats = 4, wide = 5; /* the lamp's, in 16 bytes */
  REFUSED(rig.checks[floats].field = RIG_FIELD(0, 65, 0), "field", checks, floats);
  TAKEN(rig.checks[wide].field = RIG_FIELD(0, 64, 0));
  REFUSED((rig.checks[floats].field = RIG_FIELD(0, 63, 4)), "field", checks, floats); /* numbers have 32 bits or 64 */
  REFUSED((rig.checks[floats].field = RIG_FIELD(0, 33, 4)), "field", checks, floats);
  TAKEN((rig.checks[floats].field = RIG_FIELD(0, 64, 4)));
  TAKEN((rig.checks[floats].field = RIG_FIELD(64, 64, 4)));
  /* A big-endian field begins at its highest bit: in the last byte it has as many bits as are below. */
  REFUSED(rig.checks[1].field = RIG_FIELD(56, 2, 1), "field", checks, 1);
  TAKEN(rig.checks[1].field = RIG_FIELD(57, 2, 1));
  TAKEN(rig.checks[1].field = RIG_FIELD(63, 8, 1));
  REFUSED(rig.checks[1].field = RIG_FIELD(63, 9, 1), "field", checks, 1);
  TAKEN(rig.checks[1].field = RIG_FIELD(7, 64, 3));
  REFUSED(rig.checks[1].field = RIG_FIELD(6, 64, 3), "field", checks, 1);
  /* One at bit 0 without flags is there for all that: only without bits it is none. */
  REFUSED(rig.checks[floats].selector = RIG_FIELD(0, 65, 0), "field", checks, floats);
  REFUSED(rig.messages[GRIPPER].epoch = RIG_FIELD(0, 17, 0), "field", IPCNET_REFLEX_MESSAGES, GRIPPER);
  TAKEN(rig.messages[GRIPPER].epoch = RIG_FIELD(0, 16, 0));
  REFUSED(rig.messages[GRIPPER].owner = RIG_FIELD(0, 9, 0), "field", IPCNET_REFLEX_MESSAGES, GRIPPER);
  TAKEN(rig.messages[GRIPPER].owner = RIG_FIELD(0, 8, 0));
  CHECK_INT(ipcnet_reflex_field_get(RIG_FIELD(0, 0, 2), (const uint8_t *)"\xFF"), 0); /* nor has a sign what has no bits */
}

/* From … to the same value: it must be just that. */
static void test_limits_that_meet(void)
{
  TAKEN((rig.checks[5].raw_min = -1, rig.checks[5].raw_max = -1));
  TAKEN((rig.checks[1].raw_min = -1, rig.checks[1].raw_max = -1));
  TAKEN((rig.conditions[0].field = RIG_FIELD(0, 64, 0), rig.conditions[0].raw_min = -1, rig.conditions[0].raw_max = -1));
  uint8_t five[8] = {5};
  CHECK(ipcnet_reflex_field_within(RIG_FIELD(0, 64, 0), five, 5, 5));
  CHECK(!ipcnet_reflex_field_within(RIG_FIELD(0, 64, 0), five, 6, -1));
  CHECK(!ipcnet_reflex_field_within(RIG_FIELD(0, 64, 0), five, 0, 4));
}

/* A check without a selector always holds good, whatever stands beside it; one with a selector of a single bit, when that bit says so. */
static void test_when_a_check_counts(void)
{
  static const struct { struct ipcnet_reflex_field selector; uint64_t selected; uint8_t first; bool counts; } CASES[] = {
    {{0, 0, 0}, 0, 0, true}, {{0, 0, 0}, 7, 0, true}, {{0, 1, 0}, 1, 0, false}, {{0, 1, 0}, 1, 1, true}, {{0, 1, 0}, 0, 0, true}, {{0, 1, 0}, 0, 1, false}, {{0, 8, 0}, 7, 6, false}, {{0, 8, 0}, 7, 7, true}};
  for (unsigned i = 0; i < 8; i++) {
    rig_arm_table(&rig);
    rig.checks[3].selector = CASES[i].selector; /* the gripper's: its second byte is at most 99 */
    rig.checks[3].selected = CASES[i].selected;
    size_t length = 0;
    uint8_t *bytes = rig_table(&rig, &length);
    struct ipcnet_reflex_table table;
    struct ipcnet_reflex_table_fault fault;
    CHECK(ipcnet_reflex_table_open(&table, bytes, length, &fault));
    uint8_t payload[3] = {CASES[i].first, 100, 0};
    CHECK_INT(ipcnet_reflex_checks_hold(&table, &table.messages[GRIPPER], payload), !CASES[i].counts);
    payload[1] = 99;
    CHECK(ipcnet_reflex_checks_hold(&table, &table.messages[GRIPPER], payload));
    free(bytes);
  }
}

/* ---- Rows ---------------------------------------------------------------------------------------------------------------------------------------- */

/* The last good value, one row each: beyond it the table is refused (reflex_table_test.c). */
static void test_last_good_values(void)
{
  TAKEN(rig.buses[AUX_BUS].tx_queue_frames = 1);
  TAKEN(rig.buses[ARM_BUS].self_fence_us = 1000000);
  TAKEN(rig.header.twin_deadline_us = 1000000);
  TAKEN((rig.nodes[ELBOW_NODE].timeout_us = 1000, rig.nodes[BUTTON_NODE].timeout_us = 60000000));
  TAKEN((rig.conditions[BRAKE_ON].hold_us = 60000000, rig.conditions[BRAKE_ON].age_us_max = 60000000));
  TAKEN(rig.conditions[BRAKE_ON].age_us_max = 1000);
  TAKEN((rig.steps[0].backoff_us = 60000000, rig.steps[0].resend_us = 1000, rig.steps[1].resend_us = 60000000, rig.steps[2].deadline_us = 1000));
  TAKEN((rig.steps[0].on_timeout = IPCNET_REFLEX_LAST, rig.steps[1].on_timeout = IPCNET_REFLEX_CONTINUE));
  TAKEN((rig.plans[PARK_PLAN].category = 2, rig.plans[PARK_PLAN].budget_us = 3600000000u, rig.steps[0].deadline_us = 3599900000u));
  /* A heartbeat of CANopen has a byte to say it in; another needs none. */
  TAKEN((rig_watch(&rig, "empty", ARM_BUS, 0x190, 0), rig_node(&rig, "mute", BRAKE_STATE + 1, 0)));
  REFUSED((rig_watch(&rig, "empty", ARM_BUS, 0x190, 0), rig_node(&rig, "mute", BRAKE_STATE + 1, IPCNET_REFLEX_NODE_CANOPEN)), "field", IPCNET_REFLEX_NODES, BUTTON_NODE + 1);
}

/* ---- Plans --------------------------------------------------------------------------------------------------------------------------------------- */

/* The plan "off" gets a second step, which begins when its first has ended. */
static struct ipcnet_reflex_step *off_in_two_steps(void)
{
  struct ipcnet_reflex_step *step = rig_step(&rig, "then");
  step->deadline_us = 10000;
  rig.plans[OFF_PLAN].steps_count = 2;
  return step;
}

static void off_needs(uint16_t before, uint16_t first, uint16_t second)
{
  struct ipcnet_reflex_step *step = off_in_two_steps();
  rig.needs[1] = before;
  rig.needs[2] = first;
  rig.needs[3] = second;
  rig.counts[IPCNET_REFLEX_NEEDS] = 4;
  step->needs_first = 2;
  step->needs_count = 2;
}

/* A step needs, and falls back to, steps of its own plan: each that it names is looked at, and no other. */
static void test_steps_keep_to_their_plan(void)
{
  TAKEN(off_needs(0, 2, 2));
  REFUSED(off_needs(2, 2, 0), "reference", IPCNET_REFLEX_STEPS, 3);
  REFUSED(off_needs(2, 1, 2), "reference", IPCNET_REFLEX_STEPS, 3);
  REFUSED(off_needs(2, 2, 4), "reference", IPCNET_REFLEX_STEPS, 3);
  TAKEN((off_in_two_steps()->fallback = 2, rig.steps[2].flags = IPCNET_REFLEX_STEP_FALLBACK, rig.plans[OFF_PLAN].budget_us = 100000));
  REFUSED((off_in_two_steps()->fallback = 1, rig.steps[1].flags = IPCNET_REFLEX_STEP_FALLBACK, rig.plans[OFF_PLAN].budget_us = 100000), "reference", IPCNET_REFLEX_STEPS, 3);
  REFUSED((off_in_two_steps()->fallback = 4, rig.plans[OFF_PLAN].budget_us = 100000), "reference", IPCNET_REFLEX_STEPS, 3);
}

static void swap_plans(void)
{
  struct ipcnet_reflex_plan first = rig.plans[0];
  rig.plans[0] = rig.plans[1];
  rig.plans[1] = first;
}

/* Plans lie in whatever order; two that share a step, at whichever end, are refused. */
static void test_plans_in_any_order(void)
{
  TAKEN(swap_plans());
  REFUSED((swap_plans(), rig.plans[1].steps_count = 3), "overlap", IPCNET_REFLEX_PLANS, 1);
  REFUSED(rig.plans[0].steps_count = 3, "overlap", IPCNET_REFLEX_PLANS, 1);
}

/* ---- The power-fail line ------------------------------------------------------------------------------------------------------------------------- */

static struct ipcnet_reflex_trigger *pin(const char *chip)
{
  struct ipcnet_reflex_trigger *trigger = rig_trigger(&rig, "power", IPCNET_REFLEX_ON_POWER_FAIL, 0, OFF_PLAN, 200, IPCNET_REFLEX_TRIGGER_PIN);
  trigger->chip = rig_text(&rig, chip);
  trigger->line = 17;
  return trigger;
}

static struct ipcnet_reflex_trigger *named_pin(const char *line)
{
  struct ipcnet_reflex_trigger *trigger = pin("gpiochip0");
  trigger->flags |= IPCNET_REFLEX_TRIGGER_NAMED;
  trigger->line = rig_text(&rig, line);
  return trigger;
}

static void test_the_power_fail_line(void)
{
  static const char LONG[] = "0123456789012345678901234567890123456789012345678901234567890123"; /* 64 characters */
  const uint32_t here = IPCNET_REFLEX_TRIGGERS, row = ARM_TRIGGERS;
  TAKEN(pin("gpiochip0"));
  TAKEN(pin("gpiochip0")->flags |= IPCNET_REFLEX_TRIGGER_ACTIVE_LOW);
  TAKEN(pin(LONG + 1));
  REFUSED(pin(LONG), "text", here, row);
  REFUSED(pin(""), "text", here, row);
  REFUSED(pin("gpiochip0")->chip = UINT32_MAX, "text", here, row);
  TAKEN(pin("gpiochip0")->line = 0xFFFF);
  REFUSED(pin("gpiochip0")->line = 0x10000, "range", here, row);
  TAKEN(named_pin("POWER_FAIL"));
  TAKEN(named_pin(LONG + 33)); /* 31 characters */
  REFUSED(named_pin(LONG + 32), "text", here, row);
  REFUSED(named_pin(""), "text", here, row);
  REFUSED(named_pin("POWER_FAIL")->line = UINT32_MAX, "text", here, row);
  TAKEN(pin("gpiochip0")->debounce_us = 1000000);
  REFUSED(pin("gpiochip0")->debounce_us = 1000001, "range", here, row);
  /* A line belongs to the power, and without one nothing is said of it. */
  REFUSED(pin("gpiochip0")->kind = IPCNET_REFLEX_ON_SHUTDOWN, "flags", here, row);
  REFUSED(pin("gpiochip0")->flags = IPCNET_REFLEX_TRIGGER_ACTIVE_LOW, "flags", here, row);
  REFUSED(pin("gpiochip0")->flags = IPCNET_REFLEX_TRIGGER_NAMED, "flags", here, row);
  REFUSED((rig.triggers[STOP_TRIGGER].chip = 1), "reserved", here, STOP_TRIGGER);
  REFUSED((rig.triggers[STOP_TRIGGER].line = 1), "reserved", here, STOP_TRIGGER);
  REFUSED((rig.triggers[STOP_TRIGGER].debounce_us = 1), "reserved", here, STOP_TRIGGER);
}

int main(void)
{
  test_faults_of_the_whole();
  test_shortest_and_longest();
  test_as_many_as_there_may_be();
  test_sections_in_any_order();
  test_sections_that_lie_nowhere();
  test_rows_behind_the_end();
  test_a_text_behind_the_end();
  test_lengths_of_frames();
  test_identifiers_of_our_own();
  test_fields_at_their_limits();
  test_limits_that_meet();
  test_when_a_check_counts();
  test_last_good_values();
  test_steps_keep_to_their_plan();
  test_plans_in_any_order();
  test_the_power_fail_line();
  return checks_report("reflex_table_edge");
}
