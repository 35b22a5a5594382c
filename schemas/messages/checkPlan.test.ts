import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { checkConfigFile } from "./configFile.ts";
import { checkConfig } from "./checkConfig.ts";
import { checkPlan, type PlanResult } from "./checkPlan.ts";
import { sourceFolder } from "./generate.ts";

const examples = join(sourceFolder(), "../../examples/config");
const example = readFileSync(join(examples, "arm.plan.yaml"), "utf8");
const read = checkConfigFile(join(examples, "arm-reflex.yaml"), { machine: false });
assert.ok(read.readable && read.result.config, JSON.stringify(read));
const surroundings = { config: read.result.config, messages: read.result.parts.messages, topics: read.result.parts.topics };

function check(text: string): PlanResult {
  return checkPlan({ text, file: "robot.plan.yaml", surroundings });
}

/** The shipped plan with something changed; `from` must be there. */
function changed(from: string | RegExp, to: string): string {
  const text = example.replace(from, to);
  assert.notEqual(text, example, String(from));
  return text;
}

/** One step after the other, each given as YAML. */
function plan(steps: readonly string[], { budgetMs = 1000, triggers = [] as readonly string[] } = {}): string {
  const lines = ["version: 1", "plans:", `  - { name: park, category: 1, budgetMs: ${budgetMs}, lastRung: [ { bus: arm, message: elbow_Command, values: { mode: Hold, velocity: 0, torqueLimit: 1 } } ], steps: [ ${steps.join(", ")} ] }`];
  return `${lines.join("\n")}\n${triggers.length > 0 ? `triggers: [ ${triggers.join(", ")} ]\n` : ""}`;
}
const until = "until: [ { topic: can/arm/elbow_State, signal: velocity, absMax: 0.1 } ]";
const codes = ({ faults }: PlanResult): string[] => faults.map(({ code, line, severity }) => `${severity === "warning" ? "?" : ""}${code} ${line}`);

test("the shipped plan is accepted without a warning; alone, too, but then somebody has to look at the names", () => {
  assert.deepEqual(check(example).faults, []);
  const alone = checkPlan({ text: example, file: "x" });
  assert.deepEqual([alone.faults, alone.notes.map(({ code }) => code)], [[], ["namesUnchecked"]]);
  assert.equal(alone.checked!.hash, check(example.replaceAll("  # ", "  #  ")).checked!.hash);
});

