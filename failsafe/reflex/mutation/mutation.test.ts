/** A sample of `npm run mutate`: every run another place in the sequence of the seed is too much to ask of `npm test`; the same few faults each time keep the machinery honest. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../../../", import.meta.url));

test("a sample of the faults that can be put into the reflex's rules is noticed by its tests", () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, ["scripts/mutate.mjs", "--sample", "40", "--seed", "7"], { cwd: root, encoding: "utf8" });
  assert.equal(status, 0, stdout + stderr);
});
