/*
 * One CAN bus for JavaScript: new NativeCanBus(options, onWake).
 *
 * Everything that is read or written often lies in one ArrayBuffer (`memory`), created once: 64 doubles of status, the frame to send, the batch that `drain`
 * fills. `onWake` is called once per burst on the JavaScript thread. The poller's thread holds no JavaScript value.
 *
 * Life: open → … → dispose. An environment that ends without dispose (a worker that is terminated) is cleaned up by a hook. The object keeps the process alive until disposed.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bus_poller.h"
#include "emulator_socket.h"
#include "glue.h"
#include "ipcnet_can.h"
#include "os_linux.h"

enum { STATUS_RECEIVED, STATUS_ECHOES, STATUS_PROBE_ECHOES, STATUS_ERRORS, STATUS_LOST, STATUS_LAST_RECEIVED_US, STATUS_LAST_ECHO_US, STATUS_LAST_PROBE_ECHO_US,
       STATUS_EVENT_KIND = 8, STATUS_EVENT_A, STATUS_EVENT_B, STATUS_EVENT_LEFT,
       STATUS_IN_FLIGHT = 12, STATUS_FEATURES, STATUS_RECEIVE_BUFFER_BYTES, STATUS_WAKE_UPS,
       STATUS_COUNTERS = 16, STATUS_DOUBLES = 64 };

struct memory {
    double status[STATUS_DOUBLES];
    struct ipcnet_can_frame outgoing;
    struct ipcnet_can_frame batch[];
};
_Static_assert(offsetof(struct memory, outgoing) == 512 && offsetof(struct memory, batch) == 600, "nativeBus.ts says where");

struct wrapped {
    struct ipcnet_can can;
    struct ipcnet_bus_poller poller;
    union {
        struct ipcnet_can_linux linux_context;
        struct ipcnet_emulator emulator;
    } context;
    struct ipcnet_can_os os;
    bool emulated, disposed, watching;
    struct memory *memory;
    napi_ref memory_reference;
    uint32_t batch_frames;
    napi_threadsafe_function wake;
    struct ipcnet_can_frame *ring;
};

static const napi_type_tag tag = { 0x6970636e65744e61ull, 0x7469766543616e42ull };

static void wake_javascript(void *context)
{
    struct wrapped *self = context;
    (void)napi_call_threadsafe_function(self->wake, NULL, napi_tsfn_nonblocking); /* fails only while the environment ends */
}

/* ---- Life --------------------------------------------------------------------------------------------------------------------------- */

static void stop_everything(void *data)
{
    struct wrapped *self = data;
    ipcnet_bus_poller_destroy(&self->poller);
    ipcnet_can_close(&self->can);
    if (!self->emulated && self->watching) ipcnet_can_linux_close(&self->context.linux_context);
    self->watching = false;
    self->disposed = true;
}

static void finalize(napi_env env, void *data, void *hint)
{
    struct wrapped *self = data;
    (void)hint;
    if (!self->disposed) {
        napi_remove_env_cleanup_hook(env, stop_everything, self);
        stop_everything(self);
    }
    if (self->memory_reference != NULL) napi_delete_reference(env, self->memory_reference);
    free(self->ring);
    free(self);
}

static napi_value dispose(napi_env env, napi_callback_info info);

static uint32_t power_of_two(double wanted)
{
    uint32_t power = IPCNET_CAN_BATCH;
    while (power < wanted && power < (1u << 20)) power *= 2;
    return power;
}

