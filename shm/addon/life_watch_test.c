/* A death is noticed as soon as the main thread is gone, while the process still lives for the kernel; priorities are raised for it and given back, whatever comes. */
#include "life_watch.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check_test.h"
#include "handover.h"
#include "priority.h"
#include "process_end.h"
#include "seqpacket.h"

#define WAIT_MS 60000
#define ROUNDS 20

struct child {
  pid_t pid;
  const struct ipcnet_handover_page *page;
  int page_fd;
};

/* A process that marks its life in a page and hands that over. */
static struct child start(int marks) {
  int handed[2];
  struct child self;
  CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, handed) == 0);
  self.pid = fork();
  if (self.pid == 0) {
    struct ipcnet_handover_page *page;
    int fd = ipcnet_handover_make(&page);
    if (fd < 0 || (marks && ipcnet_handover_mark_life(page) != 0)) _exit(2);
    const struct ipcnet_seqpacket_packet hello = { (const uint8_t *)"x", 1 };
    const struct ipcnet_seqpacket_fds with = { 1, { fd } };
    if (ipcnet_seqpacket_send_fds(handed[1], &hello, &with, 1) != 1) _exit(3);
    for (;;) pause();
  }
  uint8_t byte;
  uint32_t length;
  struct ipcnet_seqpacket_fds got;
  enum ipcnet_seqpacket_state state;
  struct pollfd item = { .fd = handed[0], .events = POLLIN };
  CHECK(self.pid > 0 && poll(&item, 1, WAIT_MS) == 1);
  CHECK(ipcnet_seqpacket_receive_fds(handed[0], &byte, 1, 1, &length, &got, &state) == 1 && got.count == 1);
  CHECK(ipcnet_handover_open(got.fds[0], &self.page) == 0);
  self.page_fd = got.fds[0];
  close(handed[0]);
  close(handed[1]);
  return self;
}

static void end(const struct child *self) {
  int status;
  kill(self->pid, SIGKILL);
  CHECK(waitpid(self->pid, &status, 0) == self->pid);
  close(self->page_fd); /* the page stays mapped: a watch may still look at it */
}

static int is_raised(pid_t thread) {
  return (sched_getscheduler(thread) & ~SCHED_RESET_ON_FORK) == SCHED_RR || getpriority(PRIO_PROCESS, (id_t)thread) == -20;
}

static int readable(int fd, int timeout_ms) {
  struct pollfd item = { .fd = fd, .events = POLLIN };
  return poll(&item, 1, timeout_ms) == 1;
}

static void wait_until_ordinary(pid_t thread) {
  for (int i = 0; i < WAIT_MS && is_raised(thread); i++) usleep(1000);
  CHECK(!is_raised(thread));
}

struct watched {
  struct child child;
  struct ipcnet_life_watch *watch;
  int dying_fd, over_fd, pidfd, permitted;
};

static struct watched watch(int marks) {
  struct watched self = { .child = start(marks), .dying_fd = eventfd(0, EFD_CLOEXEC), .over_fd = eventfd(0, EFD_CLOEXEC) };
  self.pidfd = (int)syscall(SYS_pidfd_open, self.child.pid, 0);
  const uint32_t *word = ipcnet_handover_life_of(self.child.page);
  CHECK((word != NULL) == marks && self.pidfd >= 0);
  const struct ipcnet_life life = { word, self.child.pid, self.pidfd, self.dying_fd, self.over_fd };
  self.watch = ipcnet_life_watch_start(&life, &self.permitted);
  CHECK(self.watch != NULL && (self.permitted == 0 || self.permitted == -EPERM));
  CHECK(!readable(self.dying_fd, 0) && !readable(self.over_fd, 0) && !is_raised(getpid()) && !is_raised(self.child.pid));
  return self;
}

static void unwatch(struct watched *self) {
  end(&self->child);
  close(self->dying_fd);
  close(self->over_fd);
  close(self->pidfd);
}

static void test_death_is_noticed(void) {
  for (int round = 0; round < ROUNDS; round++) {
    struct watched self = watch(1);
    const int at_once = round % 4 > 0;
    kill(self.child.pid, SIGKILL);
    CHECK(readable(self.dying_fd, WAIT_MS) && readable(self.over_fd, WAIT_MS));
    if (at_once) ipcnet_life_watch_stop(self.watch);
    wait_until_ordinary(getpid());
    if (!at_once) ipcnet_life_watch_stop(self.watch);
    unwatch(&self);
  }
}

