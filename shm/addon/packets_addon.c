/* Packet headers: E2E profile 7 at offset 0, written and checked in place. */
#include "glue.h"
#include "ipcnet_e2e.h"

struct header_call {
  uint8_t *packet;
  uint32_t length, counter;
  ipcnet_e2e_config config;
};

static int header_arguments(napi_env env, napi_callback_info info, struct header_call *call) {
  napi_value values[5];
  uint32_t at;
  size_t size;
  uint8_t *bytes;
  if (!arguments(env, info, 5, values) || !bytes_of(env, values[0], &bytes, &size) || !u32(env, values[1], &at) || !u32(env, values[2], &call->length) || !u32(env, values[3], &call->config.data_id) ||
      !u32(env, values[4], &call->counter) || at > size || call->length > size - at) return 0;
  call->packet = bytes + at;
  return 1;
}

/* sealPacket(bytes, at, length, dataId, counter) */
static napi_value seal_packet(napi_env env, napi_callback_info info) {
  struct header_call call = { 0 };
  if (!header_arguments(env, info, &call) || ipcnet_e2e_p07_protect(&call.config, call.packet, call.length, call.counter) != IPCNET_E2E_INSPECTED_OK)
    return wrong(env, "sealPacket(Uint8Array, at, length >= 20, dataId, counter)");
  return NULL;
}

/* openPacket(bytes, at, length, dataId, counter) → ipcnet_e2e_verdict; IPCNET_E2E_BAD_COUNTER: not the counter expected */
static napi_value open_packet(napi_env env, napi_callback_info info) {
  struct header_call call = { 0 };
  uint32_t counter = 0;
  if (!header_arguments(env, info, &call)) return wrong(env, "openPacket(Uint8Array, at, length, dataId, counter)");
  ipcnet_e2e_verdict verdict = ipcnet_e2e_p07_inspect(&call.config, call.packet, call.length, &counter);
  return number(env, verdict == IPCNET_E2E_INSPECTED_OK && counter != call.counter ? IPCNET_E2E_BAD_COUNTER : verdict);
}

int define_packets(napi_env env, napi_value exports) {
  static const struct export list[] = { { "sealPacket", seal_packet }, { "openPacket", open_packet } };
  return define(env, exports, list, sizeof list / sizeof list[0]);
}
