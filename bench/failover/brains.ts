/**
 * The brain pair under fire: `npm run bench:failover -- brains [--faults 1000] [--kinds kill,stop,switch] [--burners N] [--seed N] [--json]`. Programs use everything while the active
 * gateway is killed, stopped or switched, and burners keep every processor and the memory busy. Prints the service gap of each kind with a histogram, and where its time went. Ends with 1
 * when anything was lost, doubled or disconnected.
 */
import { getPriority, loadavg, setPriority } from "node:os";
import { readdirSync } from "node:fs";
import { parseArgs } from "node:util";
import { pathToFileURL } from "node:url";
import { takeoverSteps } from "../../failsafe/failover/trace.ts";
import type { PairReport } from "../../gateway/front/pairServices.ts";
import { systemClock } from "../../schemas/clock.ts";
import { type Instance, pairConfiguration, PairRig } from "./pairRig.ts";
import { PairLoad } from "./pairLoad.ts";
import { type Quantiles, quantilesOf } from "./quantiles.ts";
import { burners as burnerKinds, burnersDefault, startStress } from "./stress.ts";

export const faultKinds = ["kill", "stop", "switch"] as const;
export type FaultKind = (typeof faultKinds)[number];

/** One fault. */
export interface Strike {
  /** The longest time without an answer, as the programs saw it. */
  gapMs: number;
  /** From the signal to each step of the successor's takeover, µs. Not for a switch: there the successor notices only the end of it. */
  stepsUs: Readonly<Record<string, number>>;
}

export interface BrainFigures {
  kind: FaultKind;
  faults: number;
  gapMs: Quantiles;
  /** From the signal to each step. */
  stepsMs: Record<string, Quantiles>;
  load: number;
  gaps: number[];
}

export interface BrainOptions {
  kinds: readonly FaultKind[];
  faults: number;
  burners?: number;
  /** Between two calls of a program, ms. */
  pauseMs?: number;
  seed?: number;
  /** Whether the programs that measure may run before the burners. */
  raise?: boolean;
  progress?: (text: string) => void;
}

/** The fault comes at any moment of what the gateway does regularly: up to so long after everything is ready. */
const PHASE_MS = 60;
/** The last step: the first call of a program that is answered again. */
const ANSWERED = "answered";
const PROGRESS_EVERY = 50;
/** Two dozen callers that pause so long make some calls a millisecond: the gap is seen to a fraction of that, and the processors are the burners'. */
const PAUSE_MS = 5;
/** What measures must not wait for a processor itself: the gap would be the programs'. Refused without the right to it. */
const MEASURING_NICE = -15;

/** At the start; the burners and the pair are scheduled like that. */
const ordinaryNice = getPriority();

/** A standby starts and rehearses at this process's priority, so that a thousand faults take minutes and not hours. When it is ready it is scheduled like the burners. */
function scheduleLikeOthers({ child, hasEnded }: Instance): void {
  if (hasEnded || getPriority() === ordinaryNice) return;
  for (const thread of readdirSync(`/proc/${child.pid}/task`)) {
    try {
      setPriority(Number(thread), ordinaryNice);
    } catch (error) {
      // A helper thread that has ended meanwhile.
      if ((error as NodeJS.ErrnoException).code !== "ERR_SYSTEM_ERROR") throw error;
    }
  }
}

/** Does what the kind says to the active at a moment given by `phase` (0 – 1), and resolves when the other one serves; the one that ended is started again. */
export async function strike(rig: PairRig, load: PairLoad, kind: FaultKind, phase = 0): Promise<Strike> {
  scheduleLikeOthers(await rig.rehearsed());
  await load.moreReplies(20);
  const active = await rig.active();
  await new Promise((resolve) => setTimeout(resolve, phase * PHASE_MS));
  load.takeGap();
  const [struckUs, struckMs] = [systemClock.nowUs(), performance.now()];
  if (kind === "switch") active.child.kill("SIGTERM");
  else active.child.kill(kind === "kill" ? "SIGKILL" : "SIGSTOP");
  const stepsUs = await stepsSince(load, active, struckUs);
  await load.moreReplies(20);
  const gap = load.takeGap();
  // A stopped one that is woken up later is dead by then.
  await active.exited;
  rig.start(active.name);
  return { gapMs: gap.ms, stepsUs: { ...stepsUs, [ANSWERED]: (gap.endMs - struckMs) * 1e3 } };
}

/** As the successor tells it, when there is one. */
async function stepsSince(load: PairLoad, before: Instance, struckUs: number): Promise<Record<string, number>> {
  for (;;) {
    const { active, since, takeover } = (await load.ask("gateway/failover", {})) as PairReport;
    // The answer that tells of it may itself be the first.
    if (active === before.name || takeover?.stepsUs.firstReply === undefined) continue;
    if (since.from !== before.name ) throw new Error(`it took over from ${since.from ?? "nobody"} instead of ${before.name}`);
    return Object.fromEntries(Object.entries(takeover.stepsUs).map(([step, us]) => [step, takeover.noticedUs + us - struckUs]));
  }
}

