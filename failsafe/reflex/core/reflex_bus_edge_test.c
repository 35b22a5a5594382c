/* Buses at their edges: bit rates that are known from here or from there, the bucket of load, what is started anew, whom a bus is taken over from, what links tell, what is mended. */
#include "../../../drivers/can/core/check.h"
#include "edge_rig.h"

/* ---- Bit rates and load ------------------------------------------------------------------------------------------------------------------------------ */

/* How long a frame takes is said by the link, and by the table where the link does not know. */
static void test_whose_bit_rate_times_frames(void)
{
  static const struct { uint32_t row, link, row_data, link_data, rate, data_rate; } CASES[] = {
    {500000, 0, 2000000, 0, 500000, 2000000}, {500000, 125000, 2000000, 1000000, 125000, 1000000}, {0, 250000, 0, 4000000, 250000, 4000000}};
  for (unsigned i = 0; i < 3; i++) {
    rig_arm_table(&table);
    table.buses[AUX_BUS].bitrate_bps = CASES[i].row;
    table.buses[AUX_BUS].data_bitrate_bps = CASES[i].row_data;
    begin(0);
    link_with(AUX_BUS, 0, (struct ipcnet_can_link){.bitrate_bps = CASES[i].link, .data_bitrate_bps = CASES[i].link_data});
    CHECK_INT(bus(AUX_BUS)->health.options.frame_time_us, ipcnet_can_frame_time_us(CASES[i].rate, CASES[i].data_rate, true));
    rig_end(&rig);
  }
}

/* How much may be sent is said by the table, and by the link where the table does not say. */
static void test_whose_bit_rate_limits_the_load(void)
{
  static const struct { uint32_t row, link; uint64_t us; } CASES[] = {{500000, 250000, 200}, {0, 250000, 400}, {500000, 0, 200}, {1, 250000, 100000000}, {0, 0, 0}};
  for (unsigned i = 0; i < 5; i++) {
    rig_arm_table(&table);
    table.buses[AUX_BUS].bitrate_bps = CASES[i].row;
    table.buses[AUX_BUS].load_permille_max = 1000;
    begin(0);
    bus(AUX_BUS)->link.bitrate_bps = CASES[i].link;
    CHECK_INT(ipcnet_reflex_bus_take_at_us(rig.reflex, AUX_BUS, 100), rig.now_us + CASES[i].us); /* a new table's bucket is empty */
    CHECK_INT(ipcnet_reflex_bus_take(rig.reflex, AUX_BUS, 100), CASES[i].us == 0);
    rig_end(&rig);
  }
}

/* A bucket is full after a long pause, however long it was. */
static void test_a_pause_of_ages(void)
{
  rig_arm_table(&table);
  table.buses[AUX_BUS].load_permille_max = 500;
  begin(0);
  rig.reflex->now_us = bus(AUX_BUS)->budget_us + ((uint64_t)1 << 60);
  CHECK(ipcnet_reflex_bus_take(rig.reflex, AUX_BUS, 5000)); /* 20 ms of 250,000 bit/s */
  CHECK(!ipcnet_reflex_bus_take(rig.reflex, AUX_BUS, 1));
  rig_end(&rig);
}

/* The longest frame fits into any bucket once it is full, on the slowest bus too, and no earlier; nobody is told to come back too early. */
static void test_when_a_bucket_is_full(void)
{
  static const struct { uint32_t bitrate_bps, permille; uint64_t full_us; } CASES[] = {{10000, 1, 80000000}, {30001, 1000, 26666}, {40000, 1000, 20000}};
  for (unsigned i = 0; i < 3; i++) {
    rig_arm_table(&table);
    table.buses[AUX_BUS].bitrate_bps = CASES[i].bitrate_bps;
    table.buses[AUX_BUS].load_permille_max = (uint16_t)CASES[i].permille;
    begin(0);
    uint64_t full_us = rig.now_us + CASES[i].full_us;
    rig.reflex->now_us = full_us - 1;
    CHECK_INT(ipcnet_reflex_bus_take_at_us(rig.reflex, AUX_BUS, BUDGET_BITS_MIN), full_us);
    CHECK(!ipcnet_reflex_bus_take(rig.reflex, AUX_BUS, BUDGET_BITS_MIN));
    rig.reflex->now_us = full_us;
    CHECK(ipcnet_reflex_bus_take(rig.reflex, AUX_BUS, BUDGET_BITS_MIN));
    CHECK(!ipcnet_reflex_bus_take(rig.reflex, AUX_BUS, 1));
    rig_end(&rig);
  }
}

static void test_a_bucket_never_overflows(void)
{
  rig_arm_table(&table);
  table.buses[AUX_BUS].bitrate_bps = 0;
  table.buses[AUX_BUS].load_permille_max = 1000;
  begin(0);
  bus(AUX_BUS)->link.bitrate_bps = 500000;
  rig.reflex->now_us += 20000;
  CHECK(ipcnet_reflex_bus_take(rig.reflex, AUX_BUS, 5000)); /* half of it */
  rig.reflex->now_us += 20000;
  CHECK(ipcnet_reflex_bus_take(rig.reflex, AUX_BUS, 10000));
  CHECK(!ipcnet_reflex_bus_take(rig.reflex, AUX_BUS, 1));
  rig.reflex->now_us += 20000;
  CHECK(ipcnet_reflex_bus_take(rig.reflex, AUX_BUS, 1));
  bus(AUX_BUS)->link.bitrate_bps = 125000; /* opened anew, at another rate: a smaller one */
  CHECK(ipcnet_reflex_bus_take(rig.reflex, AUX_BUS, 2500));
  CHECK(!ipcnet_reflex_bus_take(rig.reflex, AUX_BUS, 1));
  rig_end(&rig);
}

