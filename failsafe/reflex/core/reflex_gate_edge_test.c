/* The gate at its edges: finding rows in a crowded index, counters that run full, the last lock before the wire, what a new table leaves of the old one. */
#include "../../../drivers/can/core/check.h"
#include "core_rig.h"

static struct core_rig rig;
static struct table_rig table;

/* ---- Finding rows ------------------------------------------------------------------------------------------------------------------------------- */

static struct ipcnet_reflex_table_header header;
static struct ipcnet_reflex_message messages[12];
static struct ipcnet_reflex_watch watches[8];
static const struct ipcnet_reflex_table few = {.header = &header, .messages = messages, .watches = watches};
static struct ipcnet_reflex_index found;

static void add_message(uint8_t bus, uint32_t can_id, bool extended)
{
  messages[header.sections[IPCNET_REFLEX_MESSAGES].count++] = (struct ipcnet_reflex_message){.bus = bus, .can_id = can_id, .can_flags = extended ? IPCNET_CAN_EXTENDED : 0};
}

static uint16_t find(uint8_t bus, uint32_t can_id, bool extended)
{
  return ipcnet_reflex_index_find(&found, &few, false, bus, can_id, extended);
}

/* Where a row begins to look for a place. */
static uint32_t slot_of(uint8_t bus, uint32_t can_id, bool extended)
{
  header.sections[IPCNET_REFLEX_MESSAGES].count = 0;
  add_message(bus, can_id, extended);
  ipcnet_reflex_index_build(&found, &few, false);
  uint32_t slot = 0;
  while (found.slots[slot] == IPCNET_REFLEX_NONE) slot++;
  header.sections[IPCNET_REFLEX_MESSAGES].count = 0;
  return slot;
}

/* Rows that want the same place, the last one at that: each is found, and a fifth that is not in the table is not. */
static void test_rows_that_want_the_same_place(void)
{
  uint32_t ids[5], count = 0;
  for (uint32_t id = 0; count < 5; id++)
    if (slot_of(0, id, false) == INDEX_SLOTS - 1u) ids[count++] = id;
  for (uint32_t i = 0; i < 4; i++) add_message(0, ids[i], false);
  ipcnet_reflex_index_build(&found, &few, false);
  for (uint16_t i = 0; i < 4; i++) CHECK_INT(find(0, ids[i], false), i);
  CHECK_INT(find(0, ids[4], false), IPCNET_REFLEX_NONE);
}

/* The smallest identifier that begins to look for its place there. */
static uint32_t id_for(uint32_t slot)
{
  uint32_t id = 0;
  while (slot_of(0, id, false) != slot) id++;
  return id;
}

/* An extended identifier is another one than the standard one of the same number, also where the search for the one comes by the other. */
static void test_extended_is_another_identifier(void)
{
  uint32_t id = 0, from = 0, to = 0, fillers[8], count = 0;
  do {
    id++;
    from = slot_of(0, id, true);
    to = slot_of(0, id, false);
  } while (to < from || to - from > 8);
  for (uint32_t slot = from; slot < to; slot++) fillers[count++] = id_for(slot);
  for (uint32_t i = 0; i < count; i++) add_message(0, fillers[i], false);
  add_message(0, id, false);
  ipcnet_reflex_index_build(&found, &few, false);
  CHECK_INT(find(0, id, false), count);
  CHECK_INT(find(0, id, true), IPCNET_REFLEX_NONE);
  add_message(0, id, true);
  ipcnet_reflex_index_build(&found, &few, false);
  CHECK_INT(find(0, id, false), count);
  CHECK_INT(find(0, id, true), count + 1);
}

