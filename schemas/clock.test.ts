import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock, systemClock } from "./clock.ts";

test("callbacks run in the order of their deadlines, and see their own time", () => {
  const clock = new ManualClock({ nowUs: 100 });
  const seen: [string, number][] = [];
  clock.at(300, () => seen.push(["b", clock.nowUs()]));
  clock.at(200, () => {
    seen.push(["a", clock.nowUs()]);
    clock.at(250, () => seen.push(["nested", clock.nowUs()]));
  });
  clock.at(400, () => seen.push(["late", clock.nowUs()]));
  const cancel = clock.at(220, () => seen.push(["cancelled", 0]));
  cancel();
  clock.advanceUs(200);
  assert.deepEqual(seen, [["a", 200], ["nested", 250], ["b", 300]]);
  clock.advanceUs(100);
  assert.equal(seen.at(-1)?.[0], "late");
});

test("a jump of wall time leaves monotonic time alone", () => {
  const clock = new ManualClock();
  const wallNs = clock.wallTimeNs();
  clock.jumpWall(-3_600_000_000_000n);
  assert.equal(clock.nowUs(), 0);
  assert.equal(clock.wallTimeNs(), wallNs - 3_600_000_000_000n);
});

test("the system clock never calls back early", async () => {
  const deadlineUs = systemClock.nowUs() + 3_300;
  await new Promise<void>((resolve) => {
    systemClock.at(deadlineUs, resolve);
  });
  assert.ok(systemClock.nowUs() >= deadlineUs);
});

test("no timer of the real clock comes before its deadline, though the loop has not looked at the clock for a while", async () => {
  for (let round = 0; round < 20; round++) {
    await new Promise((resolve) => setImmediate(resolve));
    const busyUntilUs = systemClock.nowUs() + 6_000;
    while (systemClock.nowUs() < busyUntilUs);
    const deadlineUs = systemClock.nowUs() + 10_000;
    await new Promise<void>((resolve) => void systemClock.at(deadlineUs, resolve));
    assert.ok(systemClock.nowUs() >= deadlineUs);
  }
});

test("a timer of the real clock that waits for the rest can still be cancelled", async () => {
  let cancelledInTime = false;
  while (!cancelledInTime) {
    const busyUntilUs = systemClock.nowUs() + 6_000;
    while (systemClock.nowUs() < busyUntilUs);
    const deadlineUs = systemClock.nowUs() + 5_000;
    let calls = 0;
    const cancel = systemClock.at(deadlineUs, () => (calls += 1));
    while (systemClock.nowUs() < deadlineUs - 2_000);
    await new Promise((resolve) => setImmediate(resolve));
    // A machine that is busy with something else may have let the deadline pass: then it was called with good reason, and there is nothing to cancel.
    const before = calls;
    cancelledInTime = before === 0;
    cancel();
    await new Promise<void>((resolve) => void systemClock.at(deadlineUs + 20_000, resolve));
    assert.equal(calls, before, "cancelled");
  }
});
