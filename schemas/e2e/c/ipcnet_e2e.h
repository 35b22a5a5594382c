/*
 * AUTOSAR E2E profiles, freestanding C99: needs stdint.h and stddef.h, allocates nothing, keeps nothing of its own. Layouts and rules:
 * docs/specs/e2e.md; the same vectors as the TypeScript implementation.
 *
 * Three independent parts:
 *   1. one frame: ipcnet_e2e_pXX_protect and …_inspect, with a constant configuration;
 *   2. the sequence: ipcnet_e2e_receiver judges counters;
 *   3. the channel: ipcnet_e2e_channel, E2E_SM.
 * A node that receives one command needs, each time a frame has come:
 *
 *   uint32_t counter = 0;
 *   ipcnet_e2e_verdict verdict = ipcnet_e2e_p05_inspect(&config, frame, length, &counter);
 *   ipcnet_e2e_result result = ipcnet_e2e_judge(&receiver, verdict, counter);
 *   ipcnet_e2e_channel_step(&channel, result);                 // optional
 *   if (ipcnet_e2e_accepted(result)) { use the frame, feed the dead-man timer }
 *
 * What is compiled: everything; with IPCNET_E2E_ONLY only the profiles named by a macro of their own, e.g.
 *   cc -DIPCNET_E2E_ONLY -DIPCNET_E2E_P05 …
 * (P01 brings P11 and P02 brings P22; parts 2 and 3 are dropped by the linker if unused, with -ffunction-sections -Wl,--gc-sections.)
 * With IPCNET_E2E_FAST_CRC, P07 uses ipcnet_crc_fast.h (hosts).
 *
 * Threads: frames and configurations are only read or written by the call; receiver and channel belong to one thread.
 */
#ifndef IPCNET_E2E_H
#define IPCNET_E2E_H

#include <stddef.h>
#include <stdint.h>

#ifndef IPCNET_E2E_ONLY
#define IPCNET_E2E_P01
#define IPCNET_E2E_P02
#define IPCNET_E2E_P04
#define IPCNET_E2E_P05
#define IPCNET_E2E_P06
#define IPCNET_E2E_P07
#define IPCNET_E2E_P08
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* ------------------------------------------------------------ 1. one frame */

typedef enum {
  IPCNET_E2E_INSPECTED_OK = 0,
  IPCNET_E2E_CRC_MISMATCH = 4,
  IPCNET_E2E_BAD_LENGTH = 5,
  IPCNET_E2E_WRONG_DATA_ID = 6, /* CRC right, but a frame of somebody else (profiles that send their Data ID) */
  IPCNET_E2E_BAD_COUNTER = 7    /* from protect only: a counter the profile cannot have */
} ipcnet_e2e_verdict;

/* Which parts of the Data ID enter the CRC of P01 (all four) and P11 (both, nibble). */
typedef enum { IPCNET_E2E_BOTH = 0, IPCNET_E2E_ALT = 1, IPCNET_E2E_LOW = 2, IPCNET_E2E_NIBBLE = 3 } ipcnet_e2e_data_id_mode;

/* Constant; may lie in flash. Fields a profile does not have are ignored. */
typedef struct {
  uint32_t data_id;                     /* P01, P11, P05, P06: 16 bits (mode nibble: 12); P04, P07, P08: 32 bits */
  const uint8_t *data_id_list;          /* P02, P22: 16 bytes, by counter; must outlive the configuration */
  uint32_t offset_bytes;                /* where the header begins (all but P01, P11) */
  uint32_t min_length_bytes;            /* shortest frame, header included; 0: whatever holds the header */
  uint32_t max_length_bytes;            /* longest frame; 0: the profile's limit */
  uint16_t crc_offset_bits;             /* P01, P11: multiple of 8 */
  uint16_t counter_offset_bits;         /* P01, P11: multiple of 4 */
  uint16_t data_id_nibble_offset_bits;  /* P01, P11, mode nibble: multiple of 4 */
  ipcnet_e2e_data_id_mode data_id_mode; /* P01, P11 */
} ipcnet_e2e_config;

/* The usual places of P01 and P11 with the header at `offset`: { .data_id = 0x123, IPCNET_E2E_P01_AT(0) } */
#define IPCNET_E2E_P01_AT(offset) \
  .crc_offset_bits = (uint16_t)((offset) * 8), .counter_offset_bits = (uint16_t)((offset) * 8 + 8), .data_id_nibble_offset_bits = (uint16_t)((offset) * 8 + 12)

