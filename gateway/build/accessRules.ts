/** From the lists of users and groups in the configuration to the rules of the client socket. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import type { Config } from "../../schemas/messages/config.ts";
import { AccessList, type AccessRules, type Allows, type NameLookup } from "../access.ts";

/** `ownUid`: who runs the gateway; may do everything, as root may. */
export function accessRules(config: Config, onUnknown: (text: string) => void, { lookup = systemNames(), ownUid = process.getuid?.() ?? 0 }: { lookup?: NameLookup; ownUid?: number } = {}): AccessRules {
  const list = (principals: Config["readers"], what: string): AccessList =>
    new AccessList(principals ?? [], lookup, ownUid, (name) => onUnknown(`${what}: this machine has no user or group ${name}; it is granted nothing`));
  const writers = new Map<string, Allows>();
  for (const topic of config.topics) writers.set(topic.name, list(topic.writers, topic.name));
  for (const command of config.commands) {
    const name = `cmd/${"bus" in command ? command.bus : command.serial}/${command.message}`;
    writers.set(name, list(command.writers, name));
  }
  // Raw frames are for whoever may send all of a bus's commands: which one a frame is, is known only after it was read.
  for (const { name } of config.buses) {
    const lists = config.commands.flatMap((command) => ("bus" in command && command.bus === name ? [writers.get(`cmd/${name}/${command.message}`)!] : []));
    if (lists.length > 0) writers.set(`cmd/${name}/raw`, { allows: (who) => lists.every((each) => each.allows(who)) });
  }
  return { owner: list([], "owner"), readers: list(config.readers, "readers"), operators: list(config.operators, "operators"), writers };
}

/** Numbers stand for themselves; names are looked up in the local files, then by getent, which knows directories too. */
export function systemNames(): NameLookup {
  return { uid: (user) => lookUp("passwd", user), gid: (group) => lookUp("group", group) };
}

function lookUp(database: "passwd" | "group", name: string): number | undefined {
  if (/^\d+$/.test(name)) return Number(name);
  return idIn(readFileSync(`/etc/${database}`, "utf8"), name) ?? idIn(getent(database, name), name);
}

function idIn(text: string, name: string): number | undefined {
  const line = text.split("\n").find((each) => each.startsWith(`${name}:`));
  const id = Number(line?.split(":")[2]);
  return line !== undefined && Number.isInteger(id) ? id : undefined;
}

function getent(database: string, name: string): string {
  try {
    return execFileSync("getent", [database, "--", name], { encoding: "utf8", timeout: 2_000, stdio: ["ignore", "pipe", "ignore"] });
  } catch {
    // No such name, or no getent: both mean "unknown", which grants nothing and is reported.
    return "";
  }
}
