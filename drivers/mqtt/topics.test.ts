import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { topicMatches } from "../../schemas/topicName.ts";
import { filterCovers, mqttFilterFault, mqttTopicFault, topicTree } from "./topics.ts";

test("matching follows MQTT 5 §4.7", () => {
  const rows: [string, string, boolean][] = [
    ["a/b", "a/b", true], ["a/b", "a/b/c", false], ["a/+", "a/b", true], ["a/+", "a", false], ["a/+", "a/", true], ["a/+", "a/b/c", false],
    ["a/#", "a", true], ["a/#", "a/b/c", true], ["a/#", "ab", false], ["#", "a/b", true], ["+/+", "/finance", true], ["/+", "/finance", true], ["+", "/finance", false],
    ["#", "$SYS/x", false], ["+/x", "$SYS/x", false], ["$SYS/#", "$SYS/x", true], ["+", "", true], ["a//b", "a//b", true], ["a/+/b", "a//b", true],
  ];
  for (const [filter, topic, expected] of rows) assert.equal(topicMatches(filter, topic), expected, `${filter} on ${topic}`);
});

test("an allow-list pattern covers a subscription only if it covers all of it", () => {
  const rows: [string, string, boolean][] = [
    ["ipcnet/#", "ipcnet/#", true], ["ipcnet/#", "#", false], ["ipcnet/#", "+/x", false], ["a/+", "a/#", false], ["a/+", "a/+", true], ["a/b", "a/+", false],
    ["a/#", "a/+/c", true], ["+/+", "a/b", true], ["+/+", "a/#", false], ["#", "$SYS/#", false], ["a/+/c", "a/b/+", false],
  ];
  for (const [outer, inner, expected] of rows) assert.equal(filterCovers(outer, inner), expected, `${outer} over ${inner}`);
});

const level = fc.constantFrom("a", "b", "", "$x");
const topics = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join("/")).filter((topic) => mqttTopicFault(topic) === undefined);
const filters = fc.tuple(fc.array(fc.oneof(level, fc.constant("+")), { minLength: 0, maxLength: 3 }), fc.constantFrom("#", "+", "a", "")).map(([levels, last]) => [...levels, last].join("/")).filter((filter) => mqttFilterFault(filter) === undefined);

test("covering means: whatever the inner filter matches, the outer one matches", () => {
  fc.assert(fc.property(filters, filters, topics, (outer, inner, topic) => {
    if (filterCovers(outer, inner) && topicMatches(inner, topic)) assert.ok(topicMatches(outer, topic), `${outer} ⊇ ${inner} but not ${topic}`);
  }), { numRuns: 3000 });
});

test("names and filters that MQTT does not know are refused with a reason", () => {
  for (const filter of ["", "a+", "+a", "a/b#", "#/a", "a/#/b", "a\0b", "x/".repeat(40), "y".repeat(600)]) assert.equal(typeof mqttFilterFault(filter), "string", filter);
  for (const topic of ["", "a/+", "a/#", "a\0"]) assert.equal(typeof mqttTopicFault(topic), "string", topic);
  for (const filter of ["+", "#", "a/+/b/#", "/"]) assert.equal(mqttFilterFault(filter), undefined, filter);
});

test("the tree maps both ways", () => {
  const tree = topicTree("demo-arm");
  assert.equal(tree.stateTopic("can/arm/Status"), "ipcnet/demo-arm/can/arm/Status");
  assert.deepEqual(tree.meaning("ipcnet/demo-arm/can/arm/Status"), { kind: "state", topic: "can/arm/Status" });
  assert.equal(tree.commandTopic("cmd/arm/Move"), "ipcnet/demo-arm/cmd/arm/Move/set");
  assert.deepEqual(tree.meaning("ipcnet/demo-arm/cmd/arm/Move/set"), { kind: "command", topic: "cmd/arm/Move" });
  assert.deepEqual(tree.meaning(tree.bridgeState), { kind: "bridgeState" });
  assert.deepEqual(tree.meaning(tree.availability("elbow")), { kind: "availability", node: "elbow" });
  assert.deepEqual(tree.meaning(tree.request("gateway/arm")), { kind: "request", service: "gateway/arm" });
  assert.deepEqual(tree.meaning(tree.response("gateway/arm")), { kind: "response", service: "gateway/arm" });
  for (const foreign of ["ipcnet/other/can/x", "ipcnet/demo-arm/", "ipcnet/demo-arm/cmd/set", "ipcnet/demo-arm/cmd/arm/Move", "ipcnet/demo-arm/bridge/other", "ipcnet/demo-arm/nodes/x", "zigbee2mqtt/lamp"]) {
    assert.deepEqual(tree.meaning(foreign), { kind: "foreign" }, foreign);
  }
});

test("an IPCNet topic that would collide with the tree is not mirrored", () => {
  const tree = topicTree("demo-arm");
  for (const topic of ["cmd/arm/Move", "bridge/state", "nodes/elbow/availability", "a/+", ""]) {
    assert.equal(tree.stateTopic(topic), undefined, topic);
    assert.equal(typeof tree.mirrorFault(topic), "string");
  }
  assert.throws(() => topicTree("Demo Arm"), RangeError);
});

test("every mirrored topic comes back as itself", () => {
  const tree = topicTree("r");
  fc.assert(fc.property(topics, (topic) => {
    const mirrored = tree.stateTopic(topic);
    if (mirrored !== undefined) assert.deepEqual(tree.meaning(mirrored), { kind: "state", topic });
  }));
});
