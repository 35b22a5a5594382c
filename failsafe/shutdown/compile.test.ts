import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { checkConfigFile } from "../../schemas/messages/configFile.ts";
import { checkPlan } from "../../schemas/messages/checkPlan.ts";
import { compilePlans, compilePlansOf } from "./compile.ts";
import { triggerKinds, type CompiledPlanSet } from "./compiled.ts";

let root = import.meta.dirname;
while (!existsSync(join(root, "package.json"))) root = dirname(root);

function loaded(name: string) {
  const read = checkConfigFile(join(root, "examples/config", name), { machine: false });
  assert.ok(read.readable && read.result.config, name);
  return { config: read.result.config, parts: read.result.parts };
}
const { config, parts } = loaded("arm-reflex.yaml");
const surroundings = { messages: parts.messages, topics: parts.topics, hearsBus: () => true };

function compiled(steps: string, triggers = ""): CompiledPlanSet {
  const text = `version: 1\nplans:\n  - name: park\n    category: 1\n    budgetMs: 9000\n    lastRung: [ { bus: arm, message: elbow_Command, values: { mode: Hold, velocity: 0, torqueLimit: 1 } } ]\n    steps: [ ${steps} ]\n${triggers}`;
  const { checked, faults } = checkPlan({ text, file: "x", surroundings: { config, messages: parts.messages, topics: parts.topics } });
  assert.ok(checked, JSON.stringify(faults));
  return compilePlans(checked.plan, surroundings);
}
const until = (limits: string): string => `{ name: a, until: [ { topic: can/arm/elbow_State, ${limits} } ] }`;

test("limits become raw ones that are never wider", () => {
  const range = (limits: string): readonly bigint[] => {
    const [condition] = compiled(until(limits)).plans[0]!.steps[0]!.conditions;
    return [condition!.rawMin, condition!.rawMax];
  };
  assert.deepEqual(range("signal: velocity, absMax: 0.3"), [-30n, 30n]); // 0.01 rad/s, 12 bits
  assert.deepEqual(range("signal: velocity, absMax: 0.309, minimum: -0.1"), [-10n, 30n]);
  assert.deepEqual(range("signal: velocity, maximum: 1"), [-2048n, 100n]);
  assert.deepEqual(range("signal: mode, equals: Fault"), [3n, 3n]);
  assert.deepEqual(range("signal: temperature, equals: -20"), [-20n, -20n]);
});

test("a field is where the database says", () => {
  const [condition] = compiled(until("signal: velocity, absMax: 0.3, holdMs: 5, ageMsMax: 40")).plans[0]!.steps[0]!.conditions;
  assert.deepEqual(condition, { label: "can/arm/elbow_State velocity", bus: "arm", message: "elbow_State", field: { startBit: 40, bits: 12, bigEndian: false, signed: true, float: false }, rawMin: -30n, rawMax: 30n, holdUs: 5_000, ageUsMax: 40_000 });
});

test("what is not on a bus of the executor becomes a call of the gateway", () => {
  const step = "{ name: a, send: [ { serial: hand, message: Haptic, values: { strength: 1 } }, { mqtt: broker, topic: lift/stop, values: { now: 1 } }, { bus: arm, message: elbow_Command, values: { mode: Hold, velocity: 0, torqueLimit: 1 } } ], call: { service: lift/down }, until: [ { topic: serial/hand/Joystick, signal: deadMan, equals: Pressed }, { topic: serial/hand/Joystick, signal: x, absMax: 0.5, minimum: 0, holdMs: 7 } ] }";
  const [a] = compiled(step).plans[0]!.steps;
  assert.deepEqual(a!.sends.map(({ bus, message, payload }) => [bus, message, Buffer.from(payload).toString("hex")]), [["arm", "elbow_Command", "0000000100000a00"]]);
  assert.deepEqual(a!.conditions, []);
  assert.deepEqual(a!.call, {
    sends: [{ serial: "hand", message: "Haptic", values: { strength: 1 } }, { mqtt: "broker", topic: "lift/stop", values: { now: 1 } }],
    until: [{ label: "serial/hand/Joystick deadMan", topic: "serial/hand/Joystick", signal: "deadMan", holdMs: 0, ageMsMax: 100, minimum: 1, maximum: 1 }, { label: "serial/hand/Joystick x", topic: "serial/hand/Joystick", signal: "x", holdMs: 7, ageMsMax: 100, minimum: 0, maximum: 0.5 }],
    service: { name: "lift/down", arguments: {} },
  });
  const deaf = compilePlans({ ...parts.plan!.plan, triggers: [] }, { ...surroundings, hearsBus: () => false });
  assert.equal(deaf.plans[1]!.steps[0]!.conditions.length, 0);
  assert.equal(deaf.plans[1]!.steps[0]!.call!.until.length, 2);
});

