/*
 * One core of the reflex: new ReflexCore(). It can be begun anew any number of times (init), as a process that is started again.
 *
 * Everything that is read or written often lies in one ArrayBuffer (`memory`, struct memory below; core.ts says where). Each call begins an empty list of effects: what the core asked of its
 * outside, in order. `cut_at` n: before effect number n the process is killed: own page and image are kept as they were then (`page_at_cut`), and nothing of what follows is listed; the core
 * itself runs on to the end of the call and must be begun anew.
 */
#include <stdlib.h>
#include <string.h>

#include "glue.h"
#include "reflex.h"

#define EFFECTS_MAX 512u
#define INPUT_FRAMES 64u
#define LACKS_MAX 64u
#define BUSES IPCNET_REFLEX_BUSES_MAX

enum effect_kind { EFFECT_SEND, EFFECT_BUS, EFFECT_RECORD, EFFECT_JOURNAL, EFFECT_TWIN };

struct effect {
    uint32_t kind;
    uint32_t bus;  /* SEND, BUS */
    uint32_t a, b; /* SEND: verdict. BUS: enum ipcnet_bus_effect_kind. TWIN: effects, epoch */
    struct ipcnet_can_frame frame; /* SEND, RECORD */
};

struct memory {
    /* Laid there by JavaScript. */
    uint32_t cut_at;             /* number of the effect before which the process dies; 0xFFFFFFFF: it lives */
    uint32_t may_purge;          /* bit per bus */
    uint32_t room[BUSES];        /* how many frames the bus's queue takes yet */
    uint32_t verdict[BUSES];     /* what is said while there is room: IPCNET_CAN_QUEUED, or what the link says */
    uint8_t boot_id[16];
    struct ipcnet_can_link_numbers { uint32_t tx_queue_frames, bitrate_bps, data_bitrate_bps, bus_state; } link; /* bus_state: 0…3 */
    /* Of the last call. */
    uint32_t effect_count;
    uint32_t was_cut;
    uint32_t lost_effects;       /* beyond the list's size: a bug of whoever made it so small */
    uint32_t healthy;
    uint32_t lack_count;
    uint32_t fault_section, fault_row;
    uint32_t reserved;
    char fault_code[24];
    double next_deadline_us;
    struct ipcnet_reflex_state_record state;
    struct ipcnet_reflex_lack lacks[LACKS_MAX];
    struct ipcnet_reflex_command command; /* for command() */
    uint8_t more[400];                    /* of a command that is too long */
    struct ipcnet_can_frame input[INPUT_FRAMES];
    struct effect effects[EFFECTS_MAX];
    uint64_t counters[64];
    struct ipcnet_reflex_image image;     /* the last that was journalled; for restore() */
};

_Static_assert(sizeof(struct effect) == 104 && sizeof(struct ipcnet_reflex_counters) <= 64 * 8 && sizeof(struct ipcnet_reflex_state_record) == 24, "core.ts says so");

struct wrapped {
    struct ipcnet_reflex *core;
    struct ipcnet_reflex_os os;
    struct ipcnet_reflex_page *page;
    struct ipcnet_twin_watch watch;
    struct memory *memory;
    uint8_t *page_at_cut;
    napi_ref memory_reference, cut_reference, page_reference, other_reference, table_reference;
    bool begun;
};

static const napi_type_tag tag = { 0x6970636e65745265ull, 0x666c6578436f7265ull };

/* ---- The outside of the core ---------------------------------------------------------------------------------------------------------- */

/* A place in the list; NULL: the process is dead by now. */
static struct effect *next_effect(struct wrapped *self, enum effect_kind kind)
{
    struct memory *memory = self->memory;
    if (memory->was_cut) return NULL;
    if (memory->effect_count >= memory->cut_at) {
        memory->was_cut = 1;
        memcpy(self->page_at_cut, self->page, sizeof *self->page);
        return NULL;
    }
    if (memory->effect_count >= EFFECTS_MAX) {
        memory->lost_effects++;
        return NULL;
    }
    struct effect *effect = &memory->effects[memory->effect_count++];
    effect->kind = kind;
    effect->bus = effect->a = effect->b = 0;
    return effect;
}

