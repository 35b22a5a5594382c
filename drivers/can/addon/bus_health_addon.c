/*
 * BusHealth for JavaScript: new NativeBusHealth(options), step(kind, a, b, nowUs) → number of effects.
 * What a step leaves behind is written into one ArrayBuffer (`memory`), so that reading it costs no further call:
 * 24 doubles (STATUS_*), then the effects as five u32 each.
 */
#include <math.h>
#include <stdlib.h>

#include "bus_health.h"
#include "glue.h"

enum { STATUS_PHASE, STATUS_STATE, STATUS_REASON, STATUS_CAUSE, STATUS_NEXT_DEADLINE_US, STATUS_SINCE_US, STATUS_UNCONFIRMED, STATUS_ACCEPTS,
       STATUS_NO_BUFFER, STATUS_LOST, STATUS_DEAD_TIMES, STATUS_BUS_OFF_TIMES, STATUS_PURGES, STATUS_PROBES, STATUS_RESTARTS, STATUS_LINK_LOST_TIMES,
       STATUS_PATIENCE_US, STATUS_DOUBLES = 24 };

struct memory {
    double status[STATUS_DOUBLES];
    struct ipcnet_bus_effect effects[IPCNET_BUS_EFFECTS_MAX];
};

struct wrapped {
    struct ipcnet_bus_health health;
    struct memory *memory;
    napi_ref memory_reference;
};

static const napi_type_tag tag = { 0x6970636e65744275ull, 0x734865616c746831ull };

static void publish(struct wrapped *self)
{
    const struct ipcnet_bus_health *health = &self->health;
    double *status = self->memory->status;
    uint64_t deadline_us = ipcnet_bus_health_next_deadline_us(health);
    status[STATUS_PHASE] = health->phase;
    status[STATUS_STATE] = ipcnet_bus_health_state(health);
    status[STATUS_REASON] = health->reason;
    status[STATUS_CAUSE] = health->cause;
    status[STATUS_NEXT_DEADLINE_US] = deadline_us == UINT64_MAX ? (double)INFINITY : (double)deadline_us;
    status[STATUS_SINCE_US] = (double)health->since_us;
    status[STATUS_UNCONFIRMED] = health->unconfirmed_frames;
    status[STATUS_ACCEPTS] = ipcnet_bus_health_accepts(health);
    status[STATUS_NO_BUFFER] = (double)health->counters.no_buffer_frames;
    status[STATUS_LOST] = (double)health->counters.lost_frames;
    status[STATUS_DEAD_TIMES] = (double)health->counters.dead_times;
    status[STATUS_BUS_OFF_TIMES] = (double)health->counters.bus_off_times;
    status[STATUS_PURGES] = (double)health->counters.purges;
    status[STATUS_PROBES] = (double)health->counters.probes;
    status[STATUS_RESTARTS] = (double)health->counters.restarts;
    status[STATUS_LINK_LOST_TIMES] = (double)health->counters.link_lost_times;
    status[STATUS_PATIENCE_US] = (double)ipcnet_bus_health_echo_patience_us(health);
}

static uint64_t microseconds(double value)
{
    return value > 0 && value < 9.0e15 ? (uint64_t)value : 0;
}

static uint32_t unsigned_option(napi_env env, napi_value options, const char *name, double fallback)
{
    double value = glue_number_property(env, options, name, fallback);
    return value >= 0 && value <= 4294967295.0 ? (uint32_t)value : (uint32_t)fallback;
}

static void finalize(napi_env env, void *data, void *hint)
{
    (void)hint;
    struct wrapped *self = data;
    if (self->memory_reference != NULL) napi_delete_reference(env, self->memory_reference);
    free(self);
}

