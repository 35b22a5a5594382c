import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { stepsOf } from "./tap.ts";

test("the real reporter's output is read: passed, failed with its reason, skipped with its reason", () => {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-tap-"));
  try {
    const file = join(folder, "some.mjs");
    writeFileSync(file, 'import { test } from "node:test"; test("is #1, fine", () => undefined); test("is not", () => { throw new Error("the reason"); }); test("is not tried", { skip: "no hands" }, () => undefined);\n');
    // This process may itself run below a test runner, which would change what the child writes.
    const { NODE_TEST_CONTEXT: _, ...environment } = process.env;
    for (const words of [["--test-reporter=tap", file], ["--test-reporter=tap", "--test", file]]) {
      const { stdout } = spawnSync(process.execPath, words, { encoding: "utf8", env: environment });
      const steps = stepsOf(stdout);
      assert.deepEqual(steps.map(({ name, verdict }) => [name, verdict]), [["is #1, fine", "passed"], ["is not", "failed"], ["is not tried", "skipped"]], stdout);
      assert.match(steps[1]!.text, /the reason/);
      assert.equal(steps[2]!.text, "no hands");
    }
  } finally {
    rmSync(folder, { recursive: true });
  }
});
