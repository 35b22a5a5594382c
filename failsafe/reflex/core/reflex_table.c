#include "reflex_table.h"

#include <string.h>

#include "../../../drivers/can/core/ipcnet_can.h"
#include "../../../shm/core/sha256.h"
#include "reflex_plan.h"
#include "reflex_protect.h"

/* ---- Limits ----------------------------------------------------------------------------------------------------------------------------- */

#define TIME_MAX_US 60000000u          /* lives, rates, ages and times-out of frames: a minute is no longer a control loop */
#define PLAN_TIME_MAX_US 3600000000u   /* an hour: fits 32 bits */
#define TIME_MIN_US 1000u              /* the process turns once a millisecond */
#define BITRATE_MAX_BPS 20000000u      /* CAN XL's fastest */
#define FRAME_BITS_MAX 2000u           /* 64 bytes at the nominal rate with stuffing: 740; with room */
#define CLASSIC_BYTES_MAX 8u

#define FIELD_FLAGS 7u
#define FIELD_BIG_ENDIAN 1u
#define FIELD_SIGNED 2u
#define FIELD_IEEE 4u

static const struct { uint32_t bytes, count_max; } SECTIONS[IPCNET_REFLEX_SECTIONS] = {
  [IPCNET_REFLEX_BUSES] = {sizeof(struct ipcnet_reflex_bus), IPCNET_REFLEX_BUSES_MAX},
  [IPCNET_REFLEX_MESSAGES] = {sizeof(struct ipcnet_reflex_message), IPCNET_REFLEX_MESSAGES_MAX},
  [IPCNET_REFLEX_CHECKS] = {sizeof(struct ipcnet_reflex_check), IPCNET_REFLEX_CHECKS_MAX},
  [IPCNET_REFLEX_WATCHES] = {sizeof(struct ipcnet_reflex_watch), IPCNET_REFLEX_WATCHES_MAX},
  [IPCNET_REFLEX_NODES] = {sizeof(struct ipcnet_reflex_node), IPCNET_REFLEX_NODES_MAX},
  [IPCNET_REFLEX_CONDITIONS] = {sizeof(struct ipcnet_reflex_condition), IPCNET_REFLEX_CONDITIONS_MAX},
  [IPCNET_REFLEX_SENDS] = {sizeof(struct ipcnet_reflex_send), IPCNET_REFLEX_SENDS_MAX},
  [IPCNET_REFLEX_STEPS] = {sizeof(struct ipcnet_reflex_step), IPCNET_REFLEX_STEPS_MAX},
  [IPCNET_REFLEX_NEEDS] = {sizeof(uint16_t), IPCNET_REFLEX_NEEDS_MAX},
  [IPCNET_REFLEX_PLANS] = {sizeof(struct ipcnet_reflex_plan), IPCNET_REFLEX_PLANS_MAX},
  [IPCNET_REFLEX_TRIGGERS] = {sizeof(struct ipcnet_reflex_trigger), IPCNET_REFLEX_TRIGGERS_MAX},
  [IPCNET_REFLEX_BYTES] = {1, IPCNET_REFLEX_TABLE_BYTES_MAX},
};

/* ---- Findings --------------------------------------------------------------------------------------------------------------------------- */

/* A table that is being looked at. The first fault ends the look: every check returns false and everything after it is skipped. */
struct look {
  struct ipcnet_reflex_table table;
  struct ipcnet_reflex_table_fault fault;
};

static bool refuse(struct look *look, const char *code, uint32_t section, uint32_t row) {
  look->fault = (struct ipcnet_reflex_table_fault){.code = code, .section = section, .row = row};
  return false;
}

static uint32_t rows(const struct look *look, enum ipcnet_reflex_section section) {
  return look->table.header->sections[section].count;
}

static bool within(uint64_t value, uint64_t min, uint64_t max) {
  return value >= min && value <= max;
}

static bool all_zero(const uint8_t *bytes, size_t length) {
  for (size_t i = 0; i < length; i++) {
    if (bytes[i] != 0) return false;
  }
  return true;
}

static bool run_fits(uint32_t first, uint32_t count, uint32_t of) {
  return first <= of && count <= of - first;
}

static bool text_valid(const struct look *look, uint32_t at) {
  return at < look->table.bytes_length && memchr(look->table.bytes + at, 0, look->table.bytes_length - at) != NULL;
}

static bool field_absent(struct ipcnet_reflex_field field) {
  return field.bits == 0 && field.start_bit == 0 && field.flags == 0;
}

/* Whether the field is one at all and lies in frames of so many bytes. */
static bool field_fits(struct ipcnet_reflex_field field, uint32_t length_bytes) {
  if (field.bits < 1 || field.bits > 64 || (field.flags & ~FIELD_FLAGS) != 0) return false;
  if ((field.flags & FIELD_IEEE) && ((field.flags & FIELD_SIGNED) || (field.bits != 32 && field.bits != 64))) return false;
  uint32_t first = field.flags & FIELD_BIG_ENDIAN ? (field.start_bit & ~7u) + (7u - (field.start_bit & 7u)) : field.start_bit;
  return first + field.bits <= length_bytes * 8u;
}

