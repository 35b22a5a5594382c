/** The media formats by their encoding's name, and what a topic may fix about them. */
import { schemaHash } from "../topics/schemaHash.ts";
import { decodeAudio, encodeAudioInto, audioPayloadBytes, type Audio, type AudioInput } from "./audio.ts";
import { decodeFile, encodeFileInto, filePayloadBytes, type FileInput, type FilePayload } from "./file.ts";
import { decodeHaptic, encodeHapticInto, hapticPayloadBytes, type Haptic, type HapticInput } from "./haptic.ts";
import type { MediaResult } from "./header.ts";
import { decodePoints, encodePointsInto, pointsPayloadBytes, type Points, type PointsInput } from "./points.ts";
import { decodeTensor, encodeTensorInto, tensorPayloadBytes, type Tensor, type TensorInput } from "./tensor.ts";
import { decodeVideo, encodeVideoInto, videoPayloadBytes, type VideoFrame, type VideoInput } from "./video.ts";

export const mediaEncodings = ["tensor", "video", "audio", "points", "haptic", "file"] as const;
export type MediaEncoding = (typeof mediaEncodings)[number];

/** What a topic fixes; other facts may differ from message to message. `null` in a list leaves that item open. */
export type MediaConstraints = Readonly<Record<string, unknown>>;

export interface MediaCodec<Value, Input> {
  readonly encoding: MediaEncoding;
  /** Reads a payload: total, bounded, and without copying the data. */
  decode(payload: Uint8Array): MediaResult<Value>;
  /** A new payload. */
  encode(input: Input): MediaResult<Uint8Array>;
  /** How many bytes `encodeInto` needs: for a loan from a lane. */
  payloadBytes(input: Input): number;
  encodeInto(input: Input, out: Uint8Array): MediaResult<undefined>;
  /** What constraints can be about. */
  facts(value: Value): Record<string, unknown>;
}

interface Codecs {
  tensor: MediaCodec<Tensor, TensorInput>;
  video: MediaCodec<VideoFrame, VideoInput>;
  audio: MediaCodec<Audio, AudioInput>;
  points: MediaCodec<Points, PointsInput>;
  haptic: MediaCodec<Haptic, HapticInput>;
  file: MediaCodec<FilePayload, FileInput>;
}

function codec<Value, Input>(steps: Omit<MediaCodec<Value, Input>, "encode">): MediaCodec<Value, Input> {
  return {
    ...steps,
    encode(input) {
      const out = new Uint8Array(steps.payloadBytes(input));
      const written = steps.encodeInto(input, out);
      return written.ok ? { ok: true, value: out } : written;
    },
  };
}

const codecs: Codecs = {
  tensor: codec({ encoding: "tensor", decode: decodeTensor, payloadBytes: tensorPayloadBytes, encodeInto: encodeTensorInto, facts: ({ dtype, shape }: Tensor) => ({ dtype, shape }) }),
  video: codec({ encoding: "video", decode: decodeVideo, payloadBytes: videoPayloadBytes, encodeInto: encodeVideoInto, facts: ({ fourcc, width, height }: VideoFrame) => ({ fourcc, width, height }) }),
  audio: codec({ encoding: "audio", decode: decodeAudio, payloadBytes: audioPayloadBytes, encodeInto: encodeAudioInto, facts: ({ format, channels, rateHz }: Audio) => ({ format, channels, rateHz }) }),
  points: codec({
    encoding: "points", decode: decodePoints, payloadBytes: pointsPayloadBytes, encodeInto: encodePointsInto,
    facts: ({ fields, strideBytes }: Points) => ({ fields: fields.map(({ name, type, count, offsetBytes }) => [name, type, count, offsetBytes]), strideBytes }),
  }),
  haptic: codec({ encoding: "haptic", decode: decodeHaptic, payloadBytes: hapticPayloadBytes, encodeInto: encodeHapticInto, facts: ({ quantity, channels, rateHz }: Haptic) => ({ quantity, channels, rateHz }) }),
  file: codec({ encoding: "file", decode: decodeFile, payloadBytes: filePayloadBytes, encodeInto: encodeFileInto, facts: ({ type }: FilePayload) => ({ type }) }),
};

export function mediaCodec<Encoding extends MediaEncoding>(encoding: Encoding): Codecs[Encoding];
export function mediaCodec(encoding: string): Codecs[MediaEncoding] | undefined;
/** The codec of an encoding, undefined for those that are not media. */
export function mediaCodec(encoding: string): Codecs[MediaEncoding] | undefined {
  return isMediaEncoding(encoding) ? codecs[encoding] : undefined;
}

export function isMediaEncoding(encoding: string): encoding is MediaEncoding {
  return mediaEncodings.some((name) => name === encoding);
}

/**
 * The number that names a topic's schema: that of the encoding with its constraints in the place of a JSON Schema (null without any), as for every encoding without a layout.
 * So constraints are advertised, and announced, as the topic's `jsonSchema`.
 */
export function mediaSchemaHash(encoding: MediaEncoding, constraints: MediaConstraints = {}): bigint {
  return schemaHash(encoding, Object.keys(constraints).length === 0 ? null : constraints);
}

/** The first constraint that a value's facts do not meet, undefined when all are met. */
export function unmetConstraint(facts: Readonly<Record<string, unknown>>, constraints: MediaConstraints): string | undefined {
  return Object.keys(constraints).sort().find((key) => constraints[key] !== undefined && !(Object.hasOwn(facts, key) && meets(facts[key], constraints[key])));
}

function meets(fact: unknown, wanted: unknown): boolean {
  if (wanted === null) return true;
  if (Array.isArray(wanted)) return Array.isArray(fact) && fact.length === wanted.length && wanted.every((item, i) => meets(fact[i], item));
  return fact === wanted;
}
