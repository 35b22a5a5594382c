/* ipcnet_reflex_core.node. No globals: any number of threads and copies. */
#include "glue.h"

NAPI_MODULE_INIT()
{
    const bool complete = ipcnet_reflex_core_addon(env, exports) && ipcnet_reflex_nodes_addon(env, exports);
    if (!complete) napi_throw_error(env, NULL, "ipcnet_reflex_core could not be set up");
    return complete ? exports : NULL;
}
