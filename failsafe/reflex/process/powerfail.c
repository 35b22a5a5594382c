#include "powerfail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/gpio.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define RETRY_US 100000u
#define UNREAD_US 1000000u
#define EVENTS_AT_ONCE 16u
#define BATCHES_AT_ONCE 8u /* a line that never comes to rest must not hold the loop */

void ipcnet_powerfail_init(struct ipcnet_powerfail *self, const struct ipcnet_gpio *gpio) {
  memset(self, 0, sizeof *self);
  self->gpio = gpio;
  self->fd = -1;
}

void ipcnet_powerfail_of(struct ipcnet_powerfail_want *to, const struct ipcnet_reflex_table *table) {
  memset(to, 0, sizeof *to);
  for (uint32_t row = 0; table != NULL && row < table->header->sections[IPCNET_REFLEX_TRIGGERS].count; row++) {
    const struct ipcnet_reflex_trigger *trigger = &table->triggers[row];
    if (!(trigger->flags & IPCNET_REFLEX_TRIGGER_PIN)) continue;
    /* (Texts of a table that was opened fit.) */
    snprintf(to->chip, sizeof to->chip, "%s", ipcnet_reflex_table_text(table, trigger->chip));
    if (trigger->flags & IPCNET_REFLEX_TRIGGER_NAMED) snprintf(to->name, sizeof to->name, "%s", ipcnet_reflex_table_text(table, trigger->line));
    else to->line = trigger->line;
    to->debounce_us = trigger->debounce_us;
    to->active_low = (trigger->flags & IPCNET_REFLEX_TRIGGER_ACTIVE_LOW) != 0;
  }
}

static void let_go(struct ipcnet_powerfail *self, int error) {
  if (self->fd >= 0) close(self->fd);
  self->fd = -1;
  self->error = error;
  self->gone = self->active = self->pulsed = false;
}

/* Not closed yet: whoever waits for it (epoll) has to be told first, since the twin's duplicate keeps what is behind it open. */
static void lose(struct ipcnet_powerfail *self, int error) {
  self->gone = true;
  self->error = error;
  self->active = self->pulsed = false;
}

void ipcnet_powerfail_use(struct ipcnet_powerfail *self, const struct ipcnet_powerfail_want *want) {
  if (memcmp(&self->want, want, sizeof *want) == 0) return;
  let_go(self, 0);
  self->want = *want;
  self->retry_us = 0;
}

/* ---- Requesting ------------------------------------------------------------------------------------------------------------------------------ */

static int ask(const struct ipcnet_powerfail *self, int fd, unsigned long request, void *argument) {
  return self->gpio->ioctl(self->gpio->context, fd, request, argument);
}

/* The number of the line of that name: 0, or an errno. */
static int find_line(const struct ipcnet_powerfail *self, int chip, uint32_t *line) {
  struct gpiochip_info info;
  memset(&info, 0, sizeof info);
  int error = ask(self, chip, GPIO_GET_CHIPINFO_IOCTL, &info);
  for (uint32_t at = 0; error == 0 && at < info.lines; at++) {
    struct gpio_v2_line_info found;
    memset(&found, 0, sizeof found);
    found.offset = at;
    error = ask(self, chip, GPIO_V2_GET_LINEINFO_IOCTL, &found);
    if (error == 0 && strncmp(found.name, self->want.name, sizeof found.name) == 0) {
      *line = at;
      return 0;
    }
  }
  return error != 0 ? error : ENXIO;
}

/* Both edges: the kernel turns them round for a line that is active low, so that rising is always "begins". */
static int request(const struct ipcnet_powerfail *self, int chip, int *fd) {
  struct gpio_v2_line_request asked;
  memset(&asked, 0, sizeof asked);
  asked.offsets[0] = self->want.line;
  if (self->want.name[0] != '\0') {
    int error = find_line(self, chip, &asked.offsets[0]);
    if (error != 0) return error;
  }
  asked.num_lines = 1;
  snprintf(asked.consumer, sizeof asked.consumer, "ipcnet power fail");
  asked.config.flags = GPIO_V2_LINE_FLAG_INPUT | GPIO_V2_LINE_FLAG_EDGE_RISING | GPIO_V2_LINE_FLAG_EDGE_FALLING;
  if (self->want.active_low) asked.config.flags |= GPIO_V2_LINE_FLAG_ACTIVE_LOW;
  if (self->want.debounce_us != 0) {
    asked.config.num_attrs = 1;
    asked.config.attrs[0].mask = 1;
    asked.config.attrs[0].attr.id = GPIO_V2_LINE_ATTR_ID_DEBOUNCE;
    asked.config.attrs[0].attr.debounce_period_us = self->want.debounce_us;
  }
  int error = ask(self, chip, GPIO_V2_GET_LINE_IOCTL, &asked);
  if (error != 0) return error;
  if (asked.fd < 0) return EBADF;
  *fd = asked.fd;
  return 0;
}

