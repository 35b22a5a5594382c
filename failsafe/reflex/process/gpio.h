/*
 * gpio: the two system calls that powerfail needs of GPIO chips, as a struct of functions, so that a test can play the chip. Errors are errnos, never -1.
 *
 * A build with failpoints takes a FIFO for a chip, too (whole-process tests have no GPIO): what is written into it are the line's events, its level stands in the file FIFO.level ("1" or "0"), and who
 * has opened it first has the line.
 */
#ifndef IPCNET_REFLEX_GPIO_H
#define IPCNET_REFLEX_GPIO_H

struct ipcnet_gpio {
  void *context;
  /* A descriptor, or a negative errno. */
  int (*open)(void *context, const char *path);
  /* 0, or a positive errno. */
  int (*ioctl)(void *context, int fd, unsigned long request, void *argument);
};

extern const struct ipcnet_gpio ipcnet_gpio_linux;

#endif
