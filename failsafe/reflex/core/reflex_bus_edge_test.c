/* Buses at their edges: bit rates that are known from here or from there, the bucket of load, what is started anew, whom a bus is taken over from. */
#include "../../../drivers/can/core/check.h"
#include "core_rig.h"

static struct core_rig rig;
static struct table_rig table;

static struct bus_state *bus(uint8_t number)
{
  return &rig.reflex->buses[number];
}

static uint8_t phase(uint8_t number)
{
  return bus(number)->health.phase;
}

static void begin(uint8_t instance)
{
  rig_begin(&rig, instance);
  rig_load(&rig, &table);
}

static void link_with(uint8_t number, struct ipcnet_can_link link)
{
  struct ipcnet_can_link_event up = {.kind = IPCNET_LINK_UP};
  link.up = true;
  ipcnet_reflex_link(rig.reflex, number, &up, &link, rig.now_us);
}

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
    link_with(AUX_BUS, (struct ipcnet_can_link){.bitrate_bps = CASES[i].link, .data_bitrate_bps = CASES[i].link_data});
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
    {IPCNET_TWIN_STANDBY, IPCNET_BUS_UP, 2, true, IPCNET_BUS_PURGING},   {IPCNET_TWIN_STANDBY, IPCNET_BUS_PURGING, 0, true, IPCNET_BUS_UP},
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

/* A controller's state counts if the link knows it. */
static void test_a_state_that_is_not_known(void)
{
  for (unsigned known = 0; known < 2; known++) {
    rig_arm_table(&table);
    begin(1);
    rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
    link_with(AUX_BUS, (struct ipcnet_can_link){.bitrate_bps = 500000, .bus_state_known = known == 1, .bus_state = 2});
    rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
    CHECK_INT(phase(AUX_BUS), known ? IPCNET_BUS_DEGRADED : IPCNET_BUS_UP);
    rig_end(&rig);
  }
}

/* Claiming twice is owning once: what is known of the bus stays. */
static void test_owned_already(void)
{
  rig_arm_table(&table);
  table.buses[ARM_BUS].self_fence_us = 30000;
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
  bus(EAR_BUS)->health.phase = IPCNET_BUS_UP; /* whatever the machine thinks of it */
  CHECK(!ipcnet_reflex_bus_reachable(rig.reflex, EAR_BUS) && !ipcnet_reflex_bus_open(rig.reflex, EAR_BUS));
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
  rig_arm_table(&table);
  table.buses[ARM_BUS].self_fence_us = 30000;
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

int main(void)
{
  test_whose_bit_rate_times_frames();
  test_whose_bit_rate_limits_the_load();
  test_a_pause_of_ages();
  test_a_new_table_starts_every_bus_anew();
  test_a_table_that_first_names_a_shared_bus();
  test_lines_are_by_bus();
  test_taking_a_bus_over();
  test_a_state_that_is_not_known();
  test_owned_already();
  test_given_away_and_owned_again();
  test_an_owner_mends_nothing();
  test_nothing_is_sent_where_we_only_listen();
  test_what_a_send_counts();
  test_one_change_is_told_once();
  test_a_shadow_dies_with_its_bus();
  return checks_report("reflex_bus_edge");
}
