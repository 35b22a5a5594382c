/*
 * Sockets by number, and telling JavaScript when they are ready.
 *
 * On Node's own loop (the usual case) each socket is a uv_poll handle: level-triggered, so that it is served once per turn of the loop for as long as JavaScript wants its events. Where
 * libuv is not to be had, or start() was told so, the thread of poller.c waits, one-shot, and reports through a threadsafe function: two thread switches more for each wake-up.
 * Handles are never referenced: whether open sockets keep the program alive is the threadsafe function's job in both cases.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "glue.h"
#include "life_watch.h"
#include "uv_weak.h"

#define SLOTS_MAX 65535u
#define NO_SLOT UINT32_MAX

/* A handle of the loop. It outlives its slot by a turn, because libuv closes later. */
struct watch {
  struct state *state;
  uint32_t id;
  uint32_t events;
  /* uv_handle_size(UV_POLL) bytes. */
  max_align_t handle[];
};

static struct uv_handle_s *handle_of(struct watch *watch) {
  return (struct uv_handle_s *)(void *)watch->handle;
}

/* ---- reports --------------------------------------------------------------------------------------------------------------------------- */

/* Calls JavaScript with `count` reports, as an event of its own: microtasks run after it, and what it throws is an uncaught exception. */
static void report(struct state *self, const struct ipcnet_ready *ready, uint32_t count) {
  napi_env env = self->env;
  napi_value callback, receiver, argument;
  napi_handle_scope scope;
  if (napi_open_handle_scope(env, &scope) != napi_ok) return;
  if (napi_get_reference_value(env, self->callback, &callback) == napi_ok && napi_get_global(env, &receiver) == napi_ok && napi_create_uint32(env, count, &argument) == napi_ok) {
    memcpy(self->ready_words, ready, count * sizeof ready[0]);
    if (napi_make_callback(env, self->context, receiver, callback, 1, &argument, NULL) == napi_pending_exception) {
      napi_value error;
      if (napi_get_and_clear_last_exception(env, &error) == napi_ok) napi_fatal_exception(env, error);
    }
  }
  napi_close_handle_scope(env, scope);
}

static void on_poll(struct uv_handle_s *handle, int status, int events) {
  struct watch *watch = uv_handle_get_data(handle);
  /* An error pending on the socket stops the handle; whoever reads or writes learns which. */
  if (status < 0) watch->events = 0;
  const struct ipcnet_ready ready = { watch->id, status < 0 ? IPCNET_POLLER_READ | IPCNET_POLLER_WRITE | IPCNET_POLLER_HANGUP : (uint32_t)events };
  if (!watch->state->closed) report(watch->state, &ready, 1);
}

static void on_wake(void *context) {
  struct state *self = context;
  napi_call_threadsafe_function(self->notify, NULL, napi_tsfn_nonblocking);
}

/* On the JavaScript thread: hands over up to READY_PER_CALL reports of the poller. JavaScript arms again in the loop's next phase, so a socket is served once per turn. */
static void on_ready(napi_env env, napi_value callback, void *context, void *data) {
  struct state *self = context;
  struct ipcnet_ready ready[READY_PER_CALL];
  (void)callback;
  (void)data;
  if (env == NULL || self->closed || self->poller == NULL) return;
  uint32_t count = ipcnet_poller_take(self->poller, ready, READY_PER_CALL);
  if (count == 0) return;
  /* Ask for the next call first: an exception from JavaScript must not end the reports. */
  napi_call_threadsafe_function(self->notify, NULL, napi_tsfn_nonblocking);
  report(self, ready, count);
}

/* ---- handles of the loop ----------------------------------------------------------------------------------------------------------------- */

void let_state_go(struct state *self) {
  if (--self->owners > 0) return;
  free(self->slots);
  free(self);
}

static void on_watch_closed(struct uv_handle_s *handle) {
  struct watch *watch = uv_handle_get_data(handle);
  struct state *self = watch->state;
  free(watch);
  if (--self->watch_count == 0 && self->closed) napi_remove_async_cleanup_hook(self->cleanup);
  let_state_go(self);
}

static int watch_on_loop(struct state *self, struct slot *slot, int fd, uint32_t id) {
  struct watch *watch = calloc(1, sizeof *watch + uv_handle_size(IPCNET_UV_POLL));
  if (watch == NULL) return -ENOMEM;
  watch->state = self;
  watch->id = id;
  int status = uv_poll_init(self->loop, handle_of(watch), fd);
  if (status < 0) {
    free(watch);
    return status;
  }
  uv_handle_set_data(handle_of(watch), watch);
  uv_unref(handle_of(watch));
  slot->watch = watch;
  self->watch_count++;
  self->owners++;
  return 0;
}

