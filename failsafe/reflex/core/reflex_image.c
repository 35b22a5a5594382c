#include <string.h>

#include "../../../schemas/crc/c/ipcnet_crc_fast.h"
#include "reflex_internal.h"

/* ---- Keeping ---------------------------------------------------------------------------------------------------------------------------- */

static uint32_t image_crc(const struct ipcnet_reflex_image *image) {
  return ipcnet_crc32_iscsi_fast(0, (const uint8_t *)image + sizeof image->crc32c, sizeof *image - sizeof image->crc32c);
}

void ipcnet_reflex_keep(struct ipcnet_reflex *self) {
  /* Only the owner knows; and not before it has looked at what the one before it left. */
  if (!ipcnet_twin_may_send(self->role) || self->adopt_wanted) return;
  struct ipcnet_reflex_image *image = &self->image;
  image->arming = self->arming;
  image->epoch = self->epoch;
  image->sequence = ++self->image_sequence;
  memcpy(image->boot_id, self->options.boot_id, sizeof image->boot_id);
  image->trigger_latched = self->trigger_latched;
  image->malfunction = self->malfunction;
  image->latched_trigger = self->latched_trigger;
  image->brain_epoch = self->brain_epoch;
  memcpy(&image->run, &self->plan.run, sizeof image->run);
  image->crc32c = image_crc(image);
  /* The older of the two is overwritten: whoever dies here leaves the other whole. */
  memcpy(&self->page->images[image->sequence & 1u], image, sizeof *image);
  atomic_thread_fence(memory_order_release); // SYNC: pairs with the successor's reading after our death
  self->os.journal(self->os.context, image);
}

/* ---- Reading what another left ------------------------------------------------------------------------------------------------------------ */

bool ipcnet_reflex_image_valid(const struct ipcnet_reflex_image *image) {
  return image->crc32c == image_crc(image) && image->sequence != 0 && image->epoch != 0 && image->arming <= IPCNET_FAULT && image->trigger_latched <= 1;
}

bool ipcnet_reflex_page_valid(const struct ipcnet_reflex *self, const struct ipcnet_reflex_page *page) {
  return page != NULL && page->magic == IPCNET_REFLEX_PAGE_MAGIC && page->major == IPCNET_REFLEX_TABLE_MAJOR && memcmp(page->boot_id, self->options.boot_id, sizeof page->boot_id) == 0;
}

/* Died as owner, or hands over (then it may stand by already); and not long ago, before we owned ourselves. */
static bool left_the_buses(const struct ipcnet_reflex *self, const struct ipcnet_reflex_page *page) {
  if (!ipcnet_reflex_page_valid(self, page)) return false;
  bool left = page->role == IPCNET_TWIN_OWNER || page->role == IPCNET_TWIN_YIELDING || page->goodbye == IPCNET_GOODBYE_HANDS_OVER;
  return left && ipcnet_epoch_newer((uint16_t)page->epoch, self->epoch);
}

void ipcnet_reflex_look_back(struct ipcnet_reflex *self) {
  const struct ipcnet_reflex_page *left = NULL;
  self->heir_of = IPCNET_HEIR_OF_NOBODY;
  if (left_the_buses(self, self->other)) {
    self->heir_of = IPCNET_HEIR_OF_TWIN;
    left = self->other;
  } else if (self->role == IPCNET_TWIN_YIELDING) {
    self->heir_of = IPCNET_HEIR_OF_ITSELF;
    left = self->page;
  }
  if (left != NULL) memcpy(self->left_phases, left->bus_phases, sizeof self->left_phases);
}

bool ipcnet_reflex_was_trusted(const struct ipcnet_reflex *self, uint32_t bus) {
  if (self->heir_of == IPCNET_HEIR_OF_NOBODY) return true;
  uint8_t phase = self->left_phases[bus];
  return phase == IPCNET_BUS_UP || phase == IPCNET_BUS_DEGRADED || phase == IPCNET_BUS_SUSPECT;
}

