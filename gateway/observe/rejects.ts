/**
 * Every rejection has one reason, one counter and a bounded sample of the offending bytes. A babbling node costs a counter each frame and
 * one copy of its bytes per sampling interval, never memory.
 */
import type { RejectReport } from "../../schemas/messages/statusReport.ts";

export type RejectReason =
  | "crcMismatch" | "repeated" | "wrongSequence" | "badLength" | "unknownMultiplexer" | "outOfRange" | "notANumber" | "notRepresentable"
  /** No check is configured for the message, and nothing says that the link's own is enough. */
  | "unprotected"
  | "unknownId" | "notPermitted" | "stale" | "unexpectedFrame" | "quarantined" | "malformed" | "overflow";

/** Between two samples of the same reason on the same link: enough to look at, too little to cost anything (10/s × 88 bytes). */
export const SAMPLE_INTERVAL_US = 100_000;
/** Longest sample kept: a whole FD frame. */
export const SAMPLE_BYTES_MAX = 64;
/** Samples kept per reason and link. */
export const SAMPLES_MAX = 16;

export interface RejectSample {
  atUs: number;
  /** What was offending: "0x1A0", a topic, a message name. */
  source: string;
  bytes: Uint8Array;
}

/** One reason on one link. */
export class RejectCounter {
  readonly link: string;
  readonly reason: RejectReason;
  count = 0;
  readonly #ring: RejectSample[] = [];
  #next = 0;
  #lastSampleUs = -Infinity;

  constructor(link: string, reason: RejectReason) {
    this.link = link;
    this.reason = reason;
  }

  /** Counts; keeps a copy of the bytes when the last one is old enough. `source` is called only then. */
  add(bytes: Uint8Array, at: number, lengthBytes: number, nowUs: number, source: () => string): void {
    this.count += 1;
    if (nowUs - this.#lastSampleUs < SAMPLE_INTERVAL_US) return;
    this.#lastSampleUs = nowUs;
    this.#ring[this.#next] = { atUs: nowUs, source: source(), bytes: bytes.slice(at, at + Math.min(lengthBytes, SAMPLE_BYTES_MAX)) };
    this.#next = (this.#next + 1) % SAMPLES_MAX;
  }

  /** Newest first. */
  samples(): readonly RejectSample[] {
    return [...this.#ring].sort((a, b) => b.atUs - a.atUs);
  }
}

export class Rejects {
  readonly #counters = new Map<string, RejectCounter>();

  /** The counter of `reason` on `link`; made at the first call, so keep it where frames are many. */
  counter(link: string, reason: RejectReason): RejectCounter {
    const key = `${link}\0${reason}`;
    let counter = this.#counters.get(key);
    if (!counter) this.#counters.set(key, (counter = new RejectCounter(link, reason)));
    return counter;
  }

  counters(): readonly RejectCounter[] {
    return [...this.#counters.values()];
  }

  get total(): number {
    let total = 0;
    for (const counter of this.#counters.values()) total += counter.count;
    return total;
  }

  /** All that counted anything, most first. */
  report(nowUs: number): RejectReport[] {
    return [...this.#counters.values()].filter((counter) => counter.count > 0).sort((a, b) => b.count - a.count).map((counter) => {
      const sample = counter.samples()[0];
      return {
        link: counter.link, reason: counter.reason, count: counter.count,
        lastSample: sample && { atMsAgo: (nowUs - sample.atUs) / 1e3, source: sample.source, hex: Buffer.from(sample.bytes).toString("hex") },
      };
    });
  }
}
