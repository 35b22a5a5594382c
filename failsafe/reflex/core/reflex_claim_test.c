/* Claims: ours, others', two hosts on one bus, nodes as witnesses. */
#include "../../../drivers/can/core/check.h"
#include "claim_rig.h"

/* ---- Ours ------------------------------------------------------------------------------------------------------------------------------------- */

static void test_claim_is_first_then_beats(void)
{
  rig_arm_table(&table);
  begin(0);
  rig_run(&rig, 50000);
  CHECK_INT(rig.sent_count, 0); /* silent at power-up */
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK_INT(rig.sent_count, 1);
  const struct ipcnet_can_frame *claim = &rig.sent[0].frame;
  uint32_t counter = 0;
  const ipcnet_e2e_config p05 = {.data_id = 0xC1A1};
  CHECK_INT(ipcnet_e2e_p05_inspect(&p05, claim->data, 8, &counter), IPCNET_E2E_INSPECTED_OK);
  CHECK(claim->can_id == 0x010 && claim->flags == 0 && claim->length_bytes == 8 && claim->data[3] == 0x10 && claim->data[4] == 1 && claim->data[5] == 0 && claim->data[6] == 0 && claim->data[7] == 0);
  CHECK(claim->time_us == (double)(rig.now_us + 20000));
  CHECK_INT(rig.page->epoch, 1);
  CHECK_INT(rig.page->role, IPCNET_TWIN_OWNER);
  rig_run(&rig, 19000);
  CHECK_INT(rig.sent_count, 1);
  rig_run(&rig, 1000);
  CHECK_INT(rig.sent_count, 2);
  CHECK_INT(rig.sent[1].frame.data[3], 0x11);
  uint32_t next = 0;
  ipcnet_e2e_p05_inspect(&p05, rig.sent[1].frame.data, 8, &next);
  CHECK_INT(next, counter + 1);
  rig_run(&rig, 1000000);
  CHECK_INT(rig.sent_count, 52); /* every 20 ms */
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->claims_sent, 52);
  for (uint32_t i = 1; i < 52; i++) CHECK_INT(rig.sent[i].frame.data[3], 0x11); /* no split probes: we are the only host */
  rig_run(&rig, 100000);
  rig_order(&rig, IPCNET_ORDER_ARM, 0, 0);
  rig_run(&rig, 20000);
  CHECK_INT(rig_last_sent(&rig, ARM_BUS, 0x010)->data[7], 1); /* armed */
  rig_end(&rig);
}

static void test_extended_claim_id(void)
{
  rig_arm_table(&table);
  table.buses[ARM_BUS].claim_id = 0x10;
  table.buses[AUX_BUS].claim_id = 0x1000;
  table.buses[AUX_BUS].flags |= IPCNET_REFLEX_BUS_CLAIM_EXTENDED;
  begin(1);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  const struct ipcnet_can_frame *claim = rig_last_sent(&rig, AUX_BUS, 0x1001);
  CHECK(claim != NULL && claim->flags == IPCNET_CAN_EXTENDED);
  CHECK(rig_last_sent(&rig, ARM_BUS, 0x011) != NULL);
  struct ipcnet_can_frame other = rig_claim_of(&rig, IPCNET_BEAT, 9, 0, 1);
  other.bus = AUX_BUS;
  other.can_id = 0x1000;
  rig_hear(&rig, &other); /* with 11 bits it is somebody else's identifier */
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  other.flags = IPCNET_CAN_EXTENDED;
  rig_hear(&rig, &other);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  rig_end(&rig);
}

static void test_one_beat_in_flight(void)
{
  rig_ready(&rig);
  rig.plant = rig.brain = false;
  rig.echoes[ARM_BUS] = false;
  uint32_t from = rig.sent_count;
  rig_run(&rig, 19000);
  uint32_t beats = rig_sent(&rig, from, ARM_BUS, 0x010);
  CHECK(beats <= 1);
  rig_end(&rig);
  rig_ready(&rig);
  rig_run(&rig, 21000);
  rig.flying_count[ARM_BUS] = 0; /* one echo is lost, the bus lives on */
  from = rig.sent_count;
  rig_run(&rig, 200000);
  CHECK(rig_sent(&rig, from, ARM_BUS, 0x010) >= 5); /* it does not wait for ever */
  rig_end(&rig);
}

static void test_claim_again_when_a_bus_returns(void)
{
  rig_ready(&rig);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_DOWN, 0);
  uint32_t from = rig.sent_count;
  rig_run(&rig, 100000);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x010), 0);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_UP, 0);
  CHECK_INT(rig_last_sent(&rig, ARM_BUS, 0x7FF)->token, IPCNET_CAN_PROBE_TOKEN);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x010), 0); /* not before somebody answered */
  rig_run(&rig, 2000);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x010), 1);
  CHECK_INT(rig_last_sent(&rig, ARM_BUS, 0x010)->data[3], 0x10);
  rig_end(&rig);
}

static void test_no_command_before_the_claim(void)
{
  rig_armed(&rig);
  rig.reflex->buses[ARM_BUS].claimed = false;
  rig.refuses_claims = true;
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  CHECK_INT(rig_refusal(&rig, &command), IPCNET_REFUSED_BUS);
  CHECK(rig_lacks(&rig, IPCNET_MISSING_BUS, ARM_BUS));
  uint32_t from = rig.sent_count;
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 0);
  CHECK_INT(rig.sent_count, from);
  rig.refuses_claims = false;
  rig_run(&rig, 2000);
  CHECK_INT(rig.sent[from % RIG_LOG].frame.can_id, 0x010);
  CHECK(rig_sent(&rig, from, ARM_BUS, 0x103) > 0);
  rig_end(&rig);
}

static void test_claims_on_all_buses_before_owning(void)
{
  rig_arm_table(&table);
  table.buses[AUX_BUS].claim_id = 0x20;
  begin(0);
  rig.verdict[AUX_BUS] = IPCNET_CAN_QUEUE_FULL;
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
  rig.verdict[AUX_BUS] = IPCNET_CAN_QUEUED;
  rig_run(&rig, 1000);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x010), 1);
  CHECK_INT(rig_sent(&rig, 0, AUX_BUS, 0x020), 1);
  rig_end(&rig);
  rig_begin(&rig, 0); /* a bus that is not there is not waited for */
  rig_load(&rig, &table);
  rig_link(&rig, ARM_BUS, IPCNET_LINK_UP, 0);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  rig_link(&rig, AUX_BUS, IPCNET_LINK_UP, 0);
  CHECK_INT(rig_sent(&rig, 0, AUX_BUS, 0x020), 1);
  rig_end(&rig);
}

