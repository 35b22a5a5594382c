import assert from "node:assert/strict";
import { test } from "node:test";
import * as fc from "fast-check";
import { renderView, type WatchedValue } from "./renderView.ts";
import { sampleReport, sampleValues, troubledReport } from "./sampleReport.ts";
import { findings } from "./states.ts";
import { statusText } from "./statusText.ts";
import { displayWidth } from "./text.ts";
import type { GatewayState } from "../../schemas/messages/statusReport.ts";

const standard = { columns: 80, rows: 24, color: false };
// oxlint-disable-next-line no-control-regex
const escapes = /\u001b\[[0-9;]*m/g;

test("a healthy robot on 80×24", () => {
  assert.equal(renderView(sampleReport(), sampleValues(), standard).join("\n"), `\
 IPCNet demo-arm                              a · 0.1.0 · pid 4711 · up 0:12:34
 ▶▶▶ ARMED  commands move the robot (armed by pid 4800, uid 1000)
 ● all links and nodes are well
── links ───────────────────────────────────────────────────────────────────────
 ● arm       can    up        in  1.2k/s out   600/s  load █████░░░░░░░  43 %
 ● hand      serial up        in    50/s out    10/s
 ● broker    mqtt   up        in   100/s out   240/s
── nodes 8 of 8 operational ────────────────────────────────────────────────────
 ● base        operational       100 Hz  ● wrist_roll  operational       100 Hz
 ● shoulder    operational       100 Hz  ● gripper     operational       100 Hz
 ● elbow       operational       100 Hz  ● hand (opt)  operational        50 Hz
 ● wrist_pitch operational       100 Hz  ● imu (opt)   operational       100 Hz
── values ──────────────────────────────────────────────────────────────────────
 base angle       19.97 deg ▲ ▁▂▃▅▆▇███  wrist_pitch an… -22.56 deg ▼ █▇▆▅▃▂▂▁▁
 shoulder angle   12.28 deg ▼ ▅▇███▇▆▃▁  wrist_roll ang… -16.64 deg ▲ █▅▃▁▁▁▃▅█
 elbow angle      -8.06 deg ▼ ██▇▆▅▄▃▂▁  gripper angle     5.79 deg ▲ ▁▁▂▂▃▅▆▇█
── commands 12,345 sent, 3 refused ─────────────────────────────────────────────
 refused: notArmed 2 · expired 1
── rejected 15 frames and messages ─────────────────────────────────────────────
         12 unknownId           arm        800 ms ago 7DF 02010c0000000000
          3 crcMismatch         hand       65 s ago   Joystick 0a1b2c3d4e5f
── clients 2 ───────────────────────────────────────────────────────────────────
 planner   pid 4800    75k sent          ipcnet    pid 4950    1.2k sent
 42 topics · cpu 7 % · 71 MB · loop p99 1.3 ms · Ctrl-C ends`);
});

test("trouble comes first, in words, and every link keeps its line", () => {
  const lines = renderView(troubledReport(), sampleValues(), standard);
  assert.equal(lines.length, 24);
  assert.match(lines[1]!, /✖✖✖ FAULT/);
  const text = lines.join("\n");
  for (const expected of ["✖ can arm is dead: no transmit echo for 25 ms", "✖ arm ", "✖ hand ", "● broker", "✖ elbow", "3.4 s ago"]) assert.ok(text.includes(expected), `${expected} is missing in\n${text}`);
});

test("what keeps it from being armed is on the screen", () => {
  const report = sampleReport({ state: "disarmed", missingForArming: ["required node elbow has not been seen", "bus arm is not up"] });
  assert.ok(renderView(report, [], standard).includes(" to arm: required node elbow has not been seen; bus arm is not up"));
});

test("more room shows more: everything on a large screen, nothing left out", () => {
  const report = sampleReport({ nodes: Array.from({ length: 60 }, (_, i) => ({ name: `node${i}`, link: "arm", state: "operational" as const, required: true, lastSeenMsAgo: 1, rateHz: 10 })) });
  const small = renderView(report, sampleValues(), standard).join("\n");
  const large = renderView(report, sampleValues(), { columns: 160, rows: 60, color: false }).join("\n");
  assert.match(small, /… \d+ more lines/);
  assert.doesNotMatch(large, /more lines/);
  for (let i = 0; i < 60; i++) assert.match(large, new RegExp(`node${i}\\b`));
});

test("each gateway state has its own shape and word, with and without colours", () => {
  const states: GatewayState[] = ["starting", "disarmed", "armed", "safePose", "posed", "fault"];
  const banners = states.map((state) => renderView(sampleReport({ state }), [], standard)[1]!);
  assert.equal(new Set(banners.map((banner) => banner.trim()[0])).size, states.length);
  const colored = renderView(sampleReport(), [], { ...standard, color: true });
  assert.notEqual(colored[1]!.replace(escapes, ""), colored[1]);
  assert.deepEqual(colored.map((line) => line.replace(escapes, "").trimEnd()), renderView(sampleReport(), [], standard));
});

test("ASCII terminals get ASCII of the same width", () => {
  const plain = renderView(troubledReport(), sampleValues(), standard);
  const ascii = renderView(troubledReport(), sampleValues(), { ...standard, ascii: true });
  assert.match(ascii.join(""), /^[\x20-\x7e]*$/);
  assert.deepEqual(ascii.map((line) => line.length), plain.map((line) => displayWidth(line)));
});

test("names cannot write elsewhere on the screen", () => {
  const report = sampleReport({ robot: "arm\u001b[2J\u009b31m\n" });
  const [first, ...rest] = renderView(report, [{ label: "a\rb", value: "x\u0007", quality: "good" }], { columns: 120, rows: 24, color: false });
  // oxlint-disable-next-line no-control-regex
  assert.doesNotMatch([first, ...rest].join(""), /[\u0000-\u001f\u007f-\u009f]/);
});

test("never more rows or columns than the terminal has, whatever the report says", () => {
  const text = fc.string({ unit: "grapheme", maxLength: 40 });
  const count = fc.nat(2 ** 40);
  const number = fc.double({ noDefaultInfinity: true });
  const report = fc.record({
    robot: text, state: fc.constantFrom<GatewayState>("starting", "disarmed", "armed", "safePose", "posed", "fault"), missingForArming: fc.array(text, { maxLength: 4 }),
    links: fc.array(fc.record({ kind: fc.constantFrom("can" as const, "serial" as const, "mqtt" as const), name: text, driver: text, state: fc.constantFrom("up", "dead", "busOff", "newState"), reason: text, loadPercent: fc.option(fc.double({ min: 0, max: 100, noNaN: true }), { nil: undefined }), receivedRateHz: number, sentRateHz: number, counters: fc.constant({}) }), { maxLength: 8 }),
    nodes: fc.array(fc.record({ name: text, link: text, state: fc.constantFrom("operational" as const, "lost" as const, "bootUp" as const), required: fc.boolean(), lastSeenMsAgo: fc.option(count, { nil: undefined }), rateHz: number }), { maxLength: 40 }),
    rejects: fc.array(fc.record({ link: text, reason: text, count, lastSample: fc.option(fc.record({ atMsAgo: count, source: text, hex: fc.constant("00ff") }), { nil: undefined }) }), { maxLength: 30 }),
  });
  const values = fc.array(fc.record({ label: text, value: fc.oneof(number, text, fc.boolean(), fc.constant(undefined)), unit: text, quality: fc.constantFrom("good" as const, "stale" as const, "bad" as const), history: fc.array(number, { maxLength: 50 }) }), { maxLength: 30 });
  fc.assert(fc.property(report, values, fc.integer({ min: 1, max: 220 }), fc.integer({ min: 0, max: 70 }), fc.boolean(), (changes, watched, columns, rows, color) => {
    const lines = renderView(sampleReport(changes), watched as WatchedValue[], { columns, rows, color });
    assert.ok(lines.length <= rows);
    for (const line of lines) assert.ok(displayWidth(line.replace(escapes, "")) <= columns, line);
  }), { numRuns: 200 });
});

test("the status text answers in its first line", () => {
  assert.equal(statusText(sampleReport(), { columns: 80, color: false })[0], "▶ demo-arm is armed (armed by pid 4800, uid 1000), all well");
  assert.ok(statusText(sampleReport(), { columns: 80, color: false }).includes("supervision: ok"));
  assert.ok(!statusText(sampleReport({ supervision: undefined }), { columns: 80, color: false }).some((line) => line.includes("supervision")));
  const failed = sampleReport({ supervision: { state: "failed", faults: [{ entity: "crank", state: "failed", checkpoint: "end", why: "end came 0 times in a reference cycle, not 1 to 40000" }] } });
  const lines = statusText(failed, { columns: 120, color: false });
  assert.equal(lines[0], "▶ demo-arm is armed (armed by pid 4800, uid 1000), 1 problem");
  assert.equal(lines[1], "  ◐ supervision of crank failed at end: end came 0 times in a reference cycle, not 1 to 40000");
  assert.ok(lines.includes("supervision: failed (crank at end)"));
  const expired = sampleReport({ supervision: { state: "expired", faults: [{ entity: "turns", state: "expired", checkpoint: "written", why: "written did not come within 2000 ms of opened" }] } });
  assert.equal(findings(expired)[0]?.severity, "bad");
  assert.equal(statusText(troubledReport(), { columns: 80, color: false })[0], "✖ demo-arm is fault (armed by pid 4800, uid 1000), 6 problems");
});