/* A number that is filled in or read as what it is: no sign, no fraction. */
static bool counting_field_fits(struct ipcnet_reflex_field field, uint32_t bits_max, uint32_t length_bytes) {
  return field_absent(field) || (field_fits(field, length_bytes) && field.bits <= bits_max && (field.flags & ~FIELD_BIG_ENDIAN) == 0);
}

static bool can_id_valid(uint32_t can_id, uint8_t can_flags) {
  return can_id <= (can_flags & IPCNET_CAN_EXTENDED ? CAN_EFF_MASK : CAN_SFF_MASK);
}

static bool length_valid(uint32_t length_bytes, uint8_t can_flags) {
  if (length_bytes <= CLASSIC_BYTES_MAX) return true;
  if (!(can_flags & IPCNET_CAN_FD)) return false;
  return length_bytes == 12 || length_bytes == 16 || length_bytes == 20 || length_bytes == 24 || length_bytes == 32 || length_bytes == 48 || length_bytes == 64;
}

static bool kind_of_frame_valid(const struct ipcnet_reflex_bus *bus, uint32_t can_id, uint8_t can_flags, uint32_t length_bytes) {
  if ((can_flags & ~(IPCNET_CAN_EXTENDED | IPCNET_CAN_FD | IPCNET_CAN_BRS)) != 0) return false;
  if ((can_flags & IPCNET_CAN_BRS) && !(can_flags & IPCNET_CAN_FD)) return false;
  if ((can_flags & IPCNET_CAN_FD) && !(bus->flags & IPCNET_REFLEX_BUS_FD)) return false;
  return can_id_valid(can_id, can_flags) && length_valid(length_bytes, can_flags);
}

static bool same_id(uint32_t a, uint8_t a_flags, uint32_t b, uint8_t b_flags) {
  return a == b && ((a_flags ^ b_flags) & IPCNET_CAN_EXTENDED) == 0;
}

/* Claims have the owner's number in the two lowest bits. (No identifier without them is NO_CLAIM_ID, which has all bits.) */
static bool id_is_of_a_claim(const struct ipcnet_reflex_bus *bus, uint32_t can_id, uint8_t can_flags) {
  return same_id(can_id & ~3u, can_flags, bus->claim_id, bus->flags & IPCNET_REFLEX_BUS_CLAIM_EXTENDED ? IPCNET_CAN_EXTENDED : 0);
}

static uint8_t flags_of_id(uint32_t can_id) {
  return can_id > CAN_SFF_MASK ? IPCNET_CAN_EXTENDED : 0;
}

static uint8_t probe_flags(const struct ipcnet_reflex_bus *bus) {
  return flags_of_id(ipcnet_reflex_probe_id(bus));
}

static bool id_is_of_time(const struct ipcnet_reflex_bus *bus, uint32_t can_id, uint8_t can_flags) {
  return bus->time_period_us != 0 && same_id(can_id, can_flags, bus->time_id, flags_of_id(bus->time_id));
}

/* Whether the bus process sends this identifier by itself. */
static bool id_is_ours(const struct ipcnet_reflex_bus *bus, uint32_t can_id, uint8_t can_flags) {
  return id_is_of_a_claim(bus, can_id, can_flags) || id_is_of_time(bus, can_id, can_flags) || same_id(can_id, can_flags, ipcnet_reflex_probe_id(bus), probe_flags(bus));
}

/* ---- Header and sections ---------------------------------------------------------------------------------------------------------------- */

static bool look_at_header(struct look *look, const uint8_t *bytes, size_t length) {
  const struct ipcnet_reflex_table_header *header = (const struct ipcnet_reflex_table_header *)(const void *)bytes;
  if (((uintptr_t)bytes & 7u) != 0) return refuse(look, "alignment", 0, 0);
  if (length < sizeof *header || length > IPCNET_REFLEX_TABLE_BYTES_MAX) return refuse(look, "length", 0, 0);
  const ipcnet_e2e_config config = {.data_id = IPCNET_REFLEX_TABLE_DATA_ID};
  if (ipcnet_e2e_p07_inspect(&config, bytes, length, &look->table.generation) != IPCNET_E2E_INSPECTED_OK) return refuse(look, "crc", 0, 0);
  if (header->magic != IPCNET_REFLEX_TABLE_MAGIC) return refuse(look, "magic", 0, 0);
  if (header->major != IPCNET_REFLEX_TABLE_MAJOR || header->minor > IPCNET_REFLEX_TABLE_MINOR) return refuse(look, "version", 0, 0);
  uint8_t digest[32];
  ipcnet_sha256(bytes + IPCNET_REFLEX_HASHED_FROM, length - IPCNET_REFLEX_HASHED_FROM, digest);
  if (memcmp(digest, header->hash, sizeof digest) != 0) return refuse(look, "hash", 0, 0);
  if ((header->flags & ~(uint32_t)(IPCNET_REFLEX_RESUME_ARMED | IPCNET_REFLEX_DRILLS)) != 0) return refuse(look, "flags", 0, 0);
  if (header->reserved != 0) return refuse(look, "reserved", 0, 0);
  if (header->brain_timeout_us != 0 && !within(header->brain_timeout_us, 2 * TIME_MIN_US, TIME_MAX_US)) return refuse(look, "range", 0, 0);
  if (!within(header->beat_period_us, TIME_MIN_US, 1000000u) || !within(header->twin_deadline_us, 2 * TIME_MIN_US, 1000000u)) return refuse(look, "range", 0, 0);
  look->table.header = header;
  return true;
}

