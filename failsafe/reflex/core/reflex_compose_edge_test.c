/* The whole at its edges: time, beginning, tables that are exchanged, roles and what their going leaves behind, what is told, when the watchdog is fed. */
#include "../../../drivers/can/core/check.h"
#include "edge_rig.h"

static uint32_t reports_since(uint32_t from, enum ipcnet_reflex_report kind)
{
  uint32_t count = 0;
  for (uint32_t i = from; i < rig.record_count; i++) count += (rig.records[i % RIG_LOG].flags & IPCNET_REFLEX_REPORT) && rig.records[i % RIG_LOG].can_id == (uint32_t)kind;
  return count;
}

/* ---- Time and tokens ------------------------------------------------------------------------------------------------------------------------------- */

enum { ENTRY_LOAD, ENTRY_FRAMES, ENTRY_LINK, ENTRY_COMMAND, ENTRY_ORDER, ENTRY_MISSING, ENTRY_TWIN, ENTRY_TICK, ENTRY_HAND_OVER, ENTRY_RESTORE, ENTRIES };

static void enter_at(unsigned entry, uint64_t now_us)
{
  const struct ipcnet_can_link_event event = {.kind = IPCNET_LINK_CHANGED};
  struct ipcnet_reflex_table_fault fault;
  struct ipcnet_reflex *reflex = rig.reflex;
  switch (entry) {
    case ENTRY_LOAD: CHECK(ipcnet_reflex_load_table(reflex, rig.table_bytes, rig.table_length, now_us, &fault)); break;
    case ENTRY_FRAMES: ipcnet_reflex_frames(reflex, ARM_BUS, NULL, 0, now_us); break;
    case ENTRY_LINK: ipcnet_reflex_link(reflex, ARM_BUS, &event, NULL, now_us); break;
    case ENTRY_COMMAND: ipcnet_reflex_command(reflex, NULL, 0, now_us); break;
    case ENTRY_ORDER: ipcnet_reflex_order(reflex, IPCNET_ORDERS, 0, 0, 0, now_us); break;
    case ENTRY_MISSING: ipcnet_reflex_missing(reflex, now_us, NULL, 0); break;
    case ENTRY_TWIN: ipcnet_reflex_twin_event(reflex, IPCNET_TWIN_OWNER_DEAD, NULL, now_us); break;
    case ENTRY_TICK: ipcnet_reflex_tick(reflex, now_us); break;
    case ENTRY_HAND_OVER: ipcnet_reflex_hand_over(reflex, now_us); break;
    default: ipcnet_reflex_restore(reflex, &rig.journal, now_us);
  }
}

/* Every entry point brings the time with it, and none takes it back. */
static void test_time_never_goes_back(void)
{
  for (unsigned entry = 0; entry < ENTRIES; entry++) {
    rig_arm_table(&table);
    begin(0);
    uint64_t at_us = rig.now_us + 5000;
    enter_at(entry, at_us);
    CHECK_INT(rig.reflex->now_us, at_us);
    enter_at(entry, at_us - 3000);
    CHECK_INT(rig.reflex->now_us, at_us);
    rig_end(&rig);
  }
}

/* No token of ours is a probe's, and none says that nobody asked, however often they go round. */
static void test_tokens(void)
{
  static const uint32_t LAST[] = {0, 0x3FFFFC, 0x3FFFFD, 0x3FFFFE, 0x3FFFFF, UINT32_MAX};
  rig_arm_table(&table);
  begin(0);
  for (unsigned i = 0; i < sizeof LAST / sizeof LAST[0]; i++) {
    rig.reflex->next_serial = LAST[i];
    uint32_t before = 0;
    for (unsigned n = 0; n < 4; n++) {
      uint32_t token = ipcnet_reflex_next_token(rig.reflex, TOKEN_CLAIM);
      CHECK(token != IPCNET_CAN_PROBE_TOKEN && token >> TOKEN_ROW_BITS != 0 && token != before && (token & 1023u) == TOKEN_CLAIM);
      before = token;
    }
  }
  rig_end(&rig);
}

/* ---- Beginning --------------------------------------------------------------------------------------------------------------------------------------- */