static bool newer(const struct ipcnet_reflex_image *a, const struct ipcnet_reflex_image *b) {
  if (a->epoch != b->epoch) return ipcnet_epoch_newer(a->epoch, b->epoch);
  return a->sequence > b->sequence;
}

/* What was left, and by whom. */
struct legacy {
  bool any;
  bool live;                             /* its owner stopped just now: we are its heir */
  const struct ipcnet_reflex_page *page; /* from memory of this boot; NULL: it is from a disk */
  struct ipcnet_reflex_image image;      /* all zeros while there is none: then any is newer */
};

static void consider(struct legacy *legacy, const struct ipcnet_reflex_image *image, bool live, const struct ipcnet_reflex_page *page) {
  struct ipcnet_reflex_image copy; /* once: who wrote it may still write */
  memcpy(&copy, image, sizeof copy);
  if (!ipcnet_reflex_image_valid(&copy) || !newer(&copy, &legacy->image)) return;
  memcpy(&legacy->image, &copy, sizeof copy);
  legacy->any = true;
  legacy->live = live;
  legacy->page = page;
}

static void look_for_legacy(const struct ipcnet_reflex *self, struct legacy *legacy) {
  /* Memory before disk: what a living owner kept is on both, and on the disk it is nobody's who goes on. */
  bool live = self->heir_of != IPCNET_HEIR_OF_NOBODY;
  consider(legacy, &self->image, live, self->page);
  if (ipcnet_reflex_page_valid(self, self->other)) {
    consider(legacy, &self->other->images[0], live, self->other);
    consider(legacy, &self->other->images[1], live, self->other);
  }
  if (self->has_restored) consider(legacy, &self->restored, false, NULL);
}

/* ---- Taking over ------------------------------------------------------------------------------------------------------------------------ */

static void adopt_message(struct ipcnet_reflex *self, uint32_t row, const struct ipcnet_reflex_page_message *left) {
  struct message_state *message = &self->messages[row];
  struct ipcnet_reflex_page_message *shown = &self->page->messages[row];
  uint32_t counter_max = ipcnet_reflex_e2e_counter_max(&self->table.messages[row].e2e);
  uint64_t latest_us = self->now_us + self->table.messages[row].ttl_us_max;
  if (left->sent != 0 && left->e2e_counter <= counter_max) {
    message->sent = left->sent;
    message->e2e_counter = left->e2e_counter;
  }
  message->set_point_us = left->deadline_us < latest_us ? left->deadline_us : latest_us;
  bool done = left->brain_epoch > message->brain_epoch || (left->brain_epoch == message->brain_epoch && left->sequence >= message->sequence);
  if (done) message->waiting = false;
  *shown = (struct ipcnet_reflex_page_message){.deadline_us = message->set_point_us, .sequence = left->sequence, .brain_epoch = left->brain_epoch, .e2e_counter = message->e2e_counter, .sent = message->sent};
}

static void adopt_messages(struct ipcnet_reflex *self, const struct ipcnet_reflex_page *page) {
  if (page == NULL || memcmp(page->table_hash, self->table.header->hash, sizeof page->table_hash) != 0) return;
  for (uint32_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_MESSAGES); row++) {
    struct ipcnet_reflex_page_message left = page->messages[row];
    adopt_message(self, row, &left);
  }
}

/* It had its pose, or tried. */
static bool is_posed(const struct ipcnet_reflex_image *image) {
  return image->arming == IPCNET_SAFE_POSE || image->arming == IPCNET_POSED || image->arming == IPCNET_FAULT;
}