static bool look_at_sections(struct look *look, const uint8_t *bytes, size_t length) {
  const struct ipcnet_reflex_table_header *header = look->table.header;
  const void *at[IPCNET_REFLEX_SECTIONS];
  for (uint32_t section = 0; section < IPCNET_REFLEX_SECTIONS; section++) {
    uint64_t offset = header->sections[section].offset, count = header->sections[section].count;
    if (count > SECTIONS[section].count_max) return refuse(look, "count", section, 0);
    if (offset % 8 != 0 || offset < sizeof *header || offset + count * SECTIONS[section].bytes > length) return refuse(look, "offset", section, 0);
    for (uint32_t other = 0; other < section; other++) {
      uint64_t start = header->sections[other].offset, end = start + (uint64_t)header->sections[other].count * SECTIONS[other].bytes;
      if (offset < end && start < offset + count * SECTIONS[section].bytes) return refuse(look, "overlap", section, other);
    }
    at[section] = bytes + offset;
  }
  if (rows(look, IPCNET_REFLEX_BUSES) == 0) return refuse(look, "count", IPCNET_REFLEX_BUSES, 0);
  struct ipcnet_reflex_table *table = &look->table;
  table->buses = at[IPCNET_REFLEX_BUSES];
  table->messages = at[IPCNET_REFLEX_MESSAGES];
  table->checks = at[IPCNET_REFLEX_CHECKS];
  table->watches = at[IPCNET_REFLEX_WATCHES];
  table->nodes = at[IPCNET_REFLEX_NODES];
  table->conditions = at[IPCNET_REFLEX_CONDITIONS];
  table->sends = at[IPCNET_REFLEX_SENDS];
  table->steps = at[IPCNET_REFLEX_STEPS];
  table->needs = at[IPCNET_REFLEX_NEEDS];
  table->plans = at[IPCNET_REFLEX_PLANS];
  table->triggers = at[IPCNET_REFLEX_TRIGGERS];
  table->bytes = at[IPCNET_REFLEX_BYTES];
  table->bytes_length = rows(look, IPCNET_REFLEX_BYTES);
  return true;
}

/* ---- Buses ------------------------------------------------------------------------------------------------------------------------------ */

static bool look_at_bus(struct look *look, uint32_t row) {
  const enum ipcnet_reflex_section here = IPCNET_REFLEX_BUSES;
  const struct ipcnet_reflex_bus *bus = &look->table.buses[row];
  if (!text_valid(look, bus->name) || !text_valid(look, bus->interface)) return refuse(look, "text", here, row);
  if (bus->driver > 1 || bus->host > 1) return refuse(look, "range", here, row);
  if ((bus->flags & ~(IPCNET_REFLEX_BUS_FD | IPCNET_REFLEX_BUS_LISTEN_ONLY | IPCNET_REFLEX_BUS_CLAIM_EXTENDED)) != 0) return refuse(look, "flags", here, row);
  if (bus->reserved8 != 0 || !all_zero(bus->reserved, sizeof bus->reserved)) return refuse(look, "reserved", here, row);
  if (bus->bitrate_bps > BITRATE_MAX_BPS || bus->data_bitrate_bps > BITRATE_MAX_BPS || bus->load_permille_max > 1000 || bus->dead_after_us > TIME_MAX_US)
    return refuse(look, "range", here, row);
  if (!within(bus->tx_queue_frames, 1, IPCNET_CAN_TX_QUEUE_MAX)) return refuse(look, "range", here, row);
  if (bus->probe_id > CAN_EFF_MASK) return refuse(look, "range", here, row);
  bool claims = bus->claim_id != IPCNET_REFLEX_NO_CLAIM_ID;
  uint8_t claim_flags = bus->flags & IPCNET_REFLEX_BUS_CLAIM_EXTENDED ? IPCNET_CAN_EXTENDED : 0;
  if (claims && (bus->claim_id % 4 != 0 || !can_id_valid(bus->claim_id, claim_flags))) return refuse(look, "range", here, row);
  if (id_is_of_a_claim(bus, ipcnet_reflex_probe_id(bus), probe_flags(bus))) return refuse(look, "duplicate", here, row);
  /* With another host on the bus only the nodes can say who owns it: they must be told. */
  if (bus->self_fence_us != 0 && (!claims || !within(bus->self_fence_us, TIME_MIN_US, 1000000u))) return refuse(look, "range", here, row);
  if ((bus->flags & IPCNET_REFLEX_BUS_LISTEN_ONLY) && (claims || bus->time_period_us != 0)) return refuse(look, "flags", here, row);
  if (bus->time_period_us == 0 ? bus->time_id != 0 : !within(bus->time_period_us, 10 * TIME_MIN_US, 1000000u) || bus->time_id > CAN_EFF_MASK) return refuse(look, "range", here, row);
  uint32_t probe_id = ipcnet_reflex_probe_id(bus);
  if (id_is_of_time(bus, probe_id, probe_flags(bus)) || (bus->time_period_us != 0 && id_is_of_a_claim(bus, bus->time_id, flags_of_id(bus->time_id)))) return refuse(look, "duplicate", here, row);
  for (uint32_t other = 0; other < row; other++) {
    if (strcmp(ipcnet_reflex_table_text(&look->table, bus->name), ipcnet_reflex_table_text(&look->table, look->table.buses[other].name)) == 0) return refuse(look, "duplicate", here, row);
  }
  return true;
}

