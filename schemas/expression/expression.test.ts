import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { compileExpression, expressionLimits } from "./index.ts";
import type { FieldType } from "./index.ts";

const fields = new Map<string, FieldType>([
  ["velocity", { kind: "number" }],
  ["temperature", { kind: "number" }],
  ["mode", { kind: "number", names: new Map([["Off", 0], ["Hold", 1], ["Move", 2]]) }],
  ["enabled", { kind: "boolean" }],
  ["state", { kind: "text", values: ["ready", "lost"] }],
  ["label", { kind: "text" }],
  ["extra", { kind: "any" }],
  ["pose.x", { kind: "number" }],
]);

function passes(text: string, sample: Readonly<Record<string, unknown>>): boolean {
  const { compiled, faults } = compileExpression(text, fields);
  assert.deepEqual(faults, [], text);
  return compiled!.test((slot) => sample[compiled!.fields[slot]!]);
}

test("what passes and what does not", () => {
  const sample = { velocity: 0.5, temperature: 70, mode: 1, enabled: true, state: "ready", label: "a", extra: 3n, "pose.x": -2 };
  const rows: [text: string, expected: boolean][] = [
    ["velocity > 0.1 && temperature < 80", true],
    ["velocity > 0.1 && temperature < 70", false],
    ["velocity > 1 || temperature == 70", true],
    ["true || false && false", true],
    ["!(velocity > 1)", true],
    ["!enabled", false],
    ["enabled == true", true],
    ['mode == "Hold"', true],
    ["'Hold' != mode", false],
    ["mode >= 1", true],
    ['state == "ready" && label != "b"', true],
    ["abs(pose.x) == 2", true],
    ["min(velocity, temperature, 0.25) == 0.25", true],
    ["max(1, 2) == 2", true],
    ["1 + 2 * 3 == 7", true],
    ["(1 + 2) * 3 == 9", true],
    ["10 - 2 - 3 == 5", true],
    ["-velocity < 0", true],
    ["- -2 == 2", true],
    ["7 % 4 == 3 && 0x10 == 16 && 1e2 == 100 && .5 == 0.5", true],
    ["extra == 3", true],
    ['extra == "3"', false],
    ["velocity / 0 > 1", false],
  ];
  for (const [text, expected] of rows) assert.equal(passes(text, sample), expected, text);
});

test("a missing or unfit value never passes, not even negated", () => {
  for (const bad of [undefined, NaN, Infinity, "5", null, {}]) {
    for (const text of ["velocity > 1", "!(velocity > 1)", "velocity != 1", "velocity == velocity", "velocity * 0 == 0", "extra > 1", "!(extra > 1)", "enabled", "!enabled"]) {
      assert.equal(passes(text, { velocity: bad, extra: bad, enabled: bad }), false, `${text} with ${typeof bad}`);
    }
  }
  assert.equal(passes("velocity > 1 || temperature > 1", { temperature: 2 }), true);
  assert.equal(passes("velocity > 1 && temperature > 1", { temperature: 2 }), false);
});

test("each signal has one slot, in the order of appearance", () => {
  assert.deepEqual(compileExpression("velocity > 1 && temperature > velocity", fields).compiled?.fields, ["velocity", "temperature"]);
});

test("faults say where, what and what was meant", () => {
  const rows: [text: string, code: string, from: number, to: number, hint: RegExp][] = [
    ["velocty > 1", "unknownField", 0, 7, /did you mean velocity\?/],
    ["velocity = 1", "syntax", 9, 10, /==/],
    ["velocity === 1", "syntax", 9, 12, /==/],
    ["velocity > 1 & enabled", "syntax", 13, 14, /&&/],
    ["velocity > 1 and enabled", "syntax", 13, 16, /&&/],
    ["not enabled", "syntax", 0, 3, /!/],
    ["0 < velocity < 1", "chainedComparison", 13, 14, /&&/],
    ["velocity", "wrongType", 0, 8, /velocity != 0/],
    ["velocity && enabled", "wrongType", 0, 8, /!= 0/],
    ['mode == "Hald"', "unknownValue", 8, 14, /did you mean "Hold"\?/],
    ['mode < "Hold"', "wrongType", 0, 13, /==/],
    ['velocity == "Hold"', "wrongType", 0, 18, /number/],
    ['state == "redy"', "unknownValue", 9, 15, /"ready"/],
    ['label < "b"', "wrongType", 0, 11, /==/],
    ["enabled == 1", "wrongType", 0, 12, /^$/],
    ["abs(1, 2) > 0", "wrongArguments", 0, 9, /1 is right/],
    ["max(1) > 0", "wrongArguments", 0, 6, /2 to 16/],
    ["sqrt(velocity) > 0", "unknownFunction", 0, 4, /abs, min, max/],
    ["velocity >", "syntax", 10, 10, /^$/],
    ["(velocity > 1", "syntax", 13, 13, /^$/],
    ["velocity > 1)", "syntax", 12, 13, /^$/],
    ["velocity > $x", "syntax", 11, 12, /^$/],
    ['label == "x', "syntax", 9, 11, /close/],
    ["", "syntax", 0, 0, /^$/],
    ["constructor > 1", "unknownField", 0, 11, /one of velocity/],
    ["toString() > 1", "unknownFunction", 0, 8, /./],
    ["x".repeat(expressionLimits.textChars + 1), "tooLong", 0, expressionLimits.textChars + 1, /^$/],
    [`${"(".repeat(40)}1${")".repeat(40)} > 0`, "tooDeep", 32, 33, /^$/],
    [`${"!".repeat(40)}enabled`, "tooDeep", 32, 33, /^$/],
    [`${"1+".repeat(400)}1 > 0`, "tooLarge", 0, 301, /^$/],
  ];
  for (const [text, code, from, to, hint] of rows) {
    const [fault] = compileExpression(text, fields).faults;
    assert.deepEqual([fault?.code, fault?.from, fault?.to], [code, from, to], text.slice(0, 60));
    assert.match(fault!.hint, hint, text.slice(0, 60));
  }
});

