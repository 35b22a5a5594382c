/*
 * A C program for the tests of whole processes: prints JSON, one value a line; is asked by lines on stdin (an event loop of its own, with ipcnet_fd in it).
 *   c_program SOCKET talk TOPIC      "go N": publishes N numbers more; "stop"
 *   c_program SOCKET listen PATTERN  "ask": {received, lost, faults, last}
 *   c_program SOCKET print PATTERN   each message: {topic, sequence, lost, origin, value}
 *   c_program SOCKET serve           offers c/add, c/pipe (descriptors both ways), c/count (a stream)
 *   c_program SOCKET call SERVICE JSON | publish TOPIC JSON | query TOPIC
 */
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ipcnet.h"

static struct ipcnet_client *client;

static void must(int status) {
  if (status >= 0) return;
  fprintf(stderr, "%d %s\n", status, ipcnet_last_error_text(client));
  exit(1);
}

struct heard {
  unsigned long long received, lost, faults, last_sequence;
  char last[64];
  char origin[64];
};

static void count(void *context, const struct ipcnet_message *message) {
  struct heard *heard = context;
  if (heard->received > 0 && strcmp(heard->origin, message->origin) == 0 && message->sequence != heard->last_sequence + 1 + message->lost_before) heard->faults += 1;
  heard->received += 1;
  heard->lost += message->lost_before;
  heard->last_sequence = message->sequence;
  snprintf(heard->origin, sizeof heard->origin, "%s", message->origin);
  char *json = ipcnet_message_json(message);
  snprintf(heard->last, sizeof heard->last, "%s", json == NULL ? "null" : json);
  ipcnet_free(json);
}

static void print(void *context, const struct ipcnet_message *message) {
  char *json = ipcnet_message_json(message);
  (void)context;
  printf("{\"topic\":\"%s\",\"sequence\":%llu,\"lost\":%llu,\"origin\":\"%s\",\"value\":%s}\n", ipcnet_topic_name(message->topic), (unsigned long long)message->sequence, (unsigned long long)message->lost_before, message->origin, json == NULL ? "null" : json);
  ipcnet_free(json);
}

static void add(void *context, struct ipcnet_call *call) {
  struct ipcnet_call_info info;
  struct ipcnet_cbor body;
  double a, b;
  char json[64];
  (void)context;
  ipcnet_call_info(call, &info);
  if (info.body == NULL || ipcnet_cbor_open(info.body, info.body_bytes, &body) < 0 || !ipcnet_cbor_get_double(body, "a", &a) || !ipcnet_cbor_get_double(body, "b", &b)) {
    must(ipcnet_call_answer(call, IPCNET_UNPROCESSABLE_CONTENT, "a and b must be numbers", NULL, 0, NULL, 0));
    return;
  }
  snprintf(json, sizeof json, "{\"sum\":%.17g,\"pid\":%d}", a + b, info.pid);
  must(ipcnet_call_answer_json(call, json));
}

/* Takes the writing end of a pipe, writes into it, and gives back the reading end of its own. */
static void pipes(void *context, struct ipcnet_call *call) {
  int ends[2], theirs = ipcnet_call_take_fd(call, 0);
  (void)context;
  must(theirs);
  if (write(theirs, "from C", 6) != 6 || pipe(ends) != 0 || write(ends[1], "also from C", 11) != 11) exit(1);
  close(theirs);
  close(ends[1]);
  must(ipcnet_call_answer(call, IPCNET_OK, NULL, NULL, 0, ends, 1));
  close(ends[0]);
}

static void count_up(void *context, struct ipcnet_call *call) {
  struct ipcnet_call_info info;
  (void)context;
  ipcnet_call_info(call, &info);
  for (uint8_t i = 0; i < 5 && i < info.credit; i++) must(ipcnet_call_item(call, &i, 1, NULL, 0));
  must(ipcnet_call_answer_json(call, "\"done\""));
}

static void tell_notice(void *context, int status, const char *text, uint64_t times) {
  (void)context;
  fprintf(stderr, "notice %d %s (%llu)\n", status, text, (unsigned long long)times);
}

