/**
 * No sample may come back to where it started. A graph of everything that passes something on (routes, mirrored MQTT topics, MQTT inputs) with an
 * arrow from one to another where what the first writes is read by the second; a cycle in it is a loop.
 *
 * A message sent on a bus counts as that message received there: a second gateway or a bridge on the bus would make it so. Only ids can keep
 * two raw routes in opposite directions apart, because nothing else tells their frames from each other.
 */
import type { Path } from "../fault.ts";
import { idMatches } from "../idFilter.ts";
import type { IdFilter } from "../idFilter.ts";
import { patternsOverlap } from "../../topics/patterns.ts";
import type { CheckContext } from "./context.ts";
import { idSetsOverlap } from "./routes.ts";
import type { CheckedRoute } from "./routes.ts";
import type { TopicInfo } from "./topics.ts";

/** Each is compared with each; a configuration of a whole robot has about a hundred. */
const stepsMax = 2000;

/** One end of something that passes samples on. */
type End = { kind: "topic"; pattern: string } | { kind: "frames"; bus: string; ids: readonly IdFilter[] } | { kind: "mqtt"; via: string; pattern: string };
interface Step { words: string; reads: End; writes: End; path: Path }

export function checkLoops(context: CheckContext, routes: readonly CheckedRoute[], topics: ReadonlyMap<string, TopicInfo>): void {
  const steps = [...routeSteps(routes), ...mqttSteps(context)];
  if (steps.length > stepsMax) {
    context.fault("tooMuch", ["routes"], `there are ${steps.length} routes, mirrored patterns and MQTT inputs`, { expected: `at most ${stepsMax}: more cannot be checked for loops` });
    return;
  }
  const next = steps.map((step) => steps.flatMap((other, index) => (leadsTo(step.writes, other.reads, topics) ? [index] : [])));
  for (const cycle of cyclesOf(next)) {
    const members = cycle.map((index) => steps[index]!);
    // Reported at the last of them in the file: the one that closed the loop.
    const at = members.map((step) => ({ step, place: context.loaded.locate(step.path) })).sort((a, b) => a.place.line - b.place.line || a.place.column - b.place.column).at(-1)!.step;
    context.fault("loop", at.path, `a loop: ${members.map((step) => step.words).join("; ")}; and so on for ever`, { expected: "routes that do not lead back to their source" });
  }
}

function routeSteps(routes: readonly CheckedRoute[]): Step[] {
  const end = (topic: string, ids: readonly IdFilter[]): End => {
    const bus = /^can\/([^/]+)\/raw$/.exec(topic)?.[1];
    return bus === undefined ? { kind: "topic", pattern: topic } : { kind: "frames", bus, ids };
  };
  return routes.map(({ from, to, ids, path }) => ({ words: `${from} → ${to}`, reads: end(from, ids), writes: end(to, ids), path }));
}

function mqttSteps(context: CheckContext): Step[] {
  const { mqtt, robot } = context.config;
  const mirrors = context.items(mqtt.publish, ["mqtt", "publish"]).flatMap(([mirror, at]) => context.items(mirror.topics, [...at, "topics"]).map(([pattern, path]): Step => {
    const topic = `ipcnet/${robot}/${pattern}`;
    return { words: `${pattern} → MQTT ${mirror.via} ${topic}`, reads: { kind: "topic", pattern }, writes: { kind: "mqtt", via: mirror.via, pattern: topic }, path };
  }));
  const inputs = context.items(mqtt.inputs, ["mqtt", "inputs"]).map(([input, path]): Step => {
    const topic = `mqtt/${input.via}/${input.name}`;
    return { words: `MQTT ${input.via} ${input.topic} → ${topic}`, reads: { kind: "mqtt", via: input.via, pattern: input.topic }, writes: { kind: "topic", pattern: topic }, path };
  });
  return [...mirrors, ...inputs];
}

function leadsTo(written: End, read: End, topics: ReadonlyMap<string, TopicInfo>): boolean {
  if (written.kind === "mqtt" || read.kind === "mqtt") {
    return written.kind === "mqtt" && read.kind === "mqtt" && written.via === read.via && patternsOverlap(written.pattern, read.pattern);
  }
  if (written.kind === "frames") {
    if (read.kind === "frames") return written.bus === read.bus && idSetsOverlap(written.ids, read.ids);
    return readsFrames(read.pattern, topics, ({ bus, canId, extended }) => bus === written.bus && written.ids.some((filter) => idMatches(filter, canId, extended))) || patternsOverlap(read.pattern, `can/${written.bus}/raw`);
  }
  const command = topics.get(written.pattern)?.frame;
  const asMessage = command ? `can/${command.bus}/${written.pattern.split("/").at(-1)}` : undefined;
  if (read.kind === "frames") return command !== undefined && command.bus === read.bus && read.ids.some((filter) => idMatches(filter, command.canId, command.extended));
  return patternsOverlap(written.pattern, read.pattern) || (asMessage !== undefined && patternsOverlap(asMessage, read.pattern));
}

function readsFrames(pattern: string, topics: ReadonlyMap<string, TopicInfo>, fits: (frame: NonNullable<TopicInfo["frame"]>) => boolean): boolean {
  for (const [topic, { kind, frame }] of topics) if (kind === "message" && frame && fits(frame) && patternsOverlap(pattern, topic)) return true;
  return false;
}

/** One shortest cycle through each strongly connected part of a graph, found by breadth-first search; cycles that share a node are reported once. */
function cyclesOf(next: readonly (readonly number[])[]): number[][] {
  const reported = new Set<number>();
  const cycles: number[][] = [];
  for (let start = 0; start < next.length; start++) {
    if (reported.has(start)) continue;
    const cycle = shortestCycle(next, start, reported);
    if (!cycle) continue;
    cycles.push(cycle);
    for (const index of cycle) reported.add(index);
  }
  return cycles;
}

function shortestCycle(next: readonly (readonly number[])[], start: number, skip: ReadonlySet<number>): number[] | undefined {
  const cameFrom = new Map<number, number>();
  const queue = [start];
  for (let at = 0; at < queue.length; at++) {
    const node = queue[at]!;
    for (const neighbour of next[node]!) {
      if (neighbour === start) {
        const cycle = [node];
        for (let back = node; back !== start; ) {
          back = cameFrom.get(back)!;
          cycle.unshift(back);
        }
        return cycle;
      }
      if (skip.has(neighbour) || cameFrom.has(neighbour)) continue;
      cameFrom.set(neighbour, node);
      queue.push(neighbour);
    }
  }
  return undefined;
}
