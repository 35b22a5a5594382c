/**
 * A provider's own allow and deny lists: "component:NAME", "user:NAME" or "group:NAME", numbers standing for themselves.
 * An entry that names nobody on this machine refuses the whole list: a deny list with a typing error would admit whom it should keep out.
 */
import { readFileSync } from "node:fs";
import { componentOf, type Peer } from "../ports.ts";

export interface Admission {
  admits(who: Peer): boolean;
}

/** Looks up ids by name; undefined = no such user or group. */
export interface NameLookup {
  uid(user: string): number | undefined;
  gid(group: string): number | undefined;
}

type Test = (who: Peer) => boolean;

/** The lists as one question, or the sentence that says which entry is none. */
export function admission(allow: readonly string[] | undefined, deny: readonly string[], names: NameLookup): { ok: true; admission: Admission } | { ok: false; text: string } {
  const tests = { allow: [] as Test[], deny: [] as Test[] };
  for (const [list, entries] of [["allow", allow ?? []], ["deny", deny]] as const) {
    for (const entry of entries) {
      const test = testOf(entry, names);
      if (!test) return { ok: false, text: `${list}: ${JSON.stringify(entry)} names no component, user or group of this machine` };
      tests[list].push(test);
    }
  }
  return { ok: true, admission: { admits: (who) => (allow === undefined || tests.allow.some((test) => test(who))) && !tests.deny.some((test) => test(who)) } };
}

function testOf(entry: string, names: NameLookup): Test | undefined {
  const split = entry.indexOf(":");
  const name = entry.slice(split + 1);
  if (split < 0 || name === "") return undefined;
  switch (entry.slice(0, split)) {
    case "component":
      return (who) => componentOf(who) === name;
    case "user": {
      const uid = names.uid(name);
      return uid === undefined ? undefined : (who) => who.uid === uid;
    }
    case "group": {
      const gid = names.gid(name);
      return gid === undefined ? undefined : (who) => who.gid === gid || who.groups.includes(gid);
    }
    default:
      return undefined;
  }
}

/** From the local files alone: a client must not make the gateway wait for a directory service. */
export const localNames: NameLookup = {
  uid: (user) => idIn("/etc/passwd", user),
  gid: (group) => idIn("/etc/group", group),
};

function idIn(file: string, name: string): number | undefined {
  if (/^\d{1,10}$/.test(name)) return Number(name);
  const line = readFileSync(file, "utf8").split("\n").find((each) => each.startsWith(`${name}:`));
  const id = Number(line?.split(":")[2]);
  return line !== undefined && Number.isInteger(id) ? id : undefined;
}
