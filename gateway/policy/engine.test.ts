import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { isReserved } from "../../schemas/messages/check/topics.ts";
import { actions, type Action } from "../../schemas/messages/policyWords.ts";
import { topicMatches } from "../../schemas/topics/topicName.ts";
import { globMatcher } from "./components.ts";
import { Engine } from "./engine.ts";
import { ANSWERS_MAX, PROFILES_MAX } from "./limits.ts";
import type { Rule, RuleSet } from "./rules.ts";
import { testLookup } from "./testPolicy.ts";

const options = { lookup: testLookup, onUnknown: () => undefined };
const engineOf = (set: Partial<RuleSet>): Engine => new Engine({ components: {}, groups: {}, rules: [], ...set }, options);
const allow = (who: string[], action: Action, ...patterns: string[]): Rule => ({ effect: "allow", who, reach: [{ action, patterns }], why: "" });

const principals = ["anyone", "planner", "camera", "senses", "user:robot", "uid:1001", "group:ipcnet", "gid:7", "user:nobody-here"] as const;
const groups = { senses: ["camera", "lidar"] };
const level = fc.constantFrom("a", "b", "cmd", "gateway", "can");
const name = fc.array(level, { minLength: 1, maxLength: 3 }).map((levels) => levels.join("/"));
const pattern = fc.tuple(fc.array(fc.oneof(level, fc.constant("+")), { minLength: 0, maxLength: 3 }), fc.constantFrom("#", "+", "a", "b")).map(([levels, last]) => [...levels, last].join("/"));
const rule: fc.Arbitrary<Rule> = fc.record({
  effect: fc.constantFrom("allow" as const, "allow" as const, "deny" as const), who: fc.uniqueArray(fc.constantFrom(...principals), { minLength: 1, maxLength: 3 }), why: fc.constant(""),
  reach: fc.array(fc.record({ action: fc.constantFrom(...actions), patterns: fc.array(pattern, { minLength: 1, maxLength: 3 }) }), { minLength: 1, maxLength: 3 }),
});
const subject = fc.record({ uid: fc.constantFrom(1000, 1001, 1002), gid: fc.constantFrom(7, 8), groups: fc.subarray([300, 301]), components: fc.subarray(["planner", "camera", "lidar"]) });
type Subject = { uid: number; gid: number; groups: number[]; components: string[] };

/** The three lines of the specification, word by word. */
function naive(set: RuleSet, { uid, gid, groups: gids, components }: Subject, action: Action, asked: string): boolean {
  const means = (principal: string): boolean => {
    const [kind, value] = principal.split(":") as [string, string?];
    if (principal === "anyone") return true;
    if (kind === "uid") return uid === Number(value);
    if (kind === "gid") return gid === Number(value) || gids.includes(Number(value));
    if (kind === "user") return uid === testLookup.uid(value!);
    if (kind === "group") return [gid, ...gids].some((each) => each === testLookup.gid(value!));
    return (set.groups[principal] ?? [principal]).some((each) => components.includes(each));
  };
  const first = asked.split("/")[0]!;
  // "cmd" itself is no command, and nobody's to write.
  if (action === "write" && isReserved(asked) && !asked.startsWith("cmd/")) return false;
  if (action === "offer" && isReserved(asked)) return false;
  const guarded = (action === "write" && first === "cmd") || (action === "execute" && first === "gateway");
  const covers = (each: Rule): boolean => each.who.some(means) && each.reach.some((reach) => reach.action === action && reach.patterns.some((one) => topicMatches(one, asked) && !(each.effect === "allow" && guarded && one.split("/")[0] !== first)));
  if (set.rules.some((each) => each.effect === "deny" && covers(each))) return false;
  if (!set.rules.some((each) => each.effect === "allow" && covers(each))) return false;
  if (action !== "write" || first !== "cmd" || !set.commands) return true;
  return set.commands.get(asked)?.every(({ who }) => who.some(means)) ?? false;
}

test("a decision is what the specification says, asked once or twice, in whatever order the rules stand", () => {
  const place = { file: "f", line: 1, column: 1 };
  const lists = fc.option(fc.array(fc.tuple(name, fc.array(fc.record({ who: fc.subarray([...principals]), place: fc.constant(place) }), { maxLength: 2 })), { maxLength: 3 }).map((entries) => new Map(entries)), { nil: undefined });
  let allowed = 0;
  let denied = 0;
  fc.assert(
    fc.property(fc.array(rule, { maxLength: 8 }), lists, fc.array(fc.tuple(subject, fc.constantFrom(...actions), name), { minLength: 5, maxLength: 20 }), (rules, commands, questions) => {
      const set: RuleSet = { components: {}, groups, rules, ...(commands ? { commands } : {}) };
      const engine = new Engine(set, options);
      const reversed = new Engine({ ...set, rules: rules.toReversed() }, options);
      for (const [who, action, asked] of [...questions, ...questions]) {
        const expected = naive(set, who, action, asked);
        if (expected) allowed += 1;
        else denied += 1;
        assert.equal(engine.decide(engine.profileOf(who), action, asked).allowed, expected, `${JSON.stringify(who)} ${action} ${asked}`);
        assert.equal(reversed.decide(reversed.profileOf(who), action, asked).allowed, expected);
      }
    }),
    { numRuns: 600 },
  );
  assert.ok(allowed > 1000 && denied > 1000, `${allowed} allowed, ${denied} denied`);
});

