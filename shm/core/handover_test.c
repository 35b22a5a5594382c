/* The marks against the socket's own truth: a child that sends in a loop is killed at any instant, and the page says exactly how many packets the socket was given. */
#include "handover.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SLOT 7u
#define KILLS 300

static uint32_t drain(int fd) {
  static uint8_t buffer[16 * 64];
  uint32_t lengths[16], total = 0;
  enum ipcnet_seqpacket_state state = IPCNET_SEQPACKET_MORE;
  for (;;) {
    int count = ipcnet_seqpacket_receive(fd, buffer, 64, 16, lengths, &state);
    assert(count >= 0);
    for (int i = 0; i < count; i++) {
      uint32_t number;
      memcpy(&number, buffer + 64 * i, sizeof number);
      assert(number == total);
      total++;
    }
    if (state != IPCNET_SEQPACKET_MORE) return total;
  }
}

static void send_for_ever(struct ipcnet_handover_page *page, int fd) {
  uint32_t numbers[16];
  for (uint32_t next = 0;;) {
    struct ipcnet_seqpacket_packet packets[16];
    uint32_t count = 1 + next % 16;
    for (uint32_t i = 0; i < count; i++) {
      numbers[i] = next + i;
      packets[i] = (struct ipcnet_seqpacket_packet){ (const uint8_t *)&numbers[i], sizeof numbers[i] };
    }
    int sent = ipcnet_handover_send(page, SLOT, fd, packets, NULL, count);
    if (sent > 0) next += (uint32_t)sent;
    else if (sent != -EAGAIN) _exit(1);
  }
}

static void test_killed_while_sending(void) {
  srand(1);
  for (int round = 0; round < KILLS; round++) {
    int fds[2];
    struct ipcnet_handover_page *page;
    const struct ipcnet_handover_page *seen;
    assert(ipcnet_seqpacket_pair(fds) == 0);
    /* The child makes the page: it is not inherited by a fork. */
    int handed[2];
    assert(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, handed) == 0);
    pid_t child = fork();
    if (child == 0) {
      int fd = ipcnet_handover_make(&page);
      if (fd < 0) _exit(2);
      const struct ipcnet_seqpacket_packet hello = { (const uint8_t *)"x", 1 };
      const struct ipcnet_seqpacket_fds with = { 1, { fd } };
      if (ipcnet_seqpacket_send_fds(handed[1], &hello, &with, 1) != 1) _exit(3);
      send_for_ever(page, fds[1]);
    }
    uint8_t byte;
    uint32_t length;
    struct ipcnet_seqpacket_fds got;
    enum ipcnet_seqpacket_state state;
    struct pollfd item = { .fd = handed[0], .events = POLLIN };
    assert(poll(&item, 1, 60000) == 1);
    assert(ipcnet_seqpacket_receive_fds(handed[0], &byte, 1, 1, &length, &got, &state) == 1 && got.count == 1);
    assert(ipcnet_handover_open(got.fds[0], &seen) == 0);
    uint32_t total = 0;
    for (int i = rand() % 4; i > 0; i--) {
      const struct timespec pause = { 0, rand() % 200000 };
      nanosleep(&pause, NULL);
      static uint8_t buffer[64];
      if (recv(fds[0], buffer, sizeof buffer, MSG_DONTWAIT) > 0) total++;
    }
    assert(kill(child, SIGKILL) == 0);
    int status;
    assert(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
    uint32_t marked = ipcnet_handover_sent(seen, SLOT);
    static uint8_t packet[64];
    while (recv(fds[0], packet, sizeof packet, MSG_DONTWAIT) > 0) total++;
    if (marked != total) fprintf(stderr, "round %d: marked %u, in the socket %u\n", round, marked, total);
    assert(marked == total);
    ipcnet_handover_unmap(seen);
    close(got.fds[0]);
    close(fds[0]);
    close(fds[1]);
    close(handed[0]);
    close(handed[1]);
  }
}

static void test_page_is_sealed(void) {
  struct ipcnet_handover_page *page;
  const struct ipcnet_handover_page *seen;
  int fd = ipcnet_handover_make(&page);
  assert(fd >= 0);
  assert(mmap(NULL, IPCNET_HANDOVER_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) == MAP_FAILED);
  assert(write(fd, "x", 1) < 0);
  assert(ipcnet_handover_open(fd, &seen) == 0);
  ipcnet_handover_words(page)[3] = 42;
  assert(ipcnet_handover_words_of(seen)[3] == 42);
  ipcnet_handover_begin(page, 5, 17);
  assert(ipcnet_handover_sent(seen, 5) == 17 && ipcnet_handover_sent(seen, 6) == 0 && ipcnet_handover_sent(seen, IPCNET_HANDOVER_SLOTS) == 0);
  const struct ipcnet_seqpacket_packet packet = { (const uint8_t *)"x", 1 };
  assert(ipcnet_handover_send(page, IPCNET_HANDOVER_SLOTS, fd, &packet, NULL, 1) == -EINVAL);
  ipcnet_handover_unmap(seen);
  ipcnet_handover_unmap(page);
  close(fd);
  int other[2];
  assert(pipe(other) == 0 && ipcnet_handover_open(other[0], &seen) == -EINVAL);
  close(other[0]);
  close(other[1]);
}

static void test_peek_then_consume(void) {
  int fds[2];
  uint8_t buffer[16 * 64];
  uint32_t lengths[16];
  struct ipcnet_seqpacket_fds with[16];
  enum ipcnet_seqpacket_state state;
  assert(ipcnet_seqpacket_pair(fds) == 0 && ipcnet_seqpacket_peek_from_start(fds[0]) == 0);
  for (uint32_t i = 0; i < 5; i++) {
    const struct ipcnet_seqpacket_packet packet = { (const uint8_t *)&i, sizeof i };
    const struct ipcnet_seqpacket_fds attached = { 1, { fds[1] } };
    assert(ipcnet_seqpacket_send_fds(fds[1], &packet, i == 2 ? &attached : NULL, 1) == 1);
  }
  for (int round = 0; round < 3; round++) {
    assert(ipcnet_seqpacket_peek_all(fds[0], buffer, 64, 16, lengths, with, &state) == 5 && with[2].count == 1 && with[1].count == 0);
    close(with[2].fds[0]);
    assert(ipcnet_seqpacket_peek_all(fds[0], buffer, 64, 16, lengths, with, &state) == 0 && state == IPCNET_SEQPACKET_DRAINED);
    /* A successor begins again, on a copy of the descriptor. */
    int copy = dup(fds[0]);
    assert(ipcnet_seqpacket_peek_from_start(copy) == 0);
    close(copy);
  }
  assert(ipcnet_seqpacket_peek_all(fds[0], buffer, 64, 3, lengths, with, &state) == 3);
  close(with[2].fds[0]);
  assert(ipcnet_seqpacket_consume(fds[0], 3) == 3);
  assert(ipcnet_seqpacket_peek_all(fds[0], buffer, 64, 16, lengths, with, &state) == 2 && buffer[0] == 3 && buffer[64] == 4);
  assert(ipcnet_seqpacket_consume(fds[0], 9) == 2);
  assert(drain(fds[0]) == 0);
  close(fds[1]);
  assert(ipcnet_seqpacket_peek_all(fds[0], buffer, 64, 16, lengths, with, &state) == 0 && state == IPCNET_SEQPACKET_END);
  close(fds[0]);
}

int main(void) {
  test_page_is_sealed();
  test_peek_then_consume();
  test_killed_while_sending();
  puts("handover: ok");
  return 0;
}
