import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { filtersOverlap, idMatches, parseIdFilter } from "./idFilter.ts";
import type { IdFilter } from "./idFilter.ts";

test("sets of CAN ids", () => {
  const filter = (text: string) => parseIdFilter(text) as IdFilter;
  assert.equal(idMatches(filter("0x123"), 0x123, false), true);
  assert.equal(idMatches(filter("0x123"), 0x123, true), false);
  assert.equal(idMatches(filter("0x100-0x1FF"), 0x200, false), false);
  assert.equal(idMatches(filter("0x18FF0000/0xFFFF0000x"), 0x18ff1234, true), true);
  assert.equal(idMatches(filter("0x18FF0000/0xFFFF0000x"), 0x18fe1234, true), false);
  for (const [text, hint] of [["0x800", /0x800x/], ["0x200-0x100", /exchange/], ["0x123/0x100", /0x100/], ["0x20000000x", /^$/], ["291", /0x123/]] as const) {
    const refused = parseIdFilter(text);
    assert.ok("fault" in refused, text);
    assert.match(refused.hint, hint, text);
  }
});

test("two sets overlap exactly when some id is in both", () => {
  const range = fc.tuple(fc.nat(0x7ff), fc.nat(0x7ff)).map(([a, b]): IdFilter => ({ extended: false, low: Math.min(a, b), high: Math.max(a, b) }));
  const mask = fc.tuple(fc.nat(0x7ff), fc.nat(0x7ff)).map(([value, bits]): IdFilter => ({ extended: false, value: value & bits, mask: bits }));
  const any = fc.oneof(range, mask);
  fc.assert(
    fc.property(any, any, (a, b) => {
      let common = false;
      for (let id = 0; id <= 0x7ff && !common; id++) common = idMatches(a, id, false) && idMatches(b, id, false);
      assert.equal(filtersOverlap(a, b), common);
    }),
    { numRuns: 300 },
  );
});