static void test_killed_while_stopped(void) {
  struct watched self = watch(1);
  CHECK(setpriority(PRIO_PROCESS, (id_t)getpid(), 3) == 0);
  kill(self.child.pid, SIGSTOP);
  CHECK(ipcnet_process_is_over(self.child.pid) == 0);
  CHECK(ipcnet_life_watch_kill(self.watch) == 0);
  if (self.permitted == 0) CHECK(is_raised(getpid()));
  CHECK(readable(self.dying_fd, WAIT_MS) && readable(self.over_fd, WAIT_MS));
  CHECK(ipcnet_process_is_over(self.child.pid) == 1);
  /* Nobody gives it back: it goes of itself, and to what it was. */
  wait_until_ordinary(getpid());
  CHECK(sched_getscheduler(getpid()) == SCHED_OTHER && getpriority(PRIO_PROCESS, (id_t)getpid()) == 3);
  CHECK(ipcnet_life_watch_kill(self.watch) == 0 || errno == ESRCH); /* a zombie takes it */
  CHECK(!is_raised(getpid()));
  ipcnet_life_watch_stop(self.watch);
  setpriority(PRIO_PROCESS, (id_t)getpid(), 0);
  unwatch(&self);
}

static void test_stopped_before_the_death(void) {
  struct watched self = watch(1);
  ipcnet_life_watch_stop(self.watch);
  unwatch(&self);
  CHECK(!is_raised(getpid()));
}

static void test_page_without_a_mark(void) {
  struct watched self = watch(0);
  CHECK(ipcnet_life_watch_kill(self.watch) == 0);
  CHECK(readable(self.pidfd, WAIT_MS));
  /* Without a sign nothing is said to be proven. */
  CHECK(!readable(self.dying_fd, 100) && !readable(self.over_fd, 0));
  ipcnet_life_watch_stop(self.watch);
  CHECK(!is_raised(getpid()));
  unwatch(&self);
}

/* One thread after the other ends, and only then the first: it is not over before. */
static void *leave_at(void *argument) {
  char byte;
  CHECK(read(*(int *)argument, &byte, 1) == 1);
  /* Not by returning: a sanitizer may have threads of its own. */
  _exit(0);
}

static void test_over_means_all_threads(void) {
  int go[2], gone[2];
  char byte;
  CHECK(pipe(go) == 0 && pipe(gone) == 0);
  pid_t child = fork();
  if (child == 0) {
    pthread_t other;
    close(gone[0]);
    if (pthread_create(&other, NULL, leave_at, &go[0]) != 0 || write(gone[1], "x", 1) != 1) _exit(1);
    pthread_exit(NULL); /* the main thread alone */
  }
  CHECK(read(gone[0], &byte, 1) == 1);
  char path[64], text[512];
  snprintf(path, sizeof path, "/proc/%d/stat", (int)child);
  for (char state = 0; state != 'Z';) {
    FILE *file = fopen(path, "r");
    CHECK(file != NULL && fgets(text, sizeof text, file) != NULL);
    fclose(file);
    state = strrchr(text, ')')[2];
    usleep(1000);
  }
  /* Its first thread is a zombie, as that of a dead process is. */
  CHECK(ipcnet_process_is_over(child) == 0);
  CHECK(write(go[1], "x", 1) == 1);
  siginfo_t info;
  CHECK(waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT) == 0 && ipcnet_process_is_over(child) == 1);
  CHECK(waitpid(child, NULL, 0) == child && ipcnet_process_is_over(child) < 0);
  CHECK(ipcnet_process_is_over(getpid()) == 0 && ipcnet_process_marks_known() == 1);
  for (int i = 0; i < 2; i++) {
    close(go[i]);
    close(gone[i]);
  }
}

static void *sleep_for_ever(void *argument) {
  atomic_store((_Atomic pid_t *)argument, (pid_t)syscall(SYS_gettid));
  for (;;) pause();
  return NULL;
}

static void test_all_threads_and_back(void) {
  static _Atomic pid_t threads[3];
  struct ipcnet_priority priority;
  for (size_t i = 0; i < 3; i++) {
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, sleep_for_ever, &threads[i]) == 0);
    while (atomic_load(&threads[i]) == 0) sched_yield();
  }
  /* Somebody has set this one up. */
  CHECK(setpriority(PRIO_PROCESS, (id_t)threads[1], 7) == 0);
  const struct sched_param none = { .sched_priority = 0 };
  CHECK(sched_setscheduler(threads[2], SCHED_BATCH, &none) == 0);
  int raised = ipcnet_priority_raise(&priority, getpid());
  CHECK(raised == -EPERM || raised >= 3);
  if (raised > 0) CHECK(is_raised(getpid()) && is_raised(threads[0]) && is_raised(threads[1]) && sched_getscheduler(threads[2]) == SCHED_BATCH);
  ipcnet_priority_lower(&priority);
  CHECK(!is_raised(getpid()) && !is_raised(threads[0]) && getpriority(PRIO_PROCESS, (id_t)threads[1]) == 7 && sched_getscheduler(threads[1]) == SCHED_OTHER && sched_getscheduler(threads[2]) == SCHED_BATCH);
  ipcnet_priority_lower(&priority);
  CHECK(ipcnet_priority_raise(&priority, 0x3fffffff) < 0);
}

int main(void) {
  test_over_means_all_threads();
  test_death_is_noticed();
  test_killed_while_stopped();
  test_stopped_before_the_death();
  test_page_without_a_mark();
  test_all_threads_and_back();
  return 0;
}
