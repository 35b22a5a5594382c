/** From the buses of the configuration to links: which frames mean what, who is alive by which of them, what may be sent. */
import { canopenIds, decodeEmcy, type Emcy, type NodeFrame } from "../../drivers/nodekit/canopen.ts";
import type { Clock } from "../../schemas/clock.ts";
import { compileMessage } from "../../schemas/dbc/index.ts";
import { checkedMessage, type BusMessage } from "../../schemas/messages/check/databases.ts";
import type { Bus, Config } from "../../schemas/messages/config.ts";
import { CanLink, type CanCommand } from "../links/canLink.ts";
import type { LinkPorts } from "../links/link.ts";
import type { WatchLink } from "../links/linkGuard.ts";
import type { RejectReason, Rejects } from "../observe/rejects.ts";
import { frameName, type IncomingMessage, type RawHandler } from "../pipeline/canReceiver.ts";
import type { TopicTable } from "../topics/table.ts";
import { makeCanDriver } from "./canDrivers.ts";
import type { Heartbeats } from "./heartbeats.ts";
import type { ReflexParts } from "./reflex/parts.ts";
import { sendableOf, type Sendable } from "./sendable.ts";

export interface BusParts {
  config: Config;
  messagesOf(bus: string): ReadonlyMap<string, BusMessage>;
  heartbeats: Heartbeats;
  table: TopicTable;
  rejects: Rejects;
  clock: Clock;
  gate(): boolean;
  /** Whether that is about to be known, and is not yet. */
  waits(): boolean;
  ports: LinkPorts;
  /** Buses that the reflex owns are reached through it. */
  reflex?: ReflexParts | undefined;
  watch?: WatchLink | undefined;
  /** What CANopen nodes say besides their heartbeats. */
  nodesSay: NodesSay;
}

export interface NodesSay {
  emcy(nodeIndex: number, emcy: Emcy, timeUs: number): void;
  /** A heartbeat or an SDO answer, for the conversation that runs on this bus. */
  heard(bus: string, frame: NodeFrame, timeUs: number): void;
  /** There may be room for the next frame of it. */
  moved(bus: string): void;
}

const STANDARD_ID_MAX = 0x7ff;
const EMCY_BYTES = 8;
const SDO_BYTES = 8;

export async function buildCanLink(bus: Bus, parts: BusParts): Promise<CanLink> {
  const { table, rejects, clock } = parts;
  const messages = parts.messagesOf(bus.name);
  const commands = sendableOf(parts.config, "bus", bus.name).map((sendable) => canCommand(sendable, messages.get(sendable.message)!, parts.reflex?.busRow(bus.name) !== undefined));
  const described = new Set([...messages.values()].flatMap(({ message }) => (message.extended ? [] : [message.canId])));
  const commanded = new Set(commands.map(({ name }) => name));
  const incoming: IncomingMessage[] = [];
  const rawHandlers: RawHandler[] = [];
  let link: CanLink | undefined;
  for (const entry of messages.values()) {
    if (commanded.has(entry.message.name)) rawHandlers.push(rejecting(entry, "notPermitted", (timeUs) => link?.foreignCommand(entry.message.name, timeUs)));
    else if (entry.checks?.covers(entry.message.name) !== true) rawHandlers.push(rejecting(entry, "unprotected"));
    else incoming.push(incomingMessage(bus, entry, parts));
  }
  const throughReflex = parts.reflex?.busRow(bus.name);
  // Who commands the bus is the reflexes' matter; their frames are no unknown ones here.
  if (throughReflex !== undefined && bus.claimId !== undefined) rawHandlers.push(...claimHandlers(bus.claimId));
  for (const { nodeIndex, nodeNumber } of parts.heartbeats.canopen(bus.name)) {
    const canId = canopenIds.heartbeat + nodeNumber;
    const isCared = parts.config.nodes[nodeIndex]!.identity !== undefined || parts.config.nodes[nodeIndex]!.update;
    // What the database describes means what it says there.
    rawHandlers.push(...careHandlers(bus.name, { nodeIndex, nodeNumber, isCared }, parts.nodesSay).filter((each) => !described.has(each.canId)));
    // A database that describes the heartbeat too makes it a topic; the byte is looked at all the same.
    const message = incoming.find((each) => each.canId === canId && !each.extended);
    const handle = (bytes: Uint8Array, at: number, timeUs: number): void => {
      parts.heartbeats.canopenSeen(nodeIndex, bytes[at]!, timeUs);
      if (isCared) parts.nodesSay.heard(bus.name, { id: canId, data: bytes.slice(at, at + 1) }, timeUs);
    };
    if (message) {
      const before = message.accepted;
      message.accepted = (bytes, at, lengthBytes, timeUs) => {
        before?.(bytes, at, lengthBytes, timeUs);
        handle(bytes, at, timeUs);
      };
    } else {
      rawHandlers.push({ canId, extended: false, handle: (bytes, at, lengthBytes, timeUs) => {
        if (lengthBytes !== 1) return "badLength";
        handle(bytes, at, timeUs);
        return undefined;
      } });
    }
  }
  if (bus.time) rawHandlers.push({ canId: bus.time.id, extended: bus.time.id > STANDARD_ID_MAX, handle: () => undefined });
  const reflexBus = throughReflex === undefined ? undefined : parts.reflex!.driver(bus, throughReflex, (token, reason) => link?.refusedLater(token, reason));
  link = new CanLink({
    driver: reflexBus ?? (await makeCanDriver(bus, clock)), ...(reflexBus ? { following: reflexBus } : {}), bitrateBps: bus.bitrateBps, dataBitrateBps: bus.dataBitrateBps, busLoadMaxPercent: bus.busLoadMaxPercent, commands, clock, gate: parts.gate, waits: parts.waits, ports: parts.ports,
    ...(reflexBus ? {} : { time: bus.time }), careMoved: () => parts.nodesSay.moved(bus.name),
    receive: { watch: parts.watch?.(bus.name, ({ key }) => frameName(key)), messages: incoming, rawHandlers, table, rejects, rawTopic: bus.publishRaw ? table.declare({ name: `can/${bus.name}/raw`, encoding: "canframe" }) : undefined },
  });
  return link;
}

