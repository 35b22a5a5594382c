/**
 * A total CBOR decoder (RFC 8949): any bytes give a value or a fault, never an exception, a hang or memory beyond a small multiple of the input.
 *
 * Maps become plain objects, so keys must be text; integers beyond 2^53 and bignums (tags 2, 3) become bigint; other tags are dropped and their
 * content kept. Refused: duplicate keys, `__proto__` as a key (it would reach the prototype in careless code), bad UTF-8, bytes after the value.
 */
import { Buffer, isUtf8 } from "node:buffer";
import { CBOR_DEPTH_MAX, CBOR_ITEMS_MAX_TO_CLIENT } from "./limits.ts";

export type CborFault = "truncated" | "trailingBytes" | "tooDeep" | "tooManyItems" | "badText" | "badKey" | "duplicateKey" | "reserved";

export type CborResult = { ok: true; value: unknown } | { ok: false; code: CborFault; at: number };

export interface CborLimits {
  depthMax: number;
  itemsMax: number;
}

/** Decodes exactly one value from `bytes[at … at+lengthBytes)`. Byte strings are copied, so nothing of the input is kept. */
export function decodeCbor(bytes: Uint8Array, { at = 0, lengthBytes = bytes.length - at, limits = defaults }: { at?: number; lengthBytes?: number; limits?: CborLimits } = {}): CborResult {
  const reader = new Reader(bytes, at, at + lengthBytes, limits);
  const value = reader.value(0);
  if (reader.fault === undefined && reader.at !== at + lengthBytes) reader.fail("trailingBytes");
  return reader.fault === undefined ? { ok: true, value } : { ok: false, code: reader.fault, at: reader.at - at };
}

const defaults: CborLimits = { depthMax: CBOR_DEPTH_MAX, itemsMax: CBOR_ITEMS_MAX_TO_CLIENT };

/** The "break" that ends an item of indefinite length; distinct from every value. */
const BREAK = Symbol("break");

class Reader {
  at: number;
  fault: CborFault | undefined;
  #items = 0;
  readonly #end: number;
  readonly #bytes: Buffer;
  readonly #view: DataView;
  readonly #limits: CborLimits;