/* ---- Messages and their checks ---------------------------------------------------------------------------------------------------------- */

static bool look_at_check(struct look *look, uint32_t row, uint32_t length_bytes) {
  const enum ipcnet_reflex_section here = IPCNET_REFLEX_CHECKS;
  const struct ipcnet_reflex_check *check = &look->table.checks[row];
  if (!field_fits(check->field, length_bytes)) return refuse(look, "field", here, row);
  if (!field_absent(check->selector) && !field_fits(check->selector, length_bytes)) return refuse(look, "field", here, row);
  bool ordered = ipcnet_reflex_field_is_u64(check->field) ? (uint64_t)check->raw_min <= (uint64_t)check->raw_max : check->raw_min <= check->raw_max;
  return ordered ? true : refuse(look, "range", here, row);
}

/* Whether two of: epoch, owner, protection stand in each other's place. */
static bool fields_collide(const struct ipcnet_reflex_message *message) {
  uint8_t masks[3][64] = {{0}};
  ipcnet_reflex_e2e_occupies(&message->e2e, masks[0]);
  ipcnet_reflex_field_set(message->epoch, masks[1], UINT64_MAX);
  ipcnet_reflex_field_set(message->owner, masks[2], UINT64_MAX);
  for (uint32_t byte = 0; byte < 64; byte++) {
    if ((masks[0][byte] & masks[1][byte]) || (masks[0][byte] & masks[2][byte]) || (masks[1][byte] & masks[2][byte])) return true;
  }
  return false;
}

/* A row of triggers that is to fire for `subject`, or none. */
static bool trigger_fits(const struct look *look, uint16_t row, enum ipcnet_reflex_trigger_kind kind, uint32_t subject) {
  if (row == IPCNET_REFLEX_NONE) return true;
  if (row >= rows(look, IPCNET_REFLEX_TRIGGERS)) return false;
  return look->table.triggers[row].kind == kind && (look->table.triggers[row].subject == subject || look->table.triggers[row].subject == IPCNET_REFLEX_NONE);
}

/* What care of a node consists of: nothing that anybody would obey as a command. */
static bool is_plain(const struct ipcnet_reflex_message *message) {
  return (message->flags & IPCNET_REFLEX_POSE_ONLY) == 0 && message->e2e.profile == IPCNET_REFLEX_E2E_NONE && field_absent(message->epoch) && field_absent(message->owner) &&
         message->expired_trigger == IPCNET_REFLEX_NONE;
}