static enum ipcnet_can_verdict os_send(void *context, uint8_t bus, const struct ipcnet_can_frame *frame)
{
    struct wrapped *self = context;
    struct memory *memory = self->memory;
    enum ipcnet_can_verdict verdict = bus >= BUSES ? IPCNET_CAN_NOT_OPEN : (enum ipcnet_can_verdict)memory->verdict[bus];
    if (verdict == IPCNET_CAN_QUEUED && memory->room[bus] == 0) verdict = IPCNET_CAN_QUEUE_FULL;
    struct effect *effect = next_effect(self, EFFECT_SEND);
    if (effect == NULL) return IPCNET_CAN_NOT_OPEN;
    effect->bus = bus;
    effect->a = verdict;
    effect->frame = *frame;
    if (verdict == IPCNET_CAN_QUEUED) memory->room[bus]--;
    return verdict;
}

static void os_bus_effect(void *context, uint8_t bus, enum ipcnet_bus_effect_kind kind)
{
    struct effect *effect = next_effect(context, EFFECT_BUS);
    if (effect == NULL) return;
    effect->bus = bus;
    effect->a = kind;
}

static void os_record(void *context, const struct ipcnet_can_frame *record)
{
    struct effect *effect = next_effect(context, EFFECT_RECORD);
    if (effect != NULL) effect->frame = *record;
}

static void os_journal(void *context, const struct ipcnet_reflex_image *image)
{
    struct wrapped *self = context;
    if (next_effect(self, EFFECT_JOURNAL) != NULL) self->memory->image = *image;
}

static void os_twin(void *context, uint32_t effects, uint16_t epoch)
{
    struct effect *effect = next_effect(context, EFFECT_TWIN);
    if (effect == NULL) return;
    effect->a = effects;
    effect->b = epoch;
}

static bool may_purge(void *context, uint8_t bus)
{
    const struct wrapped *self = context;
    return bus < 32 && (self->memory->may_purge >> bus & 1u) != 0;
}

/* ---- Life ------------------------------------------------------------------------------------------------------------------------------ */

static void finalize(napi_env env, void *data, void *hint)
{
    struct wrapped *self = data;
    (void)hint;
    napi_ref references[] = { self->memory_reference, self->cut_reference, self->page_reference, self->other_reference, self->table_reference };
    for (size_t i = 0; i < sizeof references / sizeof *references; i++) if (references[i] != NULL) napi_delete_reference(env, references[i]);
    free(self->core);
    free(self);
}

static napi_value construct(napi_env env, napi_callback_info info)
{
    napi_value object;
    size_t none = 0;
    if (napi_get_cb_info(env, info, &none, NULL, &object, NULL) != napi_ok) return NULL;
    struct wrapped *self = calloc(1, sizeof *self);
    const size_t bytes = (ipcnet_reflex_size() + 63u) / 64u * 64u;
    if (self != NULL) self->core = aligned_alloc(64, bytes);
    if (self != NULL && self->core != NULL) {
        memset(self->core, 0, bytes);
        self->memory = glue_memory(env, object, "memory", sizeof *self->memory, &self->memory_reference);
        self->page_at_cut = glue_memory(env, object, "pageAtCut", IPCNET_REFLEX_PAGE_BYTES, &self->cut_reference);
    }
    if (self == NULL || self->memory == NULL || self->page_at_cut == NULL || napi_wrap(env, object, self, finalize, NULL, NULL) != napi_ok) {
        if (self != NULL) finalize(env, self, NULL);
        napi_throw_error(env, NULL, "out of memory");
        return NULL;
    }
    self->os = (struct ipcnet_reflex_os){ .context = self, .send = os_send, .bus_effect = os_bus_effect, .record = os_record, .journal = os_journal, .twin = os_twin };
    napi_type_tag_object(env, object, &tag);
    return object;
}

static void keep(napi_env env, napi_ref *reference, napi_value value)
{
    if (*reference != NULL) napi_delete_reference(env, *reference);
    *reference = NULL;
    napi_create_reference(env, value, 1, reference);
}

static void begin_call(struct wrapped *self)
{
    self->memory->effect_count = 0;
    self->memory->was_cut = 0;
}

static napi_value end_call(napi_env env, struct wrapped *self, double now_us)
{
    struct memory *memory = self->memory;
    const uint64_t next = ipcnet_reflex_next_deadline_us(self->core);
    ipcnet_reflex_state(self->core, &memory->state);
    memory->healthy = ipcnet_reflex_healthy(self->core, (uint64_t)now_us);
    memory->next_deadline_us = next > 9007199254740991ull ? 9007199254740991.0 : (double)next;
    return glue_number(env, memory->effect_count);
}

/* Arguments, an empty list; false with an exception pending. All but init need a core that was begun. */
static bool enter(napi_env env, napi_callback_info info, size_t count, struct wrapped **self, napi_value values[8], double numbers[8])
{
    if (!glue_call(env, info, &tag, (void **)self, count, values, numbers)) return false;
    if (!(*self)->begun) {
        napi_throw_error(env, NULL, "init first");
        return false;
    }
    begin_call(*self);
    return true;
}

