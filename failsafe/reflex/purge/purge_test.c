/* The two ends of a purge that somebody else does: the helper against all that can be asked, the bus process against helpers that hang, die, refuse and lie. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../../../drivers/can/core/check.h"
#include "purge_client.h"
#include "purge_server.h"
#include "seqpacket.h"

#define OURS 7
#define ALSO_OURS 8

static int64_t clock_ns(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* ---- The helper, on a kernel of paper ---------------------------------------------------------------------------------------------------------- */

struct paper {
  bool may, is_can, up;
  int query, result;
  int purged, restarted, touched_index;
};

static int p_index(void *context, const char *interface) {
  (void)context;
  return strcmp(interface, "can0") == 0 ? OURS : strcmp(interface, "can1") == 0 ? ALSO_OURS : -ENODEV;
}
static int p_query(void *context, int index, struct ipcnet_can_link *link) {
  struct paper *paper = context;
  *link = (struct ipcnet_can_link){.index = index, .is_can = paper->is_can, .up = paper->up};
  return paper->query;
}
static int p_purge(void *context, int index) {
  struct paper *paper = context;
  paper->purged++;
  paper->touched_index = index;
  return paper->result;
}
static int p_restart(void *context, int index) {
  struct paper *paper = context;
  paper->restarted++;
  paper->touched_index = index;
  return paper->result;
}
static bool p_may(void *context) { return ((struct paper *)context)->may; }

static struct ipcnet_can_os paper_os(struct paper *paper) {
  *paper = (struct paper){.may = true, .is_can = true, .up = true};
  return (struct ipcnet_can_os){.context = paper, .interface_index = p_index, .link_query = p_query, .purge = p_purge, .restart = p_restart, .may_purge = p_may};
}

static int asked(struct ipcnet_purge_server *server, enum ipcnet_purge_kind kind, int index) {
  struct ipcnet_purge_packet packet = {.magic = IPCNET_PURGE_MAGIC, .kind = (uint16_t)kind, .number = 9, .value = index}, answer;
  if (!ipcnet_purge_server_take(server, (const uint8_t *)&packet, sizeof packet, &answer)) return 1;
  CHECK(answer.magic == IPCNET_PURGE_MAGIC && answer.kind == IPCNET_PURGE_ANSWER && answer.zero == 0 && answer.number == 9);
  return answer.value;
}

static void it_touches_its_own_interfaces_alone(void) {
  struct paper paper;
  struct ipcnet_can_os os = paper_os(&paper);
  struct ipcnet_purge_server server;
  ipcnet_purge_server_init(&server, &os);
  CHECK_INT(asked(&server, IPCNET_PURGE_PURGE, OURS), -EPERM); /* none is named */
  CHECK(ipcnet_purge_server_allow(&server, "can0"));
  CHECK(ipcnet_purge_server_allow(&server, "can9")); /* is not there */
  for (int index = -3; index < 30; index++) {
    for (enum ipcnet_purge_kind kind = IPCNET_PURGE_MAY; kind <= IPCNET_PURGE_RESTART; kind++) CHECK_INT(asked(&server, kind, index), index == OURS ? 0 : -EPERM);
  }
  CHECK_INT(asked(&server, IPCNET_PURGE_PURGE, -ENODEV), -EPERM); /* what the name that is not there is looked up as */
  CHECK(paper.purged == 1 && paper.restarted == 1 && paper.touched_index == OURS);
}

