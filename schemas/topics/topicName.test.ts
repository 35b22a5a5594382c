import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { topicMatches, topicNameFault, topicPatternFault } from "./topicName.ts";

test("wildcards match as MQTT says", () => {
  const rows: [pattern: string, name: string, matches: boolean][] = [
    ["a/b", "a/b", true], ["a/b", "a/b/c", false], ["a/+", "a/b", true], ["a/+", "a", false], ["a/+", "a/b/c", false],
    ["+/b", "a/b", true], ["#", "a/b/c", true], ["a/#", "a", true], ["a/#", "a/b/c", true], ["a/#", "ab", false],
    ["+/+/c", "a/b/c", true], ["+/+/c", "a/b/d", false], ["#", "$SYS/x", false], ["+/x", "$SYS/x", false], ["$SYS/#", "$SYS/x", true],
  ];
  for (const [pattern, name, matches] of rows) assert.equal(topicMatches(pattern, name), matches, `${pattern} ~ ${name}`);
});

test("names that only MQTT has match too: empty levels and $", () => {
  const rows: [string, string, boolean][] = [
    ["a/b", "a/b", true], ["a/b", "a/b/c", false], ["a/+", "a/b", true], ["a/+", "a", false], ["a/+", "a/", true], ["a/+", "a/b/c", false],
    ["a/#", "a", true], ["a/#", "a/b/c", true], ["a/#", "ab", false], ["#", "a/b", true], ["+/+", "/finance", true], ["/+", "/finance", true], ["+", "/finance", false],
    ["#", "$SYS/x", false], ["+/x", "$SYS/x", false], ["$SYS/#", "$SYS/x", true], ["+", "", true], ["a//b", "a//b", true], ["a/+/b", "a//b", true],
  ];
  for (const [filter, topic, expected] of rows) assert.equal(topicMatches(filter, topic), expected, `${filter} on ${topic}`);
});

test("faults are named", () => {
  assert.equal(topicNameFault("can/arm/State"), undefined);
  assert.equal(topicNameFault(""), "empty");
  assert.equal(topicNameFault("a//b"), "emptyLevel");
  assert.equal(topicNameFault("/a"), "emptyLevel");
  assert.equal(topicNameFault("a/+"), "wildcardInName");
  assert.equal(topicNameFault("a\u0000"), "forbiddenCharacter");
  assert.equal(topicNameFault("é".repeat(128)), "tooLong");
  assert.equal(topicNameFault(Array(17).fill("a").join("/")), "tooDeep");
  assert.equal(topicPatternFault("a/#/b"), "misplacedWildcard");
  assert.equal(topicPatternFault("a/b+"), "misplacedWildcard");
  assert.equal(topicPatternFault("a/+/#"), undefined);
});

test("a match agrees with a regular expression made from the pattern", () => {
  const level = fc.constantFrom("a", "b", "cc", "+");
  const pattern = fc.tuple(fc.array(level, { minLength: 1, maxLength: 4 }), fc.boolean()).map(([levels, hash]) => [...levels, ...(hash ? ["#"] : [])].join("/"));
  const name = fc.array(fc.constantFrom("a", "b", "cc"), { minLength: 1, maxLength: 5 }).map((levels) => levels.join("/"));
  fc.assert(fc.property(pattern, name, (p, n) => {
    const source = p.replace(/\/#$/, "(/.*)?").replace(/\+/g, "[^/]+");
    assert.equal(topicMatches(p, n), new RegExp(`^${source}$`).test(n));
  }));
});
