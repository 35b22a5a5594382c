/**
 * Generates the hot paths of a codec: straight-line JavaScript for one message, frame ↔ record, without allocation.
 *
 * Only numbers from the parsed model enter the generated text (offsets, masks, factors), never a name or any other text of the file.
 * `number()` below is the only way in and refuses what is not finite. Measured against closures per signal: a fifth to a sixth of the time.
 */
import type { RecordField, RecordLayout } from "../records/layout.ts";
import { bitPath } from "./bits.ts";
import { DecodeFault, EncodeFault } from "./faults.ts";
import type { Signal } from "./model.ts";
import type { Plan, PlannedSignal } from "./plan.ts";
import { isFloat } from "./scaling.ts";
import { boundsOf, type Bounds } from "./values.ts";

/** Frame bytes (from `at`) to the record at `outAt`; 0 or a DecodeFault. The length has been checked. */
export type DecodeBody = (bytes: Uint8Array, at: number, out: Uint8Array, outView: DataView, outAt: number) => number;

/** Record at `recordAt` to frame bytes (from `outAt`); 0 or an EncodeFault. The bytes hold the pattern for unused bits. */
export type EncodeBody = (recordView: DataView, recordAt: number, out: Uint8Array, outAt: number) => number;

/** Where generated code leaves the signal that it refused. */
export interface FaultPlace {
  signal: number;
}

export interface CompileInput {
  plan: Plan;
  layout: RecordLayout;
  /** Field of each signal; undefined for signals of more than 64 bits. */
  fields: readonly (RecordField | undefined)[];
  place: FaultPlace;
  checkRanges: boolean;
}

const scratch = new DataView(new ArrayBuffer(8));

export function compileDecode(input: CompileInput): DecodeBody {
  return new DecodeWriter(input).compile();
}

export function compileEncode(input: CompileInput): EncodeBody {
  return new EncodeWriter(input).compile();
}

/** A number as source text. */
function number(value: number | bigint): string {
  if (typeof value === "bigint") return number(Number(value));
  if (!Number.isFinite(value)) throw new RangeError(`${value} in generated code`);
  return value < 0 || Object.is(value, -0) ? `(${value})` : String(value);
}

/** Walks the plan: signals that are always there, then for each multiplexor the groups of signals it selects. */
abstract class Writer {
  protected readonly input: CompileInput;
  protected readonly lines: string[] = [];
  /** Which bits of the presence bitmap are set before any multiplexor is looked at. */
  readonly #always: number[];

  constructor(input: CompileInput) {
    this.input = input;
    this.#always = Array.from({ length: this.#words }, () => 0);
  }

  /** Code that moves one signal, and leaves its raw value in `r<index>` when it is a multiplexor. */
  protected abstract signal(planned: PlannedSignal, bounds: Bounds | undefined): void;
  protected abstract readonly unknownMultiplexer: number;

