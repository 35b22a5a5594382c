/**
 * Codecs, compiled per message: frame → values (objects, for tools and tests; records, for the hot path) and values → frame.
 * Wrong length, unknown multiplexer, out of range, NaN are typed rejections; nothing is ever clamped.
 */
import { layoutFromMessage, readRecord, type RecordLayout } from "../records/layout.ts";
import { writeBits } from "./bits.ts";
import { compileDecode, compileEncode, type CompileInput, type DecodeBody, type EncodeBody, type FaultPlace } from "./compile.ts";
import { DecodeFault, EncodeFault, type DecodeFaultName, type EncodeFaultName } from "./faults.ts";
import { DBC_LIMITS } from "./limits.ts";
import type { Message, Signal } from "./model.ts";
import { inRanges } from "./multiplexing.ts";
import { eachOverlap } from "./overlap.ts";
import { isKnownSelection, planMessage, type Plan, type PlannedSignal } from "./plan.ts";
import { isFloat, toPhysical } from "./scaling.ts";
import { boundsOf, checkRaw, isWithin, rawBits, readRaw, toRaw, type Bounds } from "./values.ts";

export interface CodecOptions {
  /** Accept frames longer than the message (the rest is not looked at). For reading recordings; off by default. */
  allowLonger?: boolean;
  /** Whether declared ranges (and NaN, in decoding) are checked. By default `decode` does not and all else does; what does not fit the bits is refused in any case. */
  checkRanges?: boolean;
  /** `decode` gives the value table's name instead of the number where there is one. */
  valueNames?: boolean;
  /** Each byte of an encoded frame before signals are put into it; 0 by default. */
  unusedBits?: number;
}

export type SignalValue = number | bigint | string;

export type DecodeResult =
  | { ok: true; signals: Record<string, SignalValue>; raw: Record<string, number | bigint> }
  | { ok: false; code: DecodeFaultName; signal: string | undefined; text: string };

export type EncodeResult = { ok: true; data: Uint8Array } | { ok: false; code: EncodeFaultName; signal: string | undefined; text: string };

export interface MessageCodec {
  readonly message: Message;
  /** The record that `decodeInto` writes and `encodeInto` reads. */
  readonly layout: RecordLayout;
  /** Length of an encoded frame: the message's, for CAN FD rounded up to a length that a frame can have. */
  readonly wireLengthBytes: number;
  /**
   * Physical and raw values of the frame of `lengthBytes` bytes at `at`. Integers are numbers while they are safe and bigints beyond 2^53;
   * floats may be NaN or infinite unless `checkRanges` is set. Signals that the multiplexors exclude are absent.
   */
  decode(bytes: Uint8Array, at: number, lengthBytes: number): DecodeResult;
  /**
   * The hot path: decodes the frame at `bytes[at]` into the record at `out[outAt]` (`layout.sizeBytes` bytes; `outView` views the same memory as `out`).
   * Returns 0 or a DecodeFault; after a fault the record is undefined and `faultSignal` tells which signal it was. Allocates nothing.
   */
  decodeInto(bytes: Uint8Array, view: DataView, at: number, lengthBytes: number, out: Uint8Array, outView: DataView, outAt: number): number;
  /** The signal that the last refused `decodeInto` or `encodeInto` stumbled over; undefined when it was not one signal. */
  readonly faultSignal: string | undefined;
  /**
   * The frame for physical values (numbers, bigints, booleans, names of the value table), or for raw ones. All signals that the multiplexors
   * select must be given, and no others.
   */
  encode(values: Readonly<Record<string, unknown>>, options?: { raw?: boolean }): EncodeResult;
  /** The hot path: encodes the record at `recordAt` into `out[outAt]` (`wireLengthBytes` bytes). Returns 0 or an EncodeFault; after a fault the bytes are undefined. */
  encodeInto(recordView: DataView, recordAt: number, out: Uint8Array, outAt: number): number;
}

const FD_LENGTHS_BYTES = [12, 16, 20, 24, 32, 48, 64];

/** Costs some tens of microseconds for the plan, and as much again for each hot path at its first use. */
export function compileMessage(message: Message, options: CodecOptions = {}): MessageCodec {
  return new Codec(message, options);
}

