/* Around the seal: at the process that holds the one writable mapping. What is open is shown by writing back what stands there, or by looking only. */
#include "scene.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef SYS_pidfd_open
#define SYS_pidfd_open 434
#endif
#ifndef SYS_pidfd_getfd
#define SYS_pidfd_getfd 438
#endif
#ifndef SYS_process_madvise
#define SYS_process_madvise 440
#endif

static int open_of(struct attacker *self, const char *what, int flags) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/%s", (int)self->writer, what);
  return open(path, flags | O_CLOEXEC);
}

static void memory_file(struct attacker *self) {
  uint8_t bytes[8];
  const int memory = open_of(self, "mem", O_RDWR);
  if (memory < 0) outcome(DENIED, "%s", errno_name(errno));
  if (pread(memory, bytes, sizeof bytes, (off_t)self->writer_memory) != sizeof bytes) outcome(DENIED, "%s", errno_name(errno));
  outcome_of(pwrite(memory, bytes, sizeof bytes, (off_t)self->writer_memory), DONE, "the lane can be written");
}

static void write_memory(struct attacker *self) {
  uint8_t bytes[8];
  struct iovec own = { .iov_base = bytes, .iov_len = sizeof bytes }, theirs = { .iov_base = (void *)(uintptr_t)self->writer_memory, .iov_len = sizeof bytes };
  if (process_vm_readv(self->writer, &own, 1, &theirs, 1, 0) < 0) outcome(DENIED, "%s", errno_name(errno));
  outcome_of(process_vm_writev(self->writer, &own, 1, &theirs, 1, 0), DONE, "the lane can be written");
}

static void read_memory(struct attacker *self) {
  uint8_t bytes[8];
  struct iovec own = { .iov_base = bytes, .iov_len = sizeof bytes }, theirs = { .iov_base = (void *)(uintptr_t)self->writer_memory, .iov_len = sizeof bytes };
  outcome_of(process_vm_readv(self->writer, &own, 1, &theirs, 1, 0), DONE, "the writer's memory can be read");
}

static void trace(struct attacker *self) {
  if (ptrace(PTRACE_SEIZE, self->writer, NULL, NULL) != 0) outcome(DENIED, "%s", errno_name(errno));
  outcome(DONE, "traced");
}

static void take_descriptor(struct attacker *self) {
  const long process = syscall(SYS_pidfd_open, self->writer, 0);
  if (process < 0) outcome(DENIED, "%s", errno_name(errno));
  outcome_of(syscall(SYS_pidfd_getfd, process, 3, 0), DONE, "its descriptors can be taken");
}

static void open_descriptor(struct attacker *self) {
  char name[16];
  int opened = -1;
  for (int fd = 3; fd < 32 && opened < 0; fd++) {
    snprintf(name, sizeof name, "fd/%d", fd);
    opened = open_of(self, name, O_RDONLY);
  }
  outcome_of(opened, DONE, "its descriptors can be opened");
}
static void list_descriptors(struct attacker *self) { outcome_of(open_of(self, "fd", O_RDONLY | O_DIRECTORY), DONE, "listed"); }
static void read_maps(struct attacker *self) {
  char line[64];
  const int maps = open_of(self, "maps", O_RDONLY);
  if (maps < 0) outcome(DENIED, "%s", errno_name(errno));
  outcome_of(read(maps, line, sizeof line) > 0 ? 0 : -1, DONE, "addresses are known");
}
static void open_mapped_files(struct attacker *self) { outcome_of(open_of(self, "map_files", O_RDONLY | O_DIRECTORY), DONE, "listed"); }

static void advise_memory(struct attacker *self) {
  struct iovec theirs = { .iov_base = (void *)(uintptr_t)self->writer_memory, .iov_len = 4096 };
  const long process = syscall(SYS_pidfd_open, self->writer, 0);
  if (process < 0) outcome(DENIED, "%s", errno_name(errno));
  outcome_of(syscall(SYS_process_madvise, process, &theirs, 1, 20 /* MADV_COLD */, 0), DONE, "advised");
}

/* Only asked whether it may. */
static void signal_it(struct attacker *self) { outcome_of(kill(self->writer, 0), DONE, "may be killed and stopped"); }

const struct attack process_attacks[] = {
  { "write /proc/PID/mem of the writer", memory_file, PROTECTION, 0 },
  { "process_vm_writev on the writer", write_memory, PROTECTION, 0 },
  { "process_vm_readv on the writer", read_memory, PROTECTION, 0 },
  { "ptrace the writer", trace, PROTECTION, 0 },
  { "pidfd_getfd from the writer", take_descriptor, PROTECTION, 0 },
  { "open /proc/PID/fd/N of the writer", open_descriptor, PROTECTION, 0 },
  { "list /proc/PID/fd of the writer", list_descriptors, PROTECTION, 0 },
  { "read /proc/PID/maps of the writer", read_maps, PROTECTION, 0 },
  { "list /proc/PID/map_files of the writer", open_mapped_files, PROTECTION, 0 },
  { "process_madvise on the writer", advise_memory, PROTECTION, 0 },
  { "signal the writer", signal_it, OWN_USER, 0 },
};
const size_t process_attack_count = sizeof process_attacks / sizeof *process_attacks;