static bool look_at_message(struct look *look, uint32_t row) {
  const enum ipcnet_reflex_section here = IPCNET_REFLEX_MESSAGES;
  const struct ipcnet_reflex_message *message = &look->table.messages[row];
  if (!text_valid(look, message->name)) return refuse(look, "text", here, row);
  if (message->bus >= rows(look, IPCNET_REFLEX_BUSES)) return refuse(look, "reference", here, row);
  const struct ipcnet_reflex_bus *bus = &look->table.buses[message->bus];
  if (bus->flags & IPCNET_REFLEX_BUS_LISTEN_ONLY) return refuse(look, "listenOnly", here, row);
  if (!kind_of_frame_valid(bus, message->can_id, message->can_flags, message->length_bytes)) return refuse(look, "frame", here, row);
  if (id_is_ours(bus, message->can_id, message->can_flags)) return refuse(look, "duplicate", here, row);
  if ((message->flags & ~(uint32_t)(IPCNET_REFLEX_POSE_ONLY | IPCNET_REFLEX_SERVICE)) != 0) return refuse(look, "flags", here, row);
  if ((message->flags & IPCNET_REFLEX_SERVICE) && !is_plain(message)) return refuse(look, "flags", here, row);
  if (message->reserved16 != 0 || message->reserved32 != 0 || !all_zero(message->reserved, sizeof message->reserved)) return refuse(look, "reserved", here, row);
  if (!within(message->ttl_us_max, TIME_MIN_US, TIME_MAX_US) || message->interval_us_min > TIME_MAX_US || !within(message->bits, 1, FRAME_BITS_MAX)) return refuse(look, "range", here, row);
  if (!counting_field_fits(message->epoch, 16, message->length_bytes) || !counting_field_fits(message->owner, 8, message->length_bytes)) return refuse(look, "field", here, row);
  if (!ipcnet_reflex_e2e_valid(&message->e2e, message->length_bytes, look->table.bytes, look->table.bytes_length)) return refuse(look, "e2e", here, row);
  if (fields_collide(message)) return refuse(look, "field", here, row);
  if (!trigger_fits(look, message->expired_trigger, IPCNET_REFLEX_ON_EXPIRED, row)) return refuse(look, "reference", here, row);
  if (!run_fits(message->checks_first, message->checks_count, rows(look, IPCNET_REFLEX_CHECKS))) return refuse(look, "reference", here, row);
  for (uint32_t check = 0; check < message->checks_count; check++) {
    if (!look_at_check(look, message->checks_first + check, message->length_bytes)) return false;
  }
  for (uint32_t other = 0; other < row; other++) {
    const struct ipcnet_reflex_message *before = &look->table.messages[other];
    if (before->bus == message->bus && same_id(before->can_id, before->can_flags, message->can_id, message->can_flags)) return refuse(look, "duplicate", here, row);
  }
  return true;
}

/* ---- What is received ------------------------------------------------------------------------------------------------------------------- */

static bool look_at_watch(struct look *look, uint32_t row) {
  const enum ipcnet_reflex_section here = IPCNET_REFLEX_WATCHES;
  const struct ipcnet_reflex_watch *watch = &look->table.watches[row];
  if (!text_valid(look, watch->name)) return refuse(look, "text", here, row);
  if (watch->bus >= rows(look, IPCNET_REFLEX_BUSES)) return refuse(look, "reference", here, row);
  const struct ipcnet_reflex_bus *bus = &look->table.buses[watch->bus];
  if (!kind_of_frame_valid(bus, watch->can_id, watch->can_flags, watch->length_bytes)) return refuse(look, "frame", here, row);
  if (id_is_ours(bus, watch->can_id, watch->can_flags)) return refuse(look, "duplicate", here, row);
  if (watch->flags != 0) return refuse(look, "flags", here, row);
  if (!all_zero(watch->reserved, sizeof watch->reserved)) return refuse(look, "reserved", here, row);
  if (!counting_field_fits(watch->epoch, 16, watch->length_bytes) || !counting_field_fits(watch->owner, 8, watch->length_bytes)) return refuse(look, "field", here, row);
  if (!ipcnet_reflex_e2e_valid(&watch->e2e, watch->length_bytes, look->table.bytes, look->table.bytes_length)) return refuse(look, "e2e", here, row);
  for (uint32_t other = 0; other < row; other++) {
    const struct ipcnet_reflex_watch *before = &look->table.watches[other];
    if (before->bus == watch->bus && same_id(before->can_id, before->can_flags, watch->can_id, watch->can_flags)) return refuse(look, "duplicate", here, row);
  }
  return true;
}

static bool look_at_node(struct look *look, uint32_t row) {
  const enum ipcnet_reflex_section here = IPCNET_REFLEX_NODES;
  const struct ipcnet_reflex_node *node = &look->table.nodes[row];
  if (!text_valid(look, node->name)) return refuse(look, "text", here, row);
  if (node->watch >= rows(look, IPCNET_REFLEX_WATCHES)) return refuse(look, "reference", here, row);
  const struct ipcnet_reflex_watch *watch = &look->table.watches[node->watch];
  if (watch->bus != node->bus || !trigger_fits(look, node->lost_trigger, IPCNET_REFLEX_ON_NODE_LOST, row)) return refuse(look, "reference", here, row);
  if ((node->flags & ~(IPCNET_REFLEX_NODE_REQUIRED | IPCNET_REFLEX_NODE_CANOPEN | IPCNET_REFLEX_NODE_OPERATIONAL)) != 0) return refuse(look, "flags", here, row);
  if ((node->flags & IPCNET_REFLEX_NODE_OPERATIONAL) && !(node->flags & IPCNET_REFLEX_NODE_CANOPEN)) return refuse(look, "flags", here, row);
  if ((node->flags & IPCNET_REFLEX_NODE_CANOPEN) && watch->length_bytes < 1) return refuse(look, "field", here, row);
  if (node->group != 0 && watch->epoch.bits == 0) return refuse(look, "field", here, row); /* who cannot say whom it follows confirms nothing */
  if (!all_zero(node->reserved, sizeof node->reserved)) return refuse(look, "reserved", here, row);
  return within(node->timeout_us, TIME_MIN_US, TIME_MAX_US) ? true : refuse(look, "range", here, row);
}

