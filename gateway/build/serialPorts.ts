/** From the serial links of the configuration to links. */
import type { Clock } from "../../schemas/clock.ts";
import type { Config, SerialMessage, SerialPort } from "../../schemas/messages/config.ts";
import { compileFields, type FieldDefinition } from "../../schemas/records/index.ts";
import { UPDATE_SERVICE } from "../../drivers/nodekit/serialUpdate.ts";
import type { LinkPorts } from "../links/link.ts";
import type { WatchLink } from "../links/linkGuard.ts";
import { DeviceServices } from "../links/deviceServices.ts";
import { SerialPortLink } from "../links/serialLink.ts";
import type { Rejects } from "../observe/rejects.ts";
import type { TopicTable } from "../topics/table.ts";
import type { Heartbeats } from "./heartbeats.ts";
import { sendableOf } from "./sendable.ts";

export interface SerialParts {
  config: Config;
  heartbeats: Heartbeats;
  table: TopicTable;
  rejects: Rejects;
  clock: Clock;
  gate(): boolean;
  ports: LinkPorts;
  watch: WatchLink | undefined;
}

export async function buildSerialLink(port: SerialPort, { config, heartbeats, table, rejects, clock, gate, ports, watch }: SerialParts): Promise<SerialPortLink> {
  const { createSerialDriver } = await import("../../drivers/serial/driver.ts");
  const inputs = port.messages.filter((message) => message.direction === "in").map((message) => {
    const codec = serialFieldsCodec(message);
    const nodes = heartbeats.byMessage(port.name, message.name);
    return {
      id: message.id, name: message.name, codec,
      topic: table.declare({ name: `serial/${port.name}/${message.name}`, encoding: "record", layout: codec.layout, timeoutMs: message.timeoutMs }),
      accepted: nodes.length === 0 ? undefined : (timeUs: number) => heartbeats.seen(nodes, timeUs),
    };
  });
  const commands = sendableOf(config, "serial", port.name).map(({ message: wanted, ...limits }) => {
    const message = port.messages.find(({ name, direction }) => name === wanted && direction === "out")!;
    return { id: message.id, name: message.name, codec: serialFieldsCodec(message), ...limits };
  });
  const takesFirmware = config.nodes.some(({ link, update }) => link === port.name && update);
  const driver = createSerialDriver({
    name: port.name, port: port.port, baudBps: port.baudBps, optional: port.optional, silenceTimeoutMs: port.silenceTimeoutMs, clock,
    dataId: port.dataId === "schema" ? serialDataId(port) : port.dataId,
    receive: inputs.map(({ id, codec }) => ({ id, bodyBytes: codec.wireBytes })),
    ...(port.services || takesFirmware ? { circuits: {} } : {}),
  });
  const names = [...(port.services ?? []), ...(takesFirmware ? [UPDATE_SERVICE] : [])];
  const all = names.length > 0 ? new DeviceServices({ driver, names, clock }).byName : new Map<string, never>();
  // New firmware is the gateway's own to bring: it knows whether the robot is disarmed.
  const updater = takesFirmware ? all.get(UPDATE_SERVICE) : undefined;
  const services = new Map([...all].filter(([name]) => !takesFirmware || name !== UPDATE_SERVICE));
  const nodes = heartbeats.byMessages(port.name);
  return new SerialPortLink({ driver, services, updater, inputs, commands, table, rejects, clock, gate, ports, restarted: (nowUs) => heartbeats.restarted(nodes, nowUs), watch: watch?.(port.name, ({ key }) => inputs.find(({ id }) => id === key)?.name ?? `message ${key}`) });
}

/** The codec of a serial message of the configuration. */
export function serialFieldsCodec(message: SerialMessage): ReturnType<typeof compileFields> {
  return compileFields(message.name, message.fields.map((field): FieldDefinition => ({
    name: field.name, type: field.type, factor: field.factor, offset: field.offset, unit: field.unit,
    ...(field.minimum === undefined ? {} : { minimum: field.minimum }), ...(field.maximum === undefined ? {} : { maximum: field.maximum }),
    ...(field.values === undefined ? {} : { valueNames: new Map(Object.entries(field.values).map(([name, raw]) => [raw, name])) }),
  })));
}

/** Both ends derive it from the same definitions: the layouts' hashes, mixed in the order of the messages' numbers and directions. */
export function serialDataId(port: Pick<SerialPort, "messages">): number {
  let mixed = 0n;
  const ordered = [...port.messages].sort((a, b) => a.id - b.id || (a.direction < b.direction ? -1 : 1));
  for (const message of ordered) {
    const { hash } = serialFieldsCodec(message).layout;
    // FNV-1a's multiplier over 64 bits; order matters, and so do number and direction.
    mixed = BigInt.asUintN(64, (mixed ^ hash ^ BigInt(message.id * 2 + (message.direction === "in" ? 0 : 1))) * 0x100000001b3n);
  }
  return Number((mixed >> 32n) ^ (mixed & 0xffff_ffffn));
}
