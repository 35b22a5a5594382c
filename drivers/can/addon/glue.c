#include "glue.h"

#include <errno.h>
#include <string.h>

bool glue_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *arguments, napi_value *self)
{
    size_t given = count;
    if (napi_get_cb_info(env, info, &given, arguments, self, NULL) != napi_ok || given < count) {
        napi_throw_type_error(env, NULL, "too few arguments");
        return false;
    }
    return true;
}

void *glue_unwrap(napi_env env, napi_value object, const napi_type_tag *tag, const char *sentence)
{
    bool ours = false;
    void *data = NULL;
    if (napi_check_object_type_tag(env, object, tag, &ours) != napi_ok || !ours || napi_unwrap(env, object, &data) != napi_ok) {
        napi_throw_type_error(env, NULL, sentence);
        return NULL;
    }
    return data;
}

static bool property(napi_env env, napi_value object, const char *name, napi_valuetype wanted, napi_value *value)
{
    napi_valuetype type;
    return napi_get_named_property(env, object, name, value) == napi_ok && napi_typeof(env, *value, &type) == napi_ok && type == wanted;
}

double glue_number_property(napi_env env, napi_value object, const char *name, double fallback)
{
    napi_value value;
    double number;
    if (!property(env, object, name, napi_number, &value) || napi_get_value_double(env, value, &number) != napi_ok) return fallback;
    return number;
}

bool glue_bool_property(napi_env env, napi_value object, const char *name, bool fallback)
{
    napi_value value;
    bool flag;
    if (!property(env, object, name, napi_boolean, &value) || napi_get_value_bool(env, value, &flag) != napi_ok) return fallback;
    return flag;
}

bool glue_string_property(napi_env env, napi_value object, const char *name, char *to, size_t size)
{
    napi_value value;
    size_t length = 0;
    to[0] = '\0';
    if (!property(env, object, name, napi_string, &value)) return false;
    if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok || length == 0 || length >= size) return false;
    return napi_get_value_string_utf8(env, value, to, size, &length) == napi_ok;
}

napi_value glue_number(napi_env env, double value)
{
    napi_value number = NULL;
    napi_create_double(env, value, &number);
    return number;
}

napi_value glue_undefined(napi_env env)
{
    napi_value nothing = NULL;
    napi_get_undefined(env, &nothing);
    return nothing;
}

void glue_set(napi_env env, napi_value object, const char *name, napi_value value)
{
    napi_set_named_property(env, object, name, value);
}

void *glue_shared_memory(napi_env env, napi_value object, const char *name, size_t bytes, napi_ref *reference)
{
    void *data = NULL;
    napi_value buffer;
    if (napi_create_arraybuffer(env, bytes, &data, &buffer) != napi_ok) return NULL;
    if (napi_create_reference(env, buffer, 1, reference) != napi_ok) return NULL;
    memset(data, 0, bytes);
    glue_set(env, object, name, buffer);
    return data;
}

/* strerrorname_np would do, but only from glibc 2.32 on: Ubuntu 20.04 (Jetson) and Raspberry Pi OS 11 have 2.31. */
static const char *errno_name(int error)
{
    switch (error) {
    case EPERM: return "EPERM";
    case ENOENT: return "ENOENT";
    case EACCES: return "EACCES";
    case EBUSY: return "EBUSY";
    case ENODEV: return "ENODEV";
    case EINVAL: return "EINVAL";
    case ENFILE: return "ENFILE";
    case EMFILE: return "EMFILE";
    case ENOMEM: return "ENOMEM";
    case ENXIO: return "ENXIO";
    case EPROTONOSUPPORT: return "EPROTONOSUPPORT";
    case EOPNOTSUPP: return "EOPNOTSUPP";
    case EAFNOSUPPORT: return "EAFNOSUPPORT";
    case ENETDOWN: return "ENETDOWN";
    case ENOBUFS: return "ENOBUFS";
    case ECONNREFUSED: return "ECONNREFUSED";
    default: return "EUNKNOWN";
    }
}

void glue_throw_errno(napi_env env, int error, const char *sentence)
{
    napi_throw_error(env, errno_name(error), sentence);
}
