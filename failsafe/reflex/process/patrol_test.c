/* The patrol comes back from processors that run, and not before from one that stands still; what stands for that is a thread that is more urgent than everything else there. */
#include "patrol.h"

#include <pthread.h>
#include <stdio.h>
#include <unistd.h>

#include "../../../drivers/can/core/check.h"
#include "realtime.h"

#define HELD_US 30000u

struct occupier {
  unsigned cpu;
  _Atomic bool there, over;
};

/* Keeps a processor for itself for a while, or until it is no longer needed. */
static void *occupy(void *argument) {
  struct occupier *self = argument;
  cpu_set_t here;
  CPU_ZERO(&here);
  CPU_SET(self->cpu, &here);
  struct sched_param urgent = {.sched_priority = IPCNET_REALTIME_PRIORITY + 10};
  CHECK(sched_setaffinity(0, sizeof here, &here) == 0 && sched_setscheduler(0, SCHED_FIFO, &urgent) == 0);
  atomic_store(&self->there, true);
  for (uint64_t end_us = ipcnet_now_us() + 10u * HELD_US; !atomic_load(&self->over) && ipcnet_now_us() < end_us;) {}
  return NULL;
}

static uint64_t returned_us(struct ipcnet_patrol *patrol) {
  uint64_t us;
  while ((us = ipcnet_patrol_returned_us(patrol)) == 0) usleep(100);
  return us;
}

static void it_returns_once_for_each_time_it_is_asked(struct ipcnet_patrol *patrol) {
  uint64_t before_us = 0;
  for (int round = 0; round < 50; round++) {
    uint64_t asked_us = ipcnet_now_us();
    ipcnet_patrol_ask(patrol);
    uint64_t back_us = returned_us(patrol);
    CHECK(back_us >= asked_us && back_us > before_us);
    before_us = back_us;
  }
}

static void it_does_not_pass_a_processor_that_stands_still(struct ipcnet_patrol *patrol) {
  int count = CPU_COUNT(&patrol->processors);
  if (count < 2 || sched_getscheduler(0) != SCHED_FIFO) {
    printf("reflex_patrol: a processor that stands still needs two of them and realtime priority: left out\n");
    return;
  }
  for (unsigned cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &patrol->processors)) continue;
    struct occupier occupier = {.cpu = cpu};
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, occupy, &occupier) == 0);
    while (!atomic_load(&occupier.there)) usleep(100);
    uint64_t asked_us = ipcnet_now_us();
    ipcnet_patrol_ask(patrol);
    while (ipcnet_now_us() < asked_us + HELD_US) {
      bool back = ipcnet_patrol_returned_us(patrol) != 0;
      CHECK(!back);
      if (back) break;
      usleep(1000);
    }
    atomic_store(&occupier.over, true);
    CHECK(returned_us(patrol) >= asked_us + HELD_US);
    pthread_join(thread, NULL);
  }
}

int main(void) {
  static struct ipcnet_patrol patrol;
  const struct sched_param loop = {.sched_priority = IPCNET_REALTIME_PRIORITY};
  ipcnet_patrol_init(&patrol);
  (void)sched_setscheduler(0, SCHED_FIFO, &loop); /* refused: then without */
  CHECK_INT(ipcnet_patrol_start(&patrol), 0);
  it_returns_once_for_each_time_it_is_asked(&patrol);
  it_does_not_pass_a_processor_that_stands_still(&patrol);
  return checks_report("reflex_patrol");
}
