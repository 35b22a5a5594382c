/** A short run of what `npm run fuzz` does for longer. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { loadChecks } from "./checks.ts";
import { fuzzTargets } from "./fuzz.ts";

for (const target of fuzzTargets) {
  test(`${target.name}: no bytes break it`, () => {
    for (const seed of target.seeds ?? []) target.run(seed);
    const mutated = fc.tuple(fc.constantFrom(...(target.seeds ?? [new Uint8Array(1)])), fc.array(fc.tuple(fc.nat(), fc.nat(255)), { maxLength: 4 }), fc.nat()).map(([seed, edits, cut]) => {
      const bytes = Uint8Array.from(seed);
      for (const [at, value] of edits) bytes[at % bytes.length] = value;
      return cut % 3 === 0 ? bytes.subarray(0, cut % (bytes.length + 1)) : bytes;
    });
    fc.assert(fc.property(fc.oneof(fc.uint8Array({ maxLength: 64 }), mutated), (input) => target.run(input)), { seed: 20260808, numRuns: target.name === "checks file" ? 400 : 2000 });
  });
}

test("absurd checks files are refused, not suffered", () => {
  const absurd = ["[".repeat(300_000), "a: ".repeat(20_000), "&a [*a]", `x: &a [1]\n${"y: *a\n".repeat(1000)}`, `${"k".repeat(100_000)}: 1`, "#".repeat(3_000_000)];
  for (const text of absurd) assert.equal(loadChecks(text, { file: "absurd" }).ok, false);
});
