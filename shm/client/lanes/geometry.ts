/** How large a lane is made. Pure. */

export interface LaneGeometry {
  slots: number;
  inlineBytes: number;
  largeBytes: number;
}

/** Messages that a lane remembers unless its writer says otherwise: 100 Hz with a reader that is away for 2 s, 3 kHz with one in a garbage collection of 70 ms. */
const QUEUE_DEFAULT = 256;
const SLOTS_MIN = 2;
const SLOTS_MAX = 65_536;
/** Slots and headers are cache lines in pairs: what may stand in a slot is 64, 192, 320 … 4032 bytes. */
const INLINE_STEP_BYTES = 128;
const INLINE_MIN_BYTES = 64;
const INLINE_MAX_BYTES = 4_032;
/** A lineage of two inputs fits besides the payload. */
const LINEAGE_BYTES = 48;
const LARGE_STEP_BYTES = 4_096;
/** Payloads of the largest size in the ring of large ones: a reader may hold one, read the next, while the writer fills a third; one to spare. */
const LARGE_PAYLOADS = 4;
export const LANE_BYTES_MAX = 2 ** 30;
const PAYLOAD_BYTES_DEFAULT = 65_536;

/**
 * `queue`: messages to remember; `payloadBytes`: the size of every payload, if it is known; `payloadBytesMax`: of the largest (default 64 KiB, or `payloadBytes`).
 * Throws a `RangeError` for what no lane can be.
 */
export function laneGeometry({ queue = QUEUE_DEFAULT, payloadBytes, payloadBytesMax = payloadBytes ?? PAYLOAD_BYTES_DEFAULT }: { queue?: number; payloadBytes?: number | undefined; payloadBytesMax?: number }): LaneGeometry {
  if (!(queue >= 1 && queue <= SLOTS_MAX)) throw new RangeError(`a lane remembers 1 to ${SLOTS_MAX} messages, not ${queue}`);
  if (!(payloadBytesMax >= 0)) throw new RangeError(`payloads of ${payloadBytesMax} bytes`);
  const slots = 2 ** Math.ceil(Math.log2(Math.max(queue, SLOTS_MIN)));
  // Without a known size most messages of a robot are below 200 bytes; larger ones go to the other ring.
  const wanted = (payloadBytes ?? Math.min(payloadBytesMax, 192 - LINEAGE_BYTES)) + LINEAGE_BYTES;
  const inlineBytes = Math.min(INLINE_MAX_BYTES, INLINE_MIN_BYTES + Math.ceil(Math.max(0, wanted - INLINE_MIN_BYTES) / INLINE_STEP_BYTES) * INLINE_STEP_BYTES);
  // With the whole lineage (15 inputs) and the alignment of 64.
  const largest = payloadBytesMax + 15 * 24 + 64;
  const largeBytes = largest <= inlineBytes ? 0 : Math.ceil((largest * LARGE_PAYLOADS) / LARGE_STEP_BYTES) * LARGE_STEP_BYTES;
  const bytes = 4_096 + slots * (64 + inlineBytes) + largeBytes;
  if (bytes > LANE_BYTES_MAX) throw new RangeError(`a lane of ${slots} messages with payloads of up to ${payloadBytesMax} bytes takes ${bytes} bytes, more than ${LANE_BYTES_MAX}`);
  return { slots, inlineBytes, largeBytes };
}