static void what_it_cannot_or_should_not_do_it_says(void) {
  struct paper paper;
  struct ipcnet_can_os os = paper_os(&paper);
  struct ipcnet_purge_server server;
  ipcnet_purge_server_init(&server, &os);
  CHECK(ipcnet_purge_server_allow(&server, "can0") && ipcnet_purge_server_allow(&server, "can1"));
  for (int what = 0; what < 4; what++) {
    (void)paper_os(&paper);
    if (what == 0) paper.may = false;
    if (what == 1) paper.is_can = false; /* an Ethernet interface that has taken the name */
    if (what == 2) paper.query = -ENODEV;
    if (what == 3) paper.up = false;
    int refused = what == 2 ? -ENODEV : what == 3 ? -ENETDOWN : -EPERM;
    CHECK_INT(asked(&server, IPCNET_PURGE_PURGE, ALSO_OURS), refused);
    CHECK_INT(paper.purged, 0);
    CHECK_INT(asked(&server, IPCNET_PURGE_MAY, ALSO_OURS), what == 3 ? 0 : refused);
    CHECK_INT(asked(&server, IPCNET_PURGE_RESTART, ALSO_OURS), what == 3 ? 0 : refused);
    CHECK_INT(paper.restarted, what == 3);
  }
  (void)paper_os(&paper);
  paper.result = -EBUSY;
  CHECK_INT(asked(&server, IPCNET_PURGE_RESTART, OURS), -EBUSY);
  CHECK_INT(asked(&server, IPCNET_PURGE_PURGE, OURS), -EBUSY);
  CHECK(!ipcnet_purge_server_allow(&server, "") && !ipcnet_purge_server_allow(&server, "a-name-of-16-byte"));
  while (server.count < IPCNET_PURGE_INTERFACES_MAX) CHECK(ipcnet_purge_server_allow(&server, "can3"));
  CHECK(!ipcnet_purge_server_allow(&server, "can4"));
}

/* Garbage, and questions with one thing wrong: refused whole; nothing is ever done to an interface that is not named. */
static void garbage_does_nothing(void) {
  struct paper paper;
  struct ipcnet_can_os os = paper_os(&paper);
  struct ipcnet_purge_server server;
  const char *wish = getenv("IPCNET_SEED");
  unsigned seed = wish != NULL ? (unsigned)strtoul(wish, NULL, 10) : (unsigned)clock_ns();
  ipcnet_purge_server_init(&server, &os);
  CHECK(ipcnet_purge_server_allow(&server, "can0"));
  printf("reflex_purge: seed %u\n", seed);
  long taken = 0;
  for (int round = 0; round < 300000; round++) {
    uint8_t bytes[40];
    struct ipcnet_purge_packet packet = {.magic = IPCNET_PURGE_MAGIC, .kind = (uint16_t)(rand_r(&seed) % 6), .number = (uint32_t)rand_r(&seed), .value = rand_r(&seed) % 12}, answer;
    size_t length = rand_r(&seed) % 4 == 0 ? (size_t)rand_r(&seed) % (sizeof bytes + 1) : sizeof packet;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)rand_r(&seed);
    if (rand_r(&seed) % 8 != 0) memcpy(bytes, &packet, sizeof packet);
    if (rand_r(&seed) % 3 == 0) bytes[rand_r(&seed) % 16] ^= (uint8_t)(1u << rand_r(&seed) % 8);
    uint8_t *exact = malloc(length > 0 ? length : 1); /* the sanitizer sees what lies beyond it */
    memcpy(exact, bytes, length);
    memcpy(&packet, bytes, sizeof packet);
    bool valid = length == sizeof packet && packet.magic == IPCNET_PURGE_MAGIC && packet.zero == 0 && packet.kind >= 1 && packet.kind <= 3;
    int before = paper.purged + paper.restarted;
    if (ipcnet_purge_server_take(&server, exact, length, &answer) != valid) {
      CHECK(!"taken, or not");
      free(exact);
      break;
    }
    taken += valid;
    bool done = paper.purged + paper.restarted != before;
    if (done != (valid && packet.value == OURS && packet.kind != IPCNET_PURGE_MAY)) CHECK(!"done, or not");
    free(exact);
  }
  CHECK(taken > 10000 && paper.purged > 100 && paper.restarted > 100 && paper.touched_index == OURS);
}

/* ---- A helper of the test's ----------------------------------------------------------------------------------------------------------------------- */

enum manner { HONEST, REFUSES, HANGS, HANGS_WHEN_ASKED_TO_PURGE, DIES_IN_PURGE, SAYS_IT_DID, OTHER_NUMBER, POSITIVE, SHORT, SPEAKS_UNASKED, NOT_AN_ERRNO, ANSWERS_TWICE };

