/** What a rule can reach: verbs that fit its patterns, names that only the gateway gives away, topics that exist, and what deserves to be said aloud. */
import { nearest } from "../../nearest.ts";
import { patternCovers, patternsOverlap } from "../../topics/patterns.ts";
import { topicMatcher } from "../../topics/topicName.ts";
import { isReserved, reservedLevels } from "../check/topics.ts";
import type { PolicyContext, PolicySurroundings, RuleOf } from "../checkPolicy.ts";
import type { Principal } from "../config.ts";
import type { Path } from "../fault.ts";
import { actionOf, guardedLevel, stopsBeforeGuarded } from "../policyWords.ts";
import type { Action, TargetKind, Verb } from "../policyWords.ts";

export const targetLists = [["topics", "topic"], ["services", "service"], ["resources", "resource"]] as const satisfies readonly (readonly [keyof RuleOf, TargetKind])[];

export const verbsOf = (rule: RuleOf): readonly Verb[] => ("allow" in rule ? rule.allow : rule.deny);

/** Every action of a rule with its patterns. */
export function reachOf(rule: RuleOf): { action: Action; list: (typeof targetLists)[number][0]; patterns: readonly string[] }[] {
  return targetLists.flatMap(([list, kind]) => verbsOf(rule).flatMap((verb) => {
    const action = actionOf(verb, kind);
    return action === undefined || rule[list].length === 0 ? [] : [{ action, list, patterns: rule[list] }];
  }));
}

/** The gateway's services that change what it does. */
const operating = ["gateway/arm", "gateway/disarm", "gateway/reset", "gateway/reload"];
/** First levels whose topics the configuration lists completely. */
const listed: ReadonlySet<string> = new Set(["can", "serial", "mqtt", "cmd"]);

export function checkReach(context: PolicyContext, surroundings: PolicySurroundings | undefined): void {
  for (const [rule, path] of context.rules) {
    checkVerbs(context, rule, path);
    if ("deny" in rule) sayEscapable(context, rule, path);
    for (const { action, list, patterns } of reachOf(rule)) {
      for (const [pattern, at] of context.loaded.items(patterns, [...path, list])) {
        if ("allow" in rule) sayAloud(context, { rule, action, pattern, at });
        if ("allow" in rule && action === "write" && surroundings) compareWriters(context, { rule, pattern, at, writers: surroundings.writers });
        else if (action === "execute" && pattern === "gateway/safe-pose") context.warning("safePoseStays", at, "whoever may connect may ask for the safe pose; no rule can take that away");
      }
    }
    if (surroundings) for (const [pattern, at] of context.loaded.items(rule.topics, [...path, "topics"])) checkExists(context, pattern, at, surroundings.topics);
  }
}

function checkVerbs(context: PolicyContext, rule: RuleOf, path: Path): void {
  const verbs = verbsOf(rule);
  const key = "allow" in rule ? "allow" : "deny";
  const given = targetLists.filter(([list]) => rule[list].length > 0);
  if (given.length === 0) {
    if (!targetLists.some(([list]) => context.loaded.isIncomplete(`${pathOf(path)}.${list}`))) context.error("nothingNamed", path, "the rule names no topic, service or resource", { expected: "topics, services or resources" });
    return;
  }
  for (const [verb, at] of context.loaded.items(verbs, [...path, key])) {
    if (!given.some(([, kind]) => actionOf(verb, kind))) context.error("verbDoesNotFit", at, `"${verb}" of ${given.map(([list]) => list).join(" and ")}`, { expected: "read, write: topics and resources; execute, offer: services" });
  }
  for (const [list, kind] of given) {
    if (!verbs.some((verb) => actionOf(verb, kind))) context.error("verbDoesNotFit", [...path, list], `${list} cannot be ${verbs.map((verb) => ({ read: "read", write: "written", execute: "executed", offer: "offered" })[verb]).join(" or ")}`, { part: "key", expected: "read, write: topics and resources; execute, offer: services" });
  }
}

const pathOf = (path: Path): string => `rules[${String(path[1])}]`;

