import assert from "node:assert/strict";
import { test } from "node:test";
import { FreshnessMonitor } from "../pipeline/freshness.ts";
import { TopicDeclarationError, TopicTable } from "./table.ts";

const bytes = Uint8Array.of(1, 2, 3, 4);

test("sinks see every sample of the topics under their pattern, also of later ones, until they leave", () => {
  const table = new TopicTable();
  const early = table.declare({ name: "can/arm/A", encoding: "bytes" });
  const seen: string[] = [];
  const leave = table.watch("can/+/#", { sample: (topic, from, at, length) => seen.push(`${topic.name} ${topic.sequence} ${from.subarray(at, at + length).join("")}`) });
  const late = table.declare({ name: "can/base/B", encoding: "bytes" });
  const other = table.declare({ name: "app/C", encoding: "bytes" });
  for (const topic of [early, late, other, early]) table.publish(topic, bytes, 1, 2, 10, 0, "test", 0);
  assert.deepEqual(seen, ["can/arm/A 1 23", "can/base/B 1 23", "can/arm/A 2 23"]);
  leave();
  leave();
  table.publish(early, bytes, 0, 4, 20, 0, "test", 0);
  assert.equal(seen.length, 3);
});

test("a sink that leaves while a sample is handed out disturbs no other", () => {
  const table = new TopicTable();
  const topic = table.declare({ name: "a", encoding: "bytes" });
  const seen: string[] = [];
  const leaveFirst = table.watch("a", { sample: () => { seen.push("first"); leaveFirst(); } });
  table.watch("a", { sample: () => seen.push("second") });
  table.publish(topic, bytes, 0, 4, 1, 0, "test", 0);
  table.publish(topic, bytes, 0, 4, 2, 0, "test", 0);
  assert.deepEqual(seen, ["first", "second", "second"]);
});

test("the last value is the table's own copy", () => {
  const table = new TopicTable();
  const topic = table.declare({ name: "a", encoding: "bytes" });
  const source = Uint8Array.from({ length: 300 }, (_, i) => i & 255);
  table.publish(topic, source, 10, 200, 1, 0, "test", 0);
  source.fill(0);
  assert.equal(topic.lastLength, 200);
  assert.equal(topic.lastBytes[0], 10);
  assert.equal(topic.lastBytes[199], 209);
});

test("names are checked, and declared once", () => {
  const table = new TopicTable();
  table.declare({ name: "a", encoding: "bytes" });
  for (const name of ["a", "", "a//b", "a/+"]) assert.throws(() => table.declare({ name, encoding: "bytes" }), TopicDeclarationError);
});

test("a value grows stale after three cycle times, once, and is good again with the next sample", () => {
  const table = new TopicTable();
  const topic = table.declare({ name: "a", encoding: "bytes", cycleTimeMs: 10 });
  table.declare({ name: "never", encoding: "bytes" });
  const monitor = new FreshnessMonitor(table);
  assert.deepEqual(monitor.poll(1e9), []);
  table.publish(topic, bytes, 0, 4, 1_000_000, 0, "test", 0);
  assert.deepEqual(monitor.poll(1_030_000), []);
  assert.deepEqual(monitor.poll(1_030_001), [topic]);
  assert.equal(topic.quality, 1);
  assert.deepEqual(monitor.poll(2_000_000), []);
  table.publish(topic, bytes, 0, 4, 2_000_000, 0, "test", 0);
  assert.equal(topic.quality, 0);
});

test("wall time follows the clock's offset", () => {
  const table = new TopicTable();
  const topic = table.declare({ name: "a", encoding: "bytes" });
  table.setWallOffset(1_700_000_000_000_000_000n, 5_000_000);
  table.publish(topic, bytes, 0, 4, 6_000_000, 0, "test", 0);
  assert.equal(topic.wallTimeNs, 1_700_000_001_000_000_000n);
});
