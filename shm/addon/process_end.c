#include "process_end.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PF_EXITING 0x4ul

struct stat_fields {
  char state;
  unsigned long flags;
  long threads;
};

/* 0 or a negative errno. The name in field 2 may hold anything, so one looks behind its last bracket. */
static int read_stat(const char *path, struct stat_fields *fields) {
  char text[1024];
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return -errno;
  ssize_t length = read(fd, text, sizeof text - 1);
  int error = errno;
  close(fd);
  if (length <= 0) return length < 0 ? -error : -ESRCH;
  text[length] = 0;
  const char *behind = strrchr(text, ')');
  /* state ppid pgrp session tty tpgid flags, then ten more up to num_threads */
  if (behind == NULL || sscanf(behind + 1, " %c %*d %*d %*d %*d %*d %lu %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %ld", &fields->state, &fields->flags, &fields->threads) != 3) return -EINVAL;
  return 0;
}

static int is_leaving(const struct stat_fields *fields) {
  return (fields->flags & PF_EXITING) != 0 || fields->state == 'Z' || fields->state == 'X';
}

int ipcnet_process_is_over(pid_t pid) {
  char path[64];
  struct stat_fields fields;
  snprintf(path, sizeof path, "/proc/%d/stat", (int)pid);
  int status = read_stat(path, &fields);
  if (status < 0) return status;
  if (!is_leaving(&fields)) return 0;
  /* How many there were before they are listed: a list that is as long is whole, whoever has gone meanwhile. */
  const long threads = fields.threads;
  snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
  DIR *folder = opendir(path);
  if (folder == NULL) return -errno;
  long listed = 0;
  int all = 1;
  for (struct dirent *entry = readdir(folder); entry != NULL && all; entry = readdir(folder)) {
    long thread = strtol(entry->d_name, NULL, 10);
    if (thread <= 0) continue;
    listed++;
    snprintf(path, sizeof path, "/proc/%d/task/%ld/stat", (int)pid, thread);
    status = read_stat(path, &fields);
    if (status == -ESRCH || status == -ENOENT) continue; /* gone since it was listed */
    all = status == 0 && is_leaving(&fields);
  }
  closedir(folder);
  return all && threads > 0 && listed == threads;
}

int ipcnet_process_marks_known(void) {
  struct stat_fields fields;
  return read_stat("/proc/thread-self/stat", &fields) == 0 && (fields.flags & PF_EXITING) == 0 && fields.state == 'R' && fields.threads > 0;
}