/* Each index holds the rows of its own section, however many the other has. */
static void test_an_index_for_each_section(void)
{
  for (uint32_t more = 0; more < 2; more++) {
    header.sections[IPCNET_REFLEX_MESSAGES].count = 0;
    for (uint32_t i = 0; i < (more ? 6u : 2u); i++) add_message(0, 0x100 + i, false);
    header.sections[IPCNET_REFLEX_WATCHES].count = more ? 2 : 6;
    for (uint32_t i = 0; i < 6; i++) watches[i] = (struct ipcnet_reflex_watch){.can_id = 0x200 + i};
    ipcnet_reflex_index_build(&found, &few, false);
    for (uint32_t i = 0; i < 6; i++) CHECK_INT(find(0, 0x100 + i, false), i < header.sections[IPCNET_REFLEX_MESSAGES].count ? i : IPCNET_REFLEX_NONE);
    ipcnet_reflex_index_build(&found, &few, true);
    for (uint32_t i = 0; i < 6; i++)
      CHECK_INT(ipcnet_reflex_index_find(&found, &few, true, 0, 0x200 + i, false), i < header.sections[IPCNET_REFLEX_WATCHES].count ? i : IPCNET_REFLEX_NONE);
  }
}

/* ---- Counting ---------------------------------------------------------------------------------------------------------------------------------- */

/* `sent` never is 0 again once a frame was sent: 0 says that the counter means nothing. */
static void test_sent_never_returns_to_nothing(void)
{
  static const struct { uint32_t before, after; } CASES[] = {{0, 1}, {1, 2}, {UINT32_MAX - 1, UINT32_MAX}, {UINT32_MAX, 1}};
  rig_armed_calm(&rig);
  for (unsigned i = 0; i < 4; i++) {
    rig.reflex->messages[SHOULDER].sent = CASES[i].before;
    struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
    CHECK_INT(rig_refusal(&rig, &command), 0);
    CHECK_INT(rig.page->messages[SHOULDER].sent, CASES[i].after);
    CHECK_INT(rig.reflex->messages[SHOULDER].sent, CASES[i].after);
    rig_run(&rig, 10000);
  }
  rig_end(&rig);
}

/* A successor sends nothing of an older brain, nor what is not newer of the same: a new brain's first command counts, however small its number. */
static void test_a_new_brains_command_is_done_with(void)
{
  rig_armed_calm(&rig);
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  command.sequence = 1000;
  CHECK_INT(rig_refusal(&rig, &command), 0);
  rig_run(&rig, 10000);
  command = rig_make(&rig, SHOULDER);
  command.brain_epoch++;
  command.sequence = 1;
  CHECK_INT(rig_refusal(&rig, &command), 0);
  CHECK_INT(rig.page->messages[SHOULDER].sequence, 1);
  CHECK_INT(rig.page->messages[SHOULDER].brain_epoch, command.brain_epoch);
  rig_end(&rig);
}

/* ---- Telling ----------------------------------------------------------------------------------------------------------------------------------- */

static void test_an_echoed_frame_is_never_told_as_settled(void)
{
  rig_armed_calm(&rig);
  uint32_t from = rig.record_count;
  for (unsigned i = 0; i < 3; i++) {
    struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
    CHECK_INT(rig_refusal(&rig, &command), 0);
    rig_run(&rig, 10000);
  }
  for (uint32_t i = from; i < rig.record_count; i++) {
    const struct ipcnet_can_frame *record = &rig.records[i % RIG_LOG];
    CHECK(!((record->flags & IPCNET_REFLEX_REPORT) && record->can_id == IPCNET_REPORT_SETTLED));
  }
  rig_end(&rig);
}

/* A brain's tokens come back with its own frames alone: what a plan sent carries none. */
static void test_a_pose_carries_nobodys_token(void)
{
  rig_armed_calm(&rig);
  uint32_t from = rig.record_count, echoes = 0;
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 0);
  rig_run(&rig, 10000);
  for (uint32_t i = from; i < rig.record_count; i++) {
    const struct ipcnet_can_frame *record = &rig.records[i % RIG_LOG];
    if (!(record->flags & IPCNET_CAN_ECHO) || record->can_id != 0x103) continue;
    CHECK_INT(record->token, 0);
    echoes++;
  }
  CHECK(echoes > 0);
  rig.echoes[ARM_BUS] = false;
  CHECK(ipcnet_reflex_gate_pose(rig.reflex, &rig.reflex->table.sends[1]));
  rig_link(&rig, ARM_BUS, IPCNET_LINK_OVERFLOW, 1); /* and where its echo is lost, nobody is told (the rig would not have it) */
  CHECK(!rig.reflex->messages[BRAKE].in_flight);
  rig_end(&rig);
}

