/**
 * What the generated C consists of, worked out from the DBC before any text is written: names, types, bounds, and for each signal how its raw integer becomes the
 * value in the user's struct and back.
 *
 * Two structs a message. The raw one holds the integers as they lie in the frame (IEEE floats: their bits); all ranges are judged there, in whole steps, as the TypeScript codec does
 * (schemas/dbc/scaling.ts says why). The other holds values for people; what a signal is there:
 *   same    the raw integer: no scaling
 *   whole   an integer: factor and offset are whole numbers
 *   real    double or float, where that type can tell every raw step apart from its neighbour with room to spare; otherwise, and in fixed-point mode, `scaled`
 *   scaled  the raw integer, named …_raw, with the scale as a constant for integer arithmetic
 *   ieee    float or double as it lies in the frame, scaled or not; in fixed-point mode `bits`
 *   bits    the bits of an IEEE float, named …_bits
 */
import { bitMask } from "../../dbc/bits.ts";
import { decimal } from "../../dbc/exactRange.ts";
import { attributeValue, type Database, type Message, type Signal } from "../../dbc/model.ts";
import { planMessage, type Plan, type PlannedSignal } from "../../dbc/plan.ts";
import { eachOverlap } from "../../dbc/overlap.ts";
import { DBC_LIMITS } from "../../dbc/limits.ts";
import { boundsOf } from "../../dbc/values.ts";
import { isExact, isFloat, rawLimits } from "../../dbc/scaling.ts";
import { remark, type Remark } from "../generated.ts";
import type { SelectedMessage } from "../select.ts";
import { fieldName, Names, snakeCase, tellApart } from "./names.ts";
import { integerTypeFor, typeRange, type IntegerType, type Range, type RealType } from "./numbers.ts";
import { HELPER_NAMES } from "./helpers.ts";
import { headerMask, type Protection } from "./protection.ts";

export type Arithmetic = "double" | "float" | "fixed-point";

/** physical = (raw × numerator + offset) / denominator. */
export interface Scale {
  numerator: bigint;
  offset: bigint;
  denominator: bigint;
}

export type Conversion =
  | { kind: "same"; type: IntegerType }
  | { kind: "whole"; type: IntegerType; /** In which everything is computed without overflow. */ work: "int32_t" | "int64_t"; factor: bigint; offset: bigint; /** Values that round to a raw integer that the bits can hold. */ values: Range }
  | { kind: "real"; type: RealType; /** To which the rounded raw value is cast. */ work: "int32_t" | "uint32_t" | "int64_t" }
  | { kind: "scaled"; type: IntegerType; scale: Scale | undefined }
  | { kind: "ieee"; type: RealType; isScaled: boolean }
  | { kind: "bits"; type: IntegerType };

export interface CSignal {
  signal: Signal;
  planned: PlannedSignal;
  /** From 1 on, in the file's order; what a status names. */
  number: number;
  /** Its name in both structs without the ending that `field` may have. */
  member: string;
  /** Its name in the struct of values; undefined: the protection writes it (CRC, counter, length, Data ID). */
  field: string | undefined;
  /** The beginning of its constants' names. */
  macro: string;
  rawType: IntegerType;
  conversion: Conversion;
  /** What the bits can hold. */
  limits: Range;
  /** What is accepted beside `named`; for IEEE floats undefined (see `ieeeBounds`). */
  accepted: Range | undefined;
  /** Raw values that the value table names outside of `accepted`. */
  named: readonly bigint[];
  /** Raw start value (GenSigStartValue), for IEEE floats the value itself; undefined: 0. */
  start: bigint | number | undefined;
}

export interface CMessage extends SelectedMessage {
  name: string;
  macro: string;
  plan: Plan;
  /** In the file's order; those of more than 64 bits are missing. */
  signals: readonly CSignal[];
  byIndex: ReadonlyMap<number, CSignal>;
  /** Bytes of a frame: the message's length, for CAN FD rounded up to one that a frame can have. */
  frameBytes: number;
  isMultiplexed: boolean;
  /** Signals that share bits can be present together: what is packed is read back. */
  sharesBits: boolean;
  /** The raw struct and the struct of values are one. */
  oneStruct: boolean;
  protection: Protection | undefined;
}

