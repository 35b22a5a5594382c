/*
 * core_rig: the reflex with an outside that is played by the test: buses that take frames and echo them (or not), an arm whose nodes report every 10 ms, a brain that beats, a lock
 * and an epoch store that answer at once, a journal. Time moves in steps of a millisecond.
 */
#ifndef IPCNET_CORE_RIG_H
#define IPCNET_CORE_RIG_H

#include <stdio.h>
#include <stdlib.h>

#include "reflex.h"
#include "reflex_internal.h"
#include "table_rig.h"

#define RIG_LOG 4096u

struct sent_frame { uint8_t bus, role; uint64_t at_us; struct ipcnet_can_frame frame; };

struct core_rig {
  struct ipcnet_reflex *reflex;
  struct ipcnet_reflex_page *page;
  const struct ipcnet_reflex_page *other;
  uint8_t *table_bytes;
  size_t table_length;
  uint64_t now_us, report_due_us, beat_due_us;

  /* What came out. The log keeps the newest; counts only rise. */
  struct sent_frame sent[RIG_LOG];
  uint32_t sent_count;
  struct ipcnet_can_frame records[RIG_LOG];
  uint32_t record_count;
  uint32_t bus_effects[8][IPCNET_EFFECTS];
  uint32_t twin_effects; /* all since it was cleared */
  struct ipcnet_reflex_image journal;
  uint32_t journalled;
  bool journal_saw_send; /* an image was written after the newest frame */

  /* How it behaves. */
  enum ipcnet_can_verdict verdict[8];
  bool refuses_claims;
  bool echoes[8], may_purge[8];
  uint32_t purge_asked;  /* how often the system was asked for the right to */
  int power_line;
  bool answers_twin;     /* lock and store answer at once */
  bool plant, brain;     /* nodes report, a brain beats */
  bool elbow_stopped;
  uint16_t node_epoch;   /* what the shoulder reports; follows what it hears if `follows` */
  uint8_t node_owner;
  bool follows;
  int16_t velocity;
  uint8_t brake;
  int8_t strain;
  bool pressed;
  uint8_t state_counter;
  uint32_t brain_epoch;
  uint64_t sequence;
  uint32_t token;

  /* Frames that wait for their echo. */
  struct ipcnet_can_frame flying[8][64];
  uint32_t flying_count[8];
};

/* ---- The outside ------------------------------------------------------------------------------------------------------------------------------ */

static enum ipcnet_can_verdict rig_os_send(void *context, uint8_t bus, const struct ipcnet_can_frame *frame)
{
  struct core_rig *rig = context;
  if (rig->verdict[bus] != IPCNET_CAN_QUEUED) return rig->verdict[bus];
  if (rig->refuses_claims && (frame->can_id & ~3u) == 0x010) return IPCNET_CAN_QUEUE_FULL;
  rig->sent[rig->sent_count++ % RIG_LOG] = (struct sent_frame){.bus = bus, .role = (uint8_t)rig->reflex->role, .at_us = rig->now_us, .frame = *frame};
  rig->journal_saw_send = false;
  if (rig->flying_count[bus] < 64) rig->flying[bus][rig->flying_count[bus]++] = *frame;
  bool claims = frame->token != IPCNET_CAN_PROBE_TOKEN && bus == ARM_BUS && (frame->can_id & ~3u) == 0x010;
  if (claims && rig->follows && (frame->data[3] & 15) != IPCNET_RELEASE && (frame->data[3] & 15) != IPCNET_HANDOVER) {
    rig->node_epoch = (uint16_t)(frame->data[4] | frame->data[5] << 8);
    rig->node_owner = frame->data[6];
  }
  return IPCNET_CAN_QUEUED;
}

static void rig_os_effect(void *context, uint8_t bus, enum ipcnet_bus_effect_kind kind)
{
  ((struct core_rig *)context)->bus_effects[bus][kind]++;
}

