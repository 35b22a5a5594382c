import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { SafePoseSequence, type PoseEffect, type PosePlan, type PoseVerdict } from "./sequence.ts";

const slow = { label: "velocity", holds: (value: number) => Math.abs(value) < 0.02, holdMs: 50, ageMsMax: 100 };
const plan: PosePlan = {
  budgetMs: 3_000,
  steps: [
    { name: "hold", sendCount: 2, until: [slow], deadlineMs: 1_000, onTimeout: "continue", resendMs: 20 },
    { name: "brake", sendCount: 1, until: [], deadlineMs: 100, onTimeout: "continue", resendMs: 20 },
  ],
};

/** Runs the plan in steps of 1 ms against `measure(ms)`; returns what was sent when, and the verdict. */
function run(subject: PosePlan, measure: (ms: number) => { value: number; ageMs: number } | undefined): { sends: [number, number, number][]; verdict: PoseVerdict; ms: number } {
  const sequence = new SafePoseSequence(subject);
  const sends: [number, number, number][] = [];
  const take = (effects: PoseEffect[], ms: number): PoseVerdict | undefined => {
    for (const effect of effects) {
      if (effect.type === "ended") return effect.verdict;
      sends.push([ms, effect.stepIndex, effect.sendIndex]);
    }
    return undefined;
  };
  let verdict = take(sequence.start("test", 0, () => measure(0)), 0);
  let ms = 0;
  while (!verdict) {
    ms += 1;
    assert.ok(ms <= subject.budgetMs + 1, "the sequence outlived its budget");
    verdict = take(sequence.poll(ms * 1e3, () => measure(ms)), ms);
  }
  assert.equal(sequence.running, false);
  return { sends, verdict, ms };
}

test("posed: the condition must hold for its time, then the next step follows", () => {
  const { verdict, sends, ms } = run({ ...plan, steps: [plan.steps[0]!] }, (at) => ({ value: at < 200 ? 1 : 0, ageMs: 5 }));
  assert.equal(verdict.verdict, "posed");
  assert.equal(ms, 250);
  assert.deepEqual(sends.slice(0, 4), [[0, 0, 0], [0, 0, 1], [20, 0, 0], [20, 0, 1]]);
});

test("a signal that shakes does not count as held", () => {
  const { verdict } = run(plan, (at) => ({ value: at % 40 === 0 ? 1 : 0, ageMs: 5 }));
  assert.equal(verdict.steps[0]!.result, "timedOut");
  assert.equal(verdict.verdict, "cut");
});

test("a stale signal is no measurement", () => {
  const { verdict } = run(plan, () => ({ value: 0, ageMs: 101 }));
  assert.deepEqual(verdict.steps.map((step) => step.result), ["timedOut", "sentOnly"]);
  assert.deepEqual(verdict.steps[0]!.missing, ["velocity"]);
});

test("a step that must not fail makes the verdict a failure, but the later steps still go out: one of them may be the brake", () => {
  const { verdict, sends } = run({ ...plan, steps: [{ ...plan.steps[0]!, onTimeout: "fail" }, plan.steps[1]!] }, () => undefined);
  assert.equal(verdict.verdict, "failed");
  assert.deepEqual(verdict.steps.map((step) => step.result), ["timedOut", "sentOnly"]);
  assert.ok(sends.some(([, step]) => step === 1));
});

test("the budget ends it whatever the steps say", () => {
  const { verdict, ms, sends } = run({ budgetMs: 300, steps: plan.steps }, () => undefined);
  assert.equal(verdict.verdict, "failed");
  assert.equal(ms, 300);
  assert.deepEqual(verdict.steps.map((step) => step.result), ["timedOut", "hurried"]);
  assert.deepEqual(sends.at(-1), [300, 1, 0]);
});

test("a second trigger while it runs changes nothing", () => {
  const sequence = new SafePoseSequence(plan);
  sequence.start("first", 0, () => undefined);
  assert.deepEqual(sequence.start("second", 1_000, () => undefined), []);
});

test("whatever is measured, every plan ends within its budget, and every frame of every step was sent", () => {
  const condition = fc.record({ label: fc.constant("x"), holds: fc.constant((value: number) => value < 0.5), holdMs: fc.integer({ min: 0, max: 100 }), ageMsMax: fc.constant(50) });
  const step = fc.record({ name: fc.constant("s"), sendCount: fc.nat(3), until: fc.array(condition, { maxLength: 2 }), deadlineMs: fc.integer({ min: 0, max: 200 }), onTimeout: fc.constantFrom("continue" as const, "fail" as const), resendMs: fc.integer({ min: 1, max: 50 }) });
  const anyPlan = fc.record({ budgetMs: fc.integer({ min: 1, max: 400 }), steps: fc.array(step, { maxLength: 4 }) });
  fc.assert(fc.property(anyPlan, fc.infiniteStream(fc.record({ value: fc.double({ min: 0, max: 1, noNaN: true }), ageMs: fc.integer({ min: 0, max: 100 }) })), (subject, values) => {
    const { verdict, sends } = run(subject, () => values.next().value);
    for (const [stepIndex, each] of subject.steps.entries()) {
      for (let sendIndex = 0; sendIndex < each.sendCount; sendIndex++) assert.ok(sends.some(([, s, f]) => s === stepIndex && f === sendIndex), `step ${stepIndex}`);
    }
    assert.equal(verdict.steps.length, subject.steps.length);
    assert.ok(verdict.tookMs <= subject.budgetMs);
    if (verdict.verdict === "posed") assert.ok(verdict.steps.every((result) => result.result === "reached"));
  }), { numRuns: 200 });
});
