/**
 * Packets that wait until the peer reads, in one buffer that grows to `capacityBytes` and no further, with duplicates of the descriptors that go with them (at most
 * `DESCRIPTORS_MAX`). Full = the packet is refused: the caller decides what to drop.
 */
import { closeAll, type Descriptor, noDescriptors } from "./descriptor.ts";

/** Sixteen full messages. A peer that does not read must not use up the process's descriptors: 1024 on a stock system, for all peers together. */
const DESCRIPTORS_MAX = 64;
/** Words per packet in `peek`'s table of descriptors: their number, then up to four. */
const DESCRIPTOR_WORDS = 5;

export class PacketQueue {
  readonly capacityBytes: number;
  bytes = new Uint8Array(0);
  /** Bytes waiting. */
  pendingBytes = 0;
  #end = 0;
  /** Offsets and lengths, two per packet, from `#first` on. */
  #spans: number[] = [];
  #first = 0;
  /** Descriptors of the packets, in the same order, from `#first / 2` on. */
  #descriptors: (readonly Descriptor[])[] = [];
  #pendingDescriptors = 0;

  constructor(capacityBytes: number) {
    this.capacityBytes = capacityBytes;
  }

  get packets(): number {
    return (this.#spans.length - this.#first) / 2;
  }

  hasRoomFor(bytes: number, descriptors = 0): boolean {
    return this.pendingBytes + bytes <= this.capacityBytes && this.#pendingDescriptors + descriptors <= DESCRIPTORS_MAX;
  }

  /** Copies a packet in; false = no room. Of the descriptors it keeps duplicates; throws a `SocketError` when the process can have no more (EMFILE). */
  push(from: Uint8Array, at: number, lengthBytes: number, descriptors: readonly Descriptor[] = noDescriptors): boolean {
    if (!this.hasRoomFor(lengthBytes, descriptors.length)) return false;
    const kept = descriptors.length === 0 ? noDescriptors : duplicate(descriptors);
    if (this.#end + lengthBytes > this.bytes.length) this.#makeRoom(lengthBytes);
    this.bytes.set(at === 0 && lengthBytes === from.length ? from : from.subarray(at, at + lengthBytes), this.#end);
    this.#spans.push(this.#end, lengthBytes);
    this.#descriptors.push(kept);
    this.#pendingDescriptors += kept.length;
    this.#end += lengthBytes;
    this.pendingBytes += lengthBytes;
    return true;
  }

  /** Writes the spans of the oldest packets into `spans` (pairs of offset and length in `bytes`); returns how many packets. */
  peek(spans: Uint32Array): number {
    const count = Math.min(this.packets, spans.length >> 1);
    for (let i = 0; i < 2 * count; i++) spans[i] = this.#spans[this.#first + i]!;
    return count;
  }

  /** Writes the descriptors of the `count` oldest packets into `table`, 5 words each: how many, then these. False = none of them has any. */
  peekDescriptors(count: number, table: Uint32Array): boolean {
    if (this.#pendingDescriptors === 0) return false;
    for (let i = 0; i < count; i++) writeDescriptors(this.#descriptors[this.#first / 2 + i]!, table, i);
    return true;
  }

  /** Copies of all packets, oldest first; the descriptors stay the queue's. */
  all(): { bytes: Uint8Array; descriptors: readonly Descriptor[] }[] {
    return Array.from({ length: this.packets }, (_, i) => {
      const at = this.#spans[this.#first + 2 * i]!;
      return { bytes: this.bytes.slice(at, at + this.#spans[this.#first + 2 * i + 1]!), descriptors: this.#descriptors[this.#first / 2 + i]! };
    });
  }

  /** Removes the `count` oldest packets. */
  shift(count: number): void {
    for (let i = 0; i < count; i++) {
      this.pendingBytes -= this.#spans[this.#first + 2 * i + 1]!;
      const descriptors = this.#descriptors[this.#first / 2 + i]!;
      this.#pendingDescriptors -= descriptors.length;
      closeAll(descriptors);
    }
    this.#first += 2 * count;
    if (this.#first < this.#spans.length) return;
    this.#spans = [];
    this.#descriptors = [];
    this.#first = 0;
    this.#end = 0;
    // A queue that was long once should not cost its memory for ever.
    if (this.bytes.length > 262_144) this.bytes = new Uint8Array(0);
  }

  clear(): void {
    this.shift(this.packets);
  }

  /** Moves what waits to the front, into a larger buffer if need be. */
  #makeRoom(lengthBytes: number): void {
    const needed = this.pendingBytes + lengthBytes;
    const target = needed * 2 <= this.bytes.length ? this.bytes : new Uint8Array(Math.min(this.capacityBytes, Math.max(4096, needed * 2)));
    const from = this.#spans[this.#first] ?? 0;
    target.set(this.bytes.subarray(from, this.#end));
    const spans = this.#spans.slice(this.#first);
    for (let i = 0; i < spans.length; i += 2) spans[i]! -= from;
    this.bytes = target;
    this.#spans = spans;
    this.#descriptors = this.#descriptors.slice(this.#first / 2);
    this.#first = 0;
    this.#end -= from;
  }
}

/** Writes the descriptors of packet `index` into a table of 5 words a packet. */
export function writeDescriptors(descriptors: readonly Descriptor[], table: Uint32Array, index: number): void {
  table[DESCRIPTOR_WORDS * index] = descriptors.length;
  for (let i = 0; i < descriptors.length; i++) table[DESCRIPTOR_WORDS * index + 1 + i] = descriptors[i]!.fd;
}

function duplicate(descriptors: readonly Descriptor[]): Descriptor[] {
  const made: Descriptor[] = [];
  try {
    for (const descriptor of descriptors) made.push(descriptor.dup());
  } catch (error) {
    closeAll(made);
    throw error;
  }
  return made;
}
