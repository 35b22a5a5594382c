/** A question of people's ("may planner write cmd/arm/Move?") as the engine takes it. */
import { parsePrincipal } from "../../schemas/messages/policyWords.ts";
import type { Action } from "../../schemas/messages/policyWords.ts";
import type { ProcessFacts } from "../identity/facts.ts";
import { credentialsOf } from "../identity/process.ts";
import type { Engine, Subject } from "./engine.ts";
import { groupsOfUser } from "./names.ts";

export const questionVerbs = ["read", "write", "execute", "offer", "grant"] as const;
export type QuestionVerb = (typeof questionVerbs)[number];

export interface Question {
  verb: QuestionVerb;
  name: string;
  actions: readonly Action[];
}

/** A sentence when it is none. `mode` is for grant: read, write or readWrite. */
export function parseQuestion({ verb, what, mode = "readWrite" }: { verb: unknown; what: unknown; mode?: unknown }): Question | string {
  const known = questionVerbs.find((each) => each === verb);
  if (!known) return `the verb is one of ${questionVerbs.join(", ")}`;
  if (typeof what !== "string" || what === "" || what.length > 255) return "what is the name of a topic, service or resource, at most 255 characters";
  if (/[+#]/.test(what)) return "what is one name, without wildcards: rules are asked about one thing at a time";
  if (known !== "grant") return { verb: known, name: what, actions: [known] };
  if (mode !== "read" && mode !== "write" && mode !== "readWrite") return "the mode is read, write or readWrite";
  return { verb: known, name: what, actions: mode === "read" ? ["grantRead"] : mode === "write" ? ["grantWrite"] : ["grantRead", "grantWrite"] };
}

export interface Described {
  subject: Subject;
  /** In words: what was taken for granted about who. */
  described: string;
}

/**
 * Who a text means: a component (as if its definition fitted), user:NAME, group:NAME (somebody of whom only that group is known), uid:N, gid:N, pid:N (the
 * process that has this number now). A sentence when there is nobody.
 */
export function subjectOf(who: string, engine: Engine, factsOf: (pid: number) => ProcessFacts): Described | string {
  const pid = /^pid:(\d{1,10})$/.exec(who)?.[1];
  if (pid !== undefined) return ofProcess(Number(pid), engine, factsOf);
  const principal = parsePrincipal(who);
  switch (principal.kind) {
    case "anyone": return { subject: { uid: NOBODY, gid: NOBODY, groups: [], components: [] }, described: "somebody of whom nothing is known" };
    case "uid": return ofUser(principal.id, engine);
    case "gid": return { subject: { uid: NOBODY, gid: principal.id, groups: [], components: [] }, described: `somebody with group ${principal.id}` };
    case "user": {
      const uid = engine.lookup.uid(principal.name);
      return uid === undefined ? `there is no user ${principal.name} on this machine` : ofUser(uid, engine);
    }
    case "group": {
      const gid = engine.lookup.gid(principal.name);
      return gid === undefined ? `there is no group ${principal.name} on this machine` : { subject: { uid: NOBODY, gid, groups: [], components: [] }, described: `somebody of whom only the group ${principal.name} (${gid}) is known` };
    }
    case "component": return ofComponent(principal.name, engine);
    default: return principal satisfies never;
  }
}

/** A uid and gid that no process has: (uid_t)-1 stands for "no user" in the kernel. */
const NOBODY = 4_294_967_295;

function ofUser(uid: number, engine: Engine): Described {
  const { gid, groups } = groupsOfUser(uid) ?? { gid: NOBODY, groups: [] };
  const { components } = engine.components.identify(uid);
  return { subject: { uid, gid, groups, components }, described: `a process of user ${uid}${components.length > 0 ? ` (${components.join(", ")})` : ", of no component"}` };
}

function ofProcess(pid: number, engine: Engine, factsOf: (pid: number) => ProcessFacts): Described | string {
  const credentials = credentialsOf(pid);
  if (!credentials) return `there is no process ${pid}`;
  const facts = factsOf(pid);
  const { name, components } = engine.components.identify(credentials.uid, facts);
  return { subject: { ...credentials, components }, described: `process ${pid}: ${name}, uid ${credentials.uid}${facts.unit === undefined ? "" : `, unit ${facts.unit}`}` };
}

function ofComponent(name: string, engine: Engine): Described | string {
  const definition = engine.components.definitionOf(name);
  if (!definition) return engine.isGroup(name) ? `${name} is a group: ask about one of its components` : `the policy has no component ${name}`;
  const uid = definition.uid ?? (definition.user === undefined ? undefined : engine.lookup.uid(definition.user));
  const { gid, groups } = (uid === undefined ? undefined : groupsOfUser(uid)) ?? { gid: NOBODY, groups: [] };
  return { subject: { uid: uid ?? NOBODY, gid, groups, components: [name] }, described: `component ${name}${uid === undefined ? " (of a user that its definition does not name)" : ` (uid ${uid})`}` };
}
