import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { RateGate } from "./rateGate.ts";

test("the newest item always gets through in the end, and the rate is kept", () => {
  fc.assert(fc.property(fc.array(fc.integer({ min: 0, max: 20_000 }), { minLength: 1, maxLength: 200 }), (gapsUs) => {
    const gate = new RateGate<number>(100);
    const passed: { item: number; atUs: number }[] = [];
    let nowUs = 0;
    for (const [item, gapUs] of gapsUs.entries()) {
      const untilUs = nowUs + gapUs;
      for (let due = gate.nextDeadlineUs(); due !== undefined && due <= untilUs; due = gate.nextDeadlineUs()) passed.push({ item: gate.take(due)!, atUs: due });
      nowUs = untilUs;
      if (gate.offer(nowUs, () => item)) passed.push({ item, atUs: nowUs });
    }
    const due = gate.nextDeadlineUs();
    if (due !== undefined) passed.push({ item: gate.take(Math.max(due, nowUs))!, atUs: Math.max(due, nowUs) });
    assert.equal(passed.at(-1)?.item, gapsUs.length - 1);
    for (let i = 1; i < passed.length; i++) assert.ok(passed[i]!.item > passed[i - 1]!.item);
    const spanUs = passed.at(-1)!.atUs - passed[0]!.atUs;
    assert.ok(passed.length <= spanUs / 10_000 + 2, `${passed.length} in ${spanUs} µs`);
  }));
});

test("without a rate everything passes at once", () => {
  const gate = new RateGate<number>(undefined);
  for (let i = 0; i < 10; i++) assert.ok(gate.offer(5, () => assert.fail("nothing is held")));
});