/* init(page, instance, alone, storedEpoch, nowUs): a process is started. Its page is zeroed by the caller. */
static napi_value init(napi_env env, napi_callback_info info)
{
    struct wrapped *self;
    napi_value values[8];
    double numbers[8];
    if (!glue_call(env, info, &tag, (void **)&self, 5, values, numbers)) return NULL;
    void *page = glue_buffer(env, values[0], IPCNET_REFLEX_PAGE_BYTES);
    if (page == NULL) {
        napi_throw_type_error(env, NULL, "init wants a page");
        return NULL;
    }
    keep(env, &self->page_reference, values[0]);
    self->page = page;
    struct ipcnet_reflex_options options = { .instance = (uint8_t)numbers[1], .alone = numbers[2] != 0, .stored_epoch = (uint16_t)numbers[3], .may_purge = may_purge };
    memcpy(options.boot_id, self->memory->boot_id, sizeof options.boot_id);
    begin_call(self);
    self->begun = true;
    ipcnet_reflex_init(self->core, &options, &self->os, self->page, (uint64_t)numbers[4]);
    return end_call(env, self, numbers[4]);
}

/* ---- What happens ---------------------------------------------------------------------------------------------------------------------- */

/* loadTable(bytes: ArrayBuffer, length, nowUs): true; or false, with the fault in memory. */
static napi_value load_table(napi_env env, napi_callback_info info)
{
    struct wrapped *self;
    napi_value values[8];
    double numbers[8];
    struct ipcnet_reflex_table_fault fault = { 0 };
    if (!enter(env, info, 3, &self, values, numbers)) return NULL;
    void *bytes = glue_buffer(env, values[0], (size_t)numbers[1]);
    if (bytes == NULL) {
        napi_throw_type_error(env, NULL, "loadTable wants an ArrayBuffer");
        return NULL;
    }
    const bool loaded = ipcnet_reflex_load_table(self->core, bytes, (size_t)numbers[1], (uint64_t)numbers[2], &fault);
    if (loaded) keep(env, &self->table_reference, values[0]);
    memset(self->memory->fault_code, 0, sizeof self->memory->fault_code);
    if (!loaded && fault.code != NULL) strncpy(self->memory->fault_code, fault.code, sizeof self->memory->fault_code - 1);
    self->memory->fault_section = fault.section;
    self->memory->fault_row = fault.row;
    end_call(env, self, numbers[2]);
    return glue_bool(env, loaded);
}

/* restore(nowUs): the image in memory. */
static napi_value restore(napi_env env, napi_callback_info info)
{
    struct wrapped *self;
    napi_value values[8];
    double numbers[8];
    if (!enter(env, info, 1, &self, values, numbers)) return NULL;
    const struct ipcnet_reflex_image image = self->memory->image;
    ipcnet_reflex_restore(self->core, &image, (uint64_t)numbers[0]);
    return end_call(env, self, numbers[0]);
}

/* frames(bus, count, nowUs): the first `count` of memory's input. */
static napi_value frames(napi_env env, napi_callback_info info)
{
    struct wrapped *self;
    napi_value values[8];
    double numbers[8];
    if (!enter(env, info, 3, &self, values, numbers)) return NULL;
    const size_t count = numbers[1] < INPUT_FRAMES ? (size_t)numbers[1] : INPUT_FRAMES;
    ipcnet_reflex_frames(self->core, (uint8_t)numbers[0], self->memory->input, count, (uint64_t)numbers[2]);
    return end_call(env, self, numbers[2]);
}

/* link(bus, kind, a, b, key, nowUs) */
static napi_value link_event(napi_env env, napi_callback_info info)
{
    struct wrapped *self;
    napi_value values[8];
    double numbers[8];
    if (!enter(env, info, 6, &self, values, numbers)) return NULL;
    const struct ipcnet_can_link_event event = { .kind = (uint32_t)numbers[1], .a = (uint32_t)numbers[2], .b = (uint32_t)numbers[3], .key = (uint64_t)numbers[4] };
    const bool up = event.kind != IPCNET_LINK_DOWN && event.kind != IPCNET_LINK_GONE;
    const struct ipcnet_can_link link = {
        .index = event.kind == IPCNET_LINK_GONE ? 0 : 1, .is_can = true, .controller = true, .up = up, .running = up && self->memory->link.bus_state < 3,
        .bus_state = (uint8_t)self->memory->link.bus_state, .bus_state_known = true,
        .tx_queue_frames = self->memory->link.tx_queue_frames, .bitrate_bps = self->memory->link.bitrate_bps, .data_bitrate_bps = self->memory->link.data_bitrate_bps,
    };
    ipcnet_reflex_link(self->core, (uint8_t)numbers[0], &event, &link, (uint64_t)numbers[5]);
    return end_call(env, self, numbers[5]);
}

