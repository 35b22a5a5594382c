/** Element types as DLPack has them: a code, bits per number, and lanes (numbers per element). */

export interface TensorType {
  /** 0 int, 1 uint, 2 float, 4 bfloat, 5 complex, 6 bool, 7 … 14 the eight-bit floats. */
  code: number;
  bits: number;
  /** 1 but for vector types. */
  lanes: number;
}

/** Names by code and bits. DLPack's names; "bool" stands in bytes. */
const named: readonly [name: string, code: number, bits: number][] = [
  ["int8", 0, 8], ["int16", 0, 16], ["int32", 0, 32], ["int64", 0, 64], ["uint8", 1, 8], ["uint16", 1, 16], ["uint32", 1, 32], ["uint64", 1, 64],
  ["float16", 2, 16], ["float32", 2, 32], ["float64", 2, 64], ["bfloat16", 4, 16], ["complex64", 5, 64], ["complex128", 5, 128], ["bool", 6, 8],
  ["float8_e3m4", 7, 8], ["float8_e4m3", 8, 8], ["float8_e4m3b11fnuz", 9, 8], ["float8_e4m3fn", 10, 8], ["float8_e4m3fnuz", 11, 8], ["float8_e5m2", 12, 8], ["float8_e5m2fnuz", 13, 8], ["float8_e8m0fnu", 14, 8],
];

export const tensorTypeNames: readonly string[] = named.map(([name]) => name);

const byName = new Map(named.map(([name, code, bits]) => [name, { code, bits, lanes: 1 }]));
const byCode = new Map(named.map(([name, code, bits]) => [code * 256 + bits, name]));

/** The type with this name; "float32x4" has four lanes. */
export function tensorTypeOf(name: string): TensorType | undefined {
  const plain = byName.get(name);
  if (plain) return { ...plain };
  const vector = /^(.+)x([1-9]\d{0,2})$/.exec(name);
  const element = vector ? byName.get(vector[1]!) : undefined;
  const lanes = Number(vector?.[2]);
  return element && lanes >= 2 && lanes <= 256 ? { ...element, lanes } : undefined;
}

/** Its name, or undefined when code and bits do not go together. */
export function tensorTypeName({ code, bits, lanes }: TensorType): string | undefined {
  const name = byCode.get(code * 256 + bits);
  return name === undefined || lanes === 1 ? name : `${name}x${lanes}`;
}

export type TensorArray = Int8Array | Int16Array | Int32Array | BigInt64Array | Uint8Array | Uint16Array | Uint32Array | BigUint64Array | Float32Array | Float64Array;

type ArrayMaker = { new (buffer: ArrayBufferLike, byteOffset: number, length: number): TensorArray; readonly BYTES_PER_ELEMENT: number };

/** The typed array whose numbers these are. What JavaScript has no array for comes as its bits: float16 and bfloat16 as uint16, eight-bit floats and bool as uint8, complex as pairs. */
export function arrayMaker({ code, bits }: TensorType): ArrayMaker {
  if (code === 0) return bits === 8 ? Int8Array : bits === 16 ? Int16Array : bits === 32 ? Int32Array : BigInt64Array;
  if (code === 1) return bits === 8 ? Uint8Array : bits === 16 ? Uint16Array : bits === 32 ? Uint32Array : BigUint64Array;
  if (code === 2 && bits > 16) return bits === 32 ? Float32Array : Float64Array;
  if (code === 5) return bits === 64 ? Float32Array : Float64Array;
  return bits === 16 ? Uint16Array : Uint8Array;
}

/** The type of a typed array's numbers; undefined for a DataView and other things that have none. */
export function typeOfArray(data: ArrayBufferView): TensorType | undefined {
  const type = (code: number, bits: number): TensorType => ({ code, bits, lanes: 1 });
  if (data instanceof Uint8Array || data instanceof Uint8ClampedArray) return type(1, 8);
  if (data instanceof Float32Array) return type(2, 32);
  if (data instanceof Float64Array) return type(2, 64);
  if (data instanceof Int8Array) return type(0, 8);
  if (data instanceof Int16Array) return type(0, 16);
  if (data instanceof Int32Array) return type(0, 32);
  if (data instanceof BigInt64Array) return type(0, 64);
  if (data instanceof Uint16Array) return type(1, 16);
  if (data instanceof Uint32Array) return type(1, 32);
  if (data instanceof BigUint64Array) return type(1, 64);
  return undefined;
}

/** A view of `bytes` as numbers of `type`, without a copy when it stands aligned in its buffer, else of a copy. Whole numbers only. */
export function viewAs(type: TensorType, bytes: Uint8Array): TensorArray {
  const make = arrayMaker(type);
  const count = Math.floor(bytes.length / make.BYTES_PER_ELEMENT);
  const aligned = bytes.byteOffset % make.BYTES_PER_ELEMENT === 0 ? bytes : bytes.slice();
  return new make(aligned.buffer, aligned.byteOffset, count);
}