static void asked(const char *word, struct ipcnet_writer *writer, struct heard *heard) {
  static unsigned long long sent;
  char json[32];
  if (strncmp(word, "go ", 3) == 0) {
    for (unsigned long more = strtoul(word + 3, NULL, 10); more > 0; more--) {
      snprintf(json, sizeof json, "%llu", ++sent);
      must(ipcnet_writer_publish_json(writer, json, NULL));
    }
    printf("{\"sent\":%llu,\"readers\":%u}\n", sent, ipcnet_writer_readers(writer));
  } else if (strncmp(word, "ask", 3) == 0) printf("{\"received\":%llu,\"lost\":%llu,\"faults\":%llu,\"last\":%s}\n", heard->received, heard->lost, heard->faults, heard->received == 0 ? "null" : heard->last);
  else if (strncmp(word, "readers", 7) == 0) printf("%u\n", ipcnet_writer_readers(writer));
  else exit(0);
}

int main(int words, char **word) {
  struct ipcnet_connect_options options = {.socket_path = word[1], .flags = IPCNET_RECONNECT, .timeout_ms = 20000, .retry_min_ms = 10, .retry_max_ms = 100};
  struct ipcnet_handlers handlers = {.on_notice = tell_notice};
  struct ipcnet_writer *writer = NULL;
  struct heard heard = {.received = 0};
  const char *what = words > 2 ? word[2] : "";
  char line[64], *json = NULL;
  setvbuf(stdout, NULL, _IOLBF, 0);
  must(ipcnet_connect(&client, &options));
  ipcnet_set_timeout(client, 20000);
  ipcnet_set_handlers(client, &handlers);
  if (strcmp(what, "talk") == 0) {
    struct ipcnet_advertise_options advertise = {.encoding = "cbor", .policy = IPCNET_QUEUE, .queue = 16384, .payload_bytes_max = 16};
    must(ipcnet_advertise(client, word[3], &advertise, &writer));
  } else if (strcmp(what, "listen") == 0 || strcmp(what, "print") == 0) {
    struct ipcnet_subscribe_options subscribe = {.context = &heard, .on_message = what[0] == 'l' ? count : print, .policy = IPCNET_QUEUE, .queue = 16384};
    must(ipcnet_subscribe(client, word[3], &subscribe, NULL));
  } else if (strcmp(what, "serve") == 0) {
    struct ipcnet_offer_options offer = {.on_call = add};
    must(ipcnet_offer(client, "c/add", &offer, NULL));
    offer.on_call = pipes;
    must(ipcnet_offer(client, "c/pipe", &offer, NULL));
    offer.on_call = count_up;
    must(ipcnet_offer(client, "c/count", &offer, NULL));
  } else if (strcmp(what, "call") == 0) {
    must(ipcnet_request_json(client, word[3], word[4], 20000, &json));
    printf("%s\n", json);
    ipcnet_free(json);
    ipcnet_close(client);
    return 0;
  } else if (strcmp(what, "publish") == 0) {
    struct ipcnet_publish_options publish = {.flags = IPCNET_ACKNOWLEDGE};
    must(ipcnet_publish_json(client, word[3], word[4], &publish));
    ipcnet_close(client);
    return 0;
  } else if (strcmp(what, "query") == 0) {
    struct ipcnet_message *messages;
    int found = ipcnet_query(client, word[3], 1, &messages);
    must(found);
    if (found > 0) print(NULL, messages);
    ipcnet_free(messages);
    ipcnet_close(client);
    return 0;
  }
  printf("\"ready\"\n");
  for (;;) {
    struct pollfd both[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = ipcnet_fd(client), .events = POLLIN}};
    if (poll(both, 2, -1) < 0) continue;
    if (both[1].revents != 0) must(ipcnet_poll(client, 0));
    if (both[0].revents == 0) continue;
    if (fgets(line, sizeof line, stdin) == NULL) break;
    asked(line, writer, &heard);
  }
  ipcnet_close(client);
  return 0;
}