/* ---- A new table ------------------------------------------------------------------------------------------------------------------------------------- */

static void test_a_new_table_starts_every_bus_anew(void)
{
  rig_ready(&rig);
  rig_link(&rig, AUX_BUS, IPCNET_LINK_BUS_STATE, 2);
  rig_arm_table(&table);
  struct ipcnet_reflex_bus *spare = rig_bus(&table, "spare", 0x40); /* nothing but our claim would be sent there */
  spare->tx_queue_frames = 7;
  spare->dead_after_us = 33000;
  CHECK(rig_load(&rig, &table));
  for (uint8_t number = 0; number < 4; number++) {
    CHECK_INT(phase(number), IPCNET_BUS_DOWN);
    CHECK(!bus(number)->link_up && !bus(number)->claimed && bus(number)->owned && bus(number)->link.bitrate_bps == 0);
  }
  CHECK_INT(bus(3)->health.options.tx_queue_frames, 7);
  CHECK_INT(bus(3)->health.options.dead_after_us, 33000);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_UP, 0);
  rig_link(&rig, AUX_BUS, IPCNET_LINK_UP, 0);
  CHECK(rig_lacks(&rig, IPCNET_MISSING_BUS, 3));
  CHECK(!rig_lacks(&rig, IPCNET_MISSING_BUS, EAR_BUS));
  rig_end(&rig);
}

/* Who owns already when a table first names a shared bus had listened to nobody: it begins anew, and sends nothing as the owner that it was. */
static void test_a_table_that_first_names_a_shared_bus(void)
{
  rig_begin(&rig, 0);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  rig.answers_twin = false;
  rig_arm_table(&table);
  table.buses[ARM_BUS].self_fence_us = 30000;
  CHECK_INT(rig_state(&rig).role, IPCNET_TWIN_OWNER);
  rig_load(&rig, &table);
  CHECK_INT(rig_state(&rig).role, IPCNET_TWIN_OUTVOTED);
  CHECK_INT(rig.sent_count, 0);
  rig_end(&rig);
}

/* Who waits on one bus stands in nobody's way on another. */
static void test_lines_are_by_bus(void)
{
  rig_armed_calm(&rig);
  rig.echoes[ARM_BUS] = false;
  struct ipcnet_reflex_command first = rig_make(&rig, SHOULDER), second = rig_make(&rig, SHOULDER), gripper = rig_make(&rig, GRIPPER);
  rig_give(&rig, &first);
  rig_give(&rig, &second);
  CHECK(rig.reflex->messages[SHOULDER].waiting);
  uint32_t from = rig.sent_count;
  rig_give(&rig, &gripper);
  CHECK_INT(rig_sent(&rig, from, AUX_BUS, 0x12345678), 1);
  rig_end(&rig);
}

/* ---- Owning and giving away ---------------------------------------------------------------------------------------------------------------------------- */

/* A predecessor that did not trust its bus leaves one that has to be proven, even if its link comes later; one that trusted it leaves it as it is; who never owned says nothing. */
static void test_taking_a_bus_over(void)
{
  static struct ipcnet_reflex_page page;
  static const struct { uint32_t role, phase, stale; bool link_first; uint8_t after; } CASES[] = {
    {IPCNET_TWIN_OWNER, IPCNET_BUS_UP, 2, true, IPCNET_BUS_UP},          {IPCNET_TWIN_OWNER, IPCNET_BUS_UP, 0, true, IPCNET_BUS_UP},
    {IPCNET_TWIN_OWNER, IPCNET_BUS_DEGRADED, 2, true, IPCNET_BUS_UP},    {IPCNET_TWIN_OWNER, IPCNET_BUS_SUSPECT, 2, true, IPCNET_BUS_UP},
    {IPCNET_TWIN_OWNER, IPCNET_BUS_PURGING, 0, true, IPCNET_BUS_PURGING}, {IPCNET_TWIN_OWNER, IPCNET_BUS_PROVEN, 0, true, IPCNET_BUS_PURGING},
    {IPCNET_TWIN_YIELDING, IPCNET_BUS_UP, 2, true, IPCNET_BUS_UP},       {IPCNET_TWIN_YIELDING, IPCNET_BUS_PURGING, 0, true, IPCNET_BUS_PURGING},
    {IPCNET_TWIN_STANDBY, IPCNET_BUS_UP, 1, true, IPCNET_BUS_PURGING},   {IPCNET_TWIN_STANDBY, IPCNET_BUS_PURGING, 0, true, IPCNET_BUS_UP},
    {IPCNET_TWIN_OWNER, IPCNET_BUS_PURGING, 0, false, IPCNET_BUS_PROBING}, {IPCNET_TWIN_OWNER, IPCNET_BUS_UP, 0, false, IPCNET_BUS_UP}};
  for (unsigned i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    page = (struct ipcnet_reflex_page){.magic = IPCNET_REFLEX_PAGE_MAGIC, .major = IPCNET_REFLEX_TABLE_MAJOR, .boot_id = {1, 2, 3}, .role = CASES[i].role, .epoch = 1};
    memset(page.bus_phases, (int)CASES[i].phase, sizeof page.bus_phases);
    rig_arm_table(&table);
    begin(1);
    rig.other = &page;
    rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
    if (CASES[i].link_first) rig_link(&rig, AUX_BUS, IPCNET_LINK_UP, CASES[i].stale);
    rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
    if (!CASES[i].link_first) rig_link(&rig, AUX_BUS, IPCNET_LINK_UP, CASES[i].stale);
    CHECK_INT(phase(AUX_BUS), CASES[i].after);
    rig_end(&rig);
  }
}

