/** What starts a plan: the file's triggers, and for kinds that it does not list the defaults. The table is docs/specs/plan.md's. */
import type { Plan, PlanFile, Trigger } from "../plan.ts";

/** IEC 60204-1: 0 off now, 1 parked and then off, 2 hold. */
export type StopCategory = 0 | 1 | 2;

/** By stop category. */
export const categoryWords = ["offNow", "parkedThenOff", "hold"] as const satisfies readonly Plan["category"][];

export function categoryOf(word: Plan["category"]): StopCategory {
  return typeof word === "number" ? word : (categoryWords.indexOf(word) as StopCategory);
}

interface KindDefaults {
  /** Of the first of its kind; further ones count down. */
  priority: number;
  /** Which category of plan is looked for first. */
  prefers: readonly StopCategory[];
  latched: boolean;
  onlyArmed: boolean;
}

const gentle: readonly StopCategory[] = [2, 1, 0];
const park: readonly StopCategory[] = [1, 0, 2];
const severe: readonly StopCategory[] = [0, 1, 2];

/** Twenty priorities lie between two kinds, for further triggers of a kind. */
export const kindDefaults: Readonly<Record<Exclude<Trigger["on"], "request">, KindDefaults>> & { request: readonly [KindDefaults, KindDefaults, KindDefaults] } = {
  powerFail: { priority: 250, prefers: severe, latched: true, onlyArmed: false },
  compromise: { priority: 230, prefers: severe, latched: true, onlyArmed: false },
  condition: { priority: 210, prefers: severe, latched: true, onlyArmed: true },
  busDead: { priority: 170, prefers: park, latched: true, onlyArmed: true },
  nodeLost: { priority: 150, prefers: park, latched: true, onlyArmed: true },
  shutdown: { priority: 110, prefers: park, latched: false, onlyArmed: false },
  stop: { priority: 90, prefers: park, latched: false, onlyArmed: false },
  brainLost: { priority: 70, prefers: gentle, latched: true, onlyArmed: true },
  takeover: { priority: 50, prefers: gentle, latched: true, onlyArmed: true },
  expired: { priority: 30, prefers: gentle, latched: true, onlyArmed: true },
  /** By category. */
  request: [
    { priority: 190, prefers: [0, 1, 2], latched: true, onlyArmed: false },
    { priority: 130, prefers: [1, 0, 2], latched: true, onlyArmed: false },
    { priority: 10, prefers: [2, 1, 0], latched: true, onlyArmed: false },
  ],
};

/** A trigger with nothing left out. */
export interface ResolvedTrigger {
  name: string;
  on: Trigger["on"];
  /** Place in the file's plans. */
  plan: number;
  priority: number;
  latched: boolean;
  onlyArmed: boolean;
  category?: StopCategory;
  when?: Trigger["when"];
  node?: string;
  command?: string;
  bus?: string;
  /** Place in the file's list; undefined: a default. */
  listed?: number;
}

/** By falling priority. Of a file whose names resolve; triggers of plans that do not exist, and those with plan: none, are left out. */
export function resolveTriggers(file: Pick<PlanFile, "plans" | "triggers">): ResolvedTrigger[] {
  const used = new Map<string, number>();
  const resolved: ResolvedTrigger[] = [];
  for (const [listed, trigger] of file.triggers.entries()) {
    const { on, plan: planName, priority, latched, onlyArmed, category, ...subject } = trigger;
    const asked = on === "request" ? categoryOf(category ?? 1) : undefined;
    const byDefault = defaultsOf(on, asked);
    const kind = `${on}${asked ?? ""}`;
    const place = used.get(kind) ?? 0;
    used.set(kind, place + 1);
    const plan = file.plans.findIndex(({ name }) => name === planName);
    if (plan < 0) continue;
    resolved.push({
      name: nameOf(trigger), on, plan, priority: priority ?? Math.max(0, byDefault.priority - place), latched: latched ?? byDefault.latched, onlyArmed: onlyArmed ?? byDefault.onlyArmed, listed,
      ...(asked === undefined ? {} : { category: asked }), ...subject,
    });
  }
  for (const on of Object.keys(kindDefaults) as Trigger["on"][]) {
    for (const asked of on === "request" ? ([0, 1, 2] as const) : [undefined]) {
      // What an emergency stop looks like cannot be guessed.
      if (on === "condition" || used.has(`${on}${asked ?? ""}`)) continue;
      const { prefers, ...defaults } = defaultsOf(on, asked);
      const plan = preferredPlan(file.plans, prefers);
      if (plan >= 0) resolved.push({ name: nameOf({ on, ...(asked === undefined ? {} : { category: asked }) }), on, plan, ...defaults, ...(asked === undefined ? {} : { category: asked }) });
    }
  }
  return resolved.toSorted((a, b) => b.priority - a.priority);
}

function defaultsOf(on: Trigger["on"], category: StopCategory | undefined): KindDefaults {
  return on === "request" ? kindDefaults.request[category ?? 1] : kindDefaults[on];
}

function preferredPlan(plans: readonly Plan[], prefers: readonly StopCategory[]): number {
  for (const wanted of prefers) {
    const found = plans.findIndex(({ category }) => categoryOf(category) === wanted);
    if (found >= 0) return found;
  }
  return -1;
}

function nameOf({ on, category, when, node, command, bus }: Partial<Trigger> & { on: Trigger["on"] }): string {
  const subject = on === "request" ? categoryWords[categoryOf(category ?? 1)] : (node ?? command ?? bus ?? (when ? `${when.topic} ${when.signal}` : undefined));
  return subject === undefined ? on : `${on} ${subject}`;
}
