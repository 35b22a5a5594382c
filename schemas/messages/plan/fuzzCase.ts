/** What is fuzzed of the plan file: the reader, its checks, the graph, the triggers' order. */
import { checkPlan } from "../checkPlan.ts";
import { renderFault } from "../fault.ts";
import { buildGraph } from "./graph.ts";
import { resolveTriggers } from "./triggers.ts";

const bytes = (value: string): Uint8Array => new TextEncoder().encode(value);
const rung = "lastRung: [ { bus: a, message: Off, values: { x: 1 } } ]";

export const planFuzz: { name: string; run(input: Uint8Array): void; seeds: Uint8Array[] } = {
  name: "plan text",
  run(input) {
    const source = new TextDecoder("utf-8").decode(input);
    const { checked, faults } = checkPlan({ text: source, file: "fuzz.yaml" });
    if ((checked === undefined) !== faults.some(({ severity }) => severity === "error")) throw new Error("neither a plan nor an error, or both");
    const lines = source.split("\n").length;
    for (const fault of faults) {
      if (!(fault.line >= 1 && fault.line <= lines && fault.column >= 1) || fault.message === "") throw new Error(`a fault says too little: ${JSON.stringify(fault)}`);
      renderFault(fault, () => source);
    }
    if (!checked) return;
    for (const plan of checked.plan.plans) {
      const { worstMs, steps } = buildGraph(plan);
      if (!(worstMs <= plan.budgetMs) || steps.length < plan.steps.length) throw new Error("an accepted plan that does not fit its budget, or lost a step");
    }
    const triggers = resolveTriggers(checked.plan);
    if (triggers.some(({ priority }, at) => at > 0 && priority >= triggers[at - 1]!.priority)) throw new Error("triggers without a total order");
  },
  seeds: [
    bytes(`version: 1\nplans:\n  - { name: park, category: 1, budgetMs: 900, ${rung}, steps: [ { name: a, until: [ { topic: can/a/S, signal: v, absMax: 1, holdMs: 5 } ], deadlineMs: 100, tries: 2, backoffMs: 5, fallback: b }, { name: b, send: [ { bus: a, message: M, values: { x: 1 } } ] }, { name: c, needs: [a], call: { service: x/y, arguments: { n: 1 } }, mandatory: true, onTimeout: last } ] }\n`),
    bytes(`version: 1\nplans:\n  - { name: p, category: hold, budgetMs: 90, ${rung}, steps: [ { name: a, needs: [], send: [ { serial: s, message: M } ] } ] }\n  - { name: q, category: offNow, budgetMs: 90, ${rung}, steps: [ { name: a, send: [ { mqtt: m, topic: t, values: { a: b } } ] } ] }\ntriggers: [ { on: request, category: 2, plan: p }, { on: nodeLost, node: n, plan: q, priority: 9, latched: false }, { on: condition, when: { topic: can/a/S, signal: v, equals: 1 }, plan: q }, { on: takeover, plan: none } ]\n`),
    bytes("version: 1\nplans: [ { name: a, steps: &s [ { name: x, needs: [y] }, { name: y, needs: [x], fallback: z }, { name: z, fallback: y } ] }, { name: b, category: 3, steps: *s } ]\n"),
  ],
};
