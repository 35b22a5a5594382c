#include "restart.h"

#define MAGIC 0x52535254u
#define AIRCR (*(volatile uint32_t *)0xE000ED0Cu)
#define AIRCR_SYSTEM_RESET 0x05FA0004u

/* Never initialised: what it holds after power-up is chance, which the check word tells from a note. */
static struct { uint32_t magic, why, count, check; } note __attribute__((section(".noinit")));
static enum board_cause cause;

static uint32_t check_of(void) {
  return ~(note.magic ^ note.why ^ note.count * 0x9E3779B1u);
}

void restart_note(uint32_t why) {
  note.why = why;
  note.check = check_of();
}

void restart_begin(void) {
  static const enum board_cause causes[] = { BOARD_RESET_PIN, BOARD_WATCHDOG, BOARD_REQUESTED, BOARD_FAULT };
  const bool known = note.magic == MAGIC && note.check == check_of() && note.why <= RESTART_FAULT;
  cause = known ? causes[note.why] : BOARD_POWER_ON;
  if (!known) note.count = 0;
  note.magic = MAGIC;
  note.count++;
  restart_note(RESTART_NONE);
}

void restart_reasons(bool watchdog, bool power_on) {
  if (cause == BOARD_REQUESTED || cause == BOARD_FAULT) return;
  cause = watchdog ? BOARD_WATCHDOG : power_on ? BOARD_POWER_ON : BOARD_RESET_PIN;
}

void restart_now(uint32_t why) {
  restart_note(why);
  __asm volatile("dsb" ::: "memory");
  AIRCR = AIRCR_SYSTEM_RESET;
  for (;;) {}
}

enum board_cause restart_cause(void) {
  return cause;
}

uint32_t restart_count(void) {
  return note.count;
}