/* ---- Epochs of others --------------------------------------------------------------------------------------------------------------------------- */

static void test_newer_owner_silences(void)
{
  static const enum ipcnet_claim_kind KINDS[] = {IPCNET_CLAIM, IPCNET_BEAT, IPCNET_HANDOVER, IPCNET_SPLIT_PROBE};
  for (unsigned i = 0; i < 4; i++) {
    rig_armed(&rig);
    rig.answers_twin = false;
    hear(KINDS[i], 2, 2, 5);
    CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
    CHECK_INT(rig_state(&rig).arming, IPCNET_DISARMED);
    CHECK_INT(ipcnet_reflex_counters(rig.reflex)->higher_epochs_heard, 1);
    CHECK(rig.twin_effects & IPCNET_TWIN_DO_RELEASE);
    uint32_t from = rig.sent_count;
    rig_run(&rig, 300000);
    CHECK_INT(rig.sent_count, from);
    rig_end(&rig);
  }
}

static void test_who_does_not_silence(void)
{
  rig_arm_table(&table);
  rig_ready_with(&rig, &table, 1);
  rig_order(&rig, IPCNET_ORDER_ARM, 0, 0);
  hear(IPCNET_RELEASE, 9, 2, 1); /* says goodbye */
  hear(IPCNET_CLAIM, 0xFFFF, 2, 1); /* older: epochs wrap */
  hear(IPCNET_CLAIM, 1, 2, 2); /* the same, and higher than ours */
  struct ipcnet_can_frame frame = rig_claim_of(&rig, IPCNET_CLAIM, 3, 2, 3);
  struct ipcnet_can_frame broken = frame;
  broken.data[4] ^= 1;
  rig_hear(&rig, &broken);
  broken = frame;
  broken.length_bytes = 7;
  rig_hear(&rig, &broken);
  broken = frame;
  broken.flags = IPCNET_CAN_REMOTE;
  rig_hear(&rig, &broken);
  broken = frame;
  broken.can_id = 0x011; /* another's identifier */
  rig_hear(&rig, &broken);
  const ipcnet_e2e_config p05 = {.data_id = 0xC1A1};
  broken = frame;
  broken.data[3] = 0x20; /* another version */
  ipcnet_e2e_p05_protect(&p05, broken.data, 8, 9);
  rig_hear(&rig, &broken);
  broken = frame;
  broken.data[3] = 0x15; /* another kind */
  ipcnet_e2e_p05_protect(&p05, broken.data, 8, 10);
  rig_hear(&rig, &broken);
  broken = frame;
  broken.data[4] = broken.data[5] = 0;
  ipcnet_e2e_p05_protect(&p05, broken.data, 8, 11);
  rig_hear(&rig, &broken);
  broken = frame;
  broken.bus = AUX_BUS; /* nobody claims there */
  rig_hear(&rig, &broken);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK_INT(rig_state(&rig).arming, IPCNET_ARMED);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->stale_claims_heard, 2);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->higher_epochs_heard, 0);
  hear(IPCNET_BEAT, 1, 0, 3); /* the same epoch, and lower than ours: it went first */
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  rig_end(&rig);
}

static void test_a_repeated_claim_is_not_heard(void)
{
  rig_ready(&rig);
  hear(IPCNET_BEAT, 0xFFFF, 2, 5);
  hear(IPCNET_BEAT, 0xFFFF, 2, 5);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->stale_claims_heard, 1);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->rejected_frames, 1);
  hear(IPCNET_BEAT, 0xFFFF, 3, 5);
  hear(IPCNET_BEAT, 0xFFFE, 2, 5);
  hear(IPCNET_BEAT, 0xFFFE, 2, 6);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->stale_claims_heard, 4);
  rig_end(&rig);
}

static void test_next_epoch_is_newer_than_all(void)
{
  rig_ready(&rig);
  rig.answers_twin = false;
  hear(IPCNET_BEAT, 40, 2, 5);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  rig_run(&rig, 59000);
  CHECK_INT(rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK, 0);
  rig_run(&rig, 4000); /* three beats of silence */
  CHECK(rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK);
  rig.answers_twin = true;
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(rig_state(&rig).epoch, 41);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK_INT(rig_state(&rig).arming, IPCNET_DISARMED);
  rig_end(&rig);

  struct ipcnet_reflex_page *page = calloc(1, sizeof *page);
  rig_arm_table(&table);
  rig_begin(&rig, 0);
  rig.reflex->stored_epoch = 7;
  page->magic = IPCNET_REFLEX_PAGE_MAGIC;
  page->major = 1;
  page->boot_id[0] = 1;
  page->boot_id[1] = 2;
  page->boot_id[2] = 3;
  page->epoch = 11;
  rig.other = page;
  rig_load(&rig, &table);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(rig_state(&rig).epoch, 12);
  rig_end(&rig);
  page->boot_id[0] = 9; /* of another boot: nonsense */
  rig_begin(&rig, 0);
  rig.reflex->stored_epoch = 7;
  rig.other = page;
  rig_load(&rig, &table);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(rig_state(&rig).epoch, 8);
  rig_end(&rig);
  free(page);
}

/* ---- What nodes say ------------------------------------------------------------------------------------------------------------------------------- */

static void test_nodes_know_a_newer_owner(void)
{
  rig_ready(&rig);
  rig.answers_twin = false;
  rig.follows = false;
  rig.node_epoch = 0; /* just powered: heard nobody */
  rig_report(&rig);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  rig.node_epoch = 0xFFF0; /* an older one */
  rig_report(&rig);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  rig.node_epoch = 500;
  rig_report(&rig);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  rig_run(&rig, 990000);
  CHECK_INT(rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK, 0);
  rig_run(&rig, 20000); /* nobody was heard: they only remember */
  CHECK(rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK);
  rig.answers_twin = true;
  rig.follows = true;
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(rig_state(&rig).epoch, 501);
  rig_end(&rig);
}

