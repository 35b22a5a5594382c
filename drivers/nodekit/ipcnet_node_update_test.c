/* Updates over SDO into a simulated flash: every refusal, and power cut at every byte that is written, also while recovering from a cut. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipcnet_node.h"
#include "sim/flash.h"

#define CHECK(condition) do { if (!(condition)) { fprintf(stderr, "%s:%d: %s (%s)\n", __FILE__, __LINE__, #condition, what); exit(EXIT_FAILURE); } } while (0)

enum { NUMBER = 5, BODY_BYTES = 601, OLD = 0x00010000, NEW = 0x00020000, TRIES = 3 };

static char what[160];
static struct sim_flash sim;
static uint8_t old_image[2048], new_image[2048];
static uint32_t old_bytes, new_bytes;

/* ---- A node and its client --------------------------------------------------------------------------------------------------------------- */

static struct ipcnet_node_device device;
static struct ipcnet_node_sdo sdo;
static struct ipcnet_node_update update;
static uint32_t now_us;
static uint8_t answer[8];
static bool answered, was_reset;

static bool send(void *context, uint32_t id, const uint8_t *data, uint8_t length) {
  (void)context;
  if (id == 0x580 + NUMBER && length == 8) {
    memcpy(answer, data, 8);
    answered = true;
  }
  return true;
}

static void pose(void *context, enum ipcnet_node_cause cause) { (void)context; (void)cause; }
static void reset(void *context) { (void)context; was_reset = true; }

static const struct ipcnet_node_port port = { .send = send, .enter_safe_pose = pose, .reset = reset };
static const struct ipcnet_node_device_options options = { .number = NUMBER, .wait_for_start = true, .heartbeat_us = 100000, .rules = { .dead_man_us = 200000 } };
static const struct ipcnet_node_identity identity = { .vendor = 0x1234, .product = 0x5678, .revision = 1, .serial = 99, .name = "elbow joint" };

static uint32_t running_version(void) { return update.running.version; }

/* Boot loader, then the application. False: nothing to start. */
static bool power_up(void) {
  uint8_t slot = 7;
  if (!ipcnet_node_boot(&sim.flash, &slot)) return false;
  was_reset = false;
  now_us = 0xFFFFFF00u;
  ipcnet_node_device_init(&device, &options, &port, NULL, 0, now_us);
  ipcnet_node_update_init(&update, &sim.flash, slot, TRIES, 60000000u, now_us);
  ipcnet_node_sdo_init(&sdo, &identity, &update.objects);
  ipcnet_node_device_add(&device, &update.part);
  ipcnet_node_device_add(&device, &sdo.part);
  ipcnet_node_device_poll(&device, now_us);
  return true;
}

static void hear(const uint8_t *request) {
  answered = false;
  now_us += 200;
  (void)ipcnet_node_device_hear(&device, 0x600 + NUMBER, request, 8, now_us);
}

static uint32_t abort_code(void) {
  return answer[0] == 0x80 ? (uint32_t)(answer[4] | answer[5] << 8) | (uint32_t)(answer[6] | answer[7] << 8) << 16 : 0;
}

static uint32_t ask(const uint8_t *request) {
  hear(request);
  CHECK(answered);
  return abort_code();
}

static uint32_t write_small(uint16_t index, const char *bytes, unsigned length) {
  uint8_t request[8] = { (uint8_t)(0x23u | (4u - length) << 2), (uint8_t)index, (uint8_t)(index >> 8), 1 };
  memcpy(request + 4, bytes, length);
  return ask(request);
}

static uint16_t crc16(const uint8_t *bytes, uint32_t length) {
  uint16_t crc = 0;
  for (uint32_t i = 0; i < length; i++) {
    crc ^= (uint16_t)(bytes[i] << 8);
    for (int bit = 0; bit < 8; bit++) crc = (uint16_t)(crc << 1 ^ ((crc & 0x8000) != 0 ? 0x1021 : 0));
  }
  return crc;
}

