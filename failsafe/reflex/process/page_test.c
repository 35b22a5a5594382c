/* The page and its detector with real processes: nobody else can write it, the kernel marks the word of a thread that dies, and whoever waits in memory that it can only read is woken. */
#include "page.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../../../drivers/can/core/check.h"
#include "detector.h"

static void nobody_else_can_write_it(void) {
  struct ipcnet_page page;
  CHECK_INT(ipcnet_page_create(&page), 0);
  CHECK_INT(page.page->pid, getpid());
  CHECK(page.page->pid_start != 0 && page.page->pid_start == ipcnet_process_start(getpid()));
  CHECK(mmap(NULL, IPCNET_REFLEX_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, page.fd, 0) == MAP_FAILED);
  char link[64];
  snprintf(link, sizeof link, "/proc/self/fd/%d", page.fd);
  int again = open(link, O_RDWR);
  if (again >= 0) {
    CHECK(mmap(NULL, IPCNET_REFLEX_PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, again, 0) == MAP_FAILED);
    CHECK(write(again, "x", 1) < 0);
    CHECK(ftruncate(again, 0) < 0);
    close(again);
  }
  const struct ipcnet_reflex_page *seen = ipcnet_page_map(page.fd);
  CHECK(seen != NULL);
  page.page->beat = 42;
  CHECK(seen != NULL && seen->beat == 42);
  page.page->magic = 0;
  CHECK(ipcnet_page_map(page.fd) == NULL);
  ipcnet_page_unmap(seen);
  close(page.fd);
}

static void what_is_no_page_is_refused(void) {
  int unsealed = memfd_create("x", MFD_ALLOW_SEALING), pair[2];
  CHECK(ftruncate(unsealed, IPCNET_REFLEX_PAGE_BYTES) == 0);
  CHECK(ipcnet_page_map(unsealed) == NULL); /* could shrink under us */
  CHECK(fcntl(unsealed, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0);
  CHECK(ipcnet_page_map(unsealed) == NULL);
  CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  CHECK(ipcnet_page_map(pair[0]) == NULL && ipcnet_page_map(-1) == NULL);
  close(unsealed);
  close(pair[0]);
  close(pair[1]);
}

/* A child with a page of its own, handed to us by inheritance of the descriptor's path. */
static pid_t child_with_page(int *page_fd) {
  int pipe_fds[2], number = -1;
  char path[64];
  CHECK(pipe(pipe_fds) == 0);
  pid_t pid = fork();
  if (pid == 0) {
    static struct ipcnet_page page;
    if (ipcnet_page_create(&page) != 0 || ipcnet_page_mark_death(&page) != 0) _exit(1);
    (void)!write(pipe_fds[1], &page.fd, sizeof page.fd);
    for (;;) pause();
  }
  CHECK_INT(read(pipe_fds[0], &number, sizeof number), sizeof number);
  snprintf(path, sizeof path, "/proc/%d/fd/%d", pid, number);
  *page_fd = open(path, O_RDONLY | O_CLOEXEC);
  close(pipe_fds[0]);
  close(pipe_fds[1]);
  return pid;
}

static void the_kernel_marks_the_dead_and_wakes_who_only_reads(void) {
  static struct ipcnet_detector detector;
  CHECK_INT(ipcnet_detector_start(&detector), 0);
  for (int turn = 0; turn < 20; turn++) {
    int fd;
    pid_t pid = child_with_page(&fd);
    const struct ipcnet_reflex_page *page = ipcnet_page_map(fd);
    CHECK(page != NULL);
    if (page == NULL) return;
    ipcnet_detector_watch(&detector, &page->robust_word);
    struct pollfd died = {.fd = detector.died_fd, .events = POLLIN};
    CHECK_INT(poll(&died, 1, 30), 0); /* it lives, and so it is said */
    if (turn % 2 == 0) kill(pid, SIGSTOP);
    kill(pid, SIGKILL);
    CHECK_INT(poll(&died, 1, 20000), 1);
    CHECK(page->robust_word & FUTEX_OWNER_DIED);
    uint64_t count;
    CHECK_INT(read(detector.died_fd, &count, sizeof count), sizeof count);
    CHECK(!atomic_load(&detector.refused));
    waitpid(pid, NULL, 0);
    ipcnet_detector_watch(&detector, NULL);
    while (!ipcnet_detector_has_left(&detector, &page->robust_word)) usleep(1000);
    ipcnet_page_unmap(page);
    close(fd);
  }
}

int main(void) {
  nobody_else_can_write_it();
  what_is_no_page_is_refused();
  the_kernel_marks_the_dead_and_wakes_who_only_reads();
  return checks_report("reflex_page");
}
