/**
 * CRC-64/XZ (reflected 0x42F0E1EBA9EA3693, initial value and final xor ~0), of E2E profile 7. Check value 0x995DC9BBDF1939FA.
 * Beware of names: CRC-64/WE and CRC-64/ECMA-182 share the polynomial and differ in everything else.
 */
import { tableReflected64 } from "./tables.ts";

const { low: tableLow, high: tableHigh } = tableReflected64(0x42f0e1eb, 0xa9ea3693);

/** A CRC of 64 bits as two unsigned halves: [0] the low one, [1] the high one. */
export type Crc64State = Uint32Array;

/** The CRC of no bytes, to begin with. */
export function crc64Start(): Crc64State {
  return new Uint32Array(2);
}

/** Extends `state`, in place, by `bytes[start, end)`: after any number of calls it holds the CRC of all bytes so far. No allocation. */
export function crc64Xz(bytes: Uint8Array, start: number, end: number, state: Crc64State): void {
  let low = ~state[0]!;
  let high = ~state[1]!;
  for (let i = start; i < end; i++) {
    const index = (low ^ bytes[i]!) & 0xff;
    low = ((low >>> 8) | (high << 24)) ^ tableLow[index]!;
    high = (high >>> 8) ^ tableHigh[index]!;
  }
  state[0] = ~low;
  state[1] = ~high;
}

/** The CRC of `bytes` as one number, for where convenience matters more than speed. */
export function crc64XzValue(bytes: Uint8Array): bigint {
  const state = crc64Start();
  crc64Xz(bytes, 0, bytes.length, state);
  return (BigInt(state[1]!) << 32n) | BigInt(state[0]!);
}
