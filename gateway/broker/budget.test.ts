import assert from "node:assert/strict";
import { test } from "node:test";
import { Budget } from "./budget.ts";
import { Ledger } from "./ledger.ts";
import { FairShare } from "./quota/quota.ts";
import { defaultLimits } from "./limits.ts";
import { Notices } from "./notices.ts";
import { OriginTable } from "./origins.ts";

test("a budget gives its burst at once and its rate for ever", () => {
  const budget = new Budget({ perSecond: 100, burst: 5, nowUs: 0 });
  const taken = (nowUs: number): number => {
    let count = 0;
    while (budget.take(1, nowUs)) count += 1;
    return count;
  };
  assert.equal(taken(0), 5);
  assert.equal(taken(9_999), 0);
  assert.equal(taken(10_000), 1);
  assert.equal(taken(1e9), 5);
});

test("a charge beyond the budget says when it is paid", () => {
  const budget = new Budget({ perSecond: 1000, burst: 10, nowUs: 0 });
  assert.equal(budget.charge(10, 0), 0);
  assert.equal(budget.charge(5, 0), 5_000);
  assert.equal(budget.charge(0, 5_000), 0);
});

test("a user's connections and memory are counted over all its clients, and budgets outlive them", () => {
  const quota = new FairShare({ ...defaultLimits.shared, connections: 5, bytes: 200 });
  const ledger = new Ledger({ ...defaultLimits, publishBurstPerUid: 1, publishesPerSecondPerUid: 1 }, quota);
  const first = ledger.open(1000, 0)!;
  const second = ledger.open(1000, 0)!;
  assert.equal(ledger.open(1000, 0), undefined);
  assert.ok(ledger.open(1001, 0));
  assert.ok(first.reserve(60) && !second.reserve(60));
  first.release(60);
  assert.ok(second.reserve(60) && second.publishes.take(1, 0));
  ledger.close(first);
  ledger.close(second);
  assert.equal(ledger.open(1000, 1)!.publishes.take(1, 1), false);
  assert.deepEqual(quota.use().users.map(({ uid, used }) => [uid, used.connections, used.descriptors]), [[1000, 1, 2], [1001, 1, 2]]);
});

test("notices: the first at once, the same ones counted, at most one round per interval", () => {
  const notices = new Notices(1000);
  notices.add(202, "no");
  assert.deepEqual(notices.take(0), [{ status: 202, text: "no", count: 1 }]);
  for (let i = 0; i < 10; i++) notices.add(202, "no");
  notices.add(210, "slow down");
  assert.deepEqual(notices.take(999_999), []);
  assert.equal(notices.dueUs, 1_000_000);
  assert.deepEqual(notices.take(1_000_000), [{ status: 202, text: "no", count: 10 }, { status: 210, text: "slow down", count: 1 }]);
  assert.equal(notices.dueUs, undefined);
  for (let i = 0; i < 1000; i++) notices.add(200, `made up ${i}`);
  assert.equal(notices.take(3_000_000).reduce((sum, { count }) => sum + count, 0), 1000);
});

test("made-up origins share a number beyond the bound", () => {
  const origins = new OriginTable();
  const arm = origins.idOf("can/arm");
  for (let i = 0; i < 70_000; i++) origins.idOf(`o${i}`);
  assert.equal(origins.idOf("can/arm"), arm);
  assert.equal(origins.nameOf(arm), "can/arm");
  assert.equal(origins.idOf("one too many"), 0);
});
