/* The power-fail line: what is asked of the kernel, byte for byte; events out of a pipe as they come out of a GPIO chip; a line that is taken, gone, or given by the twin. */
#include "powerfail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/gpio.h>
#include <string.h>
#include <unistd.h>

#include "../../../drivers/can/core/check.h"

#define NOW_US 50000000u

/* A chip of eight lines, and a kernel that lets each be requested once. */
static struct {
  int open_error, request_error, level_error;
  bool level;
  int events[2]; /* a pipe: what is written into [1] are the line's events */
  unsigned opened, requested, levels_asked;
  struct gpio_v2_line_request asked;
  char path[64];
  uint32_t seqno;
} chip;

static int chip_open(void *context, const char *path) {
  (void)context;
  chip.opened += 1;
  snprintf(chip.path, sizeof chip.path, "%s", path);
  return chip.open_error != 0 ? -chip.open_error : open("/dev/null", O_RDWR | O_CLOEXEC);
}

static int chip_ioctl(void *context, int fd, unsigned long request, void *argument) {
  (void)context;
  (void)fd;
  if (request == GPIO_GET_CHIPINFO_IOCTL) {
    ((struct gpiochip_info *)argument)->lines = 8;
    return 0;
  }
  if (request == GPIO_V2_GET_LINEINFO_IOCTL) {
    struct gpio_v2_line_info *info = argument;
    if (info->offset >= 8) return EINVAL;
    if (info->offset == 5) snprintf(info->name, sizeof info->name, "POWER_OK");
    return 0;
  }
  if (request == GPIO_V2_LINE_GET_VALUES_IOCTL) {
    struct gpio_v2_line_values *values = argument;
    chip.levels_asked += 1;
    CHECK_INT(values->mask, 1);
    values->bits = chip.level;
    return chip.level_error;
  }
  if (request != GPIO_V2_GET_LINE_IOCTL) return ENOTTY;
  chip.requested += 1;
  chip.asked = *(struct gpio_v2_line_request *)argument;
  if (chip.request_error != 0) return chip.request_error;
  ((struct gpio_v2_line_request *)argument)->fd = dup(chip.events[0]);
  return 0;
}

static const struct ipcnet_gpio GPIO = {.open = chip_open, .ioctl = chip_ioctl};

static struct ipcnet_powerfail line;
static struct ipcnet_powerfail_want want;

static void begin(void) {
  memset(&chip, 0, sizeof chip);
  CHECK_INT(pipe2(chip.events, O_CLOEXEC), 0);
  want = (struct ipcnet_powerfail_want){.chip = "/dev/gpiochip0", .line = 3};
  ipcnet_powerfail_init(&line, &GPIO);
  ipcnet_powerfail_use(&line, &want);
}

static void end(void) {
  struct ipcnet_powerfail_want none = {0};
  ipcnet_powerfail_use(&line, &none);
  for (unsigned i = 0; i < 2; i++) {
    if (chip.events[i] >= 0) close(chip.events[i]);
  }
}

static void edge(bool rising, uint64_t at_us) {
  struct gpio_v2_line_event event = {
    .timestamp_ns = at_us * 1000u, .id = rising ? GPIO_V2_LINE_EVENT_RISING_EDGE : GPIO_V2_LINE_EVENT_FALLING_EDGE, .offset = 3, .seqno = ++chip.seqno, .line_seqno = chip.seqno};
  CHECK_INT(write(chip.events[1], &event, sizeof event), sizeof event);
}

static void owned(void) {
  begin();
  CHECK(ipcnet_powerfail_tick(&line, NOW_US));
  ipcnet_powerfail_follow(&line, true, NOW_US);
}

static void test_no_pin_asks_for_nothing(void) {
  begin();
  struct ipcnet_powerfail_want none = {0};
  ipcnet_powerfail_use(&line, &none);
  CHECK(!ipcnet_powerfail_tick(&line, NOW_US));
  CHECK_INT(chip.opened, 0);
  CHECK(ipcnet_powerfail_says(&line) < 0);
  end();
}