/* A page that was another's before says what is true now; and who has just begun is healthy for as long as a turn may be late. */
static void test_a_used_page(void)
{
  rig_begin(&rig, 0);
  struct ipcnet_reflex_options options = rig.reflex->options;
  struct ipcnet_reflex_os os = rig.reflex->os;
  memset(rig.page, 0xAA, IPCNET_REFLEX_PAGE_BYTES);
  ipcnet_reflex_init(rig.reflex, &options, &os, rig.page, rig.now_us);
  CHECK(rig.page->magic == IPCNET_REFLEX_PAGE_MAGIC && rig.page->major == IPCNET_REFLEX_TABLE_MAJOR && rig.page->minor == IPCNET_REFLEX_TABLE_MINOR);
  CHECK_INT(rig.page->role, IPCNET_TWIN_STARTING);
  CHECK_INT(role(), IPCNET_TWIN_STARTING);
  CHECK(memcmp(rig.page->boot_id, options.boot_id, sizeof options.boot_id) == 0);
  CHECK(ipcnet_reflex_healthy(rig.reflex, rig.now_us) && ipcnet_reflex_healthy(rig.reflex, rig.now_us + LATE_TURN_US));
  CHECK(!ipcnet_reflex_healthy(rig.reflex, rig.now_us + LATE_TURN_US + 1));
  rig_end(&rig);
}

/* The epoch is newer than the one that was kept; what stands in an image that is not sound does not count. */
static void test_the_first_epoch(void)
{
  rig_arm_table(&table);
  ready();
  struct ipcnet_reflex_image image = rig.journal;
  rig_end(&rig);
  image.epoch = 500; /* and its sum is another's */
  rig_begin(&rig, 0);
  struct ipcnet_reflex_options options = rig.reflex->options;
  struct ipcnet_reflex_os os = rig.reflex->os;
  options.stored_epoch = 41;
  ipcnet_reflex_init(rig.reflex, &options, &os, rig.page, rig.now_us);
  ipcnet_reflex_restore(rig.reflex, &image, rig.now_us);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(rig_state(&rig).epoch, 42);
  rig_end(&rig);
}

/* ---- Tables ------------------------------------------------------------------------------------------------------------------------------------------ */

static void test_which_table_is_loaded(void)
{
  rig_begin(&rig, 0);
  CHECK(ipcnet_reflex_loaded_table(rig.reflex) == NULL);
  rig_arm_table(&table);
  rig_load(&rig, &table);
  CHECK(ipcnet_reflex_loaded_table(rig.reflex) != NULL && ipcnet_reflex_loaded_table(rig.reflex)->generation == 1);
  rig_end(&rig);
}

/* Neither under an arm that may move nor under a run: it says so, and nothing changes. */
static void test_no_table_at_a_bad_time(void)
{
  for (unsigned poses = 0; poses < 2; poses++) {
    rig_armed(&rig);
    if (poses) rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1);
    struct ipcnet_reflex_table_fault fault = {.code = ""};
    CHECK(!ipcnet_reflex_load_table(rig.reflex, rig.table_bytes, rig.table_length, rig.now_us, &fault));
    CHECK(strcmp(fault.code, "busy") == 0);
    CHECK_INT(rig_state(&rig).arming, poses ? IPCNET_SAFE_POSE : IPCNET_ARMED);
    rig_end(&rig);
  }
}

/* A new table is told, and the image that a successor finds is of it: the latch stays, the row that latched means another now. */
static void test_a_new_table_is_told_and_kept(void)
{
  rig_ready(&rig);
  rig.pressed = true;
  rig_run(&rig, 200000);
  rig.pressed = false;
  rig_run(&rig, 200000);
  CHECK_INT(rig.journal.latched_trigger, PRESSED_TRIGGER);
  rig_arm_table(&table);
  table.generation = 2;
  uint32_t from = rig.record_count, kept = rig.journalled;
  CHECK(rig_load(&rig, &table));
  const struct ipcnet_can_frame *report = rig_report_of(&rig, from, IPCNET_REPORT_STATE, 0);
  struct ipcnet_reflex_state_record state;
  CHECK(report != NULL);
  memcpy(&state, report->data, sizeof state);
  CHECK_INT(state.generation, 2);
  CHECK(rig.journalled > kept);
  CHECK_INT(rig.journal.latched_trigger, IPCNET_REFLEX_NONE);
  CHECK_INT(rig.journal.trigger_latched, 1);
  rig_end(&rig);
}

