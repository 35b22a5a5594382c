#include "hosts.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "processes.h"

#define SHARED_MAX 64u

/* ---- Opening ---------------------------------------------------------------------------------------------------------------------------------- */

/* A network of its own: whoever is in it reaches nobody but by paths, and the bus is one. -1: we may not make one. */
static int own_network(void) {
  int ours = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (ours < 0 || unshare(CLONE_NEWNET) != 0) {
    if (ours >= 0) close(ours);
    return -1;
  }
  int made = open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC);
  if (setns(ours, CLONE_NEWNET) != 0) abort(); /* we made it ourselves: nobody can refuse the way back */
  close(ours);
  return made;
}

static bool open_host(struct rig_hosts *self, int of) {
  struct rig_host *host = &self->hosts[of];
  struct rig_shared shared = self->options.table;
  size_t length = 0;
  shared.host = (uint8_t)of;
  uint8_t *table = rig_shared_table(self->socket, 1, &shared, &length);
  host->network = own_network();
  snprintf(host->run, sizeof host->run, "%s/run%d", self->root, of);
  snprintf(host->state, sizeof host->state, "%s/state%d", self->root, of);
  bool good = mkdir(host->run, 0700) == 0 && mkdir(host->state, 0700) == 0 && rig_brain_open(&host->brain, host->run, table, length);
  free(table);
  return good;
}

bool rig_hosts_open(struct rig_hosts *self, const struct rig_hosts_options *options) {
  memset(self, 0, sizeof *self);
  self->options = *options;
  pthread_mutex_init(&self->lock, NULL);
  snprintf(self->root, sizeof self->root, "/tmp/ipcnet-hosts-XXXXXX");
  if (mkdtemp(self->root) == NULL) return false;
  snprintf(self->socket, sizeof self->socket, "%s/bus", self->root);
  if (!rig_bus_start(&self->bus, self->socket, options->bus_priority, NULL)) return false;
  rig_bus_says_quiet_after(&self->bus, options->quiet_us);
  if (options->table.joints != RIG_ONE_JOINT) rig_bus_second_joint(&self->bus);
  return open_host(self, 0) && open_host(self, 1);
}

void rig_hosts_close(struct rig_hosts *self) {
  for (int of = 0; of < 2; of++) {
    rig_hosts_end(self, of);
    rig_brain_close(&self->hosts[of].brain);
    if (self->hosts[of].network >= 0) close(self->hosts[of].network);
  }
  rig_bus_stop(&self->bus);
  rig_remove(self->root);
}

/* ---- Processes -------------------------------------------------------------------------------------------------------------------------------- */

bool rig_hosts_start_one(struct rig_hosts *self, int of, int instance) {
  struct rig_host *host = &self->hosts[of];
  bool alone = host->processes[1 - instance] == 0;
  struct rig_place place = {.group = alone ? RIG_NEW_GROUP : host->group, .network = host->network};
  pid_t pid = rig_start_at(&place, self->options.program, instance, host->run, host->state, NULL, self->options.extra);
  if (pid == 0) return false;
  if (alone) host->group = pid;
  (void)setpgid(pid, host->group); /* it does so itself; but its twin must find the group */
  host->processes[instance] = pid;
  return true;
}

bool rig_hosts_start(struct rig_hosts *self, int of) {
  return rig_hosts_start_one(self, of, 0) && rig_hosts_start_one(self, of, 1);
}

bool rig_hosts_attach_one(struct rig_hosts *self, int of, int instance) {
  for (uint64_t until_us = rig_now_us() + RIG_PATIENCE_US; rig_now_us() < until_us; usleep(2000)) {
    pthread_mutex_lock(&self->lock);
    bool there = rig_brain_attach(&self->hosts[of].brain, instance);
    pthread_mutex_unlock(&self->lock);
    if (there) return true;
  }
  return false;
}

bool rig_hosts_attach(struct rig_hosts *self, int of) {
  return rig_hosts_attach_one(self, of, 0) && rig_hosts_attach_one(self, of, 1);
}

bool rig_hosts_signal(struct rig_hosts *self, int of, int number) {
  return kill(-self->hosts[of].group, number) == 0;
}

void rig_hosts_end_one(struct rig_hosts *self, int of, int instance) {
  struct rig_host *host = &self->hosts[of];
  pthread_mutex_lock(&self->lock);
  rig_brain_detach(&host->brain, instance);
  pthread_mutex_unlock(&self->lock);
  rig_kill(host->processes[instance]);
  host->processes[instance] = 0;
}

void rig_hosts_end(struct rig_hosts *self, int of) {
  struct rig_host *host = &self->hosts[of];
  if (host->group > 0) (void)kill(-host->group, SIGKILL);
  for (int instance = 0; instance < 2; instance++) rig_hosts_end_one(self, of, instance);
  /* What its processes had started, where we are told of their ends (PR_SET_CHILD_SUBREAPER). */
  while (host->group > 0 && waitpid(-host->group, NULL, 0) > 0) { }
  host->group = 0;
}

void rig_hosts_cut(struct rig_hosts *self, int of) {
  rig_bus_break(&self->bus, of >= 0 ? self->hosts[of].group : 0, 0);
}

/* ---- Brains ----------------------------------------------------------------------------------------------------------------------------------- */

