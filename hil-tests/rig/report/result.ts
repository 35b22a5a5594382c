/** What a run came to. Everything that is written anywhere is written from this. */
import type { Entry } from "../timeline.ts";

export type Verdict = "passed" | "failed" | "skipped";

export interface Step {
  name: string;
  verdict: Verdict;
  /** How it failed, or why it was skipped. */
  text: string;
}

export interface Result {
  /** The behaviour's file, without its ending. */
  file: string;
  name: string;
  machine: string;
  verdict: Verdict;
  /** Why it was skipped, or how it failed. */
  why: string;
  /** Since the run began, and its own length. */
  atMs: number;
  ms: number;
  bench: string;
  steps: Step[];
  figures: [string, string][];
  entries: Entry[];
  frames: { total: number; shown: number };
  /** What programs and kernel wrote. */
  log: string;
}

export interface Report {
  startedAt: Date;
  /** "QEMU, Linux 6.1…" or the bench; empty: nothing was switched on. */
  where: string;
  /** Each start of a machine: kind, and seconds from power to the agent by the host's clock and by its own. */
  boots: { machine: string; hostS: number; uptimeS: number }[];
  ms: number;
  results: Result[];
}

export const count = (report: Report, verdict: Verdict): number => report.results.filter((result) => result.verdict === verdict).length;
