/*
 * For what may move a motor: every standard identifier and a sample of extended ones, received and commanded, in every arming state × role × phase of the bus. Nothing
 * may be sent but what a few plain lines say may be sent there: also of the time, and of the care of nodes.
 */
#include "../../../drivers/can/core/check.h"
#include "core_rig.h"

enum { SERVICE = LAMP + 1, TIME_ID = 0x14 };

static struct core_rig rig;
static struct table_rig table;
static uint8_t *snapshot;
static struct ipcnet_reflex_page *page_snapshot;

static uint32_t random_state = 1;
static uint32_t draw(void)
{
  random_state ^= random_state << 13;
  random_state ^= random_state >> 17;
  random_state ^= random_state << 5;
  return random_state;
}

struct situation { uint8_t arming, role, phase; };

static bool trusts(uint8_t phase)
{
  return phase == IPCNET_BUS_UP || phase == IPCNET_BUS_DEGRADED || phase == IPCNET_BUS_SUSPECT;
}

/* What may leave in a situation: claims and commands of an owner, probes of a bus that is asked, poses while posing. `before` and `after` the input: it may change things. */
static bool may_be_sent(const struct sent_frame *sent, struct situation before, struct situation after)
{
  const struct ipcnet_can_frame *frame = &sent->frame;
  if (before.role != IPCNET_TWIN_OWNER && after.role != IPCNET_TWIN_OWNER && before.role != IPCNET_TWIN_CLAIMING) return false;
  if (frame->token == IPCNET_CAN_PROBE_TOKEN) return frame->can_id == 0x7FF && frame->length_bytes == 0 && (after.phase == IPCNET_BUS_PROBING || after.phase == IPCNET_BUS_PROVEN);
  bool reachable = trusts(before.phase) || trusts(after.phase) || before.phase == IPCNET_BUS_PROVEN || after.phase == IPCNET_BUS_PROVEN;
  if (sent->bus == EAR_BUS || !reachable) return false;
  if (sent->bus == ARM_BUS && frame->can_id == 0x010) return frame->flags == 0 && frame->length_bytes == 8;
  if (sent->bus == ARM_BUS && frame->can_id == TIME_ID) return frame->flags == 0 && frame->length_bytes == 8 && (before.role == IPCNET_TWIN_OWNER || after.role == IPCNET_TWIN_OWNER) && (trusts(before.phase) || trusts(after.phase));
  for (uint16_t row = SHOULDER; row <= SERVICE; row++) {
    const struct ipcnet_reflex_message *message = &table.messages[row];
    if (message->bus != sent->bus || message->can_id != frame->can_id || message->can_flags != frame->flags || message->length_bytes != frame->length_bytes) continue;
    bool posing = (before.arming == IPCNET_SAFE_POSE || after.arming == IPCNET_SAFE_POSE) && (row == SHOULDER || row == BRAKE);
    bool commanded = before.arming == (row == SERVICE ? IPCNET_DISARMED : IPCNET_ARMED) && row != BRAKE && trusts(before.phase);
    return posing || commanded;
  }
  return false;
}

static struct situation situation(void)
{
  return (struct situation){rig.reflex->arming, (uint8_t)rig.reflex->role, rig.reflex->buses[ARM_BUS].health.phase};
}

static uint32_t wrong, tried, sent_in_all;

static void judge(struct situation before, uint32_t from, const char *what, uint32_t id)
{
  struct situation after = situation();
  tried++;
  for (uint32_t i = from; i < rig.sent_count; i++) {
    sent_in_all++;
    if (may_be_sent(&rig.sent[i % RIG_LOG], before, after)) continue;
    if (wrong++ < 10)
      fprintf(stderr, "%s 0x%x: arming %u role %u phase %u: sent 0x%x on bus %u\n", what, id, before.arming, before.role, before.phase, rig.sent[i % RIG_LOG].frame.can_id, rig.sent[i % RIG_LOG].bus);
  }
}

