/**
 * Fixed-layout records: the decoded form of a frame, readable in place by DataView, NumPy and C.
 *
 * Little-endian, fields naturally aligned (widest first, so there are no gaps but at the end), size a multiple of 8. Messages with multiplexed
 * signals begin with a presence bitmap (bit i of the record's first bytes: field i is present); absent fields are zero.
 * The layout's hash names the schema: it covers names, types, units, scalings and identifiers, so that two ends with different definitions notice.
 */
import { createHash } from "node:crypto";
import type { Message, Signal } from "../dbc/model.ts";
import { normalise, toPhysical } from "../dbc/scaling.ts";

export type FieldType = "f64" | "f32" | "i8" | "u8" | "i16" | "u16" | "i32" | "u32" | "i64" | "u64";

export const FIELD_SIZE_BYTES: Readonly<Record<FieldType, number>> = { f64: 8, f32: 4, i8: 1, u8: 1, i16: 2, u16: 2, i32: 4, u32: 4, i64: 8, u64: 8 };

export interface RecordField {
  name: string;
  type: FieldType;
  offsetBytes: number;
  unit: string;
  /** Declared physical limits. */
  minimum: number | undefined;
  maximum: number | undefined;
  /** Names of physical values. */
  valueNames: ReadonlyMap<number | bigint, string> | undefined;
}

export interface RecordLayout {
  name: string;
  fields: readonly RecordField[];
  /** The presence bitmap, when fields can be absent: its bytes from the record's start. Bit i belongs to `fields[i]`. */
  presence: { offsetBytes: 0; sizeBytes: number } | undefined;
  sizeBytes: number;
  /** First 8 bytes (big-endian) of the SHA-256 of the canonical text. */
  hash: bigint;
}

/** A field of a message that no DBC describes (serial): an integer or float on the wire, with scaling. */
export interface FieldDefinition {
  name: string;
  /** Type on the wire. */
  type: FieldType;
  /** physical = raw × factor + offset. */
  factor?: number;
  offset?: number;
  /** Physical limits, inclusive. */
  minimum?: number;
  maximum?: number;
  unit?: string;
  /** Names of values on the wire. */
  valueNames?: ReadonlyMap<number, string>;
}

interface Plan {
  name: string;
  type: FieldType;
  unit: string;
  minimum: number | undefined;
  maximum: number | undefined;
  valueNames: ReadonlyMap<number | bigint, string> | undefined;
  /** What the hash covers beyond the above. */
  wire: readonly unknown[];
}

/** The record of a message. Signals of more than 64 bits have no field (lint says so). */
export function layoutFromMessage(message: Message): RecordLayout {
  const plans = message.signals.filter(({ lengthBits }) => lengthBits <= 64).map((signal): Plan => ({
    name: signal.name, type: signalFieldType(signal), unit: signal.unit, minimum: signal.minimum, maximum: signal.maximum,
    valueNames: physicalNames(signal),
    wire: [signal.startBit, signal.lengthBits, signal.byteOrder, signal.kind, signal.factor, signal.offset, signal.multiplexing?.multiplexor ?? null, signal.multiplexing?.ranges ?? null],
  }));
  const multiplexed = message.signals.some(({ multiplexing }) => multiplexing !== undefined);
  return buildLayout({ name: message.name, plans, multiplexed, source: ["can", message.canId, message.extended, message.lengthBytes, message.fd] });
}

/** The record of a message given by its fields; the wire form is in fields.ts. */
export function layoutFromFields(name: string, fields: readonly FieldDefinition[]): RecordLayout {
  const plans = fields.map((field): Plan => ({
    name: field.name, type: isScaled(field) ? "f64" : field.type, unit: field.unit ?? "", minimum: field.minimum, maximum: field.maximum,
    valueNames: field.valueNames && new Map([...field.valueNames].map(([raw, word]) => [raw * (field.factor ?? 1) + (field.offset ?? 0), word])),
    wire: [field.type, field.factor ?? 1, field.offset ?? 0],
  }));
  return buildLayout({ name, plans, multiplexed: false, source: ["fields"] });
}

export function isScaled({ factor = 1, offset = 0 }: Pick<FieldDefinition, "factor" | "offset">): boolean {
  return factor !== 1 || offset !== 0;
}

