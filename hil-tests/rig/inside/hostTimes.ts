/** Of two hosts in two virtual machines, known to the programs in them and to the joint outside. A machine that gets no processor for a second is nothing unusual here: who is silent for three beats is left. */
export const BEAT_MS = 400;
/** Less than three beats, docs/specs/claim.md; the longest that there is. */
export const SELF_FENCE_MS = 1_000;
/** The joint says after so long that it has heard nothing of its owner. */
export const CLAIM_QUIET_MS = 2 * BEAT_MS;
export const CLAIM_TIMEOUT_MS = 5_000;