static bool prepare(napi_env env, napi_value options, struct wrapped *self)
{
    struct ipcnet_can_config config = { .fd = glue_bool_property(env, options, "fd", false), .listen_only = glue_bool_property(env, options, "listenOnly", false) };
    char kind[16], bus_name[32], node_name[32];
    double queue = glue_number_property(env, options, "txQueueFrames", 16), buffer = glue_number_property(env, options, "receiveBufferBytes", 0);
    config.tx_queue_frames = queue >= 1 && queue <= IPCNET_CAN_TX_QUEUE_MAX ? (uint32_t)queue : 16;
    config.receive_buffer_bytes = buffer > 0 && buffer < 1e9 ? (uint32_t)buffer : 0;
    if (!glue_string_property(env, options, "interface", config.interface, sizeof config.interface) || !glue_string_property(env, options, "kind", kind, sizeof kind)) return false;
    (void)glue_string_property(env, options, "busName", bus_name, sizeof bus_name);
    (void)glue_string_property(env, options, "nodeName", node_name, sizeof node_name);
    self->emulated = strcmp(kind, "emulator") == 0;
    if (!self->emulated && strcmp(kind, "socketcan") != 0) return false;
    if (self->emulated) {
        ipcnet_emulator_init(&self->context.emulator, bus_name, node_name, config.listen_only);
        self->os = ipcnet_emulator_os(&self->context.emulator);
    } else {
        (void)ipcnet_can_linux_init(&self->context.linux_context); /* without notifications the socket's own errors have to do */
        self->watching = true;
        self->os = ipcnet_can_linux_os(&self->context.linux_context);
    }
    ipcnet_can_init(&self->can, &config, &self->os);

    double ring_frames = glue_number_property(env, options, "ringFrames", 8192), batch_frames = glue_number_property(env, options, "batchFrames", 1024);
    uint32_t capacity = power_of_two(ring_frames);
    self->batch_frames = batch_frames >= 1 && batch_frames <= 65536 ? (uint32_t)batch_frames : 1024;
    self->ring = calloc(capacity, sizeof *self->ring);
    return self->ring != NULL && ipcnet_bus_poller_init(&self->poller, &self->can, self->ring, capacity, wake_javascript, self) == 0;
}

static napi_value construct(napi_env env, napi_callback_info info)
{
    napi_value arguments[2], object, name;
    if (!glue_arguments(env, info, 2, arguments, &object)) return NULL;
    struct wrapped *self = calloc(1, sizeof *self);
    GLUE_REQUIRE(env, self != NULL, "out of memory");
    self->poller.wake_fd = -1;
    self->can.fd = -1;
    bool ok = prepare(env, arguments[0], self);
    if (ok) {
        self->memory = glue_shared_memory(env, object, "memory", sizeof *self->memory + self->batch_frames * sizeof(struct ipcnet_can_frame), &self->memory_reference);
        ok = self->memory != NULL && napi_create_string_utf8(env, "ipcnet-can", NAPI_AUTO_LENGTH, &name) == napi_ok &&
             napi_create_threadsafe_function(env, arguments[1], NULL, name, 0, 1, NULL, NULL, NULL, NULL, &self->wake) == napi_ok;
    }
    if (!ok || napi_wrap(env, object, self, finalize, NULL, NULL) != napi_ok) {
        if (self->wake != NULL) napi_release_threadsafe_function(self->wake, napi_tsfn_abort);
        self->disposed = true; /* no hook yet */
        stop_everything(self);
        finalize(env, self, NULL);
        napi_throw_type_error(env, NULL, "NativeCanBus needs { kind: \"socketcan\" | \"emulator\", interface } and a function");
        return NULL;
    }
    napi_type_tag_object(env, object, &tag);
    napi_add_env_cleanup_hook(env, stop_everything, self);
    return object;
}

static struct wrapped *self_of(napi_env env, napi_callback_info info)
{
    napi_value object;
    if (!glue_arguments(env, info, 0, NULL, &object)) return NULL;
    struct wrapped *self = glue_unwrap(env, object, &tag, "not a NativeCanBus");
    if (self != NULL && self->disposed) {
        napi_throw_error(env, "ERR_DISPOSED", "the bus was disposed of");
        return NULL;
    }
    return self;
}

static napi_value dispose(napi_env env, napi_callback_info info)
{
    napi_value object;
    if (!glue_arguments(env, info, 0, NULL, &object)) return NULL;
    struct wrapped *self = glue_unwrap(env, object, &tag, "not a NativeCanBus");
    if (self == NULL || self->disposed) return glue_undefined(env);
    napi_remove_env_cleanup_hook(env, stop_everything, self);
    stop_everything(self);
    napi_release_threadsafe_function(self->wake, napi_tsfn_abort);
    return glue_undefined(env);
}

/* ---- Opening ------------------------------------------------------------------------------------------------------------------------ */

static void set_text(napi_env env, napi_value object, const char *name, const char *text)
{
    napi_value value;
    if (napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value) == napi_ok) glue_set(env, object, name, value);
}