/* What held under the old table is news to the new one. */
static void test_a_failing_power_line_is_news_to_a_new_table(void)
{
  rig_arm_table(&table);
  rig_trigger(&table, "power", IPCNET_REFLEX_ON_POWER_FAIL, IPCNET_REFLEX_NONE, OFF_PLAN, 200, IPCNET_REFLEX_TRIGGER_PIN);
  ready();
  rig.power_line = 1;
  rig_run(&rig, 500000);
  CHECK_INT(rig_state(&rig).arming, IPCNET_POSED);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->plans_run, 1);
  CHECK(rig_load(&rig, &table));
  rig_run(&rig, 2000);
  CHECK_INT(rig_state(&rig).arming, IPCNET_SAFE_POSE);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->plans_run, 2);
  rig_end(&rig);
}

/* A run of another table, and a table without any plan: nothing is known of its steps, so nothing is told of them. */
static void test_a_run_without_a_plan(void)
{
  rig_ready(&rig);
  rig.velocity = 100;
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1);
  struct ipcnet_reflex_image image = rig.journal;
  CHECK_INT(image.run.verdict, IPCNET_VERDICT_NONE);
  rig_end(&rig);
  memset(&table, 0, sizeof table);
  table.generation = 1;
  table.header.twin_deadline_us = 10000;
  table.header.beat_period_us = 20000;
  rig_bus(&table, "arm", 0x010);
  rig_begin(&rig, 0);
  ipcnet_reflex_restore(rig.reflex, &image, rig.now_us);
  CHECK(rig_load(&rig, &table));
  rig_links_up(&rig);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK_INT(rig_state(&rig).arming, IPCNET_FAULT);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->plans_resumed, 1);
  CHECK_INT(reports_since(0, IPCNET_REPORT_STEP), 0);
  CHECK_INT(reports_since(0, IPCNET_REPORT_VERDICT), 1);
  rig_end(&rig);
}

/* ---- What a run tells -------------------------------------------------------------------------------------------------------------------------------- */

/* A brain is asked by run, row and call, each whole. */
static void test_a_call_in_full(void)
{
  rig_arm_table(&table);
  table.steps[1].call = 0x1234;
  ready();
  uint32_t from = rig.record_count;
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1);
  rig_run(&rig, 60000);
  const struct ipcnet_can_frame *report = rig_report_of(&rig, from, IPCNET_REPORT_CALL, 1);
  CHECK(report != NULL && report->length_bytes == 12);
  uint64_t run_id = 0;
  for (unsigned byte = 0; byte < 8; byte++) run_id |= (uint64_t)report->data[byte] << 8 * byte;
  CHECK_INT(run_id, rig.journal.run.run_id);
  CHECK_INT(report->data[8] | report->data[9] << 8, 1);
  CHECK_INT(report->data[10] | report->data[11] << 8, 0x1234);
  rig_end(&rig);
}

/* Every step as a run begins; after that each one when it has become another, and only then. */
static void test_steps_are_told_once(void)
{
  rig_ready(&rig);
  uint8_t told[2] = {0xFF, 0xFF};
  for (unsigned run = 0; run < 2; run++) {
    uint32_t from = rig.record_count;
    rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1);
    rig_run(&rig, 200000);
    CHECK_INT(rig_state(&rig).arming, IPCNET_POSED);
    uint32_t times[2] = {0, 0};
    for (uint32_t i = from; i < rig.record_count; i++) {
      const struct ipcnet_can_frame *record = &rig.records[i % RIG_LOG];
      if (!(record->flags & IPCNET_REFLEX_REPORT) || record->can_id != IPCNET_REPORT_STEP) continue;
      CHECK(record->token < 2);
      CHECK(times[record->token] == 0 || record->data[0] != told[record->token]);
      told[record->token] = record->data[0];
      times[record->token]++;
    }
    CHECK(times[0] == 3 && times[1] == 3); /* waiting, running, reached */
    CHECK(told[0] == IPCNET_STEP_REACHED && told[1] == IPCNET_STEP_REACHED);
    rig_order(&rig, IPCNET_ORDER_RESET, 0, 0);
  }
  rig_end(&rig);
}

