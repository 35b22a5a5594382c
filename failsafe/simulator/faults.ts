/** What can go wrong, as data: a schedule is a list of faults with times, made from a seed, and can be cut down to the few that matter. */
import { wrongs } from "./brain.ts";

export const faultKinds = [
  "kill", "killInside", "stall", "stallInside", "sleepInside", "unkillable", "late", "overflow", "hostPower", "storeFails", "storeSlow", "clockJump", "purgeForbidden", "busOff",
  "loss", "corruption", "repetition", "hold", "disconnect", "split", "nodePower", "allNodesPower", "nodeMute", "replay",
  "brainStall", "brainKill", "brainKillInside", "brainStallInside", "pairCut", "pairSlow", "poison", "answersLost", "brainReplaced", "brainWrong", "switch", "request", "disarm",
] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface Fault {
  atUs: number;
  kind: FaultKind;
  /** Of processes, hosts, nodes, stations: taken modulo how many there are. */
  which: number;
  /** How long it lasts, µs. */
  forUs: number;
  /** How bad: number of effects, a chance in thousandths, which wrong. */
  much: number;
}

/** How long each may last, and how bad it may be. */
const ranges: Record<FaultKind, { forUs: [number, number]; much: [number, number] }> = {
  kill: { forUs: [0, 0], much: [0, 0] },
  killInside: { forUs: [0, 0], much: [0, 12] },
  stall: { forUs: [1_000, 60_000], much: [0, 0] },
  stallInside: { forUs: [1_000, 40_000], much: [0, 12] },
  sleepInside: { forUs: [1_000, 60_000], much: [0, 12] },
  unkillable: { forUs: [5_000, 80_000], much: [0, 0] },
  late: { forUs: [5_000, 100_000], much: [200, 6_000] },
  overflow: { forUs: [0, 0], much: [0, 0] },
  hostPower: { forUs: [20_000, 200_000], much: [0, 1] },
  storeFails: { forUs: [5_000, 50_000], much: [0, 0] },
  storeSlow: { forUs: [5_000, 50_000], much: [1_000, 30_000] },
  clockJump: { forUs: [0, 0], much: [1_000, 300_000] },
  purgeForbidden: { forUs: [10_000, 100_000], much: [0, 0] },
  busOff: { forUs: [0, 0], much: [0, 0] },
  loss: { forUs: [5_000, 80_000], much: [10, 700] },
  corruption: { forUs: [5_000, 80_000], much: [10, 500] },
  repetition: { forUs: [5_000, 80_000], much: [10, 900] },
  hold: { forUs: [500, 15_000], much: [0, 0] },
  disconnect: { forUs: [2_000, 100_000], much: [0, 0] },
  split: { forUs: [5_000, 150_000], much: [0, 0] },
  nodePower: { forUs: [1_000, 80_000], much: [0, 0] },
  allNodesPower: { forUs: [5_000, 150_000], much: [0, 0] },
  nodeMute: { forUs: [5_000, 120_000], much: [0, 0] },
  replay: { forUs: [0, 0], much: [1, 200] },
  brainStall: { forUs: [10_000, 400_000], much: [0, 0] },
  brainKill: { forUs: [0, 0], much: [0, 0] },
  brainKillInside: { forUs: [0, 0], much: [0, 16] },
  brainStallInside: { forUs: [5_000, 300_000], much: [0, 16] },
  pairCut: { forUs: [0, 0], much: [0, 0] },
  pairSlow: { forUs: [5_000, 100_000], much: [500, 30_000] },
  poison: { forUs: [0, 0], much: [1, 3] },
  answersLost: { forUs: [10_000, 200_000], much: [0, 0] },
  brainReplaced: { forUs: [0, 0], much: [0, 0] },
  brainWrong: { forUs: [0, 0], much: [0, wrongs.length - 1] },
  switch: { forUs: [0, 0], much: [0, 0] },
  request: { forUs: [0, 0], much: [0, 2] },
  disarm: { forUs: [0, 0], much: [0, 0] },
};
/** Rare: they stop the whole run for long, and little else would be seen. */
const weights: Partial<Record<FaultKind, number>> = { kill: 3, killInside: 6, stall: 3, stallInside: 5, sleepInside: 3, hostPower: 0.4, allNodesPower: 0.5, request: 0.5, disarm: 0.7, busOff: 0.5, brainWrong: 4, replay: 3, split: 1.5, brainKillInside: 3, brainStallInside: 1.5, poison: 0.4, pairCut: 0.6, storeFails: 0.3, purgeForbidden: 0.4 };

export interface ScheduleOptions {
  random: () => number;
  fromUs: number;
  untilUs: number;
  count: number;
  kinds: readonly FaultKind[];
}

export function schedule({ random, fromUs, untilUs, count, kinds }: ScheduleOptions): Fault[] {
  const weightOf = (kind: FaultKind): number => weights[kind] ?? 1;
  const total = kinds.reduce((sum, kind) => sum + weightOf(kind), 0);
  const between = ([low, high]: [number, number]): number => low + Math.floor(random() * (high - low + 1));
  const faults = Array.from({ length: count }, (): Fault => {
    let at = random() * total;
    const kind = kinds.find((one) => (at -= weightOf(one)) < 0) ?? kinds[0]!;
    return { atUs: between([fromUs, untilUs]), kind, which: Math.floor(random() * 64), forUs: between(ranges[kind].forUs), much: between(ranges[kind].much) };
  });
  // Whatever is begun ends before the quiet time.
  return faults.map((fault) => ({ ...fault, forUs: Math.min(fault.forUs, untilUs - fault.atUs) })).toSorted((a, b) => a.atUs - b.atUs);
}
