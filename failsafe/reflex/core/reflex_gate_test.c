/* Commands: every refusal and their order, the newest only, never twice, deadlines, rate and load, one in flight, counters and epochs at the moment of sending. */
#include "../../../drivers/can/core/check.h"
#include "core_rig.h"

static struct core_rig rig;
static struct table_rig table;

static uint32_t shoulder_counter(const struct ipcnet_can_frame *frame)
{
  return frame->data[2];
}

/* ---- Refusals ------------------------------------------------------------------------------------------------------------------------------- */

static void test_each_refusal(void)
{
  rig_armed_calm(&rig);
  struct ipcnet_reflex_command command = rig_make(&rig, 5);
  CHECK_INT(rig_refusal(&rig, &command), IPCNET_REFUSED_UNKNOWN);
  command = rig_make(&rig, IPCNET_REFLEX_NONE);
  CHECK_INT(rig_refusal(&rig, &command), IPCNET_REFUSED_UNKNOWN);
  command = rig_make(&rig, BRAKE); /* for the pose alone */
  CHECK_INT(rig_refusal(&rig, &command), IPCNET_REFUSED_UNKNOWN);
  command = rig_make(&rig, SHOULDER);
  command.table_hash ^= 1;
  CHECK_INT(rig_refusal(&rig, &command), IPCNET_REFUSED_TABLE);
  command = rig_make(&rig, SHOULDER);
  command.length_bytes = 7;
  CHECK_INT(rig_refusal(&rig, &command), IPCNET_REFUSED_LENGTH);
  command = rig_make(&rig, SHOULDER);
  command.deadline_us = rig.now_us;
  CHECK_INT(rig_refusal(&rig, &command), IPCNET_REFUSED_EXPIRED);
  command = rig_make(&rig, SHOULDER);
  command.brain_epoch--;
  CHECK_INT(rig_refusal(&rig, &command), IPCNET_REFUSED_OLD_BRAIN);
  command = rig_make(&rig, SHOULDER);
  CHECK_INT(rig_refusal(&rig, &command), 0);
  uint32_t sent = rig.sent_count;
  CHECK_INT(rig_refusal(&rig, &command), IPCNET_REFUSED_REPEATED);
  command.sequence--;
  CHECK_INT(rig_refusal(&rig, &command), IPCNET_REFUSED_REPEATED);
  CHECK_INT(rig.sent_count, sent);
  command = rig_make(&rig, SHOULDER);
  command.brain_epoch++; /* a new brain counts anew */
  command.sequence = 1;
  rig_run(&rig, 10000);
  command.deadline_us = rig.now_us + 10000;
  CHECK_INT(rig_refusal(&rig, &command), 0);
  command = rig_make(&rig, SHOULDER);
  CHECK_INT(rig_refusal(&rig, &command), IPCNET_REFUSED_OLD_BRAIN);
  rig.verdict[ARM_BUS] = IPCNET_CAN_EXPIRED;
  rig.brain_epoch += 1;
  static const struct { enum ipcnet_can_verdict verdict; uint8_t refusal; } VERDICTS[] = {
    {IPCNET_CAN_EXPIRED, IPCNET_REFUSED_EXPIRED}, {IPCNET_CAN_NOT_OPEN, IPCNET_REFUSED_BUS}, {IPCNET_CAN_LINK_DOWN, IPCNET_REFUSED_BUS}, {IPCNET_CAN_BAD_LENGTH, IPCNET_REFUSED_DROPPED},
    {IPCNET_CAN_QUEUE_FULL, IPCNET_REFUSED_QUEUE_FULL}};
  for (unsigned i = 0; i < 5; i++) {
    rig.verdict[ARM_BUS] = IPCNET_CAN_QUEUED;
    rig_run(&rig, 20000);
    rig.verdict[ARM_BUS] = VERDICTS[i].verdict;
    command = rig_make(&rig, SHOULDER);
    CHECK_INT(rig_refusal(&rig, &command), VERDICTS[i].refusal);
  }
  uint8_t bytes[113] = {0};
  uint64_t refused = ipcnet_reflex_counters(rig.reflex)->refused[IPCNET_REFUSED_LENGTH];
  ipcnet_reflex_command(rig.reflex, bytes, 111, rig.now_us);
  ipcnet_reflex_command(rig.reflex, bytes, 113, rig.now_us);
  ipcnet_reflex_command(rig.reflex, bytes, 0, rig.now_us);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->refused[IPCNET_REFUSED_LENGTH], refused + 3);
  rig_end(&rig);
}

static void test_checks(void)
{
  static const struct { uint16_t message; uint8_t at; uint8_t bytes[8]; uint8_t refusal; } CASES[] = {
    {SHOULDER, 4, {0xE8, 0x03}, 0}, {SHOULDER, 4, {0xE9, 0x03}, IPCNET_REFUSED_RANGE}, {SHOULDER, 4, {0x18, 0xFC}, 0}, {SHOULDER, 4, {0x17, 0xFC}, IPCNET_REFUSED_RANGE},
    {ELBOW, 4, {0x01, 0xF4}, 0}, {ELBOW, 4, {0x01, 0xF5}, IPCNET_REFUSED_RANGE}, {ELBOW, 4, {0xFE, 0x0C}, 0}, {ELBOW, 4, {0xFE, 0x0B}, IPCNET_REFUSED_RANGE},
    {GRIPPER, 0, {1, 99, 0}, 0}, {GRIPPER, 0, {1, 100, 0}, IPCNET_REFUSED_RANGE}, {GRIPPER, 0, {2, 100, 0}, 0},
    {LAMP, 0, {0x40, 0, 0, 0}, 0}, {LAMP, 0, {0x40, 0, 0, 1}, IPCNET_REFUSED_RANGE}, {LAMP, 0, {0xC0, 0, 0, 0}, 0}, {LAMP, 0, {0xC0, 0, 0, 1}, IPCNET_REFUSED_RANGE},
    {LAMP, 0, {0x80, 0, 0, 0}, 0}, {LAMP, 0, {0x7F, 0xC0, 0, 0}, IPCNET_REFUSED_RANGE}, {LAMP, 0, {0xFF, 0xC0, 0, 0}, IPCNET_REFUSED_RANGE}, {LAMP, 8, {4, 0}, IPCNET_REFUSED_RANGE},
    {LAMP, 8, {5, 0, 0, 0, 0, 0, 0, 0x80}, 0}};
  rig_armed_calm(&rig);
  for (unsigned i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    rig_run(&rig, 10000);
    struct ipcnet_reflex_command command = rig_make(&rig, CASES[i].message);
    memcpy(command.data + CASES[i].at, CASES[i].bytes, CASES[i].message == GRIPPER ? 3 : CASES[i].at == 8 ? 8 : 4);
    uint8_t refusal = rig_refusal(&rig, &command);
    if (refusal != CASES[i].refusal) fprintf(stderr, "case %u\n", i);
    CHECK_INT(refusal, CASES[i].refusal);
  }
  rig_end(&rig);
}

