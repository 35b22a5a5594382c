/**
 * One frame's protection: where CRC, counter, length and Data ID lie and how they are computed. A codec keeps nothing between frames, so
 * one may serve any number of senders and receivers. Frames lie anywhere in a buffer: `bytes[at, at + lengthBytes)`; nothing else is
 * touched. No method allocates.
 */

/** What a codec says about a frame by itself, without its predecessors. 0, 4 and 5 are the numbers of `CheckResult`. */
export const Verdict = {
  ok: 0,
  crcMismatch: 4,
  badLength: 5,
  /** The CRC is right but the frame names another Data ID: a valid frame of somebody else. */
  wrongDataId: 6,
} as const;

export type Verdict = (typeof Verdict)[keyof typeof Verdict];

export interface FrameCodec {
  /** How many counter values there are (15, 16, 256, 65536, 2^32); the counter runs from 0 to one less. 1: there is no counter. */
  readonly counterCount: number;
  /** The counter of a sender's first frame. */
  readonly firstCounter: number;
  inspect(bytes: Uint8Array, at: number, lengthBytes: number, canId: number): Verdict;
  /** The counter field. Only meaningful for a frame that is long enough; may be ≥ counterCount in a frame no conforming sender sends. */
  counterOf(bytes: Uint8Array, at: number, lengthBytes: number, canId: number): number;
  /** Writes counter, length and Data ID where the layout has them, then the CRC. Throws RangeError for a counter or length the layout cannot have. */
  protect(bytes: Uint8Array, at: number, lengthBytes: number, canId: number, counter: number): void;
}

export function assertProtectable(codec: FrameCodec, lengthFits: boolean, lengthBytes: number, counter: number): void {
  if (!lengthFits) throw new RangeError(`a frame of ${lengthBytes} bytes does not fit this protection's configured length`);
  if (!(Number.isInteger(counter) && counter >= 0 && counter < codec.counterCount)) throw new RangeError(`counter ${counter} is outside 0…${codec.counterCount - 1}`);
}

export function readU16(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

export function writeU16(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 8;
  bytes[at + 1] = value;
}

/** Big-endian, unsigned. */
export function readU32(bytes: Uint8Array, at: number): number {
  return ((bytes[at]! << 24) | (bytes[at + 1]! << 16) | (bytes[at + 2]! << 8) | bytes[at + 3]!) >>> 0;
}

export function writeU32(bytes: Uint8Array, at: number, value: number): void {
  bytes[at] = value >>> 24;
  bytes[at + 1] = value >>> 16;
  bytes[at + 2] = value >>> 8;
  bytes[at + 3] = value;
}