/* Returns { code, message, remedy }; code "ok" when the socket is open. Either way the thread runs afterwards: it reads, or watches for the interface. */
static napi_value open_bus(napi_env env, napi_callback_info info)
{
    struct wrapped *self = self_of(env, info);
    napi_value result;
    if (self == NULL) return NULL;
    ipcnet_bus_poller_stop(&self->poller);
    enum ipcnet_can_status status = ipcnet_can_open(&self->can);
    char text[768], *remedy;
    ipcnet_can_explain(&self->can, status, text, sizeof text);
    remedy = strchr(text, '\n');
    if (remedy != NULL) *remedy++ = '\0';
    self->memory->status[STATUS_FEATURES] = self->can.features;
    self->memory->status[STATUS_RECEIVE_BUFFER_BYTES] = self->can.receive_buffer_bytes;
    int started = ipcnet_bus_poller_start(&self->poller);
    if (started < 0) {
        ipcnet_can_close(&self->can);
        glue_throw_errno(env, -started, "the thread that reads the bus could not be started");
        return NULL;
    }
    if (napi_create_object(env, &result) != napi_ok) return NULL;
    set_text(env, result, "code", ipcnet_can_status_code(status));
    set_text(env, result, "message", text);
    set_text(env, result, "remedy", remedy != NULL ? remedy : "");
    return result;
}

/* Closes the socket and goes on watching. What the ring holds stays. */
static napi_value close_socket(napi_env env, napi_callback_info info)
{
    struct wrapped *self = self_of(env, info);
    if (self == NULL) return NULL;
    ipcnet_bus_poller_stop(&self->poller);
    ipcnet_can_close(&self->can);
    (void)ipcnet_bus_poller_start(&self->poller); /* without it nothing is noticed until the next open, which says so */
    return glue_undefined(env);
}

/* The link as the thread last saw it change. */
static napi_value query(napi_env env, napi_callback_info info)
{
    struct wrapped *self = self_of(env, info);
    napi_value result, flag;
    if (self == NULL || napi_create_object(env, &result) != napi_ok) return NULL;
    struct ipcnet_can_link link = ipcnet_bus_poller_link(&self->poller);
    const struct { const char *name; bool value; } flags[] = { { "there", link.index > 0 }, { "controller", link.controller }, { "up", link.up }, { "running", link.running }, { "fd", link.fd }, { "listenOnly", link.listen_only } };
    for (size_t i = 0; i < sizeof flags / sizeof flags[0]; i++)
        if (napi_get_boolean(env, flags[i].value, &flag) == napi_ok) glue_set(env, result, flags[i].name, flag);
    const struct { const char *name; double value; } numbers[] = {
        { "txQueueFrames", link.tx_queue_frames }, { "bitrateBps", link.bitrate_bps }, { "dataBitrateBps", link.data_bitrate_bps }, { "restartMs", link.restart_ms },
        { "busState", link.bus_state_known ? link.bus_state : -1 }, { "tec", link.tec }, { "rec", link.rec } };
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) glue_set(env, result, numbers[i].name, glue_number(env, numbers[i].value));
    set_text(env, result, "refusal", link.refusal);
    return result;
}

static napi_value may_purge(napi_env env, napi_callback_info info)
{
    struct wrapped *self = self_of(env, info);
    napi_value flag = NULL;
    if (self == NULL) return NULL;
    napi_get_boolean(env, ipcnet_can_may_purge(&self->can), &flag);
    return flag;
}

/* ---- Traffic ------------------------------------------------------------------------------------------------------------------------ */

/* Sends memory's `outgoing`; returns enum ipcnet_can_verdict. */
static napi_value send_frame(napi_env env, napi_callback_info info)
{
    struct wrapped *self = self_of(env, info);
    if (self == NULL) return NULL;
    enum ipcnet_can_verdict verdict = ipcnet_can_send(&self->can, &self->memory->outgoing);
    self->memory->status[STATUS_IN_FLIGHT] = ipcnet_can_in_flight_frames(&self->can);
    return glue_number(env, verdict);
}

/* Moves frames into memory's `batch`, with a summary; returns how many. */
static napi_value drain(napi_env env, napi_callback_info info)
{
    struct wrapped *self = self_of(env, info);
    if (self == NULL) return NULL;
    struct ipcnet_can_summary summary = { 0 };
    size_t count = ipcnet_bus_poller_drain(&self->poller, self->memory->batch, self->batch_frames);
    ipcnet_can_confirm(&self->can, self->memory->batch, count, &summary);
    double *status = self->memory->status;
    status[STATUS_RECEIVED] = summary.received;
    status[STATUS_ECHOES] = summary.echoes;
    status[STATUS_PROBE_ECHOES] = summary.probe_echoes;
    status[STATUS_ERRORS] = summary.errors;
    status[STATUS_LOST] = summary.lost;
    status[STATUS_LAST_RECEIVED_US] = summary.last_received_us;
    status[STATUS_LAST_ECHO_US] = summary.last_echo_us;
    status[STATUS_LAST_PROBE_ECHO_US] = summary.last_probe_echo_us;
    status[STATUS_IN_FLIGHT] = ipcnet_can_in_flight_frames(&self->can);
    return glue_number(env, (double)count);
}

