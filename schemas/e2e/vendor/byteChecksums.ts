/**
 * Checksums of one byte over the other bytes of the frame: xor, sum, and any CRC of 8 bits. By default the checksum is the last byte;
 * none of them knows the identifier, and none has a counter of its own (the checks file can name one).
 */
import { tableMsbFirst } from "../../crc/tables.ts";
import type { VendorChecksum } from "./checksum.ts";

export interface ByteChecksumParameters {
  /** Which byte carries the checksum. Default the last. */
  byte?: number | "last";
}

export interface Crc8Parameters extends ByteChecksumParameters {
  polynomial: number;
  initial?: number;
  finalXor?: number;
  /** Least significant bit first. */
  reflected?: boolean;
}

type Fold = (bytes: Uint8Array, start: number, end: number, previous: number) => number;

function byteChecksum(name: string, origin: string, position: number | "last", { start, fold, finish }: { start: number; fold: Fold; finish: (sum: number) => number }): VendorChecksum {
  const indexIn = (lengthBytes: number): number => (position === "last" ? lengthBytes - 1 : position);
  return {
    name,
    origin,
    locate(lengthBytes) {
      const byte = indexIn(lengthBytes);
      return byte >= 0 && byte < lengthBytes ? { checksum: { byte, shiftBits: 0, lengthBits: 8 }, counter: undefined } : undefined;
    },
    compute(bytes, at, lengthBytes) {
      const hole = at + indexIn(lengthBytes);
      return finish(fold(bytes, hole + 1, at + lengthBytes, fold(bytes, at, hole, start)));
    },
  };
}

export function xor8({ byte = "last" }: ByteChecksumParameters = {}): VendorChecksum {
  const fold: Fold = (bytes, start, end, previous) => {
    let value = previous;
    for (let i = start; i < end; i++) value ^= bytes[i]!;
    return value;
  };
  return byteChecksum("xor8", "arithmetic", byte, { start: 0, fold, finish: (value) => value });
}

export function sum8({ byte = "last" }: ByteChecksumParameters = {}): VendorChecksum {
  const fold: Fold = (bytes, start, end, previous) => {
    let value = previous;
    for (let i = start; i < end; i++) value += bytes[i]!;
    return value;
  };
  return byteChecksum("sum8", "arithmetic", byte, { start: 0, fold, finish: (value) => value & 0xff });
}

export function crc8({ polynomial, initial = 0, finalXor = 0, reflected = false, byte = "last" }: Crc8Parameters): VendorChecksum {
  // A reflected CRC is the plain one of bit-reversed bytes, bit-reversed: so one table serves, with the reversal folded in.
  const plain = tableMsbFirst(8, polynomial);
  const table = reflected ? Uint16Array.from(plain, (_, index) => reverse8(plain[reverse8(index)]!)) : plain;
  const fold: Fold = (bytes, start, end, previous) => {
    let value = previous;
    for (let i = start; i < end; i++) value = table[value ^ bytes[i]!]!;
    return value;
  };
  const start = reflected ? reverse8(initial) : initial;
  return byteChecksum("crc8", "catalogue of parametrised CRC algorithms", byte, { start, fold, finish: (value) => value ^ finalXor });
}

function reverse8(value: number): number {
  let reversed = 0;
  for (let bit = 0; bit < 8; bit++) reversed |= ((value >>> bit) & 1) << (7 - bit);
  return reversed;
}
