/* One takes over what another left: from its page, from the disk, after a planned hand-over; what it reads is believed only as far as it can be checked. And the shadow of a standby. */
#include "../../../drivers/can/core/check.h"
#include "pair_rig.h"

/* The same command reaches both twins, as by one lane. */
static void give_both(struct ipcnet_reflex_command *command)
{
  rig_give(&b, command);
  rig_give(&a, command);
}

static struct ipcnet_reflex_command make(uint16_t message)
{
  struct ipcnet_reflex_command command = rig_make(&a, message);
  return command;
}

/* ---- Going on armed --------------------------------------------------------------------------------------------------------------------------- */

static void test_takeover_resumes_armed(void)
{
  pair();
  for (unsigned i = 0; i < 3; i++) {
    struct ipcnet_reflex_command command = make(SHOULDER);
    give_both(&command);
    rig_run(&a, 10000);
    rig_run(&b, 10000);
  }
  CHECK_INT(b.sent_count, 0);
  uint64_t until = a.page->messages[SHOULDER].deadline_us;
  take_over();
  CHECK_INT(rig_state(&b).role, IPCNET_TWIN_OWNER);
  CHECK_INT(rig_state(&b).epoch, 2);
  CHECK_INT(arming(&b), IPCNET_ARMED);
  CHECK_INT(b.sent_count, 1); /* the claim; all three commands were sent by the other */
  CHECK_INT(b.sent[0].frame.can_id, 0x011);
  CHECK_INT(b.page->messages[SHOULDER].deadline_us, until);
  CHECK_INT(b.journal.arming, IPCNET_ARMED);
  CHECK_INT(b.journal.epoch, 2);
  struct ipcnet_reflex_command command = make(SHOULDER);
  CHECK_INT(rig_refusal(&b, &command), 0);
  const struct ipcnet_can_frame *frame = rig_last_sent(&b, ARM_BUS, 0x101);
  CHECK_INT(frame->data[2], 4); /* the counter goes on */
  CHECK_INT(frame->data[3], 1 << 4 | 2);
  CHECK_INT(ipcnet_reflex_counters(b.reflex)->takeovers, 1);
  end_pair();
}

/* A node that fell silent while the standby only listened: nobody else would say so any more. */
static void test_a_node_lost_before_is_lost_now(void)
{
  pair();
  b.plant = false;
  rig_run(&b, 600000);
  CHECK_INT(b.reflex->nodes[0].life, NODE_LOST);
  a.now_us = b.now_us;
  take_over();
  CHECK_INT(rig_state(&b).role, IPCNET_TWIN_OWNER);
  CHECK_INT(arming(&b), IPCNET_SAFE_POSE);
  end_pair();
}

/* A node that is not operational is no better than a silent one. */
static void test_a_stopped_node_is_lost_now(void)
{
  rig_arm_table(&table);
  rig_ready_with(&a, &table, 0);
  rig_order(&a, IPCNET_ORDER_ARM, 0, 0);
  rig_begin(&b, 1);
  b.elbow_stopped = true;
  rig_load(&b, &table);
  rig_links_up(&b);
  rig_event(&b, IPCNET_TWIN_LOCK_HELD);
  rig_run(&b, 20000);
  b.now_us = a.now_us;
  b.other = a.page;
  CHECK_INT(b.reflex->nodes[1].life, NODE_UNKNOWN);
  take_over();
  CHECK_INT(rig_state(&b).role, IPCNET_TWIN_OWNER);
  CHECK(arming(&b) != IPCNET_ARMED);
  end_pair();
}

/* One that has just begun to listen has the owner's word for a node, for as long as a node may be silent. */
static void test_a_node_not_heard_yet_gets_its_time(void)
{
  for (unsigned speaks = 0; speaks < 2; speaks++) {
    rig_arm_table(&table);
    rig_ready_with(&a, &table, 0);
    rig_order(&a, IPCNET_ORDER_ARM, 0, 0);
    rig_begin(&b, 1);
    b.plant = false;
    rig_load(&b, &table);
    rig_links_up(&b);
    b.now_us = a.now_us;
    rig_event(&b, IPCNET_TWIN_LOCK_HELD);
    b.other = a.page;
    b.node_epoch = a.node_epoch;
    b.node_owner = a.node_owner;
    take_over();
    CHECK_INT(arming(&b), IPCNET_ARMED);
    uint64_t timeout_us = b.reflex->table.nodes[0].timeout_us;
    CHECK(!ipcnet_reflex_watch_alive(b.reflex, 0)); /* no evidence to arm with */
    b.plant = speaks == 1;
    rig_run(&b, timeout_us - timeout_us % 1000);
    CHECK_INT(arming(&b), IPCNET_ARMED);
    rig_run(&b, 2000);
    CHECK_INT(arming(&b), speaks ? IPCNET_ARMED : IPCNET_SAFE_POSE);
    end_pair();
  }
}

