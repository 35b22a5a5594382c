/** scripts/compile.mjs: what programs share is compiled once, what has changed again and nothing else, and an error is no result. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, readdirSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { projectRoot } from "../schemas/testData.ts";
import { testFolder } from "./daemon.ts";

const script = `
import { join } from "node:path";
const [compileModule, folder] = process.argv.slice(1);
const { compileTogether } = await import(compileModule);
const manifest = { folder, at: (name) => join(folder, name), include: ["include"] };
const job = (name, flags) => ({ manifest, sources: [name + ".c", "shared.c"], output: join(folder, "out", name), flags });
await compileTogether([job("one", ["-O1"]), job("two", ["-O1"]), job("other", ["-O2"])], { objectDir: join(folder, "objects") });
`;

test("shared sources are compiled once, changed ones again, and an error ends it without a result", (t) => {
  const temporary = testFolder();
  t.after(() => temporary.remove());
  const folder = join(temporary.path, "with a space");
  for (const name of ["include", "out"]) mkdirSync(join(folder, name), { recursive: true });
  /** Long ago: what is as young as its object is not trusted. */
  const write = (name: string, text: string): void => {
    writeFileSync(join(folder, name), text);
    utimesSync(join(folder, name), 1e9, 1e9);
  };
  const build = (): { code: number | null; made: string[]; text: string } => {
    const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script, join(projectRoot(), "scripts/compile.mjs"), folder], { encoding: "utf8" });
    return { code: status, made: [...stdout.matchAll(/cc .*\/(\w+)$/gm)].map(([, name]) => name!).sort(), text: stdout + stderr };
  };
  const run = (name: string): number | null => spawnSync(join(folder, "out", name)).status;
  const objects = (): string[] => readdirSync(join(folder, "objects")).filter((name) => name.endsWith(".o")).map((name) => name.replace(/^\w+-/, "")).sort();
  write("include/value.h", "#define VALUE 3\n");
  write("shared.c", '#include "value.h"\nint shared(void);\nint shared(void) { return VALUE; }\n');
  for (const name of ["one", "two", "other"]) write(`${name}.c`, "int shared(void);\nint main(void) { return shared(); }\n");

  const first = build();
  assert.deepEqual([first.code, first.made], [0, ["one", "other", "two"]], first.text);
  // "one" and "two" share it; "other" has other flags.
  assert.deepEqual(objects(), ["one.o", "other.o", "shared.o", "shared.o", "two.o"]);
  assert.equal(run("one"), 3);
  assert.deepEqual(build(), { code: 0, made: [], text: "" });

  write("two.c", "int shared(void);\nint main(void) { return shared() + 1; }\n");
  assert.deepEqual(build().made, ["two"]);
  assert.deepEqual([run("one"), run("two")], [3, 4]);
  write("include/value.h", "#define VALUE 5\n");
  assert.deepEqual(build().made, ["one", "other", "two"]);
  assert.deepEqual([run("one"), run("two"), run("other")], [5, 6, 5]);

  write("one.c", "int shared(void);\nint main(void) { return shared( }\n");
  for (let times = 0; times < 2; times++) {
    const bad = build();
    assert.equal(bad.code, 1);
    assert.match(bad.text, /one\.c:2:\d+: error/);
  }
  write("one.c", "int shared(void);\nint main(void) { return shared() + 2; }\n");
  assert.ok(build().made.includes("one"));
  assert.equal(run("one"), 7);
});
