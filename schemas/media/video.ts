/** Video frames: raw pixels in up to four planes, or one coded picture. docs/specs/media.md. */
import { isFourcc, rawFormats } from "./fourcc.ts";
import { beginHeader, bytesOf, fault, isCount, isTime, isZero, openHeader, type MediaFault, type MediaResult } from "./header.ts";
import { VIDEO_HEADER_BYTES, VIDEO_PLANES_MAX, VIDEO_SIDE_MAX } from "./limits.ts";

export interface VideoPlane {
  /** Of its first row in the data. */
  offsetBytes: number;
  /** From one row to the next. */
  strideBytes: number;
  rowBytes: number;
  rows: number;
}

export interface VideoFrame {
  /** Coded: `data` is one access unit of the codec, without planes. */
  encoded: boolean;
  /** Pixel format as V4L2 names it ("RGB3", "NV12", "Z16 "), or codec ("H264", "HEVC", "MJPG", "AV01"). */
  fourcc: string;
  /** Decodes without earlier frames; raw frames always do. */
  keyFrame: boolean;
  /** Pixels; a coded frame may not know them: 0. */
  width: number;
  height: number;
  /** Presentation time on the stream's clock. */
  ptsNs: bigint;
  planes: VideoPlane[];
  /** All data bytes, a view of the payload. */
  data: Uint8Array;
}

/** What is encoded. Planes default to those of a known raw format without gaps, one behind the other. */
export interface VideoInput {
  encoded?: boolean;
  fourcc: string;
  keyFrame?: boolean;
  width: number;
  height: number;
  ptsNs?: bigint;
  planes?: readonly VideoPlane[];
  data: ArrayBufferView;
}

const MAGIC = "IPVI";
const ENCODED = 1;
const KEY_FRAME = 2;
const PLANES_AT = 48;
const PLANE_BYTES = 16;

export function decodeVideo(payload: Uint8Array): MediaResult<VideoFrame> {
  const opened = openHeader(payload, MAGIC, VIDEO_HEADER_BYTES);
  if (!opened.ok) return opened;
  const { view, data } = opened.value;
  const flags = view.getUint16(20, true);
  const planeCount = view.getUint8(22);
  if (!isZero(view, 23, 24) || !isZero(view, 40, 48) || !isZero(view, PLANES_AT + PLANE_BYTES * Math.min(planeCount, VIDEO_PLANES_MAX), VIDEO_HEADER_BYTES)) return fault("notZero", "bytes without meaning are not zero");
  const planes = Array.from({ length: Math.min(planeCount, VIDEO_PLANES_MAX) }, (_, i): VideoPlane => {
    const at = PLANES_AT + PLANE_BYTES * i;
    return { offsetBytes: view.getUint32(at, true), strideBytes: view.getUint32(at + 4, true), rowBytes: view.getUint32(at + 8, true), rows: view.getUint32(at + 12, true) };
  });
  const frame: VideoFrame = {
    encoded: (flags & ENCODED) !== 0, fourcc: String.fromCharCode(...payload.subarray(16, 20)), keyFrame: (flags & KEY_FRAME) !== 0,
    width: view.getUint32(24, true), height: view.getUint32(28, true), ptsNs: view.getBigInt64(32, true), planes, data,
  };
  if (!isFourcc(frame.fourcc) || flags > (ENCODED | KEY_FRAME)) return fault("badType", `fourcc or flags (${flags}) that do not exist`);
  if (planeCount > VIDEO_PLANES_MAX) return fault("badShape", `${planeCount} planes, at most ${VIDEO_PLANES_MAX}`);
  return checkVideo(frame, data.length) ?? { ok: true, value: frame };
}

type Checked = Pick<VideoFrame, "encoded" | "fourcc" | "keyFrame" | "width" | "height" | "planes">;

