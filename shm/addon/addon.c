/* The module: Node-API glue of shm/core. No rule of the protocol lives here. Each environment (main thread, worker) has a state of its own, so that workers share nothing. */
#include <stdlib.h>

#include "glue.h"

static void on_finalize(napi_env env, void *data, void *hint) {
  (void)env;
  (void)hint;
  let_state_go(data);
}

NAPI_MODULE_INIT() {
  struct state *self = calloc(1, sizeof *self);
  if (self == NULL) return NULL;
  self->first_free = UINT32_MAX;
  self->owners = 1;
  if (napi_set_instance_data(env, self, on_finalize, NULL) != napi_ok) {
    free(self);
    return NULL;
  }
  return define_readiness(env, exports) && define_sockets(env, exports) && define_descriptors(env, exports) && define_packets(env, exports) &&
      define_lane_writers(env, exports) && define_lane_readers(env, exports) && define_process(env, exports) && define_sealed_files(env, exports) && define_pair(env, exports) ? exports : NULL;
}
