#include "store.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "realtime.h"
#include "table_store.h"

#define DESCRIPTORS_MAX 256 /* more than are open when the writer is started */
#define STOP_TURNS 1000u    /* milliseconds */
#define OWN_LOCK_TURNS 2000u    /* milliseconds: whoever wrote here before may still wait for the disk */
#define OTHERS_LOCK_TURNS 100u  /* the other, if it lives, holds it for ever: then its page says more than its files */
#define EPOCH_STRIDE 4096u
#define JOURNAL_STRIDE 8192u
#define IMAGE_NEW 4u

struct epoch_record { /* docs/specs/reflex.md */
  uint32_t crc32c;
  uint16_t epoch, zero;
  uint64_t sequence;
};
_Static_assert(sizeof(struct epoch_record) == 16 && sizeof(struct ipcnet_reflex_image) <= JOURNAL_STRIDE && offsetof(struct ipcnet_reflex_image, crc32c) == 0, "docs/specs/reflex.md says so");

/* ---- At start --------------------------------------------------------------------------------------------------------------------------- */

static bool epoch_is_newer(const void *a, const void *b) {
  return ((const struct epoch_record *)a)->sequence > ((const struct epoch_record *)b)->sequence;
}

static bool image_is_newer(const void *a, const void *b) {
  const struct ipcnet_reflex_image *one = a, *other = b;
  return one->epoch != other->epoch ? ipcnet_epoch_newer(one->epoch, other->epoch) : one->sequence > other->sequence;
}

static const char *in(char to[IPCNET_STORE_PATH_MAX + 16], const char *folder, const char *name) {
  snprintf(to, IPCNET_STORE_PATH_MAX + 16, "%s/%s", folder, name);
  return to;
}

/* Of a folder's epoch file, held by its process and its writer as long as one of them lives: so that nothing is written there by two, and the last of a dead one is waited for. False: not had in time. */
static bool lock_files(int fd, int how, unsigned turns) {
  while (flock(fd, how | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) return true; /* no such locks on this disk */
    if (turns-- == 0) return false;
    usleep(1000);
  }
  return true;
}

enum ipcnet_store_opened ipcnet_store_open(struct ipcnet_store *self, const char *state, uint8_t instance, struct ipcnet_log *log, uint16_t *newest) {
  char path[IPCNET_STORE_PATH_MAX + 16];
  struct epoch_record own = {0};
  memset(self, 0, sizeof *self);
  *newest = 0;
  self->log = log;
  self->news_fd = self->work_fd = self->epoch.fd = self->journal.fd = -1;
  self->image_written = 1;
  atomic_store(&self->image_on_its_way, 2);
  snprintf(self->folder, sizeof self->folder, "%s/%c", state, instance == 0 ? 'a' : 'b');
  snprintf(self->others_folder, sizeof self->others_folder, "%s/%c", state, instance == 0 ? 'b' : 'a');
  if (mkdir(self->folder, 0700) != 0 && errno != EEXIST) {
    ipcnet_log_write(log, "%s cannot be made: %s; it will not own a bus", self->folder, strerror(errno));
    return IPCNET_STORE_UNUSABLE;
  }
  int result = ipcnet_slots_open(&self->epoch, in(path, self->folder, "epoch"), sizeof own, EPOCH_STRIDE);
  if (result < 0) {
    ipcnet_log_write(log, "%s cannot be kept: %s; it will not own a bus", path, strerror(-result));
    return IPCNET_STORE_UNUSABLE;
  }
  if (!lock_files(self->epoch.fd, LOCK_EX, OWN_LOCK_TURNS)) {
    ipcnet_log_write(log, "%s is still written by another process; it will not own a bus", path);
    return IPCNET_STORE_UNUSABLE;
  }
  unsigned found = ipcnet_slots_read(&self->epoch, &own, epoch_is_newer);
  uint16_t known[2] = {own.epoch, ipcnet_store_others_epoch(self)};
  *newest = ipcnet_epoch_newer(known[1], known[0]) ? known[1] : known[0];
  if (found == IPCNET_SLOTS_CORRUPT) {
    ipcnet_log_write(log, "%s holds no whole record: which epochs were used is not known, it will not own a bus. Remove the file when all nodes were off.", path);
    return IPCNET_STORE_UNUSABLE;
  }
  self->epoch_sequence = own.sequence;
  atomic_store(&self->reserved_epoch, own.epoch);
  result = ipcnet_slots_open(&self->journal, in(path, self->folder, "journal"), sizeof(struct ipcnet_reflex_image), JOURNAL_STRIDE);
  if (result < 0) {
    ipcnet_log_write(log, "%s cannot be kept: %s; it will not own a bus", path, strerror(-result));
    return IPCNET_STORE_UNUSABLE;
  }
  ipcnet_sync_folder(self->folder);
  ipcnet_sync_folder(state);
  return IPCNET_STORE_OPEN;
}

