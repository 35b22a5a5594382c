/** Commands, watched nodes and the safe pose name messages that exist, may be sent, and take the values given. */
import { compileMessage } from "../../dbc/codec.ts";
import type { Bus, Node, PlanCondition, PlanSend, SerialMessage } from "../config.ts";
import type { Path } from "../fault.ts";
import { nearest } from "../../nearest.ts";
import type { CheckContext } from "./context.ts";
import { checkSendable } from "./databases.ts";
import type { BusMessage, BusMessages } from "./databases.ts";
import { longestFrameBits } from "./links.ts";
import { linkLists } from "./names.ts";
import type { Link } from "./names.ts";
import { reportUnknownTopic } from "./routes.ts";
import { serialFields, type FieldInfo } from "./fields.ts";
import type { TopicInfo } from "./topics.ts";

export function checkCommands(context: CheckContext, messages: BusMessages): void {
  for (const [command, path] of context.items(context.config.commands, ["commands"])) {
    if ("bus" in command) {
      const found = busMessage(context, messages, command, path);
      if (found && messages.firstUse(command.bus, command.message)) checkSendable(context, found.entry, found.bus, [...path, "message"]);
    } else serialMessage(context, command, path);
  }
  checkBudget(context, messages);
  const moves = context.config.commands.length > 0;
  if (moves && context.config.safePose.steps.length === 0 && context.config.safePose.plan === undefined && !context.loaded.isIncomplete("safePose") && !context.loaded.isIncomplete("safePose.steps")) {
    context.warning("noSafePose", ["commands"], "something can be moved, but no safe pose says how it is brought to rest", { part: "key", hint: "add safePose.steps" });
  }
}

/** The commands at their highest rates fit into what each bus may be loaded with. */
function checkBudget(context: CheckContext, messages: BusMessages): void {
  for (const [bus, path] of context.items(context.config.buses, ["buses"])) {
    if (bus.bitrateBps === undefined) {
      if (context.config.commands.some((command) => "bus" in command && command.bus === bus.name)) context.note("loadUnknown", path, `whether commands overload ${bus.name}: its bit rate is not given`);
      continue;
    }
    let [rateHz, rateBps] = [0, 0];
    for (const command of context.config.commands) {
      if (!("bus" in command) || command.bus !== bus.name) continue;
      rateHz += command.rateHzMax;
      rateBps += command.rateHzMax * longestFrameBits(bus, messages.of(bus.name).get(command.message)?.message ?? { fd: false, bitRateSwitch: false });
    }
    const percent = (rateBps * 100) / bus.bitrateBps;
    if (percent > bus.busLoadMaxPercent) {
      context.warning("overBudget", [...path, "busLoadMaxPercent"], `the commands at their highest rates (${rateHz} Hz) may load ${bus.name} with ${percent.toFixed(0)} %, above ${bus.busLoadMaxPercent} %: some will be refused`, { hint: "lower rateHzMax of the commands" });
    }
  }
}

function busMessage(context: CheckContext, messages: BusMessages, { bus: name, message }: { bus: string; message: string }, path: Path): { bus: Bus; entry: BusMessage } | undefined {
  const bus = context.config.buses.find((one) => one.name === name);
  if (!bus) {
    context.unknown("unknownBus", [...path, "bus"], { what: "bus", name, known: context.config.buses.map((one) => one.name), lists: ["buses"] });
    return undefined;
  }
  const entry = messages.of(name).get(message);
  if (!entry && !context.uncertainBuses.has(name)) context.unknown("unknownMessage", [...path, "message"], { what: "message", name: message, where: ` on the bus ${name}`, known: messages.of(name).keys() });
  return entry && { bus, entry };
}

