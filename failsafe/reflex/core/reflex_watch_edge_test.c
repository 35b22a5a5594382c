/* What is heard, at its edges: whose command an intact or a broken frame with our identifier is, instants that are equal, what of a node is told, what a new table forgets. */
#include "../../../drivers/can/core/check.h"
#include "core_rig.h"

static struct core_rig rig;
static struct table_rig table;

static void quiet(void)
{
  rig_ready(&rig);
  rig.plant = rig.brain = false;
}

static void brake_state(double time_us, uint8_t length)
{
  struct ipcnet_can_frame frame = rig_frame(&rig, AUX_BUS, 0x283, 0, length);
  frame.time_us = time_us;
  frame.data[0] = 1;
  rig_hear(&rig, &frame);
}

static bool told(uint32_t from, uint16_t node)
{
  return rig_report_of(&rig, from, IPCNET_REPORT_NODE, node) != NULL;
}

/* ---- Commands of others ---------------------------------------------------------------------------------------------------------------------------- */

static struct ipcnet_can_frame shoulder_of(uint32_t epoch, uint8_t counter)
{
  struct ipcnet_can_frame frame = rig_frame(&rig, ARM_BUS, 0x101, 0, 8);
  ipcnet_reflex_field_set(RIG_FIELD(24, ARM_EPOCH_BITS, 0), frame.data, epoch);
  const ipcnet_e2e_config config = {.data_id = 0x1234, .max_length_bytes = 8};
  ipcnet_e2e_p05_protect(&config, frame.data, 8, counter);
  return frame;
}

/* Every epoch that fits the field: ours is a malfunction, the newer half is a foreign master, the older half is nobody whom a node obeys. */
static void test_every_epoch_of_a_foreign_command(void)
{
  for (uint32_t ahead = 0; ahead < 16; ahead++) {
    rig_armed_calm(&rig);
    struct ipcnet_can_frame frame = shoulder_of((rig_state(&rig).epoch + ahead) & 15u, 1);
    rig_hear(&rig, &frame);
    CHECK_INT(rig_state(&rig).malfunction, ahead == 0 ? IPCNET_MALFUNCTION_FOREIGN_COMMAND : IPCNET_MALFUNCTION_NONE);
    CHECK_INT(rig_lacks(&rig, IPCNET_MISSING_FOREIGN_MASTER, ARM_BUS), ahead <= 7);
    CHECK_INT(ipcnet_reflex_counters(rig.reflex)->foreign_frames, 1);
    rig_end(&rig);
  }
}

/* What is not intact says no epoch: a stranger's, whatever stands in it. Nor does a message without the field say one. */
static void test_a_foreign_command_that_says_no_epoch(void)
{
  for (uint32_t ahead = 0; ahead < 16; ahead += 5) {
    for (unsigned how = 0; how < 2; how++) {
      rig_armed_calm(&rig);
      struct ipcnet_can_frame frame = shoulder_of((rig_state(&rig).epoch + ahead) & 15u, 1);
      if (how == 0) frame.data[0] ^= 1;
      else frame.length_bytes = 7;
      rig_hear(&rig, &frame);
      CHECK_INT(rig_state(&rig).malfunction, IPCNET_MALFUNCTION_NONE);
      CHECK(rig_lacks(&rig, IPCNET_MISSING_FOREIGN_MASTER, ARM_BUS));
      rig_end(&rig);
    }
  }
  rig_armed_calm(&rig);
  struct ipcnet_can_frame frame = rig_frame(&rig, AUX_BUS, 0x12345678, IPCNET_CAN_EXTENDED, 3);
  rig_hear(&rig, &frame);
  CHECK_INT(rig_state(&rig).malfunction, IPCNET_MALFUNCTION_NONE);
  CHECK(rig_lacks(&rig, IPCNET_MISSING_FOREIGN_MASTER, AUX_BUS));
  rig_end(&rig);
}

