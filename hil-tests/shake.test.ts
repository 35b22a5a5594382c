/** `npm run shake` tells a test that fails now and then from one that never does, ends one that hangs, and leaves nothing behind. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { projectRoot } from "../schemas/testData.ts";
import { testFolder } from "./daemon.ts";
import { eventually, isAlive } from "./waiting.ts";

/** Runs it on a test file of this source. */
async function shake(t: TestContext, source: string, words: readonly string[]): Promise<{ code: number | null; text: string; folder: string }> {
  const folder = testFolder();
  t.after(() => folder.remove());
  const file = join(folder.path, `shaken${process.pid}.test.mjs`);
  writeFileSync(file, `import { test } from "node:test";\nimport { existsSync, readFileSync, writeFileSync } from "node:fs";\nimport { spawn } from "node:child_process";\nconst at = (name) => ${JSON.stringify(`${folder.path}/`)} + name;\n${source}`);
  const child = spawn(process.execPath, [join(projectRoot(), "scripts/shake.mjs"), file, "--burners", "1", ...words], { stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (more: string) => (text += more));
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  return { code, text, folder: folder.path };
}

test("one that fails the second time is bad, and its output is kept; one that passes is ok", async (t) => {
  const source = `test("now and then", () => { const runs = existsSync(at("runs")) ? Number(readFileSync(at("runs"), "utf8")) + 1 : 1; writeFileSync(at("runs"), String(runs)); if (runs === 2) throw new Error("by chance"); });`;
  const { code, text, folder } = await shake(t, source, ["--times", "3", "--freeze-ms", "0"]);
  assert.equal(code, 1, text);
  assert.match(text, /^BAD shaken\d+: 2 of 3 runs passed/m);
  const log = /run 2: ended with 1; now and then\n +(\S+)/.exec(text)?.[1];
  assert.ok(log, text);
  assert.match(readFileSync(log, "utf8"), /by chance/);
  assert.equal(readFileSync(join(folder, "runs"), "utf8"), "3");
  const calm = await shake(t, `test("always", () => {});`, ["--times", "2", "--freeze-ms", "0"]);
  assert.deepEqual([calm.code, /^ok {2}shaken\d+: 2 of 2 runs passed/m.test(calm.text)], [0, true], calm.text);
});

test("it stands still, and goes on", async (t) => {
  // Over when it has seen its own clock jump.
  const source = `test("jumps", () => new Promise((resolve) => { let lastMs = performance.now(); const timer = setInterval(() => { const nowMs = performance.now(); if (nowMs - lastMs > 900) { clearInterval(timer); resolve(); } lastMs = nowMs; }, 20); }));`;
  const { code, text } = await shake(t, source, ["--times", "1", "--freeze-ms", "1000"]);
  assert.equal(code, 0, text);
});

test("one that hangs is ended, with what it has started", async (t) => {
  // Its child lives for longer than anybody waits; so does the test.
  const source = `test("hangs", async () => { const child = spawn("sleep", ["100000"], { stdio: "ignore" }); writeFileSync(at("pid"), String(child.pid)); await new Promise(() => setInterval(() => {}, 1000)); });`;
  const { code, text, folder } = await shake(t, source, ["--times", "1", "--freeze-ms", "0", "--limit-s", "5"]);
  assert.equal(code, 1, text);
  assert.match(text, /run 1: ended with SIGKILL/);
  // On a machine that took longer for the start it has none.
  const file = join(folder, "pid");
  if (existsSync(file)) await eventually("its child is gone", async () => !(await isAlive(Number(readFileSync(file, "utf8")))), { timeoutMs: 60_000 });
});
