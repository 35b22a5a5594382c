import assert from "node:assert/strict";
import { test } from "node:test";
import type { Report } from "../../failsafe/reflex/client/records.ts";
import type { Order } from "../../failsafe/reflex/client/packets.ts";
import { compileTable } from "../../failsafe/reflex/table/compile.ts";
import { stopPlan, stopStep, testInput } from "../../failsafe/reflex/table/testInput.ts";
import type { CompiledCall } from "../../failsafe/shutdown/compiled.ts";
import { ManualClock } from "../../schemas/clock.ts";
import { CommandPath } from "../commands/commandPath.ts";
import { TopicTable } from "../topics/table.ts";
import { BrainCalls } from "./brainCalls.ts";

const lift: CompiledCall = {
  sends: [{ serial: "hand", message: "Haptic", values: { strength: 0 } }, { mqtt: "broker", topic: "lift/stop", values: { level: 1 } }],
  until: [{ label: "lift v", topic: "mqtt/broker/lift", signal: "v", minimum: -1, maximum: 1, holdMs: 20, ageMsMax: 500 }],
  service: { name: "lift/park", arguments: { slowly: 1 } },
};

function rig(call: CompiledCall = lift) {
  const compiled = compileTable({ ...testInput, plans: { ...testInput.plans, plans: [{ ...stopPlan, steps: [{ ...stopStep, call }] }] } });
  assert.ok(compiled.ok);
  const clock = new ManualClock();
  const topics = new TopicTable();
  const topic = topics.declare({ name: "mqtt/broker/lift", encoding: "json" });
  const log: string[] = [];
  const orders: Order[] = [];
  let report: (told: { end: never; report: Report }) => void = () => {};
  let answer: (ok: boolean) => void = () => {};
  const path = new CommandPath({ budget: undefined, gate: () => false, messages: [{
    name: "Haptic", ttlMsMax: 100, rateHzMax: 100, bits: 0, confirms: false, poseOnly: false, encode: () => ({ ok: true, data: Uint8Array.of(0) }), transmit: () => (log.push("serial"), "queued"),
  }] });
  const calls = new BrainCalls({
    client: { owner: undefined, table: compiled, text: () => "stop", onReport: (listener) => ((report = listener as typeof report), () => {}), order: (order) => (orders.push(order), Promise.resolve({ code: "done", count: 0, lacks: [], text: "" })) },
    clock, topics, paths: new Map([["hand", path]]), publishMqtt: ({ topic: to }) => log.push(to) > 0, trouble: (text) => log.push(text),
    callService: (name) => new Promise((resolve) => (log.push(name), (answer = resolve))),
  });
  assert.ok(calls);
  const publish = (v: number): void => {
    const bytes = Buffer.from(JSON.stringify({ v }));
    topics.publish(topic, bytes, 0, bytes.length, clock.nowUs(), 0, "test", 0);
  };
  const settle = async (): Promise<void> => {
    for (let i = 0; i < 10; i++) await Promise.resolve();
  };
  return { clock, log, orders, publish, settle, answer: (ok: boolean) => answer(ok), ask: (runId = 7n) => report({ end: undefined as never, report: { kind: "call", timeUs: 0, runId, step: 0, call: 0 } }) };
}

test("all of it is done, and then answered once: messages, the service, and what only the brain can measure", async () => {
  const { clock, log, orders, publish, settle, answer, ask } = rig();
  ask();
  ask();
  assert.deepEqual(log, ["lift/park", "serial", "lift/stop"], "asked twice, done once");
  publish(5);
  clock.advanceMs(30);
  assert.ok(log.filter((line) => line === "serial").length > 1, "sent again while the step waits");
  publish(0.5);
  clock.advanceMs(60);
  await settle();
  assert.deepEqual(orders, [], "the service has not answered");
  answer(true);
  await settle();
  assert.deepEqual(orders, [{ order: "callDone", a: 0, b: 1, c: 7n }]);
  ask(8n);
  assert.ok(log.filter((line) => line === "lift/park").length === 2, "another run is another call");
});

test("not measured by the step's deadline, or refused by the service: the answer is no", async () => {
  for (const ok of [true, false]) {
    const { clock, orders, publish, settle, answer, ask } = rig();
    ask();
    publish(ok ? 5 : 0);
    clock.advanceMs(600);
    answer(ok);
    await settle();
    assert.deepEqual(orders.map(({ b }) => b), [0]);
  }
});