/* What every report keeps to, in every test: of no bus is bus 0, of nobody's command has no token, and what is settled was somebody's. */
static void rig_judge_report(const struct ipcnet_can_frame *report)
{
  static const struct { bool bus, token; } SAYS[] = {
    [IPCNET_REPORT_REFUSED] = {false, true}, [IPCNET_REPORT_SETTLED] = {true, true}, [IPCNET_REPORT_STATE] = {false, false}, [IPCNET_REPORT_BUS] = {true, false}, [IPCNET_REPORT_LINK] = {true, false},
    [IPCNET_REPORT_NODE] = {true, true}, [IPCNET_REPORT_STEP] = {false, true}, [IPCNET_REPORT_VERDICT] = {false, false}, [IPCNET_REPORT_CALL] = {false, true}, [IPCNET_REPORT_ROLE] = {false, false}};
  bool known = report->can_id <= IPCNET_REPORT_ROLE;
  bool sound = known && (SAYS[report->can_id].bus || report->bus == 0) && (SAYS[report->can_id].token || report->token == 0) && (report->can_id != IPCNET_REPORT_SETTLED || report->token != 0);
  if (sound) return;
  fprintf(stderr, "a report that cannot be: kind %u, bus %u, token %u\n", report->can_id, report->bus, report->token);
  abort();
}

static void rig_os_record(void *context, const struct ipcnet_can_frame *record)
{
  struct core_rig *rig = context;
  if (record->flags & IPCNET_REFLEX_REPORT) rig_judge_report(record);
  rig->records[rig->record_count++ % RIG_LOG] = *record;
}

static void rig_os_journal(void *context, const struct ipcnet_reflex_image *image)
{
  struct core_rig *rig = context;
  rig->journal = *image;
  rig->journalled++;
  rig->journal_saw_send = true;
}

static void rig_os_twin(void *context, uint32_t effects, uint16_t epoch)
{
  struct core_rig *rig = context;
  (void)epoch;
  rig->twin_effects |= effects;
  if (rig->answers_twin && (effects & IPCNET_TWIN_DO_STORE_EPOCH)) ipcnet_reflex_twin_event(rig->reflex, IPCNET_TWIN_EPOCH_STORED, rig->other, rig->now_us);
  if (rig->answers_twin && (effects & IPCNET_TWIN_DO_TRY_LOCK)) ipcnet_reflex_twin_event(rig->reflex, IPCNET_TWIN_LOCK_GRANTED, rig->other, rig->now_us);
}

static bool rig_os_may_purge(void *context, uint8_t bus)
{
  struct core_rig *rig = context;
  rig->purge_asked++;
  return rig->may_purge[bus];
}

static int rig_os_power_line(void *context)
{
  return ((struct core_rig *)context)->power_line;
}

/* ---- Making and ending ------------------------------------------------------------------------------------------------------------------------- */

static inline void rig_begin(struct core_rig *rig, uint8_t instance)
{
  memset(rig, 0, sizeof *rig);
  rig->reflex = aligned_alloc(64, (ipcnet_reflex_size() + 63u) & ~(size_t)63u);
  rig->page = aligned_alloc(64, IPCNET_REFLEX_PAGE_BYTES);
  memset(rig->page, 0, IPCNET_REFLEX_PAGE_BYTES);
  rig->now_us = 5000000;
  for (unsigned bus = 0; bus < 8; bus++) {
    rig->verdict[bus] = IPCNET_CAN_QUEUED;
    rig->echoes[bus] = rig->may_purge[bus] = true;
  }
  rig->answers_twin = rig->plant = rig->brain = rig->follows = true;
  rig->brain_epoch = 7;
  rig->node_owner = 7;
  struct ipcnet_reflex_os os = {.context = rig, .send = rig_os_send, .bus_effect = rig_os_effect, .record = rig_os_record, .journal = rig_os_journal, .twin = rig_os_twin};
  struct ipcnet_reflex_options options = {.instance = instance, .boot_id = {1, 2, 3}, .may_purge = rig_os_may_purge, .power_line = rig_os_power_line};
  ipcnet_reflex_init(rig->reflex, &options, &os, rig->page, rig->now_us);
}

