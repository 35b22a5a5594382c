/** From an accepted configuration to the reflex's table; what the table cannot express becomes faults with their places, as `ipcnet config check` shows them. */
import { resolve } from "node:path";
import { compilePlansOf } from "../../../failsafe/shutdown/compile.ts";
import type { CompiledPlanSet } from "../../../failsafe/shutdown/compiled.ts";
import { compileTable, type CompiledTable, type ReflexBusInput, type ReflexCommandInput, type ReflexMessage, type ReflexNodeInput, type ReflexTableInput, type TableFault } from "../../../failsafe/reflex/table/compile.ts";
import { serviceRows, type CaredNode } from "../../../failsafe/reflex/table/service.ts";
import { compileMessage } from "../../../schemas/dbc/index.ts";
import { checkedMessage, type BusMessage } from "../../../schemas/messages/check/databases.ts";
import { isReflexBus } from "../../../schemas/messages/check/redundancy.ts";
import type { CheckedParts } from "../../../schemas/messages/checkConfig.ts";
import type { Bus, Config } from "../../../schemas/messages/config.ts";
import type { Location } from "../../../schemas/messages/loadConfig.ts";
import { pathText, type Fault, type Path } from "../../../schemas/messages/fault.ts";
import { dataBit, frameBitsMax, messageBitsMax } from "../../commands/budget.ts";
import { sendableOf, type Sendable } from "../sendable.ts";

export type ReflexTable = { ok: true; table: CompiledTable; plans: CompiledPlanSet } | { ok: false; faults: Fault[] };

/** Undefined: the configuration has no reflex. `generation` rises with each table that is made. */
export function compileReflexTable({ config, parts, file, generation }: { config: Config; parts: CheckedParts; file: string; generation: number }): ReflexTable | undefined {
  if (config.redundancy.reflex === "none") return undefined;
  const plans = compilePlansOf(config, parts.plan?.plan, { messages: parts.messages, topics: parts.topics, hearsBus: (name) => config.buses.some((bus) => bus.name === name && isReflexBus(bus)) });
  const compiled = compileTable(tableInput(config, parts, plans, generation));
  return compiled.ok ? { ok: true, table: compiled, plans } : { ok: false, faults: compiled.faults.map((fault) => asFault(fault, config, file, (path) => parts.locate(path))) };
}

function tableInput(config: Config, { messages }: CheckedParts, plans: CompiledPlanSet, generation: number): ReflexTableInput {
  const { resumeArmed, drills, brainTimeoutMs, beatPeriodMs, twinDeadlineMs } = config.redundancy;
  const buses = config.buses.filter(isReflexBus);
  const commands = buses.flatMap((bus) => commandsOf(config, bus, plans).map((sendable) => command(bus, messages.of(bus.name).get(sendable.message)!, sendable)));
  const commanded = new Set(commands.map(({ bus, message }) => `${bus}/${message.name}`));
  return {
    generation, resumeArmed, drills, brainTimeoutMs, beatPeriodMs, twinDeadlineMs, commands, plans, services: serviceRows(caredNodes(config, buses), (lengthBytes) => frameBitsMax(lengthBytes, false)), buses: buses.map(busInput), powerFail: config.safePose.powerFail,
    measured: buses.flatMap(({ name }) => [...messages.of(name).values()].filter(({ message }) => !commanded.has(`${name}/${message.name}`)).flatMap((entry) => protectedMessage(name, entry) ?? [])),
    nodes: config.nodes.flatMap((node): ReflexNodeInput[] => {
      const { name, link, heartbeat, timeoutMs, required } = node;
      return "topic" in heartbeat || !buses.some((bus) => bus.name === link) ? [] : [{ name, bus: link, heartbeat, timeoutMs, required }];
    }),
  };
}

/** Nodes that are asked who they are, or given firmware. */
function caredNodes({ nodes }: Config, buses: readonly Bus[]): CaredNode[] {
  return nodes.flatMap(({ name, link, heartbeat, identity, update }) =>
    ("canopen" in heartbeat && (identity !== undefined || update) && buses.some((bus) => bus.name === link) ? [{ name, bus: link, number: heartbeat.canopen, update }] : []));
}

