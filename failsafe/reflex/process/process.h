/*
 * process: everything one `ipcnet-reflex` has, in one place (memory that its writer to disk shares), and the five parts that work on it, all on the main thread: loop.c (what happened?), twins.c (who owns the bus?),
 * control.c (what do brains and operators want?), tables.c (which table?), power.c (does the power fail?). The core decides; these only carry.
 */
#ifndef IPCNET_REFLEX_PROCESS_H
#define IPCNET_REFLEX_PROCESS_H

#include <sys/types.h>

#include "buses.h"
#include "detector.h"
#include "keeper.h"
#include "lanes.h"
#include "log.h"
#include "notify.h"
#include "page.h"
#include "patrol.h"
#include "powerfail.h"
#include "realtime.h"
#include "seqpacket.h"
#include "store.h"
#include "twin_link.h"
#include "watchdog.h"

#define IPCNET_CONNECTIONS_MAX 16u /* two brains, the twin, operators; more are turned away */
#define IPCNET_PEER_UIDS_MAX 8u
#define IPCNET_BEAT_US 1000u       /* the loop turns at least so often */

struct ipcnet_process_options {
  uint8_t instance;
  const char *run, *state, *purge /* socket of ipcnet-purge */, *watchdog;
  bool alone, realtime;
  int cpu; /* -1: any */
  uid_t peer_uids[IPCNET_PEER_UIDS_MAX];
  unsigned peer_uid_count;
};

struct ipcnet_connection {
  int fd; /* -1: free */
  bool greeted, beats;
  uint8_t who;              /* enum ipcnet_packet_who */
  uint32_t sent, received;  /* packets */
  uint32_t brain_epoch;
  uint64_t since_us;
  int commands;             /* place of its command lane; -1 none */
  int frame_reader;         /* its number in the frame lane; -1 none */
};

struct ipcnet_control {
  int listener;
  char path[108];
  struct ipcnet_seqpacket_bound bound;
  struct ipcnet_connection connections[IPCNET_CONNECTIONS_MAX];
  int switcher;             /* the connection that asked for a hand-over; -1 none */
  uint16_t switch_request;
  bool switch_to_host;      /* to the other host, not to the twin */
  uint64_t switch_deadline_us;
  uint64_t refused_packets, closed_connections;
};

struct ipcnet_process {
  struct ipcnet_process_options options;
  struct ipcnet_reflex *core;
  struct ipcnet_log log;
  struct ipcnet_realtime realtime;
  struct ipcnet_keeper keeper;
  struct ipcnet_page page;
  struct ipcnet_store store;
  struct ipcnet_lanes lanes;
  struct ipcnet_buses buses;
  struct ipcnet_detector detector;
  struct ipcnet_patrol patrol;
  struct ipcnet_twin_link link;
  struct ipcnet_twin_watch watch;
  struct ipcnet_watchdog watchdog;
  struct ipcnet_notify notify;
  struct ipcnet_control control;
  struct ipcnet_powerfail power;

  /* loop.c */
  int epoll, timer, signals;
  uint64_t now_us, started_us, turns, late_turns, turn_us_max;
  bool more;                /* something was left for the next turn */
  bool stopping, finished;
  int power_watched;        /* the line's descriptor in epoll; -1 none */
  uint32_t power_given;     /* process that was given our line; 0 none */
  int power_told;           /* errno that was logged last; -1 none */
  bool image_waits;         /* while power fails nothing is written to disk */
  struct ipcnet_reflex_image unwritten;

  /* twins.c */
  int lock;
  bool store_usable, began;
  uint16_t stored_epoch;    /* the newest that was kept when we began */
  uint16_t awaited_epoch;   /* EPOCH_STORED is owed for it; 0 none */
  bool twin_stands, yielding;
  uint64_t patrol_for_us;   /* the standstill (its beginning) for which the patrol was sent */
  uint64_t fence_deadline_us, yield_deadline_us, lock_retry_us, reserve_us, store_deadline_us;
  struct ipcnet_reflex_page *borrowed; /* the other's page with an epoch that its file told */
  uint8_t told_role;

  /* tables.c */
  bool table_damaged;       /* the stored one was not what had been stored */
  void *table;              /* mapped; the core reads it */
  size_t table_bytes;
};