  constructor(bytes: Uint8Array, at: number, end: number, limits: CborLimits) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = at;
    this.#end = end;
    this.#limits = limits;
  }

  fail(code: CborFault): undefined {
    this.fault ??= code;
    return undefined;
  }

  /** One item; after a fault the result means nothing and the caller returns. */
  value(depth: number): unknown {
    const item = this.#item(depth);
    return item === BREAK ? this.fail("reserved") : item;
  }

  #item(depth: number): unknown {
    if (depth > this.#limits.depthMax) return this.fail("tooDeep");
    if (++this.#items > this.#limits.itemsMax) return this.fail("tooManyItems");
    if (this.at >= this.#end) return this.fail("truncated");
    const initial = this.#bytes[this.at++]!;
    const major = initial >> 5;
    const info = initial & 31;
    if (major === 7) return this.#simple(info);
    if (info === 31) return this.#indefinite(major, depth);
    const argument = this.#argument(info);
    if (this.fault !== undefined) return undefined;
    switch (major) {
      case 0:
        return argument;
      case 1:
        // The negative side reaches one further: −2^53 is not a safe integer any more.
        return typeof argument === "bigint" || argument === Number.MAX_SAFE_INTEGER ? -1n - BigInt(argument) : -1 - argument;
      case 2:
        return this.#byteString(Number(argument));
      case 3:
        return this.#text(Number(argument));
      case 4:
        return this.#array(Number(argument), depth);
      case 5:
        return this.#map(Number(argument), depth);
      default:
        return this.#tagged(Number(argument), depth);
    }
  }

  #argument(info: number): number | bigint {
    if (info < 24) return info;
    const size = info === 24 ? 1 : info === 25 ? 2 : info === 26 ? 4 : info === 27 ? 8 : 0;
    if (size === 0) return this.fail("reserved") ?? 0;
    if (this.at + size > this.#end) return this.fail("truncated") ?? 0;
    const at = this.at;
    this.at += size;
    if (size === 1) return this.#bytes[at]!;
    if (size === 2) return this.#view.getUint16(at);
    if (size === 4) return this.#view.getUint32(at);
    const high = this.#view.getUint32(at);
    // 2^53 − 1 is the last number without a neighbour that rounds to it.
    return high < 0x20_0000 ? high * 0x1_0000_0000 + this.#view.getUint32(at + 4) : this.#view.getBigUint64(at);
  }

  #simple(info: number): unknown {
    switch (info) {
      case 20:
        return false;
      case 21:
        return true;
      case 22:
        return null;
      case 23:
        return undefined;
      case 25:
        return this.at + 2 > this.#end ? this.fail("truncated") : halfFloat(this.#view.getUint16((this.at += 2) - 2));
      case 26:
        return this.at + 4 > this.#end ? this.fail("truncated") : this.#view.getFloat32((this.at += 4) - 4);
      case 27:
        return this.at + 8 > this.#end ? this.fail("truncated") : this.#view.getFloat64((this.at += 8) - 8);
      case 31:
        return BREAK;
      default:
        return this.fail("reserved");
    }
  }

  #byteString(lengthBytes: number): Uint8Array | undefined {
    if (lengthBytes > this.#end - this.at) return this.fail("truncated");
    const start = this.at;
    this.at += lengthBytes;
    return Uint8Array.prototype.slice.call(new Uint8Array(this.#bytes.buffer, this.#bytes.byteOffset + start, lengthBytes));
  }

  #text(lengthBytes: number): string | undefined {
    if (lengthBytes > this.#end - this.at) return this.fail("truncated");
    const start = this.at;
    this.at += lengthBytes;
    let ascii = 0;
    for (let i = start; i < this.at; i++) ascii |= this.#bytes[i]!;
    if (ascii < 0x80) return this.#bytes.toString("latin1", start, this.at);
    if (!isUtf8(this.#bytes.subarray(start, this.at))) return this.fail("badText");
    return this.#bytes.toString("utf8", start, this.at);
  }

  #array(count: number, depth: number): unknown[] | undefined {
    // An item takes at least one byte: a count beyond that is a lie, found before anything is allocated for it.
    if (count > this.#end - this.at) return this.fail("truncated");
    const items: unknown[] = [];
    for (let i = 0; i < count && this.fault === undefined; i++) items.push(this.value(depth + 1));
    return items;
  }

  #map(count: number, depth: number): Record<string, unknown> | undefined {
    if (count > (this.#end - this.at) / 2) return this.fail("truncated");
    const map: Record<string, unknown> = {};
    for (let i = 0; i < count && this.fault === undefined; i++) this.#entry(map, this.value(depth + 1), depth);
    return map;
  }

  #entry(map: Record<string, unknown>, key: unknown, depth: number): void {
    if (this.fault !== undefined) return;
    if (typeof key !== "string" || key === "__proto__") this.fail("badKey");
    else if (Object.hasOwn(map, key)) this.fail("duplicateKey");
    else map[key] = this.value(depth + 1);
  }

  #tagged(tag: number, depth: number): unknown {
    const content = this.value(depth + 1);
    if (this.fault !== undefined || (tag !== 2 && tag !== 3)) return content;
    if (!(content instanceof Uint8Array) || content.length > 64) return this.fail("reserved");
    const magnitude = BigInt(`0x0${Buffer.from(content).toString("hex")}`);
    return tag === 2 ? magnitude : -1n - magnitude;
  }

  #indefinite(major: number, depth: number): unknown {
    if (major === 2 || major === 3) return this.#chunks(major, depth);
    if (major !== 4 && major !== 5) return this.fail("reserved");
    const items: unknown[] = [];
    const map: Record<string, unknown> = {};
    while (this.fault === undefined) {
      const item = this.#item(depth + 1);
      if (item === BREAK) return major === 4 ? items : map;
      if (major === 4) items.push(item);
      else this.#entry(map, item, depth);
    }
    return undefined;
  }

  #chunks(major: number, depth: number): unknown {
    const parts: (string | Uint8Array)[] = [];
    while (this.fault === undefined) {
      const part = this.#item(depth + 1);
      if (part === BREAK) return major === 3 ? parts.join("") : new Uint8Array(Buffer.concat(parts as Uint8Array[]));
      if (major === 3 ? typeof part !== "string" : !(part instanceof Uint8Array)) return this.fail("reserved");
      parts.push(part as string | Uint8Array);
    }
    return undefined;
  }
}

/** IEEE 754 binary16. */
function halfFloat(bits: number): number {
  const exponent = (bits >> 10) & 31;
  const mantissa = bits & 1023;
  const sign = bits & 0x8000 ? -1 : 1;
  if (exponent === 0) return sign * mantissa * 2 ** -24;
  if (exponent === 31) return mantissa === 0 ? sign * Infinity : NaN;
  return sign * (1 + mantissa / 1024) * 2 ** (exponent - 15);
}
