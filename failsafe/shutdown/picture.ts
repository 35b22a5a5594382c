/** A plan as an SVG: steps in columns, their fallbacks below them (dashed), latest times, and the longest way in colour. Text that a viewer can search and select; no script, no fonts of its own. */
import type { Plan, PlanCondition, PlanSend } from "../../schemas/messages/plan.ts";
import { buildGraph, type GraphStep, type PlanGraph } from "../../schemas/messages/plan/graph.ts";
import { categoryOf } from "../../schemas/messages/plan/triggers.ts";
import { layOut } from "./layers.ts";

const FONT_PX = 12;
/** Of a sans-serif at 12 px, on the wide side: boxes are never too narrow. */
const CHAR_PX = 7.5;
const LINE_PX = 16;
const PADDING = 10;
const CHARS_MAX = 50;
/** Right of steps with fallbacks: whichever of them was reached leads on. */
const BRACKET = 10;
const FALLBACK_GAP = 26;
const MARGIN = 24;
const LINES_MAX = 4;

const colours = { text: "#1f2933", dim: "#616e7c", line: "#9aa5b1", box: "#f5f7fa", critical: "#c2410c", criticalBox: "#fff7ed", last: "#b91c1c", lastBox: "#fef2f2" } as const;

const categoryTexts = ["power off at once (category 0)", "parked, then power off (category 1)", "stopped, power stays (category 2)"] as const;

interface Row { text: string; style: "name" | "plain" | "dim" | "alarm" }

