/**
 * Data packets: a batch of samples, written into and read from reused buffers without allocation. Both directions use it; toward the gateway a sample is a publish.
 *
 * One sample = 40-byte head + payload, padded with zeros to 8 bytes; all little-endian:
 *
 * | offset | type | to the client | to the gateway |
 * |---|---|---|---|
 * | 0 | u32 | topicId, as announced | the same |
 * | 4 | u32 | payloadBytes | the same |
 * | 8 | f64 | sequence of the topic | 0 |
 * | 16 | f64 | timeUs, CLOCK_MONOTONIC | when it was published |
 * | 24 | u32 | subscription it belongs to | time to live, ms (0 = none) |
 * | 28 | u32 | lostBefore: samples this subscription lost just before | 0 |
 * | 32 | u32 | originId, as announced | 0 |
 * | 36 | u8 | quality 0 good, 1 stale, 2 bad | 0 |
 * | 37 | u8 | flags | flags |
 * | 38 | u16 | 0 | 0 |
 *
 * The first sample stands at a multiple of 8 of the packet, and so does every payload: a record can be read in place.
 */
import { HEADER_BYTES, PACKET_BYTES_MAX } from "./limits.ts";

export const SAMPLE_HEAD_BYTES = 40;
/** Where the first sample of a packet stands. */
export const SAMPLES_AT = 32;
/** The largest payload a packet can carry. */
export const PAYLOAD_BYTES_MAX = PACKET_BYTES_MAX - SAMPLES_AT - SAMPLE_HEAD_BYTES;

export const SampleFlag = {
  /** To the client: the value the topic already had when the subscription began. */
  lastValue: 1,
  /** To the client: samples before it were left out because the subscription asks for the latest value or for a lower rate. */
  conflated: 2,
  /** To the gateway: the payload is a CBOR value to be encoded by the gateway, not the topic's own bytes. */
  cbor: 4,
} as const;

/** Bytes a sample takes in a packet. */
export function sampleBytes(payloadBytes: number): number {
  return SAMPLE_HEAD_BYTES + ((payloadBytes + 7) & ~7);
}

/** Copies without a view where a loop is cheaper: a `set(subarray())` costs about 100 ns before the first byte. */
export function copyBytes(from: Uint8Array, at: number, lengthBytes: number, to: Uint8Array, toAt: number): void {
  if (lengthBytes > 96) to.set(from.subarray(at, at + lengthBytes), toAt);
  else for (let i = 0; i < lengthBytes; i++) to[toAt + i] = from[at + i]!;
}

/**
 * Builds one data packet. Samples go to the end, the oldest can be taken from the front again; `finish` writes the head before the oldest one left.
 * Invariant: the bytes from `start` to `end` are `count` whole samples.
 */
export class SampleBatchWriter {
  readonly bytes: Uint8Array;
  readonly #view: DataView;
  readonly #end: number;
  start = SAMPLES_AT;
  end = SAMPLES_AT;
  count = 0;

  constructor(bytes: Uint8Array = new Uint8Array(PACKET_BYTES_MAX)) {
    this.bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#end = bytes.length;
  }

  reset(): void {
    this.start = SAMPLES_AT;
    this.end = SAMPLES_AT;
    this.count = 0;
  }

