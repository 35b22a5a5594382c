/** Raw values of single signals: out of a frame, and from what a sender gives (number, bigint, name) with every reason to refuse it. */
import { readUnsigned } from "./bits.ts";
import type { EncodeFaultName } from "./faults.ts";
import type { Signal } from "./model.ts";
import { isExact, isFloat, normalise, rawLimits, rawRange } from "./scaling.ts";

const scratch = new DataView(new ArrayBuffer(8));

/** The raw value: integers as numbers while they are safe, else bigints; floats as numbers (NaN and infinities included). */
export function readRaw(bytes: Uint8Array, at: number, signal: Signal): number | bigint {
  const bits = readUnsigned(bytes, at, signal);
  const { kind, lengthBits } = signal;
  if (kind === "float32") {
    scratch.setUint32(0, Number(bits));
    return scratch.getFloat32(0);
  }
  if (kind === "float64") {
    scratch.setBigUint64(0, BigInt(bits));
    return scratch.getFloat64(0);
  }
  if (typeof bits === "bigint") return normalise(kind === "signed" ? BigInt.asIntN(lengthBits, bits) : bits);
  return kind === "signed" && bits >= 2 ** (lengthBits - 1) ? bits - 2 ** lengthBits : bits;
}

/** The integer whose bits stand for `raw` in the frame. */
export function rawBits(signal: Signal, raw: number | bigint): number | bigint {
  if (signal.kind === "float32") {
    scratch.setFloat32(0, Number(raw));
    return scratch.getUint32(0);
  }
  if (signal.kind === "float64") {
    scratch.setFloat64(0, Number(raw));
    return scratch.getBigUint64(0);
  }
  return raw;
}

/** What a signal accepts: the raw integers between `least` and `greatest`, and those that its value table names. */
export interface Bounds {
  least: number | bigint;
  greatest: number | bigint;
  /** Named raw values outside of `least`…`greatest` that the bits can hold. */
  named: readonly (number | bigint)[];
  /** Whether the bounds exclude anything that the bits can hold. */
  narrow: boolean;
}

/** The bounds of an integer signal: declared range and value table, within what the bits can hold. */
export function boundsOf(signal: Signal): Bounds {
  const limits = rawLimits(signal);
  const range = rawRange(signal);
  const { least, greatest } = range ?? limits;
  const outside = [...(signal.valueNames?.keys() ?? [])].filter((raw) => (raw < least || raw > greatest) && raw >= limits.least && raw <= limits.greatest);
  return { least: normalise(least), greatest: normalise(greatest), named: range === undefined ? [] : outside, narrow: range !== undefined };
}

export function isWithin(raw: number | bigint, bounds: Bounds): boolean {
  return (raw >= bounds.least && raw <= bounds.greatest) || bounds.named.includes(raw);
}

export type RawResult = { ok: true; raw: number | bigint } | { ok: false; code: EncodeFaultName; text: string };

/**
 * The raw value for a physical one. Scaled values are rounded to the nearest step; nothing is clamped. Refused: names that the value table does
 * not have, NaN and infinities, fractions for unscaled integers, what lies outside of the declared range or does not fit the bits.
 */
export function toRaw(signal: Signal, bounds: Bounds | undefined, given: unknown): RawResult {
  const refuse = (code: EncodeFaultName, text: string): RawResult => ({ ok: false, code, text: `${signal.name}: ${text}` });
  if (typeof given === "string") {
    const entry = [...(signal.valueNames ?? [])].find(([, name]) => name === given);
    return entry === undefined ? refuse("unknownValueName", `"${given.slice(0, 40)}" names no value`) : checkRaw(signal, bounds, entry[0]);
  }
  const value = typeof given === "boolean" ? Number(given) : given;
  if (typeof value !== "number" && typeof value !== "bigint") return refuse("notANumber", "not a number");
  if (typeof value === "number" && !Number.isFinite(value)) return refuse("notANumber", `${value}`);
  const { factor, offset, minimum, maximum } = signal;
  if (isFloat(signal)) {
    if ((minimum !== undefined && value < minimum) || (maximum !== undefined && value > maximum)) return refuse("outOfRange", `${value} is not in ${minimum ?? "…"}…${maximum ?? "…"}`);
    return checkRaw(signal, bounds, (Number(value) - offset) / factor);
  }
  if (isExact(signal)) {
    if (typeof value === "number" && !Number.isInteger(value) && factor === 1) return refuse("notRepresentable", `${value} is not a whole number`);
    if (typeof value === "bigint" || !Number.isSafeInteger(value - offset)) {
      const whole = BigInt(typeof value === "number" ? Math.round(value) : value) - BigInt(offset);
      if (whole % BigInt(factor) !== 0n) return refuse("notRepresentable", `${value} is no multiple of ${factor}`);
      return checkRaw(signal, bounds, normalise(whole / BigInt(factor)));
    }
  }
  const raw = Math.round((Number(value) - offset) / factor) + 0;
  return checkRaw(signal, bounds, Number.isSafeInteger(raw) || !Number.isFinite(raw) ? raw : BigInt(raw));
}

/** Whether the signal's bits and declared range take `raw`. */
export function checkRaw(signal: Signal, bounds: Bounds | undefined, raw: number | bigint): RawResult {
  const refuse = (code: EncodeFaultName, text: string): RawResult => ({ ok: false, code, text: `${signal.name}: ${text}` });
  if (typeof raw === "number" && !Number.isFinite(raw)) return refuse(Number.isNaN(raw) ? "notANumber" : "outOfRange", `${raw}`);
  if (signal.kind === "float64") return { ok: true, raw: Number(raw) };
  if (signal.kind === "float32") return Number.isFinite(Math.fround(Number(raw))) ? { ok: true, raw: Number(raw) } : refuse("outOfRange", `${raw} is beyond a 32-bit float`);
  if (typeof raw === "number" && !Number.isInteger(raw)) return refuse("notRepresentable", `the raw value ${raw} is not a whole number`);
  if (!isWithin(raw, bounds!)) return refuse("outOfRange", `the raw value ${raw} is not in ${bounds!.least}…${bounds!.greatest}`);
  return { ok: true, raw };
}
