/**
 * Integrity of binary payloads: E2E profile 8 (CRC-32, length, counter, Data ID; 16 bytes, big-endian) in front of the body.
 * See docs/specs/mqtt.md.
 */
import { CheckResult, FrameCheck, FrameProtector, checkResultName, e2eCodec } from "../../schemas/e2e/index.ts";
import type { FrameCodec } from "../../schemas/e2e/index.ts";
import { PAYLOAD_LIMITS } from "./limits.ts";

export const ENVELOPE_HEADER_BYTES = 16;

export type EnvelopeFault = "badLength" | "crcMismatch" | "repeated" | "wrongSequence";
export type EnvelopeResult = { ok: true; body: Uint8Array; counter: number; lostBefore: number } | { ok: false; code: EnvelopeFault };

export function envelopeCodec(dataId: number): FrameCodec {
  return e2eCodec({ profile: "P08", dataId, maxLengthBytes: ENVELOPE_HEADER_BYTES + PAYLOAD_LIMITS.bytesMax });
}

/** Puts `body` into an envelope with this counter. Throws a RangeError when it is longer than the limit. */
export function seal(codec: FrameCodec, body: Uint8Array, counter: number): Uint8Array {
  const bytes = new Uint8Array(ENVELOPE_HEADER_BYTES + body.length);
  bytes.set(body, ENVELOPE_HEADER_BYTES);
  codec.protect(bytes, 0, bytes.length, 0, counter);
  return bytes;
}

/** One sender's side: counts by itself. */
export class EnvelopeWriter {
  readonly #protector: FrameProtector;

  constructor({ dataId }: { dataId: number }) {
    this.#protector = new FrameProtector(envelopeCodec(dataId));
  }

  write(body: Uint8Array): Uint8Array {
    const bytes = new Uint8Array(ENVELOPE_HEADER_BYTES + body.length);
    bytes.set(body, ENVELOPE_HEADER_BYTES);
    this.#protector.protect(bytes, 0, bytes.length, 0);
    return bytes;
  }
}

/** One receiver's memory of one topic from one sender. */
export class EnvelopeReader {
  readonly #check: FrameCheck;

  constructor({ dataId, maxDeltaCounter = 1000 }: { dataId: number; maxDeltaCounter?: number }) {
    this.#check = new FrameCheck(envelopeCodec(dataId), { maxDeltaCounter });
  }

  /** The body is a view into `bytes`. */
  read(bytes: Uint8Array, nowUs: number): EnvelopeResult {
    const result = this.#check.check(bytes, 0, bytes.length, 0, nowUs);
    if (result !== CheckResult.ok && result !== CheckResult.okSomeLost) return { ok: false, code: checkResultName(result) as EnvelopeFault };
    return { ok: true, body: bytes.subarray(ENVELOPE_HEADER_BYTES), counter: this.#check.counter, lostBefore: this.#check.lost };
  }
}