/* A controller's state counts if the link knows it, for who owns the bus and for who will. */
static void test_a_state_that_is_not_known(void)
{
  for (unsigned known = 0; known < 2; known++) {
    for (unsigned owned = 0; owned < 2; owned++) {
      rig_arm_table(&table);
      begin(1);
      rig_event(&rig, owned ? IPCNET_TWIN_LOCK_GRANTED : IPCNET_TWIN_LOCK_HELD);
      link_with(AUX_BUS, 0, (struct ipcnet_can_link){.bitrate_bps = 500000, .bus_state_known = known == 1, .bus_state = 2});
      if (!owned) rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
      CHECK_INT(phase(AUX_BUS), known ? IPCNET_BUS_DEGRADED : IPCNET_BUS_UP);
      rig_end(&rig);
    }
  }
}

/* A state that no controller has leaves the one before. */
static void test_a_state_that_cannot_be(void)
{
  rig_arm_table(&table);
  begin(1);
  rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
  rig_link(&rig, AUX_BUS, IPCNET_LINK_UP, 0);
  rig_link(&rig, AUX_BUS, IPCNET_LINK_BUS_STATE, 2);
  rig_link(&rig, AUX_BUS, IPCNET_LINK_BUS_STATE, 4);
  rig_link(&rig, AUX_BUS, IPCNET_LINK_BUS_STATE, 256);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(phase(AUX_BUS), IPCNET_BUS_DEGRADED);
  rig_end(&rig);
}

/* Whoever owns a bus again, after others did, begins anew with it. */
static void test_owned_anew(void)
{
  rig_arm_table(&table);
  ready();
  struct ipcnet_can_frame error = rig_frame(&rig, AUX_BUS, IPCNET_CAN_ERR_CRTL, IPCNET_CAN_ERROR, 8);
  error.data[1] = 0x08;
  rig_hear(&rig, &error);
  CHECK_INT(phase(AUX_BUS), IPCNET_BUS_DEGRADED);
  rig_event(&rig, IPCNET_TWIN_YIELD_ASKED);
  rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK_INT(phase(AUX_BUS), IPCNET_BUS_UP);
  rig_end(&rig);
}

/* Claiming twice is owning once: what is known of the bus stays. */
static void test_owned_already(void)
{
  shared_table();
  begin(0);
  rig_links_up(&rig);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  struct ipcnet_can_frame error = rig_frame(&rig, ARM_BUS, IPCNET_CAN_ERR_CRTL, IPCNET_CAN_ERROR, 8);
  error.data[1] = 0x08;
  rig_hear(&rig, &error);
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_DEGRADED);
  rig_event(&rig, IPCNET_TWIN_EPOCH_STORED);
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_DEGRADED);
  rig_end(&rig);
}

/* Whoever gives the bus away tells what was on its way as dropped, and claims it again, with a new epoch, before anything else. */
static void test_given_away_and_owned_again(void)
{
  rig_armed_calm(&rig);
  rig.echoes[ARM_BUS] = rig.answers_twin = false;
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  rig_give(&rig, &command);
  rig.now_us = bus(ARM_BUS)->beat_due_us;
  ipcnet_reflex_tick(rig.reflex, rig.now_us);
  CHECK(bus(ARM_BUS)->claim_in_flight);
  uint32_t from = rig.record_count;
  rig_event(&rig, IPCNET_TWIN_YIELD_ASKED);
  const struct ipcnet_can_frame *report = rig_report_of(&rig, from, IPCNET_REPORT_SETTLED, command.token);
  CHECK(report != NULL && report->data[0] == 0);
  CHECK(!bus(ARM_BUS)->claim_in_flight && !bus(ARM_BUS)->claimed && !bus(ARM_BUS)->owned);
  rig.answers_twin = true;
  from = rig.sent_count;
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(rig_state(&rig).role, IPCNET_TWIN_OWNER);
  CHECK_INT(rig.sent[from].frame.can_id, 0x010);
  CHECK_INT(rig.sent[from].frame.data[3] & 15, IPCNET_CLAIM);
  CHECK_INT(rig.sent[from].frame.data[4], 2);
  rig_end(&rig);
}

static void test_an_owner_mends_nothing(void)
{
  rig_arm_table(&table);
  begin(0);
  rig_links_up(&rig);
  bus(ARM_BUS)->mending = true;
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK(!bus(ARM_BUS)->mending);
  rig_end(&rig);
}

/* ---- Sending ------------------------------------------------------------------------------------------------------------------------------------------ */

static void test_nothing_is_sent_where_we_only_listen(void)
{
  rig_ready(&rig);
  static const uint8_t PHASES[] = {IPCNET_BUS_UP, IPCNET_BUS_PROVEN};
  for (unsigned i = 0; i < 2; i++) {
    bus(EAR_BUS)->health.phase = PHASES[i]; /* whatever the machine thinks of it */
    CHECK(!ipcnet_reflex_bus_reachable(rig.reflex, EAR_BUS) && !ipcnet_reflex_bus_open(rig.reflex, EAR_BUS));
  }
  CHECK(ipcnet_reflex_bus_reachable(rig.reflex, AUX_BUS) && ipcnet_reflex_bus_open(rig.reflex, AUX_BUS));
  rig_end(&rig);
}

