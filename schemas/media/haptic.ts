/** Haptic signals: what a glove, a handle or a skin feels or should make felt, float32 per channel and frame. docs/specs/media.md. */
import { beginHeader, bytesOf, fault, isCount, isTime, isZero, openHeader, type MediaFault, type MediaResult } from "./header.ts";
import { HAPTIC_CHANNELS_MAX, HAPTIC_HEADER_BYTES, HAPTIC_RATE_HZ_MAX } from "./limits.ts";
import { tensorTypeOf, viewAs } from "./tensorType.ts";

/** With their units: relative drive −1 … 1, N, N m, Pa, m/s², °C, m. The code on the wire is the index + 1. */
export const hapticQuantities = ["drive", "force", "torque", "pressure", "acceleration", "temperature", "position"] as const;
export type HapticQuantity = (typeof hapticQuantities)[number];

export interface Haptic {
  quantity: HapticQuantity;
  channels: number;
  /** Frames per second; 0: a single state, not a signal. */
  rateHz: number;
  frames: number;
  ptsNs: bigint;
  /** frames × channels numbers, frame by frame: a view of the payload when it stands aligned in its buffer, else of a copy. */
  samples: Float32Array;
}

export interface HapticInput {
  quantity: HapticQuantity;
  channels: number;
  rateHz?: number;
  ptsNs?: bigint;
  samples: Float32Array;
}

const MAGIC = "IPHA";

export function decodeHaptic(payload: Uint8Array): MediaResult<Haptic> {
  const opened = openHeader(payload, MAGIC, HAPTIC_HEADER_BYTES);
  if (!opened.ok) return opened;
  const { view, data } = opened.value;
  if (!isZero(view, 17, 18) || !isZero(view, 28, 32) || !isZero(view, 40, HAPTIC_HEADER_BYTES)) return fault("notZero", "bytes without meaning are not zero");
  const quantity = hapticQuantities[view.getUint8(16) - 1];
  if (quantity === undefined) return fault("badType", `quantity ${view.getUint8(16)}`);
  const head = { channels: view.getUint16(18, true), rateHz: view.getUint32(20, true), frames: view.getUint32(24, true) };
  const refused = checkHaptic(head, data.length);
  if (refused) return refused;
  return { ok: true, value: { quantity, ...head, ptsNs: view.getBigInt64(32, true), samples: viewAs(tensorTypeOf("float32")!, data) as Float32Array } };
}

function checkHaptic({ channels, rateHz, frames }: Pick<Haptic, "channels" | "rateHz" | "frames">, dataBytes: number): MediaFault | undefined {
  if (!isCount(channels, 1, HAPTIC_CHANNELS_MAX) || !isCount(rateHz, 0, HAPTIC_RATE_HZ_MAX)) return fault("badShape", `${channels} channels at ${rateHz} Hz`);
  return isCount(frames, 0, 0xffff_ffff) && frames * channels * 4 === dataBytes ? undefined : fault("outOfBounds", `${frames} frames of ${channels} numbers take ${frames * channels * 4} bytes, there are ${dataBytes}`);
}

export function hapticPayloadBytes(input: HapticInput): number {
  return HAPTIC_HEADER_BYTES + input.samples.byteLength;
}

/** Writes header and samples into `out`, which has exactly `hapticPayloadBytes(input)` bytes. */
export function encodeHapticInto(input: HapticInput, out: Uint8Array): MediaResult<undefined> {
  const { quantity, channels, rateHz = 0, ptsNs = 0n, samples } = input;
  if (!hapticQuantities.includes(quantity)) return fault("badType", `there is no quantity ${quantity}`);
  if (!isTime(ptsNs)) return fault("badShape", "ptsNs is a signed 64-bit number");
  const frames = Math.floor(samples.length / Math.max(1, channels));
  const refused = checkHaptic({ channels, rateHz, frames }, samples.byteLength);
  if (refused) return refused;
  if (out.length !== hapticPayloadBytes(input)) return fault("badLength", `${out.length} bytes of room, ${hapticPayloadBytes(input)} needed`);
  const view = beginHeader(out, MAGIC, HAPTIC_HEADER_BYTES, samples.byteLength);
  view.setUint8(16, hapticQuantities.indexOf(quantity) + 1);
  view.setUint16(18, channels, true);
  view.setUint32(20, rateHz, true);
  view.setUint32(24, frames, true);
  view.setBigInt64(32, ptsNs, true);
  out.set(bytesOf(samples), HAPTIC_HEADER_BYTES);
  return { ok: true, value: undefined };
}