/* A block download as CiA 301 has it. `lose`: the segment with that number counted from 0 is lost once. Returns the abort code. */
static uint32_t download(const uint8_t *bytes, uint32_t length, long lose) {
  uint8_t frame[8] = { 0xC6, 0x50, 0x1F, 1, (uint8_t)length, (uint8_t)(length >> 8), 0, 0 };
  uint32_t code = ask(frame), sent = 0;
  long segments = 0;
  if (code != 0) return code;
  while (sent < length) {
    unsigned block = answer[4] != 0 ? answer[4] : answer[2], count = 0;
    uint32_t at = sent;
    answered = false;
    while (count < block && at < length) {
      const uint32_t part = length - at < 7 ? length - at : 7;
      memset(frame, 0, sizeof frame);
      frame[0] = (uint8_t)(++count | (at + part == length ? 0x80 : 0));
      memcpy(frame + 1, bytes + at, part);
      at += part;
      if (segments++ != lose) hear(frame);
      if (answered) break;
    }
    for (int i = 0; i < 400 && !answered; i++) ipcnet_node_device_poll(&device, now_us += 1000); /* the last segment was the lost one */
    CHECK(answered);
    if (abort_code() != 0) return abort_code();
    CHECK(answer[0] == 0xA2);
    sent = sent + answer[1] * 7u < length ? sent + answer[1] * 7u : length;
  }
  const uint16_t crc = crc16(bytes, length);
  const uint8_t end[8] = { (uint8_t)(0xC1 | ((7 - length % 7) % 7) << 2), (uint8_t)crc, (uint8_t)(crc >> 8) };
  code = ask(end);
  CHECK(code != 0 || answer[0] == 0xA1);
  return code;
}

static void wait_for_reset(void) {
  for (int i = 0; i < 100 && !was_reset; i++) ipcnet_node_device_poll(&device, now_us += 1000);
  CHECK(was_reset);
}

static void factory(uint32_t page_bytes, uint32_t unit_bytes) {
  sim_flash_init(&sim, page_bytes, unit_bytes, 1024);
  old_bytes = sim_image(&sim, old_image, OLD, 1, BODY_BYTES);
  new_bytes = sim_image(&sim, new_image, NEW, 2, BODY_BYTES + 40);
  sim_flash_program(&sim, 0, old_image, old_bytes);
}

/* ---- A life that goes well ----------------------------------------------------------------------------------------------------------------- */

static void good_life(void) {
  factory(256, 8);
  CHECK(power_up() && update.slot == 0 && running_version() == OLD);
  CHECK(write_small(0x1F51, "\1", 1) == IPCNET_NODE_SDO_STATE); /* nothing is there to be started */
  CHECK(download(new_image, new_bytes, -1) == 0);
  CHECK(memcmp(sim.bytes + sim.flash.slot_at[1], new_image, new_bytes) == 0);
  CHECK(write_small(0x1F51, "\1", 1) == 0);
  wait_for_reset();
  CHECK(power_up() && running_version() == NEW && ipcnet_node_update_on_probation(&update));
  CHECK(download(old_image, old_bytes, -1) == IPCNET_NODE_SDO_STATE && update.refused == IPCNET_NODE_TRIAL_PENDING);
  CHECK(write_small(0x2F01, "CONF", 4) == 0);
  CHECK(write_small(0x2F01, "CONF", 4) == IPCNET_NODE_SDO_STATE);
  for (int i = 0; i < 5; i++) CHECK(power_up() && running_version() == NEW && !ipcnet_node_update_on_probation(&update));
  /* An older one, by its security counter, is not taken. */
  CHECK(download(old_image, old_bytes, -1) == IPCNET_NODE_SDO_VALUE && update.refused == IPCNET_NODE_TOO_OLD);
  CHECK(memcmp(sim.bytes + sim.flash.slot_at[0], old_image, old_bytes) == 0);
  /* One that breaks in the flash later. */
  sim.bytes[sim.flash.slot_at[1] + 300] ^= 1;
  CHECK(!power_up()); /* the old one is too old to return: the boot loader waits for help */
}

