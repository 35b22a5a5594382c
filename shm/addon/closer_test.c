/* A close that takes long (a TCP socket that lingers, for want of a file system that does not answer) takes long for nobody here. */
#include "closer.h"
#include "check_test.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define LINGER_S 60

static int64_t now_ms(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static int is_open(int fd) {
  return fcntl(fd, F_GETFD) >= 0;
}

/* A connection that has more to send than its peer takes, and whose close waits for that. */
static int lingering(int *peer) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t length = sizeof address;
  const struct linger linger = {.l_onoff = 1, .l_linger = LINGER_S};
  static const char bytes[65536];
  const int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  CHECK(listener >= 0 && bind(listener, (struct sockaddr *)&address, sizeof address) == 0 && listen(listener, 1) == 0 && getsockname(listener, (struct sockaddr *)&address, &length) == 0);
  CHECK(connect(fd, (struct sockaddr *)&address, sizeof address) == 0 && (*peer = accept(listener, NULL, NULL)) >= 0);
  close(listener);
  CHECK(setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) == 0);
  while (send(fd, bytes, sizeof bytes, MSG_DONTWAIT) > 0);
  CHECK(errno == EAGAIN);
  return fd;
}

int main(void) {
  struct ipcnet_closer *closer = ipcnet_closer_create();
  int peers[IPCNET_CLOSER_THREADS + 2], pair[2];
  CHECK(closer != NULL);
  /* What cannot wait is closed before the call returns. */
  const int memory = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  CHECK(memory >= 0 && socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0);
  ipcnet_closer_close(closer, memory);
  ipcnet_closer_close(closer, pair[0]);
  CHECK(!is_open(memory) && !is_open(pair[0]));
  close(pair[1]);
  CHECK(pipe(pair) == 0);
  ipcnet_closer_close(closer, pair[0]);
  ipcnet_closer_close(closer, pair[1]);
  CHECK(!is_open(pair[0]) && !is_open(pair[1]));
  /* More that hang than there are threads. */
  const int64_t begin = now_ms();
  for (size_t i = 0; i < sizeof peers / sizeof peers[0]; i++) ipcnet_closer_close(closer, lingering(&peers[i]));
  const int file = open("/dev/null", O_RDONLY | O_CLOEXEC);
  CHECK(file >= 0);
  ipcnet_closer_close(closer, file);
  ipcnet_closer_destroy(closer);
  CHECK(now_ms() - begin < LINGER_S * 1000 / 2);
  /* The peers give up, all closes return, and what stood in line is closed too. */
  for (size_t i = 0; i < sizeof peers / sizeof peers[0]; i++) {
    const struct linger at_once = {.l_onoff = 1};
    CHECK(setsockopt(peers[i], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once) == 0);
    close(peers[i]);
  }
  while (is_open(file)) {
    const struct timespec pause = {.tv_nsec = 1000000};
    CHECK(now_ms() - begin < LINGER_S * 1000);
    (void)nanosleep(&pause, NULL);
  }
  puts("closer: passed");
  return 0;
}