static napi_value woken(napi_env env, napi_callback_info info)
{
    struct wrapped *self = self_of(env, info);
    if (self == NULL) return NULL;
    ipcnet_bus_poller_woken(&self->poller);
    return glue_undefined(env);
}

static napi_value events_waiting(napi_env env, napi_callback_info info)
{
    struct wrapped *self = self_of(env, info);
    return self == NULL ? NULL : glue_number(env, ipcnet_bus_poller_events_waiting(&self->poller));
}

/* True and status EVENT_*, or false. EVENT_LEFT: own frames that left the queue unsent by it. */
static napi_value next_event(napi_env env, napi_callback_info info)
{
    struct wrapped *self = self_of(env, info);
    struct ipcnet_can_link_event event;
    napi_value flag = NULL;
    if (self == NULL) return NULL;
    bool some = ipcnet_bus_poller_next_event(&self->poller, &event);
    if (some) {
        double *status = self->memory->status;
        status[STATUS_EVENT_KIND] = event.kind;
        status[STATUS_EVENT_A] = event.a;
        status[STATUS_EVENT_B] = event.b;
        status[STATUS_EVENT_LEFT] = ipcnet_can_note_event(&self->can, &event);
        status[STATUS_IN_FLIGHT] = ipcnet_can_in_flight_frames(&self->can);
    }
    napi_get_boolean(env, some, &flag);
    return flag;
}

/* request(bits, syncNumber): IPCNET_REQUEST_PURGE 2, _RESTART 4, _SYNC 8. */
static napi_value request(napi_env env, napi_callback_info info)
{
    napi_value arguments[2], object;
    if (!glue_arguments(env, info, 2, arguments, &object)) return NULL;
    struct wrapped *self = self_of(env, info);
    uint32_t bits, sync_number;
    if (self == NULL) return NULL;
    GLUE_REQUIRE(env, napi_get_value_uint32(env, arguments[0], &bits) == napi_ok && napi_get_value_uint32(env, arguments[1], &sync_number) == napi_ok, "request(bits, syncNumber) takes two numbers");
    ipcnet_bus_poller_request(&self->poller, bits & (IPCNET_REQUEST_PURGE | IPCNET_REQUEST_RESTART | IPCNET_REQUEST_SYNC), sync_number);
    return glue_undefined(env);
}

/* Writes the counters into status, from STATUS_COUNTERS on. */
static napi_value refresh(napi_env env, napi_callback_info info)
{
    struct wrapped *self = self_of(env, info);
    if (self == NULL) return NULL;
    const struct ipcnet_can_counters *c = &self->can.counters;
    const _Atomic uint64_t *all[] = { &c->received_frames, &c->echoed_frames, &c->error_frames, &c->lost_frames, &c->receive_errors, &c->malformed_frames, &c->sent_frames,
        &c->unmatched_echoes, &c->missed_echoes, &c->expired_frames, &c->full_frames, &c->link_down_frames, &c->refused_frames, &self->poller.ring_lost_frames, &self->poller.wake_ups };
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) self->memory->status[STATUS_COUNTERS + i] = (double)atomic_load_explicit(all[i], memory_order_relaxed);
    return glue_undefined(env);
}

bool ipcnet_bus_addon(napi_env env, napi_value exports)
{
#define METHOD(name, function) { name, NULL, function, NULL, NULL, NULL, napi_default_method, NULL }
    const napi_property_descriptor methods[] = {
        METHOD("open", open_bus), METHOD("closeSocket", close_socket), METHOD("dispose", dispose), METHOD("query", query), METHOD("mayPurge", may_purge),
        METHOD("send", send_frame), METHOD("drain", drain), METHOD("woken", woken), METHOD("eventsWaiting", events_waiting), METHOD("nextEvent", next_event), METHOD("request", request), METHOD("refresh", refresh),
    };
#undef METHOD
    napi_value class_value;
    if (napi_define_class(env, "NativeCanBus", NAPI_AUTO_LENGTH, construct, NULL, sizeof methods / sizeof methods[0], methods, &class_value) != napi_ok) return false;
    glue_set(env, exports, "NativeCanBus", class_value);
    return true;
}
