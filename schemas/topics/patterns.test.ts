import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { patternCovers, patternsOverlap } from "./patterns.ts";
import { topicMatches } from "./topicName.ts";

test("patterns overlap when some topic fits both", () => {
  const rows: [a: string, b: string, overlap: boolean][] = [
    ["a/b", "a/b", true], ["a/b", "a/c", false], ["a/+", "a/b", true], ["a/+", "+/b", true], ["a/+", "a/b/c", false], ["a/#", "a", true], ["a/#", "a/b/c", true],
    ["#", "x/y", true], ["a/+/c", "a/b/+", true], ["a/+/c", "a/b/d", false], ["+/#", "a", true], ["a/b/#", "a/+", true], ["a/b/c/#", "a/+", false], ["+", "a/b", false],
  ];
  for (const [a, b, overlap] of rows) {
    assert.equal(patternsOverlap(a, b), overlap, `${a} ${b}`);
    assert.equal(patternsOverlap(b, a), overlap, `${b} ${a}`);
  }
});

test("an allow-list pattern covers a subscription only if it covers all of it", () => {
  const rows: [string, string, boolean][] = [
    ["ipcnet/#", "ipcnet/#", true], ["ipcnet/#", "#", false], ["ipcnet/#", "+/x", false], ["a/+", "a/#", false], ["a/+", "a/+", true], ["a/b", "a/+", false],
    ["a/#", "a/+/c", true], ["+/+", "a/b", true], ["+/+", "a/#", false], ["#", "$SYS/#", false], ["a/+/c", "a/b/+", false],
  ];
  for (const [outer, inner, expected] of rows) assert.equal(patternCovers(outer, inner), expected, `${outer} over ${inner}`);
});

// Empty levels and "$" too: MQTT allows them, and the broker asks the same questions.
const level = fc.constantFrom("a", "b", "", "$x");
const topics = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join("/"));
const patterns = fc.tuple(fc.array(fc.oneof(level, fc.constant("+")), { minLength: 0, maxLength: 3 }), fc.constantFrom("#", "+", "a", "")).map(([levels, last]) => [...levels, last].join("/"));

test("covering means: whatever the inner pattern matches, the outer one matches", () => {
  fc.assert(fc.property(patterns, patterns, topics, (outer, inner, topic) => {
    if (patternCovers(outer, inner) && topicMatches(inner, topic)) assert.ok(topicMatches(outer, topic), `${outer} ⊇ ${inner} but not ${topic}`);
  }), { numRuns: 3000 });
});
