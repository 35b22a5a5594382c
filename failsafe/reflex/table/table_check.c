/* For tests: opens tables and judges payloads as the reflex does. Standard input: 'T', u32 length, a table → a line "ok HASH" or "CODE SECTION ROW"; 'P', u16 message, u16 length,
 * payload → a line "1" (every check of the message holds) or "0". */
#include <stdalign.h>
#include <stdio.h>
#include <stdlib.h>

#include "reflex_table.h"

static alignas(8) uint8_t table_bytes[IPCNET_REFLEX_TABLE_BYTES_MAX];

static void take(void *to, size_t length) {
  if (fread(to, 1, length, stdin) != length) exit(2);
}

static void open_table(struct ipcnet_reflex_table *table) {
  uint32_t length = 0;
  struct ipcnet_reflex_table_fault fault = {0};
  take(&length, sizeof length);
  if (length > sizeof table_bytes) exit(2);
  take(table_bytes, length);
  if (!ipcnet_reflex_table_open(table, table_bytes, length, &fault)) {
    printf("%s %u %u\n", fault.code, fault.section, fault.row);
    return;
  }
  printf("ok ");
  for (size_t i = 0; i < sizeof table->header->hash; i++) printf("%02x", table->header->hash[i]);
  printf("\n");
}

static void judge(const struct ipcnet_reflex_table *table) {
  uint16_t message = 0, length = 0;
  uint8_t payload[64] = {0};
  take(&message, sizeof message);
  take(&length, sizeof length);
  if (length > sizeof payload) exit(2);
  take(payload, length);
  if (message >= table->header->sections[IPCNET_REFLEX_MESSAGES].count || table->messages[message].length_bytes != length) exit(2);
  printf("%d\n", ipcnet_reflex_checks_hold(table, &table->messages[message], payload));
}

int main(void) {
  struct ipcnet_reflex_table table = {0};
  for (int what = getchar(); what != EOF; what = getchar()) {
    if (what == 'T') open_table(&table);
    else if (what == 'P' && table.header != NULL) judge(&table);
    else return 2;
  }
  return 0;
}