static napi_value construct(napi_env env, napi_callback_info info)
{
    napi_value arguments[1], object;
    if (!glue_arguments(env, info, 1, arguments, &object)) return NULL;
    struct wrapped *self = calloc(1, sizeof *self);
    GLUE_REQUIRE(env, self != NULL, "out of memory");
    struct ipcnet_bus_health_options options = {
        .frame_time_us = unsigned_option(env, arguments[0], "frameTimeUs", 0),
        .tx_queue_frames = unsigned_option(env, arguments[0], "txQueueFrames", 16),
        .dead_after_us = unsigned_option(env, arguments[0], "deadAfterUs", 20000),
        .probe_interval_us = unsigned_option(env, arguments[0], "probeIntervalUs", 1000000),
        .restart_min_us = unsigned_option(env, arguments[0], "restartMinUs", 100000),
        .restart_max_us = unsigned_option(env, arguments[0], "restartMaxUs", 5000000),
        .restart_budget = unsigned_option(env, arguments[0], "restartBudget", 10),
        .confirms = glue_bool_property(env, arguments[0], "confirms", true),
        .listen_only = glue_bool_property(env, arguments[0], "listenOnly", false),
    };
    ipcnet_bus_health_init(&self->health, &options, microseconds(glue_number_property(env, arguments[0], "nowUs", 0)));
    self->memory = glue_shared_memory(env, object, "memory", sizeof *self->memory, &self->memory_reference);
    if (self->memory == NULL || napi_wrap(env, object, self, finalize, NULL, NULL) != napi_ok) {
        finalize(env, self, NULL);
        napi_throw_error(env, NULL, "the bus health machine could not be created");
        return NULL;
    }
    napi_type_tag_object(env, object, &tag);
    publish(self);
    return object;
}

static napi_value step(napi_env env, napi_callback_info info)
{
    napi_value arguments[4], object;
    if (!glue_arguments(env, info, 4, arguments, &object)) return NULL;
    struct wrapped *self = glue_unwrap(env, object, &tag, "not a NativeBusHealth");
    if (self == NULL) return NULL;
    struct ipcnet_bus_event event = { 0 };
    double now_us = 0;
    bool ok = napi_get_value_uint32(env, arguments[0], &event.kind) == napi_ok && napi_get_value_uint32(env, arguments[1], &event.a) == napi_ok &&
              napi_get_value_uint32(env, arguments[2], &event.b) == napi_ok && napi_get_value_double(env, arguments[3], &now_us) == napi_ok;
    GLUE_REQUIRE(env, ok, "step(kind, a, b, nowUs) takes four numbers");
    size_t count = ipcnet_bus_health_step(&self->health, &event, microseconds(now_us), self->memory->effects);
    publish(self);
    return glue_number(env, (double)count);
}

static napi_value set_link(napi_env env, napi_callback_info info)
{
    napi_value arguments[2], object;
    if (!glue_arguments(env, info, 2, arguments, &object)) return NULL;
    struct wrapped *self = glue_unwrap(env, object, &tag, "not a NativeBusHealth");
    if (self == NULL) return NULL;
    uint32_t frame_time_us, tx_queue_frames;
    bool ok = napi_get_value_uint32(env, arguments[0], &frame_time_us) == napi_ok && napi_get_value_uint32(env, arguments[1], &tx_queue_frames) == napi_ok;
    GLUE_REQUIRE(env, ok, "setLink(frameTimeUs, txQueueFrames) takes two numbers");
    ipcnet_bus_health_set_link(&self->health, frame_time_us, tx_queue_frames);
    publish(self);
    return glue_undefined(env);
}

static napi_value frame_time_us(napi_env env, napi_callback_info info)
{
    napi_value arguments[3];
    if (!glue_arguments(env, info, 3, arguments, NULL)) return NULL;
    uint32_t bitrate_bps, data_bitrate_bps;
    bool fd;
    bool ok = napi_get_value_uint32(env, arguments[0], &bitrate_bps) == napi_ok && napi_get_value_uint32(env, arguments[1], &data_bitrate_bps) == napi_ok &&
              napi_get_value_bool(env, arguments[2], &fd) == napi_ok;
    GLUE_REQUIRE(env, ok, "frameTimeUs(bitrateBps, dataBitrateBps, fd) takes two numbers and a boolean");
    return glue_number(env, ipcnet_can_frame_time_us(bitrate_bps, data_bitrate_bps, fd));
}

bool ipcnet_bus_health_addon(napi_env env, napi_value exports)
{
    const napi_property_descriptor methods[] = {
        { "step", NULL, step, NULL, NULL, NULL, napi_default_method, NULL },
        { "setLink", NULL, set_link, NULL, NULL, NULL, napi_default_method, NULL },
    };
    napi_value class_value, function;
    if (napi_define_class(env, "NativeBusHealth", NAPI_AUTO_LENGTH, construct, NULL, sizeof methods / sizeof methods[0], methods, &class_value) != napi_ok) return false;
    if (napi_create_function(env, "frameTimeUs", NAPI_AUTO_LENGTH, frame_time_us, NULL, &function) != napi_ok) return false;
    glue_set(env, exports, "NativeBusHealth", class_value);
    glue_set(env, exports, "frameTimeUs", function);
    return true;
}
