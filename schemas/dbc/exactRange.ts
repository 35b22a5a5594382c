/**
 * Raw limits in exact decimals. A factor of 0.1 means a tenth, not the double next to it: 3 × 0.1 is 0.30000000000000004 in doubles, and a condition "at most 0.3" must
 * hold for it; and no raw value whose decimal is beyond a limit may pass, however little. So numbers are taken as the decimals that they print as.
 */
import type { Signal } from "./model.ts";
import { rawLimits } from "./scaling.ts";

/** numerator / denominator, denominator > 0. */
export interface Ratio { numerator: bigint; denominator: bigint }

export interface RawRange { least: bigint; greatest: bigint }

/**
 * The raw integers of a signed or unsigned signal whose physical value lies within the limits (inclusive; infinite or absent: none), cut to what the bits hold; undefined when
 * none does. Never wider than the limits.
 */
export function exactRawRange(signal: Pick<Signal, "kind" | "lengthBits" | "factor" | "offset">, minimum = -Infinity, maximum = Infinity): RawRange | undefined {
  const limits = rawLimits(signal);
  if (!(minimum <= maximum) || signal.factor === 0) return undefined;
  const rising = signal.factor > 0;
  const [low, high] = rising ? [minimum, maximum] : [maximum, minimum];
  const least = Number.isFinite(low) ? ceiling(rawOf(low, signal)) : limits.least;
  const greatest = Number.isFinite(high) ? floor(rawOf(high, signal)) : limits.greatest;
  const range = { least: least > limits.least ? least : limits.least, greatest: greatest < limits.greatest ? greatest : limits.greatest };
  return range.least <= range.greatest ? range : undefined;
}

function rawOf(physical: number, { factor, offset }: Pick<Signal, "factor" | "offset">): Ratio {
  const [value, shift, step] = [decimal(physical), decimal(offset), decimal(factor)];
  const numerator = (value.numerator * shift.denominator - shift.numerator * value.denominator) * step.denominator;
  const denominator = value.denominator * shift.denominator * step.numerator;
  return denominator < 0n ? { numerator: -numerator, denominator: -denominator } : { numerator, denominator };
}

/** The decimal that a finite double prints as; a whole number is itself. */
export function decimal(value: number): Ratio {
  if (Number.isInteger(value)) return { numerator: BigInt(value), denominator: 1n };
  const [, sign, whole, fraction = "", exponent = "0"] = /^(-?)(\d+)(?:\.(\d+))?(?:e([+-]\d+))?$/.exec(String(value))!;
  const digits = BigInt(`${sign}${whole}${fraction}`);
  const power = Number(exponent) - fraction.length;
  return power >= 0 ? { numerator: digits * 10n ** BigInt(power), denominator: 1n } : { numerator: digits, denominator: 10n ** BigInt(-power) };
}

function floor({ numerator, denominator }: Ratio): bigint {
  const quotient = numerator / denominator;
  return numerator % denominator !== 0n && numerator < 0n ? quotient - 1n : quotient;
}

function ceiling({ numerator, denominator }: Ratio): bigint {
  return -floor({ numerator: -numerator, denominator });
}
