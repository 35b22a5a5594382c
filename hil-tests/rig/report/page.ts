/** The results as one HTML page that needs nothing else: no network, no script, readable in any browser and on paper. */
import type { Entry } from "../timeline.ts";
import { lanes as firstLanes } from "../timeline.ts";
import { escapeXml as e } from "./junit.ts";
import { count, type Report, type Result, type Verdict } from "./result.ts";

const WIDTH = 1_100;
const NAME_WIDTH = 110;
const LANE_HEIGHT = 22;
const AXIS_HEIGHT = 24;
/** Marks nearer to each other than this are one mark, as wide as they lie. */
const MERGE_PX = 1.5;

const style = `
:root{color-scheme:light dark;--ink:#1c2733;--soft:#5d6b7a;--line:#d5dde5;--paper:#fff;--shade:#f4f7fa;--good:#1a7f4b;--bad:#c02f2f;--skip:#8a6d1a;--frame:#2f6fb5}
@media (prefers-color-scheme:dark){:root{--ink:#e3e9ef;--soft:#96a3b1;--line:#34404c;--paper:#141a20;--shade:#1c242c;--good:#4cc38a;--bad:#ff7b72;--skip:#d8b64c;--frame:#6cb0f5}}
body{font:15px/1.5 system-ui,sans-serif;color:var(--ink);background:var(--paper);max-width:1180px;margin:2rem auto;padding:0 1rem}
h1{font-size:1.5rem;margin:0}p.sum{color:var(--soft);margin:.2rem 0 1.2rem}
details{border:1px solid var(--line);border-radius:6px;margin:.5rem 0;padding:0 .8rem}
details[open]{padding-bottom:.8rem}summary{cursor:pointer;padding:.45rem 0;display:flex;gap:.7rem;align-items:baseline}
summary .name{flex:1}summary .time,summary .machine{color:var(--soft);font-size:.85rem}
.v{font-weight:600;min-width:4.2rem}.v.passed{color:var(--good)}.v.failed{color:var(--bad)}.v.skipped{color:var(--skip)}
pre{background:var(--shade);padding:.6rem;overflow-x:auto;font:12px/1.45 ui-monospace,monospace;border-radius:4px;white-space:pre-wrap;max-height:30rem;overflow-y:auto}
table{border-collapse:collapse;margin:.4rem 0}td,th{text-align:left;padding:.1rem .9rem .1rem 0;vertical-align:top}td.n{font-variant-numeric:tabular-nums;text-align:right}
svg{width:100%;height:auto;display:block}svg text{font:11px system-ui,sans-serif;fill:var(--soft)}svg .grid{stroke:var(--line)}
svg .plain{fill:var(--soft)}svg .good{fill:var(--good)}svg .bad,svg .errorFrame{fill:var(--bad)}svg .frame{fill:var(--frame)}
.bench,.why{color:var(--soft)}h3{font-size:.95rem;margin:.9rem 0 .2rem}
td.good{color:var(--good)}td.bad,td.errorFrame{color:var(--bad)}td.lane{color:var(--soft)}
`;

