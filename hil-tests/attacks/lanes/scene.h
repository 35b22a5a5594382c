/*
 * scene: a writer, innocent readers and an attacker, each a process of its own under a user of its own, and what came of it.
 *
 * The stage (the process that calls scene_run) is what the gateway is in life: it hands descriptors on and sees no payload. The innocent readers are lossless and check
 * every message, so whatever an attack does to anybody shows: a process that died, a message lost, doubled or changed, a writer that could not go on.
 */
#ifndef IPCNET_ATTACKS_SCENE_H
#define IPCNET_ATTACKS_SCENE_H

#include "lane.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Which user the attacker is, seen from the writer. */
enum relation { SAME_USER, SAME_USER_PROTECTED, OTHER_USER, ROOT, RELATIONS };
extern const char *const relation_names[RELATIONS];

/* DENIED: it was refused. HARMLESS: it was not, and hurts nobody. DONE: the attacker has what it wanted. */
enum verdict { DENIED, HARMLESS, DONE };
extern const char *const verdict_names[3];

/* What an attacker is given: more than a reader gets, because addresses and process ids can be guessed. */
struct attacker {
  int stage;
  int lane_fd;
  pid_t writer;
  uint64_t writer_memory;
  uint64_t lane_bytes;
  uint8_t lane_id[IPCNET_LANE_ID_BYTES];
};

/* Who keeps the attack from succeeding: the kernel, whoever it is; or only a user of one's own, or that or PR_SET_DUMPABLE=0. Against root, the kernel alone. */
enum defence { THE_KERNEL, PROTECTION, OWN_USER };

typedef void attack_run(struct attacker *self);

struct attack {
  const char *name;
  attack_run *run;
  enum defence defended_by;
  /* The reader that the attacker is allowed to harm, because it is its own: demoted. How often the writer has to have done so; -1: it does not matter. */
  int demoted;
};

/* Never returns: the attacker's last word. */
_Noreturn void outcome(enum verdict verdict, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* DENIED with the name of errno if `result` is negative; else what `allowed` says. */
_Noreturn void outcome_of(long result, enum verdict allowed, const char *text);
const char *errno_name(int error);

/* For attackers. Asks the stage to hand page and bell to the writer (both stay the attacker's to close): the number of the reader, or a negative errno. */
int attacker_join(struct attacker *self, int page_fd, int bell_fd, enum ipcnet_lane_policy policy, uint64_t deadline_ns);
/* Has the writer publish so many messages while the attacker goes on. */
void attacker_ask_for(struct attacker *self, uint32_t messages);
/* Whether what was asked for is done; waits up to `timeout_ms` for it. */
int attacker_is_done(struct attacker *self, int timeout_ms);

/* Runs it and prints one line of JSON. */
void scene_run(const struct attack *attack, enum relation relation);
/* Whether this process can play that relation: other users take root. */
int relation_is_possible(enum relation relation);

/* One message over a SEQPACKET socket, with up to 2 descriptors. Wait; end the process when the other end is gone. */
void say(int socket, const void *bytes, size_t length, const int *fds, int fd_count);
/* Like say; `fds` has room for 2. Returns the length, 0 at the end, -1 after timeout_ms (negative: for ever). */
ssize_t hear(int socket, void *bytes, size_t length, int *fds, int *fd_count, int timeout_ms);

/* Where this process has the memory of that name mapped, writable; 0: nowhere. */
uint64_t mapping_of(const char *name);
void become(uid_t user);
uid_t attacker_user(enum relation relation);
#define WRITER_USER 65401
#define READER_USER 65402
#define ATTACKER_USER 65403

/* The last number of a message is its first eight bytes; the rest follows from it. */
void fill_message(uint8_t *bytes, size_t length, uint64_t number);
int message_is_whole(const uint8_t *bytes, size_t length);
size_t message_bytes(uint64_t number);
#define MESSAGE_BYTES_MAX 6000

extern const struct attack memory_attacks[], process_attacks[], reader_attacks[];
extern const size_t memory_attack_count, process_attack_count, reader_attack_count;
/* Hostile writers against a reader of their own: writer_attacks.c. */
void run_writer_attacks(const char *only);
void run_packet_attacks(const char *socket_path);

#endif