  get #words(): number {
    return (this.input.layout.presence?.sizeBytes ?? 0) / 4;
  }

  protected walk(): void {
    const roots = this.input.plan.children.get(-1) ?? [];
    for (const { index } of roots) this.#note(index, this.#always);
    for (const [word, bits] of this.#always.entries()) this.lines.push(`let w${word}=${bits};`);
    this.#level(roots);
  }

  #level(signals: readonly PlannedSignal[]): void {
    for (const planned of signals) {
      this.signal(planned, isFloat(planned.signal) ? undefined : boundsOf(planned.signal));
      const children = this.input.plan.children.get(planned.index);
      if (children !== undefined) this.#selection(planned, children);
    }
  }

  #selection(multiplexor: PlannedSignal, children: readonly PlannedSignal[]): void {
    const raw = `r${multiplexor.index}`;
    const groups = new Map<string, PlannedSignal[]>();
    for (const child of children) {
      const condition = child.ranges.map(([low, high]) => (low === high ? `${raw}===${number(low)}` : `${raw}>=${number(low)}&&${raw}<=${number(high)}`)).join("||");
      const group = groups.get(condition);
      if (group === undefined) groups.set(condition, [child]);
      else group.push(child);
    }
    const hit = `h${multiplexor.index}`;
    this.lines.push(`let ${hit}=false;`);
    for (const [condition, group] of groups) {
      const words = Array.from({ length: this.#words }, () => 0);
      for (const { index } of group) this.#note(index, words);
      this.lines.push(`if(${condition}){${hit}=true;`);
      for (const [word, bits] of words.entries()) if (bits !== 0) this.lines.push(`w${word}|=${bits};`);
      this.#level(group);
      this.lines.push("}");
    }
    const named = [...(multiplexor.signal.valueNames?.keys() ?? [])].map((value) => `&&${raw}!==${number(value)}`).join("");
    this.lines.push(`if(!${hit}${named}){${this.fault(multiplexor.index, this.unknownMultiplexer)}}`);
  }

  #note(index: number, words: number[]): void {
    const field = this.input.fields[index];
    if (field === undefined || words.length === 0) return;
    const bit = this.input.layout.fields.indexOf(field);
    words[bit >> 5]! |= 1 << (bit & 31);
  }

  protected fault(index: number, code: number): string {
    return `c.signal=${index};return ${code};`;
  }

  /** Refuses integers outside of the bounds. Named values are let through. */
  protected check(raw: string, bounds: Bounds, index: number, code: number): void {
    const named = bounds.named.map((value) => `&&${raw}!==${number(value)}`).join("");
    this.lines.push(`if((${raw}<${number(bounds.least)}||${raw}>${number(bounds.greatest)})${named}){${this.fault(index, code)}}`);
  }

  /** Refuses NaN and infinities, and what lies outside of the declared physical range. */
  protected checkFloat(value: string, signal: Signal, index: number): void {
    this.lines.push(`if(!(${value}-${value}===0)){${this.fault(index, DecodeFault.notANumber)}}`);
    if (signal.minimum !== undefined) this.lines.push(`if(${value}<${number(signal.minimum)}){${this.fault(index, DecodeFault.outOfRange)}}`);
    if (signal.maximum !== undefined) this.lines.push(`if(${value}>${number(signal.maximum)}){${this.fault(index, DecodeFault.outOfRange)}}`);
  }

  protected build(parameters: string): unknown {
    // The text holds numbers and fixed words only (see the head of this file).
    // oxlint-disable-next-line typescript/no-implied-eval
    const make = new Function("c", "s", `"use strict";return function(${parameters}){${this.lines.join("\n")}}`) as (place: FaultPlace, view: DataView) => unknown;
    return make(this.input.place, scratch);
  }
}

// --- Frame → record -------------------------------------------------------------------------------------------------------------

class DecodeWriter extends Writer {
  protected readonly unknownMultiplexer = DecodeFault.unknownMultiplexer;

  compile(): DecodeBody {
    const { layout } = this.input;
    if (layout.presence !== undefined) this.lines.push(`o.fill(0,p,p+${layout.sizeBytes});`);
    this.walk();
    if (layout.presence === undefined) for (const offset of paddingOf(layout)) this.lines.push(`o[p+${offset}]=0;`);
    else for (let word = 0; word * 4 < layout.presence.sizeBytes; word++) this.lines.push(`v.setUint32(p+${word * 4},w${word},true);`);
    this.lines.push("return 0;");
    return this.build("b,a,o,v,p") as DecodeBody;
  }

  protected signal({ signal, index }: PlannedSignal, bounds: Bounds | undefined): void {
    const field = this.input.fields[index];
    if (field === undefined) return;
    const raw = `r${index}`;
    const offset = `p+${field.offsetBytes}`;
    const wide = signal.lengthBits > 32;
    const low = part(signal, 0, Math.min(signal.lengthBits, 32));
    if (wide) {
      const highBits = signal.lengthBits - 32;
      const high = part(signal, 32, highBits);
      this.lines.push(`const l${index}=${low},g${index}=${signal.kind === "signed" ? signExtend(high, highBits) : high};`);
    }
    if (isFloat(signal)) {
      if (wide) this.lines.push(`s.setUint32(0,l${index},true);s.setUint32(4,g${index},true);const r${index}=s.getFloat64(0,true);`);
      else this.lines.push(`s.setUint32(0,${low},true);const r${index}=s.getFloat32(0,true);`);
    } else if (wide) {
      this.lines.push(`const ${raw}=g${index}*4294967296+l${index};`);
    } else {
      this.lines.push(`const ${raw}=${signal.kind === "signed" ? signExtend(low, signal.lengthBits) : low};`);
    }
    const scaled = signal.factor !== 1 || signal.offset !== 0;
    const value = scaled ? `${raw}*${number(signal.factor)}+${number(signal.offset)}` : raw;
    if (this.input.checkRanges) {
      if (bounds?.narrow === true) this.check(raw, bounds, index, DecodeFault.outOfRange);
      if (bounds === undefined) {
        if (scaled) this.lines.push(`const x${index}=${value};`);
        this.checkFloat(scaled ? `x${index}` : raw, signal, index);
      }
    }
    if (scaled || field.type === "f64" || field.type === "f32") this.lines.push(`v.set${field.type === "f32" ? "Float32" : "Float64"}(${offset},${value},true);`);
    else if (wide) this.lines.push(`v.setUint32(${offset},l${index},true);v.setInt32(p+${field.offsetBytes + 4},g${index},true);`);
    else if (field.type === "i8" || field.type === "u8") this.lines.push(`o[${offset}]=${raw};`);
    else this.lines.push(`v.set${accessor(field)}(${offset},${raw},true);`);
  }
}