/* Everything is wrong at once, and is put right one by one: the refusals come in the order of reflex.h. */
static void test_order_of_refusals(void)
{
  rig_ready(&rig);
  rig.brain = rig.plant = false;
  struct ipcnet_reflex_command good = rig_make(&rig, SHOULDER), bad = good;
  good.sequence += 10;
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_DONE);
  CHECK_INT(rig_refusal(&rig, &good), 0);
  rig_order(&rig, IPCNET_ORDER_DISARM, 0, 0);
  bad.sequence = good.sequence; /* repeated */
  bad.deadline_us = rig.now_us; /* expired */
  bad.data[5] = 0x7F;           /* range */
  bad.length_bytes = 6;
  bad.table_hash ^= 1;
  bad.message = BRAKE; /* for the pose alone */
  rig_link(&rig, ARM_BUS, IPCNET_LINK_DOWN, 0);
  rig_event(&rig, IPCNET_TWIN_YIELD_ASKED);
  rig_event(&rig, IPCNET_TWIN_STOP_ASKED);
  CHECK_INT(rig_refusal(&rig, &bad), IPCNET_REFUSED_NOT_OWNER);
  rig_end(&rig);

  rig_ready(&rig);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_DOWN, 0);
  bad.deadline_us = rig.now_us;
  CHECK_INT(rig_refusal(&rig, &bad), IPCNET_REFUSED_NOT_ARMED);
  rig_end(&rig);

  rig_armed_calm(&rig);
  good.table_hash = rig_make(&rig, SHOULDER).table_hash;
  rig_give(&rig, &good);
  bad.deadline_us = rig.now_us;
  bad.table_hash = good.table_hash ^ 1;
  rig.reflex->buses[ARM_BUS].link_up = false;
  CHECK_INT(rig_refusal(&rig, &bad), IPCNET_REFUSED_BUS);
  rig.reflex->buses[ARM_BUS].link_up = true;
  CHECK_INT(rig_refusal(&rig, &bad), IPCNET_REFUSED_UNKNOWN);
  bad.message = SHOULDER;
  CHECK_INT(rig_refusal(&rig, &bad), IPCNET_REFUSED_TABLE);
  bad.table_hash ^= 1;
  CHECK_INT(rig_refusal(&rig, &bad), IPCNET_REFUSED_LENGTH);
  bad.length_bytes = 8;
  CHECK_INT(rig_refusal(&rig, &bad), IPCNET_REFUSED_RANGE);
  bad.data[5] = 0;
  CHECK_INT(rig_refusal(&rig, &bad), IPCNET_REFUSED_EXPIRED);
  bad.deadline_us = rig.now_us + 10000;
  CHECK_INT(rig_refusal(&rig, &bad), IPCNET_REFUSED_REPEATED);
  bad.sequence++;
  bad.brain_epoch--;
  CHECK_INT(rig_refusal(&rig, &bad), IPCNET_REFUSED_OLD_BRAIN);
  bad.brain_epoch++;
  rig_echo(&rig);
  rig_run(&rig, 6000);
  bad.deadline_us = rig.now_us + 10000;
  CHECK_INT(rig_refusal(&rig, &bad), 0);
  const struct ipcnet_reflex_counters *counters = ipcnet_reflex_counters(rig.reflex);
  for (unsigned why = IPCNET_REFUSED_BUS; why <= IPCNET_REFUSED_EXPIRED; why++) CHECK_INT(counters->refused[why], 1);
  rig_end(&rig);
}

static void test_report_of_a_refusal(void)
{
  rig_armed_calm(&rig);
  struct ipcnet_reflex_command command = rig_make(&rig, 0x1234);
  command.token = 0xABCDEF01u;
  rig_give(&rig, &command);
  const struct ipcnet_can_frame *report = rig_report_of(&rig, 0, IPCNET_REPORT_REFUSED, 0xABCDEF01u);
  CHECK(report != NULL && report->data[0] == IPCNET_REFUSED_UNKNOWN && report->data[2] == 0x34 && report->data[3] == 0x12 && report->length_bytes == 4);
  rig_end(&rig);
}

/* ---- What is sent ----------------------------------------------------------------------------------------------------------------------------- */

