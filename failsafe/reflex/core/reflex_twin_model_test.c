/*
 * Two twins, their lock, death, hanging, hand-over and late news, all interleavings: never two that hold the bus, no epoch used twice, and nobody waits for ever.
 *
 * The model is harsher than the kernel. News of a death, of a hand-over, of another host come whenever they like, true or not; a suspect is accused whenever one likes;
 * death comes between any two effects. Only three things are kernel facts: the lock has one holder, death gives it back, and a killed process dies some time.
 * A twin performs the effects of one step before it hears the next event (one thread), except that storing an epoch takes its time.
 */
#include "reflex_twin.h"

#include <string.h>

#include "../../../drivers/can/core/check.h"

#define EPOCHS 2u /* so many claims; then no further one is followed */

enum life { OFF, RUNNING, HUNG };

struct twin {
  unsigned life : 2;
  unsigned killed : 1;  /* its death will come */
  unsigned role : 3;
  unsigned effects : 7; /* still to be performed, lowest first */
  unsigned granted : 1, held : 1; /* the lock's answer, on its way */
  unsigned storing : 1; /* the store's answer is on its way, for `wanted` */
  unsigned sending : 1; /* CLAIM was handed to the bus, its answer is on its way */
  unsigned wanted : 3;  /* the epoch it is about to use */
};
struct world {
  struct twin twins[2];
  unsigned lock;  /* 0 nobody, 1, 2 */
  unsigned durable; /* newest epoch on disk */
  unsigned used;  /* newest epoch that was on the bus */
  bool broken;    /* an epoch was not newer */
};

static uint64_t pack_twin(const struct twin *twin) {
  return twin->life | (uint64_t)twin->killed << 2 | (uint64_t)twin->role << 3 | (uint64_t)twin->effects << 6 | (uint64_t)twin->granted << 13 | (uint64_t)twin->held << 14 | (uint64_t)twin->storing << 15 |
         (uint64_t)twin->sending << 16 | (uint64_t)twin->wanted << 17;
}

/* The twins are alike: of a world and its mirror image one is kept. */
static uint64_t pack(const struct world *world) {
  uint64_t a = pack_twin(&world->twins[0]), b = pack_twin(&world->twins[1]);
  unsigned lock = world->lock;
  if (a > b) {
    uint64_t swapped = a;
    a = b, b = swapped;
    lock = lock == 0 ? 0 : 3 - lock;
  }
  return a | b << 20 | (uint64_t)lock << 40 | (uint64_t)world->durable << 42 | (uint64_t)world->used << 45 | (uint64_t)1 << 63;
}

static struct world unpack(uint64_t key) {
  struct world world = {.lock = key >> 40 & 3, .durable = key >> 42 & 7, .used = key >> 45 & 7};
  for (int i = 0; i < 2; i++) {
    uint64_t bits = key >> (20 * i);
    world.twins[i] = (struct twin){.life = bits & 3, .killed = bits >> 2 & 1, .role = bits >> 3 & 7, .effects = bits >> 6 & 127, .granted = bits >> 13 & 1, .held = bits >> 14 & 1,
      .storing = bits >> 15 & 1, .sending = bits >> 16 & 1, .wanted = bits >> 17 & 7};
  }
  return world;
}

/* ---- The states that were seen ----------------------------------------------------------------------------------------------------------- */

static struct { uint64_t *keys; uint8_t *good; uint64_t *queue; size_t capacity, count; } seen;

static size_t place(uint64_t key) {
  uint64_t hash = key * 0x9E3779B97F4A7C15u;
  size_t at = (size_t)(hash >> 20) & (seen.capacity - 1);
  while (seen.keys[at] != 0 && seen.keys[at] != key) at = (at + 1) & (seen.capacity - 1);
  return at;
}

static void remember(const struct world *world) {
  uint64_t key = pack(world);
  size_t at = place(key);
  if (seen.keys[at] == key) return;
  if (seen.count * 2 >= seen.capacity) {
    fprintf(stderr, "the model has more states than was thought\n");
    exit(EXIT_FAILURE);
  }
  seen.keys[at] = key;
  seen.queue[seen.count++] = key;
}

/* ---- What can happen ---------------------------------------------------------------------------------------------------------------------- */

typedef void (*visit)(const struct world *world, void *context);

static void deliver(const struct world *before, int i, enum ipcnet_twin_event event, visit to, void *context) {
  struct world world = *before;
  struct twin *twin = &world.twins[i];
  struct ipcnet_twin_step step = ipcnet_twin_next((enum ipcnet_twin_role)twin->role, event);
  twin->role = step.role & 7u;
  twin->effects = step.effects & 127u & ~(unsigned)(IPCNET_TWIN_DO_SILENCE | IPCNET_TWIN_DO_TAKE_OVER); /* these are the role itself */
  if (!twin->storing && !twin->sending && !(twin->effects & IPCNET_TWIN_DO_SEND_CLAIM)) twin->wanted = 0;
  to(&world, context);
}