/* What was taken is counted; a full queue is told to the machine as one, and no other refusal is. */
static void test_what_a_send_counts(void)
{
  rig_armed_calm(&rig);
  uint64_t before = ipcnet_reflex_counters(rig.reflex)->sent_frames;
  uint32_t from = rig.sent_count;
  struct ipcnet_reflex_command command = rig_make(&rig, GRIPPER);
  rig_give(&rig, &command);
  rig_run(&rig, 100000);
  CHECK(rig.sent_count > from + 1);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->sent_frames - before, rig.sent_count - from);
  static const enum ipcnet_can_verdict VERDICTS[] = {IPCNET_CAN_EXPIRED, IPCNET_CAN_BAD_LENGTH, IPCNET_CAN_QUEUE_FULL};
  for (unsigned i = 0; i < 3; i++) {
    rig.verdict[AUX_BUS] = VERDICTS[i];
    before = ipcnet_reflex_counters(rig.reflex)->sent_frames;
    command = rig_make(&rig, GRIPPER);
    CHECK(rig_refusal(&rig, &command) != 0);
    CHECK_INT(ipcnet_reflex_counters(rig.reflex)->sent_frames, before);
    CHECK_INT(bus(AUX_BUS)->health.counters.no_buffer_frames, VERDICTS[i] == IPCNET_CAN_QUEUE_FULL);
  }
  rig_end(&rig);
}

/* One change, one report; and nothing is asked of the bus that the machine did not ask for. */
static void test_one_change_is_told_once(void)
{
  rig_ready(&rig);
  CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x7FF) + rig_sent(&rig, 0, AUX_BUS, 0x7FF), 0); /* no probe on a bus that never was in doubt */
  uint32_t from = rig.record_count, reports = 0;
  rig_link(&rig, ARM_BUS, IPCNET_LINK_DOWN, 0);
  for (uint32_t i = from; i < rig.record_count; i++) reports += (rig.records[i % RIG_LOG].flags & IPCNET_REFLEX_REPORT) && rig.records[i % RIG_LOG].can_id == IPCNET_REPORT_BUS;
  CHECK_INT(reports, 1);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_UP, 0);
  CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x7FF), 1);
  rig_run(&rig, 2000);
  for (unsigned kind = 0; kind < IPCNET_EFFECTS; kind++) {
    bool asked_of_the_outside = kind == IPCNET_EFFECT_PURGE || kind == IPCNET_EFFECT_RESTART_BUS || kind == IPCNET_EFFECT_REOPEN;
    for (unsigned number = 0; number < 3 && !asked_of_the_outside; number++) CHECK_INT(rig.bus_effects[number][kind], 0);
  }
  rig_end(&rig);
}

/* A shadow on a bus that dies while we claim is given up: what it says is from before. */
static void test_a_shadow_dies_with_its_bus(void)
{
  shared_table();
  begin(0);
  rig_links_up(&rig);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(rig_state(&rig).role, IPCNET_TWIN_CLAIMING);
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  rig_give(&rig, &command);
  CHECK(rig.reflex->messages[SHOULDER].waiting);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_DOWN, 0);
  CHECK(!rig.reflex->messages[SHOULDER].waiting);
  rig_end(&rig);
}

/* ---- What links tell ---------------------------------------------------------------------------------------------------------------------------------- */

static void test_a_bus_that_is_not_in_the_table(void)
{
  static const uint8_t NUMBERS[] = {3, 8, 255};
  rig_ready(&rig);
  uint32_t records = rig.record_count;
  for (unsigned i = 0; i < 3; i++) {
    for (uint32_t kind = IPCNET_LINK_CHANGED; kind <= IPCNET_LINK_SYNCED; kind++) rig_link(&rig, NUMBERS[i], kind, 3);
  }
  CHECK_INT(rig.record_count, records);
  for (unsigned kind = 0; kind < IPCNET_EFFECTS; kind++) CHECK_INT(rig.bus_effects[3][kind], 0);
  rig_end(&rig);
}

/* A link that says nothing of itself is as the table has it. */
static void test_a_link_without_particulars(void)
{
  struct ipcnet_can_link_event up = {.kind = IPCNET_LINK_UP};
  rig_arm_table(&table);
  begin(0);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  ipcnet_reflex_link(rig.reflex, AUX_BUS, &up, NULL, rig.now_us);
  CHECK_INT(phase(AUX_BUS), IPCNET_BUS_UP);
  CHECK_INT(bus(AUX_BUS)->health.options.frame_time_us, ipcnet_can_frame_time_us(500000, 0, true));
  rig_end(&rig);
}

/* How many frames are told to have left the queue since record number `from`, and how. */
static uint32_t settled_since(uint32_t from, uint8_t how)
{
  uint32_t count = 0;
  for (uint32_t i = from; i < rig.record_count; i++) {
    const struct ipcnet_can_frame *record = &rig.records[i % RIG_LOG];
    count += (record->flags & IPCNET_REFLEX_REPORT) && record->can_id == IPCNET_REPORT_SETTLED && record->data[0] == how;
  }
  return count;
}