function incomingMessage(bus: Bus, { message, checks }: BusMessage, { table, heartbeats }: BusParts): IncomingMessage {
  const codec = compileMessage(message);
  const check = checks?.forMessage(checkedMessage(message));
  const topic = table.declare({ name: `can/${bus.name}/${message.name}`, encoding: "record", layout: codec.layout, cycleTimeMs: message.cycleTimeMs, timeoutMs: check?.timeoutMs });
  const nodes = heartbeats.byMessage(bus.name, message.name);
  return {
    name: message.name, canId: message.canId, extended: message.extended, codec, check, topic,
    accepted: nodes.length === 0 ? undefined : (_bytes, _at, _lengthBytes, timeUs) => heartbeats.seen(nodes, timeUs),
  };
}

/**
 * Frames that are known and yet not taken. notPermitted: nobody but us may send what we command; another sender is a second master, and its frames
 * are worth a look. unprotected: no check, and nobody has said that the bus's own is enough (`integrity: link`).
 */
function rejecting({ message }: BusMessage, reason: RejectReason, seen?: (timeUs: number) => void): RawHandler {
  return { canId: message.canId, extended: message.extended, handle: (_bytes, _at, _lengthBytes, timeUs) => {
    seen?.(timeUs);
    return reason;
  } };
}

/** Frames with a claim id are taken, and nothing is made of them. */
function claimHandlers(claimId: number): RawHandler[] {
  return [0, 1, 2, 3].map((owner) => ({ canId: claimId + owner, extended: claimId > STANDARD_ID_MAX, handle: () => undefined }));
}

/** What a CANopen node says besides its heartbeat. */
function careHandlers(bus: string, { nodeIndex, nodeNumber, isCared }: { nodeIndex: number; nodeNumber: number; isCared: boolean }, say: NodesSay): RawHandler[] {
  const handler = (canId: number, lengthBytes: number, take: (frame: NodeFrame, timeUs: number) => void): RawHandler => ({ canId, extended: false, handle: (bytes, at, length, timeUs) => {
    if (length !== lengthBytes) return "badLength";
    take({ id: canId, data: bytes.slice(at, at + length) }, timeUs);
    return undefined;
  } });
  return [
    handler(canopenIds.emcy + nodeNumber, EMCY_BYTES, (frame, timeUs) => say.emcy(nodeIndex, decodeEmcy(frame)!, timeUs)),
    ...(isCared ? [handler(canopenIds.sdoAnswer + nodeNumber, SDO_BYTES, (frame, timeUs) => say.heard(bus, frame, timeUs))] : []),
  ];
}

/** The reflex protects by itself, at the moment of sending. */
function canCommand(sendable: Sendable, { message, checks, managed }: BusMessage, throughReflex: boolean): CanCommand {
  return {
    name: message.name, codec: compileMessage(message), protector: throughReflex ? undefined : checks?.protectorFor(checkedMessage(message)), ownedSignals: [...managed],
    ttlMsMax: sendable.ttlMsMax, rateHzMax: sendable.rateHzMax, poseOnly: sendable.poseOnly,
  };
}
