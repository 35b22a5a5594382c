import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { delaysOf, FairClock, Starvation, type ThreadDelay } from "./starvation.ts";

const MS = 1e3;
const main = 7, helper = 8;

/** A process of two threads whose figures the test sets. */
function rig(): { starvation: Starvation; set(figures: Partial<Record<"main" | "helper", number>>, isBlocked?: boolean): void } {
  let delays = new Map<number, ThreadDelay>();
  return {
    starvation: new Starvation(main, () => delays),
    set(figures, isBlocked = false) {
      delays = new Map(Object.entries(figures).map(([name, ms]) => [name === "main" ? main : helper, { waitedUs: ms * MS, isBlocked: isBlocked && name === "main" }]));
    },
  };
}

test("whichever thread has waited longest counts; what was before the first look does not", () => {
  const { starvation, set } = rig();
  set({ main: 5_000, helper: 9_000 });
  assert.equal(starvation.look(0), 0);
  set({ main: 5_010, helper: 9_080 });
  assert.equal(starvation.look(100 * MS), 80 * MS);
  set({ main: 5_070, helper: 9_080 });
  assert.equal(starvation.look(200 * MS), 140 * MS);
  set({ main: 5_070, helper: 9_080 });
  assert.equal(starvation.look(900 * MS), 140 * MS, "it runs, or sleeps: no excuse");
});

test("never more than the time that has passed; a thread that came meanwhile has no past", () => {
  const { starvation, set } = rig();
  set({ main: 0 });
  starvation.look(0);
  set({ main: 500, helper: 70_000 });
  assert.equal(starvation.look(100 * MS), 100 * MS);
  set({});
  assert.equal(starvation.look(200 * MS), 100 * MS);
});

test("the first thread waits for a disk at both looks: all of it counts", () => {
  const { starvation, set } = rig();
  set({ main: 0 }, true);
  starvation.look(0);
  set({ main: 0 }, true);
  assert.equal(starvation.look(100 * MS), 100 * MS);
  set({ main: 0 }, false);
  assert.equal(starvation.look(200 * MS), 100 * MS, "at one of them alone: who knows");
});

test("who goes on is asked anew", () => {
  const { starvation, set } = rig();
  set({ main: 0 });
  starvation.look(0);
  set({ main: 50 });
  assert.equal(starvation.goesOn(), 0);
  assert.equal(starvation.look(100 * MS), 0);
  set({ main: 60 });
  assert.equal(starvation.look(200 * MS), 10 * MS);
});

test("the fair clock stands still while the process is starved, and is looked at in time", () => {
  const { starvation, set } = rig();
  let nowUs = 0;
  const clock = new FairClock(() => nowUs, starvation);
  set({ main: 0 });
  assert.equal(clock.nowUs(), 0);
  nowUs = 50 * MS;
  set({ main: 40 });
  assert.equal(clock.nowUs(), 50 * MS, "too soon to ask");
  nowUs = 3_000 * MS;
  set({ main: 2_900 });
  assert.equal(clock.nowUs(), 100 * MS);
  nowUs = 3_100 * MS;
  assert.equal(clock.nowUs(), 200 * MS, "without a new excuse it goes on as any clock");
});

test("the fair clock never goes back: an excuse is heard of later than what it excuses", () => {
  const { starvation, set } = rig();
  let nowUs = 0, before = -Infinity;
  const clock = new FairClock(() => nowUs, starvation);
  for (let i = 0; i < 1_000; i++) {
    nowUs += ((i * 7_919) % 60) * MS;
    // Nearly all of the time that has passed.
    set({ main: (nowUs / MS) * 0.95 });
    const fairUs = clock.nowUs();
    assert.ok(fairUs >= before && fairUs <= nowUs, `${i}: ${before} ${fairUs} ${nowUs}`);
    before = fairUs;
  }
});

test("the kernel tells of a real process; of one that is gone it tells nothing", async () => {
  const own = delaysOf(process.pid);
  assert.ok(own.has(process.pid) && own.size > 1);
  assert.equal(own.get(process.pid)!.isBlocked, false);
  const child = spawn("true", { stdio: "ignore" });
  await once(child, "close");
  assert.equal(delaysOf(child.pid!).size, 0);
});
