/** Packets that wait until the peer reads, in one buffer that grows to `capacityBytes` and no further. Full = the packet is refused: the caller decides what to drop. */
export class PacketQueue {
  readonly capacityBytes: number;
  bytes = new Uint8Array(0);
  /** Bytes waiting. */
  pendingBytes = 0;
  #end = 0;
  /** Offsets and lengths, two per packet, from `#first` on. */
  #spans: number[] = [];
  #first = 0;

  constructor(capacityBytes: number) {
    this.capacityBytes = capacityBytes;
  }

  get packets(): number {
    return (this.#spans.length - this.#first) / 2;
  }

  hasRoomFor(bytes: number): boolean {
    return this.pendingBytes + bytes <= this.capacityBytes;
  }

  /** Copies a packet in; false = no room. */
  push(from: Uint8Array, at: number, lengthBytes: number): boolean {
    if (!this.hasRoomFor(lengthBytes)) return false;
    if (this.#end + lengthBytes > this.bytes.length) this.#makeRoom(lengthBytes);
    this.bytes.set(at === 0 && lengthBytes === from.length ? from : from.subarray(at, at + lengthBytes), this.#end);
    this.#spans.push(this.#end, lengthBytes);
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

  /** Removes the `count` oldest packets. */
  shift(count: number): void {
    for (let i = 0; i < count; i++) this.pendingBytes -= this.#spans[this.#first + 2 * i + 1]!;
    this.#first += 2 * count;
    if (this.#first < this.#spans.length) return;
    this.#spans = [];
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
    this.#first = 0;
    this.#end -= from;
  }
}
