/**
 * Data IDs derived from a schema, so that two ends with different versions of a message refuse each other's frames.
 *
 * CRC-64/XZ over the 8 bytes of the layout's hash and 4 bytes that tell apart messages of equal layout (all big-endian), folded by xor to
 * the width the profile has. For a CAN message the 4 bytes are its identifier, with bit 31 set when it is extended.
 */
import { crc64Start, crc64Xz } from "../crc/crc64.ts";
import { writeU32 } from "./codec.ts";

/** A layout's 64-bit hash: a bigint, or 16 hexadecimal digits with or without 0x. */
export type LayoutHash = bigint | string;

/** Throws RangeError for a hash that is not 64 bits. */
export function derivedDataId({ layoutHash, discriminator, bits }: { layoutHash: LayoutHash; discriminator: number; bits: 16 | 32 }): number {
  const hash = hashOf(layoutHash);
  const input = new Uint8Array(12);
  writeU32(input, 0, Number(hash >> 32n));
  writeU32(input, 4, Number(hash & 0xffffffffn));
  writeU32(input, 8, discriminator);
  const state = crc64Start();
  crc64Xz(input, 0, input.length, state);
  const folded = (state[0]! ^ state[1]!) >>> 0;
  return bits === 32 ? folded : (folded >>> 16) ^ (folded & 0xffff);
}

/** The discriminator of a CAN message. */
export function canDiscriminator(canId: number, extended: boolean): number {
  return (extended ? canId + 0x80000000 : canId) >>> 0;
}

function hashOf(layoutHash: LayoutHash): bigint {
  if (typeof layoutHash === "string" && !/^(0x)?[0-9a-fA-F]{16}$/.test(layoutHash)) throw new RangeError(`layout hash "${layoutHash}" is not 16 hexadecimal digits`);
  const hash = typeof layoutHash === "bigint" ? layoutHash : BigInt(layoutHash.startsWith("0x") ? layoutHash : `0x${layoutHash}`);
  if (hash < 0n || hash > 0xffffffffffffffffn) throw new RangeError("layout hash is not 64 bits");
  return hash;
}
