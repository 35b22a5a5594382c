/* What a process does for its own protection. */
#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "glue.h"

/*
 * protectProcess() → 0 or a negative errno. From now on other processes of the same user can neither trace this one nor read or write its memory nor take
 * its descriptors (ptrace(2), "access mode checking": they would need CAP_SYS_PTRACE), and no core file holds what it knew. For the whole process; exec undoes the
 * first part, children inherit both until then.
 */
static napi_value protect_process(napi_env env, napi_callback_info info) {
  (void)info;
  const struct rlimit none = { 0, 0 };
  if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || setrlimit(RLIMIT_CORE, &none) != 0) return number(env, -errno);
  return number(env, 0);
}

int define_process(napi_env env, napi_value exports) {
  static const struct export list[] = { { "protectProcess", protect_process } };
  return define(env, exports, list, sizeof list / sizeof list[0]);
}
