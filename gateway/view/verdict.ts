/** The verdict of a safe pose for people: how it ended, which steps ran, how long each took, and what was waited for in vain. Pure. */
import type { PoseVerdict, StepOutcome } from "../../failsafe/safePose/sequence.ts";
import { fitLine, paint, span, type Line, type Style } from "./style.ts";
import { displayWidth, fit, printable } from "./text.ts";

const verdictLooks: Readonly<Record<PoseVerdict["outcome"], { shape: string; sentence: string; style: Style }>> = {
  posed: { shape: "■", sentence: "safe pose reached", style: "good" },
  cut: { shape: "▼", sentence: "safe pose sent, but not all of it was measured", style: "bad" },
  failed: { shape: "✖", sentence: "safe pose failed", style: "bad" },
};
const stepLooks: Readonly<Record<StepOutcome, { shape: string; word: string; style: Style }>> = {
  reached: { shape: "●", word: "reached", style: "good" },
  sentOnly: { shape: "◐", word: "sent, not measured", style: "warn" },
  timedOut: { shape: "✖", word: "timed out", style: "bad" },
  hurried: { shape: "✖", word: "sent once, no time left", style: "bad" },
};

/** Whether an answer from a gateway is a verdict. */
export function isVerdict(value: unknown): value is PoseVerdict {
  const verdict = value as Partial<PoseVerdict> | null | undefined;
  return typeof verdict === "object" && verdict !== null && Object.hasOwn(verdictLooks, verdict.outcome ?? "") && Array.isArray(verdict.steps)
    && verdict.steps.every((step) => Object.hasOwn(stepLooks, step.outcome) && Array.isArray(step.missing));
}

/** The first line says how it ended; then one line a step. */
export function verdictText(verdict: PoseVerdict, size: { columns: number; color: boolean; ascii?: boolean }): string[] {
  const look = verdictLooks[verdict.outcome];
  const nameColumns = Math.min(32, Math.max(8, ...verdict.steps.map(({ name }) => displayWidth(printable(name)))));
  const lines: Line[] = [
    [span(`${look.shape} ${look.sentence}`, look.style), span(` after ${verdict.totalMs.toFixed(0)} ms`), span(verdict.why ? ` (${printable(verdict.why)})` : "", "dim")],
    ...verdict.steps.map((step): Line => {
      const { shape, word, style } = stepLooks[step.outcome];
      const missing = step.missing.length > 0 ? `  not measured: ${step.missing.map(printable).join(", ")}` : "";
      return [span(`  ${shape} `, style), span(fit(printable(step.name), nameColumns)), span(fit(step.ms.toFixed(0), 7, "right")), span(" ms  "), span(word, style), span(missing, "dim")];
    }),
  ];
  return lines.map((line) => paint(fitLine(line, size.columns), { color: size.color, ascii: size.ascii === true }));
}
