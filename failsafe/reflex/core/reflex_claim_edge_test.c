/* Claims at their edges: exact instants of silence, lease and confirmation; whose word counts; what nodes with short fields say. */
#include "../../../drivers/can/core/check.h"
#include "claim_rig.h"

/* Nodes are heard, which follow nobody: the cable is whole. */
static void hear_nodes_at(uint64_t at_us)
{
  rig.now_us = at_us;
  rig.follows = false;
  rig.node_epoch = 0;
  rig.node_owner = 7;
  rig_report(&rig);
}

/* ---- Instants ------------------------------------------------------------------------------------------------------------------------------------ */

/* It listens for three beats and its slot, by the highest host number that it has on a shared bus. */
static void test_how_long_it_listens(void)
{
  static const struct { uint8_t arm_host, aux_host; bool aux_shared; uint64_t us; } CASES[] = {
    {0, 0, true, 60000}, {1, 0, true, 62000}, {0, 1, true, 62000}, {1, 1, true, 62000}, {0, 1, false, 60000}, {1, 0, false, 62000}};
  for (unsigned i = 0; i < 6; i++) {
    shared_table(CASES[i].arm_host);
    table.buses[AUX_BUS].claim_id = 0x20;
    table.buses[AUX_BUS].host = CASES[i].aux_host;
    table.buses[AUX_BUS].self_fence_us = CASES[i].aux_shared ? 30000 : 0;
    begin(0);
    rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
    CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
    uint64_t ends_us = rig.now_us + CASES[i].us;
    CHECK_INT(next_us(), ends_us);
    hear_nodes_at(ends_us - 1);
    tick_at(ends_us - 1);
    CHECK_INT(rig.sent_count, 0);
    tick_at(ends_us);
    CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x010u + CASES[i].arm_host * 2u), 1);
    rig_end(&rig);
  }
}

/* Confirmed within the time of self-fencing, or outvoted at that instant; it beats meanwhile. */
static void test_how_long_it_waits_for_a_witness(void)
{
  static const struct { uint32_t fence_us; uint64_t us; } CASES[] = {{30000, 30000}, {5000, 5000}, {4000, 5000}, {1000, 5000}};
  for (unsigned i = 0; i < 4; i++) {
    shared_table(0);
    table.buses[ARM_BUS].self_fence_us = CASES[i].fence_us;
    begin(0);
    rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
    rig.answers_twin = false;
    hear_nodes_at(next_us());
    tick_at(rig.now_us);
    CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x010), 1);
    uint64_t ends_us = rig.now_us + CASES[i].us;
    uint64_t beat_us = rig.now_us + table.header.beat_period_us;
    CHECK_INT(next_us(), beat_us < ends_us ? beat_us : ends_us);
    tick_at(ends_us - 1);
    CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
    tick_at(ends_us);
    CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
    rig_end(&rig);
  }
}

/* What the store has not answered yet is waited for without end, and nothing is sent. */
static void test_nothing_before_the_epoch_is_stored(void)
{
  for (unsigned shared = 0; shared < 2; shared++) {
    shared_table(0);
    if (!shared) table.buses[ARM_BUS].self_fence_us = 0;
    begin(0);
    rig.answers_twin = rig.plant = false;
    rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
    CHECK(next_us() == UINT64_MAX);
    tick_at(rig.now_us + 3000000);
    CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
    CHECK_INT(rig.sent_count, 0);
    rig_end(&rig);
  }
}

/* What could not be sent is tried again soon, but never at once. */
static void test_never_at_once_again(void)
{
  rig_arm_table(&table);
  begin(0);
  rig.refuses_claims = true;
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
  CHECK_INT(next_us(), rig.now_us + 100);
  hear(IPCNET_BEAT, 0xFFFF, 2, 1); /* an older one is no reason to stand back: we are alone on our buses */
  CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->stale_claims_heard, 1);
  rig.refuses_claims = false;
  tick_at(rig.now_us + 100);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  rig_end(&rig);
}

/* Whoever does not own and does not claim has nothing due; nor has anybody without a table. */
static void test_nothing_is_due_for_others(void)
{
  shared_table(0);
  begin(1);
  rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
  CHECK(next_us() == UINT64_MAX);
  rig_end(&rig);
  rig_begin(&rig, 0);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK(next_us() == UINT64_MAX);
  rig.answers_twin = false;
  rig_event(&rig, IPCNET_TWIN_SELF_FENCED);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  CHECK(next_us() == UINT64_MAX);
  tick_at(rig.now_us + 5000000);
  CHECK_INT(rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK, 0);
  rig_end(&rig);
}

/* ---- Beats and leases ------------------------------------------------------------------------------------------------------------------------------ */

static void own(bool shared)
{
  shared_table(0);
  if (!shared) table.buses[ARM_BUS].self_fence_us = 0;
  begin(0);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  rig_run(&rig, 150000);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  rig.plant = rig.brain = false;
  rig_echo(&rig);
}

/* One claim in the queue is enough, for as long as two may need. */
static void test_one_in_the_queue(void)
{
  for (unsigned i = 0; i < 4; i++) {
    own(false);
    struct bus_state *bus = &rig.reflex->buses[ARM_BUS];
    uint64_t patience_us = ipcnet_bus_health_echo_patience_us(&bus->health), ago_us[] = {0, 2 * patience_us - 1, 2 * patience_us, 0};
    bus->claim_in_flight = i != 3;
    bus->claim_in_flight_us = rig.now_us + 50 - ago_us[i];
    bus->beat_due_us = rig.now_us + 50;
    uint32_t from = rig.sent_count;
    tick_at(rig.now_us + 49);
    CHECK_INT(rig.sent_count, from);
    tick_at(rig.now_us + 1);
    CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x010), i >= 2);
    rig_end(&rig);
  }
}