static void test_what_is_asked_of_the_kernel(void) {
  begin();
  want.active_low = 1;
  want.debounce_us = 500;
  ipcnet_powerfail_use(&line, &want);
  CHECK_INT(ipcnet_powerfail_says(&line), -ENODEV); /* not asked yet is not watched */
  CHECK(ipcnet_powerfail_tick(&line, NOW_US));
  CHECK_INT(strcmp(chip.path, "/dev/gpiochip0"), 0);
  CHECK_INT(chip.asked.num_lines, 1);
  CHECK_INT(chip.asked.offsets[0], 3);
  CHECK_INT(chip.asked.config.flags, GPIO_V2_LINE_FLAG_INPUT | GPIO_V2_LINE_FLAG_EDGE_RISING | GPIO_V2_LINE_FLAG_EDGE_FALLING | GPIO_V2_LINE_FLAG_ACTIVE_LOW);
  CHECK_INT(chip.asked.config.num_attrs, 1);
  CHECK_INT(chip.asked.config.attrs[0].mask, 1);
  CHECK_INT(chip.asked.config.attrs[0].attr.id, GPIO_V2_LINE_ATTR_ID_DEBOUNCE);
  CHECK_INT(chip.asked.config.attrs[0].attr.debounce_period_us, 500);
  CHECK_INT(strcmp(chip.asked.consumer, "ipcnet power fail"), 0);
  CHECK(!ipcnet_powerfail_tick(&line, NOW_US + 1)); /* once is enough */
  CHECK_INT(chip.requested, 1);
  end();
}

static void test_a_line_by_its_name(void) {
  begin();
  want = (struct ipcnet_powerfail_want){.chip = "/dev/gpiochip0", .name = "POWER_OK"};
  ipcnet_powerfail_use(&line, &want);
  CHECK(ipcnet_powerfail_tick(&line, NOW_US));
  CHECK_INT(chip.asked.offsets[0], 5);
  CHECK_INT(chip.asked.config.num_attrs, 0);
  snprintf(want.name, sizeof want.name, "POWER");
  ipcnet_powerfail_use(&line, &want);
  CHECK(!ipcnet_powerfail_tick(&line, NOW_US));
  CHECK_INT(ipcnet_powerfail_says(&line), -ENXIO);
  end();
}

static void test_edges(void) {
  owned();
  CHECK_INT(ipcnet_powerfail_says(&line), 0);
  edge(true, NOW_US);
  ipcnet_powerfail_read(&line);
  CHECK_INT(ipcnet_powerfail_says(&line), 1);
  ipcnet_powerfail_looked(&line);
  CHECK_INT(ipcnet_powerfail_says(&line), 1); /* it still fails */
  edge(false, NOW_US + 1);
  ipcnet_powerfail_read(&line);
  CHECK_INT(ipcnet_powerfail_says(&line), 0);
  CHECK_INT(line.events, 2);
  end();
}

static void test_a_pulse_between_two_looks_is_told_once(void) {
  owned();
  edge(true, NOW_US);
  edge(false, NOW_US);
  ipcnet_powerfail_read(&line);
  CHECK_INT(ipcnet_powerfail_says(&line), 1);
  ipcnet_powerfail_looked(&line);
  CHECK_INT(ipcnet_powerfail_says(&line), 0);
  end();
}

static void test_many_events_at_once(void) {
  owned();
  for (unsigned i = 0; i < 50; i++) edge(i % 2 == 0, NOW_US);
  chip.seqno += 7; /* the kernel's queue was full */
  edge(true, NOW_US);
  ipcnet_powerfail_read(&line);
  CHECK_INT(line.events, 51);
  CHECK_INT(line.lost_events, 7);
  CHECK_INT(ipcnet_powerfail_says(&line), 1);
  end();
}

static void test_a_level_that_is_there_already_counts(void) {
  begin();
  chip.level = true;
  CHECK(ipcnet_powerfail_tick(&line, NOW_US));
  CHECK_INT(ipcnet_powerfail_says(&line), 0); /* who does not own says nothing */
  ipcnet_powerfail_follow(&line, true, NOW_US);
  CHECK_INT(ipcnet_powerfail_says(&line), 1);
  end();
  /* And one that the standby saw long ago does not. */
  begin();
  chip.level = true;
  CHECK(ipcnet_powerfail_tick(&line, NOW_US));
  chip.level = false;
  ipcnet_powerfail_follow(&line, true, NOW_US + 1000000);
  CHECK_INT(ipcnet_powerfail_says(&line), 0);
  end();
}

