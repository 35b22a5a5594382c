import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { Ajv } from "ajv";
import fc from "fast-check";
import { stringify } from "yaml";
import { checkConfig } from "./checkConfig.ts";
import { checkPolicy } from "./checkPolicy.ts";
import type { PolicyResult } from "./checkPolicy.ts";
import { renderFault } from "./fault.ts";
import { sourceFolder } from "./generate.ts";
import { policyFuzz } from "./policy/fuzzCase.ts";
import { policySchema } from "./policySchema.ts";

const people = `components:
  planner: { unit: planner.service, user: planner }
  camera: { unit: "camera@*.service" }
groups: { senses: [camera] }
`;
const base = `version: 1\n${people}`;

/** Rules behind the components above, one a line from line 7 on. */
function judge(...rules: string[]): PolicyResult {
  return checkPolicy({ text: `${base}rules:\n${rules.map((rule) => `  - ${rule}\n`).join("")}`, file: "policy.yaml", surroundings: { topics: new Set(["can/arm/State", "cmd/arm/Move", "cmd/arm/Brake", "cmd/arm/Grip"]), writers: new Map([["cmd/arm/Move", [{ user: "planner" }]], ["cmd/arm/Brake", []], ["cmd/arm/Grip", [{ group: "g" }]]]) } });
}
const used = "{ allow: [read], who: [planner, senses], topics: [lidar/#] }";
const codes = ({ faults, notes }: PolicyResult): string[] => [...faults.map(({ severity, code, line }) => `${line} ${severity === "error" ? "" : "W "}${code}`), ...notes.map(({ code, line }) => `${line} N ${code}`)];

test("a good policy has no faults, and a hash of its meaning", () => {
  const { checked, faults, notes } = judge(used);
  assert.deepEqual([faults, notes], [[], []]);
  assert.deepEqual(checked?.places.map(({ line, column }) => [line, column]), [[7, 5]]);
  const { checked: same } = checkPolicy({ text: JSON.stringify({ rules: checked.policy.rules, groups: checked.policy.groups, components: checked.policy.components, version: 1 }), file: "other.yaml" });
  assert.equal(same?.hash, checked.hash);
  assert.notEqual(judge(used, "{ deny: [read], who: [camera], topics: [lidar/x] }").checked?.hash, checked.hash);
});

test("the example is a good policy, beside the example of a configuration", () => {
  const file = (name: string): string => join(sourceFolder(), "../../examples/config", name);
  const result = checkConfig({ text: readFileSync(file("arm-can0.yaml"), "utf8").replace("version: 1\n", "version: 1\npolicy: arm.policy.yaml\n"), file: "arm-can0.yaml", readFile: (path) => ({ bytes: readFileSync(file(path)), mode: 0o644 }) });
  assert.deepEqual(result.faults, []);
  assert.equal(result.parts.policy?.policy.rules.length, 11);
  assert.deepEqual([...new Set(result.notes.map(({ code, file: where }) => `${where} ${code}`))], ["arm.policy.yaml mayCommand", "arm.policy.yaml mayOperate"]);
});

