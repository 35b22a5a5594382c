#include "scene.h"

#include <errno.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

const char *const relation_names[RELATIONS] = { "same user", "same user, protected", "other user", "root" };
const char *const verdict_names[3] = { "denied", "harmless", "DONE" };

/* Long enough for a machine that is busy with other things. */
#define PATIENCE_MS 60000
#define INNOCENTS 2
/* Before, while and after the attack, each. */
#define MESSAGES 300

/* Crashes are to be seen as signals; a leak is not what this is about, and its check needs the very rights that the protection takes away. */
const char *__asan_default_options(void);
const char *__asan_default_options(void) { return "detect_leaks=0:handle_segv=0:handle_sigbus=0:handle_abort=0:exitcode=86"; }

static _Noreturn void fail(const char *what) {
  fprintf(stderr, "scene: %s: %s\n", what, strerror(errno));
  exit(2);
}

/* ------------------------------------------------------------------ talking -- */

void say(int socket, const void *bytes, size_t length, const int *fds, int fd_count) {
  struct iovec part = { .iov_base = (void *)(uintptr_t)bytes, .iov_len = length };
  union { struct cmsghdr head; char bytes[CMSG_SPACE(2 * sizeof(int))]; } control = { 0 };
  struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
  if (fd_count > 0) {
    message.msg_control = &control;
    message.msg_controllen = CMSG_SPACE((size_t)fd_count * sizeof(int));
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN((size_t)fd_count * sizeof(int));
    memcpy(CMSG_DATA(&control.head), fds, (size_t)fd_count * sizeof(int));
  }
  if (sendmsg(socket, &message, MSG_NOSIGNAL) < 0 && errno != EPIPE && errno != ECONNRESET) fail("sendmsg");
}

ssize_t hear(int socket, void *bytes, size_t length, int *fds, int *fd_count, int timeout_ms) {
  struct iovec part = { .iov_base = bytes, .iov_len = length };
  union { struct cmsghdr head; char bytes[CMSG_SPACE(2 * sizeof(int))]; } control;
  struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof control };
  struct pollfd ready = { .fd = socket, .events = POLLIN };
  if (fd_count) *fd_count = 0;
  if (poll(&ready, 1, timeout_ms) == 0) return -1;
  ssize_t count = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  /* The other end has left without hearing our last word: that is told once, before its own. */
  if (count < 0 && errno == ECONNRESET) count = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
  if (count < 0) return 0;
  for (struct cmsghdr *head = CMSG_FIRSTHDR(&message); head != NULL; head = CMSG_NXTHDR(&message, head)) {
    const int sent = (int)((head->cmsg_len - CMSG_LEN(0)) / sizeof(int));
    if (fd_count && sent <= 2) {
      memcpy(fds, CMSG_DATA(head), (size_t)sent * sizeof(int));
      *fd_count = sent;
    }
  }
  return count;
}

static void talk(int ends[2]) {
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0) fail("socketpair");
}

const char *errno_name(int error) {
  static char number[16];
  static const struct { int error; const char *name; } names[] = {
    { EPERM, "EPERM" }, { EACCES, "EACCES" }, { EIO, "EIO" }, { EBADF, "EBADF" }, { EINVAL, "EINVAL" }, { EPROTO, "EPROTO" }, { ENOENT, "ENOENT" }, { EAGAIN, "EAGAIN" }, { ESRCH, "ESRCH" },
    { EFAULT, "EFAULT" }, { ENOSPC, "ENOSPC" }, { ENOTSUP, "ENOTSUP" }, { EBUSY, "EBUSY" }, { ENOSYS, "ENOSYS" }, { ENOTCONN, "ENOTCONN" }, { EPIPE, "EPIPE" }, { ENOMEM, "ENOMEM" }, { EMFILE, "EMFILE" },
  };
  for (size_t i = 0; i < sizeof names / sizeof *names; i++) if (names[i].error == error) return names[i].name;
  snprintf(number, sizeof number, "errno %d", error);
  return number;
}

/* ------------------------------------------------------------------- people -- */

int relation_is_possible(enum relation relation) { return geteuid() == 0 || relation == SAME_USER || relation == SAME_USER_PROTECTED; }

