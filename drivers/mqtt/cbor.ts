/**
 * CBOR (RFC 8949) from strangers. A scan of our own walks the bytes before cbor-x sees them and refuses what we do not speak: then the
 * decoder's many extensions (records, shared references, bundled strings, typed arrays, regular expressions) can never be reached,
 * and what a payload costs is known before anything is allocated.
 *
 * Taken: integers from −2^63 to 2^64−1, byte and text strings of definite length, arrays, maps with distinct text keys, false, true, null,
 * half, single and double floats that are finite. Integers beyond 2^53 come out as bigint, byte strings as Uint8Array.
 */
import { Decoder, Encoder } from "cbor-x";
import type { PayloadLimits } from "./limits.ts";
import { PAYLOAD_LIMITS } from "./limits.ts";

export type CborFault =
  | "tooLong"
  | "truncated"
  | "trailingBytes"
  | "tooDeep"
  | "tooManyItems"
  | "badText"
  | "badKey"
  | "duplicateKey"
  | "notFinite"
  /** A tag, a simple value or an item of indefinite length: valid CBOR that we do not take. */
  | "unsupported"
  /** Bytes that CBOR reserves. */
  | "malformed";

export type CborResult = { ok: true; value: unknown } | { ok: false; code: CborFault; atByte: number };

const decoder = new Decoder({ useRecords: false, mapsAsObjects: true });
const encoder = new Encoder({ useRecords: false, mapsAsObjects: true, variableMapSize: true, tagUint8Array: false });
const strictText = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Decodes one value; never throws. Cost is linear in the bytes. */
export function decodeCbor(bytes: Uint8Array, limits: PayloadLimits = PAYLOAD_LIMITS): CborResult {
  if (bytes.length > limits.bytesMax) return { ok: false, code: "tooLong", atByte: limits.bytesMax };
  const scan = new Scan(bytes, limits);
  const fault = scan.value(0);
  if (fault !== undefined) return { ok: false, code: fault, atByte: scan.at };
  if (scan.at !== bytes.length) return { ok: false, code: "trailingBytes", atByte: scan.at };
  return { ok: true, value: decoder.decode(bytes) as unknown };
}

/** Encodes what `decodeCbor` takes. Throws a RangeError for a number that is not finite, and for values JSON and CBOR do not share (functions, symbols, dates). */
export function encodeCbor(value: unknown): Uint8Array {
  const fault = valueFault(value, 0);
  if (fault !== undefined) throw new RangeError(fault);
  return encoder.encode(value);
}

/** Why a value may not travel, or undefined. Shared with the JSON side. */
export function valueFault(value: unknown, depth: number): string | undefined {
  if (depth > PAYLOAD_LIMITS.depthMax) return `nested deeper than ${PAYLOAD_LIMITS.depthMax}`;
  switch (typeof value) {
    case "string":
    case "boolean":
      return undefined;
    case "number":
      return Number.isFinite(value) ? undefined : `${value} is not finite`;
    case "bigint":
      return value >= -(2n ** 63n) && value < 2n ** 64n ? undefined : `${value} needs more than 64 bits`;
    case "object":
      break;
    case "undefined":
    case "function":
    case "symbol":
      return `a ${typeof value} cannot travel`;
  }
  if (value === null || value instanceof Uint8Array) return undefined;
  const prototype: unknown = Object.getPrototypeOf(value);
  if (!Array.isArray(value) && prototype !== Object.prototype && prototype !== null) return "only plain objects can travel";
  for (const [key, item] of Object.entries(value)) {
    const fault = key === "__proto__" ? "no key may be __proto__" : valueFault(item, depth + 1);
    if (fault !== undefined) return fault;
  }
  return undefined;
}

/** A walk over the bytes. `at` stands behind the last byte read, or at the trouble. */
class Scan {
  readonly #bytes: Uint8Array;
  readonly #view: DataView;
  readonly #limits: PayloadLimits;
  #items = 0;
  at = 0;

  constructor(bytes: Uint8Array, limits: PayloadLimits) {
    this.#bytes = bytes;
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
    this.#limits = limits;
  }