static int arm_on_loop(struct watch *watch, uint32_t events) {
  if (watch->events == events) return 0;
  int status = events == 0 ? uv_poll_stop(handle_of(watch)) : uv_poll_start(handle_of(watch), (int)events, on_poll);
  if (status == 0) watch->events = events;
  return status;
}

/* ---- slots ------------------------------------------------------------------------------------------------------------------------------- */

struct slot *slot_of(struct state *self, uint32_t id) {
  uint32_t index = id & 0xffff;
  if (index >= self->slot_count) return NULL;
  struct slot *slot = &self->slots[index];
  return slot->fd >= 0 && slot->generation == id >> 16 ? slot : NULL;
}

static int grow(struct state *self) {
  uint32_t capacity = self->slot_capacity ? self->slot_capacity * 2 : 16;
  if (capacity > SLOTS_MAX) capacity = SLOTS_MAX;
  if (capacity == self->slot_capacity) return -EMFILE;
  struct slot *slots = realloc(self->slots, capacity * sizeof *slots);
  if (slots == NULL) return -ENOMEM;
  self->slots = slots;
  self->slot_capacity = capacity;
  return 0;
}

static int64_t add(napi_env env, struct state *self, int fd, uint16_t borrowed) {
  uint32_t index = self->first_free;
  if (index == NO_SLOT) {
    int status = self->slot_count < self->slot_capacity ? 0 : grow(self);
    if (status < 0) return status;
    index = self->slot_count++;
    self->slots[index] = (struct slot){ .fd = -1, .generation = 0, .next_free = NO_SLOT };
  } else {
    self->first_free = self->slots[index].next_free;
  }
  struct slot *slot = &self->slots[index];
  uint32_t id = index | (uint32_t)slot->generation << 16;
  int status = self->poller != NULL ? ipcnet_poller_watch(self->poller, fd, id) : watch_on_loop(self, slot, fd, id);
  if (status < 0) {
    slot->next_free = self->first_free;
    self->first_free = index;
    return status;
  }
  slot->fd = fd;
  slot->borrowed = borrowed;
  if (self->open_count++ == 0 && !self->unreferenced) napi_ref_threadsafe_function(env, self->notify);
  return id;
}

int64_t add_slot(napi_env env, struct state *self, int fd) {
  int64_t id = add(env, self, fd, 0);
  if (id < 0) close(fd);
  return id;
}

int64_t add_borrowed_slot(napi_env env, struct state *self, int fd) {
  return add(env, self, fd, 1);
}

/* Ends the polling, closes the descriptor and removes a listener's file; the slot still is to be put on the free list. */
static void close_slot(struct state *self, struct slot *slot) {
  if (slot->watch != NULL) uv_close(handle_of(slot->watch), on_watch_closed);
  else if (slot->borrowed && self->poller != NULL) ipcnet_poller_unwatch(self->poller, slot->fd);
  slot->watch = NULL;
  if (!slot->borrowed) close(slot->fd);
  slot->fd = -1;
  slot->generation++;
  if (slot->path != NULL) {
    /* Another file at the path is somebody else's: leaving it is right. */
    (void)ipcnet_seqpacket_unlink(slot->path, &slot->bound);
    free(slot->path);
    slot->path = NULL;
  }
}

void release_slot(napi_env env, struct state *self, uint32_t id) {
  struct slot *slot = &self->slots[id & 0xffff];
  close_slot(self, slot);
  slot->next_free = self->first_free;
  self->first_free = id & 0xffff;
  if (--self->open_count == 0 && !self->unreferenced) napi_unref_threadsafe_function(env, self->notify);
}

/* ---- beginning and end ---------------------------------------------------------------------------------------------------------------------- */

/* Before the environment goes: no thread, no handle and no descriptor may outlive it. The loop still runs until the handles are closed. */
static void on_cleanup(napi_async_cleanup_hook_handle handle, void *context) {
  struct state *self = context;
  self->closed = 1;
  if (self->poller != NULL) ipcnet_poller_destroy(self->poller);
  self->poller = NULL;
  for (uint32_t i = 0; i < self->slot_count; i++) {
    if (self->slots[i].fd >= 0) close_slot(self, &self->slots[i]);
  }
  close_lanes(self);
  ipcnet_life_watch_stop(self->life_watch);
  self->life_watch = NULL;
  close_held(self);
  napi_async_destroy(self->env, self->context);
  if (self->watch_count == 0) napi_remove_async_cleanup_hook(handle);
}

