/**
 * What must hold for a message's payload, as the reflex can judge it: raw ranges, each always or only while a selector has one value. All must hold.
 *
 * They say what the codec says (schemas/dbc, declared ranges checked), and more: bits that no signal owns are zero. A set of values with gaps (a range and named values
 * beside it, the known values of a multiplexor) becomes one range for each run of values with the same upper bits: as few as the gaps need.
 */
import type { Message, Signal } from "../../../schemas/dbc/index.ts";
import { bitMask } from "../../../schemas/dbc/bits.ts";
import { inRanges } from "../../../schemas/dbc/multiplexing.ts";
import { planMessage, type Plan, type PlannedSignal } from "../../../schemas/dbc/plan.ts";
import { isFloat, rawLimits } from "../../../schemas/dbc/scaling.ts";
import { boundsOf } from "../../../schemas/dbc/values.ts";
import { asStored, fieldOf, noField, rawIntervalOf, upperBits, type RawInterval } from "./field.ts";
import { fieldFlags, type CheckRow, type FieldRow } from "./layout.ts";

export type MessageChecks = { ok: true; checks: CheckRow[] } | { ok: false; text: string };

export interface CheckOptions {
  /** Signals that are filled in when the frame is sent: counter, checksum, epoch, owner. Nothing is asked of them. */
  filledIn: ReadonlySet<string>;
  /** All bits that are filled in, whether a signal owns them or not; bit n of byte k at k·8+n. */
  filledBits: bigint;
  /** Length of the frame, FD padding included. */
  lengthBytes: number;
}

/** Different values of a multiplexor that something is selected by. */
const SELECTIONS_MAX = 256;

export function messageChecks(message: Message, { filledIn, filledBits, lengthBytes }: CheckOptions): MessageChecks {
  const plan = planMessage(message.signals);
  const checks: CheckRow[] = [];
  for (const planned of plan.signals) {
    const { signal, parent } = planned;
    if (filledIn.has(signal.name)) {
      if (plan.children.has(planned.index)) return refuse(`${signal.name} selects other signals and is filled in when the frame is sent`);
      continue;
    }
    if (signal.lengthBits > 64) return refuse(`${signal.name} has ${signal.lengthBits} bits; the reflex judges up to 64`);
    if (parent >= 0 && plan.signals[parent]!.parent >= 0) return refuse(`${signal.name} is multiplexed within a multiplexed signal; the reflex judges one selector`);
    if (plan.children.has(planned.index) && knownValues(plan, planned) === undefined) return refuse(`${signal.name} selects by more than ${SELECTIONS_MAX} values`);
    const allowed = allowedOf(plan, planned);
    if (allowed.length === 0) return refuse(`${signal.name} has no value that is allowed`);
    const own = rangeChecks(signal, allowed);
    if (parent < 0) checks.push(...own);
    else if (own.some(({ selector }) => selector.bits > 0)) return refuse(`${signal.name} is multiplexed and has gaps in its values; the reflex judges one selector`);
    else {
      const selector = plan.signals[parent]!;
      for (const value of knownValues(plan, selector)!) if (inRanges(value, planned.ranges)) checks.push(...own.map((check) => ({ ...check, ...selectedBy(selector.signal, value) })));
    }
  }
  return { ok: true, checks: [...checks, ...zeroBits(plan, filledBits, lengthBytes)] };
}

function refuse(text: string): MessageChecks {
  return { ok: false, text };
}

/** Disjoint, in order. */
function allowedOf(plan: Plan, planned: PlannedSignal): RawInterval[] {
  const { signal } = planned;
  if (isFloat(signal)) {
    const interval = rawIntervalOf(signal, signal.minimum, signal.maximum);
    return interval ? [interval] : [];
  }
  const bounds = boundsOf(signal);
  const range = BigInt(bounds.least) <= BigInt(bounds.greatest) ? [{ least: BigInt(bounds.least), greatest: BigInt(bounds.greatest) }] : [];
  const all = joined([...range, ...bounds.named.map((raw) => ({ least: BigInt(raw), greatest: BigInt(raw) }))]);
  if (!plan.children.has(planned.index)) return all;
  const known = knownValues(plan, planned)!.filter((value) => all.some(({ least, greatest }) => value >= least && value <= greatest));
  return joined(known.map((value) => ({ least: value, greatest: value })));
}

/** The values of a multiplexor for which anything is declared; undefined when there are too many. Computed once for each multiplexor and message. */
function knownValues(plan: Plan, multiplexor: PlannedSignal): readonly bigint[] | undefined {
  const { least, greatest } = rawLimits(multiplexor.signal);
  const values = new Set<bigint>();
  const note = (value: bigint): void => {
    if (value >= least && value <= greatest) values.add(value);
  };
  for (const [low, high] of (plan.children.get(multiplexor.index) ?? []).flatMap(({ ranges }) => ranges)) {
    // Within what the bits can hold: a range may name more.
    const from = BigInt(low) > least ? BigInt(low) : least;
    const to = BigInt(high) < greatest ? BigInt(high) : greatest;
    if (to - from >= SELECTIONS_MAX) return undefined;
    for (let value = from; value <= to; value++) note(value);
  }
  for (const raw of multiplexor.signal.valueNames?.keys() ?? []) note(BigInt(raw));
  return values.size > SELECTIONS_MAX ? undefined : [...values];
}

