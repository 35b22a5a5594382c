/* The client as the program sees it: connect, poll, wake up, close; and what the other files share. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "client.h"

#define NAME_BYTES_MAX 64
#define EPOLL_EVENTS 32

/* ---- small things ------------------------------------------------------------------------------------------------------------------- */

int64_t now_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

int client_fail(struct ipcnet_client *client, int status, const char *format, ...) {
  /* By way of a copy: an argument may be the old text. */
  char text[sizeof client->error_text];
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(text, sizeof text, format, arguments);
  va_end(arguments);
  memcpy(client->error_text, text, sizeof text);
  return -status;
}

int client_no_memory(struct ipcnet_client *client) {
  return client_fail(client, IPCNET_INSUFFICIENT_STORAGE, "out of memory");
}

const char *ipcnet_last_error_text(const struct ipcnet_client *client) {
  return client == NULL ? "out of memory" : client->error_text;
}

void ipcnet_free(void *memory) {
  free(memory);
}

static uint32_t text_hash(const uint8_t *bytes, size_t length) {
  uint32_t hash = 2166136261u;
  for (size_t i = 0; i < length; i++) hash = (hash ^ bytes[i]) * 16777619u;
  return hash;
}

static int grow_texts(struct ipcnet_client *client) {
  uint32_t capacity = client->text_capacity == 0 ? 64 : client->text_capacity * 2;
  struct text **grown = calloc(capacity, sizeof(struct text *));
  if (grown == NULL) return -1;
  for (uint32_t i = 0; i < client->text_capacity; i++) {
    for (struct text *text = client->texts[i], *next; text != NULL; text = next) {
      next = text->next;
      uint32_t at = text_hash((const uint8_t *)text->bytes, text->length) & (capacity - 1);
      text->next = grown[at];
      grown[at] = text;
    }
  }
  free(client->texts);
  client->texts = grown;
  client->text_capacity = capacity;
  return 0;
}

struct text *client_text(struct ipcnet_client *client, const void *bytes, size_t length) {
  uint32_t hash = text_hash(bytes, length);
  if (client->text_capacity > 0) {
    for (struct text *text = client->texts[hash & (client->text_capacity - 1)]; text != NULL; text = text->next)
      if (text->length == length && memcmp(text->bytes, bytes, length) == 0) return text;
  }
  if (length > TEXT_BYTES_MAX - client->text_bytes || (client->text_count >= client->text_capacity && grow_texts(client) < 0)) return NULL;
  struct text *text = calloc(1, sizeof *text + length + 1);
  if (text == NULL) return NULL;
  text->length = length;
  if (length > 0) memcpy(text->bytes, bytes, length);
  uint32_t at = hash & (client->text_capacity - 1);
  text->next = client->texts[at];
  client->texts[at] = text;
  client->text_count += 1;
  client->text_bytes += sizeof *text + length + 1;
  return text;
}

const char *policy_name(uint32_t policy) {
  return policy == IPCNET_LANE_LOSSLESS ? "lossless" : policy == IPCNET_LANE_QUEUE ? "queue" : "latest";
}

int policy_of(struct ipcnet_cbor map, const char *key, uint32_t *policy) {
  struct ipcnet_cbor value;
  if (!ipcnet_cbor_get(map, key, &value)) return 0;
  for (*policy = IPCNET_LANE_LATEST; *policy <= IPCNET_LANE_LOSSLESS; *policy += 1)
    if (ipcnet_cbor_is_text(value, policy_name(*policy))) return 1;
  return 0;
}

/* ---- epoll, timer, wake-ups --------------------------------------------------------------------------------------------------------- */

int client_watch(struct ipcnet_client *client, int fd, struct source *source, uint32_t events) {
  struct epoll_event event = {.events = events, .data.ptr = source};
  return epoll_ctl(client->epoll, EPOLL_CTL_ADD, fd, &event) == 0 ? 0 : -1;
}

void client_unwatch(struct ipcnet_client *client, int fd) {
  if (fd >= 0) (void)epoll_ctl(client->epoll, EPOLL_CTL_DEL, fd, NULL);
}