static void adopt_latch(struct ipcnet_reflex *self, const struct ipcnet_reflex_image *image, bool same_table) {
  self->trigger_latched = image->trigger_latched;
  bool known = same_table && image->latched_trigger < ipcnet_reflex_rows(self, IPCNET_REFLEX_TRIGGERS);
  self->latched_trigger = image->trigger_latched && known ? image->latched_trigger : IPCNET_REFLEX_NONE;
  /* Whoever latched has had its pose: it fires again when its condition comes again. */
  if (self->latched_trigger != IPCNET_REFLEX_NONE && is_posed(image)) self->condition_fired[self->latched_trigger] = true;
}

static bool unfinished(const struct ipcnet_reflex_run *run) {
  return run->plan != IPCNET_REFLEX_NONE && run->run_id != 0 && run->verdict == IPCNET_VERDICT_NONE;
}

static void adopt_run(struct ipcnet_reflex *self, struct ipcnet_reflex_run *run, bool same_boot) {
  if (!same_boot) {
    /* Times of another boot say nothing: what it had used up of its budget is unknown, it gets all of it. */
    run->started_us = self->now_us;
    for (uint32_t place = 0; place < IPCNET_REFLEX_STEPS_MAX; place++) run->steps[place].since_us = self->now_us;
  }
  self->arming = IPCNET_SAFE_POSE;
  self->counters.plans_resumed++;
  ipcnet_reflex_plan_resume(&self->plan, run, self->now_us);
}

/* Its run had ended, and the end stands. Perhaps it died before anybody was told: so it is told by us, once more; a brain knows it by the run's number. */
static void adopt_end(struct ipcnet_reflex *self, const struct ipcnet_reflex_image *image) {
  enum ipcnet_reflex_arming end = image->run.verdict == IPCNET_VERDICT_POSED ? IPCNET_POSED : IPCNET_FAULT;
  self->arming = image->arming == IPCNET_SAFE_POSE ? (uint8_t)end : (uint8_t)image->arming;
  if (!ipcnet_reflex_run_valid(&image->run, &self->table)) return; /* steps of another table are nothing that could be told */
  ipcnet_reflex_plan_resume(&self->plan, &image->run, self->now_us);
  self->plan_os.journal(self, &self->plan.run);
  ipcnet_reflex_tell_verdict(self);
}

/* Of a run that is not unfinished. */
static bool has_ended(const struct ipcnet_reflex_image *image) {
  return is_posed(image) && image->run.run_id != 0;
}

/* Whoever was armed before us is gone: what it may have left in motion is brought to rest. */
static void fire_takeover(struct ipcnet_reflex *self) {
  uint16_t trigger = ipcnet_reflex_find_trigger(self, IPCNET_REFLEX_ON_TAKEOVER, IPCNET_REFLEX_NONE);
  if (trigger != IPCNET_REFLEX_NONE) ipcnet_reflex_fire_row(self, trigger, true);
}

/* The one before was armed and finished nothing. Only whose heir we are, with the same table, is gone on with: not what a disk says. */
static void adopt_armed(struct ipcnet_reflex *self, const struct legacy *legacy, bool same_table) {
  if (self->latched_trigger != IPCNET_REFLEX_NONE) {
    /* It died between latching the trigger and beginning with its plan. */
    ipcnet_reflex_fire_row(self, self->latched_trigger, true);
    return;
  }
  bool goes_on = (self->table.header->flags & IPCNET_REFLEX_RESUME_ARMED) && legacy->live && same_table && !self->trigger_latched && legacy->image.malfunction == IPCNET_MALFUNCTION_NONE;
  if (goes_on) {
    self->arming = IPCNET_ARMED;
    self->brain_excused_us = self->now_us;
    /* A bus that is not open to us cannot be lost any more: nobody else would say so. */
    for (uint32_t bus = 0; bus < ipcnet_reflex_rows(self, IPCNET_REFLEX_BUSES); bus++) {
      if (self->buses[bus].sends && !ipcnet_reflex_bus_open(self, bus)) ipcnet_reflex_fire(self, IPCNET_REFLEX_ON_BUS_DEAD, (uint16_t)bus, true);
    }
    ipcnet_reflex_watch_adopt(self);
    return;
  }
  fire_takeover(self);
}

