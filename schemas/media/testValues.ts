/** For tests: the vectors, and decoded values spelled as the vectors spell them. */
import { fromHex, toHex, vectors } from "../testData.ts";
import type { MediaEncoding } from "./codec.ts";
import { decodeAudio, decodeFile, decodeHaptic, decodePoints, decodeTensor, decodeVideo } from "./index.ts";
import type { MediaFaultCode } from "./index.ts";

export interface GoodRow {
  name: string;
  encoding: MediaEncoding;
  payload: string;
  value: string;
}

interface BadJson {
  name: string;
  base: string;
  fault: MediaFaultCode;
  edits?: [at: number, hex: string][];
  keepBytes?: number;
  append?: string;
}

export interface BadRow {
  name: string;
  encoding: MediaEncoding;
  payload: Uint8Array;
  fault: MediaFaultCode;
}

const json = vectors("media.json") as { good: GoodRow[]; bad: BadJson[]; schemas: { encoding: MediaEncoding; constraints: Record<string, unknown>; text: string; hash: string }[] };

export const goodRows = json.good;
export const schemaRows = json.schemas;
export const badRows: BadRow[] = json.bad.map(({ name, base, fault, edits = [], keepBytes, append = "" }) => {
  const row = json.good.find((good) => good.name === base);
  if (!row) throw new Error(`${name}: there is no row ${base}`);
  const payload = fromHex(row.payload + append);
  for (const [at, hex] of edits) payload.set(fromHex(hex), at);
  return { name, encoding: row.encoding, payload: payload.subarray(0, keepBytes ?? payload.length), fault };
});

/** The payload's value in words, or its fault. */
export function spell(encoding: MediaEncoding, payload: Uint8Array): string {
  switch (encoding) {
    case "tensor": {
      const result = decodeTensor(payload);
      if (!result.ok) return result.code;
      const { dtype, shape, strides, bytes } = result.value;
      return `${dtype} [${shape.join()}] [${strides.join()}] ${bytes.length}`;
    }
    case "video": {
      const result = decodeVideo(payload);
      if (!result.ok) return result.code;
      const { encoded, fourcc, keyFrame, width, height, ptsNs, planes, data } = result.value;
      const spelled = planes.map((plane) => `${plane.offsetBytes}/${plane.strideBytes}/${plane.rowBytes}/${plane.rows}`);
      return `${encoded ? "encoded" : "raw"} ${fourcc} ${keyFrame ? "key" : "delta"} ${width}x${height} ${ptsNs} [${spelled.join()}] ${data.length}`;
    }
    case "audio": {
      const result = decodeAudio(payload);
      if (!result.ok) return result.code;
      const { format, planar, channels, frames, rateHz, ptsNs, samples } = result.value;
      return `${format} ${planar ? "planar" : "interleaved"} ${channels}x${frames} ${rateHz} ${ptsNs} ${samples.byteLength}`;
    }
    case "points": {
      const result = decodePoints(payload);
      if (!result.ok) return result.code;
      const { count, strideBytes, columns, dense, timeNs, fields, data } = result.value;
      const spelled = fields.map((field) => `${field.name} ${field.type} ${field.count} ${field.offsetBytes}`);
      return `${count}x${strideBytes} ${columns} ${dense ? "dense" : "sparse"} ${timeNs} [${spelled.join()}] ${data.length}`;
    }
    case "haptic": {
      const result = decodeHaptic(payload);
      if (!result.ok) return result.code;
      const { quantity, channels, frames, rateHz, ptsNs, samples } = result.value;
      return `${quantity} ${channels}x${frames} ${rateHz} ${ptsNs} ${samples.byteLength}`;
    }
    case "file": {
      const result = decodeFile(payload);
      if (!result.ok) return result.code;
      const { name, type, sizeBytes, sha256, content } = result.value;
      return `${content ? "inline" : "descriptor"} ${name} ${type || "-"} ${sizeBytes} ${toHex(sha256)} ${content?.length ?? 0}`;
    }
    default:
      return encoding satisfies never;
  }
}