  /** Depth is bounded before descending, so the recursion is too. */
  value(depth: number): CborFault | undefined {
    if (depth > this.#limits.depthMax) return "tooDeep";
    if (++this.#items > this.#limits.itemsMax) return "tooManyItems";
    if (this.at >= this.#bytes.length) return "truncated";
    const first = this.#bytes[this.at]!;
    const major = first >> 5;
    const info = first & 0x1f;
    if (major === 7) return this.#simple(info);
    if (info === 31) return major === 0 || major === 1 ? "malformed" : "unsupported";
    const argument = this.#argument(info);
    if (typeof argument === "string") return argument;
    switch (major) {
      case 0:
        return undefined;
      case 1:
        // Below -2^63 no machine has an integer for it.
        return info === 27 && this.#bytes[this.at - 8]! > 0x7f ? "unsupported" : undefined;
      case 2:
        return this.#skip(argument);
      case 3:
        return this.#text(argument) === undefined ? this.#textFault : undefined;
      case 4:
        return this.#array(argument, depth);
      case 5:
        return this.#map(argument, depth);
      default:
        return "unsupported";
    }
  }

  #textFault: CborFault = "badText";

  /** Reads the initial byte and its argument. */
  #argument(info: number): number | CborFault {
    if (info > 27) return "malformed";
    const bytes = info < 24 ? 0 : 1 << (info - 24);
    if (this.at + 1 + bytes > this.#bytes.length) return "truncated";
    const at = this.at + 1;
    this.at = at + bytes;
    switch (bytes) {
      case 0:
        return info;
      case 1:
        return this.#view.getUint8(at);
      case 2:
        return this.#view.getUint16(at);
      case 4:
        return this.#view.getUint32(at);
      default:
        return Number(this.#view.getBigUint64(at));
    }
  }

  #skip(bytes: number): CborFault | undefined {
    if (bytes > this.#bytes.length - this.at) return "truncated";
    this.at += bytes;
    return undefined;
  }

  #text(bytes: number): string | undefined {
    const start = this.at;
    const fault = this.#skip(bytes);
    if (fault !== undefined) {
      this.#textFault = fault;
      return undefined;
    }
    try {
      return strictText.decode(this.#bytes.subarray(start, this.at));
    } catch {
      this.#textFault = "badText"; // the caller returns it as a typed rejection
      return undefined;
    }
  }

  #array(count: number, depth: number): CborFault | undefined {
    // Each item needs a byte: a count beyond what is left cannot be honest, and must not be looped over.
    if (count > this.#bytes.length - this.at) return "truncated";
    for (let i = 0; i < count; i++) {
      const fault = this.value(depth + 1);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }

  #map(count: number, depth: number): CborFault | undefined {
    if (count > (this.#bytes.length - this.at) / 2) return "truncated";
    const keys = new Set<string>();
    for (let i = 0; i < count; i++) {
      const first = this.#bytes[this.at];
      if (first === undefined) return "truncated";
      if (first >> 5 !== 3 || first === 0x7f) return "badKey";
      const argument = this.#argument(first & 0x1f);
      if (typeof argument === "string") return argument;
      const key = this.#text(argument);
      if (key === undefined) return this.#textFault;
      if (key === "__proto__") return "badKey";
      if (keys.has(key)) return "duplicateKey";
      keys.add(key);
      const fault = this.value(depth + 1);
      if (fault !== undefined) return fault;
    }
    return undefined;
  }

  #simple(info: number): CborFault | undefined {
    const bytes = info === 25 ? 2 : info === 26 ? 4 : info === 27 ? 8 : 0;
    if (bytes === 0 && (info < 20 || info > 22)) return info > 27 && info < 31 ? "malformed" : "unsupported";
    if (this.at + 1 + bytes > this.#bytes.length) return "truncated";
    const at = this.at + 1;
    // An exponent of all ones is an infinity or no number.
    if (bytes === 2 && (this.#view.getUint16(at) & 0x7c00) === 0x7c00) return "notFinite";
    if (bytes === 4 && !Number.isFinite(this.#view.getFloat32(at))) return "notFinite";
    if (bytes === 8 && !Number.isFinite(this.#view.getFloat64(at))) return "notFinite";
    this.at = at + bytes;
    return undefined;
  }
}