/* Largest counter of each profile; after it comes 0. */
#define IPCNET_E2E_P01_COUNTER_MAX 14u
#define IPCNET_E2E_P02_COUNTER_MAX 15u
#define IPCNET_E2E_P04_COUNTER_MAX 0xFFFFu
#define IPCNET_E2E_P05_COUNTER_MAX 0xFFu
#define IPCNET_E2E_P06_COUNTER_MAX 0xFFu
#define IPCNET_E2E_P07_COUNTER_MAX 0xFFFFFFFFu
#define IPCNET_E2E_P08_COUNTER_MAX 0xFFFFFFFFu

/*
 * …_protect writes counter, length and Data ID into the header and then the CRC, in place; returns IPCNET_E2E_INSPECTED_OK, or
 * IPCNET_E2E_BAD_LENGTH / IPCNET_E2E_BAD_COUNTER with the frame untouched.
 * …_inspect returns its verdict and, only with IPCNET_E2E_INSPECTED_OK, writes *counter (P01, P11: 15 is possible and never valid).
 * Neither reads or writes outside frame[0, length_bytes), whatever the configuration says.
 */
#ifdef IPCNET_E2E_P01 /* and P11 */
ipcnet_e2e_verdict ipcnet_e2e_p01_protect(const ipcnet_e2e_config *config, uint8_t *frame, size_t length_bytes, uint32_t counter);
ipcnet_e2e_verdict ipcnet_e2e_p01_inspect(const ipcnet_e2e_config *config, const uint8_t *frame, size_t length_bytes, uint32_t *counter);
#endif
#ifdef IPCNET_E2E_P02 /* and P22; their first frame carries counter 1 */
ipcnet_e2e_verdict ipcnet_e2e_p02_protect(const ipcnet_e2e_config *config, uint8_t *frame, size_t length_bytes, uint32_t counter);
ipcnet_e2e_verdict ipcnet_e2e_p02_inspect(const ipcnet_e2e_config *config, const uint8_t *frame, size_t length_bytes, uint32_t *counter);
#endif
#ifdef IPCNET_E2E_P04
ipcnet_e2e_verdict ipcnet_e2e_p04_protect(const ipcnet_e2e_config *config, uint8_t *frame, size_t length_bytes, uint32_t counter);
ipcnet_e2e_verdict ipcnet_e2e_p04_inspect(const ipcnet_e2e_config *config, const uint8_t *frame, size_t length_bytes, uint32_t *counter);
#endif
#ifdef IPCNET_E2E_P05
ipcnet_e2e_verdict ipcnet_e2e_p05_protect(const ipcnet_e2e_config *config, uint8_t *frame, size_t length_bytes, uint32_t counter);
ipcnet_e2e_verdict ipcnet_e2e_p05_inspect(const ipcnet_e2e_config *config, const uint8_t *frame, size_t length_bytes, uint32_t *counter);
#endif
#ifdef IPCNET_E2E_P06
ipcnet_e2e_verdict ipcnet_e2e_p06_protect(const ipcnet_e2e_config *config, uint8_t *frame, size_t length_bytes, uint32_t counter);
ipcnet_e2e_verdict ipcnet_e2e_p06_inspect(const ipcnet_e2e_config *config, const uint8_t *frame, size_t length_bytes, uint32_t *counter);
#endif
#ifdef IPCNET_E2E_P07
ipcnet_e2e_verdict ipcnet_e2e_p07_protect(const ipcnet_e2e_config *config, uint8_t *frame, size_t length_bytes, uint32_t counter);
ipcnet_e2e_verdict ipcnet_e2e_p07_inspect(const ipcnet_e2e_config *config, const uint8_t *frame, size_t length_bytes, uint32_t *counter);
#endif
#ifdef IPCNET_E2E_P08
ipcnet_e2e_verdict ipcnet_e2e_p08_protect(const ipcnet_e2e_config *config, uint8_t *frame, size_t length_bytes, uint32_t counter);
ipcnet_e2e_verdict ipcnet_e2e_p08_inspect(const ipcnet_e2e_config *config, const uint8_t *frame, size_t length_bytes, uint32_t *counter);
#endif

/* --------------------------------------------------------- 2. the sequence */