bool ipcnet_store_read_journal(struct ipcnet_store *self, struct ipcnet_reflex_image *to) {
  char path[IPCNET_STORE_PATH_MAX + 16];
  struct ipcnet_reflex_image others;
  bool own = self->journal.fd >= 0 && (ipcnet_slots_read(&self->journal, to, image_is_newer) & IPCNET_SLOTS_VALID);
  int epoch_fd = open(in(path, self->others_folder, "epoch"), O_RDONLY | O_CLOEXEC);
  if (epoch_fd >= 0) {
    (void)lock_files(epoch_fd, LOCK_SH, OTHERS_LOCK_TURNS);
    close(epoch_fd);
  }
  if (!(ipcnet_slots_peek(in(path, self->others_folder, "journal"), &others, sizeof others, JOURNAL_STRIDE, image_is_newer) & IPCNET_SLOTS_VALID)) return own;
  if (!own || image_is_newer(&others, to)) *to = others;
  return true;
}

uint16_t ipcnet_store_others_epoch(const struct ipcnet_store *self) {
  char path[IPCNET_STORE_PATH_MAX + 16];
  struct epoch_record record = {0};
  return ipcnet_slots_peek(in(path, self->others_folder, "epoch"), &record, sizeof record, EPOCH_STRIDE, epoch_is_newer) & IPCNET_SLOTS_VALID ? record.epoch : 0;
}

/* ---- The writer ------------------------------------------------------------------------------------------------------------------------- */

static void keep_epoch(struct ipcnet_store *self) {
  uint16_t wanted = (uint16_t)atomic_exchange(&self->wanted_epoch, 0), reserved = (uint16_t)atomic_load(&self->reserved_epoch);
  if (wanted == 0 || !ipcnet_epoch_newer(wanted, reserved)) return;
  struct epoch_record record = {.epoch = wanted, .sequence = self->epoch_sequence + 1};
  if (ipcnet_slots_write(&self->epoch, &record) == 0) {
    self->epoch_sequence += 1;
    atomic_store(&self->failed_epoch, 0);
    atomic_store(&self->reserved_epoch, wanted);
  } else {
    atomic_fetch_add(&self->failures, 1);
    atomic_store(&self->failed_epoch, wanted);
  }
}

static void keep_image(struct ipcnet_store *self) {
  if (!(atomic_load(&self->image_on_its_way) & IMAGE_NEW)) return;
  self->image_written = atomic_exchange(&self->image_on_its_way, self->image_written) & 3u; /* SYNC: pairs with the exchange in ipcnet_store_keep_image */
  if (ipcnet_slots_write(&self->journal, &self->images[self->image_written]) == 0) atomic_fetch_add(&self->journal_writes, 1);
  else atomic_fetch_add(&self->failures, 1);
}

static void keep_table(struct ipcnet_store *self) {
  uint32_t length = atomic_load(&self->table_bytes);
  if (length == 0) return;
  if (ipcnet_table_store_write(self->folder, self->table, length) != 0) atomic_fetch_add(&self->failures, 1);
  atomic_store(&self->table_bytes, 0);
}

/* Until nobody is left who gives it work. What was given before is written then as well: when both twins die, the disk alone knows how far the pose was. */
static void write_what_waits(struct ipcnet_store *self, int orphaned_fd) {
  const uint64_t one = 1;
  uint64_t count;
  for (bool orphaned = false; !orphaned;) {
    struct pollfd wanted[2] = {{.fd = self->work_fd, .events = POLLIN}, {.fd = orphaned_fd, .events = POLLIN}};
    ipcnet_log_flush(self->log);
    if (poll(wanted, 2, -1) < 0 && errno != EINTR) return;
    orphaned = wanted[1].revents != 0;
    if (!orphaned && (wanted[0].revents == 0 || read(self->work_fd, &count, sizeof count) < 0)) continue;
    keep_epoch(self); /* first: a takeover may wait for it */
    keep_image(self);
    keep_table(self);
    (void)!write(self->news_fd, &one, sizeof one);
  }
}

