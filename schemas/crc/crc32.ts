/**
 * CRCs of 32 bits; arguments as in crc8.ts, results unsigned. All three are reflected with initial value and final xor ~0, so that one
 * loop serves them: eight bytes a step (slicing-by-8), the rest one by one.
 */
import { tableReflected } from "./tables.ts";

const tableIsoHdlc = tableReflected(32, 0x04c11db7, 8);
const tableAutosar = tableReflected(32, 0xf4acfb13, 8);
const tableIscsi = tableReflected(32, 0x1edc6f41, 8);

/** CRC-32/ISO-HDLC: of zip, Ethernet, AUTOSAR's CRC32. Check value 0xCBF43926. */
export function crc32IsoHdlc(bytes: Uint8Array, start = 0, end = bytes.length, previous = 0): number {
  return sliced(tableIsoHdlc, bytes, start, end, previous);
}

/** CRC-32/AUTOSAR: CRC32P4, of E2E profiles 4 and 8. Check value 0x1697D06A. */
export function crc32Autosar(bytes: Uint8Array, start = 0, end = bytes.length, previous = 0): number {
  return sliced(tableAutosar, bytes, start, end, previous);
}

/** CRC-32/ISCSI, also called CRC-32C: of shared-memory slots. Check value 0xE3069283. */
export function crc32Iscsi(bytes: Uint8Array, start = 0, end = bytes.length, previous = 0): number {
  return sliced(tableIscsi, bytes, start, end, previous);
}

function sliced(table: Int32Array, bytes: Uint8Array, start: number, end: number, previous: number): number {
  let crc = ~previous;
  let i = start;
  for (; i + 8 <= end; i += 8) {
    crc ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24);
    crc =
      table[1792 + (crc & 0xff)]! ^
      table[1536 + ((crc >>> 8) & 0xff)]! ^
      table[1280 + ((crc >>> 16) & 0xff)]! ^
      table[1024 + (crc >>> 24)]! ^
      table[768 + bytes[i + 4]!]! ^
      table[512 + bytes[i + 5]!]! ^
      table[256 + bytes[i + 6]!]! ^
      table[bytes[i + 7]!]!;
  }
  for (; i < end; i++) crc = (crc >>> 8) ^ table[(crc ^ bytes[i]!) & 0xff]!;
  return ~crc >>> 0;
}
