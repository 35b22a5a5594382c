/* reflex_twin: every cell, the shape of the table, epochs, the watch, and the table's page in the specifications. `reflex_twin_test --table` prints that page's tables. */
#include "reflex_twin.h"

#include <string.h>

#include "../../../drivers/can/core/check.h"

#define PAGE "docs/specs/reflex-twins.md"
#define PAGE_BYTES_MAX 65536

static struct ipcnet_twin_step next(int role, int event) {
  return ipcnet_twin_next((enum ipcnet_twin_role)role, (enum ipcnet_twin_event)event);
}

/* ---- The table's shape ------------------------------------------------------------------------------------------------------------------ */

/* A cell that was forgotten is all zeros: STARTING without effects. Nothing but STARTING itself may look like that. */
static void every_cell_is_thought_of(void) {
  for (int role = 0; role < IPCNET_TWIN_ROLES; role++) {
    for (int event = 0; event < IPCNET_TWIN_EVENTS; event++) {
      struct ipcnet_twin_step step = next(role, event);
      CHECK(step.role < IPCNET_TWIN_ROLES);
      CHECK(role == IPCNET_TWIN_STARTING || step.role != IPCNET_TWIN_STARTING);
      CHECK(step.effects < 256);
    }
    CHECK(strcmp(ipcnet_twin_role_name((enum ipcnet_twin_role)role), "?") != 0);
  }
  for (int event = 0; event < IPCNET_TWIN_EVENTS; event++) CHECK(strcmp(ipcnet_twin_event_name((enum ipcnet_twin_event)event), "?") != 0);
}

/* What must hold in every cell, said as rules instead of as cells. */
static void every_cell_keeps_the_rules(void) {
  for (int role = 0; role < IPCNET_TWIN_ROLES; role++) {
    for (int event = 0; event < IPCNET_TWIN_EVENTS; event++) {
      struct ipcnet_twin_step step = next(role, event);
      bool held = ipcnet_twin_holds_lock((enum ipcnet_twin_role)role), holds = ipcnet_twin_holds_lock(step.role), moved = (int)step.role != role;
      if (moved) CHECK(step.effects & IPCNET_TWIN_DO_PUBLISH);
      if (held && !holds) CHECK((step.effects & IPCNET_TWIN_DO_SILENCE) && (step.effects & IPCNET_TWIN_DO_RELEASE));
      if (!held && holds) CHECK(event == IPCNET_TWIN_LOCK_GRANTED && (step.effects & IPCNET_TWIN_DO_STORE_EPOCH));
      if (step.effects & IPCNET_TWIN_DO_STORE_EPOCH) CHECK(event == IPCNET_TWIN_LOCK_GRANTED);
      if (step.effects & IPCNET_TWIN_DO_SEND_CLAIM) CHECK(event == IPCNET_TWIN_EPOCH_STORED && holds);
      if (step.role == IPCNET_TWIN_OWNER && moved) CHECK(role == IPCNET_TWIN_CLAIMING && (step.effects & IPCNET_TWIN_DO_TAKE_OVER));
      if (step.effects & IPCNET_TWIN_DO_KILL) CHECK(event == IPCNET_TWIN_OWNER_SUSPECT || event == IPCNET_TWIN_FENCE_EXPIRED);
      if (step.effects & IPCNET_TWIN_DO_TRY_LOCK) CHECK(!holds && event != IPCNET_TWIN_OWNER_SUSPECT && event != IPCNET_TWIN_FENCE_EXPIRED);
      if (event == IPCNET_TWIN_LOCK_HELD) CHECK(!holds);
      if (event == IPCNET_TWIN_STOP_ASKED) CHECK(step.role == IPCNET_TWIN_STOPPED);
      if (role == IPCNET_TWIN_STOPPED) CHECK(!moved);
      if (ipcnet_twin_may_send(step.role)) CHECK(holds);
    }
  }
  /* Numbers that are none: silence. */
  CHECK_INT(next(99, 0).role, IPCNET_TWIN_STOPPED);
  CHECK_INT(next(0, 99).role, IPCNET_TWIN_STOPPED);
  CHECK_INT(next(-1, -1).role, IPCNET_TWIN_STOPPED);
}

