import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { shutdownTable, stepShutdown, type ShutdownEffect, type ShutdownEvent, type ShutdownPhase } from "./phases.ts";

const phases = Object.keys(shutdownTable) as ShutdownPhase[];
const events = Object.keys(shutdownTable.running) as ShutdownEvent[];

function walk(course: readonly ShutdownEvent[]): { phase: ShutdownPhase; effects: ShutdownEffect[] } {
  let phase: ShutdownPhase = "running";
  const effects: ShutdownEffect[] = [];
  for (const event of course) {
    const { to, do: done } = stepShutdown(phase, event);
    phase = to;
    effects.push(...done);
  }
  return { phase, effects };
}

test("in order: told, prepared, pose, end", () => {
  assert.deepEqual(walk(["asked", "quiet", "posed"]), { phase: "over", effects: ["tell", "startPose", "end"] });
  assert.deepEqual(walk(["asked", "expired", "quiet", "posed"]), { phase: "over", effects: ["tell", "startPose", "end"] });
});

test("without time to prepare the pose begins first, and programs prepare themselves beside it", () => {
  assert.deepEqual(walk(["askedAtOnce", "quiet", "posed"]), { phase: "over", effects: ["startPose", "tell", "end"] });
  assert.deepEqual(walk(["askedAtOnce", "posed"]), { phase: "leaving", effects: ["startPose", "tell"] });
  assert.deepEqual(walk(["askedAtOnce", "posed", "quiet"]).phase, "over");
  assert.deepEqual(walk(["asked", "askedAtOnce", "quiet", "posed"]), { phase: "over", effects: ["tell", "startPose", "end"] });
});

test("compromised: no negotiation, and none goes on", () => {
  assert.deepEqual(walk(["compromised", "posed"]), { phase: "over", effects: ["startPose", "end"] });
  assert.deepEqual(walk(["asked", "compromised", "posed"]), { phase: "over", effects: ["tell", "startPose", "end"] });
  assert.deepEqual(walk(["askedAtOnce", "compromised"]).effects, ["startPose", "tell", "startPose"]); // the severer trigger
  assert.deepEqual(walk(["askedAtOnce", "posed", "compromised"]), { phase: "over", effects: ["startPose", "tell", "end"] });
});

test("asked once more: the programs' time is over, and the pose is neither cut short nor begun anew", () => {
  assert.deepEqual(walk(["asked", "hurried", "posed"]), { phase: "over", effects: ["tell", "startPose", "end"] });
  assert.deepEqual(walk(["asked", "hurried", "hurried", "hurried", "quiet"]), { phase: "posingAlone", effects: ["tell", "startPose"] });
  assert.deepEqual(walk(["askedAtOnce", "hurried", "posed"]), { phase: "over", effects: ["startPose", "tell", "end"] });
  assert.deepEqual(walk(["askedAtOnce", "posed", "hurried"]), { phase: "over", effects: ["startPose", "tell", "end"] });
  assert.deepEqual(walk(["hurried"]), { phase: "running", effects: [] });
});

test("every phase can be reached, and the end from each", () => {
  const from = (start: ShutdownPhase): Set<ShutdownPhase> => {
    const seen = new Set([start]);
    for (const phase of seen) for (const event of events) seen.add(stepShutdown(phase, event).to);
    return seen;
  };
  assert.deepEqual(from("running"), new Set(phases));
  for (const phase of phases) assert.ok(from(phase).has("over"), phase);
});

test("whatever happens: no end without a pose and its verdict, one end, and nobody is told after the pose of a compromise", () => {
  fc.assert(fc.property(fc.array(fc.constantFrom(...events), { maxLength: 12 }), (course) => {
    const { phase, effects } = walk(course);
    const ends = effects.filter((effect) => effect === "end").length;
    assert.ok(ends <= 1 && (ends === 1) === (phase === "over"));
    if (ends > 0) assert.ok(effects.indexOf("startPose") >= 0 && effects.indexOf("startPose") < effects.indexOf("end") && course.includes("posed"));
    assert.ok(effects.filter((effect) => effect === "tell").length <= 1);
    if (course[0] === "compromised") assert.ok(!effects.includes("tell"));
  }), { seed: 20260706 });
});