static void test_frame_as_sent(void)
{
  rig_armed_calm(&rig);
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  memset(command.data, 0xFF, 4); /* epoch, owner and protection are not the brain's to say */
  command.data[4] = 0x2A;
  command.data[5] = command.data[6] = command.data[7] = 0;
  rig_give(&rig, &command);
  const struct ipcnet_can_frame *frame = rig_last_sent(&rig, ARM_BUS, 0x101);
  CHECK(frame != NULL);
  uint32_t counter = 99;
  const ipcnet_e2e_config p05 = {.data_id = 0x1234, .max_length_bytes = 8};
  CHECK_INT(ipcnet_e2e_p05_inspect(&p05, frame->data, 8, &counter), IPCNET_E2E_INSPECTED_OK);
  CHECK_INT(counter, 1);
  CHECK_INT(frame->data[3], 0xC0 | 0 << 4 | (rig_state(&rig).epoch & 15)); /* the two bits beyond epoch and owner are the brain's */
  CHECK_INT(frame->data[4], 0x2A);
  CHECK_INT(frame->length_bytes, 8);
  CHECK_INT(frame->flags, 0);
  CHECK(frame->time_us == (double)command.deadline_us);
  command = rig_make(&rig, ELBOW);
  rig_give(&rig, &command);
  frame = rig_last_sent(&rig, ARM_BUS, 0x102);
  const ipcnet_e2e_config p11 = {.data_id = 0x77, .counter_offset_bits = 8, .data_id_nibble_offset_bits = 12, .data_id_mode = IPCNET_E2E_NIBBLE};
  CHECK_INT(ipcnet_e2e_p01_inspect(&p11, frame->data, 8, &counter), IPCNET_E2E_INSPECTED_OK);
  CHECK_INT(frame->data[2], rig_state(&rig).epoch);
  command = rig_make(&rig, GRIPPER);
  command.data[2] = 0x5A;
  rig_give(&rig, &command);
  frame = rig_last_sent(&rig, AUX_BUS, 0x12345678);
  CHECK(frame != NULL && frame->flags == IPCNET_CAN_EXTENDED && frame->length_bytes == 3 && frame->data[2] == 0x5A);
  command = rig_make(&rig, LAMP);
  memset(command.data + 16, 0xEE, 48); /* beyond the frame: never seen */
  rig_give(&rig, &command);
  frame = rig_last_sent(&rig, AUX_BUS, 0x200);
  CHECK(frame != NULL && frame->flags == (IPCNET_CAN_FD | IPCNET_CAN_BRS) && frame->length_bytes == 16 && frame->data[16] == 0 && frame->data[63] == 0);
  rig_end(&rig);
}

static void test_owner_number(void)
{
  rig_arm_table(&table);
  table.buses[ARM_BUS].host = 1;
  rig_ready_with(&rig, &table, 1);
  rig_order(&rig, IPCNET_ORDER_ARM, 0, 0);
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  rig_give(&rig, &command);
  CHECK_INT(rig_last_sent(&rig, ARM_BUS, 0x101)->data[3] >> 4, 3);
  CHECK(rig_last_sent(&rig, ARM_BUS, 0x013) != NULL); /* and so are its claims */
  rig_end(&rig);
}

static void test_counter_rises_and_wraps(void)
{
  rig_armed_calm(&rig);
  uint32_t before = 0;
  for (unsigned i = 0; i < 600; i++) {
    struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
    CHECK_INT(rig_refusal(&rig, &command), 0);
    uint32_t counter = shoulder_counter(rig_last_sent(&rig, ARM_BUS, 0x101));
    CHECK_INT(counter, (before + 1) & 0xFF);
    before = counter;
    CHECK_INT(rig.page->messages[SHOULDER].e2e_counter, counter);
    CHECK_INT(rig.page->messages[SHOULDER].sent, i + 1);
    rig_run(&rig, 10000);
  }
  rig_end(&rig);
}

static void test_a_frame_not_taken_uses_no_counter(void)
{
  rig_armed_calm(&rig);
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  rig_give(&rig, &command);
  rig_run(&rig, 10000);
  struct ipcnet_reflex_page_message before = rig.page->messages[SHOULDER];
  rig.verdict[ARM_BUS] = IPCNET_CAN_EXPIRED;
  command = rig_make(&rig, SHOULDER);
  CHECK_INT(rig_refusal(&rig, &command), IPCNET_REFUSED_EXPIRED);
  CHECK_INT(rig.page->messages[SHOULDER].e2e_counter, before.e2e_counter);
  CHECK_INT(rig.page->messages[SHOULDER].sent, before.sent);
  CHECK_INT(rig.page->messages[SHOULDER].deadline_us, before.deadline_us);
  CHECK_INT(rig.page->messages[SHOULDER].sequence, command.sequence); /* but the command is done with */
  rig.verdict[ARM_BUS] = IPCNET_CAN_QUEUED;
  rig_run(&rig, 10000);
  command = rig_make(&rig, SHOULDER);
  rig_give(&rig, &command);
  CHECK_INT(shoulder_counter(rig_last_sent(&rig, ARM_BUS, 0x101)), 2);
  CHECK_INT(rig.page->messages[SHOULDER].e2e_counter, 2);
  CHECK_INT(rig.page->messages[SHOULDER].deadline_us, command.deadline_us);
  CHECK_INT(rig.page->messages[SHOULDER].brain_epoch, command.brain_epoch);
  rig_end(&rig);
}

static void test_deadline_is_cut_to_the_ttl(void)
{
  rig_armed_calm(&rig);
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  command.deadline_us = UINT64_MAX;
  rig_give(&rig, &command);
  CHECK(rig_last_sent(&rig, ARM_BUS, 0x101)->time_us == (double)(rig.now_us + 50000));
  rig_run(&rig, 10000);
  command = rig_make(&rig, SHOULDER);
  command.deadline_us = rig.now_us + 1;
  rig_give(&rig, &command);
  CHECK(rig_last_sent(&rig, ARM_BUS, 0x101)->time_us == (double)(rig.now_us + 1));
  rig_end(&rig);
}

/* ---- Slots ---------------------------------------------------------------------------------------------------------------------------------- */

static void test_newest_only(void)
{
  rig_armed_calm(&rig);
  struct ipcnet_reflex_command first = rig_make(&rig, SHOULDER), second = rig_make(&rig, SHOULDER), third = rig_make(&rig, SHOULDER);
  second.data[4] = 2;
  third.data[4] = 3;
  uint32_t from = rig.sent_count, records = rig.record_count;
  rig_give(&rig, &first);
  rig_give(&rig, &second); /* waits: the first is on its way */
  rig_give(&rig, &third);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x101), 1);
  const struct ipcnet_can_frame *report = rig_report_of(&rig, records, IPCNET_REPORT_REFUSED, second.token);
  CHECK(report != NULL && report->data[0] == IPCNET_REFUSED_SUPERSEDED);
  rig_run(&rig, 10000);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x101), 2);
  CHECK_INT(rig_last_sent(&rig, ARM_BUS, 0x101)->data[4], 3);
  CHECK(rig_report_of(&rig, records, IPCNET_REPORT_REFUSED, third.token) == NULL);
  rig_run(&rig, 30000);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x101), 2); /* never again by itself */
  rig_end(&rig);
}

