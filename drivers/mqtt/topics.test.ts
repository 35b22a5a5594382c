import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { mqttFilterFault, mqttTopicFault, topicTree } from "./topics.ts";

const level = fc.constantFrom("a", "b", "", "$x");
const topics = fc.array(level, { minLength: 1, maxLength: 4 }).map((levels) => levels.join("/")).filter((topic) => mqttTopicFault(topic) === undefined);

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
