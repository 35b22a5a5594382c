/** A DBC signal as the reflex sees it: a place in the frame, and raw values as 64-bit integers. */
import type { Signal } from "../../../schemas/dbc/index.ts";
import { isFloat, rawLimits, rawRange, toPhysical } from "../../../schemas/dbc/scaling.ts";
import { fieldFlags, type FieldRow } from "./layout.ts";

export const noField: FieldRow = { startBit: 0, bits: 0, flags: 0 };

/** Inclusive, in the order of the raw integers: of IEEE numbers those of `orderOfFloat`. */
export interface RawInterval {
  least: bigint;
  greatest: bigint;
}

/** Where the signal stands; its bits must be 1…64. The start bit means the same as in a DBC, in both byte orders. */
export function fieldOf({ startBit, lengthBits, byteOrder, kind }: Pick<Signal, "startBit" | "lengthBits" | "byteOrder" | "kind">): FieldRow {
  const flags = (byteOrder === "big" ? fieldFlags.bigEndian : 0) | (kind === "signed" ? fieldFlags.signed : 0) | (isFloat({ kind }) ? fieldFlags.ieee : 0);
  return { startBit, bits: lengthBits, flags };
}

/** The upper `count` bits of a field, as an unsigned field of its own. */
export function upperBits(field: FieldRow, count: number): FieldRow {
  const isBig = (field.flags & fieldFlags.bigEndian) !== 0;
  return { startBit: isBig ? field.startBit : field.startBit + field.bits - count, bits: count, flags: isBig ? fieldFlags.bigEndian : 0 };
}

/** As 64 bits that the table stores: unsigned fields of 64 bits are compared as unsigned there. */
export function asStored(raw: bigint): bigint {
  return BigInt.asIntN(64, raw);
}

/** The raw integers whose physical value lies between `minimum` and `maximum` (inclusive, absent: no bound), within what the bits can hold; undefined when none does. */
export function rawIntervalOf(signal: Signal, minimum: number | undefined, maximum: number | undefined): RawInterval | undefined {
  const interval = isFloat(signal) ? floatInterval(signal, minimum, maximum) : (rawRange({ ...signal, minimum, maximum }) ?? rawLimits(signal));
  return interval !== undefined && interval.least <= interval.greatest ? interval : undefined;
}

const scratch = new DataView(new ArrayBuffer(8));

/** IEEE numbers mapped to integers of the same order, as ipcnet_reflex_field_get does: −0 is +0, NaNs lie beyond both infinities. */
export function orderOfFloat(value: number, bits: 32 | 64): bigint {
  if (bits === 32) scratch.setFloat32(4, value);
  else scratch.setFloat64(0, value);
  return orderOfBits(bits === 32 ? BigInt(scratch.getUint32(4)) : scratch.getBigUint64(0), bits);
}

/** Of a number's bits: those without the sign, negative if it is set. */
export function orderOfBits(stored: bigint, bits: number): bigint {
  const sign = 1n << BigInt(bits - 1);
  return stored >= sign ? sign - stored : stored;
}

/** The number of that place in the order. */
export function floatOfOrder(order: bigint, bits: 32 | 64): number {
  const stored = order < 0n ? (1n << BigInt(bits - 1)) - order : order;
  if (bits === 32) {
    scratch.setUint32(4, Number(stored));
    return scratch.getFloat32(4);
  }
  scratch.setBigUint64(0, stored);
  return scratch.getFloat64(0);
}

/**
 * Physical values of IEEE signals are compared as computed, so that the bound is searched for rather than divided out: rounding may move it by a step. Scaling is
 * monotonous, and so is the search.
 */
function floatInterval(signal: Signal, minimum: number | undefined, maximum: number | undefined): RawInterval | undefined {
  const bits = signal.kind === "float32" ? 32 : 64;
  const greatestFinite = bits === 32 ? orderOfFloat(3.4028234663852886e38, 32) : orderOfFloat(Number.MAX_VALUE, 64);
  const all: RawInterval = { least: -greatestFinite, greatest: greatestFinite };
  const allowed = (order: bigint): number => {
    const physical = Number(toPhysical(floatOfOrder(order, bits), signal));
    // Beyond a bound, or so large that scaling leaves the numbers: on the side of that bound.
    if (physical < (minimum ?? -Number.MAX_VALUE)) return -1;
    return physical > (maximum ?? Number.MAX_VALUE) ? 1 : 0;
  };
  const side = signal.factor > 0 ? 1 : -1;
  const least = search(all, (order) => allowed(order) * side >= 0);
  const greatest = search(all, (order) => allowed(order) * side > 0);
  if (least === undefined) return undefined;
  return { least, greatest: greatest === undefined ? all.greatest : greatest - 1n };
}

/** The first integer of the interval for which `holds` is true, given that it stays true from there on. */
function search({ least, greatest }: RawInterval, holds: (value: bigint) => boolean): bigint | undefined {
  if (!holds(greatest)) return undefined;
  let [low, high] = [least, greatest];
  while (low < high) {
    const middle = (low + high) >> 1n;
    if (holds(middle)) high = middle;
    else low = middle + 1n;
  }
  return low;
}
