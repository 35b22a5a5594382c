#include "glue.h"

#include <errno.h>
#include <string.h>

napi_value number(napi_env env, int64_t value) {
  napi_value result = NULL;
  napi_create_int64(env, value, &result);
  return result;
}

napi_value wrong(napi_env env, const char *text) {
  napi_throw_type_error(env, "ERR_INVALID_ARG", text);
  return NULL;
}

struct state *state_of(napi_env env) {
  void *state = NULL;
  napi_get_instance_data(env, &state);
  return state;
}

int arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values) {
  size_t given = count;
  return napi_get_cb_info(env, info, &given, values, NULL, NULL) == napi_ok && given >= count;
}

int u32(napi_env env, napi_value value, uint32_t *result) {
  return napi_get_value_uint32(env, value, result) == napi_ok;
}

int bytes_of(napi_env env, napi_value value, uint8_t **data, size_t *length) {
  napi_typedarray_type type;
  void *start = NULL;
  if (napi_get_typedarray_info(env, value, &type, length, &start, NULL, NULL) != napi_ok || type != napi_uint8_array) return 0;
  *data = start;
  return 1;
}

int words_of(napi_env env, napi_value value, uint32_t **data, size_t *length) {
  napi_typedarray_type type;
  void *start = NULL;
  if (napi_get_typedarray_info(env, value, &type, length, &start, NULL, NULL) != napi_ok || type != napi_uint32_array) return 0;
  *data = start;
  return 1;
}

int longs_of(napi_env env, napi_value value, uint64_t **data, size_t *length) {
  napi_typedarray_type type;
  void *start = NULL;
  if (napi_get_typedarray_info(env, value, &type, length, &start, NULL, NULL) != napi_ok || type != napi_biguint64_array) return 0;
  *data = start;
  return 1;
}

int path_of(napi_env env, napi_value value, char *path, size_t size) {
  size_t length = 0;
  if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok) return -EINVAL;
  if (length >= size) return -ENAMETOOLONG;
  napi_get_value_string_utf8(env, value, path, size, &length);
  return strlen(path) == length ? 0 : -EINVAL;
}

struct state *started(napi_env env) {
  struct state *self = state_of(env);
  if (self->started) return self;
  wrong(env, "call start first");
  return NULL;
}

int define(napi_env env, napi_value exports, const struct export *list, size_t count) {
  for (size_t i = 0; i < count; i++) {
    napi_value function;
    if (napi_create_function(env, list[i].name, NAPI_AUTO_LENGTH, list[i].function, NULL, &function) != napi_ok || napi_set_named_property(env, exports, list[i].name, function) != napi_ok) return 0;
  }
  return 1;
}