/* Two commands and a beat are on their way. What leaves the queue is told, and not waited for; all else stays. */
static void test_what_leaves_the_queue(void)
{
  enum { OURS = 1, ANOTHERS };
  static const struct { uint32_t kind, a; uint8_t key, dropped, purged; bool beat_waits; } CASES[] = {
    {IPCNET_LINK_CHANGED, 0, 0, 0, 0, true},       {IPCNET_LINK_UP, 0, 0, 0, 0, true},           {IPCNET_LINK_BUS_STATE, 1, 0, 0, 0, true},
    {IPCNET_LINK_DROPPED, 0, OURS, 1, 0, true},    {IPCNET_LINK_DROPPED, 0, ANOTHERS, 0, 0, false}, {IPCNET_LINK_OVERFLOW, 5, 0, 2, 0, false},
    {IPCNET_LINK_PURGE_FAILED, 1, 0, 0, 0, true},  {IPCNET_LINK_RESTART_FAILED, 0, 0, 0, 0, true}, {IPCNET_LINK_PURGED, 0, 0, 0, 2, false},
    {IPCNET_LINK_DOWN, 0, 0, 2, 0, false},         {IPCNET_LINK_GONE, 0, 0, 2, 0, false},        {IPCNET_LINK_SYNCED, 1, 0, 0, 0, true}};
  for (unsigned i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    rig_armed_calm(&rig);
    rig.echoes[ARM_BUS] = false;
    tick_at(bus(ARM_BUS)->beat_due_us);
    struct ipcnet_reflex_command shoulder = rig_make(&rig, SHOULDER), elbow = rig_make(&rig, ELBOW);
    rig_give(&rig, &shoulder);
    rig_give(&rig, &elbow);
    CHECK(rig.reflex->messages[SHOULDER].in_flight && rig.reflex->messages[ELBOW].in_flight && bus(ARM_BUS)->claim_in_flight);
    uint32_t from = rig.record_count;
    uint64_t key = rig.reflex->messages[ELBOW].in_flight_key;
    struct ipcnet_can_link_event event = {.kind = CASES[i].kind, .a = CASES[i].a, .key = CASES[i].key == OURS ? key : key + 1};
    ipcnet_reflex_link(rig.reflex, ARM_BUS, &event, NULL, rig.now_us);
    CHECK_INT(settled_since(from, 0), CASES[i].dropped);
    CHECK_INT(settled_since(from, 1), CASES[i].purged);
    CHECK_INT(bus(ARM_BUS)->claim_in_flight, CASES[i].beat_waits);
    bool gone = event.kind == IPCNET_LINK_DOWN || event.kind == IPCNET_LINK_GONE;
    CHECK_INT(bus(ARM_BUS)->link_up, !gone);
    CHECK_INT(rig.bus_effects[ARM_BUS][IPCNET_EFFECT_REOPEN], gone);
    CHECK_INT(bus(ARM_BUS)->health.counters.lost_frames, event.kind == IPCNET_LINK_OVERFLOW ? 5 : 0);
    rig_end(&rig);
  }
}

/* A bus that works is not dead for a frame that was dropped, or whose echo may be among those that were lost; it is for one that is still waited for. */
static void test_whose_echo_is_waited_for(void)
{
  enum { NOTHING, ECHO_OF_ONE, DROP_OF_ONE, OVERFLOW };
  static const struct { uint8_t frames, then, after; } CASES[] = {
    {1, NOTHING, IPCNET_BUS_PURGING},     {1, ECHO_OF_ONE, IPCNET_BUS_UP},      {2, ECHO_OF_ONE, IPCNET_BUS_PURGING},
    {1, DROP_OF_ONE, IPCNET_BUS_UP},      {2, DROP_OF_ONE, IPCNET_BUS_PURGING}, {2, OVERFLOW, IPCNET_BUS_UP}};
  for (unsigned i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    rig_armed_calm(&rig);
    rig.echoes[AUX_BUS] = false;
    for (uint16_t message = GRIPPER; message < GRIPPER + CASES[i].frames; message++) {
      struct ipcnet_reflex_command command = rig_make(&rig, message);
      CHECK_INT(rig_refusal(&rig, &command), 0);
    }
    CHECK_INT(rig.flying_count[AUX_BUS], CASES[i].frames);
    struct ipcnet_can_frame echo = rig.flying[AUX_BUS][0];
    echo.flags |= IPCNET_CAN_ECHO;
    struct ipcnet_can_link_event dropped = {.kind = IPCNET_LINK_DROPPED, .key = rig.reflex->messages[GRIPPER].in_flight_key};
    if (CASES[i].then == ECHO_OF_ONE) rig_hear(&rig, &echo);
    if (CASES[i].then == DROP_OF_ONE) ipcnet_reflex_link(rig.reflex, AUX_BUS, &dropped, NULL, rig.now_us);
    if (CASES[i].then == OVERFLOW) rig_link(&rig, AUX_BUS, IPCNET_LINK_OVERFLOW, 1);
    rig_run(&rig, ipcnet_bus_health_echo_patience_us(&bus(AUX_BUS)->health) + 2000);
    CHECK_INT(phase(AUX_BUS), CASES[i].after);
    rig_end(&rig);
  }
}