void client_arm(struct ipcnet_client *client, int64_t deadline_ns) {
  if (deadline_ns >= client->timer_ns) return;
  client->timer_ns = deadline_ns;
  /* Zero would mean "never". */
  int64_t at = deadline_ns < 1 ? 1 : deadline_ns;
  struct itimerspec when = {.it_value = {.tv_sec = (time_t)(at / 1000000000), .tv_nsec = (long)(at % 1000000000)}};
  (void)timerfd_settime(client->timer, TFD_TIMER_ABSTIME, &when, NULL);
}

static void ring_event(const struct ipcnet_client *client) {
  uint64_t one = 1;
  ssize_t written;
  do written = write(client->event, &one, sizeof one);
  while (written < 0 && errno == EINTR);
}

void client_signal(struct ipcnet_client *client) {
  if (client->handing_out || client->signalled) return;
  client->signalled = 1;
  ring_event(client);
}

void ipcnet_wakeup(struct ipcnet_client *client) {
  int error = errno;
  atomic_store_explicit(&client->woken, 1, memory_order_release);
  ring_event(client);
  errno = error;
}

static void event_taken(struct ipcnet_client *client) {
  uint64_t count;
  while (read(client->event, &count, sizeof count) < 0 && errno == EINTR) {}
}

/* One round of epoll. The socket comes last: what it brings may close what the others point to. */
static int take_in(struct ipcnet_client *client, int timeout_ms) {
  struct epoll_event events[EPOLL_EVENTS];
  int count = epoll_wait(client->epoll, events, EPOLL_EVENTS, timeout_ms), timer = 0;
  uint32_t socket = 0;
  for (int i = 0; i < count; i++) {
    struct source *source = events[i].data.ptr;
    switch (source->kind) {
      case SOURCE_SOCKET: socket = events[i].events; break;
      case SOURCE_EVENT: event_taken(client); break;
      case SOURCE_TIMER: timer = 1; break;
      case SOURCE_LANE: subscription_bell(client, source); break;
      case SOURCE_SPACE: writer_space(client, source); break;
      default: break;
    }
  }
  if (timer) {
    uint64_t expirations;
    while (read(client->timer, &expirations, sizeof expirations) < 0 && errno == EINTR) {}
    client->timer_ns = NEVER;
  }
  if ((socket & EPOLLOUT) != 0) link_flush(client);
  if ((socket & ~(uint32_t)EPOLLOUT) != 0) link_take_in(client);
  if (timer) {
    link_due(client);
    subscriptions_look(client);
    client_arm(client, link_next_deadline(client));
  }
  return count;
}

static int to_timeout_ms(int64_t deadline_ns) {
  if (deadline_ns == NEVER) return -1;
  int64_t left = deadline_ns - now_ns();
  if (left <= 0) return 0;
  int64_t ms = (left + 999999) / 1000000;
  return ms > INT32_MAX ? INT32_MAX : (int)ms;
}

static int64_t to_deadline(int timeout_ms) {
  return timeout_ms < 0 ? NEVER : timeout_ms == 0 ? 0 : now_ns() + (int64_t)timeout_ms * 1000000;
}

int client_wait(struct ipcnet_client *client, int64_t deadline_ns) {
  (void)take_in(client, to_timeout_ms(deadline_ns));
  return atomic_exchange_explicit(&client->woken, 0, memory_order_acquire);
}

/* ---- events ------------------------------------------------------------------------------------------------------------------------- */

void client_event(struct ipcnet_client *client, enum event_kind kind, int status, uint64_t count, uint32_t deadline_ms, const char *text, size_t length) {
  if (client->event_count >= EVENTS_MAX) {
    struct event *oldest = LIST_OWNER(list_shift(&client->events), struct event, link);
    free(oldest);
    client->event_count -= 1;
  }
  struct event *event = calloc(1, sizeof *event + length + 1);
  if (event == NULL) return;
  event->kind = kind;
  event->status = status;
  event->count = count;
  event->deadline_ms = deadline_ms;
  if (length > 0) memcpy(event->text, text, length);
  list_init(&event->link);
  list_append(&client->events, &event->link);
  client->event_count += 1;
  client_signal(client);
}