struct helper {
  char folder[64], path[96];
  _Atomic int manner;
  _Atomic int purges, restarts, seen_down, connections;
  struct ipcnet_seqpacket_bound bound;
  int listener, stop;
  pthread_t thread;
  bool running;
};
static struct helper helper;

static void answer(int fd, uint32_t number, int32_t value, size_t length) {
  struct ipcnet_purge_packet packet = {.magic = IPCNET_PURGE_MAGIC, .kind = IPCNET_PURGE_ANSWER, .number = number, .value = value};
  struct ipcnet_seqpacket_packet one = {.bytes = (const uint8_t *)&packet, .length = length};
  (void)ipcnet_seqpacket_send(fd, &one, 1);
}

/* False: the connection ends. */
static bool react(struct helper *self, int fd, const struct ipcnet_purge_packet *to) {
  int manner = atomic_load(&self->manner);
  if (manner == HANGS) return true;
  if (to->kind == IPCNET_PURGE_MAY) {
    answer(fd, to->number, manner == REFUSES ? -EPERM : 0, sizeof *to);
    return true;
  }
  if (to->kind == IPCNET_PURGE_PURGE) atomic_fetch_add(&self->purges, 1);
  else atomic_fetch_add(&self->restarts, 1);
  switch (manner) {
  case HANGS_WHEN_ASKED_TO_PURGE: return true;
  case REFUSES: answer(fd, to->number, -EPERM, sizeof *to); return true;
  case DIES_IN_PURGE:
    if (atomic_load(&self->purges) == 1) return false;
    break;
  case SAYS_IT_DID: answer(fd, to->number, 0, sizeof *to); return true;
  case OTHER_NUMBER: answer(fd, to->number + 1, 0, sizeof *to); return true;
  case POSITIVE: answer(fd, to->number, 1, sizeof *to); return true;
  case NOT_AN_ERRNO: answer(fd, to->number, -4096, sizeof *to); return true;
  case SHORT: answer(fd, to->number, 0, sizeof *to - 1); return true;
  default: break;
  }
  atomic_store(&self->seen_down, 1);
  answer(fd, to->number, to->kind == IPCNET_PURGE_RESTART ? -EBUSY : 0, sizeof *to);
  if (manner == ANSWERS_TWICE) answer(fd, to->number, 0, sizeof *to);
  return true;
}