test("a fallback that two steps share is there twice, right behind each; needs are places", () => {
  const hold = "send: [ { bus: arm, message: elbow_Command, values: { mode: Hold, velocity: 0, torqueLimit: 1 } } ]";
  const one = "until: [ { topic: can/arm/elbow_State, signal: velocity, absMax: 1 } ], deadlineMs: 100, fallback: hold";
  const [plan] = compiled(`{ name: a, ${one} }, { name: b, needs: [], ${one} }, { name: hold, ${hold} }, { name: c, needs: [b, a], ${hold} }`).plans;
  assert.deepEqual(plan!.steps.map(({ name, needs, fallback, onlyFallback }) => [name, needs, fallback, onlyFallback]), [["a", [], 1, false], ["hold", [], undefined, true], ["b", [], 3, false], ["hold (b)", [], undefined, true], ["c", [2, 0], undefined, false]]);
  assert.equal(plan!.worstUs, 140_000);
});

test("a file with one plan and no triggers has all triggers but those that cannot be guessed", () => {
  const { triggers } = compiled(until("signal: velocity, absMax: 0.3"));
  assert.deepEqual(new Set(triggers.map(({ on }) => on)), new Set(triggerKinds.filter((kind) => kind !== "condition")));
  assert.ok(triggers.every(({ plan, priority }, at) => plan === 0 && priority < (triggers[at - 1]?.priority ?? 256)));
  assert.deepEqual(triggers.filter(({ on }) => on === "request").map(({ subject }) => subject), [{ category: 0 }, { category: 1 }, { category: 2 }]);
  const named = compiled(until("signal: velocity, absMax: 0.3"), "triggers: [ { on: expired, command: cmd/arm/elbow_Command, plan: park, priority: 31 }, { on: expired, plan: none }, { on: busDead, bus: arm, plan: park, latched: false, onlyArmed: false } ]").triggers;
  assert.deepEqual(named.filter(({ on }) => on === "expired" || on === "busDead"), [
    { name: "busDead arm", on: "busDead", plan: 0, priority: 170, latched: false, onlyArmed: false, subject: { bus: "arm" } },
    { name: "expired cmd/arm/elbow_Command", on: "expired", plan: 0, priority: 31, latched: true, onlyArmed: true, subject: { bus: "arm", message: "elbow_Command" } },
  ]);
});

test("the safe pose of a configuration is one plan after the other, all of it mandatory", () => {
  const linear = loaded("arm-can0.yaml");
  const { plans, triggers } = compilePlansOf(linear.config, undefined, { messages: linear.parts.messages, topics: linear.parts.topics, hearsBus: () => true });
  const [plan] = plans;
  assert.deepEqual([plan!.name, plan!.category, plan!.budgetUs, plan!.worstUs], ["safe-pose", 1, 2_000_000, 1_500_000]);
  assert.deepEqual(plan!.steps.map(({ name, needs, mandatory, resendUs, tries }) => [name, needs, mandatory, resendUs, tries]), [["hold", [], true, 20_000, 1], ["off", [0], true, 20_000, 1]]);
  assert.deepEqual(plan!.lastRung, plan!.steps[1]!.sends);
  assert.equal(triggers.length, 12);
  assert.deepEqual(compilePlansOf({ safePose: { budgetMs: 1, prepareMs: 0, steps: [], compromise: [] } }, undefined, surroundings), { plans: [], triggers: [] });
});
