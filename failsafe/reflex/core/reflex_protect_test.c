/* Rows of protection: which bits a profile writes, which rows are refused, and a row that protects nothing. */
#include <string.h>

#include "../../../drivers/can/core/check.h"
#include "reflex_protect.h"

#define BYTES 32u

static const uint8_t bytes[BYTES] = {0x10, 0x21, 0x32, 0x43, 0x54, 0x65, 0x76, 0x87, 0x98, 0xA9, 0xBA, 0xCB, 0xDC, 0xED, 0xFE, 0x0F};

static uint64_t chance = 0x9E3779B97F4A7C15u;

static uint32_t next_random(void)
{
  chance ^= chance << 13;
  chance ^= chance >> 7;
  chance ^= chance << 17;
  return (uint32_t)(chance >> 32);
}

/* What is said to be occupied is what is written into frames of whatever content: each of these bits sometimes changes, and no other ever does. */
static void test_occupied_is_what_is_written(void)
{
  static const struct { struct ipcnet_reflex_e2e row; uint32_t length_bytes; } CASES[] = {
    {{.profile = 0}, 8},
    {{.profile = 1, .data_id = 0x123, .crc_offset_bits = 0, .counter_offset_bits = 8}, 8},
    {{.profile = 1, .data_id = 0x123, .crc_offset_bits = 16, .counter_offset_bits = 36, .data_id_mode = IPCNET_E2E_ALT}, 8},
    {{.profile = 1, .data_id = 0x123, .crc_offset_bits = 8, .counter_offset_bits = 4, .data_id_nibble_offset_bits = 40, .data_id_mode = IPCNET_E2E_LOW}, 8},
    {{.profile = 11, .data_id = 0x523, .crc_offset_bits = 8, .counter_offset_bits = 0, .data_id_nibble_offset_bits = 44, .data_id_mode = IPCNET_E2E_NIBBLE}, 8},
    {{.profile = 2, .data_id_list = 0, .offset_bytes = 0}, 8},
    {{.profile = 22, .data_id_list = 16, .offset_bytes = 3}, 8},
    {{.profile = 4, .data_id = 0x12345678, .offset_bytes = 2}, 16},
    {{.profile = 5, .data_id = 0x1234, .offset_bytes = 0}, 3},
    {{.profile = 5, .data_id = 0x1234, .offset_bytes = 61}, 64},
    {{.profile = 6, .data_id = 0x1234, .offset_bytes = 1}, 8},
    {{.profile = 7, .data_id = 0x12345678, .offset_bytes = 4}, 64},
    {{.profile = 8, .data_id = 0x12345678, .offset_bytes = 5}, 24},
  };
  for (unsigned i = 0; i < sizeof CASES / sizeof CASES[0]; i++) {
    const struct ipcnet_reflex_e2e *row = &CASES[i].row;
    uint8_t said[64] = {0}, seen[64] = {0};
    CHECK(ipcnet_reflex_e2e_valid(row, CASES[i].length_bytes, bytes, BYTES));
    ipcnet_reflex_e2e_occupies(row, said);
    CHECK((ipcnet_reflex_e2e_counter_max(row) != 0) == (row->profile != IPCNET_REFLEX_E2E_NONE));
    for (unsigned round = 0; round < 200; round++) {
      uint8_t before[64], frame[64];
      for (unsigned byte = 0; byte < 64; byte++) before[byte] = (uint8_t)next_random();
      memcpy(frame, before, sizeof frame);
      uint32_t counter = (uint32_t)(next_random() % (ipcnet_reflex_e2e_counter_max(row) + 1ull)), read = UINT32_MAX;
      CHECK(ipcnet_reflex_e2e_protect(row, bytes, frame, CASES[i].length_bytes, counter));
      CHECK_INT(ipcnet_reflex_e2e_inspect(row, bytes, frame, CASES[i].length_bytes, &read), IPCNET_E2E_INSPECTED_OK);
      CHECK_INT(read, counter);
      for (unsigned byte = 0; byte < 64; byte++) seen[byte] |= (uint8_t)(before[byte] ^ frame[byte]);
    }
    CHECK(memcmp(said, seen, sizeof said) == 0);
  }
}