void rig_hosts_turn(struct rig_hosts *self, int16_t target) {
  pthread_mutex_lock(&self->lock);
  for (int of = 0; of < 2; of++) {
    rig_brain_turn(&self->hosts[of].brain, target);
    if (self->options.table.joints != RIG_ONE_JOINT) rig_brain_command(&self->hosts[of].brain, RIG_SECOND_COMMAND, target);
  }
  pthread_mutex_unlock(&self->lock);
}

bool rig_hosts_status(struct rig_hosts *self, int of, int instance, struct ipcnet_reflex_status *to) {
  struct rig_brain *brain = &self->hosts[of].brain;
  pthread_mutex_lock(&self->lock);
  bool good = brain->links[instance].fd >= 0 && rig_brain_status(brain, instance, to);
  pthread_mutex_unlock(&self->lock);
  return good;
}

int rig_hosts_order(struct rig_hosts *self, int of, int instance, uint8_t order) {
  pthread_mutex_lock(&self->lock);
  int answer = rig_brain_order(&self->hosts[of].brain, instance, order, 0, 0);
  pthread_mutex_unlock(&self->lock);
  return answer;
}

int rig_hosts_switch(struct rig_hosts *self, int of, int instance) {
  pthread_mutex_lock(&self->lock);
  int answer = rig_brain_switch_host(&self->hosts[of].brain, instance);
  pthread_mutex_unlock(&self->lock);
  return answer;
}

int rig_hosts_owner(struct rig_hosts *self, int of, struct ipcnet_reflex_status *to) {
  int owner = -1;
  for (int instance = 0; instance < 2; instance++) {
    struct ipcnet_reflex_status status;
    if (!rig_hosts_status(self, of, instance, &status)) continue;
    if (status.malfunction != IPCNET_MALFUNCTION_NONE) return RIG_HOSTS_WRONG;
    if (status.role != IPCNET_TWIN_OWNER) continue;
    if (owner >= 0) return RIG_HOSTS_WRONG;
    owner = instance;
    *to = status;
  }
  return owner;
}

/* ---- What they have in common ----------------------------------------------------------------------------------------------------------------- */

struct shared { unsigned long device[SHARED_MAX], inode[SHARED_MAX]; unsigned count; };

/* Memory that is mapped to be shared, by what it is a part of. */
static bool read_shared(pid_t pid, struct shared *to) {
  char path[40], line[512];
  snprintf(path, sizeof path, "/proc/%d/maps", pid);
  FILE *file = fopen(path, "r");
  if (file == NULL) return false;
  while (fgets(line, sizeof line, file) != NULL) {
    char mode[5];
    unsigned major, minor;
    unsigned long inode;
    if (sscanf(line, "%*s %4s %*x %x:%x %lu", mode, &major, &minor, &inode) != 4 || mode[3] != 's' || to->count == SHARED_MAX) continue;
    to->device[to->count] = (unsigned long)major << 32 | minor;
    to->inode[to->count++] = inode;
  }
  fclose(file);
  return true;
}

int rig_hosts_share(struct rig_hosts *self, bool with_itself) {
  struct shared one = {.count = 0}, other = {.count = 0};
  const pid_t *first = self->hosts[0].processes, *second = self->hosts[1].processes;
  bool good = with_itself ? read_shared(first[0], &one) && read_shared(first[1], &other)
                          : read_shared(first[0], &one) && read_shared(first[1], &one) && read_shared(second[0], &other) && read_shared(second[1], &other);
  int common = 0;
  for (unsigned i = 0; i < one.count; i++) {
    for (unsigned j = 0; j < other.count; j++) common += one.device[i] == other.device[j] && one.inode[i] == other.inode[j];
  }
  return good ? common : -1;
}

/* ---- Telling ---------------------------------------------------------------------------------------------------------------------------------- */

void rig_hosts_tell(struct rig_hosts *self) {
  for (uint32_t joint = 0; joint < self->bus.joint_count; joint++) {
    struct rig_seen seen = rig_bus_seen_of(&self->bus, joint);
    fprintf(stderr, "joint %u follows %u of %u; commands accepted of each owner: %llu %llu %llu %llu; stale %llu\n", joint, seen.epoch, seen.owner, (unsigned long long)seen.accepted_of[0], (unsigned long long)seen.accepted_of[1],
      (unsigned long long)seen.accepted_of[2], (unsigned long long)seen.accepted_of[3], (unsigned long long)seen.stale_accepted);
  }
  for (int of = 0; of < 2; of++) {
    if (self->hosts[of].group > 0) (void)rig_hosts_signal(self, of, SIGCONT);
    for (int instance = 0; instance < 2; instance++) {
      struct ipcnet_reflex_status status;
      fprintf(stderr, "host %d, %c:\n", of, 'a' + instance);
      rig_tell_log(self->hosts[of].run, instance);
      if (!rig_hosts_status(self, of, instance, &status)) continue;
      fprintf(stderr, "role %u, arming %u, epoch %u, malfunction %u, phase %u; missing", status.role, status.arming, status.epoch, status.malfunction, status.bus_phases[0]);
      for (unsigned at = 0; at < status.missing_count && at < 8; at++) fprintf(stderr, " %u of %u", status.missing[at].reason, status.missing[at].subject);
      fputc('\n', stderr);
    }
  }
}
