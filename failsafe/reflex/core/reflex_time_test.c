/* The time, told to nodes: by the owner alone, armed or not; what the FOLLOW_UP says is when the SYNC was on the bus; what cannot be known is not said. */
#include <math.h>

#include "../../../drivers/can/core/check.h"
#include "core_rig.h"
#include "table_verdict.h"

#define TIME_ID 0x14u
#define PERIOD_US 100000u

static struct core_rig core;
static struct table_rig table;

static void time_table(struct table_rig *to)
{
  rig_arm_table(to);
  to->messages[SHOULDER].expired_trigger = IPCNET_REFLEX_NONE;
  to->buses[ARM_BUS].time_id = TIME_ID;
  to->buses[ARM_BUS].time_period_us = PERIOD_US;
}

static void begin(uint64_t at_us)
{
  time_table(&table);
  rig_begin(&core, 1);
  core.now_us = at_us;
  rig_load(&core, &table);
  rig_links_up(&core);
  rig_event(&core, IPCNET_TWIN_LOCK_GRANTED);
  rig_run(&core, 150000);
}

struct said { bool intact; uint32_t counter, kind, owner, word; };

static struct said read_frame(const struct ipcnet_can_frame *frame)
{
  const ipcnet_e2e_config config = {.data_id = 0xC1A7};
  struct said said = {.kind = frame->data[3] & 1u, .owner = frame->data[3] >> 1 & 7u};
  said.intact = frame->length_bytes == 8 && frame->data[3] >> 4 == 1 && ipcnet_e2e_p05_inspect(&config, frame->data, 8, &said.counter) == IPCNET_E2E_INSPECTED_OK;
  for (uint32_t i = 0; i < 4; i++) said.word |= (uint32_t)frame->data[4 + i] << 8 * i;
  return said;
}

/* The frames of the time, in order, from number `from` of the log on. */
static uint32_t said_from(uint32_t from, struct said *to, uint32_t max)
{
  uint32_t count = 0;
  for (uint32_t i = from; i < core.sent_count && count < max; i++) {
    if (core.sent[i % RIG_LOG].bus == ARM_BUS && core.sent[i % RIG_LOG].frame.can_id == TIME_ID) to[count++] = read_frame(&core.sent[i % RIG_LOG].frame);
  }
  return count;
}

static struct ipcnet_can_frame echo_of_last(double at_us)
{
  struct ipcnet_can_frame frame = *rig_last_sent(&core, ARM_BUS, TIME_ID);
  frame.flags |= IPCNET_CAN_ECHO;
  frame.time_us = at_us;
  return frame;
}

/* What waits will be on the bus, but for the time's frames. */
static void keep_time_back(void)
{
  uint32_t kept = 0;
  for (uint32_t i = 0; i < core.flying_count[ARM_BUS]; i++) {
    if (core.flying[ARM_BUS][i].can_id != TIME_ID) core.flying[ARM_BUS][kept++] = core.flying[ARM_BUS][i];
  }
  core.flying_count[ARM_BUS] = kept;
}

static void run_without_time(void)
{
  keep_time_back();
  rig_run(&core, 1000);
}

/* Until the next SYNC is on its way; it has no echo yet. Returns how many frames were sent until then. */
static uint32_t await_sync(void)
{
  uint32_t from = core.sent_count;
  for (int i = 0; i < 200 && !(rig_sent(&core, from, ARM_BUS, TIME_ID) > 0 && read_frame(rig_last_sent(&core, ARM_BUS, TIME_ID)).kind == 0); i++) rig_run(&core, 1000);
  CHECK_INT(read_frame(rig_last_sent(&core, ARM_BUS, TIME_ID)).kind, 0);
  keep_time_back();
  return core.sent_count;
}

static void test_pairs(void)
{
  begin(5000000);
  uint32_t from = core.sent_count;
  rig_run(&core, 1000000);
  struct said said[64];
  uint32_t count = said_from(from, said, 64);
  CHECK(count >= 18 && count <= 22); /* two a period */
  for (uint32_t i = 0; i < count; i++) {
    CHECK(said[i].intact);
    CHECK_INT(said[i].owner, 1);
    if (i == 0) continue;
    CHECK_INT(said[i].kind, said[i - 1].kind ^ 1u);
    CHECK_INT(said[i].counter, said[i].kind == 1 ? said[i - 1].counter : said[i - 1].counter + 1);
  }
  /* Nobody but the nodes: the next bus says nothing, and the brain is given no token that is not its own. */
  CHECK_INT(rig_sent(&core, from, AUX_BUS, TIME_ID), 0);
  for (uint32_t i = from < 100 ? 0 : 100; i < core.record_count; i++) {
    const struct ipcnet_can_frame *record = &core.records[i % RIG_LOG];
    if (!(record->flags & IPCNET_REFLEX_REPORT) && record->can_id == TIME_ID) CHECK_INT(record->token, 0);
  }
  rig_end(&core);
}