typedef enum {
  IPCNET_E2E_OK = 0,
  IPCNET_E2E_OK_SOME_LOST = 1,
  IPCNET_E2E_REPEATED = 2,
  IPCNET_E2E_WRONG_SEQUENCE = 3,
  IPCNET_E2E_RESULT_CRC_MISMATCH = 4,
  IPCNET_E2E_RESULT_BAD_LENGTH = 5,
  IPCNET_E2E_NO_NEW_DATA = 7 /* input of the channel only: nothing came since the last cyclic call */
} ipcnet_e2e_result;

/*
 * One receiver's memory of one message. Invariants: a frame that is not accepted never moves `reference`; `run` counts frames outside the
 * window in unbroken sequence and is below `resync_frames`.
 */
typedef struct {
  uint32_t counter_max;   /* IPCNET_E2E_Pxx_COUNTER_MAX; 0: the message has no counter */
  uint32_t max_delta;     /* largest accepted step, 1 … counter_max − 1 */
  uint32_t reference;     /* counter accepted last */
  uint32_t candidate;     /* newest counter outside the window */
  uint32_t lost;          /* frames missed just before the newest one, as far as its counter tells */
  uint32_t resyncs;       /* how often a sender that started anew was followed; only rises */
  uint8_t resync_frames;  /* frames in unbroken sequence until that happens, 2 … 255 */
  uint8_t run;
  uint8_t started;
} ipcnet_e2e_receiver;

/* max_delta 0 and resync_frames 0 stand for the defaults: 3 (less for counters of two bits), and 3. */
void ipcnet_e2e_receiver_init(ipcnet_e2e_receiver *self, uint32_t counter_max, uint32_t max_delta, uint8_t resync_frames);

/* Combines a frame's verdict and counter with what came before. A frame that was not inspected as OK changes nothing but `lost` (0). */
ipcnet_e2e_result ipcnet_e2e_judge(ipcnet_e2e_receiver *self, ipcnet_e2e_verdict verdict, uint32_t counter);

static inline int ipcnet_e2e_accepted(ipcnet_e2e_result result) {
  return result == IPCNET_E2E_OK || result == IPCNET_E2E_OK_SOME_LOST;
}

/* The counter after `counter`. */
static inline uint32_t ipcnet_e2e_counter_after(uint32_t counter, uint32_t counter_max) {
  return counter >= counter_max ? 0u : counter + 1u;
}

/* ---------------------------------------------------------- 3. the channel */

#ifndef IPCNET_E2E_WINDOW_MAX
#define IPCNET_E2E_WINDOW_MAX 64 /* bytes in each channel */
#endif

typedef enum {
  IPCNET_E2E_DEINIT = 0,
  IPCNET_E2E_NODATA = 1,
  IPCNET_E2E_INIT = 2,
  IPCNET_E2E_VALID = 3,
  IPCNET_E2E_INVALID = 4
} ipcnet_e2e_state;

typedef struct {
  uint8_t window_size; /* results looked at, 1 … IPCNET_E2E_WINDOW_MAX; none larger than VALID's */
  uint8_t min_ok;
  uint8_t max_error;
} ipcnet_e2e_limits;

typedef struct {
  ipcnet_e2e_limits init, valid, invalid;
  uint8_t clear_to_invalid;
} ipcnet_e2e_channel_config;

#define IPCNET_E2E_CHANNEL_DEFAULT {{5, 1, 2}, {10, 1, 3}, {5, 3, 1}, 0}

typedef struct {
  const ipcnet_e2e_channel_config *config; /* must outlive the channel */
  ipcnet_e2e_state state;
  uint8_t next;
  uint8_t window[IPCNET_E2E_WINDOW_MAX];
} ipcnet_e2e_channel;

/* Begins in NODATA. Returns 0, or −1 (and DEINIT, which no step leaves) for window sizes that are 0, too large, or larger than VALID's. */
int ipcnet_e2e_channel_start(ipcnet_e2e_channel *self, const ipcnet_e2e_channel_config *config);
void ipcnet_e2e_channel_stop(ipcnet_e2e_channel *self);

/* One result, or IPCNET_E2E_NO_NEW_DATA from a cyclic call. Returns the state after it. */
ipcnet_e2e_state ipcnet_e2e_channel_step(ipcnet_e2e_channel *self, ipcnet_e2e_result result);

#ifdef __cplusplus
}
#endif

#endif
