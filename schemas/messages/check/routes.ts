/** Routes: their ends exist, their conditions and renames fit, and none leads back to where it came from. */
import { compileExpression } from "../../expression/index.ts";
import type { Route } from "../config.ts";
import type { Path } from "../fault.ts";
import { filtersOverlap, idMatches, parseIdFilter } from "../idFilter.ts";
import type { IdFilter } from "../idFilter.ts";
import type { CheckContext } from "./context.ts";
import { uniqueness } from "./names.ts";
import { isReserved } from "./topics.ts";
import { fieldTypes, type Fields } from "./fields.ts";
import type { TopicInfo } from "./topics.ts";

/** A route with its ids read and its target in the form that commands use. */
export interface CheckedRoute {
  from: string;
  to: string;
  ids: readonly IdFilter[];
  path: Path;
}

const rawTopic = /^can\/([^/]+)\/raw$/;

/** Checks each route; adds the topics that routes make to `topics`. */
export function checkRoutes(context: CheckContext, topics: Map<string, TopicInfo>): CheckedRoute[] {
  const checked: CheckedRoute[] = [];
  const unique = uniqueness(context, "a route between these topics");
  let waiting = context.items(context.config.routes, ["routes"]);
  // A route may start where another one ends, whatever their order in the file.
  while (waiting.length > 0) {
    const known = waiting.filter(([route]) => topics.has(route.from) || rawTopic.test(route.from));
    const now = known.length > 0 ? known : waiting;
    for (const [route, path] of now) {
      unique(`${route.from} → ${route.to}`, [...path, "to"]);
      checked.push(checkRoute(context, route, path, topics));
    }
    waiting = waiting.filter((entry) => !now.includes(entry));
  }
  return checked;
}

function checkRoute(context: CheckContext, route: Route, path: Path, topics: Map<string, TopicInfo>): CheckedRoute {
  const to = commandForm(route.to);
  const ids = readIds(context, route, path);
  const checked = { from: route.from, to, ids, path };
  if (rawTopic.test(route.from) || rawTopic.test(to)) {
    checkRawRoute(context, route, path, ids, topics);
    return checked;
  }
  if (route.ids) context.fault("idsOnlyForRaw", [...path, "ids"], "ids select raw frames", { expected: "a route from can/<bus>/raw to can/<bus>/raw", part: "key" });
  const source = topics.get(route.from);
  if (!source) reportUnknownTopic(context, [...path, "from"], route.from, topics);
  else if (source.kind === "command") context.fault("notMeasured", [...path, "from"], `"${route.from}" is written, not read`, { expected: "a topic that has samples" });
  const fields = source?.fields ?? "unknown";
  checkWhen(context, route, path, fields);
  const renamed = checkRename(context, route, path, fields);
  checkTarget(context, { route, to, path, topics, renamed });
  return checked;
}

/** serial/<port>/<message> as a target is the command cmd/<port>/<message>. */
function commandForm(topic: string): string {
  return topic.startsWith("serial/") ? `cmd/${topic.slice("serial/".length)}` : topic;
}

function readIds(context: CheckContext, route: Route, path: Path): IdFilter[] {
  const filters: IdFilter[] = [];
  for (const [text, at] of context.items(route.ids, [...path, "ids"])) {
    const filter = parseIdFilter(text);
    if ("fault" in filter) context.fault("badIds", at, filter.fault, { expected: "11-bit ids up to 0x7FF, or 29-bit ones with x at the end", hint: filter.hint });
    else filters.push(filter);
  }
  return filters;
}

export function reportUnknownTopic(context: CheckContext, path: Path, topic: string, topics: ReadonlyMap<string, TopicInfo>): void {
  const [first = "", link = ""] = topic.split("/");
  if (context.uncertainBuses.has(link) && (first === "can" || first === "cmd")) return;
  const lists = { can: ["buses"], serial: ["serial"], mqtt: ["mqtt", "mqtt.inputs"], cmd: ["commands", "buses", "serial"] }[first] ?? ["topics", "routes"];
  if (first === "can" && context.config.buses.some((bus) => bus.name === link && !bus.publishRaw) && rawTopic.test(topic)) {
    context.fault("rawNotPublished", path, `"${topic}" is not published`, { expected: `publishRaw: true on the bus ${link}` });
    return;
  }
  context.unknown("unknownTopic", path, { what: "topic", name: topic, known: topics.keys(), lists });
}

function checkRawRoute(context: CheckContext, route: Route, path: Path, ids: readonly IdFilter[], topics: ReadonlyMap<string, TopicInfo>): void {
  const source = rawTopic.exec(route.from)?.[1];
  const target = rawTopic.exec(route.to)?.[1];
  if (source === undefined || target === undefined) {
    const key = source === undefined ? "from" : "to";
    context.fault("rawOnlyToRaw", [...path, key], `"${route[key]}" does not carry raw frames`, { expected: "can/<bus>/raw at both ends" });
    return;
  }
  const buses = context.config.buses.map((bus) => bus.name);
  if (!buses.includes(source)) context.unknown("unknownBus", [...path, "from"], { what: "bus", name: source, known: buses, lists: ["buses"] });
  if (!buses.includes(target)) context.unknown("unknownBus", [...path, "to"], { what: "bus", name: target, known: buses, lists: ["buses"] });
  if (!route.ids) context.fault("idsNeeded", path, "a route of raw frames without ids would let everything through", { expected: 'the key ids, such as ids: ["0x100-0x1FF"]' });
  if (route.when !== undefined) context.fault("notForRaw", [...path, "when"], "raw frames have no signals", { expected: "ids, or a route of a decoded message", part: "key" });
  if (Object.keys(route.rename).length > 0) context.fault("notForRaw", [...path, "rename"], "raw frames have no signals", { expected: "a route of a decoded message", part: "key" });
  if (context.config.buses.some((bus) => bus.name === target && bus.listenOnly)) context.fault("listenOnlyBus", [...path, "to"], `the bus ${target} only listens`, { expected: `listenOnly: false on the bus ${target}` });
  for (const [topic, { frame, kind }] of topics) {
    if (kind !== "command" || frame?.bus !== target || !ids.some((filter) => idMatches(filter, frame.canId, frame.extended))) continue;
    context.fault("bypassesCommands", [...path, "ids"], `these ids include 0x${frame.canId.toString(16).toUpperCase()} of ${topic}: raw frames would pass by arming, range and rate`, { expected: "ids without those of commands" });
  }
}

