/** The limits of a condition as one interval, physical and raw. */
import { exactRawRange, type RawRange } from "../../dbc/exactRange.ts";
import type { Signal } from "../../dbc/model.ts";
import { isFloat } from "../../dbc/scaling.ts";
import type { PlanCondition } from "../plan.ts";

export interface Limits { minimum: number; maximum: number }

/** All limits together; `named`: the number that a name in `equals` stands for. Infinite where there is none; minimum > maximum: nothing is within. */
export function limitsOf({ absMax = Infinity, minimum = -Infinity, maximum = Infinity, equals }: PlanCondition, named?: number): Limits {
  const exact = typeof equals === "number" ? equals : named;
  return { minimum: Math.max(-absMax, minimum, exact ?? -Infinity), maximum: Math.min(absMax, maximum, exact ?? Infinity) };
}

/** The raw integers of a signal that meet the condition, never wider than its limits; undefined: none does. Not for IEEE signals. */
export function integerRange(condition: PlanCondition, signal: Signal): RawRange | undefined {
  const { equals } = condition;
  const { minimum, maximum } = limitsOf(condition);
  const range = exactRawRange(signal, minimum, maximum);
  if (typeof equals !== "string" || !range) return range;
  const named = [...(signal.valueNames ?? [])].find(([, name]) => name === equals)?.[0];
  if (named === undefined || BigInt(named) < range.least || BigInt(named) > range.greatest) return undefined;
  return { least: BigInt(named), greatest: BigInt(named) };
}

const FLOAT32_MAX = 3.4028234663852886e38;

/** Whether any value of the signal can meet the condition. */
export function canHold(condition: PlanCondition, signal: Signal): boolean {
  if (!isFloat(signal)) return integerRange(condition, signal) !== undefined;
  const { minimum, maximum } = limitsOf(condition);
  const most = signal.kind === "float32" ? Math.abs(signal.factor) * FLOAT32_MAX : Number.MAX_VALUE;
  return minimum <= maximum && minimum <= most + signal.offset && maximum >= -most + signal.offset;
}
