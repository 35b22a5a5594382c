/* status: what the reflex says of itself, body of STATUS on the control socket. Fixed layout, little-endian; the same in failsafe/reflex/client. Counters only rise. */
#ifndef IPCNET_REFLEX_STATUS_H
#define IPCNET_REFLEX_STATUS_H

#include "reflex.h"

enum ipcnet_reflex_status_feature {
  IPCNET_REFLEX_REALTIME = 1,      /* SCHED_FIFO was granted */
  IPCNET_REFLEX_LOCKED = 2,        /* memory is locked */
  IPCNET_REFLEX_DETECTOR = 4,      /* the twin's robust word is waited for; without it its pidfd alone tells */
  IPCNET_REFLEX_WATCHDOG = 8,      /* the watchdog device is open and fed */
  IPCNET_REFLEX_EPOCH_RESERVED = 16, /* the next epoch is on disk already: a takeover does not wait for it */
  IPCNET_REFLEX_TWIN_STANDS = 32,  /* the twin's beat stands still */
  IPCNET_REFLEX_POWER_LINE = 64,   /* the power-fail line is watched */
  IPCNET_REFLEX_TABLE_DAMAGED = 128, /* the stored table was not what had been stored: its check failed at the start */
};

struct ipcnet_reflex_status { /* 512 bytes */
  uint16_t major, minor;       /* of the control protocol */
  uint8_t instance;            /* 0 a, 1 b */
  uint8_t role;                /* enum ipcnet_twin_role */
  uint8_t arming;              /* enum ipcnet_reflex_arming */
  uint8_t malfunction;         /* enum ipcnet_reflex_malfunction */
  uint16_t epoch, trigger, plan;
  uint8_t trigger_latched, healthy;
  uint32_t generation;         /* of the table; 0 none */
  uint32_t features;           /* enum ipcnet_reflex_status_feature */
  uint8_t table_hash[32];
  uint64_t now_us, since_us, started_us;
  uint32_t pid, twin_pid;      /* 0: no twin */
  uint8_t twin_role, missing_count, brains, buses;
  uint16_t twin_epoch, stored_epoch; /* the newest that is on disk */
  uint64_t twin_seen_us;       /* when its beat was seen to change last */
  uint8_t bus_phases[IPCNET_REFLEX_BUSES_MAX]; /* enum ipcnet_bus_phase */
  /* Since the start. */
  uint64_t turns, late_turns;  /* of the loop; more than half the twin's deadline apart */
  uint64_t turn_us_max;        /* the longest gap between two turns */
  uint64_t store_failures, journal_writes, refused_packets, closed_connections, commands_read, commands_lost, records_written, watchdog_feeds;
  uint64_t sent_frames, echoed_frames, received_frames, rejected_frames, foreign_frames, reports_lost, set_points_expired, plans_run, plans_resumed, takeovers, claims_sent,
      higher_epochs_heard, stale_claims_heard;
  uint64_t refused[16];        /* by enum ipcnet_reflex_refusal */
  struct ipcnet_reflex_lack missing[16]; /* what stands between now and armed, from ipcnet_reflex_missing; as many as missing_count says, at most 16 */
  uint32_t brain_epoch;        /* the newest that is known here: brains of an older one are not obeyed; 0 none */
  uint32_t reserved[3];
};
_Static_assert(sizeof(struct ipcnet_reflex_status) == 512 && IPCNET_REFUSALS <= 16, "docs/specs/reflex.md says 512");

#endif