/* A row beyond the table is nobody's, whatever a token says. */
static void test_an_echo_of_a_row_that_is_not_there(void)
{
  rig_armed_calm(&rig);
  rig.reflex->messages[LAMP + 1].in_flight = true;
  rig.reflex->messages[LAMP + 1].in_flight_token = 9u << TOKEN_ROW_BITS | (LAMP + 1);
  rig.reflex->messages[LAMP + 1].in_flight_brain_token = 77;
  struct ipcnet_can_frame echo = rig_frame(&rig, ARM_BUS, 0x101, IPCNET_CAN_ECHO, 8);
  echo.token = 9u << TOKEN_ROW_BITS | (LAMP + 1);
  rig_hear(&rig, &echo);
  CHECK_INT(rig.records[(rig.record_count - 1) % RIG_LOG].token, 0);
  CHECK(rig.reflex->messages[LAMP + 1].in_flight);
  rig_end(&rig);
}

/* ---- The last lock ------------------------------------------------------------------------------------------------------------------------------ */

/* Whatever brought it about that a command waits: it leaves only if we own the bus, are armed, have no malfunction and trust the bus at that moment. */
static void test_nothing_leaves_without_its_four_conditions(void)
{
  enum { ALL_WELL, NOT_OWNER, NOT_ARMED, MALFUNCTION, BUS_NOT_TRUSTED, CASES };
  for (int what = ALL_WELL; what < CASES; what++) {
    rig_armed_calm(&rig);
    rig.echoes[AUX_BUS] = false;
    struct ipcnet_reflex_command first = rig_make(&rig, GRIPPER), second = rig_make(&rig, GRIPPER);
    rig_give(&rig, &first);
    rig_give(&rig, &second);
    CHECK(rig.reflex->messages[GRIPPER].waiting);
    rig.reflex->messages[GRIPPER].in_flight = false;
    if (what == NOT_OWNER) rig.reflex->role = IPCNET_TWIN_YIELDING;
    if (what == NOT_ARMED) rig.reflex->arming = IPCNET_POSED;
    if (what == MALFUNCTION) rig.reflex->malfunction = IPCNET_MALFUNCTION_SELF_TEST;
    if (what == BUS_NOT_TRUSTED) rig.reflex->buses[AUX_BUS].owned = false;
    uint32_t from = rig.sent_count;
    ipcnet_reflex_gate_turn(rig.reflex);
    CHECK_INT(rig_sent(&rig, from, AUX_BUS, 0x12345678), what == ALL_WELL);
    rig_end(&rig);
  }
}

static void test_no_pose_of_whoever_does_not_own(void)
{
  rig_ready(&rig);
  CHECK(ipcnet_reflex_gate_pose(rig.reflex, &rig.reflex->table.sends[1]));
  uint32_t from = rig.sent_count;
  for (uint32_t role = 0; role < IPCNET_TWIN_ROLES; role++) {
    if (role == IPCNET_TWIN_OWNER) continue;
    rig.reflex->role = (enum ipcnet_twin_role)role;
    CHECK(!ipcnet_reflex_gate_pose(rig.reflex, &rig.reflex->table.sends[1]));
  }
  CHECK_INT(rig.sent_count, from);
  rig_end(&rig);
}

/* An owner whose store fails goes on as owner, but obeys nobody any more. */
static void test_no_command_after_the_store_failed(void)
{
  rig_armed_calm(&rig);
  rig_event(&rig, IPCNET_TWIN_STORE_FAILED);
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  uint32_t from = rig.sent_count;
  CHECK_INT(rig_refusal(&rig, &command), IPCNET_REFUSED_NOT_ARMED);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x101), 0);
  rig_end(&rig);
}

