/** Point clouds (LIDAR, depth cameras, radar): records of named fields, after sensor_msgs/PointCloud2. docs/specs/media.md. */
import { beginHeader, bytesOf, fault, isCount, isTime, isZero, openHeader, type MediaFault, type MediaResult } from "./header.ts";
import { POINTS_FIELD_BYTES, POINTS_FIELDS_MAX, POINTS_HEADER_BYTES, POINTS_NAME_BYTES_MAX, POINTS_STRIDE_BYTES_MAX } from "./limits.ts";

/** The code on the wire is the index + 1; the first eight are those of sensor_msgs/PointField. */
export const pointTypes = ["i8", "u8", "i16", "u16", "i32", "u32", "f32", "f64", "i64", "u64"] as const;
export type PointType = (typeof pointTypes)[number];

const sizes: Record<PointType, number> = { i8: 1, u8: 1, i16: 2, u16: 2, i32: 4, u32: 4, f32: 4, f64: 8, i64: 8, u64: 8 };

export interface PointField {
  /** A letter or "_", then letters, digits or "_"; at most 24. */
  name: string;
  type: PointType;
  /** Numbers of this type side by side, 1 … 255. */
  count: number;
  /** In the point. */
  offsetBytes: number;
}

export interface Points {
  fields: PointField[];
  /** Points. */
  count: number;
  /** From one point to the next. */
  strideBytes: number;
  /** Points per row of an organised cloud (a multiple makes the count); 0: in no order. */
  columns: number;
  /** No point has a NaN. */
  dense: boolean;
  /** Time of the first point, on the stream's clock. */
  timeNs: bigint;
  /** count × strideBytes bytes, a view of the payload. */
  data: Uint8Array;
}

export interface PointsInput {
  fields: readonly PointField[];
  strideBytes: number;
  columns?: number;
  dense?: boolean;
  timeNs?: bigint;
  data: ArrayBufferView;
}

const MAGIC = "IPPT";
const FIELDS_AT = 64;

export function decodePoints(payload: Uint8Array): MediaResult<Points> {
  const opened = openHeader(payload, MAGIC, POINTS_HEADER_BYTES);
  if (!opened.ok) return opened;
  const { view, data } = opened.value;
  const fieldCount = Math.min(view.getUint16(28, true), POINTS_FIELDS_MAX);
  const flags = view.getUint16(30, true);
  if (!isZero(view, 40, 64) || !isZero(view, FIELDS_AT + fieldCount * POINTS_FIELD_BYTES, POINTS_HEADER_BYTES)) return fault("notZero", "bytes without meaning are not zero");
  for (let i = 0; i < fieldCount; i++) if (!isZero(view, fieldAt(i) + 26, fieldAt(i) + 28)) return fault("notZero", "bytes without meaning are not zero");
  const fields: PointField[] = [];
  for (let i = 0; i < fieldCount; i++) {
    const type = pointTypes[view.getUint8(fieldAt(i) + 24) - 1];
    if (type === undefined) return fault("badType", `field ${i} is of type ${view.getUint8(fieldAt(i) + 24)}`);
    fields.push({ name: readName(payload, fieldAt(i)), type, count: view.getUint8(fieldAt(i) + 25), offsetBytes: view.getUint32(fieldAt(i) + 28, true) });
  }
  if (flags > 1) return fault("badType", `flags ${flags}`);
  if (view.getUint16(28, true) > POINTS_FIELDS_MAX) return fault("badShape", `${view.getUint16(28, true)} fields, at most ${POINTS_FIELDS_MAX}`);
  const points: Points = { fields, count: view.getUint32(16, true), strideBytes: view.getUint32(20, true), columns: view.getUint32(24, true), dense: flags === 1, timeNs: view.getBigInt64(32, true), data };
  return checkPoints(points, data.length) ?? { ok: true, value: points };
}

function fieldAt(i: number): number {
  return FIELDS_AT + i * POINTS_FIELD_BYTES;
}

/** The text up to the padding; bytes behind a zero, and what is not a name, make it one that `checkPoints` refuses. */
function readName(payload: Uint8Array, at: number): string {
  const bytes = payload.subarray(at, at + POINTS_NAME_BYTES_MAX);
  const end = bytes.indexOf(0);
  return end >= 0 && bytes.subarray(end).some((byte) => byte !== 0) ? "" : String.fromCharCode(...(end < 0 ? bytes : bytes.subarray(0, end)));
}