function paddingOf(layout: RecordLayout): number[] {
  const used = new Set<number>();
  for (const { type, offsetBytes } of layout.fields) for (let k = 0; k < Number(type.slice(1)) / 8; k++) used.add(offsetBytes + k);
  return Array.from({ length: layout.sizeBytes }, (_, offset) => offset).filter((offset) => !used.has(offset));
}

/** `count` ≤ 32 bits of the signal from bit `from` (0 = least significant) on, as an unsigned expression over `b` and `a`. */
function part(signal: Signal, from: number, count: number): string {
  const { byte, shift, step } = bitPath(signal);
  const first = Math.floor((shift + from) / 8);
  const skip = (shift + from) % 8;
  const bytes = Math.ceil((skip + count) / 8);
  const at = (k: number) => `b[a+${byte + step * (first + k)}]`;
  const joined = Array.from({ length: Math.min(bytes, 4) }, (_, k) => (k === 0 ? at(0) : `${at(k)}<<${8 * k}`)).join("|");
  const shifted = skip === 0 ? `(${joined})` : `((${joined})>>>${skip})`;
  const whole = bytes === 5 ? `(${shifted}|${at(4)}<<${32 - skip})` : shifted;
  return count === 32 ? `(${whole}>>>0)` : `(${whole}&${2 ** count - 1})`;
}

function signExtend(expression: string, bits: number): string {
  return bits === 32 ? `(${expression}|0)` : `(${expression}<<${32 - bits}>>${32 - bits})`;
}

function accessor({ type }: RecordField): string {
  return `${type.startsWith("i") ? "Int" : "Uint"}${type.slice(1)}`;
}

// --- Record → frame -------------------------------------------------------------------------------------------------------------

class EncodeWriter extends Writer {
  protected readonly unknownMultiplexer = EncodeFault.unknownMultiplexer;

  compile(): EncodeBody {
    const { layout } = this.input;
    this.walk();
    if (layout.presence !== undefined) {
      for (let word = 0; word * 4 < layout.presence.sizeBytes; word++) {
        const present = `v.getUint32(p+${word * 4},true)`;
        this.lines.push(`if((w${word}&~${present})!==0){c.signal=-1;return ${EncodeFault.missingSignal};}`);
        this.lines.push(`if((${present}&~w${word})!==0){c.signal=-1;return ${EncodeFault.inactiveSignal};}`);
      }
    }
    this.lines.push("return 0;");
    return this.build("v,p,q,d") as EncodeBody;
  }

  protected signal({ signal, index }: PlannedSignal, bounds: Bounds | undefined): void {
    const field = this.input.fields[index];
    if (field === undefined) return;
    const scaled = signal.factor !== 1 || signal.offset !== 0;
    if (isFloat(signal)) this.#float(signal, index, field, scaled);
    else if (scaled) this.#scaled(signal, index, field, bounds!);
    else this.#plain(signal, index, field, bounds!);
    this.#store(signal, index);
  }