static void test_one_in_flight(void)
{
  rig_armed_calm(&rig);
  rig.echoes[ARM_BUS] = false;
  uint32_t from = rig.sent_count;
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  rig_give(&rig, &command);
  rig_run(&rig, 10000);
  struct ipcnet_reflex_command next = rig_make(&rig, SHOULDER), other = rig_make(&rig, ELBOW);
  rig_give(&rig, &next);
  rig_run(&rig, 1000);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x101), 1);
  rig_give(&rig, &other); /* another kind does not wait for it */
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x102), 1);
  rig.echoes[ARM_BUS] = true;
  uint32_t records = rig.record_count;
  rig_echo(&rig);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x101), 2); /* at once, not with the next tick */
  bool echoed = false;
  for (uint32_t i = records; i < rig.record_count; i++) {
    const struct ipcnet_can_frame *record = &rig.records[i % RIG_LOG];
    if ((record->flags & IPCNET_CAN_ECHO) && record->can_id == 0x101) echoed = record->token == command.token;
  }
  CHECK(echoed);
  rig_end(&rig);
}

static void test_a_link_without_echoes_needs_none(void)
{
  rig_armed_calm(&rig);
  struct ipcnet_can_link link = {.up = true, .bitrate_bps = 500000};
  struct ipcnet_can_link_event up = {.kind = IPCNET_LINK_UP, .b = 1};
  rig_link(&rig, AUX_BUS, IPCNET_LINK_DOWN, 0);
  ipcnet_reflex_link(rig.reflex, AUX_BUS, &up, &link, rig.now_us);
  rig_run(&rig, 2000);
  struct ipcnet_can_frame frame = rig_frame(&rig, AUX_BUS, 0x111, 0, 0);
  rig_hear(&rig, &frame); /* where nothing is echoed, somebody else's frame is the proof */
  rig.echoes[AUX_BUS] = false;
  rig.reflex->arming = IPCNET_DISARMED;
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_REARM_BUS, AUX_BUS, 0), IPCNET_ANSWER_DONE);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_DONE);
  uint32_t from = rig.sent_count;
  for (unsigned i = 0; i < 3; i++) {
    struct ipcnet_reflex_command command = rig_make(&rig, GRIPPER);
    CHECK_INT(rig_refusal(&rig, &command), 0);
  }
  CHECK_INT(rig_sent(&rig, from, AUX_BUS, 0x12345678), 3);
  rig_end(&rig);
}

static void test_waiting_expires(void)
{
  rig_armed_calm(&rig);
  struct ipcnet_reflex_command first = rig_make(&rig, SHOULDER), second = rig_make(&rig, SHOULDER);
  second.deadline_us = rig.now_us + 2000;
  uint32_t from = rig.sent_count, records = rig.record_count;
  rig_give(&rig, &first);
  rig_echo(&rig);
  rig_give(&rig, &second); /* too early by its rate */
  CHECK_INT(ipcnet_reflex_next_deadline_us(rig.reflex) <= rig.now_us + 2000, 1);
  rig_run(&rig, 10000);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x101), 1);
  const struct ipcnet_can_frame *report = rig_report_of(&rig, records, IPCNET_REPORT_REFUSED, second.token);
  CHECK(report != NULL && report->data[0] == IPCNET_REFUSED_EXPIRED);
  CHECK_INT(rig.page->messages[SHOULDER].sequence, second.sequence);
  rig_end(&rig);
}

static void test_rate(void)
{
  rig_armed_calm(&rig);
  uint32_t from = rig.sent_count;
  for (unsigned ms = 0; ms < 100; ms++) {
    struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
    rig_give(&rig, &command);
    rig_run(&rig, 1000);
  }
  uint32_t sent = rig_sent(&rig, from, ARM_BUS, 0x101);
  CHECK(sent >= 20 && sent <= 21); /* every 5 ms */
  uint64_t before = 0;
  for (uint32_t i = from; i < rig.sent_count; i++) {
    if (rig.sent[i % RIG_LOG].frame.can_id != 0x101) continue;
    CHECK(before == 0 || rig.sent[i % RIG_LOG].at_us - before >= 2500); /* half an interval: jitter is made up for */
    before = rig.sent[i % RIG_LOG].at_us;
  }
  rig_end(&rig);
}

static void test_rate_after_a_pause_and_late(void)
{
  rig_armed_calm(&rig);
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  rig_give(&rig, &command); /* schedule: now + 2.5 ms, for there was none before */
  rig_echo(&rig);
  command = rig_make(&rig, SHOULDER);
  uint32_t from = rig.sent_count;
  rig_give(&rig, &command);
  rig.now_us += 2499;
  ipcnet_reflex_tick(rig.reflex, rig.now_us);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x101), 0);
  CHECK_INT(ipcnet_reflex_next_deadline_us(rig.reflex), rig.now_us + 1);
  rig.now_us += 1;
  ipcnet_reflex_tick(rig.reflex, rig.now_us);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x101), 1);
  rig_echo(&rig);
  command = rig_make(&rig, SHOULDER);
  rig_give(&rig, &command); /* now the schedule is kept: 5 ms after the last */
  rig.now_us += 4999;
  ipcnet_reflex_tick(rig.reflex, rig.now_us);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x101), 1);
  rig.now_us += 1;
  ipcnet_reflex_tick(rig.reflex, rig.now_us);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x101), 2);
  rig_end(&rig);
}

