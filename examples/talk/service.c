/* Adds two numbers for whoever asks. The other end: caller.c, or the one in another language. */
#include <ipcnet.h>
#include <stdio.h>

static void add(void *context, struct ipcnet_call *call) {
  struct ipcnet_call_info info;
  struct ipcnet_cbor body;
  double a, b;
  char json[64];
  (void)context;
  ipcnet_call_info(call, &info);
  if (info.body == NULL || ipcnet_cbor_open(info.body, info.body_bytes, &body) < 0 || !ipcnet_cbor_get_double(body, "a", &a) || !ipcnet_cbor_get_double(body, "b", &b)) {
    ipcnet_call_answer(call, IPCNET_UNPROCESSABLE_CONTENT, "a and b must be numbers", NULL, 0, NULL, 0);
    return;
  }
  snprintf(json, sizeof json, "{\"sum\":%.17g}", a + b);
  ipcnet_call_answer_json(call, json);
}

int main(void) {
  struct ipcnet_client *client;
  const struct ipcnet_connect_options who = {.name = "adder", .flags = IPCNET_RECONNECT};
  struct ipcnet_offer_options options = {.on_call = add};
  int status = ipcnet_connect(&client, &who);
  if (status >= 0) status = ipcnet_offer(client, "talk/add", &options, NULL);
  while (status >= 0) status = ipcnet_poll(client, -1);
  fprintf(stderr, "service: %s\n", ipcnet_last_error_text(client));
  ipcnet_close(client);
  return 1;
}
