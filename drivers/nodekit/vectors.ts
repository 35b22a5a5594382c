/**
 * The vectors of schemas/vectors/claim.json for the C test, which has no JSON, and random ones on which C and TypeScript must agree. One line a row:
 *
 *   node CLAIM_TIMEOUT_US DEAD_MAN_US CLAIM_QUIET_US NAME      a node is switched on; it has the two commands of `commandsOf`
 *   hear AT_US ID_OWNER BYTES HEARD STATE
 *   judge AT_US COMMAND BYTES VERDICT STATE
 *   poll AT_US STATE
 *   STATE = OUTPUTS EPOCH OWNER; HEARD, VERDICT and OUTPUTS by their numbers in ipcnet_node.h; "-" for no bytes
 *
 * After a change to the JSON file: node dist/ts/drivers/nodekit/vectors.js --write
 */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { e2eCheck, e2eProtector, type E2eConfig } from "../../schemas/e2e/index.ts";
import { fromHex, projectRoot, toHex, vectors } from "../../schemas/testData.ts";
import { seededRandom } from "../../schemas/random.ts";
import { claimKinds, encodeClaim } from "./claimFrame.ts";
import { type CommandVerdict, type Heard, type NodeCommand, NodeRules, type Outputs } from "./nodeRules.ts";

export const nativeVectorsPath = "drivers/nodekit/vectors.txt";
export const heardNames: readonly Heard[] = ["followed", "kept", "released", "stale", "notHeard"];
export const verdictNames: readonly CommandVerdict[] = ["accepted", "notFollowing", "otherEpoch", "otherOwner", "badFrame", "oldCounter"];
export const outputNames: readonly Outputs[] = ["safe", "hold", "follow"];

/** 0: a motion command with the lowest four bits of the epoch and two of the owner. 1: configuration, with neither. */
export const commandConfigs: readonly [E2eConfig, E2eConfig] = [{ profile: "P05", dataId: 0x1234, lengthBytes: 8 }, { profile: "P05", dataId: 0x1235, lengthBytes: 8 }];
export function commandsOf(): NodeCommand[] {
  return [
    { check: e2eCheck(commandConfigs[0]), canId: 0x22, motion: true, epoch: { startBit: 28, bits: 4 }, owner: { startBit: 60, bits: 2 } },
    { check: e2eCheck(commandConfigs[1]), canId: 0x23, motion: false },
  ];
}

export type Step =
  | { at: number; hear: number; bytes: string; expect: Heard; state: string }
  | { at: number; judge: number; bytes: string; expect: CommandVerdict; state: string }
  | { at: number; poll: true; state: string };
export interface Scenario {
  name: string;
  claimTimeoutUs: number;
  deadManUs: number;
  claimQuietUs?: number;
  steps: Step[];
  origin: string;
}

/** "follow 7 2": outputs, epoch, reported owner. */
export function stateOf(node: NodeRules): string {
  return `${node.outputs} ${node.epoch} ${node.owner}`;
}

export function scenarios(): Scenario[] {
  return (vectors("claim.json") as { scenarios: Scenario[] }).scenarios;
}

export function nativeVectors(): string {
  return `${["# Written by vectors.ts from schemas/vectors/claim.json; do not edit.", ...scenarios().flatMap(rowsOf)].join("\n")}\n`;
}

function rowsOf({ name, claimTimeoutUs, deadManUs, claimQuietUs = 0, steps }: Scenario): string[] {
  return [`node ${claimTimeoutUs} ${deadManUs} ${claimQuietUs} ${name.replaceAll(" ", "_")}`, ...steps.map(rowOf)];
}

function rowOf(step: Step): string {
  const [outputs, epoch, owner] = step.state.split(" ");
  const state = `${outputNames.indexOf(outputs as Outputs)} ${epoch} ${owner}`;
  if ("hear" in step) return `hear ${step.at} ${step.hear} ${step.bytes || "-"} ${heardNames.indexOf(step.expect)} ${state}`;
  if ("judge" in step) return `judge ${step.at} ${step.judge} ${step.bytes || "-"} ${verdictNames.indexOf(step.expect)} ${state}`;
  return `poll ${step.at} ${state}`;
}

