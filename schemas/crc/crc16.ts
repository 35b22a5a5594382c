/** CRCs of 16 bits; arguments as in crc8.ts. "CRC-16 CCITT" is no name: respected projects use it for different CRCs. */
import { tableMsbFirst, tableReflected } from "./tables.ts";

const table1021 = tableMsbFirst(16, 0x1021);
const table8005Reflected = tableReflected(16, 0x8005);
const table1021Reflected = tableReflected(16, 0x1021);

/** CRC-16/IBM-3740, also called CCITT-FALSE: AUTOSAR's CRC16, of E2E profiles 5 and 6. Check value 0x29B1. */
export function crc16Ibm3740(bytes: Uint8Array, start = 0, end = bytes.length, previous = 0xffff): number {
  let crc = previous;
  for (let i = start; i < end; i++) crc = ((crc << 8) & 0xffff) ^ table1021[(crc >>> 8) ^ bytes[i]!]!;
  return crc;
}

export function crc16Ibm3740Byte(byte: number, previous = 0xffff): number {
  return ((previous << 8) & 0xffff) ^ table1021[(previous >>> 8) ^ byte]!;
}

/** CRC-16/ARC: AUTOSAR's CRC16ARC. Check value 0xBB3D. */
export function crc16Arc(bytes: Uint8Array, start = 0, end = bytes.length, previous = 0): number {
  let crc = previous;
  for (let i = start; i < end; i++) crc = (crc >>> 8) ^ table8005Reflected[(crc ^ bytes[i]!) & 0xff]!;
  return crc;
}

/** CRC-16/MCRF4XX: what MAVLink calls X.25. Check value 0x6F91. */
export function crc16Mcrf4xx(bytes: Uint8Array, start = 0, end = bytes.length, previous = 0xffff): number {
  let crc = previous;
  for (let i = start; i < end; i++) crc = (crc >>> 8) ^ table1021Reflected[(crc ^ bytes[i]!) & 0xff]!;
  return crc;
}