function serialMessage(context: CheckContext, { serial, message }: { serial: string; message: string }, path: Path): SerialMessage | undefined {
  const index = context.config.serial.findIndex((one) => one.name === serial);
  const port = context.config.serial[index];
  if (!port) {
    context.unknown("unknownSerial", [...path, "serial"], { what: "serial link", name: serial, known: context.config.serial.map((one) => one.name), lists: ["serial"] });
    return undefined;
  }
  const found = port.messages.find((one) => one.name === message);
  if (!found) {
    const [, at] = context.items(context.config.serial, ["serial"])[index]!;
    if (!context.loaded.isIncomplete(`serial[${at[1]}].messages`)) context.unknown("unknownMessage", [...path, "message"], { what: "message", name: message, where: ` on ${serial}`, known: port.messages.map((one) => one.name) });
    return undefined;
  }
  if (found.direction === "out") return found;
  context.fault("wrongDirection", [...path, "message"], `${message} comes from the device (direction: in)`, { expected: "a message with direction: out" });
  return undefined;
}

export function checkNodes(context: CheckContext, { links, messages, topics }: { links: ReadonlyMap<string, Link>; messages: BusMessages; topics: ReadonlyMap<string, TopicInfo> }): void {
  const canopen = new Map<string, string>();
  for (const [node, path] of context.items(context.config.nodes, ["nodes"])) {
    const link = links.get(node.link);
    if (!link) context.unknown("unknownLink", [...path, "link"], { what: "link", name: node.link, known: links.keys(), lists: linkLists });
    else checkHeartbeat(context, { node, link, path, messages, topics, canopen });
  }
}

interface HeartbeatCheck {
  node: Node;
  link: Link;
  path: Path;
  messages: BusMessages;
  topics: ReadonlyMap<string, TopicInfo>;
  canopen: Map<string, string>;
}

function checkHeartbeat(context: CheckContext, { node, link, path, messages, topics, canopen }: HeartbeatCheck): void {
  const at: Path = [...path, "heartbeat"];
  const { heartbeat } = node;
  if ("topic" in heartbeat) {
    const topic = topics.get(heartbeat.topic);
    if (!topic) reportUnknownTopic(context, [...at, "topic"], heartbeat.topic, topics);
    else if (topic.kind === "command") context.fault("notMeasured", [...at, "topic"], `"${heartbeat.topic}" is written, not read`, { expected: "a topic that has samples" });
    return;
  }
  if ("canopen" in heartbeat) {
    if (link.kind !== "can") context.fault("notABus", [...at, "canopen"], `${node.link} is no CAN bus`, { expected: "a node on a bus, or heartbeat: { topic: … }" });
    const key = `${node.link} ${heartbeat.canopen}`;
    const other = canopen.get(key);
    if (other !== undefined) context.fault("duplicateName", [...at, "canopen"], `node ${other} on the same bus has the number ${heartbeat.canopen} already`, { expected: "a number of its own" });
    else canopen.set(key, node.name);
    return;
  }
  if (link.kind === "serial") {
    const port = context.config.serial.find((one) => one.name === node.link)!;
    const found = port.messages.find((one) => one.name === heartbeat.message);
    if (!found) context.unknown("unknownMessage", [...at, "message"], { what: "message", name: heartbeat.message, where: ` on ${node.link}`, known: port.messages.map((one) => one.name) });
    else if (found.direction !== "in") context.fault("wrongDirection", [...at, "message"], `${heartbeat.message} goes to the device (direction: out)`, { expected: "a message with direction: in" });
    return;
  }
  if (link.kind !== "can") {
    context.fault("notABus", [...at, "message"], `${node.link} has no messages`, { expected: "heartbeat: { topic: … }" });
    return;
  }
  const entry = messages.of(node.link).get(heartbeat.message);
  if (!entry) {
    if (!context.uncertainBuses.has(node.link)) context.unknown("unknownMessage", [...at, "message"], { what: "message", name: heartbeat.message, where: ` on the bus ${node.link}`, known: messages.of(node.link).keys() });
    return;
  }
  const { cycleTimeMs } = entry.message;
  // One late message must not look like a lost node.
  if (cycleTimeMs !== undefined && node.timeoutMs < 2 * cycleTimeMs) {
    context.warning("timeoutTooShort", [...path, "timeoutMs"], `${heartbeat.message} comes every ${cycleTimeMs} ms: one that is late would look like a lost node`, { hint: `timeoutMs: ${3 * cycleTimeMs}` });
  }
}

