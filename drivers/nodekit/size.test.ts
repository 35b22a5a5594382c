/** The table of sizes in the README is what the compiler says, where that compiler is; and the whole CAN part keeps within its 8 KiB. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { projectRoot } from "../../schemas/testData.ts";

const BYTES_MAX = 8_192;

test("the sizes in the README are those of this source", (t) => {
  const run = spawnSync(process.execPath, [join(projectRoot(), "scripts/nodekitSize.mjs"), "--check"], { encoding: "utf8" });
  assert.equal(run.status, 0, run.stdout + run.stderr);
  if (run.stdout !== "") t.diagnostic(run.stdout.trim());
});

test("the whole CAN part keeps within 8 KiB", () => {
  const sums = [...readFileSync(join(projectRoot(), "drivers/nodekit/README.md"), "utf8").matchAll(/^\| .* \| [\d,]+ \| ([\d,]+) \|$/gm)].map(([, sum]) => Number(sum!.replaceAll(",", "")));
  assert.ok(sums.length >= 6);
  assert.ok(sums.at(-1)! <= BYTES_MAX, `${sums.at(-1)} bytes`);
});