static inline void rig_end(struct core_rig *rig)
{
  free(rig->reflex);
  free(rig->page);
  free(rig->table_bytes);
}

static inline bool rig_load(struct core_rig *rig, struct table_rig *table)
{
  uint8_t *before = rig->table_bytes;
  rig->table_bytes = rig_table(table, &rig->table_length);
  struct ipcnet_reflex_table_fault fault = {.code = ""};
  bool loaded = ipcnet_reflex_load_table(rig->reflex, rig->table_bytes, rig->table_length, rig->now_us, &fault);
  if (!loaded) {
    free(rig->table_bytes);
    rig->table_bytes = before;
  } else {
    free(before);
  }
  return loaded;
}

static inline void rig_link(struct core_rig *rig, uint8_t bus, uint32_t kind, uint32_t a)
{
  struct ipcnet_can_link link = {.index = 1, .is_can = true, .controller = true, .up = true, .running = true, .bitrate_bps = 500000, .tx_queue_frames = 10};
  struct ipcnet_can_link_event event = {.kind = kind, .a = a};
  ipcnet_reflex_link(rig->reflex, bus, &event, kind == IPCNET_LINK_UP ? &link : NULL, rig->now_us);
}

static inline void rig_links_up(struct core_rig *rig)
{
  for (uint8_t bus = 0; bus < 3; bus++) rig_link(rig, bus, IPCNET_LINK_UP, 0);
}

static inline void rig_event(struct core_rig *rig, enum ipcnet_twin_event event)
{
  ipcnet_reflex_twin_event(rig->reflex, event, rig->other, rig->now_us);
}

/* ---- Frames of others --------------------------------------------------------------------------------------------------------------------------- */

static inline struct ipcnet_can_frame rig_frame(const struct core_rig *rig, uint8_t bus, uint32_t can_id, uint8_t flags, uint8_t length)
{
  return (struct ipcnet_can_frame){.time_us = (double)rig->now_us, .can_id = can_id, .flags = flags, .length_bytes = length, .bus = bus};
}

static inline void rig_hear(struct core_rig *rig, const struct ipcnet_can_frame *frame)
{
  ipcnet_reflex_frames(rig->reflex, (uint8_t)frame->bus, frame, 1, rig->now_us);
}

static inline struct ipcnet_can_frame rig_claim_of(const struct core_rig *rig, enum ipcnet_claim_kind kind, uint16_t epoch, uint8_t owner, uint8_t counter)
{
  struct ipcnet_can_frame frame = rig_frame(rig, ARM_BUS, 0x010u | owner, 0, 8);
  frame.data[3] = (uint8_t)(1u << 4 | (uint32_t)kind);
  frame.data[4] = (uint8_t)epoch;
  frame.data[5] = (uint8_t)(epoch >> 8);
  frame.data[6] = owner;
  const ipcnet_e2e_config config = {.data_id = 0xC1A1};
  ipcnet_e2e_p05_protect(&config, frame.data, 8, counter);
  return frame;
}

static inline struct ipcnet_can_frame rig_shoulder_state(struct core_rig *rig)
{
  struct ipcnet_can_frame frame = rig_frame(rig, ARM_BUS, 0x181, 0, 8);
  ipcnet_reflex_field_set(RIG_FIELD(24, 16, 0), frame.data, rig->node_epoch);
  ipcnet_reflex_field_set(RIG_FIELD(40, 3, 0), frame.data, rig->node_owner);
  ipcnet_reflex_field_set(RIG_FIELD(48, 16, 2), frame.data, (uint64_t)rig->velocity);
  const ipcnet_e2e_config config = {.data_id = 0x4321, .max_length_bytes = 8};
  ipcnet_e2e_p05_protect(&config, frame.data, 8, rig->state_counter++);
  return frame;
}

