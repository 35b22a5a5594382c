/**
 * What all benches share: which machine this is, time per operation, quantiles, tables.
 *
 * Other programs run on the same cores, so costs are counted in CPU time of the process, cases that are compared take turns within one run,
 * and the median of the repetitions counts. A figure is good for its ratio to its neighbours first, and as an absolute number second.
 */
import { execFileSync } from "node:child_process";
import { cpus, loadavg, release } from "node:os";
import { projectRoot } from "./paths.ts";

export interface BenchContext {
  /** Multiplies durations and counts: 1 = default, about 0.01 in the smoke test. */
  scale: number;
  /** Also what takes minutes. */
  long: boolean;
  /** Says on stderr what is going on. */
  progress(text: string): void;
}

/** One table: the keys of the rows are its columns, units in their names. */
export interface Table {
  title: string;
  rows: Record<string, string | number>[];
  notes: string[];
}

export interface Bench {
  name: string;
  run(context: BenchContext): Promise<Table[]>;
}

export interface MachineFacts {
  cpu: string;
  cores: number;
  kernel: string;
  node: string;
  commit: string;
  /** Of the last minute, before the benches: what others were doing. */
  load: number;
}

export function machineFacts(): MachineFacts {
  const processors = cpus();
  return { cpu: processors[0]?.model.trim() ?? "unknown", cores: processors.length, kernel: release(), node: process.version, commit: commitName(), load: loadavg()[0]! };
}

function commitName(): string {
  try {
    return execFileSync("git", ["describe", "--always", "--dirty", "--abbrev=10"], { cwd: projectRoot, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    // A copy without its history, or no git: the figures are still good.
    return "unknown";
  }
}

export interface Case {
  name: string;
  /** Does the operation so many times. */
  run(iterations: number): void;
}

export interface CaseResult {
  name: string;
  /** CPU time of one operation, ns. */
  median: number;
  min: number;
  max: number;
}

const REPETITIONS = 15;
/** Long enough that a repetition is far above the resolution of CPU accounting. */
const REPETITION_MS = 40;

/** CPU time per operation of each case; the cases take turns. */
export function timeCases(cases: readonly Case[], { scale }: Pick<BenchContext, "scale">): CaseResult[] {
  const targetUs = Math.max(200, REPETITION_MS * 1e3 * Math.min(1, scale));
  const repetitions = scale < 1 ? 3 : REPETITIONS;
  const iterations = cases.map((each) => calibrate(each, targetUs));
  const times = cases.map((): number[] => []);
  for (let repetition = 0; repetition < repetitions; repetition++) {
    for (const [index, each] of cases.entries()) times[index]!.push((cpuUs(() => each.run(iterations[index]!)) * 1e3) / iterations[index]!);
  }
  return cases.map(({ name }, index) => {
    const sorted = times[index]!.sort((a, b) => a - b);
    return { name, median: quantile(sorted, 0.5), min: sorted[0]!, max: sorted.at(-1)! };
  });
}

/** Also the warm-up: doubles the count until a run takes the wanted time, so the optimising compiler has seen it. */
function calibrate({ run }: Case, targetUs: number): number {
  let iterations = 1;
  for (;;) {
    const tookUs = cpuUs(() => run(iterations));
    if (tookUs >= targetUs) return iterations;
    iterations = Math.max(iterations * 2, Math.min(iterations * 16, Math.ceil((iterations * targetUs) / Math.max(1, tookUs))));
  }
}

function cpuUs(run: () => void): number {
  const before = process.cpuUsage();
  run();
  const used = process.cpuUsage(before);
  return used.user + used.system;
}

/** `sorted` ascending, 0 ≤ q ≤ 1; NaN when empty. */
export function quantile(sorted: ArrayLike<number>, q: number): number {
  if (sorted.length === 0) return Number.NaN;
  return sorted[Math.min(sorted.length - 1, Math.floor(q * sorted.length))]!;
}

/** Rows of `timeCases`, each with its ratio to the first. */
export function caseRows(results: readonly CaseResult[]): Table["rows"] {
  return results.map(({ name, median, min, max }) => ({ what: name, ns: median, "ns min": min, "ns max": max, "per second": 1e9 / median, ratio: median / results[0]!.median }));
}

export function renderTable({ title, rows, notes }: Table): string {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const cells = rows.map((row) => columns.map((column) => showCell(row[column])));
  const widths = columns.map((column, i) => Math.max(column.length, ...cells.map((line) => line[i]!.length)));
  const line = (texts: readonly string[]): string => `| ${texts.map((text, i) => (i === 0 ? text.padEnd(widths[i]!) : text.padStart(widths[i]!))).join(" | ")} |`;
  const rule = `|${widths.map((width, i) => (i === 0 ? "-".repeat(width + 2) : `${"-".repeat(width + 1)}:`)).join("|")}|`;
  return [`### ${title}`, "", line(columns), rule, ...cells.map(line), ...notes.map((note, i) => `${i === 0 ? "\n" : ""}${note}`), ""].join("\n");
}

/** Three digits, or whole thousands with separators: more would be noise. */
function showCell(value: string | number | undefined): string {
  if (value === undefined) return "";
  if (typeof value === "string") return value;
  if (!Number.isFinite(value)) return "–";
  if (Math.abs(value) >= 1000) return Math.round(value).toLocaleString("en");
  if (Number.isInteger(value)) return String(value);
  return String(Number(value.toPrecision(3)));
}
