import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../schemas/clock.ts";
import { OrderlyStop } from "./orderlyStop.ts";

function bench(prepareMs: number, compromised = false) {
  const clock = new ManualClock();
  const course: string[] = [];
  let quiet: () => void = () => undefined;
  let posed: (verdict: string) => void = () => undefined;
  const stop = new OrderlyStop<string>({
    clock, prepareMs, moreMsMax: 1_000, besideMs: 2_000, compromised,
    sayFarewell: (deadlineMs) => {
      course.push(`told ${deadlineMs}`);
      return new Promise((resolve) => (quiet = resolve));
    },
    startPose: () => {
      course.push("pose");
      return new Promise((resolve) => (posed = resolve));
    },
  });
  const settled = async (): Promise<void> => {
    for (let turn = 0; turn < 5; turn++) await Promise.resolve();
  };
  return { clock, course, stop, over: stop.over, quiet: () => (quiet(), settled()), posed: (verdict: string) => (posed(verdict), settled()), settled };
}

test("the pose begins at once where there is no time to prepare, before anybody is told", async () => {
  const { course, over, quiet, posed } = bench(0);
  assert.deepEqual(course, ["pose", "told 2000"]);
  await posed("posed");
  await quiet();
  assert.equal(await over, "posed");
});

test("with time to prepare the pose waits until all are ready", async () => {
  const { course, over, quiet, posed } = bench(500);
  assert.deepEqual(course, ["told 500"]);
  await quiet();
  assert.deepEqual(course, ["told 500", "pose"]);
  await posed("cut");
  assert.equal(await over, "cut");
});

test("and no longer than the bound, whoever says nothing", async () => {
  const { clock, course, over, posed, settled } = bench(500);
  clock.advanceMs(1_499);
  await settled();
  assert.deepEqual(course, ["told 500"]);
  clock.advanceMs(1);
  await settled();
  assert.deepEqual(course, ["told 500", "pose"]);
  await posed("posed");
  assert.equal(await over, "posed");
});

test("asked a second time while programs prepare themselves: the pose begins at once, and nobody is waited for", async () => {
  const { clock, course, stop, over, posed } = bench(500);
  stop.happened("hurried");
  assert.deepEqual(course, ["told 500", "pose"]);
  // A third time, and whatever time comes: nothing begins anew and nothing is cut short.
  stop.happened("hurried");
  clock.advanceMs(60_000);
  assert.deepEqual(course, ["told 500", "pose"]);
  await posed("posed");
  assert.equal(await over, "posed");
});

test("asked a second time while the pose runs: only the programs are no longer waited for", async () => {
  const { course, stop, over, posed } = bench(0);
  stop.happened("hurried");
  await posed("posed");
  assert.equal(await over, "posed");
  assert.deepEqual(course, ["pose", "told 2000"]);
});

test("compromised: nobody is told", async () => {
  const { course, over, posed } = bench(500, true);
  assert.deepEqual(course, ["pose"]);
  await posed("posed");
  assert.equal(await over, "posed");
});
