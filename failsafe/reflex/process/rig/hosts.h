/*
 * hosts: two hosts on one bus. Each is a process group of its own, with two reflexes, a run and a state folder, a table and a brain; where we may make one, also with a network of its own. They share the
 * bus and nothing else: `rig_hosts_share` proves it. One thread gives orders; another one may call `rig_hosts_turn`.
 */
#ifndef IPCNET_RIG_HOSTS_H
#define IPCNET_RIG_HOSTS_H

#include <pthread.h>

#include "brain.h"
#include "bus.h"
#include "table.h"

#define RIG_PATIENCE_US 60000000u

struct rig_host { char run[96], state[96]; struct rig_brain brain; pid_t group, processes[2]; int network; };

struct rig_hosts_options {
  const char *program;
  const char *const *extra;  /* arguments of the program; NULL ends them */
  struct rig_shared table;
  uint32_t quiet_us;         /* the joints say after so long that they do not hear their owner */
  int bus_priority;
};

struct rig_hosts {
  struct rig_hosts_options options;
  char root[64], socket[96];
  struct rig_bus bus;
  struct rig_host hosts[2];
  pthread_mutex_t lock; /* of the brains */
};

/* The bus is there, and folders and brains of both; no process yet. False: something the machine refused. */
bool rig_hosts_open(struct rig_hosts *self, const struct rig_hosts_options *options);
/* Ends both. */
void rig_hosts_close(struct rig_hosts *self);

/* Starts a twin, in the group and the network of its host. */
bool rig_hosts_start_one(struct rig_hosts *self, int of, int instance);
bool rig_hosts_start(struct rig_hosts *self, int of);
/* Its brain has both twins. False: not within the patience. */
bool rig_hosts_attach_one(struct rig_hosts *self, int of, int instance);
bool rig_hosts_attach(struct rig_hosts *self, int of);
/* To all processes of a host at once. */
bool rig_hosts_signal(struct rig_hosts *self, int of, int number);
/* SIGKILL, and nothing of it is left. */
void rig_hosts_end_one(struct rig_hosts *self, int of, int instance);
void rig_hosts_end(struct rig_hosts *self, int of);
/* Its cable is cut; -1: every cable is whole. */
void rig_hosts_cut(struct rig_hosts *self, int of);

/* Beats and set-points of both brains. */
void rig_hosts_turn(struct rig_hosts *self, int16_t target);
/* False: a dead or stopped one is not asked, or it is gone. */
bool rig_hosts_status(struct rig_hosts *self, int of, int instance, struct ipcnet_reflex_status *to);
int rig_hosts_order(struct rig_hosts *self, int of, int instance, uint8_t order);
/* To the other host; enum ipcnet_reflex_answer. */
int rig_hosts_switch(struct rig_hosts *self, int of, int instance);
/* Which of its processes owns the bus; -1 none. RIG_HOSTS_WRONG: two do, or one stopped with a malfunction. */
#define RIG_HOSTS_WRONG (-2)
int rig_hosts_owner(struct rig_hosts *self, int of, struct ipcnet_reflex_status *to);
/* How many pieces of shared memory processes of both have in common; -1: it cannot be known. `with_itself`: the same between the twins of host 0. */
int rig_hosts_share(struct rig_hosts *self, bool with_itself);
/* All that is known, to stderr. */
void rig_hosts_tell(struct rig_hosts *self);

#endif
