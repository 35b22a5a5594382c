/** Audio: PCM samples of some channels. docs/specs/media.md. */
import { beginHeader, bytesOf, fault, isCount, isTime, isZero, openHeader, type MediaFault, type MediaResult } from "./header.ts";
import { AUDIO_CHANNELS_MAX, AUDIO_HEADER_BYTES, AUDIO_RATE_HZ_MAX } from "./limits.ts";
import { tensorTypeOf, viewAs, type TensorArray } from "./tensorType.ts";

/** Little-endian; the code on the wire is the index + 1. u8 rests at 128. */
export const audioFormats = ["u8", "s16", "s32", "f32", "f64"] as const;
export type AudioFormat = (typeof audioFormats)[number];

const sampleBytes: Record<AudioFormat, number> = { u8: 1, s16: 2, s32: 4, f32: 4, f64: 8 };
const arrays: Record<AudioFormat, string> = { u8: "uint8", s16: "int16", s32: "int32", f32: "float32", f64: "float64" };

export interface Audio {
  format: AudioFormat;
  /** true: all samples of the first channel, then those of the second, …; false: frame by frame. */
  planar: boolean;
  channels: number;
  rateHz: number;
  /** Samples per channel. */
  frames: number;
  /** Time of the first frame on the stream's clock. */
  ptsNs: bigint;
  /** frames × channels numbers: a view of the payload when it stands aligned in its buffer, else of a copy. */
  samples: TensorArray;
}

export interface AudioInput {
  format: AudioFormat;
  planar?: boolean;
  channels: number;
  rateHz: number;
  ptsNs?: bigint;
  /** frames × channels numbers of the format. */
  samples: ArrayBufferView;
}

const MAGIC = "IPAU";

export function decodeAudio(payload: Uint8Array): MediaResult<Audio> {
  const opened = openHeader(payload, MAGIC, AUDIO_HEADER_BYTES);
  if (!opened.ok) return opened;
  const { view, data } = opened.value;
  if (!isZero(view, 28, 32) || !isZero(view, 40, AUDIO_HEADER_BYTES)) return fault("notZero", "bytes without meaning are not zero");
  const format = audioFormats[view.getUint8(16) - 1];
  const layout = view.getUint8(17);
  if (format === undefined || layout > 1) return fault("badType", `format ${view.getUint8(16)}, layout ${layout}`);
  const head = { format, channels: view.getUint16(18, true), rateHz: view.getUint32(20, true), frames: view.getUint32(24, true) };
  const refused = checkAudio(head, data.length);
  if (refused) return refused;
  return { ok: true, value: { ...head, planar: layout === 1, ptsNs: view.getBigInt64(32, true), samples: viewAs(tensorTypeOf(arrays[format])!, data) } };
}

function checkAudio({ format, channels, rateHz, frames }: Pick<Audio, "format" | "channels" | "rateHz" | "frames">, dataBytes: number): MediaFault | undefined {
  if (!isCount(channels, 1, AUDIO_CHANNELS_MAX) || !isCount(rateHz, 1, AUDIO_RATE_HZ_MAX)) return fault("badShape", `${channels} channels at ${rateHz} Hz`);
  const expected = frames * channels * sampleBytes[format];
  return isCount(frames, 0, 0xffff_ffff) && expected === dataBytes ? undefined : fault("outOfBounds", `${frames} frames of ${channels} × ${format} take ${expected} bytes, there are ${dataBytes}`);
}

export function audioPayloadBytes(input: AudioInput): number {
  return AUDIO_HEADER_BYTES + input.samples.byteLength;
}

/** Writes header and samples into `out`, which has exactly `audioPayloadBytes(input)` bytes. */
export function encodeAudioInto(input: AudioInput, out: Uint8Array): MediaResult<undefined> {
  const { format, planar = false, channels, rateHz, ptsNs = 0n, samples } = input;
  if (!audioFormats.includes(format)) return fault("badType", `there is no format ${format}`);
  if (!isTime(ptsNs)) return fault("badShape", "ptsNs is a signed 64-bit number");
  const frames = Math.floor(samples.byteLength / Math.max(1, channels * sampleBytes[format]));
  const refused = checkAudio({ format, channels, rateHz, frames }, samples.byteLength);
  if (refused) return refused;
  if (out.length !== audioPayloadBytes(input)) return fault("badLength", `${out.length} bytes of room, ${audioPayloadBytes(input)} needed`);
  const view = beginHeader(out, MAGIC, AUDIO_HEADER_BYTES, samples.byteLength);
  view.setUint8(16, audioFormats.indexOf(format) + 1);
  view.setUint8(17, planar ? 1 : 0);
  view.setUint16(18, channels, true);
  view.setUint32(20, rateHz, true);
  view.setUint32(24, frames, true);
  view.setBigInt64(32, ptsNs, true);
  out.set(bytesOf(samples), AUDIO_HEADER_BYTES);
  return { ok: true, value: undefined };
}
