/* openPty() → { masterFd, slaveFd, path }: a pseudo-terminal in raw mode, both ends close-on-exec, the master non-blocking. The caller owns both descriptors. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <termios.h>
#include <unistd.h>

#include "glue.h"

static napi_value refuse(napi_env env, int master, int slave, const char *sentence)
{
    int error = errno;
    if (master >= 0) close(master);
    if (slave >= 0) close(slave);
    glue_throw_errno(env, error, sentence);
    return NULL;
}

static napi_value open_pty(napi_env env, napi_callback_info info)
{
    (void)info;
    char path[64];
    struct termios mode;
    int slave = -1;
    int master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (master < 0) return refuse(env, master, slave, "no pseudo-terminal to be had (is /dev/pts mounted?)");
    if (grantpt(master) != 0 || unlockpt(master) != 0 || ptsname_r(master, path, sizeof path) != 0) return refuse(env, master, slave, "the pseudo-terminal cannot be unlocked");
    slave = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (slave < 0) return refuse(env, master, slave, "the pseudo-terminal's other end cannot be opened");
    /* Raw before anybody opens it: a terminal in line mode echoes and holds back bytes until a newline. */
    if (tcgetattr(slave, &mode) != 0) return refuse(env, master, slave, "the pseudo-terminal has no mode");
    cfmakeraw(&mode);
    if (tcsetattr(slave, TCSANOW, &mode) != 0) return refuse(env, master, slave, "the pseudo-terminal refuses raw mode");

    napi_value result, text;
    if (napi_create_object(env, &result) != napi_ok || napi_create_string_utf8(env, path, NAPI_AUTO_LENGTH, &text) != napi_ok) {
        close(master);
        close(slave);
        return NULL;
    }
    glue_set(env, result, "masterFd", glue_number(env, master));
    glue_set(env, result, "slaveFd", glue_number(env, slave));
    glue_set(env, result, "path", text);
    return result;
}

bool ipcnet_pty_addon(napi_env env, napi_value exports)
{
    napi_value function;
    if (napi_create_function(env, "openPty", NAPI_AUTO_LENGTH, open_pty, NULL, &function) != napi_ok) return false;
    glue_set(env, exports, "openPty", function);
    return true;
}
