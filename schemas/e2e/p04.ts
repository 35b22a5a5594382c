/**
 * Profiles 4, 7 and 8: header with length, counter and a Data ID that is sent; CRC over everything but the CRC itself; all big-endian.
 *
 * P04: length 2 · counter 2 · Data ID 4 · CRC-32 4. P07: CRC-64 8 · length 4 · counter 4 · Data ID 4. P08: CRC-32 4 · length 4 · counter 4 · Data ID 4.
 *
 * The CRC is looked at before length and Data ID: whatever else a frame says is worth nothing until then.
 */
import { crc32Autosar } from "../crc/crc32.ts";
import { crc64Start, crc64Xz } from "../crc/crc64.ts";
import { assertProtectable, readU16, readU32, Verdict, writeU16, writeU32 } from "./codec.ts";
import type { FrameCodec } from "./codec.ts";
import { layoutOf } from "./config.ts";
import type { E2eConfig, Layout } from "./config.ts";

abstract class ExplicitIdCodec {
  readonly firstCounter = 0;
  protected readonly layout: Layout;
  protected readonly dataId: number;

  constructor(config: E2eConfig) {
    this.layout = layoutOf(config);
    this.dataId = config.dataId ?? 0;
  }

  protected fits(lengthBytes: number): boolean {
    return lengthBytes >= this.layout.minLengthBytes && lengthBytes <= this.layout.maxLengthBytes;
  }
}

export class P04Codec extends ExplicitIdCodec implements FrameCodec {
  readonly counterCount = 0x10000;

  inspect(bytes: Uint8Array, at: number, lengthBytes: number): Verdict {
    if (!this.fits(lengthBytes)) return Verdict.badLength;
    const header = at + this.layout.offsetBytes;
    if (readU32(bytes, header + 8) !== this.#crc(bytes, at, lengthBytes)) return Verdict.crcMismatch;
    if (readU16(bytes, header) !== lengthBytes) return Verdict.badLength;
    return readU32(bytes, header + 4) === this.dataId ? Verdict.ok : Verdict.wrongDataId;
  }

  counterOf(bytes: Uint8Array, at: number): number {
    return readU16(bytes, at + this.layout.offsetBytes + 2);
  }

  protect(bytes: Uint8Array, at: number, lengthBytes: number, _canId: number, counter: number): void {
    assertProtectable(this, this.fits(lengthBytes), lengthBytes, counter);
    const header = at + this.layout.offsetBytes;
    writeU16(bytes, header, lengthBytes);
    writeU16(bytes, header + 2, counter);
    writeU32(bytes, header + 4, this.dataId);
    writeU32(bytes, header + 8, this.#crc(bytes, at, lengthBytes));
  }

  #crc(bytes: Uint8Array, at: number, lengthBytes: number): number {
    const crcAt = at + this.layout.offsetBytes + 8;
    return crc32Autosar(bytes, crcAt + 4, at + lengthBytes, crc32Autosar(bytes, at, crcAt));
  }
}

/** What P07 and P08 share: after the CRC, length, counter and Data ID of four bytes each. */
abstract class CrcFirstCodec extends ExplicitIdCodec implements FrameCodec {
  readonly counterCount = 0x100000000;
  protected abstract readonly crcBytes: number;
  protected abstract crcRight(bytes: Uint8Array, at: number, lengthBytes: number): boolean;
  protected abstract writeCrc(bytes: Uint8Array, at: number, lengthBytes: number): void;

  inspect(bytes: Uint8Array, at: number, lengthBytes: number): Verdict {
    if (!this.fits(lengthBytes)) return Verdict.badLength;
    if (!this.crcRight(bytes, at, lengthBytes)) return Verdict.crcMismatch;
    const fields = at + this.layout.offsetBytes + this.crcBytes;
    if (readU32(bytes, fields) !== lengthBytes) return Verdict.badLength;
    return readU32(bytes, fields + 8) === this.dataId ? Verdict.ok : Verdict.wrongDataId;
  }

  counterOf(bytes: Uint8Array, at: number): number {
    return readU32(bytes, at + this.layout.offsetBytes + this.crcBytes + 4);
  }

  protect(bytes: Uint8Array, at: number, lengthBytes: number, _canId: number, counter: number): void {
    assertProtectable(this, this.fits(lengthBytes), lengthBytes, counter);
    const fields = at + this.layout.offsetBytes + this.crcBytes;
    writeU32(bytes, fields, lengthBytes);
    writeU32(bytes, fields + 4, counter);
    writeU32(bytes, fields + 8, this.dataId);
    this.writeCrc(bytes, at, lengthBytes);
  }
}

export class P08Codec extends CrcFirstCodec {
  protected readonly crcBytes = 4;

  protected crcRight(bytes: Uint8Array, at: number, lengthBytes: number): boolean {
    return readU32(bytes, at + this.layout.offsetBytes) === this.#crc(bytes, at, lengthBytes);
  }

  protected writeCrc(bytes: Uint8Array, at: number, lengthBytes: number): void {
    writeU32(bytes, at + this.layout.offsetBytes, this.#crc(bytes, at, lengthBytes));
  }

  #crc(bytes: Uint8Array, at: number, lengthBytes: number): number {
    const crcAt = at + this.layout.offsetBytes;
    return crc32Autosar(bytes, crcAt + 4, at + lengthBytes, crc32Autosar(bytes, at, crcAt));
  }
}

export class P07Codec extends CrcFirstCodec {
  protected readonly crcBytes = 8;
  /** Scratch: filled and read within one call. */
  readonly #crc = crc64Start();

  protected crcRight(bytes: Uint8Array, at: number, lengthBytes: number): boolean {
    this.#compute(bytes, at, lengthBytes);
    const crcAt = at + this.layout.offsetBytes;
    return readU32(bytes, crcAt) === this.#crc[1] && readU32(bytes, crcAt + 4) === this.#crc[0];
  }

  protected writeCrc(bytes: Uint8Array, at: number, lengthBytes: number): void {
    this.#compute(bytes, at, lengthBytes);
    const crcAt = at + this.layout.offsetBytes;
    writeU32(bytes, crcAt, this.#crc[1]!);
    writeU32(bytes, crcAt + 4, this.#crc[0]!);
  }

  #compute(bytes: Uint8Array, at: number, lengthBytes: number): void {
    const crcAt = at + this.layout.offsetBytes;
    this.#crc[0] = 0;
    this.#crc[1] = 0;
    crc64Xz(bytes, at, crcAt, this.#crc);
    crc64Xz(bytes, crcAt + 8, at + lengthBytes, this.#crc);
  }
}
