/* Sealed files (shm/core/sealed_file.h) for JavaScript. */
#include <errno.h>

#include "glue.h"
#include "sealed_file.h"

/* sealBytes(bytes: Uint8Array) → fd, held: a sealed copy */
static napi_value seal_bytes(napi_env env, napi_callback_info info) {
  napi_value values[1];
  uint8_t *bytes;
  size_t length;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values) || !bytes_of(env, values[0], &bytes, &length)) return wrong(env, "sealBytes(Uint8Array)");
  int fd = ipcnet_sealed_file_make(NULL, bytes, length);
  return number(env, fd < 0 ? fd : hold(self, fd));
}

/* The descriptor that `value` names, if JavaScript holds it; else -EBADF. */
static int held_by(napi_env env, const struct state *self, napi_value value) {
  uint32_t fd;
  return u32(env, value, &fd) ? held_fd(self, fd) : -EBADF;
}

/* sealedSize(fd) → bytes, -EPERM when something could still change it */
static napi_value sealed_size(napi_env env, napi_callback_info info) {
  napi_value values[1];
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 1, values)) return wrong(env, "sealedSize(fd)");
  int fd = held_by(env, self, values[0]);
  return number(env, fd < 0 ? fd : ipcnet_sealed_file_check(fd));
}

/* readSealed(fd, offset, bytes: Uint8Array) → count */
static napi_value read_sealed(napi_env env, napi_callback_info info) {
  napi_value values[3];
  uint8_t *bytes;
  size_t length;
  int64_t offset;
  struct state *self = started(env);
  if (self == NULL) return NULL;
  if (!arguments(env, info, 3, values) || napi_get_value_int64(env, values[1], &offset) != napi_ok || offset < 0 || !bytes_of(env, values[2], &bytes, &length)) return wrong(env, "readSealed(fd, offset, Uint8Array)");
  int fd = held_by(env, self, values[0]);
  return number(env, fd < 0 ? fd : ipcnet_sealed_file_read(fd, (uint64_t)offset, bytes, length));
}

int define_sealed_files(napi_env env, napi_value exports) {
  static const struct export list[] = { { "sealBytes", seal_bytes }, { "sealedSize", sealed_size }, { "readSealed", read_sealed } };
  return define(env, exports, list, sizeof list / sizeof list[0]);
}
