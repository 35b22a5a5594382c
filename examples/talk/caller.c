/* Asks for a sum. The other end: service.c, or the one in another language. */
#include <ipcnet.h>
#include <stdio.h>

int main(int count, char **words) {
  struct ipcnet_client *client;
  char json[128], *answer = NULL;
  snprintf(json, sizeof json, "{\"a\":%s,\"b\":%s}", count > 2 ? words[1] : "2", count > 2 ? words[2] : "3");
  int status = ipcnet_connect(&client, NULL);
  if (status >= 0) status = ipcnet_request_json(client, "talk/add", json, 0, &answer);
  if (status >= 0) printf("%s\n", answer);
  else fprintf(stderr, "caller: %s\n", ipcnet_last_error_text(client));
  ipcnet_free(answer);
  ipcnet_close(client);
  return status < 0;
}
