import assert from "node:assert/strict";
import { test } from "node:test";
import { EVENTS_KEPT, EventLog, eventLine, type GatewayEvent } from "./events.ts";
import { Rejects, SAMPLES_MAX } from "./rejects.ts";

test("a flood of rejects costs counters, not memory, and keeps the newest samples", () => {
  const rejects = new Rejects();
  const counter = rejects.counter("arm", "crcMismatch");
  let named = 0;
  for (let i = 0; i < 100_000; i++) {
    counter.add(Uint8Array.of(i & 255), 0, 1, i * 100, () => {
      named += 1;
      return `frame ${i}`;
    });
  }
  assert.equal(counter.count, 100_000);
  assert.equal(counter.samples().length, SAMPLES_MAX);
  assert.equal(named, 100);
  const [report] = rejects.report(10_000_000);
  assert.equal(report?.count, 100_000);
  assert.equal(report?.lastSample?.source, "frame 99000");
});

test("the copy of a sample is the log's own", () => {
  const rejects = new Rejects();
  const bytes = Uint8Array.of(1, 2, 3);
  rejects.counter("arm", "outOfRange").add(bytes, 1, 2, 0, () => "x");
  bytes.fill(9);
  assert.equal(rejects.report(0)[0]?.lastSample?.hex, "0203");
});

test("the same warning is written every five seconds with the number of those left out; an error that says something new always", () => {
  const written: GatewayEvent[] = [];
  const log = new EventLog((event) => written.push(event));
  const warning = { severity: "warning", code: "queueFull", source: "arm", text: "full" } as const;
  for (let ms = 0; ms < 5_000; ms += 10) log.add(warning, ms * 1e3, 0n);
  assert.equal(written.length, 1);
  log.add(warning, 5_000_000, 0n);
  assert.equal(written[1]?.leftOut, 499);
  for (const text of ["dead", "dead", "alive", "dead"]) log.add({ ...warning, severity: "error", text }, 5_000_001, 0n);
  assert.deepEqual(written.slice(2).map(({ text, leftOut }) => [text, leftOut]), [["dead", undefined], ["alive", 1], ["dead", undefined]]);
});

test("memory is bounded", () => {
  const log = new EventLog(() => {});
  for (let i = 0; i < 5_000; i++) log.add({ severity: "info", code: `c${i}`, source: "s", text: "" }, i, 0n);
  assert.equal(log.recent().length, EVENTS_KEPT);
});

test("lines for the terminal, the journal and programs", () => {
  const event: GatewayEvent = { atUs: 1, wallTime: "2026-01-02T03:04:05.678Z", severity: "error", code: "busDead", source: "arm", text: "nobody acknowledges" };
  assert.equal(eventLine(event, { json: false, journal: false }), "03:04:05.678 error   arm: nobody acknowledges [busDead]\n");
  assert.equal(eventLine(event, { json: false, journal: true }), "<3>arm: nobody acknowledges [busDead]\n");
  assert.deepEqual(JSON.parse(eventLine(event, { json: true, journal: false })), event);
});