static void test_few_bits_do_not_silence(void)
{
  rig_arm_table(&table);
  table.watches[SHOULDER_STATE].epoch.bits = 7;
  rig_ready_with(&rig, &table, 0);
  rig.follows = false;
  rig.node_epoch = 5;
  rig_report(&rig);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  rig_end(&rig);
  table.watches[SHOULDER_STATE].epoch.bits = 8;
  rig_ready_with(&rig, &table, 0);
  rig.answers_twin = false;
  rig.follows = false;
  rig.node_epoch = 128 + 1; /* exactly opposite: not newer */
  rig_report(&rig);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  rig.node_epoch = 127 + 1;
  rig_report(&rig);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  rig_end(&rig);
}

/* ---- Two hosts ------------------------------------------------------------------------------------------------------------------------------------- */

static void test_shared_listens_first(void)
{
  for (uint8_t host = 0; host < 2; host++) {
    begin_shared(host, 0);
    rig_run(&rig, 10000);
    rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
    CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
    rig_run(&rig, 59000 + 2000u * host);
    CHECK_INT(rig.sent_count, 0);
    CHECK(ipcnet_reflex_next_deadline_us(rig.reflex) <= rig.now_us + 1000);
    rig_run(&rig, 1000);
    CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x010u + host * 2u), 1);
    rig_run(&rig, 12000);
    CHECK_INT(role(), IPCNET_TWIN_OWNER); /* a node has reported it */
    rig_run(&rig, 3000000);
    CHECK_INT(role(), IPCNET_TWIN_OWNER);
    uint32_t probes = 0;
    for (uint32_t i = 0; i < rig.sent_count; i++) probes += rig.sent[i].frame.data[3] == (0x10 | IPCNET_SPLIT_PROBE) && rig.sent[i].bus == ARM_BUS;
    CHECK(probes == 2 || probes == 3);
    rig_end(&rig);
  }
}

static void test_shared_does_not_take_back(void)
{
  begin_shared(0, 0);
  rig.reflex->stored_epoch = 100; /* newer than the other's, which works all the same */
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  rig_run(&rig, 30000);
  rig.answers_twin = false;
  hear(IPCNET_BEAT, 5, 2, 1);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  for (uint8_t i = 2; i < 50; i++) {
    rig_run(&rig, 20000);
    hear(IPCNET_BEAT, 5, 2, i);
  }
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  CHECK_INT(rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK, 0);
  CHECK_INT(rig.sent_count, 0);
  rig_end(&rig);
}

static void outvoted_shared(bool nodes_follow)
{
  begin_shared(0, 0);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  rig_run(&rig, 100000);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  rig.answers_twin = false;
  rig.twin_effects = 0;
  rig.follows = false;
  CHECK_INT(rig_state(&rig).epoch % 2, 0); /* host 0: even */
  rig.node_epoch = 3;
  rig.node_owner = nodes_follow ? 2 : 7;
  rig_report(&rig);
  hear(IPCNET_BEAT, 3, 2, 1);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
}

static void test_shared_other_falls_silent(void)
{
  outvoted_shared(false);
  rig_run(&rig, 59000);
  CHECK_INT(rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK, 0);
  rig_run(&rig, 2000);
  CHECK(rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK);
  rig_end(&rig);

  outvoted_shared(true); /* the nodes still follow it: we are the one who does not hear it */
  rig_run(&rig, 900000);
  CHECK_INT(rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK, 0);
  rig_run(&rig, 110000);
  CHECK(rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK);
  rig_end(&rig);

  outvoted_shared(false); /* we hear no node at all: cut off */
  rig.plant = false;
  rig_run(&rig, 120000);
  rig.twin_effects = 0;
  rig.reflex->outvoted_us = rig.now_us;
  rig_run(&rig, 3000000);
  CHECK_INT(rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK, 0);
  rig_end(&rig);

  outvoted_shared(false);
  hear(IPCNET_RELEASE, 3, 2, 2); /* it said goodbye: but not at once, it rests */
  rig_run(&rig, 1100000);
  CHECK(rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK);
  rig_end(&rig);
}

static void test_shared_needs_a_witness(void)
{
  begin_shared(0, 0);
  rig.follows = false; /* nodes hear somebody else, or nobody */
  rig.answers_twin = true;
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  rig.answers_twin = false;
  rig_run(&rig, 61000);
  CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x010), 1);
  rig_run(&rig, 28000);
  CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
  rig_run(&rig, 3000);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  rig_end(&rig);

  begin_shared(0, 0); /* nobody there at all */
  rig.plant = false;
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  rig.answers_twin = false;
  rig_run(&rig, 61000 + 31000);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  rig_end(&rig);
}

static void own_shared(void)
{
  begin_shared(0, 0);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  rig_run(&rig, 150000);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK_INT(rig_order(&rig, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_DONE);
  rig.answers_twin = false;
}

/* Back on the bus, and nodes are heard at once, but no beat yet: whoever owned meanwhile has three of them to be heard. */
static void test_whole_again_it_listens_first(void)
{
  own_shared();
  rig.answers_twin = true;
  rig.plant = false; /* the cable */
  rig_run(&rig, 5000000);
  CHECK(role() != IPCNET_TWIN_OWNER);
  rig.plant = true;
  rig.follows = false;
  uint32_t from = rig.sent_count;
  rig_run(&rig, 59000);
  CHECK_INT(rig_sent(&rig, from, ARM_BUS, 0x010), 0);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  rig.follows = true; /* nobody is heard */
  rig_run(&rig, 100000);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  rig_end(&rig);
}

static void test_shared_self_fence(void)
{
  own_shared();
  rig.plant = false; /* no node follows us any more, as far as we hear */
  uint64_t heard_us = rig.reflex->buses[ARM_BUS].witness_us;
  rig_run(&rig, heard_us + 29000 - rig.now_us);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  rig_run(&rig, 1000);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  rig_end(&rig);

  own_shared();
  rig.follows = false; /* nodes report, but another owner */
  rig.node_owner = 2;
  rig_run(&rig, 45000);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  rig_end(&rig);

  own_shared();
  rig.echoes[ARM_BUS] = false; /* nodes report us, but nothing of ours goes out */
  rig_run(&rig, 60000);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  rig_end(&rig);

  own_shared();
  rig_run(&rig, 5000000);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK_INT(rig_state(&rig).arming, IPCNET_ARMED);
  rig_end(&rig);
}

static void test_shared_same_epoch_while_claiming(void)
{
  static const struct { enum ipcnet_claim_kind kind; uint8_t owner, role; } CASES[] = {
    {IPCNET_CLAIM, 3, IPCNET_TWIN_CLAIMING}, {IPCNET_BEAT, 3, IPCNET_TWIN_OUTVOTED}, {IPCNET_CLAIM, 0, IPCNET_TWIN_OUTVOTED}};
  for (unsigned i = 0; i < 3; i++) {
    begin_shared(1, 0); /* owner 2 */
    rig.follows = false;
    rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
    rig_run(&rig, 63000);
    CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
    CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x012), 1);
    rig.answers_twin = false;
    hear(CASES[i].kind, 1, CASES[i].owner, 1);
    CHECK_INT(role(), CASES[i].role);
    rig_end(&rig);
  }
}

