/** The C implementation against the TypeScript one. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { projectRoot } from "../../testData.ts";
import { mutatedRows } from "../mutations.ts";
import { mediaVectors, mediaVectorsPath } from "./vectors.ts";

const root = projectRoot();

test("the rows for the C test are up to date", () => {
  assert.equal(readFileSync(join(root, mediaVectorsPath), "utf8"), mediaVectors(), "write them again: node dist/ts/schemas/media/c/vectors.js --write");
});

test("C and TypeScript agree on thousands of mutated payloads, value or fault", () => {
  // Does nothing when it is built already, as it is after the C tests.
  const build = spawnSync(process.execPath, [join(root, "scripts/native.mjs"), "--test", "ipcnet_media"], { cwd: root, encoding: "utf8" });
  assert.equal(build.status, 0, build.stdout + build.stderr);
  const seed = 20261123;
  const rows = mutatedRows(seed, 4000);
  assert.ok(new Set(rows.map((row) => row.split(" ")[2])).size > 20, "both values and faults of all kinds");
  const run = spawnSync(join(root, "dist/native/test/ipcnet_media.asan"), ["-"], { input: `${rows.join("\n")}\n`, encoding: "utf8", maxBuffer: 1 << 26 });
  assert.equal(run.status, 0, `seed ${seed}: ${run.stderr}`);
  assert.match(run.stdout, /^4000 rows passed/);
});

test("the header compiles freestanding in C99 and as C++, without a warning", (t) => {
  const strict = ["-Wall", "-Wextra", "-Wshadow", "-Wconversion", "-Werror", "-fsyntax-only", "-pedantic"];
  const compile = (language: string, standard: string) => spawnSync(process.env.CC ?? "cc", [...strict, standard, "-x", language, join(root, "schemas/media/c/ipcnet_media.h")], { encoding: "utf8" });
  const c = compile("c-header", "-std=c99");
  assert.equal(c.status, 0, c.stderr);
  const cpp = compile("c++-header", "-std=c++11");
  if (/cc1plus|installation problem|not installed/.test(cpp.stderr)) t.diagnostic("no C++ compiler: only C was tried");
  else assert.equal(cpp.status, 0, cpp.stderr);
});
