import assert from "node:assert/strict";
import { test } from "node:test";
import { DuplicateWatch } from "./duplicate.ts";
import { NodeMonitor } from "./monitor.ts";

const OPERATIONAL = 5;
const PRE_OPERATIONAL = 127;
const PERIOD_US = 100_000;

test("an honest life is never suspected: boot, restart, jitter of a third of the period, a lost beat", () => {
  const watch = new DuplicateWatch();
  let timeUs = 0;
  const beat = (state: number): boolean => watch.seen(state, timeUs);
  for (const state of [0, PRE_OPERATIONAL]) assert.equal(beat(state), false);
  for (let i = 0; i < 200; i++) {
    timeUs += PERIOD_US + (i % 2 === 0 ? 1 : -1) * (PERIOD_US / 3) + (i === 90 ? PERIOD_US : 0);
    assert.equal(beat(OPERATIONAL), false, `beat ${i}`);
    if (i === 100) for (const state of [0, PRE_OPERATIONAL]) assert.equal(beat(state), false, "restart");
  }
});

test("a second node that joins is told by the heartbeats between", () => {
  const watch = new DuplicateWatch();
  let suspectedAtUs: number | undefined;
  for (let timeUs = 0; timeUs < 8_000_000; timeUs += PERIOD_US) {
    watch.seen(OPERATIONAL, timeUs);
    if (timeUs >= 5_000_000 && watch.seen(OPERATIONAL, timeUs + 30_000)) suspectedAtUs ??= timeUs;
  }
  assert.ok(suspectedAtUs !== undefined && suspectedAtUs <= 5_600_000, String(suspectedAtUs));
});

test("a node that stands still now and then while its period is learned is not taken for two when it no longer does; a second one is told all the same", () => {
  const watch = new DuplicateWatch();
  let timeUs = 0;
  // No window of eight without a standstill.
  for (let i = 0; i < 60; i++) assert.equal(watch.seen(OPERATIONAL, (timeUs += i % 6 === 0 ? 15 * PERIOD_US : PERIOD_US)), false);
  for (let i = 0; i < 60; i++) assert.equal(watch.seen(OPERATIONAL, (timeUs += PERIOD_US)), false, `beat ${i}`);
  let suspected = false;
  for (let i = 0; i < 16; i++) suspected ||= watch.seen(OPERATIONAL, (timeUs += PERIOD_US / 2));
  assert.ok(suspected);
});

test("two nodes in different states are told by the state that goes back and forth, and the suspicion ends five seconds after the last sign", () => {
  const watch = new DuplicateWatch();
  let timeUs = 0;
  let suspected = false;
  for (let i = 0; i < 8; i++) suspected = watch.seen(i % 2 === 0 ? OPERATIONAL : PRE_OPERATIONAL, (timeUs += PERIOD_US / 2));
  assert.ok(suspected);
  const lastSignUs = timeUs;
  for (let i = 0; i < 80; i++) watch.seen(OPERATIONAL, (timeUs += PERIOD_US));
  assert.ok(timeUs > lastSignUs + 6_000_000);
  assert.equal(watch.suspected(timeUs), false);
});

test("the monitor tells it once, and refuses arming meanwhile, also for a node that is not required", () => {
  const monitor = new NodeMonitor([{ name: "elbow", link: "arm", timeoutMs: 1_000, required: false }]);
  const events: string[] = [];
  for (let i = 0; i < 12; i++) {
    const event = monitor.seenCanopen(0, i % 2 === 0 ? OPERATIONAL : PRE_OPERATIONAL, i * 50_000);
    if (event?.type === "duplicate") events.push(event.type);
  }
  assert.deepEqual(events, ["duplicate"]);
  assert.deepEqual(monitor.missing(), ["two nodes on arm seem to have the number of elbow"]);
});
