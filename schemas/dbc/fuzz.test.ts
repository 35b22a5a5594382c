/** The fuzz targets for a moment, and properties over random messages and mutated texts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { DBC_LIMITS } from "./limits.ts";
import { fuzzTargets } from "./fuzz.ts";
import { parseDbc } from "./index.ts";
import { drawFrom } from "./random.ts";

const text = fuzzTargets[0]!.seeds![0]!;

test("random messages: decoding, records and encoding agree, and what was encoded decodes to the same", () => {
  const target = fuzzTargets.find(({ name }) => name === "dbc-frames")!;
  fc.assert(fc.property(fc.uint8Array({ minLength: 66, maxLength: 66 }), (input) => target.run(input)), { numRuns: 3000 });
});

test("mutated and random texts are read without an exception", () => {
  const draw = drawFrom(1);
  const pieces = text.toString().split(/(\s+)/);
  for (let run = 0; run < 400; run++) {
    const mutated = [...pieces];
    for (let count = draw(8) + 1; count > 0; count--) {
      const at = draw(mutated.length);
      const kind = draw(4);
      if (kind === 0) mutated.splice(at, draw(5));
      else if (kind === 1) mutated.splice(at, 0, pieces[draw(pieces.length)]!, " ");
      else if (kind === 2) mutated[at] = ['"', ";", "\n", "SG_", "-1", "99999999999999999999", "\\\"", "M", "m1", ".", "__proto__"][draw(11)]!;
      else mutated.length = at + 1;
    }
    fuzzTargets[0]!.run(Buffer.from(mutated.join("")));
  }
  fc.assert(fc.property(fc.uint8Array({ maxLength: 300 }), (input) => fuzzTargets[0]!.run(input)), { numRuns: 500 });
});

test("the other targets for a moment", () => {
  for (const target of fuzzTargets.slice(2)) {
    for (const seed of target.seeds ?? []) target.run(seed);
    fc.assert(fc.property(fc.string({ maxLength: 80 }), (input) => target.run(Buffer.from(input))), { numRuns: 300 });
  }
});

test("time grows with the length of the text, not with its square", () => {
  // Each would take minutes at 300,000 repetitions if any part of it were scanned again for each repetition.
  const hostile: Record<string, (count: number) => string> = {
    "opened texts": (count) => '"\\"\n'.repeat(count),
    "escaped marks": (count) => `BO_ 1 M: 8 A\nCM_ "${'\\" '.repeat(count)}`,
    "texts cut at statements": (count) => `CM_ "${'\nBO_ 6 X: 8 Y\\"'.repeat(count)}`,
    "one long line": (count) => 'VAL_TABLE_ T 1 "a" '.repeat(count),
    "blanks": (count) => `BU_:${" ".repeat(count)}A\nSG_${" ".repeat(count)}x`,
    "one identifier": (count) => "BO_ 1 M: 8 A\n".repeat(count / 50) + 'CM_ BO_ 1 "c";\n'.repeat(count / 10),
    "one attribute": (count) => 'BA_DEF_ "A" INT 0 1;\nBA_DEF_DEF_ "A" 0;\n'.repeat(count / 10),
    "one name": (count) => "x".repeat(count),
    "one signal's ranges": (count) => `BO_ 1 M: 8 A\n SG_ s : 0|8@1+ (1,0) [0|0] "" A\nSG_MUL_VAL_ 1 s s ${"1-1,".repeat(count)}`,
    "punctuation": (count) => ":;,|@()[]".repeat(count / 10),
  };
  for (const [name, make] of Object.entries(hostile)) {
    const input = make(300_000);
    assert.ok(input.length <= DBC_LIMITS.fileBytes);
    const start = process.cpuUsage();
    parseDbc(input, { file: name });
    const { user, system } = process.cpuUsage(start);
    // Generous: the square would be thousands of seconds.
    assert.ok((user + system) / 1e6 < 20, `${name}: ${(user + system) / 1e6} s`);
  }
});