static unsigned reachable_from(int from) {
  unsigned seen = 1u << from;
  for (int turn = 0; turn < IPCNET_TWIN_ROLES; turn++) {
    for (int role = 0; role < IPCNET_TWIN_ROLES; role++) {
      for (int event = 0; event < IPCNET_TWIN_EVENTS && (seen & (1u << role)); event++) seen |= 1u << next(role, event).role;
    }
  }
  return seen;
}

static void every_role_is_reachable_and_none_is_stuck_sending(void) {
  CHECK_INT(reachable_from(IPCNET_TWIN_STARTING), (1u << IPCNET_TWIN_ROLES) - 1);
  for (int role = 0; role < IPCNET_TWIN_ROLES; role++) {
    CHECK(reachable_from(role) & (1u << IPCNET_TWIN_STOPPED));
    if (role != IPCNET_TWIN_STOPPED) CHECK(reachable_from(role) & (1u << IPCNET_TWIN_OWNER));
  }
}

/* ---- The watch -------------------------------------------------------------------------------------------------------------------------- */

static void a_standing_beat_is_seen_at_its_deadline(void) {
  struct ipcnet_twin_watch watch;
  uint64_t now_us = 5000000;
  ipcnet_twin_watch_init(&watch, 10000, now_us);
  CHECK(!ipcnet_twin_watch_look(&watch, 7, now_us)); /* the first sight of it */
  for (int ms = 1; ms < 10; ms++) CHECK(!ipcnet_twin_watch_look(&watch, 7, now_us + (uint64_t)ms * 1000));
  CHECK(ipcnet_twin_watch_look(&watch, 7, now_us + 10000));
  CHECK(ipcnet_twin_watch_look(&watch, 7, now_us + 11000)); /* and stays so */
  CHECK(!ipcnet_twin_watch_look(&watch, 8, now_us + 12000));
  CHECK_INT(watch.late, 0);
}

static void who_was_late_himself_accuses_nobody(void) {
  struct ipcnet_twin_watch watch;
  ipcnet_twin_watch_init(&watch, 10000, 1000);
  CHECK(!ipcnet_twin_watch_look(&watch, 1, 2000));
  CHECK(!ipcnet_twin_watch_look(&watch, 1, 2000 + 900000)); /* we slept, so did perhaps everybody */
  CHECK_INT(watch.late, 1);
  for (uint64_t ms = 1; ms < 10; ms++) CHECK(!ipcnet_twin_watch_look(&watch, 1, 902000 + ms * 1000));
  CHECK(ipcnet_twin_watch_look(&watch, 1, 912000)); /* the whole deadline anew */
  CHECK(!ipcnet_twin_watch_look(&watch, 1, 911000 - 500000) || watch.looked_us == 912000); /* a clock that goes back changes nothing */
  CHECK(ipcnet_twin_watch_look(&watch, 1, 912500));
}

/* Half the deadline is not late yet, one microsecond more is. */
static void the_edge_of_being_late(void) {
  static const struct { uint64_t gap_us; bool late; } CASES[] = {{4999, false}, {5000, false}, {5001, true}};
  for (int i = 0; i < 3; i++) {
    struct ipcnet_twin_watch watch;
    ipcnet_twin_watch_init(&watch, 10000, 1000);
    CHECK(!ipcnet_twin_watch_look(&watch, 0, 1000 + CASES[i].gap_us));
    CHECK_INT(watch.late, CASES[i].late);
    CHECK_INT(watch.looked_us, 1000 + CASES[i].gap_us);
    CHECK(!ipcnet_twin_watch_look(&watch, 0, 500)); /* a clock that goes back is not late */
    CHECK_INT(watch.late, CASES[i].late);
    CHECK_INT(watch.looked_us, 1000 + CASES[i].gap_us);
  }
}

