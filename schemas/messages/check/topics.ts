/**
 * Every topic that the configuration makes, and what its samples hold: the ground on which conditions, renames, heartbeats and mirrored patterns
 * are checked.
 */
import type { Config } from "../config.ts";
import type { BusMessages } from "./databases.ts";
import type { CheckContext } from "./context.ts";
import { serialFields, type Fields } from "./fields.ts";
import type { JsonSchemas } from "./schemaFiles.ts";

export interface TopicInfo {
  /** message: decoded CAN frames. raw: whole frames. command: what may be sent. derived: made by a route. */
  kind: "message" | "raw" | "serial" | "mqtt" | "app" | "command" | "derived";
  fields: Fields;
  /** For message and command on CAN. */
  frame?: { bus: string; canId: number; extended: boolean };
  /** Fields that a sample must have to be taken. */
  needed?: ReadonlySet<string>;
}

/** First levels that belong to IPCNet; application topics begin otherwise. */
export const reservedLevels = ["can", "serial", "mqtt", "cmd", "ipcnet", "bridge", "nodes", "gateway"] as const;

export function isReserved(topic: string): boolean {
  return (reservedLevels as readonly string[]).includes(topic.split("/")[0]!);
}

export function collectTopics(context: CheckContext, messages: BusMessages, schemas: JsonSchemas): Map<string, TopicInfo> {
  const { config } = context;
  const topics = new Map<string, TopicInfo>();
  for (const bus of config.buses) {
    if (bus.publishRaw) topics.set(`can/${bus.name}/raw`, { kind: "raw", fields: new Map() });
    for (const entry of messages.of(bus.name).values()) {
      topics.set(`can/${bus.name}/${entry.message.name}`, { kind: "message", fields: entry.fields, frame: { bus: bus.name, canId: entry.message.canId, extended: entry.message.extended } });
    }
  }
  for (const port of config.serial) {
    for (const message of port.messages) {
      if (message.direction === "in") topics.set(`serial/${port.name}/${message.name}`, { kind: "serial", fields: serialFields(message) });
    }
  }
  for (const input of config.mqtt.inputs) topics.set(`mqtt/${input.via}/${input.name}`, { kind: "mqtt", ...schemas.fieldsOf(input.schema) });
  for (const topic of config.topics) topics.set(topic.name, { kind: "app", ...schemas.fieldsOf(topic.schema) });
  addCommands(config, messages, topics);
  return topics;
}

function addCommands(config: Config, messages: BusMessages, topics: Map<string, TopicInfo>): void {
  for (const command of config.commands) {
    if ("bus" in command) {
      const entry = messages.of(command.bus).get(command.message);
      if (!entry) continue;
      const needed = new Set([...entry.fields.keys()].filter((name) => !entry.managed.has(name)));
      topics.set(`cmd/${command.bus}/${command.message}`, { kind: "command", fields: entry.fields, needed, frame: { bus: command.bus, canId: entry.message.canId, extended: entry.message.extended } });
    } else {
      const message = config.serial.find((port) => port.name === command.serial)?.messages.find((one) => one.name === command.message && one.direction === "out");
      if (message) topics.set(`cmd/${command.serial}/${command.message}`, { kind: "command", fields: serialFields(message), needed: new Set(message.fields.map((field) => field.name)) });
    }
  }
}
