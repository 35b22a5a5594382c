/**
 * Writes CBOR (RFC 8949, shortest integers, definite lengths) into a buffer that is reused: `reset()`, write, read `bytes[0 … length)`.
 *
 * Properties that are `undefined` are left out; integers are written as such, other numbers as binary64, bigints as integers or bignums, byte
 * arrays as byte strings. Anything else (functions, class instances, typed arrays of other widths, cycles) is the caller's mistake: `CborValueError`.
 */
import { Buffer } from "node:buffer";
import { CBOR_DEPTH_MAX } from "./limits.ts";

/** The value cannot be written; `path` says which part. */
export class CborValueError extends TypeError {
  readonly path: string;
  constructor(path: string, what: string) {
    super(`${path === "" ? "the value" : path} ${what}`);
    this.name = "CborValueError";
    this.path = path;
  }
}

export class CborWriter {
  bytes: Uint8Array;
  length = 0;
  readonly #lengthMax: number;
  #buffer: Buffer;
  #view: DataView;

  /** Grows up to `lengthMax` bytes; what would not fit is a `CborValueError`. */
  constructor({ lengthMax, initialBytes = 1024 }: { lengthMax: number; initialBytes?: number }) {
    this.#lengthMax = lengthMax;
    this.#buffer = Buffer.alloc(Math.min(initialBytes, lengthMax));
    this.bytes = this.#buffer;
    this.#view = new DataView(this.#buffer.buffer, this.#buffer.byteOffset, this.#buffer.byteLength);
  }

  reset(): this {
    this.length = 0;
    return this;
  }

  /** What was written, as a copy of its own. */
  take(): Uint8Array {
    return Uint8Array.prototype.slice.call(this.bytes, 0, this.length);
  }

  value(value: unknown, depth = 0, path = ""): this {
    if (depth > CBOR_DEPTH_MAX) throw new CborValueError(path, `is nested deeper than ${CBOR_DEPTH_MAX} levels`);
    switch (typeof value) {
      case "string":
        return this.text(value);
      case "number":
        return this.number(value);
      case "boolean":
        return this.#byte(value ? 0xf5 : 0xf4);
      case "undefined":
        return this.#byte(0xf7);
      case "bigint":
        return this.#bigint(value, path);
      case "object":
        return this.#object(value, depth, path);
      case "function":
      case "symbol":
      default:
        throw new CborValueError(path, `is a ${typeof value}, which has no encoding`);
    }
  }

  text(text: string): this {
    const lengthBytes = Buffer.byteLength(text);
    this.#head(3, lengthBytes);
    this.#reserve(lengthBytes);
    this.#buffer.write(text, this.length, lengthBytes, "utf8");
    this.length += lengthBytes;
    return this;
  }

  number(value: number): this {
    if (Number.isSafeInteger(value) && !Object.is(value, -0)) return value >= 0 ? this.#head(0, value) : this.#head(1, -1 - value);
    this.#reserve(9);
    this.bytes[this.length] = 0xfb;
    this.#view.setFloat64(this.length + 1, value);
    this.length += 9;
    return this;
  }

  byteString(bytes: Uint8Array): this {
    this.#head(2, bytes.length);
    return this.raw(bytes);
  }

  /** Starts a map of `count` entries, to be followed by as many keys and values. */
  map(count: number): this {
    return this.#head(5, count);
  }

  /** Starts an array of `count` items. */
  array(count: number): this {
    return this.#head(4, count);
  }

  /** Appends bytes that are CBOR already. */
  raw(encoded: Uint8Array): this {
    this.#reserve(encoded.length);
    this.bytes.set(encoded, this.length);
    this.length += encoded.length;
    return this;
  }

  #object(value: object | null, depth: number, path: string): this {
    if (value === null) return this.#byte(0xf6);
    if (value instanceof Uint8Array) return this.byteString(value);
    if (Array.isArray(value)) {
      this.array(value.length);
      for (let i = 0; i < value.length; i++) this.value(value[i], depth + 1, `${path}[${i}]`);
      return this;
    }
    const prototype: unknown = Object.getPrototypeOf(value);
    if (prototype !== Object.prototype && prototype !== null) throw new CborValueError(path, `is a ${value.constructor?.name ?? "class instance"}, which has no encoding`);
    const entries = Object.entries(value).filter(([, item]) => item !== undefined);
    this.map(entries.length);
    for (const [key, item] of entries) this.text(key).value(item, depth + 1, path === "" ? key : `${path}.${key}`);
    return this;
  }

  #bigint(value: bigint, path: string): this {
    const negative = value < 0n;
    const magnitude = negative ? -1n - value : value;
    if (magnitude <= 0xffff_ffff_ffff_ffffn) {
      if (magnitude <= BigInt(Number.MAX_SAFE_INTEGER)) return this.#head(negative ? 1 : 0, Number(magnitude));
      this.#reserve(9);
      this.bytes[this.length] = negative ? 0x3b : 0x1b;
      this.#view.setBigUint64(this.length + 1, magnitude);
      this.length += 9;
      return this;
    }
    const hex = magnitude.toString(16);
    const bytes = Buffer.from(hex.length % 2 ? `0${hex}` : hex, "hex");
    if (bytes.length > 64) throw new CborValueError(path, "is an integer of more than 512 bits");
    return this.#byte(negative ? 0xc3 : 0xc2).byteString(bytes);
  }

  #byte(byte: number): this {
    this.#reserve(1);
    this.bytes[this.length++] = byte;
    return this;
  }

  #head(major: number, argument: number): this {
    this.#reserve(9);
    const at = this.length;
    const base = major << 5;
    if (argument < 24) {
      this.bytes[at] = base | argument;
      this.length += 1;
    } else if (argument < 0x100) {
      this.bytes[at] = base | 24;
      this.bytes[at + 1] = argument;
      this.length += 2;
    } else if (argument < 0x1_0000) {
      this.bytes[at] = base | 25;
      this.#view.setUint16(at + 1, argument);
      this.length += 3;
    } else if (argument < 0x1_0000_0000) {
      this.bytes[at] = base | 26;
      this.#view.setUint32(at + 1, argument);
      this.length += 5;
    } else {
      this.bytes[at] = base | 27;
      this.#view.setUint32(at + 1, Math.floor(argument / 0x1_0000_0000));
      this.#view.setUint32(at + 5, argument % 0x1_0000_0000);
      this.length += 9;
    }
    return this;
  }

  #reserve(more: number): void {
    const needed = this.length + more;
    if (needed <= this.bytes.length) return;
    if (needed > this.#lengthMax + 9) throw new CborValueError("", `is larger than ${this.#lengthMax} bytes when encoded`);
    const grown = Buffer.alloc(Math.min(Math.max(needed, this.bytes.length * 2), this.#lengthMax + 9));
    grown.set(this.bytes.subarray(0, this.length));
    this.#buffer = grown;
    this.bytes = grown;
    this.#view = new DataView(grown.buffer, grown.byteOffset, grown.byteLength);
  }
}
