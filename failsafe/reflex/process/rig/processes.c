#include "processes.h"

#include <fcntl.h>
#include <ftw.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bus.h"

#define END_US 60000000u

static bool go_to(const struct rig_place *place) {
  if (place->group > 0 && setpgid(0, place->group) != 0 && setpgid(0, 0) != 0) return false;
  if (place->group == RIG_NEW_GROUP && setpgid(0, 0) != 0) return false;
  return place->network < 0 || setns(place->network, CLONE_NEWNET) == 0;
}

pid_t rig_start(const char *program, int instance, const char *run, const char *state, const char *failpoint, const char *const *extra) {
  return rig_start_at(&(struct rig_place){.network = -1}, program, instance, run, state, failpoint, extra);
}

pid_t rig_start_at(const struct rig_place *place, const char *program, int instance, const char *run, const char *state, const char *failpoint, const char *const *extra) {
  char log[160], letter[2] = {(char)('a' + instance), 0};
  const char *arguments[32] = {program, "--instance", letter, "--run", run, "--state", state};
  int count = 7;
  for (; extra != NULL && *extra != NULL && count < 31; extra++) arguments[count++] = *extra;
  snprintf(log, sizeof log, "%s/reflex-%s.log", run, letter);
  pid_t parent = getpid(), pid = fork();
  if (pid != 0) return pid > 0 ? pid : 0;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent || !go_to(place)) _exit(126);
  int fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
  if (fd >= 0) dup2(fd, STDERR_FILENO);
  if (failpoint != NULL) setenv("IPCNET_FAILPOINT", failpoint, 1);
  else unsetenv("IPCNET_FAILPOINT");
  execv(program, (char *const *)(uintptr_t)arguments);
  _exit(127);
}

void rig_kill(pid_t pid) {
  if (pid <= 0) return;
  kill(pid, SIGKILL);
  waitpid(pid, NULL, 0);
}

void rig_tell_log(const char *run, int instance) {
  char path[140], text[4096];
  snprintf(path, sizeof path, "%s/reflex-%c.log", run, 'a' + instance);
  FILE *file = fopen(path, "r");
  if (file == NULL) return;
  (void)fseek(file, -(long)(sizeof text - 1), SEEK_END); /* all of a short one */
  text[fread(text, 1, sizeof text - 1, file)] = '\0';
  fputs(text, stderr);
  fclose(file);
}

int rig_wait_end(pid_t pid) {
  int status = 0;
  for (uint64_t until_us = rig_now_us() + END_US; rig_now_us() < until_us; usleep(2000)) {
    if (waitpid(pid, &status, WNOHANG) == pid) return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  rig_kill(pid);
  return -1;
}

bool rig_folders_make(struct rig_folders *self, const char *name) {
  snprintf(self->root, sizeof self->root, "/tmp/ipcnet-%s-XXXXXX", name);
  if (mkdtemp(self->root) == NULL) return false;
  snprintf(self->run, sizeof self->run, "%s/run", self->root);
  snprintf(self->state, sizeof self->state, "%s/state", self->root);
  snprintf(self->socket, sizeof self->socket, "%s/bus", self->root);
  return mkdir(self->run, 0700) == 0 && mkdir(self->state, 0700) == 0;
}

static int remove_one(const char *path, const struct stat *status, int kind, struct FTW *where) {
  (void)status, (void)kind, (void)where;
  return remove(path);
}

void rig_remove(const char *folder) {
  nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}
