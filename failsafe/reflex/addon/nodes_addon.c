/*
 * Some nodes of the node kit: new ReflexNodes(count, claimTimeoutUs, deadManUs, firstDataId, epochBits). Node n obeys one motion command: E2E profile 5 with Data ID firstDataId + n, the epoch in
 * `epochBits` bits from bit 24 on, the owner in bits 62…63. `memory`: 64 bytes of frame, then per node 8 × u32: epoch, reported owner, outputs, accepted, refused, stale claims, dead-man stops, epoch of the owner kept.
 */
#include <stdlib.h>

#include "glue.h"
#include "ipcnet_node.h"

#define NODES_MAX 64u

struct one {
    struct ipcnet_node node;
    struct ipcnet_node_command command;
};

struct memory {
    uint8_t frame[64];
    uint32_t states[NODES_MAX][8];
};

struct wrapped {
    uint32_t count, first_data_id;
    uint8_t epoch_bits;
    struct ipcnet_node_options options;
    struct memory *memory;
    napi_ref reference;
    struct one nodes[NODES_MAX];
};

static const napi_type_tag tag = { 0x6970636e65744e6full, 0x646573536f6d6531ull };

static void finalize(napi_env env, void *data, void *hint)
{
    struct wrapped *self = data;
    (void)hint;
    if (self->reference != NULL) napi_delete_reference(env, self->reference);
    free(self);
}

static void power_on(struct wrapped *self, uint32_t index)
{
    struct one *one = &self->nodes[index];
    one->command = (struct ipcnet_node_command){
        .inspect = ipcnet_e2e_p05_inspect, .e2e = { .data_id = self->first_data_id + index, .min_length_bytes = 8, .max_length_bytes = 8 }, .counter_max = IPCNET_E2E_P05_COUNTER_MAX,
        .motion = true, .epoch = { 24, self->epoch_bits }, .owner = { 62, 2 },
    };
    ipcnet_node_init(&one->node, &self->options, &one->command, 1);
}

static void show(struct wrapped *self, uint32_t index)
{
    const struct ipcnet_node *node = &self->nodes[index].node;
    uint32_t *state = self->memory->states[index];
    state[0] = node->epoch;
    state[1] = ipcnet_node_reported_owner(node);
    state[2] = node->outputs;
    state[3] = node->accepted_commands;
    state[4] = node->refused_commands;
    state[5] = node->stale_claims;
    state[6] = node->dead_man_stops;
    state[7] = node->owner;
}

static napi_value construct(napi_env env, napi_callback_info info)
{
    napi_value object, values[5];
    size_t given = 5;
    double numbers[5] = { 0 };
    if (napi_get_cb_info(env, info, &given, values, &object, NULL) != napi_ok) return NULL;
    for (size_t i = 0; i < given && i < 5; i++) (void)napi_get_value_double(env, values[i], &numbers[i]);
    struct wrapped *self = calloc(1, sizeof *self);
    if (self != NULL) self->memory = glue_memory(env, object, "memory", sizeof *self->memory, &self->reference);
    if (self == NULL || self->memory == NULL || numbers[0] < 1 || numbers[0] > NODES_MAX || napi_wrap(env, object, self, finalize, NULL, NULL) != napi_ok) {
        if (self != NULL) finalize(env, self, NULL);
        napi_throw_type_error(env, NULL, "ReflexNodes wants 1 to 64 nodes");
        return NULL;
    }
    self->count = (uint32_t)numbers[0];
    self->options = (struct ipcnet_node_options){ .claim_timeout_us = (uint32_t)numbers[1], .dead_man_us = (uint32_t)numbers[2] };
    self->first_data_id = (uint32_t)numbers[3];
    self->epoch_bits = (uint8_t)(numbers[4] > 0 ? numbers[4] : 8);
    for (uint32_t i = 0; i < self->count; i++) {
        power_on(self, i);
        show(self, i);
    }
    napi_type_tag_object(env, object, &tag);
    return object;
}

static bool enter(napi_env env, napi_callback_info info, size_t count, struct wrapped **self, double numbers[8])
{
    napi_value values[8];
    if (!glue_call(env, info, &tag, (void **)self, count, values, numbers)) return false;
    if (numbers[0] >= 0 && numbers[0] < (*self)->count) return true;
    napi_throw_range_error(env, NULL, "no such node");
    return false;
}

/* powerOn(node) */
static napi_value power_on_one(napi_env env, napi_callback_info info)
{
    struct wrapped *self;
    double numbers[8];
    if (!enter(env, info, 1, &self, numbers)) return NULL;
    power_on(self, (uint32_t)numbers[0]);
    show(self, (uint32_t)numbers[0]);
    return glue_number(env, 0);
}

/* hear(node, idOwner, lengthBytes, nowUs): enum ipcnet_node_heard */
static napi_value hear(napi_env env, napi_callback_info info)
{
    struct wrapped *self;
    double numbers[8];
    if (!enter(env, info, 4, &self, numbers)) return NULL;
    const uint32_t index = (uint32_t)numbers[0];
    const size_t length = numbers[2] < 64 ? (size_t)numbers[2] : 64;
    const enum ipcnet_node_heard heard = ipcnet_node_hear(&self->nodes[index].node, (uint8_t)numbers[1], self->memory->frame, length, (uint32_t)(uint64_t)numbers[3]);
    show(self, index);
    return glue_number(env, heard);
}

/* judge(node, lengthBytes, nowUs): enum ipcnet_node_verdict */
static napi_value judge(napi_env env, napi_callback_info info)
{
    struct wrapped *self;
    double numbers[8];
    if (!enter(env, info, 3, &self, numbers)) return NULL;
    const uint32_t index = (uint32_t)numbers[0];
    const size_t length = numbers[1] < 64 ? (size_t)numbers[1] : 64;
    const enum ipcnet_node_verdict verdict = ipcnet_node_judge(&self->nodes[index].node, 0, self->memory->frame, length, (uint32_t)(uint64_t)numbers[2]);
    show(self, index);
    return glue_number(env, verdict);
}

/* poll(node, nowUs) */
static napi_value poll(napi_env env, napi_callback_info info)
{
    struct wrapped *self;
    double numbers[8];
    if (!enter(env, info, 2, &self, numbers)) return NULL;
    ipcnet_node_poll(&self->nodes[(uint32_t)numbers[0]].node, (uint32_t)(uint64_t)numbers[1]);
    show(self, (uint32_t)numbers[0]);
    return glue_number(env, 0);
}

bool ipcnet_reflex_nodes_addon(napi_env env, napi_value exports)
{
    const napi_property_descriptor methods[] = {
        { "powerOn", NULL, power_on_one, NULL, NULL, NULL, napi_default, NULL },
        { "hear", NULL, hear, NULL, NULL, NULL, napi_default, NULL },
        { "judge", NULL, judge, NULL, NULL, NULL, napi_default, NULL },
        { "poll", NULL, poll, NULL, NULL, NULL, napi_default, NULL },
    };
    return glue_class(env, exports, "ReflexNodes", construct, methods, sizeof methods / sizeof *methods);
}
