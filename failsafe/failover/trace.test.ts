import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { type TakeoverStep, takeoverSteps, TakeoverTrace } from "./trace.ts";

test("steps come in order, each once, whatever is said when", () => {
  fc.assert(fc.property(fc.array(fc.record({ step: fc.constantFrom(...takeoverSteps), afterUs: fc.nat(10_000) })), (marks) => {
    let nowUs = 1e9;
    const trace = new TakeoverTrace(() => nowUs);
    for (const { step, afterUs } of marks) {
      nowUs += afterUs;
      trace.mark(step);
    }
    const report = trace.report();
    if (marks.length === 0) return assert.equal(report, undefined);
    const steps = Object.keys(report!.stepsUs) as TakeoverStep[];
    assert.deepEqual(steps, takeoverSteps.filter((step) => steps.includes(step)), "in the order of the list");
    assert.equal(steps[0], marks[0]!.step);
    const us = Object.values(report!.stepsUs);
    assert.equal(us[0], 0);
    assert.deepEqual(us, us.toSorted((a, b) => a - b));
    assert.equal(report!.noticedUs, 1e9 + marks[0]!.afterUs);
  }));
});
