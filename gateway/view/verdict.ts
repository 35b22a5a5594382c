/** The verdict of a safe pose: which steps ran, how long each took, and whether the robot ended where it should. */
import { fitLine, paint, span, type Line, type Style } from "./style.ts";
import { fit, printable } from "./text.ts";

export interface SafePoseVerdict {
  /** posed: each step's condition was measured. cut: the last rung was used (power or motion cut without acknowledgement). failed: not even that is certain. */
  verdict: "posed" | "cut" | "failed";
  why: string;
  tookMs: number;
  budgetMs: number;
  steps: readonly SafePoseStep[];
}

export interface SafePoseStep {
  name: string;
  result: "done" | "timedOut" | "skipped" | "failed";
  tookMs: number;
  deadlineMs: number;
  /** What was waited for in vain, or what else there is to say. */
  detail: string;
}

const verdictLooks: Readonly<Record<SafePoseVerdict["verdict"], { shape: string; sentence: string; style: Style }>> = {
  posed: { shape: "■", sentence: "safe pose reached", style: "good" },
  cut: { shape: "▼", sentence: "safe pose not confirmed: motion was cut", style: "bad" },
  failed: { shape: "✖", sentence: "safe pose failed", style: "bad" },
};
const stepLooks: Readonly<Record<SafePoseStep["result"], { shape: string; word: string; style: Style }>> = {
  done: { shape: "●", word: "done", style: "good" },
  timedOut: { shape: "◐", word: "timed out", style: "bad" },
  skipped: { shape: "○", word: "skipped", style: "dim" },
  failed: { shape: "✖", word: "failed", style: "bad" },
};

/** Whether an answer from a gateway is a verdict. */
export function isVerdict(value: unknown): value is SafePoseVerdict {
  const verdict = value as Partial<SafePoseVerdict> | null | undefined;
  return typeof verdict === "object" && verdict !== null && Object.hasOwn(verdictLooks, verdict.verdict ?? "") && Array.isArray(verdict.steps)
    && verdict.steps.every((step) => Object.hasOwn(stepLooks, step.result));
}

/** The first line says how it ended; then one line a step. */
export function verdictText(verdict: SafePoseVerdict, size: { columns: number; color: boolean; ascii?: boolean }): string[] {
  const look = verdictLooks[verdict.verdict];
  const nameColumns = Math.min(32, Math.max(8, ...verdict.steps.map(({ name }) => name.length)));
  const lines: Line[] = [
    [span(`${look.shape} ${look.sentence}`, look.style), span(` in ${verdict.tookMs.toFixed(0)} of ${verdict.budgetMs.toFixed(0)} ms`), span(verdict.why ? ` (${printable(verdict.why)})` : "", "dim")],
    ...verdict.steps.map((step): Line => {
      const { shape, word, style } = stepLooks[step.result];
      return [
        span(`  ${shape} `, style), span(fit(printable(step.name), nameColumns)), span(` ${fit(word, 9)}`, style),
        span(` ${fit(step.tookMs.toFixed(0), 6, "right")} of ${fit(step.deadlineMs.toFixed(0), 5, "right")} ms`), span(step.detail ? `  ${printable(step.detail)}` : "", "dim"),
      ];
    }),
  ];
  return lines.map((line) => paint(fitLine(line, size.columns), { color: size.color, ascii: size.ascii === true }));
}
