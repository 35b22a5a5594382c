/**
 * The gateway's side of docs/specs/node-time.md, pure: a SYNC, and when the bus has confirmed it a FOLLOW_UP that says when that was.
 * It needs a link that tells when its own frames were on the bus (`echo`, as SocketCAN does); without that there is no FOLLOW_UP and nodes stay out of step.
 */
import { e2eCodec, Verdict } from "../../schemas/e2e/index.ts";
import type { NodeFrame } from "./canopen.ts";

export const TIME_ID_DEFAULT = 0x14;
export const TIME_DATA_ID = 0xc1a7;
export const TIME_VERSION = 1;
const HALF = 2 ** 32;

export interface TimeFrame {
  kind: "sync" | "followUp";
  /** Who sends it, 0…7: the owner of the bus. */
  owner: number;
  /** sync: the upper 32 bits of the time in µs; followUp: the lower ones. */
  word: number;
  counter: number;
}

const codec = e2eCodec({ profile: "P05", dataId: TIME_DATA_ID, lengthBytes: 8 });

export function encodeTime({ kind, owner, word, counter }: TimeFrame): Uint8Array {
  const bytes = Uint8Array.of(0, 0, 0, (TIME_VERSION << 4) | (owner << 1) | (kind === "sync" ? 0 : 1), word & 0xff, (word >>> 8) & 0xff, (word >>> 16) & 0xff, word >>> 24);
  codec.protect(bytes, 0, 8, 0, counter);
  return bytes;
}

export function decodeTime(bytes: Uint8Array): TimeFrame | undefined {
  if (codec.inspect(bytes, 0, bytes.length, 0) !== Verdict.ok || bytes[3]! >>> 4 !== TIME_VERSION) return undefined;
  const word = new DataView(bytes.buffer, bytes.byteOffset).getUint32(4, true);
  return { kind: (bytes[3]! & 1) === 0 ? "sync" : "followUp", owner: (bytes[3]! >> 1) & 7, word, counter: codec.counterOf(bytes, 0, bytes.length, 0) };
}

export interface TimeSyncOptions {
  id?: number;
  owner: number;
  periodUs: number;
}

export class TimeSync {
  readonly #id: number;
  readonly #owner: number;
  readonly #periodUs: number;
  #counter = 0;
  #nextUs: number;
  #open: { high: number } | undefined;

  constructor({ id = TIME_ID_DEFAULT, owner, periodUs }: TimeSyncOptions, nowUs: number) {
    this.#id = id;
    this.#owner = owner;
    this.#periodUs = periodUs;
    this.#nextUs = nowUs;
  }

  get deadlineUs(): number {
    return this.#nextUs;
  }

  /** A SYNC, if it is time for one. One that was never confirmed is forgotten. */
  poll(nowUs: number): NodeFrame | undefined {
    if (nowUs < this.#nextUs) return undefined;
    this.#nextUs = Math.max(this.#nextUs + this.#periodUs, nowUs + 1);
    this.#counter = (this.#counter + 1) & 0xff;
    this.#open = { high: Math.floor(nowUs / HALF) };
    return { id: this.#id, data: encodeTime({ kind: "sync", owner: this.#owner, word: this.#open.high, counter: this.#counter }) };
  }

  /** The newest SYNC was on the bus at `sentUs` (its end, monotonic): the FOLLOW_UP, to be sent within a second. */
  confirmed(sentUs: number): NodeFrame | undefined {
    const open = this.#open;
    this.#open = undefined;
    // The upper half changed meanwhile: once in 71 minutes a pair is left out.
    if (!open || Math.floor(sentUs / HALF) !== open.high) return undefined;
    return { id: this.#id, data: encodeTime({ kind: "followUp", owner: this.#owner, word: Math.floor(sentUs) % HALF, counter: this.#counter }) };
  }
}