uid_t attacker_user(enum relation relation) { return relation == ROOT ? 0 : relation == OTHER_USER ? ATTACKER_USER : WRITER_USER; }

void become(uid_t user) {
  if (geteuid() != 0 || user == 0) return;
  if (setgroups(0, NULL) != 0 || setresgid(user, user, user) != 0 || setresuid(user, user, user) != 0) fail("cannot become another user");
  /* A change of user protects by itself; programs that were started as that user are not protected. */
  if (prctl(PR_SET_DUMPABLE, 1, 0, 0, 0) != 0) fail("prctl");
}

uint64_t mapping_of(const char *name) {
  char line[512], rights[8];
  uint64_t found = 0;
  FILE *maps = fopen("/proc/self/maps", "re");
  if (!maps) fail("/proc/self/maps");
  while (found == 0 && fgets(line, sizeof line, maps)) {
    unsigned long long from;
    if (strstr(line, name) && sscanf(line, "%llx-%*x %7s", &from, rights) == 2 && strchr(rights, 'w')) found = from;
  }
  fclose(maps);
  return found;
}

/* Three quarters are short; the others stand in the large ring. */
size_t message_bytes(uint64_t number) { return number % 4 != 0 ? 8 + number % 50 : 1000 + number * 37 % 4000; }

void fill_message(uint8_t *bytes, size_t length, uint64_t number) {
  memcpy(bytes, &number, 8);
  for (size_t i = 8; i < length; i++) bytes[i] = (uint8_t)(number * 131 + i * 7 + (i >> 8));
}

int message_is_whole(const uint8_t *bytes, size_t length) {
  uint64_t number;
  if (length < 8) return 0;
  memcpy(&number, bytes, 8);
  if (length != message_bytes(number)) return 0;
  for (size_t i = 8; i < length; i++) if (bytes[i] != (uint8_t)(number * 131 + i * 7 + (i >> 8))) return 0;
  return 1;
}

/* ------------------------------------------------------------------- writer -- */

struct order { char what; uint8_t policy; uint32_t messages; uint64_t deadline_ns; };
struct writer_answer { int64_t result; uint64_t memory; uint64_t bytes; uint8_t lane_id[IPCNET_LANE_ID_BYTES]; uint64_t demoted; uint64_t mistrusted; uint64_t published; };

static int publish_one(struct ipcnet_lane_writer *lane, uint64_t number) {
  uint8_t bytes[MESSAGE_BYTES_MAX];
  const size_t length = message_bytes(number);
  fill_message(bytes, length, number);
  for (;;) {
    const int result = ipcnet_lane_writer_publish(lane, NULL, NULL, bytes, length, 0);
    if (result != -EAGAIN) return result;
    struct pollfd space = { .fd = ipcnet_lane_writer_space_fd(lane), .events = POLLIN };
    if (poll(&space, 1, PATIENCE_MS) <= 0) return -ETIMEDOUT;
    ipcnet_lane_writer_space_taken(lane);
  }
}

static _Noreturn void play_writer(int stage, enum relation relation) {
  struct ipcnet_lane_writer *lane;
  struct order order;
  uint64_t number = 0;
  int fds[2], fd_count;
  const struct ipcnet_lane_options options = { .slot_count = 64, .inline_bytes = 64, .large_bytes = 65536, .policy = IPCNET_LANE_LOSSLESS, .schema_hash = 77 };
  become(WRITER_USER);
  if (relation == SAME_USER_PROTECTED && prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) fail("prctl");
  if (relation == OTHER_USER || relation == ROOT || relation == SAME_USER) (void)prctl(PR_SET_DUMPABLE, 1, 0, 0, 0);
  if (ipcnet_lane_writer_create(&lane, &options) != 0) fail("cannot make a lane");
  struct writer_answer answer = { .memory = mapping_of("ipcnet-lane") };
  ipcnet_lane_writer_id(lane, answer.lane_id);
  struct ipcnet_lane_description description;
  if (ipcnet_lane_describe(ipcnet_lane_writer_fd(lane), &description) != 0) fail("a lane of one's own");
  answer.bytes = description.file_bytes;
  say(stage, &answer, sizeof answer, (int[]){ ipcnet_lane_writer_fd(lane) }, 1);
  while (hear(stage, &order, sizeof order, fds, &fd_count, -1) > 0) {
    answer.result = 0;
    if (order.what == 'j' && fd_count == 2) answer.result = ipcnet_lane_writer_add_reader(lane, fds[0], fds[1], (enum ipcnet_lane_policy)order.policy, order.deadline_ns);
    if (order.what == 'p') for (uint32_t i = 0; i < order.messages && answer.result == 0; i++) answer.result = publish_one(lane, ++number);
    if (order.what == 'x') break;
    struct ipcnet_lane_writer_stats stats;
    ipcnet_lane_writer_stats(lane, &stats);
    answer.demoted = stats.demoted;
    answer.mistrusted = stats.pages_mistrusted;
    answer.published = stats.published;
    say(stage, &answer, sizeof answer, NULL, 0);
  }
  ipcnet_lane_writer_destroy(lane);
  _exit(0);
}