static void test_load_budget(void)
{
  rig_arm_table(&table);
  table.buses[AUX_BUS].load_permille_max = 100; /* 50 000 bit/s: 1 000 bits at once after a pause, then 50 a millisecond */
  rig_ready_with(&rig, &table, 0);
  rig_order(&rig, IPCNET_ORDER_ARM, 0, 0);
  uint32_t from = rig.sent_count;
  for (unsigned i = 0; i < 12; i++) {
    struct ipcnet_reflex_command command = rig_make(&rig, GRIPPER); /* 135 bits, no rate of its own */
    rig_give(&rig, &command);
    rig_echo(&rig);
  }
  CHECK_INT(rig_sent(&rig, from, AUX_BUS, 0x12345678), 7); /* 945 of 1 000 bits */
  uint64_t due_us = ipcnet_reflex_next_deadline_us(rig.reflex);
  CHECK_INT(due_us, rig.now_us + 1600); /* 80 bits are missing */
  rig.now_us = due_us - 1;
  ipcnet_reflex_tick(rig.reflex, rig.now_us);
  CHECK_INT(rig_sent(&rig, from, AUX_BUS, 0x12345678), 7);
  rig.now_us = due_us;
  ipcnet_reflex_tick(rig.reflex, rig.now_us);
  CHECK_INT(rig_sent(&rig, from, AUX_BUS, 0x12345678), 8);
  uint32_t at_start = rig.sent_count;
  for (unsigned ms = 0; ms < 400; ms++) {
    struct ipcnet_reflex_command command = rig_make(&rig, GRIPPER);
    rig_give(&rig, &command);
    struct ipcnet_reflex_command lamp = rig_make(&rig, LAMP);
    lamp.sequence = rig.sequence;
    rig_give(&rig, &lamp);
    rig_run(&rig, 1000);
  }
  uint32_t bits = rig_sent(&rig, at_start, AUX_BUS, 0x12345678) * 135 + rig_sent(&rig, at_start, AUX_BUS, 0x200) * 300;
  CHECK(bits <= 400 * 50 + 300 && bits >= 400 * 50 - 300);
  CHECK(rig_sent(&rig, at_start, AUX_BUS, 0x12345678) > 10); /* nobody starves */
  CHECK(rig_sent(&rig, at_start, AUX_BUS, 0x200) > 5);
  rig_end(&rig);
}

static void test_small_budget_still_sends(void)
{
  rig_arm_table(&table);
  table.buses[AUX_BUS].load_permille_max = 1; /* 500 bit/s: 10 bits in 20 ms, but never less than one longest frame at once */
  rig_ready_with(&rig, &table, 0);
  rig_run(&rig, 2000000);
  rig_order(&rig, IPCNET_ORDER_ARM, 0, 0);
  uint32_t from = rig.sent_count;
  for (unsigned i = 0; i < 8; i++) {
    struct ipcnet_reflex_command command = rig_make(&rig, GRIPPER);
    rig_give(&rig, &command);
    rig_echo(&rig);
  }
  CHECK_INT(rig_sent(&rig, from, AUX_BUS, 0x12345678), 5); /* 675 of 800 */
  rig_end(&rig);
}

/* ---- What waits, and what is in flight, when something happens ---------------------------------------------------------------------------------- */

static void test_disarming_drops(void)
{
  rig_armed_calm(&rig);
  struct ipcnet_reflex_command first = rig_make(&rig, SHOULDER), second = rig_make(&rig, SHOULDER);
  uint32_t from = rig.sent_count, records = rig.record_count;
  rig_give(&rig, &first);
  rig_give(&rig, &second);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_DISARM, 0, 0), IPCNET_ANSWER_DONE);
  const struct ipcnet_can_frame *report = rig_report_of(&rig, records, IPCNET_REPORT_REFUSED, second.token);
  CHECK(report != NULL && report->data[0] == IPCNET_REFUSED_DROPPED);
  CHECK_INT(rig.page->messages[SHOULDER].deadline_us, 0);
  rig_order(&rig, IPCNET_ORDER_ARM, 0, 0);
  rig_run(&rig, 30000);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x101), 1);
  rig_end(&rig);
}

static void test_purge_drops_and_settles(void)
{
  rig_armed_calm(&rig);
  rig.echoes[AUX_BUS] = false;
  struct ipcnet_reflex_command first = rig_make(&rig, GRIPPER), second = rig_make(&rig, GRIPPER), other = rig_make(&rig, SHOULDER);
  uint32_t from = rig.sent_count, records = rig.record_count;
  rig_give(&rig, &first);
  rig_give(&rig, &second);
  rig.echoes[ARM_BUS] = false;
  rig_give(&rig, &other);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_PURGE_BUS, AUX_BUS, 0), IPCNET_ANSWER_DONE);
  CHECK_INT(rig.bus_effects[AUX_BUS][IPCNET_EFFECT_PURGE], 1);
  const struct ipcnet_can_frame *report = rig_report_of(&rig, records, IPCNET_REPORT_REFUSED, second.token);
  CHECK(report != NULL && report->data[0] == IPCNET_REFUSED_DROPPED);
  rig_link(&rig, AUX_BUS, IPCNET_LINK_PURGED, 0);
  report = rig_report_of(&rig, records, IPCNET_REPORT_SETTLED, first.token);
  CHECK(report != NULL && report->data[0] == 1 && report->bus == AUX_BUS && report->data[2] == GRIPPER);
  CHECK(rig_report_of(&rig, records, IPCNET_REPORT_SETTLED, other.token) == NULL); /* another bus */
  CHECK_INT(rig_sent(&rig, from, AUX_BUS, 0x12345678), 1);
  struct ipcnet_reflex_command third = rig_make(&rig, GRIPPER);
  CHECK_INT(rig_refusal(&rig, &third), 0);
  CHECK_INT(rig_sent(&rig, from, AUX_BUS, 0x12345678), 2); /* nothing is in flight any more */
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_PURGE_BUS, 3, 0), IPCNET_ANSWER_UNKNOWN);
  rig_end(&rig);
}

static void test_a_dropped_frame_settles(void)
{
  rig_armed_calm(&rig);
  rig.echoes[ARM_BUS] = false;
  struct ipcnet_reflex_command first = rig_make(&rig, SHOULDER), second = rig_make(&rig, ELBOW);
  uint32_t records = rig.record_count;
  rig_give(&rig, &first);
  rig_give(&rig, &second);
  const struct ipcnet_can_frame *frame = rig_last_sent(&rig, ARM_BUS, 0x102);
  struct ipcnet_can_link_event dropped = {.kind = IPCNET_LINK_DROPPED, .key = ipcnet_can_key(frame->can_id, frame->length_bytes, frame->data)};
  ipcnet_reflex_link(rig.reflex, AUX_BUS, &dropped, NULL, rig.now_us); /* another bus */
  CHECK(rig_report_of(&rig, records, IPCNET_REPORT_SETTLED, second.token) == NULL);
  ipcnet_reflex_link(rig.reflex, ARM_BUS, &dropped, NULL, rig.now_us);
  const struct ipcnet_can_frame *report = rig_report_of(&rig, records, IPCNET_REPORT_SETTLED, second.token);
  CHECK(report != NULL && report->data[0] == 0);
  CHECK(rig_report_of(&rig, records, IPCNET_REPORT_SETTLED, first.token) == NULL);
  rig_end(&rig);
  rig_armed_calm(&rig);
  rig.echoes[AUX_BUS] = false;
  first = rig_make(&rig, GRIPPER);
  rig_give(&rig, &first);
  frame = rig_last_sent(&rig, AUX_BUS, 0x12345678);
  dropped.key = ipcnet_can_key(frame->can_id | CAN_EFF_FLAG, frame->length_bytes, frame->data);
  ipcnet_reflex_link(rig.reflex, AUX_BUS, &dropped, NULL, rig.now_us);
  CHECK(rig_report_of(&rig, 0, IPCNET_REPORT_SETTLED, first.token) != NULL);
  rig_end(&rig);
}