/** One after the other, as one picture; graphs as `buildGraph` makes them. */
export function drawPlans(plans: readonly Plan[]): string {
  const parts = plans.map((plan) => drawPlan(plan, buildGraph(plan)));
  const widthPx = Math.ceil(Math.max(...parts.map((part) => part.widthPx)) + 2 * MARGIN);
  let y = MARGIN;
  const body: string[] = [];
  for (const part of parts) {
    body.push(`<g transform="translate(${MARGIN} ${Math.round(y)})">${part.svg}</g>`);
    y += part.heightPx + 2 * MARGIN;
  }
  const heightPx = Math.ceil(y - MARGIN);
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${widthPx}" height="${heightPx}" viewBox="0 0 ${widthPx} ${heightPx}" font-family="sans-serif" font-size="${FONT_PX}">
<title>${escape(plans.map(({ name }) => name).join(", "))}</title>
<defs>${marker("arrow", colours.line)}${marker("arrow-critical", colours.critical)}${marker("arrow-last", colours.last)}</defs>
<rect width="100%" height="100%" fill="#ffffff"/>
${body.join("\n")}
</svg>
`;
}

function marker(id: string, colour: string): string {
  return `<marker id="${id}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto"><path d="M0 0 L8 4 L0 8 z" fill="${colour}"/></marker>`;
}

/** A step with its fallbacks below it. */
interface Stack { head: number; rungs: { at: number; rows: Row[]; y: number; heightPx: number; widthPx: number }[]; widthPx: number; heightPx: number }

function drawPlan(plan: Plan, graph: PlanGraph): { svg: string; widthPx: number; heightPx: number } {
  const stacks = graph.steps.flatMap((step, head) => (step.onlyFallback ? [] : [stackOf(graph, head)]));
  const placeOf = new Map(stacks.map(({ head }, place) => [head, place]));
  const placed = layOut(stacks.map(({ head, widthPx, heightPx }) => ({ widthPx, heightPx, from: graph.steps[head]!.needs.map((need) => placeOf.get(need)!) })));
  const headPx = 44;
  const out: string[] = [
    `<text x="0" y="16" font-size="17" font-weight="bold" fill="${colours.text}">${escape(plan.name)}</text>`,
    `<text x="0" y="34" fill="${colours.dim}">${escape(categoryTexts[categoryOf(plan.category)])} · longest way ${graph.worstMs} of ${plan.budgetMs} ms</text>`,
  ];
  const edges = placed.edges.map((edge) => ({ ...edge, critical: onLongestWay(graph, stacks[edge.from]!.head, stacks[edge.to]!.head) }));
  for (const { from, to, points, critical } of edges.toSorted((a, b) => Number(a.critical) - Number(b.critical))) {
    const { rungs, widthPx } = stacks[from]!;
    const { x: left, y: top } = placed.boxes[from]!;
    // It is the step that begins, not its fallbacks.
    points[points.length - 1] = [points.at(-1)![0], placed.boxes[to]!.y + stacks[to]!.rungs[0]!.heightPx / 2];
    if (rungs.length > 1) {
      const sides = rungs.map((rung) => top + headPx + rung.y + rung.heightPx / 2);
      points[0] = [left + widthPx + BRACKET, points[0]![1]];
      out.push(`<path d="${sides.map((y) => `M${left + widthPx} ${y} h${BRACKET}`).join(" ")} M${left + widthPx + BRACKET} ${sides[0]} V${sides.at(-1)}" fill="none" stroke="${critical ? colours.critical : colours.line}" stroke-width="${critical ? 2.2 : 1.4}"/>`);
    }
    out.push(`<path d="${curve(points.map(([x, y]) => [x, y + headPx] as const))}" fill="none" stroke="${critical ? colours.critical : colours.line}" stroke-width="${critical ? 2.2 : 1.4}" marker-end="url(#arrow${critical ? "-critical" : ""})"/>`);
  }
  for (const [place, { rungs }] of stacks.entries()) {
    const { x, y } = placed.boxes[place]!;
    for (const [at, rung] of rungs.entries()) {
      const top = y + headPx + rung.y;
      out.push(drawBox(x, top, rung.widthPx, rung.heightPx, rung.rows, graph.steps[rung.at]!));
      const next = rungs[at + 1];
      if (!next) continue;
      const { isCritical } = graph.steps[next.at]!;
      out.push(`<path d="M${x + 28} ${top + rung.heightPx} V${y + headPx + next.y - 2}" fill="none" stroke="${isCritical ? colours.critical : colours.line}" stroke-width="1.6" stroke-dasharray="5 4" marker-end="url(#arrow${isCritical ? "-critical" : ""})"/>`);
      out.push(`<text x="${x + 38}" y="${top + rung.heightPx + FALLBACK_GAP / 2 + 4}" font-size="10.5" fill="${colours.dim}">given up</text>`);
    }
  }
  const last = lastRungRows(plan);
  const lastTop = headPx + placed.heightPx + 24;
  const lastWidth = widthOf(last);
  const lastHeight = last.length * LINE_PX + 2 * PADDING - 4;
  out.push(`<rect x="0" y="${lastTop}" width="${lastWidth}" height="${lastHeight}" rx="6" fill="${colours.lastBox}" stroke="${colours.last}" stroke-dasharray="5 4"/>`, textRows(0, lastTop, last));
  return { svg: out.join("\n"), widthPx: Math.max(placed.widthPx, lastWidth, 420), heightPx: lastTop + lastHeight };
}

function stackOf(graph: PlanGraph, head: number): Stack {
  const rungs: Stack["rungs"] = [];
  let y = 0;
  for (let at: number | undefined = head; at !== undefined; at = graph.steps[at]!.fallback) {
    const rows = rowsOf(graph.steps[at]!);
    const heightPx = rows.length * LINE_PX + 2 * PADDING - 4;
    rungs.push({ at, rows, y, heightPx, widthPx: 0 });
    y += heightPx + FALLBACK_GAP;
  }
  const widthPx = Math.max(...rungs.map(({ rows }) => widthOf(rows)));
  for (const rung of rungs) rung.widthPx = widthPx;
  return { head, rungs, widthPx, heightPx: y - FALLBACK_GAP };
}

function onLongestWay(graph: PlanGraph, from: number, to: number): boolean {
  const end = (place: number): number => {
    let at = graph.steps[place]!;
    while (at.fallback !== undefined) at = graph.steps[at.fallback]!;
    return at.endsMs;
  };
  return graph.steps[from]!.isCritical && graph.steps[to]!.isCritical && end(from) === graph.steps[to]!.beginsMs;
}

function rowsOf({ name, step, beginsMs, endsMs }: GraphStep): Row[] {
  const rows: Row[] = [{ text: step.mandatory ? `${name}  ·  mandatory` : name, style: "name" }];
  const sends = step.send.map(sendText);
  if (sends.length > 0) rows.push({ text: `→ ${[...new Set(sends)].join(", ")}`, style: "plain" });
  if (step.call) rows.push({ text: `call ${step.call.service}`, style: "plain" });
  for (const condition of step.until.slice(0, LINES_MAX)) rows.push({ text: `until ${conditionText(condition)}`, style: "plain" });
  if (step.until.length > LINES_MAX) rows.push({ text: `and ${step.until.length - LINES_MAX} more`, style: "plain" });
  rows.push({ text: `${triesText(step)}; latest ${beginsMs} to ${endsMs} ms`, style: "dim" });
  if (step.onTimeout === "fail") rows.push({ text: "given up: failed", style: "alarm" });
  if (step.onTimeout === "last") rows.push({ text: "given up: last rung", style: "alarm" });
  return rows.map(({ text, style }) => ({ text: shorten(text), style }));
}

function lastRungRows({ lastRung, budgetMs }: Plan): Row[] {
  const frames = lastRung.map((send) => `${sendText(send)} ${Object.entries(send.values).map(([signal, value]) => `${signal}=${value}`).join(" ")}`);
  return [{ text: `last rung: after ${budgetMs} ms, or when a step says so`, style: "alarm" }, ...frames.map((text): Row => ({ text: `→ ${text}`, style: "plain" }))];
}

export function triesText({ tries, deadlineMs, backoffMs }: Pick<GraphStep["step"], "tries" | "deadlineMs" | "backoffMs">): string {
  return tries === 1 ? `${deadlineMs} ms` : `${tries} × ${deadlineMs} ms${backoffMs > 0 ? `, pause ${backoffMs}` : ""}`;
}

function sendText(send: PlanSend): string {
  return "bus" in send ? send.message : "serial" in send ? `${send.serial}/${send.message}` : `${send.mqtt}:${send.topic}`;
}

/** shoulder_State velocity ±0.02 for 50 ms */
export function conditionText({ topic, signal, absMax, minimum, maximum, equals, holdMs }: PlanCondition): string {
  const limits = [absMax === undefined ? "" : `±${absMax}`, minimum === undefined ? "" : `≥ ${minimum}`, maximum === undefined ? "" : `≤ ${maximum}`, equals === undefined ? "" : `= ${equals}`].filter((each) => each !== "");
  return `${topic.replace(/^can\/[^/]+\//, "")} ${signal} ${limits.join(" ")}${holdMs > 0 ? ` for ${holdMs} ms` : ""}`;
}

function drawBox(x: number, y: number, widthPx: number, heightPx: number, rows: readonly Row[], { isCritical, onlyFallback, step }: GraphStep): string {
  const stroke = isCritical ? colours.critical : colours.line;
  const box = `<rect x="${x}" y="${y}" width="${widthPx}" height="${heightPx}" rx="6" fill="${isCritical ? colours.criticalBox : colours.box}" stroke="${stroke}" stroke-width="${isCritical ? 2 : 1.2}"${onlyFallback ? ' stroke-dasharray="5 4"' : ""}/>`;
  const bar = step.mandatory ? `<rect x="${x}" y="${y + 6}" width="4" height="${heightPx - 12}" fill="${stroke}"/>` : "";
  return box + bar + textRows(x, y, rows);
}

function textRows(x: number, y: number, rows: readonly Row[]): string {
  const look = { name: `font-weight="bold" fill="${colours.text}"`, plain: `fill="${colours.text}"`, dim: `fill="${colours.dim}"`, alarm: `fill="${colours.last}"` };
  return rows.map(({ text, style }, at) => `<text x="${x + PADDING + 2}" y="${y + PADDING + LINE_PX * (at + 1) - 6}" ${look[style]}>${escape(text)}</text>`).join("");
}

function widthOf(rows: readonly Row[]): number {
  return Math.ceil(Math.max(...rows.map(({ text, style }) => text.length * CHAR_PX * (style === "name" ? 1.08 : 1))) + 2 * PADDING + 4);
}

function shorten(text: string): string {
  const letters = Array.from(text);
  return letters.length <= CHARS_MAX ? text : `${letters.slice(0, CHARS_MAX - 1).join("")}…`;
}

/** Flat where it leaves and arrives. */
function curve(points: readonly (readonly [number, number])[]): string {
  let path = `M${points[0]![0]} ${points[0]![1]}`;
  for (let at = 1; at < points.length; at++) {
    const [fromX, fromY] = points[at - 1]!;
    const [toX, toY] = points[at]!;
    const middle = (fromX + toX) / 2;
    path += fromY === toY ? ` L${toX} ${toY}` : ` C${middle} ${fromY} ${middle} ${toY} ${toX} ${toY}`;
  }
  return path;
}

const entities: Readonly<Record<string, string>> = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };

/** XML has no control characters at all. */
function escape(text: string): string {
  // oxlint-disable-next-line no-control-regex
  return text.replace(/[&<>"]/g, (each) => entities[each]!).replace(/[\u0000-\u001f\u007f\ufffe\uffff]/g, "·");
}
