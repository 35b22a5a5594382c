/** One seed: which world it is, which faults it has, what came of it; and the smallest schedule that still fails. */
import { seededRandom } from "../../schemas/random.ts";
import type { CoreAddon } from "../reflex/addon/core.ts";
import { type Fault, type FaultKind, faultKinds, schedule } from "./faults.ts";
import { type Outcome, World, type WorldOptions } from "./world.ts";

export interface SeedOptions {
  addon: CoreAddon;
  seed: number;
  faultCount: number;
  kinds?: readonly FaultKind[] | undefined;
  /** Undefined: by the seed, one or two. */
  hosts?: 1 | 2 | undefined;
}

const WARM_UP_US = 150_000;
/** On average one fault in so much time. */
const FAULT_EVERY_US = 8_000;

/** The world that a seed stands for. */
export function worldOf({ addon, seed, faultCount, kinds = faultKinds, hosts }: SeedOptions): WorldOptions {
  const random = seededRandom(seed ^ 0x5eed);
  const chosenHosts = hosts ?? (random() < 0.4 ? 2 : 1);
  const usable = kinds.filter((kind) => chosenHosts === 2 || kind !== "split");
  const quietFromUs = WARM_UP_US + faultCount * FAULT_EVERY_US;
  // Swarm testing: each seed leaves some kinds out, so that others come in a row.
  const some = usable.filter(() => random() < 0.6);
  const faults = schedule({ random, fromUs: WARM_UP_US / 2, untilUs: quietFromUs - 10_000, count: faultCount, kinds: some.length > 0 ? some : usable });
  return { addon, seed, hosts: chosenHosts, joints: 2 + Math.floor(random() * 2), resumeArmed: random() < 0.6, faults, quietFromUs };
}

export function runSeed(options: SeedOptions): Outcome {
  return new World(worldOf(options)).run();
}

/** Delta debugging (Zeller): fewer and fewer faults, as long as the same invariant is violated. */
export function minimise(options: WorldOptions, code: string, tries = 400): { faults: Fault[]; outcome: Outcome } {
  const used = { tries: 0 };
  const attempt = (faults: readonly Fault[]): Outcome | undefined => {
    used.tries += 1;
    if (used.tries > tries) return undefined;
    const outcome = new World({ ...options, faults }).run();
    return outcome.violation?.code === code ? outcome : undefined;
  };
  let faults = [...options.faults];
  let outcome = new World(options).run();
  // What came after the violation has nothing to do with it.
  const before = faults.filter((fault) => fault.atUs <= (outcome.violation?.atUs ?? Infinity));
  const first = attempt(before);
  if (first) [faults, outcome] = [before, first];
  for (let parts = 2; faults.length > 0 && used.tries < tries;) {
    const size = Math.ceil(faults.length / parts);
    let found = false;
    for (let at = 0; at < faults.length; at += size) {
      const fewer = [...faults.slice(0, at), ...faults.slice(at + size)];
      const result = attempt(fewer);
      if (!result) continue;
      [faults, outcome, found] = [fewer, result, true];
      parts = Math.max(2, parts - 1);
      break;
    }
    if (found) continue;
    if (size === 1) break;
    parts = Math.min(faults.length, parts * 2);
  }
  return { faults, outcome };
}
