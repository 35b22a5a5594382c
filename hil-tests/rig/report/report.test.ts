import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { junit } from "./junit.ts";
import { page, ticksOf, timelineOf } from "./page.ts";
import type { Report, Result } from "./result.ts";

const HOSTILE = `</pre><script>alert("x")</script> & 'y' \u0000\u001b \ud800`;
const result = (extra: Partial<Result>): Result => ({
  file: "aFile", name: "a sentence", machine: "plain", verdict: "passed", why: "", atMs: 0, ms: 1_500, bench: "by hand", steps: [], figures: [], entries: [], frames: { total: 0, shown: 0 }, log: "", ...extra,
});
const report = (results: Result[]): Report => ({ startedAt: new Date(Date.UTC(2024, 0, 2, 3, 4, 5)), where: "QEMU, Linux 6.1", boots: [{ machine: "plain", hostS: 6.25, uptimeS: 4 }], ms: 12_345, results });
const hostile = report([
  result({ verdict: "failed", name: HOSTILE, why: `first line\n${HOSTILE}`, log: HOSTILE, steps: [{ name: HOSTILE, verdict: "failed", text: HOSTILE }, { name: "fine", verdict: "passed", text: "" }, { name: "no hands", verdict: "skipped", text: HOSTILE }], figures: [[HOSTILE, HOSTILE]],
    entries: [{ atMs: 5, lane: HOSTILE, text: HOSTILE, tone: "bad" }] }),
  result({ verdict: "skipped", why: HOSTILE }),
  result({}),
]);

test("JUnit counts behaviours and their steps, and is XML whatever the texts are", (context) => {
  const text = junit(hostile);
  assert.match(text, /<testsuites name="ipcnet hil" tests="6" failures="2" errors="0" skipped="2" time="12.345">/);
  assert.match(text, /timestamp="2024-01-02T03:04:05"/);
  assert.match(text, /<failure message="first line">/);
  const python = spawnSync("python3", ["-c", "import sys, xml.etree.ElementTree as t; r = t.fromstring(sys.stdin.buffer.read()); print(len(r.findall('.//testcase')), len(r.findall('.//failure')), len(r.findall('.//skipped')))"], { input: text, encoding: "utf8" });
  if (python.error) context.skip("there is no python3");
  else assert.equal(python.stdout.trim(), "6 2 2", python.stderr);
});

test("the page shows each behaviour, opens what failed, and runs nothing of what the texts hold", () => {
  const text = page(hostile);
  assert.ok(!text.includes("<script"));
  assert.equal(text.match(/<details/g)?.length, 3);
  assert.equal(text.match(/<details open>/g)?.length, 1);
  assert.ok(!/(src|href)=/.test(text), "nothing is fetched");
  assert.match(text, /1 passed, 1 failed, 1 skipped/);
});

test("a timeline has a row a lane and merges marks that would lie on each other", () => {
  const frames = Array.from({ length: 1_000 }, (_, index) => ({ atMs: 100 + index / 100, lane: "can0", text: `001#${index}`, tone: "frame" as const }));
  const text = timelineOf([...frames, { atMs: 900, lane: "rig", text: "done", tone: "good" }], 1_000);
  assert.equal(text.match(/<rect/g)?.length, 2);
  assert.match(text, /1000 from 0\.100 s/);
  assert.ok(text.indexOf(">rig<") < text.indexOf(">can0<"));
  assert.equal(timelineOf([], 1_000), "");
});

test("times on the axis are round and few", () => {
  for (const spanMs of [1, 7, 80, 999, 1_000, 12_345, 600_000]) {
    const ticks = ticksOf(spanMs);
    assert.ok(ticks.length >= 4 && ticks.length <= 14, `${spanMs}: ${ticks.join(" ")}`);
    assert.ok(ticks.at(-1)! <= spanMs);
  }
});
