import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { LogWriter } from "./logWriter.ts";

test("into a file: lines arrive whole and in order", (t) => {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-log-"));
  t.after(() => rmSync(folder, { recursive: true }));
  const fd = openSync(join(folder, "log"), "w");
  t.after(() => closeSync(fd));
  const writer = new LogWriter(fd);
  const lines = Array.from({ length: 200 }, (_, index) => `line ${index}\n`);
  for (const line of lines) writer.line(line);
  assert.equal(readFileSync(join(folder, "log"), "utf8"), lines.join(""));
  assert.equal(writer.dropped, 0);
});

/** A process of its own that logs into a pipe `lines` lines of 1 KiB, reports on its standard output, and gives its reader so long to take them. */
const program = (lines: number, flushMs: number) => `
  import { LogWriter } from ${JSON.stringify(new URL("./logWriter.js", import.meta.url).href)};
  const writer = new LogWriter(2);
  for (let index = 0; index < ${lines}; index++) writer.line(String(index).padEnd(1023, ".") + "\\n");
  process.stdout.write(JSON.stringify({ dropped: writer.dropped }));
  await writer.flush(${flushMs});
  process.exit(7);
`;

test("into a pipe that is read: everything arrives before the end", async () => {
  const child = spawn(process.execPath, ["--input-type=module", "-e", program(100, 60_000)], { stdio: ["ignore", "pipe", "pipe"] });
  let log = "";
  let out = "";
  child.stderr.setEncoding("utf8").on("data", (text: string) => (log += text));
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  assert.equal(code, 7);
  assert.deepEqual(JSON.parse(out), { dropped: 0 });
  assert.equal(log.trimEnd().split("\n").length, 100);
});

test("into a pipe that nobody reads: lines are dropped, counted, and the process still ends", async () => {
  const child = spawn(process.execPath, ["--input-type=module", "-e", program(2_000, 200)], { stdio: ["ignore", "pipe", "pipe"] });
  let out = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => (out += text));
  const closed = once(child, "close");
  const code = await new Promise<number | null>((resolve) => child.on("exit", resolve));
  // It is gone; what it has reported may still be in the pipe.
  child.stderr.destroy();
  await closed;
  assert.equal(code, 7);
  assert.ok((JSON.parse(out) as { dropped: number }).dropped > 500, out);
});
