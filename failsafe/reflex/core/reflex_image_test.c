/* What one leaves in memory or on a disk, and what another makes of it: images of every kind, sound ones and such as no owner ever wrote. */
#include "../../../drivers/can/core/check.h"
#include "pair_rig.h"

/* The newest image in a's page, for b to find: changed by the caller, then sealed with `leave`. */
static struct ipcnet_reflex_image newest(void)
{
  struct ipcnet_reflex_image image = a.journal;
  image.sequence += 2;
  return image;
}

static void leave(struct ipcnet_reflex_image *image)
{
  reseal(image);
  a.page->images[0] = a.page->images[1] = *image;
}

/* a is on its way to the pose: the shoulder still moves. */
static void pair_on_the_way(void)
{
  pair();
  a.velocity = b.velocity = 100;
  rig_report(&a);
  rig_report(&b);
  rig_order(&a, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1);
  CHECK_INT(arming(&a), IPCNET_SAFE_POSE);
}

/* ---- Whose image counts -------------------------------------------------------------------------------------------------------------------------- */

/* Where nothing was left nothing is taken over. */
static void test_the_first_owner_of_all(void)
{
  rig_arm_table(&table);
  rig_ready_with(&a, &table, 0);
  CHECK_INT(arming(&a), IPCNET_DISARMED);
  CHECK_INT(ipcnet_reflex_counters(a.reflex)->takeovers, 0);
  rig_end(&a);
}

/* An owner keeps the same image in memory and on the disk. Of two that are equally new memory counts: the disk's alone is nobody's who could be gone on with. */
static void test_memory_before_disk(void)
{
  pair();
  struct ipcnet_reflex_image image = a.journal;
  ipcnet_reflex_restore(b.reflex, &image, b.now_us);
  take_over();
  CHECK_INT(arming(&b), IPCNET_ARMED);
  CHECK_INT(ipcnet_reflex_counters(b.reflex)->takeovers, 1);
  end_pair();
}

