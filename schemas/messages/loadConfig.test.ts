import assert from "node:assert/strict";
import { test } from "node:test";
import { Ajv } from "ajv";
import * as fc from "fast-check";
import { stringify } from "yaml";
import { configSchema } from "./configSchema.ts";
import { renderFault } from "./fault.ts";
import { fuzzTargets } from "./fuzz.ts";
import { loadConfig } from "./loadConfig.ts";
import { everyKey } from "./testConfigs.ts";
import { yamlLimits } from "./yamlTree.ts";

const load = (text: string) => loadConfig(text, { file: "robot.yaml" });
const minimal = "version: 1\nrobot: demo\n";

test("the smallest configuration gets every default, and its sections are all there", () => {
  const { config, faults } = load(minimal);
  assert.deepEqual(faults, []);
  assert.deepEqual(config, {
    version: 1, robot: "demo", socket: { mode: "0660" }, buses: [], serial: [], mqtt: { clients: [], inputs: [], publish: [] }, nodes: [], topics: [], commands: [], resources: [],
    arming: { autoDisarmAfterSilentMs: 1000 }, safePose: { budgetMs: 3000, prepareMs: 0, steps: [], compromise: [] }, routes: [],
    redundancy: { reflex: "none", brains: "single", progressMs: 500, resumeArmed: false, twinDeadlineMs: 10, beatPeriodMs: 20, brainTimeoutMs: 1000, drills: false },
  });
});

test("a configuration with every key comes back as it is, from YAML and from JSON", () => {
  assert.deepEqual(load(stringify(everyKey)).config, everyKey);
  assert.deepEqual(load(JSON.stringify(everyKey)).config, everyKey);
});

test("defaults below a list item and a broker are filled in", () => {
  const { config } = load(`${minimal}buses: [ { name: arm, interface: can0 } ]\nmqtt: { broker: {} }\n`);
  assert.deepEqual(config?.buses[0], {
    name: "arm", driver: "socketcan", interface: "can0", fd: false, listenOnly: false, optional: false, txQueueFrames: 16, busLoadMaxPercent: 70, deadAfterMs: 20,
    busOff: { restartMinMs: 100, restartMaxMs: 5000, restartBudget: 10 }, host: 0, publishRaw: true, databases: [],
  });
  assert.deepEqual(config?.mqtt.broker, { name: "broker", listen: { host: "127.0.0.1", port: 1883 }, users: [], allowAnonymous: false });
});

test("anchors and aliases share values; numbers may be hexadecimal", () => {
  const { config } = load(`${minimal}buses:\n  - { name: a, interface: can0, busOff: &off { restartMinMs: 0x10 } }\n  - { name: b, interface: can1, busOff: *off }\n`);
  assert.equal(config?.buses[1]?.busOff.restartMinMs, 16);
});

test("an alias bomb is refused without growing", () => {
  let text = `${minimal}buses:\n  - &a0 { name: a, interface: can0, databases: [] }\n`;
  const levels = Array.from({ length: 20 }, (_, i) => `x${i + 1}: &b${i + 1} [${`*b${i}, `.repeat(9)}*b${i}]`);
  text += `x0: &b0 [1, 2]\n${levels.join("\n")}\nnodes: *b20\n`;
  const started = process.hrtime.bigint();
  assert.ok(load(text).faults.length > 0);
  assert.ok(load(`${minimal}nodes: &n [*n]\n`).faults.some((fault) => fault.code === "unknownAlias"));
  assert.ok(process.hrtime.bigint() - started < 5_000_000_000n);
});

test("what is too long or too deep is refused before it is read", () => {
  assert.deepEqual(load("#".repeat(yamlLimits.textChars + 1)).faults.map((fault) => fault.code), ["fileTooLong"]);
  for (const piece of ["[", "{a: ", "- ", "? ", "a: ", ": "]) {
    const [first] = load(piece.repeat(20_000)).faults;
    assert.equal(first?.code, "tooDeep", piece);
  }
});

test("all faults at once, from top to bottom, and a caret under each", () => {
  const text = `version: 1
robot: demo
buses:
\t- name: arm
\t  interface: can0
`;
  assert.deepEqual(load(text).faults.map((fault) => [fault.code, fault.line, fault.column]), [["tab", 4, 1], ["tab", 5, 1]]);
  const wrong = `version: 1
robot: demo
buses:
  - name: arm
    interface: can0
    bitrateBps: 500k
    fd: yes
    dead_after_ms: 5
`;
  const { faults, config } = load(wrong);
  assert.equal(config, undefined);
  assert.equal(
    faults.map((fault) => renderFault(fault, () => wrong)).join("\n"),
    `robot.yaml:6:17: error wrongType: buses[0].bitrateBps: found the text "500k"
    6 |     bitrateBps: 500k
      |                 ^^^^
      expected: a bit rate in bit/s, 5000 to 1000000
      hint: write 500000
robot.yaml:7:9: error wrongType: buses[0].fd: found the text "yes"
    7 |     fd: yes
      |         ^^^
      expected: true or false
      hint: write true
robot.yaml:8:5: error unknownKey: buses[0].dead_after_ms: unknown key "dead_after_ms"
    8 |     dead_after_ms: 5
      |     ^^^^^^^^^^^^^
      expected: one of name, driver, interface, bitrateBps, dataBitrateBps, samplePointPercent, dataSamplePointPercent, fd, listenOnly, optional, txQueueFrames, busLoadMaxPercent, deadAfterMs, busOff, claimId, host, selfFenceMs, time, publishRaw, databases
      hint: did you mean "deadAfterMs"?`,
  );
});