export function page(report: Report): string {
  const failed = count(report, "failed");
  const boots = report.boots.map(({ machine, hostS, uptimeS }) => `<tr><td>${e(machine)}</td><td class="n">${hostS.toFixed(1)} s</td><td class="n">${uptimeS.toFixed(1)} s</td></tr>`).join("");
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1"><title>IPCNet: hardware in the loop</title><style>${style}</style></head><body>
<h1>Hardware in the loop: ${failed === 0 ? "no failure" : `${failed} failed`}</h1>
<p class="sum">${count(report, "passed")} passed, ${failed} failed, ${count(report, "skipped")} skipped; ${e(report.where)}; ${e(report.startedAt.toISOString().slice(0, 16).replace("T", " "))} UTC; ${duration(report.ms)}</p>
${report.results.map(section).join("\n")}
${boots === "" ? "" : `<h3>Starts of machines: from power to the first command, by the host's clock and by their own</h3><table>${boots}</table>`}
</body></html>
`;
}

const tones: Readonly<Record<Verdict, string>> = { passed: "good", failed: "bad", skipped: "lane" };

const duration = (ms: number): string => (ms < 60_000 ? `${(ms / 1e3).toFixed(1)} s` : `${Math.floor(ms / 60_000)} min ${Math.round((ms % 60_000) / 1e3)} s`);

function section(result: Result): string {
  const { name, verdict, why, ms, machine, bench, steps, figures, frames, log } = result;
  const stepRows = steps.map(({ name: step, verdict: outcome, text }) => `<tr><td class="${tones[outcome]}">${outcome}</td><td>${e(step)}${text === "" ? "" : `<pre>${e(text)}</pre>`}</td></tr>`).join("");
  const figureRows = figures.map(([key, value]) => `<tr><td>${e(key)}</td><td class="n">${e(value)}</td></tr>`).join("");
  const entries = result.entries.filter(({ tone }) => tone !== "frame");
  const eventRows = entries.map(({ atMs, lane, text, tone }) => `<tr><td class="n">${(atMs / 1e3).toFixed(3)}</td><td class="lane">${e(lane)}</td><td class="${tone}">${e(text)}</td></tr>`).join("");
  return `<details${verdict === "failed" ? " open" : ""}><summary><span class="v ${verdict}">${verdict}</span><span class="name">${e(name)}${verdict === "skipped" ? `<br><span class="why">${e(why)}</span>` : ""}</span><span class="machine">${e(machine)}</span><span class="time">${verdict === "skipped" ? "" : duration(ms)}</span></summary>
${why === "" || verdict === "skipped" ? "" : `<pre>${e(why)}</pre>`}
${figureRows === "" ? "" : `<table>${figureRows}</table>`}
${timelineOf(result.entries, ms)}
${frames.total > frames.shown ? `<p class="bench">${frames.total} frames, of which the first and last ${frames.shown / 2} are drawn</p>` : ""}
${stepRows === "" ? "" : `<h3>Steps</h3><table>${stepRows}</table>`}
${eventRows === "" ? "" : `<h3>Events</h3><table>${eventRows}</table>`}
${log === "" ? "" : `<h3>Log</h3><pre>${e(log)}</pre>`}
<p class="bench">On a bench: ${e(bench)}</p></details>`;
}

/** One line a lane; marks show their text when pointed at. */
export function timelineOf(entries: readonly Entry[], ms: number): string {
  if (entries.length === 0) return "";
  const names = [...new Set(entries.map(({ lane }) => lane))];
  const order = [...firstLanes.filter((lane) => names.includes(lane)), ...names.filter((lane) => !(firstLanes as readonly string[]).includes(lane)).sort()];
  const span = Math.max(ms, ...entries.map(({ atMs }) => atMs), 1);
  const x = (atMs: number): number => NAME_WIDTH + (Math.max(0, atMs) / span) * (WIDTH - NAME_WIDTH - 10);
  const height = AXIS_HEIGHT + order.length * LANE_HEIGHT;
  const rows = order.map((lane, index) => {
    const y = AXIS_HEIGHT + index * LANE_HEIGHT;
    const marks = merged(entries.filter((entry) => entry.lane === lane), x).map(({ from, to, text, tone }) => `<rect class="${tone}" x="${from.toFixed(1)}" y="${y + 4}" width="${Math.max(2, to - from).toFixed(1)}" height="${LANE_HEIGHT - 8}"><title>${e(text)}</title></rect>`).join("");
    return `<text x="0" y="${y + 15}">${e(lane)}</text><line class="grid" x1="${NAME_WIDTH}" x2="${WIDTH}" y1="${y + LANE_HEIGHT}" y2="${y + LANE_HEIGHT}"/>${marks}`;
  });
  const ticks = ticksOf(span).map((atMs) => `<line class="grid" x1="${x(atMs).toFixed(1)}" x2="${x(atMs).toFixed(1)}" y1="${AXIS_HEIGHT - 6}" y2="${height}"/><text x="${x(atMs).toFixed(1)}" y="${AXIS_HEIGHT - 10}">${atMs / 1e3} s</text>`);
  return `<svg viewBox="0 0 ${WIDTH} ${height + 2}" role="img" aria-label="timeline">${ticks.join("")}${rows.join("")}</svg>`;
}

interface Mark {
  from: number;
  to: number;
  text: string;
  tone: Entry["tone"];
}

/** Runs of the same tone whose marks would lie on each other, as one. */
function merged(entries: readonly Entry[], x: (atMs: number) => number): Mark[] {
  const marks: (Mark & { entries: Entry[] })[] = [];
  for (const entry of entries.toSorted((a, b) => a.atMs - b.atMs)) {
    const at = x(entry.atMs);
    const last = marks.at(-1);
    if (last && last.tone === entry.tone && at - last.to < MERGE_PX) {
      last.to = at;
      last.entries.push(entry);
    } else marks.push({ from: at, to: at, tone: entry.tone, text: "", entries: [entry] });
  }
  const line = ({ atMs, text }: Entry): string => `${(atMs / 1e3).toFixed(3)} s  ${text}`;
  return marks.map(({ from, to, tone, entries: all }) => ({ from, to, tone, text: all.length <= 12 ? all.map(line).join("\n") : `${all.length} from ${line(all[0]!)}\nto ${line(all.at(-1)!)}` }));
}

/** 5 to 12 round times. */
export function ticksOf(spanMs: number): number[] {
  const raw = spanMs / 8;
  const power = 10 ** Math.floor(Math.log10(raw));
  const stepMs = [1, 2, 5, 10].map((factor) => factor * power).find((step) => step >= raw)!;
  return Array.from({ length: Math.floor(spanMs / stepMs) + 1 }, (_, index) => Math.round(index * stepMs * 1e3) / 1e3);
}
