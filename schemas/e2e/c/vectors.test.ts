/** The C implementation against the TypeScript one. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { projectRoot } from "../../testData.ts";
import { nativeVectors, nativeVectorsPath, randomRows } from "./vectors.ts";

const root = projectRoot();

test("the rows for the C test are up to date", () => {
  assert.equal(readFileSync(join(root, nativeVectorsPath), "utf8"), nativeVectors(), "write them again: node dist/ts/schemas/e2e/c/vectors.js --write");
});

test("C and TypeScript agree on ten thousand random frames, corruptions, sequences and channels", () => {
  // Does nothing when it is built already, as it is after the C tests.
  const build = spawnSync(process.execPath, [join(root, "scripts/native.mjs"), "--test", "ipcnet_e2e"], { cwd: root, encoding: "utf8" });
  assert.equal(build.status, 0, build.stdout + build.stderr);
  const seed = 20260807;
  const rows = randomRows({ seed, count: 4000 });
  assert.ok(rows.length >= 10_000);
  const run = spawnSync(join(root, "dist/native/test/ipcnet_e2e.asan"), ["-"], { input: `${rows.join("\n")}\n`, encoding: "utf8", maxBuffer: 1 << 26 });
  assert.equal(run.status, 0, `seed ${seed}: ${run.stderr}`);
  assert.match(run.stdout, new RegExp(`^${rows.length} rows passed`));
});

test("every profile compiles alone, freestanding, in C99, without a warning", () => {
  const compiler = process.env.CC ?? "cc";
  const flags = ["-std=c99", "-pedantic", "-ffreestanding", "-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Wno-sign-conversion", "-Werror", "-fsyntax-only", "-Ischemas/crc/c", "-Ischemas/e2e/c"];
  for (const profile of ["P01", "P02", "P04", "P05", "P06", "P07", "P08"]) {
    const run = spawnSync(compiler, [...flags, "-DIPCNET_E2E_ONLY", `-DIPCNET_E2E_${profile}`, "schemas/crc/c/ipcnet_crc.c", "schemas/e2e/c/ipcnet_e2e.c"], { cwd: root, encoding: "utf8" });
    assert.equal(run.status, 0, `${profile}: ${run.stderr}`);
  }
});
