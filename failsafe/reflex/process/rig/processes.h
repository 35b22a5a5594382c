/* processes: starts reflexes and other programs, and sees to it that none outlives us. */
#ifndef IPCNET_RIG_PROCESSES_H
#define IPCNET_RIG_PROCESSES_H

#include <stdbool.h>
#include <sys/types.h>

/* Where a process is started: in a process group (0: ours), and in a network namespace (a descriptor; -1: ours). */
struct rig_place { pid_t group; int network; };
#define RIG_NEW_GROUP (-1) /* its leader; also if the group has ended */

/* Starts `program --instance … --run RUN --state STATE [extra …]` with `failpoint` in its environment (NULL none); what it says goes to RUN/reflex-X.log. 0: it could not be started. */
pid_t rig_start(const char *program, int instance, const char *run, const char *state, const char *failpoint, const char *const *extra);
pid_t rig_start_at(const struct rig_place *place, const char *program, int instance, const char *run, const char *state, const char *failpoint, const char *const *extra);
/* SIGKILL, and waits for its end. */
void rig_kill(pid_t pid);
/* The end of what it has said, to stderr. */
void rig_tell_log(const char *run, int instance);
/* Waits for its end by itself: the exit code, or 128 + signal; -1 after a generous time (then it is killed). */
int rig_wait_end(pid_t pid);
/* Where a rig's processes live: a temporary folder with run/ and state/ in it, and the bus's socket beside them. */
struct rig_folders { char root[64], run[96], state[96], socket[96]; };
/* False: it could not be made. `name` is for whoever finds it afterwards. */
bool rig_folders_make(struct rig_folders *self, const char *name);
/* A folder with all that is in it. */
void rig_remove(const char *folder);

#endif
