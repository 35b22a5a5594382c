/** Names are given once; what refers to a link finds it. */
import type { Path } from "../fault.ts";
import type { CheckContext } from "./context.ts";

export type LinkKind = "can" | "serial" | "broker" | "client";
export interface Link { kind: LinkKind; path: Path }

/** Buses, serial links, broker and MQTT clients share one set of names: nodes and topics name them without saying the kind. */
export function checkNames(context: CheckContext): ReadonlyMap<string, Link> {
  const { config } = context;
  const links = new Map<string, Link>();
  const unique = uniqueness(context, "link");
  const add = (name: string, kind: LinkKind, path: Path) => {
    if (unique(name, [...path, "name"])) links.set(name, { kind, path });
  };
  for (const [bus, path] of context.items(config.buses, ["buses"])) add(bus.name, "can", path);
  for (const [port, path] of context.items(config.serial, ["serial"])) add(port.name, "serial", path);
  if (config.mqtt.broker) add(config.mqtt.broker.name, "broker", ["mqtt", "broker"]);
  for (const [client, path] of context.items(config.mqtt.clients, ["mqtt", "clients"])) add(client.name, "client", path);

  once(context, "node", config.nodes, ["nodes"], (node) => node.name, "name");
  once(context, "topic", config.topics, ["topics"], (topic) => topic.name, "name");
  once(context, "input", config.mqtt.inputs, ["mqtt", "inputs"], (input) => `mqtt/${input.via}/${input.name}`, "name");
  once(context, "user", config.mqtt.broker?.users, ["mqtt", "broker", "users"], (user) => user.name, "name");
  once(context, "resource", config.resources, ["resources"], (resource) => resource.name, "name");
  once(context, "step", config.safePose.steps, ["safePose", "steps"], (step) => step.name, "name");
  once(context, "command", config.commands, ["commands"], (command) => ("bus" in command ? `cmd/${command.bus}/${command.message}` : `cmd/${command.serial}/${command.message}`), "message");
  return links;
}

/** Where the names of links come from, for `CheckContext.unknown`. */
export const linkLists = ["buses", "serial", "mqtt", "mqtt.broker", "mqtt.clients"] as const;

export function once<T>(context: CheckContext, what: string, list: readonly T[] | undefined, path: Path, nameOf: (item: T) => string, key: string): void {
  const unique = uniqueness(context, what);
  for (const [item, at] of context.items(list, path)) unique(nameOf(item), [...at, key]);
}

/** A function that says whether a name is new, and reports it where it is not. */
export function uniqueness(context: CheckContext, what: string): (name: string, path: Path) => boolean {
  const seen = new Map<string, Path>();
  return (name, path) => {
    const before = seen.get(name);
    if (!before) {
      seen.set(name, path);
      return true;
    }
    context.fault("duplicateName", path, `${what} "${name}" exists already`, { expected: `a name of its own; the first is in line ${context.loaded.locate(before).line}` });
    return false;
  };
}
