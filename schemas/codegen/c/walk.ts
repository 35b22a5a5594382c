/** The order in which a message's signals are treated: what is always there, then for each multiplexor what it selects, in nested ifs. */
import type { CMessage, CSignal } from "./model.ts";
import { mergeRanges, selectingRanges } from "./model.ts";
import { integer, typeRange, type IntegerType, type Range } from "./numbers.ts";

export interface Walk {
  /** The lines that treat one signal, without indentation. */
  visit: (signal: CSignal) => readonly string[];
  /** The raw value of a multiplexor as an expression, available after `visit` of it. */
  raw: (signal: CSignal) => string;
  /** The line for a multiplexor that selects nothing; undefined where that has been refused before. */
  unknown?: (signal: CSignal) => string;
}

export function walk(message: CMessage, { visit, raw, unknown }: Walk): string[] {
  const lines: string[] = [];
  const level = (parent: number, indent: string): void => {
    for (const { index } of message.plan.children.get(parent) ?? []) {
      const signal = message.byIndex.get(index);
      if (signal === undefined) continue;
      lines.push(...visit(signal).map((line) => indent + line));
      if (message.plan.children.has(index)) select(signal, indent);
    }
  };
  const select = (multiplexor: CSignal, indent: string): void => {
    const children = message.plan.children.get(multiplexor.planned.index)!;
    if (unknown !== undefined) {
      const known = mergeRanges([...children.flatMap((child) => selectingRanges(child, multiplexor.limits)), ...namedRanges(multiplexor)]);
      const condition = conditionOf(raw(multiplexor), known, multiplexor.rawType, multiplexor.limits);
      if (condition !== undefined) lines.push(...block(`!(${condition})`, [unknown(multiplexor)], indent));
    }
    // Signals that the same values select share one block.
    const groups = new Map<string, { ranges: Range[]; indices: number[] }>();
    for (const child of children) {
      const ranges = selectingRanges(child, multiplexor.limits);
      if (ranges.length === 0) continue;
      const key = ranges.map(({ least, greatest }) => `${least}-${greatest}`).join();
      const group = groups.get(key);
      if (group === undefined) groups.set(key, { ranges, indices: [child.index] });
      else group.indices.push(child.index);
    }
    for (const { ranges, indices } of groups.values()) {
      const condition = conditionOf(raw(multiplexor), ranges, multiplexor.rawType, multiplexor.limits);
      const inner = condition === undefined ? indent : `${indent}  `;
      const before = lines.length;
      if (condition !== undefined) lines.push(`${indent}if ${bracketed(condition)} {`);
      const opened = lines.length;
      for (const index of indices) {
        const signal = message.byIndex.get(index);
        if (signal === undefined) continue;
        lines.push(...visit(signal).map((line) => inner + line));
        if (message.plan.children.has(index)) select(signal, inner);
      }
      if (lines.length === opened) lines.length = before;
      else if (condition !== undefined) lines.push(`${indent}}`);
    }
  };
  level(-1, "  ");
  return lines;
}

/** Values of the multiplexor that are named and select nothing on purpose. */
function namedRanges({ signal, limits }: CSignal): Range[] {
  return [...(signal.valueNames?.keys() ?? [])].map((value) => ({ least: BigInt(value), greatest: BigInt(value) })).filter(({ least }) => least >= limits.least && least <= limits.greatest);
}

/** Whether `expression` lies in one of the ranges, as C; undefined where it always does. "0" where it never does. */
export function conditionOf(expression: string, ranges: readonly Range[], type: IntegerType, limits: Range): string | undefined {
  const bounds = typeRange(type);
  const parts: string[] = [];
  for (const { least, greatest } of ranges) {
    if (least <= limits.least && greatest >= limits.greatest) return undefined;
    const sides = least === greatest ? [`(${expression} == ${integer(least, type)})`] : [
      ...(least > bounds.least ? [`(${expression} >= ${integer(least, type)})`] : []), ...(greatest < bounds.greatest ? [`(${expression} <= ${integer(greatest, type)})`] : []),
    ];
    parts.push(sides.length === 1 ? sides[0]! : `(${sides.join(" && ")})`);
  }
  return parts.length === 0 ? "0" : parts.join(" || ");
}

/** Whether `expression` lies outside of a range and is none of the `named`; undefined where the type cannot hold such a value. */
export function outsideOf(expression: string, range: Range, type: IntegerType, named: readonly bigint[] = []): string | undefined {
  const bounds = typeRange(type);
  const { least, greatest, apart } = withNeighbours(range, named);
  const exceptions = apart.map((value) => ` && (${expression} != ${integer(value, type)})`).join("");
  if (least > greatest) return exceptions === "" ? "1" : exceptions.slice(" && ".length);
  const sides = [...(least > bounds.least ? [`(${expression} < ${integer(least, type)})`] : []), ...(greatest < bounds.greatest ? [`(${expression} > ${integer(greatest, type)})`] : [])];
  if (sides.length === 0) return undefined;
  const outside = sides.join(" || ");
  return exceptions === "" ? outside : `${sides.length > 1 ? `(${outside})` : outside}${exceptions}`;
}

/** The range with those of the named values that continue it, and the others: "below 1 and not 0" would be a comparison that compilers take for a mistake. */
export function withNeighbours(range: Range, named: readonly bigint[]): Range & { apart: bigint[] } {
  if (range.least > range.greatest) return { ...range, apart: [...named] };
  const merged = mergeRanges([range, ...named.map((value) => ({ least: value, greatest: value }))]);
  const whole = merged.find(({ least, greatest }) => least <= range.least && greatest >= range.greatest)!;
  return { ...whole, apart: named.filter((value) => value < whole.least || value > whole.greatest) };
}

/** `if (…) { … }` in lines. */
export function block(condition: string, lines: readonly string[], indent = ""): string[] {
  return [`${indent}if ${bracketed(condition)} {`, ...lines.map((line) => `${indent}  ${line}`), `${indent}}`];
}

/** In one pair of parentheses, not two: compilers take a second pair for a mistake. */
function bracketed(condition: string): string {
  return condition.startsWith("(") && isOnePair(condition) ? condition : `(${condition})`;
}

/** Whether the first parenthesis is closed by the last. */
function isOnePair(text: string): boolean {
  let depth = 0;
  for (let at = 0; at < text.length; at++) {
    if (text[at] === "(") depth += 1;
    else if (text[at] === ")") depth -= 1;
    if (depth === 0 && at < text.length - 1) return false;
  }
  return true;
}
