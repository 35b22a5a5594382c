import assert from "node:assert/strict";
import { test } from "node:test";
import { PATIENCE, ProgressJudge } from "./judge.ts";

const MS = 1e3;

test("no progress for the deadline is late, and not a moment before", () => {
  const judge = new ProgressJudge(500);
  assert.equal(judge.judge(1, 0), "fine");
  for (let ms = 50; ms < 500; ms += 50) assert.equal(judge.judge(1, ms * MS), "fine", `${ms} ms`);
  assert.equal(judge.judge(1, 500 * MS), "late");
});

test("any change is progress, also a counter that wraps", () => {
  const judge = new ProgressJudge(500);
  let now = 0;
  for (const progress of [5, 6, 0, 1, 1, 1]) assert.equal(judge.judge(progress, (now += 200 * MS)), "fine");
});

test("who was late itself accuses nobody: the missed time counts for nothing", () => {
  const judge = new ProgressJudge(500);
  judge.judge(1, 0);
  assert.equal(judge.judge(1, 10_000 * MS), "wasLate");
  for (let ms = 50; ms < 500; ms += 50) assert.equal(judge.judge(1, (10_000 + ms) * MS), "fine");
  assert.equal(judge.judge(1, 10_500 * MS), "late");
  assert.equal(judge.wasLate, 1);
});

test("who wants to run and is not let is starved, not stuck", () => {
  const judge = new ProgressJudge(500);
  judge.judge(1, 0, 7_000 * MS);
  for (let ms = 50; ms <= 2_000; ms += 50) assert.equal(judge.judge(1, ms * MS, (7_000 + 0.8 * ms) * MS), "fine", `${ms} ms`);
  for (let ms = 2_050; ms < 2_500; ms += 50) judge.judge(1, ms * MS, 8_600 * MS);
  assert.equal(judge.judge(1, 2_500 * MS, 8_600 * MS), "late");
});

test("patience has an end: who is starved for twenty deadlines is replaced by whoever has more luck", () => {
  const judge = new ProgressJudge(500);
  judge.judge(1, 0, 0);
  for (let ms = 50; ms < PATIENCE * 500; ms += 50) assert.equal(judge.judge(1, ms * MS, ms * MS), "fine", `${ms} ms`);
  assert.equal(judge.judge(1, PATIENCE * 500 * MS, PATIENCE * 500 * MS), "late");
});
