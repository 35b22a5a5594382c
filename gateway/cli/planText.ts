/** Plans for a terminal: one line a step, the longest way marked, fallbacks under their steps, triggers in their order. */
import type { PlanFile } from "../../schemas/messages/plan.ts";
import { buildGraph, type GraphStep } from "../../schemas/messages/plan/graph.ts";
import { categoryOf, categoryWords, resolveTriggers } from "../../schemas/messages/plan/triggers.ts";
import { conditionText, triesText } from "../../failsafe/shutdown/picture.ts";
import { span, type Line } from "../view/style.ts";
import { displayWidth, fit } from "../view/text.ts";

const lastRung = "last rung";

/** `only`: of this plan alone, without the triggers. */
export function planLines(file: PlanFile, only?: string): Line[] {
  const plans = file.plans.filter(({ name }) => only === undefined || name === only);
  const lines = plans.flatMap((plan, index): Line[] => {
    const graph = buildGraph(plan);
    const category = categoryOf(plan.category);
    const nameColumns = Math.min(40, Math.max(displayWidth(lastRung), ...graph.steps.map(({ name, onlyFallback }) => displayWidth(name) + (onlyFallback ? 2 : 0))));
    return [
      ...(index > 0 ? [[]] : []),
      [span(plan.name, "title"), span(`  ${categoryWords[category]} (category ${category}), longest way ${graph.worstMs} of ${plan.budgetMs} ms: `), span(graph.critical.join(" → "), "strong")],
      ...graph.steps.map((each) => stepLine(each, graph.steps, nameColumns)),
      [span("  ✖ ", "bad"), span(`${fit(lastRung, nameColumns)}  `), span(plan.lastRung.map(({ bus, message }) => `${bus}/${message}`).join(", "), "dim")],
    ];
  });
  if (only !== undefined) return lines;
  const triggers = resolveTriggers(file);
  const widest = Math.max(0, ...triggers.map(({ name }) => displayWidth(name)));
  return [
    ...lines, [], [span("triggers, the highest first", "title")],
    ...triggers.map(({ priority, name, plan, latched, onlyArmed, listed }): Line => [
      span(`  ${fit(String(priority), 3, "right")}  ${fit(name, widest)}  ${file.plans[plan]!.name}`), span(`  ${[latched ? "latched" : "", onlyArmed ? "only while armed" : "", listed === undefined ? "by default" : ""].filter((word) => word !== "").join(", ")}`, "dim"),
    ]),
  ];
}

function stepLine({ name, step, needs, beginsMs, endsMs, onlyFallback, isCritical }: GraphStep, all: readonly GraphStep[], nameColumns: number): Line {
  const words = [
    onlyFallback ? "" : needs.length > 0 ? `after ${needs.map((need) => all[need]!.name).join(", ")}` : "at once",
    step.send.length > 0 ? `sends ${step.send.length}` : "", step.call ? `calls ${step.call.service}` : "",
    step.until.length > 2 ? `until ${step.until.length} conditions` : step.until.map((condition) => `until ${conditionText(condition)}`).join(", "),
    step.mandatory ? "mandatory" : "", step.onTimeout === undefined || step.onTimeout === "continue" ? "" : `given up: ${step.onTimeout === "last" ? "last rung" : "failed"}`,
  ];
  return [
    span(isCritical ? "  ● " : "  ○ ", isCritical ? "warn" : "dim"), span(fit(onlyFallback ? `↳ ${name}` : name, nameColumns), isCritical ? "strong" : "plain"),
    span(`  ${fit(String(beginsMs), 6, "right")} to ${fit(String(endsMs), 6)} ms  ${fit(triesText(step), 24)}`), span(words.filter((word) => word !== "").join("; "), "dim"),
  ];
}
