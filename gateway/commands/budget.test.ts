import assert from "node:assert/strict";
import { test } from "node:test";
import { BusLoadBudget, dataBit, fdFrameBitsMax, frameBitsMax } from "./budget.ts";

test("worst-case frame lengths agree with the textbook", () => {
  assert.equal(frameBitsMax(8, false), 135);
  assert.equal(frameBitsMax(8, true), 160);
  assert.equal(frameBitsMax(0, false), 55);
});

test("of an FD frame the data phase counts for as long as it takes, and never more than drivers/can/core reckons with", () => {
  assert.equal(dataBit({ bitrateBps: 500_000, dataBitrateBps: 2_000_000 }), 0.25);
  assert.equal(dataBit({ bitrateBps: 500_000 }), 1);
  assert.equal(dataBit({ dataBitrateBps: 2_000_000 }), 1);
  // 80 bits at the nominal rate and 680 at the other (bus_health.c).
  for (const bit of [1, 0.25, 0.1]) assert.ok(fdFrameBitsMax(64, true, bit) <= 80 + 680 * bit && fdFrameBitsMax(64, true, bit) > 0.9 * (57 + 670 * bit), String(fdFrameBitsMax(64, true, bit)));
  // Without a switch it is no shorter than a classic one.
  for (const extended of [false, true]) assert.ok(fdFrameBitsMax(8, extended, 1) > 8 * 8 + 47);
  assert.ok(fdFrameBitsMax(64, false, 0.25) < frameBitsMax(64, false) / 3);
});

test("over a second no more than the share goes out, however it is asked for", () => {
  const budget = new BusLoadBudget({ bitrateBps: 500_000, loadPercentMax: 50 });
  let bits = 0;
  for (let nowUs = 0; nowUs < 1_000_000; nowUs += 37) if (budget.take(135, nowUs)) bits += 135;
  assert.ok(bits <= 250_000 + 5_000, String(bits));
  assert.ok(bits >= 249_000, String(bits));
});

test("it says when there will be enough", () => {
  const budget = new BusLoadBudget({ bitrateBps: 100_000, loadPercentMax: 50 });
  while (budget.take(135, 0)) { /* empty the bucket */ }
  const atUs = budget.availableAtUs(135, 0);
  assert.ok(!budget.take(135, atUs - 1));
  assert.ok(budget.take(135, atUs + 0.001));
});

test("a link without a bit rate has no budget to keep", () => {
  const budget = new BusLoadBudget({ bitrateBps: 0, loadPercentMax: 50 });
  for (let i = 0; i < 10_000; i++) assert.ok(budget.take(800, 0));
});
