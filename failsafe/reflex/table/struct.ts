/**
 * C structs in bytes: a struct is described once, as in its header, and reads and writes plain objects. Little-endian, every field at a multiple of its own size,
 * as the ABIs of arm64, armv7 and amd64 lay them out; `cLayoutCheck` writes the assertions by which a C compiler confirms it.
 */

/** u64 and i64 are bigints; `us` is a u64 that fits a double (microseconds of a monotonic clock: 285 years). */
export type Scalar = "u8" | "u16" | "u32" | "u64" | "i64" | "us" | "f64";
/** Bytes that mean something, and bytes that are kept zero and do not appear in values. */
export type Bytes = { readonly bytes: number };
export type Reserved = { readonly reserved: number };
export type FieldType = Scalar | Bytes | Reserved | Struct<Fields> | ArrayOf<Fields>;
export type Fields = { readonly [name: string]: FieldType };

export interface Struct<F extends Fields> {
  /** In C: `struct <name>`. */
  readonly name: string;
  readonly fields: F;
  readonly offsets: { readonly [K in keyof F]: number };
  readonly sizeBytes: number;
  readonly alignBytes: number;
}

export interface ArrayOf<F extends Fields> {
  readonly of: Struct<F>;
  readonly count: number;
}

type ValueOf<T> = T extends "u64" | "i64" ? bigint : T extends Scalar ? number : T extends Bytes ? Uint8Array : T extends Struct<infer F> ? Value<F> : T extends ArrayOf<infer F> ? Value<F>[] : never;
type Meaningful<F> = { [K in keyof F]: F[K] extends Reserved ? never : K }[keyof F];
/** The object that a struct of these fields stands for. */
export type Value<F extends Fields> = { [K in Meaningful<F>]: ValueOf<F[K]> };
export type RowOf<S> = S extends Struct<infer F> ? Value<F> : never;

const scalarBytes: Record<Scalar, number> = { u8: 1, u16: 2, u32: 4, u64: 8, i64: 8, us: 8, f64: 8 };

/** `name` is the C name; fields in the order of the header, with C's names in camel case. */
export function struct<const F extends Fields>(name: string, fields: F): Struct<F> {
  const offsets: Record<string, number> = {};
  let at = 0;
  let alignBytes = 1;
  for (const [key, type] of Object.entries(fields)) {
    const { size, align } = measure(type);
    at = Math.ceil(at / align) * align;
    offsets[key] = at;
    at += size;
    alignBytes = Math.max(alignBytes, align);
  }
  return { name, fields, offsets: offsets as Struct<F>["offsets"], sizeBytes: Math.ceil(at / alignBytes) * alignBytes, alignBytes };
}

function measure(type: FieldType): { size: number; align: number } {
  if (typeof type === "string") return { size: scalarBytes[type], align: scalarBytes[type] };
  if ("bytes" in type) return { size: type.bytes, align: 1 };
  if ("reserved" in type) return { size: type.reserved, align: 1 };
  if ("of" in type) return { size: type.of.sizeBytes * type.count, align: type.of.alignBytes };
  return { size: type.sizeBytes, align: type.alignBytes };
}

/** Writes a value at `at`; bytes that no field takes are left as they are. Throws a RangeError for a number that does not fit its field: nothing is cut off. */
export function writeStruct<F extends Fields>(type: Struct<F>, view: DataView, at: number, value: Value<F>): void {
  for (const [key, field] of Object.entries(type.fields)) write(field, view, at + type.offsets[key]!, (value as Record<string, unknown>)[key], `${type.name}.${key}`);
}

export function readStruct<F extends Fields>(type: Struct<F>, view: DataView, at: number): Value<F> {
  const value: Record<string, unknown> = {};
  for (const [key, field] of Object.entries(type.fields)) {
    if (typeof field === "object" && "reserved" in field) continue;
    value[key] = read(field, view, at + type.offsets[key]!);
  }
  return value as Value<F>;
}

function write(type: FieldType, view: DataView, at: number, value: unknown, place: string): void {
  if (typeof type === "string") {
    writeScalar(type, view, at, value as number | bigint, place);
  } else if ("reserved" in type) {
    // Kept zero by whoever gave the memory.
  } else if ("bytes" in type) {
    const bytes = value as Uint8Array;
    if (bytes.length > type.bytes) throw new RangeError(`${place}: ${bytes.length} bytes, where there are ${type.bytes}`);
    new Uint8Array(view.buffer, view.byteOffset + at, type.bytes).set(bytes);
  } else if ("of" in type) {
    for (const [index, row] of (value as Value<Fields>[]).entries()) {
      if (index >= type.count) throw new RangeError(`${place}: more than ${type.count} rows`);
      writeStruct(type.of, view, at + index * type.of.sizeBytes, row);
    }
  } else {
    writeStruct(type, view, at, value as Value<Fields>);
  }
}

function writeScalar(type: Scalar, view: DataView, at: number, value: number | bigint, place: string): void {
  if (type === "f64") return view.setFloat64(at, Number(value), true);
  const bits = BigInt(scalarBytes[type] * 8);
  const [least, greatest] = type === "i64" ? [-(1n << 63n), (1n << 63n) - 1n] : [0n, (1n << bits) - 1n];
  const whole = typeof value === "bigint" ? value : Number.isInteger(value) ? BigInt(value) : undefined;
  if (whole === undefined || whole < least || whole > greatest) throw new RangeError(`${place}: ${String(value)} does not fit ${type}`);
  switch (type) {
    case "u8": return view.setUint8(at, Number(whole));
    case "u16": return view.setUint16(at, Number(whole), true);
    case "u32": return view.setUint32(at, Number(whole), true);
    case "i64": return view.setBigInt64(at, whole, true);
    case "u64":
    case "us": return view.setBigUint64(at, whole, true);
    default: return type satisfies never;
  }
}

function read(type: Exclude<FieldType, Reserved>, view: DataView, at: number): unknown {
  if (typeof type === "string") {
    switch (type) {
      case "u8": return view.getUint8(at);
      case "u16": return view.getUint16(at, true);
      case "u32": return view.getUint32(at, true);
      case "u64": return view.getBigUint64(at, true);
      case "i64": return view.getBigInt64(at, true);
      case "us": return Number(view.getBigUint64(at, true));
      case "f64": return view.getFloat64(at, true);
      default: return type satisfies never;
    }
  }
  if ("bytes" in type) return new Uint8Array(view.buffer, view.byteOffset + at, type.bytes).slice();
  if ("of" in type) return Array.from({ length: type.count }, (_, index) => readStruct(type.of, view, at + index * type.of.sizeBytes));
  return readStruct(type, view, at);
}

/** C text that compiles only if a compiler lays the structs of `headers` out as they are described here. */
export function cLayoutCheck(headers: readonly string[], structs: readonly Struct<Fields>[]): string {
  const lines = ["#include <stddef.h>", ...headers.map((header) => `#include "${header}"`)];
  for (const { name, sizeBytes, fields, offsets } of structs) {
    lines.push(`_Static_assert(sizeof(struct ${name}) == ${sizeBytes}, "${name}");`);
    for (const [key, type] of Object.entries(fields)) {
      const member = key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      lines.push(`_Static_assert(offsetof(struct ${name}, ${member}) == ${offsets[key]}, "${name}.${member}");`);
      lines.push(`_Static_assert(sizeof(((struct ${name} *)0)->${member}) == ${measure(type).size}, "size of ${name}.${member}");`);
    }
  }
  return `${lines.join("\n")}\n`;
}
