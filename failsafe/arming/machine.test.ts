import assert from "node:assert/strict";
import { test } from "node:test";
import { armingTable, stepArming, type ArmingEvent, type ArmingState } from "./machine.ts";

const states = Object.keys(armingTable) as ArmingState[];
const events = Object.keys(armingTable.disarmed) as ArmingEvent[];

function reachable(from: ArmingState): Set<ArmingState> {
  const seen = new Set([from]);
  const queue = [from];
  for (let state = queue.pop(); state; state = queue.pop()) {
    for (const event of events) {
      const { to } = stepArming(state, event);
      if (!seen.has(to)) {
        seen.add(to);
        queue.push(to);
      }
    }
  }
  return seen;
}

test("every state can be reached, and from every state the safe pose can", () => {
  assert.deepEqual([...reachable("disarmed")].sort(), [...states].sort());
  for (const state of states) assert.ok(reachable(state).has("safePose"), state);
});

test("only an explicit grant, and only from disarmed, lets commands pass", () => {
  for (const state of states) {
    for (const event of events) {
      const { to, do: effects } = stepArming(state, event);
      const opens = to === "armed" && state !== "armed";
      assert.equal(opens, state === "disarmed" && event === "armGranted", `${state} × ${event}`);
      assert.equal(effects.includes("acceptCommands"), opens);
    }
  }
});

test("leaving armed always stops commands in the same step", () => {
  for (const event of events) {
    const { to, do: effects } = stepArming("armed", event);
    if (to !== "armed") assert.equal(effects[0], "refuseCommands", event);
  }
});

test("a reset permits, it never moves: it leads to disarmed or nowhere", () => {
  for (const state of states) {
    const { to, do: effects } = stepArming(state, "reset");
    assert.ok(to === "disarmed" || to === state, state);
    assert.ok(!effects.includes("acceptCommands") && !effects.includes("startSafePose"), state);
  }
});

test("a running safe pose is ended only by its own outcome", () => {
  for (const event of events) {
    const { to } = stepArming("safePose", event);
    assert.equal(to !== "safePose", event === "poseReached" || event === "poseFailed", event);
  }
});