static bool look_at_condition(struct look *look, uint32_t row) {
  const enum ipcnet_reflex_section here = IPCNET_REFLEX_CONDITIONS;
  const struct ipcnet_reflex_condition *condition = &look->table.conditions[row];
  if (!text_valid(look, condition->label)) return refuse(look, "text", here, row);
  if (condition->watch >= rows(look, IPCNET_REFLEX_WATCHES)) return refuse(look, "reference", here, row);
  if (!field_fits(condition->field, look->table.watches[condition->watch].length_bytes)) return refuse(look, "field", here, row);
  if (condition->reserved16 != 0 || condition->reserved32 != 0 || condition->reserved64 != 0) return refuse(look, "reserved", here, row);
  bool ordered = ipcnet_reflex_field_is_u64(condition->field) ? (uint64_t)condition->raw_min <= (uint64_t)condition->raw_max : condition->raw_min <= condition->raw_max;
  if (!ordered || condition->hold_us > TIME_MAX_US || !within(condition->age_us_max, TIME_MIN_US, TIME_MAX_US)) return refuse(look, "range", here, row);
  return true;
}

/* ---- Plans ------------------------------------------------------------------------------------------------------------------------------ */

static bool look_at_send(struct look *look, uint32_t row) {
  const enum ipcnet_reflex_section here = IPCNET_REFLEX_SENDS;
  const struct ipcnet_reflex_send *send = &look->table.sends[row];
  if (send->message >= rows(look, IPCNET_REFLEX_MESSAGES)) return refuse(look, "reference", here, row);
  const struct ipcnet_reflex_message *message = &look->table.messages[send->message];
  if (message->flags & IPCNET_REFLEX_SERVICE) return refuse(look, "flags", here, row); /* a pose is no time for it */
  if (send->length_bytes != message->length_bytes || !run_fits(send->payload, send->length_bytes, look->table.bytes_length)) return refuse(look, "length", here, row);
  /* A pose keeps within the same limits as everybody else. */
  return ipcnet_reflex_checks_hold(&look->table, message, look->table.bytes + send->payload) ? true : refuse(look, "range", here, row);
}

static bool look_at_step(struct look *look, uint32_t row) {
  const enum ipcnet_reflex_section here = IPCNET_REFLEX_STEPS;
  const struct ipcnet_reflex_step *step = &look->table.steps[row];
  if (!text_valid(look, step->name)) return refuse(look, "text", here, row);
  if (!run_fits(step->needs_first, step->needs_count, rows(look, IPCNET_REFLEX_NEEDS)) || !run_fits(step->sends_first, step->sends_count, rows(look, IPCNET_REFLEX_SENDS)) ||
      !run_fits(step->conditions_first, step->conditions_count, rows(look, IPCNET_REFLEX_CONDITIONS)))
    return refuse(look, "reference", here, row);
  if (!within(step->deadline_us, TIME_MIN_US, PLAN_TIME_MAX_US) || (step->resend_us != 0 && !within(step->resend_us, TIME_MIN_US, TIME_MAX_US)) || step->backoff_us > TIME_MAX_US)
    return refuse(look, "range", here, row);
  if (step->tries < 1 || step->on_timeout > IPCNET_REFLEX_LAST) return refuse(look, "range", here, row);
  if ((step->flags & ~(IPCNET_REFLEX_STEP_MANDATORY | IPCNET_REFLEX_STEP_FALLBACK)) != 0) return refuse(look, "flags", here, row);
  return all_zero(step->reserved, sizeof step->reserved) ? true : refuse(look, "reserved", here, row);
}

/* That everything a step names belongs to its own plan. */
static bool look_at_step_of_plan(struct look *look, const struct ipcnet_reflex_plan *plan, uint32_t row) {
  const struct ipcnet_reflex_table *table = &look->table;
  const struct ipcnet_reflex_step *step = &table->steps[row];
  uint32_t first = plan->steps_first, end = first + plan->steps_count;
  for (uint32_t need = 0; need < step->needs_count; need++) {
    uint32_t needed = table->needs[step->needs_first + need];
    if (needed < first || needed >= end) return refuse(look, "reference", IPCNET_REFLEX_STEPS, row);
  }
  if (step->fallback == IPCNET_REFLEX_NONE) return true;
  if (step->fallback < first || step->fallback >= end) return refuse(look, "reference", IPCNET_REFLEX_STEPS, row);
  return table->steps[step->fallback].flags & IPCNET_REFLEX_STEP_FALLBACK ? true : refuse(look, "fallback", IPCNET_REFLEX_STEPS, row);
}

