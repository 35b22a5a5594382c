/*
 * Runs rows of vectors: from the file named by the first argument, or from stdin for "-". A row is one line; vectors.ts describes the
 * columns and writes them. Prints how many rows passed; exit 1 at the first that does not.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ipcnet_crc.h"
#include "ipcnet_crc_fast.h"
#include "ipcnet_e2e.h"

enum { LINE_MAX_CHARS = 1 << 16, FIELDS_MAX = 32, FRAME_MAX = 8192 };

static unsigned long line_number;
static char line_shown[160];

static void fail(const char *what) {
  fprintf(stderr, "line %lu: %s\n  %s\n", line_number, what, line_shown);
  exit(1);
}

static void check(int condition, const char *what) {
  if (!condition) fail(what);
}

static uint64_t number(const char *text) {
  char *end = NULL;
  const uint64_t value = strtoull(text, &end, 0);
  check(end != text && *end == '\0', "not a number");
  return value;
}

/* "-" is no bytes. */
static size_t bytes_of(const char *hex, uint8_t *bytes, size_t capacity) {
  if (strcmp(hex, "-") == 0) return 0;
  const size_t length = strlen(hex) / 2;
  check(strlen(hex) % 2 == 0 && length <= capacity, "bad hexadecimal");
  for (size_t i = 0; i < length; i++) {
    const char pair[3] = {hex[2 * i], hex[2 * i + 1], '\0'};
    char *end = NULL;
    bytes[i] = (uint8_t)strtoul(pair, &end, 16);
    check(end == pair + 2, "bad hexadecimal");
  }
  return length;
}

/* ------------------------------------------------------------------- CRCs */

static uint64_t crc_of(const char *name, uint64_t previous, int first, const uint8_t *bytes, size_t length) {
  if (strcmp(name, "crc8SaeJ1850") == 0) return ipcnet_crc8_sae_j1850((uint8_t)previous, bytes, length);
  if (strcmp(name, "crc8SaeJ1850Zero") == 0) return ipcnet_crc8_sae_j1850_zero((uint8_t)previous, bytes, length);
  if (strcmp(name, "crc8Autosar") == 0) return ipcnet_crc8_autosar((uint8_t)previous, bytes, length);
  if (strcmp(name, "crc16Ibm3740") == 0) return ipcnet_crc16_ibm_3740(first ? IPCNET_CRC16_IBM_3740_START : (uint16_t)previous, bytes, length);
  if (strcmp(name, "crc16Arc") == 0) return ipcnet_crc16_arc((uint16_t)previous, bytes, length);
  if (strcmp(name, "crc16Mcrf4xx") == 0) return ipcnet_crc16_mcrf4xx(first ? IPCNET_CRC16_MCRF4XX_START : (uint16_t)previous, bytes, length);
  if (strcmp(name, "crc32IsoHdlc") == 0) return ipcnet_crc32_iso_hdlc((uint32_t)previous, bytes, length);
  if (strcmp(name, "crc32Autosar") == 0) return ipcnet_crc32_autosar((uint32_t)previous, bytes, length);
  if (strcmp(name, "crc32Iscsi") == 0) {
    const uint32_t plain = ipcnet_crc32_iscsi((uint32_t)previous, bytes, length);
    check(ipcnet_crc32_iscsi_fast((uint32_t)previous, bytes, length) == plain, "fast CRC-32C differs");
    check(ipcnet_crc32_iscsi_sliced((uint32_t)previous, bytes, length) == plain, "sliced CRC-32C differs");
    return plain;
  }
  if (strcmp(name, "crc64Xz") == 0) {
    const uint64_t plain = ipcnet_crc64_xz(previous, bytes, length);
    check(ipcnet_crc64_xz_fast(previous, bytes, length) == plain, "fast CRC-64 differs");
    return plain;
  }
  fail("unknown CRC");
  return 0;
}