function joined(intervals: RawInterval[]): RawInterval[] {
  const result: RawInterval[] = [];
  for (const { least, greatest } of intervals.toSorted((a, b) => (a.least < b.least ? -1 : 1))) {
    const last = result.at(-1);
    if (last && least <= last.greatest + 1n) last.greatest = greatest > last.greatest ? greatest : last.greatest;
    else result.push({ least, greatest });
  }
  return result;
}

function rangeChecks(signal: Signal, allowed: readonly RawInterval[]): CheckRow[] {
  const field = fieldOf(signal);
  if (isFloat(signal)) return [check(field, allowed[0]!)];
  const { least, greatest } = rawLimits(signal);
  const [only] = allowed;
  if (allowed.length === 1 && only!.least <= least && only!.greatest >= greatest) return [];
  return splitByUpperBits(field, allowed, 0, 0n);
}

/** The checks for the values whose upper `count` bits are `prefix`. */
function splitByUpperBits(field: FieldRow, allowed: readonly RawInterval[], count: number, prefix: bigint): CheckRow[] {
  const span = spanOf(field, count, prefix);
  const here = allowed.flatMap(({ least, greatest }) => (greatest < span.least || least > span.greatest ? [] : [{ least: least > span.least ? least : span.least, greatest: greatest < span.greatest ? greatest : span.greatest }]));
  if (here.length > 1) return [...splitByUpperBits(field, here, count + 1, prefix * 2n), ...splitByUpperBits(field, here, count + 1, prefix * 2n + 1n)];
  const selection = count === 0 ? {} : { selector: upperBits(field, count), selected: prefix };
  // None: a value that these upper bits cannot have.
  const [only = outside(field, span)] = here;
  return only.least === span.least && only.greatest === span.greatest ? [] : [{ ...check(field, only), ...selection }];
}

/** The raw values with these upper bits. */
function spanOf({ bits, flags }: FieldRow, count: number, prefix: bigint): RawInterval {
  const signed = (flags & fieldFlags.signed) !== 0;
  const half = 1n << BigInt(bits - 1);
  if (count === 0) return signed ? { least: -half, greatest: half - 1n } : { least: 0n, greatest: 2n * half - 1n };
  const low = prefix << BigInt(bits - count);
  const least = signed && low >= half ? low - 2n * half : low;
  return { least, greatest: least + (1n << BigInt(bits - count)) - 1n };
}

function outside(field: FieldRow, span: RawInterval): RawInterval {
  const whole = spanOf(field, 0, 0n);
  const value = span.least > whole.least ? whole.least : whole.greatest;
  return { least: value, greatest: value };
}

/** Bits that no signal owns, always or with a value of the multiplexor that selects others there. */
function zeroBits(plan: Plan, filledBits: bigint, lengthBytes: number): CheckRow[] {
  const masks = plan.signals.map(({ signal }) => bitMask(signal));
  const of = (signals: readonly PlannedSignal[]): bigint => signals.reduce((mask, { index }) => mask | masks[index]!, 0n);
  const always = of(plan.signals.filter(({ parent }) => parent < 0)) | filledBits;
  const everything = (1n << BigInt(lengthBytes * 8)) - 1n;
  const checks = runs(everything & ~(of(plan.signals) | filledBits)).map((field) => check(field, { least: 0n, greatest: 0n }));
  for (const [index, children] of plan.children) {
    if (index < 0) continue;
    const others = of(plan.signals.filter(({ parent }) => parent >= 0 && parent !== index));
    const multiplexor = plan.signals[index]!;
    for (const value of knownValues(plan, multiplexor) ?? []) {
      const here = of(children.filter(({ ranges }) => inRanges(value, ranges)));
      const unowned = of(children) & ~(here | others | always);
      checks.push(...runs(unowned).map((field) => ({ ...check(field, { least: 0n, greatest: 0n }), ...selectedBy(multiplexor.signal, value) })));
    }
  }
  return checks;
}

/** Runs of set bits as little-endian fields of at most 64 bits. */
function runs(mask: bigint): FieldRow[] {
  const fields: FieldRow[] = [];
  let startBit = 0;
  for (let rest = mask; rest > 0n; ) {
    while ((rest & 1n) === 0n) {
      rest >>= 1n;
      startBit += 1;
    }
    let bits = 0;
    while ((rest & 1n) === 1n && bits < 64) {
      rest >>= 1n;
      bits += 1;
    }
    fields.push({ startBit, bits, flags: 0 });
    startBit += bits;
  }
  return fields;
}

function check(field: FieldRow, { least, greatest }: RawInterval): CheckRow {
  return { field, selector: noField, selected: 0n, rawMin: asStored(least), rawMax: asStored(greatest) };
}

/** Selectors are compared by their bits, unsigned. */
function selectedBy(signal: Signal, value: bigint): Pick<CheckRow, "selector" | "selected"> {
  const field = fieldOf(signal);
  return { selector: { ...field, flags: field.flags & fieldFlags.bigEndian }, selected: BigInt.asUintN(field.bits, value) };
}
