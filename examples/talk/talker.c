/* Says hello twice a second. The other end: listener.c, or the one in another language. */
#include <ipcnet.h>
#include <stdio.h>

int main(void) {
  struct ipcnet_client *client;
  const struct ipcnet_connect_options who = {.name = "talker", .flags = IPCNET_RECONNECT};
  struct ipcnet_writer *hello;
  struct ipcnet_advertise_options cbor = {.encoding = "cbor"};
  char json[64];
  int status = ipcnet_connect(&client, &who);
  if (status >= 0) status = ipcnet_advertise(client, "talk/hello", &cbor, &hello);
  for (int count = 1; status >= 0; count++) {
    snprintf(json, sizeof json, "{\"text\":\"hello from C\",\"count\":%d}", count);
    status = ipcnet_writer_publish_json(hello, json, NULL);
    if (status >= 0) status = ipcnet_poll(client, 500);
  }
  fprintf(stderr, "talker: %s\n", ipcnet_last_error_text(client));
  ipcnet_close(client);
  return 1;
}