static void reverts(void) {
  uint8_t report_request[8] = { 0x40, 0x00, 0x2F, 1 };
  factory(256, 8);
  CHECK(power_up() && download(new_image, new_bytes, -1) == 0 && write_small(0x1F51, "\1", 1) == 0);
  for (int i = 0; i < TRIES; i++) CHECK(power_up() && running_version() == NEW);
  CHECK(power_up() && running_version() == OLD && update.record.outcome == IPCNET_NODE_REVERTED);
  CHECK(ask(report_request) == 0 && answer[0] == 0x41 && answer[4] == 48);
  /* Asked for. */
  CHECK(download(new_image, new_bytes, -1) == 0 && write_small(0x1F51, "\1", 1) == 0);
  CHECK(power_up() && running_version() == NEW && write_small(0x2F01, "REVT", 4) == 0);
  wait_for_reset();
  CHECK(power_up() && running_version() == OLD);
  /* Nobody confirms: it restarts itself after its time. */
  CHECK(download(new_image, new_bytes, -1) == 0 && write_small(0x1F51, "\1", 1) == 0 && power_up());
  for (int start = 1; start < TRIES; start++) {
    ipcnet_node_device_poll(&device, now_us += 59999000u);
    ipcnet_node_device_poll(&device, now_us += 500u);
    CHECK(!was_reset && device.resetting == 0);
    ipcnet_node_device_poll(&device, now_us += 1000000u);
    wait_for_reset();
    CHECK(power_up() && running_version() == NEW);
  }
  CHECK(power_up() && running_version() == OLD);
}

/* Each segment lost once, the last one of a block and of all as well. */
static void lost_segments(void) {
  for (long lose = 0; lose * 7 < (long)(IPCNET_NODE_IMAGE_HEADER + BODY_BYTES + 40); lose++) {
    snprintf(what, sizeof what, "segment %ld lost", lose);
    factory(256, 8);
    CHECK(power_up());
    CHECK(download(new_image, new_bytes, lose) == 0);
    CHECK(sim.violations == 0 && memcmp(sim.bytes + sim.flash.slot_at[1], new_image, new_bytes) == 0);
  }
}

static void refusals(void) {
  static uint8_t image[2048];
  snprintf(what, sizeof what, "refusals");
  factory(256, 8);
  CHECK(power_up());
  const uint8_t start[2] = { 1, NUMBER }, pre_operational[2] = { 128, NUMBER };
  (void)ipcnet_node_device_hear(&device, 0, start, 2, now_us);
  CHECK(download(new_image, new_bytes, -1) == IPCNET_NODE_SDO_STATE && update.refused == IPCNET_NODE_WRONG_STATE);
  (void)ipcnet_node_device_hear(&device, 0, pre_operational, 2, now_us);
  /* Every bit of the header and the first of every body byte. Nothing is erased for a wrong header. The signature is the hook's. */
  for (uint32_t bit = 0; bit < new_bytes * 8; bit += bit < 64 * 8 ? 1 : 8) {
    if (bit >= 64 * 8 && bit < IPCNET_NODE_IMAGE_HEADER * 8) continue;
    snprintf(what, sizeof what, "bit %u of the image wrong", bit);
    memcpy(image, new_image, new_bytes);
    image[bit / 8] ^= (uint8_t)(1u << bit % 8);
    const uint32_t erased = sim.bytes[sim.flash.slot_at[1]];
    CHECK(download(image, new_bytes, -1) != 0 && update.refused != IPCNET_NODE_FINE);
    if (bit < 64 * 8) CHECK(erased == sim.bytes[sim.flash.slot_at[1]]);
    CHECK(write_small(0x1F51, "\1", 1) == IPCNET_NODE_SDO_STATE);
  }
  for (uint32_t length = 1; length < new_bytes; length += 97) {
    snprintf(what, sizeof what, "only %u bytes of the image", length);
    CHECK(download(new_image, length, -1) != 0);
  }
  memcpy(image, new_image, new_bytes);
  CHECK(download(image, new_bytes + 1, -1) != 0 && update.refused == IPCNET_NODE_TOO_LONG);
  CHECK(download(image, 2000, -1) != 0 && update.refused == IPCNET_NODE_TOO_LONG);
  /* An honest CRC, a wrong "signature". */
  image[28] ^= 1;
  const uint32_t crc = ipcnet_node_crc32(0, image, 60);
  for (int i = 0; i < 4; i++) image[60 + i] = (uint8_t)(crc >> (8 * i));
  CHECK(download(image, new_bytes, -1) != 0 && update.refused == IPCNET_NODE_NOT_TRUSTED);
  sim.flash.product++;
  CHECK(download(new_image, new_bytes, -1) != 0 && update.refused == IPCNET_NODE_OTHER_PRODUCT);
  sim.flash.product--;
  sim.fails = true;
  CHECK(download(new_image, new_bytes, -1) == IPCNET_NODE_SDO_STORE && update.refused == IPCNET_NODE_FLASH_FAILED);
  sim.fails = false;
  /* A start in the middle: the rest is refused, and nothing is written while operational. */
  uint8_t frame[8] = { 0xC6, 0x50, 0x1F, 1, (uint8_t)new_bytes, (uint8_t)(new_bytes >> 8), 0, 0 };
  CHECK(ask(frame) == 0);
  (void)ipcnet_node_device_hear(&device, 0, start, 2, now_us);
  sim.spent = 0;
  frame[0] = 1;
  CHECK(ask(frame) == IPCNET_NODE_SDO_STATE && sim.spent == 0);
  CHECK(power_up() && running_version() == OLD && sim.violations == 0);
}

