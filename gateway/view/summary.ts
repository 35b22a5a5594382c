/** The report in one line (for logs and pipes), and the picture while no gateway answers. Pure. */
import type { StatusReport } from "../../schemas/messages/statusReport.ts";
import type { ViewSize } from "./renderView.ts";
import { findings, gatewayLooks, linkLook } from "./states.ts";
import { fitLine, paint, span, type Line } from "./style.ts";
import { ago, printable, shortNumber } from "./text.ts";

export function summaryLine(report: StatusReport): string {
  const links = report.links.map((link) => `${printable(link.name)} ${linkLook(link).word} ${shortNumber(link.receivedRateHz)}/s${link.loadPercent === undefined ? "" : ` ${link.loadPercent.toFixed(0)} %`}`);
  const operational = report.nodes.filter(({ state }) => state === "operational").length;
  const rejected = report.rejects.reduce((sum, { count }) => sum + count, 0);
  const worst = findings(report)[0];
  return [
    `${printable(report.robot)} ${gatewayLooks[report.state].word.toLowerCase()}`, ...links, `nodes ${operational}/${report.nodes.length}`,
    `commands ${report.commands.sent}`, `rejected ${rejected}`, ...(worst ? [worst.text] : []),
  ].join(" | ");
}

export function unreachableView({ reason, sinceMs }: { reason: string; sinceMs: number }, size: ViewSize): string[] {
  const lines: Line[] = [
    [span(" IPCNet", "title")],
    fitLine([span(" ✖✖✖ NO GATEWAY ", "banner-bad"), span(` for ${ago(sinceMs)}`, "banner-bad")], size.columns, "banner-bad"),
    [span(` ${printable(reason)}`)],
    [span(" trying again every second · Ctrl-C ends", "dim")],
  ];
  return lines.slice(0, size.rows).map((line) => paint(fitLine(line, size.columns), { color: size.color, ascii: size.ascii === true }));
}