/* ---- Events of roles ---------------------------------------------------------------------------------------------------------------------------------- */

static struct { uint32_t effects; uint16_t epoch; } taken[32];
static uint32_t taken_count;
static struct { uint32_t on; enum ipcnet_twin_event then[4]; uint32_t count; } answer;

/* The system: writes down what it was asked, and at one of the questions tells several things at once. */
static void system_that_answers(void *context, uint32_t effects, uint16_t epoch)
{
  (void)context;
  CHECK(effects != 0);
  taken[taken_count % 32].effects = effects;
  taken[taken_count++ % 32].epoch = epoch;
  if (answer.count == 0 || !(effects & answer.on)) return;
  uint32_t count = answer.count;
  answer.count = 0;
  for (uint32_t i = 0; i < count; i++) rig_event(&rig, answer.then[i]);
}

static void ask(uint32_t on, uint32_t count, enum ipcnet_twin_event first, enum ipcnet_twin_event second, enum ipcnet_twin_event third, enum ipcnet_twin_event fourth)
{
  answer.on = on;
  answer.count = count;
  answer.then[0] = first;
  answer.then[1] = second;
  answer.then[2] = third;
  answer.then[3] = fourth;
  taken_count = 0;
  rig.reflex->os.twin = system_that_answers;
}

/* What is told while a step is taken waits for its turn: in its order, each event once. Often enough that the queue goes round. */
static void test_events_wait_for_their_turn(void)
{
  rig_begin(&rig, 1);
  for (unsigned round = 0; round < 20; round++) {
    ask(IPCNET_TWIN_DO_PUBLISH, 4, IPCNET_TWIN_OWNER_SUSPECT, IPCNET_TWIN_FENCE_EXPIRED, IPCNET_TWIN_FENCE_EXPIRED, IPCNET_TWIN_OWNER_DEAD);
    if (round > 0) rig_event(&rig, IPCNET_TWIN_YIELD_EXPIRED); /* says nothing here: one place on */
    rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
    CHECK_INT(taken_count, 4);
    CHECK_INT(taken[0].effects, IPCNET_TWIN_DO_PUBLISH);
    CHECK_INT(taken[1].effects, IPCNET_TWIN_DO_KILL | IPCNET_TWIN_DO_PUBLISH);
    CHECK_INT(taken[2].effects, IPCNET_TWIN_DO_KILL | IPCNET_TWIN_DO_PUBLISH);
    CHECK_INT(taken[3].effects, IPCNET_TWIN_DO_TRY_LOCK);
    CHECK_INT(role(), IPCNET_TWIN_FENCING);
  }
  rig_end(&rig);
}

/* What is told in one breath is weighed together: whoever must stop as the epoch is kept sends nothing with it. */
static void test_told_in_one_breath(void)
{
  rig_arm_table(&table);
  begin(0);
  rig_links_up(&rig);
  ask(IPCNET_TWIN_DO_STORE_EPOCH, 2, IPCNET_TWIN_EPOCH_STORED, IPCNET_TWIN_STOP_ASKED, 0, 0);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(role(), IPCNET_TWIN_STOPPED);
  CHECK_INT(rig.sent_count, 0);
  CHECK_INT(taken_count, 2);
  CHECK_INT(taken[0].effects, IPCNET_TWIN_DO_STORE_EPOCH | IPCNET_TWIN_DO_PUBLISH);
  CHECK_INT(taken[0].epoch, 1);
  CHECK_INT(taken[1].effects, IPCNET_TWIN_DO_RELEASE | IPCNET_TWIN_DO_PUBLISH);
  rig_end(&rig);
}