/* Without protection the length alone says whether a frame is one of that message. */
static void test_a_foreign_command_of_another_length(void)
{
  for (uint8_t length = 7; length <= 8; length++) {
    rig_arm_table(&table);
    memset(&table.messages[SHOULDER].e2e, 0, sizeof table.messages[SHOULDER].e2e);
    rig_ready_with(&rig, &table, 0);
    struct ipcnet_can_frame frame = shoulder_of(rig_state(&rig).epoch & 15u, 1);
    frame.length_bytes = length;
    rig_hear(&rig, &frame);
    CHECK_INT(rig_state(&rig).malfunction, length == 8 ? IPCNET_MALFUNCTION_FOREIGN_COMMAND : IPCNET_MALFUNCTION_NONE);
    rig_end(&rig);
  }
}

/* Who does not own the bus learns the owner's counters, and forgets nothing of its own. */
static void test_counters_are_learned(void)
{
  rig_begin(&rig, 1);
  rig_arm_table(&table);
  rig_load(&rig, &table);
  rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
  struct ipcnet_can_frame frame = shoulder_of(3, 41);
  rig_hear(&rig, &frame);
  CHECK_INT(rig.reflex->messages[SHOULDER].e2e_counter, 41);
  CHECK_INT(rig.reflex->messages[SHOULDER].sent, 1);
  rig.reflex->messages[SHOULDER].sent = 9; /* as after an ownership */
  frame = shoulder_of(3, 42);
  rig_hear(&rig, &frame);
  CHECK_INT(rig.reflex->messages[SHOULDER].e2e_counter, 42);
  CHECK_INT(rig.reflex->messages[SHOULDER].sent, 9);
  rig_end(&rig);
}

/* ---- Measured values -------------------------------------------------------------------------------------------------------------------------------- */

/* A frame's own time counts from the first instant of the clock up to now. */
static void test_the_first_instant_is_one(void)
{
  static const double TIMES[] = {0, 1};
  for (unsigned i = 0; i < 2; i++) {
    rig_begin(&rig, 0);
    rig_arm_table(&table);
    rig_load(&rig, &table);
    brake_state(TIMES[i], 2);
    CHECK_INT(rig.reflex->watches[BRAKE_STATE].seen_us, TIMES[i]);
    rig_end(&rig);
  }
}

static void test_a_frame_that_is_too_short_measures_nothing(void)
{
  quiet();
  uint64_t rejected = ipcnet_reflex_counters(rig.reflex)->rejected_frames;
  rig.now_us += 1000;
  uint64_t seen_us = rig.reflex->watches[BRAKE_STATE].seen_us;
  brake_state((double)rig.now_us, 1);
  CHECK_INT(rig.reflex->watches[BRAKE_STATE].seen_us, seen_us);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->rejected_frames, rejected + 1);
  rig_end(&rig);
}

/* A new table has measured nothing and heard nobody yet. */
static void test_a_new_table_has_seen_nothing(void)
{
  rig_ready(&rig);
  rig.brake = 1;
  rig_run(&rig, 50000);
  CHECK(ipcnet_reflex_watch_holds(rig.reflex, BRAKE_ON, rig.now_us) && ipcnet_reflex_watch_holds(rig.reflex, SHOULDER_STILL, rig.now_us));
  rig_arm_table(&table);
  CHECK(rig_load(&rig, &table));
  for (uint16_t condition = SHOULDER_STILL; condition <= ARM_STRAINED; condition++) {
    CHECK(!ipcnet_reflex_watch_holds(rig.reflex, condition, rig.now_us));
    CHECK(ipcnet_reflex_watch_holds_at_us(rig.reflex, condition, rig.now_us) == UINT64_MAX);
    CHECK(!rig.reflex->conditions[condition].within);
  }
  for (uint16_t node = SHOULDER_NODE; node <= BUTTON_NODE; node++) CHECK(rig.reflex->nodes[node].life == NODE_UNKNOWN && rig.reflex->nodes[node].epoch == 0);
  for (uint16_t watch = SHOULDER_STATE; watch <= BRAKE_STATE; watch++) CHECK(!rig.reflex->watches[watch].seen && rig.reflex->watches[watch].seen_us == 0);
  CHECK(ipcnet_reflex_watch_next_us(rig.reflex) == UINT64_MAX);
  rig_end(&rig);
}

/* ---- Nodes ------------------------------------------------------------------------------------------------------------------------------------------ */

