/** Users and groups of this machine by name. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import type { NameLookup } from "./rules.ts";

/** Numbers stand for themselves; names are looked up in the local files, then by getent, which knows directories too and may take seconds. */
export function systemNames({ directories = true }: { directories?: boolean } = {}): NameLookup {
  return { uid: (user) => lookUp("passwd", user, directories), gid: (group) => lookUp("group", group, directories) };
}

/** The groups that a user logs in with: for explanations of what a user may. Undefined when there is no such user in the local files. */
export function groupsOfUser(uid: number): { gid: number; groups: number[] } | undefined {
  const user = lines("passwd").find((fields) => Number(fields[2]) === uid);
  if (!user) return undefined;
  return { gid: Number(user[3]), groups: lines("group").filter((fields) => fields[3]?.split(",").includes(user[0]!)).map((fields) => Number(fields[2])) };
}

function lookUp(database: "passwd" | "group", name: string, directories: boolean): number | undefined {
  if (/^\d+$/.test(name)) return Number(name);
  return idIn(lines(database), name) ?? (directories ? idIn(fieldsOf(getent(database, name)), name) : undefined);
}

function idIn(entries: readonly (readonly string[])[], name: string): number | undefined {
  const id = Number(entries.find((fields) => fields[0] === name)?.[2]);
  return Number.isInteger(id) ? id : undefined;
}

function lines(database: "passwd" | "group"): string[][] {
  return fieldsOf(readFileSync(`/etc/${database}`, "utf8"));
}

function fieldsOf(text: string): string[][] {
  return text.split("\n").filter((line) => line !== "").map((line) => line.split(":"));
}

function getent(database: string, name: string): string {
  try {
    return execFileSync("getent", [database, "--", name], { encoding: "utf8", timeout: 2_000, stdio: ["ignore", "pipe", "ignore"] });
  } catch {
    // No such name, or no getent: both mean "unknown", which grants nothing and is reported.
    return "";
  }
}
