/**
 * Decides by a set of rules. The meaning fits into three lines, and knows no order of rules:
 *   1. What a denying rule covers is denied. 2. Else what an allowing rule covers is allowed; a command must be allowed by the configuration's list, too.
 *   3. Else it is denied.
 * "Covers": the rule names who asks, the action, and a pattern that fits. Commands (cmd/…) and the gateway's services (gateway/…) have to be named: an
 * allowing pattern that begins with a wildcard does not reach them. Other names of the gateway's are nobody's to write or offer.
 *
 * Immutable. Answers are remembered per identity, within bounds; a new policy is a new engine.
 */
import { isReserved } from "../../schemas/messages/check/topics.ts";
import { actions, guardedLevel, parsePrincipal, stopsBeforeGuarded } from "../../schemas/messages/policyWords.ts";
import type { Action } from "../../schemas/messages/policyWords.ts";
import { levelsMatch, topicNameFault } from "../../schemas/topics/topicName.ts";
import { ComponentTable } from "./components.ts";
import { ANSWERS_MAX, PRINCIPALS_MAX, PROFILES_MAX } from "./limits.ts";
import type { Ceiling, NameLookup, Place, Rule, RuleSet } from "./rules.ts";

/** Who asks, as far as rules can name it. */
export interface Subject {
  uid: number;
  gid: number;
  groups: readonly number[];
  /** All components whose definition fits. */
  components: readonly string[];
}

export interface Decision {
  allowed: boolean;
  /** The rule that decided; absent: no rule allows it, or it is not a matter of rules. */
  rule?: Rule;
  /** The list of the configuration that decided, or that allowed a command besides the rule. */
  ceiling?: Ceiling;
  /** Why, where no rule says it. */
  text: string;
}

/** A set of principals, with names resolved. */
interface Who {
  anyone: boolean;
  components: ReadonlySet<string>;
  uids: ReadonlySet<number>;
  gids: ReadonlySet<number>;
}

interface Target {
  levels: readonly string[];
  /** Does not reach names below this first level. */
  stopsBefore: string | undefined;
}

interface CompiledRule {
  rule: Rule;
  who: Who;
  targets: Readonly<Record<Action, readonly Target[]>>;
}

/** What a subject may: the rules that name it, and answers given. */
export interface Profile {
  readonly subject: Subject;
  readonly mayConnect: boolean;
  /** For each action the rules that say something about it. */
  readonly denying: Readonly<Record<Action, readonly CompiledRule[]>>;
  readonly allowing: Readonly<Record<Action, readonly CompiledRule[]>>;
  readonly answers: Readonly<Record<Action, Map<string, Decision>>>;
}

export interface EngineOptions {
  /** For the rules' own names. */
  lookup: NameLookup;
  /** For names that clients ask about, which must not make the gateway wait; absent: the same. */
  quickLookup?: NameLookup;
  /** A rule or list names a user or group that this machine does not have: it means nobody. */
  onUnknown: (name: string, place: Place | undefined) => void;
}

export class Engine {
  readonly components: ComponentTable;
  readonly #set: RuleSet;
  readonly #rules: readonly CompiledRule[];
  readonly #commands: ReadonlyMap<string, readonly { ceiling: Ceiling; who: Who }[]> | undefined;
  /** For questions. */
  readonly lookup: NameLookup;
  readonly #profiles = new Map<string, Profile>();
  /** Names that clients have asked about; undefined: there is nobody. */
  readonly #principals = new Map<string, Who | undefined>();
  /** Profiles that answers are remembered for: also those that callers hold and the table above has forgotten. */
  readonly #answered = new Set<Profile>();
  #answers = 0;