function checkVideo({ encoded, fourcc, keyFrame, width, height, planes }: Checked, dataBytes: number): MediaFault | undefined {
  if (!encoded && !keyFrame) return fault("badType", "a raw frame is a key frame");
  const least = encoded ? 0 : 1;
  if (!isCount(width, least, VIDEO_SIDE_MAX) || !isCount(height, least, VIDEO_SIDE_MAX)) return fault("badShape", `${width} × ${height} pixels`);
  if (planes.length > VIDEO_PLANES_MAX || encoded !== (planes.length === 0)) return fault("badShape", `${planes.length} planes`);
  const rules = encoded ? undefined : rawFormats.get(fourcc);
  if (rules && rules.length !== planes.length) return fault("badShape", `${fourcc} has ${rules.length} planes, not ${planes.length}`);
  for (const [i, { offsetBytes, strideBytes, rowBytes, rows }] of planes.entries()) {
    if (![offsetBytes, strideBytes, rowBytes, rows].every((value) => isCount(value, 0, 0xffff_ffff)) || rowBytes < 1 || rows < 1 || strideBytes < rowBytes) return fault("badShape", `plane ${i}: ${rows} rows of ${rowBytes} bytes, ${strideBytes} apart`);
    const rule = rules?.[i];
    if (rule && (rowBytes !== Math.ceil(width / rule.across) * rule.bytes || rows !== Math.ceil(height / rule.down))) return fault("badShape", `plane ${i} of ${fourcc}: ${rows} rows of ${rowBytes} bytes do not make ${width} × ${height}`);
    // Below 2^64 + 2^33: rounded at most where it is far beyond the data anyway.
    if (offsetBytes + (rows - 1) * strideBytes + rowBytes > dataBytes) return fault("outOfBounds", `plane ${i} goes beyond the data's ${dataBytes} bytes`);
  }
  return undefined;
}

/** Planes of a known raw format without gaps, one behind the other; undefined for other formats. */
export function densePlanes(fourcc: string, width: number, height: number): VideoPlane[] | undefined {
  let offsetBytes = 0;
  return rawFormats.get(fourcc)?.map(({ bytes, across, down }) => {
    const rowBytes = Math.ceil(width / across) * bytes;
    const plane = { offsetBytes, strideBytes: rowBytes, rowBytes, rows: Math.ceil(height / down) };
    offsetBytes += rowBytes * plane.rows;
    return plane;
  });
}

export function videoPayloadBytes(input: VideoInput): number {
  return VIDEO_HEADER_BYTES + input.data.byteLength;
}

/** Writes header and data into `out`, which has exactly `videoPayloadBytes(input)` bytes. */
export function encodeVideoInto(input: VideoInput, out: Uint8Array): MediaResult<undefined> {
  const { fourcc, width, height, data, encoded = false, keyFrame = !encoded, ptsNs = 0n } = input;
  if (!isFourcc(fourcc)) return fault("badType", "a fourcc has four printable characters");
  if (!isTime(ptsNs)) return fault("badShape", "ptsNs is a signed 64-bit number");
  const planes = input.planes ?? (encoded ? [] : densePlanes(fourcc, width, height));
  if (planes === undefined) return fault("badShape", `${fourcc} is not a format whose planes are known here: give them`);
  const refused = checkVideo({ encoded, fourcc, keyFrame, width, height, planes: [...planes] }, data.byteLength);
  if (refused) return refused;
  if (out.length !== videoPayloadBytes(input)) return fault("badLength", `${out.length} bytes of room, ${videoPayloadBytes(input)} needed`);
  const view = beginHeader(out, MAGIC, VIDEO_HEADER_BYTES, data.byteLength);
  for (let i = 0; i < 4; i++) out[16 + i] = fourcc.charCodeAt(i);
  view.setUint16(20, (encoded ? ENCODED : 0) | (keyFrame ? KEY_FRAME : 0), true);
  view.setUint8(22, planes.length);
  view.setUint32(24, width, true);
  view.setUint32(28, height, true);
  view.setBigInt64(32, ptsNs, true);
  for (const [i, plane] of planes.entries()) {
    const at = PLANES_AT + PLANE_BYTES * i;
    view.setUint32(at, plane.offsetBytes, true);
    view.setUint32(at + 4, plane.strideBytes, true);
    view.setUint32(at + 8, plane.rowBytes, true);
    view.setUint32(at + 12, plane.rows, true);
  }
  out.set(bytesOf(data), VIDEO_HEADER_BYTES);
  return { ok: true, value: undefined };
}
