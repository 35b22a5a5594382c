/* What the glue files share. */
#ifndef IPCNET_REFLEX_ADDON_GLUE_H
#define IPCNET_REFLEX_ADDON_GLUE_H

#include <node_api.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads up to 8 arguments as numbers from the first `numbers` on (false, with an exception pending, when there are fewer arguments than `count`); `values` gets all of them as they are. */
bool glue_call(napi_env env, napi_callback_info info, const napi_type_tag *tag, void **self, size_t count, napi_value values[8], double numbers[8]);
/* Memory of an ArrayBuffer of at least `bytes`; NULL (no exception) for anything else. */
void *glue_buffer(napi_env env, napi_value value, size_t bytes);
/* Creates an ArrayBuffer as a property, zeroed. It lives as long as `reference`. */
void *glue_memory(napi_env env, napi_value object, const char *name, size_t bytes, napi_ref *reference);
napi_value glue_number(napi_env env, double value);
napi_value glue_bool(napi_env env, bool value);
bool glue_class(napi_env env, napi_value exports, const char *name, napi_callback construct, const napi_property_descriptor *methods, size_t count);

bool ipcnet_reflex_core_addon(napi_env env, napi_value exports);
bool ipcnet_reflex_nodes_addon(napi_env env, napi_value exports);

#endif
