/** Rules that can never matter: denied whole by another, allowed already by another, or denying what nothing allows. */
import { patternCovers, patternsOverlap } from "../../topics/patterns.ts";
import type { PolicyContext, RuleOf } from "../checkPolicy.ts";
import type { Path } from "../fault.ts";
import { stopsBeforeGuarded, guardedLevel } from "../policyWords.ts";
import type { Action } from "../policyWords.ts";
import { reachOf } from "./reach.ts";

/** Comparing every rule with every other is worth a second of anybody's time, not more: 1,000 rules of ordinary size need a tenth of it. */
const comparisonsMax = 3_000_000;

/** One principal, one action, one pattern of a rule. */
interface Atom { who: string; action: Action; pattern: string }
interface Entry { rule: RuleOf; path: Path; allows: boolean; atoms: Atom[]; line: number }

export function lintRules(context: PolicyContext): void {
  const entries = context.rules.map(([rule, path]): Entry => ({
    rule, path, allows: "allow" in rule, line: context.loaded.locate(path).line,
    atoms: reachOf(rule).flatMap(({ action, patterns }) => patterns.flatMap((pattern) => rule.who.map((who) => ({ who, action, pattern })))),
  }));
  const allowing = entries.filter(({ allows }) => allows);
  const denying = entries.filter(({ allows }) => !allows);
  let left = comparisonsMax;
  const some = (list: readonly Atom[], holds: (atom: Atom) => boolean): boolean => {
    left -= list.length;
    return left > 0 && list.some(holds);
  };
  const whoCovers = (outer: string, inner: string): boolean => covers(context, outer, inner);

  for (const entry of allowing) {
    const denied = entry.atoms.map((atom) => denying.find((deny) => some(deny.atoms, (other) => other.action === atom.action && whoCovers(other.who, atom.who) && patternCovers(other.pattern, atom.pattern))));
    const lines = [...new Set(denied.flatMap((deny) => (deny ? [deny.line] : [])))].join(", ");
    if (denied.length > 0 && denied.every((deny) => deny !== undefined)) {
      context.warning("shadowed", entry.path, `this can never allow anything: line ${lines} denies all of it`);
      continue;
    }
    const partly = denied.findIndex((deny) => deny !== undefined);
    if (partly >= 0) context.note("partlyDenied", entry.path, `line ${lines} denies a part of this, such as ${entry.atoms[partly]!.who} ${entry.atoms[partly]!.action} ${entry.atoms[partly]!.pattern}`);
    const wider = allowing.find((other) => other !== entry && entry.atoms.length > 0 && entry.atoms.every((atom) => some(other.atoms, (outer) => outer.action === atom.action && whoCovers(outer.who, atom.who) && allowCovers(outer, atom)))
      // Of two that say the same, the later one is too much.
      && !(other.line > entry.line && other.atoms.every((atom) => some(entry.atoms, (outer) => outer.action === atom.action && whoCovers(outer.who, atom.who) && allowCovers(outer, atom)))));
    if (wider) context.warning("redundant", entry.path, `line ${wider.line} allows all of this already`);
  }
  for (const entry of denying) {
    const matters = entry.atoms.some((atom) => allowing.some((allow) => some(allow.atoms, (other) => other.action === atom.action && patternsOverlap(other.pattern, atom.pattern) && (whoCovers(other.who, atom.who) || whoCovers(atom.who, other.who) || !bothNamed(context, other.who, atom.who)))));
    if (!matters && left > 0) context.note("deniesNothing", entry.path, "no rule of this file allows any of it; what no rule allows is denied anyway");
  }
  if (left <= 0) context.note("tooManyRules", ["rules"], "so many rules that not all of them were compared with each other");
}

function allowCovers(outer: Atom, inner: Atom): boolean {
  if (!patternCovers(outer.pattern, inner.pattern)) return false;
  return !(stopsBeforeGuarded(outer.action, outer.pattern) && inner.pattern.split("/")[0] === guardedLevel(inner.action));
}

/** Whether whoever is `inner` surely is `outer`, too. */
function covers({ policy }: PolicyContext, outer: string, inner: string): boolean {
  if (outer === "anyone" || outer === inner) return true;
  const members = Object.hasOwn(policy.groups, outer) ? policy.groups[outer]! : undefined;
  const innerMembers = Object.hasOwn(policy.groups, inner) ? policy.groups[inner]! : [inner];
  if (members) return innerMembers.every((member) => members.includes(member));
  return innerMembers.every((member) => {
    const component = Object.hasOwn(policy.components, member) ? policy.components[member]! : undefined;
    return member === outer || (component?.user !== undefined && outer === `user:${component.user}`) || (component?.uid !== undefined && outer === `uid:${component.uid}`);
  });
}

/** Two components or groups of them that have no member in common are different programs; users and unix groups may be anybody. */
function bothNamed({ policy }: PolicyContext, a: string, b: string): boolean {
  const [left, right] = [a, b].map((name) => (Object.hasOwn(policy.groups, name) ? policy.groups[name]! : [name]));
  if (a === "anyone" || b === "anyone" || a.includes(":") || b.includes(":")) return false;
  return !left!.some((member) => right!.includes(member));
}
