/**
 * What the benches send: the car's recording where it is at hand, else frames made here. Every frame is right: counters go on when the
 * traffic is repeated, so that a receiver with all checks on accepts each of them for ever.
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { parseCandumpLine } from "../drivers/can/candump.ts";
import { seededRandom } from "../schemas/random.ts";
import { CanFrameBatch, FRAME_STRIDE_BYTES, type CanFrame } from "../drivers/can/frame.ts";
import { compileMessage, parseDbc, type Message } from "../schemas/dbc/index.ts";
import { loadChecks, type CheckSet } from "../schemas/e2e/index.ts";
import { sharedData } from "./paths.ts";

export interface Traffic {
  name: string;
  /** For people. */
  text: string;
  dbc: string;
  checksYaml: string;
  /** One cycle; may be repeated without a break. */
  frames: CanFrameBatch;
}

export interface Definitions {
  messages: readonly Message[];
  checks: CheckSet;
}

const p05Header = ["crc : 0|16@1+ (1,0) [0|65535]", "counter : 16|8@1+ (1,0) [0|255]"];
const p05Checks = "version: 1\nmessages:\n  \"*\": { profile: P05, dataId: 0x1234 }\n";

const recording = join(sharedData, "can/car-with-checksums.candump.log");

/** The recording, or undefined when it is not at hand. */
export function carTraffic(): Traffic | undefined {
  if (!existsSync(recording)) return undefined;
  const frames: CanFrame[] = [];
  for (const line of readFileSync(recording, "utf8").trim().split("\n")) {
    const parsed = parseCandumpLine(line);
    if (parsed.ok) frames.push({ ...parsed.frame, timeUs: 0 });
  }
  const lengths = new Map(frames.map(({ canId, data }) => [canId, data.length]));
  const dbc = dbcText([...lengths].map(([canId, length]) => ({ canId, name: `Id_${canId.toString(16).toUpperCase()}`, length, signals: carSignals(length) })));
  const checksYaml = "version: 1\nmessages:\n  \"*\": { checksum: honda }\n";
  // Counters of two bits: after four rounds each is where it began.
  return { name: "car", text: `the car's recording, ${frames.length} frames, ${lengths.size} ids, vendor checksum and counter`, dbc, checksYaml, frames: protect(repeat(frames, 4), dbc, checksYaml) };
}

const OWN_IDS = 32;
/** A P05 counter has 8 bits. */
const OWN_ROUNDS = 256;

/** Messages of 8 bytes with 8 signals, P05. */
export function ownTraffic(): Traffic {
  const random = seededRandom(7);
  const ids = Array.from({ length: OWN_IDS }, (_, i) => 0x100 + i);
  const dbc = dbcText(ids.map((canId) => ({ canId, name: `State_${canId}`, length: 8, signals: eightSignals })));
  const checksYaml = p05Checks;
  const frames = Array.from({ length: OWN_ROUNDS }, () => ids.map((canId): CanFrame => ({ timeUs: 0, canId, flags: 0, data: Uint8Array.from({ length: 8 }, () => Math.floor(random() * 256)) }))).flat();
  return { name: "own", text: `frames made by the bench, ${OWN_IDS} ids, 8 signals each, P05`, dbc, checksYaml, frames: protect(frames, dbc, checksYaml) };
}

export function defaultTraffic(): Traffic {
  return carTraffic() ?? ownTraffic();
}

export function trafficByName(name: string): Traffic {
  const traffic = name === "car" ? carTraffic() : ownTraffic();
  if (!traffic) throw new Error(`no traffic ${name}`);
  return traffic;
}

/** Probes carry the time they were sent at: their protector runs at the sender. */
export const PROBE_IDS = 10;
export const probeDefinitions = {
  dbc: dbcText(Array.from({ length: PROBE_IDS }, (_, i) => ({ canId: 0x200 + i, name: `Probe_${i}`, length: 8, signals: [...p05Header, "sentUs : 24|32@1+ (1,0) [0|4294967295]", "rest : 56|8@1+ (1,0) [0|255]"] }))),
  checksYaml: p05Checks,
};