/* 0: `active` is the level. */
static int level(const struct ipcnet_powerfail *self, int fd, bool *active) {
  struct gpio_v2_line_values values = {.mask = 1};
  int error = ask(self, fd, GPIO_V2_LINE_GET_VALUES_IOCTL, &values);
  if (error == 0) *active = (values.bits & 1u) != 0;
  return error;
}

static int adopt(struct ipcnet_powerfail *self, int fd) {
  bool active;
  int flags = fcntl(fd, F_GETFL);
  if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return errno;
  int error = level(self, fd, &active);
  if (error != 0) return error;
  self->fd = fd;
  self->error = 0;
  self->active = self->pulsed = active;
  return 0;
}

void ipcnet_powerfail_hurry(struct ipcnet_powerfail *self) {
  self->retry_us = 0;
}

bool ipcnet_powerfail_tick(struct ipcnet_powerfail *self, uint64_t now_us) {
  if (self->gone) let_go(self, self->error);
  if (self->want.chip[0] == '\0' || self->fd >= 0 || now_us < self->retry_us) return false;
  self->retry_us = now_us + RETRY_US;
  int chip = self->gpio->open(self->gpio->context, self->want.chip), fd = -1;
  int error = chip < 0 ? -chip : request(self, chip, &fd);
  if (error == 0) error = adopt(self, fd);
  if (error != 0 && fd >= 0) close(fd);
  if (chip >= 0) close(chip); /* the request lives on its own */
  self->error = error;
  return error == 0;
}

bool ipcnet_powerfail_take(struct ipcnet_powerfail *self, const struct ipcnet_powerfail_want *want, int fd) {
  if (self->fd >= 0 || self->want.chip[0] == '\0' || memcmp(&self->want, want, sizeof *want) != 0) return false;
  return adopt(self, fd) == 0;
}

/* ---- Reading --------------------------------------------------------------------------------------------------------------------------------- */

static void take_events(struct ipcnet_powerfail *self, const struct gpio_v2_line_event *events, size_t count, uint64_t since_ns) {
  for (size_t i = 0; i < count; i++) {
    if (self->sequence != 0 && events[i].line_seqno > self->sequence + 1) self->lost_events += events[i].line_seqno - self->sequence - 1;
    self->sequence = events[i].line_seqno;
    self->events += 1;
    self->active = events[i].id == GPIO_V2_LINE_EVENT_RISING_EDGE;
    if (self->active && events[i].timestamp_ns >= since_ns) self->pulsed = true;
  }
}

static void drain(struct ipcnet_powerfail *self, uint64_t since_ns) {
  struct gpio_v2_line_event events[EVENTS_AT_ONCE];
  for (unsigned batch = 0; batch < BATCHES_AT_ONCE && self->fd >= 0 && !self->gone; batch++) {
    ssize_t got = read(self->fd, events, sizeof events);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0 && errno == EAGAIN) return;
    /* The chip is gone, or it is none. */
    if (got <= 0 || (size_t)got % sizeof events[0] != 0) lose(self, got < 0 ? errno : ENODEV);
    else take_events(self, events, (size_t)got / sizeof events[0], since_ns);
  }
}

void ipcnet_powerfail_read(struct ipcnet_powerfail *self) {
  drain(self, 0);
}

void ipcnet_powerfail_follow(struct ipcnet_powerfail *self, bool follows, uint64_t now_us) {
  if (follows == self->follows) return;
  self->follows = follows;
  self->pulsed = false;
  self->sequence = 0; /* the other has read meanwhile */
  if (!follows || self->fd < 0 || self->gone) return;
  /* What waits nobody has read: it happened while nobody owned, and if that is long ago it says nothing any more. The level counts in any case. */
  drain(self, now_us > UNREAD_US ? (now_us - UNREAD_US) * 1000u : 0);
  if (self->gone) return;
  int error = level(self, self->fd, &self->active);
  if (error != 0) lose(self, error);
}

int ipcnet_powerfail_says(const struct ipcnet_powerfail *self) {
  if (self->fd < 0 || self->gone) return self->error != 0 ? -self->error : -ENODEV;
  return self->follows && (self->active || self->pulsed);
}

void ipcnet_powerfail_looked(struct ipcnet_powerfail *self) {
  if (self->follows) self->pulsed = false;
}

const char *ipcnet_powerfail_remedy(int error) {
  switch (error) {
  case ENOENT: case ENODEV: return "there is no such GPIO chip: load its driver; gpiodetect lists those that are there";
  case ENXIO: return "the chip has no such line: gpioinfo lists them";
  case EACCES: case EPERM: return "let this user open the device (its group, or DeviceAllow= of the unit)";
  case EBUSY: return "another program or driver has the line: gpioinfo says who";
  case EINVAL: return "the chip has no such line, or cannot report its edges: gpioinfo lists the lines; try debounceUs: 0";
  case ENOTTY: return "this is no GPIO chip, or the kernel is older than Linux 5.10";
  default: return "see gpioinfo";
  }
}
