import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { PassThrough } from "node:stream";
import { test } from "node:test";
import { StopSignals } from "./stopSignals.ts";

function bench(starter?: PassThrough) {
  const signals = new EventEmitter();
  const clock = { nowMs: 0 };
  const stop = new StopSignals({ signals, starter, nowMs: () => clock.nowMs });
  const again: string[] = [];
  stop.onAgain((why) => again.push(why));
  return { stop, again, signal: (name: string, atMs: number) => ((clock.nowMs = atMs), signals.emit(name)) };
}

test("the first signal is the reason, each further one is told", async () => {
  const { stop, again, signal } = bench();
  signal("SIGINT", 0);
  signal("SIGINT", 900);
  signal("SIGTERM", 901);
  assert.deepEqual(await stop.asked, { why: "interrupted (Ctrl-C)", byManager: false, starterGone: false });
  assert.deepEqual(again, ["interrupted (Ctrl-C)", "stopped (SIGTERM)"]);
});

test("one Ctrl-C that arrives twice is one", () => {
  const { again, signal } = bench();
  signal("SIGINT", 0);
  signal("SIGINT", 3);
  assert.deepEqual(again, []);
});

test("a service manager's word is known as one, and so is the end of the starter", async () => {
  const managed = bench();
  managed.signal("SIGTERM", 0);
  assert.equal((await managed.stop.asked).byManager, true);
  const starter = new PassThrough();
  const child = bench(starter);
  starter.end();
  assert.equal((await child.stop.asked).starterGone, true);
});