function checkPoints({ fields, count, strideBytes, columns }: Pick<Points, "fields" | "count" | "strideBytes" | "columns">, dataBytes: number): MediaFault | undefined {
  if (fields.length < 1 || fields.length > POINTS_FIELDS_MAX) return fault("badShape", `${fields.length} fields, 1 to ${POINTS_FIELDS_MAX}`);
  if (!isCount(strideBytes, 1, POINTS_STRIDE_BYTES_MAX) || !isCount(count, 0, 0xffff_ffff) || !isCount(columns, 0, 0xffff_ffff) || (columns > 0 && count % columns !== 0)) return fault("badShape", `${count} points of ${strideBytes} bytes, ${columns} a row`);
  for (const { name, count: numbers } of fields) if (!isCount(numbers, 1, 255)) return fault("badShape", `${name} has not 1 to 255 numbers`);
  // Below 2^48: exact.
  if (count * strideBytes !== dataBytes) return fault("outOfBounds", `${count} points of ${strideBytes} bytes, there are ${dataBytes} bytes`);
  for (const { name, type, count: numbers, offsetBytes } of fields) if (!isCount(offsetBytes, 0, strideBytes) || offsetBytes + numbers * sizes[type] > strideBytes) return fault("outOfBounds", `${name} goes beyond the point's ${strideBytes} bytes`);
  for (const [i, { name }] of fields.entries()) if (!/^[A-Za-z_][A-Za-z0-9_]{0,23}$/.test(name) || fields.findIndex((field) => field.name === name) !== i) return fault("badName", `field ${i} has no name of its own`);
  return undefined;
}

/** Reads number `part` of `field` of point `index`; throws a RangeError beyond the cloud. 64-bit integers come as bigints. */
export function pointValue({ strideBytes, count, data }: Points, { type, count: parts, offsetBytes }: PointField, index: number, part = 0): number | bigint {
  if (!isCount(index, 0, count - 1) || !isCount(part, 0, parts - 1)) throw new RangeError(`point ${index}, number ${part}: not in the cloud`);
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const at = index * strideBytes + offsetBytes + part * sizes[type];
  switch (type) {
    case "i8": return view.getInt8(at);
    case "u8": return view.getUint8(at);
    case "i16": return view.getInt16(at, true);
    case "u16": return view.getUint16(at, true);
    case "i32": return view.getInt32(at, true);
    case "u32": return view.getUint32(at, true);
    case "f32": return view.getFloat32(at, true);
    case "f64": return view.getFloat64(at, true);
    case "i64": return view.getBigInt64(at, true);
    case "u64": return view.getBigUint64(at, true);
    default: return type satisfies never;
  }
}

export function pointsPayloadBytes(input: PointsInput): number {
  return POINTS_HEADER_BYTES + input.data.byteLength;
}

/** Writes header and points into `out`, which has exactly `pointsPayloadBytes(input)` bytes. */
export function encodePointsInto(input: PointsInput, out: Uint8Array): MediaResult<undefined> {
  const { strideBytes, columns = 0, dense = false, timeNs = 0n, data } = input;
  const fields = [...input.fields];
  if (!isTime(timeNs)) return fault("badShape", "timeNs is a signed 64-bit number");
  for (const { name, type } of fields) if (!pointTypes.includes(type)) return fault("badType", `${name} is of no type ${type}`);
  const count = Math.floor(data.byteLength / Math.max(1, strideBytes));
  const refused = checkPoints({ fields, count, strideBytes, columns }, data.byteLength);
  if (refused) return refused;
  if (out.length !== pointsPayloadBytes(input)) return fault("badLength", `${out.length} bytes of room, ${pointsPayloadBytes(input)} needed`);
  const view = beginHeader(out, MAGIC, POINTS_HEADER_BYTES, data.byteLength);
  view.setUint32(16, count, true);
  view.setUint32(20, strideBytes, true);
  view.setUint32(24, columns, true);
  view.setUint16(28, fields.length, true);
  view.setUint16(30, dense ? 1 : 0, true);
  view.setBigInt64(32, timeNs, true);
  for (const [i, { name, type, count: numbers, offsetBytes }] of fields.entries()) {
    for (let c = 0; c < name.length; c++) out[fieldAt(i) + c] = name.charCodeAt(c);
    view.setUint8(fieldAt(i) + 24, pointTypes.indexOf(type) + 1);
    view.setUint8(fieldAt(i) + 25, numbers);
    view.setUint32(fieldAt(i) + 28, offsetBytes, true);
  }
  out.set(bytesOf(data), POINTS_HEADER_BYTES);
  return { ok: true, value: undefined };
}