/* The schedule is kept by whoever is less than half a period late; after that the next beat is half a period away. */
static void test_the_schedule_of_beats(void)
{
  static const struct { uint64_t late_us, next_us; } CASES[] = {{0, 20000}, {1, 19999}, {9999, 10001}, {10000, 10000}, {10001, 10000}, {12000, 10000}, {15000, 10000}, {90000, 10000}};
  for (unsigned i = 0; i < 8; i++) {
    own(false);
    struct bus_state *bus = &rig.reflex->buses[ARM_BUS];
    bus->beat_due_us = rig.now_us + 100000 - CASES[i].late_us;
    tick_at(rig.now_us + 100000);
    CHECK_INT(bus->beat_due_us, rig.now_us + CASES[i].next_us);
    CHECK_INT(next_us(), rig.now_us + CASES[i].next_us);
    rig_end(&rig);
  }
}

/* A bus that frames cannot reach gets no beat; and where another host may be, every second one of the beats is a question. */
static void test_what_beats_need(void)
{
  own(false);
  rig.reflex->buses[ARM_BUS].health.phase = IPCNET_BUS_PURGING;
  uint32_t from = rig.sent_count;
  tick_at(rig.now_us + 40000);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x010), 0);
  rig_end(&rig);
  for (unsigned early = 0; early < 2; early++) {
    own(true);
    struct bus_state *bus = &rig.reflex->buses[ARM_BUS];
    bus->witness_us = rig.now_us;
    bus->beat_due_us = rig.now_us + 10;
    bus->probe_due_us = rig.now_us + 10 + early;
    tick_at(rig.now_us + 10);
    CHECK_INT(rig_last_sent(&rig, ARM_BUS, 0x010)->data[3] & 15, early ? IPCNET_BEAT : IPCNET_SPLIT_PROBE);
    CHECK_INT(bus->probe_due_us, early ? rig.now_us + 1 : rig.now_us + 1000000);
    rig_end(&rig);
  }
}

static void test_a_claim_begins_everything(void)
{
  own(true);
  struct bus_state *bus = &rig.reflex->buses[ARM_BUS];
  bus->claimed = false;
  bus->claimed_us = bus->beat_due_us = bus->probe_due_us = 0;
  bus->witness_us = rig.now_us;
  tick_at(rig.now_us + 10);
  CHECK(bus->claimed);
  CHECK_INT(bus->claimed_us, rig.now_us);
  CHECK_INT(bus->beat_due_us, rig.now_us + 20000);
  CHECK_INT(bus->probe_due_us, rig.now_us + 1000000);
  rig_end(&rig);
}

/* The lease runs from the last sign that we are followed, or from our claim; but a claim that is still in the queue says that we are not heard since then. */
static void test_the_lease(void)
{
  static const struct { uint64_t witness, claimed; bool in_flight; uint64_t in_flight_at, from; } CASES[] = {
    {20000, 10000, false, 0, 20000}, {10000, 20000, false, 0, 20000}, {20000, 10000, true, 15000, 15000}, {20000, 10000, true, 25000, 20000}, {20000, 10000, false, 5000, 20000}, {10000, 20000, true, 12000, 12000}};
  for (unsigned i = 0; i < 6; i++) {
    own(true);
    rig.answers_twin = false;
    struct bus_state *bus = &rig.reflex->buses[ARM_BUS];
    uint64_t zero_us = rig.now_us - 25000;
    bus->witness_us = zero_us + CASES[i].witness;
    bus->claimed_us = zero_us + CASES[i].claimed;
    bus->claim_in_flight = CASES[i].in_flight;
    bus->claim_in_flight_us = zero_us + CASES[i].in_flight_at;
    bus->beat_due_us = rig.now_us + 900000;
    uint64_t ends_us = zero_us + CASES[i].from + 30000;
    CHECK_INT(next_us(), ends_us);
    tick_at(ends_us - 1);
    CHECK_INT(role(), IPCNET_TWIN_OWNER);
    tick_at(ends_us);
    CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
    rig_end(&rig);
  }
  own(true); /* and what is due first is looked at first */
  rig.reflex->buses[ARM_BUS].witness_us = rig.now_us;
  rig.reflex->buses[ARM_BUS].beat_due_us = rig.now_us + 30;
  CHECK_INT(next_us(), rig.now_us + 30);
  rig.reflex->buses[ARM_BUS].claimed = false; /* no beat is due where nothing was claimed */
  CHECK_INT(next_us(), rig.now_us + 30000);
  rig_end(&rig);
}

/* ---- Outvoted -------------------------------------------------------------------------------------------------------------------------------------- */

static void outvoted(uint8_t arm_host, uint8_t aux_host, uint32_t beat_us)
{
  rig_arm_table(&table);
  table.header.beat_period_us = beat_us;
  table.buses[ARM_BUS].host = arm_host;
  table.buses[AUX_BUS].host = aux_host;
  rig_ready_with(&rig, &table, 0);
  rig.answers_twin = rig.plant = rig.follows = false;
  hear(IPCNET_BEAT, 0x105, arm_host ? 0 : 2, 1);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  rig.twin_effects = 0;
}

