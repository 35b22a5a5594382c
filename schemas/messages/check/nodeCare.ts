/** What the gateway says to nodes besides commands: who they are and new firmware by SDO, the time. The identifiers for that must be free, and the bus must be one on which it can be said. */
import type { BusMessages } from "./databases.ts";
import type { CheckContext } from "./context.ts";
import type { Bus, Node, SerialPort } from "../config.ts";
import type { Path } from "../fault.ts";

/** CiA 301. */
const NMT_ID = 0x000;
const SDO_ANSWER_BASE = 0x580;
const SDO_REQUEST_BASE = 0x600;
const HEARTBEAT_BASE = 0x700;
const PROBE_ID = 0x7ff;
const STANDARD_ID_MAX = 0x7ff;
const OWNERS = 4;

/** Drivers that say when a frame of ours was on the bus. */
const datingDrivers: readonly Bus["driver"][] = ["socketcan", "emulator"];

export function checkNodeCare(context: CheckContext, messages: BusMessages): void {
  const { config } = context;
  for (const [node, path] of context.items(config.nodes, ["nodes"])) {
    if (node.identity !== undefined) checkCare(context, { node, path: [...path, "identity"], messages, ids: [SDO_ANSWER_BASE, SDO_REQUEST_BASE] });
    const port = config.serial.find(({ name }) => name === node.link);
    if (node.update && port) checkSerialUpdate(context, { node, port, path: [...path, "update"] });
    else if (node.update) checkCare(context, { node, path: [...path, "update"], messages, ids: [SDO_ANSWER_BASE, SDO_REQUEST_BASE, NMT_ID] });
  }
  for (const [bus, path] of context.items(config.buses, ["buses"])) if (bus.time) checkTime(context, bus, [...path, "time"], messages);
}

function checkCare(context: CheckContext, { node, path, messages, ids }: { node: Node; path: Path; messages: BusMessages; ids: readonly number[] }): void {
  const { heartbeat, link } = node;
  if (!("canopen" in heartbeat)) {
    context.fault("keyNeeded", path, "only a CANopen node is asked who it is, and takes firmware over a bus", { expected: "heartbeat: { canopen: … } beside it", part: "key" });
    return;
  }
  const bus = context.config.buses.find(({ name }) => name === link);
  if (!bus) return;
  if (bus.listenOnly) context.fault("listenOnlyBus", path, `the bus ${bus.name} only listens`, { expected: `listenOnly: false on the bus ${bus.name}` });
  for (const id of ids) {
    const canId = id === NMT_ID ? id : id + heartbeat.canopen;
    const taken = [...messages.of(link).values()].find(({ message }) => !message.extended && message.canId === canId);
    if (taken) context.fault("duplicateName", path, `${taken.message.name} has the id ${hex(canId)}, by which the node is talked to`, { expected: "an id that no message has" });
  }
}

/** Over its line. It serves its update to the gateway, and to nobody who does not know whether the robot is disarmed. */
function checkSerialUpdate(context: CheckContext, { node, port, path }: { node: Node; port: SerialPort; path: Path }): void {
  // That the new firmware works is known by its messages.
  if (!("message" in node.heartbeat)) context.fault("keyNeeded", path, "a node at a serial line takes firmware if its messages say that it is there", { expected: "heartbeat: { message: … } beside it", part: "key" });
  const first = context.config.nodes.find(({ link, update }) => link === port.name && update)!;
  if (first !== node) context.fault("duplicateName", path, `the device at ${port.name} is one, and takes firmware as node ${first.name}`, { expected: `update: true for one node at ${port.name}` });
  else if (port.services?.includes("update")) context.fault("duplicateName", path, `the service update of the device at ${port.name} is the gateway's own`, { expected: `services of ${port.name} without update` });
}

function checkTime(context: CheckContext, bus: Bus, path: Path, messages: BusMessages): void {
  const { id } = bus.time!;
  if (bus.listenOnly) context.fault("listenOnlyBus", path, `the bus ${bus.name} only listens`, { expected: `listenOnly: false on the bus ${bus.name}` });
  if (!datingDrivers.includes(bus.driver)) context.fault("timeUnsupported", path, `${bus.driver} does not say when a frame was on the bus, so nobody can tell nodes the time by it`, { expected: `driver ${datingDrivers.join(" or ")}` });
  const extended = id > STANDARD_ID_MAX;
  const owner = takers(context, bus, messages).find((taker) => taker.canId === id && taker.extended === extended)?.name;
  if (owner !== undefined) context.fault("duplicateName", [...path, "id"], `${owner} has the id ${hex(id)} already`, { expected: "an id that nobody uses" });
}

/** Whoever has an identifier on this bus. */
function takers(context: CheckContext, { name, claimId }: Bus, messages: BusMessages): { name: string; canId: number; extended: boolean }[] {
  const standard = (canId: number, what: string): { name: string; canId: number; extended: boolean } => ({ name: what, canId, extended: false });
  const numbers = context.config.nodes.flatMap(({ name: node, link, heartbeat }) => (link === name && "canopen" in heartbeat ? [{ node, number: heartbeat.canopen }] : []));
  return [
    standard(NMT_ID, "NMT"), standard(PROBE_ID, "the bus's probe"),
    ...(claimId === undefined ? [] : Array.from({ length: OWNERS }, (_, owner) => ({ name: "the claim of this bus", canId: claimId + owner, extended: claimId > STANDARD_ID_MAX }))),
    ...numbers.flatMap(({ node, number }) => [standard(HEARTBEAT_BASE + number, `the heartbeat of ${node}`), standard(SDO_ANSWER_BASE + number, `an SDO answer of ${node}`), standard(SDO_REQUEST_BASE + number, `an SDO request to ${node}`)]),
    ...[...messages.of(name).values()].map(({ message }) => ({ name: message.name, canId: message.canId, extended: message.extended })),
  ];
}

function hex(canId: number): string {
  return `0x${canId.toString(16).toUpperCase().padStart(3, "0")}`;
}
