/**
 * The brain pair under fire: `npm run bench:failover -- [--faults 1000] [--kinds kill,stop,switch]`. Programs use everything while the active gateway is killed, stopped or switched; one line
 * of figures a kind, and a histogram of the service gap. Ends with 1 when anything was lost, doubled or disconnected.
 */
import { parseArgs } from "node:util";
import { pathToFileURL } from "node:url";
import { pairConfiguration, PairRig } from "./pairRig.ts";
import { PairLoad } from "./pairLoad.ts";

export const faultKinds = ["kill", "stop", "switch"] as const;
export type FaultKind = (typeof faultKinds)[number];

export interface BrainFigures {
  kind: FaultKind;
  faults: number;
  gapMs: { p50: number; p90: number; p99: number; max: number };
  gaps: number[];
}

/** Does what the kind says to the active, and resolves when the other one serves and has a standby again. Returns the service gap. */
export async function strike(rig: PairRig, load: PairLoad, kind: FaultKind): Promise<number> {
  await rig.standby();
  await load.moreReplies(20);
  const active = await rig.active();
  load.takeGapMs();
  if (kind === "switch") active.child.kill("SIGTERM");
  else active.child.kill(kind === "kill" ? "SIGKILL" : "SIGSTOP");
  // A stopped one that is woken up later is dead by then.
  await active.exited;
  await load.moreReplies(20);
  const gapMs = load.takeGapMs();
  rig.start(active.name);
  return gapMs;
}

export async function measure(kinds: readonly FaultKind[], faults: number, progress: (text: string) => void = () => {}): Promise<{ figures: BrainFigures[]; findings: string[]; load: PairLoad }> {
  const rig = new PairRig({ configuration: pairConfiguration });
  const load = new PairLoad({ connect: (name) => rig.connect(name) });
  try {
    await rig.startBoth();
    await load.start();
    const figures: BrainFigures[] = [];
    for (const kind of kinds) {
      const gaps: number[] = [];
      for (let i = 0; i < faults; i++) {
        gaps.push(await strike(rig, load, kind));
        if (i % 50 === 49) progress(`${kind}: ${i + 1} of ${faults}, ${load.findings.length} findings\n`);
      }
      figures.push({ kind, faults, gapMs: quantiles(gaps), gaps });
    }
    await load.stop();
    return { figures, findings: load.findings, load };
  } finally {
    await rig.close();
  }
}

function quantiles(values: readonly number[]): BrainFigures["gapMs"] {
  const sorted = [...values].sort((a, b) => a - b);
  const at = (share: number): number => Math.round(10 * (sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0)) / 10;
  return { p50: at(0.5), p90: at(0.9), p99: at(0.99), max: at(1) };
}

/** Bars of a width that everybody's terminal has. */
export function histogram(gaps: readonly number[]): string {
  const bounds = [5, 10, 15, 20, 30, 40, 50, 75, 100, 200, 500, 1_000, Infinity];
  const counts = bounds.map((bound, i) => gaps.filter((gap) => gap < bound && gap >= (bounds[i - 1] ?? 0)).length);
  const most = Math.max(1, ...counts);
  return bounds.map((bound, i) => `${bound === Infinity ? "  more" : `< ${String(bound).padStart(4)}`} ms ${"#".repeat(Math.ceil((60 * counts[i]!) / most))} ${counts[i]}`).join("\n");
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? "").href) {
  const { values } = parseArgs({ options: { faults: { type: "string", default: "1000" }, kinds: { type: "string", default: faultKinds.join(",") } } });
  const kinds = faultKinds.filter((kind) => values.kinds.split(",").includes(kind));
  const { figures, findings, load } = await measure(kinds, Number(values.faults), (text) => process.stderr.write(text));
  for (const { kind, faults, gapMs, gaps } of figures) process.stdout.write(`${kind}: ${faults} faults, service gap p50 ${gapMs.p50} ms, p90 ${gapMs.p90} ms, p99 ${gapMs.p99} ms, max ${gapMs.max} ms\n${histogram(gaps)}\n\n`);
  process.stdout.write(`${load.replies} calls answered, ${load.samples} samples, ${load.laneSamples} by lanes, ${load.items} items of streams, ${load.changes} changes of offers and adverts\n`);
  process.stdout.write(findings.length === 0 ? "nothing was lost, doubled or disconnected\n" : `FINDINGS\n${findings.join("\n")}\n`);
  process.exit(findings.length === 0 ? 0 : 1);
}
