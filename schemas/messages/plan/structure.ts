/** What a plan file says by itself: names resolve, no circles, fallbacks ask for less, times fit. Knows nothing of buses and messages. */
import type { CheckContext } from "../check/context.ts";
import { checkHold } from "../check/commands.ts";
import { uniqueness } from "../check/names.ts";
import type { Path } from "../fault.ts";
import type { Plan, PlanFile, Step } from "../plan.ts";
import { buildGraph, fallbackNames, findCircle, neededNames, ownMs, type PlanGraph } from "./graph.ts";
import { planLimits } from "./limits.ts";

/** A plan whose structure is sound, and its graph. */
export interface SoundPlan { plan: Plan; path: Path; graph: PlanGraph }

export function checkStructure(context: CheckContext, file: PlanFile): SoundPlan[] {
  const unique = uniqueness(context, "plan");
  const sound: SoundPlan[] = [];
  for (const [plan, path] of context.items(file.plans, ["plans"])) {
    unique(plan.name, [...path, "name"]);
    if (plan.name === "none") context.fault("reservedName", [...path, "name"], 'triggers write "none" where nothing shall happen', { expected: "another name" });
    const before = context.faults.length;
    checkSteps(context, plan, path);
    if (context.faults.slice(before).some(({ severity }) => severity === "error") || context.loaded.isIncomplete(pathOf(path, "steps"))) continue;
    const graph = buildGraph(plan);
    checkBudget(context, plan, path, graph);
    sound.push({ plan, path, graph });
  }
  checkRoom(context, file, sound);
  return sound;
}

function pathOf(path: Path, key: string): string {
  return `plans[${String(path[1])}].${key}`;
}

function checkSteps(context: CheckContext, plan: Plan, path: Path): void {
  const unique = uniqueness(context, `step of ${plan.name}`);
  const steps = context.items(plan.steps, [...path, "steps"]);
  const names = plan.steps.map(({ name }) => name);
  const incomplete = [pathOf(path, "steps")];
  const fallbacks = fallbackNames(plan);
  let resolved = true;
  for (const [step, at] of steps) {
    if (!unique(step.name, [...at, "name"])) resolved = false;
    for (const [need, needAt] of context.items(step.needs, [...at, "needs"])) {
      if (names.includes(need)) continue;
      resolved = false;
      context.unknown("unknownStep", needAt, { what: "step", name: need, where: ` in ${plan.name}`, known: names.filter((name) => name !== step.name && !fallbacks.has(name)), lists: incomplete });
    }
    if (step.fallback !== undefined && !names.includes(step.fallback)) {
      resolved = false;
      context.unknown("unknownStep", [...at, "fallback"], { what: "step", name: step.fallback, where: ` in ${plan.name}`, known: names.filter((name) => name !== step.name), lists: incomplete });
    }
    checkStep(context, step, at, fallbacks.has(step.name));
  }
  if (!resolved) return;
  const pathTo = (name: string, key: string): Path => [...(steps.find(([step]) => step.name === name)?.[1] ?? path), key];
  checkCircles(context, plan, pathTo);
  for (const [step, at] of steps) {
    for (const [need, needAt] of context.items(step.needs, [...at, "needs"])) {
      if (fallbacks.has(need)) context.fault("needsFallback", needAt, `${need} runs only in place of another step: it may never begin`, { expected: "the step whose fallback it is; it has ended when its fallback has" });
    }
    const fallback = plan.steps.find(({ name }) => name === step.fallback);
    if (fallback) checkFallback(context, step, fallback, [...at, "fallback"]);
  }
}

function checkStep(context: CheckContext, step: Step, path: Path, isFallback: boolean): void {
  const { name, send, until, call, deadlineMs, tries, backoffMs, resendMs, onTimeout, fallback, mandatory, needs } = step;
  if (send.length === 0 && until.length === 0 && !call) context.fault("emptyStep", path, `${name} does nothing and waits for nothing`, { expected: "at least one of send, until, call" });
  for (const [condition, at] of context.items(until, [...path, "until"])) checkHold(context, condition, deadlineMs, at);
  if (onTimeout !== undefined && fallback !== undefined) context.fault("conflictingKeys", [...path, "onTimeout"], `when ${name} is given up its fallback runs`, { expected: `onTimeout of ${fallback} alone`, part: "key" });
  if (backoffMs > 0 && tries === 1) context.warning("noEffect", [...path, "backoffMs"], "there is no second try to wait for", { hint: "tries: 2" });
  if (resendMs >= deadlineMs && resendMs > 0 && until.length > 0 && send.length > 0) context.warning("noEffect", [...path, "resendMs"], `a try ends after ${deadlineMs} ms: nothing is sent again`, { hint: `resendMs: ${Math.max(1, Math.round(deadlineMs / 5))}, or 0` });
  if (mandatory && send.length === 0) context.warning("noEffect", [...path, "mandatory"], `${name} sends nothing that could be owed`, { part: "key" });
  if (!isFallback) return;
  if (needs !== undefined) context.fault("conflictingKeys", [...path, "needs"], `${name} runs in place of another step, and begins when that one is given up`, { expected: "no needs", part: "key" });
  if (mandatory) context.fault("conflictingKeys", [...path, "mandatory"], `${name} runs only in place of another step`, { expected: "mandatory on that step, or the messages in the last rung", part: "key" });
}

