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
