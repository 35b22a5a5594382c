/** `ipcnet gen c`: files written whole or not at all, stale ones found, faults told with their place. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { runCli } from "./main.ts";
import { memoryContext } from "./memory.ts";
import { writeAll } from "./outputFolder.ts";
import { projectRoot } from "./root.ts";

const folder = mkdtempSync(join(tmpdir(), "ipcnet-gen-cli-"));
after(() => rmSync(folder, { recursive: true }));

const arm = join(projectRoot(), "examples/arm/arm.dbc");
const checks = join(projectRoot(), "examples/arm/arm.checks.yaml");

async function run(...argv: string[]): Promise<{ code: number; out: string[]; err: string[] }> {
  const context = memoryContext();
  const code = await runCli(["gen", "c", ...argv], context);
  return { code, out: context.stdout.lines, err: context.stderr.lines };
}

test("what is written compiles with what --e2e-sources puts beside it; a second run changes nothing", async () => {
  const out = join(folder, "firmware", "generated");
  const command = [arm, "--checks", checks, "--nodes", "shoulder=1", "--node", "Joint", "--float", "--out", out, "--e2e-sources"];
  const first = await run(...command);
  assert.deepEqual([first.code, first.err], [0, []]);
  assert.deepEqual(first.out[0], `${join(out, "arm.h")}: written`);
  const built = spawnSync("cc", ["-std=c99", "-Wall", "-Wextra", "-Werror", "-c", "-DIPCNET_E2E_ONLY", "-DIPCNET_E2E_P05", "arm.c", "ipcnet_e2e.c", "ipcnet_crc.c"], { cwd: out, encoding: "utf8" });
  assert.equal(built.status, 0, built.stderr);
  const before = statSync(join(out, "arm.c")).mtimeMs;
  const second = await run(...command, "--json");
  const { prefix, files } = JSON.parse(second.out[0]!) as { prefix: string; files: { name: string; state: string }[] };
  assert.deepEqual([prefix, files.map(({ state }) => state)], ["arm", files.map(() => "unchanged")]);
  assert.equal(statSync(join(out, "arm.c")).mtimeMs, before);
});

test("--check: 0 when nothing would change, 1 when a file is stale or missing; it writes nothing", async () => {
  const out = join(folder, "checked");
  assert.equal((await run(arm, "--out", out, "--check")).code, 1);
  assert.throws(() => readdirSync(out));
  assert.equal((await run(arm, "--out", out)).code, 0);
  assert.equal((await run(arm, "--out", out, "--check")).code, 0);
  writeFileSync(join(out, "arm.h"), `${readFileSync(join(out, "arm.h"), "utf8")}\n`);
  const stale = await run(arm, "--out", out, "--check");
  assert.equal(stale.code, 1);
  assert.deepEqual(stale.out, [`${join(out, "arm.h")}: stale`, `${join(out, "arm.c")}: unchanged`]);
  assert.match(stale.err.join("\n"), /not what .* gives; remedy:/);
  assert.equal((await run(arm, "--out", out, "--check", "--fixed-point")).code, 1);
});

test("faults: exit code, file, line and remedy; what was there stays", async () => {
  const out = join(folder, "faults");
  mkdirSync(out);
  writeFileSync(join(out, "broken.h"), "before");
  const broken = join(folder, "broken.dbc");
  writeFileSync(broken, 'BU_: A\nBO_ 1 M: 1 A\n SG_ a : 0|8@1+ (1,0) [0|0] "" A\n SG_ b : 7|1@1+ (1,0) [0|0] "" A\n');
  const refused = await run(broken, "--out", out);
  assert.equal(refused.code, 1);
  assert.match(refused.err[0]!, /broken\.dbc:4:\d+: error faultyDefinition: signalsOverlap: .*--lenient/);
  assert.deepEqual([readdirSync(out), readFileSync(join(out, "broken.h"), "utf8")], [["broken.h"], "before"]);
  assert.equal((await run(broken, "--out", out, "--lenient")).code, 0);
  assert.equal((await run(arm, "--node", "Joynt", "--out", out)).code, 2);
  assert.match((await run(arm, "--node", "Joynt", "--out", out)).err.join("\n"), /did you mean Joint/);
  assert.equal((await run(arm, "--prefix", "int", "--out", out)).code, 2);
  assert.equal((await run(arm, "--float", "--double", "--out", out)).code, 2);
  assert.equal((await run(join(folder, "missing.dbc"))).code, 2);
  const bad = join(folder, "bad.yaml");
  writeFileSync(bad, "version: 1\nmessages:\n  Stat: { profile: P05, dataId: 1 }\n");
  const named = await run(arm, "--checks", bad, "--out", out);
  assert.equal(named.code, 2);
  assert.match(named.err.join("\n"), /bad\.yaml:3:\d+: there is no message Stat/);
});

test("a file that cannot be renamed into place leaves no half of the others and nothing beside them", () => {
  const out = join(folder, "blocked");
  mkdirSync(join(out, "b.c", "in the way"), { recursive: true });
  writeFileSync(join(out, "a.h"), "old");
  // b.c is a folder: reading it fails before anything is written.
  assert.throws(() => writeAll(out, [{ name: "a.h", text: "new" }, { name: "b.c", text: "new" }]), /b\.c|cannot/);
  assert.equal(readFileSync(join(out, "a.h"), "utf8"), "old");
  assert.deepEqual(readdirSync(out).sort(), ["a.h", "b.c"]);
  const file = join(folder, "a file");
  writeFileSync(file, "");
  assert.throws(() => writeAll(join(file, "below"), [{ name: "a.h", text: "new" }]), /cannot (write|read)/);
});