export function definitionsOf({ dbc, checksYaml }: { dbc: string; checksYaml: string }): Definitions {
  const { messages } = parseDbc(dbc, { file: "bench.dbc" });
  const loaded = loadChecks(checksYaml, { file: "bench.checks.yaml" });
  if (!loaded.ok) throw new Error(loaded.faults.map(({ message }) => message).join("; "));
  return { messages, checks: loaded.checks };
}

/** The same memory in runs of `size` frames, as a driver hands them up; the last one may be shorter. */
export function batchesOf(frames: CanFrameBatch, size: number): CanFrameBatch[] {
  return Array.from({ length: Math.ceil(frames.count / size) }, (_, i) => {
    const count = Math.min(size, frames.count - i * size);
    const batch = new CanFrameBatch(count, frames.bytes.buffer, i * size * FRAME_STRIDE_BYTES);
    batch.count = count;
    return batch;
  });
}

/** Mixed widths and signs, scaled, as a motor node has them. */
export const eightSignals = [
  ...p05Header, "temperature : 24|8@1+ (0.5,-40) [-40|87.5]", "torque : 32|8@1- (0.1,0) [-12.8|12.7]", "position : 40|12@1- (0.002,0) [-4.096|4.094]",
  "mode : 52|4@1+ (1,0) [0|15]", "fault : 56|4@1+ (1,0) [0|15]", "supply : 60|4@1+ (2,0) [0|30]",
];

/** 43 signals in 8 bytes: 22 of one bit, 21 of two. */
export const fortyThreeSignals = Array.from({ length: 43 }, (_, i) =>
  i < 22 ? `bit${i} : ${i}|1@1+ (1,0) [0|1]` : `pair${i} : ${22 + (i - 22) * 2}|2@1${i % 2 ? "+" : "-"} (1,0) [${i % 2 ? "0|3" : "-2|1"}]`);

function carSignals(length: number): string[] {
  const last = (length - 1) * 8;
  const bytes = Array.from({ length: length - 1 }, (_, i) => `b${i} : ${i * 8}|8@1+ (1,0) [0|255]`);
  return [...bytes, `checksum : ${last}|4@1+ (1,0) [0|15]`, `counter : ${last + 4}|2@1+ (1,0) [0|3]`, `flags : ${last + 6}|2@1+ (1,0) [0|3]`];
}

export function dbcText(messages: readonly { canId: number; name: string; length: number; signals: readonly string[] }[]): string {
  const body = messages.map(({ canId, name, length, signals }) => `BO_ ${canId} ${name}: ${length} Node\n${signals.map((signal) => ` SG_ ${signal} "" Gateway\n`).join("")}`);
  return `VERSION "1"\n\nBU_: Gateway Node\n\n${body.join("\n")}`;
}

function repeat<Value>(values: readonly Value[], times: number): Value[] {
  return Array.from({ length: times }, () => values).flat();
}

/** Gives each message's frames, in order, counters that go on and checksums that fit. */
function protect(frames: readonly CanFrame[], dbc: string, checksYaml: string): CanFrameBatch {
  const { messages, checks } = definitionsOf({ dbc, checksYaml });
  const protectors = new Map(messages.map((message) => [message.canId, checks.protectorFor(message)]));
  const batch = new CanFrameBatch(frames.length);
  for (const frame of frames) {
    const at = batch.dataOffset(batch.count);
    batch.push(frame);
    protectors.get(frame.canId)?.protect(batch.bytes, at, frame.data.length, frame.canId);
  }
  return batch;
}

/** The codecs of a traffic's messages by identifier. */
export function codecsOf({ messages }: Definitions) {
  return new Map(messages.map((message) => [message.canId, compileMessage(message)]));
}