/* The one whose time ends first is looked at first, in whatever order they stand. */
static void test_the_first_to_be_missed(void)
{
  for (unsigned first = 0; first < 2; first++) {
    quiet();
    struct ipcnet_can_frame beat = rig_frame(&rig, ARM_BUS, 0x705, 0, 1), state;
    beat.data[0] = 5;
    for (unsigned turn = 0; turn < 2; turn++) {
      rig.now_us += 5000;
      state = rig_shoulder_state(&rig);
      beat.time_us = (double)rig.now_us;
      rig_hear(&rig, turn == first ? &state : &beat);
    }
    CHECK(ipcnet_reflex_watch_next_us(rig.reflex) <= rig.now_us - 5000 + 100001);
    rig.reflex->nodes[BUTTON_NODE].life = NODE_UNKNOWN;
    CHECK_INT(ipcnet_reflex_watch_next_us(rig.reflex), rig.now_us - 5000 + 100001);
    rig_end(&rig);
  }
}

/* What is told of a node: that it is there, that it is there again, that its CANopen state, the epoch or the owner it reports is another one; and never twice the same. */
static void test_what_is_told_of_a_node(void)
{
  quiet();
  uint32_t from = rig.record_count;
  rig.now_us += 200000;
  ipcnet_reflex_tick(rig.reflex, rig.now_us);
  CHECK(told(from, BUTTON_NODE));
  CHECK_INT(rig_report_of(&rig, from, IPCNET_REPORT_NODE, BUTTON_NODE)->data[0], NODE_LOST);
  from = rig.record_count;
  rig_report(&rig);
  CHECK(told(from, BUTTON_NODE) && told(from, SHOULDER_NODE) && told(from, ELBOW_NODE)); /* again, and nothing else about them has changed */
  from = rig.record_count;
  rig_report(&rig);
  CHECK(!told(from, BUTTON_NODE) && !told(from, SHOULDER_NODE) && !told(from, ELBOW_NODE));
  rig_end(&rig);

  rig_arm_table(&table);
  table.nodes[ELBOW_NODE].flags = IPCNET_REFLEX_NODE_REQUIRED | IPCNET_REFLEX_NODE_CANOPEN; /* in any state it is alive */
  rig_ready_with(&rig, &table, 0);
  rig.elbow_stopped = true;
  from = rig.record_count;
  rig_report(&rig);
  CHECK(told(from, ELBOW_NODE));
  CHECK_INT(rig.reflex->nodes[ELBOW_NODE].life, NODE_ALIVE);
  rig_end(&rig);

  quiet();
  rig.follows = false;
  from = rig.record_count;
  rig.node_epoch = 0;
  rig_report(&rig);
  CHECK(told(from, SHOULDER_NODE));
  from = rig.record_count;
  rig.node_owner = 7;
  rig_report(&rig);
  CHECK(told(from, SHOULDER_NODE));
  rig_end(&rig);
}

/* ---- Taking over --------------------------------------------------------------------------------------------------------------------------------- */

/* Evidence is what was heard: a node that is alive on the word of the owner before is none, nor is one that was heard too long ago. */
static void test_evidence(void)
{
  quiet();
  rig_report(&rig);
  CHECK(ipcnet_reflex_watch_alive(rig.reflex, SHOULDER_NODE));
  rig.reflex->watches[SHOULDER_STATE].seen = false;
  CHECK(!ipcnet_reflex_watch_alive(rig.reflex, SHOULDER_NODE));
  rig.reflex->watches[SHOULDER_STATE].seen = true;
  rig.reflex->now_us = rig.now_us + 100000;
  CHECK(ipcnet_reflex_watch_alive(rig.reflex, SHOULDER_NODE));
  rig.reflex->now_us++;
  CHECK(!ipcnet_reflex_watch_alive(rig.reflex, SHOULDER_NODE));
  rig_end(&rig);
}