static void test_what_nobody_has_read_counts_if_it_is_new(void) {
  begin();
  CHECK(ipcnet_powerfail_tick(&line, NOW_US));
  edge(true, NOW_US);
  edge(false, NOW_US);
  ipcnet_powerfail_follow(&line, true, NOW_US + 900000);
  CHECK_INT(ipcnet_powerfail_says(&line), 1);
  end();
  begin();
  CHECK(ipcnet_powerfail_tick(&line, NOW_US));
  edge(true, NOW_US);
  edge(false, NOW_US);
  ipcnet_powerfail_follow(&line, true, NOW_US + 1100000);
  CHECK_INT(ipcnet_powerfail_says(&line), 0);
  end();
}

static void test_it_is_tried_again(void) {
  begin();
  chip.open_error = ENOENT;
  CHECK(!ipcnet_powerfail_tick(&line, NOW_US));
  CHECK_INT(ipcnet_powerfail_says(&line), -ENOENT);
  CHECK(!ipcnet_powerfail_tick(&line, NOW_US + 99999));
  CHECK_INT(chip.opened, 1);
  chip.open_error = 0;
  chip.request_error = EBUSY;
  CHECK(!ipcnet_powerfail_tick(&line, NOW_US + 100000));
  CHECK_INT(ipcnet_powerfail_says(&line), -EBUSY);
  chip.request_error = 0;
  ipcnet_powerfail_hurry(&line); /* the twin that had it has died */
  CHECK(ipcnet_powerfail_tick(&line, NOW_US + 100001));
  CHECK_INT(line.error, 0);
  end();
}

static void test_the_twin_gives_it(void) {
  begin();
  chip.request_error = EBUSY;
  CHECK(!ipcnet_powerfail_tick(&line, NOW_US));
  struct ipcnet_powerfail_want other = want;
  other.line = 4;
  int given = dup(chip.events[0]);
  CHECK(!ipcnet_powerfail_take(&line, &other, given)); /* another line than ours */
  chip.level_error = ENOTTY;
  CHECK(!ipcnet_powerfail_take(&line, &want, given)); /* no line at all */
  chip.level_error = 0;
  CHECK(ipcnet_powerfail_take(&line, &want, given));
  CHECK(!ipcnet_powerfail_take(&line, &want, given)); /* we have one */
  ipcnet_powerfail_follow(&line, true, NOW_US);
  edge(true, NOW_US);
  ipcnet_powerfail_read(&line);
  CHECK_INT(ipcnet_powerfail_says(&line), 1);
  end();
}

static void test_the_chip_is_taken_away(void) {
  owned();
  edge(true, NOW_US);
  close(chip.events[1]);
  chip.events[1] = -1;
  ipcnet_powerfail_read(&line);
  CHECK(line.gone && line.fd >= 0); /* for whoever waits for it */
  CHECK_INT(ipcnet_powerfail_says(&line), -ENODEV);
  chip.open_error = ENOENT;
  CHECK(!ipcnet_powerfail_tick(&line, NOW_US + 200000));
  CHECK_INT(line.fd, -1);
  CHECK_INT(ipcnet_powerfail_says(&line), -ENOENT);
  end();
}

static void test_half_an_event_is_no_event(void) {
  owned();
  CHECK_INT(write(chip.events[1], "half", 4), 4);
  ipcnet_powerfail_read(&line);
  CHECK(line.gone);
  CHECK_INT(line.events, 0);
  end();
}

int main(void) {
  test_no_pin_asks_for_nothing();
  test_what_is_asked_of_the_kernel();
  test_a_line_by_its_name();
  test_edges();
  test_a_pulse_between_two_looks_is_told_once();
  test_many_events_at_once();
  test_a_level_that_is_there_already_counts();
  test_what_nobody_has_read_counts_if_it_is_new();
  test_it_is_tried_again();
  test_the_twin_gives_it();
  test_the_chip_is_taken_away();
  test_half_an_event_is_no_event();
  for (int error = 0; error < 200; error++) CHECK(ipcnet_powerfail_remedy(error)[0] != '\0');
  return checks_report("reflex_powerfail");
}