static void test_instant_of_the_echo(void)
{
  begin((3ull << 32) + 5000000);
  uint32_t from = await_sync();
  uint64_t sent_us = core.now_us;
  struct ipcnet_can_frame echo = echo_of_last((double)sent_us + 340.7);
  struct said said[4];
  CHECK_INT(said_from(from - 1, said, 4), 1); /* the last of the tick in which it was due */
  CHECK_INT(said[0].kind, 0);
  CHECK_INT(said[0].word, 3);
  core.now_us += 900;
  ipcnet_reflex_frames(core.reflex, ARM_BUS, &echo, 1, core.now_us);
  CHECK_INT(said_from(from, said, 4), 1);
  CHECK_INT(said[0].kind, 1);
  CHECK_INT(said[0].word, (uint32_t)(sent_us + 340));
  ipcnet_reflex_frames(core.reflex, ARM_BUS, &echo, 1, core.now_us); /* once more: it was answered */
  CHECK_INT(said_from(from, said, 4), 1);
  rig_end(&core);
}

/* Stamps from before the frame, from the future, none at all, another frame's echo, one that comes too late. */
static void test_what_cannot_be_known(void)
{
  for (unsigned i = 0; i < 7; i++) {
    begin(5000000);
    uint32_t from = await_sync();
    double sent_us = (double)core.now_us;
    const double times[] = {sent_us - 1, sent_us + 1001, NAN, sent_us + 10, sent_us + 500000, sent_us + 1000, sent_us};
    struct ipcnet_can_frame echo = echo_of_last(times[i]);
    if (i == 3) echo.token += 1u << TOKEN_ROW_BITS;
    core.now_us += i == 4 ? 500000 : 1000;
    struct said said[4];
    ipcnet_reflex_frames(core.reflex, ARM_BUS, &echo, 1, core.now_us);
    uint32_t follow_ups = 0, count = said_from(from, said, 4);
    for (uint32_t each = 0; each < count; each++) follow_ups += said[each].kind;
    CHECK_INT(follow_ups, i >= 5);
    rig_end(&core);
  }
}

static uint32_t follow_ups_from(uint32_t from)
{
  struct said said[16];
  uint32_t follow_ups = 0, count = said_from(from, said, 16);
  for (uint32_t i = 0; i < count; i++) follow_ups += said[i].kind;
  return follow_ups;
}

/* An echo is judged once; the next SYNC does not wait for it. */
static void test_judged_once(void)
{
  begin(5000000);
  uint32_t from = await_sync();
  struct ipcnet_can_frame bad = echo_of_last(0), good = echo_of_last((double)core.now_us);
  ipcnet_reflex_frames(core.reflex, ARM_BUS, &bad, 1, core.now_us);
  ipcnet_reflex_frames(core.reflex, ARM_BUS, &good, 1, core.now_us);
  CHECK_INT(follow_ups_from(from), 0);
  rig_run(&core, PERIOD_US + 1000);
  CHECK_INT(follow_ups_from(from), 1);
  rig_end(&core);
}

/* Who could not tell the time for a moment does not date a frame of before, and begins again at the next period. */
static void test_interrupted(void)
{
  begin(5000000);
  uint32_t from = await_sync();
  struct ipcnet_can_frame echo = echo_of_last((double)core.now_us);
  core.reflex->buses[ARM_BUS].confirms = false;
  run_without_time();
  core.reflex->buses[ARM_BUS].confirms = true;
  ipcnet_reflex_frames(core.reflex, ARM_BUS, &echo, 1, core.now_us);
  CHECK_INT(follow_ups_from(from), 0);
  rig_run(&core, PERIOD_US + 1000);
  CHECK_INT(follow_ups_from(from), 1);
  /* In one batch with what made the bus unfit. */
  from = await_sync();
  echo = echo_of_last((double)core.now_us);
  core.reflex->buses[ARM_BUS].claimed = false;
  ipcnet_reflex_time_echo(core.reflex, ARM_BUS, &echo);
  core.reflex->buses[ARM_BUS].claimed = true;
  CHECK_INT(follow_ups_from(from), 0);
  /* Claimed, but nobody has confirmed it: of two hosts the other one may be the owner. */
  core.reflex->role = IPCNET_TWIN_CLAIMING;
  core.now_us += PERIOD_US;
  core.reflex->now_us = core.now_us;
  from = core.sent_count;
  ipcnet_reflex_time_turn(core.reflex);
  CHECK_INT(rig_sent(&core, from, ARM_BUS, TIME_ID), 0);
  core.reflex->role = IPCNET_TWIN_OWNER;
  ipcnet_reflex_time_turn(core.reflex);
  CHECK_INT(rig_sent(&core, from, ARM_BUS, TIME_ID), 1);
  rig_end(&core);
}