/* A link without echoes: nobody waits for any, and what others say proves it. */
static void test_a_link_without_echoes(void)
{
  rig_armed_calm(&rig);
  rig.plant = false;
  rig_link(&rig, AUX_BUS, IPCNET_LINK_DOWN, 0);
  link_with(AUX_BUS, 1, (struct ipcnet_can_link){.bitrate_bps = 500000});
  CHECK_INT(phase(AUX_BUS), IPCNET_BUS_PROBING);
  struct ipcnet_can_frame error = rig_frame(&rig, AUX_BUS, IPCNET_CAN_ERR_ACK, IPCNET_CAN_ERROR, 8), state = rig_frame(&rig, AUX_BUS, 0x283, 0, 2);
  rig_hear(&rig, &error);
  CHECK_INT(phase(AUX_BUS), IPCNET_BUS_PROBING);
  rig_hear(&rig, &state);
  CHECK_INT(phase(AUX_BUS), IPCNET_BUS_PROVEN);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_REARM_BUS, AUX_BUS, 0), IPCNET_ANSWER_DONE);
  rig_report(&rig);
  rig_order(&rig, IPCNET_ORDER_RESET, 0, 0);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_DONE);
  rig.echoes[AUX_BUS] = false;
  rig.plant = true;
  struct ipcnet_reflex_command command = rig_make(&rig, GRIPPER);
  CHECK_INT(rig_refusal(&rig, &command), 0);
  rig_run(&rig, 2 * ipcnet_bus_health_echo_patience_us(&bus(AUX_BUS)->health));
  CHECK_INT(phase(AUX_BUS), IPCNET_BUS_UP);
  rig_end(&rig);
}

/* An answer that nobody waits for, or to another question, changes nothing. */
static void test_answers_to_other_questions(void)
{
  rig_ready(&rig);
  rig.echoes[ARM_BUS] = false;
  rig_run(&rig, 100000);
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_PURGING);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_OVERFLOW, 1);
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_PURGING);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_BUS_STATE, 3);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_PURGED, 0);
  rig_run(&rig, 101000);
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_OFF_RESTARTING);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_PURGE_FAILED, 1);
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_OFF_RESTARTING);
  rig_end(&rig);
}

/* The echo of a command says nothing of the beat that waits behind it. */
static void test_whose_echo_it_is(void)
{
  rig_armed_calm(&rig);
  rig.echoes[ARM_BUS] = false;
  tick_at(bus(ARM_BUS)->beat_due_us);
  struct ipcnet_can_frame beat = rig.flying[ARM_BUS][0];
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  rig_give(&rig, &command);
  struct ipcnet_can_frame echo = rig.flying[ARM_BUS][1];
  echo.flags |= IPCNET_CAN_ECHO;
  beat.flags |= IPCNET_CAN_ECHO;
  uint64_t before = ipcnet_reflex_counters(rig.reflex)->echoed_frames;
  rig_hear(&rig, &echo);
  CHECK(bus(ARM_BUS)->claim_in_flight && !rig.reflex->messages[SHOULDER].in_flight);
  rig_hear(&rig, &beat);
  CHECK(!bus(ARM_BUS)->claim_in_flight);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->echoed_frames, before + 2);
  rig_end(&rig);
}

/* ---- The machine's instants ----------------------------------------------------------------------------------------------------------------------------- */

/* What is due is done at that instant, not a turn later. */
static void test_a_restart_at_its_instant(void)
{
  rig_ready(&rig);
  rig_link(&rig, AUX_BUS, IPCNET_LINK_BUS_STATE, 3);
  rig_link(&rig, AUX_BUS, IPCNET_LINK_PURGED, 0);
  uint64_t due_us = rig.now_us + 100000;
  CHECK_INT(ipcnet_bus_health_next_deadline_us(&bus(AUX_BUS)->health), due_us);
  tick_at(due_us - 1);
  CHECK_INT(rig.bus_effects[AUX_BUS][IPCNET_EFFECT_RESTART_BUS], 0);
  tick_at(due_us);
  CHECK_INT(rig.bus_effects[AUX_BUS][IPCNET_EFFECT_RESTART_BUS], 1);
  CHECK_INT(bus(AUX_BUS)->health.counters.bus_off_times, 1);
  rig_end(&rig);
}

/* Who does not own a bus does not wait for its machine, however it was left. */
static void test_a_machine_that_rests(void)
{
  rig_ready(&rig);
  rig_link(&rig, AUX_BUS, IPCNET_LINK_BUS_STATE, 3);
  rig_event(&rig, IPCNET_TWIN_YIELD_ASKED);
  rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
  CHECK_INT(phase(AUX_BUS), IPCNET_BUS_OFF_PURGING);
  CHECK_INT(ipcnet_reflex_bus_next_us(rig.reflex), UINT64_MAX);
  rig_end(&rig);
}

/* A new table under an owner of a shared bus: its lease begins anew, and ends. */
static void test_the_lease_of_a_new_table(void)
{
  shared_table();
  ready();
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  table.generation++;
  CHECK(rig_load(&rig, &table));
  uint64_t loaded_us = rig.now_us;
  tick_at(loaded_us + 29999);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  tick_at(loaded_us + 30000);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  rig_end(&rig);
}

/* ---- Mending -------------------------------------------------------------------------------------------------------------------------------------------- */

/* Another host's owner is heard; nothing else is, from now on. */
static void outvoted(void)
{
  shared_table();
  ready();
  hear_newer_owner();
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  memset(rig.bus_effects, 0, sizeof rig.bus_effects);
  rig.answers_twin = rig.plant = false;
}

/* Only a controller that is known to have given up the bus is mended, one that is there, and none that only listens. */
static void test_what_is_mended(void)
{
  static const struct { uint8_t bus; bool up, known; uint8_t state; bool mended; } CASES[] = {
    {ARM_BUS, true, true, 3, true}, {ARM_BUS, true, true, 2, false}, {ARM_BUS, true, false, 3, false}, {ARM_BUS, false, true, 3, false}, {AUX_BUS, true, true, 3, true}, {EAR_BUS, true, true, 3, false}};
  for (unsigned i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    outvoted();
    link_with(CASES[i].bus, 0, (struct ipcnet_can_link){.bitrate_bps = 500000, .bus_state_known = CASES[i].known, .bus_state = CASES[i].state});
    if (!CASES[i].up) rig_link(&rig, CASES[i].bus, IPCNET_LINK_DOWN, 0);
    CHECK_INT(ipcnet_reflex_bus_next_us(rig.reflex), CASES[i].mended ? rig.now_us : UINT64_MAX);
    rig_run(&rig, 2000);
    CHECK_INT(rig.bus_effects[CASES[i].bus][IPCNET_EFFECT_PURGE], CASES[i].mended);
    rig_end(&rig);
  }
}

