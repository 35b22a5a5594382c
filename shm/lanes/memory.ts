/** Memory that JavaScript and the addon share for lanes, one set per thread: looked up once, so that a publish and a drain are one call with a few numbers. As in shm/addon/lanes_glue.h. */
import { Buffer } from "node:buffer";
import { hub, type NativeShm } from "../sockets/native.ts";

export const STAGING_LINEAGE_AT = 64;
export const STAGING_PAYLOAD_AT = 512;
export const STAGING_PAYLOAD_BYTES = 65_536;
const STAGING_LENGTHS_AT = STAGING_PAYLOAD_AT + STAGING_PAYLOAD_BYTES;
export const STAGING_MANY_MAX = 512;
/** Messages of one drain. */
export const BATCH_MESSAGES_MAX = 1024;
export const RECORD_BYTES = 64;
const BATCH_LINEAGE_MAX = 1920;
/** Fits the second-level cache of small processors. Larger messages get a buffer of their own, which is theirs from then on: they are copied once. */
const BUFFER_BYTES = 262_144;

export interface LanesMemory {
  readonly native: NativeShm;
  /** What is to be published: meta, lineage, payloads. */
  readonly staging: Uint8Array;
  readonly stagingView: DataView;
  /** Lengths of the payloads of a batch to be published. */
  readonly lengths: Uint32Array;
  /** What was read, 64 bytes a message: in words of 32 and of 64 bits. */
  readonly words: Uint32Array;
  readonly longs: BigUint64Array;
  readonly lineage: BigUint64Array;
  /** Payloads of what was read: `shared`, or the own buffer of one large message. */
  buffer: Uint8Array;
  readonly shared: Uint8Array;
}

let shared: LanesMemory | undefined;

export function lanesMemory(): LanesMemory {
  shared ??= make();
  return shared;
}

function make(): LanesMemory {
  const { native } = hub();
  const staging = new Uint8Array(STAGING_LENGTHS_AT + 4 * STAGING_MANY_MAX);
  const records = new Uint8Array(RECORD_BYTES * BATCH_MESSAGES_MAX);
  const lineage = new BigUint64Array(3 * BATCH_LINEAGE_MAX);
  const buffer = new Uint8Array(BUFFER_BYTES);
  native.laneMemory(staging, records, lineage);
  native.laneBuffer(buffer);
  return {
    native, staging, stagingView: new DataView(staging.buffer), lengths: new Uint32Array(staging.buffer, STAGING_LENGTHS_AT, STAGING_MANY_MAX),
    words: new Uint32Array(records.buffer), longs: new BigUint64Array(records.buffer), lineage, buffer, shared: buffer,
  };
}

/** A buffer for one message of `bytes`. Not zeroed: only what the addon has written is handed out. */
export function takeOwnBuffer(memory: LanesMemory, bytes: number): void {
  useBuffer(memory, new Uint8Array(Buffer.allocUnsafeSlow(bytes).buffer));
}

/** Back to the buffer that is used again for each drain. */
export function shareBuffer(memory: LanesMemory): void {
  if (memory.buffer !== memory.shared) useBuffer(memory, memory.shared);
}

function useBuffer(memory: LanesMemory, buffer: Uint8Array): void {
  memory.buffer = buffer;
  memory.native.laneBuffer(buffer);
}