/** [rules, faults and notes as "line [W|N] code"] */
const rows: [what: string, rules: string[], expected: string[]][] = [
  ["a name that nothing has", [used, "{ allow: [read], who: [planer], topics: [a] }"], ["8 unknownComponent"]],
  ["a verb that does not fit", [used, "{ allow: [execute], who: [planner], topics: [a] }"], ["8 verbDoesNotFit", "8 verbDoesNotFit"]],
  ["one of two verbs that does not fit", [used, "{ allow: [read, offer], who: [planner], topics: [a] }"], ["8 verbDoesNotFit"]],
  ["nothing named", [used, "{ allow: [read], who: [planner] }"], ["8 nothingNamed"]],
  ["topics that only the gateway writes", [used, "{ allow: [write], who: [planner], topics: [can/arm/State] }"], ["8 reservedTopic"]],
  ["services that only the gateway offers", [used, "{ allow: [offer], who: [planner], services: [gateway/x] }"], ["8 reservedService"]],
  ["commands are said aloud", [used, "{ allow: [write], who: [planner], topics: [cmd/arm/Move] }"], ["8 N mayCommand"]],
  ["commands that the configuration closes", [used, "{ allow: [write], who: [planner], topics: [cmd/arm/Brake] }"], ["8 W closedCommand", "8 N mayCommand"]],
  ["commands whose writers are others", [used, "{ allow: [write], who: ['user:someone', camera], topics: [cmd/arm/Move, cmd/arm/Grip] }"], ["8 W notAWriter", "8 N mayCommand", "8 N mayCommand"]],
  ["all commands louder", [used, "{ allow: [write], who: [planner], topics: [cmd/#] }"], ["8 W allCommands", "8 W closedCommand"]],
  ["commands for anyone loudest", [used, "{ allow: [write], who: [anyone], topics: [cmd/arm/Move] }"], ["8 W anyoneMayCommand"]],
  ["a wildcard does not reach commands", [used, "{ allow: [write], who: [planner], topics: ['#'] }"], ["8 N doesNotReach"]],
  ["operating the gateway is said aloud", [used, "{ allow: [execute], who: [planner], services: [gateway/arm] }"], ["8 N mayOperate"]],
  ["topics that the configuration does not make", [used, "{ allow: [read], who: [planner], topics: [can/arm/Stat, can/+/State] }"], ["8 W matchesNothing"]],
  ["allowed and denied whole", [used, "{ allow: [read], who: [camera], topics: [a/b] }", "{ deny: [read], who: [senses], topics: [a/#] }"], ["8 W shadowed"]],
  ["denied by user", [used, "{ allow: [read], who: [planner], topics: [a/b] }", "{ deny: [read, write], who: ['user:planner'], topics: ['#'] }"], ["8 W shadowed", "7 N partlyDenied"]],
  ["denied in part", [used, "{ allow: [read, write], who: [camera], topics: [a/b] }", "{ deny: [write], who: [anyone], topics: [a/#] }"], ["8 N partlyDenied"]],
  ["allowed twice", [used, "{ allow: [read], who: [camera], topics: [lidar/+] }"], ["8 W redundant"]],
  ["the same rule twice: the second is too much", [used, used], ["8 W redundant"]],
  ["denying what nothing allows", [used, "{ deny: [read], who: [camera], topics: [radar/#] }"], ["8 N deniesNothing"]],
  ["the safe pose cannot be taken away", [used, "{ allow: [execute], who: [camera], services: [gateway/status] }", "{ deny: [execute], who: [anyone], services: [gateway/safe-pose] }"], ["9 W safePoseStays", "9 N deniesNothing"]],
];

test("what is wrong, suspicious or worth knowing is said, with its line", () => {
  for (const [what, rules, expected] of rows) assert.deepEqual(codes(judge(...rules)), expected, what);
});

/** [components and groups, faults] with one rule that names a and b. */
const identities: [what: string, text: string, expected: string[]][] = [
  ["a program file alone proves nothing", "components: { a: { executable: /usr/bin/a }, b: { uid: 1 } }", ["2 provesNothing"]],
  ["two ways to say the user", "components: { a: { user: x, uid: 7 }, b: { uid: 1 } }", ["2 conflictingKeys"]],
  ["a user's unit without the user", "components: { a: { userUnit: a.service }, b: { uid: 1 } }", ["2 keyNeeded"]],
  ["two that are the same", "components: { a: { uid: 1 }, b: { uid: 1, description: another } }", ["2 W sameIdentity"]],
  ["a component called anyone", "components: { a: { uid: 1 }, b: { uid: 2 }, anyone: { uid: 3 } }", ["2 reservedName", "2 W unused"]],
  ["a group called as a component", "components: { a: { uid: 1 }, b: { uid: 2 } }\ngroups: { a: [b] }", ["3 duplicateName"]],
  ["a group of groups", "components: { a: { uid: 1 }, b: { uid: 2 } }\ngroups: { g: [a], h: [g] }", ["3 groupInGroup", "3 W unused", "3 W unused"]],
  ["nobody uses it", "components: { a: { uid: 1 }, b: { uid: 2 }, c: { uid: 3 } }", ["2 W unused"]],
];

test("components that prove nothing, names that mean two things", () => {
  for (const [what, text, expected] of identities) {
    const result = checkPolicy({ text: `version: 1\n${text}\nrules: [ { allow: [read], who: [a, b], topics: [x] } ]\n`, file: "p" });
    assert.deepEqual(codes(result).sort((x, y) => (x < y ? -1 : 1)), expected.sort((x, y) => (x < y ? -1 : 1)), what);
  }
});

test("a fault shows its place, what was expected and what was probably meant", () => {
  const text = `${base}rules:\n  - { allow: [red], who: [senses], topics: [a/#/b] }\n  - { allow: [read], who: ["user :x"], topics: [a] }\n`;
  const { faults } = checkPolicy({ text, file: "policy.yaml" });
  assert.equal(faults.filter(({ severity }) => severity === "error").map((fault) => renderFault(fault, () => text)).join("\n"), `policy.yaml:7:15: error notInList: rules[0].allow[0]: found the text "red"
    7 |   - { allow: [red], who: [senses], topics: [a/#/b] }
      |               ^^^
      expected: one of read, write, execute, offer
      hint: did you mean read?
policy.yaml:7:45: error badFormat: rules[0].topics[0]: found the text "a/#/b"
    7 |   - { allow: [red], who: [senses], topics: [a/#/b] }
      |                                             ^^^^^
      expected: a pattern of topics: levels separated by /, + for any one level, # at the end for the rest, at most 16 levels
policy.yaml:8:28: error badFormat: rules[1].who[0]: found the text "user :x"
    8 |   - { allow: [read], who: ["user :x"], topics: [a] }
      |                            ^^^^^^^^^
      expected: a component, a group of components, user:NAME, group:NAME, uid:NUMBER, gid:NUMBER, or anyone`);
});