static bool look_at_plan(struct look *look, uint32_t row) {
  const enum ipcnet_reflex_section here = IPCNET_REFLEX_PLANS;
  const struct ipcnet_reflex_plan *plan = &look->table.plans[row];
  if (!text_valid(look, plan->name)) return refuse(look, "text", here, row);
  if (plan->steps_count == 0 || !run_fits(plan->steps_first, plan->steps_count, rows(look, IPCNET_REFLEX_STEPS))) return refuse(look, "reference", here, row);
  /* The last rung is what is left when nothing answers: a plan without one could end in nothing. */
  if (plan->last_count == 0 || !run_fits(plan->last_first, plan->last_count, rows(look, IPCNET_REFLEX_SENDS))) return refuse(look, "reference", here, row);
  if (plan->category > 2 || !within(plan->budget_us, TIME_MIN_US, PLAN_TIME_MAX_US)) return refuse(look, "range", here, row);
  if (!all_zero(plan->reserved, sizeof plan->reserved)) return refuse(look, "reserved", here, row);
  for (uint32_t other = 0; other < row; other++) {
    const struct ipcnet_reflex_plan *before = &look->table.plans[other];
    if (plan->steps_first < (uint32_t)before->steps_first + before->steps_count && before->steps_first < (uint32_t)plan->steps_first + plan->steps_count) return refuse(look, "overlap", here, row);
  }
  for (uint32_t step = 0; step < plan->steps_count; step++) {
    if (!look_at_step_of_plan(look, plan, plan->steps_first + step)) return false;
  }
  uint64_t worst_us = ipcnet_reflex_plan_worst_us(&look->table, (uint16_t)row);
  if (worst_us == UINT64_MAX) return refuse(look, "circle", here, row);
  return plan->worst_us <= plan->budget_us && worst_us <= plan->budget_us ? true : refuse(look, "budget", here, row);
}

/* ---- Triggers --------------------------------------------------------------------------------------------------------------------------- */

static bool subject_valid(const struct look *look, const struct ipcnet_reflex_trigger *trigger) {
  if (trigger->subject == IPCNET_REFLEX_NONE) return trigger->kind != IPCNET_REFLEX_ON_CONDITION;
  switch (trigger->kind) {
    case IPCNET_REFLEX_ON_REQUEST: return trigger->subject <= 2;
    case IPCNET_REFLEX_ON_CONDITION: return trigger->subject < rows(look, IPCNET_REFLEX_CONDITIONS);
    case IPCNET_REFLEX_ON_NODE_LOST: return trigger->subject < rows(look, IPCNET_REFLEX_NODES);
    case IPCNET_REFLEX_ON_EXPIRED: return trigger->subject < rows(look, IPCNET_REFLEX_MESSAGES);
    case IPCNET_REFLEX_ON_BUS_DEAD: return trigger->subject < rows(look, IPCNET_REFLEX_BUSES);
    default: return trigger->subject == 0;
  }
}

static bool text_of(const struct look *look, uint32_t at, uint32_t bytes_max) {
  return text_valid(look, at) && look->table.bytes[at] != 0 && strnlen((const char *)look->table.bytes + at, bytes_max) < bytes_max;
}

#define PIN_FLAGS (IPCNET_REFLEX_TRIGGER_PIN | IPCNET_REFLEX_TRIGGER_ACTIVE_LOW | IPCNET_REFLEX_TRIGGER_NAMED)
#define DEBOUNCE_MAX_US 1000000u
#define PIN_LINE_MAX 0xFFFFu

static bool look_at_pin(struct look *look, const struct ipcnet_reflex_trigger *trigger, uint32_t row) {
  const enum ipcnet_reflex_section here = IPCNET_REFLEX_TRIGGERS;
  if (!(trigger->flags & IPCNET_REFLEX_TRIGGER_PIN)) {
    if ((trigger->flags & PIN_FLAGS) != 0) return refuse(look, "flags", here, row);
    return (trigger->chip | trigger->line | trigger->debounce_us) == 0 || refuse(look, "reserved", here, row);
  }
  if (trigger->kind != IPCNET_REFLEX_ON_POWER_FAIL) return refuse(look, "flags", here, row);
  if (!text_of(look, trigger->chip, IPCNET_REFLEX_CHIP_BYTES)) return refuse(look, "text", here, row);
  bool named = trigger->flags & IPCNET_REFLEX_TRIGGER_NAMED;
  if (named && !text_of(look, trigger->line, IPCNET_REFLEX_LINE_BYTES)) return refuse(look, "text", here, row);
  if ((!named && trigger->line > PIN_LINE_MAX) || trigger->debounce_us > DEBOUNCE_MAX_US) return refuse(look, "range", here, row);
  return true;
}