/* crc NAME BYTES EXPECTED */
static void run_crc(char **fields) {
  static uint8_t bytes[FRAME_MAX];
  const size_t length = bytes_of(fields[2], bytes, sizeof bytes);
  const uint64_t expected = number(fields[3]);
  check(crc_of(fields[1], 0, 1, bytes, length) == expected, "CRC differs");
  for (size_t cut = 0; cut <= length; cut++) {
    const uint64_t before = crc_of(fields[1], 0, 1, bytes, cut);
    check(crc_of(fields[1], before, 0, bytes + cut, length - cut) == expected, "chained CRC differs");
  }
}

/* --------------------------------------------------------------- profiles */

typedef ipcnet_e2e_verdict (*protect_fn)(const ipcnet_e2e_config *, uint8_t *, size_t, uint32_t);
typedef ipcnet_e2e_verdict (*inspect_fn)(const ipcnet_e2e_config *, const uint8_t *, size_t, uint32_t *);

static const struct profile {
  const char *name;
  protect_fn protect;
  inspect_fn inspect;
} profiles[] = {
  {"P01", ipcnet_e2e_p01_protect, ipcnet_e2e_p01_inspect}, {"P11", ipcnet_e2e_p01_protect, ipcnet_e2e_p01_inspect},
  {"P02", ipcnet_e2e_p02_protect, ipcnet_e2e_p02_inspect}, {"P22", ipcnet_e2e_p02_protect, ipcnet_e2e_p02_inspect},
  {"P04", ipcnet_e2e_p04_protect, ipcnet_e2e_p04_inspect}, {"P05", ipcnet_e2e_p05_protect, ipcnet_e2e_p05_inspect},
  {"P06", ipcnet_e2e_p06_protect, ipcnet_e2e_p06_inspect}, {"P07", ipcnet_e2e_p07_protect, ipcnet_e2e_p07_inspect},
  {"P08", ipcnet_e2e_p08_protect, ipcnet_e2e_p08_inspect},
};

static const struct profile *profile_of(const char *name) {
  for (size_t i = 0; i < sizeof profiles / sizeof *profiles; i++) {
    if (strcmp(profiles[i].name, name) == 0) return &profiles[i];
  }
  fail("unknown profile");
  return NULL;
}

/* … DATA_ID LIST MODE OFFSET MIN MAX CRC_BITS COUNTER_BITS NIBBLE_BITS */
static ipcnet_e2e_config config_of(char **fields, uint8_t *list) {
  const size_t listed = bytes_of(fields[1], list, 16);
  check(listed == 0 || listed == 16, "bad Data ID list");
  const ipcnet_e2e_config config = {
    .data_id = (uint32_t)number(fields[0]),
    .data_id_list = list,
    .data_id_mode = (ipcnet_e2e_data_id_mode)number(fields[2]),
    .offset_bytes = (uint32_t)number(fields[3]),
    .min_length_bytes = (uint32_t)number(fields[4]),
    .max_length_bytes = (uint32_t)number(fields[5]),
    .crc_offset_bits = (uint16_t)number(fields[6]),
    .counter_offset_bits = (uint16_t)number(fields[7]),
    .data_id_nibble_offset_bits = (uint16_t)number(fields[8]),
  };
  return config;
}

/* Exactly as long as the frame, so that the address sanitizer sees one byte too many. */
static uint8_t *exact_copy(const uint8_t *bytes, size_t length) {
  uint8_t *copy = malloc(length == 0 ? 1 : length);
  check(copy != NULL, "no memory");
  memcpy(copy, bytes, length);
  return copy;
}

