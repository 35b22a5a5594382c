/* Status codes in words, which library this is, and that its structs have the sizes that the header promises. */
#include "ipcnet.h"

#if UINTPTR_MAX > 0xffffffffu
_Static_assert(sizeof(struct ipcnet_connect_options) == 48, "48 bytes");
_Static_assert(sizeof(struct ipcnet_handlers) == 64, "64 bytes");
_Static_assert(sizeof(struct ipcnet_field) == 48, "48 bytes");
_Static_assert(sizeof(struct ipcnet_lineage) == 24, "24 bytes");
_Static_assert(sizeof(struct ipcnet_message) == 96, "96 bytes");
_Static_assert(sizeof(struct ipcnet_subscribe_options) == 64, "64 bytes");
_Static_assert(sizeof(struct ipcnet_subscription_stats) == 64, "64 bytes");
_Static_assert(sizeof(struct ipcnet_publish_options) == 32, "32 bytes");
_Static_assert(sizeof(struct ipcnet_field_definition) == 40, "40 bytes");
_Static_assert(sizeof(struct ipcnet_advertise_options) == 128, "128 bytes");
_Static_assert(sizeof(struct ipcnet_meta) == 40, "40 bytes");
_Static_assert(sizeof(struct ipcnet_writer_stats) == 64, "64 bytes");
_Static_assert(sizeof(struct ipcnet_request_options) == 48, "48 bytes");
_Static_assert(sizeof(struct ipcnet_reply) == 56, "56 bytes");
_Static_assert(sizeof(struct ipcnet_offer_options) == 112, "112 bytes");
_Static_assert(sizeof(struct ipcnet_call_info) == 88, "88 bytes");
_Static_assert(sizeof(struct ipcnet_cbor_writer) == 40, "40 bytes");
_Static_assert(sizeof(struct ipcnet_cbor) == 16, "16 bytes");
#endif

#ifndef IPCNET_VERSION
#define IPCNET_VERSION "0"
#endif

const char *ipcnet_version(void) {
  return IPCNET_VERSION;
}

int ipcnet_abi_version(void) {
  return IPCNET_ABI_VERSION;
}

const char *ipcnet_status_text(int status) {
  switch (status < 0 && status > -INT32_MAX ? -status : status) {
    case IPCNET_OK: return "ok";
    case IPCNET_CREATED: return "created";
    case IPCNET_ACCEPTED: return "accepted";
    case IPCNET_NO_CONTENT: return "no content";
    case IPCNET_PARTIAL_CONTENT: return "partial content";
    case IPCNET_NOT_MODIFIED: return "not modified";
    case IPCNET_BAD_REQUEST: return "bad request";
    case IPCNET_UNAUTHORIZED: return "unauthorized";
    case IPCNET_FORBIDDEN: return "forbidden";
    case IPCNET_NOT_FOUND: return "not found";
    case IPCNET_REQUEST_TIMEOUT: return "request timeout";
    case IPCNET_CONFLICT: return "conflict";
    case IPCNET_UPGRADE_REQUIRED: return "upgrade required";
    case IPCNET_PRECONDITION_FAILED: return "precondition failed";
    case IPCNET_PAYLOAD_TOO_LARGE: return "payload too large";
    case IPCNET_UNPROCESSABLE_CONTENT: return "unprocessable content";
    case IPCNET_TOO_MANY_REQUESTS: return "too many requests";
    case IPCNET_EXPIRED: return "gone";
    case IPCNET_INTERNAL_ERROR: return "internal error";
    case IPCNET_NOT_IMPLEMENTED: return "not implemented";
    case IPCNET_BAD_GATEWAY: return "bad gateway";
    case IPCNET_SERVICE_UNAVAILABLE: return "service unavailable";
    case IPCNET_GATEWAY_TIMEOUT: return "gateway timeout";
    case IPCNET_INSUFFICIENT_STORAGE: return "insufficient storage";
    case IPCNET_LOOP_DETECTED: return "loop detected";
    case IPCNET_INTEGRITY_FAILURE: return "integrity failure";
    case IPCNET_VERSION_NOT_SUPPORTED: return "version not supported";
    case IPCNET_NETWORK_AUTHENTICATION_REQUIRED: return "network authentication required";
    default: return status >= 1000 || status <= -1000 ? "application status" : "unknown status";
  }
}