/* What the loop waits for: the upper half of epoll's data; the lower half is a number. */
enum ipcnet_source { IPCNET_SOURCE_TIMER, IPCNET_SOURCE_SIGNALS, IPCNET_SOURCE_TWIN_DEAD, IPCNET_SOURCE_TWIN_SUSPECT, IPCNET_SOURCE_TWIN_SOCKET, IPCNET_SOURCE_STORE, IPCNET_SOURCE_WRITER, IPCNET_SOURCE_BUSES,
  IPCNET_SOURCE_LISTENER, IPCNET_SOURCE_CONNECTION, IPCNET_SOURCE_COMMANDS, IPCNET_SOURCE_POWER };

/* ---- loop.c -------------------------------------------------------------------------------------------------------------------------------- */
/* Makes what main has not made, in the order that matters, and turns until it is stopped. The process's exit code. */
int ipcnet_process_run(struct ipcnet_process *self);
int ipcnet_process_watch(struct ipcnet_process *self, int fd, enum ipcnet_source source, uint32_t number);
void ipcnet_process_unwatch(struct ipcnet_process *self, int fd);
enum ipcnet_twin_role ipcnet_process_role(const struct ipcnet_process *self);
void ipcnet_process_status(struct ipcnet_process *self, struct ipcnet_reflex_status *to);

/* ---- power.c ------------------------------------------------------------------------------------------------------------------------------- */
/* The line of a new table. */
void ipcnet_power_use(struct ipcnet_process *self);
/* Requests the line, follows it as long as we own the bus, gives it to the twin. Before the core judges. */
void ipcnet_power_tick(struct ipcnet_process *self);
/* The twin has died: what it alone had is free, and is needed now. */
void ipcnet_power_hurry(struct ipcnet_process *self);
void ipcnet_power_given(struct ipcnet_process *self);
bool ipcnet_power_fails(const struct ipcnet_process *self);
/* Keeps an image on disk, or for later. */
void ipcnet_power_keep_image(struct ipcnet_process *self, const struct ipcnet_reflex_image *image);

/* ---- twins.c ------------------------------------------------------------------------------------------------------------------------------- */
/* After the store was read: asks for the lock for the first time. */
void ipcnet_twins_begin(struct ipcnet_process *self);
/* For struct ipcnet_reflex_os. */
void ipcnet_twins_effects(struct ipcnet_process *self, uint32_t effects, uint16_t epoch);
void ipcnet_twins_tick(struct ipcnet_process *self);
/* When it has to be called again at the latest; UINT64_MAX: with the next beat. */
uint64_t ipcnet_twins_next_us(const struct ipcnet_process *self);
void ipcnet_twins_dead(struct ipcnet_process *self);
void ipcnet_twins_suspect(struct ipcnet_process *self);
void ipcnet_twins_read(struct ipcnet_process *self);
void ipcnet_twins_stored(struct ipcnet_process *self);
/* Nobody writes to the disk any more: whoever owns goes on, nobody here begins to. */
void ipcnet_twins_writer_died(struct ipcnet_process *self);
/* A planned hand-over may begin: ours to give, and a healthy twin with the same table is there. */
bool ipcnet_twins_may_yield(const struct ipcnet_process *self);
void ipcnet_twins_yield(struct ipcnet_process *self);
void ipcnet_twins_hello(const struct ipcnet_process *self, struct ipcnet_packet_hello *to);

/* ---- control.c ----------------------------------------------------------------------------------------------------------------------------- */
int ipcnet_control_open(struct ipcnet_process *self);
void ipcnet_control_close(struct ipcnet_process *self);
void ipcnet_control_accept(struct ipcnet_process *self);
void ipcnet_control_read(struct ipcnet_process *self, uint32_t connection);
void ipcnet_control_commands(struct ipcnet_process *self, uint32_t connection);
void ipcnet_control_tick(struct ipcnet_process *self);
/* Has the twin look at our page now. */
void ipcnet_control_look(struct ipcnet_process *self);
/* Gives the twin the power-fail line that we have. False: it has not connected to us yet. */
bool ipcnet_control_give_power_line(struct ipcnet_process *self);

/* ---- tables.c ------------------------------------------------------------------------------------------------------------------------------ */
/* The last good one, at start. */
void ipcnet_tables_begin(struct ipcnet_process *self);
/* From a brain: a sealed memfd. False: `why` says why (a code and where), for the answer. */
bool ipcnet_tables_take(struct ipcnet_process *self, int fd, uint32_t length, char *why, size_t why_bytes);

#endif
