/** What a plan names of its configuration: messages that may be sent, signals that are measured, nodes, commands and buses of its triggers. */
import type { CheckContext } from "../check/context.ts";
import { checkCondition, checkSends } from "../check/commands.ts";
import type { BusMessages } from "../check/databases.ts";
import { isReflexBus } from "../check/redundancy.ts";
import type { TopicInfo } from "../check/topics.ts";
import type { Path } from "../fault.ts";
import { canHold } from "./condition.ts";
import type { PlanCondition, PlanFile, PlanSend, Step, Trigger } from "../plan.ts";

export interface PlanGround {
  messages: BusMessages;
  topics: ReadonlyMap<string, TopicInfo>;
}

export function checkSurroundings(context: CheckContext, file: PlanFile, ground: PlanGround): void {
  for (const [plan, path] of context.items(file.plans, ["plans"])) {
    for (const [step, at] of context.items(plan.steps, [...path, "steps"])) checkStep(context, step, at, ground);
    checkFrames(context, plan.lastRung, [...path, "lastRung"], ground);
  }
  for (const [trigger, path] of context.items(file.triggers, ["triggers"])) checkSubject(context, trigger, path, ground);
}

function checkStep(context: CheckContext, step: Step, path: Path, ground: PlanGround): void {
  checkFrames(context, step.send, [...path, "send"], ground);
  for (const [send, at] of context.items(step.send, [...path, "send"])) {
    if (!("mqtt" in send)) continue;
    const links = [...(context.config.mqtt.broker ? [context.config.mqtt.broker.name] : []), ...context.config.mqtt.clients.map(({ name }) => name)];
    if (!links.includes(send.mqtt)) context.unknown("unknownLink", [...at, "mqtt"], { what: "broker or connection", name: send.mqtt, known: links });
  }
  for (const [condition, at] of context.items(step.until, [...path, "until"])) checkMeasured(context, condition, at, ground);
}

/** Messages on CAN and serial lines, by the rules of the configuration; on buses that whoever runs the plan can send on. */
function checkFrames(context: CheckContext, sends: readonly PlanSend[], path: Path, { messages }: PlanGround): void {
  const items = context.items(sends, path);
  for (const [send, at] of items) {
    const bus = "bus" in send ? context.config.buses.find(({ name }) => name === send.bus) : undefined;
    if (bus && context.config.redundancy.reflex !== "none" && !isReflexBus(bus)) context.fault("notThroughReflex", [...at, "bus"], `${bus.name} is reached by ${bus.driver}, which the reflex does not have`, { expected: "a bus with driver socketcan or emulator" });
  }
  checkSends(context, items.flatMap(([send, at]) => ("mqtt" in send ? [] : [[send, at] as const])), messages);
}

/** Conditions of the safe pose of a configuration whose plan is run from a table of raw values. */
export function checkPoseConditions(context: CheckContext, ground: PlanGround): void {
  for (const [step, path] of context.items(context.config.safePose.steps, ["safePose", "steps"])) {
    for (const [condition, at] of context.items(step.until, [...path, "until"])) checkRaw(context, condition, at, ground);
  }
}

function checkMeasured(context: CheckContext, condition: PlanCondition, path: Path, ground: PlanGround): void {
  const before = context.faults.length;
  checkCondition(context, condition, path, ground.topics);
  if (context.faults.length === before) checkRaw(context, condition, path, ground);
}

/** A value that the executor can compare: in every frame, no longer than 64 bits, with a raw value between the limits. */
function checkRaw(context: CheckContext, condition: PlanCondition, path: Path, { messages, topics }: PlanGround): void {
  const info = topics.get(condition.topic);
  if (info?.kind !== "message" || !info.frame) return;
  const signal = messages.of(info.frame.bus).get(condition.topic.split("/").slice(2).join("/"))?.message.signals.find(({ name }) => name === condition.signal);
  if (!signal) return;
  if (signal.multiplexing) context.fault("notMeasured", [...path, "signal"], `${condition.signal} is not in every frame: ${signal.multiplexing.multiplexor} selects it`, { expected: "a signal that each frame has" });
  else if (signal.lengthBits > 64) context.fault("notMeasured", [...path, "signal"], `${condition.signal} has ${signal.lengthBits} bits`, { expected: "a signal of at most 64 bits" });
  else if (!canHold(condition, signal)) {
    context.fault("neverTrue", path, `no value of ${condition.signal} is within these limits: its steps are ${signal.factor}${signal.unit === "" ? "" : ` ${signal.unit}`}`, { expected: "limits with at least one step between them" });
  }
}

function checkSubject(context: CheckContext, { when, node, command, bus }: Trigger, path: Path, ground: PlanGround): void {
  const { config } = context;
  if (when) {
    checkMeasured(context, when, [...path, "when"], ground);
    const info = ground.topics.get(when.topic);
    const hears = info?.kind === "message" && config.buses.some((each) => each.name === info.frame?.bus && (config.redundancy.reflex === "none" || isReflexBus(each)));
    if (info && !hears) context.fault("needsBrain", [...path, "when", "topic"], "a trigger must work without a gateway: it looks at CAN only", { expected: "a topic can/<bus>/<Message>" });
  }
  if (node !== undefined) {
    const found = config.nodes.find(({ name }) => name === node);
    if (!found) context.unknown("unknownNode", [...path, "node"], { what: "node", name: node, known: config.nodes.map(({ name }) => name) });
    else if (!found.required) context.warning("noEffect", [...path, "node"], `${node} is not required: losing it starts nothing`, { hint: "required: true on the node" });
  }
  if (command !== undefined) {
    const commands = config.commands.flatMap((each) => ("bus" in each ? [`cmd/${each.bus}/${each.message}`] : []));
    if (!commands.includes(command)) context.unknown("unknownCommand", [...path, "command"], { what: "command", name: command, where: " on a bus", known: commands });
  }
  if (bus !== undefined && !config.buses.some(({ name }) => name === bus)) context.unknown("unknownBus", [...path, "bus"], { what: "bus", name: bus, known: config.buses.map(({ name }) => name) });
}
