/* What the glue files share: argument reading with one sentence on failure, and the registration of each part. */
#ifndef IPCNET_CAN_ADDON_GLUE_H
#define IPCNET_CAN_ADDON_GLUE_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Throws a TypeError and makes the calling function return undefined. */
#define GLUE_REQUIRE(env, condition, sentence)              \
    do {                                                    \
        if (!(condition)) {                                 \
            napi_throw_type_error((env), NULL, (sentence)); \
            return NULL;                                    \
        }                                                   \
    } while (0)

/* Reads `count` arguments and `this`; false (with an exception pending) when there are fewer. */
bool glue_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *arguments, napi_value *self);
/* Unwraps a tagged object of ours; NULL (with an exception pending) for anything else. */
void *glue_unwrap(napi_env env, napi_value object, const napi_type_tag *tag, const char *sentence);
/* Property readers for option objects; the fallback where the property is absent or of another type. */
double glue_number_property(napi_env env, napi_value object, const char *name, double fallback);
bool glue_bool_property(napi_env env, napi_value object, const char *name, bool fallback);
/* Copies a string property, always terminated; false when it is absent, empty or too long. */
bool glue_string_property(napi_env env, napi_value object, const char *name, char *to, size_t size);
napi_value glue_number(napi_env env, double value);
napi_value glue_undefined(napi_env env);
void glue_set(napi_env env, napi_value object, const char *name, napi_value value);
/* Creates an ArrayBuffer that lives as long as the reference; NULL on failure. */
void *glue_shared_memory(napi_env env, napi_value object, const char *name, size_t bytes, napi_ref *reference);
/* Throws an Error with `code` set to the errno's name, e.g. "ENODEV". */
void glue_throw_errno(napi_env env, int error, const char *sentence);

/* Each defines its exports on the module's object; false when an exception is pending. */
bool ipcnet_bus_health_addon(napi_env env, napi_value exports);
bool ipcnet_bus_addon(napi_env env, napi_value exports);
bool ipcnet_pty_addon(napi_env env, napi_value exports);

#endif
