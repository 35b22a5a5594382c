/** What the reflex makes of a payload's checks (reflex.c), in TypeScript: for the test double of the reflex, and to hold the two against each other. */
import { readUnsigned } from "../../../schemas/dbc/bits.ts";
import { orderOfBits } from "./field.ts";
import { fieldFlags, type CheckRow, type FieldRow } from "./layout.ts";

/** As ipcnet_reflex_field_get: sign-extended, IEEE numbers as integers of the same order; unsigned fields of 64 bits as their bits. */
export function fieldGet({ startBit, bits, flags }: FieldRow, payload: Uint8Array): bigint {
  const raw = BigInt(readUnsigned(payload, 0, { startBit, lengthBits: bits, byteOrder: flags & fieldFlags.bigEndian ? "big" : "little" }));
  if (flags & fieldFlags.ieee) return orderOfBits(raw, bits);
  return flags & fieldFlags.signed ? BigInt.asIntN(bits, raw) : BigInt.asIntN(64, raw);
}

export function checkHolds({ field, selector, selected, rawMin, rawMax }: CheckRow, payload: Uint8Array): boolean {
  if (selector.bits > 0 && BigInt.asUintN(64, fieldGet(selector, payload)) !== selected) return true;
  const value = fieldGet(field, payload);
  // Sixty-four unsigned bits are compared as such; all others fit.
  const unsigned = field.bits === 64 && (field.flags & (fieldFlags.signed | fieldFlags.ieee)) === 0;
  const compared = (number: bigint): bigint => (unsigned ? BigInt.asUintN(64, number) : number);
  return compared(value) >= compared(rawMin) && compared(value) <= compared(rawMax);
}
