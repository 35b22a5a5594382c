/** What a reader must have said about its writer's messages and services: every byte, every number, computed here from the cases alone. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mediaCodec, type MediaResult } from "../../schemas/media/index.ts";
import { type Cases, messageCount, patternBytes, type TopicCase } from "./cases.ts";

export const areas = ["topics", "services", "tensors", "files", "video"] as const;
export type Area = (typeof areas)[number];
export type Line = Record<string, unknown>;

/** Faults found, by area. */
export type Verdict = Record<Area, string[]>;

export interface Known {
  cases: Cases;
  /** Origin and first sequence of the messages on `matrix/input`. */
  input: { origin: string; sequences: number[] };
}

const sha = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const id = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 16);
const areaOf = (topic: TopicCase): Area => (topic.tensors ? "tensors" : topic.frames ? "video" : "topics");

/** `lines`: all that the reader said. */
export function judge(lines: readonly Line[], known: Known): Verdict {
  const verdict: Verdict = { topics: [], services: [], tensors: [], files: [], video: [] };
  const check = (area: Area, what: string, look: () => void): void => {
    try {
      look();
    } catch (error) {
      verdict[area].push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
  for (const topic of known.cases.topics) {
    const said = lines.filter((line) => line["case"] === topic.name && !("advertised" in line));
    check(areaOf(topic), topic.name, () => (topic.burst ? judgeBurst(said, topic) : judgeMessages(said, topic, known)));
    check(areaOf(topic), `${topic.name}: the same schema in both`, () => assert.equal(lines.find((line) => line["case"] === topic.name && "advertised" in line)?.["advertised"], 100));
  }
  for (const { topic } of known.cases.mismatches) {
    check("topics", `${topic}: another schema`, () => assert.equal(lines.find((line) => line["mismatch"] === topic)?.["advertised"], 206));
  }
  for (const [call, { status, body, text }] of expectedCalls(known.cases)) {
    check(call === "file" ? "files" : "services", call, () => {
      const line = lines.find((said) => said["call"] === call);
      assert.deepEqual({ status: line?.["status"], body: line?.["body"] }, { status, body });
      if (text !== undefined) assert.ok(String(line?.["text"]).includes(text), `"${String(line?.["text"])}" does not say "${text}"`);
    });
  }
  return verdict;
}

/** Payloads that were made of values: all readers of a writer must have had the same bytes. Returns what differs. */
export function unequalPayloads(readers: readonly (readonly Line[])[], { topics }: Cases): string[] {
  return topics.filter(({ values, inputs }) => values !== undefined || inputs !== undefined).flatMap(({ name }) => {
    const seen = new Set(readers.map((lines) => lines.filter((line) => line["case"] === name && "sha" in line).map((line) => String(line["sha"])).join()));
    return seen.size === 1 ? [] : [`${name}: the readers had different bytes`];
  });
}

/** The origin is the writer's, told by the gateway: component, version, instance, boot; with the process where there is no component. */
function judgeMessages(said: readonly Line[], topic: TopicCase, { input }: Known): void {
  assert.deepEqual(said.map(({ sequence, lost }) => [sequence, lost]), Array.from({ length: messageCount(topic) }, (_, i) => [i + 1, 0]), "sequence, lost");
  assert.ok(new Set(said.map(({ origin }) => origin)).size === 1 && String(said[0]!["origin"]).length > 0, `origins ${said.map(({ origin }) => String(origin)).join()}`);
  for (const [i, line] of said.entries()) {
    const { ttlMs, quality, keyFrame, ageMs, wallAgeMs, lineage } = line;
    assert.deepEqual({ ttlMs, quality, keyFrame }, { ttlMs: topic.options?.ttlMs ?? 0, quality: topic.options?.quality ?? "good", keyFrame: topic.options?.keyFrame ?? false });
    // Made in this run; the wall clock may be set meanwhile, but not here.
    for (const age of [ageMs, wallAgeMs]) assert.ok(Number(age) > -5 && Number(age) < 120_000, `age ${String(age)} ms`);
    assert.deepEqual(lineage, topic.inputs === undefined ? [] : [[id(input.origin), id("matrix/input"), input.sequences[i]]]);
    judgeContent(line, topic, i);
  }
}

function judgeContent({ sha: found, bytes, value }: Line, topic: TopicCase, i: number): void {
  if (topic.values) return assert.deepEqual(value, topic.values[i]);
  if (topic.inputs !== undefined) return assert.deepEqual(value, { from: { n: i + 1 } });
  const tensor = topic.tensors?.[i];
  const frame = topic.frames?.[i];
  const payload = tensor ? tensorPayload(tensor) : frame ? framePayload(frame) : patternBytes(topic.patterns![i]!);
  assert.deepEqual([found, bytes], [sha(payload), payload.length], "SHA-256, bytes");
  if (tensor) {
    const { type, shape, strides, seed, dataBytes } = tensor;
    assert.deepEqual(value, { type, shape, strides, sha: sha(patternBytes({ seed, length: dataBytes })) });
  }
  if (frame) {
    const { seed, dataBytes, ...rest } = frame;
    assert.deepEqual(value, { ...rest, sha: sha(patternBytes({ seed, length: dataBytes })) });
  }
}

function tensorPayload({ dtype, shape, strides, seed, dataBytes }: NonNullable<TopicCase["tensors"]>[number]): Uint8Array {
  return payloadOf(mediaCodec("tensor").encode({ dtype, shape, strides, data: patternBytes({ seed, length: dataBytes }) }));
}

function framePayload({ fourcc, width, height, ptsNs, planes, seed, dataBytes }: NonNullable<TopicCase["frames"]>[number]): Uint8Array {
  const named = planes.map(([offsetBytes, strideBytes, rowBytes, rows]) => ({ offsetBytes, strideBytes, rowBytes, rows }));
  return payloadOf(mediaCodec("video").encode({ fourcc, width, height, ptsNs: BigInt(ptsNs), planes: named, data: patternBytes({ seed, length: dataBytes }) }));
}

function payloadOf(encoded: MediaResult<Uint8Array>): Uint8Array {
  if (!encoded.ok) throw new Error(encoded.text);
  return encoded.value;
}

/** Message n has pattern n: the hash of all that came, and every gap told. */
function judgeBurst(said: readonly Line[], { policy, burst }: TopicCase): void {
  const { sequences, lost, sha: found } = said[0] as { sequences: number[]; lost: number; sha: string };
  const { count, length } = burst!;
  const all = createHash("sha256");
  for (const sequence of sequences) all.update(patternBytes({ seed: sequence, length }));
  assert.deepEqual([said.length, sequences.at(-1), sequences.length + lost, found], [1, count, count, all.digest("hex")], "reports, last, all told, SHA-256");
  assert.ok(sequences.every((sequence, i) => i === 0 || sequence > sequences[i - 1]!), "order");
  if (policy === "lossless") assert.equal(lost, 0);
}

function expectedCalls({ echoes, bytes, refusal, stream, groups, handed, cancelAfter, file }: Cases): Map<string, { status: number; body?: unknown; text?: string }> {
  const turned = patternBytes(file).map((byte) => byte ^ 0xff);
  return new Map<string, { status: number; body?: unknown; text?: string }>([
    ...echoes.map((body, i): [string, { status: number; body: unknown }] => [`echo ${i}`, { status: 100, body }]),
    ["bytes", { status: 100, body: sha(patternBytes(bytes)) }],
    ["refuse", { status: refusal.status, body: undefined, text: refusal.text }],
    ["count", { status: 100, body: Array.from({ length: stream.count }, (_, i) => ({ i, square: i * i })) }],
    ...groups.map((group): [string, { status: number; body: unknown }] => [`which ${group}`, { status: 100, body: group }]),
    ["which nobody", { status: 203, body: undefined }],
    ["handed", { status: 100, body: handed.map((pattern, i) => ({ i, sha: sha(patternBytes(pattern)) })) }],
    ["endless", { status: 100, body: Array.from({ length: cancelAfter }, (_, i) => i) }],
    ["never", { status: 204, body: undefined }],
    ["cancelled", { status: 100, body: true }],
    ["file", { status: 100, body: { name: `turned ${file.name}`, type: file.type, size: file.length, sha: sha(turned) } }],
  ]);
}