/* Three beats and a slot after it was heard last; a second if a node still follows it, unless beats are so slow that three of them are longer. */
static void test_when_the_other_is_silent(void)
{
  static const struct { uint8_t arm_host, aux_host; uint32_t beat_us; bool follows; uint64_t us; } CASES[] = {
    {0, 0, 20000, false, 60000}, {1, 0, 20000, false, 62000}, {0, 1, 20000, false, 62000}, {0, 0, 20000, true, 1000000}, {0, 0, 500000, true, 1500000}, {0, 0, 500000, false, 1500000}};
  for (unsigned i = 0; i < 6; i++) {
    outvoted(CASES[i].arm_host, CASES[i].aux_host, CASES[i].beat_us);
    rig.reflex->nodes[SHOULDER_NODE].life = CASES[i].follows ? NODE_ALIVE : NODE_LOST;
    rig.reflex->nodes[SHOULDER_NODE].epoch = 0x105;
    rig.reflex->nodes[SHOULDER_NODE].owner = 2;
    uint64_t due_us = rig.now_us + CASES[i].us;
    CHECK_INT(next_us(), due_us);
    rig.reflex->watches[SHOULDER_STATE].seen_us = due_us - 1; /* it is heard meanwhile */
    tick_at(due_us - 1);
    CHECK_INT(rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK, 0);
    tick_at(due_us);
    CHECK(rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK);
    CHECK_INT(next_us(), due_us + 1000000); /* asked again after a rest */
    rig_end(&rig);
  }
}

/* Which node follows the epoch 0x105: alive, that epoch as far as its field goes, and an owner's number that one can have. */
static void test_which_node_follows(void)
{
  static const struct { uint8_t life; uint16_t epoch; uint8_t owner, bits; bool follows; } CASES[] = {
    {NODE_ALIVE, 0x105, 2, 16, true}, {NODE_ALIVE, 0x105, 0, 16, true}, {NODE_ALIVE, 0x105, 3, 16, true}, {NODE_ALIVE, 0x105, 4, 16, false}, {NODE_ALIVE, 0x105, 7, 16, false}, {NODE_ALIVE, 0x104, 2, 16, false},
    {NODE_ALIVE, 0x005, 2, 8, true}, {NODE_ALIVE, 0x006, 2, 8, false}, {NODE_LOST, 0x105, 2, 16, false}, {NODE_UNKNOWN, 0x105, 2, 16, false}};
  for (unsigned i = 0; i < 10; i++) {
    rig_arm_table(&table);
    table.watches[SHOULDER_STATE].epoch.bits = CASES[i].bits;
    rig_ready_with(&rig, &table, 0);
    rig.answers_twin = rig.plant = false;
    hear(IPCNET_BEAT, 0x105, 2, 1);
    rig.reflex->nodes[SHOULDER_NODE].life = CASES[i].life;
    rig.reflex->nodes[SHOULDER_NODE].epoch = CASES[i].epoch;
    rig.reflex->nodes[SHOULDER_NODE].owner = CASES[i].owner;
    CHECK_INT(next_us(), rig.now_us + (CASES[i].follows ? 1000000 : 60000));
    rig_end(&rig);
  }
  static const struct { uint16_t heard, node; bool follows; } LOW[] = {{0x100, 0, false}, {0x101, 1, true}}; /* 0 is nobody's, also where the low bits of an epoch are 0 */
  for (unsigned i = 0; i < 2; i++) {
    rig_arm_table(&table);
    table.watches[SHOULDER_STATE].epoch.bits = 8;
    rig_ready_with(&rig, &table, 0);
    rig.answers_twin = rig.plant = false;
    hear(IPCNET_BEAT, LOW[i].heard, 2, 1);
    rig.reflex->nodes[SHOULDER_NODE].epoch = LOW[i].node;
    rig.reflex->nodes[SHOULDER_NODE].owner = 2;
    CHECK_INT(next_us(), rig.now_us + (LOW[i].follows ? 1000000 : 60000));
    rig_end(&rig);
  }
}

/* The other host is silent when its last owner is, whichever of them beat last; our own twin is not the other host. */
static void test_who_is_the_other_host(void)
{
  outvoted(0, 0, 20000);
  rig.now_us += 7000;
  hear(IPCNET_BEAT, 0x105, 3, 1);
  uint64_t last_us = rig.now_us;
  CHECK_INT(next_us(), last_us + 60000);
  rig.now_us += 3000;
  hear(IPCNET_BEAT, 0x105, 1, 1);
  CHECK_INT(next_us(), last_us + 60000);
  rig_end(&rig);
  outvoted(0, 0, 20000);
  uint64_t first_us = rig.now_us;
  rig.reflex->buses[ARM_BUS].others[3].heard = true; /* heard before */
  rig.reflex->buses[ARM_BUS].others[3].heard_us = first_us - 9000;
  CHECK_INT(next_us(), first_us + 60000);
  hear(IPCNET_RELEASE, 0x105, 2, 2); /* goodbye: as if it had never been heard */
  hear(IPCNET_RELEASE, 0x105, 3, 2);
  CHECK_INT(next_us(), rig.reflex->outvoted_us + 1000000);
  rig_end(&rig);
}