static void die(const struct world *before, int i, visit to, void *context) {
  struct world world = *before;
  if (world.lock == (unsigned)i + 1) world.lock = 0;
  world.twins[i] = (struct twin){0};
  to(&world, context);
}

/* The lowest effect that is left. */
static void perform(const struct world *before, int i, visit to, void *context) {
  struct world world = *before;
  struct twin *twin = &world.twins[i], *other = &world.twins[1 - i];
  unsigned effect = twin->effects & (0u - twin->effects);
  twin->effects &= ~effect & 127u;
  switch (effect) {
  case IPCNET_TWIN_DO_KILL:
    if (other->life != OFF) other->killed = 1;
    break;
  case IPCNET_TWIN_DO_STORE_EPOCH:
    if (world.durable >= EPOCHS) return; /* the end of the model */
    twin->wanted = (world.durable + 1) & 7u; /* newer than what both kept; nothing else is believed */
    twin->storing = 1;
    break;
  case IPCNET_TWIN_DO_SEND_CLAIM:
    if (twin->wanted <= world.used) world.broken = true;
    world.used = twin->wanted;
    twin->sending = 1;
    break;
  case IPCNET_TWIN_DO_RELEASE:
    if (world.lock == (unsigned)i + 1) world.lock = 0;
    break;
  case IPCNET_TWIN_DO_TRY_LOCK:
    if (world.lock == 0 || world.lock == (unsigned)i + 1) world.lock = (unsigned)i + 1, twin->granted = 1;
    else twin->held = 1;
    break;
  default: break;
  }
  to(&world, context);
}

/* Answers and news that must come some time. */
static void fair(const struct world *world, int i, visit to, void *context) {
  const struct twin *twin = &world->twins[i], *other = &world->twins[1 - i];
  struct world after = *world;
  struct twin *then = &after.twins[i];
  if (twin->killed) die(world, i, to, context);
  if (twin->life == HUNG && other->life != RUNNING) { /* somebody outside notices at last */
    then->killed = 1;
    to(&after, context);
  }
  if (twin->life != RUNNING) return;
  if (twin->effects) {
    perform(world, i, to, context);
    return;
  }
  if (twin->granted) then->granted = 0, deliver(&after, i, IPCNET_TWIN_LOCK_GRANTED, to, context), after = *world;
  if (twin->held) then->held = 0, deliver(&after, i, IPCNET_TWIN_LOCK_HELD, to, context), after = *world;
  if (twin->storing) then->storing = 0, after.durable = twin->wanted > world->durable ? twin->wanted : world->durable, deliver(&after, i, IPCNET_TWIN_EPOCH_STORED, to, context), after = *world;
  if (twin->sending) then->sending = 0, deliver(&after, i, IPCNET_TWIN_CLAIM_SENT, to, context), after = *world;
  if (other->life == OFF) deliver(world, i, IPCNET_TWIN_OWNER_DEAD, to, context);
  if (other->life == HUNG) deliver(world, i, IPCNET_TWIN_OWNER_SUSPECT, to, context);
  if (twin->role == IPCNET_TWIN_YIELDING && ipcnet_twin_holds_lock((enum ipcnet_twin_role)other->role)) deliver(world, i, IPCNET_TWIN_YIELD_DONE, to, context);
  if (twin->role == IPCNET_TWIN_YIELDING) deliver(world, i, IPCNET_TWIN_YIELD_EXPIRED, to, context);
  if (twin->role == IPCNET_TWIN_OUTVOTED) deliver(world, i, IPCNET_TWIN_OTHER_HOST_SILENT, to, context);
  if (twin->role == IPCNET_TWIN_FENCING) deliver(world, i, IPCNET_TWIN_FENCE_EXPIRED, to, context);
  /* A standby whose twin claims nothing asks for the lock now and then; also one in FENCING whose twin is gone unseen. */
  if ((twin->role == IPCNET_TWIN_STANDBY || twin->role == IPCNET_TWIN_FENCING) && !(other->life != OFF && ipcnet_twin_holds_lock((enum ipcnet_twin_role)other->role)))
    then->effects = IPCNET_TWIN_DO_TRY_LOCK, to(&after, context);
}