static bool look_at_trigger(struct look *look, uint32_t row) {
  const enum ipcnet_reflex_section here = IPCNET_REFLEX_TRIGGERS;
  const struct ipcnet_reflex_trigger *trigger = &look->table.triggers[row];
  if (!text_valid(look, trigger->name)) return refuse(look, "text", here, row);
  if (trigger->plan >= rows(look, IPCNET_REFLEX_PLANS)) return refuse(look, "reference", here, row);
  if (trigger->kind >= IPCNET_REFLEX_TRIGGER_KINDS) return refuse(look, "range", here, row);
  if (!subject_valid(look, trigger)) return refuse(look, "reference", here, row);
  if ((trigger->flags & ~(IPCNET_REFLEX_TRIGGER_LATCHED | IPCNET_REFLEX_TRIGGER_WHILE_ARMED | PIN_FLAGS)) != 0) return refuse(look, "flags", here, row);
  if (trigger->reserved8 != 0 || !all_zero(trigger->reserved, sizeof trigger->reserved)) return refuse(look, "reserved", here, row);
  if (!look_at_pin(look, trigger, row)) return false;
  for (uint32_t other = 0; other < row; other++) {
    const struct ipcnet_reflex_trigger *before = &look->table.triggers[other];
    if (before->priority == trigger->priority) return refuse(look, "order", here, row);
    if (before->kind == trigger->kind && before->subject == trigger->subject) return refuse(look, "duplicate", here, row);
  }
  return true;
}

/* ---- The whole -------------------------------------------------------------------------------------------------------------------------- */

static bool each(struct look *look, enum ipcnet_reflex_section section, bool (*look_at)(struct look *look, uint32_t row)) {
  for (uint32_t row = 0; row < rows(look, section); row++) {
    if (!look_at(look, row)) return false;
  }
  return true;
}

bool ipcnet_reflex_table_open(struct ipcnet_reflex_table *self, const void *bytes, size_t length, struct ipcnet_reflex_table_fault *fault) {
  struct look look = {0};
  /* In this order: what a row refers to was looked at before the row, but for triggers, of which only the number matters to others. */
  bool good = look_at_header(&look, bytes, length) && look_at_sections(&look, bytes, length) && each(&look, IPCNET_REFLEX_BUSES, look_at_bus) &&
              each(&look, IPCNET_REFLEX_MESSAGES, look_at_message) && each(&look, IPCNET_REFLEX_WATCHES, look_at_watch) && each(&look, IPCNET_REFLEX_NODES, look_at_node) &&
              each(&look, IPCNET_REFLEX_CONDITIONS, look_at_condition) && each(&look, IPCNET_REFLEX_SENDS, look_at_send) && each(&look, IPCNET_REFLEX_STEPS, look_at_step) &&
              each(&look, IPCNET_REFLEX_PLANS, look_at_plan) && each(&look, IPCNET_REFLEX_TRIGGERS, look_at_trigger);
  if (good) *self = look.table;
  else *fault = look.fault;
  return good;
}

const char *ipcnet_reflex_table_text(const struct ipcnet_reflex_table *self, uint32_t at) {
  return at < self->bytes_length ? (const char *)self->bytes + at : "";
}

uint32_t ipcnet_reflex_probe_id(const struct ipcnet_reflex_bus *bus) {
  return bus->probe_id == 0 ? CAN_SFF_MASK : bus->probe_id;
}

bool ipcnet_reflex_field_is_u64(struct ipcnet_reflex_field field) {
  return field.bits == 64 && (field.flags & (FIELD_SIGNED | FIELD_IEEE)) == 0;
}

bool ipcnet_reflex_field_within(struct ipcnet_reflex_field field, const uint8_t *payload, int64_t raw_min, int64_t raw_max) {
  int64_t raw = ipcnet_reflex_field_get(field, payload);
  if (ipcnet_reflex_field_is_u64(field)) return (uint64_t)raw >= (uint64_t)raw_min && (uint64_t)raw <= (uint64_t)raw_max;
  return raw >= raw_min && raw <= raw_max;
}

bool ipcnet_reflex_checks_hold(const struct ipcnet_reflex_table *self, const struct ipcnet_reflex_message *message, const uint8_t *payload) {
  for (uint32_t row = message->checks_first; row < (uint32_t)message->checks_first + message->checks_count; row++) {
    const struct ipcnet_reflex_check *check = &self->checks[row];
    if (check->selector.bits != 0 && (uint64_t)ipcnet_reflex_field_get(check->selector, payload) != check->selected) continue;
    if (!ipcnet_reflex_field_within(check->field, payload, check->raw_min, check->raw_max)) return false;
  }
  return true;
}