const FD_LENGTHS_BYTES = [12, 16, 20, 24, 32, 48, 64];
/** Endings of a message's types and functions, so that no other message takes them. */
const ENDINGS = ["", "_raw", "_init", "_clamp", "_pack", "_unpack", "_read_raw", "_write_raw", "_check_raw", "_to_raw", "_from_raw", "_receiver_init", "_signal_name", "_get", "_commit", "_e2e", "_data_ids"] as const;
/** Of everything else in a generated file. */
const FIXED = ["status", "reason", "reason_of", "signal_of", "message", "message_info", "messages", "find", "sender", "scale", "to_fixed", "from_fixed", "reason_name", ...HELPER_NAMES];

export interface ModelOptions {
  prefix: string;
  arithmetic: Arithmetic;
  protections: ReadonlyMap<Message, Protection>;
}

export function buildModel(database: Database, selected: readonly SelectedMessage[], options: ModelOptions): { messages: CMessage[]; remarks: Remark[] } {
  const remarks: Remark[] = [];
  const { prefix } = options;
  const names = new Names();
  for (const name of FIXED) names.take(`${prefix}_${name}`);
  const idText = ({ message: { canId, extended } }: SelectedMessage): string => `${extended ? "x" : ""}${canId.toString(16)}`;
  const plainNames = tellApart(selected, ({ message }) => snakeCase(message.name) || "message", idText);
  const messages: CMessage[] = [];
  for (const one of selected) {
    const { message } = one;
    const plain = plainNames.get(one)!;
    const floats = message.signals.filter((signal) => signal.kind.startsWith("float") && message.signals.some(({ multiplexing }) => multiplexing?.multiplexor === signal.name));
    if (floats.length > 0) {
      remarks.push(remark("floatMultiplexor", `message ${message.name}: ${floats[0]!.name} is a float`, { at: floats[0]!.at }));
      continue;
    }
    const name = names.takeAll([`${prefix}_${plain}`, `${prefix}_${plain}_${idText(one)}`], ENDINGS);
    const wanted = `${prefix}_${snakeCase(message.name)}`;
    if (name !== wanted) remarks.push(remark("renamed", `message ${message.name} is called ${name}`, { at: message.at }));
    messages.push(new MessageBuilder(database, one, name, options, remarks).build());
  }
  return { messages, remarks };
}

/** The message's length, for CAN FD rounded up to one that a frame can have. */
export function frameBytesOf({ fd, lengthBytes }: Message): number {
  return fd && lengthBytes > 8 ? FD_LENGTHS_BYTES.find((length) => length >= lengthBytes) ?? lengthBytes : lengthBytes;
}

class MessageBuilder {
  readonly #database: Database;
  readonly #selected: SelectedMessage;
  readonly #name: string;
  readonly #options: ModelOptions;
  readonly #remarks: Remark[];

  constructor(database: Database, selected: SelectedMessage, name: string, options: ModelOptions, remarks: Remark[]) {
    this.#database = database;
    this.#selected = selected;
    this.#name = name;
    this.#options = options;
    this.#remarks = remarks;
  }

  build(): CMessage {
    const { message } = this.#selected;
    const plan = planMessage(message.signals);
    const usable = plan.signals.filter(({ signal }) => {
      if (signal.lengthBits > 64) this.#tell("signalTooLong", signal, `${signal.lengthBits} bits`);
      return signal.lengthBits <= 64;
    });
    const plainNames = tellApart(usable, ({ signal }) => fieldName(signal.name), ({ signal }) => String(signal.startBit));
    const protection = this.#options.protections.get(message);
    const header = protection === undefined ? 0n : headerMask(protection.config);
    const names = new Names();
    const signals = usable.map((planned) => {
      // Both forms at once: a signal `a_raw` must not meet the field of a signal `a`.
      const member = names.takeAll([plainNames.get(planned)!, `${plainNames.get(planned)!}_${planned.signal.startBit}`], ["", "_raw", "_bits"]);
      if (member !== fieldName(planned.signal.name)) this.#tell("renamed", planned.signal, `is called ${member}`);
      return this.#signal(planned, member, header);
    });
    for (const { planned, signal } of signals) {
      const parent = signals.find((other) => other.planned.index === planned.parent);
      if (parent !== undefined && selectingRanges(planned, parent.limits).length === 0) this.#tell("neverPresent", signal, `no value of ${parent.signal.name} selects it`);
    }
    let sharesBits = false;
    const complete = eachOverlap(message, { pairs: DBC_LIMITS.overlapPairs }, () => (sharesBits = true));
    return {
      ...this.#selected, name: this.#name, macro: this.#name.toUpperCase(), plan, signals, byIndex: new Map(signals.map((signal) => [signal.planned.index, signal])),
      frameBytes: frameBytesOf(message),
      isMultiplexed: signals.some(({ planned }) => planned.parent >= 0), sharesBits: sharesBits || !complete, oneStruct: signals.every(({ conversion, field, member }) => conversion.kind === "same" && field === member), protection,
    };
  }