  constructor(set: RuleSet, { lookup, quickLookup = lookup, onUnknown }: EngineOptions) {
    this.#set = set;
    this.lookup = quickLookup;
    this.components = new ComponentTable(set.components, lookup);
    const resolve = (who: readonly string[], place: Place | undefined): Who => resolveWho(who, { set, lookup, onUnknown: (name) => onUnknown(name, place) });
    this.#rules = set.rules.map((rule) => ({ rule, who: resolve(rule.who, rule.place), targets: forEachAction((action) => targetsOf(rule, action)) }));
    this.#commands = set.commands && new Map([...set.commands].map(([topic, ceilings]) => [topic, ceilings.map((ceiling) => ({ ceiling, who: resolve(ceiling.who, ceiling.place) }))]));
  }

  /** Whoever may do anything at all may connect. Commands' lists count where no policy stands beside them. */
  profileOf(subject: Subject): Profile {
    const key = `${subject.uid} ${subject.gid} ${subject.groups.join(",")} ${subject.components.join(",")}`;
    const known = this.#profiles.get(key);
    if (known) return known;
    const own = this.#rules.filter(({ who }) => isOne(subject, who));
    const about = (effect: Rule["effect"]): Profile["denying"] => forEachAction((action) => own.filter(({ rule, targets }) => rule.effect === effect && targets[action].length > 0));
    const listed = (): boolean => own.some(({ rule }) => rule.connects === false) && [...(this.#commands?.values() ?? [])].some((lists) => lists.some(({ who }) => isOne(subject, who)));
    const profile: Profile = {
      subject, denying: about("deny"), allowing: about("allow"), answers: forEachAction(() => new Map()),
      mayConnect: own.some(({ rule }) => rule.effect === "allow" && rule.connects !== false) || listed(),
    };
    if (this.#profiles.size >= PROFILES_MAX) this.#profiles.clear();
    this.#profiles.set(key, profile);
    return profile;
  }

  decide(profile: Profile, action: Action, name: string): Decision {
    const known = profile.answers[action].get(name);
    if (known) return known;
    const decision = this.#judge(profile, action, name);
    if (this.#answers >= ANSWERS_MAX) this.#forget();
    this.#answers += 1;
    this.#answered.add(profile);
    profile.answers[action].set(name, decision);
    return decision;
  }

  get rules(): readonly Rule[] {
    return this.#set.rules;
  }

  isGroup(name: string): boolean {
    return Object.hasOwn(this.#set.groups, name);
  }

  /** Whether `principal` means the subject. For lists that clients give. */
  means(principal: string, subject: Subject): boolean {
    const who = this.#principal(principal);
    return who !== undefined && isOne(subject, who);
  }

  /** Whether there is anything called so: a component or group of the policy, or a user or group that is quickly found. */
  knows(principal: string): boolean {
    return this.#principal(principal) !== undefined;
  }

  #principal(text: string): Who | undefined {
    if (this.#principals.has(text)) return this.#principals.get(text);
    const { kind } = parsePrincipal(text);
    let known = kind !== "component" || Object.hasOwn(this.#set.components, text) || Object.hasOwn(this.#set.groups, text);
    const who = resolveWho([text], { set: this.#set, lookup: this.lookup, onUnknown: () => (known = false) });
    if (this.#principals.size >= PRINCIPALS_MAX) this.#principals.clear();
    this.#principals.set(text, known ? who : undefined);
    return this.#principals.get(text);
  }

  /** The rules in the order they were given, with what of the question each of them fits: for explanations. */
  *fits(subject: Subject, action: Action, name: string): Generator<{ rule: Rule; who: boolean; action: boolean; name: boolean }> {
    const levels = name.split("/");
    for (const { rule, who, targets } of this.#rules) {
      const fitting = (one: Action): boolean => targets[one].some((target) => targetFits(target, levels));
      yield { rule, who: isOne(subject, who), action: targets[action].length > 0, name: targets[action].length > 0 ? fitting(action) : actions.some((one) => sameKind(one, action) && fitting(one)) };
    }
  }

  #judge(profile: Profile, action: Action, name: string): Decision {
    const fixed = fixedAnswer(action, name);
    if (fixed !== undefined) return { allowed: false, text: fixed };
    const levels = name.split("/");
    const covering = (rules: readonly CompiledRule[]): Rule | undefined => rules.find(({ targets }) => targets[action].some((target) => targetFits(target, levels)))?.rule;
    const denying = covering(profile.denying[action]);
    if (denying) return { allowed: false, rule: denying, text: "" };
    const allowing = covering(profile.allowing[action]);
    if (!allowing) return { allowed: false, text: "no rule allows it" };
    return action === "write" && levels[0] === "cmd" ? this.#judgeCommand(profile, name, allowing) : { allowed: true, rule: allowing, text: "" };
  }

  #judgeCommand({ subject }: Profile, name: string, rule: Rule): Decision {
    if (!this.#commands) return { allowed: true, rule, text: "if the writers that the configuration lists for this command allow it, too" };
    const lists = this.#commands.get(name);
    if (!lists) return { allowed: false, text: "the configuration lists no such command" };
    const closed = lists.find(({ who }) => !isOne(subject, who));
    if (closed) return { allowed: false, ceiling: closed.ceiling, text: "the writers that the configuration lists for this command do not name it" };
    const ceiling = lists[0]?.ceiling;
    return { allowed: true, rule, text: "", ...(ceiling ? { ceiling } : {}) };
  }

  /** As many as there may be: what was remembered is worked out again when it is asked. */
  #forget(): void {
    for (const { answers } of this.#answered) for (const action of actions) answers[action].clear();
    this.#answered.clear();
    this.#answers = 0;
  }
}

/** What no rule can change. */
function fixedAnswer(action: Action, name: string): string | undefined {
  if (topicNameFault(name) !== undefined) return "that is no name";
  if (action === "write" && isReserved(name) && !name.startsWith("cmd/")) return `${name.split("/")[0]}/… is written by the gateway alone`;
  if (action === "offer" && isReserved(name)) return `services that begin with ${name.split("/")[0]}/ are IPCNet's own`;
  return undefined;
}

function targetsOf(rule: Rule, action: Action): Target[] {
  return rule.reach.filter((reach) => reach.action === action).flatMap(({ patterns }) => patterns.map((pattern) => ({
    levels: pattern.split("/"), stopsBefore: rule.effect === "allow" && stopsBeforeGuarded(action, pattern) ? guardedLevel(action) : undefined,
  })));
}

function targetFits({ levels, stopsBefore }: Target, name: readonly string[]): boolean {
  return name[0] !== stopsBefore && levelsMatch(levels, name);
}

function isOne(subject: Subject, { anyone, components, uids, gids }: Who): boolean {
  return anyone || uids.has(subject.uid) || gids.has(subject.gid) || subject.groups.some((gid) => gids.has(gid)) || subject.components.some((name) => components.has(name));
}

function resolveWho(principals: readonly string[], { set, lookup, onUnknown }: { set: RuleSet; lookup: NameLookup; onUnknown: (name: string) => void }): Who {
  const components = new Set<string>();
  const uids = new Set<number>();
  const gids = new Set<number>();
  let anyone = false;
  for (const text of principals) {
    const principal = parsePrincipal(text);
    switch (principal.kind) {
      case "anyone": anyone = true; break;
      case "uid": uids.add(principal.id); break;
      case "gid": gids.add(principal.id); break;
      case "component": for (const name of Object.hasOwn(set.groups, principal.name) ? set.groups[principal.name]! : [principal.name]) components.add(name); break;
      case "user": case "group": {
        const id = principal.kind === "user" ? lookup.uid(principal.name) : lookup.gid(principal.name);
        if (id === undefined) onUnknown(text);
        else (principal.kind === "user" ? uids : gids).add(id);
        break;
      }
      default: principal satisfies never;
    }
  }
  return { anyone, components, uids, gids };
}

const kinds: Readonly<Record<Action, string>> = { read: "topic", write: "topic", execute: "service", offer: "service", grantRead: "resource", grantWrite: "resource" };
const sameKind = (a: Action, b: Action): boolean => kinds[a] === kinds[b];

function forEachAction<T>(value: (action: Action) => T): Record<Action, T> {
  return Object.fromEntries(actions.map((action) => [action, value(action)])) as Record<Action, T>;
}