/* Its twin owned and was armed until now, and is dead. */
static void inherit(const struct core_rig *first)
{
  rig.other = first->page;
  rig_event(&rig, IPCNET_TWIN_OWNER_SUSPECT);
  rig_event(&rig, IPCNET_TWIN_OWNER_DEAD);
}

static void begin_heir(struct core_rig *first)
{
  rig_arm_table(&table);
  table.buses[ARM_BUS].self_fence_us = 30000;
  rig_begin(first, 0);
  rig_load(first, &table);
  rig_links_up(first);
  rig_event(first, IPCNET_TWIN_LOCK_GRANTED);
  rig_run(first, 150000);
  rig_order(first, IPCNET_ORDER_ARM, 0, 0);
  begin_shared(0, 1);
  rig.now_us = first->now_us;
  rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
  rig.node_epoch = rig_state(first).epoch;
  rig.node_owner = 0;
  rig_run(&rig, 20000);
}

static void test_shared_takeover_on_one_host_does_not_listen(void)
{
  static struct core_rig first;
  begin_heir(&first);
  inherit(&first);
  CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x011), 1); /* at once */
  rig_report(&rig);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK_INT(rig_state(&rig).arming, IPCNET_ARMED);
  rig_end(&first);
  rig_end(&rig);
}

/* An owner that stood still may say in its page that it owns, long after its lease: what the other host has meanwhile is not its twin's to inherit. */
static void test_what_another_host_has_is_not_inherited(void)
{
  static struct core_rig first;
  for (unsigned witness = 0; witness < 2; witness++) {
    begin_heir(&first);
    uint16_t newer = (uint16_t)(rig_state(&first).epoch + 1);
    rig.node_epoch = newer; /* heard of through the nodes, or by its own beats */
    rig.node_owner = 2;
    rig.follows = false;
    if (witness) rig_run(&rig, 20000);
    else hear(IPCNET_BEAT, newer, 2, 1);
    inherit(&first);
    CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x011), 0);
    rig_run(&rig, 30000);
    hear(IPCNET_BEAT, newer, 2, 2);
    CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
    rig_run(&rig, 30000);
    CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x011), 0);
    rig_end(&first);
    rig_end(&rig);
  }
}

/* Nor is a bus that is not reached: nobody has been heard for as long as the lease, so it is over. */
static void test_a_cut_cable_is_not_inherited(void)
{
  static struct core_rig first;
  begin_heir(&first);
  rig.plant = false;
  rig_run(&rig, 31000);
  inherit(&first);
  rig_run(&rig, 59000);
  CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x011), 0);
  rig_run(&rig, 20000);
  CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x011), 0);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  rig_end(&first);
  rig_end(&rig);
}

/* Cut within the lease: nothing says so yet, and it claims. It gives up when the lease would have ended, not later. */
static void test_a_claim_ends_with_the_lease_that_it_inherits(void)
{
  static struct core_rig first;
  begin_heir(&first);
  rig.plant = false;
  rig.echoes[ARM_BUS] = false;
  uint64_t heard_us = rig.reflex->watches[rig.reflex->table.nodes[0].watch].seen_us;
  rig_run(&rig, heard_us + 20000 - rig.now_us);
  inherit(&first);
  CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x011), 1);
  rig_run(&rig, heard_us + 30000 - rig.now_us);
  CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
  rig_run(&rig, 1000);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x011), 1);
  rig_end(&first);
  rig_end(&rig);
}

/* ---- Groups of actuators ------------------------------------------------------------------------------------------------------------------------------- */

enum { HAND_STATE = 4, WRIST_STATE };

/* Two more that say whom they follow: shoulder in group 1, hand and wrist in group 2. */
static void begin_groups(void)
{
  rig_arm_table(&table);
  table.buses[ARM_BUS].self_fence_us = 30000;
  table.nodes[SHOULDER_NODE].group = 1;
  for (uint16_t i = 0; i < 2; i++) {
    struct ipcnet_reflex_watch *watch = rig_watch(&table, i == 0 ? "hand" : "wrist", ARM_BUS, 0x191u + i, 8);
    watch->epoch = RIG_FIELD(24, 16, 0);
    watch->owner = RIG_FIELD(40, 3, 0);
    rig_node(&table, i == 0 ? "hand" : "wrist", (uint16_t)(HAND_STATE + i), IPCNET_REFLEX_NODE_REQUIRED)->group = 2;
  }
  begin(0);
}

/* One of the two reports what it follows. */
static void report_of(uint16_t i, uint16_t epoch, uint8_t owner)
{
  struct ipcnet_can_frame frame = rig_frame(&rig, ARM_BUS, 0x191u + i, 0, 8);
  frame.data[3] = (uint8_t)epoch;
  frame.data[4] = (uint8_t)(epoch >> 8);
  frame.data[5] = owner;
  rig_hear(&rig, &frame);
}

/* Claims its epoch; the shoulder reports it. */
static uint16_t claim_with_groups(void)
{
  begin_groups();
  report_of(0, 0, 7);
  report_of(1, 0, 7);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  rig.answers_twin = false;
  rig_run(&rig, 61000);
  CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x010), 1);
  rig_report(&rig);
  CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
  return rig.node_epoch;
}