/* Only where another host is on the bus does it matter whether any node is heard: without one we would be the one who is cut off. */
static void test_who_is_cut_off(void)
{
  for (unsigned shared = 0; shared < 2; shared++) {
    own(shared == 1);
    rig.answers_twin = false;
    hear(IPCNET_BEAT, 9, 2, 1);
    rig.twin_effects = 0;
    CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
    rig.reflex->nodes[SHOULDER_NODE].life = NODE_LOST; /* the elbow is heard, but says nothing of owners */
    rig.reflex->watches[ELBOW_BEAT].seen_us = rig.now_us + 2000000;
    tick_at(rig.now_us + 2000000);
    CHECK_INT(rig.reflex->nodes[ELBOW_NODE].life, NODE_ALIVE);
    CHECK_INT((rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK) != 0, !shared);
    rig_end(&rig);
  }
}

/* A standby remembers whom it heard. */
static void test_a_standby_remembers(void)
{
  rig_arm_table(&table);
  begin(1);
  rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
  hear(IPCNET_BEAT, 9, 2, 1);
  tick_at(rig.now_us + 3000000);
  CHECK(rig.reflex->buses[ARM_BUS].others[2].heard);
  rig_end(&rig);
}

/* ---- Whose word counts ------------------------------------------------------------------------------------------------------------------------------- */

/* An older epoch never silences an owner, whoever says it. */
static void test_an_older_one_with_a_lower_number(void)
{
  rig_arm_table(&table);
  rig_ready_with(&rig, &table, 1);
  hear(IPCNET_BEAT, 0xFFFF, 0, 1);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  rig_end(&rig);
}

/* While it listens, the other host's owner is let alone, however old; its own host's is not asked. Once the claim is out only epochs count. */
static void test_whom_a_listener_lets_alone(void)
{
  static const struct { uint8_t owner; bool claimed; uint8_t role; } CASES[] = {
    {2, false, IPCNET_TWIN_OUTVOTED}, {3, false, IPCNET_TWIN_OUTVOTED}, {1, false, IPCNET_TWIN_CLAIMING}, {2, true, IPCNET_TWIN_CLAIMING}};
  for (unsigned i = 0; i < 4; i++) {
    shared_table(0);
    begin(0);
    rig.reflex->stored_epoch = 100;
    rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
    rig.answers_twin = false;
    hear_nodes_at(CASES[i].claimed ? next_us() : next_us() - 1);
    tick_at(rig.now_us);
    CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x010), CASES[i].claimed);
    hear(IPCNET_BEAT, 5, CASES[i].owner, 1);
    CHECK_INT(role(), CASES[i].role);
    CHECK_INT(ipcnet_reflex_counters(rig.reflex)->stale_claims_heard, CASES[i].role == IPCNET_TWIN_CLAIMING);
    rig_end(&rig);
  }
}

/* Only a predecessor on this host that owned the bus, or hands it over, spares us listening; a twin that merely lives does not. */
static void test_a_living_twin_is_no_predecessor(void)
{
  static struct ipcnet_reflex_page page;
  page = (struct ipcnet_reflex_page){.magic = IPCNET_REFLEX_PAGE_MAGIC, .major = IPCNET_REFLEX_TABLE_MAJOR, .boot_id = {1, 2, 3}, .epoch = 1};
  for (uint32_t was = 0; was < IPCNET_TWIN_ROLES; was++) {
    shared_table(0);
    begin(0);
    page.role = was;
    page.bus_phases[ARM_BUS] = IPCNET_BUS_UP;
    rig.other = &page;
    rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
    CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x010), was == IPCNET_TWIN_OWNER || was == IPCNET_TWIN_YIELDING);
    rig_end(&rig);
  }
}

/* A claim that never went out on a shared bus is confirmed by nobody, though a node reports just that epoch and owner. */
static void test_no_witness_of_a_claim_that_was_not_sent(void)
{
  shared_table(0);
  rig_begin(&rig, 0);
  rig_load(&rig, &table);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  rig.answers_twin = false;
  hear_nodes_at(next_us());
  tick_at(rig.now_us);
  CHECK_INT(rig.sent_count, 0);
  rig.node_epoch = rig.reflex->epoch;
  rig.node_owner = 0;
  rig_report(&rig);
  tick_at(rig.now_us + 1000);
  CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
  rig_end(&rig);
}

/* What a node said before we began to claim confirms nothing, in the same instant either. */
static void test_no_witness_from_before(void)
{
  static struct ipcnet_reflex_page page;
  page = (struct ipcnet_reflex_page){.magic = IPCNET_REFLEX_PAGE_MAGIC, .major = IPCNET_REFLEX_TABLE_MAJOR, .boot_id = {1, 2, 3}, .role = IPCNET_TWIN_OWNER, .epoch = 1, .bus_phases = {IPCNET_BUS_UP}};
  shared_table(0);
  begin(1);
  rig.other = &page;
  rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
  rig.follows = false;
  rig.node_epoch = 0;
  rig.node_owner = 1;
  rig_report(&rig);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x011), 1);
  CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
  rig.answers_twin = false;
  tick_at(rig.now_us + 30000);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED); /* nor when the time of confirming is over */
  rig_end(&rig);
}

/* A claim of an owner that cannot be is rejected and looked up nowhere. */
static void test_an_owner_that_cannot_be(void)
{
  static const uint8_t OWNERS[] = {4, 7, 200, 255};
  for (unsigned i = 0; i < 4; i++) {
    rig_ready(&rig);
    struct ipcnet_can_frame frame = rig_claim_of(&rig, IPCNET_BEAT, 9, 0, 1);
    frame.data[6] = OWNERS[i];
    const ipcnet_e2e_config config = {.data_id = 0xC1A1};
    ipcnet_e2e_p05_protect(&config, frame.data, 8, 1);
    rig_hear(&rig, &frame);
    CHECK_INT(role(), IPCNET_TWIN_OWNER);
    CHECK_INT(ipcnet_reflex_counters(rig.reflex)->rejected_frames, 1);
    rig_end(&rig);
  }
}