/* What no role and no event is ends in silence, and has no name. */
static void what_is_not_in_the_table(void) {
  static const struct { unsigned role, event; } CASES[] = {{IPCNET_TWIN_ROLES, 0}, {0, IPCNET_TWIN_EVENTS}, {IPCNET_TWIN_ROLES, IPCNET_TWIN_EVENTS}, {UINT32_MAX, 0}, {0, UINT32_MAX}};
  for (int i = 0; i < 5; i++) {
    struct ipcnet_twin_step step = ipcnet_twin_next((enum ipcnet_twin_role)CASES[i].role, (enum ipcnet_twin_event)CASES[i].event);
    CHECK_INT(step.role, IPCNET_TWIN_STOPPED);
    CHECK_INT(step.effects, IPCNET_TWIN_DO_SILENCE | IPCNET_TWIN_DO_RELEASE | IPCNET_TWIN_DO_PUBLISH);
  }
  CHECK(strcmp(ipcnet_twin_role_name((enum ipcnet_twin_role)IPCNET_TWIN_ROLES), "?") == 0 && strcmp(ipcnet_twin_role_name((enum ipcnet_twin_role)(IPCNET_TWIN_ROLES - 1)), "stopped") == 0);
  CHECK(strcmp(ipcnet_twin_event_name((enum ipcnet_twin_event)IPCNET_TWIN_EVENTS), "?") == 0 && strcmp(ipcnet_twin_event_name((enum ipcnet_twin_event)(IPCNET_TWIN_EVENTS - 1)), "storeFailed") == 0);
}

/* ---- Epochs ----------------------------------------------------------------------------------------------------------------------------- */

static void epochs_only_rise(void) {
  CHECK_INT(ipcnet_epoch_next(NULL, 0), 1);
  CHECK_INT(ipcnet_epoch_next((const uint16_t[]){0, 0}, 2), 1);
  CHECK_INT(ipcnet_epoch_next((const uint16_t[]){3, 9, 5}, 3), 10);
  CHECK_INT(ipcnet_epoch_next((const uint16_t[]){0xFFFF}, 1), 1); /* 0 is left out */
  CHECK_INT(ipcnet_epoch_next((const uint16_t[]){0xFFF0, 3}, 2), 4); /* 3 is newer than 0xFFF0 */
  CHECK(!ipcnet_epoch_newer(0, 0) && !ipcnet_epoch_newer(0, 5) && ipcnet_epoch_newer(5, 0));
  for (unsigned a = 1; a <= 0xFFFF; a++) {
    uint16_t one = (uint16_t)a, two = ipcnet_epoch_next(&one, 1);
    CHECK(two != 0 && ipcnet_epoch_newer(two, one) && !ipcnet_epoch_newer(one, two) && !ipcnet_epoch_newer(one, one));
  }
  /* Half the circle away is neither newer nor older; one less is newer. And what is unknown is never newer. */
  for (unsigned a = 1; a <= 0xFFFF; a += 51) {
    uint16_t one = (uint16_t)a, nearly = (uint16_t)(a + 0x7FFF), opposite = (uint16_t)(a + 0x8000);
    if (nearly != 0) CHECK(ipcnet_epoch_newer(nearly, one) && !ipcnet_epoch_newer(one, nearly));
    if (opposite != 0) CHECK(!ipcnet_epoch_newer(opposite, one) && !ipcnet_epoch_newer(one, opposite));
    CHECK(!ipcnet_epoch_newer(0, one) && ipcnet_epoch_newer(one, 0));
  }
  for (unsigned step = 1; step < 0x10000u; step += 257) {
    uint16_t one = 1000, two = (uint16_t)(1000 + step);
    if (two != 0) CHECK(!(ipcnet_epoch_newer(one, two) && ipcnet_epoch_newer(two, one)));
  }
}

/* ---- The page --------------------------------------------------------------------------------------------------------------------------- */

