/* Slots on disk: cut at every byte of every write, the one before is still there; corrupt ones are told from ones that were never written. */
#include "slots.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "../../../drivers/can/core/check.h"

struct record { uint32_t crc32c, value; uint64_t sequence; };
#define STRIDE 4096u

static char path[64];

static bool newer(const void *a, const void *b) {
  return ((const struct record *)a)->sequence > ((const struct record *)b)->sequence;
}

static struct record read_back(unsigned *found) {
  struct ipcnet_slots slots;
  struct record record = {0};
  CHECK_INT(ipcnet_slots_open(&slots, path, sizeof record, STRIDE), 0);
  *found = ipcnet_slots_read(&slots, &record, newer);
  close(slots.fd);
  struct record peeked = {0};
  CHECK_INT(ipcnet_slots_peek(path, &peeked, sizeof peeked, STRIDE, newer), *found);
  CHECK(memcmp(&peeked, &record, sizeof record) == 0);
  return record;
}

static void the_newest_is_read(void) {
  struct ipcnet_slots slots;
  unsigned found;
  unlink(path);
  (void)read_back(&found);
  CHECK_INT(found, 0); /* never written is not corrupt */
  CHECK_INT(ipcnet_slots_open(&slots, path, sizeof(struct record), STRIDE), 0);
  for (uint32_t i = 1; i < 6; i++) {
    struct record record = {.value = i * 7, .sequence = i};
    CHECK_INT(ipcnet_slots_write(&slots, &record), 0);
    CHECK_INT(read_back(&found).value, i * 7);
    CHECK_INT(found, IPCNET_SLOTS_VALID);
  }
  close(slots.fd);
}

static void a_write_cut_at_any_byte_leaves_the_one_before(void) {
  for (size_t cut = 0; cut <= sizeof(struct record); cut++) {
    struct ipcnet_slots slots;
    struct record record = {0};
    unsigned found;
    unlink(path);
    CHECK_INT(ipcnet_slots_open(&slots, path, sizeof record, STRIDE), 0);
    for (uint32_t i = 1; i <= 2; i++) {
      record = (struct record){.value = i, .sequence = i};
      CHECK_INT(ipcnet_slots_write(&slots, &record), 0);
    }
    unsigned at = slots.next;
    /* What the third write would put there, cut off. */
    struct record before[2], third = {.value = 3, .sequence = 3};
    for (unsigned slot = 0; slot < 2; slot++) CHECK_INT(pread(slots.fd, &before[slot], sizeof third, slot * STRIDE), sizeof third);
    CHECK_INT(ipcnet_slots_write(&slots, &third), 0);
    memcpy((uint8_t *)&third + cut, (uint8_t *)&before[at] + cut, sizeof third - cut);
    CHECK_INT(pwrite(slots.fd, &third, sizeof third, at * STRIDE), sizeof third);
    close(slots.fd);
    struct record got = read_back(&found);
    CHECK(found & IPCNET_SLOTS_VALID);
    CHECK(got.value == 2 || got.value == 3);
    /* And the next write goes over the broken one, not over the good one. */
    CHECK_INT(ipcnet_slots_open(&slots, path, sizeof record, STRIDE), 0);
    (void)ipcnet_slots_read(&slots, &record, newer);
    if (got.value == 2) CHECK_INT(slots.next, at);
    close(slots.fd);
  }
}

static void nothing_whole_is_corrupt(void) {
  unsigned found;
  struct record record;
  int fd = open(path, O_RDWR);
  memset(&record, 0x5A, sizeof record);
  for (unsigned slot = 0; slot < 2; slot++) CHECK_INT(pwrite(fd, &record, sizeof record, slot * STRIDE), sizeof record);
  close(fd);
  (void)read_back(&found);
  CHECK_INT(found, IPCNET_SLOTS_CORRUPT);
  unlink(path);
}

static void a_full_disk_is_noticed_when_it_is_opened(void) {
  struct ipcnet_slots slots;
  if (access("/dev/full", W_OK) != 0) return;
  CHECK(ipcnet_slots_open(&slots, "/dev/full", sizeof(struct record), STRIDE) < 0);
  close(slots.fd);
}

int main(void) {
  snprintf(path, sizeof path, "/tmp/ipcnet-slots-%d", (int)getpid());
  the_newest_is_read();
  a_write_cut_at_any_byte_leaves_the_one_before();
  nothing_whole_is_corrupt();
  a_full_disk_is_noticed_when_it_is_opened();
  return checks_report("reflex_slots");
}