test("all faults of type are reported at once", () => {
  assert.deepEqual(compileExpression("velocty > 1 && temprature < 2 && mode == 'X'", fields).faults.map((fault) => fault.code), ["unknownField", "unknownField", "unknownValue"]);
});

test("a source that does not say what it holds takes any name and compares what it finds", () => {
  const { compiled } = compileExpression('speed > 1 && name == "a" && on', "unknown");
  assert.deepEqual(compiled?.fields, ["speed", "name", "on"]);
  const sample: Record<string, unknown> = { speed: 2, name: "a", on: true };
  assert.equal(compiled.test((slot) => sample[compiled.fields[slot]!]), true);
  assert.equal(compiled.test(() => undefined), false);
});

test("random text and random words: a verdict, never an exception; whatever compiles answers any sample", () => {
  const words = fc.constantFrom("velocity", "mode", "enabled", "label", "extra", "(", ")", "&&", "||", "!", "==", "!=", "<", ">", "+", "-", "*", "/", "%", "1", "0.5", '"Hold"', "true", "abs", "min", ",", ".", "and", "=", "'");
  const values = fc.constantFrom<unknown>(undefined, null, 0, 1, -1.5, NaN, Infinity, "Hold", "", true, false, 7n, {}, []);
  let compiledCount = 0;
  fc.assert(
    fc.property(fc.oneof(fc.string(), fc.array(words, { maxLength: 12 }).map((list) => list.join(" "))), fc.array(values, { minLength: 6, maxLength: 6 }), (text, sample) => {
      const { compiled, faults } = compileExpression(text, fields);
      assert.equal(compiled === undefined, faults.length > 0);
      for (const fault of faults) assert.ok(fault.from >= 0 && fault.to >= fault.from && fault.to <= text.length);
      if (!compiled) return;
      compiledCount += 1;
      assert.equal(typeof compiled.test((slot) => sample[slot % sample.length]), "boolean");
    }),
    { numRuns: 4000 },
  );
  assert.ok(compiledCount > 0);
});

/** A model: trees that carry their text and their value by JavaScript's own arithmetic. */
interface Model { text: string; value: number }
const numbers: fc.Arbitrary<Model> = fc.letrec<{ tree: Model }>((tie) => ({
  tree: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.integer({ min: 0, max: 9 }).map((value) => ({ text: String(value), value })),
    fc.tuple(tie("tree"), fc.constantFrom("+", "-", "*", "/", "%"), tie("tree")).map(([a, sign, b]) => ({
      text: `(${a.text} ${sign} ${b.text})`,
      value: sign === "+" ? a.value + b.value : sign === "-" ? a.value - b.value : sign === "*" ? a.value * b.value : sign === "/" ? a.value / b.value : a.value % b.value,
    })),
    fc.tuple(tie("tree"), tie("tree")).map(([a, b]) => ({ text: `max(${a.text}, -${b.text})`, value: Math.max(a.value, -b.value) })),
  ),
})).tree;

test("arithmetic and comparisons agree with a model", () => {
  fc.assert(
    fc.property(numbers, numbers, (a, b) => {
      const finite = Number.isFinite(a.value) && Number.isFinite(b.value);
      const { compiled, faults } = compileExpression(`${a.text} < ${b.text}`, new Map());
      if (!compiled) {
        assert.ok(faults.every((fault) => ["tooLong", "tooDeep", "tooLarge"].includes(fault.code)), JSON.stringify(faults));
        return;
      }
      assert.equal(compiled.test(() => undefined), finite && a.value < b.value);
    }),
  );
});