/* ---- Epochs of short fields ------------------------------------------------------------------------------------------------------------------------- */

/* A node with eight bits: the newest epoch that fits what it says and lies within half a circle of what is known. 0 says nothing. */
static void test_what_a_node_of_eight_bits_says(void)
{
  static const struct { uint16_t heard, node, next; } CASES[] = {{0x1FE, 0x03, 0x204}, {0x1FE, 0xFE, 0x1FF}, {0x1FE, 0x00, 0x1FF}, {0x1FE, 0x01, 0x202}, {0x1FE, 0x7D, 0x27E}, {0x1FE, 0x7E, 0x1FF}, {0, 0x21, 0x22}, {9, 0x08, 10}};
  for (unsigned i = 0; i < 8; i++) {
    rig_arm_table(&table);
    table.watches[SHOULDER_STATE].epoch.bits = 8;
    begin(1);
    rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
    if (CASES[i].heard != 0) hear(IPCNET_BEAT, CASES[i].heard, 0, 1);
    rig.node_epoch = CASES[i].node;
    rig_report(&rig);
    rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
    CHECK_INT(rig_state(&rig).epoch, CASES[i].next);
    rig_end(&rig);
  }
}

/* An owner near the end of what eight bits can say: a node that knows nobody does not silence it, one that knows a newer owner does. */
static void test_a_node_that_knows_nobody(void)
{
  static const struct { uint16_t node; uint8_t role; } CASES[] = {{0, IPCNET_TWIN_OWNER}, {1, IPCNET_TWIN_OUTVOTED}, {250, IPCNET_TWIN_OWNER}, {249, IPCNET_TWIN_OWNER}, {251, IPCNET_TWIN_OUTVOTED}};
  for (unsigned i = 0; i < 5; i++) {
    rig_arm_table(&table);
    table.watches[SHOULDER_STATE].epoch.bits = 8;
    rig_begin(&rig, 0);
    rig.reflex->stored_epoch = 249;
    rig_load(&rig, &table);
    rig_links_up(&rig);
    rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
    CHECK_INT(rig_state(&rig).epoch, 250);
    rig.answers_twin = rig.follows = false;
    rig.node_epoch = CASES[i].node;
    rig_report(&rig);
    CHECK_INT(role(), CASES[i].role);
    rig_end(&rig);
  }
}

/* Of epochs heard the newest counts, in whatever order they came. */
static void test_the_newest_heard(void)
{
  rig_arm_table(&table);
  begin(1);
  rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
  hear(IPCNET_BEAT, 9, 0, 1);
  hear(IPCNET_BEAT, 8, 0, 2);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(rig_state(&rig).epoch, 10);
  rig_end(&rig);
}

/* Who claims is not outvoted by a node that follows it already, but by one that knows a newer owner. */
static void test_nodes_while_claiming(void)
{
  for (uint16_t newer = 0; newer < 2; newer++) {
    shared_table(0);
    begin(0);
    rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
    rig.answers_twin = rig.follows = false;
    rig.node_epoch = (uint16_t)(rig.reflex->proposed_epoch + newer);
    rig.node_owner = 2;
    rig_report(&rig);
    CHECK_INT(role(), newer ? IPCNET_TWIN_OUTVOTED : IPCNET_TWIN_CLAIMING);
    rig_end(&rig);
  }
}

/* ---- Never, at once and too early ------------------------------------------------------------------------------------------------------------------------- */

/* A silence that was never found is none, also in the first moments of a clock: whoever begins to claim once more listens once more. */
static void test_in_the_first_moments_of_a_clock(void)
{
  shared_table(0);
  rig_begin(&rig, 0);
  rig.now_us = rig.reflex->now_us = rig.reflex->turned_us = 1000;
  rig_load(&rig, &table);
  rig_links_up(&rig);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  hear(IPCNET_BEAT, 9, 2, 1);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
  CHECK_INT(rig.sent_count, 0);
  CHECK_INT(next_us(), rig.now_us + 60000);
  rig_end(&rig);
}

/* What is due now and is not done now (only a turn does it) is looked at again soon, not at once: whoever waits for it must not spin. */
static void test_due_now(void)
{
  outvoted(0, 0, 20000);
  uint64_t due_us = next_us();
  struct ipcnet_can_frame frame = rig_frame(&rig, ARM_BUS, 0x300, 0, 1); /* somebody's, of no meaning here */
  rig.now_us = due_us;
  rig_hear(&rig, &frame);
  CHECK_INT(rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK, 0);
  CHECK_INT(next_us(), due_us + 100);
  rig_end(&rig);
}

/* Who has not to listen tries a claim that was not taken again soon, not after the time of listening. */
static void test_an_heir_does_not_wait(void)
{
  static struct ipcnet_reflex_page page;
  page = (struct ipcnet_reflex_page){.magic = IPCNET_REFLEX_PAGE_MAGIC, .major = IPCNET_REFLEX_TABLE_MAJOR, .boot_id = {1, 2, 3}, .role = IPCNET_TWIN_OWNER, .epoch = 1, .bus_phases = {IPCNET_BUS_UP}};
  begin_shared(0, 1);
  rig.other = &page;
  rig.refuses_claims = true;
  rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
  CHECK_INT(next_us(), rig.now_us + 100);
  rig_end(&rig);
}