/* Whoever goes on armed loses the nodes that are not there, waits for those it had no time to hear, and lets those alone that are. */
static void test_nodes_at_a_takeover(void)
{
  static const struct { uint8_t life; bool seen; uint8_t after; } CASES[] = {
    {NODE_UNKNOWN, false, NODE_ALIVE}, {NODE_UNKNOWN, true, NODE_LOST}, {NODE_LOST, false, NODE_LOST}, {NODE_LOST, true, NODE_LOST}, {NODE_ALIVE, true, NODE_ALIVE}};
  for (unsigned i = 0; i < 5; i++) {
    quiet();
    uint64_t seen_us = rig.reflex->watches[STOP_BUTTON].seen_us;
    rig.reflex->nodes[BUTTON_NODE].life = CASES[i].life;
    rig.reflex->watches[STOP_BUTTON].seen = CASES[i].seen;
    uint32_t from = rig.record_count;
    rig.reflex->now_us = rig.now_us += 7000;
    ipcnet_reflex_watch_adopt(rig.reflex);
    CHECK_INT(rig.reflex->nodes[BUTTON_NODE].life, CASES[i].after);
    CHECK_INT(told(from, BUTTON_NODE), CASES[i].after == NODE_LOST);
    CHECK_INT(rig.reflex->watches[STOP_BUTTON].seen_us, CASES[i].life == NODE_UNKNOWN && !CASES[i].seen ? rig.now_us : seen_us);
    rig_end(&rig);
  }
}

/* A time given on trust is no measurement: the first frame counts with its own time, though it was made before. */
static void test_the_first_frame_after_a_takeover(void)
{
  rig_begin(&rig, 0);
  rig_arm_table(&table);
  rig_load(&rig, &table);
  ipcnet_reflex_watch_adopt(rig.reflex);
  struct ipcnet_can_frame frame = rig_frame(&rig, ARM_BUS, 0x80, 0, 1);
  frame.time_us = (double)(rig.now_us - 300);
  rig_hear(&rig, &frame);
  CHECK_INT(rig.reflex->watches[STOP_BUTTON].seen_us, rig.now_us - 300);
  rig_end(&rig);
}

/* A frame of ours that the link before had kept comes out late: ours, whether it says an epoch or not. Said once more, or one byte shorter, it is another's. */
static void test_our_own_from_the_link_before(void)
{
  for (unsigned dated = 0; dated < 2; dated++) {
    for (unsigned how = 0; how < 3; how++) {
      rig_arm_table(&table);
      table.messages[SHOULDER].expired_trigger = IPCNET_REFLEX_NONE;
      if (!dated) table.messages[SHOULDER].epoch = (struct ipcnet_reflex_field){0};
      rig_ready_with(&rig, &table, 0);
      CHECK_INT(rig_order(&rig, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_DONE);
      rig.echoes[ARM_BUS] = false;
      struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
      rig_give(&rig, &command);
      const struct ipcnet_can_frame *sent = rig_last_sent(&rig, ARM_BUS, 0x101);
      CHECK(sent != NULL);
      struct ipcnet_can_frame late = *sent;
      late.token = 0;
      rig_link(&rig, ARM_BUS, IPCNET_LINK_DOWN, 0);
      rig_link(&rig, ARM_BUS, IPCNET_LINK_UP, 0);
      if (how == 2) late.length_bytes = 7; /* the same bytes, but not all of them */
      rig_hear(&rig, &late);
      CHECK_INT(rig_lacks(&rig, IPCNET_MISSING_FOREIGN_MASTER, ARM_BUS), how == 2);
      if (how == 1) {
        rig_hear(&rig, &late);
        CHECK(rig_lacks(&rig, IPCNET_MISSING_FOREIGN_MASTER, ARM_BUS));
        CHECK_INT(rig_state(&rig).malfunction, dated ? IPCNET_MALFUNCTION_FOREIGN_COMMAND : IPCNET_MALFUNCTION_NONE);
      }
      rig_end(&rig);
    }
  }
}

int main(void)
{
  test_every_epoch_of_a_foreign_command();
  test_a_foreign_command_that_says_no_epoch();
  test_a_foreign_command_of_another_length();
  test_counters_are_learned();
  test_the_first_instant_is_one();
  test_a_frame_that_is_too_short_measures_nothing();
  test_a_new_table_has_seen_nothing();
  test_the_first_to_be_missed();
  test_what_is_told_of_a_node();
  test_evidence();
  test_nodes_at_a_takeover();
  test_the_first_frame_after_a_takeover();
  test_our_own_from_the_link_before();
  return checks_report("reflex_watch_edge");
}