test("what moves something and what operates the gateway has to be named", () => {
  const wide = engineOf({ rules: [allow(["anyone"], "write", "#", "+/arm/Move"), allow(["anyone"], "execute", "#")] });
  const who = wide.profileOf({ uid: 1, gid: 1, groups: [], components: [] });
  assert.ok(wide.decide(who, "write", "chat/x").allowed && wide.decide(who, "execute", "arm/grasp").allowed);
  assert.ok(!wide.decide(who, "write", "cmd/arm/Move").allowed && !wide.decide(who, "execute", "gateway/arm").allowed);
  const named = engineOf({ rules: [allow(["anyone"], "write", "cmd/#"), allow(["anyone"], "execute", "gateway/+")] });
  const other = named.profileOf({ uid: 1, gid: 1, groups: [], components: [] });
  assert.ok(named.decide(other, "write", "cmd/arm/Move").allowed && named.decide(other, "execute", "gateway/arm").allowed);
});

test("however much is asked, what is remembered stays within bounds, and the answers stay right", () => {
  const engine = engineOf({ rules: [allow(["uid:1"], "read", "a/#")] });
  for (let uid = 0; uid < PROFILES_MAX + 10; uid++) engine.profileOf({ uid, gid: 1, groups: [], components: [] });
  const one = engine.profileOf({ uid: 1, gid: 1, groups: [], components: [] });
  for (let i = 0; i < ANSWERS_MAX + 10; i++) engine.decide(one, "read", `b/${i}`);
  // Whoever holds a profile that the table has forgotten is held to the bound, too.
  const many = Array.from({ length: 3 * PROFILES_MAX }, (_, uid) => engine.profileOf({ uid, gid: 2, groups: [], components: [] }));
  for (let i = 0; i < 20; i++) for (const profile of many) engine.decide(profile, "read", `c/${i}`);
  const remembered = [one, ...many].reduce((total, { answers }) => total + Object.values(answers).reduce((sum, each) => sum + each.size, 0), 0);
  assert.ok(remembered <= ANSWERS_MAX, `${remembered}`);
  assert.ok(engine.decide(one, "read", "a/x").allowed && !engine.decide(one, "read", "b/1").allowed);
  assert.ok(engine.decide(engine.profileOf({ uid: 1, gid: 1, groups: [], components: [] }), "read", "a/x").allowed);
});

test("a glob matches as a regular expression would, and nothing makes it slow", () => {
  const text = fc.array(fc.constantFrom("a", "b", "@", "."), { maxLength: 10 }).map((parts) => parts.join(""));
  const glob = fc.array(fc.constantFrom("a", "b", "@", ".", "*"), { maxLength: 8 }).map((parts) => parts.join(""));
  fc.assert(fc.property(glob, text, (one, other) => {
    const expression = new RegExp(`^${one.replaceAll(".", "\\.").replaceAll("*", ".*")}$`);
    assert.equal(globMatcher(one)(other), expression.test(other), `${one} ${other}`);
  }), { numRuns: 2000 });
  assert.equal(globMatcher("*a".repeat(100))("a".repeat(5000) + "b"), false);
});

test("of several components that fit, the one that asks for most gives the name", () => {
  const components = { any: { uid: 1000 }, camera: { unit: "camera@*.service" }, front: { unit: "camera@front.service" }, both: { unit: "camera@*.service", uid: 1000, executable: "/usr/bin/camera" }, sub: { cgroup: "/robot.slice/cam*" } };
  const { components: table } = engineOf({ components });
  assert.deepEqual(table.identify(1000, { unit: "camera@front.service" }), { name: "front", components: ["front", "camera", "any"] });
  assert.equal(table.identify(1000, { unit: "camera@front.service", executable: "/usr/bin/camera" }).name, "both");
  assert.deepEqual(table.identify(7, { cgroup: "/robot.slice/cam1/worker" }).components, ["sub"]);
  assert.deepEqual(table.identify(7, { cgroup: "/robot.slice" }), { name: "uid:7", components: [] });
  assert.deepEqual(table.identify(7), { name: "uid:7", components: [] });
});