/** An allowing rule that can never matter is an error; one that can move something, or arm, is said so. */
function sayAloud(context: PolicyContext, { rule, action, pattern, at }: { rule: RuleOf; action: Action; pattern: string; at: Path }): void {
  const first = pattern.split("/")[0]!;
  const who = rule.who.join(", ");
  const guarded = guardedLevel(action);
  if (action === "write" && isReserved(pattern) && first !== guarded) {
    return context.error("reservedTopic", at, `${first}/… is written by the gateway alone`, { expected: `a first level other than ${reservedLevels.filter((level) => level !== "cmd").join(", ")}` });
  }
  if (action === "offer" && isReserved(pattern)) return context.error("reservedService", at, `services that begin with ${first} belong to IPCNet`, { expected: `a first level other than ${reservedLevels.join(", ")}` });
  if (stopsBeforeGuarded(action, pattern) && action !== "offer" && patternsOverlap(pattern, `${guarded}/#`)) {
    return context.note("doesNotReach", at, `${pattern} does not reach ${guarded}/…: what ${action === "write" ? "moves something" : "operates the gateway"} has to be named`);
  }
  if (first !== guarded) return;
  if (action === "write") {
    if (rule.who.includes("anyone")) context.warning("anyoneMayCommand", at, `ANYONE who can connect may write ${pattern}: that MOVES THE ROBOT`, { expected: "the components that command it" });
    else if (pattern === "cmd/#") context.warning("allCommands", at, `${who} may write every command of every bus: that MOVES THE ROBOT`, { expected: "the commands that are needed" });
    else context.note("mayCommand", at, `${who} may write ${pattern}: that MOVES THE ROBOT (within the writers that the configuration lists)`);
  }
  const operates = operating.filter((service) => patternCovers(pattern, service));
  if (action === "execute" && operates.length > 0) context.note("mayOperate", at, `${who} may call ${operates.join(", ")}`);
}

/** A denying rule holds those who cannot help being meant; another program file or another place to start it from is easily had. */
function sayEscapable(context: PolicyContext, rule: RuleOf, path: Path): void {
  const { components, groups } = context.policy;
  for (const [text, at] of context.loaded.items(rule.who, [...path, "who"])) {
    const names = Object.hasOwn(groups, text) ? groups[text]! : [text];
    const loose = names.find((name) => Object.hasOwn(components, name) && components[name]!.executable !== undefined);
    if (loose !== undefined) context.note("escapable", at, `whoever runs another program file is not ${loose}, and not denied this`);
  }
}

/** A command is allowed twice: here and by the configuration's list. What is certain to be missing there is said here. */
function compareWriters(context: PolicyContext, { rule, pattern, at, writers }: { rule: RuleOf; pattern: string; at: Path; writers: PolicySurroundings["writers"] }): void {
  if (pattern.split("/")[0] !== "cmd") return;
  const matches = topicMatcher(pattern);
  for (const [command, list] of writers) {
    if (!matches(command)) continue;
    if (list.length === 0) context.warning("closedCommand", at, `the configuration lists no writers for ${command}: nobody may write it`, { expected: "writers there, or no rule here" });
    else for (const name of rule.who) if (isMissing(context, name, list)) context.warning("notAWriter", at, `the configuration's writers of ${command} do not name the user of ${name}`, { expected: `that user there, too: ${list.map((one) => ("user" in one ? `user ${one.user}` : `group ${one.group}`)).join(", ")} may write it` });
  }
}

/** Only what is sure: who is in which group is not known here. */
function isMissing({ policy }: PolicyContext, name: string, list: readonly Principal[]): boolean {
  if (list.some((one) => "group" in one)) return false;
  const component = Object.hasOwn(policy.components, name) ? policy.components[name]! : undefined;
  const user = component ? (component.user ?? (component.uid === undefined ? undefined : String(component.uid))) : /^(?:user|uid):(.+)$/.exec(name)?.[1];
  // A name and a number may be the same user.
  return user !== undefined && !list.some((one) => "user" in one && (one.user === user || /^\d+$/.test(one.user) !== /^\d+$/.test(user)));
}

function checkExists(context: PolicyContext, pattern: string, at: Path, knownTopics: ReadonlySet<string>): void {
  if (!listed.has(pattern.split("/")[0]!)) return;
  const matches = topicMatcher(pattern);
  for (const topic of knownTopics) if (matches(topic)) return;
  const near = nearest(pattern, [...knownTopics]);
  context.warning("matchesNothing", at, `${pattern} fits no topic of the configuration`, { hint: near === undefined ? "" : `did you mean ${near}?` });
}
