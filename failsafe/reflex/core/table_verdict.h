/*
 * table_verdict: what the tests of tables share: a table to be changed, and whether it is then taken, or by which rule, in which section and row it is refused.
 */
#ifndef IPCNET_TABLE_VERDICT_H
#define IPCNET_TABLE_VERDICT_H

#include <stdio.h>

#include "../../../drivers/can/core/check.h"
#include "table_rig.h"

static struct table_rig rig;

/* Opens a copy that is exactly as long as it says, so that the sanitizer sees every byte too far. */
static inline const char *open_bytes(const uint8_t *bytes, size_t length, struct ipcnet_reflex_table_fault *fault)
{
  uint8_t *copy = aligned_alloc(8, (length + 7) & ~(size_t)7);
  memcpy(copy, bytes, length);
  struct ipcnet_reflex_table table;
  *fault = (struct ipcnet_reflex_table_fault){.code = ""};
  bool good = ipcnet_reflex_table_open(&table, copy, length, fault);
  free(copy);
  return good ? "" : fault->code;
}

static inline const char *open_rig(struct ipcnet_reflex_table_fault *fault)
{
  size_t length = 0;
  uint8_t *bytes = rig_table(&rig, &length);
  const char *code = open_bytes(bytes, length, fault);
  free(bytes);
  return code;
}

#define REFUSED(change, wanted, in_section, in_row)                                              \
  do {                                                                                           \
    struct ipcnet_reflex_table_fault fault_;                                                     \
    rig_arm_table(&rig);                                                                         \
    change;                                                                                      \
    const char *code_ = open_rig(&fault_);                                                       \
    if (strcmp(code_, wanted) != 0) fprintf(stderr, "%s: \"%s\", not \"%s\"\n", #change, code_, wanted); \
    CHECK(strcmp(code_, wanted) == 0);                                                           \
    CHECK_INT(fault_.section, in_section);                                                       \
    CHECK_INT(fault_.row, in_row);                                                               \
  } while (0)

#define TAKEN(change)                                                                  \
  do {                                                                                 \
    struct ipcnet_reflex_table_fault fault_;                                           \
    rig_arm_table(&rig);                                                               \
    change;                                                                            \
    const char *code_ = open_rig(&fault_);                                             \
    if (code_[0] != 0) fprintf(stderr, "%s: \"%s\" in %u row %u\n", #change, code_, fault_.section, fault_.row); \
    CHECK(code_[0] == 0);                                                              \
  } while (0)

#endif