static void test_a_lost_echo_is_given_up(void)
{
  rig_armed_calm(&rig);
  struct ipcnet_reflex_command first = rig_make(&rig, SHOULDER);
  rig_give(&rig, &first);
  CHECK_INT(rig.flying[ARM_BUS][rig.flying_count[ARM_BUS] - 1].can_id, 0x101);
  rig.flying_count[ARM_BUS]--; /* its echo is lost; those of the beats come */
  uint64_t patience_us = ipcnet_bus_health_echo_patience_us(&rig.reflex->buses[ARM_BUS].health);
  uint32_t from = rig.sent_count, records = rig.record_count;
  rig.now_us += 1000;
  for (uint64_t start_us = rig.now_us; rig.now_us < start_us + 2 * patience_us - 3000;) {
    struct ipcnet_reflex_command next = rig_make(&rig, SHOULDER);
    rig_give(&rig, &next);
    rig_run(&rig, 1000);
  }
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x101), 0);
  struct ipcnet_reflex_command last = rig_make(&rig, SHOULDER);
  rig_give(&rig, &last);
  rig_run(&rig, 5000);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x101), 1);
  const struct ipcnet_can_frame *report = rig_report_of(&rig, records, IPCNET_REPORT_SETTLED, first.token);
  CHECK(report != NULL && report->data[0] == 0);
  CHECK_INT(rig_state(&rig).arming, IPCNET_ARMED);
  rig_end(&rig);
}

static void test_an_old_echo_says_nothing(void)
{
  rig_armed_calm(&rig);
  struct ipcnet_reflex_command first = rig_make(&rig, SHOULDER), second = rig_make(&rig, SHOULDER);
  rig_give(&rig, &first);
  struct ipcnet_can_frame echo = *rig_last_sent(&rig, ARM_BUS, 0x101);
  rig_run(&rig, 10000);
  second.deadline_us = rig.now_us + 40000;
  rig.echoes[ARM_BUS] = false;
  rig_give(&rig, &second);
  uint32_t from = rig.sent_count;
  echo.flags |= IPCNET_CAN_ECHO;
  rig_hear(&rig, &echo); /* the first one's, again */
  struct ipcnet_reflex_command third = rig_make(&rig, SHOULDER);
  rig_give(&rig, &third);
  rig_run(&rig, 8000);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x101), 0);
  rig_end(&rig);
}

static void test_overflow_settles(void)
{
  rig_armed_calm(&rig);
  rig.echoes[ARM_BUS] = false;
  struct ipcnet_reflex_command first = rig_make(&rig, SHOULDER);
  rig_give(&rig, &first);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_OVERFLOW, 3);
  CHECK(rig_report_of(&rig, 0, IPCNET_REPORT_SETTLED, first.token) != NULL);
  rig_end(&rig);
}

/* ---- Instants ---------------------------------------------------------------------------------------------------------------------------------- */

static void test_time_comes_with_the_command(void)
{
  rig_armed_calm(&rig);
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  uint32_t from = rig.record_count;
  ipcnet_reflex_command(rig.reflex, &command, sizeof command, command.deadline_us); /* as late as that */
  CHECK_INT(rig_report_of(&rig, from, IPCNET_REPORT_REFUSED, command.token)->data[0], IPCNET_REFUSED_EXPIRED);
  command = rig_make(&rig, SHOULDER);
  from = rig.record_count;
  ipcnet_reflex_command(rig.reflex, &command, sizeof command, 1); /* a clock that goes back stands still */
  CHECK_INT(rig_report_of(&rig, from, IPCNET_REPORT_REFUSED, command.token)->data[0], IPCNET_REFUSED_EXPIRED);
  rig_end(&rig);
}

static void test_of_any_length(void)
{
  rig_armed_calm(&rig);
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  uint8_t longer[120] = {0};
  memcpy(longer, &command, sizeof command);
  uint32_t records = rig.record_count, sent = rig.sent_count;
  ipcnet_reflex_command(rig.reflex, longer, 113, rig.now_us);
  ipcnet_reflex_command(rig.reflex, longer, 111, rig.now_us);
  CHECK_INT(rig.record_count, records); /* of which one nobody can say */
  CHECK_INT(rig.sent_count, sent);
  rig_end(&rig);
}

static void test_expires_at_its_deadline(void)
{
  rig_armed_calm(&rig);
  struct ipcnet_reflex_command first = rig_make(&rig, SHOULDER), second = rig_make(&rig, SHOULDER);
  second.deadline_us = rig.now_us + 2000;
  rig_give(&rig, &first);
  rig_echo(&rig);
  rig_give(&rig, &second);
  CHECK_INT(ipcnet_reflex_gate_next_us(rig.reflex), second.deadline_us);
  uint32_t from = rig.record_count;
  rig.now_us = second.deadline_us - 1;
  ipcnet_reflex_tick(rig.reflex, rig.now_us);
  CHECK(rig_report_of(&rig, from, IPCNET_REPORT_REFUSED, second.token) == NULL);
  rig.now_us++;
  ipcnet_reflex_tick(rig.reflex, rig.now_us);
  CHECK(rig_report_of(&rig, from, IPCNET_REPORT_REFUSED, second.token) != NULL);
  CHECK(ipcnet_reflex_gate_next_us(rig.reflex) == UINT64_MAX);
  rig_end(&rig);
}