test("users and groups that this machine does not have are notes; a file that all may write is refused", () => {
  const machine = { userExists: (name: string) => name === "root", groupExists: () => undefined };
  const text = "version: 1\ncomponents: { a: { user: nobody-here } }\nrules: [ { allow: [read], who: [a, 'user:ghost', 'user:root', 'group:g'], topics: [x] } ]\n";
  assert.deepEqual(codes(checkPolicy({ text, file: "p", machine })), ["2 N unknownHere", "3 N unknownHere"]);
  assert.deepEqual(codes(checkPolicy({ text, file: "p", mode: 0o666 })), ["1 worldWritable"]);
  assert.deepEqual(codes(checkPolicy({ text, file: "p", mode: 0o664 })), []);
});

test("a thousand rules: the comparison of all with all has an end, and says so", () => {
  const rules = Array.from({ length: 1000 }, (_, i) => ({ allow: ["read", "write"], who: ["planner", "user:a", "user:b"], topics: [`t${i}/#`, `u${i}/+/x`] }));
  const { checked, notes } = checkPolicy({ text: JSON.stringify({ version: 1, components: { planner: { uid: 1 } }, rules }), file: "p" });
  assert.ok(checked);
  assert.deepEqual(notes.map(({ code }) => code), ["tooManyRules"]);
});

test("the schema's verdict is that of a JSON Schema validator, on mutations", () => {
  const validate = new Ajv({ strict: true, strictTypes: false }).compile(policySchema);
  const odd = fc.constantFrom<unknown>(null, true, 0, "", "x", "Not A Name", [], {}, [1], "anyone", "a/#/b");
  const whole = { version: 1, components: { a: { unit: "a.service", user: "a", cgroup: "/x", executable: "/a", description: "d" } }, groups: { g: ["a"] }, rules: [{ allow: ["read"], who: ["a", "g", "user:x"], topics: ["a/#"], services: [], resources: ["r"], why: "w" }, { deny: ["write"], who: ["anyone"], topics: ["#"] }] };
  const mutate = (value: unknown, choices: readonly number[], replacement: unknown): unknown => {
    const [choice = 0, ...rest] = choices;
    const keys = typeof value === "object" && value !== null ? Object.keys(value) : [];
    if (keys.length === 0 || rest.length === 0 || choice % 5 === 0) return replacement;
    const key = keys[choice % keys.length]!;
    if (choice % 5 === 1 && !Array.isArray(value)) return Object.fromEntries(Object.entries(value as object).filter(([name]) => name !== key));
    const changed = mutate((value as Record<string, unknown>)[key], rest, replacement);
    return Array.isArray(value) ? value.map((item, index) => (String(index) === key ? changed : item) as unknown) : { ...(value as object), [key]: changed };
  };
  fc.assert(fc.property(fc.array(fc.nat(1000), { minLength: 2, maxLength: 7 }), odd, (choices, replacement) => {
    const value = mutate(whole, choices, replacement);
    const { faults } = checkPolicy({ text: stringify(value), file: "p" });
    const schemaCodes = new Set(["unknownKey", "missingKey", "wrongType", "notInList", "outOfRange", "badFormat", "wrongCount", "emptyFile"]);
    const refused = faults.some(({ code, message }) => schemaCodes.has(code) || (code === "conflictingKeys" && message.includes('"allow" and "deny"')));
    assert.equal(refused, !validate(value), JSON.stringify({ value, faults, errors: validate.errors }));
  }), { numRuns: 400 });
});

test("no text breaks the reader (a short run of npm run fuzz)", () => {
  for (const seed of policyFuzz.seeds) policyFuzz.run(seed);
  const mutated = fc.tuple(fc.constantFrom(...policyFuzz.seeds), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 })).map(([seed, edits]) => {
    const input = Uint8Array.from(seed);
    for (const [at, value] of edits) input[at % input.length] = value;
    return input;
  });
  fc.assert(fc.property(fc.oneof(fc.uint8Array({ maxLength: 64 }), mutated), (input) => policyFuzz.run(input)), { numRuns: 200 });
});