/* And whatever else can happen, true or not. */
static void unfair(const struct world *world, int i, visit to, void *context) {
  const struct twin *twin = &world->twins[i];
  struct world after = *world;
  struct twin *then = &after.twins[i];
  if (twin->life == OFF) {
    *then = (struct twin){.life = RUNNING, .role = IPCNET_TWIN_STARTING, .effects = IPCNET_TWIN_DO_TRY_LOCK};
    to(&after, context);
    return;
  }
  die(world, i, to, context);
  then->life = twin->life == RUNNING ? HUNG : RUNNING;
  to(&after, context);
  after = *world;
  if (twin->life != RUNNING || twin->effects) return;
  if (twin->storing) then->storing = 0, deliver(&after, i, IPCNET_TWIN_STORE_FAILED, to, context), after = *world;
  static const enum ipcnet_twin_event NEWS[] = {IPCNET_TWIN_OWNER_SUSPECT, IPCNET_TWIN_OWNER_DEAD, IPCNET_TWIN_FENCE_EXPIRED, IPCNET_TWIN_CLAIM_EXPIRED, IPCNET_TWIN_HIGHER_EPOCH, IPCNET_TWIN_SELF_FENCED,
    IPCNET_TWIN_OTHER_HOST_SILENT, IPCNET_TWIN_YIELD_ASKED, IPCNET_TWIN_YIELDED_TO_US, IPCNET_TWIN_YIELD_DONE, IPCNET_TWIN_YIELD_EXPIRED, IPCNET_TWIN_STOP_ASKED};
  for (size_t n = 0; n < sizeof NEWS / sizeof NEWS[0]; n++) deliver(world, i, NEWS[n], to, context);
}

static void all_that_can_happen(const struct world *world, visit to, void *context) {
  for (int i = 0; i < 2; i++) {
    fair(world, i, to, context);
    unfair(world, i, to, context);
  }
}

/* ---- What must hold ------------------------------------------------------------------------------------------------------------------------ */

/* A hung one counts: it may wake up. So does one whose silence is still to be performed: its role is silent at once. */
static bool has_bus(const struct world *world, int i) {
  return world->twins[i].life != OFF && ipcnet_twin_holds_lock((enum ipcnet_twin_role)world->twins[i].role);
}

static void check_and_remember(const struct world *world, void *context) {
  (void)context;
  bool both = has_bus(world, 0) && has_bus(world, 1);
  bool without_lock = (has_bus(world, 0) && world->lock != 1) || (has_bus(world, 1) && world->lock != 2);
  if (both || without_lock || world->broken) {
    CHECK(!both);
    CHECK(!without_lock);
    CHECK(!world->broken);
    fprintf(stderr, "roles %s and %s, lock %u\n", ipcnet_twin_role_name((enum ipcnet_twin_role)world->twins[0].role), ipcnet_twin_role_name((enum ipcnet_twin_role)world->twins[1].role), world->lock);
    exit(EXIT_FAILURE);
  }
  remember(world);
}

static void is_good(const struct world *world, void *context) {
  size_t at = place(pack(world));
  if (seen.keys[at] != 0 && seen.good[at]) *(bool *)context = true;
}

/* Owned; or nobody is left who could own; or the model's epochs are used up. */
static bool is_settled(const struct world *world) {
  bool possible = false;
  for (int i = 0; i < 2; i++) {
    const struct twin *twin = &world->twins[i];
    if (twin->life == RUNNING && twin->role == IPCNET_TWIN_OWNER && !twin->effects) return true;
    if (twin->life == RUNNING && !twin->killed && twin->role != IPCNET_TWIN_STOPPED) possible = true;
  }
  return !possible || world->durable >= EPOCHS;
}

int main(void) {
  seen.capacity = 1u << 22;
  seen.keys = calloc(seen.capacity, sizeof *seen.keys);
  seen.good = calloc(seen.capacity, sizeof *seen.good);
  seen.queue = calloc(seen.capacity / 2, sizeof *seen.queue);
  if (!seen.keys || !seen.good || !seen.queue) return EXIT_FAILURE;

  struct world nothing = {0};
  remember(&nothing);
  for (size_t next = 0; next < seen.count; next++) {
    struct world world = unpack(seen.queue[next]);
    all_that_can_happen(&world, check_and_remember, NULL);
  }

  /* Backwards from the settled states, over what must happen some time alone: from everywhere there is a way. */
  size_t left = seen.count;
  bool moved = true;
  unsigned turns = 0;
  for (; moved && left > 0; turns++) {
    moved = false;
    for (size_t n = seen.count; n-- > 0;) {
      size_t at = place(seen.queue[n]);
      if (seen.good[at]) continue;
      struct world world = unpack(seen.queue[n]);
      bool good = is_settled(&world);
      for (int i = 0; i < 2 && !good; i++) fair(&world, i, is_good, &good);
      if (!good) continue;
      seen.good[at] = 1;
      left -= 1;
      moved = true;
    }
  }
  CHECK_INT(left, 0);
  for (size_t n = 0; n < seen.count && left > 0; n++) {
    if (seen.good[place(seen.queue[n])]) continue;
    struct world world = unpack(seen.queue[n]);
    fprintf(stderr, "stuck: %s and %s, lives %u %u, lock %u\n", ipcnet_twin_role_name((enum ipcnet_twin_role)world.twins[0].role), ipcnet_twin_role_name((enum ipcnet_twin_role)world.twins[1].role), world.twins[0].life, world.twins[1].life, world.lock);
    break;
  }
  printf("reflex_twin_model: %zu states, %u sweeps\n", seen.count, turns);
  free(seen.keys);
  free(seen.good);
  free(seen.queue);
  return checks_report("reflex_twin_model");
}