/* Roles are told as they change, with the epoch; the system hears nothing of what does not concern it. */
static void test_roles_are_told(void)
{
  static const struct { enum ipcnet_twin_event event; uint8_t role; uint16_t epoch; bool told; } CASES[] = {
    {IPCNET_TWIN_LOCK_HELD, IPCNET_TWIN_STANDBY, 0, true},   {IPCNET_TWIN_LOCK_HELD, IPCNET_TWIN_STANDBY, 0, false}, {IPCNET_TWIN_HIGHER_EPOCH, IPCNET_TWIN_STANDBY, 0, false},
    {IPCNET_TWIN_LOCK_GRANTED, IPCNET_TWIN_CLAIMING, 0, true}, {IPCNET_TWIN_EPOCH_STORED, IPCNET_TWIN_OWNER, 0x102, true}, {IPCNET_TWIN_YIELD_ASKED, IPCNET_TWIN_YIELDING, 0x102, true}};
  rig_begin(&rig, 0);
  rig.reflex->stored_epoch = 0x101;
  ask(0, 0, 0, 0, 0, 0);
  for (unsigned i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    uint32_t from = rig.record_count;
    rig_event(&rig, CASES[i].event);
    CHECK_INT(role(), CASES[i].role);
    CHECK_INT(rig.page->role, CASES[i].role);
    CHECK_INT(reports_since(from, IPCNET_REPORT_ROLE), CASES[i].told);
    const struct ipcnet_can_frame *report = rig_report_of(&rig, from, IPCNET_REPORT_ROLE, 0);
    if (CASES[i].told) CHECK(report->data[0] == CASES[i].role && (report->data[2] | report->data[3] << 8) == CASES[i].epoch);
  }
  rig_end(&rig);
}

/* An epoch is used when it is stored, and not before, by who knows no table either and has owned before. */
static void test_no_epoch_before_it_is_stored(void)
{
  rig_begin(&rig, 0);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  rig_event(&rig, IPCNET_TWIN_YIELD_ASKED);
  rig.answers_twin = false;
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  tick_at(rig.now_us + 1000);
  CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
  rig_event(&rig, IPCNET_TWIN_EPOCH_STORED);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK_INT(rig_state(&rig).epoch, 2);
  rig_end(&rig);
}

/* Of two malfunctions the first is told: the other may follow from it. */
/* The buses of a new table are the claimer's as those of the old one were, and not before its epoch is stored. */
static void test_a_table_while_it_claims(void)
{
  for (unsigned stored = 0; stored < 2; stored++) {
    rig_arm_table(&table);
    begin(0);
    rig_links_up(&rig);
    rig.refuses_claims = true;
    rig.answers_twin = stored;
    rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
    CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
    rig_load(&rig, &table);
    rig_links_up(&rig);
    CHECK_INT(bus(ARM_BUS)->owned, stored);
    rig.refuses_claims = false;
    if (!stored) rig_event(&rig, IPCNET_TWIN_EPOCH_STORED);
    rig_run(&rig, 5000);
    CHECK_INT(role(), IPCNET_TWIN_OWNER);
    CHECK(bus(ARM_BUS)->owned && bus(AUX_BUS)->owned);
    rig_end(&rig);
  }
}

static void test_the_first_malfunction_counts(void)
{
  rig_begin(&rig, 0);
  rig.reflex->malfunction = IPCNET_MALFUNCTION_FOREIGN_COMMAND;
  rig_event(&rig, IPCNET_TWIN_STORE_FAILED);
  CHECK_INT(rig_state(&rig).malfunction, IPCNET_MALFUNCTION_FOREIGN_COMMAND);
  rig_end(&rig);
}

/* What an outvoted one is told does not make it wait longer. */
static void test_the_rest_of_an_outvoted_one(void)
{
  rig_arm_table(&table);
  ready();
  rig_event(&rig, IPCNET_TWIN_SELF_FENCED);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  rig.answers_twin = false;
  uint64_t since_us = rig.now_us;
  rig.twin_effects = 0;
  tick_at(since_us + 500000);
  rig_event(&rig, IPCNET_TWIN_FENCE_EXPIRED);
  tick_at(since_us + OUTVOTED_REST_US - 1);
  CHECK(!(rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK));
  tick_at(since_us + OUTVOTED_REST_US);
  CHECK(rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK);
  rig_end(&rig);
}

