/** The verdict of a safe pose: which steps ran, how long each took, and whether the robot ended where it should. */
import type { PoseVerdict, StepOutcome } from "../../failsafe/safePose/sequence.ts";
import { fitLine, paint, span, type Line, type Style } from "./style.ts";
import { displayWidth, fit, printable } from "./text.ts";

const verdictLooks: Readonly<Record<PoseVerdict["verdict"], { shape: string; sentence: string; style: Style }>> = {
  posed: { shape: "■", sentence: "safe pose reached", style: "good" },
  cut: { shape: "▼", sentence: "safe pose commanded, but not all of it was measured", style: "bad" },
  failed: { shape: "✖", sentence: "safe pose failed", style: "bad" },
};
const stepLooks: Readonly<Record<StepOutcome, { shape: string; word: string; style: Style }>> = {
  reached: { shape: "●", word: "reached", style: "good" },
  sentOnly: { shape: "◐", word: "sent only", style: "warn" },
  timedOut: { shape: "✖", word: "timed out", style: "bad" },
  fellBack: { shape: "✖", word: "fell back", style: "bad" },
  hurried: { shape: "✖", word: "sent in haste", style: "bad" },
};

/** Whether an answer from a gateway is a verdict. */
export function isVerdict(value: unknown): value is PoseVerdict {
  const verdict = value as Partial<PoseVerdict> | null | undefined;
  return typeof verdict === "object" && verdict !== null && Object.hasOwn(verdictLooks, verdict.verdict ?? "") && Array.isArray(verdict.steps)
    && verdict.steps.every((step) => Object.hasOwn(stepLooks, step.result) && Array.isArray(step.missing));
}

/** The first line says how it ended; then one line a step. */
export function verdictText(verdict: PoseVerdict, size: { columns: number; color: boolean; ascii?: boolean }): string[] {
  const look = verdictLooks[verdict.verdict];
  const nameColumns = Math.min(32, Math.max(8, ...verdict.steps.map(({ name }) => displayWidth(printable(name)))));
  const lines: Line[] = [
    [span(`${look.shape} ${look.sentence}`, look.style), span(` in ${verdict.tookMs.toFixed(0)} of ${verdict.budgetMs.toFixed(0)} ms`), span(verdict.why || verdict.trigger ? ` (${printable([verdict.trigger, verdict.why].filter((each) => each).join(": "))})` : "", "dim")],
    ...verdict.steps.map((step): Line => {
      const { shape, word, style } = stepLooks[step.result];
      return [
        span(`  ${shape} `, style), span(fit(printable(step.name), nameColumns)), span(` ${fit(word, 13)}`, style),
        span(` ${fit(step.tookMs.toFixed(0), 6, "right")} of ${fit(step.deadlineMs.toFixed(0), 5, "right")} ms`), span(step.missing.length > 0 ? `  not measured: ${printable(step.missing.join(", "))}` : "", "dim"),
      ];
    }),
  ];
  return lines.map((line) => paint(fitLine(line, size.columns), { color: size.color, ascii: size.ascii === true }));
}