/* Of two buses the one whose beat is due first. */
static void test_the_first_beat_of_two_buses(void)
{
  for (unsigned first = 0; first < 2; first++) {
    rig_arm_table(&table);
    table.buses[AUX_BUS].claim_id = 0x20;
    begin(0);
    rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
    CHECK_INT(role(), IPCNET_TWIN_OWNER);
    rig.reflex->buses[ARM_BUS].beat_due_us = rig.now_us + (first == 0 ? 30 : 70);
    rig.reflex->buses[AUX_BUS].beat_due_us = rig.now_us + (first == 1 ? 30 : 70);
    CHECK_INT(next_us(), rig.now_us + 30);
    rig_end(&rig);
  }
}

/* Without a table too nobody owns before the epoch is stored. */
static void test_no_table_and_no_epoch(void)
{
  rig_begin(&rig, 0);
  rig.answers_twin = false;
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  tick_at(rig.now_us + 1000);
  CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
  rig_event(&rig, IPCNET_TWIN_EPOCH_STORED);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  rig_end(&rig);
}

/* A node may know the epoch that we are about to store: that is not a newer one. */
static void test_a_node_says_what_is_not_stored_yet(void)
{
  begin_shared(0, 0);
  rig.answers_twin = rig.follows = false;
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  rig.node_epoch = rig.reflex->proposed_epoch;
  rig.node_owner = 2;
  rig_report(&rig);
  CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
  rig.node_epoch++;
  rig_report(&rig);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  rig_end(&rig);
}

/* What is due is judged in a turn, when all that had arrived was read: not between. */
static void test_only_turns_judge(void)
{
  struct ipcnet_can_frame frame;
  begin_shared(0, 0);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  rig.answers_twin = false;
  uint64_t ends_us = next_us();
  hear_nodes_at(ends_us);
  frame = rig_frame(&rig, ARM_BUS, 0x300, 0, 1);
  rig_hear(&rig, &frame);
  CHECK_INT(rig.sent_count, 0); /* the end of listening */
  tick_at(ends_us);
  CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x010), 1);
  rig.now_us += 30000;
  rig_hear(&rig, &frame);
  CHECK_INT(role(), IPCNET_TWIN_CLAIMING); /* the end of confirming */
  tick_at(rig.now_us);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  rig_end(&rig);

  begin_shared(0, 0); /* being cut off: the reports were only late to be read */
  hear_nodes_at(rig.now_us);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  ends_us = next_us();
  rig.now_us += 40000;
  rig_hear(&rig, &frame);
  CHECK_INT(next_us(), ends_us);
  hear_nodes_at(rig.now_us);
  tick_at(rig.now_us);
  CHECK_INT(next_us(), ends_us);
  rig_end(&rig);
}

/* The silence of the other host is listened to once: whoever gets the lock within a beat claims at once, later it listens anew, and for a second claim too. */
static void test_a_silence_counts_for_a_beat(void)
{
  static const struct { uint64_t after_us; uint32_t claims; } CASES[] = {{0, 1}, {20000, 1}, {20001, 0}};
  for (unsigned i = 0; i < 3; i++) {
    begin_shared(0, 0);
    rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
    rig.answers_twin = false;
    hear(IPCNET_BEAT, 9, 2, 1);
    CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
    rig.twin_effects = 0;
    hear_nodes_at(rig.now_us);
    uint64_t due_us = next_us();
    hear_nodes_at(due_us);
    tick_at(due_us);
    CHECK(rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK);
    hear_nodes_at(due_us + CASES[i].after_us);
    rig.answers_twin = true;
    tick_at(rig.now_us);
    rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
    CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
    CHECK_INT(rig.sent_count, CASES[i].claims);
    hear(IPCNET_BEAT, 99, 2, 2);
    CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
    rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
    CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
    CHECK_INT(rig.sent_count, CASES[i].claims);
    rig_end(&rig);
  }
}

/* ---- Whether we hear ------------------------------------------------------------------------------------------------------------------------------------- */

/* That frames come proves nothing about a cable between hosts: only nodes that say whom they follow tell of the other owner. */
static void test_nodes_that_follow_nobody_prove_no_cable(void)
{
  begin_shared(0, 0);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  hear(IPCNET_BEAT, 9, 2, 1);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  rig.twin_effects = 0;
  for (unsigned i = 0; i < 60; i++) {
    rig.now_us += 50000;
    struct ipcnet_can_frame frame = rig_frame(&rig, ARM_BUS, 0x705, 0, 1);
    frame.data[0] = 5;
    rig_hear(&rig, &frame);
    tick_at(rig.now_us);
  }
  CHECK_INT(rig.reflex->nodes[ELBOW_NODE].life, NODE_ALIVE);
  CHECK_INT(rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK, 0);
  rig_end(&rig);
}

/* Whoever was cut off listens for three beats from when it hears nodes again, however long ago it heard the other host. */
static void test_after_being_cut_off(void)
{
  own(true);
  rig.answers_twin = false;
  hear(IPCNET_BEAT, 9, 2, 1);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  rig.twin_effects = 0;
  for (unsigned i = 0; i < 500; i++) tick_at(rig.now_us + 1000);
  uint64_t deaf_us = rig.now_us;
  hear_nodes_at(deaf_us + 1000);
  tick_at(rig.now_us);
  CHECK_INT(next_us(), deaf_us + 60000);
  hear_nodes_at(deaf_us + 59999);
  tick_at(rig.now_us);
  CHECK_INT(rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK, 0);
  tick_at(deaf_us + 60000);
  CHECK(rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK);
  rig_end(&rig);
}