const wrong: readonly (readonly [what: string, text: string, codes: readonly string[]])[] = [
  ["a step that is not there", changed("needs: [stop, release]", "needs: [stop, relese]"), ["unknownStep 43"]],
  ["a fallback that is not there", changed("fallback: limp", "fallback: lump"), ["unknownStep 22"]],
  ["a step needs a fallback", changed("needs: [stop, release]", "needs: [limp, release]"), ["needsFallback 43"]],
  ["steps in a circle", plan([`{ name: a, needs: [b], ${until} }`, `{ name: b, needs: [c], ${until} }`, `{ name: c, needs: [a], ${until} }`]), ["circle 3"]],
  ["a step that needs itself", plan([`{ name: a, needs: [a], ${until} }`]), ["circle 3"]],
  ["fallbacks in a circle", plan([`{ name: a, fallback: b, deadlineMs: 9, ${until} }`, `{ name: b, fallback: a, ${until} }`]), ["circle 3", "fallbackDemandsMore 3"]],
  ["a fallback with more conditions", plan([`{ name: a, fallback: b, deadlineMs: 100, ${until} }`, "{ name: b, deadlineMs: 50, until: [ { topic: can/arm/elbow_State, signal: velocity, absMax: 1 }, { topic: can/arm/elbow_State, signal: mode, equals: Hold } ] }"]), ["fallbackDemandsMore 3"]],
  ["a fallback that takes longer", plan([`{ name: a, fallback: b, deadlineMs: 100, ${until} }`, `{ name: b, deadlineMs: 60, tries: 2, ${until} }`]), ["fallbackDemandsMore 3"]],
  ["a fallback that calls a service", plan([`{ name: a, fallback: b, deadlineMs: 100, ${until} }`, "{ name: b, call: { service: x/y } }"]), ["fallbackDemandsMore 3"]],
  ["a fallback that needs the gateway", plan([`{ name: a, fallback: b, deadlineMs: 100, ${until} }`, "{ name: b, send: [ { serial: hand, message: Haptic, values: { strength: 0 } } ] }"]), ["fallbackDemandsMore 3"]],
  ["a fallback that asks for as much", plan([`{ name: a, fallback: b, deadlineMs: 100, ${until} }`, `{ name: b, deadlineMs: 100, ${until} }`]), ["fallbackNotLess 3"]],
  ["a fallback with needs of its own", plan([`{ name: a, fallback: b, deadlineMs: 100, ${until} }`, `{ name: b, needs: [], ${until} }`]), ["conflictingKeys 3"]],
  ["a mandatory fallback", plan([`{ name: a, fallback: b, deadlineMs: 100, ${until} }`, `{ name: b, mandatory: true, send: [ { bus: arm, message: elbow_Command, values: { mode: Hold, velocity: 0, torqueLimit: 1 } } ] }`]), ["conflictingKeys 3"]],
  ["a fallback, and something else to do at the deadline", plan([`{ name: a, fallback: b, onTimeout: fail, deadlineMs: 100, ${until} }`, `{ name: b, ${until} }`]), ["conflictingKeys 3"]],
  ["a step that does nothing", plan(["{ name: a }"]), ["emptyStep 3"]],
  ["two steps of one name", plan([`{ name: a, ${until} }`, `{ name: a, ${until} }`]), ["duplicateName 3"]],
  ["two plans of one name", changed("- name: hold\n    category: hold", "- name: drop\n    category: hold"), ["duplicateName 88", "?gentlerFirst 105", "?gentlerFirst 107"]],
  ["a plan called none", changed("- name: hold\n    category: hold", "- name: none\n    category: hold"), ["reservedName 72"]],
  ["longer to hold than a try takes", plan(["{ name: a, deadlineMs: 50, until: [ { topic: can/arm/elbow_State, signal: velocity, absMax: 0.1, holdMs: 50 } ] }"]), ["holdTooLong 3"]],
  ["more than the budget", plan([`{ name: a, deadlineMs: 400, tries: 2, backoffMs: 100, ${until} }`, `{ name: b, deadlineMs: 101, ${until} }`]), ["budgetTooShort 3"]],
  ["pauses without a second try", plan([`{ name: a, backoffMs: 5, ${until} }`]), ["?noEffect 3"]],
  ["a frame that is never sent again", plan([`{ name: a, deadlineMs: 20, resendMs: 30, send: [ { bus: arm, message: elbow_Command, values: { mode: Hold, velocity: 0, torqueLimit: 1 } } ], ${until} }`]), ["?noEffect 3"]],
  ["mandatory, and nothing to send", plan([`{ name: a, mandatory: true, ${until} }`]), ["?noEffect 3"]],
  ["a message that is not there", changed("lastRung: &off\n      - { bus: arm, message: shoulder_Command", "lastRung: &off\n      - { bus: arm, message: sholder_Command"), ["unknownMessage 69"]],
  ["a value out of range", changed("velocity: -0.5", "velocity: -5"), ["outOfRange 45"]],
  ["a signal that is not there", changed("signal: position, maximum: -1.5", "signal: positon, maximum: -1.5"), ["unknownSignal 47"]],
  ["limits between which no value lies", changed("signal: position, maximum: -1.5", "signal: position, minimum: 0.0001, maximum: 0.0009"), ["neverTrue 47"]],
  ["a name that other limits exclude", changed("signal: mode, equals: \"Off\" }", "signal: mode, minimum: 1, equals: \"Off\" }"), ["neverTrue 64"]],
  ["no such broker", plan(["{ name: a, send: [ { mqtt: brokr, topic: lift/stop, values: { now: 1 } } ] }"]), ["unknownLink 3"]],
  ["a plan that is not there", changed("on: nodeLost, plan: park", "on: nodeLost, plan: parc"), ["unknownPlan 108"]],
  ["a key of another kind", changed("on: takeover, plan: none", "on: takeover, node: elbow, plan: none"), ["conflictingKeys 109"]],
  ["a condition that looks at nothing", changed(/\{ on: condition, when: .*elbow_State.*/, "{ on: condition, plan: drop }"), ["missingKey 105"]],
  ["a request for no category", changed("on: takeover, plan: none", "on: request, plan: park"), ["missingKey 109"]],
  ["the same trigger twice", changed("on: takeover, plan: none", "on: nodeLost, node: elbow, plan: park"), ["duplicateTrigger 109"]],
  ["two triggers of one priority", changed("priority: 180", "priority: 130"), ["duplicatePriority 107", "?gentlerFirst 108"]],
  ["a gentler plan takes over", changed("- { on: nodeLost, plan: park }", "- { on: nodeLost, plan: hold, priority: 200 }"), ["?gentlerFirst 108"]],
  ["a trigger that needs the gateway", changed(/when: \{ topic: can\/arm\/elbow_State, signal: mode, equals: Fault \}/, "when: { topic: serial/hand/Joystick, signal: deadMan, equals: Pressed }"), ["needsBrain 105"]],
  ["no such node", changed("node: elbow, plan: drop", "node: elbo, plan: drop"), ["unknownNode 107"]],
  ["a node that nobody misses", changed("node: elbow, plan: drop", "node: imu, plan: drop"), ["?noEffect 107"]],
  ["no such command", changed("on: takeover, plan: none", "on: expired, command: cmd/arm/elbw_Command, plan: park"), ["?gentlerFirst 109", "unknownCommand 109"]],
  ["no such bus", changed("on: takeover, plan: none", "on: busDead, bus: amr, plan: park"), ["unknownBus 109"]],
];

for (const [what, text, expected] of wrong) {
  test(`refused or warned of: ${what}`, () => {
    const result = check(text);
    assert.deepEqual(codes(result), expected);
    assert.equal(result.checked === undefined, expected.some((code) => !code.startsWith("?")));
  });
}

test("what a whole table cannot hold is refused", () => {
  const many = Array.from({ length: 127 }, (_, index) => `{ name: a${index}, needs: [], fallback: b${index}, deadlineMs: 21, ${until} }`);
  const one = plan([...many.slice(0, 64), ...Array.from({ length: 64 }, (_, index) => `{ name: b${index}, ${until} }`)]);
  const three = one.replace(/(plans:\n)( {2}- .*\n)/, (_, head: string, line: string) => head + ["x", "y", "z"].map((name) => line.replace("name: park", `name: ${name}`)).join(""));
  assert.deepEqual(check(one).faults, []);
  assert.deepEqual(codes(check(three)), ["tooLarge 2"]);
});

test("the longest way is named", () => {
  const [fault] = check(plan([`{ name: a, deadlineMs: 400, tries: 2, backoffMs: 100, ${until} }`, `{ name: beside, needs: [], deadlineMs: 300, ${until} }`, `{ name: b, needs: [a, beside], deadlineMs: 101, ${until} }`])).faults;
  assert.match(fault!.message, /park may take 1001 ms, the budget is 1000; the longest way: a 900 \+ b 101 ms/);
});

test("a plan file is part of its configuration's verdict and hash", () => {
  const text = readFileSync(join(examples, "arm-reflex.yaml"), "utf8");
  assert.ok(read.readable);
  assert.equal(read.result.parts.plan?.plan.plans.length, 3);
  assert.match(text, /plan: arm\.plan\.yaml/);
});

test("the demonstration's plans fit its configuration", () => {
  const folder = join(sourceFolder(), "../../examples/arm");
  const text = readFileSync(join(folder, "ipcnet.template.yaml"), "utf8").replaceAll("@RUN@", "/run/demo").replaceAll("@MQTT_PORT@", "1883").replace(/^safePose:[^]*/m, "safePose: { plan: arm.plan.yaml }\n");
  const readFile = (path: string) => (path.endsWith(".password") ? { bytes: new TextEncoder().encode("x\n"), mode: 0o600 } : { bytes: readFileSync(join(folder, path)) });
  const { config, faults } = checkConfig({ text, file: "ipcnet.yaml", readFile });
  assert.deepEqual([config?.safePose.plan, faults], ["arm.plan.yaml", []]);
});

test("every code that a plan can have is in the specification, and the other way round", () => {
  const listed = new Set([...readFileSync(join(sourceFolder(), "../../docs/specs/plan.md"), "utf8").split("## Faults")[1]!.matchAll(/^\| `([a-zA-Z]+)` \|/gm)].map((match) => match[1]!));
  const own = ["unknownStep", "unknownPlan", "needsFallback", "circle", "fallbackDemandsMore", "fallbackNotLess", "emptyStep", "reservedName", "noEffect", "budgetTooShort", "tooLarge", "neverTrue", "duplicateTrigger", "duplicatePriority", "gentlerFirst", "needsBrain", "unknownNode", "unknownCommand", "namesUnchecked"];
  const shown = new Set([...wrong.flatMap(([, , expected]) => expected.map((code) => code.replace("?", "").split(" ")[0]!)), "tooLarge", "namesUnchecked"]);
  assert.deepEqual(own.filter((code) => !listed.has(code)), [], "not in the specification");
  assert.deepEqual([...listed].filter((code) => !own.includes(code)), [], "unknown here");
  assert.deepEqual(own.filter((code) => !shown.has(code)), [], "never shown");
});