/* Readies the callback; returns 0 or a negative errno. */
static int prepare(napi_env env, struct state *self, napi_value callback, napi_value ready) {
  napi_value name;
  napi_create_string_utf8(env, "ipcnet_shm", NAPI_AUTO_LENGTH, &name);
  if (napi_create_threadsafe_function(env, callback, NULL, name, 0, 1, NULL, NULL, self, on_ready, &self->notify) != napi_ok) return -EINVAL;
  napi_unref_threadsafe_function(env, self->notify);
  if (napi_async_init(env, NULL, name, &self->context) != napi_ok || napi_create_reference(env, callback, 1, &self->callback) != napi_ok || napi_create_reference(env, ready, 1, &self->ready_array) != napi_ok) return -ENOMEM;
  if (self->loop == NULL) {
    self->poller = ipcnet_poller_create(on_wake, self);
    if (self->poller == NULL) return -errno;
  }
  /* Added after the threadsafe function, so it runs before that one's own clean-up: the poller's thread is gone when its target goes. */
  return napi_add_async_cleanup_hook(env, on_cleanup, self, &self->cleanup) == napi_ok ? 0 : -ENOMEM;
}

/* start(callback: (count) => void, ready: Uint32Array, thread: boolean) → 1 polling on Node's loop, 0 by a thread. To be called once, before any other function. */
static napi_value start(napi_env env, napi_callback_info info) {
  napi_value values[3];
  uint32_t *words;
  size_t length;
  bool thread;
  struct state *self = state_of(env);
  if (!arguments(env, info, 3, values) || !words_of(env, values[1], &words, &length) || length < 2 * READY_PER_CALL || napi_get_value_bool(env, values[2], &thread) != napi_ok) return wrong(env, "start(callback, Uint32Array of 128, boolean)");
  if (self->started) return wrong(env, "start was called before");
  self->env = env;
  self->ready_words = words;
  if (!thread && ipcnet_uv_present() && napi_get_uv_event_loop(env, &self->loop) != napi_ok) self->loop = NULL;
  int status = prepare(env, self, values[0], values[1]);
  if (status == 0) self->started = 1;
  else if (self->notify != NULL) napi_release_threadsafe_function(self->notify, napi_tsfn_abort);
  return number(env, status < 0 ? status : self->loop != NULL);
}

/* arm(id, events) → 0. On the loop: reports go on for as long as they are wanted, and HANGUP is asked for like the others. By a thread: one report, and HANGUP comes unasked. */
static napi_value arm(napi_env env, napi_callback_info info) {
  napi_value values[2];
  uint32_t id, events;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 2, values) || !u32(env, values[0], &id) || !u32(env, values[1], &events) || events > 7) return wrong(env, "arm(id, events)");
  struct slot *slot = slot_of(self, id);
  if (slot == NULL) return number(env, -EBADF);
  return number(env, slot->watch != NULL ? arm_on_loop(slot->watch, events) : ipcnet_poller_arm(self->poller, slot->fd, id, events));
}

/* watch(fd) → id of a held descriptor, to be armed; it stays JavaScript's and must be closed after the id. */
static napi_value watch_descriptor(napi_env env, napi_callback_info info) {
  napi_value values[1];
  uint32_t fd;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values) || !u32(env, values[0], &fd)) return wrong(env, "watch(fd)");
  int held = held_fd(self, fd);
  return number(env, held < 0 ? held : add_borrowed_slot(env, self, held));
}

/* close(id) → 0; a listener's socket file goes with it. */
static napi_value close_one(napi_env env, napi_callback_info info) {
  napi_value values[1];
  uint32_t id;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values) || !u32(env, values[0], &id)) return wrong(env, "close(id)");
  if (slot_of(self, id) == NULL) return number(env, -EBADF);
  release_slot(env, self, id);
  return number(env, 0);
}

/* reference(on): whether open sockets keep the process alive (they do at first). */
static napi_value reference(napi_env env, napi_callback_info info) {
  napi_value values[1];
  bool on;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values) || napi_get_value_bool(env, values[0], &on) != napi_ok) return wrong(env, "reference(boolean)");
  if (self->unreferenced == !on) return NULL;
  self->unreferenced = !on;
  if (self->open_count > 0) {
    if (on) napi_ref_threadsafe_function(env, self->notify);
    else napi_unref_threadsafe_function(env, self->notify);
  }
  return NULL;
}

int define_readiness(napi_env env, napi_value exports) {
  static const struct export list[] = { { "start", start }, { "arm", arm }, { "watch", watch_descriptor }, { "close", close_one }, { "reference", reference } };
  return define(env, exports, list, sizeof list / sizeof list[0]);
}
