/** The results as JUnit XML, as continuous-integration servers read it. A step of a behaviour is a test case of its own beside it. */
import type { Report, Result, Step } from "./result.ts";

/** Also takes out what XML 1.0 cannot carry at all. */
export function escapeXml(text: string): string {
  const named: Record<string, string> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&apos;" };
  // eslint-disable-next-line no-control-regex -- those are what is looked for
  return text.replaceAll(/[\u0000-\u0008\u000B\u000C\u000E-\u001F\uFFFE\uFFFF]|[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g, "\uFFFD").replaceAll(/[&<>"']/g, (character) => named[character]!);
}

const seconds = (ms: number): string => (ms / 1e3).toFixed(3);

export function junit(report: Report): string {
  const cases = report.results.flatMap((result) => [caseOf(result), ...result.steps.map((step) => stepOf(result, step))]);
  const failures = report.results.reduce((sum, { verdict, steps }) => sum + (verdict === "failed" ? 1 : 0) + steps.filter((step) => step.verdict === "failed").length, 0);
  const skipped = report.results.reduce((sum, { verdict, steps }) => sum + (verdict === "skipped" ? 1 : 0) + steps.filter((step) => step.verdict === "skipped").length, 0);
  const counts = `tests="${cases.length}" failures="${failures}" errors="0" skipped="${skipped}" time="${seconds(report.ms)}"`;
  return `<?xml version="1.0" encoding="UTF-8"?>\n<testsuites name="ipcnet hil" ${counts}>\n<testsuite name="${escapeXml(report.where)}" ${counts} timestamp="${report.startedAt.toISOString().slice(0, 19)}">\n${cases.join("\n")}\n</testsuite>\n</testsuites>\n`;
}

function caseOf(result: Result): string {
  const { file, name, machine, verdict, why, ms, figures, log } = result;
  const properties = figures.length === 0 ? "" : `<properties>${figures.map(([key, value]) => `<property name="${escapeXml(key)}" value="${escapeXml(value)}"/>`).join("")}</properties>`;
  const outcome = verdict === "failed" ? `<failure message="${escapeXml(why.split("\n")[0]!)}">${escapeXml(why)}</failure>` : verdict === "skipped" ? `<skipped message="${escapeXml(why)}"/>` : "";
  const output = log === "" || verdict !== "failed" ? "" : `<system-out>${escapeXml(log)}</system-out>`;
  return `<testcase name="${escapeXml(name)}" classname="${escapeXml(`hil.${machine}.${file}`)}" time="${seconds(ms)}">${properties}${outcome}${output}</testcase>`;
}

function stepOf({ file, machine }: Result, { name, verdict, text }: Step): string {
  const outcome = verdict === "failed" ? `<failure message="${escapeXml(text.split("\n")[0]!)}">${escapeXml(text)}</failure>` : verdict === "skipped" ? `<skipped message="${escapeXml(text)}"/>` : "";
  return `<testcase name="${escapeXml(name)}" classname="${escapeXml(`hil.${machine}.${file}.steps`)}" time="0.000">${outcome}</testcase>`;
}