static void test_each_group_confirms(void)
{
  uint16_t epoch = claim_with_groups();
  report_of(0, epoch, 0);
  CHECK_INT(role(), IPCNET_TWIN_CLAIMING); /* enough; but the wrist is there and may come yet */
  report_of(1, epoch, 0);
  CHECK_INT(role(), IPCNET_TWIN_OWNER); /* all, at once */
  CHECK(!rig.reflex->claim_partial);
  rig_end(&rig);

  epoch = claim_with_groups();
  report_of(0, epoch, 0);
  rig_run(&rig, 31000); /* the wrist never says it: one of its group is enough */
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK(!rig.reflex->claim_partial);
  rig_end(&rig);

  epoch = claim_with_groups();
  report_of(0, epoch, 2);
  report_of(1, (uint16_t)(epoch - 2), 0);
  rig_run(&rig, 31000); /* nobody of the second group: not armed by anything, and nothing to be brought to rest */
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK(rig.reflex->claim_partial);
  CHECK_INT(rig_state(&rig).arming, IPCNET_DISARMED);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->plans_run, 0);
  CHECK(rig_lacks(&rig, IPCNET_MISSING_NODE_EPOCH, 3));
  rig_end(&rig);
}

/* Whoever is not heard is not waited for; who followed and no longer does, or followed a claim of before, confirms nothing. */
static void test_whose_confirmation_counts(void)
{
  uint16_t epoch = claim_with_groups();
  rig.reflex->nodes[BUTTON_NODE + 2].life = NODE_LOST; /* the wrist */
  report_of(0, epoch, 0);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  rig_end(&rig);

  epoch = claim_with_groups();
  rig.follows = false;
  rig.node_owner = 7; /* the shoulder lost its owner again */
  rig_report(&rig);
  report_of(0, epoch, 0);
  report_of(1, epoch, 0);
  CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
  rig_end(&rig);

  epoch = claim_with_groups();
  rig.now_us += 1000;
  rig.reflex->buses[ARM_BUS].claimed_us = rig.now_us; /* claimed anew: the link had gone */
  report_of(0, epoch, 0);
  report_of(1, epoch, 0);
  CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
  rig_report(&rig);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  rig_end(&rig);
}

/* The lease goes by the newest sign of any node, not by the one that was read last. */
static void test_an_older_sign_takes_nothing_away(void)
{
  uint16_t epoch = claim_with_groups();
  report_of(0, epoch, 0);
  report_of(1, epoch, 0);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  rig.now_us += 5000;
  rig_report(&rig);
  CHECK_INT(rig.reflex->buses[ARM_BUS].witness_us, rig.now_us);
  rig.now_us -= 2000; /* the frame's time: the reflex's own does not go back */
  report_of(0, epoch, 0);
  CHECK_INT(rig.reflex->nodes[BUTTON_NODE + 1].witness_us, rig.now_us);
  CHECK_INT(rig.reflex->buses[ARM_BUS].witness_us, rig.now_us + 2000);
  rig_end(&rig);
}

static void test_a_claim_that_was_missed_is_said_again(void)
{
  uint16_t epoch = claim_with_groups();
  rig_run(&rig, 21000);
  CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
  CHECK_INT(rig_sent(&rig, 0, ARM_BUS, 0x010), 2);
  CHECK_INT(rig_last_sent(&rig, ARM_BUS, 0x010)->data[3], 0x11);
  report_of(0, epoch, 0);
  report_of(1, epoch, 0);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  rig_end(&rig);
}

/* ---- After another host ------------------------------------------------------------------------------------------------------------------------------------ */

static void hear_beat(enum ipcnet_claim_kind kind, uint16_t epoch, uint8_t last, uint8_t counter)
{
  struct ipcnet_can_frame frame = rig_claim_of(&rig, kind, epoch, 2, counter);
  const ipcnet_e2e_config p05 = {.data_id = 0xC1A1};
  frame.data[7] = last;
  ipcnet_e2e_p05_protect(&p05, frame.data, 8, counter);
  rig_hear(&rig, &frame);
}

/* We are host 0, outvoted; host 1 beats, armed or not, and its nodes follow it. */
static void shadow_of(uint8_t armed)
{
  rig_arm_table(&table);
  table.buses[ARM_BUS].self_fence_us = 30000;
  begin(0);
  rig.follows = false;
  rig.node_epoch = 3;
  rig.node_owner = 2;
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  hear_beat(IPCNET_BEAT, 3, armed, 1);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  for (uint8_t i = 2; i < 8; i++) {
    rig_run(&rig, 20000);
    hear_beat(IPCNET_BEAT, 3, armed, i);
  }
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  CHECK_INT(rig.sent_count, 0);
}

/* It falls silent, and the nodes say that they no longer hear it. */
static void falls_silent(void)
{
  rig.node_owner = 7;
  rig_report(&rig);
  rig.follows = true;
  rig_run(&rig, 63000);
}

static void test_goes_on_for_another_host(void)
{
  shadow_of(1);
  struct ipcnet_can_frame theirs = rig_frame(&rig, ARM_BUS, 0x101, 0, 8);
  const ipcnet_e2e_config p05 = {.data_id = 0x1234, .max_length_bytes = 8};
  ipcnet_e2e_p05_protect(&p05, theirs.data, 8, 50);
  rig_hear(&rig, &theirs);
  uint64_t heard_us = rig.now_us, silent_us = rig.reflex->buses[ARM_BUS].others[2].heard_us;
  CHECK_INT(rig.reflex->messages[SHOULDER].others_us, heard_us);
  rig.reflex->messages[SHOULDER].others_us = heard_us + 40000; /* as if it came just before the end */
  falls_silent();
  const struct sent_frame *claim = &rig.sent[0];
  CHECK_INT(claim->frame.data[3], 0x10);
  CHECK(claim->at_us >= silent_us + 60000 && claim->at_us <= silent_us + 61000); /* it has listened once, not twice */
  rig_report(&rig);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK_INT(rig_state(&rig).epoch, 4);
  CHECK_INT(rig_state(&rig).arming, IPCNET_ARMED);
  CHECK_INT(rig.reflex->messages[SHOULDER].set_point_us, heard_us + 40000 + table.messages[SHOULDER].ttl_us_max);
  CHECK_INT(rig.reflex->messages[ELBOW].set_point_us, 0);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->takeovers, 1);
  rig_run(&rig, 120000); /* nobody commands here: the set-point that moved the shoulder expires */
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->set_points_expired, 1);
  CHECK_INT(rig_state(&rig).arming, IPCNET_POSED);
  rig_end(&rig);
}