/* ------------------------------------------------------------------- reader -- */

struct reader_report { uint64_t received, lost, wrong; uint32_t end; uint32_t demoted; };

static _Noreturn void play_reader(int stage, int lane_fd, int bell) {
  static uint8_t buffer[MESSAGE_BYTES_MAX];
  struct ipcnet_lane_reader *reader;
  struct ipcnet_lane_sample sample;
  struct reader_report report = { 0 };
  const struct ipcnet_lane_reader_options options = { .policy = IPCNET_LANE_LOSSLESS, .start = IPCNET_LANE_FROM_OLDEST };
  become(READER_USER);
  if (ipcnet_lane_reader_open(&reader, lane_fd, bell, &options) != 0) fail("cannot open the lane");
  say(stage, "p", 1, (int[]){ ipcnet_lane_reader_page_fd(reader) }, 1);
  for (;;) {
    const enum ipcnet_lane_verdict verdict = ipcnet_lane_reader_read(reader, &sample, buffer, sizeof buffer);
    if (verdict == IPCNET_LANE_SAMPLE) {
      uint64_t number = 0;
      report.lost += sample.lost_before;
      if (sample.payload_bytes >= 8) memcpy(&number, buffer, 8);
      if (number != sample.sequence || number != report.received + report.lost + 1 || !message_is_whole(buffer, sample.payload_bytes)) report.wrong++;
      report.received++;
      continue;
    }
    report.end = verdict;
    if (verdict != IPCNET_LANE_NOTHING || ipcnet_lane_reader_wait(reader, (int64_t)PATIENCE_MS * 1000000, 0) <= 0) break;
  }
  struct ipcnet_lane_reader_stats stats;
  ipcnet_lane_reader_stats(reader, &stats);
  report.demoted = stats.demoted;
  say(stage, &report, sizeof report, NULL, 0);
  ipcnet_lane_reader_close(reader);
  _exit(0);
}

/* ----------------------------------------------------------------- attacker -- */

struct last_word { char what; uint8_t verdict; char text[160]; };

static int stage_of_attacker = -1;

void outcome(enum verdict verdict, const char *format, ...) {
  struct last_word word = { .what = 'r', .verdict = (uint8_t)verdict };
  va_list arguments;
  va_start(arguments, format);
  vsnprintf(word.text, sizeof word.text, format, arguments);
  va_end(arguments);
  say(stage_of_attacker, &word, sizeof word, NULL, 0);
  _exit(0);
}

void outcome_of(long result, enum verdict allowed, const char *text) {
  if (result < 0) outcome(DENIED, "%s", errno_name(errno));
  outcome(allowed, "%s", text);
}

int attacker_join(struct attacker *self, int page_fd, int bell_fd, enum ipcnet_lane_policy policy, uint64_t deadline_ns) {
  struct order order = { .what = 'j', .policy = (uint8_t)policy, .deadline_ns = deadline_ns };
  struct writer_answer answer = { .result = -EPIPE };
  say(self->stage, &order, sizeof order, (int[]){ page_fd, bell_fd }, 2);
  (void)hear(self->stage, &answer, sizeof answer, NULL, NULL, -1);
  return (int)answer.result;
}