function checkWhen(context: CheckContext, route: Route, path: Path, fields: Fields): void {
  if (route.when === undefined) return;
  const { faults } = compileExpression(route.when, fieldTypes(fields));
  for (const fault of faults) {
    context.fault("badExpression", [...path, "when"], `${fault.message} (${fault.code})`, { hint: fault.hint, within: { from: fault.from, to: fault.to, text: route.when } });
  }
  if (faults.length === 0 && fields === "unknown") {
    context.note("whenUnchecked", [...path, "when"], `whether "${route.from}" has the signals of this condition: it has no schema that says what it holds`);
  }
}

/** The fields that arrive at the target. */
function checkRename(context: CheckContext, route: Route, path: Path, fields: Fields): Fields {
  const targets = new Map<string, string>();
  for (const [from, to] of Object.entries(route.rename)) {
    const at: Path = [...path, "rename", from];
    if (fields !== "unknown" && !fields.has(from)) context.unknown("unknownSignal", at, { what: "signal", name: from, where: ` in ${route.from}`, known: fields.keys() });
    const before = targets.get(to);
    if (before === undefined) targets.set(to, from);
    else context.fault("duplicateName", at, `"${before}" is renamed to "${to}" already`, { expected: "a target name of its own" });
  }
  if (fields === "unknown") return "unknown";
  const arriving = new Map([...fields].map(([name, info]) => [Object.hasOwn(route.rename, name) ? route.rename[name]! : name, info]));
  if (arriving.size < fields.size) {
    const taken = Object.entries(route.rename).find(([from, to]) => fields.has(to) && !Object.hasOwn(route.rename, to) && fields.has(from));
    if (taken) context.fault("duplicateName", [...path, "rename", taken[0]], `the source has a signal "${taken[1]}" already`, { expected: "a target name of its own, or rename that one, too" });
  }
  return arriving;
}

interface TargetCheck {
  route: Route;
  to: string;
  path: Path;
  topics: Map<string, TopicInfo>;
  renamed: Fields;
}

function checkTarget(context: CheckContext, { route, to, path, topics, renamed }: TargetCheck): void {
  const at: Path = [...path, "to"];
  const target = topics.get(to);
  if (to.startsWith("cmd/")) {
    if (target) checkFit(context, route, path, target, renamed);
    else if (!context.loaded.isIncomplete("commands") && !context.uncertainBuses.has(to.split("/")[1] ?? "")) {
      const commands = [...topics].filter(([, { kind }]) => kind === "command").map(([name]) => name);
      context.fault("notACommand", at, `"${route.to}" is not listed under commands: nothing may send it`, { expected: commands.length === 0 ? "an entry under commands" : `one of ${commands.slice(0, 16).join(", ")}, or an entry of its own under commands` });
    }
    return;
  }
  if (isReserved(to)) {
    const message = /^can\/([^/]+)\/([^/]+)$/.exec(to);
    const hint = message ? `to send it: cmd/${message[1]}/${message[2]}` : to.startsWith("mqtt/") ? "to mirror a topic to MQTT: mqtt.publish" : "";
    context.fault("notWritable", at, `"${to}" is not written by routes`, { expected: "cmd/…, can/<bus>/raw, or an application topic", hint });
    return;
  }
  if (target) checkFit(context, route, path, target, renamed);
  else topics.set(to, { kind: "derived", fields: renamed });
}

/** Everything the target needs arrives, in types and ranges it can take. What it does not know is left out on the way. */
function checkFit(context: CheckContext, route: Route, path: Path, target: TopicInfo, arriving: Fields): void {
  if (arriving === "unknown" || target.fields === "unknown") return;
  const missing = [...(target.needed ?? [])].filter((name) => !arriving.has(name));
  if (missing.length > 0) {
    context.fault("signalMissing", [...path, "to"], `"${route.to}" needs ${missing.slice(0, 8).join(", ")}, which "${route.from}" does not have`, { expected: "rename: { source: target } for each of them" });
  }
  for (const [name, info] of arriving) {
    const wanted = target.fields.get(name);
    if (!wanted) continue;
    if (info.type.kind !== wanted.type.kind && info.type.kind !== "any" && wanted.type.kind !== "any") {
      context.fault("wrongSignalType", [...path, "to"], `the signal "${name}" arrives as ${info.type.kind}, and "${route.to}" takes a ${wanted.type.kind}`);
    } else if ((info.minimum ?? -Infinity) < (wanted.minimum ?? -Infinity) || (info.maximum ?? Infinity) > (wanted.maximum ?? Infinity)) {
      context.warning("rangeWider", [...path, "to"], `"${name}" of "${route.from}" reaches beyond what "${route.to}" takes (${wanted.minimum ?? "−∞"} to ${wanted.maximum ?? "∞"}): such samples are refused, not clamped`);
    }
  }
}

export function idSetsOverlap(a: readonly IdFilter[], b: readonly IdFilter[]): boolean {
  return a.some((one) => b.some((other) => filtersOverlap(one, other)));
}