static void restore(struct situation to)
{
  memcpy(rig.reflex, snapshot, ipcnet_reflex_size());
  memcpy(rig.page, page_snapshot, IPCNET_REFLEX_PAGE_BYTES);
  rig.reflex->arming = to.arming;
  rig.reflex->role = (enum ipcnet_twin_role)to.role;
  for (unsigned bus = 0; bus < 2; bus++) {
    rig.reflex->buses[bus].health.phase = to.phase;
    rig.reflex->buses[bus].claimed = bus == ARM_BUS && (trusts(to.phase) || to.phase == IPCNET_BUS_PROVEN);
    rig.reflex->buses[bus].owned = to.role == IPCNET_TWIN_OWNER || to.role == IPCNET_TWIN_CLAIMING;
  }
  if (to.arming == IPCNET_SAFE_POSE) ipcnet_reflex_plan_start(&rig.reflex->plan, REQUEST_1_TRIGGER, 99, rig.now_us);
  if (to.role != IPCNET_TWIN_OWNER) rig.reflex->plan.running = false;
}

static void sweep(struct situation to)
{
  restore(to);
  for (uint32_t i = 0; i < 2048 + 64; i++) {
    struct situation now = situation();
    if (now.arming != to.arming || now.role != to.role || now.phase != to.phase) restore(to);
    bool extended = i >= 2048;
    struct ipcnet_can_frame frame = rig_frame(&rig, (uint8_t)(draw() % 3), extended ? draw() & 0x1FFFFFFF : i, extended ? IPCNET_CAN_EXTENDED : 0, (uint8_t)(draw() % 9));
    for (unsigned byte = 0; byte < 8; byte++) frame.data[byte] = (uint8_t)draw();
    uint32_t from = rig.sent_count;
    struct situation before = situation();
    rig_hear(&rig, &frame);
    judge(before, from, "heard", frame.can_id);
    struct ipcnet_reflex_command command = rig_make(&rig, (uint16_t)(extended ? draw() : i));
    if (command.message > SERVICE) command.length_bytes = (uint8_t)(draw() % 70);
    from = rig.sent_count;
    before = situation();
    rig_give(&rig, &command);
    judge(before, from, "commanded", command.message);
    if (i % 16 != 0) continue;
    rig.now_us += 100;
    rig_echo(&rig);
    command = rig_make(&rig, (uint16_t)(draw() % 6)); /* one that may pass */
    from = rig.sent_count;
    before = situation();
    rig_give(&rig, &command);
    judge(before, from, "commanded", command.message);
  }
}

int main(void)
{
  rig_arm_table(&table);
  table.buses[ARM_BUS].time_id = TIME_ID;
  table.buses[ARM_BUS].time_period_us = 10000;
  rig_message(&table, "service", ARM_BUS, 0x605, 8)->flags = IPCNET_REFLEX_SERVICE;
  table.messages[SHOULDER].expired_trigger = IPCNET_REFLEX_NONE;
  rig_ready_with(&rig, &table, 0);
  rig.plant = rig.brain = false;
  rig_echo(&rig);
  rig.answers_twin = false;
  snapshot = malloc(ipcnet_reflex_size());
  page_snapshot = malloc(IPCNET_REFLEX_PAGE_BYTES);
  memcpy(snapshot, rig.reflex, ipcnet_reflex_size());
  memcpy(page_snapshot, rig.page, IPCNET_REFLEX_PAGE_BYTES);
  for (uint8_t arming = 0; arming <= IPCNET_FAULT; arming++)
    for (uint8_t role = 0; role < IPCNET_TWIN_ROLES; role++)
      for (uint8_t phase = 0; phase < IPCNET_BUS_PHASES; phase++) sweep((struct situation){arming, role, phase});
  CHECK_INT(wrong, 0);
  CHECK(sent_in_all > 1000); /* the sweep also sees what may be sent */
  printf("%u inputs in %u situations, %u frames sent\n", tried, 5u * IPCNET_TWIN_ROLES * IPCNET_BUS_PHASES, sent_in_all);
  free(snapshot);
  free(page_snapshot);
  rig_end(&rig);
  return checks_report("reflex_sweep");
}
