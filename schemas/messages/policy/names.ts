/** Whether every name of a policy means something, and every component can be known by something that proves it. */
import { nearest } from "../../nearest.ts";
import type { MachineProbe } from "../check/context.ts";
import type { PolicyContext } from "../checkPolicy.ts";
import type { Path } from "../fault.ts";
import type { Component } from "../policy.ts";
import { parsePrincipal } from "../policyWords.ts";

export function checkNames(context: PolicyContext, machine: Pick<MachineProbe, "userExists" | "groupExists"> | undefined): void {
  const { components, groups } = context.policy;
  const used = new Set<string>();
  for (const [name, component] of Object.entries(components)) {
    checkComponent(context, component, ["components", name], machine);
    if (name === "anyone") context.error("reservedName", ["components", name], '"anyone" means everybody', { part: "key" });
  }
  sameIdentity(context);
  for (const [name, members] of Object.entries(groups)) {
    const path: Path = ["groups", name];
    if (name === "anyone") context.error("reservedName", path, '"anyone" means everybody', { part: "key" });
    if (Object.hasOwn(components, name)) context.error("duplicateName", path, `a component is called "${name}", too`, { part: "key", expected: "one set of names for components and groups" });
    for (const [member, at] of context.loaded.items(members, path)) {
      if (Object.hasOwn(components, member)) used.add(member);
      else if (Object.hasOwn(groups, member)) context.error("groupInGroup", at, `"${member}" is a group`, { expected: "components" });
      else unknown(context, "unknownComponent", at, { name: member, known: Object.keys(components), incomplete: "components" });
    }
  }
  for (const [rule, path] of context.rules) {
    for (const [text, at] of context.loaded.items(rule.who, [...path, "who"])) checkPrincipal(context, text, at, { used, machine });
  }
  for (const kind of ["components", "groups"] as const) {
    for (const name of Object.keys(context.policy[kind])) {
      if (!used.has(name) && !context.loaded.isIncomplete("rules")) context.warning("unused", [kind, name], `no rule names ${name}${kind === "components" ? ", nor a group that a rule names" : ""}`, { part: "key" });
    }
  }
}

function checkPrincipal(context: PolicyContext, text: string, path: Path, { used, machine }: { used: Set<string>; machine: Pick<MachineProbe, "userExists" | "groupExists"> | undefined }): void {
  const { components, groups } = context.policy;
  const principal = parsePrincipal(text);
  switch (principal.kind) {
    case "component":
      if (Object.hasOwn(components, principal.name) || Object.hasOwn(groups, principal.name)) used.add(principal.name);
      else unknown(context, "unknownComponent", path, { name: principal.name, known: [...Object.keys(components), ...Object.keys(groups)], incomplete: "components" });
      return;
    case "user":
      if (machine?.userExists(principal.name) === false) context.note("unknownHere", path, `there is no user "${principal.name}" on this machine: this means nobody`);
      return;
    case "group":
      if (machine?.groupExists(principal.name) === false) context.note("unknownHere", path, `there is no group "${principal.name}" on this machine: this means nobody`);
      return;
    case "uid": case "gid": case "anyone": return;
    default: principal satisfies never;
  }
}

function checkComponent(context: PolicyContext, component: Component, path: Path, machine: Pick<MachineProbe, "userExists"> | undefined): void {
  const { unit, userUnit, user, uid, cgroup } = component;
  if (user !== undefined && uid !== undefined) context.error("conflictingKeys", [...path, "uid"], '"user" and "uid" stand side by side', { part: "key", expected: "one of them" });
  if (unit !== undefined && userUnit !== undefined) context.error("conflictingKeys", [...path, "userUnit"], '"unit" and "userUnit" stand side by side', { part: "key", expected: "one of them" });
  if (userUnit !== undefined && user === undefined && uid === undefined) context.error("keyNeeded", [...path, "userUnit"], "a unit of whose service manager", { part: "key", expected: '"user" or "uid" beside it' });
  if (unit === undefined && userUnit === undefined && user === undefined && uid === undefined && cgroup === undefined) {
    context.error("provesNothing", path, "any user could start a program that fits", { part: "key", expected: "unit, user, uid or cgroup" });
  }
  if (user !== undefined && machine?.userExists(user) === false) context.note("unknownHere", [...path, "user"], `there is no user "${user}" on this machine: no program is this component`);
}

function sameIdentity(context: PolicyContext): void {
  const known = new Map<string, string>();
  for (const [name, { unit, userUnit, user, uid, cgroup, executable }] of Object.entries(context.policy.components)) {
    const key = JSON.stringify({ unit, userUnit, user, uid, cgroup, executable });
    const same = known.get(key);
    if (same === undefined) known.set(key, name);
    else context.warning("sameIdentity", ["components", name], `whatever fits ${name} fits ${same}, too: what one may, both may`, { part: "key" });
  }
}

function unknown(context: PolicyContext, code: string, path: Path, { name, known, incomplete }: { name: string; known: readonly string[]; incomplete: string }): void {
  if (context.loaded.isIncomplete(incomplete)) return;
  const near = nearest(name, known);
  const expected = known.length === 0 ? "there are none" : known.length <= 16 ? `one of ${known.join(", ")}` : `one of ${known.length} names`;
  context.error(code, path, `there is no component${code === "unknownComponent" ? " or group" : ""} "${name}"`, { expected, hint: near === undefined ? "a user is written user:NAME, a unix group group:NAME" : `did you mean ${near}?` });
}
