/**
 * Profiles 2 and 22: CRC of 8 bits (polynomial 0x2F), counter 0…15 in the low half of the next byte, and a Data ID of 8 bits picked from
 * a list of 16 by the counter. CRC over the frame without its CRC byte, then that Data ID. The two are the same on the wire.
 */
import { crc8Autosar, crc8AutosarByte } from "../crc/crc8.ts";
import { assertProtectable, Verdict } from "./codec.ts";
import type { FrameCodec } from "./codec.ts";
import { layoutOf } from "./config.ts";
import type { E2eConfig } from "./config.ts";
import { setNibble } from "./p01.ts";

export class P02Codec implements FrameCodec {
  readonly counterCount = 16;
  /** Their senders count before they write. */
  readonly firstCounter = 1;
  readonly #minLengthBytes: number;
  readonly #maxLengthBytes: number;
  readonly #offset: number;
  readonly #dataIdList: Uint8Array;

  constructor(config: E2eConfig) {
    const layout = layoutOf(config);
    this.#minLengthBytes = layout.minLengthBytes;
    this.#maxLengthBytes = layout.maxLengthBytes;
    this.#offset = layout.offsetBytes;
    this.#dataIdList = Uint8Array.from(config.dataIdList ?? []);
  }

  inspect(bytes: Uint8Array, at: number, lengthBytes: number): Verdict {
    if (lengthBytes < this.#minLengthBytes || lengthBytes > this.#maxLengthBytes) return Verdict.badLength;
    return bytes[at + this.#offset] === this.#crc(bytes, at, lengthBytes) ? Verdict.ok : Verdict.crcMismatch;
  }

  counterOf(bytes: Uint8Array, at: number): number {
    return bytes[at + this.#offset + 1]! & 0xf;
  }

  protect(bytes: Uint8Array, at: number, lengthBytes: number, _canId: number, counter: number): void {
    assertProtectable(this, lengthBytes >= this.#minLengthBytes && lengthBytes <= this.#maxLengthBytes, lengthBytes, counter);
    setNibble(bytes, at + this.#offset + 1, 0, counter);
    bytes[at + this.#offset] = this.#crc(bytes, at, lengthBytes);
  }

  #crc(bytes: Uint8Array, at: number, lengthBytes: number): number {
    const crcAt = at + this.#offset;
    const data = crc8Autosar(bytes, crcAt + 1, at + lengthBytes, crc8Autosar(bytes, at, crcAt));
    return crc8AutosarByte(this.#dataIdList[this.counterOf(bytes, at)]!, data);
  }
}
