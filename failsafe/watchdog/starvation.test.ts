import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";
import { delaysOf, FairClock, Starvation, type ThreadDelay } from "./starvation.ts";

const MS = 1e3;
const main = 7, helper = 8;

type Figures = Partial<Record<"main" | "helper", number | Partial<ThreadDelay>>>;

/** A process of two threads whose figures the test sets: for how long each has waited, ms, or everything. */
function rig(): { starvation: Starvation; set(figures: Figures): void } {
  let delays = new Map<number, ThreadDelay>();
  return {
    starvation: new Starvation(main, () => delays),
    set(figures) {
      delays = new Map(Object.entries(figures).map(([name, given]) => [name === "main" ? main : helper, { ranUs: 0, waitedUs: 0, state: "sleeps", ...(typeof given === "number" ? { waitedUs: given * MS } : given) }]));
    },
  };
}

test("what all threads have waited counts; what was before the first look does not", () => {
  const { starvation, set } = rig();
  set({ main: 5_000, helper: 9_000 });
  assert.equal(starvation.look(0), 0);
  set({ main: 5_010, helper: 9_080 });
  assert.equal(starvation.look(100 * MS), 90 * MS, "the first waited for the other, and then for a processor");
  set({ main: 5_070, helper: 9_080 });
  assert.equal(starvation.look(200 * MS), 150 * MS);
  set({ main: 5_070, helper: 9_080 });
  assert.equal(starvation.look(900 * MS), 150 * MS, "it runs, or sleeps: no excuse");
});

test("a first thread that runs is not excused for that by others that wait", () => {
  const { starvation, set } = rig();
  set({ main: { state: "runs" }, helper: 0 });
  starvation.look(0);
  set({ main: { state: "runs", ranUs: 70 * MS, waitedUs: 30 * MS }, helper: 100 });
  assert.equal(starvation.look(100 * MS), 30 * MS);
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
  set({ main: { state: "blocked" } });
  starvation.look(0);
  set({ main: { state: "blocked" } });
  assert.equal(starvation.look(100 * MS), 100 * MS);
  set({ main: 0 });
  assert.equal(starvation.look(200 * MS), 100 * MS, "at one of them alone: who knows");
});

test("another thread waits for a disk: that excuses a first thread that waits too, and none that runs", () => {
  for (const [state, excusedMs] of [["sleeps", 100], ["runs", 0]] as const) {
    const { starvation, set } = rig();
    set({ main: { state }, helper: { state: "blocked" } });
    starvation.look(0);
    set({ main: { state, ranUs: state === "runs" ? 100 * MS : 0 }, helper: { state: "blocked" } });
    assert.equal(starvation.look(100 * MS), excusedMs * MS, state);
  }
});

test("a wait that is not over yet is none of the kernel's figures, and counts all the same", () => {
  for (const who of ["main", "helper"] as const) {
    const { starvation, set } = rig();
    const waiting = { main: { state: "sleeps" }, [who]: { state: "runs", ranUs: 5 * MS, waitedUs: 3 * MS } } as const;
    set(waiting);
    starvation.look(0);
    set(waiting);
    assert.equal(starvation.look(600 * MS), 600 * MS, who);
    // It is over, and comes in one piece: no more than has passed counts.
    set({ ...waiting, [who]: { state: "runs", ranUs: 5 * MS, waitedUs: 613 * MS } });
    assert.equal(starvation.look(610 * MS), 610 * MS, who);
    set({ ...waiting, [who]: { state: "runs", ranUs: 15 * MS, waitedUs: 613 * MS } });
    assert.equal(starvation.look(620 * MS), 610 * MS, `${who} runs`);
  }
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
  assert.equal(own.get(process.pid)!.state, "runs");
  assert.ok(own.get(process.pid)!.ranUs > 0);
  const child = spawn("true", { stdio: "ignore" });
  await once(child, "close");
  assert.equal(delaysOf(child.pid!).size, 0);
});