static void test_a_frame_not_taken_costs_no_time(void)
{
  rig_armed_calm(&rig);
  rig.verdict[ARM_BUS] = IPCNET_CAN_EXPIRED;
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  rig_give(&rig, &command);
  rig.verdict[ARM_BUS] = IPCNET_CAN_QUEUED;
  command = rig_make(&rig, SHOULDER);
  uint32_t from = rig.sent_count;
  rig_give(&rig, &command);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x101), 1);
  rig_end(&rig);
}

static void test_next_instants(void)
{
  rig_armed_calm(&rig);
  uint64_t patience_us = ipcnet_bus_health_echo_patience_us(&rig.reflex->buses[ARM_BUS].health);
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  rig_give(&rig, &command);
  CHECK_INT(ipcnet_reflex_gate_next_us(rig.reflex), rig.now_us + 2 * patience_us); /* its echo is given up */
  struct ipcnet_reflex_command next = rig_make(&rig, SHOULDER);
  rig_give(&rig, &next);
  CHECK_INT(ipcnet_reflex_gate_next_us(rig.reflex), rig.now_us + 40000); /* sooner: what waits behind it expires */
  rig_echo(&rig);
  CHECK_INT(ipcnet_reflex_gate_next_us(rig.reflex), rig.now_us + 2500); /* sooner: its rate */
  rig_end(&rig);
}

static void test_echo_is_given_up_exactly(void)
{
  rig_armed_calm(&rig);
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  rig_give(&rig, &command);
  rig.reflex->buses[ARM_BUS].health.unconfirmed_frames = 0; /* of the bus nobody doubts */
  uint64_t due_us = ipcnet_reflex_gate_next_us(rig.reflex);
  uint32_t from = rig.record_count;
  rig.now_us = due_us - 1;
  ipcnet_reflex_tick(rig.reflex, rig.now_us);
  CHECK(rig_report_of(&rig, from, IPCNET_REPORT_SETTLED, command.token) == NULL);
  rig.reflex->buses[ARM_BUS].health.unconfirmed_frames = 0;
  rig.now_us = due_us;
  ipcnet_reflex_tick(rig.reflex, rig.now_us);
  CHECK(rig_report_of(&rig, from, IPCNET_REPORT_SETTLED, command.token) != NULL);
  rig_end(&rig);
}

/* ---- Nothing is told twice, and nothing of others ---------------------------------------------------------------------------------------------------- */

static void test_what_landed_is_settled_by_nobody(void)
{
  rig_armed_calm(&rig);
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  rig_give(&rig, &command);
  struct ipcnet_can_frame echo = *rig_last_sent(&rig, ARM_BUS, 0x101);
  uint32_t from = rig.record_count;
  rig_run(&rig, 2000);
  struct ipcnet_can_link_event dropped = {.kind = IPCNET_LINK_DROPPED, .key = ipcnet_can_key(echo.can_id, echo.length_bytes, echo.data)};
  ipcnet_reflex_link(rig.reflex, ARM_BUS, &dropped, NULL, rig.now_us);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_OVERFLOW, 1);
  rig_run(&rig, 200000);
  CHECK(rig_report_of(&rig, from, IPCNET_REPORT_SETTLED, command.token) == NULL);
  echo.flags |= IPCNET_CAN_ECHO;
  rig_hear(&rig, &echo); /* the same echo again is nobody's */
  CHECK_INT(rig.records[(rig.record_count - 1) % RIG_LOG].token, 0);
  echo.token = 5u << 10 | 5u; /* no such row */
  rig_hear(&rig, &echo);
  CHECK_INT(rig.records[(rig.record_count - 1) % RIG_LOG].token, 0);
  for (uint32_t i = 0; i < rig.record_count; i++) { /* nor does a brain see tokens of claims */
    const struct ipcnet_can_frame *record = &rig.records[i % RIG_LOG];
    if ((record->flags & IPCNET_CAN_ECHO) && record->can_id == 0x010) CHECK_INT(record->token, 0);
  }
  rig_end(&rig);
}

static void test_a_purge_concerns_its_bus(void)
{
  rig_armed(&rig);
  rig.echoes[ARM_BUS] = false;
  struct ipcnet_reflex_command first = rig_make(&rig, SHOULDER), second = rig_make(&rig, SHOULDER);
  rig_give(&rig, &first);
  rig_give(&rig, &second);
  uint32_t from = rig.record_count;
  rig_order(&rig, IPCNET_ORDER_PURGE_BUS, AUX_BUS, 0);
  CHECK(rig_report_of(&rig, from, IPCNET_REPORT_REFUSED, second.token) == NULL);
  rig_order(&rig, IPCNET_ORDER_PURGE_BUS, ARM_BUS, 0);
  CHECK(rig_report_of(&rig, from, IPCNET_REPORT_REFUSED, second.token) != NULL);
  CHECK(rig.page->messages[SHOULDER].deadline_us != 0); /* what the motor was told holds all the same, until its time */
  rig_end(&rig);
}

static void test_rows_that_are_not_there(void)
{
  rig_armed_calm(&rig);
  struct ipcnet_reflex_command command = rig_make(&rig, 5);
  rig_give(&rig, &command);
  CHECK_INT(rig.page->messages[5].sequence, 0);
  command = rig_make(&rig, BRAKE);
  rig_give(&rig, &command);
  CHECK_INT(rig.page->messages[BRAKE].sequence, command.sequence);
  command = rig_make(&rig, BRAKE);
  command.sequence = 1;
  rig_give(&rig, &command);
  CHECK_INT(rig.page->messages[BRAKE].sequence, rig.sequence - 1); /* only rises */
  command.brain_epoch--;
  command.sequence = 1000;
  rig_give(&rig, &command);
  CHECK_INT(rig.page->messages[BRAKE].sequence, rig.sequence - 1);
  rig_end(&rig);
}

