/* reflex_protect: a row of struct ipcnet_reflex_e2e applied to frames, by the profiles of schemas/e2e/c. No state, any thread. */
#ifndef IPCNET_REFLEX_PROTECT_H
#define IPCNET_REFLEX_PROTECT_H

#include "../../../schemas/e2e/c/ipcnet_e2e.h"
#include "reflex_table.h"

enum { IPCNET_REFLEX_E2E_NONE = 0 };

/* Whether the row names a profile, its fields lie in frames of `length_bytes` without overlapping, and its list in `bytes`. Everything below expects that it was asked. */
bool ipcnet_reflex_e2e_valid(const struct ipcnet_reflex_e2e *e2e, uint32_t length_bytes, const uint8_t *bytes, uint32_t bytes_length);

/* The largest counter; 0: the row protects nothing. */
uint32_t ipcnet_reflex_e2e_counter_max(const struct ipcnet_reflex_e2e *e2e);

/* Writes counter and CRC into the frame. False: its length does not fit, nothing was written. */
bool ipcnet_reflex_e2e_protect(const struct ipcnet_reflex_e2e *e2e, const uint8_t *bytes, uint8_t *frame, size_t length_bytes, uint32_t counter);

/* Without protection: always OK, counter 0. */
ipcnet_e2e_verdict ipcnet_reflex_e2e_inspect(const struct ipcnet_reflex_e2e *e2e, const uint8_t *bytes, const uint8_t *frame, size_t length_bytes, uint32_t *counter);

/* Sets in `mask` (64 bytes, a bit for each bit of the frame, as in the frame) what the protection writes in frames of `length_bytes`. */
void ipcnet_reflex_e2e_occupies(const struct ipcnet_reflex_e2e *e2e, uint8_t mask[64]);

#endif
