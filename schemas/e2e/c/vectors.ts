/**
 * Writes the vectors as plain text for the C test, which has no JSON: one row a line, columns by spaces, "-" for no bytes.
 *
 *   crc NAME BYTES EXPECTED
 *   frame PROFILE config COUNTER INPUT FRAME
 *   inspect PROFILE config VERDICT COUNTER BYTES
 *   counter COUNTER_MAX MAX_DELTA RESYNC_FRAMES RESYNCS COUNTER:RESULT:LOST,…
 *   channel (WINDOW MIN_OK MAX_ERROR) × {init, valid, invalid} CLEAR_TO_INVALID INPUT:STATE,…
 *   config = DATA_ID LIST MODE OFFSET MIN MAX CRC_BITS COUNTER_BITS NIBBLE_BITS
 *
 * After a change to the JSON files: node dist/ts/schemas/e2e/c/vectors.js --write
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Verdict } from "../codec.ts";
import { layoutOf, profileFacts, profileNames } from "../config.ts";
import type { E2eConfig } from "../config.ts";
import { CounterJudge } from "../counter.ts";
import { e2eCodec } from "../profiles.ts";
import { channelStates, ChannelStateMachine, NO_NEW_DATA, stateMachineDefaults } from "../stateMachine.ts";
import type { ChannelInput, StateMachineConfig } from "../stateMachine.ts";
import { projectRoot, toHex, vectors } from "../../testData.ts";

export const nativeVectorsPath = "schemas/e2e/c/vectors.txt";

interface CounterSequence {
  counterCount: number;
  maxDeltaCounter?: number;
  resyncFrames?: number;
  counters: number[];
}

/** The whole file: the published rows, then seeded random ones. */
export function nativeVectors(): string {
  const lines = ["# Written by vectors.ts from schemas/vectors/; do not edit."];
  for (const { algorithm, bytes, expected } of (vectors("crc.json") as { rows: { algorithm: string; bytes: string; expected: string }[] }).rows) {
    lines.push(`crc ${algorithm} ${bytes} 0x${expected}`);
  }
  for (const { config, counter, input, frame } of (vectors("e2e-profiles.json") as { rows: { config: E2eConfig; counter: number; input: string; frame: string }[] }).rows) {
    lines.push(`frame ${configColumns(config)} ${counter} ${input} ${frame}`);
  }
  for (const sequence of (vectors("e2e-counter.json") as { sequences: CounterSequence[] }).sequences) lines.push(counterRow(sequence));
  for (const { config, inputs } of (vectors("e2e-sm.json") as { sequences: { config: StateMachineConfig; inputs: ChannelInput[] }[] }).sequences) lines.push(channelRow(config, inputs));
  lines.push(...randomRows({ seed: 20260806, count: 300 }));
  return `${lines.join("\n")}\n`;
}

/** Rows whose expectations the TypeScript implementation gives: frames, their corruptions, sequences and channels in turn. */
export function randomRows({ seed, count }: { seed: number; count: number }): string[] {
  const below = generator(seed);
  const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, () => below(256));
  const rows: string[] = [];
  for (let i = 0; i < count; i++) {
    const { config, lengthBytes } = randomConfig(below);
    const codec = e2eCodec(config);
    const counter = below(4) === 0 ? codec.counterCount - 1 : below(codec.counterCount);
    const input = bytes(lengthBytes);
    const frame = input.slice();
    codec.protect(frame, 0, lengthBytes, 0, counter);
    rows.push(`frame ${configColumns(config)} ${counter} ${toHex(input)} ${toHex(frame)}`);
    const other = below(2) === 0 ? frame.slice(0, below(lengthBytes + 1)) : bytes(below(lengthBytes + 4));
    if (below(3) === 0) other.set(frame.subarray(0, other.length));
    const verdict = codec.inspect(other, 0, other.length, 0);
    rows.push(`inspect ${configColumns(config)} ${verdict} ${verdict === Verdict.ok ? codec.counterOf(other, 0, other.length, 0) : 0} ${toHex(other) || "-"}`);
    if (i % 4 === 0) rows.push(counterRow(randomSequence(below)), channelRow({ windowSizeInit: 1 + below(5), windowSizeValid: 6 + below(6), clearToInvalid: below(2) === 0 }, Array.from({ length: 40 }, () => randomInput(below))));
  }
  return rows;
}