/* frame PROFILE config×9 COUNTER INPUT FRAME: protect gives FRAME, inspect accepts it, no single-bit change passes */
static void run_frame(char **fields) {
  static uint8_t input[FRAME_MAX];
  static uint8_t expected[FRAME_MAX];
  uint8_t list[16] = {0};
  const struct profile *profile = profile_of(fields[1]);
  const ipcnet_e2e_config config = config_of(fields + 2, list);
  const uint32_t counter = (uint32_t)number(fields[11]);
  const size_t length = bytes_of(fields[12], input, sizeof input);
  check(bytes_of(fields[13], expected, sizeof expected) == length, "lengths differ");
  uint8_t *frame = exact_copy(input, length);
  check(profile->protect(&config, frame, length, counter) == IPCNET_E2E_INSPECTED_OK, "protect refuses");
  check(memcmp(frame, expected, length) == 0, "protected frame differs");
  uint32_t read = ~counter;
  check(profile->inspect(&config, frame, length, &read) == IPCNET_E2E_INSPECTED_OK && read == counter, "inspect refuses its own frame");
  /* The counter picks the Data ID there: changing it may happen to fit. */
  const int by_counter = profile->inspect == ipcnet_e2e_p02_inspect || config.data_id_mode == IPCNET_E2E_ALT;
  const size_t counter_byte = profile->inspect == ipcnet_e2e_p02_inspect ? config.offset_bytes + 1u : config.counter_offset_bits / 8u;
  for (size_t bit = 0; bit < length * 8; bit++) {
    if (by_counter && bit / 8 == counter_byte) continue;
    frame[bit / 8] = (uint8_t)(frame[bit / 8] ^ 1u << bit % 8);
    check(profile->inspect(&config, frame, length, &read) != IPCNET_E2E_INSPECTED_OK, "a changed bit passes");
    frame[bit / 8] = (uint8_t)(frame[bit / 8] ^ 1u << bit % 8);
  }
  free(frame);
}

/* inspect PROFILE config×9 VERDICT COUNTER FRAME: any bytes of any length */
static void run_inspect(char **fields) {
  static uint8_t bytes[FRAME_MAX];
  uint8_t list[16] = {0};
  const struct profile *profile = profile_of(fields[1]);
  const ipcnet_e2e_config config = config_of(fields + 2, list);
  const size_t length = bytes_of(fields[13], bytes, sizeof bytes);
  uint8_t *frame = exact_copy(bytes, length);
  uint32_t counter = 0;
  const ipcnet_e2e_verdict verdict = profile->inspect(&config, frame, length, &counter);
  check((uint64_t)verdict == number(fields[11]), "verdict differs");
  check(counter == (verdict == IPCNET_E2E_INSPECTED_OK ? number(fields[12]) : 0), "counter differs");
  free(frame);
}

/* ---------------------------------------------------- sequence and channel */

/* counter COUNTER_MAX MAX_DELTA RESYNC_FRAMES RESYNCS COUNTER:RESULT:LOST,… */
static void run_counter(char **fields) {
  ipcnet_e2e_receiver receiver;
  ipcnet_e2e_receiver_init(&receiver, (uint32_t)number(fields[1]), (uint32_t)number(fields[2]), (uint8_t)number(fields[3]));
  for (char *step = strtok(fields[5], ","); step != NULL; step = strtok(NULL, ",")) {
    uint32_t counter = 0;
    unsigned result = 0;
    uint32_t lost = 0;
    check(sscanf(step, "%" SCNu32 ":%u:%" SCNu32, &counter, &result, &lost) == 3, "bad step");
    check((unsigned)ipcnet_e2e_judge(&receiver, IPCNET_E2E_INSPECTED_OK, counter) == result, "result differs");
    check(receiver.lost == lost, "lost differs");
    const ipcnet_e2e_receiver before = receiver;
    check(ipcnet_e2e_judge(&receiver, IPCNET_E2E_CRC_MISMATCH, counter + 1) == IPCNET_E2E_RESULT_CRC_MISMATCH, "a wrong CRC passes");
    receiver.lost = before.lost;
    check(memcmp(&receiver, &before, sizeof before) == 0, "a frame with a wrong CRC changed the receiver");
  }
  check(receiver.resyncs == number(fields[4]), "resyncs differ");
}

static ipcnet_e2e_limits limits_of(char **fields) {
  const ipcnet_e2e_limits limits = {(uint8_t)number(fields[0]), (uint8_t)number(fields[1]), (uint8_t)number(fields[2])};
  return limits;
}