static void two_more_nodes(void)
{
  /* One on a bus of its own, where nobody else is, and one of the arm's that says nothing of owners (the elbow) is there already. */
  struct ipcnet_reflex_watch *watch = rig_watch(&table, "lamp_State", AUX_BUS, 0x290, 8);
  watch->epoch = RIG_FIELD(24, 16, 0);
  rig_node(&table, "lamp", BRAKE_STATE + 1, 0)->group = 9;
}

static void hear_others_at(uint64_t at_us)
{
  rig.now_us = at_us;
  struct ipcnet_can_frame frame = rig_frame(&rig, ARM_BUS, 0x705, 0, 1);
  frame.data[0] = 5;
  rig_hear(&rig, &frame);
  frame = rig_frame(&rig, AUX_BUS, 0x290, 0, 8);
  rig_hear(&rig, &frame);
}

/* While it listens: cut off is who heard a node that says whom it follows, on a bus with another host, and hears none for longer than the time of self-fencing. It begins anew with listening, or gives up at the end. */
static void test_who_listens_and_is_cut_off(void)
{
  shared_table(0);
  two_more_nodes();
  begin(0);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  rig.answers_twin = false;
  uint64_t since_us = rig.now_us;
  hear_nodes_at(since_us);
  hear_others_at(since_us + 30000);
  tick_at(since_us + 30000);
  CHECK_INT(next_us(), since_us + 60000);
  hear_others_at(since_us + 30001);
  tick_at(since_us + 30001);
  CHECK_INT(next_us(), since_us + 30001 + 60000);
  hear_others_at(since_us + 59999);
  tick_at(since_us + 59999);
  CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
  tick_at(since_us + 60000);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  CHECK_INT(rig.sent_count, 0);
  rig_end(&rig);

  shared_table(0); /* who never heard any asks by its claim */
  two_more_nodes();
  begin(0);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  hear_others_at(next_us());
  tick_at(rig.now_us);
  CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x010), 1);
  rig.node_epoch = rig.reflex->epoch; /* and a node of another bus is not waited for, whatever group it is of */
  rig.node_owner = 0;
  rig_report(&rig);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  rig_end(&rig);
}

/* Whether the other host was armed: what the newest of its owners said last, if that is newer than what we have and not older than anybody could wait for it. */
static void test_whether_the_other_host_was_armed(void)
{
  static const struct { uint16_t epoch2, epoch3; bool armed2, armed3; uint64_t ago_us; uint16_t known; bool armed; } CASES[] = {
    {5, 0, true, false, 0, 4, true},  {5, 0, false, false, 0, 4, false}, {5, 0, true, false, 0, 5, false}, {5, 0, true, false, 0, 6, false}, {5, 6, true, false, 0, 4, false},
    {6, 5, true, false, 0, 4, true},  {5, 6, false, true, 0, 4, true},   {6, 5, false, true, 0, 4, false}, {0, 0, true, true, 0, 4, false}, {0, 0, true, true, 0, 0, false},
    {5, 0, true, false, 60000 + 30000 + 1000000, 4, true}, {5, 0, true, false, 60000 + 30000 + 1000001, 4, false}};
  for (unsigned i = 0; i < 12; i++) {
    for (unsigned shared = 0; shared < 2; shared++) {
      own(shared == 1);
      struct bus_state *bus = &rig.reflex->buses[ARM_BUS];
      bus->others[2].epoch = CASES[i].epoch2;
      bus->others[3].epoch = CASES[i].epoch3;
      bus->others[2].armed = CASES[i].armed2;
      bus->others[3].armed = CASES[i].armed3;
      bus->others[2].heard_us = bus->others[3].heard_us = rig.now_us - CASES[i].ago_us;
      rig.reflex->buses[AUX_BUS].others[2].epoch = 99; /* a bus that no other host is on says nothing of it */
      rig.reflex->buses[AUX_BUS].others[2].armed = true;
      rig.reflex->buses[AUX_BUS].others[2].heard_us = rig.now_us;
      CHECK_INT(ipcnet_reflex_other_host_armed(rig.reflex, CASES[i].known), CASES[i].armed && shared);
      rig_end(&rig);
    }
  }
}

/* Our own twin is not the other host: that it was armed counts by its page, not by its beats. */
static void test_our_own_twin_was_armed(void)
{
  begin_shared(0, 1);
  rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
  struct ipcnet_can_frame frame = rig_claim_of(&rig, IPCNET_BEAT, 4, 0, 1);
  frame.data[7] = 1;
  const ipcnet_e2e_config config = {.data_id = 0xC1A1};
  ipcnet_e2e_p05_protect(&config, frame.data, 8, 1);
  rig_hear(&rig, &frame);
  CHECK(rig.reflex->buses[ARM_BUS].others[0].armed);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  rig_run(&rig, 100000);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK_INT(rig_state(&rig).arming, IPCNET_DISARMED);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->takeovers, 0);
  rig_end(&rig);
}

static void hear_handover(uint16_t epoch, uint8_t owner, uint8_t successor)
{
  static uint8_t counter = 10;
  struct ipcnet_can_frame frame = rig_claim_of(&rig, IPCNET_HANDOVER, epoch, owner, 0);
  frame.data[7] = successor;
  const ipcnet_e2e_config config = {.data_id = 0xC1A1};
  ipcnet_e2e_p05_protect(&config, frame.data, 8, ++counter);
  rig_hear(&rig, &frame);
}

