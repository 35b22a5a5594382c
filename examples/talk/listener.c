/* Prints what anybody says. The other end: talker.c, or the one in another language. */
#include <ipcnet.h>
#include <stdio.h>

static void print(void *context, const struct ipcnet_message *message) {
  char *json = ipcnet_message_json(message);
  (void)context;
  printf("%llu %s\n", (unsigned long long)message->sequence, json != NULL ? json : "?");
  fflush(stdout);
  ipcnet_free(json);
}

int main(void) {
  struct ipcnet_client *client;
  const struct ipcnet_connect_options who = {.name = "listener", .flags = IPCNET_RECONNECT};
  struct ipcnet_subscribe_options options = {.on_message = print, .policy = IPCNET_QUEUE};
  int status = ipcnet_connect(&client, &who);
  if (status >= 0) status = ipcnet_subscribe(client, "talk/hello", &options, NULL);
  while (status >= 0) status = ipcnet_poll(client, -1);
  fprintf(stderr, "listener: %s\n", ipcnet_last_error_text(client));
  ipcnet_close(client);
  return 1;
}
