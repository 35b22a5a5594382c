/** Messages as they were read: a batch that is used again and again, and samples of their own. */
import type { LaneLineage } from "./meta.ts";
import type { LanesMemory } from "./memory.ts";

/** A message with everything that came with it. It owns its payload, but for a lease. */
export interface LaneSample {
  readonly sequence: bigint;
  /** Messages lost since the one before. */
  readonly lostBefore: number;
  /** CLOCK_MONOTONIC, ns. */
  readonly timeNs: bigint;
  readonly wallTimeNs: bigint;
  readonly schemaHash: bigint;
  readonly origin: number;
  readonly ttlMs: number;
  readonly quality: 0 | 1 | 2;
  readonly keyFrame: boolean;
  readonly kind: number;
  readonly lineage: readonly LaneLineage[];
  readonly payload: Uint8Array;
}

const WORDS = 16;
const LONGS = 8;

/** The messages of one drain. All of it, the payloads too, is valid until the listener returns: the memory is used again. Indices run from 0 to `count` - 1, unchecked. */
export class LaneBatch {
  readonly #memory: LanesMemory;
  count = 0;

  constructor(memory: LanesMemory) {
    this.#memory = memory;
  }

  /** Where the payloads stand. */
  get bytes(): Uint8Array {
    return this.#memory.buffer;
  }

  /** Whether `bytes` may be kept: they are one large message's own. */
  get isOwned(): boolean {
    return this.#memory.buffer !== this.#memory.shared;
  }

  /** Where payload i begins in `bytes`; a multiple of 8. */
  payloadAt(i: number): number {
    return this.#memory.words[WORDS * i + 12]!;
  }

  payloadBytes(i: number): number {
    return this.#memory.words[WORDS * i + 13]!;
  }

  /** A view. */
  payload(i: number): Uint8Array {
    const at = this.payloadAt(i);
    return this.#memory.buffer.subarray(at, at + this.payloadBytes(i));
  }

  sequence(i: number): bigint {
    return this.#memory.longs[LONGS * i]!;
  }

  /** The sequence as a number: exact below 2^53, 285 years of a million messages a second. */
  sequenceNumber(i: number): number {
    return this.#number(i, 0);
  }

  /** Messages lost since the one before. */
  lostBefore(i: number): number {
    return this.#number(i, 2);
  }

  /** CLOCK_MONOTONIC, ns. */
  timeNs(i: number): bigint {
    return this.#memory.longs[LONGS * i + 2]!;
  }

  /** CLOCK_MONOTONIC, µs. */
  timeUs(i: number): number {
    return this.#number(i, 4) / 1e3;
  }

  wallTimeNs(i: number): bigint {
    return BigInt.asIntN(64, this.#memory.longs[LONGS * i + 3]!);
  }

  schemaHash(i: number): bigint {
    return this.#memory.longs[LONGS * i + 4]!;
  }

  origin(i: number): number {
    return this.#memory.words[WORDS * i + 10]!;
  }

  ttlMs(i: number): number {
    return this.#memory.words[WORDS * i + 11]!;
  }

  quality(i: number): 0 | 1 | 2 {
    return (this.#flags(i) & 3) as 0 | 1 | 2;
  }

  keyFrame(i: number): boolean {
    return (this.#flags(i) & 4) !== 0;
  }

  kind(i: number): number {
    return this.#flags(i) >>> 24;
  }

  lineage(i: number): LaneLineage[] {
    const count = (this.#flags(i) >>> 16) & 0xff;
    const from = this.#memory.words[WORDS * i + 15]!;
    const longs = this.#memory.lineage;
    return Array.from({ length: count }, (_, k) => ({ origin: longs[3 * (from + k)]!, topic: longs[3 * (from + k) + 1]!, sequence: longs[3 * (from + k) + 2]! }));
  }

  /** Message i as a value of its own. */
  sample(i: number, payload: Uint8Array = this.isOwned ? this.payload(i) : this.payload(i).slice()): LaneSample {
    return {
      sequence: this.sequence(i), lostBefore: this.lostBefore(i), timeNs: this.timeNs(i), wallTimeNs: this.wallTimeNs(i), schemaHash: this.schemaHash(i), origin: this.origin(i), ttlMs: this.ttlMs(i),
      quality: this.quality(i), keyFrame: this.keyFrame(i), kind: this.kind(i), lineage: this.lineage(i), payload,
    };
  }

  #flags(i: number): number {
    return this.#memory.words[WORDS * i + 14]!;
  }

  #number(i: number, word: number): number {
    const { words } = this.#memory;
    return words[WORDS * i + word]! + words[WORDS * i + word + 1]! * 2 ** 32;
  }
}