/* A brain that may not have noticed us is not given up; but nobody arms on its account. */
static void test_a_brain_is_excused_and_proves_nothing(void)
{
  pair();
  b.brain = false;
  uint64_t timeout_us = b.reflex->table.header->brain_timeout_us;
  rig_run(&b, timeout_us + 1000); /* it beats for the owner alone */
  rig_report(&b);
  b.now_us += 1000;
  take_over();
  CHECK_INT(arming(&b), IPCNET_ARMED);
  rig_order(&b, IPCNET_ORDER_DISARM, 0, 0);
  CHECK(rig_lacks(&b, IPCNET_MISSING_BRAIN, 0));
  CHECK_INT(rig_order(&b, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_REFUSED);
  end_pair();
  pair();
  b.brain = false;
  rig_run(&b, timeout_us + 1000);
  rig_report(&b);
  take_over();
  uint64_t until_us = b.now_us + timeout_us;
  while (b.now_us < until_us - 1000) {
    rig_run(&b, 1000);
    CHECK_INT(arming(&b), IPCNET_ARMED);
  }
  rig_run(&b, 2000);
  CHECK(arming(&b) != IPCNET_ARMED);
  end_pair();
}

/* Disarmed and armed by an order it counts from the last beat again, takeover or not. */
static void test_the_excuse_ends_with_an_order(void)
{
  pair();
  b.brain = false;
  rig_order(&b, IPCNET_ORDER_BRAIN_BEAT, b.reflex->brain_epoch, 0);
  uint64_t timeout_us = b.reflex->table.header->brain_timeout_us, lost_us = b.now_us + timeout_us;
  rig_run(&b, timeout_us / 2);
  take_over();
  rig_run(&b, 20000); /* the nodes say that they follow */
  CHECK_INT(arming(&b), IPCNET_ARMED);
  rig_order(&b, IPCNET_ORDER_DISARM, 0, 0);
  CHECK_INT(rig_order(&b, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_DONE);
  while (b.now_us + 1000 < lost_us) {
    rig_run(&b, 1000);
    CHECK_INT(arming(&b), IPCNET_ARMED);
  }
  rig_run(&b, 2000);
  CHECK(arming(&b) != IPCNET_ARMED);
  end_pair();
}

static void test_set_points_go_on_to_expire(void)
{
  pair();
  struct ipcnet_reflex_command command = make(SHOULDER);
  give_both(&command);
  take_over();
  rig_run(&b, 39000);
  CHECK_INT(arming(&b), IPCNET_ARMED);
  rig_run(&b, 2000);
  CHECK(arming(&b) != IPCNET_ARMED);
  CHECK_INT(rig_state(&b).trigger, EXPIRED_TRIGGER);
  end_pair();
}

static void test_shadow_is_sent_after_the_claim(void)
{
  pair();
  struct ipcnet_reflex_command first = make(SHOULDER), second = make(SHOULDER), third = make(SHOULDER), other = make(ELBOW);
  third.data[4] = 3;
  give_both(&first);
  rig_give(&b, &second); /* the other died before it read these */
  rig_give(&b, &third);
  rig_give(&b, &other);
  uint32_t records = b.record_count;
  take_over();
  CHECK_INT(rig_sent(&b, 0, ARM_BUS, 0x101), 1);
  CHECK_INT(rig_last_sent(&b, ARM_BUS, 0x101)->data[4], 3); /* the newest */
  CHECK_INT(rig_sent(&b, 0, ARM_BUS, 0x102), 1);
  CHECK_INT(b.sent[0].frame.can_id, 0x011);
  CHECK(rig_report_of(&b, 0, IPCNET_REPORT_REFUSED, second.token) == NULL); /* silent: the owner would answer */
  CHECK(rig_report_of(&b, records, IPCNET_REPORT_REFUSED, third.token) == NULL);
  rig_echo(&b);
  bool echoed = false;
  for (uint32_t i = records; i < b.record_count; i++) echoed |= (b.records[i % RIG_LOG].flags & IPCNET_CAN_ECHO) && b.records[i % RIG_LOG].token == third.token;
  CHECK(echoed);
  end_pair();
}

static void test_shadow_of_what_was_sent_is_not_sent_again(void)
{
  pair();
  struct ipcnet_reflex_command command = make(SHOULDER);
  give_both(&command);
  take_over();
  rig_run(&b, 10000);
  CHECK_INT(rig_sent(&b, 0, ARM_BUS, 0x101), 0);
  end_pair();
}

static void test_shadow_expires(void)
{
  pair();
  struct ipcnet_reflex_command command = make(SHOULDER);
  rig_give(&b, &command);
  rig_run(&b, 45000);
  take_over();
  CHECK_INT(rig_sent(&b, 0, ARM_BUS, 0x101), 0);
  end_pair();
}

/* Refused while it was not armed, then armed, then dead: the successor must not send what its predecessor refused. */
static void test_shadow_of_what_was_refused(void)
{
  pair();
  rig_order(&a, IPCNET_ORDER_DISARM, 0, 0);
  struct ipcnet_reflex_command command = make(SHOULDER);
  give_both(&command);
  CHECK_INT(rig_order(&a, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_DONE);
  take_over();
  CHECK_INT(arming(&b), IPCNET_ARMED);
  rig_run(&b, 10000);
  CHECK_INT(rig_sent(&b, 0, ARM_BUS, 0x101), 0);
  end_pair();
}

static void test_shadows_are_judged_too(void)
{
  pair();
  struct ipcnet_reflex_command command = make(SHOULDER);
  command.data[5] = 0x7F;
  rig_give(&b, &command);
  command = make(SHOULDER);
  command.table_hash ^= 1;
  rig_give(&b, &command);
  command = make(BRAKE);
  rig_give(&b, &command);
  command = make(9);
  rig_give(&b, &command);
  command = make(SHOULDER);
  command.brain_epoch = 0;
  rig_give(&b, &command);
  for (unsigned why = 0; why < IPCNET_REFUSALS; why++) CHECK_INT(ipcnet_reflex_counters(b.reflex)->refused[why], 0);
  take_over();
  CHECK_INT(b.sent_count, 1);
  end_pair();
}

static void test_who_answers(void)
{
  rig_arm_table(&table);
  rig_begin(&a, 0);
  rig_load(&a, &table);
  struct ipcnet_reflex_command command = rig_make(&a, SHOULDER);
  CHECK_INT(rig_refusal(&a, &command), IPCNET_REFUSED_NOT_OWNER); /* starting */
  rig_event(&a, IPCNET_TWIN_LOCK_HELD);
  command = rig_make(&a, SHOULDER);
  CHECK_INT(rig_refusal(&a, &command), 0); /* standby: silent */
  a.answers_twin = false;
  rig_event(&a, IPCNET_TWIN_OWNER_SUSPECT);
  CHECK_INT(rig_state(&a).role, IPCNET_TWIN_FENCING);
  command = rig_make(&a, SHOULDER);
  CHECK_INT(rig_refusal(&a, &command), 0);
  rig_event(&a, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(rig_state(&a).role, IPCNET_TWIN_CLAIMING);
  command = rig_make(&a, SHOULDER);
  CHECK_INT(rig_refusal(&a, &command), 0);
  rig_event(&a, IPCNET_TWIN_STOP_ASKED);
  command = rig_make(&a, SHOULDER);
  CHECK_INT(rig_refusal(&a, &command), IPCNET_REFUSED_NOT_OWNER);
  CHECK_INT(a.sent_count, 0);
  rig_end(&a);
}

/* ---- Not going on armed ------------------------------------------------------------------------------------------------------------------------- */

static void test_takeover_without_resuming(void)
{
  rig_arm_table(&table);
  table.header.flags = 0;
  pair_with(&table);
  struct ipcnet_reflex_command command = make(ELBOW);
  rig_give(&b, &command);
  take_over();
  CHECK_INT(rig_state(&b).trigger, TAKEOVER_TRIGGER); /* although it means something only while armed: the one before was */
  CHECK(arming(&b) == IPCNET_SAFE_POSE || arming(&b) == IPCNET_POSED);
  rig_run(&b, 200000);
  CHECK_INT(rig_sent(&b, 0, ARM_BUS, 0x102), 0); /* nothing that waited */
  end_pair();

  table.triggers[TAKEOVER_TRIGGER].kind = IPCNET_REFLEX_ON_SHUTDOWN;
  pair_with(&table);
  rig_give(&b, &command);
  take_over();
  CHECK_INT(arming(&b), IPCNET_DISARMED);
  rig_run(&b, 20000);
  CHECK_INT(rig_sent(&b, 0, ARM_BUS, 0x102) + rig_sent(&b, 0, ARM_BUS, 0x103), 0);
  end_pair();
}

static void test_takeover_of_the_disarmed(void)
{
  pair();
  rig_order(&a, IPCNET_ORDER_DISARM, 0, 0);
  take_over();
  CHECK_INT(arming(&b), IPCNET_DISARMED);
  end_pair();
}

static void test_another_table(void)
{
  pair();
  table.generation = 2;
  table.messages[GRIPPER].ttl_us_max = 40000;
  rig_load(&b, &table);
  rig_links_up(&b);
  struct ipcnet_reflex_command command = make(SHOULDER);
  rig_give(&a, &command);
  take_over();
  CHECK_INT(rig_state(&b).trigger, TAKEOVER_TRIGGER);
  CHECK_INT(b.page->messages[SHOULDER].sequence, 0); /* its rows mean something else */
  end_pair();
}

static void test_a_predecessor_with_a_malfunction(void)
{
  pair();
  a.reflex->malfunction = IPCNET_MALFUNCTION_SELF_TEST;
  ipcnet_reflex_keep(a.reflex);
  take_over();
  CHECK_INT(rig_state(&b).trigger, TAKEOVER_TRIGGER);
  CHECK_INT(rig_state(&b).malfunction, 0); /* not ours */
  end_pair();
}

/* ---- Runs ---------------------------------------------------------------------------------------------------------------------------------------- */

static void test_run_goes_on(void)
{
  pair();
  a.velocity = b.velocity = 100;
  rig_report(&a);
  rig_report(&b);
  rig_order(&a, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1);
  rig_run(&a, 30000);
  rig_run(&b, 30000);
  uint64_t run_id = a.journal.run.run_id;
  take_over();
  CHECK_INT(arming(&b), IPCNET_SAFE_POSE);
  CHECK_INT(rig_sent(&b, 0, ARM_BUS, 0x101), 1); /* sent anew at once */
  CHECK_INT(b.journal.run.run_id, run_id);
  CHECK_INT(ipcnet_reflex_counters(b.reflex)->plans_resumed, 1);
  CHECK_INT(ipcnet_reflex_counters(b.reflex)->plans_run, 0);
  b.velocity = 0;
  rig_run(&b, 100000);
  CHECK_INT(arming(&b), IPCNET_POSED);
  CHECK(rig_sent(&b, 0, ARM_BUS, 0x103) > 0);
  end_pair();
}

static void test_latch_is_inherited(void)
{
  pair();
  a.pressed = b.pressed = true;
  rig_run(&a, 100000);
  rig_run(&b, 100000);
  CHECK_INT(arming(&a), IPCNET_POSED);
  take_over();
  rig_run(&b, 20000);
  CHECK_INT(arming(&b), IPCNET_POSED);
  CHECK_INT(rig_state(&b).trigger_latched, 1);
  CHECK(rig_lacks(&b, IPCNET_MISSING_RESET, PRESSED_TRIGGER));
  CHECK_INT(ipcnet_reflex_counters(b.reflex)->plans_run, 0); /* it is posed already for that */
  CHECK_INT(rig_order(&b, IPCNET_ORDER_RESET, 0, 0), IPCNET_ANSWER_REFUSED);
  end_pair();
}

static void test_a_condition_that_nobody_answered_fires(void)
{
  pair();
  b.pressed = true;
  rig_report(&b); /* just as the other died */
  take_over();
  CHECK(arming(&b) == IPCNET_SAFE_POSE || arming(&b) == IPCNET_POSED);
  CHECK_INT(rig_state(&b).trigger, PRESSED_TRIGGER);
  end_pair();
}

static void test_fault_is_inherited(void)
{
  pair();
  a.velocity = 100;
  rig_report(&a);
  rig_order(&a, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1);
  rig_run(&a, 500000);
  CHECK_INT(arming(&a), IPCNET_FAULT);
  b.now_us = a.now_us;
  take_over();
  CHECK_INT(arming(&b), IPCNET_FAULT);
  end_pair();
}

/* ---- Nothing is believed blindly -------------------------------------------------------------------------------------------------------------------- */

static void test_a_page_that_lies(void)
{
  for (unsigned lie = 0; lie < 14; lie++) {
    pair();
    struct ipcnet_reflex_command command = make(SHOULDER);
    give_both(&command);
    struct ipcnet_reflex_page *page = a.page;
    struct ipcnet_reflex_image *image = &page->images[page->images[0].sequence > page->images[1].sequence ? 0 : 1], *older = &page->images[image == &page->images[0] ? 1 : 0];
    bool armed = false, posing = false;
    switch (lie) {
      case 0: page->magic ^= 1; break;
      case 1: page->major++; break;
      case 2: page->boot_id[15] ^= 1; break;
      case 3: image->crc32c ^= 1; older->crc32c ^= 1; break;
      case 4: image->arming = IPCNET_FAULT + 1; reseal(image); older->crc32c ^= 1; break;
      case 5: image->sequence = 0; reseal(image); older->crc32c ^= 1; break;
      case 6: image->epoch = 0; reseal(image); older->crc32c ^= 1; break;
      case 7: image->trigger_latched = 2; reseal(image); older->crc32c ^= 1; break;
      case 8: image->trigger_latched = 1; image->latched_trigger = 0x1234; reseal(image); posing = true; break; /* latched is latched */
      case 9: page->messages[SHOULDER].e2e_counter = 256; armed = true; break;
      case 10: page->messages[SHOULDER].deadline_us = UINT64_MAX; armed = true; break;
      case 11: memset(page->messages, 0xFF, sizeof page->messages); armed = true; break;
      case 12: memset(page, 0xFF, IPCNET_REFLEX_PAGE_BYTES); break;
      default: b.other = NULL; break;
    }
    take_over();
    CHECK_INT(rig_state(&b).role, IPCNET_TWIN_OWNER);
    const uint8_t expected = posing ? IPCNET_SAFE_POSE : armed ? IPCNET_ARMED : IPCNET_DISARMED;
    if (arming(&b) != expected) fprintf(stderr, "lie %u: %u\n", lie, arming(&b));
    CHECK_INT(arming(&b), expected);
    CHECK(b.page->messages[SHOULDER].deadline_us <= b.now_us + 50000);
    CHECK(b.page->messages[SHOULDER].e2e_counter <= 255);
    rig_run(&b, 100000);
    if (!posing) CHECK_INT(rig_sent(&b, 0, ARM_BUS, 0x102), 0);
    end_pair();
  }
}

static void test_the_last_image_was_cut(void)
{
  pair();
  rig_order(&a, IPCNET_ORDER_DISARM, 0, 0); /* the newest image says disarmed; it was never finished */
  a.page->images[a.journal.sequence & 1].crc32c ^= 1;
  take_over();
  CHECK_INT(arming(&b), IPCNET_ARMED); /* the one before counts */
  end_pair();
}

static void test_a_run_that_makes_no_sense(void)
{
  pair();
  struct ipcnet_reflex_image image = a.journal;
  image.sequence += 2;
  image.arming = IPCNET_SAFE_POSE;
  image.run.plan = 7;
  image.run.run_id = 5;
  image.run.verdict = IPCNET_VERDICT_NONE;
  reseal(&image);
  a.page->images[0] = image;
  take_over();
  rig_run(&b, 1000);
  CHECK(rig_sent(&b, 0, ARM_BUS, 0x103) > 0); /* the last rung of the highest trigger */
  rig_run(&b, 200000);
  CHECK_INT(arming(&b), IPCNET_FAULT);
  end_pair();

  pair(); /* posing, but no run: cannot be */
  image = a.journal;
  image.sequence += 2;
  image.arming = IPCNET_SAFE_POSE;
  reseal(&image);
  a.page->images[0] = image;
  take_over();
  CHECK_INT(arming(&b), IPCNET_FAULT);
  end_pair();
}

static void test_an_end_that_nobody_was_told_of(void)
{
  static const struct { uint8_t verdict, arming, becomes; } ENDS[] = {
    {IPCNET_VERDICT_POSED, IPCNET_SAFE_POSE, IPCNET_POSED}, {IPCNET_VERDICT_CUT, IPCNET_SAFE_POSE, IPCNET_FAULT}, {IPCNET_VERDICT_FAILED, IPCNET_SAFE_POSE, IPCNET_FAULT},
    {IPCNET_VERDICT_POSED, IPCNET_POSED, IPCNET_POSED}, {IPCNET_VERDICT_FAILED, IPCNET_FAULT, IPCNET_FAULT}, {IPCNET_VERDICT_POSED, IPCNET_DISARMED, IPCNET_DISARMED}};
  for (size_t i = 0; i < sizeof ENDS / sizeof ENDS[0]; i++) {
    pair();
    rig_order(&a, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1);
    struct ipcnet_reflex_image image = a.journal;
    CHECK(image.run.run_id != 0);
    image.sequence += 2;
    image.arming = ENDS[i].arming;
    image.run.verdict = ENDS[i].verdict;
    reseal(&image);
    a.page->images[0] = a.page->images[1] = image;
    uint32_t from = b.record_count;
    take_over();
    CHECK_INT(arming(&b), ENDS[i].becomes);
    CHECK((rig_report_of(&b, from, IPCNET_REPORT_VERDICT, 0) != NULL) == (ENDS[i].arming != IPCNET_DISARMED)); /* a run of before the reset is nobody's business */
    rig_run(&b, 200000);
    CHECK_INT(arming(&b), ENDS[i].becomes);
    if (ENDS[i].arming != IPCNET_DISARMED) CHECK(b.journal.run.run_id == image.run.run_id && b.journal.run.verdict == image.run.verdict);
    end_pair();
  }
}

static void test_buses_are_trusted_as_before(void)
{
  pair();
  a.page->bus_phases[AUX_BUS] = IPCNET_BUS_PROBING;
  take_over();
  CHECK_INT(rig_state(&b).role, IPCNET_TWIN_OWNER);
  CHECK(rig_lacks(&b, IPCNET_MISSING_BUS, AUX_BUS));
  CHECK(!rig_lacks(&b, IPCNET_MISSING_BUS, ARM_BUS));
  CHECK(arming(&b) != IPCNET_ARMED); /* it lost a bus that it would be armed with */
  CHECK_INT(b.bus_effects[AUX_BUS][IPCNET_EFFECT_PURGE], 1); /* what the dead one left in its queue */
  CHECK_INT(b.bus_effects[ARM_BUS][IPCNET_EFFECT_PURGE], 0);
  CHECK_INT(rig_sent(&b, 0, AUX_BUS, 0x7FF), 0);
  rig_link(&b, AUX_BUS, IPCNET_LINK_PURGED, 0);
  CHECK_INT(rig_sent(&b, 0, AUX_BUS, 0x7FF), 1); /* a probe */
  rig_run(&b, 10000);
  CHECK_INT(rig_order(&b, IPCNET_ORDER_REARM_BUS, AUX_BUS, 0), IPCNET_ANSWER_DONE);
  CHECK(!rig_lacks(&b, IPCNET_MISSING_BUS, AUX_BUS));
  end_pair();
}

/* Frames of its twin lay in the queue when the standby opened the bus: that says nothing when it takes over long after. */
static void test_a_queue_of_long_ago_is_not_stale(void)
{
  pair();
  rig_link(&b, ARM_BUS, IPCNET_LINK_UP, 3);
  rig_run(&b, 50000);
  take_over();
  CHECK(!rig_lacks(&b, IPCNET_MISSING_BUS, ARM_BUS));
  CHECK_INT(b.bus_effects[ARM_BUS][IPCNET_EFFECT_PURGE], 0);
  CHECK_INT(arming(&b), IPCNET_ARMED);
  end_pair();
}

/* ---- From the disk --------------------------------------------------------------------------------------------------------------------------------- */

/* Which brains were obeyed before is known from the moment that the disk was read, and stays known. */
static void test_brains_of_before(void)
{
  pair();
  CHECK_INT(ipcnet_reflex_brain_epoch(a.reflex), 7);
  struct ipcnet_reflex_image image = a.journal;
  end_pair();
  rig_begin(&a, 0);
  CHECK_INT(ipcnet_reflex_brain_epoch(a.reflex), 0);
  ipcnet_reflex_restore(a.reflex, &image, a.now_us);
  CHECK_INT(ipcnet_reflex_brain_epoch(a.reflex), 7);
  rig_load(&a, &table);
  rig_event(&a, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(ipcnet_reflex_brain_epoch(a.reflex), 7);
  CHECK_INT(rig_order(&a, IPCNET_ORDER_BRAIN_BEAT, 6, 0), IPCNET_ANSWER_REFUSED);
  CHECK_INT(rig_order(&a, IPCNET_ORDER_BRAIN_BEAT, 8, 0), IPCNET_ANSWER_DONE);
  CHECK_INT(ipcnet_reflex_brain_epoch(a.reflex), 8);
  rig_end(&a);
}

static void test_unfinished_run_is_finished_first(void)
{
  for (unsigned other_boot = 0; other_boot < 2; other_boot++) {
    pair();
    a.velocity = 100;
    rig_report(&a);
    rig_order(&a, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1);
    rig_run(&a, 30000);
    struct ipcnet_reflex_image image = a.journal;
    end_pair();
    if (other_boot) {
      memset(image.boot_id, 9, sizeof image.boot_id);
      image.run.started_us = 77; /* of another boot: means nothing */
      reseal(&image);
    }
    begin_from_disk(&image);
    CHECK_INT(arming(&b), IPCNET_SAFE_POSE);
    CHECK(rig_state(&b).epoch > image.epoch);
    CHECK_INT(rig_order(&b, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_REFUSED);
    if (other_boot) CHECK_INT(b.journal.run.started_us, b.now_us);
    rig_run(&b, 200000);
    CHECK_INT(arming(&b), IPCNET_POSED);
    CHECK(rig_sent(&b, 0, ARM_BUS, 0x103) > 0);
    rig_end(&b);
  }
}

static void test_armed_on_disk_is_not_armed(void)
{
  pair();
  struct ipcnet_reflex_image image = a.journal;
  end_pair();
  CHECK_INT(image.arming, IPCNET_ARMED);
  begin_from_disk(&image);
  CHECK_INT(rig_state(&b).trigger, TAKEOVER_TRIGGER);
  rig_run(&b, 200000);
  CHECK(arming(&b) != IPCNET_ARMED);
  rig_end(&b);
}

static void test_a_broken_image_on_disk(void)
{
  pair();
  struct ipcnet_reflex_image image = a.journal;
  end_pair();
  image.brain_epoch++;
  begin_from_disk(&image);
  CHECK_INT(arming(&b), IPCNET_DISARMED);
  CHECK_INT(rig_state(&b).trigger, IPCNET_REFLEX_NONE);
  rig_end(&b);
}

static void test_the_newer_of_page_and_disk(void)
{
  pair();
  rig_order(&a, IPCNET_ORDER_DISARM, 0, 0);
  struct ipcnet_reflex_image image = a.journal;
  image.arming = IPCNET_FAULT;
  image.epoch = 3;
  image.sequence = 1;
  reseal(&image);
  ipcnet_reflex_restore(b.reflex, &image, b.now_us);
  take_over();
  CHECK_INT(arming(&b), IPCNET_FAULT); /* a newer epoch, though a lower sequence */
  CHECK_INT(rig_state(&b).epoch, 4);
  end_pair();
  pair();
  rig_order(&a, IPCNET_ORDER_DISARM, 0, 0);
  image = a.journal;
  image.arming = IPCNET_FAULT;
  image.sequence--;
  reseal(&image);
  ipcnet_reflex_restore(b.reflex, &image, b.now_us);
  take_over();
  CHECK_INT(arming(&b), IPCNET_DISARMED);
  CHECK(b.journal.sequence > a.journal.sequence);
  end_pair();
}

static void test_run_waits_for_a_table(void)
{
  pair();
  a.velocity = 100;
  rig_report(&a);
  rig_order(&a, IPCNET_ORDER_TRIGGER, IPCNET_REFLEX_ON_REQUEST, 1);
  struct ipcnet_reflex_image image = a.journal;
  end_pair();
  rig_begin(&b, 0);
  ipcnet_reflex_restore(b.reflex, &image, b.now_us);
  rig_event(&b, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(rig_state(&b).role, IPCNET_TWIN_OWNER);
  CHECK(rig_lacks(&b, IPCNET_MISSING_PLAN_RUNS, IPCNET_REFLEX_NONE));
  rig_arm_table(&table);
  CHECK(rig_load(&b, &table));
  CHECK_INT(arming(&b), IPCNET_SAFE_POSE);
  rig_links_up(&b);
  rig_run(&b, 1000);
  CHECK(rig_sent(&b, 0, ARM_BUS, 0x101) > 0);
  rig_end(&b);
}

/* ---- Planned ------------------------------------------------------------------------------------------------------------------------------------- */

static void test_planned_hand_over(void)
{
  pair();
  a.answers_twin = false;
  struct ipcnet_reflex_command command = make(SHOULDER), next = make(SHOULDER);
  next.data[4] = 9;
  give_both(&command);
  give_both(&next); /* waits at the owner */
  uint32_t from = a.sent_count;
  rig_event(&a, IPCNET_TWIN_YIELD_ASKED);
  CHECK_INT(rig_state(&a).role, IPCNET_TWIN_YIELDING);
  CHECK_INT(a.sent_count, from + 1);
  const struct ipcnet_can_frame *farewell = rig_last_sent(&a, ARM_BUS, 0x010);
  CHECK(farewell->data[3] == (1 << 4 | IPCNET_HANDOVER) && farewell->data[7] == 1);
  CHECK(a.twin_effects & IPCNET_TWIN_DO_RELEASE);
  CHECK(rig_report_of(&a, 0, IPCNET_REPORT_REFUSED, next.token) == NULL);
  rig_event(&b, IPCNET_TWIN_YIELDED_TO_US);
  CHECK_INT(rig_state(&b).role, IPCNET_TWIN_OWNER);
  CHECK_INT(arming(&b), IPCNET_ARMED);
  CHECK_INT(rig_last_sent(&b, ARM_BUS, 0x101)->data[4], 9); /* nothing is lost */
  rig_run(&a, 20000);
  CHECK_INT(a.sent_count, from + 1);
  a.other = b.page;
  rig_event(&a, IPCNET_TWIN_YIELD_DONE);
  CHECK_INT(rig_state(&a).role, IPCNET_TWIN_STANDBY);
  /* And back. */
  a.answers_twin = true;
  b.answers_twin = false;
  rig_event(&b, IPCNET_TWIN_YIELD_ASKED);
  rig_event(&a, IPCNET_TWIN_YIELDED_TO_US);
  CHECK_INT(rig_state(&a).role, IPCNET_TWIN_OWNER);
  CHECK_INT(rig_state(&a).epoch, 3);
  CHECK_INT(arming(&a), IPCNET_ARMED);
  end_pair();
}

static void test_hand_over_that_fails(void)
{
  pair();
  struct ipcnet_reflex_command command = make(SHOULDER), next = make(SHOULDER);
  give_both(&command);
  give_both(&next);
  uint32_t from = a.sent_count;
  rig_event(&a, IPCNET_TWIN_YIELD_ASKED);
  rig_event(&a, IPCNET_TWIN_YIELD_EXPIRED);
  CHECK_INT(rig_state(&a).role, IPCNET_TWIN_OWNER);
  CHECK_INT(rig_state(&a).epoch, 2);
  CHECK_INT(arming(&a), IPCNET_ARMED);
  rig_run(&a, 10000);
  CHECK_INT(rig_sent(&a, from, ARM_BUS, 0x101), 1); /* what waited, once */
  end_pair();
}

/* As b finds it: the owner's farewell is on the bus, the lock is free; `says` is what its page says by the time that b looks. */
static void hand_over(uint32_t says)
{
  a.answers_twin = false;
  rig_event(&a, IPCNET_TWIN_YIELD_ASKED);
  a.page->goodbye = IPCNET_GOODBYE_HANDS_OVER;
  a.page->role = says;
  rig_event(&b, IPCNET_TWIN_YIELDED_TO_US);
  CHECK_INT(rig_state(&b).role, IPCNET_TWIN_OWNER);
}

/* Whoever hands over is followed like one that died: what lay in its queue when the standby opened the bus is of long ago, and to purge it would disarm. */
static void test_a_hand_over_under_traffic(void)
{
  static const uint32_t SAYS[] = {IPCNET_TWIN_YIELDING, IPCNET_TWIN_STANDBY /* it waited for us for too long, and found the lock taken */};
  for (unsigned i = 0; i < sizeof SAYS / sizeof SAYS[0]; i++) {
    pair();
    rig_link(&b, ARM_BUS, IPCNET_LINK_UP, 3);
    rig_run(&b, 50000);
    hand_over(SAYS[i]);
    CHECK_INT(b.bus_effects[ARM_BUS][IPCNET_EFFECT_PURGE], 0);
    CHECK_INT(arming(&b), IPCNET_ARMED);
    struct ipcnet_reflex_command command = rig_make(&b, SHOULDER);
    CHECK_INT(rig_refusal(&b, &command), 0);
    end_pair();
  }
}

static void test_a_hand_over_of_a_bus_that_is_not_trusted(void)
{
  pair();
  a.page->bus_phases[AUX_BUS] = IPCNET_BUS_PROBING;
  hand_over(IPCNET_TWIN_YIELDING);
  CHECK(rig_lacks(&b, IPCNET_MISSING_BUS, AUX_BUS));
  CHECK_INT(b.bus_effects[AUX_BUS][IPCNET_EFFECT_PURGE], 1);
  end_pair();
}

/* Nobody took it: it goes on with its buses as they were. */
static void test_a_hand_over_that_nobody_took_under_traffic(void)
{
  for (unsigned trusted = 0; trusted < 2; trusted++) {
    pair();
    a.reflex->buses[ARM_BUS].stale_frames = 3;
    if (!trusted) a.page->bus_phases[ARM_BUS] = IPCNET_BUS_PROBING;
    a.other = b.page;
    rig_event(&a, IPCNET_TWIN_YIELD_ASKED);
    rig_event(&a, IPCNET_TWIN_YIELD_EXPIRED);
    CHECK_INT(rig_state(&a).role, IPCNET_TWIN_OWNER);
    CHECK_INT(a.bus_effects[ARM_BUS][IPCNET_EFFECT_PURGE], trusted ? 0 : 1);
    CHECK((arming(&a) == IPCNET_ARMED) == trusted);
    end_pair();
  }
}

/* The page of a twin that owned before we did says nothing about the bus as it is now. */
static void test_a_page_of_long_ago(void)
{
  pair();
  take_over();
  a.page->bus_phases[AUX_BUS] = IPCNET_BUS_PROBING;
  rig_event(&b, IPCNET_TWIN_HIGHER_EPOCH);
  CHECK_INT(rig_state(&b).role, IPCNET_TWIN_OUTVOTED);
  b.reflex->buses[ARM_BUS].stale_frames = 3;
  uint32_t before = b.bus_effects[AUX_BUS][IPCNET_EFFECT_PURGE], before_on_arm = b.bus_effects[ARM_BUS][IPCNET_EFFECT_PURGE];
  rig_event(&b, IPCNET_TWIN_OTHER_HOST_SILENT);
  CHECK_INT(rig_state(&b).role, IPCNET_TWIN_OWNER);
  CHECK_INT(b.bus_effects[AUX_BUS][IPCNET_EFFECT_PURGE], before);
  CHECK_INT(b.bus_effects[ARM_BUS][IPCNET_EFFECT_PURGE], before_on_arm + 1); /* of a life before */
  end_pair();
}

static void test_leaving_for_good_disarms(void)
{
  static const enum ipcnet_twin_event EVENTS[] = {IPCNET_TWIN_STOP_ASKED, IPCNET_TWIN_HIGHER_EPOCH, IPCNET_TWIN_SELF_FENCED, IPCNET_TWIN_LOCK_HELD};
  for (unsigned i = 0; i < 4; i++) {
    pair();
    a.answers_twin = false;
    struct ipcnet_reflex_command command = make(SHOULDER), next = make(SHOULDER);
    give_both(&command);
    give_both(&next);
    uint32_t from = a.sent_count;
    rig_event(&a, EVENTS[i]);
    CHECK_INT(a.sent_count - from, i == 0); /* RELEASE, when it stops in order; else silence */
    CHECK_INT(a.journal.arming, IPCNET_DISARMED);
    const struct ipcnet_can_frame *report = rig_report_of(&a, 0, IPCNET_REPORT_REFUSED, next.token);
    CHECK(report != NULL && report->data[0] == IPCNET_REFUSED_DROPPED);
    CHECK(rig_report_of(&a, 0, IPCNET_REPORT_SETTLED, command.token) != NULL);
    from = a.sent_count;
    rig_run(&a, 300000);
    CHECK_INT(a.sent_count, from);
    end_pair();
  }
}

static void test_store_failed(void)
{
  rig_arm_table(&table);
  rig_begin(&a, 0);
  a.answers_twin = false;
  rig_load(&a, &table);
  rig_links_up(&a);
  rig_event(&a, IPCNET_TWIN_LOCK_GRANTED);
  CHECK_INT(rig_state(&a).role, IPCNET_TWIN_CLAIMING);
  rig_run(&a, 50000);
  CHECK_INT(a.sent_count, 0); /* not before the epoch is kept */
  rig_event(&a, IPCNET_TWIN_STORE_FAILED);
  CHECK_INT(rig_state(&a).role, IPCNET_TWIN_STOPPED);
  CHECK_INT(rig_state(&a).malfunction, IPCNET_MALFUNCTION_STORE);
  rig_run(&a, 50000);
  CHECK_INT(a.sent_count, 0);
  rig_end(&a);
}

static void test_counters_are_learned_from_the_bus(void)
{
  pair();
  for (unsigned i = 0; i < 3; i++) {
    struct ipcnet_reflex_command command = make(SHOULDER);
    rig_give(&a, &command);
    struct ipcnet_can_frame frame = *rig_last_sent(&a, ARM_BUS, 0x101);
    rig_run(&a, 10000);
    rig_hear(&b, &frame);
    frame.data[7] ^= 1;
    frame.data[2] = 99;
    rig_hear(&b, &frame); /* a broken one teaches nothing */
  }
  b.other = NULL; /* its page was never seen */
  take_over();
  CHECK_INT(ipcnet_reflex_counters(b.reflex)->foreign_frames, 0);
  CHECK_INT(rig_order(&b, IPCNET_ORDER_RESET, 0, 0), IPCNET_ANSWER_DONE);
  b.follows = true;
  rig_run(&b, 60000);
  CHECK_INT(rig_order(&b, IPCNET_ORDER_ARM, 0, 0), IPCNET_ANSWER_DONE);
  struct ipcnet_reflex_command command = make(SHOULDER);
  command.deadline_us = b.now_us + 10000;
  CHECK_INT(rig_refusal(&b, &command), 0);
  CHECK_INT(rig_last_sent(&b, ARM_BUS, 0x101)->data[2], 4);
  end_pair();
}

int main(void)
{
  test_takeover_resumes_armed();
  test_a_node_lost_before_is_lost_now();
  test_a_stopped_node_is_lost_now();
  test_a_node_not_heard_yet_gets_its_time();
  test_a_brain_is_excused_and_proves_nothing();
  test_the_excuse_ends_with_an_order();
  test_set_points_go_on_to_expire();
  test_shadow_is_sent_after_the_claim();
  test_shadow_of_what_was_sent_is_not_sent_again();
  test_shadow_expires();
  test_shadow_of_what_was_refused();
  test_shadows_are_judged_too();
  test_who_answers();
  test_takeover_without_resuming();
  test_takeover_of_the_disarmed();
  test_another_table();
  test_a_predecessor_with_a_malfunction();
  test_run_goes_on();
  test_latch_is_inherited();
  test_a_condition_that_nobody_answered_fires();
  test_fault_is_inherited();
  test_a_page_that_lies();
  test_the_last_image_was_cut();
  test_a_run_that_makes_no_sense();
  test_an_end_that_nobody_was_told_of();
  test_buses_are_trusted_as_before();
  test_a_queue_of_long_ago_is_not_stale();
  test_brains_of_before();
  test_unfinished_run_is_finished_first();
  test_armed_on_disk_is_not_armed();
  test_a_broken_image_on_disk();
  test_the_newer_of_page_and_disk();
  test_run_waits_for_a_table();
  test_planned_hand_over();
  test_hand_over_that_fails();
  test_a_hand_over_under_traffic();
  test_a_hand_over_of_a_bus_that_is_not_trusted();
  test_a_hand_over_that_nobody_took_under_traffic();
  test_a_page_of_long_ago();
  test_leaving_for_good_disarms();
  test_store_failed();
  test_counters_are_learned_from_the_bus();
  return checks_report("reflex_takeover");
}