static void test_does_not_go_on_without_evidence(void)
{
  for (int what = 0; what < 5; what++) {
    shadow_of(1);
    if (what == 0) rig.reflex->brain_there = rig.brain = false;
    if (what == 1) rig.reflex->trigger_latched = true;
    if (what == 2) rig.elbow_stopped = true;
    if (what == 3) ((struct ipcnet_reflex_table_header *)(void *)rig.table_bytes)->flags = 0;
    if (what == 4) rig.may_purge[ARM_BUS] = false;
    falls_silent();
    rig_report(&rig);
    CHECK_INT(role(), IPCNET_TWIN_OWNER);
    rig_run(&rig, 200000);
    CHECK_INT(rig_state(&rig).arming, IPCNET_POSED); /* what it may have left in motion is brought to rest */
    CHECK_INT(ipcnet_reflex_counters(rig.reflex)->plans_run, 1);
    rig_end(&rig);
  }
  shadow_of(0); /* was not armed: nothing moved, nothing is moved */
  falls_silent();
  rig_report(&rig);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK_INT(rig_state(&rig).arming, IPCNET_DISARMED);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->plans_run, 0);
  rig_end(&rig);
  shadow_of(1); /* said goodbye: it has posed */
  hear_beat(IPCNET_RELEASE, 3, 1, 9); /* whatever else it says with it */
  falls_silent();
  rig_run(&rig, 1000000);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK_INT(rig_state(&rig).arming, IPCNET_DISARMED);
  rig_end(&rig);
}

/* What the other host's owner moved expires when its command would have: not at all if it moved nothing, or if that is over. */
static void test_set_points_of_another_host(void)
{
  static const struct { uint64_t ago_us; uint64_t left_us; } CASES[] = {{0, 50000}, {49999, 1}, {50000, 0}, {200000, 0}, {UINT64_MAX, 0}}; /* its life is 50 ms; the last one: never moved */
  for (unsigned i = 0; i < 5; i++) {
    shadow_of(1);
    falls_silent();
    CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
    ((struct ipcnet_reflex_message *)(uintptr_t)&rig.reflex->table.messages[SHOULDER])->expired_trigger = IPCNET_REFLEX_NONE;
    ((struct ipcnet_reflex_message *)(uintptr_t)&rig.reflex->table.messages[GRIPPER])->ttl_us_max = 60000000; /* longer than this clock runs: never is never all the same */
    rig.reflex->messages[SHOULDER].others_us = CASES[i].ago_us == UINT64_MAX ? 0 : rig.now_us - CASES[i].ago_us;
    rig_report(&rig);
    CHECK_INT(role(), IPCNET_TWIN_OWNER);
    CHECK_INT(rig_state(&rig).arming, IPCNET_ARMED);
    uint64_t ends_us = CASES[i].left_us == 0 ? 0 : rig.now_us + CASES[i].left_us;
    CHECK_INT(rig.reflex->messages[SHOULDER].set_point_us, ends_us);
    CHECK_INT(rig.page->messages[SHOULDER].deadline_us, ends_us); /* and whoever comes after us can read it */
    CHECK_INT(rig.reflex->messages[GRIPPER].set_point_us, 0);
    rig_end(&rig);
  }
}

/* A run of our own that the other host interrupted is finished, and is no takeover; nor is gone on armed with what our twin left while the other host was armed as well. */
static void test_what_was_left_here_comes_before(void)
{
  own_shared();
  rig.velocity = 100;
  rig_report(&rig);
  rig_order(&rig, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1);
  CHECK_INT(rig_state(&rig).arming, IPCNET_SAFE_POSE);
  rig.follows = false;
  rig.node_epoch = 9;
  rig.node_owner = 2;
  hear_beat(IPCNET_BEAT, 9, 1, 1);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  rig_run(&rig, 10000);
  rig.answers_twin = true;
  falls_silent();
  rig_report(&rig);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK_INT(rig_state(&rig).arming, IPCNET_SAFE_POSE);
  CHECK_INT(rig_state(&rig).trigger, REQUEST_1_TRIGGER);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->takeovers, 0);
  rig_end(&rig);

  static struct ipcnet_reflex_page page;
  own_shared();
  memcpy(&page, rig.page, sizeof page);
  uint16_t epoch = (uint16_t)page.epoch;
  rig_end(&rig);
  begin_shared(0, 1);
  rig.other = &page;
  rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
  rig_run(&rig, 150000);
  hear_beat(IPCNET_BEAT, (uint16_t)(epoch + 1), 1, 1);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  rig_run(&rig, 80000);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK_INT(rig_state(&rig).trigger, TAKEOVER_TRIGGER);
  rig_end(&rig);
}

/* Not required to arm, but of use with others only: its group did not confirm, so it is not gone on armed with. */
static void test_a_group_that_is_not_required(void)
{
  for (unsigned confirms = 0; confirms < 2; confirms++) {
    begin_groups();
    for (uint16_t i = 0; i < 2; i++) ((struct ipcnet_reflex_node *)(uintptr_t)&rig.reflex->table.nodes[BUTTON_NODE + 1 + i])->flags = 0;
    rig.follows = false;
    rig.node_epoch = 3;
    rig.node_owner = 2;
    rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
    hear_beat(IPCNET_BEAT, 3, 1, 1);
    rig_run(&rig, 20000);
    falls_silent();
    CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
    for (uint16_t i = 0; i < 2 && confirms; i++) report_of(i, rig.node_epoch, 0);
    rig_run(&rig, 31000);
    CHECK_INT(role(), IPCNET_TWIN_OWNER);
    CHECK_INT(rig_state(&rig).arming == IPCNET_ARMED, confirms);
    CHECK_INT(ipcnet_reflex_counters(rig.reflex)->plans_run, !confirms);
    rig_end(&rig);
  }
}

static void test_groups_that_do_not_confirm_are_brought_to_rest(void)
{
  begin_groups();
  rig.follows = false;
  rig.node_epoch = 3;
  rig.node_owner = 2;
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  hear_beat(IPCNET_BEAT, 3, 1, 1);
  rig_run(&rig, 20000);
  falls_silent();
  rig_run(&rig, 31000); /* hand and wrist are on the other side of the break */
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK(rig.reflex->claim_partial);
  CHECK_INT(rig_state(&rig).arming, IPCNET_POSED);
  rig_end(&rig);
}