/* ---- Power cuts ------------------------------------------------------------------------------------------------------------------------ */

/* How far a life came; set before the step that could do it, so that a cut within it may show either. */
static volatile bool started_new, confirmed_new, done_confirming;
static volatile int starts_of_new;

static bool boot_counted(void) {
  if (!power_up()) return false;
  if (running_version() == NEW) starts_of_new++;
  return true;
}

/* One update from whatever is there, until the new one is confirmed. */
static void finish_update(void) {
  for (int round = 0; round < 4; round++) {
    CHECK(boot_counted());
    if (running_version() == NEW && !ipcnet_node_update_on_probation(&update)) return;
    if (running_version() == NEW) {
      confirmed_new = true;
      CHECK(ipcnet_node_update_confirm(&update));
      done_confirming = true;
      return;
    }
    CHECK(download(new_image, new_bytes, -1) == 0);
    started_new = true;
    starts_of_new = 0;
    CHECK(write_small(0x1F51, "\1", 1) == 0);
  }
  CHECK(!"the update came to no end");
}

static void check_after_cut(void) {
  struct ipcnet_node_image image;
  CHECK(boot_counted());
  CHECK(ipcnet_node_image_check(&sim.flash, update.slot, &image) == IPCNET_NODE_FINE);
  CHECK(running_version() == OLD || running_version() == NEW);
  if (!started_new) CHECK(running_version() == OLD);
  if (done_confirming) CHECK(running_version() == NEW && !ipcnet_node_update_on_probation(&update));
  if (!confirmed_new && running_version() == NEW) CHECK(ipcnet_node_update_on_probation(&update));
  CHECK(starts_of_new <= TRIES || confirmed_new);
  CHECK(sim.violations == 0);
}

/* Runs `life` with power for `steps` steps; true: it was cut. */
static bool cut_after(long steps, void (*life)(void)) {
  sim.budget = steps;
  sim.cut = false;
  if (setjmp(sim.power) == 0) life();
  sim.budget = -1;
  return sim.cut;
}

static void only_boot(void) { CHECK(boot_counted()); }

static void fresh(uint32_t page_bytes, uint32_t unit_bytes, unsigned seed) {
  factory(page_bytes, unit_bytes);
  sim.seed = seed;
  started_new = confirmed_new = done_confirming = false;
  starts_of_new = 0;
}

