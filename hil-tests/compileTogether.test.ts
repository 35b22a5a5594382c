/** scripts/compile.mjs: what programs share is compiled once, what has changed again and nothing else, and what went wrong is no result. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { projectRoot } from "../schemas/testData.ts";
import { testFolder } from "./daemon.ts";

const script = `
import { join } from "node:path";
const [compileModule, folder] = process.argv.slice(1);
const { compileTogether } = await import(compileModule);
const manifest = { folder, at: (name) => join(folder, name), include: ["include"] };
const job = (name, flags) => ({ manifest, compiler: join(folder, "cc.sh"), sources: [name + ".c", "shared.c"], output: join(folder, "out", name), flags });
await compileTogether([job("one", ["-O1"]), job("two", ["-O1"]), job("other", ["-O2"])], { objectDir: join(folder, "objects") });
`;

/** The compiler, that tells what it was called for; what is in `saved` is put in the place of shared.c behind its back, when it has read it. */
const compiler = `#!/bin/sh
here=$(dirname "$0")
case " $* " in
  *" -c "*) for word; do case "$word" in *.c) echo "compiles $(basename "$word" .c)" >>"$here/calls";; esac; done ;;
  *" -o "*) echo links >>"$here/calls" ;;
esac
gcc "$@" || exit
case " $* " in *"/shared.c "*) if [ -f "$here/saved" ]; then mv "$here/saved" "$here/shared.c"; fi ;; esac
`;

class Project {
  readonly folder: string;

  constructor(t: TestContext) {
    const temporary = testFolder();
    t.after(() => temporary.remove());
    this.folder = join(temporary.path, "with a space, a $ and a #");
    for (const name of ["include", "out"]) mkdirSync(join(this.folder, name), { recursive: true });
    this.write("cc.sh", compiler);
    chmodSync(join(this.folder, "cc.sh"), 0o755);
    this.write("include/value.h", "#define VALUE 3\n");
    this.write("shared.c", '#include "value.h"\nint shared(void);\nint shared(void) { return VALUE; }\n');
    for (const name of ["one", "two", "other"]) this.write(`${name}.c`, "int shared(void);\nint main(void) { return shared(); }\n");
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.folder, name), text);
  }

  /** Sorted: what was compiled, and "links" for each program that was linked. */
  build(): { code: number | null; calls: string[]; text: string } {
    rmSync(join(this.folder, "calls"), { force: true });
    this.write("calls", "");
    const { status, stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", script, join(projectRoot(), "scripts/compile.mjs"), this.folder], { encoding: "utf8", env: { ...process.env, LC_ALL: "C" } });
    return { code: status, calls: readFileSync(join(this.folder, "calls"), "utf8").split("\n").filter((line) => line !== "").sort(), text: stdout + stderr };
  }

  run(): (number | null)[] {
    return ["one", "two", "other"].map((name) => spawnSync(join(this.folder, "out", name)).status);
  }
}

test("shared sources are compiled once, changed ones again, and nothing else", (t) => {
  const project = new Project(t);
  const first = project.build();
  // "one" and "two" share it; "other" has other flags.
  assert.deepEqual([first.code, first.calls], [0, ["compiles one", "compiles other", "compiles shared", "compiles shared", "compiles two", "links", "links", "links"]], first.text);
  assert.deepEqual(project.run(), [3, 3, 3]);
  assert.deepEqual(project.build(), { code: 0, calls: [], text: "" });
  project.write("two.c", "int shared(void);\nint main(void) { return shared() + 1; }\n");
  assert.deepEqual(project.build().calls, ["compiles two", "links"]);
  assert.deepEqual(project.run(), [3, 4, 3]);
  project.write("include/value.h", "#define VALUE 5\n");
  assert.deepEqual(project.build().calls, ["compiles shared", "compiles shared", "links", "links", "links"]);
  assert.deepEqual(project.run(), [5, 6, 5]);
});

test("an error is none the next time either, and what is mended is made", (t) => {
  const project = new Project(t);
  assert.equal(project.build().code, 0);
  project.write("one.c", "int shared(void);\nint main(void) { return shared( }\n");
  for (let times = 0; times < 2; times++) {
    const bad = project.build();
    assert.equal(bad.code, 1);
    assert.match(bad.text, /one\.c:2:\d+: error/);
  }
  project.write("one.c", "int shared(void);\nint main(void) { return shared() + 2; }\n");
  assert.ok(project.build().calls.includes("compiles one"));
  assert.deepEqual(project.run(), [5, 3, 3]);
});

test("what is saved while it is compiled is in the program after the next build", (t) => {
  const project = new Project(t);
  project.write("saved", "int shared(void);\nint shared(void) { return 8; }\n");
  assert.equal(project.build().code, 0);
  project.build();
  assert.deepEqual(project.run(), [8, 8, 8]);
  assert.deepEqual(project.build().calls, []);
});