/** Takes a value apart at a random place: a leaf, key or item is changed, removed or added. */
function mutate(value: unknown, choices: readonly number[], depth = 0): unknown {
  const choice = choices[depth % choices.length]!;
  const oddValues = [null, true, 0, -1, 1.5, 70_000, "", "x", "Not A Name", [], {}, [1], { name: "x" }, "schema", 1e15];
  if (Array.isArray(value)) {
    if (value.length === 0 || choice % 7 === 0) return oddValues[choice % oddValues.length];
    if (choice % 7 === 1) return value.slice(1);
    if (choice % 7 === 2) return [...(value as unknown[]), value[0]];
    const at = choice % value.length;
    return value.map((item, index) => (index === at ? mutate(item, choices, depth + 1) : item));
  }
  if (typeof value === "object" && value !== null) {
    const keys = Object.keys(value);
    if (keys.length === 0 || choice % 11 === 0) return oddValues[choice % oddValues.length];
    const key = keys[choice % keys.length]!;
    if (choice % 11 === 1) return Object.fromEntries(Object.entries(value).filter(([name]) => name !== key));
    if (choice % 11 === 2) return { ...value, [`${key}x`]: 1 };
    return { ...value, [key]: mutate((value as Record<string, unknown>)[key], choices, depth + 1) };
  }
  return oddValues[choice % oddValues.length];
}

test("the same verdict as a JSON Schema validator, on mutations of a whole configuration", () => {
  const validate = new Ajv({ strict: true, strictTypes: false }).compile(configSchema);
  let refused = 0;
  fc.assert(
    fc.property(fc.array(fc.nat(1_000_000), { minLength: 10, maxLength: 10 }), (choices) => {
      const value = mutate(everyKey, choices);
      const valid = validate(value);
      if (!valid) refused += 1;
      const { faults, config } = load(JSON.stringify(value, null, 1));
      assert.equal(faults.length === 0, valid, JSON.stringify({ faults, errors: validate.errors }));
      assert.equal(config !== undefined, valid);
    }),
    { numRuns: 500 },
  );
  assert.ok(refused > 50, `only ${refused} of the mutations were refused`);
});

test("no text makes it throw, and each fault has a place inside the text", () => {
  const base = stringify(everyKey);
  const pieces = fc.constantFrom("- ", "  ", "\t", ": ", "&a ", "*a ", "<<: ", "!!x ", "|\n", "'", '"', "{", "}", "[", "]", "\n", "---\n", "%YAML 9\n", "#", ",", "__proto__: 1\n", "constructor: 1\n", "\u0000", "\ufeff", "0x", "~");
  const edited = fc.tuple(fc.nat(base.length), fc.nat(40), fc.array(pieces, { maxLength: 6 })).map(([at, cut, words]) => base.slice(0, at) + words.join("") + base.slice(at + cut));
  const soup = fc.array(pieces, { maxLength: 60 }).map((words) => words.join(""));
  fc.assert(
    fc.property(fc.oneof(edited, soup, fc.string()), (text) => {
      const { faults, config } = load(text);
      assert.equal(config === undefined, faults.length > 0);
      const lines = text.split("\n").length;
      for (const fault of faults) {
        assert.ok(fault.line >= 1 && fault.line <= lines && fault.column >= 1 && fault.lengthChars >= 1, JSON.stringify(fault));
        assert.ok(fault.message !== "" && /^[a-z][A-Za-z]+$/.test(fault.code), JSON.stringify(fault));
      }
    }),
    { numRuns: 400 },
  );
});

for (const target of fuzzTargets) {
  test(`${target.name}: no bytes break it (a short run of npm run fuzz)`, () => {
    for (const seed of target.seeds) target.run(seed);
    const mutated = fc.tuple(fc.constantFrom(...target.seeds), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), fc.nat()).map(([seed, edits, cut]) => {
      const input = Uint8Array.from(seed);
      for (const [at, value] of edits) input[at % input.length] = value;
      return cut % 3 === 0 ? input.subarray(0, cut % (input.length + 1)) : input;
    });
    fc.assert(fc.property(fc.oneof(fc.uint8Array({ maxLength: 64 }), mutated), (input) => target.run(input)), { numRuns: 100 });
  });
}
