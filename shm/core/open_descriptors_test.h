/* For tests: how many descriptors this process has open, or -1. */
#ifndef IPCNET_OPEN_DESCRIPTORS_TEST_H
#define IPCNET_OPEN_DESCRIPTORS_TEST_H

#include <dirent.h>
#include <stddef.h>

static inline int open_descriptors(void) {
  int count = 0;
  DIR *directory = opendir("/proc/self/fd");
  if (directory == NULL) return -1;
  while (readdir(directory) != NULL) count++;
  closedir(directory);
  return count;
}

#endif
