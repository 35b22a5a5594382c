#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "process.h"

static void unwatch(struct ipcnet_process *self) {
  if (self->power_watched >= 0) ipcnet_process_unwatch(self, self->power_watched);
  self->power_watched = -1;
}

void ipcnet_power_use(struct ipcnet_process *self) {
  struct ipcnet_powerfail_want want;
  ipcnet_powerfail_of(&want, ipcnet_reflex_loaded_table(self->core));
  unwatch(self); /* the turn's tick watches it again if it is still the same */
  ipcnet_powerfail_use(&self->power, &want);
}

bool ipcnet_power_fails(const struct ipcnet_process *self) {
  return ipcnet_powerfail_says(&self->power) > 0;
}

/* In words, once for each reason. */
static void tell(struct ipcnet_process *self) {
  const struct ipcnet_powerfail *power = &self->power;
  if (power->want.chip[0] == '\0' || power->error == self->power_told) return;
  /* That the twin has it already is no trouble: it gives it to us. */
  if (power->error == EBUSY && self->link.alive) return;
  self->power_told = power->error;
  if (power->error != 0) ipcnet_log_write(&self->log, "the power-fail line of %s is not watched (%s): %s", power->want.chip, strerror(power->error), ipcnet_powerfail_remedy(power->error));
  else if (power->fd >= 0) ipcnet_log_write(&self->log, "the power-fail line of %s is watched", power->want.chip);
}

/* Only who owns the bus takes events out of the queue, which both share. */
static void follow(struct ipcnet_process *self) {
  bool owns = ipcnet_process_role(self) == IPCNET_TWIN_OWNER;
  ipcnet_powerfail_follow(&self->power, owns, self->now_us);
  if (!owns || self->power.gone) unwatch(self);
  else if (self->power.fd >= 0 && self->power_watched < 0 && ipcnet_process_watch(self, self->power.fd, IPCNET_SOURCE_POWER, 0) == 0) self->power_watched = self->power.fd;
}

/* Once, when it shows the table that we have: before that it would not know what to do with it. */
static void give(struct ipcnet_process *self) {
  const struct ipcnet_reflex_table *table = ipcnet_reflex_loaded_table(self->core);
  bool wants = self->power.fd >= 0 && !self->power.gone && table != NULL && self->link.alive && memcmp(self->link.page->table_hash, table->header->hash, sizeof table->header->hash) == 0;
  if (!wants) self->power_given = 0;
  else if (self->power_given != self->link.page->pid && ipcnet_control_give_power_line(self)) self->power_given = self->link.page->pid;
}

void ipcnet_power_tick(struct ipcnet_process *self) {
  bool failed = ipcnet_power_fails(self);
  if (self->power.gone) unwatch(self);
  if (ipcnet_powerfail_tick(&self->power, self->now_us)) self->power_given = 0;
  follow(self);
  give(self);
  if (self->power_watched >= 0) ipcnet_powerfail_read(&self->power);
  tell(self);
  bool fails = ipcnet_power_fails(self);
  if (fails && !failed) ipcnet_log_write(&self->log, "power fails");
  if (!fails && failed) ipcnet_log_write(&self->log, "power is back");
  if (!fails && self->image_waits) {
    self->image_waits = false;
    ipcnet_store_keep_image(&self->store, &self->unwritten);
  }
}

void ipcnet_power_hurry(struct ipcnet_process *self) {
  if (self->power.gone) unwatch(self);
  ipcnet_powerfail_hurry(&self->power);
  (void)ipcnet_powerfail_tick(&self->power, self->now_us);
}

void ipcnet_power_given(struct ipcnet_process *self) {
  if (!ipcnet_powerfail_take(&self->power, &self->link.given, self->link.given_fd)) close(self->link.given_fd);
  self->link.given_fd = -1;
}

void ipcnet_power_keep_image(struct ipcnet_process *self, const struct ipcnet_reflex_image *image) {
  if (ipcnet_power_fails(self)) {
    self->unwritten = *image;
    self->image_waits = true;
    return;
  }
  self->image_waits = false;
  ipcnet_store_keep_image(&self->store, image);
}