/* Asked to take over is who is outvoted, by the newest owner of the other host, whom a node follows; all others only listen. */
static void test_who_is_asked_to_take_over(void)
{
  static const struct { uint16_t epoch, node; uint8_t owner, successor; bool asked; } CASES[] = {
    {9, 9, 2, 0, true}, {9, 9, 3, 1, true}, {9, 9, 2, 3, false}, {9, 9, 1, 0, false}, {8, 8, 2, 0, false}, {9, 0, 2, 0, false}, {9, 7, 2, 0, false}};
  for (unsigned i = 0; i < 7; i++) {
    begin_shared(0, 0);
    rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
    rig.answers_twin = rig.follows = false;
    hear(IPCNET_BEAT, 9, 2, 1);
    CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
    rig.node_epoch = CASES[i].node;
    rig.node_owner = CASES[i].owner;
    rig_report(&rig);
    rig.twin_effects = 0;
    hear_handover(CASES[i].epoch, CASES[i].owner, CASES[i].successor);
    CHECK_INT((rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK) != 0, CASES[i].asked);
    rig_end(&rig);
  }
  begin_shared(0, 0); /* a standby was not asked: if it gets the lock it listens */
  rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
  rig.follows = false;
  rig.node_epoch = 9;
  rig.node_owner = 2;
  rig_report(&rig);
  hear(IPCNET_BEAT, 9, 2, 1);
  hear_handover(9, 2, 0);
  CHECK(rig.reflex->buses[ARM_BUS].others[2].heard);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
  CHECK_INT(rig.sent_count, 0);
  rig_end(&rig);
}

/* The word goes out at the time that is given, which never goes back; and what is due by then is done. */
static void test_when_a_hand_over_is_asked_for(void)
{
  for (unsigned back = 0; back < 2; back++) {
    own(true);
    uint64_t at_us = back ? rig.now_us - 1000 : rig.now_us + 1000, now_us = back ? rig.now_us : at_us;
    CHECK(ipcnet_reflex_hand_over(rig.reflex, at_us));
    const struct ipcnet_can_frame *frame = rig_last_sent(&rig, ARM_BUS, 0x010);
    CHECK_INT(frame->data[3] & 15, IPCNET_HANDOVER);
    CHECK(frame->time_us == (double)(now_us + 20000));
    rig_end(&rig);
  }
  own(true);
  rig.reflex->buses[ARM_BUS].claimed = false; /* not ours by any claim: nothing to hand over, and it is claimed first */
  uint32_t from = rig.sent_count;
  CHECK(!ipcnet_reflex_hand_over(rig.reflex, rig.now_us));
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x010), 1);
  CHECK_INT(rig_last_sent(&rig, ARM_BUS, 0x010)->data[3] & 15, IPCNET_CLAIM);
  rig_end(&rig);
}

/* Nor does anybody ask who only claims. */
static void test_no_hand_over_by_who_claims(void)
{
  begin_shared(0, 0);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  rig.answers_twin = false;
  hear_nodes_at(next_us());
  tick_at(rig.now_us);
  CHECK(rig.reflex->buses[ARM_BUS].claimed);
  uint32_t from = rig.sent_count;
  CHECK(!ipcnet_reflex_hand_over(rig.reflex, rig.now_us));
  CHECK_INT(rig.sent_count, from);
  rig_end(&rig);
}

/* Where frames cannot reach the bus nobody is asked to take over. */
static void test_no_hand_over_on_a_bus_that_is_dead(void)
{
  own(true);
  rig.reflex->buses[ARM_BUS].health.phase = IPCNET_BUS_PURGING;
  uint32_t from = rig.sent_count;
  CHECK(!ipcnet_reflex_hand_over(rig.reflex, rig.now_us));
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x010), 0);
  rig_end(&rig);
}

int main(void)
{
  test_in_the_first_moments_of_a_clock();
  test_due_now();
  test_an_heir_does_not_wait();
  test_the_first_beat_of_two_buses();
  test_no_table_and_no_epoch();
  test_a_node_says_what_is_not_stored_yet();
  test_only_turns_judge();
  test_a_silence_counts_for_a_beat();
  test_who_listens_and_is_cut_off();
  test_whether_the_other_host_was_armed();
  test_who_is_asked_to_take_over();
  test_when_a_hand_over_is_asked_for();
  test_no_hand_over_by_who_claims();
  test_nodes_that_follow_nobody_prove_no_cable();
  test_after_being_cut_off();
  test_our_own_twin_was_armed();
  test_no_hand_over_on_a_bus_that_is_dead();
  test_how_long_it_listens();
  test_how_long_it_waits_for_a_witness();
  test_nothing_before_the_epoch_is_stored();
  test_never_at_once_again();
  test_nothing_is_due_for_others();
  test_one_in_the_queue();
  test_the_schedule_of_beats();
  test_what_beats_need();
  test_a_claim_begins_everything();
  test_the_lease();
  test_when_the_other_is_silent();
  test_which_node_follows();
  test_who_is_the_other_host();
  test_who_is_cut_off();
  test_a_standby_remembers();
  test_an_older_one_with_a_lower_number();
  test_whom_a_listener_lets_alone();
  test_a_living_twin_is_no_predecessor();
  test_no_witness_of_a_claim_that_was_not_sent();
  test_no_witness_from_before();
  test_an_owner_that_cannot_be();
  test_what_a_node_of_eight_bits_says();
  test_a_node_that_knows_nobody();
  test_the_newest_heard();
  test_nodes_while_claiming();
  return checks_report("reflex_claim_edge");
}