  /** Appends a sample with `payload[at … at+payloadBytes)`; false = it does not fit, nothing was written. `tag` is the subscription or the time to live. */
  append(
    topicId: number, tag: number, sequence: number, timeUs: number, lostBefore: number, originId: number, quality: number, flags: number,
    payload: Uint8Array, at: number, payloadBytes: number,
  ): boolean {
    const head = this.end;
    const end = head + SAMPLE_HEAD_BYTES + ((payloadBytes + 7) & ~7);
    if (end > this.#end || this.count === 0xffff) return false;
    const view = this.#view;
    view.setUint32(head, topicId, true);
    view.setUint32(head + 4, payloadBytes, true);
    view.setFloat64(head + 8, sequence, true);
    view.setFloat64(head + 16, timeUs, true);
    view.setUint32(head + 24, tag, true);
    view.setUint32(head + 28, lostBefore, true);
    view.setUint32(head + 32, originId, true);
    view.setUint32(head + 36, quality | (flags << 8), true);
    copyBytes(payload, at, payloadBytes, this.bytes, head + SAMPLE_HEAD_BYTES);
    for (let i = head + SAMPLE_HEAD_BYTES + payloadBytes; i < end; i++) this.bytes[i] = 0;
    this.end = end;
    this.count += 1;
    return true;
  }

  /** Copies a whole sample out of another batch and replaces its lostBefore and flags; false = it does not fit. */
  appendCopy(from: SampleBatchWriter, at: number, lostBefore: number, flags: number): boolean {
    const lengthBytes = from.sampleBytesAt(at);
    if (this.end + lengthBytes > this.#end || this.count === 0xffff) return false;
    copyBytes(from.bytes, at, lengthBytes, this.bytes, this.end);
    this.#view.setUint32(this.end + 28, lostBefore, true);
    this.bytes[this.end + 37] = flags;
    this.end += lengthBytes;
    this.count += 1;
    return true;
  }

  /** Removes the oldest sample, which the caller has looked at through `…At(start)`. */
  dropFirst(): void {
    this.start += this.sampleBytesAt(this.start);
    this.count -= 1;
  }

  topicIdAt(at: number): number {
    return this.#view.getUint32(at, true);
  }
  tagAt(at: number): number {
    return this.#view.getUint32(at + 24, true);
  }
  lostBeforeAt(at: number): number {
    return this.#view.getUint32(at + 28, true);
  }
  setLostBeforeAt(at: number, lost: number): void {
    this.#view.setUint32(at + 28, lost, true);
  }
  flagsAt(at: number): number {
    return this.bytes[at + 37]!;
  }
  sampleBytesAt(at: number): number {
    return sampleBytes(this.#view.getUint32(at + 4, true));
  }

  /** Writes the head of the data packet; the packet is `bytes[packetAt … end)`, its P07 header still to be sealed. */
  finish(wallOffsetUs: number): void {
    const body = this.packetAt + HEADER_BYTES;
    this.#view.setUint32(body, this.count, true);
    this.#view.setFloat64(body + 4, wallOffsetUs, true);
  }

  /** Where the packet begins: the head overwrites samples that were dropped. */
  get packetAt(): number {
    return this.start - SAMPLES_AT;
  }
  get packetBytes(): number {
    return this.end - this.packetAt;
  }
}

export type BatchFault = "tooShort" | "reservedNotZero" | "sampleBeyondPacket" | "trailingBytes" | "badQuality" | "badTime";

/** Reads one data packet. `open` checks the whole batch first, so that iterating needs no checks and nobody sees half of a bad packet. */
export class SampleBatchReader {
  bytes: Uint8Array = new Uint8Array(0);
  /** Wall time − monotonic time, µs. */
  wallOffsetUs = 0;
  count = 0;
  topicId = 0;
  tag = 0;
  sequence = 0;
  timeUs = 0;
  lostBefore = 0;
  originId = 0;
  quality = 0;
  flags = 0;
  /** The payload is `bytes[payloadAt … payloadAt+payloadBytes)`. */
  payloadAt = 0;
  payloadBytes = 0;
  #view = new DataView(this.bytes.buffer);
  #next = 0;
  #left = 0;

  /** Takes the packet `bytes[at … at+lengthBytes)` whose header has been checked. Returns what is wrong, or undefined; then `next()` walks it. */
  open(bytes: Uint8Array, at: number, lengthBytes: number): BatchFault | undefined {
    this.#left = 0;
    this.count = 0;
    if (this.bytes.buffer !== bytes.buffer || this.bytes.byteOffset !== bytes.byteOffset || this.bytes.length !== bytes.length) {
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    }
    this.bytes = bytes;
    if (lengthBytes < SAMPLES_AT) return "tooShort";
    const view = this.#view;
    const count = view.getUint16(at + HEADER_BYTES, true);
    if (view.getUint16(at + HEADER_BYTES + 2, true) !== 0) return "reservedNotZero";
    const end = at + lengthBytes;
    let head = at + SAMPLES_AT;
    for (let i = 0; i < count; i++) {
      if (head + SAMPLE_HEAD_BYTES > end) return "sampleBeyondPacket";
      const payloadBytes = view.getUint32(head + 4, true);
      if (payloadBytes > end - head - SAMPLE_HEAD_BYTES) return "sampleBeyondPacket";
      if (bytes[head + 36]! > 2) return "badQuality";
      if (view.getUint16(head + 38, true) !== 0) return "reservedNotZero";
      if (!Number.isFinite(view.getFloat64(head + 8, true)) || !Number.isFinite(view.getFloat64(head + 16, true))) return "badTime";
      head += sampleBytes(payloadBytes);
    }
    if (head > end) return "sampleBeyondPacket";
    if (head < end) return "trailingBytes";
    if (!Number.isFinite(view.getFloat64(at + HEADER_BYTES + 4, true))) return "badTime";
    this.wallOffsetUs = view.getFloat64(at + HEADER_BYTES + 4, true);
    this.count = count;
    this.#left = count;
    this.#next = at + SAMPLES_AT;
    return undefined;
  }

  /** Moves to the next sample; false = there is none. */
  next(): boolean {
    if (this.#left === 0) return false;
    this.#left -= 1;
    const head = this.#next;
    const view = this.#view;
    this.topicId = view.getUint32(head, true);
    this.payloadBytes = view.getUint32(head + 4, true);
    this.sequence = view.getFloat64(head + 8, true);
    this.timeUs = view.getFloat64(head + 16, true);
    this.tag = view.getUint32(head + 24, true);
    this.lostBefore = view.getUint32(head + 28, true);
    this.originId = view.getUint32(head + 32, true);
    this.quality = this.bytes[head + 36]!;
    this.flags = this.bytes[head + 37]!;
    this.payloadAt = head + SAMPLE_HEAD_BYTES;
    this.#next = this.payloadAt + ((this.payloadBytes + 7) & ~7);
    return true;
  }
}
