/** What `node --test-reporter=tap` wrote, as steps. */
import type { Step } from "./report/result.ts";

const row = /^\s*(not ok|ok) \d+ - (.*?)(?: # (SKIP|TODO)\b ?(.*))?$/;

/** One row, without what is said below it; undefined: it is none, or that of a file around the others. */
export function stepOf(line: string): Step | undefined {
  const match = row.exec(line);
  if (!match || /\.[cm]?[jt]s$/.test(match[2]!)) return undefined;
  const name = match[2]!.replaceAll("\\#", "#");
  if (match[3] === "SKIP") return { name, verdict: "skipped", text: (match[4] ?? "").replaceAll("\\#", "#") };
  return { name, verdict: match[1] === "ok" ? "passed" : "failed", text: "" };
}

/** Tests in their order, those of suites too; the row of a file around them is left out. With what TAP says about a failure. */
export function stepsOf(tap: string): Step[] {
  const steps: Step[] = [];
  const lines = tap.split("\n");
  for (let at = 0; at < lines.length; at++) {
    const step = stepOf(lines[at]!);
    if (step) steps.push(step.verdict === "failed" ? { ...step, text: diagnosis(lines, at + 1) } : step);
  }
  return steps;
}

/** The YAML block below a row, without its frame and its indentation. */
function diagnosis(lines: readonly string[], from: number): string {
  if (lines[from]?.trim() !== "---") return "";
  const indent = lines[from].length - lines[from].trimStart().length;
  const end = lines.findIndex((line, index) => index > from && line.trim() === "..." && line.length - line.trimStart().length === indent);
  return lines.slice(from + 1, end < 0 ? undefined : end).map((line) => line.slice(indent)).join("\n");
}
