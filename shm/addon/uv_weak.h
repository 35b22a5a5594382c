/*
 * The part of libuv that polls descriptors, declared by ourselves: Node exports it to addons, but its headers are not a dependency of ours. All of it is weak: where a symbol is absent
 * (a runtime that is not Node), `ipcnet_uv_present` says so and poller.c does the work in a thread.
 *
 * libuv keeps these signatures, UV_POLL's number and the event bits stable within its major version 1, which Node has had since 2015; the size of a handle is asked for at run time.
 */
#ifndef IPCNET_UV_WEAK_H
#define IPCNET_UV_WEAK_H

#include <stddef.h>

struct uv_loop_s;
struct uv_handle_s;

enum { IPCNET_UV_POLL = 8 };
enum { IPCNET_UV_READABLE = 1, IPCNET_UV_WRITABLE = 2, IPCNET_UV_DISCONNECT = 4 };

typedef void (*ipcnet_uv_poll_cb)(struct uv_handle_s *handle, int status, int events);
typedef void (*ipcnet_uv_close_cb)(struct uv_handle_s *handle);

#define WEAK __attribute__((weak))
WEAK size_t uv_handle_size(int type);
WEAK int uv_poll_init(struct uv_loop_s *loop, struct uv_handle_s *handle, int fd);
WEAK int uv_poll_start(struct uv_handle_s *handle, int events, ipcnet_uv_poll_cb callback);
WEAK int uv_poll_stop(struct uv_handle_s *handle);
WEAK void uv_close(struct uv_handle_s *handle, ipcnet_uv_close_cb callback);
WEAK void uv_unref(struct uv_handle_s *handle);
WEAK void uv_handle_set_data(struct uv_handle_s *handle, void *data);
WEAK void *uv_handle_get_data(const struct uv_handle_s *handle);
#undef WEAK

static inline int ipcnet_uv_present(void) {
  return uv_handle_size != NULL && uv_poll_init != NULL && uv_poll_start != NULL && uv_poll_stop != NULL && uv_close != NULL && uv_unref != NULL && uv_handle_set_data != NULL && uv_handle_get_data != NULL;
}

#endif