static void test_hand_over_between_hosts(void)
{
  own_shared();
  uint32_t from = rig.sent_count;
  CHECK(ipcnet_reflex_hand_over(rig.reflex, rig.now_us));
  const struct ipcnet_can_frame *frame = rig_last_sent(&rig, ARM_BUS, 0x010);
  CHECK(frame->data[3] == (0x10 | IPCNET_HANDOVER) && frame->data[7] == 2);
  rig_run(&rig, 100000);
  CHECK_INT(role(), IPCNET_TWIN_OWNER); /* nobody took it: nothing has changed */
  CHECK_INT(rig_state(&rig).arming, IPCNET_ARMED);
  CHECK(rig_sent(&rig, from, ARM_BUS, 0x010) > 2);
  rig_end(&rig);
  rig_ready(&rig);
  CHECK(!ipcnet_reflex_hand_over(rig.reflex, rig.now_us)); /* no other host */
  rig_end(&rig);

  shadow_of(1);
  hear_beat(IPCNET_HANDOVER, 3, 2, 40); /* to its own twin */
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  hear_beat(IPCNET_HANDOVER, 2, 0, 40); /* an older owner's */
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  rig.follows = true;
  uint64_t at_us = rig.now_us;
  hear_beat(IPCNET_HANDOVER, 3, 1, 41); /* either of our instances */
  CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
  CHECK_INT(rig.sent[0].at_us, at_us); /* at once */
  rig_report(&rig);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK_INT(rig_state(&rig).arming, IPCNET_ARMED);
  rig_end(&rig);

  for (unsigned lacks = 0; lacks < 4; lacks++) { /* could not go on: does not take it */
    shadow_of(1);
    if (lacks == 1) rig.reflex->brain_there = rig.brain = false;
    if (lacks == 2) rig.reflex->trigger_latched = true;
    if (lacks == 3) rig.reflex->malfunction = IPCNET_MALFUNCTION_STORE;
    hear_beat(IPCNET_HANDOVER, 3, 0, 41);
    CHECK_INT(role(), lacks == 0 ? IPCNET_TWIN_CLAIMING : IPCNET_TWIN_OUTVOTED);
    rig_end(&rig);
  }
  shadow_of(0);
  rig.reflex->brain_there = rig.brain = false; /* nothing to go on with */
  hear_beat(IPCNET_HANDOVER, 3, 0, 41);
  CHECK_INT(role(), IPCNET_TWIN_CLAIMING);
  rig_end(&rig);
}

static void test_an_owner_that_learns_of_another_host_begins_anew(void)
{
  rig_arm_table(&table);
  table.buses[ARM_BUS].self_fence_us = 30000;
  rig_begin(&rig, 0);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED); /* without a table nothing can be claimed */
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  rig.answers_twin = false;
  rig_load(&rig, &table);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  CHECK(rig.twin_effects & IPCNET_TWIN_DO_RELEASE);
  rig.answers_twin = true;
  rig_links_up(&rig);
  rig_run(&rig, 1200000);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK_INT(rig_state(&rig).epoch, 2); /* host 0: even */
  rig_end(&rig);
}

/* ---- Whoever stood still --------------------------------------------------------------------------------------------------------------------------------------- */

static void test_a_stopped_owner_says_nothing(void)
{
  own_shared();
  rig_run(&rig, 20000);
  struct ipcnet_can_frame old = rig_shoulder_state(&rig); /* read late: it follows us, a second ago */
  rig.now_us += 1000000;
  uint32_t from = rig.sent_count;
  struct ipcnet_reflex_command command = rig_make(&rig, SHOULDER);
  rig_give(&rig, &command); /* before anything of the bus is read */
  rig_hear(&rig, &old);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  ipcnet_reflex_tick(rig.reflex, rig.now_us);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  CHECK_INT(rig.sent_count, from);
  rig_end(&rig);

  own_shared(); /* late, but the nodes have gone on to follow us: that is read before it is judged */
  rig.now_us += 35000;
  command = rig_make(&rig, SHOULDER);
  from = rig.sent_count;
  rig_give(&rig, &command);
  CHECK_INT(rig.sent_count, from);
  rig_echo(&rig);
  rig_report(&rig);
  ipcnet_reflex_tick(rig.reflex, rig.now_us);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK(rig.sent_count > from);
  rig_end(&rig);

  shadow_of(1); /* and who waits for silence does not take his own sleep for it */
  rig.now_us += 100000;
  command = rig_make(&rig, SHOULDER);
  rig_give(&rig, &command);
  rig.node_owner = 7;
  rig_report(&rig);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  hear_beat(IPCNET_BEAT, 3, 1, 60);
  ipcnet_reflex_tick(rig.reflex, rig.now_us);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  CHECK_INT(rig.sent_count, 0);
  rig_end(&rig);
}

/* ---- Small print ------------------------------------------------------------------------------------------------------------------------------------ */

static void test_epochs_beyond_a_byte(void)
{
  rig_arm_table(&table);
  rig_begin(&rig, 0);
  rig.reflex->stored_epoch = 0x1FF;
  rig_load(&rig, &table);
  rig_links_up(&rig);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(rig_state(&rig).epoch, 0x200);
  CHECK(rig.sent[0].frame.data[4] == 0 && rig.sent[0].frame.data[5] == 2);
  hear(IPCNET_BEAT, 0x1FE, 2, 1);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  rig.answers_twin = false;
  hear(IPCNET_BEAT, 0x301, 2, 2);
  CHECK_INT(role(), IPCNET_TWIN_OUTVOTED);
  rig.answers_twin = true;
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(rig_state(&rig).epoch, 0x302);
  rig_end(&rig);
}

