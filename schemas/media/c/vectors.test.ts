/** The C implementation against the TypeScript one. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import * as fc from "fast-check";
import { fromHex, projectRoot, toHex } from "../../e2e/testData.ts";
import { goodRows, spell } from "../testValues.ts";
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
  const edits = fc.array(fc.tuple(fc.nat(), fc.oneof(fc.nat(255), fc.constantFrom(0, 1, 2, 127, 128, 255))), { minLength: 1, maxLength: 3 });
  const rows = fc.sample(fc.tuple(fc.constantFrom(...goodRows), edits, fc.nat(19)), { seed, numRuns: 4000 }).map(([{ encoding, payload }, changes, cut]) => {
    const bytes = fromHex(payload);
    for (const [at, value] of changes) bytes[at % Math.min(bytes.length, at % 2 === 0 ? 64 : 700)] = value;
    const kept = cut === 0 ? bytes.subarray(0, bytes.length - 1) : bytes;
    return `${encoding} ${toHex(kept)} ${spell(encoding, kept)}`;
  });
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
