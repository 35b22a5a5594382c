/**
 * Where a signal's bits lie in a frame, and reading and writing them the plain way. `compile.ts` generates faster code for the hot path;
 * a property test holds the two against each other.
 *
 * DBC numbers bits by byte*8 + weight. Little-endian signals count up from their least significant bit; big-endian ones start at their most
 * significant bit and run down within the byte, then on to bit 7 of the next byte ("sawtooth").
 */
import type { Signal } from "./model.ts";

export type BitField = Pick<Signal, "startBit" | "lengthBits" | "byteOrder">;

/** From the least significant bit on: its byte and its weight in that byte (0…7), and the step from byte to byte towards the most significant one. */
export interface BitPath {
  byte: number;
  shift: number;
  step: 1 | -1;
}

export function bitPath({ startBit, lengthBits, byteOrder }: BitField): BitPath {
  if (byteOrder === "little") return { byte: Math.floor(startBit / 8), shift: startBit % 8, step: 1 };
  // Counted from the frame's first bit as sent (bit 7 of byte 0) the signal is one run.
  const first = Math.floor(startBit / 8) * 8 + (7 - (startBit % 8));
  const last = first + lengthBits - 1;
  return { byte: Math.floor(last / 8), shift: 7 - (last % 8), step: -1 };
}

/** The first and last byte that the signal touches. */
export function byteSpan(field: BitField): { first: number; last: number } {
  const { byte, shift, step } = bitPath(field);
  const other = byte + step * Math.floor((shift + field.lengthBits - 1) / 8);
  return { first: Math.min(byte, other), last: Math.max(byte, other) };
}

export function fits(field: BitField, lengthBytes: number): boolean {
  const { first, last } = byteSpan(field);
  return field.lengthBits > 0 && first >= 0 && last < lengthBytes;
}

/** The frame's bits that the signal takes, bit n of byte k at k*8+n. */
export function bitMask(field: BitField): bigint {
  const { byte, shift, step } = bitPath(field);
  if (step === 1) return ((1n << BigInt(field.lengthBits)) - 1n) << BigInt(byte * 8 + shift);
  let mask = 0n;
  let at = byte;
  let from = shift;
  for (let left = field.lengthBits; left > 0; at -= 1, from = 0) {
    const count = Math.min(8 - from, left);
    mask |= BigInt(((1 << count) - 1) << from) << BigInt(at * 8);
    left -= count;
  }
  return mask;
}

/** The raw bits as an unsigned number: a number up to 53 bits, a bigint beyond. `at` is the frame's first byte. */
export function readUnsigned(bytes: Uint8Array, at: number, field: BitField): number | bigint {
  const { byte, shift, step } = bitPath(field);
  if (field.lengthBits > 53) return readBig(bytes, at, field);
  let value = 0;
  let weight = 1;
  let from = shift;
  let index = at + byte;
  for (let left = field.lengthBits; left > 0; index += step, from = 0) {
    const count = Math.min(8 - from, left);
    value += ((bytes[index]! >> from) & ((1 << count) - 1)) * weight;
    weight *= 2 ** count;
    left -= count;
  }
  return value;
}

function readBig(bytes: Uint8Array, at: number, field: BitField): bigint {
  const { byte, shift, step } = bitPath(field);
  let value = 0n;
  const count = Math.floor((shift + field.lengthBits - 1) / 8);
  for (let k = count; k >= 0; k--) value = (value << 8n) | BigInt(bytes[at + byte + step * k]!);
  return BigInt.asUintN(field.lengthBits, value >> BigInt(shift));
}

/** Puts the low `lengthBits` bits of `raw` (an integer, negative ones in two's complement) into the frame; all other bits stay. */
export function writeBits(bytes: Uint8Array, at: number, field: BitField, raw: number | bigint): void {
  const { byte, shift, step } = bitPath(field);
  let rest = BigInt.asUintN(field.lengthBits, BigInt(raw));
  let from = shift;
  let index = at + byte;
  for (let left = field.lengthBits; left > 0; index += step, from = 0) {
    const count = Math.min(8 - from, left);
    const mask = ((1 << count) - 1) << from;
    bytes[index] = (bytes[index]! & ~mask) | ((Number(rest & 0xffn) << from) & mask);
    rest >>= BigInt(count);
    left -= count;
  }
}