static void hand_out_events(struct ipcnet_client *client) {
  for (uint32_t left = client->event_count; left > 0 && !list_is_empty(&client->events); left--) {
    struct event *event = LIST_OWNER(list_shift(&client->events), struct event, link);
    const struct ipcnet_handlers *handlers = &client->handlers;
    client->event_count -= 1;
    client->handed_out += 1;
    if (event->kind == EVENT_NOTICE && handlers->on_notice != NULL) handlers->on_notice(handlers->context, event->status, event->text, event->count);
    else if (event->kind == EVENT_END && handlers->on_end != NULL) handlers->on_end(handlers->context, event->text);
    else if (event->kind == EVENT_RETURN && handlers->on_return != NULL) handlers->on_return(handlers->context);
    else if (event->kind == EVENT_LEAVING && handlers->on_leaving != NULL) handlers->on_leaving(handlers->context, event->deadline_ms, event->text);
    else client->handed_out -= 1;
    free(event);
  }
}

void ipcnet_set_handlers(struct ipcnet_client *client, const struct ipcnet_handlers *handlers) {
  if (handlers != NULL) client->handlers = *handlers;
  else memset(&client->handlers, 0, sizeof client->handlers);
}

/* ---- poll --------------------------------------------------------------------------------------------------------------------------- */

void client_bury(struct ipcnet_client *client, struct grave *grave, void (*bury)(struct grave *self)) {
  grave->bury = bury;
  if (!client->handing_out) {
    bury(grave);
    return;
  }
  list_init(&grave->link);
  list_append(&client->graveyard, &grave->link);
}

static int anything_ready(const struct ipcnet_client *client) {
  return !list_is_empty(&client->events) || !list_is_empty(&client->ready_subscriptions) || !list_is_empty(&client->ready_writers) || !list_is_empty(&client->ready_calls) || !list_is_empty(&client->ready_requests);
}

void client_owe(struct ipcnet_client *client) {
  if (!client->signalled && !anything_ready(client)) return;
  client->signalled = 0;
  client_signal(client);
}

static void hand_out(struct ipcnet_client *client) {
  client->handing_out = 1;
  hand_out_events(client);
  writers_hand_out(client);
  requests_hand_out(client);
  calls_hand_out(client);
  subscriptions_hand_out(client);
  client->handing_out = 0;
  struct list *item;
  while ((item = list_shift(&client->graveyard)) != NULL) {
    struct grave *grave = LIST_OWNER(item, struct grave, link);
    grave->bury(grave);
  }
}

int ipcnet_poll(struct ipcnet_client *client, int timeout_ms) {
  if (client->handing_out) return client_fail(client, IPCNET_CONFLICT, "ipcnet_poll was called in a callback");
  int64_t deadline = to_deadline(timeout_ms);
  client->handed_out = 0;
  if (client->batch_count > 0) (void)ipcnet_flush(client);
  int woken = 0;
  for (;;) {
    int ready = anything_ready(client);
    if (!ready && client->state == CLIENT_ENDED && client->open_lanes == 0) return client_fail(client, IPCNET_SERVICE_UNAVAILABLE, "%s", client->end_text);
    int count = take_in(client, ready || woken ? 0 : to_timeout_ms(deadline));
    client->signalled = 0;
    hand_out(client);
    woken |= atomic_exchange_explicit(&client->woken, 0, memory_order_acquire);
    /* A signal ends the waiting too. */
    if (client->handed_out > 0 || woken || count < 0 || deadline == 0 || (deadline != NEVER && now_ns() >= deadline)) break;
  }
  /* What was left for the next time must be seen by an event loop. */
  if (anything_ready(client)) client_signal(client);
  return client->handed_out > INT32_MAX ? INT32_MAX : (int)client->handed_out;
}

int ipcnet_fd(const struct ipcnet_client *client) {
  return client->epoll;
}

/* ---- connecting and closing --------------------------------------------------------------------------------------------------------- */

/* In /tmp anybody may have been there first. */
static int is_own_folder(const char *path) {
  struct stat found;
  return lstat(path, &found) == 0 && S_ISDIR(found.st_mode) && found.st_uid == getuid();
}