/** A few owners with close epochs, some of which lie beyond the wrap, talk to one node; frames are lost, repeated, damaged. */
export function randomScenario(seed: number, length: number): Scenario {
  const random = seededRandom(seed);
  const below = (limit: number): number => Math.floor(random() * limit);
  const scenario: Scenario = { name: `seed ${seed}`, claimTimeoutUs: below(8) === 0 ? 0 : 5_000, deadManUs: 3_000, claimQuietUs: below(2) * 1_500, steps: [], origin: "random" };
  const node = new NodeRules({ ...scenario, commands: commandsOf() });
  const owners = [0, 1, 2, 3].map((owner) => ({ owner, epoch: 0, claimCounter: below(256), protectors: commandConfigs.map(e2eProtector) }));
  let newest = [1, 7, 0x7fff, 0xfffe][below(4)]!;
  let at = 0;
  let last: Step | undefined;
  for (let i = 0; i < length; i++) {
    at += [0, 100, 700, 2_500, 6_000][below(5)]!;
    const one = owners[below(4)]!;
    if (one.epoch === 0 || below(10) === 0) {
      newest = (newest + 1) & 0xffff || 1;
      one.epoch = below(12) === 0 ? (newest + 0x7ffe + below(4)) & 0xffff || 1 : newest;
    }
    const step = below(12) === 0 && last ? { ...last, at } : stepOf(one, at, below);
    if ("hear" in step) step.expect = node.hear(step.hear, fromHex(step.bytes), at);
    else if ("judge" in step) step.expect = node.judge(step.judge, fromHex(step.bytes), at);
    else node.poll(at);
    step.state = stateOf(node);
    scenario.steps.push(step);
    last = step;
  }
  return scenario;
}

interface RandomOwner {
  owner: number;
  epoch: number;
  claimCounter: number;
  protectors: ReturnType<typeof e2eProtector>[];
}

function stepOf(one: RandomOwner, at: number, below: (limit: number) => number): Step {
  const choice = below(10);
  if (choice === 0) return { at, poll: true, state: "" };
  if (choice < 4) {
    const kind = claimKinds[[0, 1, 1, 1, 2, 3, 4][below(7)]!]!;
    one.claimCounter = (one.claimCounter + below(3)) & 0xff;
    const bytes = encodeClaim({ kind, epoch: one.epoch, owner: one.owner, last: below(4), counter: one.claimCounter });
    return { at, hear: below(10) === 0 ? below(4) : one.owner, bytes: toHex(damaged(bytes, below)), expect: "notHeard", state: "" };
  }
  const command = below(3) === 0 ? 1 : 0;
  const bytes = Uint8Array.of(0, 0, 0, ((one.epoch & 0xf) << 4) | 2, below(256), 0, 0, one.owner << 4);
  const protector = one.protectors[command]!;
  for (let skipped = below(8) === 0 ? below(6) : 0; skipped >= 0; skipped--) protector.protect(bytes, 0, 8, 0);
  return { at, judge: command, bytes: toHex(damaged(bytes, below)), expect: "badFrame", state: "" };
}

function damaged(bytes: Uint8Array, below: (limit: number) => number): Uint8Array {
  const choice = below(16);
  if (choice === 0) return bytes.slice(0, below(9));
  if (choice === 1) bytes[below(8)]! ^= 1 << below(8);
  return bytes;
}

/** Random scenarios as rows for the C test. */
export function randomRows({ seed, count }: { seed: number; count: number }): string[] {
  return Array.from({ length: count }, (_, i) => rowsOf(randomScenario(seed + i, 40))).flat();
}

if (process.argv[2] === "--write") writeFileSync(join(projectRoot(), nativeVectorsPath), nativeVectors());
