/**
 * A plan as the graph that is run: steps in an order in which each comes after what it needs, fallbacks right behind the step in whose place they run (a fallback that two steps share
 * is there twice), and for each the latest time at which it can begin and end.
 */
import type { Plan, Step } from "../plan.ts";

export interface GraphStep {
  /** Unique in the graph: of a fallback that is there twice, "brake (park)". */
  name: string;
  step: Step;
  /** Places in the graph. */
  needs: readonly number[];
  fallback: number | undefined;
  /** Runs only in place of another. */
  onlyFallback: boolean;
  /** All tries and pauses. */
  ownMs: number;
  /** Latest; of a fallback: when all before it were given up. */
  beginsMs: number;
  /** Latest end, fallbacks not counted. */
  endsMs: number;
  /** On the longest way. */
  isCritical: boolean;
}

export interface PlanGraph {
  steps: readonly GraphStep[];
  /** The longest way. */
  worstMs: number;
  /** Names of the steps of the longest way, fallbacks included. */
  critical: readonly string[];
}

/** What is needed: what the step says, else the step before it in the list (fallbacks aside), else nothing. */
export function neededNames(plan: Plan): Map<string, readonly string[]> {
  const fallbacks = fallbackNames(plan);
  const needed = new Map<string, readonly string[]>();
  let before: string | undefined;
  for (const { name, needs } of plan.steps) {
    if (fallbacks.has(name)) {
      needed.set(name, needs ?? []);
      continue;
    }
    needed.set(name, needs ?? (before === undefined ? [] : [before]));
    before = name;
  }
  return needed;
}

/** Names that some step has as its fallback. */
export function fallbackNames(plan: Plan): ReadonlySet<string> {
  return new Set(plan.steps.flatMap(({ fallback }) => fallback ?? []));
}

/** The first circle in a relation between names, as the names along it; undefined when there is none. No recursion: names come from a file. */
export function findCircle(names: readonly string[], next: (name: string) => readonly string[]): string[] | undefined {
  const done = new Set<string>();
  for (const start of names) {
    const way: { name: string; rest: string[] }[] = [{ name: start, rest: [...next(start)] }];
    while (way.length > 0) {
      const top = way.at(-1)!;
      const to = top.rest.pop();
      if (to === undefined) {
        done.add(top.name);
        way.pop();
        continue;
      }
      const at = way.findIndex(({ name }) => name === to);
      if (at >= 0) return [...way.slice(at).map(({ name }) => name), to];
      if (!done.has(to)) way.push({ name: to, rest: [...next(to)] });
    }
  }
  return undefined;
}

export function ownMs({ tries, deadlineMs, backoffMs }: Step): number {
  return tries * deadlineMs + (tries - 1) * backoffMs;
}

/** Of a plan whose names resolve and which has no circles. */
export function buildGraph(plan: Plan): PlanGraph {
  const byName = new Map(plan.steps.map((step) => [step.name, step]));
  const fallbacks = fallbackNames(plan);
  const needed = neededNames(plan);
  const steps: GraphStep[] = [];
  const placeOf = new Map<string, number>();
  const taken = new Set<string>();
  let waiting = plan.steps.filter(({ name }) => !fallbacks.has(name));
  while (waiting.length > 0) {
    const ready = waiting.filter(({ name }) => needed.get(name)!.every((need) => placeOf.has(need)));
    if (ready.length === 0) throw new Error(`the steps of ${plan.name} form a circle`);
    for (const step of ready) {
      const needs = needed.get(step.name)!.map((need) => placeOf.get(need)!);
      placeOf.set(step.name, steps.length);
      let beginsMs = Math.max(0, ...needs.map((need) => chainEndMs(steps, need)));
      let rung: Step | undefined = step;
      while (rung) {
        const name: string = taken.has(rung.name) ? `${rung.name} (${step.name})` : rung.name;
        taken.add(rung.name);
        const endsMs = beginsMs + ownMs(rung);
        const fallback: Step | undefined = rung.fallback === undefined ? undefined : byName.get(rung.fallback);
        steps.push({ name, step: rung, needs: rung === step ? needs : [], fallback: fallback ? steps.length + 1 : undefined, onlyFallback: rung !== step, ownMs: ownMs(rung), beginsMs, endsMs, isCritical: false });
        beginsMs = endsMs;
        rung = fallback;
      }
    }
    waiting = waiting.filter((step) => !ready.includes(step));
  }
  return markCritical(steps);
}

/** When a step and all its fallbacks have ended at the latest. */
function chainEndMs(steps: readonly GraphStep[], place: number): number {
  let at = steps[place]!;
  while (at.fallback !== undefined) at = steps[at.fallback]!;
  return at.endsMs;
}

function markCritical(steps: GraphStep[]): PlanGraph {
  const heads = [...steps.keys()].filter((place) => !steps[place]!.onlyFallback);
  const worstMs = Math.max(0, ...heads.map((place) => chainEndMs(steps, place)));
  const critical: string[] = [];
  let at = heads.find((place) => chainEndMs(steps, place) === worstMs);
  while (at !== undefined) {
    const chain: GraphStep[] = [];
    for (let rung: number | undefined = at; rung !== undefined; rung = steps[rung]!.fallback) chain.push(steps[rung]!);
    for (const rung of chain) rung.isCritical = true;
    critical.unshift(...chain.map(({ name }) => name));
    const { beginsMs, needs } = steps[at]!;
    at = needs.find((need) => chainEndMs(steps, need) === beginsMs);
  }
  return { steps, worstMs, critical };
}