class Codec implements MessageCodec {
  readonly message: Message;
  readonly layout: RecordLayout;
  readonly wireLengthBytes: number;
  readonly #options: CodecOptions;
  readonly #plan: Plan;
  /** The message's signals with the ranges that apply. */
  readonly #signals: readonly Signal[];
  readonly #bounds: readonly (Bounds | undefined)[];
  readonly #names: ReadonlySet<string>;
  /** Some bit belongs to two signals that can be present together: encoded frames are read back. Found out when first needed. */
  #sharesBits: boolean | undefined;
  readonly #place: FaultPlace = { signal: -1 };
  readonly #lengthBytes: number;
  readonly #lengthMost: number;
  #decodeBody: DecodeBody | undefined;
  #encodeBody: EncodeBody | undefined;

  constructor(message: Message, options: CodecOptions) {
    this.message = message;
    this.layout = layoutFromMessage(message);
    this.wireLengthBytes = message.fd && message.lengthBytes > 8 ? FD_LENGTHS_BYTES.find((length) => length >= message.lengthBytes) ?? message.lengthBytes : message.lengthBytes;
    this.#options = options;
    // Without range checks the bits alone bound what can be encoded.
    this.#signals = message.signals.map((signal) => (options.checkRanges === false ? { ...signal, minimum: undefined, maximum: undefined } : signal));
    this.#bounds = this.#signals.map((signal) => (isFloat(signal) ? undefined : boundsOf(signal)));
    this.#plan = planMessage(this.#signals);
    this.#names = new Set(message.signals.map(({ name }) => name));
    this.#lengthBytes = message.lengthBytes;
    this.#lengthMost = options.allowLonger === true ? Infinity : this.wireLengthBytes;
  }

