/** The sections of the live view: each turns its part of the report into lines. Pure. */
import type { StatusReport } from "../../schemas/messages/statusReport.ts";
import { linkLook, nodeLook } from "./states.ts";
import { fitLine, span, type Line, type Span } from "./style.ts";
import { ago, bar, displayWidth, fit, grouped, printable, shortNumber, sparkline } from "./text.ts";

/** A value to show as it moves. */
export interface WatchedValue {
  label: string;
  /** undefined: nothing received yet. */
  value: number | string | boolean | undefined;
  unit?: string;
  quality: "good" | "stale" | "bad";
  /** Earlier values, the latest last: drawn as a sparkline. */
  history?: readonly number[];
  /** The scale of the sparkline; absent: the range of the history. */
  minimum?: number;
  maximum?: number;
  /** Digits behind the point; absent: 2. */
  decimals?: number;
}

const cellColumnsMin = 38;

/** Cells side by side, in reading order by column, as `ls` does. */
function grid(cells: readonly ((columns: number) => Line)[], columns: number): Line[] {
  const across = Math.max(1, Math.min(4, Math.floor(columns / cellColumnsMin)));
  const down = Math.ceil(cells.length / across);
  const width = Math.floor(columns / across);
  return Array.from({ length: down }, (_, row) => {
    const line: Span[] = [];
    for (let column = 0; column < across; column++) {
      const cell = cells[column * down + row];
      if (cell) line.push(...fitLine(cell(width), width, "plain"));
    }
    return line;
  });
}

export function linkLines(report: StatusReport, columns: number): Line[] {
  if (report.links.length === 0) return [[span(" no bus, port or broker is configured", "dim")]];
  const wide = columns >= 100;
  return report.links.map((link) => {
    const look = linkLook(link);
    const line = [
      span(` ${look.shape} `, look.style), span(fit(printable(link.name), wide ? 16 : 10), "strong"), span(fit(wide ? `${link.kind} ${printable(link.driver)}` : link.kind, wide ? 20 : 7), "dim"),
      span(fit(look.word, 9), look.style), span(" in "), span(fit(shortNumber(link.receivedRateHz), 5, "right")), span("/s out "), span(fit(shortNumber(link.sentRateHz), 5, "right")), span("/s"),
    ];
    if (link.loadPercent !== undefined) {
      const style = link.loadPercent >= 90 ? "bad" : link.loadPercent >= 70 ? "warn" : "good";
      line.push(span("  load "), span(bar(link.loadPercent / 100, wide ? 24 : 12), style), span(`${fit(link.loadPercent.toFixed(0), 4, "right")} %`, style));
    } else if (link.reason) {
      line.push(span(`  ${printable(link.reason)}`, look.style));
    }
    return line;
  });
}

/** One line for each process that owns the buses or stands by to. */
export function reflexLines(reflexes: StatusReport["reflexes"]): Line[] {
  return reflexes.map((reflex): Line => {
    if (!reflex.there) return [span(" ✖ ", "bad"), span(fit(reflex.instance, 2), "strong"), span(`does not answer: ${printable(reflex.reason)}`, "bad")];
    const beat = reflex.twinSeenMsAgo === undefined ? "no twin" : `twin's beat ${reflex.twinSeenMsAgo.toFixed(0)} ms ago`;
    return [
      span(reflex.healthy ? " ● " : " ◐ ", reflex.healthy ? "good" : "warn"), span(fit(reflex.instance, 2), "strong"), span(fit(printable(reflex.role), 9), reflex.role === "owner" ? "good" : "plain"),
      span(` epoch ${reflex.epoch}, pid ${reflex.pid}, ${beat}; ${reflex.takeovers} takeovers, ${reflex.plansRun} plans, late ${grouped(reflex.lateTurns)} times, at most ${reflex.turnMsMax.toFixed(1)} ms`),
      span(`${reflex.realtime ? "" : "; not realtime"}${reflex.tableIsOurs ? "" : "; another table"}`, "warn"),
    ];
  });
}

/** Whether the gateway's own tasks do what they have to. */
export function supervisionLine({ state, faults }: NonNullable<StatusReport["supervision"]>): Line {
  const where = faults.map(({ entity, checkpoint }) => `${printable(entity)} at ${printable(checkpoint)}`).join(", ");
  return [span("supervision", "title"), span(": "), span(printable(state), state === "ok" ? "good" : state === "failed" ? "warn" : "bad"), span(where === "" ? "" : ` (${where})`)];
}

