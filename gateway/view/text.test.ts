import assert from "node:assert/strict";
import { test } from "node:test";
import { ago, bar, columnsOf, displayWidth, duration, fit, grouped, printable, shortNumber, sparkline, toAscii, truncate } from "./text.ts";

test("wide characters take two columns, combining marks none", () => {
  assert.equal(displayWidth("arm"), 3);
  assert.equal(displayWidth("机械臂"), 6);
  assert.equal(displayWidth("e\u0301"), 1);
  assert.equal(displayWidth("●▶■✖░█…"), 7);
  assert.equal(displayWidth("🤖"), 2);
});

test("cutting never splits a wide character and always fits", () => {
  assert.equal(truncate("机械臂", 5), "机械…");
  assert.equal(truncate("机械臂", 4), "机…");
  assert.equal(truncate("shoulder", 8), "shoulder");
  assert.equal(truncate("shoulder", 4), "sho…");
  assert.equal(truncate("shoulder", 0), "");
  assert.equal(fit("机", 4), "机  ");
  assert.equal(fit("7", 3, "right"), "  7");
});

test("control characters, C1 and direction overrides are made visible", () => {
  assert.equal(printable("a\u001b[31mb\u009bc\u202ed\n"), "a\ufffd[31mb\ufffdc\ufffdd\ufffd");
});

test("numbers for people", () => {
  assert.deepEqual([0, 0.52, 12.3, 850, 999.6, 1234, 34_000, 999_900, 1_250_000, -1234, Number.NaN].map(shortNumber), ["0", "0.5", "12", "850", "1k", "1.2k", "34k", "1M", "1.3M", "-1.2k", "-"]);
  assert.equal(grouped(1_234_567), "1,234,567");
  assert.deepEqual([7_000, 11_045_000, 183_845_000].map(duration), ["0:00:07", "3:04:05", "2 d 03:04:05"]);
  assert.deepEqual([12, 3_400, 65_000, 300_000, 7_200_000].map(ago), ["12 ms", "3.4 s", "65 s", "5 min", "2 h"]);
});

test("sparklines and bars", () => {
  assert.equal(sparkline([0, 1, 2, 3, 4, 5, 6, 7], 8), "▁▂▃▄▅▆▇█");
  assert.equal(sparkline([5, 5, 5], 8), "▅▅▅");
  assert.equal(sparkline([0, Number.NaN, 1], 3, { minimum: 0, maximum: 2 }), "▁ ▅");
  assert.equal(sparkline([], 4), "");
  assert.equal(bar(0, 4), "░░░░");
  assert.equal(bar(0.001, 4), "█░░░");
  assert.equal(bar(1.5, 4), "████");
});

test("ASCII keeps the width", () => {
  assert.equal(toAscii("▶ ARMED · 机"), "> ARMED | ??");
});

test("a terminal that was told no size is taken as one of usual width", () => {
  assert.deepEqual([columnsOf({ columns: 60 }, 100), columnsOf({ columns: 0 }, 100), columnsOf({}, 100)], [60, 100, 100]);
});