export function checkSafePose(context: CheckContext, messages: BusMessages, topics: ReadonlyMap<string, TopicInfo>): void {
  const { safePose } = context.config;
  let totalMs = 0;
  for (const [step, path] of context.items(safePose.steps, ["safePose", "steps"])) {
    totalMs += step.deadlineMs;
    checkSends(context, context.items(step.send, [...path, "send"]), messages);
    for (const [condition, at] of context.items(step.until, [...path, "until"])) {
      checkCondition(context, condition, at, topics);
      checkHold(context, condition, step.deadlineMs, at);
    }
  }
  if (totalMs > safePose.budgetMs) {
    context.fault("budgetTooShort", ["safePose", "budgetMs"], `the steps may take ${totalMs} ms in all, the budget is ${safePose.budgetMs}`, { expected: `at least ${totalMs}, or shorter deadlines` });
  }
}

/** The messages that one step sends, with their places. */
export function checkSends(context: CheckContext, sends: readonly (readonly [PlanSend, Path])[], messages: BusMessages): void {
  const sent = new Set<string>();
  for (const [send, at] of sends) {
    const name = "bus" in send ? `${send.bus}/${send.message}` : `${send.serial}/${send.message}`;
    if (sent.has(name)) context.fault("duplicateName", [...at, "message"], `${name} is sent twice in one step`, { expected: "each message once in a step" });
    sent.add(name);
    checkSend(context, send, at, messages);
  }
}

export function checkHold(context: CheckContext, { holdMs }: Pick<PlanCondition, "holdMs">, deadlineMs: number, path: Path): void {
  if (holdMs >= deadlineMs) context.fault("holdTooLong", [...path, "holdMs"], `it must hold for ${holdMs} ms, and the step ends after ${deadlineMs}`, { expected: "less than deadlineMs" });
}

function checkSend(context: CheckContext, send: PlanSend, path: Path, messages: BusMessages): void {
  if ("bus" in send) {
    const found = busMessage(context, messages, send, path);
    if (!found) return;
    if (messages.firstUse(send.bus, send.message)) checkSendable(context, found.entry, found.bus, [...path, "message"]);
    const before = context.faults.length;
    checkValues(context, { values: send.values, fields: found.entry.fields, managed: found.entry.managed, needed: alwaysPresent(found.entry), path: [...path, "values"], message: send.message });
    if (context.faults.length === before && found.entry.isProtected === true) checkEncodes(context, send.values, found.entry, [...path, "values"]);
    return;
  }
  const message = serialMessage(context, send, path);
  if (!message) return;
  const fields = serialFields(message);
  checkValues(context, { values: send.values, fields, managed: new Set(), needed: [...fields.keys()], path: [...path, "values"], message: send.message });
}

/** What the checks of single values cannot see: which multiplexed signals are there, what the bits can hold. The encoder that will be used decides. */
function checkEncodes(context: CheckContext, values: Readonly<Record<string, number | string>>, { message, managed }: BusMessage, path: Path): void {
  const filled = Object.fromEntries(message.signals.filter((signal) => managed.has(signal.name)).map((signal) => [signal.name, 0]));
  const result = compileMessage(message).encode({ ...filled, ...values });
  // What protection fills in is written over the encoded frame; 0 need not be in its range.
  if (result.ok || (result.signal !== undefined && managed.has(result.signal))) return;
  const given = result.signal !== undefined && Object.hasOwn(values, result.signal);
  context.fault("badValues", given ? [...path, result.signal!] : path, `${message.name}: ${result.text} (${result.code})`);
}

/** Signals in every frame of the message; which multiplexed ones are there depends on values, and which are filled in on the protection. */
function alwaysPresent({ message, managed, isProtected }: BusMessage): string[] {
  if (isProtected !== true) return [];
  return message.signals.filter((signal) => signal.multiplexing === undefined && !managed.has(signal.name)).map((signal) => signal.name);
}

