import assert from "node:assert/strict";
import { test } from "node:test";
import { type CompromiseReason, CompromiseWatch, DENIALS_MAX, DENIALS_WITHIN_MS } from "./compromise.ts";

function bench(...counts: CompromiseReason[]) {
  const state = { armed: true, nowUs: 0 };
  const found: string[] = [];
  const watch = new CompromiseWatch({ counts: () => counts, armed: () => state.armed, nowUs: () => state.nowUs, compromised: (why) => found.push(why) });
  return { watch, state, found };
}

test("nothing counts that the configuration does not list", () => {
  const { watch, found } = bench();
  assert.equal(watch.secondMaster("arm", "Move"), false);
  watch.tableDamaged("a", 7);
  for (let i = 0; i < 2 * DENIALS_MAX; i++) watch.denied("camera", "write cmd/arm/Move");
  assert.deepEqual(found, []);
});

test("a second master counts only while armed", () => {
  const { watch, state, found } = bench("secondMaster");
  state.armed = false;
  assert.equal(watch.secondMaster("arm", "Move"), false);
  state.armed = true;
  assert.equal(watch.secondMaster("arm", "Move"), true);
  assert.deepEqual(found, ["somebody else sends Move on bus arm"]);
});

test("one program that goes on and on counts once; slow ones and many together do not", () => {
  const { watch, state, found } = bench("deniedAccess");
  for (let i = 0; i < 3 * DENIALS_MAX; i++) {
    state.nowUs += (DENIALS_WITHIN_MS * 1e3) / (DENIALS_MAX - 2);
    watch.denied("slow", "write a");
  }
  for (let i = 0; i < 3 * DENIALS_MAX; i++) watch.denied(`program ${i % 10}`, "write a");
  assert.deepEqual(found, []);
  for (let i = 0; i < 3 * DENIALS_MAX; i++) watch.denied("attacker", `write door ${i}`);
  assert.deepEqual(found, [`attacker was refused ${DENIALS_MAX} times within 10 s, last write door ${DENIALS_MAX - 1}`]);
});

test("a damaged table is told once for each process that found it", () => {
  const { watch, found } = bench("tamperedTable");
  for (const pid of [7, 7, 8]) watch.tableDamaged("a", pid);
  assert.equal(found.length, 2);
});