/* command(length, nowUs): the first `length` bytes of memory's command. */
static napi_value command(napi_env env, napi_callback_info info)
{
    struct wrapped *self;
    napi_value values[8];
    double numbers[8];
    if (!enter(env, info, 2, &self, values, numbers)) return NULL;
    const size_t length = numbers[0] < 512 ? (size_t)numbers[0] : 512;
    ipcnet_reflex_command(self->core, &self->memory->command, length, (uint64_t)numbers[1]);
    return end_call(env, self, numbers[1]);
}

/* order(order, a, b, cHigh, cLow, nowUs): the answer. */
static napi_value order(napi_env env, napi_callback_info info)
{
    struct wrapped *self;
    napi_value values[8];
    double numbers[8];
    if (!enter(env, info, 6, &self, values, numbers)) return NULL;
    const uint64_t c = (uint64_t)(uint32_t)numbers[3] << 32 | (uint32_t)numbers[4];
    const enum ipcnet_reflex_answer answer = ipcnet_reflex_order(self->core, (enum ipcnet_reflex_order)(int)numbers[0], (uint32_t)numbers[1], (uint32_t)numbers[2], c, (uint64_t)numbers[5]);
    end_call(env, self, numbers[5]);
    return glue_number(env, answer);
}

/* missing(nowUs): how many there are; up to LACKS_MAX lie in memory. */
static napi_value missing(napi_env env, napi_callback_info info)
{
    struct wrapped *self;
    napi_value values[8];
    double numbers[8];
    if (!enter(env, info, 1, &self, values, numbers)) return NULL;
    const size_t count = ipcnet_reflex_missing(self->core, (uint64_t)numbers[0], self->memory->lacks, LACKS_MAX);
    self->memory->lack_count = (uint32_t)count;
    return glue_number(env, (double)count);
}

/* twinEvent(event, other page or null, nowUs). The page is kept. */
static napi_value twin_event(napi_env env, napi_callback_info info)
{
    struct wrapped *self;
    napi_value values[8];
    double numbers[8];
    if (!enter(env, info, 3, &self, values, numbers)) return NULL;
    const struct ipcnet_reflex_page *other = glue_buffer(env, values[1], IPCNET_REFLEX_PAGE_BYTES);
    if (other != NULL) keep(env, &self->other_reference, values[1]);
    ipcnet_reflex_twin_event(self->core, (enum ipcnet_twin_event)(int)numbers[0], other, (uint64_t)numbers[2]);
    return end_call(env, self, numbers[2]);
}

/* tick(nowUs) */
static napi_value tick(napi_env env, napi_callback_info info)
{
    struct wrapped *self;
    napi_value values[8];
    double numbers[8];
    if (!enter(env, info, 1, &self, values, numbers)) return NULL;
    ipcnet_reflex_tick(self->core, (uint64_t)numbers[0]);
    return end_call(env, self, numbers[0]);
}

/* counters(): into memory. */
static napi_value counters(napi_env env, napi_callback_info info)
{
    struct wrapped *self;
    napi_value values[8];
    double numbers[8];
    if (!enter(env, info, 0, &self, values, numbers)) return NULL;
    memcpy(self->memory->counters, ipcnet_reflex_counters(self->core), sizeof(struct ipcnet_reflex_counters));
    return glue_number(env, 0);
}

/* ---- The other twin's beat --------------------------------------------------------------------------------------------------------------- */

/* watch(deadlineUs, nowUs): begins to judge. */
static napi_value watch(napi_env env, napi_callback_info info)
{
    struct wrapped *self;
    napi_value values[8];
    double numbers[8];
    if (!glue_call(env, info, &tag, (void **)&self, 2, values, numbers)) return NULL;
    ipcnet_twin_watch_init(&self->watch, (uint64_t)numbers[0], (uint64_t)numbers[1]);
    return glue_number(env, 0);
}