/** Integers without scaling get the smallest integer type, unscaled 32-bit floats f32, everything else f64. */
function signalFieldType({ kind, lengthBits, factor, offset }: Signal): FieldType {
  if (factor !== 1 || offset !== 0 || kind === "float64") return "f64";
  if (kind === "float32") return "f32";
  const bits = lengthBits <= 8 ? 8 : lengthBits <= 16 ? 16 : lengthBits <= 32 ? 32 : 64;
  return `${kind === "signed" ? "i" : "u"}${bits}`;
}

function physicalNames(signal: Signal): ReadonlyMap<number | bigint, string> | undefined {
  if (signal.valueNames === undefined || (signal.factor === 1 && signal.offset === 0)) return signal.valueNames;
  return new Map([...signal.valueNames].map(([raw, name]) => [toPhysical(raw, signal), name]));
}

function buildLayout({ name, plans, multiplexed, source }: { name: string; plans: readonly Plan[]; multiplexed: boolean; source: readonly unknown[] }): RecordLayout {
  // Whole 8-byte words, so that the widest fields behind the bitmap are aligned.
  const presence = multiplexed ? { offsetBytes: 0 as const, sizeBytes: Math.ceil(plans.length / 64) * 8 } : undefined;
  let end = presence?.sizeBytes ?? 0;
  const fields = plans.map(({ wire: _wire, ...plan }): RecordField => ({ ...plan, offsetBytes: 0 }));
  // Widest first keeps everything aligned without gaps; the list itself stays in the file's order.
  for (const sizeBytes of [8, 4, 2, 1]) {
    for (const field of fields) {
      if (FIELD_SIZE_BYTES[field.type] !== sizeBytes) continue;
      field.offsetBytes = end;
      end += sizeBytes;
    }
  }
  const sizeBytes = Math.ceil(end / 8) * 8;
  const canonical = JSON.stringify(["ipcnet record 1", name, source, plans.map((plan, index) => {
    const { type, unit, minimum = null, maximum = null, valueNames, wire } = plan;
    return [plan.name, type, fields[index]!.offsetBytes, unit, minimum, maximum, valueNames === undefined ? null : [...valueNames].map(([value, word]) => [String(value), word]), wire];
  })]);
  return { name, fields, presence, sizeBytes, hash: createHash("sha256").update(canonical).digest().readBigUInt64BE(0) };
}

// --- Reading and writing ------------------------------------------------------------------------------------------------------

/** Value of one field; 64-bit integers come as numbers while they are safe, else as bigints. */
export function readField(field: RecordField, view: DataView, at: number): number | bigint {
  const offset = at + field.offsetBytes;
  switch (field.type) {
    case "f64": return view.getFloat64(offset, true);
    case "f32": return view.getFloat32(offset, true);
    case "i8": return view.getInt8(offset);
    case "u8": return view.getUint8(offset);
    case "i16": return view.getInt16(offset, true);
    case "u16": return view.getUint16(offset, true);
    case "i32": return view.getInt32(offset, true);
    case "u32": return view.getUint32(offset, true);
    case "i64": return normalise(view.getBigInt64(offset, true));
    case "u64": return normalise(view.getBigUint64(offset, true));
    default: return field.type satisfies never;
  }
}

/** Writes one value. The caller has checked that it fits (`writeRecord` does). */
export function writeField(field: RecordField, view: DataView, at: number, value: number | bigint): void {
  const offset = at + field.offsetBytes;
  switch (field.type) {
    case "f64": return view.setFloat64(offset, Number(value), true);
    case "f32": return view.setFloat32(offset, Number(value), true);
    case "i8": return view.setInt8(offset, Number(value));
    case "u8": return view.setUint8(offset, Number(value));
    case "i16": return view.setInt16(offset, Number(value), true);
    case "u16": return view.setUint16(offset, Number(value), true);
    case "i32": return view.setInt32(offset, Number(value), true);
    case "u32": return view.setUint32(offset, Number(value), true);
    case "i64": return view.setBigInt64(offset, BigInt(value), true);
    case "u64": return view.setBigUint64(offset, BigInt(value), true);
    default: return field.type satisfies never;
  }
}

export function isPresent(layout: RecordLayout, index: number, view: DataView, at: number): boolean {
  return layout.presence === undefined || (view.getUint8(at + (index >> 3)) & (1 << (index & 7))) !== 0;
}