static inline void rig_report(struct core_rig *rig)
{
  struct ipcnet_can_frame frame = rig_shoulder_state(rig);
  rig_hear(rig, &frame);
  frame = rig_frame(rig, ARM_BUS, 0x705, 0, 1);
  frame.data[0] = rig->elbow_stopped ? 4 : 5;
  rig_hear(rig, &frame);
  frame = rig_frame(rig, AUX_BUS, 0x283, 0, 2);
  frame.data[0] = rig->brake;
  frame.data[1] = (uint8_t)rig->strain;
  rig_hear(rig, &frame);
  frame = rig_frame(rig, ARM_BUS, 0x80, 0, 1);
  frame.data[0] = rig->pressed;
  rig_hear(rig, &frame);
}

/* The bus transmits what was handed over: echoes come back. A frame may put the brake on, a stop makes still. */
static inline void rig_echo(struct core_rig *rig)
{
  for (uint8_t bus = 0; bus < 8; bus++) {
    if (!rig->echoes[bus]) continue;
    uint32_t count = rig->flying_count[bus];
    struct ipcnet_can_frame frames[64];
    memcpy(frames, rig->flying[bus], sizeof frames[0] * count);
    rig->flying_count[bus] = 0;
    for (uint32_t i = 0; i < count; i++) {
      if (bus == ARM_BUS && frames[i].can_id == 0x103) rig->brake = 1;
      frames[i].flags |= IPCNET_CAN_ECHO;
      frames[i].time_us = (double)rig->now_us;
    }
    if (count > 0) ipcnet_reflex_frames(rig->reflex, bus, frames, count, rig->now_us);
  }
}

/* ---- Time --------------------------------------------------------------------------------------------------------------------------------------- */

static inline void rig_run(struct core_rig *rig, uint64_t for_us)
{
  for (uint64_t end = rig->now_us + for_us; rig->now_us < end;) {
    rig->now_us += 1000;
    rig_echo(rig);
    if (rig->plant && rig->now_us >= rig->report_due_us) {
      rig->report_due_us = rig->now_us + 10000;
      rig_report(rig);
    }
    bool beats = rig->brain && rig->now_us >= rig->beat_due_us;
    if (beats) rig->beat_due_us = rig->now_us + 50000;
    if (beats) ipcnet_reflex_order(rig->reflex, IPCNET_ORDER_BRAIN_BEAT, rig->brain_epoch, 0, 0, rig->now_us);
    ipcnet_reflex_tick(rig->reflex, rig->now_us);
  }
}

/* ---- Asking ------------------------------------------------------------------------------------------------------------------------------------- */

static inline struct ipcnet_reflex_state_record rig_state(const struct core_rig *rig)
{
  struct ipcnet_reflex_state_record state;
  ipcnet_reflex_state(rig->reflex, &state);
  return state;
}

/* How many frames with this identifier are in the log from number `from` on. */
static inline uint32_t rig_sent(const struct core_rig *rig, uint32_t from, uint8_t bus, uint32_t can_id)
{
  uint32_t count = 0;
  for (uint32_t i = from; i < rig->sent_count; i++) count += rig->sent[i % RIG_LOG].bus == bus && rig->sent[i % RIG_LOG].frame.can_id == can_id;
  return count;
}

static inline const struct ipcnet_can_frame *rig_last_sent(const struct core_rig *rig, uint8_t bus, uint32_t can_id)
{
  for (uint32_t i = rig->sent_count; i > 0 && i + RIG_LOG > rig->sent_count; i--) {
    const struct sent_frame *sent = &rig->sent[(i - 1) % RIG_LOG];
    if (sent->bus == bus && sent->frame.can_id == can_id) return &sent->frame;
  }
  return NULL;
}