/* ---- Leaving ------------------------------------------------------------------------------------------------------------------------------------------- */

/* Shadows are the owner's: whoever is no heir any more keeps none. */
static void test_shadows_end_with_the_claim(void)
{
  shared_table();
  begin(0);
  rig_links_up(&rig);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  uint32_t from = rig.record_count;
  rig_give(&rig, &command);
  CHECK(rig.reflex->messages[SHOULDER].waiting);
  rig_event(&rig, IPCNET_TWIN_HIGHER_EPOCH);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  CHECK(!rig.reflex->messages[SHOULDER].waiting);
  CHECK_INT(reports_since(from, IPCNET_REPORT_REFUSED), 0); /* the owner answers for it */
  rig_end(&rig);
}

/* Who only claims has said nothing that it could take back. */
static void test_a_claimer_says_no_goodbye(void)
{
  shared_table();
  begin(0);
  rig.follows = false;
  rig_links_up(&rig);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  for (unsigned ms = 0; ms < 100 && rig.sent_count == 0; ms++) rig_run(&rig, 1000);
  CHECK_INT(rig.sent_count, 1);
  CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
  rig_event(&rig, IPCNET_TWIN_STOP_ASKED);
  CHECK_INT(role(), IPCNET_TWIN_STOPPED);
  CHECK_INT(rig.sent_count, 1);
  rig_end(&rig);
}

/* What stood in its pose stands there when the bus comes back: a reset is missing, as before. */
static void test_posed_before_and_after(void)
{
  rig_ready(&rig);
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1);
  rig_run(&rig, 200000);
  CHECK_INT(rig_state(&rig).arming, IPCNET_POSED);
  rig_event(&rig, IPCNET_TWIN_HIGHER_EPOCH);
  CHECK_INT(rig_state(&rig).arming, IPCNET_DISARMED); /* nothing is ours to say */
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(rig_state(&rig).arming, IPCNET_POSED);
  rig_end(&rig);
}

/* A run that was left is none of ours: it is no reason to refuse a table, and when another has ended it and was reset, nothing of it is sent. */
static void test_a_run_that_was_left(void)
{
  static struct ipcnet_reflex_page page;
  rig_ready(&rig);
  rig.velocity = 100; /* it takes its time */
  rig_report(&rig);
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1);
  rig_run(&rig, 5000);
  CHECK_INT(rig_state(&rig).arming, IPCNET_SAFE_POSE);
  rig_event(&rig, IPCNET_TWIN_YIELD_ASKED);
  CHECK_INT(rig_state(&rig).arming, IPCNET_DISARMED);
  rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
  /* The twin posed and was reset. */
  struct core_rig *twin = malloc(sizeof *twin);
  rig_arm_table(&table);
  rig_begin(twin, 1);
  twin->now_us = rig.now_us;
  rig_load(twin, &table);
  rig_links_up(twin);
  twin->other = rig.page;
  rig_event(twin, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(rig_state(twin).arming, IPCNET_SAFE_POSE);
  rig_run(twin, 1000000);
  rig_order(twin, IPCNET_ORDER_RESET, 0, 0);
  CHECK_INT(rig_state(twin).arming, IPCNET_DISARMED);
  page = *twin->page;
  rig.now_us = twin->now_us;
  rig_end(twin);
  free(twin);
  rig.other = &page;
  uint32_t from = rig.sent_count;
  rig_event(&rig, IPCNET_TWIN_OWNER_DEAD);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  rig_run(&rig, 1000000);
  CHECK_INT(rig_state(&rig).arming, IPCNET_DISARMED);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x101) + rig_sent(&rig, from, ARM_BUS, 0x103), 0);
  rig_end(&rig);
}

static void test_a_table_after_a_run_was_left(void)
{
  rig_ready(&rig);
  rig.velocity = 100;
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1);
  rig_event(&rig, IPCNET_TWIN_HIGHER_EPOCH);
  rig_arm_table(&table);
  CHECK(rig_load(&rig, &table));
  rig_end(&rig);
}

