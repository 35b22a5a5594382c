import assert from "node:assert/strict";
import { test } from "node:test";
import type { SendVerdict } from "../../drivers/driver.ts";
import type { MqttOutgoing } from "../../drivers/mqtt/message.ts";
import { MqttOutQueue, OUT_QUEUE_LIMITS } from "./mqttOutQueue.ts";

function rig() {
  const sent: number[] = [];
  const state = { room: 0, verdict: "queued" as SendVerdict };
  const queue = new MqttOutQueue((outgoing) => {
    if (state.room === 0) return "queueFull";
    state.room -= 1;
    if (state.verdict === "queued") sent.push(Number(outgoing.topic));
    return state.verdict;
  });
  const message = (index: number, bytes = 10): MqttOutgoing => ({ topic: String(index), payload: new Uint8Array(bytes), deadlineUs: Infinity });
  return { queue, sent, state, message };
}

test("order is kept over any pattern of room, nothing is lost below the limits", () => {
  const { queue, sent, state, message } = rig();
  let nowUs = 0;
  for (let index = 0; index < 1_000; index++) {
    state.room = index % 7 === 0 ? 3 : 0;
    queue.push(message(index), nowUs);
    if (index % 5 === 0) queue.poll((nowUs += 2_000));
  }
  state.room = Infinity;
  queue.poll(nowUs + 2_000);
  assert.deepEqual(sent, Array.from({ length: 1_000 }, (_, index) => index));
  assert.equal(queue.nextDeadlineUs(), undefined);
});

test("full: the oldest goes, counted; by number and by bytes", () => {
  const { queue, sent, state, message } = rig();
  for (let index = 0; index < OUT_QUEUE_LIMITS.messages + 5; index++) queue.push(message(index), 0);
  assert.equal(queue.counters.dropped, 5);
  state.room = 1;
  queue.poll(1e6);
  assert.deepEqual(sent, [5]);
  queue.push(message(99_999, OUT_QUEUE_LIMITS.bytes), 1e6);
  assert.equal(queue.length, 1);
});

test("what the driver refuses for good is counted and does not block the rest", () => {
  const { queue, state, message } = rig();
  queue.push(message(1), 0);
  queue.push(message(2), 0);
  Object.assign(state, { room: Infinity, verdict: "expired" });
  queue.poll(1e6);
  assert.deepEqual([queue.length, queue.counters.refused], [0, 2]);
});
