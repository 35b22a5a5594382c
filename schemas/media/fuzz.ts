/** Inputs for `npm run fuzz`: whatever the bytes, a value or a fault; a value encodes to the same bytes, and everything it names lies within its data. */
import { createHash } from "node:crypto";
import { mediaCodec, mediaEncodings } from "./codec.ts";
import { itemBytes } from "./tensor.ts";
import { pointValue } from "./points.ts";
import { mediaFaultCodes, type MediaFault, type MediaResult } from "./header.ts";
import { goodRows } from "./testValues.ts";

function must(condition: boolean, what: string): void {
  if (!condition) throw new Error(what);
}

function known(result: MediaFault): void {
  must(mediaFaultCodes.includes(result.code) && result.text !== "", "a fault says too little");
}

function same(encoded: MediaResult<Uint8Array>, payload: Uint8Array): void {
  must(encoded.ok && Buffer.compare(encoded.value, payload) === 0, "what was decoded encodes to other bytes");
}

/** The sizes are made right, so that the bytes reach what lies behind them. */
function withLengths(input: Uint8Array, magic: string, headerBytes: number): Uint8Array {
  const payload = new Uint8Array(Math.max(input.length, headerBytes));
  payload.set(input);
  const view = new DataView(payload.buffer);
  payload.set(Buffer.from(magic, "latin1"));
  view.setUint16(4, 1, true);
  view.setUint16(6, headerBytes, true);
  view.setBigUint64(8, BigInt(payload.length - headerBytes), true);
  return payload;
}

const heads = { tensor: ["IPTE", 192], video: ["IPVI", 128], audio: ["IPAU", 64], points: ["IPPT", 576], haptic: ["IPHA", 64], file: ["IPFI", 448] } as const;

function tensor(payload: Uint8Array): void {
  const result = mediaCodec("tensor").decode(payload);
  if (!result.ok) return known(result);
  const { shape, strides, type, bytes, dtype, data } = result.value;
  same(mediaCodec("tensor").encode({ dtype, shape, strides, data: bytes }), payload);
  must(data.byteLength <= bytes.length, "more numbers than data");
  if (shape.includes(0)) return;
  const last = shape.reduce((sum, side, i) => sum + BigInt(side - 1) * BigInt(strides[i]!), 0n);
  must((last + 1n) * BigInt(itemBytes(type)) <= BigInt(bytes.length), "an element lies beyond the data");
}

function video(payload: Uint8Array): void {
  const result = mediaCodec("video").decode(payload);
  if (!result.ok) return known(result);
  same(mediaCodec("video").encode(result.value), payload);
  for (const { offsetBytes, strideBytes, rowBytes, rows } of result.value.planes) {
    must(BigInt(offsetBytes) + BigInt(rows - 1) * BigInt(strideBytes) + BigInt(rowBytes) <= BigInt(result.value.data.length), "a row lies beyond the data");
  }
}

function audio(payload: Uint8Array): void {
  const result = mediaCodec("audio").decode(payload);
  if (!result.ok) return known(result);
  same(mediaCodec("audio").encode(result.value), payload);
  must(result.value.samples.length === result.value.frames * result.value.channels, "not a number for each channel and frame");
}

function points(payload: Uint8Array): void {
  const result = mediaCodec("points").decode(payload);
  if (!result.ok) return known(result);
  const cloud = result.value;
  same(mediaCodec("points").encode(cloud), payload);
  // The last number of each field: beyond the data, DataView would throw.
  if (cloud.count > 0) for (const field of cloud.fields) pointValue(cloud, field, cloud.count - 1, field.count - 1);
}

function haptic(payload: Uint8Array): void {
  const result = mediaCodec("haptic").decode(payload);
  if (!result.ok) return known(result);
  // NaNs keep their bits: the samples are a view of the payload or of a copy.
  same(mediaCodec("haptic").encode(result.value), payload);
}

function file(payload: Uint8Array): void {
  const result = mediaCodec("file").decode(payload);
  if (!result.ok) return known(result);
  const { name, type, sizeBytes, sha256, content } = result.value;
  const hashed = content === undefined || createHash("sha256").update(content).digest().equals(sha256);
  const again = mediaCodec("file").encode(content ? { name, type, content } : { name, type, sizeBytes, sha256 });
  if (hashed) same(again, payload);
  must(!/[/\\\0]/.test(name) && name !== ".." && name !== ".", "a name that leaves its folder");
}

const checks = { tensor, video, audio, points, haptic, file };

export const fuzzTargets: { name: string; run(input: Uint8Array): void; seeds: Uint8Array[] }[] = mediaEncodings.map((encoding) => ({
  name: `media: ${encoding}`,
  run(input) {
    checks[encoding](input);
    const [magic, headerBytes] = heads[encoding];
    checks[encoding](withLengths(input, magic, headerBytes));
  },
  seeds: goodRows.filter((row) => row.encoding === encoding).map(({ payload }) => Uint8Array.from(Buffer.from(payload, "hex"))),
}));
