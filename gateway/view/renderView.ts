/**
 * The live view as a pure function: a status report and a few watched values in, lines of text out.
 *
 * The screen is a stack of sections. Each says how few lines it can live with and how many it would like; what the terminal has is
 * dealt out by need, and a section that has to leave something out says how much ("… 5 more"). Never more than `rows` lines,
 * never a line wider than `columns`.
 */
import type { StatusReport } from "../../schemas/messages/statusReport.ts";
import { clientLines, commandLines, linkLines, nodeLines, processLine, rejectLines, valueLines, type WatchedValue } from "./sections.ts";
import { findings, gatewayLooks } from "./states.ts";
import { fitLine, lineWidth, paint, span, type Line } from "./style.ts";
import { duration, grouped, printable } from "./text.ts";

export type { WatchedValue } from "./sections.ts";

export interface ViewSize {
  columns: number;
  rows: number;
  color: boolean;
  /** For terminals that cannot show more than ASCII. */
  ascii?: boolean;
}

interface Section {
  /** Without a title there is no rule above. */
  title?: Line;
  lines: readonly Line[];
  /** Lines it cannot do without, its title not counted. */
  minimum: number;
  /** How much one more line of it is worth, when not all fits. */
  weight: number;
}

/** Lines for a terminal of the given size, as many as fit and as few as are needed. */
export function renderView(report: StatusReport, values: readonly WatchedValue[], size: ViewSize): string[] {
  const { columns, rows } = size;
  const finish = (line: Line): string => paint(fitLine(line, columns), { color: size.color, ascii: size.ascii === true });
  const head = [titleLine(report, columns), bannerLine(report, columns)];
  const foot = processLine(report);
  const sections = dealOut(sectionsOf(report, values, columns), rows - head.length - 1);
  const body = sections.flatMap(({ title, lines }) => (title ? [rule(title, columns), ...lines] : lines));
  return [...head, ...body, foot].slice(0, Math.max(0, rows)).map(finish);
}

function sectionsOf(report: StatusReport, values: readonly WatchedValue[], columns: number): Section[] {
  const troubles = findings(report).map(({ severity, text }) => [span(" "), span(severity === "bad" ? "✖ " : "◐ ", severity), span(text, severity)]);
  const allWell = troubles.length === 0 ? [[span(" "), span("● all links and nodes are well", "good")]] : troubles;
  const missing = report.state === "disarmed" && report.missingForArming.length > 0
    ? [[span(" to arm: ", "dim"), span(report.missingForArming.map(printable).join("; "))]]
    : [];
  const operational = report.nodes.filter((node) => node.state === "operational").length;
  const rejected = report.rejects.reduce((sum, reject) => sum + reject.count, 0);
  const refused = Object.values(report.commands.refused).reduce((sum, count) => sum + count, 0);
  const present = (lines: readonly Line[]): number => Math.min(1, lines.length);
  const nodes = nodeLines(report, columns);
  const watched = valueLines(values, columns);
  const clients = clientLines(report, columns);
  return [
    { lines: [...allWell, ...missing], minimum: 1, weight: 1 },
    { title: [span("links", "title")], lines: linkLines(report, columns), minimum: 1, weight: 3 },
    { title: [span("nodes ", "title"), span(`${operational} of ${report.nodes.length} operational`, operational === report.nodes.length ? "dim" : "warn")], lines: nodes, minimum: present(nodes), weight: 3 },
    { title: [span("values", "title")], lines: watched, minimum: present(watched), weight: 2 },
    { title: [span("commands ", "title"), span(`${grouped(report.commands.sent)} sent, ${grouped(refused)} refused`, refused > 0 ? "warn" : "dim")], lines: commandLines(report), minimum: 0, weight: 1 },
    { title: [span("rejected ", "title"), span(`${grouped(rejected)} frames and messages`, rejected > 0 ? "warn" : "dim")], lines: rejectLines(report, columns), minimum: 0, weight: 1 },
    { title: [span("clients ", "title"), span(String(report.clients.length), "dim")], lines: clients, minimum: 0, weight: 1 },
  ].filter((section) => section.lines.length > 0 || (section.title?.length ?? 0) > 1);
}

/** Gives each section its lines: the minimum first, then one line at a time to whoever still wants most, so that no section starves. */
function dealOut(sections: readonly Section[], rows: number): Section[] {
  const cost = (section: Section): number => section.minimum + (section.title ? 1 : 0);
  let left = rows;
  const kept: { section: Section; given: number }[] = [];
  for (const section of sections) {
    if (cost(section) > left) continue;
    kept.push({ section, given: section.minimum });
    left -= cost(section);
  }
  const need = ({ section, given }: (typeof kept)[number]): number => (section.lines.length - given) * section.weight;
  for (; left > 0; left--) {
    let neediest: (typeof kept)[number] | undefined;
    for (const entry of kept) {
      if (need(entry) > (neediest ? need(neediest) : 0)) neediest = entry;
    }
    if (!neediest) break;
    neediest.given += 1;
  }
  return kept.map(({ section, given }) => ({ ...section, lines: shorten(section.lines, given) }));
}

function shorten(lines: readonly Line[], count: number): readonly Line[] {
  if (lines.length <= count) return lines;
  if (count === 0) return [];
  const hidden = lines.length - count + 1;
  // With a single line to give, the first entry says more than a count of what is missing.
  if (count === 1) return [lines[0]!];
  return [...lines.slice(0, count - 1), [span(`   … ${hidden} more lines`, "dim")]];
}

function titleLine(report: StatusReport, columns: number): Line {
  const left: Line = [span(" IPCNet ", "title"), span(printable(report.robot), "strong")];
  const right: Line = [span(`${printable(report.instance)} · ${printable(report.version)} · pid ${report.pid} · up ${duration(report.uptimeMs)} `, "dim")];
  return [...fitLine(left, Math.max(1, columns - lineWidth(right) - 1)), span(" ".repeat(Math.max(1, columns - lineWidth(left) - lineWidth(right)))), ...right];
}

function bannerLine(report: StatusReport, columns: number): Line {
  const look = gatewayLooks[report.state];
  return fitLine([span(` ${look.shape}${look.shape}${look.shape} ${look.word} `, look.banner), span(` ${look.meaning}${report.stateReason === "" ? "" : ` (${printable(report.stateReason)})`}`, look.banner)], columns, look.banner);
}

function rule(title: Line, columns: number): Line {
  const used = lineWidth(title) + 5;
  return [span("── ", "dim"), ...title, span(` ${"─".repeat(Math.max(0, columns - used + 1))}`, "dim")];
}
