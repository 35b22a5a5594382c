#include "gpio.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#ifdef IPCNET_FAILPOINTS
#include <limits.h>
#include <linux/gpio.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

static bool is_played(int fd) {
  struct stat status;
  return fstat(fd, &status) == 0 && S_ISFIFO(status.st_mode);
}

static int played_level(int fd, struct gpio_v2_line_values *values) {
  char link[32], path[PATH_MAX];
  snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
  ssize_t length = readlink(link, path, sizeof path - sizeof ".level");
  if (length < 0) return errno;
  memcpy(path + length, ".level", sizeof ".level");
  int level = open(path, O_RDONLY | O_CLOEXEC);
  char letter = '0';
  if (level >= 0) (void)!read(level, &letter, 1), close(level);
  values->bits = letter == '1';
  return 0;
}

static int played(int fd, unsigned long request, void *argument) {
  if (request == GPIO_V2_LINE_GET_VALUES_IOCTL) return played_level(fd, argument);
  if (request != GPIO_V2_GET_LINE_IOCTL) return ENOTTY;
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) return EBUSY;
  ((struct gpio_v2_line_request *)argument)->fd = dup(fd);
  return 0;
}
#endif

static int linux_open(void *context, const char *path) {
  (void)context;
  int fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
  return fd < 0 ? -errno : fd;
}

static int linux_ioctl(void *context, int fd, unsigned long request, void *argument) {
  (void)context;
#ifdef IPCNET_FAILPOINTS
  if (is_played(fd)) return played(fd, request, argument);
#endif
  return ioctl(fd, request, argument) == 0 ? 0 : errno;
}

const struct ipcnet_gpio ipcnet_gpio_linux = {.open = linux_open, .ioctl = linux_ioctl};