static void *help(void *argument) {
  struct helper *self = argument;
  int fd = -1;
  for (;;) {
    struct pollfd wanted[3] = {{.fd = self->stop, .events = POLLIN}, {.fd = self->listener, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    if (poll(wanted, 3, -1) <= 0) continue;
    if (wanted[0].revents != 0) break;
    if (wanted[1].revents != 0) {
      int next = ipcnet_seqpacket_accept(self->listener);
      if (next >= 0 && fd >= 0) close(fd);
      if (next >= 0) {
        fd = next;
        atomic_fetch_add(&self->connections, 1);
        if (atomic_load(&self->manner) == SPEAKS_UNASKED) answer(fd, 1, 0, sizeof(struct ipcnet_purge_packet));
        continue;
      }
    }
    struct ipcnet_purge_packet packet;
    enum ipcnet_seqpacket_state state;
    uint32_t length;
    if (fd < 0 || wanted[2].revents == 0) continue;
    int got = ipcnet_seqpacket_receive(fd, (uint8_t *)&packet, sizeof packet, 1, &length, &state);
    if (got == 1 ? react(self, fd, &packet) : got == 0 && state == IPCNET_SEQPACKET_DRAINED) continue;
    close(fd);
    fd = -1;
  }
  if (fd >= 0) close(fd);
  return NULL;
}

static void helper_starts(enum manner manner) {
  atomic_store(&helper.manner, manner);
  atomic_store(&helper.purges, 0);
  atomic_store(&helper.restarts, 0);
  atomic_store(&helper.seen_down, 0);
  atomic_store(&helper.connections, 0);
  helper.listener = ipcnet_seqpacket_listen(helper.path, 0600, (gid_t)-1, 4, &helper.bound);
  helper.stop = eventfd(0, EFD_CLOEXEC);
  CHECK(helper.listener >= 0 && helper.stop >= 0);
  helper.running = pthread_create(&helper.thread, NULL, help, &helper) == 0;
  CHECK(helper.running);
}

static void helper_dies(void) {
  const uint64_t one = 1;
  if (!helper.running) return;
  CHECK(write(helper.stop, &one, sizeof one) == (ssize_t)sizeof one);
  pthread_join(helper.thread, NULL);
  close(helper.listener);
  close(helper.stop);
  (void)ipcnet_seqpacket_unlink(helper.path, &helper.bound);
  helper.running = false;
}

static void remove_lock(void) {
  char lock[128];
  snprintf(lock, sizeof lock, "%s.lock", helper.path);
  unlink(lock);
}

/* ---- The bus process's end -------------------------------------------------------------------------------------------------------------------------- */

static bool itself; /* whether this process has the capability */
static bool c_may(void *context) { (void)context; return itself; }
static int itself_did;
static int c_purge(void *context, int index) { (void)context; (void)index; itself_did++; return 0; }
static int c_index(void *context, const char *interface) { (void)context; return strcmp(interface, "can1") == 0 ? ALSO_OURS : strcmp(interface, "can0") == 0 ? OURS : -ENODEV; }
static int watch(void) { return eventfd(0, EFD_CLOEXEC); }
static bool saw_it_down(int fd, int index) { (void)fd; (void)index; return atomic_load(&helper.seen_down) != 0; }

static struct ipcnet_can_os client_begins(struct ipcnet_purge_client *client) {
  CHECK_INT(ipcnet_purge_client_init(client, helper.path), 0);
  itself = false;
  itself_did = 0;
  client->kernel_os.may_purge = c_may;
  client->kernel_os.purge = client->kernel_os.restart = c_purge;
  client->kernel_os.interface_index = c_index;
  client->watch = watch;
  client->saw_it_down = saw_it_down;
  struct ipcnet_can_os os = ipcnet_purge_client_os(client);
  CHECK_INT(os.interface_index(os.context, "can0"), OURS);
  return os;
}

/* As the reader does: looks whenever there is something to look at. */
static bool comes_to(const struct ipcnet_can_os *os, bool may) {
  struct ipcnet_can_link_event event;
  for (int64_t until_ns = clock_ns() + 20000000000; clock_ns() < until_ns;) {
    if (os->may_purge(os->context) == may) return true;
    struct pollfd wanted = {.fd = os->link_fd(os->context), .events = POLLIN};
    (void)poll(&wanted, 1, 100);
    while (os->link_event(os->context, &event) > 0) {}
  }
  return false;
}

static void it_may_while_a_helper_says_so(void) {
  struct ipcnet_purge_client client;
  struct ipcnet_can_os os = client_begins(&client);
  CHECK(!os.may_purge(os.context));
  helper_starts(HONEST);
  CHECK(comes_to(&os, true));
  CHECK_INT(os.purge(os.context, OURS), 0);
  CHECK_INT(os.restart(os.context, OURS), -EBUSY);
  CHECK(atomic_load(&helper.purges) == 1 && atomic_load(&helper.restarts) == 1 && atomic_load(&helper.connections) == 1);
  helper_dies();
  CHECK(comes_to(&os, false));
  helper_starts(HONEST);
  CHECK(comes_to(&os, true));
  /* Another interface by that name, and none: what was said was said of the one before. */
  CHECK_INT(os.interface_index(os.context, "can1"), ALSO_OURS);
  CHECK(!os.may_purge(os.context));
  CHECK(comes_to(&os, true));
  CHECK_INT(os.interface_index(os.context, "can7"), -ENODEV);
  CHECK(!os.may_purge(os.context));
  helper_dies();
  ipcnet_purge_client_close(&client);
}

static void who_has_the_capability_asks_nobody(void) {
  struct ipcnet_purge_client client;
  struct ipcnet_can_os os = client_begins(&client);
  struct ipcnet_can_link_event event;
  itself = true;
  helper_starts(HONEST);
  struct pollfd wanted = {.fd = os.link_fd(os.context), .events = POLLIN};
  CHECK_INT(poll(&wanted, 1, 5000), 1);
  while (os.link_event(os.context, &event) > 0) {}
  CHECK(os.may_purge(os.context) && client.fd < 0);
  CHECK_INT(os.purge(os.context, OURS), 0);
  CHECK_INT(os.restart(os.context, OURS), 0);
  CHECK(itself_did == 2 && atomic_load(&helper.connections) == 0);
  helper_dies();
  ipcnet_purge_client_close(&client);
}

static void a_refusal_is_one(void) {
  struct ipcnet_purge_client client;
  struct ipcnet_can_os os = client_begins(&client);
  helper_starts(HONEST);
  CHECK(comes_to(&os, true));
  atomic_store(&helper.manner, REFUSES);
  CHECK(comes_to(&os, false));
  CHECK_INT(os.purge(os.context, OURS), -EPERM);
  CHECK_INT(os.restart(os.context, OURS), -EPERM);
  CHECK(client.fd >= 0 && client.refusals == 0); /* it keeps to the protocol */
  helper_dies();
  ipcnet_purge_client_close(&client);
}

static void one_that_hangs_counts_as_unable(void) {
  struct ipcnet_purge_client client;
  struct ipcnet_can_os os = client_begins(&client);
  helper_starts(HONEST);
  CHECK(comes_to(&os, true));
  atomic_store(&helper.manner, HANGS_WHEN_ASKED_TO_PURGE);
  int64_t began_ns = clock_ns();
  CHECK_INT(os.purge(os.context, OURS), -ETIMEDOUT);
  CHECK(clock_ns() - began_ns >= IPCNET_PURGE_PATIENCE_NS);
  CHECK(!os.may_purge(os.context) && client.fd < 0);
  CHECK(comes_to(&os, true)); /* by its own word it may */
  atomic_store(&helper.manner, HANGS);
  CHECK(comes_to(&os, false)); /* found without a purge that would have needed it */
  CHECK_INT(os.restart(os.context, OURS), -ETIMEDOUT);
  atomic_store(&helper.manner, HONEST);
  CHECK(comes_to(&os, true));
  helper_dies();
  ipcnet_purge_client_close(&client);
}

static void *cancels(void *argument) {
  struct ipcnet_purge_client *client = argument;
  while (atomic_load(&helper.purges) == 0) usleep(1000);
  ipcnet_purge_client_cancel(client);
  return NULL;
}

static void nobody_has_to_wait_for_it(void) {
  struct ipcnet_purge_client client;
  struct ipcnet_can_os os = client_begins(&client);
  pthread_t thread;
  helper_starts(HANGS_WHEN_ASKED_TO_PURGE);
  CHECK_INT(pthread_create(&thread, NULL, cancels, &client), 0);
  CHECK_INT(os.purge(os.context, OURS), -ECANCELED);
  pthread_join(thread, NULL);
  helper_dies();
  CHECK_INT(os.purge(os.context, OURS), -ECANCELED); /* once and for all; nor for one that might come */
  ipcnet_purge_client_close(&client);
}

static void death_in_the_middle_is_made_good_by_the_next(void) {
  struct ipcnet_purge_client client;
  struct ipcnet_can_os os = client_begins(&client);
  helper_starts(DIES_IN_PURGE);
  CHECK(comes_to(&os, true));
  CHECK_INT(os.purge(os.context, OURS), 0);
  CHECK_INT(atomic_load(&helper.purges), 2);
  CHECK_INT(atomic_load(&helper.connections), 2);
  helper_dies();
  CHECK(comes_to(&os, false));
  int64_t began_ns = clock_ns();
  CHECK_INT(os.purge(os.context, OURS), -ETIMEDOUT); /* nobody comes */
  CHECK(clock_ns() - began_ns >= IPCNET_PURGE_PATIENCE_NS - 20000000);
  ipcnet_purge_client_close(&client);
}

static void a_lie_is_not_believed(void) {
  static const enum manner lies[] = {SAYS_IT_DID, OTHER_NUMBER, POSITIVE, SHORT, NOT_AN_ERRNO};
  struct ipcnet_purge_client client;
  struct ipcnet_can_os os = client_begins(&client);
  for (unsigned i = 0; i < sizeof lies / sizeof lies[0]; i++) {
    helper_starts(lies[i]);
    CHECK(comes_to(&os, true));
    unsigned before = client.refusals;
    CHECK_INT(os.purge(os.context, OURS), -EPROTO);
    CHECK(!os.may_purge(os.context) && client.fd < 0 && client.refusals == before + 1);
    CHECK_INT(atomic_load(&helper.purges), 1); /* a liar is not asked again at once */
    helper_dies();
  }
  helper_starts(ANSWERS_TWICE);
  CHECK(comes_to(&os, true));
  CHECK_INT(os.purge(os.context, OURS), 0);
  CHECK(comes_to(&os, false));
  helper_dies();
  helper_starts(SPEAKS_UNASKED);
  unsigned before = client.refusals;
  for (int64_t until_ns = clock_ns() + 20000000000; client.refusals == before && clock_ns() < until_ns;) (void)comes_to(&os, true);
  CHECK(client.refusals > before);
  helper_dies();
  ipcnet_purge_client_close(&client);
}

/* Whoever else listens there is neither root nor our own user. */
static void a_stranger_is_not_asked(void) {
  char ready;
  int pipe_fds[2];
  if (geteuid() != 0) {
    printf("reflex_purge: not root: strangers were not tried\n");
    return;
  }
  remove_lock(); /* root's */
  CHECK(pipe(pipe_fds) == 0 && chmod(helper.folder, 0777) == 0);
  pid_t pid = fork();
  if (pid == 0) {
    struct ipcnet_seqpacket_bound bound;
    if (setgid(54321) != 0 || setuid(54321) != 0 || ipcnet_seqpacket_listen(helper.path, 0666, (gid_t)-1, 4, &bound) < 0 || write(pipe_fds[1], "x", 1) != 1) _exit(1);
    for (;;) pause();
  }
  close(pipe_fds[1]);
  CHECK(read(pipe_fds[0], &ready, 1) == 1);
  struct ipcnet_purge_client client;
  struct ipcnet_can_os os = client_begins(&client);
  CHECK_INT(os.purge(os.context, OURS), -EPROTO);
  CHECK(client.fd < 0 && client.refusals == 1 && !os.may_purge(os.context));
  ipcnet_purge_client_close(&client);
  close(pipe_fds[0]);
  kill(pid, SIGKILL);
  CHECK(waitpid(pid, NULL, 0) == pid);
  unlink(helper.path);
}

static void a_path_that_is_too_long_is_said(void) {
  char folder[200];
  struct ipcnet_purge_client client;
  memset(folder, 'x', sizeof folder - 1);
  folder[sizeof folder - 1] = '\0';
  CHECK_INT(ipcnet_purge_client_init(&client, folder), -ENAMETOOLONG);
}

int main(void) {
  snprintf(helper.folder, sizeof helper.folder, "/tmp/ipcnet-purge-XXXXXX");
  if (mkdtemp(helper.folder) == NULL) return EXIT_FAILURE;
  snprintf(helper.path, sizeof helper.path, "%s/purge.sock", helper.folder);
  it_touches_its_own_interfaces_alone();
  what_it_cannot_or_should_not_do_it_says();
  garbage_does_nothing();
  it_may_while_a_helper_says_so();
  who_has_the_capability_asks_nobody();
  a_refusal_is_one();
  one_that_hangs_counts_as_unable();
  nobody_has_to_wait_for_it();
  death_in_the_middle_is_made_good_by_the_next();
  a_lie_is_not_believed();
  a_stranger_is_not_asked();
  a_path_that_is_too_long_is_said();
  remove_lock();
  rmdir(helper.folder);
  return checks_report("reflex_purge");
}
