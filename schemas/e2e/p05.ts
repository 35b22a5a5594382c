/**
 * Profiles 5 and 6: CRC of 16 bits over the frame without its CRC bytes and then the Data ID, which is not sent; counter of 8 bits.
 * They differ where nobody expects it: P05 writes its CRC and appends its Data ID low byte first, P06 high byte first; P06 adds a length.
 *
 * P05: CRC 2 · counter 1. P06: CRC 2 · length 2 · counter 1.
 */
import { crc16Ibm3740, crc16Ibm3740Byte } from "../crc/crc16.ts";
import { assertProtectable, readU16, Verdict, writeU16 } from "./codec.ts";
import type { FrameCodec } from "./codec.ts";
import { layoutOf } from "./config.ts";
import type { E2eConfig, Layout } from "./config.ts";

function crcOf(bytes: Uint8Array, at: number, crcAt: number, lengthBytes: number): number {
  return crc16Ibm3740(bytes, crcAt + 2, at + lengthBytes, crc16Ibm3740(bytes, at, crcAt));
}

export class P05Codec implements FrameCodec {
  readonly counterCount = 0x100;
  readonly firstCounter = 0;
  readonly #layout: Layout;
  readonly #dataId: number;

  constructor(config: E2eConfig) {
    this.#layout = layoutOf(config);
    this.#dataId = config.dataId ?? 0;
  }

  inspect(bytes: Uint8Array, at: number, lengthBytes: number): Verdict {
    if (!this.#fits(lengthBytes)) return Verdict.badLength;
    const crcAt = at + this.#layout.offsetBytes;
    return (bytes[crcAt]! | (bytes[crcAt + 1]! << 8)) === this.#crc(bytes, at, lengthBytes) ? Verdict.ok : Verdict.crcMismatch;
  }

  counterOf(bytes: Uint8Array, at: number): number {
    return bytes[at + this.#layout.offsetBytes + 2]!;
  }

  protect(bytes: Uint8Array, at: number, lengthBytes: number, _canId: number, counter: number): void {
    assertProtectable(this, this.#fits(lengthBytes), lengthBytes, counter);
    const crcAt = at + this.#layout.offsetBytes;
    bytes[crcAt + 2] = counter;
    const crc = this.#crc(bytes, at, lengthBytes);
    bytes[crcAt] = crc;
    bytes[crcAt + 1] = crc >>> 8;
  }

  #fits(lengthBytes: number): boolean {
    return lengthBytes >= this.#layout.minLengthBytes && lengthBytes <= this.#layout.maxLengthBytes;
  }

  #crc(bytes: Uint8Array, at: number, lengthBytes: number): number {
    const data = crcOf(bytes, at, at + this.#layout.offsetBytes, lengthBytes);
    return crc16Ibm3740Byte(this.#dataId >>> 8, crc16Ibm3740Byte(this.#dataId & 0xff, data));
  }
}

export class P06Codec implements FrameCodec {
  readonly counterCount = 0x100;
  readonly firstCounter = 0;
  readonly #layout: Layout;
  readonly #dataId: number;

  constructor(config: E2eConfig) {
    this.#layout = layoutOf(config);
    this.#dataId = config.dataId ?? 0;
  }

  inspect(bytes: Uint8Array, at: number, lengthBytes: number): Verdict {
    if (!this.#fits(lengthBytes)) return Verdict.badLength;
    const crcAt = at + this.#layout.offsetBytes;
    if (readU16(bytes, crcAt) !== this.#crc(bytes, at, lengthBytes)) return Verdict.crcMismatch;
    return readU16(bytes, crcAt + 2) === lengthBytes ? Verdict.ok : Verdict.badLength;
  }

  counterOf(bytes: Uint8Array, at: number): number {
    return bytes[at + this.#layout.offsetBytes + 4]!;
  }

  protect(bytes: Uint8Array, at: number, lengthBytes: number, _canId: number, counter: number): void {
    assertProtectable(this, this.#fits(lengthBytes), lengthBytes, counter);
    const crcAt = at + this.#layout.offsetBytes;
    writeU16(bytes, crcAt + 2, lengthBytes);
    bytes[crcAt + 4] = counter;
    writeU16(bytes, crcAt, this.#crc(bytes, at, lengthBytes));
  }

  #fits(lengthBytes: number): boolean {
    return lengthBytes >= this.#layout.minLengthBytes && lengthBytes <= this.#layout.maxLengthBytes;
  }

  #crc(bytes: Uint8Array, at: number, lengthBytes: number): number {
    const data = crcOf(bytes, at, at + this.#layout.offsetBytes, lengthBytes);
    return crc16Ibm3740Byte(this.#dataId & 0xff, crc16Ibm3740Byte(this.#dataId >>> 8, data));
  }
}