static void test_farewells(void)
{
  static const struct { enum ipcnet_twin_event event; uint8_t kind, last; } CASES[] = {{IPCNET_TWIN_STOP_ASKED, IPCNET_RELEASE, 0}, {IPCNET_TWIN_YIELD_ASKED, IPCNET_HANDOVER, 2}};
  for (unsigned i = 0; i < 2; i++) {
    rig_arm_table(&table);
    table.buses[ARM_BUS].host = 1;
    rig_ready_with(&rig, &table, 1); /* owner 3; its twin is 2 */
    rig.answers_twin = false;
    rig_order(&rig, IPCNET_ORDER_ARM, 0, 0);
    rig_event(&rig, CASES[i].event);
    const struct ipcnet_can_frame *frame = rig_last_sent(&rig, ARM_BUS, 0x013);
    CHECK_INT(frame->data[3], 0x10 | CASES[i].kind);
    CHECK_INT(frame->data[7], CASES[i].last);
    rig_end(&rig);
    rig_ready_with(&rig, &table, 1);
    rig.answers_twin = false;
    rig.reflex->buses[ARM_BUS].health.phase = IPCNET_BUS_PURGING; /* dead: nobody would hear it now, and later it would be a lie */
    uint32_t from = rig.sent_count;
    rig_event(&rig, CASES[i].event);
    CHECK_INT(rig.sent_count, from);
    rig_end(&rig);
  }
}

static void test_our_own_number(void)
{
  rig_ready(&rig);
  hear(IPCNET_BEAT, 1, 0, 77); /* our number and our epoch, of whomever */
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->stale_claims_heard, 1);
  rig_end(&rig);
}

static void test_goodbyes_count_too(void)
{
  rig_ready(&rig);
  hear(IPCNET_RELEASE, 9, 2, 1);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->stale_claims_heard, 0);
  rig.answers_twin = false;
  rig_event(&rig, IPCNET_TWIN_SELF_FENCED);
  rig.answers_twin = true;
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(rig_state(&rig).epoch, 10);
  rig_end(&rig);
}

static void test_what_is_rejected_is_counted(void)
{
  rig_ready(&rig);
  struct ipcnet_can_frame frame = rig_claim_of(&rig, IPCNET_BEAT, 9, 2, 1);
  frame.flags = IPCNET_CAN_REMOTE;
  rig_hear(&rig, &frame); /* remote frames are no frames of anybody's */
  frame.flags = 0;
  frame.data[0] ^= 1;
  rig_hear(&rig, &frame);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->rejected_frames, 1);
  frame = rig_frame(&rig, AUX_BUS, 0x010, 0, 8); /* nobody claims there: not looked at */
  rig_hear(&rig, &frame);
  frame.can_id = 0xFFFFFFFF;
  frame.flags = IPCNET_CAN_EXTENDED;
  rig_hear(&rig, &frame);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->rejected_frames, 1);
  CHECK_INT(role(), IPCNET_TWIN_OWNER);
  rig_end(&rig);
}

static void test_a_standby_only_listens(void)
{
  rig_arm_table(&table);
  begin(1);
  rig_event(&rig, IPCNET_TWIN_LOCK_HELD);
  hear(IPCNET_BEAT, 9, 0, 1);
  hear(IPCNET_BEAT, 8, 0, 2);
  rig.node_epoch = 20;
  rig_report(&rig);
  rig.node_epoch = 15; /* older than what was heard */
  rig_report(&rig);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->higher_epochs_heard, 0);
  CHECK_INT(ipcnet_reflex_counters(rig.reflex)->stale_claims_heard, 0);
  rig_event(&rig, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(rig_state(&rig).epoch, 21);
  rig_end(&rig);
}

static void test_beats_keep_their_schedule(void)
{
  rig_ready(&rig);
  uint64_t due_us = rig.reflex->buses[ARM_BUS].beat_due_us;
  rig_echo(&rig);
  rig.now_us = due_us + 7000; /* the loop was late */
  ipcnet_reflex_tick(rig.reflex, rig.now_us);
  CHECK_INT(rig.reflex->buses[ARM_BUS].beat_due_us, due_us + 20000);
  rig_echo(&rig);
  rig.now_us = due_us + 20000 + 55000; /* very late: not two in a row, but half a period apart */
  ipcnet_reflex_tick(rig.reflex, rig.now_us);
  CHECK_INT(rig.reflex->buses[ARM_BUS].beat_due_us, rig.now_us + 10000);
  rig_end(&rig);
}

static void test_outvoted_asks_again_after_a_rest(void)
{
  rig_ready(&rig);
  rig.answers_twin = false;
  hear(IPCNET_BEAT, 40, 2, 5);
  rig_run(&rig, 70000);
  CHECK(rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK);
  rig.twin_effects = 0;
  rig_run(&rig, 980000);
  CHECK_INT(rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK, 0);
  rig_run(&rig, 30000);
  CHECK(rig.twin_effects & IPCNET_TWIN_DO_TRY_LOCK);
  rig_end(&rig);
}

int main(void)
{
  test_each_group_confirms();
  test_whose_confirmation_counts();
  test_an_older_sign_takes_nothing_away();
  test_a_claim_that_was_missed_is_said_again();
  test_goes_on_for_another_host();
  test_does_not_go_on_without_evidence();
  test_groups_that_do_not_confirm_are_brought_to_rest();
  test_set_points_of_another_host();
  test_what_was_left_here_comes_before();
  test_a_group_that_is_not_required();
  test_hand_over_between_hosts();
  test_a_stopped_owner_says_nothing();
  test_an_owner_that_learns_of_another_host_begins_anew();
  test_epochs_beyond_a_byte();
  test_farewells();
  test_our_own_number();
  test_goodbyes_count_too();
  test_what_is_rejected_is_counted();
  test_a_standby_only_listens();
  test_beats_keep_their_schedule();
  test_outvoted_asks_again_after_a_rest();
  test_claim_is_first_then_beats();
  test_extended_claim_id();
  test_one_beat_in_flight();
  test_claim_again_when_a_bus_returns();
  test_no_command_before_the_claim();
  test_claims_on_all_buses_before_owning();
  test_newer_owner_silences();
  test_who_does_not_silence();
  test_a_repeated_claim_is_not_heard();
  test_next_epoch_is_newer_than_all();
  test_nodes_know_a_newer_owner();
  test_few_bits_do_not_silence();
  test_shared_listens_first();
  test_shared_does_not_take_back();
  test_shared_other_falls_silent();
  test_shared_needs_a_witness();
  test_whole_again_it_listens_first();
  test_shared_self_fence();
  test_shared_same_epoch_while_claiming();
  test_shared_takeover_on_one_host_does_not_listen();
  test_what_another_host_has_is_not_inherited();
  test_a_cut_cable_is_not_inherited();
  test_a_claim_ends_with_the_lease_that_it_inherits();
  return checks_report("reflex_claim");
}