/* look(other page, nowUs): true, the other stands still. */
static napi_value look(napi_env env, napi_callback_info info)
{
    struct wrapped *self;
    napi_value values[8];
    double numbers[8];
    if (!glue_call(env, info, &tag, (void **)&self, 2, values, numbers)) return NULL;
    const struct ipcnet_reflex_page *other = glue_buffer(env, values[0], IPCNET_REFLEX_PAGE_BYTES);
    return glue_bool(env, other != NULL && ipcnet_twin_watch_look(&self->watch, other->beat, (uint64_t)numbers[1]));
}

bool ipcnet_reflex_core_addon(napi_env env, napi_value exports)
{
    const napi_property_descriptor methods[] = {
        { "init", NULL, init, NULL, NULL, NULL, napi_default, NULL },
        { "loadTable", NULL, load_table, NULL, NULL, NULL, napi_default, NULL },
        { "restore", NULL, restore, NULL, NULL, NULL, napi_default, NULL },
        { "frames", NULL, frames, NULL, NULL, NULL, napi_default, NULL },
        { "link", NULL, link_event, NULL, NULL, NULL, napi_default, NULL },
        { "command", NULL, command, NULL, NULL, NULL, napi_default, NULL },
        { "order", NULL, order, NULL, NULL, NULL, napi_default, NULL },
        { "missing", NULL, missing, NULL, NULL, NULL, napi_default, NULL },
        { "twinEvent", NULL, twin_event, NULL, NULL, NULL, napi_default, NULL },
        { "tick", NULL, tick, NULL, NULL, NULL, napi_default, NULL },
        { "counters", NULL, counters, NULL, NULL, NULL, napi_default, NULL },
        { "watch", NULL, watch, NULL, NULL, NULL, napi_default, NULL },
        { "look", NULL, look, NULL, NULL, NULL, napi_default, NULL },
    };
    /* core.ts reads these instead of knowing the structs. */
    const struct { const char *name; size_t value; } places[] = {
        { "cutAt", offsetof(struct memory, cut_at) }, { "mayPurge", offsetof(struct memory, may_purge) }, { "room", offsetof(struct memory, room) }, { "verdict", offsetof(struct memory, verdict) },
        { "bootId", offsetof(struct memory, boot_id) }, { "link", offsetof(struct memory, link) }, { "effectCount", offsetof(struct memory, effect_count) }, { "wasCut", offsetof(struct memory, was_cut) },
        { "lostEffects", offsetof(struct memory, lost_effects) }, { "healthy", offsetof(struct memory, healthy) }, { "lackCount", offsetof(struct memory, lack_count) },
        { "faultSection", offsetof(struct memory, fault_section) }, { "faultRow", offsetof(struct memory, fault_row) }, { "faultCode", offsetof(struct memory, fault_code) },
        { "nextDeadlineUs", offsetof(struct memory, next_deadline_us) }, { "state", offsetof(struct memory, state) }, { "lacks", offsetof(struct memory, lacks) }, { "command", offsetof(struct memory, command) },
        { "input", offsetof(struct memory, input) }, { "effects", offsetof(struct memory, effects) }, { "counters", offsetof(struct memory, counters) }, { "image", offsetof(struct memory, image) },
        { "imageBytes", sizeof(struct ipcnet_reflex_image) }, { "imageEpoch", offsetof(struct memory, image.epoch) }, { "imageVerdict", offsetof(struct memory, image.run.verdict) },
        { "imageTrigger", offsetof(struct memory, image.run.trigger) }, { "imagePlan", offsetof(struct memory, image.run.plan) },
        { "pageBytes", IPCNET_REFLEX_PAGE_BYTES }, { "pageRole", offsetof(struct ipcnet_reflex_page, role) }, { "pageEpoch", offsetof(struct ipcnet_reflex_page, epoch) },
        { "pageGoodbye", offsetof(struct ipcnet_reflex_page, goodbye) }, { "pageBeat", offsetof(struct ipcnet_reflex_page, beat) }, { "pagePid", offsetof(struct ipcnet_reflex_page, pid) },
        { "pageBusPhases", offsetof(struct ipcnet_reflex_page, bus_phases) }, { "pageMagic", offsetof(struct ipcnet_reflex_page, magic) }, { "effectsMax", EFFECTS_MAX }, { "inputFrames", INPUT_FRAMES },
    };
    napi_value object;
    if (napi_create_object(env, &object) != napi_ok) return false;
    for (size_t i = 0; i < sizeof places / sizeof *places; i++) napi_set_named_property(env, object, places[i].name, glue_number(env, (double)places[i].value));
    napi_set_named_property(env, exports, "places", object);
    return glue_class(env, exports, "ReflexCore", construct, methods, sizeof methods / sizeof *methods);
}
