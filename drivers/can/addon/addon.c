/* ipcnet_can.node: the CAN core, the bus health machine and pseudo-terminals for JavaScript. May be loaded by any number of worker threads: it has no globals. */
#include "glue.h"

NAPI_MODULE_INIT()
{
    bool complete = ipcnet_bus_health_addon(env, exports) && ipcnet_bus_addon(env, exports) && ipcnet_pty_addon(env, exports);
    if (!complete) napi_throw_error(env, NULL, "ipcnet_can could not be set up");
    return complete ? exports : NULL;
}