/* As shm/client/socketPath.ts. */
static char *default_socket_path(void) {
  static const char system_path[] = "/run/ipcnet/ipcnet.sock", name[] = "/ipcnet.sock";
  const char *named = getenv("IPCNET_SOCKET"), *runtime = getenv("XDG_RUNTIME_DIR");
  char *path;
  int has_runtime = runtime != NULL && runtime[0] != '\0';
  if (named != NULL && named[0] != '\0') return strdup(named);
  if (access(system_path, F_OK) == 0) return strdup(system_path);
  if ((has_runtime ? asprintf(&path, "%s/ipcnet", runtime) : asprintf(&path, "/tmp/ipcnet-%u", (unsigned)getuid())) < 0) return NULL;
  if (has_runtime || is_own_folder(path)) {
    char *socket = NULL;
    if (asprintf(&socket, "%s%s", path, name) < 0) socket = NULL;
    if (socket == NULL || access(socket, F_OK) == 0) {
      free(path);
      return socket;
    }
    free(socket);
  }
  free(path);
  return strdup(system_path);
}

/* At most 64 characters (UTF-16 units), cut between characters; a name that is not UTF-8 is none. */
static char *client_name(const char *wanted) {
  const char *name = wanted != NULL ? wanted : program_invocation_short_name;
  size_t length = strlen(name), units = 0, at = 0;
  if (!ipcnet_is_utf8((const uint8_t *)name, length)) return strdup("?");
  while (at < length) {
    uint8_t lead = (uint8_t)name[at];
    size_t bytes = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4, more = bytes == 4 ? 2 : 1;
    if (units + more > NAME_BYTES_MAX) break;
    units += more;
    at += bytes;
  }
  return strndup(name, at);
}

static int prepare(struct ipcnet_client *client, const struct ipcnet_connect_options *options) {
  client->epoll = epoll_create1(EPOLL_CLOEXEC);
  client->event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  client->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
  client->socket_source.kind = SOURCE_SOCKET;
  client->event_source.kind = SOURCE_EVENT;
  client->timer_source.kind = SOURCE_TIMER;
  if (client->epoll < 0 || client->event < 0 || client->timer < 0 || client_watch(client, client->event, &client->event_source, EPOLLIN) < 0 || client_watch(client, client->timer, &client->timer_source, EPOLLIN) < 0)
    return client_fail(client, IPCNET_INSUFFICIENT_STORAGE, "cannot open the descriptors a client needs: %s", strerror(errno));
  client->received = malloc(4 * (size_t)IPCNET_PACKET_BYTES_MAX);
  client->batch = malloc(IPCNET_PACKET_BYTES_MAX);
  client->name = client_name(options->name);
  if ((options->flags & IPCNET_USE_FD) == 0) client->socket_path = options->socket_path != NULL ? strdup(options->socket_path) : default_socket_path();
  if (client->received == NULL || client->batch == NULL || client->name == NULL || (client->socket_path == NULL && (options->flags & IPCNET_USE_FD) == 0)) return client_no_memory(client);
  ipcnet_cbor_begin(&client->message, NULL, IPCNET_PACKET_TO_GATEWAY_BYTES_MAX);
  return 0;
}

static int64_t ms_or(uint32_t ms, uint32_t otherwise) {
  return (int64_t)(ms == 0 ? otherwise : ms) * 1000000;
}

