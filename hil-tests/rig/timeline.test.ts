import assert from "node:assert/strict";
import { test } from "node:test";
import { Clocks, Timeline } from "./timeline.ts";

test("the machine's time is ours by the nearest messages, also when its clock runs slower", () => {
  const clocks = new Clocks();
  assert.equal(clocks.hostMs(1), undefined);
  clocks.add(100, 5_000);
  clocks.add(101, 9_000);
  clocks.add(102, 10_000);
  assert.deepEqual([99.5, 100, 100.5, 101, 101.25, 102, 103].map((s) => clocks.hostMs(s)), [4_500, 5_000, 7_000, 9_000, 9_250, 10_000, 11_000]);
  clocks.add(50, 20_000);
  assert.equal(clocks.hostMs(50.5), 20_500, "booted anew: what was before counts no more");
});

test("frames of the kernel's log stand in the timeline; of a flood the ends are kept and all are counted", () => {
  let nowMs = 1_000;
  const timeline = new Timeline(() => nowMs);
  const clocks = new Clocks();
  clocks.add(100, 1_000);
  timeline.addCanLog("(100.010000) can0 123#DEADBEEF\n(100.020000) can1 20000004#0001000000000000\nnonsense\n(100.030000) can0 12345678##1AA T\n", clocks);
  nowMs = 1_050;
  timeline.note("rig", "done", "good");
  assert.deepEqual(timeline.sorted().map(({ atMs, lane, tone }) => [Math.round(atMs), lane, tone]), [[10, "can0", "frame"], [20, "can1", "errorFrame"], [30, "can0", "frame"], [50, "rig", "good"]]);
  const flood = Array.from({ length: 5_000 }, (_, index) => `(100.${String(index).padStart(6, "0")}) can0 001#${String(index).padStart(8, "0")}`).join("\n");
  timeline.addCanLog(flood, clocks);
  assert.deepEqual(timeline.frames, { total: 5_003, shown: 2_003 });
  assert.ok(timeline.entries.some(({ text }) => text === "001#00004999"));
});
