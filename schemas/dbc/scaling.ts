/**
 * Raw and physical values. physical = raw × factor + offset in double arithmetic, as everybody computes it. Where factor and offset are whole
 * numbers the result is exact at any size: beyond 2^53 it is a bigint.
 *
 * Ranges are compared in raw numbers: 65535 × 0.1 is 6553.500000000001 in doubles, and a declared maximum of 6553.5 must not refuse it.
 */
import type { Signal } from "./model.ts";

export type Scaling = Pick<Signal, "kind" | "lengthBits" | "factor" | "offset" | "minimum" | "maximum">;

/** Whether raw integers map to integers exactly. */
export function isExact({ kind, factor, offset }: Pick<Scaling, "kind" | "factor" | "offset">): boolean {
  return (kind === "unsigned" || kind === "signed") && Number.isInteger(factor) && Number.isInteger(offset);
}

export function isFloat({ kind }: Pick<Scaling, "kind">): boolean {
  return kind === "float32" || kind === "float64";
}

/** A number while it is safe, else a bigint. */
export function normalise(value: bigint): number | bigint {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

export function toPhysical(raw: number | bigint, scaling: Scaling): number | bigint {
  const { factor, offset } = scaling;
  if (factor === 1 && offset === 0) return raw;
  if (!isExact(scaling)) return Number(raw) * factor + offset;
  const product = Number(raw) * factor;
  const sum = product + offset;
  // Small results are exact in doubles as they are; -0 would be a surprise.
  if (typeof raw === "number" && Number.isSafeInteger(product) && Number.isSafeInteger(sum)) return sum + 0;
  return normalise(BigInt(raw) * BigInt(factor) + BigInt(offset));
}

/** The least and greatest raw integer that the bits can hold. Not for floats. */
export function rawLimits({ kind, lengthBits }: Pick<Scaling, "kind" | "lengthBits">): { least: bigint; greatest: bigint } {
  const bits = BigInt(lengthBits);
  return kind === "signed" ? { least: -(1n << (bits - 1n)), greatest: (1n << (bits - 1n)) - 1n } : { least: 0n, greatest: (1n << bits) - 1n };
}

/**
 * The raw integers whose physical value lies in the declared range, cut to what the bits can hold; undefined when no range is declared or the
 * range excludes nothing. Half a millionth of a step is allowed for rounding. `least > greatest` when nothing is left.
 */
export function rawRange(scaling: Scaling): { least: bigint; greatest: bigint } | undefined {
  const { factor, offset, minimum, maximum } = scaling;
  if (minimum === undefined && maximum === undefined) return undefined;
  const limits = rawLimits(scaling);
  const bound = (physical: number, round: (value: number) => number, slack: number): bigint | undefined => {
    // A difference between whole numbers is taken exactly: doubles beyond 2^53 would round it.
    if (factor === 1 && Number.isInteger(physical) && Number.isInteger(offset)) return BigInt(physical) - BigInt(offset);
    const raw = (physical - offset) / factor;
    return Number.isFinite(raw) ? BigInt(round(raw + slack * Math.max(1e-6, Math.abs(raw) * 2 ** -50))) : undefined;
  };
  const [low, high] = factor > 0 ? [minimum, maximum] : [maximum, minimum];
  const least = (low === undefined ? undefined : bound(low, Math.ceil, -1)) ?? limits.least;
  const greatest = (high === undefined ? undefined : bound(high, Math.floor, 1)) ?? limits.greatest;
  if (least <= limits.least && greatest >= limits.greatest) return undefined;
  return { least: least > limits.least ? least : limits.least, greatest: greatest < limits.greatest ? greatest : limits.greatest };
}