/* Neither a socket nor a lock of ours stays open here. */
static void close_others(const struct ipcnet_store *self, int orphaned_fd) {
  const int kept[] = {self->epoch.fd, self->journal.fd, self->work_fd, self->news_fd, orphaned_fd};
  for (int fd = 3; fd < DESCRIPTORS_MAX; fd++) {
    bool ours = false;
    for (size_t i = 0; i < sizeof kept / sizeof kept[0]; i++) ours = ours || kept[i] == fd;
    if (!ours) close(fd);
  }
}

int ipcnet_store_start(struct ipcnet_store *self) {
  self->news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  self->work_fd = eventfd(0, EFD_CLOEXEC);
  self->table = mmap(NULL, IPCNET_REFLEX_TABLE_BYTES_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (self->news_fd < 0 || self->work_fd < 0 || self->table == MAP_FAILED) return -errno;
  pid_t parent = getpid(), pid = fork();
  if (pid < 0) return -errno;
  if (pid > 0) {
    self->writer = pid;
    self->writer_pidfd = (int)syscall(SYS_pidfd_open, pid, 0);
    return 0;
  }
  sigset_t orphaned;
  sigemptyset(&orphaned);
  sigaddset(&orphaned, SIGUSR1);
  sigprocmask(SIG_BLOCK, &orphaned, NULL);
  int orphaned_fd = signalfd(-1, &orphaned, SFD_CLOEXEC);
  prctl(PR_SET_PDEATHSIG, SIGUSR1);
  prctl(PR_SET_NAME, "reflex-store");
  if (orphaned_fd < 0 || getppid() != parent) _exit(1);
  ipcnet_realtime_lower();
  close_others(self, orphaned_fd);
  write_what_waits(self, orphaned_fd);
  _exit(0);
}

void ipcnet_store_stop(struct ipcnet_store *self) {
  if (self->writer == 0) return;
  for (unsigned turn = 0; turn < STOP_TURNS; turn++) {
    bool logged = atomic_load(&self->log->tail) == atomic_load(&self->log->head), kept = (atomic_load(&self->image_on_its_way) & IMAGE_NEW) == 0;
    if (logged && kept) break;
    ipcnet_store_wake(self);
    usleep(1000);
  }
  kill(self->writer, SIGKILL);
  waitpid(self->writer, NULL, 0);
  self->writer = 0;
}

/* ---- The main thread's side --------------------------------------------------------------------------------------------------------------- */

void ipcnet_store_wake(struct ipcnet_store *self) {
  const uint64_t one = 1;
  (void)!write(self->work_fd, &one, sizeof one); /* can only fail when it is already readable */
}

void ipcnet_store_reserve(struct ipcnet_store *self, uint16_t epoch) {
  atomic_store(&self->wanted_epoch, epoch);
  ipcnet_store_wake(self);
}

bool ipcnet_store_has(const struct ipcnet_store *self, uint16_t epoch) {
  return self->epoch.fd >= 0 && !ipcnet_epoch_newer(epoch, (uint16_t)atomic_load(&self->reserved_epoch));
}

bool ipcnet_store_failed(const struct ipcnet_store *self, uint16_t epoch) {
  uint16_t failed = (uint16_t)atomic_load(&self->failed_epoch);
  return failed != 0 && !ipcnet_epoch_newer(epoch, failed) && !ipcnet_store_has(self, epoch);
}

void ipcnet_store_keep_image(struct ipcnet_store *self, const struct ipcnet_reflex_image *image) {
  self->images[self->image_filled] = *image;
  self->image_filled = atomic_exchange(&self->image_on_its_way, self->image_filled | IMAGE_NEW) & 3u;
  ipcnet_store_wake(self);
}

bool ipcnet_store_keep_table(struct ipcnet_store *self, const void *bytes, size_t length) {
  if (ipcnet_store_table_busy(self)) return false;
  memcpy(self->table, bytes, length);
  atomic_store(&self->table_bytes, (uint32_t)length);
  ipcnet_store_wake(self);
  return true;
}

bool ipcnet_store_table_busy(const struct ipcnet_store *self) {
  return atomic_load(&self->table_bytes) != 0;
}
