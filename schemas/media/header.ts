/**
 * What all media headers share: magic, version, sizes; and the faults. Little-endian.
 *
 *   0 u8[4] magic · 4 u16 version · 6 u16 header bytes · 8 u64 data bytes · then the format's own fields, zeros, and the data
 *
 * A payload is exactly header and data. Bytes without meaning are zero, so that a value has one form and later versions can use them.
 */
import { VERSION } from "./limits.ts";

/**
 * Why bytes or values are refused; stable, in the order in which they are looked for. The number on the C side is the index + 1.
 * tooShort: no whole header · badMagic · badVersion · badLength: the sizes do not add up to the payload · notZero: bytes without meaning are used ·
 * badType: dtype, fourcc, format or flags that do not exist · badShape: a count or side out of range · outOfBounds: something would lie beyond the data · badName: a name or MIME type that is not one.
 */
export const mediaFaultCodes = ["tooShort", "badMagic", "badVersion", "badLength", "notZero", "badType", "badShape", "outOfBounds", "badName"] as const;
export type MediaFaultCode = (typeof mediaFaultCodes)[number];

export interface MediaFault {
  ok: false;
  code: MediaFaultCode;
  /** For people. */
  text: string;
}

export type MediaResult<Value> = { ok: true; value: Value } | MediaFault;

export function fault(code: MediaFaultCode, text: string): MediaFault {
  return { ok: false, code, text };
}

export interface MediaHeader {
  view: DataView;
  data: Uint8Array;
}

/** Checks the common part. `magic` has four characters. */
export function openHeader(payload: Uint8Array, magic: string, headerBytes: number): MediaResult<MediaHeader> {
  if (payload.length < headerBytes) return fault("tooShort", `${payload.length} bytes, the header alone has ${headerBytes}`);
  const view = new DataView(payload.buffer, payload.byteOffset, payload.byteLength);
  for (let i = 0; i < 4; i++) if (payload[i] !== magic.charCodeAt(i)) return fault("badMagic", `does not begin with ${magic}`);
  const version = view.getUint16(4, true);
  if (version !== VERSION) return fault("badVersion", `version ${version}, this reads ${VERSION}`);
  const claimedHeader = view.getUint16(6, true);
  const dataBytes = getSize(view, 8);
  if (claimedHeader !== headerBytes || dataBytes !== payload.length - headerBytes) return fault("badLength", `says ${claimedHeader} + ${dataBytes} bytes, has ${headerBytes} + ${payload.length - headerBytes}`);
  return { ok: true, value: { view, data: payload.subarray(headerBytes) } };
}

/** Zeroes the header and writes its common part. `out` has room for header and data. */
export function beginHeader(out: Uint8Array, magic: string, headerBytes: number, dataBytes: number): DataView {
  out.fill(0, 0, headerBytes);
  for (let i = 0; i < 4; i++) out[i] = magic.charCodeAt(i);
  const view = new DataView(out.buffer, out.byteOffset, out.byteLength);
  view.setUint16(4, VERSION, true);
  view.setUint16(6, headerBytes, true);
  setSize(view, 8, dataBytes);
  return view;
}

/** An unsigned 64-bit size as a number: exact below 2^53, and above it still larger than any bound. */
export function getSize(view: DataView, at: number): number {
  return view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
}

export function setSize(view: DataView, at: number, value: number): void {
  view.setUint32(at, value >>> 0, true);
  view.setUint32(at + 4, Math.floor(value / 2 ** 32), true);
}

/** Whether all bytes from `from` to `to` (exclusive) are zero. */
export function isZero(view: DataView, from: number, to: number): boolean {
  for (let at = from; at < to; at++) if (view.getUint8(at) !== 0) return false;
  return true;
}

export function isCount(value: unknown, minimum: number, maximum: number): value is number {
  return typeof value === "number" && Number.isInteger(value) && value >= minimum && value <= maximum;
}

/** Nanoseconds on the stream's clock: a signed 64-bit number. */
export function isTime(value: unknown): value is bigint {
  return typeof value === "bigint" && value === BigInt.asIntN(64, value);
}

/** The bytes behind any view. */
export function bytesOf(data: ArrayBufferView): Uint8Array {
  return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}