/* Cut at every step of an update; then cut again at every step of the start after it; then it must be possible to finish. */
static long cuts_in_update(uint32_t page_bytes, uint32_t unit_bytes) {
  long cases = 0;
  for (long first = 0;; first++) {
    fresh(page_bytes, unit_bytes, (unsigned)first);
    if (!cut_after(first, finish_update)) return cases;
    static struct sim_flash after_first;
    after_first = sim;
    const bool started = started_new, confirmed = confirmed_new, done = done_confirming;
    const int starts = starts_of_new;
    for (long second = -1;; second++) {
      snprintf(what, sizeof what, "pages of %u, units of %u: cut after %ld, then after %ld steps", page_bytes, unit_bytes, first, second);
      if (second >= 0) {
        sim = after_first;
        sim.seed = (unsigned)(first * 1000 + second);
        started_new = started, confirmed_new = confirmed, done_confirming = done, starts_of_new = starts;
        if (!cut_after(second, only_boot)) break;
      }
      cases++;
      check_after_cut();
      finish_update();
      CHECK(power_up() && running_version() == NEW && !ipcnet_node_update_on_probation(&update) && sim.violations == 0);
    }
  }
}

/* A new image that nobody confirms, cut at every step of its starts: never started more often than it may, and the old one returns. */
static void trial_until_end(void) {
  for (int i = 0; i < TRIES + 2; i++) CHECK(boot_counted());
}

static long cuts_in_revert(void) {
  long cases = 0;
  for (long first = 0;; first++, cases++) {
    snprintf(what, sizeof what, "revert: cut after %ld steps", first);
    fresh(128, 8, (unsigned)first);
    CHECK(power_up() && download(new_image, new_bytes, -1) == 0 && write_small(0x1F51, "\1", 1) == 0);
    started_new = true;
    const bool cut = cut_after(first, trial_until_end);
    trial_until_end();
    CHECK(starts_of_new <= TRIES && running_version() == OLD && update.record.trial == IPCNET_NODE_NO_SLOT && sim.violations == 0);
    if (!cut) return cases;
  }
}

/* The journal alone, round and round its two pages: after a cut in a write the state is the one before or the one after. */
static struct ipcnet_node_record next_record;
static void write_next(void) { CHECK(ipcnet_node_journal_write(&sim.flash, &next_record)); }

static long cuts_in_journal(uint32_t page_bytes, uint32_t unit_bytes) {
  long cases = 0;
  sim_flash_init(&sim, page_bytes, unit_bytes, 1024);
  uint32_t value = 0;
  for (int round = 0; round < 40; round++) {
    for (long steps = 0;; steps++) {
      struct ipcnet_node_record read;
      snprintf(what, sizeof what, "journal, pages of %u, units of %u: round %d, cut after %ld steps", page_bytes, unit_bytes, round, steps);
      next_record = (struct ipcnet_node_record){ .confirmed = 1, .trial = IPCNET_NODE_NO_SLOT, .floor = value + 1 };
      const bool cut = cut_after(steps, write_next);
      const bool any = ipcnet_node_journal_read(&sim.flash, &read);
      CHECK(any || (cut && value == 0));
      CHECK(!any || read.floor == value + 1 || (cut && read.floor == value));
      if (any) value = read.floor;
      cases++;
      CHECK(sim.violations == 0);
      if (!cut) break;
    }
  }
  return cases;
}

int main(void) {
  CHECK(ipcnet_node_crc32(0, (const uint8_t *)"123456789", 9) == 0xCBF43926u);
  good_life();
  reverts();
  lost_segments();
  refusals();
  long cases = cuts_in_revert() + cuts_in_journal(128, 8) + cuts_in_journal(256, 32) + cuts_in_journal(128, 1);
  printf("%ld cuts in reverts and in the journal\n", cases);
  cases = cuts_in_update(256, 8) + cuts_in_update(128, 32);
  printf("%ld power cuts in updates, and in the start after a cut\n", cases);
  return EXIT_SUCCESS;
}