export function nodeLines(report: StatusReport, columns: number): Line[] {
  return grid(
    report.nodes.map((node) => (width: number) => {
      const look = nodeLook(node);
      const seen = node.state === "lost" && node.lastSeenMsAgo !== undefined ? `${ago(node.lastSeenMsAgo)} ago` : `${shortNumber(node.rateHz)} Hz`;
      const nameColumns = Math.max(8, width - 4 - 15 - 10);
      return [
        span(` ${look.shape} `, look.style), span(`${fit(`${printable(node.name)}${node.required ? "" : " (opt)"}`, nameColumns)} `),
        span(fit(look.word, 15), look.style), span(fit(seen, 9, "right"), node.state === "lost" ? look.style : "plain"),
      ];
    }),
    columns,
  );
}

export function valueLines(values: readonly WatchedValue[], columns: number): Line[] {
  const numbers = Math.min(20, Math.max(9, ...values.map((value) => displayWidth(valueText(value)))));
  return grid(
    values.map((value) => (width: number) => {
      const history = value.history ?? [];
      const sparkColumns = history.length > 0 ? Math.min(24, Math.max(8, Math.floor((width - 3 - numbers) / 3))) : 0;
      const labelColumns = Math.max(6, width - 6 - numbers - sparkColumns);
      const style = value.quality === "good" ? "plain" : value.quality === "stale" ? "warn" : "bad";
      const range = value.minimum !== undefined && value.maximum !== undefined ? { minimum: value.minimum, maximum: value.maximum } : undefined;
      return [
        span(" "), span(`${fit(printable(value.label), labelColumns)} `, "dim"), span(fit(valueText(value), numbers, "right"), style), span(` ${trend(value)} `, style),
        span(sparkColumns > 0 ? sparkline(history, sparkColumns, range) : "", "title"),
      ];
    }),
    columns,
  );
}

function valueText({ value, unit, quality, decimals }: WatchedValue): string {
  if (value === undefined) return "nothing yet";
  const number = typeof value === "number" ? value.toFixed(decimals ?? 2) : printable(String(value));
  return `${quality === "good" ? "" : `${quality} `}${number}${unit ? ` ${printable(unit)}` : ""}`;
}

/** Up or down over the last few values, by more than a hundredth of what the history spans. */
function trend({ history }: WatchedValue): string {
  if (history === undefined || history.length < 2) return " ";
  const recent = history.slice(-4);
  const change = recent.at(-1)! - recent[0]!;
  const spread = Math.max(...history) - Math.min(...history);
  if (spread === 0 || Math.abs(change) < spread / 100) return "─";
  return change > 0 ? "▲" : "▼";
}

export function rejectLines(report: StatusReport, columns: number): Line[] {
  const rejects = [...report.rejects].sort((a, b) => b.count - a.count);
  return rejects.map((reject) => {
    const sample = reject.lastSample;
    const line = [span(fit(grouped(reject.count), 11, "right"), "warn"), span(` ${fit(printable(reject.reason), 20)}`), span(fit(printable(reject.link), 10), "dim")];
    if (sample) line.push(span(` ${fit(`${ago(sample.atMsAgo)} ago`, 11)}`, "dim"), span(`${printable(sample.source)} ${columns >= 100 ? sample.hex : sample.hex.slice(0, 16)}`, "dim"));
    return line;
  });
}

export function commandLines(report: StatusReport): Line[] {
  const refused = Object.entries(report.commands.refused).filter(([, count]) => count > 0).sort((a, b) => b[1] - a[1]);
  if (refused.length === 0) return [];
  return [[span(" refused: ", "dim"), span(refused.map(([reason, count]) => `${printable(reason)} ${grouped(count)}`).join(" · "), "warn")]];
}

export function clientLines(report: StatusReport, columns: number): Line[] {
  return grid(
    report.clients.map((client) => (width: number) => [
      span(` ${fit(printable(client.name), Math.max(8, width - 30))}`), span(fit(`pid ${client.pid}`, 12), "dim"), span(fit(`${shortNumber(client.sentMessages)} sent`, 10)),
      span(client.droppedMessages > 0 ? `${shortNumber(client.droppedMessages)} lost` : "", "warn"),
    ]),
    columns,
  );
}

export function processLine(report: StatusReport): Line {
  const { cpuPercent, rssBytes, eventLoopDelayP99Us } = report.process;
  const lateMs = eventLoopDelayP99Us / 1000;
  return [
    span(` ${report.topics} topics · cpu ${cpuPercent.toFixed(0)} % · ${(rssBytes / 1e6).toFixed(0)} MB · loop p99 `, "dim"),
    span(`${lateMs.toFixed(lateMs < 10 ? 1 : 0)} ms`, lateMs > 20 ? "warn" : "dim"), span(" · Ctrl-C ends", "dim"),
  ];
}
