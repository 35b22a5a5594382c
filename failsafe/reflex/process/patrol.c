#include "patrol.h"

#include <linux/futex.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "realtime.h"
#include "thread.h"

#define STACK_BYTES (32u * 1024u)

/* Running on a processor is the proof. One that was taken out of service has nobody on it. */
static void visit_all(const cpu_set_t *processors) {
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, processors)) continue;
    cpu_set_t here;
    CPU_ZERO(&here);
    CPU_SET(cpu, &here);
    (void)sched_setaffinity(0, sizeof here, &here);
  }
}

static void *run(void *argument) {
  struct ipcnet_patrol *self = argument;
  const struct sched_param above = {.sched_priority = IPCNET_REALTIME_PRIORITY + 1};
  if (sched_getscheduler(0) == SCHED_FIFO) (void)sched_setscheduler(0, SCHED_FIFO, &above);
  for (;;) {
    uint32_t asked = atomic_load(&self->asked);
    if (asked == atomic_load(&self->returned)) {
      syscall(SYS_futex, &self->asked, FUTEX_WAIT_PRIVATE, asked, NULL, NULL, 0);
      continue;
    }
    visit_all(&self->processors);
    /* Free again: it must not wait for a processor that it happens to have visited last. */
    (void)sched_setaffinity(0, sizeof self->processors, &self->processors);
    atomic_store(&self->returned_us, ipcnet_now_us());
    atomic_store(&self->returned, asked);
  }
  return NULL;
}

void ipcnet_patrol_init(struct ipcnet_patrol *self) {
  memset(self, 0, sizeof *self);
  if (sched_getaffinity(0, sizeof self->processors, &self->processors) != 0) CPU_ZERO(&self->processors);
}

int ipcnet_patrol_start(struct ipcnet_patrol *self) {
  return ipcnet_thread_start(run, self, STACK_BYTES);
}

void ipcnet_patrol_ask(struct ipcnet_patrol *self) {
  atomic_fetch_add(&self->asked, 1);
  syscall(SYS_futex, &self->asked, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

uint64_t ipcnet_patrol_returned_us(struct ipcnet_patrol *self) {
  return atomic_load(&self->returned) == atomic_load(&self->asked) ? atomic_load(&self->returned_us) : 0;
}