void attacker_ask_for(struct attacker *self, uint32_t messages) {
  struct order order = { .what = 'p', .messages = messages };
  say(self->stage, &order, sizeof order, NULL, 0);
}

int attacker_is_done(struct attacker *self, int timeout_ms) {
  struct writer_answer answer;
  return hear(self->stage, &answer, sizeof answer, NULL, NULL, timeout_ms) >= 0;
}

/* -------------------------------------------------------------------- stage -- */

struct child { pid_t pid; int socket; };

struct stage {
  struct child writer, attacker, readers[INNOCENTS];
  struct writer_answer lane;
  int lane_fd;
  /* What the writer was told to do and has not answered for. */
  int is_publishing;
  char harm[160];
};

static void harm(struct stage *self, const char *format, ...) {
  va_list arguments;
  if (self->harm[0]) return;
  va_start(arguments, format);
  vsnprintf(self->harm, sizeof self->harm, format, arguments);
  va_end(arguments);
}

/* Forks; in the child, everything that belongs to the others is closed. */
static int start(struct stage *self, struct child *child) {
  int ends[2];
  talk(ends);
  fflush(stdout);
  child->pid = fork();
  if (child->pid < 0) fail("fork");
  if (child->pid > 0) {
    close(ends[1]);
    child->socket = ends[0];
    return -1;
  }
  /* Whoever plays goes when the stage goes. */
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (self->writer.socket > 0) close(self->writer.socket);
  for (int i = 0; i < INNOCENTS; i++) if (self->readers[i].socket > 0) close(self->readers[i].socket);
  close(ends[0]);
  return ends[1];
}

/* How it ended: 0 in order, else a signal or an exit code, told as text. */
static const char *end_of(struct child *child) {
  static char text[40];
  int status = 0;
  if (waitpid(child->pid, &status, 0) < 0) fail("waitpid");
  close(child->socket);
  if (WIFSIGNALED(status)) snprintf(text, sizeof text, "signal %s", strsignal(WTERMSIG(status)));
  else snprintf(text, sizeof text, "exit code %d", WEXITSTATUS(status));
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? NULL : text;
}

static void hear_writer(struct stage *self, int published) {
  self->lane.result = -EPIPE;
  const ssize_t heard = hear(self->writer.socket, &self->lane, sizeof self->lane, NULL, NULL, PATIENCE_MS);
  if (heard <= 0) harm(self, heard == 0 ? "the writer is gone" : "the writer is stuck");
  if (published && self->lane.result != 0) harm(self, "the writer could not publish: %s", errno_name((int)-self->lane.result));
}

static void let_publish(struct stage *self, uint32_t messages) {
  const struct order order = { .what = 'p', .messages = messages };
  say(self->writer.socket, &order, sizeof order, NULL, 0);
  self->is_publishing = 1;
}

static int order_writer(struct stage *self, const struct order *order, int *fds, int fd_count) {
  say(self->writer.socket, order, sizeof *order, fds, fd_count);
  if (self->is_publishing) hear_writer(self, 1);
  self->is_publishing = 0;
  hear_writer(self, order->what == 'p');
  return (int)self->lane.result;
}

static void open_scene(struct stage *self, enum relation relation) {
  int socket = start(self, &self->writer), fd_count;
  if (socket >= 0) play_writer(socket, relation);
  if (hear(self->writer.socket, &self->lane, sizeof self->lane, &self->lane_fd, &fd_count, PATIENCE_MS) <= 0 || fd_count != 1) fail("the writer did not begin");
  for (int i = 0; i < INNOCENTS; i++) {
    int bell[2], page;
    char word;
    if (ipcnet_lane_bell(bell) != 0) fail("bell");
    socket = start(self, &self->readers[i]);
    if (socket >= 0) {
      close(bell[1]);
      play_reader(socket, self->lane_fd, bell[0]);
    }
    close(bell[0]);
    if (hear(self->readers[i].socket, &word, 1, &page, &fd_count, PATIENCE_MS) <= 0 || fd_count != 1) fail("a reader did not begin");
    const struct order join = { .what = 'j', .policy = IPCNET_LANE_LOSSLESS, .deadline_ns = (uint64_t)PATIENCE_MS * 1000000 };
    if (order_writer(self, &join, (int[]){ page, bell[1] }, 2) != i) fail("a reader was not taken");
    close(page);
    close(bell[1]);
  }
}