type Below = (limit: number) => number;

function randomConfig(below: Below): { config: E2eConfig; lengthBytes: number } {
  const profile = profileNames[below(profileNames.length)]!;
  const facts = profileFacts[profile];
  const offsetBytes = below(9);
  const dataIdMode = facts.dataIdModes[below(facts.dataIdModes.length)];
  const bits = dataIdMode === "nibble" ? 12 : facts.dataIdBits;
  const config: E2eConfig = { profile, offsetBytes };
  if (facts.dataIdBits === 0) config.dataIdList = Array.from({ length: 16 }, () => below(256));
  else config.dataId = below(2 ** bits);
  if (dataIdMode) config.dataIdMode = dataIdMode;
  const lengthBytes = Math.min(facts.maxLengthBytes, offsetBytes + facts.headerBytes + below(40));
  if (below(2) === 0) config.lengthBytes = lengthBytes;
  return { config, lengthBytes };
}

function randomSequence(below: Below): CounterSequence {
  const counterCount = [4, 15, 16, 256, 65536, 2 ** 32][below(6)]!;
  let counter = below(counterCount);
  const counters = Array.from({ length: 40 }, () => (counter = below(5) === 0 ? below(counterCount === 15 ? 16 : counterCount) : (counter + below(3)) % counterCount));
  return { counterCount, maxDeltaCounter: 1 + below(Math.min(5, counterCount - 2)), resyncFrames: 2 + below(4), counters };
}

function randomInput(below: Below): ChannelInput {
  const inputs: ChannelInput[] = [0, 0, 0, 1, 2, 3, 4, 5, NO_NEW_DATA];
  return inputs[below(inputs.length)]!;
}

function configColumns(config: E2eConfig): string {
  const layout = layoutOf(config);
  const mode = ["both", "alt", "low", "nibble"].indexOf(config.dataIdMode ?? "both");
  const list = config.dataIdList ? toHex(Uint8Array.from(config.dataIdList)) : "-";
  const lengths = config.lengthBytes === undefined ? "0 0" : `${config.lengthBytes} ${config.lengthBytes}`;
  return `${config.profile} ${config.dataId ?? 0} ${list} ${mode} ${layout.offsetBytes} ${lengths} ${layout.crcOffsetBits} ${layout.counterOffsetBits} ${layout.dataIdNibbleOffsetBits}`;
}

function counterRow(sequence: CounterSequence): string {
  const judge = new CounterJudge(sequence);
  const steps = sequence.counters.map((counter) => `${counter}:${judge.judge(counter)}:${judge.lost}`);
  return `counter ${sequence.counterCount - 1} ${sequence.maxDeltaCounter ?? 0} ${sequence.resyncFrames ?? 0} ${judge.resyncs} ${steps.join(",")}`;
}

function channelRow(config: StateMachineConfig, inputs: ChannelInput[]): string {
  const full = stateMachineDefaults(config);
  const machine = new ChannelStateMachine(config);
  const limits = (["Init", "Valid", "Invalid"] as const).map((state) => `${full[`windowSize${state}`]} ${full[`minOkState${state}`]} ${full[`maxErrorState${state}`]}`);
  const steps = inputs.map((input) => `${input}:${channelStates.indexOf(machine.step(input))}`);
  return `channel ${limits.join(" ")} ${full.clearToInvalid ? 1 : 0} ${steps.join(",")}`;
}

/** A small seeded generator (a Weyl sequence, mixed), good enough to choose test cases. */
function generator(seed: number): Below {
  let state = seed >>> 0;
  return (limit) => {
    state = (state + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    return Math.floor((((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32) * limit);
  };
}

if (process.argv[2] === "--write") writeFileSync(join(projectRoot(), nativeVectorsPath), nativeVectors());