/* Bits in their places, lists within the bytes, frames that hold it all. */
static void test_rows_that_are_taken(void)
{
  static const struct { struct ipcnet_reflex_e2e row; uint32_t length_bytes, bytes_length; bool taken; } CASES[] = {
    /* P01 and P11: a byte for the CRC, nibbles of other bytes for counter and Data ID. */
    {{.profile = 1, .crc_offset_bits = 8, .counter_offset_bits = 0}, 8, 0, true},
    {{.profile = 1, .crc_offset_bits = 9, .counter_offset_bits = 0}, 8, 0, false},
    {{.profile = 1, .crc_offset_bits = 56, .counter_offset_bits = 0}, 8, 0, true},
    {{.profile = 1, .crc_offset_bits = 8, .counter_offset_bits = 12}, 8, 0, false},
    {{.profile = 1, .crc_offset_bits = 8, .counter_offset_bits = 16}, 8, 0, true},
    {{.profile = 1, .crc_offset_bits = 8, .counter_offset_bits = 20}, 8, 0, true},
    {{.profile = 1, .crc_offset_bits = 8, .counter_offset_bits = 18}, 8, 0, false},
    {{.profile = 11, .crc_offset_bits = 8, .counter_offset_bits = 0, .data_id_nibble_offset_bits = 4, .data_id_mode = IPCNET_E2E_NIBBLE}, 8, 0, true},
    {{.profile = 11, .crc_offset_bits = 8, .counter_offset_bits = 0, .data_id_nibble_offset_bits = 0, .data_id_mode = IPCNET_E2E_NIBBLE}, 8, 0, false},
    {{.profile = 11, .crc_offset_bits = 8, .counter_offset_bits = 0, .data_id_nibble_offset_bits = 12, .data_id_mode = IPCNET_E2E_NIBBLE}, 8, 0, false},
    {{.profile = 11, .crc_offset_bits = 8, .counter_offset_bits = 0, .data_id_nibble_offset_bits = 64, .data_id_mode = IPCNET_E2E_NIBBLE}, 8, 0, false},
    /* A list of sixteen bytes lies within the bytes; who has none needs none, but a place that exists. */
    {{.profile = 2, .data_id_list = 0}, 8, 16, true},
    {{.profile = 2, .data_id_list = 0}, 8, 15, false},
    {{.profile = 2, .data_id_list = 1}, 8, 16, false},
    {{.profile = 2, .data_id_list = 16}, 8, 32, true},
    {{.profile = 2, .data_id_list = 17}, 8, 32, false},
    {{.profile = 5, .data_id_list = 0}, 8, 0, true},
    {{.profile = 5, .data_id_list = 1}, 8, 0, false},
    {{.profile = 5, .data_id_list = 32}, 8, 32, true},
    {{.profile = 5, .data_id_list = 33}, 8, 32, false},
    /* No frame is longer than 64 bytes. */
    {{.profile = 5}, 64, 0, true},
    {{.profile = 5}, 65, 0, false},
    {{.profile = 5}, UINT32_MAX, 0, false},
    {{.profile = 5, .offset_bytes = 61}, 64, 0, true},
    {{.profile = 5, .offset_bytes = 62}, 64, 0, false},
    {{.profile = 0}, 8, 0, true},
    {{.profile = 3}, 8, 0, false},
    /* What may be missing between two frames is less than the counter counts (P02: to 15); one frame alone never proves that all is well again. */
    {{.profile = 2, .max_delta = 14}, 8, 16, true},
    {{.profile = 2, .max_delta = 15}, 8, 16, false},
    {{.profile = 5, .resync_frames = 0}, 8, 0, true},
    {{.profile = 5, .resync_frames = 1}, 8, 0, false},
    {{.profile = 5, .resync_frames = 2}, 8, 0, true},
    {{.profile = 1, .crc_offset_bits = 8, .counter_offset_bits = 0, .data_id_nibble_offset_bits = 18}, 8, 0, false},
    {{.profile = 1, .crc_offset_bits = 8, .counter_offset_bits = 0, .data_id_mode = IPCNET_E2E_NIBBLE + 1, .data_id_nibble_offset_bits = 16}, 8, 0, false},
  };
  for (unsigned i = 0; i < sizeof CASES / sizeof CASES[0]; i++) CHECK_INT(ipcnet_reflex_e2e_valid(&CASES[i].row, CASES[i].length_bytes, bytes, CASES[i].bytes_length), CASES[i].taken);
}

/* A row without a profile: nothing is written, every frame is as good as another, and there is no counter. */
static void test_a_row_without_protection(void)
{
  static const struct ipcnet_reflex_e2e none = {.profile = IPCNET_REFLEX_E2E_NONE};
  uint8_t frame[8] = {1, 2, 3, 4, 5, 6, 7, 8}, same[8] = {1, 2, 3, 4, 5, 6, 7, 8};
  uint32_t counter = 77;
  CHECK_INT(ipcnet_reflex_e2e_counter_max(&none), 0);
  CHECK(ipcnet_reflex_e2e_protect(&none, bytes, frame, sizeof frame, 5));
  CHECK(memcmp(frame, same, sizeof frame) == 0);
  CHECK_INT(ipcnet_reflex_e2e_inspect(&none, bytes, frame, sizeof frame, &counter), IPCNET_E2E_INSPECTED_OK);
  CHECK_INT(counter, 0);
}

int main(void)
{
  test_occupied_is_what_is_written();
  test_rows_that_are_taken();
  test_a_row_without_protection();
  return checks_report("reflex_protect");
}