/* Does what the attacker asks for until its last word, or its end. */
static struct last_word attend(struct stage *self) {
  union { struct order order; struct last_word word; } heard;
  int fds[2], fd_count;
  for (;;) {
    const ssize_t length = hear(self->attacker.socket, &heard, sizeof heard, fds, &fd_count, PATIENCE_MS);
    if (length == (ssize_t)sizeof heard.word && heard.word.what == 'r') {
      if (end_of(&self->attacker)) heard.word.verdict = DENIED;
      return heard.word;
    }
    if (length <= 0) {
      if (length < 0) (void)kill(self->attacker.pid, SIGKILL);
      struct last_word word = { .verdict = DENIED };
      const char *end = end_of(&self->attacker);
      snprintf(word.text, sizeof word.text, "%s", length < 0 ? "no outcome in time" : end ? end : "no outcome");
      return word;
    }
    (void)order_writer(self, &heard.order, fds, fd_count);
    for (int i = 0; i < fd_count; i++) close(fds[i]);
    say(self->attacker.socket, &self->lane, sizeof self->lane, NULL, 0);
  }
}

static void close_scene(struct stage *self) {
  const struct order finish = { .what = 'x' };
  say(self->writer.socket, &finish, sizeof finish, NULL, 0);
  const char *end = end_of(&self->writer);
  if (end) harm(self, "the writer ended with %s", end);
  for (int i = 0; i < INNOCENTS; i++) {
    struct reader_report report;
    if (hear(self->readers[i].socket, &report, sizeof report, NULL, NULL, PATIENCE_MS) != (ssize_t)sizeof report) harm(self, "reader %d did not report", i);
    else if (report.received != self->lane.published || report.lost || report.wrong || report.demoted || report.end != IPCNET_LANE_CLOSED)
      harm(self, "reader %d: %llu of %llu received, %llu lost, %llu wrong, demoted %u, end %u", i, (unsigned long long)report.received, (unsigned long long)self->lane.published,
        (unsigned long long)report.lost, (unsigned long long)report.wrong, report.demoted, report.end);
    end = end_of(&self->readers[i]);
    if (end) harm(self, "reader %d ended with %s", i, end);
  }
  close(self->lane_fd);
}

void scene_run(const struct attack *attack, enum relation relation) {
  struct stage stage = { .lane_fd = -1 };
  const struct order some = { .what = 'p', .messages = MESSAGES };
  open_scene(&stage, relation);
  (void)order_writer(&stage, &some, NULL, 0);
  const int socket = start(&stage, &stage.attacker);
  if (socket < 0) let_publish(&stage, MESSAGES);
  if (socket >= 0) {
    struct attacker self = { .stage = socket, .lane_fd = stage.lane_fd, .writer = stage.writer.pid, .writer_memory = stage.lane.memory, .lane_bytes = stage.lane.bytes };
    memcpy(self.lane_id, stage.lane.lane_id, sizeof self.lane_id);
    stage_of_attacker = socket;
    become(attacker_user(relation));
    attack->run(&self);
    outcome(HARMLESS, "nothing came of it");
  }
  const struct last_word word = attend(&stage);
  (void)order_writer(&stage, &some, NULL, 0);
  if (attack->demoted >= 0 && stage.lane.demoted != (uint64_t)attack->demoted) harm(&stage, "%llu readers were demoted, not %d", (unsigned long long)stage.lane.demoted, attack->demoted);
  close_scene(&stage);
  const int defended = attack->defended_by == THE_KERNEL || relation == OTHER_USER || (attack->defended_by == PROTECTION && relation == SAME_USER_PROTECTED);
  printf("{\"attack\":\"%s\",\"relation\":\"%s\",\"verdict\":\"%s\",\"text\":\"%s\",\"defended\":%s,\"messages\":%llu,\"harm\":\"%s\"}\n", attack->name, relation_names[relation],
    verdict_names[word.verdict], word.text, defended ? "true" : "false", (unsigned long long)stage.lane.published, stage.harm);
  fflush(stdout);
}
