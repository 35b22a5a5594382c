/**
 * Consistent Overhead Byte Stuffing (Cheshire & Baker 1999): turns any bytes into bytes without 0x00, so that 0x00 alone ends a frame
 * and a receiver that lost its place finds it again at the next one.
 *
 * On our wire every frame has a 0x00 in front as well as behind: noise picked up on an idle line then ends in a frame of its own
 * instead of swallowing the real one. Runs of 0x00 are empty frames and mean nothing.
 *
 * Invariants: a frame is handed out whole or not at all; nothing is allocated per frame; a decoder holds at most `maxFrameBytes`,
 * whatever arrives. Encoders may write a 0x01 after a full block at the very end (the npm package does); it decodes to nothing.
 */
export const COBS_DELIMITER = 0x00;

/** The most bytes `payloadBytes` can become, delimiters not counted: one code byte per started block of 254. */
export function cobsEncodedBytesMax(payloadBytes: number): number {
  return payloadBytes + Math.floor(payloadBytes / 254) + 1;
}

/** Encodes `payload` into `out` from `at` on, without delimiters; returns the bytes written. `out` must have `cobsEncodedBytesMax` to spare. */
export function cobsEncode(payload: Uint8Array, out: Uint8Array, at = 0): number {
  const lengthBytes = payload.length;
  let codeAt = at;
  let write = at + 1;
  for (let read = 0; read < lengthBytes; read++) {
    const byte = payload[read]!;
    if (byte !== 0) out[write++] = byte;
    const blockBytes = write - codeAt;
    // A full block (0xFF) stands for 254 bytes with no zero behind them; it opens a further block only if bytes follow.
    if (byte === 0 || (blockBytes === 0xff && read + 1 < lengthBytes)) {
      out[codeAt] = blockBytes;
      codeAt = write++;
    }
  }
  out[codeAt] = write - codeAt;
  return write - at;
}

/** `payload` as it goes on the wire: 0x00, encoded bytes, 0x00. */
export function cobsFrame(payload: Uint8Array): Uint8Array {
  const out = new Uint8Array(cobsEncodedBytesMax(payload.length) + 2);
  const encodedBytes = cobsEncode(payload, out, 1);
  return out.subarray(0, encodedBytes + 2);
}

/** Why bytes between two delimiters were not a frame. */
export type CobsFault =
  /** The delimiter came inside a block. */
  | "truncated"
  /** Decodes to more than `maxFrameBytes`; everything up to the next 0x00 was skipped. */
  | "tooLong";

export interface CobsCounters {
  frames: number;
  truncated: number;
  tooLong: number;
  /** Bytes on the wire that belonged to no frame, delimiters not counted. */
  skippedBytes: number;
}

export interface CobsSink {
  /** `payload` is borrowed until the call returns. */
  frame(payload: Uint8Array): void;
  /** `seen` holds what was decoded before the fault (borrowed); `skippedBytes` counts bytes on the wire. */
  bad?(fault: CobsFault, skippedBytes: number, seen: Uint8Array): void;
}

/** Decodes a byte stream in chunks of any size. */
export class CobsDecoder {
  readonly counters: CobsCounters = { frames: 0, truncated: 0, tooLong: 0, skippedBytes: 0 };
  readonly #frame: Uint8Array;
  #lengthBytes = 0;
  /** Bytes of the current block that are still to come. */
  #blockLeft = 0;
  /** Whether a zero stands between this block and the next one, if there is a next one. */
  #zeroBehindBlock = false;
  #wireBytes = 0;
  #skipping = false;

  constructor({ maxFrameBytes }: { maxFrameBytes: number }) {
    this.#frame = new Uint8Array(maxFrameBytes);
  }

  push(bytes: Uint8Array, sink: CobsSink): void {
    const frame = this.#frame;
    for (let i = 0; i < bytes.length; i++) {
      const byte = bytes[i]!;
      if (byte === COBS_DELIMITER) {
        this.#end(sink);
        continue;
      }
      this.#wireBytes += 1;
      if (this.#skipping) continue;
      if (this.#blockLeft > 0) {
        if (this.#lengthBytes >= frame.length) {
          this.#skipping = true;
          continue;
        }
        frame[this.#lengthBytes++] = byte;
        this.#blockLeft -= 1;
        continue;
      }
      if (this.#zeroBehindBlock) {
        if (this.#lengthBytes >= frame.length) {
          this.#skipping = true;
          continue;
        }
        frame[this.#lengthBytes++] = 0;
      }
      this.#blockLeft = byte - 1;
      this.#zeroBehindBlock = byte !== 0xff;
    }
  }

  /** Forgets a frame begun: after the port was opened anew, its bytes do not belong to what comes next. */
  reset(): void {
    this.#lengthBytes = 0;
    this.#blockLeft = 0;
    this.#zeroBehindBlock = false;
    this.#wireBytes = 0;
    this.#skipping = false;
  }

  #end(sink: CobsSink): void {
    const { counters } = this;
    const payload = this.#frame.subarray(0, this.#lengthBytes);
    const wireBytes = this.#wireBytes;
    const fault: CobsFault | undefined = this.#skipping ? "tooLong" : this.#blockLeft > 0 ? "truncated" : undefined;
    this.reset();
    if (wireBytes === 0) return;
    if (fault === undefined) {
      counters.frames += 1;
      sink.frame(payload);
      return;
    }
    counters[fault] += 1;
    counters.skippedBytes += wireBytes;
    sink.bad?.(fault, wireBytes, payload);
  }
}
