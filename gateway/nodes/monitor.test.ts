import assert from "node:assert/strict";
import { test } from "node:test";
import { NodeMonitor } from "./monitor.ts";

const nodes = [
  { name: "shoulder", link: "arm", timeoutMs: 300, required: true },
  { name: "imu", link: "broker", timeoutMs: 100, required: false },
];

test("a node that was never seen is missing, not lost", () => {
  const monitor = new NodeMonitor(nodes);
  assert.deepEqual(monitor.poll(10_000_000), []);
  assert.deepEqual(monitor.missing(), ["node shoulder on arm has not been seen"]);
});

test("silence makes it lost once, a sign of life brings it back", () => {
  const monitor = new NodeMonitor(nodes);
  assert.equal(monitor.seen(0, 1_000)?.type, "appeared");
  assert.equal(monitor.seen(0, 2_000), undefined);
  assert.deepEqual(monitor.poll(302_000), []);
  assert.equal(monitor.poll(302_001)[0]?.type, "lost");
  assert.deepEqual(monitor.poll(400_000), []);
  assert.deepEqual(monitor.missing(), ["node shoulder on arm is lost"]);
  assert.equal(monitor.seen(0, 500_000)?.type, "returned");
  assert.deepEqual(monitor.missing(), []);
});

test("CiA 301 states are told apart: pre-operational is present but not enough", () => {
  const monitor = new NodeMonitor(nodes);
  monitor.seenCanopen(0, 0, 1);
  assert.deepEqual(monitor.missing(), ["node shoulder on arm is bootUp"]);
  monitor.seenCanopen(0, 127, 2);
  assert.deepEqual(monitor.missing(), ["node shoulder on arm is preOperational"]);
  const event = monitor.seenCanopen(0, 0x85, 3);
  assert.equal(event?.type === "stateChanged" && event.state, "operational");
  assert.deepEqual(monitor.missing(), []);
  monitor.seenCanopen(0, 77, 4);
  assert.deepEqual(monitor.missing(), ["node shoulder on arm is preOperational"]);
});

test("rates are counted at the source", () => {
  const monitor = new NodeMonitor(nodes);
  for (let i = 0; i < 50; i++) monitor.seen(1, i * 10_000);
  monitor.closeRateInterval(0.5);
  assert.equal(monitor.report(500_000)[1]?.rateHz, 100);
});