/* The next moment is that of the bus which is due first. */
static void test_next_moment(void)
{
  time_table(&table);
  table.buses[AUX_BUS].time_id = TIME_ID;
  table.buses[AUX_BUS].time_period_us = 70000;
  rig_ready_with(&core, &table, 0);
  struct bus_state *arm = &core.reflex->buses[ARM_BUS], *aux = &core.reflex->buses[AUX_BUS];
  arm->time_due_us = core.now_us + 300, aux->time_due_us = core.now_us + 500;
  CHECK_INT(ipcnet_reflex_time_next_us(core.reflex), core.now_us + 300);
  CHECK_INT(ipcnet_reflex_next_deadline_us(core.reflex) <= core.now_us + 300, 1);
  arm->time_due_us = core.now_us + 700;
  CHECK_INT(ipcnet_reflex_time_next_us(core.reflex), core.now_us + 500);
  rig_end(&core);
}

static void test_upper_half_changes(void)
{
  begin((4ull << 32) - 200000); /* 50 ms of them are left when the rig is ready */
  uint32_t from = core.sent_count;
  rig_run(&core, 1000000);
  struct said said[64];
  uint32_t count = said_from(from, said, 64);
  for (uint32_t i = 0; i < count; i++) CHECK(said[i].kind == 1 || said[i].word == 3 || said[i].word == 4);
  rig_end(&core);
  begin(5000000);
  from = await_sync();
  core.reflex->buses[ARM_BUS].time_high--; /* as if the SYNC had been said a moment before the change */
  struct ipcnet_can_frame echo = echo_of_last((double)core.now_us);
  ipcnet_reflex_frames(core.reflex, ARM_BUS, &echo, 1, core.now_us);
  CHECK_INT(said_from(from, said, 64), 0);
  rig_end(&core);
}

/* A SYNC that waits is not followed by another before half a second; then it is lost, and the next one counts. */
static void test_one_in_the_queue(void)
{
  begin(5000000);
  await_sync();
  uint32_t from = core.sent_count;
  core.reflex->buses[ARM_BUS].health.options.dead_after_us = 60000000; /* the bus's health is another's matter */
  for (uint64_t until_us = core.now_us + 499000; core.now_us < until_us;) run_without_time();
  CHECK_INT(rig_sent(&core, from, ARM_BUS, TIME_ID), 0);
  for (uint64_t until_us = core.now_us + 101000; core.now_us < until_us;) run_without_time();
  CHECK_INT(rig_sent(&core, from, ARM_BUS, TIME_ID), 1);
  rig_end(&core);
}

static void test_who_and_when(void)
{
  begin(5000000);
  rig_order(&core, IPCNET_ORDER_ARM, 0, 0);
  CHECK_INT(rig_state(&core).arming, IPCNET_ARMED);
  uint32_t from = core.sent_count;
  rig_run(&core, 500000);
  CHECK(rig_sent(&core, from, ARM_BUS, TIME_ID) >= 8);
  CHECK(ipcnet_reflex_next_deadline_us(core.reflex) <= core.now_us + PERIOD_US);
  CHECK_INT(rig_order(&core, IPCNET_ORDER_DISARM, 0, 0), IPCNET_ANSWER_DONE);
  rig_event(&core, IPCNET_TWIN_YIELD_ASKED); /* no owner any more */
  from = core.sent_count;
  rig_run(&core, 300000);
  CHECK_INT(rig_sent(&core, from, ARM_BUS, TIME_ID), 0);
  CHECK_INT(ipcnet_reflex_time_next_us(core.reflex) == UINT64_MAX, 1);
  rig_end(&core);

  /* A link without echoes, a bus that is down: nothing to tell. An echo that comes afterwards dates nothing. */
  begin(5000000);
  from = await_sync();
  struct ipcnet_can_frame echo = echo_of_last((double)core.now_us);
  rig_link(&core, ARM_BUS, IPCNET_LINK_DOWN, 0);
  ipcnet_reflex_frames(core.reflex, ARM_BUS, &echo, 1, core.now_us);
  CHECK_INT(rig_sent(&core, from, ARM_BUS, TIME_ID), 0);
  rig_end(&core);
  begin(5000000);
  core.reflex->buses[ARM_BUS].confirms = false;
  from = core.sent_count;
  rig_run(&core, 300000);
  CHECK_INT(rig_sent(&core, from, ARM_BUS, TIME_ID), 0);
  rig_end(&core);
  begin(5000000);
  core.reflex->buses[ARM_BUS].claimed = false; /* not told whose clock it is */
  core.refuses_claims = true;
  from = core.sent_count;
  rig_run(&core, 300000);
  CHECK_INT(rig_sent(&core, from, ARM_BUS, TIME_ID), 0);
  rig_end(&core);
}