  #tell(code: Parameters<typeof remark>[0], signal: Signal, words: string): void {
    this.#remarks.push(remark(code, `message ${this.#selected.message.name}, signal ${signal.name}: ${words}`, { at: signal.at }));
  }

  #signal(planned: PlannedSignal, member: string, header: bigint): CSignal {
    const { signal, index } = planned;
    const floats = isFloat(signal);
    const limits = rawLimits(floats ? { kind: "unsigned", lengthBits: signal.lengthBits } : signal);
    const rawType = integerTypeFor(signal.kind === "signed" ? { least: limits.least < -1n ? limits.least : -1n, greatest: limits.greatest } : limits)!;
    const bounds = floats ? undefined : boundsOf(signal);
    const conversion = this.#conversion(signal, rawType, limits);
    const isSelector = this.#selected.message.signals.some(({ multiplexing }) => multiplexing?.multiplexor === signal.name);
    const written = header !== 0n && !isSelector && (bitMask(signal) & ~header) === 0n;
    const ending = conversion.kind === "scaled" ? "_raw" : conversion.kind === "bits" ? "_bits" : "";
    return {
      signal, planned, number: index + 1, member, field: written ? undefined : `${member}${ending}`, macro: `${this.#name}_${member}`.toUpperCase(), rawType, conversion, limits,
      accepted: bounds && { least: BigInt(bounds.least), greatest: BigInt(bounds.greatest) }, named: (bounds?.named ?? []).map(BigInt), start: this.#start(signal, limits),
    };
  }

  #conversion(signal: Signal, rawType: IntegerType, limits: Range): Conversion {
    const { factor, offset } = signal;
    const { arithmetic } = this.#options;
    const scaled = factor !== 1 || offset !== 0;
    if (isFloat(signal)) {
      if (arithmetic === "fixed-point") return { kind: "bits", type: rawType };
      const type = scaled ? (arithmetic === "float" && signal.kind === "float32" ? "float" : "double") : signal.kind === "float32" ? "float" : "double";
      return { kind: "ieee", type, isScaled: scaled };
    }
    if (!scaled) return { kind: "same", type: rawType };
    if (isExact(signal)) {
      const whole = wholeConversion(signal, limits);
      if (whole !== undefined) return whole;
    }
    const asScaled = (): Conversion => ({ kind: "scaled", type: rawType, scale: scaleOf(signal) });
    if (arithmetic === "fixed-point") return asScaled();
    const work = limits.least >= -0x7fff_ffffn && limits.greatest <= 0x7fff_ffffn ? "int32_t" : limits.least >= 0n && limits.greatest <= 0xffff_ffffn ? "uint32_t" : "int64_t";
    if (arithmetic === "float") {
      if (tellsStepsApart(signal, limits, 20)) return { kind: "real", type: "float", work };
      if (tellsStepsApart(signal, limits, 50)) this.#tell("keptDouble", signal, `${signal.lengthBits} bits × ${factor} + ${offset}`);
    }
    if (tellsStepsApart(signal, limits, 50)) return { kind: "real", type: "double", work };
    this.#tell("keptRaw", signal, `${signal.lengthBits} bits × ${factor} + ${offset}`);
    return asScaled();
  }

  /** GenSigStartValue is a raw value (Vector's convention). */
  #start(signal: Signal, limits: Range): bigint | number | undefined {
    const given = attributeValue(this.#database, "signal", signal.attributes, "GenSigStartValue");
    if (given === undefined || given === "") return undefined;
    const value = Number(given);
    if (isFloat(signal) && Number.isFinite(value) && (signal.kind === "float64" || Number.isFinite(Math.fround(value)))) return value === 0 ? undefined : value;
    if (!isFloat(signal) && Number.isInteger(value) && BigInt(value) >= limits.least && BigInt(value) <= limits.greatest) return value === 0 ? undefined : BigInt(value);
    this.#tell("startValueUnusable", signal, `the start value ${String(given).slice(0, 40)} was not taken`);
    return undefined;
  }
}