/* The newest report of that kind about `token`; NULL if there is none from number `from` on. */
static inline const struct ipcnet_can_frame *rig_report_of(const struct core_rig *rig, uint32_t from, enum ipcnet_reflex_report kind, uint32_t token)
{
  for (uint32_t i = rig->record_count; i > from; i--) {
    const struct ipcnet_can_frame *record = &rig->records[(i - 1) % RIG_LOG];
    if ((record->flags & IPCNET_REFLEX_REPORT) && record->can_id == (uint32_t)kind && record->token == token) return record;
  }
  return NULL;
}

static inline bool rig_lacks(struct core_rig *rig, enum ipcnet_reflex_missing reason, uint16_t subject)
{
  struct ipcnet_reflex_lack lacks[64];
  size_t count = ipcnet_reflex_missing(rig->reflex, rig->now_us, lacks, 64);
  for (size_t i = 0; i < count && i < 64; i++) {
    if (lacks[i].reason == reason && lacks[i].subject == subject) return true;
  }
  return false;
}

static inline enum ipcnet_reflex_answer rig_order(struct core_rig *rig, enum ipcnet_reflex_order order, uint32_t a, uint32_t b)
{
  return ipcnet_reflex_order(rig->reflex, order, a, b, 0, rig->now_us);
}

/* ---- Commands ----------------------------------------------------------------------------------------------------------------------------------- */

/* A command as a brain makes it: newest sequence, 40 ms to live. */
static inline struct ipcnet_reflex_command rig_make(struct core_rig *rig, uint16_t message)
{
  static const uint8_t LENGTHS[] = {8, 8, 2, 3, 16};
  struct ipcnet_reflex_command command = {
    .deadline_us = rig->now_us + 40000, .sequence = ++rig->sequence, .brain_epoch = rig->brain_epoch, .token = ++rig->token, .message = message, .length_bytes = message < 5 ? LENGTHS[message] : 8};
  memcpy(&command.table_hash, ((const struct ipcnet_reflex_table_header *)(const void *)rig->table_bytes)->hash, 8);
  if (message == BRAKE) command.data[0] = 1;
  if (message == LAMP) command.data[8] = 9;
  return command;
}

static inline void rig_give(struct core_rig *rig, const struct ipcnet_reflex_command *command)
{
  ipcnet_reflex_command(rig->reflex, command, sizeof *command, rig->now_us);
}

/* Gives it and says how it was refused at once; 0: it was not. */
static inline uint8_t rig_refusal(struct core_rig *rig, const struct ipcnet_reflex_command *command)
{
  uint32_t from = rig->record_count;
  rig_give(rig, command);
  const struct ipcnet_can_frame *report = rig_report_of(rig, from, IPCNET_REPORT_REFUSED, command->token);
  return report == NULL ? 0 : report->data[0];
}

/* ---- Usual beginnings --------------------------------------------------------------------------------------------------------------------------- */

/* Owner, buses up and claimed, nodes heard, brain there: nothing is missing. */
static inline void rig_ready_with(struct core_rig *rig, struct table_rig *table, uint8_t instance)
{
  rig_begin(rig, instance);
  rig_load(rig, table);
  rig_links_up(rig);
  rig_event(rig, IPCNET_TWIN_LOCK_GRANTED);
  rig_run(rig, 150000);
}

static inline void rig_ready(struct core_rig *rig)
{
  struct table_rig *table = malloc(sizeof *table);
  rig_arm_table(table);
  rig_ready_with(rig, table, 0);
  free(table);
}

/* Armed, and no set-point is missed when it ends. */
static inline void rig_armed_calm(struct core_rig *rig)
{
  struct table_rig *table = malloc(sizeof *table);
  rig_arm_table(table);
  table->messages[SHOULDER].expired_trigger = IPCNET_REFLEX_NONE;
  rig_ready_with(rig, table, 0);
  free(table);
  rig_order(rig, IPCNET_ORDER_ARM, 0, 0);
}

static inline void rig_armed(struct core_rig *rig)
{
  rig_ready(rig);
  rig_order(rig, IPCNET_ORDER_ARM, 0, 0);
}

#endif
