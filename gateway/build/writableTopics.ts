/** Declares what may be written: commands, application topics, and the topics that routes make. */
import { makeAjv } from "../../schemas/messages/ajv.ts";
import { compileMessage } from "../../schemas/dbc/index.ts";
import type { CheckedParts } from "../../schemas/messages/checkConfig.ts";
import type { Config } from "../../schemas/messages/config.ts";
import type { CommandPath } from "../commands/commandPath.ts";
import { CanFlag } from "../../drivers/can/frame.ts";
import type { FrameCommands, Publisher, RecordOf, Validate } from "../topics/publisher.ts";
import type { TopicTable } from "../topics/table.ts";
import { serialFieldsCodec } from "./serialPorts.ts";

export interface WritableParts {
  config: Config;
  parts: CheckedParts;
  table: TopicTable;
  publisher: Publisher;
  paths: ReadonlyMap<string, CommandPath>;
}

export function declareWritableTopics({ config, parts, table, publisher, paths }: WritableParts): void {
  for (const command of config.commands) {
    const link = "bus" in command ? command.bus : command.serial;
    const { layout, recordOf } = "bus" in command ? canCommandRecord(parts, command.bus, command.message) : serialCommandRecord(config, command.serial, command.message);
    const topic = table.declare({ name: `cmd/${link}/${command.message}`, encoding: "record", layout, writable: true });
    publisher.addCommand(topic, paths.get(link)!, command.message, recordOf);
  }
  for (const bus of config.buses) {
    const path = paths.get(bus.name);
    if (!path) continue;
    const topic = table.declare({ name: `cmd/${bus.name}/raw`, encoding: "canframe", writable: true });
    publisher.addFrames(topic, path, frameCommands(config, parts, bus.name));
  }
  for (const { name, encoding, schema, exclusive } of config.topics) {
    const jsonSchema = schema === undefined ? undefined : parts.schemas.get(schema);
    publisher.addApplicationTopic(table.declare({ name, encoding, writable: true, exclusive, ...(jsonSchema ? { jsonSchema } : {}) }), jsonSchema && validator(jsonSchema));
  }
  for (const { to } of config.routes) {
    // A target that nothing else declares is a topic of the route's own: readable by all readers, written by the route alone.
    if (to.startsWith("cmd/") || to.startsWith("serial/") || to.startsWith("can/") || table.get(to)) continue;
    publisher.addApplicationTopic(table.declare({ name: to, encoding: "cbor" }), undefined);
  }
}

function canCommandRecord(parts: CheckedParts, bus: string, message: string) {
  const codec = compileMessage(parts.messages.of(bus).get(message)!.message);
  const recordOf: RecordOf = (data) => {
    const record = new Uint8Array(codec.layout.sizeBytes);
    const fault = codec.decodeInto(data, new DataView(data.buffer, data.byteOffset, data.byteLength), 0, data.length, record, new DataView(record.buffer), 0);
    return fault === 0 ? record : undefined;
  };
  return { layout: codec.layout, recordOf };
}

/** Finds a bus's command by identifier and length, and takes the frame apart. */
function frameCommands(config: Config, parts: CheckedParts, bus: string): FrameCommands {
  const commands = config.commands.flatMap((command) => {
    if (!("bus" in command) || command.bus !== bus) return [];
    const { message, managed } = parts.messages.of(bus).get(command.message)!;
    return [{ message, managed, codec: compileMessage(message, { checkRanges: true }) }];
  });
  return ({ canId, flags, data }) => {
    const extended = (flags & CanFlag.extended) !== 0;
    const found = commands.find(({ message }) => message.canId === canId && message.extended === extended);
    if (!found || (flags & (CanFlag.remote | CanFlag.error)) !== 0) return { ok: false, code: "unknownCommand", text: `0x${canId.toString(16).toUpperCase()} is not in the list of commands of bus ${bus}` };
    const decoded = found.codec.decode(data, 0, data.length);
    if (!decoded.ok) return { ok: false, code: decoded.code, text: `${found.message.name}: ${decoded.text}` };
    const values = Object.fromEntries(Object.entries(decoded.signals).filter(([name]) => !found.managed.has(name)));
    return { ok: true, message: found.message.name, values };
  };
}

function serialCommandRecord(config: Config, port: string, name: string) {
  const message = config.serial.find((each) => each.name === port)!.messages.find((each) => each.name === name && each.direction === "out")!;
  const codec = serialFieldsCodec(message);
  const recordOf: RecordOf = (data) => {
    const record = new Uint8Array(codec.layout.sizeBytes);
    const fault = codec.unpackInto(new DataView(data.buffer, data.byteOffset, data.byteLength), 0, data.length, new DataView(record.buffer), 0);
    return fault === 0 ? record : undefined;
  };
  return { layout: codec.layout, recordOf };
}

/** Compiled once; says the first thing that does not fit, with its place in the value. */
export function validator(schema: object): Validate {
  const validate = makeAjv({ strict: false, validateFormats: false }).compile(schema);
  return (value) => {
    if (validate(value)) return undefined;
    const [error] = validate.errors ?? [];
    return `${error?.instancePath || "the value"} ${error?.message ?? "does not fit the schema"}`;
  };
}
