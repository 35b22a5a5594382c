/**
 * Profiles 1 and 11: CRC of 8 bits, counter 0…14 in half a byte, Data ID of 16 bits that is not sent (mode nibble sends four bits of it).
 *
 * The trap: AUTOSAR's CRC8 routine starts from 0xFF and inverts at the end, but the profile calls it so that both cancel out; what is on
 * the wire is CRC-8/SAE-J1850-ZERO over the Data ID bytes and then the frame without its CRC byte.
 */
import { crc8SaeJ1850Zero, crc8SaeJ1850ZeroByte } from "../crc/crc8.ts";
import { assertProtectable, Verdict } from "./codec.ts";
import type { FrameCodec } from "./codec.ts";
import { layoutOf } from "./config.ts";
import type { DataIdMode, E2eConfig } from "./config.ts";

export class P01Codec implements FrameCodec {
  readonly counterCount = 15;
  readonly firstCounter = 0;
  readonly #minLengthBytes: number;
  readonly #maxLengthBytes: number;
  readonly #crcByte: number;
  readonly #counterByte: number;
  readonly #counterShift: number;
  /** The CRC after the Data ID, for even and for odd counters (they differ in mode alt only). */
  readonly #startEven: number;
  readonly #startOdd: number;
  readonly #nibbleByte: number;
  readonly #nibbleShift: number;
  /** The Data ID's bits 8…11, or −1 when the mode does not send them. */
  readonly #nibble: number;

  constructor(config: E2eConfig) {
    const layout = layoutOf(config);
    const dataId = config.dataId ?? 0;
    const mode = config.dataIdMode ?? "both";
    this.#minLengthBytes = layout.minLengthBytes;
    this.#maxLengthBytes = layout.maxLengthBytes;
    this.#crcByte = layout.crcOffsetBits >>> 3;
    this.#counterByte = layout.counterOffsetBits >>> 3;
    this.#counterShift = layout.counterOffsetBits & 7;
    this.#nibbleByte = layout.dataIdNibbleOffsetBits >>> 3;
    this.#nibbleShift = layout.dataIdNibbleOffsetBits & 7;
    this.#nibble = mode === "nibble" ? dataId >>> 8 : -1;
    this.#startEven = startOf(mode, dataId & 0xff, dataId >>> 8, false);
    this.#startOdd = startOf(mode, dataId & 0xff, dataId >>> 8, true);
  }

  inspect(bytes: Uint8Array, at: number, lengthBytes: number): Verdict {
    if (lengthBytes < this.#minLengthBytes || lengthBytes > this.#maxLengthBytes) return Verdict.badLength;
    if (bytes[at + this.#crcByte] !== this.#crc(bytes, at, lengthBytes)) return Verdict.crcMismatch;
    if (this.#nibble >= 0 && ((bytes[at + this.#nibbleByte]! >>> this.#nibbleShift) & 0xf) !== this.#nibble) return Verdict.wrongDataId;
    return Verdict.ok;
  }

  counterOf(bytes: Uint8Array, at: number): number {
    return (bytes[at + this.#counterByte]! >>> this.#counterShift) & 0xf;
  }

  protect(bytes: Uint8Array, at: number, lengthBytes: number, _canId: number, counter: number): void {
    assertProtectable(this, lengthBytes >= this.#minLengthBytes && lengthBytes <= this.#maxLengthBytes, lengthBytes, counter);
    setNibble(bytes, at + this.#counterByte, this.#counterShift, counter);
    if (this.#nibble >= 0) setNibble(bytes, at + this.#nibbleByte, this.#nibbleShift, this.#nibble);
    bytes[at + this.#crcByte] = this.#crc(bytes, at, lengthBytes);
  }

  #crc(bytes: Uint8Array, at: number, lengthBytes: number): number {
    const start = this.counterOf(bytes, at) & 1 ? this.#startOdd : this.#startEven;
    const crcAt = at + this.#crcByte;
    return crc8SaeJ1850Zero(bytes, crcAt + 1, at + lengthBytes, crc8SaeJ1850Zero(bytes, at, crcAt, start));
  }
}

function startOf(mode: DataIdMode, low: number, high: number, odd: boolean): number {
  switch (mode) {
    case "both":
      return crc8SaeJ1850ZeroByte(high, crc8SaeJ1850ZeroByte(low));
    case "alt":
      return crc8SaeJ1850ZeroByte(odd ? high : low);
    case "low":
      return crc8SaeJ1850ZeroByte(low);
    case "nibble":
      return crc8SaeJ1850ZeroByte(0, crc8SaeJ1850ZeroByte(low));
  }
}

export function setNibble(bytes: Uint8Array, at: number, shiftBits: number, value: number): void {
  bytes[at] = (bytes[at]! & ~(0xf << shiftBits)) | (value << shiftBits);
}