/* ---- What is owed: an outvoted instance's own frames, still on their way ---------------------------------------------------------------------------------- */

static uint32_t purges(void)
{
  return rig.bus_effects[ARM_BUS][IPCNET_EFFECT_PURGE];
}

/* Outvoted while a command's echo is awaited: it has asked once. */
static void owes(void)
{
  rig_armed_calm(&rig);
  rig.echoes[ARM_BUS] = false;
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  rig_give(&rig, &command);
  rig.answers_twin = rig.plant = false;
  rig_event(&rig, IPCNET_TWIN_SELF_FENCED);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  CHECK_INT(purges(), 1);
  CHECK_INT(rig.bus_effects[AUX_BUS][IPCNET_EFFECT_PURGE], 0);
}

/* Whoever purges may be away just then. What waits in the controller is asked for until it is gone, each second, whether the answer was a failure or none. */
static void test_what_is_owed_is_asked_for_until_it_is_paid(void)
{
  for (int answered = 0; answered < 2; answered++) {
    owes();
    for (uint32_t asked = 1; asked < 5; asked++) {
      uint64_t at_us = rig.now_us;
      if (answered) rig_link(&rig, ARM_BUS, IPCNET_LINK_PURGE_FAILED, 5);
      CHECK_INT(ipcnet_reflex_bus_next_us(rig.reflex), at_us + 1000000);
      tick_at(at_us + 999999);
      CHECK_INT(purges(), asked);
      tick_at(at_us + 1000000);
      CHECK_INT(purges(), asked + 1);
    }
    rig_link(&rig, ARM_BUS, IPCNET_LINK_PURGED, 0);
    CHECK_INT(ipcnet_reflex_bus_next_us(rig.reflex), UINT64_MAX);
    rig_run(&rig, 5000000);
    CHECK_INT(purges(), 5);
    CHECK_INT(rig.bus_effects[AUX_BUS][IPCNET_EFFECT_PURGE], 0);
    rig_end(&rig);
  }
}

/* An interface that goes down has nothing left; a controller that gives up the bus is emptied by its mending, which asks again by itself. */
static void test_what_is_owed_ends_otherwise(void)
{
  owes();
  rig_link(&rig, ARM_BUS, IPCNET_LINK_DOWN, 0);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_UP, 0);
  rig_run(&rig, 5000000);
  CHECK_INT(purges(), 1);
  rig_end(&rig);

  owes();
  rig_link(&rig, ARM_BUS, IPCNET_LINK_BUS_STATE, 3);
  rig_run(&rig, 2000);
  CHECK_INT(purges(), 2);
  CHECK(!bus(ARM_BUS)->purge_owed);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_PURGE_FAILED, 5);
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_UNPURGEABLE);
  CHECK_INT(ipcnet_reflex_bus_next_us(rig.reflex), rig.now_us + 1000000);
  rig_run(&rig, 1001000);
  CHECK_INT(purges(), 3);
  rig_end(&rig);
}

/* Not emptied yet when it was outvoted: asked for on its behalf too, a second later. Empty, or only asked about by a probe: nothing is owed. */
static void test_what_was_owed_already(void)
{
  static const struct { uint8_t phase; bool owed; } CASES[] = {
    {IPCNET_BUS_PURGING, true}, {IPCNET_BUS_OFF_PURGING, true}, {IPCNET_BUS_UNPURGEABLE, true}, {IPCNET_BUS_PROBING, false}, {IPCNET_BUS_PROVEN, false}, {IPCNET_BUS_UP, false}, {IPCNET_BUS_DOWN, false}, {IPCNET_BUS_OFF_WAITING, false}};
  for (unsigned i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    rig_armed_calm(&rig);
    rig.answers_twin = rig.plant = false;
    CHECK_INT(bus(ARM_BUS)->health.unconfirmed_frames, 0);
    bus(ARM_BUS)->health.phase = CASES[i].phase;
    rig_event(&rig, IPCNET_TWIN_SELF_FENCED);
    CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
    CHECK_INT(purges(), 0);
    CHECK_INT(bus(ARM_BUS)->purge_owed, CASES[i].owed);
    CHECK_INT(ipcnet_reflex_bus_next_us(rig.reflex), CASES[i].owed ? rig.now_us + 1000000 : UINT64_MAX);
    rig_run(&rig, 1001000);
    CHECK_INT(purges(), CASES[i].owed);
    rig_end(&rig);
  }
}

/* Only who is outvoted asks. Who owns the bus again has a machine that judges whether it lives, and waits for nobody's purge: a pose that was interrupted goes on. */
static void test_who_pays(void)
{
  owes();
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED); /* its epoch is being stored: not yet the owner, no more the outvoted */
  CHECK(role() != IPCNET_TWIN_OUTVOTED);
  CHECK_INT(ipcnet_reflex_bus_next_us(rig.reflex), UINT64_MAX);
  rig_run(&rig, 2000000);
  CHECK_INT(purges(), 1);
  CHECK(bus(ARM_BUS)->purge_owed);
  rig_event(&rig, IPCNET_TWIN_EPOCH_STORED);
  CHECK_INT(phase(ARM_BUS), IPCNET_BUS_UP);
  CHECK_INT(purges(), 1);
  CHECK(!bus(ARM_BUS)->purge_owed);
  rig_end(&rig);
}

