#include "glue.h"

#include <string.h>

bool glue_call(napi_env env, napi_callback_info info, const napi_type_tag *tag, void **self, size_t count, napi_value values[8], double numbers[8])
{
    napi_value object;
    size_t given = 8;
    bool ours = false;
    if (napi_get_cb_info(env, info, &given, values, &object, NULL) != napi_ok || given < count || napi_check_object_type_tag(env, object, tag, &ours) != napi_ok || !ours ||
        napi_unwrap(env, object, self) != napi_ok) {
        napi_throw_type_error(env, NULL, "too few arguments, or another object's method");
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        if (napi_get_value_double(env, values[i], &numbers[i]) != napi_ok) numbers[i] = 0;
    }
    return true;
}

void *glue_buffer(napi_env env, napi_value value, size_t bytes)
{
    bool is_buffer = false;
    void *data = NULL;
    size_t length = 0;
    if (napi_is_arraybuffer(env, value, &is_buffer) != napi_ok || !is_buffer || napi_get_arraybuffer_info(env, value, &data, &length) != napi_ok || length < bytes) return NULL;
    return data;
}

void *glue_memory(napi_env env, napi_value object, const char *name, size_t bytes, napi_ref *reference)
{
    void *data = NULL;
    napi_value buffer;
    if (napi_create_arraybuffer(env, bytes, &data, &buffer) != napi_ok || napi_create_reference(env, buffer, 1, reference) != napi_ok) return NULL;
    memset(data, 0, bytes);
    napi_set_named_property(env, object, name, buffer);
    return data;
}

napi_value glue_number(napi_env env, double value)
{
    napi_value number = NULL;
    napi_create_double(env, value, &number);
    return number;
}

napi_value glue_bool(napi_env env, bool value)
{
    napi_value boolean = NULL;
    napi_get_boolean(env, value, &boolean);
    return boolean;
}

bool glue_class(napi_env env, napi_value exports, const char *name, napi_callback construct, const napi_property_descriptor *methods, size_t count)
{
    napi_value constructor;
    return napi_define_class(env, name, NAPI_AUTO_LENGTH, construct, NULL, count, methods, &constructor) == napi_ok && napi_set_named_property(env, exports, name, constructor) == napi_ok;
}
