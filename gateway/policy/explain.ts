/** Why somebody may do something or not, in words and places: the rule that decides, and those that nearly did. Pure. */
import type { Action } from "../../schemas/messages/policyWords.ts";
import { SAFE_POSE } from "./access.ts";
import type { Engine, Subject } from "./engine.ts";
import { NEARLY_MAX } from "./limits.ts";
import type { Place, Rule } from "./rules.ts";

export interface RuleReport {
  effect: Rule["effect"];
  /** "policy.yaml:12"; "gateway" for what is part of it. */
  at: string;
  place: Place | undefined;
  who: readonly string[];
  what: string;
  why: string;
}

export interface Explanation {
  allowed: boolean;
  /** One sentence. */
  reason: string;
  rule: RuleReport | undefined;
  /** Rules of which one thing does not fit, or that another one overrules. */
  nearly: { rule: RuleReport; because: string }[];
}

export function explain(engine: Engine, subject: Subject, action: Action, name: string): Explanation {
  const profile = engine.profileOf(subject);
  if (action === "execute" && name === SAFE_POSE) {
    return { allowed: profile.mayConnect, reason: profile.mayConnect ? "whoever may connect may ask for the safe pose" : "it may not connect: no rule allows it anything", rule: undefined, nearly: [] };
  }
  const { allowed, rule, ceiling, text } = engine.decide(profile, action, name);
  const parts: string[] = [];
  if (rule) parts.push(`${rule.effect === "allow" ? "allowed" : "denied"} by ${placeText(rule.place)}${rule.why === "" ? "" : ` (${rule.why})`}`);
  if (ceiling) parts.push(allowed ? `and by the writers at ${placeText(ceiling.place)}` : `${text} (${placeText(ceiling.place)})`);
  else if (text !== "") parts.push(text);
  return { allowed, reason: parts.join(", "), rule: rule && reportOf(rule, action), nearly: nearly(engine, { subject, action, name, allowed, decided: rule }) };
}

interface Question { subject: Subject; action: Action; name: string; allowed: boolean; decided: Rule | undefined }

/** From near to far. Of rules that would have said the same, or would have denied something else, nobody wants to hear. */
const distance = ["overruled", "says the same", "it names somebody else", "it is about something else that can be done", "its patterns do not fit"] as const;

function nearly(engine: Engine, { subject, action, name, allowed, decided }: Question): Explanation["nearly"] {
  const found: { rule: RuleReport; because: (typeof distance)[number] }[] = [];
  for (const { rule, ...fits } of engine.fits(subject, action, name)) {
    if (rule === decided || Number(fits.who) + Number(fits.action) + Number(fits.name) < 2) continue;
    const because = !fits.who ? "it names somebody else" : !fits.action ? "it is about something else that can be done" : !fits.name ? "its patterns do not fit" : rule.effect === "allow" && !allowed ? "overruled" : "says the same";
    if (rule.effect === "deny" && because !== "says the same" && !allowed) continue;
    found.push({ rule: reportOf(rule, action), because });
  }
  return found.sort((a, b) => distance.indexOf(a.because) - distance.indexOf(b.because)).slice(0, NEARLY_MAX);
}

function reportOf(rule: Rule, action: Action): RuleReport {
  const own = rule.reach.filter((reach) => reach.action === action);
  const what = (own.length > 0 ? own : rule.reach).map((reach) => `${reach.action} ${reach.patterns.join(" ")}`).join(", ");
  return { effect: rule.effect, at: placeText(rule.place), place: rule.place, who: rule.who, what, why: rule.why };
}

export function placeText(place: Place | undefined): string {
  return place ? `${place.file}:${place.line}` : "gateway";
}