/* channel (WINDOW MIN_OK MAX_ERROR)×{init, valid, invalid} CLEAR_TO_INVALID INPUT:STATE,… */
static void run_channel(char **fields) {
  const ipcnet_e2e_channel_config config = {limits_of(fields + 1), limits_of(fields + 4), limits_of(fields + 7), (uint8_t)number(fields[10])};
  ipcnet_e2e_channel channel;
  check(ipcnet_e2e_channel_start(&channel, &config) == 0, "configuration refused");
  for (char *step = strtok(fields[11], ","); step != NULL; step = strtok(NULL, ",")) {
    unsigned input = 0;
    unsigned state = 0;
    check(sscanf(step, "%u:%u", &input, &state) == 2, "bad step");
    check((unsigned)ipcnet_e2e_channel_step(&channel, (ipcnet_e2e_result)input) == state, "state differs");
  }
  ipcnet_e2e_channel_stop(&channel);
  check(ipcnet_e2e_channel_step(&channel, IPCNET_E2E_OK) == IPCNET_E2E_DEINIT, "a stopped channel moves");
}

static void refused_configurations(void) {
  ipcnet_e2e_channel channel;
  const ipcnet_e2e_channel_config none = {{0, 1, 0}, {0, 1, 0}, {0, 1, 0}, 0};
  const ipcnet_e2e_channel_config larger = {{6, 1, 0}, {5, 1, 0}, {5, 1, 0}, 0};
  const ipcnet_e2e_channel_config fine = IPCNET_E2E_CHANNEL_DEFAULT;
  check(ipcnet_e2e_channel_start(&channel, &none) == -1 && channel.state == IPCNET_E2E_DEINIT, "empty windows accepted");
  check(ipcnet_e2e_channel_start(&channel, &larger) == -1 && channel.state == IPCNET_E2E_DEINIT, "too large a window accepted");
  check(ipcnet_e2e_channel_start(&channel, &fine) == 0 && channel.state == IPCNET_E2E_NODATA, "the default refused");

  uint8_t frame[8] = {0};
  const ipcnet_e2e_config p01 = {.data_id = 0x123, IPCNET_E2E_P01_AT(0)};
  check(ipcnet_e2e_p01_protect(&p01, frame, 8, 15) == IPCNET_E2E_BAD_COUNTER, "counter 15 accepted");
  check(ipcnet_e2e_p01_protect(&p01, frame, 1, 0) == IPCNET_E2E_BAD_LENGTH, "a frame of one byte accepted");
  const ipcnet_e2e_config p08 = {.data_id = 1, .offset_bytes = 0xFFFFFFF8u};
  check(ipcnet_e2e_p08_protect(&p08, frame, 8, 0) == IPCNET_E2E_BAD_LENGTH, "a header outside the frame accepted");
  check(frame[0] == 0 && frame[1] == 0, "a refused frame was touched");
}

/* -------------------------------------------------------------------- rows */

static void run_line(char *line) {
  static const struct {
    const char *word;
    size_t fields;
    void (*run)(char **);
  } rows[] = {{"crc", 4, run_crc}, {"frame", 14, run_frame}, {"inspect", 14, run_inspect}, {"counter", 6, run_counter}, {"channel", 12, run_channel}};
  char *fields[FIELDS_MAX];
  size_t count = 0;
  char *rest = line;
  for (char *field = strtok_r(line, " \n", &rest); field != NULL && count < FIELDS_MAX; field = strtok_r(NULL, " \n", &rest)) fields[count++] = field;
  if (count == 0 || fields[0][0] == '#') return;
  for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
    if (strcmp(fields[0], rows[i].word) != 0) continue;
    check(count == rows[i].fields, "wrong number of columns");
    rows[i].run(fields);
    return;
  }
  fail("unknown kind of row");
}

int main(int argc, char **argv) {
  static char line[LINE_MAX_CHARS];
  FILE *input = argc == 2 && strcmp(argv[1], "-") != 0 ? fopen(argv[1], "r") : argc == 2 ? stdin : NULL;
  if (input == NULL) {
    fprintf(stderr, "usage: %s FILE|-\n", argv[0]);
    return 2;
  }
  refused_configurations();
  while (fgets(line, sizeof line, input) != NULL) {
    line_number++;
    snprintf(line_shown, sizeof line_shown, "%.150s", line);
    run_line(line);
  }
  printf("%lu rows passed (CRC-32C by the %s)\n", line_number, ipcnet_crc32_iscsi_by_processor() ? "processor" : "tables");
  if (input != stdin) fclose(input);
  return line_number == 0;
}
