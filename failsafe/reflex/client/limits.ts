/** Limits of the brain's end of the reflex, with their reasons. */

/** Commands that a reflex may be behind: 512 at 100 commands each 10 ms are 50 ms, longer than its turn by far. A power of two. */
export const COMMAND_LANE_SLOTS = 512;
/** A command has 112 bytes; the next size of a slot that holds it. */
export const COMMAND_SLOT_BYTES = 192;
/** A packet is answered within a turn of the reflex's loop (1 ms); a table and a hand-over take a few disk writes. */
export const ANSWER_TIMEOUT_MS = 2_000;
/** How long an order waits for an owner: a takeover takes 12 ms, a restarted reflex a second. */
export const OWNER_WAIT_MS = 2_000;
/** Back-off between attempts to connect. The first is soon: a restarted reflex is back within 100 ms. */
export const RECONNECT_MIN_MS = 20;
export const RECONNECT_MAX_MS = 500;
/** A twin takes over 12 ms after a hang, and sooner after a death; on a busy machine it is heard of later. Without an owner for so long it is not a change of owners. */
export const TAKEOVER_MS_MAX = 1_000;
/** Reflexes that are started with the gateway own the buses within a second; until then their absence is no fault. */
export const FIRST_OWNER_MS_MAX = 5_000;
/** What a reflex says of itself is asked for so often: for people's eyes. */
export const STATUS_PERIOD_MS = 250;
/** Shortest time between two signs of life. */
export const BEAT_MS_MIN = 20;
/** Sign of life where the table sets no deadline. */
export const BEAT_MS_DEFAULT = 250;
/** What the standby has told lately, to go on from when the owner dies: 100 ms of two full buses in batches of 45. */
export const SHADOW_MESSAGES_MAX = 128;
/** A brain that follows another one keeps what it has heard for so long, ms: the longest time until the other's death is noticed is 1,000 ms, and going on takes a tenth of that. */
export const FOLLOW_MS = 2_000;
/** A table that was refused because something is armed is offered again. */
export const TABLE_RETRY_MS = 1_000;