static const char *const EFFECTS[] = {"kill", "store epoch", "send claim", "take over", "silence", "release", "try lock", "publish"};

/* One row per role: its events that do something, where they lead, what is done. Then the same as a drawing (Mermaid). */
static size_t print_page(char *to, size_t size) {
  size_t length = (size_t)snprintf(to, size, "| role | event → next role: what is done |\n|---|---|\n");
  for (int role = 0; role < IPCNET_TWIN_ROLES; role++) {
    const char *between = " ";
    length += (size_t)snprintf(to + length, size - length, "| **%s** |", ipcnet_twin_role_name((enum ipcnet_twin_role)role));
    for (int event = 0; event < IPCNET_TWIN_EVENTS; event++) {
      struct ipcnet_twin_step step = next(role, event);
      if ((int)step.role == role && step.effects == 0) continue;
      length += (size_t)snprintf(to + length, size - length, "%s`%s` → %s", between, ipcnet_twin_event_name((enum ipcnet_twin_event)event), ipcnet_twin_role_name(step.role));
      const char *mark = ": ";
      for (unsigned bit = 0; bit < 7; bit++) { /* PUBLISH goes with every change of role */
        if (!(step.effects & (1u << bit))) continue;
        length += (size_t)snprintf(to + length, size - length, "%s%s", mark, EFFECTS[bit]);
        mark = ", ";
      }
      between = " · ";
    }
    length += (size_t)snprintf(to + length, size - length, " |\n");
  }
  length += (size_t)snprintf(to + length, size - length, "\n```mermaid\nstateDiagram-v2\n  [*] --> starting\n");
  for (int role = 0; role < IPCNET_TWIN_ROLES; role++) {
    for (int other = 0; other < IPCNET_TWIN_ROLES; other++) {
      const char *between = " : ";
      if (role == other) continue;
      for (int event = 0; event < IPCNET_TWIN_EVENTS; event++) {
        if ((int)next(role, event).role != other) continue;
        if (between[1] == ':') length += (size_t)snprintf(to + length, size - length, "  %s --> %s", ipcnet_twin_role_name((enum ipcnet_twin_role)role), ipcnet_twin_role_name((enum ipcnet_twin_role)other));
        length += (size_t)snprintf(to + length, size - length, "%s%s", between, ipcnet_twin_event_name((enum ipcnet_twin_event)event));
        between = ", ";
      }
      if (between[1] != ':') length += (size_t)snprintf(to + length, size - length, "\n");
    }
  }
  return length + (size_t)snprintf(to + length, size - length, "```\n");
}

static void the_page_shows_the_table(void) {
  static char table[PAGE_BYTES_MAX], page[PAGE_BYTES_MAX];
  size_t length = print_page(table, sizeof table);
  CHECK(length < sizeof table);
  FILE *file = fopen(PAGE, "rb");
  if (file == NULL) {
    printf("reflex_twin: not run from the project's root: the specification was not compared\n");
    return;
  }
  page[fread(page, 1, sizeof page - 1, file)] = '\0';
  fclose(file);
  bool shown = strstr(page, table) != NULL;
  CHECK(shown);
  if (!shown) fprintf(stderr, "put this into " PAGE " (reflex_twin_test --table prints it):\n%s", table);
}

int main(int argc, char **argv) {
  if (argc > 1 && strcmp(argv[1], "--table") == 0) {
    static char table[PAGE_BYTES_MAX];
    return fwrite(table, 1, print_page(table, sizeof table), stdout) > 0 ? 0 : 1;
  }
  every_cell_is_thought_of();
  every_cell_keeps_the_rules();
  every_role_is_reachable_and_none_is_stuck_sending();
  a_standing_beat_is_seen_at_its_deadline();
  who_was_late_himself_accuses_nobody();
  the_edge_of_being_late();
  what_is_not_in_the_table();
  epochs_only_rise();
  the_page_shows_the_table();
  return checks_report("reflex_twin");
}