  #float(signal: Signal, index: number, field: RecordField, scaled: boolean): void {
    this.lines.push(`const x${index}=v.get${field.type === "f32" ? "Float32" : "Float64"}(p+${field.offsetBytes},true);`);
    this.checkFloat(`x${index}`, signal, index);
    const raw = scaled ? `(x${index}-${number(signal.offset)})/${number(signal.factor)}` : `x${index}`;
    this.lines.push(`const r${index}=${signal.kind === "float32" ? `Math.fround(${raw})` : raw};`);
    this.lines.push(`if(!(r${index}-r${index}===0)){${this.fault(index, EncodeFault.outOfRange)}}`);
    if (signal.kind === "float32") this.lines.push(`s.setFloat32(0,r${index},true);const l${index}=s.getUint32(0,true);`);
    else this.lines.push(`s.setFloat64(0,r${index},true);const l${index}=s.getUint32(0,true),g${index}=s.getUint32(4,true);`);
  }

  #scaled(signal: Signal, index: number, field: RecordField, bounds: Bounds): void {
    const raw = `r${index}`;
    this.lines.push(`const x${index}=v.getFloat64(p+${field.offsetBytes},true);if(!(x${index}-x${index}===0)){${this.fault(index, EncodeFault.notANumber)}}`);
    this.lines.push(`const ${raw}=Math.round((x${index}-${number(signal.offset)})/${number(signal.factor)});`);
    this.check(raw, bounds, index, EncodeFault.outOfRange);
    if (signal.lengthBits <= 32) {
      this.lines.push(`const l${index}=${raw}>>>0;`);
      return;
    }
    // A bound such as 2^64-1 becomes 2^64 as a double: what reaches the power itself does not fit.
    if (signal.lengthBits > 53) this.lines.push(`if(${raw}>=${2 ** (signal.kind === "signed" ? signal.lengthBits - 1 : signal.lengthBits)}){${this.fault(index, EncodeFault.outOfRange)}}`);
    this.lines.push(`const g${index}=Math.floor(${raw}/4294967296),l${index}=${raw}-g${index}*4294967296;`);
  }

  #plain(signal: Signal, index: number, field: RecordField, bounds: Bounds): void {
    const raw = `r${index}`;
    const wide = field.type === "i64" || field.type === "u64";
    if (!wide) {
      this.lines.push(`const ${raw}=v.get${accessor(field)}(p+${field.offsetBytes}${field.type.endsWith("8") ? "" : ",true"});`);
      if (bounds.narrow || signal.lengthBits !== Number(field.type.slice(1))) this.check(raw, bounds, index, EncodeFault.outOfRange);
      this.lines.push(`const l${index}=${raw}>>>0;`);
      return;
    }
    const signed = signal.kind === "signed";
    this.lines.push(`const l${index}=v.getUint32(p+${field.offsetBytes},true),g${index}=v.get${signed ? "Int32" : "Uint32"}(p+${field.offsetBytes + 4},true),${raw}=g${index}*4294967296+l${index};`);
    const highBits = signal.lengthBits - 32;
    // What the bits can hold is seen from the high word alone, exactly at any length.
    if (highBits < 32) this.lines.push(`if(g${index}<${number(signed ? -(2 ** (highBits - 1)) : 0)}||g${index}>${2 ** (signed ? highBits - 1 : highBits) - 1}){${this.fault(index, EncodeFault.outOfRange)}}`);
    if (bounds.narrow) this.check(raw, bounds, index, EncodeFault.outOfRange);
  }

  /** Puts `l<index>` (bits 0…31) and `g<index>` (from 32 on) where the signal lies. */
  #store(signal: Signal, index: number): void {
    const { byte, shift, step } = bitPath(signal);
    let bit = 0;
    for (let k = 0; bit < signal.lengthBits; k++) {
      const from = k === 0 ? shift : 0;
      const count = Math.min(8 - from, signal.lengthBits - bit);
      const mask = (1 << count) - 1;
      const target = `q[d+${byte + step * k}]`;
      // A byte may take the last bits of the low word and the first of the high word.
      const low = bit < 32 ? `l${index}>>>${bit}` : "";
      const high = bit >= 32 ? `g${index}>>>${bit - 32}` : bit + count > 32 ? `g${index}<<${32 - bit}` : "";
      const bits = `(${[low, high].filter((text) => text !== "").map((text) => `(${text})`).join("|")})&${mask}`;
      this.lines.push(count === 8 ? `${target}=${bits};` : `${target}=${target}&${0xff & ~(mask << from)}|(${bits})<<${from};`);
      bit += count;
    }
  }
}