/* Above 0x7FF it is an identifier of 29 bits; a queue that does not take the SYNC is asked again a period later. */
static void test_identifier_and_full_queue(void)
{
  time_table(&table);
  table.buses[ARM_BUS].time_id = 0x800;
  rig_ready_with(&core, &table, 0);
  rig_run(&core, 200000);
  const struct ipcnet_can_frame *frame = rig_last_sent(&core, ARM_BUS, 0x800);
  CHECK(frame != NULL && frame->flags == IPCNET_CAN_EXTENDED);
  rig_end(&core);
  begin(5000000);
  rig_run(&core, 200000);
  uint32_t from = core.sent_count;
  core.reflex->buses[ARM_BUS].time_due_us = core.now_us + 1000;
  core.verdict[ARM_BUS] = IPCNET_CAN_QUEUE_FULL;
  rig_run(&core, 1000);
  core.verdict[ARM_BUS] = IPCNET_CAN_QUEUED;
  rig_run(&core, PERIOD_US - 2000);
  CHECK_INT(rig_sent(&core, from, ARM_BUS, TIME_ID), 0);
  rig_run(&core, 12000);
  struct said said[4];
  CHECK_INT(said_from(from, said, 4), 2);
  CHECK_INT(said[0].kind, 0);
  rig_end(&core);
}

static void test_table(void)
{
  TAKEN(time_table(&rig));
  TAKEN(rig.buses[ARM_BUS].claim_id = 0); /* no time: whoever has identifier 0 does not matter to it */
  TAKEN(time_table(&rig); rig.buses[ARM_BUS].time_period_us = 10000);
  TAKEN(time_table(&rig); rig.buses[ARM_BUS].time_period_us = 1000000);
  REFUSED(time_table(&rig); rig.buses[ARM_BUS].time_period_us = 9999, "range", IPCNET_REFLEX_BUSES, ARM_BUS);
  REFUSED(time_table(&rig); rig.buses[ARM_BUS].time_period_us = 1000001, "range", IPCNET_REFLEX_BUSES, ARM_BUS);
  REFUSED(time_table(&rig); rig.buses[ARM_BUS].time_period_us = 0, "range", IPCNET_REFLEX_BUSES, ARM_BUS);
  TAKEN(time_table(&rig); rig.buses[ARM_BUS].time_id = 0x1FFFFFFF);
  REFUSED(time_table(&rig); rig.buses[ARM_BUS].time_id = 0x20000000, "range", IPCNET_REFLEX_BUSES, ARM_BUS);
  REFUSED(time_table(&rig); rig.buses[ARM_BUS].time_id = 0x12, "duplicate", IPCNET_REFLEX_BUSES, ARM_BUS); /* a claim's */
  REFUSED(time_table(&rig); rig.buses[ARM_BUS].time_id = 0x7FF, "duplicate", IPCNET_REFLEX_BUSES, ARM_BUS); /* the probe's */
  REFUSED(time_table(&rig); rig.buses[ARM_BUS].time_id = 0x101, "duplicate", IPCNET_REFLEX_MESSAGES, SHOULDER);
  REFUSED(time_table(&rig); rig.buses[ARM_BUS].time_id = 0x181, "duplicate", IPCNET_REFLEX_WATCHES, SHOULDER_STATE);
  TAKEN(time_table(&rig); rig.buses[ARM_BUS].time_id = 0x12345678); /* a message of another bus has it */
  REFUSED(rig.buses[EAR_BUS].time_id = 0x14; rig.buses[EAR_BUS].time_period_us = PERIOD_US, "flags", IPCNET_REFLEX_BUSES, EAR_BUS);
}

int main(void)
{
  test_pairs();
  test_instant_of_the_echo();
  test_what_cannot_be_known();
  test_upper_half_changes();
  test_judged_once();
  test_interrupted();
  test_next_moment();
  test_one_in_the_queue();
  test_who_and_when();
  test_identifier_and_full_queue();
  test_table();
  return checks_report("reflex_time");
}