/** What is listed, and what only the plans send. */
function commandsOf(config: Config, bus: Bus, plans: CompiledPlanSet): Sendable[] {
  const listed = sendableOf(config, "bus", bus.name);
  const names = new Set(listed.map(({ message }) => message));
  const sent = plans.plans.flatMap(({ steps, lastRung }) => [...steps.flatMap(({ sends }) => sends), ...lastRung]).filter((send) => send.bus === bus.name);
  const extra = [...new Set(sent.map(({ message }) => message))].filter((message) => !names.has(message));
  return [...listed, ...extra.map((message) => ({ message, ttlMsMax: 1_000, rateHzMax: 1_000, poseOnly: true }))];
}

function busInput(bus: Bus): ReflexBusInput {
  const { name, driver, interface: opened, bitrateBps, dataBitrateBps, fd, listenOnly, txQueueFrames, deadAfterMs, busLoadMaxPercent, claimId, host, selfFenceMs, time } = bus;
  // A socket's path counts from where the gateway was started; the reflex was started elsewhere.
  return { name, driver: driver === "emulator" ? "emulator" : "socketcan", interface: driver === "emulator" ? resolve(opened) : opened, bitrateBps, dataBitrateBps, fd, listenOnly, txQueueFrames, deadAfterMs, busLoadMaxPercent, claimId, host, selfFenceMs, time };
}

/** A message with its protection; undefined: protected in a way that the reflex does not know (checksums of vendors), or by nothing that anybody vouched for. */
function protectedMessage(bus: string, { message, checks }: BusMessage): ReflexMessage | undefined {
  const protection = checks?.protectionOf(checkedMessage(message));
  if (!protection || protection.kind === "vendor") return undefined;
  const has = (name: string | undefined): string | undefined => (message.signals.some((signal) => signal.name === name) ? name : undefined);
  return { bus, message, lengthBytes: compileMessage(message).wireLengthBytes, e2e: protection.kind === "e2e" ? protection.config : undefined, epoch: has(checks?.claims.epoch), owner: has(checks?.claims.owner), group: [...(checks?.claims.groups ?? [])].find(([, names]) => names.includes(message.name))?.[0] };
}

function command(bus: Config["buses"][number], entry: BusMessage, { ttlMsMax, rateHzMax, poseOnly }: Sendable): ReflexCommandInput {
  const { message, managed, managedBits } = entry;
  const known = protectedMessage(bus.name, entry);
  const lengthBytes = compileMessage(message).wireLengthBytes;
  return {
    ...(known ?? { bus: bus.name, message, lengthBytes, e2e: undefined, epoch: undefined, owner: undefined }), unprotected: known?.e2e === undefined,
    filledIn: managed, filledBits: managedBits, ttlMsMax, rateHzMax, poseOnly, bits: messageBitsMax(message, lengthBytes, dataBit(bus)),
  };
}

function asFault({ about, text, hint }: TableFault, config: Config, file: string, locate: (path: Path) => Location): Fault {
  const path = placeOf(about, config);
  return { code: "notForReflex", severity: "error", file, ...locate(path), path: pathText(path), message: text, expected: "what the reflex's table can express (docs/specs/configuration.md, Redundancy)", hint: hint ?? "change it, or redundancy.reflex: none" };
}

function placeOf({ kind, name, key }: TableFault["about"], config: Config): Path {
  const at = (list: string, index: number, ...rest: string[]): Path => (index < 0 ? ["redundancy", "reflex"] : [list, index, ...rest]);
  switch (kind) {
    case "command": return at("commands", config.commands.findIndex((each) => "bus" in each && `${each.bus}/${each.message}` === name), "message");
    case "node": return at("nodes", config.nodes.findIndex((each) => each.name === name));
    case "bus": return at("buses", config.buses.findIndex((each) => each.name === name), ...(key === undefined ? [] : [key]));
    case "plan": return config.safePose.plan === undefined ? ["safePose", "steps"] : ["safePose", "plan"];
    case "table": return ["redundancy", "reflex"];
    default: return kind satisfies never;
  }
}