/* Before there is a table there are no rows, and no memory behind them. */
static void test_commands_without_a_table(void)
{
  static struct ipcnet_reflex_command command = {.deadline_us = UINT64_MAX, .message = 3, .token = 5};
  rig_begin(&rig, 0);
  CHECK_INT(rig_refusal(&rig, &command), IPCNET_REFUSED_NOT_OWNER);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(rig_state(&rig).role, IPCNET_TWIN_OWNER);
  CHECK_INT(rig_refusal(&rig, &command), IPCNET_REFUSED_NOT_ARMED);
  rig_end(&rig);
}

/* A shadow is looked at again when it expires, not when an owner would send it. */
static void test_a_shadow_wakes_nobody_before_its_deadline(void)
{
  rig_begin(&rig, 1);
  rig_arm_table(&table);
  rig_load(&rig, &table);
  rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  rig_give(&rig, &command);
  CHECK(rig.reflex->messages[SHOULDER].waiting);
  CHECK_INT(ipcnet_reflex_gate_next_us(rig.reflex), command.deadline_us);
  rig_end(&rig);
}

/* ---- A new table ------------------------------------------------------------------------------------------------------------------------------- */

/* A message keeps its counter if its frames are counted as before; one that is counted otherwise, or is new, begins anew. Nothing else of the old table is left, here or in the page. */
static void test_what_a_new_table_leaves(void)
{
  rig_armed_calm(&rig);
  struct ipcnet_reflex_command shoulder = rig_make(&rig, SHOULDER), elbow = rig_make(&rig, ELBOW);
  rig_give(&rig, &shoulder);
  rig_give(&rig, &elbow);
  rig.flying_count[ARM_BUS] = 0; /* their echoes never come */
  CHECK(rig.reflex->messages[SHOULDER].in_flight && rig.page->messages[SHOULDER].sequence == shoulder.sequence);
  rig_order(&rig, IPCNET_ORDER_DISARM, 0, 0);
  rig_arm_table(&table);
  table.messages[ELBOW].e2e.profile = 1;
  struct ipcnet_reflex_message *wrist = rig_message(&table, "wrist", ARM_BUS, 0x104, 8);
  wrist->e2e = table.messages[SHOULDER].e2e;
  uint32_t from = rig.sent_count;
  CHECK(rig_load(&rig, &table));
  static const struct { uint16_t row; uint32_t sent, counter; } KEPT[] = {{SHOULDER, 1, 1}, {ELBOW, 0, 0}, {LAMP + 1, 0, 0}};
  for (unsigned i = 0; i < 3; i++) {
    CHECK_INT(rig.reflex->messages[KEPT[i].row].sent, KEPT[i].sent);
    CHECK_INT(rig.reflex->messages[KEPT[i].row].e2e_counter, KEPT[i].counter);
    CHECK_INT(rig.page->messages[KEPT[i].row].sent, KEPT[i].sent);
    CHECK_INT(rig.page->messages[KEPT[i].row].e2e_counter, KEPT[i].counter);
  }
  for (uint32_t row = 0; row < IPCNET_REFLEX_MESSAGES_MAX; row++) {
    CHECK(!rig.reflex->messages[row].in_flight && !rig.reflex->messages[row].waiting);
    CHECK(rig.page->messages[row].sequence == 0 && rig.page->messages[row].deadline_us == 0 && rig.page->messages[row].brain_epoch == 0);
  }
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x101), 0);
  rig_end(&rig);
}

int main(void)
{
  test_rows_that_want_the_same_place();
  test_extended_is_another_identifier();
  test_an_index_for_each_section();
  test_sent_never_returns_to_nothing();
  test_a_new_brains_command_is_done_with();
  test_an_echoed_frame_is_never_told_as_settled();
  test_a_pose_carries_nobodys_token();
  test_an_echo_of_a_row_that_is_not_there();
  test_nothing_leaves_without_its_four_conditions();
  test_no_pose_of_whoever_does_not_own();
  test_no_command_after_the_store_failed();
  test_commands_without_a_table();
  test_a_shadow_wakes_nobody_before_its_deadline();
  test_what_a_new_table_leaves();
  return checks_report("reflex_gate_edge");
}