/** Raw values of the multiplexor that select the signal, cut to what its bits can hold; empty ranges left out. */
export function selectingRanges({ ranges }: PlannedSignal, limits: Range): Range[] {
  const cut = ranges.map(([low, high]): Range => ({ least: BigInt(low) > limits.least ? BigInt(low) : limits.least, greatest: BigInt(high) < limits.greatest ? BigInt(high) : limits.greatest }));
  return mergeRanges(cut.filter(({ least, greatest }) => least <= greatest));
}

/** Sorted, and joined where they meet. */
export function mergeRanges(ranges: readonly Range[]): Range[] {
  const merged: Range[] = [];
  for (const range of [...ranges].sort((a, b) => (a.least < b.least ? -1 : a.least > b.least ? 1 : 0))) {
    const last = merged.at(-1);
    if (last !== undefined && range.least <= last.greatest + 1n) last.greatest = range.greatest > last.greatest ? range.greatest : last.greatest;
    else merged.push({ ...range });
  }
  return merged;
}

function wholeConversion({ factor, offset }: Signal, limits: Range): Conversion | undefined {
  const [step, shift] = [BigInt(factor), BigInt(offset)];
  const ends = [limits.least * step + shift, limits.greatest * step + shift];
  const values: Range = ends[0]! <= ends[1]! ? { least: ends[0]!, greatest: ends[1]! } : { least: ends[1]!, greatest: ends[0]! };
  const type = integerTypeFor(values);
  // What rounds to a step that the bits hold: half a step further, the half itself where halves are rounded into the range.
  const size = step < 0n ? -step : step;
  const rounded: Range = step > 0n ? { least: values.least - size / 2n, greatest: values.greatest + (size + 1n) / 2n - 1n } : { least: values.least - (size + 1n) / 2n + 1n, greatest: values.greatest + size / 2n };
  // Everything that is computed: raw, raw × factor, the value, value − offset, and twice the remainder of a division by the factor.
  const all = [limits.least, limits.greatest, limits.least * step, limits.greatest * step, rounded.least, rounded.greatest, rounded.least - shift, rounded.greatest - shift, 2n * step, -2n * step, shift];
  const fits = (work: "int32_t" | "int64_t"): boolean => all.every((value) => value > typeRange(work).least && value <= typeRange(work).greatest);
  const work = fits("int32_t") ? "int32_t" : fits("int64_t") ? "int64_t" : undefined;
  return type === undefined || work === undefined ? undefined : { kind: "whole", type, work, factor: step, offset: shift, values: rounded };
}

/** Whether `bits` binary digits tell each raw step from the next, at the largest number that scaling meets on its way. */
function tellsStepsApart({ factor, offset }: Signal, limits: Range, bits: number): boolean {
  const ends = [limits.least, limits.greatest].map((raw) => Number(raw) * factor);
  const largest = Math.max(Math.abs(offset), ...ends.map(Math.abs), ...ends.map((end) => Math.abs(end + offset)));
  const span = Math.max(Math.abs(Number(limits.least)), Math.abs(Number(limits.greatest)));
  const [tiny, huge] = bits <= 24 ? [2 ** -100, 2 ** 100] : [2 ** -900, 2 ** 900];
  return largest / Math.abs(factor) <= 2 ** bits && span <= 2 ** bits && Math.abs(factor) > tiny && largest < huge;
}

/** The scale in whole numbers, factor and offset being the decimals that the file says; undefined where they need more than 62 bits. */
function scaleOf({ factor, offset }: Signal): Scale | undefined {
  const [step, shift] = [decimal(factor), decimal(offset)];
  const parts = { numerator: step.numerator * shift.denominator, offset: shift.numerator * step.denominator, denominator: step.denominator * shift.denominator };
  const divisor = gcd(gcd(parts.numerator, parts.offset), parts.denominator);
  const scale: Scale = { numerator: parts.numerator / divisor, offset: parts.offset / divisor, denominator: parts.denominator / divisor };
  return Object.values(scale).every((value: bigint) => value > -(1n << 62n) && value < 1n << 62n) ? scale : undefined;
}

function gcd(a: bigint, b: bigint): bigint {
  let [x, y] = [a < 0n ? -a : a, b < 0n ? -b : b];
  while (y !== 0n) [x, y] = [y, x % y];
  return x;
}
