import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "../../schemas/clock.ts";
import { MemoryOutput } from "./memoryOutput.ts";
import { runLiveView } from "./liveView.ts";

const enter = "\u001b[?1049h\u001b[?25l";
const leave = "\u001b[?25h\u001b[?1049l";

function start(stdout: MemoryOutput, draw: () => string[], once = false): { clock: ManualClock; controller: AbortController; ended: Promise<void> } {
  const clock = new ManualClock();
  const controller = new AbortController();
  const ended = runLiveView({ stdout, clock, signal: controller.signal, color: false, draw, summary: () => draw()[0]!, intervalMs: 100, once });
  return { clock, controller, ended };
}

test("in a terminal: the alternate screen, only changed lines rewritten, everything restored", async () => {
  const stdout = new MemoryOutput({ columns: 20, rows: 5 });
  let frame = 0;
  const { clock, controller, ended } = start(stdout, () => ["fixed", `frame ${frame++}`]);
  assert.ok(stdout.text.startsWith(enter));
  assert.match(stdout.text, /fixed/);
  stdout.text = "";
  clock.advanceMs(100);
  assert.ok(stdout.text.includes("\u001b[2;1H\u001b[Kframe 1"));
  assert.doesNotMatch(stdout.text, /fixed/);
  controller.abort("SIGINT");
  await ended;
  assert.ok(stdout.text.endsWith(leave));
  stdout.text = "";
  clock.advanceMs(1000);
  assert.equal(stdout.text, "");
});

test("a resized terminal is drawn anew, for its new size", async () => {
  const stdout = new MemoryOutput({ columns: 20, rows: 5 });
  const { controller, ended } = start(stdout, () => Array.from({ length: 9 }, (_, row) => `row ${row}`));
  assert.doesNotMatch(stdout.text, /row 5/);
  stdout.text = "";
  stdout.rows = 8;
  stdout.emit("resize");
  assert.match(stdout.text, /\[2J/);
  assert.match(stdout.text, /row 0.*row 7/s);
  controller.abort();
  await ended;
});

test("an exception while drawing restores the terminal and comes out", async () => {
  const stdout = new MemoryOutput({ columns: 20, rows: 5 });
  let frame = 0;
  const { clock, ended } = start(stdout, () => {
    if (frame++ > 0) throw new Error("broken");
    return ["fine"];
  });
  clock.advanceMs(100);
  await assert.rejects(ended, /broken/);
  assert.ok(stdout.text.endsWith(leave));
});

test("without a terminal: one line a second and no escape sequence", async () => {
  const stdout = new MemoryOutput();
  const { clock, controller, ended } = start(stdout, () => ["line"]);
  clock.advanceMs(2500);
  controller.abort();
  await ended;
  assert.equal(stdout.text, "line\nline\nline\n");
});

test("once: one whole picture", async () => {
  const stdout = new MemoryOutput({ columns: 20, rows: 2 });
  await start(stdout, () => ["a", "b", "c"], true).ended;
  assert.equal(stdout.text, "a\nb\nc\n");
});