export async function measure({ kinds, faults, burners = 0, pauseMs = 0, seed = 1, raise = false, progress = () => {} }: BrainOptions): Promise<{ figures: BrainFigures[]; findings: string[]; load: PairLoad }> {
  const rig = new PairRig({ configuration: pairConfiguration });
  const load = new PairLoad({ connect: (name) => rig.connect(name), pauseMs });
  const random = randomOf(seed);
  let busy: ReturnType<typeof startStress> | undefined;
  try {
    await rig.startBoth();
    await load.start();
    busy = startStress(burnerKinds(burners), { folder: rig.folder });
    if (raise) progress(raiseOwnPriority() ? `the programs that measure run at nice ${getPriority()}, the pair and the burners at ${ordinaryNice}\n` : "the programs that measure run at ordinary priority: not permitted\n");
    const figures: BrainFigures[] = [];
    for (const kind of kinds) figures.push(await measureKind(rig, load, { kind, faults, random, progress }));
    await load.stop();
    return { figures, findings: load.findings, load };
  } finally {
    await busy?.stop();
    await rig.close();
    // Also after a failure: its programs would go on asking for ever, and the process would not end.
    await load.stop();
  }
}

async function measureKind(rig: PairRig, load: PairLoad, { kind, faults, random, progress }: { kind: FaultKind; faults: number; random: () => number; progress: (text: string) => void }): Promise<BrainFigures> {
  const strikes: Strike[] = [];
  const loads: number[] = [];
  for (let i = 1; i <= faults; i++) {
    strikes.push(await strike(rig, load, kind, random()));
    loads.push(loadavg()[0]!);
    if (i % PROGRESS_EVERY > 0 && i < faults) continue;
    const { p50, p99, max } = quantilesOf(strikes.map(({ gapMs }) => gapMs));
    progress(`${kind}: ${i} of ${faults}, gap p50 ${p50} ms, p99 ${p99} ms, max ${max} ms, load ${loadavg()[0]!.toFixed(1)}, ${load.findings.length} findings\n`);
  }
  const gaps = strikes.map(({ gapMs }) => gapMs);
  const stepsMs = Object.fromEntries([...takeoverSteps, ANSWERED].flatMap((step) => {
    const us = strikes.flatMap(({ stepsUs }) => stepsUs[step] ?? []);
    return us.length === 0 ? [] : [[step, quantilesOf(us.map((each) => each / 1e3))]];
  }));
  return { kind, faults, gapMs: quantilesOf(gaps), stepsMs, load: Math.round(10 * quantilesOf(loads).p50) / 10, gaps };
}

/** Numbers in 0 – 1 (mulberry32). */
export function randomOf(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b_79f5) >>> 0;
    let word = Math.imul(state ^ (state >>> 15), state | 1);
    word ^= word + Math.imul(word ^ (word >>> 7), word | 61);
    return ((word ^ (word >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Bars of a width that everybody's terminal has. */
export function histogram(gaps: readonly number[]): string {
  const bounds = [5, 10, 15, 20, 30, 40, 50, 75, 100, 200, 500, 510, 520, 530, 540, 550, 600, 1_000, Infinity];
  const counts = bounds.map((bound, i) => gaps.filter((gap) => gap < bound && gap >= (bounds[i - 1] ?? 0)).length);
  const most = Math.max(1, ...counts);
  return bounds.flatMap((bound, i) => (counts[i] === 0 ? [] : [`${bound === Infinity ? "  more" : `< ${String(bound).padStart(4)}`} ms ${"#".repeat(Math.ceil((60 * counts[i]!) / most))} ${counts[i]}`])).join("\n");
}

function words({ p50, p90, p99, max }: Quantiles): string {
  return `p50 ${p50} ms, p90 ${p90} ms, p99 ${p99} ms, max ${max} ms`;
}

/** Whether this process may measure from above what it measures. */
export function raiseOwnPriority(): boolean {
  try {
    setPriority(Math.max(-20, getPriority() + MEASURING_NICE));
    return true;
  } catch {
    return false;
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { values } = parseArgs({
    options: {
      faults: { type: "string", default: "1000" }, kinds: { type: "string", default: faultKinds.join(",") }, burners: { type: "string", default: String(burnersDefault) }, seed: { type: "string", default: String(Date.now() % 1e6) },
      json: { type: "boolean", default: false }, plain: { type: "boolean", default: false },
    },
  });
  const kinds = faultKinds.filter((kind) => values.kinds.split(",").includes(kind));
  const [seed, burners] = [Number(values.seed), Number(values.burners)];
  process.stderr.write(`seed ${seed}, ${burners} burners\n`);
  const { figures, findings, load } = await measure({ kinds, faults: Number(values.faults), burners, pauseMs: PAUSE_MS, seed, raise: !values.plain, progress: (text) => process.stderr.write(text) });
  if (values.json) process.stdout.write(`${JSON.stringify({ seed, burners, raised: getPriority() !== ordinaryNice, figures: figures.map(({ gaps: _gaps, ...rest }) => rest), findings, replies: load.replies })}\n`);
  else {
    for (const { kind, faults, gapMs, gaps, stepsMs, load: machineLoad } of figures) {
      process.stdout.write(`${kind}: ${faults} faults, load ${machineLoad}, service gap ${words(gapMs)}\n${histogram(gaps)}\nfrom the signal to\n${Object.entries(stepsMs).map(([step, each]) => `  ${step.padEnd(12)} ${words(each)}\n`).join("")}\n`);
    }
    process.stdout.write(`${load.replies} calls answered, ${load.samples} samples, ${load.laneSamples} by lanes, ${load.items} items of streams, ${load.changes} changes of offers and adverts\n`);
    process.stdout.write(findings.length === 0 ? "nothing was lost, doubled or disconnected\n" : `FINDINGS\n${findings.join("\n")}\n`);
  }
  process.exit(findings.length === 0 ? 0 : 1);
}
