/** Which component a process is: the definitions of the policy, compared with what the kernel says. */
import type { Component } from "../../schemas/messages/policy.ts";
import type { ProcessFacts } from "../identity/facts.ts";
import type { NameLookup } from "./rules.ts";

export interface Identified {
  /** The component with the most precise definition of those that fit, else "uid:1000". */
  name: string;
  /** All that fit. */
  components: readonly string[];
}

type Fits = (uid: number, facts: ProcessFacts) => boolean;

export class ComponentTable {
  /** Most precise first; among equals by name. */
  readonly #components: Readonly<Record<string, Component>>;
  readonly #definitions: { name: string; fits: Fits }[];

  constructor(components: Readonly<Record<string, Component>>, lookup: NameLookup) {
    this.#components = components;
    this.#definitions = Object.entries(components)
      .map(([name, component]) => ({ name, fits: fitsOf(component, lookup), precision: precisionOf(component) }))
      .sort((a, b) => b.precision - a.precision || (a.name < b.name ? -1 : 1));
  }

  definitionOf(name: string): Component | undefined {
    return Object.hasOwn(this.#components, name) ? this.#components[name] : undefined;
  }

  identify(uid: number, facts: ProcessFacts = {}): Identified {
    const components = this.#definitions.filter(({ fits }) => fits(uid, facts)).map(({ name }) => name);
    return { name: components[0] ?? `uid:${uid}`, components };
  }
}

/** How much a definition asks for: more keys, then longer ones. */
function precisionOf({ unit, userUnit, user, uid, cgroup, executable }: Component): number {
  return [unit, userUnit, user, uid, cgroup, executable].reduce((sum: number, value) => sum + (value === undefined ? 0 : 10_000 + String(value).length), 0);
}

/** Every key that is given must fit; a user that this machine does not know fits nobody. */
function fitsOf({ unit, userUnit, user, uid, cgroup, executable }: Component, lookup: NameLookup): Fits {
  const wantedUid = uid ?? (user === undefined ? undefined : (lookup.uid(user) ?? -1));
  const tests: Fits[] = [];
  if (wantedUid !== undefined) tests.push((own) => own === wantedUid);
  if (unit !== undefined) {
    const matches = globMatcher(unit);
    tests.push((_, facts) => facts.unit !== undefined && matches(facts.unit));
  }
  if (userUnit !== undefined) {
    const matches = globMatcher(userUnit);
    // The manager's owner says which unit is which: another user's manager is another user's word.
    tests.push((_, facts) => facts.userUnit !== undefined && facts.userUnit.uid === wantedUid && matches(facts.userUnit.name));
  }
  if (cgroup !== undefined) {
    const levels = cgroup.split("/").map(globMatcher);
    tests.push((_, facts) => {
      const own = facts.cgroup?.split("/");
      return own !== undefined && own.length >= levels.length && levels.every((matches, at) => matches(own[at]!));
    });
  }
  if (executable !== undefined) tests.push((_, facts) => facts.executable === executable);
  return (own, facts) => tests.length > 0 && tests.every((test) => test(own, facts));
}

/** `*` stands for any characters, none included. Linear in the text: no pattern of the file's can make it slow. */
export function globMatcher(pattern: string): (text: string) => boolean {
  const parts = pattern.split("*");
  if (parts.length === 1) return (text) => text === pattern;
  const [first, last, middle] = [parts[0]!, parts.at(-1)!, parts.slice(1, -1)];
  return (text) => {
    if (text.length < first.length + last.length || !text.startsWith(first) || !text.endsWith(last)) return false;
    let at = first.length;
    const end = text.length - last.length;
    for (const part of middle) {
      const found = text.indexOf(part, at);
      if (found < 0 || found + part.length > end) return false;
      at = found + part.length;
    }
    return true;
  };
}
