#include "poller.h"
#include "check_test.h"

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { SOCKETS = 400 };

static sem_t woken;
static void on_wake(void *context) {
  (void)context;
  sem_post(&woken);
}

static void wait_for_wake(void) {
  while (sem_wait(&woken) != 0) CHECK(errno == EINTR);
}

/* More ready sockets than the ring holds, a slow owner: each reports exactly once per arming. */
static void each_armed_socket_reports_exactly_once(void) {
  static int fds[SOCKETS][2];
  static int reports[SOCKETS];
  struct ipcnet_poller *poller = ipcnet_poller_create(on_wake, NULL);
  CHECK(poller != NULL);
  for (uint32_t i = 0; i < SOCKETS; i++) {
    CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds[i]) == 0);
    CHECK(ipcnet_poller_watch(poller, fds[i][0], i) == 0);
    CHECK(write(fds[i][1], "x", 1) == 1);
  }
  for (uint32_t i = 0; i < SOCKETS; i++) CHECK(ipcnet_poller_arm(poller, fds[i][0], i, IPCNET_POLLER_READ) == 0);
  int total = 0;
  while (total < SOCKETS) {
    struct ipcnet_ready ready[32];
    uint32_t count;
    wait_for_wake();
    while ((count = ipcnet_poller_take(poller, ready, 32)) > 0) {
      for (uint32_t i = 0; i < count; i++) {
        CHECK(ready[i].id < SOCKETS && ready[i].events == IPCNET_POLLER_READ);
        CHECK(++reports[ready[i].id] == 1);
      }
      total += (int)count;
    }
  }
  /* Not armed: silent, although there is data. Armed again: at once. */
  CHECK(ipcnet_poller_arm(poller, fds[7][0], 7, IPCNET_POLLER_READ | IPCNET_POLLER_WRITE) == 0);
  struct ipcnet_ready again;
  wait_for_wake();
  CHECK(ipcnet_poller_take(poller, &again, 1) == 1 && again.id == 7 && again.events == (IPCNET_POLLER_READ | IPCNET_POLLER_WRITE));
  CHECK(ipcnet_poller_take(poller, &again, 1) == 0);
  close(fds[9][1]);
  CHECK(ipcnet_poller_arm(poller, fds[9][0], 9, 0) == 0);
  wait_for_wake();
  CHECK(ipcnet_poller_take(poller, &again, 1) == 1 && again.id == 9 && (again.events & IPCNET_POLLER_HANGUP));
  ipcnet_poller_destroy(poller);
  for (uint32_t i = 0; i < SOCKETS; i++) {
    close(fds[i][0]);
    if (i != 9) close(fds[i][1]);
  }
}

/* Destroyed while its thread waits for room in the ring, and while it waits for sockets. */
static void it_ends_in_any_state(void) {
  static int fds[SOCKETS][2];
  for (int rounds = 0; rounds < 20; rounds++) {
    struct ipcnet_poller *poller = ipcnet_poller_create(on_wake, NULL);
    CHECK(poller != NULL);
    int used = rounds % 2 ? SOCKETS : 0;
    for (int i = 0; i < used; i++) {
      CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, fds[i]) == 0);
      CHECK(ipcnet_poller_watch(poller, fds[i][0], (uint32_t)i) == 0);
      CHECK(ipcnet_poller_arm(poller, fds[i][0], (uint32_t)i, IPCNET_POLLER_WRITE) == 0);
    }
    ipcnet_poller_destroy(poller);
    for (int i = 0; i < used; i++) {
      close(fds[i][0]);
      close(fds[i][1]);
    }
  }
}

int main(void) {
  CHECK(sem_init(&woken, 0, 0) == 0);
  each_armed_socket_reports_exactly_once();
  it_ends_in_any_state();
  return 0;
}
