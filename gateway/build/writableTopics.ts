/** Declares what may be written: commands, application topics, and the topics that routes make. */
import { Ajv } from "ajv";
import { compileMessage } from "../../schemas/dbc/index.ts";
import type { CheckedParts } from "../../schemas/messages/checkConfig.ts";
import type { Config } from "../../schemas/messages/config.ts";
import type { CommandPath } from "../commands/commandPath.ts";
import type { Publisher, RecordOf, Validate } from "../topics/publisher.ts";
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
  for (const { name, encoding, schema } of config.topics) {
    const jsonSchema = schema === undefined ? undefined : parts.schemas.get(schema);
    publisher.addApplicationTopic(table.declare({ name, encoding, writable: true, ...(jsonSchema ? { jsonSchema } : {}) }), jsonSchema && validator(jsonSchema));
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
  const validate = new Ajv({ strict: false, validateFormats: false }).compile(schema);
  return (value) => {
    if (validate(value)) return undefined;
    const [error] = validate.errors ?? [];
    return `${error?.instancePath || "the value"} ${error?.message ?? "does not fit the schema"}`;
  };
}
