/*
 * What the glue files share: one state per environment (main thread or worker), argument reading, sockets by number, descriptors by their plain number.
 *
 * Functions return a count or a new number (>= 0) or a negative errno; wrong argument types are exceptions, because they are mistakes of the caller.
 */
#ifndef IPCNET_SHM_GLUE_H
#define IPCNET_SHM_GLUE_H

#include <node_api.h>
#include <stddef.h>
#include <stdint.h>

#include "closer.h"
#include "poller.h"
#include "seqpacket.h"
#include "table.h"

#define READY_PER_CALL 64u

struct watch;
struct lanes_memory;
struct ipcnet_handover_page;
struct ipcnet_life_watch;

/* A descriptor that is polled. JavaScript has its number: slot | generation << 16, so that a number kept too long meets -EBADF and never another one. */
struct slot {
  int fd; /* -1: free */
  uint16_t generation;
  /* The descriptor is somebody else's: it is polled, but not closed. */
  uint16_t borrowed;
  uint32_t next_free;
  /* Polling on Node's own loop; NULL when the poller's thread does it. */
  struct watch *watch;
  /* For listeners: the path to remove; else NULL. */
  char *path;
  struct ipcnet_seqpacket_bound bound;
};

/* 64 descriptors: which JavaScript holds, and which of these came from other processes. */
struct held {
  uint64_t held;
  uint64_t foreign;
};

struct state {
  napi_env env;
  /* One of both polls: Node's loop, or the thread of poller.c. */
  struct uv_loop_s *loop;
  struct ipcnet_poller *poller;
  /* Keeps the program alive while it is referenced; with the poller it also carries its reports over. */
  napi_threadsafe_function notify;
  napi_ref callback;
  napi_async_context context;
  napi_async_cleanup_hook_handle cleanup;
  /* Handles of the loop that are not closed yet. */
  uint32_t watch_count;
  struct slot *slots;
  uint32_t slot_count;
  uint32_t slot_capacity;
  uint32_t first_free;
  uint32_t open_count;
  /* The process may end although sockets are open: set by unref. */
  int unreferenced;
  /* Where reports go: Uint32Array of READY_PER_CALL pairs (id, events), kept alive by the reference. */
  napi_ref ready_array;
  uint32_t *ready_words;
  /* One bit per descriptor that JavaScript holds by its plain number (class Descriptor), so that none outlives the environment and no other can be closed by mistake. */
  struct held *held;
  uint32_t held_words;
  /* From the first that is needed on. */
  struct ipcnet_closer *closer;
  struct table lane_writers;
  struct table lane_readers;
  struct lanes_memory *lanes;
  /* The pair: the page that only we write, and the twin's. They stay mapped until the process ends. */
  struct ipcnet_handover_page *own_page;
  const struct ipcnet_handover_page *twin_page;
  struct ipcnet_life_watch *life_watch;
  int started;
  int closed;
  /* The environment's data, every handle of the loop, and every job of a worker thread: whoever lets go last frees. */
  uint32_t owners;
};

/* ---- glue.c: arguments and results ---- */

napi_value number(napi_env env, int64_t value);
/* Throws a TypeError; returns NULL. */
napi_value wrong(napi_env env, const char *text);
struct state *state_of(napi_env env);
/* The state once `start` was called; else an exception is pending and NULL returned. */
struct state *started(napi_env env);
int arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values);
int u32(napi_env env, napi_value value, uint32_t *result);
int bytes_of(napi_env env, napi_value value, uint8_t **data, size_t *length);
int words_of(napi_env env, napi_value value, uint32_t **data, size_t *length);
/* A BigUint64Array. */
int longs_of(napi_env env, napi_value value, uint64_t **data, size_t *length);
/* 0, or -ENAMETOOLONG, or -EINVAL for a text with a zero in it. */
int path_of(napi_env env, napi_value value, char *path, size_t size);

/* ---- readiness.c: sockets by number, and who waits for them ---- */

struct slot *slot_of(struct state *self, uint32_t id);
/* Takes over `fd`: on failure it is closed. Returns the number, or a negative errno. */
int64_t add_slot(napi_env env, struct state *self, int fd);
/* The same for a descriptor that stays somebody else's. */
int64_t add_borrowed_slot(napi_env env, struct state *self, int fd);
/* Closes the slot of a live number. */
void release_slot(napi_env env, struct state *self, uint32_t id);
void let_state_go(struct state *self);

/* ---- descriptors_addon.c ---- */

/* Takes over `fd` for JavaScript: on failure it is closed. Returns `fd` or -ENOMEM. */
int hold(struct state *self, int fd);
/* The same for one that another process has made, and whose close may therefore take long. */
int hold_foreign(struct state *self, int fd);
/* Closes one that another process has made, without waiting for it. */
void close_foreign(struct state *self, int fd);
/* The descriptor is native code's from now on. Returns it, or -EBADF when JavaScript does not hold it. */
int take_held(struct state *self, uint32_t fd);
/* `fd` if JavaScript holds it, else -EBADF. */
int held_fd(const struct state *self, uint32_t fd);
void close_held(struct state *self);

/* ---- what each part defines on the module's object ---- */

struct export { const char *name; napi_callback function; };
int define(napi_env env, napi_value exports, const struct export *list, size_t count);
int define_readiness(napi_env env, napi_value exports);
int define_sockets(napi_env env, napi_value exports);
int define_descriptors(napi_env env, napi_value exports);
int define_packets(napi_env env, napi_value exports);
int define_lane_writers(napi_env env, napi_value exports);
int define_lane_readers(napi_env env, napi_value exports);
int define_process(napi_env env, napi_value exports);
int define_sealed_files(napi_env env, napi_value exports);
int define_pair(napi_env env, napi_value exports);

/* Closes all lanes, before the environment goes. */
void close_lanes(struct state *self);

#endif
