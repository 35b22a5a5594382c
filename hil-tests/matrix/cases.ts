/** The cases of the language matrix (cases.json), and the bytes that every language makes of a seed. */
import { readFileSync } from "node:fs";
import type { FieldDefinition } from "../../schemas/records/index.ts";

export type Values = "record" | "cbor" | "json" | "bytes" | "tensor" | "video";

/** Bytes without a pattern of two powers in them, so that what is moved or cut is seen. */
export interface Pattern {
  seed: number;
  length: number;
}

export interface TensorCase {
  dtype: string;
  /** DLPack's code, bits and lanes. */
  type: [number, number, number];
  shape: number[];
  strides: number[];
  seed: number;
  dataBytes: number;
}

export interface FrameCase {
  fourcc: string;
  width: number;
  height: number;
  ptsNs: number;
  /** Offset, stride, bytes of a row, rows. */
  planes: [number, number, number, number][];
  seed: number;
  dataBytes: number;
}

/** A topic of each writer: `matrix/WRITER/NAME`. It has one of values, patterns, tensors, frames, inputs and burst. */
export interface TopicCase {
  name: string;
  encoding: Values;
  queue: number;
  policy?: "queue" | "lossless";
  payloadBytesMax?: number;
  fields?: FieldDefinition[];
  jsonSchema?: object;
  options?: { ttlMs: number; quality: "stale"; keyFrame: boolean };
  values?: unknown[];
  patterns?: Pattern[];
  tensors?: TensorCase[];
  frames?: FrameCase[];
  /** So many messages of `matrix/input` are passed on, each with it as its lineage. */
  inputs?: number;
  /** As fast as it goes: message n has pattern n. The reader says its numbers and the hash of all payloads. */
  burst?: { count: number; length: number };
}

export interface Cases {
  topics: TopicCase[];
  /** What a reader tries to write in a topic of its writer: refused with 206. */
  mismatches: { topic: string; encoding: Values; fields?: FieldDefinition[] }[];
  echoes: unknown[];
  bytes: Pattern;
  refusal: { status: number; text: string };
  stream: { count: number; credit: number };
  /** Groups of providers of one service. */
  groups: string[];
  /** Items of a stream, each a sealed file. */
  handed: Pattern[];
  /** The reader of an endless stream leaves after so many items. */
  cancelAfter: number;
  deadlineMs: number;
  file: Pattern & { name: string; type: string };
}

export function readCases(path: string): Cases {
  return JSON.parse(readFileSync(path, "utf8")) as Cases;
}

const BLOCK_BYTES = 4093;

/** A block of a linear congruential generator's high bytes (Numerical Recipes' constants), again and again. */
export function patternBytes({ seed, length }: Pattern): Uint8Array {
  const block = new Uint8Array(Math.min(length, BLOCK_BYTES));
  let state = seed;
  for (let i = 0; i < block.length; i++) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    block[i] = state >>> 24;
  }
  const bytes = new Uint8Array(length);
  for (let at = 0; at < length; at += BLOCK_BYTES) bytes.set(block.subarray(0, Math.min(BLOCK_BYTES, length - at)), at);
  return bytes;
}

export function messageCount({ values, patterns, tensors, frames, inputs, burst }: TopicCase): number {
  return values?.length ?? patterns?.length ?? tensors?.length ?? frames?.length ?? inputs ?? burst?.count ?? 0;
}