/* By the lock alone, after a life that ended in the pose, or on the way to it. */
static void owner_without_a_table(bool posed)
{
  rig_ready(&rig);
  rig.velocity = posed ? 0 : 100;
  rig_report(&rig);
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1);
  rig_run(&rig, 80000);
  struct ipcnet_reflex_image image = rig.journal;
  CHECK_INT(image.arming, posed ? IPCNET_POSED : IPCNET_SAFE_POSE);
  rig_end(&rig);
  rig_begin(&rig, 0);
  ipcnet_reflex_restore(rig.reflex, &image, rig.now_us);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
}

/* An owner without a table waits with what it finds until there is one, for as long as that takes. */
static void test_what_is_found_waits_for_a_table(void)
{
  owner_without_a_table(false);
  rig_run(&rig, 5000);
  CHECK_INT(rig_state(&rig).arming, IPCNET_DISARMED);
  rig_arm_table(&table);
  CHECK(rig_load(&rig, &table));
  CHECK_INT(rig_state(&rig).arming, IPCNET_SAFE_POSE);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->plans_resumed, 1);
  rig_end(&rig);
}

/* Who owned without a table, and gave that away, has nothing to take over when a table comes. */
static void test_a_table_for_one_that_owned_before(void)
{
  owner_without_a_table(true);
  rig_event(&rig, IPCNET_TWIN_YIELD_ASKED);
  rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
  rig_arm_table(&table);
  CHECK(rig_load(&rig, &table));
  CHECK_INT(rig_state(&rig).arming, IPCNET_DISARMED);
  CHECK(!rig_lacks(&rig, IPCNET_MISSING_PLAN_RUNS, IPCNET_REFLEX_NONE));
  CHECK_INT(rig.sent_count, 0);
  rig_end(&rig);
}

/* Armed, it hands over; nobody takes it, and before it owns again another host does. What it left for its twin then is no reason to be armed when the bus comes back. */
static void test_not_armed_by_an_old_hand_over(void)
{
  shared_table();
  ready();
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_DONE);
  rig_event(&rig, IPCNET_TWIN_YIELD_ASKED);
  CHECK_INT(rig.journal.arming, IPCNET_ARMED); /* its twin may go on */
  rig.answers_twin = false;
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
  hear_newer_owner();
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  rig.answers_twin = true;
  rig_run(&rig, 5000000);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK(rig_state(&rig).arming != IPCNET_ARMED);
  rig_end(&rig);
}

/* ---- Turns --------------------------------------------------------------------------------------------------------------------------------------------- */

/* Every turn beats, and says when. */
static void test_beats(void)
{
  rig_begin(&rig, 0);
  for (unsigned i = 1; i <= 3; i++) {
    tick_at(rig.now_us + 700);
    CHECK_INT(rig.page->beat, i);
    CHECK_INT(rig.page->beat_us, rig.now_us);
  }
  rig_end(&rig);
}

/* A malfunction stops it in the turn in which its last run ends, and not in the one after. */
static void test_stopped_as_the_run_ends(void)
{
  rig_armed(&rig);
  rig.brake = 0;
  rig_report(&rig);
  uint32_t from = rig.record_count;
  ipcnet_reflex_malfunctions(rig.reflex, IPCNET_MALFUNCTION_SELF_TEST);
  CHECK_INT(rig_state(&rig).arming, IPCNET_SAFE_POSE);
  for (unsigned ms = 0; ms < 1000 && reports_since(from, IPCNET_REPORT_VERDICT) == 0; ms++) {
    CHECK_INT(role(), IPCNET_TWIN_OWNER);
    tick_at(rig.now_us + 1000); /* the brake is not measured any more: its time runs out */
  }
  CHECK_INT(reports_since(from, IPCNET_REPORT_VERDICT), 1);
  CHECK_INT(role(), IPCNET_TWIN_STOPPED);
  rig_end(&rig);
}

/* The longest frame is heard whole; one that says it is longer is none. */
static void test_the_longest_frame(void)
{
  rig_arm_table(&table);
  begin(0);
  for (uint8_t length = 64; length <= 65; length++) {
    uint32_t records = rig.record_count;
    uint64_t received = ipcnet_reflex_counters(rig.reflex)->received_frames;
    struct ipcnet_can_frame frame = rig_frame(&rig, AUX_BUS, 0x400, IPCNET_CAN_FD, length);
    rig_hear(&rig, &frame);
    CHECK_INT(rig.record_count - records, length == 64);
    CHECK_INT(ipcnet_reflex_counters(rig.reflex)->received_frames - received, length == 64);
  }
  rig_end(&rig);
}

