/** `ipcnet status` for people: the first line answers "is it well?", the rest says why. Pure. */
import type { StatusReport } from "../../schemas/messages/statusReport.ts";
import { clientLines, commandLines, linkLines, nodeLines, processLine, reflexLines, rejectLines, supervisionLine } from "./sections.ts";
import { findings, gatewayLooks } from "./states.ts";
import { fitLine, paint, span, type Line } from "./style.ts";
import { duration, grouped, printable } from "./text.ts";

export function statusText(report: StatusReport, size: { columns: number; color: boolean; ascii?: boolean }): string[] {
  const look = gatewayLooks[report.state];
  const troubles = findings(report);
  const verdict = troubles.length === 0 ? "all well" : `${troubles.length} ${troubles.length === 1 ? "problem" : "problems"}`;
  const lines: Line[] = [
    [span(`${look.shape} `, look.style), span(printable(report.robot), "strong"), span(" is "), span(look.word.toLowerCase(), look.style), span(report.stateReason === "" ? "" : ` (${printable(report.stateReason)})`, "dim"), span(", "), span(verdict, troubles[0]?.severity ?? "good")],
    ...(report.pose ? [[span("  trigger: ", "dim"), span(printable(report.pose.trigger), "strong"), span(` ${printable(report.pose.why)}, ${duration(report.pose.msAgo)} ago${report.pose.latched ? ", latched" : ""}`)], [span("  reset: ", "dim"), span(printable(report.pose.reset))]] : []),
    ...troubles.map(({ severity, text }) => [span(severity === "bad" ? "  ✖ " : "  ◐ ", severity), span(text)]),
    ...(report.state === "disarmed" ? report.missingForArming.map((sentence) => [span("  to arm: ", "dim"), span(printable(sentence))]) : []),
    [span("links", "title")], ...linkLines(report, size.columns),
  ];
  const add = (title: string, more: readonly Line[]): void => {
    if (more.length > 0) lines.push([span(title, "title")], ...more);
  };
  add("reflexes", reflexLines(report.reflexes));
  if (report.supervision) lines.push(supervisionLine(report.supervision));
  add("nodes", nodeLines(report, size.columns));
  add(`commands: ${grouped(report.commands.sent)} sent`, commandLines(report));
  add("rejected", rejectLines(report, size.columns));
  add("clients", clientLines(report, size.columns));
  lines.push([span(`gateway ${printable(report.instance)}, version ${printable(report.version)}, pid ${report.pid}, up ${duration(report.uptimeMs)}`, "dim")], processLine(report).slice(0, 2));
  return lines.map((line) => paint(fitLine(line, size.columns), { color: size.color, ascii: size.ascii === true }));
}