static void next_owner_is_heard(uint16_t epoch)
{
  struct ipcnet_can_frame claim = rig_claim_of(&b, IPCNET_CLAIM, epoch, 2, 1);
  rig_hear(&b, &claim);
  CHECK_INT(rig_state(&b).role, IPCNET_TWIN_OUTVOTED);
  rig_event(&b, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(rig_state(&b).role, IPCNET_TWIN_OWNER);
}

/* What was on the disk is looked at once. Epochs go round: after many owners an old one would look new. */
static void test_the_disk_is_looked_at_once(void)
{
  pair();
  struct ipcnet_reflex_image image = a.journal;
  end_pair();
  image.arming = IPCNET_FAULT;
  image.epoch = 5;
  reseal(&image);
  begin_from_disk(&image);
  CHECK_INT(arming(&b), IPCNET_FAULT);
  CHECK_INT(ipcnet_reflex_counters(b.reflex)->takeovers, 0); /* from nobody who was there until now */
  CHECK_INT(rig_order(&b, IPCNET_ORDER_RESET, 0, 0), IPCNET_ANSWER_DONE);
  next_owner_is_heard(0x7000);
  next_owner_is_heard(0xE000);
  CHECK_INT(rig_state(&b).epoch, 0xE001);
  next_owner_is_heard(0xE100); /* half a circle beyond 5: 5 would be ahead of it */
  CHECK_INT(rig_state(&b).epoch, 0xE101);
  CHECK_INT(ipcnet_reflex_counters(b.reflex)->takeovers, 0); /* nor from itself */
  CHECK_INT(arming(&b), IPCNET_DISARMED);
  rig_end(&b);
}

/* The number of its images never goes back, whatever the other's were. */
static void test_images_are_numbered_upwards(void)
{
  static const struct { uint64_t own, left, next; } CASES[] = {{50, 7, 51}, {7, 50, 51}};
  for (unsigned i = 0; i < 2; i++) {
    pair();
    b.reflex->image_sequence = CASES[i].own;
    struct ipcnet_reflex_image image = newest();
    image.arming = IPCNET_DISARMED;
    image.sequence = CASES[i].left;
    leave(&image);
    take_over();
    CHECK_INT(b.journal.sequence, CASES[i].next);
    end_pair();
  }
}

/* Nor does the number of the brain that is obeyed. */
static void test_an_old_brain_stays_old(void)
{
  static const struct { uint32_t known, left; } CASES[] = {{7, 9}, {9, 7}, {9, 9}};
  for (unsigned i = 0; i < 3; i++) {
    pair();
    b.reflex->brain_epoch = CASES[i].known;
    struct ipcnet_reflex_image image = newest();
    image.brain_epoch = CASES[i].left;
    leave(&image);
    take_over();
    CHECK_INT(arming(&b), IPCNET_ARMED);
    struct ipcnet_reflex_command command = rig_make(&a, SHOULDER);
    command.brain_epoch = 8;
    CHECK_INT(rig_refusal(&b, &command), IPCNET_REFUSED_OLD_BRAIN);
    command.brain_epoch = 9;
    CHECK_INT(rig_refusal(&b, &command), 0);
    end_pair();
  }
}

/* ---- What a successor is told, and tells --------------------------------------------------------------------------------------------------------- */

/* Disarmed since it came to own, and it says so. */
static void test_since_when(void)
{
  pair();
  rig_order(&a, IPCNET_ORDER_DISARM, 0, 0);
  uint32_t from = b.record_count;
  b.now_us += 3000;
  take_over();
  CHECK_INT(arming(&b), IPCNET_DISARMED);
  CHECK_INT(rig_state(&b).since_us, b.now_us);
  const struct ipcnet_can_frame *report = rig_report_of(&b, from, IPCNET_REPORT_STATE, 0);
  struct ipcnet_reflex_state_record told = {.role = 99};
  CHECK(report != NULL);
  if (report != NULL) memcpy(&told, report->data, sizeof told);
  CHECK_INT(told.role, IPCNET_TWIN_OWNER);
  CHECK_INT(told.since_us, b.now_us);
  end_pair();
}

/* Who does not go on armed gives up what waits, answers for it, and knows of no set-point. */
static void test_what_waits_is_given_up(void)
{
  pair();
  struct ipcnet_reflex_command command = rig_make(&a, ELBOW), moving = rig_make(&a, SHOULDER);
  rig_give(&b, &command);
  rig_give(&a, &moving);
  CHECK(a.page->messages[SHOULDER].deadline_us != 0);
  struct ipcnet_reflex_image image = newest();
  image.arming = IPCNET_DISARMED;
  leave(&image);
  take_over();
  const struct ipcnet_can_frame *report = rig_report_of(&b, 0, IPCNET_REPORT_REFUSED, command.token);
  CHECK(report != NULL && report->data[0] == IPCNET_REFUSED_DROPPED);
  CHECK_INT(b.page->messages[SHOULDER].deadline_us, 0);
  end_pair();
}

/* ---- Buses --------------------------------------------------------------------------------------------------------------------------------------- */

/* The word of an owner counts, or of one that hands over; and it trusted a bus that worked, however badly. */
static void test_whose_word_on_a_bus_counts(void)
{
  static const uint8_t ROLES[] = {IPCNET_TWIN_OWNER, IPCNET_TWIN_YIELDING, IPCNET_TWIN_STANDBY};
  for (unsigned i = 0; i < 3; i++) {
    for (unsigned phase = 0; phase < 256; phase++) {
      bool trusted = i == 2 || phase == IPCNET_BUS_UP || phase == IPCNET_BUS_DEGRADED || phase == IPCNET_BUS_SUSPECT;
      pair();
      a.page->role = ROLES[i];
      a.page->bus_phases[AUX_BUS] = (uint8_t)phase;
      take_over();
      CHECK_INT(b.bus_effects[AUX_BUS][IPCNET_EFFECT_PURGE], !trusted);
      CHECK_INT(rig_lacks(&b, IPCNET_MISSING_BUS, AUX_BUS), !trusted);
      end_pair();
      if (phase > IPCNET_BUS_OFF_GIVEN_UP + 1u && phase < 254) phase = 253; /* nothing is known of those in between */
    }
  }
}

/* ---- Counters and commands ----------------------------------------------------------------------------------------------------------------------- */

/* The next counter after what the page says, or, where it says nothing or nonsense, after what was heard on the bus: then it was 3. */
static void test_the_next_counter(void)
{
  static const struct { uint32_t sent, counter; uint8_t next; } CASES[] = {{1, 8, 9}, {9, 255, 0}, {9, 254, 255}, {0, 77, 4}, {9, 256, 4}, {9, UINT32_MAX, 4}};
  for (unsigned i = 0; i < 6; i++) {
    pair();
    for (unsigned sent = 0; sent < 3; sent++) {
      struct ipcnet_reflex_command command = rig_make(&a, SHOULDER);
      rig_give(&a, &command);
      struct ipcnet_can_frame frame = *rig_last_sent(&a, ARM_BUS, 0x101);
      rig_run(&a, 10000);
      rig_hear(&b, &frame);
    }
    b.now_us = a.now_us;
    rig_report(&b);
    a.page->messages[SHOULDER].sent = CASES[i].sent;
    a.page->messages[SHOULDER].e2e_counter = CASES[i].counter;
    take_over();
    CHECK_INT(arming(&b), IPCNET_ARMED);
    struct ipcnet_reflex_command command = rig_make(&a, SHOULDER);
    CHECK_INT(rig_refusal(&b, &command), 0);
    CHECK_INT(rig_last_sent(&b, ARM_BUS, 0x101)->data[2], CASES[i].next);
    end_pair();
  }
}

/* Whoever sent nothing itself hands on what it was handed. */
static void test_the_counter_of_two_before(void)
{
  pair();
  for (unsigned sent = 0; sent < 3; sent++) {
    struct ipcnet_reflex_command command = rig_make(&a, SHOULDER);
    rig_give(&a, &command);
    rig_run(&a, 10000);
  }
  b.now_us = a.now_us;
  rig_report(&b);
  take_over();
  CHECK_INT(arming(&b), IPCNET_ARMED);
  CHECK_INT(b.page->messages[SHOULDER].sent, 3);
  rig_end(&a);
  stand_by(&a, &table);
  a.now_us = b.now_us;
  a.node_epoch = 2;
  a.node_owner = 1;
  rig_report(&a);
  a.other = b.page;
  rig_event(&a, IPCNET_TWIN_OWNER_SUSPECT);
  rig_event(&a, IPCNET_TWIN_OWNER_DEAD);
  CHECK_INT(arming(&a), IPCNET_ARMED);
  struct ipcnet_reflex_command command = rig_make(&a, SHOULDER);
  CHECK_INT(rig_refusal(&a, &command), 0);
  CHECK_INT(rig_last_sent(&a, ARM_BUS, 0x101)->data[2], 4);
  end_pair();
}

/* A shadow is sent unless the owner sent or refused that command, a later one, or one of a later brain. */
static void test_which_shadows_are_sent(void)
{
  static const struct { uint32_t brain_epoch; uint64_t sequence; bool sent; } CASES[] = {{7, 9, true}, {7, 10, false}, {7, 11, false}, {8, 1, false}, {6, 11, true}, {0, 0, true}};
  for (unsigned i = 0; i < 6; i++) {
    pair();
    struct ipcnet_reflex_command command = rig_make(&a, ELBOW);
    command.brain_epoch = 7;
    command.sequence = 10;
    rig_give(&b, &command);
    a.page->messages[ELBOW].brain_epoch = CASES[i].brain_epoch;
    a.page->messages[ELBOW].sequence = CASES[i].sequence;
    take_over();
    CHECK_INT(arming(&b), IPCNET_ARMED);
    CHECK_INT(rig_sent(&b, 0, ARM_BUS, 0x102), CASES[i].sent);
    end_pair();
  }
}

/* ---- Latches ------------------------------------------------------------------------------------------------------------------------------------- */

/* Latched is latched; by which trigger is known only of the same table, and only of one that is there. */
static void test_which_trigger_is_latched(void)
{
  static const struct { bool same_table; uint16_t left, known; } CASES[] = {
    {true, PRESSED_TRIGGER, PRESSED_TRIGGER}, {true, ARM_TRIGGERS - 1, ARM_TRIGGERS - 1}, {true, ARM_TRIGGERS, IPCNET_REFLEX_NONE}, {true, 0xFFFE, IPCNET_REFLEX_NONE}, {false, PRESSED_TRIGGER, IPCNET_REFLEX_NONE}};
  for (unsigned i = 0; i < 5; i++) {
    pair();
    struct ipcnet_reflex_image image = newest();
    image.arming = IPCNET_POSED;
    image.trigger_latched = 1;
    image.latched_trigger = CASES[i].left;
    leave(&image);
    if (!CASES[i].same_table) a.page->table_hash[31] ^= 1;
    take_over();
    CHECK_INT(arming(&b), IPCNET_POSED);
    CHECK_INT(rig_state(&b).trigger_latched, 1);
    CHECK(rig_lacks(&b, IPCNET_MISSING_RESET, CASES[i].known));
    end_pair();
  }
}

/* A number that stands in the image without a latch is nobody's. */
static void test_a_trigger_that_is_not_latched(void)
{
  pair();
  struct ipcnet_reflex_image image = newest();
  image.trigger_latched = 0;
  image.latched_trigger = PRESSED_TRIGGER;
  leave(&image);
  take_over();
  CHECK_INT(arming(&b), IPCNET_ARMED);
  CHECK_INT(ipcnet_reflex_counters(b.reflex)->plans_run, 0);
  end_pair();
}

/* The button is still pressed. Who had its pose for that, or tried, does not run the plan once more; who had not, does. */
static void test_a_condition_that_still_holds(void)
{
  static const struct { uint8_t left, becomes; uint32_t runs; } CASES[] = {
    {IPCNET_DISARMED, IPCNET_SAFE_POSE, 1}, {IPCNET_ARMED, IPCNET_SAFE_POSE, 1}, {IPCNET_SAFE_POSE, IPCNET_FAULT, 0}, {IPCNET_POSED, IPCNET_POSED, 0}, {IPCNET_FAULT, IPCNET_FAULT, 0}};
  for (unsigned i = 0; i < 5; i++) {
    pair();
    b.pressed = true;
    rig_report(&b);
    struct ipcnet_reflex_image image = newest();
    image.arming = CASES[i].left;
    image.trigger_latched = 1;
    image.latched_trigger = PRESSED_TRIGGER;
    leave(&image);
    take_over();
    CHECK_INT(arming(&b), CASES[i].becomes);
    CHECK_INT(ipcnet_reflex_counters(b.reflex)->plans_run, CASES[i].runs);
    end_pair();
  }
}

/* It died between latching a trigger and beginning with its plan: the plan of that trigger runs, as if we were armed, and no other's, though a takeover ranks higher. */
static void test_latched_and_not_begun(void)
{
  static const uint16_t TRIGGERS[] = {PRESSED_TRIGGER, NODE_TRIGGER};
  static const uint16_t PLANS[] = {OFF_PLAN, PARK_PLAN};
  for (unsigned i = 0; i < 2; i++) {
    pair();
    struct ipcnet_reflex_image image = newest();
    CHECK_INT(image.arming, IPCNET_ARMED);
    image.trigger_latched = 1;
    image.latched_trigger = TRIGGERS[i];
    leave(&image);
    take_over();
    CHECK_INT(arming(&b), IPCNET_SAFE_POSE);
    CHECK_INT(rig_state(&b).trigger, TRIGGERS[i]);
    CHECK_INT(rig_state(&b).plan, PLANS[i]);
    CHECK_INT(ipcnet_reflex_counters(b.reflex)->plans_run, 1);
    end_pair();
  }
}

/* Its own malfunction, and the bus was lost on the way to the pose: with the bus it goes on to the pose, and stops only then. */
static void test_to_the_pose_before_it_stops(void)
{
  pair_on_the_way();
  a.answers_twin = false;
  a.reflex->malfunction = IPCNET_MALFUNCTION_FOREIGN_COMMAND;
  a.reflex->stop_after_run = false;
  rig_event(&a, IPCNET_TWIN_HIGHER_EPOCH);
  CHECK_INT(rig_state(&a).role, IPCNET_TWIN_OUTVOTED);
  uint32_t from = a.sent_count;
  a.answers_twin = true;
  rig_event(&a, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(rig_state(&a).role, IPCNET_TWIN_OWNER);
  CHECK_INT(arming(&a), IPCNET_SAFE_POSE);
  a.velocity = 0;
  rig_run(&a, 200000);
  CHECK(rig_sent(&a, from, ARM_BUS, 0x103) > 0);
  CHECK_INT(a.journal.run.verdict, IPCNET_VERDICT_POSED);
  CHECK_INT(rig_state(&a).role, IPCNET_TWIN_STOPPED);
  end_pair();
}

/* And with nothing to bring to its pose it stops at once. */
static void test_a_malfunction_is_not_forgotten(void)
{
  pair();
  a.answers_twin = false;
  rig_event(&a, IPCNET_TWIN_HIGHER_EPOCH);
  a.reflex->malfunction = IPCNET_MALFUNCTION_FOREIGN_COMMAND;
  a.answers_twin = true;
  rig_event(&a, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(rig_state(&a).role, IPCNET_TWIN_STOPPED);
  CHECK_INT(arming(&a), IPCNET_DISARMED);
  end_pair();
}

/* ---- Runs ---------------------------------------------------------------------------------------------------------------------------------------- */

/* Unfinished is what has a plan and a number and no verdict. */
static void test_which_run_is_unfinished(void)
{
  static const struct { uint16_t plan; uint64_t run_id; uint8_t verdict; bool goes_on; } CASES[] = {
    {PARK_PLAN, 5, IPCNET_VERDICT_NONE, true}, {PARK_PLAN, 1, IPCNET_VERDICT_NONE, true}, {PARK_PLAN, 0, IPCNET_VERDICT_NONE, false}, {IPCNET_REFLEX_NONE, 5, IPCNET_VERDICT_NONE, false}, {PARK_PLAN, 5, IPCNET_VERDICT_CUT, false}};
  for (unsigned i = 0; i < 5; i++) {
    pair_on_the_way();
    struct ipcnet_reflex_image image = newest();
    image.arming = IPCNET_DISARMED;
    image.run.plan = CASES[i].plan;
    image.run.run_id = CASES[i].run_id;
    image.run.verdict = CASES[i].verdict;
    leave(&image);
    take_over();
    CHECK_INT(arming(&b), CASES[i].goes_on ? IPCNET_SAFE_POSE : IPCNET_DISARMED);
    CHECK_INT(rig_sent(&b, 0, ARM_BUS, 0x101), CASES[i].goes_on);
    end_pair();
  }
}

/* A run that has ended is told once more: to the verdict belong its steps. */
static void test_an_end_is_told_with_its_steps(void)
{
  pair_on_the_way();
  struct ipcnet_reflex_image image = newest();
  image.run.verdict = IPCNET_VERDICT_CUT;
  image.run.steps[0].state = IPCNET_STEP_TIMED_OUT;
  leave(&image);
  uint32_t from = b.record_count;
  take_over();
  CHECK_INT(arming(&b), IPCNET_FAULT);
  const struct ipcnet_can_frame *step = rig_report_of(&b, from, IPCNET_REPORT_STEP, 0), *verdict = rig_report_of(&b, from, IPCNET_REPORT_VERDICT, 0);
  CHECK(step != NULL && step->data[0] == IPCNET_STEP_TIMED_OUT);
  CHECK(verdict != NULL && verdict->data[8] == IPCNET_VERDICT_CUT);
  end_pair();
}

/* How it ended stands; but a pose that no run led to is none, a fault stays one whatever its run says, and of a run of another table nothing is told and nothing sent. */
static void test_which_ends_are_believed(void)
{
  static const struct { uint8_t arming, verdict; uint64_t run_id; bool same_table; uint8_t becomes; bool told; } CASES[] = {
    {IPCNET_SAFE_POSE, IPCNET_VERDICT_POSED, 5, true, IPCNET_POSED, true},  {IPCNET_SAFE_POSE, IPCNET_VERDICT_POSED, 1, true, IPCNET_POSED, true},
    {IPCNET_SAFE_POSE, IPCNET_VERDICT_POSED, 0, true, IPCNET_FAULT, false}, {IPCNET_FAULT, IPCNET_VERDICT_POSED, 5, true, IPCNET_FAULT, true},
    {IPCNET_POSED, IPCNET_VERDICT_POSED, 5, false, IPCNET_POSED, false},    {IPCNET_POSED, IPCNET_VERDICT_POSED, 0, true, IPCNET_POSED, false}};
  for (unsigned i = 0; i < 6; i++) {
    pair_on_the_way();
    struct ipcnet_reflex_image image = newest();
    image.arming = CASES[i].arming;
    image.run.verdict = CASES[i].verdict;
    image.run.run_id = CASES[i].run_id;
    if (!CASES[i].same_table) image.run.table_hash[0] ^= 1;
    leave(&image);
    uint32_t from = b.record_count;
    take_over();
    CHECK_INT(arming(&b), CASES[i].becomes);
    CHECK_INT(rig_report_of(&b, from, IPCNET_REPORT_VERDICT, 0) != NULL, CASES[i].told);
    rig_run(&b, 20000);
    CHECK_INT(arming(&b), CASES[i].becomes);
    CHECK_INT(rig_sent(&b, 0, ARM_BUS, 0x101) + rig_sent(&b, 0, ARM_BUS, 0x103), 0);
    end_pair();
  }
}

/* From the disk, the first step being tried since a time that may be of this boot or of another. In the same boot the budget and the deadline run on; times of another say nothing, and it gets all of both. */
static void test_times_of_this_boot_and_of_another(void)
{
  for (unsigned other_boot = 0; other_boot < 2; other_boot++) {
    pair_on_the_way();
    struct ipcnet_reflex_image image = a.journal;
    CHECK(memcmp(image.boot_id, (const uint8_t[16]){1, 2, 3}, 16) == 0);
    CHECK_INT(image.run.steps[0].state, IPCNET_STEP_RUNNING);
    end_pair();
    rig_arm_table(&table);
    table.steps[0].deadline_us = 300000;
    table.plans[PARK_PLAN].budget_us = 1000000;
    rig_begin(&b, 0);
    b.velocity = 100;
    rig_load(&b, &table);
    memcpy(image.run.table_hash, ((const struct ipcnet_reflex_table_header *)(const void *)b.table_bytes)->hash, sizeof image.run.table_hash);
    image.run.started_us = image.run.steps[0].since_us = b.now_us - 150000;
    if (other_boot) image.boot_id[15] = 9;
    reseal(&image);
    ipcnet_reflex_restore(b.reflex, &image, b.now_us);
    rig_links_up(&b);
    rig_event(&b, IPCNET_TWIN_LOCK_GRANTED);
    CHECK_INT(arming(&b), IPCNET_SAFE_POSE);
    CHECK(b.journal.run.started_us == (other_boot ? b.now_us : image.run.started_us));
    uint64_t tried_until_us = b.now_us + (other_boot ? 300000 : 150000);
    rig_run(&b, tried_until_us - b.now_us - 1000);
    CHECK_INT(b.journal.run.steps[0].state, IPCNET_STEP_RUNNING);
    rig_run(&b, 2000);
    CHECK_INT(b.journal.run.steps[0].state, IPCNET_STEP_TIMED_OUT);
    rig_end(&b);
  }
}

/* The newest brain that anybody here obeyed: what a sound image on the disk says, until a newer one has been obeyed. */
static void test_the_newest_brain_that_was_obeyed(void)
{
  pair();
  struct ipcnet_reflex_image image = a.journal;
  image.brain_epoch = b.reflex->brain_epoch + 2;
  ipcnet_reflex_restore(b.reflex, &image, b.now_us); /* not sealed */
  CHECK_INT(ipcnet_reflex_brain_epoch(b.reflex), b.reflex->brain_epoch);
  reseal(&image);
  ipcnet_reflex_restore(b.reflex, &image, b.now_us);
  CHECK_INT(ipcnet_reflex_brain_epoch(b.reflex), image.brain_epoch);
  rig_order(&b, IPCNET_ORDER_BRAIN_BEAT, (uint32_t)image.brain_epoch + 1, 0);
  CHECK_INT(ipcnet_reflex_brain_epoch(b.reflex), image.brain_epoch + 1);
  end_pair();
}

int main(void)
{
  test_the_newest_brain_that_was_obeyed();
  test_the_first_owner_of_all();
  test_memory_before_disk();
  test_the_disk_is_looked_at_once();
  test_images_are_numbered_upwards();
  test_an_old_brain_stays_old();
  test_since_when();
  test_what_waits_is_given_up();
  test_whose_word_on_a_bus_counts();
  test_the_next_counter();
  test_the_counter_of_two_before();
  test_which_shadows_are_sent();
  test_which_trigger_is_latched();
  test_a_trigger_that_is_not_latched();
  test_a_condition_that_still_holds();
  test_latched_and_not_begun();
  test_to_the_pose_before_it_stops();
  test_a_malfunction_is_not_forgotten();
  test_which_run_is_unfinished();
  test_an_end_is_told_with_its_steps();
  test_which_ends_are_believed();
  test_times_of_this_boot_and_of_another();
  return checks_report("reflex_image");
}
