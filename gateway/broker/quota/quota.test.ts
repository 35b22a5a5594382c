import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { fitted, openFilesMax } from "./fit.ts";
import { FairShare, type QuotaAmounts } from "./quota.ts";

const capacity = (amount: number): QuotaAmounts => ({ connections: amount, descriptors: amount, bytes: amount, lanes: amount, requests: amount });
/** As much as `uid` can get, one by one. */
const takeAll = (quota: FairShare, uid: number): number => {
  let taken = 0;
  while (quota.charge(uid, "lanes", 1)) taken += 1;
  return taken;
};

test("the first user may have half, the next a sixth, then a twelfth: the shares shrink and never end", () => {
  const quota = new FairShare(capacity(1200));
  assert.deepEqual([1, 2, 3, 4].map((uid) => takeAll(quota, uid)), [600, 200, 100, 60]);
});

test("what is given back can be taken again, and whoever has nothing is not counted", () => {
  const quota = new FairShare(capacity(12));
  assert.equal(takeAll(quota, 1), 6);
  assert.equal(takeAll(quota, 2), 2);
  quota.release(2, "lanes", 2);
  assert.equal(quota.charge(1, "lanes", 1), false, "half is what one may have at most");
  quota.release(1, "lanes", 6);
  assert.equal(takeAll(quota, 3), 6);
  assert.deepEqual(quota.use().users, [{ uid: 3, used: { connections: 0, descriptors: 0, bytes: 0, lanes: 6, requests: 0 } }]);
});

test("capacities fit what the process may have open", () => {
  const shared = { connections: 1024, descriptors: 16_384, bytes: 1, lanes: 2, requests: 3 };
  assert.deepEqual(fitted(shared, 524_288), shared);
  assert.deepEqual(fitted(shared, 1024), { ...shared, descriptors: 512, connections: 128 });
  assert.equal(openFilesMax("Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 4096                 files\n"), 1024);
  assert.equal(openFilesMax("Max open files            unlimited            unlimited            files\n"), Number.MAX_SAFE_INTEGER);
  assert.ok(openFilesMax() > 0);
});

test("resources do not mix, and giving back what one has not is a mistake of the caller", () => {
  const quota = new FairShare(capacity(10));
  assert.equal(takeAll(quota, 1), 5);
  assert.ok(quota.charge(1, "bytes", 5));
  assert.throws(() => quota.release(1, "requests", 1));
  assert.throws(() => quota.charge(1, "bytes", -1), RangeError);
});

test("whatever the users do: nobody has more than its share, a newcomer always gets its part, and in the end everything is back", () => {
  const step = fc.record({ uid: fc.integer({ min: 1, max: 6 }), amount: fc.integer({ min: -400, max: 400 }) });
  fc.assert(
    fc.property(fc.integer({ min: 100, max: 1000 }), fc.array(step, { maxLength: 120 }), (total, steps) => {
      const quota = new FairShare(capacity(total));
      const has = new Map<number, number>();
      const free = (): number => total - [...has.values()].reduce((sum, amount) => sum + amount, 0);
      for (const { uid, amount } of steps) {
        const share = has.get(uid) ?? 0;
        if (amount < 0) {
          const back = Math.min(share, -amount);
          quota.release(uid, "bytes", back);
          has.set(uid, share - back);
        } else {
          const users = [...has].filter(([other, used]) => used > 0 && other !== uid).length + 1;
          const freeBefore = free();
          const taken = quota.charge(uid, "bytes", amount);
          assert.equal(taken, share + amount <= (freeBefore + share) / (users + 1));
          if (taken) has.set(uid, share + amount);
        }
        const present = [...has.values()].filter((used) => used > 0).length;
        // With k users there, 1/(k + 1) is free, and a newcomer may have 1/(k + 2) of that.
        assert.ok(free() >= total / (present + 1) - 1e-9, `${free()} of ${total} are free with ${present} users`);
        const part = Math.floor(total / ((present + 1) * (present + 2)));
        assert.ok(quota.charge(99, "bytes", part), "a newcomer gets its part");
        quota.release(99, "bytes", part);
      }
      for (const [uid, used] of has) quota.release(uid, "bytes", used);
      assert.deepEqual(quota.use().users, []);
      assert.ok(quota.charge(7, "bytes", Math.floor(total / 2)));
    }),
    { numRuns: 500 },
  );
});