/** The record at byte `at` of `view` as an object; absent fields are left out. */
export function readRecord(layout: RecordLayout, view: DataView, at = 0): Record<string, number | bigint> {
  const values: Record<string, number | bigint> = {};
  for (const [index, field] of layout.fields.entries()) if (isPresent(layout, index, view, at)) values[field.name] = readField(field, view, at);
  return values;
}

export type RecordFault = { ok: false; code: "unknownField" | "missingField" | "notANumber" | "outOfRange" | "notRepresentable" | "unknownValueName"; field: string; text: string };

/**
 * Writes `values` as a record at byte `at`; names of values are accepted where the layout has them. Nothing is clamped: a value outside of the
 * declared limits or of the field's type is refused, and then the bytes at `at` are undefined.
 * Layouts without presence bitmap need all fields; with one, what is not given is absent.
 */
export function writeRecord(layout: RecordLayout, values: Readonly<Record<string, unknown>>, view: DataView, at = 0): { ok: true } | RecordFault {
  for (let offset = 0; offset < layout.sizeBytes; offset++) view.setUint8(at + offset, 0);
  const known = new Set(layout.fields.map(({ name }) => name));
  for (const name of Object.keys(values)) if (!known.has(name)) return { ok: false, code: "unknownField", field: name, text: `${layout.name} has no field ${name}` };
  for (const [index, field] of layout.fields.entries()) {
    const given = Object.hasOwn(values, field.name) ? values[field.name] : undefined;
    if (given === undefined) {
      if (layout.presence === undefined) return { ok: false, code: "missingField", field: field.name, text: `${layout.name} needs ${field.name}` };
      continue;
    }
    const checked = checkValue(field, given);
    if (!checked.ok) return checked;
    writeField(field, view, at, checked.value);
    if (layout.presence !== undefined) view.setUint8(at + (index >> 3), view.getUint8(at + (index >> 3)) | (1 << (index & 7)));
  }
  return { ok: true };
}

/** Whether a physical value lies in declared limits. A value computed from raw bits may miss a limit by its last digits (65535 × 0.1 > 6553.5): that much is allowed. */
export function isInLimits(value: number | bigint, { minimum, maximum }: { minimum: number | undefined; maximum: number | undefined }): boolean {
  const low = minimum === undefined ? -Infinity : minimum - Math.abs(minimum) * 2 ** -48;
  const high = maximum === undefined ? Infinity : maximum + Math.abs(maximum) * 2 ** -48;
  return value >= low && value <= high;
}

/** The value as the field can hold it, or why not. */
export function checkValue(field: RecordField, given: unknown): { ok: true; value: number | bigint } | RecordFault {
  const refuse = (code: RecordFault["code"], text: string): RecordFault => ({ ok: false, code, field: field.name, text: `${field.name}: ${text}` });
  let value = given;
  if (typeof value === "string") {
    const entry = [...(field.valueNames ?? [])].find(([, name]) => name === given);
    if (entry === undefined) return refuse("unknownValueName", `"${value.slice(0, 40)}" names no value`);
    value = entry[0];
  }
  if (typeof value === "boolean") value = Number(value);
  if (typeof value !== "number" && typeof value !== "bigint") return refuse("notANumber", "not a number");
  if (typeof value === "number" && !Number.isFinite(value)) return refuse("notANumber", `${value}`);
  const { type, minimum, maximum } = field;
  if (!isInLimits(value, { minimum, maximum })) return refuse("outOfRange", `${value} is not in ${minimum ?? "…"}…${maximum ?? "…"}`);
  if (type === "f64") return { ok: true, value };
  if (type === "f32") return Number.isFinite(Math.fround(Number(value))) ? { ok: true, value } : refuse("outOfRange", `${value} is beyond a 32-bit float`);
  if (typeof value === "number" && !Number.isInteger(value)) return refuse("notRepresentable", `${value} is not a whole number`);
  const bits = BigInt(FIELD_SIZE_BYTES[type] * 8);
  const signed = type.startsWith("i");
  const least = signed ? -(1n << (bits - 1n)) : 0n;
  const greatest = signed ? (1n << (bits - 1n)) - 1n : (1n << bits) - 1n;
  return value >= least && value <= greatest ? { ok: true, value } : refuse("outOfRange", `${value} does not fit into ${type}`);
}
