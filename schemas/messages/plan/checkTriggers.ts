/** Triggers name plans that exist, say what their kind asks for and nothing else, and are a total order. */
import type { CheckContext } from "../check/context.ts";
import type { Path } from "../fault.ts";
import type { PlanFile, Trigger } from "../plan.ts";
import { categoryOf, categoryWords, resolveTriggers } from "./triggers.ts";

type Subject = "category" | "when" | "node" | "command" | "bus";
const subjects: readonly Subject[] = ["category", "when", "node", "command", "bus"];

const subjectOf: Readonly<Partial<Record<Trigger["on"], { key: Subject; needed: boolean }>>> = {
  request: { key: "category", needed: true }, condition: { key: "when", needed: true }, nodeLost: { key: "node", needed: false }, expired: { key: "command", needed: false }, busDead: { key: "bus", needed: false },
};

export function checkTriggers(context: CheckContext, file: PlanFile): void {
  const plans = file.plans.map(({ name }) => name);
  const listed = context.items(file.triggers, ["triggers"]);
  const seen = new Map<string, Path>();
  for (const [trigger, path] of listed) {
    if (trigger.plan !== "none" && !plans.includes(trigger.plan)) context.unknown("unknownPlan", [...path, "plan"], { what: "plan", name: trigger.plan, known: [...plans, "none"], lists: ["plans"] });
    checkSubject(context, trigger, path);
    const { when } = trigger;
    const key = [trigger.on, trigger.category === undefined ? "" : categoryOf(trigger.category), trigger.node, trigger.command, trigger.bus, when ? JSON.stringify(when) : ""].join(" ");
    const before = seen.get(key);
    if (before) context.fault("duplicateTrigger", [...path, "on"], "this trigger is there already", { expected: `one of them; the first is in line ${context.loaded.locate(before).line}` });
    else seen.set(key, path);
  }
  checkOrder(context, file, listed);
}

function checkSubject(context: CheckContext, trigger: Trigger, path: Path): void {
  const wanted = subjectOf[trigger.on];
  for (const key of subjects) {
    if (trigger[key] !== undefined && key !== wanted?.key) context.fault("conflictingKeys", [...path, key], `${key} means nothing for ${trigger.on}`, { expected: wanted ? `${wanted.key}, or no key of the kind` : "no key of the kind", part: "key" });
  }
  if (wanted?.needed === true && trigger[wanted.key] === undefined) context.fault("missingKey", [...path, "on"], `${trigger.on} without ${wanted.key}`, { expected: wanted.key === "category" ? "category: 0, 1 or 2" : "when: a measured condition" });
}

function checkOrder(context: CheckContext, file: PlanFile, listed: readonly (readonly [Trigger, Path])[]): void {
  const triggers = resolveTriggers(file);
  const pathOf = (place: number | undefined, key: string): Path => (place === undefined ? ["triggers"] : [...listed[place]![1], key]);
  const severity = (place: number): number => categoryOf(file.plans[place]!.category);
  for (const [at, lower] of triggers.entries()) {
    const higher = triggers[at - 1];
    if (!higher) continue;
    if (higher.priority === lower.priority) {
      const place = lower.listed ?? higher.listed;
      context.fault("duplicatePriority", pathOf(place, "priority"), `"${higher.name}" and "${lower.name}" both have priority ${lower.priority}: which of them wins is not said`, { expected: "a priority of its own for each; ipcnet plan show lists those of the defaults" });
    }
    // A plan that takes over should not be gentler than the one that it stops.
    if (severity(higher.plan) > severity(lower.plan) && (higher.listed !== undefined || lower.listed !== undefined)) {
      const [upper, under] = [file.plans[higher.plan]!, file.plans[lower.plan]!];
      context.warning("gentlerFirst", pathOf(higher.listed ?? lower.listed, "priority"), `"${higher.name}" (priority ${higher.priority}) starts ${upper.name}, category ${categoryWords[severity(higher.plan)]}, and would stop ${under.name} of "${lower.name}" (${lower.priority}), which is ${categoryWords[severity(lower.plan)]}`, { hint: "give the severer plan the higher priority" });
    }
  }
}
