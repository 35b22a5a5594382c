/** What `node --test-reporter=tap` wrote, as steps. */
import type { Step } from "./report/result.ts";

const row = /^\s*(not ok|ok) \d+ - (.*?)(?: # (SKIP|TODO)\b.*)?$/;

/** Tests in their order, those of suites too; the row of a file around them is left out. With what TAP says about a failure. */
export function stepsOf(tap: string): Step[] {
  const steps: Step[] = [];
  const lines = tap.split("\n");
  for (let at = 0; at < lines.length; at++) {
    const match = row.exec(lines[at]!);
    if (!match || match[3] === "SKIP" || /\.[cm]?[jt]s$/.test(match[2]!)) continue;
    const passed = match[1] === "ok";
    steps.push({ name: match[2]!.replaceAll("\\#", "#"), passed, text: passed ? "" : diagnosis(lines, at + 1) });
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
