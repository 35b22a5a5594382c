/* ipcnet-reflex: arguments. Everything else: process.h. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "process.h"

static const char USAGE[] =
  "ipcnet-reflex --instance a|b --run DIR --state DIR [--purge PATH] [--alone] [--watchdog DEVICE] [--cpu N] [--peer-uid N]… [--with-parent] [--no-realtime]\n"
  "\n"
  "Owns the CAN buses of its table, with a twin that takes over within a millisecond. docs/specs/reflex.md.\n"
  "  --run DIR       sockets and the lock; both twins the same\n"
  "  --state DIR     epochs, journal, the last good table; both twins the same, on a disk\n"
  "  --purge PATH    socket of ipcnet-purge, which empties a dead bus for a process that may not; default purge.sock in the first DIR\n"
  "  --alone         no twin is expected\n"
  "  --watchdog DEV  the hardware watchdog, fed only while healthy or safely posed\n"
  "  --cpu N         stay on this processor\n"
  "  --peer-uid N    this user may connect too, beside our own and root\n"
  "  --with-parent   stop, by way of the safe pose, when the process that started this one ends\n"
  "  --no-realtime   do not ask for SCHED_FIFO and locked memory\n";

static bool number(const char *text, unsigned long max, unsigned long *to) {
  char *end = NULL;
  errno = 0;
  *to = strtoul(text, &end, 10);
  return errno == 0 && end != text && *end == '\0' && *to <= max && text[0] != '-';
}

/* True: understood. */
static bool option(struct ipcnet_process_options *options, const char *name, const char *value, bool *used_value) {
  unsigned long found;
  *used_value = false;
  if (strcmp(name, "--alone") == 0) return options->alone = true;
  if (strcmp(name, "--with-parent") == 0) return prctl(PR_SET_PDEATHSIG, SIGTERM) == 0;
  if (strcmp(name, "--no-realtime") == 0) return !(options->realtime = false);
  *used_value = true;
  if (value == NULL) return false;
  if (strcmp(name, "--instance") == 0 && (strcmp(value, "a") == 0 || strcmp(value, "b") == 0)) options->instance = (uint8_t)(value[0] - 'a');
  else if (strcmp(name, "--run") == 0) options->run = value;
  else if (strcmp(name, "--state") == 0) options->state = value;
  else if (strcmp(name, "--purge") == 0) options->purge = value;
  else if (strcmp(name, "--watchdog") == 0) options->watchdog = value;
  else if (strcmp(name, "--cpu") == 0 && number(value, 1023, &found)) options->cpu = (int)found;
  else if (strcmp(name, "--peer-uid") == 0 && number(value, 0xFFFFFFFEu, &found) && options->peer_uid_count < IPCNET_PEER_UIDS_MAX) options->peer_uids[options->peer_uid_count++] = (uid_t)found;
  else return false;
  return true;
}

int main(int argc, char **argv) {
  struct ipcnet_process_options options = {.instance = 255, .realtime = true, .cpu = -1};
  for (int at = 1; at < argc; at++) {
    bool used_value;
    if (!option(&options, argv[at], at + 1 < argc ? argv[at + 1] : NULL, &used_value)) {
      fprintf(stderr, "%s: not understood\n%s", argv[at], USAGE);
      return 2;
    }
    at += used_value;
  }
  if (options.instance > 1 || options.run == NULL || options.state == NULL || strlen(options.run) > 80 || strlen(options.state) > 200) {
    fputs(USAGE, stderr);
    return 2;
  }
  char purge[128]; /* lives as long as the process */
  snprintf(purge, sizeof purge, "%s/purge.sock", options.run);
  if (options.purge == NULL) options.purge = purge;
  if (strlen(options.purge) > IPCNET_SEQPACKET_PATH_MAX) {
    fprintf(stderr, "%s: a socket's path has %u bytes at most\n", options.purge, (unsigned)IPCNET_SEQPACKET_PATH_MAX);
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  signal(SIGXFSZ, SIG_IGN); /* a limit on files is an error of write, not the end */

  /* All memory there will be. */
  struct ipcnet_process *process = mmap(NULL, sizeof *process, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (process == MAP_FAILED) return 1;
  process->options = options;
  process->core = aligned_alloc(64, (ipcnet_reflex_size() + 63) & ~(size_t)63);
  process->borrowed = calloc(1, sizeof *process->borrowed);
  if (process->core == NULL || process->borrowed == NULL) return 1;
  int code = ipcnet_process_run(process);
  free(process->core);
  free(process->borrowed);
  return code;
}