interface ValueCheck {
  values: Readonly<Record<string, number | string>>;
  fields: ReadonlyMap<string, FieldInfo>;
  managed: ReadonlySet<string>;
  needed: readonly string[];
  path: Path;
  message: string;
}

function checkValues(context: CheckContext, { values, fields, managed, needed, path, message }: ValueCheck): void {
  for (const [name, value] of Object.entries(values)) {
    const field = fields.get(name);
    if (!field) context.unknown("unknownSignal", [...path, name], { what: "signal", name, where: ` in ${message}`, known: [...fields.keys()].filter((one) => !managed.has(one)) });
    else if (managed.has(name)) context.fault("managedSignal", [...path, name], `${name} is filled in by the message's protection`, { expected: "no value for it", part: "key" });
    else checkValue(context, field, value, [...path, name]);
  }
  // A misspelt signal was reported above; that the right one is missing goes without saying.
  const meant = new Set(Object.keys(values).filter((name) => !fields.has(name)).map((name) => nearest(name, needed)));
  const missing = needed.filter((name) => !Object.hasOwn(values, name) && !meant.has(name));
  if (missing.length > 0) context.fault("valueMissing", path, `${message} is sent without ${missing.slice(0, 8).join(", ")}`, { expected: "a value for each signal: nothing that moves something is guessed" });
}

/** A value fits a signal: a known name, or a number within its range. */
function checkValue(context: CheckContext, { type, minimum, maximum }: FieldInfo, value: number | string, path: Path): void {
  if (typeof value === "string") {
    const names: readonly string[] | undefined = type.kind === "number" ? type.names && [...type.names.keys()] : type.kind === "text" ? type.values : [];
    if (type.kind === "any" || (type.kind === "text" && !names)) return;
    if (!names || names.length === 0) context.fault("wrongType", path, `the signal has no value names, found "${value}"`, { expected: "a number" });
    else if (!names.includes(value)) context.unknown("unknownValue", path, { what: "value", name: value, known: names });
    return;
  }
  if (type.kind === "text" || type.kind === "boolean") context.fault("wrongType", path, `the signal holds no number, found ${value}`);
  else if (value < (minimum ?? -Infinity) || value > (maximum ?? Infinity)) {
    context.fault("outOfRange", path, `found the number ${value}`, { expected: `${minimum ?? "−∞"} to ${maximum ?? "∞"}` });
  }
}

export function checkCondition(context: CheckContext, condition: PlanCondition, path: Path, topics: ReadonlyMap<string, TopicInfo>): void {
  const { absMax, minimum, maximum, equals } = condition;
  if (absMax === undefined && minimum === undefined && maximum === undefined && equals === undefined) {
    context.fault("conditionEmpty", path, "this condition asks for nothing", { expected: "at least one of absMax, minimum, maximum, equals" });
  }
  if (minimum !== undefined && maximum !== undefined && minimum > maximum) context.fault("minAboveMax", [...path, "minimum"], `minimum (${minimum}) is above maximum (${maximum})`);
  const topic = topics.get(condition.topic);
  if (!topic) {
    reportUnknownTopic(context, [...path, "topic"], condition.topic, topics);
    return;
  }
  if (topic.kind === "command" || topic.kind === "raw") {
    context.fault("notMeasured", [...path, "topic"], `"${condition.topic}" is not measured`, { expected: "a topic with signals that come from a device" });
    return;
  }
  if (topic.fields === "unknown") {
    context.note("signalUnchecked", [...path, "signal"], `whether "${condition.topic}" has a signal ${condition.signal}: it has no schema that says what it holds`);
    return;
  }
  const field = topic.fields.get(condition.signal);
  if (!field) context.unknown("unknownSignal", [...path, "signal"], { what: "signal", name: condition.signal, where: ` in ${condition.topic}`, known: topic.fields.keys() });
  else if (equals !== undefined) checkValue(context, field, equals, [...path, "equals"]);
}