  get faultSignal(): string | undefined {
    return this.message.signals[this.#place.signal]?.name;
  }

  decodeInto(bytes: Uint8Array, _view: DataView, at: number, lengthBytes: number, out: Uint8Array, outView: DataView, outAt: number): number {
    if (lengthBytes !== this.#lengthBytes && (lengthBytes < this.#lengthBytes || lengthBytes > this.#lengthMost || (this.#lengthMost !== Infinity && lengthBytes !== this.wireLengthBytes))) {
      this.#place.signal = -1;
      return DecodeFault.badLength;
    }
    this.#decodeBody ??= compileDecode(this.#compileInput(this.#options.checkRanges ?? true));
    return this.#decodeBody(bytes, at, out, outView, outAt);
  }

  encodeInto(recordView: DataView, recordAt: number, out: Uint8Array, outAt: number): number {
    this.#sharesBits ??= sharesBits(this.message);
    if (this.#sharesBits) return this.#encodeSlowly(recordView, recordAt, out, outAt);
    this.#encodeBody ??= compileEncode(this.#compileInput(this.#options.checkRanges ?? true));
    out.fill(this.#options.unusedBits ?? 0, outAt, outAt + this.wireLengthBytes);
    return this.#encodeBody(recordView, recordAt, out, outAt);
  }

  #compileInput(checkRanges: boolean): CompileInput {
    const byName = new Map(this.layout.fields.map((field) => [field.name, field]));
    return { plan: this.#plan, layout: this.layout, fields: this.message.signals.map(({ name }) => byName.get(name)), place: this.#place, checkRanges };
  }

  /** Signals that share bits could disagree: only reading back tells. */
  #encodeSlowly(recordView: DataView, recordAt: number, out: Uint8Array, outAt: number): number {
    const result = this.encode(readRecord(this.layout, recordView, recordAt));
    if (result.ok) {
      out.set(result.data, outAt);
      return EncodeFault.ok;
    }
    this.#place.signal = this.message.signals.findIndex(({ name }) => name === result.signal);
    if (result.code === "unknownSignal" || result.code === "unknownValueName" || result.code === "notRepresentable") {
      // Cannot happen: a record has numbers of the right type for exactly our signals.
      throw new Error(`encoding a record of ${this.message.name}: ${result.text}`);
    }
    return EncodeFault[result.code];
  }

  decode(bytes: Uint8Array, at: number, lengthBytes: number): DecodeResult {
    const { lengthBytes: declared, name } = this.message;
    const fitting = lengthBytes === declared || lengthBytes === this.wireLengthBytes || (lengthBytes > declared && this.#options.allowLonger === true);
    if (!fitting) return { ok: false, code: "badLength", signal: undefined, text: `${name} has ${declared} bytes, the frame ${lengthBytes}` };
    const raws: (number | bigint | undefined)[] = Array.from({ length: this.#plan.signals.length });
    for (const planned of this.#plan.order) {
      const { signal, index } = planned;
      if (!isSelected(planned, raws)) continue;
      const value = readRaw(bytes, at, signal);
      raws[index] = value;
      if (!isKnownSelection(this.#plan, planned, value)) return { ok: false, code: "unknownMultiplexer", signal: signal.name, text: `nothing is declared for ${signal.name} = ${value}` };
      if (this.#options.checkRanges !== true) continue;
      const code = this.#rangeFault(planned, value);
      if (code !== undefined) return { ok: false, code, signal: signal.name, text: `${signal.name}: the raw value ${value} is not in its range` };
    }
    const signals: Record<string, SignalValue> = {};
    const raw: Record<string, number | bigint> = {};
    for (const { signal, index } of this.#plan.signals) {
      const value = raws[index];
      if (value === undefined) continue;
      raw[signal.name] = value;
      signals[signal.name] = (this.#options.valueNames === true ? signal.valueNames?.get(value) : undefined) ?? toPhysical(value, signal);
    }
    return { ok: true, signals, raw };
  }

  #rangeFault({ signal, index }: PlannedSignal, raw: number | bigint): DecodeFaultName | undefined {
    const bounds = this.#bounds[index];
    if (bounds !== undefined) return isWithin(raw, bounds) ? undefined : "outOfRange";
    const physical = toPhysical(raw, signal);
    if (!Number.isFinite(physical)) return "notANumber";
    const { minimum, maximum } = signal;
    return (minimum !== undefined && physical < minimum) || (maximum !== undefined && physical > maximum) ? "outOfRange" : undefined;
  }

  encode(values: Readonly<Record<string, unknown>>, { raw: rawValues = false }: { raw?: boolean } = {}): EncodeResult {
    for (const name of Object.keys(values)) if (!this.#names.has(name)) return { ok: false, code: "unknownSignal", signal: name, text: `${this.message.name} has no signal ${name.slice(0, 80)}` };
    const data = new Uint8Array(this.wireLengthBytes).fill(this.#options.unusedBits ?? 0);
    const raws: (number | bigint | undefined)[] = Array.from({ length: this.#plan.signals.length });
    for (const planned of this.#plan.order) {
      const { signal, index } = planned;
      const { name } = signal;
      const given = Object.hasOwn(values, name) ? values[name] : undefined;
      if (!isSelected(planned, raws)) {
        if (given !== undefined) return { ok: false, code: "inactiveSignal", signal: name, text: `${name} is not part of the frame with this ${signal.multiplexing!.multiplexor}` };
        continue;
      }
      if (given === undefined) return { ok: false, code: "missingSignal", signal: name, text: `${this.message.name} needs ${name}` };
      const result = rawValues && (typeof given === "number" || typeof given === "bigint") ? checkRaw(signal, this.#bounds[index], given) : toRaw(signal, this.#bounds[index], given);
      if (!result.ok) return { ...result, signal: name };
      if (!isKnownSelection(this.#plan, planned, result.raw)) return { ok: false, code: "unknownMultiplexer", signal: name, text: `nothing is declared for ${name} = ${result.raw}` };
      raws[index] = result.raw;
      writeBits(data, 0, signal, rawBits(signal, result.raw));
    }
    this.#sharesBits ??= sharesBits(this.message);
    const spoilt = this.#sharesBits ? this.#spoilt(data, raws) : undefined;
    if (spoilt !== undefined) return { ok: false, code: "signalsOverlap", signal: spoilt.name, text: `${spoilt.name} shares bits with another signal that has another value there` };
    return { ok: true, data };
  }

  /** A signal that does not read back as it was written. */
  #spoilt(data: Uint8Array, raws: readonly (number | bigint | undefined)[]): Signal | undefined {
    return this.message.signals.find((signal, index) => {
      const written = raws[index];
      if (written === undefined) return false;
      const expected = signal.kind === "float32" ? Math.fround(Number(written)) : written;
      return readRaw(data, 0, signal) !== expected;
    });
  }
}

/** Whether the multiplexors, whose raw values are in `raws` already, select the signal. */
function isSelected({ parent, ranges }: PlannedSignal, raws: readonly (number | bigint | undefined)[]): boolean {
  if (parent < 0) return true;
  const selector = raws[parent];
  return selector !== undefined && inRanges(selector, ranges);
}

/** Whether two signals that can be present together share a bit; true also when that would take too long to find out. */
function sharesBits(message: Message): boolean {
  let found = false;
  const complete = eachOverlap(message, { pairs: DBC_LIMITS.overlapPairs }, () => (found = true));
  return found || !complete;
}