/* The echo of what nobody else heard is no sign of others: a bus on which only we are says "no echo" when it dies, not that it is starved. */
static void test_an_echo_is_nobody_elses_word(void)
{
  for (unsigned others = 0; others < 2; others++) {
    rig_armed_calm(&rig);
    rig.plant = false;
    rig_run(&rig, 90000);
    struct ipcnet_can_frame state = rig_frame(&rig, ARM_BUS, 0x400, 0, 1);
    rig_run(&rig, 1000);
    uint32_t echoed = (uint32_t)ipcnet_reflex_counters(rig.reflex)->echoed_frames;
    for (unsigned ms = 0; ms < 50 && ipcnet_reflex_counters(rig.reflex)->echoed_frames == echoed; ms++) rig_run(&rig, 1000);
    rig.echoes[ARM_BUS] = false;
    for (unsigned ms = 0; ms < 100 && phase(ARM_BUS) != IPCNET_BUS_PURGING; ms++) {
      if (others) rig_hear(&rig, &state);
      rig_run(&rig, 1000);
    }
    CHECK_INT(phase(ARM_BUS), IPCNET_BUS_PURGING);
    CHECK_INT(bus(ARM_BUS)->health.cause, others ? IPCNET_REASON_STARVED : IPCNET_REASON_NO_ECHO);
    rig_end(&rig);
  }
}

/* ---- Health -------------------------------------------------------------------------------------------------------------------------------------------- */

/* A run that ended long ago says nothing about today. */
static void test_healthy_after_a_run(void)
{
  rig_ready(&rig);
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1);
  rig_run(&rig, 200000);
  CHECK_INT(rig_state(&rig).arming, IPCNET_POSED);
  rig_run(&rig, 2000000);
  CHECK(ipcnet_reflex_healthy(rig.reflex, rig.now_us));
  rig_end(&rig);
}

/* A run without a plan has no budget that it could outstay. */
static void test_healthy_without_a_plan(void)
{
  static const uint16_t PLANS[] = {2, IPCNET_REFLEX_NONE}; /* the first that is not there, and none at all */
  for (unsigned i = 0; i < 2; i++) {
    rig_ready(&rig);
    tick_at(rig.now_us + (uint64_t)10000 * 1000000);
    rig.reflex->arming = IPCNET_SAFE_POSE;
    rig.reflex->plan.run.plan = PLANS[i];
    CHECK(ipcnet_reflex_healthy(rig.reflex, rig.now_us));
    rig_end(&rig);
  }
}

int main(void)
{
  test_time_never_goes_back();
  test_tokens();
  test_a_used_page();
  test_the_first_epoch();
  test_which_table_is_loaded();
  test_no_table_at_a_bad_time();
  test_a_new_table_is_told_and_kept();
  test_a_failing_power_line_is_news_to_a_new_table();
  test_a_run_without_a_plan();
  test_a_call_in_full();
  test_steps_are_told_once();
  test_events_wait_for_their_turn();
  test_told_in_one_breath();
  test_roles_are_told();
  test_no_epoch_before_it_is_stored();
  test_a_table_while_it_claims();
  test_the_first_malfunction_counts();
  test_the_rest_of_an_outvoted_one();
  test_shadows_end_with_the_claim();
  test_a_claimer_says_no_goodbye();
  test_posed_before_and_after();
  test_a_run_that_was_left();
  test_a_table_after_a_run_was_left();
  test_what_is_found_waits_for_a_table();
  test_a_table_for_one_that_owned_before();
  test_not_armed_by_an_old_hand_over();
  test_beats();
  test_stopped_as_the_run_ends();
  test_the_longest_frame();
  test_an_echo_is_nobody_elses_word();
  test_healthy_after_a_run();
  test_healthy_without_a_plan();
  return checks_report("reflex_compose_edge");
}
