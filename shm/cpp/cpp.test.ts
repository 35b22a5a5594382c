/** The C and C++ interface: the C++ wrapper's own test, and that the library exports what its header says and nothing else. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";

const root = join(import.meta.dirname, "../../../..");
const native = join(root, "dist/native");
const lacks = (program: string): string | false => (spawnSync(program, ["--version"]).error === undefined ? false : `there is no ${program}`);

test("the C++ wrapper keeps its promises", { skip: lacks("g++") }, (t) => {
  const folder = mkdtempSync(join(tmpdir(), "ipcnet-cpp-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const program = join(folder, "ipcnet_test");
  const flags = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-Wshadow", "-Wconversion", "-pedantic", "-fsanitize=address,undefined"];
  const built = spawnSync("g++", [...flags, `-I${native}/include`, join(root, "shm/cpp/ipcnet_test.cpp"), join(native, "libipcnet.a"), "-o", program], { encoding: "utf8" });
  assert.equal(built.status, 0, built.stderr);
  const run = spawnSync(program, { encoding: "utf8" });
  assert.equal(run.status, 0, run.stderr);
});

test("the library exports the functions of its headers and no other", { skip: lacks("nm") }, () => {
  const header = ["ipcnet.h", "sealed_file.h"].map((name) => readFileSync(join(native, "include", name), "utf8")).join("\n");
  const declared = [...header.matchAll(/^IPCNET_API [^(]*?\*?(\w+)\(/gm)].map(([, name]) => name!).sort();
  const symbols = spawnSync("nm", ["-D", "--defined-only", join(native, "libipcnet.so.0")], { encoding: "utf8" }).stdout;
  const exported = [...symbols.matchAll(/ T (\w+)@@IPCNET_0$/gm)].map(([, name]) => name!).sort();
  assert.ok(declared.length > 80);
  assert.deepEqual(exported, declared);
});
