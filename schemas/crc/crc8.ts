/**
 * CRCs of 8 bits. Every function takes `bytes[start, end)` and, to go on where another call ended, that call's result as `previous`;
 * left out, the CRC starts afresh. `…Byte` does the same for one byte that lies in no buffer. No allocation; about 1 ns a byte.
 */
import { tableMsbFirst } from "./tables.ts";

const table1d = tableMsbFirst(8, 0x1d);
const table2f = tableMsbFirst(8, 0x2f);

/** CRC-8/SAE-J1850: AUTOSAR's CRC8. Check value 0x4B. */
export function crc8SaeJ1850(bytes: Uint8Array, start = 0, end = bytes.length, previous = 0): number {
  return crc8SaeJ1850Zero(bytes, start, end, previous ^ 0xff) ^ 0xff;
}

/** The J1850 polynomial with initial value and final xor 0: what E2E profiles 1 and 11 compute in effect. Check value 0x37. */
export function crc8SaeJ1850Zero(bytes: Uint8Array, start = 0, end = bytes.length, previous = 0): number {
  let crc = previous;
  for (let i = start; i < end; i++) crc = table1d[crc ^ bytes[i]!]!;
  return crc;
}

export function crc8SaeJ1850ZeroByte(byte: number, previous = 0): number {
  return table1d[previous ^ byte]!;
}

/** CRC-8/AUTOSAR, polynomial 0x2F: AUTOSAR's CRC8H2F, of E2E profiles 2 and 22. Check value 0xDF. */
export function crc8Autosar(bytes: Uint8Array, start = 0, end = bytes.length, previous = 0): number {
  let crc = previous ^ 0xff;
  for (let i = start; i < end; i++) crc = table2f[crc ^ bytes[i]!]!;
  return crc ^ 0xff;
}

export function crc8AutosarByte(byte: number, previous = 0): number {
  return table2f[previous ^ 0xff ^ byte]! ^ 0xff;
}
