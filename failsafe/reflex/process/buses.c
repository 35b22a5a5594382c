#include "buses.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "failpoint.h"

#define RETRY_US 100000u
#define BATCH 64u
#define ROUNDS_MAX 64u /* of BATCH frames of one bus before the next gets its turn */
#define RECEIVE_BUFFER_BYTES (1u << 20)

static void wake(void *context) {
  const struct ipcnet_buses *self = context;
  const uint64_t one = 1;
  (void)!write(self->wake_fd, &one, sizeof one); /* can only fail when it is already readable */
}

/* Two twins have one folder to run in, two hosts on one emulated bus have two. */
static uint32_t controller_of(const char *run) {
  struct stat status;
  if (stat(run, &status) != 0) return 1;
  uint32_t number = (uint32_t)status.st_ino ^ (uint32_t)((uint64_t)status.st_ino >> 32) ^ (uint32_t)status.st_dev << 16;
  return number != 0 ? number : 1;
}

int ipcnet_buses_init(struct ipcnet_buses *self, uint8_t instance, const char *run, const char *purge, struct ipcnet_log *log) {
  *self = (struct ipcnet_buses){.instance = instance, .purge = purge, .controller = controller_of(run), .log = log, .wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  return self->wake_fd < 0 ? -errno : 0;
}

/* ---- Opening and closing ------------------------------------------------------------------------------------------------------------------ */

static void open_one(struct ipcnet_buses *self, struct ipcnet_bus *bus, uint64_t now_us) {
  char why[256];
  enum ipcnet_can_status status = ipcnet_can_open(&bus->can);
  if (status == IPCNET_CAN_OK && ipcnet_bus_poller_start(&bus->poller) == 0) {
    bus->phase = IPCNET_BUS_OPEN;
    bus->told = IPCNET_CAN_OK;
    return;
  }
  if (status == IPCNET_CAN_OK) {
    ipcnet_can_close(&bus->can);
    status = IPCNET_CAN_SYSTEM;
  }
  bus->phase = IPCNET_BUS_CLOSED;
  bus->retry_us = now_us + RETRY_US;
  if (bus->told == status) return;
  bus->told = status;
  ipcnet_can_explain(&bus->can, status, why, sizeof why);
  char *second = strchr(why, '\n'); /* the command that mends it is for a terminal */
  if (second != NULL) *second = '\0';
  ipcnet_log_write(self->log, "%s", why);
}

static void close_one(struct ipcnet_bus *bus) {
  ipcnet_bus_poller_stop(&bus->poller);
  if (ipcnet_can_is_open(&bus->can)) ipcnet_can_close(&bus->can);
  bus->phase = IPCNET_BUS_CLOSED;
}

static int prepare_one(struct ipcnet_buses *self, struct ipcnet_bus *bus, const struct ipcnet_reflex_table *table, uint32_t index) {
  const struct ipcnet_reflex_bus *row = &table->buses[index];
  struct ipcnet_can_config config = {.fd = (row->flags & 1) != 0, .listen_only = (row->flags & 2) != 0, .bus = (uint16_t)index, .tx_queue_frames = row->tx_queue_frames,
    .receive_buffer_bytes = RECEIVE_BUFFER_BYTES};
  snprintf(config.interface, sizeof config.interface, "%s", ipcnet_reflex_table_text(table, row->interface));
  bus->bitrate_bps = row->bitrate_bps;
  bus->data_bitrate_bps = row->data_bitrate_bps;
  bus->emulated = row->driver == 1;
  if (bus->emulated) {
    ipcnet_emulator_init(&bus->driver.emulator, ipcnet_reflex_table_text(table, row->name), self->instance == 0 ? "reflex-a" : "reflex-b", config.listen_only);
    bus->driver.emulator.controller = self->controller;
    bus->os = ipcnet_emulator_os(&bus->driver.emulator);
  } else {
    int result = ipcnet_purge_client_init(&bus->driver.kernel, self->purge);
    if (result < 0) return result;
    bus->os = ipcnet_purge_client_os(&bus->driver.kernel);
  }
  ipcnet_can_init(&bus->can, &config, &bus->os);
  int result = ipcnet_bus_poller_init(&bus->poller, &bus->can, bus->ring, IPCNET_BUSES_RING_FRAMES, wake, self);
  if (result < 0 && !bus->emulated) ipcnet_purge_client_close(&bus->driver.kernel);
  return result;
}

void ipcnet_buses_close(struct ipcnet_buses *self) {
  for (uint32_t i = 0; i < self->count; i++) {
    if (!self->buses[i].emulated) ipcnet_purge_client_cancel(&self->buses[i].driver.kernel); /* nobody here waits for a helper that hangs */
  }
  for (uint32_t i = 0; i < self->count; i++) {
    struct ipcnet_bus *bus = &self->buses[i];
    close_one(bus);
    ipcnet_bus_poller_destroy(&bus->poller);
    if (!bus->emulated) ipcnet_purge_client_close(&bus->driver.kernel);
  }
  if (self->buses != NULL) munmap(self->buses, self->count * sizeof *self->buses);
  self->buses = NULL;
  self->count = 0;
}

int ipcnet_buses_use(struct ipcnet_buses *self, const struct ipcnet_reflex_table *table, uint64_t now_us) {
  ipcnet_buses_close(self);
  uint32_t count = table->header->sections[IPCNET_REFLEX_BUSES].count;
  if (count == 0) return 0;
  void *memory = mmap(NULL, count * sizeof *self->buses, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
  if (memory == MAP_FAILED) return -errno;
  self->buses = memory;
  for (self->count = 0; self->count < count; self->count++) {
    int result = prepare_one(self, &self->buses[self->count], table, self->count);
    if (result == 0) continue;
    ipcnet_buses_close(self);
    return result;
  }
  for (uint32_t i = 0; i < count; i++) open_one(self, &self->buses[i], now_us);
  return 0;
}

/* ---- In and out --------------------------------------------------------------------------------------------------------------------------- */

static bool drain(struct ipcnet_bus *bus, uint8_t index, struct ipcnet_reflex *core, uint64_t now_us) {
  struct ipcnet_can_frame frames[BATCH];
  struct ipcnet_can_summary summary;
  for (unsigned round = 0; round < ROUNDS_MAX; round++) {
    size_t count = ipcnet_bus_poller_drain(&bus->poller, frames, BATCH);
    if (count == 0) return true;
    ipcnet_can_confirm(&bus->can, frames, count, &summary);
#ifdef IPCNET_FAILPOINTS
    for (size_t i = 0; i < count; i++) if ((frames[i].flags & IPCNET_CAN_ECHO) == 0) (void)IPCNET_FAILPOINT_OF("heard", frames[i].can_id);
#endif
    ipcnet_reflex_frames(core, index, frames, count, now_us);
  }
  return false;
}

/* Whoever sends at another bit rate than the nodes destroys their frames too: such a link is as good as down. It comes up again when somebody has set it right, because that takes it down first. */
static bool runs_as_configured(struct ipcnet_buses *self, struct ipcnet_bus *bus, const struct ipcnet_can_link *link) {
  bool nominal = ipcnet_can_same_rate(link->bitrate_bps, bus->bitrate_bps);
  bool fits = nominal && (!bus->can.config.fd || ipcnet_can_same_rate(link->data_bitrate_bps, bus->data_bitrate_bps));
  if (!fits && !bus->rate_told) {
    ipcnet_log_write(self->log, "%s runs at %u bit/s%s, the configuration says %u: it is not used", bus->can.config.interface, nominal ? link->data_bitrate_bps : link->bitrate_bps,
                     nominal ? " in the data phase" : "", nominal ? bus->data_bitrate_bps : bus->bitrate_bps);
  }
  bus->rate_told = !fits;
  return fits;
}

static void pump_one(struct ipcnet_buses *self, struct ipcnet_bus *bus, uint8_t index, struct ipcnet_reflex *core, uint64_t now_us) {
  struct ipcnet_can_link_event event;
  ipcnet_bus_poller_woken(&bus->poller);
  /* Frames that happened before an event are in the ring already. */
  uint32_t events = ipcnet_bus_poller_events_waiting(&bus->poller);
  if (!drain(bus, index, core, now_us)) {
    wake(self); /* the rest after the others had their turn */
    return;
  }
  for (; events > 0 && ipcnet_bus_poller_next_event(&bus->poller, &event); events--) {
    struct ipcnet_can_link link = ipcnet_bus_poller_link(&bus->poller);
    if (event.kind == IPCNET_LINK_UP && !runs_as_configured(self, bus, &link)) event = (struct ipcnet_can_link_event){.kind = IPCNET_LINK_DOWN};
    (void)ipcnet_can_note_event(&bus->can, &event);
    if (event.kind == IPCNET_LINK_UP) event.b = (bus->can.features & IPCNET_CAN_FEATURE_ECHO) == 0;
    ipcnet_reflex_link(core, index, &event, &link, now_us);
  }
}

void ipcnet_buses_pump(struct ipcnet_buses *self, struct ipcnet_reflex *core, uint64_t now_us) {
  uint64_t count;
  (void)!read(self->wake_fd, &count, sizeof count);
  for (uint32_t i = 0; i < self->count; i++) pump_one(self, &self->buses[i], (uint8_t)i, core, now_us);
}

void ipcnet_buses_tick(struct ipcnet_buses *self, uint64_t now_us) {
  for (uint32_t i = 0; i < self->count; i++) {
    struct ipcnet_bus *bus = &self->buses[i];
    if (bus->phase == IPCNET_BUS_CLOSING && pthread_tryjoin_np(bus->poller.thread, NULL) == 0) {
      bus->poller.running = false; /* as ipcnet_bus_poller_stop does, without waiting */
      close_one(bus);
      bus->retry_us = now_us;
    }
    if (bus->phase == IPCNET_BUS_CLOSED && now_us >= bus->retry_us) open_one(self, bus, now_us);
  }
}

enum ipcnet_can_verdict ipcnet_buses_send(struct ipcnet_buses *self, uint8_t bus, const struct ipcnet_can_frame *frame) {
  if (bus >= self->count || self->buses[bus].phase != IPCNET_BUS_OPEN) return IPCNET_CAN_NOT_OPEN;
  return ipcnet_can_send(&self->buses[bus].can, frame);
}

void ipcnet_buses_effect(struct ipcnet_buses *self, uint8_t bus, enum ipcnet_bus_effect_kind kind) {
  if (bus >= self->count || self->buses[bus].phase != IPCNET_BUS_OPEN) return;
  struct ipcnet_bus *of = &self->buses[bus];
  if (kind == IPCNET_EFFECT_PURGE) ipcnet_bus_poller_request(&of->poller, IPCNET_REQUEST_PURGE, 0);
  if (kind == IPCNET_EFFECT_RESTART_BUS) ipcnet_bus_poller_request(&of->poller, IPCNET_REQUEST_RESTART, 0);
  if (kind == IPCNET_EFFECT_REOPEN) {
    of->phase = IPCNET_BUS_CLOSING; /* its poller may be busy for milliseconds: joined when it has ended */
    ipcnet_bus_poller_request(&of->poller, IPCNET_REQUEST_STOP, 0);
  }
}

bool ipcnet_buses_may_purge(const struct ipcnet_buses *self, uint8_t bus) {
  return bus < self->count && self->buses[bus].phase == IPCNET_BUS_OPEN && ipcnet_can_may_purge(&self->buses[bus].can);
}
