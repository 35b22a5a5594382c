/** A short run of the fuzzer over every target, with a fixed seed; `npm run fuzz` is the long one. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";
import { projectRoot } from "../schemas/testData.ts";

test("a few hundred inputs each: no crash, no hang, no growth", async () => {
  const child = spawn(process.execPath, [join(projectRoot(), "scripts/fuzz.mjs"), "--inputs", "400", "--seed", "20261122"], { stdio: ["ignore", "pipe", "pipe"] });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text: string) => (output += text));
  const code = await new Promise<number | null>((resolve) => child.on("close", resolve));
  assert.equal(code, 0, output);
  const targets = output.match(/^ {2}ok /gm)?.length ?? 0;
  assert.ok(targets >= 30, `only ${targets} targets ran:\n${output}`);
});