function checkCircles(context: CheckContext, plan: Plan, pathTo: (name: string, key: string) => Path): void {
  const names = plan.steps.map(({ name }) => name);
  const needed = neededNames(plan);
  const ofNeeds = findCircle(names, (name) => needed.get(name) ?? []);
  if (ofNeeds) context.fault("circle", pathTo(ofNeeds[0]!, "needs"), `each of these waits for the next one: ${ofNeeds.join(" → ")}`, { expected: "steps that can begin one after the other" });
  const ofFallbacks = findCircle(names, (name) => plan.steps.flatMap((step) => (step.name === name && step.fallback !== undefined ? [step.fallback] : [])));
  if (ofFallbacks) context.fault("circle", pathTo(ofFallbacks[0]!, "fallback"), `fallbacks in a circle: ${ofFallbacks.join(" → ")}`, { expected: "a last fallback that has none" });
}

/** Whether the step cannot be met without a gateway: what only it can send or call. What it measures elsewhere than on CAN counts, too. */
function needsBrain({ send, call, until }: Step): boolean {
  return call !== undefined || send.some((each) => !("bus" in each)) || until.some(({ topic }) => !topic.startsWith("can/"));
}

/** docs/specs/plan.md: in nothing more, in something less. */
function checkFallback(context: CheckContext, step: Step, fallback: Step, path: Path): void {
  const more: string[] = [];
  if (fallback.call) more.push("it calls a service");
  else if (needsBrain(fallback) && !needsBrain(step)) more.push("it needs the gateway");
  if (fallback.until.length > step.until.length) more.push(`it waits for ${fallback.until.length} conditions, not ${step.until.length}`);
  if (fallback.deadlineMs > step.deadlineMs) more.push(`a try takes ${fallback.deadlineMs} ms, not ${step.deadlineMs}`);
  if (ownMs(fallback) > ownMs(step)) more.push(`all its tries take ${ownMs(fallback)} ms, not ${ownMs(step)}`);
  if (more.length > 0) {
    context.fault("fallbackDemandsMore", path, `${fallback.name} asks for more than ${step.name}: ${more.join(", ")}`, { expected: "a fallback that can be reached where the step could not" });
    return;
  }
  const less = fallback.until.length < step.until.length || ownMs(fallback) < ownMs(step) || (needsBrain(step) && !needsBrain(fallback));
  if (!less) context.fault("fallbackNotLess", path, `${fallback.name} asks for as much as ${step.name}`, { expected: "fewer conditions, less time, or no gateway" });
}

function checkBudget(context: CheckContext, plan: Plan, path: Path, graph: PlanGraph): void {
  if (graph.worstMs <= plan.budgetMs) return;
  const way = graph.steps.filter(({ isCritical }) => isCritical).map(({ name, ownMs: ms }) => `${name} ${ms}`).join(" + ");
  context.fault("budgetTooShort", [...path, "budgetMs"], `${plan.name} may take ${graph.worstMs} ms, the budget is ${plan.budgetMs}; the longest way: ${way} ms`, { expected: `at least ${graph.worstMs}, or shorter deadlines on that way` });
}

/** Fallbacks that several steps share are there several times: only the graphs know how much there is. */
function checkRoom(context: CheckContext, file: PlanFile, sound: readonly SoundPlan[]): void {
  const all = sound.flatMap(({ graph }) => graph.steps);
  const counts: Readonly<Record<keyof typeof planLimits, number>> = {
    steps: all.length,
    needs: all.reduce((sum, { needs }) => sum + needs.length, 0),
    sends: all.reduce((sum, { step }) => sum + step.send.length, 0) + file.plans.reduce((sum, { lastRung }) => sum + lastRung.length, 0),
    conditions: all.reduce((sum, { step }) => sum + step.until.length, 0) + file.triggers.filter(({ when }) => when).length,
  };
  for (const [what, most] of Object.entries(planLimits)) {
    const count = counts[what as keyof typeof planLimits];
    if (count > most) context.fault("tooLarge", ["plans"], `all plans together have ${count} ${what}`, { expected: `at most ${most}`, part: "key" });
  }
}