/* A standby leaves it alone, and mends it as soon as it is outvoted. */
static void test_who_mends(void)
{
  shared_table();
  begin(1);
  rig_links_up(&rig);
  rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
  rig_link(&rig, AUX_BUS, IPCNET_LINK_BUS_STATE, 3);
  rig_run(&rig, 2000);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  rig_link(&rig, AUX_BUS, IPCNET_LINK_PURGED, 0); /* the owner's machine has it now */
  hear_newer_owner();
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  CHECK_INT(rig.bus_effects[AUX_BUS][IPCNET_EFFECT_PURGE], 1);
  rig_run(&rig, 2000);
  CHECK_INT(rig.bus_effects[AUX_BUS][IPCNET_EFFECT_PURGE], 2);
  rig_end(&rig);
}

/* It begins anew, with its whole budget, whatever was used up as owner; and never says that the bus is up. */
static void test_mending_begins_anew(void)
{
  shared_table();
  ready();
  rig_link(&rig, AUX_BUS, IPCNET_LINK_BUS_STATE, 3);
  bus(AUX_BUS)->health.phase = IPCNET_BUS_OFF_GIVEN_UP;
  hear_newer_owner();
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  rig.answers_twin = rig.plant = false;
  uint32_t from = rig.record_count;
  rig_run(&rig, 2000);
  CHECK_INT(phase(AUX_BUS), IPCNET_BUS_OFF_PURGING);
  uint32_t told = 0;
  for (uint32_t i = from; i < rig.record_count; i++) {
    const struct ipcnet_can_frame *record = &rig.records[i % RIG_LOG];
    if (!(record->flags & IPCNET_REFLEX_REPORT) || record->can_id != IPCNET_REPORT_BUS) continue;
    told++;
    CHECK(record->data[0] == IPCNET_STATE_DEAD || record->data[0] == IPCNET_STATE_BUS_OFF);
  }
  CHECK(told > 0);
  rig_end(&rig);
}

/* Once the controller works again it is left alone, however long nobody is heard. */
static void test_what_is_mended_is_left_alone(void)
{
  outvoted();
  rig_link(&rig, AUX_BUS, IPCNET_LINK_BUS_STATE, 3);
  rig_run(&rig, 2000);
  rig_link(&rig, AUX_BUS, IPCNET_LINK_PURGED, 0);
  rig_run(&rig, 101000);
  rig_link(&rig, AUX_BUS, IPCNET_LINK_BUS_STATE, 0);
  rig_run(&rig, 30000000);
  CHECK_INT(rig.bus_effects[AUX_BUS][IPCNET_EFFECT_PURGE], 1);
  CHECK_INT(rig.bus_effects[AUX_BUS][IPCNET_EFFECT_RESTART_BUS], 1);
  rig_end(&rig);
}

/* An interface that went away while it was mended comes back with a controller that works: it is not restarted. */
static void test_a_link_that_goes_away_while_it_is_mended(void)
{
  outvoted();
  rig_link(&rig, AUX_BUS, IPCNET_LINK_BUS_STATE, 3);
  rig_run(&rig, 2000);
  rig_link(&rig, AUX_BUS, IPCNET_LINK_PURGED, 0);
  rig_link(&rig, AUX_BUS, IPCNET_LINK_GONE, 0);
  CHECK_INT(rig.bus_effects[AUX_BUS][IPCNET_EFFECT_REOPEN], 1);
  rig_link(&rig, AUX_BUS, IPCNET_LINK_UP, 0);
  rig_run(&rig, 10000000);
  CHECK_INT(rig.bus_effects[AUX_BUS][IPCNET_EFFECT_RESTART_BUS], 0);
  rig_end(&rig);
}

int main(void)
{
  test_whose_bit_rate_times_frames();
  test_whose_bit_rate_limits_the_load();
  test_a_pause_of_ages();
  test_when_a_bucket_is_full();
  test_a_bucket_never_overflows();
  test_a_new_table_starts_every_bus_anew();
  test_a_table_that_first_names_a_shared_bus();
  test_lines_are_by_bus();
  test_taking_a_bus_over();
  test_a_state_that_is_not_known();
  test_a_state_that_cannot_be();
  test_owned_already();
  test_owned_anew();
  test_given_away_and_owned_again();
  test_an_owner_mends_nothing();
  test_nothing_is_sent_where_we_only_listen();
  test_what_a_send_counts();
  test_one_change_is_told_once();
  test_a_shadow_dies_with_its_bus();
  test_a_bus_that_is_not_in_the_table();
  test_a_link_without_particulars();
  test_what_leaves_the_queue();
  test_whose_echo_is_waited_for();
  test_a_link_without_echoes();
  test_answers_to_other_questions();
  test_whose_echo_it_is();
  test_a_restart_at_its_instant();
  test_a_machine_that_rests();
  test_the_lease_of_a_new_table();
  test_what_is_mended();
  test_what_is_owed_is_asked_for_until_it_is_paid();
  test_what_is_owed_ends_otherwise();
  test_what_was_owed_already();
  test_who_pays();
  test_who_mends();
  test_mending_begins_anew();
  test_what_is_mended_is_left_alone();
  test_a_link_that_goes_away_while_it_is_mended();
  return checks_report("reflex_bus_edge");
}