int ipcnet_connect(struct ipcnet_client **result, const struct ipcnet_connect_options *wanted) {
  static const struct ipcnet_connect_options none = {.fd = -1};
  const struct ipcnet_connect_options *options = wanted == NULL ? &none : wanted;
  struct ipcnet_client *client = calloc(1, sizeof *client);
  int fd = (options->flags & IPCNET_USE_FD) != 0 ? options->fd : -1;
  *result = client;
  if (client == NULL) {
    if (fd >= 0) close(fd);
    return -IPCNET_INSUFFICIENT_STORAGE;
  }
  client->fd = client->epoll = client->event = client->timer = -1;
  client->state = CLIENT_ENDED;
  client->flags = options->flags;
  client->connect_timeout_ns = ms_or(options->timeout_ms, 2000);
  client->retry_min_ns = ms_or(options->retry_min_ms, 50);
  client->retry_max_ns = ms_or(options->retry_max_ms, 2000);
  client->retry_ns = client->retry_min_ns;
  client->call_timeout_ns = ms_or(0, 5000);
  client->timer_ns = client->next_ns = NEVER;
  client->random = (uint64_t)now_ns() ^ (uint64_t)getpid() << 32;
  ipcnet_channel_init(&client->channel, IPCNET_PACKET_CLIENT);
  struct list *lists[] = {&client->out, &client->pending_list, &client->topics, &client->subscriptions, &client->writers, &client->offers, &client->calls, &client->requests, &client->ready_subscriptions,
    &client->ready_writers, &client->ready_calls, &client->ready_requests, &client->blocks, &client->graveyard, &client->events};
  for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) list_init(lists[i]);
  strcpy(client->end_text, "not connected");
  client->end_status = IPCNET_SERVICE_UNAVAILABLE;
  if ((options->flags & IPCNET_UNDUMPABLE) != 0 && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    if (fd >= 0) close(fd);
    return client_fail(client, IPCNET_FORBIDDEN, "this process cannot be made undumpable: %s", strerror(errno));
  }
  int status = prepare(client, options);
  if (status < 0) {
    if (fd >= 0) close(fd);
    return status;
  }
  if (fd >= 0) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) < 0) return client_fail(client, IPCNET_BAD_REQUEST, "descriptor %d: %s", fd, strerror(errno));
    client->fd = fd;
  } else if ((options->flags & IPCNET_USE_FD) != 0) return client_fail(client, IPCNET_BAD_REQUEST, "%d is not a descriptor", options->fd);
  return link_open(client);
}

static void say_goodbye(struct ipcnet_client *client) {
  if (client->state != CLIENT_OPEN) return;
  if (client->batch_count > 0) (void)ipcnet_flush(client);
  message_begin(client, "goodbye");
  put_text(client, "text", "closed by this program");
  (void)message_send(client, NULL, 0);
  /* What waits to be sent gets a moment; a gateway that does not read must not hold us. */
  int64_t deadline = now_ns() + 1000000000;
  while (client->state == CLIENT_OPEN && !list_is_empty(&client->out) && now_ns() < deadline) link_wait(client, deadline);
}

void ipcnet_close(struct ipcnet_client *client) {
  if (client == NULL) return;
  say_goodbye(client);
  client->flags &= ~(uint32_t)IPCNET_RECONNECT;
  if (client->state == CLIENT_AWAY) client->state = CLIENT_ENDED;
  link_end(client, IPCNET_OK, "closed by this program");
  if (client->fd >= 0) close(client->fd);
  requests_free(client);
  offers_free(client);
  writers_free(client);
  subscriptions_free(client);
  topics_free(client);
  struct list *item;
  while ((item = list_shift(&client->events)) != NULL) free(LIST_OWNER(item, struct event, link));
  for (uint32_t i = 0; i < client->text_capacity; i++) {
    for (struct text *text = client->texts[i], *next; text != NULL; text = next) {
      next = text->next;
      free(text);
    }
  }
  free(client->texts);
  struct table *tables[] = {&client->pendings, &client->topics_by_id, &client->origins, &client->subscriptions_by_id, &client->writers_by_advert, &client->offers_by_id, &client->calls_by_id, &client->lanes_by_number, &client->requests_by_seq};
  for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) table_free(tables[i]);
  ipcnet_channel_free(&client->channel);
  ipcnet_cbor_end(&client->message);
  int fds[] = {client->epoll, client->event, client->timer};
  for (size_t i = 0; i < 3; i++)
    if (fds[i] >= 0) close(fds[i]);
  free(client->received);
  free(client->batch);
  free(client->drain_buffer);
  free(client->component);
  free(client->socket_path);
  free(client->name);
  free(client);
}

int ipcnet_is_connected(const struct ipcnet_client *client) {
  return client->state == CLIENT_OPEN;
}

const char *ipcnet_gateway(const struct ipcnet_client *client, const char *what) {
  static const char *const names[4] = {"robot", "version", "instance", "boot"};
  for (int i = 0; i < 4; i++)
    if (strcmp(what, names[i]) == 0 && client->gateway[i] != NULL) return client->gateway[i];
  return "";
}

void ipcnet_set_timeout(struct ipcnet_client *client, uint32_t timeout_ms) {
  client->call_timeout_ns = ms_or(timeout_ms, 5000);
}

int ipcnet_ping(struct ipcnet_client *client) {
  message_begin(client, "ping");
  int status = message_ask(client, NULL, 0, NULL);
  return status < 0 ? status : 0;
}