/* Another host's owner was armed and is gone, or hands over: nobody left us anything but what was seen on the bus. With all the evidence that arming needs it goes on, else to the pose. */
static void adopt_from_other_host(struct ipcnet_reflex *self) {
  if (self->arming == IPCNET_SAFE_POSE) return;
  bool goes_on = self->arming == IPCNET_DISARMED && !self->claim_partial && ipcnet_reflex_may_go_on(self) && ipcnet_reflex_missing(self, self->now_us, NULL, 0) == 0;
  self->counters.takeovers++;
  if (!goes_on) {
    fire_takeover(self);
    return;
  }
  self->arming = IPCNET_ARMED;
  for (uint32_t row = 0; row < ipcnet_reflex_rows(self, IPCNET_REFLEX_MESSAGES); row++) {
    /* What moved by its commands expires if ours do not come: at the latest then. */
    uint64_t ends_us = self->messages[row].others_us + self->table.messages[row].ttl_us_max;
    self->messages[row].set_point_us = self->messages[row].others_us != 0 && ends_us > self->now_us ? ends_us : 0;
    self->page->messages[row].deadline_us = self->messages[row].set_point_us;
  }
}

static void adopt_legacy(struct ipcnet_reflex *self, struct legacy *legacy) {
  struct ipcnet_reflex_image *image = &legacy->image;
  bool same_table = legacy->page != NULL && memcmp(legacy->page->table_hash, self->table.header->hash, sizeof legacy->page->table_hash) == 0;
  bool same_boot = memcmp(image->boot_id, self->options.boot_id, sizeof image->boot_id) == 0;
  if (legacy->page != NULL && legacy->page == self->other) self->counters.takeovers++;
  if (image->sequence > self->image_sequence) self->image_sequence = image->sequence;
  if (image->brain_epoch > self->brain_epoch) self->brain_epoch = image->brain_epoch;
  adopt_messages(self, legacy->page);
  adopt_latch(self, image, same_table);
  if (unfinished(&image->run)) adopt_run(self, &image->run, same_boot);
  else if (image->arming == IPCNET_ARMED) adopt_armed(self, legacy, same_table);
  else if (has_ended(image)) adopt_end(self, image);
  else self->arming = (uint8_t)(image->arming == IPCNET_SAFE_POSE ? IPCNET_FAULT : image->arming); /* a pose without a run cannot be */
}

/* Who comes to own is disarmed until here: leaving the role before has seen to that. */
void ipcnet_reflex_adopt(struct ipcnet_reflex *self) {
  struct legacy legacy = {.any = false};
  look_for_legacy(self, &legacy);
  self->adopt_wanted = false;
  self->has_restored = false;
  self->arming_since_us = self->now_us;
  if (legacy.any) adopt_legacy(self, &legacy);
  if (ipcnet_reflex_other_host_armed(self, legacy.image.epoch)) adopt_from_other_host(self);
  if (self->arming != IPCNET_ARMED) ipcnet_reflex_gate_drop(self, IPCNET_REFLEX_BUSES_MAX, true);
  ipcnet_reflex_keep(self);
  ipcnet_reflex_tell_state(self);
  /* It lost the bus on its way to the pose that should have been its last. */
  if (self->malfunction == IPCNET_MALFUNCTION_NONE) return;
  if (self->arming == IPCNET_SAFE_POSE) self->stop_after_run = true;
  else ipcnet_reflex_raise(self, IPCNET_TWIN_STOP_ASKED);
}

void ipcnet_reflex_restore(struct ipcnet_reflex *self, const struct ipcnet_reflex_image *image, uint64_t now_us) {
  ipcnet_reflex_pass_time(self, now_us);
  memcpy(&self->restored, image, sizeof self->restored);
  self->has_restored = ipcnet_reflex_image_valid(&self->restored);
}