static void test_a_new_brain_counts_anew(void)
{
  rig_armed_calm(&rig);
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  command.sequence = 1000;
  CHECK_INT(rig_refusal(&rig, &command), 0);
  rig_order(&rig, IPCNET_ORDER_BRAIN_BEAT, 8, 0);
  rig_run(&rig, 10000);
  command = rig_make(&rig, SHOULDER);
  command.brain_epoch = 8;
  command.sequence = 1;
  CHECK_INT(rig_refusal(&rig, &command), 0);
  command.token++;
  CHECK_INT(rig_refusal(&rig, &command), IPCNET_REFUSED_REPEATED);
  rig_end(&rig);
}

static void test_who_was_first_in_line_and_is_gone(void)
{
  rig_arm_table(&table);
  table.buses[AUX_BUS].load_permille_max = 1; /* 800 bits at once, 0.5 a millisecond */
  table.messages[LAMP].bits = 700;
  rig_ready_with(&rig, &table, 0);
  rig_run(&rig, 2000000);
  rig_order(&rig, IPCNET_ORDER_ARM, 0, 0);
  struct ipcnet_reflex_command gripper = rig_make(&rig, GRIPPER);
  rig_give(&rig, &gripper); /* 665 are left */
  rig_echo(&rig);
  struct ipcnet_reflex_command lamp = rig_make(&rig, LAMP);
  lamp.deadline_us = rig.now_us + 3000;
  rig_give(&rig, &lamp);
  gripper = rig_make(&rig, GRIPPER);
  uint32_t from = rig.sent_count;
  rig_give(&rig, &gripper);
  CHECK_INT(rig_sent(&rig, from, AUX_BUS, 0x12345678), 0); /* the lamp came first */
  CHECK_INT(ipcnet_reflex_gate_next_us(rig.reflex), rig.now_us + 3000);
  rig_run(&rig, 4000);
  CHECK_INT(rig_sent(&rig, from, AUX_BUS, 0x12345678), 1); /* but not for ever */
  CHECK_INT(rig_sent(&rig, from, AUX_BUS, 0x200), 0);
  rig_end(&rig);
}

static void test_poses_where_nobody_claims(void)
{
  for (unsigned dead = 0; dead < 2; dead++) {
    rig_arm_table(&table);
    table.sends[4].message = GRIPPER; /* of the plan "off" */
    table.sends[4].length_bytes = 3;
    table.sends[3] = table.sends[4];
    rig_ready_with(&rig, &table, 0);
    if (dead) rig_link(&rig, AUX_BUS, IPCNET_LINK_DOWN, 0);
    uint32_t from = rig.sent_count;
    rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 0);
    rig_run(&rig, 30000);
    CHECK_INT(rig_sent(&rig, from, AUX_BUS, 0x12345678) > 0, !dead);
    rig_end(&rig);
  }
}

static void test_a_pose_overtakes(void)
{
  rig_armed_calm(&rig);
  rig.velocity = 100;
  rig_report(&rig);
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  rig_give(&rig, &command);
  uint32_t from = rig.record_count;
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1);
  const struct ipcnet_can_frame *report = rig_report_of(&rig, from, IPCNET_REPORT_SETTLED, command.token);
  CHECK(report != NULL && report->data[0] == 0);
  rig_end(&rig);
}

/* ---- A new table ------------------------------------------------------------------------------------------------------------------------------- */

static void test_counters_survive_a_new_table(void)
{
  rig_armed_calm(&rig);
  for (unsigned i = 0; i < 5; i++) {
    struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
    rig_give(&rig, &command);
    rig_run(&rig, 10000);
  }
  rig_arm_table(&table);
  table.generation = 2;
  CHECK(!rig_load(&rig, &table)); /* armed */
  rig_order(&rig, IPCNET_ORDER_DISARM, 0, 0);
  /* Rows change their places. */
  struct ipcnet_reflex_message elbow = table.messages[ELBOW];
  table.messages[ELBOW] = table.messages[SHOULDER];
  table.messages[SHOULDER] = elbow;
  for (uint32_t i = 0; i < table.counts[IPCNET_REFLEX_SENDS]; i++)
    if (table.sends[i].message == SHOULDER) table.sends[i].message = ELBOW;
  CHECK(rig_load(&rig, &table));
  CHECK_INT(rig.page->table_generation, 2);
  CHECK(memcmp(rig.page->table_hash, ((const struct ipcnet_reflex_table_header *)(const void *)rig.table_bytes)->hash, 32) == 0);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_REFUSED);
  rig_links_up(&rig);
  rig_run(&rig, 150000);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_DONE);
  struct ipcnet_reflex_command command = rig_make(&rig, ELBOW);
  CHECK_INT(rig_refusal(&rig, &command), 0);
  CHECK_INT(shoulder_counter(rig_last_sent(&rig, ARM_BUS, 0x101)), 6);
  command = rig_make(&rig, SHOULDER);
  rig_give(&rig, &command);
  CHECK_INT(rig_last_sent(&rig, ARM_BUS, 0x102)->data[1] & 15, 1);
  rig_end(&rig);
}

int main(void)
{
  test_each_refusal();
  test_checks();
  test_order_of_refusals();
  test_report_of_a_refusal();
  test_frame_as_sent();
  test_owner_number();
  test_counter_rises_and_wraps();
  test_a_frame_not_taken_uses_no_counter();
  test_deadline_is_cut_to_the_ttl();
  test_newest_only();
  test_one_in_flight();
  test_a_link_without_echoes_needs_none();
  test_waiting_expires();
  test_rate();
  test_rate_after_a_pause_and_late();
  test_load_budget();
  test_small_budget_still_sends();
  test_disarming_drops();
  test_purge_drops_and_settles();
  test_a_dropped_frame_settles();
  test_a_lost_echo_is_given_up();
  test_an_old_echo_says_nothing();
  test_overflow_settles();
  test_time_comes_with_the_command();
  test_of_any_length();
  test_expires_at_its_deadline();
  test_a_frame_not_taken_costs_no_time();
  test_next_instants();
  test_echo_is_given_up_exactly();
  test_what_landed_is_settled_by_nobody();
  test_a_purge_concerns_its_bus();
  test_rows_that_are_not_there();
  test_a_new_brain_counts_anew();
  test_who_was_first_in_line_and_is_gone();
  test_poses_where_nobody_claims();
  test_a_pose_overtakes();
  test_counters_survive_a_new_table();
  return checks_report("reflex_gate");
}
